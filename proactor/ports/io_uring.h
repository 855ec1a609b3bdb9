/* Private: the parts of the io_uring port.
 *
 *   io_uring.c          the port
 *   io_uring_ring.c     the ring of the kernel: which flags, what works, submitting and waiting
 *   io_uring_flight.c   the way of an operation through the ring
 *   io_uring_stream.c   what each class of operations does there
 *   io_uring_socket.c
 *   io_uring_file.c
 *   io_uring_lent.c     the buffers that the kernel picks for reads that borrow
 *   io_uring_close.c    closing handles, and what is left when the thread of a ring has ended
 *   io_uring_foreign.c  the descriptor for a foreign loop
 *
 * Whatever finds no room in the submission queue, no buffer or no turn stands in a list of the
 * port, and the next wait tries again: nothing here recurses or spins, and nothing needs memory to
 * go on. */
#ifndef PROACTOR_PORTS_IO_URING_H
#define PROACTOR_PORTS_IO_URING_H

#include "linux.h"

#include <liburing.h>
#include <sys/socket.h>
#include <sys/types.h>

/* ThreadSanitizer does not see that the kernel hands an operation from one thread to another. */
#if defined(__SANITIZE_THREAD__)
#define PRO__RING_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PRO__RING_TSAN 1
#endif
#endif
#ifdef PRO__RING_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define PRO__RING_HAND_OVER(pointer) __tsan_release(pointer)
#define PRO__RING_TAKE_OVER(pointer) __tsan_acquire(pointer)
#else
#define PRO__RING_HAND_OVER(pointer) ((void)(pointer))
#define PRO__RING_TAKE_OVER(pointer) ((void)(pointer))
#endif

/* ---- the ring (io_uring_ring.c) ---- */

/* Sets of set-up flags, best first; the first that the kernel takes is used. */
enum pro__ring_rung {
	PRO__RING_DEFER, /* 6.1: completions are finished when the loop asks, by its own thread */
	PRO__RING_COOP,  /* 5.19: finished at the next system call, without interrupting the thread */
	PRO__RING_PLAIN,
	PRO__RING_RUNGS
};

/* What a kernel may lack. */
enum pro__ring_feature {
	PRO__RING_LENT_BUFFERS = 1, /* 5.19: the kernel picks the buffer when data is there */
	PRO__RING_CANCEL_FD = 2,    /* 5.19: cancels everything on a descriptor at once */
	PRO__RING_CQE_SKIP = 4,     /* 5.17: no completion for a cancel that worked */
	PRO__RING_NO_IOWAIT = 8     /* 6.15: a waiting loop does not count as disk wait */
};

struct pro__ring {
	struct io_uring uring;
	struct pro_proactor *proactor; /* whose other threads go on while this one is in the kernel */
	enum pro__ring_rung rung;
	unsigned entries;  /* of the submission queue */
	unsigned features; /* enum pro__ring_feature */
	bool is_open;
	bool is_enabled;
	uint64_t calls; /* system calls made */
};

/* Why a ring can not be had. */
struct pro__ring_refusal {
	const char *what; /* "io_uring_setup", or a whole sentence when os_error is 0 */
	int os_error;
};

/* Tries the rungs from `first` on, with `entries` or, when memory is short, fewer. Nobody is bound
 * to the ring yet. False: see *refusal. */
bool pro__ring_create(struct pro__ring *ring, enum pro__ring_rung first, unsigned entries,
		struct pro__ring_refusal *refusal);
/* Opens a closed ring again as it was. 0 or an errno. */
int pro__ring_reopen(struct pro__ring *ring);
/* Makes the calling thread the one that may use the ring. 0 or an errno. */
int pro__ring_bind(struct pro__ring *ring);
void pro__ring_close(struct pro__ring *ring);

/* A free entry of the submission queue, or NULL. */
static inline struct io_uring_sqe *pro__ring_next_sqe(struct pro__ring *ring)
{
	struct io_uring_sq *sq = &ring->uring.sq;

	if (sq->sqe_tail - io_uring_smp_load_acquire(sq->khead) == sq->ring_entries)
		return NULL;
	return &sq->sqes[sq->sqe_tail++ & sq->ring_mask];
}
/* Hands over what is queued first. */
struct io_uring_sqe *pro__ring_sqe_of_next_batch(struct pro__ring *ring);
/* An entry of the submission queue; hands over what is queued when it is full. NULL: the kernel
 * takes nothing for now. */
