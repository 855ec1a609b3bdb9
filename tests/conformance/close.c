/* Statements 8 to 10: close cancels all, the peer sees the end, handle_close comes last, and a new
 * handle inherits nothing. */
#include "conformance.h"

#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../support/crew.h"
#include "../support/os.h"
#include "../support/recorder.h"

#define END_PROMISE_MS 100

static int compare_u64(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

/* Closes a handler with `count` reads in flight on one socket, whose peer reads too. */
static void close_with_reads(struct world *world, unsigned count)
{
	struct pro_asynch_read_stream *readers = calloc(count + 1, sizeof(*readers));
	struct pro_message_block *blocks = calloc(count + 1, sizeof(*blocks));
	struct pro_message_block peer_block;
	struct recorder *left, *right;
	char bytes[16], peer_bytes[16];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	for (unsigned i = 0; i < count; i++) {
		pro_message_block_init(&blocks[i], bytes, sizeof(bytes));
		ASSERT_OK(pro_asynch_read_stream_open(
				&readers[i], recorder_handler(left), PRO_INVALID_HANDLE, NULL));
		ASSERT_OK(STARTED(
				left, READ_STREAM, pro_asynch_read_stream_read(&readers[i], &blocks[i], 0)));
	}
	pro_message_block_init(&peer_block, peer_bytes, sizeof(peer_bytes));
	ASSERT_OK(recorder_read(right, &peer_block, 0));
	world_run_ready(world);

	recorder_close(left);
	RUN_UNTIL(world, left->is_closed && right->count[EVENT_READ_STREAM] == 1);
	world_run_ready(world);
	ck_assert_uint_eq(left->count[EVENT_READ_STREAM], count);
	ck_assert_uint_eq(left->cancels[EVENT_READ_STREAM], count);
	ck_assert_uint_eq(left->count[EVENT_CLOSE], 1);
	ASSERT_ERROR(right->last[EVENT_READ_STREAM].error, PRO_EOF);
	free(readers);
	free(blocks);
}

void scenario_close_with_nothing_gives_handle_close(struct world *world)
{
	close_with_reads(world, 0);
}

void scenario_close_with_1_read_gives_1_cancel_then_handle_close(struct world *world)
{
	close_with_reads(world, 1);
}

void scenario_close_with_8_reads_gives_8_cancels_then_handle_close(struct world *world)
{
	close_with_reads(world, 8);
}

void scenario_close_with_1000_reads_gives_1000_cancels_then_handle_close(struct world *world)
{
	close_with_reads(world, 1000);
}

/* The same before the port has seen any of them. */
void scenario_close_right_after_1000_starts_cancels_them_all(struct world *world)
{
	enum { COUNT = 1000 };
	struct pro_asynch_read_stream *readers = calloc(COUNT, sizeof(*readers));
	struct pro_message_block block;
	struct recorder *left, *right;
	char bytes[16];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	for (unsigned i = 0; i < COUNT; i++) {
		ASSERT_OK(pro_asynch_read_stream_open(
				&readers[i], recorder_handler(left), PRO_INVALID_HANDLE, NULL));
		ASSERT_OK(STARTED(left, READ_STREAM, pro_asynch_read_stream_read(&readers[i], &block, 0)));
	}
	recorder_close(left);
	RUN_UNTIL(world, left->is_closed);
	ck_assert_uint_eq(left->cancels[EVENT_READ_STREAM], COUNT);
	free(readers);
}

void scenario_close_with_1000_accepts_gives_1000_cancels(struct world *world)
{
	enum { COUNT = 1000 };
	struct pro_asynch_accept *accepts = calloc(COUNT, sizeof(*accepts));
	struct recorder *listener, *client;
	struct pro_addr addr;

	world_open(world);
	listener = recorder_create(world, "listener");
	client = recorder_create(world, "client");
	addr = recorder_listen(listener, ANY_INET);
	recorder_open_free(client);
	for (unsigned i = 0; i < COUNT; i++) {
		ASSERT_OK(pro_asynch_accept_open(
				&accepts[i], recorder_handler(listener), PRO_INVALID_HANDLE, NULL));
		ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&accepts[i])));
	}
	world_run_ready(world);
	recorder_close(listener);
	RUN_UNTIL(world, listener->is_closed);
	ck_assert_uint_eq(listener->cancels[EVENT_ACCEPT], COUNT);
	ASSERT_OK(STARTED(client, CONNECT, pro_asynch_connect_connect(&client->connect, &addr, NULL)));
	RUN_UNTIL(world, client->count[EVENT_CONNECT]);
	ASSERT_ERROR(client->last[EVENT_CONNECT].error, PRO_ECONNREFUSED);
	free(accepts);
}

