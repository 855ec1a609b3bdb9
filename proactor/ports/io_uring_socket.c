/* Sockets through the ring: datagrams, accepting and connecting; and names, which worker threads
 * look up. */
#include "io_uring_flight.h"

#include <errno.h>
#include <unistd.h>

/* ---- datagrams ---- */

static void read_dgram_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	struct msghdr *message = pro__flight_message(operation);
	struct pro_addr *from = operation->request.io.address;

	(void)port;
	message->msg_name = from->storage.bytes;
	message->msg_namelen = sizeof(from->storage);
	io_uring_prep_recvmsg(sqe, pro__flight_of(operation)->fd, message, 0);
}

static void read_dgram_transferred(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags)
{
	const struct msghdr *message = &pro__flight_of(operation)->message;

	(void)flags;
	operation->request.io.address->length = message->msg_namelen;
	pro__flight_end(
			port, operation, message->msg_flags & MSG_TRUNC ? PRO_EMSGSIZE : 0, (size_t)result);
}

/* Errors that earlier datagrams left behind are not this one's: the inline try knows them. */
static void read_dgram_failed(
		struct pro__ring_port *port, struct pro_operation *operation, int os_error)
{
	const int fd = pro__flight_of(operation)->fd;
	bool is_cut;
	ssize_t got = -os_error;

	if (pro__skips_dgram_error(fd, true, os_error, &port->ring.calls))
		got = pro__try_read_dgram(fd, operation->request.io.buffers, operation->request.io.count,
				operation->request.io.address, &is_cut, &port->ring.calls);
	if (got >= 0)
		pro__flight_end(port, operation, is_cut ? PRO_EMSGSIZE : 0, (size_t)got);
	else
		pro__flight_tried(port, operation, got);
}

static void write_dgram_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	struct msghdr *message = pro__flight_message(operation);
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
	const int fd = pro__flight_of(operation)->fd;
	ssize_t sent = -os_error;

	/* The end of a pause. */
	if (os_error == ETIME) {
		pro__flight_transfer(port, operation);
		return;
	}
	if (pro__skips_dgram_error(fd, false, os_error, &port->ring.calls))
		sent = pro__try_write_dgram(fd, operation->request.io.buffers, operation->request.io.count,
				operation->request.io.address, &port->ring.calls);
	pro__flight_tried(port, operation, sent);
}

const struct pro__flight_class pro__flight_read_dgram = {
		.begin = pro__flight_transfer,
		.prepare = read_dgram_prepare,
		.transferred = read_dgram_transferred,
		.failed = read_dgram_failed,
		.ready = pro__flight_transfer,
		.poll_events = POLLIN,
		.has_handle = true,
};

const struct pro__flight_class pro__flight_write_dgram = {
		.begin = pro__flight_transfer,
		.prepare = write_dgram_prepare,
		.transferred = pro__flight_bytes_transferred,
		.failed = write_dgram_failed,
		.ready = pro__flight_transfer,
		.poll_events = POLLOUT,
		.has_handle = true,
};

/* ---- accept ---- */

/* What the new number meant before is over. What it means now is found out by its first use: that
 * may be on another proactor, which closes it unseen. `entry` may be NULL. */
static void note_new_number(struct pro__fd *entry)
{
	if (!entry)
		return;
	pro__fd_next_epoch(entry);
	entry->kind = PRO__FD_UNKNOWN;
}

static void accept_begin(struct pro__ring_port *port, struct pro_operation *operation)
{
	operation->request.accept.accepted = PRO_INVALID_HANDLE;
	pro__flight_send(port, operation, PRO__STEP_TRANSFER);
}

