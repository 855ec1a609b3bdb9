/* Some threads that do the same thing, and are joined. */
#include "crew.h"

#include <check.h>
#include <stdatomic.h>
#include <string.h>

static void *crew_main(void *argument)
{
	struct crew *crew = argument;

	crew->work(crew->context, atomic_fetch_add(&crew->next, 1));
	atomic_fetch_add(&crew->finished, 1);
	return NULL;
}

void crew_start(struct crew *crew, unsigned count, void (*work)(void *context, unsigned number),
		void *context)
{
	ck_assert_uint_le(count, CREW_MAX);
	memset(crew, 0, sizeof(*crew));
	crew->work = work;
	crew->context = context;
	crew->count = count;
	for (unsigned i = 0; i < count; i++)
		ck_assert_int_eq(pthread_create(&crew->threads[i], NULL, crew_main, crew), 0);
}

void crew_join(struct crew *crew)
{
	for (unsigned i = 0; i < crew->count; i++)
		ck_assert_int_eq(pthread_join(crew->threads[i], NULL), 0);
}
