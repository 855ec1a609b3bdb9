/* The simulated port: the table that the engine calls. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a look that does not wait costs of virtual time: a program that only looks gets on too. */
#define POLL_NS 1000u
/* How often a loop may look at a world in which nothing can happen any more. */
#define STALLS_MAX 100000u
/* How many times the steps of a run may be taken before it is, likewise. */
#define STEPS_BEYOND 2u

_Static_assert(sizeof(void *) + sizeof(uint32_t) <= sizeof(((struct pro_operation *)0)->port),
		"an operation has room for what the simulated port keeps in it");

static int sim_create(struct pro_proactor *proactor, const struct pro_proactor_options *options,
		struct pro_port **result, struct pro_proactor_report *report, char *why, size_t why_size)
{
	struct pro_sim *sim = options->sim;
	struct sim_port *port;
	char name[SIM_NAME_MAX];

	*result = NULL;
	if (options->is_shared || options->concurrency != 1) {
		snprintf(why, why_size, "one thread runs the loop of a simulated proactor");
		return PRO_ENOTSUP;
	}
	if (sim->ports.used >= PRO_SIM_PROACTORS_MAX) {
		snprintf(why, why_size, "%u proactors live in this world", PRO_SIM_PROACTORS_MAX);
		return PRO_EFULL;
	}
	port = pro__sim_pool_take(&sim->ports);
	port->sim = sim;
	port->proactor = proactor;
	port->id = port->slot.index;
	port->run_ns = UINT64_MAX;
	port->handles_max = sim->options.handles_max;
	pro__list_init(&port->starving);
	snprintf(name, sizeof(name), "p%u", port->id + 1);
	pro__sim_name_port(port, name);
	for (unsigned i = 0; i < PRO_SIM_PROACTORS_MAX; i++)
		sim->clogged_until_ns[port->id][i] = sim->clogged_until_ns[i][port->id] = 0;
	snprintf(report->features, sizeof(report->features), "virtual time, seed %llu",
			(unsigned long long)sim->options.seed);
	report->missing[0] = '\0';
	report->entries = 0;
	report->completion_entries = 0;
	report->buffers_max = UINT16_MAX;
	*result = (struct pro_port *)(void *)port;
	pro__sim_run_soon(port);
	return 0;
}

/* The objects of a process that has ended belong to nobody: what is under way still arrives. */
static void port_disown(struct sim_port *port)
{
	struct pro_sim *sim = port->sim;

	for (uint32_t i = 0; i < sim->objects.made; i++) {
		struct sim_object *object = pro__sim_pool_at(&sim->objects, i);

		if (!object || object->port != port)
			continue;
		if (object->number != PRO_INVALID_HANDLE)
			pro__sim_close_object(object, NULL);
	}
	for (uint32_t i = 0; i < sim->objects.made; i++) {
		struct sim_object *object = pro__sim_pool_at(&sim->objects, i);

		if (object && object->port == port)
			object->port = NULL;
	}
	for (uint32_t i = 0; i < sim->datagrams.made; i++) {
		struct sim_datagram *datagram = pro__sim_pool_at(&sim->datagrams, i);

		if (datagram && datagram->sender == port)
			datagram->sender = NULL;
	}
}

static void sim_destroy(struct pro_port *pro_port)
{
	struct sim_port *port = pro__sim_port_of(pro_port);

	if (!port->is_crashed)
		pro__sim_check_leaks(port);
	port_disown(port);
	pro__sim_free(port->ready);
	pro__sim_pool_give(&port->sim->ports, port);
}

static int sim_enter(struct pro_port *pro_port)
{
	(void)pro_port;
	return 0;
}

static void sim_wake(struct pro_port *pro_port)
{
	struct sim_port *port = pro__sim_port_of(pro_port);

	atomic_store(&port->is_woken, true);
	atomic_store(&port->sim->is_woken, true);
}

static uint64_t sim_now_ns(struct pro_port *port)
{
	return pro__sim_now(pro__sim_port_of(port)->sim);
}

static uint64_t sim_random(struct pro_port *port)
{
	return pro__sim_user_bits(pro__sim_port_of(port)->sim);
}

/* ---- waiting ---- */

static bool port_has_something(const struct sim_port *port)
{
	return port->ready_count > 0 || port->has_lent_block || port->is_woken;
}

/* The loop would wait for ever. It is ended, so that the test can tell. */
static void port_stall(struct sim_port *port)
{
	port->is_told = true;
	pro__sim_check_freed(port->sim);
	pro__sim_trace_waiting(port->sim);
	pro__sim_found(port->sim, PRO_SIM_CHECK_STALL,
			"the loop of %s waits, and nothing can happen any more", port->name);
	pro_proactor_end_event_loop(port->proactor);
}

