/* Private: the table that every port fills. The engine is its only caller.
 *
 * A port turns submissions into completions. It knows opcodes and struct pro_operation's request;
 * it knows no handler and no concrete operation class, and calls nobody but pro__operation_complete
 * (and pro__operation_progress). All but the functions marked [any thread] are called by one thread
 * at a time, the one that leads the loop, so a port needs no lock of its own.
 *
 * What a submission of each opcode means. One submission ends with exactly one
 * pro__operation_complete, which may come from inside submit, cancel, close_handle or wait. The
 * engine resubmits for the rest: a port may end a stream transfer with fewer bytes than asked, as
 * long as there is at least one.
 *
 *  READ_STREAM    1 or more bytes into request.io.buffers[0..count); 0 bytes are PRO_EOF. With
 * PRO__BORROWS (count 0): take a block of the lent pool when data is there, fill it (at most
 * pro__borrowed_length), put it in request.io.lent with wr set; on error or EOF lent stays NULL.
 * When the pool is empty the operation waits (back-pressure). Sockets, and pipes and terminals too.
 * WRITE_STREAM   1 or more bytes of the buffers. Never raises SIGPIPE. At most one such submission
 * per handle is in flight (the write stream sees to it). READ_FILE      at request.io.offset, at
 * least one byte; 0 bytes are PRO_EOF. WRITE_FILE likewise; a short count is fine, the engine goes
 * on. READ_DGRAM one datagram; request.io.address gets the sender. A datagram longer than the
 * buffers: PRO_EMSGSIZE with the bytes that fitted. A 0-byte datagram is success. Errors left over
 * from earlier sends (ECONNREFUSED by ICMP, WSAECONNRESET) are skipped on unconnected sockets.
 * WRITE_DGRAM    one datagram, to request.io.address or, if that is NULL, to the connected peer.
 * ACCEPT         one connection: request.accept.accepted (non-blocking, close-on-exec), *local and
 * *remote filled. ECONNABORTED and the like of a connection that died in the queue are skipped.
 * EMFILE, ENFILE, ENOBUFS, ENOMEM are reported, the connection stays queued. CONNECT        makes a
 * socket for request.connect.remote's family, binds it to local if not NULL, connects;
 * request.connect.connected. On any failure or cancel the socket is closed by the port and
 * `connected` is PRO_INVALID_HANDLE. A cancel that lost the race completes with success.
 *  TRANSMIT_FILE  sends request.transmit's header, then `left` bytes of file at `offset`, then
 * trailer, updating header/trailer (base, length), offset, left and sent as it goes, and calls
 *                 pro__operation_progress when bytes moved. Completes once: all sent (0), or an
 * error. bytes = bytes sent in this submission. File ends early: PRO_ETRUNCATED. RESOLVE looks
 * request.resolve->host up without blocking the loop; fills found and count (>= 1 on success),
 * ports set.
 *
 * Cancel and close: the result of a cancelled submission is its success if it won the race, else
 * PRO_ECANCELED with the bytes that moved. Bytes read are never dropped.
 */
#ifndef PROACTOR_PORT_H
#define PROACTOR_PORT_H

#include <proactor/file.h>
#include <proactor/operation.h>
#include <proactor/proactor.h>
#include <proactor/socket.h>

struct pro_port; /* each port's own; a port file defines struct <name>_port and casts at its edge */

struct pro_port_vtbl {
	const char *name; /* "io_uring" */

	/* Makes the port for `proactor` (whose allocator, options, lent pool and worker pool exist).
	 * Probes that everything it needs really works. On failure an error, `os_error`, and in `why`
	 * (why_size bytes) a sentence such as "io_uring_setup: EPERM". Fills the report's features,
	 * missing, entries, completion_entries, buffers_max. [any thread] */
	int (*create)(struct pro_proactor *proactor, const struct pro_proactor_options *options,
			struct pro_port **port, struct pro_proactor_report *report, char *why, size_t why_size);

	/* Frees the port; nothing is in flight. [any thread] */
	void (*destroy)(struct pro_port *port);

	/* The calling thread is about to lead the loop. PRO_ETHREAD when the port is bound to another
	 * thread. Cheap: called for every run of the loop. */
	int (*enter)(struct pro_port *port);
	/* The calling thread takes no part in the loop for a while: it left it, or blocks in a
	 * callback. NULL: that is all the same to the port. */
	void (*leave)(struct pro_port *port);

	/* Begins what operation->request says. Never fails: what goes wrong is completed. */
	void (*submit)(struct pro_port *port, struct pro_operation *operation);

	/* Asks that the operation's current submission end soon. It may complete inside this call.
	 * Called at most once per submission. */
	void (*cancel)(struct pro_port *port, struct pro_operation *operation);

