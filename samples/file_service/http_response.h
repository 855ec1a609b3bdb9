/* The head of an HTTP/1.1 response. */
#ifndef FILE_SERVICE_HTTP_RESPONSE_H
#define FILE_SERVICE_HTTP_RESPONSE_H

#include <proactor/message_block.h>

#include "file_name.h"
#include "http_date.h"
#include "http_request.h"

/* Every head that is printed here, and the small body of a refusal, fit into so many bytes. */
#define HTTP_RESPONSE_MAX 2048

struct http_response {
	unsigned status;
	bool is_kept;
	bool is_version_1_0;      /* of the request: only there a kept connection is worth a word */
	bool is_head;             /* the answer to HEAD: all but the body */
	const char *content_type; /* NULL: the response has no body but the text of its status */
	uint64_t offset;          /* 206: where the part begins */
	uint64_t length;          /* bytes of the body */
	uint64_t size;            /* 206, 416: bytes of the whole file */
	int64_t modified_s;       /* HTTP_NO_DATE: not told */
	const char *location; /* 301: the directory beside the one asked for, not yet encoded; NULL */
};

/* "Not Found" for 404. */
const char *http_status_text(unsigned status);

/* The status that tells of an error of the library, and nothing more about it. */
unsigned http_status_from_error(int error);

/* Prints the head, and for a response without a content_type the text of its status as the body,
 * into an empty `block` of HTTP_RESPONSE_MAX bytes. `now_s` is the time of the day. Returns 0 or
 * PRO_EFULL. */
int http_response_print(
		struct pro_message_block *block, const struct http_response *response, int64_t now_s);

/* Percent-encodes `length` bytes into `text`, which holds 3 bytes for each and a NUL; all but
 * letters, digits and "-._~" is encoded, so that the outcome is harmless in a header field, in an
 * attribute of HTML, and as a relative reference. Returns the length. */
size_t http_encode(char *text, const char *bytes, size_t length);

#endif
