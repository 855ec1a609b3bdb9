/* Statements 23 and 24: timers need no memory, are never early, and once cancelled never expire. */
#include "conformance.h"

#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../support/crew.h"
#include "../support/os.h"
#include "../support/recorder.h"

#define TIMERS          20
#define MANY            1000000
#define COST_GROWTH_MAX 6
#define CLOCK_STEP_US   10000 /* of a thread's time, on Windows */

static uint64_t now_ms(const struct world *world)
{
	return pro_proactor_now_ms(world->proactor);
}

/* ---- 23 ---- */

/* The allocator refuses everything, and all goes on. */
void scenario_timers_and_restarts_need_no_memory(struct world *world)
{
	struct pro_asynch_timer timers[TIMERS];
	struct pro_message_block in, out;
	struct recorder *left, *right;
	char bytes[16];
	uint64_t calls = 0;

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	for (unsigned i = 0; i < TIMERS; i++)
		ASSERT_OK(pro_asynch_timer_open(&timers[i], recorder_handler(left), NULL));
	/* The port may need memory for a handle that it sees for the first time. */
	for (unsigned round = 1; round <= 50; round++) {
		if (round == 2) {
			calls = world->memory.calls;
			world->memory.fails_always = true;
		}
		for (unsigned i = 0; i < TIMERS; i++)
			ASSERT_OK(STARTED(
					left, TIME_OUT, pro_asynch_timer_schedule(&timers[i], (int64_t)(i % 3))));
		recorder_cancel(&timers[round % TIMERS].operation);
		pro_message_block_init(&in, bytes, sizeof(bytes));
		pro_message_block_init_filled(&out, "x", 1);
		ASSERT_OK(recorder_read(left, &in, 0));
		ASSERT_OK(recorder_write(right, &out));
		ASSERT_OK(pro_handler_wakeup(recorder_handler(right)));
		RUN_UNTIL(world, left->count[EVENT_TIME_OUT] == round * TIMERS &&
								 left->count[EVENT_READ_STREAM] == round &&
								 right->count[EVENT_WRITE_STREAM] == round);
	}
	world->memory.fails_always = false;
	ck_assert_uint_eq(world->memory.calls, calls);
	ck_assert_uint_eq(left->errors[EVENT_READ_STREAM], 0);
	ck_assert_uint_eq(right->errors[EVENT_WRITE_STREAM], 0);
}

/* ---- 24 ---- */

struct due {
	uint64_t due_ms[TIMERS];
	struct pro_asynch_timer timers[TIMERS];
};

static void check_not_early(struct recorder *recorder, const struct event *event)
{
	const struct due *due = recorder->context;
	uint64_t number = (uint64_t)(uintptr_t)event->act;

	if (event->kind != EVENT_TIME_OUT)
		return;
	ASSERT_OK(event->error);
	ck_assert(event->is_final);
	ck_assert_uint_eq(event->expirations, 1);
	ck_assert_uint_ge(now_ms(recorder->world), due->due_ms[number]);
	world_note(recorder->world, "timer %u", (unsigned)number);
}

/* Scheduled in a mixed order, 7 ms apart; each comes once, in the order of time, not early. */
void scenario_timers_expire_in_order_and_never_early(struct world *world)
{
	struct recorder *owner;
	struct due due;

	world_open(world);
	owner = recorder_create(world, "owner");
	owner->context = &due;
	owner->on_event = check_not_early;
	owner->is_traced = false;
	for (unsigned i = 0; i < TIMERS; i++) {
		unsigned number = (i * 7 + 3) % TIMERS;
		int64_t delay_ms = 7 * (int64_t)number;

		ASSERT_OK(pro_asynch_timer_open(&due.timers[number], recorder_handler(owner), NULL));
		pro_operation_set_act(&due.timers[number].operation, (const void *)(uintptr_t)number);
		due.due_ms[number] = now_ms(world) + (uint64_t)delay_ms;
		ASSERT_OK(
				STARTED(owner, TIME_OUT, pro_asynch_timer_schedule(&due.timers[number], delay_ms)));
	}
	RUN_UNTIL(world, owner->count[EVENT_TIME_OUT] == TIMERS);
	world_run_for(world, 20);
	ck_assert_uint_eq(owner->count[EVENT_TIME_OUT], TIMERS);
}

