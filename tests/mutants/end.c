/* One side of a connection: sends a number of bytes in every way there is, checks every byte it
 * gets, cancels, times out and closes by chance. */
#include "laws.h"

#include <proactor/asynch_timer.h>
#include <proactor/asynch_transmit_file.h>
#include <proactor/asynch_work.h>
#include <proactor/service_handler.h>
#include <proactor/socket.h>

#include <string.h>

#define SLOTS       4u
#define PART_BYTES  200u
#define READ_BYTES  300u
#define TARGET_MOST 4000u
#define QUEUE_BYTES 600u
#define TICKS_MOST  5u
/* Longer than anything may be overdue. */
#define SILENCE_NS UINT64_C(130000000000)

/* A message on its way. */
struct slot {
	struct pro_message_block blocks[2];
	unsigned char bytes[2][PART_BYTES];
	size_t length;
	bool is_busy;
	bool is_vector;
	struct pro_message_block *shared; /* made for this message; NULL: blocks[0] */
};

struct end {
	struct actor actor;
	struct pro_service_handler service;
	struct machine *machine;
	struct guest *guest; /* NULL: the server's side */
	struct connection *connection;
	unsigned side; /* 0: the client's */

	struct pro_asynch_read_stream reader;
	struct track reading;
	struct pro_message_block in[2];
	unsigned char in_bytes[2][READ_BYTES];
	bool borrows;
	bool is_exact;
	bool is_vector;
	size_t wanted;
	struct pro_message_block *held; /* was lent, and is kept for a while */
	uint64_t held_at;               /* where its bytes stand in what came */
	bool has_end;
	bool is_broken; /* an error told so */
	unsigned ends_read;

	struct pro_asynch_write_stream writer;
	struct track writing;
	struct slot slots[SLOTS];
	unsigned slots_busy;
	unsigned slots_sent;
	unsigned slots_seen;
	bool has_write_failed; /* the messages behind come back as well */
	bool is_cut;
	uint64_t target;
	uint64_t silent_until_ns; /* in the middle of it */

	struct pro_asynch_transmit_file sender;
	struct track sending;
	struct pro_message_block header;
	struct pro_message_block trailer;
	uint64_t sending_bytes;

	struct pro_asynch_timer timer;
	struct track timing;
	uint64_t delay_ms;
	struct pro_asynch_timer ticker;
	struct track ticking;
	uint64_t first_ms;
	uint64_t interval_ms;
	uint64_t ticks;
	unsigned tick_callbacks;

	struct pro_asynch_work work;
	struct track working;
	unsigned works;
};

static struct end *end_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct end, service.handler);
}

static struct end *end_from_actor(struct actor *actor)
{
	return pro_container_of(actor, struct end, actor);
}

static void end_fail(const struct end *end, const char *what)
{
	pro_sim_fail(end->actor.laws->sim, "%s of connection %u: %s", end->actor.name,
			end->connection ? end->connection->number : 0, what);
}

static struct direction *end_out(struct end *end)
{
	return &end->connection->directions[end->side];
}

static struct direction *end_in(struct end *end)
{
	return &end->connection->directions[1 - end->side];
}

static bool end_is_over(const struct end *end)
{
	return actor_is_closing(&end->actor) || end->actor.laws->is_over;
}

static void end_close(struct end *end)
{
	if (end->connection)
		end_out(end)->is_closed = true;
	actor_close(&end->actor);
}

/* ---- reading ---- */

