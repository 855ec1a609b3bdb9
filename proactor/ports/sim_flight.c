/* Flights: the way of an operation through the simulated port, from its submission to its
 * completion. */
#include "sim.h"

#include <assert.h>
#include <string.h>

/* One in so many times a loop takes a part only of what is ready. */
#define IN_PARTS 4u

#define DELAY_MAX_NS UINT64_C(1000000000)

/* What an operation keeps of its flight. */
struct flight_mark {
	struct sim_flight *flight;
	uint32_t generation;
};

static struct flight_mark *mark_of(struct pro_operation *operation)
{
	return (struct flight_mark *)(void *)operation->port.bytes;
}

static struct sim_flight *flight_of(struct pro_operation *operation)
{
	const struct flight_mark *mark = mark_of(operation);

	assert(mark->flight->slot.is_used && mark->flight->slot.generation == mark->generation);
	assert(mark->flight->operation == operation);
	return mark->flight;
}

struct sim_flight *pro__sim_flight_make(struct sim_port *port, struct pro_operation *operation,
		struct sim_object *object, struct pro_list_node *queue)
{
	struct sim_flight *flight = pro__sim_pool_take(&port->sim->flights);

	flight->operation = operation;
	flight->opcode = operation->opcode;
	flight->port = port;
	flight->object = object;
	flight->state = SIM_WAITING;
	if (queue)
		pro__list_append(queue, &flight->link);
	*mark_of(operation) = (struct flight_mark){flight, flight->slot.generation};
	pro__sim_trace(port->sim, SIM_TRACE_START, port, operation->handle, operation->opcode, 0, 0);
	return flight;
}

/* ---- being ready ---- */

void pro__sim_make_ready(struct sim_flight *flight)
{
	struct sim_port *port = flight->port;

	if (flight->state == SIM_READY)
		return;
	if (flight->state == SIM_STARVING)
		pro__list_remove(&flight->starve_link);
	if (port->ready_count == port->ready_size) {
		port->ready_size = port->ready_size ? 2 * port->ready_size : 64;
		port->ready = pro__sim_reallocate(port->ready, port->ready_size * sizeof(*port->ready));
	}
	flight->state = SIM_READY;
	flight->ready_index = port->ready_count;
	port->ready[port->ready_count++] = flight;
	pro__sim_run_soon(port);
}

static void leave_ready(struct sim_flight *flight)
{
	struct sim_port *port = flight->port;
	struct sim_flight *last = port->ready[--port->ready_count];

	port->ready[flight->ready_index] = last;
	last->ready_index = flight->ready_index;
	flight->state = SIM_WAITING;
}

void pro__sim_delay(struct sim_flight *flight, uint64_t delay_ns)
{
	struct pro_sim *sim = flight->port->sim;

	flight->state = SIM_DELAYED;
	pro__sim_schedule(sim, pro__sim_now(sim) + delay_ns, SIM_EVENT_FLIGHT, &flight->slot);
}

void pro__sim_flight_due(struct sim_flight *flight)
{
	if (flight->state != SIM_DELAYED)
		return;
	if (flight->opcode == PRO_OP_CONNECT && !flight->is_connected && !flight->is_canceled)
		pro__sim_connect_due(flight);
	else
		pro__sim_make_ready(flight);
}

static bool is_possible(const struct sim_flight *flight)
{
	const struct sim_object *object = flight->object;

	switch ((enum pro_opcode)flight->opcode) {
	case PRO_OP_READ_STREAM:
		return pro__sim_stream_is_readable(object);
	case PRO_OP_WRITE_STREAM:
	case PRO_OP_TRANSMIT_FILE:
		return pro__sim_stream_is_writable(object);
	case PRO_OP_ACCEPT:
		return !pro__list_is_empty(&object->as.listener.queue);
	case PRO_OP_READ_DGRAM:
		return !pro__list_is_empty(&object->as.dgram.queue);
	case PRO_OP_CONNECT:
		return flight->is_connected;
	case PRO_OP_WRITE_DGRAM:
	case PRO_OP_READ_FILE:
	case PRO_OP_WRITE_FILE:
	case PRO_OP_RESOLVE:
	case PRO_OP_TIMER:
		break;
	}
	return true;
}

