/* Private: every call of the system that the completion port makes, as a table, so that tests can
 * stand in for the system: immediate success and failure of each call, packets in any order, the
 * errors that a real Windows gives and no test can provoke. */
#ifndef PROACTOR_PORTS_IOCP_WIN32_H
#define PROACTOR_PORTS_IOCP_WIN32_H

/* Before windows.h, which would take the older <winsock.h>. */
#include <winsock2.h>
#include <ws2tcpip.h>

#include <mswsock.h>
#include <windows.h>

/* Each member has the name, the arguments and the meaning of the system's function; failures are in
 * GetLastError, of sockets too. */
struct pro__win32 {
	HANDLE(WINAPI *CreateIoCompletionPort)
	(HANDLE handle, HANDLE port, ULONG_PTR key, DWORD concurrency);
	BOOL(WINAPI *GetQueuedCompletionStatusEx)
	(HANDLE port, OVERLAPPED_ENTRY *entries, ULONG count, ULONG *removed, DWORD timeout_ms,
			BOOL is_alertable);
	BOOL(WINAPI *PostQueuedCompletionStatus)
	(HANDLE port, DWORD bytes, ULONG_PTR key, OVERLAPPED *overlapped);
	BOOL(WINAPI *SetFileCompletionNotificationModes)(HANDLE handle, UCHAR modes);
	BOOL(WINAPI *CancelIoEx)(HANDLE handle, OVERLAPPED *overlapped);
	BOOL(WINAPI *CloseHandle)(HANDLE handle);
	DWORD(WINAPI *GetFileType)(HANDLE handle);
	BOOL(WINAPI *GetFileSizeEx)(HANDLE file, LARGE_INTEGER *size);
	BOOL(WINAPI *GetOverlappedResult)
	(HANDLE handle, OVERLAPPED *overlapped, DWORD *bytes, BOOL waits);
	BOOL(WINAPI *ReadFile)
	(HANDLE file, void *bytes, DWORD length, DWORD *done, OVERLAPPED *overlapped);
	BOOL(WINAPI *WriteFile)
	(HANDLE file, const void *bytes, DWORD length, DWORD *done, OVERLAPPED *overlapped);
	BOOL(WINAPI *GetConsoleMode)(HANDLE console, DWORD *mode);
	BOOL(WINAPI *ReadConsoleW)
	(HANDLE console, void *units, DWORD count, DWORD *done, void *control);
	BOOL(WINAPI *WriteConsoleW)
	(HANDLE console, const void *units, DWORD count, DWORD *done, void *reserved);
	HANDLE(WINAPI *CreateFileW)
	(const WCHAR *name, DWORD access, DWORD share, SECURITY_ATTRIBUTES *attributes,
			DWORD disposition, DWORD flags, HANDLE model);
	HANDLE(WINAPI *CreateNamedPipeW)
	(const WCHAR *name, DWORD open_mode, DWORD pipe_mode, DWORD instances, DWORD out_bytes,
			DWORD in_bytes, DWORD timeout_ms, SECURITY_ATTRIBUTES *attributes);
	BOOL(WINAPI *ConnectNamedPipe)(HANDLE pipe, OVERLAPPED *overlapped);
	BOOL(WINAPI *DisconnectNamedPipe)(HANDLE pipe);
	BOOL(WINAPI *WaitNamedPipeW)(const WCHAR *name, DWORD timeout_ms);
	HANDLE(WINAPI *CreateWaitableTimerExW)
	(SECURITY_ATTRIBUTES *attributes, const WCHAR *name, DWORD flags, DWORD access);
	BOOL(WINAPI *SetWaitableTimer)
	(HANDLE timer, const LARGE_INTEGER *due, LONG period, PTIMERAPCROUTINE routine, void *argument,
			BOOL resumes);

	SOCKET(WINAPI *WSASocketW)
	(int family, int type, int protocol, WSAPROTOCOL_INFOW *info, GROUP group, DWORD flags);
	int(WINAPI *WSAIoctl)(SOCKET socket, DWORD code, void *in, DWORD in_size, void *out,
			DWORD out_size, DWORD *done, OVERLAPPED *overlapped,
			LPWSAOVERLAPPED_COMPLETION_ROUTINE routine);
	int(WINAPI *bind)(SOCKET socket, const struct sockaddr *address, int length);
	int(WINAPI *closesocket)(SOCKET socket);
	int(WINAPI *getsockopt)(SOCKET socket, int level, int name, char *value, int *length);
	int(WINAPI *setsockopt)(SOCKET socket, int level, int name, const char *value, int length);
	int(WINAPI *WSARecv)(SOCKET socket, WSABUF *buffers, DWORD count, DWORD *done, DWORD *flags,
			OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine);
	int(WINAPI *WSASend)(SOCKET socket, WSABUF *buffers, DWORD count, DWORD *done, DWORD flags,
			OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine);
	int(WINAPI *WSARecvFrom)(SOCKET socket, WSABUF *buffers, DWORD count, DWORD *done, DWORD *flags,
			struct sockaddr *from, int *from_length, OVERLAPPED *overlapped,
			LPWSAOVERLAPPED_COMPLETION_ROUTINE routine);
	int(WINAPI *WSASendTo)(SOCKET socket, WSABUF *buffers, DWORD count, DWORD *done, DWORD flags,
			const struct sockaddr *to, int to_length, OVERLAPPED *overlapped,
			LPWSAOVERLAPPED_COMPLETION_ROUTINE routine);

	/* Of ntdll, which needs no library of its own so. NULL: the system's is asked for when a port
	 * is made; those of wait completion packets are not everywhere. */
	LONG(WINAPI *NtQueryInformationFile)
	(HANDLE file, void *status, void *information, ULONG length, int class);
	LONG(WINAPI *NtCreateWaitCompletionPacket)(HANDLE *packet, DWORD access, void *attributes);
	LONG(WINAPI *NtAssociateWaitCompletionPacket)
	(HANDLE packet, HANDLE port, HANDLE object, void *key, void *overlapped, LONG status,
			ULONG_PTR bytes, BOOLEAN *was_signalled);
	LONG(WINAPI *NtCancelWaitCompletionPacket)(HANDLE packet, BOOLEAN takes_back);
	LONG(WINAPI *RtlGetVersion)(RTL_OSVERSIONINFOW *version);
	/* Of kernelbase, and not everywhere: 100 ns since the start, without those asleep. */
	void(WINAPI *QueryUnbiasedInterruptTimePrecise)(ULONGLONG *time);

	/* Of the socket provider: NULL in the table of the system, asked for when a port is made. */
	LPFN_ACCEPTEX AcceptEx;
	LPFN_CONNECTEX ConnectEx;
	LPFN_GETACCEPTEXSOCKADDRS GetAcceptExSockaddrs;
	LPFN_TRANSMITFILE TransmitFile;
};

extern const struct pro__win32 pro__win32_system;

/* What the next port takes: the system, unless a test puts its own here. */
extern const struct pro__win32 *pro__win32_in_use;

/* Asks the provider for what is NULL in `win32`. 0 or the system's error. */
DWORD pro__win32_complete(struct pro__win32 *win32);

#endif
