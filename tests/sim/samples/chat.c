/* The chat server and its clients: every line that was accepted reaches every member of the room
 * once and in its sender's order, or the member was dropped; and a stop is told to all. */
#define main chat_server_main
#include "../../../samples/chat/chat_server.c"
#undef main

#include "service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVER       "10.0.0.1:5000"
#define ROOM         "den" /* the other one beside the lobby */
#define LINES        8u
#define LINES_LONG   80u
#define BURST_MAX    3u /* lines in one write */
#define PADDING      40u
#define PADDING_LONG 3500u /* enough to fill the queue of who does not read */
#define CLIENTS_MAX  8u
#define SENDERS_MAX  64u /* connections of one client that are told apart */
#define LOOK_MS      100
#define SLOW_READ_MS 60
#define ASLEEP_MS    6000
#define SETTLE_MS    5000
#define STOP_MS      60000

/* What a member got of one connection of another client. */
struct heard {
	uint32_t link;
	uint32_t first;
	uint32_t count;
};

struct chat_client {
	struct peer peer; /* first */
	struct talk *talk;
	struct chat_link *link;  /* the present connection, or NULL */
	uint32_t links;          /* so far */
	bool is_in_den;          /* else in the lobby */
	bool has_said_all;       /* the server has taken all lines of */
	uint32_t said_link;      /* that connection, */
	uint64_t said_from_step; /* the first of which was sent then */
};

/* A chat and all its clients. */
struct talk {
	struct pro_sim *sim;
	struct chat chat;
	struct chat_client clients[CLIENTS_MAX];
	unsigned clients_count;
	unsigned have_said_all;
	unsigned finished;
	unsigned links; /* that are open */
	unsigned lines; /* of each client */
	size_t padding; /* of a line, at most */
};

struct chat_link {
	struct pro_service_handler service;
	struct chat_client *client;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_timer timer;
	struct pro_message_block in;
	struct pro_message_block out;
	uint32_t number; /* among those of the client */
	uint32_t said;
	uint64_t first_step; /* of the first line that was sent */
	uint64_t in_room_step;
	int64_t read_pause_ms; /* between two reads; 0: none */
	bool is_writing;       /* the block is the stream's */
	bool has_begun;        /* went to its room */
	bool has_marked;
	bool has_asked_end;
	bool is_finished;
	bool has_goodbye;
	struct heard heard[CLIENTS_MAX][SENDERS_MAX];
	char in_bytes[2 * LINE_BYTES];
	char out_bytes[BURST_MAX * LINE_BYTES];
};

static struct chat_link *link_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct chat_link, service.handler);
}

static void link_close(struct chat_link *link)
{
	pro_handler_close(&link->service.handler);
}

/* ---- speaking ---- */

/* Every byte of a line follows from its numbers. */
static int line_print(char *text, size_t size, const struct talk *talk, uint32_t client,
		uint32_t link, uint32_t number)
{
	size_t padding = 1 + (client + number * 997) % talk->padding;
	int length = snprintf(text, size, "%" PRIu32 ".%" PRIu32 ".%" PRIu32 " ", client, link, number);

	memset(text + length, 'a' + (int)(number % 26), padding);
	text[(size_t)length + padding] = '\0';
	return length + (int)padding;
}

static void link_write(struct chat_link *link, size_t length)
{
	pro_message_block_init_filled(&link->out, link->out_bytes, length);
	link->is_writing = pro_asynch_write_stream_write(&link->writer, &link->out) == 0;
	if (!link->is_writing)
		link_close(link);
}

static void link_say(struct chat_link *link, const char *text)
{
	link_write(link, (size_t)snprintf(link->out_bytes, sizeof(link->out_bytes), "%s\n", text));
}

static void link_say_lines(struct chat_link *link)
{
	const struct talk *talk = link->client->talk;
	unsigned burst = 1 + (unsigned)pro_sim_choose(talk->sim, BURST_MAX);
	size_t length = 0;

	if (link->said == 0)
		link->first_step = pro_sim_steps(talk->sim);
	for (; burst > 0 && link->said < talk->lines; burst--) {
		length += (size_t)line_print(link->out_bytes + length, LINE_BYTES, talk,
				link->client->peer.number, link->number, link->said++);
		link->out_bytes[length++] = '\n';
	}
	link_write(link, length);
}

