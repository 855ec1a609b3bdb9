/* One run. What a scenario asserts does not hold when something fails, and that is no matter: a
 * failed assertion ends the scenario. What matters is that nothing crashes, hangs or aborts, that
 * the proactor can still be shut down and destroyed, every handler told so, and that no memory and
 * no descriptor are left. All that is looked at from within the assertion that failed, for the
 * handlers and the blocks stand on the stack of the scenario. */
#include "run.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "../../proactor/proactor_private.h"
#include "../support/os.h"
#include "../support/recorder.h"
#include "calls.h"

#define SECONDS_MAX 300u

static struct world world;
static const struct kind *kind;
static uint64_t *count_wanted;
static bool is_cleaning;

_Noreturn static void end_process(enum end end)
{
	if (count_wanted)
		*count_wanted = kind->count(&world);
	if (end != END_BAD && kind->failures(&world) == 0)
		end = END_UNTOUCHED;
	fflush(NULL);
	os_exit_child((int)end);
}

/* Shuts down what the scenario left. */
static void clean_up(void)
{
	is_cleaning = true;
	kind->arm(&world, 0);
	for (struct recorder *recorder = world.recorders; recorder; recorder = recorder->next)
		recorder->on_event = NULL;
	for (unsigned i = 0; i < PROACTORS_MAX; i++) {
		struct pro_proactor_statistics statistics = {.size = sizeof(statistics)};
		int error;

		if (!proactors[i])
			continue;
		pro_proactor_statistics(proactors[i], &statistics);
		/* The scenario would release them. */
		if (statistics.lent_blocks_used > 0)
			end_process(END_CUT_INSIDE);
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
	if (calls_descriptors() != 0) {
		fprintf(stderr, "%u descriptors are left\n", calls_descriptors());
		os_print_descriptors();
		end_process(END_BAD);
	}
	if (world.directory[0])
		os_remove_directory(world.directory);
}

/* In place of Check's. */
void _ck_assert_failed(const char *file, int line, const char *expression, const char *format, ...)
{
	(void)file;
	(void)line;
	(void)expression;
	(void)format;
	if (is_cleaning)
		end_process(END_CUT_INSIDE);
	for (unsigned i = 0; i < PROACTORS_MAX; i++)
		if (proactors[i] && (pro__on_loop(proactors[i]) || proactors[i]->crew))
			end_process(END_CUT_INSIDE);
	clean_up();
	end_process(END_CUT);
}

void _mark_point(const char *file, int line)
{
	(void)file;
	(void)line;
}

void run_here(
		const struct scenario *scenario, const struct kind *what, uint64_t number, uint64_t *count)
{
	alarm(SECONDS_MAX);
	kind = what;
	count_wanted = count;
	world_init(&world, scenario->name);
	world.is_traced = false;
	kind->arm(&world, number);
	scenario->run(&world);
	world_fini(&world);
	end_process(END_HELD);
}
