/* Operations: the life of a flight from its start to its callback, cancels and deadlines. */
#include "crew.h"
#include "debug.h"

#include "ports/where.h"

#include <assert.h>
#include <string.h>

enum operation_request {
	OPERATION_START = 1,
	OPERATION_COMPLETE = 2,
	OPERATION_CANCEL = 4,
	OPERATION_NUDGE = 8
};

static enum pro_operation_state operation_state(const struct pro_operation *operation)
{
	return (enum pro_operation_state)atomic_load_explicit(&operation->state, memory_order_relaxed);
}

static void operation_set_state(struct pro_operation *operation, enum pro_operation_state state)
{
	atomic_store_explicit(&operation->state, state, memory_order_relaxed);
}

/* The number of a flight is even; it is odd from the end of one to the start of the next, so that
 * a cancel never takes a flight that is over for the one that follows. */
static void operation_next_flight(struct pro_operation *operation)
{
	uint64_t flight = atomic_load_explicit(&operation->flight, memory_order_relaxed);

	atomic_store_explicit(&operation->flight, flight + 1, memory_order_relaxed);
}

static bool operation_flight_is_unwanted(const struct pro_operation *operation)
{
	return atomic_load(&operation->cancel_flight) == atomic_load(&operation->flight);
}

static bool operation_queues_messages(const struct pro_operation *operation)
{
	return operation->vtbl->nudge != NULL;
}

static void operation_clear_flags(struct pro_operation *operation, unsigned flags)
{
	operation->flags = (uint8_t)(operation->flags & ~flags);
}

static void operation_push_event(struct pro_operation *operation)
{
	if (operation->flags & PRO__EVENT_QUEUED)
		return;
	operation->flags |= PRO__EVENT_QUEUED;
	pro__owner_hold(operation->owner);
	pro__event_push(operation->owner->proactor, &operation->event);
}

void pro__operation_report(struct pro_operation *operation)
{
	operation_push_event(operation);
}

/* ---- deadlines ---- */

static uint64_t saturating_add(uint64_t left, uint64_t right)
{
	return left > UINT64_MAX - right ? UINT64_MAX : left + right;
}

/* Milliseconds from then, rounded up, so that nothing is ever early. */
static uint64_t end_of_delay(uint64_t now_ns, uint64_t delay_ms)
{
	return saturating_add((now_ns + 999999) / 1000000, delay_ms);
}

/* No delay at all is due now. */
static uint64_t due_after(uint64_t now_ns, uint64_t delay_ms)
{
	return delay_ms == 0 ? now_ns / 1000000 : end_of_delay(now_ns, delay_ms);
}

void pro__operation_rearm(struct pro_operation *operation)
{
	struct pro_proactor *proactor = operation->owner->proactor;

	if (operation->timeout_ms < 0)
		return;
	pro__timer_queue_remove(&proactor->timers, &operation->deadline);
	pro__timer_queue_insert(&proactor->timers, &operation->deadline,
			due_after(pro_proactor_now_ns(proactor), (uint64_t)operation->timeout_ms));
}

void pro__operation_progress(struct pro_operation *operation)
{
	if (operation->flags & PRO__STALL_DEADLINE)
		operation->progress_ms = pro_proactor_now_ms(operation->owner->proactor);
}

static void deadline_due(struct pro_operation *operation, uint64_t now_ms)
{
	struct pro_proactor *proactor = operation->owner->proactor;
	uint64_t due = saturating_add(operation->progress_ms + 1, (uint64_t)operation->timeout_ms);

	/* Progress does not touch the timer, which would cost every transfer; the timer looks back. */
	if ((operation->flags & PRO__STALL_DEADLINE) && operation->progress_ms && due > now_ms) {
		pro__timer_queue_insert(&proactor->timers, &operation->deadline, due);
		return;
	}
	operation->flags |= PRO__TIMED_OUT;
	pro__operation_cancel_now(operation);
}

/* ---- timers: operations that never go to the port ---- */

void pro__timer_submit(struct pro_operation *operation)
{
	struct pro_proactor *proactor = operation->owner->proactor;
	const uint64_t delay_ms = operation->request.timer.delay_ms;
	const uint64_t now_ns = pro_proactor_now_ns(proactor);

	/* What repeats without a delay is due at once, but its intervals count from a time that is not
	 * before its start. */
	operation->request.timer.due_ms = end_of_delay(now_ns, delay_ms);
	operation->request.timer.expirations = 0;
	pro__timer_queue_insert(&proactor->timers, &operation->deadline, due_after(now_ns, delay_ms));
}

