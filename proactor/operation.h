/* Operations: what is in flight, to whom it belongs, what can be done to any of them.
 *
 * An operation object belongs to the caller and is embedded in the handler (or allocated by it); it
 * has one flight at a time. From a start that returns 0 until its callback runs, the object and its
 * buffers belong to the port. ACE: ACE_Asynch_Operation, ACE_Asynch_Result. */
#ifndef PROACTOR_OPERATION_H
#define PROACTOR_OPERATION_H

#include <proactor/addr.h>
#include <proactor/error.h>
#include <proactor/message_block.h>

PRO_BEGIN_DECLS

struct pro_proactor;
struct pro_operation;
struct pro_owner;
struct pro_event_vtbl;

/* What a port is asked to do. Every opcode but TIMER goes to the port. */
enum pro_opcode {
	PRO_OP_READ_STREAM,
	PRO_OP_WRITE_STREAM,
	PRO_OP_READ_FILE,
	PRO_OP_WRITE_FILE,
	PRO_OP_READ_DGRAM,
	PRO_OP_WRITE_DGRAM,
	PRO_OP_ACCEPT,
	PRO_OP_CONNECT,
	PRO_OP_TRANSMIT_FILE,
	PRO_OP_RESOLVE,
	PRO_OP_TIMER
};

#define PRO_OPCODE_COUNT 11

/* Deadlines: none. */
#define PRO_NO_TIMEOUT INT64_C(-1)

/* The first members of every result, valid during the callback only. `error` is 0 or a negative
 * PRO_E…; os_error the system's own number or 0; bytes_transferred counts also for a failed or
 * cancelled operation; act and completion_key are what the caller set. ACE: ACE_Asynch_Result. */
#define PRO_RESULT_MEMBERS                                                                         \
	int error;                                                                                     \
	int os_error;                                                                                  \
	size_t bytes_transferred;                                                                      \
	const void *act;                                                                               \
	const void *completion_key;                                                                    \
	struct pro_operation *operation

/* A unit of dispatch, queued in order; private. */
struct pro_event {
	struct pro_event *next;
	struct pro_owner *owner;
	const struct pro_event_vtbl *vtbl;
};

/* A request from another thread, queued on the proactor's inbox; private. Its count of holds keeps
 * the owner alive. */
struct pro_inbox_node {
	struct pro_inbox_node *next;
	void (*run)(struct pro_inbox_node *node, uint32_t requests, uint32_t holds);
	PRO_ATOMIC(uint64_t) requests; /* low half: bits asked for; high half: holds to give back */
};

/* A timer in the queue of the loop; private. All zero is a timer that is not queued. */
struct pro_timer {
	struct pro_timer *next;
	struct pro_timer **link; /* what points at this timer; NULL when it is not queued */
	uint64_t expires_ms;
};

struct pro_list_node {
	struct pro_list_node *next;
	struct pro_list_node *prev;
};

/* A handle to be closed once the port has ended what is in flight on it; private. */
struct pro_close_request {
	struct pro_close_request *next;
	pro_handle handle;
	void (*closed)(struct pro_close_request *request); /* [loop thread] may be NULL */
	uint64_t port[2];
};

/* What the engine knows of a handler: private, the first part of struct pro_handler. */
struct pro_owner {
	struct pro_proactor *proactor;
	void (*closed)(struct pro_owner *owner); /* calls handle_close */
	struct pro_list_node link;    /* in the proactor's list of owners; next NULL: not in it */
	struct pro_list_node flights; /* operations in flight; the thread that leads the loop owns it */
	size_t pending;               /* flights and events not yet delivered; the loop thread's */
	PRO_ATOMIC(uint32_t) state; /* enum pro_owner_state, and above it the holds of other threads */
	PRO_ATOMIC(pro_handle) handle; /* closed with the owner; PRO_INVALID_HANDLE when it owns none */
	struct pro_close_request close_request;
	struct pro_inbox_node inbox;
	struct pro_event close_event;
	struct pro_event post_event;
	struct pro_event wakeup_event;
	PRO_ATOMIC(struct pro_message_block *) posts; /* newest first, pushed by any thread */
	struct pro_message_block *posts_head;         /* oldest first, to be delivered */
	struct pro_message_block *posts_tail;
	struct pro_message_block *posting; /* the share of them that is being delivered */
	void (*posted)(struct pro_owner *owner, struct pro_message_block *block, int error);
	void (*woken)(struct pro_owner *owner);
	const void *runner; /* of several threads the one that runs the owner's callbacks now */
	size_t runs;        /* callbacks that it has taken */
	struct pro_event *deferred_head; /* events that wait for it */
	struct pro_event *deferred_tail;
	uint32_t flags;
	uint32_t may_overlap; /* callbacks; set before anything is started */
};

/* Private: what a class of operation does; see proactor/engine.h. */
struct pro_operation_vtbl;

/* The header, file range and trailer of a transmit_file; each part may be absent. */
struct pro_transmit_request {
	struct pro_buffer header;
	struct pro_buffer trailer;
	pro_handle file; /* PRO_INVALID_HANDLE: no file part */
	uint64_t offset; /* of the next byte to be sent */
	uint64_t left;   /* bytes of the file still to be sent */
	uint64_t sent;   /* bytes sent of all parts together */
	uint64_t cold;   /* 1 + the last offset that was not in memory; the port's, 0 at the start */
};

