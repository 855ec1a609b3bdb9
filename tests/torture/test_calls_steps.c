/* What the single steps of the Linux ports do, and sockets, files and threads, when a certain
 * system call fails. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../proactor/ports/linux.h"
#include "../../proactor/ports/linux_file.h"
#include "../../proactor/ports/thread.h"
#include "../../proactor/ports/where.h"
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

static const struct {
	int code;
	int error;
} codes[] = {
		{EAI_AGAIN, PRO_ERESOLVE},
		{EAI_MEMORY, PRO_ENOMEM},
		{EAI_FAMILY, PRO_EAFNOSUPPORT},
		{EAI_SYSTEM, PRO_ENOMEM}, /* calls.c sets errno */
		{EAI_NONAME, PRO_EHOSTNOTFOUND},
};
#define CODES ((int)(sizeof(codes) / sizeof(codes[0])))

START_TEST(each_answer_of_the_resolver_is_mapped)
{
	struct pro_resolve_request request = {.host = "127.0.0.1", .port = 80};
	int os_error;
	int error;

	calls_fail("getaddrinfo", 0, 1, codes[_i].code);
	pro__resolve(&request, &error, &os_error);
	ASSERT_ERROR(error, codes[_i].error);
	ck_assert_uint_eq(request.count, 0);
	ck_assert_int_eq(os_error, codes[_i].code == EAI_SYSTEM ? ENOMEM : 0);
}
END_TEST

/* ---- single steps ---- */

static uint64_t calls;

static struct pro_buffer buffer_of(void *bytes, size_t length)
{
	return (struct pro_buffer){.base = bytes, .length = length};
}

START_TEST(interruptions_are_not_seen)
{
	char bytes[4] = "abc";
	const struct pro_buffer buffers[2] = {buffer_of(bytes, 2), buffer_of(bytes + 2, 2)};
	struct pro_addr from;
	int pair[2], pipes[2], dgrams[2];
	bool is_cut;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, dgrams), 0);
	os_pipe(pipes);
	for (unsigned count = 1; count <= 2; count++) {
		calls_fail(count == 1 ? "send" : "sendmsg", 0, 2, EINTR);
		calls_fail(count == 1 ? "recv" : "recvmsg", 0, 2, EINTR);
		ck_assert_int_eq(
				pro__try_write(pair[0], PRO__FD_STREAM, buffers, count, &calls), 2 * count);
		ck_assert_int_eq(pro__try_read(pair[1], PRO__FD_STREAM, buffers, count, &calls), 2 * count);
		ck_assert_uint_eq(calls_forget(), 0);
	}
	calls_fail("poll", 0, 2, EINTR);
	calls_fail("writev", 0, 2, EINTR);
	calls_fail("readv", 0, 2, EINTR);
	ck_assert_int_eq(pro__try_write(pipes[1], PRO__FD_PIPE, buffers, 1, &calls), 2);
	ck_assert_int_eq(pro__try_read(pipes[0], PRO__FD_PIPE, buffers, 1, &calls), 2);
	ck_assert_uint_eq(calls_forget(), 0);
	calls_fail("sendmsg", 0, 2, EINTR);
	calls_fail("recvmsg", 0, 2, EINTR);
	ck_assert_int_eq(pro__try_write_dgram(dgrams[0], buffers, 1, NULL, &calls), 2);
	ck_assert_int_eq(pro__try_read_dgram(dgrams[1], buffers, 1, &from, &is_cut, &calls), 2);
	ck_assert_uint_eq(calls_forget(), 0);
	for (unsigned i = 0; i < 2; i++) {
		close(pair[i]);
		close(pipes[i]);
		close(dgrams[i]);
	}
}
END_TEST

