/* Statement 12: how the loop runs, ends, is woken, shuts down and is destroyed. */
#include "conformance.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "../support/crew.h"
#include "../support/os.h"
#include "../support/recorder.h"

#define WAKE_PROMISE_MS 100
#define ROUNDS          21

static int compare_u64(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

static void end_the_loop(struct recorder *recorder, const struct event *event)
{
	if (event->kind == EVENT_WAKEUP)
		pro_proactor_end_event_loop(recorder->world->proactor);
}

/* Two wake-ups wait; the first callback ends the loop, so the second comes after the reset. */
void scenario_end_stops_the_loop_after_the_running_callback(struct world *world)
{
	struct recorder *first, *second;
	unsigned ended_after;

	world_open(world);
	first = recorder_create(world, "first");
	second = recorder_create(world, "second");
	first->on_event = end_the_loop;
	second->on_event = end_the_loop;
	ck_assert(!pro_proactor_event_loop_done(world->proactor));
	ASSERT_OK(pro_handler_wakeup(recorder_handler(first)));
	ASSERT_OK(pro_handler_wakeup(recorder_handler(second)));
	world_enter_loop();
	ASSERT_OK(pro_proactor_run_event_loop(world->proactor));
	/* A thread of a shared loop calls what it has taken. */
	ended_after = first->count[EVENT_WAKEUP] + second->count[EVENT_WAKEUP];
	ck_assert(ended_after == 1 || (ended_after == 2 && world_is_shared()));
	ck_assert(pro_proactor_event_loop_done(world->proactor));
	ASSERT_OK(pro_proactor_run_event_loop(world->proactor));
	ck_assert_uint_eq(first->count[EVENT_WAKEUP] + second->count[EVENT_WAKEUP], ended_after);
	pro_proactor_reset_event_loop(world->proactor);
	ck_assert(!pro_proactor_event_loop_done(world->proactor));
	if (ended_after == 1)
		ASSERT_OK(pro_proactor_run_event_loop(world->proactor));
	world_leave_loop();
	ck_assert_uint_eq(first->count[EVENT_WAKEUP] + second->count[EVENT_WAKEUP], 2);
	pro_proactor_reset_event_loop(world->proactor);
}

void scenario_end_before_the_loop_runs_is_not_forgotten(struct world *world)
{
	uint64_t start_ms;

	world_open(world);
	pro_proactor_end_event_loop(world->proactor);
	pro_proactor_end_event_loop(world->proactor);
	start_ms = pro_proactor_now_ms(world->proactor);
	world_enter_loop();
	ASSERT_OK(pro_proactor_run_event_loop(world->proactor));
	ASSERT_OK(pro_proactor_run_event_loop_for(world->proactor, 60000));
	world_leave_loop();
	ck_assert_uint_lt(pro_proactor_now_ms(world->proactor) - start_ms, 10000);
	pro_proactor_reset_event_loop(world->proactor);
}

/* The loop on a thread of its own. */
struct loop {
	struct world *world;
	struct recorder *recorder;
	PRO_ATOMIC(bool) is_running;
	long thread_id;
	PRO_ATOMIC(uint64_t) returned_ms;
	int result;
};

static void run_loop(void *context, unsigned number)
{
	struct loop *loop = context;
	struct pro_proactor *proactor = loop->world->proactor;

	(void)number;
	loop->thread_id = os_thread_id();
	loop->is_running = true;
	world_enter_loop();
	loop->result = pro_proactor_run_event_loop(proactor);
	world_leave_loop();
	loop->returned_ms = pro_proactor_now_ms(proactor);
	world_close_recorders(loop->world);
}

static uint64_t time_one_end(struct world *world)
{
	struct loop loop = {.world = world};
	struct crew crew;
	uint64_t ended_ms;

	crew_start(&crew, 1, run_loop, &loop);
	while (!loop.is_running)
		os_yield();
	os_wait_until_asleep(loop.thread_id);
	ended_ms = pro_proactor_now_ms(world->proactor);
	pro_proactor_end_event_loop(world->proactor);
	crew_join(&crew);
	ASSERT_OK(loop.result);
	return loop.returned_ms - ended_ms;
}

void scenario_end_from_another_thread_wakes_the_loop_within_100_ms(struct world *world)
{
	uint64_t took_ms[ROUNDS];

	world->is_traced = false;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct world inner;

		world_init(&inner, "inner");
		inner.options.lent_blocks = 8;
		inner.is_traced = false;
		world_open(&inner);
		took_ms[i] = time_one_end(&inner);
		world_fini(&inner);
	}
	qsort(took_ms, ROUNDS, sizeof(took_ms[0]), compare_u64);
	ck_assert_uint_le(took_ms[ROUNDS / 2], WAKE_PROMISE_MS);
}

