/* Statement 27: header, file and trailer to a socket, any of them absent, whatever happens
 * meanwhile.
 */
#include "conformance.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../support/os.h"
#include "../support/pattern.h"
#include "../support/recorder.h"

#define HEADER_BYTES  44
#define TRAILER_BYTES 29
#define FILE_BYTES    300001
#define GIB           (UINT64_C(1) << 30)

/* A sender and a receiver over TCP, and a file of pattern 2; the receiver checks or discards. */
struct transmission {
	struct world *world;
	struct recorder *sender, *receiver;
	pro_handle file;
	uint64_t received;
	uint64_t header_bytes, file_bytes, file_offset;
	bool discards;
	bool is_paused; /* the receiver reads no more */
	struct pro_message_block header, trailer, in;
	unsigned char header_text[HEADER_BYTES], trailer_text[TRAILER_BYTES];
	unsigned char bytes[262144];
};

/* Which part of the transmission the byte at `offset` belongs to, and how long that part is. */
static void check_received(struct transmission *transmission, const unsigned char *bytes,
		size_t length, uint64_t offset)
{
	while (length > 0) {
		uint64_t start = 0, end = transmission->header_bytes, base = 0;
		unsigned seed = 1;
		size_t part;

		if (offset >= end) {
			start = end;
			end += transmission->file_bytes;
			base = transmission->file_offset;
			seed = 2;
		}
		if (offset >= end) {
			start = end;
			end = UINT64_MAX;
			base = 0;
			seed = 3;
		}
		part = end - offset < length ? (size_t)(end - offset) : length;
		pattern_check(bytes, part, base + offset - start, seed);
		bytes += part;
		offset += part;
		length -= part;
	}
}

static void receiver_on_event(struct recorder *recorder, const struct event *event)
{
	struct transmission *transmission = recorder->context;

	if (event->kind != EVENT_READ_STREAM || event->error)
		return;
	if (!transmission->discards)
		check_received(transmission, transmission->bytes, event->bytes, transmission->received);
	transmission->received += event->bytes;
	if (transmission->is_paused)
		return;
	pro_message_block_reset(&transmission->in);
	ASSERT_OK(recorder_read(recorder, &transmission->in, 0));
}

static void fill_file(struct transmission *transmission, uint64_t bytes)
{
	unsigned char *content = malloc((size_t)bytes);
	struct recorder *files = recorder_create(transmission->world, "files");
	struct pro_message_block block;

	ck_assert_ptr_nonnull(content);
	pattern_fill(content, (size_t)bytes, 0, 2);
	pro_message_block_init_filled(&block, content, (size_t)bytes);
	recorder_open_file(files, transmission->file);
	ASSERT_OK(STARTED(
			files, WRITE_FILE, pro_asynch_write_file_write(&files->file_writer, &block, 0)));
	RUN_UNTIL(transmission->world, files->count[EVENT_WRITE_FILE]);
	ASSERT_OK(files->last[EVENT_WRITE_FILE].error);
	free(content);
}

static struct transmission *transmission_create(struct world *world)
{
	struct transmission *transmission = calloc(1, sizeof(*transmission));

