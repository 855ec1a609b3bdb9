/* The proactor: the loop that asks the port for completions and runs callbacks, the inbox through
 * which other threads reach it, and its life. */
#include "crew.h"
#include "debug.h"

#include "ports/where.h"

/* How many rounds of callbacks run before the port is asked again: callbacks whose starts complete
 * at once need no system call in between, and nobody waits longer than this for a flood of them. */
#define PROACTOR_DISPATCH_ROUNDS 8

/* The loop that this thread runs. */
static _Thread_local const struct pro_proactor *current_loop;

bool pro__on_loop(const struct pro_proactor *proactor)
{
	return current_loop == proactor;
}

const struct pro_proactor *pro__set_current_loop(const struct pro_proactor *proactor)
{
	const struct pro_proactor *previous = current_loop;

	current_loop = proactor;
	return previous;
}

struct pro_port *pro__port(const struct pro_proactor *proactor)
{
	return proactor->port;
}

const struct pro_port_vtbl *pro__port_vtbl(const struct pro_proactor *proactor)
{
	return proactor->port_vtbl;
}

struct pro_lent_pool *pro__lent_pool(const struct pro_proactor *proactor)
{
	return proactor->lent_pool;
}

struct pro_worker_pool *pro__worker_pool(const struct pro_proactor *proactor)
{
	return proactor->worker_pool;
}

int pro__refuse(struct pro_proactor *proactor, int error)
{
	atomic_fetch_add_explicit(&proactor->refused, 1, memory_order_relaxed);
	return error;
}

bool pro__is_forked(const struct pro_proactor *proactor)
{
	return *proactor->fork_mark == 0;
}

bool pro__is_simulated(const struct pro_proactor *proactor)
{
	return proactor->options.sim != NULL;
}

int pro__work_enter(struct pro_proactor *proactor)
{
	if (atomic_fetch_add(&proactor->works, 1) < proactor->options.works_max)
		return 0;
	pro__work_leave(proactor);
	return pro__refuse(proactor, PRO_EFULL);
}

void pro__work_leave(struct pro_proactor *proactor)
{
	atomic_fetch_sub(&proactor->works, 1);
}

/* ---- events ---- */

void pro__event_push(struct pro_proactor *proactor, struct pro_event *event)
{
	event->next = NULL;
	*proactor->events_tail = event;
	proactor->events_tail = &event->next;
}

struct pro_event *pro__event_pop(struct pro_proactor *proactor)
{
	struct pro_event *event = proactor->events_head;

	if (event) {
		proactor->events_head = event->next;
		if (!event->next)
			proactor->events_tail = &proactor->events_head;
	}
	return event;
}

static struct pro_event *proactor_take_events(struct pro_proactor *proactor)
{
	struct pro_event *head = proactor->events_head;

	proactor->events_head = NULL;
	proactor->events_tail = &proactor->events_head;
	return head;
}

void pro__event_return(struct pro_proactor *proactor, struct pro_event *head)
{
	struct pro_event *last = head;

	if (!head)
		return;
	while (last->next)
		last = last->next;
	last->next = proactor->events_head;
	if (!proactor->events_head)
		proactor->events_tail = &last->next;
	proactor->events_head = head;
}

bool pro__proactor_must_stop(const struct pro_proactor *proactor, bool heeds_end)
{
	return heeds_end && atomic_load_explicit(&proactor->is_ended, memory_order_relaxed);
}

static void proactor_dispatch(struct pro_event *event)
{
	const struct pro_event_vtbl *vtbl = event->vtbl;
	struct pro_owner *owner = event->owner;

	if (vtbl->prepare)
		vtbl->prepare(event);
	vtbl->call(event);
	if (vtbl->finish)
		vtbl->finish(owner);
}

/* Runs the callbacks that are queued now; what they queue is for the next round. */
static int proactor_dispatch_round(struct pro_proactor *proactor, bool heeds_end)
{
	struct pro_event *event = proactor_take_events(proactor);
	int count = 0;

	while (event && !pro__proactor_must_stop(proactor, heeds_end)) {
		struct pro_event *next = event->next;

		proactor_dispatch(event);
		event = next;
		count++;
	}
	pro__event_return(proactor, event);
	return count;
}

/* ---- the inbox ---- */

#define INBOX_ONE_HOLD (UINT64_C(1) << 32)