void pro__timer_cancel(struct pro_operation *operation)
{
	pro__operation_complete(operation, PRO_ECANCELED, 0, 0);
}

static void timer_due(struct pro_operation *operation, uint64_t now_ms)
{
	struct pro_proactor *proactor = operation->owner->proactor;
	uint64_t interval = operation->request.timer.interval_ms;
	uint64_t due = operation->request.timer.due_ms;
	uint64_t passed;

	if (interval == 0) {
		operation->request.timer.expirations = 1;
		pro__operation_complete(operation, 0, 0, 0);
		return;
	}
	passed = now_ms > due ? 1 + (now_ms - due) / interval : 1;
	operation->request.timer.expirations += passed;
	operation->request.timer.due_ms = saturating_add(due, passed * interval);
	pro__timer_queue_insert(
			&proactor->timers, &operation->deadline, operation->request.timer.due_ms);
	operation_push_event(operation);
}

void pro__operation_timer_due(struct pro_timer *timer, uint64_t now_ms)
{
	struct pro_operation *operation = pro_container_of(timer, struct pro_operation, deadline);

	if (operation->opcode == PRO_OP_TIMER)
		timer_due(operation, now_ms);
	else
		deadline_due(operation, now_ms);
}

/* ---- the way to the port and back ---- */

/* A port may complete inside submit, and the operation may want to go on with what is left: a loop
 * here instead of a recursion there. */
static void operation_submit(struct pro_operation *operation)
{
	struct pro_proactor *proactor = operation->owner->proactor;

	if (operation->vtbl->submit) {
		operation->vtbl->submit(operation);
		return;
	}
	do {
		operation->flags |= PRO__IN_SUBMIT | PRO__SUBMITTED;
		operation_clear_flags(operation, PRO__SUBMIT_AGAIN);
		proactor->port_vtbl->submit(proactor->port, operation);
		operation_clear_flags(operation, PRO__IN_SUBMIT);
	} while (operation->flags & PRO__SUBMIT_AGAIN);
}

/* Who asked for the cancel decides what it is called. */
static int cancel_error(const struct pro_operation *operation)
{
	return operation->flags & PRO__TIMED_OUT ? PRO_ETIMEDOUT : PRO_ECANCELED;
}

static void operation_finish(struct pro_operation *operation)
{
	struct pro_proactor *proactor = operation->owner->proactor;

	if (operation->deadline.link)
		pro__timer_queue_remove(&proactor->timers, &operation->deadline);
	pro__list_remove(&operation->flight_link);
	operation_set_state(operation, PRO__READY);
	operation_push_event(operation);
	pro__owner_release(operation->owner);
}

void pro__operation_complete(struct pro_operation *operation, int error, int os_error, size_t bytes)
{
	enum pro_advance advance;

	assert(operation_state(operation) == PRO__IN_FLIGHT);
	operation_clear_flags(operation, PRO__SUBMITTED);
	operation->error = error == PRO_ECANCELED ? cancel_error(operation) : error;
	operation->os_error = os_error;
	if (bytes > 0)
		pro__operation_progress(operation);
	if (operation->vtbl->advance) {
		advance = operation->vtbl->advance(operation, bytes);
	} else {
		operation->bytes += bytes;
		advance = PRO__DONE;
	}
	if (advance == PRO__MORE && (operation->flags & PRO__CANCEL_ASKED)) {
		operation->error = cancel_error(operation);
		if (operation_queues_messages(operation))
			operation->vtbl->advance(operation, 0);
		advance = PRO__DONE;
	}
	if (advance == PRO__DONE)
		operation_finish(operation);
	else if (operation->flags & PRO__IN_SUBMIT)
		operation->flags |= PRO__SUBMIT_AGAIN;
	else
		operation_submit(operation);
}

/* Of those that do not queue messages, which have beginnings of their own. */
static void operation_begins(struct pro_operation *operation)
{
	struct pro_proactor *proactor = operation->owner->proactor;

	pro__counter_add(&proactor->started, 1);
	if (proactor->debug)
		pro__debug_flight_begins(operation);
}

static void operation_ends(struct pro_operation *operation)
{
	struct pro_proactor *proactor = operation->owner->proactor;

	pro__counter_add(&proactor->completed, 1);
	if (proactor->debug)
		pro__debug_flight_ends(operation);
}

