/* The connector: looks the name up if there is one, tries its addresses in order, makes the service
 * handler. */
#include <proactor/asynch_connector.h>
#include <proactor/socket.h>

#include "asynch_private.h"

#include <string.h>

static bool connector_is_under_way(const struct pro_asynch_connector *connector)
{
	return connector->attempt % 2 != 0;
}

static void connector_end(struct pro_asynch_connector *connector, int error,
		const struct pro_addr *remote, pro_handle connected)
{
	struct pro_proactor *proactor = pro_handler_proactor(&connector->handler);
	struct pro_service_handler *service = NULL;
	struct pro_addr local = {.length = 0};
	int refusal = 0;

	connector->attempt++;
	if (connector->vtbl->validate_connection)
		refusal = connector->vtbl->validate_connection(connector, error, remote);
	if (error)
		return;
	if (!refusal)
		service = connector->vtbl->make_handler(connector);
	if (!service) {
		pro_proactor_close_handle(proactor, connected);
		return;
	}
	/* Fails on UNIX-domain sockets, which have no such delay. */
	pro_socket_set_option(proactor, connected, PRO_SOCKET_NODELAY, 1);
	pro_socket_local_addr(proactor, connected, &local);
	pro_service_handler_open(service, connected, &local, remote);
}

/* The time that is left of the whole connect for its next step. */
static int64_t connector_time_left(struct pro_asynch_connector *connector)
{
	uint64_t now_ms;

	if (connector->timeout_ms == PRO_NO_TIMEOUT)
		return PRO_NO_TIMEOUT;
	now_ms = pro_proactor_now_ms(pro_handler_proactor(&connector->handler));
	return connector->deadline_ms > now_ms ? (int64_t)(connector->deadline_ms - now_ms) : 0;
}

static int connector_try(struct pro_asynch_connector *connector, const struct pro_addr *remote)
{
	pro_operation_set_timeout(&connector->connect.operation, connector_time_left(connector));
	return pro_asynch_connect_connect(
			&connector->connect, remote, connector->has_local ? &connector->local : NULL);
}

static bool connector_has_more(const struct pro_asynch_connector *connector)
{
	return connector->next_found < connector->resolve.request.count;
}

/* The next address of the name; what made the last one fail if there is none. */
static void connector_try_next(
		struct pro_asynch_connector *connector, int error, const struct pro_addr *remote)
{
	while (connector->cancelled != connector->attempt && connector_has_more(connector)) {
		remote = &connector->resolve.request.found[connector->next_found++];
		error = connector_try(connector, remote);
		if (!error)
			return;
	}
	if (connector->cancelled == connector->attempt)
		error = PRO_ECANCELED;
	connector_end(connector, error, remote, PRO_INVALID_HANDLE);
}

static void connector_handle_resolve(
		struct pro_handler *handler, const struct pro_asynch_resolve_result *result)
{
	struct pro_asynch_connector *connector = pro_asynch_connector_from_handler(handler);
	struct pro_addr none = {.length = 0};

	if (result->error)
		connector_end(connector, result->error, &none, PRO_INVALID_HANDLE);
	else
		connector_try_next(connector, PRO_EHOSTNOTFOUND, &none);
}

static void connector_handle_connect(
		struct pro_handler *handler, const struct pro_asynch_connect_result *result)
{
	struct pro_asynch_connector *connector = pro_asynch_connector_from_handler(handler);
	int error = result->error;

	/* An address that timed out by itself leaves time for the next; our own deadline does not. */
	if (error && error != PRO_ECANCELED && connector_time_left(connector) != 0)
		connector_try_next(connector, error, result->remote);
	else if (!error && pro_handler_is_closing(handler)) {
		pro_proactor_close_handle(pro_handler_proactor(handler), result->connected);
		connector_end(connector, PRO_ECANCELED, result->remote, PRO_INVALID_HANDLE);
	} else
		connector_end(connector, error, result->remote, result->connected);
}