START_TEST(other_errors_of_descriptors_are_told)
{
	char bytes[4] = "abc";
	const struct pro_buffer buffer = buffer_of(bytes, 2);
	uint8_t kind;
	int pipes[2];

	os_pipe(pipes);
	calls_fail("poll", 0, 2, ENOMEM);
	ck_assert_int_eq(pro__try_write(pipes[1], PRO__FD_PIPE, &buffer, 1, &calls), -ENOMEM);
	ck_assert_int_eq(pro__try_read(pipes[0], PRO__FD_PIPE, &buffer, 1, &calls), -ENOMEM);
	calls_fail("writev", 0, 1, EIO);
	ck_assert_int_eq(pro__try_write(pipes[1], PRO__FD_PIPE, &buffer, 1, &calls), -EIO);
	ck_assert_int_eq(pro__try_write(pipes[1], PRO__FD_PIPE, &buffer, 1, &calls), 2);
	calls_fail("readv", 0, 1, EIO);
	ck_assert_int_eq(pro__try_read(pipes[0], PRO__FD_PIPE, &buffer, 1, &calls), -EIO);
	calls_fail("fstat", 0, 1, EIO);
	ck_assert_int_eq(pro__fd_kind_of(pipes[0], &kind), EIO);
	calls_fail("getsockopt", 0, 1, ENOMEM);
	ck_assert_int_eq(pro__fd_kind_of(pipes[0], &kind), ENOMEM);
	ck_assert_uint_eq(calls_forget(), 0);
	os_close(pipes[0]);
	os_close(pipes[1]);
}
END_TEST

START_TEST(files_are_read_in_spite_of_interruptions)
{
	char bytes[4] = "abc";
	const struct pro_buffer buffer = buffer_of(bytes, 3);
	FILE *file = tmpfile();
	int fd = fileno(file);

	calls_fail("pwritev", 0, 2, EINTR);
	ck_assert_int_eq(pro__write_file(fd, &buffer, 1, 0), 3);
	calls_fail("preadv", 0, 2, EINTR);
	ck_assert_int_eq(pro__read_file(fd, &buffer, 1, 0), 3);
	calls_fail("preadv2", 0, 2, EINTR);
	ck_assert_int_eq(pro__try_read_file(fd, &buffer, 1, 0, &calls), 3);
	ck_assert_uint_eq(calls_forget(), 0);
	calls_fail("preadv2", 0, 1, ENOSYS);
	ck_assert_int_eq(pro__try_read_file(fd, &buffer, 1, 0, &calls), -EOPNOTSUPP);
	calls_fail("preadv2", 0, 1, EIO);
	ck_assert_int_eq(pro__try_read_file(fd, &buffer, 1, 0, &calls), -EIO);
	ck_assert_uint_eq(calls_forget(), 0);
	fclose(file);
}
END_TEST

/* Errors of others are skipped, but not for ever. */
START_TEST(leftover_errors_end)
{
	enum { MANY = 100 };
	char bytes[4];
	const struct pro_buffer buffer = buffer_of(bytes, sizeof(bytes));
	struct pro_addr any = world_addr(ANY_INET);
	pro_handle dgram, listener;
	bool is_cut;

	ASSERT_OK(pro__linux_world.dgram(NULL, PRO_FAMILY_NONE, &any, &dgram));
	calls_fail("recvmsg", 0, MANY, EPROTO);
	ck_assert_int_eq(pro__try_read_dgram((int)dgram, &buffer, 1, NULL, &is_cut, &calls), -EPROTO);
	ck_assert_uint_gt(calls_forget(), 0);
	ASSERT_OK(pro__linux_world.local_addr(NULL, dgram, &any));
	calls_fail("sendmsg", 0, 2, ECONNREFUSED);
	ck_assert_int_eq(pro__try_write_dgram((int)dgram, &buffer, 1, &any, &calls), 4);
	calls_fail("sendmsg", 0, MANY, ECONNREFUSED);
	ck_assert_int_eq(pro__try_write_dgram((int)dgram, &buffer, 1, &any, &calls), -ECONNREFUSED);
	ck_assert_uint_gt(calls_forget(), 0);
	ck_assert_int_eq(
			connect((int)dgram, (struct sockaddr *)(void *)any.storage.bytes, any.length), 0);
	calls_fail("sendmsg", 0, 1, ECONNREFUSED);
	ck_assert_int_eq(pro__try_write_dgram((int)dgram, &buffer, 1, NULL, &calls), -ECONNREFUSED);
	pro__linux_world.close_now(NULL, dgram);
	any = world_addr(ANY_INET);
	ASSERT_OK(pro__linux_world.listen(NULL, &any, UINT_MAX, &listener));
	calls_fail("accept4", 0, MANY, ECONNABORTED);
	ck_assert_int_eq(pro__try_accept((int)listener, NULL, NULL, &calls), -ECONNABORTED);
	ck_assert_uint_gt(calls_forget(), 0);
	pro__linux_world.close_now(NULL, listener);
}
END_TEST