struct wakes {
	struct recorder *recorder;
	long thread_id;
	PRO_ATOMIC(uint64_t) sent_ms;
	uint64_t took_ms[ROUNDS];
	PRO_ATOMIC(unsigned) arrived;
};

static void wake_and_wait(void *context, unsigned number)
{
	struct wakes *wakes = context;

	(void)number;
	for (unsigned i = 0; i < ROUNDS; i++) {
		os_wait_until_asleep(wakes->thread_id);
		wakes->sent_ms = os_now_ms();
		ASSERT_OK(pro_handler_wakeup(recorder_handler(wakes->recorder)));
		while (wakes->arrived == i)
			os_yield();
	}
}

static void wake_arrives(struct recorder *recorder, const struct event *event)
{
	struct wakes *wakes = recorder->context;

	if (event->kind != EVENT_WAKEUP)
		return;
	wakes->took_ms[wakes->arrived] = os_now_ms() - wakes->sent_ms;
	wakes->arrived++;
}

void scenario_wake_arrives_within_100_ms(struct world *world)
{
	struct wakes wakes = {.thread_id = os_thread_id()};
	struct crew crew;

	world->is_traced = false;
	world_open(world);
	wakes.recorder = recorder_create(world, "sleeper");
	wakes.recorder->context = &wakes;
	wakes.recorder->on_event = wake_arrives;
	crew_start(&crew, 1, wake_and_wait, &wakes);
	RUN_UNTIL(world, wakes.arrived == ROUNDS);
	crew_join(&crew);
	qsort(wakes.took_ms, ROUNDS, sizeof(wakes.took_ms[0]), compare_u64);
	ck_assert_uint_le(wakes.took_ms[ROUNDS / 2], WAKE_PROMISE_MS);
}

static struct pro_proactor *signalled_proactor;

static void end_from_signal(int number)
{
	(void)number;
	pro_proactor_end_event_loop(signalled_proactor);
}

static void raise_in_callback(struct recorder *recorder, const struct event *event)
{
	(void)recorder;
	if (event->kind == EVENT_WAKEUP)
		raise(SIGTERM);
}

void scenario_end_works_from_a_signal_handler(struct world *world)
{
	void (*before)(int) = os_signal_set(SIGTERM, end_from_signal);
	struct recorder *raiser;

	world_open(world);
	raiser = recorder_create(world, "raiser");
	raiser->on_event = raise_in_callback;
	signalled_proactor = world->proactor;
	ASSERT_OK(pro_handler_wakeup(recorder_handler(raiser)));
	world_enter_loop();
	ASSERT_OK(pro_proactor_run_event_loop(world->proactor));
	world_leave_loop();
	os_signal_set(SIGTERM, before);
	ck_assert_uint_eq(raiser->count[EVENT_WAKEUP], 1);
}

