/* Blocks lent to reads: how they go out, how they come back, who is told. The proactor around the
 * pool is a stub, so that each thread's part can be played by hand. */
#include "../proactor/lent_pool.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/allocator.h"
#include "support/os.h"
#include "support/suite.h"

#define BLOCK_SIZE  4096
#define BLOCK_COUNT 4
#define RETURNS_MAX 64

/* ---- the stub ---- */

struct pro_proactor {
	struct test_allocator memory;
	struct pro_lent_pool *pool;
	_Atomic(struct pro_inbox_node *) node; /* the one that ever made a request */
	atomic_uint requests;                  /* since the loop looked last */
	unsigned requests_total;
	unsigned returns; /* calls of lent_returned */
	unsigned indices[RETURNS_MAX];
	struct pro_message_block *taken; /* by lent_returned, if it is to take one */
	bool takes_when_told;
	bool is_forked;
	unsigned logged;
};

static struct pro_proactor stub;
static _Thread_local bool is_loop;

static void stub_lent_returned(struct pro_port *port, unsigned index)
{
	(void)port;
	if (!is_loop || stub.returns == RETURNS_MAX)
		abort();
	stub.indices[stub.returns++] = index;
	if (stub.takes_when_told)
		stub.taken = pro__lent_pool_take(stub.pool);
}

bool pro__on_loop(const struct pro_proactor *proactor)
{
	return proactor == &stub && is_loop;
}

bool pro__is_forked(const struct pro_proactor *proactor)
{
	return proactor->is_forked;
}

struct pro_port *pro__port(const struct pro_proactor *proactor)
{
	(void)proactor;
	return NULL;
}

const struct pro_port_vtbl *pro__port_vtbl(const struct pro_proactor *proactor)
{
	static const struct pro_port_vtbl vtbl = {.lent_returned = stub_lent_returned};

	(void)proactor;
	return &vtbl;
}

void pro__inbox_request(struct pro_proactor *proactor, struct pro_inbox_node *node, uint32_t bits)
{
	if (bits == 0)
		abort();
	atomic_store(&proactor->node, node);
	atomic_fetch_add(&proactor->requests, 1);
}

void *pro__allocate(const struct pro_proactor *proactor, size_t size)
{
	const struct pro_allocator *allocator = &proactor->memory.allocator;

	return allocator->allocate(allocator->context, size);
}

void pro__deallocate(const struct pro_proactor *proactor, void *memory)
{
	const struct pro_allocator *allocator = &proactor->memory.allocator;

	allocator->deallocate(allocator->context, memory);
}

const struct pro_allocator *pro_proactor_allocator(const struct pro_proactor *proactor)
{
	return &proactor->memory.allocator;
}

void pro_proactor_log(
		const struct pro_proactor *proactor, enum pro_log_level level, const char *format, ...)
{
	(void)proactor;
	(void)format;
	ck_assert_int_eq(level, PRO_LOG_ERROR);
	stub.logged++;
}

/* What the loop does with its inbox. */
static void stub_run_loop(void)
{
	unsigned requests = atomic_exchange(&stub.requests, 0);

	if (requests > 0) {
		struct pro_inbox_node *node = atomic_load(&stub.node);

		node->run(node, 1, requests);
	}
	stub.requests_total += requests;
}

/* ---- fixture ---- */

static void set_up(void)
{
	memset(&stub, 0, sizeof(stub));
	test_allocator_init(&stub.memory);
	stub.pool = pro__lent_pool_create(&stub, BLOCK_SIZE, BLOCK_COUNT);
	ck_assert_ptr_nonnull(stub.pool);
	is_loop = true;
}

static void tear_down(void)
{
	pro__lent_pool_destroy(stub.pool, stub.is_forked);
	ck_assert_int_eq(stub.memory.live, 0);
	ck_assert_uint_eq(stub.logged, 0);
}

static struct pro_message_block *taken(void)
{
	struct pro_message_block *block = pro__lent_pool_take(stub.pool);

	ck_assert_ptr_nonnull(block);
	return block;
}

static void take_all(struct pro_message_block *blocks[BLOCK_COUNT])
{
	for (unsigned i = 0; i < BLOCK_COUNT; i++)
		blocks[i] = taken();
	ck_assert_ptr_null(pro__lent_pool_take(stub.pool));
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), BLOCK_COUNT);
}

