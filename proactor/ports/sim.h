/* Private: what the files of the simulated port share.
 *
 * A world is a heap of events in virtual time. Things in it are slots of pools: they never move,
 * are used again last in first out, and bear a generation, so that an event or an operation that
 * comes too late finds that it means nothing any more. No decision looks at an address.
 *
 * An operation that was submitted is a flight. It waits in the queue of the object that its handle
 * means until something can be done; then it is ready, and the loop of its proactor does it in its
 * next wait: that is when bytes are copied. */
#ifndef PROACTOR_PORTS_SIM_H
#define PROACTOR_PORTS_SIM_H

#include <proactor/sim.h>

#include "../engine.h"

/* ---- memory ---- */

/* World memory: never NULL. */
void *pro__sim_allocate(size_t size);
void *pro__sim_reallocate(void *memory, size_t size);
void pro__sim_free(void *memory);

struct sim_slot {
	uint32_t generation;
	uint32_t index;
	struct sim_slot *next_free;
	bool is_used;
};

struct sim_pool {
	size_t slot_size;
	unsigned char **chunks;
	uint32_t made;
	uint32_t used;
	struct sim_slot *free;
};

/* The first member of what a pool holds is its struct sim_slot. */
void pro__sim_pool_init(struct sim_pool *pool, size_t slot_size);
void pro__sim_pool_fini(struct sim_pool *pool);
/* Zero but for its slot. */
void *pro__sim_pool_take(struct sim_pool *pool);
void pro__sim_pool_give(struct sim_pool *pool, void *slot);
/* NULL when slot `index`, below pool->made, is not used. */
void *pro__sim_pool_at(const struct sim_pool *pool, uint32_t index);

/* What pro_sim_allocator hands out (sim_allocator.c). */
void pro__sim_memory_init(struct pro_sim *sim);
void pro__sim_memory_fini(struct pro_sim *sim);
/* Finds what was written to after its end. */
void pro__sim_check_freed(struct pro_sim *sim);

/* ---- choices ---- */

enum { SIM_CHOICE_SCHEDULE, SIM_CHOICE_USER, SIM_CHOICE_FAULT };
#define SIM_CHOICES ((unsigned)SIM_CHOICE_FAULT + (unsigned)PRO_SIM_FAULTS)

struct sim_choices {
	uint64_t states[SIM_CHOICES]; /* one each, so that one fault more or less leaves the rest */
	uint32_t rates[PRO_SIM_FAULTS];
	const unsigned char *bytes;
	size_t bytes_left;
};

void pro__sim_choices_init(struct sim_choices *choices, const struct pro_sim_options *options);
uint64_t pro__sim_below(struct pro_sim *sim, uint64_t bound);
uint64_t pro__sim_between(struct pro_sim *sim, uint64_t least, uint64_t most);
bool pro__sim_coin(struct pro_sim *sim);
bool pro__sim_strikes(struct pro_sim *sim, enum pro_sim_fault fault);
/* A number below `bound` of that fault's own. */
uint64_t pro__sim_fault_below(struct pro_sim *sim, enum pro_sim_fault fault, uint64_t bound);
uint64_t pro__sim_user_bits(struct pro_sim *sim);

/* ---- events ---- */

enum sim_event_kind {
	SIM_EVENT_RUN,     /* a proactor runs its loop once: struct sim_port */
	SIM_EVENT_FLIGHT,  /* a flight's delay is over: struct sim_flight */
	SIM_EVENT_ARRIVAL, /* bytes reach a stream: struct sim_object */
	SIM_EVENT_DATAGRAM /* struct sim_datagram */
};

struct sim_event {
	uint64_t time_ns;
	uint64_t order;
	struct sim_slot *slot; /* what it is about */
	uint32_t generation;
	enum sim_event_kind kind;
};

struct sim_events {
	struct sim_event *heap;
	uint32_t count;
	uint32_t size;
	uint64_t order;
};

void pro__sim_schedule(
		struct pro_sim *sim, uint64_t time_ns, enum sim_event_kind kind, struct sim_slot *slot);
/* The time of the next event; UINT64_MAX: there is none. */
uint64_t pro__sim_next_ns(const struct pro_sim *sim);
/* Takes it out. */
struct sim_event pro__sim_take_event(struct pro_sim *sim);

/* ---- flights ---- */

enum sim_flight_state {
	SIM_WAITING,  /* for something to happen to its object */
	SIM_DELAYED,  /* for its event */
	SIM_STARVING, /* for a block to be lent */
	SIM_READY     /* to be done in the next wait of its port */
};

