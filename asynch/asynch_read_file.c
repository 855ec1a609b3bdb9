/* Reads files at 64-bit offsets, all that was asked for or up to the end of the file. */
#include <proactor/asynch_read_file.h>

#include "asynch_private.h"

static struct pro_asynch_read_file *read_file_from_operation(struct pro_operation *operation)
{
	return pro_container_of(operation, struct pro_asynch_read_file, operation);
}

static enum pro_advance read_file_advance(struct pro_operation *operation, size_t bytes)
{
	struct pro_asynch_read_file *reader = read_file_from_operation(operation);
	size_t total;

	operation->bytes += bytes;
	operation->request.io.offset += bytes;
	pro__asynch_advance_wr(reader->block, bytes);
	if (operation->error == PRO_EOF && operation->bytes > 0)
		operation->error = 0;
	else if (!operation->error && operation->bytes < reader->bytes_wanted) {
		operation->request.io.count = pro__asynch_gather_space(reader->block, reader->is_vector,
				reader->bytes_wanted - operation->bytes, reader->buffers, PRO_READ_FILE_BUFFERS,
				&total);
		return PRO__MORE;
	}
	return PRO__DONE;
}

static void read_file_deliver(struct pro_operation *operation)
{
	struct pro_asynch_read_file *reader = read_file_from_operation(operation);
	struct pro_handler *handler = asynch_handler(operation);
	struct pro_asynch_read_file_result result = {
			ASYNCH_RESULT(operation),
			.block = reader->block,
			.bytes_requested = reader->bytes_wanted,
			.offset = operation->request.io.offset - operation->bytes,
	};

	pro__operation_begin_callback(operation);
	handler->vtbl->handle_read_file(handler, &result);
}

static unsigned read_file_chains(struct pro_operation *operation, struct pro__chain *chains)
{
	const struct pro_asynch_read_file *reader = read_file_from_operation(operation);

	chains[0] = (struct pro__chain){
			.block = reader->block,
			.bytes = reader->bytes_wanted,
			.is_vector = reader->is_vector,
			.is_read = true,
	};
	return 1;
}

static const struct pro_operation_vtbl read_file_vtbl = {
		.name = "read_file",
		.advance = read_file_advance,
		.deliver = read_file_deliver,
		.chains = read_file_chains,
};

int pro_asynch_read_file_open(struct pro_asynch_read_file *reader, struct pro_handler *handler,
		pro_handle handle, const void *completion_key)
{
	return pro__asynch_open(&reader->operation, &read_file_vtbl, PRO_OP_READ_FILE, handler, handle,
			handler && handler->vtbl->handle_read_file, completion_key);
}

/* Every block with space counts, so that bytes_requested tells what could have been read; a round
 * fills as many of them as it has buffers. */
static size_t chain_space(const struct pro_message_block *block, bool is_vector, size_t bytes_max)
{
	size_t total = 0;

	for (; block; block = is_vector ? block->cont : NULL)
		total += pro_message_block_space(block);
	return total < bytes_max ? total : bytes_max;
}

static int read_file_start(struct pro_asynch_read_file *reader, struct pro_message_block *block,
		size_t bytes_max, uint64_t offset, bool is_vector, const void *caller)
{
	struct pro_operation *operation = &reader->operation;
	int error = pro__operation_claim(operation, caller);
	size_t total;

	if (error)
		return error;
	reader->bytes_wanted = chain_space(block, is_vector, bytes_max ? bytes_max : SIZE_MAX);
	if (reader->bytes_wanted == 0 || offset > INT64_MAX - reader->bytes_wanted)
		return pro__operation_give_back(operation, PRO_EINVAL);
	reader->block = block;
	reader->is_vector = is_vector;
	operation->request.io.buffers = reader->buffers;
	operation->request.io.count = pro__asynch_gather_space(
			block, is_vector, reader->bytes_wanted, reader->buffers, PRO_READ_FILE_BUFFERS, &total);
	operation->request.io.offset = offset;
	return pro__operation_start(operation);
}

int pro_asynch_read_file_read(struct pro_asynch_read_file *reader, struct pro_message_block *block,
		size_t bytes_max, uint64_t offset)
{
	return read_file_start(reader, block, bytes_max, offset, false, PRO__CALLER());
}

int pro_asynch_read_file_readv(struct pro_asynch_read_file *reader, struct pro_message_block *chain,
		size_t bytes_max, uint64_t offset)
{
	return read_file_start(reader, chain, bytes_max, offset, true, PRO__CALLER());
}
