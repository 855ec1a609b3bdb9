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

#include "support/crew.h"
#include "support/os.h"
#include "support/quick_assert.h"
#include "support/suite.h"
#include "support/world.h"

#define FLIGHT_BYTES 4096u
#define FLIGHTS_MAX  10
#define RACERS_MAX   12
#define LANES        16
#define OUTSIDERS    2
#define CLIENTS      4u
#define SECONDS_MAX  1700

/* Of one direction of a stream, in one life. */
#define WIRE_BYTES    49152u
#define WIRE_MESSAGES 400u
#define TABLE_BYTES   16384u
#define HELLO_BYTES   8u

struct racer;
struct lane;
struct flight;

/* ---- the ledger ---- */

static atomic_ulong started[EVENT_KINDS];
static atomic_ulong completed[EVENT_KINDS];
static atomic_ulong raced[EVENT_KINDS];
static atomic_ulong races;
static atomic_ulong closed_once;
static unsigned long races_wanted;
static atomic_bool is_ending;
static struct world world;
static unsigned char table[2 * TABLE_BYTES];

/* No callback may come inside a call of the library. */
static _Thread_local unsigned calls;
#define CALL(call) end_call((calls++, (call)))

static int end_call(int error)
{
	calls--;
	return error;
}

static unsigned pick(uint32_t *random, unsigned bound)
{
	*random ^= *random << 13;
	*random ^= *random >> 17;
	*random ^= *random << 5;
	return (*random >> 8) % bound;
}

static bool chance(uint32_t *random, unsigned bound)
{
	return pick(random, bound) == 0;
}

/* ---- what goes over a stream ---- */

enum message_kind { MESSAGE_HELLO, MESSAGE_BYTES, MESSAGE_FILE };

struct message {
	enum message_kind kind;
	uint32_t number;
	size_t sent;
};

/* One direction of a connection: what its sender's callbacks tell, in their order, and the bytes
 * that its receiver got. */
struct wire {
	struct message messages[WIRE_MESSAGES];
	unsigned count;
	atomic_uint offered_messages;
	atomic_size_t offered_bytes;
	bool is_whole; /* its end was sent behind the last byte */
	bool is_read;  /* its end was seen, and nobody had broken it */
	size_t received;
	unsigned char bytes[WIRE_BYTES];
};

/* A connection. */
struct record {
	uint64_t id;
	atomic_uint references;
	atomic_bool is_broken; /* a side was closed before it had read to the end */
	atomic_bool was_greeted;
	struct wire wires[2]; /* what side 0 sends, what side 1 sends */
};

/* The parts of a transmission follow from its number. */
struct parts {
	size_t header;
	size_t file;
	size_t trailer;
	uint64_t offset;
};

static struct parts parts_of(uint32_t number)
{
	struct parts parts = {
			.header = number % 3 ? number % 90 + 1 : 0,
			.file = number % 5 ? number * 37 % 7000 + 1 : 0,
			.trailer = number % 4 ? number % 50 + 1 : 0,
			.offset = number * 101 % (TABLE_BYTES - 7001),
	};

	return parts;
}

/* What the bytes of a message are: a piece of the table. */
static const unsigned char *message_bytes(uint32_t number)
{
	return table + number * 61 % TABLE_BYTES;
}

static size_t compare_part(const unsigned char *bytes, size_t left, const unsigned char *expected,
		size_t length, uint32_t number)
{
	const size_t part = left < length ? left : length;

	ASSERT_QUICK(memcmp(bytes, expected, part) == 0, "message %u came with other bytes", number);
	return part;
}

/* Compares what came of a message with what was sent of it; returns how much. */
static size_t compare_message(const struct record *record, const struct message *message,
		const unsigned char *bytes, size_t left)
{
	const unsigned char *expected = message_bytes(message->number);
	const struct parts parts = parts_of(message->number);
	size_t done;

	if (left > message->sent)
		left = message->sent;
	switch (message->kind) {
	case MESSAGE_HELLO:
		return compare_part(bytes, left, (const unsigned char *)&record->id, left, 0);
	case MESSAGE_BYTES:
		return compare_part(bytes, left, expected, left, message->number);
	case MESSAGE_FILE:
		done = compare_part(bytes, left, expected, parts.header, message->number);
		done += compare_part(
				bytes + done, left - done, table + parts.offset, parts.file, message->number);
		return done +
			   compare_part(bytes + done, left - done, expected, parts.trailer, message->number);
	}
	return 0;
}

static void check_wire(const struct record *record, const struct wire *wire)
{
	size_t compared = 0;

	for (unsigned i = 0; i < wire->count; i++)
		compared += compare_message(
				record, &wire->messages[i], wire->bytes + compared, wire->received - compared);
	ASSERT_QUICK(compared == wire->received, "%lu bytes came, of %lu that were sent",
			(unsigned long)wire->received, (unsigned long)compared);
	if (!wire->is_whole || !wire->is_read)
		return;
	for (unsigned i = 0; i < wire->count; i++)
		compared -= wire->messages[i].sent;
	ASSERT_QUICK(
			compared == 0, "%lu bytes were lost before the end", (unsigned long)(0 - compared));
}

static struct record *record_create(uint64_t id, unsigned references)
{
	struct record *record = malloc(sizeof(*record));

	ck_assert_ptr_nonnull(record);
	record->id = id;
	atomic_init(&record->references, references);
	atomic_init(&record->is_broken, false);
	atomic_init(&record->was_greeted, false);
	for (unsigned i = 0; i < 2; i++) {
		struct wire *wire = &record->wires[i];

		wire->count = 0;
		wire->received = 0;
		wire->is_whole = false;
		wire->is_read = false;
		atomic_init(&wire->offered_messages, 0);
		atomic_init(&wire->offered_bytes, 0);
	}
	return record;
}

static void record_release(struct record *record)
{
	if (!record || atomic_fetch_sub(&record->references, 1) > 1)
		return;
	check_wire(record, &record->wires[0]);
	check_wire(record, &record->wires[1]);
	free(record);
}

/* ---- flights ---- */

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

static struct lane *lanes;
static atomic_uint lanes_open;
static pro_handle table_file;
static atomic_ulong ids; /* of connections */

static void lane_open(struct lane *lane);
static void client_open(struct racer *racer);
static void racer_act(struct racer *racer);
static bool flight_start(struct flight *flight, uint32_t *random, bool in_callback);

static void lane_lock(struct lane *lane)
{
	while (atomic_flag_test_and_set_explicit(&lane->lock, memory_order_acquire))
		os_yield();
}

static void lane_unlock(struct lane *lane)
{
	atomic_flag_clear_explicit(&lane->lock, memory_order_release);
}

static struct racer *racer_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct racer, service.handler);
}

static struct pro_handler *handler_of(struct racer *racer)
{
	return &racer->service.handler;
}

static struct wire *wire_out(struct racer *racer)
{
	return &racer->record->wires[racer->side];
}

static struct wire *wire_in(struct racer *racer)
{
	return &racer->record->wires[racer->side ^ 1];
}

/* Any thread. */
static void racer_close(struct racer *racer)
{
	atomic_fetch_add(&racer->closes_begun, 1);
	calls++;
	pro_handler_close(handler_of(racer));
	calls--;
	atomic_fetch_add(&racer->closes_ended, 1);
}

