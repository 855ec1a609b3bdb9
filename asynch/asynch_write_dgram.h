/* Sends datagrams. ACE: ACE_Asynch_Write_Dgram. */
#ifndef PROACTOR_ASYNCH_WRITE_DGRAM_H
#define PROACTOR_ASYNCH_WRITE_DGRAM_H

#include <proactor/asynch_write_stream.h>

PRO_BEGIN_DECLS

struct pro_asynch_write_dgram {
	struct pro_operation operation; /* first */
	struct pro_message_block *block;
	size_t bytes_wanted;
	struct pro_addr remote;
	struct pro_buffer buffers[PRO_WRITE_BUFFERS];
};

struct pro_asynch_write_dgram_result {
	PRO_RESULT_MEMBERS;
	struct pro_message_block *block;
	size_t bytes_requested;
};

/* Binds to the datagram socket `handle` (PRO_INVALID_HANDLE: the one that the handler owns). Needs
 * handle_write_dgram. PRO_EINVAL, PRO_ECLOSED. [set-up or callback] Since 0.1. */
PRO_API int pro_asynch_write_dgram_open(struct pro_asynch_write_dgram *writer,
		struct pro_handler *handler, pro_handle handle, const void *completion_key);

/* Sends the unread bytes of `chain` (0 bytes too, at most PRO_WRITE_BUFFERS blocks) as one datagram
 * to `remote` (copied), or to the connected peer if NULL. PRO_EINVAL without a chain or with more
 * blocks; PRO_EBUSY, PRO_ECLOSED, PRO_EFORKED. [any thread] ACE: send. Since 0.1. */
PRO_API int pro_asynch_write_dgram_send(struct pro_asynch_write_dgram *writer,
		struct pro_message_block *chain, const struct pro_addr *remote);

PRO_END_DECLS

#endif
