/* Writes to streams. Blocks stand in one queue; a flight takes them out gathered, round after
 * round, until the queue is empty; each block that is through is reported in order.
 *
 * Other threads push onto `incoming` and nudge the loop, which moves them behind the queue. */
#include <proactor/asynch_write_stream.h>
#include <proactor/socket.h>

#include "asynch_private.h"

#include <string.h>

/* Bits of pro_message_block.queue_flags. */
enum { WRITE_QUEUED = 1, WRITE_VECTOR = 2, WRITE_FLAGS = WRITE_QUEUED | WRITE_VECTOR };

static struct pro_asynch_write_stream *write_stream_from_operation(struct pro_operation *operation)
{
	return pro_container_of(operation, struct pro_asynch_write_stream, operation);
}

static bool write_stream_is_idle(const struct pro_asynch_write_stream *writer)
{
	return atomic_load_explicit(&writer->operation.state, memory_order_relaxed) == PRO__IDLE;
}

/* Only the loop does. The release pairs with the acquire in pro_asynch_write_stream_queued: who
 * sees that bytes are through sees that they were queued. */
static void write_stream_add_queued(struct pro_asynch_write_stream *writer, size_t change)
{
	size_t bytes = atomic_load_explicit(&writer->loop_bytes, memory_order_relaxed) + change;

	atomic_store_explicit(&writer->loop_bytes, bytes, memory_order_release);
}

static void append(struct pro_message_block **head, struct pro_message_block **tail,
		struct pro_message_block *block)
{
	block->next = NULL;
	if (*head)
		(*tail)->next = block;
	else
		*head = block;
	*tail = block;
}

/* ---- reporting ---- */

static void write_stream_drop_unknowing(struct pro_asynch_write_stream *writer);

/* What is through now is what the next callbacks report. The event may have come twice: then it
 * reports for both at the first. */
static void write_stream_prepare_report(struct pro_asynch_write_stream *writer)
{
	writer->report_os_error = writer->failed_os_error;
	while (writer->done_head) {
		struct pro_message_block *block = writer->done_head;

		writer->done_head = block->next;
		append(&writer->report_head, &writer->report_tail, block);
		pro__message_ended(&writer->operation, block);
	}
}

static void write_stream_deliver(struct pro_operation *operation)
{
	struct pro_asynch_write_stream *writer = write_stream_from_operation(operation);
	struct pro_handler *handler = asynch_handler(operation);
	struct pro_message_block *block = writer->report_head;

	/* The writer may be gone when the last callback returns. */
	writer->report_head = NULL;
	while (block) {
		struct pro_message_block *next = block->next;
		struct pro_asynch_write_stream_result result = {
				.error = block->queue_error,
				.os_error = block->queue_error ? writer->report_os_error : 0,
				.bytes_transferred = block->queue_sent,
				.act = block->queue_act,
				.completion_key = operation->completion_key,
				.operation = operation,
				.block = block,
				.bytes_requested = block->queue_bytes,
		};

		block->next = NULL;
		block->queue_flags &= ~(uint32_t)WRITE_FLAGS;
		if (result.error && result.error != PRO_ECANCELED)
			write_stream_drop_unknowing(writer);
		handler->vtbl->handle_write_stream(handler, &result);
		block = next;
	}
}

static void write_stream_report_soon(struct pro_asynch_write_stream *writer)
{
	if (writer->done_head)
		pro__operation_report(&writer->operation);
}

/* ---- the queue ---- */

/* The head is through, for good or not. */
static void write_stream_finish_head(struct pro_asynch_write_stream *writer, int error)
{
	struct pro_message_block *head = writer->queue_head;

	writer->queue_head = head->next;
	if (writer->cancelled_count > 0)
		writer->cancelled_count--;
	head->queue_error = error;
	head->queue_sent = writer->head_sent;
	write_stream_add_queued(writer, 0 - (head->queue_bytes - writer->head_sent));
	writer->head_sent = 0;
	append(&writer->done_head, &writer->done_tail, head);
}

static void write_stream_accept(
		struct pro_asynch_write_stream *writer, struct pro_message_block *block)
{
	append(&writer->queue_head, &writer->queue_tail, block);
	pro__message_accepted(&writer->operation, block, block->queue_flags & WRITE_VECTOR);
	pro__operation_count_queued_bytes(&writer->operation, pro_asynch_write_stream_queued(writer));
}

