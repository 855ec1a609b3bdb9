/* Loads the echo server: many idle connections, many busy ones at once, every byte checked.
 *
 *	load_echo ECHO_SERVER [IDLE [BUSY [KIB]]]
 *
 * ECHO_SERVER is the program to start; 10000 idle and 2000 busy connections with 64 KiB each are
 *the default. Where the limit of descriptors forbids so many, it scales down and says so as a skip.
 *One thread and one epoll, so that the server gets the rest of the machine. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* The whole run; the tests of a machine under load are slower, but not endless. */
#define LIMIT_MS 100000
/* Connects under way at once: fewer than any system's backlog. */
#define CONNECTING_MAX 256
/* Connections of one source address, so that their ports suffice. */
#define PER_ADDRESS 8000
#define CHUNK_BYTES 16384
#define SPARE_FILES 64
#define IDLE_BYTES  1
#define EVENTS_MAX  512

struct connection {
	int fd;
	uint32_t number;
	bool is_connected;
	bool wants_write; /* what epoll was told */
	uint64_t goal;    /* bytes to send and to get back; 0: idle */
	uint64_t sent;
	uint64_t received;
};

struct load {
	struct connection *connections;
	unsigned count;
	unsigned connected;
	unsigned moving; /* connections that have not got all back */
	uint64_t bytes;
	int epoll;
	struct sockaddr_in server;
	int64_t deadline_ms;
	const char *failure; /* the first */
	int failure_errno;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void load_fail(struct load *load, const char *what)
{
	if (!load->failure) {
		load->failure = what;
		load->failure_errno = errno;
	}
}

/* The byte at `offset` of a connection's stream: another one in each connection and each block. */
static unsigned char pattern(uint32_t number, uint64_t offset)
{
	return (unsigned char)(offset * 7 + (offset >> 8) * 13 + number * 31 + (number >> 8) * 101);
}

/* ---- the server ---- */

struct server {
	pid_t pid;
	FILE *output;
};

static bool server_start(struct server *server, const char *program, struct sockaddr_in *address)
{
	char *arguments[] = {(char *)(uintptr_t)program, "--listen", "127.0.0.1:0", NULL};
	posix_spawn_file_actions_t actions;
	unsigned port = 0;
	int ends[2];

	if (pipe(ends))
		return false;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&actions, ends[0]);
	posix_spawn_file_actions_addclose(&actions, ends[1]);
	int error = posix_spawn(&server->pid, program, &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	server->output = fdopen(ends[0], "r");
	if (error || !server->output) {
		errno = error ? error : errno;
		return false;
	}
	if (fscanf(server->output, "listening on 127.0.0.1:%u", &port) != 1)
		return false;
	memset(address, 0, sizeof(*address));
	address->sin_family = AF_INET;
	address->sin_port = htons((uint16_t)port);
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return true;
}

/* Resident memory in KiB. */
static long server_memory(const struct server *server)
{
	char name[64];
	char line[256];
	long kib = -1;

	snprintf(name, sizeof(name), "/proc/%ld/status", (long)server->pid);
	FILE *file = fopen(name, "r");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	}
	if (file)
		fclose(file);
	return kib;
}

/* Ends it with SIGINT; its exit status, or -1. */
static int server_stop(struct server *server)
{
	int status;

	kill(server->pid, SIGINT);
	if (waitpid(server->pid, &status, 0) != server->pid)
		return -1;
	fclose(server->output);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- the clients ---- */

static void connection_watch(struct load *load, struct connection *connection, bool wants_write)
{
	struct epoll_event event = {
			.events = EPOLLIN | (wants_write ? (uint32_t)EPOLLOUT : 0), .data.ptr = connection};

	if (connection->wants_write == wants_write)
		return;
	connection->wants_write = wants_write;
	if (epoll_ctl(load->epoll, EPOLL_CTL_MOD, connection->fd, &event))
		load_fail(load, "epoll_ctl");
}

static bool connection_open(struct load *load, struct connection *connection)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = connection};
	struct sockaddr_in source = {.sin_family = AF_INET};
	int on = 1;

	connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connection->fd < 0)
		return false;
	connection->wants_write = true;
	source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + connection->number / PER_ADDRESS);
	setsockopt(connection->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(connection->fd, (struct sockaddr *)&source, sizeof(source)) ||
			epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event))
		return false;
	return !connect(connection->fd, (struct sockaddr *)&load->server, sizeof(load->server)) ||
		   errno == EINPROGRESS;
}

