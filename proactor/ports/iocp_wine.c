/* What Wine does differently from Windows. On Windows nothing of this happens.
 *
 * Wine's sockets are those of its host. A call that waits is finished by the thread that began it,
 * which moves the bytes when the server of Wine tells it to, on whatever bears the number of the
 * socket by then: when another thread has closed it meanwhile, that may be the next connection. And
 * a cancel finds nothing while bytes are moved, also if that does not end the call.
 * tests/windows/wine_faults.c shows both. */
#include "iocp.h"

/* Each goes to the server of Wine and back, while the thread that moves the bytes only needs to be
 * let run. */
#define CANCEL_TRIES 1000

/* ---- calls of several threads ---- */

void pro__iocp_wine_note_thread(struct iocp_port *port)
{
	const DWORD thread = GetCurrentThreadId();

	if (!port->is_wine || port->thread == thread)
		return;
	port->has_threads = port->thread != 0;
	port->thread = thread;
}

bool pro__iocp_wine_close_late(struct iocp_port *port, struct iocp_handle *handle)
{
	pro__iocp_wine_note_thread(port);
	if (!port->has_threads || (handle->kind != IOCP_STREAM && handle->kind != IOCP_DGRAM))
		return false;
	handle->closes_late = true;
	handle->next = port->late;
	port->late = handle;
	port->recalls++;
	return true;
}

void pro__iocp_wine_close(struct iocp_port *port, struct iocp_handle *handle)
{
	struct iocp_handle **link = &port->late;

	while (*link != handle)
		link = &(*link)->next;
	*link = handle->next;
	handle->closes_late = false;
	port->recalls--;
	pro__iocp_close_value(port, handle->value);
}

void pro__iocp_wine_retry(struct iocp_port *port)
{
	for (const struct iocp_handle *handle = port->late; handle; handle = handle->next) {
		port->calls++;
		port->win32.CancelIoEx(handle->value, NULL);
	}
}

void pro__iocp_wine_cancel_again(struct iocp_port *port, struct iocp_flight *flight)
{
	for (int i = 0; port->is_wine && i < CANCEL_TRIES && GetLastError() == ERROR_NOT_FOUND &&
					flight->overlapped.Internal == STATUS_PENDING;
			i++) {
		SwitchToThread();
		port->calls++;
		if (port->win32.CancelIoEx(flight->handle->value, &flight->overlapped))
			return;
	}
}

/* ---- resets ---- */

static void set_waiting(struct iocp_port *port, SOCKET socket, bool waits)
{
	u_long never_waits = !waits;
	DWORD bytes;

	port->win32.WSAIoctl(
			socket, FIONBIO, &never_waits, sizeof(never_waits), NULL, 0, &bytes, NULL, NULL);
}

/* Behind bytes that the peer does not read, even a send of nothing would wait. */
bool pro__iocp_was_reset(struct iocp_port *port, const struct iocp_handle *handle)
{
	const SOCKET socket = (SOCKET)handle->value;
	WSABUF nothing = {0};
	DWORD bytes;
	bool was_reset;

	if (!port->is_wine || handle->kind != IOCP_STREAM || handle->is_closing)
		return false;
	port->calls++;
	set_waiting(port, socket, false);
	was_reset = port->win32.WSASend(socket, &nothing, 1, &bytes, 0, NULL, NULL) == SOCKET_ERROR &&
				GetLastError() == WSAECONNRESET;
	set_waiting(port, socket, true);
	return was_reset;
}
