/* Writes a file at 64-bit offsets. ACE: ACE_Asynch_Write_File. */
#ifndef PROACTOR_ASYNCH_WRITE_FILE_H
#define PROACTOR_ASYNCH_WRITE_FILE_H

#include <proactor/handler.h>

PRO_BEGIN_DECLS

/* Most pieces of a cont chain that one round moves. */
#define PRO_WRITE_FILE_BUFFERS 8

struct pro_asynch_write_file {
	struct pro_operation operation; /* first */
	struct pro_message_block *block;
	size_t bytes_wanted;
	bool is_vector;
	struct pro_buffer buffers[PRO_WRITE_FILE_BUFFERS];
};

/* error 0: all bytes were written. Otherwise bytes_transferred tells how many were (PRO_ENOSPC
 * after a short write, say). rd has been moved by that. */
struct pro_asynch_write_file_result {
	PRO_RESULT_MEMBERS;
	struct pro_message_block *block;
	size_t bytes_requested;
	uint64_t offset; /* where the write began */
};

/* Binds the writer to its handler and to the file `handle`. Needs handle_write_file. Several writes
 * at once: several objects, in no order. PRO_EINVAL, PRO_ECLOSED (the handler is closing and
 * has no handle any more). Not while a flight is under way. [set-up or callback] Since 0.1. */
PRO_API int pro_asynch_write_file_open(struct pro_asynch_write_file *writer,
		struct pro_handler *handler, pro_handle handle, const void *completion_key);

/* Writes the unread bytes of `block` at `offset`. The block is the port's until the callback.
 * PRO_EINVAL when it is empty or beyond 2^63 - 1; PRO_EBUSY, PRO_ECLOSED, PRO_EFORKED. [any
 * thread] ACE: write. Since 0.1. */
PRO_API int pro_asynch_write_file_write(
		struct pro_asynch_write_file *writer, struct pro_message_block *block, uint64_t offset);

/* The same for a whole cont chain, with the same errors. [any thread] ACE: writev. Since 0.1. */
PRO_API int pro_asynch_write_file_writev(
		struct pro_asynch_write_file *writer, struct pro_message_block *chain, uint64_t offset);

PRO_END_DECLS

#endif
