/* Runs a test over many seeds, and makes what fails as small as it can. */
#include "sim.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Seeds between two looks for leaks. */
#define BATCH 64u
/* One seed in so many is run in debug mode, which takes twice the time. */
#define WATCHED 8u
/* Parameters from 1 on that a failing seed is tried with. */
#define PARAMETERS_TRIED 8u

struct runner {
	const struct pro_sim_test *test;
	struct pro_sim_options options;
	struct sim_shared *shared;
	uint64_t first_seed;
	uint64_t seeds;
	bool is_in_process;
	bool is_single;       /* the seed that somebody wants to see: nothing is made smaller */
	bool looks_for_leaks; /* after each seed */
	bool is_watched;      /* each seed is run in debug mode */
	enum sim_child_end end;
	FILE *trace;
};

void pro_sim_test_init(struct pro_sim_test *test)
{
	memset(test, 0, sizeof(*test));
	test->size = sizeof(*test);
	pro_sim_options_init(&test->options);
	test->first_seed = 1;
	test->seeds = 1000;
	test->faults_ms = 30000;
	test->limit_ms = 300000;
	test->seconds_max = 30;
}

/* ---- one seed ---- */

struct session {
	const struct pro_sim_test *test;
	struct pro_sim *sim;
	void *context;
};

static bool session_is_done(void *context)
{
	const struct session *session = context;
	const struct pro_sim_test *test = session->test;

	if (test->check)
		test->check(session->sim, session->context);
	return test->is_done && test->is_done(session->sim, session->context);
}

static void session_run(struct session *session)
{
	const struct pro_sim_test *test = session->test;
	struct pro_sim *sim = session->sim;
	int64_t faults_ms = (int64_t)pro__sim_between(sim, 0, (uint64_t)test->faults_ms);
	int error = test->set_up(sim, &session->context);

	if (error) {
		pro_sim_fail(sim, "set_up returned %d (%s)", error, pro_error_name(error));
		return;
	}
	error = pro_sim_run_until(sim, session_is_done, session, faults_ms);
	pro_sim_stop_faults(sim);
	if (error != PRO_ETIMEDOUT || !test->is_done)
		return;
	error = pro_sim_run_until(sim, session_is_done, session, test->limit_ms);
	if (error != PRO_ETIMEDOUT)
		return;
	pro__sim_trace_waiting(sim);
	pro_sim_fail(sim, "it is not done %" PRId64 " ms after the faults stopped", test->limit_ms);
}

static void runner_note_failure(void *context, const struct pro_sim *sim)
{
	struct sim_shared *shared = context;

	shared->is_failure = true;
	shared->is_misuse = sim->is_misuse;
	shared->step = pro_sim_failure_step(sim);
	memcpy(shared->failure, pro_sim_failure(sim), sizeof(shared->failure));
}

static void runner_note(struct runner *runner, const char *failure)
{
	struct sim_shared *shared = runner->shared;
	const struct sim_log *log = &shared->log;

	if (shared->is_failure)
		return;
	shared->is_failure = true;
	if (log->count > 0)
		shared->step = log->events[(log->count - 1) % SIM_TRACE].step;
	snprintf(shared->failure, sizeof(shared->failure), "%s", failure);
}

/* The environment goes first, as it does in any program. */
static bool runner_watches(const struct runner *runner, uint64_t seed)
{
	const char *text = getenv("PROACTOR_DEBUG");

	return (runner->options.checks & PRO_SIM_BIT(PRO_SIM_CHECK_MISUSE)) && (!text || !*text) &&
		   (runner->is_watched || seed % WATCHED == 0);
}

static void runner_run_seed(struct runner *runner, uint64_t seed)
{
	struct sim_shared *shared = runner->shared;
	struct session session = {.test = runner->test};

	runner->options.seed = seed;
	shared->seed = seed;
	if (!runner->is_in_process)
		pro__sim_child_limit(runner->test->seconds_max);
	memset(&shared->log, 0, sizeof(shared->log));
	if (pro_sim_create(&session.sim, &runner->options)) {
		runner_note(runner, "pro_sim_create refuses the options of the test");
		return;
	}
	session.sim->failed = runner_note_failure;
	session.sim->failed_context = shared;
	session.sim->log = &shared->log;
	session.sim->is_watched = runner_watches(runner, seed);
	session_run(&session);
	if (runner->test->stop)
		runner->test->stop(session.sim, session.context);
	pro_sim_end(session.sim);
	if (runner->test->tear_down)
		runner->test->tear_down(session.sim, session.context);
	pro_sim_check_memory(session.sim);
	shared->seeds++;
	shared->steps += pro_sim_steps(session.sim);
	shared->completions += pro_sim_completions(session.sim);
	shared->hash = shared->hash * UINT64_C(0x9E3779B97F4A7C15) + pro_sim_hash(session.sim);
	pro_sim_destroy(session.sim);
}

