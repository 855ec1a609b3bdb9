/* Debug mode: records of what is in flight, and what they are compared with. */
#include "debug.h"

#include "ports/thread.h"
#include "ports/where.h"

#include "crew.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEBUG_BUCKETS 1024u
/* Records looked at in one turn of the loop, so that a turn stays short with many flights. */
#define DEBUG_CHECKS_PER_TURN 256u
/* Bytes of a block that are summed, or get the pattern: the first of very long ones. */
#define DEBUG_BYTES_MAX ((size_t)1 << 20)
#define DEBUG_TEXT      400
#define SUM_MULTIPLY    UINT64_C(0x9E3779B97F4A7C15)

/* A block as it was when the flight began. */
struct piece {
	struct pro_message_block *block;
	unsigned char *base;
	size_t size;
	size_t rd;
	size_t wr;
	struct pro_message_block *cont;
	size_t length;  /* of the bytes that the flight uses: from wr when it reads, from rd else */
	size_t watched; /* of those */
	bool is_vector;
	bool is_read;
	bool is_marked; /* counted in the block's queue_flags */
};

struct record {
	struct pro_list_node link; /* looked at longest ago comes first */
	struct record *next;       /* of the bucket */
	struct pro_operation *operation;
	struct pro_message_block *message; /* NULL: the operation's own flight */
	const struct pro_operation_vtbl *vtbl;
	struct pro_owner *owner;
	void (*closed)(struct pro_owner *owner);
	pro_handle handle;
	uint64_t flight;
	uint64_t began_ms;
	const void *caller;
	uint64_t sum; /* of what is written out */
	bool is_told; /* a change was reported */
	unsigned piece_count;
	struct piece pieces[];
};

struct pro__debug {
	struct pro__mutex mutex;
	struct pro_proactor *proactor;
	bool aborts;
	struct pro_list_node records;
	struct record *buckets[DEBUG_BUCKETS];
	uint64_t lost;
};

/* ---- reports ---- */

static void debug_report(const struct pro__debug *debug, const char *format, ...) PRO_PRINTF(2, 3);

static void debug_report(const struct pro__debug *debug, const char *format, ...)
{
	const struct pro_proactor_options *options = &debug->proactor->options;
	const struct pro_port_vtbl *port = pro__port_vtbl(debug->proactor);
	char text[2 * DEBUG_TEXT];
	va_list arguments;
	bool is_told;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	is_told = port->caught && port->caught(pro__port(debug->proactor), text);
	if (options->log) {
		options->log(options->log_context, PRO_LOG_ERROR, text);
	} else if (!is_told) {
		fputs(text, stderr);
		fputc('\n', stderr);
	}
	if (debug->aborts)
		abort();
}

static const char *place(const void *caller, char *text, size_t size)
{
	pro__where_text(caller, text, size);
	return text;
}

/* "read_stream 0x1 of handler 0x2, handle 7, 12 ms old, started by echo_server+0x12f3" */
static const char *record_text(
		const struct pro__debug *debug, const struct record *record, char *text, size_t size)
{
	char caller[DEBUG_TEXT / 2];

	snprintf(text, size, "%s %p of handler %p, handle %lld, %llu ms old, started by %s",
			record->vtbl->name, (void *)record->operation, (void *)record->owner,
			(long long)record->handle,
			(unsigned long long)(pro_proactor_now_ms(debug->proactor) - record->began_ms),
			place(record->caller, caller, sizeof(caller)));
	return text;
}

/* ---- the records; with the mutex ---- */

static struct record **debug_bucket(struct pro__debug *debug, const struct pro_operation *operation)
{
	return &debug->buckets[((uintptr_t)operation * SUM_MULTIPLY >> 40) % DEBUG_BUCKETS];
}

/* Any record of the operation when `message` is NULL and `is_any`. */
static struct record *debug_find(struct pro__debug *debug, const struct pro_operation *operation,
		const struct pro_message_block *message, bool is_any)
{
	struct record *record = *debug_bucket(debug, operation);

	while (record && (record->operation != operation || (record->message != message && !is_any)))
		record = record->next;
	return record;
}

