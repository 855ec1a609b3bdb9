/* Making and freeing a proactor: options, the choice of its port, its report and its statistics. */
#include "crew.h"
#include "debug.h"
#include "ports/thread.h"

#include "lent_pool.h"
#include "worker_pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX         32768u
#define LENT_BLOCKS_MAX     32768u
#define LENT_BLOCK_SIZE_MAX (16u * 1024 * 1024)
#define CONCURRENCY_MAX     1024u
#define WORKER_THREADS_MAX  1024u

void pro_proactor_options_init(struct pro_proactor_options *options)
{
	memset(options, 0, sizeof(*options));
	options->size = sizeof(*options);
	options->concurrency = 1;
	options->entries = 256;
	options->worker_threads = 4;
	options->works_max = 1024;
	options->lent_block_size = 16384;
	options->lent_blocks = 256;
}

static bool is_power_of_two(unsigned number, unsigned most)
{
	return number != 0 && number <= most && (number & (number - 1)) == 0;
}

/* The sentence says which option is wrong; NULL when none is. */
static const char *options_fault(const struct pro_proactor_options *options)
{
	const struct pro_allocator *allocator = options->allocator;

	if (options->size != sizeof(*options))
		return "options.size is not sizeof(struct pro_proactor_options): call "
			   "pro_proactor_options_init";
	if (options->concurrency > CONCURRENCY_MAX)
		return "options.concurrency must be 0 to 1024";
	if (!is_power_of_two(options->entries, ENTRIES_MAX))
		return "options.entries must be a power of two up to 32768";
	if (!is_power_of_two(options->lent_blocks, LENT_BLOCKS_MAX))
		return "options.lent_blocks must be a power of two up to 32768";
	if (options->lent_block_size == 0 || options->lent_block_size > LENT_BLOCK_SIZE_MAX)
		return "options.lent_block_size must be 1 to 16 MiB";
	if (options->worker_threads == 0 || options->worker_threads > WORKER_THREADS_MAX)
		return "options.worker_threads must be 1 to 1024";
	if ((unsigned)options->debug > PRO_DEBUG_ABORT)
		return "options.debug must be one of enum pro_debug";
	if (options->works_max == 0)
		return "options.works_max must not be 0";
	if (allocator && (!allocator->allocate || !allocator->reallocate || !allocator->deallocate))
		return "options.allocator lacks a function";
	return NULL;
}

static void append(char *text, size_t size, const char *format, ...) PRO_PRINTF(3, 4);

static void append(char *text, size_t size, const char *format, ...)
{
	size_t length = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + length, size - length, format, arguments);
	va_end(arguments);
}

static int proactor_create_named_port(
		struct pro_proactor *proactor, const char *name, char *why, size_t why_size)
{
	const struct pro_port_vtbl *const *port;
	int error;

	for (port = pro__ports; *port; port++) {
		if (strcmp((*port)->name, name) != 0)
			continue;
		proactor->port_vtbl = *port;
		error = (*port)->create(
				proactor, &proactor->options, &proactor->port, &proactor->report, why, why_size);
		return error;
	}
	snprintf(why, why_size, "no port of this name in this build, which has:");
	for (port = pro__ports; *port; port++)
		append(why, why_size, " %s", (*port)->name);
	return PRO_ENOTSUP;
}

/* The ports in their order; a refusal leads to the next, and the reason keeps it. */
static int proactor_create_best_port(struct pro_proactor *proactor)
{
	struct pro_proactor_report *report = &proactor->report;
	const struct pro_port_vtbl *const *port;
	char why[160];
	int error = PRO_ENOTSUP;

	for (port = pro__ports; *port; port++) {
		proactor->port_vtbl = *port;
		why[0] = '\0';
		report->features[0] = '\0';
		report->missing[0] = '\0';
		error = (*port)->create(
				proactor, &proactor->options, &proactor->port, report, why, sizeof(why));
		if (!error) {
			append(report->reason, sizeof(report->reason), "%s",
					port == pro__ports ? "first choice" : "next choice");
			return 0;
		}
		append(report->reason, sizeof(report->reason), "%s refused (%s: %s); ", (*port)->name,
				pro_error_name(error), why);
	}
	return error;
}

