/* Statements 5 to 7: a cancel leads to success or PRO_ECANCELED, drops no byte, and hits only the
 * flight it was meant for. */
#include "conformance.h"

#include <check.h>
#include <stdatomic.h>
#include <string.h>

#include "../support/crew.h"
#include "../support/os.h"
#include "../support/pattern.h"
#include "../support/recorder.h"

void scenario_each_class_can_be_cancelled(struct world *world)
{
	struct recorder *left, *right, *listener, *dgram;
	struct pro_message_block block, dgram_block, vector_block;
	char bytes[16], dgram_bytes[16], vector_bytes[16];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	listener = recorder_create(world, "listener");
	dgram = recorder_create(world, "dgram");
	recorder_tcp_pair(left, right, ANY_INET);
	recorder_listen(listener, ANY_INET);
	recorder_own_dgram(dgram, ANY_INET);
	recorder_open_free(left);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	pro_message_block_init(&vector_block, vector_bytes, sizeof(vector_bytes));
	pro_message_block_init(&dgram_block, dgram_bytes, sizeof(dgram_bytes));

	/* Before the port has seen them, and after. */
	for (unsigned round = 1; round <= 2; round++) {
		ASSERT_OK(recorder_read(left, &block, 0));
		ASSERT_OK(STARTED(right, READ_STREAM,
				pro_asynch_read_stream_readv(&right->reader, &vector_block, 0)));
		ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&listener->accept)));
		ASSERT_OK(STARTED(
				dgram, READ_DGRAM, pro_asynch_read_dgram_recv(&dgram->dgram_reader, &dgram_block)));
		ASSERT_OK(recorder_timer(left, 60000));
		if (round == 2)
			world_run_ready(world);
		ASSERT_OK(recorder_cancel(&left->reader.operation));
		ASSERT_OK(recorder_cancel(&right->reader.operation));
		ASSERT_OK(recorder_cancel(&listener->accept.operation));
		ASSERT_OK(recorder_cancel(&dgram->dgram_reader.operation));
		ASSERT_OK(recorder_cancel(&left->timer.operation));
		RUN_UNTIL(world, left->cancels[EVENT_READ_STREAM] == round &&
								 right->cancels[EVENT_READ_STREAM] == round &&
								 listener->cancels[EVENT_ACCEPT] == round &&
								 dgram->cancels[EVENT_READ_DGRAM] == round &&
								 left->cancels[EVENT_TIME_OUT] == round);
		ck_assert_uint_eq(left->last[EVENT_READ_STREAM].bytes, 0);
	}
	ASSERT_OK(recorder_read(left, NULL, 0));
	world_run_ready(world);
	ASSERT_OK(recorder_cancel(&left->reader.operation));
	RUN_UNTIL(world, left->cancels[EVENT_READ_STREAM] == 3);
	ck_assert_ptr_null(left->last[EVENT_READ_STREAM].block);
}

void scenario_cancelled_read_exactly_keeps_the_bytes_that_came(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block block, out;
	char bytes[16];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	pro_message_block_init_filled(&out, "four", 4);
	ASSERT_OK(STARTED(
			left, READ_STREAM, pro_asynch_read_stream_read_exactly(&left->reader, &block, 10)));
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(world, right->count[EVENT_WRITE_STREAM]);
	world_run_for(world, 5);
	ck_assert_uint_eq(left->count[EVENT_READ_STREAM], 0);
	ASSERT_OK(recorder_cancel(&left->reader.operation));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM]);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_ECANCELED);
	ck_assert_uint_eq(left->last[EVENT_READ_STREAM].bytes, 4);
	ck_assert_uint_eq(block.wr, 4);
	ck_assert_mem_eq(bytes, "four", 4);
}

