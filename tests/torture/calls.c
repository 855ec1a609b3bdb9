/* System calls of the library that fail, each with an error that fits it. The program is linked
 * with a copy of the library in which each of these calls has the name that begins with calls_, so
 * that what the scenarios do themselves is left alone.
 *
 * What a ring is asked for fails too: the entry becomes one that does nothing, and its completion
 * says what the entry's would. */
#include "calls.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 65536

static PRO_ATOMIC(uint64_t) failing_call;
static PRO_ATOMIC(uint64_t) calls;
static PRO_ATOMIC(uint64_t) failed_calls;

/* What a test asked for. */
#define WISHES_MAX 8
static struct wish {
	const char *name;
	unsigned skip;
	unsigned times;
	int error;
	void (*run)(void *context);
	void *context;
} wishes[WISHES_MAX];
static unsigned wishes_count;

static void calls_arm(struct world *world, uint64_t number)
{
	(void)world;
	failing_call = number;
}

static uint64_t calls_count(const struct world *world)
{
	(void)world;
	return calls;
}

static uint64_t calls_failures(const struct world *world)
{
	(void)world;
	return failed_calls;
}

const struct kind kind_calls = {
		.name = "calls",
		.noun = "call",
		.arm = calls_arm,
		.count = calls_count,
		.failures = calls_failures,
};

static void wish(struct wish wish)
{
	if (wishes_count == WISHES_MAX)
		abort();
	wishes[wishes_count++] = wish;
}

void calls_fail(const char *name, unsigned skip, unsigned times, int error)
{
	wish((struct wish){.name = name, .skip = skip, .times = times, .error = error});
}

void calls_run_before(const char *name, void (*run)(void *context), void *context)
{
	wish((struct wish){.name = name, .times = 1, .run = run, .context = context});
}

unsigned calls_forget(void)
{
	unsigned left = 0;

	for (unsigned i = 0; i < wishes_count; i++)
		left += wishes[i].times;
	wishes_count = 0;
	return left;
}

static struct wish *find_wish(const char *name)
{
	for (unsigned i = 0; i < wishes_count; i++)
		if (wishes[i].times > 0 && !strcmp(wishes[i].name, name))
			return &wishes[i];
	return NULL;
}

static int wished_error(const char *name)
{
	struct wish *found = find_wish(name);

	if (!found)
		return 0;
	if (found->skip > 0) {
		found->skip--;
		return 0;
	}
	found->times--;
	if (found->run)
		found->run(found->context);
	return found->error;
}

int calls_next_error(const char *name, const int *errors, size_t count)
{
	const uint64_t number = ++calls;

	if (wishes_count > 0)
		return wished_error(name);
	if (number != failing_call)
		return 0;
	failed_calls++;
	/* Whatever is between the numbers that fail. */
	return errors[(number * UINT64_C(0x9e3779b97f4a7c15) >> 32) % count];
}

/* ---- descriptors ---- */

/* Those that the library made and has neither closed nor given away. */
static PRO_ATOMIC(bool) is_own[DESCRIPTORS_MAX];

static void note(int fd, bool is_made)
{
	if (fd >= 0 && fd < DESCRIPTORS_MAX)
		is_own[fd] = is_made;
}

static int made(int fd)
{
	note(fd, true);
	return fd;
}

void calls_take(pro_handle handle)
{
	note((int)handle, true);
}

void calls_give(pro_handle handle)
{
	note((int)handle, false);
}

unsigned calls_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
		count += is_own[fd];
	return count;
}

/* ---- calls that set errno ---- */

static bool fails_by_errno(int error)
{
	if (error)
		errno = error;
	return error != 0;
}

/* The result, the name, the parameters, the arguments, what the result is worth to the descriptors,
 * what it is after a failure, the errors. */
