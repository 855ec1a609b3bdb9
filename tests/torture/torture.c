/* Runs the scenarios of the contract again and again, each time with another allocation, or another
 * operation of the port, failing: the first, the second, and so on until none was left to fail.
 *
 *   torture KIND [--most RUNS | --spread RUNS] [--jobs PROCESSES] [SCENARIO ...]
 *   torture KIND SCENARIO NUMBER    that one, in this process; 0: none fails
 *
 * KIND is the name of a table in `kinds`. The port is the one that PROACTOR_PORT names. With
 * --most, a scenario that would run more often fails in the first half of so many in a row, then
 * at even distances; it is named. With --spread, so many runs are at even distances from the begin,
 * from another first one in each scenario: for a kind of which the first are much the same in all.
 * PROACTOR_TEST_SMALL=1 makes the scenarios themselves short. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "run.h"

#define JOBS_MAX 64u
/* What waits for something that will never come gives up early. */
#define LIMIT_MS "150"
/* Of a scenario in which nothing fails: a busy machine may break a promise of time. */
#define TRIES 3u
/* Told in full. */
#define BAD_MAX 20u

static const struct kind *const kinds[] = {&kind_allocations, &kind_operations, &kind_calls};

#define KINDS_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static const struct scenario scenarios[] = {
#define SCENARIO_ENTRY(statement, name, needs) {#name, statement, needs, scenario_##name},
		SCENARIO_LIST(SCENARIO_ENTRY)
#undef SCENARIO_ENTRY
};

#define SCENARIOS_COUNT (sizeof(scenarios) / sizeof(scenarios[0]))

/* All runs of one kind. */
struct sweep {
	const struct kind *kind;
	const struct scenario *scenario; /* now */
	uint64_t most;                   /* runs of a scenario */
	bool is_spread;
	unsigned jobs_max;
	uint64_t *count; /* shared with the processes */
	uint64_t ends[ENDS];
	uint64_t furthest;
	unsigned exceptions; /* scenarios in which not each was made to fail */
	struct job {
		pid_t process; /* 0: none */
		uint64_t number;
	} jobs[JOBS_MAX];
	unsigned jobs_count;
};

_Noreturn static void fail(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static pid_t start(const struct sweep *sweep, uint64_t number)
{
	const pid_t process = fork();

	if (process < 0)
		fail("fork");
	if (process > 0)
		return process;
	if (number > 0)
		setenv("PROACTOR_TEST_LIMIT_MS", LIMIT_MS, 1);
	run_here(sweep->scenario, sweep->kind, number, number > 0 ? NULL : sweep->count);
}

static enum end end_of(const struct sweep *sweep, uint64_t number, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) >= END_HELD && WEXITSTATUS(status) < END_BAD)
		return (enum end)WEXITSTATUS(status);
	if (sweep->ends[END_BAD] >= BAD_MAX)
		return END_BAD;
	if (WIFSIGNALED(status))
		printf("%s: ends by signal %d%s", sweep->scenario->name, WTERMSIG(status),
				WTERMSIG(status) == SIGALRM ? " (it hangs)" : "");
	else
		printf("%s: is bad", sweep->scenario->name);
	printf(" when %s %llu fails\n", sweep->kind->noun, (unsigned long long)number);
	return END_BAD;
}

/* Waits for one that runs, and counts its end. */
static enum end finish_one(struct sweep *sweep)
{
	int status;
	const pid_t process = waitpid(-1, &status, 0);
	enum end end;

	if (process < 0)
		fail("waitpid");
	for (unsigned i = 0;; i++) {
		if (sweep->jobs[i].process != process)
			continue;
		end = end_of(sweep, sweep->jobs[i].number, status);
		sweep->ends[end]++;
		sweep->jobs[i] = sweep->jobs[--sweep->jobs_count];
		return end;
	}
}

static void start_one(struct sweep *sweep, uint64_t number)
{
	while (sweep->jobs_count == sweep->jobs_max)
		finish_one(sweep);
	sweep->jobs[sweep->jobs_count].number = number;
	sweep->jobs[sweep->jobs_count++].process = start(sweep, number);
}

/* Whether the scenario holds when nothing fails; how many there are then. */
static bool run_untouched(struct sweep *sweep)
{
	for (unsigned try = 0; try < TRIES; try++) {
		const pid_t process = start(sweep, 0);
		int status;

		if (waitpid(process, &status, 0) != process)
			fail("waitpid");
		if (WIFEXITED(status) && WEXITSTATUS(status) == END_UNTOUCHED)
			return true;
	}
	printf("%s: does not hold when nothing fails\n", sweep->scenario->name);
	return false;
}

/* Where time is real, there may be more than when nothing failed. */
static uint64_t sweep_rest(struct sweep *sweep, uint64_t number, uint64_t distance)
{
	for (;; number += distance, distance *= 2) {
		start_one(sweep, number);
		if (finish_one(sweep) == END_UNTOUCHED)
			return number;
	}
}

