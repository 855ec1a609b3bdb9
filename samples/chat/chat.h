/* The chat server: who is there, in which room, and what they may let pile up.
 *
 * The protocol. A line is UTF-8 without control characters, ends with \n (a \r before it is
 * ignored) and has at most LINE_BYTES bytes with it. A newcomer is guestN in the room lobby. A line
 * that begins with / is a command (/help lists them), an empty one is ignored, any other reaches
 * everyone else in the room as `NAME: text`. The server's own lines begin with `* ` for a notice
 * and with `! ` for an error; they may be longer than a client's by the name in front. Lists that
 * need more than LINE_BYTES go on in another line with the same beginning. The end of a client's
 * stream is /quit; an unfinished line before it is nothing, since it may have been cut.
 *
 * The bounds. Reading: one line buffer for each client and no allocation by what it says; it may be
 * silent, or slow with a line, for as long as it likes. Writing: UNREAD_BYTES wait for each client,
 * then it is dropped; nobody waits for it. A client whose answers pile up is not read from
 * meanwhile. When most members of a room lag although they read, the talkers are too fast for the
 * server or the network: the room then takes its lines one by one, with pauses, and drops nobody
 * for the talkers' haste.
 *
 * The threads. All that the chat knows (names, rooms, who is where, what a line does) belongs to
 * one handler, the chat. A session's own callbacks, on whichever proactor and thread, do nothing
 * but tell it their news: one block for each session, posted when there is news and none is on its
 * way. So nothing is locked, the chat's queue is bounded by the number of sessions, and one order
 * holds for all members: that in which the chat took the lines, those of one talker as they were
 * sent. The chat starts the reads, writes and timers of a session, which the loop does where the
 * session lives: a broadcast is one push for each member, and shares its bytes. A session's memory
 * is the chat's until the news of its close, so that the chat never meets one that is gone. */
#ifndef CHAT_H
#define CHAT_H

#include <proactor/asynch_acceptor.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_timer.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/proactor.h>
#include <proactor/socket.h>

#include <stdarg.h>
#include <stdatomic.h>

#include "../common/sample.h"
#include "names.h"

#define LINE_BYTES 4096 /* of a client's line with its newline */

#define UNREAD_BYTES (256 * 1024) /* that wait for a client before it is dropped */

/* Bytes waiting for a client, above which it is not read from, and counts as lagging. */
#define LAG_BYTES (64 * 1024)

/* What the kernel may keep for a client, beyond UNREAD_BYTES. */
#define SEND_BUFFER_BYTES (64 * 1024)

/* Lines of one client handled before others have a turn: each may go to a thousand members. */
#define LINES_PER_TURN 16

/* One who lags and has taken nothing for so long sleeps: no talker pauses for it. */
#define SLEEP_MS 250

/* A room most of whose members lag, awake, pauses after each line: 1 ms, and 1 ms more for so many
 * members, and twice as long each time, until they have caught up. */
#define MEMBERS_PER_MS 64u
#define PAUSE_MS_MAX   256u

/* How long a client that is being left may take to read its last lines, and how much of what it
 * still sends is read and thrown away: closing with unread input would be a reset, which can
 * destroy what was sent. */
#define ENDING_MS    5000
#define ENDING_BYTES (1024 * 1024)

#define STOPPING_MS 2000 /* for the last notice to go out when the server stops */

#define LOBBY "lobby"

struct session;

/* A room lives while it has members. */
struct room {
	struct named named;
	struct chat *chat;
	struct room *prev; /* all rooms, oldest first */
	struct room *next;
	struct session *first; /* members in the order in which they came */
	struct session *last;
	unsigned member_count;
	unsigned pause_ms;      /* the last pause; 0 when most members keep up */
	uint64_t busy_until_ms; /* lines wait until then */
};

enum session_state {
	SESSION_TALKING,
	SESSION_DROPPED, /* to be left by chat_settle */
	SESSION_ENDING,  /* its last lines are going out */
	SESSION_CLOSED   /* pro_handler_close was called */
};

/* What a talking session waits for. */
enum session_wait { WAIT_INPUT, WAIT_OUTPUT, WAIT_TURN, WAIT_PAUSE };

/* What a session's callbacks tell the chat. */
enum session_news {
	NEWS_OPENED = 1,
	NEWS_READ = 2,         /* read_error and block */
	NEWS_WROTE = 4,        /* something went out, which the chat waited for */
	NEWS_WRITE_FAILED = 8, /* so the client is gone */
	NEWS_TIME_OUT = 16,
	NEWS_TURN = 32,  /* from the chat to itself: others had their turn */
	NEWS_CLOSED = 64 /* nothing of the session is in use any more */
};

/* A client: one allocation, made by the acceptor, freed by the chat. */
struct session {
	struct named named; /* in chat->names while `has_name` */
	struct pro_service_handler service;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_timer timer; /* a pause, or the end of SESSION_ENDING */
	struct chat *chat;

	/* What the session's callbacks and the chat share. */
	atomic_uint news;                    /* not taken yet */
	struct pro_message_block news_block; /* on its way while there is news */
	int open_error;
	int read_error;
	atomic_bool wants_output;       /* the chat wants to know when something went out */
	atomic_uint_least64_t moved_ms; /* when output last went out, or began to wait */

