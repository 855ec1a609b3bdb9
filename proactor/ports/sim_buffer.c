/* Buffers that the simulated port owns: what is read into holds a pattern, of what is written a sum
 * is kept. Of long buffers only the begin and the end are looked at. */
#include "sim.h"

#include <string.h>

#define BEGIN_BYTES  4096u
#define END_BYTES    64u
#define SUM_MULTIPLY UINT64_C(0xff51afd7ed558ccd)

size_t pro__sim_total(const struct pro_buffer *buffers, unsigned count)
{
	size_t total = 0;

	for (unsigned i = 0; i < count; i++)
		total += buffers[i].length;
	return total;
}

/* ---- reading ---- */

static bool is_read(const struct sim_flight *flight)
{
	switch ((enum pro_opcode)flight->opcode) {
	case PRO_OP_READ_STREAM:
	case PRO_OP_READ_FILE:
	case PRO_OP_READ_DGRAM:
		return true;
	case PRO_OP_WRITE_STREAM:
	case PRO_OP_WRITE_FILE:
	case PRO_OP_WRITE_DGRAM:
	case PRO_OP_ACCEPT:
	case PRO_OP_CONNECT:
	case PRO_OP_TRANSMIT_FILE:
	case PRO_OP_RESOLVE:
	case PRO_OP_TIMER:
		break;
	}
	return false;
}

static size_t smaller(size_t left, size_t right)
{
	return left < right ? left : right;
}

static bool is_pattern(const unsigned char *bytes, size_t length)
{
	/* All bytes equal the first, which is the pattern. */
	return length == 0 || (bytes[0] == PRO__PATTERN && memcmp(bytes, bytes + 1, length - 1) == 0);
}

static void mark_read(const struct pro_buffer *buffer)
{
	const size_t begin = smaller(buffer->length, BEGIN_BYTES);
	const size_t end = smaller(buffer->length - begin, END_BYTES);
	unsigned char *bytes = buffer->base;

	memset(bytes, PRO__PATTERN, begin);
	memset(bytes + buffer->length - end, PRO__PATTERN, end);
}

static bool is_marked(const struct pro_buffer *buffer)
{
	const size_t begin = smaller(buffer->length, BEGIN_BYTES);
	const size_t end = smaller(buffer->length - begin, END_BYTES);
	const unsigned char *bytes = buffer->base;

	return is_pattern(bytes, begin) && is_pattern(bytes + buffer->length - end, end);
}

/* ---- writing ---- */

static uint64_t sum_word(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * SUM_MULTIPLY;
	return sum ^ (sum >> 32);
}

/* Bytes in their order, so that the sum is the same on every machine. */
static uint64_t sum_bytes(uint64_t sum, const unsigned char *bytes, size_t length)
{
	for (; length >= 8; bytes += 8, length -= 8) {
		uint64_t word = 0;

		for (unsigned i = 0; i < 8; i++)
			word |= (uint64_t)bytes[i] << (8 * i);
		sum = sum_word(sum, word);
	}
	for (; length > 0; bytes++, length--)
		sum = sum_word(sum, *bytes);
	return sum;
}

static uint64_t sum_buffer(uint64_t sum, const struct pro_buffer *buffer)
{
	const size_t begin = smaller(buffer->length, BEGIN_BYTES);
	const size_t end = smaller(buffer->length - begin, END_BYTES);
	const unsigned char *bytes = buffer->base;

	if (buffer->length == 0)
		return sum;
	sum = sum_word(sum, buffer->length);
	sum = sum_bytes(sum, bytes, begin);
	return sum_bytes(sum, bytes + buffer->length - end, end);
}

static uint64_t sum_flight(const struct sim_flight *flight)
{
	const struct pro_operation *operation = flight->operation;
	uint64_t sum = 1;

	if (flight->opcode == PRO_OP_TRANSMIT_FILE) {
		sum = sum_buffer(sum, &operation->request.transmit->header);
		return sum_buffer(sum, &operation->request.transmit->trailer);
	}
	for (unsigned i = 0; i < operation->request.io.count; i++)
		sum = sum_buffer(sum, &operation->request.io.buffers[i]);
	return sum;
}

static bool is_write(const struct sim_flight *flight)
{
	switch ((enum pro_opcode)flight->opcode) {
	case PRO_OP_WRITE_STREAM:
	case PRO_OP_WRITE_FILE:
	case PRO_OP_WRITE_DGRAM:
	case PRO_OP_TRANSMIT_FILE:
		return true;
	case PRO_OP_READ_STREAM:
	case PRO_OP_READ_FILE:
	case PRO_OP_READ_DGRAM:
	case PRO_OP_ACCEPT:
	case PRO_OP_CONNECT:
	case PRO_OP_RESOLVE:
	case PRO_OP_TIMER:
		break;
	}
	return false;
}

/* ---- both ---- */

void pro__sim_mark(struct sim_flight *flight)
{
	const struct pro_operation *operation = flight->operation;

	if (is_write(flight))
		flight->sum = sum_flight(flight);
	if (!is_read(flight))
		return;
	for (unsigned i = 0; i < operation->request.io.count; i++)
		mark_read(&operation->request.io.buffers[i]);
}

void pro__sim_verify(struct sim_flight *flight)
{
	const struct pro_operation *operation = flight->operation;
	const struct sim_port *port = flight->port;

	if (is_write(flight) && flight->sum != sum_flight(flight))
		pro__sim_found(port->sim, PRO_SIM_CHECK_SEND_BUFFER,
				"%s: the bytes of a %s on handle %ld changed while it was in flight", port->name,
				operation->vtbl->name, (long)operation->handle);
	if (!is_read(flight))
		return;
	for (unsigned i = 0; i < operation->request.io.count; i++)
		if (!is_marked(&operation->request.io.buffers[i]))
			pro__sim_found(port->sim, PRO_SIM_CHECK_READ_BUFFER,
					"%s: the buffer of a %s on handle %ld was written to while it was in flight",
					port->name, operation->vtbl->name, (long)operation->handle);
}

size_t pro__sim_first_bytes(
		const struct sim_flight *flight, size_t bytes, unsigned char *first, size_t size)
{
	const struct pro_operation *operation = flight->operation;
	const struct pro_message_block *lent;
	size_t copied = 0;

	size = smaller(size, bytes);
	if (flight->opcode == PRO_OP_TRANSMIT_FILE || size == 0 ||
			(!is_read(flight) && !is_write(flight)))
		return 0;
	lent = operation->request.io.lent;
	if (operation->request.io.count == 0 && lent) {
		copied = smaller(pro_message_block_length(lent), size);
		memcpy(first, pro_message_block_rd_ptr(lent), copied);
	}
	for (unsigned i = 0; i < operation->request.io.count && copied < size; i++) {
		const struct pro_buffer *buffer = &operation->request.io.buffers[i];
		const size_t length = smaller(buffer->length, size - copied);

		memcpy(first + copied, buffer->base, length);
		copied += length;
	}
	return copied;
}
