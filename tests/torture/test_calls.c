/* What the Linux ports do when a certain system call fails: each refusal has its reason and leaves
 * nothing behind, and what the contract hides is not seen. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <proactor/asynch_acceptor.h>
#include <proactor/proactor_group.h>

#include "../support/os.h"
#include "../support/recorder.h"
#include "../support/suite.h"
#include "calls.h"

static struct world world;

static void set_up(void)
{
	world_init(&world, "calls");
	world.is_traced = false;
}

static bool is_ring(void)
{
	const char *port = getenv("PROACTOR_PORT");

	return port && !strcmp(port, "io_uring");
}

/* ---- a proactor that can not be had ---- */

enum on { ON_BOTH, ON_EPOLL, ON_RING };

static const struct refusal {
	enum on on;
	bool is_shared;
	const char *call;
	unsigned skip;
	unsigned times;
	int os_error;
	int error;
	const char *why;
} refusals[] = {
		{ON_BOTH, false, "pthread_mutex_init", 0, 1, ENOMEM, PRO_ENOMEM, ""},
		{ON_BOTH, false, "pthread_cond_init", 0, 1, ENOMEM, PRO_ENOMEM, ""},
		{ON_BOTH, true, "pthread_mutex_init", 1, 1, ENOMEM, PRO_ENOMEM, ""},
		{ON_BOTH, true, "epoll_create1", 0, 1, EMFILE, PRO_EMFILE, ""},
		{ON_BOTH, true, "timerfd_create", 0, 1, EMFILE, PRO_EMFILE, ""},
		{ON_BOTH, true, "eventfd", 0, 1, EMFILE, PRO_EMFILE, ""},
		{ON_BOTH, true, "epoll_ctl", 0, 1, ENOMEM, PRO_ENOMEM, ""},
		{ON_BOTH, true, "epoll_ctl", 1, 1, ENOSPC, PRO_ENOSPC, ""},
		{ON_EPOLL, false, "epoll_create1", 0, 1, ENFILE, PRO_ENFILE, "epoll_create1: "},
		{ON_EPOLL, false, "timerfd_create", 0, 1, EMFILE, PRO_EMFILE, "timerfd_create: "},
		{ON_EPOLL, false, "epoll_ctl", 0, 1, ENOMEM, PRO_ENOMEM, "epoll_ctl: "},
		{ON_EPOLL, false, "epoll_ctl", 1, 1, ENOMEM, PRO_ENOMEM, "epoll_ctl: "},
		{ON_BOTH, false, "eventfd", 0, 1, EMFILE, PRO_EMFILE, "eventfd: "},
		{ON_BOTH, false, "madvise", 0, 1, EINVAL, 0, "madvise"},
		{ON_EPOLL, false, "mmap", 0, 1, ENOMEM, PRO_ENOMEM, "madvise"},
		{ON_RING, false, "mmap", 1, 1, ENOMEM, PRO_ENOMEM, "madvise"},
		{ON_RING, false, "io_uring_queue_init_params", 0, 1, EPERM, PRO_EPERM,
				"io_uring_setup: EPERM"},
		{ON_RING, false, "io_uring_queue_init_params", 1, 1, EMFILE, PRO_EMFILE,
				"io_uring_setup: EMFILE"},
		/* Every rung is refused; every size is. */
		{ON_RING, false, "io_uring_queue_init_params", 0, 3, EINVAL, PRO_EINVAL,
				"io_uring_setup: EINVAL"},
		{ON_RING, false, "io_uring_queue_init_params", 1, 6, ENOMEM, PRO_ENOMEM,
				"io_uring_setup: ENOMEM"},
		{ON_RING, false, "io_uring_queue_init_params", 0, 1, SHORT, PRO_ENOTSUP, "older than 5.11"},
		{ON_RING, false, "io_uring_ring_dontfork", 0, 1, ENOMEM, PRO_ENOMEM, "io_uring_setup"},
		{ON_RING, false, "io_uring_register_probe", 0, 1, EACCES, PRO_EACCES, "io_uring_register"},
		{ON_RING, false, "io_uring_register_probe", 0, 1, SHORT, PRO_ENOTSUP, "IORING_OP_NOP"},
		{ON_RING, false, "io_uring_submit_and_wait", 0, 1, EPERM, PRO_EPERM, "io_uring_enter"},
};
#define REFUSALS ((int)(sizeof(refusals) / sizeof(refusals[0])))

START_TEST(a_refused_proactor_leaves_nothing)
{
	const struct refusal *refusal = &refusals[_i];
	struct pro_proactor *proactor;
	char why[256] = "";
	int error;

	if (refusal->on != ON_BOTH && is_ring() != (refusal->on == ON_RING))
		return;
	world.options.is_shared = refusal->is_shared;
	calls_fail(refusal->call, refusal->skip, refusal->times, refusal->os_error);
	error = pro_proactor_create(&proactor, &world.options, why, sizeof(why));
	ck_assert_uint_eq(calls_forget(), 0);
	ck_assert_int_lt(error, 0);
	if (refusal->error)
		ASSERT_ERROR(error, refusal->error);
	ck_assert_msg(strstr(why, refusal->why), "\"%s\" is not in \"%s\"", refusal->why, why);
	ck_assert_uint_eq(os_descriptor_count(), world.descriptors);
	ck_assert_int_eq(world.memory.live, 0);
}
END_TEST

