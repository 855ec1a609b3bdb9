/* Runs a suite of Check whose tests are loops. */
#ifndef TESTS_SUPPORT_SUITE_H
#define TESTS_SUPPORT_SUITE_H

#include <check.h>

/* Runs `count` tests, test i with _i = 0 .. counts[i] - 1, each behind `set_up`; returns the exit
 * status of the program. */
int suite_run_loops(const char *name, void (*set_up)(void), const TTest *const *tests,
		const int *counts, int count);

#endif
