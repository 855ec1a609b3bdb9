/* The acceptor: listens, makes a service handler for each connection, never goes deaf. ACE:
 * ACE_Asynch_Acceptor. */
#ifndef PROACTOR_ASYNCH_ACCEPTOR_H
#define PROACTOR_ASYNCH_ACCEPTOR_H

#include <proactor/asynch_accept.h>
#include <proactor/asynch_timer.h>
#include <proactor/proactor_group.h>
#include <proactor/service_handler.h>

PRO_BEGIN_DECLS

struct pro_asynch_acceptor;

struct pro_asynch_acceptor_vtbl {
	/* A new service handler for a connection, initialised with pro_asynch_acceptor_proactor; NULL
	 * refuses the connection (it is closed). A handler of another proactor is closed as well, and
	 * the log told. Needed. */
	struct pro_service_handler *(*make_handler)(struct pro_asynch_acceptor *acceptor);

	/* Before make_handler: 0 lets the connection in, anything else closes it. May be NULL. */
	int (*validate_connection)(struct pro_asynch_acceptor *acceptor, const struct pro_addr *local,
			const struct pro_addr *remote);

	/* Before an accept is posted again: false lets it rest. NULL: true. */
	bool (*should_reissue_accept)(struct pro_asynch_acceptor *acceptor);

	/* The acceptor is closed; free what it is part of here. May be NULL. */
	void (*handle_close)(struct pro_asynch_acceptor *acceptor);
};

struct pro_asynch_acceptor_options {
	size_t size;              /* sizeof(struct pro_asynch_acceptor_options) */
	unsigned backlog;         /* 0, the default: the system's most */
	unsigned initial_accepts; /* accepts posted at once, 1 to PRO_ACCEPTS_MAX; 4 by default */
	bool no_delay;            /* set TCP_NODELAY on each connection; true by default */
	/* Its proactors take the connections in turn, each for good: make_handler and open run there.
	 * NULL, the default: all stay with the acceptor; those of a named pipe of Windows always do.
	 * Outlives the acceptor. */
	struct pro_proactor_group *group;
};

#define PRO_ACCEPTS_MAX 16

struct pro_asynch_acceptor {
	struct pro_handler handler; /* first; owns the listening socket */
	const struct pro_asynch_acceptor_vtbl *vtbl;

	/* Private. */
	struct pro_addr local;
	struct pro_asynch_timer back_off; /* after EMFILE and the like */
	unsigned back_off_ms;
	unsigned accepts_count;
	unsigned resting; /* bit i: accepts[i] waits for back_off */
	int told_error;   /* since the last connection; 0: none */
	bool no_delay;
	struct pro_proactor_group *group;
	struct pro_asynch_accept accepts[PRO_ACCEPTS_MAX];
};

/* The defaults. [any thread] Since 0.1. */
PRO_API void pro_asynch_acceptor_options_init(struct pro_asynch_acceptor_options *options);

/* Listens on `local` with the default options and posts the accepts. The acceptor is the caller's
 * memory until handle_close. On an error nothing is open. PRO_EINVAL when make_handler is
 * missing, PRO_ECLOSED during a shutdown, PRO_EFORKED, and as pro_socket_listen. [set-up or
 * callback] Since 0.1. */
PRO_API int pro_asynch_acceptor_open(struct pro_asynch_acceptor *acceptor,
		const struct pro_asynch_acceptor_vtbl *vtbl, struct pro_proactor *proactor,
		const struct pro_addr *local);
PRO_API int pro_asynch_acceptor_open_with(struct pro_asynch_acceptor *acceptor,
		const struct pro_asynch_acceptor_vtbl *vtbl, struct pro_proactor *proactor,
		const struct pro_addr *local, const struct pro_asynch_acceptor_options *options);

/* The proactor that the handler which make_handler makes is to live on: with a group, the one whose
 * turn it is. [make_handler] Since 0.1. */
PRO_API struct pro_proactor *pro_asynch_acceptor_proactor(
		const struct pro_asynch_acceptor *acceptor);

/* The address it listens on, the port that was picked included. Valid while it is open. [any
 * thread] Since 0.1. */
PRO_API const struct pro_addr *pro_asynch_acceptor_addr(const struct pro_asynch_acceptor *acceptor);

/* Posts accepts that should_reissue_accept let rest. PRO_EINVAL, PRO_ECLOSED, PRO_EFORKED.
 * [callback] Since 0.1. */
PRO_API int pro_asynch_acceptor_accept(struct pro_asynch_acceptor *acceptor);

/* Stops listening; connections stay. As pro_handler_close. [any thread] Since 0.1. */
PRO_API void pro_asynch_acceptor_close(struct pro_asynch_acceptor *acceptor);

static inline struct pro_asynch_acceptor *pro_asynch_acceptor_from_handler(
		struct pro_handler *handler)
{
	return pro_container_of(handler, struct pro_asynch_acceptor, handler);
}

PRO_END_DECLS

#endif