	/* Ends everything in flight on request->handle as cancel does, then closes it (the peer sees
	 * the end at once) and calls request->closed. Operations that still bear the old
	 * handle complete with PRO_EBADF from then on. */
	void (*close_handle)(struct pro_port *port, struct pro_close_request *request);

	/* Hands over what was submitted and takes what is complete, waiting for at least one
	 * completion, a wake or `timeout_ns` (negative: for ever; 0: not at all). Counts its system
	 * calls in *system_calls. May return early without cause. EINTR is not visible. */
	void (*wait)(struct pro_port *port, int64_t timeout_ns, uint64_t *system_calls);

	/* Makes the wait that is under way, or else the next one, return. [any thread, signal handlers]
	 */
	void (*wake)(struct pro_port *port);

	/* Nanoseconds of a monotonic clock. [any thread] */
	uint64_t (*now_ns)(struct pro_port *port);

	/* 64 random bits. [any thread] */
	uint64_t (*random)(struct pro_port *port);

	/* A descriptor that polls readable when wait(0) would find something, or `deadline_ns`
	 * (UINT64_MAX: none) has passed. NULL: the port has none. [any thread] */
	pro_handle (*get_handle)(struct pro_port *port);
	/* Before the loop is left to a foreign loop: when get_handle must become readable at the
	 * latest. May be NULL. [loop thread] */
	void (*arm_handle)(struct pro_port *port, uint64_t deadline_ns);

	/* Blocks of the lent pool came back while the port said that it starves
	 * (pro__lent_pool_starve), or, after pro__lent_pool_reserve_all, index by index. [loop thread]
	 */
	void (*lent_returned)(struct pro_port *port, unsigned index);

	/* A word that a forked child sees as 0; it stays where it is until destroy. NULL: there are no
	 * children. [any thread] */
	const uint32_t *(*fork_mark)(const struct pro_port *port);

	/* Debug mode has caught a misuse: whether somebody else tells of it. NULL: nobody does. [any
	 * thread] */
	bool (*caught)(struct pro_port *port, const char *text);

	/* The world outside the loop: see socket.h and file.h for each. [any thread] */
	const struct pro_port_world *world;
};

struct pro_port_world {
	int (*listen)(struct pro_port *port, const struct pro_addr *local, unsigned backlog,
			pro_handle *handle);
	int (*dgram)(struct pro_port *port, enum pro_family family, const struct pro_addr *local,
			pro_handle *handle);
	int (*pair)(struct pro_port *port, pro_handle handles[2]);
	int (*local_addr)(struct pro_port *port, pro_handle handle, struct pro_addr *addr);
	int (*remote_addr)(struct pro_port *port, pro_handle handle, struct pro_addr *addr);
	int (*set_option)(
			struct pro_port *port, pro_handle handle, enum pro_socket_option option, int value);
	int (*shutdown_write)(struct pro_port *port, pro_handle handle);
	/* Whether a connection accepted at `local` may become another proactor's. NULL: always. */
	bool (*can_move)(const struct pro_addr *local);
	/* Closes a handle on which nothing was ever submitted, or of which the loop is not running. */
	void (*close_now)(struct pro_port *port, pro_handle handle);
	int (*file_open)(struct pro_port *port, const char *path, unsigned flags, pro_handle *handle);
	int (*file_status)(struct pro_port *port, pro_handle handle, struct pro_file_status *status);
	int (*root_open)(struct pro_port *port, const char *path, void **root);
	void (*root_close)(struct pro_port *port, void *root);
	int (*root_open_file)(struct pro_port *port, void *root, const char *name, unsigned flags,
			pro_handle *handle, struct pro_file_status *status);
	int (*root_status)(
			struct pro_port *port, void *root, const char *name, struct pro_file_status *status);
	int (*root_list)(struct pro_port *port, void *root, const char *name,
			int (*entry)(void *context, const char *entry_name, enum pro_file_type type),
			void *context);
};

/* How every struct pro_sim begins: a simulated world brings its port along, so that nothing of it
 * is linked into a program that has none. */
struct pro_sim_base {
	const struct pro_port_vtbl *port;
};

/* The ports that this build has, best first, ending with NULL. One file per system:
 * ports/ports_linux.c, ports/ports_windows.c. */
extern const struct pro_port_vtbl *const pro__ports[];
/* errno to enum pro_error (Linux), GetLastError and WSAGetLastError (Windows). PRO_EUNKNOWN for
 * what no table knows. */
int pro__error_from_os(int os_error);
/* Asks the system's resolver, which BLOCKS: sets *error to 0 or PRO_…, fills found and count. [any
 * thread] */
void pro__resolve(struct pro_resolve_request *request, int *error, int *os_error);

#endif