void scenario_run_for_lasts_its_time(struct world *world)
{
	struct recorder *timers[3];
	uint64_t start_ms, passed_ms;

	world_open(world);
	for (unsigned i = 0; i < 3; i++) {
		timers[i] = recorder_create(world, "timer");
		recorder_open_free(timers[i]);
		ASSERT_OK(recorder_timer(timers[i], i));
	}
	start_ms = pro_proactor_now_ms(world->proactor);
	world_run_for(world, 150);
	passed_ms = pro_proactor_now_ms(world->proactor) - start_ms;
	ck_assert_uint_ge(passed_ms, 150);
	ck_assert_uint_lt(passed_ms, 150 + world_limit_ms(2000));
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(timers[i]->count[EVENT_TIME_OUT], 1);
	world_run_for(world, 0);
	ck_assert(!pro_proactor_event_loop_done(world->proactor));
}

void scenario_handle_events_counts_callbacks_and_keeps_its_time(struct world *world)
{
	struct recorder *target;
	uint64_t start_ms;

	world_open(world);
	target = recorder_create(world, "target");
	recorder_open_free(target);
	world_enter_loop();
	ck_assert_int_eq(pro_proactor_handle_events(world->proactor, 0), 0);
	start_ms = pro_proactor_now_ms(world->proactor);
	ck_assert_int_eq(pro_proactor_handle_events(world->proactor, 50), 0);
	ck_assert_uint_ge(pro_proactor_now_ms(world->proactor) - start_ms, 50);
	ASSERT_OK(recorder_timer(target, 0));
	ck_assert_int_eq(pro_proactor_handle_events(world->proactor, PRO_NO_TIMEOUT), 1);
	ASSERT_OK(recorder_timer(target, 20));
	ck_assert_int_eq(pro_proactor_handle_events(world->proactor, PRO_NO_TIMEOUT), 1);
	ASSERT_OK(pro_handler_wakeup(recorder_handler(target)));
	ck_assert_int_eq(pro_proactor_handle_events(world->proactor, 10000), 1);
	world_leave_loop();
}

/* A second thread that tries to run or destroy what this one runs. */
struct intruder {
	struct pro_proactor *proactor;
	int run, events, destroy;
};

static void intrude(void *context, unsigned number)
{
	struct intruder *intruder = context;

	(void)number;
	intruder->run = pro_proactor_run_event_loop(intruder->proactor);
	intruder->events = pro_proactor_handle_events(intruder->proactor, 0);
	intruder->destroy = pro_proactor_destroy(intruder->proactor);
}

static void let_intrude(struct recorder *recorder, const struct event *event)
{
	struct crew crew;

	if (event->kind != EVENT_WAKEUP)
		return;
	crew_start(&crew, 1, intrude, recorder->context);
	crew_join(&crew);
}

void scenario_only_one_thread_runs_a_loop(struct world *world)
{
	struct intruder intruder;
	struct recorder *host;

	if (world_is_shared())
		return;
	world_open(world);
	intruder.proactor = world->proactor;
	host = recorder_create(world, "host");
	host->context = &intruder;
	host->on_event = let_intrude;
	ASSERT_OK(pro_handler_wakeup(recorder_handler(host)));
	RUN_UNTIL(world, host->count[EVENT_WAKEUP] == 1);
	ASSERT_ERROR(intruder.run, PRO_EBUSY);
	ASSERT_ERROR(intruder.events, PRO_EBUSY);
	ASSERT_ERROR(intruder.destroy, PRO_EBUSY);
}

static void intrude_between_runs(void *context, unsigned number)
{
	struct intruder *intruder = context;

	(void)number;
	world_enter_loop();
	intruder->events = pro_proactor_handle_events(intruder->proactor, 0);
	if (intruder->events == PRO_ETHREAD)
		intruder->destroy = pro_proactor_destroy(intruder->proactor);
	world_leave_loop();
}

/* Between two runs of a thread some ports are bound to it, and say so; then nothing has happened.
 */