/* As another thread does it. */
static void *release_elsewhere(void *block)
{
	ck_assert(!is_loop);
	pro_message_block_release(block);
	return NULL;
}

static void released_elsewhere(struct pro_message_block *block)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, release_elsewhere, block), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* ---- going out ---- */

START_TEST(nothing_is_allocated_before_the_first_use)
{
	struct pro_message_block *block;

	ck_assert_uint_eq(stub.memory.calls, 1);
	ck_assert_int_lt(stub.memory.live_bytes, BLOCK_SIZE);
	block = taken();
	ck_assert_uint_eq(stub.memory.calls, 2);
	ck_assert_int_ge(stub.memory.live_bytes, BLOCK_SIZE * BLOCK_COUNT);
	pro_message_block_release(block);
}
END_TEST

START_TEST(blocks_lie_side_by_side_on_pages)
{
	struct pro_message_block *blocks[BLOCK_COUNT];
	size_t block_size;
	unsigned count;
	unsigned char *memory = pro__lent_pool_memory(stub.pool, &block_size, &count);

	ck_assert_ptr_nonnull(memory);
	ck_assert_uint_eq((uintptr_t)memory % 4096, 0);
	ck_assert_uint_eq(block_size, BLOCK_SIZE);
	ck_assert_uint_eq(count, BLOCK_COUNT);
	take_all(blocks);
	for (unsigned i = 0; i < BLOCK_COUNT; i++) {
		ck_assert_ptr_eq(blocks[i]->base, memory + i * BLOCK_SIZE);
		ck_assert_uint_eq(blocks[i]->size, BLOCK_SIZE);
		ck_assert_uint_eq(blocks[i]->wr, 0);
		memset(blocks[i]->base, (int)i, BLOCK_SIZE);
	}
	for (unsigned i = 0; i < BLOCK_COUNT; i++) {
		ck_assert_uint_eq(blocks[i]->base[BLOCK_SIZE - 1], i);
		pro_message_block_release(blocks[i]);
	}
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), 0);
}
END_TEST

START_TEST(the_block_used_last_goes_out_first)
{
	struct pro_message_block *first = taken();
	struct pro_message_block *second = taken();

	pro_message_block_release(first);
	pro_message_block_release(second);
	ck_assert_ptr_eq(taken(), second);
	ck_assert_ptr_eq(taken(), first);
	pro_message_block_release(second);
	pro_message_block_release(first);
}
END_TEST

START_TEST(a_block_goes_out_clean)
{
	struct pro_message_block *block = taken();
	unsigned char *base = block->base;

	block->wr = 100;
	block->rd = 50;
	block->base += 10;
	block->size -= 10;
	block->queue_flags = 7;
	pro_message_block_release(block);
	block = taken();
	ck_assert_ptr_eq(block->base, base);
	ck_assert_uint_eq(block->size, BLOCK_SIZE);
	ck_assert_uint_eq(block->rd, 0);
	ck_assert_uint_eq(block->wr, 0);
	ck_assert_uint_eq(block->queue_flags, 0);
	ck_assert_ptr_null(block->cont);
	ck_assert_uint_eq(pro_message_block_reference_count(block), 1);
	pro_message_block_release(block);
}
END_TEST

START_TEST(lending_allocates_nothing)
{
	uint64_t calls;

	pro_message_block_release(taken());
	calls = stub.memory.calls;
	for (unsigned i = 0; i < 1000; i++)
		pro_message_block_release(taken());
	ck_assert_uint_eq(stub.memory.calls, calls);
}
END_TEST

START_TEST(without_memory_nothing_is_lent_until_there_is_some)
{
	size_t block_size;
	unsigned count;

	stub.memory.fails_always = true;
	ck_assert_ptr_null(pro__lent_pool_take(stub.pool));
	ck_assert_ptr_null(pro__lent_pool_memory(stub.pool, &block_size, &count));
	ck_assert_ptr_null(pro__lent_pool_create(&stub, BLOCK_SIZE, BLOCK_COUNT));
	stub.memory.fails_always = false;
	pro_message_block_release(taken());
}
END_TEST

