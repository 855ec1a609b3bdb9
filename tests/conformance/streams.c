/* Statements 16 to 18: writes in order and whole, one end of stream, resets that cannot be missed.
 */
#include "conformance.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../support/crew.h"
#include "../support/os.h"
#include "../support/pattern.h"
#include "../support/recorder.h"

/* A recorder's context that reads to the end of the stream and checks the pattern. */
struct sink {
	uint64_t received;
	unsigned seed;
	size_t bytes_once; /* read at most this much at a time; 0: all the space */
	bool is_over;      /* PRO_EOF came */
	int error;         /* another error */
	struct pro_message_block block;
	unsigned char bytes[65536];
};

static void sink_on_event(struct recorder *recorder, const struct event *event)
{
	struct sink *sink = recorder->context;

	if (event->kind != EVENT_READ_STREAM)
		return;
	pattern_check(sink->bytes, event->bytes, sink->received, sink->seed);
	sink->received += event->bytes;
	if (event->error) {
		sink->is_over = event->error == PRO_EOF;
		sink->error = event->error == PRO_EOF ? 0 : event->error;
		return;
	}
	pro_message_block_reset(&sink->block);
	ASSERT_OK(recorder_read(recorder, &sink->block, sink->bytes_once));
}

static struct sink *sink_start(struct recorder *recorder, unsigned seed)
{
	struct sink *sink = calloc(1, sizeof(*sink));

	ck_assert_ptr_nonnull(sink);
	sink->seed = seed;
	pro_message_block_init(&sink->block, sink->bytes, sizeof(sink->bytes));
	recorder->context = sink;
	recorder->on_event = sink_on_event;
	ASSERT_OK(recorder_read(recorder, &sink->block, 0));
	return sink;
}

/* ---- 16 ---- */

#define MESSAGES 64
#define PIECES   5

/* Messages of one to five pieces of odd sizes; each callback must come in order and whole. */
struct message {
	struct pro_message_block pieces[PIECES];
	size_t bytes;
};

static unsigned char stream_bytes[4 << 20];

static void check_order(struct recorder *recorder, const struct event *event)
{
	struct message *messages = recorder->context;
	unsigned i = recorder->count[EVENT_WRITE_STREAM] - 1;

	if (event->kind != EVENT_WRITE_STREAM)
		return;
	ASSERT_OK(event->error);
	ck_assert_ptr_eq(event->block, &messages[i].pieces[0]);
	ck_assert_uint_eq(event->bytes, messages[i].bytes);
	ck_assert_uint_eq(pro_message_block_total_length(event->block), 0);
}

static size_t fill_messages(struct message *messages, unsigned seed)
{
	size_t offset = 0;

	pattern_fill(stream_bytes, sizeof(stream_bytes), 0, seed);
	for (unsigned i = 0; i < MESSAGES; i++) {
		unsigned pieces = 1 + i % PIECES;

		memset(&messages[i], 0, sizeof(messages[i]));
		for (unsigned piece = 0; piece < pieces; piece++) {
			size_t bytes = i % 7 == 3 ? 1 : 37 + 4099 * ((size_t)i * 5 + piece) % 50021;

			pro_message_block_init_filled(&messages[i].pieces[piece], stream_bytes + offset, bytes);
			if (piece > 0)
				messages[i].pieces[piece - 1].cont = &messages[i].pieces[piece];
			messages[i].bytes += bytes;
			offset += bytes;
		}
	}
	ck_assert_uint_le(offset, sizeof(stream_bytes));
	return offset;
}

