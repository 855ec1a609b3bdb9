/* The runner of the simulated port: what it makes of a seed that fails, what it tells, what the
 * environment changes, what becomes of its child processes. */
#include <proactor/sim.h>

#include <check.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/socket.h>

#include "../proactor/engine.h"
#include "support/os.h"
#include "support/suite.h"

#define SEEDS     300u
#define TEXT_SIZE 65536u

static const char *const variables[] = {"PROACTOR_SIM_SEED", "PROACTOR_SIM_SEEDS",
		"PROACTOR_SIM_PARAMETER", "PROACTOR_SIM_FAULTS", "PROACTOR_SIM_STEP", "PROACTOR_SIM_TRACE",
		"PROACTOR_DEBUG"};

#define VARIABLES (sizeof(variables) / sizeof(variables[0]))

static struct pro_sim_verdict verdict;
static char directory[128];
static char trace_path[160];

static void set(const char *name, const char *value)
{
	ck_assert_int_eq(setenv(name, value, 1), 0);
}

/* What stands in the environment is of the test alone. */
static void environment_begin(void)
{
	for (size_t i = 0; i < VARIABLES; i++)
		unsetenv(variables[i]);
	os_make_directory(directory, sizeof(directory));
	snprintf(trace_path, sizeof(trace_path), "%s/trace", directory);
}

static void environment_end(void)
{
	for (size_t i = 0; i < VARIABLES; i++)
		unsetenv(variables[i]);
	os_remove_directory(directory);
}

static const char *read_trace(void)
{
	static char text[TEXT_SIZE];
	FILE *file = fopen(trace_path, "r");
	size_t length;

	ck_assert_ptr_nonnull(file);
	length = fread(text, 1, sizeof(text) - 1, file);
	text[length] = '\0';
	fclose(file);
	return text;
}

/* ---- a session: a byte goes to and fro; a check that fails with some faults ---- */

#define ROUNDS        10u
#define FATAL_ROUND   3u
#define FATAL_CLIENTS 5u
#define FATAL_FAULTS  (PRO_SIM_BIT(PRO_SIM_DGRAM_LOSS) | PRO_SIM_BIT(PRO_SIM_DGRAM_TWICE))
#define HARMLESS      (FATAL_FAULTS | PRO_SIM_BIT(PRO_SIM_DELAY) | PRO_SIM_BIT(PRO_SIM_RESOLVE))
#define FATAL_FAILURE "the third round"

struct session {
	struct pro_handler handler;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_message_block in;
	struct pro_message_block out;
	char byte;
	unsigned pending;
	unsigned rounds;
	pro_handle handles[2];
};

static int session_start_round(struct session *session)
{
	int error;

	session->pending = 2;
	pro_message_block_init(&session->in, &session->byte, 1);
	pro_message_block_init_filled(&session->out, "x", 1);
	error = pro_asynch_read_stream_read(&session->reader, &session->in, 0);
	return error ? error : pro_asynch_write_stream_write(&session->writer, &session->out);
}

static void session_completed(struct pro_handler *handler, int error)
{
	struct session *session = pro_container_of(handler, struct session, handler);

	if (!error && --session->pending == 0 && ++session->rounds < ROUNDS)
		session_start_round(session);
}

static void session_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	session_completed(handler, result->error);
}

static void session_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	session_completed(handler, result->error);
}

static void session_handle_close(struct pro_handler *handler)
{
	(void)handler;
}

static const struct pro_handler_vtbl session_vtbl = {
		.handle_read_stream = session_handle_read_stream,
		.handle_write_stream = session_handle_write_stream,
		.handle_close = session_handle_close,
};

static int session_set_up(struct pro_sim *sim, void **context)
{
	struct session *session = calloc(1, sizeof(*session));
	struct pro_proactor *proactor;
	pro_handle handles[2];
	int error;

	ck_assert_ptr_nonnull(session);
	*context = session;
	error = pro_sim_proactor_create(sim, "echoer", NULL, &proactor);
	if (!error)
		error = pro_handler_init(&session->handler, &session_vtbl, proactor);
	if (!error)
		error = pro_socket_pair(proactor, handles);
	if (!error)
		error = pro_asynch_read_stream_open(&session->reader, &session->handler, handles[0], NULL);
	if (!error)
		error = pro_asynch_write_stream_open(&session->writer, &session->handler, handles[1], NULL);
	if (error)
		return error;
	memcpy(session->handles, handles, sizeof(handles));
	return session_start_round(session);
}

