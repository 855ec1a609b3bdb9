/* The acceptor: several accepts in flight, each reissued as it completes. When the process or the
 * system has run out of descriptors or memory the accept rests and a timer tries again, so that the
 * loop does not spin and the listener does not go deaf; the connection waits in the system's queue
 * meanwhile. */
#include <proactor/asynch_acceptor.h>
#include <proactor/socket.h>

#include "asynch_private.h"

#include <string.h>

/* At most 100 tries a second at first and one in a fifth of a second in the end: recovery takes
 * less than 1 s. */
#define BACK_OFF_FIRST_MS 10
#define BACK_OFF_MOST_MS  200

static void acceptor_reissue(struct pro_asynch_acceptor *acceptor, unsigned index)
{
	if (pro_handler_is_closing(&acceptor->handler))
		return;
	if (acceptor->vtbl->should_reissue_accept && !acceptor->vtbl->should_reissue_accept(acceptor))
		return;
	pro_asynch_accept_accept(&acceptor->accepts[index]);
}

static void acceptor_rest(struct pro_asynch_acceptor *acceptor, unsigned index)
{
	unsigned delay = acceptor->back_off_ms;

	acceptor->resting |= 1u << index;
	/* A start that fails means that the acceptor closes, or that the timer runs already. */
	if (pro_operation_in_flight(&acceptor->back_off.operation) ||
			pro_asynch_timer_schedule(&acceptor->back_off, (int64_t)delay))
		return;
	acceptor->back_off_ms = delay * 2 < BACK_OFF_MOST_MS ? delay * 2 : BACK_OFF_MOST_MS;
}

/* Posts the first that rests. All of them would try, fail and rest together under a shortage; one
 * finds out whether it is over, and each that gets a connection brings one more. */
static void acceptor_wake_one(struct pro_asynch_acceptor *acceptor)
{
	for (unsigned index = 0; index < acceptor->accepts_count; index++) {
		if (!(acceptor->resting & (1u << index)))
			continue;
		acceptor->resting &= ~(1u << index);
		acceptor_reissue(acceptor, index);
		if (pro_operation_in_flight(&acceptor->accepts[index].operation))
			return;
	}
}

static bool is_shortage(int error)
{
	return error == PRO_EMFILE || error == PRO_ENFILE || error == PRO_ENOBUFS ||
		   error == PRO_ENOMEM;
}

/* Whose handler is being made on this thread; NULL: the acceptor's own proactor's. */
static _Thread_local struct pro_proactor *making_for;

struct pro_proactor *pro_asynch_acceptor_proactor(const struct pro_asynch_acceptor *acceptor)
{
	return making_for ? making_for : pro_handler_proactor(&acceptor->handler);
}

/* On the loop of `proactor`, where the connection stays. */
static void acceptor_make(struct pro_asynch_acceptor *acceptor, struct pro_proactor *proactor,
		pro_handle accepted, const struct pro_addr *local, const struct pro_addr *remote)
{
	struct pro_service_handler *service = NULL;

	if (!pro_handler_is_closing(&acceptor->handler)) {
		making_for = proactor;
		service = acceptor->vtbl->make_handler(acceptor);
		making_for = NULL;
	}
	if (service && pro_handler_proactor(&service->handler) != proactor) {
		pro__tell_misuse(proactor, "accept",
				"make_handler made a handler of another proactor than "
				"pro_asynch_acceptor_proactor tells");
		pro_handler_close(&service->handler);
		service = NULL;
	}
	if (!service) {
		pro_proactor_close_handle(proactor, accepted);
		return;
	}
	/* Fails on UNIX-domain sockets, which have no such delay. */
	if (acceptor->no_delay)
		pro_socket_set_option(proactor, accepted, PRO_SOCKET_NODELAY, 1);
	pro_service_handler_open(service, accepted, local, remote);
}

/* A connection on its way to another proactor of the group. */
struct transfer {
	struct pro__call call; /* first */
	struct pro_asynch_acceptor *acceptor;
	pro_handle accepted;
	struct pro_addr local;
	struct pro_addr remote;
};

