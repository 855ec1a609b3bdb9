/* The pool of threads: bounded, started on demand, everything run exactly once or taken back. */
#include "../proactor/worker_pool.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "support/allocator.h"
#include "support/crew.h"
#include "support/os.h"
#include "support/suite.h"

#define THREADS_MAX 3
#define WORKS       64

static struct test_allocator memory;
static struct pro_proactor *proactor;
static struct pro_worker_pool *pool;
static unsigned threads_before;

/* Works block at the gate until it opens. */
static pthread_mutex_t gate_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER;
static bool gate_is_open;
static unsigned gate_waiting;
static unsigned gate_waiting_most;
static unsigned finished_count;

struct gated_work {
	struct pro_work work; /* first */
	unsigned runs;
	unsigned number; /* in the order of beginning */
	long thread_id;
};

static struct gated_work works[WORKS];
static unsigned begun_count;

static void run_gated(struct pro_work *work)
{
	struct gated_work *gated = pro_container_of(work, struct gated_work, work);

	pthread_mutex_lock(&gate_mutex);
	gated->runs++;
	gated->thread_id = os_thread_id();
	gated->number = begun_count++;
	gate_waiting++;
	if (gate_waiting > gate_waiting_most)
		gate_waiting_most = gate_waiting;
	pthread_cond_broadcast(&gate_changed);
	while (!gate_is_open)
		pthread_cond_wait(&gate_changed, &gate_mutex);
	gate_waiting--;
	finished_count++;
	pthread_cond_broadcast(&gate_changed);
	pthread_mutex_unlock(&gate_mutex);
}

static void gate_set(bool is_open)
{
	pthread_mutex_lock(&gate_mutex);
	gate_is_open = is_open;
	pthread_cond_broadcast(&gate_changed);
	pthread_mutex_unlock(&gate_mutex);
}

/* Until `count` works stand at the gate; the test's time limit bounds it. */
static void gate_await_waiting(unsigned count)
{
	pthread_mutex_lock(&gate_mutex);
	while (gate_waiting < count)
		pthread_cond_wait(&gate_changed, &gate_mutex);
	pthread_mutex_unlock(&gate_mutex);
}

static void gate_await_finished(unsigned count)
{
	pthread_mutex_lock(&gate_mutex);
	while (finished_count < count)
		pthread_cond_wait(&gate_changed, &gate_mutex);
	pthread_mutex_unlock(&gate_mutex);
}

static void do_nothing(void *context, unsigned number)
{
	(void)context;
	(void)number;
}

/* Threads of this process. A thread that was joined may stand in /proc a moment longer. */
static void await_thread_count(unsigned count)
{
	while (os_thread_count() > count)
		os_yield();
}

static void set_up(void)
{
	struct pro_proactor_options options;
	char why[160] = "";
	struct crew crew;

	/* The thread sanitizer starts a thread of its own with a process's first one. */
	crew_start(&crew, 1, do_nothing, NULL);
	crew_join(&crew);
	threads_before = os_thread_count();
	test_allocator_init(&memory);
	pro_proactor_options_init(&options);
	options.allocator = &memory.allocator;
	ck_assert_msg(pro_proactor_create(&proactor, &options, why, sizeof(why)) == 0, "%s", why);
	ck_assert_int_eq(pro__worker_pool_create(proactor, THREADS_MAX, &pool), 0);
	for (unsigned i = 0; i < WORKS; i++)
		works[i].work.run = run_gated;
}

static void tear_down(void)
{
	gate_set(true);
	pro__worker_pool_destroy(pool);
	ck_assert_int_eq(pro_proactor_destroy(proactor), 0);
	ck_assert_int_eq(memory.live, 0);
	await_thread_count(threads_before);
}

static void submit(unsigned index)
{
	ck_assert_int_eq(pro__worker_pool_submit(pool, &works[index].work), 0);
}

START_TEST(no_thread_runs_before_there_is_work)
{
	ck_assert_uint_eq(pro__worker_pool_threads(pool), 0);
	ck_assert_uint_eq(pro__worker_pool_threads(NULL), 0);
}
END_TEST

