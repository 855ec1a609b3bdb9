/* Listeners, connects and accepts of a simulated world. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#include "sockaddr.h"

#define EPHEMERAL_FIRST 49152u
#define EPHEMERAL_COUNT 16384u

/* A connect whose first packet is lost tries again after 1, 2, 4 … seconds. */
#define RETRY_NS        UINT64_C(1000000000)
#define RETRIES_MAX     7u
#define BACKLOG_DEFAULT 4096u

/* Fruitless accepts within a second that are no rest. */
#define FAILURES_MAX 200u

#define CONNECT_TIMEOUT_NS UINT64_C(127000000000)

/* ---- addresses ---- */

void pro__sim_unnamed_addr(struct pro_addr *addr)
{
	pro_addr_parse(addr, "unix:/");
	addr->length = (uint32_t)offsetof(struct sockaddr_un, sun_path);
	memset(addr->storage.bytes + addr->length, 0, sizeof(addr->storage.bytes) - addr->length);
}

static struct sim_object *object_of_queue(struct pro_list_node *node)
{
	return pro_container_of(node, struct sim_object, queue_link);
}

static struct sim_object *object_of_listener(struct pro_list_node *node)
{
	return pro_container_of(node, struct sim_object, as.listener.link);
}

static bool is_port_taken(const struct pro_sim *sim, uint16_t port)
{
	const struct pro_list_node *node;

	for (node = sim->listeners.next; node != &sim->listeners; node = node->next)
		if (pro_addr_port(&object_of_listener((struct pro_list_node *)(uintptr_t)node)->local) ==
				port)
			return true;
	return false;
}

uint16_t pro__sim_free_port(struct pro_sim *sim)
{
	uint16_t port;

	do
		port = (uint16_t)(EPHEMERAL_FIRST + sim->next_port++ % EPHEMERAL_COUNT);
	while (is_port_taken(sim, port));
	return port;
}

static bool is_loopback(const struct pro_addr *addr)
{
	struct pro_addr loopback;
	const char *text = pro_addr_family(addr) == PRO_FAMILY_INET6 ? "[::1]:0" : "127.0.0.1:0";

	pro_addr_parse(&loopback, text);
	return pro_addr_same_host(addr, &loopback);
}

void pro__sim_own_addr(struct sim_port *port, const struct pro_addr *like, struct pro_addr *addr)
{
	char text[PRO_ADDR_TEXT_MAX];

	switch (pro_addr_family(like)) {
	case PRO_FAMILY_INET:
		snprintf(text, sizeof(text), is_loopback(like) ? "127.0.0.1:0" : "10.0.0.%u:0",
				port->id + 1);
		break;
	case PRO_FAMILY_INET6:
		snprintf(text, sizeof(text), is_loopback(like) ? "[::1]:0" : "[fd00::%x]:0", port->id + 1);
		break;
	case PRO_FAMILY_UNIX:
	case PRO_FAMILY_NONE:
		pro__sim_unnamed_addr(addr);
		return;
	}
	pro_addr_parse(addr, text);
	pro_addr_set_port(addr, pro__sim_free_port(port->sim));
}

bool pro__sim_is_cut(
		const struct pro_sim *sim, const struct sim_port *from, const struct sim_port *to)
{
	return from && sim->clogged_until_ns[from->id][to->id] > pro__sim_now(sim);
}

/* ---- listening ---- */

static bool is_any(const struct pro_addr *addr, const char *host)
{
	struct pro_addr any;

	pro_addr_parse(&any, host);
	pro_addr_set_port(&any, pro_addr_port(addr));
	return pro_addr_equal(addr, &any);
}

static bool takes(const struct sim_object *listener, const struct pro_addr *remote)
{
	const enum pro_family family = pro_addr_family(remote);

	if (pro_addr_equal(&listener->local, remote))
		return true;
	if (family == PRO_FAMILY_UNIX || pro_addr_port(&listener->local) != pro_addr_port(remote))
		return false;
	if (listener->as.listener.is_any_inet)
		return family == PRO_FAMILY_INET;
	/* A socket bound to every address can be reached by the wildcard too. */
	return listener->as.listener.is_any_inet6 || is_any(remote, "0.0.0.0:0") ||
		   is_any(remote, "[::]:0");
}

static struct sim_object *find_listener(struct pro_sim *sim, const struct pro_addr *remote)
{
	struct pro_list_node *node;

	for (node = sim->listeners.next; node != &sim->listeners; node = node->next) {
		struct sim_object *listener = object_of_listener(node);

		if (takes(listener, remote))
			return listener;
	}
	return NULL;
}