static void write_messages(struct world *world, bool over_tcp)
{
	static struct message messages[MESSAGES];
	size_t total = fill_messages(messages, 1);
	struct pro_message_block late;
	struct recorder *left, *right;
	struct sink *sink;

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	if (over_tcp)
		recorder_tcp_pair(left, right, ANY_INET);
	else
		recorder_pair(left, right);
	recorder_send_little(left);
	left->context = messages;
	left->on_event = check_order;
	sink = sink_start(right, 1);
	for (unsigned i = 0; i < MESSAGES; i++)
		ASSERT_OK(STARTED(left, WRITE_STREAM,
				pro_asynch_write_stream_writev(&left->writer, &messages[i].pieces[0])));
	ck_assert_uint_le(pro_asynch_write_stream_queued(&left->writer), total);
	ASSERT_OK(pro_asynch_write_stream_shutdown(&left->writer));
	pro_message_block_init_filled(&late, "late", 4);
	ASSERT_ERROR(recorder_write(left, &late), PRO_EPIPE);
	RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM] == MESSAGES && sink->is_over);
	ck_assert_uint_eq(sink->received, total);
	ck_assert_uint_eq(pro_asynch_write_stream_queued(&left->writer), 0);
	free(sink);
}

void scenario_queued_writes_go_out_in_order_through_tiny_buffers(struct world *world)
{
	write_messages(world, true);
}

void scenario_queued_writes_of_a_pair_go_out_in_order(struct world *world)
{
	write_messages(world, false);
}

/* Plain write leaves the cont chain alone. */
void scenario_write_sends_one_block_and_writev_its_chain(struct world *world)
{
	struct pro_message_block first, second, in;
	struct recorder *left, *right;
	char bytes[32];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	pro_message_block_init_filled(&first, "first", 5);
	pro_message_block_init_filled(&second, "second", 6);
	first.cont = &second;
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(recorder_write(left, &first));
	ASSERT_ERROR(recorder_write(left, &first), PRO_EBUSY);
	ASSERT_ERROR(recorder_write(right, &first), PRO_EBUSY);
	RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM] == 1);
	ck_assert_uint_eq(left->last[EVENT_WRITE_STREAM].bytes, 5);
	ck_assert_uint_eq(second.rd, 0);
	first.rd = 0;
	ASSERT_OK(STARTED(left, WRITE_STREAM, pro_asynch_write_stream_writev(&left->writer, &first)));
	RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM] == 2);
	ck_assert_uint_eq(left->last[EVENT_WRITE_STREAM].bytes, 11);
	ASSERT_OK(STARTED(
			right, READ_STREAM, pro_asynch_read_stream_read_exactly(&right->reader, &in, 16)));
	RUN_UNTIL(world, right->count[EVENT_READ_STREAM]);
	ck_assert_mem_eq(bytes, "firstfirstsecond", 16);
}

void scenario_readv_fills_the_blocks_of_a_chain_in_order(struct world *world)
{
	struct pro_message_block first, second, third, out;
	struct recorder *left, *right;
	char bytes[3][8];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	pro_message_block_init(&first, bytes[0], 4);
	pro_message_block_init_filled(&second, bytes[1], 8); /* no space */
	pro_message_block_init(&third, bytes[2], 8);
	first.cont = &second;
	second.cont = &third;
	pro_message_block_init_filled(&out, "0123456789", 10);
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(world, right->count[EVENT_WRITE_STREAM]);
	ASSERT_OK(STARTED(left, READ_STREAM, pro_asynch_read_stream_readv(&left->reader, &first, 0)));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM]);
	ck_assert_uint_eq(left->last[EVENT_READ_STREAM].bytes, 10);
	ck_assert_uint_eq(first.wr, 4);
	ck_assert_uint_eq(second.wr, 8);
	ck_assert_uint_eq(third.wr, 6);
	ck_assert_mem_eq(bytes[0], "0123", 4);
	ck_assert_mem_eq(bytes[2], "456789", 6);
	first.cont = NULL;
	second.cont = NULL;
}

/* Threads write pieces of one pattern each, tagged with their number; every message must arrive in
 * one piece, and those of a thread in order. */
#define WRITERS         4
#define WRITER_MESSAGES 2000
#define MESSAGE_BYTES   57

