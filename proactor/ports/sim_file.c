/* Files of a simulated world: opening, below a root and anywhere, reading and writing. */
#include "sim.h"

#include <assert.h>
#include <string.h>

#define NAME_BYTES_MAX 255u
#define PATH_BYTES_MAX 4096u

/* The first file of every world was modified on 2023-11-14. */
#define EPOCH_S INT64_C(1700000000)

#define DISK_LEAST_NS 20000u
#define DISK_MOST_NS  800000u
#define DISK_SLOW_NS  UINT64_C(1000000000)

uint64_t pro__sim_disk_latency(struct pro_sim *sim)
{
	uint64_t latency_ns = pro__sim_between(sim, DISK_LEAST_NS, DISK_MOST_NS);

	if (pro__sim_strikes(sim, PRO_SIM_DELAY))
		latency_ns += pro__sim_fault_below(sim, PRO_SIM_DELAY, DISK_SLOW_NS);
	return latency_ns;
}

/* ---- finding ---- */

struct walk {
	struct sim_node *root;
	struct sim_node *node;   /* where it stands; NULL: the last part is not there */
	struct sim_node *parent; /* of the last part, if that is not there */
	char last[NAME_BYTES_MAX + 1];
	bool has_slash; /* behind the last part */
};

static int walk_part(struct walk *walk, const char *part, size_t length)
{
	struct sim_node *child;

	if (length > NAME_BYTES_MAX)
		return PRO_ENAMETOOLONG;
	if (walk->node->type != SIM_NODE_DIRECTORY)
		return PRO_ENOTDIR;
	if (length == 1 && part[0] == '.')
		return 0;
	if (length == 2 && part[0] == '.' && part[1] == '.') {
		if (walk->node == walk->root)
			return PRO_EESCAPE;
		walk->node = walk->node->parent;
		return walk->node ? 0 : PRO_ENOENT;
	}
	memcpy(walk->last, part, length);
	walk->last[length] = '\0';
	child = pro__sim_node_child(walk->node, part, length);
	if (!child)
		walk->parent = walk->node;
	walk->node = child;
	return child && child->type == SIM_NODE_LINK ? PRO_EESCAPE : 0;
}

/* From the root, through no link. 0 with node NULL: only the last part is missing. */
static int walk_all(struct walk *walk, struct sim_node *root, const char *name)
{
	*walk = (struct walk){.root = root, .node = root};
	if (strnlen(name, PATH_BYTES_MAX) == PATH_BYTES_MAX)
		return PRO_ENAMETOOLONG;
	while (*name) {
		const size_t length = strcspn(name, "/");
		int error = walk_part(walk, name, length);

		if (error)
			return error;
		name += length;
		walk->has_slash = *name == '/';
		name += strspn(name, "/");
		if (!walk->node && *name)
			return PRO_ENOENT;
	}
	if (walk->node && walk->has_slash && walk->node->type != SIM_NODE_DIRECTORY)
		return PRO_ENOTDIR;
	return 0;
}

static int find_below(struct sim_node *root, const char *name, struct sim_node **node)
{
	struct walk walk;
	int error = *name == '/' ? PRO_EESCAPE : walk_all(&walk, root, name);

	*node = error ? NULL : walk.node;
	return error || *node ? error : PRO_ENOENT;
}

int pro__sim_walk(const struct pro_sim *sim, const char *path, struct sim_node **node)
{
	int error = find_below(sim->root, path + strspn(path, "/"), node);

	/* Nobody resolves the links of this world. */
	return error == PRO_EESCAPE ? PRO_ENOENT : error;
}

/* ---- opening ---- */

static int check_flags(unsigned flags)
{
	const unsigned known = PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE | PRO_FILE_EXCLUSIVE |
						   PRO_FILE_TRUNCATE | PRO_FILE_DIRECT;

	if ((flags & ~known) || !(flags & (PRO_FILE_READ | PRO_FILE_WRITE)))
		return PRO_EINVAL;
	if (!(flags & PRO_FILE_WRITE) && (flags & (PRO_FILE_CREATE | PRO_FILE_TRUNCATE)))
		return PRO_EINVAL;
	return (flags & PRO_FILE_EXCLUSIVE) && !(flags & PRO_FILE_CREATE) ? PRO_EINVAL : 0;
}