/* The next thing to say, when there is one: one after the other. */
static void link_go_on(struct chat_link *link)
{
	const struct talk *talk = link->client->talk;

	if (link->is_writing || pro_handler_is_closing(&link->service.handler))
		return;
	if (!link->has_begun) {
		link->has_begun = true;
		if (link->client->is_in_den) {
			link_say(link, "/join " ROOM);
			return;
		}
	}
	if (!link->client->has_said_all && link->said < talk->lines) {
		link_say_lines(link);
	} else if (!link->client->has_said_all && !link->has_marked) {
		link->has_marked = true;
		link_say(link, "/mark");
	} else if (talk->have_said_all == talk->clients_count && !link->has_asked_end) {
		link->has_asked_end = true;
		link_say(link, "/end");
	}
}

/* ---- hearing ---- */

/* The numbers at the begin of a line; false when there are none. */
static bool line_parse(const char *text, uint32_t numbers[3])
{
	for (unsigned i = 0; i < 3; i++) {
		char *end;

		numbers[i] = (uint32_t)strtoul(text, &end, 10);
		if (end == text || *end != (i < 2 ? '.' : ' '))
			return false;
		text = end + 1;
	}
	return true;
}

static void link_hear_line(struct chat_link *link, const char *text)
{
	struct talk *talk = link->client->talk;
	char expected[LINE_BYTES];
	uint32_t numbers[3] = {0};
	struct heard *heard;

	/* What it said by an earlier connection may come back by a new one. */
	if (!line_parse(text, numbers) || numbers[0] >= talk->clients_count ||
			(numbers[0] == link->client->peer.number && numbers[1] == link->number)) {
		pro_sim_fail(talk->sim, "client %u got what nobody said: %.100s", link->client->peer.number,
				text);
		return;
	}
	line_print(expected, sizeof(expected), talk, numbers[0], numbers[1], numbers[2]);
	if (strcmp(expected, text) != 0)
		pro_sim_fail(talk->sim, "client %u got a line that was changed: %.100s",
				link->client->peer.number, text);
	if (!service_lacks_memory && link->in_room_step &&
			talk->clients[numbers[0]].is_in_den != link->client->is_in_den)
		pro_sim_fail(talk->sim, "client %u got a line of another room: %.100s",
				link->client->peer.number, text);
	heard = &link->heard[numbers[0]][numbers[1] % SENDERS_MAX];
	if (heard->count == 0 || heard->link != numbers[1])
		*heard = (struct heard){.link = numbers[1], .first = numbers[2]};
	/* Its sender was told so, and comes again. */
	if (service_lacks_memory && numbers[2] > heard->first + heard->count)
		heard->count = numbers[2] - heard->first;
	if (numbers[2] != heard->first + heard->count)
		pro_sim_fail(talk->sim,
				"client %u got line %" PRIu32 " of client %" PRIu32 ", not %" PRIu32,
				link->client->peer.number, numbers[2], numbers[0], heard->first + heard->count);
	heard->count++;
}

/* Everything that was said to this member while it was there has come by now. */
static void link_check_all_heard(struct chat_link *link)
{
	struct talk *talk = link->client->talk;

	for (unsigned i = 0; i < talk->clients_count; i++) {
		const struct chat_client *sender = &talk->clients[i];
		const struct heard *heard = &link->heard[i][sender->said_link % SENDERS_MAX];
		uint32_t count = heard->link == sender->said_link ? heard->count : 0;

		if (sender == link->client || sender->is_in_den != link->client->is_in_den ||
				!link->in_room_step || sender->said_from_step <= link->in_room_step)
			continue;
		if (count != talk->lines)
			pro_sim_fail(talk->sim, "client %u got %" PRIu32 " of the %u lines of client %u",
					link->client->peer.number, count, talk->lines, i);
	}
}

