/* Sending files: TransmitFile in chunks, the header with the first and the trailer with the last.
 *
 * A chunk completes when all of it is out, so deadlines against stalls see one step a chunk. Chunks
 * therefore begin small and grow as long as the peer takes them quickly. */
#include "iocp.h"

#include "windows_error.h"

/* The most that one call can send, header and trailer counted. */
#define CALL_MOST   ((DWORD)0x7FFFFFFE)
#define CHUNK_FIRST ((DWORD)64 << 10)
#define CHUNK_MOST  ((DWORD)16 << 20)

/* A chunk that takes less is doubled; one that takes as long as the second is halved. */
#define QUICK_NS UINT64_C(100000000)
#define SLOW_NS  UINT64_C(1000000000)

enum transmit_step { TRANSMIT_BYTES, TRANSMIT_FILE, TRANSMIT_SHORT_FILE };

static DWORD smaller(DWORD left, uint64_t right)
{
	return left < right ? left : (DWORD)right;
}

static void end(struct iocp_port *port, struct pro_operation *operation, int error, DWORD os_error)
{
	port->has_completed = true;
	pro__operation_complete(
			operation, error, (int)os_error, (size_t)operation->request.transmit->sent);
}

static void fail(struct iocp_port *port, struct pro_operation *operation, DWORD os_error)
{
	pro__iocp_complete(port, operation, os_error, (size_t)operation->request.transmit->sent);
}

/* ---- parts that are in memory ---- */

/* Sends what is left of header and trailer; there is no file part between them any more. */
static void send_bytes(struct iocp_port *port, struct pro_operation *operation)
{
	struct pro_transmit_request *request = operation->request.transmit;
	struct iocp_flight *flight = iocp_flight(operation);
	struct pro_buffer buffers[2];
	DWORD count = 0;
	DWORD bytes = 0;

	if (request->header.length)
		buffers[count++] = request->header;
	if (request->trailer.length && !request->left)
		buffers[count++] = request->trailer;
	for (DWORD i = 0; i < count; i++)
		buffers[i].length = smaller(CHUNK_MOST / 2, buffers[i].length);
	/* A piece that was cut must be the last. */
	if (count == 2 && buffers[0].length < request->header.length)
		count = 1;
	flight->step = TRANSMIT_BYTES;
	OVERLAPPED *overlapped = pro__iocp_begin(port, operation, flight->handle);
	int failed = port->win32.WSASend((SOCKET)flight->handle->value, (WSABUF *)(void *)buffers,
			count, &bytes, 0, overlapped, NULL);
	pro__iocp_began(port, operation, flight->handle, failed ? GetLastError() : 0, bytes);
}

static DWORD take_from(struct pro_buffer *buffer, DWORD bytes)
{
	DWORD part = smaller(bytes, buffer->length);

	buffer->base = (char *)buffer->base + part;
	buffer->length -= part;
	return bytes - part;
}

/* ---- the file ---- */

/* The file is what it was when the operation began: its handle was not closed since. */
static bool is_same_file(const struct iocp_flight *flight)
{
	return flight->of.file.handle->generation == flight->of.file.generation;
}

static void send_file(struct iocp_port *port, struct pro_operation *operation)
{
	struct pro_transmit_request *request = operation->request.transmit;
	struct iocp_flight *flight = iocp_flight(operation);
	HANDLE file = flight->of.file.handle->value;
	TRANSMIT_FILE_BUFFERS around = {0};
	LARGE_INTEGER size;
	uint64_t there;

	if (!is_same_file(flight)) {
		end(port, operation, PRO_EBADF, 0);
		return;
	}
	if (pro__iocp_was_reset(port, flight->handle)) {
		fail(port, operation, WSAECONNRESET);
		return;
	}
	port->calls++;
	if (!port->win32.GetFileSizeEx(file, &size)) {
		fail(port, operation, GetLastError());
		return;
	}
	there = request->offset < (uint64_t)size.QuadPart ? (uint64_t)size.QuadPart - request->offset
													  : 0;
	if (there == 0) {
		end(port, operation, PRO_ETRUNCATED, 0);
		return;
	}
	DWORD bytes = smaller(flight->chunk, request->left);
	flight->step = TRANSMIT_FILE;
	if (bytes > there) {
		/* It has shrunk: what is there goes out, and nothing behind it. */
		bytes = (DWORD)there;
		flight->step = TRANSMIT_SHORT_FILE;
	}
	if (request->header.length) {
		around.Head = request->header.base;
		around.HeadLength = (DWORD)request->header.length;
	}
	if (bytes == request->left && request->trailer.length) {
		around.Tail = request->trailer.base;
		around.TailLength = (DWORD)request->trailer.length;
	}
	flight->asked = around.HeadLength + bytes + around.TailLength;
	flight->of.file.started_ns = pro__iocp_now_ns(port);
	OVERLAPPED *overlapped = pro__iocp_begin(port, operation, flight->handle);
	overlapped->Offset = (DWORD)request->offset;
	overlapped->OffsetHigh = (DWORD)(request->offset >> 32);
	bool is_done = port->win32.TransmitFile((SOCKET)flight->handle->value, file, bytes, 0,
			overlapped, around.Head || around.Tail ? &around : NULL, 0);
	DWORD error = is_done ? 0 : GetLastError();
	/* The call tells no count; without a packet the kernel's is at hand. */
	bytes = is_done && flight->handle->skips_success ? (DWORD)overlapped->InternalHigh : 0;
	pro__iocp_began(port, operation, flight->handle, error, bytes);
}