/* In the midst of everything: what is in flight is lost. By the racer's own callback, or with the
 * lane's lock. */
static void racer_break(struct racer *racer)
{
	if (racer->record)
		atomic_store(&racer->record->is_broken, true);
	racer_close(racer);
}

/* As one who has enough; the peer may get a reset. [callback] */
static void racer_give_up(struct racer *racer)
{
	struct lane *lane = racer->lane;

	/* The lock keeps others from closing it meanwhile: the number might be another's then. */
	lane_lock(lane);
	if (atomic_load(&racer->has_stream) && lane->kind != LANE_PIPE && !racer->closes_begun &&
			chance(&racer->random, 3))
		pro_socket_set_option(
				world.proactor, pro_handler_handle(handler_of(racer)), PRO_SOCKET_LINGER_RESET, 1);
	lane_unlock(lane);
	racer_break(racer);
}

static bool kind_needs_stream(enum event_kind kind)
{
	return kind == EVENT_READ_STREAM || kind == EVENT_TRANSMIT_FILE || kind == EVENT_WRITE_STREAM;
}

static void flight_cancel(struct flight *flight, bool in_callback)
{
	struct aim *aim = flight->aim;
	const bool is_started = atomic_load(&flight->is_started);
	int error;

	if (!aim->operation ||
			(kind_needs_stream(flight->kind) && !atomic_load(&flight->racer->has_stream)))
		return;
	atomic_fetch_add(&aim->cancels_begun, 1);
	error = CALL(pro_operation_cancel(aim->operation));
	atomic_fetch_add(&aim->cancels_ended, 1);
	ASSERT_QUICK(error == 0 || error == PRO_ENOTFOUND, "a cancel gave %s", pro_error_name(error));
	if (in_callback && is_started && error == 0 && flight->kind == EVENT_TIME_OUT)
		atomic_store(&flight->is_cancel_sure, true);
}

/* ---- starts ---- */

static bool output_take(struct racer *racer, enum event_kind kind)
{
	int output = atomic_load(&racer->output);

	do {
		if (output < 0 || (kind == EVENT_TRANSMIT_FILE && output > 0))
			return false;
	} while (!atomic_compare_exchange_weak(
			&racer->output, &output, kind == EVENT_TRANSMIT_FILE ? -1 : output + 1));
	return true;
}

static void output_give_back(struct racer *racer)
{
	if (atomic_load(&racer->output) < 0)
		atomic_store(&racer->output, 0);
	else
		atomic_fetch_sub(&racer->output, 1);
}

/* A number for the next message, of `length` bytes at most; false when the wire has had enough. */
static bool message_offer(struct flight *flight, size_t length)
{
	struct wire *wire = wire_out(flight->racer);

	if (atomic_load(&wire->offered_bytes) + length + 5 * FLIGHT_BYTES > WIRE_BYTES ||
			atomic_load(&wire->offered_messages) + 8 > WIRE_MESSAGES)
		return false;
	atomic_fetch_add(&wire->offered_bytes, length);
	flight->number = atomic_fetch_add(&wire->offered_messages, 1);
	flight->length = length;
	return true;
}

static int launch_read(struct flight *flight, uint32_t *random)
{
	struct pro_asynch_read_stream *reader = &flight->as.reader;
	const unsigned way = pick(random, 8);

	flight->borrows = way == 0;
	flight->trailer.cont = NULL;
	pro_message_block_init(&flight->block, flight->bytes, 1 + pick(random, 600));
	if (way == 0)
		return pro_asynch_read_stream_read(reader, NULL, 0);
	if (way == 1)
		return pro_asynch_read_stream_read_exactly(reader, &flight->block, flight->block.size);
	if (way > 2)
		return pro_asynch_read_stream_read(reader, &flight->block, 0);
	pro_message_block_init(&flight->trailer, flight->bytes + FLIGHT_BYTES / 2, 300);
	flight->block.cont = &flight->trailer;
	return pro_asynch_read_stream_readv(reader, &flight->block, 0);
}

static int launch_write(struct flight *flight, uint32_t *random)
{
	struct pro_asynch_write_stream *writer = &flight->racer->writer;
	const unsigned char *bytes = message_bytes(flight->number);
	const size_t first = 1 + pick(random, (unsigned)flight->length);

	if (first == flight->length || chance(random, 2)) {
		pro_message_block_init_filled(&flight->block, bytes, flight->length);
		return pro_asynch_write_stream_write(writer, &flight->block);
	}
	pro_message_block_init_filled(&flight->block, bytes, first);
	pro_message_block_init_filled(&flight->trailer, bytes + first, flight->length - first);
	flight->block.cont = &flight->trailer;
	return pro_asynch_write_stream_writev(writer, &flight->block);
}

static int launch_transmit(struct flight *flight)
{
	const unsigned char *bytes = message_bytes(flight->number);
	const struct parts parts = parts_of(flight->number);

	pro_message_block_init_filled(&flight->block, bytes, parts.header);
	pro_message_block_init_filled(&flight->trailer, bytes, parts.trailer);
	return pro_asynch_transmit_file_transmit_file(&flight->as.sender,
			parts.file ? table_file : PRO_INVALID_HANDLE, parts.offset, parts.file,
			parts.header ? &flight->block : NULL, parts.trailer ? &flight->trailer : NULL);
}

static int launch_dgram(struct flight *flight, uint32_t *random)
{
	struct racer *racer = flight->racer;

	if (flight->kind == EVENT_READ_DGRAM) {
		pro_message_block_init(&flight->block, flight->bytes, 64);
		return pro_asynch_read_dgram_recv(&flight->as.dgram_reader, &flight->block);
	}
	flight->length = chance(random, 8) ? 0 : sizeof(flight->number) + pick(random, 40);
	memcpy(flight->bytes, &flight->number, sizeof(flight->number));
	pro_message_block_init_filled(&flight->block, flight->bytes, flight->length);
	return pro_asynch_write_dgram_send(
			&flight->as.dgram_writer, &flight->block, &racer->lane->addrs[racer->side ^ 1]);
}

/* Each of the two writers of a file has a part of it behind the table. */
static unsigned flight_region(const struct flight *flight)
{
	return (unsigned)(flight - flight->racer->flights) % 2;
}

static int launch_file(struct flight *flight, uint32_t *random)
{
	flight->offset = pick(random, 3000);
	flight->length = 1 + pick(random, 1000);
	if (flight->kind == EVENT_READ_FILE) {
		pro_message_block_init(&flight->block, flight->bytes, flight->length);
		return pro_asynch_read_file_read(
				&flight->as.file_reader, &flight->block, 0, flight->offset);
	}
	flight->number = pick(random, TABLE_BYTES);
	pro_message_block_init_filled(&flight->block, table + flight->number, flight->length);
	return pro_asynch_write_file_write(&flight->as.file_writer, &flight->block,
			TABLE_BYTES + flight_region(flight) * FLIGHT_BYTES + flight->offset);
}

static int launch_timer(struct flight *flight, uint32_t *random)
{
	flight->is_repeating = chance(random, 8);
	if (flight->is_repeating)
		return pro_asynch_timer_schedule_repeating(&flight->as.timer, pick(random, 2), 1);
	return pro_asynch_timer_schedule(&flight->as.timer, pick(random, 3));
}

