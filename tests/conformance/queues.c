/* Statements 13 to 15: posts and wakes in any number, rings that are too small, systems that say
 * "not now". */
#include "conformance.h"

#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../support/quick_assert.h"
#include "../support/crew.h"
#include "../support/os.h"
#include "../support/pattern.h"
#include "../support/recorder.h"

#define POSTERS        4
#define BLOCKS         65536
#define POSTS          250000
#define POSTS_LONG     2500000
#define ROUND_TRIPS    2000
#define STORM_US       500
#define IDLE_CPU_MAX   5 /* per cent */
#define IDLE_TURNS_MAX 50

/* Each poster has a ring of blocks; a block is posted again once it was delivered. */
struct poster {
	PRO_ATOMIC(uint64_t) delivered;
	struct pro_message_block blocks[BLOCKS];
};

struct posting {
	struct recorder *target;
	uint64_t posts;
	struct poster posters[POSTERS];
};

static void post_in_order(void *context, unsigned number)
{
	struct posting *posting = context;
	struct poster *poster = &posting->posters[number];

	for (uint64_t i = 0; i < posting->posts; i++) {
		struct pro_message_block *block = &poster->blocks[i % BLOCKS];

		while (i - atomic_load(&poster->delivered) >= BLOCKS)
			os_yield();
		pro_message_block_init_filled(block, "x", 1);
		block->rd = (size_t)(i % 2);
		ASSERT_OK(recorder_post(posting->target, block, poster));
	}
}

static void delivered(struct recorder *recorder, const struct event *event)
{
	struct posting *posting = recorder->context;
	struct poster *poster;
	uint64_t i;

	if (event->kind != EVENT_POST)
		return;
	poster = &posting->posters[(const struct poster *)event->act - posting->posters];
	i = atomic_load(&poster->delivered);
	ASSERT_QUICK(event->block == &poster->blocks[i % BLOCKS], "posts out of order");
	atomic_store(&poster->delivered, i + 1);
}

void scenario_posts_of_4_threads_arrive_once_and_in_order(struct world *world)
{
	struct posting *posting = calloc(1, sizeof(*posting));
	struct crew crew;

	world->is_traced = false;
	world_open(world);
	posting->posts = world_number(os_is_sanitized() ? POSTS / 10 : POSTS, POSTS_LONG);
	posting->target = recorder_create(world, "target");
	posting->target->context = posting;
	posting->target->on_event = delivered;
	posting->target->keeps_blocks = true;
	crew_start(&crew, POSTERS, post_in_order, posting);
	for (unsigned i = 0; i < POSTERS; i++)
		while (posting->posters[i].delivered < posting->posts) {
			uint64_t before = posting->posters[i].delivered;

			RUN_UNTIL(world, posting->posters[i].delivered > before);
		}
	crew_join(&crew);
	ck_assert_uint_eq(world_statistics(world).posts, POSTERS * posting->posts);
	free(posting);
}

struct ping_pong {
	struct recorder *recorder;
	PRO_ATOMIC(unsigned) asked;
	PRO_ATOMIC(unsigned) seen;
	unsigned rounds;
};

static void ask(void *context, unsigned number)
{
	struct ping_pong *ping = context;

	(void)number;
	for (unsigned i = 1; i <= ping->rounds; i++) {
		ping->asked = i;
		ASSERT_OK(pro_handler_wakeup(recorder_handler(ping->recorder)));
		while (ping->seen < i)
			os_yield();
	}
}

static void answer(struct recorder *recorder, const struct event *event)
{
	struct ping_pong *ping = recorder->context;

	if (event->kind == EVENT_WAKEUP)
		ping->seen = ping->asked;
}

/* Each wake must be seen though the loop is just going to sleep. */
void scenario_no_wake_is_lost_when_the_loop_goes_to_sleep(struct world *world)
{
	struct ping_pong ping = {.rounds = world_number(ROUND_TRIPS, 100 * ROUND_TRIPS)};
	struct crew crew;

	world->is_traced = false;
	world_open(world);
	ping.recorder = recorder_create(world, "pong");
	ping.recorder->context = &ping;
	ping.recorder->on_event = answer;
	crew_start(&crew, 1, ask, &ping);
	RUN_UNTIL(world, ping.seen == ping.rounds);
	crew_join(&crew);
}

static void wake_many_times(void *context, unsigned number)
{
	struct ping_pong *ping = context;

	(void)number;
	for (unsigned i = 0; i < ping->rounds; i++) {
		atomic_fetch_add(&ping->asked, 1);
		ASSERT_OK(pro_handler_wakeup(recorder_handler(ping->recorder)));
	}
}