struct sim_flight {
	struct sim_slot slot;
	struct pro_operation *operation;
	struct sim_port *port;
	struct sim_object *object; /* NULL: a look-up */
	struct pro_list_node link; /* in a queue of the object */
	struct pro_list_node starve_link;
	uint32_t ready_index;
	uint8_t state;  /* enum sim_flight_state */
	uint8_t opcode; /* kept, because the operation may be gone by mistake */
	uint8_t tries;  /* of a connect */
	bool is_canceled;
	bool has_won;      /* against a cancel */
	bool is_lost;      /* its process has crashed */
	bool is_connected; /* the answer to a connect is there */
	int error;         /* what it will complete with; 0: not known yet */
	uint64_t sum;      /* of the bytes to be sent */
	size_t moved;      /* of a transmission */
};

struct sim_result {
	int error;
	size_t bytes;
};

/* ---- objects: what handles mean ---- */

enum sim_kind { SIM_STREAM, SIM_LISTENER, SIM_DGRAM, SIM_FILE };

struct sim_segment {
	uint64_t end; /* position behind its last byte */
	uint64_t time_ns;
};

/* More packets under way than this go together. */
#define SIM_SEGMENTS 8u

/* One direction of a connection; it belongs to the receiver. Positions count from its begin. */
struct sim_pipe {
	unsigned char *ring;
	size_t ring_size; /* a power of two, grown as needed up to the capacity */
	size_t capacity;
	uint64_t read;    /* position of the first byte not read */
	uint64_t arrived; /* behind the last that can be read */
	uint64_t written; /* behind the last that was sent */
	struct sim_segment segments[SIM_SEGMENTS];
	unsigned first_segment;
	unsigned segments_count;
	uint64_t end_ns;   /* when the end of the stream arrives; UINT64_MAX: it was not sent */
	uint64_t reset_ns; /* likewise */
	uint64_t event_ns; /* of the scheduled arrival; UINT64_MAX: there is none */
	uint64_t clogged_until_ns;
	bool has_end; /* it arrived */
};

struct sim_stream {
	struct sim_object *peer;     /* there from the connection on, as long as this end */
	struct sim_object *listener; /* in whose queue it stands */
	struct sim_pipe in;
	size_t send_bytes;
	size_t receive_bytes;
	uint32_t ends_read; /* in a row */
	bool is_connected;
	bool is_reset;
	bool is_reset_told;
	bool is_write_ended;
	bool is_closed; /* its handle is; the object stays until the peer is closed too */
	bool resets_on_close;
};

struct sim_listener {
	struct pro_list_node link;  /* in the world's list */
	struct pro_list_node queue; /* of struct sim_object by queue_link */
	unsigned queued;
	unsigned backlog;
	bool is_any_inet;
	bool is_any_inet6;
	uint64_t waiting_since_ns; /* connections wait and no accept is posted; 0: not so */
	uint64_t failures_ns;      /* the second in which failures are counted */
	uint32_t failures;
};

struct sim_dgram {
	struct pro_list_node link;  /* in the world's list */
	struct pro_list_node queue; /* of struct sim_datagram */
	size_t queued_bytes;
	bool is_any; /* bound to every address of the machine */
};

struct sim_file {
	struct sim_node *node;
	bool can_read;
	bool can_write;
};

struct sim_object {
	struct sim_slot slot;
	enum sim_kind kind;
	pro_handle number; /* PRO_INVALID_HANDLE: none yet, or closed */
	struct pro_sim *sim;
	struct sim_port *port; /* whose process it belongs to; NULL: of none that lives */
	struct pro_list_node readers;
	struct pro_list_node writers;
	struct pro_list_node queue_link; /* in a listener's queue */
	struct pro_close_request *close_requests;
	bool is_closing;
	bool is_ending_flights; /* its close is at it: it must not go before */
	uint64_t opened_step;
	struct pro_addr local;
	struct pro_addr remote;
	union {
		struct sim_stream stream;
		struct sim_listener listener;
		struct sim_dgram dgram;
		struct sim_file file;
	} as;
};

struct sim_datagram {
	struct sim_slot slot;
	struct pro_list_node link;
	struct pro_addr from;
	struct pro_addr to;
	struct sim_port *sender;
	size_t length;
	unsigned char *bytes;
};

/* What a number means now. */
struct sim_number {
	struct sim_object *object; /* NULL: free */
	uint16_t epoch;            /* never 0 */
	uint32_t next_free;        /* index + 1; 0: none */
	uint64_t closed_step;
};

