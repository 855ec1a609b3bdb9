/* Linux alone; statements 19 and 28 to 30, and get_handle: signals, forks, credentials, forbidden
 * rings. */
#include "conformance.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <proactor/asynch_acceptor.h>

#include "../support/crew.h"
#include "../support/os.h"
#include "../support/recorder.h"

/* ---- 17 ---- */

/* The peer reads nothing, so that no byte of the write goes out before its deadline. */
void scenario_end_does_not_follow_a_write_that_failed(struct world *world)
{
	static char bytes[65536];
	struct recorder *left, *right;
	struct pro_message_block out;
	pro_handle handle;

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	handle = pro_handler_handle(recorder_handler(left));
	while (send((int)handle, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	while (send((int)handle, bytes, 1, MSG_DONTWAIT) > 0)
		;
	ASSERT_OK(pro_operation_set_timeout(&left->writer.operation, 20));
	pro_message_block_init_filled(&out, "bytes", 5);
	ASSERT_OK(recorder_write(left, &out));
	ASSERT_OK(pro_asynch_write_stream_shutdown(&left->writer));
	RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM]);
	ASSERT_ERROR(left->last[EVENT_WRITE_STREAM].error, PRO_ETIMEDOUT);
	ck_assert_uint_eq(left->last[EVENT_WRITE_STREAM].bytes, 0);
	world_run_ready(world);
	handle = pro_handler_handle(recorder_handler(right));
	while (recv((int)handle, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	ck_assert_int_eq(recv((int)handle, bytes, sizeof(bytes), MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
}

/* ---- 19 ---- */

static volatile sig_atomic_t sigpipes;

static void count_sigpipe(int number)
{
	(void)number;
	sigpipes++;
}

static void write_until_error(struct world *world, struct recorder *left)
{
	static unsigned char bytes[65536];
	struct pro_message_block block;

	while (left->errors[EVENT_WRITE_STREAM] == 0) {
		unsigned before = left->count[EVENT_WRITE_STREAM];

		pro_message_block_init_filled(&block, bytes, sizeof(bytes));
		ASSERT_OK(recorder_write(left, &block));
		RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM] > before);
	}
	ck_assert(left->last[EVENT_WRITE_STREAM].error == PRO_EPIPE ||
			  left->last[EVENT_WRITE_STREAM].error == PRO_ECONNRESET);
}

static void transmit_until_error(struct world *world, struct recorder *left, pro_handle file)
{
	while (left->errors[EVENT_TRANSMIT_FILE] == 0) {
		unsigned before = left->count[EVENT_TRANSMIT_FILE];

		ASSERT_OK(STARTED(left, TRANSMIT_FILE,
				pro_asynch_transmit_file_transmit_file(
						&left->sender, file, 0, PRO_TRANSMIT_ALL, NULL, NULL)));
		RUN_UNTIL(world, left->count[EVENT_TRANSMIT_FILE] > before);
	}
}

/* Sockets, pairs and pipes whose reader is gone, written and transmitted to. */
void scenario_writing_to_the_dead_raises_no_sigpipe(struct world *world)
{
	struct sigaction action = {.sa_handler = count_sigpipe}, before;
	pro_handle file;

	ck_assert_int_eq(sigaction(SIGPIPE, &action, &before), 0);
	world_open(world);
	world_make_sparse_file(world, "file", 1 << 20);
	file = world_file(world, "file", PRO_FILE_READ);
	for (unsigned kind = 0; kind < 6; kind++) {
		struct recorder *left = recorder_create(world, "left");
		struct recorder *right = recorder_create(world, "right");
		int pipe[2];

		if (kind % 3 == 0)
			recorder_pair(left, right);
		else if (kind % 3 == 1)
			recorder_tcp_pair(left, right, ANY_INET);
		else
			os_pipe(pipe);
		if (kind % 3 == 2) {
			os_close(pipe[0]);
			recorder_own_stream(left, pipe[1]);
		}
		recorder_close(right);
		RUN_UNTIL(world, right->is_closed);
		if (kind < 3)
			write_until_error(world, left);
		else if (kind < 5)
			transmit_until_error(world, left, file);
		ck_assert_msg(sigpipes == 0, "SIGPIPE in round %u", kind);
	}
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
	world_close_recorders(world);
	ck_assert_int_eq(sigaction(SIGPIPE, &before, NULL), 0);
}

/* ---- 28 ---- */

struct forked {
	struct world *world;
	struct recorder *left, *right;
	struct pro_message_block *borrowed; /* or NULL */
	struct pro_message_block *block;
};

static struct pro_service_handler *make_nothing(struct pro_asynch_acceptor *acceptor)
{
	(void)acceptor;
	return NULL;
}

static int child_calls(void *context)
{
	struct forked *forked = context;
	struct pro_proactor *proactor = forked->world->proactor;
	struct pro_handler *handler = recorder_handler(forked->right);
	struct pro_asynch_acceptor_vtbl acceptor_vtbl = {.make_handler = make_nothing};
	struct pro_asynch_acceptor acceptor;
	struct pro_addr addr = world_addr("127.0.0.1:0");
	struct pro_message_block block;
	struct pro_handler unborn;
	unsigned descriptors;
	char bytes[4];
	int pipe[2];

	pro_message_block_init(&block, bytes, sizeof(bytes));
	if (pro_proactor_run_event_loop_for(proactor, 10) != PRO_EFORKED)
		return 1;
	if (pro_proactor_handle_events(proactor, 0) != PRO_EFORKED)
		return 2;
	if (pro_asynch_read_stream_read(&forked->right->reader, &block, 0) != PRO_EFORKED)
		return 3;
	if (pro_asynch_timer_schedule(&forked->right->timer, 1) != PRO_EFORKED)
		return 4;
	block.wr = 4;
	if (pro_asynch_write_stream_write(&forked->right->writer, &block) != PRO_EFORKED)
		return 5;
	if (pro_handler_post(handler, &block, NULL) != PRO_EFORKED)
		return 6;
	if (pro_handler_wakeup(handler) != PRO_EFORKED)
		return 7;
	if (pro_operation_cancel(&forked->left->reader.operation) != PRO_EFORKED)
		return 8;
	if (pro_asynch_timer_cancel_all(recorder_handler(forked->left)) != PRO_EFORKED)
		return 9;
	if (pro_asynch_acceptor_open(&acceptor, &acceptor_vtbl, proactor, &addr) != PRO_EFORKED)
		return 10;
	if (pro_operation_set_timeout(&forked->left->reader.operation, 1) != PRO_EFORKED)
		return 11;
	if (pro_proactor_dump(proactor, NULL, NULL) != PRO_EFORKED)
		return 12;
	descriptors = os_descriptor_count();
	os_pipe(pipe);
	if (pro_proactor_close_handle(proactor, pipe[0]) != 0 ||
			os_descriptor_count() != descriptors + 1)
		return 13;
	if (pro_handler_init(&unborn, &recorder_vtbl.handler, proactor) != 0)
		return 14;
	pro_handler_close(handler);
	pro_message_block_release(forked->borrowed);
	pro_proactor_shutdown(proactor);
	if (pro_proactor_destroy(proactor) != 0)
		return 15;
	return 0;
}

static void fork_in_callback(struct recorder *recorder, const struct event *event)
{
	if (event->kind == EVENT_WAKEUP)
		ck_assert_int_eq(os_run_forked(child_calls, recorder->context), 0);
}

static struct pro_message_block *borrow_block(struct world *world)
{
	struct recorder *giver = recorder_create(world, "giver");
	struct recorder *taker = recorder_create(world, "taker");
	struct pro_message_block out;

	recorder_pair(giver, taker);
	taker->keeps_blocks = true;
	pro_message_block_init_filled(&out, "x", 1);
	ASSERT_OK(recorder_write(giver, &out));
	ASSERT_OK(recorder_read(taker, NULL, 0));
	RUN_UNTIL(world, taker->count[EVENT_READ_STREAM] && giver->count[EVENT_WRITE_STREAM]);
	ASSERT_OK(taker->last[EVENT_READ_STREAM].error);
	return taker->last[EVENT_READ_STREAM].block;
}

void scenario_after_a_fork_the_child_fails_and_the_parent_loses_nothing(struct world *world)
{
	struct pro_message_block in, out;
	struct forked forked = {.world = world};
	struct recorder *forker;
	char bytes[4];

	world_open(world);
	forked.left = recorder_create(world, "left");
	forked.right = recorder_create(world, "right");
	forker = recorder_create(world, "forker");
	forker->context = &forked;
	forker->on_event = fork_in_callback;
	recorder_tcp_pair(forked.left, forked.right, ANY_INET);
	recorder_open_free(forked.left);
	recorder_open_free(forked.right);
	forked.borrowed = borrow_block(world);
	for (unsigned i = 1; i <= 4; i++) {
		pro_message_block_init(&in, bytes, sizeof(bytes));
		pro_message_block_init_filled(&out, "x", 1);
		ASSERT_OK(recorder_read(forked.left, &in, 0));
		ASSERT_OK(recorder_timer(forked.left, 5));
		if (i % 2)
			world_run_ready(world);
		if (i < 3)
			ck_assert_int_eq(os_run_forked(child_calls, &forked), 0);
		else
			ASSERT_OK(pro_handler_wakeup(recorder_handler(forker)));
		ASSERT_OK(recorder_write(forked.right, &out));
		RUN_UNTIL(world, forked.left->count[EVENT_READ_STREAM] == i &&
								 forked.left->count[EVENT_TIME_OUT] == i &&
								 forked.right->count[EVENT_WRITE_STREAM] == i &&
								 forker->count[EVENT_WAKEUP] == (i > 2 ? i - 2 : 0));
		ASSERT_OK(forked.left->last[EVENT_READ_STREAM].error);
	}
	pro_message_block_release(forked.borrowed);
}

static int child_uses_its_own(void *context)
{
	struct world world;

	(void)context;
	world_init(&world, "child");
	world.is_traced = false;
	world_open(&world);
	for (unsigned i = 0; i < 3; i++) {
		struct recorder *timer = recorder_create(&world, "timer");

		recorder_open_free(timer);
		ASSERT_OK(recorder_timer(timer, 1));
		RUN_UNTIL(&world, timer->count[EVENT_TIME_OUT]);
	}
	world_fini(&world);
	return 0;
}

void scenario_a_forked_child_may_have_a_proactor_of_its_own(struct world *world)
{
	struct recorder *timer;

	world_open(world);
	timer = recorder_create(world, "timer");
	recorder_open_free(timer);
	ASSERT_OK(recorder_timer(timer, 10));
	world_run_ready(world);
	ck_assert_int_eq(os_run_forked(child_uses_its_own, NULL), 0);
	RUN_UNTIL(world, timer->count[EVENT_TIME_OUT]);
}

/* ---- 29 ---- */

/* The directory is root's alone: a connect after the change of user must be refused. */
static int connect_as_nobody(void *context)
{
	char text[256];
	struct pro_addr addr;
	struct recorder *listener, *client;
	struct world world;

	(void)context;
	world_init(&world, "nobody");
	world.is_traced = false;
	world_open(&world);
	listener = recorder_create(&world, "listener");
	client = recorder_create(&world, "client");
	snprintf(text, sizeof(text), "unix:%s", world_path(&world, "socket"));
	addr = recorder_listen(listener, text);
	recorder_open_free(client);
	ASSERT_OK(STARTED(client, CONNECT, pro_asynch_connect_connect(&client->connect, &addr, NULL)));
	RUN_UNTIL(&world, client->count[EVENT_CONNECT] == 1);
	ASSERT_OK(client->last[EVENT_CONNECT].error);
	os_become_nobody();
	ASSERT_OK(STARTED(client, CONNECT, pro_asynch_connect_connect(&client->connect, &addr, NULL)));
	RUN_UNTIL(&world, client->count[EVENT_CONNECT] == 2);
	ASSERT_ERROR(client->last[EVENT_CONNECT].error, PRO_EACCES);
	world_close_recorders(&world);
	ASSERT_OK(pro_proactor_destroy(world.proactor));
	return 0;
}

void scenario_no_operation_runs_with_credentials_from_before_a_setuid(struct world *world)
{
	(void)world;
	ck_assert_int_eq(os_run_forked(connect_as_nobody, NULL), 0);
}

/* ---- 30 ---- */

static bool has_io_uring(void)
{
	struct pro_proactor_options options;
	struct pro_proactor *proactor;

	pro_proactor_options_init(&options);
	options.port = "io_uring";
	if (pro_proactor_create(&proactor, &options, NULL, 0))
		return false;
	pro_proactor_destroy(proactor);
	return true;
}

static int fall_back(void *context)
{
	const int *error = context;
	struct pro_proactor_report report = {.size = sizeof(report)};
	struct recorder *left, *right;
	struct pro_message_block in, out;
	struct world world;
	char bytes[4];

	unsetenv("PROACTOR_PORT");
	if (!os_forbid_io_uring(*error))
		return 1;
	world_init(&world, "forbidden");
	world.is_traced = false;
	world_open(&world);
	ASSERT_OK(pro_proactor_report(world.proactor, &report));
	ck_assert_str_eq(report.port, "epoll");
	ck_assert_ptr_nonnull(strstr(report.reason, "io_uring"));
	left = recorder_create(&world, "left");
	right = recorder_create(&world, "right");
	recorder_pair(left, right);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	pro_message_block_init_filled(&out, "x", 1);
	ASSERT_OK(recorder_read(left, &in, 0));
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(&world, left->count[EVENT_READ_STREAM]);
	world_fini(&world);
	return 0;
}

static int fail_when_forced(void *context)
{
	const int *error = context;
	struct pro_proactor_options options;
	struct pro_proactor *proactor;
	char why[256] = "";
	int result;

	if (!os_forbid_io_uring(*error))
		return 1;
	for (unsigned by_option = 0; by_option < 2; by_option++) {
		pro_proactor_options_init(&options);
		if (by_option)
			options.port = "io_uring";
		else
			setenv("PROACTOR_PORT", "io_uring", 1);
		result = pro_proactor_create(&proactor, &options, why, sizeof(why));
		ck_assert_ptr_null(proactor);
		ASSERT_ERROR(result, *error == EPERM ? PRO_EPERM : PRO_ENOSYS);
		ck_assert_ptr_nonnull(strstr(why, "io_uring"));
		unsetenv("PROACTOR_PORT");
	}
	return 0;
}

void scenario_forbidden_ring_leads_to_epoll_or_fails_with_the_reason(struct world *world)
{
	static int errors[] = {EPERM, ENOSYS};

	if (!has_io_uring()) {
		printf("%s: left out, there is no io_uring here\n", world->name);
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(os_run_forked(fall_back, &errors[i]), 0);
		ck_assert_int_eq(os_run_forked(fail_when_forced, &errors[i]), 0);
	}
}

/* ---- 0 ---- */

/* The loop in a foreign loop: poll(2) on get_handle says when handle_events has work. */
void scenario_get_handle_polls_readable_when_there_is_work(struct world *world)
{
	struct recorder *left, *right, *timer;
	struct pro_message_block in, out;
	pro_handle handle;
	char bytes[4];

	world_open(world);
	handle = pro_proactor_get_handle(world->proactor);
	ck_assert_int_ne(handle, PRO_INVALID_HANDLE);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	timer = recorder_create(world, "timer");
	recorder_pair(left, right);
	recorder_open_free(timer);
	for (unsigned i = 1; i <= 20; i++) {
		uint64_t end_ms = world_limit_end(RUN_LIMIT_MS);

		pro_message_block_init(&in, bytes, sizeof(bytes));
		pro_message_block_init_filled(&out, "x", 1);
		ASSERT_OK(recorder_read(left, &in, 0));
		ASSERT_OK(recorder_timer(timer, (int64_t)(i % 4) * 5));
		world_run_ready(world);
		ASSERT_OK(recorder_write(right, &out));
		while (left->count[EVENT_READ_STREAM] < i || timer->count[EVENT_TIME_OUT] < i ||
				right->count[EVENT_WRITE_STREAM] < i) {
			ck_assert_msg(os_wait_readable(handle, (int64_t)(end_ms - os_now_ms())),
					"round %u: read %u, timer %u, write %u", i, left->count[EVENT_READ_STREAM],
					timer->count[EVENT_TIME_OUT], right->count[EVENT_WRITE_STREAM]);
			world_run_ready(world);
		}
	}
	world_run_ready(world);
	ck_assert(!os_wait_readable(handle, 20));
}

static void wake_from_thread(void *context, unsigned number)
{
	struct recorder *recorder = context;

	(void)number;
	ASSERT_OK(pro_handler_wakeup(recorder_handler(recorder)));
}

void scenario_get_handle_polls_readable_for_other_threads(struct world *world)
{
	struct recorder *sleeper;
	pro_handle handle;
	struct crew crew;

	world_open(world);
	handle = pro_proactor_get_handle(world->proactor);
	sleeper = recorder_create(world, "sleeper");
	world_run_ready(world);
	for (unsigned i = 1; i <= 50; i++) {
		crew_start(&crew, 1, wake_from_thread, sleeper);
		while (sleeper->count[EVENT_WAKEUP] < i) {
			ck_assert(os_wait_readable(handle, 10000));
			world_run_ready(world);
		}
		crew_join(&crew);
	}
}
