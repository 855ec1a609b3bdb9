/* Private: the lowest and the highest bit of a word that is not 0, by the compiler's own means. */
#ifndef PROACTOR_PORTS_BITS_H
#define PROACTOR_PORTS_BITS_H

#include <stdint.h>

#if defined(_MSC_VER) && !defined(__clang__)

#include <intrin.h>

static inline unsigned pro__lowest_bit(uint64_t bits)
{
	unsigned long bit;

	_BitScanForward64(&bit, bits);
	return bit;
}

static inline unsigned pro__highest_bit(uint64_t bits)
{
	unsigned long bit;

	_BitScanReverse64(&bit, bits);
	return bit;
}

#else

static inline unsigned pro__lowest_bit(uint64_t bits)
{
	return (unsigned)__builtin_ctzll(bits);
}

static inline unsigned pro__highest_bit(uint64_t bits)
{
	return (unsigned)(63 - __builtin_clzll(bits));
}

#endif

#endif
