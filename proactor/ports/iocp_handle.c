/* What handle values mean. The system gives a value anew as soon as it is closed, so packets are
 * never routed by value: an operation knows the structure and generation of the handle that it
 * first ran on. */
#include "iocp.h"

#include <assert.h>
#include <string.h>

#include "windows_error.h"

#define BUCKETS_FIRST     64
#define HANDLES_PER_CHUNK 64

/* Words of the system that its user headers lack. */
#define FILE_MODE_INFORMATION 16
#define FILE_SYNCHRONOUS      0x30 /* FILE_SYNCHRONOUS_IO_ALERT or …_NONALERT */

struct iocp_handle_chunk {
	struct iocp_handle_chunk *next;
	struct iocp_handle handles[HANDLES_PER_CHUNK];
};

HANDLE pro__iocp_handle_value(pro_handle handle)
{
	static const DWORD standard[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};

	/* The system's own values are multiples of four and never 0. */
	if (handle >= 0 && handle <= 2)
		return GetStdHandle(standard[handle]);
	return (HANDLE)handle;
}

/* ---- the table ---- */

static size_t bucket_of(const struct iocp_handle_table *table, HANDLE value)
{
	/* Multiples of four: the golden ratio spreads them, whose high bits are the best. */
	uint64_t mixed = ((uint64_t)(uintptr_t)value >> 2) * UINT64_C(0x9E3779B97F4A7C15);

	return (size_t)(mixed >> 32) & (table->bucket_count - 1);
}

static void table_link(struct iocp_handle_table *table, struct iocp_handle *handle)
{
	size_t bucket = bucket_of(table, handle->value);

	handle->next = table->buckets[bucket];
	table->buckets[bucket] = handle;
}

/* Makes room for one more. A table that can not grow any more works on, slower. */
static bool table_grow(struct iocp_port *port)
{
	struct iocp_handle_table *table = &port->table;
	struct iocp_handle **old = table->buckets;
	size_t old_count = table->bucket_count;
	size_t count = old_count ? old_count * 2 : BUCKETS_FIRST;
	struct iocp_handle **buckets;

	if (table->used_count < old_count)
		return true;
	buckets = pro__allocate(port->proactor, count * sizeof(*buckets));
	if (!buckets)
		return old_count > 0;
	memset(buckets, 0, count * sizeof(*buckets));
	table->buckets = buckets;
	table->bucket_count = count;
	for (size_t i = 0; i < old_count; i++) {
		while (old[i]) {
			struct iocp_handle *handle = old[i];

			old[i] = handle->next;
			table_link(table, handle);
		}
	}
	pro__deallocate(port->proactor, old);
	return true;
}

static bool table_add_chunk(struct iocp_port *port)
{
	struct iocp_handle_table *table = &port->table;
	struct iocp_handle_chunk *chunk = pro__allocate(port->proactor, sizeof(*chunk));

	if (!chunk)
		return false;
	memset(chunk, 0, sizeof(*chunk));
	chunk->next = table->chunks;
	table->chunks = chunk;
	for (size_t i = 0; i < HANDLES_PER_CHUNK; i++) {
		chunk->handles[i].next = table->free;
		table->free = &chunk->handles[i];
	}
	return true;
}

static struct iocp_handle *table_add(struct iocp_port *port, HANDLE value)
{
	struct iocp_handle_table *table = &port->table;
	struct iocp_handle *handle;

	if (!table_grow(port) || (!table->free && !table_add_chunk(port)))
		return NULL;
	handle = table->free;
	table->free = handle->next;
	memset(handle, 0, sizeof(*handle));
	handle->value = value;
	handle->generation = ++table->generation;
	table->used_count++;
	table_link(table, handle);
	return handle;
}

struct iocp_handle *pro__iocp_handle_find(const struct iocp_port *port, HANDLE value)
{
	const struct iocp_handle_table *table = &port->table;
	struct iocp_handle *handle;

	if (table->bucket_count == 0)
		return NULL;
	handle = table->buckets[bucket_of(table, value)];
	while (handle && handle->value != value)
		handle = handle->next;
	return handle;
}

void pro__iocp_handle_forget(struct iocp_port *port, struct iocp_handle *handle)
{
	struct iocp_handle **link = &port->table.buckets[bucket_of(&port->table, handle->value)];

	while (*link != handle)
		link = &(*link)->next;
	*link = handle->next;
	handle->next = NULL;
	handle->generation = ++port->table.generation;
	port->table.used_count--;
}

void pro__iocp_handle_free(struct iocp_port *port, struct iocp_handle *handle)
{
	assert(handle->outstanding == 0);
	handle->generation = 0;
	handle->is_closing = false;
	handle->next = port->table.free;
	port->table.free = handle;
}