static void link_hear_answer(struct chat_link *link, const char *text)
{
	struct chat_client *client = link->client;
	struct talk *talk = client->talk;

	if (pro_handler_is_closing(&link->service.handler))
		return;
	if (!strcmp(text, "! unknown command: /mark") && link->has_marked && !client->has_said_all) {
		client->has_said_all = true;
		client->said_link = link->number;
		client->said_from_step = link->first_step;
		talk->have_said_all++;
	} else if (!strcmp(text, "! unknown command: /end") && link->has_asked_end) {
		link_check_all_heard(link);
		link->is_finished = true;
		client->peer.is_done = true;
		talk->finished++;
	} else if (service_lacks_memory && !strncmp(text, "! out of memory, ", 17)) {
		link_close(link);
	} else {
		pro_sim_fail(talk->sim, "client %u is refused: %.100s", client->peer.number, text);
	}
}

static void link_hear(struct chat_link *link, const char *text)
{
	const char *room = link->client->is_in_den ? " joined " ROOM : " joined " LOBBY;
	const char *said = strstr(text, ": ");

	if (!strncmp(text, "* ", 2)) {
		/* The first that comes in is the one who is told. */
		if (!link->in_room_step && strstr(text, room))
			link->in_room_step = pro_sim_steps(link->client->talk->sim);
		link->has_goodbye = link->has_goodbye || strstr(text, "shutting down");
	} else if (!strncmp(text, "! ", 2)) {
		link_hear_answer(link, text);
	} else {
		link_hear_line(link, said ? said + 2 : text);
	}
}

static void link_read(struct chat_link *link)
{
	if (pro_message_block_crunch(&link->in) ||
			pro_asynch_read_stream_read(&link->reader, &link->in, 0))
		link_close(link);
}

static void link_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct chat_link *link = link_from_handler(handler);
	char *end;

	if (result->error) {
		link_close(link);
		return;
	}
	while ((end = memchr(pro_message_block_rd_ptr(&link->in), '\n',
					pro_message_block_length(&link->in)))) {
		const char *text = (const char *)pro_message_block_rd_ptr(&link->in);

		*end = '\0';
		link->in.rd = (size_t)(end + 1 - link->in_bytes);
		link_hear(link, text);
	}
	if (link->read_pause_ms == 0)
		link_read(link);
	link_go_on(link);
}

static void link_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct chat_link *link = link_from_handler(handler);

	link->is_writing = false;
	if (result->error)
		link_close(link);
	else
		link_go_on(link);
}

/* Looks whether all have said all; and wakes those who read slowly. */
static void link_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct chat_link *link = link_from_handler(handler);

	if (result->error)
		return;
	link_go_on(link);
	if (link->read_pause_ms > 0) {
		if (link->read_pause_ms == ASLEEP_MS)
			link->read_pause_ms = 0;
		if (!pro_operation_in_flight(&link->reader.operation))
			link_read(link);
	}
	pro_asynch_timer_schedule(
			&link->timer, link->read_pause_ms > 0 ? link->read_pause_ms : LOOK_MS);
}

static void link_handle_close(struct pro_handler *handler)
{
	struct chat_link *link = link_from_handler(handler);
	struct talk *talk = link->client->talk;

	if (link->is_finished && talk->chat.is_stopping && !link->has_goodbye)
		pro_sim_fail(talk->sim, "client %u was not told of the stop", link->client->peer.number);
	talk->links--;
	link->client->link = NULL;
	peer_lost(&link->client->peer);
	object_free(pro_handler_proactor(handler), link);
}

