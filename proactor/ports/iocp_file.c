/* Files at 64-bit offsets. The system reads and writes one piece a call; the engine goes on with
 * the others. Success may come at once, for what is in the cache, and then there is a packet too.
 */
#include "iocp.h"

#include "windows_error.h"

static OVERLAPPED *begin_at(
		struct iocp_port *port, struct pro_operation *operation, struct iocp_handle *handle)
{
	OVERLAPPED *overlapped = pro__iocp_begin(port, operation, handle);

	overlapped->Offset = (DWORD)operation->request.io.offset;
	overlapped->OffsetHigh = (DWORD)(operation->request.io.offset >> 32);
	return overlapped;
}

/* Only files have offsets. */
static bool refuse_stream(struct iocp_port *port, struct pro_operation *operation)
{
	if (iocp_flight(operation)->handle->kind == IOCP_FILE)
		return false;
	pro__iocp_complete_error(port, operation, PRO_ESPIPE);
	return true;
}

static void read_file_start(struct iocp_port *port, struct pro_operation *operation)
{
	const struct pro_buffer *buffer = operation->request.io.buffers;
	struct iocp_handle *handle = iocp_flight(operation)->handle;
	DWORD bytes = 0;

	if (refuse_stream(port, operation))
		return;
	OVERLAPPED *overlapped = begin_at(port, operation, handle);
	bool is_done = port->win32.ReadFile(
			handle->value, buffer->base, (DWORD)buffer->length, &bytes, overlapped);
	pro__iocp_began(port, operation, handle, is_done ? 0 : GetLastError(), bytes);
}

/* What the handle was not opened for. */
static DWORD error_of_file(DWORD error)
{
	return error == ERROR_ACCESS_DENIED ? ERROR_INVALID_HANDLE : error;
}

static void read_file_finish(
		struct iocp_port *port, struct pro_operation *operation, DWORD error, DWORD bytes)
{
	bool is_at_end = error == ERROR_HANDLE_EOF || (error == 0 && bytes == 0);

	if (is_at_end && operation->request.io.buffers[0].length > 0)
		pro__iocp_complete_error(port, operation, PRO_EOF);
	else
		pro__iocp_complete(port, operation, error_of_file(error), bytes);
}

const struct iocp_class pro__iocp_read_file_class = {
		.has_handle = true,
		.start = read_file_start,
		.finish = read_file_finish,
};

static void write_file_start(struct iocp_port *port, struct pro_operation *operation)
{
	const struct pro_buffer *buffer = operation->request.io.buffers;
	struct iocp_handle *handle = iocp_flight(operation)->handle;
	DWORD bytes = 0;

	if (refuse_stream(port, operation))
		return;
	OVERLAPPED *overlapped = begin_at(port, operation, handle);
	bool is_done = port->win32.WriteFile(
			handle->value, buffer->base, (DWORD)buffer->length, &bytes, overlapped);
	pro__iocp_began(port, operation, handle, is_done ? 0 : GetLastError(), bytes);
}

static void write_file_finish(
		struct iocp_port *port, struct pro_operation *operation, DWORD error, DWORD bytes)
{
	pro__iocp_complete(port, operation, error_of_file(error), bytes);
}

const struct iocp_class pro__iocp_write_file_class = {
		.has_handle = true,
		.start = write_file_start,
		.finish = write_file_finish,
};
