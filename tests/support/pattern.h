/* Bytes whose place in a stream can be checked: byte i of a stream is a fixed function of i. */
#ifndef TESTS_SUPPORT_PATTERN_H
#define TESTS_SUPPORT_PATTERN_H

#include <proactor/base.h>

/* Fills `bytes` with what stands at `offset` of the stream numbered `seed`. */
void pattern_fill(void *bytes, size_t length, uint64_t offset, unsigned seed);

/* Asserts that `bytes` are what stands there. */
void pattern_check(const void *bytes, size_t length, uint64_t offset, unsigned seed);

#endif
