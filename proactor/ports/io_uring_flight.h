/* Private: what each class of operation does on its way through the ring, and what all of them
 * share. io_uring_flight.c drives them; io_uring_stream.c, io_uring_socket.c and io_uring_file.c
 * hold the classes. */
#ifndef PROACTOR_PORTS_IO_URING_FLIGHT_H
#define PROACTOR_PORTS_IO_URING_FLIGHT_H

#include "io_uring.h"

#include <poll.h>
#include <sys/uio.h>

/* What the kernel is asked for. */
enum pro__flight_step {
	PRO__STEP_TRANSFER, /* the operation itself */
	PRO__STEP_POLL,     /* readiness of its descriptor */
	PRO__STEP_WARM,     /* one byte of a file, to have it in memory */
	PRO__STEP_PAUSE     /* a little time, after which it begins again */
};

struct pro__flight_class {
	void (*begin)(struct pro__ring_port *port, struct pro_operation *operation);
	/* Fills in the entry of the transfer. */
	void (*prepare)(
			struct pro__ring_port *port, struct pro_operation *operation, struct io_uring_sqe *sqe);
	/* The transfer gave `result` (>= 0). */
	void (*transferred)(struct pro__ring_port *port, struct pro_operation *operation, int result,
			unsigned flags);
	/* A step gave -os_error, which is not one of those that every flight treats alike. */
	void (*failed)(struct pro__ring_port *port, struct pro_operation *operation, int os_error);
	/* The poll says that the descriptor is ready, or the file is warm, or the turn has come. */
	void (*ready)(struct pro__ring_port *port, struct pro_operation *operation);
	/* Gives up what the flight holds, before it ends as cancelled. May be NULL. */
	void (*drop)(struct pro__ring_port *port, struct pro_operation *operation);
	/* For flights that never go to the kernel; NULL for the others. */
	void (*cancel)(struct pro__ring_port *port, struct pro_operation *operation);
	uint32_t poll_events;
	bool has_handle; /* it is about the operation's handle */
	bool needs_kind; /* of that handle; to know it makes a socket non-blocking, for inline tries */
	bool is_file;    /* no poll tells when it is ready */
	bool may_win;    /* a cancelled one tries once more when it is ready */
};

extern const struct pro__flight_class pro__flight_read_stream;
extern const struct pro__flight_class pro__flight_write_stream;
extern const struct pro__flight_class pro__flight_read_file;
extern const struct pro__flight_class pro__flight_write_file;
extern const struct pro__flight_class pro__flight_transmit_file;
extern const struct pro__flight_class pro__flight_read_dgram;
extern const struct pro__flight_class pro__flight_write_dgram;
extern const struct pro__flight_class pro__flight_accept;
extern const struct pro__flight_class pro__flight_connect;
extern const struct pro__flight_class pro__flight_resolve;

/* ---- for the classes ---- */

/* Asks the kernel for a step; a cancelled flight ends instead. */
void pro__flight_send(
		struct pro__ring_port *port, struct pro_operation *operation, enum pro__flight_step step);
/* The step of those that poll, then transfer. */
void pro__flight_transfer(struct pro__ring_port *port, struct pro_operation *operation);
/* `got` of an inline try: bytes, or -errno; EAGAIN polls. */
void pro__flight_tried(struct pro__ring_port *port, struct pro_operation *operation, ssize_t got);
void pro__flight_end(
		struct pro__ring_port *port, struct pro_operation *operation, int error, size_t bytes);
void pro__flight_end_os(struct pro__ring_port *port, struct pro_operation *operation, int error,
		int os_error, size_t bytes);
void pro__flight_fail(struct pro__ring_port *port, struct pro_operation *operation, int os_error);
/* `transferred` of those whose result is a number of bytes. */
void pro__flight_bytes_transferred(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags);
/* Counts a flight among those of its descriptor, and no more. */
void pro__flight_attach(
		struct pro__ring_port *port, struct pro__flight *flight, struct pro__ring_fd *entry);
void pro__flight_detach(struct pro__flight *flight);

static inline bool pro__flight_is_socket(const struct pro__flight *flight)
{
	return pro__kind_is_socket(flight->kind);
}

static inline const struct iovec *pro__flight_pieces(const struct pro_operation *operation)
{
	return (const struct iovec *)(const void *)operation->request.io.buffers;
}

/* The buffers as a message, in the flight. */
static inline struct msghdr *pro__flight_message(struct pro_operation *operation)
{
	struct msghdr *message = &pro__flight_of(operation)->message;

	*message = (struct msghdr){.msg_iov = (struct iovec *)(void *)operation->request.io.buffers,
			.msg_iovlen = operation->request.io.count};
	return message;
}

#endif
