#include "text.h"

#include <string.h>

static char lower(char byte)
{
	return byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte;
}

bool text_equal(const char *bytes, size_t length, const char *word)
{
	if (strlen(word) != length)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (lower(bytes[i]) != lower(word[i]))
			return false;
	}
	return true;
}

bool text_is_token(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		char byte = lower(bytes[i]);

		if ((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9'))
			continue;
		if (!byte || !strchr("!#$%&'*+-.^_`|~", byte))
			return false;
	}
	return length > 0;
}

bool text_number(const char *bytes, size_t length, uint64_t *number)
{
	uint64_t value = 0;

	if (length == 0)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] < '0' || bytes[i] > '9')
			return false;
		unsigned digit = (unsigned)(bytes[i] - '0');
		if (value > ((uint64_t)INT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*number = value;
	return true;
}

void text_trim(const char **bytes, size_t *length)
{
	while (*length > 0 && (**bytes == ' ' || **bytes == '\t')) {
		++*bytes;
		--*length;
	}
	while (*length > 0 && ((*bytes)[*length - 1] == ' ' || (*bytes)[*length - 1] == '\t'))
		--*length;
}

bool text_next(
		const char **list, size_t *list_length, char separator, const char **item, size_t *length)
{
	if (!*list)
		return false;
	const char *end = *list_length > 0 ? memchr(*list, separator, *list_length) : NULL;
	*item = *list;
	*length = end ? (size_t)(end - *list) : *list_length;
	*list = end ? end + 1 : NULL;
	*list_length = end ? *list_length - *length - 1 : 0;
	text_trim(item, length);
	return true;
}