void scenario_timer_of_zero_expires_at_the_next_turn(struct world *world)
{
	struct recorder *owner;

	world_open(world);
	owner = recorder_create(world, "owner");
	recorder_open_free(owner);
	for (unsigned i = 1; i <= 10; i++) {
		ASSERT_OK(recorder_timer(owner, 0));
		ck_assert_uint_eq(owner->count[EVENT_TIME_OUT], i - 1);
		world_run_ready(world);
		ck_assert_uint_eq(owner->count[EVENT_TIME_OUT], i);
	}
}

void scenario_negative_delays_are_refused_and_huge_ones_never_come(struct world *world)
{
	struct recorder *owner;

	world_open(world);
	owner = recorder_create(world, "owner");
	recorder_open_free(owner);
	ASSERT_ERROR(recorder_timer(owner, -1), PRO_EINVAL);
	ASSERT_ERROR(recorder_timer(owner, INT64_MIN), PRO_EINVAL);
	ASSERT_ERROR(
			STARTED(owner, TIME_OUT, pro_asynch_timer_schedule_repeating(&owner->timer, -1, 10)),
			PRO_EINVAL);
	ASSERT_ERROR(
			STARTED(owner, TIME_OUT, pro_asynch_timer_schedule_repeating(&owner->timer, 10, 0)),
			PRO_EINVAL);
	ASSERT_ERROR(
			STARTED(owner, TIME_OUT, pro_asynch_timer_schedule_repeating(&owner->timer, 10, -5)),
			PRO_EINVAL);
	for (int64_t delay_ms = INT64_MAX; delay_ms > 100000; delay_ms /= 7) {
		ASSERT_OK(recorder_timer(owner, delay_ms));
		world_run_ready(world);
		ck_assert(pro_operation_in_flight(&owner->timer.operation));
		ASSERT_OK(recorder_cancel(&owner->timer.operation));
		RUN_UNTIL(world, !pro_operation_in_flight(&owner->timer.operation));
		ASSERT_ERROR(owner->last[EVENT_TIME_OUT].error, PRO_ECANCELED);
	}
	ASSERT_OK(recorder_timer(owner, INT64_MAX));
	world_run_for(world, 20);
	ck_assert_uint_eq(owner->count[EVENT_TIME_OUT], owner->cancels[EVENT_TIME_OUT]);
}

void scenario_timer_is_one_shot_for_each_start(struct world *world)
{
	struct recorder *owner;

	world_open(world);
	owner = recorder_create(world, "owner");
	recorder_open_free(owner);
	ASSERT_OK(recorder_timer(owner, 5));
	ASSERT_ERROR(recorder_timer(owner, 5), PRO_EBUSY);
	world_run_for(world, 60);
	ck_assert_uint_eq(owner->count[EVENT_TIME_OUT], 1);
	ASSERT_OK(recorder_timer(owner, 5));
	world_run_for(world, 60);
	ck_assert_uint_eq(owner->count[EVENT_TIME_OUT], 2);
}

/* A cancel that returned 0 means: this timer does not expire; whatever the timing. */
void scenario_cancelled_timer_never_expires(struct world *world)
{
	unsigned rounds = world_number(10000, 1000000);
	struct recorder *owner;

	world->is_traced = false;
	world_open(world);
	owner = recorder_create(world, "owner");
	recorder_open_free(owner);
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t mode = pro_proactor_random(world->proactor);
		int result;

		ASSERT_OK(recorder_timer(owner, (int64_t)(mode & 1)));
		if (mode & 2)
			world_run_ready(world);
		result = recorder_cancel(&owner->timer.operation);
		RUN_UNTIL(world, owner->count[EVENT_TIME_OUT] == i + 1);
		ck_assert_int_eq(owner->last[EVENT_TIME_OUT].error, result == 0 ? PRO_ECANCELED : 0);
		ck_assert(owner->last[EVENT_TIME_OUT].is_final);
	}
}

