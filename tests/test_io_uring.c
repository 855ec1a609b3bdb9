/* What is special about the io_uring port: its ladder of flags, refusals, tiny rings, a kernel that
 * takes nothing for now, the thread that it is bound to, and its states of waiting. The contract is
 * shown by the conformance scenarios. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/os.h"
#include "support/pattern.h"
#include "support/recorder.h"
#include "support/suite.h"

#define EXIT_SKIPPED 77

/* The ports of io_uring_variants.c that are rings. */
static const char *const variants[] = {
		"io_uring", "io_uring_coop", "io_uring_plain", "io_uring_old"};
#define VARIANTS ((int)(sizeof(variants) / sizeof(variants[0])))

static void open_variant(struct world *world, const char *name, const char *port)
{
	world_init(world, name);
	world->is_traced = false;
	world->options.port = port;
}

/* ---- refusals ---- */

struct refusal {
	long call; /* the forbidden system call; 0: none */
	int error;
	const char *why;
};

static bool install(struct sock_filter *steps, size_t count)
{
	struct sock_fprog filter = {.len = (unsigned short)count, .filter = steps};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static bool forbid(long call, int error)
{
	struct sock_filter steps[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return install(steps, sizeof(steps) / sizeof(steps[0]));
}

static int create_is_refused(const char *expected)
{
	struct pro_proactor_report report = {.size = sizeof(report)};
	struct pro_proactor_options options;
	struct pro_proactor *proactor;
	char why[256] = "";

	pro_proactor_options_init(&options);
	options.port = "io_uring";
	if (!pro_proactor_create(&proactor, &options, why, sizeof(why)))
		return 1;
	if (!strstr(why, expected)) {
		fprintf(stderr, "\"%s\" is not in \"%s\"\n", expected, why);
		return 2;
	}
	unsetenv("PROACTOR_PORT");
	if (pro_proactor_create(&proactor, NULL, NULL, 0))
		return 3;
	if (pro_proactor_report(proactor, &report) || strcmp(report.port, "epoll") != 0 ||
			!strstr(report.reason, expected))
		return 4;
	return pro_proactor_destroy(proactor) ? 5 : 0;
}

static int refused_child(void *context)
{
	const struct refusal *refusal = context;

	if (!forbid(refusal->call, refusal->error))
		return EXIT_SKIPPED;
	return create_is_refused(refusal->why);
}

static struct refusal refusals[] = {
		{SYS_io_uring_setup, EPERM, "io_uring_setup: EPERM"},
		{SYS_io_uring_setup, ENOSYS, "io_uring_setup: ENOSYS"},
		{SYS_io_uring_setup, ENOMEM, "io_uring_setup: ENOMEM"},
		{SYS_io_uring_enter, EPERM, "io_uring_enter: EPERM"},
		{SYS_io_uring_register, EACCES, "io_uring_register: EACCES"},
};
#define REFUSALS ((int)(sizeof(refusals) / sizeof(refusals[0])))

START_TEST(refusal_names_the_call_and_leads_to_epoll)
{
	int result = os_run_forked(refused_child, &refusals[_i]);

	ck_assert(result == 0 || result == EXIT_SKIPPED);
}
END_TEST

/* Kernels that count rings against the limit refuse; those that do not are no less right. */
static int nobody_child(void *context)
{
	const struct rlimit none = {0, 0};
	struct pro_proactor_options options;
	struct pro_proactor *proactor;
	char why[256] = "";
	int error;

	(void)context;
	if (setrlimit(RLIMIT_MEMLOCK, &none) < 0)
		return 1;
	os_become_nobody();
	pro_proactor_options_init(&options);
	options.port = "io_uring";
	error = pro_proactor_create(&proactor, &options, why, sizeof(why));
	if (!error)
		return pro_proactor_destroy(proactor) ? 2 : 0;
	return error == PRO_ENOMEM ? create_is_refused("io_uring_setup: ENOMEM") : 3;
}

START_TEST(without_locked_memory_it_is_refused)
{
	if (os_is_root())
		ck_assert_int_eq(os_run_forked(nobody_child, NULL), 0);
}
END_TEST

/* ---- every variant ---- */

START_TEST(variant_moves_bytes_and_files)
{
	enum { BYTES = 100000 };
	static unsigned char out_bytes[BYTES], in_bytes[BYTES];
	struct pro_message_block out, in, file_block;
	struct recorder *left, *right;
	struct world world;
	pro_handle file;

	open_variant(&world, "variant_moves_bytes_and_files", variants[_i]);
	world_open(&world);
	left = recorder_create(&world, "left");
	right = recorder_create(&world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	pattern_fill(out_bytes, BYTES, 0, 1);
	pro_message_block_init_filled(&out, out_bytes, BYTES);
	file = world_file(&world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	recorder_open_file(left, file);
	ASSERT_OK(STARTED(left, WRITE_FILE, pro_asynch_write_file_write(&left->file_writer, &out, 0)));
	RUN_UNTIL(&world, left->bytes[EVENT_WRITE_FILE] == BYTES);

	/* The file to the peer, who borrows for the first bytes. */
	ASSERT_OK(recorder_read(right, NULL, 0));
	ASSERT_OK(STARTED(left, TRANSMIT_FILE,
			pro_asynch_transmit_file_transmit_file(
					&left->sender, file, 0, PRO_TRANSMIT_ALL, NULL, NULL)));
	RUN_UNTIL(&world, right->bytes[EVENT_READ_STREAM] > 0);
	size_t borrowed = right->bytes[EVENT_READ_STREAM];
	pro_message_block_init(&in, in_bytes, BYTES);
	ASSERT_OK(STARTED(right, READ_STREAM,
			pro_asynch_read_stream_read_exactly(&right->reader, &in, BYTES - borrowed)));
	RUN_UNTIL(&world, right->bytes[EVENT_READ_STREAM] == BYTES);
	pattern_check(in_bytes, BYTES - borrowed, borrowed, 1);
	pro_message_block_init(&file_block, in_bytes, BYTES);
	ASSERT_OK(STARTED(
			left, READ_FILE, pro_asynch_read_file_read(&left->file_reader, &file_block, 0, 10)));
	RUN_UNTIL(&world, left->count[EVENT_READ_FILE] == 1);
	pattern_check(in_bytes, BYTES - 10, 10, 1);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
	world_fini(&world);
}
END_TEST

static int no_op(void *context)
{
	(void)context;
	return 0;
}

START_TEST(report_tells_what_the_kernel_lacks)
{
	struct pro_proactor_report report = {.size = sizeof(report)};
	struct world world;

	open_variant(&world, "report_tells_what_the_kernel_lacks", variants[_i]);
	world.options.entries = 64;
	world_open(&world);
	ASSERT_OK(pro_proactor_report(world.proactor, &report));
	ck_assert_uint_eq(report.entries, 64);
	ck_assert_uint_ge(report.completion_entries, 128);
	ck_assert_uint_ge(report.buffers_max, 16);
	if (_i > 0) {
		ck_assert_ptr_nonnull(strstr(report.missing, "defer_taskrun"));
		ck_assert_ptr_null(strstr(report.features, "defer_taskrun"));
	}
	/* A child that inherits the ring must not disturb it. */
	ck_assert_int_eq(os_run_forked(no_op, NULL), 0);
	world_fini(&world);
}
END_TEST

/* ---- tiny rings ---- */

#define MANY 64

struct many {
	struct recorder *left[MANY], *right[MANY];
	struct pro_message_block in[MANY], out[MANY];
	char bytes[MANY][8];
};

static void many_open(struct many *many, struct world *world)
{
	world->options.entries = 4;
	world_open(world);
	for (unsigned i = 0; i < MANY; i++) {
		many->left[i] = recorder_create(world, "left");
		many->right[i] = recorder_create(world, "right");
		recorder_pair(many->left[i], many->right[i]);
	}
}

static void many_read(struct many *many, unsigned i)
{
	pro_message_block_init(&many->in[i], many->bytes[i], sizeof(many->bytes[i]));
	ASSERT_OK(recorder_read(many->left[i], &many->in[i], 0));
}

static void many_write(struct many *many, unsigned i)
{
	pro_message_block_init_filled(&many->out[i], "x", 1);
	ASSERT_OK(recorder_write(many->right[i], &many->out[i]));
}

static bool many_have(const struct many *many, enum event_kind kind, unsigned count)
{
	for (unsigned i = 0; i < MANY; i++) {
		const struct recorder *recorder =
				kind == EVENT_READ_STREAM ? many->left[i] : many->right[i];
		if (recorder->count[kind] < count)
			return false;
	}
	return true;
}

/* All of them become complete at once, sixteen times what the queue holds. */
START_TEST(tiny_ring_loses_none)
{
	const unsigned rounds = world_number(20, 2000);
	struct world world;
	struct many many;

	open_variant(&world, "tiny_ring_loses_none", variants[_i]);
	many_open(&many, &world);
	for (unsigned round = 1; round <= rounds; round++) {
		for (unsigned i = 0; i < MANY; i++)
			many_read(&many, i);
		if (round % 2)
			world_run_ready(&world);
		for (unsigned i = 0; i < MANY; i++)
			many_write(&many, i);
		RUN_UNTIL(&world, many_have(&many, EVENT_READ_STREAM, round) &&
								  many_have(&many, EVENT_WRITE_STREAM, round));
	}
	world_fini(&world);
}
END_TEST

struct starter {
	struct many *many;
	bool is_done;
};

static void start_all(struct recorder *recorder, const struct event *event)
{
	struct starter *starter = recorder->context;

	if (event->kind != EVENT_TIME_OUT)
		return;
	for (unsigned i = 0; i < MANY; i++) {
		many_read(starter->many, i);
		many_write(starter->many, i);
	}
	starter->is_done = true;
}

START_TEST(one_callback_may_start_more_than_the_ring_holds)
{
	struct recorder *timer;
	struct starter starter;
	struct world world;
	struct many many;

	open_variant(&world, "one_callback_may_start_more_than_the_ring_holds", variants[_i]);
	many_open(&many, &world);
	starter = (struct starter){.many = &many};
	timer = recorder_create(&world, "timer");
	recorder_open_free(timer);
	timer->on_event = start_all;
	timer->context = &starter;
	ASSERT_OK(recorder_timer(timer, 0));
	RUN_UNTIL(&world, starter.is_done && many_have(&many, EVENT_READ_STREAM, 1) &&
							  many_have(&many, EVENT_WRITE_STREAM, 1));
	world_fini(&world);
}
END_TEST

/* ---- a kernel that takes nothing for now ---- */

/* Between waits every submission fails, as when memory is short: what finds no entry waits in the
 * port. io_uring_enter's fourth argument is 0 then, and asks for completions in a wait. */
static bool forbid_submissions_between_waits(int error)
{
	const uint32_t flags = offsetof(struct seccomp_data, args) + 3 * sizeof(uint64_t);
	struct sock_filter steps[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 0, 3),
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, flags),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return install(steps, sizeof(steps) / sizeof(steps[0]));
}

static bool many_are_cancelled(const struct many *many)
{
	for (unsigned i = 0; i < MANY; i++) {
		if (many->left[i]->cancels[EVENT_READ_STREAM] != 1)
			return false;
	}
	return true;
}

static bool many_are_closed(const struct many *many)
{
	for (unsigned i = 0; i < MANY; i++) {
		if (!many->left[i]->is_closed || !many->right[i]->is_closed)
			return false;
	}
	return true;
}

static int short_of_memory_child(void *context)
{
	const char *variant = context;
	struct world world;
	struct many many;

	if (!forbid_submissions_between_waits(EAGAIN))
		return EXIT_SKIPPED;
	open_variant(&world, "short_of_memory", variant);
	many_open(&many, &world);
	for (unsigned i = 0; i < MANY; i++) {
		many_read(&many, i);
		many_write(&many, i);
	}
	RUN_UNTIL(&world,
			many_have(&many, EVENT_READ_STREAM, 1) && many_have(&many, EVENT_WRITE_STREAM, 1));
	/* Some are in the kernel, some wait for an entry; so do their cancels and closes. */
	for (unsigned i = 0; i < MANY; i++)
		many_read(&many, i);
	pro_proactor_handle_events(world.proactor, 0);
	for (unsigned i = 0; i < MANY; i += 2)
		ASSERT_OK(recorder_cancel(&many.left[i]->reader.operation));
	for (unsigned i = 1; i < MANY; i += 2)
		recorder_close(many.left[i]);
	RUN_UNTIL(&world, many_are_cancelled(&many));
	for (unsigned i = 0; i < MANY; i++) {
		recorder_close(many.left[i]);
		recorder_close(many.right[i]);
	}
	RUN_UNTIL(&world, many_are_closed(&many));
	world_fini(&world);
	return 0;
}

START_TEST(what_finds_no_entry_waits_for_the_next_turn)
{
	int result = os_run_forked(short_of_memory_child, (void *)(uintptr_t)variants[_i]);

	ck_assert(result == 0 || result == EXIT_SKIPPED);
}
END_TEST

/* ---- the thread of the ring ---- */

struct bound {
	struct world *world;
	struct recorder *left, *right, *closer;
	struct pro_message_block in;
	char bytes[16];
	pthread_barrier_t barrier; /* before and after the main thread tries to run the loop */
};

/* Leaves a read and a borrowed read behind. */
static void *bound_main(void *context)
{
	struct bound *bound = context;
	struct world *world = bound->world;

	pro_message_block_init(&bound->in, bound->bytes, sizeof(bound->bytes));
	ASSERT_OK(recorder_read(bound->left, &bound->in, 0));
	ASSERT_OK(recorder_read(bound->right, NULL, 0));
	world_run_ready(world);
	pthread_barrier_wait(&bound->barrier);
	pthread_barrier_wait(&bound->barrier);
	return NULL;
}

/* With no flags the ring is bound to nobody. */
static bool is_bound(int variant)
{
	return strcmp(variants[variant], "io_uring") == 0 ||
		   strcmp(variants[variant], "io_uring_coop") == 0;
}

static void run_bound(struct bound *bound, int variant)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_barrier_init(&bound->barrier, NULL, 2), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, bound_main, bound), 0);
	pthread_barrier_wait(&bound->barrier);
	if (is_bound(variant))
		ASSERT_ERROR(pro_proactor_handle_events(bound->world->proactor, 0), PRO_ETHREAD);
	pthread_barrier_wait(&bound->barrier);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	pthread_barrier_destroy(&bound->barrier);
}

