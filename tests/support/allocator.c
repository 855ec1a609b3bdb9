/* An allocator for tests: counts, finds leaks and foreign frees, fails on demand. */
#include "allocator.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "quick_assert.h"

#define PIECE_MAGIC UINT64_C(0x70726f6163746f72)
#define PIECE_FREED UINT64_C(0xdeaddeaddeaddead)

/* Stands before each piece of memory; 16 bytes keep the alignment. */
struct piece {
	uint64_t magic;
	uint64_t size;
};

static struct test_allocator *allocator_from_context(void *context)
{
	return context;
}

static bool allocator_should_fail(struct test_allocator *memory)
{
	uint64_t call = atomic_fetch_add(&memory->calls, 1) + 1;

	if (!memory->fails_always && memory->fail_call != call)
		return false;
	atomic_fetch_add(&memory->failures, 1);
	return true;
}

static struct piece *piece_of(void *memory)
{
	struct piece *piece = (struct piece *)memory - 1;

	ASSERT_QUICK(piece->magic == PIECE_MAGIC, "freed twice, or not from this allocator");
	return piece;
}

static void *allocator_allocate(void *context, size_t size)
{
	struct test_allocator *memory = allocator_from_context(context);
	struct piece *piece;

	if (allocator_should_fail(memory))
		return NULL;
	piece = malloc(sizeof(*piece) + size);
	if (!piece)
		return NULL;
	piece->magic = PIECE_MAGIC;
	piece->size = size;
	atomic_fetch_add(&memory->live, 1);
	atomic_fetch_add(&memory->live_bytes, (int64_t)size);
	/* What the library forgets to initialise must show. */
	memset(piece + 1, 0xa5, size);
	return piece + 1;
}

static void allocator_deallocate(void *context, void *bytes)
{
	struct test_allocator *memory = allocator_from_context(context);
	struct piece *piece;

	if (!bytes)
		return;
	piece = piece_of(bytes);
	atomic_fetch_sub(&memory->live, 1);
	atomic_fetch_sub(&memory->live_bytes, (int64_t)piece->size);
	piece->magic = PIECE_FREED;
	free(piece);
}

static void *allocator_reallocate(void *context, void *bytes, size_t size)
{
	struct test_allocator *memory = allocator_from_context(context);
	struct piece *piece;

	if (!bytes)
		return allocator_allocate(context, size);
	if (allocator_should_fail(memory))
		return NULL;
	piece = piece_of(bytes);
	atomic_fetch_add(&memory->live_bytes, (int64_t)size - (int64_t)piece->size);
	piece = realloc(piece, sizeof(*piece) + size);
	ASSERT_QUICK(piece, "no memory");
	piece->size = size;
	return piece + 1;
}

void test_allocator_init(struct test_allocator *memory)
{
	memset(memory, 0, sizeof(*memory));
	memory->allocator.allocate = allocator_allocate;
	memory->allocator.reallocate = allocator_reallocate;
	memory->allocator.deallocate = allocator_deallocate;
	memory->allocator.context = memory;
}
