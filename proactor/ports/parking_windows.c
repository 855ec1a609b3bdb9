/* Parking on a completion port of its own, whose waiters the system wakes last in, first out. */
#include "parking.h"
#include "port.h"

#include <windows.h>

/* Completion keys. */
enum { KEY_WAKE, KEY_ALARM };

static void CALLBACK ring(PTP_CALLBACK_INSTANCE instance, void *port, PTP_TIMER timer)
{
	(void)instance;
	(void)timer;
	PostQueuedCompletionStatus(port, 0, KEY_ALARM, NULL);
}

int pro__parking_init(struct pro__parking *parking)
{
	parking->timer = NULL;
	/* How many of those that were woken may run is for the crew to say. */
	parking->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, MAXLONG);
	if (parking->port)
		parking->timer = CreateThreadpoolTimer(ring, parking->port, NULL);
	if (parking->timer)
		return 0;
	int error = pro__error_from_os((int)GetLastError());
	pro__parking_fini(parking);
	return error;
}

void pro__parking_fini(struct pro__parking *parking)
{
	if (parking->timer) {
		SetThreadpoolTimer(parking->timer, NULL, 0, 0);
		WaitForThreadpoolTimerCallbacks(parking->timer, TRUE);
		CloseThreadpoolTimer(parking->timer);
	}
	if (parking->port)
		CloseHandle(parking->port);
	*parking = (struct pro__parking){NULL, NULL};
}

uint64_t pro__parking_wait(struct pro__parking *parking, int64_t timeout_ns)
{
	DWORD timeout_ms = INFINITE;
	OVERLAPPED *overlapped;
	ULONG_PTR key;
	DWORD bytes;

	if (timeout_ns >= 0)
		timeout_ms = timeout_ns / 1000000 >= INFINITE - 1 ? INFINITE - 1
														  : (DWORD)(timeout_ns / 1000000) + 1;
	if (!GetQueuedCompletionStatus(parking->port, &bytes, &key, &overlapped, timeout_ms))
		return 0;
	return key == KEY_ALARM ? PRO__PARKING_ALARM : 1;
}

void pro__parking_wake(struct pro__parking *parking)
{
	PostQueuedCompletionStatus(parking->port, 0, KEY_WAKE, NULL);
}

void pro__parking_set_alarm(struct pro__parking *parking, uint64_t delay_ns)
{
	/* Relative, in steps of 100 ns. */
	ULARGE_INTEGER due = {.QuadPart = (ULONGLONG)(-(LONGLONG)(delay_ns / 100))};
	FILETIME when = {.dwLowDateTime = due.LowPart, .dwHighDateTime = due.HighPart};

	SetThreadpoolTimer(parking->timer, delay_ns ? &when : NULL, 0, 0);
}
