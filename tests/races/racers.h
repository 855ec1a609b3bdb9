/* Racers, their flights and their lanes: see test_races.c. */
#ifndef TESTS_RACES_RACERS_H
#define TESTS_RACES_RACERS_H

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

#include "../support/world.h"
#include "wire.h"

#define FLIGHT_BYTES 4096u
#define FLIGHTS_MAX  10
#define RACERS_MAX   12
#define LANES        16
#define CLIENTS      4u
#define HELLO_BYTES  8u

struct racer;
struct lane;
struct flight;

/* What a cancel aims at. */
struct aim {
	struct pro_operation *operation; /* NULL: it can not be cancelled, as posts */
	atomic_uint cancels_begun;
	atomic_uint cancels_ended;
	int64_t timeout_ms;
};

struct flight {
	struct racer *racer;
	enum event_kind kind;
	struct aim *aim;
	struct aim own;
	atomic_bool is_flying;
	atomic_ulong started;
	atomic_ulong completed;
	unsigned cancels_before;  /* that had ended when it began */
	unsigned failures_before; /* the same of messages of the stream */
	int64_t timeout_ms;
	atomic_bool is_started; /* its start returned */
	atomic_bool is_cancel_sure;
	bool is_repeating;
	bool borrows;
	uint32_t number; /* of its message */
	size_t length;
	uint64_t offset;
	atomic_uint ran;
	struct pro_message_block block;
	struct pro_message_block trailer;
	union {
		struct pro_asynch_read_stream reader;
		struct pro_asynch_transmit_file sender;
		struct pro_asynch_accept accept;
		struct pro_asynch_connect connect;
		struct pro_asynch_read_dgram dgram_reader;
		struct pro_asynch_write_dgram dgram_writer;
		struct pro_asynch_read_file file_reader;
		struct pro_asynch_write_file file_writer;
		struct pro_asynch_timer timer;
		struct pro_asynch_work work;
		struct pro_asynch_resolve resolver;
	} as;
	unsigned char bytes[FLIGHT_BYTES];
};

enum phase { PHASE_RUN, PHASE_DRAIN };

struct racer {
	struct pro_service_handler service; /* first */
	struct lane *lane;
	unsigned side;
	bool is_alive; /* the lane's lock guards it */
	bool is_taken; /* so it does this: a guest that comes */
	uint32_t random;
	unsigned patience; /* callbacks until it comes to its end */
	atomic_bool is_inside;
	bool is_closed;
	atomic_uint closes_begun;
	atomic_uint closes_ended;
	atomic_uint phase;
	struct flight flights[FLIGHTS_MAX];
	unsigned flights_count;

	/* Of those with a stream. */
	atomic_bool has_stream;
	atomic_bool may_write;
	atomic_bool is_end_read;
	atomic_uint failures; /* of messages: what is queued behind one is cancelled */
	atomic_int output;    /* messages in flight; -1: a transmission is */
	bool is_shut;
	struct record *record; /* NULL: not known yet */
	struct pro_asynch_write_stream writer;
	struct aim writer_aim;
	size_t greeted; /* bytes of the hello that came */
	uint64_t hello;

	/* Of files. */
	unsigned char shadow[2][FLIGHT_BYTES];
};

#define DATAGRAMS_MAX 600u
#define DATAGRAMS_GAP 16u

/* What one socket sent to the other: the numbers of the datagrams, 0 for an empty one. */
struct datagrams {
	uint32_t sent[DATAGRAMS_MAX];
	uint32_t received[DATAGRAMS_MAX];
	atomic_uint offered;
	atomic_uint sent_count;
	atomic_uint received_count;
};

enum lane_kind { LANE_PAIR, LANE_PIPE, LANE_LISTEN, LANE_DGRAM, LANE_FILE, LANE_FREE };

struct lane {
	enum lane_kind kind;
	unsigned number;
	unsigned generation;
	atomic_uint seed;
	atomic_flag lock;
	unsigned alive; /* racers; the lock guards it */
	bool is_listening;
	char path[256]; /* of its file */
	struct pro_addr addr;
	struct pro_addr addrs[2];
	struct datagrams datagrams[2];
	struct record *records[CLIENTS]; /* of clients, where guests find them; the lock guards them */
	struct racer racers[RACERS_MAX];
};

/* ---- the ledger ---- */

extern atomic_ulong started[EVENT_KINDS];
extern atomic_ulong completed[EVENT_KINDS];
extern atomic_ulong raced[EVENT_KINDS];
extern atomic_ulong races;
extern atomic_ulong closed_once;
extern atomic_bool is_ending;
extern struct world world;
extern struct lane *lanes;
extern atomic_uint lanes_open;
extern pro_handle table_file;
extern atomic_ulong ids; /* of connections */

/* No callback may come inside a call of the library. */
extern _Thread_local unsigned calls;
#define CALL(call) end_call((calls++, (call)))
int end_call(int error);

unsigned pick(uint32_t *random, unsigned bound);
bool chance(uint32_t *random, unsigned bound);

/* ---- flights.c ---- */

void lane_lock(struct lane *lane);
void lane_unlock(struct lane *lane);
struct pro_handler *handler_of(struct racer *racer);
struct wire *wire_out(struct racer *racer);
struct wire *wire_in(struct racer *racer);
/* [any thread] */
void racer_close(struct racer *racer);
/* The same in the midst of everything: what is in flight is lost. By the racer's own callback, or
 * with the lane's lock. */
void racer_break(struct racer *racer);
/* The same by one who has enough; the peer may get a reset. [callback] */
void racer_give_up(struct racer *racer);
bool kind_needs_stream(enum event_kind kind);
void flight_cancel(struct flight *flight, bool in_callback);
void output_give_back(struct racer *racer);
bool message_offer(struct flight *flight, size_t length);
/* Each of the two writers of a file has a part of it behind the table. */
unsigned flight_region(const struct flight *flight);
bool flight_start(struct flight *flight, uint32_t *random, bool in_callback);
/* What the world does to a flight, beside cancels and deadlines. */
bool error_is_expected(const struct flight *flight, int error);
/* The last of a callback about a flight: from now on anybody may start it again. */
void flight_ended(struct flight *flight, int error);
/* The first and the last of each callback. */
struct racer *racer_enter(struct pro_handler *handler);
void racer_leave(struct racer *racer);
/* Its callback may come only while it is in flight. */
struct flight *flight_of(const struct pro_operation *operation);

/* ---- callbacks.c ---- */

extern const struct pro_service_handler_vtbl racer_vtbl;

void stream_drain(struct racer *racer);
void dgram_drain(struct racer *racer);
void check_datagrams(const struct datagrams *datagrams);
void check_file(struct lane *lane);

/* ---- lives.c ---- */

void lane_open(struct lane *lane);
void guest_open(struct lane *lane, pro_handle handle);
void client_connected(struct racer *racer, pro_handle handle);
void racer_open(struct pro_service_handler *service);
void racer_handle_close(struct pro_handler *handler);

/* ---- test_races.c ---- */

/* What a racer does at the end of each callback. */
void racer_act(struct racer *racer);

#endif
