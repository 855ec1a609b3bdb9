/* What a test does to a simulated world: the network, the power, the files. */
#include "sim.h"

#include <string.h>

/* ---- the network ---- */

static unsigned id_of(const struct pro_proactor *proactor)
{
	return pro__sim_port_of(pro__port(proactor))->id;
}

static void resume_streams(struct pro_sim *sim)
{
	for (uint32_t i = 0; i < sim->objects.made; i++) {
		struct sim_object *object = pro__sim_pool_at(&sim->objects, i);

		if (object && object->kind == SIM_STREAM)
			pro__sim_stream_resume(object);
	}
}

static void set_clog(struct pro_sim *sim, unsigned from, unsigned to, int64_t ms)
{
	sim->clogged_until_ns[from][to] =
			ms < 0 ? UINT64_MAX : pro__sim_now(sim) + (uint64_t)ms * 1000000;
}

void pro_sim_clog(
		struct pro_sim *sim, struct pro_proactor *from, struct pro_proactor *to, int64_t ms)
{
	set_clog(sim, id_of(from), id_of(to), ms);
}

void pro_sim_partition(
		struct pro_sim *sim, struct pro_proactor *left, struct pro_proactor *right, int64_t ms)
{
	set_clog(sim, id_of(left), id_of(right), ms);
	set_clog(sim, id_of(right), id_of(left), ms);
}

void pro_sim_heal(struct pro_sim *sim, struct pro_proactor *left, struct pro_proactor *right)
{
	pro_sim_partition(sim, left, right, 0);
	resume_streams(sim);
}

void pro_sim_stop_faults(struct pro_sim *sim)
{
	memset(sim->choices.rates, 0, sizeof(sim->choices.rates));
	memset(sim->clogged_until_ns, 0, sizeof(sim->clogged_until_ns));
	for (uint32_t i = 0; i < sim->objects.made; i++) {
		struct sim_object *object = pro__sim_pool_at(&sim->objects, i);

		if (object && object->kind == SIM_STREAM)
			object->as.stream.in.clogged_until_ns = 0;
	}
	resume_streams(sim);
}

unsigned pro_sim_reset_connections(struct pro_sim *sim, struct pro_proactor *proactor)
{
	const struct sim_port *port = pro__sim_port_of(pro__port(proactor));
	unsigned count = 0;

	for (uint32_t i = 0; i < sim->objects.made; i++) {
		struct sim_object *object = pro__sim_pool_at(&sim->objects, i);

		if (!object || object->kind != SIM_STREAM || object->port != port ||
				!object->as.stream.is_connected || object->as.stream.is_closed ||
				object->as.stream.is_reset)
			continue;
		pro__sim_stream_reset(object);
		count++;
	}
	return count;
}

int pro_sim_reset_handle(struct pro_sim *sim, pro_handle handle)
{
	struct sim_object *object = pro__sim_find(sim, handle);

	if (!object)
		return PRO_EBADF;
	if (object->kind != SIM_STREAM || !object->as.stream.is_connected)
		return PRO_ENOTCONN;
	pro__sim_stream_reset(object);
	return 0;
}

void pro_sim_set_latency(struct pro_sim *sim, uint32_t least_us, uint32_t most_us)
{
	sim->options.latency_us[0] = least_us;
	sim->options.latency_us[1] = most_us > least_us ? most_us : least_us;
}

void pro_sim_set_buffer_bytes(struct pro_sim *sim, size_t bytes)
{
	sim->options.buffer_bytes = bytes > 2 ? bytes : 2;
}

/* ---- the power ---- */

/* Its loop goes on, so that its handlers can be closed, but what they do reaches nothing. */
static void port_crash(struct sim_port *port)
{
	struct pro_sim *sim = port->sim;

	port->is_crashed = true;
	for (unsigned i = 0; i < PRO_SIM_PROACTORS_MAX; i++)
		sim->clogged_until_ns[port->id][i] = sim->clogged_until_ns[i][port->id] = UINT64_MAX;
	for (uint32_t i = 0; i < sim->flights.made; i++) {
		struct sim_flight *flight = pro__sim_pool_at(&sim->flights, i);

		if (!flight || flight->port != port)
			continue;
		flight->is_canceled = true;
		flight->is_lost = true;
		pro__sim_make_ready(flight);
	}
	/* Its peers hear of it when it is there again: it knows nothing of them. */
	for (uint32_t i = 0; i < sim->objects.made; i++) {
		struct sim_object *object = pro__sim_pool_at(&sim->objects, i);

		if (object && object->kind == SIM_STREAM && object->port == port)
			object->as.stream.resets_on_close = true;
	}
}

