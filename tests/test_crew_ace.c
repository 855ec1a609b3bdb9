/* The scenarios of ACE in which several threads run one loop. */
#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include <proactor/asynch_timer.h>

#include "support/crew.h"
#include "support/loops.h"
#include "support/os.h"
#include "support/suite.h"
#include "support/world.h"

#define THREADS 8

static void sleep_ms(unsigned ms)
{
	const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&time, NULL); /* on purpose: a callback that takes its time */
}

struct brancher {
	struct pro_handler handler; /* first */
};

static struct brancher branchers[16];
static struct pro_asynch_timer *branches;
static atomic_uint branches_begun;
static atomic_uint branches_ended;
static unsigned branches_wanted;

static void branch_start(void)
{
	unsigned index = atomic_fetch_add(&branches_begun, 1);

	if (index >= branches_wanted)
		return;
	ASSERT_OK(pro_asynch_timer_open(&branches[index], &branchers[index % 16].handler, NULL));
	ASSERT_OK(pro_asynch_timer_schedule(&branches[index], 0));
}

static void brancher_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	(void)handler;
	ASSERT_OK(result->error);
	branch_start();
	branch_start();
	if (atomic_fetch_add(&branches_ended, 1) + 1 == branches_wanted)
		sem_post(&done);
}

static const struct pro_handler_vtbl brancher_vtbl = {
		.handle_time_out = brancher_handle_time_out,
		.handle_close = handle_close_nothing,
};

/* S11: each timer schedules two more. */
START_TEST(timers_that_schedule_two_more_each)
{
	branches_wanted = os_is_sanitized() ? 20000 : 100000;
	branches = calloc(branches_wanted, sizeof(*branches));
	ck_assert_ptr_nonnull(branches);
	open_crew(4, THREADS);
	for (unsigned i = 0; i < 16; i++)
		ASSERT_OK(pro_handler_init(&branchers[i].handler, &brancher_vtbl, proactor));
	for (unsigned i = 0; i < THREADS; i++)
		branch_start();
	await_done();
	close_crew();
	ck_assert_uint_eq(branches_ended, branches_wanted);
	free(branches);
}
END_TEST

static struct pro_handler sleepers[2];
static struct pro_message_block sleepers_blocks[20];
static atomic_uint slept;

static void sleeper_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	(void)handler;
	ASSERT_OK(result->error);
	sleep_ms(2);
	if (atomic_fetch_add(&slept, 1) + 1 == 20)
		sem_post(&done);
}

static const struct pro_handler_vtbl sleeper_vtbl = {
		.handle_post = sleeper_handle_post,
		.handle_close = handle_close_nothing,
};

/* S13 */
START_TEST(two_proactors_of_five_threads_lose_no_post)
{
	struct pro_proactor *proactors[2];
	struct crew crews[2];

	sem_init(&done, 0, 0);
	for (unsigned i = 0; i < 2; i++) {
		proactors[i] = create_shared(2);
		ASSERT_OK(pro_handler_init(&sleepers[i], &sleeper_vtbl, proactors[i]));
		crew_start(&crews[i], 5, run_loop, proactors[i]);
	}
	for (unsigned i = 0; i < 20; i++) {
		pro_message_block_init(&sleepers_blocks[i], NULL, 0);
		ASSERT_OK(pro_handler_post(&sleepers[i % 2], &sleepers_blocks[i], NULL));
	}
	await_done();
	for (unsigned i = 0; i < 2; i++) {
		pro_proactor_end_event_loop(proactors[i]);
		crew_join(&crews[i]);
		ASSERT_OK(pro_proactor_destroy(proactors[i]));
	}
}
END_TEST

static void run_loop_for_long(void *context, unsigned number)
{
	loop_threads[number + 5] = os_thread_id();
	ASSERT_OK(pro_proactor_run_event_loop_for(context, 3600000));
}

