#include "session.h"

#include <proactor/socket.h>

#include <inttypes.h>
#include <stdlib.h>

#include "http_protocol.h"
#include "line_protocol.h"

static const char news_ended; /* the act of the last post */

static struct session *session_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct session, service.handler);
}

static void session_close(struct session *session)
{
	pro_handler_close(&session->service.handler);
}

/* From now on the session does `state`, for `limit_ms` at most. */
static void session_set_state(struct session *session, enum session_state state, uint64_t limit_ms)
{
	session->state = state;
	session->deadline_ms = pro_proactor_now_ms(session->proactor) + limit_ms;
}

/* Waits for more input, until the deadline: it is that of the whole request, so that a client which
 * sends a byte now and then gains nothing. */
static void session_read(struct session *session)
{
	uint64_t now_ms = pro_proactor_now_ms(session->proactor);
	uint64_t left_ms = session->deadline_ms > now_ms ? session->deadline_ms - now_ms : 0;

	if (pro_message_block_crunch(&session->input) ||
			pro_operation_set_timeout(&session->reader.operation, (int64_t)left_ms) ||
			pro_asynch_read_stream_read(&session->reader, &session->input, 0))
		session_close(session);
}

/* Drops what is left of the body of an answered request. */
static void session_drop_body(struct session *session)
{
	uint64_t length = pro_message_block_length(&session->input);
	uint64_t dropped = session->skip < length ? session->skip : length;

	session->input.rd += (size_t)dropped;
	session->skip -= dropped;
}

/* Answers the next request of the input, or reads on. */
static void session_process(struct session *session)
{
	bool is_answering = false;

	session_drop_body(session);
	size_t length = pro_message_block_length(&session->input);
	if (session->protocol == SESSION_UNDECIDED && length > 0)
		session->protocol = line_protocol_detect(
				(const char *)pro_message_block_rd_ptr(&session->input), length);
	switch (session->protocol) {
	case SESSION_UNDECIDED:
		break;
	case SESSION_LINES:
		is_answering = line_protocol_process(session);
		break;
	case SESSION_HTTP:
		is_answering = http_protocol_process(session);
		break;
	}
	if (!is_answering)
		session_read(session);
}

static void session_begin_request(struct session *session)
{
	session_set_state(
			session, SESSION_READING, (uint64_t)session->server->request_timeout_s * 1000);
	http_request_init(&session->request);
	session_process(session);
}

/* Whether a close resets the connection: nobody shall take the part of an answer that went out for
 * the whole. */
static void session_set_reset(struct session *session, bool is_reset)
{
	pro_socket_set_option(session->proactor, pro_service_handler_handle(&session->service),
			PRO_SOCKET_LINGER_RESET, is_reset);
}

/* The last answer is out: tells the client so, and waits for it to close. */
static void session_linger(struct session *session)
{
	session_set_state(session, SESSION_LINGERING, SESSION_LINGER_MS);
	if (session->server->is_draining)
		session_set_reset(session, false);
	session->input.rd = session->input.wr;
	if (pro_socket_shutdown_write(session->proactor, pro_service_handler_handle(&session->service)))
		session_close(session);
	else
		session_read(session);
}

void session_send(struct session *session, pro_handle file, uint64_t offset, uint64_t bytes)
{
	struct pro_message_block *head =
			pro_message_block_length(&session->head) > 0 ? &session->head : NULL;

	session->state = SESSION_ANSWERING;
	int error = pro_asynch_transmit_file_transmit_file(&session->sender, file,
			file == PRO_INVALID_HANDLE ? 0 : offset, file == PRO_INVALID_HANDLE ? 0 : bytes, head,
			session->page);
	if (!error)
		return;
	if (file != PRO_INVALID_HANDLE)
		pro_proactor_close_handle(session->proactor, file);
	session_close(session);
}

/* One line for each request: who, what, how it was answered, how much went out. */
static void session_log(
		const struct session *session, const struct pro_asynch_transmit_file_result *result)
{
	char quoted[300];
	char remote[PRO_ADDR_TEXT_MAX];

	sample_log("%s %s %u %" PRIu64 "%s%s",
			pro_addr_format(&session->service.remote, remote, sizeof(remote)),
			sample_quote(session->log_line, session->log_length, quoted, sizeof(quoted)),
			session->status, result->bytes_sent, result->error ? " " : "",
			result->error ? pro_error_text(result->error) : "");
}

static void session_handle_transmit_file(
		struct pro_handler *handler, const struct pro_asynch_transmit_file_result *result)
{
	struct session *session = session_from_handler(handler);

	session_log(session, result);
	if (result->file != PRO_INVALID_HANDLE)
		pro_proactor_close_handle(session->proactor, result->file);
	pro_message_block_release(session->page);
	session->page = NULL;
	if (result->error) {
		session_set_reset(session, true);
		session_close(session);
		return;
	}
	if (pro_handler_is_closing(handler))
		return;
	session->input.rd += session->consumed;
	if (session->is_last || session->server->is_draining)
		session_linger(session);
	else
		session_begin_request(session);
}

