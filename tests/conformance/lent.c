/* Statements 20 and 21: blocks that the proactor lends are back-pressure when they are used up, and
 * come back once. */
#include "conformance.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../support/crew.h"
#include "../support/pattern.h"
#include "../support/recorder.h"

#define BLOCKS      8
#define PAIRS       24
#define PAIR_BYTES  4000
#define BLOCK_BYTES 1024

struct loans {
	struct recorder *left[PAIRS], *right[PAIRS];
	struct pro_message_block out[PAIRS];
	unsigned char bytes[PAIRS][PAIR_BYTES];
	uint64_t received[PAIRS];
	struct pro_message_block *held[PAIRS * PAIR_BYTES];
	unsigned held_count;
	bool holds;
};

static uint64_t loans_received(const struct loans *loans)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < PAIRS; i++)
		sum += loans->received[i];
	return sum;
}

static void loans_on_event(struct recorder *recorder, const struct event *event)
{
	struct loans *loans = recorder->context;
	unsigned i = (unsigned)recorder->number;

	if (event->kind != EVENT_READ_STREAM || event->error)
		return;
	ck_assert_uint_eq(pro_message_block_length(event->block), event->bytes);
	ck_assert_uint_le(event->bytes, BLOCK_BYTES);
	pattern_check(pro_message_block_rd_ptr(event->block), event->bytes, loans->received[i], i);
	loans->received[i] += event->bytes;
	if (loans->holds)
		loans->held[loans->held_count++] = event->block;
	else
		pro_message_block_release(event->block);
	ASSERT_OK(recorder_read(recorder, NULL, 0));
}

static struct loans *loans_start(struct world *world)
{
	struct loans *loans = calloc(1, sizeof(*loans));

	world->options.lent_blocks = BLOCKS;
	world->options.lent_block_size = BLOCK_BYTES;
	world_open(world);
	for (unsigned i = 0; i < PAIRS; i++) {
		loans->left[i] = recorder_create(world, "left");
		loans->right[i] = recorder_create(world, "right");
		recorder_pair(loans->left[i], loans->right[i]);
		loans->left[i]->context = loans;
		loans->left[i]->number = i;
		loans->left[i]->on_event = loans_on_event;
		loans->left[i]->keeps_blocks = true;
		pattern_fill(loans->bytes[i], PAIR_BYTES, 0, i);
		pro_message_block_init_filled(&loans->out[i], loans->bytes[i], PAIR_BYTES);
		ASSERT_OK(recorder_read(loans->left[i], NULL, 0));
	}
	loans->holds = true;
	world_run_ready(world);
	for (unsigned i = 0; i < PAIRS; i++)
		ASSERT_OK(recorder_write(loans->right[i], &loans->out[i]));
	return loans;
}

static void release_held(struct loans *loans)
{
	loans->holds = false;
	for (unsigned i = 0; i < loans->held_count; i++)
		pro_message_block_release(loans->held[i]);
	loans->held_count = 0;
}

/* All blocks are held: the rest of the readers waits, and sees every byte once they come back. */
void scenario_used_up_lent_blocks_are_back_pressure(struct world *world)
{
	struct loans *loans;

	world->is_traced = false;
	loans = loans_start(world);
	RUN_UNTIL(world, loans->held_count == BLOCKS);
	world_run_for(world, 30);
	ck_assert_uint_eq(loans->held_count, BLOCKS);
	ck_assert_uint_eq(world_statistics(world).lent_blocks_used, BLOCKS);
	for (unsigned i = 0; i < PAIRS; i++)
		ck_assert_uint_eq(loans->left[i]->errors[EVENT_READ_STREAM], 0);
	release_held(loans);
	RUN_UNTIL(world, loans_received(loans) == PAIRS * PAIR_BYTES);
	for (unsigned i = 0; i < PAIRS; i++)
		loans->left[i]->on_event = NULL;
	world_close_recorders(world);
	free(loans);
}

static struct pro_message_block *lent_out;

static void keep_block(struct recorder *recorder, const struct event *event)
{
	(void)recorder;
	if (event->kind == EVENT_READ_STREAM && event->error == 0)
		lent_out = event->block;
}

