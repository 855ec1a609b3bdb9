/* What the two sides of a connection send each other, and the comparison of that with what came. */
#ifndef TESTS_RACES_WIRE_H
#define TESTS_RACES_WIRE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one direction of a stream, in one life. */
#define WIRE_BYTES    49152u
#define WIRE_MESSAGES 400u
#define TABLE_BYTES   16384u

/* All bytes that are sent come from here. */
extern unsigned char table[2 * TABLE_BYTES];

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

struct parts parts_of(uint32_t number);

/* What the bytes of a message are: a piece of the table. */
const unsigned char *message_bytes(uint32_t number);

struct record *record_create(uint64_t id, unsigned references);
/* The last one compares. */
void record_release(struct record *record);

#endif