void pro__sim_kick(struct sim_object *object, struct pro_list_node *queue)
{
	struct pro_sim *sim = object->sim;
	struct sim_flight *flight;

	if (pro__list_is_empty(queue))
		return;
	flight = pro_container_of(queue->next, struct sim_flight, link);
	if (flight->state != SIM_WAITING || !is_possible(flight))
		return;
	if (pro__sim_strikes(sim, PRO_SIM_DELAY))
		pro__sim_delay(flight, pro__sim_fault_below(sim, PRO_SIM_DELAY, DELAY_MAX_NS));
	else
		pro__sim_make_ready(flight);
}

/* ---- its end ---- */

static void close_if_quiet(struct sim_object *object)
{
	struct pro_close_request *request = object->close_requests;

	if (!object->is_closing || object->is_ending_flights || !pro__list_is_empty(&object->readers) ||
			!pro__list_is_empty(&object->writers))
		return;
	pro__sim_number_give(object);
	if (object->kind == SIM_STREAM)
		pro__sim_stream_forget(object);
	else
		pro__sim_object_free(object);
	while (request) {
		struct pro_close_request *next = request->next;

		request->closed(request);
		request = next;
	}
}

static void flight_complete(struct sim_flight *flight, struct sim_result result)
{
	struct pro_operation *operation = flight->operation;
	struct sim_object *object = flight->object;
	struct pro_sim *sim = flight->port->sim;

	sim->completions++;
	if (flight->state == SIM_READY)
		leave_ready(flight);
	if (flight->state == SIM_STARVING)
		pro__list_remove(&flight->starve_link);
	if (pro__list_contains(&flight->link))
		pro__list_remove(&flight->link);
	pro__sim_trace_end(flight, result);
	pro__sim_pool_give(&sim->flights, flight);
	if (object && !object->is_closing) {
		pro__sim_kick(object, &object->readers);
		pro__sim_kick(object, &object->writers);
	}
	pro__operation_complete(operation, result.error, 0, result.bytes);
	/* Nothing of that closes a handle. */
	assert(!object || object->slot.is_used);
	if (object)
		close_if_quiet(object);
}

static void flight_end_canceled(struct sim_flight *flight)
{
	const struct sim_result result = {.error = PRO_ECANCELED, .bytes = flight->moved};

	pro__sim_verify(flight);
	if (flight->opcode == PRO_OP_CONNECT)
		pro__sim_connect_give_up(flight);
	flight_complete(flight, result);
}

static bool flight_try(struct sim_flight *flight, struct sim_result *result)
{
	switch ((enum pro_opcode)flight->opcode) {
	case PRO_OP_READ_STREAM:
		return pro__sim_try_read_stream(flight, result);
	case PRO_OP_WRITE_STREAM:
		return pro__sim_try_write_stream(flight, result);
	case PRO_OP_TRANSMIT_FILE:
		return pro__sim_try_transmit(flight, result);
	case PRO_OP_READ_DGRAM:
		return pro__sim_try_read_dgram(flight, result);
	case PRO_OP_WRITE_DGRAM:
		return pro__sim_try_write_dgram(flight, result);
	case PRO_OP_READ_FILE:
		return pro__sim_try_read_file(flight, result);
	case PRO_OP_WRITE_FILE:
		return pro__sim_try_write_file(flight, result);
	case PRO_OP_ACCEPT:
		return pro__sim_try_accept(flight, result);
	case PRO_OP_CONNECT:
		return pro__sim_try_connect(flight, result);
	case PRO_OP_RESOLVE:
	case PRO_OP_TIMER: /* which never comes to a port */
		break;
	}
	return pro__sim_try_resolve(flight, result);
}

static bool flight_must_cancel(const struct sim_flight *flight)
{
	if (!flight->is_canceled)
		return false;
	if (flight->is_lost || (flight->object && flight->object->is_closing))
		return true;
	return !is_possible(flight) || pro__sim_coin(flight->port->sim);
}

bool pro__sim_go_on(struct sim_flight *flight)
{
	struct sim_result result = {0};

	if (flight_must_cancel(flight)) {
		flight_end_canceled(flight);
		return true;
	}
	pro__sim_verify(flight);
	if (flight_try(flight, &result)) {
		flight_complete(flight, result);
		return true;
	}
	pro__sim_mark(flight);
	if (flight->is_canceled || flight->has_won) {
		flight_end_canceled(flight);
		return true;
	}
	if (flight->state == SIM_READY)
		leave_ready(flight);
	/* A transmission goes on as long as there is space. */
	if (flight->opcode == PRO_OP_TRANSMIT_FILE)
		pro__sim_kick(flight->object, &flight->object->writers);
	return false;
}