void scenario_close_cancels_a_mixture(struct world *world)
{
	static unsigned char big_bytes[8 << 20];
	struct recorder *left, *right;
	struct pro_message_block in, big, behind, posted;
	char bytes[16];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	left->is_traced = false;
	recorder_tcp_pair(left, right, ANY_INET);
	recorder_send_little(left);
	recorder_open_free(left);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	pro_message_block_init_filled(&big, big_bytes, sizeof(big_bytes));
	pro_message_block_init_filled(&behind, "x", 1);
	pro_message_block_init_filled(&posted, "y", 1);
	ASSERT_OK(recorder_read(left, &in, 0));
	ASSERT_OK(recorder_write(left, &big));
	ASSERT_OK(recorder_write(left, &behind));
	ASSERT_OK(recorder_timer(left, 60000));
	world_run_for(world, 20);
	ASSERT_OK(recorder_post(left, &posted, NULL));
	recorder_close(left);
	RUN_UNTIL(world, left->is_closed);
	ck_assert_uint_eq(left->cancels[EVENT_READ_STREAM], 1);
	ck_assert_uint_eq(left->cancels[EVENT_WRITE_STREAM], 2);
	ck_assert_uint_eq(left->cancels[EVENT_TIME_OUT], 1);
	ck_assert_uint_eq(left->count[EVENT_POST], 1);
}

/* The median of 21 rounds keeps the promise; a busy machine may stretch single ones. */
static void peer_sees_the_end(struct world *world, bool over_tcp)
{
	enum { ROUNDS = 21 };
	uint64_t took_ms[ROUNDS];

	world->is_traced = false;
	world_open(world);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct recorder *left = recorder_create(world, "left");
		struct recorder *right = recorder_create(world, "right");
		struct pro_message_block blocks[2];
		char bytes[2][16];
		uint64_t start_ms;

		if (over_tcp)
			recorder_tcp_pair(left, right, ANY_INET);
		else
			recorder_pair(left, right);
		pro_message_block_init(&blocks[0], bytes[0], 16);
		pro_message_block_init(&blocks[1], bytes[1], 16);
		ASSERT_OK(recorder_read(left, &blocks[0], 0));
		ASSERT_OK(recorder_read(right, &blocks[1], 0));
		world_run_ready(world);
		start_ms = pro_proactor_now_ms(world->proactor);
		recorder_close(left);
		RUN_UNTIL(world, right->count[EVENT_READ_STREAM]);
		took_ms[i] = pro_proactor_now_ms(world->proactor) - start_ms;
		ASSERT_ERROR(right->last[EVENT_READ_STREAM].error, PRO_EOF);
		recorder_close(right);
		RUN_UNTIL(world, left->is_closed && right->is_closed);
	}
	qsort(took_ms, ROUNDS, sizeof(took_ms[0]), compare_u64);
	ck_assert_uint_le(took_ms[ROUNDS / 2], END_PROMISE_MS);
}

/* As a connect that won its race against the close gives one. */
static void take_handle_while_closing(struct recorder *recorder, const struct event *event)
{
	pro_handle *handle = recorder->context;

	if (event->kind != EVENT_TIME_OUT || event->error != PRO_ECANCELED)
		return;
	pro_handler_set_handle(recorder_handler(recorder), *handle);
}

