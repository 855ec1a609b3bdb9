/* Bytes whose place in a stream can be checked: byte i of a stream is a fixed function of i. */
#include "pattern.h"

#include <check.h>

/* A prime period, so that no block size hides a shift. */
#define PATTERN_PERIOD 251

static unsigned char pattern_byte(uint64_t offset, unsigned seed)
{
	return (unsigned char)(offset % PATTERN_PERIOD + offset / 65536 * 7 + seed * 31);
}

void pattern_fill(void *bytes, size_t length, uint64_t offset, unsigned seed)
{
	unsigned char *target = bytes;

	for (size_t i = 0; i < length; i++)
		target[i] = pattern_byte(offset + i, seed);
}

void pattern_check(const void *bytes, size_t length, uint64_t offset, unsigned seed)
{
	const unsigned char *source = bytes;

	for (size_t i = 0; i < length; i++)
		if (source[i] != pattern_byte(offset + i, seed))
			ck_abort_msg("byte %llu of stream %u is %u, not %u", (unsigned long long)(offset + i),
					seed, source[i], pattern_byte(offset + i, seed));
}
