/* Connecting. The socket must be bound first, and it is good for one try only: after a failure it
 * is closed. */
#include "iocp.h"

#include <mstcpip.h>
#include <string.h>

#include "windows_error.h"
#include "windows_world.h"

/* The first that knows what is asked for in refuse_at_once (Windows 10, version 1709): older ones
 * would take it for a number of tries. */
#define BUILD_REFUSES_AT_ONCE 16299
#ifndef TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS
#define TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS ((UCHAR)-2)
#endif

/* Closes what was to be connected. */
static void drop(struct iocp_port *port, struct iocp_flight *flight)
{
	struct iocp_handle *handle = flight->handle;
	HANDLE value = handle->value;

	pro__iocp_handle_forget(port, handle);
	pro__iocp_handle_free(port, handle);
	flight->handle = NULL;
	port->calls++;
	port->win32.closesocket((SOCKET)value);
}

static DWORD bind_socket(struct iocp_port *port, SOCKET socket, const struct pro_addr *remote,
		const struct pro_addr *local)
{
	struct pro_addr any;

	if (!local) {
		memset(&any, 0, sizeof(any));
		/* All zero but for the family is the wildcard of every family. */
		memcpy(any.storage.bytes, remote->storage.bytes, sizeof(ADDRESS_FAMILY));
		any.length = remote->length;
		local = &any;
	}
	port->calls++;
	if (port->win32.bind(socket, (const struct sockaddr *)(const void *)local->storage.bytes,
				(int)local->length) == SOCKET_ERROR)
		return GetLastError();
	return 0;
}

/* The system tries again for two seconds when a connection is refused, even by itself. Failure is
 * tolerated: then it takes so long. */
static void refuse_at_once(struct iocp_port *port, SOCKET socket, const struct pro_addr *remote)
{
	TCP_INITIAL_RTO_PARAMETERS parameters = {.Rtt = TCP_INITIAL_RTO_UNSPECIFIED_RTT,
			.MaxSynRetransmissions = TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS};
	DWORD done;

	if (port->build < BUILD_REFUSES_AT_ONCE || !pro__windows_is_loopback(remote))
		return;
	port->calls++;
	port->win32.WSAIoctl(socket, SIO_TCP_INITIAL_RTO, &parameters, sizeof(parameters), NULL, 0,
			&done, NULL, NULL);
}

/* A socket of IPv6 reaches addresses of IPv4 only if told so before it is bound. Where that is
 * refused the connect says why. */
static void reach_mapped(struct iocp_port *port, SOCKET socket, const struct pro_addr *remote)
{
	const DWORD is_v6_only = 0;

	if (!pro__windows_is_mapped(remote))
		return;
	port->calls++;
	port->win32.setsockopt(
			socket, IPPROTO_IPV6, IPV6_V6ONLY, (const char *)&is_v6_only, sizeof(is_v6_only));
}

/* A socket of the family, bound and known to the port, in flight->handle. */
static DWORD prepare(
		struct iocp_port *port, struct pro_operation *operation, const struct pro_addr *remote)
{
	const struct sockaddr *address = (const struct sockaddr *)(const void *)remote->storage.bytes;
	int protocol = address->sa_family == AF_UNIX ? 0 : IPPROTO_TCP;
	DWORD error;
	SOCKET socket;

	port->calls++;
	socket = port->win32.WSASocketW(address->sa_family, SOCK_STREAM, protocol, NULL, 0,
			WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
	if (socket == INVALID_SOCKET)
		return GetLastError();
	refuse_at_once(port, socket, remote);
	reach_mapped(port, socket, remote);
	error = bind_socket(port, socket, remote, operation->request.connect.local);
	if (!error)
		iocp_flight(operation)->handle =
				pro__iocp_handle_add(port, (HANDLE)socket, IOCP_STREAM, &error);
	if (error)
		port->win32.closesocket(socket);
	return error;
}

static void connect_start(struct iocp_port *port, struct pro_operation *operation)
{
	const struct pro_addr *remote = operation->request.connect.remote;
	struct iocp_flight *flight = iocp_flight(operation);
	struct pro_addr loopback;
	DWORD bytes = 0;

	flight->handle = NULL;
	if (pro__windows_is_pipe(remote)) {
		pro__iocp_pipe_connect(port, operation);
		return;
	}
	remote = pro__windows_destination(remote, &loopback);
	DWORD error = prepare(port, operation, remote);
	if (error) {
		pro__iocp_complete(port, operation, error, 0);
		return;
	}
	OVERLAPPED *overlapped = pro__iocp_begin(port, operation, flight->handle);
	bool is_done = port->win32.ConnectEx((SOCKET)flight->handle->value,
			(const struct sockaddr *)(const void *)remote->storage.bytes, (int)remote->length, NULL,
			0, &bytes, overlapped);
	pro__iocp_began(port, operation, flight->handle, is_done ? 0 : GetLastError(), bytes);
}

static void connect_finish(
		struct iocp_port *port, struct pro_operation *operation, DWORD error, DWORD bytes)
{
	struct iocp_flight *flight = iocp_flight(operation);
	SOCKET socket = (SOCKET)flight->handle->value;

	(void)bytes;
	/* Without this call the socket does not know that it is connected: 10057 for most others. */
	if (!error) {
		port->calls++;
		if (port->win32.setsockopt(socket, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0) ==
				SOCKET_ERROR)
			error = GetLastError();
	}
	if (error)
		drop(port, flight);
	else
		operation->request.connect.connected = (pro_handle)socket;
	pro__iocp_complete(port, operation, error, 0);
}

const struct iocp_class pro__iocp_connect_class = {
		.start = connect_start,
		.finish = connect_finish,
};