/* From accepted to in flight. */
static void operation_launch(struct pro_operation *operation)
{
	struct pro_owner *owner = operation->owner;

	operation_set_state(operation, PRO__IN_FLIGHT);
	operation_clear_flags(operation, PRO__CANCEL_ASKED | PRO__TIMED_OUT);
	operation->bytes = 0;
	operation->error = 0;
	operation->progress_ms = 0;
	pro__owner_register(owner);
	pro__owner_hold(owner);
	pro__list_append(&owner->flights, &operation->flight_link);
	if (!operation_queues_messages(operation))
		operation_begins(operation);
	if (pro__owner_is_closing(owner) || operation_flight_is_unwanted(operation)) {
		/* The close, or a cancel, overtook a start of another thread. */
		operation->flags |= PRO__CANCEL_ASKED;
		pro__operation_complete(operation, PRO_ECANCELED, 0, 0);
		return;
	}
	if (operation->opcode != PRO_OP_TIMER)
		pro__operation_rearm(operation);
	operation_submit(operation);
}

/* ---- the callback ---- */

static void operation_event_prepare(struct pro_event *event)
{
	struct pro_operation *operation = pro_container_of(event, struct pro_operation, event);

	operation_clear_flags(operation, PRO__EVENT_QUEUED);
	/* A repeating timer is still in flight. */
	if (operation_state(operation) == PRO__READY && !operation_queues_messages(operation))
		operation_ends(operation);
	if (operation->vtbl->prepare)
		operation->vtbl->prepare(operation);
}

static void operation_event_call(struct pro_event *event)
{
	struct pro_operation *operation = pro_container_of(event, struct pro_operation, event);

	operation->vtbl->deliver(operation);
}

static const struct pro_event_vtbl operation_event_vtbl = {
		.prepare = operation_event_prepare,
		.call = operation_event_call,
		.finish = pro__owner_release,
};

void pro__operation_begin_callback(struct pro_operation *operation)
{
	operation_next_flight(operation);
	/* Pairs with the acquire of a start on another thread, which the callback may have asked for.
	 */
	atomic_store_explicit(&operation->state, PRO__IDLE, memory_order_release);
}

/* ---- requests of other threads ---- */

static void operation_run_requests(struct pro_inbox_node *node, uint32_t requests, uint32_t holds)
{
	struct pro_operation *operation = pro_container_of(node, struct pro_operation, inbox);
	struct pro_owner *owner = operation->owner;

	if (requests & OPERATION_START)
		operation_launch(operation);
	if (requests & OPERATION_NUDGE)
		operation->vtbl->nudge(operation);
	if (requests & OPERATION_COMPLETE)
		pro__operation_complete(
				operation, operation->error, operation->os_error, operation->bytes_remote);
	if ((requests & OPERATION_CANCEL) &&
			(operation_queues_messages(operation) || operation_flight_is_unwanted(operation)))
		pro__operation_cancel_now(operation);
	pro__owner_leave_now(owner, holds);
}

void pro__operation_nudge(struct pro_operation *operation)
{
	pro__inbox_request(operation->owner->proactor, &operation->inbox, OPERATION_NUDGE);
}

void pro__operation_complete_remote(
		struct pro_operation *operation, int error, int os_error, size_t bytes)
{
	operation->error = error;
	operation->os_error = os_error;
	operation->bytes_remote = bytes;
	pro__owner_hold_remote(operation->owner);
	pro__inbox_request(operation->owner->proactor, &operation->inbox, OPERATION_COMPLETE);
}

/* ---- for the classes of operations ---- */

void pro__operation_init(struct pro_operation *operation, const struct pro_operation_vtbl *vtbl,
		enum pro_opcode opcode, struct pro_owner *owner, pro_handle handle)
{
	if (owner->proactor->debug)
		pro__debug_operation_init(operation, owner);
	memset(operation, 0, sizeof(*operation));
	operation->vtbl = vtbl;
	operation->opcode = (uint8_t)opcode;
	operation->owner = owner;
	operation->handle = handle;
	operation->timeout_ms = PRO_NO_TIMEOUT;
	operation->flight = 1;
	operation->inbox.run = operation_run_requests;
	operation->event.owner = owner;
	operation->event.vtbl = &operation_event_vtbl;
}

static int operation_is_busy(struct pro_operation *operation, const void *caller)
{
	struct pro_proactor *proactor = operation->owner->proactor;

	if (proactor->debug)
		pro__debug_restarted(operation, caller);
	return pro__refuse(proactor, PRO_EBUSY);
}