START_TEST(sizes_that_cannot_be_are_refused)
{
	uint64_t calls = stub.memory.calls;

	ck_assert_ptr_null(pro__lent_pool_create(&stub, 0, 1));
	ck_assert_ptr_null(pro__lent_pool_create(&stub, 1, 0));
	ck_assert_ptr_null(pro__lent_pool_create(&stub, SIZE_MAX, 1));
	ck_assert_ptr_null(pro__lent_pool_create(&stub, SIZE_MAX / 2, 2));
	ck_assert_ptr_null(pro__lent_pool_create(&stub, SIZE_MAX - 200, 1));
	ck_assert_ptr_null(pro__lent_pool_create(&stub, SIZE_MAX / 4, 3));
	ck_assert_uint_eq(stub.memory.calls, calls);
}
END_TEST

START_TEST(odd_sizes_work)
{
	struct pro_lent_pool *pool = pro__lent_pool_create(&stub, 7, 3);
	struct pro_message_block *blocks[3];

	ck_assert_ptr_nonnull(pool);
	for (unsigned i = 0; i < 3; i++) {
		blocks[i] = pro__lent_pool_take(pool);
		ck_assert_ptr_nonnull(blocks[i]);
		memset(blocks[i]->base, 0xee, 7);
	}
	for (unsigned i = 0; i < 3; i++)
		pro_message_block_release(blocks[i]);
	pro__lent_pool_destroy(pool, false);
}
END_TEST

START_TEST(a_pool_that_was_not_used_is_destroyed)
{
	pro__lent_pool_destroy(pro__lent_pool_create(&stub, BLOCK_SIZE, BLOCK_COUNT), false);
	pro__lent_pool_destroy(NULL, false);
}
END_TEST

/* ---- coming back ---- */

START_TEST(a_block_comes_back_with_its_last_sharer)
{
	struct pro_message_block *block = taken();
	struct pro_message_block *duplicate = pro_message_block_duplicate(block);
	unsigned char *base = block->base;

	ck_assert_ptr_nonnull(duplicate);
	pro_message_block_release(block);
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), 1);
	block = taken();
	ck_assert_ptr_ne(block->base, base);
	pro_message_block_release(duplicate);
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), 1);
	pro_message_block_release(block);
}
END_TEST

START_TEST(a_chain_of_lent_blocks_comes_back)
{
	struct pro_message_block *blocks[BLOCK_COUNT];

	take_all(blocks);
	for (unsigned i = 1; i < BLOCK_COUNT; i++)
		blocks[i - 1]->cont = blocks[i];
	pro_message_block_release(blocks[0]);
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), 0);
}
END_TEST

START_TEST(nobody_is_told_unless_somebody_waits)
{
	struct pro_message_block *blocks[BLOCK_COUNT];

	take_all(blocks);
	for (unsigned i = 0; i < BLOCK_COUNT; i++)
		pro_message_block_release(blocks[i]);
	ck_assert_uint_eq(stub.returns, 0);
}
END_TEST

START_TEST(who_waits_is_told_once)
{
	struct pro_message_block *blocks[BLOCK_COUNT];

	take_all(blocks);
	pro__lent_pool_starve(stub.pool);
	pro__lent_pool_starve(stub.pool);
	stub.takes_when_told = true;
	pro_message_block_release(blocks[2]);
	ck_assert_uint_eq(stub.returns, 1);
	ck_assert_uint_eq(stub.indices[0], 2);
	/* The block was free already when the port was told. */
	ck_assert_ptr_eq(stub.taken, blocks[2]);
	pro_message_block_release(blocks[0]);
	ck_assert_uint_eq(stub.returns, 1);
	pro__lent_pool_starve(stub.pool);
	pro_message_block_release(blocks[1]);
	ck_assert_uint_eq(stub.returns, 2);
	pro_message_block_release(stub.taken);
	pro_message_block_release(blocks[2]);
	pro_message_block_release(blocks[3]);
}
END_TEST

START_TEST(a_block_given_back_helps_who_waits)
{
	struct pro_message_block *blocks[BLOCK_COUNT];

	take_all(blocks);
	pro__lent_pool_starve(stub.pool);
	pro__lent_pool_give_back(stub.pool, blocks[1]);
	ck_assert_uint_eq(stub.returns, 1);
	ck_assert_uint_eq(stub.indices[0], 1);
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), BLOCK_COUNT - 1);
	for (unsigned i = 0; i < BLOCK_COUNT; i++) {
		if (i != 1)
			pro_message_block_release(blocks[i]);
	}
}
END_TEST

