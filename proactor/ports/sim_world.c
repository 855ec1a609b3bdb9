/* A simulated world: its life, its clock and its steps. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

/* Far from 0, so that nobody gets away with taking a time for a duration. */
#define BEGIN_NS       UINT64_C(1000000000000)
#define CHECK_EVERY_NS UINT64_C(1000000000)

/* Between the moment when a process could run and that when it does. */
#define DISPATCH_NS  20000u
#define DELAY_MAX_NS UINT64_C(1000000000)
#define PAUSE_MAX_NS UINT64_C(3000000000)

void pro_sim_options_init(struct pro_sim_options *options)
{
	memset(options, 0, sizeof(*options));
	options->size = sizeof(*options);
	options->faults = PRO_SIM_ALL;
	options->checks = PRO_SIM_ALL;
	options->parameter = 1;
	options->steps_max = 10000000;
	options->handles_max = 1024;
	options->buffer_bytes = 65536;
	options->latency_us[0] = 20;
	options->latency_us[1] = 300;
	options->disk_bytes = UINT64_C(1) << 30;
}

static bool options_are_valid(const struct pro_sim_options *options)
{
	return options->size == sizeof(*options) && options->buffer_bytes > 0 &&
		   options->latency_us[0] <= options->latency_us[1] &&
		   (options->choices || options->choices_size == 0);
}

int pro_sim_create(struct pro_sim **result, const struct pro_sim_options *options)
{
	struct pro_sim_options defaults;
	struct pro_sim *sim;

	if (!result)
		return PRO_EINVAL;
	*result = NULL;
	if (!options) {
		pro_sim_options_init(&defaults);
		options = &defaults;
	}
	if (!options_are_valid(options))
		return PRO_EINVAL;
	sim = pro__sim_allocate(sizeof(*sim));
	sim->base.port = &pro__sim_port;
	sim->options = *options;
	sim->log = &sim->own_log;
	sim->now_ns = BEGIN_NS;
	sim->next_check_ns = BEGIN_NS + CHECK_EVERY_NS;
	pro__sim_choices_init(&sim->choices, options);
	pro__sim_memory_init(sim);
	pro__sim_pool_init(&sim->ports, sizeof(struct sim_port));
	pro__sim_pool_init(&sim->flights, sizeof(struct sim_flight));
	pro__sim_pool_init(&sim->objects, sizeof(struct sim_object));
	pro__sim_pool_init(&sim->datagrams, sizeof(struct sim_datagram));
	pro__list_init(&sim->listeners);
	pro__list_init(&sim->dgrams);
	sim->root = pro__sim_node_make(sim, NULL, "", SIM_NODE_DIRECTORY);
	*result = sim;
	return 0;
}

void pro_sim_destroy(struct pro_sim *sim)
{
	if (!sim)
		return;
	pro_sim_end(sim);
	for (uint32_t i = 0; i < sim->datagrams.made; i++) {
		struct sim_datagram *datagram = pro__sim_pool_at(&sim->datagrams, i);

		if (datagram)
			pro__sim_free(datagram->bytes);
	}
	for (uint32_t i = 0; i < sim->objects.made; i++) {
		struct sim_object *object = pro__sim_pool_at(&sim->objects, i);

		/* Not covered: proactors leave none, unless one could not be destroyed. */
		if (object)
			pro__sim_object_free(object);
	}
	pro__sim_node_remove(sim, sim->root);
	pro__sim_pool_fini(&sim->ports);
	pro__sim_pool_fini(&sim->flights);
	pro__sim_pool_fini(&sim->objects);
	pro__sim_pool_fini(&sim->datagrams);
	pro__sim_memory_fini(sim);
	pro__sim_free(sim->numbers);
	pro__sim_free(sim->events.heap);
	pro__sim_free(sim);
}

