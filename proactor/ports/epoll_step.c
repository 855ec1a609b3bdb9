/* What each operation of the epoll port does when its turn comes: one step that does not wait. */
#include "epoll.h"

#include <errno.h>
#include <unistd.h>

/* ---- shares ---- */

/* Whether the entry may still work in this turn; if not it goes on in the next. */
static bool entry_take_share(struct epoll_port *port, struct epoll_entry *entry)
{
	if (entry->turn != port->turn) {
		entry->turn = port->turn;
		entry->share_tries = 0;
		entry->share_bytes = 0;
	}
	if (entry->share_tries < PRO__EPOLL_SHARE_TRIES &&
			entry->share_bytes < PRO__EPOLL_SHARE_BYTES) {
		entry->share_tries++;
		return true;
	}
	pro__epoll_yield(port, entry);
	return false;
}

static void entry_count_bytes(struct epoll_entry *entry, size_t bytes)
{
	size_t room = PRO__EPOLL_SHARE_BYTES - entry->share_bytes;

	entry->share_bytes += (uint32_t)(bytes < room ? bytes : room);
}

/* ---- streams and datagrams ---- */

/* A count, or -errno, as a step. */
static enum epoll_step step_of(
		struct epoll_entry *entry, ssize_t moved, struct epoll_result *result)
{
	if (moved == -EAGAIN)
		return PRO__EPOLL_WAIT;
	if (moved < 0) {
		epoll_fail(result, (int)-moved);
		return PRO__EPOLL_DONE;
	}
	result->bytes = (size_t)moved;
	entry_count_bytes(entry, (size_t)moved);
	return PRO__EPOLL_DONE;
}

static size_t total_length(const struct pro_buffer *buffers, unsigned count)
{
	size_t total = 0;

	for (unsigned i = 0; i < count; i++)
		total += buffers[i].length;
	return total;
}

static enum epoll_step read_into(struct epoll_port *port, struct epoll_entry *entry, int fd,
		const struct pro_buffer *buffers, unsigned count, struct epoll_result *result)
{
	const unsigned drains = PRO__EPOLL_REGISTERED | PRO__EPOLL_SHORT_DRAINS;
	ssize_t got = pro__try_read(fd, entry->fd.kind, buffers, count, &port->calls);

	if (got == 0) {
		result->error = PRO_EOF;
		return PRO__EPOLL_DONE;
	}
	if (got > 0 && (entry->fd.flags & drains) == drains &&
			(size_t)got < total_length(buffers, count))
		entry->fd.flags |= PRO__EPOLL_DRAINED;
	return step_of(entry, got, result);
}

/* No block is free: the entry stands in the queue of those that starve for one. */
static enum epoll_step starve(
		struct epoll_port *port, struct epoll_entry *entry, struct pro_lent_pool *pool)
{
	if (!pro__list_contains(&entry->starve_link))
		pro__list_append(&port->starving, &entry->starve_link);
	pro__lent_pool_starve(pool);
	return PRO__EPOLL_WAIT;
}

static enum epoll_step read_lent(struct epoll_port *port, struct epoll_entry *entry,
		struct pro_operation *operation, struct epoll_result *result)
{
	struct pro_lent_pool *pool = pro__lent_pool(port->proactor);
	struct pro_message_block *block;
	size_t block_size;
	unsigned count;

	operation->request.io.lent = NULL;
	/* Without memory nobody holds a block whose return could be waited for. */
	if (!pro__lent_pool_memory(pool, &block_size, &count)) {
		result->error = PRO_ENOMEM;
		return PRO__EPOLL_DONE;
	}
	block = pro__lent_pool_take(pool);
	if (!block)
		return starve(port, entry, pool);
	const struct pro_buffer buffer = {
			.base = block->base, .length = pro__borrowed_length(operation, block->size)};
	enum epoll_step step = read_into(port, entry, (int)operation->handle, &buffer, 1, result);
	if (step == PRO__EPOLL_WAIT || result->error) {
		pro__lent_pool_give_back(pool, block);
		return step;
	}
	block->wr = result->bytes;
	operation->request.io.lent = block;
	return step;
}