void scenario_read_exactly_waits_for_all_bytes(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block block, out;
	char bytes[16];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_OK(STARTED(
			left, READ_STREAM, pro_asynch_read_stream_read_exactly(&left->reader, &block, 10)));
	for (unsigned i = 1; i <= 3; i++) {
		pro_message_block_init_filled(&out, "four", 4);
		ASSERT_OK(recorder_write(right, &out));
		RUN_UNTIL(world, right->count[EVENT_WRITE_STREAM] == i);
	}
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM]);
	ASSERT_OK(left->last[EVENT_READ_STREAM].error);
	ck_assert_uint_eq(left->last[EVENT_READ_STREAM].bytes, 10);
	ck_assert_mem_eq(bytes, "fourfourfo", 10);
	pro_message_block_reset(&block);
	ASSERT_OK(recorder_read(left, &block, 0));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == 2);
	ck_assert_uint_eq(left->last[EVENT_READ_STREAM].bytes, 2);
}

/* ---- races ---- */

struct race {
	struct recorder *reader;
	uint64_t received;
	struct pro_message_block block;
	unsigned char bytes[64];
	PRO_ATOMIC(bool) is_over;
	PRO_ATOMIC(unsigned) cancels;
};

static void race_on_event(struct recorder *recorder, const struct event *event)
{
	struct race *race = recorder->context;

	if (event->kind != EVENT_READ_STREAM)
		return;
	if (event->error != PRO_ECANCELED)
		ASSERT_OK(event->error);
	ck_assert_uint_eq(race->block.wr, event->bytes);
	pattern_check(race->bytes, event->bytes, race->received, 1);
	race->received += event->bytes;
	pro_message_block_reset(&race->block);
}

/* One byte is sent and the read is cancelled in the same breath, before or after a turn of the
 * loop: whoever wins, no byte is lost. */
void scenario_bytes_survive_a_race_with_cancel(struct world *world)
{
	unsigned rounds = world_number(10000, 1000000);
	struct race race = {.received = 0};
	struct recorder *left, *right;
	struct pro_message_block out;
	unsigned char byte;

	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	pro_message_block_init(&race.block, race.bytes, sizeof(race.bytes));
	left->context = &race;
	left->on_event = race_on_event;
	for (unsigned i = 0; i < rounds; i++) {
		unsigned order = (unsigned)pro_proactor_random(world->proactor) % 4;

		pattern_fill(&byte, 1, i, 1);
		pro_message_block_init_filled(&out, &byte, 1);
		ASSERT_OK(recorder_read(left, &race.block, 0));
		if (order & 1)
			world_run_ready(world);
		ASSERT_OK(recorder_write(right, &out));
		if (order & 2)
			RUN_UNTIL(world, right->count[EVENT_WRITE_STREAM] == i + 1);
		recorder_cancel(&left->reader.operation);
		RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == i + 1 &&
								 right->count[EVENT_WRITE_STREAM] == i + 1);
	}
	left->on_event = NULL;
	pro_message_block_reset(&race.block);
	while (race.received < rounds) {
		unsigned before = left->count[EVENT_READ_STREAM];

		ASSERT_OK(recorder_read(left, &race.block, 0));
		RUN_UNTIL(world, left->count[EVENT_READ_STREAM] > before);
		pattern_check(race.bytes, left->last[EVENT_READ_STREAM].bytes, race.received, 1);
		race.received += left->last[EVENT_READ_STREAM].bytes;
		pro_message_block_reset(&race.block);
	}
	ck_assert_uint_eq(race.received, rounds);
}

static void cancel_until_over(void *context, unsigned number)
{
	struct race *race = context;

	(void)number;
	while (!race->is_over) {
		int result = pro_operation_cancel(&race->reader->reader.operation);

		ck_assert(result == 0 || result == PRO_ENOTFOUND);
		atomic_fetch_add(&race->cancels, 1);
	}
}

