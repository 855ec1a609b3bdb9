/* A handler with every slot, which counts, logs and checks. */
#include "recorder.h"

#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "quick_assert.h"

#define SMALL_BUFFER_BYTES 4096

/* Starts, cancels and closes that this thread is inside of: no callback may run there. */
static _Thread_local unsigned start_depth;

struct recorder *recorder_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct recorder, service.handler);
}

/* Successful transfers of a stream may be cut differently by each port: the trace has their sum. */
static void recorder_flush_merged(struct recorder *recorder, enum event_kind kind)
{
	if (recorder->merged_bytes[kind] > 0)
		trace_printf(&recorder->traces[kind], "  %s %s PRO_OK %llu\n", recorder->name,
				event_kind_text(kind), (unsigned long long)recorder->merged_bytes[kind]);
	recorder->merged_bytes[kind] = 0;
}

static void recorder_trace(struct recorder *recorder, const struct event *event)
{
	if (!recorder->is_traced || !recorder->world->is_traced || event->kind == EVENT_WAKEUP)
		return;
	if (event->kind == EVENT_CLOSE)
		for (int kind = 0; kind < EVENT_KINDS; kind++)
			recorder_flush_merged(recorder, (enum event_kind)kind);
	if (event->kind == EVENT_READ_STREAM && event->error == 0) {
		recorder->merged_bytes[event->kind] += event->bytes;
		return;
	}
	recorder_flush_merged(recorder, event->kind);
	trace_printf(&recorder->traces[event->kind], "  %s %s %s %zu\n", recorder->name,
			event_kind_text(event->kind), pro_error_name(event->error), event->bytes);
}

static void recorder_check_laws(struct recorder *recorder, const struct event *event)
{
	const char *text = event_kind_text(event->kind);

	ASSERT_QUICK(start_depth == 0, "law 2: %s inside a start, cancel or close", text);
	ASSERT_QUICK(world_is_in_loop(), "law 3: %s on a thread that runs no loop", text);
	ASSERT_QUICK(!atomic_exchange(&recorder->is_inside, true),
			"%s overlaps another callback of the handler", text);
	ASSERT_QUICK(!recorder->is_closed, "%s after handle_close", text);
	ASSERT_QUICK(event->error <= 0 && strcmp(pro_error_name(event->error), "PRO_?") != 0 &&
						 event->error != PRO_EUNKNOWN,
			"%s: error %d (system's %d) is not in the table", text, event->error, event->os_error);
}

/* A repeating timer completes with its last callback only. */
static void recorder_enter_ledger(struct recorder *recorder, const struct event *event)
{
	if (event->kind == EVENT_TIME_OUT && !event->is_final)
		return;
	atomic_fetch_add(&recorder->completed[event->kind], 1);
	atomic_fetch_add(&recorder->world->completed[event->kind], 1);
	ASSERT_QUICK(event->kind >= EVENT_WAKEUP ||
						 recorder->completed[event->kind] <= recorder->started[event->kind],
			"law 1: more completions of %s than starts", event_kind_text(event->kind));
}

static void recorder_count(struct recorder *recorder, const struct event *event)
{
	recorder->last[event->kind] = *event;
	atomic_fetch_add(&recorder->bytes[event->kind], event->bytes);
	if (event->error)
		atomic_fetch_add(&recorder->errors[event->kind], 1);
	if (event->error == PRO_ECANCELED)
		atomic_fetch_add(&recorder->cancels[event->kind], 1);
	atomic_fetch_add(&recorder->count[event->kind], 1);
}

static void recorder_keep_handle(struct recorder *recorder, const struct event *event)
{
	if (event->error) {
		ASSERT_QUICK(event->handle == PRO_INVALID_HANDLE, "a handle with an error");
		return;
	}
	ASSERT_QUICK(recorder->handles_count < RECORDER_HANDLES_MAX, "too many handles");
	recorder->handles[recorder->handles_count++] = event->handle;
}

static void recorder_note(struct recorder *recorder, struct event *event)
{
	recorder_check_laws(recorder, event);
	recorder_trace(recorder, event);
	recorder_count(recorder, event);
	if (event->kind == EVENT_ACCEPT || event->kind == EVENT_CONNECT)
		recorder_keep_handle(recorder, event);
	recorder_enter_ledger(recorder, event);
	if (recorder->on_event && recorder->world->call)
		recorder->world->call(recorder, event);
	else if (recorder->on_event)
		recorder->on_event(recorder, event);
	recorder->is_inside = false;
}

#define EVENT_OF(event_kind, result)                                                               \
	{                                                                                              \
		.kind = (event_kind), .error = (result)->error, .os_error = (result)->os_error,            \
		.bytes = (result)->bytes_transferred, .act = (result)->act,                                \
		.completion_key = (result)->completion_key, .operation = (result)->operation,              \
		.handle = PRO_INVALID_HANDLE                                                               \
	}