/* What other threads wrote comes behind the queue. */
static void write_stream_take_incoming(struct pro_asynch_write_stream *writer)
{
	struct pro_message_block *newest = atomic_exchange(&writer->incoming, NULL);
	struct pro_message_block *oldest = NULL;

	while (newest) {
		struct pro_message_block *older = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = older;
	}
	while (oldest) {
		struct pro_message_block *next = oldest->next;

		write_stream_accept(writer, oldest);
		oldest = next;
	}
}

/* The failure of a message is about to be told: what was started without knowing of it must not
 * overtake it. */
static void write_stream_drop_unknowing(struct pro_asynch_write_stream *writer)
{
	struct pro_proactor *proactor = writer->operation.owner->proactor;

	/* In a crew, callbacks run without the lock of the loop. */
	pro__loop_enter(proactor);
	if (writer->has_failed_unseen) {
		writer->has_failed_unseen = false;
		write_stream_take_incoming(writer);
		while (writer->queue_head)
			write_stream_finish_head(writer, PRO_ECANCELED);
		/* Nor must the end, which would tell the peer that it has everything. */
		if (atomic_load_explicit(&writer->is_shutting_down, memory_order_relaxed))
			writer->is_broken = true;
		write_stream_report_soon(writer);
	}
	pro__loop_leave(proactor);
}

/* Gives `bytes` bytes that went out to the messages they belong to. True when one of them became
 * whole. */
static bool write_stream_account(struct pro_asynch_write_stream *writer, size_t bytes)
{
	bool is_whole = false;

	while (bytes > 0) {
		struct pro_message_block *head = writer->queue_head;
		size_t left = head->queue_bytes - writer->head_sent;
		size_t part = bytes < left ? bytes : left;

		pro__asynch_advance_rd(head, part);
		writer->head_sent += part;
		write_stream_add_queued(writer, 0 - part);
		bytes -= part;
		if (writer->head_sent == head->queue_bytes) {
			write_stream_finish_head(writer, 0);
			is_whole = true;
		}
	}
	return is_whole;
}

/* What is queued behind a message that failed never went out: cancelled. A message that was cut
 * breaks the stream, since whatever followed would be read as the rest of it. A cancel hits nothing
 * that was queued after it was asked for: that goes out, or on, in another flight. */
static void write_stream_fail(struct pro_asynch_write_stream *writer)
{
	struct pro_operation *operation = &writer->operation;
	int error = operation->error;
	bool is_all = error != PRO_ECANCELED || pro__owner_is_closing(operation->owner);

	if (!is_all && writer->cancelled_count == 0)
		return;
	writer->failed_os_error = operation->os_error;
	writer->is_broken = writer->is_broken || writer->head_sent > 0;
	writer->has_failed_unseen =
			error != PRO_ECANCELED && !writer->is_broken && writer->queue_head != NULL;
	is_all = is_all || writer->is_broken;
	for (; writer->queue_head && (is_all || writer->cancelled_count > 0); error = PRO_ECANCELED)
		write_stream_finish_head(writer, error);
}

/* Buffers for the first messages of the queue, up to one that does not go in whole. */
static void write_stream_gather(struct pro_asynch_write_stream *writer)
{
	struct pro_message_block *block;
	size_t sent = writer->head_sent;
	unsigned count = 0;
	size_t total;

	for (block = writer->queue_head; block && count < PRO_WRITE_BUFFERS; block = block->next) {
		count += pro__asynch_gather_data(block, block->queue_flags & WRITE_VECTOR,
				writer->buffers + count, PRO_WRITE_BUFFERS - count, &total);
		if (total < block->queue_bytes - sent)
			break;
		sent = 0;
	}
	writer->operation.request.io.buffers = writer->buffers;
	writer->operation.request.io.count = count;
}

/* Behind the last byte, once; what another thread wrote before it asked for the end comes first.
 * The acquire pairs with the exchange in pro_asynch_write_stream_shutdown. */
static void write_stream_end_if_asked(struct pro_asynch_write_stream *writer)
{
	if (!atomic_load_explicit(&writer->is_shutting_down, memory_order_acquire) ||
			writer->queue_head || writer->is_broken || writer->is_shut_down ||
			writer->has_failed_unseen ||
			atomic_load_explicit(&writer->incoming, memory_order_relaxed))
		return;
	writer->is_shut_down = true;
	if (!pro__owner_is_closing(writer->operation.owner))
		pro_socket_shutdown_write(writer->operation.owner->proactor, writer->operation.handle);
}

/* A message made it after all, or bytes moved, though the loop saw a deadline pass before it saw
 * that: what is at the head now has time of its own. */
