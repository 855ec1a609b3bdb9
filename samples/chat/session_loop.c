/* One client where it lives: its callbacks, which tell the chat and decide nothing. */
#include <stdlib.h>

#include "chat.h"

static struct session *session_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct session, service.handler);
}

int session_tell(struct session *session, enum session_news news)
{
	struct chat *chat = session->chat;

	/* When there were other news, whoever brought them posts the block, and the session may be gone
	 * by now. */
	if (atomic_fetch_or(&session->news, news) != 0)
		return 0;
	return pro_handler_post(&chat->handler, &session->news_block, NULL);
}

static int session_open_operations(struct session *session)
{
	struct pro_handler *handler = &session->service.handler;
	pro_handle handle = pro_service_handler_handle(&session->service);
	struct pro_proactor *proactor = pro_handler_proactor(handler);
	int error;

	/* Peers that vanished are noticed, and the kernel keeps little of what is unread. Neither is
	 * needed to talk, and a UNIX-domain socket may lack the first. */
	pro_socket_set_option(proactor, handle, PRO_SOCKET_KEEPALIVE, 1);
	pro_socket_set_option(proactor, handle, PRO_SOCKET_SEND_BUFFER, SEND_BUFFER_BYTES);

	error = pro_asynch_read_stream_open(&session->reader, handler, PRO_INVALID_HANDLE, NULL);
	if (!error)
		error = pro_asynch_write_stream_open(&session->writer, handler, PRO_INVALID_HANDLE, NULL);
	if (!error)
		error = pro_asynch_timer_open(&session->timer, handler, NULL);
	if (!error)
		pro_asynch_write_stream_set_limit(&session->writer, UNREAD_BYTES);
	return error;
}

/* The chat refuses news at the end of the program only. */
static void session_open(struct pro_service_handler *service)
{
	struct session *session = session_from_handler(&service->handler);

	session->open_error = session_open_operations(session);
	session->is_known = true;
	if (session_tell(session, NEWS_OPENED)) {
		session->is_known = false;
		pro_handler_close(&service->handler);
	}
}

static void session_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct session *session = session_from_handler(handler);

	session->read_error = result->error;
	session_tell(session, NEWS_READ);
}

static void session_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct session *session = session_from_handler(handler);

	pro_message_block_release(result->block);
	atomic_store_explicit(&session->moved_ms, pro_proactor_now_ms(pro_handler_proactor(handler)),
			memory_order_relaxed);
	if (result->error) {
		/* Nothing may follow a line that is missing, and the chat hears of it later. */
		pro_handler_close(handler);
		session_tell(session, NEWS_WRITE_FAILED);
	} else if (atomic_exchange(&session->wants_output, false)) {
		session_tell(session, NEWS_WROTE);
	}
}

static void session_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	if (!result->error)
		session_tell(session_from_handler(handler), NEWS_TIME_OUT);
}

/* When the chat takes no news any more, main frees what it knew. */
static void session_handle_close(struct pro_handler *handler)
{
	struct session *session = session_from_handler(handler);

	if (session->is_known)
		session_tell(session, NEWS_CLOSED);
	else
		session_free(session);
}

static const struct pro_service_handler_vtbl session_vtbl = {
		.handler.handle_read_stream = session_handle_read_stream,
		.handler.handle_write_stream = session_handle_write_stream,
		.handler.handle_time_out = session_handle_time_out,
		.handler.handle_close = session_handle_close,
		.open = session_open,
};

struct pro_service_handler *session_create(struct chat *chat, struct pro_proactor *proactor)
{
	struct session *session;

	if (!sample_limits_enter(&chat->limits))
		return NULL;
	session = calloc(1, sizeof(*session));
	if (!session || pro_service_handler_init(&session->service, &session_vtbl, proactor)) {
		sample_log("refused a connection: out of memory");
		sample_limits_leave(&chat->limits);
		free(session);
		return NULL;
	}
	session->chat = chat;
	pro_message_block_init(&session->news_block, NULL, 0);
	pro_message_block_init(&session->block, session->bytes, sizeof(session->bytes));
	return &session->service;
}

void session_free(struct session *session)
{
	sample_limits_leave(&session->chat->limits);
	free(session);
}
