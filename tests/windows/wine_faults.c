/* Two faults of Wine's sockets, shown by Winsock alone, for which iocp_wine.c is there. One thread
 * begins overlapped calls and computes on; another one
 *
 *	closes the socket when bytes have come for it, and opens the next, which gets its number: the
 *	call of the old socket receives the bytes of the new one, or fails in strange ways, or never
 *	ends;
 *	cancels a send that can not end, since nobody reads: the cancel finds nothing to cancel, and
 *	the send goes on.
 *
 * Windows does neither. The last line tells what was seen; nothing seen is a skip. */
#include <winsock2.h>
#include <ws2tcpip.h>

#include <windows.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOSES     20
#define CANCELS    100
#define BUSY       3 /* threads that only compute, so that others wait for their turn */
#define SEND_BYTES 3000000
#define LATE_MS    500
#define TRIES      100

#ifndef ERROR_HANDLES_CLOSED
#define ERROR_HANDLES_CLOSED 676L
#endif

static HANDLE port;
static SOCKET listener;
static struct sockaddr_in address = {.sin_family = AF_INET};

static void check(int is_well, const char *what)
{
	if (is_well)
		return;
	printf("%s: error %lu\n", what, (unsigned long)GetLastError());
	fflush(stdout);
	ExitProcess(1);
}

/* ---- the thread that begins calls ---- */

static struct {
	SOCKET socket;
	WSABUF buffer;
	int is_send;
	OVERLAPPED *overlapped; /* another one each time, since some never end */
	DWORD error;
} call;
static OVERLAPPED all[CLOSES + CANCELS];
static HANDLE wanted;
static HANDLE begun;
static volatile LONG is_busy;
static volatile LONG is_crowded = 1;

static DWORD WINAPI begin_calls(void *argument)
{
	DWORD flags = 0;
	DWORD bytes;
	int failed;

	(void)argument;
	while (WaitForSingleObject(wanted, INFINITE) == WAIT_OBJECT_0) {
		failed = call.is_send
						 ? WSASend(call.socket, &call.buffer, 1, &bytes, 0, call.overlapped, NULL)
						 : WSARecv(call.socket, &call.buffer, 1, &bytes, &flags, call.overlapped,
								   NULL);
		call.error = failed ? GetLastError() : 0;
		is_busy = 1;
		SetEvent(begun);
		while (is_busy)
			;
	}
	return 0;
}

static DWORD WINAPI compute(void *argument)
{
	(void)argument;
	while (is_crowded)
		;
	return 0;
}

static void begin(SOCKET socket, char *bytes, ULONG length, int is_send)
{
	check(CreateIoCompletionPort((HANDLE)socket, port, 1, 0) != NULL, "CreateIoCompletionPort");
	call.socket = socket;
	call.buffer = (WSABUF){.buf = bytes, .len = length};
	call.is_send = is_send;
	call.overlapped = call.overlapped ? call.overlapped + 1 : all;
	SetEvent(wanted);
	WaitForSingleObject(begun, INFINITE);
	SetLastError(call.error);
	check(call.error == WSA_IO_PENDING, "the call");
}

/* Whether the call is over, in time. */
static int has_ended(DWORD timeout_ms, DWORD *error, DWORD *bytes)
{
	OVERLAPPED *overlapped;
	ULONG_PTR key;

	do {
		overlapped = NULL;
		*error = 0;
		if (!GetQueuedCompletionStatus(port, bytes, &key, &overlapped, timeout_ms))
			*error = GetLastError();
		/* One that seemed never to end may do so now. */
	} while (overlapped && overlapped != call.overlapped);
	return overlapped != NULL;
}

/* ---- connections ---- */

static void connect_pair(SOCKET *client, SOCKET *server)
{
	*client = WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, 0, WSA_FLAG_OVERLAPPED);
	check(*client != INVALID_SOCKET, "WSASocket");
	check(connect(*client, (struct sockaddr *)&address, sizeof(address)) == 0, "connect");
	*server = accept(listener, NULL, NULL);
	check(*server != INVALID_SOCKET, "accept");
}

