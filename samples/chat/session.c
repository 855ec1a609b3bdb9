/* One client: its lines in, its lines out, and the ways in which it ends. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../common/sample.h"
#include "chat.h"

static const struct pro_service_handler_vtbl session_vtbl;

static struct session *session_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct session, service.handler);
}

struct pro_service_handler *session_create(struct chat *chat)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	int error = pro_service_handler_init(&session->service, &session_vtbl, chat->proactor);
	if (error) {
		sample_log("no session: %s", pro_error_text(error));
		free(session);
		return NULL;
	}
	pro_message_block_init(&session->block, session->bytes, sizeof(session->bytes));
	session->chat = chat;
	session->next = chat->sessions;
	if (session->next)
		session->next->prev = session;
	chat->sessions = session;
	chat->session_count++;
	return &session->service;
}

/* ---- leaving ---- */

void session_leave(struct session *session, struct pro_message_block *notice)
{
	if (session->room) {
		room_send(session->room, session, notice);
		room_remove(session);
	} else {
		pro_message_block_release(notice);
	}
	if (session->has_name) {
		names_remove(&session->chat->names, &session->named);
		session->has_name = false;
	}
}

/* Leaves as one who goes by itself. */
static void session_leave_politely(struct session *session)
{
	struct pro_message_block *notice = NULL;

	if (session->room && !session->chat->is_stopping)
		notice = line_create("* %s left %s", session->named.name, session->room->named.name);
	session_leave(session, notice);
}

void session_close(struct session *session)
{
	if (session->state == SESSION_CLOSED)
		return;
	session_leave_politely(session);
	session->state = SESSION_CLOSED;
	pro_handler_close(&session->service.handler);
}

/* Marks the session for chat_settle. */
static void session_drop(struct session *session, const char *why)
{
	if (session->state != SESSION_TALKING)
		return;
	session->state = SESSION_DROPPED;
	session->dropped_why = why;
	session->dropped_next = session->chat->dropped;
	session->chat->dropped = session;
}

void chat_settle(struct chat *chat)
{
	/* The notices may drop more sessions, which join the list. */
	while (chat->dropped) {
		struct session *session = chat->dropped;

		chat->dropped = session->dropped_next;
		sample_log("%s dropped: %s", session->named.name, session->dropped_why);
		session_leave(session,
				line_create("* %s dropped: %s", session->named.name, session->dropped_why));
		session_close(session);
	}
}

/* ---- writing ---- */

void session_send(struct session *session, struct pro_message_block *line)
{
	if (session->state != SESSION_TALKING) {
		pro_message_block_release(line);
		return;
	}
	if (!line) {
		session_drop(session, "out of memory");
		return;
	}
	if (pro_asynch_write_stream_queued(&session->writer) == 0)
		session->moved_ms = pro_proactor_now_ms(session->chat->proactor);
	int error = pro_asynch_write_stream_write(&session->writer, line);
	if (error) {
		pro_message_block_release(line);
		session_drop(session, error == PRO_EFULL ? "too slow" : pro_error_text(error));
	}
}

void session_printf(struct session *session, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	struct pro_message_block *line = line_create_v(format, arguments);
	va_end(arguments);
	session_send(session, line);
}

bool session_is_lagging(const struct session *session, uint64_t now_ms)
{
	return pro_asynch_write_stream_queued(&session->writer) > LAG_BYTES &&
		   now_ms < session->moved_ms + SLEEP_MS;
}

/* ---- ending ---- */

/* Whether an ending session has nothing more to do: its lines are out, and its client sent its end
 * or can not be waited for. */
static bool session_is_done(const struct session *session)
{
	return pro_asynch_write_stream_queued(&session->writer) == 0 &&
		   (session->has_ended_input || session->chat->is_stopping);
}

/* When the server stops, a bound for all of them together takes the place of ENDING_MS. */
void session_end(struct session *session)
{
	if (session->state == SESSION_TALKING) {
		session_leave_politely(session);
		session->state = SESSION_ENDING;
		int error = pro_asynch_write_stream_shutdown(&session->writer);
		if (!error && !session->chat->is_stopping)
			error = pro_asynch_timer_schedule(&session->timer, ENDING_MS);
		if (error) {
			session_close(session);
			return;
		}
		if (!session->has_ended_input && !pro_operation_in_flight(&session->reader.operation)) {
			pro_message_block_reset(&session->block);
			session_read(session);
		}
	}
	if (session->state == SESSION_ENDING && session_is_done(session))
		session_close(session);
}