START_TEST(other_threads_return_by_way_of_the_loop)
{
	struct pro_message_block *blocks[BLOCK_COUNT];

	take_all(blocks);
	pro__lent_pool_starve(stub.pool);
	released_elsewhere(blocks[3]);
	released_elsewhere(blocks[0]);
	released_elsewhere(blocks[1]);
	ck_assert_uint_eq(stub.returns, 0);
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), BLOCK_COUNT);
	stub_run_loop();
	/* The loop was called once for all of them. */
	ck_assert_uint_eq(stub.requests_total, 1);
	ck_assert_uint_eq(stub.returns, 1);
	ck_assert_uint_eq(stub.indices[0], 3);
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), 1);
	released_elsewhere(blocks[2]);
	stub_run_loop();
	ck_assert_uint_eq(stub.requests_total, 2);
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), 0);
}
END_TEST

START_TEST(a_take_finds_what_other_threads_returned)
{
	struct pro_message_block *blocks[BLOCK_COUNT];

	take_all(blocks);
	released_elsewhere(blocks[2]);
	ck_assert_ptr_eq(taken(), blocks[2]);
	stub_run_loop();
	for (unsigned i = 0; i < BLOCK_COUNT; i++)
		pro_message_block_release(blocks[i]);
}
END_TEST

START_TEST(the_last_sharer_may_be_another_thread)
{
	struct pro_message_block *block = taken();
	struct pro_message_block *duplicate = pro_message_block_duplicate(block);

	released_elsewhere(block);
	ck_assert_uint_eq(stub.requests, 0);
	released_elsewhere(duplicate);
	ck_assert_uint_eq(stub.requests, 1);
	stub_run_loop();
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), 0);
}
END_TEST

START_TEST(what_the_loop_did_not_see_comes_back_at_the_end)
{
	released_elsewhere(taken());
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), 1);
}
END_TEST

/* ---- indices that the port keeps ---- */

START_TEST(reserved_indices_are_told_one_by_one)
{
	struct pro_message_block *blocks[BLOCK_COUNT];
	size_t block_size;
	unsigned count;
	unsigned char *memory = pro__lent_pool_memory(stub.pool, &block_size, &count);
	uint64_t calls = stub.memory.calls;

	pro__lent_pool_reserve_all(stub.pool);
	for (unsigned i = BLOCK_COUNT; i-- > 0;) {
		blocks[i] = pro__lent_pool_lend(stub.pool, i);
		ck_assert_ptr_nonnull(blocks[i]);
		ck_assert_ptr_eq(blocks[i]->base, memory + i * block_size);
		ck_assert_uint_eq(blocks[i]->wr, 0);
	}
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), BLOCK_COUNT);
	ck_assert_uint_eq(stub.memory.calls, calls);
	pro_message_block_release(blocks[2]);
	ck_assert_uint_eq(stub.returns, 1);
	ck_assert_uint_eq(stub.indices[0], 2);
	released_elsewhere(blocks[3]);
	released_elsewhere(blocks[0]);
	ck_assert_uint_eq(stub.returns, 1);
	stub_run_loop();
	ck_assert_uint_eq(stub.returns, 3);
	ck_assert_uint_eq(stub.indices[1], 3);
	ck_assert_uint_eq(stub.indices[2], 0);
	blocks[2] = pro__lent_pool_lend(stub.pool, 2);
	pro_message_block_release(blocks[1]);
	pro_message_block_release(blocks[2]);
	ck_assert_uint_eq(stub.returns, 5);
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), 0);
}
END_TEST

START_TEST(a_pool_reserved_before_its_first_use_lends)
{
	struct pro_message_block *block;

	pro__lent_pool_reserve_all(stub.pool);
	stub.memory.fails_always = true;
	ck_assert_ptr_null(pro__lent_pool_lend(stub.pool, 0));
	stub.memory.fails_always = false;
	block = pro__lent_pool_lend(stub.pool, 0);
	ck_assert_ptr_nonnull(block);
	pro_message_block_release(block);
	ck_assert_uint_eq(stub.returns, 1);
}
END_TEST

/* ---- misuse and storms ---- */

START_TEST(a_forked_child_returns_nothing)
{
	static struct pro_lent_pool *left;
	struct pro_message_block *first = taken();
	struct pro_message_block *second = taken();

	left = stub.pool;
	stub.is_forked = true;
	pro_message_block_release(first);
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), 2);
	pro__lent_pool_destroy(left, true);
	ck_assert_uint_eq(stub.logged, 0);
	/* The bytes stay, and so does their memory: the next pool has its own. */
	pro_message_block_release(second);
	set_up();
}
END_TEST

