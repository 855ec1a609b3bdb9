/* What a service in a simulated world asks of the world outside: a log and the date. */
#include "service.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DATE 1700000000

enum bug planted_bug = BUG_NONE;
bool service_lacks_memory;
bool service_is_hit;

/* Takes the place of sample_log: a service logs to the events of its world, when they are shown. */
void __wrap_sample_log(const char *format, ...) PRO_PRINTF(1, 2);

void __wrap_sample_log(const char *format, ...)
{
	char text[SAMPLE_LOG_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (getenv("PROACTOR_SIM_TRACE"))
		fprintf(stderr, "log: %s\n", text);
}

/* Takes the place of time: the date in an answer's head is what a service asks of the system. */
time_t __wrap_time(time_t *now);

time_t __wrap_time(time_t *now)
{
	if (now)
		*now = DATE;
	return DATE;
}