/* Whichever of the mutexes it is. */
START_TEST(a_refused_watched_proactor_leaves_nothing)
{
	struct pro_proactor *proactor = NULL;
	unsigned skip;

	world.options.debug = PRO_DEBUG_REPORT;
	for (skip = 0; !proactor; skip++) {
		int error;

		calls_fail("pthread_mutex_init", skip, 1, ENOMEM);
		error = pro_proactor_create(&proactor, &world.options, NULL, 0);
		if (calls_forget() == 0) {
			ASSERT_ERROR(error, PRO_ENOMEM);
			ck_assert_uint_eq(os_descriptor_count(), world.descriptors);
			ck_assert_int_eq(world.memory.live, 0);
		}
	}
	ck_assert_uint_gt(skip, 2);
	ASSERT_OK(pro_proactor_destroy(proactor));
}
END_TEST

static const struct lack {
	const char *call;
	unsigned skip;
	int os_error;
	const char *missing;
} lacks[] = {
		{"epoll_pwait2", 0, ENOSYS, "epoll_pwait2"},
		{"io_uring_register_buf_ring", 0, EINVAL, "buffer_ring"},
		{"mmap", 0, ENOMEM, "buffer_ring"},
		{"io_uring_submit_and_wait", 1, EAGAIN, "cancel_fd"},
		{"io_uring_queue_init_params", 0, EINVAL, "defer_taskrun"},
};
#define LACKS ((int)(sizeof(lacks) / sizeof(lacks[0])))

/* Bytes flow with what is there. */
static void chat_a_little(void)
{
	struct recorder *left = recorder_create(&world, "left");
	struct recorder *right = recorder_create(&world, "right");
	struct pro_message_block out;

	recorder_pair(left, right);
	ASSERT_OK(recorder_read(right, NULL, 0));
	world_run_ready(&world);
	pro_message_block_init_filled(&out, "hello", 5);
	ASSERT_OK(recorder_write(left, &out));
	/* Perhaps they come in two parts. */
	for (unsigned reads = 1; reads == 1 || right->bytes[EVENT_READ_STREAM] < 5; reads++) {
		RUN_UNTIL(&world, right->count[EVENT_READ_STREAM] == reads);
		ASSERT_OK(recorder_read(right, NULL, 0));
	}
	RUN_UNTIL(&world, left->count[EVENT_WRITE_STREAM] == 1);
	recorder_close(left);
	RUN_UNTIL(&world, right->errors[EVENT_READ_STREAM] == 1);
	ASSERT_ERROR(right->last[EVENT_READ_STREAM].error, PRO_EOF);
}

START_TEST(what_the_kernel_lacks_is_told_and_done_without)
{
	const struct lack *lack = &lacks[_i];
	struct pro_proactor_report report = {.size = sizeof(report)};

	if (is_ring() == (_i == 0))
		return;
	calls_fail(lack->call, lack->skip, 1, lack->os_error);
	world_open(&world);
	ck_assert_uint_eq(calls_forget(), 0);
	ASSERT_OK(pro_proactor_report(world.proactor, &report));
	ck_assert_msg(strstr(report.missing, lack->missing), "\"%s\"", report.missing);
	chat_a_little();
	world_fini(&world);
}
END_TEST

START_TEST(short_memory_makes_a_smaller_ring)
{
	struct pro_proactor_report report = {.size = sizeof(report)};

	if (!is_ring())
		return;
	world.options.entries = 64;
	calls_fail("io_uring_queue_init_params", 1, 2, ENOMEM);
	world_open(&world);
	ASSERT_OK(pro_proactor_report(world.proactor, &report));
	ck_assert_uint_eq(report.entries, 16);
	chat_a_little();
	world_fini(&world);
}
END_TEST

START_TEST(the_largest_ring_works)
{
	struct pro_proactor_report report = {.size = sizeof(report)};

	world.options.entries = 32768;
	world_open(&world);
	ASSERT_OK(pro_proactor_report(world.proactor, &report));
	if (is_ring())
		ck_assert_uint_eq(report.entries, 32768);
	chat_a_little();
	world_fini(&world);
}
END_TEST

/* ---- the handle for a foreign loop ---- */

static const struct {
	const char *call;
	unsigned skip;
} handle_calls[] = {
		{"epoll_create1", 0},
		{"eventfd", 0},
		{"timerfd_create", 0},
		{"epoll_ctl", 0},
		{"epoll_ctl", 1},
		{"epoll_ctl", 2},
};
#define HANDLE_CALLS ((int)(sizeof(handle_calls) / sizeof(handle_calls[0])))

START_TEST(a_handle_that_can_not_be_had_is_asked_for_again)
{
	unsigned descriptors;

	if (!is_ring())
		return;
	world_open(&world);
	descriptors = os_descriptor_count();
	calls_fail(handle_calls[_i].call, handle_calls[_i].skip, 1, ENOMEM);
	ck_assert_int_eq(pro_proactor_get_handle(world.proactor), PRO_INVALID_HANDLE);
	ck_assert_uint_eq(calls_forget(), 0);
	ck_assert_uint_eq(os_descriptor_count(), descriptors);
	/* The loop is none the worse for it. */
	world_run_ready(&world);
	world.memory.fails_always = true;
	ck_assert_int_eq(pro_proactor_get_handle(world.proactor), PRO_INVALID_HANDLE);
	world.memory.fails_always = false;
	ck_assert_int_ne(pro_proactor_get_handle(world.proactor), PRO_INVALID_HANDLE);
	world_fini(&world);
}
END_TEST

