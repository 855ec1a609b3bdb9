/* Threads by pthreads. */
#include "thread.h"

#include <sched.h>

#include <assert.h>
#include <signal.h>
#include <stdio.h>

#include <proactor/error.h>

#define THREAD_NAME_BYTES 16

int pro__mutex_init(struct pro__mutex *mutex)
{
	return pthread_mutex_init(&mutex->native, NULL) ? PRO_ENOMEM : 0;
}

void pro__mutex_fini(struct pro__mutex *mutex)
{
	pthread_mutex_destroy(&mutex->native);
}

void pro__mutex_lock(struct pro__mutex *mutex)
{
	int error = pthread_mutex_lock(&mutex->native);

	assert(error == 0);
	(void)error;
}

void pro__mutex_unlock(struct pro__mutex *mutex)
{
	pthread_mutex_unlock(&mutex->native);
}

int pro__condition_init(struct pro__condition *condition)
{
	return pthread_cond_init(&condition->native, NULL) ? PRO_ENOMEM : 0;
}

void pro__condition_fini(struct pro__condition *condition)
{
	pthread_cond_destroy(&condition->native);
}

void pro__condition_wait(struct pro__condition *condition, struct pro__mutex *mutex)
{
	pthread_cond_wait(&condition->native, &mutex->native);
}

void pro__condition_signal(struct pro__condition *condition)
{
	pthread_cond_signal(&condition->native);
}

void pro__condition_broadcast(struct pro__condition *condition)
{
	pthread_cond_broadcast(&condition->native);
}

static void *thread_main(void *context)
{
	const struct pro__thread *thread = context;
	char name[THREAD_NAME_BYTES];

	snprintf(name, sizeof(name), "%s", thread->name);
	pthread_setname_np(pthread_self(), name);
	thread->run(thread->argument);
	return NULL;
}

int pro__thread_create(
		struct pro__thread *thread, const char *name, void (*run)(void *argument), void *argument)
{
	sigset_t every_signal;
	sigset_t old_mask;

	*thread = (struct pro__thread){.name = name, .run = run, .argument = argument};
	/* A thread inherits the mask of its creator. */
	sigfillset(&every_signal);
	pthread_sigmask(SIG_SETMASK, &every_signal, &old_mask);
	int error = pthread_create(&thread->native, NULL, thread_main, thread);
	pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
	return error ? PRO_ENOMEM : 0;
}

void pro__thread_join(struct pro__thread *thread)
{
	pthread_join(thread->native, NULL);
}

unsigned pro__processor_count(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return CPU_COUNT(&set) > 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

void pro__thread_pin(unsigned number)
{
	cpu_set_t all;
	cpu_set_t one;
	int left;

	if (sched_getaffinity(0, sizeof(all), &all) || CPU_COUNT(&all) == 0)
		return;
	left = (int)(number % (unsigned)CPU_COUNT(&all));
	for (size_t i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &all) || left-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}