static void sweep_scenario(struct sweep *sweep)
{
	uint64_t dense;
	uint64_t distance = 1;
	uint64_t number = 1;

	if (!run_untouched(sweep)) {
		sweep->ends[END_BAD]++;
		return;
	}
	dense = *sweep->count;
	if (sweep->is_spread) {
		dense = 0;
		distance = *sweep->count / sweep->most + 1;
		number += (uint64_t)(sweep->scenario - scenarios) % distance;
	} else if (dense > sweep->most) {
		dense = sweep->most / 2;
		distance = (*sweep->count - dense) / (sweep->most - dense) + 1;
		printf("%s: %llu %s; the first %llu, then one of %llu\n", sweep->scenario->name,
				(unsigned long long)*sweep->count, sweep->kind->name, (unsigned long long)dense,
				(unsigned long long)distance);
	}
	sweep->exceptions += distance > 1;
	for (; number <= *sweep->count; number += number < dense ? 1 : distance)
		start_one(sweep, number);
	while (sweep->jobs_count > 0)
		finish_one(sweep);
	if (!sweep->is_spread)
		number = sweep_rest(sweep, number, distance);
	sweep->furthest = number > sweep->furthest ? number : sweep->furthest;
}

static bool is_wanted(const struct scenario *scenario, unsigned count, char **names)
{
	if (scenario->needs != NEEDS_NOTHING && scenario->needs != NOT_ON_WINDOWS)
		return false;
	/* This one does its own torture. */
	if (!strcmp(scenario->name, "any_failing_allocation_is_a_clean_error"))
		return false;
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(names[i], scenario->name))
			return true;
	return count == 0;
}

_Noreturn static void explain(void)
{
	fprintf(stderr,
			"usage: torture KIND [--most RUNS | --spread RUNS] [--jobs PROCESSES] [SCENARIO ...]\n"
			"       torture KIND SCENARIO NUMBER\n"
			"A KIND is one of");
	for (size_t i = 0; i < KINDS_COUNT; i++)
		fprintf(stderr, " %s", kinds[i]->name);
	fprintf(stderr, "\n");
	exit(EXIT_FAILURE);
}

static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < KINDS_COUNT; i++)
		if (!strcmp(kinds[i]->name, name))
			return kinds[i];
	explain();
}

static const struct scenario *find_scenario(const char *name)
{
	for (size_t i = 0; i < SCENARIOS_COUNT; i++)
		if (!strcmp(scenarios[i].name, name))
			return &scenarios[i];
	explain();
}

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

static int print_sum(const struct sweep *sweep)
{
	const uint64_t *ends = sweep->ends;
	const uint64_t runs = ends[END_HELD] + ends[END_CUT] + ends[END_UNJUDGED] + ends[END_BAD];

	printf("%llu runs with a failing %s, up to number %llu, %u scenarios not with each: %llu held, "
		   "%llu were cut and clean, %llu unjudged, %llu bad\n",
			(unsigned long long)runs, sweep->kind->noun, (unsigned long long)sweep->furthest,
			sweep->exceptions, (unsigned long long)ends[END_HELD],
			(unsigned long long)ends[END_CUT], (unsigned long long)ends[END_UNJUDGED],
			(unsigned long long)ends[END_BAD]);
	return ends[END_BAD] ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct sweep sweep = {.most = UINT64_MAX, .jobs_max = 1};
	int next = 2;

	sweep.kind = find_kind(argc > 1 ? argv[1] : "");
	if (argc == 4 && strncmp(argv[2], "--", 2) != 0 && is_number(argv[3]))
		run_here(find_scenario(argv[2]), sweep.kind, strtoull(argv[3], NULL, 10), NULL);
	for (; next + 1 < argc && !strncmp(argv[next], "--", 2); next += 2) {
		if (!strcmp(argv[next], "--most") || !strcmp(argv[next], "--spread")) {
			sweep.most = strtoull(argv[next + 1], NULL, 10);
			sweep.is_spread = !strcmp(argv[next], "--spread");
		} else if (!strcmp(argv[next], "--jobs")) {
			sweep.jobs_max = (unsigned)strtoul(argv[next + 1], NULL, 10);
		} else {
			explain();
		}
	}
	if (sweep.most < 2 || sweep.jobs_max < 1 || sweep.jobs_max > JOBS_MAX)
		explain();
	sweep.count = mmap(
			NULL, sizeof(*sweep.count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sweep.count == MAP_FAILED)
		fail("mmap");
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < SCENARIOS_COUNT; i++) {
		if (!is_wanted(&scenarios[i], (unsigned)(argc - next), argv + next))
			continue;
		sweep.scenario = &scenarios[i];
		sweep_scenario(&sweep);
	}
	return print_sum(&sweep);
}
