/* The io_uring port: one ring, bound to the first thread that runs the loop; one system call a turn
 * submits what was started and takes what is complete. */
#include "io_uring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The most pieces that the kernel takes in one vectored transfer. */
#define BUFFERS_MAX 1024u

/* ---- create and destroy ---- */

static void append(char *text, size_t size, const char *word)
{
	size_t length = strlen(text);

	snprintf(text + length, size - length, "%s%s", length ? " " : "", word);
}

static void report_ring(const struct pro__ring *ring, struct pro_proactor_report *report)
{
	static const struct {
		enum pro__ring_feature feature;
		const char *name;
	} names[] = {
			{PRO__RING_LENT_BUFFERS, "buffer_ring"},
			{PRO__RING_CANCEL_FD, "cancel_fd"},
			{PRO__RING_CQE_SKIP, "cqe_skip"},
			{PRO__RING_NO_IOWAIT, "no_iowait"},
	};
	const size_t size = sizeof(report->features);

	append(ring->rung == PRO__RING_DEFER ? report->features : report->missing, size,
			"single_issuer defer_taskrun");
	if (ring->rung != PRO__RING_DEFER)
		append(ring->rung == PRO__RING_COOP ? report->features : report->missing, size,
				"coop_taskrun");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		append(ring->features & names[i].feature ? report->features : report->missing, size,
				names[i].name);
	report->entries = ring->uring.sq.ring_entries;
	report->completion_entries = ring->uring.cq.ring_entries;
	report->buffers_max = BUFFERS_MAX;
}

static int port_open(struct pro__ring_port *port, enum pro__ring_rung first, unsigned entries,
		struct pro__ring_refusal *refusal)
{
	port->wake_fd = -1;
	if (!pro__ring_create(&port->ring, first, entries, refusal))
		return refusal->os_error ? pro__error_from_os(refusal->os_error) : PRO_ENOTSUP;
	port->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (port->wake_fd < 0) {
		*refusal = (struct pro__ring_refusal){.what = "eventfd", .os_error = errno};
		return pro__error_from_os(errno);
	}
	port->fork_mark = pro__fork_mark_create();
	if (!port->fork_mark) {
		*refusal = (struct pro__ring_refusal){.what = "madvise", .os_error = ENOMEM};
		return PRO_ENOMEM;
	}
	/* The entries of low numbers are made now, so that a small program needs no memory later. */
	if (!pro__fd_table_get(&port->table, port->wake_fd)) {
		*refusal = (struct pro__ring_refusal){.what = "out of memory"};
		return PRO_ENOMEM;
	}
	port->fd_most = port->wake_fd;
	return 0;
}

static void port_init(struct pro__ring_port *port, struct pro_proactor *proactor)
{
	memset(port, 0, sizeof(*port));
	port->proactor = proactor;
	port->ring.proactor = proactor;
	port->lent.proactor = proactor;
	pro__fd_table_init(&port->table, proactor, sizeof(struct pro__ring_fd));
	pro__list_init(&port->unsent);
	pro__list_init(&port->uncancelled);
	pro__list_init(&port->starving);
	pro__list_init(&port->yielding);
	pro__list_init(&port->orphans);
}

static const uint32_t *ring_port_fork_mark(const struct pro_port *self)
{
	return ((const struct pro__ring_port *)(const void *)self)->fork_mark;
}

static void ring_port_destroy(struct pro_port *self)
{
	struct pro__ring_port *port = pro__ring_port_from(self);
	bool is_forked = port->fork_mark && *port->fork_mark == 0;

	pro__ring_foreign_fini(port);
	if (is_forked) {
		/* The mappings were not inherited, and something else may be where they were. */
		close(port->ring.uring.ring_fd);
		port->lent.buffers = NULL;
	} else {
		pro__ring_close(&port->ring);
	}
	pro__lent_ring_close(&port->lent);
	pro__fd_table_fini(&port->table);
	pro__fork_mark_destroy(port->fork_mark);
	if (port->wake_fd >= 0)
		close(port->wake_fd);
	pro__deallocate(port->proactor, port);
}

/* "io_uring_setup: EPERM"; our names of errors are the system's behind a prefix. */
static void explain(const struct pro__ring_refusal *refusal, char *why, size_t why_size)
{
	const char *name = pro_error_name(pro__error_from_os(refusal->os_error)) + strlen("PRO_");

	if (refusal->os_error)
		snprintf(why, why_size, "%s: %s", refusal->what, name);
	else
		snprintf(why, why_size, "%s", refusal->what);
}

