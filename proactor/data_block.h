/* Private: the counted bytes behind message blocks. */
#ifndef PROACTOR_DATA_BLOCK_H
#define PROACTOR_DATA_BLOCK_H

#include <proactor/message_block.h>

/* Embed beside the bytes. Whoever makes the bytes decides what happens when the last block that
 * shares them is released: `recycle` is called once then, by the thread that released it, and may
 * free the structure. */
struct pro_data_block {
	PRO_ATOMIC(uint32_t) references;
	const struct pro_allocator *allocator; /* of the structures of duplicates */
	void (*recycle)(struct pro_data_block *data);
};

/* One block shares the bytes. [set-up] */
void pro__data_block_init(struct pro_data_block *data, const struct pro_allocator *allocator,
		void (*recycle)(struct pro_data_block *data));

/* Makes `block` the first that shares the `size` bytes at `base`; it is empty. [set-up] */
void pro__message_block_bind(struct pro_message_block *block, struct pro_data_block *data,
		unsigned char *base, size_t size);

#endif
