/* A group: several proactors, each with one thread that runs it, usually one for each processor. A
 * handler lives on one of them, so that it needs no lock and its data stays in one processor's
 * caches. ACE has no such class. */
#ifndef PROACTOR_PROACTOR_GROUP_H
#define PROACTOR_PROACTOR_GROUP_H

#include <proactor/proactor.h>

PRO_BEGIN_DECLS

struct pro_proactor_group;

/* Fill with pro_proactor_group_options_init, then change what you want. */
struct pro_proactor_group_options {
	size_t size;    /* sizeof(struct pro_proactor_group_options) */
	unsigned count; /* of proactors, up to 1024; 0, the default: one for each processor */
	bool pins;      /* each thread stays on one processor; false by default */
	struct pro_proactor_options proactor; /* of each; concurrency 1 and not shared */
};

/* The defaults. [any thread] Since 0.1. */
PRO_API void pro_proactor_group_options_init(struct pro_proactor_group_options *options);

/* A new group in `*group`, which the caller destroys; no thread runs yet. `options` NULL means the
 * defaults; `why` as in pro_proactor_create. PRO_EINVAL, PRO_ENOMEM, or what refused a proactor.
 * [any thread] Since 0.1. */
PRO_API int pro_proactor_group_create(struct pro_proactor_group **group,
		const struct pro_proactor_group_options *options, char *why, size_t why_size);

/* Starts the threads, which run until the stop, with every signal blocked. PRO_EBUSY when they were
 * started already; PRO_ENOMEM: not all threads could be had, and those that could have been stopped
 * again: the group can only be destroyed then. [one thread at a time] Since 0.1. */
PRO_API int pro_proactor_group_start(struct pro_proactor_group *group);

/* Shuts all proactors down, as pro_proactor_shutdown does, and waits until their threads have
 * drained them and ended. Again: nothing. Not from a callback of the group. [one thread at a time]
 * Since 0.1. */
PRO_API void pro_proactor_group_stop(struct pro_proactor_group *group);

/* Stops the group, destroys its proactors and frees it. Accepts NULL. PRO_EBUSY and PRO_ETHREAD as
 * pro_proactor_destroy: it can be tried again. [one thread at a time] Since 0.1. */
PRO_API int pro_proactor_group_destroy(struct pro_proactor_group *group);

/* How many there are, and each of them; NULL beyond the last. [any thread] Since 0.1. */
PRO_API unsigned pro_proactor_group_count(const struct pro_proactor_group *group);
PRO_API struct pro_proactor *pro_proactor_group_proactor(
		const struct pro_proactor_group *group, unsigned index);

/* Each in its turn. [any thread] Since 0.1. */
PRO_API struct pro_proactor *pro_proactor_group_next(struct pro_proactor_group *group);

/* Calls visit(context, proactor) for each on the calling thread, until it returns something other
 * than 0, which is returned. [any thread] Since 0.1. */
PRO_API int pro_proactor_group_for_each(struct pro_proactor_group *group,
		int (*visit)(void *context, struct pro_proactor *proactor), void *context);

PRO_END_DECLS

#endif
