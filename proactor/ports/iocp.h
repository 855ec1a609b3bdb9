/* Private: the port on Windows' I/O completion ports, and what its files share.
 *
 * The way of an operation. submit binds it to what its handle means now (iocp_handle.c) and calls
 * the start function of its class; that makes one overlapped call and says how the call answered:
 *
 *	pending                       exactly one packet will come
 *	success                       one packet too, or none on handles that skip it on success
 *	any other error               no packet
 *
 * wait takes packets in batches. A packet of an operation, or an answer without one, reaches the
 * finish function of the class, which completes the operation or makes the next call.
 *
 * All functions here are called by the thread that leads the loop, unless marked [any thread]. */
#ifndef PROACTOR_PORTS_IOCP_H
#define PROACTOR_PORTS_IOCP_H

#include "../engine.h"
#include "iocp_win32.h"

/* Packets taken by one call, and so completions between two looks at the inbox. */
#define IOCP_BATCH 128

struct iocp_port;
struct iocp_input;
struct iocp_pipe_server;

enum iocp_kind {
	IOCP_STREAM,   /* a stream socket, listening or not */
	IOCP_DGRAM,    /* a datagram socket */
	IOCP_FILE,     /* a file that was opened for overlapped access */
	IOCP_PIPE,     /* a pipe that was */
	IOCP_BLOCKING, /* a console, pipe or file that can only be waited for */
	IOCP_OTHER
};

/* What a handle's value means now: found at the first operation, forgotten at the close. Never
 * freed before the port, so that an operation may look whether its handle is still the one it was
 * opened on. */
struct iocp_handle {
	struct iocp_handle *next; /* with the same hash, or free, or closed late */
	HANDLE value;
	uint64_t generation;  /* another number for each handle; 0: free */
	uint32_t outstanding; /* packets that will come */
	uint8_t kind;         /* enum iocp_kind */
	bool skips_success;   /* success at once gives no packet */
	bool is_closing;
	bool closes_late;   /* when its packets are here; in port->late till then */
	bool is_associated; /* with this port; needless for a file that is only transmitted */
	int family;         /* of a socket */
	int protocol;
	uint64_t position;                       /* of a file that is read or written as a stream */
	struct iocp_input *input;                /* of a handle that can only be waited for */
	struct pro_close_request *close_request; /* to be told when nothing is outstanding */
};

/* What each flight keeps in operation->port. */
struct iocp_flight {
	OVERLAPPED overlapped;
	struct iocp_handle *handle; /* of operation->handle, or the socket that is connecting */
	uint64_t generation;        /* of handle when the operation first used it */
	struct pro_list_node link;  /* of those that wait for a block, or for a client of a pipe */
	uint8_t step;               /* the class's own */
	uint8_t tries;
	uint16_t reserved;
	int address_length; /* of a datagram's sender */
	DWORD asked;        /* bytes of the call under way */
	DWORD chunk;        /* most bytes of the next TransmitFile */
	union {
		struct pro_message_block *block; /* lent, being read into */
		SOCKET socket;                   /* being accepted */
		HANDLE pipe;                     /* being accepted or connected */
		struct iocp_job *job;
		struct {
			struct iocp_handle *handle;
			uint64_t generation;
			uint64_t started_ns;
		} file; /* being transmitted */
	} of;
};

_Static_assert(sizeof(struct iocp_flight) <= sizeof(((struct pro_operation *)0)->port),
		"a flight must fit");
_Static_assert(sizeof(struct pro_buffer) == sizeof(WSABUF) &&
					   offsetof(struct pro_buffer, length) == offsetof(WSABUF, len) &&
					   offsetof(struct pro_buffer, base) == offsetof(WSABUF, buf),
		"buffers must be the system's");

/* Where packets come from: the completion key is a pointer to one of these. */
struct iocp_source {
	void (*take)(struct iocp_port *port, const OVERLAPPED_ENTRY *packet);
};

struct iocp_handle_table {
	struct iocp_handle **buckets;
	size_t bucket_count; /* a power of two, or 0 */
	size_t used_count;
	struct iocp_handle *free;
	struct iocp_handle_chunk *chunks;
	uint64_t generation; /* the last one given */
};

struct iocp_port {
	struct pro_proactor *proactor;
	struct pro__win32 win32;
	HANDLE handle;
	HANDLE elsewhere; /* a completion port at which nothing ever comes */
	struct iocp_handle_table table;
	struct pro_list_node starving; /* borrowed reads that wait for a block */
	bool is_fed;                   /* a block came back */
	bool has_completed;            /* something completed since the wait began */
	bool is_wine;
	/* Under Wine only (iocp_wine.c). */
	bool has_threads;         /* that began or closed */
	DWORD thread;             /* that did so last */
	struct iocp_handle *late; /* are being closed, and open until their packets are here */

	DWORD build;    /* number of the system's */
	uint64_t calls; /* of the system, since the last wait */
	_Atomic(bool) is_wake_queued;
	uint64_t frequency; /* of the performance counter */

