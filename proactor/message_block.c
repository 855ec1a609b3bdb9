/* Counting and sharing of bytes.
 *
 * A created block, its count and its bytes are one allocation, which lives until the last sharer is
 * released, whichever that is. So the structure of a created block is never freed alone: its owner
 * is NULL, like that of a block in the caller's memory, and the data block frees it. */
#include "data_block.h"

#include <proactor/error.h>

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "engine.h"

/* ---- counted bytes ---- */

void pro__data_block_init(struct pro_data_block *data, const struct pro_allocator *allocator,
		void (*recycle)(struct pro_data_block *data))
{
	atomic_init(&data->references, 1);
	data->allocator = allocator;
	data->recycle = recycle;
}

/* A count of 1 read by a sharer can not change under it: nobody else has the bytes. Its acquire
 * pairs with the release of whoever gave up the second share, so that this sharer's later writes
 * and its recycling come behind that one's last reads. */
static bool data_block_is_mine(const struct pro_data_block *data)
{
	return atomic_load_explicit(&data->references, memory_order_acquire) == 1;
}

static void data_block_share(struct pro_data_block *data)
{
	if (data_block_is_mine(data)) {
		atomic_store_explicit(&data->references, 2, memory_order_relaxed);
		return;
	}
	assert(atomic_load_explicit(&data->references, memory_order_relaxed) < UINT32_MAX);
	atomic_fetch_add_explicit(&data->references, 1, memory_order_relaxed);
}

/* The release of each share pairs with the acquire of the last one. */
static void data_block_release(struct pro_data_block *data)
{
	if (data_block_is_mine(data) ||
			atomic_fetch_sub_explicit(&data->references, 1, memory_order_acq_rel) == 1)
		data->recycle(data);
}

/* ---- making blocks ---- */

void pro_message_block_init(struct pro_message_block *block, void *bytes, size_t size)
{
	memset(block, 0, sizeof(*block));
	block->base = bytes;
	block->size = size;
}

void pro_message_block_init_filled(struct pro_message_block *block, const void *bytes, size_t size)
{
	/* Nothing fits behind wr, so no operation writes to the caller's constant. */
	pro_message_block_init(block, (void *)(uintptr_t)bytes, size);
	block->wr = size;
}

void pro__message_block_bind(struct pro_message_block *block, struct pro_data_block *data,
		unsigned char *base, size_t size)
{
	pro_message_block_init(block, base, size);
	block->data = data;
}

/* A block with its bytes: what pro_message_block_create allocates. */
struct created_block {
	struct pro_message_block block;
	struct pro_data_block data;
	_Alignas(max_align_t) unsigned char bytes[];
};

static void created_block_free(struct pro_data_block *data)
{
	const struct pro_allocator *allocator = data->allocator;

	allocator->deallocate(allocator->context, pro_container_of(data, struct created_block, data));
}

struct pro_message_block *pro_message_block_create(
		const struct pro_allocator *allocator, size_t size)
{
	struct created_block *created;

	if (!allocator)
		allocator = &pro__default_allocator;
	if (size > SIZE_MAX / 2 || !allocator->allocate || !allocator->deallocate)
		return NULL;
	created = allocator->allocate(allocator->context, sizeof(*created) + size);
	if (!created)
		return NULL;
	pro__data_block_init(&created->data, allocator, created_block_free);
	pro__message_block_bind(&created->block, &created->data, created->bytes, size);
	return &created->block;
}

/* One structure that shares the bytes; cont is not followed. */
static struct pro_message_block *block_share(const struct pro_message_block *block)
{
	const struct pro_allocator *allocator =
			block->data ? block->data->allocator : &pro__default_allocator;
	struct pro_message_block *share = allocator->allocate(allocator->context, sizeof(*share));

	if (!share)
		return NULL;
	pro__message_block_bind(share, block->data, block->base, block->size);
	share->rd = block->rd;
	share->wr = block->wr;
	share->owner = allocator;
	if (block->data)
		data_block_share(block->data);
	return share;
}

