/* How racers and lanes begin, and how they end. */
#include <stdio.h>
#include <string.h>

#include "../support/os.h"
#include "../support/quick_assert.h"
#include "racers.h"

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

void racer_open(struct pro_service_handler *service)
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

void client_connected(struct racer *racer, pro_handle handle)
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
	/* By hand, since nobody may write before; but not while an outsider tries, who would take the
	 * flag back. */
	lane_lock(lane);
	atomic_store(&hello->is_flying, true);
	lane_unlock(lane);
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

static void client_open(struct racer *racer);

void racer_handle_close(struct pro_handler *handler)
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

void guest_open(struct lane *lane, pro_handle handle)
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

void lane_open(struct lane *lane)
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