START_TEST(threads_are_started_on_demand_and_bounded)
{
	for (unsigned i = 0; i < THREADS_MAX; i++) {
		submit(i);
		ck_assert_uint_eq(pro__worker_pool_threads(pool), i + 1);
	}
	for (unsigned i = THREADS_MAX; i < WORKS; i++)
		submit(i);
	ck_assert_uint_eq(pro__worker_pool_threads(pool), THREADS_MAX);
	gate_await_waiting(THREADS_MAX);
	gate_set(true);
	gate_await_finished(WORKS);
	ck_assert_uint_eq(gate_waiting_most, THREADS_MAX);
	for (unsigned i = 0; i < WORKS; i++)
		ck_assert_uint_eq(works[i].runs, 1);
}
END_TEST

START_TEST(an_idle_thread_is_used_again)
{
	gate_set(true);
	for (unsigned i = 0; i < WORKS; i++) {
		submit(i);
		gate_await_finished(i + 1);
		while (!os_wait_until_asleep(works[i].thread_id))
			continue;
	}
	/* One may sleep and not be idle yet, but seldom; a pool that starts more has them all. */
	ck_assert_uint_lt(pro__worker_pool_threads(pool), THREADS_MAX);
}
END_TEST

START_TEST(one_thread_keeps_the_order)
{
	struct pro_worker_pool *single;

	ck_assert_int_eq(pro__worker_pool_create(proactor, 1, &single), 0);
	for (unsigned i = 0; i < WORKS; i++)
		ck_assert_int_eq(pro__worker_pool_submit(single, &works[i].work), 0);
	gate_set(true);
	gate_await_finished(WORKS);
	for (unsigned i = 0; i < WORKS; i++)
		ck_assert_uint_eq(works[i].number, i);
	pro__worker_pool_destroy(single);
}
END_TEST

START_TEST(queued_work_is_taken_back_and_running_work_is_not)
{
	for (unsigned i = 0; i < THREADS_MAX + 4; i++)
		submit(i);
	gate_await_waiting(THREADS_MAX);
	for (unsigned i = 0; i < THREADS_MAX; i++)
		ck_assert(!pro__worker_pool_take_back(pool, &works[i].work));
	/* The last, the first and one between them, so that every link is mended. */
	ck_assert(pro__worker_pool_take_back(pool, &works[THREADS_MAX + 3].work));
	ck_assert(pro__worker_pool_take_back(pool, &works[THREADS_MAX].work));
	ck_assert(!pro__worker_pool_take_back(pool, &works[THREADS_MAX].work));
	submit(THREADS_MAX + 4);
	ck_assert(pro__worker_pool_take_back(pool, &works[THREADS_MAX + 2].work));
	gate_set(true);
	gate_await_finished(THREADS_MAX + 2);
	ck_assert_uint_eq(works[THREADS_MAX + 1].runs, 1);
	ck_assert_uint_eq(works[THREADS_MAX + 4].runs, 1);
	ck_assert_uint_eq(works[THREADS_MAX].runs, 0);
	ck_assert_uint_eq(works[THREADS_MAX + 2].runs, 0);
	ck_assert_uint_eq(works[THREADS_MAX + 3].runs, 0);
	/* What was taken back can be used again. */
	submit(THREADS_MAX);
	gate_await_finished(THREADS_MAX + 3);
}
END_TEST

START_TEST(destroy_runs_what_is_queued)
{
	struct pro_worker_pool *other;

	ck_assert_int_eq(pro__worker_pool_create(proactor, 1, &other), 0);
	for (unsigned i = 0; i < WORKS; i++)
		ck_assert_int_eq(pro__worker_pool_submit(other, &works[i].work), 0);
	gate_set(true);
	pro__worker_pool_destroy(other);
	ck_assert_uint_eq(finished_count, WORKS);
}
END_TEST

static char name_seen[32];
static sigset_t mask_seen;

