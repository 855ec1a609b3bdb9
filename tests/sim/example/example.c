/* The example of docs/simulation.md: a server that tells the length of each line, and a test of it
 * in a simulated world.
 *
 *   sim_example             the server as it should be
 *   sim_example --mistake   with the mistake that the text plants */
#include <proactor/asynch_acceptor.h>
#include <proactor/asynch_connector.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/sim.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_mistaken;

/* ---- the handler that is tested: it knows nothing of the simulation ---- */

struct server {
	struct pro_service_handler service;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_message_block line;
	struct pro_message_block answer;
	char line_bytes[64];
	char answer_bytes[16];
};

static struct server *server_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct server, service.handler);
}

static void server_read(struct server *server)
{
	if (pro_asynch_read_stream_read(&server->reader, &server->line, 0))
		pro_handler_close(&server->service.handler);
}

static void server_open(struct pro_service_handler *service)
{
	struct server *server = server_from_handler(&service->handler);

	pro_message_block_init(&server->line, server->line_bytes, sizeof(server->line_bytes));
	if (pro_asynch_read_stream_open(&server->reader, &service->handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_write_stream_open(
					&server->writer, &service->handler, PRO_INVALID_HANDLE, NULL))
		pro_handler_close(&service->handler);
	else
		server_read(server);
}

static void server_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct server *server = server_from_handler(handler);
	size_t length = pro_message_block_length(&server->line);

	if (result->error) {
		pro_handler_close(handler);
		return;
	}
	/* The mistake: taking what one read gets for a line. */
	if (!is_mistaken && server->line_bytes[length - 1] != '\n') {
		server_read(server);
		return;
	}
	pro_message_block_init(&server->answer, server->answer_bytes, sizeof(server->answer_bytes));
	pro_message_block_printf(&server->answer, "%zu\n", length - 1);
	if (pro_asynch_write_stream_write(&server->writer, &server->answer))
		pro_handler_close(handler);
}

static void server_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct server *server = server_from_handler(handler);

	pro_message_block_reset(&server->line);
	if (result->error)
		pro_handler_close(handler);
	else
		server_read(server);
}

static void server_handle_close(struct pro_handler *handler)
{
	free(server_from_handler(handler));
}

static const struct pro_service_handler_vtbl server_vtbl = {
		.handler.handle_read_stream = server_handle_read_stream,
		.handler.handle_write_stream = server_handle_write_stream,
		.handler.handle_close = server_handle_close,
		.open = server_open,
};

static struct pro_service_handler *make_server(struct pro_asynch_acceptor *acceptor)
{
	struct server *server = malloc(sizeof(*server));

	if (!server || pro_service_handler_init(&server->service, &server_vtbl,
						   pro_asynch_acceptor_proactor(acceptor))) {
		free(server);
		return NULL;
	}
	return &server->service;
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {
		.make_handler = make_server,
};

/* ---- its client in the test: sends lines and checks the answers ---- */

#define LINES 10u

struct session {
	struct pro_asynch_acceptor acceptor;
	struct client *clients;
	unsigned count;
	unsigned done;
};

struct client {
	struct pro_service_handler service;
	struct pro_asynch_connector connector;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_message_block line;
	struct pro_message_block answer;
	char line_bytes[64];
	char answer_bytes[16];
	struct session *session;
	struct pro_sim *sim;
	unsigned lines;
};

static struct client *client_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct client, service.handler);
}

static void client_ask(struct client *client)
{
	const size_t length = 10 + pro_sim_choose(client->sim, 40);

	memset(client->line_bytes, 'x', length);
	client->line_bytes[length] = '\n';
	pro_message_block_init_filled(&client->line, client->line_bytes, length + 1);
	pro_message_block_init(&client->answer, client->answer_bytes, sizeof(client->answer_bytes));
	pro_asynch_write_stream_write(&client->writer, &client->line);
	/* Two digits and the newline. */
	pro_asynch_read_stream_read_exactly(&client->reader, &client->answer, 3);
}

