/* The way of an operation through the ring.
 *
 * A flight is either in the kernel, with one submission queue entry, or parked in a list of the
 * port. Its step says which entry that is: its own transfer, a poll for readiness, or the read of
 * one byte that brings a file into memory. What can only be tried inline (pipes, sendfile,
 * connecting) polls between tries. A flight that was cancelled, or whose handle was closed, begins
 * nothing new. */
#include "io_uring.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

enum flight_step { STEP_TRANSFER, STEP_POLL, STEP_WARM };

/* What each opcode does at each step. */
struct flight_class {
	void (*begin)(struct pro__ring_port *port, struct pro_operation *operation);
	/* Fills in the entry of the transfer. */
	void (*prepare)(
			struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe);
	/* The transfer gave `result` (>= 0). */
	void (*transferred)(struct pro__ring_port *port, struct pro_operation *operation, int result,
			unsigned flags);
	/* The transfer gave -os_error, which is not one of those that every flight treats alike. */
	void (*failed)(struct pro__ring_port *port, struct pro_operation *operation, int os_error);
	/* The poll says that the descriptor is ready. */
	void (*ready)(struct pro__ring_port *port, struct pro_operation *operation);
	uint32_t poll_events;
};

static const struct flight_class flight_classes[PRO_OPCODE_COUNT];

/* Bytes of one transfer: what all system calls take at most, to the page below. */
#define TRANSFER_MAX 0x7FFFF000u

_Static_assert(_Alignof(struct pro_operation) >= 8 && _Alignof(struct pro_close_request) >= 8,
		"the tag fits below the pointer");

/* ---- user_data ---- */

static uint64_t user_data_of(struct pro__ring_port *port, struct pro_operation *operation)
{
	uint64_t pointer = (uint64_t)(uintptr_t)operation;

	if (pointer & ~PRO__RING_NEAR_MASK)
		return pointer | PRO__RING_FLIGHT_FAR;
	return pointer | PRO__RING_FLIGHT | (uint64_t)++port->sequence << 48;
}

struct pro_operation *pro__flight_from_user_data(uint64_t user_data)
{
	uint64_t pointer = user_data & ~PRO__RING_TAG_MASK;
	struct pro_operation *operation;

	if ((user_data & PRO__RING_TAG_MASK) == PRO__RING_FLIGHT)
		pointer &= PRO__RING_NEAR_MASK;
	operation = (struct pro_operation *)(uintptr_t)pointer;
	PRO__RING_TAKE_OVER(operation);
	assert(pro__flight_of(operation)->user_data == user_data);
	return pro__flight_of(operation)->user_data == user_data ? operation : NULL;
}

/* ---- ending ---- */

static void flight_unpark(struct pro__flight *flight)
{
	if (pro__list_contains(&flight->parked))
		pro__list_remove(&flight->parked);
}

static void flight_end_os(struct pro__ring_port *port, struct pro_operation *operation, int error,
		int os_error, size_t bytes)
{
	struct pro__flight *flight = pro__flight_of(operation);

	flight_unpark(flight);
	if (pro__list_contains(&flight->of_fd))
		pro__list_remove(&flight->of_fd);
	flight->user_data = 0;
	port->ended++;
	pro__operation_complete(operation, error, os_error, bytes);
}

static void flight_end(
		struct pro__ring_port *port, struct pro_operation *operation, int error, size_t bytes)
{
	flight_end_os(port, operation, error, 0, bytes);
}

static void flight_fail(struct pro__ring_port *port, struct pro_operation *operation, int os_error)
{
	flight_end_os(port, operation, pro__error_from_os(os_error), os_error,
			pro__flight_of(operation)->moved);
}

/* A socket that a connect made is nobody's before it is connected. */
static void connect_drop(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);

	if (operation->opcode != PRO_OP_CONNECT || flight->fd < 0)
		return;
	if (pro__list_contains(&flight->of_fd))
		pro__list_remove(&flight->of_fd);
	close(flight->fd);
	flight->fd = -1;
	port->ring.calls++;
}

