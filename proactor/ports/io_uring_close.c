/* Closing handles; and leaving a ring whose thread has ended.
 *
 * close(2) alone would neither complete what is in flight on a socket nor tell the peer. So
 * everything on the descriptor is cancelled, and behind that the kernel closes it: nobody can get
 * the number before. */
#include "io_uring.h"

#include <assert.h>
#include <unistd.h>

/* ---- queues of requests ---- */

static void queue_push(struct pro__close_queue *queue, struct pro_close_request *request)
{
	request->next = NULL;
	if (queue->head)
		queue->tail->next = request;
	else
		queue->head = request;
	queue->tail = request;
}

static struct pro_close_request *queue_pop(struct pro__close_queue *queue)
{
	struct pro_close_request *request = queue->head;

	if (request)
		queue->head = request->next;
	return request;
}

/* The kernel finishes them nearly in order, so the search is short. */
static void queue_remove(struct pro__close_queue *queue, struct pro_close_request *request)
{
	struct pro_close_request **link = &queue->head;
	struct pro_close_request *before = NULL;

	while (*link != request) {
		assert(*link);
		before = *link;
		link = &before->next;
	}
	*link = request->next;
	if (queue->tail == request)
		queue->tail = before;
}

/* ---- closing ---- */

enum { REQUEST_CANCELS = 1 };

/* ThreadSanitizer follows descriptors by their close(2); without one it takes the next that gets
 * the number for the same. So there the ring does all but the close. */
#ifdef PRO__RING_TSAN
static void prep_close(struct io_uring_sqe *sqe, int fd)
{
	(void)fd;
	io_uring_prep_nop(sqe);
}

static void close_visibly(int fd)
{
	close(fd);
}
#else
static void prep_close(struct io_uring_sqe *sqe, int fd)
{
	io_uring_prep_close(sqe, fd);
}

static void close_visibly(int fd)
{
	(void)fd;
}
#endif

static void close_send(struct pro__ring_port *port, struct pro_close_request *request)
{
	bool cancels = request->port[0] == REQUEST_CANCELS;
	struct io_uring_sqe *sqe;

	if (!pro__ring_has_room(&port->ring, cancels ? 2 : 1)) {
		queue_push(&port->unclosed, request);
		return;
	}
	if (cancels) {
		sqe = pro__ring_sqe(&port->ring);
		io_uring_prep_cancel_fd(sqe, pro__fd_of(request->handle), IORING_ASYNC_CANCEL_ALL);
		sqe->flags |= IOSQE_IO_HARDLINK;
		sqe->user_data = PRO__RING_IGNORED;
	}
	sqe = pro__ring_sqe(&port->ring);
	prep_close(sqe, pro__fd_of(request->handle));
	sqe->user_data = (uint64_t)(uintptr_t)request | PRO__RING_CLOSE;
	PRO__RING_HAND_OVER(request);
	queue_push(&port->closing, request);
}

/* A cancel by descriptor looks at every request of the ring: with thousands of connections that
 * costs more than a cancel for each of the few flights that a connection has. */
#define FLIGHTS_FEW 8

/* Ends the flights that are parked and asks for the end of those in the kernel; whether these are
 * so many that they are left to one cancel by descriptor. */
static bool end_flights(struct pro__ring_port *port, struct pro__ring_fd *entry)
{
	bool can_all = port->ring.features & PRO__RING_CANCEL_FD;
	unsigned in_kernel = 0;
	struct pro_list_node *node;
	struct pro_list_node *next;

	if (!entry->flights.next)
		return false;
	for (node = entry->flights.next; node != &entry->flights; node = next) {
		struct pro__flight *flight = pro_container_of(node, struct pro__flight, of_fd);
		bool was_cancelled = flight->is_cancelled;

		next = node->next;
		flight->is_closed = true;
		flight->is_cancelled = true;
		if (!flight->is_in_kernel) {
			pro__flight_end_cancelled(port, pro__flight_operation(flight));
			continue;
		}
		if (++in_kernel > FLIGHTS_FEW && can_all)
			continue;
		if (!was_cancelled)
			pro__flight_send_cancel(port, flight);
	}
	return in_kernel > FLIGHTS_FEW && can_all;
}

void pro__ring_close_handle(struct pro__ring_port *port, struct pro_close_request *request)
{
	struct pro__ring_fd *entry =
			(struct pro__ring_fd *)pro__fd_table_find(&port->table, request->handle);

	request->port[0] = 0;
	if (entry) {
		pro__fd_next_epoch(&entry->fd);
		entry->fd.kind = PRO__FD_UNKNOWN;
		if (end_flights(port, entry))
			request->port[0] = REQUEST_CANCELS;
	}
	close_send(port, request);
}

static void close_report(struct pro__ring_port *port, struct pro_close_request *request)
{
	port->ended++;
	close_visibly(pro__fd_of(request->handle));
	request->closed(request);
}

