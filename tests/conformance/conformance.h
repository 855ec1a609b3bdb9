/* The one table of scenarios: each shows a statement of the contract on whatever port runs it. */
#ifndef TESTS_CONFORMANCE_CONFORMANCE_H
#define TESTS_CONFORMANCE_CONFORMANCE_H

#include "../support/world.h"

/* What a scenario needs beside a port. */
enum {
	NEEDS_NOTHING = 0,
	NEEDS_SYSTEM = 1,  /* no simulated one: raw sockets, a clock that runs by itself */
	NEEDS_THREADS = 2, /* other threads call into the library, or run loops; not simulated either */
	NEEDS_ROOT = 4,    /* of a real system */
	NOT_ON_WINDOWS = 8,
	NEEDS_LINUX = NEEDS_SYSTEM | NOT_ON_WINDOWS /* limits, signals, forks, filters */
};

struct scenario {
	const char *name;
	unsigned statement; /* of the contract; 0: a scenario of ACE's own tests */
	unsigned needs;
	void (*run)(struct world *world);
};

#include "scenarios.h"

#define SCENARIO_DECLARE(statement, name, needs) void scenario_##name(struct world *world);
SCENARIO_LIST(SCENARIO_DECLARE)
#undef SCENARIO_DECLARE

#endif
