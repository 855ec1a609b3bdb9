/* Handlers: what receives completions. Subclass by embedding struct pro_handler and giving it a
 * const vtable.
 *
 * The laws. (1) A start that returns 0 completes exactly once, through one callback; a start that
 * returns a negative error never does. (2) No callback runs inside a start, a cancel or a close.
 * (3) pro_handler_close may be called at any time, twice too; handle_close comes last, exactly
 * once, when the system holds nothing of the handler's any more: free there, nowhere else. And:
 * callbacks of one handler never overlap. ACE: ACE_Handler. */
#ifndef PROACTOR_HANDLER_H
#define PROACTOR_HANDLER_H

#include <proactor/operation.h>
#include <proactor/proactor.h>

PRO_BEGIN_DECLS

struct pro_handler;
struct pro_asynch_read_stream_result;
struct pro_asynch_write_stream_result;
struct pro_asynch_read_file_result;
struct pro_asynch_write_file_result;
struct pro_asynch_read_dgram_result;
struct pro_asynch_write_dgram_result;
struct pro_asynch_accept_result;
struct pro_asynch_connect_result;
struct pro_asynch_transmit_file_result;
struct pro_asynch_resolve_result;
struct pro_asynch_timer_result;
struct pro_asynch_work_result;

/* A block that pro_handler_post sent: `block` belongs to the handler again, which releases it.
 * error: 0, or PRO_ECANCELED when the handler was closed first. */
struct pro_post_result {
	int error;
	const void *act;
	struct pro_message_block *block;
};

/* One const table per class of handler, with designated initialisers. A slot that an operation
 * needs must be there when the operation is opened (PRO_EINVAL otherwise, and the log is told);
 * handle_close is always needed. Slots are called by the loop, one at a time for one handler. */
struct pro_handler_vtbl {
	void (*handle_read_stream)(
			struct pro_handler *handler, const struct pro_asynch_read_stream_result *result);
	void (*handle_write_stream)(
			struct pro_handler *handler, const struct pro_asynch_write_stream_result *result);
	void (*handle_read_file)(
			struct pro_handler *handler, const struct pro_asynch_read_file_result *result);
	void (*handle_write_file)(
			struct pro_handler *handler, const struct pro_asynch_write_file_result *result);
	void (*handle_read_dgram)(
			struct pro_handler *handler, const struct pro_asynch_read_dgram_result *result);
	void (*handle_write_dgram)(
			struct pro_handler *handler, const struct pro_asynch_write_dgram_result *result);
	void (*handle_accept)(
			struct pro_handler *handler, const struct pro_asynch_accept_result *result);
	void (*handle_connect)(
			struct pro_handler *handler, const struct pro_asynch_connect_result *result);
	void (*handle_transmit_file)(
			struct pro_handler *handler, const struct pro_asynch_transmit_file_result *result);
	void (*handle_resolve)(
			struct pro_handler *handler, const struct pro_asynch_resolve_result *result);
	void (*handle_time_out)(
			struct pro_handler *handler, const struct pro_asynch_timer_result *result);
	void (*handle_work)(struct pro_handler *handler, const struct pro_asynch_work_result *result);
	void (*handle_post)(struct pro_handler *handler, const struct pro_post_result *result);
	void (*handle_wakeup)(struct pro_handler *handler);

	/* The last callback: nothing of the handler is in flight, its handle is closed. Free the
	 * handler here. */
	void (*handle_close)(struct pro_handler *handler);
};

struct pro_handler {
	struct pro_owner owner; /* private; first */
	const struct pro_handler_vtbl *vtbl;
};

/* Binds a handler to its class and its proactor. Both outlive it. Nothing is registered or
 * allocated; a handler that never started anything may be forgotten without a close. PRO_EINVAL
 * when handle_close is missing. [set-up] Since 0.1. */
PRO_API int pro_handler_init(struct pro_handler *handler, const struct pro_handler_vtbl *vtbl,
		struct pro_proactor *proactor);

/* Cancels all that is in flight, refuses later starts with PRO_ECLOSED, closes the handle it owns,
 * then lets handle_close run, from the loop. Calling it again does nothing. It reads nothing that
 * the caller must keep beyond handle_close. [any thread, while the handler is known to live] ACE:
 * delete this. Since 0.1. */
PRO_API void pro_handler_close(struct pro_handler *handler);

/* Lets callbacks of this handler overlap when several threads run the loop; it then needs locks of
 * its own. Before anything is started. [set-up] ACE has no other way. Since 0.1. */
PRO_API void pro_handler_set_concurrent(struct pro_handler *handler);

/* Whether pro_handler_close was called. [any thread] Since 0.1. */
PRO_API bool pro_handler_is_closing(const struct pro_handler *handler);

/* The handle that is closed with the handler: set it to hand over ownership, once, before any
 * operation on it is started; PRO_INVALID_HANDLE by default. A handler that is closing already
 * closes it too. [set-up or callback] Since 0.1. */
PRO_API void pro_handler_set_handle(struct pro_handler *handler, pro_handle handle);
/* That handle; PRO_INVALID_HANDLE from a close on. Where another thread may close the handler, its
 * number may be another's when it is used. [any thread] Since 0.1. */
PRO_API pro_handle pro_handler_handle(const struct pro_handler *handler);

/* The proactor that it is bound to. [any thread] Since 0.1. */
PRO_API struct pro_proactor *pro_handler_proactor(const struct pro_handler *handler);

/* Sends `block` (and `act`) to handle_post. Blocks of one sender arrive in order. The library owns
 * the block until then; nothing is allocated. PRO_ECLOSED, PRO_EFORKED, PRO_EINVAL when the slot is
 * missing: the block stays the caller's. [any thread] ACE: post_completion. Since 0.1. */
PRO_API int pro_handler_post(
		struct pro_handler *handler, struct pro_message_block *block, const void *act);

/* Runs handle_wakeup from the loop at least once after this call; calls before it runs are one.
 * Never allocates. PRO_ECLOSED, PRO_EFORKED, PRO_EINVAL. [any thread] ACE: post_wakeup_completions.
 * Since 0.1.
 */
PRO_API int pro_handler_wakeup(struct pro_handler *handler);

PRO_END_DECLS

#endif