	ck_assert_ptr_nonnull(transmission);
	transmission->world = world;
	transmission->sender = recorder_create(world, "sender");
	transmission->receiver = recorder_create(world, "receiver");
	transmission->receiver->context = transmission;
	transmission->receiver->on_event = receiver_on_event;
	recorder_tcp_pair(transmission->sender, transmission->receiver, ANY_INET);
	transmission->file =
			world_file(world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	pro_message_block_init(&transmission->in, transmission->bytes, sizeof(transmission->bytes));
	return transmission;
}

static void transmission_destroy(struct transmission *transmission)
{
	transmission->receiver->on_event = NULL;
	recorder_close(transmission->sender);
	recorder_close(transmission->receiver);
	RUN_UNTIL(transmission->world,
			transmission->sender->is_closed && transmission->receiver->is_closed);
	ASSERT_OK(pro_proactor_close_handle(transmission->world->proactor, transmission->file));
	free(transmission);
}

static int transmission_start(struct transmission *transmission, uint64_t offset, uint64_t bytes,
		size_t header_bytes, size_t trailer_bytes, bool has_file)
{
	pattern_fill(transmission->header_text, HEADER_BYTES, 0, 1);
	pattern_fill(transmission->trailer_text, TRAILER_BYTES, 0, 3);
	pro_message_block_init_filled(&transmission->header, transmission->header_text, header_bytes);
	pro_message_block_init_filled(
			&transmission->trailer, transmission->trailer_text, trailer_bytes);
	transmission->received = 0;
	transmission->header_bytes = header_bytes;
	transmission->file_bytes = has_file ? bytes : 0;
	transmission->file_offset = offset;
	return STARTED(transmission->sender, TRANSMIT_FILE,
			pro_asynch_transmit_file_transmit_file(&transmission->sender->sender,
					has_file ? transmission->file : PRO_INVALID_HANDLE, offset, bytes,
					header_bytes == SIZE_MAX ? NULL : &transmission->header,
					trailer_bytes == SIZE_MAX ? NULL : &transmission->trailer));
}

static void transmit_part(struct transmission *transmission, uint64_t offset, uint64_t bytes,
		size_t header_bytes, size_t trailer_bytes, bool has_file)
{
	struct recorder *sender = transmission->sender;
	unsigned before = sender->count[EVENT_TRANSMIT_FILE];
	uint64_t total = header_bytes + trailer_bytes + (has_file ? bytes : 0);

	ASSERT_OK(
			transmission_start(transmission, offset, bytes, header_bytes, trailer_bytes, has_file));
	RUN_UNTIL(transmission->world,
			sender->count[EVENT_TRANSMIT_FILE] == before + 1 && transmission->received >= total);
	ASSERT_OK(sender->last[EVENT_TRANSMIT_FILE].error);
	ck_assert_uint_eq(sender->last[EVENT_TRANSMIT_FILE].bytes_sent, total);
	ck_assert_uint_eq(sender->last[EVENT_TRANSMIT_FILE].bytes, total);
	ck_assert_uint_eq(transmission->received, total);
	ck_assert_uint_eq(transmission->header.rd, 0);
	ck_assert_uint_eq(transmission->trailer.rd, 0);
}

void scenario_transmit_file_sends_any_parts(struct world *world)
{
	static const uint64_t ranges[][2] = {
			{0, FILE_BYTES}, {0, 0}, {0, 1}, {1, 4096}, {4095, 70000}, {FILE_BYTES - 1, 1}};
	struct transmission *transmission;

	world_open(world);
	transmission = transmission_create(world);
	fill_file(transmission, FILE_BYTES);
	ASSERT_OK(recorder_read(transmission->receiver, &transmission->in, 0));
	for (unsigned range = 0; range < sizeof(ranges) / sizeof(ranges[0]); range++)
		for (unsigned parts = 0; parts < 8; parts++)
			transmit_part(transmission, ranges[range][0], ranges[range][1],
					parts & 1 ? HEADER_BYTES : 0, parts & 2 ? TRAILER_BYTES : 0, parts & 4);
	transmission_destroy(transmission);
}

/* NULL instead of empty blocks, and the whole file. */
void scenario_transmit_file_without_blocks_sends_the_file(struct world *world)
{
	struct transmission *transmission;
	struct recorder *sender;

	world_open(world);
	transmission = transmission_create(world);
	sender = transmission->sender;
	fill_file(transmission, FILE_BYTES);
	transmission->file_bytes = FILE_BYTES;
	ASSERT_OK(recorder_read(transmission->receiver, &transmission->in, 0));
	ASSERT_OK(STARTED(sender, TRANSMIT_FILE,
			pro_asynch_transmit_file_transmit_file(
					&sender->sender, transmission->file, 0, PRO_TRANSMIT_ALL, NULL, NULL)));
	ASSERT_ERROR(STARTED(sender, TRANSMIT_FILE,
						 pro_asynch_transmit_file_transmit_file(
								 &sender->sender, transmission->file, 0, 1, NULL, NULL)),
			PRO_EBUSY);
	RUN_UNTIL(
			world, sender->count[EVENT_TRANSMIT_FILE] == 1 && transmission->received == FILE_BYTES);
	ASSERT_OK(sender->last[EVENT_TRANSMIT_FILE].error);
	ASSERT_OK(STARTED(sender, TRANSMIT_FILE,
			pro_asynch_transmit_file_transmit_file(
					&sender->sender, PRO_INVALID_HANDLE, 0, 0, NULL, NULL)));
	RUN_UNTIL(world, sender->count[EVENT_TRANSMIT_FILE] == 2);
	ASSERT_OK(sender->last[EVENT_TRANSMIT_FILE].error);
	ck_assert_uint_eq(sender->last[EVENT_TRANSMIT_FILE].bytes_sent, 0);
	transmission_destroy(transmission);
}

void scenario_transmit_file_beyond_the_end_is_an_error(struct world *world)
{
	struct transmission *transmission;
	struct recorder *sender;

	world_open(world);
	transmission = transmission_create(world);
	sender = transmission->sender;
	fill_file(transmission, 1000);
	ASSERT_OK(recorder_read(transmission->receiver, &transmission->in, 0));
	ASSERT_OK(transmission_start(transmission, 0, 1001, HEADER_BYTES, TRAILER_BYTES, true));
	transmission->file_bytes = 1000;
	RUN_UNTIL(world, sender->count[EVENT_TRANSMIT_FILE] == 1);
	ASSERT_ERROR(sender->last[EVENT_TRANSMIT_FILE].error, PRO_ETRUNCATED);
	ck_assert_uint_le(sender->last[EVENT_TRANSMIT_FILE].bytes_sent, HEADER_BYTES + 1000);
	RUN_UNTIL(world, transmission->received == sender->last[EVENT_TRANSMIT_FILE].bytes_sent);
	ASSERT_OK(transmission_start(transmission, 5000, 10, 0, 0, true));
	RUN_UNTIL(world, sender->count[EVENT_TRANSMIT_FILE] == 2);
	ASSERT_ERROR(sender->last[EVENT_TRANSMIT_FILE].error, PRO_ETRUNCATED);
	transmission_destroy(transmission);
}

/* Sparse and long: nothing of it is stored, and the receiver throws it away. */
void scenario_transmit_file_beyond_2_gib(struct world *world)
{
	uint64_t bytes = world_is_long() ? 5 * GIB + 7 : 2 * GIB + 7;
	struct transmission *transmission;
	struct recorder *sender;

	world_open(world);
	if (os_is_sanitized() && !world_is_long()) {
		bytes = GIB / 4;
		world->is_traced = false;
	}
	if (world_has_small_files()) {
		bytes = GIB / 64;
		world->is_traced = false;
		world_leave_out(world->name);
	}
	world_make_sparse_file(world, "file", bytes);
	transmission = transmission_create(world);
	transmission->discards = true;
	sender = transmission->sender;
	ASSERT_OK(recorder_read(transmission->receiver, &transmission->in, 0));
	ASSERT_OK(transmission_start(
			transmission, 0, PRO_TRANSMIT_ALL, HEADER_BYTES, TRAILER_BYTES, true));
	while (transmission->received < bytes) {
		uint64_t before = transmission->received;

		RUN_UNTIL(world, transmission->received > before);
	}
	RUN_UNTIL(world, sender->count[EVENT_TRANSMIT_FILE]);
	ASSERT_OK(sender->last[EVENT_TRANSMIT_FILE].error);
	ck_assert_uint_eq(
			sender->last[EVENT_TRANSMIT_FILE].bytes_sent, bytes + HEADER_BYTES + TRAILER_BYTES);
	RUN_UNTIL(world, transmission->received == bytes + HEADER_BYTES + TRAILER_BYTES);
	transmission_destroy(transmission);
}

/* The file shrinks while the peer takes nothing. */
void scenario_transmit_file_that_shrinks_is_an_error(struct world *world)
{
	struct transmission *transmission;
	struct recorder *sender;

	world->is_traced = false;
	world_open(world);
	world_make_sparse_file(world, "file", 64 << 20);
	transmission = transmission_create(world);
	transmission->discards = true;
	sender = transmission->sender;
	ASSERT_OK(transmission_start(transmission, 0, 64 << 20, 0, TRAILER_BYTES, true));
	world_run_for(world, 30);
	ck_assert_uint_eq(sender->count[EVENT_TRANSMIT_FILE], 0);
	world_resize_file(world, "file", 1000);
	ASSERT_OK(recorder_read(transmission->receiver, &transmission->in, 0));
	RUN_UNTIL(world, sender->count[EVENT_TRANSMIT_FILE]);
	ASSERT_ERROR(sender->last[EVENT_TRANSMIT_FILE].error, PRO_ETRUNCATED);
	ck_assert_uint_lt(sender->last[EVENT_TRANSMIT_FILE].bytes_sent, 64 << 20);
	transmission_destroy(transmission);
}

static struct transmission *stalled_transmission(struct world *world)
{
	struct transmission *transmission;