static void end_read(struct end *end)
{
	struct laws *laws = end->actor.laws;
	const unsigned way = laws_choose(laws, 4);
	int error;

	if (end->reading.in_flight || end_is_over(end))
		return;
	end->wanted = 1 + laws_choose(laws, READ_BYTES);
	end->borrows = way == 3;
	end->is_vector = way == 2;
	end->is_exact = way == 1;
	pro_message_block_init(&end->in[0], end->in_bytes[0], end->wanted);
	pro_message_block_init(&end->in[1], end->in_bytes[1], READ_BYTES);
	end->in[0].cont = end->is_vector ? &end->in[1] : NULL;
	track_set_timeout(&end->reading,
			laws_chance(laws, 4) ? 1 + (int64_t)laws_choose(laws, 100) : PRO_NO_TIMEOUT);
	if (end->is_exact)
		error = CALL(&end->actor,
				pro_asynch_read_stream_read_exactly(&end->reader, &end->in[0], end->wanted));
	else if (end->is_vector)
		error = CALL(&end->actor, pro_asynch_read_stream_readv(&end->reader, &end->in[0], 0));
	else
		error = CALL(&end->actor,
				pro_asynch_read_stream_read(&end->reader, end->borrows ? NULL : &end->in[0],
						end->borrows ? end->wanted : 0));
	track_started(&end->reading, error);
}

static void end_take(struct end *end, const struct pro_message_block *block, size_t length)
{
	struct direction *direction = end_in(end);
	const unsigned char *expected = direction_bytes(
			session_of(&end->actor), end->connection, 1 - end->side, direction->received);

	if (memcmp(pro_message_block_rd_ptr(block), expected, length) != 0)
		end_fail(end, "bytes came changed");
	direction->received += length;
	if (direction->received > direction->offered)
		end_fail(end, "bytes came that nobody sent");
}

/* In two parts; what is left in between moves to the front, unless somebody shares it. */
static void end_take_parts(struct end *end, struct pro_message_block *block)
{
	const size_t length = pro_message_block_length(block);
	const size_t part = (size_t)laws_choose(end->actor.laws, (unsigned)length + 1);

	end_take(end, block, part);
	block->rd += part;
	if (block->data) {
		struct pro_message_block *share = pro_message_block_duplicate(block);
		const size_t rd = block->rd;

		if (pro_message_block_crunch(block) != PRO_EBUSY || block->rd != rd)
			end_fail(end, "bytes move that are shared");
		pro_message_block_release(share);
	}
	if (pro_message_block_crunch(block) || pro_message_block_length(block) != length - part)
		end_fail(end, "bytes do not move to the front");
	end_take(end, block, length - part);
}

static void end_take_all(struct end *end, const struct pro_asynch_read_stream_result *result)
{
	size_t total = 0;

	for (struct pro_message_block *block = result->block; block; block = block->cont) {
		const size_t length = pro_message_block_length(block);

		if (block->cont && block->cont->wr > 0 && pro_message_block_space(block) > 0)
			end_fail(end, "a block was left out");
		end_take_parts(end, block);
		total += length;
	}
	if (total != result->bytes_transferred)
		end_fail(end, "a read tells another count than its blocks");
	if (result->error == 0 && total == 0)
		end_fail(end, "a read of nothing");
	if (end->borrows && total > end->wanted)
		end_fail(end, "a read of more than was asked for");
	if (end->is_exact && result->error == 0 && total != end->wanted)
		end_fail(end, "an exact read that is not");
}

static void end_schedule(struct end *end, uint64_t delay_ms);

/* What was lent goes back at once or after a while, from here or from another thread. Meanwhile the
 * others wait for it. */
static void end_hold(struct end *end, struct pro_message_block *block)
{
	struct pro_proactor_statistics statistics = {.size = sizeof(statistics)};

	if (end->held || !block || pro_message_block_length(block) == 0 ||
			!laws_chance(end->actor.laws, 3)) {
		pro_message_block_release(block);
		return;
	}
	pro_proactor_statistics(end->machine->proactor, &statistics);
	if (statistics.lent_blocks_used == 0)
		end_fail(end, "a block is lent that is not counted");
	end->held = block;
	end->held_at = end_in(end)->received - pro_message_block_length(block);
}

static void end_let_go(struct end *end)
{
	if (!end->held)
		return;
	if (memcmp(pro_message_block_rd_ptr(end->held),
				direction_bytes(
						session_of(&end->actor), end->connection, 1 - end->side, end->held_at),
				pro_message_block_length(end->held)) != 0)
		end_fail(end, "bytes that were lent have changed");
	pro_message_block_release(end->held);
	end->held = NULL;
}