static void debug_insert(struct pro__debug *debug, struct record *record)
{
	struct record **bucket = debug_bucket(debug, record->operation);

	record->next = *bucket;
	*bucket = record;
	pro__list_append(&debug->records, &record->link);
}

static void debug_remove(struct pro__debug *debug, struct record *record)
{
	struct record **link = debug_bucket(debug, record->operation);

	while (*link != record)
		link = &(*link)->next;
	*link = record->next;
	pro__list_remove(&record->link);
}

/* ---- blocks ---- */

static size_t smaller(size_t left, size_t right)
{
	return left < right ? left : right;
}

static uint64_t add_to_sum(uint64_t sum, const unsigned char *bytes, size_t length)
{
	uint64_t word;

	for (; length >= sizeof(word); bytes += sizeof(word), length -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		sum = (sum ^ word) * SUM_MULTIPLY;
		sum ^= sum >> 29;
	}
	for (; length > 0; bytes++, length--)
		sum = (sum ^ *bytes) * SUM_MULTIPLY;
	return sum;
}

static uint64_t record_sum(const struct record *record)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < record->piece_count; i++) {
		const struct piece *piece = &record->pieces[i];

		if (!piece->is_read)
			sum = add_to_sum(sum, piece->base + piece->rd, piece->watched);
	}
	return sum;
}

static unsigned chain_pieces(const struct pro__chain *chain)
{
	const struct pro_message_block *block;
	unsigned count = 0;

	for (block = chain->block; block; block = chain->is_vector ? block->cont : NULL)
		count++;
	return count;
}

static void record_add_chain(struct record *record, const struct pro__chain *chain)
{
	struct pro_message_block *block;
	size_t left = chain->bytes;

	for (block = chain->block; block; block = chain->is_vector ? block->cont : NULL) {
		size_t length =
				chain->is_read ? pro_message_block_space(block) : pro_message_block_length(block);
		struct piece *piece = &record->pieces[record->piece_count++];

		*piece = (struct piece){
				.block = block,
				.base = block->base,
				.size = block->size,
				.rd = block->rd,
				.wr = block->wr,
				.cont = block->cont,
				.length = smaller(length, left),
				.is_vector = chain->is_vector,
				.is_read = chain->is_read,
		};
		left -= piece->length;
		piece->watched = smaller(piece->length, DEBUG_BYTES_MAX);
		piece->is_marked = !chain->may_be_shared;
		if (piece->is_marked)
			block->queue_flags += PRO__BLOCK_WATCH;
		if (piece->is_read && piece->watched > 0)
			memset(piece->base + piece->wr, PRO__PATTERN, piece->watched);
	}
}

/* What is wrong with the block, as the end of a sentence; NULL: nothing. */
static const char *piece_fault(const struct piece *piece)
{
	const struct pro_message_block *block = piece->block;

	if (block->base != piece->base || block->size != piece->size ||
			(piece->is_marked && block->queue_flags < PRO__BLOCK_WATCH))
		return "was freed or made anew";
	if (piece->is_marked && (block->queue_flags & PRO__BLOCK_RELEASED))
		return "was released";
	if (piece->is_vector && block->cont != piece->cont)
		return "got another cont";
	/* The library moves the other one itself, when it advances. */
	if (piece->is_read ? block->rd != piece->rd : block->wr != piece->wr)
		return piece->is_read ? "got another rd" : "got another wr";
	return NULL;
}

/* Whether something else than the flight, which filled `bytes`, wrote to the spaces. */
static bool record_spaces_changed(const struct record *record, size_t bytes)
{
	for (unsigned i = 0; i < record->piece_count; i++) {
		const struct piece *piece = &record->pieces[i];
		size_t filled = smaller(bytes, piece->length);

		if (!piece->is_read)
			continue;
		bytes -= filled;
		for (size_t at = filled; at < piece->watched; at++) {
			if (piece->base[piece->wr + at] != PRO__PATTERN)
				return true;
		}
	}
	return false;
}