void pro__iocp_handles_fini(struct iocp_port *port)
{
	struct iocp_handle_table *table = &port->table;

	while (table->chunks) {
		struct iocp_handle_chunk *chunk = table->chunks;

		table->chunks = chunk->next;
		for (size_t i = 0; i < HANDLES_PER_CHUNK; i++)
			pro__iocp_blocking_fini(port, &chunk->handles[i]);
		pro__deallocate(port->proactor, chunk);
	}
	pro__deallocate(port->proactor, table->buckets);
}

/* ---- what a value is ---- */

/* Fills in what a socket is; false when the value is none. */
static bool look_at_socket(struct iocp_port *port, struct iocp_handle *handle, bool *is_plain)
{
	WSAPROTOCOL_INFOW info;
	int length = sizeof(info);

	port->calls++;
	if (port->win32.getsockopt((SOCKET)handle->value, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&info,
				&length) == SOCKET_ERROR)
		return false;
	handle->kind = info.iSocketType == SOCK_DGRAM ? IOCP_DGRAM : IOCP_STREAM;
	handle->family = info.iAddressFamily;
	handle->protocol = info.iProtocol;
	*is_plain = info.dwServiceFlags1 & XP1_IFS_HANDLES;
	return true;
}

static bool look_at_file(struct iocp_port *port, struct iocp_handle *handle)
{
	port->calls++;
	switch (port->win32.GetFileType(handle->value)) {
	case FILE_TYPE_DISK:
		handle->kind = IOCP_FILE;
		return true;
	case FILE_TYPE_PIPE:
		handle->kind = IOCP_PIPE;
		return true;
	case FILE_TYPE_CHAR:
		handle->kind = IOCP_OTHER;
		return true;
	default:
		return GetLastError() == NO_ERROR;
	}
}

/* Success at once then needs no packet: for TCP on the system's own provider, the case for which
 * the system gets it right. Otherwise, and where it fails, there is a packet. */
static void skip_packets(struct iocp_port *port, struct iocp_handle *handle, bool is_plain)
{
	if (!is_plain || handle->kind != IOCP_STREAM || handle->protocol != IPPROTO_TCP)
		return;
	port->calls++;
	handle->skips_success = port->win32.SetFileCompletionNotificationModes(
			handle->value, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE);
}

/* An unreachable port, told by the peer, is nothing that a datagram socket should hear of. Failure
 * is tolerated: receives skip the error too. */
static void ignore_unreachable(struct iocp_port *port, struct iocp_handle *handle)
{
	BOOL reports = FALSE;
	DWORD done;

	port->calls++;
	port->win32.WSAIoctl((SOCKET)handle->value, SIO_UDP_CONNRESET, &reports, sizeof(reports), NULL,
			0, &done, NULL, NULL);
}

/* Whether it was opened so that calls on it can only be waited for. What can not be associated
 * though it was not belongs to another completion port, another proactor's for one. */
static bool is_synchronous(struct iocp_port *port, const struct iocp_handle *handle)
{
	ULONG_PTR status[2];
	ULONG mode;

	port->calls++;
	if (!port->win32.NtQueryInformationFile ||
			port->win32.NtQueryInformationFile(
					handle->value, status, &mode, sizeof(mode), FILE_MODE_INFORMATION) < 0)
		return true;
	return mode & FILE_SYNCHRONOUS;
}

/* Looks at what the value is, and makes it ready for overlapped calls if it is to have them. */
static DWORD handle_open(struct iocp_port *port, struct iocp_handle *handle, bool associates)
{
	bool is_plain = false;
	DWORD error = 0;

	if (!look_at_socket(port, handle, &is_plain) && !look_at_file(port, handle))
		return ERROR_INVALID_HANDLE;
	if (!associates)
		return 0;
	if (!handle->is_associated)
		error = pro__iocp_associate(port, handle);
	if (error == ERROR_INVALID_PARAMETER && handle->kind != IOCP_STREAM &&
			handle->kind != IOCP_DGRAM && is_synchronous(port, handle)) {
		handle->kind = IOCP_BLOCKING;
		return 0;
	}
	if (error)
		return error;
	skip_packets(port, handle, is_plain);
	if (handle->kind == IOCP_DGRAM)
		ignore_unreachable(port, handle);
	return 0;
}

/* Somebody may have closed the value without us, and it may mean something else by now: then it can
 * be associated again, and what was known is forgotten. */
static DWORD handle_check(struct iocp_port *port, struct iocp_handle *handle, bool associates)
{
	bool is_new = handle->is_associated && handle->outstanding == 0 &&
				  pro__iocp_associate(port, handle) == 0;

	if (is_new) {
		handle->generation = ++port->table.generation;
		handle->skips_success = false;
		handle->position = 0;
	}
	if (!is_new && (!associates || handle->is_associated || handle->kind == IOCP_BLOCKING))
		return 0;
	return handle_open(port, handle, associates || is_new);
}

int pro__iocp_handle_get(struct iocp_port *port, HANDLE value, bool associates,
		struct iocp_handle **result, DWORD *os_error)
{
	struct iocp_handle *handle = pro__iocp_handle_find(port, value);

