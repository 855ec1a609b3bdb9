/* Reads from a connected socket, a pipe or a terminal. ACE: ACE_Asynch_Read_Stream. */
#ifndef PROACTOR_ASYNCH_READ_STREAM_H
#define PROACTOR_ASYNCH_READ_STREAM_H

#include <proactor/handler.h>

PRO_BEGIN_DECLS

/* Most blocks of a cont chain that one round fills. */
#define PRO_READ_BUFFERS 8

struct pro_asynch_read_stream {
	struct pro_operation operation; /* first */
	struct pro_message_block *block;
	size_t bytes_wanted;
	bool is_exact;
	bool is_vector;
	struct pro_buffer buffers[PRO_READ_BUFFERS];
};

/* error 0: 1 or more bytes were added behind the wr of `block` (wr is moved). PRO_EOF: the peer
 * sent its end; reading again gives it again. A failed or cancelled read_exactly or readv may have
 * moved bytes_transferred bytes. A borrowed block belongs to the handler, which releases it; it is
 * NULL after an error. */
struct pro_asynch_read_stream_result {
	PRO_RESULT_MEMBERS;
	struct pro_message_block *block;
	size_t bytes_requested;
};

/* Binds the reader to its handler and to `handle` (PRO_INVALID_HANDLE: the handle that the handler
 * owns). Needs handle_read_stream. PRO_EINVAL, PRO_ECLOSED (the handler is closing and
 * has no handle any more). Not while a flight is under way. [set-up or callback] Since 0.1. */
PRO_API int pro_asynch_read_stream_open(struct pro_asynch_read_stream *reader,
		struct pro_handler *handler, pro_handle handle, const void *completion_key);

/* Reads at least 1 and at most `bytes_max` bytes (0: all the space) behind the block's wr. A NULL
 * block borrows one of the proactor's when data arrives, so that an idle reader holds no buffer;
 * then 0 means all of that block.
 * The block is the port's until the callback. PRO_EINVAL when the block has no space; PRO_EBUSY,
 * PRO_ECLOSED, PRO_EFORKED. [any thread] ACE: read. Since 0.1. */
PRO_API int pro_asynch_read_stream_read(
		struct pro_asynch_read_stream *reader, struct pro_message_block *block, size_t bytes_max);

/* Reads exactly `bytes` bytes behind the wr of `block`, which must have the space; an end of the
 * stream before that is PRO_EOF with the count. Errors as read. [any thread] Since 0.1. */
PRO_API int pro_asynch_read_stream_read_exactly(
		struct pro_asynch_read_stream *reader, struct pro_message_block *block, size_t bytes);

/* Reads at least 1 byte into the spaces of a cont chain, in order (at most `bytes_max`, 0: all; at
 * most PRO_READ_BUFFERS blocks with space). Errors as read. [any thread] ACE: readv. Since 0.1. */
PRO_API int pro_asynch_read_stream_readv(
		struct pro_asynch_read_stream *reader, struct pro_message_block *chain, size_t bytes_max);

PRO_END_DECLS

#endif
