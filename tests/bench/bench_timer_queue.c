/* Nanoseconds per insert, cancel and expiry of a timer while a million others are pending, the
 * deadlines between 1 ms and 100 s. The median of the rounds. */
#include "../../proactor/timer_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PENDING  1000000u
#define ROUNDS   9
#define DELAY_MS 100000u

static uint64_t random_state = 88172645463325252u;

static uint64_t random_next(void)
{
	/* xorshift64 (Marsaglia). */
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *left, const void *right)
{
	double difference = *(const double *)left - *(const double *)right;

	return difference < 0 ? -1 : difference > 0;
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 2];
}

static void insert_all(struct pro_timer_queue *queue, struct pro_timer *timers, uint64_t now_ms)
{
	for (size_t i = 0; i < PENDING; i++)
		pro__timer_queue_insert(queue, &timers[i], now_ms + 1 + random_next() % DELAY_MS);
}

/* As a connection's deadline that is set anew with each message. */
static double rearm_all(struct pro_timer_queue *queue, struct pro_timer *timers, uint64_t now_ms)
{
	double begin_ns = now_ns();

	for (size_t i = 0; i < PENDING; i++) {
		pro__timer_queue_remove(queue, &timers[i]);
		pro__timer_queue_insert(queue, &timers[i], now_ms + 1 + random_next() % DELAY_MS);
	}
	return (now_ns() - begin_ns) / PENDING;
}

/* Millisecond by millisecond, as a busy loop would. */
static double expire_all(struct pro_timer_queue *queue, uint64_t *now_ms)
{
	double begin_ns = now_ns();
	size_t expired = 0;

	for (uint64_t end_ms = *now_ms + DELAY_MS; *now_ms < end_ms;) {
		struct pro_timer *due = pro__timer_queue_take_due(queue, ++*now_ms);

		for (; due; due = due->next)
			expired++;
	}
	if (expired != PENDING)
		abort();
	return (now_ns() - begin_ns) / PENDING;
}

int main(void)
{
	struct pro_timer *timers = calloc(PENDING, sizeof(*timers));
	struct pro_timer_queue *queue = malloc(sizeof(*queue));
	double insert_ns[ROUNDS], rearm_ns[ROUNDS], expire_ns[ROUNDS];
	uint64_t now_ms = 1000000;

	if (!timers || !queue)
		return EXIT_FAILURE;
	pro__timer_queue_init(queue, now_ms);
	for (unsigned round = 0; round < ROUNDS; round++) {
		double begin_ns = now_ns();

		insert_all(queue, timers, now_ms);
		insert_ns[round] = (now_ns() - begin_ns) / PENDING;
		rearm_ns[round] = rearm_all(queue, timers, now_ms);
		expire_ns[round] = expire_all(queue, &now_ms);
	}
	printf("timers pending: %u\n", PENDING);
	printf("insert: %.1f ns\n", median(insert_ns));
	printf("cancel and insert: %.1f ns\n", median(rearm_ns));
	printf("expire: %.1f ns\n", median(expire_ns));
	free(queue);
	free(timers);
	return EXIT_SUCCESS;
}