static void bound_open(struct bound *bound, struct world *world)
{
	world_open(world);
	*bound = (struct bound){.world = world};
	bound->left = recorder_create(world, "left");
	bound->right = recorder_create(world, "right");
	bound->closer = recorder_create(world, "closer");
	recorder_pair(bound->left, bound->right);
	recorder_open_free(bound->closer);
}

static void exchange_words(struct bound *bound)
{
	struct pro_message_block left_out, right_out;

	pro_message_block_init_filled(&left_out, "after", 5);
	pro_message_block_init_filled(&right_out, "the end", 7);
	ASSERT_OK(recorder_write(bound->left, &left_out));
	ASSERT_OK(recorder_write(bound->right, &right_out));
	RUN_UNTIL(bound->world, bound->left->bytes[EVENT_READ_STREAM] == 7 &&
									bound->right->bytes[EVENT_READ_STREAM] == 5);
	ck_assert_mem_eq(bound->bytes, "the end", 7);
}

/* The new ring reads and lends as the old one did. */
START_TEST(flights_of_an_ended_thread_are_cancelled_and_the_loop_goes_on)
{
	struct bound bound;
	struct world world;

	if (!is_bound(_i))
		return;
	open_variant(&world, "flights_of_an_ended_thread", variants[_i]);
	bound_open(&bound, &world);
	run_bound(&bound, _i);
	RUN_UNTIL(&world, bound.left->cancels[EVENT_READ_STREAM] == 1 &&
							  bound.right->cancels[EVENT_READ_STREAM] == 1);
	ASSERT_OK(recorder_read(bound.left, &bound.in, 0));
	ASSERT_OK(recorder_read(bound.right, NULL, 0));
	exchange_words(&bound);
	world_fini(&world);
}
END_TEST

