/* The epoll port: readiness turned into completions. */
#include "msan.h"
#include "epoll.h"

#include <errno.h>
#include <limits.h>
#include <linux/time_types.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Events that belong to no entry; an entry's have the number of its descriptor in the low half. */
#define EVENT_WAKE  UINT64_MAX
#define EVENT_TIMER (UINT64_MAX - 1)

#define NANOSECONDS_PER_SECOND      1000000000
#define NANOSECONDS_PER_MILLISECOND 1000000

/* How often a connect to a UNIX-domain listener, or a datagram to such a socket, whose queue is
 * full is tried again. */
#define REFUSED_RETRY_NS NANOSECONDS_PER_MILLISECOND

/* ---- submissions ---- */

static void submit_on_descriptor(
		struct epoll_port *port, struct pro_operation *operation, bool is_reader)
{
	struct epoll_result result = {0};
	struct epoll_entry *entry = pro__epoll_find(port, operation, &result);
	int os_error = 0;

	if (entry && operation->opcode == PRO_OP_TRANSMIT_FILE)
		os_error = pro__begin_transmit(&port->table, operation->request.transmit, entry->fd.kind,
				&epoll_flight_of(operation)->file_epoch);
	if (os_error)
		epoll_fail(&result, os_error);
	if (entry && !os_error)
		pro__epoll_enqueue(port, entry, is_reader ? &entry->readers : &entry->writers, operation);
	else
		pro__operation_complete(operation, result.error, result.os_error, 0);
}

static void epoll_submit(struct pro_port *pro_port, struct pro_operation *operation)
{
	struct epoll_port *port = epoll_from_port(pro_port);

	switch ((enum pro_opcode)operation->opcode) {
	case PRO_OP_READ_STREAM:
	case PRO_OP_READ_DGRAM:
	case PRO_OP_ACCEPT:
		submit_on_descriptor(port, operation, true);
		return;
	case PRO_OP_WRITE_STREAM:
	case PRO_OP_WRITE_DGRAM:
	case PRO_OP_TRANSMIT_FILE:
		submit_on_descriptor(port, operation, false);
		return;
	case PRO_OP_CONNECT:
		pro__epoll_submit_connect(port, operation);
		return;
	case PRO_OP_READ_FILE:
	case PRO_OP_WRITE_FILE:
		pro__epoll_submit_file(port, operation);
		return;
	case PRO_OP_RESOLVE:
		pro__epoll_submit_resolve(port, operation);
		return;
	case PRO_OP_TIMER: /* Not covered: the engine keeps timers itself. */
		pro__operation_complete(operation, PRO_ENOTSUP, 0, 0);
	}
}

static void cancel_on_descriptor(struct epoll_port *port, struct pro_operation *operation)
{
	struct epoll_flight *flight = epoll_flight_of(operation);

	if (flight->is_canceled)
		return;
	pro__epoll_dequeue(port, flight);
	if (pro__epoll_take_back(port, flight))
		pro__operation_complete(operation, PRO_ECANCELED, 0, flight->moved);
	else
		flight->is_canceled = true;
}

static void epoll_cancel(struct pro_port *pro_port, struct pro_operation *operation)
{
	struct epoll_port *port = epoll_from_port(pro_port);

	switch ((enum pro_opcode)operation->opcode) {
	case PRO_OP_READ_STREAM:
	case PRO_OP_READ_DGRAM:
	case PRO_OP_ACCEPT:
	case PRO_OP_WRITE_STREAM:
	case PRO_OP_WRITE_DGRAM:
	case PRO_OP_TRANSMIT_FILE:
		cancel_on_descriptor(port, operation);
		return;
	case PRO_OP_CONNECT:
		pro__epoll_cancel_connect(port, operation);
		return;
	case PRO_OP_READ_FILE:
	case PRO_OP_WRITE_FILE:
	case PRO_OP_RESOLVE:
		pro__epoll_cancel_work(port, operation);
		return;
	case PRO_OP_TIMER: /* Not covered: the engine keeps timers itself. */
		return;
	}
}

