/* Statement 11: any callback may restart, close its own or another handler, stop the loop, post,
 * cancel. Each pair of callback and action has a proactor of its own. */
#include "conformance.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/recorder.h"

#define ACTION_LIST(X)                                                                             \
	X(RESTART, "restart")                                                                          \
	X(CLOSE_SELF, "close_self")                                                                    \
	X(CLOSE_OTHER, "close_other")                                                                  \
	X(CLOSE_BOTH, "close_both")                                                                    \
	X(END_LOOP, "end_loop")                                                                        \
	X(SHUTDOWN, "shutdown")                                                                        \
	X(POST_SELF, "post_self")                                                                      \
	X(POST_OTHER, "post_other")                                                                    \
	X(WAKEUP_SELF, "wakeup_self")                                                                  \
	X(CANCEL_OTHER, "cancel_other")                                                                \
	X(DESTROY, "destroy")                                                                          \
	X(RUN, "run")

enum action {
#define ACTION_ENUM(name, text) ACTION_##name,
	ACTION_LIST(ACTION_ENUM)
#undef ACTION_ENUM
			ACTIONS
};

/* The subject's callback of `kind` does `action`, once. */
struct pair {
	struct world world;
	enum event_kind kind;
	enum action action;
	bool is_done;
	struct recorder *subject;
	struct recorder *other; /* has a read and a timer in flight */
	struct recorder *third; /* what the subject needs: a peer, a listener */
	pro_handle file;
	pro_handle handles[2];
	struct pro_addr addr;
	struct pro_message_block in, out, other_in, peer_out, posted[2];
	char bytes[16], other_bytes[16];
};

static int return_0(void *argument)
{
	(void)argument;
	return 0;
}

static int pair_start(struct pair *pair)
{
	struct recorder *subject = pair->subject;

	pro_message_block_reset(&pair->in);
	pro_message_block_init_filled(&pair->out, "bytes", 5);
	switch (pair->kind) {
	case EVENT_READ_STREAM:
		return recorder_read(subject, &pair->in, 0);
	case EVENT_WRITE_STREAM:
		return recorder_write(subject, &pair->out);
	case EVENT_READ_FILE:
		return STARTED(subject, READ_FILE,
				pro_asynch_read_file_read(&subject->file_reader, &pair->in, 0, 0));
	case EVENT_WRITE_FILE:
		return STARTED(subject, WRITE_FILE,
				pro_asynch_write_file_write(&subject->file_writer, &pair->out, 0));
	case EVENT_READ_DGRAM:
		return STARTED(
				subject, READ_DGRAM, pro_asynch_read_dgram_recv(&subject->dgram_reader, &pair->in));
	case EVENT_WRITE_DGRAM:
		return STARTED(subject, WRITE_DGRAM,
				pro_asynch_write_dgram_send(&subject->dgram_writer, &pair->out, &pair->addr));
	case EVENT_ACCEPT:
		return STARTED(subject, ACCEPT, pro_asynch_accept_accept(&subject->accept));
	case EVENT_CONNECT:
		return STARTED(
				subject, CONNECT, pro_asynch_connect_connect(&subject->connect, &pair->addr, NULL));
	case EVENT_TRANSMIT_FILE:
		return STARTED(subject, TRANSMIT_FILE,
				pro_asynch_transmit_file_transmit_file(
						&subject->sender, pair->file, 0, 3, &pair->out, NULL));
	case EVENT_RESOLVE:
		return STARTED(
				subject, RESOLVE, pro_asynch_resolve_resolve(&subject->resolver, "127.0.0.1:80"));
	case EVENT_TIME_OUT:
		return recorder_timer(subject, 0);
	case EVENT_WORK:
		return STARTED(subject, WORK, pro_asynch_work_run(&subject->work, return_0, NULL));
	case EVENT_POST:
		return recorder_post(subject, &pair->out, NULL);
	case EVENT_WAKEUP:
		return pro_handler_wakeup(recorder_handler(subject));
	case EVENT_OPEN:
	case EVENT_CLOSE:
	case EVENT_KINDS:
		break;
	}
	return 0;
}