static void write_stream_begin_deadline(struct pro_asynch_write_stream *writer)
{
	struct pro_operation *operation = &writer->operation;

	if ((operation->flags & PRO__TIMED_OUT) && writer->cancelled_count == 0 &&
			!pro__owner_is_closing(operation->owner))
		operation->flags &= (uint8_t) ~(PRO__CANCEL_ASKED | PRO__TIMED_OUT);
	pro__operation_rearm(operation);
}

static enum pro_advance write_stream_advance(struct pro_operation *operation, size_t bytes)
{
	struct pro_asynch_write_stream *writer = write_stream_from_operation(operation);
	const unsigned late = PRO__STALL_DEADLINE | PRO__TIMED_OUT;
	bool is_whole = write_stream_account(writer, bytes);

	operation->bytes += bytes;
	if (operation->error) {
		write_stream_fail(writer);
		return PRO__DONE;
	}
	if (!writer->queue_head) {
		write_stream_end_if_asked(writer);
		return PRO__DONE;
	}
	if (is_whole || (bytes > 0 && (operation->flags & late) == late))
		write_stream_begin_deadline(writer);
	if (is_whole)
		write_stream_report_soon(writer);
	write_stream_gather(writer);
	return PRO__MORE;
}

/* Starts a flight for what is queued, unless one is under way: that takes it along. */
static void write_stream_go_on(struct pro_asynch_write_stream *writer)
{
	struct pro_operation *operation = &writer->operation;

	if (!writer->queue_head || !write_stream_is_idle(writer) || writer->has_failed_unseen)
		return;
	if (writer->is_broken) {
		operation->error = PRO_EPIPE;
		operation->os_error = 0;
		for (; writer->queue_head;)
			write_stream_finish_head(writer, PRO_EPIPE);
		write_stream_report_soon(writer);
		return;
	}
	/* They were cancelled while no flight was under way. */
	if (writer->cancelled_count > 0) {
		writer->failed_os_error = 0;
		while (writer->cancelled_count > 0)
			write_stream_finish_head(writer, PRO_ECANCELED);
		write_stream_report_soon(writer);
		if (!writer->queue_head)
			return;
	}
	write_stream_gather(writer);
	pro__operation_start(operation);
}

/* First the wire, then the reports: what was queued since the flight ended need not wait for them.
 */
static void write_stream_prepare(struct pro_operation *operation)
{
	struct pro_asynch_write_stream *writer = write_stream_from_operation(operation);

	/* Else some are through, and the flight goes on with the rest. */
	if (atomic_load_explicit(&operation->state, memory_order_relaxed) == PRO__READY)
		pro__operation_begin_callback(operation);
	write_stream_prepare_report(writer);
	write_stream_go_on(writer);
	/* The end may have been asked for between the last byte and this. */
	if (write_stream_is_idle(writer))
		write_stream_end_if_asked(writer);
}

static void write_stream_nudge(struct pro_operation *operation)
{
	struct pro_asynch_write_stream *writer = write_stream_from_operation(operation);

	write_stream_take_incoming(writer);
	write_stream_go_on(writer);
	if (write_stream_is_idle(writer))
		write_stream_end_if_asked(writer);
}

static bool write_stream_cancel_asked(struct pro_operation *operation)
{
	struct pro_asynch_write_stream *writer = write_stream_from_operation(operation);

	atomic_fetch_add(&writer->cancels, 1);
	return pro_asynch_write_stream_queued(writer) > 0;
}

/* Those that were queued after the latest was asked for say so. */
static bool write_stream_cancel_begins(struct pro_operation *operation)
{
	struct pro_asynch_write_stream *writer = write_stream_from_operation(operation);
	const size_t cancels = atomic_load(&writer->cancels);
	size_t count = 0;

	write_stream_take_incoming(writer);
	for (const struct pro_message_block *block = writer->queue_head;
			block && block->queue_sent != cancels; block = block->next)
		count++;
	if (count > writer->cancelled_count)
		writer->cancelled_count = count;
	return writer->cancelled_count > 0;
}

static const struct pro_operation_vtbl write_stream_vtbl = {
		.name = "write_stream",
		.advance = write_stream_advance,
		.prepare = write_stream_prepare,
		.deliver = write_stream_deliver,
		.nudge = write_stream_nudge,
		.cancel_asked = write_stream_cancel_asked,
		.cancel_begins = write_stream_cancel_begins,
};

/* ---- the public calls ---- */

