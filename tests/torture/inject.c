/* Allocations and operations that fail. An operation fails in tables that stand before those of the
 * port: what is submitted completes with an error, or what a call asks of the port is refused. */
#include "inject.h"

#include <errno.h>

#include "../../proactor/data_block.h"
#include "../../proactor/lent_pool.h"
#include "../../proactor/proactor_private.h"
#include "calls.h"

/* ---- allocations ---- */

static void allocations_arm(struct world *world, uint64_t number)
{
	world->memory.fail_call = number;
}

static uint64_t allocations_count(const struct world *world)
{
	return world->memory.calls;
}

static uint64_t allocations_failures(const struct world *world)
{
	return world->memory.failures;
}

const struct kind kind_allocations = {
		.name = "allocations",
		.noun = "allocation",
		.arm = allocations_arm,
		.count = allocations_count,
		.failures = allocations_failures,
};

/* ---- operations ---- */

static PRO_ATOMIC(uint64_t) failing_operation;
static PRO_ATOMIC(uint64_t) operations;
static PRO_ATOMIC(uint64_t) failed_operations;

static void operations_arm(struct world *world, uint64_t number)
{
	(void)world;
	failing_operation = number;
}

static uint64_t operations_count(const struct world *world)
{
	(void)world;
	return operations;
}

static uint64_t operations_failures(const struct world *world)
{
	(void)world;
	return failed_operations;
}

const struct kind kind_operations = {
		.name = "operations",
		.noun = "operation",
		.arm = operations_arm,
		.count = operations_count,
		.failures = operations_failures,
};

static bool operation_fails(void)
{
	if (++operations != failing_operation)
		return false;
	failed_operations++;
	return true;
}

/* ---- the tables ---- */

struct pro_proactor *proactors[PROACTORS_MAX];
static struct pro_port_vtbl vtbls[PROACTORS_MAX];
static struct pro_port_world port_worlds[PROACTORS_MAX];
static const struct pro_port_vtbl *real_vtbl;
static unsigned made;

static void torture_submit(struct pro_port *port, struct pro_operation *operation)
{
	if (operation_fails())
		pro__operation_complete(operation, PRO_ENOBUFS, ENOBUFS, 0);
	else
		real_vtbl->submit(port, operation);
}

/* What the port made is not its own any more. */
static int given(int error, const pro_handle *handles, unsigned count)
{
	for (unsigned i = 0; !error && i < count; i++)
		calls_give(handles[i]);
	return error;
}

void __real_pro__operation_complete(
		struct pro_operation *operation, int error, int os_error, size_t bytes);
void __wrap_pro__operation_complete(
		struct pro_operation *operation, int error, int os_error, size_t bytes);

void __wrap_pro__operation_complete(
		struct pro_operation *operation, int error, int os_error, size_t bytes)
{
	if (operation->opcode == PRO_OP_ACCEPT)
		given(error, &operation->request.accept.accepted, 1);
	if (operation->opcode == PRO_OP_CONNECT)
		given(error, &operation->request.connect.connected, 1);
	__real_pro__operation_complete(operation, error, os_error, bytes);
}

static int torture_listen(
		struct pro_port *port, const struct pro_addr *local, unsigned backlog, pro_handle *handle)
{
	return operation_fails()
				   ? PRO_EMFILE
				   : given(real_vtbl->world->listen(port, local, backlog, handle), handle, 1);
}

static int torture_dgram(struct pro_port *port, enum pro_family family,
		const struct pro_addr *local, pro_handle *handle)
{
	return operation_fails()
				   ? PRO_EMFILE
				   : given(real_vtbl->world->dgram(port, family, local, handle), handle, 1);
}

static int torture_pair(struct pro_port *port, pro_handle handles[2])
{
	return operation_fails() ? PRO_EMFILE
							 : given(real_vtbl->world->pair(port, handles), handles, 2);
}

static int torture_file_open(
		struct pro_port *port, const char *path, unsigned flags, pro_handle *handle)
{
	return operation_fails()
				   ? PRO_EMFILE
				   : given(real_vtbl->world->file_open(port, path, flags, handle), handle, 1);
}

static int torture_file_status(
		struct pro_port *port, pro_handle handle, struct pro_file_status *status)
{
	return operation_fails() ? PRO_EIO : real_vtbl->world->file_status(port, handle, status);
}

static int torture_local_addr(struct pro_port *port, pro_handle handle, struct pro_addr *addr)
{
	return operation_fails() ? PRO_ENOBUFS : real_vtbl->world->local_addr(port, handle, addr);
}

static int torture_remote_addr(struct pro_port *port, pro_handle handle, struct pro_addr *addr)
{
	return operation_fails() ? PRO_ENOBUFS : real_vtbl->world->remote_addr(port, handle, addr);
}

static int torture_set_option(
		struct pro_port *port, pro_handle handle, enum pro_socket_option option, int value)
{
	return operation_fails() ? PRO_ENOBUFS
							 : real_vtbl->world->set_option(port, handle, option, value);
}

static int torture_shutdown_write(struct pro_port *port, pro_handle handle)
{
	return operation_fails() ? PRO_ENOBUFS : real_vtbl->world->shutdown_write(port, handle);
}

