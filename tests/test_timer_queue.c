/* The timing wheel beside a model that cannot be wrong: a list that is searched. */
#include "../proactor/timer_queue.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

#define MODEL_TIMERS 64

/* ck_assert reports each success, too, which takes longer than what is tested. */
#define MUST(condition)                                                                            \
	do {                                                                                           \
		if (!(condition))                                                                          \
			ck_abort_msg("%s", #condition);                                                        \
	} while (0)

/* What is queued, and in which order it came. */
struct model {
	struct pro_timer_queue queue;
	struct pro_timer timers[MODEL_TIMERS];
	bool is_queued[MODEL_TIMERS];
	uint64_t expires_ms[MODEL_TIMERS];
	uint64_t order[MODEL_TIMERS];
	uint64_t next_order;
	uint64_t now_ms;
	uint64_t random;
};

static uint64_t model_random(struct model *model)
{
	/* xorshift64* (Vigna). */
	model->random ^= model->random >> 12;
	model->random ^= model->random << 25;
	model->random ^= model->random >> 27;
	return model->random * UINT64_C(2685821657736338717);
}

static void model_init(struct model *model, uint64_t seed, uint64_t now_ms)
{
	memset(model, 0, sizeof(*model));
	model->random = seed * 2 + 1;
	model->now_ms = now_ms;
	pro__timer_queue_init(&model->queue, now_ms);
}

static size_t model_count(const struct model *model)
{
	size_t count = 0;

	for (unsigned i = 0; i < MODEL_TIMERS; i++)
		count += model->is_queued[i];
	return count;
}

/* The queued timer that is due first; MODEL_TIMERS when there is none. */
static unsigned model_first(const struct model *model)
{
	unsigned first = MODEL_TIMERS;

	for (unsigned i = 0; i < MODEL_TIMERS; i++) {
		if (!model->is_queued[i])
			continue;
		if (first == MODEL_TIMERS || model->expires_ms[i] < model->expires_ms[first] ||
				(model->expires_ms[i] == model->expires_ms[first] &&
						model->order[i] < model->order[first]))
			first = i;
	}
	return first;
}

static void model_insert(struct model *model, unsigned i, uint64_t expires_ms)
{
	pro__timer_queue_insert(&model->queue, &model->timers[i], expires_ms);
	model->is_queued[i] = true;
	model->expires_ms[i] = expires_ms;
	model->order[i] = model->next_order++;
	MUST(model->timers[i].expires_ms == expires_ms);
	MUST(model->timers[i].link);
}

static void model_remove(struct model *model, unsigned i)
{
	MUST(pro__timer_queue_remove(&model->queue, &model->timers[i]) == model->is_queued[i]);
	model->is_queued[i] = false;
	MUST(!model->timers[i].link);
}

static void model_check_next(const struct model *model)
{
	uint64_t next_ms = pro__timer_queue_next_ms(&model->queue);
	unsigned first = model_first(model);

	MUST(model->queue.count == model_count(model));
	if (first == MODEL_TIMERS)
		MUST(next_ms == UINT64_MAX);
	else
		MUST(next_ms <= model->expires_ms[first]);
}

/* Every timer that is due comes, in order, and no other. */
static void model_take_due(struct model *model, uint64_t now_ms)
{
	struct pro_timer *due = pro__timer_queue_take_due(&model->queue, now_ms);

	if (model->now_ms < now_ms)
		model->now_ms = now_ms;
	for (; due; due = due->next) {
		unsigned first = model_first(model);

		MUST(first < MODEL_TIMERS);
		MUST(due == &model->timers[first]);
		MUST(due->expires_ms == model->expires_ms[first]);
		MUST(due->expires_ms <= model->now_ms);
		MUST(!due->link);
		model->is_queued[first] = false;
	}
	if (model_first(model) < MODEL_TIMERS)
		MUST(model->expires_ms[model_first(model)] > model->now_ms);
	MUST(model->queue.now_ms == model->now_ms);
}

/* ---- by hand ---- */

START_TEST(an_empty_queue_has_nothing_due)
{
	struct model model;

	model_init(&model, 1, 0);
	ck_assert_uint_eq(pro__timer_queue_next_ms(&model.queue), UINT64_MAX);
	ck_assert_ptr_null(pro__timer_queue_take_due(&model.queue, 0));
	ck_assert_ptr_null(pro__timer_queue_take_due(&model.queue, UINT64_MAX));
	ck_assert_ptr_null(pro__timer_queue_take_due(&model.queue, 5));
	ck_assert_uint_eq(model.queue.now_ms, UINT64_MAX);
}
END_TEST

START_TEST(a_timer_is_never_early)
{
	static const uint64_t delays[] = {1, 2, 63, 64, 65, 4095, 4096, 4097, 262143, 262144,
			UINT64_C(1) << 30, UINT64_C(1) << 47, UINT64_C(1) << 48, (UINT64_C(1) << 48) + 1,
			UINT64_C(1) << 60};
	static const uint64_t starts[] = {0, 1, 62, 63, 64, 4095, 4096, 999999, UINT64_C(1) << 48};

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		for (size_t j = 0; j < sizeof(delays) / sizeof(delays[0]); j++) {
			struct model model;
			uint64_t expires_ms = starts[i] + delays[j];

			model_init(&model, 1, starts[i]);
			model_insert(&model, 0, expires_ms);
			model_check_next(&model);
			ck_assert_ptr_null(pro__timer_queue_take_due(&model.queue, expires_ms - 1));
			ck_assert_uint_eq(pro__timer_queue_next_ms(&model.queue), expires_ms);
			ck_assert_ptr_eq(pro__timer_queue_take_due(&model.queue, expires_ms), &model.timers[0]);
			ck_assert_uint_eq(model.queue.count, 0);
		}
	}
}
END_TEST

