/* What a client sends: cut into lines, handled in turns, or thrown away while it ends. */
#include <string.h>

#include "chat.h"

void session_read(struct session *session)
{
	int error = pro_asynch_read_stream_read(&session->reader, &session->block, 0);

	session->wait = WAIT_INPUT;
	session->is_reading = !error;
	if (error) {
		sample_log("%s: no read: %s", session->named.name, pro_error_text(error));
		session_close(session);
	}
}

/* Takes the next whole line out of the block, its newline made a NUL; NULL when there is none. The
 * line stays valid until the next read. */
static char *session_take_line(struct session *session, size_t *length)
{
	struct pro_message_block *block = &session->block;
	unsigned char *line = pro_message_block_rd_ptr(block);
	size_t unread = pro_message_block_length(block);
	unsigned char *newline = memchr(line + session->scanned, '\n', unread - session->scanned);

	if (!newline) {
		session->scanned = unread;
		return NULL;
	}
	session->scanned = 0;
	block->rd += (size_t)(newline - line) + 1;
	if (newline > line && newline[-1] == '\r')
		newline--;
	*newline = '\0';
	*length = (size_t)(newline - line);
	return (char *)line;
}

/* Reads on behind the unfinished line, which moves to the front. */
static void session_read_more(struct session *session)
{
	if (pro_message_block_length(&session->block) == LINE_BYTES) {
		session_printf(session, "! line too long");
		session_end(session);
		return;
	}
	pro_message_block_crunch(&session->block); /* nobody shares the bytes: it can not fail */
	session_read(session);
}

/* Whether the room makes its talkers wait; the session then goes on by its timer. One who has just
 * talked comes after those who wait already. */
static bool session_must_pause(struct session *session, bool has_talked)
{
	struct room *room = session->room;

	if (!room || room->busy_until_ms == 0)
		return false;
	uint64_t now_ms = chat_now_ms(session->chat);
	if (now_ms >= room->busy_until_ms) {
		room->busy_until_ms = 0;
		return false;
	}
	int64_t pause_ms = (int64_t)(room->busy_until_ms - now_ms) + has_talked;
	session->wait = WAIT_PAUSE;
	if (pro_asynch_timer_schedule(&session->timer, pause_ms))
		session_close(session);
	return true;
}

/* Handles the lines that have arrived, as many as may be handled now, and waits for what is next.
 */
void session_continue(struct session *session)
{
	for (unsigned lines = 0; session->state == SESSION_TALKING; lines++) {
		size_t length;
		char *line;

		if (!session_has_room(session, LAG_BYTES)) {
			session->wait = WAIT_OUTPUT;
			return;
		}
		if (session_must_pause(session, lines > 0))
			return;
		if (lines == LINES_PER_TURN) {
			session->wait = WAIT_TURN;
			if (session_tell(session, NEWS_TURN))
				session_close(session);
			return;
		}
		line = session_take_line(session, &length);
		if (!line) {
			session_read_more(session);
			return;
		}
		command_handle(session, line, length);
	}
}

void session_discard(struct session *session)
{
	session->discarded += pro_message_block_length(&session->block);
	pro_message_block_reset(&session->block);
	if (session->discarded > ENDING_BYTES)
		session_close(session);
	else
		session_read(session);
}
