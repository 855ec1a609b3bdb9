/* The ring of the kernel: which set-up flags it takes, whether it really works, and entering it.
 *
 * Set-up alone proves nothing: a sandbox may allow it and forbid io_uring_enter or
 * io_uring_register, and RLIMIT_MEMLOCK may be short. So a small ring with the same flags does a
 * round trip first, because the one that is used may be bound to a thread that is not this one. */
#include "io_uring.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Newer than liburing 2.3. */
#define SETUP_NO_SQARRAY (1u << 16)
#define ENTER_NO_IOWAIT  (1u << 7)
#define FEAT_NO_IOWAIT   (1u << 17)

/* Without these the port can not keep the contract: no completion may be lost, vectors need not
 * outlive their submission, sockets are polled by the kernel itself, a wait has a timeout. */
#define NEEDED_FEATURES                                                                            \
	(IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_RW_CUR_POS |                     \
			IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG)

#define ENTRIES_LEAST 4u
/* When memory is short, the queue is halved down to this. */
#define ENTRIES_SHORT 8u
/* Completions come in bursts larger than what was submitted in a turn. */
#define COMPLETIONS_PER_ENTRY 4u
#define COMPLETIONS_MOST      65536u

static const struct {
	uint8_t opcode;
	const char *missing;
} needed_opcodes[] = {
		{IORING_OP_NOP, "the kernel lacks IORING_OP_NOP"},
		{IORING_OP_READV, "the kernel lacks IORING_OP_READV"},
		{IORING_OP_WRITEV, "the kernel lacks IORING_OP_WRITEV"},
		{IORING_OP_READ, "the kernel lacks IORING_OP_READ"},
		{IORING_OP_RECV, "the kernel lacks IORING_OP_RECV"},
		{IORING_OP_SEND, "the kernel lacks IORING_OP_SEND"},
		{IORING_OP_RECVMSG, "the kernel lacks IORING_OP_RECVMSG"},
		{IORING_OP_SENDMSG, "the kernel lacks IORING_OP_SENDMSG"},
		{IORING_OP_ACCEPT, "the kernel lacks IORING_OP_ACCEPT"},
		{IORING_OP_POLL_ADD, "the kernel lacks IORING_OP_POLL_ADD"},
		{IORING_OP_TIMEOUT, "the kernel lacks IORING_OP_TIMEOUT"},
		{IORING_OP_ASYNC_CANCEL, "the kernel lacks IORING_OP_ASYNC_CANCEL"},
		{IORING_OP_CLOSE, "the kernel lacks IORING_OP_CLOSE"},
};

static const unsigned rung_flags[PRO__RING_RUNGS] = {
		[PRO__RING_DEFER] =
				IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL,
		[PRO__RING_COOP] =
				IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
		[PRO__RING_PLAIN] = 0,
};

static bool refuse(struct pro__ring_refusal *refusal, const char *what, int os_error)
{
	*refusal = (struct pro__ring_refusal){.what = what, .os_error = os_error};
	return false;
}

/* ---- set-up ---- */

static unsigned completions_for(unsigned entries)
{
	if (entries > COMPLETIONS_MOST / COMPLETIONS_PER_ENTRY)
		return COMPLETIONS_MOST;
	return entries * COMPLETIONS_PER_ENTRY;
}

/* 0 or an errno. */
static int uring_open(struct io_uring *uring, unsigned flags, unsigned entries)
{
	struct io_uring_params params = {
			.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
			.cq_entries = completions_for(entries),
	};
	int error = io_uring_queue_init_params(entries, uring, &params);

	if (error)
		return -error;
	/* A child that submitted on an inherited ring would steal from its parent. */
	error = io_uring_ring_dontfork(uring);
	if (error) {
		io_uring_queue_exit(uring);
		return -error;
	}
	/* Entries are used in order, so the indirection of the submission queue is set up once. */
	if (!(uring->flags & SETUP_NO_SQARRAY)) {
		for (unsigned i = 0; i < uring->sq.ring_entries; i++)
			uring->sq.array[i] = i;
	}
	return 0;
}

