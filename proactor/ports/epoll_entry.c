/* The epoll port's entries: which descriptor is watched, and who waits on it in which order. */
#include "epoll.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCHED_EVENTS (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET)

bool pro__epoll_is_used(const struct epoll_entry *entry)
{
	return entry->readers.next != NULL;
}

static void entry_init(struct epoll_entry *entry)
{
	if (pro__epoll_is_used(entry))
		return;
	pro__list_init(&entry->readers);
	pro__list_init(&entry->writers);
	pro__list_init(&entry->works);
}

/* TCP alone: UNIX-domain sockets end a read where a descriptor was passed, others where a message
 * ends (SCTP), and a pipe is polled. */
static bool entry_short_read_drains(
		struct epoll_port *port, const struct epoll_entry *entry, int fd)
{
	int protocol = 0;
	socklen_t length = sizeof(protocol);

	if (entry->fd.kind != PRO__FD_STREAM)
		return false;
	port->calls++;
	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 &&
		   protocol == IPPROTO_TCP;
}

static int entry_look(struct epoll_port *port, struct epoll_entry *entry, int fd)
{
	uint8_t kind = PRO__FD_UNKNOWN;
	int os_error = pro__fd_kind_of(fd, &kind);

	port->calls += 3;
	if (os_error)
		return os_error;
	entry_init(entry);
	entry->fd.kind = kind;
	entry->fd.flags = entry_short_read_drains(port, entry, fd) ? PRO__EPOLL_SHORT_DRAINS : 0;
	return 0;
}

static int entry_control(
		struct epoll_port *port, const struct epoll_entry *entry, int fd, int action)
{
	struct epoll_event event = {
			.events = WATCHED_EVENTS, .data.u64 = (uint64_t)entry->fd.epoch << 32 | (uint32_t)fd};

	port->calls++;
	return epoll_ctl(port->epoll_fd, action, fd, &event) < 0 ? errno : 0;
}

struct epoll_entry *pro__epoll_find(
		struct epoll_port *port, struct pro_operation *operation, struct epoll_result *result)
{
	struct epoll_flight *flight = epoll_flight_of(operation);
	bool is_first = operation->handle_epoch == 0;
	/* Entries never move, so one look-up serves every flight of the object. */
	struct epoll_entry *entry = flight->entry;
	int os_error = 0;

	if (is_first)
		entry = (struct epoll_entry *)(void *)pro__fd_table_get(&port->table, operation->handle);
	*flight = (struct epoll_flight){.entry = entry, .is_first = is_first, .fd = -1};
	if (!entry) {
		epoll_fail(result, errno);
		return NULL;
	}
	if (entry->close_requests)
		os_error = EBADF;
	else if (!is_first)
		os_error = operation->handle_epoch == entry->fd.epoch ? 0 : EBADF;
	/* What is not watched may have been closed and its number given away unseen. */
	else if (!(entry->fd.flags & PRO__EPOLL_REGISTERED))
		os_error = entry_look(port, entry, (int)operation->handle);
	if (os_error) {
		epoll_fail(result, os_error);
		return NULL;
	}
	operation->handle_epoch = entry->fd.epoch;
	return entry;
}

struct epoll_entry *pro__epoll_adopt(struct epoll_port *port, int fd, struct epoll_result *result)
{
	struct epoll_entry *entry = (struct epoll_entry *)(void *)pro__fd_table_get(&port->table, fd);

	if (!entry) {
		epoll_fail(result, errno);
		return NULL;
	}
	if (pro__epoll_is_used(entry) && entry->fd.kind != PRO__FD_UNKNOWN)
		pro__epoll_abandon(port, entry, fd, PRO_EBADF);
	int os_error = entry_look(port, entry, fd);
	if (!os_error)
		os_error = entry_control(port, entry, fd, EPOLL_CTL_ADD);
	if (os_error) {
		epoll_fail(result, os_error);
		return NULL;
	}
	entry->fd.flags |= PRO__EPOLL_REGISTERED;
	return entry;
}

void pro__epoll_forget(struct epoll_port *port, struct epoll_entry *entry, int fd)
{
	/* Closing would do, unless a duplicate of the descriptor lives on somewhere. */
	if (entry->fd.flags & PRO__EPOLL_REGISTERED)
		entry_control(port, entry, fd, EPOLL_CTL_DEL);
	pro__fd_next_epoch(&entry->fd);
	entry->fd.kind = PRO__FD_UNKNOWN;
	entry->fd.flags = 0;
}

static void queue_abandon(struct epoll_port *port, struct pro_list_node *queue, int error)
{
	while (!pro__list_is_empty(queue)) {
		struct epoll_flight *flight = epoll_flight_from_link(queue->next);

		pro__list_remove(&flight->link);
		if (pro__epoll_take_back(port, flight))
			pro__operation_complete(epoll_operation_of(flight), error, 0, flight->moved);
		else
			flight->is_canceled = true;
	}
}

static void works_abandon(struct epoll_port *port, struct epoll_entry *entry, int error)
{
	struct pro_list_node *next;

	for (struct pro_list_node *node = entry->works.next; node != &entry->works; node = next) {
		struct epoll_flight *flight = epoll_flight_from_link(node);

		next = node->next;
		if (!pro__epoll_take_back(port, flight))
			continue;
		pro__list_remove(node);
		pro__operation_complete(epoll_operation_of(flight), error, 0, 0);
	}
}

