/* Reading and writing handles that can only be waited for: consoles, and pipes and files that
 * others opened so, such as the standard input of a program.
 *
 * A handle that is read has a thread of its own, which reads ahead into a buffer of its own. So a
 * cancel need not wait for the thread, and what it reads afterwards is kept for the next operation.
 * Writes run on the worker pool. Consoles speak UTF-16, which is UTF-8 here. */
#include "iocp.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "windows_error.h"

#define INPUT_BYTES  16384
#define OUTPUT_BYTES 16384

/* How long the end of a proactor waits for a thread that reads; then it is left to the system. */
#define ABANDON_MS 200

/* Of a console: UTF-16 becomes at most three times as many bytes. */
#define CONSOLE_UNITS (INPUT_BYTES / 3)
/* UTF-8 becomes at most as many units. */
#define CONSOLE_BYTES 4096

/* ---- calls that are under way ---- */

/* A call of another thread, from before it begins until the loop knows its end. */
struct blocked {
	struct pro_list_node link; /* of port->blocked */
	struct iocp_handle *handle;
	SRWLOCK lock;
	DWORD thread_id; /* that is in the call; 0: none */
	bool is_asked;   /* to end */
};

static void blocked_enter(
		struct iocp_port *port, struct blocked *blocked, struct iocp_handle *handle)
{
	*blocked = (struct blocked){.handle = handle};
	InitializeSRWLock(&blocked->lock);
	pro__list_append(&port->blocked, &blocked->link);
}

static void blocked_leave(struct iocp_port *port, struct blocked *blocked)
{
	pro__list_remove(&blocked->link);
	if (blocked->is_asked)
		port->recalls--;
}

/* Ends the call if the thread is in it, and nothing else that the thread does. */
static void blocked_try(struct blocked *blocked)
{
	HANDLE thread;

	AcquireSRWLockExclusive(&blocked->lock);
	blocked->is_asked = true;
	thread = blocked->thread_id ? OpenThread(THREAD_TERMINATE, FALSE, blocked->thread_id) : NULL;
	if (thread) {
		CancelSynchronousIo(thread);
		CloseHandle(thread);
	}
	ReleaseSRWLockExclusive(&blocked->lock);
}

static void blocked_ask(struct iocp_port *port, struct blocked *blocked)
{
	if (!blocked->is_asked)
		port->recalls++;
	blocked_try(blocked);
}

/* Around the call, by its thread; false when it shall not be made any more. */
static bool blocked_begin(struct blocked *blocked)
{
	bool is_asked;

	AcquireSRWLockExclusive(&blocked->lock);
	is_asked = blocked->is_asked;
	if (!is_asked)
		blocked->thread_id = GetCurrentThreadId();
	ReleaseSRWLockExclusive(&blocked->lock);
	return !is_asked;
}

static void blocked_end(struct blocked *blocked)
{
	AcquireSRWLockExclusive(&blocked->lock);
	blocked->thread_id = 0;
	ReleaseSRWLockExclusive(&blocked->lock);
}

enum input_state {
	INPUT_IDLE,
	INPUT_BUSY, /* the thread reads */
	INPUT_FULL  /* bytes, an end or an error are there */
};

/* Outlives the port when its thread can not be brought back, hence of malloc. */
struct iocp_input {
	struct iocp_job job; /* under way while the state is INPUT_BUSY */
	struct iocp_handle *handle;
	HANDLE file;
	HANDLE thread;
	HANDLE wanted; /* an event: read, or leave */
	struct pro_operation *operation;
	struct blocked blocked; /* while the state is INPUT_BUSY */
	enum input_state state;
	DWORD error;
	DWORD length;
	DWORD used;

	SRWLOCK lock;
	bool is_leaving;         /* the thread shall end */
	bool is_abandoned;       /* nobody waits for the thread: what is left is its own */
	bool has_returned;       /* from its read, and said so */
	struct pro__win32 win32; /* a copy, since the port may be gone when the thread comes back */
	unsigned char bytes[INPUT_BYTES];
};

