/* Sockets as a Linux port makes them, its clock and its randomness. */
#include "linux.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "linux_file.h"

static const struct sockaddr *sockaddr_of(const struct pro_addr *addr)
{
	return (const struct sockaddr *)(const void *)addr->storage.bytes;
}

/* A negative PRO_E… for errno, after closing `fd`. */
static int fail_closing(int fd)
{
	int error = pro__error_from_os(errno);

	close(fd);
	return error;
}

static int make_socket(int family, int type)
{
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int set_flag(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

/* An IPv6 wildcard takes IPv4 too, whatever the system's default is. */
static int set_dual_stack(int fd, int family)
{
	return family == AF_INET6 ? set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) : 0;
}

/* Whether the UNIX-domain address is a socket file that nobody listens on. */
static bool is_stale(const struct pro_addr *local)
{
	const struct sockaddr_un *address =
			(const struct sockaddr_un *)(const void *)sockaddr_of(local);
	struct stat status;

	if (!address->sun_path[0])
		return false;
	if (lstat(address->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
		return false;
	int fd = make_socket(AF_UNIX, SOCK_STREAM);
	if (fd < 0)
		return false;
	bool is_refused = connect(fd, sockaddr_of(local), local->length) < 0 && errno == ECONNREFUSED;
	close(fd);
	return is_refused;
}

/* bind; a stale UNIX-domain socket file is replaced. */
static int bind_listener(int fd, const struct pro_addr *local)
{
	const struct sockaddr *address = sockaddr_of(local);

	if (bind(fd, address, local->length) == 0)
		return 0;
	if (errno != EADDRINUSE || address->sa_family != AF_UNIX)
		return -1;
	if (!is_stale(local)) {
		errno = EADDRINUSE;
		return -1;
	}
	unlink(((const struct sockaddr_un *)(const void *)address)->sun_path);
	return bind(fd, address, local->length);
}

static int world_listen(
		struct pro_port *port, const struct pro_addr *local, unsigned backlog, pro_handle *handle)
{
	int family = sockaddr_of(local)->sa_family;

	(void)port;
	*handle = PRO_INVALID_HANDLE;
	if (!local->length)
		return PRO_EINVAL;
	int fd = make_socket(family, SOCK_STREAM);
	if (fd < 0)
		return pro__error_from_os(errno);
	if (family != AF_UNIX && set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0)
		return fail_closing(fd);
	if (set_dual_stack(fd, family) < 0 || bind_listener(fd, local) < 0)
		return fail_closing(fd);
	/* The kernel cuts the backlog to the system's most. */
	if (listen(fd, backlog && backlog < INT_MAX ? (int)backlog : INT_MAX) < 0)
		return fail_closing(fd);
	*handle = fd;
	return 0;
}

static int system_family(enum pro_family family)
{
	switch (family) {
	case PRO_FAMILY_INET:
		return AF_INET;
	case PRO_FAMILY_INET6:
		return AF_INET6;
	case PRO_FAMILY_UNIX:
		return AF_UNIX;
	case PRO_FAMILY_NONE:
		break;
	}
	return AF_UNSPEC;
}

static int world_dgram(struct pro_port *port, enum pro_family family, const struct pro_addr *local,
		pro_handle *handle)
{
	bool is_bound = local && local->length;
	int own_family = is_bound ? sockaddr_of(local)->sa_family : system_family(family);

	(void)port;
	*handle = PRO_INVALID_HANDLE;
	if (own_family == AF_UNSPEC)
		return PRO_EINVAL;
	int fd = make_socket(own_family, SOCK_DGRAM);
	if (fd < 0)
		return pro__error_from_os(errno);
	if (set_dual_stack(fd, own_family) < 0)
		return fail_closing(fd);
	if (is_bound && bind(fd, sockaddr_of(local), local->length) < 0)
		return fail_closing(fd);
	*handle = fd;
	return 0;
}

static int world_pair(struct pro_port *port, pro_handle handles[2])
{
	int fds[2];

	(void)port;
	handles[0] = handles[1] = PRO_INVALID_HANDLE;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		return pro__error_from_os(errno);
	handles[0] = fds[0];
	handles[1] = fds[1];
	return 0;
}

static int get_addr(
		int (*get)(int, struct sockaddr *, socklen_t *), pro_handle handle, struct pro_addr *addr)
{
	socklen_t length = sizeof(addr->storage);

	memset(addr, 0, sizeof(*addr));
	if (get(pro__fd_of(handle), (struct sockaddr *)(void *)addr->storage.bytes, &length) < 0)
		return pro__error_from_os(errno);
	addr->length = length;
	return 0;
}

static int world_local_addr(struct pro_port *port, pro_handle handle, struct pro_addr *addr)
{
	(void)port;
	return get_addr(getsockname, handle, addr);
}

static int world_remote_addr(struct pro_port *port, pro_handle handle, struct pro_addr *addr)
{
	(void)port;
	return get_addr(getpeername, handle, addr);
}

static int set_option(int fd, enum pro_socket_option option, int value)
{
	const struct linger linger = {.l_onoff = value ? 1 : 0, .l_linger = 0};

	switch (option) {
	case PRO_SOCKET_NODELAY:
		return set_flag(fd, IPPROTO_TCP, TCP_NODELAY, value);
	case PRO_SOCKET_SEND_BUFFER:
		return set_flag(fd, SOL_SOCKET, SO_SNDBUF, value);
	case PRO_SOCKET_RECEIVE_BUFFER:
		return set_flag(fd, SOL_SOCKET, SO_RCVBUF, value);
	case PRO_SOCKET_KEEPALIVE:
		return set_flag(fd, SOL_SOCKET, SO_KEEPALIVE, value);
	case PRO_SOCKET_LINGER_RESET:
		return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	case PRO_SOCKET_BROADCAST:
		return set_flag(fd, SOL_SOCKET, SO_BROADCAST, value);
	}
	errno = EINVAL;
	return -1;
}

static int world_set_option(
		struct pro_port *port, pro_handle handle, enum pro_socket_option option, int value)
{
	(void)port;
	return set_option(pro__fd_of(handle), option, value) < 0 ? pro__error_from_os(errno) : 0;
}

static int world_shutdown_write(struct pro_port *port, pro_handle handle)
{
	struct sockaddr peer;
	socklen_t length = sizeof(peer);

	(void)port;
	/* Linux shuts a listener down for writing, and a UNIX-domain datagram socket, as if it were
	 * something to them. */
	if (getpeername(pro__fd_of(handle), &peer, &length) < 0)
		return pro__error_from_os(errno);
	return shutdown(pro__fd_of(handle), SHUT_WR) < 0 ? pro__error_from_os(errno) : 0;
}

static void world_close_now(struct pro_port *port, pro_handle handle)
{
	(void)port;
	close(pro__fd_of(handle));
}

uint64_t pro__linux_now_ns(struct pro_port *port)
{
	struct timespec now;

	(void)port;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* One round of splitmix64: for systems that forbid getrandom. */
static uint64_t mix(uint64_t value)
{
	value += UINT64_C(0x9E3779B97F4A7C15);
	value = (value ^ (value >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	value = (value ^ (value >> 27)) * UINT64_C(0x94D049BB133111EB);
	return value ^ (value >> 31);
}

uint64_t pro__linux_random(struct pro_port *port)
{
	uint64_t bits;
	ssize_t got;

	do
		got = getrandom(&bits, sizeof(bits), 0);
	while (got < 0 && errno == EINTR);
	if (got == (ssize_t)sizeof(bits))
		return bits;
	return mix(pro__linux_now_ns(port) ^ mix((uint64_t)(uintptr_t)&bits));
}

const struct pro_port_world pro__linux_world = {
		.listen = world_listen,
		.dgram = world_dgram,
		.pair = world_pair,
		.local_addr = world_local_addr,
		.remote_addr = world_remote_addr,
		.set_option = world_set_option,
		.shutdown_write = world_shutdown_write,
		.close_now = world_close_now,
		.file_open = pro__linux_file_open,
		.file_status = pro__linux_file_status,
		.root_open = pro__linux_root_open,
		.root_close = pro__linux_root_close,
		.root_open_file = pro__linux_root_open_file,
		.root_status = pro__linux_root_status,
		.root_list = pro__linux_root_list,
};
