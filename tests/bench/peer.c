#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS_MAX 64u

struct server {
	void (*serve)(int arrivals);
	int arrivals[2];
};

void peer_die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static int listen_anywhere(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4096) ||
			getsockname(fd, (struct sockaddr *)&address, &length))
		peer_die("listen");
	printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static void *thread_main(void *argument)
{
	const struct server *server = argument;

	server->serve(server->arrivals[0]);
	return NULL;
}

static int take_accepted(int listener)
{
	int one = 1;
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int listener_of_one = -1;

int peer_take(int arrivals)
{
	int fd;

	if (arrivals == listener_of_one)
		return take_accepted(arrivals);
	if (read(arrivals, &fd, sizeof(fd)) != sizeof(fd))
		peer_die("read");
	return fd;
}

static _Noreturn void deal(const struct server *servers, unsigned count, int listener)
{
	for (unsigned turn = 0;; turn++) {
		int fd = take_accepted(listener);

		if (fd < 0 || write(servers[turn % count].arrivals[1], &fd, sizeof(fd)) != sizeof(fd))
			peer_die("accept");
	}
}

int peer_main(int argc, char **argv, void (*serve)(int arrivals))
{
	static struct server servers[THREADS_MAX];
	const unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	struct rlimit limit;

	if (count < 1 || count > THREADS_MAX) {
		fprintf(stderr, "usage: %s [THREADS]\n", argv[0]);
		return 2;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (unsigned i = 0; count > 1 && i < count; i++) {
		pthread_t thread;

		servers[i].serve = serve;
		if (pipe(servers[i].arrivals) || pthread_create(&thread, NULL, thread_main, &servers[i]))
			peer_die("start");
	}
	int listener = listen_anywhere();
	if (count > 1)
		deal(servers, count, listener);
	listener_of_one = listener;
	serve(listener);
	return 1;
}
