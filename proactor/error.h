/* One error table for every port: negative codes with the same numbers everywhere.
 *
 * A function that can fail returns 0 or one of these. Results carry the code in `error` and the
 * system's own number (errno, GetLastError) in `os_error`, for logs only. ACE reports errno and
 * GetLastError as they come. */
#ifndef PROACTOR_ERROR_H
#define PROACTOR_ERROR_H

#include <proactor/base.h>

/* X(name, number, text): the numbers never change once released. */
#define PRO_ERROR_LIST(X)                                                                          \
	X(EINVAL, -1, "invalid argument")                                                              \
	X(ENOMEM, -2, "out of memory")                                                                 \
	X(EBUSY, -3, "operation is already in flight")                                                 \
	X(ECLOSED, -4, "handler is closing or closed")                                                 \
	X(EFULL, -5, "queue is at its limit")                                                          \
	X(ETHREAD, -6, "called from the wrong thread")                                                 \
	X(EFORKED, -7, "proactor belongs to the parent process")                                       \
	X(ENOTFOUND, -8, "nothing is in flight")                                                       \
	X(ECANCELED, -9, "operation was cancelled")                                                    \
	X(ETIMEDOUT, -10, "deadline passed")                                                           \
	X(EOF, -11, "end of stream or file")                                                           \
	X(ETRUNCATED, -12, "file is shorter than the range asked for")                                 \
	X(EHOSTNOTFOUND, -13, "host name not found")                                                   \
	X(ERESOLVE, -14, "host name could not be resolved for now")                                    \
	X(ENOTSUP, -15, "not supported by this port or system")                                        \
	X(ECONNRESET, -20, "connection reset by peer")                                                 \
	X(ECONNREFUSED, -21, "connection refused")                                                     \
	X(ECONNABORTED, -22, "connection aborted")                                                     \
	X(EPIPE, -23, "stream is broken or shut down for writing")                                     \
	X(ENOTCONN, -24, "not connected")                                                              \
	X(EISCONN, -25, "already connected")                                                           \
	X(EADDRINUSE, -26, "address in use")                                                           \
	X(EADDRNOTAVAIL, -27, "address not available")                                                 \
	X(EHOSTUNREACH, -28, "host unreachable")                                                       \
	X(ENETUNREACH, -29, "network unreachable")                                                     \
	X(ENETDOWN, -30, "network is down")                                                            \
	X(EMSGSIZE, -31, "message too long")                                                           \
	X(EDESTADDRREQ, -32, "destination address required")                                           \
	X(EAFNOSUPPORT, -33, "address family not supported")                                           \
	X(EPROTO, -34, "protocol error")                                                               \
	X(ENOTSOCK, -35, "not a socket")                                                               \
	X(EMFILE, -40, "process has too many open files")                                              \
	X(ENFILE, -41, "system has too many open files")                                               \
	X(ENOBUFS, -42, "no buffer space")                                                             \
	X(ENOSPC, -43, "no space left on device")                                                      \
	X(EDQUOT, -44, "disk quota exceeded")                                                          \
	X(EFBIG, -45, "file too large")                                                                \
	X(EIO, -46, "input/output error")                                                              \
	X(EROFS, -47, "read-only file system")                                                         \
	X(ENOENT, -48, "no such file or directory")                                                    \
	X(EEXIST, -49, "already exists")                                                               \
	X(EACCES, -50, "access denied")                                                                \
	X(EPERM, -51, "operation not permitted")                                                       \
	X(EISDIR, -52, "is a directory")                                                               \
	X(ENOTDIR, -53, "not a directory")                                                             \
	X(ENAMETOOLONG, -54, "name too long")                                                          \
	X(EBADF, -55, "bad or stale handle")                                                           \
	X(EFAULT, -56, "bad memory address")                                                           \
	X(ESPIPE, -57, "cannot seek")                                                                  \
	X(EAGAIN, -58, "temporarily unavailable")                                                      \
	X(ENOSYS, -59, "system call not available")                                                    \
	X(ENODEV, -60, "no such device")                                                               \
	X(EESCAPE, -61, "name leaves its root")                                                        \
	X(ENAME, -62, "name is refused")                                                               \
	X(EUNKNOWN, -99, "unknown system error")

PRO_BEGIN_DECLS

enum pro_error {
	PRO_OK = 0,
#define PRO_ERROR_ENUM(name, number, text) PRO_##name = number,
	PRO_ERROR_LIST(PRO_ERROR_ENUM)
#undef PRO_ERROR_ENUM
};

/* "connection refused" for PRO_ECONNREFUSED, "success" for 0, "unknown error" for a number not in
 * the table. The text is constant and never freed. [any thread] Since 0.1. */
PRO_API const char *pro_error_text(int error);

/* "PRO_ECONNREFUSED" for PRO_ECONNREFUSED, "PRO_OK" for 0, "PRO_?" for a number not in the table.
 * [any thread] Since 0.1. */
PRO_API const char *pro_error_name(int error);

PRO_END_DECLS

#endif
