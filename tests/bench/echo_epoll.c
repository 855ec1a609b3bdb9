/* The yardstick: an echo server as one writes it by hand for epoll, a loop on each thread,
 * level-triggered, one buffer for all connections of a thread; what the socket does not take at
 * once is kept per connection. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

struct connection {
	int fd;
	size_t rest;    /* bytes not yet sent */
	size_t rest_at; /* where they begin in kept */
	unsigned char *kept;
};

static _Thread_local unsigned char shared[65536];
static _Thread_local int poller;

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

static void keep(struct connection *connection, size_t from, size_t length)
{
	connection->rest = length;
	connection->rest_at = 0;
	if (!connection->kept && !(connection->kept = malloc(sizeof(shared))))
		peer_die("malloc");
	memcpy(connection->kept, shared + from, length);
	watch(connection, EPOLLOUT, EPOLL_CTL_MOD);
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
	if (sent < 0)
		drop(connection);
	else if (sent < got)
		keep(connection, (size_t)sent, (size_t)(got - sent));
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

static void on_arrival(int arrivals)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection || (connection->fd = peer_take(arrivals)) < 0)
		peer_die("arrival");
	watch(connection, EPOLLIN, EPOLL_CTL_ADD);
}

static void serve(int arrivals)
{
	struct epoll_event events[256];
	struct epoll_event arriving = {.events = EPOLLIN, .data.ptr = NULL};

	poller = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(poller, EPOLL_CTL_ADD, arrivals, &arriving);
	for (;;) {
		int ready = epoll_wait(poller, events, 256, -1);

		for (int i = 0; i < ready; i++) {
			struct connection *connection = events[i].data.ptr;

			if (!connection)
				on_arrival(arrivals);
			else if (events[i].events & EPOLLOUT)
				on_writable(connection);
			else
				on_readable(connection);
		}
	}
}

int main(int argc, char **argv)
{
	return peer_main(argc, argv, serve);
}