/* SINGLE_ISSUER binds a ring to the thread that makes it, unless it is made disabled. */
static int ring_open(struct pro__ring *ring)
{
	unsigned flags = rung_flags[ring->rung];
	int os_error;

	if (flags & IORING_SETUP_SINGLE_ISSUER)
		flags |= IORING_SETUP_R_DISABLED;
	os_error = uring_open(&ring->uring, flags, ring->entries);
	ring->is_open = os_error == 0;
	ring->is_enabled = !(flags & IORING_SETUP_R_DISABLED);
	return os_error;
}

int pro__ring_reopen(struct pro__ring *ring)
{
	return ring_open(ring);
}

int pro__ring_bind(struct pro__ring *ring)
{
	int error;

	if (ring->is_enabled)
		return 0;
	ring->calls++;
	error = io_uring_register((unsigned)ring->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	ring->is_enabled = error >= 0;
	return error < 0 ? -error : 0;
}

void pro__ring_close(struct pro__ring *ring)
{
	if (ring->is_open)
		io_uring_queue_exit(&ring->uring);
	ring->is_open = false;
}

/* ---- probing ---- */

static bool probe_opcodes(struct io_uring *uring, struct pro__ring_refusal *refusal)
{
	enum { OPCODES_MAX = 256 };
	union {
		struct io_uring_probe probe;
		unsigned char bytes[sizeof(struct io_uring_probe) +
							OPCODES_MAX * sizeof(struct io_uring_probe_op)];
	} answer;
	int error;

	memset(&answer, 0, sizeof(answer));
	error = io_uring_register_probe(uring, &answer.probe, OPCODES_MAX);
	if (error < 0)
		return refuse(refusal, "io_uring_register", -error);
	for (size_t i = 0; i < sizeof(needed_opcodes) / sizeof(needed_opcodes[0]); i++) {
		if (!io_uring_opcode_supported(&answer.probe, needed_opcodes[i].opcode))
			return refuse(refusal, needed_opcodes[i].missing, 0);
	}
	return true;
}

/* Submits one entry and takes its result. -errno of the call in *os_error. */
static bool probe_round_trip(struct io_uring *uring, int *result, int *os_error)
{
	struct io_uring_cqe *cqe = NULL;
	int submitted = io_uring_submit_and_wait(uring, 1);

	if (submitted >= 0)
		submitted = io_uring_peek_cqe(uring, &cqe);
	if (submitted < 0) {
		*os_error = -submitted;
		return false;
	}
	*result = cqe->res;
	io_uring_cqe_seen(uring, cqe);
	return true;
}

static bool probe_enter(struct io_uring *uring, struct pro__ring_refusal *refusal)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(uring);
	int result;
	int os_error;

	io_uring_prep_nop(sqe);
	if (!probe_round_trip(uring, &result, &os_error))
		return refuse(refusal, "io_uring_enter", os_error);
	return true;
}

static bool probe_cancel_fd(struct io_uring *uring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(uring);
	int result;
	int os_error;

	io_uring_prep_cancel_fd(sqe, uring->ring_fd, IORING_ASYNC_CANCEL_ALL);
	return probe_round_trip(uring, &result, &os_error) && (result >= 0 || result == -ENOENT);
}

static bool probe_lent_buffers(struct io_uring *uring)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	struct io_uring_buf_reg registration = {.ring_entries = 1, .bgid = PRO__LENT_GROUP};
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int error;

	if (memory == MAP_FAILED)
		return false;
	registration.ring_addr = (uint64_t)(uintptr_t)memory;
	error = io_uring_register_buf_ring(uring, &registration, 0);
	if (error == 0)
		io_uring_unregister_buf_ring(uring, PRO__LENT_GROUP);
	munmap(memory, size);
	return error == 0;
}

static bool probe(struct pro__ring *ring, struct io_uring *uring, struct pro__ring_refusal *refusal)
{
	if ((uring->features & NEEDED_FEATURES) != NEEDED_FEATURES)
		return refuse(refusal, "the kernel's io_uring is older than 5.11", 0);
	if (!probe_enter(uring, refusal) || !probe_opcodes(uring, refusal))
		return false;
	ring->features = 0;
	if (probe_lent_buffers(uring))
		ring->features |= PRO__RING_LENT_BUFFERS;
	if (probe_cancel_fd(uring))
		ring->features |= PRO__RING_CANCEL_FD;
	if (uring->features & IORING_FEAT_CQE_SKIP)
		ring->features |= PRO__RING_CQE_SKIP;
	if (uring->features & FEAT_NO_IOWAIT)
		ring->features |= PRO__RING_NO_IOWAIT;
	return true;
}