struct writers {
	struct recorder *recorder;
	struct pro_message_block blocks[WRITERS][WRITER_MESSAGES];
	unsigned char bytes[WRITERS][WRITER_MESSAGES][MESSAGE_BYTES];
	unsigned next[WRITERS];
	size_t stored;
	unsigned char message[MESSAGE_BYTES];
	unsigned whole;
	struct pro_message_block in;
	unsigned char in_bytes[16384];
};

static void write_from_thread(void *context, unsigned number)
{
	struct writers *writers = context;

	for (unsigned i = 0; i < WRITER_MESSAGES; i++) {
		unsigned char *bytes = writers->bytes[number][i];

		memset(bytes, (int)i, MESSAGE_BYTES);
		bytes[0] = (unsigned char)number;
		bytes[1] = (unsigned char)(i >> 8);
		pro_message_block_init_filled(&writers->blocks[number][i], bytes, MESSAGE_BYTES);
		ASSERT_OK(recorder_write(writers->recorder, &writers->blocks[number][i]));
	}
}

static void check_message(struct writers *writers)
{
	const unsigned char *message = writers->message;
	unsigned i = (unsigned)message[1] << 8 | message[2];

	ck_assert_uint_lt(message[0], WRITERS);
	ck_assert_uint_eq(i, writers->next[message[0]]);
	for (size_t byte = 2; byte < MESSAGE_BYTES; byte++)
		ck_assert_uint_eq(message[byte], i & 0xff);
	writers->next[message[0]]++;
	writers->whole++;
}

static void check_messages(struct recorder *recorder, const struct event *event)
{
	struct writers *writers = recorder->context;

	if (event->kind != EVENT_READ_STREAM || event->error == PRO_ECANCELED)
		return;
	ASSERT_OK(event->error);
	for (size_t i = 0; i < event->bytes; i++) {
		writers->message[writers->stored++] = writers->in_bytes[i];
		if (writers->stored == MESSAGE_BYTES) {
			check_message(writers);
			writers->stored = 0;
		}
	}
	pro_message_block_reset(&writers->in);
	ASSERT_OK(recorder_read(recorder, &writers->in, 0));
}

void scenario_writes_of_many_threads_never_interleave(struct world *world)
{
	struct writers *writers = calloc(1, sizeof(*writers));
	struct recorder *left, *right;
	struct crew crew;

	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	recorder_send_little(left);
	writers->recorder = left;
	right->context = writers;
	right->on_event = check_messages;
	pro_message_block_init(&writers->in, writers->in_bytes, sizeof(writers->in_bytes));
	ASSERT_OK(recorder_read(right, &writers->in, 0));
	crew_start(&crew, WRITERS, write_from_thread, writers);
	RUN_UNTIL(world, writers->whole == WRITERS * WRITER_MESSAGES);
	crew_join(&crew);
	RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM] == WRITERS * WRITER_MESSAGES);
	ck_assert_uint_eq(left->errors[EVENT_WRITE_STREAM], 0);
	/* The last read goes into them. */
	ASSERT_OK(recorder_cancel(&right->reader.operation));
	RUN_UNTIL(world, !pro_operation_in_flight(&right->reader.operation));
	free(writers);
}

/* The peer takes some bytes and dies with a reset while several writes are queued. */
void scenario_write_to_a_dying_peer_is_an_error_with_its_count(struct world *world)
{
	struct pro_message_block blocks[3], in, later;
	struct recorder *left, *right;
	unsigned char bytes[1000];

	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	pattern_fill(stream_bytes, sizeof(stream_bytes), 0, 1);
	for (unsigned i = 0; i < 3; i++) {
		pro_message_block_init_filled(&blocks[i], stream_bytes, sizeof(stream_bytes));
		ASSERT_OK(recorder_write(left, &blocks[i]));
	}
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(STARTED(right, READ_STREAM,
			pro_asynch_read_stream_read_exactly(&right->reader, &in, sizeof(bytes))));
	RUN_UNTIL(world, right->count[EVENT_READ_STREAM]);
	ASSERT_OK(pro_socket_set_option(world->proactor, pro_handler_handle(recorder_handler(right)),
			PRO_SOCKET_LINGER_RESET, 1));
	recorder_close(right);
	RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM] == 3);
	ck_assert_uint_ge(left->errors[EVENT_WRITE_STREAM], 2);
	ck_assert_uint_eq(blocks[2].rd, 0);
	ASSERT_ERROR(left->last[EVENT_WRITE_STREAM].error, PRO_ECANCELED);
	pro_message_block_init_filled(&later, "later", 5);
	if (recorder_write(left, &later) == 0) {
		RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM] == 4);
		ASSERT_ERROR(left->last[EVENT_WRITE_STREAM].error, PRO_EPIPE);
	}
}

