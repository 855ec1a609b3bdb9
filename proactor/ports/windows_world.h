/* Private: sockets, files, names and the clock of Windows, for the completion port. */
#ifndef PROACTOR_PORTS_WINDOWS_WORLD_H
#define PROACTOR_PORTS_WINDOWS_WORLD_H

#include "iocp_win32.h"
#include "port.h"

extern const struct pro_port_world pro__windows_world;

/* Makes Winsock ready, once a process. 0 or the system's error. [any thread] */
DWORD pro__windows_start_sockets(void);

uint64_t pro__windows_random(struct pro_port *port);

/* UTF-8 to UTF-16 with its NUL in `wide` of `units` units: 0, PRO_ENAME for what is no UTF-8,
 * PRO_ENAMETOOLONG. [any thread] */
int pro__windows_widen(const char *text, WCHAR *wide, size_t units);

/* "unix:\\.\pipe\NAME" is the named pipe of that name; every other path is a socket's. */
bool pro__windows_is_pipe(const struct pro_addr *addr);

/* What the system says of the path of a socket may go on behind its end: that is cut off. */
void pro__windows_trim_path(struct pro_addr *addr);
/* Where `addr` leads: the wildcard is no destination here, so it becomes the loopback of its family
 * in *loopback, as it is elsewhere. */
const struct pro_addr *pro__windows_destination(
		const struct pro_addr *addr, struct pro_addr *loopback);
bool pro__windows_is_loopback(const struct pro_addr *addr);
/* Whether it is an address of IPv4 in one of IPv6. */
bool pro__windows_is_mapped(const struct pro_addr *addr);

/* ---- files (windows_file.c) ---- */

int pro__windows_file_open(
		struct pro_port *port, const char *path, unsigned flags, pro_handle *handle);
int pro__windows_file_status(
		struct pro_port *port, pro_handle handle, struct pro_file_status *status);
int pro__windows_root_open(struct pro_port *port, const char *path, void **root);
void pro__windows_root_close(struct pro_port *port, void *root);
int pro__windows_root_open_file(struct pro_port *port, void *root, const char *name, unsigned flags,
		pro_handle *handle, struct pro_file_status *status);
int pro__windows_root_status(
		struct pro_port *port, void *root, const char *name, struct pro_file_status *status);
int pro__windows_root_list(struct pro_port *port, void *root, const char *name,
		int (*entry)(void *context, const char *entry_name, enum pro_file_type type),
		void *context);

/* ---- names (windows_name.c) ---- */

/* Room for the longest name below a root, with its NUL. */
#define PRO__WINDOWS_NAME_MAX 4096

/* Checks `name`, UTF-8 with `/` between its parts, and writes it to `plain` (PRO__WINDOWS_NAME_MAX
 * bytes) with `\` between them and without `.`, `..` and empty parts; the root itself is "".
 * *is_directory: a slash at the end asks for one. PRO_EESCAPE for absolute names and `..` that
 * leads out, PRO_ENAMETOOLONG, PRO_ENAME for all that Windows does not take for the name of a file:
 * devices, streams, drive letters, backslashes, `\\?\`, UNC names, trailing dots and spaces,
 * control characters and wildcards. */
int pro__windows_name_check(const char *name, char *plain, bool *is_directory);

#endif
