/* What the sample programs share: the proactor, its clean stop, the log. */
#include "sample.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sample_system.h"

static const char *program_name = "sample";

/* What a signal ends, and of what else it asks for a dump. */
static struct pro_proactor *stopped_by_signal;
static struct pro_proactor_group *volatile dumped_group;

void sample_set_program(const char *program)
{
	program_name = program;
}

static bool is_printable(unsigned char byte)
{
	return byte >= 0x20 && byte <= 0x7e;
}

/* Writes `\xNN`, four bytes without a NUL. */
static void write_hex(char *at, unsigned char byte)
{
	static const char digits[] = "0123456789abcdef";

	at[0] = '\\';
	at[1] = 'x';
	at[2] = digits[byte >> 4];
	at[3] = digits[byte & 15];
}

void sample_log(const char *format, ...)
{
	char text[SAMPLE_LOG_BYTES];
	char line[SAMPLE_LOG_BYTES];
	size_t used;
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	used = (size_t)snprintf(line, sizeof(line), "%.40s: ", program_name);
	for (const char *at = text; *at && used < sizeof(line) - 5; at++) {
		if (is_printable((unsigned char)*at)) {
			line[used++] = *at;
		} else {
			write_hex(line + used, (unsigned char)*at);
			used += 4;
		}
	}
	line[used++] = '\n';
	fwrite(line, 1, used, stderr);
}

char *sample_quote(const void *bytes, size_t length, char *quoted, size_t size)
{
	const unsigned char *byte = bytes;
	size_t used = 0;

	quoted[used++] = '"';
	for (size_t i = 0; i < length; i++) {
		/* Room for one escape, the dots, the quote and the NUL. */
		if (used + 4 + 5 > size) {
			memcpy(quoted + used, "...", 3);
			used += 3;
			break;
		}
		if (byte[i] == '"' || byte[i] == '\\') {
			quoted[used++] = '\\';
			quoted[used++] = (char)byte[i];
		} else if (is_printable(byte[i])) {
			quoted[used++] = (char)byte[i];
		} else {
			write_hex(quoted + used, byte[i]);
			used += 4;
		}
	}
	quoted[used++] = '"';
	quoted[used] = '\0';
	return quoted;
}

static void log_hook(void *context, enum pro_log_level level, const char *text)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};

	(void)context;
	sample_log("%s: %s", names[level], text);
}

static void end_loop(void)
{
	pro_proactor_end_event_loop(stopped_by_signal);
}

static void dump(void)
{
	struct pro_proactor_group *group = dumped_group;
	unsigned count = group ? pro_proactor_group_count(group) : 0;

	pro_proactor_dump(stopped_by_signal, NULL, NULL);
	for (unsigned i = 0; i < count; i++)
		pro_proactor_dump(pro_proactor_group_proactor(group, i), NULL, NULL);
}

void sample_set_dumped_group(struct pro_proactor_group *group)
{
	dumped_group = group;
}

void sample_proactor_options_init(struct pro_proactor_options *options)
{
	pro_proactor_options_init(options);
	options->log = log_hook;
}

struct pro_proactor *sample_proactor_create(
		const struct pro_proactor_options *options, bool log_port)
{
	struct pro_proactor_options defaults;
	struct pro_proactor_report report = {.size = sizeof(report)};
	struct pro_proactor *proactor;
	char why[256];

	if (!sample_system_start()) {
		sample_log("no descriptors");
		return NULL;
	}
	if (!options) {
		sample_proactor_options_init(&defaults);
		options = &defaults;
	}
	int error = pro_proactor_create(&proactor, options, why, sizeof(why));
	if (error) {
		sample_log("no completion port: %s (%s)", why, pro_error_text(error));
		return NULL;
	}
	stopped_by_signal = proactor;
	sample_system_mind_signals(end_loop, dump);
	if (log_port && !pro_proactor_report(proactor, &report))
		sample_log("port %s: %s", report.port, report.reason);
	return proactor;
}

void sample_ignore_signals(void)
{
	sample_system_mind_signals(NULL, NULL);
	dumped_group = NULL;
}

int sample_proactor_destroy(struct pro_proactor *proactor)
{
	sample_ignore_signals();
	int error = pro_proactor_destroy(proactor);
	if (error) {
		sample_log("stopping failed: %s", pro_error_text(error));
		return SAMPLE_FAILED;
	}
	return SAMPLE_OK;
}

bool sample_succeeded(const char *what, int error)
{
	if (error)
		sample_log("%s: %s", what, pro_error_text(error));
	return !error;
}

bool sample_resolve(struct pro_addr *addr, const char *text)
{
	char quoted[PRO_HOST_MAX + 64];

	int error = pro_addr_resolve(addr, text);
	if (!error)
		return true;
	sample_log("%s: %s", sample_quote(text, strlen(text), quoted, sizeof(quoted)),
			pro_error_text(error));
	return false;
}

bool sample_print_listening(const struct pro_addr *addr)
{
	char text[PRO_ADDR_TEXT_MAX];

	printf("listening on %s\n", pro_addr_format(addr, text, sizeof(text)));
	if (fflush(stdout) || ferror(stdout)) {
		sample_log("stdout can not be written");
		return false;
	}
	return true;
}