static void transfer_run(struct pro__call *call)
{
	struct transfer *transfer = pro_container_of(call, struct transfer, call);
	struct pro_asynch_acceptor *acceptor = transfer->acceptor;
	struct pro_owner *owner = &acceptor->handler.owner;

	acceptor_make(
			acceptor, call->proactor, transfer->accepted, &transfer->local, &transfer->remote);
	pro__deallocate(owner->proactor, transfer);
	pro__owner_leave(owner);
}

/* The acceptor lives until the connection has arrived. */
static int acceptor_transfer(struct pro_asynch_acceptor *acceptor, struct pro_proactor *target,
		const struct pro_asynch_accept_result *result)
{
	struct pro_owner *owner = &acceptor->handler.owner;
	struct transfer *transfer = pro__allocate(owner->proactor, sizeof(*transfer));
	int error;

	if (!transfer)
		return PRO_ENOMEM;
	transfer->acceptor = acceptor;
	transfer->accepted = result->accepted;
	transfer->local = *result->local;
	transfer->remote = *result->remote;
	pro__owner_hold_remote(owner);
	error = pro__call_send(target, &transfer->call, transfer_run);
	if (error) {
		pro__owner_leave(owner);
		pro__deallocate(owner->proactor, transfer);
	}
	return error;
}

static void acceptor_connected(
		struct pro_asynch_acceptor *acceptor, const struct pro_asynch_accept_result *result)
{
	struct pro_proactor *proactor = pro_handler_proactor(&acceptor->handler);
	struct pro_proactor *target = proactor;

	acceptor->back_off_ms = BACK_OFF_FIRST_MS;
	acceptor->told_error = 0;
	if (pro_handler_is_closing(&acceptor->handler) ||
			(acceptor->vtbl->validate_connection && acceptor->vtbl->validate_connection(acceptor,
															result->local, result->remote) != 0)) {
		pro_proactor_close_handle(proactor, result->accepted);
		return;
	}
	if (acceptor->group)
		target = pro_proactor_group_next(acceptor->group);
	if (target == proactor)
		acceptor_make(acceptor, proactor, result->accepted, result->local, result->remote);
	else if (acceptor_transfer(acceptor, target, result))
		pro_proactor_close_handle(proactor, result->accepted);
}

/* A shortage may last for days: it is told when it begins, not at every try. */
static void acceptor_tell(struct pro_asynch_acceptor *acceptor, int error)
{
	if (error == acceptor->told_error)
		return;
	acceptor->told_error = error;
	pro_proactor_log(pro_handler_proactor(&acceptor->handler),
			is_shortage(error) ? PRO_LOG_WARNING : PRO_LOG_ERROR, "accept: %s",
			pro_error_text(error));
}

static void acceptor_handle_accept(
		struct pro_handler *handler, const struct pro_asynch_accept_result *result)
{
	struct pro_asynch_acceptor *acceptor = pro_asynch_acceptor_from_handler(handler);
	struct pro_asynch_accept *accept =
			pro_container_of(result->operation, struct pro_asynch_accept, operation);
	unsigned index = (unsigned)(accept - acceptor->accepts);

	if (!result->error) {
		acceptor_connected(acceptor, result);
		acceptor_wake_one(acceptor);
	}
	/* Whatever else went wrong may go wrong again at once, so it rests as well. */
	if (result->error && result->error != PRO_ECANCELED) {
		acceptor_tell(acceptor, result->error);
		acceptor_rest(acceptor, index);
	} else {
		acceptor_reissue(acceptor, index);
	}
}

static void acceptor_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	if (!result->error)
		acceptor_wake_one(pro_asynch_acceptor_from_handler(handler));
}

static void acceptor_handle_close(struct pro_handler *handler)
{
	struct pro_asynch_acceptor *acceptor = pro_asynch_acceptor_from_handler(handler);

	if (acceptor->vtbl->handle_close)
		acceptor->vtbl->handle_close(acceptor);
}

