/* Functions on the pool of threads: they complete on the handler, once, or never run. */
#include <check.h>
#include <errno.h>
#include <semaphore.h>
#include <string.h>

#include <proactor/asynch_work.h>

#include "support/os.h"
#include "support/suite.h"
#include "support/world.h"

#define WORKS 8

struct boss {
	struct pro_handler handler; /* first */
	struct pro_asynch_work works[WORKS];
	unsigned completed;
	int error[WORKS];
	int returned[WORKS];
	bool is_closed;
};

static struct world world;
static struct boss boss;
static long loop_thread;
static unsigned runs; /* one worker */
static sem_t begun;
static sem_t go_on;

static void boss_handle_work(
		struct pro_handler *handler, const struct pro_asynch_work_result *result)
{
	struct boss *self = pro_container_of(handler, struct boss, handler);
	struct pro_asynch_work *work =
			pro_container_of(result->operation, struct pro_asynch_work, operation);
	size_t index = (size_t)(work - self->works);

	ck_assert_int_eq(os_thread_id(), loop_thread);
	ck_assert_ptr_eq(result->act, work);
	self->error[index] = result->error;
	self->returned[index] = result->returned;
	self->completed++;
}

static void boss_handle_close(struct pro_handler *handler)
{
	pro_container_of(handler, struct boss, handler)->is_closed = true;
}

static const struct pro_handler_vtbl boss_vtbl = {
		.handle_work = boss_handle_work,
		.handle_close = boss_handle_close,
};

static int add_one(void *argument)
{
	ck_assert_int_ne(os_thread_id(), loop_thread);
	runs++;
	return *(int *)argument + 1;
}

static int wait_at_gate(void *argument)
{
	(void)argument;
	sem_post(&begun);
	while (sem_wait(&go_on) != 0)
		ck_assert_int_eq(errno, EINTR);
	runs++;
	return 7;
}

static void await_begun(void)
{
	while (sem_wait(&begun) != 0)
		ck_assert_int_eq(errno, EINTR);
}

static void set_up(void)
{
	memset(&boss, 0, sizeof(boss));
	runs = 0;
	loop_thread = os_thread_id();
	sem_init(&begun, 0, 0);
	sem_init(&go_on, 0, 0);
	world_init(&world, "work");
	world.is_traced = false;
	world.options.worker_threads = 1;
	world.options.works_max = WORKS - 1;
	world_open(&world);
	ASSERT_OK(pro_handler_init(&boss.handler, &boss_vtbl, world.proactor));
	for (unsigned i = 0; i < WORKS; i++) {
		ASSERT_OK(pro_asynch_work_open(&boss.works[i], &boss.handler, NULL));
		pro_operation_set_act(&boss.works[i].operation, &boss.works[i]);
	}
}

static void tear_down(void)
{
	pro_handler_close(&boss.handler);
	RUN_UNTIL(&world, boss.is_closed);
	world_fini(&world);
}

START_TEST(works_run_in_order_off_the_loop)
{
	int numbers[4] = {10, 20, 30, 40};

	for (unsigned i = 0; i < 4; i++)
		ASSERT_OK(pro_asynch_work_run(&boss.works[i], add_one, &numbers[i]));
	ASSERT_ERROR(pro_asynch_work_run(&boss.works[0], add_one, &numbers[0]), PRO_EBUSY);
	RUN_UNTIL(&world, boss.completed == 4);
	for (unsigned i = 0; i < 4; i++) {
		ASSERT_OK(boss.error[i]);
		ck_assert_int_eq(boss.returned[i], numbers[i] + 1);
	}
}
END_TEST

