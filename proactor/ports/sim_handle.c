/* Handles of a simulated world: made-up numbers, the one closed last given out first, and the
 * objects they mean. */
#include "sim.h"

#include <string.h>

/* Not where descriptors of the system are. */
#define NUMBER_FIRST 100

static struct sim_number *number_at(const struct pro_sim *sim, pro_handle handle)
{
	if (handle < NUMBER_FIRST || handle - NUMBER_FIRST >= (pro_handle)sim->numbers_made)
		return NULL;
	return &sim->numbers[handle - NUMBER_FIRST];
}

static uint32_t number_make(struct pro_sim *sim)
{
	if (sim->numbers_made == sim->numbers_size) {
		sim->numbers_size = sim->numbers_size ? 2 * sim->numbers_size : 64;
		sim->numbers = pro__sim_reallocate(sim->numbers, sim->numbers_size * sizeof(*sim->numbers));
	}
	sim->numbers[sim->numbers_made] = (struct sim_number){.epoch = 1};
	return sim->numbers_made++;
}

bool pro__sim_number_is_free(const struct sim_port *port)
{
	return port->handles < port->handles_max;
}

int pro__sim_number_take(struct sim_port *port, struct sim_object *object)
{
	struct pro_sim *sim = port->sim;
	uint32_t index;

	if (!pro__sim_number_is_free(port))
		return PRO_EMFILE;
	if (sim->free_number) {
		index = sim->free_number - 1;
		sim->free_number = sim->numbers[index].next_free;
	} else {
		index = number_make(sim);
	}
	sim->numbers[index].object = object;
	object->number = NUMBER_FIRST + (pro_handle)index;
	object->port = port;
	object->opened_step = sim->steps;
	port->handles++;
	return 0;
}

void pro__sim_number_give(struct sim_object *object)
{
	struct pro_sim *sim = object->port->sim;
	struct sim_number *number = number_at(sim, object->number);

	number->object = NULL;
	number->epoch = (uint16_t)(number->epoch == UINT16_MAX ? 1 : number->epoch + 1);
	number->closed_step = sim->steps;
	number->next_free = sim->free_number;
	sim->free_number = (uint32_t)(object->number - NUMBER_FIRST) + 1;
	object->number = PRO_INVALID_HANDLE;
	object->port->handles--;
}

struct sim_object *pro__sim_find(const struct pro_sim *sim, pro_handle handle)
{
	const struct sim_number *number = number_at(sim, handle);

	return number ? number->object : NULL;
}

uint64_t pro__sim_closed_step(const struct pro_sim *sim, pro_handle handle)
{
	const struct sim_number *number = number_at(sim, handle);

	return number ? number->closed_step : 0;
}

struct sim_object *pro__sim_find_for(struct sim_port *port, struct pro_operation *operation)
{
	const struct sim_number *number = number_at(port->sim, operation->handle);
	struct sim_object *object = number ? number->object : NULL;

	if (!object)
		return NULL;
	if (operation->handle_epoch == 0)
		operation->handle_epoch = number->epoch;
	if (operation->handle_epoch != number->epoch)
		return NULL;
	/* A socket may have been handed over to another proactor. */
	if (object->port != port) {
		object->port->handles--;
		object->port = port;
		port->handles++;
	}
	return object;
}

struct sim_object *pro__sim_object_make(struct sim_port *port, enum sim_kind kind)
{
	struct sim_object *object = pro__sim_pool_take(&port->sim->objects);

	object->kind = kind;
	object->number = PRO_INVALID_HANDLE;
	object->port = port;
	object->sim = port->sim;
	pro__list_init(&object->readers);
	pro__list_init(&object->writers);
	if (kind == SIM_STREAM)
		pro__sim_stream_init(object);
	return object;
}

void pro__sim_object_free(struct sim_object *object)
{
	struct pro_sim *sim = object->sim;

	switch (object->kind) {
	case SIM_STREAM:
		pro__sim_pipe_clear(&object->as.stream.in);
		break;
	case SIM_LISTENER:
		pro__sim_listener_close(object);
		break;
	case SIM_DGRAM:
		pro__sim_dgram_close(object);
		break;
	case SIM_FILE:
		pro__sim_file_close(object);
		break;
	}
	pro__sim_pool_give(&sim->objects, object);
}

unsigned pro_sim_handles(const struct pro_sim *sim, const struct pro_proactor *proactor)
{
	(void)sim;
	return pro__sim_port_of(pro__port(proactor))->handles;
}

void pro_sim_set_handles_max(
		struct pro_sim *sim, struct pro_proactor *proactor, unsigned handles_max)
{
	(void)sim;
	pro__sim_port_of(pro__port(proactor))->handles_max = handles_max;
}