int pro__sim_listen(struct pro_port *pro_port, const struct pro_addr *local, unsigned backlog,
		pro_handle *handle)
{
	struct sim_port *port = pro__sim_port_of(pro_port);
	struct pro_sim *sim = port->sim;
	struct sim_object *object;
	struct pro_addr addr = *local;
	int error;

	*handle = PRO_INVALID_HANDLE;
	if (pro_addr_family(local) == PRO_FAMILY_NONE)
		return PRO_EINVAL;
	if (pro_addr_family(local) != PRO_FAMILY_UNIX && pro_addr_port(local) == 0)
		pro_addr_set_port(&addr, pro__sim_free_port(sim));
	else if (find_listener(sim, local))
		return PRO_EADDRINUSE;
	object = pro__sim_object_make(port, SIM_LISTENER);
	pro__list_init(&object->as.listener.queue);
	pro__list_append(&sim->listeners, &object->as.listener.link);
	object->local = addr;
	object->as.listener.backlog = backlog ? backlog : BACKLOG_DEFAULT;
	object->as.listener.is_any_inet = is_any(&addr, "0.0.0.0:0");
	object->as.listener.is_any_inet6 = is_any(&addr, "[::]:0");
	error = pro__sim_number_take(port, object);
	if (error)
		pro__sim_object_free(object);
	else
		*handle = object->number;
	return error;
}

void pro__sim_unqueue(struct sim_object *object)
{
	struct sim_object *listener = object->as.stream.listener;

	if (!listener)
		return;
	pro__list_remove(&object->queue_link);
	listener->as.listener.queued--;
	object->as.stream.listener = NULL;
}

/* A connection that nobody accepted. */
static void drop_queued(struct sim_object *object)
{
	object->as.stream.resets_on_close = true;
	pro__sim_unqueue(object);
	pro__sim_stream_close(object);
	pro__sim_stream_forget(object);
}

void pro__sim_listener_close(struct sim_object *object)
{
	struct sim_listener *listener = &object->as.listener;

	if (!pro__list_contains(&listener->link))
		return;
	pro__list_remove(&listener->link);
	while (!pro__list_is_empty(&listener->queue))
		drop_queued(object_of_queue(listener->queue.next));
}

/* ---- accepting ---- */

static void count_failure(struct sim_flight *flight)
{
	struct sim_listener *listener = &flight->object->as.listener;
	const uint64_t now_ns = pro__sim_now(flight->port->sim);

	if (now_ns - listener->failures_ns >= RETRY_NS) {
		listener->failures_ns = now_ns;
		listener->failures = 0;
	}
	if (++listener->failures == FAILURES_MAX)
		pro__sim_found(flight->port->sim, PRO_SIM_CHECK_ACCEPT_SPIN,
				"%s: %u accepts on handle %ld failed within a second", flight->port->name,
				FAILURES_MAX, (long)flight->object->number);
}

static int accept_error(struct sim_flight *flight)
{
	static const int shortages[] = {PRO_EMFILE, PRO_ENFILE, PRO_ENOBUFS, PRO_ENOMEM};
	struct pro_sim *sim = flight->port->sim;

	if (!pro__sim_number_is_free(flight->port))
		return PRO_EMFILE;
	if (!pro__sim_strikes(sim, PRO_SIM_ACCEPT))
		return 0;
	return shortages[pro__sim_fault_below(
			sim, PRO_SIM_ACCEPT, sizeof(shortages) / sizeof(shortages[0]))];
}

/* Those that died in the queue are skipped, or accepted and found dead then, as it happens. */
static struct sim_object *first_queued(struct sim_object *listener)
{
	struct pro_list_node *queue = &listener->as.listener.queue;

	while (!pro__list_is_empty(queue)) {
		struct sim_object *object = object_of_queue(queue->next);

		if (!object->as.stream.is_reset || pro__sim_coin(listener->sim))
			return object;
		drop_queued(object);
	}
	return NULL;
}

bool pro__sim_try_accept(struct sim_flight *flight, struct sim_result *result)
{
	struct pro_operation *operation = flight->operation;
	struct sim_object *object = first_queued(flight->object);

	operation->request.accept.accepted = PRO_INVALID_HANDLE;
	if (!object)
		return false;
	flight->object->as.listener.waiting_since_ns = 0;
	result->error = accept_error(flight);
	if (result->error) {
		count_failure(flight);
		return true;
	}
	pro__sim_unqueue(object);
	pro__sim_number_take(flight->port, object);
	operation->request.accept.accepted = object->number;
	if (operation->request.accept.local)
		*operation->request.accept.local = object->local;
	if (operation->request.accept.remote)
		*operation->request.accept.remote = object->remote;
	return true;
}

/* ---- connecting ---- */