static void accept_prepare(
		struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe)
{
	struct pro_addr *remote = operation->request.accept.remote;

	(void)port;
	remote->length = sizeof(remote->storage);
	io_uring_prep_accept(sqe, pro__flight_of(operation)->fd,
			(struct sockaddr *)(void *)remote->storage.bytes, &remote->length,
			SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void accept_transferred(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags)
{
	struct pro_addr *local = operation->request.accept.local;

	(void)flags;
	local->length = sizeof(local->storage);
	port->ring.calls++;
	if (getsockname(result, (struct sockaddr *)(void *)local->storage.bytes, &local->length))
		local->length = 0;
	operation->request.accept.accepted = result;
	note_new_number(pro__fd_table_find(&port->table, result));
	pro__flight_end(port, operation, 0, 0);
}

/* Errors of a connection that died in the queue are not the listener's: the inline try knows them.
 */
static void accept_failed(
		struct pro__ring_port *port, struct pro_operation *operation, int os_error)
{
	(void)os_error;
	pro__flight_tried(port, operation,
			pro__try_accept(pro__flight_of(operation)->fd, NULL, operation->request.accept.remote,
					&port->ring.calls));
}

const struct pro__flight_class pro__flight_accept = {
		.begin = accept_begin,
		.prepare = accept_prepare,
		.transferred = accept_transferred,
		.failed = accept_failed,
		.ready = pro__flight_transfer,
		.poll_events = POLLIN,
		.has_handle = true,
		.needs_kind = true,
};

/* ---- connect ---- */

/* The socket is nobody's before it is connected. */
static void connect_drop(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);

	pro__flight_detach(flight);
	/* It has none between two tries. */
	if (flight->fd < 0)
		return;
	close(flight->fd);
	flight->fd = -1;
	port->ring.calls++;
}

static void connect_end(struct pro__ring_port *port, struct pro_operation *operation, int os_error)
{
	struct pro__flight *flight = pro__flight_of(operation);

	if (os_error) {
		connect_drop(port, operation);
		pro__flight_fail(port, operation, os_error);
		return;
	}
	operation->request.connect.connected = flight->fd;
	pro__flight_end(port, operation, 0, 0);
}

/* The queue of a UNIX-domain listener is full. It has no socket meanwhile, so it counts among the
 * flights of the port's own descriptor. */
static void connect_pause(struct pro__ring_port *port, struct pro_operation *operation)
{
	pro__flight_attach(port, pro__flight_of(operation),
			(struct pro__ring_fd *)pro__fd_table_find(&port->table, port->wake_fd));
	pro__flight_send(port, operation, PRO__STEP_PAUSE);
}

static void connect_begin(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);
	struct pro__ring_fd *entry;
	int os_error;

	operation->request.connect.connected = PRO_INVALID_HANDLE;
	os_error = pro__begin_connect(operation->request.connect.remote,
			operation->request.connect.local, &flight->fd, &port->ring.calls);
	if (os_error == EAGAIN) {
		connect_pause(port, operation);
		return;
	}
	if (os_error && os_error != EINPROGRESS) {
		pro__flight_fail(port, operation, os_error);
		return;
	}
	entry = (struct pro__ring_fd *)pro__fd_table_get(&port->table, flight->fd);
	if (!entry) {
		connect_end(port, operation, ENOMEM);
		return;
	}
	note_new_number(&entry->fd);
	if (!os_error) {
		connect_end(port, operation, 0);
		return;
	}
	pro__flight_attach(port, flight, entry);
	pro__flight_send(port, operation, PRO__STEP_POLL);
}

static void connect_failed(
		struct pro__ring_port *port, struct pro_operation *operation, int os_error)
{
	if (os_error != ETIME) {
		connect_end(port, operation, os_error);
		return;
	}
	pro__flight_detach(pro__flight_of(operation));
	connect_begin(port, operation);
}

static void connect_ready(struct pro__ring_port *port, struct pro_operation *operation)
{
	int os_error = pro__finish_connect(pro__flight_of(operation)->fd, &port->ring.calls);

	if (os_error == EINPROGRESS)
		/* Not covered: Linux wakes no connect too early. */
		pro__flight_send(port, operation, PRO__STEP_POLL);
	else
		connect_end(port, operation, os_error);
}

const struct pro__flight_class pro__flight_connect = {
		.begin = connect_begin,
		.failed = connect_failed,
		.ready = connect_ready,
		.drop = connect_drop,
		.poll_events = POLLOUT,
		.may_win = true,
};

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
		pro__flight_end(port, operation, error, 0);
}

static void resolve_cancel(struct pro__ring_port *port, struct pro_operation *operation)
{
	struct pro__flight *flight = pro__flight_of(operation);

	/* A look-up that has begun can not be stopped. */
	if (pro__worker_pool_take_back(pro__worker_pool(port->proactor), &flight->work))
		pro__flight_end(port, operation, PRO_ECANCELED, 0);
}

const struct pro__flight_class pro__flight_resolve = {
		.begin = resolve_begin, .failed = pro__flight_fail, .cancel = resolve_cancel};
