/* The fake Windows: see fake_win32.h. */
#include "fake_win32.h"

#include <check.h>
#include <mstcpip.h>
#include <stdio.h>
#include <string.h>

struct fake fake;

static void trace(const char *word)
{
	size_t used = strlen(fake.trace);

	snprintf(fake.trace + used, sizeof(fake.trace) - used, "%s ", word);
}

/* Whether the next call is to fail, which it does once. */
static bool take_error(DWORD *error)
{
	if (!*error)
		return false;
	SetLastError(*error);
	*error = 0;
	return true;
}

/* ---- handles ---- */

static bool is_socket(const struct fake_handle *handle)
{
	return handle && (handle->kind == FAKE_TCP || handle->kind == FAKE_UDP);
}

struct fake_handle *fake_find(HANDLE value)
{
	for (unsigned i = fake.handle_count; i-- > 0;)
		if (fake.handles[i].value == value && fake.handles[i].is_open)
			return &fake.handles[i];
	return NULL;
}

HANDLE fake_open(enum fake_kind kind, uintptr_t value)
{
	struct fake_handle *handle = &fake.handles[fake.handle_count++];

	ck_assert_uint_lt(fake.handle_count, FAKE_HANDLES_MAX);
	if (!value)
		value = fake.last_value += 4;
	*handle = (struct fake_handle){.value = (HANDLE)value, .kind = kind, .is_open = true};
	return handle->value;
}

static HANDLE WINAPI fake_create_port(HANDLE value, HANDLE port, ULONG_PTR key, DWORD concurrency)
{
	struct fake_handle *handle;

	if (value == INVALID_HANDLE_VALUE && fake.port_error) {
		SetLastError(fake.port_error);
		return NULL;
	}
	if (value == INVALID_HANDLE_VALUE) {
		fake.concurrency = concurrency;
		fake.port = (HANDLE)((uintptr_t)fake.port + 0xF000);
		return fake.port;
	}
	if (take_error(&fake.associate_error))
		return NULL;
	handle = fake_find(value);
	if (!handle || handle->is_associated || handle->kind == FAKE_SYNCHRONOUS_FILE ||
			handle->kind == FAKE_CONSOLE) {
		SetLastError(ERROR_INVALID_PARAMETER);
		return NULL;
	}
	handle->is_associated = true;
	handle->key = key;
	fake.associations++;
	return port;
}

static BOOL WINAPI fake_set_modes(HANDLE value, UCHAR modes)
{
	if (!fake.skip_works) {
		SetLastError(ERROR_INVALID_FUNCTION);
		return FALSE;
	}
	/* For others the system does not get it right. */
	ck_assert_int_eq(fake_find(value)->kind, FAKE_TCP);
	fake_find(value)->skips_success = modes & FILE_SKIP_COMPLETION_PORT_ON_SUCCESS;
	return TRUE;
}

/* ---- packets ---- */

static void push_packet(ULONG_PTR key, OVERLAPPED *overlapped, DWORD bytes)
{
	ck_assert_uint_lt(fake.packet_count, FAKE_PACKETS_MAX);
	fake.packets[fake.packet_count++] = (OVERLAPPED_ENTRY){.lpCompletionKey = key,
			.lpOverlapped = overlapped,
			.dwNumberOfBytesTransferred = bytes};
}

static OVERLAPPED_ENTRY pop_packet(void)
{
	OVERLAPPED_ENTRY packet = fake.packets[fake.reverses ? fake.packet_count - 1 : 0];

	fake.packet_count--;
	if (!fake.reverses)
		memmove(fake.packets, fake.packets + 1, fake.packet_count * sizeof(packet));
	return packet;
}

static BOOL WINAPI fake_get_packets(HANDLE port, OVERLAPPED_ENTRY *entries, ULONG count,
		ULONG *removed, DWORD timeout_ms, BOOL is_alertable)
{
	*removed = 0;
	if (port != fake.port) {
		fake.leaves++;
		SetLastError(WAIT_TIMEOUT);
		return FALSE;
	}
	ck_assert(!is_alertable);
	if (timeout_ms != 0)
		fake.last_timeout_ms = timeout_ms;
	while (fake.packet_count > 0 && *removed < count)
		entries[(*removed)++] = pop_packet();
	if (*removed > 0)
		return TRUE;
	/* Outputs are not to be looked at then. */
	memset(entries, 0xA5, sizeof(*entries));
	*removed = 77;
	SetLastError(fake.wait_error ? fake.wait_error : WAIT_TIMEOUT);
	return FALSE;
}