void scenario_after_the_last_wake_everything_is_seen(struct world *world)
{
	struct ping_pong ping = {.rounds = world_number(100000, 2500000)};
	struct crew crew;

	world->is_traced = false;
	world_open(world);
	ping.recorder = recorder_create(world, "pong");
	ping.recorder->context = &ping;
	ping.recorder->on_event = answer;
	crew_start(&crew, POSTERS, wake_many_times, &ping);
	RUN_UNTIL(world, ping.seen == POSTERS * ping.rounds);
	crew_join(&crew);
}

static const int acts[3];

static void note_act(struct recorder *recorder, const struct event *event)
{
	if (event->kind == EVENT_POST)
		world_note(recorder->world, "post %d", (int)((const int *)event->act - acts));
}

void scenario_posts_carry_block_and_act_in_order(struct world *world)
{
	struct pro_message_block blocks[3];
	struct recorder *target;

	world_open(world);
	target = recorder_create(world, "target");
	target->on_event = note_act;
	for (int i = 0; i < 3; i++) {
		pro_message_block_init_filled(&blocks[i], "x", 1);
		ASSERT_OK(recorder_post(target, &blocks[i], &acts[i]));
	}
	ck_assert_uint_eq(target->count[EVENT_POST], 0);
	RUN_UNTIL(world, target->count[EVENT_POST] == 3);
	ck_assert_ptr_eq(target->last[EVENT_POST].block, &blocks[2]);
}

/* ---- 14 and 15: small rings ---- */

#define PAIRS 64

struct swarm {
	struct recorder *left[PAIRS], *right[PAIRS];
	struct pro_message_block in[PAIRS], out[PAIRS];
	char bytes[PAIRS][8];
	uint64_t left_over; /* round trips still to be made */
};

/* Whoever received a byte reads again; whoever sent one sends again. */
static void swarm_on_event(struct recorder *recorder, const struct event *event)
{
	struct swarm *swarm = recorder->context;
	size_t i = recorder->number;

	if (event->error)
		return;
	if (event->kind == EVENT_READ_STREAM) {
		pro_message_block_reset(&swarm->in[i]);
		ASSERT_OK(recorder_read(recorder, &swarm->in[i], 0));
	} else if (event->kind == EVENT_WRITE_STREAM && swarm->left_over > 0) {
		swarm->left_over--;
		pro_message_block_init_filled(&swarm->out[i], "x", 1);
		ASSERT_OK(recorder_write(recorder, &swarm->out[i]));
	}
}

static void swarm_start(struct swarm *swarm, struct world *world)
{
	for (unsigned i = 0; i < PAIRS; i++) {
		swarm->left[i] = recorder_create(world, "left");
		swarm->right[i] = recorder_create(world, "right");
		recorder_pair(swarm->left[i], swarm->right[i]);
		swarm->left[i]->context = swarm;
		swarm->right[i]->context = swarm;
		swarm->left[i]->number = i;
		swarm->right[i]->number = i;
		swarm->left[i]->on_event = swarm_on_event;
		swarm->right[i]->on_event = swarm_on_event;
		pro_message_block_init(&swarm->in[i], swarm->bytes[i], sizeof(swarm->bytes[i]));
	}
	for (unsigned i = 0; i < PAIRS; i++) {
		pro_message_block_init_filled(&swarm->out[i], "x", 1);
		ASSERT_OK(recorder_read(swarm->left[i], &swarm->in[i], 0));
		ASSERT_OK(recorder_write(swarm->right[i], &swarm->out[i]));
	}
}

static uint64_t swarm_sum(const struct swarm *swarm, bool of_reads)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < PAIRS; i++)
		sum += of_reads ? swarm->left[i]->bytes[EVENT_READ_STREAM]
						: swarm->right[i]->bytes[EVENT_WRITE_STREAM];
	return sum;
}

void scenario_queue_of_4_entries_loses_nothing(struct world *world)
{
	uint64_t operations = world_number(20000, 1000000);
	struct swarm *swarm = calloc(1, sizeof(*swarm));

	world->is_traced = false;
	world->options.entries = 4;
	world_open(world);
	swarm->left_over = operations;
	swarm_start(swarm, world);
	while (swarm->left_over > 0) {
		uint64_t before = swarm->left_over;

		RUN_UNTIL(world, swarm->left_over == 0 || before - swarm->left_over >= 1000);
	}
	RUN_UNTIL(world, swarm_sum(swarm, false) == operations + PAIRS &&
							 swarm_sum(swarm, true) == operations + PAIRS);
	world_close_recorders(world); /* whose reads have the buffers */
	free(swarm);
}