/* The same with two threads that cancel without pause. */
void scenario_bytes_survive_cancels_from_other_threads(struct world *world)
{
	unsigned rounds = world_number(10000, 1000000);
	struct race race = {.received = 0};
	struct recorder *left, *right;
	struct pro_message_block out;
	struct crew crew;
	unsigned char byte;

	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	pro_message_block_init(&race.block, race.bytes, sizeof(race.bytes));
	race.reader = left;
	left->context = &race;
	left->on_event = race_on_event;
	crew_start(&crew, 2, cancel_until_over, &race);
	for (unsigned i = 0; i < rounds; i++) {
		pattern_fill(&byte, 1, i, 1);
		pro_message_block_init_filled(&out, &byte, 1);
		ASSERT_OK(recorder_write(right, &out));
		ASSERT_OK(recorder_read(left, &race.block, 0));
		RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == i + 1 &&
								 right->count[EVENT_WRITE_STREAM] == i + 1);
	}
	race.is_over = true;
	crew_join(&crew);
	while (race.received < rounds) {
		unsigned before = left->count[EVENT_READ_STREAM];

		ASSERT_OK(recorder_read(left, &race.block, 0));
		RUN_UNTIL(world, left->count[EVENT_READ_STREAM] > before);
	}
	ck_assert_uint_gt(race.cancels, 0);
}

void scenario_cancelled_accept_keeps_the_connection(struct world *world)
{
	unsigned rounds = world_number(300, 10000);
	struct recorder *listener, *client;
	struct pro_addr addr;
	unsigned accepted = 0;

	world->is_traced = false;
	world_open(world);
	listener = recorder_create(world, "listener");
	client = recorder_create(world, "client");
	addr = recorder_listen(listener, ANY_INET);
	recorder_open_free(client);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned before = listener->count[EVENT_ACCEPT];
		unsigned order = (unsigned)pro_proactor_random(world->proactor) % 4;

		ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&listener->accept)));
		if (order & 1)
			world_run_ready(world);
		ASSERT_OK(STARTED(
				client, CONNECT, pro_asynch_connect_connect(&client->connect, &addr, NULL)));
		if (order & 2)
			world_run_ready(world);
		recorder_cancel(&listener->accept.operation);
		RUN_UNTIL(world, listener->count[EVENT_ACCEPT] == before + 1 &&
								 client->count[EVENT_CONNECT] == i + 1);
		ASSERT_OK(client->last[EVENT_CONNECT].error);
		if (listener->last[EVENT_ACCEPT].error) {
			ASSERT_ERROR(listener->last[EVENT_ACCEPT].error, PRO_ECANCELED);
			ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&listener->accept)));
			RUN_UNTIL(world, listener->count[EVENT_ACCEPT] == before + 2);
		}
		ASSERT_OK(listener->last[EVENT_ACCEPT].error);
		accepted++;
		ASSERT_OK(pro_proactor_close_handle(world->proactor, recorder_take_handle(listener)));
		ASSERT_OK(pro_proactor_close_handle(world->proactor, recorder_take_handle(client)));
	}
	ck_assert_uint_eq(accepted, rounds);
}

#define BIG_BYTES (8u << 20)

/* A write that the peer does not take, cancelled: what went out is counted, the stream is broken.
 */
void scenario_cancelled_write_reports_what_went_out(struct world *world)
{
	static unsigned char bytes[BIG_BYTES];
	static unsigned char taken[65536];
	struct recorder *left, *right;
	struct pro_message_block big, behind, later, in;
	size_t went_out;
	uint64_t received = 0;

	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	recorder_send_little(left);
	pattern_fill(bytes, sizeof(bytes), 0, 1);
	pro_message_block_init_filled(&big, bytes, sizeof(bytes));
	pro_message_block_init_filled(&behind, "behind", 6);
	pro_message_block_init_filled(&later, "later", 5);
	ASSERT_OK(recorder_write(left, &big));
	ASSERT_OK(recorder_write(left, &behind));
	world_run_for(world, 20);
	ck_assert_uint_eq(left->count[EVENT_WRITE_STREAM], 0);
	ASSERT_OK(recorder_cancel(&left->writer.operation));
	RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM] == 2);
	ck_assert_uint_eq(left->cancels[EVENT_WRITE_STREAM], 2);
	ck_assert_uint_eq(behind.rd, 0);
	went_out = big.rd;
	ck_assert_uint_gt(went_out, 0);
	ck_assert_uint_lt(went_out, sizeof(bytes));
	ck_assert_uint_eq(left->bytes[EVENT_WRITE_STREAM], went_out);

	if (recorder_write(left, &later) == 0) {
		RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM] == 3);
		ASSERT_ERROR(left->last[EVENT_WRITE_STREAM].error, PRO_EPIPE);
	}
	recorder_close(left);
	for (bool is_over = false; !is_over;) {
		unsigned before = right->count[EVENT_READ_STREAM];

		pro_message_block_init(&in, taken, sizeof(taken));
		ASSERT_OK(recorder_read(right, &in, 0));
		RUN_UNTIL(world, right->count[EVENT_READ_STREAM] > before);
		is_over = right->last[EVENT_READ_STREAM].error != 0;
		pattern_check(taken, right->last[EVENT_READ_STREAM].bytes, received, 1);
		received += right->last[EVENT_READ_STREAM].bytes;
	}
	ASSERT_ERROR(right->last[EVENT_READ_STREAM].error, PRO_EOF);
	ck_assert_uint_eq(received, went_out);
}

