/* Private: how the engine makes and ends the pool of blocks that reads borrow; engine.h says what
 * ports do with it. */
#ifndef PROACTOR_LENT_POOL_H
#define PROACTOR_LENT_POOL_H

#include "engine.h"

/* A pool of `count` blocks of `block_size` bytes each; NULL when there is no memory or it would
 * overflow. The blocks' memory is allocated when the first is borrowed. [set-up] */
struct pro_lent_pool *pro__lent_pool_create(
		struct pro_proactor *proactor, size_t block_size, unsigned count);

/* Frees the pool, after the port. Every block must have been released before, and that release seen
 * by this thread; otherwise it asserts in debug builds, and logs and leaks the memory in others. In
 * a forked child, which can not release what its parent holds, it only leaks it. Accepts NULL.
 * [set-up] */
void pro__lent_pool_destroy(struct pro_lent_pool *pool, bool is_forked);

/* How many blocks are out now. [any thread] */
unsigned pro__lent_pool_used(const struct pro_lent_pool *pool);

#endif