static void client_open(struct pro_service_handler *service)
{
	struct client *client = client_from_handler(&service->handler);

	pro_asynch_read_stream_open(&client->reader, &service->handler, PRO_INVALID_HANDLE, NULL);
	pro_asynch_write_stream_open(&client->writer, &service->handler, PRO_INVALID_HANDLE, NULL);
	client_ask(client);
}

static void client_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct client *client = client_from_handler(handler);
	const size_t length = client->line.size - 1;

	if (result->error) {
		/* The end of the session closes the server first. */
		if (client->session->done < client->session->count)
			pro_sim_fail(client->sim, "no answer: %s", pro_error_name(result->error));
		pro_handler_close(handler);
		return;
	}
	client->answer_bytes[2] = '\0';
	if (strtoul(client->answer_bytes, NULL, 10) != length)
		pro_sim_fail(client->sim, "a line of %zu bytes was answered by %s", length,
				client->answer_bytes);
	if (++client->lines == LINES)
		client->session->done++;
	else
		client_ask(client);
}

static void client_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	(void)handler;
	(void)result;
}

static void client_handle_close(struct pro_handler *handler)
{
	(void)handler;
}

static const struct pro_service_handler_vtbl client_vtbl = {
		.handler.handle_read_stream = client_handle_read_stream,
		.handler.handle_write_stream = client_handle_write_stream,
		.handler.handle_close = client_handle_close,
		.open = client_open,
};

static struct pro_service_handler *make_client(struct pro_asynch_connector *connector)
{
	return &pro_container_of(connector, struct client, connector)->service;
}

static const struct pro_asynch_connector_vtbl connector_vtbl = {
		.make_handler = make_client,
};

/* ---- the test ---- */

static int set_up(struct pro_sim *sim, void **context)
{
	struct session *session = calloc(1, sizeof(*session));
	struct pro_proactor *proactor;
	struct pro_addr addr;
	int error;

	*context = session;
	session->count = pro_sim_parameter(sim);
	session->clients = calloc(session->count, sizeof(*session->clients));
	pro_addr_parse(&addr, "10.0.0.1:7000");
	error = pro_sim_proactor_create(sim, "server", NULL, &proactor);
	if (!error)
		error = pro_asynch_acceptor_open(&session->acceptor, &acceptor_vtbl, proactor, &addr);
	for (unsigned i = 0; !error && i < session->count; i++) {
		struct client *client = &session->clients[i];

		client->session = session;
		client->sim = sim;
		error = pro_sim_proactor_create(sim, "client", NULL, &proactor);
		if (!error)
			error = pro_service_handler_init(&client->service, &client_vtbl, proactor);
		if (!error)
			error = pro_asynch_connector_open(&client->connector, &connector_vtbl, proactor);
		if (!error)
			error = pro_asynch_connector_connect(&client->connector, &addr, NULL);
	}
	return error;
}

static bool is_done(struct pro_sim *sim, void *context)
{
	const struct session *session = context;

	(void)sim;
	return session->done == session->count;
}

static void tear_down(struct pro_sim *sim, void *context)
{
	struct session *session = context;

	(void)sim;
	free(session->clients);
	free(session);
}

int main(int argc, char **argv)
{
	static struct pro_sim_verdict verdict;
	struct pro_sim_test test;
	int error;

	is_mistaken = argc > 1 && strcmp(argv[1], "--mistake") == 0;
	pro_sim_test_init(&test);
	test.set_up = set_up;
	test.is_done = is_done;
	test.tear_down = tear_down;
	test.options.parameter = 5; /* clients */
	/* Faults that a handler must not even notice: nothing here breaks a connection. */
	pro_sim_faults_parse("short-read,short-write,small-buffers,delay,pause,clog,partition",
			&test.options.faults);
	error = pro_sim_test(&test, &verdict);
	if (error)
		fprintf(stderr, "%s", verdict.text);
	else
		printf("%llu seeds, %llu completions, no failure\n", (unsigned long long)verdict.seeds,
				(unsigned long long)verdict.completions);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
