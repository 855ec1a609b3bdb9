/* Several threads run one loop, and callbacks block: who takes their place. */
#include <check.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#include <proactor/asynch_timer.h>

#include "support/crew.h"
#include "support/loops.h"
#include "support/os.h"
#include "support/suite.h"
#include "support/world.h"

struct blocker {
	struct pro_handler handler; /* first */
	bool says_so;
};

static struct blocker blockers[2];
static sem_t blocked;
static sem_t unblock;

static void blocker_handle_wakeup(struct pro_handler *handler)
{
	const struct blocker *blocker = pro_container_of(handler, struct blocker, handler);

	if (blocker->says_so)
		pro_proactor_begin_blocking(pro_handler_proactor(handler));
	sem_post(&blocked);
	wait_for(&unblock);
	if (blocker->says_so)
		pro_proactor_end_blocking(pro_handler_proactor(handler));
}

static const struct pro_handler_vtbl blocker_vtbl = {
		.handle_wakeup = blocker_handle_wakeup,
		.handle_close = handle_close_nothing,
};

static void start_blockers(unsigned count, bool say_so)
{
	sem_init(&blocked, 0, 0);
	sem_init(&unblock, 0, 0);
	for (unsigned i = 0; i < count; i++) {
		blockers[i].says_so = say_so;
		ASSERT_OK(pro_handler_init(&blockers[i].handler, &blocker_vtbl, proactor));
		ASSERT_OK(pro_handler_wakeup(&blockers[i].handler));
	}
}

static void end_blockers(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		sem_post(&unblock);
}

/* The best of some runs of 10,000 echoes: the machine may be busy. */
static uint64_t time_echoes(void)
{
	uint64_t best_ms = UINT64_MAX;

	for (unsigned i = 0; i < 3; i++) {
		uint64_t began_ms = os_now_ms();

		start_echoes(10, 10000);
		await_done();
		if (os_now_ms() - began_ms < best_ms)
			best_ms = os_now_ms() - began_ms;
		for (unsigned j = 0; j < 20; j++)
			pro_handler_close(&sides[j].service.handler);
		for (unsigned j = 0; j < 20; j++)
			wait_for(&side_closed);
	}
	return best_ms;
}

/* At full rate: as when nothing is blocked, within what a busy machine makes of that. */
START_TEST(declared_blocking_gives_the_slot_to_a_spare)
{
	uint64_t free_ms;
	uint64_t blocked_ms;

	open_crew(2, 4);
	sem_init(&side_closed, 0, 0);
	free_ms = time_echoes();
	start_blockers(2, true);
	wait_for(&blocked);
	wait_for(&blocked);
	blocked_ms = time_echoes();
	end_blockers(2);
	close_crew();
	printf("10000 echoes: %llu ms, with two blocked callbacks %llu ms\n",
			(unsigned long long)free_ms, (unsigned long long)blocked_ms);
	/* What other programs do to Wine's one server is more than that. */
	if (!os_is_emulated())
		ck_assert_uint_le(blocked_ms, 3 * free_ms + 100);
}
END_TEST

START_TEST(undeclared_blocking_costs_its_own_slot_only)
{
	open_crew(2, 4);
	start_blockers(1, false);
	wait_for(&blocked);
	start_echoes(10, world_number(10000, 10000));
	await_done();
	end_blockers(1);
	close_crew();
}
END_TEST

static struct pro_handler setter;
static struct pro_asynch_timer setter_timer;

static void setter_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	(void)handler;
	(void)result;
}

static void setter_handle_wakeup(struct pro_handler *handler)
{
	pro_proactor_begin_blocking(pro_handler_proactor(handler));
	ASSERT_OK(pro_operation_set_timeout(&setter_timer.operation, PRO_NO_TIMEOUT));
	pro_operation_set_act(&setter_timer.operation, handler);
	pro_proactor_end_blocking(pro_handler_proactor(handler));
	sem_post(&done);
}

