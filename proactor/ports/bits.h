/* Private: the lowest and the highest bit of a word that is not 0, by the compiler's own means. */
#ifndef PROACTOR_PORTS_BITS_H
#define PROACTOR_PORTS_BITS_H

#include <stdint.h>

#if defined(_MSC_VER) && !defined(__clang__)

#include <intrin.h>

#if defined(_M_IX86)

/* There the compiler has it for halves only. */
static inline unsigned pro__lowest_bit(uint64_t bits)
{
	unsigned long bit;

	if (_BitScanForward(&bit, (unsigned long)bits))
		return bit;
	_BitScanForward(&bit, (unsigned long)(bits >> 32));
	return bit + 32;
}

static inline unsigned pro__highest_bit(uint64_t bits)
{
	unsigned long bit;

	if (_BitScanReverse(&bit, (unsigned long)(bits >> 32)))
		return bit + 32;
	_BitScanReverse(&bit, (unsigned long)bits);
	return bit;
}

#else

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

#endif

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
