/* The way of an operation through the ring.
 *
 * A flight is either in the kernel, with one submission queue entry, or parked in a list of the
 * port. Its step says which entry that is: its own transfer, a poll for readiness, or the read of
 * one byte that brings a file into memory. What can only be tried inline (pipes, sendfile,
 * connecting) polls between tries. A flight that was cancelled, or whose handle was closed, begins
 * nothing new. */
#include "io_uring_flight.h"

#include <assert.h>
#include <errno.h>

static const struct pro__flight_class *const flight_classes[PRO_OPCODE_COUNT] = {
		[PRO_OP_READ_STREAM] = &pro__flight_read_stream,
		[PRO_OP_WRITE_STREAM] = &pro__flight_write_stream,
		[PRO_OP_READ_FILE] = &pro__flight_read_file,
		[PRO_OP_WRITE_FILE] = &pro__flight_write_file,
		[PRO_OP_READ_DGRAM] = &pro__flight_read_dgram,
		[PRO_OP_WRITE_DGRAM] = &pro__flight_write_dgram,
		[PRO_OP_ACCEPT] = &pro__flight_accept,
		[PRO_OP_CONNECT] = &pro__flight_connect,
		[PRO_OP_TRANSMIT_FILE] = &pro__flight_transmit_file,
		[PRO_OP_RESOLVE] = &pro__flight_resolve,
};

static const struct pro__flight_class *class_of(const struct pro_operation *operation)
{
	return flight_classes[operation->opcode];
}

_Static_assert(_Alignof(struct pro_operation) >= 8 && _Alignof(struct pro_close_request) >= 8,
		"the tag fits below the pointer");

/* ---- user_data ---- */

static uint64_t user_data_of(struct pro__ring_port *port, struct pro_operation *operation)
{
	uint64_t pointer = (uint64_t)(uintptr_t)operation;

	/* Not covered: only programs that ask for them get addresses that need the top bits. */
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
	return operation;
}

/* ---- ending ---- */

static void flight_unpark(struct pro__flight *flight)
{
	if (pro__list_contains(&flight->parked))
		pro__list_remove(&flight->parked);
}

void pro__flight_detach(struct pro__flight *flight)
{
	if (pro__list_contains(&flight->of_fd))
		pro__list_remove(&flight->of_fd);
}

void pro__flight_end_os(struct pro__ring_port *port, struct pro_operation *operation, int error,
		int os_error, size_t bytes)
{
	struct pro__flight *flight = pro__flight_of(operation);

	flight_unpark(flight);
	pro__flight_detach(flight);
	flight->user_data = 0;
	port->ended++;
	pro__operation_complete(operation, error, os_error, bytes);
}

void pro__flight_end(
		struct pro__ring_port *port, struct pro_operation *operation, int error, size_t bytes)
{
	pro__flight_end_os(port, operation, error, 0, bytes);
}

void pro__flight_fail(struct pro__ring_port *port, struct pro_operation *operation, int os_error)
{
	pro__flight_end_os(port, operation, pro__error_from_os(os_error), os_error,
			pro__flight_of(operation)->moved);
}

void pro__flight_end_cancelled(struct pro__ring_port *port, struct pro_operation *operation)
{
	if (class_of(operation)->drop)
		class_of(operation)->drop(port, operation);
	pro__flight_end(port, operation, PRO_ECANCELED, pro__flight_of(operation)->moved);
}

/* ---- handing over to the kernel ---- */

