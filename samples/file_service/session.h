/* A session: one client's connection, from the accept to the close.
 *
 *   reading ──request complete──► answering ──sent──► reading …
 *      │                              │ last answer
 *      └─ end, timeout ──► closed ◄───┴── lingering
 *
 * One operation is in flight at a time. While an answer is on its way nothing is read, so that what
 * the client sends ahead waits in its own system; when it has sent its end too, the answers to all
 * it asked for go out first. */
#ifndef FILE_SERVICE_SESSION_H
#define FILE_SERVICE_SESSION_H

#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_transmit_file.h>
#include <proactor/service_handler.h>

#include "file_service.h"
#include "http_request.h"
#include "http_response.h"

/* After its last answer the server waits so long for the client to close, and reads so much of what
 * it sends: a socket closed with unread bytes resets the connection, and the client loses the
 * answer. */
#define SESSION_LINGER_MS        2000
#define SESSION_LINGER_BYTES_MAX (1024 * 1024)

/* What the system holds for one client. It would take megabytes by itself: too much for thousands
 * of clients that read slowly, and too coarse to see that one of them still takes a little. */
#define SESSION_SEND_BUFFER_BYTES (256 * 1024)

enum session_state { SESSION_READING, SESSION_ANSWERING, SESSION_LINGERING };

enum session_protocol {
	SESSION_UNDECIDED, /* the first line is not there yet */
	SESSION_LINES,
	SESSION_HTTP
};

struct session {
	struct pro_service_handler service; /* owns the socket */
	struct pro_asynch_read_stream reader;
	struct pro_asynch_transmit_file sender;
	struct file_service *server;
	struct pro_proactor *proactor; /* where it lives */

	/* What it tells the service; from the first to the last of them the service frees it. */
	struct pro_message_block begun;
	struct pro_message_block ended;
	bool is_known;
	atomic_bool is_refused; /* the service has too many of its address */

	struct session *next; /* in server->sessions; the service's */
	struct session **link;

	enum session_state state;
	enum session_protocol protocol;
	uint64_t deadline_ms; /* of the request that is read, or of lingering */
	uint64_t skip;        /* bytes of a body, to be dropped before the next request */
	size_t lingered;

	/* The request that is read or answered. */
	struct http_request request;
	bool is_line_too_long; /* the rest of it is being dropped */

	/* The answer: head, file and page; each may be absent. */
	unsigned status;      /* for the log */
	const char *log_line; /* what was asked for, inside input; untrusted */
	size_t log_length;
	size_t consumed; /* bytes of input that the answer belongs to */
	bool is_last;    /* the connection ends behind it */
	struct pro_message_block head;
	struct pro_message_block *page; /* the session's; NULL: none */

	struct pro_message_block input;
	unsigned char head_bytes[HTTP_RESPONSE_MAX];
	unsigned char input_bytes[HTTP_HEAD_MAX + 1];
};

/* A session of `server` that is to live on `proactor`, not yet connected; NULL when there is no
 * memory or no place. [any thread] */
struct session *session_create(struct file_service *server, struct pro_proactor *proactor);

/* Takes what a session posted: that it begins, or has ended. [the service's handler] */
void session_told(const struct pro_post_result *result);

/* Takes the session, of which nothing is in use, out of the service, and frees it. [the service's
 * handler] */
void session_forget(struct session *session);

/* Sends the answer: session->head, `bytes` bytes of `file` from `offset` (PRO_INVALID_HANDLE: no
 * file), session->page, in one operation. Takes the file over. status, log_line, consumed and
 * is_last have been set. */
void session_send(struct session *session, pro_handle file, uint64_t offset, uint64_t bytes);

#endif
