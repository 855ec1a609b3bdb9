#include "http_range.h"

#include <string.h>

#include "text.h"

/* Digits; a number beyond all files is the largest there is. */
static bool read_position(const char *bytes, size_t length, uint64_t *position)
{
	if (text_number(bytes, length, position))
		return true;
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] < '0' || bytes[i] > '9')
			return false;
	}
	*position = UINT64_MAX;
	return length > 0;
}

struct http_range http_range_parse(const char *bytes, size_t length)
{
	static const char unit[] = "bytes=";
	const struct http_range none = {.kind = HTTP_RANGE_NONE};
	struct http_range range = {.kind = HTTP_RANGE_FROM, .last = UINT64_MAX};
	const size_t unit_length = sizeof(unit) - 1;

	if (length <= unit_length || !text_equal(bytes, unit_length, unit))
		return none;
	bytes += unit_length;
	length -= unit_length;
	text_trim(&bytes, &length);
	const char *dash = length > 0 ? memchr(bytes, '-', length) : NULL;
	if (!dash)
		return none;
	size_t first_length = (size_t)(dash - bytes);
	size_t last_length = length - first_length - 1;
	if (last_length > 0 && !read_position(dash + 1, last_length, &range.last))
		return none;
	if (first_length == 0) {
		range.kind = HTTP_RANGE_SUFFIX;
		return last_length > 0 ? range : none;
	}
	if (!read_position(bytes, first_length, &range.first) || range.last < range.first)
		return none;
	return range;
}

enum http_range_outcome http_range_resolve(
		const struct http_range *range, uint64_t size, uint64_t *offset, uint64_t *count)
{
	*offset = 0;
	*count = size;
	switch (range->kind) {
	case HTTP_RANGE_NONE:
		return HTTP_RANGE_WHOLE;
	case HTTP_RANGE_FROM:
		if (range->first >= size)
			return HTTP_RANGE_UNSATISFIABLE;
		*offset = range->first;
		*count = (range->last < size ? range->last + 1 : size) - range->first;
		return HTTP_RANGE_PART;
	case HTTP_RANGE_SUFFIX:
		if (range->last == 0)
			return HTTP_RANGE_UNSATISFIABLE;
		if (size == 0) /* it has them all, but a part has at least one byte */
			return HTTP_RANGE_WHOLE;
		*count = range->last < size ? range->last : size;
		*offset = size - *count;
		return HTTP_RANGE_PART;
	}
	return HTTP_RANGE_WHOLE;
}