static void record_unmark(const struct record *record)
{
	for (unsigned i = 0; i < record->piece_count; i++) {
		const struct piece *piece = &record->pieces[i];

		/* Not if it was made anew. */
		if (!piece->is_marked || piece->block->queue_flags < PRO__BLOCK_WATCH)
			continue;
		piece->block->queue_flags -= PRO__BLOCK_WATCH;
		piece->block->queue_flags &= ~(uint32_t)PRO__BLOCK_RELEASED;
	}
}

/* ---- what is compared ---- */

/* Whether the memory of the operation and its handler still is what it was: what free or a new use
 * overwrites first. */
static bool record_is_intact(const struct pro__debug *debug, const struct record *record)
{
	const struct pro_operation *operation = record->operation;

	if (record->owner->proactor != debug->proactor || record->owner->closed != record->closed)
		return false;
	if (operation->vtbl != record->vtbl || operation->owner != record->owner)
		return false;
	return record->message ||
		   atomic_load_explicit(&operation->flight, memory_order_relaxed) == record->flight;
}

/* Writes what is wrong into `text`, once for each record; false: nothing. */
static bool record_fault(
		const struct pro__debug *debug, struct record *record, char *text, size_t size)
{
	char what[DEBUG_TEXT];
	const char *fault = NULL;

	if (record->is_told)
		return false;
	if (!record_is_intact(debug, record)) {
		record->is_told = true;
		snprintf(text, size,
				"debug: handler or operation was freed or overwritten while in flight: %s",
				record_text(debug, record, what, sizeof(what)));
		return true;
	}
	for (unsigned i = 0; i < record->piece_count && !fault; i++) {
		fault = piece_fault(&record->pieces[i]);
		if (fault)
			snprintf(text, size, "debug: block %p %s while in flight: %s",
					(void *)record->pieces[i].block, fault,
					record_text(debug, record, what, sizeof(what)));
	}
	record->is_told = fault != NULL;
	return fault != NULL;
}

void pro__debug_turn(struct pro_proactor *proactor)
{
	struct pro__debug *debug = proactor->debug;
	struct pro_list_node *first = NULL;
	char text[2 * DEBUG_TEXT];

	for (unsigned checks = 0; checks < DEBUG_CHECKS_PER_TURN; checks++) {
		struct pro_list_node *node;
		bool is_faulty = false;

		pro__mutex_lock(&debug->mutex);
		node = debug->records.next;
		if (node != &debug->records && node != first) {
			pro__list_remove(node);
			pro__list_append(&debug->records, node);
			is_faulty = record_fault(
					debug, pro_container_of(node, struct record, link), text, sizeof(text));
		}
		pro__mutex_unlock(&debug->mutex);
		if (is_faulty)
			debug_report(debug, "%s", text);
		if (node == &debug->records || node == first)
			return;
		if (!first)
			first = node;
	}
}

/* ---- flights and messages ---- */

static void debug_begin(struct pro_operation *operation, struct pro_message_block *message,
		const void *caller, const struct pro__chain *chains, unsigned chain_count)
{
	struct pro_proactor *proactor = operation->owner->proactor;
	struct pro__debug *debug = proactor->debug;
	struct record *record;
	unsigned pieces = 0;

	for (unsigned i = 0; i < chain_count; i++)
		pieces += chain_pieces(&chains[i]);
	record = pro__allocate(proactor, sizeof(*record) + pieces * sizeof(record->pieces[0]));
	if (!record) {
		debug->lost++;
		return;
	}
	memset(record, 0, sizeof(*record));
	record->operation = operation;
	record->message = message;
	record->vtbl = operation->vtbl;
	record->owner = operation->owner;
	record->closed = operation->owner->closed;
	record->handle = operation->handle;
	record->flight = atomic_load_explicit(&operation->flight, memory_order_relaxed);
	record->began_ms = pro_proactor_now_ms(proactor);
	record->caller = caller;
	for (unsigned i = 0; i < chain_count; i++)
		record_add_chain(record, &chains[i]);
	record->sum = record_sum(record);
	pro__mutex_lock(&debug->mutex);
	debug_insert(debug, record);
	pro__mutex_unlock(&debug->mutex);
}