static void session_check(struct pro_sim *sim, void *context)
{
	const struct session *session = context;

	if (session->rounds >= FATAL_ROUND && pro_sim_parameter(sim) >= FATAL_CLIENTS &&
			pro_sim_rate(sim, PRO_SIM_DGRAM_LOSS) > 0 && pro_sim_rate(sim, PRO_SIM_DGRAM_TWICE) > 0)
		pro_sim_fail(sim, FATAL_FAILURE);
}

static bool session_is_done(struct pro_sim *sim, void *context)
{
	const struct session *session = context;

	(void)sim;
	return session->rounds == ROUNDS;
}

static void session_stop(struct pro_sim *sim, void *context)
{
	struct session *session = context;
	struct pro_proactor *proactor = pro_handler_proactor(&session->handler);

	(void)sim;
	for (unsigned i = 0; i < 2; i++)
		pro_proactor_close_handle(proactor, session->handles[i]);
}

static void session_tear_down(struct pro_sim *sim, void *context)
{
	(void)sim;
	free(context);
}

static struct pro_sim_test make_test(int (*set_up)(struct pro_sim *sim, void **context))
{
	struct pro_sim_test test;

	pro_sim_test_init(&test);
	test.set_up = set_up;
	test.seeds = SEEDS;
	test.faults_ms = 1000;
	return test;
}

static struct pro_sim_test make_session_test(void)
{
	struct pro_sim_test test = make_test(session_set_up);

	test.check = session_check;
	test.is_done = session_is_done;
	test.stop = session_stop;
	test.tear_down = session_tear_down;
	test.options.parameter = 7;
	test.options.faults = HARMLESS;
	return test;
}

static void run_failing(const struct pro_sim_test *test, const char *failure)
{
	ck_assert_int_eq(pro_sim_test(test, &verdict), PRO_ECANCELED);
	ck_assert(verdict.is_failure);
	ck_assert_msg(strstr(verdict.failure, failure), "%s", verdict.text);
}

static void run_passing(const struct pro_sim_test *test, uint64_t seeds)
{
	ck_assert_msg(pro_sim_test(test, &verdict) == 0, "%s", verdict.text);
	ck_assert(!verdict.is_failure);
	ck_assert_uint_eq(verdict.seeds, seeds);
	ck_assert_str_eq(verdict.text, "");
}

/* ---- what is told ---- */

START_TEST(verdict_tells_the_seed_made_small_and_how_to_see_it_again)
{
	struct pro_sim_test test = make_session_test();
	char expected[512];
	const char *events;
	const char *last;

	run_failing(&test, FATAL_FAILURE);
	ck_assert_uint_eq(verdict.parameter, FATAL_CLIENTS);
	ck_assert_uint_eq(verdict.faults, FATAL_FAULTS);
	ck_assert_uint_gt(verdict.step, 0);
	snprintf(expected, sizeof(expected),
			"seed %" PRIu64 ", step %" PRIu64 ": " FATAL_FAILURE "\n"
			"to see it again: PROACTOR_SIM_SEED=%" PRIu64 " PROACTOR_SIM_PARAMETER=5 "
			"PROACTOR_SIM_FAULTS=dgram-loss,dgram-twice PROACTOR_SIM_TRACE=-\n"
			"the latest events:\n",
			verdict.seed, verdict.step, verdict.seed);
	ck_assert_mem_eq(verdict.text, expected, strlen(expected));
	events = verdict.text + strlen(expected);
	ck_assert_ptr_nonnull(strstr(events, " s  echoer   start write_stream on 101\n"));
	ck_assert_ptr_nonnull(strstr(events, "complete read_stream on 100: PRO_OK, 1 bytes \"x\"\n"));
	/* The third round ends in the step of the failure. */
	last = strrchr(events, ':');
	while (last > events && last[-1] != '\n')
		last--;
	ck_assert_uint_eq(strtoull(last, NULL, 10), verdict.step);
}
END_TEST

static int fail_at_once(struct pro_sim *sim, void **context)
{
	(void)sim;
	*context = NULL;
	return PRO_EADDRINUSE;
}

