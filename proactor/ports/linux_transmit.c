/* One turn of a transmit_file: header, a range of a file, trailer, to a socket that does not block.
 * Small files are read behind the header and sent at once, larger ones go by sendfile. */
#include "linux.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "linux_sigpipe.h"

/* A file this short costs less read and sent with its header than by sendfile. */
#define SMALL_FILE_BYTES 4096u
/* Bytes of one sendfile, and of all in one turn, so that no peer waits long for the loop. */
#define SLICE_BYTES (2u * 1024 * 1024)
#define TURN_BYTES  (4u * 1024 * 1024)
/* The slice when its last byte is not in memory: what the kernel reads ahead by default. */
#define COLD_SLICE_BYTES (128u * 1024)
/* What is copied at a time where sendfile does not support the file. */
#define COPY_BYTES (16u * 1024)

int pro__begin_transmit(struct pro__fd_table *table, const struct pro_transmit_request *transmit,
		uint8_t kind, uint16_t *epoch)
{
	const struct pro__fd *entry;

	/* On a pipe, sendfile would wait for room. */
	if (!pro__kind_is_socket(kind))
		return ENOTSOCK;
	if (transmit->file == PRO_INVALID_HANDLE)
		return 0;
	entry = pro__fd_table_get(table, transmit->file);
	if (!entry)
		return errno;
	*epoch = entry->epoch;
	return 0;
}

bool pro__has_file(const struct pro__fd_table *table, const struct pro_transmit_request *transmit,
		uint16_t epoch)
{
	const struct pro__fd *entry;

	if (transmit->file == PRO_INVALID_HANDLE)
		return true;
	entry = pro__fd_table_find(table, transmit->file);
	return entry && entry->epoch == epoch;
}

struct turn {
	int fd;
	struct pro_transmit_request *transmit;
	size_t *moved;
	int error;
	int os_error;
	uint64_t *calls;
};

static enum pro__transmit_step turn_fail(struct turn *turn, int error, int os_error)
{
	turn->error = error;
	turn->os_error = os_error;
	return PRO__TRANSMIT_FAILED;
}

static enum pro__transmit_step turn_fail_os(struct turn *turn, int os_error)
{
	if (os_error == EAGAIN)
		return PRO__TRANSMIT_WAIT;
	return turn_fail(turn, pro__error_from_os(os_error), os_error);
}

static size_t consume(struct pro_buffer *buffer, size_t bytes)
{
	size_t taken = bytes < buffer->length ? bytes : buffer->length;

	buffer->base = (unsigned char *)buffer->base + taken;
	buffer->length -= taken;
	return taken;
}

/* Accounts for bytes that went out, in the order header, file, trailer. */
static void turn_advance(struct turn *turn, size_t bytes)
{
	struct pro_transmit_request *transmit = turn->transmit;

	*turn->moved += bytes;
	transmit->sent += bytes;
	bytes -= consume(&transmit->header, bytes);
	size_t of_file = bytes < transmit->left ? bytes : (size_t)transmit->left;
	transmit->offset += of_file;
	transmit->left -= of_file;
	consume(&transmit->trailer, bytes - of_file);
}