static void pair_act(struct pair *pair)
{
	struct pro_proactor *proactor = pair->world.proactor;
	bool is_closing = pair->kind == EVENT_CLOSE;
	struct recorder *subject = pair->subject;

	switch (pair->action) {
	case ACTION_RESTART:
		if (is_closing)
			ASSERT_ERROR(recorder_timer(subject, 0), PRO_ECLOSED);
		else
			ASSERT_OK(pair_start(pair));
		return;
	case ACTION_CLOSE_SELF:
		recorder_close(subject);
		return;
	case ACTION_CLOSE_OTHER:
		recorder_close(pair->other);
		return;
	case ACTION_CLOSE_BOTH:
		recorder_close(pair->other);
		recorder_close(subject);
		return;
	case ACTION_END_LOOP:
		pro_proactor_end_event_loop(proactor);
		return;
	case ACTION_SHUTDOWN:
		pro_proactor_shutdown(proactor);
		pro_proactor_shutdown(proactor);
		return;
	case ACTION_POST_SELF:
		ASSERT_ERROR(recorder_post(subject, &pair->posted[0], NULL), is_closing ? PRO_ECLOSED : 0);
		return;
	case ACTION_POST_OTHER:
		ASSERT_OK(recorder_post(pair->other, &pair->posted[1], NULL));
		return;
	case ACTION_WAKEUP_SELF:
		ASSERT_ERROR(pro_handler_wakeup(recorder_handler(subject)), is_closing ? PRO_ECLOSED : 0);
		return;
	case ACTION_CANCEL_OTHER:
		ASSERT_OK(recorder_cancel(&pair->other->reader.operation));
		ASSERT_OK(recorder_cancel(&pair->other->timer.operation));
		return;
	case ACTION_DESTROY:
		ASSERT_ERROR(pro_proactor_destroy(proactor), PRO_EBUSY);
		return;
	case ACTION_RUN:
		ASSERT_ERROR(pro_proactor_run_event_loop(proactor), PRO_EBUSY);
		ASSERT_ERROR(pro_proactor_handle_events(proactor, 0), PRO_EBUSY);
		return;
	case ACTIONS:
		break;
	}
}

static void pair_on_event(struct recorder *recorder, const struct event *event)
{
	struct pair *pair = recorder->context;

	if (event->kind != pair->kind || pair->is_done)
		return;
	pair->is_done = true;
	if (event->kind != EVENT_CLOSE)
		ASSERT_OK(event->error);
	pair_act(pair);
}

/* Opens the subject's service handler from inside the loop. */
static void third_on_event(struct recorder *recorder, const struct event *event)
{
	struct pair *pair = recorder->context;

	if (event->kind == EVENT_TIME_OUT && event->error == 0)
		pro_service_handler_open(&pair->subject->service, pair->handles[0], NULL, NULL);
}