static BOOL WINAPI fake_post(HANDLE port, DWORD bytes, ULONG_PTR key, OVERLAPPED *overlapped)
{
	(void)port;
	if (fake.post_failures > 0) {
		fake.post_failures--;
		SetLastError(ERROR_NO_SYSTEM_RESOURCES);
		return FALSE;
	}
	push_packet(key, overlapped, bytes);
	return TRUE;
}

void fake_finish(struct fake_record *record, DWORD status, DWORD bytes)
{
	const struct fake_handle *handle = NULL;

	ck_assert(record->is_pending);
	record->is_pending = false;
	/* Of the handle as it was, open or closed by now. */
	for (unsigned i = 0; i < fake.handle_count && !handle; i++)
		if (fake.handles[i].value == record->handle && fake.handles[i].is_associated)
			handle = &fake.handles[i];
	ck_assert_ptr_nonnull(handle);
	record->overlapped->Internal = status;
	record->overlapped->InternalHigh = bytes;
	push_packet(handle->key, record->overlapped, bytes);
}

static void finish_all(HANDLE value, const OVERLAPPED *only, DWORD status)
{
	for (unsigned i = 0; i < fake.record_count; i++) {
		struct fake_record *record = &fake.records[i];

		if (record->is_pending && record->handle == value && (!only || record->overlapped == only))
			fake_finish(record, status, 0);
	}
}

static BOOL WINAPI fake_cancel(HANDLE value, OVERLAPPED *overlapped)
{
	trace(overlapped ? "cancel-one" : "cancel");
	ck_assert_ptr_nonnull(fake_find(value));
	if (fake.cancel_misses > 0) {
		fake.cancel_misses--;
		overlapped->Internal = STATUS_PENDING;
		SetLastError(ERROR_NOT_FOUND);
		return FALSE;
	}
	if (fake.cancel_status)
		finish_all(value, overlapped, fake.cancel_status);
	return TRUE;
}

/* ---- closing ---- */

static BOOL close_handle(HANDLE value)
{
	struct fake_handle *handle = fake_find(value);

	if (!handle)
		return FALSE;
	if (fake.close_status)
		finish_all(value, NULL, fake.close_status);
	handle->is_open = false;
	return TRUE;
}

static int WINAPI fake_closesocket(SOCKET socket)
{
	if (!is_socket(fake_find((HANDLE)socket))) {
		SetLastError(WSAENOTSOCK);
		return SOCKET_ERROR;
	}
	trace("closesocket");
	return close_handle((HANDLE)socket) ? 0 : SOCKET_ERROR;
}

static BOOL WINAPI fake_close_handle(HANDLE value)
{
	/* As a file, a socket would leave its provider behind. */
	ck_assert(!is_socket(fake_find(value)));
	trace(value == fake.port ? "close-port" : "CloseHandle");
	close_handle(value);
	return TRUE;
}

/* ---- what handles are ---- */

static DWORD WINAPI fake_file_type(HANDLE value)
{
	const struct fake_handle *handle = fake_find(value);

	return handle && handle->kind == FAKE_PIPE ? FILE_TYPE_PIPE : FILE_TYPE_DISK;
}

static BOOL WINAPI fake_file_size(HANDLE value, LARGE_INTEGER *size)
{
	(void)value;
	if (take_error(&fake.size_error))
		return FALSE;
	size->QuadPart = (LONGLONG)fake.file_size;
	return TRUE;
}

static int WINAPI fake_getsockopt(SOCKET socket, int level, int name, char *value, int *length)
{
	const struct fake_handle *handle = fake_find((HANDLE)socket);
	WSAPROTOCOL_INFOW info = {.iAddressFamily = AF_INET};

	(void)level;
	if (!is_socket(handle)) {
		SetLastError(WSAENOTSOCK);
		return SOCKET_ERROR;
	}
	ck_assert_int_eq(name, SO_PROTOCOL_INFOW);
	ck_assert_int_eq(*length, (int)sizeof(info));
	info.dwServiceFlags1 = fake.is_layered ? 0 : XP1_IFS_HANDLES;
	info.iSocketType = handle->kind == FAKE_UDP ? SOCK_DGRAM : SOCK_STREAM;
	info.iProtocol = handle->kind == FAKE_UDP ? IPPROTO_UDP : IPPROTO_TCP;
	memcpy(value, &info, sizeof(info));
	return 0;
}

