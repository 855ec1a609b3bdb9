/* What the fuzz targets share. */
#include "fuzz.h"

#include <string.h>

void check_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
	abort();
}

uint8_t input_byte(struct input *input)
{
	if (input->size == 0)
		return 0;
	input->size--;
	return *input->data++;
}

uint32_t input_below(struct input *input, uint32_t bound)
{
	uint32_t number = input_byte(input);

	if (bound > 256)
		number = number << 8 | input_byte(input);
	if (bound > 65536)
		number = number << 8 | input_byte(input);
	return number % bound;
}

void *exact_copy(const void *bytes, size_t size)
{
	void *copy = malloc(size ? size : 1);

	CHECK(copy);
	if (size > 0)
		memcpy(copy, bytes, size);
	return copy;
}
