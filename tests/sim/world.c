/* The simulated world itself: time, choices, failures, memory, the runner. */
#include "../support/os.h"
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- time ---- */

START_TEST(timers_jump_and_are_never_early)
{
	struct pro_sim *sim = calm_world();
	struct probe probe;
	uint64_t begin_ns = pro_sim_now_ns(sim);
	uint64_t passed_ns;

	probe_init(&probe, sim, world_proactor(sim, "sleeper"));
	ck_assert_int_eq(probe_sleep(&probe, INT64_C(500000)), 0);
	passed_ns = pro_sim_now_ns(sim) - begin_ns;
	ck_assert_uint_ge(passed_ns, UINT64_C(500000000000));
	ck_assert_uint_le(passed_ns, UINT64_C(500100000000));
	ck_assert_uint_lt(pro_sim_steps(sim), 100);
	probe_close(&probe);
	world_end(sim);
}
END_TEST

START_TEST(run_until_ends_at_its_limit)
{
	struct pro_sim *sim = calm_world();
	struct pro_proactor *proactor = world_proactor(sim, "idle");
	uint64_t begin_ns = pro_sim_now_ns(sim);

	ck_assert_int_eq(pro_sim_run_until(sim, NULL, NULL, 250), 0);
	ck_assert_uint_eq(pro_sim_now_ns(sim) - begin_ns, 250000000);
	while (pro_sim_step(sim) == 1)
		continue;
	ck_assert_int_eq(pro_sim_step(sim), 0);
	ck_assert_uint_eq(pro_proactor_now_ns(proactor), pro_sim_now_ns(sim));
	world_end(sim);
}
END_TEST

START_TEST(loop_that_is_run_lets_the_others_go_on)
{
	struct pro_sim *sim = calm_world();
	struct probe sleeper;
	struct probe other;
	struct pro_proactor *proactor = world_proactor(sim, "main");

	probe_init(&sleeper, sim, proactor);
	probe_init(&other, sim, world_proactor(sim, "other"));
	ck_assert_int_eq(pro_asynch_timer_schedule(&sleeper.timer, 1000), 0);
	ck_assert_int_eq(pro_asynch_timer_schedule(&other.timer, 500), 0);
	sleeper.pending = other.pending = 1;
	ck_assert_int_eq(pro_proactor_run_event_loop_for(proactor, 800), 0);
	ck_assert_uint_eq(other.pending, 0);
	ck_assert_uint_eq(sleeper.pending, 1);
	ck_assert_int_eq(pro_proactor_handle_events(proactor, PRO_NO_TIMEOUT), 1);
	ck_assert_uint_eq(sleeper.pending, 0);
	world_end(sim);
}
END_TEST

START_TEST(loop_that_only_looks_gets_on)
{
	struct pro_sim *sim = calm_world();
	struct pro_proactor *proactor = world_proactor(sim, "poller");
	struct probe probe;

	probe_init(&probe, sim, proactor);
	ck_assert_int_eq(pro_asynch_timer_schedule(&probe.timer, 5), 0);
	probe.pending = 1;
	while (probe.pending > 0)
		ck_assert_int_ge(pro_proactor_handle_events(proactor, 0), 0);
	world_end(sim);
}
END_TEST

START_TEST(loop_that_waits_for_nothing_is_a_failure)
{
	struct pro_sim *sim = calm_world();
	struct pro_proactor *proactor = world_proactor(sim, "stuck");

	ck_assert_int_eq(pro_proactor_run_event_loop(proactor), 0);
	ck_assert(pro_proactor_event_loop_done(proactor));
	world_end_failed(sim, "the loop of stuck waits, and nothing can happen any more");
}
END_TEST

/* The first failure is the one that is told. */
START_TEST(loop_that_waits_for_nothing_hides_no_other_failure)
{
	struct pro_sim *sim = calm_world();
	struct pro_proactor *proactor = world_proactor(sim, "stuck");
	const struct pro_allocator *allocator = pro_sim_allocator(sim);
	unsigned char *volatile bytes = allocator->allocate(allocator->context, 100);

	allocator->deallocate(allocator->context, bytes);
	/* A sanitizer finds that by itself, and would end the program. */
	if (os_is_sanitized()) {
		world_end(sim);
		return;
	}
	bytes[50] = 1;
	ck_assert_int_eq(pro_proactor_run_event_loop(proactor), 0);
	world_end_failed(sim, "100 bytes of memory that were freed at step 0 were written to later");
}
END_TEST

