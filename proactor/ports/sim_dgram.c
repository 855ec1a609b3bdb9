/* Datagrams of a simulated world: lost, doubled, overtaken. */
#include "sim.h"

#include <assert.h>
#include <string.h>

/* What a socket holds of datagrams that nobody has read; more are lost. */
#define QUEUE_BYTES  (256u * 1024)
#define DATAGRAM_MAX 65507u
#define OVERHEAD     256u /* that each counts for */
#define OVERTAKEN_NS UINT64_C(50000000)

static struct sim_datagram *datagram_of(struct pro_list_node *node)
{
	return pro_container_of(node, struct sim_datagram, link);
}

static void datagram_free(struct pro_sim *sim, struct sim_datagram *datagram)
{
	pro__sim_free(datagram->bytes);
	pro__sim_pool_give(&sim->datagrams, datagram);
}

static struct sim_object *find_socket(struct pro_sim *sim, const struct pro_addr *addr)
{
	struct pro_list_node *node;

	for (node = sim->dgrams.next; node != &sim->dgrams; node = node->next) {
		struct sim_object *object = pro_container_of(node, struct sim_object, as.dgram.link);

		if (pro_addr_equal(&object->local, addr) ||
				(object->as.dgram.is_any && pro_addr_port(addr) != 0 &&
						pro_addr_port(&object->local) == pro_addr_port(addr)))
			return object;
	}
	return NULL;
}

static bool is_any_addr(const struct pro_addr *addr)
{
	struct pro_addr any;

	pro_addr_parse(&any, pro_addr_family(addr) == PRO_FAMILY_INET6 ? "[::]:0" : "0.0.0.0:0");
	pro_addr_set_port(&any, pro_addr_port(addr));
	return pro_addr_equal(addr, &any);
}

static int choose_addr(struct sim_port *port, enum pro_family family, const struct pro_addr *local,
		struct pro_addr *addr)
{
	const bool is_bound = local && pro_addr_family(local) != PRO_FAMILY_NONE;

	if (is_bound)
		*addr = *local;
	else if (family == PRO_FAMILY_INET)
		pro_addr_parse(addr, "0.0.0.0:0");
	else if (family == PRO_FAMILY_INET6)
		pro_addr_parse(addr, "[::]:0");
	else if (family == PRO_FAMILY_UNIX)
		pro__sim_unnamed_addr(addr);
	else
		return PRO_EINVAL;
	if (pro_addr_family(addr) == PRO_FAMILY_UNIX)
		return is_bound && find_socket(port->sim, addr) ? PRO_EADDRINUSE : 0;
	if (pro_addr_port(addr) == 0)
		pro_addr_set_port(addr, pro__sim_free_port(port->sim));
	return find_socket(port->sim, addr) ? PRO_EADDRINUSE : 0;
}

int pro__sim_dgram(struct pro_port *pro_port, enum pro_family family, const struct pro_addr *local,
		pro_handle *handle)
{
	struct sim_port *port = pro__sim_port_of(pro_port);
	struct sim_object *object;
	struct pro_addr addr;
	int error = choose_addr(port, family, local, &addr);

	*handle = PRO_INVALID_HANDLE;
	if (error)
		return error;
	object = pro__sim_object_make(port, SIM_DGRAM);
	object->local = addr;
	object->as.dgram.is_any = is_any_addr(&addr);
	pro__list_init(&object->as.dgram.queue);
	pro__list_append(&port->sim->dgrams, &object->as.dgram.link);
	error = pro__sim_number_take(port, object);
	if (error)
		pro__sim_object_free(object);
	else
		*handle = object->number;
	return error;
}

void pro__sim_dgram_close(struct sim_object *object)
{
	struct sim_dgram *dgram = &object->as.dgram;

	pro__list_remove(&dgram->link);
	while (!pro__list_is_empty(&dgram->queue)) {
		struct sim_datagram *datagram = datagram_of(dgram->queue.next);

		pro__list_remove(&datagram->link);
		datagram_free(object->sim, datagram);
	}
}

/* ---- on the way ---- */

