/* The yardstick on Windows: an echo server as one writes it by hand for an I/O completion port, one
 * thread, packets in batches, none where a call succeeds at once. Prints "listening on
 * 127.0.0.1:PORT" and serves until it is killed. */
#include <winsock2.h>
#include <ws2tcpip.h>

#include <mswsock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#define ACCEPTS           4
#define BYTES             4096
#define PACKETS           128
#define CALLS_AT_ONCE_MAX 8
#define ADDRESS_ROOM      (sizeof(struct sockaddr_in) + 16)

enum step { STEP_ACCEPT, STEP_RECEIVE, STEP_SEND };

struct connection {
	OVERLAPPED overlapped; /* first */
	SOCKET socket;
	enum step step;
	DWORD length; /* of what is being echoed */
	DWORD sent;
	char bytes[BYTES];
};

static HANDLE completion_port;
static SOCKET listener;
static LPFN_ACCEPTEX accept_ex;

static void die(const char *what)
{
	fprintf(stderr, "echo_iocp: %s: error %lu\n", what, GetLastError());
	exit(1);
}

static void drop(struct connection *connection)
{
	closesocket(connection->socket);
	free(connection);
}

static SOCKET make_socket(void)
{
	SOCKET made = WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, 0, WSA_FLAG_OVERLAPPED);

	if (made == INVALID_SOCKET)
		die("WSASocketW");
	return made;
}

static void associate(SOCKET socket)
{
	if (!CreateIoCompletionPort((HANDLE)socket, completion_port, 0, 0) ||
			!SetFileCompletionNotificationModes((HANDLE)socket,
					FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE))
		die("association");
}

static void start_accept(void)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	DWORD bytes;

	if (!connection)
		abort();
	connection->socket = make_socket();
	connection->step = STEP_ACCEPT;
	if (!accept_ex(listener, connection->socket, connection->bytes, 0, ADDRESS_ROOM, ADDRESS_ROOM,
				&bytes, &connection->overlapped) &&
			WSAGetLastError() != WSA_IO_PENDING)
		die("AcceptEx");
}

/* One call; true when it is through at once. */
static BOOL start_receive(struct connection *connection, DWORD *bytes)
{
	WSABUF buffer = {.buf = connection->bytes, .len = BYTES};
	DWORD flags = 0;

	connection->step = STEP_RECEIVE;
	memset(&connection->overlapped, 0, sizeof(connection->overlapped));
	if (!WSARecv(connection->socket, &buffer, 1, bytes, &flags, &connection->overlapped, NULL))
		return TRUE;
	if (WSAGetLastError() != WSA_IO_PENDING)
		drop(connection);
	return FALSE;
}

static BOOL start_send(struct connection *connection, DWORD *bytes)
{
	WSABUF buffer = {.buf = connection->bytes + connection->sent,
			.len = connection->length - connection->sent};

	connection->step = STEP_SEND;
	memset(&connection->overlapped, 0, sizeof(connection->overlapped));
	if (!WSASend(connection->socket, &buffer, 1, bytes, 0, &connection->overlapped, NULL))
		return TRUE;
	if (WSAGetLastError() != WSA_IO_PENDING)
		drop(connection);
	return FALSE;
}

/* A receive or a send has ended with `bytes`; goes on until a call is under way, or until it is the
 * others' turn. */
static void go_on(struct connection *connection, DWORD bytes)
{
	BOOL is_through = TRUE;

	for (int i = 0; i < CALLS_AT_ONCE_MAX && is_through; i++) {
		if (connection->step == STEP_RECEIVE) {
			if (bytes == 0) {
				drop(connection);
				return;
			}
			connection->length = bytes;
			connection->sent = 0;
			is_through = start_send(connection, &bytes);
			continue;
		}
		connection->sent += bytes;
		is_through = connection->sent < connection->length ? start_send(connection, &bytes)
														   : start_receive(connection, &bytes);
	}
	if (is_through &&
			!PostQueuedCompletionStatus(completion_port, bytes, 0, &connection->overlapped))
		die("PostQueuedCompletionStatus");
}

static void take_connection(struct connection *connection)
{
	const BOOL yes = TRUE;
	DWORD bytes;

	if (setsockopt(connection->socket, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT,
				(const char *)&listener, sizeof(listener)))
		die("SO_UPDATE_ACCEPT_CONTEXT");
	setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, (const char *)&yes, sizeof(yes));
	associate(connection->socket);
	start_accept();
	if (start_receive(connection, &bytes))
		go_on(connection, bytes);
}

static void take_packet(const OVERLAPPED_ENTRY *packet)
{
	struct connection *connection = (struct connection *)(void *)packet->lpOverlapped;

	if (connection->overlapped.Internal)
		drop(connection);
	else if (connection->step == STEP_ACCEPT)
		take_connection(connection);
	else
		go_on(connection, packet->dwNumberOfBytesTransferred);
}

static void listen_anywhere(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	GUID id = WSAID_ACCEPTEX;
	int length = sizeof(address);
	DWORD done;

	listener = make_socket();
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 4096) ||
			getsockname(listener, (struct sockaddr *)&address, &length))
		die("listen");
	if (WSAIoctl(listener, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof(id), &accept_ex,
				sizeof(accept_ex), &done, NULL, NULL))
		die("AcceptEx");
	if (!CreateIoCompletionPort((HANDLE)listener, completion_port, 0, 0))
		die("association");
	printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
	fflush(stdout);
}

int main(void)
{
	OVERLAPPED_ENTRY packets[PACKETS];
	WSADATA data;

	if (WSAStartup(MAKEWORD(2, 2), &data))
		die("WSAStartup");
	completion_port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
	if (!completion_port)
		die("CreateIoCompletionPort");
	listen_anywhere();
	for (int i = 0; i < ACCEPTS; i++)
		start_accept();
	for (;;) {
		ULONG count = 0;

		if (!GetQueuedCompletionStatusEx(
					completion_port, packets, PACKETS, &count, INFINITE, FALSE))
			die("GetQueuedCompletionStatusEx");
		for (ULONG i = 0; i < count; i++)
			take_packet(&packets[i]);
	}
}
