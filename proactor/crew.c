/* Several threads run one loop, as the completion port of NT has it: any number of them, at most
 * `concurrency` in callbacks, one wake for one completion, last in first out.
 *
 * A turn, with the lock: take requests and timers; if there are events and a slot is free, take a
 * batch of them and run the callbacks without the lock; else lead if nobody does, that is, wait in
 * the port; else park. After a batch the same thread goes on, so that as long as callbacks are
 * short one thread does everything and nobody else is woken. Others are woken when a batch would
 * take long, when a callback says that it blocks, and by an alarm when one blocks without saying
 * so. */
#include "crew.h"

#include "ports/parking.h"
#include "ports/thread.h"

#include <assert.h>
#include <string.h>

#define BATCH_MAX 64
/* A batch is to last about as long as waking another thread costs several times over; what is
 * beyond goes to others. */
#define BATCH_NS 50000u
/* When a thread that runs callbacks is to be thought of as blocked. */
#define ALARM_NS 1000000u
/* While others run callbacks, their requests reach the leader at the latest when it looks again:
 * first and last interval. */
#define LOOK_FIRST_NS 1000000u
#define LOOK_LAST_NS  64000000u

struct pro__crew {
	struct pro__mutex lock;
	struct pro__parking parking;
	unsigned concurrency;
	unsigned threads;
	unsigned running; /* threads in callbacks that did not say that they block */
	unsigned parked;  /* threads that wait for a wake */
	unsigned wakes;   /* of them are on their way */
	bool has_leader;
	bool is_alarm_set;
	uint64_t look_ns;     /* the leader's interval now */
	uint64_t callback_ns; /* what a callback took lately, as a moving average */
};

/* What is dispatched without the lock. */
struct dispatch {
	struct pro_event *event;
	void (*call)(struct pro_event *event);
	void (*finish)(struct pro_owner *owner);
	struct pro_owner *owner;
};

/* A thread's place in a crew, on its stack while it runs the loop. */
struct seat {
	struct pro_proactor *proactor;
	struct seat *outer; /* of another proactor's loop, inside whose callback this one runs */
	bool is_blocking;
	unsigned count;
	struct dispatch batch[BATCH_MAX];
};

static _Thread_local struct seat *current_seat;

static void crew_lock(struct pro_proactor *proactor)
{
	pro__mutex_lock(&proactor->crew->lock);
	pro__set_current_loop(proactor);
}

static void crew_unlock(struct pro_proactor *proactor)
{
	pro__set_current_loop(NULL);
	pro__mutex_unlock(&proactor->crew->lock);
}

static struct seat *seat_of(const struct pro_proactor *proactor)
{
	struct seat *seat = current_seat;

	while (seat && seat->proactor != proactor)
		seat = seat->outer;
	return seat;
}

bool pro__crew_takes_requests_soon(const struct pro_proactor *proactor)
{
	const struct seat *seat = proactor->crew ? seat_of(proactor) : NULL;

	return seat && !seat->is_blocking;
}

int pro__crew_create(struct pro_proactor *proactor)
{
	struct pro__crew *crew = pro__allocate(proactor, sizeof(*crew));
	int error;

	if (!crew)
		return PRO_ENOMEM;
	memset(crew, 0, sizeof(*crew));
	crew->concurrency = proactor->options.concurrency;
	crew->callback_ns = BATCH_NS / 8;
	error = pro__mutex_init(&crew->lock);
	if (error)
		goto fail_crew;
	error = pro__parking_init(&crew->parking);
	if (error)
		goto fail_lock;
	proactor->crew = crew;
	return 0;

fail_lock:
	pro__mutex_fini(&crew->lock);
fail_crew:
	pro__deallocate(proactor, crew);
	return error;
}

void pro__crew_destroy(struct pro_proactor *proactor)
{
	struct pro__crew *crew = proactor->crew;

	if (!crew)
		return;
	pro__parking_fini(&crew->parking);
	pro__mutex_fini(&crew->lock);
	pro__deallocate(proactor, crew);
}

/* ---- waking and parking ---- */

static void crew_unpark(struct pro__crew *crew)
{
	if (crew->parked == crew->wakes)
		return;
	crew->wakes++;
	pro__parking_wake(&crew->parking);
}

static void crew_set_alarm(struct pro__crew *crew, bool is_set)
{
	if (crew->is_alarm_set == is_set)
		return;
	crew->is_alarm_set = is_set;
	pro__parking_set_alarm(&crew->parking, is_set ? ALARM_NS : 0);
}

static void crew_park(struct pro_proactor *proactor, uint64_t deadline_ns)
{
	struct pro__crew *crew = proactor->crew;
	int64_t timeout_ns = pro__nanoseconds_until(proactor, deadline_ns);
	uint64_t taken;

	crew->parked++;
	crew_unlock(proactor);
	taken = pro__parking_wait(&crew->parking, timeout_ns);
	crew_lock(proactor);
	crew->parked--;
	if (taken == PRO__PARKING_ALARM) {
		crew->is_alarm_set = false;
		return;
	}
	crew->wakes -= (unsigned)taken;
	for (; taken > 1; taken--)
		crew_unpark(crew);
}