/* The state says whose the object is. */
static bool operation_take(struct pro_operation *operation)
{
	uint32_t idle = PRO__IDLE;

	return atomic_compare_exchange_strong(&operation->state, &idle, PRO__QUEUED);
}

static int operation_claim_on_loop(struct pro_operation *operation, const void *caller)
{
	int error;

	if (!operation_take(operation))
		return operation_is_busy(operation, caller);
	operation->caller = caller;
	error = pro__owner_check(operation->owner);
	if (error)
		atomic_store(&operation->state, PRO__IDLE);
	return error;
}

/* Off the loop a hold keeps the owner until the request was processed. */
int pro__operation_claim(struct pro_operation *operation, const void *caller)
{
	struct pro_owner *owner = operation->owner;
	int error;

	if (!owner)
		return PRO_EINVAL;
	if (pro__on_loop(owner->proactor))
		return operation_claim_on_loop(operation, caller);
	error = pro__owner_enter(owner);
	if (error)
		return pro__refuse(owner->proactor, error);
	if (operation_take(operation)) {
		operation_next_flight(operation);
		operation->caller = caller;
		return 0;
	}
	error = operation_is_busy(operation, caller);
	pro__owner_leave(owner);
	return error;
}

int pro__operation_give_back(struct pro_operation *operation, int error)
{
	if (pro__on_loop(operation->owner->proactor)) {
		atomic_store(&operation->state, PRO__IDLE);
		return error;
	}
	operation_next_flight(operation);
	atomic_store(&operation->state, PRO__IDLE);
	pro__owner_leave(operation->owner);
	return error;
}

int pro__operation_start(struct pro_operation *operation)
{
	struct pro_proactor *proactor = operation->owner->proactor;

	if (pro__on_loop(proactor)) {
		operation_next_flight(operation);
		operation_launch(operation);
	} else {
		pro__inbox_request(proactor, &operation->inbox, OPERATION_START);
	}
	return 0;
}

void pro__message_accepted(
		struct pro_operation *operation, struct pro_message_block *block, bool is_vector)
{
	struct pro_proactor *proactor = operation->owner->proactor;

	pro__counter_add(&proactor->started, 1);
	if (proactor->debug)
		pro__debug_message_begins(operation, block, is_vector);
}

int pro__message_is_busy(
		struct pro_operation *operation, const struct pro_message_block *block, const void *caller)
{
	struct pro_proactor *proactor = operation->owner->proactor;

	if (proactor->debug)
		pro__debug_queued_again(operation, block, caller);
	return pro__refuse(proactor, PRO_EBUSY);
}

void pro__message_ended(struct pro_operation *operation, struct pro_message_block *block)
{
	struct pro_proactor *proactor = operation->owner->proactor;

	pro__counter_add(&proactor->completed, 1);
	if (proactor->debug)
		pro__debug_message_ends(operation, block);
}

void pro__operation_count_queued_bytes(struct pro_operation *operation, size_t bytes)
{
	pro__counter_raise(&operation->owner->proactor->queued_bytes_peak, bytes);
}

/* ---- for everybody ---- */

int pro__operation_cancel_now(struct pro_operation *operation)
{
	struct pro_proactor *proactor = operation->owner->proactor;
	bool is_queue_hit = operation->vtbl->cancel_begins && operation->vtbl->cancel_begins(operation);

	/* What is queued between two flights comes back instead of going out with the next. */
	if (operation_state(operation) != PRO__IN_FLIGHT)
		return is_queue_hit ? 0 : PRO_ENOTFOUND;
	if (operation->flags & PRO__CANCEL_ASKED)
		return 0;
	operation->flags |= PRO__CANCEL_ASKED;
	if (operation->vtbl->cancel)
		operation->vtbl->cancel(operation);
	else if (operation->flags & PRO__SUBMITTED)
		proactor->port_vtbl->cancel(proactor->port, operation);
	return 0;
}

/* On the loop, and in its callbacks, so that what is cancelled there does not complete with success
 * afterwards. */
static bool operation_can_cancel_now(const struct pro_operation *operation)
{
	const struct pro_proactor *proactor = operation->owner->proactor;

	return pro__on_loop(proactor) || pro__crew_takes_requests_soon(proactor);
}