static inline struct io_uring_sqe *pro__ring_sqe(struct pro__ring *ring)
{
	struct io_uring_sqe *sqe = pro__ring_next_sqe(ring);

	return sqe ? sqe : pro__ring_sqe_of_next_batch(ring);
}
/* Whether `count` entries can be had that are submitted together. */
bool pro__ring_has_room(struct pro__ring *ring, unsigned count);
/* How long to wait before asking again a kernel that takes no entries, or a receiver that is full.
 */
#define PRO__RING_PAUSE_NS 1000000

/* Submits and waits for a completion or `timeout_ns` (negative: for ever; 0: not at all). */
void pro__ring_enter(struct pro__ring *ring, int64_t timeout_ns);
/* The same without taking notice of completions. */
void pro__ring_submit(struct pro__ring *ring);

/* Takes the oldest completion; false when there is none. `until` bounds a batch. */
static inline unsigned pro__ring_tail(const struct pro__ring *ring)
{
	return io_uring_smp_load_acquire(ring->uring.cq.ktail);
}

static inline bool pro__ring_take(struct pro__ring *ring, unsigned until, struct io_uring_cqe *cqe)
{
	struct io_uring_cq *cq = &ring->uring.cq;
	unsigned head = *cq->khead;

	if (head == until)
		return false;
	cqe->user_data = cq->cqes[head & cq->ring_mask].user_data;
	cqe->res = cq->cqes[head & cq->ring_mask].res;
	cqe->flags = cq->cqes[head & cq->ring_mask].flags;
	io_uring_smp_store_release(cq->khead, head + 1);
	return true;
}

/* ---- buffers for reads that borrow (io_uring_lent.c) ---- */

#define PRO__LENT_GROUP 0

/* The port keeps every block of the lent pool that is not out: in a ring that the kernel picks
 * from, or, where the kernel has no such rings, on a stack. */
struct pro__lent_ring {
	struct pro_proactor *proactor;
	struct io_uring_buf_ring *buffers; /* NULL: the stack is used */
	bool is_ready;
	unsigned char *memory;
	size_t block_size;
	unsigned count;
	unsigned free_count;
	uint16_t *stack;
	uint8_t *is_free; /* by index: it is in `buffers` */
};

/* At the first read that borrows. 0 or PRO_ENOMEM. */
int pro__lent_ring_open(struct pro__lent_ring *lent, struct pro__ring *ring);
void pro__lent_ring_close(struct pro__lent_ring *lent);
/* The ring was opened anew. */
void pro__lent_ring_attach(struct pro__lent_ring *lent, struct pro__ring *ring);
/* The kernel, or the port, took a block. */
void pro__lent_ring_took(struct pro__lent_ring *lent, unsigned index);
/* Takes that back: it will be told of again. */
void pro__lent_ring_untook(struct pro__lent_ring *lent, unsigned index);
/* From the stack; there must be one. */
unsigned pro__lent_ring_pop(struct pro__lent_ring *lent);
void pro__lent_ring_put(struct pro__lent_ring *lent, unsigned index);

/* ---- the port ---- */

/* Behind each descriptor's entry: what is in flight on it. */
struct pro__ring_fd {
	struct pro__fd fd;            /* first */
	struct pro_list_node flights; /* next NULL: never used */
};

/* What user_data says besides its pointer, in its low bits. */
enum pro__ring_tag {
	PRO__RING_FLIGHT,     /* an operation, with the number of its submission in the top 16 bits */
	PRO__RING_FLIGHT_FAR, /* an operation whose address needs those bits */
	PRO__RING_CLOSE,      /* a pro_close_request */
	PRO__RING_WAKE,
	PRO__RING_IGNORED
};
#define PRO__RING_TAG_MASK  UINT64_C(7)
#define PRO__RING_NEAR_MASK UINT64_C(0x0000FFFFFFFFFFF8)

/* Close requests, linked by `next`, in their order. */
struct pro__close_queue {
	struct pro_close_request *head;
	struct pro_close_request *tail;
};

struct pro__ring_foreign;

struct pro__ring_port {
	struct pro_proactor *proactor;
	struct pro__ring ring;
	struct pro__fd_table table;
	struct pro__lent_ring lent;
	uint32_t *fork_mark;
	pid_t thread; /* that the ring is bound to; 0: none yet */
	uint64_t thread_since;
	uint16_t sequence;
	uint64_t ended;     /* operations, to see whether a step ended some */
	pro_handle fd_most; /* the highest descriptor that was used */

	/* What waits for the next turn. */
	struct pro_list_node unsent;      /* flights that found no entry */
	struct pro_list_node uncancelled; /* flights in the kernel whose cancel found no entry */
	struct pro_list_node starving;    /* flights that have data but no buffer */
	struct pro_list_node yielding;    /* transmissions that used up their turn */
	struct pro_list_node orphans;     /* flights of a thread that has ended */
	struct pro__close_queue unclosed; /* requests that found no entry */
	struct pro__close_queue closing;  /* requests in the kernel */
	struct pro__close_queue closed;   /* requests to be reported */

