/* A single range of bytes: "bytes=0-499", "bytes=500-", "bytes=-500". */
#ifndef FILE_SERVICE_HTTP_RANGE_H
#define FILE_SERVICE_HTTP_RANGE_H

#include <stddef.h>
#include <stdint.h>

enum http_range_kind {
	HTTP_RANGE_NONE,  /* the whole file */
	HTTP_RANGE_FROM,  /* [first, last], last may be UINT64_MAX */
	HTTP_RANGE_SUFFIX /* the `last` last bytes */
};

struct http_range {
	enum http_range_kind kind;
	uint64_t first;
	uint64_t last;
};

enum http_range_outcome { HTTP_RANGE_WHOLE, HTTP_RANGE_PART, HTTP_RANGE_UNSATISFIABLE };

/* Reads the value of a Range field. Several ranges, other units and what is not understood are
 * HTTP_RANGE_NONE: the whole file is a right answer to all of them. */
struct http_range http_range_parse(const char *bytes, size_t length);

/* What the range is of a file of `size` bytes: from `*offset`, `*count` bytes. */
enum http_range_outcome http_range_resolve(
		const struct http_range *range, uint64_t size, uint64_t *offset, uint64_t *count);

#endif
