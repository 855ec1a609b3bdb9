#include "wire.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../support/quick_assert.h"

unsigned char table[2 * TABLE_BYTES];

struct parts parts_of(uint32_t number)
{
	struct parts parts = {
			.header = number % 3 ? number % 90 + 1 : 0,
			.file = number % 5 ? number * 37 % 7000 + 1 : 0,
			.trailer = number % 4 ? number % 50 + 1 : 0,
			.offset = number * 101 % (TABLE_BYTES - 7001),
	};

	return parts;
}

const unsigned char *message_bytes(uint32_t number)
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

struct record *record_create(uint64_t id, unsigned references)
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

void record_release(struct record *record)
{
	if (!record || atomic_fetch_sub(&record->references, 1) > 1)
		return;
	check_wire(record, &record->wires[0]);
	check_wire(record, &record->wires[1]);
	free(record);
}
