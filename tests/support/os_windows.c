/* What tests need from the system itself: Windows, or Wine. What it has not got fails the test that
 * asks for it; such tests are left out by name (tests/windows/left_out.txt). */
#include <winsock2.h>
#include <ws2tcpip.h>

#include <windows.h>

#include "os.h"

#include <proactor/proactor.h>
#include <proactor/socket.h>

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tlhelp32.h>
#include <winioctl.h>

#define UNAVAILABLE() ck_abort_msg("%s: not to be had on Windows", __func__)

/* ---- counts ---- */

/* The system keeps some handles from the first socket on. */
static void warm_up(void)
{
	static bool is_warm;
	struct pro_proactor_options options;
	struct pro_proactor *proactor;
	pro_handle handles[2];

	if (is_warm)
		return;
	is_warm = true;
	pro_proactor_options_init(&options);
	options.port = "iocp"; /* whatever PROACTOR_PORT says */
	ck_assert_int_eq(pro_proactor_create(&proactor, &options, NULL, 0), 0);
	ck_assert_int_eq(pro_socket_pair(proactor, handles), 0);
	pro_proactor_close_handle(proactor, handles[0]);
	pro_proactor_close_handle(proactor, handles[1]);
	ck_assert_int_eq(pro_proactor_destroy(proactor), 0);
}

/* Handles are multiples of four, and the lowest that is free is taken: after so many that are not
 * there, there are no more. */
#define HANDLES_APART 256

union type_information {
	struct {
		USHORT length;
		USHORT size;
		WCHAR *text;
	} name;
	char bytes[512];
};

/* "Event", "Thread", "File", as the kernel calls it; sockets and pipes are files. */
static const WCHAR *handle_type(HANDLE handle)
{
	static union type_information information;
	union {
		FARPROC found;
		LONG(WINAPI *call)(HANDLE, int, void *, ULONG, ULONG *);
	} query = {GetProcAddress(GetModuleHandleA("ntdll.dll"), "NtQueryObject")};

	if (query.call(handle, 2, &information, sizeof(information), NULL) < 0)
		return L"?";
	return information.name.text;
}

/* A lock that is contended for the first time gets an event or a semaphore, for good. */
static bool is_of_a_lock(HANDLE handle)
{
	const WCHAR *type = handle_type(handle);

	return !wcscmp(type, L"Event") || !wcscmp(type, L"Semaphore");
}

static unsigned visit_handles(void (*visit)(HANDLE handle))
{
	unsigned count = 0;
	DWORD flags;

	for (uintptr_t value = 4, last = 0; value <= last + 4 * HANDLES_APART; value += 4) {
		if (!GetHandleInformation((HANDLE)value, &flags))
			continue;
		last = value;
		if (is_of_a_lock((HANDLE)value))
			continue;
		count++;
		if (visit)
			visit((HANDLE)value);
	}
	return count;
}

static void print_handle(HANDLE handle)
{
	fprintf(stderr, "handle %p: %ls, file type %lu\n", handle, handle_type(handle),
			(unsigned long)GetFileType(handle));
}

/* GetProcessHandleCount would be the call, but Wine's tells 0. */
unsigned os_descriptor_count(void)
{
	warm_up();
	return visit_handles(NULL);
}

/* The thread of a Wine process that listens to signals comes and goes with them. */
unsigned os_thread_count(void)
{
	HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
	THREADENTRY32 entry = {.dwSize = sizeof(entry)};
	unsigned count = 0;

	ck_assert(snapshot != INVALID_HANDLE_VALUE);
	for (BOOL more = Thread32First(snapshot, &entry); more; more = Thread32Next(snapshot, &entry))
		count += entry.th32OwnerProcessID == GetCurrentProcessId();
	CloseHandle(snapshot);
	return count;
}

void os_print_descriptors(void)
{
	visit_handles(print_handle);
}

static int *listed;
static unsigned listed_max;
static unsigned listed_count;

static void list_handle(HANDLE handle)
{
	ck_assert_uint_lt(listed_count, listed_max);
	listed[listed_count++] = (int)(intptr_t)handle;
}

unsigned os_descriptors(int *descriptors, unsigned max)
{
	warm_up();
	listed = descriptors;
	listed_max = max;
	listed_count = 0;
	return visit_handles(list_handle);
}

bool os_is_close_on_exec(int descriptor)
{
	DWORD flags = 0;

	ck_assert(GetHandleInformation((HANDLE)(intptr_t)descriptor, &flags));
	return !(flags & HANDLE_FLAG_INHERIT);
}

uint64_t os_signal_dispositions(void)
{
	return 0;
}

void (*os_signal_set(int number, void (*handler)(int)))(int)
{
	return signal(number, handler);
}

/* An empty variable is none here. */
void os_set_environment(const char *name, const char *value)
{
	ck_assert_int_eq(_putenv_s(name, value ? value : ""), 0);
}

