/* Files to streams in a simulated world: header, range and trailer, a round at a time. */
#include "sim.h"

/* Bytes that one round moves at most. */
#define TRANSMIT_BYTES 65536u

static size_t put_buffer(struct sim_pipe *out, struct pro_buffer *buffer, size_t space)
{
	size_t length = buffer->length < space ? buffer->length : space;

	pro__sim_pipe_put(out, buffer->base, length);
	buffer->base = (unsigned char *)buffer->base + length;
	buffer->length -= (pro_buffer_length)length;
	return length;
}

/* Bytes of the file, or 0 with an error. */
static size_t put_file(struct pro_sim *sim, struct sim_pipe *out,
		struct pro_transmit_request *transmit, size_t space, struct sim_result *result)
{
	const struct sim_object *object = pro__sim_find(sim, transmit->file);
	const struct sim_node *node;
	unsigned char bytes[4096];
	size_t length = space < sizeof(bytes) ? space : sizeof(bytes);

	if (!object || object->kind != SIM_FILE || !object->as.file.can_read) {
		result->error = PRO_EBADF;
		return 0;
	}
	if (pro__sim_strikes(sim, PRO_SIM_FILE_ERROR)) {
		result->error = PRO_EIO;
		return 0;
	}
	node = object->as.file.node;
	if (length > transmit->left)
		length = (size_t)transmit->left;
	if (transmit->offset >= node->size) {
		result->error = PRO_ETRUNCATED;
		return 0;
	}
	if (length > node->size - transmit->offset)
		length = (size_t)(node->size - transmit->offset);
	pro__sim_node_read(node, transmit->offset, bytes, length);
	pro__sim_pipe_put(out, bytes, length);
	transmit->offset += length;
	transmit->left -= length;
	return length;
}

/* The next bytes of header, file or trailer, as many as one piece; 0: all are out, or an error. */
static size_t transmit_piece(struct pro_sim *sim, struct sim_pipe *out,
		struct pro_transmit_request *transmit, size_t space, struct sim_result *result)
{
	if (transmit->header.length > 0)
		return put_buffer(out, &transmit->header, space);
	if (transmit->left > 0 && transmit->file != PRO_INVALID_HANDLE)
		return put_file(sim, out, transmit, space, result);
	return put_buffer(out, &transmit->trailer, space);
}

static bool is_transmitted(const struct pro_transmit_request *transmit)
{
	return transmit->header.length == 0 && transmit->trailer.length == 0 &&
		   (transmit->left == 0 || transmit->file == PRO_INVALID_HANDLE);
}

bool pro__sim_try_transmit(struct sim_flight *flight, struct sim_result *result)
{
	struct sim_object *object = flight->object;
	struct sim_stream *stream = &object->as.stream;
	struct pro_transmit_request *transmit = flight->operation->request.transmit;
	struct sim_pipe *out;
	size_t space;
	size_t moved = 0;

	result->error = is_transmitted(transmit) ? 0 : pro__sim_stream_write_error(stream);
	result->bytes = flight->moved;
	if (result->error || is_transmitted(transmit))
		return true;
	out = &stream->peer->as.stream.in;
	space = pro__sim_pipe_space(out);
	space = pro__sim_stream_limit(object->sim, space < TRANSMIT_BYTES ? space : TRANSMIT_BYTES);
	while (moved < space && !is_transmitted(transmit) && !result->error)
		moved += transmit_piece(object->sim, out, transmit, space - moved, result);
	flight->moved += moved;
	transmit->sent += moved;
	result->bytes = flight->moved;
	if (moved > 0) {
		pro__sim_stream_send(object);
		pro__operation_progress(flight->operation);
	}
	return result->error || is_transmitted(transmit);
}