/* Waits in the port on behalf of all. */
static void crew_lead(struct pro_proactor *proactor, uint64_t deadline_ns)
{
	struct pro__crew *crew = proactor->crew;
	uint64_t look_at_ns;

	crew->has_leader = true;
	if (crew->running > 0) {
		look_at_ns = pro_proactor_now_ns(proactor) + crew->look_ns;
		crew->look_ns = crew->look_ns * 2 < LOOK_LAST_NS ? crew->look_ns * 2 : LOOK_LAST_NS;
		if (look_at_ns < deadline_ns)
			deadline_ns = look_at_ns;
	}
	pro__proactor_wait(proactor, deadline_ns, true);
	crew->has_leader = false;
}

void pro__wait_begin(struct pro_proactor *proactor, bool blocks)
{
	if (!proactor->crew)
		return;
	/* Nobody runs a callback while this thread blocks: so nobody has to be looked after. */
	if (blocks && proactor->crew->running == 0)
		crew_set_alarm(proactor->crew, false);
	crew_unlock(proactor);
}

void pro__wait_end(struct pro_proactor *proactor)
{
	if (proactor->crew)
		crew_lock(proactor);
}

/* ---- dispatch ---- */

/* Callbacks of one handler run on one thread at a time, in the order of their events: what comes
 * while it is busy waits with it. */
