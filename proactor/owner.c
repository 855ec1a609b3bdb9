/* Owners: what the engine knows of a handler. They count what is in flight, take posts and wake-ups
 * from any thread, and close: cancel everything, close the handle, then tell the handler. */
#include "debug.h"

#include <proactor/socket.h>

#include <assert.h>
#include <string.h>

enum owner_request { OWNER_CLOSE = 1, OWNER_POSTS = 2, OWNER_WAKEUP = 4, OWNER_END_CALLBACK = 8 };

/* Bits of pro_owner.flags. */
enum { OWNER_POST_QUEUED = 1, OWNER_WAKEUP_QUEUED = 2 };

#define OWNER_POSTS_PER_EVENT 64

/* One hold of another thread in pro_owner.state. */
#define OWNER_HOLD (PRO__OWNER_STATE + 1)

static enum pro_owner_state owner_state(const struct pro_owner *owner)
{
	return (enum pro_owner_state)(
			atomic_load_explicit(&owner->state, memory_order_acquire) & PRO__OWNER_STATE);
}

static void owner_handle_closed(struct pro_close_request *request)
{
	pro__owner_release(pro_container_of(request, struct pro_owner, close_request));
}

static void owner_close_handle(struct pro_owner *owner)
{
	struct pro_proactor *proactor = owner->proactor;

	owner->close_request.handle = owner->handle;
	owner->close_request.closed = owner_handle_closed;
	owner->handle = PRO_INVALID_HANDLE;
	pro__owner_hold(owner);
	pro__port_vtbl(proactor)->close_handle(proactor->port, &owner->close_request);
}

void pro__owner_check_closed(struct pro_owner *owner)
{
	uint32_t closing_without_holds = PRO__CLOSING;

	/* A callback may have been given a handle while the handler was closing already. */
	if (owner->pending == 0 && owner->handle != PRO_INVALID_HANDLE &&
			atomic_load(&owner->state) == closing_without_holds)
		owner_close_handle(owner);
	if (owner->pending == 0 &&
			atomic_compare_exchange_strong(&owner->state, &closing_without_holds, PRO__CLOSED))
		pro__event_push(owner->proactor, &owner->close_event);
}

static void owner_prepare_close(struct pro_event *event)
{
	struct pro_owner *owner = event->owner;

	if (pro__list_contains(&owner->link)) {
		pro__list_remove(&owner->link);
		pro__counter_add(&owner->proactor->handlers, (uint64_t)-1);
	}
	/* One that came when there was nothing left to wait for. */
	if (owner->handle != PRO_INVALID_HANDLE)
		pro_proactor_close_handle(owner->proactor, owner->handle);
	owner->handle = PRO_INVALID_HANDLE;
}

static void owner_call_close(struct pro_event *event)
{
	event->owner->closed(event->owner);
}

static const struct pro_event_vtbl owner_close_vtbl = {
		.prepare = owner_prepare_close,
		.call = owner_call_close,
};

/* Takes a bounded share of the posts, so that a flood is dispatched fairly with everything else. */
static void owner_prepare_posts(struct pro_event *event)
{
	struct pro_owner *owner = event->owner;
	struct pro_message_block *last = owner->posts_head;
	unsigned share;

	owner->posting = owner->posts_head;
	for (share = 1; last->next && share < OWNER_POSTS_PER_EVENT; share++)
		last = last->next;
	owner->posts_head = last->next;
	last->next = NULL;
}

static void owner_call_posts(struct pro_event *event)
{
	struct pro_owner *owner = event->owner;

	/* At least one, so that a loop that was ended and goes on turn by turn gets somewhere. */
	do {
		struct pro_message_block *block = owner->posting;

		owner->posting = block->next;
		block->next = NULL;
		owner->posted(owner, block, owner_state(owner) == PRO__OPEN ? 0 : PRO_ECANCELED);
	} while (owner->posting &&
			 !atomic_load_explicit(&owner->proactor->is_ended, memory_order_relaxed));
}

static void owner_return_posting(struct pro_owner *owner)
{
	struct pro_message_block *last = owner->posting;

	while (last->next)
		last = last->next;
	last->next = owner->posts_head;
	if (!owner->posts_head)
		owner->posts_tail = last;
	owner->posts_head = owner->posting;
	owner->posting = NULL;
}

static void owner_finish_posts(struct pro_owner *owner)
{
	if (owner->posting)
		owner_return_posting(owner);
	if (owner->posts_head) {
		pro__event_push(owner->proactor, &owner->post_event);
		return;
	}
	owner->flags &= ~(uint32_t)OWNER_POST_QUEUED;
	pro__owner_release(owner);
}

