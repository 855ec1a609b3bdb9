/* The timing wheel.
 *
 * Read a time as digits of 6 bits. A timer stands at the level of the highest digit in which its
 * time differs from now_ms, in the slot of that digit's value; one that differs above the top level
 * is beyond. This holds at all times, because take_due never steps over an occupied slot without
 * spreading it. It follows that
 *  - every slot of level 1 and up lies ahead of now_ms, and slots[0][now_ms's digit] is free for
 * the timers that were due already when they were queued;
 *  - all timers of a lower level come before those of a higher one, and in a level the slots come
 *    in order: two look-ups in the bitmaps find what is next;
 *  - timers of equal times always stand in the same slot, so order among them is a matter of one
 *    list. Lists are newest first, and are turned when they are taken.
 * A timer moves down at most once per level. */
#include "timer_queue.h"

#include <assert.h>
#include <string.h>

#include "ports/bits.h"

#define DIGIT_BITS  6
#define DIGIT_MASK  ((uint64_t)PRO__TIMER_SLOTS - 1)
#define WHEEL_BITS  (DIGIT_BITS * PRO__TIMER_LEVELS)
#define MERGE_DEPTH 64 /* lists of 2^i timers: more than memory holds */

_Static_assert(PRO__TIMER_SLOTS == 1 << DIGIT_BITS, "a slot for each value of a digit");

void pro__timer_queue_init(struct pro_timer_queue *queue, uint64_t now_ms)
{
	memset(queue, 0, sizeof(*queue));
	queue->now_ms = now_ms;
}

static unsigned time_digit(uint64_t time_ms, unsigned level)
{
	return (unsigned)((time_ms >> (level * DIGIT_BITS)) & DIGIT_MASK);
}

/* ---- where a timer stands ---- */

/* A list and its bit of a bitmap, which is not there for the list beyond the wheel. */
struct place {
	struct pro_timer **list;
	uint64_t *occupied;
	uint64_t bit;
};

static struct place queue_slot(struct pro_timer_queue *queue, unsigned level, unsigned slot)
{
	return (struct place){&queue->slots[level][slot], &queue->occupied[level], UINT64_C(1) << slot};
}

static struct place queue_place(struct pro_timer_queue *queue, uint64_t expires_ms)
{
	uint64_t difference = expires_ms ^ queue->now_ms;
	unsigned level;

	if (expires_ms <= queue->now_ms)
		return queue_slot(queue, 0, time_digit(queue->now_ms, 0));
	if (difference >> WHEEL_BITS)
		return (struct place){.list = &queue->beyond};
	level = pro__highest_bit(difference) / DIGIT_BITS;
	return queue_slot(queue, level, time_digit(expires_ms, level));
}

static void queue_link(struct pro_timer_queue *queue, struct pro_timer *timer)
{
	struct place place = queue_place(queue, timer->expires_ms);

	timer->next = *place.list;
	timer->link = place.list;
	if (timer->next)
		timer->next->link = &timer->next;
	*place.list = timer;
	if (place.occupied)
		*place.occupied |= place.bit;
}

void pro__timer_queue_insert(
		struct pro_timer_queue *queue, struct pro_timer *timer, uint64_t expires_ms)
{
	assert(!timer->link);
	timer->expires_ms = expires_ms;
	queue_link(queue, timer);
	queue->count++;
}

bool pro__timer_queue_remove(struct pro_timer_queue *queue, struct pro_timer *timer)
{
	struct place place;

	if (!timer->link)
		return false;
	place = queue_place(queue, timer->expires_ms);
	*timer->link = timer->next;
	if (timer->next)
		timer->next->link = timer->link;
	timer->next = NULL;
	timer->link = NULL;
	queue->count--;
	if (!*place.list && place.occupied)
		*place.occupied &= ~place.bit;
	return true;
}

/* ---- what is next ---- */

/* The lowest occupied level; PRO__TIMER_LEVELS when the wheel is empty. */
static unsigned queue_level(const struct pro_timer_queue *queue)
{
	unsigned level = 0;

	while (level < PRO__TIMER_LEVELS && !queue->occupied[level])
		level++;
	return level;
}

/* When the first occupied slot of `level` begins, or the wheel's next turn. The digits above are
 * those of now_ms. */