void scenario_refused_thread_changes_nothing(struct world *world)
{
	struct intruder intruder;
	struct recorder *host;
	struct crew crew;

	world->is_traced = false;
	world_open(world);
	intruder.proactor = world->proactor;
	host = recorder_create(world, "host");
	recorder_open_free(host);
	ASSERT_OK(recorder_timer(host, 60000));
	world_run_ready(world);
	crew_start(&crew, 1, intrude_between_runs, &intruder);
	crew_join(&crew);
	ck_assert_uint_eq(host->count[EVENT_TIME_OUT], 0);
	if (intruder.events != PRO_ETHREAD) {
		ASSERT_OK(intruder.events);
		return;
	}
	ASSERT_ERROR(intruder.destroy, PRO_ETHREAD);
	ASSERT_OK(recorder_cancel(&host->timer.operation));
	RUN_UNTIL(world, host->count[EVENT_TIME_OUT] == 1);
	ASSERT_OK(recorder_timer(host, 0));
	RUN_UNTIL(world, host->count[EVENT_TIME_OUT] == 2);
	ASSERT_OK(host->last[EVENT_TIME_OUT].error);
}

/* A set-up as servers have it: reads, accepts, timers, a stalled write, a post. */
struct busy {
	struct recorder *left, *right, *listener, *timer;
	struct pro_message_block in, big, posted;
	char bytes[16];
};

static unsigned char big_bytes[4 << 20];

static void busy_start(struct busy *busy, struct world *world)
{
	busy->left = recorder_create(world, "left");
	busy->right = recorder_create(world, "right");
	busy->listener = recorder_create(world, "listener");
	busy->timer = recorder_create(world, "timer");
	recorder_tcp_pair(busy->left, busy->right, ANY_INET);
	recorder_send_little(busy->left);
	recorder_listen(busy->listener, ANY_INET);
	recorder_open_free(busy->timer);
	pro_message_block_init(&busy->in, busy->bytes, sizeof(busy->bytes));
	pro_message_block_init_filled(&busy->big, big_bytes, sizeof(big_bytes));
	pro_message_block_init_filled(&busy->posted, "x", 1);
	ASSERT_OK(recorder_read(busy->left, &busy->in, 0));
	ASSERT_OK(recorder_write(busy->left, &busy->big));
	ASSERT_OK(STARTED(busy->listener, ACCEPT, pro_asynch_accept_accept(&busy->listener->accept)));
	ASSERT_OK(recorder_timer(busy->timer, 60000));
	ASSERT_OK(recorder_post(busy->timer, &busy->posted, NULL));
}

static void busy_check(const struct busy *busy)
{
	ck_assert_uint_eq(busy->left->cancels[EVENT_READ_STREAM], 1);
	ck_assert_uint_eq(busy->left->count[EVENT_WRITE_STREAM], 1);
	ck_assert_uint_eq(busy->listener->cancels[EVENT_ACCEPT], 1);
	ck_assert_uint_eq(busy->timer->cancels[EVENT_TIME_OUT], 1);
	ck_assert_uint_eq(busy->timer->count[EVENT_POST], 1);
	ck_assert(busy->left->is_closed && busy->right->is_closed && busy->listener->is_closed &&
			  busy->timer->is_closed);
}

void scenario_shutdown_cancels_everything_and_the_loop_returns(struct world *world)
{
	struct busy busy;

	world->is_traced = false;
	world_open(world);
	busy_start(&busy, world);
	world_run_ready(world);
	pro_proactor_shutdown(world->proactor);
	pro_proactor_shutdown(world->proactor);
	world_enter_loop();
	ASSERT_OK(pro_proactor_run_event_loop(world->proactor));
	world_leave_loop();
	busy_check(&busy);
	ASSERT_ERROR(recorder_timer(recorder_create(world, "late"), 1), PRO_EINVAL);
	ck_assert_uint_eq(world_statistics(world).in_flight, 0);
	ck_assert_uint_eq(world_statistics(world).handlers, 0);
	pro_proactor_shutdown(world->proactor);
}

static void start_after_shutdown(struct recorder *recorder, const struct event *event)
{
	struct recorder *late = recorder->context;

	if (event->kind == EVENT_CLOSE)
		ASSERT_ERROR(recorder_timer(late, 0), PRO_ECLOSED);
}

