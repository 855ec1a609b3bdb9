/* Files: a server that sends them by transmit_file, and clients that write what they get. */
#include "peer.h"

#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_transmit_file.h>
#include <proactor/asynch_write_file.h>
#include <proactor/file.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES         4u
#define REQUEST_BYTES 8u
#define HEADER_BYTES  8u
#define NO_SUCH_FILE  UINT64_MAX
#define CHUNK_BYTES   1000u

static const size_t file_sizes[FILES] = {0, 1, 5000, 30000};

struct transfer_session {
	struct pro_sim *sim;
	struct pro_proactor *proactor;
	struct pro_asynch_acceptor acceptor;
	struct pro_file_root *root;
	struct transfer_client *clients;
	unsigned clients_count;
	unsigned done;
	unsigned connections;
};

static unsigned char file_byte(unsigned file, size_t offset)
{
	return (unsigned char)(file * 41 + offset * 7 + offset / 251);
}

/* ---- the server ---- */

struct sender {
	struct pro_service_handler service;
	struct transfer_session *session;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_transmit_file transmit;
	struct pro_message_block request;
	struct pro_message_block header;
	char request_bytes[REQUEST_BYTES];
	unsigned char header_bytes[HEADER_BYTES];
	pro_handle file;
};

static struct sender *sender_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct sender, service.handler);
}

static void sender_read(struct sender *sender)
{
	pro_message_block_init(&sender->request, sender->request_bytes, REQUEST_BYTES);
	if (pro_asynch_read_stream_read_exactly(&sender->reader, &sender->request, REQUEST_BYTES))
		pro_handler_close(&sender->service.handler);
}

static void sender_close_file(struct sender *sender)
{
	if (sender->file != PRO_INVALID_HANDLE)
		pro_proactor_close_handle(sender->session->proactor, sender->file);
	sender->file = PRO_INVALID_HANDLE;
}

static void sender_answer(struct sender *sender, uint64_t size)
{
	for (unsigned i = 0; i < HEADER_BYTES; i++)
		sender->header_bytes[i] = (unsigned char)(size >> (8 * i));
	pro_message_block_init_filled(&sender->header, sender->header_bytes, HEADER_BYTES);
	if (pro_asynch_transmit_file_transmit_file(&sender->transmit, sender->file, 0,
				size == NO_SUCH_FILE ? 0 : size, &sender->header, NULL)) {
		sender_close_file(sender);
		pro_handler_close(&sender->service.handler);
	}
}

static void sender_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct sender *sender = sender_from_handler(handler);
	struct pro_file_status status;
	int error;

	/* A read that won against the close comes too late: the root may be closed by now. */
	if (result->error || pro_handler_is_closing(handler)) {
		pro_handler_close(handler);
		return;
	}
	sender->request_bytes[REQUEST_BYTES - 1] = '\0';
	error = pro_file_root_open_file(
			sender->session->root, sender->request_bytes, PRO_FILE_READ, &sender->file, &status);
	sender_answer(sender, error ? NO_SUCH_FILE : status.size);
}

static void sender_handle_transmit_file(
		struct pro_handler *handler, const struct pro_asynch_transmit_file_result *result)
{
	struct sender *sender = sender_from_handler(handler);

	if (!result->error || !is_planted(BUG_LEAKED_FILE))
		sender_close_file(sender);
	if (result->error)
		pro_handler_close(handler);
	else
		sender_read(sender);
}

static void sender_handle_close(struct pro_handler *handler)
{
	struct sender *sender = sender_from_handler(handler);

	sender->session->connections--;
	object_free(pro_handler_proactor(handler), sender);
}

