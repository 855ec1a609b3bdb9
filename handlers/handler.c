/* Handlers: the public face of an owner. */
#include <proactor/handler.h>

#include "../proactor/engine.h"

#include <string.h>

static struct pro_handler *handler_from_owner(struct pro_owner *owner)
{
	return pro_container_of(owner, struct pro_handler, owner);
}

static void handler_closed(struct pro_owner *owner)
{
	struct pro_handler *handler = handler_from_owner(owner);

	handler->vtbl->handle_close(handler);
}

static void handler_posted(struct pro_owner *owner, struct pro_message_block *block, int error)
{
	struct pro_handler *handler = handler_from_owner(owner);
	struct pro_post_result result = {.error = error, .act = block->queue_act, .block = block};

	handler->vtbl->handle_post(handler, &result);
}

static void handler_woken(struct pro_owner *owner)
{
	struct pro_handler *handler = handler_from_owner(owner);

	handler->vtbl->handle_wakeup(handler);
}

int pro_handler_init(struct pro_handler *handler, const struct pro_handler_vtbl *vtbl,
		struct pro_proactor *proactor)
{
	if (!handler || !vtbl || !vtbl->handle_close || !proactor)
		return PRO_EINVAL;
	pro__owner_init(&handler->owner, proactor, handler_closed);
	handler->owner.posted = handler_posted;
	handler->owner.woken = handler_woken;
	handler->vtbl = vtbl;
	return 0;
}

void pro_handler_close(struct pro_handler *handler)
{
	pro__owner_close(&handler->owner);
}

void pro_handler_set_concurrent(struct pro_handler *handler)
{
	pro__owner_set_concurrent(&handler->owner);
}

bool pro_handler_is_closing(const struct pro_handler *handler)
{
	return pro__owner_is_closing(&handler->owner);
}

void pro_handler_set_handle(struct pro_handler *handler, pro_handle handle)
{
	handler->owner.handle = handle;
	/* From now on a shutdown must find the handler, even if it never starts anything. */
	pro__owner_announce(&handler->owner);
}

pro_handle pro_handler_handle(const struct pro_handler *handler)
{
	return handler->owner.handle;
}

struct pro_proactor *pro_handler_proactor(const struct pro_handler *handler)
{
	return handler->owner.proactor;
}

int pro_handler_post(struct pro_handler *handler, struct pro_message_block *block, const void *act)
{
	if (!handler || !block || !handler->vtbl->handle_post)
		return PRO_EINVAL;
	return pro__owner_post(&handler->owner, block, act);
}

int pro_handler_wakeup(struct pro_handler *handler)
{
	if (!handler || !handler->vtbl->handle_wakeup)
		return PRO_EINVAL;
	return pro__owner_wakeup(&handler->owner);
}
