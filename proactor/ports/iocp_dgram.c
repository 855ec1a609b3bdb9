/* Datagrams. */
#include "iocp.h"

#include "windows_error.h"
#include "windows_world.h"

static bool refuse_other(struct iocp_port *port, struct pro_operation *operation)
{
	if (iocp_flight(operation)->handle->kind == IOCP_DGRAM)
		return false;
	pro__iocp_complete_error(port, operation, PRO_ENOTSOCK);
	return true;
}

/* ---- receiving ---- */

static void read_dgram_start(struct iocp_port *port, struct pro_operation *operation)
{
	struct iocp_flight *flight = iocp_flight(operation);
	struct pro_addr *from = operation->request.io.address;
	DWORD flags = 0;
	DWORD bytes = 0;

	if (refuse_other(port, operation))
		return;
	OVERLAPPED *overlapped = pro__iocp_begin(port, operation, flight->handle);
	flight->address_length = sizeof(from->storage);
	int failed = port->win32.WSARecvFrom((SOCKET)flight->handle->value,
			(WSABUF *)(void *)operation->request.io.buffers, operation->request.io.count, &bytes,
			&flags, (struct sockaddr *)(void *)from->storage.bytes, &flight->address_length,
			overlapped, NULL);
	pro__iocp_began(port, operation, flight->handle, failed ? GetLastError() : 0, bytes);
}

/* Tells of a datagram sent before, to a port that is closed. Each takes a packet, so that skipping
 * them can not spin. */
static bool is_of_earlier_send(DWORD error)
{
	return error == WSAECONNRESET || error == ERROR_PORT_UNREACHABLE || error == WSAENETRESET ||
		   error == ERROR_NETNAME_DELETED || error == ERROR_CONNECTION_REFUSED;
}

/* Receiving at once can fail so too: as often as this is no chance any more. */
#define SKIP_MOST 100

static void read_dgram_finish(
		struct iocp_port *port, struct pro_operation *operation, DWORD error, DWORD bytes)
{
	struct iocp_flight *flight = iocp_flight(operation);
	bool is_asked_to_end = pro__iocp_is_asked_to_end(operation);

	if (is_of_earlier_send(error) && !is_asked_to_end && flight->tries++ < SKIP_MOST) {
		read_dgram_start(port, operation);
		return;
	}
	if (error == ERROR_MORE_DATA || error == ERROR_INSUFFICIENT_BUFFER)
		error = WSAEMSGSIZE;
	if (error == 0 || error == WSAEMSGSIZE)
		operation->request.io.address->length = (uint32_t)flight->address_length;
	/* A datagram of no bytes is one, but not the end of anything. */
	pro__iocp_complete(port, operation, error, bytes);
}

const struct iocp_class pro__iocp_read_dgram_class = {
		.has_handle = true,
		.start = read_dgram_start,
		.finish = read_dgram_finish,
};

/* ---- sending ---- */

static void write_dgram_start(struct iocp_port *port, struct pro_operation *operation)
{
	struct iocp_handle *handle = iocp_flight(operation)->handle;
	const struct pro_addr *to = operation->request.io.address;
	WSABUF *buffers = (WSABUF *)(void *)operation->request.io.buffers;
	struct pro_addr loopback;
	WSABUF nothing = {0};
	DWORD count = operation->request.io.count;
	DWORD bytes = 0;
	int failed;

	if (refuse_other(port, operation))
		return;
	if (count == 0) {
		buffers = &nothing;
		count = 1;
	}
	if (to)
		to = pro__windows_destination(to, &loopback);
	OVERLAPPED *overlapped = pro__iocp_begin(port, operation, handle);
	if (to)
		failed = port->win32.WSASendTo((SOCKET)handle->value, buffers, count, &bytes, 0,
				(const struct sockaddr *)(const void *)to->storage.bytes, (int)to->length,
				overlapped, NULL);
	else
		failed = port->win32.WSASend(
				(SOCKET)handle->value, buffers, count, &bytes, 0, overlapped, NULL);
	pro__iocp_began(port, operation, handle, failed ? GetLastError() : 0, bytes);
}

static void write_dgram_finish(
		struct iocp_port *port, struct pro_operation *operation, DWORD error, DWORD bytes)
{
	if (error == ERROR_MORE_DATA)
		error = WSAEMSGSIZE;
	/* There is no peer: what Windows says, and what Wine does, have other meanings elsewhere. */
	if ((error == WSAENOTCONN || error == WSAEINVAL) && !operation->request.io.address)
		error = WSAEDESTADDRREQ;
	pro__iocp_complete(port, operation, error, bytes);
}

const struct iocp_class pro__iocp_write_dgram_class = {
		.has_handle = true,
		.start = write_dgram_start,
		.finish = write_dgram_finish,
};
