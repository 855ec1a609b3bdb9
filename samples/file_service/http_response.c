#include "http_response.h"

#include <proactor/error.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *http_status_text(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} texts[] = {
			{200, "OK"},
			{206, "Partial Content"},
			{301, "Moved Permanently"},
			{304, "Not Modified"},
			{400, "Bad Request"},
			{403, "Forbidden"},
			{404, "Not Found"},
			{405, "Method Not Allowed"},
			{412, "Precondition Failed"},
			{414, "URI Too Long"},
			{416, "Range Not Satisfiable"},
			{431, "Request Header Fields Too Large"},
			{500, "Internal Server Error"},
			{501, "Not Implemented"},
			{503, "Service Unavailable"},
			{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].status == status)
			return texts[i].text;
	}
	return "Error";
}

unsigned http_status_from_error(int error)
{
	switch (error) {
	case PRO_EINVAL:
		return 400;
	case PRO_EESCAPE:
	case PRO_EACCES:
	case PRO_EPERM:
		return 403;
	case PRO_ENOENT:
	case PRO_ENOTDIR:
	case PRO_EISDIR:
	case PRO_ENAME:
	case PRO_ENAMETOOLONG:
		return 404;
	case PRO_EMFILE:
	case PRO_ENFILE:
	case PRO_ENOMEM:
	case PRO_ENOBUFS:
		return 503;
	default:
		return 500;
	}
}

size_t http_encode(char *text, const char *bytes, size_t length)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t used = 0;

	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
				(byte >= '0' && byte <= '9') || (byte && strchr("-._~", byte))) {
			text[used++] = bytes[i];
			continue;
		}
		text[used++] = '%';
		text[used++] = digits[byte >> 4];
		text[used++] = digits[byte & 15];
	}
	text[used] = '\0';
	return used;
}

/* Which part of which file the body is. */
static int print_range(struct pro_message_block *block, const struct http_response *response)
{
	if (response->status == 416)
		return pro_message_block_printf(
				block, "Content-Range: bytes */%" PRIu64 "\r\n", response->size);
	if (response->status != 206)
		return 0;
	return pro_message_block_printf(block,
			"Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", response->offset,
			response->offset + response->length - 1, response->size);
}

/* Where else to ask. The reference is relative: the name of a directory and a slash, beside what
 * was asked for. */
static int print_location(struct pro_message_block *block, const struct http_response *response)
{
	char encoded[3 * 255 + 1]; /* the longest part of a name that Linux has */

	if (!response->location)
		return 0;
	if (strlen(response->location) > sizeof(encoded) / 3)
		return PRO_EFULL;
	http_encode(encoded, response->location, strlen(response->location));
	return pro_message_block_printf(block, "Location: %s/\r\n", encoded);
}

/* What the body is: a file or a page, or the text of the status. */
static int print_content(
		struct pro_message_block *block, const struct http_response *response, uint64_t length)
{
	char date[HTTP_DATE_SIZE];
	int error = pro_message_block_printf(block,
			"Content-Type: %s\r\nX-Content-Type-Options: nosniff\r\n"
			"Content-Length: %" PRIu64 "\r\n",
			response->content_type ? response->content_type : "text/plain; charset=utf-8", length);

	if (!error && response->modified_s != HTTP_NO_DATE)
		error = pro_message_block_printf(block, "Accept-Ranges: bytes\r\nLast-Modified: %s\r\n",
				http_date_format(response->modified_s, date));
	return error;
}

static const char *connection_field(const struct http_response *response)
{
	if (!response->is_kept)
		return "Connection: close\r\n";
	return response->is_version_1_0 ? "Connection: keep-alive\r\n" : "";
}

int http_response_print(
		struct pro_message_block *block, const struct http_response *response, int64_t now_s)
{
	const char *text = http_status_text(response->status);
	bool has_content = response->status != 304;
	bool has_text = has_content && !response->content_type;
	char date[HTTP_DATE_SIZE];

	int error = pro_message_block_printf(block,
			"HTTP/1.1 %u %s\r\nDate: %s\r\nServer: proactor\r\n%s%s", response->status, text,
			http_date_format(now_s, date), connection_field(response),
			response->status == 405 ? "Allow: GET, HEAD\r\n" : "");
	if (!error && has_content)
		error = print_content(block, response, has_text ? strlen(text) + 1 : response->length);
	if (!error)
		error = print_range(block, response);
	if (!error)
		error = print_location(block, response);
	if (!error)
		error = pro_message_block_printf(block, "\r\n");
	if (!error && has_text && !response->is_head)
		error = pro_message_block_printf(block, "%s\n", text);
	return error;
}
