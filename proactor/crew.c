/* Several threads run one loop, as the completion port of NT has it: any number of them, at most
 * `concurrency` in callbacks, one wake for one completion, last in first out.
 *
 * A turn, with the lock: take requests and timers; if there are events and a slot is free, take a
 * batch of them and run the callbacks without the lock; else lead if nobody does, that is, wait in
 * the port; else park. After a batch the same thread goes on, so that as long as callbacks are
 * short one thread does everything: nobody else is woken, and who was leaves the rest to it. Others
 * are woken when a batch would take long, when a callback says that it blocks, and by an alarm when
 * one blocks without saying so; they take the rest of its batch too.
 *
 * A thread that does not lead looks into the port as well, and may find there what was to wake the
 * leader. So it does what the leader would have done, and calls the leader again if that was
 * called. */
#include "crew_seat.h"

#include "ports/parking.h"
#include "ports/thread.h"

#include <assert.h>
#include <string.h>

/* A batch is to last about as long as waking another thread costs several times over; what is
 * beyond goes to others. */
#define BATCH_NS 50000u
/* Callbacks are short when a whole batch of them lasts no longer. */
#define SHORT_NS (BATCH_NS / PRO__BATCH_MAX)
/* When a thread that runs callbacks is to be thought of as blocked. */
#define ALARM_NS 1000000u
/* Between pauses shorter than this, on average, the alarm stays set. A single pause counts up to so
 * much that it alone ends a row of short ones. */
#define PAUSE_NS     (ALARM_NS / 4)
#define AVERAGED     8
#define PAUSE_MAX_NS (PAUSE_NS * AVERAGED)
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
	bool is_leader_called;
	unsigned dispatching;       /* threads in callbacks, those that block too */
	uint64_t leader_until_ns;   /* the leader waits no longer than this */
	uint64_t look_ns;           /* the leader's interval now */
	uint64_t callback_ns;       /* what a callback took lately, as a moving average */
	uint64_t pause_ns;          /* what lay between two batches lately, the same */
	uint64_t ended_ns;          /* when the last batch did */
	uint64_t alarm_ns;          /* when the alarm comes; 0: it is not set */
	struct pro_list_node seats; /* of the threads that run the loop */
};

/* What one call of the loop is to do. */
struct run {
	uint64_t deadline_ns;
	bool heeds_end;
	bool is_one; /* one turn with callbacks is enough */
};

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

bool pro__crew_is_in_callback(const struct pro_proactor *proactor)
{
	return proactor->crew && pro__seat_of(proactor);
}

bool pro__crew_takes_requests_soon(const struct pro_proactor *proactor)
{
	const struct pro__seat *seat = proactor->crew ? pro__seat_of(proactor) : NULL;

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
	pro__list_init(&crew->seats);
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
	if (crew->parked <= crew->wakes)
		return;
	crew->wakes++;
	pro__parking_wake(&crew->parking);
}

/* The leader must look again at `by_ns` at the latest. */
static void crew_call_leader(struct pro_proactor *proactor, uint64_t by_ns)
{
	struct pro__crew *crew = proactor->crew;

	if (!crew->has_leader || crew->leader_until_ns <= by_ns)
		return;
	crew->leader_until_ns = by_ns;
	crew->is_leader_called = true;
	proactor->port_vtbl->wake(proactor->port);
}

/* Another thread is to go on: one that is parked, or else the leader. */
static void crew_send_another(struct pro_proactor *proactor)
{
	if (proactor->crew->parked > proactor->crew->wakes)
		crew_unpark(proactor->crew);
	else
		crew_call_leader(proactor, 0);
}

/* The alarm comes when callbacks that begin now have run for ALARM_NS, or up to as much later: so
 * one that is set serves many batches. */
static void crew_set_alarm(struct pro__crew *crew, uint64_t now_ns)
{
	if (crew->alarm_ns >= now_ns + ALARM_NS)
		return;
	crew->alarm_ns = now_ns + 2 * ALARM_NS;
	pro__parking_set_alarm(&crew->parking, 2 * ALARM_NS);
}

/* Nobody runs a callback, so nobody has to be looked after. To take the alarm back and set it again
 * around each pause costs more than a short batch does: when pauses are short it stays, and wakes a
 * thread in vain if this one is long. */
static void crew_rest_alarm(struct pro__crew *crew)
{
	if (crew->alarm_ns == 0 || crew->pause_ns < PAUSE_NS)
		return;
	crew->alarm_ns = 0;
	pro__parking_set_alarm(&crew->parking, 0);
}

