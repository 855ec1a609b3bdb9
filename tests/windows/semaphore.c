/* Semaphores of POSIX on those of the system. */
#include "include/semaphore.h"

#include <errno.h>
#include <limits.h>
#include <windows.h>

int sem_init(sem_t *semaphore, int is_shared, unsigned value)
{
	(void)is_shared;
	*semaphore = CreateSemaphoreW(NULL, (LONG)value, LONG_MAX, NULL);
	return *semaphore ? 0 : -1;
}

int sem_post(sem_t *semaphore)
{
	return ReleaseSemaphore(*semaphore, 1, NULL) ? 0 : -1;
}

int sem_wait(sem_t *semaphore)
{
	return WaitForSingleObject(*semaphore, INFINITE) == WAIT_OBJECT_0 ? 0 : -1;
}

int sem_timedwait(sem_t *semaphore, const struct timespec *end)
{
	struct timespec now;
	long long left_ms;

	clock_gettime(CLOCK_REALTIME, &now);
	left_ms = (long long)(end->tv_sec - now.tv_sec) * 1000 + (end->tv_nsec - now.tv_nsec) / 1000000;
	if (left_ms < 0)
		left_ms = 0;
	if (WaitForSingleObject(*semaphore, (DWORD)left_ms) == WAIT_OBJECT_0)
		return 0;
	errno = ETIMEDOUT;
	return -1;
}
