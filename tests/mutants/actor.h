/* What the checker's handlers share: each start and each callback is written down and compared with
 * what the contract promises. */
#ifndef TESTS_MUTANTS_ACTOR_H
#define TESTS_MUTANTS_ACTOR_H

#include <proactor/handler.h>
#include <proactor/sim.h>

/* Posts of one actor on their way at once: more than the library delivers in one go. */
#define POSTS 700u

struct actor;
struct laws;

/* One operation and its flight. */
struct track {
	struct actor *actor;
	const char *name;
	struct pro_operation *operation;
	struct track *next; /* of the actor's */
	uint64_t started_ns;
	uint64_t cancel_ns; /* when a cancel was asked for; 0: it was not */
	int64_t timeout_ms; /* of later flights */
	int64_t flight_timeout_ms;
	bool in_flight;
	bool is_cancel_sure; /* nothing but PRO_ECANCELED may come now */
	bool may_time_out;   /* by itself */
};

struct post {
	struct pro_message_block block;
	unsigned number;
	bool is_busy;
};

/* A handler under observation. */
struct actor {
	struct laws *laws;
	struct pro_handler *handler;
	const char *name;
	struct actor *prev; /* of the world's */
	struct actor *next;
	struct track *tracks;
	uint64_t closing_ns; /* when its close was asked for; 0: it was not */
	uint64_t wakeup_ns;  /* of a wake-up that is owed; 0: none is */
	struct post posts[POSTS];
	unsigned posts_sent;
	unsigned posts_seen;
	/* Does something by chance; `on_loop` inside a callback of its. */
	void (*act)(struct actor *actor, bool on_loop);
};

/* What all of them share, and the session begins with. */
struct laws {
	struct pro_sim *sim;
	struct actor *actors;
	unsigned actors_count;
	unsigned calls;      /* of the library that are under way */
	bool is_in_callback; /* of an actor */
	bool is_over;        /* proactors may be shut down now */
	bool is_calm;        /* no more mischief */
};

/* Around a call of the library: no callback may come inside. Gives the call's value. */
#define CALL(actor, call) laws_end_call((actor)->laws, (laws_begin_call((actor)->laws), (call)))

void laws_begin_call(struct laws *laws);
int laws_end_call(struct laws *laws, int error);
/* A number below `bound`; whether a chance of one in `bound` comes true. */
unsigned laws_choose(struct laws *laws, unsigned bound);
bool laws_chance(struct laws *laws, unsigned bound);
/* Looks for what is overdue. */
void laws_check(struct laws *laws);
/* Whether nobody waits for a wake-up or the end of a cancel. */
bool laws_owe_nothing(const struct laws *laws);

void actor_init(struct actor *actor, struct laws *laws, struct pro_handler *handler,
		const char *name, void (*act)(struct actor *actor, bool on_loop));
void actor_enter(struct actor *actor);
void actor_leave(struct actor *actor);
/* In handle_close, last; takes it out of the world's list. */
void actor_closed(struct actor *actor);
void actor_close(struct actor *actor);
bool actor_is_closing(const struct actor *actor);
void actor_post(struct actor *actor, unsigned count);
void actor_wakeup(struct actor *actor);
/* For the slots of the same names. */
void actor_handle_post(struct actor *actor, const struct pro_post_result *result);
void actor_handle_wakeup(struct actor *actor);

void track_init(struct track *track, struct actor *actor, struct pro_operation *operation,
		const char *name);
/* A start returned `error`; true when there is a flight now. */
bool track_started(struct track *track, int error);
/* Its callback came. */
void track_ended(struct track *track, int error);
void track_cancel(struct track *track, bool on_loop);
/* It was cancelled in another way; `is_sure`: nothing else may come now. */
void track_cancelled(struct track *track, bool is_sure);
void track_set_timeout(struct track *track, int64_t timeout_ms);
uint64_t track_elapsed_ns(const struct track *track);

#endif
