/* Connected streams: windows, latency, half-closes, resets. */
#include "sim.h"

#include <assert.h>
#include <string.h>

#define SMALL_BUFFER_MAX 256u
/* More ends in a row than that are a loop. */
#define ENDS_MAX 256u

#define CLOG_MAX_NS      UINT64_C(5000000000)
#define PARTITION_MAX_NS UINT64_C(10000000000)

static struct sim_stream *stream_of(struct sim_object *object)
{
	return &object->as.stream;
}

static const struct sim_stream *const_stream_of(const struct sim_object *object)
{
	return &object->as.stream;
}

void pro__sim_stream_init(struct sim_object *object)
{
	struct pro_sim *sim = object->sim;
	struct sim_stream *stream = stream_of(object);
	size_t bytes = sim->options.buffer_bytes;

	if (pro__sim_strikes(sim, PRO_SIM_SMALL_BUFFERS))
		bytes = 2 + (size_t)pro__sim_fault_below(sim, PRO_SIM_SMALL_BUFFERS, SMALL_BUFFER_MAX - 1);
	stream->send_bytes = bytes / 2;
	stream->receive_bytes = bytes - bytes / 2;
	stream->in.end_ns = UINT64_MAX;
	stream->in.reset_ns = UINT64_MAX;
	stream->in.event_ns = UINT64_MAX;
}

void pro__sim_stream_set_capacity(struct sim_object *object)
{
	struct sim_stream *stream = stream_of(object);
	struct sim_object *peer = stream->peer;

	if (!peer)
		return;
	stream->in.capacity = stream->receive_bytes + stream_of(peer)->send_bytes;
	stream_of(peer)->in.capacity = stream_of(peer)->receive_bytes + stream->send_bytes;
	pro__sim_kick(object, &object->writers);
	pro__sim_kick(peer, &peer->writers);
}

void pro__sim_stream_join(struct sim_object *left, struct sim_object *right)
{
	stream_of(left)->peer = right;
	stream_of(right)->peer = left;
	stream_of(left)->is_connected = stream_of(right)->is_connected = true;
	pro__sim_stream_set_capacity(left);
}

/* ---- packets ---- */

static void schedule_arrival(struct sim_object *object, uint64_t time_ns)
{
	struct sim_pipe *in = &stream_of(object)->in;

	if (time_ns >= in->event_ns)
		return;
	in->event_ns = time_ns;
	pro__sim_schedule(object->sim, time_ns, SIM_EVENT_ARRIVAL, &object->slot);
}

static uint64_t later(uint64_t left, uint64_t right)
{
	return left > right ? left : right;
}

/* Until when nothing passes to this end. */
static uint64_t clogged_until(const struct sim_object *object)
{
	const struct sim_object *peer = const_stream_of(object)->peer;
	const struct sim_port *from = peer->port;
	uint64_t until_ns = const_stream_of(object)->in.clogged_until_ns;

	if (from && object->port)
		until_ns = later(until_ns, object->sim->clogged_until_ns[from->id][object->port->id]);
	return until_ns;
}

static void send_reset(struct sim_object *to)
{
	struct sim_pipe *in = &stream_of(to)->in;
	struct pro_sim *sim = to->sim;

	if (in->reset_ns != UINT64_MAX || stream_of(to)->is_reset)
		return;
	in->reset_ns = later(pro__sim_now(sim) + pro__sim_latency(sim), pro__sim_pipe_last_ns(in));
	schedule_arrival(to, in->reset_ns);
}

/* Bytes for a handle that is closed: they are answered by a reset. */
static void discard(struct sim_object *object)
{
	struct sim_stream *stream = stream_of(object);

	if (stream->in.arrived == stream->in.read)
		return;
	stream->in.read = stream->in.arrived;
	if (!stream_of(stream->peer)->is_closed)
		send_reset(stream->peer);
}

/* What is under way to an end that was reset is lost. */
static void lose_packets(struct sim_pipe *in)
{
	in->written = in->arrived;
	in->segments_count = 0;
	in->end_ns = in->reset_ns = UINT64_MAX;
}