void pro__flight_end_cancelled(struct pro__ring_port *port, struct pro_operation *operation)
{
	connect_drop(port, operation);
	flight_end(port, operation, PRO_ECANCELED, pro__flight_of(operation)->moved);
}

/* ---- handing over to the kernel ---- */

static void flight_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	const struct flight_class *class = &flight_classes[operation->opcode];
	struct pro__flight *flight = pro__flight_of(operation);

	switch ((enum flight_step)flight->step) {
	case STEP_TRANSFER:
		class->prepare(port, operation, sqe);
		break;
	case STEP_POLL:
		io_uring_prep_poll_add(sqe, flight->fd, class->poll_events);
		break;
	case STEP_WARM:
		io_uring_prep_read(sqe, (int)operation->request.transmit->file, &flight->byte, 1,
				operation->request.transmit->offset);
		break;
	}
	if (flight->needs_thread)
		sqe->flags |= IOSQE_ASYNC;
}

static void flight_send(
		struct pro__ring_port *port, struct pro_operation *operation, enum flight_step step)
{
	struct pro__flight *flight = pro__flight_of(operation);
	struct io_uring_sqe *sqe;

	if (flight->is_cancelled) {
		pro__flight_end_cancelled(port, operation);
		return;
	}
	flight->step = (uint8_t)step;
	sqe = pro__ring_sqe(&port->ring);
	if (!sqe) {
		pro__list_append(&port->unsent, &flight->parked);
		return;
	}
	flight_prepare(port, operation, sqe);
	flight->user_data = user_data_of(port, operation);
	sqe->user_data = flight->user_data;
	flight->is_in_kernel = true;
	PRO__RING_HAND_OVER(operation);
}

/* The step for a class that polls, then transfers. */
static void flight_transfer(struct pro__ring_port *port, struct pro_operation *operation)
{
	flight_send(port, operation, STEP_TRANSFER);
}

/* `got` of a try: bytes, or -errno. */
static void flight_tried(struct pro__ring_port *port, struct pro_operation *operation, ssize_t got)
{
	if (got == -EAGAIN)
		flight_send(port, operation, STEP_POLL);
	else if (got < 0)
		flight_fail(port, operation, (int)-got);
	else
		flight_classes[operation->opcode].transferred(port, operation, (int)got, 0);
}

/* ---- read_stream ---- */

static bool is_borrowing(const struct pro_operation *operation)
{
	return (operation->flags & PRO__BORROWS) != 0;
}

static bool is_socket(const struct pro__flight *flight)
{
	return flight->kind == PRO__FD_STREAM || flight->kind == PRO__FD_DGRAM ||
		   flight->kind == PRO__FD_LISTENER;
}

static const struct iovec *pieces_of(const struct pro_operation *operation)
{
	return (const struct iovec *)(const void *)operation->request.io.buffers;
}

static struct msghdr *message_of(struct pro_operation *operation)
{
	struct msghdr *message = &pro__flight_of(operation)->message;

	*message = (struct msghdr){.msg_iov = (struct iovec *)(void *)operation->request.io.buffers,
			.msg_iovlen = operation->request.io.count};
	return message;
}

static size_t transfer_length(const struct pro_operation *operation)
{
	size_t length = operation->request.io.buffers[0].length;

	return length < TRANSFER_MAX ? length : TRANSFER_MAX;
}

static void read_stream_begin(struct pro__ring_port *port, struct pro_operation *operation)
{
	const struct pro__flight *flight = pro__flight_of(operation);

	if (is_borrowing(operation)) {
		operation->request.io.lent = NULL;
		if (!port->lent.is_ready && pro__lent_ring_open(&port->lent, &port->ring)) {
			flight_end(port, operation, PRO_ENOMEM, 0);
			return;
		}
	}
	if (flight->kind == PRO__FD_PIPE || (is_borrowing(operation) && !port->lent.buffers))
		flight_send(port, operation, STEP_POLL);
	else
		flight_send(port, operation, STEP_TRANSFER);
}