/* ---- 17 ---- */

static void read_ends(struct world *world, struct recorder *left, unsigned times)
{
	struct pro_message_block block;
	char bytes[16];

	for (unsigned i = 0; i < times; i++) {
		unsigned before = left->count[EVENT_READ_STREAM];
		int result;

		pro_message_block_init(&block, bytes, sizeof(bytes));
		if (i % 4 == 0)
			result = recorder_read(left, &block, 0);
		else if (i % 4 == 1)
			result = recorder_read(left, NULL, 0);
		else if (i % 4 == 2)
			result = STARTED(
					left, READ_STREAM, pro_asynch_read_stream_readv(&left->reader, &block, 0));
		else
			result = STARTED(left, READ_STREAM,
					pro_asynch_read_stream_read_exactly(&left->reader, &block, 16));
		ASSERT_OK(result);
		RUN_UNTIL(world, left->count[EVENT_READ_STREAM] > before);
		ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_EOF);
		ck_assert_uint_eq(left->last[EVENT_READ_STREAM].bytes, 0);
		ck_assert_uint_eq(block.wr, 0);
	}
}

static void end_is_repeatable(struct world *world, struct recorder *left, struct recorder *right)
{
	struct pro_message_block out, in;
	char bytes[16];

	pro_message_block_init_filled(&out, "last", 4);
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(world, right->count[EVENT_WRITE_STREAM]);
	recorder_close(right);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(STARTED(
			left, READ_STREAM, pro_asynch_read_stream_read_exactly(&left->reader, &in, 10)));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM]);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_EOF);
	ck_assert_uint_eq(left->last[EVENT_READ_STREAM].bytes, 4);
	ck_assert_mem_eq(bytes, "last", 4);
	read_ends(world, left, 12);
}

void scenario_end_of_a_stream_can_be_read_again_and_again(struct world *world)
{
	struct recorder *left, *right;

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	end_is_repeatable(world, left, right);
}

void scenario_end_of_a_pair_can_be_read_again_and_again(struct world *world)
{
	struct recorder *left, *right;

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	end_is_repeatable(world, left, right);
}

void scenario_after_a_half_close_writing_still_works(struct world *world)
{
	struct pro_message_block question, answers[3];
	struct recorder *left, *right;
	struct sink *asked, *answered;
	unsigned char bytes[300];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	pattern_fill(bytes, sizeof(bytes), 0, 1);
	asked = sink_start(right, 1);
	answered = sink_start(left, 1);
	pro_message_block_init_filled(&question, bytes, sizeof(bytes));
	ASSERT_OK(recorder_write(left, &question));
	ASSERT_OK(pro_asynch_write_stream_shutdown(&left->writer));
	RUN_UNTIL(world, asked->is_over);
	ck_assert_uint_eq(asked->received, sizeof(bytes));
	for (unsigned i = 0; i < 3; i++) {
		pro_message_block_init_filled(&answers[i], bytes + 100 * i, 100);
		ASSERT_OK(recorder_write(right, &answers[i]));
		RUN_UNTIL(world, answered->received == 100 * (i + 1));
	}
	recorder_close(right);
	RUN_UNTIL(world, answered->is_over);
	ASSERT_OK(left->last[EVENT_WRITE_STREAM].error);
	free(asked);
	free(answered);
}

