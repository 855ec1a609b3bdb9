/* Message blocks: bytes with a read and a write position, shared by counting, chained by cont.
 *
 *   base        rd              wr          base + size
 *    |  consumed |    length     |   space       |
 *
 * Operations read into [wr, base + size) and write out [rd, wr). ACE: ACE_Message_Block. */
#ifndef PROACTOR_MESSAGE_BLOCK_H
#define PROACTOR_MESSAGE_BLOCK_H

#include <proactor/base.h>

PRO_BEGIN_DECLS

/* The counted bytes that several blocks may share; private, from message_block.c or a proactor's
 * pool. */
struct pro_data_block;

/* Embeddable. A block is used by one thread at a time; blocks that share bytes may be used by
 * different threads as long as nobody writes to the shared bytes. */
struct pro_message_block {
	unsigned char *base;            /* first byte */
	size_t size;                    /* bytes from base to the end */
	size_t rd;                      /* offset of the first unread byte */
	size_t wr;                      /* offset behind the last written byte; rd <= wr <= size */
	struct pro_message_block *cont; /* the rest of the message, or NULL; owned by this block */

	/* Private. */
	struct pro_data_block *data;       /* NULL: the bytes are the caller's */
	const struct pro_allocator *owner; /* who frees this structure; NULL: the caller's memory */
	struct pro_message_block *next;    /* link of the one queue that a block can stand in */
	const void *queue_act;             /* what its queued start carries */
	size_t queue_bytes;                /* asked for */
	size_t queue_sent;                 /* gone out when it ended; before, cancels asked before it */
	int queue_error;                   /* how it ended */
	uint32_t queue_flags;
	const void *queue_caller; /* who started it, for dumps */
};

/* Binds `block` to `size` bytes of the caller's, empty (rd = wr = 0). The bytes must outlive every
 * duplicate. [set-up] Since 0.1. */
PRO_API void pro_message_block_init(struct pro_message_block *block, void *bytes, size_t size);

/* As init, and with the bytes already written: rd = 0, wr = size. For constants to be sent; the
 * library never writes to them. [set-up] Since 0.1. */
PRO_API void pro_message_block_init_filled(
		struct pro_message_block *block, const void *bytes, size_t size);

/* A new block with `size` bytes of its own, one allocation; NULL when there is no memory or size >
 * SIZE_MAX / 2. `allocator` NULL means malloc; it must outlive the block. The caller releases it.
 * [any thread] Since 0.1. */
PRO_API struct pro_message_block *pro_message_block_create(
		const struct pro_allocator *allocator, size_t size);

/* A new block (and cont chain) that shares the bytes of `block`, with its own rd and wr; NULL when
 * there is no memory. Its structure comes from the allocator of the bytes (malloc for the caller's
 * bytes). [any thread] Since 0.1. */
PRO_API struct pro_message_block *pro_message_block_duplicate(
		const struct pro_message_block *block);

/* Gives up the block and its cont chain; the bytes go with the last block that shares them. For a
 * block on the caller's memory it releases cont and the share only. Accepts NULL. [any thread]
 * Since 0.1. */
PRO_API void pro_message_block_release(struct pro_message_block *block);

/* What changes or reads a block's positions is for the one thread that uses the block. */

/* rd = wr = 0. [one thread] ACE: reset. Since 0.1. */
PRO_API void pro_message_block_reset(struct pro_message_block *block);
/* Moves the unread bytes to the front, so not for constants. PRO_EBUSY when other blocks share the
 * bytes. [one thread] ACE: crunch. Since 0.1. */
PRO_API int pro_message_block_crunch(struct pro_message_block *block);
/* Appends `length` bytes. PRO_EFULL when they do not fit; nothing is then copied. [one thread] ACE:
 * copy. Since 0.1. */
PRO_API int pro_message_block_copy(
		struct pro_message_block *block, const void *bytes, size_t length);
/* Appends formatted text without its NUL. PRO_EFULL when it does not fit, PRO_EINVAL when the
 * system can not format it, PRO_ENOMEM (only for text that fits to the last byte); nothing is then
 * added. [one thread] Since 0.1. */
PRO_API int pro_message_block_printf(struct pro_message_block *block, const char *format, ...)
		PRO_PRINTF(2, 3);
/* Unread bytes of the block and its whole cont chain. [one thread] ACE: total_length. Since 0.1. */
PRO_API size_t pro_message_block_total_length(const struct pro_message_block *block);
/* How many blocks share the bytes; 1 for the caller's bytes. [any thread] Since 0.1. */
PRO_API unsigned pro_message_block_reference_count(const struct pro_message_block *block);

/* The first unread byte, and the first that is not written yet. */
static inline unsigned char *pro_message_block_rd_ptr(const struct pro_message_block *block)
{
	return block->base + block->rd;
}

static inline unsigned char *pro_message_block_wr_ptr(const struct pro_message_block *block)
{
	return block->base + block->wr;
}

/* Unread bytes of this block alone. */
static inline size_t pro_message_block_length(const struct pro_message_block *block)
{
	return block->wr - block->rd;
}

/* Bytes that still fit behind wr. */
static inline size_t pro_message_block_space(const struct pro_message_block *block)
{
	return block->size - block->wr;
}

PRO_END_DECLS

#endif
