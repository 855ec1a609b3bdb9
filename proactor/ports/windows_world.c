/* Sockets as the Windows port makes them, its randomness, and the resolver. */
#define _CRT_RAND_S
#include "windows_world.h"

#include "iocp.h"
#include "sockaddr.h"

#include <stdlib.h>
#include <string.h>

static INIT_ONCE sockets_once = INIT_ONCE_STATIC_INIT;
static DWORD sockets_error;

static BOOL CALLBACK start_sockets(INIT_ONCE *once, void *argument, void **context)
{
	WSADATA data;

	(void)once;
	(void)argument;
	(void)context;
	sockets_error = (DWORD)WSAStartup(MAKEWORD(2, 2), &data);
	return TRUE;
}

DWORD pro__windows_start_sockets(void)
{
	InitOnceExecuteOnce(&sockets_once, start_sockets, NULL, NULL);
	return sockets_error;
}

int pro__windows_widen(const char *text, WCHAR *wide, size_t units)
{
	int count = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, (int)units);

	if (count > 0)
		return 0;
	return GetLastError() == ERROR_INSUFFICIENT_BUFFER ? PRO_ENAMETOOLONG : PRO_ENAME;
}

static const struct sockaddr *sockaddr_of(const struct pro_addr *addr)
{
	return (const struct sockaddr *)(const void *)addr->storage.bytes;
}

bool pro__windows_is_pipe(const struct pro_addr *addr)
{
	const char *path = (const char *)addr->storage.bytes + offsetof(struct sockaddr_un, sun_path);

	return sockaddr_of(addr)->sa_family == AF_UNIX && pro__is_pipe_path(path);
}

/* The bytes of an IP address, in network order; NULL for other families. */
static const unsigned char *ip_bytes(const struct pro_addr *addr, size_t *size)
{
	const unsigned char *bytes = addr->storage.bytes;

	switch (sockaddr_of(addr)->sa_family) {
	case AF_INET:
		*size = sizeof(struct in_addr);
		return bytes + offsetof(struct sockaddr_in, sin_addr);
	case AF_INET6:
		*size = sizeof(struct in6_addr);
		return bytes + offsetof(struct sockaddr_in6, sin6_addr);
	default:
		*size = 0;
		return NULL;
	}
}

const struct pro_addr *pro__windows_destination(
		const struct pro_addr *addr, struct pro_addr *loopback)
{
	static const unsigned char any[sizeof(struct in6_addr)];
	static const unsigned char inet[sizeof(struct in_addr)] = {127, 0, 0, 1};
	static const unsigned char inet6[sizeof(struct in6_addr)] = {[15] = 1};
	size_t size;
	const unsigned char *bytes = ip_bytes(addr, &size);

	if (!bytes || memcmp(bytes, any, size) != 0)
		return addr;
	*loopback = *addr;
	memcpy(loopback->storage.bytes + (bytes - addr->storage.bytes),
			size == sizeof(inet) ? inet : inet6, size);
	return loopback;
}

bool pro__windows_is_loopback(const struct pro_addr *addr)
{
	static const unsigned char inet6[sizeof(struct in6_addr)] = {[15] = 1};
	size_t size;
	const unsigned char *bytes = ip_bytes(addr, &size);

	if (!bytes)
		return false;
	return size == sizeof(inet6) ? memcmp(bytes, inet6, size) == 0 : bytes[0] == 127;
}

bool pro__windows_is_mapped(const struct pro_addr *addr)
{
	static const unsigned char prefix[12] = {[10] = 0xFF, [11] = 0xFF};
	size_t size;
	const unsigned char *bytes = ip_bytes(addr, &size);

	return size == sizeof(struct in6_addr) && memcmp(bytes, prefix, sizeof(prefix)) == 0;
}

static int last_error(void)
{
	return pro__error_from_os((int)GetLastError());
}

/* A negative PRO_E… of the last error, after closing `socket`. */
static int fail_closing(SOCKET socket)
{
	int error = last_error();

	closesocket(socket);
	return error;
}