static int run_function(void *argument)
{
	struct flight *flight = argument;

	return (int)atomic_fetch_add(&flight->ran, 1) + 1;
}

static int flight_launch(struct flight *flight, uint32_t *random)
{
	switch (flight->kind) {
	case EVENT_READ_STREAM:
		return launch_read(flight, random);
	case EVENT_WRITE_STREAM:
		return launch_write(flight, random);
	case EVENT_TRANSMIT_FILE:
		return launch_transmit(flight);
	case EVENT_READ_DGRAM:
	case EVENT_WRITE_DGRAM:
		return launch_dgram(flight, random);
	case EVENT_READ_FILE:
	case EVENT_WRITE_FILE:
		return launch_file(flight, random);
	case EVENT_ACCEPT:
		return pro_asynch_accept_accept(&flight->as.accept);
	case EVENT_CONNECT:
		return pro_asynch_connect_connect(&flight->as.connect, &flight->racer->lane->addr, NULL);
	case EVENT_TIME_OUT:
		return launch_timer(flight, random);
	case EVENT_WORK:
		atomic_store(&flight->ran, 0);
		return pro_asynch_work_run(&flight->as.work, run_function, flight);
	case EVENT_RESOLVE:
		return pro_asynch_resolve_resolve(&flight->as.resolver, "127.0.0.1:7");
	case EVENT_POST:
		pro_message_block_init(&flight->block, NULL, 0);
		return pro_handler_post(handler_of(flight->racer), &flight->block, flight);
	case EVENT_WAKEUP:
	case EVENT_OPEN:
	case EVENT_CLOSE:
	case EVENT_KINDS:
		break;
	}
	return PRO_EINVAL;
}

/* What a start needs beside the flight: the sender's turn, a number, room. */
static bool flight_prepare(struct flight *flight, uint32_t *random)
{
	struct racer *racer = flight->racer;
	struct datagrams *datagrams = &racer->lane->datagrams[racer->side & 1];
	const bool is_running = atomic_load(&racer->phase) == PHASE_RUN;
	uint32_t length;

	switch (flight->kind) {
	case EVENT_READ_STREAM:
		return atomic_load(&racer->has_stream) &&
			   (!atomic_load(&racer->is_end_read) || chance(random, 4));
	case EVENT_WRITE_STREAM:
		if (!is_running || !atomic_load(&racer->may_write) || !output_take(racer, flight->kind))
			return false;
		length = chance(random, 8) ? 1 + pick(random, 9000) : 1 + pick(random, 200);
		if (message_offer(flight, length))
			return true;
		output_give_back(racer);
		return false;
	case EVENT_TRANSMIT_FILE:
		if (!is_running || !atomic_load(&racer->may_write) || !output_take(racer, flight->kind))
			return false;
		if (message_offer(flight, 8000))
			return true;
		output_give_back(racer);
		return false;
	case EVENT_WRITE_DGRAM:
		if (!is_running || atomic_load(&datagrams->offered) == DATAGRAMS_MAX ||
				atomic_load(&datagrams->sent_count) >=
						atomic_load(&datagrams->received_count) + DATAGRAMS_GAP)
			return false;
		flight->number = atomic_fetch_add(&datagrams->offered, 1) + 1;
		return true;
	case EVENT_CONNECT:
		return is_running && !atomic_load(&racer->has_stream);
	case EVENT_RESOLVE:
		return is_running && chance(random, 8);
	default:
		return is_running || flight->kind == EVENT_READ_DGRAM;
	}
}

static void flight_refused(struct flight *flight, int error)
{
	const bool is_closing = atomic_load(&flight->racer->closes_begun) > 0;

	if (flight->kind == EVENT_WRITE_STREAM || flight->kind == EVENT_TRANSMIT_FILE)
		output_give_back(flight->racer);
	atomic_store(&flight->is_flying, false);
	if (error == PRO_ECLOSED && is_closing)
		return;
	/* It is shutting its stream down meanwhile. */
	ASSERT_QUICK(error == PRO_EPIPE && flight->kind == EVENT_WRITE_STREAM &&
						 atomic_load(&flight->racer->phase) == PHASE_DRAIN,
			"a start of %s was refused: %s", event_kind_text(flight->kind), pro_error_name(error));
}

static bool flight_start(struct flight *flight, uint32_t *random, bool in_callback)
{
	struct racer *racer = flight->racer;
	bool is_flying = false;
	bool was_closed;
	int error;

	if (!atomic_compare_exchange_strong(&flight->is_flying, &is_flying, true))
		return false;
	if (!flight_prepare(flight, random)) {
		atomic_store(&flight->is_flying, false);
		return false;
	}
	flight->cancels_before = atomic_load(&flight->aim->cancels_ended);
	flight->failures_before = atomic_load(&racer->failures);
	if (in_callback && flight->aim == &flight->own && flight->kind != EVENT_POST &&
			flight->kind != EVENT_TIME_OUT && chance(random, 4)) {
		flight->own.timeout_ms = chance(random, 3) ? pick(random, 3) : PRO_NO_TIMEOUT;
		pro_operation_set_timeout(flight->own.operation, flight->own.timeout_ms);
	}
	flight->timeout_ms = flight->aim->timeout_ms;
	atomic_store(&flight->is_started, false);
	atomic_store(&flight->is_cancel_sure, false);
	was_closed = atomic_load(&racer->closes_ended) > 0;
	/* It may be over before the start returns. */
	atomic_fetch_add(&flight->started, 1);
	atomic_fetch_add_explicit(&started[flight->kind], 1, memory_order_relaxed);
	error = CALL(flight_launch(flight, random));
	if (!error) {
		atomic_store(&flight->is_started, true);
		ASSERT_QUICK(!was_closed, "%s started after the close", event_kind_text(flight->kind));
		return true;
	}
	atomic_fetch_sub(&flight->started, 1);
	atomic_fetch_sub_explicit(&started[flight->kind], 1, memory_order_relaxed);
	flight_refused(flight, error);
	return false;
}

/* ---- completions ---- */

static bool flight_was_cancelled(const struct flight *flight)
{
	return atomic_load(&flight->aim->cancels_begun) != flight->cancels_before ||
		   atomic_load(&flight->racer->closes_begun) > 0;
}

/* What the world does to a flight, beside cancels and deadlines. */
static bool error_is_expected(const struct flight *flight, int error)
{
	switch (flight->kind) {
	case EVENT_READ_STREAM:
		return error == PRO_EOF || error == PRO_ECONNRESET || error == PRO_EPIPE;
	case EVENT_WRITE_STREAM:
	case EVENT_TRANSMIT_FILE:
		return error == PRO_EPIPE || error == PRO_ECONNRESET;
	case EVENT_CONNECT:
		return error == PRO_ECONNREFUSED || error == PRO_ECONNRESET || error == PRO_EAGAIN ||
			   error == PRO_ENOENT;
	case EVENT_ACCEPT:
		return error == PRO_ECONNABORTED || error == PRO_ECONNRESET;
	case EVENT_READ_DGRAM:
		/* Windows tells of a datagram that nobody took. */
		return error == PRO_ECONNRESET;
	default:
		return false;
	}
}

