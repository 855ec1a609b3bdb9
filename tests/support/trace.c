/* Text that grows: the log of callbacks that two ports are compared by. */
#include "trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void trace_printf(struct trace *trace, const char *format, ...)
{
	char line[8192];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= sizeof(line))
		abort();

	if (trace->length + (size_t)length + 1 > trace->capacity) {
		trace->capacity = 2 * trace->capacity + sizeof(line);
		trace->text = realloc(trace->text, trace->capacity);
		if (!trace->text)
			abort();
	}
	memcpy(trace->text + trace->length, line, (size_t)length + 1);
	trace->length += (size_t)length;
}

void trace_fini(struct trace *trace)
{
	free(trace->text);
	memset(trace, 0, sizeof(*trace));
}