/* ---- 6: only its flight ---- */

struct late_cancel {
	struct recorder *reader;
	struct pro_message_block *block;
	int result;
	bool hit_the_first; /* the cancel came before the first callback */
};

static void cancel_reader(void *context, unsigned number)
{
	struct late_cancel *late = context;

	(void)number;
	late->result = pro_operation_cancel(&late->reader->reader.operation);
}

/* The first callback of each round starts the second flight. */
static void restart_read(struct recorder *recorder, const struct event *event)
{
	struct late_cancel *late = recorder->context;

	if (event->kind != EVENT_READ_STREAM || ++recorder->number != 1)
		return;
	ck_assert(event->error == 0 || event->error == PRO_ECANCELED);
	pro_message_block_reset(late->block);
	ASSERT_OK(recorder_read(recorder, late->block, 0));
}

/* Another thread cancels while the loop stands in this callback. */
static void cancel_from_a_thread_now(struct recorder *recorder, const struct event *event)
{
	struct late_cancel *late = recorder->context;
	struct crew crew;

	if (event->kind != EVENT_WAKEUP)
		return;
	late->hit_the_first = late->reader->number == 0;
	crew_start(&crew, 1, cancel_reader, late);
	crew_join(&crew);
}

/* The first flight has its byte already when it is cancelled; whether the cancel wins or not, the
 * flight that its callback starts must live, and bring the byte if the first did not. */
void scenario_cancel_hits_only_its_flight(struct world *world)
{
	unsigned rounds = world_number(300, 5000);
	struct late_cancel late;
	struct recorder *left, *right, *other;
	struct pro_message_block block, out;
	unsigned hits = 0;
	char bytes[16];

	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	other = recorder_create(world, "other");
	recorder_pair(left, right);
	late.reader = left;
	late.block = &block;
	left->context = &late;
	left->on_event = restart_read;
	other->context = &late;
	other->on_event = cancel_from_a_thread_now;
	for (unsigned i = 0; i < rounds; i++) {
		left->number = 0;
		late.hit_the_first = false;
		pro_message_block_init(&block, bytes, sizeof(bytes));
		pro_message_block_init_filled(&out, "a", 1);
		ASSERT_OK(recorder_read(left, &block, 0));
		if (i % 2)
			world_run_ready(world);
		ASSERT_OK(pro_handler_wakeup(recorder_handler(other)));
		ASSERT_OK(recorder_write(right, &out));
		RUN_UNTIL(world, other->count[EVENT_WAKEUP] == i + 1 && left->number >= 1 &&
								 right->count[EVENT_WRITE_STREAM] == i + 1);
		if (!late.hit_the_first) {
			/* It came when the second flight was the present one. */
			if (pro_operation_in_flight(&left->reader.operation))
				RUN_UNTIL(world, left->number == 2);
			continue;
		}
		hits++;
		if (left->number == 1 && left->bytes[EVENT_READ_STREAM] == i + 1) {
			world_run_ready(world);
			ck_assert_uint_eq(left->number, 1);
			ASSERT_OK(recorder_cancel(&left->reader.operation));
		}
		RUN_UNTIL(world, left->number == 2);
		if (left->bytes[EVENT_READ_STREAM] < i + 1) {
			ck_abort_msg("the second flight ended without the byte of the first");
		}
	}
	ck_assert_uint_gt(hits, 0);
}