static bool owner_is_taken(struct pro_owner *owner, const struct seat *seat)
{
	return owner->runner && owner->runner != seat;
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

static void owner_return_deferred(struct pro_owner *owner)
{
	struct pro_event *event = owner->deferred_head;

	owner->deferred_head = NULL;
	while (event) {
		struct pro_event *next = event->next;

		pro__event_push(owner->proactor, event);
		event = next;
	}
}

static void seat_take(struct seat *seat, struct pro_event *event)
{
	struct pro_owner *owner = event->owner;
	struct dispatch *dispatch = &seat->batch[seat->count++];

	*dispatch = (struct dispatch){
			.event = event,
			.call = event->vtbl->call,
			.finish = event->vtbl->finish,
			.owner = owner,
	};
	if (!(owner->flags & PRO__OWNER_CONCURRENT)) {
		owner->runner = seat;
		owner->runs++;
	}
	if (event->vtbl->prepare)
		event->vtbl->prepare(event);
}

static void seat_take_batch(struct pro_proactor *proactor, struct seat *seat)
{
	uint64_t most = BATCH_NS / (proactor->crew->callback_ns + 1) + 1;
	struct pro_event *event;

	seat->count = 0;
	while (seat->count < BATCH_MAX && seat->count < most && (event = pro__event_pop(proactor))) {
		if (owner_is_taken(event->owner, seat))
			owner_defer(event->owner, event);
		else
			seat_take(seat, event);
	}
}

static void seat_finish_batch(struct seat *seat)
{
	for (unsigned i = 0; i < seat->count; i++) {
		const struct dispatch *dispatch = &seat->batch[i];
		struct pro_owner *owner = dispatch->owner;

		/* After handle_close there is no owner any more. */
		if (!dispatch->finish)
			continue;
		if (owner->runner == seat && --owner->runs == 0) {
			owner->runner = NULL;
			owner_return_deferred(owner);
		}
		dispatch->finish(owner);
	}
}

static void crew_learn(struct pro__crew *crew, uint64_t spent_ns, unsigned count)
{
	crew->callback_ns = (crew->callback_ns * 7 + spent_ns / count) / 8;
}

/* Runs the callbacks of what was taken; returns how many. The loop may end in between: what was
 * taken is run, since it is prepared. */
static int crew_dispatch(struct pro_proactor *proactor, struct seat *seat)
{
	struct pro__crew *crew = proactor->crew;
	uint64_t began_ns;
	uint64_t spent_ns;

	seat_take_batch(proactor, seat);
	if (seat->count == 0)
		return 0;
	crew->running++;
	crew->look_ns = LOOK_FIRST_NS;
	if (proactor->events_head && crew->running < crew->concurrency)
		crew_unpark(crew);
	else if (crew->parked > 0)
		crew_set_alarm(crew, true);
	crew_unlock(proactor);
	began_ns = pro_proactor_now_ns(proactor);
	for (unsigned i = 0; i < seat->count; i++)
		seat->batch[i].call(seat->batch[i].event);
	spent_ns = pro_proactor_now_ns(proactor) - began_ns;
	crew_lock(proactor);
	crew->running--;
	crew_learn(crew, spent_ns, seat->count);
	seat_finish_batch(seat);
	return (int)seat->count;
}

static bool crew_goes_on(struct pro_proactor *proactor, uint64_t deadline_ns, bool heeds_end)
{
	return !pro__proactor_must_stop(proactor, heeds_end) && !pro__proactor_is_drained(proactor) &&
		   !pro__proactor_is_past(proactor, deadline_ns);
}

static int crew_turn(
		struct pro_proactor *proactor, struct seat *seat, uint64_t deadline_ns, bool heeds_end)
{
	struct pro__crew *crew = proactor->crew;

	pro__proactor_begin_turn(proactor);
	if (pro__proactor_is_drained(proactor) || pro__proactor_must_stop(proactor, heeds_end))
		return 0;
	/* What was started must reach the kernel, and what is complete must not wait behind a flood of
	 * events, though another thread leads. */
	if (!proactor->events_head && !crew->has_leader)
		crew_lead(proactor, deadline_ns);
	else
		pro__proactor_wait(proactor, deadline_ns, false);
	pro__proactor_begin_turn(proactor);
	if (proactor->events_head && crew->running < crew->concurrency)
		return crew_dispatch(proactor, seat);
	if (!crew_goes_on(proactor, deadline_ns, heeds_end))
		return 0;
	if (crew->has_leader)
		crew_park(proactor, deadline_ns);
	else if (proactor->events_head)
		crew_lead(proactor, deadline_ns);
	return 0;
}

/* The next must take over what this thread did; when the loop is over, each that leaves tells one
 * more. */
static void crew_leave(struct pro_proactor *proactor)
{
	struct pro__crew *crew = proactor->crew;

	crew->threads--;
	if (!crew->has_leader || pro__proactor_is_drained(proactor) ||
			pro__proactor_must_stop(proactor, true))
		crew_unpark(crew);
	if (crew->threads == 0)
		pro__proactor_arm_foreign_loop(proactor);
	if (crew->has_leader &&
			(pro__proactor_is_drained(proactor) || pro__proactor_must_stop(proactor, true)))
		proactor->port_vtbl->wake(proactor->port);
}

int pro__crew_run(struct pro_proactor *proactor, uint64_t deadline_ns, bool heeds_end, bool is_one)
{
	struct seat seat = {.proactor = proactor, .outer = current_seat};
	const struct pro_proactor *outer_loop;
	int error;
	int count = 0;

	if (seat_of(proactor))
		return PRO_EBUSY;
	outer_loop = pro__set_current_loop(NULL);
	crew_lock(proactor);
	error = proactor->port_vtbl->enter(proactor->port);
	if (!error) {
		current_seat = &seat;
		proactor->crew->threads++;
		do
			count = crew_turn(proactor, &seat, deadline_ns, heeds_end);
		while (!(is_one && count > 0) && crew_goes_on(proactor, deadline_ns, heeds_end));
		crew_leave(proactor);
		current_seat = seat.outer;
	}
	crew_unlock(proactor);
	pro__set_current_loop(outer_loop);
	return error ? error : count;
}

bool pro__crew_is_running(struct pro_proactor *proactor)
{
	bool is_running;

	pro__mutex_lock(&proactor->crew->lock);
	is_running = proactor->crew->threads > 0;
	pro__mutex_unlock(&proactor->crew->lock);
	return is_running;
}

/* ---- callbacks that block ---- */

void pro_proactor_begin_blocking(struct pro_proactor *proactor)
{
	struct pro__crew *crew = proactor->crew;
	struct seat *seat = crew ? seat_of(proactor) : NULL;

	if (!seat || seat->is_blocking)
		return;
	crew_lock(proactor);
	seat->is_blocking = true;
	crew->running--;
	/* What this callback started must not wait for its end. */
	pro__proactor_begin_turn(proactor);
	pro__proactor_wait(proactor, 0, false);
	if (proactor->events_head || !crew->has_leader)
		crew_unpark(crew);
	crew_unlock(proactor);
}

void pro_proactor_end_blocking(struct pro_proactor *proactor)
{
	struct pro__crew *crew = proactor->crew;
	struct seat *seat = crew ? seat_of(proactor) : NULL;

	if (!seat || !seat->is_blocking)
		return;
	crew_lock(proactor);
	seat->is_blocking = false;
	/* For a while more than `concurrency` may run, as on NT: a callback is not stopped in its
	 * middle. */
	crew->running++;
	crew_unlock(proactor);
}

/* ---- for callbacks that must touch the engine at once ---- */

/* The loop that a callback of another proactor runs inside. */
static _Thread_local const struct pro_proactor *inner_loop;

void pro__loop_enter(struct pro_proactor *proactor)
{
	if (!proactor->crew)
		return;
	inner_loop = pro__set_current_loop(NULL);
	crew_lock(proactor);
}

void pro__loop_leave(struct pro_proactor *proactor)
{
	if (!proactor->crew)
		return;
	crew_unlock(proactor);
	pro__set_current_loop(inner_loop);
}

/* ---- a callback that the crew did not dispatch: open of a service handler ---- */

static const char runner_outside; /* stands for a thread without a seat */

void pro__owner_begin_callback(struct pro_owner *owner)
{
	if (owner->proactor->crew && !(owner->flags & PRO__OWNER_CONCURRENT)) {
		owner->runner = &runner_outside;
		owner->runs = 1;
	}
}

void pro__owner_end_callback_now(struct pro_owner *owner)
{
	if (owner->runner == &runner_outside) {
		owner->runner = NULL;
		owner->runs = 0;
		owner_return_deferred(owner);
	}
}
