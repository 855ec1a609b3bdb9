/* Private: a place where threads wait that have nothing to do, without polling. Whoever came last
 * is woken first, since its caches are the warmest; one alarm can be set, which wakes one of them.
 */
#ifndef PROACTOR_PORTS_PARKING_H
#define PROACTOR_PORTS_PARKING_H

#include <stdint.h>

#if defined(_WIN32)
struct pro__parking {
	void *port;
	void *timer;
};
#else
struct pro__parking {
	int poll_fd;
	int wake_fd;
	int alarm_fd;
};
#endif

/* 0 or an enum pro_error. */
int pro__parking_init(struct pro__parking *parking);
void pro__parking_fini(struct pro__parking *parking);
#define PRO__PARKING_ALARM UINT64_MAX
/* Waits for a wake, the alarm or `timeout_ns` (negative: none), perhaps less. Returns how many
 * wakes it took, PRO__PARKING_ALARM, or 0. Whoever takes more than one must wake others for the
 * rest. [any thread] */
uint64_t pro__parking_wait(struct pro__parking *parking, int64_t timeout_ns);
/* Wakes one thread, or the next that waits. [any thread] */
void pro__parking_wake(struct pro__parking *parking);
/* Wakes one thread in `delay_ns`; 0 takes the alarm back. [any thread] */
void pro__parking_set_alarm(struct pro__parking *parking, uint64_t delay_ns);

#endif
