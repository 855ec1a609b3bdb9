/* A table of names, unique ignoring case: chained hashing, links inside the named things. */
#ifndef CHAT_NAMES_H
#define CHAT_NAMES_H

#include <stdint.h>

#include "text.h"

/* Embed as the first member of what has a name. */
struct named {
	struct named *next; /* in its bucket */
	char name[NAME_BYTES + 1];
};

#define NAMES_BUCKETS 1024

struct names {
	struct named *buckets[NAMES_BUCKETS];
	uint64_t seed; /* random, so that no peer can choose names that share a bucket */
};

/* NULL when there is none. */
struct named *names_find(const struct names *names, const char *name);

/* Adds `named` under `name`, which is a name and not in the table. */
void names_add(struct names *names, struct named *named, const char *name);

/* Takes out `named`, which is in the table. */
void names_remove(struct names *names, struct named *named);

#endif