/* A timer in many short flights, cancelled from two threads all the time; after the threads are
 * gone and their requests are processed, a new flight must run its time. */
static void cancel_timer_until_over(void *context, unsigned number)
{
	struct race *race = context;

	(void)number;
	while (!race->is_over)
		pro_operation_cancel(&race->reader->timer.operation);
}

void scenario_cancels_of_the_past_do_not_hit_the_present(struct world *world)
{
	unsigned rounds = world_number(50, 2000);
	struct race race = {.received = 0};
	struct recorder *timer;

	world->is_traced = false;
	world_open(world);
	timer = recorder_create(world, "timer");
	recorder_open_free(timer);
	race.reader = timer;
	for (unsigned i = 0; i < rounds; i++) {
		struct crew crew;

		race.is_over = false;
		crew_start(&crew, 2, cancel_timer_until_over, &race);
		for (unsigned j = 0; j < 20; j++) {
			unsigned before = timer->count[EVENT_TIME_OUT];

			ASSERT_OK(recorder_timer(timer, j % 2));
			RUN_UNTIL(world, timer->count[EVENT_TIME_OUT] == before + 1);
		}
		race.is_over = true;
		crew_join(&crew);
		/* Requests of the threads may stand in the inbox still: this flight is not theirs. */
		ASSERT_OK(recorder_timer(timer, 1));
		RUN_UNTIL(world, !pro_operation_in_flight(&timer->timer.operation));
		ASSERT_OK(timer->last[EVENT_TIME_OUT].error);
	}
}

/* ---- 7 ---- */

static void cancel_in_own_callback(struct recorder *recorder, const struct event *event)
{
	if (event->kind == EVENT_READ_STREAM || event->kind == EVENT_TIME_OUT)
		ASSERT_ERROR(recorder_cancel(event->operation), PRO_ENOTFOUND);
	(void)recorder;
}

void scenario_cancel_of_a_finished_operation_is_not_found(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block block, out;
	char bytes[16];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	recorder_open_free(left);
	left->on_event = cancel_in_own_callback;
	pro_message_block_init(&block, bytes, sizeof(bytes));
	pro_message_block_init_filled(&out, "x", 1);
	ASSERT_ERROR(recorder_cancel(&left->reader.operation), PRO_ENOTFOUND);
	ASSERT_ERROR(recorder_cancel(&left->timer.operation), PRO_ENOTFOUND);
	ASSERT_ERROR(recorder_cancel(&left->writer.operation), PRO_ENOTFOUND);
	ASSERT_OK(recorder_read(left, &block, 0));
	ASSERT_OK(recorder_timer(left, 0));
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] && left->count[EVENT_TIME_OUT]);
	ASSERT_ERROR(recorder_cancel(&left->reader.operation), PRO_ENOTFOUND);
	ASSERT_ERROR(recorder_cancel(&left->timer.operation), PRO_ENOTFOUND);
}

void scenario_cancel_twice_completes_once(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block block;
	char bytes[16];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(left, &block, 0));
	world_run_ready(world);
	ASSERT_OK(recorder_cancel(&left->reader.operation));
	recorder_cancel(&left->reader.operation);
	recorder_close(left);
	RUN_UNTIL(world, left->is_closed);
	ck_assert_uint_eq(left->count[EVENT_READ_STREAM], 1);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_ECANCELED);
}

