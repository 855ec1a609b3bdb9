/* The batches of a crew's threads. Callbacks of one handler run on one thread at a time, whoever
 * takes its events: the owner knows the thread that runs them, and what comes meanwhile waits with
 * the owner. A thread whose batch has come to a stop is robbed of the rest. */
#include "crew_seat.h"

static _Thread_local struct pro__seat *current_seat;

struct pro__seat *pro__seat_of(const struct pro_proactor *proactor)
{
	struct pro__seat *seat = current_seat;

	while (seat && seat->proactor != proactor)
		seat = seat->outer;
	return seat;
}

void pro__seat_take_place(struct pro__seat *seat, struct pro_list_node *seats)
{
	seat->outer = current_seat;
	current_seat = seat;
	pro__list_append(seats, &seat->link);
}

void pro__seat_leave_place(struct pro__seat *seat)
{
	pro__list_remove(&seat->link);
	current_seat = seat->outer;
}

/* ---- whose callbacks they are ---- */

/* A close of an owner that may be gone by now is left out: its memory may be another's. */
static bool seat_has_event(
		const struct pro__seat *seat, unsigned count, const struct pro_event *event)
{
	for (unsigned i = 0; i < count; i++)
		if (seat->batch[i].event == event && seat->batch[i].finish)
			return true; /* Not covered: the event comes again before it was told. */
	return false;
}

static bool seat_has_owner(
		const struct pro__seat *seat, unsigned count, const struct pro_owner *owner)
{
	for (unsigned i = 0; i < count; i++)
		if (seat->batch[i].owner == owner)
			return true;
	return false;
}

/* A repeating timer, for one, may expire again before its last expiration was told. */
static bool event_is_taken(const struct pro_list_node *seats, const struct pro_event *event)
{
	const struct pro_list_node *node;

	for (node = seats->next; node != seats; node = node->next) {
		const struct pro__seat *seat = pro_container_of(node, struct pro__seat, link);

		if (seat_has_event(seat, seat->count, event))
			return true; /* Not covered: the event comes again before it was told. */
	}
	return false;
}

/* Callbacks of one handler run on one thread at a time, in the order of their events: what comes
 * while it is busy waits with it. Of the handlers that this thread took over, `robbed` events of
 * the batch, more may be waiting, or come for the same event. Those of a handler that lets them
 * overlap do, but not two of one operation. */
static bool must_wait(const struct pro__seat *seat, const struct pro_list_node *seats,
		unsigned robbed, const struct pro_event *event)
{
	const struct pro_owner *owner = event->owner;

	if (owner->may_overlap)
		return event_is_taken(seats, event);
	return owner->runner &&
		   (owner->runner != seat || owner->deferred_head || seat_has_event(seat, robbed, event));
}

static void owner_defer(struct pro_owner *owner, struct pro_event *event)
{
	event->next = NULL;
	if (owner->deferred_head)
		owner->deferred_tail->next = event;
	else
		owner->deferred_head = event;
	owner->deferred_tail = event;
}

/* What waited is older than anything of the owner that is queued. */
static void owner_return_deferred(struct pro_owner *owner)
{
	struct pro_event *head = owner->deferred_head;

	owner->deferred_head = NULL;
	pro__event_return(owner->proactor, head);
}

static void seat_take(struct pro__seat *seat, struct pro_event *event)
{
	struct pro_owner *owner = event->owner;
	struct pro__dispatch *dispatch = &seat->batch[seat->count++];

	*dispatch = (struct pro__dispatch){
			.event = event,
			.call = event->vtbl->call,
			.finish = event->vtbl->finish,
			.owner = owner,
	};
	if (!owner->may_overlap) {
		owner->runner = seat;
		owner->runs++;
	}
	if (event->vtbl->prepare)
		event->vtbl->prepare(event);
}

