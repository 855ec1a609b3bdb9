/* Named pipes as streams. "unix:\\.\pipe\NAME" is the address.
 *
 * A pipe has no listener but many instances, each of which takes one client. What is listened on is
 * an instance that takes none, and so keeps the name; each accept makes another one. */
#include "iocp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sockaddr.h"
#include "windows_error.h"
#include "windows_world.h"

#define PIPE_BUFFER_BYTES 65536
/* Accepts whose client came and went are made again at most so often. */
#define TRIES_MOST 16
/* How long a connect waits for a free instance before it looks whether it is still wanted. */
#define BUSY_MS 50

struct iocp_pipe_server {
	struct iocp_pipe_server *next;
	HANDLE value;
	char name[IOCP_PIPE_NAME_MAX];
};

/* ---- names ---- */

static void pipe_name(const struct pro_addr *addr, char *name)
{
	const char *path = (const char *)addr->storage.bytes + offsetof(struct sockaddr_un, sun_path);
	size_t room = sizeof(addr->storage) - offsetof(struct sockaddr_un, sun_path);

	snprintf(name, IOCP_PIPE_NAME_MAX, "%.*s", (int)room, path);
}

static void pipe_addr(const char *name, struct pro_addr *addr)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
	memset(addr, 0, sizeof(*addr));
	memcpy(addr->storage.bytes, &address, sizeof(address));
	addr->length =
			(uint32_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address.sun_path) + 1);
}

bool pro__iocp_pipe_name(struct iocp_port *port, HANDLE value, char *name)
{
	const struct iocp_pipe_server *server;

	AcquireSRWLockShared(&port->pipes_lock);
	for (server = port->pipes; server && server->value != value; server = server->next)
		;
	if (server)
		memcpy(name, server->name, IOCP_PIPE_NAME_MAX);
	ReleaseSRWLockShared(&port->pipes_lock);
	return server;
}

bool pro__iocp_pipe_addr(struct iocp_port *port, HANDLE value, struct pro_addr *addr)
{
	char name[IOCP_PIPE_NAME_MAX];

	if (!pro__iocp_pipe_name(port, value, name))
		return false;
	pipe_addr(name, addr);
	return true;
}

void pro__iocp_pipe_forget(struct iocp_port *port, HANDLE value)
{
	struct iocp_pipe_server **link;
	struct iocp_pipe_server *server;

	AcquireSRWLockExclusive(&port->pipes_lock);
	for (link = &port->pipes; *link && (*link)->value != value; link = &(*link)->next)
		;
	server = *link;
	if (server)
		*link = server->next;
	ReleaseSRWLockExclusive(&port->pipes_lock);
	pro__deallocate(port->proactor, server);
}

/* ---- listening ---- */

static HANDLE make_instance(struct iocp_port *port, const char *name, DWORD flags)
{
	WCHAR wide[IOCP_PIPE_NAME_MAX];

	if (pro__windows_widen(name, wide, IOCP_PIPE_NAME_MAX)) {
		SetLastError(ERROR_INVALID_NAME);
		return INVALID_HANDLE_VALUE;
	}
	return port->win32.CreateNamedPipeW(wide, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | flags,
			PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
			PIPE_UNLIMITED_INSTANCES, PIPE_BUFFER_BYTES, PIPE_BUFFER_BYTES, 0, NULL);
}

static HANDLE open_client(const struct iocp_port *port, const char *name)
{
	WCHAR wide[IOCP_PIPE_NAME_MAX];

	if (pro__windows_widen(name, wide, IOCP_PIPE_NAME_MAX)) {
		SetLastError(ERROR_INVALID_NAME);
		return INVALID_HANDLE_VALUE;
	}
	/* The server may learn who we are, but not act as us. */
	return port->win32.CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
			FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
}

/* Makes the instance take no client: it has had one, us or whoever was quicker, and is not made to
 * wait for another. */
static void hold(struct iocp_port *port, HANDLE instance, const char *name)
{
	HANDLE client = open_client(port, name);

	if (client != INVALID_HANDLE_VALUE)
		port->win32.CloseHandle(client);
	port->win32.DisconnectNamedPipe(instance);
}

