/* The yardstick for rings: an echo server as one writes it by hand with liburing, a ring on each
 * thread that only that thread uses, a buffer per connection; receive, send what came, receive
 * again. Nothing of it survives a full queue or a broken ring: it ends then. */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "peer.h"

#define ENTRIES     1024u
#define COMPLETIONS 4096u

struct connection {
	int fd;
	int got;  /* bytes of the last receive */
	int sent; /* of them; equal to got: a receive is under way */
	unsigned char bytes[16384];
};

static _Thread_local struct io_uring ring;

static struct io_uring_sqe *next_entry(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (!sqe) {
		io_uring_submit(&ring);
		sqe = io_uring_get_sqe(&ring);
	}
	if (!sqe)
		peer_die("io_uring_get_sqe");
	return sqe;
}

static void receive(struct connection *connection)
{
	struct io_uring_sqe *sqe = next_entry();

	io_uring_prep_recv(sqe, connection->fd, connection->bytes, sizeof(connection->bytes), 0);
	io_uring_sqe_set_data(sqe, connection);
}

static void send_rest(struct connection *connection)
{
	struct io_uring_sqe *sqe = next_entry();

	io_uring_prep_send(sqe, connection->fd, connection->bytes + connection->sent,
			(size_t)(connection->got - connection->sent), MSG_NOSIGNAL);
	io_uring_sqe_set_data(sqe, connection);
}

static void await_arrival(int arrivals)
{
	struct io_uring_sqe *sqe = next_entry();

	io_uring_prep_poll_add(sqe, arrivals, POLLIN);
	io_uring_sqe_set_data(sqe, NULL);
}

static void drop(struct connection *connection)
{
	struct io_uring_sqe *sqe = next_entry();

	io_uring_prep_close(sqe, connection->fd);
	io_uring_sqe_set_data(sqe, &ring);
	free(connection);
}

static void on_arrival(int arrivals)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection || (connection->fd = peer_take(arrivals)) < 0)
		peer_die("arrival");
	receive(connection);
	await_arrival(arrivals);
}

static void on_completion(struct connection *connection, int result)
{
	if (result <= 0) {
		drop(connection);
		return;
	}
	if (connection->sent == connection->got) {
		connection->got = result;
		connection->sent = 0;
	} else {
		connection->sent += result;
	}
	if (connection->sent < connection->got)
		send_rest(connection);
	else
		receive(connection);
}

static void serve(int arrivals)
{
	struct io_uring_params params = {
			.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
					 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
			.cq_entries = COMPLETIONS,
	};

	errno = -io_uring_queue_init_params(ENTRIES, &ring, &params);
	if (errno)
		peer_die("io_uring_queue_init_params");
	await_arrival(arrivals);
	for (;;) {
		struct io_uring_cqe *cqe;
		unsigned count = 0;
		unsigned head;

		io_uring_submit_and_wait(&ring, 1);
		io_uring_for_each_cqe(&ring, head, cqe)
		{
			void *data = io_uring_cqe_get_data(cqe);

			count++;
			if (!data)
				on_arrival(arrivals);
			else if (data != &ring)
				on_completion(data, cqe->res);
		}
		io_uring_cq_advance(&ring, count);
	}
}

int main(int argc, char **argv)
{
	return peer_main(argc, argv, serve);
}