START_TEST(failure_that_needs_no_fault_is_told_without)
{
	struct pro_sim_test test = make_test(fail_at_once);

	test.options.parameter = 3;
	run_failing(&test, "set_up returned -26 (PRO_EADDRINUSE)");
	ck_assert_str_eq(verdict.text, "seed 1, step 0: set_up returned -26 (PRO_EADDRINUSE)\n"
								   "to see it again: PROACTOR_SIM_SEED=1 PROACTOR_SIM_PARAMETER=1 "
								   "PROACTOR_SIM_FAULTS=none PROACTOR_SIM_TRACE=-\n");
}
END_TEST

static int fail_with_twelve(struct pro_sim *sim, void **context)
{
	*context = NULL;
	if (pro_sim_parameter(sim) >= 12)
		pro_sim_fail(sim, "%s", "");
	return 0;
}

static int fail_the_first_time(struct pro_sim *sim, void **context)
{
	static bool has_failed;

	*context = NULL;
	if (!has_failed)
		pro_sim_fail(sim, "the first of all");
	has_failed = true;
	return 0;
}

START_TEST(failure_that_does_not_come_again_is_told)
{
	struct pro_sim_test test = make_test(fail_the_first_time);

	test.is_in_process = true;
	run_failing(&test, "the same seed failed and then passed");
	ck_assert_ptr_nonnull(strstr(verdict.failure, "it failed by: the first of all"));
	ck_assert_uint_eq(verdict.seed, 1);
}
END_TEST

START_TEST(parameter_stays_when_few_suffice_not)
{
	struct pro_sim_test test = make_test(fail_with_twelve);

	test.options.parameter = 20;
	run_failing(&test, "a check failed");
	ck_assert_uint_eq(verdict.parameter, 20);
}
END_TEST

static int do_nothing(struct pro_sim *sim, void **context)
{
	(void)sim;
	*context = NULL;
	return 0;
}

START_TEST(what_is_never_done_is_a_failure)
{
	struct pro_sim_test test = make_session_test();

	test.set_up = do_nothing;
	test.check = NULL;
	test.stop = NULL;
	test.tear_down = NULL;
	test.is_done = NULL;
	run_passing(&test, SEEDS);
	test = make_session_test();
	test.limit_ms = 0;
	test.faults_ms = 0;
	run_failing(&test, "it is not done 0 ms after the faults stopped");
}
END_TEST

/* Starts what is in flight: it is refused, and that is all that the session notices. */
static int session_set_up_twice(struct pro_sim *sim, void **context)
{
	struct session *session;
	int error = session_set_up(sim, context);

	if (error)
		return error;
	session = *context;
	if (pro_asynch_read_stream_read(&session->reader, &session->in, 0) != PRO_EBUSY)
		return PRO_EINVAL;
	return 0;
}

static const char misuse[] = "echoer: debug: operation was started while in flight";

START_TEST(misuse_is_a_failure_of_some_seeds)
{
	struct pro_sim_test test = make_session_test();

	test.set_up = session_set_up_twice;
	test.check = NULL;
	run_failing(&test, misuse);
	ck_assert_uint_eq(verdict.seed, 8);
	ck_assert_ptr_nonnull(strstr(verdict.text, "=none PROACTOR_DEBUG=1 PROACTOR_SIM_TRACE=-\n"));
	test.first_seed = 1;
	test.seeds = 1;
	set("PROACTOR_DEBUG", "1");
	run_failing(&test, misuse);
	test.options.checks = ~PRO_SIM_BIT(PRO_SIM_CHECK_MISUSE);
	set("PROACTOR_DEBUG", "");
	test.seeds = SEEDS;
	run_passing(&test, SEEDS);
	test.options.checks = PRO_SIM_ALL;
	set("PROACTOR_DEBUG", "0");
	run_passing(&test, SEEDS);
}
END_TEST

START_TEST(misuse_is_told_instead_of_what_it_leads_to)
{
	struct pro_sim_test test = make_session_test();

	test.set_up = session_set_up_twice;
	run_failing(&test, misuse);
	ck_assert_uint_lt(verdict.seed, 8);
	ck_assert_uint_eq(verdict.faults, FATAL_FAULTS);
}
END_TEST

static bool is_never_done(struct pro_sim *sim, void *context)
{
	(void)sim;
	(void)context;
	return false;
}

