/* Runs the scenarios of the contract again and again, each time with another allocation, or another
 * operation of the port, failing: the first, the second, and so on until none was left to fail.
 *
 *   torture KIND [SCENARIO ...]
 *   torture KIND SCENARIO NUMBER    that one, in this process
 *
 * KIND is the name of a table in `kinds`. The port is the one that PROACTOR_PORT names. Without
 * PROACTOR_TEST_LONG=1 the distance between two failures grows, or they are spread. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "run.h"

/* So many in a row, then further and further apart. */
#define DENSE      5u
#define DENSE_LONG 500u
/* Of a kind that is spread: so many in all, or the number of PROACTOR_TEST_SPREAD. */
#define SPREAD 4u

static const struct kind *const kinds[] = {&kind_allocations, &kind_operations, &kind_calls};

#define KINDS_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static const struct scenario scenarios[] = {
#define SCENARIO_ENTRY(statement, name, needs) {#name, statement, needs, scenario_##name},
		SCENARIO_LIST(SCENARIO_ENTRY)
#undef SCENARIO_ENTRY
};

#define SCENARIOS_COUNT (sizeof(scenarios) / sizeof(scenarios[0]))

static enum end run(
		const struct scenario *scenario, const struct kind *kind, uint64_t number, uint64_t *count)
{
	const pid_t child = fork();
	int status;

	if (child == 0)
		run_here(scenario, kind, number, count);
	if (child < 0 || waitpid(child, &status, 0) != child) {
		perror("torture");
		exit(EXIT_FAILURE);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) < END_BAD)
		return (enum end)WEXITSTATUS(status);
	if (WIFSIGNALED(status))
		printf("%s: ends by signal %d%s", scenario->name, WTERMSIG(status),
				WTERMSIG(status) == SIGALRM ? " (it hangs)" : "");
	else
		printf("%s: status %d", scenario->name, WEXITSTATUS(status));
	printf(" when %s %llu fails\n", kind->noun, (unsigned long long)number);
	return END_BAD;
}

static bool is_wanted(
		const struct scenario *scenario, const struct kind *kind, int argc, char **argv)
{
	if (scenario->needs != NEEDS_NOTHING && scenario->needs != NOT_ON_WINDOWS)
		return false;
	/* This one does its own torture. */
	if (!strcmp(scenario->name, "any_failing_allocation_is_a_clean_error"))
		return false;
	/* Seconds each time, by calls that others make too. */
	if (kind->is_spread && !world_is_long() &&
			!strcmp(scenario->name, "transmit_file_beyond_2_gib"))
		return false;
	for (int i = 2; i < argc; i++)
		if (!strcmp(argv[i], scenario->name))
			return true;
	return argc <= 2;
}

static uint64_t count_of_spread(void)
{
	const char *text = getenv("PROACTOR_TEST_SPREAD");

	return text ? strtoull(text, NULL, 10) : SPREAD;
}

/* Numbers at equal distances, from another first one in each scenario. */
static uint64_t torture_spread(
		const struct scenario *scenario, const struct kind *kind, uint64_t *counts)
{
	uint64_t *count =
			mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t distance;
	uint64_t last = 0;

	if (count == MAP_FAILED) {
		perror("torture");
		exit(EXIT_FAILURE);
	}
	counts[run(scenario, kind, 0, count)]++;
	distance = *count / count_of_spread() + 1;
	for (uint64_t number = 1 + (uint64_t)(scenario - scenarios) % distance; number <= *count;
			number += distance) {
		const enum end end = run(scenario, kind, number, NULL);

		counts[end]++;
		last = end == END_UNTOUCHED ? last : number;
	}
	munmap(count, sizeof(*count));
	return last;
}

/* Returns the number of the last that failed. */
static uint64_t torture_scenario(
		const struct scenario *scenario, const struct kind *kind, uint64_t *counts)
{
	const uint64_t dense = world_number(DENSE, DENSE_LONG);
	uint64_t number = 1;

	if (kind->is_spread && !world_is_long())
		return torture_spread(scenario, kind, counts);
	for (;;) {
		const enum end end = run(scenario, kind, number, NULL);

		counts[end]++;
		if (end == END_UNTOUCHED || end == END_BAD)
			return number - 1;
		number += number < dense ? 1 : 1 + number / (world_is_long() ? 20 : 2);
	}
}

static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < KINDS_COUNT; i++)
		if (!strcmp(kinds[i]->name, name))
			return kinds[i];
	fprintf(stderr, "usage: torture KIND [SCENARIO ...]; a KIND is one of");
	for (size_t i = 0; i < KINDS_COUNT; i++)
		fprintf(stderr, " %s", kinds[i]->name);
	fprintf(stderr, "\n");
	exit(EXIT_FAILURE);
}

static const struct scenario *find_scenario(const char *name)
{
	for (size_t i = 0; i < SCENARIOS_COUNT; i++)
		if (!strcmp(scenarios[i].name, name))
			return &scenarios[i];
	fprintf(stderr, "there is no scenario %s\n", name);
	exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	const struct kind *kind = find_kind(argc > 1 ? argv[1] : "");
	uint64_t counts[ENDS] = {0};
	uint64_t furthest = 0;

	if (argc == 4 && strtoull(argv[3], NULL, 10) > 0)
		run_here(find_scenario(argv[2]), kind, strtoull(argv[3], NULL, 10), NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < SCENARIOS_COUNT; i++) {
		uint64_t last;

		if (!is_wanted(&scenarios[i], kind, argc, argv))
			continue;
		last = torture_scenario(&scenarios[i], kind, counts);
		furthest = last > furthest ? last : furthest;
		if (argc > 2 || world_is_long())
			printf("%s: up to number %llu\n", scenarios[i].name, (unsigned long long)last);
	}
	printf("%llu runs with a failing %s, up to number %llu: %llu held, %llu were cut and clean, "
		   "%llu were cut inside a callback, %llu bad; %llu untouched\n",
			(unsigned long long)(counts[END_HELD] + counts[END_CUT] + counts[END_CUT_INSIDE] +
								 counts[END_BAD]),
			kind->noun, (unsigned long long)furthest, (unsigned long long)counts[END_HELD],
			(unsigned long long)counts[END_CUT], (unsigned long long)counts[END_CUT_INSIDE],
			(unsigned long long)counts[END_BAD], (unsigned long long)counts[END_UNTOUCHED]);
	return counts[END_BAD] ? EXIT_FAILURE : EXIT_SUCCESS;
}
