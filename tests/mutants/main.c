/* Runs the sessions that look for mistakes of the library, a few seeds of each in turn, until one
 * fails or all held over so many.
 *
 *   mutants_checker [SEEDS [SESSION]]
 *
 * Prints "SESSION, seed N: what is wrong" and ends with 1, or "held over N seeds" and ends with 0.
 * The first failure is enough: nothing is made smaller. */
#include "laws.h"

#include "../sim/sim_tests.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEEDS       2000u
#define FIRST_BATCH 16u
#define STEPS_MAX   300000u
/* Of processor time for one seed, which takes milliseconds. */
#define SEED_S 3u

enum bug planted_bug = BUG_NONE;

struct session {
	const char *name;
	void (*init)(struct pro_sim_test *test);
};

static const struct session sessions[] = {{"laws", laws_test_init}, {"late", late_test_init},
		{"stalls", stalls_test_init}, {"doors", doors_test_init}, {"echo", echo_test_init},
		{"chat", chat_test_init}, {"transfer", transfer_test_init}, {"dgram", dgram_test_init}};

#define SESSIONS (sizeof(sessions) / sizeof(sessions[0]))

/* ---- a batch of seeds, in a process of its own ---- */

static const struct session *session;
static struct pro_sim_test inner;
static uint64_t seed;

static void tell(const char *what)
{
	printf("%s, seed %" PRIu64 ": %s\n", session->name, seed, what);
	fflush(stdout);
}

static int outer_set_up(struct pro_sim *sim, void **context)
{
	struct rusage usage;
	struct rlimit limit;

	seed++;
	if (getrusage(RUSAGE_SELF, &usage) == 0 && getrlimit(RLIMIT_CPU, &limit) == 0) {
		limit.rlim_cur = (rlim_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + SEED_S;
		setrlimit(RLIMIT_CPU, &limit);
	}
	return inner.set_up(sim, context);
}

static void end_if_failed(const struct pro_sim *sim)
{
	if (!pro_sim_failure(sim))
		return;
	tell(pro_sim_failure(sim));
	_exit(EXIT_FAILURE);
}

/* A library with a mistake may not come to the end of its proactors any more. */
static void outer_stop(struct pro_sim *sim, void *context)
{
	end_if_failed(sim);
	if (inner.stop)
		inner.stop(sim, context);
}

static void outer_tear_down(struct pro_sim *sim, void *context)
{
	inner.tear_down(sim, context);
	pro_sim_check_memory(sim);
	end_if_failed(sim);
}

static int run_batch(uint64_t first, uint64_t seeds)
{
	static struct pro_sim_verdict verdict;
	struct pro_sim_test outer;

	session->init(&inner);
	outer = inner;
	outer.set_up = outer_set_up;
	outer.stop = outer_stop;
	outer.tear_down = outer_tear_down;
	outer.is_in_process = true;
	outer.first_seed = first;
	outer.seeds = seeds;
	outer.options.steps_max = STEPS_MAX;
	/* Sessions misuse the library on purpose, to see what it refuses. */
	outer.options.checks &= ~PRO_SIM_BIT(PRO_SIM_CHECK_MISUSE);
	seed = first - 1;
	if (pro_sim_test(&outer, &verdict) == 0)
		return EXIT_SUCCESS;
	tell(verdict.failure);
	return EXIT_FAILURE;
}

/* Which seed it was is not known any more after a crash: somewhere in the batch. */
static bool batch_holds(uint64_t first, uint64_t seeds)
{
	const pid_t child = fork();
	int status;

	if (child == 0) {
		/* What an assertion prints is of no use here. */
		if (!freopen("/dev/null", "w", stderr))
			_exit(EXIT_FAILURE);
		_exit(run_batch(first, seeds));
	}
	if (child < 0 || waitpid(child, &status, 0) != child) {
		perror("mutants_checker");
		exit(2);
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status) == EXIT_SUCCESS;
	printf("%s, seeds %" PRIu64 " to %" PRIu64 ": it %s: signal %d\n", session->name, first,
			first + seeds - 1, WTERMSIG(status) == SIGXCPU ? "hangs" : "crashes", WTERMSIG(status));
	return false;
}

int main(int argc, char **argv)
{
	const uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : SEEDS;
	uint64_t count;

	/* It would say how many seeds a batch has. */
	unsetenv("PROACTOR_SIM_SEEDS");
	for (uint64_t first = 1; first <= seeds; first += count) {
		/* Most mistakes show at once; the batches grow with what was run. */
		count = first > 1 ? first : FIRST_BATCH;
		if (count > seeds - first + 1)
			count = seeds - first + 1;
		for (session = sessions; session < sessions + SESSIONS; session++)
			if ((argc < 3 || strcmp(argv[2], session->name) == 0) && !batch_holds(first, count))
				return EXIT_FAILURE;
	}
	printf("held over %" PRIu64 " seeds\n", seeds);
	return EXIT_SUCCESS;
}
