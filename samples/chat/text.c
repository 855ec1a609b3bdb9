/* Text of the chat protocol: strict UTF-8 without control characters, and names. */
#include "text.h"

#include <string.h>

#include "../common/utf8.h"

enum text_verdict text_check(const unsigned char *bytes, size_t length)
{
	uint32_t code;

	while (length > 0) {
		size_t count = utf8_decode(bytes, length, &code);
		if (count == 0)
			return TEXT_NOT_UTF8;
		if (utf8_is_control(code))
			return TEXT_HAS_CONTROL;
		bytes += count;
		length -= count;
	}
	return TEXT_GOOD;
}

static void print_hex(FILE *file, const unsigned char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fprintf(file, "\\x%02x", bytes[i]);
}

bool text_print(FILE *file, const unsigned char *bytes, size_t length)
{
	uint32_t code;

	while (length > 0) {
		size_t count = utf8_decode(bytes, length, &code);
		if (count == 0)
			print_hex(file, bytes, count = 1);
		else if (utf8_is_control(code))
			print_hex(file, bytes, count);
		else
			fwrite(bytes, 1, count, file);
		bytes += count;
		length -= count;
	}
	return !ferror(file);
}

size_t text_prefix(const char *text, size_t length_max)
{
	size_t length = strlen(text);

	if (length <= length_max)
		return length;
	length = length_max;
	while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
		length--;
	return length;
}

bool text_is_name(const char *text)
{
	static const char allowed[] =
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
	size_t length = strlen(text);

	return length >= 1 && length <= NAME_BYTES && strspn(text, allowed) == length;
}

char text_lower(char letter)
{
	return letter >= 'A' && letter <= 'Z' ? (char)(letter - 'A' + 'a') : letter;
}