static void connector_handle_close(struct pro_handler *handler)
{
	struct pro_asynch_connector *connector = pro_asynch_connector_from_handler(handler);

	if (connector->vtbl->handle_close)
		connector->vtbl->handle_close(connector);
}

static const struct pro_handler_vtbl connector_vtbl = {
		.handle_resolve = connector_handle_resolve,
		.handle_connect = connector_handle_connect,
		.handle_close = connector_handle_close,
};

int pro_asynch_connector_open(struct pro_asynch_connector *connector,
		const struct pro_asynch_connector_vtbl *vtbl, struct pro_proactor *proactor)
{
	int error;

	if (!connector || !vtbl || !vtbl->make_handler)
		return PRO_EINVAL;
	memset(connector, 0, sizeof(*connector));
	connector->vtbl = vtbl;
	connector->timeout_ms = PRO_NO_TIMEOUT;
	error = pro_handler_init(&connector->handler, &connector_vtbl, proactor);
	if (!error)
		error = pro_asynch_connect_open(&connector->connect, &connector->handler, NULL);
	if (!error)
		error = pro_asynch_resolve_open(&connector->resolve, &connector->handler, NULL);
	return error;
}

int pro_asynch_connector_set_timeout(struct pro_asynch_connector *connector, int64_t timeout_ms)
{
	if (!connector || timeout_ms < PRO_NO_TIMEOUT)
		return PRO_EINVAL;
	connector->timeout_ms = timeout_ms;
	return 0;
}

static int connector_begin(struct pro_asynch_connector *connector, const struct pro_addr *local)
{
	uint64_t now_ms;

	if (connector_is_under_way(connector))
		return PRO_EBUSY;
	connector->has_local = local != NULL;
	if (local)
		connector->local = *local;
	connector->next_found = 0;
	connector->resolve.request.count = 0;
	if (connector->timeout_ms != PRO_NO_TIMEOUT) {
		now_ms = pro_proactor_now_ms(pro_handler_proactor(&connector->handler));
		connector->deadline_ms = now_ms > UINT64_MAX - (uint64_t)connector->timeout_ms
										 ? UINT64_MAX
										 : now_ms + (uint64_t)connector->timeout_ms;
	}
	return 0;
}

int pro_asynch_connector_connect(struct pro_asynch_connector *connector,
		const struct pro_addr *remote, const struct pro_addr *local)
{
	int error;

	if (!connector || !remote)
		return PRO_EINVAL;
	error = connector_begin(connector, local);
	if (error)
		return error;
	connector->attempt++;
	error = connector_try(connector, remote);
	if (error)
		connector->attempt++;
	return error;
}

int pro_asynch_connector_connect_to(struct pro_asynch_connector *connector, const char *text)
{
	struct pro_addr remote;
	int error;

	if (!connector || !text)
		return PRO_EINVAL;
	error = pro_addr_parse(&remote, text);
	if (!error)
		return pro_asynch_connector_connect(connector, &remote, NULL);
	if (error != PRO_EHOSTNOTFOUND)
		return error;
	error = connector_begin(connector, NULL);
	if (error)
		return error;
	connector->attempt++;
	pro_operation_set_timeout(&connector->resolve.operation, connector_time_left(connector));
	error = pro_asynch_resolve_resolve(&connector->resolve, text);
	if (error)
		connector->attempt++;
	return error;
}

int pro_asynch_connector_cancel(struct pro_asynch_connector *connector)
{
	uint32_t attempt;
	int error;

	if (!connector)
		return PRO_EINVAL;
	attempt = connector->attempt;
	if (attempt % 2 == 0)
		return PRO_ENOTFOUND;
	/* Between the look-up and the tries nothing is in flight. */
	connector->cancelled = attempt;
	error = pro_operation_cancel(&connector->connect.operation);
	if (error == PRO_ENOTFOUND)
		error = pro_operation_cancel(&connector->resolve.operation);
	return error == PRO_ENOTFOUND ? 0 : error;
}

void pro_asynch_connector_close(struct pro_asynch_connector *connector)
{
	pro_handler_close(&connector->handler);
}
