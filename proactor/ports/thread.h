/* Private: threads, locks and conditions of the system, as little of them as the library needs.
 * Nothing here allocates but the system itself; locking can not fail. */
#ifndef PROACTOR_PORTS_THREAD_H
#define PROACTOR_PORTS_THREAD_H

#include <stdint.h>

#if defined(_WIN32)
/* What the system has is a pointer in each case: an SRWLOCK, a CONDITION_VARIABLE, a HANDLE. */
typedef void *pro__native_mutex;
typedef void *pro__native_condition;
typedef void *pro__native_thread;
#else
#include <pthread.h>
typedef pthread_mutex_t pro__native_mutex;
typedef pthread_cond_t pro__native_condition;
typedef pthread_t pro__native_thread;
#endif

struct pro__mutex {
	pro__native_mutex native;
};

struct pro__condition {
	pro__native_condition native;
};

/* Stays where it is until the join. */
struct pro__thread {
	pro__native_thread native;
	const char *name;
	void (*run)(void *argument);
	void *argument;
};

int pro__mutex_init(struct pro__mutex *mutex); /* 0 or PRO_ENOMEM */
void pro__mutex_fini(struct pro__mutex *mutex);
void pro__mutex_lock(struct pro__mutex *mutex);
void pro__mutex_unlock(struct pro__mutex *mutex);

int pro__condition_init(struct pro__condition *condition); /* 0 or PRO_ENOMEM */
void pro__condition_fini(struct pro__condition *condition);
/* Returns with the mutex held, perhaps without cause. */
void pro__condition_wait(struct pro__condition *condition, struct pro__mutex *mutex);
void pro__condition_signal(struct pro__condition *condition);
void pro__condition_broadcast(struct pro__condition *condition);

/* Starts a thread called `name` (a constant; the system keeps 15 bytes of it) that runs
 * `run(argument)` with every signal blocked, so that the program's handlers run on the program's
 * threads. PRO_ENOMEM when the system has no thread to give. */
int pro__thread_create(
		struct pro__thread *thread, const char *name, void (*run)(void *argument), void *argument);
void pro__thread_join(struct pro__thread *thread);

/* How many processors this process may use; at least 1. */
unsigned pro__processor_count(void);

/* Keeps the calling thread on one of them: `number` counts round and round. Where that is refused
 * it goes on as before. */
void pro__thread_pin(unsigned number);

#endif