	world->is_traced = false;
	world_open(world);
	world_make_sparse_file(world, "file", 64 << 20);
	transmission = transmission_create(world);
	transmission->discards = true;
	recorder_send_little(transmission->sender);
	return transmission;
}

/* The next file that is opened gets its number, perhaps: nothing of that goes out. */
void scenario_transmit_file_whose_file_is_closed_is_an_error(struct world *world)
{
	struct transmission *transmission = stalled_transmission(world);
	struct recorder *sender = transmission->sender;
	pro_handle others[8];

	ASSERT_OK(transmission_start(transmission, 0, 64 << 20, 0, 0, true));
	world_run_for(world, 30);
	ck_assert_uint_eq(sender->count[EVENT_TRANSMIT_FILE], 0);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, transmission->file));
	world_run_ready(world);
	for (unsigned i = 0; i < 8; i++)
		others[i] = world_file(world, "file", PRO_FILE_READ);
	ASSERT_OK(recorder_read(transmission->receiver, &transmission->in, 0));
	RUN_UNTIL(world, sender->count[EVENT_TRANSMIT_FILE]);
	ASSERT_ERROR(sender->last[EVENT_TRANSMIT_FILE].error, PRO_EBADF);
	ck_assert_uint_lt(sender->last[EVENT_TRANSMIT_FILE].bytes_sent, 64 << 20);
	transmission->file = others[0];
	for (unsigned i = 1; i < 8; i++)
		ASSERT_OK(pro_proactor_close_handle(world->proactor, others[i]));
	transmission_destroy(transmission);
}

