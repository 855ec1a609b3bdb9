/* A handler with every slot: it counts and logs its callbacks, checks the laws at each of them, and
 * hands them to the test. It carries one operation object of each class; a test may open more on
 * it. */
#ifndef TESTS_SUPPORT_RECORDER_H
#define TESTS_SUPPORT_RECORDER_H

#include <proactor/asynch_accept.h>
#include <proactor/asynch_connect.h>
#include <proactor/asynch_read_dgram.h>
#include <proactor/asynch_read_file.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_resolve.h>
#include <proactor/asynch_timer.h>
#include <proactor/asynch_transmit_file.h>
#include <proactor/asynch_work.h>
#include <proactor/asynch_write_dgram.h>
#include <proactor/asynch_write_file.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/service_handler.h>
#include <proactor/socket.h>

#include "world.h"

/* One callback. Pointers are valid during it. */
struct event {
	enum event_kind kind;
	int error;
	int os_error;
	size_t bytes;
	size_t bytes_requested;
	uint64_t bytes_sent; /* transmit_file */
	uint64_t offset;     /* files */
	const void *act;
	const void *completion_key;
	struct pro_operation *operation;
	struct pro_message_block *block;
	pro_handle handle;            /* accepted or connected */
	const struct pro_addr *local; /* accept */
	const struct pro_addr *remote;
	const struct pro_addr *found; /* resolve, with `found_count` */
	unsigned found_count;
	uint64_t expirations; /* timers */
	bool is_final;
	int returned; /* work */
};

#define RECORDER_HANDLES_MAX 16

struct recorder {
	struct pro_service_handler service; /* first */
	struct world *world;
	struct recorder *next;
	const char *name; /* in the trace */

	/* The test's part, called at the end of each callback; may be NULL. */
	void (*on_event)(struct recorder *recorder, const struct event *event);
	void *context;
	uint64_t number;
	bool keeps_blocks; /* borrowed and posted blocks are the test's, else released here */
	bool is_borrowing; /* recorder_read without a block is in flight */
	bool is_traced;
	bool is_shared; /* other threads may be inside a start that a close refuses */

	/* What came. */
	PRO_ATOMIC(unsigned) count[EVENT_KINDS]; /* callbacks */
	PRO_ATOMIC(unsigned) errors[EVENT_KINDS];
	PRO_ATOMIC(unsigned) cancels[EVENT_KINDS]; /* PRO_ECANCELED among them */
	PRO_ATOMIC(uint64_t) bytes[EVENT_KINDS];
	struct event last[EVENT_KINDS];
	pro_handle handles[RECORDER_HANDLES_MAX]; /* accepted and connected, not taken yet */
	unsigned handles_count;

	PRO_ATOMIC(bool) is_inside; /* a callback runs */
	PRO_ATOMIC(bool) is_closed; /* handle_close has run */
	PRO_ATOMIC(uint64_t) started[EVENT_KINDS];
	PRO_ATOMIC(uint64_t) completed[EVENT_KINDS];
	struct trace traces[EVENT_KINDS];
	uint64_t merged_bytes[EVENT_KINDS]; /* successful stream transfers not in the trace yet */

	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_read_file file_reader;
	struct pro_asynch_write_file file_writer;
	struct pro_asynch_read_dgram dgram_reader;
	struct pro_asynch_write_dgram dgram_writer;
	struct pro_asynch_accept accept;
	struct pro_asynch_connect connect;
	struct pro_asynch_transmit_file sender;
	struct pro_asynch_resolve resolver;
	struct pro_asynch_timer timer;
	struct pro_asynch_work work;
};

/* The class of every recorder. */
extern const struct pro_service_handler_vtbl recorder_vtbl;

/* A recorder of the world's proactor, freed by world_fini. `name` stands in the trace. */
struct recorder *recorder_create(struct world *world, const char *name);

/* The same on another proactor, which the test closes and destroys itself. */
struct recorder *recorder_create_on(
		struct world *world, struct pro_proactor *proactor, const char *name);

/* Gives the recorder a stream socket to own, and opens reader, writer and sender on it. */
void recorder_own_stream(struct recorder *recorder, pro_handle handle);
/* The same with a listening socket on `text`; the address it got. */
struct pro_addr recorder_listen(struct recorder *recorder, const char *text);
/* The same with a datagram socket. */
struct pro_addr recorder_own_dgram(struct recorder *recorder, const char *text);
/* Opens timer, connect, resolver and work, which need no handle. */
void recorder_open_free(struct recorder *recorder);
/* Opens file_reader and file_writer on `file`. */
void recorder_open_file(struct recorder *recorder, pro_handle file);

/* The oldest handle that was accepted or connected; it is the caller's then. */
pro_handle recorder_take_handle(struct recorder *recorder);

/* Two recorders that own a connected pair: a socket pair, or TCP over the loop. */
void recorder_pair(struct recorder *left, struct recorder *right);
void recorder_tcp_pair(struct recorder *client, struct recorder *server, const char *any);

/* Makes the send buffer of its socket so small that a peer who reads nothing stops it soon. */
void recorder_send_little(struct recorder *recorder);

static inline struct pro_handler *recorder_handler(struct recorder *recorder)
{
	return &recorder->service.handler;
}

struct recorder *recorder_from_handler(struct pro_handler *handler);

/* Every start goes through this one, so that the ledger knows of it and law 2 is checked:
 * STARTED(recorder, TIME_OUT, pro_asynch_timer_schedule(&recorder->timer, 10)). Its value is the
 * call's. */
#define STARTED(recorder, kind, call)                                                              \
	recorder_end_start(                                                                            \
			(recorder), EVENT_##kind, (recorder_begin_start((recorder), EVENT_##kind), (call)))

void recorder_begin_start(struct recorder *recorder, enum event_kind kind);
int recorder_end_start(struct recorder *recorder, enum event_kind kind, int result);

/* The usual ones. */
int recorder_read(struct recorder *recorder, struct pro_message_block *block, size_t bytes_max);
int recorder_write(struct recorder *recorder, struct pro_message_block *block);
int recorder_timer(struct recorder *recorder, int64_t delay_ms);
int recorder_post(struct recorder *recorder, struct pro_message_block *block, const void *act);
void recorder_close(struct recorder *recorder);

/* pro_operation_cancel, and a check that no callback ran inside it. */
int recorder_cancel(struct pro_operation *operation);

/* Callbacks of any kind so far. */
unsigned recorder_callbacks(const struct recorder *recorder);

#endif
