/* What can be made to fail, one kind a table: the number-th of what a run of a scenario does. */
#ifndef TESTS_TORTURE_INJECT_H
#define TESTS_TORTURE_INJECT_H

#include "../support/world.h"

struct kind {
	const char *name; /* on the command line, in the plural */
	const char *noun; /* in a sentence */
	/* Lets the number-th from the begin of the world fail; 0: none any more. */
	void (*arm)(struct world *world, uint64_t number);
	/* How many there were, and how many of them failed. */
	uint64_t (*count)(const struct world *world);
	uint64_t (*failures)(const struct world *world);
};

extern const struct kind kind_allocations;
extern const struct kind kind_operations;

/* The proactors of the run that were made and not destroyed, oldest first; NULL among them. */
#define PROACTORS_MAX 64u
extern struct pro_proactor *proactors[PROACTORS_MAX];

/* Called before a proactor is destroyed; run.c has it. */
void run_before_destroy(struct pro_proactor *proactor);

/* Releases the lent blocks that the scenario still has: of what it was about, nobody knows. No
 * handler is about to give one back. */
void inject_release_lent_blocks(struct pro_proactor *proactor);

#endif
