/* The list of interfaces for test_addr: Windows writes a scope as a number, so that is its name. */
#ifndef TESTS_WINDOWS_IF_NAMEINDEX_H
#define TESTS_WINDOWS_IF_NAMEINDEX_H

#include <stddef.h>

struct if_nameindex {
	unsigned if_index;
	const char *if_name;
};

static inline struct if_nameindex *if_nameindex(void)
{
	static struct if_nameindex list[] = {{1, "1"}, {17, "17"}, {0, NULL}};

	return list;
}

static inline void if_freenameindex(struct if_nameindex *list)
{
	(void)list;
}

#endif
