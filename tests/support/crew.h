/* Some threads that do the same thing, and are joined. */
#ifndef TESTS_SUPPORT_CREW_H
#define TESTS_SUPPORT_CREW_H

#include <pthread.h>

#include <proactor/base.h>

#define CREW_MAX 16

struct crew {
	pthread_t threads[CREW_MAX];
	unsigned count;
	PRO_ATOMIC(unsigned) next;     /* number of the next thread to begin */
	PRO_ATOMIC(unsigned) finished; /* threads at their end */
	void (*work)(void *context, unsigned number);
	void *context;
};

/* Starts `count` threads in work(context, 0 … count - 1). */
void crew_start(struct crew *crew, unsigned count, void (*work)(void *context, unsigned number),
		void *context);
void crew_join(struct crew *crew);

#endif
