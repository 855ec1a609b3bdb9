/* A proactor whose loop several threads run, and pairs of handlers that echo on it. */
#ifndef TESTS_SUPPORT_LOOPS_H
#define TESTS_SUPPORT_LOOPS_H

#include <semaphore.h>
#include <stdatomic.h>

#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/proactor.h>
#include <proactor/service_handler.h>

#include "crew.h"

extern struct pro_proactor *proactor;
extern struct crew loops;
extern atomic_long loop_threads[CREW_MAX]; /* 0: it does not run yet */
extern sem_t done;

/* One that several threads may run. */
struct pro_proactor *create_shared(unsigned concurrency);
void run_loop(void *shared, unsigned number);

/* Creates it, and `threads` threads that run its loop. */
void open_crew(unsigned concurrency, unsigned threads);
/* Closes everything; the loops return because of that, and nothing is left. */
void close_crew(void);

void wait_for(sem_t *semaphore);
/* Until somebody posts `done`; fails the test when that takes too long. */
void await_done(void);
/* Until each thread of the loops has nothing to do. */
void await_asleep(void);

void handle_close_nothing(struct pro_handler *handler);

/* ---- echoes ---- */

#define SIDES 20

struct side {
	struct pro_service_handler service; /* first */
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_message_block read_block;
	struct pro_message_block write_block;
	unsigned char bytes[64];
	bool starts; /* writes first */
};

extern struct side sides[SIDES];
extern sem_t side_closed;

struct side *side_from_handler(struct pro_handler *handler);
void side_open(struct pro_service_handler *service);
void side_read(struct side *side);
void side_handle_read(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result);
void side_handle_write(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result);

/* Echoes on the first 2 * `pairs` sides, which go on; the one that is the `wanted`th posts
 * `done`. */
void start_echoes(unsigned pairs, unsigned wanted);

#endif