static void count_step(struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	(void)result;
	pro_asynch_timer_schedule(&pro_container_of(handler, struct probe, handler)->timer, 1);
}

static void ignore_close(struct pro_handler *handler)
{
	(void)handler;
}

static const struct pro_handler_vtbl restless_vtbl = {
		.handle_time_out = count_step,
		.handle_close = ignore_close,
};

START_TEST(run_without_an_end_is_a_failure)
{
	struct pro_sim_options options;
	struct pro_sim *sim;
	struct probe probe;

	pro_sim_options_init(&options);
	options.steps_max = 1000;
	ck_assert_int_eq(pro_sim_create(&sim, &options), 0);
	probe_init(&probe, sim, world_proactor(sim, "restless"));
	probe.handler.vtbl = &restless_vtbl;
	ck_assert_int_eq(pro_asynch_timer_schedule(&probe.timer, 1), 0);
	ck_assert_int_eq(pro_sim_run_until(sim, NULL, NULL, -1), PRO_ECANCELED);
	ck_assert_uint_eq(pro_sim_failure_step(sim), 1000);
	world_end_failed(sim, "1000 steps and no end");
}
END_TEST

/* ---- what a proactor in it is ---- */

START_TEST(port_is_sim_and_never_chosen_by_itself)
{
	struct pro_proactor_report report = {.size = sizeof(report)};
	struct pro_proactor_options options;
	struct pro_sim *sim = calm_world();
	struct pro_proactor *proactor = world_proactor(sim, "one");
	char why[256] = "";

	ck_assert_int_eq(pro_proactor_report(proactor, &report), 0);
	ck_assert_str_eq(report.port, "sim");
	ck_assert_str_eq(report.reason, "forced by options.sim");
	pro_proactor_options_init(&options);
	options.port = "sim";
	ck_assert_int_eq(pro_proactor_create(&proactor, &options, why, sizeof(why)), PRO_ENOTSUP);
	options.sim = sim;
	options.is_shared = true;
	ck_assert_int_eq(pro_proactor_create(&proactor, &options, why, sizeof(why)), PRO_ENOTSUP);
	ck_assert_ptr_nonnull(strstr(why, "one thread"));
	options.is_shared = false;
	ck_assert_int_eq(pro_proactor_create(&proactor, &options, why, sizeof(why)), 0);
	ck_assert_int_eq(pro_proactor_destroy(proactor), 0);
	world_end(sim);
}
END_TEST

START_TEST(world_has_room_for_64_proactors)
{
	struct pro_sim *sim = calm_world();
	struct pro_proactor *last = NULL;
	struct pro_proactor *proactor;

	for (unsigned i = 0; i < PRO_SIM_PROACTORS_MAX; i++)
		last = world_proactor(sim, NULL);
	ck_assert_int_eq(pro_sim_proactor_create(sim, NULL, NULL, &proactor), PRO_EFULL);
	ck_assert_int_eq(pro_proactor_destroy(last), 0);
	world_proactor(sim, "again");
	world_end(sim);
}
END_TEST

START_TEST(options_are_checked)
{
	struct pro_sim_options options;
	struct pro_sim *sim;

	pro_sim_options_init(&options);
	options.size--;
	ck_assert_int_eq(pro_sim_create(&sim, &options), PRO_EINVAL);
	pro_sim_options_init(&options);
	options.buffer_bytes = 0;
	ck_assert_int_eq(pro_sim_create(&sim, &options), PRO_EINVAL);
	pro_sim_options_init(&options);
	options.choices_size = 1;
	ck_assert_int_eq(pro_sim_create(&sim, &options), PRO_EINVAL);
	ck_assert_int_eq(pro_sim_create(NULL, NULL), PRO_EINVAL);
	pro_sim_destroy(NULL);
}
END_TEST

/* ---- choices ---- */