static int operation_request_cancel(struct pro_operation *operation)
{
	uint64_t flight = atomic_load(&operation->flight);
	uint64_t asked;
	int error;

	/* What queues knows by itself what is to be hit. */
	if (!operation_queues_messages(operation) &&
			(flight % 2 != 0 || operation_state(operation) == PRO__IDLE ||
					operation_state(operation) == PRO__READY))
		return PRO_ENOTFOUND;
	error = pro__owner_enter(operation->owner);
	/* A closing owner has asked already; so this is no error to tell. */
	if (error)
		return error == PRO_ECLOSED ? 0 : error;
	asked = atomic_load(&operation->cancel_flight);
	while (asked < flight &&
			!atomic_compare_exchange_weak(&operation->cancel_flight, &asked, flight))
		;
	pro__inbox_request(operation->owner->proactor, &operation->inbox, OPERATION_CANCEL);
	return 0;
}

/* Puts this thread on the loop unless it is there; returns whether it did. */
static bool operation_enter_loop(const struct pro_operation *operation)
{
	struct pro_proactor *proactor = operation->owner->proactor;

	if (pro__on_loop(proactor))
		return false;
	pro__loop_enter(proactor);
	return true;
}

static void operation_leave_loop(const struct pro_operation *operation, bool has_entered)
{
	if (has_entered)
		pro__loop_leave(operation->owner->proactor);
}

static int operation_cancel_from_callback(struct pro_operation *operation)
{
	bool has_entered = operation_enter_loop(operation);
	int error;

	/* The start of another thread, which the loop takes together with the cancel. */
	if (operation_state(operation) == PRO__QUEUED)
		error = operation_request_cancel(operation);
	else
		error = pro__operation_cancel_now(operation);
	operation_leave_loop(operation, has_entered);
	return error;
}

int pro_operation_cancel(struct pro_operation *operation)
{
	if (!operation || !operation->owner)
		return PRO_EINVAL;
	/* Also in a callback, from which the child may have been forked. */
	if (pro__is_forked(operation->owner->proactor))
		return PRO_EFORKED;
	if (operation->vtbl->cancel_asked && !operation->vtbl->cancel_asked(operation))
		return PRO_ENOTFOUND;
	return operation_can_cancel_now(operation) ? operation_cancel_from_callback(operation)
											   : operation_request_cancel(operation);
}

/* What may change only while nothing is in flight, or in a callback. */
static void operation_check_thread(
		const struct pro_operation *operation, const char *what, const void *caller)
{
	struct pro_proactor *proactor = operation->owner ? operation->owner->proactor : NULL;

	if (proactor && proactor->debug && operation_state(operation) != PRO__IDLE &&
			!pro__on_loop(proactor) && !pro__crew_is_in_callback(proactor))
		pro__debug_wrong_thread(proactor, what, operation, caller);
}

static int operation_set_timeout(struct pro_operation *operation, int64_t timeout_ms, bool is_stall)
{
	bool has_entered;

	if (!operation || !operation->owner || timeout_ms < PRO_NO_TIMEOUT)
		return PRO_EINVAL;
	if (pro__is_forked(operation->owner->proactor))
		return PRO_EFORKED;
	/* In a callback it may be in flight: then its flags are the loop's. */
	has_entered = operation_enter_loop(operation);
	operation->timeout_ms = timeout_ms;
	operation_clear_flags(operation, PRO__STALL_DEADLINE);
	if (is_stall)
		operation->flags |= PRO__STALL_DEADLINE;
	operation_leave_loop(operation, has_entered);
	return 0;
}

int pro_operation_set_timeout(struct pro_operation *operation, int64_t timeout_ms)
{
	if (operation)
		operation_check_thread(operation, "pro_operation_set_timeout", PRO__CALLER());
	return operation_set_timeout(operation, timeout_ms, false);
}

int pro_operation_set_stall_timeout(struct pro_operation *operation, int64_t timeout_ms)
{
	if (operation)
		operation_check_thread(operation, "pro_operation_set_stall_timeout", PRO__CALLER());
	return operation_set_timeout(operation, timeout_ms, true);
}

void pro_operation_set_act(struct pro_operation *operation, const void *act)
{
	operation_check_thread(operation, "pro_operation_set_act", PRO__CALLER());
	operation->act = act;
}

void pro_operation_set_completion_key(struct pro_operation *operation, const void *completion_key)
{
	operation_check_thread(operation, "pro_operation_set_completion_key", PRO__CALLER());
	operation->completion_key = completion_key;
}

bool pro_operation_in_flight(const struct pro_operation *operation)
{
	return operation_state(operation) != PRO__IDLE;
}

struct pro_proactor *pro_operation_proactor(const struct pro_operation *operation)
{
	return operation->owner ? operation->owner->proactor : NULL;
}
