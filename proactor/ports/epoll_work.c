/* What the epoll port leaves to worker threads: files that are not in memory, and host names. A
 * worker never touches an entry; it hands the flight back through a lock-free list. */
#include "epoll.h"

#include <errno.h>
#include <unistd.h>

/* ---- on a worker thread ---- */

static struct epoll_flight *flight_of_work(struct pro_work *work)
{
	return pro_container_of(work, struct epoll_flight, work);
}

/* Hands the flight back. The loop may end it at once, so nothing of it is touched afterwards. */
static void work_return(struct epoll_flight *flight)
{
	struct pro_port *pro_port = pro__port(epoll_operation_of(flight)->owner->proactor);
	struct epoll_port *port = epoll_from_port(pro_port);
	struct epoll_flight *newest = atomic_load_explicit(&port->worked, memory_order_relaxed);

	do
		flight->next_worked = newest;
	/* Pairs with the acquire in pro__epoll_finish_works. */
	while (!atomic_compare_exchange_weak_explicit(
			&port->worked, &newest, flight, memory_order_release, memory_order_relaxed));
	if (!newest)
		pro__epoll_wake(pro_port);
}

static void work_set_count(struct epoll_flight *flight, ssize_t moved)
{
	flight->bytes = moved < 0 ? 0 : (size_t)moved;
	flight->os_error = moved < 0 ? (int)-moved : 0;
	flight->error = pro__error_from_os(flight->os_error);
}

static void run_read_file(struct pro_work *work)
{
	struct epoll_flight *flight = flight_of_work(work);
	const struct pro_operation *operation = epoll_operation_of(flight);

	work_set_count(flight, pro__read_file((int)operation->handle, operation->request.io.buffers,
								   operation->request.io.count, operation->request.io.offset));
	work_return(flight);
}

static void run_write_file(struct pro_work *work)
{
	struct epoll_flight *flight = flight_of_work(work);
	const struct pro_operation *operation = epoll_operation_of(flight);

	work_set_count(flight, pro__write_file((int)operation->handle, operation->request.io.buffers,
								   operation->request.io.count, operation->request.io.offset));
	work_return(flight);
}

static void run_resolve(struct pro_work *work)
{
	struct epoll_flight *flight = flight_of_work(work);

	flight->bytes = 0;
	pro__resolve(epoll_operation_of(flight)->request.resolve, &flight->error, &flight->os_error);
	work_return(flight);
}

/* Reads one byte; the kernel reads ahead of it. */
static void run_warming(struct pro_work *work)
{
	struct epoll_flight *flight = flight_of_work(work);
	const struct pro_transmit_request *transmit = epoll_operation_of(flight)->request.transmit;
	unsigned char byte;
	const struct pro_buffer buffer = {.base = &byte, .length = 1};

	work_set_count(flight, pro__read_file((int)transmit->file, &buffer, 1, transmit->offset));
	work_return(flight);
}

/* ---- on the loop's thread ---- */

static int work_begin(
		struct epoll_port *port, struct epoll_flight *flight, void (*run)(struct pro_work *work))
{
	flight->work.run = run;
	flight->is_working = true;
	int error = pro__worker_pool_submit(pro__worker_pool(port->proactor), &flight->work);
	if (error)
		flight->is_working = false;
	return error;
}

bool pro__epoll_take_back(struct epoll_port *port, struct epoll_flight *flight)
{
	if (flight->is_working &&
			!pro__worker_pool_take_back(pro__worker_pool(port->proactor), &flight->work))
		return false;
	flight->is_working = false;
	return true;
}

int pro__epoll_begin_warming(struct epoll_port *port, struct pro_operation *operation)
{
	return work_begin(port, epoll_flight_of(operation), run_warming);
}

void pro__epoll_submit_resolve(struct epoll_port *port, struct pro_operation *operation)
{
	struct epoll_flight *flight = epoll_flight_of(operation);

	*flight = (struct epoll_flight){.fd = -1};
	int error = work_begin(port, flight, run_resolve);
	if (error)
		pro__operation_complete(operation, error, 0, 0);
}

static size_t bytes_wanted(const struct pro_operation *operation)
{
	size_t total = 0;

	for (unsigned i = 0; i < operation->request.io.count; i++)
		total += operation->request.io.buffers[i].length;
	return total;
}

