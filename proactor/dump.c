/* Dumps: what a proactor has in flight, a line for each, told on its loop. */
#include "crew.h"
#include "debug.h"
#include "lent_pool.h"

#include "ports/where.h"

#include <stdarg.h>
#include <stdio.h>

#define DUMP_LINE 400

enum dump_state { DUMP_NONE, DUMP_BEING_ASKED, DUMP_ASKED };

static void dump_line(struct pro_proactor *proactor, const char *format, ...) PRO_PRINTF(2, 3);

static void dump_line(struct pro_proactor *proactor, const char *format, ...)
{
	char text[DUMP_LINE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (proactor->dump.write)
		proactor->dump.write(proactor->dump.context, text);
	else
		pro_proactor_log(proactor, PRO_LOG_INFO, "%s", text);
}

static const char *age_text(const struct pro_operation *operation,
		const struct pro_message_block *block, char *text, size_t size)
{
	uint64_t age_ms;

	text[0] = '\0';
	if (pro__debug_age(operation, block, &age_ms))
		snprintf(text, size, ", %llu ms old", (unsigned long long)age_ms);
	return text;
}

static void dump_message(void *context, const struct pro_message_block *block, uint64_t age_ms)
{
	struct pro_proactor *proactor = context;
	char caller[DUMP_LINE / 2];

	pro__where_text(block->queue_caller, caller, sizeof(caller));
	dump_line(proactor, "    message %p: %zu bytes, %llu ms old, started by %s",
			(const void *)block, block->queue_bytes, (unsigned long long)age_ms, caller);
}

static void dump_operation(struct pro_proactor *proactor, const struct pro_operation *operation)
{
	char caller[DUMP_LINE / 2];
	char age[40];
	const char *with = operation->flags & PRO__SUBMITTED ? "with the port" : "with the loop";

	if (operation->flags & PRO__CANCEL_ASKED)
		with = "being cancelled";
	pro__where_text(operation->caller, caller, sizeof(caller));
	if (operation->vtbl->nudge)
		dump_line(proactor, "  %s %p: handle %lld, %s", operation->vtbl->name,
				(const void *)operation, (long long)operation->handle, with);
	else
		dump_line(proactor, "  %s %p: handle %lld, %s%s, started by %s", operation->vtbl->name,
				(const void *)operation, (long long)operation->handle, with,
				age_text(operation, NULL, age, sizeof(age)), caller);
	if (operation->vtbl->nudge && proactor->debug)
		pro__debug_messages(operation, dump_message, proactor);
}

static size_t count_events(const struct pro_event *event)
{
	size_t count = 0;

	for (; event; event = event->next)
		count++;
	return count;
}

static size_t count_posts(const struct pro_message_block *block)
{
	size_t count = 0;

	for (; block; block = block->next)
		count++;
	return count;
}

static void dump_owner(struct pro_proactor *proactor, const struct pro_owner *owner)
{
	struct pro_list_node *node;

	/* Those that a callback of another thread has been given are that thread's. */
	dump_line(proactor, "handler %p: handle %lld, %s, %zu callbacks to come, %zu posts",
			(const void *)owner, (long long)owner->handle,
			pro__owner_is_closing(owner) ? "closing" : "open", owner->pending,
			count_posts(owner->posts_head) + count_posts(atomic_load(&owner->posts)));
	for (node = owner->flights.next; node != &owner->flights; node = node->next)
		dump_operation(proactor, pro_container_of(node, struct pro_operation, flight_link));
}

static size_t count_requests(struct pro_proactor *proactor)
{
	const struct pro_inbox_node *node = atomic_load(&proactor->inbox);
	size_t count = 0;

	for (; node; node = node->next)
		count++; /* Not covered: only what other threads ask for this very moment is there. */
	return count;
}

static void dump_proactor(struct pro_proactor *proactor)
{
	struct pro_proactor_statistics statistics = {.size = sizeof(statistics)};
	struct pro_list_node *node;

	pro_proactor_statistics(proactor, &statistics);
	dump_line(proactor,
			"proactor %p on %s: %llu handlers, %llu operations in flight, %zu timers, "
			"%zu callbacks waiting, %zu requests in the inbox, %u functions on threads, "
			"%llu of %u blocks lent",
			(void *)proactor, proactor->port_vtbl->name, (unsigned long long)statistics.handlers,
			(unsigned long long)statistics.in_flight, proactor->timers.count,
			count_events(proactor->events_head), count_requests(proactor),
			atomic_load(&proactor->works), (unsigned long long)statistics.lent_blocks_used,
			proactor->options.lent_blocks);
	for (node = proactor->owners.next; node != &proactor->owners; node = node->next)
		dump_owner(proactor, pro_container_of(node, struct pro_owner, link));
	if (pro__debug_lost(proactor) > 0)
		dump_line(proactor, "%llu flights were not watched, for want of memory",
				(unsigned long long)pro__debug_lost(proactor));
}

static void dump_run(struct pro_inbox_node *node, uint32_t requests, uint32_t holds)
{
	struct pro_proactor *proactor = pro_container_of(node, struct pro_proactor, dump.inbox);
	pro_dump_function write = proactor->dump.write;
	void *context = proactor->dump.context;

	(void)requests;
	(void)holds;
	dump_proactor(proactor);
	/* Pairs with the exchange of whoever asks next. */
	atomic_store(&proactor->dump.state, DUMP_NONE);
	if (write)
		write(context, NULL);
}

/* Only atomics and what ports promise for signal handlers. */
int pro_proactor_dump(struct pro_proactor *proactor, pro_dump_function write, void *context)
{
	int none = DUMP_NONE;

	if (!proactor)
		return PRO_EINVAL;
	if (pro__is_forked(proactor))
		return PRO_EFORKED;
	if (!atomic_compare_exchange_strong(&proactor->dump.state, &none, DUMP_BEING_ASKED))
		return PRO_EBUSY;
	proactor->dump.write = write;
	proactor->dump.context = context;
	proactor->dump.inbox.run = dump_run;
	atomic_store(&proactor->dump.state, DUMP_ASKED);
	pro__inbox_request(proactor, &proactor->dump.inbox, 0);
	/* A signal may have come on the loop's own thread, which nobody else would wake. */
	proactor->port_vtbl->wake(proactor->port);
	return 0;
}
