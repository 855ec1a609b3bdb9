/* What is known of the course of a simulated world: traces, their sum, and mistakes that were
 * found. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../lent_pool.h"

/* Connections that wait longer with nobody accepting. */
#define DEAF_NS UINT64_C(5000000000)

#define HASH_MULTIPLY UINT64_C(0x9FB21C651E98DF25)
#define LINE_MAX_     200

/* Operations in flight that are told of, and handles without any. */
#define WAITING_MAX 12u

/* ---- traces ---- */

static const char *const opcode_texts[PRO_OPCODE_COUNT] = {
		[PRO_OP_READ_STREAM] = "read_stream",
		[PRO_OP_WRITE_STREAM] = "write_stream",
		[PRO_OP_READ_FILE] = "read_file",
		[PRO_OP_WRITE_FILE] = "write_file",
		[PRO_OP_READ_DGRAM] = "read_dgram",
		[PRO_OP_WRITE_DGRAM] = "write_dgram",
		[PRO_OP_ACCEPT] = "accept",
		[PRO_OP_CONNECT] = "connect",
		[PRO_OP_TRANSMIT_FILE] = "transmit_file",
		[PRO_OP_RESOLVE] = "resolve",
		[PRO_OP_TIMER] = "timer",
};

static const char *const kind_texts[] = {
		[SIM_TRACE_START] = "start",
		[SIM_TRACE_COMPLETE] = "complete",
		[SIM_TRACE_CANCEL] = "cancel",
		[SIM_TRACE_CLOSE] = "close",
		[SIM_TRACE_ARRIVAL] = "bytes arrive",
		[SIM_TRACE_END] = "the end arrives",
		[SIM_TRACE_RESET] = "a reset arrives",
		[SIM_TRACE_FAULT] = "fault",
		[SIM_TRACE_WAITS] = "waits for",
		[SIM_TRACE_IDLE] = "has nothing in flight",
};

void pro__sim_name_port(struct sim_port *port, const char *name)
{
	struct sim_log *log = port->sim->log;

	snprintf(port->name, sizeof(port->name), "%s", name);
	memcpy(log->names[port->id], port->name, sizeof(port->name));
}

/* The first bytes of a transfer, as C writes them. */
static void format_first(const struct sim_trace *trace, char *text, size_t size)
{
	char *at = text;

	/* Each takes four characters at most. */
	for (unsigned i = 0; i < trace->kept && (size_t)(at - text) + 8 < size; i++) {
		const unsigned char byte = trace->first[i];

		if (byte == '\n' || byte == '"' || byte == '\\')
			at += snprintf(at, 5, "\\%c", byte == '\n' ? 'n' : byte);
		else
			at += snprintf(at, 5, byte >= ' ' && byte < 127 ? "%c" : "\\x%02x", byte);
	}
	*at = '\0';
}

static void format_complete(const struct sim_trace *trace, char *line, size_t size)
{
	const uint64_t bytes = trace->bytes & UINT32_MAX;
	char first[4 * SIM_TRACE_BYTES + 8];
	size_t length;

	snprintf(line, size, " %s on %ld: %s, %llu bytes", opcode_texts[trace->opcode],
			(long)trace->handle, pro_error_name(trace->error), (unsigned long long)bytes);
	length = strlen(line);
	if (trace->kept == 0)
		return;
	format_first(trace, first, sizeof(first));
	snprintf(line + length, size - length, " \"%s\"%s", first, bytes > trace->kept ? "..." : "");
}

static void format_trace(
		const struct sim_log *log, const struct sim_trace *trace, char *line, size_t size)
{
	const enum sim_trace_kind kind = (enum sim_trace_kind)trace->kind;
	const uint64_t us = (trace->now_ns - UINT64_C(1000000000000)) / 1000;
	size_t length;

	snprintf(line, size, "%8llu %6llu.%06llu s  %-8s %s", (unsigned long long)trace->step,
			(unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000),
			trace->port < PRO_SIM_PROACTORS_MAX ? log->names[trace->port] : "", kind_texts[kind]);
	length = strlen(line);
	line += length;
	size -= length;
	if (kind == SIM_TRACE_FAULT)
		snprintf(line, size, " %s", pro_sim_fault_text((enum pro_sim_fault)trace->opcode));
	else if (kind == SIM_TRACE_COMPLETE)
		format_complete(trace, line, size);
	else if (kind == SIM_TRACE_START || kind == SIM_TRACE_CANCEL || kind == SIM_TRACE_WAITS)
		snprintf(line, size, " %s on %ld", opcode_texts[trace->opcode], (long)trace->handle);
	else if (kind == SIM_TRACE_ARRIVAL)
		snprintf(line, size, " on %ld, %llu unread", (long)trace->handle,
				(unsigned long long)trace->bytes);
	else
		snprintf(line, size, " on %ld", (long)trace->handle);
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * HASH_MULTIPLY;
	return hash ^ (hash >> 29);
}