static int open_missing(
		struct pro_sim *sim, struct walk *walk, unsigned flags, struct sim_node **node)
{
	if (!(flags & PRO_FILE_CREATE))
		return PRO_ENOENT;
	if (walk->has_slash)
		return PRO_EISDIR;
	*node = pro__sim_node_make(sim, walk->parent, walk->last, SIM_NODE_FILE);
	return 0;
}

static int open_existing(struct walk *walk, unsigned flags, struct sim_node **node)
{
	*node = walk->node;
	if (flags & PRO_FILE_EXCLUSIVE)
		return PRO_EEXIST;
	switch (walk->node->type) {
	case SIM_NODE_FILE:
		return 0;
	case SIM_NODE_DIRECTORY:
		return PRO_EISDIR;
	case SIM_NODE_LINK:
	case SIM_NODE_DEVICE:
		break;
	}
	return PRO_EACCES;
}

/* There is a number for it: its caller has looked. */
static pro_handle open_object(struct sim_port *port, struct sim_node *node, unsigned flags)
{
	struct sim_object *object = pro__sim_object_make(port, SIM_FILE);
	int error;

	object->as.file.node = node;
	object->as.file.can_read = flags & PRO_FILE_READ;
	object->as.file.can_write = flags & PRO_FILE_WRITE;
	node->references++;
	error = pro__sim_number_take(port, object);
	assert(!error);
	(void)error;
	if (flags & PRO_FILE_TRUNCATE)
		pro__sim_node_resize(port->sim, node, 0);
	return object->number;
}

static int open_below(struct sim_port *port, struct sim_node *root, const char *name,
		unsigned flags, pro_handle *handle, struct sim_node **node)
{
	struct walk walk;
	int error = check_flags(flags);

	*handle = PRO_INVALID_HANDLE;
	if (port->is_crashed)
		return PRO_EIO;
	if (!error && *name == '/')
		error = PRO_EESCAPE;
	if (!error)
		error = walk_all(&walk, root, name);
	if (!error &&
			(!pro__sim_number_is_free(port) || pro__sim_strikes(port->sim, PRO_SIM_FILE_OPEN)))
		error = PRO_EMFILE;
	if (!error)
		error = walk.node ? open_existing(&walk, flags, node)
						  : open_missing(port->sim, &walk, flags, node);
	if (!error)
		*handle = open_object(port, *node, flags);
	return error;
}

int pro__sim_file_open(
		struct pro_port *pro_port, const char *path, unsigned flags, pro_handle *handle)
{
	struct sim_port *port = pro__sim_port_of(pro_port);
	struct sim_node *node;
	int error = open_below(port, port->sim->root, path + strspn(path, "/"), flags, handle, &node);

	return error == PRO_EESCAPE ? PRO_ENOENT : error;
}

void pro__sim_file_close(struct sim_object *object)
{
	pro__sim_node_release(object->sim, object->as.file.node);
}

static enum pro_file_type type_of(const struct sim_node *node)
{
	switch (node->type) {
	case SIM_NODE_FILE:
		return PRO_FILE_REGULAR;
	case SIM_NODE_DIRECTORY:
		return PRO_FILE_DIRECTORY;
	case SIM_NODE_LINK:
	case SIM_NODE_DEVICE:
		break;
	}
	return PRO_FILE_OTHER;
}

static struct pro_file_status status_of(const struct sim_node *node)
{
	return (struct pro_file_status){
			.type = type_of(node),
			.size = node->size,
			.modified_s = EPOCH_S + (int64_t)(node->modified_ns / 1000000000),
			.identity = {1, node->number},
	};
}

int pro__sim_file_status(struct pro_port *port, pro_handle handle, struct pro_file_status *status)
{
	const struct sim_object *object = pro__sim_find(pro__sim_port_of(port)->sim, handle);

	if (!object)
		return PRO_EBADF;
	if (object->kind == SIM_FILE)
		*status = status_of(object->as.file.node);
	else
		*status = (struct pro_file_status){
				.type = PRO_FILE_OTHER, .identity = {2, (uint64_t)object->slot.index}};
	return 0;
}

int pro__sim_root_open(struct pro_port *port, const char *path, void **root)
{
	struct sim_node *node;
	int error = pro__sim_walk(pro__sim_port_of(port)->sim, path, &node);

	*root = NULL;
	if (error)
		return error;
	if (node->type != SIM_NODE_DIRECTORY)
		return PRO_ENOTDIR;
	node->references++;
	*root = node;
	return 0;
}

void pro__sim_root_close(struct pro_port *port, void *root)
{
	if (root)
		pro__sim_node_release(pro__sim_port_of(port)->sim, root);
}

