/* Statements 1 to 4: one completion per accepted start, never inside a call, never two at once, and
 * nothing of the caller's before it. */
#include "conformance.h"

#include <check.h>
#include <stdatomic.h>
#include <string.h>

#include "../support/crew.h"
#include "../support/recorder.h"

static const char act[] = "act";
static const char key[] = "key";

void scenario_read_completes_once_with_its_bytes(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block hello, block;
	char bytes[64];
	const struct event *last;

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	pro_message_block_init_filled(&hello, "hello", 5);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	pro_operation_set_act(&left->reader.operation, act);
	pro_operation_set_completion_key(&left->reader.operation, key);

	ASSERT_OK(recorder_read(left, &block, 0));
	ck_assert(pro_operation_in_flight(&left->reader.operation));
	ASSERT_OK(recorder_write(right, &hello));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] && right->count[EVENT_WRITE_STREAM]);
	world_run_ready(world);

	last = &left->last[EVENT_READ_STREAM];
	ck_assert_uint_eq(left->count[EVENT_READ_STREAM], 1);
	ASSERT_OK(last->error);
	ck_assert_uint_eq(last->bytes, 5);
	ck_assert_uint_eq(last->bytes_requested, sizeof(bytes));
	ck_assert_ptr_eq(last->act, act);
	ck_assert_ptr_eq(last->completion_key, key);
	ck_assert_ptr_eq(last->operation, &left->reader.operation);
	ck_assert_ptr_eq(last->block, &block);
	ck_assert_uint_eq(block.wr, 5);
	ck_assert_mem_eq(bytes, "hello", 5);
	ck_assert_uint_eq(hello.rd, 5);
	ck_assert_ptr_eq(right->last[EVENT_WRITE_STREAM].block, &hello);
	ck_assert(!pro_operation_in_flight(&left->reader.operation));
	ck_assert_ptr_eq(pro_operation_proactor(&left->reader.operation), world->proactor);
}

void scenario_read_completes_once_when_closed(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block block;
	char bytes[64];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(left, &block, 0));
	world_run_ready(world);

	recorder_close(left);
	ck_assert(pro_handler_is_closing(recorder_handler(left)));
	RUN_UNTIL(world, left->is_closed);
	world_run_ready(world);
	ck_assert_uint_eq(left->count[EVENT_READ_STREAM], 1);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_ECANCELED);
	ck_assert_uint_eq(left->count[EVENT_CLOSE], 1);
	ck_assert_uint_eq(block.wr, 0);
}

void scenario_refused_start_never_completes(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block block, other, full;
	char bytes[64], more[64];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	recorder_open_free(left);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	pro_message_block_init(&other, more, sizeof(more));
	pro_message_block_init_filled(&full, bytes, sizeof(bytes));

	ASSERT_OK(recorder_read(left, &block, 0));
	ASSERT_ERROR(recorder_read(left, &other, 0), PRO_EBUSY);
	ASSERT_ERROR(recorder_read(right, &full, 0), PRO_EINVAL);
	ASSERT_ERROR(recorder_write(right, &other), PRO_EINVAL);
	ASSERT_ERROR(recorder_timer(left, -1), PRO_EINVAL);
	recorder_close(right);
	ASSERT_ERROR(recorder_read(right, &other, 0), PRO_ECLOSED);
	ASSERT_ERROR(recorder_write(right, &full), PRO_ECLOSED);
	ASSERT_ERROR(recorder_post(right, &other, NULL), PRO_ECLOSED);
	RUN_UNTIL(world, right->is_closed);
	world_run_ready(world);
	ck_assert_uint_eq(recorder_callbacks(right), 1); /* handle_close */
	ck_assert_uint_ge(world_statistics(world).refused, 4);
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM]); /* the end */
	world_close_recorders(world);
}

static int return_7(void *argument)
{
	(void)argument;
	return 7;
}