static int WINAPI fake_setsockopt(SOCKET socket, int level, int name, const char *value, int length)
{
	(void)value;
	(void)length;
	if (level == IPPROTO_IPV6) {
		ck_assert_int_eq(name, IPV6_V6ONLY);
		trace("dual-stack");
		return 0;
	}
	ck_assert(name == SO_UPDATE_ACCEPT_CONTEXT || name == SO_UPDATE_CONNECT_CONTEXT);
	trace("update");
	if (take_error(&fake.update_error))
		return SOCKET_ERROR;
	fake_find((HANDLE)socket)->has_context = true;
	return 0;
}

static SOCKET WINAPI fake_socket(
		int family, int type, int protocol, WSAPROTOCOL_INFOW *info, GROUP group, DWORD flags)
{
	HANDLE value;

	(void)family;
	(void)protocol;
	(void)info;
	(void)group;
	ck_assert(flags & WSA_FLAG_OVERLAPPED);
	ck_assert(flags & WSA_FLAG_NO_HANDLE_INHERIT);
	if (take_error(&fake.socket_error))
		return INVALID_SOCKET;
	value = fake_open(type == SOCK_DGRAM ? FAKE_UDP : FAKE_TCP, 0);
	fake_find(value)->needs_context = true;
	return (SOCKET)value;
}

static int WINAPI fake_bind(SOCKET socket, const struct sockaddr *address, int length)
{
	(void)socket;
	(void)length;
	(void)address;
	trace("bind");
	return take_error(&fake.bind_error) ? SOCKET_ERROR : 0;
}

static int WINAPI fake_ioctl(SOCKET socket, DWORD code, void *in, DWORD in_size, void *out,
		DWORD out_size, DWORD *done, OVERLAPPED *overlapped,
		LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
	(void)socket;
	(void)in;
	(void)out;
	(void)out_size;
	(void)done;
	(void)overlapped;
	(void)routine;
	if (code == SIO_TCP_INITIAL_RTO) {
		ck_assert_uint_eq(in_size, sizeof(TCP_INITIAL_RTO_PARAMETERS));
		trace("refuse-at-once");
		return 0;
	}
	/* Around the send of nothing that only Wine needs. */
	if (code == FIONBIO)
		return 0;
	ck_assert_uint_eq(code, SIO_UDP_CONNRESET);
	trace("connreset-off");
	/* Older systems do not know it. */
	SetLastError(WSAEINVAL);
	return SOCKET_ERROR;
}

/* ---- the overlapped calls ---- */

void fake_answer_warning(enum fake_call call, DWORD error, DWORD status, DWORD bytes)
{
	ck_assert_uint_lt(fake.script_count[call], FAKE_SCRIPT_MAX);
	fake.script[call][fake.script_count[call]++] =
			(struct fake_answer){.error = error, .bytes = bytes, .status = status};
}

void fake_answer(enum fake_call call, DWORD error, DWORD bytes)
{
	fake_answer_warning(call, error, 0, bytes);
}

struct fake_record *fake_last(enum fake_call call, unsigned back)
{
	for (unsigned i = fake.record_count; i-- > 0;)
		if (fake.records[i].call == call && back-- == 0)
			return &fake.records[i];
	ck_abort_msg("no such call");
	return NULL;
}

static struct fake_record *record_call(
		enum fake_call call, HANDLE value, OVERLAPPED *overlapped, DWORD asked)
{
	struct fake_record *record = &fake.records[fake.record_count++];

	ck_assert_uint_lt(fake.record_count, FAKE_RECORDS_MAX);
	fake.count[call]++;
	/* Nothing of an earlier use, and no event, which would be all that a thread's end leaves. */
	ck_assert_uint_eq(overlapped->Internal, 0);
	ck_assert_uint_eq(overlapped->InternalHigh, 0);
	ck_assert_ptr_null(overlapped->hEvent);
	*record = (struct fake_record){
			.call = call, .handle = value, .overlapped = overlapped, .asked = asked};
	record->offset = (uint64_t)overlapped->OffsetHigh << 32 | overlapped->Offset;
	return record;
}

