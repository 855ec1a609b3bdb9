/* Echo: a server, and clients that check every byte. */
#include "peer.h"

#include <stdlib.h>
#include <string.h>

#define LINE_BYTES  48u
#define BLOCK_BYTES 256u
#define LINES_MAX   20u
/* Lines that a client sends before it has the first of them back. */
#define AHEAD 2u
/* Handles of the server beside its listener; more connections wait. */
#define CONNECTIONS_MAX 3u

struct echo_session {
	struct pro_sim *sim;
	struct pro_proactor *proactor; /* of the server */
	struct pro_asynch_acceptor acceptor;
	struct raw_acceptor *raw;
	struct echo_client *clients;
	unsigned clients_count;
	unsigned done;
	unsigned connections;
};

/* ---- the server: one connection ---- */

struct echo_server {
	struct pro_service_handler service;
	struct echo_session *session;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_message_block block;
	unsigned char bytes[BLOCK_BYTES];
};

static struct echo_server *server_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct echo_server, service.handler);
}

static void server_close(struct echo_server *server)
{
	struct pro_proactor *proactor = server->session->proactor;
	pro_handle handle = server->reader.operation.handle;

	pro_handler_close(&server->service.handler);
	if (is_planted(BUG_DOUBLE_CLOSE))
		pro_proactor_close_handle(proactor, handle);
	if (is_planted(BUG_USE_AFTER_CLOSE))
		object_free(proactor, server);
}

static void server_read(struct echo_server *server)
{
	struct pro_message_block *block = is_planted(BUG_LEAKED_BLOCK) ? NULL : &server->block;

	pro_message_block_init(&server->block, server->bytes, sizeof(server->bytes));
	if (pro_asynch_read_stream_read(&server->reader, block, 0))
		server_close(server);
	else if (is_planted(BUG_TOUCH_IN_FLIGHT))
		server->bytes[LINE_BYTES] = '\0';
}

static void server_open(struct pro_service_handler *service)
{
	struct echo_server *server = server_from_handler(&service->handler);

	if (pro_asynch_read_stream_open(&server->reader, &service->handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_write_stream_open(
					&server->writer, &service->handler, PRO_INVALID_HANDLE, NULL)) {
		server_close(server);
		return;
	}
	pro_operation_set_timeout(&server->reader.operation, 60000);
	server_read(server);
}

static void server_release(struct echo_server *server, struct pro_message_block *block)
{
	if (block != &server->block)
		pro_message_block_release(block);
}

static void server_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct echo_server *server = server_from_handler(handler);

	if (result->error == PRO_EOF && is_planted(BUG_END_LOOP)) {
		server_read(server);
	} else if (result->error) {
		server_close(server);
	} else if (pro_asynch_write_stream_write(&server->writer, result->block)) {
		server_release(server, result->block);
		server_close(server);
	} else if (is_planted(BUG_REUSE_IN_FLIGHT)) {
		pro_asynch_read_stream_read(&server->reader, &server->block, 0);
		server->bytes[0] = '!';
	}
}

static void server_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct echo_server *server = server_from_handler(handler);

	if (!result->error || !is_planted(BUG_LEAKED_BLOCK))
		server_release(server, result->block);
	if (result->error)
		server_close(server);
	else
		server_read(server);
}

static void server_handle_close(struct pro_handler *handler)
{
	struct echo_server *server = server_from_handler(handler);

	server->session->connections--;
	if (!is_planted(BUG_LEAKED_MEMORY))
		object_free(pro_handler_proactor(handler), server);
}

static const struct pro_service_handler_vtbl server_vtbl = {
		.handler.handle_read_stream = server_handle_read_stream,
		.handler.handle_write_stream = server_handle_write_stream,
		.handler.handle_close = server_handle_close,
		.open = server_open,
};

static struct pro_service_handler *server_create(struct echo_session *session)
{
	struct echo_server *server = object_create(session->proactor, sizeof(*server));

	if (!server || pro_service_handler_init(&server->service, &server_vtbl, session->proactor)) {
		object_free(session->proactor, server);
		return NULL;
	}
	server->session = session;
	session->connections++;
	return &server->service;
}