static void epoll_close_handle(struct pro_port *pro_port, struct pro_close_request *request)
{
	struct epoll_port *port = epoll_from_port(pro_port);
	struct epoll_entry *entry =
			(struct epoll_entry *)(void *)pro__fd_table_find(&port->table, request->handle);
	int fd = pro__fd_of(request->handle);

	request->next = NULL;
	if (entry && pro__epoll_is_used(entry)) {
		request->next = entry->close_requests;
		entry->close_requests = request;
		pro__epoll_abandon(port, entry, fd, PRO_ECANCELED);
		pro__epoll_close_if_quiet(port, entry, fd);
		return;
	}
	/* It may be the file of a transmission. */
	if (entry)
		pro__fd_next_epoch(&entry->fd);
	close(fd);
	port->calls++;
	request->closed(request);
}

/* ---- waiting ---- */

static int wait_by_milliseconds(
		const struct epoll_port *port, struct epoll_event *events, int64_t timeout_ns)
{
	int timeout_ms = -1;

	/* Rounded up: a timer must not spin through its last millisecond. */
	if (timeout_ns >= 0) {
		int64_t milliseconds = timeout_ns / NANOSECONDS_PER_MILLISECOND +
							   (timeout_ns % NANOSECONDS_PER_MILLISECOND != 0);
		timeout_ms = milliseconds > INT_MAX ? INT_MAX : (int)milliseconds;
	}
	return epoll_wait(port->epoll_fd, events, PRO__EPOLL_BATCH, timeout_ms);
}

/* By the number, since the C library may be older than the kernel. */
static int wait_by_nanoseconds(
		const struct epoll_port *port, struct epoll_event *events, int64_t timeout_ns)
{
#ifdef SYS_epoll_pwait2
	const struct __kernel_timespec timeout = {
			timeout_ns / NANOSECONDS_PER_SECOND, timeout_ns % NANOSECONDS_PER_SECOND};

	int count = (int)syscall(SYS_epoll_pwait2, port->epoll_fd, events, PRO__EPOLL_BATCH,
			timeout_ns < 0 ? NULL : &timeout, NULL, 0);
	if (count > 0)
		PRO__KERNEL_WROTE(events, (size_t)count * sizeof(events[0]));
	return count;
#else
	(void)port;
	(void)events;
	(void)timeout_ns;
	errno = ENOSYS;
	return -1;
#endif
}

static unsigned wait_for_events(
		const struct epoll_port *port, struct epoll_event *events, int64_t timeout_ns)
{
	int count;

	pro__wait_begin(port->proactor);
	count = port->has_pwait2 ? wait_by_nanoseconds(port, events, timeout_ns)
							 : wait_by_milliseconds(port, events, timeout_ns);
	pro__wait_end(port->proactor);
	return count < 0 ? 0 : (unsigned)count;
}

static int64_t limit_timeout(const struct epoll_port *port, int64_t timeout_ns)
{
	if (!pro__list_is_empty(&port->yielded) || port->has_lent_block)
		return 0;
	if (pro__list_is_empty(&port->refused))
		return timeout_ns;
	return timeout_ns < 0 || timeout_ns > REFUSED_RETRY_NS ? REFUSED_RETRY_NS : timeout_ns;
}