struct pro_message_block *pro_message_block_duplicate(const struct pro_message_block *block)
{
	struct pro_message_block *first = NULL;
	struct pro_message_block **end = &first;

	for (; block; block = block->cont) {
		*end = block_share(block);
		if (!*end) {
			pro_message_block_release(first);
			return NULL;
		}
		end = &(*end)->cont;
	}
	return first;
}

/* ---- giving blocks up ---- */

/* Nothing of `block` may be touched after its share is gone: the structure may have gone with it.
 */
static void block_release_one(struct pro_message_block *block)
{
	const struct pro_allocator *owner = block->owner;
	struct pro_data_block *data = block->data;

	block->cont = NULL;
	block->data = NULL;
	if (owner)
		owner->deallocate(owner->context, block);
	if (data)
		data_block_release(data);
}

void pro_message_block_release(struct pro_message_block *block)
{
	while (block) {
		struct pro_message_block *cont = block->cont;

		/* Not while the port owns it: debug mode, which marked it, will tell. */
		if (block->queue_flags >= PRO__BLOCK_RELEASED) {
			block->queue_flags |= PRO__BLOCK_RELEASED;
			return;
		}
		block_release_one(block);
		block = cont;
	}
}

/* ---- the bytes ---- */

void pro_message_block_reset(struct pro_message_block *block)
{
	block->rd = 0;
	block->wr = 0;
}

int pro_message_block_crunch(struct pro_message_block *block)
{
	size_t length = pro_message_block_length(block);

	if (block->data && !data_block_is_mine(block->data))
		return PRO_EBUSY;
	if (block->rd > 0 && length > 0)
		memmove(block->base, block->base + block->rd, length);
	block->rd = 0;
	block->wr = length;
	return 0;
}

int pro_message_block_copy(struct pro_message_block *block, const void *bytes, size_t length)
{
	if (length > pro_message_block_space(block))
		return PRO_EFULL;
	if (length > 0)
		memcpy(pro_message_block_wr_ptr(block), bytes, length);
	block->wr += length;
	return 0;
}

/* Text that fills the space to the last byte: vsnprintf would put its NUL there, so it prints
 * elsewhere. */
static int block_print_full(
		struct pro_message_block *block, size_t length, const char *format, va_list arguments)
{
	const struct pro_allocator *allocator = &pro__default_allocator;
	char *text = allocator->allocate(allocator->context, length + 1);

	if (!text)
		return PRO_ENOMEM; /* Not covered: malloc does not fail in the tests of blocks. */
	vsnprintf(text, length + 1, format, arguments);
	memcpy(pro_message_block_wr_ptr(block), text, length);
	block->wr += length;
	allocator->deallocate(allocator->context, text);
	return 0;
}

int pro_message_block_printf(struct pro_message_block *block, const char *format, ...)
{
	size_t space = pro_message_block_space(block);
	size_t room = space < INT_MAX ? space : INT_MAX; /* the most that vsnprintf can tell of */
	va_list arguments;
	va_list again;
	int length;
	int error = 0;

	va_start(arguments, format);
	va_copy(again, arguments);
	length = vsnprintf(
			room > 0 ? (char *)pro_message_block_wr_ptr(block) : NULL, room, format, arguments);
	if (length < 0)
		error = PRO_EINVAL;
	else if ((size_t)length > room)
		error = PRO_EFULL;
	else if ((size_t)length == room && length > 0)
		error = block_print_full(block, room, format, again);
	else
		block->wr += (size_t)length;
	va_end(again);
	va_end(arguments);
	return error;
}

size_t pro_message_block_total_length(const struct pro_message_block *block)
{
	size_t total = 0;

	for (; block; block = block->cont)
		total += pro_message_block_length(block);
	return total;
}

unsigned pro_message_block_reference_count(const struct pro_message_block *block)
{
	return block->data ? atomic_load_explicit(&block->data->references, memory_order_relaxed) : 1;
}