static void connection_finish_connect(struct load *load, struct connection *connection)
{
	socklen_t length = sizeof(errno);
	int error = 0;

	getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error) {
		errno = error;
		load_fail(load, "connect");
		return;
	}
	connection->is_connected = true;
	load->connected++;
	connection_watch(load, connection, false);
}

static void connection_send(struct load *load, struct connection *connection)
{
	unsigned char chunk[CHUNK_BYTES];

	while (connection->sent < connection->goal) {
		uint64_t left = connection->goal - connection->sent;
		size_t length = left < sizeof(chunk) ? (size_t)left : sizeof(chunk);

		for (size_t i = 0; i < length; i++)
			chunk[i] = pattern(connection->number, connection->sent + i);
		ssize_t sent = send(connection->fd, chunk, length, MSG_NOSIGNAL);
		if (sent < 0) {
			if (errno != EAGAIN)
				load_fail(load, "send");
			break;
		}
		connection->sent += (uint64_t)sent;
	}
	connection_watch(load, connection, connection->sent < connection->goal);
}

static void connection_receive(struct load *load, struct connection *connection)
{
	unsigned char chunk[CHUNK_BYTES];
	ssize_t length = recv(connection->fd, chunk, sizeof(chunk), 0);

	if (length <= 0) {
		if (length == 0 || errno != EAGAIN)
			load_fail(load, length ? "recv" : "the server ended a connection");
		return;
	}
	for (ssize_t i = 0; i < length; i++) {
		if (chunk[i] != pattern(connection->number, connection->received + (uint64_t)i)) {
			load_fail(load, "another byte came back");
			return;
		}
	}
	connection->received += (uint64_t)length;
	load->bytes += (uint64_t)length;
	if (connection->received > connection->sent)
		load_fail(load, "more came back than was sent");
	else if (connection->received == connection->goal)
		load->moving--;
}

/* One round of events; false at the deadline or after a failure. */
static bool load_turn(struct load *load)
{
	struct epoll_event events[EVENTS_MAX];
	int64_t left_ms = load->deadline_ms - now_ms();
	int count = left_ms > 0 ? epoll_wait(load->epoll, events, EVENTS_MAX, (int)left_ms) : 0;

	if (count <= 0)
		load_fail(load, count ? "epoll_wait" : "not in time");
	for (int i = 0; i < count && !load->failure; i++) {
		struct connection *connection = events[i].data.ptr;

		if (!connection->is_connected)
			connection_finish_connect(load, connection);
		else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			connection_receive(load, connection);
		if (!load->failure && (events[i].events & EPOLLOUT) && connection->is_connected)
			connection_send(load, connection);
	}
	return !load->failure;
}

static bool load_connect(struct load *load)
{
	unsigned opened = 0;

	do {
		while (opened < load->count && opened - load->connected < CONNECTING_MAX) {
			if (!connection_open(load, &load->connections[opened++])) {
				load_fail(load, "connect");
				return false;
			}
		}
	} while (load->connected < load->count && load_turn(load));
	return !load->failure;
}

/* Lets connections [first, end) send `bytes` bytes more each, and get them back. */
static bool load_exchange(struct load *load, unsigned first, unsigned end, uint64_t bytes)
{
	for (unsigned i = first; i < end; i++) {
		load->connections[i].goal += bytes;
		connection_watch(load, &load->connections[i], true);
	}
	load->moving = end - first;
	while (load->moving > 0 && load_turn(load))
		;
	return !load->failure;
}