/* A file is always ready, but not its reader's block. */
void scenario_files_wait_for_lent_blocks(struct world *world)
{
	struct recorder *readers[2];
	struct pro_message_block out;

	world->is_traced = false;
	world->options.lent_blocks = 1;
	world_open(world);
	for (unsigned i = 0; i < 2; i++) {
		readers[i] = recorder_create(world, "reader");
		readers[i]->keeps_blocks = true;
		readers[i]->on_event = keep_block;
		recorder_own_stream(readers[i],
				world_file(world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE));
	}
	pro_message_block_init_filled(&out, "bytes", 5);
	ASSERT_OK(STARTED(
			readers[0], WRITE_STREAM, pro_asynch_write_stream_write(&readers[0]->writer, &out)));
	RUN_UNTIL(world, readers[0]->count[EVENT_WRITE_STREAM]);
	ASSERT_OK(recorder_read(readers[1], NULL, 0));
	RUN_UNTIL(world, readers[1]->count[EVENT_READ_STREAM]);
	ASSERT_OK(recorder_read(readers[0], NULL, 0));
	world_run_for(world, 10);
	ck_assert_uint_eq(readers[0]->count[EVENT_READ_STREAM], 0);
	pro_message_block_release(lent_out);
	RUN_UNTIL(world, readers[0]->count[EVENT_READ_STREAM]);
	ASSERT_ERROR(readers[0]->last[EVENT_READ_STREAM].error, PRO_EOF);
}

static void release_from_thread(void *context, unsigned number)
{
	(void)number;
	release_held(context);
}

void scenario_lent_blocks_may_be_released_by_another_thread(struct world *world)
{
	struct loans *loans;
	struct crew crew;

	world->is_traced = false;
	loans = loans_start(world);
	RUN_UNTIL(world, loans->held_count == BLOCKS);
	while (loans_received(loans) < PAIRS * PAIR_BYTES) {
		uint64_t before = loans_received(loans);

		crew_start(&crew, 1, release_from_thread, loans);
		crew_join(&crew);
		loans->holds = true;
		RUN_UNTIL(world, loans_received(loans) > before);
	}
	release_held(loans);
	RUN_UNTIL(world, loans_received(loans) == PAIRS * PAIR_BYTES);
	for (unsigned i = 0; i < PAIRS; i++)
		loans->left[i]->on_event = NULL;
	world_close_recorders(world);
	free(loans);
}

/* A reader that waits for a block can be cancelled and closed. */
void scenario_reads_that_wait_for_a_block_can_be_cancelled(struct world *world)
{
	struct loans *loans;
	unsigned cancelled = 0;

	world->is_traced = false;
	loans = loans_start(world);
	RUN_UNTIL(world, loans->held_count == BLOCKS);
	for (unsigned i = 0; i < PAIRS; i++)
		cancelled += recorder_cancel(&loans->left[i]->reader.operation) == 0;
	ck_assert_uint_eq(cancelled, PAIRS);
	RUN_UNTIL(world, world_statistics(world).in_flight == 0);
	release_held(loans);
	for (unsigned i = 0; i < PAIRS; i++) {
		ck_assert_uint_eq(loans->left[i]->cancels[EVENT_READ_STREAM], 1);
		ASSERT_OK(recorder_read(loans->left[i], NULL, 0));
	}
	RUN_UNTIL(world, loans_received(loans) == PAIRS * PAIR_BYTES);
	for (unsigned i = 0; i < PAIRS; i++)
		loans->left[i]->on_event = NULL;
	world_close_recorders(world);
	free(loans);
}

static const struct pro_message_block *kept_block;

static void echo_block(struct recorder *recorder, const struct event *event)
{
	if (event->kind == EVENT_READ_STREAM && event->error == 0) {
		kept_block = event->block;
		ASSERT_OK(recorder_write(recorder, event->block));
	} else if (event->kind == EVENT_WRITE_STREAM) {
		ck_assert_ptr_eq(event->block, kept_block);
		pro_message_block_release(event->block);
		ASSERT_OK(recorder_read(recorder, NULL, 0));
	}
}