#define AS_IT_IS
#define PLAIN_LIST(X)                                                                              \
	X(int, socket, (int domain, int type, int protocol), (domain, type, protocol), made, -1,       \
			EMFILE, ENFILE, ENOBUFS, ENOMEM)                                                       \
	X(int, bind, (int fd, const struct sockaddr *address, socklen_t length),                       \
			(fd, address, length), AS_IT_IS, -1, EADDRINUSE, EACCES, ENOMEM)                       \
	X(int, listen, (int fd, int backlog), (fd, backlog), AS_IT_IS, -1, EADDRINUSE)                 \
	X(int, accept4, (int fd, struct sockaddr *address, socklen_t *length, int flags),              \
			(fd, address, length, flags), made, -1, EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, \
			EINTR)                                                                                 \
	X(int, getsockname, (int fd, struct sockaddr *address, socklen_t *length),                     \
			(fd, address, length), AS_IT_IS, -1, ENOBUFS)                                          \
	X(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *length),              \
			(fd, level, name, value, length), AS_IT_IS, -1, ENOMEM)                                \
	X(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t length),         \
			(fd, level, name, value, length), AS_IT_IS, -1, ENOMEM, EPERM, ENOPROTOOPT)            \
	X(int, shutdown, (int fd, int how), (fd, how), AS_IT_IS, -1, ENOTCONN)                         \
	X(int, eventfd, (unsigned value, int flags), (value, flags), made, -1, EMFILE, ENFILE, ENOMEM) \
	X(int, epoll_create1, (int flags), (flags), made, -1, EMFILE, ENFILE, ENOMEM)                  \
	X(int, timerfd_create, (int clock, int flags), (clock, flags), made, -1, EMFILE, ENOMEM)       \
	X(int, epoll_wait, (int fd, struct epoll_event *events, int most, int timeout_ms),             \
			(fd, events, most, timeout_ms), AS_IT_IS, -1, EINTR)                                   \
	X(int, fstat, (int fd, struct stat *status), (fd, status), AS_IT_IS, -1, ENOMEM, EIO)          \
	X(int, lstat, (const char *path, struct stat *status), (path, status), AS_IT_IS, -1, EACCES)   \
	X(int, unlink, (const char *path), (path), AS_IT_IS, -1, EACCES)                               \
	X(int, madvise, (void *memory, size_t size, int advice), (memory, size, advice), AS_IT_IS, -1, \
			EINVAL, ENOMEM)                                                                        \
	X(int, poll, (struct pollfd * polled, nfds_t count, int timeout_ms),                           \
			(polled, count, timeout_ms), AS_IT_IS, -1, EINTR, ENOMEM)                              \
	X(int, sched_getaffinity, (pid_t pid, size_t size, cpu_set_t * set), (pid, size, set),         \
			AS_IT_IS, -1, EPERM, ENOSYS)                                                           \
	X(int, sched_setaffinity, (pid_t pid, size_t size, const cpu_set_t *set), (pid, size, set),    \
			AS_IT_IS, -1, EPERM)                                                                   \
	X(int, sigtimedwait,                                                                           \
			(const sigset_t *set, siginfo_t *information, const struct timespec *timeout),         \
			(set, information, timeout), AS_IT_IS, -1, EINTR)                                      \
	X(ssize_t, readv, (int fd, const struct iovec *pieces, int count), (fd, pieces, count),        \
			AS_IT_IS, -1, EINTR, EIO)                                                              \
	X(ssize_t, writev, (int fd, const struct iovec *pieces, int count), (fd, pieces, count),       \
			AS_IT_IS, -1, EINTR, EIO, EPIPE)                                                       \
	X(ssize_t, preadv, (int fd, const struct iovec *pieces, int count, off_t offset),              \
			(fd, pieces, count, offset), AS_IT_IS, -1, EINTR, EIO)                                 \
	X(ssize_t, pwritev, (int fd, const struct iovec *pieces, int count, off_t offset),             \
			(fd, pieces, count, offset), AS_IT_IS, -1, EINTR, ENOSPC, EIO)                         \
	X(ssize_t, preadv2, (int fd, const struct iovec *pieces, int count, off_t offset, int flags),  \
			(fd, pieces, count, offset, flags), AS_IT_IS, -1, EAGAIN, EINTR, EIO, EOPNOTSUPP,      \
			ENOSYS)                                                                                \
	X(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags),         \
			AS_IT_IS, -1, EINTR, ENOMEM, ECONNREFUSED)                                             \
	X(ssize_t, getrandom, (void *bytes, size_t size, unsigned flags), (bytes, size, flags),        \
			AS_IT_IS, -1, EINTR, ENOSYS)                                                           \
	X(void *, mmap, (void *at, size_t size, int protection, int flags, int fd, off_t offset),      \
			(at, size, protection, flags, fd, offset), AS_IT_IS, MAP_FAILED, ENOMEM)               \
	X(DIR *, fdopendir, (int fd), (fd), AS_IT_IS, NULL, ENOMEM)                                    \
	X(ssize_t, readlinkat, (int fd, const char *path, char *bytes, size_t size),                   \
			(fd, path, bytes, size), AS_IT_IS, -1, EACCES)