/* Both must fit into one call with what is sent of the file; longer ones go before and after. */
static bool goes_with_file(const struct pro_buffer *buffer)
{
	return buffer->length <= (CALL_MOST - CHUNK_MOST) / 2;
}

static void go_on(struct iocp_port *port, struct pro_operation *operation)
{
	struct pro_transmit_request *request = operation->request.transmit;

	if (pro__iocp_is_asked_to_end(operation))
		end(port, operation, PRO_ECANCELED, 0);
	else if (request->left && goes_with_file(&request->header))
		send_file(port, operation);
	else if (request->header.length || request->trailer.length)
		send_bytes(port, operation);
	else
		end(port, operation, 0, 0);
}

static void set_chunk(struct iocp_port *port, struct iocp_flight *flight)
{
	uint64_t took_ns = pro__iocp_now_ns(port) - flight->of.file.started_ns;

	if (took_ns < QUICK_NS && flight->chunk < CHUNK_MOST)
		flight->chunk *= 2;
	else if (took_ns >= SLOW_NS && flight->chunk > CHUNK_FIRST)
		flight->chunk /= 2;
}

/* Gives the bytes to the parts that they belong to. */
static void account(struct pro_transmit_request *request, bool has_file, DWORD bytes)
{
	DWORD part;

	request->sent += bytes;
	bytes = take_from(&request->header, bytes);
	if (has_file) {
		part = smaller(bytes, request->left);
		request->offset += part;
		request->left -= part;
		bytes -= part;
	}
	take_from(&request->trailer, bytes);
}

static void transmit_finish(
		struct iocp_port *port, struct pro_operation *operation, DWORD error, DWORD bytes)
{
	struct iocp_flight *flight = iocp_flight(operation);
	bool has_file = flight->step != TRANSMIT_BYTES;

	account(operation->request.transmit, has_file, bytes);
	if (bytes)
		pro__operation_progress(operation);
	if (error == ERROR_HANDLE_EOF || flight->step == TRANSMIT_SHORT_FILE ||
			(has_file && error == 0 && bytes < flight->asked)) {
		end(port, operation, PRO_ETRUNCATED, error);
		return;
	}
	if (error) {
		fail(port, operation, error);
		return;
	}
	if (has_file)
		set_chunk(port, flight);
	go_on(port, operation);
}

static void transmit_start(struct iocp_port *port, struct pro_operation *operation)
{
	struct pro_transmit_request *request = operation->request.transmit;
	struct iocp_flight *flight = iocp_flight(operation);
	DWORD os_error = 0;

	if (flight->handle->kind != IOCP_STREAM) {
		pro__iocp_complete_error(port, operation, PRO_ENOTSOCK);
		return;
	}
	flight->chunk = CHUNK_FIRST;
	if (request->left) {
		int error = pro__iocp_handle_get(port, pro__iocp_handle_value(request->file), false,
				&flight->of.file.handle, &os_error);
		if (error) {
			end(port, operation, error, os_error);
			return;
		}
		flight->of.file.generation = flight->of.file.handle->generation;
	}
	go_on(port, operation);
}

const struct iocp_class pro__iocp_transmit_class = {
		.has_handle = true,
		.start = transmit_start,
		.finish = transmit_finish,
};