static void proactor_wake(struct pro_proactor *proactor)
{
	/* Pairs with the store in proactor_fall_asleep: a burst of pushes pays for one wake. */
	if (!atomic_load(&proactor->is_sleeping) || !atomic_exchange(&proactor->is_sleeping, false))
		return;
	atomic_fetch_add_explicit(&proactor->wakes, 1, memory_order_relaxed);
	proactor->port_vtbl->wake(proactor->port);
}

void pro__inbox_request(struct pro_proactor *proactor, struct pro_inbox_node *node, uint32_t bits)
{
	uint64_t word = atomic_load_explicit(&node->requests, memory_order_relaxed);
	struct pro_inbox_node *newest;

	while (!atomic_compare_exchange_weak(&node->requests, &word, (word | bits) + INBOX_ONE_HOLD))
		;
	if (word >= INBOX_ONE_HOLD)
		return; /* The node is queued already, and whoever queued it wakes the loop. */
	newest = atomic_load_explicit(&proactor->inbox, memory_order_relaxed);
	do
		node->next = newest;
	while (!atomic_compare_exchange_weak(&proactor->inbox, &newest, node));
	/* A thread of the crew takes its own requests when its callbacks are through. */
	if (!pro__on_loop(proactor) && !pro__crew_takes_requests_soon(proactor))
		proactor_wake(proactor);
}

static void proactor_drain_inbox(struct pro_proactor *proactor)
{
	struct pro_inbox_node *newest;
	struct pro_inbox_node *oldest = NULL;

	if (!atomic_load_explicit(&proactor->inbox, memory_order_relaxed))
		return;
	newest = atomic_exchange(&proactor->inbox, NULL);
	while (newest) {
		struct pro_inbox_node *older = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = older;
	}
	while (oldest) {
		struct pro_inbox_node *node = oldest;
		uint64_t word;

		/* From the exchange on another thread may queue the node again, or running it may free it.
		 */
		oldest = node->next;
		word = atomic_exchange(&node->requests, 0);
		node->run(node, (uint32_t)word, (uint32_t)(word >> 32));
	}
}

/* ---- the turn of the loop ---- */

static void proactor_run_timers(struct pro_proactor *proactor)
{
	struct pro_timer *timer;
	uint64_t now_ms;

	if (proactor->timers.count == 0)
		return;
	now_ms = pro_proactor_now_ms(proactor);
	timer = pro__timer_queue_take_due(&proactor->timers, now_ms);
	while (timer) {
		struct pro_timer *next = timer->next;

		timer->next = NULL;
		pro__operation_timer_due(timer, now_ms);
		timer = next;
	}
}

static void proactor_run_shutdown(struct pro_proactor *proactor)
{
	struct pro_list_node *node;
	struct pro_list_node *next;

	if (proactor->is_shutdown_begun ||
			!atomic_load_explicit(&proactor->is_shutdown, memory_order_relaxed))
		return;
	proactor->is_shutdown_begun = true;
	for (node = proactor->owners.next; node != &proactor->owners; node = next) {
		next = node->next;
		pro__owner_close(pro_container_of(node, struct pro_owner, link));
	}
}

static bool proactor_has_nothing(const struct pro_proactor *proactor)
{
	return pro__list_is_empty(&proactor->owners) && !proactor->events_head &&
		   !atomic_load(&proactor->inbox) && atomic_load(&proactor->closing_handles) == 0;
}

bool pro__proactor_is_drained(const struct pro_proactor *proactor)
{
	return proactor->is_shutdown_begun && proactor_has_nothing(proactor);
}

uint64_t pro__proactor_timers_due_ns(const struct pro_proactor *proactor)
{
	uint64_t due_ms;

	if (proactor->timers.count == 0)
		return UINT64_MAX;
	due_ms = pro__timer_queue_next_ms(&proactor->timers);
	return due_ms > UINT64_MAX / 1000000 ? UINT64_MAX : due_ms * 1000000;
}

int64_t pro__nanoseconds_until(struct pro_proactor *proactor, uint64_t deadline_ns)
{
	uint64_t now_ns;

	if (deadline_ns == UINT64_MAX)
		return -1;
	now_ns = pro_proactor_now_ns(proactor);
	if (deadline_ns <= now_ns)
		return 0;
	return deadline_ns - now_ns > INT64_MAX ? INT64_MAX : (int64_t)(deadline_ns - now_ns);
}

/* Declares that a push must wake the loop from now on; false when something was pushed before that.
 */