#define PLAIN_CALL(type, name, parameters, arguments, takes, failure, ...)                         \
	type calls_##name parameters;                                                                  \
	type calls_##name parameters                                                                   \
	{                                                                                              \
		return fails_by_errno(NEXT_ERROR(__VA_ARGS__)) ? failure : takes(name arguments);          \
	}

PLAIN_LIST(PLAIN_CALL)

int calls_socketpair(int domain, int type, int protocol, int fds[2]);
int calls_socketpair(int domain, int type, int protocol, int fds[2])
{
	if (fails_by_errno(NEXT_ERROR(EMFILE, ENFILE, ENOMEM)))
		return -1;
	if (socketpair(domain, type, protocol, fds) < 0)
		return -1;
	made(fds[0]);
	made(fds[1]);
	return 0;
}

/* An interrupted connect goes on by itself. */
int calls_connect(int fd, const struct sockaddr *address, socklen_t length);
int calls_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	const int error = NEXT_ERROR(EINTR, ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL);
	int result;

	if (error && error != EINTR) {
		errno = error;
		return -1;
	}
	result = connect(fd, address, length);
	if (error && (result == 0 || errno == EINPROGRESS))
		return fails_by_errno(error) ? -1 : 0;
	return result;
}

/* A descriptor is closed whatever close says. */
int calls_close(int fd);
int calls_close(int fd)
{
	const int error = NEXT_ERROR(EINTR, EIO);
	int result;

	note(fd, false);
	result = close(fd);
	return fails_by_errno(error) ? -1 : result;
}

/* Short of types, as some file systems are. */
struct dirent *calls_readdir(DIR *directory);
struct dirent *calls_readdir(DIR *directory)
{
	const int error = NEXT_ERROR(EIO, SHORT);
	struct dirent *found;

	if (error && error != SHORT) {
		errno = error;
		return NULL;
	}
	found = readdir(directory);
	if (found && error)
		found->d_type = DT_UNKNOWN;
	return found;
}

/* Nobody can be told that an event is not watched any more. */
int calls_epoll_ctl(int epoll_fd, int action, int fd, struct epoll_event *event);
int calls_epoll_ctl(int epoll_fd, int action, int fd, struct epoll_event *event)
{
	if (action == EPOLL_CTL_ADD && fails_by_errno(NEXT_ERROR(ENOMEM, ENOSPC)))
		return -1;
	return epoll_ctl(epoll_fd, action, fd, event);
}

/* To an eventfd: it takes no more when its count is high, and that wakes as well. */
ssize_t calls_write(int fd, const void *bytes, size_t length);
ssize_t calls_write(int fd, const void *bytes, size_t length)
{
	const int error = NEXT_ERROR(EAGAIN);
	const ssize_t written = write(fd, bytes, length);

	return fails_by_errno(error) ? -1 : written;
}

int calls_open(const char *path, int flags, ...);
int calls_open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	if (fails_by_errno(NEXT_ERROR(EMFILE, ENFILE, ENOMEM, EINTR)))
		return -1;
	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return open(path, flags, mode);
}

int calls_openat(int directory, const char *path, int flags, ...);
int calls_openat(int directory, const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	if (fails_by_errno(NEXT_ERROR(EMFILE, ENFILE, ENOMEM, EACCES)))
		return -1;
	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return openat(directory, path, flags, mode);
}

static int error_of_number(long number)
{
	switch (number) {
	case SYS_epoll_pwait2:
		return NEXT_ERROR_OF("epoll_pwait2", EINTR, ENOSYS);
	case SYS_tgkill:
		return NEXT_ERROR_OF("tgkill", EPERM);
	case SYS_openat2:
		return NEXT_ERROR_OF("openat2", EAGAIN, EINTR, EMFILE, ENOSYS, EPERM);
	}
	return 0;
}

