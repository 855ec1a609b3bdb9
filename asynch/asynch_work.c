/* Work for the pool of threads: the loop queues it there, and takes it back if it is cancelled in
 * time. No port has a part in it. */
#include <proactor/asynch_work.h>

#include "asynch_private.h"

_Static_assert(sizeof(struct pro_work) <= sizeof(((struct pro_operation *)0)->port),
		"what the pool keeps fits where a port's part would be");

static struct pro_asynch_work *work_from_operation(struct pro_operation *operation)
{
	return pro_container_of(operation, struct pro_asynch_work, operation);
}

static struct pro_work *work_item(struct pro_operation *operation)
{
	return (struct pro_work *)(void *)operation->port.bytes;
}

/* On a worker thread. The work may be gone when it is complete. */
static void work_run(struct pro_work *item)
{
	struct pro_operation *operation = pro_container_of(item, struct pro_operation, port);
	struct pro_asynch_work *work = work_from_operation(operation);

	work->returned = work->function(work->argument);
	pro__operation_complete_remote(operation, 0, 0, 0);
}

static void work_submit(struct pro_operation *operation)
{
	struct pro_asynch_work *work = work_from_operation(operation);
	struct pro_proactor *proactor = operation->owner->proactor;
	int error;

	/* There nothing may happen at a time of its own. */
	if (pro__is_simulated(proactor)) {
		work->returned = work->function(work->argument);
		pro__operation_complete(operation, 0, 0, 0);
		return;
	}
	work_item(operation)->run = work_run;
	error = pro__worker_pool_submit(pro__worker_pool(proactor), work_item(operation));
	if (error)
		pro__operation_complete(operation, error, 0, 0);
}

static void work_cancel(struct pro_operation *operation)
{
	struct pro_proactor *proactor = operation->owner->proactor;

	if (!pro__is_simulated(proactor) &&
			pro__worker_pool_take_back(pro__worker_pool(proactor), work_item(operation)))
		pro__operation_complete(operation, PRO_ECANCELED, 0, 0);
}

static void work_prepare(struct pro_operation *operation)
{
	pro__work_leave(operation->owner->proactor);
}

static void work_deliver(struct pro_operation *operation)
{
	struct pro_asynch_work *work = work_from_operation(operation);
	struct pro_handler *handler = asynch_handler(operation);
	struct pro_asynch_work_result result = {
			ASYNCH_RESULT(operation),
			.returned = operation->error ? 0 : work->returned,
			.argument = work->argument,
	};

	pro__operation_begin_callback(operation);
	handler->vtbl->handle_work(handler, &result);
}

static const struct pro_operation_vtbl work_vtbl = {
		.name = "work",
		.submit = work_submit,
		.cancel = work_cancel,
		.prepare = work_prepare,
		.deliver = work_deliver,
};

int pro_asynch_work_open(
		struct pro_asynch_work *work, struct pro_handler *handler, const void *completion_key)
{
	/* The opcode is for ports, none of which sees it. */
	return pro__asynch_open_without_handle(&work->operation, &work_vtbl,
			(enum pro_opcode)PRO_OPCODE_COUNT, handler, handler && handler->vtbl->handle_work,
			completion_key);
}

int pro_asynch_work_run(
		struct pro_asynch_work *work, int (*function)(void *argument), void *argument)
{
	struct pro_operation *operation = &work->operation;
	int error = pro__operation_claim(operation, PRO__CALLER());

	if (error)
		return error;
	if (!function)
		return pro__operation_give_back(operation, PRO_EINVAL);
	error = pro__work_enter(operation->owner->proactor);
	if (error)
		return pro__operation_give_back(operation, error);
	work->function = function;
	work->argument = argument;
	return pro__operation_start(operation);
}