static struct pro_service_handler *acceptor_make_handler(struct pro_asynch_acceptor *acceptor)
{
	return server_create(pro_container_of(acceptor, struct echo_session, acceptor));
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {
		.make_handler = acceptor_make_handler,
};

/* ---- an acceptor made by hand, for mistakes that the library's does not make ---- */

struct raw_acceptor {
	struct pro_handler handler;
	struct echo_session *session;
	struct pro_asynch_accept accept;
};

static bool needs_raw_acceptor(void)
{
	return is_planted(BUG_DEAF_LISTENER) || is_planted(BUG_ACCEPT_SPIN) ||
		   is_planted(BUG_LEAKED_HANDLE);
}

static void raw_handle_accept(
		struct pro_handler *handler, const struct pro_asynch_accept_result *result)
{
	struct raw_acceptor *raw = pro_container_of(handler, struct raw_acceptor, handler);
	struct echo_session *session = raw->session;
	const bool is_refused =
			is_planted(BUG_LEAKED_HANDLE) && session->connections >= session->clients_count;
	struct pro_service_handler *service;

	if (result->error && is_planted(BUG_DEAF_LISTENER))
		return;
	if (!result->error && !is_refused) {
		service = server_create(session);
		pro_service_handler_open(service, result->accepted, result->local, result->remote);
	}
	pro_asynch_accept_accept(&raw->accept);
}

static void raw_handle_close(struct pro_handler *handler)
{
	object_free(
			pro_handler_proactor(handler), pro_container_of(handler, struct raw_acceptor, handler));
}

static const struct pro_handler_vtbl raw_vtbl = {
		.handle_accept = raw_handle_accept,
		.handle_close = raw_handle_close,
};

static int raw_open(struct echo_session *session, const struct pro_addr *addr)
{
	struct raw_acceptor *raw = object_create(session->proactor, sizeof(*raw));
	pro_handle listener;
	int error = pro_socket_listen(session->proactor, addr, 0, &listener);

	if (error || !raw) {
		object_free(session->proactor, raw);
		return error;
	}
	raw->session = session;
	pro_handler_init(&raw->handler, &raw_vtbl, session->proactor);
	pro_handler_set_handle(&raw->handler, listener);
	pro_asynch_accept_open(&raw->accept, &raw->handler, listener, NULL);
	return pro_asynch_accept_accept(&raw->accept);
}

/* ---- a client ---- */

struct echo_client {
	struct peer peer; /* first */
	struct echo_session *session;
	struct pro_asynch_write_stream farewell; /* by mistake */
	struct pro_message_block farewell_block;
	unsigned lines_wanted;
	unsigned lines_done;
};

struct echo_line {
	struct pro_message_block block;
	unsigned char bytes[LINE_BYTES];
	bool is_busy;
};

/* A connection of a client. */
struct echo_link {
	struct pro_service_handler service;
	struct echo_client *client;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_message_block block;
	unsigned char received[LINE_BYTES];
	struct echo_line lines[AHEAD];
	unsigned next; /* line to be sent */
	unsigned patience;
};

static struct echo_link *link_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct echo_link, service.handler);
}

static void fill_line(const struct echo_client *client, unsigned line, unsigned char *bytes)
{
	for (unsigned i = 0; i < LINE_BYTES - 1; i++)
		bytes[i] = (unsigned char)('a' + (client->peer.number + line * 7 + i) % 26);
	bytes[LINE_BYTES - 1] = '\n';
}

static void link_send(struct echo_link *link)
{
	const struct echo_client *client = link->client;

	while (link->next < client->lines_wanted && link->next < client->lines_done + AHEAD) {
		struct echo_line *line = &link->lines[link->next % AHEAD];

		if (line->is_busy)
			return;
		fill_line(client, link->next++, line->bytes);
		pro_message_block_init_filled(&line->block, line->bytes, LINE_BYTES);
		line->is_busy = true;
		if (pro_asynch_write_stream_write(&link->writer, &line->block))
			pro_handler_close(&link->service.handler);
	}
}

static void link_read(struct echo_link *link)
{
	link->patience = 100;
	pro_message_block_init(&link->block, link->received, LINE_BYTES);
	if (pro_asynch_read_stream_read_exactly(&link->reader, &link->block, LINE_BYTES))
		pro_handler_close(&link->service.handler);
}

static void link_open(struct pro_service_handler *service)
{
	struct echo_link *link = link_from_handler(&service->handler);
	struct echo_client *client = link->client;
	pro_handle handle = pro_service_handler_handle(service);

	if (pro_asynch_read_stream_open(&link->reader, &service->handler, handle, NULL) ||
			pro_asynch_write_stream_open(&link->writer, &service->handler, handle, NULL) ||
			pro_asynch_write_stream_open(&client->farewell, &client->peer.handler, handle, NULL)) {
		pro_handler_close(&service->handler);
		return;
	}
	pro_operation_set_timeout(&link->reader.operation, 200);
	link->next = client->lines_done;
	link_send(link);
	link_read(link);
}

