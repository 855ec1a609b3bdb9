/* Private: what the files of the epoll port share.
 *
 * Each descriptor has an entry with two queues of flights, those that read (or accept) and those
 * that write (or connect). The flight at the head of a queue is tried first and waits for readiness
 * then; the others stand behind it. epoll reports edges, so a queue is run when it gets its first
 * flight and after each edge, until its head must wait. */
#ifndef PROACTOR_PORTS_EPOLL_H
#define PROACTOR_PORTS_EPOLL_H

#include "linux.h"

#include <sys/epoll.h>

/* Events taken by one wait. */
#define PRO__EPOLL_BATCH 256u

/* What one descriptor may do between two waits before the others get their turn: tries, because
 * small transfers cost a system call each, and bytes. */
#define PRO__EPOLL_SHARE_TRIES 64u
#define PRO__EPOLL_SHARE_BYTES (1024u * 1024)

struct epoll_port {
	struct pro_proactor *proactor;
	int epoll_fd;
	int wake_fd;  /* eventfd: only ever written; its edges wake */
	int timer_fd; /* for foreign loops */
	bool has_pwait2;
	bool is_shared;      /* several threads run the loop */
	bool has_lent_block; /* a block came back that readers starve for */
	uint32_t *fork_mark;
	struct pro__fd_table table;
	uint64_t calls; /* system calls since the last wait */
	uint32_t turn;  /* number of the wait */

	struct pro_list_node yielded;  /* entries to be run in the next wait */
	struct pro_list_node starving; /* entries whose first reader waits for a block */
	struct pro_list_node refused;  /* connects and datagrams to be tried again soon */
	uint64_t refused_tried_ns;

	_Atomic(struct epoll_flight *) worked; /* ended by workers, newest first */
};

/* Bits of pro__fd.flags. */
enum {
	PRO__EPOLL_REGISTERED = 1,
	PRO__EPOLL_DRAINED = 2,     /* nothing to read until the next edge */
	PRO__EPOLL_SHORT_DRAINS = 4 /* a read that got less than it asked for has drained the socket */
};

struct epoll_entry {
	struct pro__fd fd; /* first */
	uint32_t turn;     /* of the share below */
	uint32_t share_tries;
	uint32_t share_bytes;
	struct pro_list_node readers;
	struct pro_list_node writers;
	struct pro_list_node works; /* file operations that workers have */
	struct pro_list_node yield_link;
	struct pro_list_node starve_link;
	struct pro_close_request *close_requests; /* waiting for the works */
};

/* What operation->port holds. */
struct epoll_flight {
	struct pro_list_node link;   /* in a queue of the entry, in refused, or not at all */
	struct epoll_entry *entry;   /* NULL: no descriptor */
	struct pro_list_node *queue; /* of the entry; NULL for what workers do */
	struct pro_work work;
	struct epoll_flight *next_worked;
	size_t moved;        /* bytes of a transmission so far */
	size_t bytes;        /* of a work */
	int error;           /* of a work */
	int os_error;        /* of a work */
	int fd;              /* of a connect */
	uint16_t file_epoch; /* of a transmission's file */
	bool is_working;     /* a worker has it */
	bool is_canceled;    /* while a worker had it */
	bool is_first;       /* the operation has just met this descriptor */
};
_Static_assert(sizeof(struct epoll_flight) <= sizeof(((struct pro_operation *)0)->port),
		"a flight fits into an operation");

/* How a step ended. */
enum epoll_step {
	PRO__EPOLL_DONE,
	PRO__EPOLL_WAIT, /* for an edge, or its next turn */
	PRO__EPOLL_PAUSE /* no edge will come */
};

struct epoll_result {
	int error;
	int os_error;
	size_t bytes;
};

static inline struct epoll_flight *epoll_flight_of(struct pro_operation *operation)
{
	return (struct epoll_flight *)(void *)operation->port.bytes;
}