START_TEST(an_interrupted_connect_goes_on)
{
	struct pro_addr addr = world_addr(ANY_INET);
	struct pro_addr nowhere = {.length = 0};
	struct pro_addr local;
	pro_handle listener;
	int client;

	ASSERT_OK(pro__linux_world.listen(NULL, &addr, 0, &listener));
	ASSERT_OK(pro__linux_world.local_addr(NULL, listener, &addr));
	calls_fail("connect", 0, 1, EINTR);
	ck_assert_int_eq(pro__begin_connect(&addr, &nowhere, &client, &calls), EINPROGRESS);
	ck_assert(os_wait_readable(listener, 10000));
	calls_fail("getsockname", 0, 1, ENOBUFS);
	int accepted = pro__try_accept((int)listener, &local, NULL, &calls);
	ck_assert_int_ge(accepted, 0);
	ck_assert_uint_eq(local.length, 0);
	ck_assert_int_eq(pro__finish_connect(client, &calls), 0);
	calls_fail("getsockopt", 0, 1, ENOMEM);
	ck_assert_int_eq(pro__finish_connect(client, &calls), ENOMEM);
	ck_assert_uint_eq(calls_forget(), 0);
	close(accepted);
	close(client);
	pro__linux_world.close_now(NULL, listener);
}
END_TEST

START_TEST(an_address_that_comes_twice_is_kept_once)
{
	struct pro_resolve_request request = {.host = "127.0.0.1", .port = 80};
	int os_error;
	int error;

	calls_fail("getaddrinfo", 0, 1, SHORT);
	pro__resolve(&request, &error, &os_error);
	ASSERT_OK(error);
	ck_assert_uint_eq(request.count, 1);
	ck_assert_uint_eq(calls_forget(), 0);
}
END_TEST

START_TEST(packets_in_order_are_a_stream)
{
	uint8_t kind = PRO__FD_UNKNOWN;
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	ck_assert_int_eq(pro__fd_kind_of(pair[0], &kind), 0);
	ck_assert_int_eq(kind, PRO__FD_STREAM);
	close(pair[0]);
	close(pair[1]);
}
END_TEST

static const int no_sendfile[] = {EINVAL, ENOSYS, EINTR, SHORT};

START_TEST(a_file_goes_out_whatever_sendfile_says)
{
	enum { BYTES = 100000 };
	struct pro_transmit_request transmit;
	pro_handle pair[2];
	size_t moved, sent = 0;
	int error = 0, os_error = 0;
	enum pro__transmit_step step;

	world_open(&world);
	ASSERT_OK(pro_socket_pair(world.proactor, pair));
	os_make_sparse_file(world_path(&world, "file"), BYTES);
	transmit = (struct pro_transmit_request){
			.file = world_file(&world, "file", PRO_FILE_READ), .left = BYTES};
	calls_fail("sendfile", 0, 1, no_sendfile[_i]);
	do {
		step = pro__try_transmit((int)pair[0], &transmit, &moved, &error, &os_error, &calls);
		sent += moved;
	} while (step == PRO__TRANSMIT_COLD || step == PRO__TRANSMIT_YIELD);
	ck_assert_int_eq(step, PRO__TRANSMIT_DONE);
	ck_assert_uint_eq(sent, BYTES);
	ck_assert_uint_eq(calls_forget(), 0);
	/* No file reaches so far. */
	transmit.left = BYTES;
	transmit.offset = UINT64_MAX - BYTES;
	step = pro__try_transmit((int)pair[0], &transmit, &moved, &error, &os_error, &calls);
	ck_assert_int_eq(step, PRO__TRANSMIT_FAILED);
	ASSERT_ERROR(error, PRO_EINVAL);
	close((int)transmit.file);
	close((int)pair[0]);
	close((int)pair[1]);
	world_fini(&world);
}
END_TEST

