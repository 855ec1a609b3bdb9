/* Reads from streams: what is there, exactly so much, or into a block that is lent. */
#include <proactor/asynch_read_stream.h>

#include "asynch_private.h"

static struct pro_asynch_read_stream *read_stream_from_operation(struct pro_operation *operation)
{
	return pro_container_of(operation, struct pro_asynch_read_stream, operation);
}

static enum pro_advance read_stream_advance(struct pro_operation *operation, size_t bytes)
{
	struct pro_asynch_read_stream *reader = read_stream_from_operation(operation);
	size_t total;

	operation->bytes += bytes;
	if (!reader->block) {
		reader->block = operation->request.io.lent;
		return PRO__DONE;
	}
	pro__asynch_advance_wr(reader->block, bytes);
	if (operation->error || !reader->is_exact || operation->bytes == reader->bytes_wanted)
		return PRO__DONE;
	operation->request.io.count = pro__asynch_gather_space(reader->block, reader->is_vector,
			reader->bytes_wanted - operation->bytes, reader->buffers, PRO_READ_BUFFERS, &total);
	return PRO__MORE;
}

static void read_stream_deliver(struct pro_operation *operation)
{
	struct pro_asynch_read_stream *reader = read_stream_from_operation(operation);
	struct pro_handler *handler = asynch_handler(operation);
	struct pro_asynch_read_stream_result result = {
			ASYNCH_RESULT(operation),
			.block = reader->block,
			.bytes_requested = reader->bytes_wanted,
	};

	pro__operation_begin_callback(operation);
	handler->vtbl->handle_read_stream(handler, &result);
}

static unsigned read_stream_chains(struct pro_operation *operation, struct pro__chain *chains)
{
	const struct pro_asynch_read_stream *reader = read_stream_from_operation(operation);

	if (!reader->block)
		return 0;
	chains[0] = (struct pro__chain){
			.block = reader->block,
			.bytes = reader->bytes_wanted,
			.is_vector = reader->is_vector,
			.is_read = true,
	};
	return 1;
}

static const struct pro_operation_vtbl read_stream_vtbl = {
		.name = "read_stream",
		.advance = read_stream_advance,
		.deliver = read_stream_deliver,
		.chains = read_stream_chains,
};

int pro_asynch_read_stream_open(struct pro_asynch_read_stream *reader, struct pro_handler *handler,
		pro_handle handle, const void *completion_key)
{
	return pro__asynch_open(&reader->operation, &read_stream_vtbl, PRO_OP_READ_STREAM, handler,
			handle, handler && handler->vtbl->handle_read_stream, completion_key);
}

static int read_stream_start(struct pro_asynch_read_stream *reader, struct pro_message_block *block,
		size_t bytes, bool is_exact, bool is_vector, const void *caller)
{
	struct pro_operation *operation = &reader->operation;
	size_t total = bytes;
	unsigned count = 0;
	int error = pro__operation_claim(operation, caller);

	if (error)
		return error;
	if (block) {
		count = pro__asynch_gather_space(block, is_vector, bytes ? bytes : SIZE_MAX,
				reader->buffers, PRO_READ_BUFFERS, &total);
		if (count == 0)
			return pro__operation_give_back(operation, PRO_EINVAL);
	}
	operation->request.io.buffers = reader->buffers;
	operation->request.io.count = count;
	operation->request.io.lent = NULL;
	operation->request.io.lent_max = bytes;
	operation->flags =
			(uint8_t)(block ? operation->flags & ~PRO__BORROWS : operation->flags | PRO__BORROWS);
	reader->block = block;
	reader->bytes_wanted = is_exact ? bytes : total;
	reader->is_exact = is_exact;
	reader->is_vector = is_vector;
	return pro__operation_start(operation);
}

int pro_asynch_read_stream_read(
		struct pro_asynch_read_stream *reader, struct pro_message_block *block, size_t bytes_max)
{
	return read_stream_start(reader, block, bytes_max, false, false, PRO__CALLER());
}

int pro_asynch_read_stream_read_exactly(
		struct pro_asynch_read_stream *reader, struct pro_message_block *block, size_t bytes)
{
	if (!block || bytes == 0 || bytes > pro_message_block_space(block))
		return PRO_EINVAL;
	return read_stream_start(reader, block, bytes, true, false, PRO__CALLER());
}

int pro_asynch_read_stream_readv(
		struct pro_asynch_read_stream *reader, struct pro_message_block *chain, size_t bytes_max)
{
	if (!chain)
		return PRO_EINVAL;
	return read_stream_start(reader, chain, bytes_max, false, true, PRO__CALLER());
}
