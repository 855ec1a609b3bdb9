/* Private: the file part of the world of a Linux port, for the table in linux_world.c. */
#ifndef PROACTOR_PORTS_LINUX_FILE_H
#define PROACTOR_PORTS_LINUX_FILE_H

#include "port.h"

#include <sys/types.h>

int pro__linux_file_open(
		struct pro_port *port, const char *path, unsigned flags, pro_handle *handle);
int pro__linux_file_status(
		struct pro_port *port, pro_handle handle, struct pro_file_status *status);
int pro__linux_root_open(struct pro_port *port, const char *path, void **root);
void pro__linux_root_close(struct pro_port *port, void *root);
int pro__linux_root_open_file(struct pro_port *port, void *root, const char *name, unsigned flags,
		pro_handle *handle, struct pro_file_status *status);
int pro__linux_root_status(
		struct pro_port *port, void *root, const char *name, struct pro_file_status *status);
int pro__linux_root_list(struct pro_port *port, void *root, const char *name,
		int (*entry)(void *context, const char *entry_name, enum pro_file_type type),
		void *context);

/* Opens `name` below the directory `root_fd` without following a symbolic link or leaving it.
 * `flags` and `mode` as for open(2). A descriptor, or a negative PRO_E…. Both do the same: the
 * first asks the kernel once (openat2), the second walks part by part, for kernels and sandboxes
 * without it. */
int pro__open_beneath(int root_fd, const char *name, int flags, mode_t mode);
int pro__open_beneath_by_parts(int root_fd, const char *name, int flags, mode_t mode);

#endif