/* A small file is read, when it is in memory, behind its header. */
START_TEST(a_small_cold_file_is_asked_for)
{
	struct pro_transmit_request transmit;
	pro_handle pair[2];
	size_t moved;
	int error = 0, os_error = 0;

	world_open(&world);
	ASSERT_OK(pro_socket_pair(world.proactor, pair));
	os_make_sparse_file(world_path(&world, "file"), 100);
	transmit = (struct pro_transmit_request){
			.file = world_file(&world, "file", PRO_FILE_READ), .left = 100};
	calls_fail("preadv2", 0, 2, EAGAIN);
	ck_assert_int_eq(pro__try_transmit((int)pair[0], &transmit, &moved, &error, &os_error, &calls),
			PRO__TRANSMIT_COLD);
	/* Once only, whatever the file system says. */
	calls_fail("sendmsg", 0, 1, EINTR);
	ck_assert_int_eq(pro__try_transmit((int)pair[0], &transmit, &moved, &error, &os_error, &calls),
			PRO__TRANSMIT_DONE);
	ck_assert_uint_eq(moved, 100);
	ck_assert_uint_eq(calls_forget(), 1);
	close((int)transmit.file);
	close((int)pair[0]);
	close((int)pair[1]);
	world_fini(&world);
}
END_TEST

/* ---- the world ---- */

static const struct {
	const char *call;
	unsigned skip;
	int os_error;
	int error;
} listen_calls[] = {
		{"socket", 0, EMFILE, PRO_EMFILE},
		{"setsockopt", 0, ENOMEM, PRO_ENOMEM},
		{"setsockopt", 1, ENOMEM, PRO_ENOMEM},
		{"bind", 0, EACCES, PRO_EACCES},
		{"listen", 0, EADDRINUSE, PRO_EADDRINUSE},
};
#define LISTEN_CALLS ((int)(sizeof(listen_calls) / sizeof(listen_calls[0])))

START_TEST(a_socket_that_can_not_be_made_leaves_no_descriptor)
{
	struct pro_addr addr = world_addr("[::]:0");
	const unsigned descriptors = os_descriptor_count();
	pro_handle handle, pair[2];

	calls_fail(listen_calls[_i].call, listen_calls[_i].skip, 1, listen_calls[_i].os_error);
	ASSERT_ERROR(pro__linux_world.listen(NULL, &addr, 0, &handle), listen_calls[_i].error);
	ck_assert_uint_eq(calls_forget(), 0);
	ck_assert_int_eq(handle, PRO_INVALID_HANDLE);
	if (strcmp(listen_calls[_i].call, "listen") != 0) {
		calls_fail(listen_calls[_i].call, 0, 1, listen_calls[_i].os_error);
		ASSERT_ERROR(pro__linux_world.dgram(NULL, PRO_FAMILY_NONE, &addr, &handle),
				listen_calls[_i].error);
		ck_assert_uint_eq(calls_forget(), 0);
	}
	calls_fail("socketpair", 0, 1, ENFILE);
	ASSERT_ERROR(pro__linux_world.pair(NULL, pair), PRO_ENFILE);
	ck_assert_uint_eq(calls_forget(), 0);
	ck_assert_uint_eq(os_descriptor_count(), descriptors);
}
END_TEST

static const struct {
	const char *call;
	unsigned skip;
	int os_error;
} stale_calls[] = {{"lstat", 0, EACCES}, {"socket", 1, EMFILE}, {"connect", 0, ENETUNREACH}};
#define STALE_CALLS ((int)(sizeof(stale_calls) / sizeof(stale_calls[0])))

