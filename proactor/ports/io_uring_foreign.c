/* The descriptor by which a foreign loop waits for ours: an epoll set of an eventfd that the ring
 * signals at each completion, a timer, and the eventfd of pro_port_vtbl.wake. The descriptor of the
 * ring itself would not do: with deferred task work it does not become readable. */
#include "io_uring.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct pro__ring_foreign {
	int epoll_fd;
	int event_fd;
	int timer_fd;
};

static bool watch(const struct pro__ring_foreign *foreign, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(foreign->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void close_all(const struct pro__ring_foreign *foreign)
{
	const int fds[] = {foreign->epoll_fd, foreign->event_fd, foreign->timer_fd};

	for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static struct pro__ring_foreign *foreign_create(struct pro__ring_port *port)
{
	struct pro__ring_foreign *foreign = pro__allocate(port->proactor, sizeof(*foreign));

	if (!foreign)
		return NULL;
	foreign->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	foreign->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	foreign->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (foreign->epoll_fd >= 0 && foreign->event_fd >= 0 && foreign->timer_fd >= 0 &&
			watch(foreign, foreign->event_fd) && watch(foreign, foreign->timer_fd) &&
			watch(foreign, port->wake_fd))
		return foreign;
	close_all(foreign);
	pro__deallocate(port->proactor, foreign);
	return NULL;
}

pro_handle pro__ring_get_handle(struct pro_port *self)
{
	struct pro__ring_port *port = pro__ring_port_from(self);
	struct pro__ring_foreign *existing = atomic_load(&port->foreign);
	struct pro__ring_foreign *created;

	if (existing)
		return existing->epoll_fd;
	created = foreign_create(port);
	if (!created)
		return PRO_INVALID_HANDLE;
	if (atomic_compare_exchange_strong(&port->foreign, &existing, created))
		return created->epoll_fd;
	/* Another thread was faster. */
	close_all(created);
	pro__deallocate(port->proactor, created);
	return existing->epoll_fd;
}

/* Only the thread of the ring may register anything with it. When that fails for now, the handle
 * becomes readable soon without a cause, and the next wait tries again. */
static void attach(struct pro__ring_port *port, const struct pro__ring_foreign *foreign)
{
	port->ring.calls++;
	port->is_foreign_attached =
			io_uring_register_eventfd(&port->ring.uring, foreign->event_fd) == 0;
}

void pro__ring_foreign_drain(struct pro__ring_port *port)
{
	struct pro__ring_foreign *foreign = atomic_load_explicit(&port->foreign, memory_order_acquire);
	uint64_t count;

	if (!foreign)
		return;
	if (!port->is_foreign_attached)
		attach(port, foreign);
	port->ring.calls++;
	if (read(foreign->event_fd, &count, sizeof(count)) < 0)
		return; /* Nothing was signalled. */
}

static bool has_work_left(const struct pro__ring_port *port)
{
	return pro__ring_tail(&port->ring) != *port->ring.uring.cq.khead ||
		   !pro__list_is_empty(&port->unsent) || !pro__list_is_empty(&port->uncancelled) ||
		   !pro__list_is_empty(&port->yielding) || !pro__list_is_empty(&port->orphans) ||
		   (!pro__list_is_empty(&port->starving) && port->lent.free_count > 0) ||
		   port->unclosed.head || port->closed.head;
}

void pro__ring_arm_handle(struct pro_port *self, uint64_t deadline_ns)
{
	struct pro__ring_port *port = pro__ring_port_from(self);
	struct pro__ring_foreign *foreign = atomic_load(&port->foreign);
	struct itimerspec timer = {0};

	if (!foreign)
		return;
	if (!port->is_foreign_attached) {
		uint64_t retry_ns = pro__linux_now_ns(self) + PRO__RING_PAUSE_NS;
		deadline_ns = deadline_ns < retry_ns ? deadline_ns : retry_ns;
	}
	if (deadline_ns != UINT64_MAX) {
		timer.it_value.tv_sec = (time_t)(deadline_ns / 1000000000);
		/* All zero would disarm it. */
		timer.it_value.tv_nsec = deadline_ns ? (long)(deadline_ns % 1000000000) : 1;
	}
	port->ring.calls++;
	timerfd_settime(foreign->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
	pro__ring_submit(&port->ring);
	if (has_work_left(port))
		pro__ring_wake(self);
}

void pro__ring_foreign_fini(struct pro__ring_port *port)
{
	struct pro__ring_foreign *foreign = atomic_load(&port->foreign);

	if (!foreign)
		return;
	close_all(foreign);
	pro__deallocate(port->proactor, foreign);
}