/* ---- the run ---- */

/* Raises the limit of descriptors as far as it goes; how many there may be. */
static rlim_t raise_limit(rlim_t wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	if (limit.rlim_cur < wanted) {
		struct rlimit more = {
				.rlim_cur = wanted, .rlim_max = limit.rlim_max > wanted ? limit.rlim_max : wanted};

		if (setrlimit(RLIMIT_NOFILE, &more)) {
			more.rlim_cur = more.rlim_max = limit.rlim_max;
			setrlimit(RLIMIT_NOFILE, &more);
		}
		getrlimit(RLIMIT_NOFILE, &limit);
	}
	return limit.rlim_cur;
}

static unsigned argument(int argc, char **argv, int index, unsigned fallback)
{
	return index < argc ? (unsigned)strtoul(argv[index], NULL, 10) : fallback;
}

/* Prints one line for a test; counts it. */
static void report(const struct load *load, const char *name, int64_t began_ms, int *passed)
{
	if (load->failure)
		printf("FAIL %s: %s (%s)\n", name, load->failure, strerror(load->failure_errno));
	else
		printf("ok   %s %.2f s\n", name, (double)(now_ms() - began_ms) / 1000);
	*passed += !load->failure;
	fflush(stdout);
}

int main(int argc, char **argv)
{
	unsigned idle = argument(argc, argv, 2, 10000);
	unsigned busy = argument(argc, argv, 3, 2000);
	uint64_t bytes = (uint64_t)argument(argc, argv, 4, 64) * 1024;
	struct load load = {.deadline_ms = now_ms() + LIMIT_MS};
	struct server server = {.pid = -1};
	int64_t began_ms = now_ms();
	int skipped = 0;
	int passed = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: load_echo ECHO_SERVER [IDLE [BUSY [KIB]]]\n");
		return 2;
	}
	rlim_t limit = raise_limit(idle + busy + SPARE_FILES);
	if (limit < idle + busy + SPARE_FILES) {
		printf("skip: %u connections: %llu descriptors is the limit\n", idle + busy,
				(unsigned long long)limit);
		skipped = 1;
		busy = (unsigned)(limit - SPARE_FILES) / 6;
		idle = (unsigned)(limit - SPARE_FILES) - busy;
	}
	load.count = idle + busy;
	load.connections = calloc(load.count, sizeof(*load.connections));
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!load.connections || load.epoll < 0 || !server_start(&server, argv[1], &load.server)) {
		perror(argv[1]);
		return 1;
	}
	for (unsigned i = 0; i < load.count; i++)
		load.connections[i].number = i;
	long before_kib = server_memory(&server);

	load_connect(&load);
	report(&load, "all_connections_are_accepted", began_ms, &passed);
	long idle_kib = server_memory(&server);
	began_ms = now_ms();
	if (!load.failure)
		load_exchange(&load, idle, load.count, bytes);
	report(&load, "busy_connections_get_every_byte_back_among_idle_ones", began_ms, &passed);
	began_ms = now_ms();
	if (!load.failure)
		load_exchange(&load, 0, idle, IDLE_BYTES);
	report(&load, "idle_connections_are_alive", began_ms, &passed);
	began_ms = now_ms();
	if (server_stop(&server))
		load_fail(&load, "the server did not end cleanly");
	report(&load, "the_server_ends_with_all_of_them_connected", began_ms, &passed);
	printf("%u idle and %u busy connections, %llu bytes came back, %ld bytes of memory each\n",
			idle, busy, (unsigned long long)load.bytes,
			load.count ? (idle_kib - before_kib) * 1024 / (long)load.count : 0);
	printf("%d passed, %d failed, %d skipped\n", passed, 4 - passed, skipped);
	free(load.connections);
	close(load.epoll);
	return passed == 4 ? 0 : 1;
}
