/* Single steps of transfers and connections that never wait: the io_uring and the epoll port build
 * on them. */
#include "msan.h"
#include "linux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "linux_sigpipe.h"

_Static_assert(sizeof(struct pro_buffer) == sizeof(struct iovec) &&
					   offsetof(struct pro_buffer, base) == offsetof(struct iovec, iov_base) &&
					   offsetof(struct pro_buffer, length) == offsetof(struct iovec, iov_len),
		"a buffer is an iovec");
_Static_assert(sizeof(struct sockaddr_storage) <= sizeof(((struct pro_addr *)0)->storage),
		"an address holds any socket address");

/* Connections in a row that died in the queue, or leftover errors of a datagram socket, before a
 * step gives up for now: both are finite, this only bounds one call. */
#define SKIPPED_MAX 64

static struct msghdr message_of(const struct pro_buffer *buffers, unsigned count)
{
	return (struct msghdr){
			.msg_iov = (struct iovec *)(void *)(uintptr_t)buffers, .msg_iovlen = count};
}

static const struct iovec *pieces_of(const struct pro_buffer *buffers)
{
	return (const struct iovec *)(const void *)buffers;
}

static struct sockaddr *sockaddr_of(struct pro_addr *addr)
{
	return (struct sockaddr *)(void *)addr->storage.bytes;
}

static const struct sockaddr *const_sockaddr_of(const struct pro_addr *addr)
{
	return (const struct sockaddr *)(const void *)addr->storage.bytes;
}

