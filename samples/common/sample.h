/* What the sample programs share: a command line, a log, a clean stop.
 *
 * The way of a service:
 *	sample_parse → sample_proactor_create → open an acceptor → sample_print_listening →
 *	pro_proactor_run_event_loop, which returns on Ctrl-C → say goodbye → sample_proactor_destroy */
#ifndef SAMPLE_H
#define SAMPLE_H

#include <proactor/addr.h>
#include <proactor/proactor.h>

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

/* A proactor with the default options, which logs through sample_log and whose loop ends on SIGINT
 * and SIGTERM; `log_port` logs the port it chose. SIGPIPE is ignored, for the sake of stdout and
 * stderr; the library itself never raises it. NULL after a failure, which has been logged. Once a
 * program. */
struct pro_proactor *sample_proactor_create(bool log_port);

/* Stops minding signals, then closes every handler and frees the proactor. Returns the exit status:
 * SAMPLE_OK or SAMPLE_FAILED. */
int sample_proactor_destroy(struct pro_proactor *proactor);

/* Parses or, at start-up only, looks up what --listen was given. False after a failure, which has
 * been logged. */
bool sample_resolve(struct pro_addr *addr, const char *text);

/* "listening on 127.0.0.1:5000\n" to stdout, flushed: the first line there. Scripts wait for it. */
bool sample_print_listening(const struct pro_addr *addr);

#endif
