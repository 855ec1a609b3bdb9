/* What a client can say: plain lines and commands. */
#include <stdio.h>
#include <string.h>

#include "chat.h"

#define ECHO_BYTES 64 /* of an unknown command that are repeated in the answer */

/* Whether `name` is one; the spaces behind it do not count and are cut. */
static bool check_name(struct session *session, const char *what, char *name)
{
	size_t length = strlen(name);

	while (length > 0 && name[length - 1] == ' ')
		name[--length] = '\0';
	if (text_is_name(name))
		return true;
	session_printf(session, "! a %s is 1-32 letters, digits, _ or -", what);
	return false;
}

static void command_say(struct session *session, const char *text)
{
	struct pro_message_block *line = line_create("%s: %s", session->named.name, text);

	if (!line) {
		session_printf(session, "! out of memory, nothing was sent");
		return;
	}
	room_send(session->room, session, line);
}

static void command_nick(struct session *session, char *name)
{
	struct names *names = &session->chat->names;

	if (!check_name(session, "name", name))
		return;
	struct session *holder = session_from_named(names_find(names, name));
	if (holder && (holder != session || strcmp(session->named.name, name) == 0)) {
		session_printf(session, "! name is taken: %s", holder->named.name);
		return;
	}
	struct pro_message_block *notice = line_create("* %s is now %s", session->named.name, name);
	sample_log("%s is now %s", session->named.name, name);
	names_remove(names, &session->named);
	names_add(names, &session->named, name);
	room_send(session->room, NULL, notice);
}

static void command_join(struct session *session, char *name)
{
	if (!check_name(session, "room", name))
		return;
	if (session->room == room_from_named(names_find(&session->chat->room_names, name))) {
		session_printf(session, "! you are in %s already", session->room->named.name);
		return;
	}
	if (!room_join(session, name))
		session_printf(session, "! out of memory, you stay in %s", session->room->named.name);
}

/* A list that goes on in further lines when it is long. */
struct list {
	struct session *to;
	const char *beginning;          /* "* rooms:" */
	struct pro_message_block *line; /* being filled; NULL before the first item */
};

static void list_end(struct list *list)
{
	if (!list->line)
		return;
	pro_message_block_copy(list->line, "\n", 1); /* list_add left room for it */
	session_send(list->to, list->line);
	list->line = NULL;
}

static void list_add(struct list *list, const char *item)
{
	if (list->line && pro_message_block_space(list->line) < strlen(item) + sizeof(", \n"))
		list_end(list);
	if (list->line) {
		pro_message_block_printf(list->line, ", %s", item);
		return;
	}
	list->line = pro_message_block_create(NULL, LINE_BYTES);
	if (list->line)
		pro_message_block_printf(list->line, "%s %s", list->beginning, item);
	else
		session_send(list->to, NULL);
}

static void command_who(struct session *session, char *rest)
{
	char beginning[NAME_BYTES + sizeof("* in :")];
	struct list list = {.to = session, .beginning = beginning};

	(void)rest;
	snprintf(beginning, sizeof(beginning), "* in %s:", session->room->named.name);
	for (struct session *member = session->room->first; member; member = member->room_next)
		list_add(&list, member->named.name);
	list_end(&list);
}

static void command_rooms(struct session *session, char *rest)
{
	struct list list = {.to = session, .beginning = "* rooms:"};
	char item[NAME_BYTES + 16];

	(void)rest;
	for (struct room *room = session->chat->rooms_first; room; room = room->next) {
		snprintf(item, sizeof(item), "%s (%u)", room->named.name, room->member_count);
		list_add(&list, item);
	}
	list_end(&list);
}

static void command_msg(struct session *session, char *rest)
{
	char *text = strchr(rest, ' ');

	if (!text || text[1] == '\0') {
		session_printf(session, "! usage: /msg NICK TEXT");
		return;
	}
	*text++ = '\0';
	struct session *to = session_from_named(names_find(&session->chat->names, rest));
	if (!to) {
		session_printf(
				session, "! nobody is called %.*s", (int)text_prefix(rest, ECHO_BYTES), rest);
		return;
	}
	struct pro_message_block *line = line_create("%s (private): %s", session->named.name, text);
	if (line)
		session_send(to, line);
	else
		session_printf(session, "! out of memory, nothing was sent");
}

static void command_quit(struct session *session, char *rest)
{
	(void)rest;
	session_end(session);
}

static void command_help(struct session *session, char *rest);

/* `run` may write to `rest`, which is what follows the word and its space. */
static const struct command {
	const char *word;
	const char *help;
	void (*run)(struct session *session, char *rest);
} commands[] = {
		{"/nick", "NAME: change your name (1-32 letters, digits, _ or -)", command_nick},
		{"/join", "ROOM: go to another room; it is made when nobody is there", command_join},
		{"/who", "- who is in your room", command_who},
		{"/rooms", "- the rooms and how many are there", command_rooms},
		{"/msg", "NICK TEXT: say something to one only", command_msg},
		{"/quit", "- leave", command_quit},
		{"/help", "- this list; any other line goes to everyone else in your room", command_help},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void command_help(struct session *session, char *rest)
{
	(void)rest;
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		session_printf(session, "* %s %s", commands[i].word, commands[i].help);
}

static void command_run(struct session *session, char *line)
{
	size_t length = strcspn(line, " ");
	char *rest = line + length + strspn(line + length, " ");

	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const struct command *command = &commands[i];
		if (strlen(command->word) == length && memcmp(command->word, line, length) == 0) {
			command->run(session, rest);
			return;
		}
	}
	line[length] = '\0';
	session_printf(session, "! unknown command: %.*s", (int)text_prefix(line, ECHO_BYTES), line);
}

void command_handle(struct session *session, char *line, size_t length)
{
	switch (text_check((const unsigned char *)line, length)) {
	case TEXT_NOT_UTF8:
		session_printf(session, "! refused: not UTF-8");
		break;
	case TEXT_HAS_CONTROL:
		session_printf(session, "! refused: control character");
		break;
	case TEXT_GOOD:
		if (line[0] == '/')
			command_run(session, line);
		else if (length > 0)
			command_say(session, line);
		break;
	}
}
