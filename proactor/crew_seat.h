/* Private: what a thread of a crew has taken to be called, and to whom the callbacks of a handler
 * belong meanwhile. All but pro__seat_of with the lock of the crew. */
#ifndef PROACTOR_CREW_SEAT_H
#define PROACTOR_CREW_SEAT_H

#include "crew.h"

#define PRO__BATCH_MAX 64

/* What is dispatched without the lock. */
struct pro__dispatch {
	struct pro_event *event;
	void (*call)(struct pro_event *event);
	void (*finish)(struct pro_owner *owner);
	struct pro_owner *owner;
};

/* A thread's place in a crew, on its stack while it runs the loop. */
struct pro__seat {
	struct pro_proactor *proactor;
	struct pro__seat *outer; /* of another proactor's loop, inside whose callback this one runs */
	struct pro_list_node link;
	bool is_dispatching;
	bool is_polling; /* looks into the port and goes on at once */
	bool is_blocking;
	bool has_blocked;       /* in this batch */
	bool was_robbed;        /* of what is behind `next` */
	uint64_t began_ns;      /* when the batch did, or the look into the port before it */
	unsigned count;         /* of the batch; changed with the lock */
	unsigned kept;          /* what a robber left begins here */
	_Atomic(unsigned) next; /* of the batch to be called; whoever moves it has what it passed */
	struct pro__dispatch batch[PRO__BATCH_MAX];
};

/* The place that this thread has in the crew of `proactor`; NULL: none. */
struct pro__seat *pro__seat_of(const struct pro_proactor *proactor);
/* Puts the thread's place among the `seats` of its crew, and takes it out. */
void pro__seat_take_place(struct pro__seat *seat, struct pro_list_node *seats);
void pro__seat_leave_place(struct pro__seat *seat);

/* Takes a batch of at most `most` events, those of `victim`, which may be NULL, first. `seats`: of
 * the crew. */
void pro__seat_take_batch(struct pro__seat *seat, const struct pro_list_node *seats,
		struct pro__seat *victim, uint64_t most);
/* Lets go of the first `count` of the batch, which have been called: their owners may be called
 * elsewhere. */
void pro__seat_finish(struct pro__seat *seat, unsigned count);
/* The batch has come to a stop in a callback, of which it is not known when it ends: what was
 * called before that is through. `next` is behind it. */
void pro__seat_finish_before(struct pro__seat *seat, unsigned next);
/* Whether the thread holds more than what it is in. */
bool pro__seat_holds_others(const struct pro__seat *seat);

#endif