/* The connection breaks for this end, now. */
static void stream_break(struct sim_object *object)
{
	struct sim_stream *stream = stream_of(object);

	stream->is_reset = true;
	pro__sim_trace(object->sim, SIM_TRACE_RESET, object->port, object->number, 0, 0, 0);
	/* Some systems keep what came before the reset, some throw it away. */
	if (pro__sim_coin(object->sim))
		stream->in.read = stream->in.arrived;
	lose_packets(&stream->in);
	pro__sim_kick(object, &object->readers);
	pro__sim_kick(object, &object->writers);
}

void pro__sim_stream_reset(struct sim_object *object)
{
	struct sim_object *peer = stream_of(object)->peer;

	send_reset(object);
	if (!stream_of(peer)->is_closed)
		send_reset(peer);
}

void pro__sim_stream_arrival(struct sim_object *object, uint64_t time_ns)
{
	struct sim_stream *stream = stream_of(object);
	struct sim_pipe *in = &stream->in;
	const uint64_t now_ns = pro__sim_now(object->sim);
	uint64_t until_ns = clogged_until(object);
	uint64_t next_ns;

	if (time_ns != in->event_ns)
		return;
	in->event_ns = UINT64_MAX;
	if (stream->is_reset) {
		lose_packets(in);
		return;
	}
	if (until_ns > now_ns) {
		if (until_ns != UINT64_MAX)
			schedule_arrival(object, until_ns);
		return;
	}
	next_ns = pro__sim_pipe_arrive(in, now_ns);
	pro__sim_trace(object->sim, in->has_end ? SIM_TRACE_END : SIM_TRACE_ARRIVAL, object->port,
			object->number, 0, 0, in->arrived - in->read);
	if (in->reset_ns <= now_ns) {
		stream_break(object);
		return;
	}
	if (next_ns != UINT64_MAX)
		schedule_arrival(object, later(next_ns, now_ns + 1));
	if (stream->is_closed)
		discard(object);
	pro__sim_kick(object, &object->readers);
}

void pro__sim_stream_resume(struct sim_object *object)
{
	struct sim_pipe *in = &stream_of(object)->in;
	const uint64_t now_ns = pro__sim_now(object->sim);

	if (in->segments_count > 0 || in->end_ns != UINT64_MAX || in->reset_ns != UINT64_MAX)
		schedule_arrival(object, now_ns + pro__sim_latency(object->sim));
}

/* ---- reading ---- */

bool pro__sim_stream_is_readable(const struct sim_object *object)
{
	const struct sim_stream *stream = const_stream_of(object);

	return stream->in.arrived > stream->in.read || stream->in.has_end || stream->is_reset ||
		   !stream->is_connected;
}

/* What a read tells when there are no bytes and will be none. */
static void read_end(struct sim_flight *flight, struct sim_result *result)
{
	struct sim_object *object = flight->object;
	struct sim_stream *stream = stream_of(object);

	if (!stream->is_connected)
		result->error = PRO_ENOTCONN;
	else if (stream->is_reset && !stream->is_reset_told)
		result->error = PRO_ECONNRESET;
	else
		result->error = PRO_EOF;
	assert(!stream->is_connected || stream->is_reset || stream->in.has_end);
	stream->is_reset_told = stream->is_reset;
	if (++stream->ends_read == ENDS_MAX)
		pro__sim_found(object->sim, PRO_SIM_CHECK_END_LOOP,
				"%s reads the end of handle %ld for the %uth time", flight->port->name,
				(long)object->number, ENDS_MAX);
}

static size_t limit_read(struct pro_sim *sim, size_t length)
{
	if (length > 1 && pro__sim_strikes(sim, PRO_SIM_SHORT_READ))
		return 1 + (size_t)pro__sim_fault_below(sim, PRO_SIM_SHORT_READ, length - 1);
	return length;
}

static void scatter(struct sim_pipe *in, const struct pro_buffer *buffers, size_t length)
{
	for (; length > 0; buffers++) {
		size_t part = buffers->length < length ? buffers->length : length;

		pro__sim_pipe_get(in, buffers->base, part);
		length -= part;
	}
}

