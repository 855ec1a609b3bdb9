/* Closing handles that no handler owns. */
#include "proactor_private.h"

#include <proactor/socket.h>

struct closing_handle {
	struct pro_proactor *proactor;
	struct pro_inbox_node inbox;
	struct pro_close_request request;
};

static void closing_handle_done(struct pro_close_request *request)
{
	struct closing_handle *closing = pro_container_of(request, struct closing_handle, request);
	struct pro_proactor *proactor = closing->proactor;

	atomic_fetch_sub(&proactor->closing_handles, 1);
	pro__deallocate(proactor, closing);
}

static void closing_handle_begin(struct closing_handle *closing)
{
	struct pro_proactor *proactor = closing->proactor;

	proactor->port_vtbl->close_handle(proactor->port, &closing->request);
}

static void closing_handle_run(struct pro_inbox_node *node, uint32_t requests, uint32_t holds)
{
	(void)requests;
	(void)holds;
	closing_handle_begin(pro_container_of(node, struct closing_handle, inbox));
}

int pro_proactor_close_handle(struct pro_proactor *proactor, pro_handle handle)
{
	struct closing_handle *closing;

	if (!proactor || handle == PRO_INVALID_HANDLE)
		return PRO_EINVAL;
	if (pro__is_forked(proactor)) {
		proactor->port_vtbl->world->close_now(proactor->port, handle);
		return 0;
	}
	closing = pro__allocate(proactor, sizeof(*closing));
	if (!closing) {
		/* Closing must not fail for want of memory; what was in flight then ends as the system ends
		 * it. */
		proactor->port_vtbl->world->close_now(proactor->port, handle);
		return 0;
	}
	*closing = (struct closing_handle){.proactor = proactor};
	closing->inbox.run = closing_handle_run;
	closing->request.handle = handle;
	closing->request.closed = closing_handle_done;
	atomic_fetch_add(&proactor->closing_handles, 1);
	if (pro__on_loop(proactor))
		closing_handle_begin(closing);
	else
		pro__inbox_request(proactor, &closing->inbox, 0);
	return 0;
}