	/* A timer finer than the system's tick, and what makes it send a packet. NULL: there is none.
	 */
	HANDLE timer;
	HANDLE timer_packet;

	/* What worker and input threads are through with (iocp_work.c). */
	_Atomic(struct iocp_job *) jobs_done;
	unsigned jobs_running;
	struct pro_list_node blocked; /* calls that only another thread can end (iocp_blocking.c) */
	unsigned recalls;             /* of them: those that are to end; and sockets that close late */
	bool is_waiter_unaware;       /* of those: a thread waits that began before there were any */

	/* Named pipes that are listened on (iocp_pipe.c), from any thread. */
	SRWLOCK pipes_lock;
	struct iocp_pipe_server *pipes;
	struct pro_list_node pipe_accepts; /* flights, each with a packet to come */
};

/* What the port does for an opcode. */
struct iocp_class {
	bool has_handle; /* works on operation->handle */
	void (*start)(struct iocp_port *port, struct pro_operation *operation);
	/* The call made by start or finish has ended: `error` of the system or 0. */
	void (*finish)(
			struct iocp_port *port, struct pro_operation *operation, DWORD error, DWORD bytes);
};

static inline struct iocp_flight *iocp_flight(struct pro_operation *operation)
{
	return (struct iocp_flight *)(void *)operation->port.bytes;
}

static inline struct pro_operation *iocp_operation_of_overlapped(OVERLAPPED *overlapped)
{
	return pro_container_of(overlapped, struct pro_operation, port);
}

static inline struct pro_operation *iocp_operation_of_flight(struct iocp_flight *flight)
{
	return pro_container_of(flight, struct pro_operation, port);
}

/* ---- iocp.c: calls and their ends ---- */

/* Before each overlapped call: clears the OVERLAPPED, counts the packet that will come on `handle`.
 */
OVERLAPPED *pro__iocp_begin(
		struct iocp_port *port, struct pro_operation *operation, struct iocp_handle *handle);
/* After it: `error` 0, ERROR_IO_PENDING or what the call failed with; `bytes` if it succeeded.
 * Without a packet the class's finish runs now. Nothing of the operation may be touched
 * afterwards. */
void pro__iocp_began(struct iocp_port *port, struct pro_operation *operation,
		struct iocp_handle *handle, DWORD error, DWORD bytes);

/* Completes with the system's error; one that only a cancel or a close makes is PRO_ECANCELED if we
 * asked for it. */
void pro__iocp_complete(
		struct iocp_port *port, struct pro_operation *operation, DWORD error, size_t bytes);
void pro__iocp_complete_error(struct iocp_port *port, struct pro_operation *operation, int error);
/* Whether the operation is to end: it was cancelled or its handle is being closed. */
bool pro__iocp_is_asked_to_end(const struct pro_operation *operation);

/* The key of an operation's packets. */
extern const struct iocp_source pro__iocp_operation_source;
/* Makes `handle` send its packets here. 0 or the system's error. */
DWORD pro__iocp_associate(struct iocp_port *port, struct iocp_handle *handle);
uint64_t pro__iocp_now_ns(const struct iocp_port *port);

/* ---- iocp_handle.c: what a handle means ---- */

void pro__iocp_handles_fini(struct iocp_port *port);
/* The handle of the operation, made ready for overlapped calls: 0, PRO_EBADF when the operation was
 * opened on a handle that is closed by now, or another error with *os_error. */
int pro__iocp_bind(struct iocp_port *port, struct pro_operation *operation, DWORD *os_error);
/* The same for a value that no operation bears; `associates` unless only its life is of interest.
 */
int pro__iocp_handle_get(struct iocp_port *port, HANDLE value, bool associates,
		struct iocp_handle **handle, DWORD *os_error);
/* A new socket or pipe of ours, associated. NULL: the error is in *os_error. */
struct iocp_handle *pro__iocp_handle_add(
		struct iocp_port *port, HANDLE value, enum iocp_kind kind, DWORD *os_error);
struct iocp_handle *pro__iocp_handle_find(const struct iocp_port *port, HANDLE value);
/* Forgets what the value meant; operations that remember it see another generation. The structure
 * stays until pro__iocp_handle_free. */
void pro__iocp_handle_forget(struct iocp_port *port, struct iocp_handle *handle);
void pro__iocp_handle_free(struct iocp_port *port, struct iocp_handle *handle);
/* Closes the system's handle, a socket or anything else. */
void pro__iocp_close_value(struct iocp_port *port, HANDLE value);
void pro__iocp_close_handle(struct pro_port *port, struct pro_close_request *request);
/* After the last packet of a handle that is being closed. */
void pro__iocp_handle_check_closed(struct iocp_port *port, struct iocp_handle *handle);
/* 0, 1 and 2 stand for the standard handles of the process, as they do elsewhere. */
HANDLE pro__iocp_handle_value(pro_handle handle);

/* ---- the classes ---- */

