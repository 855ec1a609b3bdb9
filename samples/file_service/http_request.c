#include "http_request.h"

#include <string.h>

#include "http_date.h"
#include "text.h"

void http_request_init(struct http_request *request)
{
	memset(request, 0, sizeof(*request));
	request->if_modified_since = HTTP_NO_DATE;
	request->if_unmodified_since = HTTP_NO_DATE;
	request->if_range = HTTP_NO_DATE;
}

/* Ends the parsing. Where the request ends is not known, so no other can follow. */
static enum http_progress refuse(struct http_request *request, unsigned status)
{
	request->status = status;
	request->is_kept = false;
	return HTTP_DONE;
}

static enum http_method method_of(const char *bytes, size_t length)
{
	static const char *const others[] = {
			"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT"};

	/* Methods are case-sensitive. */
	if (length == 3 && !memcmp(bytes, "GET", length))
		return HTTP_GET;
	if (length == 4 && !memcmp(bytes, "HEAD", length))
		return HTTP_HEAD;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (length == strlen(others[i]) && !memcmp(bytes, others[i], length))
			return HTTP_OTHER;
	}
	return HTTP_UNKNOWN;
}

/* Bytes that may stand in a target: no controls, no spaces, no fragment. Bytes above ASCII are not
 * legal, but clients send them, and they mean one thing only. */
static bool is_target(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if (byte <= ' ' || byte == 0x7f || byte == '#')
			return false;
	}
	return length > 0;
}

/* Reads "HTTP/D.D". Returns 0, 400 or 505. */
static unsigned parse_version(struct http_request *request, const char *bytes, size_t length)
{
	if (length != 8 || memcmp(bytes, "HTTP/", 5) != 0 || bytes[6] != '.' || bytes[5] < '0' ||
			bytes[5] > '9' || bytes[7] < '0' || bytes[7] > '9')
		return 400;
	request->is_version_1_0 = bytes[7] == '0';
	return bytes[5] == '1' ? 0 : 505;
}

/* METHOD SP TARGET SP VERSION. Returns 0, 400 or 505. */
static unsigned parse_request_line(struct http_request *request, const char *line, size_t length)
{
	const char *space = memchr(line, ' ', length);

	if (!space)
		return 400;
	size_t method_length = (size_t)(space - line);
	const char *target = space + 1;
	size_t rest = length - method_length - 1;
	space = rest > 0 ? memchr(target, ' ', rest) : NULL;
	if (!space)
		return 400;
	request->target = request->line + method_length + 1;
	request->target_length = (size_t)(space - target);
	/* Of a refusal, too, HEAD wants no body. */
	request->method = method_of(line, method_length);
	if (!text_is_token(line, method_length) || !is_target(target, request->target_length))
		return 400;
	return parse_version(request, space + 1, rest - request->target_length - 1);
}

static unsigned take_content_length(
		struct http_request *request, const char *value, size_t value_length)
{
	/* Twice is once too often, be the numbers equal or not. */
	if (request->has_length || !text_number(value, value_length, &request->body_length))
		return 400;
	request->has_length = true;
	return 0;
}

/* Only what stands nowhere in a host and port is looked for. */
static unsigned take_host(struct http_request *request, const char *value, size_t value_length)
{
	for (size_t i = 0; i < value_length; i++) {
		if ((unsigned char)value[i] > 0x7e || strchr(" \t/?#@\\,\"<>^`{|}", value[i]))
			return 400;
	}
	return ++request->host_count > 1 ? 400 : 0;
}

static void take_connection(struct http_request *request, const char *value, size_t value_length)
{
	const char *item;
	size_t length;

	while (text_next(&value, &value_length, ',', &item, &length)) {
		if (text_equal(item, length, "close"))
			request->asked_close = true;
		else if (text_equal(item, length, "keep-alive"))
			request->asked_keep_alive = true;
	}
}

/* A `*` counts among whatever else is named, in the same field or another. */
static void take_tags(enum http_tags *tags, const char *value, size_t value_length)
{
	if (value_length == 1 && value[0] == '*')
		*tags = HTTP_TAGS_ANY;
	else if (*tags == HTTP_TAGS_NONE)
		*tags = HTTP_TAGS_OTHER;
}

/* Two dates are none: together they are a value that no field has. */
static void take_date(bool *is_there, int64_t *date, const char *value, size_t value_length)
{
	*date = *is_there ? HTTP_NO_DATE : http_date_parse(value, value_length);
	*is_there = true;
}

/* Nor are two Range fields a range. */
static void take_range(struct http_request *request, const char *value, size_t value_length)
{
	if (request->has_range)
		request->range.kind = HTTP_RANGE_NONE;
	else
		request->range = http_range_parse(value, value_length);
	request->has_range = true;
}