static void flight_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	/* The kernel reads it when it takes the entry. */
	static const struct __kernel_timespec rest = {.tv_nsec = PRO__RING_PAUSE_NS};
	const struct pro__flight_class *class = class_of(operation);
	struct pro__flight *flight = pro__flight_of(operation);

	switch ((enum pro__flight_step)flight->step) {
	case PRO__STEP_TRANSFER:
		class->prepare(port, operation, sqe);
		break;
	case PRO__STEP_POLL:
		io_uring_prep_poll_add(sqe, flight->fd, class->poll_events);
		break;
	case PRO__STEP_WARM:
		io_uring_prep_read(sqe, (int)operation->request.transmit->file, &flight->byte, 1,
				operation->request.transmit->offset);
		break;
	case PRO__STEP_PAUSE:
		io_uring_prep_timeout(sqe, (struct __kernel_timespec *)(uintptr_t)&rest, 0, 0);
		break;
	}
	if (flight->needs_thread && flight->step != PRO__STEP_POLL)
		sqe->flags |= IOSQE_ASYNC;
}

void pro__flight_send(
		struct pro__ring_port *port, struct pro_operation *operation, enum pro__flight_step step)
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
void pro__flight_transfer(struct pro__ring_port *port, struct pro_operation *operation)
{
	pro__flight_send(port, operation, PRO__STEP_TRANSFER);
}

/* Until the descriptor is ready, or for a little where that says nothing. */
static void flight_wait(struct pro__ring_port *port, struct pro_operation *operation)
{
	bool is_blind = pro__waits_for_receiver(operation);

	pro__flight_send(port, operation, is_blind ? PRO__STEP_PAUSE : PRO__STEP_POLL);
}

/* `got` of a try: bytes, or -errno. */
void pro__flight_tried(struct pro__ring_port *port, struct pro_operation *operation, ssize_t got)
{
	if (got == -EAGAIN)
		flight_wait(port, operation);
	else if (got < 0)
		pro__flight_fail(port, operation, (int)-got);
	else
		class_of(operation)->transferred(port, operation, (int)got, 0);
}

void pro__flight_bytes_transferred(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags)
{
	(void)flags;
	pro__flight_end(port, operation, 0, (size_t)result);
}

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

/* What an unknown descriptor is. 0 or an errno. */
static int find_kind(struct pro__ring_port *port, int fd, struct pro__ring_fd *entry)
{
	int os_error = pro__fd_kind_of(fd, &entry->fd.kind);

	port->ring.calls += 3;
	if (os_error)
		entry->fd.kind = PRO__FD_UNKNOWN;
	return os_error;
}

/* 0 or an errno. */
static int flight_look_up(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);
	struct pro__ring_fd *entry = flight->entry;
	int os_error = 0;

	/* Entries never move, so one look-up serves every flight of the object. */
	if (!entry) {
		entry = (struct pro__ring_fd *)pro__fd_table_get(&port->table, operation->handle);
		if (!entry)
			return errno;
		flight->entry = entry;
		operation->handle_epoch = entry->fd.epoch;
	}
	if (operation->handle_epoch != entry->fd.epoch)
		return EBADF;
	flight->fd = (int)operation->handle;
	if (entry->fd.kind == PRO__FD_UNKNOWN && class_of(operation)->needs_kind)
		os_error = find_kind(port, flight->fd, entry);
	if (os_error)
		return os_error;
	flight->kind = entry->fd.kind;
	pro__flight_attach(port, flight, entry);
	return 0;
}

void pro__flight_begin(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);
	int os_error;

	assert(operation->opcode < PRO_OPCODE_COUNT && class_of(operation));
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
	if (class_of(operation)->has_handle) {
		os_error = flight_look_up(port, operation);
		if (os_error) {
			pro__flight_fail(port, operation, os_error);
			return;
		}
	}
	class_of(operation)->begin(port, operation);
}

/* ---- going on ---- */

/* Whether a cancelled flight ends with what just came, and does not go on to a last try: reads and
 * connects may still win the race, on a handle that is still theirs. */
static bool flight_is_over(
		const struct pro_operation *operation, const struct pro__flight *flight, int result)
{
	if (!flight->is_cancelled || (flight->step == PRO__STEP_TRANSFER && result >= 0))
		return false;
	return result == -ECANCELED || flight->is_closed || !class_of(operation)->may_win;
}

