/* Private: what the engine offers to handlers/, asynch/ and ports/. Not installed.
 *
 * The way of a completion: pro__operation_start, by way of the inbox from other threads; the port's
 * submit and wait; pro__operation_complete and the class's advance, which may submit again; the
 * queue of events; the class's deliver. docs/architecture.md has the picture.
 */
#ifndef PROACTOR_ENGINE_H
#define PROACTOR_ENGINE_H

#include <proactor/operation.h>
#include <proactor/proactor.h>

#include <assert.h>
#include <stdatomic.h>

#include "list.h"
#include "ports/port.h"

enum pro_operation_state {
	PRO__IDLE,      /* the caller's */
	PRO__QUEUED,    /* accepted from another thread, not yet seen by the loop */
	PRO__IN_FLIGHT, /* the port's */
	PRO__READY      /* complete, its event queued */
};

/* Bits of pro_operation.flags; the loop thread's, but PRO__STALL_DEADLINE which is the caller's
 * while idle. */
enum {
	PRO__STALL_DEADLINE = 1, /* timeout_ms counts from the last progress */
	PRO__CANCEL_ASKED = 2,   /* by the user, a close or a deadline */
	PRO__TIMED_OUT = 4,      /* the deadline asked */
	PRO__SUBMITTED = 8,      /* the port has it: cancel goes to the port */
	PRO__BORROWS = 16,       /* READ_STREAM without buffers: the port lends */
	PRO__IN_SUBMIT = 32,     /* inside port->submit: its caller submits again */
	PRO__SUBMIT_AGAIN = 64,  /* a completion inside port->submit wants that */
	PRO__EVENT_QUEUED = 128  /* the event is in the queue */
};

enum pro_advance { PRO__DONE, PRO__MORE };

/* Bits of pro_message_block.queue_flags that debug mode uses: released while the port owns it; from
 * PRO__BLOCK_WATCH on, how many flights use it. The lower bits are the write stream's. */
enum { PRO__BLOCK_RELEASED = 0x80, PRO__BLOCK_WATCH = 0x100 };

/* What a flight uses of the caller's blocks. */
struct pro__chain {
	struct pro_message_block *block;
	size_t bytes; /* at most */
	bool is_vector;
	bool is_read;       /* into the space of the blocks, else their data is written out */
	bool may_be_shared; /* with other flights, since the blocks are left as they are */
};
#define PRO__CHAINS_MAX 2

/* What debug mode and the simulated port put into space that is read into. */
#define PRO__PATTERN 0xD5

/* A class of operations. */
struct pro_operation_vtbl {
	const char *name; /* "read_stream" */

	/* The port has ended what it was asked for (error, os_error, bytes of this round in `bytes`).
	 * Accounts for it; PRO__MORE when the operation is to be submitted again with what is left
	 * (never after an error). At the end operation->bytes is the total. NULL: always PRO__DONE.
	 * [loop thread] */
	enum pro_advance (*advance)(struct pro_operation *operation, size_t bytes);

	/* What the engine calls instead of the port, for what needs none: as pro_port_vtbl's. NULL: the
	 * port. [loop thread] */
	void (*submit)(struct pro_operation *operation);
	void (*cancel)(struct pro_operation *operation);

	/* The callback is next: takes out of the shared state what it will report. NULL: nothing. [loop
	 * thread] */
	void (*prepare)(struct pro_operation *operation);

	/* Builds the typed result on the stack, calls pro__operation_begin_callback and then the
	 * handler's slot. The object may be gone when the callback returns. [callback] */
	void (*deliver)(struct pro_operation *operation);

	/* Fills in the chains that the flight uses, at most PRO__CHAINS_MAX; returns how many. For
	 * debug mode. NULL: none. [loop thread] */
	unsigned (*chains)(struct pro_operation *operation, struct pro__chain *chains);

	/* Another thread left work for an operation that queues (write_stream). NULL elsewhere. [loop
	 * thread] */
	void (*nudge)(struct pro_operation *operation);

