/* An echo server on the acceptor, and a client that checks what comes back. */
#include "echo.h"

#include <check.h>
#include <stdatomic.h>
#include <string.h>

#include "pattern.h"

struct echo_connection {
	struct pro_service_handler service; /* first */
	struct echo_server *server;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_message_block block;
	unsigned char bytes[4096];
};

static struct echo_connection *connection_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct echo_connection, service.handler);
}

static struct echo_server *server_from_acceptor(struct pro_asynch_acceptor *acceptor)
{
	return pro_container_of(acceptor, struct echo_server, acceptor);
}

static void connection_read(struct echo_connection *connection)
{
	struct pro_message_block *block = connection->server->borrows ? NULL : &connection->block;

	pro_message_block_reset(&connection->block);
	if (pro_asynch_read_stream_read(&connection->reader, block, 0))
		pro_handler_close(&connection->service.handler);
}

static void connection_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct echo_connection *connection = connection_from_handler(handler);

	if (result->error) {
		pro_handler_close(handler);
	} else if (pro_asynch_write_stream_write(&connection->writer, result->block)) {
		pro_message_block_release(result->block);
		pro_handler_close(handler);
	}
}

static void connection_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	pro_message_block_release(result->block);
	if (result->error)
		pro_handler_close(handler);
	else
		connection_read(connection_from_handler(handler));
}

static void connection_handle_close(struct pro_handler *handler)
{
	struct echo_connection *connection = connection_from_handler(handler);
	const struct pro_allocator *allocator = pro_proactor_allocator(pro_handler_proactor(handler));

	atomic_fetch_add(&connection->server->closed, 1);
	allocator->deallocate(allocator->context, connection);
}

static void connection_open(struct pro_service_handler *service)
{
	struct echo_connection *connection = connection_from_handler(&service->handler);
	struct pro_handler *handler = &service->handler;

	atomic_fetch_add(&connection->server->opened, 1);
	pro_message_block_init(&connection->block, connection->bytes, sizeof(connection->bytes));
	if (pro_asynch_read_stream_open(&connection->reader, handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_write_stream_open(&connection->writer, handler, PRO_INVALID_HANDLE, NULL))
		pro_handler_close(handler);
	else
		connection_read(connection);
}

static const struct pro_service_handler_vtbl connection_vtbl = {
		.handler.handle_read_stream = connection_handle_read_stream,
		.handler.handle_write_stream = connection_handle_write_stream,
		.handler.handle_close = connection_handle_close,
		.open = connection_open,
};

static struct pro_service_handler *server_make_handler(struct pro_asynch_acceptor *acceptor)
{
	struct echo_server *server = server_from_acceptor(acceptor);
	struct pro_proactor *proactor = pro_handler_proactor(&acceptor->handler);
	const struct pro_allocator *allocator = pro_proactor_allocator(proactor);
	struct echo_connection *connection;

	if (server->refuses)
		return NULL;
	connection = allocator->allocate(allocator->context, sizeof(*connection));
	if (!connection)
		return NULL;
	connection->server = server;
	ASSERT_OK(pro_service_handler_init(&connection->service, &connection_vtbl, proactor));
	return &connection->service;
}

static int server_validate_connection(struct pro_asynch_acceptor *acceptor,
		const struct pro_addr *local, const struct pro_addr *remote)
{
	struct echo_server *server = server_from_acceptor(acceptor);

	ck_assert_ptr_nonnull(remote);
	ck_assert_int_eq(pro_addr_family(local), pro_addr_family(&acceptor->local));
	atomic_fetch_add(&server->validated, 1);
	return server->verdict;
}

static void server_handle_close(struct pro_asynch_acceptor *acceptor)
{
	server_from_acceptor(acceptor)->is_closed = true;
}

static const struct pro_asynch_acceptor_vtbl server_vtbl = {
		.make_handler = server_make_handler,
		.validate_connection = server_validate_connection,
		.handle_close = server_handle_close,
};

int echo_server_open(struct echo_server *server, struct pro_proactor *proactor, const char *text)
{
	struct pro_addr addr = world_addr(text);

	memset(server, 0, sizeof(*server));
	return pro_asynch_acceptor_open(&server->acceptor, &server_vtbl, proactor, &addr);
}

void echo_server_close(struct world *world, struct echo_server *server)
{
	pro_asynch_acceptor_close(&server->acceptor);
	RUN_UNTIL(world, server->is_closed && server->closed == server->opened);
}

/* ---- the client ---- */

static void client_send(struct echo_client *client)
{
	uint64_t left = client->bytes_total - client->sent;
	size_t length = left < client->bytes_once ? (size_t)left : client->bytes_once;

	if (length == 0) {
		ASSERT_OK(pro_asynch_write_stream_shutdown(&client->recorder->writer));
		return;
	}
	pattern_fill(client->write_bytes, length, client->sent, client->seed);
	pro_message_block_init_filled(&client->write_block, client->write_bytes, length);
	client->sent += length;
	client->batch_sent = world_statistics(client->recorder->world).batches;
	ASSERT_OK(recorder_write(client->recorder, &client->write_block));
}

static void client_read(struct echo_client *client)
{
	pro_message_block_reset(&client->read_block);
	ASSERT_OK(recorder_read(client->recorder, &client->read_block, 0));
}

static void client_receive(struct echo_client *client, const struct event *event)
{
	if (event->error == PRO_EOF && client->received == client->bytes_total) {
		client->is_done = true;
		return;
	}
	if (event->error == PRO_ECANCELED)
		return;
	ASSERT_OK(event->error);
	pattern_check(client->read_bytes, event->bytes, client->received, client->seed);
	client->received += event->bytes;
	client_read(client);
	if (client->received == client->sent) {
		uint64_t batches = world_statistics(client->recorder->world).batches - client->batch_sent;
		bool is_first = client->received <= client->bytes_once;

		if (!is_first && batches > client->batches_max)
			client->batches_max = batches;
		client_send(client);
	}
}

static void client_on_event(struct recorder *recorder, const struct event *event)
{
	struct echo_client *client = recorder->context;

	if (event->kind == EVENT_CONNECT) {
		ASSERT_OK(event->error);
		echo_client_begin(client, recorder_take_handle(recorder));
	} else if (event->kind == EVENT_READ_STREAM) {
		client_receive(client, event);
	} else if (event->kind == EVENT_WRITE_STREAM && event->error != PRO_ECANCELED) {
		ASSERT_OK(event->error);
	}
}

void echo_client_init(struct echo_client *client, struct world *world, const char *name,
		uint64_t bytes_total, size_t bytes_once)
{
	static unsigned seeds;

	memset(client, 0, sizeof(*client));
	client->recorder = recorder_create(world, name);
	client->recorder->on_event = client_on_event;
	client->recorder->context = client;
	client->bytes_total = bytes_total;
	client->bytes_once = bytes_once;
	client->seed = ++seeds;
	ck_assert_uint_le(bytes_once, sizeof(client->write_bytes));
	pro_message_block_init(&client->read_block, client->read_bytes, sizeof(client->read_bytes));
}

void echo_client_connect(struct echo_client *client, const struct pro_addr *addr)
{
	struct recorder *recorder = client->recorder;

	recorder_open_free(recorder);
	ASSERT_OK(
			STARTED(recorder, CONNECT, pro_asynch_connect_connect(&recorder->connect, addr, NULL)));
}

void echo_client_begin(struct echo_client *client, pro_handle handle)
{
	recorder_own_stream(client->recorder, handle);
	client_read(client);
	client_send(client);
}
