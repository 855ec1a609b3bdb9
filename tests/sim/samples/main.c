/* Runs a service in simulated worlds. PROACTOR_TEST_LONG=1 takes more seeds.
 *
 *   sim_SERVICE                    the tests
 *   sim_SERVICE seeds FIRST COUNT  only so many seeds */
#include "service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS       500u
#define SEEDS_LONG  10000u
#define SEEDS_TWICE 20u

static bool is_long(void)
{
	const char *text = getenv("PROACTOR_TEST_LONG");

	return text && text[0] == '1';
}

static struct pro_sim_verdict verdict;

static void run(uint64_t seeds)
{
	struct pro_sim_test test;
	int error;

	service_test_init(&test);
	test.seeds = seeds;
	error = pro_sim_test(&test, &verdict);
	ck_assert_msg(error == 0, "%s: %s\n%s", service_name, pro_error_name(error), verdict.text);
}

START_TEST(service_holds_over_many_seeds)
{
	run(is_long() ? SEEDS_LONG : SEEDS);
	printf("%s: %" PRIu64 " seeds, %" PRIu64 " steps, %" PRIu64 " completions\n", service_name,
			verdict.seeds, verdict.steps, verdict.completions);
}
END_TEST

/* Nothing in the service decides by what is outside its world. */
START_TEST(same_seeds_are_the_same_run)
{
	uint64_t hash;

	run(SEEDS_TWICE);
	hash = verdict.hash;
	run(SEEDS_TWICE);
	ck_assert_uint_eq(verdict.hash, hash);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite;
	TCase *tcase;
	SRunner *runner;
	int failures;

	if (argc == 4 && !strcmp(argv[1], "seeds"))
		return run_seeds(service_test_init, argv[2], argv[3]);
	if (argc > 1)
		return EXIT_FAILURE;
	suite = suite_create(service_name);
	tcase = tcase_create("service");
	tcase_set_timeout(tcase, is_long() ? 1200 : 300);
	tcase_add_test(tcase, service_holds_over_many_seeds);
	tcase_add_test(tcase, same_seeds_are_the_same_run);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failures = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