/* ---- clocks ---- */

static uint64_t us_of(const FILETIME *time)
{
	return ((uint64_t)time->dwHighDateTime << 32 | time->dwLowDateTime) / 10;
}

uint64_t os_process_cpu_us(void)
{
	FILETIME created, ended, kernel, user;

	ck_assert(GetProcessTimes(GetCurrentProcess(), &created, &ended, &kernel, &user));
	return us_of(&kernel) + us_of(&user);
}

uint64_t os_thread_cpu_us(void)
{
	FILETIME created, ended, kernel, user;

	ck_assert(GetThreadTimes(GetCurrentThread(), &created, &ended, &kernel, &user));
	return us_of(&kernel) + us_of(&user);
}

uint64_t os_now_ms(void)
{
	LARGE_INTEGER frequency;
	LARGE_INTEGER now;

	QueryPerformanceFrequency(&frequency);
	QueryPerformanceCounter(&now);
	return (uint64_t)now.QuadPart / ((uint64_t)frequency.QuadPart / 1000);
}

void os_pause(void)
{
	os_yield();
}

void os_yield(void)
{
	SwitchToThread();
}

long os_thread_id(void)
{
	return (long)GetCurrentThreadId();
}

/* The system does not tell; its own time is waited. */
bool os_wait_until_asleep(long thread_id)
{
	uint64_t end_ms = os_now_ms() + 20;

	(void)thread_id;
	while (os_now_ms() < end_ms)
		SwitchToThread();
	return true;
}

uint64_t os_thread_switches(long thread_id)
{
	(void)thread_id;
	UNAVAILABLE();
	return 0;
}

void os_settle_threads(void)
{
}

bool os_is_emulated(void)
{
	return GetProcAddress(GetModuleHandleA("ntdll.dll"), "wine_get_version");
}

/* Wine slows it as much as a sanitizer would, and more. */
bool os_is_sanitized(void)
{
	return os_is_emulated();
}

/* ---- files ---- */

void os_make_directory(char *path, size_t size)
{
	static unsigned number;
	char parent[MAX_PATH];

	ck_assert_uint_gt(GetTempPathA(sizeof(parent), parent), 0);
	snprintf(path, size, "%sproactor-test-%lu-%u", parent, (unsigned long)GetCurrentProcessId(),
			number++);
	ck_assert_msg(CreateDirectoryA(path, NULL), "%s: error %lu", path, GetLastError());
}

void os_remove_directory(const char *path)
{
	WIN32_FIND_DATAA found;
	char name[1024];
	HANDLE search;

	snprintf(name, sizeof(name), "%s\\*", path);
	search = FindFirstFileA(name, &found);
	if (search == INVALID_HANDLE_VALUE)
		return;
	do {
		if (!strcmp(found.cFileName, ".") || !strcmp(found.cFileName, ".."))
			continue;
		snprintf(name, sizeof(name), "%s\\%s", path, found.cFileName);
		if (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)
			os_remove_directory(name);
		else
			DeleteFileA(name);
	} while (FindNextFileA(search, &found));
	FindClose(search);
	RemoveDirectoryA(path);
}

static void set_size(const char *path, DWORD disposition, uint64_t size)
{
	LARGE_INTEGER end = {.QuadPart = (LONGLONG)size};
	HANDLE file = CreateFileA(path, GENERIC_WRITE,
			FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, disposition, 0, NULL);
	DWORD done;

	ck_assert_msg(file != INVALID_HANDLE_VALUE, "%s: error %lu", path, GetLastError());
	/* Where the file system knows no holes, it gets no zeros before they are read. */
	DeviceIoControl(file, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &done, NULL);
	ck_assert(SetFilePointerEx(file, end, NULL, FILE_BEGIN));
	ck_assert(SetEndOfFile(file));
	CloseHandle(file);
}

void os_make_sparse_file(const char *path, uint64_t size)
{
	set_size(path, CREATE_ALWAYS, size);
}

void os_resize_file(const char *path, uint64_t size)
{
	set_size(path, OPEN_EXISTING, size);
}

uint64_t os_file_size(const char *path)
{
	WIN32_FILE_ATTRIBUTE_DATA data;

	ck_assert(GetFileAttributesExA(path, GetFileExInfoStandard, &data));
	return (uint64_t)data.nFileSizeHigh << 32 | data.nFileSizeLow;
}

/* ---- limits ---- */

void os_limit_descriptors(unsigned free)
{
	(void)free;
	UNAVAILABLE();
}

void os_unlimit_descriptors(void)
{
}

void os_make_local_address(char *text, size_t size)
{
	snprintf(text, size, "unix:\\\\.\\pipe\\proactor-test-%lu", GetCurrentProcessId());
}

unsigned os_raise_descriptor_limit(void)
{
	return 4096;
}

void os_limit_file_size(uint64_t bytes)
{
	(void)bytes;
	UNAVAILABLE();
}

