/* Reading and writing streams: sockets, and files and pipes that were opened for overlapped access.
 *
 * A read that borrows asks for no bytes first, which holds no buffer and completes when some are
 * there; then it takes a block of the pool and reads into that. */
#include "iocp.h"

#include "windows_error.h"

/* Most bytes of one write. The system takes all of it before it completes any of it, and the time
 * that this takes is what a deadline against stalls looks at. */
#define WRITE_MOST ((DWORD)1 << 20)

/* Pieces of a write; what does not fit goes with the next one. */
#define WRITE_PIECES 16

enum read_step { READ_BYTES, READ_PROBE, READ_LENT };

static DWORD result_of(bool is_done)
{
	return is_done ? 0 : GetLastError();
}

/* ---- reading ---- */

static void call_read(struct iocp_port *port, struct pro_operation *operation,
		struct pro_buffer *buffers, unsigned count)
{
	struct iocp_handle *handle = iocp_flight(operation)->handle;
	OVERLAPPED *overlapped = pro__iocp_begin(port, operation, handle);
	DWORD flags = 0;
	DWORD bytes = 0;
	DWORD error;

	if (handle->kind == IOCP_FILE) {
		overlapped->Offset = (DWORD)handle->position;
		overlapped->OffsetHigh = (DWORD)(handle->position >> 32);
	}
	if (handle->kind == IOCP_STREAM || handle->kind == IOCP_DGRAM)
		error = result_of(port->win32.WSARecv((SOCKET)handle->value, (WSABUF *)(void *)buffers,
								  count, &bytes, &flags, overlapped, NULL) == 0);
	else
		error = result_of(port->win32.ReadFile(
				handle->value, buffers->base, buffers->length, &bytes, overlapped));
	pro__iocp_began(port, operation, handle, error, bytes);
}

struct pro_message_block *pro__iocp_take_lent(
		struct iocp_port *port, struct pro_operation *operation)
{
	struct pro_lent_pool *pool = pro__lent_pool(port->proactor);
	struct pro_message_block *block;
	size_t size;
	unsigned count;

	/* First, since a pool without memory gives no block back that could be waited for. */
	if (!pro__lent_pool_memory(pool, &size, &count)) {
		pro__iocp_complete_error(port, operation, PRO_ENOMEM);
		return NULL;
	}
	block = pro__lent_pool_take(pool);
	if (block)
		return block;
	pro__list_append(&port->starving, &iocp_flight(operation)->link);
	pro__lent_pool_starve(pool);
	return NULL;
}

static void read_lent(struct iocp_port *port, struct pro_operation *operation)
{
	struct iocp_flight *flight = iocp_flight(operation);
	struct pro_message_block *block = pro__iocp_take_lent(port, operation);

	if (!block)
		return;
	struct pro_buffer buffer = {.base = pro_message_block_wr_ptr(block),
			.length = (pro_buffer_length)pro__borrowed_length(
					operation, pro_message_block_space(block))};
	flight->step = READ_LENT;
	flight->of.block = block;
	call_read(port, operation, &buffer, 1);
}

void pro__iocp_feed(struct iocp_port *port)
{
	struct pro_list_node waiting;

	if (!port->is_fed)
		return;
	port->is_fed = false;
	if (pro__list_is_empty(&port->starving))
		return;
	/* Those that still find no block queue up again, behind nobody: the order stays. */
	waiting = port->starving;
	waiting.next->prev = &waiting;
	waiting.prev->next = &waiting;
	pro__list_init(&port->starving);
	while (!pro__list_is_empty(&waiting)) {
		struct iocp_flight *flight = pro_container_of(waiting.next, struct iocp_flight, link);

		pro__list_remove(&flight->link);
		if (flight->handle->kind == IOCP_BLOCKING)
			pro__iocp_blocking_read(port, iocp_operation_of_flight(flight));
		else
			read_lent(port, iocp_operation_of_flight(flight));
	}
}

static void read_stream_start(struct iocp_port *port, struct pro_operation *operation)
{
	struct iocp_flight *flight = iocp_flight(operation);
	struct pro_buffer nothing = {0};

	if (flight->handle->kind == IOCP_BLOCKING) {
		pro__iocp_blocking_read(port, operation);
	} else if (!(operation->flags & PRO__BORROWS)) {
		flight->step = READ_BYTES;
		call_read(port, operation, operation->request.io.buffers, operation->request.io.count);
	} else if (flight->handle->kind == IOCP_FILE) {
		read_lent(port, operation);
	} else {
		flight->step = READ_PROBE;
		call_read(port, operation, &nothing, 1);
	}
}

static bool is_end(DWORD error)
{
	return error == ERROR_HANDLE_EOF || error == ERROR_BROKEN_PIPE ||
		   error == ERROR_PIPE_NOT_CONNECTED || error == ERROR_GRACEFUL_DISCONNECT ||
		   error == WSAEDISCON;
}

