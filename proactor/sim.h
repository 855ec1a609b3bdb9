/* The simulated port: a world in memory in which proactors live, all of it decided by one seed.
 *
 * Handlers run in it unchanged, servers and clients in one program and one thread. The clock is
 * virtual and jumps to the next event; sockets have windows and latency, files are sparse and in
 * memory; the seed decides in which order things happen and what goes wrong. The same seed is the
 * same run, to the bit, with any compiler. docs/simulation.md teaches how to use it.
 *
 * Every call here is for the one thread to which a world belongs, and all are since 0.1. ACE has
 * nothing like it.
 *
 * What the handlers need for that: they take time, randomness, sockets and files from the proactor
 * only, and have no threads of their own.
 *
 * The world looks for mistakes while it runs: it fills buffers that are being read into with a
 * pattern and remembers a sum of those that are being written, copies when an operation completes
 * and not before, gives the number of a closed handle to the next one that is opened, and lets a
 * cancel lose half of its races. */
#ifndef PROACTOR_SIM_H
#define PROACTOR_SIM_H

#include <proactor/addr.h>
#include <proactor/error.h>
#include <proactor/proactor.h>

PRO_BEGIN_DECLS

struct pro_sim;

/* X(name, text, what goes wrong) */
#define PRO_SIM_FAULT_LIST(X)                                                                      \
	X(SHORT_READ, "short-read", "a stream read gets fewer bytes than there are")                   \
	X(SHORT_WRITE, "short-write", "a stream write takes fewer bytes than fit")                     \
	X(SMALL_BUFFERS, "small-buffers", "an end of a connection has buffers of 2 to 256 bytes")      \
	X(DELAY, "delay", "a completion or a packet comes up to a second late")                        \
	X(PAUSE, "pause", "a process stands still for up to 3 seconds")                                \
	X(RESET, "reset", "a connection is reset")                                                     \
	X(CLOG, "clog", "a direction of a connection stands still for up to 5 seconds")                \
	X(PARTITION, "partition", "two processes do not reach each other for up to 10 seconds")        \
	X(CONNECT, "connect", "a connect is refused, unreachable or times out")                        \
	X(ACCEPT, "accept", "an accept finds no descriptor or memory")                                 \
	X(ABORT, "abort", "a connection dies before it is accepted")                                   \
	X(DGRAM_LOSS, "dgram-loss", "a datagram is lost")                                              \
	X(DGRAM_TWICE, "dgram-twice", "a datagram comes twice")                                        \
	X(DGRAM_ORDER, "dgram-order", "a datagram is overtaken")                                       \
	X(FILE_SHORT, "file-short", "a file transfer moves fewer bytes than it could")                 \
	X(FILE_ERROR, "file-error", "a file transfer fails with PRO_EIO")                              \
	X(FILE_FULL, "file-full", "a file write finds no space, perhaps after some bytes")             \
	X(FILE_OPEN, "file-open", "a file can not be opened: PRO_EMFILE")                              \
	X(RESOLVE, "resolve", "a host name can not be resolved for now")

enum pro_sim_fault {
#define PRO_SIM_FAULT_ENUM(name, text, what) PRO_SIM_##name,
	PRO_SIM_FAULT_LIST(PRO_SIM_FAULT_ENUM)
#undef PRO_SIM_FAULT_ENUM
			PRO_SIM_FAULTS
};

/* X(name, what): mistakes that the world looks for. */
#define PRO_SIM_CHECK_LIST(X)                                                                      \
	X(SEND_BUFFER, "the bytes of a write changed while it was in flight")                          \
	X(READ_BUFFER, "the buffer of a read was written to while it was in flight")                   \
	X(BAD_HANDLE, "a handle was used or closed that is not open")                                  \
	X(END_LOOP, "the end of a stream is read again and again")                                     \
	X(ACCEPT_SPIN, "a listener without descriptors is tried without a rest")                       \
	X(DEAF_LISTENER, "connections wait and nobody accepts")                                        \
	X(QUEUE_BOUND, "a write stream queues more bytes than options.queued_bytes_max")               \
	X(MEMORY, "memory is freed twice or written to after its end")                                 \
	X(LEAK, "something is left when a proactor ends")                                              \
	X(MISUSE, "debug mode catches a misuse")                                                       \
	X(STALL, "a loop waits and nothing can happen any more, or nothing ever ends")

