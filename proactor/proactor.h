/* The Proactor: the completion port and its event loop. ACE: ACE_Proactor. */
#ifndef PROACTOR_PROACTOR_H
#define PROACTOR_PROACTOR_H

#include <proactor/base.h>
#include <proactor/error.h>

PRO_BEGIN_DECLS

struct pro_proactor;
struct pro_sim;

/* Whether misuse is looked for while the program runs: see docs/debugging.md. */
enum pro_debug {
	PRO_DEBUG_DEFAULT, /* as PROACTOR_DEBUG of the environment says: 0, 1 or abort; unset: as built
						*/
	PRO_DEBUG_OFF,
	PRO_DEBUG_REPORT, /* each catch is a PRO_LOG_ERROR line, on stderr without a log hook */
	PRO_DEBUG_ABORT   /* and ends the program */
};

/* Fill with pro_proactor_options_init, then change what you want. */
struct pro_proactor_options {
	/* sizeof(struct pro_proactor_options), for later versions. */
	size_t size;
	/* "io_uring", "epoll"; NULL: PROACTOR_PORT of the environment, else the best that works. A
	 * named port never falls back. */
	const char *port;
	/* Callbacks that may run at once: 1 by default, up to 1024; 0: one for each processor. */
	unsigned concurrency;
	/* Several threads run the loop: false by default, implied by a concurrency other than 1. */
	bool is_shared;
	/* Submission queue of a ring: 256 by default, a power of two up to 32768. */
	unsigned entries;
	/* Most threads for work that the system can do only by blocking (files on epoll, host names): 4
	 * by default, 1 to 1024. */
	unsigned worker_threads;
	/* Most functions on their way to such threads by pro_asynch_work_run: 1024 by default. */
	unsigned works_max;
	/* Bytes of a block that a read without a block borrows: 16384 by default, up to 16 MiB. */
	size_t lent_block_size;
	/* How many of them there are: 256 by default, a power of two up to 32768. */
	unsigned lent_blocks;
	/* NULL: malloc. Borrowed until the proactor is destroyed. */
	const struct pro_allocator *allocator;
	pro_log_function log; /* NULL: silent */
	void *log_context;
	struct pro_sim *sim; /* the simulated world to live in, see sim.h, whatever `port` says; NULL:
							the real one. Borrowed until the proactor is destroyed */
	/* PRO_DEBUG_DEFAULT by default. */
	enum pro_debug debug;
};

/* Which port was chosen and why. */
struct pro_proactor_report {
	size_t size;        /* sizeof(struct pro_proactor_report), set by the caller */
	char port[16];      /* "io_uring" */
	char reason[256];   /* "first choice", "io_uring refused (PRO_EPERM: …); next choice",
							"forced by PROACTOR_PORT" */
	char features[256]; /* what the port uses of the kernel, separated by spaces */
	char missing[256];  /* what it would use if the kernel had it */
	unsigned entries;   /* submission queue */
	unsigned completion_entries;
	unsigned buffers_max; /* pieces of one vectored transfer */
	unsigned lent_blocks;
	size_t lent_block_size;
	unsigned worker_threads;
};

struct pro_proactor_statistics {
	size_t size;        /* sizeof(struct pro_proactor_statistics), set by the caller */
	uint64_t started;   /* operations accepted */
	uint64_t completed; /* callbacks of operations */
	uint64_t in_flight; /* started - completed */
	uint64_t refused; /* starts refused for the state they met: PRO_EBUSY, PRO_ECLOSED, PRO_EFULL, …
					   */
	uint64_t posts;   /* blocks and wake-ups posted */
	uint64_t batches;           /* times the port was asked for completions */
	uint64_t system_calls;      /* that the port made (those of worker threads not counted) */
	uint64_t wakes;             /* times another thread had to wake the loop */
	uint64_t handlers;          /* open now, among those that ever started something */
	uint64_t queued_bytes_peak; /* the most bytes that one write stream held */
	uint64_t lent_blocks_used;
	uint64_t worker_threads; /* running now */
};