static void read_again(struct iocp_port *port, struct pro_operation *operation)
{
	if (pro__iocp_is_asked_to_end(operation))
		pro__iocp_complete_error(port, operation, PRO_ECANCELED);
	else
		read_stream_start(port, operation);
}

/* Bytes have come, or the end, or an error. */
static void read_ended(
		struct iocp_port *port, struct pro_operation *operation, DWORD error, DWORD bytes)
{
	struct iocp_handle *handle = iocp_flight(operation)->handle;

	/* More of a message than fits: the rest comes with the next read. */
	if (error == ERROR_MORE_DATA)
		error = 0;
	handle->position += bytes;
	if (bytes == 0 && error == 0 && pro__iocp_was_reset(port, handle))
		error = WSAECONNRESET;
	/* The peer may end what is being closed at the same moment. */
	if (bytes == 0 && handle->is_closing)
		pro__iocp_complete_error(port, operation, PRO_ECANCELED);
	/* Nothing, from a pipe, is what the peer wrote; its end is an error. */
	else if (bytes == 0 && error == 0 && handle->kind == IOCP_PIPE)
		read_again(port, operation);
	else if (bytes == 0 && (error == 0 || is_end(error)))
		pro__iocp_complete_error(port, operation, PRO_EOF);
	else
		pro__iocp_complete(port, operation, bytes ? 0 : error, bytes);
}

static void read_stream_finish(
		struct iocp_port *port, struct pro_operation *operation, DWORD error, DWORD bytes)
{
	struct iocp_flight *flight = iocp_flight(operation);
	struct pro_message_block *block;

	switch ((enum read_step)flight->step) {
	case READ_BYTES:
		break;
	case READ_PROBE:
		if (error == ERROR_MORE_DATA)
			error = 0;
		if (error)
			break;
		/* Data that nobody has read is not lost when this ends. */
		if (pro__iocp_is_asked_to_end(operation))
			pro__iocp_complete_error(port, operation, PRO_ECANCELED);
		else
			read_lent(port, operation);
		return;
	case READ_LENT:
		block = flight->of.block;
		flight->of.block = NULL;
		block->wr += bytes;
		if (bytes)
			operation->request.io.lent = block;
		else
			pro__lent_pool_give_back(pro__lent_pool(port->proactor), block);
		break;
	}
	read_ended(port, operation, error, bytes);
}

const struct iocp_class pro__iocp_read_stream_class = {
		.has_handle = true,
		.start = read_stream_start,
		.finish = read_stream_finish,
};

/* ---- writing ---- */

/* Copies the first buffers, WRITE_MOST bytes of them. */
static unsigned limit(struct pro_buffer *limited, const struct pro_buffer *buffers, unsigned count)
{
	DWORD left = WRITE_MOST;
	unsigned used = 0;

	while (used < count && used < WRITE_PIECES && left > 0) {
		limited[used] = buffers[used];
		if (limited[used].length > left)
			limited[used].length = left;
		left -= (DWORD)limited[used++].length;
	}
	return used;
}

static void write_stream_start(struct iocp_port *port, struct pro_operation *operation)
{
	struct iocp_handle *handle = iocp_flight(operation)->handle;
	struct pro_buffer buffers[WRITE_PIECES];
	OVERLAPPED *overlapped;
	DWORD bytes = 0;
	DWORD error;

	if (handle->kind == IOCP_BLOCKING) {
		pro__iocp_blocking_write(port, operation);
		return;
	}
	unsigned count = limit(buffers, operation->request.io.buffers, operation->request.io.count);
	overlapped = pro__iocp_begin(port, operation, handle);
	if (handle->kind == IOCP_FILE) {
		overlapped->Offset = (DWORD)handle->position;
		overlapped->OffsetHigh = (DWORD)(handle->position >> 32);
	}
	if (handle->kind == IOCP_STREAM || handle->kind == IOCP_DGRAM)
		error = result_of(port->win32.WSASend((SOCKET)handle->value, (WSABUF *)(void *)buffers,
								  count, &bytes, 0, overlapped, NULL) == 0);
	else
		error = result_of(port->win32.WriteFile(
				handle->value, buffers->base, buffers->length, &bytes, overlapped));
	pro__iocp_began(port, operation, handle, error, bytes);
}

static void write_stream_finish(
		struct iocp_port *port, struct pro_operation *operation, DWORD error, DWORD bytes)
{
	iocp_flight(operation)->handle->position += bytes;
	pro__iocp_complete(port, operation, error, bytes);
}

const struct iocp_class pro__iocp_write_stream_class = {
		.has_handle = true,
		.start = write_stream_start,
		.finish = write_stream_finish,
};
