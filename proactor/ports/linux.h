/* Private: what the io_uring and the epoll port share: descriptors, the world of sockets and files,
 * and single non-blocking steps of transfers. Every function here makes system calls directly and
 * never blocks on a peer. Not thread-safe unless it says so: the thread that leads the loop calls.
 */
#ifndef PROACTOR_PORTS_LINUX_H
#define PROACTOR_PORTS_LINUX_H

#include "../engine.h"

#include <limits.h>
#include <sys/types.h>

/* ---- descriptors (fd_table.c): which number means what now ---- */

/* One for each descriptor number that was used; `extra` is the port's own part behind it. */
struct pro__fd {
	uint16_t epoch; /* grows whenever the number is closed or found to mean another file; never 0 */
	uint8_t kind;   /* enum pro__fd_kind; PRO__FD_UNKNOWN until the first submission */
	uint8_t flags;  /* the port's own */
	uint32_t reserved;
};

/* The descriptor; -1 for a number that can be none. */
static inline int pro__fd_of(pro_handle handle)
{
	return handle >= 0 && handle <= INT_MAX ? (int)handle : -1;
}

enum pro__fd_kind {
	PRO__FD_UNKNOWN,
	PRO__FD_STREAM,
	PRO__FD_DGRAM,
	PRO__FD_LISTENER,
	PRO__FD_FILE,
	PRO__FD_PIPE
};

struct pro__fd_table {
	struct pro_proactor *proactor;
	size_t entry_size; /* sizeof(struct pro__fd) and the port's part behind it */
	unsigned char **chunks;
	size_t chunk_count;
};

void pro__fd_table_init(
		struct pro__fd_table *table, struct pro_proactor *proactor, size_t entry_size);
void pro__fd_table_fini(struct pro__fd_table *table);
/* The entry of a number, zero but for its epoch when new; NULL with errno ENOMEM or EBADF (no such
 * descriptor). Entries never move. */
struct pro__fd *pro__fd_table_get(struct pro__fd_table *table, pro_handle handle);
/* The entry if there is one. */
struct pro__fd *pro__fd_table_find(const struct pro__fd_table *table, pro_handle handle);
/* The number means another file from now on. */
void pro__fd_next_epoch(struct pro__fd *entry);
/* Socket or not, listening, stream or datagram, pipe/tty or file; sockets become non-blocking,
 * since accept4 and sendfile have no flag for it. 0 or an errno (EBADF). */
int pro__fd_kind_of(int fd, uint8_t *kind);

/* ---- steps (linux_io.c): one non-blocking try each; they count their system calls in *calls ----
 */

static inline bool pro__kind_is_socket(uint8_t kind)
{
	return kind == PRO__FD_STREAM || kind == PRO__FD_DGRAM || kind == PRO__FD_LISTENER;
}

/* > 0: bytes; 0: end of the stream; -EAGAIN: wait for readiness; other negative: -errno. Sockets by
 * recvmsg(MSG_DONTWAIT), pipes and terminals by poll and readv. */
ssize_t pro__try_read(
		int fd, uint8_t kind, const struct pro_buffer *buffers, unsigned count, uint64_t *calls);
/* The same for writing; never raises SIGPIPE. */
ssize_t pro__try_write(
		int fd, uint8_t kind, const struct pro_buffer *buffers, unsigned count, uint64_t *calls);
ssize_t pro__try_read_dgram(int fd, const struct pro_buffer *buffers, unsigned count,
		struct pro_addr *from, bool *is_cut, uint64_t *calls);
ssize_t pro__try_write_dgram(int fd, const struct pro_buffer *buffers, unsigned count,
		const struct pro_addr *to, uint64_t *calls);
/* Whether an error is what an earlier datagram met on its way, and nobody's business: a connected
 * socket has one peer, whose errors count. */
bool pro__skips_dgram_error(int fd, bool is_read, int os_error, uint64_t *calls);
/* Whether no readiness tells when a send that met EAGAIN can go on: an unconnected UNIX-domain
 * socket is writable though its receiver is full. */
bool pro__waits_for_receiver(const struct pro_operation *operation);
/* >= 0: the accepted descriptor; ECONNABORTED and the errors of a peer that died in the queue are
 * skipped. */
int pro__try_accept(int fd, struct pro_addr *local, struct pro_addr *remote, uint64_t *calls);
/* Makes the socket and begins to connect: 0 connected, EINPROGRESS, else an errno (the socket is
 * closed, *fd is -1). */
int pro__begin_connect(
		const struct pro_addr *remote, const struct pro_addr *local, int *fd, uint64_t *calls);
/* After writability: 0 connected or an errno. */
int pro__finish_connect(int fd, uint64_t *calls);

/* What is in memory already, without waiting for the disk: >= 0 bytes (0: end of the file);
 * -EAGAIN: have a thread read it; -EOPNOTSUPP: the file system can not tell. */
ssize_t pro__try_read_file(
		int fd, const struct pro_buffer *buffers, unsigned count, uint64_t offset, uint64_t *calls);

/* Begins a transmission to a descriptor of `kind`, and notes in *epoch what the number of its file
 * means now: 0 or an errno. And whether it still means that. */
int pro__begin_transmit(struct pro__fd_table *table, const struct pro_transmit_request *transmit,
		uint8_t kind, uint16_t *epoch);
bool pro__has_file(const struct pro__fd_table *table, const struct pro_transmit_request *transmit,
		uint16_t epoch);

enum pro__transmit_step {
	PRO__TRANSMIT_DONE, /* all parts are out */
	PRO__TRANSMIT_WAIT, /* the socket is full: wait for writability */
	PRO__TRANSMIT_COLD, /* the next bytes of the file are not in memory: have somebody read one byte
						   at `offset`, then go on */
	PRO__TRANSMIT_YIELD, /* its share of this turn (4 MiB) is used up: go on in the next turn */
	PRO__TRANSMIT_FAILED /* *os_error, or *error (PRO_ETRUNCATED) */
};
/* Sends what fits now: small files by one read and one send, larger ones by sendfile in slices;
 * MSG_MORE joins the parts. Updates the request; *moved gets the bytes that went out.
 * Never raises SIGPIPE, never waits for the disk if it can tell beforehand. */
enum pro__transmit_step pro__try_transmit(int fd, struct pro_transmit_request *transmit,
		size_t *moved, int *error, int *os_error, uint64_t *calls);

/* ---- blocking work, for the worker pool ---- */

/* preadv / pwritev once, EINTR retried. >= 0 bytes, or -errno. [any thread] */
ssize_t pro__read_file(int fd, const struct pro_buffer *buffers, unsigned count, uint64_t offset);
ssize_t pro__write_file(int fd, const struct pro_buffer *buffers, unsigned count, uint64_t offset);

/* ---- the rest ---- */

extern const struct pro_port_world
		pro__linux_world; /* linux_world.c, linux_file.c: needs nothing of the port */
uint64_t pro__linux_now_ns(struct pro_port *port);
uint64_t pro__linux_random(struct pro_port *port);

/* A word that a forked child sees as 0 (MADV_WIPEONFORK), to tell child from parent without a
 * system call. NULL when there is no memory. */
uint32_t *pro__fork_mark_create(void);
void pro__fork_mark_destroy(uint32_t *mark);

#endif
