/* Private: a queue of timers whose insert and cancel are O(1): a hierarchical timing wheel of 1 ms
 * ticks, after Varghese and Lauck (1987). Not thread-safe: the thread that leads the loop owns it.
 * Times are absolute, in milliseconds of a monotonic clock. No call allocates. ACE:
 * ACE_Timer_Wheel. */
#ifndef PROACTOR_TIMER_QUEUE_H
#define PROACTOR_TIMER_QUEUE_H

#include <proactor/operation.h>

#define PRO__TIMER_LEVELS 8
#define PRO__TIMER_SLOTS  64

struct pro_timer_queue {
	uint64_t now_ms;                      /* all that was due up to here has been taken out */
	size_t count;                         /* timers queued */
	uint64_t occupied[PRO__TIMER_LEVELS]; /* bit s: slot s of that level is not empty */
	struct pro_timer *slots[PRO__TIMER_LEVELS][PRO__TIMER_SLOTS];
	struct pro_timer *beyond; /* farther than the wheel reaches */
};

void pro__timer_queue_init(struct pro_timer_queue *queue, uint64_t now_ms);

/* Queues a timer that is not queued. One that is due already comes with the next take_due. */
void pro__timer_queue_insert(
		struct pro_timer_queue *queue, struct pro_timer *timer, uint64_t expires_ms);

/* Takes the timer out; false when it was not queued. */
bool pro__timer_queue_remove(struct pro_timer_queue *queue, struct pro_timer *timer);

/* When take_due must be called next: never later than the earliest timer, sometimes earlier (when
 * slots of a higher level must be spread); UINT64_MAX when the queue is empty. */
uint64_t pro__timer_queue_next_ms(const struct pro_timer_queue *queue);

/* Takes out all timers with expires_ms <= now_ms and returns them chained by next, earliest first,
 * equal times in the order of their insertion; their link is NULL. NULL when none is due. now_ms
 * going backwards is treated as standing still. */
struct pro_timer *pro__timer_queue_take_due(struct pro_timer_queue *queue, uint64_t now_ms);

#endif