int pro__iocp_pipe_listen(struct iocp_port *port, const struct pro_addr *local, pro_handle *handle)
{
	struct iocp_pipe_server *server = pro__allocate(port->proactor, sizeof(*server));
	DWORD os_error;

	if (!server)
		return PRO_ENOMEM;
	pipe_name(local, server->name);
	server->value = make_instance(port, server->name, FILE_FLAG_FIRST_PIPE_INSTANCE);
	if (server->value == INVALID_HANDLE_VALUE) {
		os_error = GetLastError();
		pro__deallocate(port->proactor, server);
		/* There are instances already, of ours or of another's. */
		return os_error == ERROR_ACCESS_DENIED || os_error == ERROR_PIPE_BUSY
					   ? PRO_EADDRINUSE
					   : pro__error_from_os((int)os_error);
	}
	hold(port, server->value, server->name);
	AcquireSRWLockExclusive(&port->pipes_lock);
	server->next = port->pipes;
	port->pipes = server;
	ReleaseSRWLockExclusive(&port->pipes_lock);
	*handle = (pro_handle)server->value;
	return 0;
}

/* ---- accepting ---- */

static void drop_instance(struct iocp_port *port, struct iocp_flight *flight)
{
	struct iocp_handle *instance = pro__iocp_handle_find(port, flight->of.pipe);

	if (instance) {
		pro__iocp_handle_forget(port, instance);
		pro__iocp_handle_free(port, instance);
	}
	port->win32.CloseHandle(flight->of.pipe);
	flight->of.pipe = INVALID_HANDLE_VALUE;
}

void pro__iocp_pipe_accept(
		struct iocp_port *port, struct pro_operation *operation, const char *name)
{
	struct iocp_flight *flight = iocp_flight(operation);
	DWORD error = 0;

	flight->of.pipe = make_instance(port, name, 0);
	if (flight->of.pipe == INVALID_HANDLE_VALUE) {
		pro__iocp_complete(port, operation, GetLastError(), 0);
		return;
	}
	if (!pro__iocp_handle_add(port, flight->of.pipe, IOCP_PIPE, &error)) {
		port->win32.CloseHandle(flight->of.pipe);
		pro__iocp_complete(port, operation, error, 0);
		return;
	}
	pro__list_append(&port->pipe_accepts, &flight->link);
	OVERLAPPED *overlapped = pro__iocp_begin(port, operation, flight->handle);
	if (!port->win32.ConnectNamedPipe(flight->of.pipe, overlapped))
		error = GetLastError();
	/* A client that came before the call: success without a packet. */
	if (error == ERROR_PIPE_CONNECTED) {
		flight->handle->outstanding--;
		pro__iocp_pipe_accepted(port, operation, 0);
		return;
	}
	pro__iocp_began(port, operation, flight->handle, error, 0);
}

void pro__iocp_pipe_accepted(struct iocp_port *port, struct pro_operation *operation, DWORD error)
{
	struct iocp_flight *flight = iocp_flight(operation);
	char name[IOCP_PIPE_NAME_MAX];

	pro__list_remove(&flight->link);
	if (error) {
		drop_instance(port, flight);
		/* The client came and went. */
		if (error == ERROR_NO_DATA && !pro__iocp_is_asked_to_end(operation) &&
				flight->tries++ < TRIES_MOST &&
				pro__iocp_pipe_name(port, flight->handle->value, name))
			pro__iocp_pipe_accept(port, operation, name);
		else
			pro__iocp_complete(port, operation, error, 0);
		return;
	}
	operation->request.accept.accepted = (pro_handle)flight->of.pipe;
	if (operation->request.accept.local)
		pro__iocp_pipe_addr(port, flight->handle->value, operation->request.accept.local);
	if (operation->request.accept.remote)
		*operation->request.accept.remote = (struct pro_addr){.length = 0};
	pro__iocp_complete(port, operation, 0, 0);
}

void pro__iocp_pipe_cancel_accepts(struct iocp_port *port, const struct iocp_handle *listener,
		const struct pro_operation *only)
{
	struct pro_list_node *node;

	for (node = port->pipe_accepts.next; node != &port->pipe_accepts; node = node->next) {
		struct iocp_flight *flight = pro_container_of(node, struct iocp_flight, link);

		if (flight->handle != listener || (only && iocp_operation_of_flight(flight) != only))
			continue;
		port->calls++;
		port->win32.CancelIoEx(flight->of.pipe, &flight->overlapped);
	}
}