/* Whether the step reads or writes a file, for which no poll tells when it is ready. */
static bool is_file_step(const struct pro_operation *operation, const struct pro__flight *flight)
{
	return flight->step == PRO__STEP_WARM || flight->kind == PRO__FD_FILE ||
		   class_of(operation)->is_file;
}

static void flight_step_failed(
		struct pro__ring_port *port, struct pro_operation *operation, int os_error)
{
	struct pro__flight *flight = pro__flight_of(operation);

	if (os_error == EINTR) {
		pro__flight_send(port, operation, (enum pro__flight_step)flight->step);
	} else if (os_error == EAGAIN && !is_file_step(operation, flight)) {
		/* Older kernels do not poll for a descriptor that is non-blocking. */
		flight_wait(port, operation);
	} else if (os_error == EAGAIN && !flight->needs_thread) {
		/* The file system can only block: a thread of the kernel does. */
		flight->needs_thread = true;
		pro__flight_send(port, operation, (enum pro__flight_step)flight->step);
	} else {
		class_of(operation)->failed(port, operation, os_error);
	}
}

static void flight_go_on(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags)
{
	const struct pro__flight_class *class = class_of(operation);

	if (pro__flight_of(operation)->step == PRO__STEP_TRANSFER)
		class->transferred(port, operation, result, flags);
	else
		class->ready(port, operation);
}

/* A read that failed may have taken a buffer all the same. */
static void flight_return_buffer(struct pro__ring_port *port, unsigned index)
{
	pro__lent_ring_took(&port->lent, index);
	pro__lent_ring_put(&port->lent, index);
}

/* The step failed, or the flight is cancelled. Out of line, so that what succeeds pays nothing for
 * it. */
__attribute__((noinline)) static void flight_end_or_go_on(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags)
{
	struct pro__flight *flight = pro__flight_of(operation);

	if (result < 0 && (flags & IORING_CQE_F_BUFFER))
		flight_return_buffer(port, flags >> IORING_CQE_BUFFER_SHIFT);
	if (flight_is_over(operation, flight, result))
		pro__flight_end_cancelled(port, operation);
	else if (result == -ECANCELED)
		/* Nobody asked: the thread that submitted it has ended. Nothing was moved. */
		pro__flight_send(port, operation, (enum pro__flight_step)flight->step);
	else if (result < 0)
		flight_step_failed(port, operation, -result);
	else
		flight_go_on(port, operation, result, flags);
}

void pro__flight_continue(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags)
{
	struct pro__flight *flight = pro__flight_of(operation);

	flight->is_in_kernel = false;
	flight_unpark(flight);
	if (result < 0 || flight->is_cancelled)
		flight_end_or_go_on(port, operation, result, flags);
	else
		flight_go_on(port, operation, result, flags);
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

void pro__flight_cancel(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);

	if (class_of(operation)->cancel) {
		class_of(operation)->cancel(port, operation);
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

static void retry_ready(struct pro__ring_port *port, struct pro_list_node *list)
{
	struct pro_operation *operation = pro__flight_operation(first_parked(list));

	class_of(operation)->ready(port, operation);
}

/* As many as there are buffers: each of them has data, so each takes one. */
static void retry_starving(struct pro__ring_port *port)
{
	unsigned count = port->lent.free_count;

	for (; count > 0 && !pro__list_is_empty(&port->starving); count--)
		retry_ready(port, &port->starving);
}

void pro__flight_retry(struct pro__ring_port *port)
{
	while (!pro__list_is_empty(&port->uncancelled) && pro__ring_has_room(&port->ring, 1))
		pro__flight_send_cancel(port, first_parked(&port->uncancelled));
	while (!pro__list_is_empty(&port->unsent) && pro__ring_has_room(&port->ring, 1)) {
		struct pro__flight *flight = first_parked(&port->unsent);

		pro__flight_send(port, pro__flight_operation(flight), (enum pro__flight_step)flight->step);
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
		retry_ready(port, &turn);
}