/* ---- the thread ---- */

static DWORD read_console(struct iocp_input *input)
{
	WCHAR units[CONSOLE_UNITS];
	DWORD count = 0;

	/* Interrupted by Ctrl-C it succeeds, with nothing or -1. */
	SetLastError(NO_ERROR);
	if (!input->win32.ReadConsoleW(input->file, units, CONSOLE_UNITS, &count, NULL))
		return GetLastError();
	if ((count == 0 || count > CONSOLE_UNITS) && GetLastError() == ERROR_OPERATION_ABORTED)
		return ERROR_OPERATION_ABORTED;
	/* Ctrl-Z at the beginning of a line is the end. */
	if (count > 0 && units[0] == 0x1A)
		count = 0;
	input->length = count ? (DWORD)WideCharToMultiByte(CP_UTF8, 0, units, (int)count,
									(char *)input->bytes, INPUT_BYTES, NULL, NULL)
						  : 0;
	return 0;
}

static DWORD read_once(struct iocp_input *input)
{
	DWORD mode;

	input->length = 0;
	if (input->win32.GetConsoleMode(input->file, &mode))
		return read_console(input);
	/* Nothing, from a pipe, is what its other end wrote, as long as that is there. */
	do {
		if (!ReadFile(input->file, input->bytes, INPUT_BYTES, &input->length, NULL))
			return GetLastError();
	} while (input->length == 0 && PeekNamedPipe(input->file, NULL, 0, NULL, NULL, NULL));
	return 0;
}

/* Waits until a read is wanted; false when the thread shall end. */
static bool input_is_wanted(struct iocp_input *input)
{
	bool is_leaving;

	WaitForSingleObject(input->wanted, INFINITE);
	AcquireSRWLockExclusive(&input->lock);
	is_leaving = input->is_leaving;
	ReleaseSRWLockExclusive(&input->lock);
	return !is_leaving;
}

static DWORD WINAPI input_run(void *argument)
{
	struct iocp_input *input = argument;
	bool is_abandoned = false;

	while (!is_abandoned && input_is_wanted(input)) {
		input->error = ERROR_OPERATION_ABORTED;
		input->length = 0;
		if (blocked_begin(&input->blocked)) {
			input->error = read_once(input);
			blocked_end(&input->blocked);
		}
		AcquireSRWLockExclusive(&input->lock);
		is_abandoned = input->is_abandoned;
		input->has_returned = true;
		if (!is_abandoned)
			pro__iocp_job_end(&input->job);
		ReleaseSRWLockExclusive(&input->lock);
	}
	if (is_abandoned) {
		CloseHandle(input->wanted);
		free(input);
	}
	return 0;
}

/* ---- its life ---- */

static struct iocp_input *input_create(struct iocp_port *port, struct iocp_handle *handle)
{
	struct iocp_input *input = malloc(sizeof(*input));

	if (!input)
		return NULL;
	memset(input, 0, sizeof(*input));
	input->handle = handle;
	input->file = handle->value;
	input->win32 = port->win32;
	InitializeSRWLock(&input->lock);
	input->wanted = CreateEventW(NULL, FALSE, FALSE, NULL);
	if (input->wanted)
		input->thread = CreateThread(NULL, 0, input_run, input, 0, NULL);
	if (input->thread)
		return input;
	if (input->wanted)
		CloseHandle(input->wanted);
	free(input);
	return NULL;
}

/* The thread is not reading: it ends at once. */
static void input_destroy(struct iocp_input *input)
{
	AcquireSRWLockExclusive(&input->lock);
	input->is_leaving = true;
	ReleaseSRWLockExclusive(&input->lock);
	SetEvent(input->wanted);
	WaitForSingleObject(input->thread, INFINITE);
	CloseHandle(input->thread);
	CloseHandle(input->wanted);
	free(input);
}

/* ---- reading ---- */