/* The end of a stream that its sender did not end is the trace of a reset, or of a death. */
static void end_take_end(struct end *end)
{
	const struct direction *direction = end_in(end);

	end->has_end = true;
	if (end->is_broken)
		return;
	if (!direction->is_shut && !direction->is_closed && !direction->has_failed &&
			end->connection->has_side[1 - end->side])
		end_fail(end, "the stream ends and nobody ended it");
	/* A write that is under way may be the one that is told of a reset. */
	if (direction->is_shut && direction->received < direction->sent && end->slots_busy == 0 &&
			!end->sending.in_flight)
		end_fail(end, "bytes are lost before the end");
}

static void end_settle(struct end *end);

static void end_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct end *end = end_from_handler(handler);

	actor_enter(&end->actor);
	track_ended(&end->reading, result->error);
	if (result->operation != &end->reader.operation || result->completion_key != &end->reading ||
			(!end->borrows && result->block != end->in))
		end_fail(end, "a read with another block");
	if (end->borrows && result->error == 0 && !result->block)
		end_fail(end, "a read that lends nothing");
	end_take_all(end, result);
	if (end->borrows)
		end_hold(end, result->block);
	switch (result->error) {
	case 0:
	case PRO_ECANCELED:
	case PRO_ETIMEDOUT:
		break;
	case PRO_EOF:
		end_take_end(end);
		break;
	default:
		end->is_broken = true;
		end_close(end);
	}
	end_settle(end);
	actor_leave(&end->actor);
}

/* ---- writing ---- */

static size_t fill_block(struct end *end, struct pro_message_block *block, unsigned char *bytes,
		uint64_t offset, size_t length)
{
	memcpy(bytes, direction_bytes(session_of(&end->actor), end->connection, end->side, offset),
			length);
	pro_message_block_init_filled(block, bytes, length);
	return length;
}

/* A second block with the bytes of the first, which is released. */
static struct pro_message_block *share_message(struct end *end, const struct slot *slot)
{
	struct pro_message_block *block =
			pro_message_block_create(pro_sim_allocator(end->actor.laws->sim), slot->length + 1);
	struct pro_message_block *shared;

	/* The bytes that are sent do not begin at the first. */
	pro_message_block_copy(block, "", 1);
	block->rd = 1;
	pro_message_block_copy(block, slot->bytes[0], slot->length);
	shared = pro_message_block_duplicate(block);
	pro_message_block_release(block);
	return shared;
}

/* What is queued behind a message that fails comes back, but not what is queued while that is on
 * its way to be told. */
static bool end_may_queue(const struct end *end)
{
	return end->slots_busy == 0 ||
		   (end->writing.cancel_ns == 0 && end->writing.flight_timeout_ms < 0);
}

/* Milliseconds for which it sends nothing more, in the middle of what it has to send. */
static uint64_t end_silence_ms(struct end *end)
{
	const uint64_t now_ns = pro_sim_now_ns(end->actor.laws->sim);

	if (now_ns >= end->silent_until_ns || end_out(end)->offered < end->target / 2)
		return 0;
	return (end->silent_until_ns - now_ns) / 1000000 + 1;
}