void pro__ring_close_done(struct pro__ring_port *port, struct pro_close_request *request)
{
	PRO__RING_TAKE_OVER(request);
	queue_remove(&port->closing, request);
	close_report(port, request);
}

void pro__ring_close_retry(struct pro__ring_port *port)
{
	while (port->closed.head)
		close_report(port, queue_pop(&port->closed));
	while (port->unclosed.head && pro__ring_has_room(&port->ring, 2))
		close_send(port, queue_pop(&port->unclosed));
}

/* ---- a ring whose thread has ended ---- */

/* The completions that the kernel published before are in memory that this process maps. */
static void keep_results(struct pro__ring_port *port)
{
	unsigned until = pro__ring_tail(&port->ring);
	struct io_uring_cqe cqe;

	while (pro__ring_take(&port->ring, until, &cqe)) {
		uint64_t pointer = cqe.user_data & ~PRO__RING_TAG_MASK;
		struct pro__flight *flight;

		switch ((enum pro__ring_tag)(cqe.user_data & PRO__RING_TAG_MASK)) {
		case PRO__RING_FLIGHT:
		case PRO__RING_FLIGHT_FAR:
			flight = pro__flight_of(pro__flight_from_user_data(cqe.user_data));
			flight->result = cqe.res;
			flight->result_flags = cqe.flags;
			flight->has_result = true;
			/* The next ring must not have it. */
			if (cqe.flags & IORING_CQE_F_BUFFER)
				pro__lent_ring_took(&port->lent, cqe.flags >> IORING_CQE_BUFFER_SHIFT);
			break;
		case PRO__RING_CLOSE:
			queue_remove(&port->closing, (struct pro_close_request *)(uintptr_t)pointer);
			queue_push(&port->closed, (struct pro_close_request *)(uintptr_t)pointer);
			break;
		case PRO__RING_WAKE:
		case PRO__RING_IGNORED:
			break;
		}
	}
}

/* Requests that the kernel never saw are for the next ring; the others are closed: the kernel does
 * that while it takes the entry. */
static void reclaim_closes(struct pro__ring_port *port)
{
	const struct io_uring_sq *sq = &port->ring.uring.sq;
	struct pro_close_request *request;
	unsigned i;

	for (i = io_uring_smp_load_acquire(sq->khead); i != sq->sqe_tail; i++) {
		const struct io_uring_sqe *sqe = &sq->sqes[i & sq->ring_mask];

		if ((sqe->user_data & PRO__RING_TAG_MASK) != PRO__RING_CLOSE)
			continue;
		request = (struct pro_close_request *)(uintptr_t)(sqe->user_data & ~PRO__RING_TAG_MASK);
		queue_remove(&port->closing, request);
		request->port[0] = 0;
		queue_push(&port->unclosed, request);
	}
	while (port->closing.head)
		queue_push(&port->closed, queue_pop(&port->closing));
}

static void make_orphans(struct pro__ring_port *port, struct pro__ring_fd *entry)
{
	struct pro_list_node *node;

	for (node = entry->flights.next; node != &entry->flights; node = node->next) {
		struct pro__flight *flight = pro_container_of(node, struct pro__flight, of_fd);

		if (!flight->is_in_kernel)
			continue; /* Not covered: the ring was full as well. */
		flight->is_in_kernel = false;
		/* Not covered: its cancel waited for room. */
		if (pro__list_contains(&flight->parked))
			pro__list_remove(&flight->parked);
		pro__list_append(&port->orphans, &flight->parked);
	}
}

/* The kernel takes submissions for the ring from its own thread only, and with deferred task work
 * finishes nothing without it. Closing the ring cancels what is in flight, and nothing is written
 * to anybody's buffers from then on; the bytes that sockets received meanwhile stay in the sockets.
 */
void pro__ring_abandon(struct pro__ring_port *port)
{
	assert(port->ring.is_open);
	keep_results(port);
	reclaim_closes(port);
	for (pro_handle fd = 0; fd <= port->fd_most; fd++) {
		struct pro__ring_fd *entry = (struct pro__ring_fd *)pro__fd_table_find(&port->table, fd);

		if (entry && entry->flights.next)
			make_orphans(port, entry);
	}
	pro__ring_close(&port->ring);
	port->is_wake_armed = false;
	port->is_foreign_attached = false;
}

void pro__ring_end_orphans(struct pro__ring_port *port)
{
	while (!pro__list_is_empty(&port->orphans)) {
		struct pro__flight *flight =
				pro_container_of(port->orphans.next, struct pro__flight, parked);
		struct pro_operation *operation = pro__flight_operation(flight);

		pro__list_remove(&flight->parked);
		if (flight->has_result) {
			flight->has_result = false;
			if (flight->result_flags & IORING_CQE_F_BUFFER)
				pro__lent_ring_untook(&port->lent, flight->result_flags >> IORING_CQE_BUFFER_SHIFT);
			pro__flight_continue(port, operation, flight->result, flight->result_flags);
		} else {
			pro__flight_end_cancelled(port, operation);
		}
	}
}
