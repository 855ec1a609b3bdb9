/* The version of the library and the allocator that programs get unless they bring their own. */
#include "engine.h"

#include <stdlib.h>

const char *pro_version(void)
{
	return PRO_VERSION_STRING;
}

static void *default_allocate(void *context, size_t size)
{
	(void)context;
	return malloc(size);
}

static void *default_reallocate(void *context, void *memory, size_t size)
{
	(void)context;
	return realloc(memory, size);
}

static void default_deallocate(void *context, void *memory)
{
	(void)context;
	free(memory);
}

const struct pro_allocator pro__default_allocator = {
		.allocate = default_allocate,
		.reallocate = default_reallocate,
		.deallocate = default_deallocate,
};
