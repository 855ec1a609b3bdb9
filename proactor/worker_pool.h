/* Private: the life of the pool of threads for what can only block; its use is in engine.h. */
#ifndef PROACTOR_WORKER_POOL_H
#define PROACTOR_WORKER_POOL_H

#include "engine.h"

/* A pool of at most `threads_max` threads in *pool; none runs yet. 0 or PRO_ENOMEM. [any thread] */
int pro__worker_pool_create(
		struct pro_proactor *proactor, unsigned threads_max, struct pro_worker_pool **pool);
/* Runs what is queued, joins the threads, frees the pool. Accepts NULL. In a forked child, which
 * has none of the threads, it only frees. */
void pro__worker_pool_destroy(struct pro_worker_pool *pool);
/* How many threads run now. Accepts NULL. [any thread] */
unsigned pro__worker_pool_threads(const struct pro_worker_pool *pool);

#endif
