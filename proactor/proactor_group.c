/* Groups: one proactor and one thread each. */
#include <proactor/proactor_group.h>

#include "ports/thread.h"
#include "proactor_private.h"

#include <stdio.h>
#include <string.h>

#define GROUP_MAX 1024u

struct member {
	struct pro_proactor *proactor;
	struct pro__thread thread;
	unsigned index;
	bool is_pinned;
};

struct pro_proactor_group {
	struct pro_allocator allocator;
	unsigned count;
	unsigned running; /* threads to be joined */
	bool was_started;
	_Atomic(unsigned) next;
	struct member members[];
};

void pro_proactor_group_options_init(struct pro_proactor_group_options *options)
{
	memset(options, 0, sizeof(*options));
	options->size = sizeof(*options);
	pro_proactor_options_init(&options->proactor);
}

static const char *options_fault(const struct pro_proactor_group_options *options)
{
	if (options->size != sizeof(*options))
		return "options.size is not sizeof(struct pro_proactor_group_options): call "
			   "pro_proactor_group_options_init";
	if (options->count > GROUP_MAX)
		return "options.count must be 0 to 1024";
	if (options->proactor.concurrency != 1 || options->proactor.is_shared)
		return "each proactor of a group has one thread";
	return NULL;
}

static struct pro_proactor_group *group_allocate(const struct pro_proactor_group_options *options)
{
	const struct pro_allocator *allocator =
			options->proactor.allocator ? options->proactor.allocator : &pro__default_allocator;
	unsigned count = options->count ? options->count : pro__processor_count();
	struct pro_proactor_group *group = allocator->allocate(
			allocator->context, sizeof(*group) + count * sizeof(group->members[0]));

	if (!group)
		return NULL;
	memset(group, 0, sizeof(*group) + count * sizeof(group->members[0]));
	group->allocator = *allocator;
	group->count = count;
	return group;
}

int pro_proactor_group_create(struct pro_proactor_group **result,
		const struct pro_proactor_group_options *options, char *why, size_t why_size)
{
	struct pro_proactor_group_options defaults;
	struct pro_proactor_group *group;
	const char *fault;

	if (!result)
		return PRO_EINVAL;
	*result = NULL;
	if (!options) {
		pro_proactor_group_options_init(&defaults);
		options = &defaults;
	}
	fault = options_fault(options);
	group = fault ? NULL : group_allocate(options);
	if (!group) {
		if (why)
			snprintf(why, why_size, "%s", fault ? fault : "out of memory");
		return fault ? PRO_EINVAL : PRO_ENOMEM;
	}
	for (unsigned i = 0; i < group->count; i++) {
		struct member *member = &group->members[i];
		int error = pro_proactor_create(&member->proactor, &options->proactor, why, why_size);

		if (error) {
			pro_proactor_group_destroy(group);
			return error;
		}
		member->index = i;
		member->is_pinned = options->pins;
	}
	*result = group;
	return 0;
}

static void member_run(void *argument)
{
	struct member *member = argument;

	/* Where that is forbidden, it runs as well anywhere. */
	if (member->is_pinned)
		pro__thread_pin(member->index);
	pro_proactor_run_event_loop(member->proactor);
}

int pro_proactor_group_start(struct pro_proactor_group *group)
{
	if (!group)
		return PRO_EINVAL;
	if (group->was_started)
		return PRO_EBUSY;
	group->was_started = true;
	for (; group->running < group->count; group->running++) {
		struct member *member = &group->members[group->running];
		int error = pro__thread_create(&member->thread, "pro-loop", member_run, member);

		if (error) {
			pro_proactor_group_stop(group);
			return error;
		}
	}
	return 0;
}

void pro_proactor_group_stop(struct pro_proactor_group *group)
{
	if (!group || group->running == 0)
		return;
	/* A forked child has none of the threads. */
	if (pro__is_forked(group->members[0].proactor)) {
		group->running = 0;
		return;
	}
	for (unsigned i = 0; i < group->count; i++)
		pro_proactor_shutdown(group->members[i].proactor);
	for (; group->running > 0; group->running--)
		pro__thread_join(&group->members[group->running - 1].thread);
}

int pro_proactor_group_destroy(struct pro_proactor_group *group)
{
	struct pro_allocator allocator;

	if (!group)
		return 0;
	pro_proactor_group_stop(group);
	for (unsigned i = 0; i < group->count; i++) {
		int error = pro_proactor_destroy(group->members[i].proactor);

		if (error)
			return error;
		group->members[i].proactor = NULL;
	}
	allocator = group->allocator;
	allocator.deallocate(allocator.context, group);
	return 0;
}

unsigned pro_proactor_group_count(const struct pro_proactor_group *group)
{
	return group->count;
}

struct pro_proactor *pro_proactor_group_proactor(
		const struct pro_proactor_group *group, unsigned index)
{
	return index < group->count ? group->members[index].proactor : NULL;
}

struct pro_proactor *pro_proactor_group_next(struct pro_proactor_group *group)
{
	unsigned turn = atomic_fetch_add_explicit(&group->next, 1, memory_order_relaxed);

	return group->members[turn % group->count].proactor;
}

int pro_proactor_group_for_each(struct pro_proactor_group *group,
		int (*visit)(void *context, struct pro_proactor *proactor), void *context)
{
	for (unsigned i = 0; i < group->count; i++) {
		int result = visit(context, group->members[i].proactor);

		if (result)
			return result;
	}
	return 0;
}