/* Starts one operation of each class at once; how each ends is in the trace. */
void scenario_each_class_completes_once(struct world *world)
{
	struct recorder *left, *right, *listener, *all, *dgram;
	struct pro_message_block in, out, file_out, file_in, dgram_out, dgram_in, posted;
	char bytes[6][16];
	struct pro_addr addr, dgram_addr;
	pro_handle file;

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	listener = recorder_create(world, "listener");
	all = recorder_create(world, "all");
	dgram = recorder_create(world, "dgram");
	recorder_pair(left, right);
	addr = recorder_listen(listener, ANY_INET);
	dgram_addr = recorder_own_dgram(dgram, ANY_INET);
	recorder_open_free(all);
	file = world_file(world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	recorder_open_file(all, file);
	pro_message_block_init(&in, bytes[0], 16);
	pro_message_block_init_filled(&out, "0123456789", 10);
	pro_message_block_init_filled(&file_out, "abcdef", 6);
	pro_message_block_init(&file_in, bytes[1], 16);
	pro_message_block_init_filled(&dgram_out, "datagram", 8);
	pro_message_block_init(&dgram_in, bytes[2], 16);
	pro_message_block_init_filled(&posted, "post", 4);

	ASSERT_OK(recorder_read(left, &in, 0));
	ASSERT_OK(recorder_write(right, &out));
	ASSERT_OK(
			STARTED(all, WRITE_FILE, pro_asynch_write_file_write(&all->file_writer, &file_out, 0)));
	ASSERT_OK(STARTED(
			dgram, READ_DGRAM, pro_asynch_read_dgram_recv(&dgram->dgram_reader, &dgram_in)));
	ASSERT_OK(STARTED(dgram, WRITE_DGRAM,
			pro_asynch_write_dgram_send(&dgram->dgram_writer, &dgram_out, &dgram_addr)));
	ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&listener->accept)));
	ASSERT_OK(STARTED(all, CONNECT, pro_asynch_connect_connect(&all->connect, &addr, NULL)));
	ASSERT_OK(STARTED(all, RESOLVE, pro_asynch_resolve_resolve(&all->resolver, "127.0.0.1:80")));
	ASSERT_OK(recorder_timer(all, 1));
	ASSERT_OK(STARTED(all, WORK, pro_asynch_work_run(&all->work, return_7, NULL)));
	ASSERT_OK(recorder_post(all, &posted, NULL));
	ASSERT_OK(pro_handler_wakeup(recorder_handler(all)));
	RUN_UNTIL(world, all->count[EVENT_WRITE_FILE]);
	ASSERT_OK(
			STARTED(all, READ_FILE, pro_asynch_read_file_read(&all->file_reader, &file_in, 0, 0)));
	RUN_UNTIL(world, right->count[EVENT_WRITE_STREAM]);
	ASSERT_OK(STARTED(right, TRANSMIT_FILE,
			pro_asynch_transmit_file_transmit_file(&right->sender, file, 0, 0, NULL, NULL)));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] && dgram->count[EVENT_READ_DGRAM] &&
							 dgram->count[EVENT_WRITE_DGRAM] && listener->count[EVENT_ACCEPT] &&
							 all->count[EVENT_CONNECT] && all->count[EVENT_RESOLVE] &&
							 all->count[EVENT_TIME_OUT] && all->count[EVENT_WORK] &&
							 all->count[EVENT_POST] && all->count[EVENT_WAKEUP] &&
							 all->count[EVENT_READ_FILE] && right->count[EVENT_TRANSMIT_FILE]);
	world_run_ready(world);
	for (int kind = 0; kind <= EVENT_POST; kind++)
		ck_assert_msg(world->completed[kind] == 1, "%s", event_kind_text((enum event_kind)kind));
	ck_assert_mem_eq(bytes[1], "abcdef", 6);
	ck_assert_mem_eq(bytes[2], "datagram", 8);
	ck_assert_uint_ge(all->last[EVENT_RESOLVE].found_count, 1);
	ck_assert_int_eq(all->last[EVENT_WORK].returned, 7);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
}