void pro__seat_finish(struct pro__seat *seat, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct pro__dispatch dispatch = seat->batch[i];
		struct pro_owner *owner = dispatch.owner;

		seat->batch[i] = (struct pro__dispatch){0};
		/* After handle_close there is no owner any more; nor when this was done before. */
		if (!dispatch.finish)
			continue;
		if (owner->runner == seat && --owner->runs == 0)
			owner->runner = NULL;
		if (!owner->runner && owner->deferred_head)
			owner_return_deferred(owner);
		dispatch.finish(owner);
	}
}

void pro__seat_finish_before(struct pro__seat *seat, unsigned next)
{
	unsigned called = next > 0 ? next - 1 : 0;

	pro__seat_finish(seat, called < seat->count ? called : seat->count);
}

bool pro__seat_holds_others(const struct pro__seat *seat)
{
	unsigned next = atomic_load_explicit(&seat->next, memory_order_relaxed);

	return next > 1 || next < seat->count;
}

/* ---- taking ---- */

/* Takes what the victim has not called yet, but for what must come after that which it is in, and
 * lets go of what it has called. */
static void seat_rob(struct pro__seat *seat, struct pro__seat *victim)
{
	unsigned first = atomic_exchange(&victim->next, PRO__BATCH_MAX);
	unsigned kept = first;

	victim->was_robbed = true;
	pro__seat_finish_before(victim, first);
	for (unsigned i = first; i < victim->count; i++) {
		const struct pro__dispatch dispatch = victim->batch[i];

		if (dispatch.owner->may_overlap ? seat_has_event(victim, first, dispatch.event)
										: seat_has_owner(victim, first, dispatch.owner)) {
			victim->batch[kept++] = dispatch;
			continue;
		}
		seat->batch[seat->count++] = dispatch;
		if (dispatch.owner->runner == victim)
			dispatch.owner->runner = seat;
	}
	victim->kept = first;
	if (victim->count > first)
		victim->count = kept;
}

void pro__seat_take_batch(struct pro__seat *seat, const struct pro_list_node *seats,
		struct pro__seat *victim, uint64_t most)
{
	struct pro_event *event;
	unsigned robbed;

	seat->count = 0;
	if (victim)
		seat_rob(seat, victim);
	robbed = seat->count;
	while (seat->count < PRO__BATCH_MAX && seat->count < most &&
			(event = pro__event_pop(seat->proactor))) {
		if (must_wait(seat, seats, robbed, event))
			owner_defer(event->owner, event);
		else
			seat_take(seat, event);
	}
}

/* ---- a callback that the crew did not dispatch: open of a service handler ---- */

static const char runner_outside; /* stands for a thread without a seat */

/* Whether the thread is in a callback of the owner's. With the lock. */
static bool seat_is_calling(const struct pro__seat *seat, const struct pro_owner *owner)
{
	unsigned next =
			seat->was_robbed ? seat->kept : atomic_load_explicit(&seat->next, memory_order_relaxed);

	return next > 0 && seat->batch[next - 1].owner == owner;
}

bool pro__owner_take_turn(struct pro_owner *owner, struct pro_event *event)
{
	struct pro_proactor *proactor = owner->proactor;
	const struct pro__seat *seat;
	bool is_busy;

	if (!proactor->crew || owner->may_overlap || pro__is_forked(proactor))
		return true;
	pro__loop_enter(proactor);
	seat = pro__seat_of(proactor);
	/* Inside a callback of the owner's on this thread there is nothing to wait for. */
	is_busy = owner->runner && !(owner->runner == seat && seat_is_calling(seat, owner));
	if (is_busy) {
		pro__owner_hold(owner);
		pro__event_push(proactor, event);
	} else if (!owner->runner) {
		owner->runner = &runner_outside;
		owner->runs = 1;
	}
	pro__loop_leave(proactor);
	return !is_busy;
}

void pro__owner_end_callback_now(struct pro_owner *owner)
{
	if (owner->runner == &runner_outside) {
		owner->runner = NULL;
		owner->runs = 0;
		owner_return_deferred(owner);
	}
}