static uint64_t queue_level_begin(const struct pro_timer_queue *queue, unsigned level)
{
	unsigned shift = level * DIGIT_BITS;
	uint64_t above;

	if (level == PRO__TIMER_LEVELS)
		return ((queue->now_ms >> WHEEL_BITS) + 1) << WHEEL_BITS;
	above = (queue->now_ms >> shift) & ~DIGIT_MASK;
	return (above | pro__lowest_bit(queue->occupied[level])) << shift;
}

uint64_t pro__timer_queue_next_ms(const struct pro_timer_queue *queue)
{
	uint64_t begin_ms;

	if (queue->count == 0)
		return UINT64_MAX;
	begin_ms = queue_level_begin(queue, queue_level(queue));
	/* Overdue timers stand in the slot of now_ms, but may be older than that. */
	return begin_ms == queue->now_ms ? 0 : begin_ms;
}

/* ---- taking what is due ---- */

/* Empties a slot (or the list beyond); the timers come oldest first and are not linked. */
static struct pro_timer *place_take(struct place place)
{
	struct pro_timer *timer = *place.list;
	struct pro_timer *turned = NULL;

	*place.list = NULL;
	if (place.occupied)
		*place.occupied &= ~place.bit;
	while (timer) {
		struct pro_timer *next = timer->next;

		timer->next = turned;
		timer->link = NULL;
		turned = timer;
		timer = next;
	}
	return turned;
}

static bool chain_is_sorted(const struct pro_timer *chain)
{
	for (; chain && chain->next; chain = chain->next) {
		if (chain->next->expires_ms < chain->expires_ms)
			return false;
	}
	return true;
}

/* Equal times: those of `older` first. */
static struct pro_timer *chain_merge(struct pro_timer *older, struct pro_timer *newer)
{
	struct pro_timer *chain = NULL;
	struct pro_timer **end = &chain;

	while (older && newer) {
		struct pro_timer **first = newer->expires_ms < older->expires_ms ? &newer : &older;

		*end = *first;
		end = &(*first)->next;
		*first = *end;
	}
	*end = older ? older : newer;
	return chain;
}

/* A stable merge sort; lists[i] is empty or has 2^i timers, all older than those of lists[i - 1].
 */
static struct pro_timer *chain_sort(struct pro_timer *chain)
{
	struct pro_timer *lists[MERGE_DEPTH] = {NULL};
	struct pro_timer *sorted = NULL;
	unsigned i;

	while (chain) {
		struct pro_timer *merged = chain;

		chain = chain->next;
		merged->next = NULL;
		for (i = 0; lists[i]; i++) {
			merged = chain_merge(lists[i], merged);
			lists[i] = NULL;
		}
		lists[i] = merged;
	}
	for (i = 0; i < MERGE_DEPTH; i++)
		sorted = chain_merge(lists[i], sorted);
	return sorted;
}

/* Takes the slot of now_ms to the end of a chain; returns the new end. Only timers that were
 * overdue when they were queued can be out of order. */
static struct pro_timer **queue_take_now(struct pro_timer_queue *queue, struct pro_timer **end)
{
	struct pro_timer *chain = place_take(queue_slot(queue, 0, time_digit(queue->now_ms, 0)));

	*end = chain_is_sorted(chain) ? chain : chain_sort(chain);
	for (; *end; end = &(*end)->next)
		queue->count--;
	return end;
}

/* Gives the timers of a slot that now_ms has just entered their places at lower levels. */
static void queue_spread(struct pro_timer_queue *queue, struct place place)
{
	struct pro_timer *chain = place_take(place);

	while (chain) {
		struct pro_timer *timer = chain;

		chain = chain->next;
		queue_link(queue, timer);
	}
}

struct pro_timer *pro__timer_queue_take_due(struct pro_timer_queue *queue, uint64_t now_ms)
{
	struct pro_timer *due = NULL;
	struct pro_timer **end = &due;

	if (now_ms < queue->now_ms)
		now_ms = queue->now_ms;
	while (queue->count > 0) {
		unsigned level = queue_level(queue);
		uint64_t begin_ms = queue_level_begin(queue, level);

		if (begin_ms > now_ms)
			break;
		queue->now_ms = begin_ms;
		if (level == 0)
			end = queue_take_now(queue, end);
		else if (level < PRO__TIMER_LEVELS)
			queue_spread(queue, queue_slot(queue, level, time_digit(begin_ms, level)));
		else
			queue_spread(queue, (struct place){.list = &queue->beyond});
	}
	queue->now_ms = now_ms;
	return due;
}
