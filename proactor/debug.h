/* Private: debug mode, which keeps a record of all that is in flight and tells of misuse.
 *
 * A record holds what may not change meanwhile: who the operation belongs to, the shape of its
 * blocks, a sum of what is written. Space that is read into gets a pattern. Without debug mode
 * proactor->debug is NULL, and nothing here is called but pro__debug_create. */
#ifndef PROACTOR_DEBUG_H
#define PROACTOR_DEBUG_H

#include "proactor_private.h"

/* Sets proactor->debug if the options, the environment or the build ask for it: 0, PRO_ENOMEM. */
int pro__debug_create(struct pro_proactor *proactor);
void pro__debug_destroy(struct pro_proactor *proactor); /* accepts one without */

/* A flight, or one `message` of an operation that queues them, begins and ends. [loop thread] */
void pro__debug_flight_begins(struct pro_operation *operation);
void pro__debug_flight_ends(struct pro_operation *operation);
void pro__debug_message_begins(
		struct pro_operation *operation, struct pro_message_block *block, bool is_vector);
void pro__debug_message_ends(struct pro_operation *operation, struct pro_message_block *block);

/* Looks at a bounded share of the records: whether their memory is still what it was. [loop thread]
 */
void pro__debug_turn(struct pro_proactor *proactor);

/* An operation or a handler is made anew in this memory. [any thread] */
void pro__debug_operation_init(struct pro_operation *operation, struct pro_owner *owner);
void pro__debug_owner_init(struct pro_owner *owner, struct pro_proactor *proactor);

/* A start that found the operation in flight, or its block queued; a call by a thread that runs no
 * callback. [any thread] */
void pro__debug_restarted(struct pro_operation *operation, const void *caller);
void pro__debug_queued_again(const struct pro_operation *operation,
		const struct pro_message_block *block, const void *caller);
void pro__debug_wrong_thread(
		struct pro_proactor *proactor, const char *what, const void *object, const void *caller);

/* How old a flight is, in ms; false when there is no record of it. A NULL block is the operation's
 * own flight. [loop thread] */
bool pro__debug_age(const struct pro_operation *operation, const struct pro_message_block *block,
		uint64_t *age_ms);
/* Calls visit for each message of an operation that queues them. [loop thread] */
void pro__debug_messages(const struct pro_operation *operation,
		void (*visit)(void *context, const struct pro_message_block *block, uint64_t age_ms),
		void *context);
/* Flights without a record, for want of memory. */
uint64_t pro__debug_lost(const struct pro_proactor *proactor);

#endif
