/* Receives datagrams. */
#include <proactor/asynch_read_dgram.h>

#include "asynch_private.h"

static struct pro_asynch_read_dgram *read_dgram_from_operation(struct pro_operation *operation)
{
	return pro_container_of(operation, struct pro_asynch_read_dgram, operation);
}

static enum pro_advance read_dgram_advance(struct pro_operation *operation, size_t bytes)
{
	operation->bytes = bytes;
	pro__asynch_advance_wr(read_dgram_from_operation(operation)->block, bytes);
	return PRO__DONE;
}

static void read_dgram_deliver(struct pro_operation *operation)
{
	struct pro_asynch_read_dgram *reader = read_dgram_from_operation(operation);
	struct pro_handler *handler = asynch_handler(operation);
	/* A copy, since a restart in the callback gives the address back to the port. */
	struct pro_addr remote = reader->remote;
	struct pro_asynch_read_dgram_result result = {
			ASYNCH_RESULT(operation),
			.block = reader->block,
			.remote = &remote,
	};

	pro__operation_begin_callback(operation);
	handler->vtbl->handle_read_dgram(handler, &result);
}

static unsigned read_dgram_chains(struct pro_operation *operation, struct pro__chain *chains)
{
	chains[0] = (struct pro__chain){
			.block = read_dgram_from_operation(operation)->block,
			.bytes = SIZE_MAX,
			.is_vector = true,
			.is_read = true,
	};
	return 1;
}

static const struct pro_operation_vtbl read_dgram_vtbl = {
		.name = "read_dgram",
		.advance = read_dgram_advance,
		.deliver = read_dgram_deliver,
		.chains = read_dgram_chains,
};

int pro_asynch_read_dgram_open(struct pro_asynch_read_dgram *reader, struct pro_handler *handler,
		pro_handle handle, const void *completion_key)
{
	return pro__asynch_open(&reader->operation, &read_dgram_vtbl, PRO_OP_READ_DGRAM, handler,
			handle, handler && handler->vtbl->handle_read_dgram, completion_key);
}

int pro_asynch_read_dgram_recv(
		struct pro_asynch_read_dgram *reader, struct pro_message_block *chain)
{
	struct pro_operation *operation = &reader->operation;
	int error = pro__operation_claim(operation, PRO__CALLER());
	size_t total;
	unsigned count;

	if (error)
		return error;
	count = pro__asynch_gather_space(
			chain, true, SIZE_MAX, reader->buffers, PRO_READ_BUFFERS, &total);
	if (count == 0)
		return pro__operation_give_back(operation, PRO_EINVAL);
	reader->block = chain;
	reader->remote = (struct pro_addr){.length = 0};
	operation->request.io.buffers = reader->buffers;
	operation->request.io.count = count;
	operation->request.io.address = &reader->remote;
	return pro__operation_start(operation);
}