static size_t input_take(struct iocp_input *input, const struct pro_buffer *buffers, unsigned count)
{
	size_t total = 0;

	for (unsigned i = 0; i < count && input->used < input->length; i++) {
		DWORD part = input->length - input->used;

		if (part > buffers[i].length)
			part = (DWORD)buffers[i].length;
		memcpy(buffers[i].base, input->bytes + input->used, part);
		input->used += part;
		total += part;
	}
	if (input->used == input->length)
		input->state = INPUT_IDLE;
	return total;
}

static void input_give_lent(
		struct iocp_port *port, struct iocp_input *input, struct pro_operation *operation)
{
	struct pro_message_block *block = pro__iocp_take_lent(port, operation);

	if (!block)
		return;
	struct pro_buffer buffer = {.base = pro_message_block_wr_ptr(block),
			.length = (pro_buffer_length)pro__borrowed_length(
					operation, pro_message_block_space(block))};
	size_t bytes = input_take(input, &buffer, 1);
	block->wr += bytes;
	operation->request.io.lent = block;
	pro__iocp_complete(port, operation, 0, bytes);
}

/* Gives what the thread read to the operation. */
static void input_give(
		struct iocp_port *port, struct iocp_input *input, struct pro_operation *operation)
{
	DWORD error = input->error;
	size_t bytes;

	if (input->length == 0) {
		input->state = INPUT_IDLE;
		if (error == 0 || error == ERROR_BROKEN_PIPE || error == ERROR_HANDLE_EOF)
			pro__iocp_complete_error(port, operation, PRO_EOF);
		else
			pro__iocp_complete(port, operation, error, 0);
	} else if (operation->flags & PRO__BORROWS) {
		input_give_lent(port, input, operation);
	} else {
		bytes = input_take(input, operation->request.io.buffers, operation->request.io.count);
		pro__iocp_complete(port, operation, 0, bytes);
	}
}

static void input_want(struct iocp_port *port, struct iocp_input *input);

static void input_done(struct iocp_job *job)
{
	struct iocp_input *input = pro_container_of(job, struct iocp_input, job);
	struct iocp_port *port = job->port;
	struct iocp_handle *handle = input->handle;
	struct pro_operation *operation = input->operation;

	input->state = INPUT_FULL;
	input->used = 0;
	blocked_leave(port, &input->blocked);
	if (handle->is_closing) {
		handle->input = NULL;
		input_destroy(input);
		handle->outstanding--;
		pro__iocp_handle_check_closed(port, handle);
		return;
	}
	/* Ctrl-C interrupts the reading of a console; that ends nothing. */
	if (input->length == 0 && input->error == ERROR_OPERATION_ABORTED) {
		input->state = INPUT_IDLE;
		if (operation)
			input_want(port, input);
		return;
	}
	input->operation = NULL;
	if (operation)
		input_give(port, input, operation);
}

static void input_want(struct iocp_port *port, struct iocp_input *input)
{
	if (input->state != INPUT_IDLE)
		return;
	input->state = INPUT_BUSY;
	input->has_returned = false;
	blocked_enter(port, &input->blocked, input->handle);
	pro__iocp_job_begin(port, &input->job, input_done);
	SetEvent(input->wanted);
}

void pro__iocp_blocking_read(struct iocp_port *port, struct pro_operation *operation)
{
	struct iocp_handle *handle = iocp_flight(operation)->handle;

	if (!handle->input)
		handle->input = input_create(port, handle);
	if (!handle->input) {
		pro__iocp_complete_error(port, operation, PRO_ENOMEM);
		return;
	}
	if (handle->input->operation) {
		pro__iocp_complete_error(port, operation, PRO_EBUSY);
		return;
	}
	if (handle->input->state == INPUT_FULL) {
		input_give(port, handle->input, operation);
		return;
	}
	handle->input->operation = operation;
	input_want(port, handle->input);
}

/* ---- writing ---- */

struct output {
	struct iocp_job job;
	struct pro_work work;
	struct pro_operation *operation;
	struct blocked blocked;
	DWORD error;
	DWORD done;
	DWORD length;
	unsigned char bytes[OUTPUT_BYTES];
};

