/* A session about a stream that hardly moves: messages that wait for their turn and their deadline,
 * transfers that stall, cancels while nothing goes out. One machine, both ends of a pair that holds
 * few bytes. Nothing goes wrong by chance, so that each time is known to a few milliseconds. */
#include "laws.h"

#include <proactor/asynch_timer.h>
#include <proactor/asynch_transmit_file.h>
#include <proactor/socket.h>

#include <stdlib.h>
#include <string.h>

#define PAIR_BYTES    64u /* what the pair holds */
#define MESSAGES      6u
#define MESSAGE_BYTES PAIR_BYTES
#define TOTAL_BYTES   (MESSAGES * MESSAGE_BYTES)
/* The listener takes so many bytes so often: a message takes 40 ms. */
#define STEP_BYTES 16u
#define STEP_MS    10
/* More than one message takes and less than two; more than a step takes and less than a message. */
#define DEADLINE_MS 60
#define STALL_MS    25
#define SLACK_MS    5

enum way { WAY_DEADLINE, WAY_STALL, WAY_TRANSMIT, WAY_CANCEL, WAYS };

struct stalls {
	struct pro_sim *sim;
	enum way way;
	struct pro_handler talker;
	struct pro_handler listener;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_transmit_file sender;
	struct pro_asynch_timer start;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_timer pace;
	struct pro_message_block messages[MESSAGES];
	unsigned unwanted; /* of them, the first so many, were cancelled in time */
	unsigned ended;
	unsigned closed;
	bool is_over;   /* nothing more goes out */
	bool may_read;  /* the listener takes bytes */
	size_t stop_at; /* bytes after which it takes none */
	size_t received;
	size_t sent;      /* as the talker was told */
	uint64_t head_ms; /* since when the first message of the queue is that */
	uint64_t moved_ms;
	struct pro_message_block in;
	unsigned char in_bytes[STEP_BYTES];
	unsigned char out_bytes[TOTAL_BYTES];
};

static uint64_t now_ms(const struct stalls *stalls)
{
	return pro_sim_now_ns(stalls->sim) / 1000000;
}

/* ---- the listener ---- */

static struct stalls *stalls_from_listener(struct pro_handler *handler)
{
	return pro_container_of(handler, struct stalls, listener);
}

static void listener_read(struct stalls *stalls)
{
	pro_message_block_init(&stalls->in, stalls->in_bytes, sizeof(stalls->in_bytes));
	pro_asynch_read_stream_read(&stalls->reader, &stalls->in, 0);
}

static void listener_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct stalls *stalls = stalls_from_listener(handler);

	if (memcmp(stalls->in_bytes, stalls->out_bytes + stalls->received, result->bytes_transferred))
		pro_sim_fail(stalls->sim, "bytes came changed");
	stalls->received += result->bytes_transferred;
	if (result->bytes_transferred > 0)
		stalls->moved_ms = now_ms(stalls);
	if (result->error)
		pro_handler_close(handler);
	else if (stalls->is_over)
		listener_read(stalls);
}

static void listener_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct stalls *stalls = stalls_from_listener(handler);

	if (!result->error && stalls->may_read && stalls->received < stalls->stop_at)
		listener_read(stalls);
}

static void listener_handle_close(struct pro_handler *handler)
{
	stalls_from_listener(handler)->closed++;
}

static const struct pro_handler_vtbl listener_vtbl = {
		.handle_read_stream = listener_handle_read_stream,
		.handle_time_out = listener_handle_time_out,
		.handle_close = listener_handle_close,
};

/* ---- the talker ---- */

static struct stalls *stalls_from_talker(struct pro_handler *handler)
{
	return pro_container_of(handler, struct stalls, talker);
}

/* All that was to go out went, or timed out: the listener takes what is there up to the end. */
static void talker_ends(struct stalls *stalls)
{
	stalls->is_over = true;
	listener_read(stalls);
	pro_handler_close(&stalls->talker);
}

