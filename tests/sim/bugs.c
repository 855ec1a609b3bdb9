/* Mistakes planted in handlers: each is found, within so many seeds, with the seed and what is
 * wrong. */
#include "sim_tests.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 2000u

struct bug_case {
	const char *name;
	const char *text;
	void (*init)(struct pro_sim_test *test);
};

static const struct bug_case bug_cases[BUGS] = {
#define BUG_CASE(name, session, text) {#name, text, session##_test_init},
		BUG_LIST(BUG_CASE)
#undef BUG_CASE
};

START_TEST(planted_bug_is_found)
{
	const struct bug_case *bug = &bug_cases[_i];
	static struct pro_sim_verdict verdict;
	struct pro_sim_test test;
	int error;

	planted_bug = (enum bug)_i;
	bug->init(&test);
	test.seeds = SEEDS;
	test.options.steps_max = 200000;
	/* What a crash prints is of no use here. */
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	error = pro_sim_test(&test, &verdict);
	ck_assert_msg(error == PRO_ECANCELED, "%s: not found in %u seeds", bug->text, SEEDS);
	ck_assert(verdict.is_failure);
	ck_assert_uint_ge(verdict.parameter, 1);
	ck_assert_ptr_nonnull(strstr(verdict.text, "PROACTOR_SIM_SEED="));
	printf("%-18s seed %4" PRIu64 ", %u clients: %.110s\n", bug->name, verdict.seed,
			verdict.parameter, verdict.failure);
}
END_TEST

TCase *bugs_tcase(void)
{
	TCase *tcase = tcase_create("bugs");

	tcase_set_timeout(tcase, 300);
	tcase_add_loop_test(tcase, planted_bug_is_found, 1, BUGS);
	return tcase;
}