START_TEST(equal_times_come_in_the_order_of_insertion)
{
	struct model model;

	/* The first are queued far ahead, the others when the time is near. */
	model_init(&model, 1, 0);
	for (unsigned i = 0; i < MODEL_TIMERS; i++) {
		model_insert(&model, i, 1000000);
		model_take_due(&model, model.now_ms + (1000000 - model.now_ms) / 2);
	}
	model_take_due(&model, 1000000);
	ck_assert_uint_eq(model.queue.count, 0);
}
END_TEST

START_TEST(overdue_timers_come_with_the_next_take)
{
	struct model model;

	model_init(&model, 1, 5000);
	model_insert(&model, 0, 5000);
	model_insert(&model, 1, 0);
	model_insert(&model, 2, 4999);
	model_insert(&model, 3, 0);
	model_insert(&model, 4, 5001);
	model_check_next(&model);
	ck_assert_uint_eq(pro__timer_queue_next_ms(&model.queue), 0);
	model_take_due(&model, 5000);
	ck_assert_uint_eq(model.queue.count, 1);
	model_insert(&model, 1, 17);
	model_take_due(&model, 6000);
	ck_assert_uint_eq(model.queue.count, 0);
}
END_TEST

START_TEST(a_clock_that_goes_back_stands_still)
{
	struct model model;

	model_init(&model, 1, 1000);
	model_insert(&model, 0, 900);
	model_insert(&model, 1, 1001);
	model_take_due(&model, 10);
	ck_assert(!model.is_queued[0]);
	ck_assert(model.is_queued[1]);
	ck_assert_uint_eq(model.queue.now_ms, 1000);
	model_take_due(&model, 1001);
	ck_assert_uint_eq(model.queue.count, 0);
}
END_TEST

START_TEST(the_last_millisecond_of_time_is_a_time)
{
	struct model model;

	model_init(&model, 1, 0);
	model_insert(&model, 0, UINT64_MAX);
	model_insert(&model, 1, UINT64_MAX - 1);
	model_insert(&model, 2, UINT64_MAX);
	model_take_due(&model, UINT64_MAX - 2);
	ck_assert_uint_eq(model.queue.count, 3);
	model_take_due(&model, UINT64_MAX - 1);
	ck_assert_uint_eq(model.queue.count, 2);
	model_take_due(&model, UINT64_MAX);
	ck_assert_uint_eq(model.queue.count, 0);
	model_insert(&model, 3, UINT64_MAX);
	model_insert(&model, 4, 0);
	model_take_due(&model, UINT64_MAX);
	ck_assert_uint_eq(model.queue.count, 0);
}
END_TEST