/* How many of the bytes are whole characters; all of them if none is. */
static DWORD whole_characters(const unsigned char *bytes, DWORD length)
{
	DWORD last = length - 1;
	DWORD size;

	while (last > 0 && length - last < 4 && (bytes[last] & 0xC0) == 0x80)
		last--;
	size = bytes[last] >= 0xF0 ? 4 : bytes[last] >= 0xE0 ? 3 : bytes[last] >= 0xC0 ? 2 : 1;
	return length - last < size && last > 0 ? last : length;
}

static DWORD write_console(struct output *output, const struct pro__win32 *win32)
{
	HANDLE console = output->blocked.handle->value;
	WCHAR units[CONSOLE_BYTES];
	DWORD length = output->length < CONSOLE_BYTES ? output->length : CONSOLE_BYTES;
	DWORD done = 0;
	int count;

	length = whole_characters(output->bytes, length);
	count = MultiByteToWideChar(
			CP_UTF8, 0, (const char *)output->bytes, (int)length, units, CONSOLE_BYTES);
	if (!win32->WriteConsoleW(console, units, (DWORD)count, &done, NULL))
		return GetLastError();
	output->done = length;
	if (done < (DWORD)count)
		output->done =
				(DWORD)WideCharToMultiByte(CP_UTF8, 0, units, (int)done, NULL, 0, NULL, NULL);
	return 0;
}

static DWORD write_once(struct output *output)
{
	const struct pro__win32 *win32 = &output->job.port->win32;
	HANDLE file = output->blocked.handle->value;
	DWORD mode;

	if (output->length > 0 && win32->GetConsoleMode(file, &mode))
		return write_console(output, win32);
	return WriteFile(file, output->bytes, output->length, &output->done, NULL) ? 0 : GetLastError();
}

static void output_run(struct pro_work *work)
{
	struct output *output = pro_container_of(work, struct output, work);

	output->error = ERROR_OPERATION_ABORTED;
	if (blocked_begin(&output->blocked)) {
		output->error = write_once(output);
		blocked_end(&output->blocked);
	}
	pro__iocp_job_end(&output->job);
}

/* Nobody waits for it any more. */
static void output_free(struct iocp_port *port, struct output *output)
{
	struct iocp_handle *handle = output->blocked.handle;

	blocked_leave(port, &output->blocked);
	pro__deallocate(port->proactor, output);
	handle->outstanding--;
	pro__iocp_handle_check_closed(port, handle);
}

static void output_done(struct iocp_job *job)
{
	struct output *output = pro_container_of(job, struct output, job);
	struct iocp_port *port = job->port;

	pro__iocp_complete(port, output->operation, output->error, output->done);
	output_free(port, output);
}

static void output_fill(struct output *output, const struct pro_operation *operation)
{
	for (unsigned i = 0; i < operation->request.io.count; i++) {
		const struct pro_buffer *buffer = &operation->request.io.buffers[i];
		DWORD part = OUTPUT_BYTES - output->length;

		if (part > buffer->length)
			part = (DWORD)buffer->length;
		memcpy(output->bytes + output->length, buffer->base, part);
		output->length += part;
	}
}

void pro__iocp_blocking_write(struct iocp_port *port, struct pro_operation *operation)
{
	struct iocp_flight *flight = iocp_flight(operation);
	struct output *output = pro__allocate(port->proactor, sizeof(*output));
	int error;

	if (!output) {
		pro__iocp_complete_error(port, operation, PRO_ENOMEM);
		return;
	}
	memset(output, 0, offsetof(struct output, bytes));
	output->operation = operation;
	output->work.run = output_run;
	output_fill(output, operation);
	blocked_enter(port, &output->blocked, flight->handle);
	flight->of.job = &output->job;
	flight->handle->outstanding++;
	pro__iocp_job_begin(port, &output->job, output_done);
	error = pro__worker_pool_submit(pro__worker_pool(port->proactor), &output->work);
	if (error) {
		port->jobs_running--;
		pro__iocp_complete_error(port, operation, error);
		output_free(port, output);
	}
}

