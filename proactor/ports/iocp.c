/* The completion port: its life, its wait, and how overlapped calls begin and end. */
#include "iocp.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "windows_error.h"
#include "windows_world.h"

/* A wait that is to end within this time is ended by the fine timer: the system's own time-outs
 * come with its tick, up to 16 ms late. Longer waits end early instead, and the loop comes back.
 * The fine timer takes no completion routine, so a packet tells of it; should that be missing, the
 * system's time-out ends the wait all the same. */
#define FINE_TIMER_NS INT64_C(32000000)
#define TICK_MS       16

#ifndef CREATE_WAITABLE_TIMER_HIGH_RESOLUTION
#define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 2
#endif
#define STATUS_TAKEN_BACK 0xC0000120 /* STATUS_CANCELLED: it has come, or was never sent for */

/* Posting can fail for want of the system's memory, for moments only. */
#define WAKE_TRIES 100

/* How often threads that are to come back from a call are asked. */
#define RETRY_NS INT64_C(10000000)

static struct iocp_port *port_from(struct pro_port *port)
{
	return (struct iocp_port *)(void *)port;
}

static const struct iocp_class *const classes[] = {
		[PRO_OP_READ_STREAM] = &pro__iocp_read_stream_class,
		[PRO_OP_WRITE_STREAM] = &pro__iocp_write_stream_class,
		[PRO_OP_READ_FILE] = &pro__iocp_read_file_class,
		[PRO_OP_WRITE_FILE] = &pro__iocp_write_file_class,
		[PRO_OP_READ_DGRAM] = &pro__iocp_read_dgram_class,
		[PRO_OP_WRITE_DGRAM] = &pro__iocp_write_dgram_class,
		[PRO_OP_ACCEPT] = &pro__iocp_accept_class,
		[PRO_OP_CONNECT] = &pro__iocp_connect_class,
		[PRO_OP_TRANSMIT_FILE] = &pro__iocp_transmit_class,
		[PRO_OP_RESOLVE] = &pro__iocp_resolve_class,
};

/* ---- overlapped calls ---- */

OVERLAPPED *pro__iocp_begin(
		struct iocp_port *port, struct pro_operation *operation, struct iocp_handle *handle)
{
	OVERLAPPED *overlapped = &iocp_flight(operation)->overlapped;

	memset(overlapped, 0, sizeof(*overlapped));
	pro__iocp_wine_note_thread(port);
	handle->outstanding++;
	port->calls++;
	return overlapped;
}

static void end_call(
		struct iocp_port *port, struct pro_operation *operation, DWORD error, DWORD bytes)
{
	port->has_completed = true;
	classes[operation->opcode]->finish(port, operation, error, bytes);
}

/* Whether the kernel has completed the call with a warning, as it does when a datagram is longer
 * than its buffer: the call says error, but the packet comes. */
static bool is_warning(const OVERLAPPED *overlapped)
{
	return ((DWORD)overlapped->Internal & 0xC0000000) == 0x80000000;
}

void pro__iocp_began(struct iocp_port *port, struct pro_operation *operation,
		struct iocp_handle *handle, DWORD error, DWORD bytes)
{
	if (error == ERROR_IO_PENDING || (error == 0 && !handle->skips_success))
		return;
	if (error && is_warning(&iocp_flight(operation)->overlapped))
		return;
	handle->outstanding--;
	end_call(port, operation, error, bytes);
}

bool pro__iocp_is_asked_to_end(const struct pro_operation *operation)
{
	const struct iocp_flight *flight =
			(const struct iocp_flight *)(const void *)operation->port.bytes;

	return (operation->flags & PRO__CANCEL_ASKED) || (flight->handle && flight->handle->is_closing);
}

void pro__iocp_complete_error(struct iocp_port *port, struct pro_operation *operation, int error)
{
	port->has_completed = true;
	pro__operation_complete(operation, error, 0, 0);
}

void pro__iocp_complete(
		struct iocp_port *port, struct pro_operation *operation, DWORD error, size_t bytes)
{
	int result = pro__error_from_os((int)error);

	port->has_completed = true;
	if (pro__windows_is_abort(error) && pro__iocp_is_asked_to_end(operation))
		result = PRO_ECANCELED;
	pro__operation_complete(operation, result, (int)error, bytes);
}

DWORD pro__iocp_associate(struct iocp_port *port, struct iocp_handle *handle)
{
	const ULONG_PTR key = (ULONG_PTR)&pro__iocp_operation_source;

	port->calls++;
	if (!port->win32.CreateIoCompletionPort(handle->value, port->handle, key, 0))
		return GetLastError();
	handle->is_associated = true;
	return 0;
}