static void recorder_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct recorder *recorder = recorder_from_handler(handler);
	struct event event = EVENT_OF(EVENT_READ_STREAM, result);
	bool is_borrowed = recorder->is_borrowing;

	event.block = result->block;
	event.bytes_requested = result->bytes_requested;
	if (!result->error)
		ASSERT_QUICK(result->bytes_transferred >= 1, "a read of nothing");
	recorder->is_borrowing = false;
	recorder_note(recorder, &event);
	if (is_borrowed && !recorder->keeps_blocks)
		pro_message_block_release(event.block);
}

static void recorder_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct event event = EVENT_OF(EVENT_WRITE_STREAM, result);

	event.block = result->block;
	event.bytes_requested = result->bytes_requested;
	if (!result->error)
		ASSERT_QUICK(result->bytes_transferred == result->bytes_requested, "a write of a part");
	recorder_note(recorder_from_handler(handler), &event);
}

static void recorder_handle_read_file(
		struct pro_handler *handler, const struct pro_asynch_read_file_result *result)
{
	struct event event = EVENT_OF(EVENT_READ_FILE, result);

	event.block = result->block;
	event.bytes_requested = result->bytes_requested;
	event.offset = result->offset;
	recorder_note(recorder_from_handler(handler), &event);
}

static void recorder_handle_write_file(
		struct pro_handler *handler, const struct pro_asynch_write_file_result *result)
{
	struct event event = EVENT_OF(EVENT_WRITE_FILE, result);

	event.block = result->block;
	event.bytes_requested = result->bytes_requested;
	event.offset = result->offset;
	recorder_note(recorder_from_handler(handler), &event);
}

static void recorder_handle_read_dgram(
		struct pro_handler *handler, const struct pro_asynch_read_dgram_result *result)
{
	struct event event = EVENT_OF(EVENT_READ_DGRAM, result);

	event.block = result->block;
	event.remote = result->remote;
	recorder_note(recorder_from_handler(handler), &event);
}

static void recorder_handle_write_dgram(
		struct pro_handler *handler, const struct pro_asynch_write_dgram_result *result)
{
	struct event event = EVENT_OF(EVENT_WRITE_DGRAM, result);

	event.block = result->block;
	event.bytes_requested = result->bytes_requested;
	recorder_note(recorder_from_handler(handler), &event);
}

static void recorder_handle_accept(
		struct pro_handler *handler, const struct pro_asynch_accept_result *result)
{
	struct event event = EVENT_OF(EVENT_ACCEPT, result);

	event.handle = result->accepted;
	event.local = result->local;
	event.remote = result->remote;
	recorder_note(recorder_from_handler(handler), &event);
}

static void recorder_handle_connect(
		struct pro_handler *handler, const struct pro_asynch_connect_result *result)
{
	struct event event = EVENT_OF(EVENT_CONNECT, result);

	event.handle = result->connected;
	event.remote = result->remote;
	recorder_note(recorder_from_handler(handler), &event);
}

static void recorder_handle_transmit_file(
		struct pro_handler *handler, const struct pro_asynch_transmit_file_result *result)
{
	struct event event = EVENT_OF(EVENT_TRANSMIT_FILE, result);

	event.bytes_sent = result->bytes_sent;
	recorder_note(recorder_from_handler(handler), &event);
}

static void recorder_handle_resolve(
		struct pro_handler *handler, const struct pro_asynch_resolve_result *result)
{
	struct event event = EVENT_OF(EVENT_RESOLVE, result);

	event.found = result->found;
	event.found_count = result->count;
	recorder_note(recorder_from_handler(handler), &event);
}

static void recorder_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct event event = EVENT_OF(EVENT_TIME_OUT, result);

	event.expirations = result->expirations;
	event.is_final = result->is_final;
	recorder_note(recorder_from_handler(handler), &event);
}

static void recorder_handle_work(
		struct pro_handler *handler, const struct pro_asynch_work_result *result)
{
	struct event event = EVENT_OF(EVENT_WORK, result);

	event.returned = result->returned;
	recorder_note(recorder_from_handler(handler), &event);
}

static void recorder_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	struct recorder *recorder = recorder_from_handler(handler);
	struct event event = {.kind = EVENT_POST,
			.error = result->error,
			.act = result->act,
			.block = result->block,
			.handle = PRO_INVALID_HANDLE};

	recorder_note(recorder, &event);
	if (!recorder->keeps_blocks)
		pro_message_block_release(result->block);
}

static void recorder_handle_wakeup(struct pro_handler *handler)
{
	struct event event = {.kind = EVENT_WAKEUP, .handle = PRO_INVALID_HANDLE};

	recorder_note(recorder_from_handler(handler), &event);
}

