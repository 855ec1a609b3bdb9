/* Writes files at 64-bit offsets, all that was asked for. */
#include <proactor/asynch_write_file.h>

#include "asynch_private.h"

static struct pro_asynch_write_file *write_file_from_operation(struct pro_operation *operation)
{
	return pro_container_of(operation, struct pro_asynch_write_file, operation);
}

static enum pro_advance write_file_advance(struct pro_operation *operation, size_t bytes)
{
	struct pro_asynch_write_file *writer = write_file_from_operation(operation);
	size_t total;

	operation->bytes += bytes;
	operation->request.io.offset += bytes;
	pro__asynch_advance_rd(writer->block, bytes);
	if (operation->error || operation->bytes == writer->bytes_wanted)
		return PRO__DONE;
	operation->request.io.count = pro__asynch_gather_data(
			writer->block, writer->is_vector, writer->buffers, PRO_WRITE_FILE_BUFFERS, &total);
	return PRO__MORE;
}

static void write_file_deliver(struct pro_operation *operation)
{
	struct pro_asynch_write_file *writer = write_file_from_operation(operation);
	struct pro_handler *handler = asynch_handler(operation);
	struct pro_asynch_write_file_result result = {
			ASYNCH_RESULT(operation),
			.block = writer->block,
			.bytes_requested = writer->bytes_wanted,
			.offset = operation->request.io.offset - operation->bytes,
	};

	pro__operation_begin_callback(operation);
	handler->vtbl->handle_write_file(handler, &result);
}

static unsigned write_file_chains(struct pro_operation *operation, struct pro__chain *chains)
{
	const struct pro_asynch_write_file *writer = write_file_from_operation(operation);

	chains[0] = (struct pro__chain){
			.block = writer->block,
			.bytes = writer->bytes_wanted,
			.is_vector = writer->is_vector,
	};
	return 1;
}

static const struct pro_operation_vtbl write_file_vtbl = {
		.name = "write_file",
		.advance = write_file_advance,
		.deliver = write_file_deliver,
		.chains = write_file_chains,
};

int pro_asynch_write_file_open(struct pro_asynch_write_file *writer, struct pro_handler *handler,
		pro_handle handle, const void *completion_key)
{
	return pro__asynch_open(&writer->operation, &write_file_vtbl, PRO_OP_WRITE_FILE, handler,
			handle, handler && handler->vtbl->handle_write_file, completion_key);
}

static int write_file_start(struct pro_asynch_write_file *writer, struct pro_message_block *block,
		size_t bytes, uint64_t offset, bool is_vector, const void *caller)
{
	struct pro_operation *operation = &writer->operation;
	int error = pro__operation_claim(operation, caller);
	size_t total;

	if (error)
		return error;
	if (bytes == 0 || offset > INT64_MAX - bytes)
		return pro__operation_give_back(operation, PRO_EINVAL);
	writer->bytes_wanted = bytes;
	writer->block = block;
	writer->is_vector = is_vector;
	operation->request.io.buffers = writer->buffers;
	operation->request.io.count = pro__asynch_gather_data(
			block, is_vector, writer->buffers, PRO_WRITE_FILE_BUFFERS, &total);
	operation->request.io.offset = offset;
	return pro__operation_start(operation);
}

int pro_asynch_write_file_write(
		struct pro_asynch_write_file *writer, struct pro_message_block *block, uint64_t offset)
{
	return write_file_start(writer, block, block ? pro_message_block_length(block) : 0, offset,
			false, PRO__CALLER());
}

int pro_asynch_write_file_writev(
		struct pro_asynch_write_file *writer, struct pro_message_block *chain, uint64_t offset)
{
	return write_file_start(writer, chain, chain ? pro_message_block_total_length(chain) : 0,
			offset, true, PRO__CALLER());
}
