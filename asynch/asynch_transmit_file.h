/* Sends a header, a range of a file and a trailer to a connected socket without copying the file
 * through the program. ACE: ACE_Asynch_Transmit_File. */
#ifndef PROACTOR_ASYNCH_TRANSMIT_FILE_H
#define PROACTOR_ASYNCH_TRANSMIT_FILE_H

#include <proactor/handler.h>

PRO_BEGIN_DECLS

/* To the end of the file, as it is when the transmission starts. */
#define PRO_TRANSMIT_ALL UINT64_MAX

struct pro_asynch_transmit_file {
	struct pro_operation operation; /* first */
	struct pro_transmit_request request;
	struct pro_message_block *header;
	struct pro_message_block *trailer;
	pro_handle file;
	uint64_t bytes_sent;
};

/* error 0: all parts went out whole. bytes_sent counts header, file and trailer (bytes_transferred
 * too, cut at SIZE_MAX). PRO_ETRUNCATED: the file ended before the range did. The rd of header and
 * trailer is not moved. */
struct pro_asynch_transmit_file_result {
	PRO_RESULT_MEMBERS;
	uint64_t bytes_sent;
	pro_handle file;
	struct pro_message_block *header;
	struct pro_message_block *trailer;
};

/* Binds to the socket `handle` (PRO_INVALID_HANDLE: the one that the handler owns). Needs
 * handle_transmit_file. PRO_EINVAL, PRO_ECLOSED. [set-up or callback] Since 0.1. */
PRO_API int pro_asynch_transmit_file_open(struct pro_asynch_transmit_file *sender,
		struct pro_handler *handler, pro_handle handle, const void *completion_key);

/* Sends the unread bytes of `header` (NULL: none), `bytes` bytes of `file` (PRO_INVALID_HANDLE:
 * none) from `offset`, and the unread bytes of `trailer` (NULL: none); single blocks, cont is not
 * followed. Blocks and file stay open and the port's until the callback; the file stays the
 * caller's. Nothing at all to send completes with success. Do not start it while a write stream on
 * the same socket has something queued: bytes would mix. PRO_EINVAL for a block above 1 GiB and a
 * range beyond 2^63 - 1, with PRO_TRANSMIT_ALL what pro_file_status says of the file; PRO_EBUSY,
 * PRO_ECLOSED, PRO_EFORKED. [any thread] ACE: transmit_file. Since 0.1. */
PRO_API int pro_asynch_transmit_file_transmit_file(struct pro_asynch_transmit_file *sender,
		pro_handle file, uint64_t offset, uint64_t bytes, struct pro_message_block *header,
		struct pro_message_block *trailer);

PRO_END_DECLS

#endif
