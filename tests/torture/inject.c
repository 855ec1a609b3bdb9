/* Allocations and operations that fail. An operation fails in tables that stand before those of the
 * port: what is submitted completes with an error, or what a call asks of the port is refused. */
#include "inject.h"

#include <errno.h>

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
static struct pro_port_world worlds[PROACTORS_MAX];
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

static void put_before(struct pro_proactor *proactor, unsigned slot)
{
	real_vtbl = proactor->port_vtbl;
	worlds[slot] = *real_vtbl->world;
	worlds[slot].listen = torture_listen;
	worlds[slot].dgram = torture_dgram;
	worlds[slot].pair = torture_pair;
	worlds[slot].file_open = torture_file_open;
	worlds[slot].file_status = torture_file_status;
	vtbls[slot] = *real_vtbl;
	vtbls[slot].submit = torture_submit;
	vtbls[slot].world = &worlds[slot];
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
	int error = __real_pro_proactor_destroy(proactor);

	for (unsigned i = 0; !error && i < made; i++)
		if (proactors[i] == proactor)
			proactors[i] = NULL;
	return error;
}