static void recorder_open(struct pro_service_handler *service)
{
	struct event event = {.kind = EVENT_OPEN, .handle = PRO_INVALID_HANDLE};

	recorder_note(recorder_from_handler(&service->handler), &event);
}

static void recorder_handle_close(struct pro_handler *handler)
{
	struct recorder *recorder = recorder_from_handler(handler);
	struct event event = {.kind = EVENT_CLOSE, .handle = PRO_INVALID_HANDLE};

	for (int kind = 0; kind < EVENT_WAKEUP; kind++)
		ASSERT_QUICK(recorder->is_shared || recorder->started[kind] == recorder->completed[kind],
				"handle_close with %s in flight", event_kind_text((enum event_kind)kind));
	recorder_note(recorder, &event);
	recorder->is_closed = true;
}

const struct pro_service_handler_vtbl recorder_vtbl = {
		.handler.handle_read_stream = recorder_handle_read_stream,
		.handler.handle_write_stream = recorder_handle_write_stream,
		.handler.handle_read_file = recorder_handle_read_file,
		.handler.handle_write_file = recorder_handle_write_file,
		.handler.handle_read_dgram = recorder_handle_read_dgram,
		.handler.handle_write_dgram = recorder_handle_write_dgram,
		.handler.handle_accept = recorder_handle_accept,
		.handler.handle_connect = recorder_handle_connect,
		.handler.handle_transmit_file = recorder_handle_transmit_file,
		.handler.handle_resolve = recorder_handle_resolve,
		.handler.handle_time_out = recorder_handle_time_out,
		.handler.handle_work = recorder_handle_work,
		.handler.handle_post = recorder_handle_post,
		.handler.handle_wakeup = recorder_handle_wakeup,
		.handler.handle_close = recorder_handle_close,
		.open = recorder_open,
};

struct recorder *recorder_create_on(
		struct world *world, struct pro_proactor *proactor, const char *name)
{
	struct recorder *recorder = calloc(1, sizeof(*recorder));
	struct recorder **last = &world->recorders;

	ck_assert_ptr_nonnull(recorder);
	recorder->world = world;
	recorder->name = name;
	recorder->is_traced = true;
	ASSERT_OK(pro_service_handler_init(&recorder->service, &recorder_vtbl, proactor));
	while (*last)
		last = &(*last)->next;
	*last = recorder;
	return recorder;
}

struct recorder *recorder_create(struct world *world, const char *name)
{
	return recorder_create_on(world, world->proactor, name);
}