void scenario_raw_shutdown_ends_the_peers_stream(struct world *world)
{
	struct recorder *left, *right;

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	ASSERT_OK(pro_socket_shutdown_write(
			world->proactor, pro_handler_handle(recorder_handler(right))));
	read_ends(world, left, 2);
}

/* ---- 18 ---- */

/* What left sees of a reset by right: never a clean end alone, when it writes as well. */
static void see_a_reset(struct world *world, bool is_reading, bool is_writing, bool has_sent)
{
	struct recorder *left = recorder_create(world, "left");
	struct recorder *right = recorder_create(world, "right");
	struct pro_message_block in, big, small, later;
	char bytes[16];

	recorder_tcp_pair(left, right, ANY_INET);
	recorder_send_little(left);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	pro_message_block_init_filled(&big, stream_bytes, sizeof(stream_bytes));
	pro_message_block_init_filled(&small, "x", 1);
	pro_message_block_init_filled(&later, "y", 1);
	if (is_reading)
		ASSERT_OK(recorder_read(left, &in, 0));
	if (is_writing)
		ASSERT_OK(recorder_write(left, &big));
	if (has_sent) {
		ASSERT_OK(recorder_write(right, &small));
		RUN_UNTIL(world, right->count[EVENT_WRITE_STREAM]);
	}
	world_run_ready(world);
	ASSERT_OK(pro_socket_set_option(world->proactor, pro_handler_handle(recorder_handler(right)),
			PRO_SOCKET_LINGER_RESET, 1));
	recorder_close(right);
	RUN_UNTIL(world, right->is_closed && (!is_writing || left->count[EVENT_WRITE_STREAM]));
	while (left->errors[EVENT_READ_STREAM] == 0) {
		if (!pro_operation_in_flight(&left->reader.operation)) {
			pro_message_block_reset(&in);
			ASSERT_OK(recorder_read(left, &in, 0));
		}
		RUN_UNTIL(world, !pro_operation_in_flight(&left->reader.operation));
	}
	ck_assert(left->last[EVENT_READ_STREAM].error == PRO_ECONNRESET ||
			  left->last[EVENT_READ_STREAM].error == PRO_EPIPE ||
			  (left->last[EVENT_READ_STREAM].error == PRO_EOF &&
					  left->errors[EVENT_WRITE_STREAM] > 0));
	if (is_writing)
		ck_assert_uint_eq(left->errors[EVENT_WRITE_STREAM], 1);
	/* And it stays broken. */
	if (recorder_write(left, &later) == 0) {
		RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM] == 1u + is_writing);
		ck_assert_int_lt(left->last[EVENT_WRITE_STREAM].error, 0);
	}
	recorder_close(left);
	RUN_UNTIL(world, left->is_closed);
}

void scenario_reset_is_an_error_to_reads_and_writes(struct world *world)
{
	world->is_traced = false;
	world_open(world);
	for (unsigned i = 0; i < 8 * 5; i++)
		see_a_reset(world, i & 1, i & 2, i & 4);
}

/* An upload whose sender resets at each of many places must never look complete. */
void scenario_reset_never_looks_like_a_finished_upload(struct world *world)
{
	enum { UPLOAD = 20000 };

	world->is_traced = false;
	world_open(world);
	pattern_fill(stream_bytes, UPLOAD, 0, 1);
	for (size_t cut = 1; cut < UPLOAD; cut += 1733) {
		struct recorder *left = recorder_create(world, "left");
		struct recorder *right = recorder_create(world, "right");
		struct pro_message_block out;
		struct sink *sink;

		recorder_tcp_pair(left, right, ANY_INET);
		sink = sink_start(right, 1);
		pro_message_block_init_filled(&out, stream_bytes, cut);
		ASSERT_OK(recorder_write(left, &out));
		RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM]);
		if (cut % 2)
			RUN_UNTIL(world, sink->received == cut);
		ASSERT_OK(pro_socket_set_option(world->proactor, pro_handler_handle(recorder_handler(left)),
				PRO_SOCKET_LINGER_RESET, 1));
		recorder_close(left);
		RUN_UNTIL(world, sink->is_over || sink->error);
		ck_assert(!sink->is_over);
		ASSERT_ERROR(sink->error, PRO_ECONNRESET);
		free(sink);
		right->on_event = NULL;
		recorder_close(right);
		RUN_UNTIL(world, right->is_closed);
	}
}