bool os_mount_small(const char *path, uint64_t bytes)
{
	(void)path;
	(void)bytes;
	return false;
}

void os_unmount(const char *path)
{
	(void)path;
}

bool os_is_root(void)
{
	return false;
}

void os_become_nobody(void)
{
	UNAVAILABLE();
}

void *os_map(uint64_t bytes)
{
	/* Reserved address space would trap; committed memory costs nothing until it is touched. */
	void *memory = VirtualAlloc(NULL, (SIZE_T)bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);

	ck_assert_msg(memory != NULL, "VirtualAlloc: error %lu", GetLastError());
	return memory;
}

void os_unmap(void *memory, uint64_t bytes)
{
	(void)bytes;
	ck_assert(VirtualFree(memory, 0, MEM_RELEASE));
}

/* ---- raw peers ---- */

/* The system's address inside a pro_addr, which is stored as the system has it. */
static const struct sockaddr *system_name(const struct pro_addr *addr)
{
	return (const struct sockaddr *)(const void *)addr->storage.bytes;
}

int os_make_peer(const struct pro_addr *addr)
{
	SOCKET descriptor = WSASocketW(
			system_name(addr)->sa_family, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_NO_HANDLE_INHERIT);

	ck_assert_msg(descriptor != INVALID_SOCKET, "socket: error %d", WSAGetLastError());
	return (int)descriptor;
}

void os_connect_peer(int descriptor, const struct pro_addr *addr)
{
	if (connect((SOCKET)descriptor, system_name(addr), (int)addr->length) &&
			WSAGetLastError() != WSAEWOULDBLOCK)
		ck_abort_msg("connect: error %d", WSAGetLastError());
}

int os_connect(const struct pro_addr *addr)
{
	int descriptor = os_make_peer(addr);

	os_connect_peer(descriptor, addr);
	return descriptor;
}

int os_connect_nonblocking(const struct pro_addr *addr)
{
	int descriptor = os_make_peer(addr);
	u_long yes = 1;

	ck_assert_int_eq(ioctlsocket((SOCKET)descriptor, (long)FIONBIO, &yes), 0);
	os_connect_peer(descriptor, addr);
	return descriptor;
}

void os_send(int descriptor, const void *bytes, size_t length)
{
	const char *next = bytes;

	while (length > 0) {
		int sent = send((SOCKET)descriptor, next, (int)length, 0);

		ck_assert_msg(sent > 0, "send: error %d", WSAGetLastError());
		next += sent;
		length -= (size_t)sent;
	}
}

bool os_wait_readable(intptr_t descriptor, int64_t limit_ms)
{
	struct timeval limit = {
			.tv_sec = (long)(limit_ms / 1000), .tv_usec = (long)(limit_ms % 1000) * 1000};
	fd_set set;

	FD_ZERO(&set);
	set.fd_array[0] = (SOCKET)descriptor;
	set.fd_count = 1;
	return select(0, &set, NULL, NULL, limit_ms < 0 ? NULL : &limit) > 0;
}

size_t os_receive(int descriptor, void *bytes, size_t length, uint64_t limit_ms)
{
	uint64_t end_ms = os_now_ms() + limit_ms;
	size_t received = 0;

	while (received < length) {
		uint64_t now_ms = os_now_ms();
		int count;

		if (now_ms >= end_ms || !os_wait_readable(descriptor, (int64_t)(end_ms - now_ms)))
			break;
		count = recv((SOCKET)descriptor, (char *)bytes + received, (int)(length - received), 0);
		if (count <= 0)
			break;
		received += (size_t)count;
	}
	return received;
}

void os_shutdown_write(int descriptor)
{
	ck_assert_int_eq(shutdown((SOCKET)descriptor, SD_SEND), 0);
}

void os_close(int descriptor)
{
	if (closesocket((SOCKET)descriptor))
		ck_assert(CloseHandle((HANDLE)(intptr_t)descriptor));
}

void os_close_with_reset(int descriptor)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	ck_assert_int_eq(setsockopt((SOCKET)descriptor, SOL_SOCKET, SO_LINGER, (const char *)&linger,
							 sizeof(linger)),
			0);
	os_close(descriptor);
}

void os_pipe(int descriptors[2])
{
	HANDLE reader;
	HANDLE writer;

	ck_assert(CreatePipe(&reader, &writer, NULL, 0));
	descriptors[0] = (int)(intptr_t)reader;
	descriptors[1] = (int)(intptr_t)writer;
}

/* ---- what there is not ---- */

int os_run_forked(int (*child)(void *context), void *context)
{
	(void)child;
	(void)context;
	UNAVAILABLE();
	return -1;
}

bool os_forbid_io_uring(int error)
{
	(void)error;
	return false;
}

void os_signal_storm(unsigned interval_us)
{
	if (interval_us > 0)
		UNAVAILABLE();
}

unsigned os_signal_storm_count(void)
{
	return 0;
}