static void session_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct session *session = session_from_handler(handler);

	if (result->error || pro_handler_is_closing(handler)) {
		/* The client's end, its failure, or its time is over. */
		session_close(session);
	} else if (session->state == SESSION_LINGERING) {
		session->lingered += result->bytes_transferred;
		session->input.rd = session->input.wr;
		if (session->lingered < SESSION_LINGER_BYTES_MAX)
			session_read(session);
		else
			session_close(session);
	} else {
		session_process(session);
	}
}

static int session_open_operations(struct session *session)
{
	struct pro_handler *handler = &session->service.handler;
	int64_t stall_ms = (int64_t)session->server->stall_timeout_s * 1000;
	int error = pro_asynch_read_stream_open(&session->reader, handler, PRO_INVALID_HANDLE, NULL);

	if (!error)
		error = pro_asynch_transmit_file_open(&session->sender, handler, PRO_INVALID_HANDLE, NULL);
	if (!error)
		error = pro_operation_set_stall_timeout(&session->sender.operation, stall_ms);
	return error;
}

static void session_open(struct pro_service_handler *service)
{
	struct session *session = session_from_handler(&service->handler);

	/* Where it can not be set the system's own size will do. */
	pro_socket_set_option(session->proactor, pro_service_handler_handle(service),
			PRO_SOCKET_SEND_BUFFER, SESSION_SEND_BUFFER_BYTES);
	/* Refused at the end of the program only. */
	session->is_known = !pro_handler_post(&session->server->handler, &session->begun, NULL);
	if (!session->is_known || session_open_operations(session))
		session_close(session);
	else
		session_begin_request(session);
}

/* The service refuses the client, or it drains: an answer that is under way is the last, and may be
 * cut by its end. */
static void session_handle_wakeup(struct pro_handler *handler)
{
	struct session *session = session_from_handler(handler);

	if (session->state == SESSION_ANSWERING)
		session_set_reset(session, true);
	if (session->state == SESSION_READING || atomic_load(&session->is_refused))
		session_close(session);
}

static void session_free(struct session *session)
{
	pro_message_block_release(session->page);
	sample_limits_leave(&session->server->limits);
	free(session);
}

/* When the service is told nothing any more, main frees what it knew. */
static void session_handle_close(struct pro_handler *handler)
{
	struct session *session = session_from_handler(handler);

	if (session->is_known)
		pro_handler_post(&session->server->handler, &session->ended, &news_ended);
	else
		session_free(session);
}

static const struct pro_service_handler_vtbl session_vtbl = {
		.handler.handle_read_stream = session_handle_read_stream,
		.handler.handle_transmit_file = session_handle_transmit_file,
		.handler.handle_wakeup = session_handle_wakeup,
		.handler.handle_close = session_handle_close,
		.open = session_open,
};

struct session *session_create(struct file_service *server, struct pro_proactor *proactor)
{
	struct session *session;

	if (!sample_limits_enter(&server->limits))
		return NULL;
	session = malloc(sizeof(*session));
	if (!session || pro_service_handler_init(&session->service, &session_vtbl, proactor)) {
		sample_log("refused a connection: out of memory");
		sample_limits_leave(&server->limits);
		free(session);
		return NULL;
	}
	session->server = server;
	session->proactor = proactor;
	session->is_known = false;
	atomic_init(&session->is_refused, false);
	session->protocol = SESSION_UNDECIDED;
	session->state = SESSION_READING;
	session->skip = 0;
	session->lingered = 0;
	session->is_line_too_long = false;
	session->page = NULL;
	pro_message_block_init(&session->begun, NULL, 0);
	pro_message_block_init(&session->ended, NULL, 0);
	pro_message_block_init(&session->head, session->head_bytes, sizeof(session->head_bytes));
	pro_message_block_init(&session->input, session->input_bytes, sizeof(session->input_bytes));
	return session;
}

/* ---- for the service ---- */

static void session_link(struct session *session)
{
	struct file_service *server = session->server;

	session->next = server->sessions;
	session->link = &server->sessions;
	if (session->next)
		session->next->link = &session->next;
	server->sessions = session;
	server->session_count++;
}

void session_forget(struct session *session)
{
	*session->link = session->next;
	if (session->next)
		session->next->link = session->link;
	session->server->session_count--;
	session_free(session);
}

/* Whether there are more of its client than may be. */
static bool session_is_one_too_many(const struct session *session)
{
	unsigned count = 0;

	for (const struct session *known = session->server->sessions; known; known = known->next)
		count += pro_addr_same_client(&known->service.remote, &session->service.remote);
	return count > session->server->limits.per_address_max;
}

void session_told(const struct pro_post_result *result)
{
	struct session *session;

	if (result->act == &news_ended) {
		session_forget(pro_container_of(result->block, struct session, ended));
		return;
	}
	session = pro_container_of(result->block, struct session, begun);
	session_link(session);
	if (session_is_one_too_many(session)) {
		char remote[PRO_ADDR_TEXT_MAX];

		sample_log("refused %s: too many connections from one address",
				pro_addr_format(&session->service.remote, remote, sizeof(remote)));
		atomic_store(&session->is_refused, true);
	}
	if (atomic_load(&session->is_refused) || atomic_load(&session->server->is_draining))
		pro_handler_wakeup(&session->service.handler);
}
