/* Sessions of a sample service in simulated worlds, again and again, each time with another
 * allocation of the service, or another operation of the service or its clients, failing. A client
 * that loses its connection comes again until it has all that it came for, so that a session which
 * ends shows that new clients are served, and rightly. A service that can not begin says so.
 *
 *   torture_SERVICE [KIND SEED NUMBER]
 *
 * The first seed has no other faults, and each number fails there; others have, at distances. */
#include "calls.h"

#include "../sim/samples/service.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEEDS       6u /* that have faults */
#define SEEDS_LONG  60u
#define RUNS        40u /* with each of them */
#define SECONDS_MAX 60u

enum { STATUS_FINE = 100, STATUS_BAD };

/* ---- allocations of the service ---- */

static uint64_t failing_allocation;
static uint64_t allocations;
static uint64_t failed_allocations;
static int64_t live; /* of the service itself; the world looks after the rest */

static bool allocation_fails(void)
{
	if (++allocations != failing_allocation)
		return false;
	failed_allocations++;
	return true;
}

void *torture_malloc(size_t size);
void *torture_calloc(size_t count, size_t size);
void torture_free(void *memory);

void *torture_malloc(size_t size)
{
	return torture_calloc(1, size);
}

void *torture_calloc(size_t count, size_t size)
{
	if (allocation_fails())
		return NULL;
	live++;
	return calloc(count, size);
}

void torture_free(void *memory)
{
	live -= memory != NULL;
	free(memory);
}

struct pro_message_block *__real_pro_message_block_create(
		const struct pro_allocator *allocator, size_t size);
struct pro_message_block *__wrap_pro_message_block_create(
		const struct pro_allocator *allocator, size_t size);
struct pro_message_block *__real_pro_message_block_duplicate(const struct pro_message_block *block);
struct pro_message_block *__wrap_pro_message_block_duplicate(const struct pro_message_block *block);

/* Nobody but the services makes blocks. */
struct pro_message_block *__wrap_pro_message_block_create(
		const struct pro_allocator *allocator, size_t size)
{
	return allocation_fails() ? NULL : __real_pro_message_block_create(allocator, size);
}

struct pro_message_block *__wrap_pro_message_block_duplicate(const struct pro_message_block *block)
{
	return allocation_fails() ? NULL : __real_pro_message_block_duplicate(block);
}

static void allocations_arm(struct world *world, uint64_t number)
{
	(void)world;
	failing_allocation = number;
}

static uint64_t allocations_count(const struct world *world)
{
	(void)world;
	return allocations;
}

static uint64_t allocations_failures(const struct world *world)
{
	(void)world;
	return failed_allocations;
}

static const struct kind service_allocations = {
		.name = "allocations",
		.noun = "allocation",
		.arm = allocations_arm,
		.count = allocations_count,
		.failures = allocations_failures,
};

static const struct kind *const kinds[] = {&service_allocations, &kind_operations};

#define KINDS_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static const struct pro_allocator *world_allocator;

static void *allocate(void *context, size_t size)
{
	(void)context;
	return allocation_fails() ? NULL : world_allocator->allocate(world_allocator->context, size);
}

static void *reallocate(void *context, void *memory, size_t size)
{
	(void)context;
	return allocation_fails() ? NULL
							  : world_allocator->reallocate(world_allocator->context, memory, size);
}

static void deallocate(void *context, void *memory)
{
	(void)context;
	world_allocator->deallocate(world_allocator->context, memory);
}

int __real_pro_sim_proactor_create(struct pro_sim *sim, const char *name,
		const struct pro_proactor_options *options, struct pro_proactor **proactor);
int __wrap_pro_sim_proactor_create(struct pro_sim *sim, const char *name,
		const struct pro_proactor_options *options, struct pro_proactor **proactor);

/* The service makes the first. */
int __wrap_pro_sim_proactor_create(struct pro_sim *sim, const char *name,
		const struct pro_proactor_options *options, struct pro_proactor **proactor)
{
	static const struct pro_allocator allocator = {allocate, reallocate, deallocate, NULL};
	struct pro_proactor_options own;

	if (world_allocator)
		return __real_pro_sim_proactor_create(sim, name, options, proactor);
	world_allocator = pro_sim_allocator(sim);
	pro_proactor_options_init(&own);
	own.allocator = &allocator;
	return __real_pro_sim_proactor_create(sim, name, &own, proactor);
}

/* What only scenarios need. */
void run_before_destroy(struct pro_proactor *proactor)
{
	(void)proactor;
}

void calls_give(pro_handle handle)
{
	(void)handle;
}

/* ---- a session ---- */