static void send_copy(struct sim_flight *flight, const struct pro_addr *to, uint64_t time_ns)
{
	const struct pro_operation *operation = flight->operation;
	const struct sim_object *object = flight->object;
	struct pro_sim *sim = object->sim;
	struct sim_datagram *datagram = pro__sim_pool_take(&sim->datagrams);
	size_t at = 0;

	datagram->to = *to;
	datagram->from = object->local;
	if (object->as.dgram.is_any)
		pro__sim_own_addr(flight->port, to, &datagram->from);
	if (pro_addr_family(&datagram->from) != PRO_FAMILY_UNIX)
		pro_addr_set_port(&datagram->from, pro_addr_port(&object->local));
	datagram->sender = flight->port;
	datagram->length = pro__sim_total(operation->request.io.buffers, operation->request.io.count);
	datagram->bytes = pro__sim_allocate(datagram->length + 1);
	for (unsigned i = 0; i < operation->request.io.count; i++) {
		const struct pro_buffer *buffer = &operation->request.io.buffers[i];

		memcpy(datagram->bytes + at, buffer->base, buffer->length);
		at += buffer->length;
	}
	pro__sim_schedule(sim, time_ns, SIM_EVENT_DATAGRAM, &datagram->slot);
}

bool pro__sim_try_write_dgram(struct sim_flight *flight, struct sim_result *result)
{
	const struct pro_operation *operation = flight->operation;
	const struct pro_addr *to = operation->request.io.address;
	struct pro_sim *sim = flight->port->sim;
	const size_t length =
			pro__sim_total(operation->request.io.buffers, operation->request.io.count);
	uint64_t time_ns = pro__sim_now(sim) + pro__sim_latency(sim);

	if (!to || pro_addr_family(to) == PRO_FAMILY_NONE)
		result->error = PRO_EDESTADDRREQ;
	else if (length > DATAGRAM_MAX)
		result->error = PRO_EMSGSIZE;
	if (result->error)
		return true;
	result->bytes = length;
	if (pro__sim_strikes(sim, PRO_SIM_DGRAM_ORDER))
		time_ns += pro__sim_fault_below(sim, PRO_SIM_DGRAM_ORDER, OVERTAKEN_NS);
	if (pro__sim_strikes(sim, PRO_SIM_DGRAM_TWICE))
		send_copy(flight, to, time_ns + pro__sim_latency(sim));
	if (!pro__sim_strikes(sim, PRO_SIM_DGRAM_LOSS))
		send_copy(flight, to, time_ns);
	return true;
}

void pro__sim_datagram_due(struct pro_sim *sim, struct sim_datagram *datagram)
{
	struct sim_object *object = find_socket(sim, &datagram->to);
	struct sim_dgram *dgram = object ? &object->as.dgram : NULL;
	const size_t cost = datagram->length + OVERHEAD;

	if (!dgram || object->is_closing || pro__sim_is_cut(sim, datagram->sender, object->port) ||
			dgram->queued_bytes + cost > QUEUE_BYTES) {
		datagram_free(sim, datagram);
		return;
	}
	dgram->queued_bytes += cost;
	pro__list_append(&dgram->queue, &datagram->link);
	pro__sim_trace(sim, SIM_TRACE_ARRIVAL, object->port, object->number, 0, 0, datagram->length);
	pro__sim_kick(object, &object->readers);
}

bool pro__sim_try_read_dgram(struct sim_flight *flight, struct sim_result *result)
{
	struct pro_operation *operation = flight->operation;
	struct sim_dgram *dgram = &flight->object->as.dgram;
	struct sim_datagram *datagram;

	/* It was ready, and nobody else reads. */
	assert(!pro__list_is_empty(&dgram->queue));
	datagram = datagram_of(dgram->queue.next);
	pro__list_remove(&datagram->link);
	dgram->queued_bytes -= datagram->length + OVERHEAD;
	for (unsigned i = 0; i < operation->request.io.count; i++) {
		const struct pro_buffer *buffer = &operation->request.io.buffers[i];
		size_t left = datagram->length - result->bytes;
		size_t part = buffer->length < left ? buffer->length : left;

		if (part > 0)
			memcpy(buffer->base, datagram->bytes + result->bytes, part);
		result->bytes += part;
	}
	if (result->bytes < datagram->length)
		result->error = PRO_EMSGSIZE;
	*operation->request.io.address = datagram->from;
	datagram_free(flight->port->sim, datagram);
	return true;
}
