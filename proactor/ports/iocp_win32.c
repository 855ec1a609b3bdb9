/* The calls of the system, and where its socket extensions are found. */
#include "iocp_win32.h"

#include <string.h>

/* Not all kits declare it alike. */
static BOOL WINAPI read_console(
		HANDLE console, void *units, DWORD count, DWORD *done, void *control)
{
	return ReadConsoleW(console, units, count, done, control);
}

const struct pro__win32 pro__win32_system = {
		.CreateIoCompletionPort = CreateIoCompletionPort,
		.GetQueuedCompletionStatusEx = GetQueuedCompletionStatusEx,
		.PostQueuedCompletionStatus = PostQueuedCompletionStatus,
		.SetFileCompletionNotificationModes = SetFileCompletionNotificationModes,
		.CancelIoEx = CancelIoEx,
		.CloseHandle = CloseHandle,
		.GetFileType = GetFileType,
		.GetFileSizeEx = GetFileSizeEx,
		.GetOverlappedResult = GetOverlappedResult,
		.ReadFile = ReadFile,
		.WriteFile = WriteFile,
		.GetConsoleMode = GetConsoleMode,
		.ReadConsoleW = read_console,
		.WriteConsoleW = WriteConsoleW,
		.CreateFileW = CreateFileW,
		.CreateNamedPipeW = CreateNamedPipeW,
		.ConnectNamedPipe = ConnectNamedPipe,
		.DisconnectNamedPipe = DisconnectNamedPipe,
		.WaitNamedPipeW = WaitNamedPipeW,
		.CreateWaitableTimerExW = CreateWaitableTimerExW,
		.SetWaitableTimer = SetWaitableTimer,
		.WSASocketW = WSASocketW,
		.WSAIoctl = WSAIoctl,
		.bind = bind,
		.closesocket = closesocket,
		.getsockopt = getsockopt,
		.setsockopt = setsockopt,
		.WSARecv = WSARecv,
		.WSASend = WSASend,
		.WSARecvFrom = WSARecvFrom,
		.WSASendTo = WSASendTo,
};

const struct pro__win32 *pro__win32_in_use = &pro__win32_system;

static DWORD find_extension(
		const struct pro__win32 *win32, SOCKET socket, GUID id, void *function, DWORD size)
{
	DWORD done;

	if (win32->WSAIoctl(socket, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof(id), function, size,
				&done, NULL, NULL) == SOCKET_ERROR)
		return GetLastError();
	return 0;
}

static DWORD find_extensions(struct pro__win32 *win32, SOCKET socket)
{
	DWORD error = 0;

	if (!win32->AcceptEx)
		error = find_extension(
				win32, socket, (GUID)WSAID_ACCEPTEX, &win32->AcceptEx, sizeof(win32->AcceptEx));
	if (!error && !win32->ConnectEx)
		error = find_extension(
				win32, socket, (GUID)WSAID_CONNECTEX, &win32->ConnectEx, sizeof(win32->ConnectEx));
	if (!error && !win32->GetAcceptExSockaddrs)
		error = find_extension(win32, socket, (GUID)WSAID_GETACCEPTEXSOCKADDRS,
				&win32->GetAcceptExSockaddrs, sizeof(win32->GetAcceptExSockaddrs));
	if (!error && !win32->TransmitFile)
		error = find_extension(win32, socket, (GUID)WSAID_TRANSMITFILE, &win32->TransmitFile,
				sizeof(win32->TransmitFile));
	return error;
}

/* `function` is a pointer to a function, NULL unless a test has set it. */
static void find_native(void *function, const WCHAR *module, const char *name)
{
	FARPROC found;

	memcpy(&found, function, sizeof(found));
	if (!found)
		found = GetProcAddress(GetModuleHandleW(module), name);
	memcpy(function, &found, sizeof(found));
}

static void find_natives(struct pro__win32 *win32)
{
	static const WCHAR ntdll[] = L"ntdll.dll";

	find_native(&win32->NtQueryInformationFile, ntdll, "NtQueryInformationFile");
	find_native(&win32->NtCreateWaitCompletionPacket, ntdll, "NtCreateWaitCompletionPacket");
	find_native(&win32->NtAssociateWaitCompletionPacket, ntdll, "NtAssociateWaitCompletionPacket");
	find_native(&win32->NtCancelWaitCompletionPacket, ntdll, "NtCancelWaitCompletionPacket");
	find_native(&win32->RtlGetVersion, ntdll, "RtlGetVersion");
	find_native(&win32->QueryUnbiasedInterruptTimePrecise, L"kernelbase.dll",
			"QueryUnbiasedInterruptTimePrecise");
}

DWORD pro__win32_complete(struct pro__win32 *win32)
{
	SOCKET socket = win32->WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, 0,
			WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
	DWORD error;

	if (socket == INVALID_SOCKET)
		return GetLastError();
	find_natives(win32);
	error = find_extensions(win32, socket);
	win32->closesocket(socket);
	return error;
}
