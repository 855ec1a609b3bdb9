/* Runs the scenarios of the contract again and again, each time with another allocation, or another
 * operation of the port, failing: the first, the second, and so on until none was left to fail.
 *
 *   torture allocations|operations [SCENARIO ...]
 *   torture allocations|operations SCENARIO NUMBER    that one, in this process
 *
 * What a scenario asserts does not hold then, and that is no matter: a failed assertion ends it.
 * What matters is that nothing crashes, hangs or aborts, that the proactor can still be shut down
 * and destroyed, every handler told so, and that no memory is left. The scenario's stack stays as
 * it is meanwhile, because handlers and blocks stand there.
 *
 * The port is the one that PROACTOR_PORT names. Without PROACTOR_TEST_LONG=1 the distance between
 * two failures grows. */
#include "../conformance/conformance.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "../../proactor/proactor_private.h"
#include "../support/os.h"
#include "../support/recorder.h"

#define STACK_BYTES   (8u << 20)
#define PROACTORS_MAX 64u
#define SECONDS_MAX   300u
/* So many in a row, then further and further apart. */
#define DENSE      5u
#define DENSE_LONG 500u

/* How a run ended, as the status of its process. */
enum end {
	END_HELD,       /* the scenario held nevertheless, and all is clean */
	END_CUT,        /* an assertion failed; all is clean */
	END_CUT_INSIDE, /* in a callback or with threads: nobody can look whether all is clean */
	END_UNTOUCHED,  /* nothing was left to fail */
	END_BAD,        /* told on the standard error */
	ENDS
};

static const struct scenario scenarios[] = {
#define SCENARIO_ENTRY(statement, name, needs) {#name, statement, needs, scenario_##name},
		SCENARIO_LIST(SCENARIO_ENTRY)
#undef SCENARIO_ENTRY
};

#define SCENARIOS_COUNT (sizeof(scenarios) / sizeof(scenarios[0]))

/* ---- in the process of a run ---- */

static struct world world;
static const struct scenario *scenario;
static ucontext_t outside;
static ucontext_t inside;
static bool is_cut;
static bool is_cleaning;

/* Proactors that live, and the tables that stand before their ports'. */
static struct pro_proactor *proactors[PROACTORS_MAX];
static struct pro_port_vtbl vtbls[PROACTORS_MAX];
static struct pro_port_world worlds[PROACTORS_MAX];
static const struct pro_port_vtbl *real_vtbl;
static unsigned made;

/* The operation that fails; 0: none. */
static PRO_ATOMIC(uint64_t) failing_operation;
static PRO_ATOMIC(uint64_t) operations;
static PRO_ATOMIC(uint64_t) failed_operations;

static bool operation_fails(void)
{
	if (++operations != failing_operation)
		return false;
	failed_operations++;
	return true;
}

static void torture_submit(struct pro_port *port, struct pro_operation *operation)
{
	if (operation_fails())
		pro__operation_complete(operation, PRO_ENOBUFS, ENOBUFS, 0);
	else
		real_vtbl->submit(port, operation);
}

static int torture_listen(
		struct pro_port *port, const struct pro_addr *local, unsigned backlog, pro_handle *handle)
{
	return operation_fails() ? PRO_EMFILE : real_vtbl->world->listen(port, local, backlog, handle);
}

static int torture_dgram(struct pro_port *port, enum pro_family family,
		const struct pro_addr *local, pro_handle *handle)
{
	return operation_fails() ? PRO_EMFILE : real_vtbl->world->dgram(port, family, local, handle);
}

static int torture_pair(struct pro_port *port, pro_handle handles[2])
{
	return operation_fails() ? PRO_EMFILE : real_vtbl->world->pair(port, handles);
}

static int torture_file_open(
		struct pro_port *port, const char *path, unsigned flags, pro_handle *handle)
{
	return operation_fails() ? PRO_EMFILE : real_vtbl->world->file_open(port, path, flags, handle);
}

static int torture_file_status(
		struct pro_port *port, pro_handle handle, struct pro_file_status *status)
{
	return operation_fails() ? PRO_EIO : real_vtbl->world->file_status(port, handle, status);
}