struct pro_resolve_request {
	char host[PRO_HOST_MAX];
	uint16_t port;
	uint16_t count;           /* addresses found */
	struct pro_addr found[8]; /* in the resolver's order */
};

/* The common part of every operation object: embed by way of struct pro_asynch_…; use the functions
 * below only. Opening it reads nothing of it, so the
 * memory may be raw; it is not to be opened while a flight is under way. */
struct pro_operation {
	const struct pro_operation_vtbl *vtbl;
	struct pro_owner *owner;

	/* Private: the flight. What each needs comes first, in as few cache lines as may be. */
	struct pro_event event;
	struct pro_list_node flight_link;
	PRO_ATOMIC(uint32_t) state; /* enum pro_operation_state */
	uint8_t opcode;             /* enum pro_opcode */
	uint8_t flags;              /* PRO__STALL_DEADLINE and the others of engine.h */
	uint16_t handle_epoch;      /* the port's generation of `handle`; 0: not looked up yet */
	pro_handle handle;
	PRO_ATOMIC(uint64_t) flight;        /* number of this flight, so that a cancel hits no other */
	PRO_ATOMIC(uint64_t) cancel_flight; /* the flight that another thread wants cancelled */
	int64_t timeout_ms;
	uint64_t progress_ms; /* when bytes last moved, for stall deadlines */
	struct pro_timer deadline;

	/* Private: what the port is asked for. */
	union {
		struct {
			struct pro_buffer *buffers;
			unsigned count; /* 0 in READ_STREAM: lend a block */
			unsigned flags;
			uint64_t offset; /* files */
			struct pro_addr
					*address; /* datagrams: peer, out for reads, in for writes (may be NULL) */
			struct pro_message_block *lent; /* out: the block lent, wr set */
			size_t lent_max;                /* bytes of it to be filled; 0: all */
		} io;
		struct {
			pro_handle accepted;     /* out */
			struct pro_addr *local;  /* out; may be NULL */
			struct pro_addr *remote; /* out; may be NULL */
			void *space;             /* 320 bytes for the port */
		} accept;
		struct {
			pro_handle connected; /* out */
			const struct pro_addr *remote;
			const struct pro_addr *local; /* NULL: any */
			uint32_t flags;
		} connect;
		struct pro_transmit_request *transmit;
		struct pro_resolve_request *resolve;
		struct {
			uint64_t delay_ms;
			uint64_t interval_ms; /* 0: one shot */
			uint64_t due_ms;
			uint64_t expirations; /* since the last callback */
			uint64_t reported;    /* to the callback that comes */
			bool is_final;        /* so is that callback */
		} timer;
	} request;

	/* Private: how the flight ended. */
	int error;
	int os_error;
	size_t bytes;
	const void *act;
	const void *completion_key;
	const void *caller; /* who started it, for dumps */

	/* Private: what another thread asked for. */
	struct pro_inbox_node inbox;
	size_t bytes_remote; /* of a completion on its way */

	/* Private: what the port keeps per flight; it asserts that this suffices. */
	union {
		uint64_t align;
		void *pointer;
		unsigned char bytes[160];
	} port;
};

/* Cancels the flight that is under way now (of a write stream: all that is queued now). 0: it will
 * complete soon, with PRO_ECANCELED or, if it won the race, with its success; PRO_ENOTFOUND:
 * nothing was in flight; PRO_EINVAL: it was never opened; PRO_EFORKED. The callback comes in either
 * case where a start returned 0. A timer that was cancelled with 0 by a callback, after its start
 * returned, does not expire any more. [any thread] ACE: ACE_Asynch_Operation::cancel. Since 0.1. */
PRO_API int pro_operation_cancel(struct pro_operation *operation);

/* Gives every later flight of this object `timeout_ms` milliseconds from its start; then it is
 * cancelled and completes with PRO_ETIMEDOUT (and its count). PRO_NO_TIMEOUT, the default, means
 * none; 0 means at once if it can not finish at once. PRO_EINVAL for other negative values and an
 * operation that was not opened, PRO_EFORKED. A write stream counts from the moment the bytes reach
 * the head of its queue; timers have no deadline. [set-up or callback] Since 0.1. */
PRO_API int pro_operation_set_timeout(struct pro_operation *operation, int64_t timeout_ms);

/* As pro_operation_set_timeout, but the time starts anew whenever bytes move: for long transfers to
 * slow peers. Each call of either replaces the other; errors as there. [set-up or callback] Since
 * 0.1.
 */
PRO_API int pro_operation_set_stall_timeout(struct pro_operation *operation, int64_t timeout_ms);

/* The asynchronous completion token that results of later starts carry. [set-up or callback] Since
 * 0.1. */
PRO_API void pro_operation_set_act(struct pro_operation *operation, const void *act);

/* The completion key that results carry; set when the operation is opened, NULL by default. [set-up
 * or callback] Since 0.1. */
PRO_API void pro_operation_set_completion_key(
		struct pro_operation *operation, const void *completion_key);

/* Whether a flight is under way: started and its callback not yet entered. [any thread], a
 * snapshot. Since 0.1. */
PRO_API bool pro_operation_in_flight(const struct pro_operation *operation);

/* The proactor it belongs to; NULL when it was not opened. [any thread] Since 0.1. */
PRO_API struct pro_proactor *pro_operation_proactor(const struct pro_operation *operation);

PRO_END_DECLS

#endif
