/* What no scenario of the contract can time: calls of other threads between two steps of a start, a
 * close or a connect. The steps are made one by one here, by the engine's own functions. */
#include <check.h>

#include <proactor/asynch_connector.h>

#include "../proactor/engine.h"
#include "support/os.h"
#include "support/recorder.h"
#include "support/suite.h"

static struct world world;
static struct recorder *user;

static void set_up(void)
{
	world_init(&world, "operation");
	world.is_traced = false;
	world_open(&world);
	user = recorder_create(&world, "user");
	recorder_open_free(user);
}

static void tear_down(void)
{
	world_fini(&world);
}

/* ---- starts of other threads ---- */

static int start_claimed(void)
{
	struct pro_operation *operation = &user->timer.operation;

	operation->request.timer.delay_ms = 0;
	operation->request.timer.interval_ms = 0;
	return pro__operation_start(operation);
}

/* _i: the loop takes the cancel before the start, or both at once. */
START_TEST(a_start_on_its_way_is_cancelled)
{
	struct pro_operation *operation = &user->timer.operation;

	recorder_begin_start(user, EVENT_TIME_OUT);
	ASSERT_OK(pro__operation_claim(operation, NULL));
	ASSERT_OK(pro_operation_cancel(operation));
	if (_i)
		ck_assert_int_ge(pro_proactor_handle_events(world.proactor, 0), 0);
	ASSERT_OK(recorder_end_start(user, EVENT_TIME_OUT, start_claimed()));
	RUN_UNTIL(&world, user->count[EVENT_TIME_OUT]);
	ASSERT_ERROR(user->last[EVENT_TIME_OUT].error, PRO_ECANCELED);
	ASSERT_OK(recorder_timer(user, 0));
	RUN_UNTIL(&world, user->count[EVENT_TIME_OUT] == 2);
	ASSERT_OK(user->last[EVENT_TIME_OUT].error);
}
END_TEST

START_TEST(a_cancel_of_a_refused_start_hits_no_other)
{
	struct pro_operation *operation = &user->timer.operation;

	ASSERT_OK(pro__operation_claim(operation, NULL));
	ASSERT_OK(pro_operation_cancel(operation));
	ASSERT_ERROR(pro__operation_give_back(operation, PRO_EINVAL), PRO_EINVAL);
	ASSERT_OK(recorder_timer(user, 0));
	RUN_UNTIL(&world, user->count[EVENT_TIME_OUT]);
	ASSERT_OK(user->last[EVENT_TIME_OUT].error);
}
END_TEST

/* ---- handles of handlers that close ---- */

static void close_and_own(struct recorder *recorder, const struct event *event)
{
	pro_handle handle;

	if (event && event->kind != EVENT_TIME_OUT)
		return;
	ASSERT_OK(pro_socket_dgram(world.proactor, PRO_FAMILY_INET, NULL, &handle));
	recorder_close(recorder);
	pro_handler_set_handle(recorder_handler(recorder), handle);
}

/* _i: on the loop, where the close begins at once. */
START_TEST(a_handle_that_comes_after_the_close_is_closed)
{
	unsigned before = world_handle_count(&world);

	if (_i) {
		user->on_event = close_and_own;
		ASSERT_OK(recorder_timer(user, 0));
	} else {
		close_and_own(user, NULL);
	}
	RUN_UNTIL(&world, user->is_closed && world_handle_count(&world) == before);
}
END_TEST

/* ---- cancels between the tries of a connector ---- */

struct attempt {
	struct pro_asynch_connector connector; /* first */
	struct pro_addr listener;
	struct attempt *other; /* closed at the end of this one; or NULL */
	unsigned ends;
	int error;
	bool is_closed;
};

static int note_end(
		struct pro_asynch_connector *connector, int error, const struct pro_addr *remote)
{
	struct attempt *attempt = pro_container_of(connector, struct attempt, connector);

	(void)remote;
	attempt->ends++;
	attempt->error = error;
	if (attempt->other)
		pro_asynch_connector_close(&attempt->other->connector);
	return 1;
}

static struct pro_service_handler *no_handler(struct pro_asynch_connector *connector)
{
	(void)connector;
	return NULL;
}

static void note_close(struct pro_asynch_connector *connector)
{
	pro_container_of(connector, struct attempt, connector)->is_closed = true;
}