/* The last of a callback about a flight: from now on anybody may start it again. */
static void flight_ended(struct flight *flight, int error)
{
	const bool stands_behind_a_failure =
			flight->kind == EVENT_WRITE_STREAM &&
			atomic_load(&flight->racer->failures) != flight->failures_before + 1;
	const bool was_cancelled = flight_was_cancelled(flight);

	if (error == PRO_ECANCELED)
		ASSERT_QUICK(was_cancelled || stands_behind_a_failure, "%s: nobody cancelled it",
				event_kind_text(flight->kind));
	else if (error == PRO_ETIMEDOUT)
		ASSERT_QUICK(
				flight->timeout_ms >= 0, "%s: it had no deadline", event_kind_text(flight->kind));
	else if (error)
		ASSERT_QUICK(error_is_expected(flight, error), "%s: %s", event_kind_text(flight->kind),
				pro_error_name(error));
	ASSERT_QUICK(!atomic_load(&flight->is_cancel_sure) || error == PRO_ECANCELED,
			"a timer expired that was cancelled");
	if (was_cancelled || flight->timeout_ms >= 0) {
		atomic_fetch_add_explicit(&raced[flight->kind], 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&races, 1, memory_order_relaxed);
	}
	atomic_fetch_add(&flight->completed, 1);
	atomic_fetch_add_explicit(&completed[flight->kind], 1, memory_order_relaxed);
	if (flight->kind == EVENT_WRITE_STREAM || flight->kind == EVENT_TRANSMIT_FILE)
		output_give_back(flight->racer);
	ASSERT_QUICK(atomic_exchange(&flight->is_flying, false), "%s completed twice",
			event_kind_text(flight->kind));
}

static struct racer *racer_enter(struct pro_handler *handler)
{
	struct racer *racer = racer_from_handler(handler);

	ASSERT_QUICK(calls == 0, "a callback inside a call");
	ASSERT_QUICK(!atomic_exchange(&racer->is_inside, true), "two callbacks of a handler at once");
	ASSERT_QUICK(!racer->is_closed, "a callback after handle_close");
	return racer;
}

static void racer_leave(struct racer *racer)
{
	racer_act(racer);
	atomic_store(&racer->is_inside, false);
}

/* Its callback may come only while it is in flight. */
static struct flight *flight_of(const struct pro_operation *operation)
{
	struct flight *flight = pro_container_of(operation, struct flight, as);

	ASSERT_QUICK(
			atomic_load(&flight->is_flying), "%s completed twice", event_kind_text(flight->kind));
	return flight;
}

/* ---- streams ---- */

static void wire_receive(struct racer *racer, const unsigned char *bytes, size_t length)
{
	struct wire *wire = wire_in(racer);

	ASSERT_QUICK(wire->received + length <= WIRE_BYTES, "more bytes came than were sent");
	memcpy(wire->bytes + wire->received, bytes, length);
	wire->received += length;
}

/* A guest knows who came by the first bytes: then it has the client's record. */
static void guest_receive(struct racer *racer, const unsigned char *bytes, size_t length)
{
	struct lane *lane = racer->lane;
	size_t part = HELLO_BYTES - racer->greeted;

	if (part > length)
		part = length;
	memcpy((unsigned char *)&racer->hello + racer->greeted, bytes, part);
	racer->greeted += part;
	if (racer->greeted < HELLO_BYTES)
		return;
	ASSERT_QUICK(racer->hello > 0 && racer->hello <= atomic_load(&ids), "a strange greeting");
	lane_lock(lane);
	for (unsigned i = 0; i < CLIENTS && !racer->record; i++)
		if (lane->records[i] && lane->records[i]->id == racer->hello)
			racer->record = lane->records[i];
	if (racer->record)
		atomic_fetch_add(&racer->record->references, 1);
	lane_unlock(lane);
	if (!racer->record) {
		/* The client is closed already. */
		racer_give_up(racer);
		return;
	}
	ASSERT_QUICK(!atomic_exchange(&racer->record->was_greeted, true), "a connection came twice");
	wire_receive(racer, (const unsigned char *)&racer->hello, HELLO_BYTES);
	wire_receive(racer, bytes + part, length - part);
	atomic_store(&racer->may_write, true);
}

static void stream_receive(struct racer *racer, const struct pro_message_block *block)
{
	for (; block; block = block->cont) {
		const size_t length = pro_message_block_length(block);

		if (racer->record)
			wire_receive(racer, pro_message_block_rd_ptr(block), length);
		else
			guest_receive(racer, pro_message_block_rd_ptr(block), length);
	}
}

static void handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct racer *racer = racer_enter(handler);
	struct flight *flight = flight_of(result->operation);

	if (flight->borrows) {
		ASSERT_QUICK((result->block == NULL) == (result->error != 0), "a block that was lent");
		stream_receive(racer, result->block);
		if (result->block)
			pro_message_block_release(result->block);
	} else {
		ASSERT_QUICK(pro_message_block_total_length(&flight->block) == result->bytes_transferred,
				"%lu bytes came, %lu were told",
				(unsigned long)pro_message_block_total_length(&flight->block),
				(unsigned long)result->bytes_transferred);
		stream_receive(racer, &flight->block);
	}
	ASSERT_QUICK(result->error || result->bytes_transferred > 0, "a read of nothing");
	if (result->error == PRO_EOF && racer->record && !atomic_load(&racer->record->is_broken))
		wire_in(racer)->is_read = true;
	if (error_is_expected(flight, result->error)) {
		atomic_store(&racer->is_end_read, true);
		atomic_store(&racer->phase, PHASE_DRAIN);
	} else if (!result->error) {
		ASSERT_QUICK(!atomic_load(&racer->is_end_read), "bytes came after the end");
	}
	flight_ended(flight, result->error);
	racer_leave(racer);
}

static void message_sent(struct flight *flight, enum message_kind kind, size_t sent, int error)
{
	struct racer *racer = flight->racer;
	struct wire *wire = wire_out(racer);
	struct message *message = &wire->messages[wire->count++];

	message->kind = kind;
	message->number = flight->number;
	message->sent = sent;
	if (error)
		atomic_fetch_add(&racer->failures, 1);
	if (error_is_expected(flight, error))
		atomic_store(&racer->phase, PHASE_DRAIN);
}

static void handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct racer *racer = racer_enter(handler);
	struct flight *flight = pro_container_of(result->block, struct flight, block);
	const bool is_hello = racer->lane->kind == LANE_LISTEN && racer->side == 0 && !racer->greeted;
	size_t left = pro_message_block_total_length(result->block);
	const int error = result->error;

	ASSERT_QUICK(atomic_load(&flight->is_flying), "a write completed twice");
	ASSERT_QUICK(result->bytes_transferred + left == flight->length, "%lu bytes of %lu, %lu left",
			(unsigned long)result->bytes_transferred, (unsigned long)flight->length,
			(unsigned long)left);
	ASSERT_QUICK(error || left == 0, "a part taken for a whole write");
	message_sent(
			flight, is_hello ? MESSAGE_HELLO : MESSAGE_BYTES, result->bytes_transferred, error);
	if (is_hello) {
		racer->greeted = 1;
		if (left > 0)
			racer_give_up(racer);
		else
			atomic_store(&racer->may_write, true);
	}
	flight_ended(flight, error);
	racer_leave(racer);
}