unsigned pro__sim_deliver(struct sim_port *port)
{
	struct pro_sim *sim = port->sim;
	uint32_t count = port->ready_count;
	unsigned ended = 0;

	if (count > 1 && pro__sim_below(sim, IN_PARTS) == 0)
		count = 1 + (uint32_t)pro__sim_below(sim, count);
	while (count-- > 0 && port->ready_count > 0)
		ended += pro__sim_go_on(port->ready[pro__sim_below(sim, port->ready_count)]);
	if (port->ready_count > 0)
		pro__sim_run_soon(port);
	return ended;
}

void pro__sim_starve(struct sim_flight *flight)
{
	struct sim_port *port = flight->port;

	leave_ready(flight);
	flight->state = SIM_STARVING;
	pro__list_append(&port->starving, &flight->starve_link);
	pro__lent_pool_starve(pro__lent_pool(port->proactor));
}

void pro__sim_feed(struct sim_port *port)
{
	if (!port->has_lent_block)
		return;
	port->has_lent_block = false;
	while (!pro__list_is_empty(&port->starving))
		pro__sim_make_ready(pro_container_of(port->starving.next, struct sim_flight, starve_link));
}

/* ---- cancels ---- */

/* Whether something has happened already that a cancel may come too late for. */
static bool may_win(const struct sim_flight *flight)
{
	if (flight->opcode == PRO_OP_CONNECT && !flight->is_connected)
		return false;
	return flight->state == SIM_READY || flight->state == SIM_DELAYED;
}

void pro__sim_cancel(struct pro_port *pro_port, struct pro_operation *operation)
{
	struct sim_flight *flight = flight_of(operation);
	struct pro_sim *sim = pro__sim_port_of(pro_port)->sim;

	if (flight->is_canceled || flight->has_won)
		return;
	pro__sim_trace(sim, SIM_TRACE_CANCEL, flight->port, operation->handle, flight->opcode, 0, 0);
	/* With a deadline of zero whatever can finish at once does. */
	if (may_win(flight) && (operation->timeout_ms == 0 || pro__sim_coin(sim))) {
		flight->has_won = true;
		pro__sim_make_ready(flight);
		return;
	}
	flight->is_canceled = true;
	if (pro__sim_coin(sim))
		flight_end_canceled(flight);
	else
		pro__sim_make_ready(flight);
}

/* ---- closing ---- */

static void close_flight(struct sim_flight *flight)
{
	struct pro_sim *sim = flight->port->sim;

	if (flight->has_won || (!flight->is_canceled && may_win(flight) && pro__sim_coin(sim))) {
		flight->has_won = true;
		pro__sim_make_ready(flight);
		pro__sim_go_on(flight);
		return;
	}
	flight->is_canceled = true;
	if (pro__sim_coin(sim))
		flight_end_canceled(flight);
	else
		pro__sim_make_ready(flight);
}

/* Completions run no callbacks, so nothing but the flight itself leaves the queue. */
static void close_queue(struct pro_list_node *queue)
{
	struct pro_list_node *next;

	for (struct pro_list_node *node = queue->next; node != queue; node = next) {
		next = node->next;
		close_flight(pro_container_of(node, struct sim_flight, link));
	}
}

void pro__sim_close_object(struct sim_object *object, struct pro_close_request *request)
{
	if (request) {
		request->next = object->close_requests;
		object->close_requests = request;
	}
	if (object->is_closing)
		return;
	object->is_closing = true;
	pro__sim_trace(object->sim, SIM_TRACE_CLOSE, object->port, object->number, 0, 0, 0);
	object->is_ending_flights = true;
	close_queue(&object->readers);
	close_queue(&object->writers);
	object->is_ending_flights = false;
	if (object->kind == SIM_STREAM)
		pro__sim_stream_close(object);
	if (object->kind == SIM_LISTENER)
		pro__sim_listener_close(object);
	close_if_quiet(object);
}

void pro__sim_close_handle(struct pro_port *pro_port, struct pro_close_request *request)
{
	struct sim_port *port = pro__sim_port_of(pro_port);
	struct sim_object *object = pro__sim_find(port->sim, request->handle);

	request->next = NULL;
	if (object && !object->is_closing) {
		pro__sim_close_object(object, request);
		return;
	}
	pro__sim_found(port->sim, PRO_SIM_CHECK_BAD_HANDLE,
			"%s closes handle %ld, which was closed at step %llu", port->name,
			(long)request->handle,
			(unsigned long long)pro__sim_closed_step(port->sim, request->handle));
	request->closed(request);
}