static inline struct pro_operation *epoll_operation_of(struct epoll_flight *flight)
{
	return pro_container_of(flight, struct pro_operation, port);
}

static inline struct epoll_port *epoll_from_port(struct pro_port *port)
{
	return (struct epoll_port *)(void *)port;
}

static inline struct epoll_flight *epoll_flight_from_link(struct pro_list_node *link)
{
	return pro_container_of(link, struct epoll_flight, link);
}

static inline int epoll_fail(struct epoll_result *result, int os_error)
{
	*result = (struct epoll_result){.error = pro__error_from_os(os_error), .os_error = os_error};
	return os_error;
}

/* ---- epoll_entry.c: entries and their queues ---- */

/* The entry of the operation's handle, checked against the epoch that the operation knows; NULL and
 * *result when the operation must not run. */
struct epoll_entry *pro__epoll_find(
		struct epoll_port *port, struct pro_operation *operation, struct epoll_result *result);
/* The entry of a descriptor that the port just made, watched; whoever still waits on its number is
 * told that theirs is gone. NULL and *result when that fails. */
struct epoll_entry *pro__epoll_adopt(struct epoll_port *port, int fd, struct epoll_result *result);
/* The number means nothing from now on. */
void pro__epoll_forget(struct epoll_port *port, struct epoll_entry *entry, int fd);
/* Forgets the entry and ends all flights on it with `error`; what workers are at ends later. */
void pro__epoll_abandon(struct epoll_port *port, struct epoll_entry *entry, int fd, int error);
/* Whether the entry was ever used. */
bool pro__epoll_is_used(const struct epoll_entry *entry);

/* Puts the flight behind the others of the queue and runs the queue if it is the only one. */
void pro__epoll_enqueue(struct epoll_port *port, struct epoll_entry *entry,
		struct pro_list_node *queue, struct pro_operation *operation);
/* Tries the flights of the queue in order until one must wait. */
void pro__epoll_run_queue(
		struct epoll_port *port, struct epoll_entry *entry, struct pro_list_node *queue);
/* Has epoll watch what the operation, if it still stands in a queue, waits for. */
void pro__epoll_watch(struct epoll_port *port, struct pro_operation *operation);
/* Takes a flight that is cancelled out of its queue. */
void pro__epoll_dequeue(struct epoll_port *port, struct epoll_flight *flight);
/* Runs the entry's queues in the next wait. */
void pro__epoll_yield(struct epoll_port *port, struct epoll_entry *entry);

/* ---- epoll_step.c: what each operation does when its turn comes ---- */

enum epoll_step pro__epoll_try(struct epoll_port *port, struct epoll_entry *entry,
		struct pro_operation *operation, struct epoll_result *result);
void pro__epoll_submit_connect(struct epoll_port *port, struct pro_operation *operation);
void pro__epoll_cancel_connect(struct epoll_port *port, struct pro_operation *operation);

/* ---- epoll_work.c: what workers do ---- */

void pro__epoll_submit_file(struct epoll_port *port, struct pro_operation *operation);
void pro__epoll_submit_resolve(struct epoll_port *port, struct pro_operation *operation);
/* Has a worker read the next byte of the transmission's file into memory. 0 or PRO_ENOMEM. */
int pro__epoll_begin_warming(struct epoll_port *port, struct pro_operation *operation);
/* Whether the flight is free of workers now: it was not with one, or none had begun with it. */
bool pro__epoll_take_back(struct epoll_port *port, struct epoll_flight *flight);
void pro__epoll_cancel_work(struct epoll_port *port, struct pro_operation *operation);
/* Completes what workers have ended. */
void pro__epoll_finish_works(struct epoll_port *port);
/* Makes the wait return; worker threads use it too. */
void pro__epoll_wake(struct pro_port *port);
/* Closes the entry's descriptor if somebody asked for that and the workers are through with it. */
void pro__epoll_close_if_quiet(struct epoll_port *port, struct epoll_entry *entry, int fd);

#endif