int pro__ring_port_create(struct pro_proactor *proactor, const struct pro_proactor_options *options,
		enum pro__ring_rung first, struct pro_port **port, struct pro_proactor_report *report,
		char *why, size_t why_size)
{
	struct pro__ring_port *created = pro__allocate(proactor, sizeof(*created));
	struct pro__ring_refusal refusal;
	int error;

	if (!created) {
		snprintf(why, why_size, "out of memory");
		return PRO_ENOMEM;
	}
	port_init(created, proactor);
	created->is_shared = options->is_shared;
	error = port_open(created, first, options->entries, &refusal);
	if (error) {
		explain(&refusal, why, why_size);
		ring_port_destroy((struct pro_port *)(void *)created);
		return error;
	}
	report_ring(&created->ring, report);
	*port = (struct pro_port *)(void *)created;
	return 0;
}

static int ring_port_create(struct pro_proactor *proactor,
		const struct pro_proactor_options *options, struct pro_port **port,
		struct pro_proactor_report *report, char *why, size_t why_size)
{
	/* A ring of several threads can be bound to none, and must not wait for the system calls of
	 * one. */
	return pro__ring_port_create(proactor, options,
			options->is_shared ? PRO__RING_PLAIN : PRO__RING_DEFER, port, report, why, why_size);
}

/* ---- the thread ---- */

/* The kernel's number of this thread. Asked each time: what a thread-local variable remembers is
 * wrong in a forked child. */
static pid_t this_thread(void)
{
	return (pid_t)syscall(SYS_gettid);
}

/* When this thread first asked, which tells it from a later one that got the number of one that has
 * ended. */
static uint64_t this_thread_since(void)
{
	static _Thread_local uint64_t since;

	if (since == 0)
		since = pro__linux_now_ns(NULL);
	return since;
}

static bool thread_is_alive(pid_t thread)
{
	return syscall(SYS_tgkill, getpid(), thread, 0) == 0 || errno != ESRCH;
}

/* The ring becomes this thread's; a new one if the old was left. 0 or an errno. */
static int port_bind(struct pro__ring_port *port)
{
	bool is_new = !port->ring.is_open;
	int os_error = 0;

	if (is_new)
		os_error = pro__ring_reopen(&port->ring);
	if (!os_error)
		os_error = pro__ring_bind(&port->ring);
	if (os_error)
		return os_error;
	if (is_new)
		pro__lent_ring_attach(&port->lent, &port->ring);
	port->thread = this_thread();
	port->thread_since = this_thread_since();
	return 0;
}

/* The port belongs to the first thread that enters. When that thread has ended, its ring is left
 * behind: what it had in flight ends as cancelled, and the next thread gets a ring of its own. If
 * that can not be had, the error is returned and the next entry tries again. */
static int ring_port_enter(struct pro_port *self)
{
	struct pro__ring_port *port = pro__ring_port_from(self);
	bool has_number = port->thread == this_thread();
	int os_error;

	if (port->ring.rung == PRO__RING_PLAIN)
		return 0;
	if (has_number && port->thread_since == this_thread_since())
		return 0;
	if (port->thread) {
		if (!has_number && thread_is_alive(port->thread))
			return PRO_ETHREAD;
		pro__ring_abandon(port);
		port->thread = 0;
	}
	os_error = port_bind(port);
	return os_error ? pro__error_from_os(os_error) : 0;
}

/* ---- operations ---- */

static void ring_port_submit(struct pro_port *self, struct pro_operation *operation)
{
	pro__flight_begin(pro__ring_port_from(self), operation);
}

static void ring_port_cancel(struct pro_port *self, struct pro_operation *operation)
{
	pro__flight_cancel(pro__ring_port_from(self), operation);
}

static void ring_port_close_handle(struct pro_port *self, struct pro_close_request *request)
{
	pro__ring_close_handle(pro__ring_port_from(self), request);
}

static void ring_port_lent_returned(struct pro_port *self, unsigned index)
{
	pro__lent_ring_put(&pro__ring_port_from(self)->lent, index);
}

/* ---- a turn ---- */

