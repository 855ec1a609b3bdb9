/* What the classes of operations share: opening, and the bytes of block chains as buffers. */
#include "asynch_private.h"

/* A round moves at most this, which fits the 32-bit lengths of Windows: a piece that is cut is the
 * last, since what it leaves comes before what is behind it. */
#define ASYNCH_ROUND_MAX ((size_t)1 << 30)

int pro__asynch_open(struct pro_operation *operation, const struct pro_operation_vtbl *vtbl,
		enum pro_opcode opcode, struct pro_handler *handler, pro_handle handle, bool has_slot,
		const void *completion_key)
{
	int error;

	if (handler && handle == PRO_INVALID_HANDLE)
		handle = pro_handler_handle(handler);
	/* A handler that closes has no handle any more. */
	if (handle == PRO_INVALID_HANDLE)
		return handler && pro_handler_is_closing(handler) ? PRO_ECLOSED : PRO_EINVAL;
	error = pro__asynch_open_without_handle(
			operation, vtbl, opcode, handler, has_slot, completion_key);
	if (!error)
		operation->handle = handle;
	return error;
}

int pro__asynch_open_without_handle(struct pro_operation *operation,
		const struct pro_operation_vtbl *vtbl, enum pro_opcode opcode, struct pro_handler *handler,
		bool has_slot, const void *completion_key)
{
	if (!operation || !handler)
		return PRO_EINVAL;
	if (!has_slot) {
		pro__tell_misuse(pro_handler_proactor(handler), vtbl->name,
				"the handler's class has no callback for it");
		return PRO_EINVAL;
	}
	pro__operation_init(operation, vtbl, opcode, &handler->owner, PRO_INVALID_HANDLE);
	operation->completion_key = completion_key;
	return 0;
}

static size_t smaller(size_t left, size_t right)
{
	return left < right ? left : right;
}

static unsigned add_piece(struct pro_buffer *buffer, unsigned char *base, size_t length,
		size_t bytes_max, size_t *total)
{
	length = smaller(length, bytes_max - *total);
	if (length == 0)
		return 0;
	buffer->base = base;
	buffer->length = (pro_buffer_length)length;
	*total += length;
	return 1;
}

unsigned pro__asynch_gather_space(struct pro_message_block *chain, bool is_vector, size_t bytes_max,
		struct pro_buffer *buffers, unsigned count_max, size_t *total)
{
	struct pro_message_block *block;
	unsigned count = 0;

	*total = 0;
	bytes_max = smaller(bytes_max, ASYNCH_ROUND_MAX);
	for (block = chain; block && count < count_max; block = is_vector ? block->cont : NULL)
		count += add_piece(&buffers[count], pro_message_block_wr_ptr(block),
				pro_message_block_space(block), bytes_max, total);
	return count;
}

unsigned pro__asynch_gather_data(struct pro_message_block *chain, bool is_vector,
		struct pro_buffer *buffers, unsigned count_max, size_t *total)
{
	struct pro_message_block *block;
	unsigned count = 0;

	*total = 0;
	for (block = chain; block && count < count_max; block = is_vector ? block->cont : NULL)
		count += add_piece(&buffers[count], pro_message_block_rd_ptr(block),
				pro_message_block_length(block), ASYNCH_ROUND_MAX, total);
	return count;
}

void pro__asynch_advance_wr(struct pro_message_block *chain, size_t bytes)
{
	for (; bytes > 0; chain = chain->cont) {
		size_t part = smaller(bytes, pro_message_block_space(chain));

		chain->wr += part;
		bytes -= part;
	}
}

void pro__asynch_advance_rd(struct pro_message_block *chain, size_t bytes)
{
	for (; bytes > 0; chain = chain->cont) {
		size_t part = smaller(bytes, pro_message_block_length(chain));

		chain->rd += part;
		bytes -= part;
	}
}
