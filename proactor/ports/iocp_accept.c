/* Accepting. Each accept brings a fresh socket of its own. Whatever becomes of a connection before
 * it is accepted, the listener goes on: the accept is made again with another socket. */
#include "iocp.h"

#include <string.h>

#include "windows_error.h"
#include "windows_world.h"

/* What AcceptEx wants for each address: 16 bytes more than the address. */
#define ADDRESS_ROOM ((DWORD)(sizeof(((struct pro_addr *)0)->storage) + 16))

_Static_assert(2 * (128 + 16) <= 320, "both addresses must fit into request.accept.space");

/* Accepts that fail at once are made again at most so often. */
#define TRIES_MOST 16

/* The connection died in the queue, or before it was taken over: no fault of the listener. */
static bool is_of_connection(DWORD error)
{
	return error == WSAECONNRESET || error == WSAECONNABORTED || error == ERROR_NETNAME_DELETED ||
		   error == ERROR_CONNECTION_ABORTED || error == ERROR_SEM_TIMEOUT ||
		   error == WSAENETRESET || error == WSAENOTCONN || error == WSAETIMEDOUT ||
		   error == ERROR_GRACEFUL_DISCONNECT;
}

static void accept_start(struct iocp_port *port, struct pro_operation *operation)
{
	struct iocp_flight *flight = iocp_flight(operation);
	struct iocp_handle *listener = flight->handle;
	char name[IOCP_PIPE_NAME_MAX];
	DWORD bytes = 0;

	if (listener->kind == IOCP_PIPE && pro__iocp_pipe_name(port, listener->value, name)) {
		pro__iocp_pipe_accept(port, operation, name);
		return;
	}
	if (listener->kind != IOCP_STREAM) {
		pro__iocp_complete_error(
				port, operation, listener->kind == IOCP_DGRAM ? PRO_ENOTSUP : PRO_ENOTSOCK);
		return;
	}
	port->calls++;
	flight->of.socket = port->win32.WSASocketW(listener->family, SOCK_STREAM, listener->protocol,
			NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
	if (flight->of.socket == INVALID_SOCKET) {
		pro__iocp_complete(port, operation, GetLastError(), 0);
		return;
	}
	OVERLAPPED *overlapped = pro__iocp_begin(port, operation, listener);
	bool is_done = port->win32.AcceptEx((SOCKET)listener->value, flight->of.socket,
			operation->request.accept.space, 0, ADDRESS_ROOM, ADDRESS_ROOM, &bytes, overlapped);
	pro__iocp_began(port, operation, listener, is_done ? 0 : GetLastError(), bytes);
}

static void copy_address(struct pro_addr *addr, const struct sockaddr *found, int length)
{
	if (!addr)
		return;
	memset(addr, 0, sizeof(*addr));
	if (!found || length <= 0 || (size_t)length > sizeof(addr->storage))
		return;
	memcpy(addr->storage.bytes, found, (size_t)length);
	addr->length = (uint32_t)length;
	pro__windows_trim_path(addr);
}

/* The socket is connected, but knows it only after this call. */
static DWORD take_over(struct iocp_port *port, struct pro_operation *operation)
{
	struct iocp_flight *flight = iocp_flight(operation);
	SOCKET listener = (SOCKET)flight->handle->value;
	struct sockaddr *local = NULL;
	struct sockaddr *remote = NULL;
	int local_length = 0;
	int remote_length = 0;

	port->calls++;
	if (port->win32.setsockopt(flight->of.socket, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT,
				(const char *)&listener, sizeof(listener)) == SOCKET_ERROR)
		return GetLastError();
	port->win32.GetAcceptExSockaddrs(operation->request.accept.space, 0, ADDRESS_ROOM, ADDRESS_ROOM,
			&local, &local_length, &remote, &remote_length);
	copy_address(operation->request.accept.local, local, local_length);
	copy_address(operation->request.accept.remote, remote, remote_length);
	return 0;
}

static void accept_finish(
		struct iocp_port *port, struct pro_operation *operation, DWORD error, DWORD bytes)
{
	struct iocp_flight *flight = iocp_flight(operation);
	bool is_asked_to_end = pro__iocp_is_asked_to_end(operation);

	(void)bytes;
	if (flight->handle->kind == IOCP_PIPE) {
		pro__iocp_pipe_accepted(port, operation, error);
		return;
	}
	bool has_connection = error == 0;
	/* The value of a listener that was closed may be another's: then nobody takes it over. */
	if (has_connection)
		error = flight->handle->is_closing ? WSAECONNABORTED : take_over(port, operation);
	if (error) {
		port->calls++;
		port->win32.closesocket(flight->of.socket);
		flight->of.socket = INVALID_SOCKET;
		/* An error after the connection was there is about the connection, whatever it is. */
		if ((has_connection || is_of_connection(error)) && !is_asked_to_end &&
				flight->tries++ < TRIES_MOST)
			accept_start(port, operation);
		else if (is_asked_to_end)
			pro__iocp_complete_error(port, operation, PRO_ECANCELED);
		else
			pro__iocp_complete(port, operation, error, 0);
		return;
	}
	operation->request.accept.accepted = (pro_handle)flight->of.socket;
	pro__iocp_complete(port, operation, 0, 0);
}

const struct iocp_class pro__iocp_accept_class = {
		.has_handle = true,
		.start = accept_start,
		.finish = accept_finish,
};