static enum epoll_step try_read_stream(struct epoll_port *port, struct epoll_entry *entry,
		struct pro_operation *operation, struct epoll_result *result)
{
	if (operation->flags & PRO__BORROWS)
		return read_lent(port, entry, operation, result);
	return read_into(port, entry, (int)operation->handle, operation->request.io.buffers,
			operation->request.io.count, result);
}

static enum epoll_step try_write_dgram(struct epoll_port *port, struct epoll_entry *entry,
		struct pro_operation *operation, struct epoll_result *result)
{
	ssize_t sent = pro__try_write_dgram((int)operation->handle, operation->request.io.buffers,
			operation->request.io.count, operation->request.io.address, &port->calls);

	if (sent == -EAGAIN && pro__waits_for_receiver(operation))
		return PRO__EPOLL_PAUSE;
	return step_of(entry, sent, result);
}

static enum epoll_step try_read_dgram(struct epoll_port *port, struct epoll_entry *entry,
		struct pro_operation *operation, struct epoll_result *result)
{
	bool is_cut;
	ssize_t got = pro__try_read_dgram((int)operation->handle, operation->request.io.buffers,
			operation->request.io.count, operation->request.io.address, &is_cut, &port->calls);
	enum epoll_step step = step_of(entry, got, result);

	if (is_cut)
		result->error = PRO_EMSGSIZE;
	return step;
}

/* ---- connections ---- */

static enum epoll_step try_accept(
		struct epoll_port *port, struct pro_operation *operation, struct epoll_result *result)
{
	int accepted = pro__try_accept((int)operation->handle, operation->request.accept.local,
			operation->request.accept.remote, &port->calls);

	operation->request.accept.accepted = accepted < 0 ? PRO_INVALID_HANDLE : accepted;
	if (accepted == -EAGAIN)
		return PRO__EPOLL_WAIT;
	if (accepted < 0)
		epoll_fail(result, -accepted);
	return PRO__EPOLL_DONE;
}

static void connect_give_up(
		struct epoll_port *port, struct epoll_entry *entry, struct epoll_flight *flight)
{
	if (entry)
		pro__epoll_forget(port, entry, flight->fd);
	close(flight->fd);
	port->calls++;
}

static enum epoll_step try_connect(struct epoll_port *port, struct epoll_entry *entry,
		struct pro_operation *operation, struct epoll_result *result)
{
	struct epoll_flight *flight = epoll_flight_of(operation);
	int os_error = pro__finish_connect(flight->fd, &port->calls);

	if (os_error == EINPROGRESS)
		return PRO__EPOLL_WAIT; /* Not covered: Linux wakes no connect too early. */
	if (os_error) {
		connect_give_up(port, entry, flight);
		epoll_fail(result, os_error);
		return PRO__EPOLL_DONE;
	}
	/* It may be used first on another proactor, which closes it unseen. */
	pro__epoll_forget(port, entry, flight->fd);
	operation->request.connect.connected = flight->fd;
	return PRO__EPOLL_DONE;
}

static void connect_wait(struct epoll_port *port, struct pro_operation *operation)
{
	struct epoll_flight *flight = epoll_flight_of(operation);
	struct epoll_result result = {0};
	struct epoll_entry *entry = pro__epoll_adopt(port, flight->fd, &result);

	if (!entry) {
		connect_give_up(port, NULL, flight);
		pro__operation_complete(operation, result.error, result.os_error, 0);
		return;
	}
	flight->entry = entry;
	flight->queue = &entry->writers;
	pro__list_append(&entry->writers, &flight->link);
}

void pro__epoll_submit_connect(struct epoll_port *port, struct pro_operation *operation)
{
	struct epoll_flight *flight = epoll_flight_of(operation);
	const struct pro_addr *remote = operation->request.connect.remote;

	*flight = (struct epoll_flight){.fd = -1};
	operation->request.connect.connected = PRO_INVALID_HANDLE;
	int os_error =
			pro__begin_connect(remote, operation->request.connect.local, &flight->fd, &port->calls);
	if (os_error == EINPROGRESS) {
		connect_wait(port, operation);
	} else if (os_error == EAGAIN && pro_addr_family(remote) == PRO_FAMILY_UNIX) {
		/* The listener's queue is full, and no event will tell when it is not. */
		pro__list_append(&port->refused, &flight->link);
	} else if (os_error) {
		pro__operation_complete(operation, pro__error_from_os(os_error), os_error, 0);
	} else {
		operation->request.connect.connected = flight->fd;
		pro__operation_complete(operation, 0, 0, 0);
	}
}