static bool end_write(struct end *end)
{
	struct direction *direction = end_out(end);
	struct laws *laws = end->actor.laws;
	uint64_t left = end->target - direction->offered;
	struct slot *slot = &end->slots[end->slots_sent % SLOTS];
	int error;

	if (left == 0 || slot->is_busy || end->has_write_failed || end->sending.in_flight ||
			!end_may_queue(end) || end_is_over(end) || end_silence_ms(end) > 0)
		return false;
	slot->length = fill_block(end, &slot->blocks[0], slot->bytes[0], direction->offered,
			1 + laws_choose(laws, left < PART_BYTES ? (unsigned)left : PART_BYTES));
	left -= slot->length;
	slot->is_vector = left > 0 && laws_chance(laws, 3);
	slot->shared = slot->is_vector || !laws_chance(laws, 4) ? NULL : share_message(end, slot);
	if (slot->is_vector) {
		slot->length +=
				fill_block(end, &slot->blocks[1], slot->bytes[1], direction->offered + slot->length,
						1 + laws_choose(laws, left < PART_BYTES ? (unsigned)left : PART_BYTES));
		slot->blocks[0].cont = &slot->blocks[1];
	}
	pro_operation_set_act(&end->writer.operation, slot);
	if (slot->is_vector)
		error = CALL(&end->actor, pro_asynch_write_stream_writev(&end->writer, slot->blocks));
	else
		error = CALL(&end->actor, pro_asynch_write_stream_write(&end->writer,
										  slot->shared ? slot->shared : slot->blocks));
	if (error)
		pro_message_block_release(slot->shared);
	if (error == PRO_EFULL && end->slots_busy > 0)
		return false;
	if (end->slots_busy == 0 ? !track_started(&end->writing, error) : error != 0)
		return false;
	end->slots_sent++;
	slot->is_busy = true;
	end->slots_busy++;
	direction->offered += slot->length;
	return true;
}

static void end_check_slot(struct end *end, const struct slot *slot,
		const struct pro_asynch_write_stream_result *result)
{
	const size_t left = slot->is_vector ? pro_message_block_total_length(result->block)
										: pro_message_block_length(result->block);

	if (!slot->is_busy)
		end_fail(end, "a message completed twice");
	if (result->block != (slot->shared ? slot->shared : slot->blocks))
		end_fail(end, "a message with the block of another");
	if (result->bytes_requested != slot->length || result->bytes_transferred + left != slot->length)
		end_fail(end, "a message with a wrong count");
	if (result->error == 0 && left > 0)
		end_fail(end, "a message of which a part is missing");
	if (end->has_write_failed && (result->error == 0 || result->bytes_transferred > 0))
		end_fail(end, "a message went out behind one that failed");
}

static void end_message_failed(struct end *end, int error, size_t bytes)
{
	if (error == PRO_EPIPE && !session_of(&end->actor)->has_resets &&
			end->connection->has_side[1 - end->side] && !end_in(end)->is_closed)
		end_fail(end, "a message finds the stream broken, and nobody broke it");
	if (!end->has_write_failed)
		track_ended(&end->writing, error);
	end->has_write_failed = true;
	if (bytes > 0)
		end->is_cut = true;
	if (error != PRO_ECANCELED && error != PRO_ETIMEDOUT)
		end->is_broken = true;
}

/* All messages are back: what did not go out may go out again, unless one was cut. */
static void end_messages_back(struct end *end)
{
	struct direction *direction = end_out(end);

	if (!end->has_write_failed)
		track_ended(&end->writing, 0);
	if (!actor_is_closing(&end->actor) && pro_asynch_write_stream_queued(&end->writer) != 0)
		end_fail(end, "an empty queue that counts bytes");
	if (end->has_write_failed && !end->is_cut && !end->is_broken && !direction->is_shut)
		direction->offered = direction->sent;
	else if (end->has_write_failed)
		direction->has_failed = true;
	if (direction->has_failed)
		end_close(end);
	end->has_write_failed = false;
}

static void end_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct end *end = end_from_handler(handler);
	struct slot *slot = &end->slots[end->slots_seen % SLOTS];

	actor_enter(&end->actor);
	if (result->act != slot)
		end_fail(end, "messages completed out of order");
	end_check_slot(end, slot, result);
	pro_message_block_release(slot->shared);
	slot->shared = NULL;
	end_out(end)->sent += result->bytes_transferred;
	slot->is_busy = false;
	end->slots_seen++;
	end->slots_busy--;
	end->writing.started_ns = pro_sim_now_ns(end->actor.laws->sim);
	if (result->error)
		end_message_failed(end, result->error, result->bytes_transferred);
	if (end->slots_busy == 0)
		end_messages_back(end);
	end_settle(end);
	actor_leave(&end->actor);
}

/* ---- transmitting a part of the table ---- */