enum pro_sim_check_kind {
#define PRO_SIM_CHECK_ENUM(name, what) PRO_SIM_CHECK_##name,
	PRO_SIM_CHECK_LIST(PRO_SIM_CHECK_ENUM)
#undef PRO_SIM_CHECK_ENUM
			PRO_SIM_CHECKS
};

#define PRO_SIM_BIT(number) (UINT64_C(1) << (number))
#define PRO_SIM_ALL         UINT64_MAX

/* Fill with pro_sim_options_init, then change what you want. */
struct pro_sim_options {
	size_t size; /* sizeof(struct pro_sim_options) */
	uint64_t seed;
	const unsigned char *choices; /* bytes of a fuzzer that decide instead of the seed, as long as
									 there are any; NULL: none. Borrowed */
	size_t choices_size;
	uint64_t faults;      /* PRO_SIM_BIT of each that the seed may choose; 0: none, PRO_SIM_ALL, the
							 default */
	uint64_t checks;      /* PRO_SIM_BIT of each PRO_SIM_CHECK_…; PRO_SIM_ALL by default */
	unsigned parameter;   /* yours: pro_sim_parameter returns it; 1 by default */
	uint64_t steps_max;   /* a run that takes more is a failure; 10 million by default */
	uint64_t stop_step;   /* runs return at this step, for a debugger; 0: never */
	unsigned handles_max; /* of one proactor; 1024 by default */
	size_t buffer_bytes;  /* that a direction of a connection holds; 65536 by default */
	uint32_t latency_us[2];  /* of the network, least and most; 20 and 300 by default */
	uint64_t disk_bytes;     /* of all files together; 1 GiB by default */
	size_t queued_bytes_max; /* that one write stream may queue; 0, the default: any number */
	void (*trace)(void *context, const char *line); /* is given each event as text; may be NULL */
	void *trace_context;
};

/* The defaults. */
PRO_API void pro_sim_options_init(struct pro_sim_options *options);

/* A world in `*sim`; `options` NULL means the defaults. PRO_EINVAL. A world and all that lives
 * in it belong to one thread. A call that finds no memory for the world itself ends the program. */
PRO_API int pro_sim_create(struct pro_sim **sim, const struct pro_sim_options *options);

/* Ends the proactors that still live in it, as pro_sim_end, and frees it. Accepts NULL. */
PRO_API void pro_sim_destroy(struct pro_sim *sim);

#define PRO_SIM_PROACTORS_MAX 64

/* A proactor in the world: a process on a machine of its own, called `name` in traces (the first 31
 * bytes are copied; NULL: p1, p2, …), with the address 10.0.0.n or fd00::n, n = 1 for the first.
 * `options` may be NULL; its port is ignored, and one thread runs it. The caller destroys it, or
 * leaves that to pro_sim_end. PRO_EFULL above PRO_SIM_PROACTORS_MAX, and as pro_proactor_create. A
 * proactor that is made by pro_proactor_create with options.sim set lives in it too. */
PRO_API int pro_sim_proactor_create(struct pro_sim *sim, const char *name,
		const struct pro_proactor_options *options, struct pro_proactor **proactor);

/* ---- running ---- */

/* Lets the next thing happen: a packet arrives, a disk answers, a proactor runs its loop once. 1,
 * or 0 when nothing can happen any more; PRO_ECANCELED when a failure was found or the step to stop
 * at is reached, PRO_EBUSY inside a callback. Not needed while a loop is run: a loop that waits
 * lets the world and the loops of all other proactors go on. */