struct cancelling {
	struct recorder *owner;
	PRO_ATOMIC(unsigned) armed; /* number of the flight to be cancelled */
	PRO_ATOMIC(unsigned) done;
	PRO_ATOMIC(int) result;
	unsigned rounds;
};

static void cancel_when_armed(void *context, unsigned number)
{
	struct cancelling *cancelling = context;

	(void)number;
	for (unsigned i = 1; i <= cancelling->rounds; i++) {
		while (cancelling->armed < i)
			os_yield();
		cancelling->result = pro_operation_cancel(&cancelling->owner->timer.operation);
		cancelling->done = i;
	}
}

void scenario_timer_cancelled_by_another_thread_completes_once(struct world *world)
{
	struct cancelling cancelling = {.rounds = world_number(3000, 100000)};
	struct recorder *owner;
	struct crew crew;

	world->is_traced = false;
	world_open(world);
	owner = recorder_create(world, "owner");
	recorder_open_free(owner);
	cancelling.owner = owner;
	crew_start(&crew, 1, cancel_when_armed, &cancelling);
	for (unsigned i = 1; i <= cancelling.rounds; i++) {
		ASSERT_OK(recorder_timer(owner, i % 2));
		cancelling.armed = i;
		RUN_UNTIL(world, owner->count[EVENT_TIME_OUT] == i);
		while (cancelling.done < i)
			os_yield();
		if (owner->last[EVENT_TIME_OUT].error)
			ck_assert_int_eq(cancelling.result, 0);
	}
	crew_join(&crew);
}

static void cancel_after_5(struct recorder *recorder, const struct event *event)
{
	if (event->kind != EVENT_TIME_OUT || event->error)
		return;
	ck_assert(!event->is_final);
	ck_assert_uint_ge(event->expirations, 1);
	recorder->number += event->expirations;
	if (recorder->number >= 5 && !recorder->context) {
		recorder->context = recorder;
		ASSERT_OK(recorder_cancel(event->operation));
	}
}

void scenario_repeating_timer_repeats_until_cancelled(struct world *world)
{
	struct recorder *owner;
	uint64_t start_ms;
	unsigned callbacks;

	world->is_traced = false;
	world_open(world);
	owner = recorder_create(world, "owner");
	recorder_open_free(owner);
	owner->on_event = cancel_after_5;
	start_ms = now_ms(world);
	ASSERT_OK(STARTED(owner, TIME_OUT, pro_asynch_timer_schedule_repeating(&owner->timer, 10, 15)));
	ASSERT_ERROR(recorder_timer(owner, 1), PRO_EBUSY);
	RUN_UNTIL(world, owner->cancels[EVENT_TIME_OUT] == 1);
	ck_assert_uint_ge(now_ms(world) - start_ms, 10 + 4 * 15);
	ck_assert(owner->last[EVENT_TIME_OUT].is_final);
	callbacks = owner->count[EVENT_TIME_OUT];
	world_run_for(world, 40);
	ck_assert_uint_eq(owner->count[EVENT_TIME_OUT], callbacks);
	ASSERT_OK(recorder_timer(owner, 0));
	owner->on_event = NULL;
	RUN_UNTIL(world, owner->count[EVENT_TIME_OUT] == callbacks + 1);
	ck_assert(owner->last[EVENT_TIME_OUT].is_final);
}

#define INTERVAL_MS 2

/* Of a timer without a delay: the interval number n ends n intervals after the start, or later. */
struct beats {
	uint64_t start_ns;
	uint64_t expirations;
};