static void debug_end(struct pro_operation *operation, struct pro_message_block *message)
{
	struct pro_proactor *proactor = operation->owner->proactor;
	struct pro__debug *debug = proactor->debug;
	char text[2 * DEBUG_TEXT];
	char what[DEBUG_TEXT];
	struct record *record;
	bool is_faulty;

	pro__mutex_lock(&debug->mutex);
	record = debug_find(debug, operation, message, false);
	if (record)
		debug_remove(debug, record);
	pro__mutex_unlock(&debug->mutex);
	if (!record)
		return;
	is_faulty = record_fault(debug, record, text, sizeof(text));
	if (is_faulty)
		debug_report(debug, "%s", text);
	else if (!record->is_told && record_sum(record) != record->sum)
		debug_report(debug, "debug: bytes changed while they were written out: %s",
				record_text(debug, record, what, sizeof(what)));
	else if (!record->is_told && !operation->error &&
			 record_spaces_changed(record, operation->bytes))
		debug_report(debug, "debug: space was written to while it was read into: %s",
				record_text(debug, record, what, sizeof(what)));
	record_unmark(record);
	pro__deallocate(proactor, record);
}

void pro__debug_flight_begins(struct pro_operation *operation)
{
	struct pro__chain chains[PRO__CHAINS_MAX];
	unsigned count = operation->vtbl->chains ? operation->vtbl->chains(operation, chains) : 0;

	debug_begin(operation, NULL, operation->caller, chains, count);
}

void pro__debug_flight_ends(struct pro_operation *operation)
{
	debug_end(operation, NULL);
}

void pro__debug_message_begins(
		struct pro_operation *operation, struct pro_message_block *block, bool is_vector)
{
	const struct pro__chain chain = {
			.block = block,
			.bytes = block->queue_bytes,
			.is_vector = is_vector,
	};

	debug_begin(operation, block, block->queue_caller, &chain, 1);
}

void pro__debug_message_ends(struct pro_operation *operation, struct pro_message_block *block)
{
	debug_end(operation, block);
}

/* ---- calls ---- */

void pro__debug_operation_init(struct pro_operation *operation, struct pro_owner *owner)
{
	struct pro__debug *debug = owner->proactor->debug;
	char what[DEBUG_TEXT];
	struct record *record;

	pro__mutex_lock(&debug->mutex);
	record = debug_find(debug, operation, NULL, true);
	if (record) {
		record->is_told = true;
		record_text(debug, record, what, sizeof(what));
	}
	pro__mutex_unlock(&debug->mutex);
	if (record)
		debug_report(debug, "debug: operation was opened again while in flight: %s", what);
}

void pro__debug_owner_init(struct pro_owner *owner, struct pro_proactor *proactor)
{
	struct pro__debug *debug = proactor->debug;
	struct record *found = NULL;
	struct pro_list_node *node;
	char what[DEBUG_TEXT];

	pro__mutex_lock(&debug->mutex);
	for (node = debug->records.next; node != &debug->records; node = node->next) {
		struct record *record = pro_container_of(node, struct record, link);

		if (record->owner != owner)
			continue;
		record->is_told = true;
		found = record;
	}
	if (found)
		record_text(debug, found, what, sizeof(what));
	pro__mutex_unlock(&debug->mutex);
	if (found)
		debug_report(debug, "debug: handler was made anew, or freed, while in flight: %s", what);
}

void pro__debug_restarted(struct pro_operation *operation, const void *caller)
{
	char first[DEBUG_TEXT / 2];
	char second[DEBUG_TEXT / 2];

	debug_report(operation->owner->proactor->debug,
			"debug: operation was started while in flight, by %s: %s %p of handler %p, handle "
			"%lld, "
			"started by %s",
			place(caller, second, sizeof(second)), operation->vtbl->name, (void *)operation,
			(void *)operation->owner, (long long)operation->handle,
			place(operation->caller, first, sizeof(first)));
}