/* Makes what the subject needs, and makes its callback come. */
static void pair_prepare(struct pair *pair)
{
	struct world *world = &pair->world;
	struct recorder *subject = pair->subject, *third = pair->third;

	pair->file = world_file(world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	recorder_open_file(subject, pair->file);
	recorder_open_file(third, pair->file);
	ASSERT_OK(STARTED(third, WRITE_FILE,
			pro_asynch_write_file_write(&third->file_writer, &pair->peer_out, 0)));
	RUN_UNTIL(world, third->count[EVENT_WRITE_FILE]);
	pro_message_block_init_filled(&pair->peer_out, "content", 7);
	recorder_open_free(subject);
	recorder_open_free(third);

	switch (pair->kind) {
	case EVENT_READ_STREAM:
	case EVENT_WRITE_STREAM:
	case EVENT_TRANSMIT_FILE:
		recorder_pair(subject, third);
		ASSERT_OK(recorder_write(third, &pair->peer_out));
		break;
	case EVENT_READ_DGRAM:
	case EVENT_WRITE_DGRAM:
		pair->addr = recorder_own_dgram(subject, ANY_INET);
		recorder_own_dgram(third, ANY_INET);
		ASSERT_OK(STARTED(third, WRITE_DGRAM,
				pro_asynch_write_dgram_send(&third->dgram_writer, &pair->peer_out, &pair->addr)));
		break;
	case EVENT_ACCEPT:
		pair->addr = recorder_listen(subject, ANY_INET);
		ASSERT_OK(STARTED(
				third, CONNECT, pro_asynch_connect_connect(&third->connect, &pair->addr, NULL)));
		break;
	case EVENT_CONNECT:
		pair->addr = recorder_listen(third, ANY_INET);
		break;
	case EVENT_OPEN:
		ASSERT_OK(pro_socket_pair(world->proactor, pair->handles));
		recorder_own_stream(third, pair->handles[1]);
		third->on_event = third_on_event;
		ASSERT_OK(recorder_timer(third, 0));
		break;
	case EVENT_CLOSE:
		recorder_close(subject);
		break;
	default:
		break;
	}
}

static void pair_init(struct pair *pair, enum event_kind kind, enum action action)
{
	struct world *world = &pair->world;
	struct recorder *peer;

	memset(pair, 0, sizeof(*pair));
	world_init(world, "pair");
	world->is_traced = false;
	world->options.lent_blocks = 8;
	world_open(world);
	pair->kind = kind;
	pair->action = action;
	pair->subject = recorder_create(world, "subject");
	pair->other = recorder_create(world, "other");
	pair->third = recorder_create(world, "third");
	pair->subject->context = pair;
	pair->subject->on_event = pair_on_event;
	pair->third->context = pair;
	pro_message_block_init(&pair->in, pair->bytes, sizeof(pair->bytes));
	pro_message_block_init(&pair->other_in, pair->other_bytes, sizeof(pair->other_bytes));
	pro_message_block_init_filled(&pair->peer_out, "content", 7);
	pro_message_block_init_filled(&pair->posted[0], "self", 4);
	pro_message_block_init_filled(&pair->posted[1], "other", 5);

	peer = recorder_create(world, "peer");
	recorder_pair(pair->other, peer);
	recorder_open_free(pair->other);
	ASSERT_OK(recorder_read(pair->other, &pair->other_in, 0));
	ASSERT_OK(recorder_timer(pair->other, 60000));
}

static void pair_check(struct pair *pair)
{
	struct recorder *subject = pair->subject, *other = pair->other;

	switch (pair->action) {
	case ACTION_RESTART:
	case ACTION_DESTROY:
	case ACTION_RUN:
		return;
	case ACTION_CLOSE_SELF:
		RUN_UNTIL(&pair->world, subject->is_closed);
		return;
	case ACTION_CLOSE_OTHER:
		RUN_UNTIL(&pair->world, other->is_closed);
		ck_assert_uint_eq(other->cancels[EVENT_READ_STREAM], 1);
		return;
	case ACTION_CLOSE_BOTH:
		RUN_UNTIL(&pair->world, other->is_closed && subject->is_closed);
		return;
	case ACTION_END_LOOP:
		ck_assert(pro_proactor_event_loop_done(pair->world.proactor));
		pro_proactor_reset_event_loop(pair->world.proactor);
		return;
	case ACTION_SHUTDOWN:
		RUN_UNTIL(&pair->world, subject->is_closed && other->is_closed);
		ASSERT_ERROR(recorder_timer(subject, 0), PRO_ECLOSED);
		return;
	case ACTION_POST_SELF:
		RUN_UNTIL(&pair->world, pair->kind == EVENT_CLOSE || subject->count[EVENT_POST]);
		return;
	case ACTION_POST_OTHER:
		RUN_UNTIL(&pair->world, other->count[EVENT_POST] == 1);
		return;
	case ACTION_WAKEUP_SELF:
		RUN_UNTIL(&pair->world, pair->kind == EVENT_CLOSE || subject->count[EVENT_WAKEUP]);
		return;
	case ACTION_CANCEL_OTHER:
		RUN_UNTIL(&pair->world,
				other->cancels[EVENT_READ_STREAM] == 1 && other->cancels[EVENT_TIME_OUT] == 1);
		return;
	case ACTIONS:
		return;
	}
}

static void run_pair(enum event_kind kind, enum action action)
{
	struct pair pair;

	pair_init(&pair, kind, action);
	pair_prepare(&pair);
	ASSERT_OK(pair_start(&pair));
	RUN_UNTIL(&pair.world, pair.is_done);
	pair_check(&pair);
	if (pair.action != ACTION_END_LOOP && pair.action != ACTION_SHUTDOWN)
		world_run_ready(&pair.world);
	ASSERT_OK(pro_proactor_close_handle(pair.world.proactor, pair.file));
	world_fini(&pair.world);
}

static void run_action(struct world *world, enum action action)
{
	static const char *const texts[ACTIONS] = {
#define ACTION_TEXT(name, text) text,
			ACTION_LIST(ACTION_TEXT)
#undef ACTION_TEXT
	};

	for (int kind = 0; kind < EVENT_KINDS; kind++) {
		world_note(world, "%s in %s", texts[action], event_kind_text((enum event_kind)kind));
		if (getenv("PROACTOR_TEST_LOG"))
			fprintf(stderr, "%s in %s\n", texts[action], event_kind_text((enum event_kind)kind));
		run_pair((enum event_kind)kind, action);
	}
}

void scenario_every_callback_may_restart(struct world *world)
{
	run_action(world, ACTION_RESTART);
}

void scenario_every_callback_may_close_its_handler(struct world *world)
{
	run_action(world, ACTION_CLOSE_SELF);
}

void scenario_every_callback_may_close_another_handler(struct world *world)
{
	run_action(world, ACTION_CLOSE_OTHER);
}

void scenario_every_callback_may_close_both(struct world *world)
{
	run_action(world, ACTION_CLOSE_BOTH);
}

void scenario_every_callback_may_end_the_loop(struct world *world)
{
	run_action(world, ACTION_END_LOOP);
}

void scenario_every_callback_may_shut_down(struct world *world)
{
	run_action(world, ACTION_SHUTDOWN);
}

void scenario_every_callback_may_post_to_its_handler(struct world *world)
{
	run_action(world, ACTION_POST_SELF);
}

void scenario_every_callback_may_post_to_another_handler(struct world *world)
{
	run_action(world, ACTION_POST_OTHER);
}

void scenario_every_callback_may_wake_its_handler(struct world *world)
{
	run_action(world, ACTION_WAKEUP_SELF);
}

void scenario_every_callback_may_cancel_another_operation(struct world *world)
{
	run_action(world, ACTION_CANCEL_OTHER);
}

void scenario_no_callback_may_destroy_the_proactor(struct world *world)
{
	run_action(world, ACTION_DESTROY);
}

void scenario_no_callback_may_run_the_loop(struct world *world)
{
	run_action(world, ACTION_RUN);
}