/* The first may be through already; the second waits for its turn, and is found there. */
void scenario_cancel_finds_what_waits_in_the_queue(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block blocks[2], in;
	char bytes[4] = "";
	unsigned sent;

	/* Whether they went out is the outcome of a race. */
	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	for (unsigned i = 0; i < 2; i++) {
		pro_message_block_init_filled(&blocks[i], &"ab"[i], 1);
		ASSERT_OK(recorder_write(left, &blocks[i]));
	}
	ASSERT_OK(recorder_cancel(&left->writer.operation));
	RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM] == 2);
	sent = (unsigned)(blocks[0].rd + blocks[1].rd);
	ck_assert(left->last[EVENT_WRITE_STREAM].error == (blocks[1].rd ? 0 : PRO_ECANCELED));
	recorder_close(left);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(STARTED(
			right, READ_STREAM, pro_asynch_read_stream_read_exactly(&right->reader, &in, 3)));
	RUN_UNTIL(world, right->count[EVENT_READ_STREAM]);
	ck_assert_uint_eq(right->last[EVENT_READ_STREAM].bytes, sent);
}

/* ---- deadlines ---- */

void scenario_each_class_times_out(struct world *world)
{
	struct recorder *left, *right, *listener, *dgram;
	struct pro_message_block block, dgram_block;
	static unsigned char big_bytes[BIG_BYTES];
	struct pro_message_block big;
	char bytes[16], dgram_bytes[16];
	uint64_t start_ms, passed_ms;

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	listener = recorder_create(world, "listener");
	dgram = recorder_create(world, "dgram");
	right->is_traced = false;
	recorder_tcp_pair(left, right, ANY_INET);
	recorder_send_little(right);
	recorder_listen(listener, ANY_INET);
	recorder_own_dgram(dgram, ANY_INET);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	pro_message_block_init(&dgram_block, dgram_bytes, sizeof(dgram_bytes));
	pro_message_block_init_filled(&big, big_bytes, sizeof(big_bytes));
	ASSERT_OK(pro_operation_set_timeout(&left->reader.operation, 20));
	ASSERT_OK(pro_operation_set_timeout(&listener->accept.operation, 20));
	ASSERT_OK(pro_operation_set_timeout(&dgram->dgram_reader.operation, 20));
	ASSERT_OK(pro_operation_set_timeout(&right->writer.operation, 20));
	ASSERT_ERROR(pro_operation_set_timeout(&left->reader.operation, -2), PRO_EINVAL);

	start_ms = pro_proactor_now_ms(world->proactor);
	ASSERT_OK(STARTED(
			left, READ_STREAM, pro_asynch_read_stream_read_exactly(&left->reader, &block, 16)));
	recorder_cancel(&left->reader.operation);
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == 1);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_ECANCELED);
	ASSERT_OK(recorder_read(left, &block, 0));
	ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&listener->accept)));
	ASSERT_OK(STARTED(
			dgram, READ_DGRAM, pro_asynch_read_dgram_recv(&dgram->dgram_reader, &dgram_block)));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == 2 && listener->count[EVENT_ACCEPT] &&
							 dgram->count[EVENT_READ_DGRAM]);
	passed_ms = pro_proactor_now_ms(world->proactor) - start_ms;
	ck_assert_uint_ge(passed_ms, 20);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_ETIMEDOUT);
	ASSERT_ERROR(listener->last[EVENT_ACCEPT].error, PRO_ETIMEDOUT);
	ASSERT_ERROR(dgram->last[EVENT_READ_DGRAM].error, PRO_ETIMEDOUT);

	/* Nobody reads what left sends: its peer's write stalls. */
	ASSERT_OK(recorder_write(right, &big));
	RUN_UNTIL(world, right->count[EVENT_WRITE_STREAM]);
	ASSERT_ERROR(right->last[EVENT_WRITE_STREAM].error, PRO_ETIMEDOUT);
	ck_assert_uint_eq(right->last[EVENT_WRITE_STREAM].bytes, big.rd);
}