/* ---- the port of one proactor ---- */

#define SIM_NAME_MAX 32

struct sim_port {
	struct sim_slot slot;
	struct pro_sim *sim;
	struct pro_proactor *proactor;
	unsigned id; /* below PRO_SIM_PROACTORS_MAX */
	char name[SIM_NAME_MAX];
	struct sim_flight **ready;
	uint32_t ready_count;
	uint32_t ready_size;
	struct pro_list_node starving;
	uint64_t run_ns; /* of the scheduled run; UINT64_MAX: there is none */
	_Atomic(bool) is_woken;
	bool is_driven; /* the world runs its loop: a wait does not wait */
	bool is_crashed;
	bool is_paused; /* it stands still until its next run */
	bool has_lent_block;
	bool is_told; /* of a failure: its loop was ended */
	unsigned stalls;
	unsigned handles;
	unsigned handles_max;
};

/* Events that are kept, and the first bytes of each transfer. */
#define SIM_TRACE       64u
#define SIM_TRACE_BYTES 24u

enum sim_trace_kind {
	SIM_TRACE_START,
	SIM_TRACE_COMPLETE,
	SIM_TRACE_CANCEL,
	SIM_TRACE_CLOSE,
	SIM_TRACE_ARRIVAL,
	SIM_TRACE_END,
	SIM_TRACE_RESET,
	SIM_TRACE_WAITS,
	SIM_TRACE_FAULT,
	SIM_TRACE_IDLE
};

struct sim_trace {
	uint64_t step;
	uint64_t now_ns;
	uint64_t bytes;
	pro_handle handle;
	int error;
	uint8_t kind; /* enum sim_trace_kind */
	uint8_t port;
	uint8_t opcode; /* or enum pro_sim_fault */
	uint8_t kept;   /* bytes in `first` */
	unsigned char first[SIM_TRACE_BYTES];
};

/* The latest events, in memory that outlives a crash when a runner wants to know. */
struct sim_log {
	struct sim_trace events[SIM_TRACE];
	uint64_t count;
	char names[PRO_SIM_PROACTORS_MAX][SIM_NAME_MAX];
};

#define SIM_HOSTS_MAX 32
#define SIM_FOUND_MAX 8

struct sim_host {
	char name[PRO_HOST_MAX];
	unsigned count;
	struct pro_addr addrs[SIM_FOUND_MAX];
};

struct pro_sim {
	struct pro_sim_base base; /* first */
	struct pro_sim_options options;
	_Atomic(uint64_t) now_ns;
	uint64_t steps;
	uint64_t completions;
	uint64_t hash;
	struct sim_choices choices;
	struct sim_events events;
	bool is_stepping;
	_Atomic(bool) is_woken; /* some port is */
	uint64_t next_check_ns;

	struct pro_allocator allocator; /* for what lives in the world */
	struct pro_list_node live;
	struct pro_list_node freed;
	size_t freed_bytes;

	struct sim_pool ports;
	struct sim_pool flights;
	struct sim_pool objects;
	struct sim_pool datagrams;
	struct sim_number *numbers;
	uint32_t numbers_made;
	uint32_t numbers_size;
	uint32_t free_number; /* index + 1 */

	struct pro_list_node listeners;
	struct pro_list_node dgrams;
	uint64_t clogged_until_ns[PRO_SIM_PROACTORS_MAX][PRO_SIM_PROACTORS_MAX]; /* from, to */
	uint16_t next_port;
	struct sim_host hosts[SIM_HOSTS_MAX];
	unsigned hosts_count;

	struct sim_node *root;
	uint64_t disk_used;
	uint64_t nodes_made;

	char failure[512];
	uint64_t failure_step;
	void (*failed)(void *context, const struct pro_sim *sim); /* the runner's */
	void *failed_context;
	bool is_watched; /* the runner's: its proactors are in debug mode */
	bool is_misuse;  /* the failure is what debug mode caught */
	struct sim_log *log;
	struct sim_log own_log;
};

static inline uint64_t pro__sim_now(const struct pro_sim *sim)
{
	return atomic_load_explicit(&sim->now_ns, memory_order_relaxed);
}

static inline struct sim_port *pro__sim_port_of(struct pro_port *port)
{
	return (struct sim_port *)(void *)port;
}

extern const struct pro_port_vtbl pro__sim_port;
extern const struct pro_port_world pro__sim_world;