static void handle_transmit_file(
		struct pro_handler *handler, const struct pro_asynch_transmit_file_result *result)
{
	struct racer *racer = racer_enter(handler);
	struct flight *flight = flight_of(result->operation);
	const struct parts parts = parts_of(flight->number);

	ASSERT_QUICK(result->error || result->bytes_sent == parts.header + parts.file + parts.trailer,
			"a part taken for a whole transmission");
	message_sent(flight, MESSAGE_FILE, (size_t)result->bytes_sent, result->error);
	flight_ended(flight, result->error);
	racer_leave(racer);
}

static void stream_end(struct racer *racer)
{
	struct lane *lane = racer->lane;

	lane_lock(lane);
	if (!atomic_load(&racer->closes_begun)) {
		wire_out(racer)->is_whole = true;
		if (lane->kind != LANE_PIPE)
			pro_socket_shutdown_write(world.proactor, pro_handler_handle(handler_of(racer)));
	}
	lane_unlock(lane);
}

/* Whoever drains writes no more; when all is reported and the end was sent, it reads to the other's
 * end, and then it is done. */
static void stream_drain(struct racer *racer)
{
	const bool is_out = atomic_load(&racer->output) == 0;

	if (!atomic_load(&racer->has_stream) || !racer->record) {
		racer_give_up(racer);
		return;
	}
	for (unsigned i = 0; i < racer->flights_count; i++)
		if (racer->flights[i].kind == EVENT_READ_STREAM)
			flight_start(&racer->flights[i], &racer->random, true);
	if (!racer->is_shut && chance(&racer->random, 2) && racer->lane->kind != LANE_PIPE)
		CALL(pro_asynch_write_stream_shutdown(&racer->writer));
	if (is_out && !racer->is_shut) {
		racer->is_shut = true;
		stream_end(racer);
	}
	if (!racer->is_shut)
		return;
	if (atomic_load(&racer->is_end_read) || (racer->lane->kind == LANE_PIPE && racer->side == 0))
		racer_close(racer);
}

/* ---- accepts and connects ---- */

static void guest_open(struct lane *lane, pro_handle handle);

static void handle_accept(
		struct pro_handler *handler, const struct pro_asynch_accept_result *result)
{
	struct racer *racer = racer_enter(handler);
	struct flight *flight = flight_of(result->operation);

	ASSERT_QUICK((result->accepted == PRO_INVALID_HANDLE) == (result->error != 0),
			"an accept without a handle");
	if (!result->error)
		guest_open(racer->lane, result->accepted);
	flight_ended(flight, result->error);
	racer_leave(racer);
}

static void client_connected(struct racer *racer, pro_handle handle);

static void handle_connect(
		struct pro_handler *handler, const struct pro_asynch_connect_result *result)
{
	struct racer *racer = racer_enter(handler);
	struct flight *flight = flight_of(result->operation);

	ASSERT_QUICK((result->connected == PRO_INVALID_HANDLE) == (result->error != 0),
			"a connect without a handle");
	if (!result->error && atomic_load(&racer->closes_begun) > 0 && chance(&racer->random, 2))
		pro_proactor_close_handle(world.proactor, result->connected);
	else if (!result->error)
		client_connected(racer, result->connected);
	else if (error_is_expected(flight, result->error) && result->error != PRO_EAGAIN)
		atomic_store(&racer->phase, PHASE_DRAIN);
	flight_ended(flight, result->error);
	racer_leave(racer);
}

/* ---- datagrams and files ---- */

static void handle_read_dgram(
		struct pro_handler *handler, const struct pro_asynch_read_dgram_result *result)
{
	struct racer *racer = racer_enter(handler);
	struct flight *flight = flight_of(result->operation);
	struct datagrams *datagrams = &racer->lane->datagrams[racer->side ^ 1];
	const struct pro_addr *peer = &racer->lane->addrs[racer->side ^ 1];
	uint32_t number = 0;

	ASSERT_QUICK(pro_message_block_length(&flight->block) == result->bytes_transferred,
			"a datagram of %lu bytes", (unsigned long)result->bytes_transferred);
	if (!result->error && pro_addr_equal(result->remote, peer)) {
		const unsigned count = atomic_load(&datagrams->received_count);

		ASSERT_QUICK(count < DATAGRAMS_MAX, "more datagrams than were sent");
		if (result->bytes_transferred >= sizeof(number))
			memcpy(&number, flight->bytes, sizeof(number));
		datagrams->received[count] = number;
		atomic_store(&datagrams->received_count, count + 1);
	} else {
		ASSERT_QUICK(!result->error || result->bytes_transferred == 0, "bytes and %s",
				pro_error_name(result->error));
	}
	flight_ended(flight, result->error);
	racer_leave(racer);
}

static void handle_write_dgram(
		struct pro_handler *handler, const struct pro_asynch_write_dgram_result *result)
{
	struct racer *racer = racer_enter(handler);
	struct flight *flight = flight_of(result->operation);
	struct datagrams *datagrams = &racer->lane->datagrams[racer->side];

	ASSERT_QUICK(result->bytes_transferred == (result->error ? 0 : flight->length),
			"%lu bytes of a datagram", (unsigned long)result->bytes_transferred);
	if (!result->error) {
		const unsigned count = atomic_load(&datagrams->sent_count);

		datagrams->sent[count] = flight->length ? flight->number : 0;
		atomic_store(&datagrams->sent_count, count + 1);
	}
	flight_ended(flight, result->error);
	racer_leave(racer);
}

/* Done when the peer's datagrams are all here, and it sends no more either. */
static void dgram_drain(struct racer *racer)
{
	struct lane *lane = racer->lane;
	struct racer *peer = &lane->racers[racer->side ^ 1];
	const struct datagrams *datagrams = &lane->datagrams[racer->side ^ 1];

	if (atomic_load(&peer->phase) == PHASE_RUN) {
		atomic_store(&peer->phase, PHASE_DRAIN);
		return;
	}
	if (atomic_load(&peer->flights[1].is_flying) || atomic_load(&racer->flights[1].is_flying))
		return;
	if (atomic_load(&datagrams->received_count) == atomic_load(&datagrams->sent_count) ||
			atomic_load(&racer->closes_begun))
		racer_close(racer);
}

/* Datagrams come in their order and each once; only what was sent to a socket that is closed is
 * lost. One who waits for those that are lost never ends, which is found. */
static void check_datagrams(const struct datagrams *datagrams)
{
	ASSERT_QUICK(datagrams->received_count <= datagrams->sent_count, "%u datagrams came of %u",
			datagrams->received_count, datagrams->sent_count);
	for (unsigned i = 0; i < datagrams->received_count; i++)
		ASSERT_QUICK(datagrams->received[i] == datagrams->sent[i], "datagram %u came for %u",
				datagrams->received[i], datagrams->sent[i]);
}

static void handle_read_file(
		struct pro_handler *handler, const struct pro_asynch_read_file_result *result)
{
	struct racer *racer = racer_enter(handler);
	struct flight *flight = flight_of(result->operation);

