/* The world of one test: a proactor whose memory is counted, its recorders, and a ledger of what
 * was started and completed. world_fini asserts that nothing is left of it. */
#ifndef TESTS_SUPPORT_WORLD_H
#define TESTS_SUPPORT_WORLD_H

#include <proactor/file.h>
#include <proactor/proactor.h>
#include <proactor/sim.h>

#include "allocator.h"
#include "trace.h"

/* X(name, text): what a callback can be about; operations, then posts, then the rest. */
#define EVENT_LIST(X)                                                                              \
	X(READ_STREAM, "read_stream")                                                                  \
	X(WRITE_STREAM, "write_stream")                                                                \
	X(READ_FILE, "read_file")                                                                      \
	X(WRITE_FILE, "write_file")                                                                    \
	X(READ_DGRAM, "read_dgram")                                                                    \
	X(WRITE_DGRAM, "write_dgram")                                                                  \
	X(ACCEPT, "accept")                                                                            \
	X(CONNECT, "connect")                                                                          \
	X(TRANSMIT_FILE, "transmit_file")                                                              \
	X(RESOLVE, "resolve")                                                                          \
	X(TIME_OUT, "time_out")                                                                        \
	X(WORK, "work")                                                                                \
	X(POST, "post")                                                                                \
	X(WAKEUP, "wakeup")                                                                            \
	X(OPEN, "open")                                                                                \
	X(CLOSE, "close")

enum event_kind {
#define EVENT_ENUM(name, text) EVENT_##name,
	EVENT_LIST(EVENT_ENUM)
#undef EVENT_ENUM
			EVENT_KINDS
};

const char *event_kind_text(enum event_kind kind);

struct recorder;
struct event;

struct world {
	const char *name;                    /* of the test */
	struct pro_proactor_options options; /* to be changed before world_open */
	struct pro_proactor *proactor;       /* NULL before world_open */
	struct pro_sim *sim;                 /* where it lives when PROACTOR_PORT is sim, else NULL */
	struct test_allocator memory;
	struct recorder *recorders; /* the world frees them */
	struct trace notes;         /* lines of world_note */
	char directory[128];        /* for files; made by world_path */
	bool is_traced;             /* true unless the test says that its traces may differ */
	/* Calls on_event of a recorder, where that may be left by an assertion; NULL: nothing does. */
	void (*call)(struct recorder *recorder, const struct event *event);

	/* The ledger. */
	PRO_ATOMIC(uint64_t) started[EVENT_KINDS];
	PRO_ATOMIC(uint64_t) completed[EVENT_KINDS];

	/* What was open and running before. */
	unsigned descriptors;
	unsigned threads;
	uint64_t dispositions;
};

/* Prepares the options (memory counted, the port that PROACTOR_PORT names). [set-up] */
void world_init(struct world *world, const char *name);

/* Whether PROACTOR_PORT asks for the simulated port; and such a world without faults, whose seed is
 * PROACTOR_TEST_SEED or 1. Both NULL for want of memory. */
bool world_is_simulated(void);
struct pro_sim *world_make_sim(void);

/* Writes to the trace that the scenario has none on this port: nothing is compared with it. */
void world_leave_out(const char *name);

/* Creates the proactor. Asserts that the port is the one that PROACTOR_PORT asks for. */
void world_open(struct world *world);

/* Closes every recorder, waits for the last handle_close, destroys the proactor, prints the trace,
 * and asserts: started == completed for each kind, no memory, descriptor, thread or disposition
 * differs. */
void world_fini(struct world *world);

/* The part of world_fini that closes recorders and waits; for a test whose loop ran on a thread of
 * its own, which calls this at its end. */
void world_close_recorders(struct world *world);

/* "io_uring" */
const char *world_port(const struct world *world);

/* A line of the trace, in the order of the calls. */
void world_note(struct world *world, const char *format, ...) PRO_PRINTF(2, 3);

/* A path in the world's directory, valid until the next call but one. */
const char *world_path(struct world *world, const char *name);

/* Opens such a file through the port. */
pro_handle world_file(struct world *world, const char *name, unsigned flags);
/* Makes one with a size and nothing in it, but a last byte. */
void world_make_sparse_file(struct world *world, const char *name, uint64_t size);
void world_resize_file(struct world *world, const char *name, uint64_t size);
/* Lets the disk with those files have room for `bytes`; false where that is not allowed.
 * world_free_disk ends it, when the files are closed. */
bool world_limit_disk(struct world *world, uint64_t bytes);
void world_free_disk(struct world *world);
/* How many handles the proactor, or in a real system the process, has open. */
unsigned world_handle_count(const struct world *world);

/* Loopback with a port that the system picks, as text for pro_addr_parse. */
#define ANY_INET  "127.0.0.1:0"
#define ANY_INET6 "[::1]:0"

struct pro_addr world_addr(const char *text);

/* Whether long runs were asked for, PROACTOR_TEST_LONG=1, or the shortest ones that still are what
 * they are, PROACTOR_TEST_SMALL=1; and the number that fits. */
bool world_is_long(void);
bool world_is_small(void);
unsigned world_number(unsigned usual, unsigned in_long_runs);

/* Whether files of gigabytes are to be small, because another run sends them through the same port:
 * PROACTOR_TEST_SMALL_FILES=1, or small runs. */
bool world_has_small_files(void);

/* Whether PROACTOR_TEST_SHARED=1 asks for proactors whose loop several threads may run. */
bool world_is_shared(void);

/* A time that a test may take on a busy machine or under a sanitizer; a promise of the contract is
 * never stretched so. PROACTOR_TEST_LIMIT_MS is the most, for tests that are made to fail. */
uint64_t world_limit_ms(uint64_t limit_ms);
/* From the time when `is_on` says so, for as long as it does, nothing is waited for longer than
 * `limit_ms`: when something failed, what waits for what will never come gives up early. */
void world_set_hurry(uint64_t limit_ms, bool (*is_on)(void));

/* Runs the loop until the condition holds; fails the test, naming it, when that takes too long. */
#define RUN_LIMIT_MS 15000
#define RUN_UNTIL(world, condition)                                                                \
	for (uint64_t run_end_ = world_limit_end(RUN_LIMIT_MS); !(condition);                          \
			world_step((world), run_end_, #condition, __FILE__, __LINE__))                         \
	continue

uint64_t world_limit_end(uint64_t limit_ms);
void world_step(
		struct world *world, uint64_t end_ms, const char *condition, const char *file, int line);

/* Runs all that is ready, until a turn of the loop finds nothing. */
void world_run_ready(struct world *world);

/* Runs the loop for `ms` milliseconds of the port's clock. */
void world_run_for(struct world *world, uint64_t ms);

struct pro_proactor_statistics world_statistics(const struct world *world);

/* What law 3 is checked by: this thread runs the loop between these calls. RUN_UNTIL and its kin
 * call them. */
void world_enter_loop(void);
void world_leave_loop(void);
bool world_is_in_loop(void);

/* Asserts that `actual`, a PRO_E… code, is `expected`, and names both. */
#define ASSERT_ERROR(actual, expected)                                                             \
	world_assert_error((actual), (expected), #actual, __FILE__, __LINE__)
#define ASSERT_OK(actual) ASSERT_ERROR(actual, 0)

void world_assert_error(int actual, int expected, const char *text, const char *file, int line);

#endif
