#include "suite.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Stands a machine under heavy load. */
#define SECONDS_MAX 120

int suite_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	bool is_right;

	srunner_run_all(runner, CK_ENV);
	is_right = srunner_ntests_failed(runner) == 0;
	if (srunner_ntests_run(runner) == 0) {
		printf("no test was run: is there a case of that name?\n");
		is_right = false;
	}
	srunner_free(runner);
	return is_right ? EXIT_SUCCESS : EXIT_FAILURE;
}

void suite_add_case(Suite *suite, const char *name, const TTest *test, int i, unsigned seconds_max)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, seconds_max);
	tcase_add_loop_test(tcase, test, i, i + 1);
	suite_add_tcase(suite, tcase);
}

int suite_run_loops(const char *name, void (*set_up)(void), const TTest *const *tests,
		const int *counts, int count)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, set_up, NULL);
	tcase_set_timeout(tcase, SECONDS_MAX);
	for (int i = 0; i < count; i++)
		tcase_add_loop_test(tcase, tests[i], 0, counts[i]);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
