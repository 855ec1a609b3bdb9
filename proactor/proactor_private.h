/* Private to the engine: struct pro_proactor and what proactor.c, operation.c and owner.c share. */
#ifndef PROACTOR_PROACTOR_PRIVATE_H
#define PROACTOR_PROACTOR_PRIVATE_H

#include "engine.h"
#include "timer_queue.h"

/* Written by the loop's thread only, by a plain load and store; read by any. */
typedef _Atomic(uint64_t) pro__counter;

struct pro_proactor {
	const struct pro_port_vtbl *port_vtbl;
	struct pro_port *port;
	const uint32_t *fork_mark; /* the port's; 0 in a forked child */
	struct pro_allocator allocator;
	struct pro_proactor_options options;
	struct pro_proactor_report report;
	struct pro_lent_pool *lent_pool;
	struct pro_worker_pool *worker_pool;
	struct pro__crew *crew;   /* NULL: one thread runs the loop */
	struct pro__debug *debug; /* NULL: debug mode is off */

	/* The loop's thread. */
	struct pro_event *events_head;
	struct pro_event **events_tail;
	struct pro_timer_queue timers;
	struct pro_list_node owners; /* that ever started something and are not closed */
	bool is_shutdown_begun;
	pro__counter started;
	pro__counter completed;
	pro__counter posts;
	pro__counter batches;
	pro__counter system_calls;
	pro__counter handlers;
	pro__counter queued_bytes_peak;

	/* Any thread. */
	_Atomic(struct pro_inbox_node *) inbox; /* newest first */
	_Atomic(bool)
			is_sleeping; /* the loop waits, or is left to a foreign loop: a push must wake it */
	_Atomic(bool) is_running; /* a thread is inside the loop */
	_Atomic(bool) is_ended;
	_Atomic(bool) is_shutdown;
	_Atomic(bool) has_foreign_loop;    /* get_handle was called */
	_Atomic(uint32_t) closing_handles; /* that no handler owns; and calls on their way */
	_Atomic(unsigned) works;           /* functions that workers are to run, or run */
	_Atomic(uint64_t) refused;
	_Atomic(uint64_t) wakes;
	struct {
		struct pro_inbox_node inbox;
		_Atomic(int) state; /* enum dump_state; whoever takes it from DUMP_NONE has the rest */
		pro_dump_function write;
		void *context;
	} dump;
};

static inline void pro__counter_add(pro__counter *counter, uint64_t amount)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
			memory_order_relaxed);
}

static inline void pro__counter_raise(pro__counter *counter, uint64_t value)
{
	if (atomic_load_explicit(counter, memory_order_relaxed) < value)
		atomic_store_explicit(counter, value, memory_order_relaxed);
}

/* Frees a proactor in which nothing is left (proactor_create.c). */
void pro__proactor_free(struct pro_proactor *proactor);

/* The end of a callback that the crew did not dispatch (crew.c). [loop thread] */
void pro__owner_end_callback_now(struct pro_owner *owner);

/* Puts the owner into the proactor's list, so that a shutdown finds it. [loop thread] */
void pro__owner_register_now(struct pro_owner *owner);
static inline void pro__owner_register(struct pro_owner *owner)
{
	if (!pro__list_contains(&owner->link))
		pro__owner_register_now(owner);
}
/* Begins the closing of an owner whose state is PRO__CLOSING already. [loop thread] */
void pro__owner_begin_close(struct pro_owner *owner);

/* A timer of the queue is due. [loop thread] */
void pro__operation_timer_due(struct pro_timer *timer, uint64_t now_ms);
/* pro_operation_cancel on the loop's thread. */
int pro__operation_cancel_now(struct pro_operation *operation);

#endif
