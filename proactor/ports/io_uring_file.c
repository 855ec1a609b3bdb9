/* Files through the ring: reads and writes at an offset, and transmissions of a file to a socket,
 * which go by sendfile and wait in the ring. */
#include "io_uring_flight.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

/* ---- files ---- */

static void file_begin(struct pro__ring_port *port, struct pro_operation *operation)
{
	const struct pro__flight *flight = pro__flight_of(operation);

	/* Beyond that an offset would mean the file's own position. */
	assert(operation->request.io.offset <= INT64_MAX);
	/* The ring takes no notice of the offset where a descriptor has none, and takes the bytes of a
	 * pipe or a socket. */
	if (flight->kind != PRO__FD_FILE && lseek(flight->fd, 0, SEEK_CUR) < 0)
		pro__flight_fail(port, operation, errno);
	else
		pro__flight_send(port, operation, PRO__STEP_TRANSFER);
}

static void read_file_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	(void)port;
	io_uring_prep_readv(sqe, pro__flight_of(operation)->fd, pro__flight_pieces(operation),
			operation->request.io.count, operation->request.io.offset);
}

static void write_file_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	(void)port;
	io_uring_prep_writev(sqe, pro__flight_of(operation)->fd, pro__flight_pieces(operation),
			operation->request.io.count, operation->request.io.offset);
}

static void read_file_transferred(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags)
{
	(void)flags;
	pro__flight_end(port, operation, result == 0 ? PRO_EOF : 0, (size_t)result);
}

const struct pro__flight_class pro__flight_read_file = {
		.begin = file_begin,
		.prepare = read_file_prepare,
		.transferred = read_file_transferred,
		.failed = pro__flight_fail,
		.ready = pro__flight_transfer,
		.has_handle = true,
		.needs_kind = true,
		.is_file = true,
};

const struct pro__flight_class pro__flight_write_file = {
		.begin = file_begin,
		.prepare = write_file_prepare,
		.transferred = pro__flight_bytes_transferred,
		.failed = pro__flight_fail,
		.ready = pro__flight_transfer,
		.has_handle = true,
		.needs_kind = true,
		.is_file = true,
};

/* ---- transmit_file ---- */

static void transmit_step(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);
	enum pro__transmit_step step;
	size_t moved = 0;
	int error = 0;
	int os_error = 0;

	if (!pro__has_file(&port->table, operation->request.transmit, flight->file_epoch)) {
		pro__flight_end(port, operation, PRO_EBADF, flight->moved);
		return;
	}
	step = pro__try_transmit(
			flight->fd, operation->request.transmit, &moved, &error, &os_error, &port->ring.calls);
	flight->moved += moved;
	if (moved > 0)
		pro__operation_progress(operation);
	switch (step) {
	case PRO__TRANSMIT_DONE:
		pro__flight_end(port, operation, 0, flight->moved);
		break;
	case PRO__TRANSMIT_WAIT:
		pro__flight_send(port, operation, PRO__STEP_POLL);
		break;
	case PRO__TRANSMIT_COLD:
		pro__flight_send(port, operation, PRO__STEP_WARM);
		break;
	case PRO__TRANSMIT_YIELD:
		pro__list_append(&port->yielding, &flight->parked);
		break;
	case PRO__TRANSMIT_FAILED:
		pro__flight_end_os(port, operation, error, os_error, flight->moved);
		break;
	}
}

static void transmit_begin(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);
	int os_error = pro__begin_transmit(
			&port->table, operation->request.transmit, flight->kind, &flight->file_epoch);

	if (os_error)
		pro__flight_fail(port, operation, os_error);
	else
		transmit_step(port, operation);
}

const struct pro__flight_class pro__flight_transmit_file = {
		.begin = transmit_begin,
		.failed = pro__flight_fail,
		.ready = transmit_step,
		.poll_events = POLLOUT,
		.has_handle = true,
		.needs_kind = true,
};