/* The defaults. [any thread] Since 0.1. */
PRO_API void pro_proactor_options_init(struct pro_proactor_options *options);

/* A new proactor in `*proactor`, which the caller destroys; `options` NULL means the defaults. On
 * failure `*proactor` is NULL and `why`, if not NULL, gets a sentence of at most `why_size` bytes,
 * its NUL included, that says what failed. PRO_EINVAL, PRO_ENOMEM, PRO_ENOTSUP (no such port), or
 * what refused the port. [any thread] ACE: ACE_Proactor::ACE_Proactor. Since 0.1. */
PRO_API int pro_proactor_create(struct pro_proactor **proactor,
		const struct pro_proactor_options *options, char *why, size_t why_size);

/* Shuts down as pro_proactor_shutdown does, runs the loop on the calling thread until every handler
 * is closed, and frees the proactor. Accepts NULL. PRO_EBUSY when a thread runs the loop (or from
 * inside a callback), PRO_ETHREAD when the port is bound to another thread that is still alive and
 * something is in flight: nothing has happened then. In a forked child it frees the child's copy
 * and calls no handle_close. Every call of another thread on it must have returned. [any thread]
 * ACE: ~ACE_Proactor. Since 0.1. */
PRO_API int pro_proactor_destroy(struct pro_proactor *proactor);

/* The process-wide proactor with default options, created at the first call; NULL when it can not
 * be had. [any thread] ACE: ACE_Proactor::instance. Since 0.1. */
PRO_API struct pro_proactor *pro_proactor_instance(void);
/* Destroys it; PRO_EBUSY and PRO_ETHREAD as pro_proactor_destroy, 0 when there is none. [one
 * thread, while nobody uses it] ACE: close_singleton. Since 0.1. */
PRO_API int pro_proactor_close_singleton(void);

/* Runs the loop until pro_proactor_end_event_loop, or until a shutdown is complete. 0, or PRO_EBUSY
 * when a thread (this one too) runs it already, PRO_ETHREAD when the proactor is bound to another
 * thread (a single-threaded proactor belongs to the first thread that runs it), PRO_EFORKED.
 * Returns 0 at once when the loop has been ended and not reset. [any thread, which becomes the
 * loop's] ACE: run_event_loop. Since 0.1. */
PRO_API int pro_proactor_run_event_loop(struct pro_proactor *proactor);

/* As run_event_loop, for at most `limit_ms` milliseconds: it returns 0 when they are over, not
 * before (unless ended or shut down). PRO_EINVAL for negative values but PRO_NO_TIMEOUT, and the
 * errors of run_event_loop. [any thread, which becomes the loop's] ACE: run_event_loop(tv). Since
 * 0.1. */
PRO_API int pro_proactor_run_event_loop_for(struct pro_proactor *proactor, int64_t limit_ms);

/* Makes the loop return after the callback that runs; each thread of a shared one after what it has
 * taken, some 50 µs of callbacks. Stays in force until reset. [any thread, signal handlers too]
 * ACE: end_event_loop. Since 0.1. */
PRO_API void pro_proactor_end_event_loop(struct pro_proactor *proactor);
/* Lets the loop run again after an end. [any thread] ACE: reset_event_loop. Since 0.1. */
PRO_API void pro_proactor_reset_event_loop(struct pro_proactor *proactor);
/* Whether it was ended and not reset. [any thread] ACE: event_loop_done. Since 0.1. */
PRO_API bool pro_proactor_event_loop_done(const struct pro_proactor *proactor);

/* Waits at most `timeout_ms` (0: poll; PRO_NO_TIMEOUT: for ever) for completions and runs their
 * callbacks. Returns how many callbacks ran, 0 when the time was over (or the loop ended), or a
 * negative error as run_event_loop_for. [any thread, which becomes the loop's] ACE: handle_events.
 * Since 0.1. */
