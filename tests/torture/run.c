/* One run. What a scenario asserts does not hold when something fails, and that is no matter: a
 * failed assertion ends the scenario. What matters is that no law of the contract is broken, that
 * nothing crashes, hangs or aborts, that the proactor still serves new handlers, that it can be
 * shut down and destroyed, every handler told so, and that no memory and no descriptor are left.
 *
 * All that is looked at from within the assertion that failed, for the handlers and the blocks
 * stand on the stack of the scenario. In a callback the assertion goes back to the recorder, as if
 * the callback had returned; no recorder calls the scenario any more then, and when the loop
 * returns, the scenario is over. */
#include "run.h"

#include <check.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../proactor/proactor_private.h"
#include "../support/os.h"
#include "../support/recorder.h"
#include "calls.h"

#define SECONDS_MAX 300u
/* What waits for something that will never come gives up early. */
#define LIMIT_MS 150u

/* A scenario may make more of them, which have their memory from the first. */
#define WORLDS_MAX 16u

static struct world world;
static struct world *worlds[WORLDS_MAX]; /* not ended yet; NULL among them */
static const struct kind *kind;
static uint64_t failing;
static uint64_t *count_wanted;
static bool is_cut;
static bool is_judging;
/* Where an assertion goes back to from the callback that this thread is in. */
static _Thread_local jmp_buf *callback;

/* Of sanitizers that look for leaks. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

_Noreturn static void end_process(enum end end)
{
	if (count_wanted)
		*count_wanted = kind->count(&world);
	if (end != END_BAD && kind->failures(&world) == 0)
		end = END_UNTOUCHED;
	for (unsigned i = 0; i < WORLDS_MAX; i++)
		if (worlds[i] && worlds[i]->directory[0])
			os_remove_directory(worlds[i]->directory);
	fflush(NULL);
	_exit((int)end);
}

_Noreturn static void end_badly(const char *format, ...) PRO_PRINTF(1, 2);
_Noreturn static void end_badly(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "%s, %s %llu: ", world.name, kind->noun, (unsigned long long)failing);
	vfprintf(stderr, format, arguments);
	fprintf(stderr, "\n");
	va_end(arguments);
	end_process(END_BAD);
}

/* ---- callbacks ---- */

/* In place of recorder's own call. */
static void call_guarded(struct recorder *recorder, const struct event *event)
{
	jmp_buf *const outer = callback;
	jmp_buf here;

	if (is_cut)
		return;
	callback = &here;
	if (setjmp(here) == 0)
		recorder->on_event(recorder, event);
	else
		pro_proactor_end_event_loop(pro_handler_proactor(recorder_handler(recorder)));
	callback = outer;
}

/* ---- worlds ---- */

void __real_world_init(struct world *inner, const char *name);
void __wrap_world_init(struct world *inner, const char *name);
void __real_world_fini(struct world *inner);
void __wrap_world_fini(struct world *inner);

void __wrap_world_init(struct world *inner, const char *name)
{
	unsigned i = 0;

	__real_world_init(inner, name);
	inner->is_traced = false;
	inner->call = call_guarded;
	inner->options.allocator = &world.memory.allocator;
	while (worlds[i] && i < WORLDS_MAX - 1)
		i++;
	worlds[i] = inner;
}

void __wrap_world_fini(struct world *inner)
{
	__real_world_fini(inner);
	for (unsigned i = 0; i < WORLDS_MAX; i++)
		if (worlds[i] == inner)
			worlds[i] = NULL;
}

/* Of a proactor that no world made by itself: the first. */
static struct world *world_of(const struct pro_proactor *proactor)
{
	for (unsigned i = 0; i < WORLDS_MAX; i++)
		if (worlds[i] && worlds[i]->proactor == proactor)
			return worlds[i];
	return &world;
}

/* A recorder of `here` that lives on the proactor. */
static struct recorder *find_recorder(struct world *here, const struct pro_proactor *proactor)
{
	struct recorder *recorder = here->recorders;

	while (recorder &&
			(recorder->is_closed || pro_handler_proactor(recorder_handler(recorder)) != proactor))
		recorder = recorder->next;
	return recorder;
}

static void close_recorders(struct world *here, struct pro_proactor *proactor)
{
	for (struct recorder *recorder = here->recorders; recorder; recorder = recorder->next) {
		if (recorder->is_closed || pro_handler_proactor(recorder_handler(recorder)) != proactor)
			continue;
		while (recorder->handles_count > 0)
			pro_proactor_close_handle(proactor, recorder_take_handle(recorder));
		recorder_close(recorder);
	}
	RUN_UNTIL(here, !find_recorder(here, proactor));
}

/* ---- judging ---- */

/* A stream and a timer of new handlers. */
static void use_proactor(struct world *here)
{
	struct recorder *left = recorder_create(here, "left");
	struct recorder *right = recorder_create(here, "right");
	struct pro_message_block out, in;
	char bytes[6];

	recorder_pair(left, right);
	recorder_open_free(left);
	pro_message_block_init_filled(&out, "usable", sizeof(bytes));
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(STARTED(right, READ_STREAM,
			pro_asynch_read_stream_read_exactly(&right->reader, &in, sizeof(bytes))));
	ASSERT_OK(recorder_write(left, &out));
	ASSERT_OK(recorder_timer(left, 1));
	RUN_UNTIL(here, left->count[EVENT_WRITE_STREAM] && right->count[EVENT_READ_STREAM] &&
							left->count[EVENT_TIME_OUT]);
	ASSERT_OK(left->last[EVENT_WRITE_STREAM].error);
	ASSERT_OK(right->last[EVENT_READ_STREAM].error);
	ASSERT_OK(left->last[EVENT_TIME_OUT].error);
	ck_assert_mem_eq(bytes, "usable", sizeof(bytes));
	close_recorders(here, here->proactor);
}