/* STARTED checks that no callback runs inside; here every start could complete at once. */
static void start_what_is_ready(struct recorder *recorder, const struct event *event)
{
	struct recorder **others = recorder->context;
	static struct pro_message_block in, out, dgram_in, dgram_out;
	static char bytes[2][16];
	struct pro_addr nobody = world_addr("127.0.0.1:1");
	unsigned before;

	if (event->kind != EVENT_TIME_OUT)
		return;
	pro_message_block_init(&in, bytes[0], 16);
	pro_message_block_init(&dgram_in, bytes[1], 16);
	pro_message_block_init_filled(&out, "x", 1);
	pro_message_block_init_filled(&dgram_out, "y", 1);
	before = recorder_callbacks(others[0]) + recorder_callbacks(others[1]) +
			 recorder_callbacks(others[2]);
	ASSERT_OK(recorder_read(others[0], &in, 0));
	ASSERT_OK(recorder_write(others[0], &out));
	ASSERT_OK(STARTED(others[1], ACCEPT, pro_asynch_accept_accept(&others[1]->accept)));
	ASSERT_OK(STARTED(others[2], READ_DGRAM,
			pro_asynch_read_dgram_recv(&others[2]->dgram_reader, &dgram_in)));
	ASSERT_OK(STARTED(
			recorder, CONNECT, pro_asynch_connect_connect(&recorder->connect, &nobody, NULL)));
	ASSERT_OK(recorder_timer(recorder, 0));
	ASSERT_OK(recorder_post(recorder, &dgram_out, NULL));
	ASSERT_OK(pro_handler_wakeup(recorder_handler(recorder)));
	ck_assert_uint_eq(recorder_callbacks(others[0]) + recorder_callbacks(others[1]) +
							  recorder_callbacks(others[2]),
			before);
	recorder->on_event = NULL;
}

void scenario_no_callback_inside_a_start(struct world *world)
{
	struct recorder *left, *right, *listener, *dgram, *starter, *others[3];
	struct pro_message_block out, dgram_out;
	struct pro_addr addr, dgram_addr;

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	listener = recorder_create(world, "listener");
	dgram = recorder_create(world, "dgram");
	starter = recorder_create(world, "starter");
	recorder_pair(left, right);
	addr = recorder_listen(listener, ANY_INET);
	dgram_addr = recorder_own_dgram(dgram, ANY_INET);
	recorder_open_free(starter);
	pro_message_block_init_filled(&out, "ready", 5);
	pro_message_block_init_filled(&dgram_out, "ready", 5);
	ASSERT_OK(recorder_write(right, &out));
	ASSERT_OK(STARTED(dgram, WRITE_DGRAM,
			pro_asynch_write_dgram_send(&dgram->dgram_writer, &dgram_out, &dgram_addr)));
	ASSERT_OK(
			STARTED(starter, CONNECT, pro_asynch_connect_connect(&starter->connect, &addr, NULL)));
	RUN_UNTIL(world, right->count[EVENT_WRITE_STREAM] && dgram->count[EVENT_WRITE_DGRAM] &&
							 starter->count[EVENT_CONNECT]);

	others[0] = left;
	others[1] = listener;
	others[2] = dgram;
	starter->context = others;
	starter->on_event = start_what_is_ready;
	ASSERT_OK(recorder_timer(starter, 0));
	ck_assert_uint_eq(starter->count[EVENT_TIME_OUT], 0);
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] && left->count[EVENT_WRITE_STREAM] &&
							 listener->count[EVENT_ACCEPT] && dgram->count[EVENT_READ_DGRAM] &&
							 starter->count[EVENT_CONNECT] == 2 &&
							 starter->count[EVENT_TIME_OUT] == 2 &&
							 starter->count[EVENT_POST] == 1 && starter->count[EVENT_WAKEUP] == 1);
	ASSERT_ERROR(starter->last[EVENT_CONNECT].error, PRO_ECONNREFUSED);
}

static void cancel_and_close(struct recorder *recorder, const struct event *event)
{
	struct recorder **others = recorder->context;

	if (event->kind != EVENT_TIME_OUT || event->error)
		return;
	ASSERT_OK(recorder_cancel(&others[0]->reader.operation));
	ck_assert_uint_eq(others[0]->count[EVENT_READ_STREAM], 0);
	recorder_close(others[1]);
	ck_assert_uint_eq(recorder_callbacks(others[1]), 0);
	recorder_close(recorder);
	ck_assert_uint_eq(recorder->count[EVENT_CLOSE], 0);
}