	*result = NULL;
	if (handle) {
		*os_error = handle_check(port, handle, associates);
	} else {
		*os_error = 0;
		handle = table_add(port, value);
		if (!handle)
			return PRO_ENOMEM;
		*os_error = handle_open(port, handle, associates);
	}
	if (*os_error) {
		if (handle->outstanding == 0) {
			pro__iocp_handle_forget(port, handle);
			pro__iocp_handle_free(port, handle);
		}
		return pro__error_from_os((int)*os_error);
	}
	*result = handle;
	return 0;
}

int pro__iocp_bind(struct iocp_port *port, struct pro_operation *operation, DWORD *os_error)
{
	struct iocp_flight *flight = iocp_flight(operation);
	int error;

	if (flight->handle)
		return flight->handle->generation == flight->generation ? 0 : PRO_EBADF;
	error = pro__iocp_handle_get(
			port, pro__iocp_handle_value(operation->handle), true, &flight->handle, os_error);
	if (!error)
		flight->generation = flight->handle->generation;
	return error;
}

struct iocp_handle *pro__iocp_handle_add(
		struct iocp_port *port, HANDLE value, enum iocp_kind kind, DWORD *os_error)
{
	struct iocp_handle *stale = pro__iocp_handle_find(port, value);
	struct iocp_handle *handle;
	bool is_plain = false;

	*os_error = ERROR_NOT_ENOUGH_MEMORY;
	if (stale) {
		pro__iocp_handle_forget(port, stale);
		if (stale->outstanding == 0)
			pro__iocp_handle_free(port, stale);
	}
	handle = table_add(port, value);
	if (!handle)
		return NULL;
	handle->kind = (uint8_t)kind;
	*os_error = kind == IOCP_STREAM && !look_at_socket(port, handle, &is_plain)
						? GetLastError()
						: pro__iocp_associate(port, handle);
	if (*os_error) {
		pro__iocp_handle_forget(port, handle);
		pro__iocp_handle_free(port, handle);
		return NULL;
	}
	skip_packets(port, handle, is_plain);
	return handle;
}

/* ---- closing ---- */

void pro__iocp_close_value(struct iocp_port *port, HANDLE value)
{
	/* A socket must not be closed as a file is, which leaves its provider behind. */
	port->calls++;
	if (port->win32.closesocket((SOCKET)value) == SOCKET_ERROR)
		port->win32.CloseHandle(value);
}

static void tell_closed(struct pro_close_request *request)
{
	if (request && request->closed)
		request->closed(request);
}

void pro__iocp_handle_check_closed(struct iocp_port *port, struct iocp_handle *handle)
{
	struct pro_close_request *request = handle->close_request;

	if (!handle->is_closing || handle->outstanding > 0)
		return;
	handle->close_request = NULL;
	if (handle->kind == IOCP_BLOCKING)
		pro__iocp_close_value(port, handle->value);
	else if (handle->closes_late)
		pro__iocp_wine_close(port, handle);
	pro__iocp_handle_free(port, handle);
	port->has_completed = true;
	tell_closed(request);
}

/* Borrowed reads that wait for a block have no packet to come. */
static void end_starving(struct iocp_port *port, const struct iocp_handle *handle)
{
	struct pro_list_node *node;
	struct pro_list_node *next;

	for (node = port->starving.next; node != &port->starving; node = next) {
		struct iocp_flight *flight = pro_container_of(node, struct iocp_flight, link);

		next = node->next;
		if (flight->handle != handle)
			continue;
		pro__list_remove(node);
		pro__iocp_complete_error(port, iocp_operation_of_flight(flight), PRO_ECANCELED);
	}
}

void pro__iocp_close_handle(struct pro_port *base, struct pro_close_request *request)
{
	struct iocp_port *port = (struct iocp_port *)(void *)base;
	HANDLE value = pro__iocp_handle_value(request->handle);
	struct iocp_handle *handle = pro__iocp_handle_find(port, value);

	pro__iocp_pipe_forget(port, value);
	if (!handle) {
		pro__iocp_close_value(port, value);
		tell_closed(request);
		return;
	}
	/* First the flag, so that whatever the next calls end is known to be ours. */
	handle->is_closing = true;
	handle->close_request = request;
	pro__iocp_handle_forget(port, handle);
	handle->outstanding++;
	end_starving(port, handle);
	pro__iocp_pipe_cancel_accepts(port, handle, NULL);
	if (handle->kind == IOCP_BLOCKING) {
		pro__iocp_blocking_close(port, handle);
	} else {
		if (handle->outstanding > 1)
			port->win32.CancelIoEx(value, NULL);
		if (handle->outstanding == 1 || !pro__iocp_wine_close_late(port, handle))
			pro__iocp_close_value(port, value);
	}
	handle->outstanding--;
	pro__iocp_handle_check_closed(port, handle);
}