	/* For an operation that queues, NULL elsewhere: the user asks for a cancel, which is to hit
	 * what is queued now and nothing later; whether anything is. [any thread] Then the cancel
	 * begins; whether it hits anything. [loop thread] */
	bool (*cancel_asked)(struct pro_operation *operation);
	bool (*cancel_begins)(struct pro_operation *operation);
};

enum pro_owner_state {
	PRO__OPEN,
	PRO__CLOSING, /* refuses starts; flights are being cancelled */
	PRO__CLOSED   /* handle_close queued or run */
};
/* pro_owner.state is one word, so that closing and entering can not pass each other unseen: the
 * state in these bits, above them the holds of other threads. */
#define PRO__OWNER_STATE 3u

/* What the dispatch of an event does: in the engine, in the callback, in the engine again. */
struct pro_event_vtbl {
	void (*prepare)(struct pro_event *event); /* [loop thread] may be NULL */
	void (*call)(struct pro_event *event);    /* [callback] the event may be gone afterwards */
	void (*finish)(struct pro_owner *owner);  /* [loop thread] NULL: so is the owner */
};

/* ---- operations (operation.c) ---- */

/* Binds an operation object to its class and owner; the rest of it becomes zero. */
void pro__operation_init(struct pro_operation *operation, const struct pro_operation_vtbl *vtbl,
		enum pro_opcode opcode, struct pro_owner *owner, pro_handle handle);

/* A start in three steps. Claims the idle object, so that of several threads one may fill in
 * operation->request: 0, PRO_EBUSY, PRO_ECLOSED, PRO_EFORKED, PRO_EINVAL (not opened). `caller` is
 * PRO__CALLER() of the public function. [any thread] */
int pro__operation_claim(struct pro_operation *operation, const void *caller);
/* The request turned out to be wrong; returns `error`. */
int pro__operation_give_back(struct pro_operation *operation, int error);
/* Starts the flight that the request describes. Always 0. */
int pro__operation_start(struct pro_operation *operation);

/* The result is built: the object may be started again. [callback] */
void pro__operation_begin_callback(struct pro_operation *operation);

/* Ends the current submission: called by the port, exactly once per submit, on the loop thread.
 * `error` 0 or PRO_E…; `bytes` moved in this submission. */
void pro__operation_complete(
		struct pro_operation *operation, int error, int os_error, size_t bytes);

/* The same from another thread (workers): the loop completes it. `error`, `os_error` and `bytes`
 * are kept in the operation. */
void pro__operation_complete_remote(
		struct pro_operation *operation, int error, int os_error, size_t bytes);

/* Bytes moved without the submission ending: feeds stall deadlines. [loop thread] */
void pro__operation_progress(struct pro_operation *operation);

/* Has the operation delivered though its flight goes on; at the end of a flight that comes by
 * itself. [loop thread] */
void pro__operation_report(struct pro_operation *operation);

/* Wakes a queueing operation (vtbl->nudge) on the loop; consumes a hold of pro__owner_enter. [any
 * thread] */
void pro__operation_nudge(struct pro_operation *operation);

/* Starts the deadline of the flight anew. [loop thread] */
void pro__operation_rearm(struct pro_operation *operation);

/* Of the class of timers, which never go to the port: its submit and cancel. [loop thread] */
void pro__timer_submit(struct pro_operation *operation);
void pro__timer_cancel(struct pro_operation *operation);

/* For operations that queue messages: one was accepted, which block->queue_caller started; one is
 * about to be reported. [loop thread] */
void pro__message_accepted(
		struct pro_operation *operation, struct pro_message_block *block, bool is_vector);
void pro__message_ended(struct pro_operation *operation, struct pro_message_block *block);
/* Refuses a block that is queued already: PRO_EBUSY. [any thread] */
int pro__message_is_busy(
		struct pro_operation *operation, const struct pro_message_block *block, const void *caller);
void pro__operation_count_queued_bytes(struct pro_operation *operation, size_t bytes);
/* Counts a refused start and returns its error. [any thread] */
int pro__refuse(struct pro_proactor *proactor, int error);
/* A misuse that is refused in any build: a line for the log hook, and a catch in debug mode. [any
 * thread] */
void pro__tell_misuse(
		const struct pro_proactor *proactor, const char *operation, const char *misuse);

