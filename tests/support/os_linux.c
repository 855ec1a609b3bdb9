/* What tests need from the system itself: Linux. */
#include "os.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOBODY 65534

static unsigned count_entries(const char *path)
{
	DIR *directory = opendir(path);
	unsigned count = 0;

	ck_assert_ptr_nonnull(directory);
	for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

unsigned os_descriptor_count(void)
{
	return count_entries("/proc/self/fd") - 1; /* but the one that reads the directory */
}

unsigned os_thread_count(void)
{
	return count_entries("/proc/self/task");
}

unsigned os_descriptors(int *descriptors, unsigned max)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	ck_assert_ptr_nonnull(directory);
	for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
		int descriptor = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || descriptor == dirfd(directory))
			continue;
		ck_assert_uint_lt(count, max);
		descriptors[count++] = descriptor;
	}
	closedir(directory);
	return count;
}

void os_print_descriptors(void)
{
	static int descriptors[OS_DESCRIPTORS_MAX];
	unsigned count = os_descriptors(descriptors, OS_DESCRIPTORS_MAX);

	for (unsigned i = 0; i < count; i++) {
		char path[64];
		char target[256];
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptors[i]);
		length = readlink(path, target, sizeof(target) - 1);
		target[length < 0 ? 0 : length] = '\0';
		fprintf(stderr, "descriptor %d: %s\n", descriptors[i], target);
	}
}

bool os_is_close_on_exec(int descriptor)
{
	int flags = fcntl(descriptor, F_GETFD);

	ck_assert_int_ge(flags, 0);
	return flags & FD_CLOEXEC;
}

uint64_t os_signal_dispositions(void)
{
	uint64_t sum = 0;

	for (int number = 1; number < NSIG; number++) {
		struct sigaction action;

		if (sigaction(number, NULL, &action))
			continue;
		sum = sum * 1000003 + (uint64_t)(uintptr_t)action.sa_handler;
	}
	return sum;
}

void (*os_signal_set(int number, void (*handler)(int)))(int)
{
	struct sigaction action = {.sa_handler = handler};
	struct sigaction before;

	ck_assert_int_eq(sigaction(number, &action, &before), 0);
	return before.sa_handler;
}