int pro__sim_root_open_file(struct pro_port *port, void *root, const char *name, unsigned flags,
		pro_handle *handle, struct pro_file_status *status)
{
	struct sim_node *node;
	int error = open_below(pro__sim_port_of(port), root, name, flags, handle, &node);

	if (!error && status)
		*status = status_of(node);
	return error;
}

int pro__sim_root_status(
		struct pro_port *port, void *root, const char *name, struct pro_file_status *status)
{
	struct sim_node *node;
	int error = find_below(root, name, &node);

	(void)port;
	if (!error)
		*status = status_of(node);
	return error;
}

int pro__sim_root_list(struct pro_port *port, void *root, const char *name,
		int (*entry)(void *context, const char *entry_name, enum pro_file_type type), void *context)
{
	struct sim_node *node;
	struct sim_node *next;
	int error = find_below(root, name, &node);

	(void)port;
	if (error)
		return error;
	if (node->type != SIM_NODE_DIRECTORY)
		return PRO_ENOTDIR;
	for (node = node->children; node; node = next) {
		int result;

		next = node->next;
		result = entry(context, node->name, type_of(node));
		if (result)
			return result;
	}
	return 0;
}

/* ---- reading and writing ---- */

static size_t limit_transfer(struct pro_sim *sim, size_t length)
{
	if (length > 1 && pro__sim_strikes(sim, PRO_SIM_FILE_SHORT))
		return 1 + (size_t)pro__sim_fault_below(sim, PRO_SIM_FILE_SHORT, length - 1);
	return length;
}

bool pro__sim_try_read_file(struct sim_flight *flight, struct sim_result *result)
{
	const struct pro_operation *operation = flight->operation;
	const struct pro_buffer *buffers = operation->request.io.buffers;
	const struct sim_file *file = &flight->object->as.file;
	struct pro_sim *sim = flight->port->sim;
	const uint64_t offset = operation->request.io.offset;
	size_t length = pro__sim_total(buffers, operation->request.io.count);

	if (!file->can_read)
		result->error = PRO_EBADF;
	else if (pro__sim_strikes(sim, PRO_SIM_FILE_ERROR))
		result->error = PRO_EIO;
	else if (length > 0 && offset >= file->node->size)
		result->error = PRO_EOF;
	if (result->error || length == 0)
		return true;
	if (length > file->node->size - offset)
		length = (size_t)(file->node->size - offset);
	length = limit_transfer(sim, length);
	for (; result->bytes < length; buffers++) {
		size_t left = length - result->bytes;
		size_t part = buffers->length < left ? buffers->length : left;

		pro__sim_node_read(file->node, offset + result->bytes, buffers->base, part);
		result->bytes += part;
	}
	return true;
}

/* How many of the bytes can be written; 0 with an error. */
static size_t writable_bytes(struct sim_flight *flight, size_t length, struct sim_result *result)
{
	const struct sim_file *file = &flight->object->as.file;
	struct pro_sim *sim = flight->port->sim;
	const uint64_t offset = flight->operation->request.io.offset;
	size_t space;

	/* A write that would end beyond is refused at its start. */
	assert(offset <= INT64_MAX && length <= INT64_MAX - offset);
	if (!file->can_write)
		result->error = PRO_EBADF;
	else if (pro__sim_strikes(sim, PRO_SIM_FILE_ERROR))
		result->error = PRO_EIO;
	else if (pro__sim_strikes(sim, PRO_SIM_FILE_FULL))
		result->error = PRO_ENOSPC;
	if (result->error)
		return 0;
	space = pro__sim_node_space(sim, file->node, offset, length);
	if (space == 0)
		result->error = PRO_ENOSPC;
	return limit_transfer(sim, space);
}

bool pro__sim_try_write_file(struct sim_flight *flight, struct sim_result *result)
{
	const struct pro_operation *operation = flight->operation;
	const struct pro_buffer *buffers = operation->request.io.buffers;
	const struct sim_file *file = &flight->object->as.file;
	struct pro_sim *sim = flight->port->sim;
	const size_t length =
			writable_bytes(flight, pro__sim_total(buffers, operation->request.io.count), result);

	for (; result->bytes < length; buffers++) {
		size_t left = length - result->bytes;
		size_t part = buffers->length < left ? buffers->length : left;

		pro__sim_node_write(
				sim, file->node, operation->request.io.offset + result->bytes, buffers->base, part);
		result->bytes += part;
	}
	return true;
}
