/* As much of POSIX semaphores as the tests use, on the system's own: a wait of winpthreads with a
 * time limit may end at once. */
#ifndef TESTS_WINDOWS_SEMAPHORE_H
#define TESTS_WINDOWS_SEMAPHORE_H

#include <time.h>

/* Check brings the real ones along. */
#define sem_t         shim_sem_t
#define sem_init      shim_sem_init
#define sem_post      shim_sem_post
#define sem_wait      shim_sem_wait
#define sem_timedwait shim_sem_timedwait

/* Without windows.h, which defines words such as `near`. */
typedef void *sem_t;

/* The system takes a semaphore back when the program ends. */
int sem_init(sem_t *semaphore, int is_shared, unsigned value);
int sem_post(sem_t *semaphore);
int sem_wait(sem_t *semaphore);
/* Until `end` of CLOCK_REALTIME; then -1, and ETIMEDOUT in errno. */
int sem_timedwait(sem_t *semaphore, const struct timespec *end);

#endif