/* ---- packets ---- */

static void take_operation(struct iocp_port *port, const OVERLAPPED_ENTRY *packet)
{
	struct pro_operation *operation = iocp_operation_of_overlapped(packet->lpOverlapped);
	struct iocp_handle *handle = iocp_flight(operation)->handle;
	DWORD error = 0;

	/* Packets of a batch bear the status of the kernel in the OVERLAPPED. */
	if (packet->lpOverlapped->Internal)
		error = pro__windows_error_from_status(&port->win32, handle->value, packet->lpOverlapped);
	assert(handle->outstanding > 0);
	handle->outstanding--;
	end_call(port, operation, error, packet->dwNumberOfBytesTransferred);
	pro__iocp_handle_check_closed(port, handle);
}

const struct iocp_source pro__iocp_operation_source = {take_operation};

static void take_wake(struct iocp_port *port, const OVERLAPPED_ENTRY *packet)
{
	(void)packet;
	atomic_store(&port->is_wake_queued, false);
}

static const struct iocp_source wake_source = {take_wake};

void pro__iocp_wake_up(struct iocp_port *port)
{
	/* One packet is enough however many wake; whoever takes it looks at everything after that. */
	if (atomic_exchange(&port->is_wake_queued, true))
		return;
	for (int i = 0; i < WAKE_TRIES; i++) {
		if (port->win32.PostQueuedCompletionStatus(port->handle, 0, (ULONG_PTR)&wake_source, NULL))
			return;
		Sleep(1);
	}
	atomic_store(&port->is_wake_queued, false);
}

static void iocp_wake(struct pro_port *base)
{
	pro__iocp_wake_up(port_from(base));
}

/* ---- waiting ---- */

static void take_timer(struct iocp_port *port, const OVERLAPPED_ENTRY *packet)
{
	/* It has ended the wait: nothing more is needed. */
	(void)port;
	(void)packet;
}

static const struct iocp_source timer_source = {take_timer};

/* Sets the fine timer to `timeout_ns` from now. Its packet may still come after a later wait has
 * begun, which ends early then. */
static void set_fine_timer(struct iocp_port *port, int64_t timeout_ns)
{
	LARGE_INTEGER due;
	LONG status;

	port->calls++;
	status = port->win32.NtCancelWaitCompletionPacket(port->timer_packet, TRUE);
	/* Its last packet is under way: it can not be had for another. */
	if (status && (DWORD)status != STATUS_TAKEN_BACK)
		return;
	/* Relative, in steps of 100 ns, rounded up. */
	due.QuadPart = -((timeout_ns + 99) / 100);
	port->calls += 2;
	if (port->win32.SetWaitableTimer(port->timer, &due, 0, NULL, NULL, FALSE))
		port->win32.NtAssociateWaitCompletionPacket(port->timer_packet, port->handle, port->timer,
				(void *)(uintptr_t)&timer_source, NULL, 0, 0, NULL);
}

/* Milliseconds of the system's time-out for this wait. */
static DWORD wait_ms(struct iocp_port *port, int64_t timeout_ns)
{
	uint64_t ms;

	if (timeout_ns < 0)
		return INFINITE;
	if (timeout_ns == 0)
		return 0;
	ms = ((uint64_t)timeout_ns + 999999) / 1000000;
	if (port->timer && timeout_ns <= FINE_TIMER_NS)
		set_fine_timer(port, timeout_ns);
	else if (port->timer)
		ms -= TICK_MS;
	return ms < INFINITE ? (DWORD)ms : INFINITE - 1;
}

static void take_packets(struct iocp_port *port, const OVERLAPPED_ENTRY *packets, ULONG count)
{
	for (ULONG i = 0; i < count; i++) {
		const struct iocp_source *source =
				(const struct iocp_source *)(void *)packets[i].lpCompletionKey;

		source->take(port, &packets[i]);
	}
}