/* False: there is no block to be had, the flight starves. */
static bool read_lent(struct sim_flight *flight, size_t length, struct sim_result *result)
{
	struct pro_operation *operation = flight->operation;
	struct pro_lent_pool *pool = pro__lent_pool(flight->port->proactor);
	struct pro_message_block *block;
	size_t block_size;
	unsigned count;

	/* Without memory nobody holds a block whose return could be waited for. */
	if (!pro__lent_pool_memory(pool, &block_size, &count)) {
		result->error = PRO_ENOMEM;
		return true;
	}
	block = pro__lent_pool_take(pool);
	if (!block) {
		pro__sim_starve(flight);
		return false;
	}
	if (length > pro__borrowed_length(operation, block->size))
		length = pro__borrowed_length(operation, block->size);
	pro__sim_pipe_get(&stream_of(flight->object)->in, block->base, length);
	block->wr = length;
	operation->request.io.lent = block;
	result->bytes = length;
	return true;
}

bool pro__sim_try_read_stream(struct sim_flight *flight, struct sim_result *result)
{
	struct sim_object *object = flight->object;
	struct sim_stream *stream = stream_of(object);
	struct pro_operation *operation = flight->operation;
	size_t length = (size_t)(stream->in.arrived - stream->in.read);
	size_t wanted;

	if (length == 0) {
		read_end(flight, result);
		return true;
	}
	stream->ends_read = 0;
	if (operation->flags & PRO__BORROWS) {
		if (!read_lent(flight, limit_read(object->sim, length), result))
			return false;
	} else {
		wanted = pro__sim_total(operation->request.io.buffers, operation->request.io.count);
		result->bytes = limit_read(object->sim, length < wanted ? length : wanted);
		scatter(&stream->in, operation->request.io.buffers, result->bytes);
	}
	if (!stream_of(stream->peer)->is_closed)
		pro__sim_kick(stream->peer, &stream->peer->writers);
	return true;
}

/* ---- writing ---- */

bool pro__sim_stream_is_writable(const struct sim_object *object)
{
	const struct sim_stream *stream = const_stream_of(object);

	if (!stream->is_connected)
		return false;
	if (stream->is_reset || stream->is_write_ended)
		return true;
	return pro__sim_pipe_space(&const_stream_of(stream->peer)->in) > 0;
}

int pro__sim_stream_write_error(struct sim_stream *stream)
{
	if (stream->is_reset && !stream->is_reset_told) {
		stream->is_reset_told = true;
		return PRO_ECONNRESET;
	}
	return stream->is_reset || stream->is_write_ended ? PRO_EPIPE : 0;
}

/* What the network does to a connection by chance, drawn whenever something is sent. */
static void network_faults(struct sim_object *object)
{
	struct pro_sim *sim = object->sim;
	struct sim_object *peer = stream_of(object)->peer;
	const uint64_t now_ns = pro__sim_now(sim);

	if (pro__sim_strikes(sim, PRO_SIM_CLOG))
		stream_of(peer)->in.clogged_until_ns =
				now_ns + pro__sim_fault_below(sim, PRO_SIM_CLOG, CLOG_MAX_NS);
	if (pro__sim_strikes(sim, PRO_SIM_PARTITION) && peer->port && object->port) {
		uint64_t until_ns = now_ns + pro__sim_fault_below(sim, PRO_SIM_PARTITION, PARTITION_MAX_NS);

		sim->clogged_until_ns[object->port->id][peer->port->id] = until_ns;
		sim->clogged_until_ns[peer->port->id][object->port->id] = until_ns;
	}
	if (pro__sim_strikes(sim, PRO_SIM_RESET))
		pro__sim_stream_reset(object);
}

void pro__sim_stream_send(struct sim_object *object)
{
	struct pro_sim *sim = object->sim;
	struct sim_object *peer = stream_of(object)->peer;
	struct sim_pipe *out = &stream_of(peer)->in;

	pro__sim_pipe_send(out, pro__sim_now(sim) + pro__sim_latency(sim));
	schedule_arrival(peer, out->segments[out->first_segment].time_ns);
	network_faults(object);
}

