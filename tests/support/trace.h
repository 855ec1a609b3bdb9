/* Text that grows: the log of callbacks that two ports are compared by. */
#ifndef TESTS_SUPPORT_TRACE_H
#define TESTS_SUPPORT_TRACE_H

#include <proactor/base.h>

struct trace {
	char *text; /* NULL while empty */
	size_t length;
	size_t capacity;
};

void trace_printf(struct trace *trace, const char *format, ...) PRO_PRINTF(2, 3);
void trace_fini(struct trace *trace);

#endif