void scenario_timeout_of_zero_polls(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block block, out;
	char bytes[16];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	pro_message_block_init_filled(&out, "x", 1);
	ASSERT_OK(pro_operation_set_timeout(&left->reader.operation, 0));
	ASSERT_OK(recorder_read(left, &block, 0));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == 1);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_ETIMEDOUT);
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(world, right->count[EVENT_WRITE_STREAM] == 1);
	world_run_for(world, 5);
	ASSERT_OK(recorder_read(left, &block, 0));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == 2);
	ASSERT_OK(left->last[EVENT_READ_STREAM].error);
}

/* The second is written in the same callback, right behind the cancel of the first, and once more
 * cancelled before a third. */
struct cut_short {
	struct recorder *writer;
	struct pro_message_block blocks[3];
	int errors[3];
	unsigned ended;
};

static void note_end_of_write(struct recorder *recorder, const struct event *event)
{
	struct cut_short *cut = recorder->context;

	if (event->kind != EVENT_WRITE_STREAM)
		return;
	ck_assert_ptr_eq(event->block, &cut->blocks[cut->ended]);
	cut->errors[cut->ended++] = event->error;
}

static void write_and_cancel(struct recorder *recorder, const struct event *event)
{
	struct cut_short *cut = recorder->context;

	if (event->kind != EVENT_TIME_OUT)
		return;
	for (unsigned i = 0; i < 3; i++) {
		pro_message_block_init_filled(&cut->blocks[i], &"abc"[i], 1);
		/* The first may be through; the second has to wait until that was told. */
		if (i > 0) {
			const int error = recorder_cancel(&cut->writer->writer.operation);

			ck_assert(error == 0 || (error == PRO_ENOTFOUND && i == 1));
		}
		ASSERT_OK(recorder_write(cut->writer, &cut->blocks[i]));
	}
}

void scenario_a_cancel_does_not_hit_what_is_written_after_it(struct world *world)
{
	struct recorder *left, *right, *timer;

	/* Whether the first two went out is the outcome of a race. */
	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	timer = recorder_create(world, "timer");
	recorder_tcp_pair(left, right, ANY_INET);
	recorder_open_free(timer);
	for (unsigned round = 0; round < 10; round++) {
		struct cut_short cut = {.writer = left};
		struct pro_message_block in;
		char bytes[4] = "", expected[4] = "";
		unsigned sent = 0;

		left->context = &cut;
		left->on_event = note_end_of_write;
		timer->context = &cut;
		timer->on_event = write_and_cancel;
		ASSERT_OK(recorder_timer(timer, 0));
		RUN_UNTIL(world, cut.ended == 3);
		ASSERT_OK(cut.errors[2]);
		for (unsigned i = 0; i < 3; i++) {
			ck_assert(cut.errors[i] == 0 || cut.errors[i] == PRO_ECANCELED);
			if (cut.errors[i] == 0)
				expected[sent++] = "abc"[i];
		}
		pro_message_block_init(&in, bytes, sent);
		ASSERT_OK(STARTED(right, READ_STREAM,
				pro_asynch_read_stream_read_exactly(&right->reader, &in, sent)));
		RUN_UNTIL(world, right->count[EVENT_READ_STREAM] > round);
		ck_assert_str_eq(bytes, expected);
	}
}

struct feeding {
	struct recorder *writer;
	struct pro_message_block out;
	uint64_t last_ms; /* when it was last fed */
};

static void feed_slowly(struct recorder *recorder, const struct event *event)
{
	struct feeding *feeding = recorder->context;

	if (event->kind != EVENT_TIME_OUT || event->error ||
			feeding->writer->count[EVENT_WRITE_STREAM] == 6)
		return;
	pro_message_block_init_filled(&feeding->out, "x", 1);
	feeding->last_ms = pro_proactor_now_ms(recorder->world->proactor);
	ASSERT_OK(recorder_write(feeding->writer, &feeding->out));
	ASSERT_OK(recorder_timer(recorder, 40));
}