PRO_API int pro_sim_step(struct pro_sim *sim);

/* Steps until `condition` holds (NULL: for the whole time), at most `limit_ms` of virtual time. 0,
 * PRO_ETIMEDOUT (for a condition), PRO_ECANCELED and PRO_EBUSY as pro_sim_step. */
PRO_API int pro_sim_run_until(
		struct pro_sim *sim, bool (*condition)(void *context), void *context, int64_t limit_ms);

/* Shuts the proactors down, waits for the last handle_close, destroys them and looks at what is
 * left. 0, or PRO_ECANCELED when a failure was found, now or before, PRO_EBUSY as pro_sim_step. */
PRO_API int pro_sim_end(struct pro_sim *sim);

/* Memory that is filled with a pattern when it is allocated and when it is freed, and looked at
 * again later, so that its use after its end is found with any compiler. Proactors made by
 * pro_sim_proactor_create have it, unless their options name another: handlers get it by
 * pro_proactor_allocator. */
PRO_API const struct pro_allocator *pro_sim_allocator(struct pro_sim *sim);
/* Finds what is left of that memory, or was touched after its end: when all is over. 0 or
 * PRO_ECANCELED. */
PRO_API int pro_sim_check_memory(struct pro_sim *sim);

/* ---- what is known of it ---- */

/* The virtual clock, and the steps that were taken. */
PRO_API uint64_t pro_sim_now_ns(const struct pro_sim *sim);
PRO_API uint64_t pro_sim_steps(const struct pro_sim *sim);
/* Operations that the port has completed; some take several rounds. */
PRO_API uint64_t pro_sim_completions(const struct pro_sim *sim);
/* A sum of all that happened so far and when: equal for equal runs, whatever the compiler. */
PRO_API uint64_t pro_sim_hash(const struct pro_sim *sim);
/* options.parameter: what your set_up makes of it. */
PRO_API unsigned pro_sim_parameter(const struct pro_sim *sim);

/* 64 bits of the seed, and a number below `bound` (which is not 0), that change nothing of what the
 * world decides. */
PRO_API uint64_t pro_sim_random(struct pro_sim *sim);
PRO_API uint64_t pro_sim_choose(struct pro_sim *sim, uint64_t bound);

/* The latest events as lines of text, oldest first. Returns `text`. */
PRO_API char *pro_sim_events(const struct pro_sim *sim, char *text, size_t size);

/* ---- failures ---- */

/* Says that a check of yours failed: the first is kept, and runs return from then on. For use in
 * callbacks and conditions as well. */
PRO_API void pro_sim_fail(struct pro_sim *sim, const char *format, ...) PRO_PRINTF(2, 3);
/* The first failure, or NULL; valid as long as the world. */
PRO_API const char *pro_sim_failure(const struct pro_sim *sim);
/* The step at which it was found. */
PRO_API uint64_t pro_sim_failure_step(const struct pro_sim *sim);
/* Looks for what shows only over time: deaf listeners and long queues. Runs do so every virtual
 * second. 0 or PRO_ECANCELED. */
PRO_API int pro_sim_check(struct pro_sim *sim);

/* ---- faults ---- */

/* How often a fault strikes where it can, in a million. The seed has chosen the rates of some of
 * options.faults: others in each run, so that each run has a character of its own. */
PRO_API uint32_t pro_sim_rate(const struct pro_sim *sim, enum pro_sim_fault fault);
PRO_API void pro_sim_set_rate(struct pro_sim *sim, enum pro_sim_fault fault, uint32_t per_million);
/* From now on nothing goes wrong by chance; partitions and clogs end. What is still not done after
 * a time will never be. */
PRO_API void pro_sim_stop_faults(struct pro_sim *sim);

