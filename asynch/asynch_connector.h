/* The connector: connects to an address or a host name and makes a service handler for the
 * connection. ACE: ACE_Asynch_Connector. */
#ifndef PROACTOR_ASYNCH_CONNECTOR_H
#define PROACTOR_ASYNCH_CONNECTOR_H

#include <proactor/asynch_connect.h>
#include <proactor/asynch_resolve.h>
#include <proactor/service_handler.h>

PRO_BEGIN_DECLS

struct pro_asynch_connector;

struct pro_asynch_connector_vtbl {
	/* A new service handler for the connection, initialised; NULL gives the connection up (it is
	 * closed). TCP_NODELAY is set on it. Needed. */
	struct pro_service_handler *(*make_handler)(struct pro_asynch_connector *connector);

	/* Once for every connect that was started: `error` tells how it ended (0, PRO_ECONNREFUSED,
	 * PRO_ETIMEDOUT, PRO_EHOSTNOTFOUND, PRO_ECANCELED, …), `remote` the last address tried, empty
	 * if none was. Anything but 0 closes a connection that was made. It may connect anew. May be
	 * NULL. */
	int (*validate_connection)(
			struct pro_asynch_connector *connector, int error, const struct pro_addr *remote);

	/* The connector is closed; free what it is part of here. May be NULL. */
	void (*handle_close)(struct pro_asynch_connector *connector);
};

/* One connect at a time; several at once: several connectors. */
struct pro_asynch_connector {
	struct pro_handler handler; /* first */
	const struct pro_asynch_connector_vtbl *vtbl;

	/* Private. */
	struct pro_asynch_connect connect;
	struct pro_asynch_resolve resolve;
	struct pro_addr local;
	int64_t timeout_ms;
	uint64_t deadline_ms;
	unsigned next_found;
	bool has_local;
	PRO_ATOMIC(uint32_t) attempt; /* counts up at the begin and at the end of each: odd meanwhile */
	PRO_ATOMIC(uint32_t) cancelled; /* the attempt that is to end */
};

/* Binds a connector to its class and its proactor. PRO_EINVAL when make_handler is missing.
 * [set-up] Since 0.1. */
PRO_API int pro_asynch_connector_open(struct pro_asynch_connector *connector,
		const struct pro_asynch_connector_vtbl *vtbl, struct pro_proactor *proactor);

/* Gives each later connect, the look-up of its name included, `timeout_ms` milliseconds altogether.
 * PRO_NO_TIMEOUT by default. PRO_EINVAL for other negative values. [set-up or callback] Since 0.1.
 */
PRO_API int pro_asynch_connector_set_timeout(
		struct pro_asynch_connector *connector, int64_t timeout_ms);

/* Connects to `remote`, from `local` unless that is NULL. PRO_EBUSY while one is under way,
 * PRO_ECLOSED, PRO_EFORKED, PRO_EINVAL. [callback or set-up] Since 0.1. */
PRO_API int pro_asynch_connector_connect(struct pro_asynch_connector *connector,
		const struct pro_addr *remote, const struct pro_addr *local);

/* Connects to "HOST:PORT", "[v6]:PORT" or "unix:PATH"; names are resolved without blocking and
 * their addresses tried in order. PRO_EINVAL and PRO_ENAMETOOLONG as pro_addr_parse, and those of
 * pro_asynch_connector_connect. [callback or set-up] Since 0.1. */
PRO_API int pro_asynch_connector_connect_to(
		struct pro_asynch_connector *connector, const char *text);

/* Cancels the connect under way, the look-up of its name and the tries to come included:
 * validate_connection is told PRO_ECANCELED, or 0 if it won the race. PRO_ENOTFOUND when there is
 * none, PRO_EINVAL, PRO_EFORKED. [any thread] Since 0.1. */
PRO_API int pro_asynch_connector_cancel(struct pro_asynch_connector *connector);

/* As pro_handler_close. Connections that were made stay. [any thread] Since 0.1. */
PRO_API void pro_asynch_connector_close(struct pro_asynch_connector *connector);

static inline struct pro_asynch_connector *pro_asynch_connector_from_handler(
		struct pro_handler *handler)
{
	return pro_container_of(handler, struct pro_asynch_connector, handler);
}

PRO_END_DECLS

#endif