/* How the call ends: 0 or an error, as the script says. */
static DWORD answer(struct fake_record *record, DWORD *done)
{
	struct fake_handle *handle = fake_find(record->handle);
	enum fake_call call = record->call;
	struct fake_answer answer = {.error = ERROR_IO_PENDING};

	ck_assert_ptr_nonnull(handle);
	ck_assert(handle->is_associated);
	if (handle->needs_context && !handle->has_context && call != FAKE_CONNECT)
		return WSAENOTCONN;
	if (fake.script_next[call] < fake.script_count[call])
		answer = fake.script[call][fake.script_next[call]++];
	record->is_pending = answer.error == ERROR_IO_PENDING || answer.status ||
						 (answer.error == 0 && !handle->skips_success);
	if (answer.error == 0) {
		if (done)
			*done = answer.bytes;
		record->overlapped->InternalHigh = answer.bytes;
	}
	/* A warning and success without the skip bring a packet as well. */
	if (record->is_pending && answer.error != ERROR_IO_PENDING)
		fake_finish(record, answer.status, answer.bytes);
	return answer.error;
}

static int socket_result(DWORD error)
{
	SetLastError(error);
	return error ? SOCKET_ERROR : 0;
}

static BOOL file_result(DWORD error)
{
	SetLastError(error);
	return error == 0;
}

static DWORD total_of(const WSABUF *buffers, DWORD count)
{
	DWORD total = 0;

	for (DWORD i = 0; i < count; i++)
		total += buffers[i].len;
	return total;
}

static int WINAPI fake_recv(SOCKET socket, WSABUF *buffers, DWORD count, DWORD *done, DWORD *flags,
		OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
	struct fake_record *record =
			record_call(FAKE_RECV, (HANDLE)socket, overlapped, total_of(buffers, count));

	(void)flags;
	(void)routine;
	record->buffers = count;
	return socket_result(answer(record, done));
}

static int WINAPI fake_send(SOCKET socket, WSABUF *buffers, DWORD count, DWORD *done, DWORD flags,
		OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
	struct fake_record *record;

	(void)flags;
	(void)routine;
	/* The question that is asked under Wine only. */
	if (!overlapped)
		return 0;
	record = record_call(FAKE_SEND, (HANDLE)socket, overlapped, total_of(buffers, count));
	record->buffers = count;
	return socket_result(answer(record, done));
}

static int WINAPI fake_recv_from(SOCKET socket, WSABUF *buffers, DWORD count, DWORD *done,
		DWORD *flags, struct sockaddr *from, int *from_length, OVERLAPPED *overlapped,
		LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
	struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(7)};

	(void)flags;
	(void)routine;
	ck_assert_int_ge(*from_length, (int)sizeof(peer));
	memcpy(from, &peer, sizeof(peer));
	*from_length = sizeof(peer);
	return socket_result(answer(
			record_call(FAKE_RECV_FROM, (HANDLE)socket, overlapped, total_of(buffers, count)),
			done));
}

static void note_destination(const struct sockaddr *to, int to_length)
{
	memset(&fake.destination, 0, sizeof(fake.destination));
	ck_assert_int_le(to_length, (int)sizeof(fake.destination));
	memcpy(&fake.destination, to, (size_t)to_length);
}

const unsigned char *fake_destination(size_t offset)
{
	return (const unsigned char *)&fake.destination + offset;
}

static int WINAPI fake_send_to(SOCKET socket, WSABUF *buffers, DWORD count, DWORD *done,
		DWORD flags, const struct sockaddr *to, int to_length, OVERLAPPED *overlapped,
		LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
	(void)flags;
	(void)routine;
	note_destination(to, to_length);
	return socket_result(answer(
			record_call(FAKE_SEND_TO, (HANDLE)socket, overlapped, total_of(buffers, count)), done));
}

static BOOL WINAPI fake_read_file(
		HANDLE file, void *bytes, DWORD length, DWORD *done, OVERLAPPED *overlapped)
{
	(void)bytes;
	return file_result(answer(record_call(FAKE_READ_FILE, file, overlapped, length), done));
}