static void dispatch(struct epoll_port *port, const struct epoll_event *event)
{
	if (event->data.u64 == EVENT_WAKE || event->data.u64 == EVENT_TIMER)
		return;
	const pro_handle fd = (pro_handle)(event->data.u64 & UINT32_MAX);
	struct epoll_entry *entry = (struct epoll_entry *)(void *)pro__fd_table_find(&port->table, fd);
	if (!entry || entry->fd.epoch != event->data.u64 >> 32)
		return;
	if (event->events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		entry->fd.flags &= (uint8_t)~PRO__EPOLL_DRAINED;
		/* An end, an error or an urgent mark may stand behind a short read without another edge. */
		if (event->events & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			entry->fd.flags &= (uint8_t)~PRO__EPOLL_SHORT_DRAINS;
		pro__epoll_run_queue(port, entry, &entry->readers);
	}
	if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		pro__epoll_run_queue(port, entry, &entry->writers);
}

static void run_yielded(struct epoll_port *port)
{
	struct pro_list_node batch;

	pro__list_init(&batch);
	while (!pro__list_is_empty(&port->yielded)) {
		struct pro_list_node *node = port->yielded.next;

		pro__list_remove(node);
		pro__list_append(&batch, node);
	}
	while (!pro__list_is_empty(&batch)) {
		struct epoll_entry *entry = pro_container_of(batch.next, struct epoll_entry, yield_link);

		pro__list_remove(&entry->yield_link);
		pro__epoll_run_queue(port, entry, &entry->readers);
		pro__epoll_run_queue(port, entry, &entry->writers);
	}
}

static void run_starving(struct epoll_port *port)
{
	if (!port->has_lent_block)
		return;
	port->has_lent_block = false;
	while (!pro__list_is_empty(&port->starving)) {
		struct epoll_entry *entry =
				pro_container_of(port->starving.next, struct epoll_entry, starve_link);

		pro__list_remove(&entry->starve_link);
		pro__epoll_run_queue(port, entry, &entry->readers);
		/* Starving again: the blocks are gone. */
		if (pro__list_contains(&entry->starve_link))
			return;
	}
}

static void refused_retry(struct epoll_port *port, struct epoll_flight *flight)
{
	struct pro_operation *operation = epoll_operation_of(flight);

	if (flight->entry)
		pro__epoll_enqueue(port, flight->entry, flight->queue, operation);
	else
		pro__epoll_submit_connect(port, operation);
}

static void run_refused(struct epoll_port *port)
{
	struct pro_list_node *const last = port->refused.prev;
	uint64_t now_ns;

	if (pro__list_is_empty(&port->refused))
		return;
	now_ns = pro__linux_now_ns(NULL);
	if (now_ns - port->refused_tried_ns < REFUSED_RETRY_NS)
		return;
	port->refused_tried_ns = now_ns;
	for (bool is_last = false; !is_last;) {
		struct pro_list_node *node = port->refused.next;

		is_last = node == last;
		pro__list_remove(node);
		refused_retry(port, epoll_flight_from_link(node));
	}
}

static void epoll_wait_and_dispatch(
		struct pro_port *pro_port, int64_t timeout_ns, uint64_t *system_calls)
{
	struct epoll_port *port = epoll_from_port(pro_port);
	/* The caller's own, since several threads may be here at once. */
	struct epoll_event events[PRO__EPOLL_BATCH];
	unsigned count = wait_for_events(port, events, limit_timeout(port, timeout_ns));

	port->turn++;
	for (unsigned i = 0; i < count; i++)
		dispatch(port, &events[i]);
	pro__epoll_finish_works(port);
	run_starving(port);
	run_yielded(port);
	run_refused(port);
	/* Another thread may be waiting, and not know of what was put off. */
	if (port->is_shared && timeout_ns == 0 && limit_timeout(port, -1) >= 0)
		pro__epoll_wake(pro_port);
	*system_calls += port->calls;
	port->calls = 0;
}

void pro__epoll_wake(struct pro_port *pro_port)
{
	const struct epoll_port *port = epoll_from_port(pro_port);
	const uint64_t one = 1;
	int saved_errno = errno;

	/* It is never read: each write is an edge, and 2^64 of them never come together. */
	ssize_t written = write(port->wake_fd, &one, sizeof(one));
	(void)written;
	errno = saved_errno;
}

/* ---- foreign loops ---- */

static pro_handle epoll_get_handle(struct pro_port *pro_port)
{
	return epoll_from_port(pro_port)->epoll_fd;
}

static void epoll_arm_handle(struct pro_port *pro_port, uint64_t deadline_ns)
{
	struct epoll_port *port = epoll_from_port(pro_port);
	struct itimerspec timer = {0};

	if (!pro__list_is_empty(&port->refused)) {
		uint64_t retry_ns = pro__linux_now_ns(pro_port) + REFUSED_RETRY_NS;
		deadline_ns = deadline_ns < retry_ns ? deadline_ns : retry_ns;
	}
	if (limit_timeout(port, -1) == 0)
		deadline_ns = 0;
	if (deadline_ns != UINT64_MAX) {
		timer.it_value.tv_sec = (time_t)(deadline_ns / NANOSECONDS_PER_SECOND);
		timer.it_value.tv_nsec = (long)(deadline_ns % NANOSECONDS_PER_SECOND);
		/* Zero would disarm it. */
		if (deadline_ns == 0)
			timer.it_value.tv_nsec = 1;
	}
	port->calls++;
	timerfd_settime(port->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

static void epoll_lent_returned(struct pro_port *pro_port, unsigned index)
{
	(void)index;
	epoll_from_port(pro_port)->has_lent_block = true;
}

/* ---- its life ---- */

static int epoll_watch(struct epoll_port *port, int fd, uint64_t data)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = data};

	return epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void epoll_destroy(struct pro_port *pro_port)
{
	struct epoll_port *port = epoll_from_port(pro_port);

	close_if_open(port->timer_fd);
	close_if_open(port->wake_fd);
	close_if_open(port->epoll_fd);
	pro__fork_mark_destroy(port->fork_mark);
	pro__fd_table_fini(&port->table);
	pro__deallocate(port->proactor, port);
}

/* Names the call that fails, or NULL. */
static const char *epoll_open(struct epoll_port *port)
{
	port->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (port->epoll_fd < 0)
		return "epoll_create1";
	port->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (port->wake_fd < 0)
		return "eventfd";
	port->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (port->timer_fd < 0)
		return "timerfd_create";
	if (epoll_watch(port, port->wake_fd, EVENT_WAKE) < 0 ||
			epoll_watch(port, port->timer_fd, EVENT_TIMER) < 0)
		return "epoll_ctl";
	port->fork_mark = pro__fork_mark_create();
	if (!port->fork_mark)
		return "madvise(MADV_WIPEONFORK)";
	return NULL;
}

static struct epoll_port *epoll_allocate(struct pro_proactor *proactor)
{
	struct epoll_port *port = pro__allocate(proactor, sizeof(*port));

	if (!port)
		return NULL;
	memset(port, 0, sizeof(*port));
	port->proactor = proactor;
	port->epoll_fd = port->wake_fd = port->timer_fd = -1;
	pro__list_init(&port->yielded);
	pro__list_init(&port->starving);
	pro__list_init(&port->refused);
	pro__fd_table_init(&port->table, proactor, sizeof(struct epoll_entry));
	return port;
}

static void epoll_report(struct epoll_port *port, struct pro_proactor_report *report)
{
	struct epoll_event events[PRO__EPOLL_BATCH];

	port->has_pwait2 = wait_by_nanoseconds(port, events, 0) >= 0;
	snprintf(report->features, sizeof(report->features), "epoll eventfd timerfd workers%s",
			port->has_pwait2 ? " epoll_pwait2" : "");
	snprintf(
			report->missing, sizeof(report->missing), "%s", port->has_pwait2 ? "" : "epoll_pwait2");
	report->entries = 0;
	report->completion_entries = PRO__EPOLL_BATCH;
	report->buffers_max = IOV_MAX;
}

static int epoll_create_port(struct pro_proactor *proactor,
		const struct pro_proactor_options *options, struct pro_port **result,
		struct pro_proactor_report *report, char *why, size_t why_size)
{
	struct epoll_port *port = epoll_allocate(proactor);

	*result = NULL;
	if (!port) {
		snprintf(why, why_size, "out of memory");
		return PRO_ENOMEM;
	}
	port->is_shared = options->is_shared;
	const char *failed = epoll_open(port);
	if (failed) {
		int error = pro__error_from_os(errno);
		snprintf(why, why_size, "%s: %s", failed, pro_error_name(error));
		epoll_destroy((struct pro_port *)(void *)port);
		return error;
	}
	epoll_report(port, report);
	*result = (struct pro_port *)(void *)port;
	return 0;
}

/* Any thread may lead: nothing of it is bound to one. */
static int epoll_enter(struct pro_port *pro_port)
{
	(void)pro_port;
	return 0;
}

static const uint32_t *epoll_fork_mark(const struct pro_port *pro_port)
{
	return ((const struct epoll_port *)(const void *)pro_port)->fork_mark;
}

const struct pro_port_vtbl pro__epoll_port = {
		.name = "epoll",
		.create = epoll_create_port,
		.destroy = epoll_destroy,
		.enter = epoll_enter,
		.submit = epoll_submit,
		.cancel = epoll_cancel,
		.close_handle = epoll_close_handle,
		.wait = epoll_wait_and_dispatch,
		.wake = pro__epoll_wake,
		.now_ns = pro__linux_now_ns,
		.random = pro__linux_random,
		.get_handle = epoll_get_handle,
		.arm_handle = epoll_arm_handle,
		.lent_returned = epoll_lent_returned,
		.fork_mark = epoll_fork_mark,
		.world = &pro__linux_world,
};