void scenario_no_callback_inside_a_cancel_or_close(struct world *world)
{
	struct recorder *left, *right, *closer, *others[2];
	struct pro_message_block blocks[2];
	char bytes[2][16];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	closer = recorder_create(world, "closer");
	recorder_pair(left, right);
	recorder_open_free(closer);
	pro_message_block_init(&blocks[0], bytes[0], 16);
	pro_message_block_init(&blocks[1], bytes[1], 16);
	ASSERT_OK(recorder_read(left, &blocks[0], 0));
	ASSERT_OK(recorder_read(right, &blocks[1], 0));
	world_run_ready(world);

	others[0] = left;
	others[1] = right;
	closer->context = others;
	closer->on_event = cancel_and_close;
	ASSERT_OK(recorder_timer(closer, 0));
	RUN_UNTIL(
			world, left->cancels[EVENT_READ_STREAM] == 1 && right->is_closed && closer->is_closed);
	ck_assert_uint_eq(right->cancels[EVENT_READ_STREAM], 1);
}

#define POSTERS 4

struct posters {
	struct recorder *target;
	unsigned rounds;
	struct pro_asynch_timer timers[POSTERS];
	struct pro_message_block blocks[POSTERS];
};

/* A thread that starts on the target whatever any thread may start. */
static void start_from_thread(void *context, unsigned number)
{
	struct posters *posters = context;
	struct pro_asynch_timer *timer = &posters->timers[number];
	struct recorder *target = posters->target;

	for (unsigned i = 0; i < posters->rounds; i++) {
		ASSERT_OK(pro_handler_wakeup(recorder_handler(target)));
		if (STARTED(target, TIME_OUT, pro_asynch_timer_schedule(timer, 0)) == 0)
			recorder_cancel(&timer->operation);
	}
	/* Wakes the loop a last time, which waits for this. */
	pro_message_block_init_filled(&posters->blocks[number], "x", 1);
	ASSERT_OK(recorder_post(target, &posters->blocks[number], NULL));
}

/* The recorder asserts at each callback that it is alone and on the loop's thread. */
void scenario_callbacks_of_one_handler_never_overlap(struct world *world)
{
	struct posters posters = {.rounds = world_number(2000, 100000)};
	struct recorder *target;
	struct crew crew;

	world->is_traced = false;
	world_open(world);
	target = recorder_create(world, "target");
	posters.target = target;
	for (unsigned i = 0; i < POSTERS; i++)
		ASSERT_OK(pro_asynch_timer_open(&posters.timers[i], recorder_handler(target), NULL));
	crew_start(&crew, POSTERS, start_from_thread, &posters);
	RUN_UNTIL(world, target->count[EVENT_POST] == POSTERS);
	crew_join(&crew);
	for (unsigned i = 0; i < POSTERS; i++)
		RUN_UNTIL(world, !pro_operation_in_flight(&posters.timers[i].operation));
	ck_assert_uint_ge(target->count[EVENT_WAKEUP], 1);
	ck_assert_uint_ge(target->count[EVENT_TIME_OUT], POSTERS);
}

/* ---- one flight at a time, whoever starts it ---- */

struct starting {
	struct recorder *owner;
	unsigned rounds;
	PRO_ATOMIC(unsigned) accepted;
};

static void start_timer(struct starting *starting)
{
	int result = recorder_timer(starting->owner, 0);

	ck_assert(result == 0 || result == PRO_EBUSY);
	starting->accepted += result == 0;
}

static void start_in_the_callback(struct recorder *recorder, const struct event *event)
{
	if (event->kind == EVENT_TIME_OUT)
		start_timer(recorder->context);
}

static void start_from_a_thread(void *context, unsigned number)
{
	struct starting *starting = context;

	(void)number;
	while (starting->owner->count[EVENT_TIME_OUT] < starting->rounds)
		start_timer(starting);
}

