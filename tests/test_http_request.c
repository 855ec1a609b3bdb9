/* The parsers of the file service: what arrives from the network, without a network. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <proactor/error.h>

#include "../samples/file_service/file_name.h"
#include "../samples/file_service/http_date.h"
#include "../samples/file_service/http_request.h"
#include "../samples/file_service/http_response.h"
#include "../samples/file_service/line_protocol.h"
#include "../samples/file_service/mime.h"
#include "support/suite.h"

#define HOST "Host: example.org\r\n"

/* Parses `length` bytes of `text` in pieces of `step`, each at another place, in a buffer of
 * exactly that size so that a sanitizer sees every byte read beyond it. */
static enum http_progress parse_pieces(
		struct http_request *request, const char *text, size_t length, size_t step)
{
	enum http_progress progress = HTTP_MORE;

	http_request_init(request);
	for (size_t end = step; progress == HTTP_MORE; end += step) {
		size_t have = end < length ? end : length;
		char *copy = malloc(have ? have : 1);
		ck_assert_ptr_nonnull(copy);
		memcpy(copy, text, have);
		progress = http_request_parse(request, copy, have);
		free(copy);
		if (have == length)
			break;
	}
	return progress;
}

/* Parses a whole head in several ways, which must all agree. */
static struct http_request parse_bytes(const char *text, size_t length)
{
	static const size_t steps[] = {1, 2, 7, 1000};
	struct http_request whole, pieces;

	ck_assert_int_eq(parse_pieces(&whole, text, length, length), HTTP_DONE);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (length / steps[i] > 4000)
			continue;
		ck_assert_int_eq(parse_pieces(&pieces, text, length, steps[i]), HTTP_DONE);
		ck_assert_uint_eq(pieces.status, whole.status);
		ck_assert_int_eq(pieces.is_kept, whole.is_kept);
		ck_assert_uint_eq(pieces.body_length, whole.body_length);
		if (!whole.status)
			ck_assert_uint_eq(pieces.head_length, whole.head_length);
	}
	return whole;
}

static struct http_request parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

static unsigned status_of(const char *text)
{
	return parse(text).status;
}

START_TEST(a_get_is_understood)
{
	static const char text[] = "GET /a%20b?c HTTP/1.1\r\n" HOST "Accept: */*\r\n\r\nrest";
	struct http_request request = parse(text);

	ck_assert_uint_eq(request.status, 0);
	ck_assert_int_eq(request.method, HTTP_GET);
	ck_assert(request.is_kept);
	ck_assert(!request.is_version_1_0);
	ck_assert_uint_eq(request.body_length, 0);
	ck_assert_uint_eq(request.head_length, strlen(text) - 4);
	ck_assert_uint_eq(request.target_length, 8);
	ck_assert(!memcmp(text + request.target, "/a%20b?c", 8));
	ck_assert_uint_eq(request.line_length, strlen("GET /a%20b?c HTTP/1.1"));
	ck_assert_int_eq(request.range.kind, HTTP_RANGE_NONE);
	ck_assert_int_eq(request.if_modified_since, HTTP_NO_DATE);
}
END_TEST

START_TEST(an_incomplete_head_wants_more)
{
	static const char text[] = "HEAD / HTTP/1.1\r\n" HOST "\r\n";
	struct http_request request;

	for (size_t length = 0; length < sizeof(text) - 1; length++)
		ck_assert_int_eq(parse_pieces(&request, text, length, 1), HTTP_MORE);
	ck_assert_int_eq(parse_pieces(&request, text, sizeof(text) - 1, 1), HTTP_DONE);
	ck_assert_int_eq(request.method, HTTP_HEAD);
}
END_TEST

START_TEST(lines_may_end_in_a_newline_alone_and_be_preceded_by_empty_ones)
{
	ck_assert_uint_eq(status_of("GET / HTTP/1.1\nHost: a\n\n"), 0);
	ck_assert_uint_eq(status_of("\r\n\r\nGET / HTTP/1.0\r\n\r\n"), 0);
	ck_assert_uint_eq(status_of("\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n"), 400);
}
END_TEST