/* The kernel cancels them when the bytes come, and nobody sees it. */
START_TEST(flights_of_a_ring_without_a_thread_survive)
{
	struct bound bound;
	struct world world;

	if (is_bound(_i))
		return;
	open_variant(&world, "flights_of_a_ring_without_a_thread", variants[_i]);
	bound_open(&bound, &world);
	run_bound(&bound, _i);
	exchange_words(&bound);
	ck_assert_uint_eq(bound.left->count[EVENT_READ_STREAM], 1);
	ck_assert_uint_eq(bound.right->count[EVENT_READ_STREAM], 1);
	world_fini(&world);
}
END_TEST

struct heir {
	struct bound *bound;
	pid_t number; /* of the thread that the ring was bound to */
	bool has_number;
};

static void *first_main(void *context)
{
	struct heir *heir = context;

	heir->number = (pid_t)syscall(SYS_gettid);
	pro_message_block_init(&heir->bound->in, heir->bound->bytes, sizeof(heir->bound->bytes));
	ASSERT_OK(recorder_read(heir->bound->left, &heir->bound->in, 0));
	ASSERT_OK(recorder_read(heir->bound->right, NULL, 0));
	world_run_ready(heir->bound->world);
	return NULL;
}

static void *heir_main(void *context)
{
	struct heir *heir = context;
	struct bound *bound = heir->bound;

	if ((pid_t)syscall(SYS_gettid) != heir->number)
		return NULL;
	heir->has_number = true;
	RUN_UNTIL(bound->world, bound->left->cancels[EVENT_READ_STREAM] == 1 &&
									bound->right->cancels[EVENT_READ_STREAM] == 1);
	ASSERT_OK(recorder_read(bound->left, &bound->in, 0));
	ASSERT_OK(recorder_read(bound->right, NULL, 0));
	exchange_words(bound);
	return NULL;
}