/* ---- connecting ---- */

/* Waits on a worker for an instance that is free. */
struct pipe_connect {
	struct iocp_job job;
	struct pro_work work;
	struct pro_operation *operation; /* NULL: it was cancelled */
	_Atomic(bool) is_cancelled;
	HANDLE value;
	DWORD error;
	char name[IOCP_PIPE_NAME_MAX];
};

static void connect_complete(
		struct iocp_port *port, struct pro_operation *operation, HANDLE value, DWORD error)
{
	struct iocp_flight *flight = iocp_flight(operation);

	if (!error) {
		flight->handle = pro__iocp_handle_add(port, value, IOCP_PIPE, &error);
		if (error)
			port->win32.CloseHandle(value);
		else
			operation->request.connect.connected = (pro_handle)value;
	}
	pro__iocp_complete(port, operation, error, 0);
}

static void connect_run(struct pro_work *work)
{
	struct pipe_connect *connect = pro_container_of(work, struct pipe_connect, work);
	const struct iocp_port *port = connect->job.port;
	WCHAR wide[IOCP_PIPE_NAME_MAX];

	pro__windows_widen(connect->name, wide, IOCP_PIPE_NAME_MAX);
	while (!atomic_load(&connect->is_cancelled)) {
		connect->value = open_client(port, connect->name);
		connect->error = connect->value == INVALID_HANDLE_VALUE ? GetLastError() : 0;
		if (connect->error != ERROR_PIPE_BUSY)
			break;
		port->win32.WaitNamedPipeW(wide, BUSY_MS);
	}
	pro__iocp_job_end(&connect->job);
}

static void connect_done(struct iocp_job *job)
{
	struct pipe_connect *connect = pro_container_of(job, struct pipe_connect, job);

	if (connect->operation)
		connect_complete(job->port, connect->operation, connect->value, connect->error);
	else if (connect->value != INVALID_HANDLE_VALUE)
		job->port->win32.CloseHandle(connect->value);
	pro__deallocate(job->port->proactor, connect);
}

static void wait_for_instance(
		struct iocp_port *port, struct pro_operation *operation, const char *name)
{
	struct pipe_connect *connect = pro__allocate(port->proactor, sizeof(*connect));
	int error;

	if (!connect) {
		pro__iocp_complete_error(port, operation, PRO_ENOMEM);
		return;
	}
	memset(connect, 0, sizeof(*connect));
	memcpy(connect->name, name, IOCP_PIPE_NAME_MAX);
	connect->operation = operation;
	connect->value = INVALID_HANDLE_VALUE;
	connect->work.run = connect_run;
	iocp_flight(operation)->of.job = &connect->job;
	pro__iocp_job_begin(port, &connect->job, connect_done);
	error = pro__worker_pool_submit(pro__worker_pool(port->proactor), &connect->work);
	if (error) {
		port->jobs_running--;
		pro__deallocate(port->proactor, connect);
		pro__iocp_complete_error(port, operation, error);
	}
}

void pro__iocp_pipe_connect(struct iocp_port *port, struct pro_operation *operation)
{
	char name[IOCP_PIPE_NAME_MAX];
	HANDLE value;

	pipe_name(operation->request.connect.remote, name);
	value = open_client(port, name);
	if (value == INVALID_HANDLE_VALUE && GetLastError() == ERROR_PIPE_BUSY)
		wait_for_instance(port, operation, name);
	else
		connect_complete(
				port, operation, value, value == INVALID_HANDLE_VALUE ? GetLastError() : 0);
}

void pro__iocp_pipe_cancel_connect(struct iocp_port *port, struct pro_operation *operation)
{
	struct pipe_connect *connect =
			pro_container_of(iocp_flight(operation)->of.job, struct pipe_connect, job);

	atomic_store(&connect->is_cancelled, true);
	connect->operation = NULL;
	if (pro__worker_pool_take_back(pro__worker_pool(port->proactor), &connect->work)) {
		port->jobs_running--;
		pro__deallocate(port->proactor, connect);
	}
	pro__iocp_complete_error(port, operation, PRO_ECANCELED);
}