/* Keeps what the fields say that matter to a server of files. Returns 0 or 400. */
static unsigned take_field(struct http_request *request, const char *name, size_t name_length,
		const char *value, size_t value_length)
{
	if (text_equal(name, name_length, "content-length"))
		return take_content_length(request, value, value_length);
	if (text_equal(name, name_length, "host"))
		return take_host(request, value, value_length);
	if (text_equal(name, name_length, "transfer-encoding"))
		request->has_transfer_coding = true;
	else if (text_equal(name, name_length, "connection"))
		take_connection(request, value, value_length);
	else if (text_equal(name, name_length, "expect"))
		request->expects_continue = true;
	else if (text_equal(name, name_length, "range"))
		take_range(request, value, value_length);
	else if (text_equal(name, name_length, "if-modified-since"))
		take_date(
				&request->has_if_modified_since, &request->if_modified_since, value, value_length);
	else if (text_equal(name, name_length, "if-unmodified-since"))
		take_date(&request->has_if_unmodified_since, &request->if_unmodified_since, value,
				value_length);
	else if (text_equal(name, name_length, "if-match"))
		take_tags(&request->if_match, value, value_length);
	else if (text_equal(name, name_length, "if-none-match"))
		take_tags(&request->if_none_match, value, value_length);
	else if (text_equal(name, name_length, "if-range"))
		take_date(&request->has_if_range, &request->if_range, value, value_length);
	return 0;
}

/* "name: value". Returns 0 or 400. */
static unsigned parse_field(struct http_request *request, const char *line, size_t length)
{
	const char *colon = memchr(line, ':', length);

	/* No token begins with a space or ends with one: that refuses folded lines and "name :". */
	if (!colon || !text_is_token(line, (size_t)(colon - line)))
		return 400;
	const char *value = colon + 1;
	size_t value_length = length - (size_t)(value - line);
	for (size_t i = 0; i < value_length; i++) {
		unsigned char byte = (unsigned char)value[i];

		if ((byte < ' ' && byte != '\t') || byte == 0x7f)
			return 400;
	}
	text_trim(&value, &value_length);
	return take_field(request, line, (size_t)(colon - line), value, value_length);
}

/* The head is complete: what of it as a whole? */
static enum http_progress finish(struct http_request *request)
{
	if (request->has_transfer_coding)
		return refuse(request, request->has_length || request->is_version_1_0 ? 400 : 501);
	if (request->host_count == 0 && !request->is_version_1_0)
		return refuse(request, 400);
	/* The date is a poor man's entity tag: it does not count beside one. */
	if (request->if_none_match != HTTP_TAGS_NONE)
		request->if_modified_since = HTTP_NO_DATE;
	if (request->if_match != HTTP_TAGS_NONE)
		request->if_unmodified_since = HTTP_NO_DATE;
	if (request->method != HTTP_GET || (request->has_if_range && request->if_range == HTTP_NO_DATE))
		request->range.kind = HTTP_RANGE_NONE;
	request->is_kept = request->is_version_1_0 ? request->asked_keep_alive : true;
	if (request->asked_close || request->body_length > HTTP_BODY_MAX ||
			(request->expects_continue && request->body_length > 0))
		request->is_kept = false;
	if (request->method == HTTP_UNKNOWN)
		request->status = 501;
	else if (request->method == HTTP_OTHER)
		request->status = 405;
	return HTTP_DONE;
}

static enum http_progress parse_field_line(
		struct http_request *request, const char *line, size_t length)
{
	if (request->next_line - request->fields_start > HTTP_FIELDS_BYTES_MAX)
		return refuse(request, 431);
	if (length == 0)
		return finish(request);
	if (++request->field_count > HTTP_FIELDS_MAX)
		return refuse(request, 431);
	unsigned status = parse_field(request, line, length);
	return status ? refuse(request, status) : HTTP_MORE;
}

static enum http_progress parse_first_line(
		struct http_request *request, const char *line, size_t length)
{
	if (length == 0)
		return ++request->empty_lines > HTTP_EMPTY_LINES_MAX ? refuse(request, 400) : HTTP_MORE;
	request->line_length = length;
	if (length > HTTP_REQUEST_LINE_MAX)
		return refuse(request, 414);
	unsigned status = parse_request_line(request, line, length);
	if (status)
		return refuse(request, status);
	request->fields_start = request->next_line;
	return HTTP_MORE;
}

/* Refuses an unfinished line that can only become too long. Both limits leave room for the CR. */
static enum http_progress check_unfinished(struct http_request *request, size_t length)
{
	if (request->fields_start > 0)
		return length - request->fields_start < HTTP_FIELDS_BYTES_MAX ? HTTP_MORE
																	  : refuse(request, 431);
	request->line = request->next_line;
	request->line_length = length - request->line;
	return request->line_length <= HTTP_REQUEST_LINE_MAX + 1 ? HTTP_MORE : refuse(request, 414);
}

/* The next line of the head. HTTP_DONE at the end of the head or at a refusal. */
static enum http_progress parse_line(
		struct http_request *request, const char *head, const char *line_end)
{
	const char *line = head + request->next_line;
	size_t length = (size_t)(line_end - line);

	request->next_line += length + 1;
	request->scanned = request->next_line;
	if (length > 0 && line[length - 1] == '\r')
		length--;
	if (request->fields_start > 0)
		return parse_field_line(request, line, length);
	request->line = (size_t)(line - head);
	return parse_first_line(request, line, length);
}

enum http_progress http_request_parse(struct http_request *request, const char *head, size_t length)
{
	enum http_progress progress = request->head_length > 0 ? HTTP_DONE : HTTP_MORE;

	while (progress == HTTP_MORE && request->scanned < length) {
		const char *line_end = memchr(head + request->scanned, '\n', length - request->scanned);

		if (line_end) {
			progress = parse_line(request, head, line_end);
		} else {
			request->scanned = length;
			progress = check_unfinished(request, length);
		}
	}
	if (progress == HTTP_DONE && request->head_length == 0)
		request->head_length = request->scanned;
	return progress;
}
