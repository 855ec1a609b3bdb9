/* Calls of liburing that fail. What a ring is asked for fails too: the entry becomes one that does
 * nothing, and its completion gets the result that the entry's might have had. */
#include "calls.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>

#define RINGS_MAX 1024

static struct io_uring *rings[RINGS_MAX]; /* by their descriptors */

/* The entry that fails, and how. */
static struct io_uring *spoilt_ring;
static uint64_t spoilt_data;
static int spoilt_error;

static struct io_uring *ring_of(unsigned fd)
{
	return fd < RINGS_MAX ? rings[fd] : NULL;
}

/* ---- calls that return -errno ---- */

int calls_io_uring_queue_init_params(
		unsigned entries, struct io_uring *ring, struct io_uring_params *params);
int calls_io_uring_queue_init_params(
		unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
	int error = NEXT_ERROR(EPERM, ENOSYS, ENOMEM, EMFILE, EINVAL);
	bool is_old;

	if (error && error != SHORT)
		return -error;
	/* Short of features. */
	is_old = error == SHORT;
	error = io_uring_queue_init_params(entries, ring, params);
	if (error)
		return error;
	if (is_old)
		ring->features = 0;
	calls_take(ring->ring_fd);
	if (ring->ring_fd < RINGS_MAX)
		rings[ring->ring_fd] = ring;
	return 0;
}

void calls_io_uring_queue_exit(struct io_uring *ring);
void calls_io_uring_queue_exit(struct io_uring *ring)
{
	calls_give(ring->ring_fd);
	if (ring_of((unsigned)ring->ring_fd))
		rings[ring->ring_fd] = NULL;
	if (spoilt_ring == ring)
		spoilt_ring = NULL;
	io_uring_queue_exit(ring);
}

/* Short of opcodes. */
int calls_io_uring_register_probe(
		struct io_uring *ring, struct io_uring_probe *answer, unsigned count);
int calls_io_uring_register_probe(
		struct io_uring *ring, struct io_uring_probe *answer, unsigned count)
{
	const int error = NEXT_ERROR(EINVAL, EACCES);

	if (error == SHORT)
		return 0;
	return error ? -error : io_uring_register_probe(ring, answer, count);
}

#define PLAIN_LIST(X)                                                                              \
	X(io_uring_ring_dontfork, (struct io_uring * ring), (ring), ENOMEM)                            \
	X(io_uring_register, (unsigned fd, unsigned opcode, const void *argument, unsigned count),     \
			(fd, opcode, argument, count), ENOMEM, EPERM)                                          \
	X(io_uring_register_buf_ring,                                                                  \
			(struct io_uring * ring, struct io_uring_buf_reg * registration, unsigned flags),      \
			(ring, registration, flags), EINVAL, ENOMEM)                                           \
	X(io_uring_register_eventfd, (struct io_uring * ring, int fd), (ring, fd), ENOMEM)             \
	X(io_uring_submit_and_wait, (struct io_uring * ring, unsigned count), (ring, count), EPERM,    \
			ENOSYS, EAGAIN)

#define PLAIN_CALL(name, parameters, arguments, ...)                                               \
	int calls_##name parameters;                                                                   \
	int calls_##name parameters                                                                    \
	{                                                                                              \
		const int error = NEXT_ERROR(__VA_ARGS__);                                                 \
                                                                                                   \
		return error ? -error : name arguments;                                                    \
	}

PLAIN_LIST(PLAIN_CALL)

/* ---- entries ---- */

/* ECANCELED is what the entries of a thread that has ended come back with. */
static int error_of_entry(const struct io_uring_sqe *sqe)
{
	switch (sqe->opcode) {
	case IORING_OP_RECV:
		return NEXT_ERROR_OF("RECV", SHORT, EINTR, EAGAIN, ENOBUFS, ECONNRESET, ECANCELED);
	case IORING_OP_SEND:
		return NEXT_ERROR_OF("SEND", SHORT, EINTR, EAGAIN, ENOBUFS, EPIPE, ECANCELED);
	case IORING_OP_RECVMSG:
		return NEXT_ERROR_OF("RECVMSG", EINTR, EAGAIN, ENOMEM, ECONNREFUSED, ECANCELED);
	case IORING_OP_SENDMSG:
		return NEXT_ERROR_OF("SENDMSG", EINTR, EAGAIN, ENOBUFS, ECONNREFUSED, ECANCELED);
	case IORING_OP_READ:
		return NEXT_ERROR_OF("READ", EINTR, EAGAIN, EIO, ENOMEM, ECANCELED);
	case IORING_OP_READV:
		return NEXT_ERROR_OF("READV", EINTR, EAGAIN, EIO, ENOMEM, ECANCELED);
	case IORING_OP_WRITEV:
		return NEXT_ERROR_OF("WRITEV", EINTR, EAGAIN, EIO, ENOMEM, ECANCELED);
	case IORING_OP_ACCEPT:
		return NEXT_ERROR_OF("ACCEPT", EINTR, EAGAIN, ECONNABORTED, EMFILE, ENOMEM, ECANCELED);
	case IORING_OP_POLL_ADD:
		return NEXT_ERROR_OF("POLL_ADD", ENOMEM, ECANCELED);
	}
	return 0;
}

static void spoil(struct io_uring *ring, struct io_uring_sqe *sqe)
{
	const int error = error_of_entry(sqe);

	if (error == SHORT) {
		sqe->len = 1;
	} else if (error) {
		spoilt_ring = ring;
		spoilt_data = sqe->user_data;
		spoilt_error = error;
		memset(sqe, 0, sizeof(*sqe));
		sqe->opcode = IORING_OP_NOP;
		sqe->user_data = spoilt_data;
	}
}

/* The port uses the entries in their order. What failed to be submitted before counts again. */
static void look_at_entries(struct io_uring *ring, unsigned count)
{
	const unsigned first = io_uring_smp_load_acquire(ring->sq.khead);

	for (unsigned i = first; i != first + count; i++) {
		struct io_uring_sqe *sqe = &ring->sq.sqes[i & ring->sq.ring_mask];

		if (sqe->opcode == IORING_OP_CLOSE)
			calls_give(sqe->fd);
		else
			spoil(ring, sqe);
	}
}

static void look_at_completions(struct io_uring *ring)
{
	const unsigned tail = io_uring_smp_load_acquire(ring->cq.ktail);

	if (spoilt_ring != ring)
		return;
	for (unsigned i = *ring->cq.khead; i != tail; i++) {
		struct io_uring_cqe *cqe = &ring->cq.cqes[i & ring->cq.ring_mask];

		if (cqe->user_data != spoilt_data)
			continue;
		cqe->res = -spoilt_error;
		spoilt_ring = NULL;
		return;
	}
}

int calls_io_uring_enter2(
		unsigned fd, unsigned submit, unsigned wait, unsigned flags, sigset_t *set, size_t size);
int calls_io_uring_enter2(
		unsigned fd, unsigned submit, unsigned wait, unsigned flags, sigset_t *set, size_t size)
{
	const int error = NEXT_ERROR(EINTR, EAGAIN, EBUSY);
	struct io_uring *ring = ring_of(fd);
	int result;

	if (error)
		return -error;
	if (ring)
		look_at_entries(ring, submit);
	result = io_uring_enter2(fd, submit, wait, flags, set, size);
	if (ring)
		look_at_completions(ring);
	return result;
}