/* ---- the world's course (sim_world.c) ---- */

/* Its loop runs once, soon, or at `time_ns`. */
void pro__sim_run_soon(struct sim_port *port);
void pro__sim_run_at(struct sim_port *port, uint64_t time_ns);
/* The next event up to `limit_ns`; false when there is none, and the clock stands there then. */
bool pro__sim_advance(struct pro_sim *sim, uint64_t limit_ns);
uint64_t pro__sim_latency(struct pro_sim *sim);

/* ---- flights (sim_flight.c, sim_submit.c) ---- */

void pro__sim_submit(struct pro_port *port, struct pro_operation *operation);
void pro__sim_cancel(struct pro_port *port, struct pro_operation *operation);
void pro__sim_close_handle(struct pro_port *port, struct pro_close_request *request);
/* Does what is ready; how many flights ended. */
unsigned pro__sim_deliver(struct sim_port *port);
/* The first of the queue that waits is ready if something can be done. */
void pro__sim_kick(struct sim_object *object, struct pro_list_node *queue);
/* It will be ready in `delay_ns`. */
void pro__sim_delay(struct sim_flight *flight, uint64_t delay_ns);
void pro__sim_make_ready(struct sim_flight *flight);
/* Does what can be done of a flight that is ready; true when it has ended. */
bool pro__sim_go_on(struct sim_flight *flight);
void pro__sim_flight_due(struct sim_flight *flight);
struct sim_flight *pro__sim_flight_make(struct sim_port *port, struct pro_operation *operation,
		struct sim_object *object, struct pro_list_node *queue);
/* No block can be lent to it. */
void pro__sim_starve(struct sim_flight *flight);
/* A block came back. */
void pro__sim_feed(struct sim_port *port);
/* Ends everything on the object as a cancel does, then closes it. */
void pro__sim_close_object(struct sim_object *object, struct pro_close_request *request);

/* ---- buffers (sim_buffer.c) ---- */

size_t pro__sim_total(const struct pro_buffer *buffers, unsigned count);
void pro__sim_mark(struct sim_flight *flight);
/* Fails when what was marked has changed. */
void pro__sim_verify(struct sim_flight *flight);
/* Copies the first of the `bytes` bytes that the flight moved; how many. */
size_t pro__sim_first_bytes(
		const struct sim_flight *flight, size_t bytes, unsigned char *first, size_t size);

/* ---- handles (sim_handle.c) ---- */

/* PRO_EMFILE, or 0 and a number that means the object. */
int pro__sim_number_take(struct sim_port *port, struct sim_object *object);
void pro__sim_number_give(struct sim_object *object);
bool pro__sim_number_is_free(const struct sim_port *port);
/* The step at which the number was closed last. */
uint64_t pro__sim_closed_step(const struct pro_sim *sim, pro_handle handle);
/* NULL: it is not open. */
struct sim_object *pro__sim_find(const struct pro_sim *sim, pro_handle handle);
/* The object that the operation was opened on; NULL when its number was closed since. */
struct sim_object *pro__sim_find_for(struct sim_port *port, struct pro_operation *operation);
struct sim_object *pro__sim_object_make(struct sim_port *port, enum sim_kind kind);
/* Frees what belongs to the kind, and the object. */
void pro__sim_object_free(struct sim_object *object);

/* ---- streams (sim_stream.c, sim_transmit.c) ---- */

void pro__sim_stream_init(struct sim_object *object);
void pro__sim_stream_join(struct sim_object *left, struct sim_object *right);
bool pro__sim_stream_is_readable(const struct sim_object *object);
bool pro__sim_stream_is_writable(const struct sim_object *object);
/* Each tries once; false: it must wait. */
bool pro__sim_try_read_stream(struct sim_flight *flight, struct sim_result *result);
bool pro__sim_try_write_stream(struct sim_flight *flight, struct sim_result *result);
bool pro__sim_try_transmit(struct sim_flight *flight, struct sim_result *result);
/* 0, or why nothing can be written any more. */
int pro__sim_stream_write_error(struct sim_stream *stream);
/* Of `length` bytes that could be written, how many are. */
size_t pro__sim_stream_limit(struct pro_sim *sim, size_t length);
/* What was put into the pipe of the peer goes on its way. */
void pro__sim_stream_send(struct sim_object *object);
void pro__sim_stream_arrival(struct sim_object *object, uint64_t time_ns);
/* Sends the end; PRO_ENOTCONN. */
int pro__sim_stream_shutdown(struct sim_object *object);
/* Both ends, as a box in between would do it. */
void pro__sim_stream_reset(struct sim_object *object);
/* The handle is closed: the peer learns it. */
void pro__sim_stream_close(struct sim_object *object);
/* Nothing is in flight on the closed end any more; the pair goes when both are so far. */
void pro__sim_stream_forget(struct sim_object *object);
/* Packets that wait for a clog may go on. */
void pro__sim_stream_resume(struct sim_object *object);
void pro__sim_stream_set_capacity(struct sim_object *object);