static void crew_park(struct pro_proactor *proactor, uint64_t deadline_ns)
{
	struct pro__crew *crew = proactor->crew;
	uint64_t taken;

	crew->parked++;
	crew_unlock(proactor);
	/* Nothing may come of a wait because the system finishes on this thread what it once submitted:
	 * then the leader is told. */
	do
		taken = pro__parking_wait(&crew->parking, pro__nanoseconds_until(proactor, deadline_ns));
	while (taken == 0 && !pro__proactor_is_past(proactor, deadline_ns));
	crew_lock(proactor);
	crew->parked--;
	if (taken == PRO__PARKING_ALARM) {
		crew->alarm_ns = 0;
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
	uint64_t timers_ns = pro__proactor_timers_due_ns(proactor);
	uint64_t look_at_ns;

	if (crew->running > 0) {
		look_at_ns = pro_proactor_now_ns(proactor) + crew->look_ns;
		crew->look_ns = crew->look_ns * 2 < LOOK_LAST_NS ? crew->look_ns * 2 : LOOK_LAST_NS;
		if (look_at_ns < deadline_ns)
			deadline_ns = look_at_ns;
	} else {
		crew_rest_alarm(crew);
	}
	crew->has_leader = true;
	crew->is_leader_called = false;
	crew->leader_until_ns = timers_ns < deadline_ns ? timers_ns : deadline_ns;
	pro__proactor_wait(proactor, deadline_ns, true);
	crew->has_leader = false;
}

/* Takes requests and timers; a timer that another thread leads too long for is told to that. */
static void crew_begin_turn(struct pro_proactor *proactor)
{
	pro__proactor_begin_turn(proactor);
	if (proactor->crew->has_leader)
		crew_call_leader(proactor, pro__proactor_timers_due_ns(proactor));
}

/* Looks into the port without waiting, though another thread may lead. Returns whether it left
 * nothing for the port to do. */
static bool crew_poll(struct pro_proactor *proactor)
{
	bool is_quiet;

	pro__proactor_wait(proactor, 0, false);
	if (proactor->crew->has_leader) {
		/* Whoever pushed before this did not wake the leader again, and is heard below. */
		atomic_store(&proactor->is_sleeping, true);
		if (proactor->crew->is_leader_called)
			proactor->port_vtbl->wake(proactor->port);
	}
	is_quiet = !atomic_load(&proactor->inbox) &&
			   !pro__proactor_is_past(proactor, pro__proactor_timers_due_ns(proactor));
	crew_begin_turn(proactor);
	return is_quiet;
}

void pro__wait_begin(struct pro_proactor *proactor)
{
	if (proactor->crew)
		crew_unlock(proactor);
}

void pro__wait_end(struct pro_proactor *proactor)
{
	if (proactor->crew)
		crew_lock(proactor);
}

/* ---- batches ---- */

/* A thread whose batch has come to a stop. */
static struct pro__seat *crew_find_late(const struct pro_proactor *proactor)
{
	const struct pro__crew *crew = proactor->crew;
	struct pro_list_node *node;
	uint64_t now_ns;

	if (crew->dispatching == 0)
		return NULL;
	now_ns = proactor->port_vtbl->now_ns(proactor->port);
	for (node = crew->seats.next; node != &crew->seats; node = node->next) {
		struct pro__seat *seat = pro_container_of(node, struct pro__seat, link);

		if (seat->is_dispatching && !seat->was_robbed &&
				(seat->is_blocking || now_ns - seat->began_ns >= ALARM_NS) &&
				pro__seat_holds_others(seat))
			return seat;
	}
	return NULL;
}

/* Calls what was taken; what a robber left, when it was robbed. Returns with the lock. */
static void seat_call_batch(struct pro_proactor *proactor, struct pro__seat *seat)
{
	atomic_store_explicit(&seat->next, 0, memory_order_relaxed);
	do {
		unsigned count = seat->count;
		unsigned i;

		seat->was_robbed = false;
		crew_unlock(proactor);
		while ((i = atomic_fetch_add(&seat->next, 1)) < count)
			seat->batch[i].call(seat->batch[i].event);
		crew_lock(proactor);
		if (seat->was_robbed)
			atomic_store_explicit(&seat->next, seat->kept, memory_order_relaxed);
	} while (seat->was_robbed && seat->kept < seat->count);
}

/* ---- dispatch ---- */

static uint64_t smaller(uint64_t left, uint64_t right)
{
	return left < right ? left : right;
}

static uint64_t average(uint64_t before, uint64_t now)
{
	return (before * (AVERAGED - 1) + now) / AVERAGED;
}

static void crew_learn(struct pro__crew *crew, const struct pro__seat *seat, uint64_t now_ns)
{
	uint64_t pause_ns = seat->began_ns > crew->ended_ns ? seat->began_ns - crew->ended_ns : 0;

	/* What takes longer than a batch is to last has one of its own, however long it takes. */
	if (!seat->has_blocked && seat->count > 0)
		crew->callback_ns = average(
				crew->callback_ns, smaller((now_ns - seat->began_ns) / seat->count, BATCH_NS));
	crew->pause_ns = average(crew->pause_ns, smaller(pause_ns, PAUSE_MAX_NS));
	crew->ended_ns = now_ns;
}

static bool crew_has_work(const struct pro_proactor *proactor)
{
	return proactor->events_head || crew_find_late(proactor);
}

static bool crew_is_short(const struct pro__crew *crew)
{
	return crew->callback_ns <= SHORT_NS;
}

/* Whether another thread is at work and will soon be through with all there is. A second one would
 * cost more, by waking and by waiting for each other, than the callbacks do. */
static bool crew_is_attended(const struct pro_proactor *proactor)
{
	const struct pro__crew *crew = proactor->crew;
	const struct pro_list_node *node;

	if (!crew_is_short(crew))
		return false;
	for (node = crew->seats.next; node != &crew->seats; node = node->next) {
		const struct pro__seat *seat = pro_container_of(node, struct pro__seat, link);

		if ((seat->is_polling || (seat->is_dispatching && !seat->is_blocking)) &&
				proactor->port_vtbl->now_ns(proactor->port) - seat->began_ns < ALARM_NS)
			return true;
	}
	return false;
}

static bool crew_may_dispatch(const struct pro_proactor *proactor)
{
	return proactor->crew->running < proactor->crew->concurrency && crew_has_work(proactor);
}

/* One more thread is in callbacks: the leader must look after it. */
static void crew_begin_running(struct pro_proactor *proactor, uint64_t now_ns)
{
	proactor->crew->running++;
	proactor->crew->look_ns = LOOK_FIRST_NS;
	crew_call_leader(proactor, now_ns + LOOK_LAST_NS);
}

/* Runs the callbacks of what was taken; returns how many. The loop may end in between: what was
 * taken is run, since it is prepared. */
static int crew_dispatch(struct pro_proactor *proactor, struct pro__seat *seat)
{
	struct pro__crew *crew = proactor->crew;
	unsigned count;

	pro__seat_take_batch(
			seat, &crew->seats, crew_find_late(proactor), BATCH_NS / (crew->callback_ns + 1) + 1);
	if (seat->count == 0)
		return 0;
	seat->began_ns = pro_proactor_now_ns(proactor);
	crew_begin_running(proactor, seat->began_ns);
	if (proactor->events_head && crew->running < crew->concurrency && !crew_is_short(crew))
		crew_send_another(proactor);
	else if (crew->parked > 0)
		crew_set_alarm(crew, seat->began_ns);
	crew->dispatching++;
	seat->is_dispatching = true;
	seat->has_blocked = false;
	seat_call_batch(proactor, seat);
	seat->is_dispatching = false;
	crew->dispatching--;
	/* A callback that forgot to say that it blocks no more. */
	if (seat->is_blocking)
		seat->is_blocking = false;
	else
		crew->running--;
	count = seat->count;
	crew_learn(crew, seat, pro_proactor_now_ns(proactor));
	pro__seat_finish(seat, count);
	seat->count = 0;
	return (int)count;
}

static bool crew_goes_on(struct pro_proactor *proactor, const struct run *run)
{
	return !pro__proactor_must_stop(proactor, run->heeds_end || run->is_one) &&
		   !pro__proactor_is_drained(proactor) &&
		   !pro__proactor_is_past(proactor, run->deadline_ns);
}

static int crew_turn(struct pro_proactor *proactor, struct pro__seat *seat, const struct run *run)
{
	struct pro__crew *crew = proactor->crew;
	bool is_attended = crew_is_attended(proactor);
	bool is_quiet = true;

	crew_begin_turn(proactor);
	if (pro__proactor_is_drained(proactor) || pro__proactor_must_stop(proactor, run->heeds_end))
		return 0;
	/* What was started must reach the kernel, and what is complete must not wait behind a flood of
	 * events, though another thread leads. */
	if (!crew->has_leader && !is_attended && !crew_has_work(proactor)) {
		crew_lead(proactor, run->deadline_ns);
		crew_begin_turn(proactor);
	} else {
		seat->began_ns = pro_proactor_now_ns(proactor);
		seat->is_polling = true;
		is_quiet = crew_poll(proactor);
		seat->is_polling = false;
	}
	is_attended = crew_is_attended(proactor);
	if (!is_attended && crew_may_dispatch(proactor))
		return crew_dispatch(proactor, seat);
	/* What this turn began must reach the kernel before a rest. */
	if (!is_quiet || !crew_goes_on(proactor, run))
		return 0;
	if (is_attended)
		crew_set_alarm(crew, pro_proactor_now_ns(proactor));
	if (is_attended || crew->has_leader)
		crew_park(proactor, run->deadline_ns);
	else if (crew_has_work(proactor))
		crew_lead(proactor, run->deadline_ns);
	return 0;
}

/* ---- the loop ---- */

/* The next must take over what this thread did; when the loop is over, each that leaves tells one
 * more. */
static void crew_leave(struct pro_proactor *proactor)
{
	struct pro__crew *crew = proactor->crew;
	bool is_over = pro__proactor_is_drained(proactor) || pro__proactor_must_stop(proactor, true);

	crew->threads--;
	if (crew->threads == 0)
		pro__proactor_arm_foreign_loop(proactor);
	else if (!crew->has_leader || is_over || crew_may_dispatch(proactor))
		crew_send_another(proactor);
	if (is_over)
		crew_call_leader(proactor, 0);
	/* Not covered: only the port of Windows wants to know. */
	if (proactor->port_vtbl->leave)
		proactor->port_vtbl->leave(proactor->port);
}

int pro__crew_run(struct pro_proactor *proactor, uint64_t deadline_ns, bool heeds_end, bool is_one)
{
	const struct run run = {.deadline_ns = deadline_ns, .heeds_end = heeds_end, .is_one = is_one};
	struct pro__seat seat = {.proactor = proactor};
	const struct pro_proactor *outer_loop;
	int error;
	int count = 0;

	/* The lock of a forked child may be held for ever. */
	if (pro__is_forked(proactor))
		return PRO_EFORKED;
	if (pro__seat_of(proactor))
		return PRO_EBUSY;
	outer_loop = pro__set_current_loop(NULL);
	crew_lock(proactor);
	error = proactor->port_vtbl->enter(proactor->port);
	if (!error) {
		pro__seat_take_place(&seat, &proactor->crew->seats);
		proactor->crew->threads++;
		do
			count = crew_turn(proactor, &seat, &run);
		while (!(is_one && count > 0) && crew_goes_on(proactor, &run));
		pro__seat_leave_place(&seat);
		crew_leave(proactor);
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
	struct pro__seat *seat = crew ? pro__seat_of(proactor) : NULL;
	const struct pro_proactor *inner;

	if (!seat || seat->is_blocking || pro__is_forked(proactor))
		return;
	inner = pro__set_current_loop(NULL);
	crew_lock(proactor);
	seat->is_blocking = true;
	seat->has_blocked = true;
	if (!seat->was_robbed)
		pro__seat_finish_before(seat, atomic_load_explicit(&seat->next, memory_order_relaxed));
	crew->running--;
	/* What this callback started must not wait for its end. */
	crew_begin_turn(proactor);
	if (!crew_poll(proactor))
		crew_call_leader(proactor, 0); /* Not covered: something came this very moment. */
	if (!crew->has_leader || crew_may_dispatch(proactor))
		crew_send_another(proactor);
	/* Not covered: only the port of Windows wants to know. */
	if (proactor->port_vtbl->leave)
		proactor->port_vtbl->leave(proactor->port);
	crew_unlock(proactor);
	pro__set_current_loop(inner);
}

void pro_proactor_end_blocking(struct pro_proactor *proactor)
{
	struct pro__crew *crew = proactor->crew;
	struct pro__seat *seat = crew ? pro__seat_of(proactor) : NULL;
	const struct pro_proactor *inner;

	if (!seat || !seat->is_blocking || pro__is_forked(proactor))
		return;
	inner = pro__set_current_loop(NULL);
	crew_lock(proactor);
	seat->is_blocking = false;
	/* For a while more than `concurrency` may run, as on NT: a callback is not stopped in its
	 * middle. */
	crew_begin_running(proactor, pro_proactor_now_ns(proactor));
	crew_unlock(proactor);
	pro__set_current_loop(inner);
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