/* The next threads get numbers from this one on; false where that is not allowed. */
static bool ask_for_thread_number(pid_t number)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", (int)number - 1);
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	bool is_asked = fd >= 0 && write(fd, text, (size_t)length) == length;

	if (fd >= 0)
		close(fd);
	return is_asked;
}

/* Numbers of threads come again. Other programs may be faster. */
START_TEST(a_thread_with_the_number_of_an_ended_one_has_a_ring_of_its_own)
{
	struct bound bound;
	struct heir heir = {.bound = &bound};
	struct world world;
	pthread_t thread;

	if (!is_bound(_i))
		return;
	open_variant(&world, "a_thread_with_the_number", variants[_i]);
	bound_open(&bound, &world);
	ck_assert_int_eq(pthread_create(&thread, NULL, first_main, &heir), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	for (unsigned i = 0; i < 100 && !heir.has_number && ask_for_thread_number(heir.number); i++) {
		ck_assert_int_eq(pthread_create(&thread, NULL, heir_main, &heir), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
	}
	if (!heir.has_number)
		printf("skip: no thread got the number of an ended one\n");
	world_fini(&world);
}
END_TEST

static void close_from_callback(struct recorder *recorder, const struct event *event)
{
	struct bound *bound = recorder->context;

	if (event->kind != EVENT_TIME_OUT)
		return;
	recorder_close(bound->left);
	pro_proactor_end_event_loop(bound->world->proactor);
}

static void *closing_main(void *context)
{
	struct bound *bound = context;

	pro_message_block_init(&bound->in, bound->bytes, sizeof(bound->bytes));
	ASSERT_OK(recorder_read(bound->left, &bound->in, 0));
	ASSERT_OK(recorder_timer(bound->closer, 1));
	world_enter_loop();
	ASSERT_OK(pro_proactor_run_event_loop(bound->world->proactor));
	world_leave_loop();
	return NULL;
}

/* The close was begun, and the thread ended before the kernel saw it. */
START_TEST(close_of_an_ended_thread_is_done_by_the_next)
{
	struct bound bound;
	struct world world;
	pthread_t thread;

	open_variant(&world, "close_of_an_ended_thread", variants[_i]);
	bound_open(&bound, &world);
	bound.closer->on_event = close_from_callback;
	bound.closer->context = &bound;
	ck_assert_int_eq(pthread_create(&thread, NULL, closing_main, &bound), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	pro_proactor_reset_event_loop(world.proactor);
	ASSERT_OK(recorder_read(bound.right, NULL, 0));
	RUN_UNTIL(&world, bound.left->is_closed && bound.right->errors[EVENT_READ_STREAM] == 1);
	ck_assert_uint_eq(bound.left->cancels[EVENT_READ_STREAM], 1);
	ASSERT_ERROR(bound.right->last[EVENT_READ_STREAM].error, PRO_EOF);
	world_fini(&world);
}
END_TEST

/* The bytes come, by this very thread, after it has looked for the last time. */
static void send_late(struct bound *bound)
{
	world_run_ready(bound->world);
	ck_assert_int_eq(
			send((int)pro_handler_handle(recorder_handler(bound->right)), "late", 4, MSG_NOSIGNAL),
			4);
	os_yield();
}

static void *late_main(void *context)
{
	struct bound *bound = context;

	pro_message_block_init(&bound->in, bound->bytes, sizeof(bound->bytes));
	ASSERT_OK(recorder_read(bound->left, &bound->in, 0));
	send_late(bound);
	return NULL;
}

START_TEST(what_comes_after_the_last_look_is_not_lost)
{
	struct bound bound;
	struct world world;
	pthread_t thread;

	open_variant(&world, "what_comes_after_the_last_look", variants[_i]);
	bound_open(&bound, &world);
	ck_assert_int_eq(pthread_create(&thread, NULL, late_main, &bound), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	RUN_UNTIL(&world, bound.left->count[EVENT_READ_STREAM] == 1);
	/* Or nothing was finished without the thread: they wait in the socket. */
	if (bound.left->cancels[EVENT_READ_STREAM] == 1)
		ASSERT_OK(recorder_read(bound.left, &bound.in, 0));
	RUN_UNTIL(&world, bound.left->bytes[EVENT_READ_STREAM] == 4);
	ck_assert_mem_eq(bound.bytes, "late", 4);
	world_fini(&world);
}
END_TEST

/* The same with the one block that there is to be lent. */
static void *late_borrower_main(void *context)
{
	struct bound *bound = context;

	ASSERT_OK(recorder_read(bound->left, NULL, 0));
	send_late(bound);
	return NULL;
}

/* The next thread's ring must not have a block that the last one's was filled into. */
START_TEST(a_block_that_an_ended_thread_was_lent_is_lent_once)
{
	struct pro_message_block *held;
	struct pro_message_block out;
	struct bound bound;
	struct world world;
	pthread_t thread;

	open_variant(&world, "a_block_that_an_ended_thread_was_lent", variants[_i]);
	world.options.lent_blocks = 1;
	bound_open(&bound, &world);
	bound.left->keeps_blocks = bound.right->keeps_blocks = true;
	ck_assert_int_eq(pthread_create(&thread, NULL, late_borrower_main, &bound), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	RUN_UNTIL(&world, bound.left->count[EVENT_READ_STREAM] == 1);
	if (bound.left->cancels[EVENT_READ_STREAM] == 1)
		ASSERT_OK(recorder_read(bound.left, NULL, 0));
	RUN_UNTIL(&world, bound.left->bytes[EVENT_READ_STREAM] == 4);
	held = bound.left->last[EVENT_READ_STREAM].block;
	pro_message_block_init_filled(&out, "next", 4);
	ASSERT_OK(recorder_read(bound.right, NULL, 0));
	ASSERT_OK(recorder_write(bound.left, &out));
	RUN_UNTIL(&world, bound.left->count[EVENT_WRITE_STREAM] == 1);
	world_run_for(&world, 10);
	ck_assert_uint_eq(bound.right->count[EVENT_READ_STREAM], 0);
	ck_assert_mem_eq(pro_message_block_rd_ptr(held), "late", 4);
	pro_message_block_release(held);
	RUN_UNTIL(&world, bound.right->bytes[EVENT_READ_STREAM] == 4);
	pro_message_block_release(bound.right->last[EVENT_READ_STREAM].block);
	world_fini(&world);
}
END_TEST

static void close_all_and_end(struct recorder *recorder, const struct event *event)
{
	struct starter *starter = recorder->context;

	if (event->kind != EVENT_TIME_OUT)
		return;
	for (unsigned i = 0; i < MANY; i++) {
		recorder_close(starter->many->left[i]);
		recorder_close(starter->many->right[i]);
	}
	pro_proactor_end_event_loop(recorder->world->proactor);
}

static void *end_main(void *context)
{
	world_enter_loop();
	ASSERT_OK(pro_proactor_run_event_loop(context));
	world_leave_loop();
	return NULL;
}

/* More than the ring holds, so that the kernel has done some of them when the thread ends, and has
 * not seen others. */
START_TEST(closes_of_an_ended_thread_are_told_by_the_next)
{
	struct recorder *timer;
	struct starter starter;
	struct world world;
	struct many many;
	pthread_t thread;

	open_variant(&world, "closes_of_an_ended_thread", variants[_i]);
	many_open(&many, &world);
	starter = (struct starter){.many = &many};
	timer = recorder_create(&world, "timer");
	recorder_open_free(timer);
	timer->on_event = close_all_and_end;
	timer->context = &starter;
	ASSERT_OK(recorder_timer(timer, 0));
	ck_assert_int_eq(pthread_create(&thread, NULL, end_main, world.proactor), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	pro_proactor_reset_event_loop(world.proactor);
	RUN_UNTIL(&world, many_are_closed(&many));
	world_fini(&world);
}
END_TEST

static void *empty_main(void *context)
{
	pro_proactor_handle_events(context, 0);
	return NULL;
}

START_TEST(proactor_may_be_destroyed_after_its_thread)
{
	struct world world;
	pthread_t thread;

	open_variant(&world, "proactor_may_be_destroyed_after_its_thread", variants[_i]);
	world_open(&world);
	ck_assert_int_eq(pthread_create(&thread, NULL, empty_main, world.proactor), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	world_fini(&world);
}
END_TEST

/* ---- cancel and close wherever an operation waits ---- */

static const enum { ENDS_BY_CANCEL, ENDS_BY_CLOSE } ends[] = {ENDS_BY_CANCEL, ENDS_BY_CLOSE};

/* `_i` of a loop over variants and ends. */
#define STATES (VARIANTS * 2)

static void end_operation(
		struct world *world, struct recorder *recorder, struct pro_operation *operation, int i)
{
	if (ends[i % 2] == ENDS_BY_CANCEL)
		ASSERT_OK(recorder_cancel(operation));
	else
		recorder_close(recorder);
	RUN_UNTIL(world, !pro_operation_in_flight(operation));
}

START_TEST(read_of_a_pipe_ends)
{
	struct recorder *recorder;
	struct pro_message_block in;
	struct world world;
	char bytes[8];
	int pipe[2];

	open_variant(&world, "read_of_a_pipe_ends", variants[_i / 2]);
	world_open(&world);
	os_pipe(pipe);
	recorder = recorder_create(&world, "reader");
	recorder_own_stream(recorder, pipe[0]);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(recorder, &in, 0));
	world_run_ready(&world);
	ck_assert_int_eq(write(pipe[1], "pipe", 4), 4);
	RUN_UNTIL(&world, recorder->bytes[EVENT_READ_STREAM] == 4);
	ASSERT_OK(recorder_read(recorder, &in, 0));
	world_run_ready(&world);
	end_operation(&world, recorder, &recorder->reader.operation, _i);
	ck_assert_uint_eq(recorder->cancels[EVENT_READ_STREAM], 1);
	os_close(pipe[1]);
	world_fini(&world);
}
END_TEST

START_TEST(write_to_a_full_pipe_ends)
{
	static const unsigned char bytes[1 << 20];
	struct recorder *recorder;
	struct pro_message_block out;
	struct world world;
	int pipe[2];

	open_variant(&world, "write_to_a_full_pipe_ends", variants[_i / 2]);
	world_open(&world);
	os_pipe(pipe);
	recorder = recorder_create(&world, "writer");
	recorder_own_stream(recorder, pipe[1]);
	pro_message_block_init_filled(&out, bytes, sizeof(bytes));
	ASSERT_OK(recorder_write(recorder, &out));
	world_run_ready(&world);
	end_operation(&world, recorder, &recorder->writer.operation, _i);
	ck_assert_uint_eq(recorder->cancels[EVENT_WRITE_STREAM], 1);
	ck_assert_uint_ge(recorder->bytes[EVENT_WRITE_STREAM], 4096);
	os_close(pipe[0]);
	world_fini(&world);
}
END_TEST

START_TEST(transmission_to_a_peer_that_does_not_read_ends)
{
	struct recorder *left, *right;
	struct world world;
	pro_handle file;

	open_variant(&world, "transmission_to_a_peer_that_does_not_read_ends", variants[_i / 2]);
	world_open(&world);
	left = recorder_create(&world, "left");
	right = recorder_create(&world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	os_make_sparse_file(world_path(&world, "big"), UINT64_C(1) << 30);
	file = world_file(&world, "big", PRO_FILE_READ);
	ASSERT_OK(STARTED(left, TRANSMIT_FILE,
			pro_asynch_transmit_file_transmit_file(
					&left->sender, file, 0, PRO_TRANSMIT_ALL, NULL, NULL)));
	/* In its first turns it yields or waits for the disk, then for the peer. */
	for (int turn = 0; turn < _i; turn++)
		pro_proactor_handle_events(world.proactor, 0);
	end_operation(&world, left, &left->sender.operation, _i);
	ck_assert_uint_eq(left->cancels[EVENT_TRANSMIT_FILE], 1);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
	world_fini(&world);
}
END_TEST

/* The queue of the listener is full, so the connection is never answered. */
START_TEST(connect_without_answer_ends)
{
	enum { FILLERS = 4 };
	struct recorder *listener, *recorder;
	struct pro_addr local, addr;
	pro_handle handle;
	struct world world;
	int fillers[FILLERS];

	open_variant(&world, "connect_without_answer_ends", variants[_i / 2]);
	world_open(&world);
	local = world_addr(ANY_INET);
	ASSERT_OK(pro_socket_listen(world.proactor, &local, 1, &handle));
	ASSERT_OK(pro_socket_local_addr(world.proactor, handle, &addr));
	listener = recorder_create(&world, "listener");
	pro_handler_set_handle(recorder_handler(listener), handle);
	for (int i = 0; i < FILLERS; i++)
		fillers[i] = os_connect_nonblocking(&addr);
	recorder = recorder_create(&world, "client");
	recorder_open_free(recorder);
	ASSERT_OK(STARTED(
			recorder, CONNECT, pro_asynch_connect_connect(&recorder->connect, &addr, NULL)));
	world_run_ready(&world);
	end_operation(&world, recorder, &recorder->connect.operation, _i);
	ck_assert_uint_eq(recorder->cancels[EVENT_CONNECT], 1);
	for (int i = 0; i < FILLERS; i++)
		os_close(fillers[i]);
	world_fini(&world);
}
END_TEST

/* ---- a foreign loop ---- */

static void *post_main(void *context)
{
	pro_handler_wakeup(recorder_handler(context));
	return NULL;
}

START_TEST(handle_polls_readable_when_there_is_something_to_do)
{
	struct recorder *left, *right;
	struct pro_message_block in;
	struct world world;
	pro_handle handle;
	pthread_t thread;
	char bytes[8];

	open_variant(&world, "handle_polls_readable", variants[_i]);
	world_open(&world);
	left = recorder_create(&world, "left");
	right = recorder_create(&world, "right");
	recorder_pair(left, right);
	recorder_open_free(left);
	handle = pro_proactor_get_handle(world.proactor);
	ck_assert_int_ne(handle, PRO_INVALID_HANDLE);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(left, &in, 0));
	world_run_ready(&world);
	ck_assert(!os_wait_readable(handle, 0));

	/* Bytes. */
	ck_assert_int_eq(
			send((int)pro_handler_handle(recorder_handler(right)), "x", 1, MSG_NOSIGNAL), 1);
	ck_assert(os_wait_readable(handle, 5000));
	world_run_ready(&world);
	ck_assert_uint_eq(left->bytes[EVENT_READ_STREAM], 1);
	ck_assert(!os_wait_readable(handle, 0));

	/* Another thread. */
	ck_assert_int_eq(pthread_create(&thread, NULL, post_main, right), 0);
	ck_assert(os_wait_readable(handle, 5000));
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	world_run_ready(&world);
	ck_assert_uint_eq(right->count[EVENT_WAKEUP], 1);
	ck_assert(!os_wait_readable(handle, 0));

	/* A timer. */
	ASSERT_OK(recorder_timer(left, 30));
	world_run_ready(&world);
	ck_assert(os_wait_readable(handle, 5000));
	RUN_UNTIL(&world, left->count[EVENT_TIME_OUT] == 1);
	world_fini(&world);
}
END_TEST

/* ---- descriptors ---- */

/* A connection that one proactor accepts and another closes leaves no trace: its number means
 * something else on the first one then. */
struct taker {
	struct pro_handler handler; /* first */
	struct pro_asynch_accept accept;
	struct pro_asynch_read_stream reader;
	pro_handle taken;
	size_t received;
};

static void taker_handle_accept(
		struct pro_handler *handler, const struct pro_asynch_accept_result *result)
{
	ASSERT_OK(result->error);
	pro_container_of(handler, struct taker, handler)->taken = result->accepted;
}

static void taker_handle_read(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	ASSERT_OK(result->error);
	pro_container_of(handler, struct taker, handler)->received = result->bytes_transferred;
}

static void taker_handle_close(struct pro_handler *handler)
{
	(void)handler;
}

static const struct pro_handler_vtbl taker_vtbl = {
		.handle_accept = taker_handle_accept,
		.handle_read_stream = taker_handle_read,
		.handle_close = taker_handle_close,
};

START_TEST(a_number_that_another_proactor_closed_is_known_anew)
{
	struct pro_proactor *first;
	struct pro_proactor *second;
	struct pro_addr addr = world_addr(ANY_INET);
	static struct taker taker;
	struct pro_message_block block;
	char bytes[8];
	pro_handle listener;
	int pipes[2];

	ASSERT_OK(pro_proactor_create(&first, NULL, NULL, 0));
	ASSERT_OK(pro_proactor_create(&second, NULL, NULL, 0));
	ASSERT_OK(pro_socket_listen(first, &addr, 0, &listener));
	ASSERT_OK(pro_socket_local_addr(first, listener, &addr));
	ASSERT_OK(pro_handler_init(&taker.handler, &taker_vtbl, first));
	pro_handler_set_handle(&taker.handler, listener);
	ASSERT_OK(pro_asynch_accept_open(&taker.accept, &taker.handler, PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(pro_asynch_accept_accept(&taker.accept));
	taker.taken = PRO_INVALID_HANDLE;
	int peer = os_connect(&addr);
	while (taker.taken == PRO_INVALID_HANDLE)
		ck_assert_int_ge(pro_proactor_handle_events(first, PRO_NO_TIMEOUT), 0);
	ASSERT_OK(pro_proactor_close_handle(second, taker.taken));
	while (!os_wait_readable(peer, 0))
		ck_assert_int_ge(pro_proactor_handle_events(second, 0), 0);
	/* The lowest free number is given away first. */
	os_pipe(pipes);
	ck_assert_int_eq(pipes[0], taker.taken);
	ASSERT_OK(pro_asynch_read_stream_open(&taker.reader, &taker.handler, pipes[0], NULL));
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_OK(pro_asynch_read_stream_read(&taker.reader, &block, 0));
	ck_assert_int_eq(write(pipes[1], "pipe", 4), 4);
	while (taker.received == 0)
		ck_assert_int_ge(pro_proactor_handle_events(first, PRO_NO_TIMEOUT), 0);
	ck_assert_uint_eq(taker.received, 4);
	pro_handler_close(&taker.handler);
	ASSERT_OK(pro_proactor_destroy(first));
	ASSERT_OK(pro_proactor_destroy(second));
	os_close(pipes[0]);
	os_close(pipes[1]);
	os_close(peer);
}
END_TEST

/* ---- the suite ---- */

static Suite *make_suite(void)
{
	Suite *suite = suite_create("io_uring");
	TCase *refused = tcase_create("refused");
	TCase *tiny = tcase_create("tiny");
	TCase *thread = tcase_create("thread");
	TCase *states = tcase_create("states");

	tcase_add_loop_test(refused, refusal_names_the_call_and_leads_to_epoll, 0, REFUSALS);
	tcase_add_test(refused, without_locked_memory_it_is_refused);
	tcase_add_loop_test(refused, report_tells_what_the_kernel_lacks, 0, VARIANTS);
	tcase_add_loop_test(tiny, variant_moves_bytes_and_files, 0, VARIANTS);
	tcase_add_loop_test(tiny, tiny_ring_loses_none, 0, VARIANTS);
	tcase_add_loop_test(tiny, one_callback_may_start_more_than_the_ring_holds, 0, VARIANTS);
	tcase_add_loop_test(tiny, what_finds_no_entry_waits_for_the_next_turn, 0, VARIANTS);
	tcase_add_loop_test(
			thread, flights_of_an_ended_thread_are_cancelled_and_the_loop_goes_on, 0, VARIANTS);
	tcase_add_loop_test(
			thread, a_thread_with_the_number_of_an_ended_one_has_a_ring_of_its_own, 0, VARIANTS);
	tcase_add_loop_test(thread, flights_of_a_ring_without_a_thread_survive, 0, VARIANTS);
	tcase_add_loop_test(thread, close_of_an_ended_thread_is_done_by_the_next, 0, VARIANTS);
	tcase_add_loop_test(thread, what_comes_after_the_last_look_is_not_lost, 0, VARIANTS);
	tcase_add_loop_test(thread, a_block_that_an_ended_thread_was_lent_is_lent_once, 0, VARIANTS);
	tcase_add_loop_test(thread, closes_of_an_ended_thread_are_told_by_the_next, 0, VARIANTS);
	tcase_add_loop_test(thread, proactor_may_be_destroyed_after_its_thread, 0, VARIANTS);
	tcase_add_loop_test(thread, handle_polls_readable_when_there_is_something_to_do, 0, VARIANTS);
	tcase_add_loop_test(states, read_of_a_pipe_ends, 0, STATES);
	tcase_add_loop_test(states, write_to_a_full_pipe_ends, 0, STATES);
	tcase_add_loop_test(states, transmission_to_a_peer_that_does_not_read_ends, 0, STATES);
	tcase_add_loop_test(states, connect_without_answer_ends, 0, STATES);
	tcase_set_timeout(refused, 60);
	tcase_set_timeout(tiny, 120);
	tcase_set_timeout(thread, 60);
	tcase_set_timeout(states, 60);
	tcase_add_test(states, a_number_that_another_proactor_closed_is_known_anew);
	suite_add_tcase(suite, refused);
	suite_add_tcase(suite, tiny);
	suite_add_tcase(suite, thread);
	suite_add_tcase(suite, states);
	return suite;
}

int main(void)
{
	const char *port = getenv("PROACTOR_PORT");

	if (port && strcmp(port, "io_uring") != 0) {
		printf("skip: these are tests of io_uring\n");
		return EXIT_SKIPPED;
	}
	return suite_run(make_suite());
}
