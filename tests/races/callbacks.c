/* What is asserted in each callback of a racer. */
#include <stdio.h>
#include <string.h>

#include "../support/quick_assert.h"
#include "racers.h"

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
void stream_drain(struct racer *racer)
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
void dgram_drain(struct racer *racer)
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
void check_datagrams(const struct datagrams *datagrams)
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
void check_file(struct lane *lane)
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

const struct pro_service_handler_vtbl racer_vtbl = {
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
		.handler.handle_close = racer_handle_close,
		.open = racer_open,
};
