#include "suite.h"

#include <stdlib.h>

/* Stands a machine under heavy load. */
#define SECONDS_MAX 120

int suite_run_loops(const char *name, void (*set_up)(void), const TTest *const *tests,
		const int *counts, int count)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);
	SRunner *runner;
	int failures;

	tcase_add_checked_fixture(tcase, set_up, NULL);
	tcase_set_timeout(tcase, SECONDS_MAX);
	for (int i = 0; i < count; i++)
		tcase_add_loop_test(tcase, tests[i], 0, counts[i]);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failures = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
