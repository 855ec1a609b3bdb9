/* One run of a scenario in this process, with one failure; and what comes of it. */
#ifndef TESTS_TORTURE_RUN_H
#define TESTS_TORTURE_RUN_H

#include "../conformance/conformance.h"
#include "inject.h"

/* How a run ended, as the status of its process. */
enum end {
	END_HELD = 100, /* the scenario held nevertheless, and all is clean */
	END_CUT,        /* an assertion failed; all is clean */
	END_UNJUDGED,   /* it failed where nobody can look whether all is clean */
	END_UNTOUCHED,  /* nothing was left to fail */
	END_BAD,        /* told on the standard error */
	ENDS
};

/* Runs the scenario with the number-th failing, 0: none, and ends this process. `count` gets how
 * many there were; NULL: nobody asks. */
_Noreturn void run_here(
		const struct scenario *scenario, const struct kind *kind, uint64_t number, uint64_t *count);

#endif
