/* Timers, one-shot and repeating. ACE: ACE_Proactor::schedule_timer, schedule_repeating_timer,
 * cancel_timer. */
#ifndef PROACTOR_ASYNCH_TIMER_H
#define PROACTOR_ASYNCH_TIMER_H

#include <proactor/handler.h>

PRO_BEGIN_DECLS

struct pro_asynch_timer {
	struct pro_operation operation; /* first */
};

/* error 0: the timer is due. For a repeating timer is_final is false: it goes on until it is
 * cancelled or its handler closed. The last callback of a flight has is_final true; that of a
 * cancelled timer has error PRO_ECANCELED and is no expiry. */
struct pro_asynch_timer_result {
	PRO_RESULT_MEMBERS;
	uint64_t expirations; /* intervals that are over since the last callback: 1, or more when the
							 loop was late */
	bool is_final;
};

/* Binds to its handler. Needs handle_time_out. PRO_EINVAL. [set-up or callback] Since 0.1. */
PRO_API int pro_asynch_timer_open(
		struct pro_asynch_timer *timer, struct pro_handler *handler, const void *completion_key);

/* Expires once, `delay_ms` milliseconds from now, never early: 0 at the next turn of the loop,
 * PRO_EINVAL for negative values; INT64_MAX is 292 million years. PRO_EBUSY while it
 * runs, PRO_ECLOSED, PRO_EFORKED. Allocates nothing. [any thread] ACE: schedule_timer. Since 0.1.
 */
PRO_API int pro_asynch_timer_schedule(struct pro_asynch_timer *timer, int64_t delay_ms);

/* Expires `delay_ms` from now and then every `interval_ms` (at least 1) without drifting. Intervals
 * that the loop missed are counted, not repeated. Errors as schedule. [any thread] ACE:
 * schedule_repeating_timer. Since 0.1. */
PRO_API int pro_asynch_timer_schedule_repeating(
		struct pro_asynch_timer *timer, int64_t delay_ms, int64_t interval_ms);

/* Cancels every timer of the handler that is in flight; returns how many, PRO_EINVAL or
 * PRO_EFORKED. [callback or set-up: the loop's thread] ACE: cancel_timer(handler). Since 0.1. */
PRO_API int pro_asynch_timer_cancel_all(struct pro_handler *handler);

PRO_END_DECLS

#endif