/* ---- pipes (sim_pipe.c) ---- */

size_t pro__sim_pipe_space(const struct sim_pipe *pipe);
void pro__sim_pipe_put(struct sim_pipe *pipe, const unsigned char *bytes, size_t length);
void pro__sim_pipe_get(struct sim_pipe *pipe, unsigned char *bytes, size_t length);
/* What was put since the last segment arrives at `time_ns`, not before what was put earlier. */
void pro__sim_pipe_send(struct sim_pipe *pipe, uint64_t time_ns);
uint64_t pro__sim_pipe_last_ns(const struct sim_pipe *pipe);
/* Takes in what has arrived by now; the time of the next arrival or UINT64_MAX. */
uint64_t pro__sim_pipe_arrive(struct sim_pipe *pipe, uint64_t now_ns);
void pro__sim_pipe_clear(struct sim_pipe *pipe);

/* ---- connections (sim_connect.c) ---- */

int pro__sim_listen(
		struct pro_port *port, const struct pro_addr *local, unsigned backlog, pro_handle *handle);
void pro__sim_listener_close(struct sim_object *object);
void pro__sim_submit_connect(struct sim_port *port, struct pro_operation *operation);
/* A packet of the handshake is there. */
void pro__sim_connect_due(struct sim_flight *flight);
bool pro__sim_try_accept(struct sim_flight *flight, struct sim_result *result);
bool pro__sim_try_connect(struct sim_flight *flight, struct sim_result *result);
/* A connect ends without success. */
void pro__sim_connect_give_up(struct sim_flight *flight);
void pro__sim_unqueue(struct sim_object *object);
/* A UNIX-domain socket without a name. */
void pro__sim_unnamed_addr(struct pro_addr *addr);
/* The own address of a process, in the family of `like`, and a port that nobody uses. */
void pro__sim_own_addr(struct sim_port *port, const struct pro_addr *like, struct pro_addr *addr);
uint16_t pro__sim_free_port(struct pro_sim *sim);
/* `from` may be NULL: a process that has ended, whose packets are under way. */
bool pro__sim_is_cut(
		const struct pro_sim *sim, const struct sim_port *from, const struct sim_port *to);

/* ---- datagrams (sim_dgram.c) ---- */

int pro__sim_dgram(struct pro_port *port, enum pro_family family, const struct pro_addr *local,
		pro_handle *handle);
void pro__sim_dgram_close(struct sim_object *object);
bool pro__sim_try_read_dgram(struct sim_flight *flight, struct sim_result *result);
bool pro__sim_try_write_dgram(struct sim_flight *flight, struct sim_result *result);
void pro__sim_datagram_due(struct pro_sim *sim, struct sim_datagram *datagram);

/* ---- files and names (sim_disk.c, sim_file.c, sim_resolve.c) ---- */

enum sim_node_type { SIM_NODE_FILE, SIM_NODE_DIRECTORY, SIM_NODE_LINK, SIM_NODE_DEVICE };

struct sim_page;

struct sim_node {
	char *name;
	enum sim_node_type type;
	struct sim_node *parent; /* NULL: the root, or removed */
	struct sim_node *children;
	struct sim_node *next;
	uint64_t number;
	unsigned references; /* handles and roots, and the tree */
	uint64_t modified_ns;
	uint64_t size;
	uint64_t durable_size;
	bool is_new;             /* since the last sync */
	struct sim_page **pages; /* a hash table */
	size_t pages_size;
	size_t pages_count;
};

#define SIM_PAGE_BYTES 4096u

struct sim_node *pro__sim_node_make(
		struct pro_sim *sim, struct sim_node *parent, const char *name, enum sim_node_type type);
void pro__sim_node_release(struct pro_sim *sim, struct sim_node *node);
void pro__sim_node_remove(struct pro_sim *sim, struct sim_node *node);
/* NULL: there is none. */
struct sim_node *pro__sim_node_child(
		const struct sim_node *directory, const char *name, size_t length);