void scenario_transmit_file_to_a_dying_peer_is_an_error(struct world *world)
{
	struct transmission *transmission = stalled_transmission(world);
	struct recorder *sender = transmission->sender;

	ASSERT_OK(transmission_start(transmission, 0, 64 << 20, HEADER_BYTES, TRAILER_BYTES, true));
	world_run_for(world, 30);
	ck_assert_uint_eq(sender->count[EVENT_TRANSMIT_FILE], 0);
	recorder_close(transmission->receiver);
	RUN_UNTIL(world, sender->count[EVENT_TRANSMIT_FILE]);
	ck_assert(sender->last[EVENT_TRANSMIT_FILE].error == PRO_ECONNRESET ||
			  sender->last[EVENT_TRANSMIT_FILE].error == PRO_EPIPE);
	transmission_destroy(transmission);
}

void scenario_transmit_file_to_a_stalled_peer_times_out(struct world *world)
{
	struct transmission *transmission = stalled_transmission(world);
	struct recorder *sender = transmission->sender;
	uint64_t start_ms = pro_proactor_now_ms(world->proactor);

	ASSERT_OK(pro_operation_set_stall_timeout(&sender->sender.operation, 80));
	ASSERT_OK(transmission_start(transmission, 0, 64 << 20, HEADER_BYTES, TRAILER_BYTES, true));
	RUN_UNTIL(world, sender->count[EVENT_TRANSMIT_FILE]);
	ASSERT_ERROR(sender->last[EVENT_TRANSMIT_FILE].error, PRO_ETIMEDOUT);
	ck_assert_uint_ge(pro_proactor_now_ms(world->proactor) - start_ms, 80);
	ck_assert_uint_gt(sender->last[EVENT_TRANSMIT_FILE].bytes_sent, HEADER_BYTES);
	transmission_destroy(transmission);
}