static void runner_run_range(void *context)
{
	struct runner *runner = context;

	for (uint64_t i = 0; i < runner->seeds && !runner->shared->is_failure; i++) {
		runner_run_seed(runner, runner->first_seed + i);
		if (runner->looks_for_leaks && pro__sim_has_leak())
			runner_note(runner, "memory is leaked");
	}
	if (runner->looks_for_leaks || runner->is_in_process || !pro__sim_has_leak())
		return;
	runner->shared->is_leak = true;
	runner_note(runner, "memory is leaked by one of the seeds");
}

/* Runs the range; true when nothing failed. The counts of what is through stay either way. */
static bool runner_run(struct runner *runner)
{
	struct sim_shared *shared = runner->shared;
	char why[128];

	shared->is_failure = false;
	shared->is_misuse = false;
	shared->step = 0;
	shared->failure[0] = '\0';
	shared->is_leak = false;
	runner->end = SIM_CHILD_RETURNED;
	if (runner->is_in_process)
		runner_run_range(runner);
	else
		runner->end = pro__sim_child_run(runner_run_range, runner, why, sizeof(why));
	if (runner->end != SIM_CHILD_RETURNED)
		runner_note(runner, why);
	return !shared->is_failure;
}

/* ---- many seeds ---- */

/* A leak is seen at the end of a batch; which seed it was shows a second run. */
static bool runner_run_batch(struct runner *runner, uint64_t first, uint64_t count)
{
	runner->first_seed = first;
	runner->seeds = count;
	if (runner_run(runner))
		return true;
	if (!runner->shared->is_leak)
		return false;
	runner->looks_for_leaks = true;
	return runner_run(runner);
}

static bool runner_run_all(struct runner *runner, uint64_t first, uint64_t count)
{
	while (count > 0) {
		const uint64_t batch = count < BATCH ? count : BATCH;

		if (!runner_run_batch(runner, first, batch))
			return false;
		first += batch;
		count -= batch;
	}
	return true;
}

/* ---- making it smaller ---- */

static bool runner_fails(struct runner *runner, uint64_t faults, unsigned parameter)
{
	const uint64_t old_faults = runner->options.faults;
	const unsigned old_parameter = runner->options.parameter;

	runner->options.faults = faults;
	runner->options.parameter = parameter;
	if (!runner_run(runner))
		return true;
	runner->options.faults = old_faults;
	runner->options.parameter = old_parameter;
	return false;
}

static void runner_shrink_faults(struct runner *runner)
{
	if (runner_fails(runner, 0, runner->options.parameter))
		return;
	for (unsigned fault = 0; fault < PRO_SIM_FAULTS; fault++) {
		const uint64_t fewer =
				runner->options.faults & ~PRO_SIM_BIT(fault) & (PRO_SIM_BIT(PRO_SIM_FAULTS) - 1);

		runner_fails(runner, fewer, runner->options.parameter);
	}
}

static void runner_shrink(struct runner *runner)
{
	const unsigned most = runner->options.parameter;
	struct sim_shared *shared = runner->shared;
	char failure[sizeof(shared->failure)];

	/* Each try would take its whole time. */
	if (runner->end == SIM_CHILD_HUNG)
		return;
	memcpy(failure, shared->failure, sizeof(failure));
	runner->first_seed = runner->shared->seed;
	runner->seeds = 1;
	for (unsigned parameter = 1; parameter < most && parameter <= PARAMETERS_TRIED; parameter++)
		if (runner_fails(runner, runner->options.faults, parameter))
			break;
	runner_shrink_faults(runner);
	/* Once more, so that what is told is about what it was shrunk to; with its cause, if debug mode
	 * sees that. */
	runner->is_watched = true;
	if (!runner_run(runner))
		return;
	runner->is_watched = false;
	if (!runner_run(runner))
		return;
	/* A session is to depend on nothing but its seed, so its user must hear of this. */
	memset(&shared->log, 0, sizeof(shared->log));
	runner_note(runner, "the same seed failed and then passed: something but the simulated port "
						"decides, such as the time, an address, or what an earlier run left; ");
	snprintf(shared->failure + strlen(shared->failure),
			sizeof(shared->failure) - strlen(shared->failure), "it failed by: %s", failure);
}

/* ---- telling ---- */

static void append(char *text, size_t size, const char *more)
{
	const size_t length = strlen(text);

	snprintf(text + length, size - length, "%s", more);
}

static void format_faults(uint64_t faults, char *text, size_t size)
{
	text[0] = '\0';
	for (unsigned i = 0; i < PRO_SIM_FAULTS; i++) {
		if (!(faults & PRO_SIM_BIT(i)))
			continue;
		if (text[0])
			append(text, size, ",");
		append(text, size, pro_sim_fault_text((enum pro_sim_fault)i));
	}
	if (!text[0])
		append(text, size, "none");
}