static void get_handle(void *context)
{
	*(pro_handle *)context = pro_proactor_get_handle(world.proactor);
}

START_TEST(two_threads_that_ask_at_once_get_one_handle)
{
	pro_handle faster = PRO_INVALID_HANDLE;

	if (!is_ring())
		return;
	world_open(&world);
	calls_run_before("timerfd_create", get_handle, &faster);
	ck_assert_int_eq(pro_proactor_get_handle(world.proactor), faster);
	ck_assert_int_ne(faster, PRO_INVALID_HANDLE);
	ck_assert_uint_eq(calls_forget(), 0);
	ck_assert_int_eq(pro_proactor_get_handle(world.proactor), faster);
	world_fini(&world);
}
END_TEST

/* The ring could not be told of the descriptor at first. */
START_TEST(a_foreign_loop_does_not_go_deaf)
{
	struct recorder *left, *right;
	struct pro_message_block in;
	pro_handle handle;
	char bytes[8];

	if (!is_ring())
		return;
	world_open(&world);
	left = recorder_create(&world, "left");
	right = recorder_create(&world, "right");
	recorder_pair(left, right);
	handle = pro_proactor_get_handle(world.proactor);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(left, &in, 0));
	calls_fail("io_uring_register_eventfd", 0, 2, ENOMEM);
	ck_assert_int_ge(pro_proactor_handle_events(world.proactor, 0), 0);
	ck_assert(os_wait_readable(handle, 5000));
	ck_assert_int_ge(pro_proactor_handle_events(world.proactor, 0), 0);
	ck_assert(os_wait_readable(handle, 5000));
	ck_assert_uint_eq(calls_forget(), 0);
	world_run_ready(&world);
	ck_assert(!os_wait_readable(handle, 0));
	ck_assert_int_eq(
			send((int)pro_handler_handle(recorder_handler(right)), "x", 1, MSG_NOSIGNAL), 1);
	ck_assert(os_wait_readable(handle, 5000));
	RUN_UNTIL(&world, left->bytes[EVENT_READ_STREAM] == 1);
	world_fini(&world);
}
END_TEST

/* ---- workers ---- */

START_TEST(a_name_needs_a_thread)
{
	struct recorder *recorder;

	world_open(&world);
	recorder = recorder_create(&world, "resolver");
	recorder_open_free(recorder);
	calls_fail("pthread_create", 0, 1, EAGAIN);
	ASSERT_OK(STARTED(
			recorder, RESOLVE, pro_asynch_resolve_resolve(&recorder->resolver, "127.0.0.1:80")));
	RUN_UNTIL(&world, recorder->count[EVENT_RESOLVE] == 1);
	ASSERT_ERROR(recorder->last[EVENT_RESOLVE].error, PRO_ENOMEM);
	ck_assert_uint_eq(calls_forget(), 0);
	world_fini(&world);
}
END_TEST

static int never_run(void *context)
{
	(void)context;
	ck_abort_msg("it runs");
	return 0;
}

START_TEST(work_needs_a_thread)
{
	struct recorder *recorder;

	world_open(&world);
	recorder = recorder_create(&world, "worker");
	recorder_open_free(recorder);
	calls_fail("pthread_create", 0, 1, EAGAIN);
	ASSERT_OK(STARTED(recorder, WORK, pro_asynch_work_run(&recorder->work, never_run, NULL)));
	RUN_UNTIL(&world, recorder->count[EVENT_WORK] == 1);
	ASSERT_ERROR(recorder->last[EVENT_WORK].error, PRO_ENOMEM);
	ck_assert_uint_eq(calls_forget(), 0);
	world_fini(&world);
}
END_TEST

/* With a thread that is busy another is not needed at once. */
static int wait_for_gate(void *context)
{
	pthread_mutex_lock(context);
	pthread_mutex_unlock(context);
	return 0;
}

START_TEST(work_waits_for_the_threads_that_there_are)
{
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct recorder *first, *second;

	world.options.worker_threads = 2;
	world_open(&world);
	first = recorder_create(&world, "first");
	recorder_open_free(first);
	second = recorder_create(&world, "second");
	recorder_open_free(second);
	pthread_mutex_lock(&gate);
	ASSERT_OK(STARTED(first, WORK, pro_asynch_work_run(&first->work, wait_for_gate, &gate)));
	world_run_ready(&world);
	calls_fail("pthread_create", 0, 1, EAGAIN);
	ASSERT_OK(STARTED(second, WORK, pro_asynch_work_run(&second->work, wait_for_gate, &gate)));
	world_run_ready(&world);
	ck_assert_uint_eq(calls_forget(), 0);
	ck_assert_uint_eq(second->count[EVENT_WORK], 0);
	pthread_mutex_unlock(&gate);
	RUN_UNTIL(&world, first->count[EVENT_WORK] == 1 && second->count[EVENT_WORK] == 1);
	ASSERT_OK(second->last[EVENT_WORK].error);
	world_fini(&world);
}
END_TEST

static struct recorder *start_cold_transmission(struct recorder **peer, pro_handle *file)
{
	enum { BYTES = 10000 };
	struct recorder *sender = recorder_create(&world, "sender");

