/* The ports of a Linux build, best first. */
#include "port.h"

#ifdef PRO_HAVE_LIBURING
extern const struct pro_port_vtbl pro__io_uring_port;
#endif
extern const struct pro_port_vtbl pro__epoll_port;

const struct pro_port_vtbl *const pro__ports[] = {
#ifdef PRO_HAVE_LIBURING
		&pro__io_uring_port,
#endif
		&pro__epoll_port,
		NULL,
};