void os_set_environment(const char *name, const char *value)
{
	ck_assert_int_eq(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

static uint64_t clock_us(clockid_t clock)
{
	struct timespec now;

	ck_assert_int_eq(clock_gettime(clock, &now), 0);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t os_process_cpu_us(void)
{
	return clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t os_thread_cpu_us(void)
{
	return clock_us(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t os_now_ms(void)
{
	return clock_us(CLOCK_MONOTONIC) / 1000;
}

void os_yield(void)
{
	sched_yield();
}

void os_pause(void)
{
	poll(NULL, 0, 1);
}

long os_thread_id(void)
{
	return syscall(SYS_gettid);
}

static bool is_asleep(long thread_id)
{
	char path[64];
	char text[512] = "";
	const char *state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/stat", thread_id);
	file = fopen(path, "r");
	if (!file)
		return true;
	state = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	fclose(file);
	return state && state[1] == ' ' && state[2] == 'S';
}

bool os_wait_until_asleep(long thread_id)
{
	uint64_t end_ms = os_now_ms() + 100;
	bool is_awake;

	while ((is_awake = !is_asleep(thread_id)) && os_now_ms() < end_ms)
		sched_yield();
	return !is_awake;
}

uint64_t os_thread_switches(long thread_id)
{
	char path[64];
	char line[256];
	unsigned long long count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/status", thread_id);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "voluntary_ctxt_switches: %llu", &count) == 1)
			break;
	fclose(file);
	return count;
}

extern void __asan_init(void) __attribute__((weak));
extern void __msan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

bool os_is_sanitized(void)
{
	return __asan_init || __msan_init || __tsan_init;
}

bool os_is_emulated(void)
{
	return false;
}

static void *do_nothing(void *argument)
{
	return argument;
}

void os_settle_threads(void)
{
	pthread_t thread;

	if (!__tsan_init)
		return;
	ck_assert_int_eq(pthread_create(&thread, NULL, do_nothing, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

void os_make_directory(char *path, size_t size)
{
	const char *parent = getenv("TMPDIR");

	snprintf(path, size, "%s/proactor-test-XXXXXX", parent ? parent : "/tmp");
	ck_assert_msg(mkdtemp(path) != NULL, "mkdtemp: %s", strerror(errno));
}

void os_remove_directory(const char *path)
{
	DIR *directory = opendir(path);

	if (!directory)
		return;
	for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
		char name[1024];

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (unlink(name) && errno == EISDIR)
			os_remove_directory(name);
	}
	closedir(directory);
	rmdir(path);
}

void os_make_sparse_file(const char *path, uint64_t size)
{
	int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_msg(descriptor >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(ftruncate(descriptor, (off_t)size), 0);
	close(descriptor);
}

void os_resize_file(const char *path, uint64_t size)
{
	ck_assert_int_eq(truncate(path, (off_t)size), 0);
}

uint64_t os_file_size(const char *path)
{
	struct stat status;

	ck_assert_int_eq(stat(path, &status), 0);
	return (uint64_t)status.st_size;
}

static struct rlimit old_descriptor_limit;
static int fillers[OS_DESCRIPTORS_MAX];
static unsigned fillers_count;

void os_limit_descriptors(unsigned free)
{
	static int descriptors[OS_DESCRIPTORS_MAX];
	unsigned count = os_descriptors(descriptors, OS_DESCRIPTORS_MAX);
	struct rlimit limit;
	int highest = 0;
	int next;

	for (unsigned i = 0; i < count; i++)
		highest = descriptors[i] > highest ? descriptors[i] : highest;
	/* The limit is one on numbers, so the gaps below it are filled for the time. */
	for (next = dup(0); next >= 0 && next < highest; next = dup(0))
		fillers[fillers_count++] = next;
	close(next);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old_descriptor_limit), 0);
	limit = old_descriptor_limit;
	limit.rlim_cur = (rlim_t)(highest + 1) + free;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

void os_unlimit_descriptors(void)
{
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old_descriptor_limit), 0);
	while (fillers_count > 0)
		close(fillers[--fillers_count]);
}

void os_make_local_address(char *text, size_t size)
{
	snprintf(text, size, "unix:@proactor-test-%ld", (long)getpid());
}

#define DESCRIPTORS_WANTED 65536

unsigned os_raise_descriptor_limit(void)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	/* Beyond the hard limit when this process may. */
	if (limit.rlim_max < DESCRIPTORS_WANTED) {
		struct rlimit wanted = {.rlim_cur = DESCRIPTORS_WANTED, .rlim_max = DESCRIPTORS_WANTED};

		if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
			return DESCRIPTORS_WANTED;
	}
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > 1000000 ? 1000000 : (unsigned)limit.rlim_cur;
}

/* The system's address inside a pro_addr, which is stored as the system has it. */
static const struct sockaddr *system_name(const struct pro_addr *addr)
{
	return (const struct sockaddr *)(const void *)addr->storage.bytes;
}

int os_make_peer(const struct pro_addr *addr)
{
	int descriptor = socket(system_name(addr)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_msg(descriptor >= 0, "socket: %s", strerror(errno));
	return descriptor;
}

void os_connect_peer(int descriptor, const struct pro_addr *addr)
{
	if (connect(descriptor, system_name(addr), addr->length))
		ck_abort_msg("connect: %s", strerror(errno));
}

int os_connect(const struct pro_addr *addr)
{
	int descriptor = os_make_peer(addr);

	os_connect_peer(descriptor, addr);
	return descriptor;
}

int os_connect_nonblocking(const struct pro_addr *addr)
{
	int descriptor = os_make_peer(addr);

	ck_assert_int_eq(fcntl(descriptor, F_SETFL, O_NONBLOCK), 0);
	if (connect(descriptor, system_name(addr), addr->length) && errno != EINPROGRESS)
		ck_abort_msg("connect: %s", strerror(errno));
	return descriptor;
}

void os_send(int descriptor, const void *bytes, size_t length)
{
	const char *next = bytes;

	while (length > 0) {
		ssize_t sent = send(descriptor, next, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		ck_assert_msg(sent > 0, "send: %s", strerror(errno));
		next += sent;
		length -= (size_t)sent;
	}
}

bool os_wait_readable(intptr_t descriptor, int64_t limit_ms)
{
	struct pollfd poll_entry = {.fd = (int)descriptor, .events = POLLIN};

	return poll(&poll_entry, 1, (int)limit_ms) > 0;
}

size_t os_receive(int descriptor, void *bytes, size_t length, uint64_t limit_ms)
{
	uint64_t end_ms = os_now_ms() + limit_ms;
	size_t received = 0;

	while (received < length) {
		uint64_t now_ms = os_now_ms();
		ssize_t count;

		if (now_ms >= end_ms || !os_wait_readable(descriptor, (int64_t)(end_ms - now_ms)))
			break;
		count = recv(descriptor, (char *)bytes + received, length - received, 0);
		if (count <= 0)
			break;
		received += (size_t)count;
	}
	return received;
}

void os_shutdown_write(int descriptor)
{
	ck_assert_int_eq(shutdown(descriptor, SHUT_WR), 0);
}

void os_close(int descriptor)
{
	ck_assert_int_eq(close(descriptor), 0);
}

void os_close_with_reset(int descriptor)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	ck_assert_int_eq(setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	os_close(descriptor);
}

void os_pipe(int descriptors[2])
{
	ck_assert_int_eq(pipe2(descriptors, O_CLOEXEC), 0);
}

int os_run_forked(int (*child)(void *context), void *context)
{
	int status;
	pid_t pid = fork();

	/* No assertion in the child: another thread may have held a lock of Check's. */
	if (pid == 0)
		_exit(child(context));
	ck_assert_int_ge(pid, 0);
	while (waitpid(pid, &status, 0) < 0)
		ck_assert_int_eq(errno, EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

bool os_forbid_io_uring(int error)
{
	struct sock_filter filter[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 3, 0),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_enter, 2, 0),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_register, 1, 0),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((uint32_t)error & 0xffff)),
	};
	struct sock_fprog program = {
			.len = (unsigned short)(sizeof(filter) / sizeof(filter[0])), .filter = filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

void os_limit_file_size(uint64_t bytes)
{
	/* What it was before, which need not be the default: Python's children ignore it. */
	static void (*before)(int) = SIG_DFL;
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes == UINT64_MAX ? limit.rlim_max : (rlim_t)bytes;
	if (bytes == UINT64_MAX)
		signal(SIGXFSZ, before);
	else
		before = signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

bool os_mount_small(const char *path, uint64_t bytes)
{
	char size[64];

	snprintf(size, sizeof(size), "size=%llu", (unsigned long long)bytes);
	return mount("none", path, "tmpfs", MS_NOSUID | MS_NODEV, size) == 0;
}

void os_unmount(const char *path)
{
	ck_assert_msg(umount2(path, MNT_DETACH) == 0, "umount: %s", strerror(errno));
}

bool os_is_root(void)
{
	return geteuid() == 0;
}

void os_become_nobody(void)
{
	ck_assert_int_eq(setgid(NOBODY), 0);
	ck_assert_int_eq(setuid(NOBODY), 0);
}

void *os_map(uint64_t bytes)
{
	void *memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ck_assert_msg(memory != MAP_FAILED, "mmap: %s", strerror(errno));
	return memory;
}

void os_unmap(void *memory, uint64_t bytes)
{
	ck_assert_int_eq(munmap(memory, (size_t)bytes), 0);
}

static volatile sig_atomic_t storm_count;
static struct sigaction storm_before;

static void storm_signal(int number)
{
	(void)number;
	storm_count++;
}

void os_signal_storm(unsigned interval_us)
{
	struct itimerval timer = {.it_interval.tv_usec = interval_us, .it_value.tv_usec = interval_us};
	struct sigaction action = {.sa_handler = storm_signal};

	if (interval_us > 0) {
		storm_count = 0;
		ck_assert_int_eq(sigaction(SIGALRM, &action, &storm_before), 0);
	}
	ck_assert_int_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
	if (interval_us == 0)
		ck_assert_int_eq(sigaction(SIGALRM, &storm_before, NULL), 0);
}

unsigned os_signal_storm_count(void)
{
	return (unsigned)storm_count;
}