/* Bytes in both directions at the same time through small buffers: neither waits for the other. */
void scenario_full_duplex_flows_both_ways(struct world *world)
{
	enum { TOTAL = 2 << 20 };
	struct recorder *sides[2];
	struct pro_message_block out;
	struct pro_message_block *duplicate;
	struct sink *sinks[2];

	world_open(world);
	sides[0] = recorder_create(world, "left");
	sides[1] = recorder_create(world, "right");
	recorder_tcp_pair(sides[0], sides[1], ANY_INET);
	recorder_send_little(sides[0]);
	recorder_send_little(sides[1]);
	pattern_fill(stream_bytes, TOTAL, 0, 1);
	pro_message_block_init_filled(&out, stream_bytes, TOTAL);
	duplicate = pro_message_block_duplicate(&out);
	ck_assert_ptr_nonnull(duplicate);
	for (unsigned i = 0; i < 2; i++) {
		sinks[i] = sink_start(sides[i], 1);
		ASSERT_OK(recorder_write(sides[i], i ? duplicate : &out));
	}
	RUN_UNTIL(world, sinks[0]->received == TOTAL && sinks[1]->received == TOTAL &&
							 sides[0]->count[EVENT_WRITE_STREAM] &&
							 sides[1]->count[EVENT_WRITE_STREAM]);
	for (unsigned i = 0; i < 2; i++)
		ASSERT_OK(sides[i]->last[EVENT_WRITE_STREAM].error);
	world_close_recorders(world);
	for (unsigned i = 0; i < 2; i++)
		free(sinks[i]);
	pro_message_block_release(duplicate);
}

struct failing {
	struct recorder *owner;
	struct pro_message_block out[3];
};

/* The first fails before a byte of it goes out; the second does not know of that. */
static void write_two(struct recorder *recorder, const struct event *event)
{
	struct failing *failing = recorder->context;

	if (event->kind != EVENT_WAKEUP)
		return;
	for (unsigned i = 0; i < 2; i++) {
		pro_message_block_init_filled(&failing->out[i], "bytes", 5);
		ASSERT_OK(recorder_write(failing->owner, &failing->out[i]));
	}
}

/* The third, which is written in the callback of the first, goes its way. */
static void check_failures(struct recorder *recorder, const struct event *event)
{
	static const int expected[] = {PRO_EBADF, PRO_ECANCELED, PRO_EBADF};
	struct failing *failing = recorder->context;

	if (event->kind != EVENT_WRITE_STREAM)
		return;
	ASSERT_ERROR(event->error, expected[recorder->number]);
	ck_assert_uint_eq(event->bytes, 0);
	if (recorder->number++ > 0)
		return;
	pro_message_block_init_filled(&failing->out[2], "bytes", 5);
	ASSERT_OK(recorder_write(recorder, &failing->out[2]));
}

