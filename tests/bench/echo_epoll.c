/* The yardstick: an echo server as one writes it by hand for epoll, one thread, level-triggered,
 * one shared buffer; what the socket does not take at once is kept per connection. Prints
 * "listening on 127.0.0.1:PORT" and serves until it is killed. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
	int fd;
	size_t rest;    /* bytes not yet sent */
	size_t rest_at; /* where they begin in kept */
	unsigned char *kept;
};

static unsigned char shared[65536];
static int poller;

static void drop(struct connection *connection)
{
	close(connection->fd);
	free(connection->kept);
	free(connection);
}

static void watch(struct connection *connection, uint32_t events, int action)
{
	struct epoll_event event = {.events = events, .data.ptr = connection};

	epoll_ctl(poller, action, connection->fd, &event);
}

static void on_readable(struct connection *connection)
{
	ssize_t got = recv(connection->fd, shared, sizeof(shared), 0);
	ssize_t sent;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		drop(connection);
		return;
	}
	sent = send(connection->fd, shared, (size_t)got, MSG_NOSIGNAL);
	if (sent < 0 && errno == EAGAIN)
		sent = 0;
	if (sent < 0) {
		drop(connection);
		return;
	}
	if (sent < got) {
		connection->rest = (size_t)(got - sent);
		connection->rest_at = 0;
		connection->kept = realloc(connection->kept, sizeof(shared));
		memcpy(connection->kept, shared + sent, connection->rest);
		watch(connection, EPOLLOUT, EPOLL_CTL_MOD);
	}
}

static void on_writable(struct connection *connection)
{
	ssize_t sent = send(
			connection->fd, connection->kept + connection->rest_at, connection->rest, MSG_NOSIGNAL);

	if (sent < 0 && errno == EAGAIN)
		return;
	if (sent < 0) {
		drop(connection);
		return;
	}
	connection->rest_at += (size_t)sent;
	connection->rest -= (size_t)sent;
	if (connection->rest == 0)
		watch(connection, EPOLLIN, EPOLL_CTL_MOD);
}

static void on_connection(int listener)
{
	int one = 1;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct connection *connection = calloc(1, sizeof(*connection));

		if (!connection)
			abort();
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		connection->fd = fd;
		watch(connection, EPOLLIN, EPOLL_CTL_ADD);
	}
}

static int listen_anywhere(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4096) ||
			getsockname(fd, (struct sockaddr *)&address, &length)) {
		perror("echo_epoll");
		exit(1);
	}
	printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

int main(void)
{
	struct epoll_event events[256];
	struct epoll_event listening = {.events = EPOLLIN, .data.ptr = NULL};
	struct rlimit limit;
	int listener = listen_anywhere();

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	poller = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(poller, EPOLL_CTL_ADD, listener, &listening);
	for (;;) {
		int ready = epoll_wait(poller, events, 256, -1);

		for (int i = 0; i < ready; i++) {
			struct connection *connection = events[i].data.ptr;

			if (!connection)
				on_connection(listener);
			else if (events[i].events & EPOLLOUT)
				on_writable(connection);
			else
				on_readable(connection);
		}
	}
}