START_TEST(handles_that_nothing_happens_to_are_told)
{
	struct pro_sim_test test = make_session_test();

	test.check = NULL;
	test.is_done = is_never_done;
	run_failing(&test, "it is not done");
	ck_assert_ptr_nonnull(strstr(verdict.text, "echoer   has nothing in flight on 100\n"));
	ck_assert_ptr_nonnull(strstr(verdict.text, "echoer   has nothing in flight on 101\n"));
}
END_TEST

START_TEST(arguments_that_make_no_sense_are_refused)
{
	struct pro_sim_test test = make_test(do_nothing);

	ck_assert_int_eq(pro_sim_test(NULL, &verdict), PRO_EINVAL);
	ck_assert_int_eq(pro_sim_test(&test, NULL), PRO_EINVAL);
	test.faults_ms = -1;
	ck_assert_int_eq(pro_sim_test(&test, &verdict), PRO_EINVAL);
	ck_assert_str_eq(verdict.text, "test.faults_ms must not be negative\n");
	test = make_test(NULL);
	ck_assert_int_eq(pro_sim_test(&test, &verdict), PRO_EINVAL);
	ck_assert_str_eq(verdict.text, "test.set_up is missing\n");
	test = make_test(do_nothing);
	test.size--;
	ck_assert_int_eq(pro_sim_test(&test, &verdict), PRO_EINVAL);
	ck_assert_ptr_nonnull(strstr(verdict.text, "pro_sim_test_init"));
	test = make_test(do_nothing);
	test.options.buffer_bytes = 0;
	run_failing(&test, "pro_sim_create refuses the options of the test");
}
END_TEST

/* ---- the environment ---- */

/* Puts "NAME=VALUE NAME=VALUE …", up to the end of the line, into the environment. */
static void set_all(const char *line)
{
	char copy[512];
	char *next = NULL;

	snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(line, "\n"), line);
	for (char *word = strtok_r(copy, " ", &next); word; word = strtok_r(NULL, " ", &next)) {
		char *equal = strchr(word, '=');

		ck_assert_ptr_nonnull(equal);
		*equal = '\0';
		set(word, equal + 1);
	}
}

START_TEST(seed_is_seen_again_as_the_verdict_says)
{
	static const char again[] = "to see it again: ";
	struct pro_sim_test test = make_session_test();
	static struct pro_sim_verdict first;
	const char *events;
	char line[64];

	run_failing(&test, FATAL_FAILURE);
	first = verdict;
	set_all(strstr(first.text, again) + strlen(again));
	ck_assert_str_eq(getenv("PROACTOR_SIM_TRACE"), "-");
	ck_assert_ptr_nonnull(freopen(trace_path, "w", stderr));
	run_failing(&test, FATAL_FAILURE);
	fflush(stderr);
	ck_assert_uint_eq(verdict.seeds, 1);
	ck_assert_uint_eq(verdict.seed, first.seed);
	ck_assert_uint_eq(verdict.step, first.step);
	ck_assert_uint_eq(verdict.faults, first.faults);
	ck_assert_uint_eq(verdict.parameter, first.parameter);
	ck_assert_str_eq(verdict.text, first.text);
	/* Every event of the run, in the same words, and what came after the failure. */
	events = strstr(first.text, "the latest events:\n") + strlen("the latest events:\n");
	ck_assert_ptr_nonnull(strstr(read_trace(), events));
	snprintf(line, sizeof(line), "echoer   close on %d\n", 100);
	ck_assert_ptr_nonnull(strstr(read_trace(), line));
}
END_TEST

START_TEST(one_seed_runs_in_this_process_and_is_left_as_it_is)
{
	struct pro_sim_test test = make_session_test();
	char text[32];

	run_failing(&test, FATAL_FAILURE);
	snprintf(text, sizeof(text), "%" PRIu64, verdict.seed);
	set("PROACTOR_SIM_SEED", text);
	set("PROACTOR_SIM_SEEDS", "50");
	run_failing(&test, FATAL_FAILURE);
	ck_assert_uint_eq(verdict.parameter, 7);
	ck_assert_uint_eq(verdict.faults, HARMLESS);
	ck_assert_uint_eq(verdict.seeds, 1);
	set("PROACTOR_SIM_PARAMETER", "4");
	run_passing(&test, 1);
}
END_TEST

