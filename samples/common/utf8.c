#include "utf8.h"

size_t utf8_decode(const unsigned char *bytes, size_t length, uint32_t *code)
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

bool utf8_is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x061c || code == 0x200e ||
		   code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
		   (code >= 0x2066 && code <= 0x2069);
}
