/* pthread_create and pthread_join on the system's own threads. */
#include "include/pthread.h"

#include <stdlib.h>
#include <windows.h>

struct pthread_shim {
	HANDLE thread;
	void *(*run)(void *argument);
	void *argument;
	void *result;
};

static DWORD WINAPI shim_run(void *context)
{
	struct pthread_shim *shim = context;

	shim->result = shim->run(shim->argument);
	return 0;
}

int pthread_create(
		pthread_t *thread, const void *attributes, void *(*run)(void *argument), void *argument)
{
	struct pthread_shim *shim = malloc(sizeof(*shim));

	(void)attributes;
	if (!shim)
		return ERROR_NOT_ENOUGH_MEMORY;
	*shim = (struct pthread_shim){.run = run, .argument = argument};
	shim->thread = CreateThread(NULL, 0, shim_run, shim, 0, NULL);
	*thread = shim;
	if (shim->thread)
		return 0;
	free(shim);
	return ERROR_NOT_ENOUGH_MEMORY;
}

int pthread_join(pthread_t thread, void **result)
{
	WaitForSingleObject(thread->thread, INFINITE);
	CloseHandle(thread->thread);
	if (result)
		*result = thread->result;
	free(thread);
	return 0;
}
