/* Datagrams: questions that are sent again until they are answered. */
#include "sim_tests.h"

#include <proactor/asynch_read_dgram.h>
#include <proactor/asynch_write_dgram.h>

#include <stdlib.h>
#include <string.h>

#define QUESTIONS 10u
#define AGAIN_MS  300

/* A question is answered by twice its number. */
struct packet {
	uint32_t client;
	uint32_t number;
	uint32_t answer;
};

struct dgram_session {
	struct pro_sim *sim;
	struct pro_addr address;
	struct dgram_server *server;
	struct dgram_client *clients;
	unsigned clients_count;
	unsigned done;
};

/* A socket that reads all the time and writes one packet at a time. */
struct port {
	struct pro_handler handler;
	struct pro_asynch_read_dgram reader;
	struct pro_asynch_write_dgram writer;
	struct pro_message_block read_block;
	struct pro_message_block write_block;
	struct packet received;
	struct packet sent;
};

static void port_read(struct port *port)
{
	pro_message_block_init(&port->read_block, &port->received, sizeof(port->received));
	if (pro_asynch_read_dgram_recv(&port->reader, &port->read_block))
		pro_handler_close(&port->handler);
}

static void port_send(struct port *port, const struct pro_addr *to)
{
	pro_message_block_init_filled(&port->write_block, &port->sent, sizeof(port->sent));
	pro_asynch_write_dgram_send(&port->writer, &port->write_block, to);
}

static int port_open(struct port *port, const struct pro_handler_vtbl *vtbl,
		struct pro_proactor *proactor, const struct pro_addr *local)
{
	pro_handle handle;
	int error = pro_handler_init(&port->handler, vtbl, proactor);

	if (!error)
		error = pro_socket_dgram(proactor, PRO_FAMILY_INET, local, &handle);
	if (error)
		return error;
	pro_handler_set_handle(&port->handler, handle);
	error = pro_asynch_read_dgram_open(&port->reader, &port->handler, handle, NULL);
	if (!error)
		error = pro_asynch_write_dgram_open(&port->writer, &port->handler, handle, NULL);
	if (!error)
		port_read(port);
	return error;
}

/* ---- the server ---- */

struct dgram_server {
	struct port port; /* first */
};

static struct port *port_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct port, handler);
}

static void server_handle_read_dgram(
		struct pro_handler *handler, const struct pro_asynch_read_dgram_result *result)
{
	struct port *port = port_from_handler(handler);

	if (result->error) {
		pro_handler_close(handler);
		return;
	}
	/* A question that comes while an answer goes out is lost like any other. */
	if (!pro_operation_in_flight(&port->writer.operation)) {
		port->sent = port->received;
		port->sent.answer = 2 * port->received.number;
		port_send(port, result->remote);
	}
	port_read(port);
}

static void handle_write_dgram(
		struct pro_handler *handler, const struct pro_asynch_write_dgram_result *result)
{
	(void)handler;
	(void)result;
}

static void server_handle_close(struct pro_handler *handler)
{
	object_free(pro_handler_proactor(handler), port_from_handler(handler));
}

static const struct pro_handler_vtbl server_vtbl = {
		.handle_read_dgram = server_handle_read_dgram,
		.handle_write_dgram = handle_write_dgram,
		.handle_close = server_handle_close,
};

/* ---- a client ---- */

struct dgram_client {
	struct port port; /* first */
	struct dgram_session *session;
	struct pro_asynch_timer timer;
	unsigned number;
	uint32_t question;
};

static struct dgram_client *client_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct dgram_client, port.handler);
}

static void client_ask(struct dgram_client *client)
{
	if (!pro_operation_in_flight(&client->port.writer.operation)) {
		client->port.sent = (struct packet){client->number, client->question, 0};
		port_send(&client->port, &client->session->address);
	}
	if (!is_planted(BUG_LOST_DATAGRAM))
		pro_asynch_timer_schedule(&client->timer, AGAIN_MS);
}

static void client_take_answer(struct dgram_client *client)
{
	const struct packet *packet = &client->port.received;
	struct dgram_session *session = client->session;

	if (packet->number != client->question && !is_planted(BUG_OLD_ANSWER))
		return;
	if (packet->client != client->number || packet->answer != 2 * client->question)
		pro_sim_fail(session->sim, "client %u: %u is no answer to question %u", client->number,
				packet->answer, client->question);
	if (client->question == QUESTIONS) {
		session->done++;
		client->question++;
		pro_handler_close(&client->port.handler);
		return;
	}
	client->question++;
	pro_operation_cancel(&client->timer.operation);
	if (is_planted(BUG_LOST_DATAGRAM))
		client_ask(client);
}

static void client_handle_read_dgram(
		struct pro_handler *handler, const struct pro_asynch_read_dgram_result *result)
{
	struct dgram_client *client = client_from_handler(handler);

	if (result->error) {
		pro_handler_close(handler);
		return;
	}
	if (client->question <= QUESTIONS)
		client_take_answer(client);
	if (!pro_handler_is_closing(handler))
		port_read(&client->port);
}

/* It expires when an answer is late, and is cancelled when one has come: ask, either way. */
static void client_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	(void)result;
	if (!pro_handler_is_closing(handler))
		client_ask(client_from_handler(handler));
}

static void client_handle_close(struct pro_handler *handler)
{
	(void)handler;
}

static const struct pro_handler_vtbl client_vtbl = {
		.handle_read_dgram = client_handle_read_dgram,
		.handle_write_dgram = handle_write_dgram,
		.handle_time_out = client_handle_time_out,
		.handle_close = client_handle_close,
};

static int client_start(struct dgram_client *client)
{
	struct pro_proactor *proactor;
	int error = pro_sim_proactor_create(client->session->sim, "client", NULL, &proactor);

	if (!error)
		error = port_open(&client->port, &client_vtbl, proactor, NULL);
	if (!error)
		error = pro_asynch_timer_open(&client->timer, &client->port.handler, NULL);
	client->question = 1;
	if (!error)
		client_ask(client);
	return error;
}

/* ---- the session ---- */

static int dgram_set_up(struct pro_sim *sim, void **context)
{
	struct dgram_session *session = calloc(1, sizeof(*session));
	struct pro_proactor *proactor;
	int error;

	if (!session)
		return PRO_ENOMEM;
	*context = session;
	session->sim = sim;
	pro_addr_parse(&session->address, "10.0.0.1:5353");
	error = pro_sim_proactor_create(sim, "answers", NULL, &proactor);
	if (!error)
		session->server = object_create(proactor, sizeof(*session->server));
	if (!error)
		error = port_open(&session->server->port, &server_vtbl, proactor, &session->address);
	session->clients = calloc(pro_sim_parameter(sim), sizeof(*session->clients));
	for (; !error && session->clients_count < pro_sim_parameter(sim); session->clients_count++) {
		struct dgram_client *client = &session->clients[session->clients_count];

		client->session = session;
		client->number = session->clients_count;
		error = client_start(client);
	}
	return error;
}

static bool dgram_is_done(struct pro_sim *sim, void *context)
{
	const struct dgram_session *session = context;

	(void)sim;
	return session->done == session->clients_count;
}

static void dgram_tear_down(struct pro_sim *sim, void *context)
{
	struct dgram_session *session = context;

	(void)sim;
	free(session->clients);
	free(session);
}

void dgram_test_init(struct pro_sim_test *test)
{
	pro_sim_test_init(test);
	test->options.parameter = 4;
	test->set_up = dgram_set_up;
	test->is_done = dgram_is_done;
	test->tear_down = dgram_tear_down;
}
