/* Private to asynch/: what the classes of operations share. */
#ifndef PROACTOR_ASYNCH_PRIVATE_H
#define PROACTOR_ASYNCH_PRIVATE_H

#include <proactor/handler.h>

#include "../proactor/engine.h"
#include "../proactor/ports/where.h"

static inline struct pro_handler *asynch_handler(const struct pro_operation *operation)
{
	return pro_container_of(operation->owner, struct pro_handler, owner);
}

/* Binds an operation to a handler and a handle; PRO_INVALID_HANDLE stands for the handler's own.
 * `has_slot`: whether the handler has the callback that the class needs. PRO_EINVAL. Reads nothing
 * of the object, which may be raw memory; so it is not to be opened again while a flight is under
 * way. */
int pro__asynch_open(struct pro_operation *operation, const struct pro_operation_vtbl *vtbl,
		enum pro_opcode opcode, struct pro_handler *handler, pro_handle handle, bool has_slot,
		const void *completion_key);

/* The same for classes that need no handle. */
int pro__asynch_open_without_handle(struct pro_operation *operation,
		const struct pro_operation_vtbl *vtbl, enum pro_opcode opcode, struct pro_handler *handler,
		bool has_slot, const void *completion_key);

/* Buffers for the spaces behind wr of a chain, at most `bytes_max` bytes altogether, and no more
 * than a round moves (1 GiB). Returns how many buffers; *total gets their bytes. */
unsigned pro__asynch_gather_space(struct pro_message_block *chain, bool is_vector, size_t bytes_max,
		struct pro_buffer *buffers, unsigned count_max, size_t *total);
/* Buffers for the unread bytes of a chain. */
unsigned pro__asynch_gather_data(struct pro_message_block *chain, bool is_vector,
		struct pro_buffer *buffers, unsigned count_max, size_t *total);
/* Moves wr of a chain behind `bytes` bytes that were read into it; rd behind bytes that were
 * written out. */
void pro__asynch_advance_wr(struct pro_message_block *chain, size_t bytes);
void pro__asynch_advance_rd(struct pro_message_block *chain, size_t bytes);

/* What all results begin with, as an initialiser. */
#define ASYNCH_RESULT(source)                                                                      \
	.error = (source)->error, .os_error = (source)->os_error,                                      \
	.bytes_transferred = (source)->bytes, .act = (source)->act,                                    \
	.completion_key = (source)->completion_key, .operation = (source)

#endif
