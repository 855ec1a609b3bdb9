/* The head of a request: in whatever pieces it arrives, the outcome is one; nothing beyond the
 * bytes is read, and what is taken lies inside them. */
#include "fuzz.h"

#include "../../samples/file_service/file_name.h"
#include "../../samples/file_service/http_date.h"
#include "../../samples/file_service/http_request.h"

#include <string.h>

static enum http_progress parse_in_pieces(
		struct http_request *request, const uint8_t *data, size_t size, size_t piece)
{
	enum http_progress progress = HTTP_MORE;
	size_t have = 0;

	http_request_init(request);
	do {
		char *copy;

		have = size - have > piece ? have + piece : size;
		copy = exact_copy(data, have);
		progress = http_request_parse(request, copy, have);
		free(copy);
	} while (progress == HTTP_MORE && have < size);
	return progress;
}

static void check_range(const struct http_range *range)
{
	static const uint64_t sizes[] = {0, 1, 499, 500, UINT64_C(1) << 40, INT64_MAX};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t offset = 0, count = 0;

		if (http_range_resolve(range, sizes[i], &offset, &count) != HTTP_RANGE_UNSATISFIABLE)
			CHECK(offset <= sizes[i] && count <= sizes[i] - offset);
	}
}

static void check_name(const uint8_t *target, size_t length)
{
	char *copy = exact_copy(target, length);
	struct file_name name;

	if (file_name_from_target(&name, copy, length) == 0) {
		CHECK(name.length <= FILE_NAME_BYTES_MAX && strlen(name.text) == name.length);
		CHECK(name.text[0] != '/' && !strstr(name.text, "//") && !strchr(name.text, '\\'));
		CHECK(strcmp(name.text, "..") && strncmp(name.text, "../", 3));
		CHECK(!strstr(name.text, "/../"));
	}
	free(copy);
}

static void check_date(int64_t seconds)
{
	char text[HTTP_DATE_SIZE];

	if (seconds == HTTP_NO_DATE)
		return;
	http_date_format(seconds, text);
	CHECK(seconds < 0 || http_date_parse(text, strlen(text)) == seconds);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request whole, pieces;
	size_t piece;

	if (size == 0)
		return -1;
	piece = 1 + data[0] % 64;
	data++;
	size--;
	CHECK(parse_in_pieces(&whole, data, size, SIZE_MAX) ==
			parse_in_pieces(&pieces, data, size, piece));
	CHECK(size < HTTP_HEAD_MAX || parse_in_pieces(&whole, data, size, SIZE_MAX) == HTTP_DONE);
	CHECK(whole.status == pieces.status);
	if (parse_in_pieces(&whole, data, size, SIZE_MAX) != HTTP_DONE || whole.status)
		return 0;
	CHECK(whole.head_length == pieces.head_length && whole.head_length <= size);
	CHECK(whole.line + whole.line_length <= whole.head_length);
	CHECK(whole.target >= whole.line);
	CHECK(whole.target + whole.target_length <= whole.line + whole.line_length);
	CHECK(whole.body_length == pieces.body_length && whole.is_kept == pieces.is_kept);
	check_range(&whole.range);
	check_name(data + whole.target, whole.target_length);
	check_date(whole.if_modified_since);
	check_date(whole.if_unmodified_since);
	check_date(whole.if_range);
	return 0;
}