/* ---- callbacks ---- */

static void session_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct session *session = session_from_handler(handler);

	if (result->error == PRO_EOF) {
		session->has_ended_input = true;
		session_end(session);
	} else if (result->error) {
		session_close(session);
	} else if (session->state == SESSION_ENDING) {
		session_discard(session);
	} else {
		session_continue(session);
	}
	chat_settle(session->chat);
}

static void session_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct session *session = session_from_handler(handler);

	pro_message_block_release(result->block);
	session->moved_ms = pro_proactor_now_ms(session->chat->proactor);
	if (result->error)
		session_close(session);
	else if (session->state == SESSION_ENDING)
		session_end(session);
	else if (session->state == SESSION_TALKING && session->wait == WAIT_OUTPUT)
		session_continue(session);
	chat_settle(session->chat);
}

static void session_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct session *session = session_from_handler(handler);

	if (result->error)
		return;
	if (session->state == SESSION_ENDING && !session->chat->is_stopping)
		session_close(session);
	else if (session->wait == WAIT_PAUSE)
		session_continue(session);
	chat_settle(session->chat);
}

/* Comes after a full turn, and after nothing else. */
static void session_handle_wakeup(struct pro_handler *handler)
{
	struct session *session = session_from_handler(handler);

	if (session->wait == WAIT_TURN)
		session_continue(session);
	chat_settle(session->chat);
}

/* Also runs for sessions that the end of the program closed while they talked. */
static void session_handle_close(struct pro_handler *handler)
{
	struct session *session = session_from_handler(handler);
	struct chat *chat = session->chat;
	char from[PRO_ADDR_TEXT_MAX];

	sample_log("%s disconnected from %s", session->named.name,
			pro_addr_format(&session->service.remote, from, sizeof(from)));
	session_leave(session, NULL);
	if (session->prev)
		session->prev->next = session->next;
	else
		chat->sessions = session->next;
	if (session->next)
		session->next->prev = session->prev;
	chat->session_count--;
	free(session);
	if (chat->is_stopping && chat->session_count == 0)
		pro_proactor_end_event_loop(chat->proactor);
}

/* ---- arriving ---- */

/* guestN for the next N that nobody has taken as a name. */
static void session_name_guest(struct session *session)
{
	struct chat *chat = session->chat;
	char name[NAME_BYTES + 1];

	do {
		chat->guest_number++;
		snprintf(name, sizeof(name), "guest%llu", (unsigned long long)chat->guest_number);
	} while (names_find(&chat->names, name));
	names_add(&chat->names, &session->named, name);
	session->has_name = true;
}

static int session_open_operations(struct session *session)
{
	struct pro_handler *handler = &session->service.handler;
	pro_handle handle = pro_service_handler_handle(&session->service);
	struct pro_proactor *proactor = session->chat->proactor;
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

static void session_open(struct pro_service_handler *service)
{
	struct session *session = session_from_handler(&service->handler);
	char from[PRO_ADDR_TEXT_MAX];

	session_name_guest(session);
	sample_log("%s connected from %s", session->named.name,
			pro_addr_format(&service->remote, from, sizeof(from)));
	int error = session_open_operations(session);
	if (!error && !room_join(session, LOBBY))
		error = PRO_ENOMEM;
	if (error) {
		sample_log("%s: %s", session->named.name, pro_error_text(error));
		session_close(session);
	} else {
		session_read(session);
	}
	chat_settle(session->chat);
}

static const struct pro_service_handler_vtbl session_vtbl = {
		.handler.handle_read_stream = session_handle_read_stream,
		.handler.handle_write_stream = session_handle_write_stream,
		.handler.handle_time_out = session_handle_time_out,
		.handler.handle_wakeup = session_handle_wakeup,
		.handler.handle_close = session_handle_close,
		.open = session_open,
};