	ASSERT_QUICK(result->bytes_transferred == pro_message_block_length(&flight->block) &&
						 result->bytes_transferred <= flight->length &&
						 (result->error || result->bytes_transferred == flight->length),
			"%lu bytes of a file, of %lu", (unsigned long)result->bytes_transferred,
			(unsigned long)flight->length);
	ASSERT_QUICK(memcmp(flight->bytes, table + flight->offset, result->bytes_transferred) == 0,
			"other bytes of a file");
	flight_ended(flight, result->error);
	racer_leave(racer);
}

static void handle_write_file(
		struct pro_handler *handler, const struct pro_asynch_write_file_result *result)
{
	struct racer *racer = racer_enter(handler);
	struct flight *flight = flight_of(result->operation);

	ASSERT_QUICK(result->error || result->bytes_transferred == flight->length,
			"a part taken for a whole write");
	memcpy(racer->shadow[flight_region(flight)] + flight->offset, table + flight->number,
			result->bytes_transferred);
	flight_ended(flight, result->error);
	racer_leave(racer);
}

/* What the writes told is what stands there. */
static void check_file(struct lane *lane)
{
	unsigned char bytes[FLIGHT_BYTES];
	FILE *file;

	file = fopen(lane->path, "rb");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, TABLE_BYTES, SEEK_SET), 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_uint_eq(fread(bytes, 1, FLIGHT_BYTES, file), FLIGHT_BYTES);
		ASSERT_QUICK(memcmp(bytes, lane->racers[0].shadow[i], FLIGHT_BYTES) == 0,
				"a file holds other bytes than were written");
	}
	fclose(file);
}

/* ---- what needs no handle ---- */

static void handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct racer *racer = racer_enter(handler);
	struct flight *flight = flight_of(result->operation);

	if (result->is_final) {
		flight_ended(flight, result->error);
	} else {
		ASSERT_QUICK(
				flight->is_repeating && !result->error && !atomic_load(&flight->is_cancel_sure),
				"a timer expired that was cancelled");
		if (chance(&racer->random, 2))
			flight_cancel(flight, true);
	}
	racer_leave(racer);
}

static void handle_work(struct pro_handler *handler, const struct pro_asynch_work_result *result)
{
	struct racer *racer = racer_enter(handler);
	struct flight *flight = flight_of(result->operation);

	ASSERT_QUICK(atomic_load(&flight->ran) == (result->error ? 0 : 1) &&
						 (result->error || result->returned == 1),
			"a function ran %u times: %s", atomic_load(&flight->ran),
			pro_error_name(result->error));
	flight_ended(flight, result->error);
	racer_leave(racer);
}

static void handle_resolve(
		struct pro_handler *handler, const struct pro_asynch_resolve_result *result)
{
	struct racer *racer = racer_enter(handler);

	ASSERT_QUICK(result->error || result->count > 0, "no address");
	flight_ended(flight_of(result->operation), result->error);
	racer_leave(racer);
}

static void handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	struct racer *racer = racer_enter(handler);
	struct flight *flight = pro_container_of(result->block, struct flight, block);

	ASSERT_QUICK(result->act == flight && atomic_load(&flight->is_flying), "a post came twice");
	flight_ended(flight, result->error);
	racer_leave(racer);
}

static void handle_wakeup(struct pro_handler *handler)
{
	struct racer *racer = racer_enter(handler);

	racer_leave(racer);
}

/* ---- lives ---- */

static const enum event_kind kinds_of_pairs[] = {EVENT_READ_STREAM, EVENT_WRITE_STREAM,
		EVENT_WRITE_STREAM, EVENT_WRITE_STREAM, EVENT_TRANSMIT_FILE, EVENT_TIME_OUT, EVENT_POST,
		EVENT_WORK, EVENT_KINDS};
static const enum event_kind kinds_of_receivers[] = {
		EVENT_READ_STREAM, EVENT_TIME_OUT, EVENT_POST, EVENT_KINDS};
static const enum event_kind kinds_of_senders[] = {
		EVENT_WRITE_STREAM, EVENT_WRITE_STREAM, EVENT_TIME_OUT, EVENT_POST, EVENT_KINDS};
static const enum event_kind kinds_of_listeners[] = {
		EVENT_ACCEPT, EVENT_ACCEPT, EVENT_ACCEPT, EVENT_TIME_OUT, EVENT_POST, EVENT_KINDS};
static const enum event_kind kinds_of_clients[] = {EVENT_CONNECT, EVENT_READ_STREAM,
		EVENT_WRITE_STREAM, EVENT_WRITE_STREAM, EVENT_TRANSMIT_FILE, EVENT_TIME_OUT, EVENT_KINDS};
static const enum event_kind kinds_of_dgrams[] = {
		EVENT_READ_DGRAM, EVENT_WRITE_DGRAM, EVENT_TIME_OUT, EVENT_POST, EVENT_KINDS};
static const enum event_kind kinds_of_files[] = {EVENT_READ_FILE, EVENT_READ_FILE, EVENT_WRITE_FILE,
		EVENT_WRITE_FILE, EVENT_TIME_OUT, EVENT_WORK, EVENT_KINDS};
static const enum event_kind kinds_of_the_free[] = {EVENT_TIME_OUT, EVENT_TIME_OUT, EVENT_WORK,
		EVENT_WORK, EVENT_RESOLVE, EVENT_POST, EVENT_POST, EVENT_KINDS};

static int try_to_open(struct flight *flight, pro_handle handle)
{
	struct pro_handler *handler = handler_of(flight->racer);

	switch (flight->kind) {
	case EVENT_READ_STREAM:
		return pro_asynch_read_stream_open(&flight->as.reader, handler, handle, NULL);
	case EVENT_TRANSMIT_FILE:
		return pro_asynch_transmit_file_open(&flight->as.sender, handler, handle, NULL);
	case EVENT_ACCEPT:
		return pro_asynch_accept_open(&flight->as.accept, handler, handle, NULL);
	case EVENT_CONNECT:
		return pro_asynch_connect_open(&flight->as.connect, handler, NULL);
	case EVENT_READ_DGRAM:
		return pro_asynch_read_dgram_open(&flight->as.dgram_reader, handler, handle, NULL);
	case EVENT_WRITE_DGRAM:
		return pro_asynch_write_dgram_open(&flight->as.dgram_writer, handler, handle, NULL);
	case EVENT_READ_FILE:
		return pro_asynch_read_file_open(&flight->as.file_reader, handler, handle, NULL);
	case EVENT_WRITE_FILE:
		return pro_asynch_write_file_open(&flight->as.file_writer, handler, handle, NULL);
	case EVENT_TIME_OUT:
		return pro_asynch_timer_open(&flight->as.timer, handler, NULL);
	case EVENT_WORK:
		return pro_asynch_work_open(&flight->as.work, handler, NULL);
	case EVENT_RESOLVE:
		return pro_asynch_resolve_open(&flight->as.resolver, handler, NULL);
	default:
		return 0;
	}
}

static void open_flight(struct flight *flight, pro_handle handle)
{
	const int error = try_to_open(flight, handle);

	ASSERT_QUICK(
			error == 0, "opening %s: %s", event_kind_text(flight->kind), pro_error_name(error));
}