/* The datagrams of the entry that wait to be tried again. */
static void refused_abandon(struct epoll_port *port, const struct epoll_entry *entry, int error)
{
	struct pro_list_node *next;

	for (struct pro_list_node *node = port->refused.next; node != &port->refused; node = next) {
		struct epoll_flight *flight = epoll_flight_from_link(node);

		next = node->next;
		if (flight->entry != entry)
			continue;
		pro__list_remove(node);
		pro__operation_complete(epoll_operation_of(flight), error, 0, 0);
	}
}

void pro__epoll_abandon(struct epoll_port *port, struct epoll_entry *entry, int fd, int error)
{
	pro__epoll_forget(port, entry, fd);
	refused_abandon(port, entry, error);
	queue_abandon(port, &entry->readers, error);
	queue_abandon(port, &entry->writers, error);
	works_abandon(port, entry, error);
}

void pro__epoll_yield(struct epoll_port *port, struct epoll_entry *entry)
{
	if (!pro__list_contains(&entry->yield_link))
		pro__list_append(&port->yielded, &entry->yield_link);
}

void pro__epoll_run_queue(
		struct epoll_port *port, struct epoll_entry *entry, struct pro_list_node *queue)
{
	while (!pro__list_is_empty(queue)) {
		struct epoll_flight *flight = epoll_flight_from_link(queue->next);
		struct pro_operation *operation = epoll_operation_of(flight);
		struct epoll_result result = {0};

		if (flight->is_working)
			return;
		if (queue == &entry->readers && (entry->fd.flags & PRO__EPOLL_DRAINED))
			return;
		enum epoll_step step = pro__epoll_try(port, entry, operation, &result);
		if (step == PRO__EPOLL_WAIT)
			return;
		pro__list_remove(&flight->link);
		if (step == PRO__EPOLL_PAUSE)
			pro__list_append(&port->refused, &flight->link);
		else
			pro__operation_complete(operation, result.error, result.os_error, result.bytes);
	}
}

void pro__epoll_dequeue(struct epoll_port *port, struct epoll_flight *flight)
{
	bool is_head = flight->queue->next == &flight->link;

	pro__list_remove(&flight->link);
	/* The head may have waited for something other than the next one does. */
	if (is_head && !pro__list_is_empty(flight->queue))
		pro__epoll_yield(port, flight->entry);
}

/* The number was closed behind the port's back and now means another file: what waited for the old
 * one fails, and this operation begins anew. */
static void entry_replace(struct epoll_port *port, struct pro_operation *operation)
{
	struct epoll_flight *flight = epoll_flight_of(operation);
	struct epoll_entry *entry = flight->entry;
	struct pro_list_node *queue = flight->queue;
	struct epoll_result result = {0};

	pro__list_remove(&flight->link);
	pro__epoll_abandon(port, entry, (int)operation->handle, PRO_EBADF);
	operation->handle_epoch = 0;
	if (pro__epoll_find(port, operation, &result))
		pro__epoll_enqueue(port, entry, queue, operation);
	else
		pro__operation_complete(operation, result.error, result.os_error, 0);
}

void pro__epoll_watch(struct epoll_port *port, struct pro_operation *operation)
{
	struct epoll_flight *flight = epoll_flight_of(operation);
	struct epoll_entry *entry = flight->entry;
	bool was_registered = entry->fd.flags & PRO__EPOLL_REGISTERED;

	if (!pro__list_contains(&flight->link) || flight->is_working)
		return;
	if (was_registered && !flight->is_first)
		return;
	flight->is_first = false;
	int os_error = entry_control(port, entry, (int)operation->handle, EPOLL_CTL_ADD);
	/* A file, or a device such as /dev/null, is always ready: it waits for its next turn or for a
	 * block only. */
	if (os_error == EPERM &&
			(pro__list_contains(&entry->yield_link) || pro__list_contains(&entry->starve_link)))
		return;
	if (os_error && os_error != EEXIST) {
		pro__epoll_dequeue(port, flight);
		pro__operation_complete(operation, pro__error_from_os(os_error), os_error, flight->moved);
		return;
	}
	entry->fd.flags |= PRO__EPOLL_REGISTERED;
	if (os_error == 0 && was_registered)
		entry_replace(port, operation);
}

void pro__epoll_enqueue(struct epoll_port *port, struct epoll_entry *entry,
		struct pro_list_node *queue, struct pro_operation *operation)
{
	struct epoll_flight *flight = epoll_flight_of(operation);
	bool is_alone = pro__list_is_empty(queue);

	flight->queue = queue;
	pro__list_append(queue, &flight->link);
	if (is_alone)
		pro__epoll_run_queue(port, entry, queue);
	if (flight->is_first || !(entry->fd.flags & PRO__EPOLL_REGISTERED))
		pro__epoll_watch(port, operation);
}

void pro__epoll_close_if_quiet(struct epoll_port *port, struct epoll_entry *entry, int fd)
{
	struct pro_close_request *request = entry->close_requests;

	if (!request || !pro__list_is_empty(&entry->works))
		return;
	entry->close_requests = NULL;
	pro__epoll_forget(port, entry, fd);
	close(fd);
	port->calls++;
	while (request) {
		struct pro_close_request *next = request->next;

		request->closed(request);
		request = next;
	}
}