START_TEST(a_timer_is_cancelled_in_every_state)
{
	struct model model;
	struct pro_timer *due;

	/* Never queued, queued at each level, overdue, beyond, twice. */
	model_init(&model, 1, 100);
	model_remove(&model, 0);
	for (unsigned bit = 0; bit < 64; bit++) {
		model_insert(&model, 0, UINT64_C(1) << bit);
		model_remove(&model, 0);
		ck_assert_uint_eq(pro__timer_queue_next_ms(&model.queue), UINT64_MAX);
		model_remove(&model, 0);
	}
	/* First, middle and last of one slot. */
	for (unsigned victim = 0; victim < 3; victim++) {
		for (unsigned i = 0; i < 3; i++)
			model_insert(&model, i, model.now_ms + 70);
		model_remove(&model, victim);
		model_check_next(&model);
		model_take_due(&model, model.now_ms + 70);
	}
	/* Taken: no longer queued, and free to be queued anew. */
	model_insert(&model, 0, model.now_ms);
	due = pro__timer_queue_take_due(&model.queue, model.now_ms);
	ck_assert_ptr_eq(due, &model.timers[0]);
	ck_assert(!pro__timer_queue_remove(&model.queue, due));
	model.is_queued[0] = false;
	model_insert(&model, 0, model.now_ms + 1);
	model_take_due(&model, model.now_ms + 1);
	ck_assert_uint_eq(model.queue.count, 0);
}
END_TEST

START_TEST(a_timer_that_moved_down_is_cancelled)
{
	struct model model;

	model_init(&model, 1, 0);
	model_insert(&model, 0, 4096 + 64 + 1);
	model_insert(&model, 1, 4096 + 64 + 1);
	model_take_due(&model, 4096);
	model_remove(&model, 1);
	model_take_due(&model, 4096 + 64);
	model_remove(&model, 0);
	ck_assert_uint_eq(pro__timer_queue_next_ms(&model.queue), UINT64_MAX);
	ck_assert_ptr_null(pro__timer_queue_take_due(&model.queue, UINT64_MAX));
}
END_TEST

/* ---- at random ---- */

/* Near, far, equal to another, overdue: whatever the wheel may treat differently. */
static uint64_t model_some_time(struct model *model)
{
	uint64_t bits = model_random(model);
	uint64_t delay = model_random(model) >> (bits >> 8 & 63);

	switch (bits & 7) {
	case 0:
		return model->expires_ms[bits >> 32 & (MODEL_TIMERS - 1)];
	case 1:
		return model->now_ms - (model->now_ms < delay ? model->now_ms : delay);
	case 2:
		return model->now_ms;
	case 3:
		return UINT64_MAX - (bits >> 60);
	case 4:
		return model->now_ms + (bits >> 58);
	default:
		return UINT64_MAX - model->now_ms < delay ? UINT64_MAX : model->now_ms + delay;
	}
}

static uint64_t model_some_now(struct model *model)
{
	uint64_t bits = model_random(model);
	unsigned first = model_first(model);

	switch (bits & 7) {
	case 0:
		return model_some_time(model);
	case 1:
		return first < MODEL_TIMERS ? model->expires_ms[first] : model->now_ms;
	case 2:
		return first < MODEL_TIMERS && model->expires_ms[first] > 0 ? model->expires_ms[first] - 1
																	: 0;
	case 3:
		return pro__timer_queue_next_ms(&model->queue);
	default:
		return model->now_ms > UINT64_MAX - 100 ? model->now_ms : model->now_ms + (bits >> 8 & 63);
	}
}

static void model_step(struct model *model)
{
	uint64_t bits = model_random(model);
	unsigned i = bits >> 32 & (MODEL_TIMERS - 1);

	if ((bits & 7) < 3 && !model->is_queued[i])
		model_insert(model, i, model_some_time(model));
	else if ((bits & 7) < 5)
		model_remove(model, i);
	else if ((bits & 7) < 7 && model->is_queued[i]) {
		model_remove(model, i);
		model_insert(model, i, model_some_time(model));
	} else
		model_take_due(model, model_some_now(model));
	model_check_next(model);
}