/* A loop that drains does not heed its end. When a handler was freed too soon, say, it would never
 * return: that ends the program. */
static void port_count_stall(struct sim_port *port)
{
	const struct pro_sim *sim = port->sim;

	if (sim->events.count > 0 && sim->steps / STEPS_BEYOND <= sim->options.steps_max)
		return;
	if (++port->stalls < STALLS_MAX)
		return;
	/* Not covered: it ends the program. */
	pro__sim_found(port->sim, PRO_SIM_CHECK_STALL, "the loop of %s does not end", port->name);
	abort(); /* Not covered: it ends the program. */
}

static void port_wait(struct sim_port *port, int64_t timeout_ns)
{
	struct pro_sim *sim = port->sim;
	const uint64_t now_ns = pro__sim_now(sim);
	uint64_t limit_ns = UINT64_MAX;

	if (timeout_ns == 0)
		limit_ns = now_ns + POLL_NS;
	else if (timeout_ns > 0 && (uint64_t)timeout_ns < UINT64_MAX - now_ns)
		limit_ns = now_ns + (uint64_t)timeout_ns;
	port_count_stall(port);
	while (!port_has_something(port)) {
		if (pro__sim_advance(sim, limit_ns))
			continue;
		if (limit_ns == UINT64_MAX)
			port_stall(port);
		return;
	}
	port->stalls = 0;
}

static void sim_wait(struct pro_port *pro_port, int64_t timeout_ns, uint64_t *system_calls)
{
	struct sim_port *port = pro__sim_port_of(pro_port);
	bool is_woken;

	(void)system_calls;
	pro__sim_feed(port);
	is_woken = atomic_exchange(&port->is_woken, false);
	if (pro__sim_deliver(port) > 0 || is_woken || port->is_driven)
		return;
	/* A test that runs a loop itself gets control back after a failure. */
	if (pro__sim_has_failed(port->sim) && !port->is_told) {
		port->is_told = true;
		pro_proactor_end_event_loop(port->proactor);
		return;
	}
	port_wait(port, timeout_ns);
	port->is_woken = false;
	pro__sim_feed(port);
	pro__sim_deliver(port);
}

/* ---- the world as a foreign loop ---- */

static pro_handle sim_get_handle(struct pro_port *port)
{
	(void)port;
	return PRO_INVALID_HANDLE;
}

static void sim_arm_handle(struct pro_port *pro_port, uint64_t deadline_ns)
{
	struct sim_port *port = pro__sim_port_of(pro_port);
	const uint64_t now_ns = pro__sim_now(port->sim);

	if (deadline_ns != UINT64_MAX)
		pro__sim_run_at(port, deadline_ns > now_ns ? deadline_ns : now_ns);
}

static void sim_lent_returned(struct pro_port *pro_port, unsigned index)
{
	struct sim_port *port = pro__sim_port_of(pro_port);

	(void)index;
	port->has_lent_block = true;
	sim_wake(pro_port);
}

static bool sim_caught(struct pro_port *pro_port, const char *text)
{
	struct sim_port *port = pro__sim_port_of(pro_port);
	struct pro_sim *sim = port->sim;

	if (!(sim->options.checks & PRO_SIM_BIT(PRO_SIM_CHECK_MISUSE)))
		return false;
	if (!pro__sim_has_failed(sim))
		sim->is_misuse = true;
	pro__sim_found(sim, PRO_SIM_CHECK_MISUSE, "%s: %s", port->name, text);
	return true;
}

/* ---- sockets ---- */

static int world_pair(struct pro_port *pro_port, pro_handle handles[2])
{
	struct sim_port *port = pro__sim_port_of(pro_port);
	struct sim_object *left = pro__sim_object_make(port, SIM_STREAM);
	struct sim_object *right = pro__sim_object_make(port, SIM_STREAM);
	int error;

	handles[0] = handles[1] = PRO_INVALID_HANDLE;
	pro__sim_unnamed_addr(&left->local);
	right->local = left->remote = right->remote = left->local;
	error = pro__sim_number_take(port, left);
	if (error) {
		pro__sim_object_free(left);
		pro__sim_object_free(right);
		return error;
	}
	error = pro__sim_number_take(port, right);
	if (error) {
		pro__sim_number_give(left);
		pro__sim_object_free(left);
		pro__sim_object_free(right);
		return error;
	}
	pro__sim_stream_join(left, right);
	handles[0] = left->number;
	handles[1] = right->number;
	return 0;
}

