/* An allocator for tests: counts, finds leaks and foreign frees, fails on demand. */
#ifndef TESTS_SUPPORT_ALLOCATOR_H
#define TESTS_SUPPORT_ALLOCATOR_H

#include <proactor/base.h>

struct test_allocator {
	struct pro_allocator allocator; /* give its address to the library */
	PRO_ATOMIC(uint64_t) calls;     /* allocations and reallocations asked for */
	PRO_ATOMIC(int64_t) live;       /* pieces not yet freed */
	PRO_ATOMIC(int64_t) live_bytes;
	PRO_ATOMIC(uint64_t) fail_call; /* the number of the one call that fails; 0: none */
	PRO_ATOMIC(bool) fails_always;
	PRO_ATOMIC(uint64_t) failures; /* calls that were made to fail */
};

void test_allocator_init(struct test_allocator *memory);

#endif