static void put_before(struct pro_proactor *proactor, unsigned slot)
{
	real_vtbl = proactor->port_vtbl;
	worlds[slot] = *real_vtbl->world;
	worlds[slot].listen = torture_listen;
	worlds[slot].dgram = torture_dgram;
	worlds[slot].pair = torture_pair;
	worlds[slot].file_open = torture_file_open;
	worlds[slot].file_status = torture_file_status;
	vtbls[slot] = *real_vtbl;
	vtbls[slot].submit = torture_submit;
	vtbls[slot].world = &worlds[slot];
	proactor->port_vtbl = &vtbls[slot];
}

int __real_pro_proactor_create(struct pro_proactor **proactor,
		const struct pro_proactor_options *options, char *why, size_t why_size);
int __wrap_pro_proactor_create(struct pro_proactor **proactor,
		const struct pro_proactor_options *options, char *why, size_t why_size);
int __real_pro_proactor_destroy(struct pro_proactor *proactor);
int __wrap_pro_proactor_destroy(struct pro_proactor *proactor);

int __wrap_pro_proactor_create(struct pro_proactor **proactor,
		const struct pro_proactor_options *options, char *why, size_t why_size)
{
	int error = __real_pro_proactor_create(proactor, options, why, why_size);

	if (error || made == PROACTORS_MAX)
		return error;
	proactors[made] = *proactor;
	put_before(*proactor, made++);
	return 0;
}

int __wrap_pro_proactor_destroy(struct pro_proactor *proactor)
{
	int error = __real_pro_proactor_destroy(proactor);

	for (unsigned i = 0; !error && i < made; i++)
		if (proactors[i] == proactor)
			proactors[i] = NULL;
	return error;
}

static void end_process(enum end end)
{
	fflush(NULL);
	_exit((int)end);
}

static bool was_touched(void)
{
	return world.memory.failures > 0 || failed_operations > 0;
}

/* In place of Check's. */
void _ck_assert_failed(const char *file, int line, const char *expression, const char *format, ...)
{
	(void)file;
	(void)line;
	(void)expression;
	(void)format;
	if (is_cleaning || is_cut)
		end_process(was_touched() ? END_CUT_INSIDE : END_UNTOUCHED);
	for (unsigned i = 0; i < made; i++)
		if (proactors[i] && (pro__on_loop(proactors[i]) || proactors[i]->crew))
			end_process(was_touched() ? END_CUT_INSIDE : END_UNTOUCHED);
	is_cut = true;
	swapcontext(&inside, &outside);
	abort();
}

void _mark_point(const char *file, int line)
{
	(void)file;
	(void)line;
}

static void run_inside(void)
{
	scenario->run(&world);
	world_fini(&world);
}

/* Shuts down what the scenario left. */
static void clean_up(void)
{
	is_cleaning = true;
	world.memory.fail_call = 0;
	failing_operation = 0;
	for (struct recorder *recorder = world.recorders; recorder; recorder = recorder->next)
		recorder->on_event = NULL;
	for (unsigned i = 0; i < made; i++) {
		struct pro_proactor_statistics statistics = {.size = sizeof(statistics)};
		int error;

		if (!proactors[i])
			continue;
		pro_proactor_statistics(proactors[i], &statistics);
		/* The scenario would release them. */
		if (statistics.lent_blocks_used > 0)
			end_process(was_touched() ? END_CUT_INSIDE : END_UNTOUCHED);
		world_enter_loop();
		error = pro_proactor_destroy(proactors[i]);
		world_leave_loop();
		if (error) {
			fprintf(stderr, "the proactor can not be destroyed: %s\n", pro_error_name(error));
			end_process(END_BAD);
		}
	}
	if (world.memory.live != 0) {
		fprintf(stderr, "%lld pieces of memory, %lld bytes, are left\n",
				(long long)world.memory.live, (long long)world.memory.live_bytes);
		end_process(END_BAD);
	}
	if (world.directory[0])
		os_remove_directory(world.directory);
}

