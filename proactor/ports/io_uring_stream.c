/* Streams through the ring: receiving and sending on sockets, polling and trying on pipes and
 * terminals, reading and writing at the file's own position on files; and reads that borrow. */
#include "io_uring_flight.h"

#include <errno.h>

/* Bytes of one transfer: what all system calls take at most, to the page below. */
#define TRANSFER_MAX 0x7FFFF000u

/* ---- read_stream ---- */

static bool is_borrowing(const struct pro_operation *operation)
{
	return (operation->flags & PRO__BORROWS) != 0;
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
			pro__flight_end(port, operation, PRO_ENOMEM, 0);
			return;
		}
	}
	if (flight->kind == PRO__FD_PIPE || (is_borrowing(operation) && !port->lent.buffers))
		pro__flight_send(port, operation, PRO__STEP_POLL);
	else
		pro__flight_send(port, operation, PRO__STEP_TRANSFER);
}

static void read_stream_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	const struct pro__flight *flight = pro__flight_of(operation);

	if (is_borrowing(operation)) {
		size_t length = pro__borrowed_length(operation, port->lent.block_size);

		if (pro__flight_is_socket(flight))
			io_uring_prep_recv(sqe, flight->fd, NULL, length, 0);
		else
			io_uring_prep_read(sqe, flight->fd, NULL, (unsigned)length, UINT64_MAX);
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = PRO__LENT_GROUP;
	} else if (!pro__flight_is_socket(flight)) {
		/* The offset means the file's own position. */
		io_uring_prep_readv(sqe, flight->fd, pro__flight_pieces(operation),
				operation->request.io.count, UINT64_MAX);
	} else if (operation->request.io.count == 1) {
		io_uring_prep_recv(sqe, flight->fd, operation->request.io.buffers[0].base,
				transfer_length(operation), 0);
	} else {
		io_uring_prep_recvmsg(sqe, flight->fd, pro__flight_message(operation), 0);
	}
}

/* Makes the block of buffer `index`, of which `length` bytes were written; none at an end. */
static void lend(
		struct pro__ring_port *port, struct pro_operation *operation, unsigned index, size_t length)
{
	if (length == 0) {
		pro__lent_ring_put(&port->lent, index);
		return;
	}
	operation->request.io.lent = pro__lent_pool_lend(pro__lent_pool(port->proactor), index);
	operation->request.io.lent->wr = length;
}

static void read_stream_transferred(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags)
{
	if (flags & IORING_CQE_F_BUFFER) {
		unsigned index = flags >> IORING_CQE_BUFFER_SHIFT;

		pro__lent_ring_took(&port->lent, index);
		lend(port, operation, index, (size_t)result);
	}
	pro__flight_end(port, operation, result == 0 ? PRO_EOF : 0, (size_t)result);
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
		pro__flight_send(port, operation, PRO__STEP_POLL);
	else
		pro__flight_fail(port, operation, os_error);
}

static void read_stream_try_borrowing(struct pro__ring_port *port, struct pro_operation *operation)
{
	const struct pro__flight *flight = pro__flight_of(operation);
	unsigned index = pro__lent_ring_pop(&port->lent);
	struct pro_buffer buffer = {.base = port->lent.memory + index * port->lent.block_size,
			.length = pro__borrowed_length(operation, port->lent.block_size)};
	ssize_t got = pro__try_read(flight->fd, flight->kind, &buffer, 1, &port->ring.calls);

	lend(port, operation, index, got > 0 ? (size_t)got : 0);
	pro__flight_tried(port, operation, got);
}

static void read_stream_ready(struct pro__ring_port *port, struct pro_operation *operation)
{
	const struct pro__flight *flight = pro__flight_of(operation);

	if (is_borrowing(operation) && port->lent.free_count == 0)
		read_stream_starve(port, operation);
	else if (is_borrowing(operation) && !port->lent.buffers)
		read_stream_try_borrowing(port, operation);
	else if (is_borrowing(operation) || pro__flight_is_socket(flight))
		pro__flight_send(port, operation, PRO__STEP_TRANSFER);
	else
		pro__flight_tried(port, operation,
				pro__try_read(flight->fd, flight->kind, operation->request.io.buffers,
						operation->request.io.count, &port->ring.calls));
}

const struct pro__flight_class pro__flight_read_stream = {
		.begin = read_stream_begin,
		.prepare = read_stream_prepare,
		.transferred = read_stream_transferred,
		.failed = read_stream_failed,
		.ready = read_stream_ready,
		.poll_events = POLLIN,
		.has_handle = true,
		.needs_kind = true,
		.may_win = true,
};

/* ---- write_stream ---- */

static void write_stream_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	const struct pro__flight *flight = pro__flight_of(operation);

	(void)port;
	if (!pro__flight_is_socket(flight))
		io_uring_prep_writev(sqe, flight->fd, pro__flight_pieces(operation),
				operation->request.io.count, UINT64_MAX);
	else if (operation->request.io.count == 1)
		io_uring_prep_send(sqe, flight->fd, operation->request.io.buffers[0].base,
				transfer_length(operation), MSG_NOSIGNAL);
	else
		io_uring_prep_sendmsg(sqe, flight->fd, pro__flight_message(operation), MSG_NOSIGNAL);
}

static void write_stream_ready(struct pro__ring_port *port, struct pro_operation *operation)
{
	const struct pro__flight *flight = pro__flight_of(operation);

	if (pro__flight_is_socket(flight))
		pro__flight_send(port, operation, PRO__STEP_TRANSFER);
	else
		pro__flight_tried(port, operation,
				pro__try_write(flight->fd, flight->kind, operation->request.io.buffers,
						operation->request.io.count, &port->ring.calls));
}

/* A pipe is tried at once, a socket by the ring. */
static void write_stream_begin(struct pro__ring_port *port, struct pro_operation *operation)
{
	if (pro__flight_of(operation)->kind == PRO__FD_PIPE)
		write_stream_ready(port, operation);
	else
		pro__flight_send(port, operation, PRO__STEP_TRANSFER);
}

const struct pro__flight_class pro__flight_write_stream = {
		.begin = write_stream_begin,
		.prepare = write_stream_prepare,
		.transferred = pro__flight_bytes_transferred,
		.failed = pro__flight_fail,
		.ready = write_stream_ready,
		.poll_events = POLLOUT,
		.has_handle = true,
		.needs_kind = true,
};