/* Debug mode, which ends the program at a call from the wrong thread, knows it for a callback. */
START_TEST(a_callback_that_blocks_is_a_callback)
{
	static const struct pro_handler_vtbl vtbl = {
			.handle_time_out = setter_handle_time_out,
			.handle_wakeup = setter_handle_wakeup,
			.handle_close = handle_close_nothing,
	};

	os_set_environment("PROACTOR_DEBUG", "abort");
	open_crew(2, 3);
	os_set_environment("PROACTOR_DEBUG", NULL);
	ASSERT_OK(pro_handler_init(&setter, &vtbl, proactor));
	ASSERT_OK(pro_asynch_timer_open(&setter_timer, &setter, NULL));
	ASSERT_OK(pro_asynch_timer_schedule(&setter_timer, INT64_MAX));
	ASSERT_OK(pro_handler_wakeup(&setter));
	await_done();
	close_crew();
}
END_TEST

static void forgetter_handle_wakeup(struct pro_handler *handler)
{
	pro_proactor_begin_blocking(pro_handler_proactor(handler));
	pro_proactor_begin_blocking(pro_handler_proactor(handler));
	sem_post(&blocked);
}

/* The end of the callback is the end of its blocking. */
START_TEST(a_callback_that_forgets_to_end_blocking_costs_nothing)
{
	static const struct pro_handler_vtbl vtbl = {
			.handle_wakeup = forgetter_handle_wakeup,
			.handle_close = handle_close_nothing,
	};
	static struct pro_handler forgetter;

	open_crew(1, 2);
	sem_init(&blocked, 0, 0);
	ASSERT_OK(pro_handler_init(&forgetter, &vtbl, proactor));
	for (unsigned i = 0; i < 10; i++) {
		ASSERT_OK(pro_handler_wakeup(&forgetter));
		wait_for(&blocked);
	}
	start_echoes(10, 100);
	await_done();
	close_crew();
}
END_TEST

/* The gate holds both threads in callbacks while work piles up behind them, so that one batch takes
 * the blocker and much else. */
struct bystander {
	struct pro_handler handler; /* first */
};

static struct bystander bystanders[40];
static atomic_uint stood_by;
static atomic_uint stood_by_wanted;

static void bystander_handle_wakeup(struct pro_handler *handler)
{
	(void)handler;
	if (atomic_fetch_add(&stood_by, 1) + 1 == atomic_load(&stood_by_wanted))
		sem_post(&done);
}

static const struct pro_handler_vtbl bystander_vtbl = {
		.handle_wakeup = bystander_handle_wakeup,
		.handle_close = handle_close_nothing,
};

static struct pro_handler starter;

/* All are queued together, the blocker in their midst. */
static void starter_handle_wakeup(struct pro_handler *handler)
{
	(void)handler;
	for (unsigned i = 0; i < 40; i++) {
		if (i == 2)
			pro_handler_wakeup(&blockers[0].handler);
		pro_handler_wakeup(&bystanders[i].handler);
	}
}

static const struct pro_handler_vtbl starter_vtbl = {
		.handle_wakeup = starter_handle_wakeup,
		.handle_close = handle_close_nothing,
};

/* _i: whether the blocker says so. Many short callbacks first teach the crew to take many at once.
 */
START_TEST(what_was_taken_with_a_blocker_goes_on_elsewhere)
{
	uint64_t began_ms;
	uint64_t best_ms = UINT64_MAX;

	open_crew(2, 4);
	sem_init(&blocked, 0, 0);
	sem_init(&unblock, 0, 0);
	blockers[0].says_so = _i;
	ASSERT_OK(pro_handler_init(&blockers[0].handler, &blocker_vtbl, proactor));
	ASSERT_OK(pro_handler_init(&starter, &starter_vtbl, proactor));
	for (unsigned i = 0; i < 40; i++)
		ASSERT_OK(pro_handler_init(&bystanders[i].handler, &bystander_vtbl, proactor));
	for (unsigned round = 0; round < 5; round++) {
		start_echoes(1, 300);
		await_done();
		for (unsigned j = 0; j < 2; j++)
			pro_handler_close(&sides[j].service.handler);
		atomic_store(&stood_by, 0);
		atomic_store(&stood_by_wanted, 40);
		began_ms = os_now_ms();
		ASSERT_OK(pro_handler_wakeup(&starter));
		await_done();
		/* Those that were called before the blocker, by its thread, are not held up either. */
		atomic_store(&stood_by_wanted, 43);
		for (unsigned i = 0; i < 3; i++)
			ASSERT_OK(pro_handler_wakeup(&bystanders[i].handler));
		await_done();
		if (os_now_ms() - began_ms < best_ms)
			best_ms = os_now_ms() - began_ms;
		wait_for(&blocked);
		end_blockers(1);
		/* The sides are used again. */
		wait_for(&side_closed);
		wait_for(&side_closed);
	}
	close_crew();
	/* The promise is 100 ms; the best of five, since the machine may be busy. */
	ck_assert_uint_lt(best_ms, 100);
}
END_TEST

