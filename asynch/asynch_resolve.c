/* Looks host names up. */
#include <proactor/asynch_resolve.h>

#include "asynch_private.h"

static struct pro_asynch_resolve *resolve_from_operation(struct pro_operation *operation)
{
	return pro_container_of(operation, struct pro_asynch_resolve, operation);
}

static void resolve_deliver(struct pro_operation *operation)
{
	struct pro_asynch_resolve *resolver = resolve_from_operation(operation);
	struct pro_handler *handler = asynch_handler(operation);
	struct pro_asynch_resolve_result result = {
			ASYNCH_RESULT(operation),
			.count = operation->error ? 0 : resolver->request.count,
			.found = resolver->request.found,
	};

	pro__operation_begin_callback(operation);
	handler->vtbl->handle_resolve(handler, &result);
}

static const struct pro_operation_vtbl resolve_vtbl = {
		.name = "resolve",
		.deliver = resolve_deliver,
};

int pro_asynch_resolve_open(struct pro_asynch_resolve *resolver, struct pro_handler *handler,
		const void *completion_key)
{
	return pro__asynch_open_without_handle(&resolver->operation, &resolve_vtbl, PRO_OP_RESOLVE,
			handler, handler && handler->vtbl->handle_resolve, completion_key);
}

int pro_asynch_resolve_resolve(struct pro_asynch_resolve *resolver, const char *text)
{
	struct pro_operation *operation = &resolver->operation;
	struct pro_resolve_request *request = &resolver->request;
	int error = pro__operation_claim(operation, PRO__CALLER());

	if (error)
		return error;
	if (!text || pro_addr_split(text, request->host, &request->port))
		return pro__operation_give_back(operation, PRO_EINVAL);
	request->count = 0;
	operation->request.resolve = request;
	return pro__operation_start(operation);
}