static void read_stream_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	const struct pro__flight *flight = pro__flight_of(operation);

	if (is_borrowing(operation)) {
		if (is_socket(flight))
			io_uring_prep_recv(sqe, flight->fd, NULL, port->lent.block_size, 0);
		else
			io_uring_prep_read(sqe, flight->fd, NULL, (unsigned)port->lent.block_size, UINT64_MAX);
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = PRO__LENT_GROUP;
	} else if (!is_socket(flight)) {
		/* The offset means the file's own position. */
		io_uring_prep_readv(
				sqe, flight->fd, pieces_of(operation), operation->request.io.count, UINT64_MAX);
	} else if (operation->request.io.count == 1) {
		io_uring_prep_recv(sqe, flight->fd, operation->request.io.buffers[0].base,
				transfer_length(operation), 0);
	} else {
		io_uring_prep_recvmsg(sqe, flight->fd, message_of(operation), 0);
	}
}

/* Makes the block of buffer `index`, of which `length` bytes were written; none at an end. */
static int lend(
		struct pro__ring_port *port, struct pro_operation *operation, unsigned index, size_t length)
{
	struct pro_message_block *block;

	if (length > 0) {
		block = pro__lent_pool_lend(pro__lent_pool(port->proactor), index);
		if (block) {
			block->wr = length;
			operation->request.io.lent = block;
			return 0;
		}
	}
	pro__lent_ring_put(&port->lent, index);
	return length > 0 ? PRO_ENOMEM : 0;
}

static void read_stream_transferred(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags)
{
	int error = 0;

	if (flags & IORING_CQE_F_BUFFER) {
		unsigned index = flags >> IORING_CQE_BUFFER_SHIFT;

		pro__lent_ring_took(&port->lent, index);
		error = lend(port, operation, index, (size_t)result);
	}
	if (result == 0)
		error = PRO_EOF;
	flight_end(port, operation, error, error ? 0 : (size_t)result);
}

/* Data is there: it waits in the kernel until a buffer is. */
static void read_stream_starve(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);

	if (flight->is_cancelled)
		pro__flight_end_cancelled(port, operation);
	else
		pro__list_append(&port->starving, &flight->parked);
}

static void read_stream_failed(
		struct pro__ring_port *port, struct pro_operation *operation, int os_error)
{
	/* No buffer, and perhaps no data either: only those with data stand in the queue for one. */
	if (os_error == ENOBUFS && is_borrowing(operation))
		flight_send(port, operation, STEP_POLL);
	else
		flight_fail(port, operation, os_error);
}

static void read_stream_try_borrowing(struct pro__ring_port *port, struct pro_operation *operation)
{
	const struct pro__flight *flight = pro__flight_of(operation);
	unsigned index = pro__lent_ring_pop(&port->lent);
	struct pro_buffer buffer = {.base = port->lent.memory + index * port->lent.block_size,
			.length = port->lent.block_size};
	ssize_t got = pro__try_read(flight->fd, flight->kind, &buffer, 1, &port->ring.calls);
	int error = lend(port, operation, index, got > 0 ? (size_t)got : 0);

	if (error)
		flight_end(port, operation, error, 0);
	else
		flight_tried(port, operation, got);
}

static void read_stream_ready(struct pro__ring_port *port, struct pro_operation *operation)
{
	const struct pro__flight *flight = pro__flight_of(operation);

	if (is_borrowing(operation) && port->lent.free_count == 0)
		read_stream_starve(port, operation);
	else if (is_borrowing(operation) && !port->lent.buffers)
		read_stream_try_borrowing(port, operation);
	else if (is_borrowing(operation) || is_socket(flight))
		flight_send(port, operation, STEP_TRANSFER);
	else
		flight_tried(port, operation,
				pro__try_read(flight->fd, flight->kind, operation->request.io.buffers,
						operation->request.io.count, &port->ring.calls));
}

/* ---- write_stream ---- */

/* A pipe is tried at once, a socket by the ring. */
static void write_stream_begin(struct pro__ring_port *port, struct pro_operation *operation)
{
	if (pro__flight_of(operation)->kind == PRO__FD_PIPE)
		flight_classes[PRO_OP_WRITE_STREAM].ready(port, operation);
	else
		flight_send(port, operation, STEP_TRANSFER);
}