extern const struct iocp_class pro__iocp_read_stream_class;
extern const struct iocp_class pro__iocp_write_stream_class;
extern const struct iocp_class pro__iocp_read_file_class;
extern const struct iocp_class pro__iocp_write_file_class;
extern const struct iocp_class pro__iocp_read_dgram_class;
extern const struct iocp_class pro__iocp_write_dgram_class;
extern const struct iocp_class pro__iocp_accept_class;
extern const struct iocp_class pro__iocp_connect_class;
extern const struct iocp_class pro__iocp_transmit_class;
extern const struct iocp_class pro__iocp_resolve_class;

/* A block of the pool for a read that borrows. NULL: the operation waits for one, or has completed
 * (iocp_stream.c). */
struct pro_message_block *pro__iocp_take_lent(
		struct iocp_port *port, struct pro_operation *operation);
/* Lets borrowed reads go on for which blocks came back (iocp_stream.c). */
void pro__iocp_feed(struct iocp_port *port);

/* ---- iocp_work.c: threads that wait for what can not be overlapped ---- */

/* Something that another thread does for the loop; embedded. */
struct iocp_job {
	struct iocp_job *next;
	struct iocp_port *port;
	void (*done)(struct iocp_job *job); /* on the loop, once, after pro__iocp_job_end */
};

/* Before another thread gets it. */
void pro__iocp_job_begin(
		struct iocp_port *port, struct iocp_job *job, void (*done)(struct iocp_job *job));
/* The job is through: the loop will call job->done. [any thread] */
void pro__iocp_job_end(struct iocp_job *job);
/* Takes what ended. */
void pro__iocp_run_jobs(struct iocp_port *port);
/* Ends the wait. [any thread] */
void pro__iocp_wake_up(struct iocp_port *port);

void pro__iocp_cancel_resolve(struct iocp_port *port, struct pro_operation *operation);

/* ---- iocp_wine.c: what Wine does differently; on Windows nothing happens ---- */

/* The calling thread begins a call. */
void pro__iocp_wine_note_thread(struct iocp_port *port);
/* Whether the socket, which is being closed and has packets to come, must stay open until they are
 * here: then pro__iocp_wine_close closes it. */
bool pro__iocp_wine_close_late(struct iocp_port *port, struct iocp_handle *handle);
void pro__iocp_wine_close(struct iocp_port *port, struct iocp_handle *handle);
/* Cancels again what is in flight on such sockets. */
void pro__iocp_wine_retry(struct iocp_port *port);
/* A cancel of the flight failed. */
void pro__iocp_wine_cancel_again(struct iocp_port *port, struct iocp_flight *flight);
/* Whether the peer has reset the connection. Wine keeps to itself a reset that
 * came while no call was under way: a read then reports an end, TransmitFile waits for ever.
 * Sending nothing tells: it sends nothing, and fails on a connection that was reset. */
bool pro__iocp_was_reset(struct iocp_port *port, const struct iocp_handle *handle);

/* ---- iocp_blocking.c: handles that can only be waited for ---- */

void pro__iocp_blocking_read(struct iocp_port *port, struct pro_operation *operation);
void pro__iocp_blocking_write(struct iocp_port *port, struct pro_operation *operation);
void pro__iocp_blocking_cancel(struct iocp_port *port, struct pro_operation *operation);
/* Ends the operation that waits; the handle itself is closed when its threads are back. */
void pro__iocp_blocking_close(struct iocp_port *port, struct iocp_handle *handle);
/* Asks again the threads that are to come back from their calls. */
void pro__iocp_blocking_retry(struct iocp_port *port);
/* Before the port ends: the thread that reads the handle, if any, ends or is left to itself. */
void pro__iocp_blocking_fini(struct iocp_port *port, struct iocp_handle *handle);

/* ---- iocp_pipe.c: named pipes ---- */

/* Whether somebody listens on the pipe `value`, whose name is copied to `name`. [any thread] */
#define IOCP_PIPE_NAME_MAX 128
bool pro__iocp_pipe_name(struct iocp_port *port, HANDLE value, char *name);
bool pro__iocp_pipe_addr(struct iocp_port *port, HANDLE value, struct pro_addr *addr);
/* [any thread] */
int pro__iocp_pipe_listen(struct iocp_port *port, const struct pro_addr *local, pro_handle *handle);
/* The pipe is listened on no more. [any thread] */
void pro__iocp_pipe_forget(struct iocp_port *port, HANDLE value);
void pro__iocp_pipe_accept(
		struct iocp_port *port, struct pro_operation *operation, const char *name);
void pro__iocp_pipe_accepted(struct iocp_port *port, struct pro_operation *operation, DWORD error);
/* Cancels what waits for clients of `listener`: all, or `only` one. */
void pro__iocp_pipe_cancel_accepts(struct iocp_port *port, const struct iocp_handle *listener,
		const struct pro_operation *only);
void pro__iocp_pipe_connect(struct iocp_port *port, struct pro_operation *operation);
void pro__iocp_pipe_cancel_connect(struct iocp_port *port, struct pro_operation *operation);

#endif