static int world_local_addr(struct pro_port *port, pro_handle handle, struct pro_addr *addr)
{
	const struct sim_object *object = pro__sim_find(pro__sim_port_of(port)->sim, handle);

	memset(addr, 0, sizeof(*addr));
	if (!object)
		return PRO_EBADF;
	if (object->kind == SIM_FILE)
		return PRO_ENOTSOCK;
	*addr = object->local;
	return 0;
}

static int world_remote_addr(struct pro_port *port, pro_handle handle, struct pro_addr *addr)
{
	const struct sim_object *object = pro__sim_find(pro__sim_port_of(port)->sim, handle);

	memset(addr, 0, sizeof(*addr));
	if (!object)
		return PRO_EBADF;
	if (object->kind == SIM_FILE)
		return PRO_ENOTSOCK;
	if (object->kind != SIM_STREAM || !object->as.stream.is_connected || object->as.stream.is_reset)
		return PRO_ENOTCONN;
	*addr = object->remote;
	return 0;
}

static int stream_set_option(struct sim_object *object, enum pro_socket_option option, int value)
{
	struct sim_stream *stream = &object->as.stream;
	const size_t bytes = value > 0 ? (size_t)value : 1;

	switch (option) {
	case PRO_SOCKET_NODELAY:
		return pro_addr_family(&object->local) == PRO_FAMILY_UNIX ? PRO_ENOTSUP : 0;
	case PRO_SOCKET_SEND_BUFFER:
		stream->send_bytes = bytes;
		break;
	case PRO_SOCKET_RECEIVE_BUFFER:
		stream->receive_bytes = bytes;
		break;
	case PRO_SOCKET_LINGER_RESET:
		stream->resets_on_close = value != 0;
		return 0;
	case PRO_SOCKET_KEEPALIVE:
	case PRO_SOCKET_BROADCAST:
		return 0;
	}
	pro__sim_stream_set_capacity(object);
	return 0;
}

static int world_set_option(
		struct pro_port *port, pro_handle handle, enum pro_socket_option option, int value)
{
	struct sim_object *object = pro__sim_find(pro__sim_port_of(port)->sim, handle);

	if (!object)
		return PRO_EBADF;
	if (option > PRO_SOCKET_BROADCAST)
		return PRO_EINVAL;
	switch (object->kind) {
	case SIM_STREAM:
		return stream_set_option(object, option, value);
	case SIM_LISTENER:
	case SIM_DGRAM:
		return 0;
	case SIM_FILE:
		break;
	}
	return PRO_ENOTSOCK;
}

static int world_shutdown_write(struct pro_port *port, pro_handle handle)
{
	struct sim_object *object = pro__sim_find(pro__sim_port_of(port)->sim, handle);

	if (!object)
		return PRO_EBADF;
	switch (object->kind) {
	case SIM_STREAM:
		return pro__sim_stream_shutdown(object);
	case SIM_LISTENER:
	case SIM_DGRAM:
		return PRO_ENOTCONN;
	case SIM_FILE:
		break;
	}
	return PRO_ENOTSOCK;
}

static void world_close_now(struct pro_port *pro_port, pro_handle handle)
{
	struct sim_port *port = pro__sim_port_of(pro_port);
	struct sim_object *object = pro__sim_find(port->sim, handle);

	if (object) {
		pro__sim_close_object(object, NULL);
		/* To deliver what that has ended. */
		pro__sim_run_soon(port);
	} else {
		pro__sim_found(port->sim, PRO_SIM_CHECK_BAD_HANDLE,
				"%s closes handle %ld, which is not open", port->name, (long)handle);
	}
}

const struct pro_port_world pro__sim_world = {
		.listen = pro__sim_listen,
		.dgram = pro__sim_dgram,
		.pair = world_pair,
		.local_addr = world_local_addr,
		.remote_addr = world_remote_addr,
		.set_option = world_set_option,
		.shutdown_write = world_shutdown_write,
		.close_now = world_close_now,
		.file_open = pro__sim_file_open,
		.file_status = pro__sim_file_status,
		.root_open = pro__sim_root_open,
		.root_close = pro__sim_root_close,
		.root_open_file = pro__sim_root_open_file,
		.root_status = pro__sim_root_status,
		.root_list = pro__sim_root_list,
};

const struct pro_port_vtbl pro__sim_port = {
		.name = "sim",
		.create = sim_create,
		.destroy = sim_destroy,
		.enter = sim_enter,
		.submit = pro__sim_submit,
		.cancel = pro__sim_cancel,
		.close_handle = pro__sim_close_handle,
		.wait = sim_wait,
		.wake = sim_wake,
		.now_ns = sim_now_ns,
		.random = sim_random,
		.get_handle = sim_get_handle,
		.arm_handle = sim_arm_handle,
		.lent_returned = sim_lent_returned,
		.caught = sim_caught,
		.world = &pro__sim_world,
};
