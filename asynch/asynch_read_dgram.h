/* Receives datagrams. ACE: ACE_Asynch_Read_Dgram. */
#ifndef PROACTOR_ASYNCH_READ_DGRAM_H
#define PROACTOR_ASYNCH_READ_DGRAM_H

#include <proactor/asynch_read_stream.h>

PRO_BEGIN_DECLS

struct pro_asynch_read_dgram {
	struct pro_operation operation; /* first */
	struct pro_message_block *block;
	struct pro_addr remote;
	struct pro_buffer buffers[PRO_READ_BUFFERS];
};

/* error 0: one datagram, 0 bytes too, was scattered behind the wr of the chain. PRO_EMSGSIZE: it
 * was longer; what fitted is there. */
struct pro_asynch_read_dgram_result {
	PRO_RESULT_MEMBERS;
	struct pro_message_block *block;
	const struct pro_addr *remote; /* the sender; valid during the callback */
};

/* Binds to the datagram socket `handle` (PRO_INVALID_HANDLE: the one that the handler owns). Needs
 * handle_read_dgram. PRO_EINVAL, PRO_ECLOSED. [set-up or callback] Since 0.1. */
PRO_API int pro_asynch_read_dgram_open(struct pro_asynch_read_dgram *reader,
		struct pro_handler *handler, pro_handle handle, const void *completion_key);

/* Receives one datagram into the spaces of `chain` (a block and its cont, at most PRO_READ_BUFFERS
 * blocks with space). PRO_EINVAL without space; PRO_EBUSY, PRO_ECLOSED, PRO_EFORKED. [any thread]
 * ACE: recv. Since 0.1. */
PRO_API int pro_asynch_read_dgram_recv(
		struct pro_asynch_read_dgram *reader, struct pro_message_block *chain);

PRO_END_DECLS

#endif
