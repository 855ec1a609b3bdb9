/* Reads a file at 64-bit offsets. ACE: ACE_Asynch_Read_File. */
#ifndef PROACTOR_ASYNCH_READ_FILE_H
#define PROACTOR_ASYNCH_READ_FILE_H

#include <proactor/handler.h>

PRO_BEGIN_DECLS

/* Most pieces of a cont chain that one round moves. */
#define PRO_READ_FILE_BUFFERS 8

struct pro_asynch_read_file {
	struct pro_operation operation; /* first */
	struct pro_message_block *block;
	size_t bytes_wanted;
	bool is_vector;
	struct pro_buffer buffers[PRO_READ_FILE_BUFFERS];
};

/* error 0: bytes_transferred bytes, 1 or more, were added behind the block's wr; fewer than asked
 * only at the end of the file. PRO_EOF: `offset` is at or behind the end. */
struct pro_asynch_read_file_result {
	PRO_RESULT_MEMBERS;
	struct pro_message_block *block;
	size_t bytes_requested;
	uint64_t offset; /* where the read began */
};

/* Binds the reader to its handler and to the file `handle`. Needs handle_read_file. Several reads
 * at once: several objects. PRO_EINVAL, PRO_ECLOSED (the handler is closing and
 * has no handle any more). Not while a flight is under way. [set-up or callback] Since 0.1. */
PRO_API int pro_asynch_read_file_open(struct pro_asynch_read_file *reader,
		struct pro_handler *handler, pro_handle handle, const void *completion_key);

/* Reads `bytes_max` bytes (0: all the space) at `offset` behind the block's wr. The block is the
 * port's until the callback. PRO_EINVAL without space or beyond 2^63 - 1; PRO_EBUSY, PRO_ECLOSED,
 * PRO_EFORKED. [any thread] ACE: read. Since 0.1. */
PRO_API int pro_asynch_read_file_read(struct pro_asynch_read_file *reader,
		struct pro_message_block *block, size_t bytes_max, uint64_t offset);

/* The same into the spaces of a cont chain, in order, with the same errors. [any thread] ACE:
 * readv. Since 0.1. */
PRO_API int pro_asynch_read_file_readv(struct pro_asynch_read_file *reader,
		struct pro_message_block *chain, size_t bytes_max, uint64_t offset);

PRO_END_DECLS

#endif
