/* Starts and cancels of flights, and what holds at their ends. */
#include <string.h>

#include "../support/os.h"
#include "../support/quick_assert.h"
#include "racers.h"

atomic_ulong started[EVENT_KINDS];
atomic_ulong completed[EVENT_KINDS];
atomic_ulong raced[EVENT_KINDS];
atomic_ulong races;
atomic_ulong closed_once;
atomic_bool is_ending;
struct world world;

_Thread_local unsigned calls;

struct lane *lanes;
atomic_uint lanes_open;
pro_handle table_file;
atomic_ulong ids;

int end_call(int error)
{
	calls--;
	return error;
}

unsigned pick(uint32_t *random, unsigned bound)
{
	*random ^= *random << 13;
	*random ^= *random >> 17;
	*random ^= *random << 5;
	return (*random >> 8) % bound;
}

bool chance(uint32_t *random, unsigned bound)
{
	return pick(random, bound) == 0;
}

/* ---- lanes and racers ---- */

void lane_lock(struct lane *lane)
{
	while (atomic_flag_test_and_set_explicit(&lane->lock, memory_order_acquire))
		os_yield();
}

void lane_unlock(struct lane *lane)
{
	atomic_flag_clear_explicit(&lane->lock, memory_order_release);
}

static struct racer *racer_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct racer, service.handler);
}

struct pro_handler *handler_of(struct racer *racer)
{
	return &racer->service.handler;
}

struct wire *wire_out(struct racer *racer)
{
	return &racer->record->wires[racer->side];
}

struct wire *wire_in(struct racer *racer)
{
	return &racer->record->wires[racer->side ^ 1];
}

void racer_close(struct racer *racer)
{
	atomic_fetch_add(&racer->closes_begun, 1);
	calls++;
	pro_handler_close(handler_of(racer));
	calls--;
	atomic_fetch_add(&racer->closes_ended, 1);
}

void racer_break(struct racer *racer)
{
	if (racer->record)
		atomic_store(&racer->record->is_broken, true);
	racer_close(racer);
}

void racer_give_up(struct racer *racer)
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

bool kind_needs_stream(enum event_kind kind)
{
	return kind == EVENT_READ_STREAM || kind == EVENT_TRANSMIT_FILE || kind == EVENT_WRITE_STREAM;
}

void flight_cancel(struct flight *flight, bool in_callback)
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

void output_give_back(struct racer *racer)
{
	if (atomic_load(&racer->output) < 0)
		atomic_store(&racer->output, 0);
	else
		atomic_fetch_sub(&racer->output, 1);
}

/* A number for the next message, of `length` bytes at most; false when the wire has had enough. */
bool message_offer(struct flight *flight, size_t length)
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

unsigned flight_region(const struct flight *flight)
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

bool flight_start(struct flight *flight, uint32_t *random, bool in_callback)
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

bool error_is_expected(const struct flight *flight, int error)
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

void flight_ended(struct flight *flight, int error)
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

struct racer *racer_enter(struct pro_handler *handler)
{
	struct racer *racer = racer_from_handler(handler);

	ASSERT_QUICK(calls == 0, "a callback inside a call");
	ASSERT_QUICK(!atomic_exchange(&racer->is_inside, true), "two callbacks of a handler at once");
	ASSERT_QUICK(!racer->is_closed, "a callback after handle_close");
	return racer;
}

void racer_leave(struct racer *racer)
{
	racer_act(racer);
	atomic_store(&racer->is_inside, false);
}

struct flight *flight_of(const struct pro_operation *operation)
{
	struct flight *flight = pro_container_of(operation, struct flight, as);

	ASSERT_QUICK(
			atomic_load(&flight->is_flying), "%s completed twice", event_kind_text(flight->kind));
	return flight;
}