static BOOL WINAPI fake_write_file(
		HANDLE file, const void *bytes, DWORD length, DWORD *done, OVERLAPPED *overlapped)
{
	(void)bytes;
	return file_result(answer(record_call(FAKE_WRITE_FILE, file, overlapped, length), done));
}

static BOOL PASCAL fake_accept(SOCKET listener, SOCKET socket, void *space, DWORD bytes,
		DWORD local_room, DWORD remote_room, DWORD *done, OVERLAPPED *overlapped)
{
	struct fake_record *record = record_call(FAKE_ACCEPT, (HANDLE)listener, overlapped, bytes);

	(void)space;
	record->socket = socket;
	/* With room for bytes it would wait for them, and a silent client would hold it up. */
	ck_assert_uint_eq(bytes, 0);
	ck_assert_uint_ge(local_room, sizeof(struct sockaddr_in6) + 16);
	ck_assert_uint_ge(remote_room, sizeof(struct sockaddr_in6) + 16);
	return file_result(answer(record, done));
}

static BOOL PASCAL fake_connect(SOCKET socket, const struct sockaddr *to, int to_length,
		void *bytes, DWORD length, DWORD *done, OVERLAPPED *overlapped)
{
	(void)bytes;
	note_destination(to, to_length);
	trace("connect");
	return file_result(answer(record_call(FAKE_CONNECT, (HANDLE)socket, overlapped, length), done));
}

static void PASCAL fake_addresses(void *space, DWORD bytes, DWORD local_room, DWORD remote_room,
		struct sockaddr **local, int *local_length, struct sockaddr **remote, int *remote_length)
{
	static struct sockaddr_in addresses[2];

	(void)space;
	(void)bytes;
	(void)local_room;
	(void)remote_room;
	for (int i = 0; i < 2; i++) {
		addresses[i].sin_family = AF_INET;
		addresses[i].sin_port = htons((u_short)(1000 + i));
	}
	/* Behind the end of a path the system leaves what was there. */
	if (fake.is_local) {
		static unsigned char name[110] = "\0\0/x\0rubbish";

		name[0] = AF_UNIX;
		*local = *remote = (struct sockaddr *)(void *)name;
		*local_length = *remote_length = sizeof(name);
		return;
	}
	*local = (struct sockaddr *)(void *)&addresses[0];
	*remote = (struct sockaddr *)(void *)&addresses[1];
	*local_length = *remote_length = sizeof(addresses[0]);
}

static BOOL PASCAL fake_transmit(SOCKET socket, HANDLE file, DWORD bytes, DWORD piece,
		OVERLAPPED *overlapped, TRANSMIT_FILE_BUFFERS *around, DWORD flags)
{
	struct fake_record *record = record_call(FAKE_TRANSMIT, (HANDLE)socket, overlapped, bytes);
	uint64_t total = bytes;

	(void)piece;
	(void)flags;
	record->file = file;
	record->head = around ? around->HeadLength : 0;
	record->tail = around ? around->TailLength : 0;
	total += record->head;
	total += record->tail;
	/* No bytes would mean all of them; so many are refused. */
	if (bytes == 0 || total > 0x7FFFFFFE)
		return file_result(WSAEINVAL);
	return file_result(answer(record, NULL));
}

static BOOL WINAPI fake_result(HANDLE value, OVERLAPPED *overlapped, DWORD *bytes, BOOL waits)
{
	(void)value;
	(void)waits;
	*bytes = (DWORD)overlapped->InternalHigh;
	/* The system's general rule, for what the port's own table does not have. */
	if (overlapped->Internal == FAKE_STATUS_NETNAME_DELETED)
		SetLastError(ERROR_NETNAME_DELETED);
	else
		SetLastError(overlapped->Internal == FAKE_STATUS_PIPE_CLOSING ? ERROR_NO_DATA
																	  : ERROR_MR_MID_NOT_FOUND);
	return overlapped->Internal == 0;
}

/* ---- pipes ---- */

static HANDLE WINAPI fake_create_pipe(const WCHAR *name, DWORD open_mode, DWORD pipe_mode,
		DWORD instances, DWORD out_bytes, DWORD in_bytes, DWORD timeout_ms,
		SECURITY_ATTRIBUTES *attributes)
{
	(void)instances;
	(void)out_bytes;
	(void)in_bytes;
	(void)timeout_ms;
	(void)attributes;
	ck_assert(wcscmp(name, L"\\\\.\\pipe\\fake") == 0);
	fake.pipe_mode = open_mode;
	ck_assert(open_mode & FILE_FLAG_OVERLAPPED);
	ck_assert(pipe_mode & PIPE_REJECT_REMOTE_CLIENTS);
	return take_error(&fake.pipe_error) ? INVALID_HANDLE_VALUE : fake_open(FAKE_PIPE, 0);
}

