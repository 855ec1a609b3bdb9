/* Sends header, file range and trailer; the port does it in as few copies as the system allows. */
#include <proactor/asynch_transmit_file.h>
#include <proactor/file.h>

#include "asynch_private.h"

static struct pro_asynch_transmit_file *transmit_file_from_operation(
		struct pro_operation *operation)
{
	return pro_container_of(operation, struct pro_asynch_transmit_file, operation);
}

static enum pro_advance transmit_file_advance(struct pro_operation *operation, size_t bytes)
{
	struct pro_asynch_transmit_file *sender = transmit_file_from_operation(operation);

	(void)bytes;
	sender->bytes_sent = sender->request.sent;
	operation->bytes = sender->bytes_sent > SIZE_MAX ? SIZE_MAX : (size_t)sender->bytes_sent;
	return PRO__DONE;
}

static void transmit_file_deliver(struct pro_operation *operation)
{
	struct pro_asynch_transmit_file *sender = transmit_file_from_operation(operation);
	struct pro_handler *handler = asynch_handler(operation);
	struct pro_asynch_transmit_file_result result = {
			ASYNCH_RESULT(operation),
			.bytes_sent = sender->bytes_sent,
			.file = sender->file,
			.header = sender->header,
			.trailer = sender->trailer,
	};

	pro__operation_begin_callback(operation);
	handler->vtbl->handle_transmit_file(handler, &result);
}

static unsigned transmit_file_chains(struct pro_operation *operation, struct pro__chain *chains)
{
	const struct pro_asynch_transmit_file *sender = transmit_file_from_operation(operation);
	unsigned count = 0;

	if (sender->header)
		chains[count++] = (struct pro__chain){
				.block = sender->header,
				.bytes = pro_message_block_length(sender->header),
				.may_be_shared = true,
		};
	if (sender->trailer)
		chains[count++] = (struct pro__chain){
				.block = sender->trailer,
				.bytes = pro_message_block_length(sender->trailer),
				.may_be_shared = true,
		};
	return count;
}

static const struct pro_operation_vtbl transmit_file_vtbl = {
		.name = "transmit_file",
		.advance = transmit_file_advance,
		.deliver = transmit_file_deliver,
		.chains = transmit_file_chains,
};

int pro_asynch_transmit_file_open(struct pro_asynch_transmit_file *sender,
		struct pro_handler *handler, pro_handle handle, const void *completion_key)
{
	return pro__asynch_open(&sender->operation, &transmit_file_vtbl, PRO_OP_TRANSMIT_FILE, handler,
			handle, handler && handler->vtbl->handle_transmit_file, completion_key);
}

/* The unread bytes of `block`, which may be NULL. PRO_EINVAL when they are more than one piece. */
static int block_data(struct pro_message_block *block, struct pro_buffer *buffer)
{
	size_t total = 0;

	*buffer = (struct pro_buffer){0};
	if (!block)
		return 0;
	pro__asynch_gather_data(block, false, buffer, 1, &total);
	return total == pro_message_block_length(block) ? 0 : PRO_EINVAL;
}

/* How many bytes of the file are to go. */
static int range_length(struct pro_proactor *proactor, pro_handle file, uint64_t offset,
		uint64_t bytes, uint64_t *length)
{
	struct pro_file_status status;
	int error;

	*length = bytes;
	if (file == PRO_INVALID_HANDLE) {
		*length = 0;
		return 0;
	}
	if (bytes != PRO_TRANSMIT_ALL)
		return offset > INT64_MAX || bytes > INT64_MAX - offset ? PRO_EINVAL : 0;
	error = pro_file_status(proactor, file, &status);
	if (!error)
		*length = offset < status.size ? status.size - offset : 0;
	return error;
}

int pro_asynch_transmit_file_transmit_file(struct pro_asynch_transmit_file *sender, pro_handle file,
		uint64_t offset, uint64_t bytes, struct pro_message_block *header,
		struct pro_message_block *trailer)
{
	struct pro_operation *operation = &sender->operation;
	struct pro_transmit_request *request = &sender->request;
	int error = pro__operation_claim(operation, PRO__CALLER());

	if (error)
		return error;
	error = block_data(header, &request->header);
	if (!error)
		error = block_data(trailer, &request->trailer);
	if (!error)
		error = range_length(operation->owner->proactor, file, offset, bytes, &request->left);
	if (error)
		return pro__operation_give_back(operation, error);
	sender->file = file;
	sender->header = header;
	sender->trailer = trailer;
	sender->bytes_sent = 0;
	request->file = file;
	request->offset = offset;
	request->sent = 0;
	request->cold = 0;
	operation->request.transmit = request;
	return pro__operation_start(operation);
}
