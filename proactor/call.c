/* Calls that one loop sends to another: they run there as callbacks, and hold a shutdown up until
 * they have. */
#include "proactor_private.h"

#include <assert.h>

static void call_event_call(struct pro_event *event)
{
	struct pro__call *call = pro_container_of(event, struct pro__call, event);
	struct pro_proactor *proactor = call->proactor;

	call->run(call);
	atomic_fetch_sub(&proactor->closing_handles, 1);
}

static const struct pro_event_vtbl call_event_vtbl = {.call = call_event_call};

static void call_run(struct pro_inbox_node *node, uint32_t requests, uint32_t holds)
{
	struct pro__call *call = pro_container_of(node, struct pro__call, inbox);

	(void)requests;
	(void)holds;
	pro__event_push(call->proactor, &call->event);
}

int pro__call_send(
		struct pro_proactor *proactor, struct pro__call *call, void (*run)(struct pro__call *call))
{
	/* A crew needs an owner for each event. */
	assert(!proactor->crew);
	*call = (struct pro__call){.proactor = proactor, .run = run};
	call->inbox.run = call_run;
	call->event.vtbl = &call_event_vtbl;
	/* A loop that finds nothing left after this finds the call; one that found it before has set
	 * is_shutdown. */
	atomic_fetch_add(&proactor->closing_handles, 1);
	if (atomic_load(&proactor->is_shutdown)) {
		atomic_fetch_sub(&proactor->closing_handles, 1);
		proactor->port_vtbl->wake(proactor->port);
		return PRO_ECLOSED;
	}
	pro__inbox_request(proactor, &call->inbox, 0);
	return 0;
}