/* Overlapped, and not inherited by child processes. */
static SOCKET make_socket(int family, int type)
{
	return WSASocketW(family, type, 0, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
}

static int set_flag(SOCKET socket, int level, int name, int value)
{
	return setsockopt(socket, level, name, (const char *)&value, sizeof(value));
}

/* An IPv6 wildcard takes IPv4 too, whatever the system's default is. */
static int set_dual_stack(SOCKET socket, int family)
{
	return family == AF_INET6 ? set_flag(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0) : 0;
}

/* ---- sockets ---- */

/* More than this is meant as such only if it comes as a hint, which is a negative number. */
#define BACKLOG_PLAIN 200

static int system_backlog(unsigned backlog)
{
	if (backlog == 0 || backlog >= SOMAXCONN)
		return SOMAXCONN;
	return backlog > BACKLOG_PLAIN ? -(int)backlog : (int)backlog;
}

static int world_listen(
		struct pro_port *port, const struct pro_addr *local, unsigned backlog, pro_handle *handle)
{
	int family = sockaddr_of(local)->sa_family;
	SOCKET socket;

	if (!local->length)
		return PRO_EINVAL;
	if (pro__windows_is_pipe(local))
		return pro__iocp_pipe_listen((struct iocp_port *)(void *)port, local, handle);
	socket = make_socket(family, SOCK_STREAM);
	if (socket == INVALID_SOCKET)
		return last_error();
	/* With SO_REUSEADDR, which means another thing here, anybody could take the port over. */
	if (family != AF_UNIX && set_flag(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1) == SOCKET_ERROR)
		return fail_closing(socket);
	if (set_dual_stack(socket, family) == SOCKET_ERROR ||
			bind(socket, sockaddr_of(local), (int)local->length) == SOCKET_ERROR ||
			listen(socket, system_backlog(backlog)) == SOCKET_ERROR)
		return fail_closing(socket);
	*handle = (pro_handle)socket;
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

/* An unbound datagram socket can not receive here, so it gets a port of the system's choice. */
static int bind_dgram(SOCKET socket, int family, const struct pro_addr *local)
{
	struct sockaddr_storage any = {0};

	any.ss_family = (short)family;
	if (local)
		return bind(socket, sockaddr_of(local), (int)local->length);
	return bind(socket, (const struct sockaddr *)(const void *)&any,
			family == AF_INET6 ? (int)sizeof(struct sockaddr_in6)
							   : (int)sizeof(struct sockaddr_in));
}

static int world_dgram(struct pro_port *port, enum pro_family family, const struct pro_addr *local,
		pro_handle *handle)
{
	bool is_bound = local && local->length;
	int own_family = is_bound ? sockaddr_of(local)->sa_family : system_family(family);
	SOCKET socket;

	(void)port;
	if (own_family == AF_UNSPEC)
		return PRO_EINVAL;
	socket = make_socket(own_family, SOCK_DGRAM);
	if (socket == INVALID_SOCKET)
		return last_error();
	if (set_dual_stack(socket, own_family) == SOCKET_ERROR ||
			bind_dgram(socket, own_family, is_bound ? local : NULL) == SOCKET_ERROR)
		return fail_closing(socket);
	*handle = (pro_handle)socket;
	return 0;
}

/* ---- a pair ---- */

static bool is_same_port(const struct sockaddr_in *left, const struct sockaddr_in *right)
{
	return left->sin_port == right->sin_port && left->sin_addr.s_addr == right->sin_addr.s_addr;
}

/* Takes the connection that `client` made, and nobody else's. */
static SOCKET accept_from(SOCKET listener, SOCKET client)
{
	struct sockaddr_in own;
	struct sockaddr_in peer;
	int length = sizeof(own);
	SOCKET socket;

	if (getsockname(client, (struct sockaddr *)(void *)&own, &length) == SOCKET_ERROR)
		return INVALID_SOCKET;
	for (;;) {
		length = sizeof(peer);
		socket = accept(listener, (struct sockaddr *)(void *)&peer, &length);
		if (socket == INVALID_SOCKET || is_same_port(&own, &peer))
			return socket;
		closesocket(socket);
	}
}

static int make_pair(SOCKET listener, pro_handle handles[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int length = sizeof(address);
	SOCKET client;
	SOCKET server;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (set_flag(listener, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1) == SOCKET_ERROR ||
			bind(listener, (struct sockaddr *)(void *)&address, length) == SOCKET_ERROR ||
			listen(listener, 1) == SOCKET_ERROR ||
			getsockname(listener, (struct sockaddr *)(void *)&address, &length) == SOCKET_ERROR)
		return last_error();
	client = make_socket(AF_INET, SOCK_STREAM);
	if (client == INVALID_SOCKET)
		return last_error();
	if (connect(client, (struct sockaddr *)(void *)&address, length) == SOCKET_ERROR)
		return fail_closing(client);
	server = accept_from(listener, client);
	if (server == INVALID_SOCKET)
		return fail_closing(client);
	SetHandleInformation((HANDLE)server, HANDLE_FLAG_INHERIT, 0);
	handles[0] = (pro_handle)client;
	handles[1] = (pro_handle)server;
	return 0;
}

/* The system has no pairs: a connection over the loopback, which is as good but for its name. */
static int world_pair(struct pro_port *port, pro_handle handles[2])
{
	SOCKET listener = make_socket(AF_INET, SOCK_STREAM);
	int error;

	(void)port;
	handles[0] = handles[1] = PRO_INVALID_HANDLE;
	if (listener == INVALID_SOCKET)
		return last_error();
	error = make_pair(listener, handles);
	closesocket(listener);
	if (!error) {
		set_flag((SOCKET)handles[0], IPPROTO_TCP, TCP_NODELAY, 1);
		set_flag((SOCKET)handles[1], IPPROTO_TCP, TCP_NODELAY, 1);
	}
	return error;
}

/* ---- options and addresses ---- */

void pro__windows_trim_path(struct pro_addr *addr)
{
	const size_t start = offsetof(struct sockaddr_un, sun_path);
	unsigned char *end;

	if (sockaddr_of(addr)->sa_family != AF_UNIX || addr->length <= start)
		return;
	end = memchr(addr->storage.bytes + start, 0, addr->length - start);
	if (!end)
		return;
	memset(end, 0, (size_t)(addr->storage.bytes + addr->length - end));
	addr->length = (uint32_t)(end - addr->storage.bytes);
	/* Without a path it has no name at all. */
	if (addr->length > start)
		addr->length++;
}

static int get_addr(int(WINAPI *get)(SOCKET, struct sockaddr *, int *), pro_handle handle,
		struct pro_addr *addr)
{
	int length = sizeof(addr->storage);

	memset(addr, 0, sizeof(*addr));
	if (get((SOCKET)handle, (struct sockaddr *)(void *)addr->storage.bytes, &length) ==
			SOCKET_ERROR)
		return last_error();
	addr->length = (uint32_t)length;
	pro__windows_trim_path(addr);
	return 0;
}

static int world_local_addr(struct pro_port *port, pro_handle handle, struct pro_addr *addr)
{
	if (pro__iocp_pipe_addr((struct iocp_port *)(void *)port, (HANDLE)handle, addr))
		return 0;
	return get_addr(getsockname, handle, addr);
}

static int world_remote_addr(struct pro_port *port, pro_handle handle, struct pro_addr *addr)
{
	(void)port;
	return get_addr(getpeername, handle, addr);
}

static int set_option(SOCKET socket, enum pro_socket_option option, int value)
{
	const struct linger linger = {.l_onoff = value ? 1 : 0, .l_linger = 0};

	switch (option) {
	case PRO_SOCKET_NODELAY:
		return set_flag(socket, IPPROTO_TCP, TCP_NODELAY, value);
	case PRO_SOCKET_SEND_BUFFER:
		return set_flag(socket, SOL_SOCKET, SO_SNDBUF, value);
	case PRO_SOCKET_RECEIVE_BUFFER:
		return set_flag(socket, SOL_SOCKET, SO_RCVBUF, value);
	case PRO_SOCKET_KEEPALIVE:
		return set_flag(socket, SOL_SOCKET, SO_KEEPALIVE, value);
	case PRO_SOCKET_LINGER_RESET:
		return setsockopt(socket, SOL_SOCKET, SO_LINGER, (const char *)&linger, sizeof(linger));
	case PRO_SOCKET_BROADCAST:
		return set_flag(socket, SOL_SOCKET, SO_BROADCAST, value);
	}
	SetLastError(WSAEINVAL);
	return SOCKET_ERROR;
}

static int world_set_option(
		struct pro_port *port, pro_handle handle, enum pro_socket_option option, int value)
{
	(void)port;
	return set_option((SOCKET)handle, option, value) == SOCKET_ERROR ? last_error() : 0;
}

static int world_shutdown_write(struct pro_port *port, pro_handle handle)
{
	struct pro_addr peer;
	/* Windows shuts a datagram socket down for sending, as if it were something to it. */
	const int error = get_addr(getpeername, handle, &peer);

	(void)port;
	if (error)
		return error;
	return shutdown((SOCKET)handle, SD_SEND) == SOCKET_ERROR ? last_error() : 0;
}

static void world_close_now(struct pro_port *port, pro_handle handle)
{
	(void)port;
	if (handle == PRO_INVALID_HANDLE)
		return;
	if (closesocket((SOCKET)handle) == SOCKET_ERROR)
		CloseHandle((HANDLE)handle);
}

/* A handle belongs to one completion port for good, and an instance of a pipe to that at which its
 * client was waited for. A socket belongs to none before its first operation. */
static bool windows_can_move(const struct pro_addr *local)
{
	return !pro__windows_is_pipe(local);
}

const struct pro_port_world pro__windows_world = {
		.listen = world_listen,
		.dgram = world_dgram,
		.pair = world_pair,
		.local_addr = world_local_addr,
		.remote_addr = world_remote_addr,
		.set_option = world_set_option,
		.can_move = windows_can_move,
		.shutdown_write = world_shutdown_write,
		.close_now = world_close_now,
		.file_open = pro__windows_file_open,
		.file_status = pro__windows_file_status,
		.root_open = pro__windows_root_open,
		.root_close = pro__windows_root_close,
		.root_open_file = pro__windows_root_open_file,
		.root_status = pro__windows_root_status,
		.root_list = pro__windows_root_list,
};

/* ---- randomness ---- */

uint64_t pro__windows_random(struct pro_port *port)
{
	unsigned low = 0;
	unsigned high = 0;

	(void)port;
	/* The system's generator; it has no reason to fail. */
	rand_s(&low);
	rand_s(&high);
	return (uint64_t)high << 32 | low;
}

/* ---- the resolver ---- */

static bool is_known(const struct pro_resolve_request *request, const struct pro_addr *addr)
{
	for (unsigned i = 0; i < request->count; i++) {
		if (pro_addr_equal(&request->found[i], addr))
			return true;
	}
	return false;
}

static void keep_found(struct pro_resolve_request *request, const ADDRINFOW *list)
{
	const unsigned most = sizeof(request->found) / sizeof(request->found[0]);

	for (; list && request->count < most; list = list->ai_next) {
		struct pro_addr addr = {.length = (uint32_t)list->ai_addrlen};

		if (list->ai_family != AF_INET && list->ai_family != AF_INET6)
			continue;
		if (list->ai_addrlen > sizeof(addr.storage))
			continue;
		memcpy(addr.storage.bytes, list->ai_addr, list->ai_addrlen);
		pro_addr_set_port(&addr, request->port);
		if (!is_known(request, &addr))
			request->found[request->count++] = addr;
	}
}

void pro__resolve(struct pro_resolve_request *request, int *error, int *os_error)
{
	const ADDRINFOW hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	ADDRINFOW *list = NULL;
	WCHAR host[PRO_HOST_MAX];
	int code = (int)pro__windows_start_sockets();

	request->count = 0;
	*os_error = 0;
	if (pro__windows_widen(request->host, host, PRO_HOST_MAX)) {
		*error = PRO_EHOSTNOTFOUND;
		return;
	}
	if (!code)
		code = GetAddrInfoW(host, NULL, &hints, &list);
	if (code) {
		*os_error = code;
		*error = pro__error_from_os(code);
		return;
	}
	keep_found(request, list);
	FreeAddrInfoW(list);
	*error = request->count ? 0 : PRO_EHOSTNOTFOUND;
}