static void check_beat(struct recorder *recorder, const struct event *event)
{
	struct beats *beats = recorder->context;
	uint64_t passed_ns = pro_proactor_now_ns(recorder->world->proactor) - beats->start_ns;

	if (event->kind != EVENT_TIME_OUT || event->error)
		return;
	beats->expirations += event->expirations;
	ck_assert_uint_ge(passed_ns, (beats->expirations - 1) * UINT64_C(1000000) * INTERVAL_MS);
}

void scenario_repeating_timer_without_delay_is_never_early(struct world *world)
{
	struct recorder *owner;
	struct beats beats;

	world->is_traced = false;
	world_open(world);
	owner = recorder_create(world, "owner");
	owner->context = &beats;
	owner->on_event = check_beat;
	recorder_open_free(owner);
	/* The parts of a millisecond at which they start differ. */
	for (unsigned round = 1; round <= 20; round++) {
		beats.expirations = 0;
		beats.start_ns = pro_proactor_now_ns(world->proactor);
		ASSERT_OK(STARTED(owner, TIME_OUT,
				pro_asynch_timer_schedule_repeating(&owner->timer, 0, INTERVAL_MS)));
		RUN_UNTIL(world, beats.expirations >= 3);
		ASSERT_OK(recorder_cancel(&owner->timer.operation));
		RUN_UNTIL(world, owner->cancels[EVENT_TIME_OUT] == round);
	}
}

struct sum {
	uint64_t expirations;
	uint64_t most; /* of one callback */
};

static void add_expirations(struct recorder *recorder, const struct event *event)
{
	struct sum *sum = recorder->context;

	if (event->kind != EVENT_TIME_OUT || event->error)
		return;
	sum->expirations += event->expirations;
	if (event->expirations > sum->most)
		sum->most = event->expirations;
}

/* The loop stands still for several intervals: they are counted in one callback. */
void scenario_missed_intervals_are_counted_not_repeated(struct world *world)
{
	struct recorder *owner;
	struct sum sum = {0};
	uint64_t start_ns;
	uint64_t end_ms;

	world->is_traced = false;
	world_open(world);
	owner = recorder_create(world, "owner");
	owner->context = &sum;
	owner->on_event = add_expirations;
	recorder_open_free(owner);
	start_ns = pro_proactor_now_ns(world->proactor);
	ASSERT_OK(STARTED(owner, TIME_OUT, pro_asynch_timer_schedule_repeating(&owner->timer, 10, 10)));
	world_run_ready(world);
	end_ms = now_ms(world) + 55;
	while (now_ms(world) < end_ms)
		os_yield();
	world_run_ready(world);
	/* However long the machine took for the rest. */
	ck_assert_uint_ge(sum.most, 5);
	ck_assert_uint_le(sum.expirations,
			(pro_proactor_now_ns(world->proactor) - start_ns) / UINT64_C(10000000));
	recorder_close(owner);
	RUN_UNTIL(world, owner->is_closed);
	ck_assert_uint_eq(owner->cancels[EVENT_TIME_OUT], 1);
}

static void restart_timer(struct recorder *recorder, const struct event *event)
{
	if (event->kind == EVENT_TIME_OUT && event->error == 0 &&
			recorder->count[EVENT_TIME_OUT] < 1000)
		ASSERT_OK(recorder_timer(recorder, 0));
}

void scenario_timer_restarts_itself_in_its_callback(struct world *world)
{
	struct recorder *owner;

	world_open(world);
	owner = recorder_create(world, "owner");
	owner->on_event = restart_timer;
	owner->is_traced = false;
	recorder_open_free(owner);
	ASSERT_OK(recorder_timer(owner, 0));
	RUN_UNTIL(world, owner->count[EVENT_TIME_OUT] == 1000);
}