/* "short-read" for PRO_SIM_SHORT_READ; NULL for a number that is none. */
PRO_API const char *pro_sim_fault_text(enum pro_sim_fault fault);
/* A list of names separated by commas, "all" or "none", as bits. PRO_EINVAL. */
PRO_API int pro_sim_faults_parse(const char *text, uint64_t *faults);

/* ---- the network ---- */

/* Nothing passes between the two, in one direction or both, for `ms` milliseconds or, negative,
 * until it is healed. Bytes that are under way wait; datagrams are lost. */
PRO_API void pro_sim_clog(
		struct pro_sim *sim, struct pro_proactor *from, struct pro_proactor *to, int64_t ms);
PRO_API void pro_sim_partition(
		struct pro_sim *sim, struct pro_proactor *left, struct pro_proactor *right, int64_t ms);
PRO_API void pro_sim_heal(
		struct pro_sim *sim, struct pro_proactor *left, struct pro_proactor *right);
/* Resets every connection of the proactor; returns how many. */
PRO_API unsigned pro_sim_reset_connections(struct pro_sim *sim, struct pro_proactor *proactor);
/* Resets that one. PRO_EBADF, PRO_ENOTCONN. */
PRO_API int pro_sim_reset_handle(struct pro_sim *sim, pro_handle handle);
/* Of the network, least and most, from now on. */
PRO_API void pro_sim_set_latency(struct pro_sim *sim, uint32_t least_us, uint32_t most_us);
/* Of connections that are made from now on. */
PRO_API void pro_sim_set_buffer_bytes(struct pro_sim *sim, size_t bytes);
/* How many handles a proactor may have open. */
PRO_API void pro_sim_set_handles_max(
		struct pro_sim *sim, struct pro_proactor *proactor, unsigned handles_max);
PRO_API unsigned pro_sim_handles(const struct pro_sim *sim, const struct pro_proactor *proactor);
/* One more address of the host `name`; its port does not matter. PRO_EINVAL, PRO_EFULL above 8. */
PRO_API int pro_sim_add_host(struct pro_sim *sim, const char *name, const struct pro_addr *addr);

/* ---- files: names are separated by `/`, from the one root ---- */

/* Makes the file and the directories above it, and writes `bytes` at `offset`. Such changes are on
 * the disk for good and need no space. PRO_EISDIR, PRO_ENOTDIR, PRO_EEXIST for what is no file,
 * here and below PRO_EINVAL for an empty name or one of 256 bytes. */
PRO_API int pro_sim_file_write(
		struct pro_sim *sim, const char *path, uint64_t offset, const void *bytes, size_t length);
/* The bytes at `offset`, fewer at the end of the file, in *length. These and the next: PRO_ENOENT,
 * PRO_ENOTDIR, PRO_EISDIR for what is no file. */
PRO_API int pro_sim_file_read(
		struct pro_sim *sim, const char *path, uint64_t offset, void *bytes, size_t *length);
PRO_API int pro_sim_file_size(struct pro_sim *sim, const char *path, uint64_t *size);
PRO_API int pro_sim_file_resize(struct pro_sim *sim, const char *path, uint64_t size);
/* With all below it; the root is PRO_EISDIR. */
PRO_API int pro_sim_file_remove(struct pro_sim *sim, const char *path);
/* 0 when it is there; PRO_EEXIST for another thing of that name, PRO_ENOTDIR. */
PRO_API int pro_sim_make_directory(struct pro_sim *sim, const char *path);
/* A symbolic link, and a thing that is neither file nor directory. PRO_EISDIR, PRO_EEXIST,
 * PRO_ENOTDIR. */
PRO_API int pro_sim_make_link(struct pro_sim *sim, const char *path);
PRO_API int pro_sim_make_device(struct pro_sim *sim, const char *path);
/* The space of the disk; less than is used means that it is full. */
PRO_API void pro_sim_set_disk_bytes(struct pro_sim *sim, uint64_t bytes);
/* What was written is on the disk for good. */
PRO_API void pro_sim_sync(struct pro_sim *sim);
/* The machine of the proactor loses its power: its peers hear no more of it, what it wrote since
 * the last sync is on the disk in part. From now on it reaches nothing; destroy it, so that its
 * memory is freed, and make another in its place. */