static void write_stream_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	const struct pro__flight *flight = pro__flight_of(operation);

	(void)port;
	if (!is_socket(flight))
		io_uring_prep_writev(
				sqe, flight->fd, pieces_of(operation), operation->request.io.count, UINT64_MAX);
	else if (operation->request.io.count == 1)
		io_uring_prep_send(sqe, flight->fd, operation->request.io.buffers[0].base,
				transfer_length(operation), MSG_NOSIGNAL);
	else
		io_uring_prep_sendmsg(sqe, flight->fd, message_of(operation), MSG_NOSIGNAL);
}

static void write_stream_ready(struct pro__ring_port *port, struct pro_operation *operation)
{
	const struct pro__flight *flight = pro__flight_of(operation);

	if (is_socket(flight))
		flight_send(port, operation, STEP_TRANSFER);
	else
		flight_tried(port, operation,
				pro__try_write(flight->fd, flight->kind, operation->request.io.buffers,
						operation->request.io.count, &port->ring.calls));
}

/* For every transfer whose result is a number of bytes. */
static void bytes_transferred(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags)
{
	(void)flags;
	flight_end(port, operation, 0, (size_t)result);
}

/* ---- files ---- */

static void file_begin(struct pro__ring_port *port, struct pro_operation *operation)
{
	/* Beyond that an offset would mean the file's own position. */
	if (operation->request.io.offset > INT64_MAX)
		flight_fail(port, operation, EINVAL);
	else
		flight_send(port, operation, STEP_TRANSFER);
}

static void read_file_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	(void)port;
	io_uring_prep_readv(sqe, pro__flight_of(operation)->fd, pieces_of(operation),
			operation->request.io.count, operation->request.io.offset);
}

static void write_file_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	(void)port;
	io_uring_prep_writev(sqe, pro__flight_of(operation)->fd, pieces_of(operation),
			operation->request.io.count, operation->request.io.offset);
}

static bool asks_for_bytes(const struct pro_operation *operation)
{
	for (unsigned i = 0; i < operation->request.io.count; i++) {
		if (operation->request.io.buffers[i].length > 0)
			return true;
	}
	return false;
}

static void read_file_transferred(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags)
{
	(void)flags;
	flight_end(port, operation, result == 0 && asks_for_bytes(operation) ? PRO_EOF : 0,
			(size_t)result);
}

/* ---- datagrams ---- */

static void read_dgram_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	struct msghdr *message = message_of(operation);
	struct pro_addr *from = operation->request.io.address;

	(void)port;
	if (from) {
		message->msg_name = from->storage.bytes;
		message->msg_namelen = sizeof(from->storage);
	}
	io_uring_prep_recvmsg(sqe, pro__flight_of(operation)->fd, message, 0);
}

static void read_dgram_transferred(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags)
{
	const struct msghdr *message = &pro__flight_of(operation)->message;

	(void)flags;
	if (operation->request.io.address)
		operation->request.io.address->length = message->msg_namelen;
	flight_end(port, operation, message->msg_flags & MSG_TRUNC ? PRO_EMSGSIZE : 0, (size_t)result);
}

/* Errors that earlier datagrams left behind are not this one's: the inline try knows them. */
static void read_dgram_failed(
		struct pro__ring_port *port, struct pro_operation *operation, int os_error)
{
	bool is_cut;
	ssize_t got = pro__try_read_dgram(pro__flight_of(operation)->fd, operation->request.io.buffers,
			operation->request.io.count, operation->request.io.address, &is_cut, &port->ring.calls);

	(void)os_error;
	if (got >= 0)
		flight_end(port, operation, is_cut ? PRO_EMSGSIZE : 0, (size_t)got);
	else
		flight_tried(port, operation, got);
}

static void write_dgram_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	struct msghdr *message = message_of(operation);
	struct pro_addr *to = operation->request.io.address;

	(void)port;
	if (to) {
		message->msg_name = to->storage.bytes;
		message->msg_namelen = to->length;
	}
	io_uring_prep_sendmsg(sqe, pro__flight_of(operation)->fd, message, MSG_NOSIGNAL);
}