static int proactor_create_simulated_port(struct pro_proactor *proactor)
{
	const struct pro_sim_base *base = (const struct pro_sim_base *)(void *)proactor->options.sim;
	struct pro_proactor_report *report = &proactor->report;
	char why[160] = "";
	int error;

	proactor->port_vtbl = base->port;
	error = base->port->create(
			proactor, &proactor->options, &proactor->port, report, why, sizeof(why));
	if (error)
		append(report->reason, sizeof(report->reason), "options.sim: %s (%s)", why,
				pro_error_name(error));
	else
		append(report->reason, sizeof(report->reason), "forced by options.sim");
	return error;
}

static int proactor_create_port(struct pro_proactor *proactor)
{
	struct pro_proactor_report *report = &proactor->report;
	const char *name = proactor->options.port;
	const char *source = "options.port";
	char why[160] = "";
	int error;

	if (proactor->options.sim)
		return proactor_create_simulated_port(proactor);
	if (!name) {
		name = getenv("PROACTOR_PORT");
		source = "PROACTOR_PORT";
	}
	if (!name || !*name)
		return proactor_create_best_port(proactor);
	error = proactor_create_named_port(proactor, name, why, sizeof(why));
	if (error)
		append(report->reason, sizeof(report->reason), "%s=%.32s: %s (%s)", source, name, why,
				pro_error_name(error));
	else
		append(report->reason, sizeof(report->reason), "forced by %s", source);
	return error;
}

/* Of a port that knows no children. */
static const uint32_t never_forked = 1;

static struct pro_proactor *proactor_allocate(const struct pro_proactor_options *options)
{
	const struct pro_allocator *allocator =
			options->allocator ? options->allocator : &pro__default_allocator;
	struct pro_proactor *proactor = allocator->allocate(allocator->context, sizeof(*proactor));

	if (!proactor)
		return NULL;
	memset(proactor, 0, sizeof(*proactor));
	proactor->allocator = *allocator;
	proactor->options = *options;
	if (options->concurrency != 1)
		proactor->options.is_shared = true;
	if (options->concurrency == 0)
		proactor->options.concurrency = pro__processor_count();
	proactor->fork_mark = &never_forked;
	proactor->events_tail = &proactor->events_head;
	pro__list_init(&proactor->owners);
	return proactor;
}

void pro__proactor_free(struct pro_proactor *proactor)
{
	struct pro_allocator allocator = proactor->allocator;
	bool is_forked = pro__is_forked(proactor);

	/* Workers first: they may still be completing into the port. */
	pro__worker_pool_destroy(proactor->worker_pool);
	if (proactor->port)
		proactor->port_vtbl->destroy(proactor->port);
	pro__lent_pool_destroy(proactor->lent_pool, is_forked);
	pro__crew_destroy(proactor);
	pro__debug_destroy(proactor);
	allocator.deallocate(allocator.context, proactor);
}

static int proactor_create_parts(struct pro_proactor *proactor)
{
	const struct pro_proactor_options *options = &proactor->options;
	struct pro_proactor_report *report = &proactor->report;
	int error = PRO_ENOMEM;

	proactor->lent_pool =
			pro__lent_pool_create(proactor, options->lent_block_size, options->lent_blocks);
	if (proactor->lent_pool)
		error = pro__worker_pool_create(proactor, options->worker_threads, &proactor->worker_pool);
	if (!error && options->is_shared)
		error = pro__crew_create(proactor);
	if (!error)
		error = pro__debug_create(proactor);
	if (error) {
		append(report->reason, sizeof(report->reason), "out of memory");
		return error;
	}
	error = proactor_create_port(proactor);
	if (error)
		return error;
	if (proactor->port_vtbl->fork_mark)
		proactor->fork_mark = proactor->port_vtbl->fork_mark(proactor->port);
	append(report->port, sizeof(report->port), "%s", proactor->port_vtbl->name);
	report->lent_blocks = options->lent_blocks;
	report->lent_block_size = options->lent_block_size;
	report->worker_threads = options->worker_threads;
	pro__timer_queue_init(&proactor->timers, pro_proactor_now_ms(proactor));
	return 0;
}

