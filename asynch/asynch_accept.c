/* Accepts connections, one at a time for each object. */
#include <proactor/asynch_accept.h>

#include "asynch_private.h"

static struct pro_asynch_accept *accept_from_operation(struct pro_operation *operation)
{
	return pro_container_of(operation, struct pro_asynch_accept, operation);
}

static void accept_deliver(struct pro_operation *operation)
{
	struct pro_asynch_accept *acceptor = accept_from_operation(operation);
	struct pro_handler *handler = asynch_handler(operation);
	/* Copies, since a restart in the callback gives the originals back to the port. */
	struct pro_addr local = acceptor->local;
	struct pro_addr remote = acceptor->remote;
	struct pro_asynch_accept_result result = {
			ASYNCH_RESULT(operation),
			.accepted = operation->request.accept.accepted,
			.local = &local,
			.remote = &remote,
	};

	pro__operation_begin_callback(operation);
	handler->vtbl->handle_accept(handler, &result);
}

static const struct pro_operation_vtbl accept_vtbl = {
		.name = "accept",
		.deliver = accept_deliver,
};

int pro_asynch_accept_open(struct pro_asynch_accept *acceptor, struct pro_handler *handler,
		pro_handle handle, const void *completion_key)
{
	return pro__asynch_open(&acceptor->operation, &accept_vtbl, PRO_OP_ACCEPT, handler, handle,
			handler && handler->vtbl->handle_accept, completion_key);
}

int pro_asynch_accept_accept(struct pro_asynch_accept *acceptor)
{
	struct pro_operation *operation = &acceptor->operation;
	int error = pro__operation_claim(operation, PRO__CALLER());

	if (error)
		return error;
	acceptor->local = (struct pro_addr){.length = 0};
	acceptor->remote = (struct pro_addr){.length = 0};
	operation->request.accept.accepted = PRO_INVALID_HANDLE;
	operation->request.accept.local = &acceptor->local;
	operation->request.accept.remote = &acceptor->remote;
	operation->request.accept.space = acceptor->space;
	return pro__operation_start(operation);
}