static void link_open(struct pro_service_handler *service)
{
	struct chat_link *link = link_from_handler(&service->handler);

	pro_message_block_init(&link->in, link->in_bytes, sizeof(link->in_bytes));
	if (pro_asynch_read_stream_open(&link->reader, &service->handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_write_stream_open(
					&link->writer, &service->handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_timer_open(&link->timer, &service->handler, NULL) ||
			pro_asynch_timer_schedule(
					&link->timer, link->read_pause_ms > 0 ? link->read_pause_ms : LOOK_MS)) {
		link_close(link);
		return;
	}
	if (link->read_pause_ms != ASLEEP_MS)
		link_read(link);
	link_go_on(link);
}

static const struct pro_service_handler_vtbl link_vtbl = {
		.handler.handle_read_stream = link_handle_read_stream,
		.handler.handle_write_stream = link_handle_write_stream,
		.handler.handle_time_out = link_handle_time_out,
		.handler.handle_close = link_handle_close,
		.open = link_open,
};

static struct pro_service_handler *client_make_link(struct peer *peer)
{
	struct chat_client *client = pro_container_of(peer, struct chat_client, peer);
	struct chat_link *link = object_create(peer->proactor, sizeof(*link));

	if (!link || pro_service_handler_init(&link->service, &link_vtbl, peer->proactor)) {
		object_free(peer->proactor, link);
		return NULL;
	}
	link->client = client;
	link->number = client->links++;
	client->link = link;
	client->talk->links++;
	/* At the first try some read slowly, and some not at all for a while. */
	if (link->number == 0)
		switch (pro_sim_choose(client->talk->sim, 6)) {
		case 0:
			link->read_pause_ms = SLOW_READ_MS;
			break;
		case 1:
			link->read_pause_ms = ASLEEP_MS;
			break;
		}
	return &link->service;
}

/* ---- the session ---- */

static int talk_set_up(struct pro_sim *sim, void **context)
{
	struct talk *talk = calloc(1, sizeof(*talk));
	unsigned count = pro_sim_parameter(sim);
	struct pro_addr addr;
	int error;

	if (!talk)
		return PRO_ENOMEM;
	*context = talk;
	talk->sim = sim;
	talk->lines = LINES;
	talk->padding = PADDING;
	if (pro_sim_choose(sim, 8) == 0) {
		talk->lines = LINES_LONG;
		talk->padding = PADDING_LONG;
	}
	talk->chat.limits.connections_max = 4096;
	talk->chat.limits.per_address_max = 1024;
	pro_addr_parse(&addr, SERVER);
	error = pro_sim_proactor_create(sim, "chat", NULL, &talk->chat.loops.proactor);
	if (!error)
		error = chat_open(&talk->chat, &addr);
	for (; !error && talk->clients_count < count && talk->clients_count < CLIENTS_MAX;
			talk->clients_count++) {
		struct chat_client *client = &talk->clients[talk->clients_count];

		client->talk = talk;
		client->is_in_den = pro_sim_choose(sim, 3) == 0;
		client->peer.make_link = client_make_link;
		error = peer_start(&client->peer, sim, talk->clients_count, SERVER);
	}
	return error;
}

static bool talk_is_done(struct pro_sim *sim, void *context)
{
	const struct talk *talk = context;

	(void)sim;
	return talk->finished == talk->clients_count;
}

static bool talk_is_over(void *context)
{
	const struct talk *talk = context;

	return talk->chat.session_count == 0 && talk->links == 0;
}

/* The server stops as at a Ctrl-C. */
static void talk_stop(struct pro_sim *sim, void *context)
{
	struct talk *talk = context;

	if (talk->clients_count == 0 || !talk_is_done(sim, talk) || pro_sim_failure(sim))
		return;
	/* What broke at the end of the faults is seen first. */
	pro_sim_run_until(sim, NULL, NULL, SETTLE_MS);
	if (pro_handler_wakeup(&talk->chat.handler))
		pro_sim_fail(sim, "the chat can not be told to stop");
	if (pro_sim_run_until(sim, talk_is_over, talk, STOP_MS) == PRO_ETIMEDOUT)
		pro_sim_fail(sim, "%u sessions and %u connections do not end", talk->chat.session_count,
				talk->links);
}

static void talk_tear_down(struct pro_sim *sim, void *context)
{
	struct talk *talk = context;

	talk->chat.is_stopping = true;
	while (talk->chat.sessions)
		session_forget(talk->chat.sessions);
	if (!pro_sim_failure(sim) && (talk->chat.limits.connections > 0 || talk->chat.rooms_first))
		pro_sim_fail(sim, "%u places and perhaps a room are left",
				(unsigned)talk->chat.limits.connections);
	free(talk);
}

const char *const service_name = "chat_server";

void service_test_init(struct pro_sim_test *test)
{
	pro_sim_test_init(test);
	test->options.parameter = 5;
	test->options.queued_bytes_max = UNREAD_BYTES;
	test->set_up = talk_set_up;
	test->is_done = talk_is_done;
	test->stop = talk_stop;
	test->tear_down = talk_tear_down;
}