/* ---- owners (owner.c) ---- */

void pro__owner_init(
		struct pro_owner *owner, struct pro_proactor *proactor, void (*closed)(struct pro_owner *));
/* [any thread] see pro_handler_close. */
int pro__owner_close(struct pro_owner *owner);
int pro__owner_post(struct pro_owner *owner, struct pro_message_block *block, const void *act);
int pro__owner_wakeup(struct pro_owner *owner);
/* Whether starts are welcome: 0, PRO_ECLOSED, PRO_EFORKED; a refusal is counted. [any thread] */
int pro__owner_check(const struct pro_owner *owner);
/* Around a callback that does not come from an event: open of a service handler. Whoever closes the
 * owner meanwhile, it is not closed before the end. */
void pro__owner_begin_callback(struct pro_owner *owner);
void pro__owner_end_callback(struct pro_owner *owner);
/* Between the two: makes the owner's other callbacks wait for the end. False: another thread is in
 * one of them, and `event`, which releases the owner, is dispatched behind that instead. */
bool pro__owner_take_turn(struct pro_owner *owner, struct pro_event *event);
/* Lets callbacks of this owner overlap. */
void pro__owner_set_concurrent(struct pro_owner *owner);
/* Makes the owner known to the proactor, so that a shutdown closes it. */
void pro__owner_announce(struct pro_owner *owner);
static inline bool pro__owner_is_closing(const struct pro_owner *owner)
{
	return (atomic_load_explicit(&owner->state, memory_order_acquire) & PRO__OWNER_STATE) !=
		   PRO__OPEN;
}
/* Before a request is sent from another thread: 0 and a hold that keeps the owner alive until the
 * request was processed, or PRO_ECLOSED, PRO_EFORKED and no hold. [any thread] */
int pro__owner_enter(struct pro_owner *owner);
/* A hold in any state, for a caller that knows the owner to have something pending. [any thread] */
void pro__owner_hold_remote(struct pro_owner *owner);
/* Gives a hold of pro__owner_enter back without a request. [any thread] */
void pro__owner_leave(struct pro_owner *owner);
/* Gives back holds that an inbox node carried. [loop thread] */
void pro__owner_leave_now(struct pro_owner *owner, uint32_t holds);
/* The last step, taken once nothing can reach the owner any more: no flight or event is pending and
 * no request of another thread is on its way. [loop thread] */
void pro__owner_check_closed(struct pro_owner *owner);
/* One more, one fewer thing that must be delivered before the owner can close. [loop thread] */
static inline void pro__owner_hold(struct pro_owner *owner)
{
	owner->pending++;
}
static inline void pro__owner_release(struct pro_owner *owner)
{
	assert(owner->pending > 0);
	if (--owner->pending == 0 && pro__owner_is_closing(owner))
		pro__owner_check_closed(owner);
}

/* ---- the proactor (proactor.c) ---- */

/* Whether this thread is running the loop of `proactor` now. */
bool pro__on_loop(const struct pro_proactor *proactor);
/* Puts a callback on the loop for a moment, where its loop has several threads. Not nested.
 * [callback] */
void pro__loop_enter(struct pro_proactor *proactor);
void pro__loop_leave(struct pro_proactor *proactor);
/* A port calls these around the system call of wait: meanwhile other threads of the loop may call
 * the port's other functions, and wait with a timeout of 0. */
void pro__wait_begin(struct pro_proactor *proactor);
void pro__wait_end(struct pro_proactor *proactor);
/* Appends to the queue of events. [loop thread] */
void pro__event_push(struct pro_proactor *proactor, struct pro_event *event);
/* Adds `bits` and one hold to a node and sends it to the loop, which calls node->run. [any thread]
 */
void pro__inbox_request(struct pro_proactor *proactor, struct pro_inbox_node *node, uint32_t bits);

/* A call that one loop sends to another, embedded by whoever sends it. */
struct pro__call {
	struct pro_inbox_node inbox;
	struct pro_event event;
	struct pro_proactor *proactor;
	void (*run)(struct pro__call *call);
};
/* Calls run(call) as a callback of the loop of `proactor`, which one thread runs. PRO_ECLOSED
 * during a shutdown: then it is not called. [any thread] */