void pro__debug_queued_again(const struct pro_operation *operation,
		const struct pro_message_block *block, const void *caller)
{
	char first[DEBUG_TEXT / 2];
	char second[DEBUG_TEXT / 2];

	debug_report(operation->owner->proactor->debug,
			"debug: block %p was written while it was queued, by %s: %s %p of handler %p, handle "
			"%lld; queued by %s",
			(const void *)block, place(caller, second, sizeof(second)), operation->vtbl->name,
			(const void *)operation, (void *)operation->owner, (long long)operation->handle,
			place(block->queue_caller, first, sizeof(first)));
}

void pro__debug_wrong_thread(
		struct pro_proactor *proactor, const char *what, const void *object, const void *caller)
{
	char from[DEBUG_TEXT / 2];

	debug_report(proactor->debug, "debug: wrong thread: %s(%p), called by %s", what, object,
			place(caller, from, sizeof(from)));
}

void pro__tell_misuse(
		const struct pro_proactor *proactor, const char *operation, const char *misuse)
{
	if (proactor->debug)
		debug_report(proactor->debug, "debug: %s: %s", operation, misuse);
	else
		pro_proactor_log(proactor, PRO_LOG_ERROR, "%s: %s", operation, misuse);
}

/* ---- for dumps ---- */

static uint64_t record_age_ms(const struct pro__debug *debug, const struct record *record)
{
	return pro_proactor_now_ms(debug->proactor) - record->began_ms;
}

bool pro__debug_age(const struct pro_operation *operation, const struct pro_message_block *block,
		uint64_t *age_ms)
{
	struct pro__debug *debug = operation->owner->proactor->debug;
	struct record *record;

	if (!debug)
		return false;
	pro__mutex_lock(&debug->mutex);
	record = debug_find(debug, operation, block, false);
	if (record)
		*age_ms = record_age_ms(debug, record);
	pro__mutex_unlock(&debug->mutex);
	return record != NULL;
}

void pro__debug_messages(const struct pro_operation *operation,
		void (*visit)(void *context, const struct pro_message_block *block, uint64_t age_ms),
		void *context)
{
	struct pro__debug *debug = operation->owner->proactor->debug;
	struct record *record;

	/* Only the loop's thread removes records, and new ones come before those that are there. */
	for (record = *debug_bucket(debug, operation); record; record = record->next) {
		if (record->operation == operation && record->message)
			visit(context, record->message, record_age_ms(debug, record));
	}
}

uint64_t pro__debug_lost(const struct pro_proactor *proactor)
{
	return proactor->debug ? proactor->debug->lost : 0;
}

/* ---- making and freeing ---- */

static enum pro_debug debug_choice(const struct pro_proactor *proactor)
{
	const char *text = getenv("PROACTOR_DEBUG");

	if (proactor->options.debug != PRO_DEBUG_DEFAULT)
		return proactor->options.debug;
	if (!text || !*text)
		return PRO__DEBUG_OF_BUILD;
	if (!strcmp(text, "abort"))
		return PRO_DEBUG_ABORT;
	return strcmp(text, "0") ? PRO_DEBUG_REPORT : PRO_DEBUG_OFF;
}

int pro__debug_create(struct pro_proactor *proactor)
{
	enum pro_debug choice = debug_choice(proactor);
	struct pro__debug *debug;
	int error;

	if (choice == PRO_DEBUG_OFF)
		return 0;
	debug = pro__allocate(proactor, sizeof(*debug));
	if (!debug)
		return PRO_ENOMEM;
	memset(debug, 0, sizeof(*debug));
	error = pro__mutex_init(&debug->mutex);
	if (error) {
		pro__deallocate(proactor, debug);
		return error;
	}
	debug->proactor = proactor;
	debug->aborts = choice == PRO_DEBUG_ABORT;
	pro__list_init(&debug->records);
	proactor->debug = debug;
	return 0;
}

void pro__debug_destroy(struct pro_proactor *proactor)
{
	if (!proactor->debug)
		return;
	pro__mutex_fini(&proactor->debug->mutex);
	pro__deallocate(proactor, proactor->debug);
}