void pro__sim_node_read(
		const struct sim_node *node, uint64_t offset, unsigned char *bytes, size_t length);
/* How many of the bytes the disk has space for. */
size_t pro__sim_node_space(
		const struct pro_sim *sim, const struct sim_node *node, uint64_t offset, size_t length);
void pro__sim_node_write(struct pro_sim *sim, struct sim_node *node, uint64_t offset,
		const unsigned char *bytes, size_t length);
void pro__sim_node_resize(struct pro_sim *sim, struct sim_node *node, uint64_t size);
void pro__sim_node_sync(struct sim_node *node);
void pro__sim_node_crash(struct pro_sim *sim, struct sim_node *node);
/* Finds `path`, from the root of all: 0 and the node, or an error. */
int pro__sim_walk(const struct pro_sim *sim, const char *path, struct sim_node **node);

bool pro__sim_try_read_file(struct sim_flight *flight, struct sim_result *result);
bool pro__sim_try_write_file(struct sim_flight *flight, struct sim_result *result);
void pro__sim_file_close(struct sim_object *object);
uint64_t pro__sim_disk_latency(struct pro_sim *sim);
bool pro__sim_try_resolve(struct sim_flight *flight, struct sim_result *result);

int pro__sim_file_open(struct pro_port *port, const char *path, unsigned flags, pro_handle *handle);
int pro__sim_file_status(struct pro_port *port, pro_handle handle, struct pro_file_status *status);
int pro__sim_root_open(struct pro_port *port, const char *path, void **root);
void pro__sim_root_close(struct pro_port *port, void *root);
int pro__sim_root_open_file(struct pro_port *port, void *root, const char *name, unsigned flags,
		pro_handle *handle, struct pro_file_status *status);
int pro__sim_root_status(
		struct pro_port *port, void *root, const char *name, struct pro_file_status *status);
int pro__sim_root_list(struct pro_port *port, void *root, const char *name,
		int (*entry)(void *context, const char *entry_name, enum pro_file_type type),
		void *context);

/* ---- traces and checks (sim_check.c) ---- */

void pro__sim_name_port(struct sim_port *port, const char *name);
/* The latest events as lines; those that fit. */
void pro__sim_format_log(const struct sim_log *log, char *text, size_t size);
/* Writes down what is in flight, for a failure that nothing happens any more. */
void pro__sim_trace_waiting(struct pro_sim *sim);
void pro__sim_trace(struct pro_sim *sim, enum sim_trace_kind kind, const struct sim_port *port,
		pro_handle handle, unsigned opcode, int error, uint64_t bytes);
/* A flight ends, with the first bytes that it moved. */
void pro__sim_trace_end(const struct sim_flight *flight, struct sim_result result);
/* A mistake of that kind, unless nobody wants to know. */
void pro__sim_found(struct pro_sim *sim, enum pro_sim_check_kind kind, const char *format, ...)
		PRO_PRINTF(3, 4);
static inline bool pro__sim_has_failed(const struct pro_sim *sim)
{
	return sim->failure[0] != '\0';
}
/* What a port leaves behind is found. */
void pro__sim_check_leaks(struct sim_port *port);

/* ---- the runner (sim_test.c, sim_child.c) ---- */

/* Memory that a child process shares with the runner, so that a crash leaves word. */
struct sim_shared {
	uint64_t seed;  /* under way, or the one that failed */
	uint64_t seeds; /* that are through; likewise the next ones */
	uint64_t steps;
	uint64_t completions;
	uint64_t hash;
	bool is_failure;
	bool is_misuse;
	bool is_leak;  /* of a batch of seeds */
	uint64_t step; /* of the failure */
	char failure[512];
	struct sim_log log;
};

/* NULL: there is no memory. */
struct sim_shared *pro__sim_shared_create(void);
void pro__sim_shared_destroy(struct sim_shared *shared);
enum sim_child_end { SIM_CHILD_RETURNED, SIM_CHILD_CRASHED, SIM_CHILD_HUNG };

/* Calls `run` in a child process and waits for its end. How it ended, unless it returned, stands in
 * `why`. Where there are no child processes it is called here. */
enum sim_child_end pro__sim_child_run(
		void (*run)(void *context), void *context, char *why, size_t why_size);
/* In the child: it ends when it has worked so many seconds more. */
void pro__sim_child_limit(unsigned seconds);
/* Whether a sanitizer knows of memory that nobody can reach any more. */
bool pro__sim_has_leak(void);

#endif