static bool proactor_fall_asleep(struct pro_proactor *proactor)
{
	atomic_store(&proactor->is_sleeping, true);
	if (!atomic_load(&proactor->inbox) && !atomic_load(&proactor->is_ended) &&
			(proactor->is_shutdown_begun || !atomic_load(&proactor->is_shutdown)))
		return true;
	atomic_store_explicit(&proactor->is_sleeping, false, memory_order_relaxed);
	return false;
}

void pro__proactor_wait(struct pro_proactor *proactor, uint64_t deadline_ns, bool waits)
{
	uint64_t timers_ns = pro__proactor_timers_due_ns(proactor);
	int64_t timeout_ns = 0;
	bool is_asleep = false;
	uint64_t calls = 0;

	if (waits) {
		timeout_ns =
				pro__nanoseconds_until(proactor, timers_ns < deadline_ns ? timers_ns : deadline_ns);
		is_asleep = timeout_ns != 0 && proactor_fall_asleep(proactor);
		if (!is_asleep)
			timeout_ns = 0;
	}
	proactor->port_vtbl->wait(proactor->port, timeout_ns, &calls);
	if (waits)
		atomic_store_explicit(&proactor->is_sleeping, false, memory_order_relaxed);
	pro__counter_add(&proactor->batches, 1);
	pro__counter_add(&proactor->system_calls, calls);
}

void pro__proactor_begin_turn(struct pro_proactor *proactor)
{
	proactor_drain_inbox(proactor);
	proactor_run_shutdown(proactor);
	proactor_run_timers(proactor);
	if (proactor->debug)
		pro__debug_turn(proactor);
}

/* One turn: what other threads asked for, what is due, what the port has; then the callbacks. */
static int proactor_turn(struct pro_proactor *proactor, uint64_t deadline_ns, bool heeds_end)
{
	int count = 0;
	int round;

	pro__proactor_begin_turn(proactor);
	if (pro__proactor_is_drained(proactor))
		return 0;
	pro__proactor_wait(proactor, deadline_ns, !proactor->events_head);
	pro__proactor_begin_turn(proactor);
	for (round = 0; round < PROACTOR_DISPATCH_ROUNDS && proactor->events_head; round++) {
		if (pro__proactor_must_stop(proactor, heeds_end))
			break;
		count += proactor_dispatch_round(proactor, heeds_end);
	}
	return count;
}

/* ---- running the loop ---- */

static int proactor_enter(struct pro_proactor *proactor, const struct pro_proactor **previous)
{
	int error;

	if (pro__is_forked(proactor))
		return PRO_EFORKED;
	if (atomic_exchange(&proactor->is_running, true))
		return PRO_EBUSY;
	error = proactor->port_vtbl->enter(proactor->port);
	if (error) {
		atomic_store(&proactor->is_running, false);
		return error;
	}
	atomic_store_explicit(&proactor->is_sleeping, false, memory_order_relaxed);
	*previous = current_loop;
	current_loop = proactor;
	return 0;
}

void pro__proactor_arm_foreign_loop(struct pro_proactor *proactor)
{
	bool has_work;

	if (!atomic_load_explicit(&proactor->has_foreign_loop, memory_order_relaxed))
		return;
	has_work = proactor->events_head || !proactor_fall_asleep(proactor);
	if (has_work)
		proactor->port_vtbl->wake(proactor->port);
	else if (proactor->port_vtbl->arm_handle)
		proactor->port_vtbl->arm_handle(proactor->port, pro__proactor_timers_due_ns(proactor));
}

static void proactor_leave(struct pro_proactor *proactor, const struct pro_proactor *previous)
{
	pro__proactor_arm_foreign_loop(proactor);
	/* Not covered: only the port of Windows wants to know. */
	if (proactor->port_vtbl->leave)
		proactor->port_vtbl->leave(proactor->port);
	current_loop = previous;
	atomic_store(&proactor->is_running, false);
}

static uint64_t deadline_after(struct pro_proactor *proactor, int64_t timeout_ms)
{
	uint64_t now_ns;

	if (timeout_ms < 0)
		return UINT64_MAX;
	now_ns = pro_proactor_now_ns(proactor);
	if ((uint64_t)timeout_ms > (UINT64_MAX - now_ns) / 1000000)
		return UINT64_MAX;
	return now_ns + (uint64_t)timeout_ms * 1000000;
}

bool pro__proactor_is_past(struct pro_proactor *proactor, uint64_t deadline_ns)
{
	return deadline_ns != UINT64_MAX && pro_proactor_now_ns(proactor) >= deadline_ns;
}