void scenario_all_timers_of_a_handler_can_be_cancelled_at_once(struct world *world)
{
	struct pro_asynch_timer timers[TIMERS];
	struct recorder *owner, *other;

	world_open(world);
	owner = recorder_create(world, "owner");
	other = recorder_create(world, "other");
	recorder_open_free(other);
	ASSERT_OK(recorder_timer(other, 30));
	ck_assert_int_eq(pro_asynch_timer_cancel_all(recorder_handler(owner)), 0);
	for (unsigned i = 0; i < TIMERS; i++) {
		ASSERT_OK(pro_asynch_timer_open(&timers[i], recorder_handler(owner), NULL));
		ASSERT_OK(STARTED(
				owner, TIME_OUT, pro_asynch_timer_schedule(&timers[i], 10000 + (int64_t)i)));
	}
	world_run_ready(world);
	ck_assert_int_eq(pro_asynch_timer_cancel_all(recorder_handler(owner)), TIMERS);
	RUN_UNTIL(world, owner->cancels[EVENT_TIME_OUT] == TIMERS);
	ck_assert_int_eq(pro_asynch_timer_cancel_all(recorder_handler(owner)), 0);
	RUN_UNTIL(world, other->count[EVENT_TIME_OUT] == 1);
	ASSERT_OK(other->last[EVENT_TIME_OUT].error);
}

/* The processor time of `count` timers, pending at once: some expire, the others are cancelled. */
static uint64_t time_timers(struct recorder *owner, struct pro_asynch_timer *timers, unsigned count)
{
	struct world *world = owner->world;
	uint64_t begin_us = os_thread_cpu_us();
	unsigned before = owner->count[EVENT_TIME_OUT];
	unsigned cancelled = owner->cancels[EVENT_TIME_OUT];
	unsigned ran = 0;

	for (unsigned i = 0; i < count; i++) {
		int64_t delay_ms = i % 16 ? 60000 + (int64_t)(i * 7919ull % 10000000) : i % 50;

		ASSERT_OK(STARTED(owner, TIME_OUT, pro_asynch_timer_schedule(&timers[i], delay_ms)));
		ran += i % 16 == 0;
	}
	RUN_UNTIL(world, owner->count[EVENT_TIME_OUT] - before == ran);
	ck_assert_uint_eq(owner->errors[EVENT_TIME_OUT], cancelled);
	for (unsigned i = 0; i < count; i++)
		if (i % 16)
			ASSERT_OK(recorder_cancel(&timers[i].operation));
	RUN_UNTIL(world, owner->count[EVENT_TIME_OUT] - before == count);
	ck_assert_uint_eq(owner->cancels[EVENT_TIME_OUT] - cancelled, count - ran);
	return os_thread_cpu_us() - begin_us;
}

/*
 * One among a million costs little more than one among a sixteenth of them: no list is walked,
 * which would cost sixteen times as much. Without --long it is a tenth of a million.
 */
void scenario_a_million_timers_are_normal(struct world *world)
{
	unsigned many = world_number(MANY / 10, MANY);
	unsigned few = many / 16;
	struct pro_asynch_timer *timers = calloc(many, sizeof(*timers));
	struct recorder *owner;
	uint64_t few_us, many_us;

	ck_assert_ptr_nonnull(timers);
	world->is_traced = false;
	world_open(world);
	owner = recorder_create(world, "owner");
	for (unsigned i = 0; i < many; i++)
		ASSERT_OK(pro_asynch_timer_open(&timers[i], recorder_handler(owner), NULL));
	few_us = time_timers(owner, timers, few) + CLOCK_STEP_US;
	many_us = time_timers(owner, timers, many);
	ck_assert_msg(many_us / many < (few_us / few + 1) * COST_GROWTH_MAX,
			"%u timers took %llu us of CPU, %u took %llu", few, (unsigned long long)few_us, many,
			(unsigned long long)many_us);
	recorder_close(owner);
	RUN_UNTIL(world, owner->is_closed);
	free(timers);
}
