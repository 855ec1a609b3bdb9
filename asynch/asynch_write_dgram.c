/* Sends datagrams. */
#include <proactor/asynch_write_dgram.h>

#include "asynch_private.h"

static struct pro_asynch_write_dgram *write_dgram_from_operation(struct pro_operation *operation)
{
	return pro_container_of(operation, struct pro_asynch_write_dgram, operation);
}

static void write_dgram_deliver(struct pro_operation *operation)
{
	struct pro_asynch_write_dgram *writer = write_dgram_from_operation(operation);
	struct pro_handler *handler = asynch_handler(operation);
	struct pro_asynch_write_dgram_result result = {
			ASYNCH_RESULT(operation),
			.block = writer->block,
			.bytes_requested = writer->bytes_wanted,
	};

	pro__operation_begin_callback(operation);
	handler->vtbl->handle_write_dgram(handler, &result);
}

static unsigned write_dgram_chains(struct pro_operation *operation, struct pro__chain *chains)
{
	const struct pro_asynch_write_dgram *writer = write_dgram_from_operation(operation);

	chains[0] = (struct pro__chain){
			.block = writer->block,
			.bytes = writer->bytes_wanted,
			.is_vector = true,
			.may_be_shared = true,
	};
	return 1;
}

static const struct pro_operation_vtbl write_dgram_vtbl = {
		.name = "write_dgram",
		.deliver = write_dgram_deliver,
		.chains = write_dgram_chains,
};

int pro_asynch_write_dgram_open(struct pro_asynch_write_dgram *writer, struct pro_handler *handler,
		pro_handle handle, const void *completion_key)
{
	return pro__asynch_open(&writer->operation, &write_dgram_vtbl, PRO_OP_WRITE_DGRAM, handler,
			handle, handler && handler->vtbl->handle_write_dgram, completion_key);
}

/* A datagram can not be split over rounds: all of the chain must fit the buffers. */
static bool fits_buffers(const struct pro_message_block *chain)
{
	unsigned count = 0;

	for (; chain; chain = chain->cont)
		count += pro_message_block_length(chain) > 0;
	return count <= PRO_WRITE_BUFFERS;
}

int pro_asynch_write_dgram_send(struct pro_asynch_write_dgram *writer,
		struct pro_message_block *chain, const struct pro_addr *remote)
{
	struct pro_operation *operation = &writer->operation;
	int error = pro__operation_claim(operation, PRO__CALLER());

	if (error)
		return error;
	if (!chain || !fits_buffers(chain))
		return pro__operation_give_back(operation, PRO_EINVAL);
	writer->block = chain;
	operation->request.io.address = NULL;
	if (remote) {
		writer->remote = *remote;
		operation->request.io.address = &writer->remote;
	}
	operation->request.io.buffers = writer->buffers;
	operation->request.io.count = pro__asynch_gather_data(
			chain, true, writer->buffers, PRO_WRITE_BUFFERS, &writer->bytes_wanted);
	return pro__operation_start(operation);
}