size_t pro__sim_stream_limit(struct pro_sim *sim, size_t length)
{
	if (length > 1 && pro__sim_strikes(sim, PRO_SIM_SHORT_WRITE))
		return 1 + (size_t)pro__sim_fault_below(sim, PRO_SIM_SHORT_WRITE, length - 1);
	return length;
}

bool pro__sim_try_write_stream(struct sim_flight *flight, struct sim_result *result)
{
	struct sim_object *object = flight->object;
	struct sim_stream *stream = stream_of(object);
	const struct pro_buffer *buffers = flight->operation->request.io.buffers;
	size_t wanted = pro__sim_total(buffers, flight->operation->request.io.count);
	size_t space;

	result->error = pro__sim_stream_write_error(stream);
	if (result->error)
		return true;
	space = pro__sim_pipe_space(&stream_of(stream->peer)->in);
	if (space == 0)
		return false;
	result->bytes = pro__sim_stream_limit(object->sim, wanted < space ? wanted : space);
	for (size_t left = result->bytes; left > 0; buffers++) {
		size_t part = buffers->length < left ? buffers->length : left;

		pro__sim_pipe_put(&stream_of(stream->peer)->in, buffers->base, part);
		left -= part;
	}
	pro__sim_stream_send(object);
	return true;
}

/* ---- ends ---- */

static void send_end(struct sim_object *object)
{
	struct pro_sim *sim = object->sim;
	struct sim_object *peer = stream_of(object)->peer;
	struct sim_pipe *out;

	if (stream_of(peer)->is_closed || stream_of(object)->is_write_ended)
		return;
	stream_of(object)->is_write_ended = true;
	out = &stream_of(peer)->in;
	out->end_ns = later(pro__sim_now(sim) + pro__sim_latency(sim), pro__sim_pipe_last_ns(out));
	schedule_arrival(peer, out->end_ns);
}

int pro__sim_stream_shutdown(struct sim_object *object)
{
	struct sim_stream *stream = stream_of(object);

	if (!stream->is_connected || stream->is_reset)
		return PRO_ENOTCONN;
	send_end(object);
	stream->is_write_ended = true;
	pro__sim_kick(object, &object->writers);
	return 0;
}

/* Bytes that came and nobody read are answered by a reset, as every TCP does, and so is a wish for
 * one: what was sent and is under way may be lost then. */
static void close_with_reset(struct sim_object *object)
{
	struct sim_object *peer = stream_of(object)->peer;
	struct sim_pipe *out = &stream_of(peer)->in;

	if (pro__sim_coin(object->sim)) {
		out->written = out->arrived;
		out->segments_count = 0;
		/* The end comes behind the last byte or not at all. */
		out->end_ns = UINT64_MAX;
	}
	send_reset(peer);
}

void pro__sim_stream_close(struct sim_object *object)
{
	struct sim_stream *stream = stream_of(object);
	struct sim_object *peer = stream->peer;
	const bool has_unread = stream->in.arrived > stream->in.read;

	stream->is_closed = true;
	if (!peer || stream_of(peer)->is_closed || stream->is_reset)
		return;
	if (stream->resets_on_close || has_unread)
		close_with_reset(object);
	else
		send_end(object);
	stream->in.read = stream->in.arrived;
	/* Nobody waits for space any more: what comes is thrown away. */
	pro__sim_kick(peer, &peer->writers);
}

static bool is_gone(const struct sim_object *object)
{
	return const_stream_of(object)->is_closed && object->number == PRO_INVALID_HANDLE;
}

void pro__sim_stream_forget(struct sim_object *object)
{
	struct sim_object *peer = stream_of(object)->peer;

	pro__sim_unqueue(object);
	if (!peer) {
		pro__sim_object_free(object);
		return;
	}
	if (!is_gone(peer))
		return;
	pro__sim_object_free(peer);
	pro__sim_object_free(object);
}
