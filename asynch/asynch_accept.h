/* Accepts one connection. Most programs want asynch_acceptor.h. ACE: ACE_Asynch_Accept. */
#ifndef PROACTOR_ASYNCH_ACCEPT_H
#define PROACTOR_ASYNCH_ACCEPT_H

#include <proactor/handler.h>

PRO_BEGIN_DECLS

struct pro_asynch_accept {
	struct pro_operation operation; /* first */
	struct pro_addr local;
	struct pro_addr remote;
	uint64_t space[40];
};

/* error 0: `accepted` is a connected socket that belongs to the handler from now on, even while it
 * closes; PRO_INVALID_HANDLE after an error. */
struct pro_asynch_accept_result {
	PRO_RESULT_MEMBERS;
	pro_handle accepted;
	const struct pro_addr *local; /* valid during the callback */
	const struct pro_addr *remote;
};

/* Binds to the listening socket `handle` (PRO_INVALID_HANDLE: the one that the handler owns). Needs
 * handle_accept. Several accepts at once: several objects. PRO_EINVAL, PRO_ECLOSED (the handler is
 * closing and has no handle any more). [set-up or callback] Since 0.1. */
PRO_API int pro_asynch_accept_open(struct pro_asynch_accept *acceptor, struct pro_handler *handler,
		pro_handle handle, const void *completion_key);

/* Takes one connection when there is one. PRO_EINVAL when it was not opened, PRO_EBUSY,
 * PRO_ECLOSED, PRO_EFORKED. [any thread] ACE: ACE_Asynch_Accept::accept. Since 0.1. */
PRO_API int pro_asynch_accept_accept(struct pro_asynch_accept *acceptor);

PRO_END_DECLS

#endif