static void write_dgram_failed(
		struct pro__ring_port *port, struct pro_operation *operation, int os_error)
{
	(void)os_error;
	flight_tried(port, operation,
			pro__try_write_dgram(pro__flight_of(operation)->fd, operation->request.io.buffers,
					operation->request.io.count, operation->request.io.address, &port->ring.calls));
}

/* ---- accept ---- */

/* What the new number meant before is over. */
static struct pro__ring_fd *note_new_stream(struct pro__ring_port *port, int fd)
{
	struct pro__ring_fd *entry = (struct pro__ring_fd *)pro__fd_table_get(&port->table, fd);

	if (!entry)
		return NULL;
	pro__fd_next_epoch(&entry->fd);
	entry->fd.kind = PRO__FD_STREAM;
	return entry;
}

static void accept_begin(struct pro__ring_port *port, struct pro_operation *operation)
{
	operation->request.accept.accepted = PRO_INVALID_HANDLE;
	flight_send(port, operation, STEP_TRANSFER);
}

static void accept_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	struct pro_addr *remote = operation->request.accept.remote;

	(void)port;
	if (remote)
		remote->length = sizeof(remote->storage);
	io_uring_prep_accept(sqe, pro__flight_of(operation)->fd,
			remote ? (struct sockaddr *)(void *)remote->storage.bytes : NULL,
			remote ? &remote->length : NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void accept_transferred(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags)
{
	struct pro_addr *local = operation->request.accept.local;

	(void)flags;
	if (local) {
		local->length = sizeof(local->storage);
		port->ring.calls++;
		if (getsockname(result, (struct sockaddr *)(void *)local->storage.bytes, &local->length))
			local->length = 0;
	}
	operation->request.accept.accepted = result;
	note_new_stream(port, result);
	flight_end(port, operation, 0, 0);
}

/* Errors of a connection that died in the queue are not the listener's: the inline try knows them.
 */
static void accept_failed(
		struct pro__ring_port *port, struct pro_operation *operation, int os_error)
{
	(void)os_error;
	flight_tried(port, operation,
			pro__try_accept(pro__flight_of(operation)->fd, NULL, operation->request.accept.remote,
					&port->ring.calls));
}

/* ---- connect ---- */

static void connect_end(struct pro__ring_port *port, struct pro_operation *operation, int os_error)
{
	struct pro__flight *flight = pro__flight_of(operation);

	if (os_error) {
		connect_drop(port, operation);
		flight_fail(port, operation, os_error);
		return;
	}
	operation->request.connect.connected = flight->fd;
	flight_end(port, operation, 0, 0);
}

static void connect_begin(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);
	struct pro__ring_fd *entry;
	int os_error;

	operation->request.connect.connected = PRO_INVALID_HANDLE;
	os_error = pro__begin_connect(operation->request.connect.remote,
			operation->request.connect.local, &flight->fd, &port->ring.calls);
	if (os_error && os_error != EINPROGRESS) {
		flight_fail(port, operation, os_error);
		return;
	}
	entry = note_new_stream(port, flight->fd);
	if (!entry) {
		connect_end(port, operation, ENOMEM);
		return;
	}
	if (!os_error) {
		connect_end(port, operation, 0);
		return;
	}
	pro__flight_attach(port, flight, entry);
	flight_send(port, operation, STEP_POLL);
}

static void connect_ready(struct pro__ring_port *port, struct pro_operation *operation)
{
	int os_error = pro__finish_connect(pro__flight_of(operation)->fd, &port->ring.calls);

	if (os_error == EINPROGRESS)
		flight_send(port, operation, STEP_POLL);
	else
		connect_end(port, operation, os_error);
}

/* ---- transmit_file ---- */

/* Whether the file's number still means the file of the start. */
static bool transmit_has_file(struct pro__ring_port *port, struct pro_operation *operation)
{
	const struct pro_transmit_request *transmit = operation->request.transmit;
	const struct pro__fd *entry;

	if (transmit->file == PRO_INVALID_HANDLE)
		return true;
	entry = pro__fd_table_find(&port->table, transmit->file);
	return entry && entry->epoch == pro__flight_of(operation)->file_epoch;
}

