/* The three ways to run callbacks, by the command line: one thread, several threads that share a
 * proactor, a group with a thread for each of its proactors. */
#include <proactor/operation.h>

#include "sample.h"

#include "sample_system.h"

struct sample_option sample_threads_option(struct sample_loops *loops)
{
	return (struct sample_option){
			.name = "--threads",
			.value = "N",
			.help = "threads that share one completion port; default none but the first",
			.number = &loops->threads,
			.number_min = 1,
			.number_max = SAMPLE_THREADS_MAX,
	};
}

struct sample_option sample_concurrency_option(struct sample_loops *loops)
{
	return (struct sample_option){
			.name = "--concurrency",
			.value = "N",
			.help = "of these threads run callbacks at once; default one a processor",
			.number = &loops->concurrency,
			.number_min = 1,
			.number_max = SAMPLE_THREADS_MAX,
	};
}

struct sample_option sample_group_option(struct sample_loops *loops)
{
	return (struct sample_option){
			.name = "--group",
			.value = "N",
			.help = "instead: N threads, each with a completion port and connections of its own",
			.number = &loops->members,
			.number_min = 1,
			.number_max = SAMPLE_THREADS_MAX,
	};
}

const char *sample_loops_fault(const struct sample_loops *loops)
{
	if (loops->members > 0 && (loops->threads > 0 || loops->concurrency > 0))
		return "--group excludes --threads and --concurrency: share one port or have one each";
	if (loops->concurrency > 0 && loops->threads == 0)
		return "--concurrency needs --threads";
	return NULL;
}

static bool loops_open_group(struct sample_loops *loops)
{
	struct pro_proactor_group_options options;
	char why[256];

	pro_proactor_group_options_init(&options);
	sample_proactor_options_init(&options.proactor);
	options.count = loops->members;
	int error = pro_proactor_group_create(&loops->group, &options, why, sizeof(why));
	if (error) {
		sample_log("no group of %u: %s (%s)", loops->members, why, pro_error_text(error));
		return false;
	}
	error = pro_proactor_group_start(loops->group);
	if (error) {
		sample_log("no threads for a group of %u: %s", loops->members, pro_error_text(error));
		pro_proactor_group_destroy(loops->group);
		loops->group = NULL;
		return false;
	}
	sample_set_dumped_group(loops->group);
	return true;
}

bool sample_loops_open(struct sample_loops *loops, bool log_port)
{
	struct pro_proactor_options options;

	sample_proactor_options_init(&options);
	if (loops->threads > 0) {
		options.is_shared = true;
		options.concurrency = loops->concurrency;
	}
	loops->proactor = sample_proactor_create(&options, log_port);
	if (!loops->proactor)
		return false;
	if (loops->members > 0 && !loops_open_group(loops)) {
		sample_proactor_destroy(loops->proactor);
		return false;
	}
	return true;
}

/* A listener lives on for some milliseconds after a process that is killed while io_uring accepts
 * on it. */
#define IN_USE_TRIES   25
#define IN_USE_WAIT_MS 20

int sample_loops_accept(struct sample_loops *loops, struct pro_asynch_acceptor *acceptor,
		const struct pro_asynch_acceptor_vtbl *vtbl, const struct pro_addr *addr)
{
	struct pro_asynch_acceptor_options options;
	int error = PRO_EADDRINUSE;

	pro_asynch_acceptor_options_init(&options);
	options.group = loops->group;
	for (unsigned tries = 0; error == PRO_EADDRINUSE && tries < IN_USE_TRIES; tries++) {
		int wait_error =
				tries ? pro_proactor_run_event_loop_for(loops->proactor, IN_USE_WAIT_MS) : 0;
		if (wait_error)
			return wait_error;
		error = pro_asynch_acceptor_open_with(acceptor, vtbl, loops->proactor, addr, &options);
	}
	return error;
}

/* One run of the loop by several threads. */
struct run {
	struct pro_proactor *proactor;
	int64_t limit_ms;
};

static void run_further(void *argument)
{
	const struct run *run = argument;
	int error = pro_proactor_run_event_loop_for(run->proactor, run->limit_ms);

	if (error)
		sample_log("a further thread: %s", pro_error_text(error));
}

int sample_loops_run(struct sample_loops *loops, int64_t limit_ms)
{
	struct run run = {.proactor = loops->proactor, .limit_ms = limit_ms};
	struct sample_thread *further[SAMPLE_THREADS_MAX];
	unsigned count = 0;

	while (count + 1 < loops->threads) {
		further[count] = sample_system_start_thread(run_further, &run);
		if (!further[count]) {
			sample_log("no more than %u of %u threads can be had", count + 1, loops->threads);
			break;
		}
		count++;
	}
	int error = pro_proactor_run_event_loop_for(loops->proactor, limit_ms);
	while (count > 0)
		sample_system_join_thread(further[--count]);
	return error;
}

int sample_loops_close(struct sample_loops *loops)
{
	sample_ignore_signals();
	/* In this order: connections on their way to the group are the acceptor's, and what the group
	 * tells to handlers of the first proactor must find it. */
	pro_proactor_group_stop(loops->group);
	int status = sample_proactor_destroy(loops->proactor);
	int error = pro_proactor_group_destroy(loops->group);
	if (error) {
		sample_log("stopping the group failed: %s", pro_error_text(error));
		return SAMPLE_FAILED;
	}
	return status;
}