static int torture_root_open(struct pro_port *port, const char *path, void **root)
{
	return operation_fails() ? PRO_EMFILE : real_vtbl->world->root_open(port, path, root);
}

static int torture_root_open_file(struct pro_port *port, void *root, const char *name,
		unsigned flags, pro_handle *handle, struct pro_file_status *status)
{
	return operation_fails()
				   ? PRO_EMFILE
				   : real_vtbl->world->root_open_file(port, root, name, flags, handle, status);
}

static int torture_root_status(
		struct pro_port *port, void *root, const char *name, struct pro_file_status *status)
{
	return operation_fails() ? PRO_EIO : real_vtbl->world->root_status(port, root, name, status);
}

static int torture_root_list(struct pro_port *port, void *root, const char *name,
		int (*entry)(void *context, const char *entry_name, enum pro_file_type type), void *context)
{
	return operation_fails() ? PRO_EIO
							 : real_vtbl->world->root_list(port, root, name, entry, context);
}

static void put_before(struct pro_proactor *proactor, unsigned slot)
{
	real_vtbl = proactor->port_vtbl;
	port_worlds[slot] = *real_vtbl->world;
	port_worlds[slot].listen = torture_listen;
	port_worlds[slot].dgram = torture_dgram;
	port_worlds[slot].pair = torture_pair;
	port_worlds[slot].file_open = torture_file_open;
	port_worlds[slot].file_status = torture_file_status;
	port_worlds[slot].local_addr = torture_local_addr;
	port_worlds[slot].remote_addr = torture_remote_addr;
	port_worlds[slot].set_option = torture_set_option;
	port_worlds[slot].shutdown_write = torture_shutdown_write;
	port_worlds[slot].root_open = torture_root_open;
	port_worlds[slot].root_open_file = torture_root_open_file;
	port_worlds[slot].root_status = torture_root_status;
	port_worlds[slot].root_list = torture_root_list;
	vtbls[slot] = *real_vtbl;
	vtbls[slot].submit = torture_submit;
	vtbls[slot].world = &port_worlds[slot];
	proactor->port_vtbl = &vtbls[slot];
}

int __real_pro_proactor_create(struct pro_proactor **proactor,
		const struct pro_proactor_options *options, char *why, size_t why_size);
int __wrap_pro_proactor_create(struct pro_proactor **proactor,
		const struct pro_proactor_options *options, char *why, size_t why_size);
int __real_pro_proactor_destroy(struct pro_proactor *proactor);
int __wrap_pro_proactor_destroy(struct pro_proactor *proactor);

int __wrap_pro_proactor_create(struct pro_proactor **proactor,
		const struct pro_proactor_options *options, char *why, size_t why_size)
{
	int error = __real_pro_proactor_create(proactor, options, why, why_size);

	if (error || made == PROACTORS_MAX)
		return error;
	proactors[made] = *proactor;
	put_before(*proactor, made++);
	return 0;
}

int __wrap_pro_proactor_destroy(struct pro_proactor *proactor)
{
	int error;

	run_before_destroy(proactor);
	error = __real_pro_proactor_destroy(proactor);

	for (unsigned i = 0; !error && i < made; i++)
		if (proactors[i] == proactor)
			proactors[i] = NULL;
	return error;
}

/* ---- lent blocks ---- */

#define LENT_BLOCKS_MAX 4096u

/* Those that were ever out. */
static struct {
	const struct pro_lent_pool *pool;
	struct pro_message_block *block;
} lent[LENT_BLOCKS_MAX];
static unsigned lent_count;

static struct pro_message_block *lent_note(
		const struct pro_lent_pool *pool, struct pro_message_block *block)
{
	for (unsigned i = 0; i < lent_count; i++)
		if (lent[i].block == block && lent[i].pool == pool)
			return block;
	if (block && lent_count < LENT_BLOCKS_MAX) {
		lent[lent_count].pool = pool;
		lent[lent_count++].block = block;
	}
	return block;
}

struct pro_message_block *__real_pro__lent_pool_take(struct pro_lent_pool *pool);
struct pro_message_block *__wrap_pro__lent_pool_take(struct pro_lent_pool *pool);
struct pro_message_block *__real_pro__lent_pool_lend(struct pro_lent_pool *pool, unsigned index);
struct pro_message_block *__wrap_pro__lent_pool_lend(struct pro_lent_pool *pool, unsigned index);

struct pro_message_block *__wrap_pro__lent_pool_take(struct pro_lent_pool *pool)
{
	return lent_note(pool, __real_pro__lent_pool_take(pool));
}

struct pro_message_block *__wrap_pro__lent_pool_lend(struct pro_lent_pool *pool, unsigned index)
{
	return lent_note(pool, __real_pro__lent_pool_lend(pool, index));
}

void inject_release_lent_blocks(struct pro_proactor *proactor)
{
	const struct pro_lent_pool *pool = proactor->lent_pool;

	for (unsigned i = 0; i < lent_count && pro__lent_pool_used(pool) > 0; i++)
		if (lent[i].pool == pool && lent[i].block->data &&
				pro_message_block_reference_count(lent[i].block) > 0)
			pro_message_block_release(lent[i].block);
}
