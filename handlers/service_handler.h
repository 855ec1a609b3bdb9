/* Service handlers: a handler that owns a connected socket. Made by an acceptor or a connector.
 * ACE: ACE_Service_Handler. */
#ifndef PROACTOR_SERVICE_HANDLER_H
#define PROACTOR_SERVICE_HANDLER_H

#include <proactor/handler.h>

PRO_BEGIN_DECLS

struct pro_service_handler;

struct pro_service_handler_vtbl {
	struct pro_handler_vtbl handler; /* first: .handler.handle_read_stream = … */

	/* The socket is connected and owned: open operations on pro_service_handler_handle and start
	 * the first. On failure close the handler. A callback of the handler like any other. Needed. */
	void (*open)(struct pro_service_handler *service);
};

struct pro_service_handler {
	struct pro_handler handler; /* first */
	struct pro_addr local;      /* set before open is called */
	struct pro_addr remote;

	/* Private. */
	struct pro_event open_event;
};

/* Binds a service handler to its class and proactor, without a socket yet. PRO_EINVAL when open or
 * handle_close is missing. [set-up] Since 0.1. */
PRO_API int pro_service_handler_init(struct pro_service_handler *service,
		const struct pro_service_handler_vtbl *vtbl, struct pro_proactor *proactor);

/* Hands over a connected socket and calls open: what acceptors and connectors do, and what user
 * code may do with a socket pair. While another thread of the loop is in a callback of the handler,
 * open waits for the end of that, and this function does not. The addresses may be NULL. [callback,
 * or set-up before the loop runs] ACE: ACE_Service_Handler::open. Since 0.1. */
PRO_API void pro_service_handler_open(struct pro_service_handler *service, pro_handle handle,
		const struct pro_addr *local, const struct pro_addr *remote);

/* The service handler that `handler` is the first part of. */
static inline struct pro_service_handler *pro_service_handler_from_handler(
		struct pro_handler *handler)
{
	return pro_container_of(handler, struct pro_service_handler, handler);
}

/* Its socket. */
static inline pro_handle pro_service_handler_handle(const struct pro_service_handler *service)
{
	return service->handler.owner.handle;
}

PRO_END_DECLS

#endif