static void sender_open(struct pro_service_handler *service)
{
	struct sender *sender = sender_from_handler(&service->handler);

	if (pro_asynch_read_stream_open(&sender->reader, &service->handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_transmit_file_open(
					&sender->transmit, &service->handler, PRO_INVALID_HANDLE, NULL)) {
		pro_handler_close(&service->handler);
		return;
	}
	pro_operation_set_timeout(&sender->reader.operation, 60000);
	pro_operation_set_stall_timeout(&sender->transmit.operation, 30000);
	sender_read(sender);
}

static const struct pro_service_handler_vtbl sender_vtbl = {
		.handler.handle_read_stream = sender_handle_read_stream,
		.handler.handle_transmit_file = sender_handle_transmit_file,
		.handler.handle_close = sender_handle_close,
		.open = sender_open,
};

static struct pro_service_handler *make_sender(struct pro_asynch_acceptor *acceptor)
{
	struct transfer_session *session =
			pro_container_of(acceptor, struct transfer_session, acceptor);
	struct sender *sender = object_create(session->proactor, sizeof(*sender));

	if (!sender || pro_service_handler_init(&sender->service, &sender_vtbl, session->proactor)) {
		object_free(session->proactor, sender);
		return NULL;
	}
	sender->session = session;
	sender->file = PRO_INVALID_HANDLE;
	session->connections++;
	return &sender->service;
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {
		.make_handler = make_sender,
};

/* ---- a client ---- */

struct transfer_client {
	struct peer peer; /* first */
	struct transfer_session *session;
	unsigned file;
	char path[32];
};

struct getter {
	struct pro_service_handler service;
	struct transfer_client *client;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_write_file file_writer;
	struct pro_message_block request;
	struct pro_message_block block;
	char request_bytes[REQUEST_BYTES];
	unsigned char bytes[CHUNK_BYTES];
	pro_handle file;
	bool has_header;
	uint64_t size;
	uint64_t got;
};

static struct getter *getter_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct getter, service.handler);
}

static void getter_give_up(struct getter *getter)
{
	pro_handler_close(&getter->service.handler);
}

static void getter_done(struct getter *getter)
{
	getter->client->peer.is_done = true;
	getter->client->session->done++;
	pro_handler_close(&getter->service.handler);
}

static void getter_read(struct getter *getter)
{
	const uint64_t left = getter->size - getter->got;
	size_t wanted = left < sizeof(getter->bytes) ? (size_t)left : sizeof(getter->bytes);
	int error;

	pro_message_block_init(&getter->block, getter->bytes, sizeof(getter->bytes));
	if (getter->has_header)
		error = pro_asynch_read_stream_read(&getter->reader, &getter->block, wanted);
	else
		error = pro_asynch_read_stream_read_exactly(&getter->reader, &getter->block, HEADER_BYTES);
	if (error)
		getter_give_up(getter);
}

static void getter_take_header(struct getter *getter)
{
	getter->size = 0;
	for (unsigned i = 0; i < HEADER_BYTES; i++)
		getter->size |= (uint64_t)getter->bytes[i] << (8 * i);
	getter->has_header = true;
	if (getter->size == NO_SUCH_FILE)
		getter_give_up(getter);
	else if (getter->size == 0)
		getter_done(getter);
	else
		getter_read(getter);
}

static void getter_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct getter *getter = getter_from_handler(handler);

	if (result->error == PRO_EOF && getter->has_header && is_planted(BUG_END_IS_SUCCESS))
		getter_done(getter);
	else if (result->error)
		getter_give_up(getter);
	else if (!getter->has_header)
		getter_take_header(getter);
	else if (pro_asynch_write_file_write(&getter->file_writer, &getter->block, getter->got))
		getter_give_up(getter);
}

static void getter_handle_write_file(
		struct pro_handler *handler, const struct pro_asynch_write_file_result *result)
{
	struct getter *getter = getter_from_handler(handler);
	const bool is_taken_for_all = is_planted(BUG_LOST_SHORT_WRITE) && result->bytes_transferred > 0;

	if (result->error && !is_taken_for_all) {
		getter_give_up(getter);
		return;
	}
	getter->got += result->bytes_requested;
	if (getter->got >= getter->size)
		getter_done(getter);
	else
		getter_read(getter);
}

static void getter_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	if (result->error)
		pro_handler_close(handler);
}

static void getter_handle_close(struct pro_handler *handler)
{
	struct getter *getter = getter_from_handler(handler);

	if (getter->file != PRO_INVALID_HANDLE)
		pro_proactor_close_handle(getter->client->peer.proactor, getter->file);
	peer_lost(&getter->client->peer);
	object_free(pro_handler_proactor(handler), getter);
}