void pro__sim_connect_give_up(struct sim_flight *flight)
{
	struct sim_object *object = flight->object;

	flight->operation->request.connect.connected = PRO_INVALID_HANDLE;
	pro__list_remove(&flight->link);
	flight->object = NULL;
	object->as.stream.resets_on_close = true;
	/* Others may have guessed its number, or have an old one that is the same. */
	pro__sim_close_object(object, NULL);
}

static void set_addresses(
		struct sim_object *object, struct sim_port *port, const struct pro_operation *operation)
{
	const struct pro_addr *local = operation->request.connect.local;

	object->remote = *operation->request.connect.remote;
	if (!local || pro_addr_family(local) == PRO_FAMILY_NONE) {
		pro__sim_own_addr(port, &object->remote, &object->local);
		return;
	}
	object->local = *local;
	if (pro_addr_port(local) == 0)
		pro_addr_set_port(&object->local, pro__sim_free_port(port->sim));
}

/* Whether a listener of the same machine has the address that the connect is to come from. */
static bool is_local_taken(struct sim_port *port, const struct pro_operation *operation)
{
	const struct pro_addr *local = operation->request.connect.local;
	const struct sim_object *listener;

	if (!local || pro_addr_port(local) == 0)
		return false;
	listener = find_listener(port->sim, local);
	return listener && listener->port == port;
}

/* A fault: 0 or how the connect ends, and after what time. */
static int connect_fault(struct pro_sim *sim, uint64_t *delay_ns)
{
	static const int errors[] = {
			PRO_ECONNREFUSED, PRO_EHOSTUNREACH, PRO_ENETUNREACH, PRO_ETIMEDOUT};
	int error;

	if (!pro__sim_strikes(sim, PRO_SIM_CONNECT))
		return 0;
	error = errors[pro__sim_fault_below(sim, PRO_SIM_CONNECT, sizeof(errors) / sizeof(errors[0]))];
	if (error == PRO_ETIMEDOUT)
		*delay_ns = CONNECT_TIMEOUT_NS;
	return error;
}

void pro__sim_submit_connect(struct sim_port *port, struct pro_operation *operation)
{
	struct pro_sim *sim = port->sim;
	struct sim_object *object = pro__sim_object_make(port, SIM_STREAM);
	struct sim_flight *flight;
	uint64_t delay_ns = pro__sim_latency(sim);
	int error = pro__sim_number_take(port, object);

	operation->request.connect.connected = PRO_INVALID_HANDLE;
	if (error) {
		pro__sim_object_free(object);
		pro__operation_complete(operation, error, 0, 0);
		return;
	}
	set_addresses(object, port, operation);
	flight = pro__sim_flight_make(port, operation, object, &object->writers);
	flight->error =
			is_local_taken(port, operation) ? PRO_EADDRINUSE : connect_fault(sim, &delay_ns);
	flight->is_connected = flight->error != 0;
	pro__sim_delay(flight, delay_ns);
}

static void connect_answer(struct sim_flight *flight, int error)
{
	flight->error = error;
	flight->is_connected = true;
	pro__sim_delay(flight, pro__sim_latency(flight->port->sim));
}

static void connect_retry(struct sim_flight *flight)
{
	if (flight->tries >= RETRIES_MAX)
		connect_answer(flight, PRO_ETIMEDOUT);
	else
		pro__sim_delay(flight, RETRY_NS << flight->tries++);
}

static void connect_to(struct sim_flight *flight, struct sim_object *listener)
{
	struct sim_object *client = flight->object;
	struct sim_object *server = pro__sim_object_make(listener->port, SIM_STREAM);

	server->local = client->remote;
	server->remote = client->local;
	server->as.stream.listener = listener;
	pro__list_append(&listener->as.listener.queue, &server->queue_link);
	listener->as.listener.queued++;
	pro__sim_stream_join(client, server);
	pro__sim_kick(listener, &listener->readers);
	connect_answer(flight, 0);
	if (pro__sim_strikes(client->sim, PRO_SIM_ABORT))
		pro__sim_stream_reset(server);
}

void pro__sim_connect_due(struct sim_flight *flight)
{
	struct pro_sim *sim = flight->port->sim;
	struct sim_object *listener = find_listener(sim, &flight->object->remote);

	if (!listener)
		connect_answer(flight, PRO_ECONNREFUSED);
	else if (pro__sim_is_cut(sim, flight->port, listener->port) ||
			 pro__sim_is_cut(sim, listener->port, flight->port) ||
			 listener->as.listener.queued >= listener->as.listener.backlog)
		connect_retry(flight);
	else
		connect_to(flight, listener);
}

bool pro__sim_try_connect(struct sim_flight *flight, struct sim_result *result)
{
	result->error = flight->error;
	if (result->error)
		pro__sim_connect_give_up(flight);
	else
		flight->operation->request.connect.connected = flight->object->number;
	return true;
}