static void end_transmit(struct end *end)
{
	struct laws_session *session = session_of(&end->actor);
	struct direction *direction = end_out(end);
	const uint64_t left = end->target - direction->offered;
	unsigned bytes = 1 + laws_choose(&session->laws, 900);
	uint64_t offset = direction->offered;
	const unsigned char *at = direction_bytes(session, end->connection, end->side, offset);
	const size_t from = (size_t)(at - session->table) + 10;
	const bool is_all = from < TABLE_BYTES && laws_chance(&session->laws, 4);
	int error;

	/* Up to the end of the file, which holds the table twice. */
	if (is_all)
		bytes = (unsigned)(TABLE_BYTES - from);
	if (end->slots_busy > 0 || end->sending.in_flight || end_is_over(end) ||
			end_silence_ms(end) > 0 || left < bytes + 20 ||
			end->machine->table == PRO_INVALID_HANDLE)
		return;
	pro_message_block_init_filled(&end->header, at, 10);
	pro_message_block_init_filled(&end->trailer, at + 10 + bytes, 10);
	error = CALL(
			&end->actor, pro_asynch_transmit_file_transmit_file(&end->sender, end->machine->table,
								 is_all ? TABLE_BYTES + from : from,
								 is_all ? PRO_TRANSMIT_ALL : bytes, &end->header, &end->trailer));
	if (!track_started(&end->sending, error))
		return;
	end->sending_bytes = bytes + 20;
	direction->offered += end->sending_bytes;
}

static void end_handle_transmit_file(
		struct pro_handler *handler, const struct pro_asynch_transmit_file_result *result)
{
	struct end *end = end_from_handler(handler);
	struct direction *direction = end_out(end);

	actor_enter(&end->actor);
	track_ended(&end->sending, result->error);
	if (result->bytes_sent > end->sending_bytes ||
			result->bytes_sent != result->bytes_transferred ||
			(result->error == 0 && result->bytes_sent != end->sending_bytes))
		end_fail(end, "a file went out with a wrong count");
	if (result->file != end->machine->table || result->header != &end->header ||
			result->trailer != &end->trailer)
		end_fail(end, "a transmission of something else");
	if (result->error == PRO_ETRUNCATED)
		end_fail(end, "a file that nobody cut ends early");
	direction->sent += result->bytes_sent;
	if (result->error) {
		direction->has_failed = true;
		if (result->error == PRO_ECONNRESET)
			end->is_broken = true;
		end_close(end);
	}
	end_settle(end);
	actor_leave(&end->actor);
}

/* ---- timers ---- */

static void end_schedule(struct end *end, uint64_t delay_ms)
{
	if (!end->timing.in_flight &&
			track_started(&end->timing,
					CALL(&end->actor, pro_asynch_timer_schedule(&end->timer, (int64_t)delay_ms))))
		end->delay_ms = delay_ms;
}

static void end_tick(struct end *end)
{
	const uint64_t first_ms = laws_choose(end->actor.laws, 40);
	const uint64_t interval_ms = 1 + laws_choose(end->actor.laws, 40);

	if (end->ticking.in_flight ||
			!track_started(&end->ticking,
					CALL(&end->actor, pro_asynch_timer_schedule_repeating(&end->ticker,
											  (int64_t)first_ms, (int64_t)interval_ms))))
		return;
	end->first_ms = first_ms;
	end->interval_ms = interval_ms;
	end->ticks = 0;
	end->tick_callbacks = 0;
}

static void end_timed(struct end *end, const struct pro_asynch_timer_result *result)
{
	track_ended(&end->timing, result->error);
	if (!result->is_final || (result->error == 0) != (result->expirations == 1))
		end_fail(end, "a timer expired not once");
	if (result->error == 0 && track_elapsed_ns(&end->timing) < end->delay_ms * 1000000)
		end_fail(end, "a timer is early");
	if (result->error == 0 && track_elapsed_ns(&end->timing) > (end->delay_ms + 60000) * 1000000)
		end_fail(end, "a timer is a minute late");
}

