/* Parking on epoll: an exclusive waiter of epoll_wait is queued at the head, so the kernel itself
 * wakes the last that came. */
#include "parking.h"
#include "port.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NANOSECONDS_PER_SECOND 1000000000u

static int watch(const struct pro__parking *parking, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};

	return epoll_ctl(parking->poll_fd, EPOLL_CTL_ADD, fd, &event);
}

int pro__parking_init(struct pro__parking *parking)
{
	int os_error;

	parking->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	parking->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	parking->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (parking->poll_fd >= 0 && parking->wake_fd >= 0 && parking->alarm_fd >= 0 &&
			!watch(parking, parking->wake_fd) && !watch(parking, parking->alarm_fd))
		return 0;
	os_error = errno;
	pro__parking_fini(parking);
	return pro__error_from_os(os_error);
}

void pro__parking_fini(struct pro__parking *parking)
{
	const int fds[] = {parking->poll_fd, parking->wake_fd, parking->alarm_fd};

	for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	*parking = (struct pro__parking){-1, -1, -1};
}

uint64_t pro__parking_wait(struct pro__parking *parking, int64_t timeout_ns)
{
	struct epoll_event event;
	uint64_t count;
	int timeout_ms = -1;

	if (timeout_ns >= 0)
		timeout_ms = timeout_ns / 1000000 >= INT_MAX ? INT_MAX : (int)(timeout_ns / 1000000 + 1);
	if (epoll_wait(parking->poll_fd, &event, 1, timeout_ms) != 1 ||
			read(event.data.fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	return event.data.fd == parking->alarm_fd ? PRO__PARKING_ALARM : count;
}

void pro__parking_wake(struct pro__parking *parking)
{
	const uint64_t one = 1;

	(void)!write(parking->wake_fd, &one, sizeof(one));
}

void pro__parking_set_alarm(struct pro__parking *parking, uint64_t delay_ns)
{
	const struct itimerspec when = {
			.it_value = {(time_t)(delay_ns / NANOSECONDS_PER_SECOND),
					(long)(delay_ns % NANOSECONDS_PER_SECOND)},
	};

	timerfd_settime(parking->alarm_fd, 0, &when, NULL);
}