/* A borrowed block may be written out as it is; it is the port's until that callback. */
void scenario_borrowed_block_can_be_echoed(struct world *world)
{
	/* The same on all ports, because they are traced. */
	const unsigned rounds = world_is_small() ? world_number(1000, 1000) : 1000;
	struct recorder *left, *right;
	struct pro_message_block out, in;
	unsigned char bytes[500], echoed[500];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	left->keeps_blocks = true;
	left->on_event = echo_block;
	ASSERT_OK(recorder_read(left, NULL, 0));
	for (unsigned i = 0; i < rounds; i++) {
		pattern_fill(bytes, sizeof(bytes), 500 * (uint64_t)i, 3);
		pro_message_block_init_filled(&out, bytes, sizeof(bytes));
		pro_message_block_init(&in, echoed, sizeof(echoed));
		ASSERT_OK(STARTED(right, READ_STREAM,
				pro_asynch_read_stream_read_exactly(&right->reader, &in, sizeof(echoed))));
		ASSERT_OK(recorder_write(right, &out));
		RUN_UNTIL(world, right->count[EVENT_READ_STREAM] == i + 1 &&
								 right->count[EVENT_WRITE_STREAM] == i + 1);
		pattern_check(echoed, sizeof(echoed), 500 * (uint64_t)i, 3);
	}
}

static void check_a_block_is_lent(struct world *world)
{
	struct recorder *left = recorder_create(world, "left");
	struct recorder *right = recorder_create(world, "right");
	struct pro_message_block out;

	recorder_pair(left, right);
	pro_message_block_init_filled(&out, "bytes", 5);
	ASSERT_OK(recorder_read(left, NULL, 0));
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] && right->count[EVENT_WRITE_STREAM]);
	ck_assert_uint_eq(left->last[EVENT_READ_STREAM].bytes, 5);
}

/* More of them than there are blocks; the last reader gets its bytes. */
void scenario_the_end_of_a_stream_keeps_no_lent_block(struct world *world)
{
	struct recorder *left, *right;

	world->options.lent_blocks = 2;
	world_open(world);
	for (unsigned i = 0; i < 6; i++) {
		left = recorder_create(world, "left");
		right = recorder_create(world, "right");
		recorder_pair(left, right);
		ASSERT_OK(recorder_read(left, NULL, 0));
		recorder_close(right);
		RUN_UNTIL(world, left->count[EVENT_READ_STREAM] && right->is_closed);
		ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_EOF);
	}
	check_a_block_is_lent(world);
}

/* Nor do reads that fail: more of them than there are blocks, of a file only for writing. */
void scenario_failed_reads_keep_no_lent_block(struct world *world)
{
	struct recorder *left;

	world->options.lent_blocks = 2;
	world_open(world);
	left = recorder_create(world, "left");
	recorder_own_stream(left, world_file(world, "file", PRO_FILE_WRITE | PRO_FILE_CREATE));
	for (unsigned i = 0; i < 6; i++) {
		ASSERT_OK(recorder_read(left, NULL, 0));
		/* Windows forbids it, Linux has no such descriptor to read. */
		RUN_UNTIL(world, left->errors[EVENT_READ_STREAM] == i + 1);
	}
	check_a_block_is_lent(world);
}

static void check_share(struct recorder *recorder, const struct event *event)
{
	if (event->kind != EVENT_READ_STREAM || event->error)
		return;
	ck_assert_uint_le(event->bytes, 10);
	ck_assert_uint_eq(pro_message_block_length(event->block), event->bytes);
	pattern_check(pro_message_block_rd_ptr(event->block), event->bytes, recorder->number, 5);
	recorder->number += event->bytes;
	ASSERT_OK(recorder_read(recorder, NULL, 10));
}

/* A read that borrows may be bounded too; the rest waits for the next. */
void scenario_borrowed_reads_take_no_more_than_was_asked_for(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block out;
	unsigned char bytes[95];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	left->on_event = check_share;
	pattern_fill(bytes, sizeof(bytes), 0, 5);
	pro_message_block_init_filled(&out, bytes, sizeof(bytes));
	ASSERT_OK(recorder_write(right, &out));
	ASSERT_OK(recorder_read(left, NULL, 10));
	RUN_UNTIL(world, left->number == sizeof(bytes) && right->count[EVENT_WRITE_STREAM]);
}