int pro__call_send(
		struct pro_proactor *proactor, struct pro__call *call, void (*run)(struct pro__call *call));

/* Whether this process is a forked child of the one that made the proactor. [any thread] */
bool pro__is_forked(const struct pro_proactor *proactor);
/* Whether its world is simulated: see sim.h. */
bool pro__is_simulated(const struct pro_proactor *proactor);
/* One more function for the workers, one fewer: PRO_EFULL when there are options.works_max. [any
 * thread] */
int pro__work_enter(struct pro_proactor *proactor);
void pro__work_leave(struct pro_proactor *proactor);

struct pro_port *pro__port(const struct pro_proactor *proactor);
const struct pro_port_vtbl *pro__port_vtbl(const struct pro_proactor *proactor);

/* The malloc family as an allocator (base.c). */
extern const struct pro_allocator pro__default_allocator;

/* Memory by the proactor's allocator. */
void *pro__allocate(const struct pro_proactor *proactor, size_t size);
void *pro__reallocate(const struct pro_proactor *proactor, void *memory, size_t size);
void pro__deallocate(const struct pro_proactor *proactor, void *memory);

/* ---- blocks lent to reads (lent_pool.c) ---- */

/* A pool of equal blocks in one page-aligned piece of memory, allocated at the first use: block i
 * has the bytes memory + i * block_size. Blocks come back by pro_message_block_release, from any
 * thread. A port either uses take() at readiness, or keeps all indices itself (reserve_all).
 *
 * port->lent_returned is called on the loop's thread, perhaps from inside any function here or a
 * release in a callback: a port should note it and act in its next wait. */
struct pro_lent_pool;
struct pro_lent_pool *pro__lent_pool(const struct pro_proactor *proactor);
/* The memory of all blocks; NULL when there is none to be had (reads that borrow then end with
 * PRO_ENOMEM). [loop thread] */
unsigned char *pro__lent_pool_memory(
		struct pro_lent_pool *pool, size_t *block_size, unsigned *count);
/* A free block, empty; the port sets its wr. NULL when all are out (see pro__lent_pool_starve), or
 * when pro__lent_pool_memory is NULL. [loop thread] */
struct pro_message_block *pro__lent_pool_take(struct pro_lent_pool *pool);
/* Gives up a block taken that was not needed, as a release does. [loop thread] */
void pro__lent_pool_give_back(struct pro_lent_pool *pool, struct pro_message_block *block);
/* Readers wait because take() gave none: lent_returned is called once, when a block is free again.
 * [loop thread] */
void pro__lent_pool_starve(struct pro_lent_pool *pool);
/* From now on the port hands out indices itself: lend(index) makes the block, empty, and
 * lent_returned tells of each index that comes back. No block is out yet. [loop thread] */
void pro__lent_pool_reserve_all(struct pro_lent_pool *pool);
/* NULL when pro__lent_pool_memory is NULL. [loop thread] */
struct pro_message_block *pro__lent_pool_lend(struct pro_lent_pool *pool, unsigned index);

/* How much of a block of `size` bytes a read that borrows may fill. */
static inline size_t pro__borrowed_length(const struct pro_operation *operation, size_t size)
{
	size_t most = operation->request.io.lent_max;

	return most != 0 && most < size ? most : size;
}

/* ---- threads for what can only block (worker_pool.c) ---- */

struct pro_work {
	struct pro_work *next;
	void (*run)(struct pro_work *work); /* on a worker thread */
};
struct pro_worker_pool;
struct pro_worker_pool *pro__worker_pool(const struct pro_proactor *proactor);
/* Queues `work`; starts a thread when none is free and the limit allows. Fails only when not even
 * one thread can be had (PRO_ENOMEM). [loop thread] */
int pro__worker_pool_submit(struct pro_worker_pool *pool, struct pro_work *work);
/* Takes `work` back if no thread has begun it. [loop thread] */
bool pro__worker_pool_take_back(struct pro_worker_pool *pool, struct pro_work *work);

#endif
