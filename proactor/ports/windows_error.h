/* Private: the errors of Windows, beside pro__error_from_os of port.h. */
#ifndef PROACTOR_PORTS_WINDOWS_ERROR_H
#define PROACTOR_PORTS_WINDOWS_ERROR_H

#include "iocp_win32.h"
#include "port.h"

/* Not in every kit. */
#ifndef ERROR_VIRUS_INFECTED
#define ERROR_VIRUS_INFECTED 225
#endif
#ifndef ERROR_VIRUS_DELETED
#define ERROR_VIRUS_DELETED 226
#endif
#ifndef ERROR_DISK_RESOURCES_EXHAUSTED
#define ERROR_DISK_RESOURCES_EXHAUSTED 314
#endif
#ifndef ERROR_DATA_CHECKSUM_ERROR
#define ERROR_DATA_CHECKSUM_ERROR 323
#endif
#ifndef ERROR_OFFSET_ALIGNMENT_VIOLATION
#define ERROR_OFFSET_ALIGNMENT_VIOLATION 327
#endif
#ifndef ERROR_CLOUD_FILE_PROVIDER_NOT_RUNNING
#define ERROR_CLOUD_FILE_PROVIDER_NOT_RUNNING 362
#endif
#ifndef ERROR_CLOUD_FILE_NETWORK_UNAVAILABLE
#define ERROR_CLOUD_FILE_NETWORK_UNAVAILABLE 388
#endif
#ifndef ERROR_CLOUD_FILE_ACCESS_DENIED
#define ERROR_CLOUD_FILE_ACCESS_DENIED 395
#endif
#ifndef ERROR_CLOUD_FILE_REQUEST_TIMEOUT
#define ERROR_CLOUD_FILE_REQUEST_TIMEOUT 426
#endif
#ifndef ERROR_UNTRUSTED_MOUNT_POINT
#define ERROR_UNTRUSTED_MOUNT_POINT 448
#endif
#ifndef ERROR_FILE_SYSTEM_LIMITATION
#define ERROR_FILE_SYSTEM_LIMITATION 665
#endif
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