static const struct pro_asynch_connector_vtbl attempt_vtbl = {
		.make_handler = no_handler,
		.validate_connection = note_end,
		.handle_close = note_close,
};

/* As if a name had two addresses, of which the first refuses. */
static void connect_and_cancel(struct recorder *recorder, const struct event *event)
{
	struct attempt *attempt = recorder->context;
	struct pro_asynch_connector *connector = &attempt->connector;
	struct pro_addr nobody = world_addr("127.0.0.1:1");

	if (event->kind != EVENT_TIME_OUT)
		return;
	ASSERT_OK(pro_asynch_connector_connect(connector, &nobody, NULL));
	connector->resolve.request.found[0] = attempt->listener;
	connector->resolve.request.count = 1;
	ASSERT_OK(pro_asynch_connector_cancel(connector));
}

START_TEST(a_connect_is_cancelled_between_its_tries)
{
	struct recorder *server = recorder_create(&world, "server");
	struct attempt attempt = {.ends = 0};

	attempt.listener = recorder_listen(server, ANY_INET);
	ASSERT_OK(pro_asynch_connector_open(&attempt.connector, &attempt_vtbl, world.proactor));
	user->context = &attempt;
	user->on_event = connect_and_cancel;
	for (unsigned i = 1; i <= 2; i++) {
		ASSERT_OK(recorder_timer(user, 0));
		RUN_UNTIL(&world, attempt.ends == i);
		ASSERT_ERROR(attempt.error, PRO_ECANCELED);
		ASSERT_ERROR(pro_asynch_connector_cancel(&attempt.connector), PRO_ENOTFOUND);
	}
	/* It hits no later one. */
	ASSERT_OK(pro_asynch_connector_connect(&attempt.connector, &attempt.listener, NULL));
	RUN_UNTIL(&world, attempt.ends == 3);
	ASSERT_OK(attempt.error);
	pro_asynch_connector_close(&attempt.connector);
	RUN_UNTIL(&world, attempt.is_closed);
}
END_TEST

START_TEST(a_connect_is_cancelled_while_its_name_is_looked_up)
{
	struct attempt attempt = {.ends = 0};

	ASSERT_OK(pro_asynch_connector_open(&attempt.connector, &attempt_vtbl, world.proactor));
	ASSERT_OK(pro_asynch_connector_connect_to(&attempt.connector, "localhost:1"));
	ASSERT_OK(pro_asynch_connector_cancel(&attempt.connector));
	RUN_UNTIL(&world, attempt.ends == 1);
	ASSERT_ERROR(attempt.error, PRO_ECANCELED);
	pro_asynch_connector_close(&attempt.connector);
	RUN_UNTIL(&world, attempt.is_closed);
}
END_TEST

/* Both connects are over before the first is told of. */
START_TEST(a_connection_that_comes_after_the_close_is_closed)
{
	struct recorder *server = recorder_create(&world, "server");
	struct attempt attempts[2] = {{.other = &attempts[1]}, {.other = NULL}};
	char text[128];

	os_make_local_address(text, sizeof(text));
	attempts[0].listener = recorder_listen(server, text);
	for (unsigned i = 0; i < 2; i++) {
		ASSERT_OK(pro_asynch_connector_open(&attempts[i].connector, &attempt_vtbl, world.proactor));
		ASSERT_OK(
				pro_asynch_connector_connect(&attempts[i].connector, &attempts[0].listener, NULL));
	}
	RUN_UNTIL(&world, attempts[0].ends == 1 && attempts[1].is_closed);
	ASSERT_OK(attempts[0].error);
	ck_assert_uint_eq(attempts[1].ends, 1);
	ASSERT_ERROR(attempts[1].error, PRO_ECANCELED);
	pro_asynch_connector_close(&attempts[0].connector);
	RUN_UNTIL(&world, attempts[0].is_closed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("operation");
	TCase *tcase = tcase_create("steps");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, a_start_on_its_way_is_cancelled, 0, 2);
	tcase_add_test(tcase, a_cancel_of_a_refused_start_hits_no_other);
	tcase_add_loop_test(tcase, a_handle_that_comes_after_the_close_is_closed, 0, 2);
	tcase_add_test(tcase, a_connect_is_cancelled_between_its_tries);
	tcase_add_test(tcase, a_connect_is_cancelled_while_its_name_is_looked_up);
	tcase_add_test(tcase, a_connection_that_comes_after_the_close_is_closed);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