static void transmit_step(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);
	enum pro__transmit_step step;
	size_t moved = 0;
	int error = 0;
	int os_error = 0;

	if (!transmit_has_file(port, operation)) {
		flight_end(port, operation, PRO_EBADF, flight->moved);
		return;
	}
	step = pro__try_transmit(
			flight->fd, operation->request.transmit, &moved, &error, &os_error, &port->ring.calls);
	flight->moved += moved;
	if (moved > 0)
		pro__operation_progress(operation);
	switch (step) {
	case PRO__TRANSMIT_DONE:
		flight_end(port, operation, 0, flight->moved);
		break;
	case PRO__TRANSMIT_WAIT:
		flight_send(port, operation, STEP_POLL);
		break;
	case PRO__TRANSMIT_COLD:
		flight_send(port, operation, STEP_WARM);
		break;
	case PRO__TRANSMIT_YIELD:
		pro__list_append(&port->yielding, &flight->parked);
		break;
	case PRO__TRANSMIT_FAILED:
		flight_end_os(port, operation, error, os_error, flight->moved);
		break;
	}
}

static void transmit_begin(struct pro__ring_port *port, struct pro_operation *operation)
{
	const struct pro_transmit_request *transmit = operation->request.transmit;
	const struct pro__fd *entry;

	if (transmit->file != PRO_INVALID_HANDLE) {
		entry = pro__fd_table_get(&port->table, transmit->file);
		if (!entry) {
			flight_fail(port, operation, errno);
			return;
		}
		pro__flight_of(operation)->file_epoch = entry->epoch;
	}
	transmit_step(port, operation);
}

/* ---- resolve ---- */

static void resolve_run(struct pro_work *work)
{
	struct pro_operation *operation =
			pro__flight_operation(pro_container_of(work, struct pro__flight, work));
	int error;
	int os_error;

	pro__resolve(operation->request.resolve, &error, &os_error);
	pro__operation_complete_remote(operation, error, os_error, 0);
}

static void resolve_begin(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);
	int error;

	flight->work.run = resolve_run;
	error = pro__worker_pool_submit(pro__worker_pool(port->proactor), &flight->work);
	if (error)
		flight_end(port, operation, error, 0);
}

/* ---- the table ---- */

static const struct flight_class flight_classes[PRO_OPCODE_COUNT] = {
		[PRO_OP_READ_STREAM] = {.begin = read_stream_begin,
				.prepare = read_stream_prepare,
				.transferred = read_stream_transferred,
				.failed = read_stream_failed,
				.ready = read_stream_ready,
				.poll_events = POLLIN},
		[PRO_OP_WRITE_STREAM] = {.begin = write_stream_begin,
				.prepare = write_stream_prepare,
				.transferred = bytes_transferred,
				.failed = flight_fail,
				.ready = write_stream_ready,
				.poll_events = POLLOUT},
		[PRO_OP_READ_FILE] = {.begin = file_begin,
				.prepare = read_file_prepare,
				.transferred = read_file_transferred,
				.failed = flight_fail,
				.ready = flight_transfer,
				.poll_events = POLLIN},
		[PRO_OP_WRITE_FILE] = {.begin = file_begin,
				.prepare = write_file_prepare,
				.transferred = bytes_transferred,
				.failed = flight_fail,
				.ready = flight_transfer,
				.poll_events = POLLOUT},
		[PRO_OP_READ_DGRAM] = {.begin = flight_transfer,
				.prepare = read_dgram_prepare,
				.transferred = read_dgram_transferred,
				.failed = read_dgram_failed,
				.ready = flight_transfer,
				.poll_events = POLLIN},
		[PRO_OP_WRITE_DGRAM] = {.begin = flight_transfer,
				.prepare = write_dgram_prepare,
				.transferred = bytes_transferred,
				.failed = write_dgram_failed,
				.ready = flight_transfer,
				.poll_events = POLLOUT},
		[PRO_OP_ACCEPT] = {.begin = accept_begin,
				.prepare = accept_prepare,
				.transferred = accept_transferred,
				.failed = accept_failed,
				.ready = flight_transfer,
				.poll_events = POLLIN},
		[PRO_OP_CONNECT] = {.begin = connect_begin,
				.failed = connect_end,
				.ready = connect_ready,
				.poll_events = POLLOUT},
		[PRO_OP_TRANSMIT_FILE] = {.begin = transmit_begin,
				.failed = flight_fail,
				.ready = transmit_step,
				.poll_events = POLLOUT},
		[PRO_OP_RESOLVE] = {.begin = resolve_begin, .failed = flight_fail},
};