static int proactor_run(struct pro_proactor *proactor, int64_t limit_ms, bool heeds_end)
{
	const struct pro_proactor *previous;
	uint64_t deadline_ns;
	int error;

	if (!proactor || limit_ms < PRO_NO_TIMEOUT)
		return PRO_EINVAL;
	if (proactor->crew) {
		error = pro__crew_run(proactor, deadline_after(proactor, limit_ms), heeds_end, false);
		return error < 0 ? error : 0;
	}
	error = proactor_enter(proactor, &previous);
	if (error)
		return error;
	deadline_ns = deadline_after(proactor, limit_ms);
	while (!pro__proactor_must_stop(proactor, heeds_end) && !pro__proactor_is_drained(proactor)) {
		proactor_turn(proactor, deadline_ns, heeds_end);
		if (pro__proactor_is_past(proactor, deadline_ns))
			break;
	}
	proactor_leave(proactor, previous);
	return 0;
}

int pro_proactor_run_event_loop(struct pro_proactor *proactor)
{
	return proactor_run(proactor, PRO_NO_TIMEOUT, true);
}

int pro_proactor_run_event_loop_for(struct pro_proactor *proactor, int64_t limit_ms)
{
	return proactor_run(proactor, limit_ms, true);
}

int pro_proactor_handle_events(struct pro_proactor *proactor, int64_t timeout_ms)
{
	const struct pro_proactor *previous;
	uint64_t deadline_ns;
	int count;

	if (!proactor || timeout_ms < PRO_NO_TIMEOUT)
		return PRO_EINVAL;
	if (proactor->crew)
		return pro__crew_run(proactor, deadline_after(proactor, timeout_ms), false, true);
	count = proactor_enter(proactor, &previous);
	if (count)
		return count;
	deadline_ns = deadline_after(proactor, timeout_ms);
	do {
		count = proactor_turn(proactor, deadline_ns, false);
	} while (count == 0 && !pro__proactor_is_past(proactor, deadline_ns) &&
			 !pro__proactor_is_drained(proactor) &&
			 !atomic_load_explicit(&proactor->is_ended, memory_order_relaxed));
	proactor_leave(proactor, previous);
	return count;
}

void pro_proactor_end_event_loop(struct pro_proactor *proactor)
{
	atomic_store(&proactor->is_ended, true);
	proactor->port_vtbl->wake(proactor->port);
}

void pro_proactor_reset_event_loop(struct pro_proactor *proactor)
{
	atomic_store(&proactor->is_ended, false);
}

bool pro_proactor_event_loop_done(const struct pro_proactor *proactor)
{
	return atomic_load(&proactor->is_ended);
}

void pro_proactor_shutdown(struct pro_proactor *proactor)
{
	atomic_store(&proactor->is_shutdown, true);
	proactor->port_vtbl->wake(proactor->port);
}

pro_handle pro_proactor_get_handle(struct pro_proactor *proactor)
{
	if (!proactor->port_vtbl->get_handle)
		return PRO_INVALID_HANDLE; /* Not covered: only the port of Windows has none. */
	atomic_store(&proactor->has_foreign_loop, true);
	return proactor->port_vtbl->get_handle(proactor->port);
}

static bool proactor_is_running(struct pro_proactor *proactor)
{
	return proactor->crew ? pro__crew_is_running(proactor) : atomic_load(&proactor->is_running);
}

/* 0 when this thread may run the loop to its end; any thread may join a crew. */
static int proactor_check_thread(struct pro_proactor *proactor)
{
	const struct pro_proactor *previous;
	int error;

	if (proactor->crew)
		return 0;
	error = proactor_enter(proactor, &previous);
	if (!error)
		proactor_leave(proactor, previous);
	/* Bound to another thread: no matter if that has left nothing behind. */
	return error == PRO_ETHREAD && proactor_has_nothing(proactor) ? 0 : error;
}

int pro_proactor_destroy(struct pro_proactor *proactor)
{
	bool is_forked;
	int error;

	if (!proactor)
		return 0;
	is_forked = pro__is_forked(proactor);
	if (!is_forked) {
		if (proactor_is_running(proactor))
			return PRO_EBUSY;
		error = proactor_check_thread(proactor);
		if (error)
			return error;
		pro_proactor_shutdown(proactor);
		error = proactor_run(proactor, PRO_NO_TIMEOUT, false);
		/* Not covered: another thread took the loop this very moment. */
		if (error && error != PRO_ETHREAD)
			return error;
	}
	pro__proactor_free(proactor);
	return 0;
}