START_TEST(users_choices_depend_on_the_seed_alone)
{
	struct pro_sim_options options;
	struct pro_sim *sims[3];

	pro_sim_options_init(&options);
	for (unsigned i = 0; i < 3; i++) {
		options.seed = i / 2;
		options.faults = i == 0 ? 0 : PRO_SIM_ALL;
		ck_assert_int_eq(pro_sim_create(&sims[i], &options), 0);
	}
	ck_assert_uint_eq(pro_sim_random(sims[0]), pro_sim_random(sims[1]));
	ck_assert_uint_ne(pro_sim_random(sims[1]), pro_sim_random(sims[2]));
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_uint_lt(pro_sim_choose(sims[0], 7), 7);
	ck_assert_uint_eq(pro_sim_choose(sims[0], 1), 0);
	for (unsigned i = 0; i < 3; i++)
		pro_sim_destroy(sims[i]);
}
END_TEST

START_TEST(seed_chooses_some_of_the_faults)
{
	struct pro_sim_options options;
	unsigned chosen[PRO_SIM_FAULTS] = {0};

	pro_sim_options_init(&options);
	for (options.seed = 0; options.seed < 200; options.seed++) {
		struct pro_sim *sim;

		options.faults = PRO_SIM_ALL & ~PRO_SIM_BIT(PRO_SIM_RESET);
		ck_assert_int_eq(pro_sim_create(&sim, &options), 0);
		for (unsigned i = 0; i < PRO_SIM_FAULTS; i++)
			chosen[i] += pro_sim_rate(sim, (enum pro_sim_fault)i) > 0;
		pro_sim_destroy(sim);
	}
	for (unsigned i = 0; i < PRO_SIM_FAULTS; i++)
		if (i == PRO_SIM_RESET)
			ck_assert_uint_eq(chosen[i], 0);
		else
			ck_assert_msg(chosen[i] > 50 && chosen[i] < 150, "%s in %u of 200 seeds",
					pro_sim_fault_text((enum pro_sim_fault)i), chosen[i]);
}
END_TEST

START_TEST(names_of_faults_are_read_back)
{
	uint64_t faults = 1;

	ck_assert_int_eq(pro_sim_faults_parse("none", &faults), 0);
	ck_assert_uint_eq(faults, 0);
	ck_assert_int_eq(pro_sim_faults_parse("all", &faults), 0);
	ck_assert_uint_eq(faults, PRO_SIM_ALL);
	ck_assert_int_eq(pro_sim_faults_parse("reset,short-read", &faults), 0);
	ck_assert_uint_eq(faults, PRO_SIM_BIT(PRO_SIM_RESET) | PRO_SIM_BIT(PRO_SIM_SHORT_READ));
	ck_assert_int_eq(pro_sim_faults_parse("reset,", &faults), PRO_EINVAL);
	ck_assert_int_eq(pro_sim_faults_parse("thunder", &faults), PRO_EINVAL);
	ck_assert_ptr_null(pro_sim_fault_text(PRO_SIM_FAULTS));
}
END_TEST

/* ---- memory ---- */

START_TEST(memory_that_is_written_to_after_its_end_is_found)
{
	struct pro_sim *sim = calm_world();
	const struct pro_allocator *allocator = pro_sim_allocator(sim);
	unsigned char *volatile bytes = allocator->allocate(allocator->context, 100);

	allocator->deallocate(allocator->context, bytes);
	/* A sanitizer finds that by itself, and would end the program. */
	if (os_is_sanitized()) {
		world_end(sim);
		return;
	}
	bytes[50] = 1;
	world_end_failed(sim, "100 bytes of memory that were freed at step 0 were written to later");
}
END_TEST

START_TEST(memory_that_is_freed_twice_or_left_is_found)
{
	struct pro_sim *sim = calm_world();
	const struct pro_allocator *allocator = pro_sim_allocator(sim);
	void *bytes = allocator->allocate(allocator->context, 100);

	bytes = allocator->reallocate(allocator->context, bytes, 200);
	allocator->deallocate(allocator->context, NULL);
	allocator->deallocate(allocator->context, bytes);
	allocator->deallocate(allocator->context, bytes);
	world_end_failed(sim, "memory is freed twice");

	sim = calm_world();
	allocator = pro_sim_allocator(sim);
	ck_assert_ptr_nonnull(allocator->allocate(allocator->context, 17));
	world_end_failed(sim, "memory is left: first 17 bytes");
}
END_TEST

/* ---- the runner ---- */

static int fail_with_three(struct pro_sim *sim, void **context)
{
	*context = NULL;
	if (pro_sim_parameter(sim) >= 3 && pro_sim_rate(sim, PRO_SIM_CLOG) > 0)
		pro_sim_fail(sim, "three are too many");
	return 0;
}