static const struct pro_handler_vtbl acceptor_vtbl = {
		.handle_accept = acceptor_handle_accept,
		.handle_time_out = acceptor_handle_time_out,
		.handle_close = acceptor_handle_close,
};

void pro_asynch_acceptor_options_init(struct pro_asynch_acceptor_options *options)
{
	memset(options, 0, sizeof(*options));
	options->size = sizeof(*options);
	options->initial_accepts = 4;
	options->no_delay = true;
}

int pro_asynch_acceptor_open(struct pro_asynch_acceptor *acceptor,
		const struct pro_asynch_acceptor_vtbl *vtbl, struct pro_proactor *proactor,
		const struct pro_addr *local)
{
	struct pro_asynch_acceptor_options options;

	pro_asynch_acceptor_options_init(&options);
	return pro_asynch_acceptor_open_with(acceptor, vtbl, proactor, local, &options);
}

static int acceptor_open_accepts(struct pro_asynch_acceptor *acceptor)
{
	unsigned index;
	int error;

	error = pro_asynch_timer_open(&acceptor->back_off, &acceptor->handler, NULL);
	for (index = 0; !error && index < acceptor->accepts_count; index++)
		error = pro_asynch_accept_open(
				&acceptor->accepts[index], &acceptor->handler, PRO_INVALID_HANDLE, NULL);
	for (index = 0; !error && index < acceptor->accepts_count; index++)
		error = pro_asynch_accept_accept(&acceptor->accepts[index]);
	return error;
}

int pro_asynch_acceptor_open_with(struct pro_asynch_acceptor *acceptor,
		const struct pro_asynch_acceptor_vtbl *vtbl, struct pro_proactor *proactor,
		const struct pro_addr *local, const struct pro_asynch_acceptor_options *options)
{
	const struct pro_port_world *world;
	pro_handle listener;
	int error;

	if (!acceptor || !vtbl || !vtbl->make_handler || !local || !options ||
			options->size != sizeof(*options) || options->initial_accepts == 0 ||
			options->initial_accepts > PRO_ACCEPTS_MAX)
		return PRO_EINVAL;
	memset(acceptor, 0, sizeof(*acceptor));
	error = pro_handler_init(&acceptor->handler, &acceptor_vtbl, proactor);
	if (error)
		return error;
	error = pro__owner_check(&acceptor->handler.owner);
	if (error)
		return error;
	world = pro__port_vtbl(proactor)->world;
	error = pro_socket_listen(proactor, local, options->backlog, &listener);
	if (error)
		return error;
	acceptor->vtbl = vtbl;
	acceptor->back_off_ms = BACK_OFF_FIRST_MS;
	acceptor->accepts_count = options->initial_accepts;
	acceptor->no_delay = options->no_delay;
	acceptor->group = !world->can_move || world->can_move(local) ? options->group : NULL;
	error = pro_socket_local_addr(proactor, listener, &acceptor->local);
	if (error) {
		pro_proactor_close_handle(proactor, listener);
		return error;
	}
	pro_handler_set_handle(&acceptor->handler, listener);
	/* Nothing that can fail is left but a shutdown that came meanwhile, which closes the acceptor.
	 */
	acceptor_open_accepts(acceptor);
	return 0;
}

const struct pro_addr *pro_asynch_acceptor_addr(const struct pro_asynch_acceptor *acceptor)
{
	return &acceptor->local;
}

int pro_asynch_acceptor_accept(struct pro_asynch_acceptor *acceptor)
{
	unsigned index;
	int error;

	if (!acceptor)
		return PRO_EINVAL;
	error = pro__owner_check(&acceptor->handler.owner);
	if (error)
		return error;
	for (index = 0; index < acceptor->accepts_count; index++)
		if (!(acceptor->resting & (1u << index)) &&
				!pro_operation_in_flight(&acceptor->accepts[index].operation))
			pro_asynch_accept_accept(&acceptor->accepts[index]);
	return 0;
}

void pro_asynch_acceptor_close(struct pro_asynch_acceptor *acceptor)
{
	pro_handler_close(&acceptor->handler);
}
