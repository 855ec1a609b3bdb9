/* The ports of a Windows build. */
#include "port.h"

extern const struct pro_port_vtbl pro__iocp_port;

const struct pro_port_vtbl *const pro__ports[] = {
		&pro__iocp_port,
		NULL,
};