START_TEST(what_may_not_be_stale_is_kept)
{
	char text[PATH_MAX + 8];
	struct pro_addr addr, other;
	pro_handle first, second;

	world_open(&world);
	snprintf(text, sizeof(text), "unix:%s", world_path(&world, "socket"));
	addr = world_addr(text);
	ASSERT_OK(pro_socket_listen(world.proactor, &addr, 0, &first));
	close((int)first);
	calls_fail(stale_calls[_i].call, stale_calls[_i].skip, 1, stale_calls[_i].os_error);
	ASSERT_ERROR(pro_socket_listen(world.proactor, &addr, 0, &second), PRO_EADDRINUSE);
	ck_assert_uint_eq(calls_forget(), 0);
	/* An abstract one is never stale. */
	os_make_local_address(text, sizeof(text));
	other = world_addr(text);
	ASSERT_OK(pro_socket_listen(world.proactor, &other, 0, &first));
	ASSERT_ERROR(pro_socket_listen(world.proactor, &other, 0, &second), PRO_EADDRINUSE);
	close((int)first);
	other.length = 0;
	ASSERT_OK(pro_socket_dgram(world.proactor, PRO_FAMILY_UNIX, &other, &first));
	close((int)first);
	world_fini(&world);
}
END_TEST

START_TEST(bits_are_random_without_the_system)
{
	calls_fail("getrandom", 0, 2, EINTR);
	ck_assert(pro__linux_random(NULL) != pro__linux_random(NULL));
	ck_assert_uint_eq(calls_forget(), 0);
	calls_fail("getrandom", 0, 2, ENOSYS);
	ck_assert(pro__linux_random(NULL) != pro__linux_random(NULL));
	ck_assert_uint_eq(calls_forget(), 0);
}
END_TEST

START_TEST(threads_go_on_where_they_may_not_be_pinned)
{
	calls_fail("sched_getaffinity", 0, 2, EPERM);
	ck_assert_uint_eq(pro__processor_count(), 1);
	pro__thread_pin(1);
	ck_assert_uint_eq(calls_forget(), 0);
	ck_assert_uint_ge(pro__processor_count(), 1);
	pro__thread_pin(UINT_MAX);
	ck_assert_uint_eq(pro__processor_count(), 1);
}
END_TEST

START_TEST(a_place_without_a_name_is_a_number)
{
	char text[256];

	calls_fail("dladdr", 0, 1, EINVAL);
	pro__where_text((const char *)(uintptr_t)0x1235, text, sizeof(text));
	ck_assert_str_eq(text, "0x1234");
	ck_assert_uint_eq(calls_forget(), 0);
	pro__where_text(NULL, text, sizeof(text));
	ck_assert_str_eq(text, "an unknown place");
	pro__where_text((const char *)(uintptr_t)strtoull + 1, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "strtoull"));
	pro__where_text((const char *)(uintptr_t)set_up + 1, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "test_calls_steps+0x"));
}
END_TEST

/* ---- files and roots ---- */

static const struct {
	int os_error;
	unsigned times;
	int error;
} openat2_ends[] = {
		{ENOSYS, 1, 0},
		{EPERM, 1, 0},
		{EINTR, 3, 0},
		{EAGAIN, 3, 0},
		{EAGAIN, 1000, PRO_EAGAIN},
		{EMFILE, 1, PRO_EMFILE},
};
#define OPENAT2_ENDS ((int)(sizeof(openat2_ends) / sizeof(openat2_ends[0])))

static int count_entry(void *context, const char *name, enum pro_file_type type)
{
	(void)name;
	ck_assert_int_eq(type, PRO_FILE_REGULAR);
	++*(unsigned *)context;
	return 0;
}

