/* The head of an HTTP/1 request, read as it arrives. No I/O, no allocation: bytes in, a request or
 * the status of a refusal out.
 *
 * It takes what RFC 9112 wants a server to take, and refuses with 400 all that could make two
 * servers see different requests in the same bytes: a length given twice, a length and a transfer
 * coding, folded lines, spaces before a colon, a CR alone, control characters. */
#ifndef FILE_SERVICE_HTTP_REQUEST_H
#define FILE_SERVICE_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http_range.h"

/* Limits; what is longer is refused with 414 or 431. The line is counted without its end, the
 * fields with theirs and with the empty line. */
#define HTTP_REQUEST_LINE_MAX 8192
#define HTTP_FIELDS_BYTES_MAX 16384
#define HTTP_FIELDS_MAX       100
/* Empty lines before a request: some clients end a request with one too many. */
#define HTTP_EMPTY_LINES_MAX 2
/* So many bytes always suffice to get either a request or a refusal. */
#define HTTP_HEAD_MAX (2 * HTTP_EMPTY_LINES_MAX + HTTP_REQUEST_LINE_MAX + 2 + HTTP_FIELDS_BYTES_MAX)
/* A longer body is not read: the connection ends after the answer. */
#define HTTP_BODY_MAX 65536

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_OTHER,  /* known, but not for files: 405 */
	HTTP_UNKNOWN /* 501 */
};

/* What a condition names: no file has an entity tag here, but `*` is every file that is there. */
enum http_tags { HTTP_TAGS_NONE, HTTP_TAGS_OTHER, HTTP_TAGS_ANY };

enum http_progress { HTTP_MORE, HTTP_DONE };

struct http_request {
	/* To be read after HTTP_DONE. */
	unsigned status; /* 0, or the status to refuse the request with */
	bool is_kept;    /* another request may follow: client and framing allow it */
	bool is_version_1_0;
	enum http_method method;
	size_t line; /* where the request line begins in the head, and how long it is */
	size_t line_length;
	size_t target;
	size_t target_length;
	size_t head_length;   /* bytes up to and with the empty line */
	uint64_t body_length; /* bytes behind the head that belong to this request */
	struct http_range range;
	enum http_tags if_match;
	enum http_tags if_none_match;
	int64_t if_modified_since;   /* seconds, or HTTP_NO_DATE */
	int64_t if_unmodified_since; /* likewise */
	int64_t if_range;            /* likewise */
	bool has_if_range;

	/* Private. */
	size_t next_line;
	size_t scanned; /* no end of a line before this */
	size_t fields_start;
	unsigned empty_lines;
	unsigned field_count;
	unsigned host_count;
	bool has_length;
	bool has_transfer_coding;
	bool has_range;
	bool has_if_modified_since;
	bool has_if_unmodified_since;
	bool expects_continue;
	bool asked_close;
	bool asked_keep_alive;
};

/* Before the first byte of each request. */
void http_request_init(struct http_request *request);

/* Looks at the head so far: `length` bytes from its first byte on, a few more each time (they may
 * have moved). HTTP_MORE until the head is complete or refused; once HTTP_DONE, always that. */
enum http_progress http_request_parse(
		struct http_request *request, const char *head, size_t length);

#endif