void scenario_handle_that_comes_while_closing_is_closed_too(struct world *world)
{
	struct recorder *left = NULL, *right;
	struct pro_message_block block;
	char bytes[16];
	pro_handle handles[2];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	ASSERT_OK(pro_socket_pair(world->proactor, handles));
	recorder_own_stream(right, handles[1]);
	recorder_open_free(left);
	left->context = &handles[0];
	left->on_event = take_handle_while_closing;
	ASSERT_OK(recorder_timer(left, 60000));
	world_run_ready(world);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(right, &block, 0));
	recorder_close(left);
	RUN_UNTIL(world, left->is_closed && right->count[EVENT_READ_STREAM]);
	ASSERT_ERROR(right->last[EVENT_READ_STREAM].error, PRO_EOF);
}

struct late_handle {
	struct recorder *closing;
	pro_handle handle;
};

static void close_another_and_give_it_a_handle(struct recorder *recorder, const struct event *event)
{
	const struct late_handle *late = recorder->context;

	if (event->kind != EVENT_TIME_OUT)
		return;
	recorder_close(late->closing);
	pro_handler_set_handle(recorder_handler(late->closing), late->handle);
}

/* Nothing of the handler is in flight, so that all but its handle_close is over at once. */
void scenario_handle_that_comes_after_the_last_step_is_closed_too(struct world *world)
{
	struct recorder *closer, *right;
	struct late_handle late;
	struct pro_message_block block;
	char bytes[16];
	pro_handle handles[2];

	world_open(world);
	closer = recorder_create(world, "closer");
	right = recorder_create(world, "right");
	late.closing = recorder_create(world, "closing");
	ASSERT_OK(pro_socket_pair(world->proactor, handles));
	late.handle = handles[0];
	recorder_own_stream(right, handles[1]);
	recorder_open_free(closer);
	closer->context = &late;
	closer->on_event = close_another_and_give_it_a_handle;
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(right, &block, 0));
	ASSERT_OK(recorder_timer(closer, 0));
	RUN_UNTIL(world, late.closing->is_closed && right->count[EVENT_READ_STREAM]);
	ASSERT_ERROR(right->last[EVENT_READ_STREAM].error, PRO_EOF);
}

void scenario_peer_sees_the_end_within_100_ms_of_a_close(struct world *world)
{
	peer_sees_the_end(world, true);
}

void scenario_peer_of_a_pair_sees_the_end_within_100_ms(struct world *world)
{
	peer_sees_the_end(world, false);
}

/* ---- 9 ---- */

/* Each round closes a socket with reads in flight, and in the last callback opens a pair that takes
 * its number: nothing of the old one may reach the new. */
void scenario_no_completion_of_an_old_handle_reaches_its_number_again(struct world *world)
{
	unsigned rounds = world_number(300, 20000);
	unsigned reused = 0;

	world->is_traced = false;
	world_open(world);
	for (unsigned i = 0; i < rounds; i++) {
		struct recorder *old = recorder_create(world, "old");
		struct recorder *old_peer = recorder_create(world, "old peer");
		struct recorder *left = recorder_create(world, "left");
		struct recorder *right = recorder_create(world, "right");
		struct pro_message_block block, out, rubbish;
		pro_handle number;
		char bytes[16];

		recorder_pair(old, old_peer);
		number = pro_handler_handle(recorder_handler(old));
		pro_message_block_init(&block, bytes, sizeof(bytes));
		pro_message_block_init_filled(&rubbish, "rubbish", 7);
		ASSERT_OK(recorder_read(old, &block, 0));
		if (i % 2)
			world_run_ready(world);
		if (i % 3 == 0)
			ASSERT_OK(recorder_write(old_peer, &rubbish));
		recorder_close(old);
		recorder_close(old_peer);
		RUN_UNTIL(world, old->is_closed && old_peer->is_closed);

		recorder_pair(left, right);
		reused += pro_handler_handle(recorder_handler(left)) == number ||
				  pro_handler_handle(recorder_handler(right)) == number;
		pro_message_block_init(&block, bytes, sizeof(bytes));
		ASSERT_OK(recorder_read(left, &block, 0));
		world_run_ready(world);
		ck_assert_uint_eq(left->count[EVENT_READ_STREAM], 0);
		pro_message_block_init_filled(&out, "new", 3);
		ASSERT_OK(recorder_write(right, &out));
		RUN_UNTIL(world, left->count[EVENT_READ_STREAM] && right->count[EVENT_WRITE_STREAM]);
		ASSERT_OK(left->last[EVENT_READ_STREAM].error);
		ck_assert_mem_eq(bytes, "new", 3);
		recorder_close(left);
		recorder_close(right);
		RUN_UNTIL(world, left->is_closed && right->is_closed);
	}
	ck_assert_uint_gt(reused, 0);
}