static const struct pro_event_vtbl owner_posts_vtbl = {
		.prepare = owner_prepare_posts,
		.call = owner_call_posts,
		.finish = owner_finish_posts,
};

static void owner_prepare_wakeup(struct pro_event *event)
{
	event->owner->flags &= ~(uint32_t)OWNER_WAKEUP_QUEUED;
}

static void owner_call_wakeup(struct pro_event *event)
{
	if (owner_state(event->owner) == PRO__OPEN)
		event->owner->woken(event->owner);
}

static const struct pro_event_vtbl owner_wakeup_vtbl = {
		.prepare = owner_prepare_wakeup,
		.call = owner_call_wakeup,
		.finish = pro__owner_release,
};

/* Moves what was posted, newest first, behind the posts that wait for delivery, oldest first. */
static void owner_take_posts(struct pro_owner *owner)
{
	struct pro_message_block *newest = atomic_exchange(&owner->posts, NULL);
	struct pro_message_block *oldest = NULL;
	struct pro_message_block *last = newest;
	uint64_t count = 0;

	if (!newest)
		return;
	while (newest) {
		struct pro_message_block *older = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = older;
		count++;
	}
	pro__counter_add(&owner->proactor->posts, count);
	if (owner->posts_head)
		owner->posts_tail->next = oldest;
	else
		owner->posts_head = oldest;
	owner->posts_tail = last;
	if (!(owner->flags & OWNER_POST_QUEUED)) {
		owner->flags |= OWNER_POST_QUEUED;
		pro__owner_hold(owner);
		pro__event_push(owner->proactor, &owner->post_event);
	}
}

static void owner_run_requests(struct pro_inbox_node *node, uint32_t requests, uint32_t holds)
{
	struct pro_owner *owner = pro_container_of(node, struct pro_owner, inbox);

	pro__owner_register(owner);
	if (requests & OWNER_END_CALLBACK)
		pro__owner_end_callback_now(owner);
	if (requests & OWNER_POSTS)
		owner_take_posts(owner);
	if ((requests & OWNER_WAKEUP) && !(owner->flags & OWNER_WAKEUP_QUEUED)) {
		pro__counter_add(&owner->proactor->posts, 1);
		owner->flags |= OWNER_WAKEUP_QUEUED;
		pro__owner_hold(owner);
		pro__event_push(owner->proactor, &owner->wakeup_event);
	}
	if (requests & OWNER_CLOSE)
		pro__owner_begin_close(owner);
	pro__owner_leave_now(owner, holds);
}

static void owner_init_event(
		struct pro_owner *owner, struct pro_event *event, const struct pro_event_vtbl *vtbl)
{
	event->owner = owner;
	event->vtbl = vtbl;
}

void pro__owner_init(
		struct pro_owner *owner, struct pro_proactor *proactor, void (*closed)(struct pro_owner *))
{
	if (proactor->debug)
		pro__debug_owner_init(owner, proactor);
	memset(owner, 0, sizeof(*owner));
	owner->proactor = proactor;
	owner->closed = closed;
	owner->handle = PRO_INVALID_HANDLE;
	owner->inbox.run = owner_run_requests;
	pro__list_init(&owner->flights);
	owner_init_event(owner, &owner->close_event, &owner_close_vtbl);
	owner_init_event(owner, &owner->post_event, &owner_posts_vtbl);
	owner_init_event(owner, &owner->wakeup_event, &owner_wakeup_vtbl);
}

void pro__owner_register_now(struct pro_owner *owner)
{
	struct pro_proactor *proactor = owner->proactor;

	if (owner_state(owner) == PRO__CLOSED)
		return; /* Not covered: it was closed before the loop knew of it. */
	pro__list_append(&proactor->owners, &owner->link);
	pro__counter_add(&proactor->handlers, 1);
	if (proactor->is_shutdown_begun)
		pro__owner_close(owner);
}

/* A flight on the owner's own handle is left to close_handle, which ends all of them at once. */
static bool owner_closes_handle_of(
		const struct pro_owner *owner, const struct pro_operation *operation)
{
	return owner->handle != PRO_INVALID_HANDLE && operation->handle == owner->handle &&
		   (operation->flags & PRO__SUBMITTED);
}

void pro__owner_begin_close(struct pro_owner *owner)
{
	struct pro_list_node *node;
	struct pro_list_node *next;

	assert(owner_state(owner) == PRO__CLOSING);
	pro__owner_register(owner);
	pro__owner_hold(owner);
	for (node = owner->flights.next; node != &owner->flights; node = next) {
		struct pro_operation *operation = pro_container_of(node, struct pro_operation, flight_link);

		next = node->next;
		if (owner_closes_handle_of(owner, operation))
			operation->flags |= PRO__CANCEL_ASKED;
		else
			pro__operation_cancel_now(operation);
	}
	if (owner->handle != PRO_INVALID_HANDLE)
		owner_close_handle(owner);
	pro__owner_release(owner);
}