/* ---- beginning ---- */

void pro__flight_attach(
		struct pro__ring_port *port, struct pro__flight *flight, struct pro__ring_fd *entry)
{
	if (!entry->flights.next)
		pro__list_init(&entry->flights);
	pro__list_append(&entry->flights, &flight->of_fd);
	if (flight->fd > port->fd_most)
		port->fd_most = flight->fd;
}

/* To know the kind makes a socket non-blocking too, which inline tries need. */
static bool needs_kind(const struct pro_operation *operation)
{
	return operation->opcode == PRO_OP_READ_STREAM || operation->opcode == PRO_OP_WRITE_STREAM ||
		   operation->opcode == PRO_OP_TRANSMIT_FILE || operation->opcode == PRO_OP_ACCEPT;
}

/* 0 or an errno. */
static int flight_look_up(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);
	struct pro__ring_fd *entry =
			(struct pro__ring_fd *)pro__fd_table_get(&port->table, operation->handle);

	if (!entry)
		return errno;
	if (operation->handle_epoch == 0)
		operation->handle_epoch = entry->fd.epoch;
	else if (operation->handle_epoch != entry->fd.epoch)
		return EBADF;
	flight->fd = (int)operation->handle;
	if (entry->fd.kind == PRO__FD_UNKNOWN && needs_kind(operation)) {
		int os_error = pro__fd_kind_of(flight->fd, &entry->fd.kind);

		port->ring.calls += 3;
		if (os_error) {
			entry->fd.kind = PRO__FD_UNKNOWN;
			return os_error;
		}
	}
	flight->kind = entry->fd.kind;
	pro__flight_attach(port, flight, entry);
	return 0;
}

void pro__flight_begin(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);
	int os_error;

	assert(operation->opcode < PRO_OPCODE_COUNT && flight_classes[operation->opcode].begin);
	flight->of_fd.next = NULL;
	flight->parked.next = NULL;
	flight->user_data = 0;
	flight->moved = 0;
	flight->fd = -1;
	flight->is_in_kernel = false;
	flight->is_cancelled = false;
	flight->is_closed = false;
	flight->has_result = false;
	flight->needs_thread = false;
	if (operation->opcode != PRO_OP_CONNECT && operation->opcode != PRO_OP_RESOLVE) {
		os_error = flight_look_up(port, operation);
		if (os_error) {
			flight_fail(port, operation, os_error);
			return;
		}
	}
	flight_classes[operation->opcode].begin(port, operation);
}

/* ---- going on ---- */

/* Whether a cancelled flight ends with what just came, and does not go on to a last try: reads and
 * connects may still win the race, on a handle that is still theirs. */
static bool flight_is_over(
		const struct pro_operation *operation, const struct pro__flight *flight, int result)
{
	if (!flight->is_cancelled || (flight->step == STEP_TRANSFER && result >= 0))
		return false;
	return result == -ECANCELED || flight->is_closed ||
		   (operation->opcode != PRO_OP_READ_STREAM && operation->opcode != PRO_OP_CONNECT);
}

/* Whether the step reads or writes a file, for which no poll tells when it is ready. */
static bool is_file_step(const struct pro_operation *operation, const struct pro__flight *flight)
{
	return flight->step == STEP_WARM || flight->kind == PRO__FD_FILE ||
		   operation->opcode == PRO_OP_READ_FILE || operation->opcode == PRO_OP_WRITE_FILE;
}

static void flight_step_failed(
		struct pro__ring_port *port, struct pro_operation *operation, int os_error)
{
	struct pro__flight *flight = pro__flight_of(operation);