	*peer = recorder_create(&world, "peer");
	recorder_tcp_pair(sender, *peer, ANY_INET);
	os_make_sparse_file(world_path(&world, "file"), BYTES);
	*file = world_file(&world, "file", PRO_FILE_READ);
	calls_fail("preadv2", 0, 1, EAGAIN);
	ASSERT_OK(STARTED(sender, TRANSMIT_FILE,
			pro_asynch_transmit_file_transmit_file(
					&sender->sender, *file, 0, PRO_TRANSMIT_ALL, NULL, NULL)));
	return sender;
}

/* What reads the cold file: the ring, or a thread. */
static void fail_to_warm(int error)
{
	calls_fail(is_ring() ? "READ" : "preadv", is_ring() ? 1 : 0, 1, error);
}

START_TEST(a_cold_file_is_warmed)
{
	struct recorder *sender, *peer;
	pro_handle file;

	world_open(&world);
	sender = start_cold_transmission(&peer, &file);
	RUN_UNTIL(&world, sender->count[EVENT_TRANSMIT_FILE] == 1);
	ASSERT_OK(sender->last[EVENT_TRANSMIT_FILE].error);
	ck_assert_uint_eq(calls_forget(), 0);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
	world_fini(&world);
}
END_TEST

START_TEST(a_file_that_can_not_be_warmed_is_told)
{
	struct recorder *sender, *peer;
	pro_handle file;

	world_open(&world);
	/* The ring's first read is the one that waits for a wake. */
	fail_to_warm(EIO);
	sender = start_cold_transmission(&peer, &file);
	RUN_UNTIL(&world, sender->count[EVENT_TRANSMIT_FILE] == 1);
	ASSERT_ERROR(sender->last[EVENT_TRANSMIT_FILE].error, PRO_EIO);
	ck_assert_uint_eq(calls_forget(), 0);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
	world_fini(&world);
}
END_TEST

START_TEST(without_a_thread_a_cold_file_is_an_error)
{
	struct recorder *sender, *peer, *reader;
	struct pro_message_block block;
	pro_handle file;
	char bytes[8];

	if (is_ring())
		return;
	world_open(&world);
	calls_fail("pthread_create", 0, 2, EAGAIN);
	sender = start_cold_transmission(&peer, &file);
	RUN_UNTIL(&world, sender->count[EVENT_TRANSMIT_FILE] == 1);
	ASSERT_ERROR(sender->last[EVENT_TRANSMIT_FILE].error, PRO_ENOMEM);
	reader = recorder_create(&world, "reader");
	recorder_open_file(reader, file);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	calls_fail("preadv2", 0, 1, EAGAIN);
	ASSERT_OK(STARTED(
			reader, READ_FILE, pro_asynch_read_file_read(&reader->file_reader, &block, 0, 0)));
	RUN_UNTIL(&world, reader->count[EVENT_READ_FILE] == 1);
	ASSERT_ERROR(reader->last[EVENT_READ_FILE].error, PRO_ENOMEM);
	ck_assert_uint_eq(calls_forget(), 0);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
	world_fini(&world);
}
END_TEST

/* ---- entries of the ring ---- */

static const struct {
	const char *opcode;
	int error;
	const char *waits_behind; /* an entry that has to meet EAGAIN first */
} entries[] = {
		{"RECV", EINTR, NULL},
		{"RECV", EAGAIN, NULL},
		{"RECV", ECANCELED, NULL},
		{"RECV", ENOBUFS, NULL},
		{"SEND", EINTR, NULL},
		{"SEND", EAGAIN, NULL},
		{"SEND", SHORT, NULL},
		{"POLL_ADD", ECANCELED, "RECV"},
};
#define ENTRIES ((int)(sizeof(entries) / sizeof(entries[0])))

START_TEST(what_an_entry_meets_on_its_way_is_not_seen)
{
	if (!is_ring())
		return;
	world_open(&world);
	calls_fail(entries[_i].opcode, 0, 1, entries[_i].error);
	if (entries[_i].waits_behind)
		calls_fail(entries[_i].waits_behind, 0, 1, EAGAIN);
	chat_a_little();
	ck_assert_uint_eq(calls_forget(), 0);
	world_fini(&world);
}
END_TEST

/* A file system that can only block has a thread of the kernel do it, once; after that it is an
 * error. */
START_TEST(a_file_that_can_only_block_has_a_thread)
{
	struct pro_message_block block;
	struct recorder *recorder;
	pro_handle file;
	char bytes[8];

	if (!is_ring())
		return;
	world_open(&world);
	os_make_sparse_file(world_path(&world, "file"), 8);
	file = world_file(&world, "file", PRO_FILE_READ);
	recorder = recorder_create(&world, "reader");
	recorder_open_file(recorder, file);
	for (unsigned times = 1; times <= 2; times++) {
		pro_message_block_init(&block, bytes, sizeof(bytes));
		calls_fail("READV", 0, times, EAGAIN);
		ASSERT_OK(STARTED(recorder, READ_FILE,
				pro_asynch_read_file_read(&recorder->file_reader, &block, 0, 0)));
		RUN_UNTIL(&world, recorder->count[EVENT_READ_FILE] == times);
		ASSERT_ERROR(recorder->last[EVENT_READ_FILE].error, times == 1 ? 0 : PRO_EAGAIN);
		ck_assert_uint_eq(calls_forget(), 0);
	}
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
	world_fini(&world);
}
END_TEST

