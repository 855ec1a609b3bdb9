/* Connects to an address. Most programs want asynch_connector.h. ACE: ACE_Asynch_Connect. */
#ifndef PROACTOR_ASYNCH_CONNECT_H
#define PROACTOR_ASYNCH_CONNECT_H

#include <proactor/handler.h>

PRO_BEGIN_DECLS

struct pro_asynch_connect {
	struct pro_operation operation; /* first */
	struct pro_addr remote;
	struct pro_addr local;
};

/* error 0: `connected` is a socket that belongs to the handler from now on, even while it closes;
 * PRO_INVALID_HANDLE after an error. */
struct pro_asynch_connect_result {
	PRO_RESULT_MEMBERS;
	pro_handle connected;
	const struct pro_addr *remote; /* valid during the callback */
};

/* Binds to its handler. Needs handle_connect. PRO_EINVAL. [set-up or callback] Since 0.1. */
PRO_API int pro_asynch_connect_open(struct pro_asynch_connect *connector,
		struct pro_handler *handler, const void *completion_key);

/* Makes a socket, binds it to `local` unless that is NULL, and connects it to `remote`. Both are
 * copied. An immediate refusal, too, arrives in the callback. PRO_EINVAL for an empty address,
 * PRO_EBUSY, PRO_ECLOSED, PRO_EFORKED. [any thread] ACE: ACE_Asynch_Connect::connect. Since 0.1. */
PRO_API int pro_asynch_connect_connect(struct pro_asynch_connect *connector,
		const struct pro_addr *remote, const struct pro_addr *local);

PRO_END_DECLS

#endif
