/* Blocks that reads borrow.
 *
 * One allocation holds the bytes of all blocks, page-aligned, and behind them one structure for
 * each block, so that lending allocates nothing. The loop's thread owns the pool: free blocks are a
 * stack (the block used last is the one still in the cache), and those that never were out are not
 * even touched. Other threads push what they release on `returned`; the first to push on an empty
 * one sends the loop after it. */
#include "lent_pool.h"

#include <assert.h>

#include "data_block.h"

#define PAGE_SIZE ((size_t)4096)

struct lent_block {
	struct pro_message_block block;
	struct pro_data_block data;
	struct lent_block *next; /* in the stack of the free or of the returned */
	struct pro_lent_pool *pool;
};

struct pro_lent_pool {
	struct pro_proactor *proactor;
	size_t block_size;
	unsigned count;
	size_t blocks_at; /* offset of `blocks` from `memory` */

	/* The loop's thread. */
	void *allocation;
	unsigned char *memory;
	struct lent_block *blocks;
	struct lent_block *free;
	unsigned fresh; /* blocks from this index on were never out */
	bool is_starving;
	bool is_reserved;

	/* Any thread. */
	_Atomic(unsigned) used; /* written by the loop's thread */
	_Atomic(struct lent_block *) returned;
	struct pro_inbox_node inbox;
};

static void pool_run(struct pro_inbox_node *node, uint32_t requests, uint32_t holds);

struct pro_lent_pool *pro__lent_pool_create(
		struct pro_proactor *proactor, size_t block_size, unsigned count)
{
	const size_t alignment = _Alignof(struct lent_block);
	const size_t most = SIZE_MAX / 2 - PAGE_SIZE - alignment;
	struct pro_lent_pool *pool;

	if (block_size == 0 || block_size > most || count == 0 ||
			count > most / (block_size + sizeof(struct lent_block)))
		return NULL;
	pool = pro__allocate(proactor, sizeof(*pool));
	if (!pool)
		return NULL;
	*pool = (struct pro_lent_pool){.proactor = proactor,
			.block_size = block_size,
			.count = count,
			.blocks_at = (block_size * count + alignment - 1) / alignment * alignment,
			.inbox.run = pool_run};
	return pool;
}

static bool pool_allocate(struct pro_lent_pool *pool)
{
	uintptr_t begin;

	if (pool->allocation)
		return true;
	pool->allocation = pro__allocate(
			pool->proactor, PAGE_SIZE + pool->blocks_at + sizeof(struct lent_block) * pool->count);
	if (!pool->allocation)
		return false;
	begin = (uintptr_t)pool->allocation;
	pool->memory = (unsigned char *)pool->allocation + (PAGE_SIZE - begin % PAGE_SIZE) % PAGE_SIZE;
	pool->blocks = (struct lent_block *)(void *)(pool->memory + pool->blocks_at);
	return true;
}

static unsigned pool_index(const struct pro_lent_pool *pool, const struct lent_block *lent)
{
	return (unsigned)(lent - pool->blocks);
}

static void pool_count(struct pro_lent_pool *pool, int difference)
{
	unsigned used = atomic_load_explicit(&pool->used, memory_order_relaxed);

	atomic_store_explicit(&pool->used, used + (unsigned)difference, memory_order_relaxed);
}

unsigned pro__lent_pool_used(const struct pro_lent_pool *pool)
{
	return atomic_load_explicit(&pool->used, memory_order_relaxed);
}

/* ---- coming back ---- */

/* A block is free again, and who waits for it is told. [loop thread] */
static void pool_take_back(struct pro_lent_pool *pool, struct lent_block *lent)
{
	pool_count(pool, -1);
	if (!pool->is_reserved) {
		lent->next = pool->free;
		pool->free = lent;
		if (!pool->is_starving)
			return;
	}
	pool->is_starving = false;
	pro__port_vtbl(pool->proactor)
			->lent_returned(pro__port(pool->proactor), pool_index(pool, lent));
}

/* Takes back what other threads returned, the first first. [loop thread] */
static void pool_drain(struct pro_lent_pool *pool)
{
	/* Pairs with the release in lent_block_recycle. */
	struct lent_block *newest =
			atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
	struct lent_block *oldest = NULL;

	while (newest) {
		struct lent_block *lent = newest;

		newest = lent->next;
		lent->next = oldest;
		oldest = lent;
	}
	while (oldest) {
		struct lent_block *lent = oldest;

		oldest = lent->next;
		pool_take_back(pool, lent);
	}
}