/* ---- waiting ---- */

static void *wake_main(void *context)
{
	pro_handler_wakeup(recorder_handler(context));
	return NULL;
}

static void wake_from_elsewhere(void *context)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, wake_main, context), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* Days, and for ever. */
START_TEST(a_long_wait_by_milliseconds_is_woken)
{
	static const int64_t timeouts_ms[] = {INT64_C(40) * 24 * 3600 * 1000, PRO_NO_TIMEOUT, 1};
	struct recorder *recorder;

	if (is_ring())
		return;
	calls_fail("epoll_pwait2", 0, 1, ENOSYS);
	world_open(&world);
	recorder = recorder_create(&world, "recorder");
	recorder_open_free(recorder);
	calls_run_before("epoll_wait", wake_from_elsewhere, recorder);
	world_enter_loop();
	while (recorder->count[EVENT_WAKEUP] == 0)
		ck_assert_int_ge(pro_proactor_handle_events(world.proactor, timeouts_ms[_i]), 0);
	world_leave_loop();
	ck_assert_uint_eq(calls_forget(), 0);
	world_fini(&world);
}
END_TEST

/* ---- sockets ---- */

static struct pro_service_handler *make_nothing(struct pro_asynch_acceptor *acceptor)
{
	(void)acceptor;
	return NULL;
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {.make_handler = make_nothing};

START_TEST(an_acceptor_without_an_address_is_not_opened)
{
	struct pro_addr any = world_addr(ANY_INET);
	struct pro_asynch_acceptor acceptor;

	world_open(&world);
	calls_fail("getsockname", 0, 1, ENOBUFS);
	ASSERT_ERROR(
			pro_asynch_acceptor_open(&acceptor, &acceptor_vtbl, world.proactor, &any), PRO_ENOBUFS);
	ck_assert_uint_eq(calls_forget(), 0);
	world_fini(&world);
}
END_TEST

/* What an earlier datagram met comes out of the ring's receive, and nothing is there then. */
START_TEST(a_datagram_is_waited_for_after_a_leftover_error)
{
	struct recorder *receiver, *sender;
	struct pro_message_block in, out;
	struct pro_addr addr;
	char bytes[8];

	world_open(&world);
	receiver = recorder_create(&world, "receiver");
	addr = recorder_own_dgram(receiver, ANY_INET);
	sender = recorder_create(&world, "sender");
	recorder_own_dgram(sender, ANY_INET);
	calls_fail("RECVMSG", 0, 1, ECONNREFUSED);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(STARTED(
			receiver, READ_DGRAM, pro_asynch_read_dgram_recv(&receiver->dgram_reader, &in)));
	world_run_ready(&world);
	ck_assert_uint_eq(receiver->count[EVENT_READ_DGRAM], 0);
	pro_message_block_init_filled(&out, "1234", 4);
	ASSERT_OK(STARTED(
			sender, WRITE_DGRAM, pro_asynch_write_dgram_send(&sender->dgram_writer, &out, &addr)));
	RUN_UNTIL(&world, receiver->bytes[EVENT_READ_DGRAM] == 4);
	calls_forget();
	world_fini(&world);
}
END_TEST

/* Another file took the number of one that is waited on, and the port can not find out which. */
START_TEST(a_number_of_another_needs_a_look)
{
	struct recorder *old, *new;
	pro_handle old_pair[2], new_pair[2];

	if (is_ring())
		return;
	world_open(&world);
	old = recorder_create(&world, "old");
	new = recorder_create(&world, "new");
	ASSERT_OK(pro_socket_pair(world.proactor, old_pair));
	ASSERT_OK(pro_socket_pair(world.proactor, new_pair));
	recorder_own_stream(old, old_pair[0]);
	ASSERT_OK(recorder_read(old, NULL, 0));
	world_run_ready(&world);
	/* What no program should do. */
	ck_assert_int_ge(dup2((int)new_pair[0], (int)old_pair[0]), 0);
	pro_handler_set_handle(recorder_handler(old), PRO_INVALID_HANDLE);
	recorder_own_stream(new, old_pair[0]);
	calls_fail("getsockopt", 0, 1, ENOMEM);
	ASSERT_OK(recorder_read(new, NULL, 0));
	RUN_UNTIL(&world, new->count[EVENT_READ_STREAM] == 1);
	ck_assert_uint_eq(calls_forget(), 0);
	ASSERT_ERROR(new->last[EVENT_READ_STREAM].error, PRO_ENOMEM);
	ASSERT_ERROR(old->last[EVENT_READ_STREAM].error, PRO_EBADF);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, old_pair[1]));
	ASSERT_OK(pro_proactor_close_handle(world.proactor, new_pair[0]));
	ASSERT_OK(pro_proactor_close_handle(world.proactor, new_pair[1]));
	world_fini(&world);
}
END_TEST

/* ---- numbers and memory ---- */

/* So many descriptors that the next number is one for which the port has no entry yet. */
#define HIGH 300