void scenario_transmit_file_can_be_cancelled(struct world *world)
{
	struct transmission *transmission = stalled_transmission(world);
	struct recorder *sender = transmission->sender;
	uint64_t sent;

	ASSERT_OK(transmission_start(transmission, 0, 64 << 20, HEADER_BYTES, TRAILER_BYTES, true));
	world_run_for(world, 30);
	ASSERT_OK(recorder_cancel(&sender->sender.operation));
	RUN_UNTIL(world, sender->count[EVENT_TRANSMIT_FILE]);
	ASSERT_ERROR(sender->last[EVENT_TRANSMIT_FILE].error, PRO_ECANCELED);
	sent = sender->last[EVENT_TRANSMIT_FILE].bytes_sent;
	ck_assert_uint_gt(sent, HEADER_BYTES);
	ck_assert_uint_lt(sent, 64 << 20);
	recorder_close(sender);
	ASSERT_OK(recorder_read(transmission->receiver, &transmission->in, 0));
	RUN_UNTIL(world, transmission->receiver->errors[EVENT_READ_STREAM]);
	ASSERT_ERROR(transmission->receiver->last[EVENT_READ_STREAM].error, PRO_EOF);
	ck_assert_uint_eq(transmission->received, sent);
	transmission_destroy(transmission);
}

void scenario_transmit_file_in_flight_is_cancelled_by_a_close(struct world *world)
{
	struct transmission *transmission = stalled_transmission(world);
	struct recorder *sender = transmission->sender;

	ASSERT_OK(transmission_start(transmission, 0, 64 << 20, HEADER_BYTES, TRAILER_BYTES, true));
	world_run_for(world, 30);
	recorder_close(sender);
	RUN_UNTIL(world, sender->is_closed);
	ck_assert_uint_eq(sender->cancels[EVENT_TRANSMIT_FILE], 1);
	transmission_destroy(transmission);
}

/* Many at once, of one file, to different peers. */
void scenario_one_file_is_transmitted_to_many_peers(struct world *world)
{
	enum { COUNT = 20 };
	struct transmission *transmissions[COUNT];

	world->is_traced = false;
	world_open(world);
	for (unsigned i = 0; i < COUNT; i++)
		transmissions[i] = transmission_create(world);
	fill_file(transmissions[0], FILE_BYTES);
	for (unsigned i = 0; i < COUNT; i++) {
		/* Half of them have to go on, again and again, where they stopped. */
		if (i % 2)
			recorder_send_little(transmissions[i]->sender);
		ASSERT_OK(recorder_read(transmissions[i]->receiver, &transmissions[i]->in, 0));
		ASSERT_OK(transmission_start(
				transmissions[i], i, FILE_BYTES - i, HEADER_BYTES, TRAILER_BYTES, true));
	}
	for (unsigned i = 0; i < COUNT; i++) {
		RUN_UNTIL(world,
				transmissions[i]->received == FILE_BYTES - i + HEADER_BYTES + TRAILER_BYTES &&
						transmissions[i]->sender->count[EVENT_TRANSMIT_FILE]);
		ASSERT_OK(transmissions[i]->sender->last[EVENT_TRANSMIT_FILE].error);
	}
	for (unsigned i = 0; i < COUNT; i++)
		transmission_destroy(transmissions[i]);
}