/* ---- 10 ---- */

static PRO_ATOMIC(unsigned) living; /* short-lived handlers */

/* A handler on the heap that frees itself in handle_close, so that a sanitizer sees any later use.
 */
struct short_lived {
	struct pro_handler handler; /* first */
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_timer timer;
	struct pro_message_block in;
	struct pro_message_block out;
	struct pro_message_block posted;
	unsigned expected; /* callbacks before handle_close */
	char bytes[16];
};

static struct short_lived *short_lived_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct short_lived, handler);
}

static void short_lived_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	(void)result;
	short_lived_from_handler(handler)->expected--;
}

static void short_lived_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	(void)result;
	short_lived_from_handler(handler)->expected--;
}

static void short_lived_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	(void)result;
	short_lived_from_handler(handler)->expected--;
	pro_handler_close(handler);
}

static void short_lived_handle_post(
		struct pro_handler *handler, const struct pro_post_result *result)
{
	(void)result;
	short_lived_from_handler(handler)->expected--;
}

static void short_lived_handle_wakeup(struct pro_handler *handler)
{
	(void)handler;
}

static void short_lived_handle_close(struct pro_handler *handler)
{
	struct short_lived *mayfly = short_lived_from_handler(handler);

	ck_assert_uint_eq(mayfly->expected, 0);
	living--;
	memset(mayfly, 0xdd, sizeof(*mayfly));
	free(mayfly);
}

static const struct pro_handler_vtbl short_lived_vtbl = {
		.handle_read_stream = short_lived_handle_read_stream,
		.handle_write_stream = short_lived_handle_write_stream,
		.handle_time_out = short_lived_handle_time_out,
		.handle_post = short_lived_handle_post,
		.handle_wakeup = short_lived_handle_wakeup,
		.handle_close = short_lived_handle_close,
};

static struct short_lived *short_lived_create(struct pro_proactor *proactor, pro_handle handle)
{
	struct short_lived *mayfly = calloc(1, sizeof(*mayfly));
	struct pro_handler *handler;