START_TEST(a_cancel_stops_what_has_not_begun)
{
	int number = 1;

	ASSERT_OK(pro_asynch_work_run(&boss.works[0], wait_at_gate, NULL));
	ASSERT_OK(pro_asynch_work_run(&boss.works[1], add_one, &number));
	ASSERT_OK(pro_proactor_handle_events(world.proactor, 0));
	await_begun();
	ASSERT_OK(pro_operation_cancel(&boss.works[0].operation));
	ASSERT_OK(pro_operation_cancel(&boss.works[1].operation));
	RUN_UNTIL(&world, boss.completed == 1);
	ASSERT_ERROR(boss.error[1], PRO_ECANCELED);
	sem_post(&go_on);
	RUN_UNTIL(&world, boss.completed == 2);
	ASSERT_OK(boss.error[0]);
	ck_assert_int_eq(boss.returned[0], 7);
	ck_assert_uint_eq(runs, 1);
}
END_TEST

START_TEST(a_deadline_stops_what_has_not_begun)
{
	int number = 1;

	ASSERT_OK(pro_operation_set_timeout(&boss.works[1].operation, 20));
	ASSERT_OK(pro_asynch_work_run(&boss.works[0], wait_at_gate, NULL));
	ASSERT_OK(pro_asynch_work_run(&boss.works[1], add_one, &number));
	RUN_UNTIL(&world, boss.completed == 1);
	ASSERT_ERROR(boss.error[1], PRO_ETIMEDOUT);
	sem_post(&go_on);
	RUN_UNTIL(&world, boss.completed == 2);
	ck_assert_uint_eq(runs, 1);
}
END_TEST

START_TEST(the_queue_is_bounded)
{
	int number = 1;

	ASSERT_OK(pro_asynch_work_run(&boss.works[0], wait_at_gate, NULL));
	for (unsigned i = 1; i < WORKS - 1; i++)
		ASSERT_OK(pro_asynch_work_run(&boss.works[i], add_one, &number));
	ASSERT_ERROR(pro_asynch_work_run(&boss.works[WORKS - 1], add_one, &number), PRO_EFULL);
	sem_post(&go_on);
	RUN_UNTIL(&world, boss.completed == WORKS - 1);
	ASSERT_OK(pro_asynch_work_run(&boss.works[WORKS - 1], add_one, &number));
	RUN_UNTIL(&world, boss.completed == WORKS);
}
END_TEST

START_TEST(a_close_waits_for_what_has_begun)
{
	int number = 1;

	ASSERT_OK(pro_asynch_work_run(&boss.works[0], wait_at_gate, NULL));
	ASSERT_OK(pro_asynch_work_run(&boss.works[1], add_one, &number));
	ASSERT_OK(pro_proactor_handle_events(world.proactor, 0));
	await_begun();
	pro_handler_close(&boss.handler);
	RUN_UNTIL(&world, boss.completed == 1);
	ASSERT_ERROR(boss.error[1], PRO_ECANCELED);
	ck_assert(!boss.is_closed);
	ASSERT_ERROR(pro_asynch_work_run(&boss.works[2], add_one, &number), PRO_ECLOSED);
	sem_post(&go_on);
	RUN_UNTIL(&world, boss.is_closed);
	ck_assert_uint_eq(boss.completed, 2);
	ASSERT_OK(boss.error[0]);
}
END_TEST

START_TEST(misuse_is_refused)
{
	static const struct pro_handler_vtbl without = {.handle_close = boss_handle_close};
	struct pro_asynch_work work;
	struct pro_handler handler;

	ASSERT_OK(pro_handler_init(&handler, &without, world.proactor));
	ASSERT_ERROR(pro_asynch_work_open(&work, &handler, NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_asynch_work_run(&boss.works[0], NULL, NULL), PRO_EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("work");
	TCase *tcase = tcase_create("work");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, works_run_in_order_off_the_loop);
	tcase_add_test(tcase, a_cancel_stops_what_has_not_begun);
	tcase_add_test(tcase, a_deadline_stops_what_has_not_begun);
	tcase_add_test(tcase, the_queue_is_bounded);
	tcase_add_test(tcase, a_close_waits_for_what_has_begun);
	tcase_add_test(tcase, misuse_is_refused);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