START_TEST(number_of_seeds_can_be_changed)
{
	struct pro_sim_test test = make_session_test();
	uint64_t hash;

	test.options.parameter = 1;
	test.seeds = 5;
	run_passing(&test, 5);
	hash = verdict.hash;
	test.seeds = SEEDS;
	set("PROACTOR_SIM_SEEDS", "0x5");
	run_passing(&test, 5);
	ck_assert_uint_eq(verdict.hash, hash);
	set("PROACTOR_SIM_SEEDS", "");
	run_passing(&test, SEEDS);
	ck_assert_uint_ne(verdict.hash, hash);
}
END_TEST

static uint64_t faults_seen;

static int note_faults(struct pro_sim *sim, void **context)
{
	*context = NULL;
	for (unsigned i = 0; i < PRO_SIM_FAULTS; i++)
		if (pro_sim_rate(sim, (enum pro_sim_fault)i) > 0)
			faults_seen |= PRO_SIM_BIT(i);
	return 0;
}

START_TEST(faults_can_be_chosen)
{
	struct pro_sim_test test = make_test(note_faults);

	test.is_in_process = true;
	test.seeds = 50;
	run_passing(&test, 50);
	ck_assert_uint_eq(faults_seen, PRO_SIM_BIT(PRO_SIM_FAULTS) - 1);
	faults_seen = 0;
	set("PROACTOR_SIM_FAULTS", "clog,file-full");
	run_passing(&test, 50);
	ck_assert_uint_eq(faults_seen, PRO_SIM_BIT(PRO_SIM_CLOG) | PRO_SIM_BIT(PRO_SIM_FILE_FULL));
	faults_seen = 0;
	set("PROACTOR_SIM_FAULTS", "none");
	run_passing(&test, 50);
	ck_assert_uint_eq(faults_seen, 0);
}
END_TEST

/* Before the failure it is not found; from its step on it is. */
START_TEST(run_stops_at_the_step_of_the_environment)
{
	struct pro_sim_test test = make_session_test();
	uint64_t step;
	char text[32];

	run_failing(&test, FATAL_FAILURE);
	step = verdict.step;
	set_all("PROACTOR_SIM_PARAMETER=5 PROACTOR_SIM_FAULTS=dgram-loss,dgram-twice");
	snprintf(text, sizeof(text), "%" PRIu64, verdict.seed);
	set("PROACTOR_SIM_SEED", text);
	snprintf(text, sizeof(text), "%" PRIu64, step - 1);
	set("PROACTOR_SIM_STEP", text);
	run_passing(&test, 1);
	ck_assert_uint_ge(verdict.steps, step - 1);
	snprintf(text, sizeof(text), "%" PRIu64, step + 1);
	set("PROACTOR_SIM_STEP", text);
	run_failing(&test, FATAL_FAILURE);
	ck_assert_uint_eq(verdict.step, step);
}
END_TEST

START_TEST(trace_is_appended_to_a_file)
{
	struct pro_sim_test test = make_session_test();
	const char *text;
	size_t length;

	set("PROACTOR_SIM_TRACE", trace_path);
	set("PROACTOR_SIM_SEED", "3");
	set("PROACTOR_SIM_PARAMETER", "1");
	run_passing(&test, 1);
	text = read_trace();
	length = strlen(text);
	ck_assert_ptr_nonnull(strstr(text, " s  echoer   start read_stream on 100\n"));
	run_passing(&test, 1);
	text = read_trace();
	ck_assert_uint_eq(strlen(text), 2 * length);
	ck_assert_mem_eq(text, text + length, length);
}
END_TEST

START_TEST(values_that_make_no_sense_are_told)
{
	static const struct {
		const char *name;
		const char *value;
	} wrong[] = {
			{"PROACTOR_SIM_SEED", "first"},
			{"PROACTOR_SIM_SEED", "18446744073709551616"},
			{"PROACTOR_SIM_SEEDS", "1e6"},
			{"PROACTOR_SIM_SEEDS", "-1"},
			{"PROACTOR_SIM_PARAMETER", "5 clients"},
			{"PROACTOR_SIM_PARAMETER", "4294967297"},
			{"PROACTOR_SIM_FAULTS", "thunder"},
			{"PROACTOR_SIM_STEP", "last"},
			{"PROACTOR_SIM_TRACE", "/dev/null/trace"},
	};
	struct pro_sim_test test = make_test(do_nothing);
	char expected[128];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		set(wrong[i].name, wrong[i].value);
		ck_assert_int_eq(pro_sim_test(&test, &verdict), PRO_EINVAL);
		ck_assert(!verdict.is_failure);
		snprintf(expected, sizeof(expected), "%s=%s makes no sense\n", wrong[i].name,
				wrong[i].value);
		ck_assert_str_eq(verdict.text, expected);
		unsetenv(wrong[i].name);
	}
}
END_TEST