static void iocp_wait(struct pro_port *base, int64_t timeout_ns, uint64_t *system_calls)
{
	struct iocp_port *port = port_from(base);
	OVERLAPPED_ENTRY packets[IOCP_BATCH];
	ULONG count = 0;
	BOOL has_packets;

	port->has_completed = false;
	pro__iocp_run_jobs(port);
	pro__iocp_feed(port);
	if (port->has_completed)
		timeout_ns = 0;
	if (port->recalls) {
		pro__iocp_blocking_retry(port);
		pro__iocp_wine_retry(port);
		timeout_ns = timeout_ns < 0 || timeout_ns > RETRY_NS ? RETRY_NS : timeout_ns;
	}
	DWORD timeout_ms = wait_ms(port, timeout_ns);
	port->calls++;
	if (timeout_ms != 0)
		port->is_waiter_unaware = port->recalls == 0;
	pro__wait_begin(port->proactor);
	has_packets = port->win32.GetQueuedCompletionStatusEx(
			port->handle, packets, IOCP_BATCH, &count, timeout_ms, FALSE);
	pro__wait_end(port->proactor);
	if (timeout_ms != 0)
		port->is_waiter_unaware = false;
	/* False: the time is over, or the port is closed; nothing was taken then. */
	if (has_packets)
		take_packets(port, packets, count);
	pro__iocp_run_jobs(port);
	/* Another thread waits too long for what came up here. */
	if (port->is_waiter_unaware && port->recalls)
		pro__iocp_wake_up(port);
	*system_calls += port->calls;
	port->calls = 0;
}

/* ---- submitting, cancelling ---- */

static void iocp_submit(struct pro_port *base, struct pro_operation *operation)
{
	struct iocp_port *port = port_from(base);
	const struct iocp_class *class = classes[operation->opcode];
	DWORD os_error = 0;
	int error = 0;

	if (class->has_handle)
		error = pro__iocp_bind(port, operation, &os_error);
	if (error) {
		port->has_completed = true;
		pro__operation_complete(operation, error, (int)os_error, 0);
		return;
	}
	iocp_flight(operation)->step = 0;
	iocp_flight(operation)->tries = 0;
	class->start(port, operation);
}

static void iocp_cancel(struct pro_port *base, struct pro_operation *operation)
{
	struct iocp_port *port = port_from(base);
	struct iocp_flight *flight = iocp_flight(operation);

	if (operation->opcode == PRO_OP_RESOLVE) {
		pro__iocp_cancel_resolve(port, operation);
		return;
	}
	if (!flight->handle) {
		pro__iocp_pipe_cancel_connect(port, operation);
		return;
	}
	if (operation->opcode == PRO_OP_ACCEPT && flight->handle->kind == IOCP_PIPE) {
		pro__iocp_pipe_cancel_accepts(port, flight->handle, operation);
		return;
	}
	if (pro__list_contains(&flight->link)) {
		pro__list_remove(&flight->link);
		pro__iocp_complete_error(port, operation, PRO_ECANCELED);
		return;
	}
	if (flight->handle->kind == IOCP_BLOCKING) {
		pro__iocp_blocking_cancel(port, operation);
		return;
	}
	/* The close has cancelled it, and the value may be another handle's. */
	if (flight->handle->is_closing)
		return;
	/* Fails when the packet is queued already: the cancel has lost. */
	port->calls++;
	if (!port->win32.CancelIoEx(flight->handle->value, &flight->overlapped))
		pro__iocp_wine_cancel_again(port, flight);
}

/* ---- the port's life ---- */

uint64_t pro__iocp_now_ns(const struct iocp_port *port)
{
	ULONGLONG unbiased;
	LARGE_INTEGER now;
	uint64_t ticks;

	/* As the waits do, it stands still while the system sleeps; the performance counter does not.
	 */
	if (port->win32.QueryUnbiasedInterruptTimePrecise) {
		port->win32.QueryUnbiasedInterruptTimePrecise(&unbiased);
		return unbiased * 100;
	}
	QueryPerformanceCounter(&now);
	ticks = (uint64_t)now.QuadPart;
	return ticks / port->frequency * 1000000000 +
		   ticks % port->frequency * 1000000000 / port->frequency;
}

static uint64_t iocp_now_ns(struct pro_port *base)
{
	return pro__iocp_now_ns(port_from(base));
}

static int fail(DWORD os_error, const char *what, char *why, size_t why_size)
{
	snprintf(why, why_size, "%s: error %lu", what, (unsigned long)os_error);
	return pro__error_from_os((int)os_error);
}

/* The system lets go no packet while `concurrency` of the threads that took some run. The crew
 * counts for itself how many are in callbacks, so this keeps its leader asleep while there is no
 * slot for what it would take; a callback that blocks in the system lets it go. */
static DWORD create_ports(struct iocp_port *port, unsigned concurrency)
{
	port->elsewhere = port->win32.CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
	if (!port->elsewhere)
		return GetLastError();
	port->handle = port->win32.CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, concurrency);
	if (port->handle)
		return 0;
	DWORD error = GetLastError();
	port->win32.CloseHandle(port->elsewhere);
	return error;
}

static DWORD system_build(const struct pro__win32 *win32)
{
	RTL_OSVERSIONINFOW version = {.dwOSVersionInfoSize = sizeof(version)};

	return win32->RtlGetVersion && win32->RtlGetVersion(&version) >= 0 ? version.dwBuildNumber : 0;
}