/* The callback starts the timer again, and so do two threads. */
void scenario_one_of_many_starts_is_accepted(struct world *world)
{
	struct starting starting = {.rounds = world_number(5000, 200000)};
	struct crew crew;

	world->is_traced = false;
	world_open(world);
	starting.owner = recorder_create(world, "owner");
	starting.owner->context = &starting;
	recorder_open_free(starting.owner);
	starting.owner->on_event = start_in_the_callback;
	crew_start(&crew, 2, start_from_a_thread, &starting);
	RUN_UNTIL(world, crew.finished == 2);
	crew_join(&crew);
	starting.owner->on_event = NULL;
	world_run_ready(world);
	ck_assert_uint_eq(starting.accepted, starting.owner->count[EVENT_TIME_OUT]);
}

/* In flight, asked to cancel, complete but not called back: busy each time, idle in the callback.
 */
void scenario_operation_is_busy_until_its_callback(struct world *world)
{
	struct recorder *left, *right, *listener, *dgram;
	struct pro_message_block block, dgram_block;
	char bytes[16], dgram_bytes[16];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	listener = recorder_create(world, "listener");
	dgram = recorder_create(world, "dgram");
	recorder_pair(left, right);
	recorder_listen(listener, ANY_INET);
	recorder_own_dgram(dgram, ANY_INET);
	recorder_open_free(left);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	pro_message_block_init(&dgram_block, dgram_bytes, sizeof(dgram_bytes));

	for (int round = 0; round < 2; round++) {
		ASSERT_OK(recorder_read(left, &block, 0));
		ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&listener->accept)));
		ASSERT_OK(STARTED(
				dgram, READ_DGRAM, pro_asynch_read_dgram_recv(&dgram->dgram_reader, &dgram_block)));
		ASSERT_OK(recorder_timer(left, 60000));
		if (round == 1)
			world_run_ready(world);
		for (int cancelled = 0; cancelled < 2; cancelled++) {
			ASSERT_ERROR(recorder_read(left, &block, 0), PRO_EBUSY);
			ASSERT_ERROR(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&listener->accept)),
					PRO_EBUSY);
			ASSERT_ERROR(STARTED(dgram, READ_DGRAM,
								 pro_asynch_read_dgram_recv(&dgram->dgram_reader, &dgram_block)),
					PRO_EBUSY);
			ASSERT_ERROR(recorder_timer(left, 1), PRO_EBUSY);
			if (cancelled)
				break;
			ASSERT_OK(recorder_cancel(&left->reader.operation));
			ASSERT_OK(recorder_cancel(&listener->accept.operation));
			ASSERT_OK(recorder_cancel(&dgram->dgram_reader.operation));
			ASSERT_OK(recorder_cancel(&left->timer.operation));
		}
		RUN_UNTIL(world, left->cancels[EVENT_READ_STREAM] == (unsigned)round + 1 &&
								 listener->cancels[EVENT_ACCEPT] == (unsigned)round + 1 &&
								 dgram->cancels[EVENT_READ_DGRAM] == (unsigned)round + 1 &&
								 left->cancels[EVENT_TIME_OUT] == (unsigned)round + 1);
	}
}

/* What comes after a cancel was asked must not be written: only a completion with success may. */
void scenario_buffer_is_not_touched_after_a_cancelled_completion(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block block, out;
	char bytes[16];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(left, &block, 0));
	world_run_ready(world);
	ASSERT_OK(recorder_cancel(&left->reader.operation));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM]);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_ECANCELED);

	memset(bytes, 'u', sizeof(bytes));
	pro_message_block_init_filled(&out, "late", 4);
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(world, right->count[EVENT_WRITE_STREAM]);
	world_run_ready(world);
	for (size_t i = 0; i < sizeof(bytes); i++)
		ck_assert_int_eq(bytes[i], 'u');

	ASSERT_OK(recorder_read(left, &block, 0));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == 2);
	ck_assert_uint_eq(left->last[EVENT_READ_STREAM].bytes, 4);
	ck_assert_mem_eq(bytes, "late", 4);
}