/* ---- child processes ---- */

static int exit_with_three(struct pro_sim *sim, void **context)
{
	*context = NULL;
	if (pro_sim_choose(sim, 100) == 0)
		_exit(3);
	return 0;
}

START_TEST(exit_is_a_failure_of_its_seed)
{
	struct pro_sim_test test = make_test(exit_with_three);
	uint64_t seed;

	run_failing(&test, "it exits with status 3");
	ck_assert_uint_eq(verdict.faults, 0);
	seed = verdict.seed;
	test.first_seed = seed;
	test.seeds = 1;
	run_failing(&test, "it exits with status 3");
	ck_assert_uint_eq(verdict.seed, seed);
	test.first_seed = 1;
	test.seeds = seed - 1;
	run_passing(&test, seed - 1);
}
END_TEST

/* It works for a second of processor time, in which the runner is interrupted many times. */
static int hang(struct pro_sim *sim, void **context)
{
	volatile bool hangs = true;

	(void)sim;
	*context = NULL;
	while (hangs)
		continue;
	return 0;
}

START_TEST(signals_do_not_end_the_wait_for_a_child)
{
	struct pro_sim_test test = make_test(hang);

	test.seconds_max = 1;
	os_signal_storm(1000);
	run_failing(&test, "it hangs");
	ck_assert_uint_gt(os_signal_storm_count(), 50);
	os_signal_storm(0);
	/* That would take its time again and again: it is not made smaller. */
	ck_assert_uint_eq(verdict.faults, PRO_SIM_ALL);
}
END_TEST

START_TEST(child_that_nobody_can_wait_for_is_a_failure)
{
	struct pro_sim_test test = make_test(do_nothing);
	void (*before)(int) = os_signal_set(SIGCHLD, SIG_IGN);

	run_failing(&test, "its child process is lost: errno 10");
	os_signal_set(SIGCHLD, before);
	run_passing(&test, SEEDS);
}
END_TEST

/* Limits do not hold for root, so that the real user is another for a while. */
START_TEST(child_that_can_not_be_made_is_a_failure)
{
	struct pro_sim_test test = make_test(do_nothing);
	const uid_t user = getuid();
	struct rlimit before;
	struct rlimit none;

	ck_assert_int_eq(getrlimit(RLIMIT_NPROC, &before), 0);
	none = (struct rlimit){0, before.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &none), 0);
	if (user == 0)
		ck_assert_int_eq(setresuid(65534, 65534, 0), 0);
	run_failing(&test, "there is no child process: errno 11");
	if (user == 0)
		ck_assert_int_eq(setresuid(0, 0, 0), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &before), 0);
	run_passing(&test, SEEDS);
}
END_TEST