START_TEST(bad_heads_are_refused)
{
	static const struct {
		unsigned status;
		const char *text;
	} cases[] = {
			{400, "GET /\r\n"},
			{400, "GET\r\n"},
			{400, " GET / HTTP/1.1\r\n"},
			{400, "GET  / HTTP/1.1\r\n"},
			{400, "GET /  HTTP/1.1\r\n"},
			{400, "GET / HTTP/1.1 \r\n"},
			{400, "GET\t/ HTTP/1.1\r\n"},
			{400, "GET /a b HTTP/1.1\r\n"},
			{400, "GET /a\x01 HTTP/1.1\r\n"},
			{400, "GET /a#b HTTP/1.1\r\n"},
			{400, "GET / HTTP/1\r\n"},
			{400, "GET / HTTP/1.10\r\n"},
			{400, "GET / HTTP/11.1\r\n"},
			{400, "GET / http/1.1\r\n"},
			{400, "GET / HTTPS/1.1\r\n"},
			{400, "GET / HTTP/x.1\r\n"},
			{400, "G(T / HTTP/1.1\r\n"},
			{400, "GET /\rHTTP/1.1\r\n"},
			{400, "GET / HTTP/1.1\r\r\n"},
			{505, "GET / HTTP/2.0\r\n"},
			{505, "GET / HTTP/0.9\r\n"},
			{505, "PRI * HTTP/2.0\r\n"},
			{400, "GET / HTTP/1.1\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n"},
			{400, "GET / HTTP/1.0\r\n" HOST HOST "\r\n"},
			{400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\nHost: a\"b\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\nHost: <a>\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST " folded\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "\tfolded\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "A b: c\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST ": c\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "A: b\r\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "A: \x1b[2J\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "A: \x7f\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 1 2\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST
				  "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
			{400, "GET / HTTP/1.1\r\n" HOST
				  "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"},
			{400, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
			{501, "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"},
			{501, "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_request request = parse(cases[i].text);

		ck_assert_msg(request.status == cases[i].status, "%u instead of %u for %s", request.status,
				cases[i].status, cases[i].text);
		ck_assert(!request.is_kept);
	}
}
END_TEST

START_TEST(a_nul_is_refused_everywhere)
{
	static const char good[] = "GET /abc HTTP/1.1\r\n" HOST "A: bcd\r\n\r\n";
	char text[sizeof(good)];

	for (size_t at = 0; at < sizeof(good) - 2; at++) {
		memcpy(text, good, sizeof(good));
		text[at] = '\0';
		struct http_request request;
		if (parse_pieces(&request, text, sizeof(good) - 1, sizeof(good)) == HTTP_DONE)
			ck_assert_uint_eq(request.status, 400);
	}
}
END_TEST

START_TEST(other_methods_are_refused_and_the_connection_kept)
{
	static const char *const others[] = {
			"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT"};
	static const char *const unknown[] = {"BREW", "get", "GETT", "GE", "PROPFIND"};
	char text[100];

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		snprintf(text, sizeof(text), "%s / HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n",
				others[i]);
		struct http_request request = parse(text);
		ck_assert_uint_eq(request.status, 405);
		ck_assert(request.is_kept);
		ck_assert_uint_eq(request.body_length, 10);
	}
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		snprintf(text, sizeof(text), "%s / HTTP/1.1\r\n" HOST "\r\n", unknown[i]);
		struct http_request request = parse(text);
		ck_assert_uint_eq(request.status, 501);
		ck_assert(request.is_kept);
	}
}
END_TEST

START_TEST(a_connection_is_kept_as_its_version_and_fields_say)
{
	static const struct {
		bool is_kept;
		const char *text;
	} cases[] = {
			{true, "GET / HTTP/1.1\r\n" HOST "\r\n"},
			{true, "GET / HTTP/1.2\r\n" HOST "\r\n"},
			{true, "GET / HTTP/1.1\r\nhost:\r\n\r\n"},
			{false, "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"},
			{false, "GET / HTTP/1.1\r\n" HOST "connection: Upgrade ,\tCLOSE\r\n\r\n"},
			{true, "GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n"},
			{false, "GET / HTTP/1.0\r\n\r\n"},
			{true, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"},
			{false, "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"},
			{true, "GET / HTTP/1.1\r\n" HOST "Content-Length: 65536\r\n\r\n"},
			{false, "GET / HTTP/1.1\r\n" HOST "Content-Length: 65537\r\n\r\n"},
			{false, "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nExpect: 100-continue\r\n\r\n"},
			{true, "GET / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_request request = parse(cases[i].text);

		ck_assert_uint_eq(request.status, 0);
		ck_assert_msg(request.is_kept == cases[i].is_kept, "%s", cases[i].text);
	}
}
END_TEST

START_TEST(the_method_is_known_though_the_rest_is_refused)
{
	ck_assert_int_eq(parse("HEAD /a#b HTTP/1.1\r\n").method, HTTP_HEAD);
	ck_assert_int_eq(parse("HEAD / HTTP/x\r\n").method, HTTP_HEAD);
	ck_assert_int_eq(parse("HEAD / HTTP/1.1\r\n\r\n").method, HTTP_HEAD);
}
END_TEST

/* What a field that may stand once only says when it stands there twice: nothing. */
START_TEST(a_field_that_contradicts_another_does_not_count)
{
	static const char date[] = "Sun, 06 Nov 1994 08:49:37 GMT";
	static const char start[] = "GET / HTTP/1.1\r\n" HOST "Range: bytes=1-2\r\n";
	struct http_request request;
	char text[300];

	ck_assert_int_eq(parse("GET / HTTP/1.1\r\n" HOST "Range: bytes=1-2\r\nRange: bytes=4-5\r\n\r\n")
							 .range.kind,
			HTTP_RANGE_NONE);
	snprintf(text, sizeof(text), "%sIf-Range: %s\r\nIf-Range: %s\r\n\r\n", start, date, date);
	ck_assert_int_eq(parse(text).range.kind, HTTP_RANGE_NONE);
	snprintf(text, sizeof(text), "%sIf-Range: %s\r\n\r\n", start, date);
	ck_assert_int_eq(parse(text).range.kind, HTTP_RANGE_FROM);
	snprintf(text, sizeof(text),
			"%sIf-Modified-Since: yesterday\r\nIf-Modified-Since: %s\r\n"
			"If-Unmodified-Since: %s\r\nIf-Unmodified-Since: %s\r\n\r\n",
			start, date, date, date);
	request = parse(text);
	ck_assert_int_eq(request.if_modified_since, HTTP_NO_DATE);
	ck_assert_int_eq(request.if_unmodified_since, HTTP_NO_DATE);
}
END_TEST

/* A request line of `length` bytes. */
static unsigned status_of_line(size_t length)
{
	char *text = malloc(length + 100);
	ck_assert_ptr_nonnull(text);
	memset(text, 'a', length);
	memcpy(text, "GET /", 5);
	memcpy(text + length - 9, " HTTP/1.1", 9);
	size_t used = length + (size_t)snprintf(text + length, 100, "\r\n" HOST "\r\n");
	unsigned status = parse_bytes(text, used).status;
	free(text);
	return status;
}

START_TEST(a_request_line_has_a_limit)
{
	ck_assert_uint_eq(status_of_line(HTTP_REQUEST_LINE_MAX - 1), 0);
	ck_assert_uint_eq(status_of_line(HTTP_REQUEST_LINE_MAX), 0);
	ck_assert_uint_eq(status_of_line(HTTP_REQUEST_LINE_MAX + 1), 414);
	ck_assert_uint_eq(status_of_line(2 * HTTP_REQUEST_LINE_MAX), 414);
}
END_TEST

/* Fields of `length` bytes altogether, one of them long. */
static unsigned status_of_fields(size_t length)
{
	static const char line[] = "GET / HTTP/1.1\r\n";
	char *text = malloc(sizeof(line) + length);
	ck_assert_ptr_nonnull(text);
	memset(text, 'b', sizeof(line) + length);
	memcpy(text, line, sizeof(line) - 1);
	memcpy(text + sizeof(line) - 1, HOST "A: ", sizeof(HOST "A: ") - 1);
	memcpy(text + sizeof(line) - 1 + length - 4, "\r\n\r\n", 4);
	unsigned status = parse_bytes(text, sizeof(line) - 1 + length).status;
	free(text);
	return status;
}

static unsigned status_of_count(unsigned count)
{
	struct pro_message_block *block = pro_message_block_create(NULL, 20000);
	ck_assert_ptr_nonnull(block);
	ck_assert_int_eq(pro_message_block_printf(block, "GET / HTTP/1.1\r\n" HOST), 0);
	for (unsigned i = 1; i < count; i++)
		ck_assert_int_eq(pro_message_block_printf(block, "A: b\r\n"), 0);
	ck_assert_int_eq(pro_message_block_printf(block, "\r\n"), 0);
	unsigned status = parse_bytes(
			(const char *)pro_message_block_rd_ptr(block), pro_message_block_length(block))
							  .status;
	pro_message_block_release(block);
	return status;
}

START_TEST(fields_have_limits)
{
	ck_assert_uint_eq(status_of_fields(HTTP_FIELDS_BYTES_MAX - 1), 0);
	ck_assert_uint_eq(status_of_fields(HTTP_FIELDS_BYTES_MAX), 0);
	ck_assert_uint_eq(status_of_fields(HTTP_FIELDS_BYTES_MAX + 1), 431);
	ck_assert_uint_eq(status_of_fields(2 * HTTP_FIELDS_BYTES_MAX), 431);
	ck_assert_uint_eq(status_of_count(HTTP_FIELDS_MAX - 1), 0);
	ck_assert_uint_eq(status_of_count(HTTP_FIELDS_MAX), 0);
	ck_assert_uint_eq(status_of_count(HTTP_FIELDS_MAX + 1), 431);
}
END_TEST

/* Bytes of a generator, biased to those that mean something. */
START_TEST(any_bytes_are_refused_or_understood_the_same_in_all_pieces)
{
	static const char *const words[] = {"GET ", "HEAD ", "/", " HTTP/1.1", " HTTP/1.0", "\r\n",
			"\n", "\r", HOST, "Content-Length: ", "1", "Transfer-Encoding: chunked", ":", " ", "\t",
			"Connection: close", "Range: bytes=", "-", "\x80", "\x01", "%00"};
	uint32_t seed = 1;
	char text[400];
	struct http_request whole, pieces;

	for (unsigned round = 0; round < 20000; round++) {
		size_t used = round % 2 ? (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n") : 0;

		while (used < sizeof(text) - 40) {
			seed = seed * 1664525 + 1013904223;
			const char *word = words[(seed >> 16) % (sizeof(words) / sizeof(words[0]))];
			memcpy(text + used, word, strlen(word));
			used += strlen(word);
		}
		enum http_progress progress = parse_pieces(&whole, text, used, used);
		ck_assert_int_eq(parse_pieces(&pieces, text, used, 3), progress);
		if (progress == HTTP_MORE)
			continue;
		ck_assert_uint_eq(pieces.status, whole.status);
		ck_assert_uint_le(whole.head_length, used);
		ck_assert_uint_le(whole.line + whole.line_length, used);
		ck_assert_uint_le(whole.target + whole.target_length, used);
	}
}
END_TEST

START_TEST(ranges_are_resolved)
{
	static const struct {
		const char *value;
		uint64_t size;
		enum http_range_outcome outcome;
		uint64_t offset, count;
	} cases[] = {
			{"bytes=0-0", 10, HTTP_RANGE_PART, 0, 1},
			{"bytes=0-9", 10, HTTP_RANGE_PART, 0, 10},
			{"bytes=0-99", 10, HTTP_RANGE_PART, 0, 10},
			{"bytes=5-", 10, HTTP_RANGE_PART, 5, 5},
			{"bytes=9-9", 10, HTTP_RANGE_PART, 9, 1},
			{"bytes=10-", 10, HTTP_RANGE_UNSATISFIABLE, 0, 10},
			{"bytes=10-11", 10, HTTP_RANGE_UNSATISFIABLE, 0, 10},
			{"bytes=-3", 10, HTTP_RANGE_PART, 7, 3},
			{"bytes=-10", 10, HTTP_RANGE_PART, 0, 10},
			{"bytes=-11", 10, HTTP_RANGE_PART, 0, 10},
			{"bytes=-0", 10, HTTP_RANGE_UNSATISFIABLE, 0, 10},
			{"bytes=0-", 0, HTTP_RANGE_UNSATISFIABLE, 0, 0},
			{"bytes=-0", 0, HTTP_RANGE_UNSATISFIABLE, 0, 0},
			{"bytes=-1", 0, HTTP_RANGE_WHOLE, 0, 0},
			{"BYTES= 1-2", 10, HTTP_RANGE_PART, 1, 2},
			{"bytes=4294967296-4294967297", 5000000000, HTTP_RANGE_PART, 4294967296, 2},
			{"bytes=2-1", 10, HTTP_RANGE_WHOLE, 0, 10},
			{"bytes=-", 10, HTTP_RANGE_WHOLE, 0, 10},
			{"bytes=", 10, HTTP_RANGE_WHOLE, 0, 10},
			{"bytes=1", 10, HTTP_RANGE_WHOLE, 0, 10},
			{"bytes=a-b", 10, HTTP_RANGE_WHOLE, 0, 10},
			{"bytes=1-2,4-5", 10, HTTP_RANGE_WHOLE, 0, 10},
			{"bytes=--5", 10, HTTP_RANGE_WHOLE, 0, 10},
			{"lines=1-2", 10, HTTP_RANGE_WHOLE, 0, 10},
			{"bytes=99999999999999999999-", 10, HTTP_RANGE_UNSATISFIABLE, 0, 10},
			{"bytes=9-99999999999999999999", 10, HTTP_RANGE_PART, 9, 1},
			{"bytes=-99999999999999999999", 10, HTTP_RANGE_PART, 0, 10},
			{"bytes=9-9999999999999999999x", 10, HTTP_RANGE_WHOLE, 0, 10},
			{"", 10, HTTP_RANGE_WHOLE, 0, 10},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_range range = http_range_parse(cases[i].value, strlen(cases[i].value));
		uint64_t offset, count;

		ck_assert_msg(
				http_range_resolve(&range, cases[i].size, &offset, &count) == cases[i].outcome,
				"%s", cases[i].value);
		if (cases[i].outcome != HTTP_RANGE_UNSATISFIABLE) {
			ck_assert_uint_eq(offset, cases[i].offset);
			ck_assert_uint_eq(count, cases[i].count);
		}
	}
}
END_TEST

START_TEST(a_range_is_for_get_and_for_the_same_version_only)
{
	ck_assert_int_eq(parse("GET / HTTP/1.1\r\n" HOST "Range: bytes=1-2\r\n\r\n").range.kind,
			HTTP_RANGE_FROM);
	ck_assert_int_eq(parse("HEAD / HTTP/1.1\r\n" HOST "Range: bytes=1-2\r\n\r\n").range.kind,
			HTTP_RANGE_NONE);
	ck_assert_int_eq(
			parse("GET / HTTP/1.1\r\n" HOST "Range: bytes=1-2\r\nIf-Range: \"tag\"\r\n\r\n")
					.range.kind,
			HTTP_RANGE_NONE);
}
END_TEST

START_TEST(dates_are_printed_and_read)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} cases[] = {
			{0, "Thu, 01 Jan 1970 00:00:00 GMT"},
			{784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
			{951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
			{951868799, "Tue, 29 Feb 2000 23:59:59 GMT"},
			{4107542399, "Sun, 28 Feb 2100 23:59:59 GMT"},
			{4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
			{253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
	};
	char text[HTTP_DATE_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_str_eq(http_date_format(cases[i].seconds, text), cases[i].text);
		ck_assert_int_eq(http_date_parse(cases[i].text, strlen(cases[i].text)), cases[i].seconds);
	}
	for (int64_t seconds = 0; seconds < INT64_C(253402300799); seconds += 86400 * 13 + 12347) {
		http_date_format(seconds, text);
		ck_assert_int_eq(http_date_parse(text, strlen(text)), seconds);
	}
	ck_assert_str_eq(http_date_format(INT64_MIN, text), cases[0].text);
	ck_assert_str_eq(http_date_format(INT64_MAX, text), cases[6].text);
}
END_TEST

START_TEST(older_forms_of_dates_are_read)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} cases[] = {
			{784111777, "Sunday, 06-Nov-94 08:49:37 GMT"},
			{784111777, "Sun Nov  6 08:49:37 1994"},
			{784975777, "Wednesday, 16-Nov-94 08:49:37 GMT"},
			{784975777, "Wed Nov 16 08:49:37 1994"},
			{0, "Thursday, 01-Jan-70 00:00:00 GMT"},
			{951782400, "Tuesday, 29-Feb-00 00:00:00 GMT"},
			{3155759999, "Tuesday, 31-Dec-69 23:59:59 GMT"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_int_eq(http_date_parse(cases[i].text, strlen(cases[i].text)), cases[i].seconds);
}
END_TEST

START_TEST(other_dates_are_none)
{
	static const char *const texts[] = {"", "now", "Sunday, 06-Nov-1994 08:49:37 GMT",
			"Sunday, 31-Feb-94 08:49:37 GMT", "Sun Nov   6 08:49:37 1994", "Sun Nov 06 08:49:37 94",
			"Sun Nov  x 08:49:37 1994", "Sun Nov    08:49:37 1994", "Sun Nov  6 08:49:37 1969",
			", 06-Nov-94", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
			"Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
			"Sun, 06 Nov 1969 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC",
			"Sun, 00 Nov 1994 08:49:37 GMT", "Sun, -6 Nov 1994 08:49:37 GMT",
			"Sun, 06 Nov 1994 08:49:37 GMT "};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_int_eq(http_date_parse(texts[i], strlen(texts[i])), HTTP_NO_DATE);
}
END_TEST

START_TEST(targets_become_names)
{
	static const struct {
		const char *target;
		int error;
		const char *name;
		bool is_directory;
	} cases[] = {
			{"/", 0, "", true},
			{"//", 0, "", true},
			{"/?a/../b", 0, "", true},
			{"/a", 0, "a", false},
			{"/a/", 0, "a", true},
			{"/a/.", 0, "a", true},
			{"/./a//b/./c", 0, "a/b/c", false},
			{"/a%20b%41", 0, "a bA", false},
			{"/%e4%f6", 0, "\xe4\xf6", false},
			{"/a%3Fb?c", 0, "a?b", false},
			{"/...", 0, "...", false},
			{"/..a/b..", 0, "..a/b..", false},
			{"http://host/a", 0, "a", false},
			{"HTTP://host:80", 0, "", true},
			{"http://host?a/b", 0, "", true},
			{"http://", PRO_EINVAL, NULL, false},
			{"http:///a", PRO_EINVAL, NULL, false},
			{"http://?a", PRO_EINVAL, NULL, false},
			{"*", PRO_EINVAL, NULL, false},
			{"a", PRO_EINVAL, NULL, false},
			{"host:80", PRO_EINVAL, NULL, false},
			{"ftp://host/a", PRO_EINVAL, NULL, false},
			{"/%", PRO_EINVAL, NULL, false},
			{"/%4", PRO_EINVAL, NULL, false},
			{"/%4/1", PRO_EINVAL, NULL, false},
			{"/%zz", PRO_EINVAL, NULL, false},
			{"/a%00b", PRO_EINVAL, NULL, false},
			{"/%00", PRO_EINVAL, NULL, false},
			{"/..", PRO_EESCAPE, NULL, false},
			{"/../a", PRO_EESCAPE, NULL, false},
			{"/a/../b", PRO_EESCAPE, NULL, false},
			{"/a/..", PRO_EESCAPE, NULL, false},
			{"/%2e%2e/a", PRO_EESCAPE, NULL, false},
			{"/%2E./a", PRO_EESCAPE, NULL, false},
			{"/.%2e", PRO_EESCAPE, NULL, false},
			{"http://host/../a", PRO_EESCAPE, NULL, false},
			{"/a%2fb", PRO_ENAME, NULL, false},
			{"/..%2f..%2fetc", PRO_ENAME, NULL, false},
			{"/..%5c..%5cetc", PRO_ENAME, NULL, false},
			{"/a\\b", PRO_ENAME, NULL, false},
			{"/%252e%252e/a", 0, "%2e%2e/a", false},
	};
	struct file_name name;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int error = file_name_from_target(&name, cases[i].target, strlen(cases[i].target));

		ck_assert_msg(error == cases[i].error, "%s: %s", cases[i].target, pro_error_name(error));
		if (error)
			continue;
		ck_assert_str_eq(name.text, cases[i].name);
		ck_assert_msg(name.is_directory == cases[i].is_directory, "%s", cases[i].target);
	}
}
END_TEST

START_TEST(lines_become_names)
{
	static const struct {
		const char *line;
		int error;
		const char *name;
	} cases[] = {
			{"README.md", 0, "README.md"},
			{"a b/c", 0, "a b/c"},
			{"./a", 0, "a"},
			{"a%20b", 0, "a%20b"},
			{"", PRO_EINVAL, NULL},
			{"/etc/passwd", PRO_EESCAPE, NULL},
			{"//etc", PRO_EESCAPE, NULL},
			{"..", PRO_EESCAPE, NULL},
			{"../a", PRO_EESCAPE, NULL},
			{"a/../../b", PRO_EESCAPE, NULL},
			{"a\\..\\b", PRO_ENAME, NULL},
			{"C:\\x", PRO_ENAME, NULL},
	};
	struct file_name name;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(
				file_name_from_line(&name, cases[i].line, strlen(cases[i].line)), cases[i].error);
		if (!cases[i].error)
			ck_assert_str_eq(name.text, cases[i].name);
	}
	ck_assert_int_eq(file_name_from_line(&name, "a\0b", 3), PRO_EINVAL);
}
END_TEST

START_TEST(names_have_a_limit)
{
	char target[FILE_NAME_BYTES_MAX + 2];
	struct file_name name;

	memset(target, 'a', sizeof(target));
	target[0] = '/';
	ck_assert_int_eq(file_name_from_target(&name, target, FILE_NAME_BYTES_MAX + 1), 0);
	ck_assert_uint_eq(name.length, FILE_NAME_BYTES_MAX);
	ck_assert_int_eq(file_name_append(&name, "b"), PRO_ENAMETOOLONG);
	ck_assert_int_eq(
			file_name_from_target(&name, target, FILE_NAME_BYTES_MAX + 2), PRO_ENAMETOOLONG);
	target[1] = '/';
	ck_assert_int_eq(file_name_from_target(&name, target, FILE_NAME_BYTES_MAX + 2), 0);
	ck_assert_int_eq(file_name_append(&name, "b"), PRO_ENAMETOOLONG);
}
END_TEST

START_TEST(the_first_line_tells_the_protocol)
{
	static const struct {
		const char *bytes;
		enum session_protocol protocol;
	} cases[] = {
			{"", SESSION_UNDECIDED},
			{"GET / HTTP/1.1", SESSION_UNDECIDED},
			{"README.md", SESSION_UNDECIDED},
			{"\n", SESSION_LINES},
			{"README.md\r\n", SESSION_LINES},
			{"GET\n", SESSION_LINES},
			{"GET it\n", SESSION_LINES},
			{"Get / it\n", SESSION_LINES},
			{"GET / HTTP/1.1\r\n", SESSION_HTTP},
			{"GET /\n", SESSION_HTTP},
			{"OPTIONS * HTTP/1.1\r\n", SESSION_HTTP},
			{"GET http://a/ HTTP/1.1\r\n", SESSION_HTTP},
			{"get / HTTP/1.1\r\n", SESSION_HTTP},
			{"CONNECT a:80 HTTP/1.1\r\n", SESSION_HTTP},
			{"\x16\x03\x01\n", SESSION_LINES},
	};
	char text[LINE_NAME_MAX + 2];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(
				line_protocol_detect(cases[i].bytes, strlen(cases[i].bytes)) == cases[i].protocol,
				"%s", cases[i].bytes);
	memset(text, 'A', sizeof(text));
	ck_assert_int_eq(line_protocol_detect(text, sizeof(text) - 1), SESSION_UNDECIDED);
	ck_assert_int_eq(line_protocol_detect(text, sizeof(text)), SESSION_LINES);
	memcpy(text, "GET /", 5);
	ck_assert_int_eq(line_protocol_detect(text, sizeof(text)), SESSION_HTTP);
}
END_TEST

START_TEST(every_response_fits)
{
	static const unsigned statuses[] = {
			200, 206, 301, 304, 400, 403, 404, 405, 414, 416, 431, 500, 501, 503, 505};
	char location[256];
	unsigned char bytes[HTTP_RESPONSE_MAX];
	struct pro_message_block block;

	memset(location, 0xff, sizeof(location) - 1);
	location[sizeof(location) - 1] = '\0';
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		struct http_response response = {
				.status = statuses[i],
				.is_version_1_0 = true,
				.is_kept = true,
				.content_type = statuses[i] < 300 ? mime_type("a.html") : NULL,
				.offset = INT64_MAX - 2,
				.length = INT64_MAX,
				.size = INT64_MAX,
				.modified_s = INT64_MAX,
				.location = location,
		};
		pro_message_block_init(&block, bytes, sizeof(bytes));
		ck_assert_int_eq(http_response_print(&block, &response, INT64_MAX), 0);
		ck_assert(!memcmp(bytes, "HTTP/1.1 ", 9));
		ck_assert_str_ne(http_status_text(statuses[i]), "Error");
	}
}
END_TEST

START_TEST(types_are_told_by_the_end_of_a_name)
{
	ck_assert_str_eq(mime_type("a/b.html"), "text/html; charset=utf-8");
	ck_assert_str_eq(mime_type("B.JPG"), "image/jpeg");
	ck_assert_str_eq(mime_type("a.tar.gz"), "application/gzip");
	ck_assert_str_eq(mime_type("a"), "application/octet-stream");
	ck_assert_str_eq(mime_type("a."), "application/octet-stream");
	ck_assert_str_eq(mime_type("html"), "application/octet-stream");
	ck_assert_str_eq(mime_type(""), "application/octet-stream");
}
END_TEST

static Suite *http_request_suite(void)
{
	Suite *suite = suite_create("http_request");
	TCase *tests = tcase_create("all");

	tcase_add_test(tests, a_get_is_understood);
	tcase_add_test(tests, an_incomplete_head_wants_more);
	tcase_add_test(tests, lines_may_end_in_a_newline_alone_and_be_preceded_by_empty_ones);
	tcase_add_test(tests, bad_heads_are_refused);
	tcase_add_test(tests, a_nul_is_refused_everywhere);
	tcase_add_test(tests, other_methods_are_refused_and_the_connection_kept);
	tcase_add_test(tests, a_connection_is_kept_as_its_version_and_fields_say);
	tcase_add_test(tests, the_method_is_known_though_the_rest_is_refused);
	tcase_add_test(tests, a_field_that_contradicts_another_does_not_count);
	tcase_add_test(tests, a_request_line_has_a_limit);
	tcase_add_test(tests, fields_have_limits);
	tcase_add_test(tests, any_bytes_are_refused_or_understood_the_same_in_all_pieces);
	tcase_add_test(tests, ranges_are_resolved);
	tcase_add_test(tests, a_range_is_for_get_and_for_the_same_version_only);
	tcase_add_test(tests, dates_are_printed_and_read);
	tcase_add_test(tests, older_forms_of_dates_are_read);
	tcase_add_test(tests, other_dates_are_none);
	tcase_add_test(tests, targets_become_names);
	tcase_add_test(tests, lines_become_names);
	tcase_add_test(tests, names_have_a_limit);
	tcase_add_test(tests, the_first_line_tells_the_protocol);
	tcase_add_test(tests, every_response_fits);
	tcase_add_test(tests, types_are_told_by_the_end_of_a_name);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	return suite;
}

int main(void)
{
	return suite_run(http_request_suite());
}