/* Older systems have none that is finer than their tick, Wine none that sends packets. */
static void open_timer(struct iocp_port *port)
{
	const struct pro__win32 *win32 = &port->win32;

	if (!win32->NtCreateWaitCompletionPacket || !win32->NtAssociateWaitCompletionPacket ||
			!win32->NtCancelWaitCompletionPacket)
		return;
	port->timer = win32->CreateWaitableTimerExW(
			NULL, NULL, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, TIMER_ALL_ACCESS);
	if (!port->timer ||
			win32->NtCreateWaitCompletionPacket(&port->timer_packet, GENERIC_ALL, NULL) >= 0)
		return;
	win32->CloseHandle(port->timer);
	port->timer = NULL;
}

static int open_port(struct iocp_port *port, unsigned concurrency, char *why, size_t why_size)
{
	DWORD error = pro__windows_start_sockets();

	if (error)
		return fail(error, "WSAStartup", why, why_size);
	error = pro__win32_complete(&port->win32);
	if (error)
		return fail(error, "socket extensions", why, why_size);
	port->build = system_build(&port->win32);
	error = create_ports(port, concurrency);
	if (error)
		return fail(error, "CreateIoCompletionPort", why, why_size);
	open_timer(port);
	return 0;
}

static int iocp_create(struct pro_proactor *proactor, const struct pro_proactor_options *options,
		struct pro_port **result, struct pro_proactor_report *report, char *why, size_t why_size)
{
	struct iocp_port *port = pro__allocate(proactor, sizeof(*port));
	LARGE_INTEGER frequency;

	*result = NULL;
	if (!port) {
		snprintf(why, why_size, "out of memory");
		return PRO_ENOMEM;
	}
	memset(port, 0, sizeof(*port));
	port->proactor = proactor;
	port->win32 = *pro__win32_in_use;
	pro__list_init(&port->starving);
	pro__list_init(&port->pipe_accepts);
	pro__list_init(&port->blocked);
	InitializeSRWLock(&port->pipes_lock);
	port->is_wine = GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version");
	QueryPerformanceFrequency(&frequency);
	port->frequency = (uint64_t)frequency.QuadPart;
	int error = open_port(port, options->concurrency, why, why_size);
	if (error) {
		pro__deallocate(proactor, port);
		return error;
	}
	snprintf(report->features, sizeof(report->features), "batches skip-on-success%s",
			port->timer ? " fine-timer" : "");
	snprintf(report->missing, sizeof(report->missing), "%s", port->timer ? "" : "fine-timer");
	report->entries = 0;
	report->completion_entries = IOCP_BATCH;
	report->buffers_max = 16;
	*result = (struct pro_port *)(void *)port;
	return 0;
}

/* Wakes may be queued still; operations are not. */
static void iocp_destroy(struct pro_port *base)
{
	struct iocp_port *port = port_from(base);

	pro__iocp_handles_fini(port);
	pro__iocp_run_jobs(port);
	assert(port->jobs_running == 0);
	port->win32.CloseHandle(port->handle);
	port->win32.CloseHandle(port->elsewhere);
	if (port->timer) {
		port->win32.CloseHandle(port->timer_packet);
		port->win32.CloseHandle(port->timer);
	}
	pro__deallocate(port->proactor, port);
}

static int iocp_enter(struct pro_port *port)
{
	(void)port;
	return 0;
}

/* A thread counts as one of the port from which it took packets last, as long as it runs. One that
 * computes after it left the loop, or where it said that it blocks, would keep packets from others:
 * so it asks elsewhere. */
static void iocp_leave(struct pro_port *base)
{
	struct iocp_port *port = port_from(base);
	OVERLAPPED_ENTRY nothing;
	ULONG count;

	port->win32.GetQueuedCompletionStatusEx(port->elsewhere, &nothing, 1, &count, 0, FALSE);
}

static void iocp_lent_returned(struct pro_port *base, unsigned index)
{
	(void)index;
	port_from(base)->is_fed = true;
}

const struct pro_port_vtbl pro__iocp_port = {
		.name = "iocp",
		.create = iocp_create,
		.destroy = iocp_destroy,
		.enter = iocp_enter,
		.leave = iocp_leave,
		.submit = iocp_submit,
		.cancel = iocp_cancel,
		.close_handle = pro__iocp_close_handle,
		.wait = iocp_wait,
		.wake = iocp_wake,
		.now_ns = iocp_now_ns,
		.random = pro__windows_random,
		.lent_returned = iocp_lent_returned,
		.world = &pro__windows_world,
};