START_TEST(runner_without_memory_says_so)
{
	struct pro_sim_test test = make_test(do_nothing);
	struct rlimit before;
	struct rlimit none;

	/* They need memory at any time. */
	if (os_is_sanitized())
		return;
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	none = (struct rlimit){1, before.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
	ck_assert_int_eq(pro_sim_test(&test, &verdict), PRO_ENOMEM);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
	run_passing(&test, SEEDS);
}
END_TEST

static int hold_for_ever(struct pro_sim *sim, void **context)
{
	static struct session session;
	struct pro_proactor *proactor;
	int error = pro_sim_proactor_create(sim, "keeper", NULL, &proactor);

	*context = NULL;
	if (!error)
		error = pro_handler_init(&session.handler, &session_vtbl, proactor);
	/* As whoever forgets to let go. */
	pro__owner_hold_remote(&session.handler.owner);
	pro_handler_close(&session.handler);
	return error;
}

/* A shutdown heeds no end: it is a failure, and the program ends. */
START_TEST(loop_that_drains_for_ever_is_a_failure)
{
	struct pro_sim_test test = make_test(hold_for_ever);

	test.seeds = 1;
	test.options.faults = 0;
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	run_failing(&test, "the loop of keeper waits, and nothing can happen any more");
}
END_TEST

/* ---- leaks ---- */

static bool has_leaked;

/* Of the leak sanitizer, which goes before this one where it is linked in. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
int __lsan_do_recoverable_leak_check(void)
{
	return has_leaked;
}

static int leak_sometimes(struct pro_sim *sim, void **context)
{
	*context = NULL;
	if (pro_sim_choose(sim, 100) == 0)
		has_leaked = true;
	return 0;
}

static uint64_t first_seed_that_leaks(void)
{
	struct pro_sim_options options;
	struct pro_sim *sim;
	bool leaks = false;

	pro_sim_options_init(&options);
	while (!leaks) {
		options.seed++;
		ck_assert_int_eq(pro_sim_create(&sim, &options), 0);
		leaks = pro_sim_choose(sim, 100) == 0;
		pro_sim_destroy(sim);
	}
	return options.seed;
}

/* It is looked for once in many seeds; which of them it was is found. */
START_TEST(leak_is_a_failure_of_its_seed)
{
	struct pro_sim_test test = make_test(leak_sometimes);
	const uint64_t seed = first_seed_that_leaks();

	has_leaked = true;
	if (!__lsan_do_recoverable_leak_check())
		return;
	has_leaked = false;
	ck_assert_uint_gt(seed, 1);
	test.seeds = 2 * seed;
	run_failing(&test, "memory is leaked");
	ck_assert_uint_eq(verdict.seed, seed);
	ck_assert_str_eq(verdict.failure, "memory is leaked");
	test.seeds = seed - 1;
	run_passing(&test, seed - 1);
	/* It is the program's own affair when seeds are run in it. */
	test.is_in_process = true;
	test.seeds = 2 * seed;
	run_passing(&test, 2 * seed);
	has_leaked = false;
}
END_TEST

static TCase *telling_tcase(void)
{
	TCase *tcase = tcase_create("telling");

	tcase_add_checked_fixture(tcase, environment_begin, environment_end);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, verdict_tells_the_seed_made_small_and_how_to_see_it_again);
	tcase_add_test(tcase, failure_that_needs_no_fault_is_told_without);
	tcase_add_test(tcase, parameter_stays_when_few_suffice_not);
	tcase_add_test(tcase, failure_that_does_not_come_again_is_told);
	tcase_add_test(tcase, what_is_never_done_is_a_failure);
	tcase_add_test(tcase, misuse_is_a_failure_of_some_seeds);
	tcase_add_test(tcase, misuse_is_told_instead_of_what_it_leads_to);
	tcase_add_test(tcase, handles_that_nothing_happens_to_are_told);
	tcase_add_test(tcase, arguments_that_make_no_sense_are_refused);
	return tcase;
}

static TCase *environment_tcase(void)
{
	TCase *tcase = tcase_create("environment");

	tcase_add_checked_fixture(tcase, environment_begin, environment_end);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, seed_is_seen_again_as_the_verdict_says);
	tcase_add_test(tcase, one_seed_runs_in_this_process_and_is_left_as_it_is);
	tcase_add_test(tcase, number_of_seeds_can_be_changed);
	tcase_add_test(tcase, faults_can_be_chosen);
	tcase_add_test(tcase, run_stops_at_the_step_of_the_environment);
	tcase_add_test(tcase, trace_is_appended_to_a_file);
	tcase_add_test(tcase, values_that_make_no_sense_are_told);
	return tcase;
}

static TCase *children_tcase(void)
{
	TCase *tcase = tcase_create("children");

	tcase_add_checked_fixture(tcase, environment_begin, environment_end);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, exit_is_a_failure_of_its_seed);
	tcase_add_test(tcase, signals_do_not_end_the_wait_for_a_child);
	tcase_add_test(tcase, child_that_nobody_can_wait_for_is_a_failure);
	tcase_add_test(tcase, child_that_can_not_be_made_is_a_failure);
	tcase_add_test(tcase, runner_without_memory_says_so);
	tcase_add_test(tcase, loop_that_drains_for_ever_is_a_failure);
	tcase_add_test(tcase, leak_is_a_failure_of_its_seed);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("sim_test");

	suite_add_tcase(suite, telling_tcase());
	suite_add_tcase(suite, environment_tcase());
	suite_add_tcase(suite, children_tcase());
	return suite_run(suite);
}