static void flight_init(struct flight *flight, struct racer *racer, enum event_kind kind)
{
	flight->racer = racer;
	flight->kind = kind;
	flight->aim = kind == EVENT_WRITE_STREAM ? &racer->writer_aim : &flight->own;
	flight->own.operation = kind == EVENT_POST ? NULL : &flight->as.timer.operation;
	flight->own.timeout_ms = PRO_NO_TIMEOUT;
	atomic_store(&flight->own.cancels_begun, 0);
	atomic_store(&flight->own.cancels_ended, 0);
	atomic_store(&flight->is_flying, false);
	atomic_store(&flight->started, 0);
	atomic_store(&flight->completed, 0);
}

static const struct pro_service_handler_vtbl racer_vtbl;

static void racer_init(struct racer *racer, struct lane *lane, unsigned side,
		const enum event_kind *kinds, unsigned patience)
{
	racer->lane = lane;
	racer->side = side;
	racer->random = atomic_fetch_add(&lane->seed, 0x9e3779b9u) | 1;
	racer->patience = 1 + pick(&racer->random, patience);
	atomic_store(&racer->is_inside, false);
	racer->is_closed = false;
	atomic_store(&racer->closes_begun, 0);
	atomic_store(&racer->closes_ended, 0);
	atomic_store(&racer->phase, PHASE_RUN);
	atomic_store(&racer->has_stream, false);
	atomic_store(&racer->may_write, false);
	atomic_store(&racer->is_end_read, false);
	atomic_store(&racer->failures, 0);
	atomic_store(&racer->output, 0);
	racer->is_shut = false;
	racer->record = NULL;
	racer->greeted = 0;
	racer->writer_aim.operation = &racer->writer.operation;
	racer->writer_aim.timeout_ms = PRO_NO_TIMEOUT;
	atomic_store(&racer->writer_aim.cancels_begun, 0);
	atomic_store(&racer->writer_aim.cancels_ended, 0);
	racer->flights_count = 0;
	for (; *kinds != EVENT_KINDS; kinds++)
		flight_init(&racer->flights[racer->flights_count++], racer, *kinds);
	ASSERT_OK(pro_service_handler_init(&racer->service, &racer_vtbl, world.proactor));
	for (unsigned i = 0; i < racer->flights_count; i++)
		if (kind_needs_stream(racer->flights[i].kind))
			memset(&racer->flights[i].as, 0, sizeof(racer->flights[i].as));
	memset(&racer->writer, 0, sizeof(racer->writer));
}

/* From now on others may reach it. */
static void racer_is_born(struct racer *racer)
{
	lane_lock(racer->lane);
	racer->is_alive = true;
	racer->is_taken = false;
	lane_unlock(racer->lane);
}

/* The stream is there. [callback, or set-up] */
static void racer_open_stream(struct racer *racer, pro_handle stream)
{
	struct pro_handler *handler = handler_of(racer);

	for (unsigned i = 0; i < racer->flights_count; i++)
		if (kind_needs_stream(racer->flights[i].kind))
			open_flight(&racer->flights[i], stream);
	if (pro_asynch_write_stream_open(&racer->writer, handler, stream, NULL))
		ck_abort_msg("no writer");
	if (chance(&racer->random, 4)) {
		racer->writer_aim.timeout_ms = 1 + pick(&racer->random, 3);
		ASSERT_OK(
				pro_operation_set_timeout(&racer->writer.operation, racer->writer_aim.timeout_ms));
	}
	if (racer->lane->kind != LANE_PIPE)
		pro_socket_set_option(world.proactor, stream, PRO_SOCKET_SEND_BUFFER, 2048);
	atomic_store(&racer->has_stream, true);
	if (racer->record && racer->lane->kind != LANE_LISTEN)
		atomic_store(&racer->may_write, true);
}

static void racer_open(struct pro_service_handler *service)
{
	struct racer *racer = racer_enter(&service->handler);
	const pro_handle handle = pro_handler_handle(&service->handler);
	bool is_stream = false;

	for (unsigned i = 0; i < racer->flights_count; i++) {
		is_stream = is_stream || kind_needs_stream(racer->flights[i].kind);
		if (!kind_needs_stream(racer->flights[i].kind))
			open_flight(&racer->flights[i], handle);
	}
	if (is_stream && handle != PRO_INVALID_HANDLE)
		racer_open_stream(racer, handle);
	racer_is_born(racer);
	racer_leave(racer);
}

static void client_connected(struct racer *racer, pro_handle handle)
{
	struct lane *lane = racer->lane;
	struct flight *hello = &racer->flights[2];
	const unsigned slot = (unsigned)(racer - lane->racers) - 1;

	lane_lock(lane);
	racer->record = record_create(atomic_fetch_add(&ids, 1) + 1, 2);
	lane->records[slot] = racer->record;
	lane_unlock(lane);
	pro_handler_set_handle(handler_of(racer), handle);
	racer_open_stream(racer, handle);
	/* By hand, since nobody may write before. */
	atomic_store(&hello->is_flying, true);
	atomic_store(&racer->output, 1);
	ck_assert(message_offer(hello, HELLO_BYTES));
	hello->cancels_before = atomic_load(&racer->writer_aim.cancels_ended);
	hello->failures_before = atomic_load(&racer->failures);
	hello->timeout_ms = racer->writer_aim.timeout_ms;
	atomic_store(&hello->is_cancel_sure, false);
	memcpy(hello->bytes, &racer->record->id, HELLO_BYTES);
	pro_message_block_init_filled(&hello->block, hello->bytes, HELLO_BYTES);
	atomic_fetch_add(&hello->started, 1);
	atomic_fetch_add(&started[EVENT_WRITE_STREAM], 1);
	if (CALL(pro_asynch_write_stream_write(&racer->writer, &hello->block)) == 0)
		return;
	ck_assert_uint_gt(atomic_load(&racer->closes_begun), 0);
	atomic_fetch_sub(&hello->started, 1);
	atomic_fetch_sub(&started[EVENT_WRITE_STREAM], 1);
	output_give_back(racer);
	atomic_store(&hello->is_flying, false);
}

static void lane_check(struct lane *lane)
{
	if (lane->kind == LANE_DGRAM) {
		check_datagrams(&lane->datagrams[0]);
		check_datagrams(&lane->datagrams[1]);
	} else if (lane->kind == LANE_FILE) {
		check_file(lane);
	}
}

/* Others do not reach it any more. */
static void racer_retire(struct racer *racer)
{
	struct lane *lane = racer->lane;
	struct record *record = racer->record;

	lane_lock(lane);
	racer->is_alive = false;
	racer->is_taken = true;
	racer->record = NULL;
	if (record && lane->kind == LANE_LISTEN && racer->side == 0)
		lane->records[racer - lane->racers - 1] = NULL;
	lane_unlock(lane);
	/* Clients have one for the table. */
	if (lane->kind == LANE_LISTEN && racer->side == 0)
		record_release(record);
	record_release(record);
}

