/* Connects to addresses, one at a time for each object. */
#include <proactor/asynch_connect.h>

#include "asynch_private.h"

static struct pro_asynch_connect *connect_from_operation(struct pro_operation *operation)
{
	return pro_container_of(operation, struct pro_asynch_connect, operation);
}

static void connect_deliver(struct pro_operation *operation)
{
	struct pro_asynch_connect *connector = connect_from_operation(operation);
	struct pro_handler *handler = asynch_handler(operation);
	struct pro_addr remote = connector->remote;
	struct pro_asynch_connect_result result = {
			ASYNCH_RESULT(operation),
			.connected = operation->request.connect.connected,
			.remote = &remote,
	};

	pro__operation_begin_callback(operation);
	handler->vtbl->handle_connect(handler, &result);
}

static const struct pro_operation_vtbl connect_vtbl = {
		.name = "connect",
		.deliver = connect_deliver,
};

int pro_asynch_connect_open(struct pro_asynch_connect *connector, struct pro_handler *handler,
		const void *completion_key)
{
	return pro__asynch_open_without_handle(&connector->operation, &connect_vtbl, PRO_OP_CONNECT,
			handler, handler && handler->vtbl->handle_connect, completion_key);
}

int pro_asynch_connect_connect(struct pro_asynch_connect *connector, const struct pro_addr *remote,
		const struct pro_addr *local)
{
	struct pro_operation *operation = &connector->operation;
	int error = pro__operation_claim(operation, PRO__CALLER());

	if (error)
		return error;
	if (!remote || pro_addr_family(remote) == PRO_FAMILY_NONE)
		return pro__operation_give_back(operation, PRO_EINVAL);
	connector->remote = *remote;
	if (local)
		connector->local = *local;
	operation->request.connect.connected = PRO_INVALID_HANDLE;
	operation->request.connect.remote = &connector->remote;
	operation->request.connect.local = local ? &connector->local : NULL;
	return pro__operation_start(operation);
}