/* Bytes cease to move when the listener takes no more. */
static void talker_timed_out(struct stalls *stalls, uint64_t since_ms, uint64_t limit_ms)
{
	const uint64_t elapsed_ms = now_ms(stalls) - since_ms;

	if (stalls->received < stalls->stop_at)
		pro_sim_fail(stalls->sim, "timed out, and the bytes move");
	if (elapsed_ms + 1 < limit_ms)
		pro_sim_fail(stalls->sim, "timed out %u ms early", (unsigned)(limit_ms - elapsed_ms));
	if (elapsed_ms > limit_ms + SLACK_MS)
		pro_sim_fail(stalls->sim, "timed out %u ms late", (unsigned)(elapsed_ms - limit_ms));
}

static void talker_check(struct stalls *stalls, unsigned number, int error)
{
	int expected = stalls->is_over ? PRO_ECANCELED : 0;

	if (stalls->way == WAY_CANCEL) {
		expected = number < stalls->unwanted ? PRO_ECANCELED : 0;
	} else if (error == PRO_ETIMEDOUT && !stalls->is_over) {
		expected = PRO_ETIMEDOUT;
		if (stalls->way == WAY_DEADLINE)
			talker_timed_out(stalls, stalls->head_ms, DEADLINE_MS);
		else
			talker_timed_out(stalls, stalls->moved_ms, STALL_MS);
	}
	if (error != expected)
		pro_sim_fail(stalls->sim, "message %u: %s", number, pro_error_name(error));
}

/* From number `first` on. The first of all fills the pair, so that of those that are cancelled none
 * begins. */
static void talker_write(struct stalls *stalls, unsigned first, unsigned count)
{
	size_t at = first * MESSAGE_BYTES;

	for (unsigned i = first; i < first + count; i++) {
		if (i > 1 && stalls->way == WAY_CANCEL && pro_sim_choose(stalls->sim, 2) == 0) {
			if (pro_operation_cancel(&stalls->writer.operation))
				pro_sim_fail(stalls->sim, "a cancel finds nothing, and messages are queued");
			stalls->unwanted = i;
			at = MESSAGE_BYTES;
		}
		pro_message_block_init_filled(&stalls->messages[i], stalls->out_bytes + at, MESSAGE_BYTES);
		at += MESSAGE_BYTES;
		if (pro_asynch_write_stream_write(&stalls->writer, &stalls->messages[i]))
			pro_sim_fail(stalls->sim, "a message is refused");
	}
}

static void talker_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct stalls *stalls = stalls_from_talker(handler);
	const unsigned number = stalls->ended++;

	stalls->sent += result->bytes_transferred;
	talker_check(stalls, number, result->error);
	stalls->head_ms = now_ms(stalls);
	stalls->is_over = stalls->is_over || result->error == PRO_ETIMEDOUT;
	if (stalls->way == WAY_CANCEL && number == 0)
		talker_write(stalls, 1, MESSAGES - 1);
	/* Those that were cancelled come back though nothing moves; the others can go then. */
	if (stalls->ended >= stalls->unwanted)
		stalls->may_read = true;
	if (stalls->ended == MESSAGES)
		talker_ends(stalls);
}

static void talker_handle_transmit_file(
		struct pro_handler *handler, const struct pro_asynch_transmit_file_result *result)
{
	struct stalls *stalls = stalls_from_talker(handler);

	stalls->sent += result->bytes_transferred;
	talker_check(stalls, 0, result->error);
	talker_ends(stalls);
}

static void talker_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct stalls *stalls = stalls_from_talker(handler);

	if (result->error)
		return;
	stalls->head_ms = stalls->moved_ms = now_ms(stalls);
	switch (stalls->way) {
	case WAY_DEADLINE:
		pro_operation_set_timeout(&stalls->writer.operation, DEADLINE_MS);
		talker_write(stalls, 0, MESSAGES);
		break;
	case WAY_STALL:
		talker_write(stalls, 0, MESSAGES);
		break;
	case WAY_TRANSMIT:
		pro_message_block_init_filled(&stalls->messages[0], stalls->out_bytes, TOTAL_BYTES);
		pro_asynch_transmit_file_transmit_file(
				&stalls->sender, PRO_INVALID_HANDLE, 0, 0, &stalls->messages[0], NULL);
		break;
	case WAY_CANCEL:
	case WAYS:
		pro_operation_set_timeout(&stalls->writer.operation, PRO_NO_TIMEOUT);
		talker_write(stalls, 0, 1);
		break;
	}
}