static void run_looking(struct pro_work *work)
{
	pthread_getname_np(pthread_self(), name_seen, sizeof(name_seen));
	pthread_sigmask(SIG_BLOCK, NULL, &mask_seen);
	run_gated(work);
}

START_TEST(workers_have_a_name_and_take_no_signal)
{
	sigset_t mask_before;
	sigset_t mask_after;

	pthread_sigmask(SIG_BLOCK, NULL, &mask_before);
	works[0].work.run = run_looking;
	gate_set(true);
	submit(0);
	gate_await_finished(1);
	pthread_sigmask(SIG_BLOCK, NULL, &mask_after);
	ck_assert_str_eq(name_seen, "pro-worker");
	for (int signal = 1; signal < 32; signal++) {
		if (signal != SIGKILL && signal != SIGSTOP)
			ck_assert_int_eq(sigismember(&mask_seen, signal), 1);
		ck_assert_int_eq(sigismember(&mask_after, signal), sigismember(&mask_before, signal));
	}
}
END_TEST

static int destroy_in_child(void *context)
{
	(void)context;
	pro__worker_pool_destroy(pool);
	return pro_proactor_destroy(proactor) == 0 ? 0 : 1;
}

START_TEST(a_forked_child_destroys_without_its_threads)
{
	for (unsigned i = 0; i < THREADS_MAX + 1; i++)
		submit(i);
	gate_await_waiting(THREADS_MAX);
	ck_assert_int_eq(os_run_forked(destroy_in_child, NULL), 0);
	gate_set(true);
	gate_await_finished(THREADS_MAX + 1);
}
END_TEST

START_TEST(no_memory_is_an_error_and_no_pool)
{
	struct pro_worker_pool *none = pool;

	memory.fails_always = true;
	ck_assert_int_eq(pro__worker_pool_create(proactor, 1, &none), PRO_ENOMEM);
	memory.fails_always = false;
	ck_assert_ptr_null(none);
	pro__worker_pool_destroy(none);
}
END_TEST

static unsigned ran_count;

static void run_counting(struct pro_work *work)
{
	(void)work;
	__atomic_fetch_add(&ran_count, 1, __ATOMIC_RELAXED);
}

/* Taking back races with the workers: each work runs, or is taken back, never both. */
START_TEST(every_work_runs_or_is_taken_back)
{
	unsigned taken_back = 0;
	unsigned rounds = 200;

	for (unsigned round = 0; round < rounds; round++) {
		struct pro_work race[16];
		unsigned before = __atomic_load_n(&ran_count, __ATOMIC_RELAXED);
		unsigned taken = 0;
		for (unsigned i = 0; i < 16; i++) {
			race[i] = (struct pro_work){.run = run_counting};
			ck_assert_int_eq(pro__worker_pool_submit(pool, &race[i]), 0);
		}
		for (unsigned i = 16; i > 0; i--)
			taken += pro__worker_pool_take_back(pool, &race[i - 1]);
		while (__atomic_load_n(&ran_count, __ATOMIC_RELAXED) - before + taken < 16)
			os_yield();
		ck_assert_uint_eq(ran_count - before + taken, 16);
		taken_back += taken;
	}
	printf("%u of %u taken back\n", taken_back, rounds * 16);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("worker_pool");
	TCase *tcase = tcase_create("worker_pool");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, no_thread_runs_before_there_is_work);
	tcase_add_test(tcase, threads_are_started_on_demand_and_bounded);
	tcase_add_test(tcase, an_idle_thread_is_used_again);
	tcase_add_test(tcase, one_thread_keeps_the_order);
	tcase_add_test(tcase, queued_work_is_taken_back_and_running_work_is_not);
	tcase_add_test(tcase, destroy_runs_what_is_queued);
	tcase_add_test(tcase, workers_have_a_name_and_take_no_signal);
	tcase_add_test(tcase, a_forked_child_destroys_without_its_threads);
	tcase_add_test(tcase, no_memory_is_an_error_and_no_pool);
	tcase_add_test(tcase, every_work_runs_or_is_taken_back);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