/* S14 */
START_TEST(one_end_ends_all_loops)
{
	struct crew timed;

	open_crew(1u << _i, 5);
	crew_start(&timed, 5, run_loop_for_long, proactor);
	for (unsigned i = 0; i < 10; i++) {
		while (loop_threads[i] == 0)
			os_yield();
		os_wait_until_asleep(loop_threads[i]);
	}
	pro_proactor_end_event_loop(proactor);
	crew_join(&loops);
	crew_join(&timed);
	ck_assert(pro_proactor_event_loop_done(proactor));
	pro_proactor_reset_event_loop(proactor);
	ASSERT_OK(pro_proactor_run_event_loop_for(proactor, 1));
	ASSERT_OK(pro_proactor_destroy(proactor));
}
END_TEST

#define UNIT_MS 30

struct ticker {
	struct pro_handler handler; /* first */
	struct pro_asynch_timer timer;
	unsigned sleeps_ms;
	uint64_t expirations;
	unsigned finals;
};

static struct ticker tickers[2];

static void ticker_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct ticker *ticker = pro_container_of(handler, struct ticker, handler);

	ticker->expirations += result->expirations;
	ticker->finals += result->is_final;
	if (!result->is_final && ticker->sleeps_ms)
		sleep_ms(ticker->sleeps_ms);
}

static const struct pro_handler_vtbl ticker_vtbl = {
		.handle_time_out = ticker_handle_time_out,
		.handle_close = handle_close_nothing,
};

static void run_13_units(void *context, unsigned number)
{
	(void)number;
	ASSERT_OK(pro_proactor_run_event_loop_for(context, 13 * UNIT_MS));
}

/* S15: intervals of 2 and 3 units for 13 units, and then the cancels; _i: ten threads, and
 * callbacks that sleep. Expirations that met a sleeping callback are counted in the next. */
START_TEST(two_intervals)
{
	struct crew crew;
	uint64_t began_ms;
	uint64_t took_ms;

	proactor = create_shared(2);
	began_ms = pro_proactor_now_ms(proactor);
	for (unsigned i = 0; i < 2; i++) {
		tickers[i].sleeps_ms = _i ? 4 * UNIT_MS : 0;
		ASSERT_OK(pro_handler_init(&tickers[i].handler, &ticker_vtbl, proactor));
		ASSERT_OK(pro_asynch_timer_open(&tickers[i].timer, &tickers[i].handler, NULL));
		ASSERT_OK(pro_asynch_timer_schedule_repeating(
				&tickers[i].timer, (2 + i) * UNIT_MS, (2 + i) * UNIT_MS));
	}
	crew_start(&crew, _i ? 10 : 1, run_13_units, proactor);
	crew_join(&crew);
	for (unsigned i = 0; i < 2; i++)
		ASSERT_OK(pro_operation_cancel(&tickers[i].timer.operation));
	/* On a busy machine more than the 13 units may be over by now. */
	took_ms = pro_proactor_now_ms(proactor) - began_ms;
	ASSERT_OK(pro_proactor_destroy(proactor));
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_uint_eq(tickers[i].finals, 1);
		ck_assert_uint_le(tickers[i].expirations, took_ms / ((2 + i) * UNIT_MS) + 1);
		/* The last one may have met a sleeping callback, and its report the cancel. */
		ck_assert_uint_ge(tickers[i].expirations, _i ? 1 : 13 / (2 + i));
	}
}
END_TEST

int main(void)
{
	const unsigned seconds_max = world_is_long() ? 600 : 60;
	Suite *suite = suite_create("crew_ace");

	suite_add_case(suite, "branching_timers", timers_that_schedule_two_more_each, 0, seconds_max);
	suite_add_case(
			suite, "two_proactors", two_proactors_of_five_threads_lose_no_post, 0, seconds_max);
	suite_add_case(suite, "one_end_at_concurrency_1", one_end_ends_all_loops, 0, seconds_max);
	suite_add_case(suite, "one_end_at_concurrency_2", one_end_ends_all_loops, 1, seconds_max);
	suite_add_case(suite, "one_end_at_concurrency_4", one_end_ends_all_loops, 2, seconds_max);
	suite_add_case(suite, "two_intervals", two_intervals, 0, seconds_max);
	suite_add_case(suite, "two_intervals_of_sleepers", two_intervals, 1, seconds_max);
	return suite_run(suite);
}