START_TEST(a_name_below_a_root_is_found_or_an_error)
{
	const struct pro_port_world *linux_world = &pro__linux_world;
	struct pro_file_status status;
	unsigned count = 0;
	pro_handle file;
	void *root;
	int error;

	world_open(&world);
	os_make_sparse_file(world_path(&world, "file"), 5);
	ASSERT_OK(linux_world->root_open(NULL, world.directory, &root));
	calls_fail("openat2", 0, openat2_ends[_i].times, openat2_ends[_i].os_error);
	error = linux_world->root_status(NULL, root, "file", &status);
	/* It does not try for ever. */
	ck_assert(calls_forget() == 0 || openat2_ends[_i].error == PRO_EAGAIN);
	ck_assert_int_eq(error < 0, openat2_ends[_i].error < 0);
	if (!error)
		ck_assert_uint_eq(status.size, 5);
	calls_fail("fstat", 0, 2, EIO);
	ASSERT_ERROR(linux_world->root_status(NULL, root, "file", &status), PRO_EIO);
	ASSERT_ERROR(
			linux_world->root_open_file(NULL, root, "file", PRO_FILE_READ, &file, NULL), PRO_EIO);
	ck_assert_uint_eq(calls_forget(), 0);
	calls_fail("readdir", 0, 3, SHORT);
	ASSERT_OK(linux_world->root_list(NULL, root, "", count_entry, &count));
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(calls_forget(), 0);
	calls_fail("readdir", 0, 1, EIO);
	ASSERT_ERROR(linux_world->root_list(NULL, root, "", count_entry, &count), PRO_EIO);
	calls_fail("fdopendir", 0, 1, ENOMEM);
	ASSERT_ERROR(linux_world->root_list(NULL, root, "", count_entry, &count), PRO_ENOMEM);
	ck_assert_uint_eq(calls_forget(), 0);
	linux_world->root_close(NULL, root);
	world_fini(&world);
}
END_TEST

START_TEST(a_walk_up_that_fails_is_an_error)
{
	void *root;
	int fd;

	world_open(&world);
	os_make_sparse_file(world_path(&world, "file"), 5);
	ck_assert_int_eq(mkdir(world_path(&world, "a"), 0700), 0);
	ck_assert_int_eq(mkdir(world_path(&world, "a/b"), 0700), 0);
	ASSERT_OK(pro__linux_world.root_open(NULL, world.directory, &root));
	fd = (int)((intptr_t)root - 1);
	calls_fail("openat", 2, 1, EMFILE);
	ASSERT_ERROR(pro__open_beneath_by_parts(fd, "a/b/../../file", O_RDONLY, 0), PRO_EMFILE);
	ck_assert_uint_eq(calls_forget(), 0);
	int file = pro__open_beneath_by_parts(fd, "a/b/../../file", O_RDONLY, 0);
	ck_assert_int_ge(file, 0);
	close(file);
	pro__linux_world.root_close(NULL, root);
	world_fini(&world);
}
END_TEST

/* ---- the suite ---- */

int main(void)
{
#define TESTS(X)                                                                                   \
	X(each_answer_of_the_resolver_is_mapped, CODES)                                                \
	X(interruptions_are_not_seen, 1)                                                               \
	X(other_errors_of_descriptors_are_told, 1)                                                     \
	X(files_are_read_in_spite_of_interruptions, 1)                                                 \
	X(leftover_errors_end, 1)                                                                      \
	X(an_interrupted_connect_goes_on, 1)                                                           \
	X(an_address_that_comes_twice_is_kept_once, 1)                                                 \
	X(packets_in_order_are_a_stream, 1)                                                            \
	X(a_file_goes_out_whatever_sendfile_says, 4)                                                   \
	X(a_small_cold_file_is_asked_for, 1)                                                           \
	X(a_socket_that_can_not_be_made_leaves_no_descriptor, LISTEN_CALLS)                            \
	X(what_may_not_be_stale_is_kept, STALE_CALLS)                                                  \
	X(bits_are_random_without_the_system, 1)                                                       \
	X(threads_go_on_where_they_may_not_be_pinned, 1)                                               \
	X(a_place_without_a_name_is_a_number, 1)                                                       \
	X(a_name_below_a_root_is_found_or_an_error, OPENAT2_ENDS)                                      \
	X(a_walk_up_that_fails_is_an_error, 1)
#define TEST_OF(name, count)  name,
#define COUNT_OF(name, count) count,
	const TTest *const tests[] = {TESTS(TEST_OF)};
	static const int counts[] = {TESTS(COUNT_OF)};

	return suite_run_loops(
			"calls_steps", set_up, tests, counts, (int)(sizeof(counts) / sizeof(counts[0])));
}