START_TEST(random_operations_agree_with_the_model)
{
	for (uint64_t round = 0; round < 200; round++) {
		struct model model;
		uint64_t seed = (uint64_t)_i * 1000 + round;

		model_init(&model, seed, 0);
		model_init(&model, seed, model_random(&model) >> (seed & 63));
		for (unsigned step = 0; step < 300; step++)
			model_step(&model);
		model_take_due(&model, UINT64_MAX);
		ck_assert_uint_eq(model.queue.count, 0);
	}
}
END_TEST

START_TEST(following_next_ms_misses_nothing)
{
	/* The way of the loop: sleep until next_ms, take what is due, queue again. */
	struct model model;
	unsigned taken = 0;

	model_init(&model, 7, 12345);
	for (unsigned i = 0; i < MODEL_TIMERS; i++)
		model_insert(&model, i, model.now_ms + (model_random(&model) >> (20 + i % 40)));
	while (model.queue.count > 0) {
		uint64_t next_ms = pro__timer_queue_next_ms(&model.queue);
		size_t before = model.queue.count;

		ck_assert_uint_gt(next_ms, model.now_ms);
		model_take_due(&model, next_ms);
		taken += (unsigned)(before - model.queue.count);
	}
	ck_assert_uint_eq(taken, MODEL_TIMERS);
}
END_TEST

START_TEST(a_jump_over_many_slots_is_quick)
{
	/* 2^63 steps of a millisecond would never end; the case's limit of time finds it. */
	struct model model;

	model_init(&model, 3, 0);
	for (unsigned i = 0; i < MODEL_TIMERS; i++)
		model_insert(&model, i, UINT64_C(1) << i % 63);
	model_take_due(&model, UINT64_C(1) << 63);
	ck_assert_uint_eq(model.queue.count, 0);
}
END_TEST

START_TEST(many_timers_come_in_order)
{
	const size_t count = 200000;
	struct pro_timer *timers = calloc(count, sizeof(*timers));
	struct pro_timer_queue queue;
	struct model random = {.random = 99};
	struct pro_timer *due;
	uint64_t last_ms = 0;
	size_t taken = 0;

	ck_assert_ptr_nonnull(timers);
	pro__timer_queue_init(&queue, 1000);
	/* A tenth is overdue, and unsorted. */
	for (size_t i = 0; i < count; i++)
		pro__timer_queue_insert(&queue, &timers[i], model_random(&random) % 10000);
	for (due = pro__timer_queue_take_due(&queue, 10000); due; due = due->next) {
		MUST(due->expires_ms >= last_ms);
		if (due->next && due->next->expires_ms == due->expires_ms)
			MUST(due < due->next);
		last_ms = due->expires_ms;
		taken++;
	}
	ck_assert_uint_eq(taken, count);
	ck_assert_uint_eq(queue.count, 0);
	free(timers);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("timer_queue");
	TCase *tcase = tcase_create("timer_queue");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, an_empty_queue_has_nothing_due);
	tcase_add_test(tcase, a_timer_is_never_early);
	tcase_add_test(tcase, equal_times_come_in_the_order_of_insertion);
	tcase_add_test(tcase, overdue_timers_come_with_the_next_take);
	tcase_add_test(tcase, a_clock_that_goes_back_stands_still);
	tcase_add_test(tcase, the_last_millisecond_of_time_is_a_time);
	tcase_add_test(tcase, a_timer_is_cancelled_in_every_state);
	tcase_add_test(tcase, a_timer_that_moved_down_is_cancelled);
	tcase_add_loop_test(tcase, random_operations_agree_with_the_model, 0, 10);
	tcase_add_test(tcase, following_next_ms_misses_nothing);
	tcase_add_test(tcase, a_jump_over_many_slots_is_quick);
	tcase_add_test(tcase, many_timers_come_in_order);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