static void end_ticked(struct end *end, const struct pro_asynch_timer_result *result)
{
	const uint64_t elapsed_ns = track_elapsed_ns(&end->ticking);

	if (result->is_final) {
		track_ended(&end->ticking, result->error);
		if (result->error != PRO_ECANCELED)
			end_fail(end, "a repeating timer ends by itself");
		return;
	}
	if (!end->ticking.in_flight || end->ticking.is_cancel_sure)
		end_fail(end, "a repeating timer came after it was cancelled");
	if (result->error || result->expirations == 0)
		end_fail(end, "a repeating timer came for nothing");
	end->ticks += result->expirations;
	/* One that begins at once counts from the beginning of its millisecond. */
	if (elapsed_ns + (end->first_ms == 0 ? 1000000 : 0) <
			(end->first_ms + (end->ticks - 1) * end->interval_ms) * 1000000)
		end_fail(end, "a repeating timer is early");
	if (++end->tick_callbacks >= TICKS_MOST)
		track_cancel(&end->ticking, true);
}

static void end_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct end *end = end_from_handler(handler);

	actor_enter(&end->actor);
	if (result->operation == &end->timer.operation)
		end_timed(end, result);
	else
		end_ticked(end, result);
	end_settle(end);
	actor_leave(&end->actor);
}

/* ---- work ---- */

static int work_function(void *argument)
{
	++*(unsigned *)argument;
	return 7;
}

static void end_work(struct end *end)
{
	if (end->working.in_flight)
		return;
	end->works = 0;
	track_started(&end->working,
			CALL(&end->actor, pro_asynch_work_run(&end->work, work_function, &end->works)));
}

static void end_handle_work(
		struct pro_handler *handler, const struct pro_asynch_work_result *result)
{
	struct end *end = end_from_handler(handler);

	actor_enter(&end->actor);
	track_ended(&end->working, result->error);
	if (end->works != (result->error ? 0 : 1) || (!result->error && result->returned != 7))
		end_fail(end, "a function ran not once");
	end_settle(end);
	actor_leave(&end->actor);
}

/* ---- doing something by chance ---- */

static bool end_may_die(const struct end *end)
{
	return !end->guest || guest_is_wild(end->guest);
}

static void end_cancel_all_timers(struct end *end)
{
	struct track *const timers[2] = {&end->timing, &end->ticking};
	const int running = (int)end->timing.in_flight + (int)end->ticking.in_flight;
	const int count = CALL(&end->actor, pro_asynch_timer_cancel_all(&end->service.handler));

	if (count < 0 || count > running)
		end_fail(end, "more timers were cancelled than run");
	for (unsigned i = 0; i < 2; i++)
		if (timers[i]->in_flight)
			track_cancelled(timers[i], count == running);
}

static void end_act(struct actor *actor, bool on_loop);

/* Several blocks go back before the loops run again. */
static void all_let_go(struct laws *laws)
{
	for (struct actor *actor = laws->actors; actor; actor = actor->next)
		if (actor->act == end_act)
			end_let_go(end_from_actor(actor));
}

static void end_try_too_late(struct end *end);

static void end_act(struct actor *actor, bool on_loop)
{
	struct end *end = end_from_actor(actor);
	struct laws *laws = actor->laws;

	if (!on_loop && actor_is_closing(actor) && end->connection)
		end_try_too_late(end);
	if (!on_loop && end->held)
		all_let_go(laws);
	if (end_is_over(end) || !end->connection)
		return;
	switch (laws_choose(laws, 20)) {
	case 0:
	case 1:
		track_cancel(&end->reading, on_loop);
		break;
	case 2:
		if (end->reading.in_flight)
			track_started(
					&end->reading, CALL(actor, pro_asynch_read_stream_read(&end->reader, NULL, 0)));
		break;
	case 3:
	case 4:
		actor_post(actor, laws_chance(laws, 16) ? POSTS : 2);
		break;
	case 5:
		actor_wakeup(actor);
		break;
	case 6:
	case 7:
		end_schedule(end, laws_choose(laws, laws_chance(laws, 8) ? 20000 : 60));
		break;
	case 8:
		end_tick(end);
		break;
	case 9:
		track_cancel(&end->timing, on_loop);
		break;
	case 10:
		track_cancel(&end->ticking, on_loop);
		break;
	case 11:
		end_work(end);
		break;
	case 12:
		track_cancel(&end->working, on_loop);
		break;
	case 13:
		if (end->slots_busy > 0 && !end->has_write_failed && end_may_die(end))
			track_cancel(&end->writing, on_loop);
		break;
	case 14:
		if (end->slots_busy == 0)
			track_set_timeout(&end->writing, laws_chance(laws, 3) ? 200 : PRO_NO_TIMEOUT);
		break;
	case 15:
		if (on_loop)
			end_cancel_all_timers(end);
		break;
	case 16:
		if (end_may_die(end) && laws_chance(laws, 6)) {
			end_close(end);
			end_close(end);
		}
		break;
	case 17:
		end_transmit(end);
		break;
	default:
		while (end_write(end))
			;
	}
}