/* A handler that never started anything does not know of the shutdown: its start is refused. */
void scenario_starts_are_refused_after_a_shutdown(struct world *world)
{
	struct recorder *early, *late;

	world_open(world);
	early = recorder_create(world, "early");
	late = recorder_create(world, "late");
	recorder_open_free(early);
	recorder_open_free(late);
	early->context = late;
	early->on_event = start_after_shutdown;
	ASSERT_OK(recorder_timer(early, 60000));
	pro_proactor_shutdown(world->proactor);
	world_enter_loop();
	ASSERT_OK(pro_proactor_run_event_loop(world->proactor));
	world_leave_loop();
	ck_assert_uint_eq(early->cancels[EVENT_TIME_OUT], 1);
	ASSERT_ERROR(recorder_timer(late, 0), PRO_ECLOSED);
	ASSERT_ERROR(recorder_post(late, NULL, NULL), PRO_EINVAL);
}

static void shut_down(void *context, unsigned number)
{
	struct loop *loop = context;

	(void)number;
	while (!loop->is_running)
		os_yield();
	pro_proactor_shutdown(loop->world->proactor);
}

static void run_until_shut_down(void *context, unsigned number)
{
	struct loop *loop = context;
	struct busy busy;

	(void)number;
	busy_start(&busy, loop->world);
	loop->is_running = true;
	world_enter_loop();
	loop->result = pro_proactor_run_event_loop(loop->world->proactor);
	world_leave_loop();
	busy_check(&busy);
}

void scenario_shutdown_may_come_from_other_threads(struct world *world)
{
	struct loop loop = {.world = world};
	struct crew runner, others;

	world->is_traced = false;
	world_open(world);
	crew_start(&runner, 1, run_until_shut_down, &loop);
	crew_start(&others, 3, shut_down, &loop);
	crew_join(&others);
	crew_join(&runner);
	ASSERT_OK(loop.result);
}

void scenario_destroy_closes_what_is_in_flight(struct world *world)
{
	struct busy busy;

	world->is_traced = false;
	world_open(world);
	busy_start(&busy, world);
	world_enter_loop();
	ASSERT_OK(pro_proactor_destroy(world->proactor));
	world_leave_loop();
	world->proactor = NULL;
	busy_check(&busy);
}

void scenario_destroy_accepts_nothing_and_the_unused(struct world *world)
{
	ASSERT_OK(pro_proactor_destroy(NULL));
	world_open(world);
	ASSERT_OK(pro_proactor_destroy(world->proactor));
	world->proactor = NULL;
}

static void leave_in_flight(void *context, unsigned number)
{
	struct loop *loop = context;

	(void)number;
	ASSERT_OK(recorder_timer(loop->recorder, 60000));
	world_run_ready(loop->world);
}

/* The thread that ran the loop is gone: another may bring it to an end. */
void scenario_destroy_after_the_thread_of_the_loop_has_ended(struct world *world)
{
	struct loop loop = {.world = world};
	struct crew crew;

	world_open(world);
	loop.recorder = recorder_create(world, "timer");
	recorder_open_free(loop.recorder);
	crew_start(&crew, 1, leave_in_flight, &loop);
	crew_join(&crew);
	world_enter_loop();
	ASSERT_OK(pro_proactor_destroy(world->proactor));
	world_leave_loop();
	world->proactor = NULL;
	ck_assert_uint_eq(loop.recorder->cancels[EVENT_TIME_OUT], 1);
	ck_assert(loop.recorder->is_closed);
}

void scenario_singleton_is_made_once_and_closed(struct world *world)
{
	struct pro_proactor *proactor = pro_proactor_instance();

	(void)world;
	ck_assert_ptr_nonnull(proactor);
	ck_assert_ptr_eq(pro_proactor_instance(), proactor);
	ASSERT_OK(pro_proactor_run_event_loop_for(proactor, 1));
	ASSERT_OK(pro_proactor_close_singleton());
	ASSERT_OK(pro_proactor_close_singleton());
}