static void log_event(struct pro_sim *sim, struct sim_trace event)
{
	char line[LINE_MAX_];

	event.step = sim->steps;
	event.now_ns = pro__sim_now(sim);
	sim->hash = mix(sim->hash, event.now_ns);
	sim->hash = mix(sim->hash, event.bytes);
	sim->hash = mix(sim->hash,
			(uint64_t)(uint32_t)event.handle << 32 | (uint64_t)(uint8_t)-event.error << 24 |
					(uint64_t)event.kind << 16 | (uint64_t)event.port << 8 | event.opcode);
	/* The log keeps what led to a failure, not what came after it. */
	if (!pro__sim_has_failed(sim))
		sim->log->events[sim->log->count++ % SIM_TRACE] = event;
	if (!sim->options.trace)
		return;
	format_trace(sim->log, &event, line, sizeof(line));
	sim->options.trace(sim->options.trace_context, line);
}

void pro__sim_trace(struct pro_sim *sim, enum sim_trace_kind kind, const struct sim_port *port,
		pro_handle handle, unsigned opcode, int error, uint64_t bytes)
{
	log_event(sim, (struct sim_trace){
						   .bytes = bytes,
						   .handle = handle,
						   .error = error,
						   .kind = (uint8_t)kind,
						   .port = port ? (uint8_t)port->id : UINT8_MAX,
						   .opcode = (uint8_t)opcode,
				   });
}

void pro__sim_trace_end(const struct sim_flight *flight, struct sim_result result)
{
	struct sim_trace event = {
			.bytes = result.bytes + (flight->sum << 32),
			.handle = flight->operation->handle,
			.error = result.error,
			.kind = SIM_TRACE_COMPLETE,
			.port = (uint8_t)flight->port->id,
			.opcode = flight->opcode,
	};

	event.kept = (uint8_t)pro__sim_first_bytes(flight, result.bytes, event.first, SIM_TRACE_BYTES);
	log_event(flight->port->sim, event);
}

static bool is_waited_for(const struct pro_sim *sim, const struct sim_object *object)
{
	for (uint32_t i = 0; i < sim->flights.made; i++) {
		const struct sim_flight *flight = pro__sim_pool_at(&sim->flights, i);

		if (flight && flight->object == object)
			return true;
	}
	return false;
}

/* A connection that was forgotten, say. */
static void trace_idle(struct pro_sim *sim)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < sim->objects.made && count < WAITING_MAX; i++) {
		const struct sim_object *object = pro__sim_pool_at(&sim->objects, i);

		if (!object || object->number == PRO_INVALID_HANDLE || is_waited_for(sim, object))
			continue;
		pro__sim_trace(sim, SIM_TRACE_IDLE, object->port, object->number, 0, 0, 0);
		count++;
	}
}

/* The operations themselves may be gone by mistake. */
void pro__sim_trace_waiting(struct pro_sim *sim)
{
	const struct sim_flight *last = NULL;
	unsigned count = 0;

	if (pro__sim_has_failed(sim))
		return;
	trace_idle(sim);
	for (uint32_t i = 0; i < sim->flights.made && count < WAITING_MAX; i++) {
		const struct sim_flight *flight = pro__sim_pool_at(&sim->flights, i);

		/* The accepts of a listener are told of once. */
		if (!flight || flight->is_lost ||
				(last && last->object == flight->object && last->opcode == flight->opcode))
			continue;
		pro__sim_trace(sim, SIM_TRACE_WAITS, flight->port,
				flight->object ? flight->object->number : PRO_INVALID_HANDLE, flight->opcode, 0, 0);
		last = flight;
		count++;
	}
}

void pro__sim_format_log(const struct sim_log *log, char *text, size_t size)
{
	uint64_t at = log->count > SIM_TRACE ? log->count - SIM_TRACE : 0;
	size_t used = 0;

	if (log->count - at > size / LINE_MAX_)
		at = log->count - size / LINE_MAX_;
	text[0] = '\0';
	for (; at < log->count; at++) {
		char line[LINE_MAX_];

		format_trace(log, &log->events[at % SIM_TRACE], line, sizeof(line));
		snprintf(text + used, size - used, "%s\n", line);
		used += strlen(text + used);
	}
}