static void runner_tell(const struct runner *runner, struct pro_sim_verdict *verdict)
{
	const struct sim_shared *shared = runner->shared;
	char faults[512];
	size_t length;

	verdict->is_failure = true;
	verdict->seed = shared->seed;
	verdict->faults = runner->options.faults;
	verdict->parameter = runner->options.parameter;
	verdict->step = shared->step;
	memcpy(verdict->failure, shared->failure, sizeof(verdict->failure));
	format_faults(verdict->faults, faults, sizeof(faults));
	snprintf(verdict->text, sizeof(verdict->text),
			"seed %" PRIu64 ", step %" PRIu64 ": %s\n"
			"to see it again: PROACTOR_SIM_SEED=%" PRIu64 " PROACTOR_SIM_PARAMETER=%u "
			"PROACTOR_SIM_FAULTS=%s%s PROACTOR_SIM_TRACE=-\n%s",
			verdict->seed, verdict->step, verdict->failure, verdict->seed, verdict->parameter,
			faults, shared->is_misuse ? " PROACTOR_DEBUG=1" : "",
			shared->log.count > 0 ? "the latest events:\n" : "");
	length = strlen(verdict->text);
	pro__sim_format_log(&shared->log, verdict->text + length, sizeof(verdict->text) - length);
}

/* ---- the environment ---- */

static int read_number(const char *text, uint64_t *number)
{
	char *end;

	/* strtoull would take a sign, and the greatest number for one that is too large. */
	if (*text < '0' || *text > '9')
		return PRO_EINVAL;
	errno = 0;
	*number = strtoull(text, &end, 0);
	return *end || errno ? PRO_EINVAL : 0;
}

static int read_seeds(struct runner *runner, const char *text)
{
	return runner->is_single ? 0 : read_number(text, &runner->seeds);
}

/* One that somebody wants to see. */
static int read_seed(struct runner *runner, const char *text)
{
	runner->seeds = 1;
	runner->is_in_process = true;
	runner->is_single = true;
	return read_number(text, &runner->first_seed);
}

static int read_parameter(struct runner *runner, const char *text)
{
	uint64_t number = 0;
	int error = read_number(text, &number);

	runner->options.parameter = (unsigned)number;
	return number > UINT_MAX ? PRO_EINVAL : error;
}

static int read_faults(struct runner *runner, const char *text)
{
	return pro_sim_faults_parse(text, &runner->options.faults);
}

static int read_step(struct runner *runner, const char *text)
{
	return read_number(text, &runner->options.stop_step);
}

static void runner_trace(void *context, const char *line)
{
	fputs(line, context);
	fputc('\n', context);
}

static int read_trace(struct runner *runner, const char *text)
{
	runner->trace = strcmp(text, "-") == 0 ? stderr : fopen(text, "a");
	runner->options.trace = runner_trace;
	runner->options.trace_context = runner->trace;
	return runner->trace ? 0 : PRO_EINVAL;
}

/* The one seed goes before how many. */
static const struct {
	const char *name;
	int (*read)(struct runner *runner, const char *text);
} variables[] = {
		{"PROACTOR_SIM_SEED", read_seed},
		{"PROACTOR_SIM_SEEDS", read_seeds},
		{"PROACTOR_SIM_PARAMETER", read_parameter},
		{"PROACTOR_SIM_FAULTS", read_faults},
		{"PROACTOR_SIM_STEP", read_step},
		{"PROACTOR_SIM_TRACE", read_trace},
};

static int runner_read_environment(struct runner *runner, struct pro_sim_verdict *verdict)
{
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		const char *text = getenv(variables[i].name);

		if (!text || !*text || !variables[i].read(runner, text))
			continue;
		snprintf(verdict->text, sizeof(verdict->text), "%s=%s makes no sense\n", variables[i].name,
				text);
		return PRO_EINVAL;
	}
	return 0;
}

static const char *test_fault(const struct pro_sim_test *test)
{
	if (test->size != sizeof(*test))
		return "test.size is not sizeof(struct pro_sim_test): call pro_sim_test_init";
	if (!test->set_up)
		return "test.set_up is missing";
	return test->faults_ms < 0 ? "test.faults_ms must not be negative" : NULL;
}

int pro_sim_test(const struct pro_sim_test *test, struct pro_sim_verdict *verdict)
{
	struct runner runner = {.test = test};
	const char *fault;
	int error;

	if (!test || !verdict)
		return PRO_EINVAL;
	memset(verdict, 0, sizeof(*verdict));
	fault = test_fault(test);
	if (fault) {
		snprintf(verdict->text, sizeof(verdict->text), "%s\n", fault);
		return PRO_EINVAL;
	}
	runner.options = test->options;
	runner.first_seed = test->first_seed;
	runner.seeds = test->seeds;
	runner.is_in_process = test->is_in_process;
	error = runner_read_environment(&runner, verdict);
	if (error)
		return error;
	runner.shared = pro__sim_shared_create();
	if (!runner.shared) {
		snprintf(verdict->text, sizeof(verdict->text), "out of memory\n");
		return PRO_ENOMEM;
	}
	error = runner_run_all(&runner, runner.first_seed, runner.seeds) ? 0 : PRO_ECANCELED;
	verdict->seeds = runner.shared->seeds;
	verdict->steps = runner.shared->steps;
	verdict->completions = runner.shared->completions;
	verdict->hash = runner.shared->hash;
	if (error && !runner.is_single)
		runner_shrink(&runner);
	if (error)
		runner_tell(&runner, verdict);
	pro__sim_shared_destroy(runner.shared);
	if (runner.trace && runner.trace != stderr)
		fclose(runner.trace);
	return error;
}