static void port_arm_wake(struct pro__ring_port *port)
{
	struct io_uring_sqe *sqe = pro__ring_sqe(&port->ring);

	if (!sqe)
		return;
	io_uring_prep_read(sqe, port->wake_fd, &port->wake_count, sizeof(port->wake_count), 0);
	sqe->user_data = PRO__RING_WAKE;
	port->is_wake_armed = true;
}

static void port_retry(struct pro__ring_port *port)
{
	if (!port->is_wake_armed)
		port_arm_wake(port);
	if (!pro__list_is_empty(&port->orphans))
		pro__ring_end_orphans(port);
	pro__flight_retry(port);
	pro__ring_close_retry(port);
}

static void port_take(struct pro__ring_port *port, const struct io_uring_cqe *cqe)
{
	switch ((enum pro__ring_tag)(cqe->user_data & PRO__RING_TAG_MASK)) {
	case PRO__RING_FLIGHT:
	case PRO__RING_FLIGHT_FAR:
		pro__flight_continue(
				port, pro__flight_from_user_data(cqe->user_data), cqe->res, cqe->flags);
		break;
	case PRO__RING_CLOSE:
		pro__ring_close_done(port,
				(struct pro_close_request *)(uintptr_t)(cqe->user_data & ~PRO__RING_TAG_MASK));
		break;
	case PRO__RING_WAKE:
		port->is_wake_armed = false;
		break;
	case PRO__RING_IGNORED:
		break;
	}
}

/* Not at all when a step of this turn ended something or waits for the next; not for long when the
 * kernel takes no entries for now. */
static int64_t port_timeout(
		const struct pro__ring_port *port, int64_t timeout_ns, uint64_t ended_before)
{
	if (port->ended != ended_before || !pro__list_is_empty(&port->yielding))
		return 0;
	if (port->is_wake_armed && pro__list_is_empty(&port->unsent) &&
			pro__list_is_empty(&port->uncancelled) && !port->unclosed.head)
		return timeout_ns;
	return timeout_ns < 0 || timeout_ns > PRO__RING_PAUSE_NS ? PRO__RING_PAUSE_NS : timeout_ns;
}

/* Another thread may be waiting in the kernel: what this turn began must reach it, and what was put
 * off must be known to it. */
static void port_hand_over(struct pro__ring_port *port)
{
	if (!port->is_wake_armed)
		port_arm_wake(port);
	pro__ring_submit(&port->ring);
	/* Not covered: something was put off this very moment. */
	if (port_timeout(port, -1, port->ended) >= 0)
		pro__ring_wake((struct pro_port *)(void *)port);
}

static void ring_port_wait(struct pro_port *self, int64_t timeout_ns, uint64_t *system_calls)
{
	struct pro__ring_port *port = pro__ring_port_from(self);
	uint64_t ended_before = port->ended;
	struct io_uring_cqe cqe;
	unsigned until;

	pro__ring_foreign_drain(port);
	port_retry(port);
	pro__ring_enter(&port->ring, port_timeout(port, timeout_ns, ended_before));
	until = pro__ring_tail(&port->ring);
	while (pro__ring_take(&port->ring, until, &cqe))
		port_take(port, &cqe);
	pro__flight_run_yielding(port);
	if (port->is_shared && timeout_ns == 0)
		port_hand_over(port);
	*system_calls += port->ring.calls;
	port->ring.calls = 0;
}

void pro__ring_wake(struct pro_port *self)
{
	const struct pro__ring_port *port = pro__ring_port_from(self);
	const uint64_t one = 1;
	int saved_errno = errno;

	/* It can fail only when the counter is nearly full: then a wake is on its way already. */
	if (write(port->wake_fd, &one, sizeof(one)) < 0)
		errno = saved_errno;
}

const struct pro_port_vtbl pro__io_uring_port = {
		.name = "io_uring",
		.create = ring_port_create,
		.destroy = ring_port_destroy,
		.enter = ring_port_enter,
		.submit = ring_port_submit,
		.cancel = ring_port_cancel,
		.close_handle = ring_port_close_handle,
		.wait = ring_port_wait,
		.wake = pro__ring_wake,
		.now_ns = pro__linux_now_ns,
		.random = pro__linux_random,
		.get_handle = pro__ring_get_handle,
		.arm_handle = pro__ring_arm_handle,
		.lent_returned = ring_port_lent_returned,
		.fork_mark = ring_port_fork_mark,
		.world = &pro__linux_world,
};