static HANDLE WINAPI fake_create_file(const WCHAR *name, DWORD access, DWORD share,
		SECURITY_ATTRIBUTES *attributes, DWORD disposition, DWORD flags, HANDLE model)
{
	(void)name;
	(void)access;
	(void)share;
	(void)attributes;
	(void)disposition;
	(void)model;
	ck_assert(flags & FILE_FLAG_OVERLAPPED);
	return take_error(&fake.open_error) ? INVALID_HANDLE_VALUE : fake_open(FAKE_PIPE, 0);
}

static BOOL WINAPI fake_connect_pipe(HANDLE pipe, OVERLAPPED *overlapped)
{
	return file_result(answer(record_call(FAKE_CONNECT_PIPE, pipe, overlapped, 0), NULL));
}

static BOOL WINAPI fake_disconnect_pipe(HANDLE pipe)
{
	ck_assert_ptr_nonnull(fake_find(pipe));
	trace("disconnect");
	return TRUE;
}

static BOOL WINAPI fake_wait_pipe(const WCHAR *name, DWORD timeout_ms)
{
	(void)name;
	(void)timeout_ms;
	return TRUE;
}

/* ---- the console ---- */

static BOOL WINAPI fake_console_mode(HANDLE console, DWORD *mode)
{
	const struct fake_handle *handle = fake_find(console);

	*mode = 0;
	return handle && handle->kind == FAKE_CONSOLE;
}

static BOOL WINAPI fake_read_console(
		HANDLE console, void *units, DWORD count, DWORD *done, void *control)
{
	const WCHAR *line = fake.typed[fake.lines_read++];

	(void)console;
	(void)control;
	*done = line ? (DWORD)wcslen(line) : 0;
	ck_assert_uint_le(*done, count);
	if (*done)
		memcpy(units, line, *done * sizeof(WCHAR));
	/* An interrupt is a success without anything. */
	if (line && !*done)
		SetLastError(ERROR_OPERATION_ABORTED);
	return TRUE;
}

static BOOL WINAPI fake_write_console(
		HANDLE console, const void *units, DWORD count, DWORD *done, void *reserved)
{
	(void)console;
	(void)reserved;
	ck_assert_uint_le(fake.shown_count + count, sizeof(fake.shown) / sizeof(WCHAR));
	memcpy(fake.shown + fake.shown_count, units, count * sizeof(WCHAR));
	fake.shown_count += count;
	*done = count;
	return TRUE;
}

/* ---- timers ---- */

static HANDLE WINAPI fake_create_timer(
		SECURITY_ATTRIBUTES *attributes, const WCHAR *name, DWORD flags, DWORD access)
{
	(void)attributes;
	(void)name;
	(void)access;
	ck_assert_uint_eq(flags, 2); /* the fine one */
	return fake.has_fine_timer ? (HANDLE)(uintptr_t)0xF004 : NULL;
}

static BOOL WINAPI fake_set_timer(HANDLE timer, const LARGE_INTEGER *due, LONG period,
		PTIMERAPCROUTINE routine, void *argument, BOOL resumes)
{
	(void)timer;
	(void)argument;
	(void)resumes;
	/* Which the fine one refuses. */
	ck_assert_ptr_null((void *)(uintptr_t)routine);
	ck_assert_int_eq(period, 0);
	ck_assert_int_lt(due->QuadPart, 0);
	return TRUE;
}

static LONG WINAPI fake_create_packet(HANDLE *packet, DWORD access, void *attributes)
{
	(void)access;
	ck_assert_ptr_null(attributes);
	*packet = (HANDLE)(uintptr_t)0xF008;
	return 0;
}

static LONG WINAPI fake_cancel_packet(HANDLE packet, BOOLEAN takes_back)
{
	DWORD status = fake.take_back_status;

	ck_assert_ptr_eq(packet, (HANDLE)(uintptr_t)0xF008);
	ck_assert(takes_back);
	fake.take_back_status = 0;
	/* Else it is under way. */
	if (status == 0 || status == FAKE_STATUS_CANCELLED)
		fake.timer_key = 0;
	return (LONG)status;
}

