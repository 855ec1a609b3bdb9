/* What is submitted to the simulated port: whether it makes sense, and where it has to wait. */
#include "sim.h"

/* One in so many operations that can be done at once completes inside its submission. */
#define AT_ONCE 8u

static void refuse(struct sim_port *port, struct pro_operation *operation, int error)
{
	pro__sim_trace(
			port->sim, SIM_TRACE_COMPLETE, port, operation->handle, operation->opcode, error, 0);
	port->sim->completions++;
	pro__operation_complete(operation, error, 0, 0);
}

/* 0, or why the operation makes no sense on such an object. */
static int check_kind(enum pro_opcode opcode, enum sim_kind kind)
{
	if (opcode == PRO_OP_READ_FILE || opcode == PRO_OP_WRITE_FILE)
		return kind == SIM_FILE ? 0 : PRO_ESPIPE;
	if (kind == SIM_FILE)
		return PRO_ENOTSOCK;
	if (opcode == PRO_OP_READ_DGRAM || opcode == PRO_OP_WRITE_DGRAM)
		return kind == SIM_DGRAM ? 0 : PRO_ENOTSUP;
	if (opcode == PRO_OP_ACCEPT)
		return kind == SIM_LISTENER ? 0 : PRO_EINVAL;
	return kind == SIM_STREAM ? 0 : PRO_ENOTCONN;
}

static struct pro_list_node *queue_for(struct sim_object *object, enum pro_opcode opcode)
{
	const bool is_writer = opcode == PRO_OP_WRITE_STREAM || opcode == PRO_OP_TRANSMIT_FILE ||
						   opcode == PRO_OP_WRITE_DGRAM;

	return is_writer ? &object->writers : &object->readers;
}

static void submit_on_object(
		struct sim_port *port, struct pro_operation *operation, struct sim_object *object)
{
	struct pro_list_node *queue = queue_for(object, (enum pro_opcode)operation->opcode);
	struct sim_flight *flight = pro__sim_flight_make(port, operation, object, queue);

	pro__sim_mark(flight);
	if (object->kind == SIM_FILE) {
		pro__sim_delay(flight, pro__sim_disk_latency(port->sim));
		return;
	}
	pro__sim_kick(object, queue);
	if (flight->state == SIM_READY && pro__sim_below(port->sim, AT_ONCE) == 0)
		pro__sim_go_on(flight);
}

void pro__sim_submit(struct pro_port *pro_port, struct pro_operation *operation)
{
	struct sim_port *port = pro__sim_port_of(pro_port);
	struct sim_object *object;
	struct sim_flight *flight;
	int error;

	if (port->is_crashed) {
		refuse(port, operation, PRO_ECANCELED);
		return;
	}
	if (operation->opcode == PRO_OP_CONNECT) {
		pro__sim_submit_connect(port, operation);
		return;
	}
	if (operation->opcode == PRO_OP_RESOLVE) {
		flight = pro__sim_flight_make(port, operation, NULL, NULL);
		pro__sim_delay(flight, pro__sim_disk_latency(port->sim));
		return;
	}
	object = pro__sim_find_for(port, operation);
	if (!object) {
		pro__sim_found(port->sim, PRO_SIM_CHECK_BAD_HANDLE,
				"%s: a %s was started on handle %ld, closed at step %llu", port->name,
				operation->vtbl->name, (long)operation->handle,
				(unsigned long long)pro__sim_closed_step(port->sim, operation->handle));
		refuse(port, operation, PRO_EBADF);
		return;
	}
	error = object->is_closing ? PRO_ECANCELED
							   : check_kind((enum pro_opcode)operation->opcode, object->kind);
	if (error)
		refuse(port, operation, error);
	else
		submit_on_object(port, operation, object);
}