static void talker_handle_close(struct pro_handler *handler)
{
	stalls_from_talker(handler)->closed++;
}

static const struct pro_handler_vtbl talker_vtbl = {
		.handle_write_stream = talker_handle_write_stream,
		.handle_transmit_file = talker_handle_transmit_file,
		.handle_time_out = talker_handle_time_out,
		.handle_close = talker_handle_close,
};

/* ---- the session ---- */

static int stalls_open(struct stalls *stalls, struct pro_proactor *proactor)
{
	pro_handle handles[2];
	int error = pro_socket_pair(proactor, handles);

	if (error)
		return error;
	pro_handler_init(&stalls->talker, &talker_vtbl, proactor);
	pro_handler_init(&stalls->listener, &listener_vtbl, proactor);
	pro_handler_set_handle(&stalls->talker, handles[0]);
	pro_handler_set_handle(&stalls->listener, handles[1]);
	pro_asynch_write_stream_open(&stalls->writer, &stalls->talker, PRO_INVALID_HANDLE, NULL);
	pro_asynch_transmit_file_open(&stalls->sender, &stalls->talker, PRO_INVALID_HANDLE, NULL);
	pro_asynch_timer_open(&stalls->start, &stalls->talker, NULL);
	pro_asynch_read_stream_open(&stalls->reader, &stalls->listener, PRO_INVALID_HANDLE, NULL);
	pro_asynch_timer_open(&stalls->pace, &stalls->listener, NULL);
	pro_operation_set_stall_timeout(&stalls->writer.operation, STALL_MS);
	pro_operation_set_stall_timeout(&stalls->sender.operation, STALL_MS);
	pro_asynch_timer_schedule_repeating(&stalls->pace, STEP_MS, STEP_MS);
	return pro_asynch_timer_schedule(&stalls->start, (int64_t)pro_sim_choose(stalls->sim, 20));
}

static int stalls_set_up(struct pro_sim *sim, void **context)
{
	struct stalls *stalls = calloc(1, sizeof(*stalls));
	struct pro_proactor *proactor;
	int error;

	if (!stalls)
		return PRO_ENOMEM;
	*context = stalls;
	stalls->sim = sim;
	stalls->way = (enum way)pro_sim_choose(sim, WAYS);
	stalls->may_read = stalls->way != WAY_CANCEL;
	/* So early that something is left behind, or never. */
	stalls->stop_at = SIZE_MAX;
	if (stalls->way != WAY_CANCEL && pro_sim_choose(sim, 4) > 0)
		stalls->stop_at = (size_t)pro_sim_choose(sim, TOTAL_BYTES - PAIR_BYTES - STEP_BYTES);
	for (unsigned i = 0; i < TOTAL_BYTES; i++)
		stalls->out_bytes[i] = (unsigned char)(i * 31 + i / 251);
	error = pro_sim_proactor_create(sim, "stalls", NULL, &proactor);
	return error ? error : stalls_open(stalls, proactor);
}

static bool stalls_is_done(struct pro_sim *sim, void *context)
{
	const struct stalls *stalls = context;

	if (stalls->closed < 2)
		return false;
	if (stalls->received != stalls->sent)
		pro_sim_fail(sim, "%u bytes came of %u that were told as sent", (unsigned)stalls->received,
				(unsigned)stalls->sent);
	return true;
}

static void stalls_tear_down(struct pro_sim *sim, void *context)
{
	(void)sim;
	free(context);
}

void stalls_test_init(struct pro_sim_test *test)
{
	pro_sim_test_init(test);
	test->options.faults = 0;
	test->options.buffer_bytes = PAIR_BYTES;
	test->set_up = stalls_set_up;
	test->is_done = stalls_is_done;
	test->tear_down = stalls_tear_down;
}