char *pro_sim_events(const struct pro_sim *sim, char *text, size_t size)
{
	if (size > 0)
		pro__sim_format_log(sim->log, text, size);
	return text;
}

/* ---- failures ---- */

static void fail(struct pro_sim *sim, const char *format, va_list arguments)
{
	if (pro__sim_has_failed(sim))
		return;
	vsnprintf(sim->failure, sizeof(sim->failure), format, arguments);
	if (!pro__sim_has_failed(sim))
		snprintf(sim->failure, sizeof(sim->failure), "a check failed");
	sim->failure_step = sim->steps;
	if (sim->failed)
		sim->failed(sim->failed_context, sim);
}

void pro_sim_fail(struct pro_sim *sim, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fail(sim, format, arguments);
	va_end(arguments);
}

void pro__sim_found(struct pro_sim *sim, enum pro_sim_check_kind kind, const char *format, ...)
{
	va_list arguments;

	if (!(sim->options.checks & PRO_SIM_BIT(kind)))
		return;
	va_start(arguments, format);
	fail(sim, format, arguments);
	va_end(arguments);
}

const char *pro_sim_failure(const struct pro_sim *sim)
{
	return pro__sim_has_failed(sim) ? sim->failure : NULL;
}

uint64_t pro_sim_failure_step(const struct pro_sim *sim)
{
	return sim->failure_step;
}

/* ---- what shows over time ---- */

static void check_listener(struct sim_object *object)
{
	struct sim_listener *listener = &object->as.listener;
	const uint64_t now_ns = pro__sim_now(object->sim);

	/* A process that the world lets stand still is not deaf. */
	if (pro__list_is_empty(&listener->queue) || !pro__list_is_empty(&object->readers) ||
			object->port->is_paused) {
		listener->waiting_since_ns = 0;
		return;
	}
	if (listener->waiting_since_ns == 0)
		listener->waiting_since_ns = now_ns;
	if (now_ns - listener->waiting_since_ns > DEAF_NS)
		pro__sim_found(object->sim, PRO_SIM_CHECK_DEAF_LISTENER,
				"%s: %u connections wait at handle %ld and nobody accepts", object->port->name,
				listener->queued, (long)object->number);
}

static void check_queues(struct sim_port *port)
{
	struct pro_proactor_statistics statistics = {.size = sizeof(statistics)};
	const size_t most = port->sim->options.queued_bytes_max;

	if (most == 0)
		return;
	pro_proactor_statistics(port->proactor, &statistics);
	if (statistics.queued_bytes_peak > most)
		pro__sim_found(port->sim, PRO_SIM_CHECK_QUEUE_BOUND,
				"%s: a write stream queued %llu bytes, more than %zu", port->name,
				(unsigned long long)statistics.queued_bytes_peak, most);
}

int pro_sim_check(struct pro_sim *sim)
{
	struct pro_list_node *node;

	for (node = sim->listeners.next; node != &sim->listeners; node = node->next)
		check_listener(pro_container_of(node, struct sim_object, as.listener.link));
	for (uint32_t i = 0; i < sim->ports.made; i++) {
		struct sim_port *port = pro__sim_pool_at(&sim->ports, i);

		if (port)
			check_queues(port);
	}
	return pro__sim_has_failed(sim) ? PRO_ECANCELED : 0;
}

static const char *const object_texts[] = {
		[SIM_STREAM] = "stream",
		[SIM_LISTENER] = "listener",
		[SIM_DGRAM] = "datagram socket",
		[SIM_FILE] = "file",
};

void pro__sim_check_leaks(struct sim_port *port)
{
	struct pro_sim *sim = port->sim;
	const unsigned lent = pro__lent_pool_used(pro__lent_pool(port->proactor));

	if (lent > 0)
		pro__sim_found(
				sim, PRO_SIM_CHECK_LEAK, "%s: %u lent blocks were not released", port->name, lent);
	for (uint32_t i = 0; i < sim->objects.made; i++) {
		const struct sim_object *object = pro__sim_pool_at(&sim->objects, i);

		if (object && object->port == port && object->number != PRO_INVALID_HANDLE)
			pro__sim_found(sim, PRO_SIM_CHECK_LEAK,
					"%s: handle %ld, a %s of step %llu, was not closed", port->name,
					(long)object->number, object_texts[object->kind],
					(unsigned long long)object->opened_step);
	}
}
