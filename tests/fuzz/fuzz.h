/* What the fuzz targets share. A target is a file with LLVMFuzzerTestOneInput: libFuzzer feeds it
 * in the preset `fuzz`, run_corpus.c in every other build. A property that does not hold aborts. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

_Noreturn void check_failed(const char *condition, const char *file, int line);

/* 0: the bytes were of use to the corpus; -1: never keep them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes that are left of an input. */
struct input {
	const uint8_t *data;
	size_t size;
};

/* The next one; 0 when none is left. */
uint8_t input_byte(struct input *input);
/* A number below `bound`, which is not 0. */
uint32_t input_below(struct input *input, uint32_t bound);
/* A copy of `size` bytes in memory of just that size, so that a sanitizer sees what lies beyond. */
void *exact_copy(const void *bytes, size_t size);

#endif