static ssize_t socket_read(
		int fd, const struct pro_buffer *buffers, unsigned count, uint64_t *calls)
{
	ssize_t got;

	do {
		++*calls;
		if (count == 1) {
			got = recv(fd, buffers[0].base, buffers[0].length, MSG_DONTWAIT);
		} else {
			struct msghdr message = message_of(buffers, count);
			got = recvmsg(fd, &message, MSG_DONTWAIT);
		}
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

static ssize_t socket_write(
		int fd, const struct pro_buffer *buffers, unsigned count, uint64_t *calls)
{
	ssize_t sent;

	do {
		++*calls;
		if (count == 1) {
			sent = send(fd, buffers[0].base, buffers[0].length, MSG_DONTWAIT | MSG_NOSIGNAL);
		} else {
			struct msghdr message = message_of(buffers, count);
			sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		}
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

static size_t total_length(const struct pro_buffer *buffers, unsigned count)
{
	size_t total = 0;

	for (unsigned i = 0; i < count; i++)
		total += buffers[i].length;
	return total;
}

/* A pipe or terminal may be shared with other processes, so its O_NONBLOCK is not ours to set: ask
 * first. 0, EAGAIN or an errno; hang-ups and errors count as ready, the transfer tells them. */
static int poll_now(int fd, short events, uint64_t *calls)
{
	struct pollfd polled = {.fd = fd, .events = events};
	int ready;

	do {
		++*calls;
		ready = poll(&polled, 1, 0);
	} while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return errno;
	if (ready == 0)
		return EAGAIN;
	return polled.revents & POLLNVAL ? EBADF : 0;
}

static ssize_t descriptor_read(
		int fd, uint8_t kind, const struct pro_buffer *buffers, unsigned count, uint64_t *calls)
{
	ssize_t got;

	if (kind == PRO__FD_PIPE) {
		int os_error = poll_now(fd, POLLIN, calls);
		if (os_error)
			return -os_error;
	}
	do {
		++*calls;
		got = readv(fd, pieces_of(buffers), (int)count);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

/* How many of the buffers a blocking pipe takes without waiting once it polls writable: PIPE_BUF
 * bytes. A longer first buffer is cut to that in *cut. */
static unsigned pieces_that_fit(
		const struct pro_buffer *buffers, unsigned count, struct pro_buffer *cut)
{
	size_t total = 0;

	if (buffers[0].length > PIPE_BUF) {
		*cut = (struct pro_buffer){.base = buffers[0].base, .length = PIPE_BUF};
		return 0;
	}
	for (unsigned i = 0; i < count; i++) {
		total += buffers[i].length;
		if (total > PIPE_BUF)
			return i;
	}
	return count;
}

static ssize_t descriptor_write(
		int fd, uint8_t kind, const struct pro_buffer *buffers, unsigned count, uint64_t *calls)
{
	struct pro__sigpipe_guard guard;
	struct pro_buffer cut;
	ssize_t sent;

	if (kind == PRO__FD_PIPE) {
		int os_error = poll_now(fd, POLLOUT, calls);
		if (os_error)
			return -os_error;
		count = pieces_that_fit(buffers, count, &cut);
		if (count == 0) {
			buffers = &cut;
			count = 1;
		}
	}
	pro__sigpipe_block(&guard);
	do {
		++*calls;
		sent = writev(fd, pieces_of(buffers), (int)count);
	} while (sent < 0 && errno == EINTR);
	pro__sigpipe_restore(&guard, sent < (ssize_t)total_length(buffers, count));
	*calls += 2;
	return sent < 0 ? -errno : sent;
}

ssize_t pro__try_read(
		int fd, uint8_t kind, const struct pro_buffer *buffers, unsigned count, uint64_t *calls)
{
	if (pro__kind_is_socket(kind))
		return socket_read(fd, buffers, count, calls);
	return descriptor_read(fd, kind, buffers, count, calls);
}

ssize_t pro__try_write(
		int fd, uint8_t kind, const struct pro_buffer *buffers, unsigned count, uint64_t *calls)
{
	if (pro__kind_is_socket(kind))
		return socket_write(fd, buffers, count, calls);
	return descriptor_write(fd, kind, buffers, count, calls);
}

ssize_t pro__try_read_file(
		int fd, const struct pro_buffer *buffers, unsigned count, uint64_t offset, uint64_t *calls)
{
	ssize_t got;

	if (offset > INT64_MAX)
		return -EINVAL;
	do {
		++*calls;
		got = preadv2(fd, pieces_of(buffers), (int)count, (off_t)offset, RWF_NOWAIT);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == ENOSYS ? -EOPNOTSUPP : -errno;
	for (unsigned i = 0; i < count; i++)
		PRO__KERNEL_WROTE(buffers[i].base, buffers[i].length);
	return got;
}

static bool is_connected(int fd, uint64_t *calls)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	++*calls;
	return getpeername(fd, (struct sockaddr *)&address, &length) == 0;
}

/* What an earlier datagram met on its way (ICMP), reported by a later call. */
static bool is_leftover(int os_error)
{
	switch (os_error) {
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENOPROTOOPT:
	case EPROTO:
		return true;
	}
	return false;
}

bool pro__skips_dgram_error(int fd, bool is_read, int os_error, uint64_t *calls)
{
	/* A refusal is leftover only for a send: sending a datagram meets none. */
	return (is_read ? is_leftover(os_error) : os_error == ECONNREFUSED) && !is_connected(fd, calls);
}

ssize_t pro__try_read_dgram(int fd, const struct pro_buffer *buffers, unsigned count,
		struct pro_addr *from, bool *is_cut, uint64_t *calls)
{
	*is_cut = false;
	for (unsigned skipped = 0;; skipped++) {
		struct msghdr message = message_of(buffers, count);
		if (from) {
			message.msg_name = from->storage.bytes;
			message.msg_namelen = sizeof(from->storage);
		}
		++*calls;
		ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
		if (got >= 0) {
			if (from)
				from->length = message.msg_namelen;
			*is_cut = (message.msg_flags & MSG_TRUNC) != 0;
			return got;
		}
		int os_error = errno;
		if (os_error == EINTR)
			continue;
		if (skipped >= SKIPPED_MAX || !pro__skips_dgram_error(fd, true, os_error, calls))
			return -os_error;
	}
}

ssize_t pro__try_write_dgram(int fd, const struct pro_buffer *buffers, unsigned count,
		const struct pro_addr *to, uint64_t *calls)
{
	for (unsigned skipped = 0;; skipped++) {
		struct msghdr message = message_of(buffers, count);
		if (to) {
			message.msg_name = (void *)(uintptr_t)to->storage.bytes;
			message.msg_namelen = to->length;
		}
		++*calls;
		ssize_t sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent >= 0)
			return sent;
		int os_error = errno;
		if (os_error == EINTR)
			continue;
		if (skipped >= SKIPPED_MAX || !pro__skips_dgram_error(fd, false, os_error, calls))
			return -os_error;
	}
}

bool pro__waits_for_receiver(const struct pro_operation *operation)
{
	const struct pro_addr *to =
			operation->opcode == PRO_OP_WRITE_DGRAM ? operation->request.io.address : NULL;

	return to && pro_addr_family(to) == PRO_FAMILY_UNIX;
}

/* Errors of the connection that was to be accepted, not of the listener. */
static bool is_lost_connection(int os_error)
{
	switch (os_error) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
	case ETIMEDOUT:
	case EPERM: /* refused by a firewall rule */
		return true;
	}
	return false;
}

static int accept_one(int fd, struct pro_addr *remote, uint64_t *calls)
{
	for (unsigned skipped = 0;; skipped++) {
		socklen_t length = sizeof(remote->storage);
		++*calls;
		int accepted = accept4(fd, remote ? sockaddr_of(remote) : NULL, remote ? &length : NULL,
				SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (accepted >= 0) {
			if (remote)
				remote->length = length;
			return accepted;
		}
		if (skipped >= SKIPPED_MAX || !is_lost_connection(errno))
			return -errno;
	}
}

int pro__try_accept(int fd, struct pro_addr *local, struct pro_addr *remote, uint64_t *calls)
{
	int accepted = accept_one(fd, remote, calls);

	if (accepted < 0 || !local)
		return accepted;
	socklen_t length = sizeof(local->storage);
	++*calls;
	if (getsockname(accepted, sockaddr_of(local), &length) < 0)
		length = 0;
	local->length = length;
	return accepted;
}

static int connect_socket(
		int fd, const struct pro_addr *remote, const struct pro_addr *local, uint64_t *calls)
{
	if (local && local->length) {
		++*calls;
		if (bind(fd, const_sockaddr_of(local), local->length) < 0)
			return errno;
	}
	++*calls;
	if (connect(fd, const_sockaddr_of(remote), remote->length) == 0)
		return 0;
	/* An interrupted connect goes on by itself. */
	return errno == EINTR ? EINPROGRESS : errno;
}

int pro__begin_connect(
		const struct pro_addr *remote, const struct pro_addr *local, int *fd, uint64_t *calls)
{
	int family = const_sockaddr_of(remote)->sa_family;

	++*calls;
	*fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return errno;
	int os_error = connect_socket(*fd, remote, local, calls);
	if (os_error && os_error != EINPROGRESS) {
		close(*fd);
		++*calls;
		*fd = -1;
	}
	return os_error;
}

int pro__finish_connect(int fd, uint64_t *calls)
{
	int os_error = 0;
	socklen_t length = sizeof(os_error);

	++*calls;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &os_error, &length) < 0)
		return errno;
	if (os_error)
		return os_error;
	return is_connected(fd, calls) ? 0 : EINPROGRESS;
}