	bool is_known; /* to the chat, which then frees it; the session's callbacks' own */

	/* The chat's. */
	struct session *prev; /* all sessions */
	struct session *next;
	struct room *room; /* NULL when in none */
	struct session *room_prev;
	struct session *room_next;
	struct session *dropped_next; /* in chat->dropped */
	const char *dropped_why;
	enum session_state state;
	enum session_wait wait;
	bool has_name;
	bool is_reading;      /* until the news of it was taken */
	bool has_ended_input; /* the client sent its end */
	size_t scanned;       /* unread bytes of `block` known to have no newline */
	size_t discarded;     /* bytes thrown away while ending */
	struct pro_message_block block;
	unsigned char bytes[LINE_BYTES];
};

struct chat {
	struct pro_handler handler; /* takes the news; told to stop by a wake-up; times the stop */
	struct pro_asynch_timer timer;
	struct pro_asynch_acceptor acceptor;
	struct sample_loops loops;
	struct sample_limits limits; /* a place is taken from a session's making to its end */

	/* The handler's. */
	struct names names; /* of sessions */
	struct names room_names;
	struct session *sessions;
	struct room *rooms_first;
	struct room *rooms_last;
	struct session *dropped;
	uint64_t guest_number; /* the last one given */
	unsigned session_count;
	bool is_stopping;
};

static inline uint64_t chat_now_ms(const struct chat *chat)
{
	return pro_proactor_now_ms(chat->loops.proactor);
}

/* ---- session_loop.c ---- */

/* A session without a connection, that is to live on `proactor`; NULL when there is no memory or no
 * place. [any thread] */
struct pro_service_handler *session_create(struct chat *chat, struct pro_proactor *proactor);

/* Gives up the session's place and memory. */
void session_free(struct session *session);

/* Tells the chat. [any thread] */
int session_tell(struct session *session, enum session_news news);

/* ---- session.c; this and all that follows is called by the chat alone ---- */

/* The session whose name this is; NULL for NULL. */
static inline struct session *session_from_named(struct named *named)
{
	return named ? pro_container_of(named, struct session, named) : NULL;
}

/* Does what the news ask for; the session may be gone then. */
void session_take_news(struct session *session);

/* Takes the session, of which nothing is in use, out of the chat, and frees it. */
void session_forget(struct session *session);

/* Whether at most `bytes` wait for the client; if not, NEWS_WROTE comes when some of them went out,
 * and perhaps without cause. */
bool session_has_room(struct session *session, size_t bytes);

/* Queues a line for the client and takes the block. A NULL block (there was no memory) and a full
 * queue drop the session; one that does not talk any more gets nothing. */
void session_send(struct session *session, struct pro_message_block *line);

/* session_send of line_create. */
void session_printf(struct session *session, const char *format, ...) PRO_PRINTF(2, 3);

/* Gives up name and room; `notice` (may be NULL, is taken) goes to those who stay. */
void session_leave(struct session *session, struct pro_message_block *notice);

/* Whether much waits for the client and it is taking it. */
bool session_is_lagging(const struct session *session, uint64_t now_ms);

/* Leaves and ends the connection once all that was queued went out and the client sent its end (or
 * the server stops). Closes a session that is ending when that is so already. */
void session_end(struct session *session);

/* Leaves and closes at once. Does nothing the second time. */
void session_close(struct session *session);

/* Leaves and closes the sessions that session_send has dropped. Every callback ends with it: a
 * broadcast that removed members while it goes through them could not be followed. */
void chat_settle(struct chat *chat);

/* ---- session_input.c ---- */

/* Reads into the space of the line buffer. */
void session_read(struct session *session);

/* Handles the lines that have arrived, as many as may be handled now, and waits for what is next.
 */
void session_continue(struct session *session);

/* Throws away what an ending session still sent, and reads on, within bounds. */
void session_discard(struct session *session);

/* ---- room.c ---- */

/* The room whose name this is; NULL for NULL. */
static inline struct room *room_from_named(struct named *named)
{
	return named ? pro_container_of(named, struct room, named) : NULL;
}

/* Formats a line and adds its newline; NULL when there is no memory. */
struct pro_message_block *line_create(const char *format, ...) PRO_PRINTF(1, 2);
struct pro_message_block *line_create_v(const char *format, va_list arguments) PRO_PRINTF(1, 0);

/* Moves the session from its room, if any, to `name`, a name. False when there is no memory: it
 * then stays where it is. */
bool room_join(struct session *session, const char *name);

/* Takes the session out of its room and frees the room when that was the last member. Tells nobody.
 */
void room_remove(struct session *session);

/* Sends one line, whose bytes all members share, to the members of a room but `except` (may be
 * NULL). Takes the block; NULL is a line for which there was no memory, and reaches nobody. */
void room_send(struct room *room, const struct session *except, struct pro_message_block *line);

/* ---- command.c ---- */

/* Does what a client's line says: `length` bytes and a NUL in place of the newline. */
void command_handle(struct session *session, char *line, size_t length);

#endif