	int wake_fd;
	bool is_wake_armed;
	bool is_shared;      /* several threads run the loop */
	uint64_t wake_count; /* the kernel writes it */

	_Atomic(struct pro__ring_foreign *) foreign;
	bool is_foreign_attached;
};

static inline struct pro__ring_port *pro__ring_port_from(struct pro_port *port)
{
	return (struct pro__ring_port *)(void *)port;
}

/* ---- flights (io_uring_flight.c) ---- */

/* What the port keeps of an operation, in operation->port. */
struct pro__flight {
	struct pro_list_node of_fd;  /* among the flights of its descriptor */
	struct pro_list_node parked; /* in one of the port's lists */
	struct pro__ring_fd *entry;  /* of the operation's handle, since its first flight */
	uint64_t user_data;          /* of what the kernel has */
	size_t moved;                /* bytes of a transmission so far */
	int fd;
	int result; /* of an orphan that was complete */
	unsigned result_flags;
	uint16_t file_epoch;
	uint8_t step; /* enum pro__flight_step */
	uint8_t kind; /* enum pro__fd_kind */
	bool is_in_kernel;
	bool is_cancelled; /* nothing new is begun for it */
	bool is_closed;    /* the handle is being closed */
	bool has_result;
	bool needs_thread;  /* the kernel can only block for it */
	unsigned char byte; /* read to warm a file */
	union {
		struct msghdr message;
		struct pro_work work;
	};
};

_Static_assert(sizeof(struct pro__flight) <= sizeof(((struct pro_operation *)0)->port),
		"a flight fits into an operation");

static inline struct pro__flight *pro__flight_of(struct pro_operation *operation)
{
	return (struct pro__flight *)(void *)operation->port.bytes;
}

static inline struct pro_operation *pro__flight_operation(struct pro__flight *flight)
{
	return pro_container_of(flight, struct pro_operation, port);
}

/* The operation in user_data. */
struct pro_operation *pro__flight_from_user_data(uint64_t user_data);
void pro__flight_begin(struct pro__ring_port *port, struct pro_operation *operation);
void pro__flight_cancel(struct pro__ring_port *port, struct pro_operation *operation);
/* What the kernel was asked for is complete. */
void pro__flight_continue(
		struct pro__ring_port *port, struct pro_operation *operation, int result, unsigned flags);
/* Ends a flight that is not in the kernel. */
void pro__flight_end_cancelled(struct pro__ring_port *port, struct pro_operation *operation);
/* Tries again what waits for entries or buffers. */
void pro__flight_retry(struct pro__ring_port *port);
/* Goes on with transmissions that used up their last turn. */
void pro__flight_run_yielding(struct pro__ring_port *port);
/* Asks the kernel to cancel a flight that it has. */
void pro__flight_send_cancel(struct pro__ring_port *port, struct pro__flight *flight);

/* ---- closing, and threads that end (io_uring_close.c) ---- */

void pro__ring_close_handle(struct pro__ring_port *port, struct pro_close_request *request);
/* The kernel has closed the handle of a request. */
void pro__ring_close_done(struct pro__ring_port *port, struct pro_close_request *request);
/* Tries again what found no entries, and reports what is closed. */
void pro__ring_close_retry(struct pro__ring_port *port);
/* Leaves the ring of a thread that has ended. What the kernel had finished is kept, the rest is
 * cancelled; the next wait tells. */
void pro__ring_abandon(struct pro__ring_port *port);
void pro__ring_end_orphans(struct pro__ring_port *port);

/* ---- the descriptor for a foreign loop (io_uring_foreign.c) ---- */

pro_handle pro__ring_get_handle(struct pro_port *port);
void pro__ring_arm_handle(struct pro_port *port, uint64_t deadline_ns);
/* Before each wait. */
void pro__ring_foreign_drain(struct pro__ring_port *port);
void pro__ring_foreign_fini(struct pro__ring_port *port);

/* ---- the port itself (io_uring.c) ---- */

/* pro_port_vtbl.wake. [any thread, signal handlers] */
void pro__ring_wake(struct pro_port *port);

/* The create of the port's table, without the rungs before `first`. */
int pro__ring_port_create(struct pro_proactor *proactor, const struct pro_proactor_options *options,
		enum pro__ring_rung first, struct pro_port **port, struct pro_proactor_report *report,
		char *why, size_t why_size);

#endif
