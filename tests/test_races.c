/* Cancels, closes, deadlines, and what peers do, against operations in flight: very many of them,
 * in seeded orders and distances, with an exact ledger.
 *
 * Racers are handlers; each has some flights, which are operations (or messages, or posts) that can
 * be in flight once. In every callback a racer starts and cancels what chance says, of its own and
 * of others; outsiders do the same between the turns of the loop, and from other threads. Racers
 * that meet, such as both sides of a connection, are a lane. When the last of a lane is closed,
 * what it reported is compared with what its peers saw, and the lane begins anew.
 *
 * A race is a flight that ended while somebody had asked for its cancel or its handler's close, or
 * while a deadline of some milliseconds ran. PROACTOR_TEST_RACES says how many to run. */
#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <proactor/socket.h>

#include "races/racers.h"
#include "support/crew.h"
#include "support/os.h"
#include "support/quick_assert.h"
#include "support/suite.h"

#define OUTSIDERS   2
#define SECONDS_MAX 1700

static unsigned long races_wanted;

/* ---- mischief ---- */

static bool kind_is_for_outsiders(enum event_kind kind)
{
	return kind == EVENT_READ_STREAM || kind == EVENT_WRITE_STREAM || kind == EVENT_READ_DGRAM ||
		   kind == EVENT_ACCEPT || kind == EVENT_TIME_OUT || kind == EVENT_WORK ||
		   kind == EVENT_POST;
}

/* From anywhere, to anyone. */
static void disturb(uint32_t *random)
{
	struct lane *lane = &lanes[pick(random, LANES)];
	const unsigned what = pick(random, 64);
	struct racer *racer = NULL;
	struct flight *flight;
	unsigned first = pick(random, RACERS_MAX);

	lane_lock(lane);
	for (unsigned i = 0; i < RACERS_MAX && !racer; i++)
		if (lane->racers[(first + i) % RACERS_MAX].is_alive)
			racer = &lane->racers[(first + i) % RACERS_MAX];
	if (racer) {
		flight = &racer->flights[pick(random, racer->flights_count)];
		if (what < 20)
			CALL(pro_handler_wakeup(handler_of(racer)));
		else if (what < 36 && kind_is_for_outsiders(flight->kind))
			flight_start(flight, random, false);
		else if (what < 63)
			flight_cancel(flight, false);
		else if (chance(random, 4))
			racer_break(racer);
	}
	lane_unlock(lane);
}

static void racer_drain(struct racer *racer)
{
	switch (racer->lane->kind) {
	case LANE_LISTEN:
		if (racer->side == 2)
			racer_break(racer);
		else
			stream_drain(racer);
		break;
	case LANE_PAIR:
	case LANE_PIPE:
		stream_drain(racer);
		break;
	case LANE_DGRAM:
		flight_start(&racer->flights[0], &racer->random, true);
		dgram_drain(racer);
		break;
	case LANE_FILE:
	case LANE_FREE:
		racer_break(racer);
	}
}

/* At the end of each callback. */
void racer_act(struct racer *racer)
{
	uint32_t *random = &racer->random;
	struct flight *flight;

	for (unsigned i = 1 + pick(random, 3); i > 0; i--) {
		flight = &racer->flights[pick(random, racer->flights_count)];
		switch (pick(random, 8)) {
		case 0:
			flight_cancel(flight, true);
			break;
		case 1:
			if (flight_start(flight, random, true))
				flight_cancel(flight, true);
			break;
		case 2:
			disturb(random);
			break;
		default:
			flight_start(flight, random, true);
		}
	}
	if (racer->patience > 0 && --racer->patience == 0) {
		if (chance(random, 3))
			racer_give_up(racer);
		atomic_store(&racer->phase, PHASE_DRAIN);
	}
	if (atomic_load(&is_ending))
		atomic_store(&racer->phase, PHASE_DRAIN);
	if (atomic_load(&racer->phase) == PHASE_DRAIN)
		racer_drain(racer);
}

/* ---- runs ---- */

/* The table, and behind it room for what the writers of a lane write. Returns its path. */
static const char *make_file(unsigned number)
{
	static const unsigned char nothing[2 * FLIGHT_BYTES];
	char name[32];
	const char *path;
	FILE *file;

	snprintf(name, sizeof(name), "file%u", number);
	path = world_path(&world, name);
	file = fopen(path, "wb");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(table, 1, TABLE_BYTES, file), TABLE_BYTES);
	ck_assert_uint_eq(fwrite(nothing, 1, sizeof(nothing), file), sizeof(nothing));
	ck_assert_int_eq(fclose(file), 0);
	return path;
}