static int turn_send(struct turn *turn, struct iovec *pieces, size_t count, int flags)
{
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
	ssize_t sent;

	do {
		++*turn->calls;
		sent = sendmsg(turn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL | flags);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno;
	turn_advance(turn, (size_t)sent);
	return 0;
}

/* What is cold is read by somebody else once and then counts as warm: some file systems never say
 * anything but "not in memory", and pages can be evicted again at once. */
static bool was_warmed(const struct pro_transmit_request *transmit)
{
	return transmit->cold == transmit->offset + 1;
}

/* The next bytes of the file. >= 0: how many; -EAGAIN when they are not in memory; or -errno. */
static ssize_t read_if_warm(struct turn *turn, void *bytes, size_t length)
{
	struct pro_transmit_request *transmit = turn->transmit;
	const struct pro_buffer buffer = {.base = bytes, .length = length};
	int file = (int)transmit->file;
	ssize_t got = -EOPNOTSUPP;

	if (!was_warmed(transmit))
		got = pro__try_read_file(file, &buffer, 1, transmit->offset, turn->calls);
	if (got == -EAGAIN)
		transmit->cold = transmit->offset + 1;
	if (got != -EOPNOTSUPP)
		return got;
	++*turn->calls;
	return pro__read_file(file, &buffer, 1, transmit->offset);
}

static bool is_warm(struct turn *turn, uint64_t offset)
{
	unsigned char byte;
	const struct pro_buffer buffer = {.base = &byte, .length = 1};
	int file = (int)turn->transmit->file;

	return pro__try_read_file(file, &buffer, 1, offset, turn->calls) != -EAGAIN;
}

static bool is_next_warm(struct turn *turn)
{
	struct pro_transmit_request *transmit = turn->transmit;

	if (was_warmed(transmit) || is_warm(turn, transmit->offset))
		return true;
	transmit->cold = transmit->offset + 1;
	return false;
}

/* Header, `length` bytes of the file read into memory, and the trailer if the file ends in them. */
static enum pro__transmit_step turn_copy(struct turn *turn, size_t length)
{
	struct pro_transmit_request *transmit = turn->transmit;
	unsigned char bytes[COPY_BYTES];
	struct iovec pieces[3];
	size_t count = 0;
	ssize_t got = read_if_warm(turn, bytes, length);

	if (got == -EAGAIN)
		return PRO__TRANSMIT_COLD;
	if (got < 0)
		return turn_fail(turn, pro__error_from_os((int)-got), (int)-got);
	if (got == 0)
		return turn_fail(turn, PRO_ETRUNCATED, 0);
	bool is_last = (uint64_t)got == transmit->left;
	if (transmit->header.length)
		pieces[count++] = (struct iovec){transmit->header.base, transmit->header.length};
	pieces[count++] = (struct iovec){bytes, (size_t)got};
	if (is_last && transmit->trailer.length)
		pieces[count++] = (struct iovec){transmit->trailer.base, transmit->trailer.length};
	int os_error = turn_send(turn, pieces, count, is_last ? 0 : MSG_MORE);
	return os_error ? turn_fail_os(turn, os_error) : PRO__TRANSMIT_DONE;
}

/* Header or trailer alone. */
static enum pro__transmit_step turn_send_buffer(
		struct turn *turn, const struct pro_buffer *buffer, int flags)
{
	struct iovec piece = {buffer->base, buffer->length};
	int os_error = turn_send(turn, &piece, 1, flags);

	return os_error ? turn_fail_os(turn, os_error) : PRO__TRANSMIT_DONE;
}

static size_t slice_length(struct turn *turn)
{
	const struct pro_transmit_request *transmit = turn->transmit;
	size_t length = transmit->left < SLICE_BYTES ? (size_t)transmit->left : SLICE_BYTES;

	if (length > COLD_SLICE_BYTES && !is_warm(turn, transmit->offset + length - 1))
		return COLD_SLICE_BYTES;
	return length;
}

/* Never raises SIGPIPE. The bytes sent, or -errno. */
static ssize_t send_slice(struct turn *turn, size_t length)
{
	struct pro__sigpipe_guard guard;
	off_t offset = (off_t)turn->transmit->offset;
	ssize_t sent;

	pro__sigpipe_block(&guard);
	do {
		++*turn->calls;
		sent = sendfile(turn->fd, (int)turn->transmit->file, &offset, length);
	} while (sent < 0 && errno == EINTR);
	pro__sigpipe_restore(&guard, sent < (ssize_t)length);
	*turn->calls += 2;
	return sent < 0 ? -errno : sent;
}

static enum pro__transmit_step turn_sendfile(struct turn *turn)
{
	struct pro_transmit_request *transmit = turn->transmit;

	if (transmit->offset > INT64_MAX)
		return turn_fail(turn, PRO_EINVAL, EINVAL);
	if (!is_next_warm(turn))
		return PRO__TRANSMIT_COLD;
	ssize_t sent = send_slice(turn, slice_length(turn));
	if (sent == -EINVAL || sent == -ENOSYS)
		return turn_copy(turn, transmit->left < COPY_BYTES ? (size_t)transmit->left : COPY_BYTES);
	if (sent < 0)
		return turn_fail_os(turn, (int)-sent);
	if (sent == 0)
		return turn_fail(turn, PRO_ETRUNCATED, 0);
	turn_advance(turn, (size_t)sent);
	return PRO__TRANSMIT_DONE;
}

/* The next part of what is left; PRO__TRANSMIT_DONE when the socket may take more. */
static enum pro__transmit_step turn_next(struct turn *turn)
{
	struct pro_transmit_request *transmit = turn->transmit;

	if (transmit->left && transmit->left <= SMALL_FILE_BYTES)
		return turn_copy(turn, (size_t)transmit->left);
	if (transmit->header.length) {
		bool more_follows = transmit->left || transmit->trailer.length;
		return turn_send_buffer(turn, &transmit->header, more_follows ? MSG_MORE : 0);
	}
	if (transmit->left)
		return turn_sendfile(turn);
	return turn_send_buffer(turn, &transmit->trailer, 0);
}

enum pro__transmit_step pro__try_transmit(int fd, struct pro_transmit_request *transmit,
		size_t *moved, int *error, int *os_error, uint64_t *calls)
{
	struct turn turn = {.fd = fd, .transmit = transmit, .moved = moved, .calls = calls};
	enum pro__transmit_step step = PRO__TRANSMIT_DONE;

	*moved = 0;
	if (transmit->file == PRO_INVALID_HANDLE)
		transmit->left = 0;
	while (transmit->header.length || transmit->left || transmit->trailer.length) {
		if (*moved >= TURN_BYTES)
			return PRO__TRANSMIT_YIELD;
		step = turn_next(&turn);
		if (step != PRO__TRANSMIT_DONE)
			break;
	}
	*error = turn.error;
	*os_error = turn.os_error;
	return step;
}
