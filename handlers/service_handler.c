/* Service handlers: a handler and its connected socket. */
#include <proactor/service_handler.h>

#include "../proactor/engine.h"

#include <string.h>

int pro_service_handler_init(struct pro_service_handler *service,
		const struct pro_service_handler_vtbl *vtbl, struct pro_proactor *proactor)
{
	if (!service || !vtbl || !vtbl->open)
		return PRO_EINVAL;
	memset(&service->local, 0, sizeof(service->local));
	memset(&service->remote, 0, sizeof(service->remote));
	return pro_handler_init(&service->handler, &vtbl->handler, proactor);
}

/* The class's table, of which the handler's own is the first member. */
static const struct pro_service_handler_vtbl *service_vtbl(
		const struct pro_service_handler *service)
{
	return (const struct pro_service_handler_vtbl *)(const void *)service->handler.vtbl;
}

static void service_open_call(struct pro_event *event)
{
	struct pro_service_handler *service =
			pro_container_of(event, struct pro_service_handler, open_event);

	service_vtbl(service)->open(service);
}

static const struct pro_event_vtbl service_open_vtbl = {
		.call = service_open_call,
		.finish = pro__owner_release,
};

void pro_service_handler_open(struct pro_service_handler *service, pro_handle handle,
		const struct pro_addr *local, const struct pro_addr *remote)
{
	struct pro_owner *owner = &service->handler.owner;

	if (local)
		service->local = *local;
	if (remote)
		service->remote = *remote;
	service->open_event = (struct pro_event){.owner = owner, .vtbl = &service_open_vtbl};
	pro__owner_begin_callback(owner);
	pro_handler_set_handle(&service->handler, handle);
	if (pro__owner_take_turn(owner, &service->open_event))
		service_vtbl(service)->open(service);
	pro__owner_end_callback(owner);
}
