/* Makes and runs suites of Check. */
#ifndef TESTS_SUPPORT_SUITE_H
#define TESTS_SUPPORT_SUITE_H

#include <check.h>

/* Runs it, or its case CK_RUN_CASE, and frees it; returns the exit status of the program. That no
 * test was run is a failure. */
int suite_run(Suite *suite);

/* A case of its own for one run of a test, with this _i: where tests are not forked, each case is a
 * process. */
void suite_add_case(Suite *suite, const char *name, const TTest *test, int i, unsigned seconds_max);

/* Runs `count` tests, test i with _i = 0 .. counts[i] - 1, each behind `set_up`; returns the exit
 * status of the program. */
int suite_run_loops(const char *name, void (*set_up)(void), const TTest *const *tests,
		const int *counts, int count);

#endif