/* Starts after the close are refused. */
static void end_try_too_late(struct end *end)
{
	struct pro_message_block block;
	unsigned char byte = 0;

	pro_message_block_init(&block, &byte, 1);
	track_started(
			&end->reading, CALL(&end->actor, pro_asynch_read_stream_read(&end->reader, &block, 0)));
	block.wr = 1;
	if (CALL(&end->actor, pro_asynch_write_stream_write(&end->writer, &block)) == 0)
		end_fail(end, "a message was taken after the close");
}

/* After every callback: goes on with what is to be done. */
static void end_settle(struct end *end)
{
	struct laws *laws = end->actor.laws;
	struct direction *direction = end_out(end);

	if (end_is_over(end)) {
		end_try_too_late(end);
		return;
	}
	if (laws_chance(laws, 2) && !laws->is_calm)
		end_act(&end->actor, true);
	if (end_is_over(end))
		return;
	if (end_silence_ms(end) > 0)
		end_schedule(end, end_silence_ms(end));
	/* A timer that runs comes in any case. */
	if (end->held && laws_chance(laws, 4))
		end_let_go(end);
	else if (end->held)
		end_schedule(end, laws_choose(laws, 200));
	while (!laws_chance(laws, 3) && end_write(end))
		;
	if (end->slots_busy == 0 && !end->sending.in_flight && direction->offered < end->target)
		end_write(end);
	/* Behind the last message or, as well, behind those that are still queued. */
	if (direction->offered == end->target && !end->sending.in_flight && !direction->is_shut &&
			end->writing.cancel_ns == 0 && (end->slots_busy == 0 || laws_chance(laws, 2)) &&
			CALL(&end->actor, pro_asynch_write_stream_shutdown(&end->writer)) == 0)
		direction->is_shut = true;
	if (!end->has_end || (end->ends_read++ < 2 && laws_chance(laws, 2)))
		end_read(end);
	else if (direction->is_shut && end->slots_busy == 0 && !end->reading.in_flight)
		end_close(end);
}

/* ---- life ---- */

static void end_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	struct end *end = end_from_handler(handler);

	actor_enter(&end->actor);
	actor_handle_post(&end->actor, result);
	end_settle(end);
	actor_leave(&end->actor);
}

static void end_handle_wakeup(struct pro_handler *handler)
{
	struct end *end = end_from_handler(handler);

	actor_enter(&end->actor);
	actor_handle_wakeup(&end->actor);
	end_settle(end);
	actor_leave(&end->actor);
}

static void end_handle_close(struct pro_handler *handler)
{
	struct end *end = end_from_handler(handler);
	struct laws *laws = end->actor.laws;
	struct guest *guest = end->guest;
	const bool is_whole = end->connection && end->has_end && !end->is_broken &&
						  end_out(end)->is_shut && end_in(end)->is_shut &&
						  end_in(end)->received == end_in(end)->sent;

	actor_enter(&end->actor);
	if (end->slots_busy > 0)
		end_fail(end, "closed before its messages completed");
	end_let_go(end);
	actor_closed(&end->actor);
	if (!guest)
		session_of(&end->actor)->server_ends--;
	laws_free(laws, end);
	if (guest)
		guest_lost(guest, is_whole);
	laws->is_in_callback = false;
}