START_TEST(failing_seed_is_made_smaller)
{
	static struct pro_sim_verdict verdict;
	struct pro_sim_test test;

	pro_sim_test_init(&test);
	test.set_up = fail_with_three;
	test.options.parameter = 7;
	ck_assert_int_eq(pro_sim_test(&test, &verdict), PRO_ECANCELED);
	ck_assert(verdict.is_failure);
	ck_assert_uint_eq(verdict.parameter, 3);
	ck_assert_uint_eq(verdict.faults, PRO_SIM_BIT(PRO_SIM_CLOG));
	ck_assert_str_eq(verdict.failure, "three are too many");
	ck_assert_ptr_nonnull(
			strstr(verdict.text, "PROACTOR_SIM_PARAMETER=3 PROACTOR_SIM_FAULTS=clog"));
}
END_TEST

static int crash_in_set_up(struct pro_sim *sim, void **context)
{
	*context = NULL;
	if (pro_sim_choose(sim, 10) == 0)
		abort();
	return 0;
}

static int hang_in_set_up(struct pro_sim *sim, void **context)
{
	volatile bool hangs = true;

	(void)sim;
	*context = NULL;
	while (hangs)
		continue;
	return 0;
}

START_TEST(crash_and_hang_are_failures_of_their_seed)
{
	static struct pro_sim_verdict verdict;
	struct pro_sim_test test;

	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	pro_sim_test_init(&test);
	test.set_up = crash_in_set_up;
	ck_assert_int_eq(pro_sim_test(&test, &verdict), PRO_ECANCELED);
	ck_assert_ptr_nonnull(strstr(verdict.failure, "it crashes: signal"));
	test.set_up = hang_in_set_up;
	test.seconds_max = 1;
	test.options.faults = 0;
	ck_assert_int_eq(pro_sim_test(&test, &verdict), PRO_ECANCELED);
	ck_assert_str_eq(verdict.failure, "it hangs");
}
END_TEST

static int refuse_set_up(struct pro_sim *sim, void **context)
{
	(void)sim;
	*context = NULL;
	return PRO_EADDRINUSE;
}

START_TEST(set_up_that_fails_is_a_failure)
{
	static struct pro_sim_verdict verdict;
	struct pro_sim_test test;

	pro_sim_test_init(&test);
	ck_assert_int_eq(pro_sim_test(&test, &verdict), PRO_EINVAL);
	test.set_up = refuse_set_up;
	test.is_in_process = true;
	ck_assert_int_eq(pro_sim_test(&test, &verdict), PRO_ECANCELED);
	ck_assert_ptr_nonnull(strstr(verdict.failure, "PRO_EADDRINUSE"));
}
END_TEST

TCase *world_tcase(void)
{
	TCase *tcase = tcase_create("world");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, timers_jump_and_are_never_early);
	tcase_add_test(tcase, run_until_ends_at_its_limit);
	tcase_add_test(tcase, loop_that_is_run_lets_the_others_go_on);
	tcase_add_test(tcase, loop_that_only_looks_gets_on);
	tcase_add_test(tcase, loop_that_waits_for_nothing_is_a_failure);
	tcase_add_test(tcase, loop_that_waits_for_nothing_hides_no_other_failure);
	tcase_add_test(tcase, run_without_an_end_is_a_failure);
	tcase_add_test(tcase, port_is_sim_and_never_chosen_by_itself);
	tcase_add_test(tcase, world_has_room_for_64_proactors);
	tcase_add_test(tcase, options_are_checked);
	tcase_add_test(tcase, users_choices_depend_on_the_seed_alone);
	tcase_add_test(tcase, seed_chooses_some_of_the_faults);
	tcase_add_test(tcase, names_of_faults_are_read_back);
	tcase_add_test(tcase, memory_that_is_written_to_after_its_end_is_found);
	tcase_add_test(tcase, memory_that_is_freed_twice_or_left_is_found);
	tcase_add_test(tcase, set_up_that_fails_is_a_failure);
	return tcase;
}

TCase *crashes_tcase(void)
{
	TCase *tcase = tcase_create("crashes");

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, failing_seed_is_made_smaller);
	tcase_add_test(tcase, crash_and_hang_are_failures_of_their_seed);
	return tcase;
}