int pro_asynch_write_stream_open(struct pro_asynch_write_stream *writer,
		struct pro_handler *handler, pro_handle handle, const void *completion_key)
{
	int error;

	if (!writer)
		return PRO_EINVAL;
	memset(writer, 0, sizeof(*writer));
	error = pro__asynch_open(&writer->operation, &write_stream_vtbl, PRO_OP_WRITE_STREAM, handler,
			handle, handler && handler->vtbl->handle_write_stream, completion_key);
	if (error)
		return error;
	writer->limit_bytes = PRO_WRITE_QUEUE_BYTES;
	return 0;
}

static int write_stream_start_remote(
		struct pro_asynch_write_stream *writer, struct pro_message_block *block)
{
	struct pro_owner *owner = writer->operation.owner;
	struct pro_message_block *newest;
	int error = pro__owner_enter(owner);

	if (error)
		return pro__refuse(owner->proactor, error);
	atomic_fetch_add(&writer->remote_bytes, block->queue_bytes);
	newest = atomic_load_explicit(&writer->incoming, memory_order_relaxed);
	do
		block->next = newest;
	while (!atomic_compare_exchange_weak(&writer->incoming, &newest, block));
	pro__operation_nudge(&writer->operation);
	return 0;
}

static int write_stream_check(struct pro_asynch_write_stream *writer,
		struct pro_message_block *block, size_t bytes, const void *caller)
{
	struct pro_owner *owner = writer->operation.owner;
	size_t queued;

	if (!owner || !block || bytes == 0)
		return PRO_EINVAL;
	if (block->queue_flags & WRITE_QUEUED)
		return pro__message_is_busy(&writer->operation, block, caller);
	if (atomic_load_explicit(&writer->is_shutting_down, memory_order_relaxed))
		return pro__refuse(owner->proactor, PRO_EPIPE);
	queued = pro_asynch_write_stream_queued(writer);
	if (queued > 0 && (bytes > writer->limit_bytes || queued > writer->limit_bytes - bytes))
		return pro__refuse(owner->proactor, PRO_EFULL);
	return 0;
}

static int write_stream_start(struct pro_asynch_write_stream *writer,
		struct pro_message_block *block, size_t bytes, uint32_t flags, const void *caller)
{
	struct pro_proactor *proactor;
	int error = write_stream_check(writer, block, bytes, caller);

	if (error)
		return error;
	proactor = writer->operation.owner->proactor;
	block->queue_bytes = bytes;
	block->queue_sent = atomic_load(&writer->cancels);
	block->queue_act = writer->operation.act;
	block->queue_caller = caller;
	if (!pro__on_loop(proactor)) {
		block->queue_flags |= flags | WRITE_QUEUED;
		error = write_stream_start_remote(writer, block);
		if (error)
			block->queue_flags &= ~(uint32_t)WRITE_FLAGS;
		return error;
	}
	error = pro__owner_check(writer->operation.owner);
	if (error)
		return error;
	block->queue_flags |= flags | WRITE_QUEUED;
	write_stream_add_queued(writer, bytes);
	write_stream_accept(writer, block);
	write_stream_go_on(writer);
	return 0;
}

int pro_asynch_write_stream_write(
		struct pro_asynch_write_stream *writer, struct pro_message_block *block)
{
	return write_stream_start(
			writer, block, block ? pro_message_block_length(block) : 0, 0, PRO__CALLER());
}

int pro_asynch_write_stream_writev(
		struct pro_asynch_write_stream *writer, struct pro_message_block *chain)
{
	return write_stream_start(writer, chain, chain ? pro_message_block_total_length(chain) : 0,
			WRITE_VECTOR, PRO__CALLER());
}

int pro_asynch_write_stream_shutdown(struct pro_asynch_write_stream *writer)
{
	int error;

	if (!writer || !writer->operation.owner)
		return PRO_EINVAL;
	if (atomic_exchange(&writer->is_shutting_down, true))
		return 0;
	error = pro__owner_enter(writer->operation.owner);
	if (!error)
		pro__operation_nudge(&writer->operation);
	return error;
}

void pro_asynch_write_stream_set_limit(struct pro_asynch_write_stream *writer, size_t bytes)
{
	writer->limit_bytes = bytes;
}

size_t pro_asynch_write_stream_queued(const struct pro_asynch_write_stream *writer)
{
	size_t bytes = atomic_load_explicit(&writer->loop_bytes, memory_order_acquire);

	return bytes + atomic_load_explicit(&writer->remote_bytes, memory_order_relaxed);
}
