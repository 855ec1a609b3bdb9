/* Private: the crew, several threads that run one loop. The state of the engine has one lock;
 * whoever holds it is "on the loop". One thread leads: it waits in the port, without the lock.
 * Callbacks run without it too, at most `concurrency` at once. The rest are parked. */
#ifndef PROACTOR_CREW_H
#define PROACTOR_CREW_H

#include "proactor_private.h"

/* A crew in proactor->crew. PRO_ENOMEM, or what the system refuses. */
int pro__crew_create(struct pro_proactor *proactor);
/* Accepts NULL. */
void pro__crew_destroy(struct pro_proactor *proactor);

/* The loop of a crew; as proactor_run. With `is_one` it returns after callbacks ran, and tells how
 * many. */
int pro__crew_run(struct pro_proactor *proactor, uint64_t deadline_ns, bool heeds_end, bool is_one);
bool pro__crew_is_running(struct pro_proactor *proactor);

/* Whether this thread runs a callback of a crew's loop. */
bool pro__crew_is_in_callback(const struct pro_proactor *proactor);
/* Whether it does and will take the inbox when it is through with its batch. */
bool pro__crew_takes_requests_soon(const struct pro_proactor *proactor);

/* What proactor.c lends to the crew's turn; all with the lock. */
void pro__proactor_begin_turn(struct pro_proactor *proactor);
bool pro__proactor_must_stop(const struct pro_proactor *proactor, bool heeds_end);
bool pro__proactor_is_drained(const struct pro_proactor *proactor);
bool pro__proactor_is_past(struct pro_proactor *proactor, uint64_t deadline_ns);
int64_t pro__nanoseconds_until(struct pro_proactor *proactor, uint64_t deadline_ns);
/* Asks the port, waiting until `deadline_ns` or the next timer; `waits` false: without waiting. */
void pro__proactor_wait(struct pro_proactor *proactor, uint64_t deadline_ns, bool waits);
/* Before a foreign loop polls our descriptor: whatever is left to do must make it readable. */
void pro__proactor_arm_foreign_loop(struct pro_proactor *proactor);
struct pro_event *pro__event_pop(struct pro_proactor *proactor);
/* Puts events that were taken out back before all others, in their order. Accepts NULL. */
void pro__event_return(struct pro_proactor *proactor, struct pro_event *head);
/* When the loop must look at its timers at the latest; UINT64_MAX: never. */
uint64_t pro__proactor_timers_due_ns(const struct pro_proactor *proactor);
/* Says which loop this thread is on; returns the one before. */
const struct pro_proactor *pro__set_current_loop(const struct pro_proactor *proactor);

#endif