static void output_cancel(struct iocp_port *port, struct output *output)
{
	if (pro__worker_pool_take_back(pro__worker_pool(port->proactor), &output->work)) {
		port->jobs_running--;
		pro__iocp_complete_error(port, output->operation, PRO_ECANCELED);
		output_free(port, output);
		return;
	}
	blocked_ask(port, &output->blocked);
}

/* ---- cancel, close, end ---- */

void pro__iocp_blocking_cancel(struct iocp_port *port, struct pro_operation *operation)
{
	struct iocp_input *input = iocp_flight(operation)->handle->input;

	if (operation->opcode == PRO_OP_WRITE_STREAM) {
		output_cancel(port, pro_container_of(iocp_flight(operation)->of.job, struct output, job));
		return;
	}
	/* The thread goes on waiting: what comes is for the next operation. */
	assert(input && input->operation == operation);
	input->operation = NULL;
	pro__iocp_complete_error(port, operation, PRO_ECANCELED);
}

static void close_outputs(
		struct iocp_port *port, const struct iocp_handle *handle, const struct blocked *input)
{
	struct pro_list_node *node;
	struct pro_list_node *next;

	for (node = port->blocked.next; node != &port->blocked; node = next) {
		struct blocked *blocked = pro_container_of(node, struct blocked, link);

		next = node->next;
		if (blocked->handle == handle && blocked != input)
			output_cancel(port, pro_container_of(blocked, struct output, blocked));
	}
}

void pro__iocp_blocking_close(struct iocp_port *port, struct iocp_handle *handle)
{
	struct iocp_input *input = handle->input;
	struct pro_operation *operation = input ? input->operation : NULL;

	close_outputs(port, handle, input ? &input->blocked : NULL);
	if (operation) {
		input->operation = NULL;
		pro__iocp_complete_error(port, operation, PRO_ECANCELED);
	}
	if (input && input->state == INPUT_BUSY) {
		/* The system would wait for the thread: so the handle is closed when it is back. */
		handle->outstanding++;
		blocked_ask(port, &input->blocked);
		return;
	}
	if (input) {
		handle->input = NULL;
		input_destroy(input);
	}
}

void pro__iocp_blocking_retry(struct iocp_port *port)
{
	struct pro_list_node *node;

	/* The first try may have come before the thread was in its call. */
	for (node = port->blocked.next; node != &port->blocked; node = node->next) {
		struct blocked *blocked = pro_container_of(node, struct blocked, link);

		if (blocked->is_asked)
			blocked_try(blocked);
	}
}

/* Waits a while for the thread to come back from its read. */
static void input_recall(struct iocp_port *port, struct iocp_input *input)
{
	for (int i = 0; i < ABANDON_MS && input->state == INPUT_BUSY; i++) {
		blocked_ask(port, &input->blocked);
		Sleep(1);
		pro__iocp_run_jobs(port);
	}
}

void pro__iocp_blocking_fini(struct iocp_port *port, struct iocp_handle *handle)
{
	struct iocp_input *input = handle->input;
	bool has_returned;
	HANDLE thread;

	if (!input)
		return;
	handle->input = NULL;
	input_recall(port, input);
	if (input->state != INPUT_BUSY) {
		input_destroy(input);
		return;
	}
	thread = input->thread;
	AcquireSRWLockExclusive(&input->lock);
	has_returned = input->has_returned;
	input->is_abandoned = !has_returned;
	ReleaseSRWLockExclusive(&input->lock);
	if (has_returned) {
		/* At the last moment. */
		pro__iocp_run_jobs(port);
		input_destroy(input);
		return;
	}
	/* The rest is the thread's own now. */
	blocked_leave(port, &input->blocked);
	port->jobs_running--;
	CloseHandle(thread);
}
