/* Names as clients send them, made into names below the root.
 *
 * The library refuses every name that leaves its root, whatever is written here. This layer refuses
 * earlier what no honest client sends, so that a name means the same on every system. */
#ifndef FILE_SERVICE_FILE_NAME_H
#define FILE_SERVICE_FILE_NAME_H

#include <stdbool.h>
#include <stddef.h>

/* The longest name, in bytes: Linux opens no longer one. */
#define FILE_NAME_BYTES_MAX 4095

struct file_name {
	char text[FILE_NAME_BYTES_MAX + 1]; /* relative, parts separated by one `/`; "" is the root */
	size_t length;
	bool is_directory; /* the client wrote it as one: with a slash at the end, or the root */
};

/* A name as the line protocol sends it: raw bytes. PRO_EINVAL for an empty one or a NUL in it,
 * PRO_EESCAPE for absolute names and a part `..`, PRO_ENAME for backslashes, PRO_ENAMETOOLONG. */
int file_name_from_line(struct file_name *name, const char *bytes, size_t length);

/* A request target of HTTP: "/path?query" or "http://host/path", percent-encoded; the query is
 * ignored. PRO_EINVAL for another form, a wrong encoding, or an encoded NUL; PRO_ENAME for an
 * encoded slash too, which no name can hold; the rest as above. */
int file_name_from_target(struct file_name *name, const char *bytes, size_t length);

/* Appends one more part. PRO_ENAMETOOLONG; the name is then unchanged. */
int file_name_append(struct file_name *name, const char *part);

/* The last part of the name. */
const char *file_name_last_part(const struct file_name *name);

#endif