/* The record of the connection that begins at the client's address. */
static struct connection *find_connection(
		struct laws_session *session, const struct pro_addr *client, unsigned side)
{
	struct connection *connection = session->connections;

	while (connection &&
			(connection->has_side[side] || !pro_addr_equal(&connection->client, client)))
		connection = connection->next;
	if (!connection) {
		connection = laws_allocate(&session->laws, sizeof(*connection));
		if (!connection)
			return NULL;
		connection->client = *client;
		connection->number = session->connections_count++;
		connection->next = session->connections;
		session->connections = connection;
	}
	connection->has_side[side] = true;
	return connection;
}

static int end_open_operations(struct end *end)
{
	struct pro_handler *handler = &end->service.handler;
	const pro_handle handle = pro_service_handler_handle(&end->service);
	int error =
			pro_asynch_read_stream_open(&end->reader, handler, PRO_INVALID_HANDLE, &end->reading);

	if (!error)
		error = pro_asynch_write_stream_open(&end->writer, handler, handle, NULL);
	if (!error)
		error = pro_asynch_transmit_file_open(&end->sender, handler, handle, NULL);
	if (!error)
		error = pro_asynch_timer_open(&end->timer, handler, NULL);
	if (!error)
		error = pro_asynch_timer_open(&end->ticker, handler, NULL);
	if (!error)
		error = pro_asynch_work_open(&end->work, handler, NULL);
	pro_asynch_write_stream_set_limit(&end->writer, QUEUE_BYTES);
	track_init(&end->reading, &end->actor, &end->reader.operation, "read");
	track_init(&end->writing, &end->actor, &end->writer.operation, "write");
	track_init(&end->sending, &end->actor, &end->sender.operation, "transmit");
	track_init(&end->timing, &end->actor, &end->timer.operation, "timer");
	track_init(&end->ticking, &end->actor, &end->ticker.operation, "repeating timer");
	track_init(&end->working, &end->actor, &end->work.operation, "work");
	/* A write stream counts from the head of its queue. */
	end->writing.may_time_out = true;
	return error;
}

/* Called by the acceptor or the connector, inside a callback of theirs. */
static void end_open(struct pro_service_handler *service)
{
	struct end *end = end_from_handler(&service->handler);
	struct laws_session *session = session_of(&end->actor);

	end->connection =
			find_connection(session, end->side ? &service->remote : &service->local, end->side);
	if (!end->connection || end_open_operations(end)) {
		pro_sim_fail(session->laws.sim, "a connection can not be opened");
		end_close(end);
		return;
	}
	end->target = laws_choose(&session->laws, TARGET_MOST);
	if (laws_chance(&session->laws, 12))
		end->silent_until_ns = pro_sim_now_ns(session->laws.sim) + SILENCE_NS;
	end_settle(end);
}

static const struct pro_service_handler_vtbl end_vtbl = {
		.handler.handle_read_stream = end_handle_read_stream,
		.handler.handle_write_stream = end_handle_write_stream,
		.handler.handle_transmit_file = end_handle_transmit_file,
		.handler.handle_time_out = end_handle_time_out,
		.handler.handle_work = end_handle_work,
		.handler.handle_post = end_handle_post,
		.handler.handle_wakeup = end_handle_wakeup,
		.handler.handle_close = end_handle_close,
		.open = end_open,
};

struct pro_service_handler *end_create(struct machine *machine, struct guest *guest)
{
	struct laws *laws = &machine->session->laws;
	struct end *end = laws_allocate(laws, sizeof(*end));

	if (!end || pro_service_handler_init(&end->service, &end_vtbl, machine->proactor)) {
		laws_free(laws, end);
		return NULL;
	}
	end->machine = machine;
	end->guest = guest;
	end->side = guest ? 0 : 1;
	actor_init(
			&end->actor, laws, &end->service.handler, guest ? "the client" : "the server", end_act);
	if (!guest)
		machine->session->server_ends++;
	return &end->service;
}
