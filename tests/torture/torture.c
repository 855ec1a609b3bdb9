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

/* A scenario and its runs. */
struct subject {
	const struct scenario *scenario;
	uint64_t *count;   /* how many there are when nothing fails; shared with the processes */
	bool holds;        /* when nothing fails */
	uint64_t next;     /* the number of the next run, */
	uint64_t distance; /* and how far the one after it is */
	bool is_over;      /* nothing was left to fail */
};

/* All runs of one kind. */
struct sweep {
	const struct kind *kind;
	uint64_t most; /* runs of a scenario */
	bool is_spread;
	struct subject subjects[SCENARIOS_COUNT];
	unsigned subjects_count;
	uint64_t ends[ENDS];
	uint64_t furthest;
	unsigned exceptions; /* scenarios in which not each was made to fail */
	struct job {
		pid_t process;
		struct subject *subject;
		uint64_t number;
	} jobs[JOBS_MAX];
	unsigned jobs_max;
	unsigned jobs_count;
};

_Noreturn static void fail(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

/* ---- runs ---- */

static enum end end_of(const struct sweep *sweep, const struct job *job, int status)
{
	const char *name = job->subject->scenario->name;

	if (WIFEXITED(status) && WEXITSTATUS(status) >= END_HELD && WEXITSTATUS(status) < END_BAD)
		return (enum end)WEXITSTATUS(status);
	if (job->number == 0 || sweep->ends[END_BAD] >= BAD_MAX)
		return END_BAD;
	if (WIFSIGNALED(status))
		printf("%s: ends by signal %d%s", name, WTERMSIG(status),
				WTERMSIG(status) == SIGALRM ? " (it hangs)" : "");
	else
		printf("%s: is bad", name);
	printf(" when %s %llu fails\n", sweep->kind->noun, (unsigned long long)job->number);
	return END_BAD;
}

static void note_end(struct sweep *sweep, const struct job *job, enum end end)
{
	if (job->number == 0) {
		job->subject->holds = end == END_UNTOUCHED;
	} else if (end == END_UNTOUCHED && job->number > *job->subject->count) {
		job->subject->is_over = true;
	} else {
		sweep->ends[end]++;
		if (job->number > sweep->furthest)
			sweep->furthest = job->number;
	}
}

static void finish_one(struct sweep *sweep)
{
	int status;
	const pid_t process = waitpid(-1, &status, 0);
	unsigned i = 0;

	if (process < 0)
		fail("waitpid");
	while (sweep->jobs[i].process != process)
		i++;
	note_end(sweep, &sweep->jobs[i], end_of(sweep, &sweep->jobs[i], status));
	sweep->jobs[i] = sweep->jobs[--sweep->jobs_count];
}

static void finish_all(struct sweep *sweep)
{
	while (sweep->jobs_count > 0)
		finish_one(sweep);
}

static void start_one(struct sweep *sweep, struct subject *subject, uint64_t number)
{
	pid_t process;

	while (sweep->jobs_count == sweep->jobs_max)
		finish_one(sweep);
	process = fork();
	if (process < 0)
		fail("fork");
	if (process == 0)
		run_here(subject->scenario, sweep->kind, number, number > 0 ? NULL : subject->count);
	sweep->jobs[sweep->jobs_count++] =
			(struct job){.process = process, .subject = subject, .number = number};
}

/* ---- all runs, scenario by scenario but without a pause between them ---- */

/* Whether the scenarios hold when nothing fails; what does not in company is tried again alone. */
static void run_untouched(struct sweep *sweep)
{
	for (unsigned i = 0; i < sweep->subjects_count; i++)
		start_one(sweep, &sweep->subjects[i], 0);
	finish_all(sweep);
	for (unsigned i = 0; i < sweep->subjects_count; i++) {
		struct subject *subject = &sweep->subjects[i];

		for (unsigned try = 1; !subject->holds && try < TRIES; try++) {
			start_one(sweep, subject, 0);
			finish_all(sweep);
		}
		if (subject->holds)
			continue;
		printf("%s: does not hold when nothing fails\n", subject->scenario->name);
		subject->is_over = true;
		sweep->ends[END_BAD]++;
	}
}

static void sweep_subject(struct sweep *sweep, struct subject *subject)
{
	const uint64_t count = *subject->count;
	uint64_t dense = count;

	subject->distance = 1;
	subject->next = 1;
	if (sweep->is_spread) {
		dense = 0;
		subject->distance = count / sweep->most + 1;
		subject->next += (uint64_t)(subject->scenario - scenarios) % subject->distance;
	} else if (count > sweep->most) {
		dense = sweep->most / 2;
		subject->distance = (count - dense) / (sweep->most - dense) + 1;
		printf("%s: %llu %s; the first %llu, then one of %llu\n", subject->scenario->name,
				(unsigned long long)count, sweep->kind->name, (unsigned long long)dense,
				(unsigned long long)subject->distance);
	}
	sweep->exceptions += subject->distance > 1;
	for (; subject->next <= count; subject->next += subject->next < dense ? 1 : subject->distance)
		start_one(sweep, subject, subject->next);
}

/* Where time is real, there may be more than when nothing failed: some more until one ended before
 * its number. */
static void sweep_rest(struct sweep *sweep)
{
	bool is_any_left = true;

	for (unsigned more = 1; is_any_left; more *= 2) {
		is_any_left = false;
		for (unsigned i = 0; i < sweep->subjects_count; i++) {
			struct subject *subject = &sweep->subjects[i];

			if (subject->is_over)
				continue;
			is_any_left = true;
			for (unsigned run = 0; run < more; run++) {
				start_one(sweep, subject, subject->next);
				subject->next += subject->distance;
			}
		}
		finish_all(sweep);
	}
}

static void sweep_all(struct sweep *sweep)
{
	run_untouched(sweep);
	for (unsigned i = 0; i < sweep->subjects_count; i++)
		if (sweep->subjects[i].holds)
			sweep_subject(sweep, &sweep->subjects[i]);
	finish_all(sweep);
	if (!sweep->is_spread)
		sweep_rest(sweep);
}

/* ---- what is asked for ---- */

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
	uint64_t runs = 0;

	for (unsigned end = 0; end < ENDS; end++)
		runs += ends[end];
	printf("%llu runs with a failing %s, up to number %llu, %u scenarios not with each: %llu held, "
		   "%llu were cut and clean, %llu unjudged, %llu ended before it, %llu bad\n",
			(unsigned long long)runs, sweep->kind->noun, (unsigned long long)sweep->furthest,
			sweep->exceptions, (unsigned long long)ends[END_HELD],
			(unsigned long long)ends[END_CUT], (unsigned long long)ends[END_UNJUDGED],
			(unsigned long long)ends[END_UNTOUCHED], (unsigned long long)ends[END_BAD]);
	return ends[END_BAD] ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void add_subjects(struct sweep *sweep, unsigned names_count, char **names)
{
	const size_t size = SCENARIOS_COUNT * sizeof(uint64_t);
	uint64_t *counts = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (counts == MAP_FAILED)
		fail("mmap");
	for (size_t i = 0; i < SCENARIOS_COUNT; i++)
		if (is_wanted(&scenarios[i], names_count, names))
			sweep->subjects[sweep->subjects_count++] =
					(struct subject){.scenario = &scenarios[i], .count = &counts[i]};
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
	setvbuf(stdout, NULL, _IOLBF, 0);
	add_subjects(&sweep, (unsigned)(argc - next), argv + next);
	sweep_all(&sweep);
	return print_sum(&sweep);
}
