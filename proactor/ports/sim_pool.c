/* Memory of a simulated world, and pools of slots that never move. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define POOL_CHUNK 256u

/* A world is a tool of tests: without memory there is nothing sensible left for it to do. */
static void *sim_must(void *memory)
{
	if (!memory)
		abort(); /* Not covered: it ends the program. */
	return memory;
}

void *pro__sim_allocate(size_t size)
{
	const struct pro_allocator *allocator = &pro__default_allocator;

	return memset(sim_must(allocator->allocate(allocator->context, size)), 0, size);
}

void *pro__sim_reallocate(void *memory, size_t size)
{
	const struct pro_allocator *allocator = &pro__default_allocator;

	return sim_must(allocator->reallocate(allocator->context, memory, size));
}

void pro__sim_free(void *memory)
{
	const struct pro_allocator *allocator = &pro__default_allocator;

	allocator->deallocate(allocator->context, memory);
}

void pro__sim_pool_init(struct sim_pool *pool, size_t slot_size)
{
	*pool = (struct sim_pool){.slot_size = slot_size};
}

static uint32_t pool_chunks(const struct sim_pool *pool)
{
	return (pool->made + POOL_CHUNK - 1) / POOL_CHUNK;
}

void pro__sim_pool_fini(struct sim_pool *pool)
{
	for (uint32_t i = 0; i < pool_chunks(pool); i++)
		pro__sim_free(pool->chunks[i]);
	pro__sim_free(pool->chunks);
}

static struct sim_slot *pool_slot(const struct sim_pool *pool, uint32_t index)
{
	return (struct sim_slot *)(void *)(pool->chunks[index / POOL_CHUNK] +
									   index % POOL_CHUNK * pool->slot_size);
}

static struct sim_slot *pool_make(struct sim_pool *pool)
{
	const uint32_t chunks = pool_chunks(pool);
	struct sim_slot *slot;

	if (pool->made == chunks * POOL_CHUNK) {
		pool->chunks = pro__sim_reallocate(pool->chunks, (chunks + 1) * sizeof(*pool->chunks));
		pool->chunks[chunks] = pro__sim_allocate(POOL_CHUNK * pool->slot_size);
	}
	slot = pool_slot(pool, pool->made);
	slot->index = pool->made++;
	return slot;
}

void *pro__sim_pool_take(struct sim_pool *pool)
{
	struct sim_slot *slot = pool->free;

	if (slot)
		pool->free = slot->next_free;
	else
		slot = pool_make(pool);
	slot->is_used = true;
	pool->used++;
	return slot;
}

void pro__sim_pool_give(struct sim_pool *pool, void *given)
{
	struct sim_slot *slot = given;
	const struct sim_slot kept = {
			.generation = slot->generation + 1, .index = slot->index, .next_free = pool->free};

	memset(given, 0, pool->slot_size);
	*slot = kept;
	pool->free = slot;
	pool->used--;
}

void *pro__sim_pool_at(const struct sim_pool *pool, uint32_t index)
{
	struct sim_slot *slot = pool_slot(pool, index);

	return slot->is_used ? slot : NULL;
}