static void set_up(void)
{
	int length = sizeof(address);
	WSADATA data;

	check(WSAStartup(MAKEWORD(2, 2), &data) == 0, "WSAStartup");
	port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
	listener = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	check(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 5) == 0 &&
					getsockname(listener, (struct sockaddr *)&address, &length) == 0,
			"listen");
	wanted = CreateEventW(NULL, FALSE, FALSE, NULL);
	begun = CreateEventW(NULL, FALSE, FALSE, NULL);
	check(CreateThread(NULL, 0, begin_calls, NULL, 0, NULL) != NULL, "CreateThread");
	for (int i = 0; i < BUSY; i++)
		check(CreateThread(NULL, 0, compute, NULL, 0, NULL) != NULL, "CreateThread");
}

/* ---- the faults ---- */

struct faults {
	int strays;    /* the bytes of another connection */
	int strange;   /* neither bytes nor an end that a close makes */
	int endless;   /* no completion */
	int unnoticed; /* cancels that found nothing */
};

static void close_and_reuse(struct faults *faults)
{
	/* What never ends may still write here. */
	char *bytes = calloc(1, 16);
	SOCKET ends[4];
	DWORD received;
	DWORD error;

	check(bytes != NULL, "calloc");
	connect_pair(&ends[0], &ends[1]);
	begin(ends[0], bytes, 16, 0);
	send(ends[1], "old", 3, 0);
	CancelIoEx((HANDLE)ends[0], NULL);
	closesocket(ends[0]);
	connect_pair(&ends[2], &ends[3]);
	send(ends[2], "new", 3, 0);
	send(ends[3], "new", 3, 0);
	is_busy = 0;
	if (!has_ended(LATE_MS, &error, &received))
		faults->endless++;
	else if (!error && received && memcmp(bytes, "old", 3) != 0)
		faults->strays++;
	else if (error && error != ERROR_OPERATION_ABORTED && error != ERROR_NETNAME_DELETED &&
			 error != ERROR_CONNECTION_ABORTED && error != ERROR_HANDLES_CLOSED)
		faults->strange++;
	for (int i = 1; i < 4; i++)
		closesocket(ends[i]);
}

static void cancel_a_send(struct faults *faults)
{
	static char bytes[SEND_BYTES];
	const int room = 2048;
	char some[4096];
	SOCKET ends[2];
	DWORD error;
	DWORD sent;
	int is_found;
	int is_over;

	connect_pair(&ends[0], &ends[1]);
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, (const char *)&room, sizeof(room));
	begin(ends[0], bytes, sizeof(bytes), 1);
	/* There is room again, for a moment. */
	recv(ends[1], some, sizeof(some), 0);
	is_found = CancelIoEx((HANDLE)ends[0], call.overlapped);
	is_over = has_ended(LATE_MS, &error, &sent);
	if (!is_found && !is_over)
		faults->unnoticed++;
	is_busy = 0;
	for (int i = 0; i < TRIES && !is_over; i++) {
		CancelIoEx((HANDLE)ends[0], call.overlapped);
		is_over = has_ended(LATE_MS, &error, &sent);
	}
	check(is_over, "a send that was cancelled");
	closesocket(ends[0]);
	closesocket(ends[1]);
}

int main(void)
{
	struct faults faults = {0};

	set_up();
	for (int i = 0; i < CLOSES; i++)
		close_and_reuse(&faults);
	printf("%d closes: %d calls got another connection's bytes, %d ended strangely, %d never\n",
			CLOSES, faults.strays, faults.strange, faults.endless);
	is_crowded = 0;
	for (int i = 0; i < CANCELS; i++)
		cancel_a_send(&faults);
	printf("%d cancels: %d found nothing, though the call went on\n", CANCELS, faults.unnoticed);
	if (faults.strays + faults.strange + faults.endless + faults.unnoticed == 0)
		printf("skip: none of the faults was seen\n");
	fflush(stdout);
	ExitProcess(0);
}
