/* Text of the chat protocol: strict UTF-8 without control characters, and names. */
#include "text.h"

#include <string.h>

size_t text_decode(const unsigned char *bytes, size_t length, uint32_t *code)
{
	/* The smallest character that needs 2, 3 and 4 bytes: what is less was written too long. */
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = bytes[0];
	size_t count;

	if (first < 0x80) {
		*code = first;
		return 1;
	}
	if ((first & 0xe0) == 0xc0)
		count = 2;
	else if ((first & 0xf0) == 0xe0)
		count = 3;
	else if ((first & 0xf8) == 0xf0)
		count = 4;
	else
		return 0;
	if (count > length)
		return 0;
	uint32_t found = first & (0xffu >> (count + 1));
	for (size_t i = 1; i < count; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		found = found << 6 | (bytes[i] & 0x3f);
	}
	if (found < smallest[count] || found > 0x10ffff || (found >= 0xd800 && found <= 0xdfff))
		return 0;
	*code = found;
	return count;
}

bool text_is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x061c || code == 0x200e ||
		   code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
		   (code >= 0x2066 && code <= 0x2069);
}

enum text_verdict text_check(const unsigned char *bytes, size_t length)
{
	uint32_t code;

	while (length > 0) {
		size_t count = text_decode(bytes, length, &code);
		if (count == 0)
			return TEXT_NOT_UTF8;
		if (text_is_control(code))
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
		size_t count = text_decode(bytes, length, &code);
		if (count == 0)
			print_hex(file, bytes, count = 1);
		else if (text_is_control(code))
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
