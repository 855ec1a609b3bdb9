/* Jobs of other threads, and looking up host names: each look-up runs on the worker pool with a
 * copy of its own, so that a cancel need not wait for it. */
#include "iocp.h"

#include <string.h>

/* ---- jobs ---- */

void pro__iocp_job_begin(
		struct iocp_port *port, struct iocp_job *job, void (*done)(struct iocp_job *job))
{
	job->port = port;
	job->done = done;
	port->jobs_running++;
}

void pro__iocp_job_end(struct iocp_job *job)
{
	struct iocp_port *port = job->port;
	struct iocp_job *newest = atomic_load_explicit(&port->jobs_done, memory_order_relaxed);

	do
		job->next = newest;
	while (!atomic_compare_exchange_weak(&port->jobs_done, &newest, job));
	pro__iocp_wake_up(port);
}

void pro__iocp_run_jobs(struct iocp_port *port)
{
	struct iocp_job *job;
	struct iocp_job *next;

	/* Not relaxed: it must not be done before the store in take_wake, or a job whose thread found
	 * that wake still queued would be overlooked. */
	if (!atomic_load(&port->jobs_done))
		return;
	/* In any order: they have nothing to do with each other. */
	for (job = atomic_exchange(&port->jobs_done, NULL); job; job = next) {
		next = job->next;
		port->jobs_running--;
		port->has_completed = true;
		job->done(job);
	}
}

/* ---- host names ---- */

struct lookup {
	struct iocp_job job;
	struct pro_work work;
	struct pro_operation *operation; /* NULL: it was cancelled */
	struct pro_resolve_request request;
	int error;
	int os_error;
};

static void lookup_run(struct pro_work *work)
{
	struct lookup *lookup = pro_container_of(work, struct lookup, work);

	pro__resolve(&lookup->request, &lookup->error, &lookup->os_error);
	pro__iocp_job_end(&lookup->job);
}

static void lookup_done(struct iocp_job *job)
{
	struct lookup *lookup = pro_container_of(job, struct lookup, job);
	struct pro_operation *operation = lookup->operation;

	if (operation) {
		*operation->request.resolve = lookup->request;
		pro__operation_complete(operation, lookup->error, lookup->os_error, 0);
	}
	pro__deallocate(job->port->proactor, lookup);
}

static void resolve_start(struct iocp_port *port, struct pro_operation *operation)
{
	struct lookup *lookup = pro__allocate(port->proactor, sizeof(*lookup));
	int error;

	if (!lookup) {
		pro__iocp_complete_error(port, operation, PRO_ENOMEM);
		return;
	}
	memset(lookup, 0, sizeof(*lookup));
	lookup->operation = operation;
	lookup->request = *operation->request.resolve;
	lookup->work.run = lookup_run;
	iocp_flight(operation)->of.job = &lookup->job;
	pro__iocp_job_begin(port, &lookup->job, lookup_done);
	error = pro__worker_pool_submit(pro__worker_pool(port->proactor), &lookup->work);
	if (error) {
		port->jobs_running--;
		pro__deallocate(port->proactor, lookup);
		pro__iocp_complete_error(port, operation, error);
	}
}

void pro__iocp_cancel_resolve(struct iocp_port *port, struct pro_operation *operation)
{
	struct lookup *lookup = pro_container_of(iocp_flight(operation)->of.job, struct lookup, job);

	lookup->operation = NULL;
	if (pro__worker_pool_take_back(pro__worker_pool(port->proactor), &lookup->work)) {
		port->jobs_running--;
		pro__deallocate(port->proactor, lookup);
	}
	pro__iocp_complete_error(port, operation, PRO_ECANCELED);
}

/* A look-up makes no overlapped call, so nothing of it ends. */
static void resolve_finish(
		struct iocp_port *port, struct pro_operation *operation, DWORD error, DWORD bytes)
{
	pro__iocp_complete(port, operation, error, bytes);
}

const struct iocp_class pro__iocp_resolve_class = {
		.start = resolve_start,
		.finish = resolve_finish,
};