long calls_syscall(long number, ...);
long calls_syscall(long number, ...)
{
	long values[6];
	va_list arguments;

	if (fails_by_errno(error_of_number(number)))
		return -1;
	va_start(arguments, number);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		values[i] = va_arg(arguments, long);
	va_end(arguments);
	return syscall(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}

/* ---- transfers that may be short ---- */

static bool is_stream(int fd)
{
	int type = 0;
	socklen_t length = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

ssize_t calls_recv(int fd, void *bytes, size_t length, int flags);
ssize_t calls_recv(int fd, void *bytes, size_t length, int flags)
{
	const int error = NEXT_ERROR(SHORT, EINTR, ENOMEM, ECONNRESET);

	if (error == SHORT)
		return recv(fd, bytes, is_stream(fd) && length > 0 ? 1 : length, flags);
	return fails_by_errno(error) ? -1 : recv(fd, bytes, length, flags);
}

ssize_t calls_send(int fd, const void *bytes, size_t length, int flags);
ssize_t calls_send(int fd, const void *bytes, size_t length, int flags)
{
	const int error = NEXT_ERROR(SHORT, EINTR, ENOBUFS, EPIPE);

	if (error == SHORT)
		return send(fd, bytes, is_stream(fd) && length > 0 ? 1 : length, flags);
	return fails_by_errno(error) ? -1 : send(fd, bytes, length, flags);
}

ssize_t calls_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t calls_sendmsg(int fd, const struct msghdr *message, int flags)
{
	const int error = NEXT_ERROR(SHORT, EINTR, ENOBUFS, ENOMEM);
	struct msghdr first = *message;

	if (error == SHORT) {
		if (is_stream(fd) && first.msg_iov[0].iov_len > 0)
			return send(fd, first.msg_iov[0].iov_base, 1, flags);
		return sendmsg(fd, message, flags);
	}
	return fails_by_errno(error) ? -1 : sendmsg(fd, message, flags);
}

ssize_t calls_sendfile(int socket, int file, off_t *offset, size_t length);
ssize_t calls_sendfile(int socket, int file, off_t *offset, size_t length)
{
	const int error = NEXT_ERROR(SHORT, EINTR, EINVAL, ENOSYS, EIO, ENOMEM);

	if (error == SHORT)
		return sendfile(socket, file, offset, 1);
	return fails_by_errno(error) ? -1 : sendfile(socket, file, offset, length);
}

/* ---- calls that return their error ---- */

int calls_pthread_create(
		pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);
int calls_pthread_create(
		pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
	const int error = NEXT_ERROR(EAGAIN);

	return error ? error : pthread_create(thread, attributes, run, argument);
}

int calls_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int calls_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
	const int error = NEXT_ERROR(ENOMEM, EAGAIN);

	return error ? error : pthread_mutex_init(mutex, attributes);
}

int calls_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);
int calls_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes)
{
	const int error = NEXT_ERROR(ENOMEM, EAGAIN);

	return error ? error : pthread_cond_init(condition, attributes);
}

/* The C library has an entry and its address in one piece of memory. */
static void repeat(struct addrinfo *first)
{
	struct addrinfo *second = malloc(sizeof(*second) + first->ai_addrlen);

	if (!second)
		return;
	*second = *first;
	second->ai_canonname = NULL;
	second->ai_addr = memcpy(second + 1, first->ai_addr, first->ai_addrlen);
	first->ai_next = second;
}

/* Short of care: the first address comes twice. */
int calls_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		struct addrinfo **list);
int calls_getaddrinfo(
		const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	const int error = NEXT_ERROR(EAI_AGAIN, EAI_MEMORY, EAI_FAMILY, EAI_SYSTEM, EAI_FAIL);
	int result;

	errno = ENOMEM; /* of EAI_SYSTEM */
	if (error && error != SHORT)
		return error;
	result = getaddrinfo(name, service, hints, list);
	if (result == 0 && error)
		repeat(*list);
	return result;
}

int calls_dladdr(const void *address, Dl_info *information);
int calls_dladdr(const void *address, Dl_info *information)
{
	return NEXT_ERROR(EINVAL) ? 0 : dladdr(address, information);
}