PRO_API int pro_proactor_handle_events(struct pro_proactor *proactor, int64_t timeout_ms);

/* A callback that is going to block says so: then a spare thread of the loop takes its place, and
 * what was taken to be called after it, until the end of that or of the callback. Nothing where one
 * thread runs the loop. [callback] NT does this by itself when a thread blocks. Since 0.1. */
PRO_API void pro_proactor_begin_blocking(struct pro_proactor *proactor);
PRO_API void pro_proactor_end_blocking(struct pro_proactor *proactor);

/* Closes every handler, from the loop; when the last handle_close has run the loop returns.
 * Idempotent; starts are refused from then on with PRO_ECLOSED. [any thread] Since 0.1. */
PRO_API void pro_proactor_shutdown(struct pro_proactor *proactor);

/* A descriptor that polls readable when handle_events has something to do, for use inside a foreign
 * loop (call handle_events(0) then, and once before the first wait); it also becomes readable when
 * a timer is due. Owned by the proactor. PRO_INVALID_HANDLE where the port has none. [any thread]
 * ACE: get_handle. Since 0.1. */
PRO_API pro_handle pro_proactor_get_handle(struct pro_proactor *proactor);

/* Closes a socket or file that no handler owns. Operations in flight on it complete with
 * PRO_ECANCELED first; later starts on the old number complete with PRO_EBADF. ONLY this or a
 * handler may close a handle that operations were opened on, and only once: the number may be
 * somebody else's soon after. PRO_EINVAL. [any thread] close, CloseHandle. Since 0.1. */
PRO_API int pro_proactor_close_handle(struct pro_proactor *proactor, pro_handle handle);

/* Fills `report`; its `size` is set by the caller, else PRO_EINVAL. [any thread] Since 0.1. */
PRO_API int pro_proactor_report(
		const struct pro_proactor *proactor, struct pro_proactor_report *report);
/* Fills `statistics`; its `size` is set by the caller, else PRO_EINVAL. Exact on the loop's thread,
 * a snapshot elsewhere. [any thread] Since 0.1. */
PRO_API int pro_proactor_statistics(
		const struct pro_proactor *proactor, struct pro_proactor_statistics *statistics);

/* Receives one line of a dump, without a newline and valid during the call; NULL behind the last.
 * On the loop; it must not call the library. Since 0.1. */
typedef void (*pro_dump_function)(void *context, const char *line);

/* Asks the loop to tell what is in flight: each handler and operation with its handle and who
 * started it (in debug mode also since when, and the messages of a write stream), timers, callbacks
 * and requests that wait. `write` NULL: to the log hook, as PRO_LOG_INFO. The lines come when the
 * loop runs next. PRO_EBUSY while a dump is on its way, PRO_EINVAL, PRO_EFORKED. [any thread,
 * signal handlers too] Since 0.1. */
PRO_API int pro_proactor_dump(
		struct pro_proactor *proactor, pro_dump_function write, void *context);

/* Milliseconds and nanoseconds of the port's monotonic clock: virtual in a simulated port. [any
 * thread] Since 0.1. */
PRO_API uint64_t pro_proactor_now_ms(struct pro_proactor *proactor);
PRO_API uint64_t pro_proactor_now_ns(struct pro_proactor *proactor);
/* 64 random bits from the port: from the system's generator, or from the seed of a simulated port.
 * [any thread] Since 0.1. */
PRO_API uint64_t pro_proactor_random(struct pro_proactor *proactor);

/* The allocator that the proactor uses. [any thread] Since 0.1. */
PRO_API const struct pro_allocator *pro_proactor_allocator(const struct pro_proactor *proactor);

/* Hands a printf-style line to the log hook. Untrusted text must be escaped by the caller. [any
 * thread] Since 0.1. */
PRO_API void pro_proactor_log(const struct pro_proactor *proactor, enum pro_log_level level,
		const char *format, ...) PRO_PRINTF(3, 4);

PRO_END_DECLS

#endif