static void judge_proactor(struct pro_proactor *proactor)
{
	struct world *const here = world_of(proactor);

	kind->arm(&world, 0);
	is_judging = true;
	here->proactor = proactor;
	if (!proactor->is_shutdown) {
		pro_proactor_reset_event_loop(proactor);
		close_recorders(here, proactor);
		use_proactor(here);
	}
	inject_release_lent_blocks(proactor);
}

/* The scenario held so far, and destroys its proactor: that one is still usable too. */
void run_before_destroy(struct pro_proactor *proactor)
{
	if (is_judging || kind->failures(&world) == 0 || !proactor ||
			world_of(proactor)->proactor != proactor || proactor->is_running ||
			world_statistics(world_of(proactor)).handlers > 0)
		return;
	judge_proactor(proactor);
	is_judging = false;
}

/* Shuts down what the scenario left. */
static void clean_up(void)
{
	for (unsigned i = 0; i < PROACTORS_MAX; i++) {
		int error;

		if (!proactors[i])
			continue;
		judge_proactor(proactors[i]);
		world_enter_loop();
		error = pro_proactor_destroy(proactors[i]);
		world_leave_loop();
		if (error)
			end_badly("the proactor can not be destroyed: %s", pro_error_name(error));
	}
	for (unsigned i = 0; i < WORLDS_MAX; i++) {
		if (!worlds[i])
			continue;
		if (worlds[i]->sim && pro_sim_failure(worlds[i]->sim))
			end_badly("the simulated world: %s", pro_sim_failure(worlds[i]->sim));
		pro_sim_destroy(worlds[i]->sim);
	}
	if (world.memory.live != 0)
		end_badly("%lld pieces of memory, %lld bytes, are left", (long long)world.memory.live,
				(long long)world.memory.live_bytes);
	if (calls_descriptors() != 0) {
		os_print_descriptors();
		end_badly("%u descriptors are left", calls_descriptors());
	}
	if (__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
		end_badly("memory is left");
}

_Noreturn static void end_cut(void)
{
	is_cut = true;
	clean_up();
	end_process(END_CUT);
}

/* The recorder asserts nothing but laws by itself. */
static bool is_law(const char *file, const char *expression)
{
	const char *name = strrchr(file, '/');

	return !strcmp(name ? name + 1 : file, "recorder.c") &&
		   strncmp(expression, "Assertion", strlen("Assertion")) != 0;
}

/* In place of Check's. */
void _ck_assert_failed(const char *file, int line, const char *expression, const char *format, ...)
{
	if (is_judging || is_law(file, expression) || failing == 0) {
		char text[256] = "";
		va_list arguments;

		va_start(arguments, format);
		if (format)
			vsnprintf(text, sizeof(text), format, arguments);
		va_end(arguments);
		end_badly("%s:%d: %s %s", file, line, expression, text);
	}
	if (callback) {
		is_cut = true;
		longjmp(*callback, 1);
	}
	for (unsigned i = 0; i < PROACTORS_MAX; i++)
		if (proactors[i] && (pro__on_loop(proactors[i]) || proactors[i]->crew))
			end_process(END_UNJUDGED);
	end_cut();
}

void _mark_point(const char *file, int line)
{
	(void)file;
	(void)line;
}

/* ---- the loop returns ---- */

static void end_if_cut(void)
{
	if (is_cut && !is_judging && !callback)
		end_cut();
}

int __real_pro_proactor_handle_events(struct pro_proactor *proactor, int64_t timeout_ms);
int __wrap_pro_proactor_handle_events(struct pro_proactor *proactor, int64_t timeout_ms);
int __real_pro_proactor_run_event_loop(struct pro_proactor *proactor);
int __wrap_pro_proactor_run_event_loop(struct pro_proactor *proactor);
int __real_pro_proactor_run_event_loop_for(struct pro_proactor *proactor, int64_t duration_ms);
int __wrap_pro_proactor_run_event_loop_for(struct pro_proactor *proactor, int64_t duration_ms);

int __wrap_pro_proactor_handle_events(struct pro_proactor *proactor, int64_t timeout_ms)
{
	int callbacks = __real_pro_proactor_handle_events(proactor, timeout_ms);

	end_if_cut();
	return callbacks;
}

int __wrap_pro_proactor_run_event_loop(struct pro_proactor *proactor)
{
	int error = __real_pro_proactor_run_event_loop(proactor);

	end_if_cut();
	return error;
}

int __wrap_pro_proactor_run_event_loop_for(struct pro_proactor *proactor, int64_t duration_ms)
{
	int error = __real_pro_proactor_run_event_loop_for(proactor, duration_ms);

	end_if_cut();
	return error;
}

static bool is_in_hurry(void)
{
	return !is_judging && kind->failures(&world) > 0;
}

void run_here(
		const struct scenario *scenario, const struct kind *what, uint64_t number, uint64_t *count)
{
	alarm(SECONDS_MAX);
	kind = what;
	failing = number;
	count_wanted = count;
	world_init(&world, scenario->name);
	world_set_hurry(LIMIT_MS, is_in_hurry);
	kind->arm(&world, number);
	scenario->run(&world);
	world_fini(&world);
	end_if_cut();
	end_process(END_HELD);
}