static LONG WINAPI fake_associate_packet(HANDLE packet, HANDLE port, HANDLE object, void *key,
		void *overlapped, LONG status, ULONG_PTR bytes, BOOLEAN *was_signalled)
{
	(void)status;
	(void)bytes;
	(void)was_signalled;
	ck_assert_ptr_eq(packet, (HANDLE)(uintptr_t)0xF008);
	ck_assert_ptr_eq(port, fake.port);
	ck_assert_ptr_eq(object, (HANDLE)(uintptr_t)0xF004);
	ck_assert_ptr_null(overlapped);
	/* One at a time. */
	ck_assert_uint_eq(fake.timer_key, 0);
	fake.timer_key = (ULONG_PTR)key;
	fake.fine_timers++;
	return 0;
}

void fake_expire(void)
{
	ck_assert_uint_ne(fake.timer_key, 0);
	push_packet(fake.timer_key, NULL, 0);
	fake.timer_key = 0;
}

static LONG WINAPI fake_get_version(RTL_OSVERSIONINFOW *version)
{
	ck_assert_uint_eq(version->dwOSVersionInfoSize, sizeof(*version));
	version->dwBuildNumber = fake.build;
	return 0;
}

static void WINAPI fake_unbiased_time(ULONGLONG *time)
{
	LARGE_INTEGER frequency;
	LARGE_INTEGER now;

	QueryPerformanceFrequency(&frequency);
	QueryPerformanceCounter(&now);
	*time = fake.awake_ns ? fake.awake_ns / 100
						  : (ULONGLONG)((double)now.QuadPart / (double)frequency.QuadPart * 1e7);
}

static const struct pro__win32 fake_win32 = {
		.CreateIoCompletionPort = fake_create_port,
		.GetQueuedCompletionStatusEx = fake_get_packets,
		.PostQueuedCompletionStatus = fake_post,
		.SetFileCompletionNotificationModes = fake_set_modes,
		.CancelIoEx = fake_cancel,
		.CloseHandle = fake_close_handle,
		.GetFileType = fake_file_type,
		.GetFileSizeEx = fake_file_size,
		.GetOverlappedResult = fake_result,
		.ReadFile = fake_read_file,
		.WriteFile = fake_write_file,
		.GetConsoleMode = fake_console_mode,
		.ReadConsoleW = fake_read_console,
		.WriteConsoleW = fake_write_console,
		.CreateFileW = fake_create_file,
		.CreateNamedPipeW = fake_create_pipe,
		.ConnectNamedPipe = fake_connect_pipe,
		.DisconnectNamedPipe = fake_disconnect_pipe,
		.WaitNamedPipeW = fake_wait_pipe,
		.CreateWaitableTimerExW = fake_create_timer,
		.SetWaitableTimer = fake_set_timer,
		.NtCreateWaitCompletionPacket = fake_create_packet,
		.NtAssociateWaitCompletionPacket = fake_associate_packet,
		.NtCancelWaitCompletionPacket = fake_cancel_packet,
		.RtlGetVersion = fake_get_version,
		.QueryUnbiasedInterruptTimePrecise = fake_unbiased_time,
		.WSASocketW = fake_socket,
		.WSAIoctl = fake_ioctl,
		.bind = fake_bind,
		.closesocket = fake_closesocket,
		.getsockopt = fake_getsockopt,
		.setsockopt = fake_setsockopt,
		.WSARecv = fake_recv,
		.WSASend = fake_send,
		.WSARecvFrom = fake_recv_from,
		.WSASendTo = fake_send_to,
		.AcceptEx = fake_accept,
		.ConnectEx = fake_connect,
		.GetAcceptExSockaddrs = fake_addresses,
		.TransmitFile = fake_transmit,
};

void fake_install(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.skip_works = true;
	fake.cancel_status = FAKE_STATUS_CANCELLED;
	fake.close_status = FAKE_STATUS_CANCELLED;
	fake.last_value = 0x1000;
	pro__win32_in_use = &fake_win32;
}

void fake_uninstall(void)
{
	pro__win32_in_use = &pro__win32_system;
}