/* A timer that repeats, and expires while an earlier expiration is still to be told. */
struct repeater {
	struct pro_handler handler; /* first */
	struct pro_asynch_timer timer;
	atomic_uint ends;
	sem_t ended;
};

static struct repeater repeater;

static void repeater_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	(void)handler;
	if (!result->is_final)
		return;
	atomic_fetch_add(&repeater.ends, 1);
	sem_post(&repeater.ended);
}

/* Its thread has taken the expiration too. Another takes that over, and finds the end behind it. */
static void holder_handle_wakeup(struct pro_handler *handler)
{
	(void)handler;
	pro_operation_cancel(&repeater.timer.operation);
	wait_for(&repeater.ended);
	sem_post(&done);
}

static void beginner_handle_wakeup(struct pro_handler *handler)
{
	(void)handler;
	pro_handler_wakeup(&blockers[0].handler);
	pro_asynch_timer_schedule_repeating(&repeater.timer, 0, 1);
}

START_TEST(a_timer_that_was_taken_with_a_blocker_ends_once)
{
	static const struct pro_handler_vtbl repeater_vtbl = {
			.handle_time_out = repeater_handle_time_out,
			.handle_close = handle_close_nothing,
	};
	static const struct pro_handler_vtbl holder_vtbl = {
			.handle_wakeup = holder_handle_wakeup,
			.handle_close = handle_close_nothing,
	};
	static const struct pro_handler_vtbl beginner_vtbl = {
			.handle_wakeup = beginner_handle_wakeup,
			.handle_close = handle_close_nothing,
	};

	open_crew(2, 2);
	sem_init(&repeater.ended, 0, 0);
	ASSERT_OK(pro_handler_init(&repeater.handler, &repeater_vtbl, proactor));
	ASSERT_OK(pro_asynch_timer_open(&repeater.timer, &repeater.handler, NULL));
	ASSERT_OK(pro_handler_init(&blockers[0].handler, &holder_vtbl, proactor));
	ASSERT_OK(pro_handler_init(&starter, &beginner_vtbl, proactor));
	for (unsigned round = 0; round < 30; round++) {
		ASSERT_OK(pro_handler_wakeup(&starter));
		await_done();
		await_asleep();
		ck_assert_uint_eq(atomic_load(&repeater.ends), round + 1);
	}
	close_crew();
}
END_TEST

int main(void)
{
	const unsigned seconds_max = world_is_long() ? 600 : 60;
	Suite *suite = suite_create("crew_blocking");

	suite_add_case(suite, "declared_blocking", declared_blocking_gives_the_slot_to_a_spare, 0,
			seconds_max);
	suite_add_case(suite, "undeclared_blocking", undeclared_blocking_costs_its_own_slot_only, 0,
			seconds_max);
	suite_add_case(suite, "debug", a_callback_that_blocks_is_a_callback, 0, seconds_max);
	suite_add_case(suite, "forgotten_blocking",
			a_callback_that_forgets_to_end_blocking_costs_nothing, 0, seconds_max);
	suite_add_case(suite, "taken_with_a_blocker", what_was_taken_with_a_blocker_goes_on_elsewhere,
			0, seconds_max);
	suite_add_case(suite, "taken_with_a_declared_blocker",
			what_was_taken_with_a_blocker_goes_on_elsewhere, 1, seconds_max);
	suite_add_case(suite, "timer_taken_with_a_blocker",
			a_timer_that_was_taken_with_a_blocker_ends_once, 0, seconds_max);
	return suite_run(suite);
}