START_TEST(a_block_that_outlives_the_pool_is_caught)
{
	int status;
	pid_t child;

	/* Debug builds assert; others log, and the late release does no harm. */
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		struct pro_message_block *block = taken();

		pro__lent_pool_destroy(stub.pool, stub.is_forked);
		if (stub.logged != 1)
			_exit(1);
		memset(block->base, 1, BLOCK_SIZE);
		pro_message_block_release(block);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
			  (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT));
}
END_TEST

#define STORM_THREADS 3
#define STORM_BLOCKS  30000u

/* One block at a time is handed from the loop to each thread. */
struct storm {
	pthread_t thread;
	_Atomic(struct pro_message_block *) handed;
	atomic_bool is_over;
};

static void *storm_run(void *argument)
{
	struct storm *storm = argument;

	while (!atomic_load(&storm->is_over) || atomic_load(&storm->handed)) {
		struct pro_message_block *block = atomic_exchange(&storm->handed, NULL);

		if (!block) {
			sched_yield();
			continue;
		}
		block->base[0]++;
		pro_message_block_release(block);
	}
	return NULL;
}

START_TEST(no_block_is_lost_among_threads)
{
	struct storm storms[STORM_THREADS];
	unsigned handed = 0;

	for (unsigned i = 0; i < STORM_THREADS; i++) {
		atomic_init(&storms[i].handed, NULL);
		atomic_init(&storms[i].is_over, false);
		ck_assert_int_eq(pthread_create(&storms[i].thread, NULL, storm_run, &storms[i]), 0);
	}
	while (handed < STORM_BLOCKS) {
		for (unsigned i = 0; i < STORM_THREADS; i++) {
			struct pro_message_block *block;

			if (atomic_load(&storms[i].handed))
				continue;
			block = pro__lent_pool_take(stub.pool);
			if (!block)
				sched_yield();
			else
				atomic_store(&storms[i].handed, block);
			handed += block != NULL;
		}
		stub_run_loop();
	}
	for (unsigned i = 0; i < STORM_THREADS; i++) {
		atomic_store(&storms[i].is_over, true);
		ck_assert_int_eq(pthread_join(storms[i].thread, NULL), 0);
	}
	stub_run_loop();
	ck_assert_uint_eq(pro__lent_pool_used(stub.pool), 0);
	ck_assert_uint_eq(stub.memory.calls, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lent_pool");
	TCase *tcase = tcase_create("lent_pool");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, nothing_is_allocated_before_the_first_use);
	tcase_add_test(tcase, blocks_lie_side_by_side_on_pages);
	tcase_add_test(tcase, the_block_used_last_goes_out_first);
	tcase_add_test(tcase, a_block_goes_out_clean);
	tcase_add_test(tcase, lending_allocates_nothing);
	tcase_add_test(tcase, without_memory_nothing_is_lent_until_there_is_some);
	tcase_add_test(tcase, sizes_that_cannot_be_are_refused);
	tcase_add_test(tcase, odd_sizes_work);
	tcase_add_test(tcase, a_pool_that_was_not_used_is_destroyed);
	tcase_add_test(tcase, a_block_comes_back_with_its_last_sharer);
	tcase_add_test(tcase, a_chain_of_lent_blocks_comes_back);
	tcase_add_test(tcase, nobody_is_told_unless_somebody_waits);
	tcase_add_test(tcase, who_waits_is_told_once);
	tcase_add_test(tcase, a_block_given_back_helps_who_waits);
	tcase_add_test(tcase, other_threads_return_by_way_of_the_loop);
	tcase_add_test(tcase, a_take_finds_what_other_threads_returned);
	tcase_add_test(tcase, the_last_sharer_may_be_another_thread);
	tcase_add_test(tcase, what_the_loop_did_not_see_comes_back_at_the_end);
	tcase_add_test(tcase, reserved_indices_are_told_one_by_one);
	tcase_add_test(tcase, a_pool_reserved_before_its_first_use_lends);
	tcase_add_test(tcase, a_forked_child_returns_nothing);
	tcase_add_test(tcase, a_block_that_outlives_the_pool_is_caught);
	tcase_add_test(tcase, no_block_is_lost_among_threads);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
