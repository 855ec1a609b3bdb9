/* Sockets and files: the public calls, each handed to the world that the port belongs to. */
#include "engine.h"

#include <proactor/file.h>
#include <proactor/socket.h>

struct pro_file_root {
	struct pro_proactor *proactor;
	void *port_root;
};

static const struct pro_port_world *world(const struct pro_proactor *proactor)
{
	return pro__port_vtbl(proactor)->world;
}

int pro_socket_listen(struct pro_proactor *proactor, const struct pro_addr *local, unsigned backlog,
		pro_handle *handle)
{
	if (!proactor || !local || !handle)
		return PRO_EINVAL;
	*handle = PRO_INVALID_HANDLE;
	return world(proactor)->listen(pro__port(proactor), local, backlog, handle);
}

int pro_socket_dgram(struct pro_proactor *proactor, enum pro_family family,
		const struct pro_addr *local, pro_handle *handle)
{
	if (!proactor || !handle)
		return PRO_EINVAL;
	*handle = PRO_INVALID_HANDLE;
	return world(proactor)->dgram(pro__port(proactor), family, local, handle);
}

int pro_socket_pair(struct pro_proactor *proactor, pro_handle handles[2])
{
	if (!proactor || !handles)
		return PRO_EINVAL;
	return world(proactor)->pair(pro__port(proactor), handles);
}

int pro_socket_local_addr(struct pro_proactor *proactor, pro_handle handle, struct pro_addr *addr)
{
	if (!proactor || !addr)
		return PRO_EINVAL;
	return world(proactor)->local_addr(pro__port(proactor), handle, addr);
}

int pro_socket_remote_addr(struct pro_proactor *proactor, pro_handle handle, struct pro_addr *addr)
{
	if (!proactor || !addr)
		return PRO_EINVAL;
	return world(proactor)->remote_addr(pro__port(proactor), handle, addr);
}

int pro_socket_set_option(
		struct pro_proactor *proactor, pro_handle handle, enum pro_socket_option option, int value)
{
	if (!proactor)
		return PRO_EINVAL;
	return world(proactor)->set_option(pro__port(proactor), handle, option, value);
}

int pro_socket_shutdown_write(struct pro_proactor *proactor, pro_handle handle)
{
	if (!proactor)
		return PRO_EINVAL;
	return world(proactor)->shutdown_write(pro__port(proactor), handle);
}

int pro_file_open(
		struct pro_proactor *proactor, const char *path, unsigned flags, pro_handle *handle)
{
	if (!proactor || !path || !handle)
		return PRO_EINVAL;
	*handle = PRO_INVALID_HANDLE;
	return world(proactor)->file_open(pro__port(proactor), path, flags, handle);
}

int pro_file_status(
		struct pro_proactor *proactor, pro_handle handle, struct pro_file_status *status)
{
	if (!proactor || !status)
		return PRO_EINVAL;
	return world(proactor)->file_status(pro__port(proactor), handle, status);
}

int pro_file_root_open(
		struct pro_proactor *proactor, const char *path, struct pro_file_root **result)
{
	struct pro_file_root *root;
	int error;

	if (!proactor || !path || !result)
		return PRO_EINVAL;
	*result = NULL;
	root = pro__allocate(proactor, sizeof(*root));
	if (!root)
		return PRO_ENOMEM;
	root->proactor = proactor;
	error = world(proactor)->root_open(pro__port(proactor), path, &root->port_root);
	if (error)
		pro__deallocate(proactor, root);
	else
		*result = root;
	return error;
}

void pro_file_root_close(struct pro_file_root *root)
{
	if (!root)
		return;
	world(root->proactor)->root_close(pro__port(root->proactor), root->port_root);
	pro__deallocate(root->proactor, root);
}

int pro_file_root_open_file(struct pro_file_root *root, const char *name, unsigned flags,
		pro_handle *handle, struct pro_file_status *status)
{
	struct pro_file_status ignored;

	if (!root || !name || !handle)
		return PRO_EINVAL;
	*handle = PRO_INVALID_HANDLE;
	return world(root->proactor)
			->root_open_file(pro__port(root->proactor), root->port_root, name, flags, handle,
					status ? status : &ignored);
}

int pro_file_root_status(
		struct pro_file_root *root, const char *name, struct pro_file_status *status)
{
	if (!root || !name || !status)
		return PRO_EINVAL;
	return world(root->proactor)
			->root_status(pro__port(root->proactor), root->port_root, name, status);
}

int pro_file_root_list(struct pro_file_root *root, const char *name,
		int (*entry)(void *context, const char *entry_name, enum pro_file_type type), void *context)
{
	if (!root || !name || !entry)
		return PRO_EINVAL;
	return world(root->proactor)
			->root_list(pro__port(root->proactor), root->port_root, name, entry, context);
}