/* The small ring stays open meanwhile: the kernel gives locked memory back late, and the second
 * set-up would otherwise fail or succeed by chance. */
static bool ring_create_rung(struct pro__ring *ring, struct pro__ring_refusal *refusal)
{
	struct io_uring small;
	int os_error = uring_open(&small, rung_flags[ring->rung], ENTRIES_LEAST);

	if (os_error)
		return refuse(refusal, "io_uring_setup", os_error);
	if (!probe(ring, &small, refusal)) {
		io_uring_queue_exit(&small);
		return false;
	}
	while ((os_error = ring_open(ring)) == ENOMEM && ring->entries > ENTRIES_SHORT)
		ring->entries /= 2;
	io_uring_queue_exit(&small);
	return os_error ? refuse(refusal, "io_uring_setup", os_error) : true;
}

bool pro__ring_create(struct pro__ring *ring, enum pro__ring_rung first, unsigned entries,
		struct pro__ring_refusal *refusal)
{
	for (unsigned rung = first; rung < PRO__RING_RUNGS; rung++) {
		ring->rung = (enum pro__ring_rung)rung;
		ring->entries = entries < ENTRIES_LEAST ? ENTRIES_LEAST : entries;
		if (ring_create_rung(ring, refusal))
			return true;
		/* EINVAL is what a kernel says to flags that it does not know. */
		if (refusal->os_error != EINVAL)
			return false;
	}
	return false;
}

/* ---- submitting and waiting ---- */

/* Publishes the entries that were filled in; returns how many the kernel has yet to take. */
static unsigned ring_publish(struct pro__ring *ring)
{
	struct io_uring_sq *sq = &ring->uring.sq;

	io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
	return sq->sqe_tail - io_uring_smp_load_acquire(sq->khead);
}

/* One io_uring_enter; -errno when it took nothing. */
static int ring_enter(struct pro__ring *ring, unsigned submit, int64_t timeout_ns)
{
	struct __kernel_timespec timeout = {
			.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
	struct io_uring_getevents_arg argument = {
			.sigmask_sz = _NSIG / 8,
			.ts = timeout_ns > 0 ? (uint64_t)(uintptr_t)&timeout : 0,
	};
	unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
	int result;

	if (ring->features & PRO__RING_NO_IOWAIT)
		flags |= ENTER_NO_IOWAIT;
	ring->calls++;
	pro__wait_begin(ring->proactor);
	result = io_uring_enter2((unsigned)ring->uring.ring_fd, submit, timeout_ns ? 1 : 0, flags,
			(sigset_t *)(void *)&argument, sizeof(argument));
	pro__wait_end(ring->proactor);
	return result;
}

void pro__ring_enter(struct pro__ring *ring, int64_t timeout_ns)
{
	int error = ring_enter(ring, ring_publish(ring), timeout_ns);

	/* EBUSY: completions that overflowed must be taken first; waiting without submitting flushes
	 * them. EAGAIN: no memory for a request just now. Everything else is an end of the wait. */
	if (error != -EBUSY && error != -EAGAIN)
		return;
	if (timeout_ns < 0 || timeout_ns > PRO__RING_PAUSE_NS)
		timeout_ns = PRO__RING_PAUSE_NS;
	ring_enter(ring, 0, timeout_ns);
}

void pro__ring_submit(struct pro__ring *ring)
{
	unsigned count = ring_publish(ring);

	if (count == 0)
		return;
	ring->calls++;
	io_uring_enter2((unsigned)ring->uring.ring_fd, count, 0, 0, NULL, 0);
}

bool pro__ring_has_room(struct pro__ring *ring, unsigned count)
{
	if (io_uring_sq_space_left(&ring->uring) >= count)
		return true;
	pro__ring_submit(ring);
	return io_uring_sq_space_left(&ring->uring) >= count;
}

struct io_uring_sqe *pro__ring_sqe_of_next_batch(struct pro__ring *ring)
{
	pro__ring_submit(ring);
	return pro__ring_next_sqe(ring);
}