PRO_API void pro_sim_crash(struct pro_sim *sim, struct pro_proactor *proactor);

/* ---- many seeds: one call of a test ---- */

struct pro_sim_test {
	size_t size;                    /* sizeof(struct pro_sim_test) */
	struct pro_sim_options options; /* the seed is the runner's; parameter: the most, such as the
									   number of clients, which it tries to lower for a failing seed
									 */
	uint64_t first_seed;
	uint64_t seeds;       /* how many; 1000 by default */
	int64_t faults_ms;    /* virtual time after which the faults stop; 30,000 by default */
	int64_t limit_ms;     /* virtual time in which all must be done then; 300,000 by default */
	bool is_in_process;   /* no child process is used: a crash ends the program then */
	unsigned seconds_max; /* of processor time for one seed, in a child process; 30 by default */

	/* Makes proactors, handlers and files in the world, and what the other functions get in
	 * *context. Anything but 0 is a failure. Needed. */
	int (*set_up)(struct pro_sim *sim, void **context);
	/* Whether all that was to happen has happened. NULL: the faults' time is run and no more. */
	bool (*is_done)(struct pro_sim *sim, void *context);
	/* After each step; says pro_sim_fail if something is wrong. May be NULL. */
	void (*check)(struct pro_sim *sim, void *context);
	/* All is done, or never will be, and the proactors still live: closes what no handler does,
	 * such as roots of files, or ends a server in its own way, by pro_sim_run_until. May be NULL.
	 */
	void (*stop)(struct pro_sim *sim, void *context);
	/* The proactors are gone: the last checks, and frees what set_up made. May be NULL. */
	void (*tear_down)(struct pro_sim *sim, void *context);
};

/* What was found. */
struct pro_sim_verdict {
	uint64_t seeds;       /* that were run, the failing one included */
	uint64_t steps;       /* of all of them */
	uint64_t completions; /* likewise */
	uint64_t hash;        /* of all of them */
	bool is_failure;      /* the rest is about the first seed that failed, as small as it could be
							 made: */
	uint64_t seed;
	uint64_t faults;
	unsigned parameter;
	uint64_t step;
	char failure[512];
	char text[8192]; /* all of it, with the latest events and how to see it again */
};

/* The defaults. */
PRO_API void pro_sim_test_init(struct pro_sim_test *test);

/* Runs the seeds, one of eight in debug mode, and of the first that fails (a check, a crash, a
 * hang) finds fewer faults and a lower parameter with which it still fails, then its cause, if
 * debug mode sees that. 0, PRO_ECANCELED when a seed failed, PRO_EINVAL (why is in verdict->text),
 * PRO_ENOMEM. In a Check test: ck_assert_msg(pro_sim_test(&test, &verdict) == 0, "%s",
 * verdict.text).
 *
 * The environment overrides: PROACTOR_SIM_SEED (this one only, in this process),
 * PROACTOR_SIM_SEEDS (how many), PROACTOR_SIM_FAULTS (names), PROACTOR_SIM_PARAMETER,
 * PROACTOR_SIM_STEP (stop there), PROACTOR_SIM_TRACE (a file for the events, "-" for the standard
 * error), PROACTOR_DEBUG (1: every seed in debug mode, 0: none). A value that makes no sense is
 * PRO_EINVAL; which it is stands in verdict->text. */
PRO_API int pro_sim_test(const struct pro_sim_test *test, struct pro_sim_verdict *verdict);

/* Does nothing: set a breakpoint here. It is called when a run reaches the step to stop at. */
PRO_API void pro_sim_stopped(struct pro_sim *sim);

PRO_END_DECLS

#endif
