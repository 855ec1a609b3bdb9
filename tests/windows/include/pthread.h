/* As much of pthreads as the tests use, on the system's own threads: winpthreads keeps handles of
 * threads that are gone, which would look like leaks of the library. */
#ifndef TESTS_WINDOWS_PTHREAD_H
#define TESTS_WINDOWS_PTHREAD_H

/* Check brings the real ones along. */
#define pthread_create shim_pthread_create
#define pthread_join   shim_pthread_join

/* Without windows.h, which defines words such as `near`. */
typedef struct pthread_shim *pthread_t;

int pthread_create(
		pthread_t *thread, const void *attributes, void *(*run)(void *argument), void *argument);
int pthread_join(pthread_t thread, void **result);

#endif