	ck_assert_ptr_nonnull(mayfly);
	handler = &mayfly->handler;
	living++;
	ASSERT_OK(pro_handler_init(handler, &short_lived_vtbl, proactor));
	pro_handler_set_handle(handler, handle);
	ASSERT_OK(pro_asynch_read_stream_open(&mayfly->reader, handler, PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(pro_asynch_write_stream_open(&mayfly->writer, handler, PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(pro_asynch_timer_open(&mayfly->timer, handler, NULL));
	pro_message_block_init(&mayfly->in, mayfly->bytes, sizeof(mayfly->bytes));
	pro_message_block_init_filled(&mayfly->out, "out", 3);
	pro_message_block_init_filled(&mayfly->posted, "posted", 6);
	return mayfly;
}

static void short_lived_start(struct short_lived *mayfly, unsigned mode)
{
	ASSERT_OK(pro_asynch_read_stream_read(&mayfly->reader, &mayfly->in, 0));
	ASSERT_OK(pro_asynch_timer_schedule(&mayfly->timer, mode % 2));
	mayfly->expected = 2;
	if (mode & 2) {
		ASSERT_OK(pro_asynch_write_stream_write(&mayfly->writer, &mayfly->out));
		mayfly->expected++;
	}
	if (mode & 4) {
		ASSERT_OK(pro_handler_post(&mayfly->handler, &mayfly->posted, NULL));
		mayfly->expected++;
	}
	if (mode & 8)
		ASSERT_OK(pro_handler_wakeup(&mayfly->handler));
	if (mode & 16)
		pro_operation_cancel(&mayfly->reader.operation);
}

void scenario_handler_is_freed_after_its_last_completion(struct world *world)
{
	unsigned rounds = world_number(2000, 100000);

	world_open(world);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned modes[2] = {i % 32, i / 32 % 32};
		pro_handle handles[2];

		ASSERT_OK(pro_socket_pair(world->proactor, handles));
		for (unsigned side = 0; side < 2; side++) {
			struct short_lived *mayfly = short_lived_create(world->proactor, handles[side]);

			short_lived_start(mayfly, modes[side]);
			if (modes[side] % 5 == 0)
				pro_handler_close(&mayfly->handler);
		}
		RUN_UNTIL(world, living < 8);
	}
	RUN_UNTIL(world, living == 0);
}

static void close_again(struct recorder *recorder, const struct event *event)
{
	(void)event;
	recorder_close(recorder);
	ck_assert(pro_handler_is_closing(recorder_handler(recorder)));
}

void scenario_close_twice_gives_one_handle_close(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block block;
	char bytes[16];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	left->on_event = close_again;
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(left, &block, 0));
	recorder_close(left);
	recorder_close(left);
	RUN_UNTIL(world, left->is_closed);
	recorder_close(right);
	recorder_close(right);
	RUN_UNTIL(world, right->is_closed);
	world_run_ready(world);
	ck_assert_uint_eq(left->count[EVENT_CLOSE], 1);
	ck_assert_uint_eq(right->count[EVENT_CLOSE], 1);
}

/* No start, no handle: the close still has its callback. */
void scenario_close_of_an_unused_handler_gives_handle_close(struct world *world)
{
	struct recorder *unused;

	world_open(world);
	unused = recorder_create(world, "unused");
	recorder_close(unused);
	ck_assert_uint_eq(unused->count[EVENT_CLOSE], 0);
	RUN_UNTIL(world, unused->is_closed);
}

struct far_close {
	struct recorder **recorders;
	unsigned count;
};

static void close_them_all(void *context, unsigned number)
{
	struct far_close *far = context;

	for (unsigned i = number; i < far->count; i++)
		recorder_close(far->recorders[i]);
}

/* Several threads close the same handlers while these start and complete. */
void scenario_close_may_come_from_any_thread(struct world *world)
{
	enum { PAIRS = 200 };
	struct recorder *recorders[2 * PAIRS];
	static struct pro_message_block in[2 * PAIRS], out[2 * PAIRS];
	static char bytes[2 * PAIRS][8];
	struct far_close far = {.recorders = recorders, .count = 2 * PAIRS};
	struct crew crew;

	world->is_traced = false;
	world_open(world);
	for (unsigned i = 0; i < 2 * PAIRS; i += 2) {
		recorders[i] = recorder_create(world, "left");
		recorders[i + 1] = recorder_create(world, "right");
		recorder_pair(recorders[i], recorders[i + 1]);
		for (unsigned side = i; side < i + 2; side++) {
			pro_message_block_init(&in[side], bytes[side], sizeof(bytes[side]));
			pro_message_block_init_filled(&out[side], "xyz", 3);
			ASSERT_OK(recorder_read(recorders[side], &in[side], 0));
		}
	}
	crew_start(&crew, 2, close_them_all, &far);
	for (unsigned i = 0; i < 2 * PAIRS; i++)
		if (recorder_write(recorders[i], &out[i]) == 0)
			world_run_ready(world);
	crew_join(&crew);
	for (unsigned i = 0; i < 2 * PAIRS; i++)
		RUN_UNTIL(world, recorders[i]->is_closed);
}