	if (os_error == EINTR) {
		flight_send(port, operation, (enum flight_step)flight->step);
	} else if (os_error == EAGAIN && !is_file_step(operation, flight)) {
		/* Older kernels do not poll for a descriptor that is non-blocking. */
		flight_send(port, operation, STEP_POLL);
	} else if (os_error == EAGAIN && !flight->needs_thread) {
		/* The file system can only block: a thread of the kernel does. */
		flight->needs_thread = true;
		flight_send(port, operation, (enum flight_step)flight->step);
	} else {
		flight_classes[operation->opcode].failed(port, operation, os_error);
	}
}

void pro__flight_continue(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags)
{
	const struct flight_class *class = &flight_classes[operation->opcode];
	struct pro__flight *flight = pro__flight_of(operation);

	flight->is_in_kernel = false;
	flight_unpark(flight);
	if (flight_is_over(operation, flight, result))
		pro__flight_end_cancelled(port, operation);
	else if (result == -ECANCELED)
		/* Nobody asked: the thread that submitted it has ended. Nothing was moved. */
		flight_send(port, operation, (enum flight_step)flight->step);
	else if (result < 0)
		flight_step_failed(port, operation, -result);
	else if (flight->step == STEP_TRANSFER)
		class->transferred(port, operation, result, flags);
	else
		class->ready(port, operation);
}

void pro__flight_send_cancel(struct pro__ring_port *port, struct pro__flight *flight)
{
	struct io_uring_sqe *sqe = pro__ring_sqe(&port->ring);

	if (!sqe) {
		pro__list_append(&port->uncancelled, &flight->parked);
		return;
	}
	io_uring_prep_cancel64(sqe, flight->user_data, 0);
	if (port->ring.features & PRO__RING_CQE_SKIP)
		sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = PRO__RING_IGNORED;
}

static void resolve_cancel(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);

	/* A look-up that has begun can not be stopped. */
	if (pro__worker_pool_take_back(pro__worker_pool(port->proactor), &flight->work))
		flight_end(port, operation, PRO_ECANCELED, 0);
}

void pro__flight_cancel(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);

	if (operation->opcode == PRO_OP_RESOLVE) {
		resolve_cancel(port, operation);
		return;
	}
	if (flight->is_cancelled)
		return;
	flight->is_cancelled = true;
	if (flight->is_in_kernel)
		pro__flight_send_cancel(port, flight);
	else
		pro__flight_end_cancelled(port, operation);
}

/* ---- trying again ---- */

static struct pro__flight *first_parked(struct pro_list_node *list)
{
	struct pro__flight *flight = pro_container_of(list->next, struct pro__flight, parked);

	pro__list_remove(&flight->parked);
	return flight;
}

/* As many as there are buffers: each of them has data, so each takes one. */
static void retry_starving(struct pro__ring_port *port)
{
	unsigned count = port->lent.free_count;

	for (; count > 0 && !pro__list_is_empty(&port->starving); count--)
		read_stream_ready(port, pro__flight_operation(first_parked(&port->starving)));
}

void pro__flight_retry(struct pro__ring_port *port)
{
	while (!pro__list_is_empty(&port->uncancelled) && pro__ring_has_room(&port->ring, 1))
		pro__flight_send_cancel(port, first_parked(&port->uncancelled));
	while (!pro__list_is_empty(&port->unsent) && pro__ring_has_room(&port->ring, 1)) {
		struct pro__flight *flight = first_parked(&port->unsent);

		flight_send(port, pro__flight_operation(flight), (enum flight_step)flight->step);
	}
	if (!pro__list_is_empty(&port->starving))
		retry_starving(port);
}

void pro__flight_run_yielding(struct pro__ring_port *port)
{
	struct pro_list_node turn;

	if (pro__list_is_empty(&port->yielding))
		return;
	/* Those that yield again are for the next turn. */
	turn = port->yielding;
	turn.next->prev = &turn;
	turn.prev->next = &turn;
	pro__list_init(&port->yielding);
	while (!pro__list_is_empty(&turn))
		transmit_step(port, pro__flight_operation(first_parked(&turn)));
}