static void complete_read(struct pro_operation *operation, int error, int os_error, size_t bytes)
{
	if (!error && bytes == 0 && operation->opcode == PRO_OP_READ_FILE)
		error = PRO_EOF;
	pro__operation_complete(operation, error, os_error, bytes);
}

/* What is in memory already is read at once, unless copying it would take long. */
static bool read_file_at_once(struct epoll_port *port, struct pro_operation *operation)
{
	if (bytes_wanted(operation) > PRO__EPOLL_SHARE_BYTES)
		return false;
	ssize_t got = pro__try_read_file((int)operation->handle, operation->request.io.buffers,
			operation->request.io.count, operation->request.io.offset, &port->calls);
	if (got < 0)
		return false;
	complete_read(operation, 0, 0, (size_t)got);
	return true;
}

void pro__epoll_submit_file(struct epoll_port *port, struct pro_operation *operation)
{
	bool is_read = operation->opcode == PRO_OP_READ_FILE;
	struct epoll_flight *flight = epoll_flight_of(operation);
	struct epoll_result result = {0};
	struct epoll_entry *entry = pro__epoll_find(port, operation, &result);

	if (!entry) {
		pro__operation_complete(operation, result.error, result.os_error, 0);
		return;
	}
	if (is_read && read_file_at_once(port, operation))
		return;
	flight->entry = entry;
	int error = work_begin(port, flight, is_read ? run_read_file : run_write_file);
	if (error) {
		pro__operation_complete(operation, error, 0, 0);
		return;
	}
	pro__list_append(&entry->works, &flight->link);
}

void pro__epoll_cancel_work(struct epoll_port *port, struct pro_operation *operation)
{
	struct epoll_flight *flight = epoll_flight_of(operation);

	if (!pro__epoll_take_back(port, flight))
		return;
	if (flight->entry)
		pro__list_remove(&flight->link);
	pro__operation_complete(operation, PRO_ECANCELED, 0, 0);
}

static void finish_file(struct epoll_port *port, struct pro_operation *operation)
{
	struct epoll_flight *flight = epoll_flight_of(operation);
	struct epoll_entry *entry = flight->entry;
	int fd = (int)operation->handle;

	pro__list_remove(&flight->link);
	complete_read(operation, flight->error, flight->os_error, flight->bytes);
	pro__epoll_close_if_quiet(port, entry, fd);
}

static void finish_warming(struct epoll_port *port, struct pro_operation *operation)
{
	struct epoll_flight *flight = epoll_flight_of(operation);

	if (flight->is_canceled) {
		pro__operation_complete(operation, PRO_ECANCELED, 0, flight->moved);
		return;
	}
	if (flight->error) {
		pro__epoll_dequeue(port, flight);
		pro__operation_complete(operation, flight->error, flight->os_error, flight->moved);
		return;
	}
	pro__epoll_run_queue(port, flight->entry, flight->queue);
	pro__epoll_watch(port, operation);
}

static void work_finish(struct epoll_port *port, struct epoll_flight *flight)
{
	struct pro_operation *operation = epoll_operation_of(flight);

	flight->is_working = false;
	switch ((enum pro_opcode)operation->opcode) {
	case PRO_OP_READ_FILE:
	case PRO_OP_WRITE_FILE:
		finish_file(port, operation);
		return;
	case PRO_OP_TRANSMIT_FILE:
		finish_warming(port, operation);
		return;
	case PRO_OP_READ_STREAM:
	case PRO_OP_WRITE_STREAM:
	case PRO_OP_READ_DGRAM:
	case PRO_OP_WRITE_DGRAM:
	case PRO_OP_ACCEPT:
	case PRO_OP_CONNECT:
	case PRO_OP_RESOLVE:
	case PRO_OP_TIMER:
		break;
	}
	pro__operation_complete(operation, flight->error, flight->os_error, flight->bytes);
}

void pro__epoll_finish_works(struct epoll_port *port)
{
	/* Pairs with the release in work_return. */
	struct epoll_flight *newest =
			atomic_exchange_explicit(&port->worked, NULL, memory_order_acquire);
	struct epoll_flight *oldest = NULL;

	while (newest) {
		struct epoll_flight *flight = newest;

		newest = flight->next_worked;
		flight->next_worked = oldest;
		oldest = flight;
	}
	while (oldest) {
		struct epoll_flight *flight = oldest;

		oldest = flight->next_worked;
		work_finish(port, flight);
	}
}
