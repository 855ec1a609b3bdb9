/* A client for echo servers: keeps `depth` messages of `bytes` bytes under way on each of
 * `connections` connections and checks what comes back. When each connection has had an answer it
 * prints "connections N", and the time begins; in the end it prints one line: messages M seconds S
 * p50_us A p99_us B
 *
 *	load PORT CONNECTIONS BYTES DEPTH SECONDS [MESSAGES]
 *
 * It stops after SECONDS, or, when MESSAGES is given, after that many on all connections together.
 * One thread, epoll. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 1000000u

struct connection {
	int fd;
	size_t received;  /* of the current message */
	uint64_t sent_ns; /* when the oldest message under way was sent */
};

static uint64_t budget = UINT64_MAX; /* messages that may still be sent */
static uint64_t messages;
static uint32_t *samples_us;
static unsigned sample_count;
static unsigned char *pattern;
static unsigned char *scratch;
static size_t bytes;

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void send_message(struct connection *connection)
{
	size_t sent = 0;

	if (budget == 0)
		return;
	budget--;
	connection->sent_ns = now_ns();
	while (sent < bytes) {
		ssize_t part = send(connection->fd, pattern + sent, bytes - sent, MSG_NOSIGNAL);

		if (part < 0)
			die("send");
		sent += (size_t)part;
	}
}

static void connect_all(struct connection *connections, unsigned count, uint16_t port, int poller)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned i = 0; i < count; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
			die("connect");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		connections[i].fd = fd;
		if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event))
			die("epoll_ctl");
	}
}

/* Accepting may take longer than anything else. */
static void await_first_answers(const struct connection *connections, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (send(connections[i].fd, pattern, 1, MSG_NOSIGNAL) != 1)
			die("send");
	for (unsigned i = 0; i < count; i++)
		if (recv(connections[i].fd, scratch, 1, MSG_WAITALL) != 1)
			die("recv");
	printf("connections %u\n", count);
	fflush(stdout);
}

static void count_message(struct connection *connection)
{
	messages++;
	if (sample_count < SAMPLES_MAX)
		samples_us[sample_count++] = (uint32_t)((now_ns() - connection->sent_ns) / 1000);
	send_message(connection);
}

static void receive(struct connection *connection)
{
	ssize_t got = recv(connection->fd, scratch, 65536, MSG_DONTWAIT);

	if (got == 0 || (got < 0 && errno != EAGAIN))
		die("recv");
	for (size_t seen = 0; got > 0 && seen < (size_t)got;) {
		size_t part = (size_t)got - seen;

		if (part > bytes - connection->received)
			part = bytes - connection->received;
		if (memcmp(scratch + seen, pattern + connection->received, part)) {
			fprintf(stderr, "load: wrong bytes came back\n");
			exit(1);
		}
		seen += part;
		connection->received += part;
		if (connection->received == bytes) {
			connection->received = 0;
			count_message(connection);
		}
	}
}

static int compare(const void *left, const void *right)
{
	uint32_t l = *(const uint32_t *)left;
	uint32_t r = *(const uint32_t *)right;

	return (l > r) - (l < r);
}

static uint32_t percentile(unsigned percent)
{
	return sample_count ? samples_us[(uint64_t)(sample_count - 1) * percent / 100] : 0;
}

int main(int argc, char **argv)
{
	struct epoll_event events[256];
	struct connection *connections;
	struct rlimit limit;
	uint64_t began;
	uint64_t until;
	uint64_t wanted = UINT64_MAX;

	if (argc < 6) {
		fprintf(stderr, "usage: load PORT CONNECTIONS BYTES DEPTH SECONDS [MESSAGES]\n");
		return 2;
	}
	const unsigned count = (unsigned)atoi(argv[2]);
	const unsigned depth = (unsigned)atoi(argv[4]);

	bytes = (size_t)atol(argv[3]);
	if (argc > 6)
		wanted = budget = strtoull(argv[6], NULL, 10);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	connections = calloc(count, sizeof(*connections));
	samples_us = malloc(SAMPLES_MAX * sizeof(*samples_us));
	pattern = malloc(bytes);
	scratch = malloc(65536);
	if (!connections || !samples_us || !pattern || !scratch)
		die("memory");
	for (size_t i = 0; i < bytes; i++)
		pattern[i] = (unsigned char)(i * 31 + 7);
	int poller = epoll_create1(EPOLL_CLOEXEC);
	connect_all(connections, count, (uint16_t)atoi(argv[1]), poller);
	await_first_answers(connections, count);
	began = now_ns();
	until = began + (uint64_t)(atof(argv[5]) * 1e9);
	for (unsigned i = 0; i < count; i++)
		for (unsigned d = 0; d < depth; d++)
			send_message(&connections[i]);
	while (now_ns() < until && messages < wanted) {
		int ready = epoll_wait(poller, events, 256, 100);

		for (int i = 0; i < ready; i++)
			receive(&connections[events[i].data.u32]);
	}
	double seconds = (double)(now_ns() - began) / 1e9;
	qsort(samples_us, sample_count, sizeof(*samples_us), compare);
	printf("messages %llu seconds %.6f p50_us %u p99_us %u\n", (unsigned long long)messages,
			seconds, percentile(50), percentile(99));
	return 0;
}
