/* One client as the chat has it: its lines out, the ways in which it ends, what its news ask for.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "chat.h"

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
		atomic_store_explicit(&session->moved_ms, chat_now_ms(session->chat), memory_order_relaxed);
	int error = pro_asynch_write_stream_write(&session->writer, line);
	if (error)
		pro_message_block_release(line);
	/* Otherwise it closed itself, and that is on its way. */
	if (error && error != PRO_ECLOSED)
		session_drop(session, error == PRO_EFULL ? "too slow" : pro_error_text(error));
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
	uint64_t moved_ms = atomic_load_explicit(&session->moved_ms, memory_order_relaxed);

	return pro_asynch_write_stream_queued(&session->writer) > LAG_BYTES &&
		   now_ms < moved_ms + SLEEP_MS;
}

bool session_has_room(struct session *session, size_t bytes)
{
	if (pro_asynch_write_stream_queued(&session->writer) <= bytes)
		return true;
	/* What went out before this exchange is seen after it; what goes out later sees it. */
	atomic_exchange(&session->wants_output, true);
	return pro_asynch_write_stream_queued(&session->writer) <= bytes;
}

/* ---- ending ---- */

/* Whether an ending session has nothing more to do: its lines are out, and its client sent its end
 * or can not be waited for. */
static bool session_is_done(struct session *session)
{
	return session_has_room(session, 0) && (session->has_ended_input || session->chat->is_stopping);
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
		if (!session->has_ended_input && !session->is_reading) {
			pro_message_block_reset(&session->block);
			session_read(session);
		}
	}
	if (session->state == SESSION_ENDING && session_is_done(session))
		session_close(session);
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

/* How many sessions there are of the client at `remote`. */
static unsigned chat_count_client(const struct chat *chat, const struct pro_addr *remote)
{
	unsigned count = 0;

	for (const struct session *session = chat->sessions; session; session = session->next)
		count += pro_addr_same_client(&session->service.remote, remote);
	return count;
}

/* NULL: it may come in. */
static const char *session_refusal(const struct session *session)
{
	const struct chat *chat = session->chat;

	if (chat->is_stopping)
		return "stopping";
	if (chat_count_client(chat, &session->service.remote) >= chat->limits.per_address_max)
		return "too many connections from one address";
	return NULL;
}

static void session_link(struct session *session)
{
	struct chat *chat = session->chat;

	session->next = chat->sessions;
	if (session->next)
		session->next->prev = session;
	chat->sessions = session;
	chat->session_count++;
}

static void session_arrive(struct session *session)
{
	const char *refusal = session_refusal(session);
	char from[PRO_ADDR_TEXT_MAX];

	session_link(session);
	pro_addr_format(&session->service.remote, from, sizeof(from));
	if (refusal) {
		sample_log("refused %s: %s", from, refusal);
		session_close(session);
		return;
	}
	session_name_guest(session);
	sample_log("%s connected from %s", session->named.name, from);
	int error = session->open_error;
	if (!error && !room_join(session, LOBBY))
		error = PRO_ENOMEM;
	if (error) {
		sample_log("%s: %s", session->named.name, pro_error_text(error));
		session_close(session);
	} else {
		session_read(session);
	}
}

void session_forget(struct session *session)
{
	struct chat *chat = session->chat;
	char from[PRO_ADDR_TEXT_MAX];

	if (session->named.name[0])
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
	session_free(session);
}

/* ---- news ---- */

static void session_take_read(struct session *session)
{
	session->is_reading = false;
	if (session->read_error == PRO_EOF) {
		session->has_ended_input = true;
		session_end(session);
	} else if (session->read_error) {
		session_close(session);
	} else if (session->state == SESSION_ENDING) {
		session_discard(session);
	} else {
		session_continue(session);
	}
}

static void session_take_output(struct session *session)
{
	if (session->state == SESSION_ENDING)
		session_end(session);
	else if (session->wait == WAIT_OUTPUT)
		session_continue(session);
}

static void session_take_time_out(struct session *session)
{
	if (session->state == SESSION_ENDING && !session->chat->is_stopping)
		session_close(session);
	else if (session->wait == WAIT_PAUSE)
		session_continue(session);
}

void session_take_news(struct session *session)
{
	/* From here on the block may be posted again. */
	unsigned news = atomic_exchange(&session->news, 0);

	if (news & NEWS_OPENED)
		session_arrive(session);
	/* It closed itself: from here on it must not give itself a turn, which would outlive it. */
	if (news & (NEWS_WRITE_FAILED | NEWS_CLOSED))
		session_close(session);
	if (news & NEWS_READ)
		session_take_read(session);
	if (news & NEWS_WROTE)
		session_take_output(session);
	if (news & NEWS_TIME_OUT)
		session_take_time_out(session);
	if ((news & NEWS_TURN) && session->wait == WAIT_TURN)
		session_continue(session);
	chat_settle(session->chat);
	if (news & NEWS_CLOSED)
		session_forget(session);
}
