/* What the system can do only by blocking, or may: run by worker threads. */
#include "linux.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

ssize_t pro__read_file(int fd, const struct pro_buffer *buffers, unsigned count, uint64_t offset)
{
	ssize_t got;

	if (offset > INT64_MAX)
		return -EINVAL;
	do
		got = preadv(fd, (const struct iovec *)(const void *)buffers, (int)count, (off_t)offset);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

ssize_t pro__write_file(int fd, const struct pro_buffer *buffers, unsigned count, uint64_t offset)
{
	ssize_t sent;

	if (offset > INT64_MAX)
		return -EINVAL;
	do
		sent = pwritev(fd, (const struct iovec *)(const void *)buffers, (int)count, (off_t)offset);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

static int error_from_resolver(int code, int system_errno, int *os_error)
{
	*os_error = 0;
	switch (code) {
	case EAI_AGAIN:
		return PRO_ERESOLVE;
	case EAI_MEMORY:
		return PRO_ENOMEM;
	case EAI_FAMILY:
		return PRO_EAFNOSUPPORT;
	case EAI_SYSTEM:
		*os_error = system_errno;
		return system_errno ? pro__error_from_os(system_errno) : PRO_ERESOLVE;
	}
	return PRO_EHOSTNOTFOUND;
}

static bool is_known(const struct pro_resolve_request *request, const struct pro_addr *addr)
{
	for (unsigned i = 0; i < request->count; i++) {
		if (pro_addr_equal(&request->found[i], addr))
			return true;
	}
	return false;
}

static void keep_found(struct pro_resolve_request *request, const struct addrinfo *list)
{
	const unsigned most = sizeof(request->found) / sizeof(request->found[0]);

	for (; list && request->count < most; list = list->ai_next) {
		struct pro_addr addr = {.length = list->ai_addrlen};

		/* The resolver knows these families alone. */
		assert(list->ai_family == AF_INET || list->ai_family == AF_INET6);
		memcpy(addr.storage.bytes, list->ai_addr, list->ai_addrlen);
		pro_addr_set_port(&addr, request->port);
		if (!is_known(request, &addr))
			request->found[request->count++] = addr;
	}
}

void pro__resolve(struct pro_resolve_request *request, int *error, int *os_error)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	int code = getaddrinfo(request->host, NULL, &hints, &list);

	request->count = 0;
	if (code) {
		*error = error_from_resolver(code, errno, os_error);
		return;
	}
	keep_found(request, list);
	freeaddrinfo(list);
	*os_error = 0;
	assert(request->count > 0);
	*error = 0;
}