static void run_here(uint64_t failing, bool is_allocation)
{
	static unsigned char *stack;

	alarm(SECONDS_MAX);
	world_init(&world, scenario->name);
	world.is_traced = false;
	if (is_allocation)
		world.memory.fail_call = failing;
	else
		failing_operation = failing;
	stack = malloc(STACK_BYTES);
	getcontext(&inside);
	inside.uc_stack.ss_sp = stack;
	inside.uc_stack.ss_size = STACK_BYTES;
	inside.uc_link = &outside;
	makecontext(&inside, run_inside, 0);
	swapcontext(&outside, &inside);
	if (!is_cut)
		end_process(was_touched() ? END_HELD : END_UNTOUCHED);
	clean_up();
	end_process(was_touched() ? END_CUT : END_UNTOUCHED);
}

/* ---- many runs ---- */

static enum end run(uint64_t failing, bool is_allocation)
{
	const pid_t child = fork();
	int status;

	if (child == 0)
		run_here(failing, is_allocation);
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
	printf(" when number %llu fails\n", (unsigned long long)failing);
	return END_BAD;
}

static bool is_long(void)
{
	const char *text = getenv("PROACTOR_TEST_LONG");

	return text && !strcmp(text, "1");
}

static bool is_wanted(int argc, char **argv)
{
	/* This one does its own torture. */
	if (scenario->needs != NEEDS_NOTHING && scenario->needs != NOT_ON_WINDOWS)
		return false;
	if (!strcmp(scenario->name, "any_failing_allocation_is_a_clean_error"))
		return false;
	for (int i = 2; i < argc; i++)
		if (!strcmp(argv[i], scenario->name))
			return true;
	return argc <= 2;
}

/* Returns the number of the last that failed. */
static uint64_t torture_scenario(bool is_allocation, uint64_t *counts)
{
	const uint64_t dense = is_long() ? DENSE_LONG : DENSE;
	uint64_t failing = 1;

	for (;;) {
		const enum end end = run(failing, is_allocation);

		counts[end]++;
		if (end == END_UNTOUCHED || end == END_BAD)
			return failing - 1;
		failing += failing < dense ? 1 : 1 + failing / (is_long() ? 20 : 2);
	}
}

int main(int argc, char **argv)
{
	uint64_t counts[ENDS] = {0};
	uint64_t furthest = 0;
	bool is_allocation;

	if (argc < 2 || (strcmp(argv[1], "allocations") && strcmp(argv[1], "operations"))) {
		fprintf(stderr, "usage: torture allocations|operations [SCENARIO ...]\n");
		return EXIT_FAILURE;
	}
	is_allocation = !strcmp(argv[1], "allocations");
	if (argc == 4 && strtoull(argv[3], NULL, 10) > 0) {
		for (scenario = scenarios; strcmp(scenario->name, argv[2]) != 0; scenario++)
			if (scenario == scenarios + SCENARIOS_COUNT - 1)
				return EXIT_FAILURE;
		run_here(strtoull(argv[3], NULL, 10), is_allocation);
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (scenario = scenarios; scenario < scenarios + SCENARIOS_COUNT; scenario++) {
		uint64_t last;

		if (!is_wanted(argc, argv))
			continue;
		last = torture_scenario(is_allocation, counts);
		furthest = last > furthest ? last : furthest;
		if (argc > 2 || is_long())
			printf("%s: up to number %llu\n", scenario->name, (unsigned long long)last);
	}
	printf("%llu runs with a failing %s, up to number %llu: %llu held, %llu were cut and clean, "
		   "%llu "
		   "were cut inside a callback, %llu bad; %llu untouched\n",
			(unsigned long long)(counts[END_HELD] + counts[END_CUT] + counts[END_CUT_INSIDE] +
								 counts[END_BAD]),
			is_allocation ? "allocation" : "operation", (unsigned long long)furthest,
			(unsigned long long)counts[END_HELD], (unsigned long long)counts[END_CUT],
			(unsigned long long)counts[END_CUT_INSIDE], (unsigned long long)counts[END_BAD],
			(unsigned long long)counts[END_UNTOUCHED]);
	return counts[END_BAD] ? EXIT_FAILURE : EXIT_SUCCESS;
}