/* Bytes every 40 ms keep a stall deadline of 120 ms away for 240 ms; then it comes. */
void scenario_stall_deadline_counts_from_the_last_bytes(struct world *world)
{
	struct recorder *left, *right, *timer;
	static struct feeding feeding; /* the timer's until the world ends */
	struct pro_message_block block;
	char bytes[16];
	uint64_t start_ms, end_ms;

	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	timer = recorder_create(world, "timer");
	recorder_pair(left, right);
	recorder_open_free(timer);
	feeding = (struct feeding){.writer = right};
	timer->context = &feeding;
	timer->on_event = feed_slowly;
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_OK(pro_operation_set_stall_timeout(&left->reader.operation, 120));
	start_ms = pro_proactor_now_ms(world->proactor);
	ASSERT_OK(STARTED(
			left, READ_STREAM, pro_asynch_read_stream_read_exactly(&left->reader, &block, 16)));
	ASSERT_OK(recorder_timer(timer, 0));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM]);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_ETIMEDOUT);
	end_ms = pro_proactor_now_ms(world->proactor);
	/* A busy machine may be late with a byte: then the deadline is right to come. */
	ck_assert_uint_ge(end_ms - feeding.last_ms, 120);
	ck_assert_uint_ge(left->last[EVENT_READ_STREAM].bytes, 1);
	if (left->last[EVENT_READ_STREAM].bytes == 6)
		ck_assert_uint_ge(end_ms - start_ms, 5 * 40 + 120);
}

/* A deadline that passed belongs to its flight: the next one has all its time. */
void scenario_deadline_of_the_past_does_not_hit_the_present(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block block, out;
	char bytes[16];

	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	ASSERT_OK(pro_operation_set_timeout(&left->reader.operation, 30));
	for (unsigned i = 0; i < 5; i++) {
		unsigned before = left->count[EVENT_READ_STREAM];
		uint64_t start_ms;

		pro_message_block_init(&block, bytes, sizeof(bytes));
		pro_message_block_init_filled(&out, "x", 1);
		ASSERT_OK(recorder_read(left, &block, 0));
		world_run_for(world, 10);
		ASSERT_OK(recorder_write(right, &out));
		RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == before + 1);
		if (left->last[EVENT_READ_STREAM].error) {
			/* The machine stood still for 20 ms: the byte is read here. */
			ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_ETIMEDOUT);
			ASSERT_OK(recorder_read(left, &block, 0));
			RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == before + 2);
			continue;
		}
		start_ms = pro_proactor_now_ms(world->proactor);
		ASSERT_OK(recorder_read(left, &block, 0));
		RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == before + 2);
		ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_ETIMEDOUT);
		ck_assert_uint_ge(pro_proactor_now_ms(world->proactor) - start_ms, 30);
	}
}

#define LATE_WRITES 40

/* More than one round takes; and then the loop is held up for longer than a write may wait. */
static void write_and_be_late(struct recorder *recorder, const struct event *event)
{
	struct pro_message_block *out = recorder->context;
	uint64_t start_ms = os_now_ms();

	if (event->kind != EVENT_WAKEUP)
		return;
	for (unsigned i = 0; i < LATE_WRITES; i++) {
		pro_message_block_init_filled(&out[i], "bytes", 5);
		ASSERT_OK(recorder_write(recorder, &out[i]));
	}
	while (os_now_ms() - start_ms < 40)
		os_yield();
	/* Of those that are to come: a busy machine must not let them wait too long. */
	ASSERT_OK(pro_operation_set_timeout(&recorder->writer.operation, PRO_NO_TIMEOUT));
}

/* The deadline that passed is that of the first write, which made it: the others had no time yet.
 */
void scenario_deadline_of_a_write_does_not_hit_the_next(struct world *world)
{
	struct pro_message_block out[LATE_WRITES];
	struct recorder *left, *right;

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	left->context = out;
	left->on_event = write_and_be_late;
	ASSERT_OK(pro_operation_set_timeout(&left->writer.operation, 20));
	ASSERT_OK(pro_handler_wakeup(recorder_handler(left)));
	RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM] == LATE_WRITES);
	ck_assert_uint_eq(left->errors[EVENT_WRITE_STREAM], 0);
	ck_assert_uint_eq(left->bytes[EVENT_WRITE_STREAM], 5 * LATE_WRITES);
}