static void getter_open(struct pro_service_handler *service)
{
	struct getter *getter = getter_from_handler(&service->handler);
	struct transfer_client *client = getter->client;

	if (pro_file_open(client->peer.proactor, client->path,
				PRO_FILE_WRITE | PRO_FILE_CREATE | PRO_FILE_TRUNCATE, &getter->file) ||
			pro_asynch_read_stream_open(
					&getter->reader, &service->handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_write_stream_open(
					&getter->writer, &service->handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_write_file_open(
					&getter->file_writer, &service->handler, getter->file, NULL)) {
		getter_give_up(getter);
		return;
	}
	pro_operation_set_timeout(&getter->reader.operation, 20000);
	snprintf(getter->request_bytes, REQUEST_BYTES, "file%u", client->file);
	pro_message_block_init_filled(&getter->request, getter->request_bytes, REQUEST_BYTES);
	if (pro_asynch_write_stream_write(&getter->writer, &getter->request))
		getter_give_up(getter);
	else
		getter_read(getter);
}

static const struct pro_service_handler_vtbl getter_vtbl = {
		.handler.handle_read_stream = getter_handle_read_stream,
		.handler.handle_write_stream = getter_handle_write_stream,
		.handler.handle_write_file = getter_handle_write_file,
		.handler.handle_close = getter_handle_close,
		.open = getter_open,
};

static struct pro_service_handler *client_make_link(struct peer *peer)
{
	struct getter *getter = object_create(peer->proactor, sizeof(*getter));

	if (!getter || pro_service_handler_init(&getter->service, &getter_vtbl, peer->proactor)) {
		object_free(peer->proactor, getter);
		return NULL;
	}
	getter->client = pro_container_of(peer, struct transfer_client, peer);
	getter->file = PRO_INVALID_HANDLE;
	return &getter->service;
}

/* ---- the session ---- */

static void make_files(struct pro_sim *sim)
{
	static unsigned char bytes[30000];
	char path[32];

	for (unsigned file = 0; file < FILES; file++) {
		for (size_t i = 0; i < file_sizes[file]; i++)
			bytes[i] = file_byte(file, i);
		snprintf(path, sizeof(path), "/srv/file%u", file);
		pro_sim_file_write(sim, path, 0, bytes, file_sizes[file]);
	}
	pro_sim_make_directory(sim, "/got");
}

static int clients_start(struct transfer_session *session, unsigned count)
{
	int error = 0;

	session->clients = calloc(count, sizeof(*session->clients));
	for (; !error && session->clients_count < count; session->clients_count++) {
		struct transfer_client *client = &session->clients[session->clients_count];

		client->session = session;
		client->peer.make_link = client_make_link;
		client->file = (unsigned)pro_sim_choose(session->sim, FILES);
		snprintf(client->path, sizeof(client->path), "/got/%u", session->clients_count);
		error = peer_start(&client->peer, session->sim, session->clients_count, "10.0.0.1:8182");
	}
	return error;
}

static int transfer_set_up(struct pro_sim *sim, void **context)
{
	struct transfer_session *session = calloc(1, sizeof(*session));
	struct pro_addr addr;
	int error;

	if (!session)
		return PRO_ENOMEM;
	*context = session;
	session->sim = sim;
	make_files(sim);
	pro_addr_parse(&addr, "10.0.0.1:8182");
	error = pro_sim_proactor_create(sim, "files", NULL, &session->proactor);
	if (!error)
		error = pro_file_root_open(session->proactor, "/srv", &session->root);
	if (!error)
		error = pro_asynch_acceptor_open(
				&session->acceptor, &acceptor_vtbl, session->proactor, &addr);
	return error ? error : clients_start(session, pro_sim_parameter(sim));
}

static bool transfer_is_done(struct pro_sim *sim, void *context)
{
	const struct transfer_session *session = context;

	(void)sim;
	return session->done == session->clients_count;
}

/* Whoever is done has the whole file, byte by byte. */
static void check_download(struct pro_sim *sim, const struct transfer_client *client)
{
	static unsigned char bytes[30000];
	size_t length = sizeof(bytes);

	if (pro_sim_file_read(sim, client->path, 0, bytes, &length) ||
			length != file_sizes[client->file]) {
		pro_sim_fail(sim, "client %u has %zu bytes of a file of %zu", client->peer.number, length,
				file_sizes[client->file]);
		return;
	}
	for (size_t i = 0; i < length; i++)
		if (bytes[i] != file_byte(client->file, i)) {
			pro_sim_fail(sim, "client %u: byte %zu of its file is wrong", client->peer.number, i);
			return;
		}
}

static void transfer_stop(struct pro_sim *sim, void *context)
{
	struct transfer_session *session = context;

	for (unsigned i = 0; i < session->clients_count; i++)
		if (session->clients[i].peer.is_done)
			check_download(sim, &session->clients[i]);
	pro_file_root_close(session->root);
}

static void transfer_tear_down(struct pro_sim *sim, void *context)
{
	struct transfer_session *session = context;

	if (session->connections > 0)
		pro_sim_fail(sim, "%u connections of the server are left", session->connections);
	free(session->clients);
	free(session);
}

void transfer_test_init(struct pro_sim_test *test)
{
	pro_sim_test_init(test);
	test->options.parameter = 4;
	test->set_up = transfer_set_up;
	test->is_done = transfer_is_done;
	test->stop = transfer_stop;
	test->tear_down = transfer_tear_down;
}