int pro_sim_proactor_create(struct pro_sim *sim, const char *name,
		const struct pro_proactor_options *options, struct pro_proactor **proactor)
{
	struct pro_proactor_options own;
	struct sim_port *port;
	int error;

	if (!sim || !proactor)
		return PRO_EINVAL;
	if (options)
		own = *options;
	else
		pro_proactor_options_init(&own);
	own.sim = sim;
	own.concurrency = 1;
	own.is_shared = false;
	if (!own.allocator)
		own.allocator = &sim->allocator;
	if (sim->is_watched && own.debug == PRO_DEBUG_DEFAULT)
		own.debug = PRO_DEBUG_REPORT;
	error = pro_proactor_create(proactor, &own, NULL, 0);
	if (error)
		return error;
	port = pro__sim_port_of(pro__port(*proactor));
	if (name)
		pro__sim_name_port(port, name);
	return 0;
}

/* ---- the course of events ---- */

void pro__sim_run_at(struct sim_port *port, uint64_t time_ns)
{
	if (time_ns >= port->run_ns)
		return;
	port->run_ns = time_ns;
	pro__sim_schedule(port->sim, time_ns, SIM_EVENT_RUN, &port->slot);
}

void pro__sim_run_soon(struct sim_port *port)
{
	const uint64_t now_ns = pro__sim_now(port->sim);

	if (port->run_ns > now_ns + DISPATCH_NS)
		pro__sim_run_at(port, now_ns + pro__sim_between(port->sim, 0, DISPATCH_NS));
}

uint64_t pro__sim_latency(struct pro_sim *sim)
{
	const uint32_t *latency_us = sim->options.latency_us;
	uint64_t latency_ns =
			pro__sim_between(sim, (uint64_t)latency_us[0] * 1000, (uint64_t)latency_us[1] * 1000);

	if (pro__sim_strikes(sim, PRO_SIM_DELAY))
		latency_ns += pro__sim_fault_below(sim, PRO_SIM_DELAY, DELAY_MAX_NS);
	return latency_ns;
}

static void port_run(struct sim_port *port)
{
	struct pro_sim *sim = port->sim;

	port->run_ns = UINT64_MAX;
	if (pro_proactor_event_loop_done(port->proactor))
		return;
	port->is_paused = pro__sim_strikes(sim, PRO_SIM_PAUSE);
	if (port->is_paused) {
		pro__sim_run_at(
				port, pro__sim_now(sim) + pro__sim_fault_below(sim, PRO_SIM_PAUSE, PAUSE_MAX_NS));
		return;
	}
	port->is_driven = true;
	/* The world is the foreign loop of its proactors: each says then when it must run. */
	pro_proactor_get_handle(port->proactor);
	/* When its loop is on the stack already, that is told to go on. */
	if (pro_proactor_handle_events(port->proactor, 0) == PRO_EBUSY)
		port->is_woken = true;
	port->is_driven = false;
}

static void run_woken(struct pro_sim *sim)
{
	if (!atomic_load_explicit(&sim->is_woken, memory_order_relaxed))
		return;
	sim->is_woken = false;
	for (uint32_t i = 0; i < sim->ports.made; i++) {
		struct sim_port *port = pro__sim_pool_at(&sim->ports, i);

		if (port && port->is_woken)
			pro__sim_run_soon(port);
	}
}

static void handle_event(struct pro_sim *sim, const struct sim_event *event)
{
	struct sim_slot *slot = event->slot;

	if (!slot->is_used || slot->generation != event->generation)
		return;
	switch (event->kind) {
	case SIM_EVENT_RUN: {
		struct sim_port *port = pro_container_of(slot, struct sim_port, slot);

		if (port->run_ns == event->time_ns)
			port_run(port);
		return;
	}
	case SIM_EVENT_FLIGHT:
		pro__sim_flight_due(pro_container_of(slot, struct sim_flight, slot));
		return;
	case SIM_EVENT_ARRIVAL:
		pro__sim_stream_arrival(pro_container_of(slot, struct sim_object, slot), event->time_ns);
		return;
	case SIM_EVENT_DATAGRAM:
		pro__sim_datagram_due(sim, pro_container_of(slot, struct sim_datagram, slot));
		return;
	}
}

static void count_step(struct pro_sim *sim)
{
	const uint64_t now_ns = pro__sim_now(sim);

	sim->steps++;
	if (sim->steps == sim->options.stop_step)
		pro_sim_stopped(sim);
	if (sim->steps == sim->options.steps_max)
		pro__sim_found(
				sim, PRO_SIM_CHECK_STALL, "%llu steps and no end", (unsigned long long)sim->steps);
	if (now_ns >= sim->next_check_ns) {
		sim->next_check_ns = now_ns + CHECK_EVERY_NS;
		pro_sim_check(sim);
	}
}

