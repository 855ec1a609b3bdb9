/* Sockets as the port makes them: non-blocking, close-on-exec, of the simulated world in a
 * simulated port. ACE: ACE_SOCK_Acceptor, ACE_SOCK_Dgram. */
#ifndef PROACTOR_SOCKET_H
#define PROACTOR_SOCKET_H

#include <proactor/addr.h>

PRO_BEGIN_DECLS

struct pro_proactor;

enum pro_socket_option {
	PRO_SOCKET_NODELAY,        /* TCP: 1 sends small segments at once */
	PRO_SOCKET_SEND_BUFFER,    /* bytes */
	PRO_SOCKET_RECEIVE_BUFFER, /* bytes */
	PRO_SOCKET_KEEPALIVE,
	PRO_SOCKET_LINGER_RESET, /* 1: closing sends a reset */
	PRO_SOCKET_BROADCAST
};

/* A listening socket on `local` in `*handle` (the caller closes it or gives it to a handler). Port
 * 0 picks one. `backlog` 0 means the system's most. An IPv6 wildcard takes IPv4 too. A stale UNIX
 * socket file that nobody listens on is replaced. PRO_EADDRINUSE, PRO_EADDRNOTAVAIL, PRO_EACCES,
 * PRO_EMFILE, PRO_EINVAL for an empty address, and errors of the system. [any thread] Since 0.1. */
PRO_API int pro_socket_listen(struct pro_proactor *proactor, const struct pro_addr *local,
		unsigned backlog, pro_handle *handle);

/* A datagram socket bound to `local` (NULL: unbound, of `family`) in `*handle`, which the caller
 * closes or gives to a handler. PRO_EINVAL, PRO_EADDRINUSE, PRO_EADDRNOTAVAIL, PRO_EACCES,
 * PRO_EMFILE, and errors of the system. [any thread]
 * Since 0.1. */
PRO_API int pro_socket_dgram(struct pro_proactor *proactor, enum pro_family family,
		const struct pro_addr *local, pro_handle *handle);

/* Two connected stream sockets, which the caller closes or gives to handlers. PRO_EINVAL,
 * PRO_EMFILE, PRO_ENOTSUP where the system has none. [any thread] socketpair. Since 0.1. */
PRO_API int pro_socket_pair(struct pro_proactor *proactor, pro_handle handles[2]);

/* The address that the socket is bound to, and that of its peer, in `*addr`. PRO_EINVAL, PRO_EBADF,
 * PRO_ENOTSOCK, PRO_ENOTCONN. [any thread] getsockname, getpeername. Since 0.1. */
PRO_API int pro_socket_local_addr(
		struct pro_proactor *proactor, pro_handle handle, struct pro_addr *addr);
PRO_API int pro_socket_remote_addr(
		struct pro_proactor *proactor, pro_handle handle, struct pro_addr *addr);
/* Sets `option` to `value`. PRO_EINVAL, PRO_EBADF, PRO_ENOTSOCK, PRO_ENOTSUP where the socket has
 * no such option. [any thread] setsockopt. Since 0.1. */
PRO_API int pro_socket_set_option(
		struct pro_proactor *proactor, pro_handle handle, enum pro_socket_option option, int value);

/* Ends the sending direction: the peer reads the end of the stream; reading goes on. Bytes still
 * queued in a write stream are not waited for: see pro_asynch_write_stream_shutdown. PRO_ENOTCONN
 * for a listener or a datagram socket, PRO_EINVAL, PRO_EBADF, PRO_ENOTSOCK. [any thread] shutdown.
 * Since 0.1. */
PRO_API int pro_socket_shutdown_write(struct pro_proactor *proactor, pro_handle handle);

PRO_END_DECLS

#endif
