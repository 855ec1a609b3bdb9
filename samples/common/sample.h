/* What the sample programs share: a command line, threads, a log, a clean stop.
 *
 * The way of a service:
 *	sample_parse → sample_loops_open → sample_loops_accept → sample_print_listening →
 *	sample_loops_run, which returns on Ctrl-C → say goodbye → sample_loops_close */
#ifndef SAMPLE_H
#define SAMPLE_H

#include <proactor/addr.h>
#include <proactor/asynch_acceptor.h>
#include <proactor/proactor_group.h>

#include <stdatomic.h>

/* Exit statuses of all samples. */
enum { SAMPLE_OK = 0, SAMPLE_FAILED = 1, SAMPLE_USAGE = 2 };

/* One `--name VALUE` (or `--name=VALUE`) of a command line. `text` or `number` gets the value; the
 * text is that of argv. An option without either is a flag, and `flag` becomes true. */
struct sample_option {
	const char *name;  /* "--listen" */
	const char *value; /* "HOST:PORT", for the help; NULL for a flag */
	const char *help;  /* one line; tells the default */
	const char **text;
	unsigned *number;
	unsigned number_min;
	unsigned number_max;
	bool *flag;
};

struct sample_usage {
	const char *program;      /* "chat_server" */
	const char *operand_name; /* "HOST:PORT"; NULL when the program takes no operand */
	const char **operand;     /* gets the operand, which is then needed */
	const char *summary;      /* what it does, lines ending in \n */
	const struct sample_option *options;
	size_t option_count;
	const struct sample_loops *loops; /* what the options below set; NULL without them */
};

/* Reads the command line. Returns -1 to go on; otherwise the status to exit with: SAMPLE_OK after
 * --help, which goes to stdout, SAMPLE_USAGE after a mistake, which is told on stderr. */
int sample_parse(const struct sample_usage *usage, int argc, char **argv);

/* Names the program in the log. sample_parse does it; earlier lines begin with "sample". */
void sample_set_program(const char *program);

/* Writes "PROGRAM: text\n" to stderr: one event, one line, at most SAMPLE_LOG_BYTES. Bytes that are
 * not printable ASCII come out as \xNN, so that no event can forge another; text from a peer goes
 * through sample_quote first. Never fails, but waits when stderr does. [any thread] */
#define SAMPLE_LOG_BYTES 1024
void sample_log(const char *format, ...) PRO_PRINTF(1, 2);

/* Writes `length` untrusted bytes as "…" with \" \\ and \xNN into `quoted` of `size` bytes (at
 * least 6), ended with ..." when they do not fit. Returns `quoted`. */
char *sample_quote(const void *bytes, size_t length, char *quoted, size_t size);

/* Fills the default options, and the log: sample_log. */
void sample_proactor_options_init(struct pro_proactor_options *options);

/* A proactor whose loop ends on SIGINT, SIGTERM and SIGHUP (but not under nohup), and which logs
 * what is in flight on SIGUSR1 (Windows: Ctrl-Break); `options` NULL: those of
 * sample_proactor_options_init; `log_port` logs the port it chose. SIGPIPE is ignored, for the sake
 * of stdout and stderr; the library itself never raises it. NULL after a failure, which has been
 * logged. Once a program. */
struct pro_proactor *sample_proactor_create(
		const struct pro_proactor_options *options, bool log_port);

/* A group whose proactors do so too, from now on. */
void sample_set_dumped_group(struct pro_proactor_group *group);

/* From now on no signal does anything: before what they act on is taken apart. */
void sample_ignore_signals(void);

/* sample_ignore_signals, then closes every handler and frees the proactor. Returns the exit status:
 * SAMPLE_OK or SAMPLE_FAILED. */
int sample_proactor_destroy(struct pro_proactor *proactor);

/* Who runs the callbacks: one thread, or what the command line says; docs/threading.md tells when
 * to pick which. Zeroed to begin with. */
struct sample_loops {
	unsigned threads;     /* --threads: share one proactor; 0: not given */
	unsigned concurrency; /* --concurrency: of their callbacks run at once; 0: one a processor */
	unsigned members;     /* --group: proactors with a thread each; 0: not given */
	struct pro_proactor *proactor;    /* what listens, and what main runs */
	struct pro_proactor_group *group; /* where the connections go; NULL: they stay */
};

#define SAMPLE_THREADS_MAX 256

struct sample_option sample_threads_option(struct sample_loops *loops);
struct sample_option sample_concurrency_option(struct sample_loops *loops);
struct sample_option sample_group_option(struct sample_loops *loops);
/* What is wrong about the three together; NULL: nothing. */
const char *sample_loops_fault(const struct sample_loops *loops);

/* Creates the proactor, and the group, whose threads run from now on; as sample_proactor_create.
 * False after a failure, which has been logged. */
bool sample_loops_open(struct sample_loops *loops, bool log_port);

/* Opens the acceptor, whose connections go to the group if there is one. Waits a little when the
 * address is in use: the system may still be taking apart a process that was killed. 0 or the
 * error. */
int sample_loops_accept(struct sample_loops *loops, struct pro_asynch_acceptor *acceptor,
		const struct pro_asynch_acceptor_vtbl *vtbl, const struct pro_addr *addr);

/* Runs the proactor on as many threads as were asked for and can be had, this one too, until its
 * loop ends or `limit_ms` are over (PRO_NO_TIMEOUT: never). 0 or the error. */
int sample_loops_run(struct sample_loops *loops, int64_t limit_ms);

/* Stops the group, then as sample_proactor_destroy. */
int sample_loops_close(struct sample_loops *loops);

/* How many clients a service lets in. Begins as SAMPLE_LIMITS. */
struct sample_limits {
	unsigned connections_max; /* --max-connections */
	unsigned per_address_max; /* --max-per-address; the service counts by pro_addr_same_client */
	atomic_uint connections;  /* that are there, or being made */
};

#define SAMPLE_LIMITS                                                                              \
	{                                                                                              \
		.connections_max = 4096, .per_address_max = 1024                                           \
	}
#define SAMPLE_CONNECTIONS_MAX 1000000

struct sample_option sample_connections_option(struct sample_limits *limits);
struct sample_option sample_per_address_option(struct sample_limits *limits);

/* Takes a place for one more connection; false when there is none, which has been logged. [any
 * thread] */
bool sample_limits_enter(struct sample_limits *limits);
/* Gives the place up. [any thread] */
void sample_limits_leave(struct sample_limits *limits);

/* Parses or, at start-up only, looks up what --listen was given. False after a failure, which has
 * been logged. */
bool sample_resolve(struct pro_addr *addr, const char *text);

/* "listening on 127.0.0.1:5000\n" to stdout, flushed: the first line there. Scripts wait for it. */
bool sample_print_listening(const struct pro_addr *addr);

/* Whether `error` is none; logs it as what became of `what` otherwise. */
bool sample_succeeded(const char *what, int error);

#endif