static struct pro_sim_test session;
static bool is_refused; /* the service could not begin */
static const struct kind *kind_now;
static uint64_t *count_wanted; /* how many there were up to the stop */

static int set_up(struct pro_sim *sim, void **context)
{
	const struct kind *const *kind = kinds;
	uint64_t failures = 0;
	int error = session.set_up(sim, context);

	for (; kind < kinds + KINDS_COUNT; kind++)
		failures += (*kind)->failures(NULL);
	is_refused = error && failures > 0;
	return is_refused ? 0 : error;
}

static bool is_done(struct pro_sim *sim, void *context)
{
	return is_refused || session.is_done(sim, context);
}

static void check(struct pro_sim *sim, void *context)
{
	if (!is_refused && session.check)
		session.check(sim, context);
}

/* From here on all must go well: a client whose goodbye failed was told none. */
static void stop(struct pro_sim *sim, void *context)
{
	for (size_t i = 0; i < KINDS_COUNT; i++)
		kinds[i]->arm(NULL, 0);
	if (count_wanted)
		*count_wanted = kind_now->count(NULL);
	session.stop(sim, context);
}

/* Runs it in this process and ends that. */
_Noreturn static void run_here(
		const struct kind *kind, uint64_t seed, uint64_t number, uint64_t *count)
{
	static struct pro_sim_verdict verdict;
	struct pro_sim_test test;

	alarm(SECONDS_MAX);
	service_test_init(&session);
	session.is_in_process = true;
	session.first_seed = seed;
	session.seeds = 1;
	if (seed == 1)
		session.options.faults = 0;
	test = session;
	test.set_up = set_up;
	test.is_done = is_done;
	test.check = check;
	test.stop = stop;
	kind_now = kind;
	count_wanted = count;
	service_lacks_memory = kind == &service_allocations && number > 0;
	service_is_hit = number > 0;
	kind->arm(NULL, number);
	if (pro_sim_test(&test, &verdict)) {
		printf("%s, %s %" PRIu64 " of seed %" PRIu64 ": %s\n", service_name, kind->noun, number,
				seed, verdict.failure);
	} else if (live != 0) {
		printf("%s, %s %" PRIu64 " of seed %" PRIu64 ": %" PRId64 " pieces of memory are left\n",
				service_name, kind->noun, number, seed, live);
		verdict.is_failure = true;
	}
	fflush(NULL);
	_exit(verdict.is_failure ? STATUS_BAD : STATUS_FINE);
}

/* ---- all of them ---- */

struct sum {
	uint64_t *count; /* of the last; shared with the processes */
	uint64_t runs;
	uint64_t bad;
};

static void run(struct sum *sum, const struct kind *kind, uint64_t seed, uint64_t number)
{
	const pid_t process = fork();
	int status;

	if (process == 0)
		run_here(kind, seed, number, sum->count);
	if (process < 0 || waitpid(process, &status, 0) != process) {
		perror("fork");
		exit(EXIT_FAILURE);
	}
	sum->runs++;
	if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_FINE)
		return;
	sum->bad++;
	if (!WIFEXITED(status))
		printf("%s, %s %" PRIu64 " of seed %" PRIu64 ": ends by signal %d\n", service_name,
				kind->noun, number, seed, WTERMSIG(status));
}

static void run_seed(struct sum *sum, const struct kind *kind, uint64_t seed)
{
	uint64_t distance = 1;
	uint64_t count;

	run(sum, kind, seed, 0);
	count = *sum->count;
	if (seed > 1)
		distance = count / RUNS + 1;
	for (uint64_t number = 1 + seed % distance; number <= count; number += distance)
		run(sum, kind, seed, number);
}

int main(int argc, char **argv)
{
	struct sum sum = {.runs = 0};
	const char *text = getenv("PROACTOR_TEST_LONG");
	const uint64_t seeds = text && !strcmp(text, "1") ? SEEDS_LONG : SEEDS;

	if (argc == 4)
		for (size_t i = 0; i < KINDS_COUNT; i++)
			if (!strcmp(kinds[i]->name, argv[1]))
				run_here(kinds[i], strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), NULL);
	if (argc > 1)
		return EXIT_FAILURE;
	sum.count = mmap(
			NULL, sizeof(*sum.count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sum.count == MAP_FAILED)
		return EXIT_FAILURE;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < KINDS_COUNT; i++)
		for (uint64_t seed = 1; seed <= 1 + seeds; seed++) {
			run_seed(&sum, kinds[i], seed);
			if (seed == 1)
				printf("%s: %" PRIu64 " %s without other faults\n", service_name, *sum.count,
						kinds[i]->name);
		}
	printf("%s: %" PRIu64 " sessions, %" PRIu64 " bad\n", service_name, sum.runs, sum.bad);
	return sum.bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
