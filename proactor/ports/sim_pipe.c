/* One direction of a connection: a bounded ring of bytes and the packets that carry them. */
#include "sim.h"

#include <assert.h>
#include <string.h>

#define RING_FIRST_BYTES 512u

size_t pro__sim_pipe_space(const struct sim_pipe *pipe)
{
	const uint64_t used = pipe->written - pipe->read;

	return used < pipe->capacity ? (size_t)(pipe->capacity - used) : 0;
}

static void copy_out(
		const struct sim_pipe *pipe, uint64_t position, unsigned char *bytes, size_t length)
{
	const size_t at = (size_t)(position & (pipe->ring_size - 1));
	const size_t first = length < pipe->ring_size - at ? length : pipe->ring_size - at;

	memcpy(bytes, pipe->ring + at, first);
	memcpy(bytes + first, pipe->ring, length - first);
}

static void copy_in(
		struct sim_pipe *pipe, uint64_t position, const unsigned char *bytes, size_t length)
{
	const size_t at = (size_t)(position & (pipe->ring_size - 1));
	const size_t first = length < pipe->ring_size - at ? length : pipe->ring_size - at;

	memcpy(pipe->ring + at, bytes, first);
	memcpy(pipe->ring, bytes + first, length - first);
}

static void pipe_grow(struct sim_pipe *pipe, size_t needed)
{
	struct sim_pipe grown = *pipe;

	grown.ring_size = pipe->ring_size ? pipe->ring_size : RING_FIRST_BYTES;
	while (grown.ring_size < needed)
		grown.ring_size *= 2;
	grown.ring = pro__sim_allocate(grown.ring_size);
	for (uint64_t at = pipe->read; at < pipe->written;) {
		unsigned char part[RING_FIRST_BYTES];
		size_t length =
				pipe->written - at < sizeof(part) ? (size_t)(pipe->written - at) : sizeof(part);

		copy_out(pipe, at, part, length);
		copy_in(&grown, at, part, length);
		at += length;
	}
	pro__sim_free(pipe->ring);
	*pipe = grown;
}

void pro__sim_pipe_put(struct sim_pipe *pipe, const unsigned char *bytes, size_t length)
{
	const size_t needed = (size_t)(pipe->written - pipe->read) + length;

	assert(length > 0);
	if (needed > pipe->ring_size)
		pipe_grow(pipe, needed);
	copy_in(pipe, pipe->written, bytes, length);
	pipe->written += length;
}

void pro__sim_pipe_get(struct sim_pipe *pipe, unsigned char *bytes, size_t length)
{
	assert(length > 0);
	copy_out(pipe, pipe->read, bytes, length);
	pipe->read += length;
}

static struct sim_segment *last_segment(struct sim_pipe *pipe)
{
	return &pipe->segments[(pipe->first_segment + pipe->segments_count - 1) % SIM_SEGMENTS];
}

uint64_t pro__sim_pipe_last_ns(const struct sim_pipe *pipe)
{
	if (pipe->segments_count == 0)
		return 0;
	return pipe->segments[(pipe->first_segment + pipe->segments_count - 1) % SIM_SEGMENTS].time_ns;
}

void pro__sim_pipe_send(struct sim_pipe *pipe, uint64_t time_ns)
{
	struct sim_segment *segment;

	if (time_ns < pro__sim_pipe_last_ns(pipe))
		time_ns = pro__sim_pipe_last_ns(pipe);
	if (pipe->segments_count < SIM_SEGMENTS)
		pipe->segments_count++;
	segment = last_segment(pipe);
	segment->end = pipe->written;
	segment->time_ns = time_ns;
}

static uint64_t earlier(uint64_t left, uint64_t right)
{
	return left < right ? left : right;
}

uint64_t pro__sim_pipe_arrive(struct sim_pipe *pipe, uint64_t now_ns)
{
	uint64_t next_ns;

	while (pipe->segments_count > 0 && pipe->segments[pipe->first_segment].time_ns <= now_ns) {
		pipe->arrived = pipe->segments[pipe->first_segment].end;
		pipe->first_segment = (pipe->first_segment + 1) % SIM_SEGMENTS;
		pipe->segments_count--;
	}
	next_ns = pipe->segments_count > 0 ? pipe->segments[pipe->first_segment].time_ns : UINT64_MAX;
	if (pipe->segments_count == 0 && pipe->end_ns <= now_ns) {
		pipe->has_end = true;
		pipe->end_ns = UINT64_MAX;
	}
	return earlier(next_ns, earlier(pipe->end_ns, pipe->reset_ns));
}

void pro__sim_pipe_clear(struct sim_pipe *pipe)
{
	pro__sim_free(pipe->ring);
	pipe->ring = NULL;
	pipe->ring_size = 0;
	pipe->read = pipe->arrived = pipe->written;
	pipe->segments_count = 0;
}