static void open_lanes(void)
{
	static const enum lane_kind kinds[LANES] = {LANE_PAIR, LANE_PAIR, LANE_PAIR, LANE_PAIR,
			LANE_PIPE, LANE_PIPE, LANE_LISTEN, LANE_LISTEN, LANE_LISTEN, LANE_DGRAM, LANE_DGRAM,
			LANE_FILE, LANE_FILE, LANE_FREE, LANE_FREE, LANE_PAIR};
	uint32_t random = 88172645u;

	for (unsigned i = 0; i < sizeof(table); i++)
		table[i] = (unsigned char)pick(&random, 256);
	make_file(LANES);
	table_file = world_file(&world, "file16", PRO_FILE_READ);
	lanes = calloc(LANES, sizeof(*lanes));
	ck_assert_ptr_nonnull(lanes);
	for (unsigned i = 0; i < LANES; i++) {
		lanes[i].kind = kinds[i] == LANE_PIPE && os_is_emulated() ? LANE_PAIR : kinds[i];
		lanes[i].number = i;
		atomic_init(&lanes[i].seed, i * 7919u + 1);
		snprintf(lanes[i].path, sizeof(lanes[i].path), "%s", make_file(i));
		atomic_flag_clear(&lanes[i].lock);
	}
	atomic_store(&lanes_open, LANES);
	for (unsigned i = 0; i < LANES; i++)
		lane_open(&lanes[i]);
}

static void tell_ledger(const char *who)
{
	unsigned long all_started = 0;
	unsigned long all_completed = 0;

	printf("%s on %s: %lu races, %lu handlers closed; started/completed/raced:", who,
			world_port(&world), atomic_load(&races), atomic_load(&closed_once));
	for (int kind = 0; kind < EVENT_KINDS; kind++) {
		if (!started[kind])
			continue;
		printf(" %s %lu/%lu/%lu", event_kind_text((enum event_kind)kind), started[kind],
				completed[kind], raced[kind]);
		all_started += started[kind];
		all_completed += completed[kind];
	}
	printf("; all %lu/%lu\n", all_started, all_completed);
	fflush(stdout);
}

/* Fails when nothing is completed for a long time. */
static void watch(void)
{
	static unsigned long last;
	static uint64_t last_ms;
	const unsigned long now = atomic_load(&races) + atomic_load(&closed_once);

	if (now != last || last_ms == 0) {
		last = now;
		last_ms = os_now_ms();
		return;
	}
	if (os_now_ms() - last_ms < world_limit_ms(60000))
		return;
	tell_ledger("stuck");
	ck_abort_msg("nothing happens any more, %u lanes are open", atomic_load(&lanes_open));
}

static bool is_over(void)
{
	if (atomic_load(&races) >= races_wanted)
		atomic_store(&is_ending, true);
	return atomic_load(&lanes_open) == 0;
}

static void outsider(void *context, unsigned number)
{
	uint32_t random = 2463534242u + number;

	(void)context;
	while (!is_over()) {
		disturb(&random);
		os_yield();
	}
}

static void run_loop(void *context, unsigned number)
{
	(void)context;
	(void)number;
	ASSERT_OK(pro_proactor_run_event_loop(world.proactor));
}

static void open_world(unsigned concurrency, unsigned percent)
{
	const char *wanted = getenv("PROACTOR_TEST_RACES");
	const unsigned long all = wanted ? strtoul(wanted, NULL, 10) : world_number(40000, 1000000);

	races_wanted = all * percent / 100;
	world_init(&world, "races");
	world.is_traced = false;
	world.options.concurrency = concurrency;
	world.options.works_max = 100000;
	world_open(&world);
	open_lanes();
}

static void close_world(const char *who)
{
	ASSERT_OK(pro_proactor_close_handle(world.proactor, table_file));
	tell_ledger(who);
	ck_assert_uint_ge(atomic_load(&races), races_wanted);
	for (int kind = 0; kind < EVENT_KINDS; kind++)
		ck_assert_uint_eq(started[kind], completed[kind]);
	world_fini(&world);
	free(lanes);
}

/* _i: two other threads take part. */
START_TEST(of_one_loop)
{
	uint32_t random = 1;
	struct crew outsiders;

	open_world(1, _i ? 30 : 40);
	if (_i)
		crew_start(&outsiders, OUTSIDERS, outsider, NULL);
	while (!is_over()) {
		const int count = pro_proactor_handle_events(world.proactor, 0);

		ASSERT_QUICK(count >= 0, "handle_events: %s", pro_error_name(count));
		disturb(&random);
		disturb(&random);
		watch();
	}
	if (_i)
		crew_join(&outsiders);
	close_world(_i ? "one loop and others" : "one loop");
}
END_TEST

START_TEST(of_many_threads)
{
	struct crew loops;
	uint32_t random = 1;

	open_world(4, 30);
	crew_start(&loops, 6, run_loop, NULL);
	while (!is_over()) {
		disturb(&random);
		watch();
		os_yield();
	}
	pro_proactor_end_event_loop(world.proactor);
	crew_join(&loops);
	pro_proactor_reset_event_loop(world.proactor);
	close_world("six threads");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("races");

	suite_add_case(suite, "one_loop", of_one_loop, 0, SECONDS_MAX);
	suite_add_case(suite, "one_loop_and_others", of_one_loop, 1, SECONDS_MAX);
	suite_add_case(suite, "many_threads", of_many_threads, 0, SECONDS_MAX);
	return suite_run(suite);
}