START_TEST(a_connection_needs_memory_for_its_number)
{
	struct recorder *listener, *client;
	struct pro_addr addr;
	int low[HIGH];

	world_open(&world);
	listener = recorder_create(&world, "listener");
	addr = recorder_listen(listener, ANY_INET);
	client = recorder_create(&world, "client");
	recorder_open_free(client);
	for (int i = 0; i < HIGH; i++)
		ck_assert_int_ge(low[i] = dup(0), 0);
	world.memory.fails_always = true;
	ASSERT_OK(STARTED(client, CONNECT, pro_asynch_connect_connect(&client->connect, &addr, NULL)));
	RUN_UNTIL(&world, client->count[EVENT_CONNECT] == 1);
	world.memory.fails_always = false;
	ASSERT_ERROR(client->last[EVENT_CONNECT].error, PRO_ENOMEM);
	for (int i = 0; i < HIGH; i++)
		close(low[i]);
	world_fini(&world);
}
END_TEST

START_TEST(numbers_that_mean_nothing_are_told)
{
	struct recorder *recorder, *left, *right;
	struct pro_message_block block;
	char bytes[8];

	world_open(&world);
	recorder = recorder_create(&world, "recorder");
	ASSERT_OK(
			pro_asynch_read_stream_open(&recorder->reader, recorder_handler(recorder), 4000, NULL));
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(recorder, &block, 0));
	RUN_UNTIL(&world, recorder->count[EVENT_READ_STREAM] == 1);
	ASSERT_ERROR(recorder->last[EVENT_READ_STREAM].error, PRO_EBADF);
	left = recorder_create(&world, "left");
	right = recorder_create(&world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	ASSERT_OK(STARTED(left, TRANSMIT_FILE,
			pro_asynch_transmit_file_transmit_file(&left->sender, 4000, 0, 5000, NULL, NULL)));
	RUN_UNTIL(&world, left->count[EVENT_TRANSMIT_FILE] == 1);
	ASSERT_ERROR(left->last[EVENT_TRANSMIT_FILE].error, PRO_EBADF);
	world_fini(&world);
}
END_TEST