void pro__epoll_cancel_connect(struct epoll_port *port, struct pro_operation *operation)
{
	struct epoll_flight *flight = epoll_flight_of(operation);

	pro__list_remove(&flight->link);
	if (flight->entry)
		connect_give_up(port, flight->entry, flight);
	pro__operation_complete(operation, PRO_ECANCELED, 0, 0);
}

/* ---- files to sockets ---- */

static enum epoll_step warm(
		struct epoll_port *port, struct pro_operation *operation, struct epoll_result *result)
{
	result->error = pro__epoll_begin_warming(port, operation);
	result->bytes = epoll_flight_of(operation)->moved;
	return result->error ? PRO__EPOLL_DONE : PRO__EPOLL_WAIT;
}

static enum epoll_step try_transmit(struct epoll_port *port, struct epoll_entry *entry,
		struct pro_operation *operation, struct epoll_result *result)
{
	struct epoll_flight *flight = epoll_flight_of(operation);
	enum pro__transmit_step step;
	size_t moved = 0;

	if (!pro__has_file(&port->table, operation->request.transmit, flight->file_epoch)) {
		*result = (struct epoll_result){.error = PRO_EBADF, .bytes = flight->moved};
		return PRO__EPOLL_DONE;
	}
	step = pro__try_transmit((int)operation->handle, operation->request.transmit, &moved,
			&result->error, &result->os_error, &port->calls);

	flight->moved += moved;
	entry_count_bytes(entry, moved);
	if (moved)
		pro__operation_progress(operation);
	switch (step) {
	case PRO__TRANSMIT_WAIT:
		return PRO__EPOLL_WAIT;
	case PRO__TRANSMIT_YIELD:
		pro__epoll_yield(port, entry);
		return PRO__EPOLL_WAIT;
	case PRO__TRANSMIT_COLD:
		return warm(port, operation, result);
	case PRO__TRANSMIT_DONE:
	case PRO__TRANSMIT_FAILED:
		break;
	}
	result->bytes = flight->moved;
	return PRO__EPOLL_DONE;
}

/* ---- all of them ---- */

enum epoll_step pro__epoll_try(struct epoll_port *port, struct epoll_entry *entry,
		struct pro_operation *operation, struct epoll_result *result)
{
	const struct pro_buffer *buffers = operation->request.io.buffers;
	unsigned count = operation->request.io.count;
	int fd = (int)operation->handle;

	if (!entry_take_share(port, entry))
		return PRO__EPOLL_WAIT;
	switch ((enum pro_opcode)operation->opcode) {
	case PRO_OP_READ_STREAM:
		return try_read_stream(port, entry, operation, result);
	case PRO_OP_WRITE_STREAM:
		return step_of(
				entry, pro__try_write(fd, entry->fd.kind, buffers, count, &port->calls), result);
	case PRO_OP_READ_DGRAM:
		return try_read_dgram(port, entry, operation, result);
	case PRO_OP_WRITE_DGRAM:
		return try_write_dgram(port, entry, operation, result);
	case PRO_OP_ACCEPT:
		return try_accept(port, operation, result);
	case PRO_OP_CONNECT:
		return try_connect(port, entry, operation, result);
	case PRO_OP_TRANSMIT_FILE:
		return try_transmit(port, entry, operation, result);
	case PRO_OP_READ_FILE: /* Not covered: these wait on no descriptor. */
	case PRO_OP_WRITE_FILE:
	case PRO_OP_RESOLVE:
	case PRO_OP_TIMER:
		break;
	}
	result->error = PRO_ENOTSUP; /* Not covered: these wait on no descriptor. */
	return PRO__EPOLL_DONE;      /* Not covered: these wait on no descriptor. */
}
