/* The calls of the system, and where its socket extensions are found. */
#include "iocp_win32.h"

#include <string.h>

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

static void find_native(struct pro__win32 *win32)
{
	FARPROC found = GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "NtQueryInformationFile");

	_Static_assert(sizeof(found) == sizeof(win32->NtQueryInformationFile), "both are functions");
	if (!win32->NtQueryInformationFile)
		memcpy(&win32->NtQueryInformationFile, &found, sizeof(found));
}

DWORD pro__win32_complete(struct pro__win32 *win32)
{
	SOCKET socket = win32->WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, 0,
			WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
	DWORD error;

	if (socket == INVALID_SOCKET)
		return GetLastError();
	find_native(win32);
	error = find_extensions(win32, socket);
	win32->closesocket(socket);
	return error;
}