static void link_take_line(struct echo_link *link)
{
	struct echo_client *client = link->client;
	unsigned char expected[LINE_BYTES];

	fill_line(client, client->lines_done, expected);
	if (memcmp(link->received, expected, LINE_BYTES) != 0)
		pro_sim_fail(client->session->sim, "client %u: line %u came back changed",
				client->peer.number, client->lines_done);
	if (++client->lines_done < client->lines_wanted) {
		link_send(link);
		link_read(link);
		return;
	}
	client->peer.is_done = true;
	client->session->done++;
	pro_handler_close(&link->service.handler);
}

/* Its deadline lets a client look around; what it has got of its line stays. */
static void link_read_on(struct echo_link *link)
{
	if (is_planted(BUG_DROPPED_ON_CANCEL))
		pro_message_block_reset(&link->block);
	if (link->patience-- == 0 || pro_asynch_read_stream_read_exactly(&link->reader, &link->block,
										 LINE_BYTES - pro_message_block_length(&link->block)))
		pro_handler_close(&link->service.handler);
}

static void link_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct echo_link *link = link_from_handler(handler);

	if (result->error == PRO_ETIMEDOUT)
		link_read_on(link);
	else if (result->error)
		pro_handler_close(handler);
	else
		link_take_line(link);
}

static void link_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct echo_link *link = link_from_handler(handler);

	pro_container_of(result->block, struct echo_line, block)->is_busy = false;
	if (result->error)
		pro_handler_close(handler);
	else if (!pro_handler_is_closing(handler))
		link_send(link);
}

static void link_handle_close(struct pro_handler *handler)
{
	struct echo_link *link = link_from_handler(handler);
	struct echo_client *client = link->client;

	if (is_planted(BUG_STALE_HANDLE)) {
		pro_message_block_init_filled(&client->farewell_block, "bye\n", 4);
		pro_asynch_write_stream_write(&client->farewell, &client->farewell_block);
	}
	peer_lost(&client->peer);
	object_free(pro_handler_proactor(handler), link);
}

static const struct pro_service_handler_vtbl link_vtbl = {
		.handler.handle_read_stream = link_handle_read_stream,
		.handler.handle_write_stream = link_handle_write_stream,
		.handler.handle_close = link_handle_close,
		.open = link_open,
};

static struct pro_service_handler *client_make_link(struct peer *peer)
{
	struct echo_link *link = object_create(peer->proactor, sizeof(*link));

	if (!link || pro_service_handler_init(&link->service, &link_vtbl, peer->proactor)) {
		object_free(peer->proactor, link);
		return NULL;
	}
	link->client = pro_container_of(peer, struct echo_client, peer);
	return &link->service;
}

/* ---- the session ---- */

static int clients_start(struct echo_session *session, unsigned count)
{
	int error = 0;

	session->clients = calloc(count, sizeof(*session->clients));
	for (; !error && session->clients_count < count; session->clients_count++) {
		struct echo_client *client = &session->clients[session->clients_count];

		client->session = session;
		client->peer.make_link = client_make_link;
		client->lines_wanted = 1 + (unsigned)pro_sim_choose(session->sim, LINES_MAX);
		error = peer_start(
				&client->peer, session->sim, session->clients_count, "server.example:7007");
	}
	return error;
}

static int echo_set_up(struct pro_sim *sim, void **context)
{
	struct echo_session *session = calloc(1, sizeof(*session));
	struct pro_addr addr;
	int error;

	if (!session)
		return PRO_ENOMEM;
	*context = session;
	session->sim = sim;
	pro_addr_parse(&addr, "10.0.0.1:7007");
	pro_sim_add_host(sim, "server.example", &addr);
	error = pro_sim_proactor_create(sim, "server", NULL, &session->proactor);
	if (!error && !is_planted(BUG_LEAKED_HANDLE))
		pro_sim_set_handles_max(sim, session->proactor, 1 + CONNECTIONS_MAX);
	if (!error && needs_raw_acceptor())
		error = raw_open(session, &addr);
	else if (!error)
		error = pro_asynch_acceptor_open(
				&session->acceptor, &acceptor_vtbl, session->proactor, &addr);
	return error ? error : clients_start(session, pro_sim_parameter(sim));
}

static bool echo_is_done(struct pro_sim *sim, void *context)
{
	const struct echo_session *session = context;

	(void)sim;
	return session->done == session->clients_count;
}

static void echo_tear_down(struct pro_sim *sim, void *context)
{
	struct echo_session *session = context;

	if (session->connections > 0)
		pro_sim_fail(sim, "%u connections of the server are left", session->connections);
	free(session->clients);
	free(session);
}

void echo_test_init(struct pro_sim_test *test)
{
	pro_sim_test_init(test);
	test->options.parameter = 4;
	test->set_up = echo_set_up;
	test->is_done = echo_is_done;
	test->tear_down = echo_tear_down;
}