START_TEST(a_file_that_is_closed_amid_a_transmission_is_told)
{
	struct recorder *left, *right;
	pro_handle file;

	world_open(&world);
	left = recorder_create(&world, "left");
	right = recorder_create(&world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	os_make_sparse_file(world_path(&world, "big"), 1 << 30);
	file = world_file(&world, "big", PRO_FILE_READ);
	ASSERT_OK(STARTED(left, TRANSMIT_FILE,
			pro_asynch_transmit_file_transmit_file(
					&left->sender, file, 0, PRO_TRANSMIT_ALL, NULL, NULL)));
	world_run_ready(&world);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
	while (left->count[EVENT_TRANSMIT_FILE] == 0) {
		const unsigned reads = right->count[EVENT_READ_STREAM];

		ASSERT_OK(recorder_read(right, NULL, 0));
		RUN_UNTIL(&world,
				right->count[EVENT_READ_STREAM] > reads || left->count[EVENT_TRANSMIT_FILE] == 1);
	}
	ASSERT_ERROR(left->last[EVENT_TRANSMIT_FILE].error, PRO_EBADF);
	world_fini(&world);
}
END_TEST

START_TEST(a_file_is_a_stream_too)
{
	struct recorder *writer, *reader;
	struct pro_message_block out, in;
	char bytes[8];

	world_open(&world);
	writer = recorder_create(&world, "writer");
	recorder_own_stream(writer, world_file(&world, "file", PRO_FILE_WRITE | PRO_FILE_CREATE));
	pro_message_block_init_filled(&out, "12345678", 8);
	ASSERT_OK(recorder_write(writer, &out));
	RUN_UNTIL(&world, writer->bytes[EVENT_WRITE_STREAM] == 8);
	reader = recorder_create(&world, "reader");
	recorder_own_stream(reader, world_file(&world, "file", PRO_FILE_READ));
	pro_message_block_init(&in, bytes, 4);
	ASSERT_OK(recorder_read(reader, &in, 0));
	RUN_UNTIL(&world, reader->bytes[EVENT_READ_STREAM] == 4);
	ck_assert_mem_eq(bytes, "1234", 4);
	ASSERT_OK(recorder_read(reader, NULL, 0));
	RUN_UNTIL(&world, reader->bytes[EVENT_READ_STREAM] == 8);
	ASSERT_OK(recorder_read(reader, NULL, 0));
	RUN_UNTIL(&world, reader->errors[EVENT_READ_STREAM] == 1);
	ASSERT_ERROR(reader->last[EVENT_READ_STREAM].error, PRO_EOF);
	world_fini(&world);
}
END_TEST

/* Reads all that a socket holds, before each sendfile. */
static void drain(void *context)
{
	static char bytes[64 * 1024];
	const int *peer = context;

	while (recv(*peer, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	calls_forget();
	calls_run_before("sendfile", drain, context);
}

/* Nothing ever stops it, so it gives way by itself. */
START_TEST(a_long_transmission_lets_others_go_on)
{
	enum { BYTES = 10 << 20 };
	int pair[2];
	struct recorder *sender, *other;
	pro_handle file;

	world_open(&world);
	sender = recorder_create(&world, "sender");
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	recorder_own_stream(sender, pair[0]);
	drain(&pair[1]);
	other = recorder_create(&world, "other");
	recorder_open_free(other);
	world_make_sparse_file(&world, "big", BYTES);
	file = world_file(&world, "big", PRO_FILE_READ);
	ASSERT_OK(STARTED(sender, TRANSMIT_FILE,
			pro_asynch_transmit_file_transmit_file(
					&sender->sender, file, 0, PRO_TRANSMIT_ALL, NULL, NULL)));
	ASSERT_OK(recorder_timer(other, 0));
	RUN_UNTIL(&world, other->count[EVENT_TIME_OUT] == 1);
	ck_assert_uint_eq(sender->count[EVENT_TRANSMIT_FILE], 0);
	RUN_UNTIL(&world, sender->count[EVENT_TRANSMIT_FILE] == 1);
	ASSERT_OK(sender->last[EVENT_TRANSMIT_FILE].error);
	ck_assert_uint_eq(sender->last[EVENT_TRANSMIT_FILE].bytes, BYTES);
	calls_forget();
	os_close(pair[1]);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
	world_fini(&world);
}
END_TEST

/* ---- a write that fails amid others ---- */

#define MANY (2 * PRO_WRITE_BUFFERS)

static struct pro_message_block many[MANY + 1];

/* The first that is through makes one more, and does not know that the last failed. */
static void write_one_more(struct recorder *recorder, const struct event *event)
{
	if (event->kind != EVENT_WRITE_STREAM)
		return;
	ASSERT_ERROR(event->error, recorder->number < PRO_WRITE_BUFFERS    ? PRO_OK
							   : recorder->number == PRO_WRITE_BUFFERS ? PRO_ENOBUFS
																	   : PRO_ECANCELED);
	if (recorder->number++ > 0)
		return;
	pro_message_block_init_filled(&many[MANY], "x", 1);
	ASSERT_OK(recorder_write(recorder, &many[MANY]));
}

/* _i: whether the loop is one that several threads may run. */
START_TEST(what_an_earlier_callback_writes_does_not_overtake_a_failure)
{
	struct recorder *left, *right;
	struct pro_message_block in;
	char bytes[MANY + 1];

	world.options.is_shared = _i;
	world_open(&world);
	left = recorder_create(&world, "left");
	right = recorder_create(&world, "right");
	recorder_pair(left, right);
	left->on_event = write_one_more;
	calls_fail(is_ring() ? "SENDMSG" : "sendmsg", 1, 1, ENOBUFS);
	for (unsigned i = 0; i < MANY; i++) {
		pro_message_block_init_filled(&many[i], "x", 1);
		ASSERT_OK(recorder_write(left, &many[i]));
	}
	RUN_UNTIL(&world, left->count[EVENT_WRITE_STREAM] == MANY + 1);
	ck_assert_uint_eq(calls_forget(), 0);
	recorder_close(left);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(STARTED(right, READ_STREAM,
			pro_asynch_read_stream_read_exactly(&right->reader, &in, sizeof(bytes))));
	RUN_UNTIL(&world, right->count[EVENT_READ_STREAM] == 1);
	ASSERT_ERROR(right->last[EVENT_READ_STREAM].error, PRO_EOF);
	ck_assert_uint_eq(pro_message_block_length(&in), PRO_WRITE_BUFFERS);
	world_fini(&world);
}
END_TEST

/* ---- a ring whose thread has ended ---- */

static void *run_ready_main(void *context)
{
	world_run_ready(context);
	return NULL;
}

static void run_ready_elsewhere(void)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, run_ready_main, &world), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

START_TEST(a_new_ring_is_asked_for_again)
{
	if (!is_ring())
		return;
	world_open(&world);
	run_ready_elsewhere();
	for (unsigned i = 0; i < 2; i++) {
		calls_fail("io_uring_queue_init_params", 0, 10, EMFILE);
		ASSERT_ERROR(i ? pro_proactor_handle_events(world.proactor, 0)
					   : pro_proactor_destroy(world.proactor),
				PRO_EMFILE);
		calls_forget();
	}
	chat_a_little();
	world_fini(&world);
}
END_TEST

/* Then reads get their blocks as on an older kernel. */
START_TEST(a_ring_lends_without_memory_of_its_own)
{
	if (!is_ring())
		return;
	world_open(&world);
	calls_fail("mmap", 0, 1, ENOMEM);
	chat_a_little();
	ck_assert_uint_eq(calls_forget(), 0);
	world_fini(&world);
}
END_TEST

/* ---- groups ---- */

START_TEST(a_group_that_lacks_a_thread_does_not_start)
{
	struct pro_proactor_group_options options;
	struct pro_proactor_group *group;

	pro_proactor_group_options_init(&options);
	options.count = 3;
	ASSERT_OK(pro_proactor_group_create(&group, &options, NULL, 0));
	calls_fail("pthread_create", 2, 1, EAGAIN);
	ASSERT_ERROR(pro_proactor_group_start(group), PRO_ENOMEM);
	ck_assert_uint_eq(calls_forget(), 0);
	ASSERT_OK(pro_proactor_group_destroy(group));
	ck_assert_uint_eq(os_descriptor_count(), world.descriptors);
}
END_TEST

/* ---- what was put off, and a foreign loop ---- */

/* The listener's queue is full: the connect is tried again soon. */
START_TEST(a_refused_connect_is_tried_again_in_a_foreign_loop)
{
	struct recorder *listener, *client;
	struct pro_addr addr;
	pro_handle handle;
	char text[128];

	if (is_ring())
		return;
	world_open(&world);
	os_make_local_address(text, sizeof(text));
	listener = recorder_create(&world, "listener");
	addr = recorder_listen(listener, text);
	client = recorder_create(&world, "client");
	recorder_open_free(client);
	handle = pro_proactor_get_handle(world.proactor);
	/* Once more at once, then after a while. */
	calls_fail("connect", 0, 2, EAGAIN);
	ASSERT_OK(STARTED(client, CONNECT, pro_asynch_connect_connect(&client->connect, &addr, NULL)));
	world_run_ready(&world);
	ck_assert_uint_eq(calls_forget(), 0);
	while (client->count[EVENT_CONNECT] == 0) {
		ck_assert(os_wait_readable(handle, 10000));
		world_run_ready(&world);
	}
	ASSERT_OK(client->last[EVENT_CONNECT].error);
	world_fini(&world);
}
END_TEST

/* More than the share of one turn is ready at once. */
START_TEST(what_is_put_off_is_told_to_a_foreign_loop)
{
	enum { READERS = 200 };
	static struct pro_asynch_read_dgram readers[READERS];
	static struct pro_message_block blocks[READERS];
	static char bytes[READERS][8];
	struct recorder *recorder;
	struct pro_addr addr;
	pro_handle handle;

	world_open(&world);
	recorder = recorder_create(&world, "recorder");
	addr = recorder_own_dgram(recorder, ANY_INET);
	handle = pro_proactor_get_handle(world.proactor);
	for (unsigned i = 0; i < READERS; i++) {
		ASSERT_OK(pro_asynch_read_dgram_open(
				&readers[i], recorder_handler(recorder), PRO_INVALID_HANDLE, NULL));
		pro_message_block_init(&blocks[i], bytes[i], sizeof(bytes[i]));
		ck_assert_int_eq(sendto((int)pro_handler_handle(recorder_handler(recorder)), "x", 1, 0,
								 (struct sockaddr *)(void *)addr.storage.bytes, addr.length),
				1);
	}
	for (unsigned i = 0; i < READERS; i++)
		ASSERT_OK(
				STARTED(recorder, READ_DGRAM, pro_asynch_read_dgram_recv(&readers[i], &blocks[i])));
	while (recorder->count[EVENT_READ_DGRAM] < READERS) {
		world_enter_loop();
		ck_assert_int_ge(pro_proactor_handle_events(world.proactor, 0), 0);
		world_leave_loop();
		if (recorder->count[EVENT_READ_DGRAM] < READERS)
			ck_assert(os_wait_readable(handle, 10000));
	}
	ck_assert_uint_eq(recorder->errors[EVENT_READ_DGRAM], 0);
	world_fini(&world);
}
END_TEST

/* ---- the suite ---- */

int main(void)
{
#define TESTS(X)                                                                                   \
	X(a_refused_proactor_leaves_nothing, REFUSALS)                                                 \
	X(a_refused_watched_proactor_leaves_nothing, 1)                                                \
	X(what_the_kernel_lacks_is_told_and_done_without, LACKS)                                       \
	X(short_memory_makes_a_smaller_ring, 1)                                                        \
	X(the_largest_ring_works, 1)                                                                   \
	X(a_handle_that_can_not_be_had_is_asked_for_again, HANDLE_CALLS)                               \
	X(two_threads_that_ask_at_once_get_one_handle, 1)                                              \
	X(a_foreign_loop_does_not_go_deaf, 1)                                                          \
	X(a_name_needs_a_thread, 1)                                                                    \
	X(work_needs_a_thread, 1)                                                                      \
	X(work_waits_for_the_threads_that_there_are, 1)                                                \
	X(a_cold_file_is_warmed, 1)                                                                    \
	X(a_file_that_can_not_be_warmed_is_told, 1)                                                    \
	X(without_a_thread_a_cold_file_is_an_error, 1)                                                 \
	X(what_an_entry_meets_on_its_way_is_not_seen, ENTRIES)                                         \
	X(a_file_that_can_only_block_has_a_thread, 1)                                                  \
	X(a_connection_needs_memory_for_its_number, 1)                                                 \
	X(numbers_that_mean_nothing_are_told, 1)                                                       \
	X(a_file_that_is_closed_amid_a_transmission_is_told, 1)                                        \
	X(a_file_is_a_stream_too, 1)                                                                   \
	X(a_long_transmission_lets_others_go_on, 1)                                                    \
	X(what_an_earlier_callback_writes_does_not_overtake_a_failure, 2)                              \
	X(a_new_ring_is_asked_for_again, 1)                                                            \
	X(a_ring_lends_without_memory_of_its_own, 1)                                                   \
	X(an_acceptor_without_an_address_is_not_opened, 1)                                             \
	X(a_datagram_is_waited_for_after_a_leftover_error, 1)                                          \
	X(a_number_of_another_needs_a_look, 1)                                                         \
	X(a_group_that_lacks_a_thread_does_not_start, 1)                                               \
	X(a_refused_connect_is_tried_again_in_a_foreign_loop, 1)                                       \
	X(what_is_put_off_is_told_to_a_foreign_loop, 1)                                                \
	X(a_long_wait_by_milliseconds_is_woken, 3)
#define TEST_OF(name, count)  name,
#define COUNT_OF(name, count) count,
	const TTest *const tests[] = {TESTS(TEST_OF)};
	static const int counts[] = {TESTS(COUNT_OF)};

	return suite_run_loops(
			"calls", set_up, tests, counts, (int)(sizeof(counts) / sizeof(counts[0])));
}