void scenario_1000_starts_at_once_on_4_entries_are_all_served(struct world *world)
{
	enum { COUNT = 1000 };
	struct pro_asynch_read_file *readers = calloc(COUNT, sizeof(*readers));
	struct pro_message_block *blocks = calloc(COUNT, sizeof(*blocks));
	unsigned char(*bytes)[16] = calloc(COUNT, sizeof(*bytes));
	static unsigned char content[16 * COUNT];
	struct pro_message_block out;
	struct recorder *files;
	pro_handle file;

	world->options.entries = 4;
	world->is_traced = false;
	world_open(world);
	files = recorder_create(world, "files");
	file = world_file(world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	recorder_open_file(files, file);
	pattern_fill(content, sizeof(content), 0, 1);
	pro_message_block_init_filled(&out, content, sizeof(content));
	ASSERT_OK(
			STARTED(files, WRITE_FILE, pro_asynch_write_file_write(&files->file_writer, &out, 0)));
	RUN_UNTIL(world, files->count[EVENT_WRITE_FILE]);
	for (unsigned i = 0; i < COUNT; i++) {
		pro_message_block_init(&blocks[i], bytes[i], 16);
		ASSERT_OK(pro_asynch_read_file_open(&readers[i], recorder_handler(files), file, NULL));
		ASSERT_OK(STARTED(files, READ_FILE,
				pro_asynch_read_file_read(&readers[i], &blocks[i], 0, 16 * (uint64_t)i)));
	}
	RUN_UNTIL(world, files->count[EVENT_READ_FILE] == COUNT);
	ck_assert_uint_eq(files->errors[EVENT_READ_FILE], 0);
	for (unsigned i = 0; i < COUNT; i++)
		pattern_check(bytes[i], 16, 16 * (uint64_t)i, 1);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
	free(readers);
	free(blocks);
	free(bytes);
}

/* Signals interrupt every wait; nobody sees them. */
void scenario_interrupting_signals_are_invisible(struct world *world)
{
	struct swarm *swarm = calloc(1, sizeof(*swarm));
	uint64_t operations = world_number(20000, 200000);
	uint64_t start_ms, passed_ms;
	unsigned signals;

	world_open(world);
	swarm->left_over = operations;
	os_signal_storm(STORM_US);
	swarm_start(swarm, world);
	RUN_UNTIL(world, swarm_sum(swarm, true) == operations + PAIRS);
	start_ms = pro_proactor_now_ms(world->proactor);
	world_run_for(world, 100);
	passed_ms = pro_proactor_now_ms(world->proactor) - start_ms;
	signals = os_signal_storm_count();
	os_signal_storm(0);
	ck_assert_uint_ge(passed_ms, 100);
	ck_assert_uint_gt(signals, 50);
	world_close_recorders(world); /* whose reads have the buffers */
	free(swarm);
}

/* Reads that find nothing, a write that is stuck, a timer far away, an accept: the process sleeps.
 */
void scenario_waiting_costs_no_processor_time(struct world *world)
{
	static unsigned char big_bytes[4 << 20];
	struct recorder *left, *right, *listener;
	struct pro_message_block in, big;
	uint64_t cpu_us, turns, waited_us = 500 * 1000;
	char bytes[16];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	listener = recorder_create(world, "listener");
	recorder_tcp_pair(left, right, ANY_INET);
	recorder_send_little(left);
	recorder_listen(listener, ANY_INET);
	recorder_open_free(left);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	pro_message_block_init_filled(&big, big_bytes, sizeof(big_bytes));
	ASSERT_OK(recorder_read(left, &in, 0));
	ASSERT_OK(recorder_write(left, &big));
	ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&listener->accept)));
	ASSERT_OK(recorder_timer(left, 60000));
	world_run_for(world, 50);
	ck_assert_uint_eq(left->count[EVENT_WRITE_STREAM], 0);
	cpu_us = os_process_cpu_us();
	turns = world_statistics(world).batches;
	world_run_for(world, waited_us / 1000);
	cpu_us = os_process_cpu_us() - cpu_us;
	/* A busy machine gives a loop that spins little time; it turns often even so. */
	turns = world_statistics(world).batches - turns;
	ck_assert_uint_le(turns, IDLE_TURNS_MAX);
	/* A simulated wait takes no time to compare with. */
	ck_assert_msg(world_is_simulated() || cpu_us * 100 < waited_us * IDLE_CPU_MAX,
			"%llu us of CPU in %llu us of waiting", (unsigned long long)cpu_us,
			(unsigned long long)waited_us);
	world_close_recorders(world);
}
