/* Rooms: who is in them, and one line for all of them. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "chat.h"

struct pro_message_block *line_create_v(const char *format, va_list arguments)
{
	va_list again;

	va_copy(again, arguments);
	int length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (length < 0)
		return NULL;

	struct pro_message_block *line = pro_message_block_create(NULL, (size_t)length + 1);
	if (!line)
		return NULL;
	vsnprintf((char *)line->base, line->size, format, arguments);
	line->base[length] = '\n'; /* in place of the NUL */
	line->wr = line->size;
	return line;
}

struct pro_message_block *line_create(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	struct pro_message_block *line = line_create_v(format, arguments);
	va_end(arguments);
	return line;
}

static struct room *room_create(struct chat *chat, const char *name)
{
	struct room *room = calloc(1, sizeof(*room));

	if (!room)
		return NULL;
	room->chat = chat;
	names_add(&chat->room_names, &room->named, name);
	room->prev = chat->rooms_last;
	if (room->prev)
		room->prev->next = room;
	else
		chat->rooms_first = room;
	chat->rooms_last = room;
	return room;
}

static void room_destroy(struct room *room)
{
	struct chat *chat = room->chat;

	names_remove(&chat->room_names, &room->named);
	if (room->prev)
		room->prev->next = room->next;
	else
		chat->rooms_first = room->next;
	if (room->next)
		room->next->prev = room->prev;
	else
		chat->rooms_last = room->prev;
	free(room);
}

static void room_add(struct room *room, struct session *session)
{
	session->room = room;
	session->room_next = NULL;
	session->room_prev = room->last;
	if (room->last)
		room->last->room_next = session;
	else
		room->first = session;
	room->last = session;
	room->member_count++;
}

void room_remove(struct session *session)
{
	struct room *room = session->room;

	if (session->room_prev)
		session->room_prev->room_next = session->room_next;
	else
		room->first = session->room_next;
	if (session->room_next)
		session->room_next->room_prev = session->room_prev;
	else
		room->last = session->room_prev;
	session->room = NULL;
	if (--room->member_count == 0)
		room_destroy(room);
}

/* Lets the room pause, longer each time, while most of those reached lag. */
static void room_pace(struct room *room, unsigned reached, unsigned lagging, uint64_t now_ms)
{
	if (lagging * 2 <= reached) {
		room->pause_ms = 0;
		return;
	}
	if (room->pause_ms == 0)
		room->pause_ms = 1 + room->member_count / MEMBERS_PER_MS;
	else if (room->pause_ms * 2 <= PAUSE_MS_MAX)
		room->pause_ms *= 2;
	room->busy_until_ms = now_ms + room->pause_ms;
}

void room_send(struct room *room, const struct session *except, struct pro_message_block *line)
{
	uint64_t now_ms;
	unsigned reached = 0;
	unsigned lagging = 0;

	if (!line)
		return;
	now_ms = chat_now_ms(room->chat);
	for (struct session *member = room->first; member; member = member->room_next) {
		if (member == except)
			continue;
		session_send(member, pro_message_block_duplicate(line));
		reached++;
		lagging += session_is_lagging(member, now_ms);
	}
	pro_message_block_release(line);
	room_pace(room, reached, lagging, now_ms);
}

bool room_join(struct session *session, const char *name)
{
	struct chat *chat = session->chat;
	struct room *room = room_from_named(names_find(&chat->room_names, name));

	if (!room)
		room = room_create(chat, name);
	if (!room)
		return false;
	if (session->room) {
		room_send(session->room, session,
				line_create("* %s left %s", session->named.name, session->room->named.name));
		room_remove(session);
	}
	room_add(room, session);
	room_send(room, NULL, line_create("* %s joined %s", session->named.name, room->named.name));
	return true;
}
