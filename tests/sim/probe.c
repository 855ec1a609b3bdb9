/* A handler that does one thing after the other. */
#include "probe.h"

#include <string.h>

#define WAIT_MS 600000

struct pro_sim *calm_world(void)
{
	struct pro_sim_options options;
	struct pro_sim *sim;

	pro_sim_options_init(&options);
	options.faults = 0;
	ck_assert_int_eq(pro_sim_create(&sim, &options), 0);
	return sim;
}

void world_end(struct pro_sim *sim)
{
	int error = pro_sim_end(sim);

	if (!error)
		error = pro_sim_check_memory(sim);
	ck_assert_msg(error == 0, "%s", pro_sim_failure(sim));
	pro_sim_destroy(sim);
}

void world_end_failed(struct pro_sim *sim, const char *text)
{
	pro_sim_end(sim);
	pro_sim_check_memory(sim);
	ck_assert_ptr_nonnull(pro_sim_failure(sim));
	ck_assert_msg(strstr(pro_sim_failure(sim), text) != NULL, "\"%s\" is not in \"%s\"", text,
			pro_sim_failure(sim));
	pro_sim_destroy(sim);
}

struct pro_proactor *world_proactor(struct pro_sim *sim, const char *name)
{
	struct pro_proactor *proactor;

	ck_assert_int_eq(pro_sim_proactor_create(sim, name, NULL, &proactor), 0);
	return proactor;
}

struct pro_addr world_addr(const char *text)
{
	struct pro_addr addr;

	ck_assert_int_eq(pro_addr_parse(&addr, text), 0);
	return addr;
}

/* ---- callbacks ---- */

static struct probe *probe_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct probe, handler);
}

static struct probe *probe_note(struct pro_handler *handler, int error, size_t bytes)
{
	struct probe *probe = probe_from_handler(handler);

	ck_assert_uint_gt(probe->pending, 0);
	probe->pending--;
	probe->error = error;
	probe->bytes = bytes;
	return probe;
}

static void probe_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	probe_note(handler, result->error, result->bytes_transferred)->block = result->block;
}

static void probe_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	probe_note(handler, result->error, result->bytes_transferred)->block = result->block;
}

static void probe_handle_read_file(
		struct pro_handler *handler, const struct pro_asynch_read_file_result *result)
{
	probe_note(handler, result->error, result->bytes_transferred);
}

static void probe_handle_write_file(
		struct pro_handler *handler, const struct pro_asynch_write_file_result *result)
{
	probe_note(handler, result->error, result->bytes_transferred);
}

static void probe_handle_read_dgram(
		struct pro_handler *handler, const struct pro_asynch_read_dgram_result *result)
{
	probe_note(handler, result->error, result->bytes_transferred)->remote = *result->remote;
}

static void probe_handle_write_dgram(
		struct pro_handler *handler, const struct pro_asynch_write_dgram_result *result)
{
	probe_note(handler, result->error, result->bytes_transferred);
}

static void probe_handle_accept(
		struct pro_handler *handler, const struct pro_asynch_accept_result *result)
{
	struct probe *probe = probe_note(handler, result->error, 0);

	probe->handle = result->accepted;
	probe->remote = *result->remote;
}

static void probe_handle_connect(
		struct pro_handler *handler, const struct pro_asynch_connect_result *result)
{
	probe_note(handler, result->error, 0)->handle = result->connected;
}

static void probe_handle_transmit_file(
		struct pro_handler *handler, const struct pro_asynch_transmit_file_result *result)
{
	probe_note(handler, result->error, result->bytes_transferred)->bytes_sent = result->bytes_sent;
}

static void probe_handle_resolve(
		struct pro_handler *handler, const struct pro_asynch_resolve_result *result)
{
	struct probe *probe = probe_note(handler, result->error, 0);

	probe->found = result->count;
	if (result->count > 0)
		probe->remote = result->found[0];
}

static void probe_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct probe *probe = probe_note(handler, result->error, 0);

	if (probe->on_time)
		probe->on_time(probe);
}

static void probe_handle_close(struct pro_handler *handler)
{
	probe_from_handler(handler)->is_closed = true;
}

static const struct pro_handler_vtbl probe_vtbl = {
		.handle_read_stream = probe_handle_read_stream,
		.handle_write_stream = probe_handle_write_stream,
		.handle_read_file = probe_handle_read_file,
		.handle_write_file = probe_handle_write_file,
		.handle_read_dgram = probe_handle_read_dgram,
		.handle_write_dgram = probe_handle_write_dgram,
		.handle_accept = probe_handle_accept,
		.handle_connect = probe_handle_connect,
		.handle_transmit_file = probe_handle_transmit_file,
		.handle_resolve = probe_handle_resolve,
		.handle_time_out = probe_handle_time_out,
		.handle_close = probe_handle_close,
};

/* ---- its life ---- */

