/* A table of names, unique ignoring case: chained hashing, links inside the named things. */
#include "names.h"

#include <assert.h>
#include <string.h>

/* FNV-1a over the lower-case letters, begun with the seed. */
static size_t names_bucket(const struct names *names, const char *name)
{
	uint64_t hash = names->seed;

	for (; *name; name++) {
		hash ^= (unsigned char)text_lower(*name);
		hash *= UINT64_C(1099511628211);
	}
	return (size_t)(hash >> 32) % NAMES_BUCKETS;
}

static bool is_same_name(const char *left, const char *right)
{
	while (*left && text_lower(*left) == text_lower(*right)) {
		left++;
		right++;
	}
	return *left == *right;
}

struct named *names_find(const struct names *names, const char *name)
{
	struct named *named = names->buckets[names_bucket(names, name)];

	while (named && !is_same_name(named->name, name))
		named = named->next;
	return named;
}

void names_add(struct names *names, struct named *named, const char *name)
{
	struct named **bucket = &names->buckets[names_bucket(names, name)];

	assert(text_is_name(name) && !names_find(names, name));
	memcpy(named->name, name, strlen(name) + 1);
	named->next = *bucket;
	*bucket = named;
}

void names_remove(struct names *names, struct named *named)
{
	struct named **link = &names->buckets[names_bucket(names, named->name)];

	while (*link != named) {
		assert(*link);
		link = &(*link)->next;
	}
	*link = named->next;
}