static void handle_close(struct pro_handler *handler)
{
	struct racer *racer = racer_enter(handler);
	struct lane *lane = racer->lane;
	bool is_last;
	bool is_reborn;

	ASSERT_QUICK(atomic_load(&racer->closes_begun) > 0, "nobody closed it");
	racer->is_closed = true;
	for (unsigned i = 0; i < racer->flights_count; i++) {
		const struct flight *flight = &racer->flights[i];

		/* A thread that is refused has not taken its start back yet, as long as it holds the
		 * lock. */
		lane_lock(lane);
		ASSERT_QUICK(!atomic_load(&flight->is_flying) &&
							 atomic_load(&flight->started) == atomic_load(&flight->completed),
				"%s: %lu started, %lu completed at handle_close", event_kind_text(flight->kind),
				atomic_load(&flight->started), atomic_load(&flight->completed));
		lane_unlock(lane);
	}
	racer_retire(racer);
	atomic_fetch_add(&closed_once, 1);
	atomic_store(&racer->is_inside, false);
	lane_lock(lane);
	racer->is_taken = false;
	if (racer == &lane->racers[0])
		lane->is_listening = false;
	is_reborn = lane->is_listening && racer->side == 0 && !atomic_load(&is_ending);
	if (!is_reborn)
		lane->alive--;
	is_last = lane->alive == 0;
	lane_unlock(lane);
	if (is_reborn)
		client_open(racer);
	if (!is_last)
		return;
	lane_check(lane);
	if (atomic_load(&is_ending))
		atomic_fetch_sub(&lanes_open, 1);
	else
		lane_open(lane);
}

static const struct pro_service_handler_vtbl racer_vtbl = {
		.handler.handle_read_stream = handle_read_stream,
		.handler.handle_write_stream = handle_write_stream,
		.handler.handle_transmit_file = handle_transmit_file,
		.handler.handle_accept = handle_accept,
		.handler.handle_connect = handle_connect,
		.handler.handle_read_dgram = handle_read_dgram,
		.handler.handle_write_dgram = handle_write_dgram,
		.handler.handle_read_file = handle_read_file,
		.handler.handle_write_file = handle_write_file,
		.handler.handle_time_out = handle_time_out,
		.handler.handle_work = handle_work,
		.handler.handle_resolve = handle_resolve,
		.handler.handle_post = handle_post,
		.handler.handle_wakeup = handle_wakeup,
		.handler.handle_close = handle_close,
		.open = racer_open,
};

/* ---- lanes ---- */

static struct racer *lane_add(struct lane *lane, unsigned number, unsigned side,
		const enum event_kind *kinds, unsigned patience)
{
	struct racer *racer = &lane->racers[number];

	racer_init(racer, lane, side, kinds, patience);
	return racer;
}

static void racer_begin(struct racer *racer, pro_handle handle)
{
	pro_service_handler_open(&racer->service, handle, NULL, NULL);
}

static void guest_open(struct lane *lane, pro_handle handle)
{
	struct racer *guest = NULL;

	lane_lock(lane);
	for (unsigned i = 1 + CLIENTS; i < RACERS_MAX && !guest; i++)
		if (!lane->racers[i].is_alive && !lane->racers[i].is_taken)
			guest = &lane->racers[i];
	if (guest) {
		guest->is_taken = true;
		lane->alive++;
	}
	lane_unlock(lane);
	if (!guest) {
		ASSERT_OK(pro_proactor_close_handle(world.proactor, handle));
		return;
	}
	racer_init(guest, lane, 1, kinds_of_pairs, 60);
	racer_begin(guest, handle);
}

static void client_open(struct racer *racer)
{
	racer_init(racer, racer->lane, 0, kinds_of_clients, 60);
	racer_begin(racer, PRO_INVALID_HANDLE);
}

static void lane_open_pair(struct lane *lane, pro_handle handles[2])
{
	struct record *record = record_create(0, 2);

	lane->alive = 2;
	for (unsigned i = 0; i < 2; i++) {
		const enum event_kind *kinds = lane->kind == LANE_PAIR ? kinds_of_pairs
									   : i == 0                ? kinds_of_senders
															   : kinds_of_receivers;

		lane_add(lane, i, i, kinds, 100)->record = record;
	}
	for (unsigned i = 0; i < 2; i++)
		racer_begin(&lane->racers[i], handles[i]);
}

static void lane_open_listener(struct lane *lane)
{
	char text[80] = ANY_INET;
	pro_handle handle;

	/* TCP now and then: ports that were used are not free again for a minute. */
	if (lane->generation % 8 && !os_is_emulated()) {
		char base[64];

		os_make_local_address(base, sizeof(base));
		snprintf(text, sizeof(text), "%s-%u", base, lane->number);
	}
	ASSERT_OK(pro_addr_parse(&lane->addr, text));
	ASSERT_OK(pro_socket_listen(world.proactor, &lane->addr, 0, &handle));
	ASSERT_OK(pro_socket_local_addr(world.proactor, handle, &lane->addr));
	lane->alive = 1 + CLIENTS;
	lane->is_listening = true;
	lane_add(lane, 0, 2, kinds_of_listeners, 400);
	racer_begin(&lane->racers[0], handle);
	for (unsigned i = 1; i <= CLIENTS; i++) {
		lane->racers[i].lane = lane;
		client_open(&lane->racers[i]);
	}
}

static void lane_open_dgrams(struct lane *lane)
{
	pro_handle handles[2];

	lane->alive = 2;
	for (unsigned i = 0; i < 2; i++) {
		struct datagrams *datagrams = &lane->datagrams[i];

		ASSERT_OK(pro_addr_parse(&lane->addrs[i], ANY_INET));
		ASSERT_OK(pro_socket_dgram(world.proactor, PRO_FAMILY_INET, &lane->addrs[i], &handles[i]));
		ASSERT_OK(pro_socket_local_addr(world.proactor, handles[i], &lane->addrs[i]));
		atomic_store(&datagrams->offered, 0);
		atomic_store(&datagrams->sent_count, 0);
		atomic_store(&datagrams->received_count, 0);
		lane_add(lane, i, i, kinds_of_dgrams, 200);
	}
	for (unsigned i = 0; i < 2; i++)
		racer_begin(&lane->racers[i], handles[i]);
}

static void lane_open_file(struct lane *lane)
{
	pro_handle handle;

	lane->alive = 1;
	ASSERT_OK(pro_file_open(world.proactor, lane->path, PRO_FILE_READ | PRO_FILE_WRITE, &handle));
	lane_add(lane, 0, 0, kinds_of_files, 200);
	racer_begin(&lane->racers[0], handle);
}

static void lane_open(struct lane *lane)
{
	pro_handle handles[2];
	int pipe[2];

	lane->generation++;
	for (unsigned i = 0; i < RACERS_MAX; i++)
		lane->racers[i].is_taken = false;
	switch (lane->kind) {
	case LANE_PAIR:
		ASSERT_OK(pro_socket_pair(world.proactor, handles));
		lane_open_pair(lane, handles);
		break;
	case LANE_PIPE:
		os_pipe(pipe);
		handles[0] = pipe[1];
		handles[1] = pipe[0];
		lane_open_pair(lane, handles);
		break;
	case LANE_LISTEN:
		lane_open_listener(lane);
		break;
	case LANE_DGRAM:
		lane_open_dgrams(lane);
		break;
	case LANE_FILE:
		lane_open_file(lane);
		break;
	case LANE_FREE:
		lane->alive = 1;
		lane_add(lane, 0, 0, kinds_of_the_free, 200);
		racer_begin(&lane->racers[0], PRO_INVALID_HANDLE);
		break;
	}
}

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
static void racer_act(struct racer *racer)
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
