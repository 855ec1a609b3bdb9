/* Buffers for reads that borrow: the kernel picks one from a ring when data is there, so that an
 * idle reader holds none. Rings are plain, not incremental. Kernels without such rings make the
 * port poll first and take a buffer from a stack. */
#include "io_uring.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

static size_t buffers_size(const struct pro__lent_ring *lent)
{
	return lent->count * sizeof(struct io_uring_buf);
}

static bool buffers_register(struct pro__lent_ring *lent, struct pro__ring *ring)
{
	struct io_uring_buf_reg registration = {
			.ring_addr = (uint64_t)(uintptr_t)lent->buffers,
			.ring_entries = lent->count,
			.bgid = PRO__LENT_GROUP,
	};

	ring->calls++;
	return io_uring_register_buf_ring(&ring->uring, &registration, 0) == 0;
}

static void buffers_unmap(struct pro__lent_ring *lent)
{
	if (lent->buffers)
		munmap(lent->buffers, buffers_size(lent));
	lent->buffers = NULL;
}

/* New memory each time: the kernel holds on to that of a closed ring for a while. */
static void buffers_map(struct pro__lent_ring *lent, struct pro__ring *ring)
{
	void *memory;

	buffers_unmap(lent);
	if (!(ring->features & PRO__RING_LENT_BUFFERS))
		return;
	memory = mmap(
			NULL, buffers_size(lent), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return;
	madvise(memory, buffers_size(lent), MADV_DONTFORK);
	lent->buffers = memory;
	if (!buffers_register(lent, ring)) {
		buffers_unmap(lent);
		return;
	}
	io_uring_buf_ring_init(lent->buffers);
}

static void buffers_add(struct pro__lent_ring *lent, unsigned index)
{
	io_uring_buf_ring_add(lent->buffers, lent->memory + index * lent->block_size,
			(unsigned)lent->block_size, (unsigned short)index, io_uring_buf_ring_mask(lent->count),
			0);
	io_uring_buf_ring_advance(lent->buffers, 1);
}

int pro__lent_ring_open(struct pro__lent_ring *lent, struct pro__ring *ring)
{
	struct pro_lent_pool *pool = pro__lent_pool(lent->proactor);
	size_t each = sizeof(*lent->stack) + sizeof(*lent->is_free);

	lent->memory = pro__lent_pool_memory(pool, &lent->block_size, &lent->count);
	if (!lent->memory)
		return PRO_ENOMEM;
	lent->stack = pro__allocate(lent->proactor, lent->count * each);
	if (!lent->stack)
		return PRO_ENOMEM;
	memset(lent->stack, 0, lent->count * each);
	lent->is_free = (uint8_t *)(lent->stack + lent->count);
	pro__lent_pool_reserve_all(pool);
	buffers_map(lent, ring);
	lent->is_ready = true;
	/* The stack gives the first block first. */
	for (unsigned i = 0; i < lent->count; i++)
		pro__lent_ring_put(lent, lent->buffers ? i : lent->count - 1 - i);
	return 0;
}

void pro__lent_ring_close(struct pro__lent_ring *lent)
{
	buffers_unmap(lent);
	pro__deallocate(lent->proactor, lent->stack);
}

/* Fills the ring, or the stack if the new ring can not be had, with what is free. */
void pro__lent_ring_attach(struct pro__lent_ring *lent, struct pro__ring *ring)
{
	if (!lent->buffers)
		return;
	buffers_map(lent, ring);
	lent->free_count = 0;
	for (unsigned i = 0; i < lent->count; i++) {
		if (lent->is_free[i])
			pro__lent_ring_put(lent, i);
	}
}

void pro__lent_ring_took(struct pro__lent_ring *lent, unsigned index)
{
	assert(lent->is_ready && index < lent->count && lent->is_free[index]);
	lent->is_free[index] = 0;
	lent->free_count--;
}

void pro__lent_ring_untook(struct pro__lent_ring *lent, unsigned index)
{
	lent->is_free[index] = 1;
	lent->free_count++;
}

unsigned pro__lent_ring_pop(struct pro__lent_ring *lent)
{
	unsigned index = lent->stack[lent->free_count - 1];

	pro__lent_ring_took(lent, index);
	return index;
}

void pro__lent_ring_put(struct pro__lent_ring *lent, unsigned index)
{
	if (lent->buffers)
		buffers_add(lent, index);
	else
		lent->stack[lent->free_count] = (uint16_t)index;
	lent->is_free[index] = 1;
	lent->free_count++;
}