static void pool_run(struct pro_inbox_node *node, uint32_t requests, uint32_t holds)
{
	(void)requests;
	(void)holds;
	pool_drain(pro_container_of(node, struct pro_lent_pool, inbox));
}

/* The last block that shares the bytes of a lent one was released. [any thread] */
static void lent_block_recycle(struct pro_data_block *data)
{
	struct lent_block *lent = pro_container_of(data, struct lent_block, data);
	struct pro_lent_pool *pool = lent->pool;
	struct lent_block *newest;

	/* A forked child has nobody to return it to. */
	if (!pool->proactor || pro__is_forked(pool->proactor))
		return;
	if (pro__on_loop(pool->proactor)) {
		pool_take_back(pool, lent);
		return;
	}
	newest = atomic_load_explicit(&pool->returned, memory_order_relaxed);
	do
		lent->next = newest;
	while (!atomic_compare_exchange_weak_explicit(
			&pool->returned, &newest, lent, memory_order_release, memory_order_relaxed));
	if (!newest)
		pro__inbox_request(pool->proactor, &pool->inbox, 1);
}

/* Somebody still has `used` blocks: they stay readable, and their releases do nothing. In a forked
 * child that is as it must be. */
static void pool_abandon(const struct pro_lent_pool *pool, unsigned used)
{
	pro_proactor_log(pool->proactor, PRO_LOG_ERROR,
			"%u borrowed blocks outlive their proactor: their memory stays allocated", used);
	assert(used == 0);
}

void pro__lent_pool_destroy(struct pro_lent_pool *pool, bool is_forked)
{
	unsigned used;

	if (!pool)
		return;
	/* The port is gone: nobody waits. */
	pool->is_starving = false;
	pool->is_reserved = false;
	pool_drain(pool);
	used = pro__lent_pool_used(pool);
	if (used > 0 && !is_forked)
		pool_abandon(pool, used);
	if (used > 0) {
		pool->proactor = NULL;
		return;
	}
	pro__deallocate(pool->proactor, pool->allocation);
	pro__deallocate(pool->proactor, pool);
}

/* ---- going out ---- */

static struct pro_message_block *pool_lend(struct pro_lent_pool *pool, struct lent_block *lent)
{
	size_t index = pool_index(pool, lent);

	lent->pool = pool;
	pro__data_block_init(&lent->data, pro_proactor_allocator(pool->proactor), lent_block_recycle);
	pro__message_block_bind(
			&lent->block, &lent->data, pool->memory + index * pool->block_size, pool->block_size);
	pool_count(pool, 1);
	return &lent->block;
}

struct pro_message_block *pro__lent_pool_take(struct pro_lent_pool *pool)
{
	struct lent_block *lent;

	assert(!pool->is_reserved);
	if (!pool_allocate(pool))
		return NULL;
	if (!pool->free && pool->fresh == pool->count)
		pool_drain(pool);
	lent = pool->free;
	if (lent)
		pool->free = lent->next;
	else if (pool->fresh < pool->count)
		lent = &pool->blocks[pool->fresh++];
	else
		return NULL;
	return pool_lend(pool, lent);
}

void pro__lent_pool_give_back(struct pro_lent_pool *pool, struct pro_message_block *block)
{
	(void)pool;
	assert(pro_message_block_reference_count(block) == 1);
	pro_message_block_release(block);
}

void pro__lent_pool_starve(struct pro_lent_pool *pool)
{
	assert(!pool->is_reserved);
	pool->is_starving = true;
}

unsigned char *pro__lent_pool_memory(
		struct pro_lent_pool *pool, size_t *block_size, unsigned *count)
{
	if (!pool_allocate(pool))
		return NULL;
	*block_size = pool->block_size;
	*count = pool->count;
	return pool->memory;
}

void pro__lent_pool_reserve_all(struct pro_lent_pool *pool)
{
	assert(pro__lent_pool_used(pool) == 0);
	pool->is_reserved = true;
	pool->fresh = pool->count;
	pool->free = NULL;
}

struct pro_message_block *pro__lent_pool_lend(struct pro_lent_pool *pool, unsigned index)
{
	assert(pool->is_reserved && index < pool->count);
	if (!pool_allocate(pool))
		return NULL;
	return pool_lend(pool, &pool->blocks[index]);
}
