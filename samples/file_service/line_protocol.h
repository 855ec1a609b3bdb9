/* The line protocol: a name and a newline in, the bytes of the file out. */
#ifndef FILE_SERVICE_LINE_PROTOCOL_H
#define FILE_SERVICE_LINE_PROTOCOL_H

#include "session.h"

/* The longest name, in bytes without its end. */
#define LINE_NAME_MAX 1024

/* Which protocol the first bytes of a connection speak; SESSION_UNDECIDED: more of them must come.
 * HTTP is a line that begins as "METHOD /", "METHOD *" or "METHOD http://" does, or that has
 * " HTTP/" in it; all else is a name, an empty line too, so a client of HTTP may not begin with one
 * here. */
enum session_protocol line_protocol_detect(const char *bytes, size_t length);

/* Takes a name from the input and begins to answer it; false when no whole name is there. */
bool line_protocol_process(struct session *session);

#endif
