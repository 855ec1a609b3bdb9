/* Threads for what the system can do only by blocking: a first-in first-out queue of work and a
 * bounded number of threads, started when there is more work than idle threads. */
#include "worker_pool.h"

#include "ports/thread.h"
#include "proactor_private.h"

struct pro_worker_pool {
	struct pro_proactor *proactor;
	_Atomic(unsigned) thread_count; /* written by the loop's thread */
	unsigned threads_max;
	struct pro__mutex mutex;
	struct pro__condition work_or_stop;

	/* Under the mutex. */
	struct pro_work *head;
	struct pro_work **tail;
	unsigned queued_count;
	unsigned idle_count; /* threads that wait */
	bool is_stopping;

	struct pro__thread threads[];
};

static void pool_append(struct pro_worker_pool *pool, struct pro_work *work)
{
	work->next = NULL;
	*pool->tail = work;
	pool->tail = &work->next;
	pool->queued_count++;
}

/* Takes out the work that *link points at. */
static struct pro_work *pool_remove(struct pro_worker_pool *pool, struct pro_work **link)
{
	struct pro_work *work = *link;

	*link = work->next;
	if (pool->tail == &work->next)
		pool->tail = link;
	work->next = NULL;
	pool->queued_count--;
	return work;
}

/* The next work, waiting for it; NULL when the pool stops and the queue is empty. */
static struct pro_work *pool_next_work(struct pro_worker_pool *pool)
{
	struct pro_work *work = NULL;

	pro__mutex_lock(&pool->mutex);
	while (!pool->head && !pool->is_stopping) {
		pool->idle_count++;
		pro__condition_wait(&pool->work_or_stop, &pool->mutex);
		pool->idle_count--;
	}
	if (pool->head)
		work = pool_remove(pool, &pool->head);
	pro__mutex_unlock(&pool->mutex);
	return work;
}

static void pool_run_worker(void *argument)
{
	struct pro_worker_pool *pool = argument;

	for (;;) {
		struct pro_work *work = pool_next_work(pool);
		if (!work)
			return;
		work->run(work);
	}
}

static unsigned pool_thread_count(const struct pro_worker_pool *pool)
{
	return atomic_load_explicit(&pool->thread_count, memory_order_relaxed);
}

static int pool_start_thread(struct pro_worker_pool *pool)
{
	unsigned count = pool_thread_count(pool);
	int error = pro__thread_create(&pool->threads[count], "pro-worker", pool_run_worker, pool);

	if (!error)
		atomic_store_explicit(&pool->thread_count, count + 1, memory_order_relaxed);
	return error;
}

int pro__worker_pool_create(
		struct pro_proactor *proactor, unsigned threads_max, struct pro_worker_pool **result)
{
	struct pro_worker_pool *pool =
			pro__allocate(proactor, sizeof(*pool) + (size_t)threads_max * sizeof(pool->threads[0]));

	*result = NULL;
	if (!pool)
		return PRO_ENOMEM;
	*pool = (struct pro_worker_pool){.proactor = proactor, .threads_max = threads_max};
	pool->tail = &pool->head;
	if (pro__mutex_init(&pool->mutex))
		goto free_pool;
	if (pro__condition_init(&pool->work_or_stop))
		goto fini_mutex;
	*result = pool;
	return 0;

fini_mutex:
	pro__mutex_fini(&pool->mutex);
free_pool:
	pro__deallocate(proactor, pool);
	return PRO_ENOMEM;
}

static void pool_stop(struct pro_worker_pool *pool)
{
	unsigned count = pool_thread_count(pool);

	pro__mutex_lock(&pool->mutex);
	pool->is_stopping = true;
	pro__condition_broadcast(&pool->work_or_stop);
	pro__mutex_unlock(&pool->mutex);
	for (unsigned i = 0; i < count; i++)
		pro__thread_join(&pool->threads[i]);
	pro__condition_fini(&pool->work_or_stop);
	pro__mutex_fini(&pool->mutex);
}

void pro__worker_pool_destroy(struct pro_worker_pool *pool)
{
	if (!pool)
		return;
	/* A child has neither the threads nor a usable copy of the mutex that they may have held. */
	if (!pro__is_forked(pool->proactor))
		pool_stop(pool);
	pro__deallocate(pool->proactor, pool);
}

unsigned pro__worker_pool_threads(const struct pro_worker_pool *pool)
{
	return pool ? pool_thread_count(pool) : 0;
}

/* Queues the work; true when no idle thread is left for it. */
static bool pool_push(struct pro_worker_pool *pool, struct pro_work *work)
{
	pro__mutex_lock(&pool->mutex);
	pool_append(pool, work);
	bool is_short_of_threads = pool->queued_count > pool->idle_count;
	if (pool->idle_count)
		pro__condition_signal(&pool->work_or_stop);
	pro__mutex_unlock(&pool->mutex);
	return is_short_of_threads;
}

int pro__worker_pool_submit(struct pro_worker_pool *pool, struct pro_work *work)
{
	if (!pool_push(pool, work) || pool_thread_count(pool) == pool->threads_max)
		return 0;
	/* Without a new thread the others will come to it. */
	if (pool_start_thread(pool) && pool_thread_count(pool) == 0) {
		pro__worker_pool_take_back(pool, work);
		return PRO_ENOMEM;
	}
	return 0;
}

bool pro__worker_pool_take_back(struct pro_worker_pool *pool, struct pro_work *work)
{
	bool is_found = false;

	pro__mutex_lock(&pool->mutex);
	for (struct pro_work **link = &pool->head; *link; link = &(*link)->next) {
		if (*link == work) {
			pool_remove(pool, link);
			is_found = true;
			break;
		}
	}
	pro__mutex_unlock(&pool->mutex);
	return is_found;
}