void pro_sim_crash(struct pro_sim *sim, struct pro_proactor *proactor)
{
	port_crash(pro__sim_port_of(pro__port(proactor)));
	pro__sim_node_crash(sim, sim->root);
}

/* ---- files ---- */

/* Makes the directories of the path; the last name in *last. */
static int make_parents(
		struct pro_sim *sim, const char *path, struct sim_node **directory, const char **last)
{
	struct sim_node *node = sim->root;

	for (path += strspn(path, "/");; path += strspn(path, "/")) {
		const size_t length = strcspn(path, "/");
		struct sim_node *child;
		char name[256];

		if (length == 0 || length >= sizeof(name))
			return PRO_EINVAL;
		if (!path[length])
			break;
		child = pro__sim_node_child(node, path, length);
		memcpy(name, path, length);
		name[length] = '\0';
		if (!child)
			child = pro__sim_node_make(sim, node, name, SIM_NODE_DIRECTORY);
		if (child->type != SIM_NODE_DIRECTORY)
			return PRO_ENOTDIR;
		node = child;
		path += length;
	}
	*directory = node;
	*last = path;
	return 0;
}

static int make_node(
		struct pro_sim *sim, const char *path, enum sim_node_type type, struct sim_node **node)
{
	struct sim_node *directory;
	const char *name;
	int error = make_parents(sim, path, &directory, &name);

	if (error)
		return error;
	*node = pro__sim_node_child(directory, name, strlen(name));
	if (!*node)
		*node = pro__sim_node_make(sim, directory, name, type);
	(*node)->is_new = false;
	if ((*node)->type == type)
		return 0;
	return (*node)->type == SIM_NODE_DIRECTORY ? PRO_EISDIR : PRO_EEXIST;
}

int pro_sim_file_write(
		struct pro_sim *sim, const char *path, uint64_t offset, const void *bytes, size_t length)
{
	struct sim_node *node;
	int error = make_node(sim, path, SIM_NODE_FILE, &node);

	if (error)
		return error;
	pro__sim_node_write(sim, node, offset, bytes, length);
	pro__sim_node_sync(node);
	return 0;
}

static int find_file(struct pro_sim *sim, const char *path, struct sim_node **node)
{
	int error = pro__sim_walk(sim, path, node);

	if (error)
		return error;
	return (*node)->type == SIM_NODE_FILE ? 0 : PRO_EISDIR;
}

int pro_sim_file_read(
		struct pro_sim *sim, const char *path, uint64_t offset, void *bytes, size_t *length)
{
	struct sim_node *node;
	int error = find_file(sim, path, &node);
	uint64_t left;

	if (error)
		return error;
	left = offset < node->size ? node->size - offset : 0;
	if (*length > left)
		*length = (size_t)left;
	pro__sim_node_read(node, offset, bytes, *length);
	return 0;
}

int pro_sim_file_size(struct pro_sim *sim, const char *path, uint64_t *size)
{
	struct sim_node *node;
	int error = find_file(sim, path, &node);

	if (!error)
		*size = node->size;
	return error;
}

int pro_sim_file_resize(struct pro_sim *sim, const char *path, uint64_t size)
{
	struct sim_node *node;
	int error = find_file(sim, path, &node);

	if (error)
		return error;
	pro__sim_node_resize(sim, node, size);
	pro__sim_node_sync(node);
	return 0;
}

int pro_sim_file_remove(struct pro_sim *sim, const char *path)
{
	struct sim_node *node;
	int error = pro__sim_walk(sim, path, &node);

	if (error)
		return error;
	if (node == sim->root)
		return PRO_EISDIR;
	pro__sim_node_remove(sim, node);
	return 0;
}

int pro_sim_make_directory(struct pro_sim *sim, const char *path)
{
	struct sim_node *node;
	int error = make_node(sim, path, SIM_NODE_DIRECTORY, &node);

	return error;
}

int pro_sim_make_link(struct pro_sim *sim, const char *path)
{
	struct sim_node *node;

	return make_node(sim, path, SIM_NODE_LINK, &node);
}

int pro_sim_make_device(struct pro_sim *sim, const char *path)
{
	struct sim_node *node;

	return make_node(sim, path, SIM_NODE_DEVICE, &node);
}

void pro_sim_set_disk_bytes(struct pro_sim *sim, uint64_t bytes)
{
	sim->options.disk_bytes = bytes;
}

void pro_sim_sync(struct pro_sim *sim)
{
	pro__sim_node_sync(sim->root);
}
