/* Private: the errors of Windows, beside pro__error_from_os of port.h. */
#ifndef PROACTOR_PORTS_WINDOWS_ERROR_H
#define PROACTOR_PORTS_WINDOWS_ERROR_H

#include "iocp_win32.h"
#include "port.h"

/* Not in every kit. */
#ifndef ERROR_HANDLES_CLOSED
#define ERROR_HANDLES_CLOSED 676
#endif
#ifndef ERROR_NO_SUCH_DEVICE
#define ERROR_NO_SUCH_DEVICE 433
#endif
#ifndef ERROR_STOPPED_ON_SYMLINK
#define ERROR_STOPPED_ON_SYMLINK 681
#endif
#ifndef ERROR_DISK_QUOTA_EXCEEDED
#define ERROR_DISK_QUOTA_EXCEEDED 1295
#endif

/* The error of a call that ended in `overlapped` with a status of the kernel, which is what packets
 * taken in batches bear: a Win32 or Winsock number; 0 for success. */
DWORD pro__windows_error_from_status(
		const struct pro__win32 *win32, HANDLE handle, OVERLAPPED *overlapped);

/* What the system says of a call that was ended by a cancel or a close, of ours or of something
 * else. */
bool pro__windows_is_abort(DWORD error);

#endif