void recorder_own_stream(struct recorder *recorder, pro_handle handle)
{
	struct pro_handler *handler = recorder_handler(recorder);

	pro_handler_set_handle(handler, handle);
	ASSERT_OK(pro_asynch_read_stream_open(&recorder->reader, handler, PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(pro_asynch_write_stream_open(&recorder->writer, handler, PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(pro_asynch_transmit_file_open(&recorder->sender, handler, PRO_INVALID_HANDLE, NULL));
}

static struct pro_proactor *recorder_proactor(const struct recorder *recorder)
{
	return pro_handler_proactor(&recorder->service.handler);
}

struct pro_addr recorder_listen(struct recorder *recorder, const char *text)
{
	struct pro_handler *handler = recorder_handler(recorder);
	struct pro_addr addr = world_addr(text);
	pro_handle handle;

	ASSERT_OK(pro_socket_listen(recorder_proactor(recorder), &addr, 0, &handle));
	pro_handler_set_handle(handler, handle);
	ASSERT_OK(pro_asynch_accept_open(&recorder->accept, handler, PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(pro_socket_local_addr(recorder_proactor(recorder), handle, &addr));
	return addr;
}

struct pro_addr recorder_own_dgram(struct recorder *recorder, const char *text)
{
	struct pro_handler *handler = recorder_handler(recorder);
	struct pro_addr addr = world_addr(text);
	pro_handle handle;

	ASSERT_OK(
			pro_socket_dgram(recorder_proactor(recorder), pro_addr_family(&addr), &addr, &handle));
	pro_handler_set_handle(handler, handle);
	ASSERT_OK(pro_asynch_read_dgram_open(&recorder->dgram_reader, handler, handle, NULL));
	ASSERT_OK(pro_asynch_write_dgram_open(&recorder->dgram_writer, handler, handle, NULL));
	ASSERT_OK(pro_socket_local_addr(recorder_proactor(recorder), handle, &addr));
	return addr;
}

void recorder_open_free(struct recorder *recorder)
{
	struct pro_handler *handler = recorder_handler(recorder);

	ASSERT_OK(pro_asynch_timer_open(&recorder->timer, handler, NULL));
	ASSERT_OK(pro_asynch_connect_open(&recorder->connect, handler, NULL));
	ASSERT_OK(pro_asynch_resolve_open(&recorder->resolver, handler, NULL));
	ASSERT_OK(pro_asynch_work_open(&recorder->work, handler, NULL));
}

void recorder_open_file(struct recorder *recorder, pro_handle file)
{
	struct pro_handler *handler = recorder_handler(recorder);

	ASSERT_OK(pro_asynch_read_file_open(&recorder->file_reader, handler, file, NULL));
	ASSERT_OK(pro_asynch_write_file_open(&recorder->file_writer, handler, file, NULL));
}

pro_handle recorder_take_handle(struct recorder *recorder)
{
	pro_handle handle = recorder->handles[0];

	ck_assert_uint_gt(recorder->handles_count, 0);
	recorder->handles_count--;
	memmove(recorder->handles, recorder->handles + 1,
			recorder->handles_count * sizeof(recorder->handles[0]));
	return handle;
}

void recorder_pair(struct recorder *left, struct recorder *right)
{
	pro_handle handles[2];

	ASSERT_OK(pro_socket_pair(recorder_proactor(left), handles));
	recorder_own_stream(left, handles[0]);
	recorder_own_stream(right, handles[1]);
}

void recorder_tcp_pair(struct recorder *client, struct recorder *server, const char *any)
{
	struct world *world = client->world;
	struct recorder *helper = recorder_create(world, "helper");
	struct pro_addr addr = recorder_listen(helper, any);

	helper->is_traced = false;
	recorder_open_free(helper);
	ASSERT_OK(STARTED(helper, ACCEPT, pro_asynch_accept_accept(&helper->accept)));
	ASSERT_OK(STARTED(helper, CONNECT, pro_asynch_connect_connect(&helper->connect, &addr, NULL)));
	RUN_UNTIL(world, helper->count[EVENT_ACCEPT] == 1 && helper->count[EVENT_CONNECT] == 1);
	ASSERT_OK(helper->last[EVENT_ACCEPT].error);
	ASSERT_OK(helper->last[EVENT_CONNECT].error);
	recorder_own_stream(client, helper->last[EVENT_CONNECT].handle);
	recorder_own_stream(server, helper->last[EVENT_ACCEPT].handle);
	helper->handles_count = 0;
	recorder_close(helper);
	RUN_UNTIL(world, helper->is_closed);
}

void recorder_send_little(struct recorder *recorder)
{
	ASSERT_OK(pro_socket_set_option(recorder_proactor(recorder),
			pro_handler_handle(recorder_handler(recorder)), PRO_SOCKET_SEND_BUFFER,
			SMALL_BUFFER_BYTES));
}

void recorder_begin_start(struct recorder *recorder, enum event_kind kind)
{
	atomic_fetch_add(&recorder->started[kind], 1);
	atomic_fetch_add(&recorder->world->started[kind], 1);
	start_depth++;
}

int recorder_end_start(struct recorder *recorder, enum event_kind kind, int result)
{
	start_depth--;
	if (result == 0)
		return 0;
	ASSERT_QUICK(result < 0 && strcmp(pro_error_name(result), "PRO_?") != 0, "a start returned %d",
			result);
	atomic_fetch_sub(&recorder->started[kind], 1);
	atomic_fetch_sub(&recorder->world->started[kind], 1);
	return result;
}

int recorder_read(struct recorder *recorder, struct pro_message_block *block, size_t bytes_max)
{
	int result = STARTED(recorder, READ_STREAM,
			pro_asynch_read_stream_read(&recorder->reader, block, bytes_max));

	if (result == 0)
		recorder->is_borrowing = !block;
	return result;
}

int recorder_write(struct recorder *recorder, struct pro_message_block *block)
{
	return STARTED(recorder, WRITE_STREAM, pro_asynch_write_stream_write(&recorder->writer, block));
}

int recorder_timer(struct recorder *recorder, int64_t delay_ms)
{
	return STARTED(recorder, TIME_OUT, pro_asynch_timer_schedule(&recorder->timer, delay_ms));
}

int recorder_post(struct recorder *recorder, struct pro_message_block *block, const void *act)
{
	return STARTED(recorder, POST, pro_handler_post(recorder_handler(recorder), block, act));
}

void recorder_close(struct recorder *recorder)
{
	start_depth++;
	pro_handler_close(recorder_handler(recorder));
	start_depth--;
}

int recorder_cancel(struct pro_operation *operation)
{
	int result;

	start_depth++;
	result = pro_operation_cancel(operation);
	start_depth--;
	if (result != 0)
		ASSERT_ERROR(result, PRO_ENOTFOUND);
	return result;
}

unsigned recorder_callbacks(const struct recorder *recorder)
{
	unsigned sum = 0;

	for (int kind = 0; kind < EVENT_KINDS; kind++)
		sum += recorder->count[kind];
	return sum;
}