static void set_clock(struct pro_sim *sim, uint64_t now_ns)
{
	if (now_ns > pro__sim_now(sim))
		atomic_store_explicit(&sim->now_ns, now_ns, memory_order_relaxed);
}

/* Nothing happens until then: what is wrong about that shows at the end of it. */
static void pass_time(struct pro_sim *sim, uint64_t limit_ns)
{
	const bool is_checked = limit_ns >= sim->next_check_ns;

	if (is_checked) {
		sim->next_check_ns = limit_ns + CHECK_EVERY_NS;
		pro_sim_check(sim);
	}
	set_clock(sim, limit_ns);
	if (is_checked)
		pro_sim_check(sim);
}

bool pro__sim_advance(struct pro_sim *sim, uint64_t limit_ns)
{
	struct sim_event event;

	run_woken(sim);
	if (sim->events.count == 0 || pro__sim_next_ns(sim) > limit_ns) {
		if (limit_ns != UINT64_MAX)
			pass_time(sim, limit_ns);
		return false;
	}
	event = pro__sim_take_event(sim);
	set_clock(sim, event.time_ns);
	count_step(sim);
	handle_event(sim, &event);
	return true;
}

/* ---- the calls that let it go on ---- */

static bool must_stop(const struct pro_sim *sim)
{
	return pro__sim_has_failed(sim) ||
		   (sim->options.stop_step != 0 && sim->steps >= sim->options.stop_step);
}

int pro_sim_step(struct pro_sim *sim)
{
	bool has_happened;

	if (sim->is_stepping)
		return PRO_EBUSY;
	if (must_stop(sim))
		return PRO_ECANCELED;
	sim->is_stepping = true;
	has_happened = pro__sim_advance(sim, UINT64_MAX);
	sim->is_stepping = false;
	return has_happened ? 1 : 0;
}

static uint64_t limit_after(const struct pro_sim *sim, int64_t limit_ms)
{
	const uint64_t now_ns = pro__sim_now(sim);

	if (limit_ms < 0 || (uint64_t)limit_ms > (UINT64_MAX - 1 - now_ns) / 1000000)
		return UINT64_MAX;
	return now_ns + (uint64_t)limit_ms * 1000000;
}

int pro_sim_run_until(
		struct pro_sim *sim, bool (*condition)(void *context), void *context, int64_t limit_ms)
{
	const uint64_t limit_ns = limit_after(sim, limit_ms);
	bool has_happened = true;

	if (sim->is_stepping)
		return PRO_EBUSY;
	for (;;) {
		if (must_stop(sim))
			return PRO_ECANCELED;
		if (condition && condition(context))
			return 0;
		if (!has_happened)
			return condition ? PRO_ETIMEDOUT : 0;
		sim->is_stepping = true;
		has_happened = pro__sim_advance(sim, limit_ns);
		sim->is_stepping = false;
	}
}

int pro_sim_end(struct pro_sim *sim)
{
	if (sim->is_stepping)
		return PRO_EBUSY;
	pro_sim_stop_faults(sim);
	pro_sim_check(sim);
	pro__sim_check_freed(sim);
	for (uint32_t i = 0; i < sim->ports.made; i++) {
		struct sim_port *port = pro__sim_pool_at(&sim->ports, i);

		if (port)
			pro_proactor_destroy(port->proactor);
	}
	return pro__sim_has_failed(sim) ? PRO_ECANCELED : 0;
}

uint64_t pro_sim_now_ns(const struct pro_sim *sim)
{
	return pro__sim_now(sim);
}

uint64_t pro_sim_steps(const struct pro_sim *sim)
{
	return sim->steps;
}

uint64_t pro_sim_completions(const struct pro_sim *sim)
{
	return sim->completions;
}

uint64_t pro_sim_hash(const struct pro_sim *sim)
{
	return sim->hash;
}

unsigned pro_sim_parameter(const struct pro_sim *sim)
{
	return sim->options.parameter;
}

void pro_sim_stopped(struct pro_sim *sim)
{
	(void)sim;
}
