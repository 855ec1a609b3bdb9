/* The single steps that both Linux ports take: none waits, none raises SIGPIPE, every errno is
 * mapped. */
#include "../proactor/ports/linux.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/os.h"
#include "support/pattern.h"
#include "support/suite.h"

static const struct pro_port_world *const world = &pro__linux_world;
static uint64_t calls;
static char directory[64];
static unsigned descriptors_before;

static void set_up(void)
{
	descriptors_before = os_descriptor_count();
	os_make_directory(directory, sizeof(directory));
}

static void tear_down(void)
{
	os_remove_directory(directory);
	ck_assert_uint_eq(os_descriptor_count(), descriptors_before);
}

static const char *path_of(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static struct pro_addr address(const char *text)
{
	struct pro_addr addr;

	ck_assert_int_eq(pro_addr_parse(&addr, text), 0);
	return addr;
}

static struct pro_buffer buffer_of(void *bytes, size_t length)
{
	return (struct pro_buffer){.base = bytes, .length = length};
}

static void make_pair(int fds[2])
{
	pro_handle handles[2];

	ck_assert_int_eq(world->pair(NULL, handles), 0);
	fds[0] = (int)handles[0];
	fds[1] = (int)handles[1];
}

static void close_both(const int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

/* A listener on `text`, and its address. */
static int listen_on(const char *text, struct pro_addr *local)
{
	struct pro_addr wanted = address(text);
	pro_handle handle;

	ck_assert_int_eq(world->listen(NULL, &wanted, 0, &handle), 0);
	ck_assert_int_eq(world->local_addr(NULL, handle, local), 0);
	return (int)handle;
}

static void await_readable(int fd)
{
	ck_assert(os_wait_readable(fd, 10000));
}

/* ---- descriptors ---- */

static uint8_t kind_of(int fd)
{
	uint8_t kind = PRO__FD_UNKNOWN;

	ck_assert_int_eq(pro__fd_kind_of(fd, &kind), 0);
	return kind;
}

START_TEST(each_kind_of_descriptor_is_told)
{
	struct pro_addr local;
	int pair[2];
	int ends[2];
	int listener = listen_on("127.0.0.1:0", &local);
	int dgram = socket(AF_INET, SOCK_DGRAM, 0);
	int event = eventfd(0, 0);
	int file = open(path_of("file"), O_RDWR | O_CREAT, 0600);
	uint8_t kind;

	make_pair(pair);
	os_pipe(ends);
	ck_assert_uint_eq(kind_of(pair[0]), PRO__FD_STREAM);
	ck_assert_uint_eq(kind_of(listener), PRO__FD_LISTENER);
	ck_assert_uint_eq(kind_of(dgram), PRO__FD_DGRAM);
	ck_assert_uint_eq(kind_of(ends[0]), PRO__FD_PIPE);
	ck_assert_uint_eq(kind_of(event), PRO__FD_PIPE);
	ck_assert_uint_eq(kind_of(file), PRO__FD_FILE);
	ck_assert(fcntl(dgram, F_GETFL) & O_NONBLOCK);
	ck_assert(!(fcntl(ends[0], F_GETFL) & O_NONBLOCK));
	close(file);
	ck_assert_int_eq(pro__fd_kind_of(file, &kind), EBADF);
	ck_assert_int_eq(pro__fd_kind_of(-1, &kind), EBADF);
	close(event);
	close(dgram);
	close(listener);
	close_both(ends);
	close_both(pair);
}
END_TEST

START_TEST(the_table_keeps_entries_in_place_and_costs_nothing_for_bad_numbers)
{
	struct pro_proactor *proactor;
	struct pro__fd_table table;

	ck_assert_int_eq(pro_proactor_create(&proactor, NULL, NULL, 0), 0);
	pro__fd_table_init(&table, proactor, 40);
	ck_assert_ptr_null(pro__fd_table_find(&table, 0));
	struct pro__fd *first = pro__fd_table_get(&table, 0);
	ck_assert_ptr_nonnull(first);
	ck_assert_uint_eq(first->epoch, 1);
	int high = fcntl(0, F_DUPFD_CLOEXEC, 900);
	ck_assert_int_ge(high, 900);
	ck_assert_ptr_nonnull(pro__fd_table_get(&table, high));
	ck_assert_ptr_eq(pro__fd_table_get(&table, 0), first);
	ck_assert_ptr_eq(pro__fd_table_find(&table, 0), first);
	size_t chunks = table.chunk_count;
	const pro_handle bad[] = {-1, INTPTR_MIN, INTPTR_MAX, INT_MAX, 1000000};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		errno = 0;
		ck_assert_ptr_null(pro__fd_table_get(&table, bad[i]));
		ck_assert_int_eq(errno, EBADF);
	}
	ck_assert_uint_eq(table.chunk_count, chunks);
	for (unsigned i = 0; i < 70000; i++) {
		pro__fd_next_epoch(first);
		if (first->epoch == 0)
			ck_abort_msg("epoch 0");
	}
	pro__fd_table_fini(&table);
	close(high);
	ck_assert_int_eq(pro_proactor_destroy(proactor), 0);
}
END_TEST

START_TEST(a_forked_child_sees_its_mark_wiped)
{
	uint32_t *mark = pro__fork_mark_create();

	ck_assert_ptr_nonnull(mark);
	ck_assert_uint_ne(*mark, 0);
	pid_t child = fork();
	if (child == 0)
		_exit(*mark == 0 ? 0 : 1);
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_ne(*mark, 0);
	pro__fork_mark_destroy(mark);
	pro__fork_mark_destroy(NULL);
}
END_TEST

/* ---- streams ---- */

/* A stream of the kind numbered `number`: [0] is read from, [1] written to. */
static uint8_t make_stream(int number, int fds[2])
{
	if (number == 0) {
		make_pair(fds);
		return PRO__FD_STREAM;
	}
	os_pipe(fds);
	return PRO__FD_PIPE;
}

START_TEST(a_read_never_waits)
{
	int fds[2];
	uint8_t kind = make_stream(_i, fds);
	char left[4];
	char right[8];
	struct pro_buffer buffers[2] = {buffer_of(left, 4), buffer_of(right, 8)};

	ck_assert_int_eq(pro__try_read(fds[0], kind, buffers, 2, &calls), -EAGAIN);
	ck_assert_int_eq(pro__try_read(fds[0], kind, buffers, 1, &calls), -EAGAIN);
	ck_assert_int_eq(write(fds[1], "123456", 6), 6);
	ck_assert_int_eq(pro__try_read(fds[0], kind, buffers, 2, &calls), 6);
	ck_assert_mem_eq(left, "1234", 4);
	ck_assert_mem_eq(right, "56", 2);
	ck_assert_int_eq(pro__try_read(fds[0], kind, buffers, 2, &calls), -EAGAIN);
	close(fds[1]);
	ck_assert_int_eq(pro__try_read(fds[0], kind, buffers, 2, &calls), 0);
	ck_assert_int_eq(pro__try_read(fds[0], kind, buffers, 2, &calls), 0);
	close(fds[0]);
}
END_TEST

/* The pipe is a blocking one: a write that took it at its word would hang. */
START_TEST(a_write_never_waits)
{
	static unsigned char sent[256 * 1024];
	static unsigned char received[sizeof(sent)];
	int fds[2];
	uint8_t kind = make_stream(_i, fds);
	size_t written = 0;
	size_t checked = 0;

	pattern_fill(sent, sizeof(sent), 0, 1);
	while (checked < sizeof(sent)) {
		struct pro_buffer buffers[2] = {buffer_of(sent + written, (sizeof(sent) - written) / 2),
				buffer_of(sent + written + (sizeof(sent) - written) / 2,
						sizeof(sent) - written - (sizeof(sent) - written) / 2)};
		ssize_t moved = -EAGAIN;
		if (written < sizeof(sent))
			moved = pro__try_write(fds[1], kind, buffers, 2, &calls);
		if (moved >= 0) {
			written += (size_t)moved;
			continue;
		}
		ck_assert_int_eq(moved, -EAGAIN);
		ssize_t got = read(fds[0], received + checked, sizeof(received) - checked);
		ck_assert_int_gt(got, 0);
		checked += (size_t)got;
	}
	pattern_check(received, sizeof(received), 0, 1);
	close_both(fds);
}
END_TEST

static bool is_sigpipe_pending(void)
{
	sigset_t pending;

	sigpending(&pending);
	return sigismember(&pending, SIGPIPE) == 1;
}

START_TEST(a_broken_stream_raises_no_signal)
{
	int fds[2];
	uint8_t kind = make_stream(_i, fds);
	struct pro_buffer buffer = buffer_of("x", 1);

	ck_assert(signal(SIGPIPE, SIG_DFL) == SIG_DFL);
	close(fds[0]);
	ck_assert_int_eq(pro__try_write(fds[1], kind, &buffer, 1, &calls), -EPIPE);
	ck_assert(!is_sigpipe_pending());
	close(fds[1]);
}
END_TEST

START_TEST(a_signal_that_was_pending_stays_pending)
{
	int fds[2];
	uint8_t kind = make_stream(_i, fds);
	struct pro_buffer buffer = buffer_of("x", 1);
	sigset_t only_pipe;
	sigset_t mask;

	sigemptyset(&only_pipe);
	sigaddset(&only_pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &only_pipe, NULL);
	close(fds[0]);
	ck_assert_int_eq(pro__try_write(fds[1], kind, &buffer, 1, &calls), -EPIPE);
	ck_assert(!is_sigpipe_pending());
	raise(SIGPIPE);
	ck_assert_int_eq(pro__try_write(fds[1], kind, &buffer, 1, &calls), -EPIPE);
	ck_assert(is_sigpipe_pending());
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	ck_assert_int_eq(sigismember(&mask, SIGPIPE), 1);
	int taken;
	sigwait(&only_pipe, &taken);
	close(fds[1]);
}
END_TEST

START_TEST(a_bad_descriptor_is_told)
{
	struct pro_buffer buffer = buffer_of("x", 1);

	ck_assert_int_eq(pro__try_read(9999, PRO__FD_STREAM, &buffer, 1, &calls), -EBADF);
	ck_assert_int_eq(pro__try_read(9999, PRO__FD_PIPE, &buffer, 1, &calls), -EBADF);
	ck_assert_int_eq(pro__try_write(9999, PRO__FD_PIPE, &buffer, 1, &calls), -EBADF);
	ck_assert_int_eq(pro__try_accept(9999, NULL, NULL, &calls), -EBADF);
	ck_assert_int_eq(pro__finish_connect(9999, &calls), EBADF);
}
END_TEST

/* ---- datagrams ---- */

static int make_dgram(struct pro_addr *local)
{
	struct pro_addr wanted = address("127.0.0.1:0");
	pro_handle handle;

	ck_assert_int_eq(world->dgram(NULL, PRO_FAMILY_INET, &wanted, &handle), 0);
	ck_assert_int_eq(world->local_addr(NULL, handle, local), 0);
	return (int)handle;
}

START_TEST(a_datagram_keeps_its_bounds_and_its_sender)
{
	struct pro_addr left_addr;
	struct pro_addr right_addr;
	struct pro_addr from;
	int left = make_dgram(&left_addr);
	int right = make_dgram(&right_addr);
	char bytes[4];
	struct pro_buffer out = buffer_of("123456", 6);
	struct pro_buffer in = buffer_of(bytes, sizeof(bytes));
	bool is_cut;

	ck_assert_int_eq(pro__try_read_dgram(right, &in, 1, &from, &is_cut, &calls), -EAGAIN);
	ck_assert(!is_cut);
	ck_assert_int_eq(pro__try_write_dgram(left, &out, 1, &right_addr, &calls), 6);
	await_readable(right);
	ck_assert_int_eq(pro__try_read_dgram(right, &in, 1, &from, &is_cut, &calls), 4);
	ck_assert(is_cut);
	ck_assert(pro_addr_equal(&from, &left_addr));
	out.length = 0;
	ck_assert_int_eq(pro__try_write_dgram(left, &out, 1, &right_addr, &calls), 0);
	await_readable(right);
	ck_assert_int_eq(pro__try_read_dgram(right, &in, 1, NULL, &is_cut, &calls), 0);
	ck_assert(!is_cut);
	ck_assert_int_eq(pro__try_write_dgram(left, &out, 1, NULL, &calls), -EDESTADDRREQ);
	close(left);
	close(right);
}
END_TEST

/* IP_RECVERR makes the kernel report what happened to earlier datagrams. */
START_TEST(errors_of_earlier_datagrams_are_skipped_unless_connected)
{
	struct pro_addr addr;
	struct pro_addr nobody;
	int dgram = make_dgram(&addr);
	int gone = make_dgram(&nobody);
	const int on = 1;
	char bytes[4] = {0};
	struct pro_buffer buffer = buffer_of(bytes, sizeof(bytes));
	bool is_cut;

	close(gone);
	setsockopt(dgram, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	ck_assert_int_eq(pro__try_write_dgram(dgram, &buffer, 1, &nobody, &calls), 4);
	struct pollfd polled = {.fd = dgram};
	ck_assert_int_eq(poll(&polled, 1, 10000), 1);
	ck_assert_int_eq(pro__try_read_dgram(dgram, &buffer, 1, NULL, &is_cut, &calls), -EAGAIN);
	ck_assert_int_eq(
			connect(dgram, (struct sockaddr *)(void *)nobody.storage.bytes, nobody.length), 0);
	ck_assert_int_eq(pro__try_write_dgram(dgram, &buffer, 1, NULL, &calls), 4);
	ck_assert_int_eq(poll(&polled, 1, 10000), 1);
	ck_assert_int_eq(pro__try_read_dgram(dgram, &buffer, 1, NULL, &is_cut, &calls), -ECONNREFUSED);
	close(dgram);
}
END_TEST

/* ---- connections ---- */

static void connect_and_accept(const char *text)
{
	struct pro_addr server_addr;
	struct pro_addr local;
	struct pro_addr remote;
	struct pro_addr client_addr;
	int listener = listen_on(text, &server_addr);
	int client;

	ck_assert_int_eq(pro__try_accept(listener, &local, &remote, &calls), -EAGAIN);
	int os_error = pro__begin_connect(&server_addr, NULL, &client, &calls);
	ck_assert(os_error == 0 || os_error == EINPROGRESS);
	await_readable(listener);
	int accepted = pro__try_accept(listener, &local, &remote, &calls);
	ck_assert_int_ge(accepted, 0);
	ck_assert_int_eq(pro__finish_connect(client, &calls), 0);
	ck_assert_int_eq(world->local_addr(NULL, client, &client_addr), 0);
	ck_assert(pro_addr_equal(&local, &server_addr));
	if (pro_addr_family(&server_addr) != PRO_FAMILY_UNIX)
		ck_assert(pro_addr_equal(&remote, &client_addr));
	ck_assert(fcntl(accepted, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(accepted, F_GETFD) & FD_CLOEXEC);
	ck_assert(fcntl(client, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(client, F_GETFD) & FD_CLOEXEC);
	close(accepted);
	close(client);
	close(listener);
}

START_TEST(connections_are_made_in_each_family)
{
	char text[PATH_MAX + 8];

	connect_and_accept("127.0.0.1:0");
	connect_and_accept("[::1]:0");
	snprintf(text, sizeof(text), "unix:%s", path_of("socket"));
	connect_and_accept(text);
}
END_TEST

START_TEST(a_refused_connection_leaves_no_descriptor)
{
	struct pro_addr addr;
	int listener = listen_on("127.0.0.1:0", &addr);
	int client = -2;

	close(listener);
	int os_error = pro__begin_connect(&addr, NULL, &client, &calls);
	if (os_error == EINPROGRESS) {
		struct pollfd polled = {.fd = client, .events = POLLOUT};
		ck_assert_int_eq(poll(&polled, 1, 10000), 1);
		os_error = pro__finish_connect(client, &calls);
		close(client);
	} else {
		ck_assert_int_eq(client, -1);
	}
	ck_assert_int_eq(os_error, ECONNREFUSED);
}
END_TEST

START_TEST(a_connection_that_is_under_way_is_not_finished)
{
	int client = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(pro__finish_connect(client, &calls), EINPROGRESS);
	close(client);
}
END_TEST

START_TEST(a_listener_on_the_ipv6_wildcard_takes_ipv4)
{
	struct pro_addr any;
	int listener = listen_on("[::]:0", &any);
	struct pro_addr loopback = address("127.0.0.1:1");

	pro_addr_set_port(&loopback, pro_addr_port(&any));
	int client = os_connect(&loopback);
	await_readable(listener);
	int accepted = pro__try_accept(listener, NULL, NULL, &calls);
	ck_assert_int_ge(accepted, 0);
	close(accepted);
	close(client);
	close(listener);
}
END_TEST

START_TEST(a_stale_socket_file_is_replaced_and_nothing_else_is)
{
	char text[PATH_MAX + 8];
	struct pro_addr addr;
	pro_handle handle;

	snprintf(text, sizeof(text), "unix:%s", path_of("socket"));
	int first = listen_on(text, &addr);
	ck_assert_int_eq(world->listen(NULL, &addr, 0, &handle), PRO_EADDRINUSE);
	close(first);
	ck_assert_int_eq(world->listen(NULL, &addr, 0, &handle), 0);
	close((int)handle);
	snprintf(text, sizeof(text), "unix:%s", path_of("file"));
	close(open(path_of("file"), O_WRONLY | O_CREAT, 0600));
	addr = address(text);
	ck_assert_int_eq(world->listen(NULL, &addr, 0, &handle), PRO_EADDRINUSE);
	ck_assert_int_eq(access(path_of("file"), F_OK), 0);
}
END_TEST

START_TEST(options_are_set)
{
	struct pro_addr addr;
	int listener = listen_on("127.0.0.1:0", &addr);
	int pair[2];

	make_pair(pair);
	for (int option = PRO_SOCKET_NODELAY; option <= PRO_SOCKET_BROADCAST; option++)
		ck_assert_int_eq(world->set_option(NULL, listener, (enum pro_socket_option)option, 1), 0);
	ck_assert_int_eq(world->set_option(NULL, pair[0], PRO_SOCKET_NODELAY, 1), PRO_ENOTSUP);
	ck_assert_int_eq(world->set_option(NULL, listener, (enum pro_socket_option)99, 1), PRO_EINVAL);
	ck_assert_int_eq(world->remote_addr(NULL, listener, &addr), PRO_ENOTCONN);
	close_both(pair);
	close(listener);
}
END_TEST

/* ---- transmit_file ---- */

#define FILE_SEED 7

static int make_file(const char *name, size_t length)
{
	unsigned char *bytes = malloc(length + 1);
	int fd = open(path_of(name), O_RDWR | O_CREAT | O_TRUNC, 0600);

	pattern_fill(bytes, length, 0, FILE_SEED);
	ck_assert_int_eq(pwrite(fd, bytes, length, 0), (ssize_t)length);
	free(bytes);
	return fd;
}

/* Reads what is there and appends it to `bytes`. */
static size_t drain(int fd, unsigned char *bytes, size_t room)
{
	size_t total = 0;

	while (total < room) {
		ssize_t got = recv(fd, bytes + total, room - total, MSG_DONTWAIT);
		if (got <= 0)
			break;
		total += (size_t)got;
	}
	return total;
}

static void transmit_and_check(size_t header, size_t offset, size_t length, size_t trailer)
{
	static unsigned char head[3000];
	static unsigned char tail[3000];
	int pair[2];
	int file = make_file("file", offset + length + 10);
	size_t total = header + length + trailer;
	unsigned char *received = malloc(total + 1);
	size_t have = 0;
	size_t sent = 0;
	struct pro_transmit_request request = {.header = buffer_of(head, header),
			.trailer = buffer_of(tail, trailer),
			.file = file,
			.offset = offset,
			.left = length};
	enum pro__transmit_step step;

	make_pair(pair);
	pattern_fill(head, sizeof(head), 0, 1);
	pattern_fill(tail, sizeof(tail), 0, 2);
	do {
		size_t moved;
		int error = 1;
		int os_error = 1;
		step = pro__try_transmit(pair[0], &request, &moved, &error, &os_error, &calls);
		ck_assert_int_ne(step, PRO__TRANSMIT_FAILED);
		sent += moved;
		have += drain(pair[1], received + have, total + 1 - have);
	} while (step != PRO__TRANSMIT_DONE);
	ck_assert_uint_eq(sent, total);
	ck_assert_uint_eq(request.sent, total);
	ck_assert_uint_eq(request.left, 0);
	ck_assert_uint_eq(have, total);
	pattern_check(received, header, 0, 1);
	pattern_check(received + header, length, offset, FILE_SEED);
	pattern_check(received + header + length, trailer, 0, 2);
	free(received);
	close(file);
	close_both(pair);
}

START_TEST(all_parts_go_out_in_order)
{
	const size_t lengths[] = {0, 1, 4095, 4096, 4097, 100000, 128 * 1024, 128 * 1024 + 1,
			2 * 1024 * 1024 - 1, 2 * 1024 * 1024, 2 * 1024 * 1024 + 1, 5 * 1024 * 1024 + 3};

	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		transmit_and_check(0, 0, lengths[i], 0);
		transmit_and_check(2000, 0, lengths[i], 0);
		transmit_and_check(0, 5, lengths[i], 2000);
		transmit_and_check(3000, 4097, lengths[i], 3000);
	}
}
END_TEST

/* One whole transmission with no peer that reads; the step it ends with. */
static enum pro__transmit_step transmit_once(
		int fd, struct pro_transmit_request *request, int *error, int *os_error)
{
	size_t moved;
	enum pro__transmit_step step;

	do
		step = pro__try_transmit(fd, request, &moved, error, os_error, &calls);
	while (step == PRO__TRANSMIT_COLD);
	return step;
}

START_TEST(a_file_that_is_too_short_is_told)
{
	const size_t lengths[] = {0, 10, 10000};

	for (unsigned i = 0; i < 3; i++) {
		int pair[2];
		int error = 0;
		int os_error = 1;
		int file = make_file("file", lengths[i]);
		struct pro_transmit_request request = {
				.header = buffer_of("h", 1), .file = file, .left = lengths[i] + 1};
		make_pair(pair);
		ck_assert_int_eq(transmit_once(pair[0], &request, &error, &os_error), PRO__TRANSMIT_FAILED);
		ck_assert_int_eq(error, PRO_ETRUNCATED);
		ck_assert_int_eq(os_error, 0);
		close(file);
		close_both(pair);
	}
}
END_TEST

START_TEST(a_broken_peer_ends_a_transmission_without_a_signal)
{
	const size_t lengths[] = {10, 100000};

	ck_assert(signal(SIGPIPE, SIG_DFL) == SIG_DFL);
	for (unsigned i = 0; i < 2; i++) {
		int pair[2];
		int error = 0;
		int os_error = 0;
		int file = make_file("file", lengths[i]);
		struct pro_transmit_request request = {.file = file, .left = lengths[i]};
		make_pair(pair);
		close(pair[1]);
		ck_assert_int_eq(transmit_once(pair[0], &request, &error, &os_error), PRO__TRANSMIT_FAILED);
		ck_assert_int_eq(error, PRO_EPIPE);
		ck_assert_int_eq(os_error, EPIPE);
		ck_assert(!is_sigpipe_pending());
		close(file);
		close(pair[0]);
	}
}
END_TEST

static void *read_some_and_close(void *context)
{
	int fd = *(int *)context;
	char bytes[4096];

	ck_assert_int_gt(read(fd, bytes, sizeof(bytes)), 0);
	close(fd);
	return NULL;
}

/* The socket is a blocking one here, so that sendfile is in its midst when the peer goes: the
 * kernel then returns a count and raises the signal all the same. */
START_TEST(a_peer_that_goes_amid_a_transmission_raises_no_signal)
{
	ck_assert(signal(SIGPIPE, SIG_DFL) == SIG_DFL);
	for (unsigned i = 0; i < 20; i++) {
		int pair[2];
		int error = 0;
		int os_error = 0;
		int file = make_file("file", 2 * 1024 * 1024);
		struct pro_transmit_request request = {.file = file, .left = 2 * 1024 * 1024};
		pthread_t thread;
		make_pair(pair);
		fcntl(pair[0], F_SETFL, 0);
		fcntl(pair[1], F_SETFL, 0);
		ck_assert_int_eq(pthread_create(&thread, NULL, read_some_and_close, &pair[1]), 0);
		ck_assert_int_eq(transmit_once(pair[0], &request, &error, &os_error), PRO__TRANSMIT_FAILED);
		ck_assert(error == PRO_EPIPE || error == PRO_ECONNRESET);
		ck_assert(!is_sigpipe_pending());
		pthread_join(thread, NULL);
		close(file);
		close(pair[0]);
	}
}
END_TEST

START_TEST(a_full_socket_makes_a_transmission_wait)
{
	int file = make_file("file", 16 * 1024 * 1024);
	struct pro_transmit_request request = {.file = file, .left = 16 * 1024 * 1024};
	int pair[2];
	int error;
	int os_error;

	make_pair(pair);
	ck_assert_int_eq(transmit_once(pair[0], &request, &error, &os_error), PRO__TRANSMIT_WAIT);
	ck_assert_uint_gt(request.sent, 0);
	ck_assert_uint_lt(request.sent, 16 * 1024 * 1024);
	close(file);
	close_both(pair);
}
END_TEST

START_TEST(what_can_not_be_sent_by_sendfile_is_copied)
{
	/* A file without pages of its own. */
	int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	struct pro_transmit_request request = {.file = file, .left = 20};
	int pair[2];
	int error;
	int os_error;
	char bytes[32];

	make_pair(pair);
	ck_assert_int_eq(transmit_once(pair[0], &request, &error, &os_error), PRO__TRANSMIT_DONE);
	ck_assert_int_eq(recv(pair[1], bytes, sizeof(bytes), 0), 20);
	request = (struct pro_transmit_request){.file = pair[0], .left = 20};
	ck_assert_int_eq(transmit_once(pair[0], &request, &error, &os_error), PRO__TRANSMIT_FAILED);
	ck_assert_int_eq(error, PRO_ESPIPE);
	close(file);
	close_both(pair);
}
END_TEST

/* Whether the pages really leave the memory is up to the kernel; either way all bytes come. */
START_TEST(a_cold_file_is_asked_for_and_then_sent)
{
	int file = make_file("file", 3 * 1024 * 1024);
	int pair[2];
	struct pro_transmit_request request = {.file = file, .left = 3 * 1024 * 1024};
	unsigned char *received = malloc(3 * 1024 * 1024);
	size_t have = 0;
	unsigned cold = 0;
	enum pro__transmit_step step;

	make_pair(pair);
	fsync(file);
	posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
	do {
		size_t moved;
		int error;
		int os_error;
		uint64_t offset = request.offset;
		step = pro__try_transmit(pair[0], &request, &moved, &error, &os_error, &calls);
		ck_assert_int_ne(step, PRO__TRANSMIT_FAILED);
		/* Never twice for the same byte, even when nobody reads it. */
		if (step == PRO__TRANSMIT_COLD) {
			cold++;
			ck_assert(cold == 1 || request.offset != offset || moved);
		}
		have += drain(pair[1], received + have, 3 * 1024 * 1024 - have);
	} while (step != PRO__TRANSMIT_DONE);
	ck_assert_uint_eq(have, 3 * 1024 * 1024);
	pattern_check(received, have, 0, FILE_SEED);
	free(received);
	close(file);
	close_both(pair);
}
END_TEST

/* ---- blocking work and errors ---- */

START_TEST(files_are_read_and_written_at_offsets)
{
	int file = open(path_of("file"), O_RDWR | O_CREAT, 0600);
	const uint64_t far = UINT64_C(5) << 32;
	char bytes[8];
	struct pro_buffer out = buffer_of("12345678", 8);
	struct pro_buffer in[2] = {buffer_of(bytes, 3), buffer_of(bytes + 3, 5)};

	ck_assert_int_eq(pro__write_file(file, &out, 1, far), 8);
	ck_assert_int_eq(pro__read_file(file, in, 2, far), 8);
	ck_assert_mem_eq(bytes, "12345678", 8);
	ck_assert_int_eq(pro__read_file(file, in, 2, far + 8), 0);
	ck_assert_int_eq(pro__read_file(file, in, 2, UINT64_MAX), -EINVAL);
	ck_assert_int_eq(pro__write_file(file, &out, 1, UINT64_MAX), -EINVAL);
	ck_assert_int_eq(pro__try_read_file(file, in, 2, UINT64_MAX, &calls), -EINVAL);
	close(file);
	ck_assert_int_eq(pro__read_file(file, in, 2, 0), -EBADF);
}
END_TEST

START_TEST(names_are_resolved)
{
	struct pro_resolve_request request = {.host = "127.0.0.1", .port = 80};
	int error = 1;
	int os_error = 1;

	pro__resolve(&request, &error, &os_error);
	ck_assert_int_eq(error, 0);
	ck_assert_uint_eq(request.count, 1);
	struct pro_addr expected = address("127.0.0.1:80");
	ck_assert(pro_addr_equal(&request.found[0], &expected));
	request = (struct pro_resolve_request){.host = "::1", .port = 443};
	pro__resolve(&request, &error, &os_error);
	ck_assert_int_eq(error, 0);
	expected = address("[::1]:443");
	ck_assert(pro_addr_equal(&request.found[0], &expected));
	request = (struct pro_resolve_request){.host = "localhost", .port = 1};
	pro__resolve(&request, &error, &os_error);
	ck_assert_int_eq(error, 0);
	ck_assert_uint_ge(request.count, 1);
	request = (struct pro_resolve_request){.host = "no such name", .port = 1};
	pro__resolve(&request, &error, &os_error);
	ck_assert(error == PRO_EHOSTNOTFOUND || error == PRO_ERESOLVE);
	ck_assert_uint_eq(request.count, 0);
}
END_TEST

/* What the manual pages of the system calls that a port makes list. */
START_TEST(every_errno_of_a_port_is_mapped)
{
	static const int listed[] = {E2BIG, EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN,
			EALREADY, EBADF, EBADFD, EBADMSG, EBUSY, ECANCELED, ECONNABORTED, ECONNREFUSED,
			ECONNRESET, EDESTADDRREQ, EDQUOT, EEXIST, EFAULT, EFBIG, EHOSTDOWN, EHOSTUNREACH,
			EINPROGRESS, EINTR, EINVAL, EIO, EISCONN, EISDIR, ELOOP, EMFILE, EMLINK, EMSGSIZE,
			ENAMETOOLONG, ENETDOWN, ENETRESET, ENETUNREACH, ENFILE, ENOBUFS, ENODEV, ENOENT, ENOLCK,
			ENOMEM, ENONET, ENOPROTOOPT, ENOSPC, ENOSYS, ENOTBLK, ENOTCONN, ENOTDIR, ENOTSOCK,
			ENOTTY, ENXIO, EOPNOTSUPP, EOVERFLOW, EPERM, EPFNOSUPPORT, EPIPE, EPROTO,
			EPROTONOSUPPORT, EPROTOTYPE, EREMOTEIO, ERESTART, EROFS, ESHUTDOWN, ESOCKTNOSUPPORT,
			ESPIPE, ESTALE, ETIME, ETIMEDOUT, ETXTBSY, EUSERS, EXDEV};

	for (unsigned i = 0; i < sizeof(listed) / sizeof(listed[0]); i++) {
		int error = pro__error_from_os(listed[i]);
		ck_assert_msg(error < 0 && error != PRO_EUNKNOWN, "%s", strerror(listed[i]));
		ck_assert_int_eq(pro__error_from_os(-listed[i]), error);
		ck_assert_str_ne(pro_error_name(error), "PRO_?");
	}
	ck_assert_int_eq(pro__error_from_os(0), 0);
	ck_assert_int_eq(pro__error_from_os(4095), PRO_EUNKNOWN);
	ck_assert_int_eq(pro__error_from_os(INT_MIN), PRO_EUNKNOWN);
}
END_TEST

START_TEST(the_clock_advances_and_bits_differ)
{
	uint64_t before = pro__linux_now_ns(NULL);
	uint64_t all_set = UINT64_MAX;
	uint64_t any_set = 0;

	for (unsigned i = 0; i < 128; i++) {
		uint64_t bits = pro__linux_random(NULL);
		all_set &= bits;
		any_set |= bits;
	}
	ck_assert_uint_eq(all_set, 0);
	ck_assert_uint_eq(any_set, UINT64_MAX);
	ck_assert_uint_gt(pro__linux_now_ns(NULL), before);
}
END_TEST

static TCase *stream_tests(void)
{
	TCase *tcase = tcase_create("streams");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_loop_test(tcase, a_read_never_waits, 0, 2);
	tcase_add_loop_test(tcase, a_write_never_waits, 0, 2);
	tcase_add_loop_test(tcase, a_broken_stream_raises_no_signal, 0, 2);
	tcase_add_loop_test(tcase, a_signal_that_was_pending_stays_pending, 0, 2);
	tcase_add_test(tcase, a_bad_descriptor_is_told);
	tcase_add_test(tcase, a_datagram_keeps_its_bounds_and_its_sender);
	tcase_add_test(tcase, errors_of_earlier_datagrams_are_skipped_unless_connected);
	tcase_add_test(tcase, connections_are_made_in_each_family);
	tcase_add_test(tcase, a_refused_connection_leaves_no_descriptor);
	tcase_add_test(tcase, a_connection_that_is_under_way_is_not_finished);
	tcase_add_test(tcase, a_listener_on_the_ipv6_wildcard_takes_ipv4);
	tcase_add_test(tcase, a_stale_socket_file_is_replaced_and_nothing_else_is);
	tcase_add_test(tcase, options_are_set);
	return tcase;
}

static TCase *file_tests(void)
{
	TCase *tcase = tcase_create("files");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, each_kind_of_descriptor_is_told);
	tcase_add_test(tcase, the_table_keeps_entries_in_place_and_costs_nothing_for_bad_numbers);
	tcase_add_test(tcase, a_forked_child_sees_its_mark_wiped);
	tcase_add_test(tcase, all_parts_go_out_in_order);
	tcase_add_test(tcase, a_file_that_is_too_short_is_told);
	tcase_add_test(tcase, a_broken_peer_ends_a_transmission_without_a_signal);
	tcase_add_test(tcase, a_peer_that_goes_amid_a_transmission_raises_no_signal);
	tcase_add_test(tcase, a_full_socket_makes_a_transmission_wait);
	tcase_add_test(tcase, what_can_not_be_sent_by_sendfile_is_copied);
	tcase_add_test(tcase, a_cold_file_is_asked_for_and_then_sent);
	tcase_add_test(tcase, files_are_read_and_written_at_offsets);
	tcase_add_test(tcase, names_are_resolved);
	tcase_add_test(tcase, every_errno_of_a_port_is_mapped);
	tcase_add_test(tcase, the_clock_advances_and_bits_differ);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("linux_io");

	suite_add_tcase(suite, stream_tests());
	suite_add_tcase(suite, file_tests());
	return suite_run(suite);
}
