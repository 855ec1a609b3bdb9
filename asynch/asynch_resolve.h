/* Looks a host name up without blocking the loop. ACE has no such operation: its connectors block
 * in gethostbyname. */
#ifndef PROACTOR_ASYNCH_RESOLVE_H
#define PROACTOR_ASYNCH_RESOLVE_H

#include <proactor/handler.h>

PRO_BEGIN_DECLS

struct pro_asynch_resolve {
	struct pro_operation operation; /* first */
	struct pro_resolve_request request;
};

/* error 0: count >= 1 addresses, at most 8, in the resolver's order, with the port set.
 * PRO_EHOSTNOTFOUND, PRO_ERESOLVE (try again later), PRO_ENOMEM (no thread is to be had). A look-up
 * that was cancelled while the system's resolver was at it completes when the resolver returns. */
struct pro_asynch_resolve_result {
	PRO_RESULT_MEMBERS;
	unsigned count;
	const struct pro_addr *found; /* valid during the callback */
};

/* Binds to its handler. Needs handle_resolve. PRO_EINVAL. [set-up or callback] Since 0.1. */
PRO_API int pro_asynch_resolve_open(struct pro_asynch_resolve *resolver,
		struct pro_handler *handler, const void *completion_key);

/* Resolves "HOST:PORT" or "[HOST]:PORT", numeric hosts too. PRO_EINVAL for text that is no such
 * thing, PRO_EBUSY, PRO_ECLOSED, PRO_EFORKED. [any thread] Since 0.1. */
PRO_API int pro_asynch_resolve_resolve(struct pro_asynch_resolve *resolver, const char *text);

PRO_END_DECLS

#endif