int pro__owner_close(struct pro_owner *owner)
{
	uint32_t word = atomic_load(&owner->state);

	if (pro__is_forked(owner->proactor))
		return PRO_EFORKED;
	do {
		if ((word & PRO__OWNER_STATE) != PRO__OPEN)
			return PRO_ECLOSED;
	} while (!atomic_compare_exchange_weak(
			&owner->state, &word, (word | PRO__CLOSING) + OWNER_HOLD));
	if (pro__on_loop(owner->proactor)) {
		pro__owner_begin_close(owner);
		pro__owner_leave_now(owner, 1);
	} else {
		pro__inbox_request(owner->proactor, &owner->inbox, OWNER_CLOSE);
	}
	return 0;
}

int pro__owner_enter(struct pro_owner *owner)
{
	const struct pro_proactor *proactor = owner->proactor;
	uint32_t word;

	if (pro__is_forked(proactor))
		return PRO_EFORKED;
	word = atomic_load(&owner->state);
	/* Whoever is refused may free the owner at once, so no hold is taken then. */
	do {
		if ((word & PRO__OWNER_STATE) != PRO__OPEN || atomic_load(&proactor->is_shutdown))
			return PRO_ECLOSED;
	} while (!atomic_compare_exchange_weak(&owner->state, &word, word + OWNER_HOLD));
	return 0;
}

void pro__owner_hold_remote(struct pro_owner *owner)
{
	atomic_fetch_add(&owner->state, OWNER_HOLD);
}

void pro__owner_leave(struct pro_owner *owner)
{
	if (pro__on_loop(owner->proactor))
		pro__owner_leave_now(owner, 1);
	else if (owner_state(owner) == PRO__CLOSED)
		atomic_fetch_sub(&owner->state, OWNER_HOLD); /* Not covered: it is closed meanwhile. */
	else
		/* The loop may be waiting for this hold to go. */
		pro__inbox_request(owner->proactor, &owner->inbox, 0);
}

void pro__owner_leave_now(struct pro_owner *owner, uint32_t holds)
{
	atomic_fetch_sub(&owner->state, holds * OWNER_HOLD);
	pro__owner_check_closed(owner);
}

int pro__owner_post(struct pro_owner *owner, struct pro_message_block *block, const void *act)
{
	struct pro_message_block *newest;
	int error = pro__owner_enter(owner);

	if (error)
		return pro__refuse(owner->proactor, error);
	block->queue_act = act;
	newest = atomic_load_explicit(&owner->posts, memory_order_relaxed);
	do
		block->next = newest;
	while (!atomic_compare_exchange_weak(&owner->posts, &newest, block));
	pro__inbox_request(owner->proactor, &owner->inbox, OWNER_POSTS);
	return 0;
}

int pro__owner_wakeup(struct pro_owner *owner)
{
	int error = pro__owner_enter(owner);

	if (error)
		return pro__refuse(owner->proactor, error);
	pro__inbox_request(owner->proactor, &owner->inbox, OWNER_WAKEUP);
	return 0;
}

int pro__owner_check(const struct pro_owner *owner)
{
	const struct pro_proactor *proactor = owner->proactor;

	if (pro__owner_is_closing(owner) ||
			atomic_load_explicit(&proactor->is_shutdown, memory_order_relaxed))
		return pro__refuse(owner->proactor, PRO_ECLOSED);
	if (pro__is_forked(proactor))
		return pro__refuse(owner->proactor, PRO_EFORKED);
	return 0;
}

void pro__owner_announce(struct pro_owner *owner)
{
	const struct pro_proactor *proactor = owner->proactor;

	if (pro__on_loop(proactor)) {
		pro__owner_register(owner);
		return;
	}
	if (pro__is_forked(proactor))
		return;
	/* During a shutdown too: then it is closed. */
	pro__owner_hold_remote(owner);
	pro__inbox_request(owner->proactor, &owner->inbox, 0);
}

void pro__owner_begin_callback(struct pro_owner *owner)
{
	if (owner->proactor->crew)
		pro__owner_hold_remote(owner);
}

void pro__owner_end_callback(struct pro_owner *owner)
{
	/* Gives back the hold of the beginning. */
	if (owner->proactor->crew)
		pro__inbox_request(owner->proactor, &owner->inbox, OWNER_END_CALLBACK);
}

void pro__owner_set_concurrent(struct pro_owner *owner)
{
	owner->may_overlap = true;
}