void probe_init(struct probe *probe, struct pro_sim *sim, struct pro_proactor *proactor)
{
	memset(probe, 0, sizeof(*probe));
	probe->sim = sim;
	probe->proactor = proactor;
	probe->handle = PRO_INVALID_HANDLE;
	ck_assert_int_eq(pro_handler_init(&probe->handler, &probe_vtbl, proactor), 0);
	ck_assert_int_eq(pro_asynch_timer_open(&probe->timer, &probe->handler, NULL), 0);
	ck_assert_int_eq(pro_asynch_connect_open(&probe->connect, &probe->handler, NULL), 0);
	ck_assert_int_eq(pro_asynch_resolve_open(&probe->resolver, &probe->handler, NULL), 0);
}

void probe_own(struct probe *probe, pro_handle handle)
{
	struct pro_handler *handler = &probe->handler;

	pro_handler_set_handle(handler, handle);
	ck_assert_int_eq(pro_asynch_read_stream_open(&probe->reader, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_write_stream_open(&probe->writer, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_read_dgram_open(&probe->dgram_reader, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_write_dgram_open(&probe->dgram_writer, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_accept_open(&probe->accept, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_transmit_file_open(&probe->sender, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_read_file_open(&probe->file_reader, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_write_file_open(&probe->file_writer, handler, handle, NULL), 0);
}

static bool probe_is_idle(void *context)
{
	const struct probe *probe = context;

	return probe->pending == 0;
}

void probe_wait(struct probe *probe)
{
	int error = pro_sim_run_until(probe->sim, probe_is_idle, probe, WAIT_MS);

	ck_assert_msg(error == 0, "%s: %s", pro_error_name(error),
			pro_sim_failure(probe->sim) ? pro_sim_failure(probe->sim) : "no failure");
}

static bool probe_has_closed(void *context)
{
	const struct probe *probe = context;

	return probe->is_closed;
}

void probe_close(struct probe *probe)
{
	pro_handler_close(&probe->handler);
	ck_assert_int_eq(pro_sim_run_until(probe->sim, probe_has_closed, probe, WAIT_MS), 0);
}

void probe_join(struct probe *client, struct probe *server)
{
	struct pro_addr any = world_addr("10.0.0.1:4000");
	struct probe listener;
	pro_handle handle;

	ck_assert_int_eq(pro_socket_listen(server->proactor, &any, 0, &handle), 0);
	probe_init(&listener, server->sim, server->proactor);
	probe_own(&listener, handle);
	ck_assert_int_eq(probe_connect(client, "10.0.0.1:4000"), 0);
	ck_assert_int_eq(probe_accept(&listener), 0);
	probe_own(client, client->handle);
	probe_own(server, listener.handle);
	probe_close(&listener);
}

/* ---- what it does ---- */

static int probe_started(struct probe *probe, int error)
{
	if (error)
		return error;
	probe->pending++;
	probe_wait(probe);
	return probe->error;
}

int probe_read(struct probe *probe, void *bytes, size_t size)
{
	struct pro_message_block block;

	pro_message_block_init(&block, bytes, size);
	return probe_started(probe, pro_asynch_read_stream_read(&probe->reader, &block, 0));
}

int probe_write(struct probe *probe, const void *bytes, size_t length)
{
	struct pro_message_block block;

	pro_message_block_init_filled(&block, bytes, length);
	return probe_started(probe, pro_asynch_write_stream_write(&probe->writer, &block));
}

void probe_start_read(struct probe *probe, struct pro_message_block *block)
{
	ck_assert_int_eq(pro_asynch_read_stream_read(&probe->reader, block, 0), 0);
	probe->pending++;
}

void probe_start_write(struct probe *probe, struct pro_message_block *block)
{
	ck_assert_int_eq(pro_asynch_write_stream_write(&probe->writer, block), 0);
	probe->pending++;
}

int probe_accept(struct probe *probe)
{
	return probe_started(probe, pro_asynch_accept_accept(&probe->accept));
}

int probe_connect(struct probe *probe, const char *text)
{
	struct pro_addr addr = world_addr(text);

	return probe_started(probe, pro_asynch_connect_connect(&probe->connect, &addr, NULL));
}

int probe_resolve(struct probe *probe, const char *text)
{
	return probe_started(probe, pro_asynch_resolve_resolve(&probe->resolver, text));
}

int probe_read_file(struct probe *probe, void *bytes, size_t size, uint64_t offset)
{
	struct pro_message_block block;

	pro_message_block_init(&block, bytes, size);
	return probe_started(probe, pro_asynch_read_file_read(&probe->file_reader, &block, 0, offset));
}

int probe_write_file(struct probe *probe, const void *bytes, size_t length, uint64_t offset)
{
	struct pro_message_block block;

	pro_message_block_init_filled(&block, bytes, length);
	return probe_started(probe, pro_asynch_write_file_write(&probe->file_writer, &block, offset));
}

int probe_sleep(struct probe *probe, int64_t ms)
{
	return probe_started(probe, pro_asynch_timer_schedule(&probe->timer, ms));
}

void pair_open(struct pair *pair)
{
	pair->sim = calm_world();
	/* The server is the first, at 10.0.0.1. */
	probe_init(&pair->server, pair->sim, world_proactor(pair->sim, "server"));
	probe_init(&pair->client, pair->sim, world_proactor(pair->sim, "client"));
	probe_join(&pair->client, &pair->server);
}

void pair_close(struct pair *pair)
{
	probe_close(&pair->client);
	probe_close(&pair->server);
	world_end(pair->sim);
}