int pro_proactor_create(struct pro_proactor **result, const struct pro_proactor_options *options,
		char *why, size_t why_size)
{
	struct pro_proactor_options defaults;
	struct pro_proactor *proactor;
	const char *fault;
	int error;

	if (!result)
		return PRO_EINVAL;
	*result = NULL;
	if (!options) {
		pro_proactor_options_init(&defaults);
		options = &defaults;
	}
	fault = options_fault(options);
	if (fault) {
		if (why)
			snprintf(why, why_size, "%s", fault);
		return PRO_EINVAL;
	}
	proactor = proactor_allocate(options);
	if (!proactor) {
		if (why)
			snprintf(why, why_size, "out of memory");
		return PRO_ENOMEM;
	}
	error = proactor_create_parts(proactor);
	if (error) {
		if (why)
			snprintf(why, why_size, "%s", proactor->report.reason);
		pro__proactor_free(proactor);
		return error;
	}
	*result = proactor;
	return 0;
}

int pro_proactor_report(const struct pro_proactor *proactor, struct pro_proactor_report *report)
{
	if (!proactor || !report || report->size != sizeof(*report))
		return PRO_EINVAL;
	*report = proactor->report;
	report->size = sizeof(*report);
	return 0;
}

int pro_proactor_statistics(
		const struct pro_proactor *proactor, struct pro_proactor_statistics *statistics)
{
	if (!proactor || !statistics || statistics->size != sizeof(*statistics))
		return PRO_EINVAL;
	/* completed before started, so that a snapshot never shows more completions than starts. */
	statistics->completed = proactor->completed;
	statistics->started = proactor->started;
	statistics->in_flight = statistics->started - statistics->completed;
	statistics->refused = proactor->refused;
	statistics->posts = proactor->posts;
	statistics->batches = proactor->batches;
	statistics->system_calls = proactor->system_calls;
	statistics->wakes = proactor->wakes;
	statistics->handlers = proactor->handlers;
	statistics->queued_bytes_peak = proactor->queued_bytes_peak;
	statistics->lent_blocks_used = pro__lent_pool_used(proactor->lent_pool);
	statistics->worker_threads = pro__worker_pool_threads(proactor->worker_pool);
	return 0;
}

uint64_t pro_proactor_now_ns(struct pro_proactor *proactor)
{
	return proactor->port_vtbl->now_ns(proactor->port);
}

uint64_t pro_proactor_now_ms(struct pro_proactor *proactor)
{
	return pro_proactor_now_ns(proactor) / 1000000;
}

uint64_t pro_proactor_random(struct pro_proactor *proactor)
{
	return proactor->port_vtbl->random(proactor->port);
}

const struct pro_allocator *pro_proactor_allocator(const struct pro_proactor *proactor)
{
	/* Not our own copy, so that blocks may outlive the proactor. */
	return proactor->options.allocator ? proactor->options.allocator : &pro__default_allocator;
}

void *pro__allocate(const struct pro_proactor *proactor, size_t size)
{
	return proactor->allocator.allocate(proactor->allocator.context, size);
}

void *pro__reallocate(const struct pro_proactor *proactor, void *memory, size_t size)
{
	return proactor->allocator.reallocate(proactor->allocator.context, memory, size);
}

void pro__deallocate(const struct pro_proactor *proactor, void *memory)
{
	proactor->allocator.deallocate(proactor->allocator.context, memory);
}

void pro_proactor_log(
		const struct pro_proactor *proactor, enum pro_log_level level, const char *format, ...)
{
	char text[512];
	va_list arguments;

	if (!proactor->options.log)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	proactor->options.log(proactor->options.log_context, level, text);
}

/* ---- the singleton: a convenience, and the only global ---- */

static _Atomic(struct pro_proactor *) singleton;

struct pro_proactor *pro_proactor_instance(void)
{
	struct pro_proactor *existing = atomic_load(&singleton);
	struct pro_proactor *created;

	if (existing)
		return existing;
	if (pro_proactor_create(&created, NULL, NULL, 0))
		return NULL;
	if (!atomic_compare_exchange_strong(&singleton, &existing, created)) {
		/* Not covered: another thread was faster. */
		pro_proactor_destroy(created);
		return existing; /* Not covered: another thread was faster. */
	}
	return created;
}

int pro_proactor_close_singleton(void)
{
	struct pro_proactor *proactor = atomic_load(&singleton);
	int error = pro_proactor_destroy(proactor);

	if (!error)
		atomic_store(&singleton, NULL);
	return error;
}