void scenario_nothing_overtakes_a_write_that_failed(struct world *world)
{
	struct recorder *right, *other;
	struct failing failing;
	pro_handle handles[2];

	world_open(world);
	failing.owner = recorder_create(world, "left");
	right = recorder_create(world, "right");
	other = recorder_create(world, "other");
	ASSERT_OK(pro_socket_pair(world->proactor, handles));
	recorder_own_stream(right, handles[1]);
	ASSERT_OK(pro_asynch_write_stream_open(
			&failing.owner->writer, recorder_handler(failing.owner), handles[0], NULL));
	pro_message_block_init_filled(&failing.out[0], "bytes", 5);
	ASSERT_OK(recorder_write(failing.owner, &failing.out[0]));
	RUN_UNTIL(world, failing.owner->count[EVENT_WRITE_STREAM]);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, handles[0]));
	world_run_ready(world);

	failing.owner->context = &failing;
	failing.owner->on_event = check_failures;
	other->context = &failing;
	other->on_event = write_two;
	ASSERT_OK(pro_handler_wakeup(recorder_handler(other)));
	RUN_UNTIL(world, failing.owner->count[EVENT_WRITE_STREAM] == 4);
}

/* Pipes are streams too. */
void scenario_pipes_are_streams(struct world *world)
{
	struct recorder *reader, *writer;
	struct pro_message_block in, out;
	static unsigned char bytes[300000], back[300000];
	int pipe[2];

	world_open(world);
	reader = recorder_create(world, "reader");
	writer = recorder_create(world, "writer");
	os_pipe(pipe);
	recorder_own_stream(reader, pipe[0]);
	recorder_own_stream(writer, pipe[1]);
	memset(bytes, 'x', sizeof(bytes));
	pro_message_block_init_filled(&out, bytes, sizeof(bytes));
	pro_message_block_init(&in, back, sizeof(back));
	ASSERT_OK(STARTED(reader, READ_STREAM,
			pro_asynch_read_stream_read_exactly(&reader->reader, &in, sizeof(back))));
	ASSERT_OK(recorder_write(writer, &out));
	RUN_UNTIL(world, reader->count[EVENT_READ_STREAM] && writer->count[EVENT_WRITE_STREAM]);
	ASSERT_OK(reader->last[EVENT_READ_STREAM].error);
	ck_assert_mem_eq(bytes, back, sizeof(bytes));
	pro_message_block_reset(&in);
	ASSERT_OK(recorder_read(reader, &in, 0));
	world_run_ready(world);
	recorder_close(writer);
	RUN_UNTIL(world, reader->count[EVENT_READ_STREAM] == 2);
	ASSERT_ERROR(reader->last[EVENT_READ_STREAM].error, PRO_EOF);
}

/* So is a file, which is always ready, however much is moved at once. */
static void read_to_the_end(struct recorder *recorder, const struct event *event)
{
	if (event->kind != EVENT_READ_STREAM || event->error)
		return;
	pro_message_block_reset(event->block);
	ASSERT_OK(recorder_read(recorder, event->block, 0));
}

void scenario_files_are_streams_of_any_length(struct world *world)
{
	enum { COUNT = 8, BYTES = 1 << 20 };
	static unsigned char bytes[BYTES];
	const unsigned flags = PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE;
	struct recorder *reader, *writer;
	struct pro_message_block in, out[COUNT];

	world->is_traced = false;
	world_open(world);
	reader = recorder_create(world, "reader");
	writer = recorder_create(world, "writer");
	recorder_own_stream(writer, world_file(world, "file", flags));
	recorder_own_stream(reader, world_file(world, "file", flags));
	for (unsigned i = 0; i < COUNT; i++) {
		pro_message_block_init_filled(&out[i], bytes, sizeof(bytes));
		ASSERT_OK(recorder_write(writer, &out[i]));
	}
	RUN_UNTIL(world, writer->count[EVENT_WRITE_STREAM] == COUNT);
	ck_assert_uint_eq(writer->errors[EVENT_WRITE_STREAM], 0);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	reader->on_event = read_to_the_end;
	ASSERT_OK(recorder_read(reader, &in, 0));
	RUN_UNTIL(world, reader->errors[EVENT_READ_STREAM]);
	ASSERT_ERROR(reader->last[EVENT_READ_STREAM].error, PRO_EOF);
	ck_assert_uint_eq(reader->bytes[EVENT_READ_STREAM], COUNT * BYTES);
}
