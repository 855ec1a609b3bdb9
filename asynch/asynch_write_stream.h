/* Writes to a connected socket, a pipe or a terminal: a queue of message blocks that go out whole,
 * in order, gathered. ACE: ACE_Asynch_Write_Stream. */
#ifndef PROACTOR_ASYNCH_WRITE_STREAM_H
#define PROACTOR_ASYNCH_WRITE_STREAM_H

#include <proactor/handler.h>

PRO_BEGIN_DECLS

/* Most pieces that one round gathers. */
#define PRO_WRITE_BUFFERS 16
/* The bytes a write stream queues unless pro_asynch_write_stream_set_limit says otherwise. */
#define PRO_WRITE_QUEUE_BYTES (16u * 1024 * 1024)

struct pro_asynch_write_stream {
	struct pro_operation operation; /* first */

	/* Private. */
	PRO_ATOMIC(struct pro_message_block *) incoming; /* from other threads, newest first */
	/* The sum of both is what is queued; it wraps. */
	PRO_ATOMIC(size_t) remote_bytes; /* that other threads ever queued */
	PRO_ATOMIC(size_t) loop_bytes;   /* that the loop ever queued, less all that are through */
	size_t limit_bytes;
	PRO_ATOMIC(size_t) cancels;           /* ever asked for */
	size_t cancelled_count;               /* messages of the queue that a cancel is to hit */
	struct pro_message_block *queue_head; /* being sent or waiting */
	struct pro_message_block *queue_tail;
	struct pro_message_block *done_head; /* to be reported */
	struct pro_message_block *done_tail;
	struct pro_message_block *report_head; /* being reported */
	struct pro_message_block *report_tail;
	size_t head_sent; /* bytes of the head's message that went out */
	int failed_os_error;
	int report_os_error;    /* of what is being reported */
	bool is_broken;         /* a message was cut: later writes fail with PRO_EPIPE */
	bool has_failed_unseen; /* a message failed, and its callback is still to come */
	bool is_shut_down;
	PRO_ATOMIC(bool) is_shutting_down; /* the end of the stream follows what is queued */
	struct pro_buffer buffers[PRO_WRITE_BUFFERS];
};

/* error 0: all bytes went out. Otherwise bytes_transferred tells how many did. Either way rd has
 * been moved by what went out, and the block belongs to the handler again. After a message that was
 * cut the stream is broken: what was queued behind it completes with PRO_ECANCELED, later writes
 * with PRO_EPIPE. When one fails before a byte of it went out, all that was started before its
 * callback completes with PRO_ECANCELED as well, so that nothing goes out past it unknowingly; what
 * is started from then on goes out. A cancel hits only what was queued when it was asked for. */
struct pro_asynch_write_stream_result {
	PRO_RESULT_MEMBERS;
	struct pro_message_block *block;
	size_t bytes_requested;
};

/* Binds the writer to its handler and to `handle` (PRO_INVALID_HANDLE: the handle that the handler
 * owns). One writer per handle. Needs handle_write_stream. PRO_EINVAL, PRO_ECLOSED (the handler is
 * closing and has no handle any more). Not while a flight is under way. [set-up or callback] Since
 * 0.1. */
PRO_API int pro_asynch_write_stream_open(struct pro_asynch_write_stream *writer,
		struct pro_handler *handler, pro_handle handle, const void *completion_key);

/* Queues the unread bytes of `block` alone. The block is the library's until its callback; each
 * block has its callback, in order. An act set before with pro_operation_set_act goes with it.
 * PRO_EINVAL when it is empty, PRO_EBUSY when it is queued already, PRO_EFULL above the limit,
 * PRO_EPIPE after a shutdown, PRO_ECLOSED, PRO_EFORKED. [any thread] ACE: write. Since 0.1. */
PRO_API int pro_asynch_write_stream_write(
		struct pro_asynch_write_stream *writer, struct pro_message_block *block);

/* Queues the unread bytes of a whole cont chain as one message. Errors as write. [any thread] ACE:
 * writev. Since 0.1. */
PRO_API int pro_asynch_write_stream_writev(
		struct pro_asynch_write_stream *writer, struct pro_message_block *chain);

/* Sends the end of the stream once all that is queued went out; not when some of it failed for
 * other reasons than a cancel. Later writes are refused with PRO_EPIPE. It is no operation: no
 * callback tells of it. PRO_EINVAL, PRO_ECLOSED, PRO_EFORKED. [any thread] Since 0.1. */
PRO_API int pro_asynch_write_stream_shutdown(struct pro_asynch_write_stream *writer);

/* A write that would make the queue longer than `bytes` is refused with PRO_EFULL, unless the queue
 * is empty. Behind the open, which sets PRO_WRITE_QUEUE_BYTES. [set-up] Since 0.1. */
PRO_API void pro_asynch_write_stream_set_limit(
		struct pro_asynch_write_stream *writer, size_t bytes);

/* Bytes accepted and not yet sent. [any thread] Since 0.1. */
PRO_API size_t pro_asynch_write_stream_queued(const struct pro_asynch_write_stream *writer);

PRO_END_DECLS

#endif
