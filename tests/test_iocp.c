/* The port on completion ports against a fake Windows, which plays what Wine can not: each call
 * succeeds or fails at once, packets come in any order, closing ends calls in all the ways that are
 * known, sockets do not know that they are connected before they are told. */
#include <proactor/asynch_accept.h>
#include <proactor/asynch_acceptor.h>
#include <proactor/asynch_connect.h>
#include <proactor/asynch_read_dgram.h>
#include <proactor/asynch_read_file.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_timer.h>
#include <proactor/asynch_transmit_file.h>
#include <proactor/asynch_write_dgram.h>
#include <proactor/asynch_write_file.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/proactor.h>
#include <proactor/socket.h>

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "support/os.h"
#include "support/suite.h"
#include "windows/fake_win32.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define GIB          (UINT64_C(1) << 30)

/* A handler that can do everything once, and keeps how it went. */
struct probe {
	struct pro_handler handler; /* first */
	struct pro_asynch_read_stream reader;
	struct pro_asynch_read_stream second_reader;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_read_file file_reader;
	struct pro_asynch_write_file file_writer;
	struct pro_asynch_read_dgram dgram_reader;
	struct pro_asynch_write_dgram dgram_writer;
	struct pro_asynch_accept accept;
	struct pro_asynch_connect connect;
	struct pro_asynch_transmit_file sender;
	struct pro_asynch_timer timer;
	struct pro_message_block in;
	struct pro_message_block second_in;
	struct pro_message_block out;
	struct pro_message_block *lent;
	char bytes[64];
	char second_bytes[64];
	unsigned count[PRO_OPCODE_COUNT];
	int error[PRO_OPCODE_COUNT];
	int os_error[PRO_OPCODE_COUNT];
	size_t transferred[PRO_OPCODE_COUNT];
	const struct pro_operation *last;
	pro_handle made; /* accepted or connected */
	uint16_t remote_port;
	struct pro_addr remote; /* of what was accepted */
	bool is_closed;
	bool keeps_reading;
};

static struct pro_proactor *proactor;
static struct probe probe;

static struct probe *probe_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct probe, handler);
}

/* Every result begins with the same members. */
static struct probe *note(struct pro_handler *handler, const void *result)
{
	const struct {
		PRO_RESULT_MEMBERS;
	} *common = result;
	struct probe *self = probe_from_handler(handler);
	unsigned opcode = common->operation->opcode;

	self->count[opcode]++;
	self->error[opcode] = common->error;
	self->os_error[opcode] = common->os_error;
	self->transferred[opcode] = common->bytes_transferred;
	self->last = common->operation;
	return self;
}

static void on_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct probe *self = note(handler, result);

	if (result->block && result->block != &self->in && result->block != &self->second_in)
		self->lent = result->block;
	if (self->keeps_reading && !result->error) {
		pro_message_block_reset(&self->in);
		pro_asynch_read_stream_read(&self->reader, &self->in, 0);
	}
}

#define ON(name)                                                                                   \
	static void on_##name(                                                                         \
			struct pro_handler *handler, const struct pro_asynch_##name##_result *result)          \
	{                                                                                              \
		note(handler, result);                                                                     \
	}
ON(write_stream)
ON(read_file)
ON(write_file)
ON(write_dgram)
ON(transmit_file)
ON(timer)
#undef ON

static void on_read_dgram(
		struct pro_handler *handler, const struct pro_asynch_read_dgram_result *result)
{
	note(handler, result)->remote_port = pro_addr_port(result->remote);
}

static void on_accept(struct pro_handler *handler, const struct pro_asynch_accept_result *result)
{
	struct probe *self = note(handler, result);

	self->made = result->accepted;
	self->remote = *result->remote;
	self->remote_port = pro_addr_port(result->remote);
}

static void on_connect(struct pro_handler *handler, const struct pro_asynch_connect_result *result)
{
	note(handler, result)->made = result->connected;
}

static void on_close(struct pro_handler *handler)
{
	probe_from_handler(handler)->is_closed = true;
}

static const struct pro_handler_vtbl probe_vtbl = {
		.handle_read_stream = on_read_stream,
		.handle_write_stream = on_write_stream,
		.handle_read_file = on_read_file,
		.handle_write_file = on_write_file,
		.handle_read_dgram = on_read_dgram,
		.handle_write_dgram = on_write_dgram,
		.handle_accept = on_accept,
		.handle_connect = on_connect,
		.handle_transmit_file = on_transmit_file,
		.handle_time_out = on_timer,
		.handle_close = on_close,
};

/* ---- set-up ---- */

static void create(unsigned concurrency)
{
	struct pro_proactor_options options;

	pro_proactor_options_init(&options);
	options.concurrency = concurrency;
	options.lent_blocks = 2;
	ck_assert_int_eq(pro_proactor_create(&proactor, &options, NULL, 0), 0);
}

/* The probe, with operations on `handle`, which it owns. */
static void probe_open(struct probe *self, HANDLE value)
{
	struct pro_handler *handler = &self->handler;
	pro_handle handle = (pro_handle)value;

	memset(self, 0, sizeof(*self));
	self->made = PRO_INVALID_HANDLE;
	ck_assert_int_eq(pro_handler_init(handler, &probe_vtbl, proactor), 0);
	pro_handler_set_handle(handler, handle);
	pro_message_block_init(&self->in, self->bytes, sizeof(self->bytes));
	pro_message_block_init(&self->second_in, self->second_bytes, sizeof(self->second_bytes));
	pro_message_block_init_filled(&self->out, "0123456789", 10);
	ck_assert_int_eq(pro_asynch_read_stream_open(&self->reader, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_read_stream_open(&self->second_reader, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_write_stream_open(&self->writer, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_read_file_open(&self->file_reader, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_write_file_open(&self->file_writer, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_read_dgram_open(&self->dgram_reader, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_write_dgram_open(&self->dgram_writer, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_accept_open(&self->accept, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_connect_open(&self->connect, handler, NULL), 0);
	ck_assert_int_eq(pro_asynch_transmit_file_open(&self->sender, handler, handle, NULL), 0);
	ck_assert_int_eq(pro_asynch_timer_open(&self->timer, handler, NULL), 0);
}

static void turn(void)
{
	ck_assert_int_ge(pro_proactor_handle_events(proactor, 0), 0);
}

static void turns(unsigned count)
{
	while (count-- > 0)
		turn();
}

static void set_up(void)
{
	fake_install();
	create(1);
}

static void tear_down(void)
{
	ck_assert_int_eq(pro_proactor_destroy(proactor), 0);
	fake_uninstall();
}

/* ---- one completion for each start, whatever the call says ---- */

struct kind_of_start {
	enum fake_call call;
	enum pro_opcode opcode;
	enum fake_kind handle;
};

static const struct kind_of_start starts[] = {
		{FAKE_RECV, PRO_OP_READ_STREAM, FAKE_TCP},
		{FAKE_SEND, PRO_OP_WRITE_STREAM, FAKE_TCP},
		{FAKE_READ_FILE, PRO_OP_READ_FILE, FAKE_FILE},
		{FAKE_WRITE_FILE, PRO_OP_WRITE_FILE, FAKE_FILE},
		{FAKE_RECV_FROM, PRO_OP_READ_DGRAM, FAKE_UDP},
		{FAKE_SEND_TO, PRO_OP_WRITE_DGRAM, FAKE_UDP},
		{FAKE_ACCEPT, PRO_OP_ACCEPT, FAKE_TCP},
		{FAKE_CONNECT, PRO_OP_CONNECT, FAKE_TCP},
		{FAKE_TRANSMIT, PRO_OP_TRANSMIT_FILE, FAKE_TCP},
};

static struct pro_addr some_addr(void)
{
	struct pro_addr addr;

	ck_assert_int_eq(pro_addr_parse(&addr, "127.0.0.1:9"), 0);
	return addr;
}

/* Ten bytes of whatever it is. */
static void start(struct probe *self, enum pro_opcode opcode)
{
	struct pro_addr addr = some_addr();
	int error = PRO_EINVAL;

	switch (opcode) {
	case PRO_OP_READ_STREAM:
		error = pro_asynch_read_stream_read(&self->reader, &self->in, 10);
		break;
	case PRO_OP_WRITE_STREAM:
		error = pro_asynch_write_stream_write(&self->writer, &self->out);
		break;
	case PRO_OP_READ_FILE:
		error = pro_asynch_read_file_read(&self->file_reader, &self->in, 10, 5 * GIB);
		break;
	case PRO_OP_WRITE_FILE:
		error = pro_asynch_write_file_write(&self->file_writer, &self->out, 5 * GIB);
		break;
	case PRO_OP_READ_DGRAM:
		error = pro_asynch_read_dgram_recv(&self->dgram_reader, &self->in);
		break;
	case PRO_OP_WRITE_DGRAM:
		error = pro_asynch_write_dgram_send(&self->dgram_writer, &self->out, &addr);
		break;
	case PRO_OP_ACCEPT:
		error = pro_asynch_accept_accept(&self->accept);
		break;
	case PRO_OP_CONNECT:
		error = pro_asynch_connect_connect(&self->connect, &addr, NULL);
		break;
	case PRO_OP_TRANSMIT_FILE:
		fake.file_size = 100;
		error = pro_asynch_transmit_file_transmit_file(
				&self->sender, (pro_handle)fake_open(FAKE_FILE, 0), 0, 10, NULL, NULL);
		break;
	case PRO_OP_RESOLVE:
	case PRO_OP_TIMER:
		break;
	}
	ck_assert_int_eq(error, 0);
	turn();
}

/* _i: which start */
START_TEST(pending_calls_complete_with_their_packet)
{
	const struct kind_of_start *kind = &starts[_i];

	probe_open(&probe, fake_open(kind->handle, 0));
	start(&probe, kind->opcode);
	ck_assert_uint_eq(fake.count[kind->call], 1);
	turns(2);
	ck_assert_uint_eq(probe.count[kind->opcode], 0);
	fake_finish(fake_last(kind->call, 0), 0, 10);
	turns(2);
	ck_assert_uint_eq(probe.count[kind->opcode], 1);
	ck_assert_int_eq(probe.error[kind->opcode], 0);
}
END_TEST

START_TEST(success_at_once_completes_once)
{
	const struct kind_of_start *kind = &starts[_i];

	probe_open(&probe, fake_open(kind->handle, 0));
	fake_answer(kind->call, 0, 10);
	start(&probe, kind->opcode);
	turns(3);
	ck_assert_uint_eq(fake.count[kind->call], 1);
	ck_assert_uint_eq(probe.count[kind->opcode], 1);
	ck_assert_int_eq(probe.error[kind->opcode], 0);
	/* TCP skips the packet, everything else has one. */
	ck_assert_uint_eq(fake.packet_count, 0);
}
END_TEST

START_TEST(success_at_once_with_a_packet_completes_once)
{
	const struct kind_of_start *kind = &starts[_i];

	fake.skip_works = false;
	probe_open(&probe, fake_open(kind->handle, 0));
	fake_answer(kind->call, 0, 10);
	start(&probe, kind->opcode);
	turns(3);
	ck_assert_uint_eq(probe.count[kind->opcode], 1);
	ck_assert_int_eq(probe.error[kind->opcode], 0);
}
END_TEST

START_TEST(failure_at_once_completes_once_without_a_packet)
{
	const struct kind_of_start *kind = &starts[_i];

	probe_open(&probe, fake_open(kind->handle, 0));
	fake_answer(kind->call, WSAENOBUFS, 0);
	start(&probe, kind->opcode);
	turns(3);
	ck_assert_uint_eq(probe.count[kind->opcode], 1);
	ck_assert_int_eq(probe.error[kind->opcode], PRO_ENOBUFS);
	ck_assert_int_eq(probe.os_error[kind->opcode], WSAENOBUFS);
	/* Nothing is outstanding: the close needs no packet. */
	pro_handler_close(&probe.handler);
	turns(2);
	ck_assert(probe.is_closed);
}
END_TEST

/* The fake wants an OVERLAPPED without anything of its last use. */
START_TEST(overlapped_is_clean_for_each_flight)
{
	const struct kind_of_start *kind = &starts[_i];

	probe_open(&probe, fake_open(kind->handle, 0));
	for (unsigned i = 1; i <= 3; i++) {
		pro_message_block_reset(&probe.in);
		pro_message_block_init_filled(&probe.out, "0123456789", 10);
		start(&probe, kind->opcode);
		fake_finish(fake_last(kind->call, 0), 0, 10);
		turns(2);
		ck_assert_uint_eq(probe.count[kind->opcode], i);
		ck_assert_uint_eq(fake.count[kind->call], i);
	}
}
END_TEST

START_TEST(packet_with_an_error_is_a_failure)
{
	const struct kind_of_start *kind = &starts[_i];

	probe_open(&probe, fake_open(kind->handle, 0));
	start(&probe, kind->opcode);
	fake_finish(fake_last(kind->call, 0), 0xC000009A, 0); /* insufficient resources */
	turns(2);
	ck_assert_uint_eq(probe.count[kind->opcode], 1);
	ck_assert_int_eq(probe.error[kind->opcode], PRO_ENOBUFS);
}
END_TEST

/* ---- ports, keys, association ---- */

START_TEST(concurrency_is_passed_on)
{
	ck_assert_uint_eq(fake.concurrency, 1);
	tear_down();
	fake_install();
	create(3);
	ck_assert_uint_eq(fake.concurrency, 3);
	tear_down();
	fake_install();
	/* As many as there are processors, however many threads will run the loop. */
	create(0);
	ck_assert_uint_eq(fake.concurrency, GetActiveProcessorCount(ALL_PROCESSOR_GROUPS));
}
END_TEST

START_TEST(port_that_can_not_be_made_is_told)
{
	struct pro_proactor *other;
	char why[256] = "";

	fake.port_error = ERROR_NO_SYSTEM_RESOURCES;
	ck_assert_int_eq(pro_proactor_create(&other, NULL, why, sizeof(why)), PRO_ENOBUFS);
	ck_assert_ptr_null(other);
	ck_assert_ptr_nonnull(strstr(why, "CreateIoCompletionPort: error 1450"));
}
END_TEST

START_TEST(handle_that_can_not_be_associated_is_told)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	fake.associate_error = ERROR_NO_SYSTEM_RESOURCES;
	start(&probe, PRO_OP_READ_STREAM);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_READ_STREAM], PRO_ENOBUFS);
	ck_assert_uint_eq(fake.count[FAKE_RECV], 0);
	fake.associate_error = ERROR_NO_SYSTEM_RESOURCES;
	start(&probe, PRO_OP_CONNECT);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_CONNECT], PRO_ENOBUFS);
	ck_assert_str_eq(fake.trace, "closesocket bind closesocket ");
	/* The next try is a new one. */
	start(&probe, PRO_OP_READ_STREAM);
	fake_finish(fake_last(FAKE_RECV, 0), 0, 5);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_READ_STREAM], 0);
}
END_TEST

/* Of TCP on the system's own provider a success at once needs no packet; of all else it does. */
START_TEST(layered_sockets_skip_no_packets)
{
	fake.is_layered = true;
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	fake_answer(FAKE_RECV, 0, 10);
	start(&probe, PRO_OP_READ_STREAM);
	turn();
	ck_assert_uint_eq(probe.count[PRO_OP_READ_STREAM], 1);
	ck_assert(!fake_find(fake_last(FAKE_RECV, 0)->handle)->skips_success);
	fake_answer(FAKE_CONNECT, 0, 0);
	start(&probe, PRO_OP_CONNECT);
	turn();
	ck_assert_uint_eq(probe.count[PRO_OP_CONNECT], 1);
	ck_assert_int_eq(probe.error[PRO_OP_CONNECT], 0);
	ck_assert(!fake_find((HANDLE)probe.made)->skips_success);
	ck_assert_int_eq(pro_proactor_close_handle(proactor, probe.made), 0);
}
END_TEST

START_TEST(port_is_closed_behind_its_handles)
{
	char *last;

	probe_open(&probe, fake_open(FAKE_TCP, 0));
	start(&probe, PRO_OP_READ_STREAM);
	fake.trace[0] = '\0';
	ck_assert_int_eq(pro_proactor_destroy(proactor), 0);
	/* Its packets were taken before that. */
	ck_assert(probe.is_closed);
	ck_assert_uint_eq(probe.count[PRO_OP_READ_STREAM], 1);
	last = strstr(fake.trace, "close-port");
	ck_assert_ptr_nonnull(last);
	ck_assert_ptr_nonnull(strstr(fake.trace, "cancel closesocket "));
	ck_assert_ptr_null(strstr(last, "closesocket"));
	create(1);
}
END_TEST

START_TEST(thread_that_leaves_the_loop_counts_no_more)
{
	turn();
	ck_assert_uint_eq(fake.leaves, 1);
	turns(2);
	ck_assert_uint_eq(fake.leaves, 3);
}
END_TEST

static bool has_blocked;

static void blocking_handle_wakeup(struct pro_handler *handler)
{
	unsigned before = fake.leaves;

	pro_proactor_begin_blocking(pro_handler_proactor(handler));
	ck_assert_uint_eq(fake.leaves, before + 1);
	pro_proactor_end_blocking(pro_handler_proactor(handler));
	ck_assert_uint_eq(fake.leaves, before + 1);
	pro_handler_close(handler);
}

static void blocking_handle_close(struct pro_handler *handler)
{
	(void)handler;
	has_blocked = true;
}

START_TEST(thread_that_blocks_counts_no_more)
{
	static const struct pro_handler_vtbl vtbl = {
			.handle_wakeup = blocking_handle_wakeup,
			.handle_close = blocking_handle_close,
	};
	struct pro_handler handler;

	tear_down();
	fake_install();
	create(2);
	ck_assert_int_eq(pro_handler_init(&handler, &vtbl, proactor), 0);
	ck_assert_int_eq(pro_handler_wakeup(&handler), 0);
	while (!has_blocked)
		turn();
}
END_TEST

START_TEST(key_is_a_whole_pointer)
{
	HANDLE value = fake_open(FAKE_TCP, 0);

	probe_open(&probe, value);
	start(&probe, PRO_OP_READ_STREAM);
	ck_assert_uint_gt(fake_find(value)->key, UINT32_MAX);
	fake_finish(fake_last(FAKE_RECV, 0), 0, 3);
	turns(2);
	ck_assert_uint_eq(probe.transferred[PRO_OP_READ_STREAM], 3);
}
END_TEST

START_TEST(handle_is_associated_once)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	for (unsigned i = 0; i < 5; i++) {
		pro_message_block_reset(&probe.in);
		start(&probe, PRO_OP_READ_STREAM);
		fake_finish(fake_last(FAKE_RECV, 0), 0, 1);
		turn();
		pro_message_block_init_filled(&probe.out, "x", 1);
		start(&probe, PRO_OP_WRITE_STREAM);
		fake_finish(fake_last(FAKE_SEND, 0), 0, 1);
		turn();
	}
	ck_assert_uint_eq(probe.count[PRO_OP_READ_STREAM], 5);
	ck_assert_uint_eq(probe.count[PRO_OP_WRITE_STREAM], 5);
	ck_assert_uint_eq(fake.associations, 1);
}
END_TEST

START_TEST(packets_may_come_in_any_order)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	fake.reverses = true;
	start(&probe, PRO_OP_READ_STREAM);
	ck_assert_int_eq(pro_asynch_read_stream_read(&probe.second_reader, &probe.second_in, 0), 0);
	start(&probe, PRO_OP_WRITE_STREAM);
	fake_finish(fake_last(FAKE_RECV, 1), 0, 1);
	fake_finish(fake_last(FAKE_RECV, 0), 0, 2);
	fake_finish(fake_last(FAKE_SEND, 0), 0, 10);
	turns(2);
	ck_assert_uint_eq(probe.count[PRO_OP_READ_STREAM], 2);
	ck_assert_uint_eq(probe.count[PRO_OP_WRITE_STREAM], 1);
	ck_assert_uint_eq(pro_message_block_length(&probe.in), 1);
	ck_assert_uint_eq(pro_message_block_length(&probe.second_in), 2);
}
END_TEST

START_TEST(closed_port_and_time_outs_bring_nothing)
{
	static const DWORD errors[] = {WAIT_TIMEOUT, ERROR_ABANDONED_WAIT_0, ERROR_INVALID_HANDLE};

	probe_open(&probe, fake_open(FAKE_TCP, 0));
	start(&probe, PRO_OP_READ_STREAM);
	for (unsigned i = 0; i < COUNT(errors); i++) {
		fake.wait_error = errors[i];
		turn();
	}
	ck_assert_uint_eq(probe.count[PRO_OP_READ_STREAM], 0);
	fake_finish(fake_last(FAKE_RECV, 0), 0, 1);
	turn();
	ck_assert_uint_eq(probe.count[PRO_OP_READ_STREAM], 1);
}
END_TEST

START_TEST(wake_is_one_packet_and_survives_a_full_system)
{
	pro_proactor_reset_event_loop(proactor);
	for (unsigned i = 0; i < 100; i++)
		pro_proactor_end_event_loop(proactor);
	ck_assert_uint_eq(fake.packet_count, 1);
	turns(2);
	fake.post_failures = 3;
	pro_proactor_end_event_loop(proactor);
	ck_assert_uint_eq(fake.post_failures, 0);
	ck_assert_uint_eq(fake.packet_count, 1);
	pro_proactor_reset_event_loop(proactor);
}
END_TEST

/* ---- closing ---- */

static const DWORD ends_of_close[] = {FAKE_STATUS_CANCELLED, FAKE_STATUS_NETNAME_DELETED,
		FAKE_STATUS_LOCAL_DISCONNECT, FAKE_STATUS_CONNECTION_ABORTED, FAKE_STATUS_HANDLES_CLOSED,
		FAKE_STATUS_CONNECTION_RESET};

/* _i: which status */
START_TEST(close_is_a_cancel_whatever_the_system_calls_it)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	start(&probe, PRO_OP_READ_STREAM);
	start(&probe, PRO_OP_WRITE_STREAM);
	fake.cancel_status = 0;
	fake.close_status = ends_of_close[_i];
	pro_handler_close(&probe.handler);
	turns(3);
	ck_assert_int_eq(probe.error[PRO_OP_READ_STREAM], PRO_ECANCELED);
	ck_assert_int_eq(probe.error[PRO_OP_WRITE_STREAM], PRO_ECANCELED);
	ck_assert(probe.is_closed);
}
END_TEST

START_TEST(the_same_without_a_close_is_no_cancel)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	start(&probe, PRO_OP_READ_STREAM);
	fake_finish(fake_last(FAKE_RECV, 0), ends_of_close[_i], 0);
	turn();
	ck_assert_uint_eq(probe.count[PRO_OP_READ_STREAM], 1);
	ck_assert(probe.error[PRO_OP_READ_STREAM] == PRO_ECONNRESET ||
			  probe.error[PRO_OP_READ_STREAM] == PRO_ECONNABORTED);
}
END_TEST

START_TEST(close_cancels_then_closes_then_waits_for_all_packets)
{
	struct fake_record *recv;
	struct fake_record *send;

	probe_open(&probe, fake_open(FAKE_TCP, 0));
	start(&probe, PRO_OP_READ_STREAM);
	start(&probe, PRO_OP_WRITE_STREAM);
	recv = fake_last(FAKE_RECV, 0);
	send = fake_last(FAKE_SEND, 0);
	fake.cancel_status = fake.close_status = 0;
	fake.trace[0] = '\0';
	pro_handler_close(&probe.handler);
	turns(3);
	ck_assert_str_eq(fake.trace, "cancel closesocket ");
	ck_assert(!probe.is_closed);
	fake_finish(recv, FAKE_STATUS_HANDLES_CLOSED, 0);
	turns(3);
	ck_assert_uint_eq(probe.count[PRO_OP_READ_STREAM], 1);
	/* Another operation is pending still: what it needs must not be freed. */
	ck_assert(!probe.is_closed);
	fake_finish(send, FAKE_STATUS_CANCELLED, 0);
	turns(3);
	ck_assert_uint_eq(probe.count[PRO_OP_WRITE_STREAM], 1);
	ck_assert(probe.is_closed);
}
END_TEST

START_TEST(old_packets_do_not_reach_a_new_handle_of_the_same_value)
{
	static struct probe newcomer;
	struct fake_record *old;

	probe_open(&probe, fake_open(FAKE_TCP, 0x2000));
	start(&probe, PRO_OP_READ_STREAM);
	old = fake_last(FAKE_RECV, 0);
	fake.cancel_status = fake.close_status = 0;
	pro_handler_close(&probe.handler);
	turns(2);

	probe_open(&newcomer, fake_open(FAKE_TCP, 0x2000));
	start(&newcomer, PRO_OP_READ_STREAM);
	ck_assert_uint_eq(fake.associations, 2);
	fake_finish(old, 0, 5);
	turns(3);
	/* It has won the race against its close. */
	ck_assert_uint_eq(probe.count[PRO_OP_READ_STREAM], 1);
	ck_assert_uint_eq(probe.transferred[PRO_OP_READ_STREAM], 5);
	ck_assert(probe.is_closed);
	ck_assert_uint_eq(newcomer.count[PRO_OP_READ_STREAM], 0);
	fake_finish(fake_last(FAKE_RECV, 0), 0, 7);
	turns(2);
	ck_assert_uint_eq(newcomer.transferred[PRO_OP_READ_STREAM], 7);
	fake.cancel_status = FAKE_STATUS_CANCELLED;
}
END_TEST

START_TEST(operation_opened_on_a_closed_handle_is_refused)
{
	static struct probe other;
	HANDLE value = fake_open(FAKE_TCP, 0x2000);

	probe_open(&probe, value);
	probe_open(&other, value);
	pro_handler_set_handle(&other.handler, PRO_INVALID_HANDLE);
	start(&other, PRO_OP_READ_STREAM);
	fake_finish(fake_last(FAKE_RECV, 0), 0, 1);
	turn();
	start(&probe, PRO_OP_READ_STREAM);
	pro_handler_close(&probe.handler);
	turns(3);
	fake_open(FAKE_TCP, 0x2000);
	pro_message_block_reset(&other.in);
	start(&other, PRO_OP_READ_STREAM);
	turn();
	ck_assert_uint_eq(other.count[PRO_OP_READ_STREAM], 2);
	ck_assert_int_eq(other.error[PRO_OP_READ_STREAM], PRO_EBADF);
}
END_TEST

START_TEST(value_closed_behind_our_back_is_found_out)
{
	static struct probe newcomer;

	probe_open(&probe, fake_open(FAKE_TCP, 0x2000));
	start(&probe, PRO_OP_READ_STREAM);
	fake_finish(fake_last(FAKE_RECV, 0), 0, 1);
	turn();
	fake_find((HANDLE)(uintptr_t)0x2000)->is_open = false;
	probe_open(&newcomer, fake_open(FAKE_UDP, 0x2000));
	start(&newcomer, PRO_OP_READ_DGRAM);
	ck_assert_uint_eq(fake.associations, 2);
	fake_finish(fake_last(FAKE_RECV_FROM, 0), 0, 4);
	turn();
	ck_assert_uint_eq(newcomer.transferred[PRO_OP_READ_DGRAM], 4);
	pro_handler_set_handle(&probe.handler, PRO_INVALID_HANDLE);
}
END_TEST

START_TEST(cancel_that_lost_keeps_the_bytes)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	fake.cancel_status = 0;
	start(&probe, PRO_OP_READ_STREAM);
	fake_finish(fake_last(FAKE_RECV, 0), 0, 6);
	ck_assert_int_eq(pro_operation_cancel(&probe.reader.operation), 0);
	turns(2);
	ck_assert_uint_eq(probe.count[PRO_OP_READ_STREAM], 1);
	ck_assert_int_eq(probe.error[PRO_OP_READ_STREAM], 0);
	ck_assert_uint_eq(probe.transferred[PRO_OP_READ_STREAM], 6);
	fake.cancel_status = FAKE_STATUS_CANCELLED;
}
END_TEST

/* Its value may mean another handle by then. */
START_TEST(what_was_closed_is_called_no_more)
{
	struct fake_record *accept;
	HANDLE value = fake_open(FAKE_TCP, 0);

	probe_open(&probe, value);
	start(&probe, PRO_OP_READ_STREAM);
	start(&probe, PRO_OP_ACCEPT);
	accept = fake_last(FAKE_ACCEPT, 0);
	fake.cancel_status = fake.close_status = 0;
	fake.trace[0] = '\0';
	ck_assert_int_eq(pro_proactor_close_handle(proactor, (pro_handle)value), 0);
	turn();
	ck_assert_str_eq(fake.trace, "cancel closesocket ");
	fake_open(FAKE_TCP, (uintptr_t)value);
	ck_assert_int_eq(pro_operation_cancel(&probe.reader.operation), 0);
	turn();
	ck_assert_str_eq(fake.trace, "cancel closesocket ");
	fake_finish(fake_last(FAKE_RECV, 0), FAKE_STATUS_CANCELLED, 0);
	/* The connection has come, but nobody is left from whom it could be taken over. */
	fake_finish(accept, 0, 0);
	turns(2);
	ck_assert_int_eq(probe.error[PRO_OP_READ_STREAM], PRO_ECANCELED);
	ck_assert_int_eq(probe.error[PRO_OP_ACCEPT], PRO_ECANCELED);
	ck_assert_str_eq(fake.trace, "cancel closesocket closesocket ");
	ck_assert_ptr_null(fake_find((HANDLE)accept->socket));
	pro_handler_set_handle(&probe.handler, PRO_INVALID_HANDLE);
}
END_TEST

static DWORD WINAPI turn_elsewhere(void *argument)
{
	(void)argument;
	turn();
	return 0;
}

/* Starts a read whose call another thread makes. */
static void start_elsewhere(void)
{
	HANDLE thread;

	tear_down();
	fake_install();
	create(2);
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	start(&probe, PRO_OP_WRITE_STREAM);
	fake_finish(fake_last(FAKE_SEND, 0), 0, 10);
	turn();
	ck_assert_int_eq(pro_asynch_read_stream_read(&probe.reader, &probe.in, 10), 0);
	thread = CreateThread(NULL, 0, turn_elsewhere, NULL, 0, NULL);
	ck_assert_ptr_nonnull(thread);
	ck_assert_uint_eq(WaitForSingleObject(thread, INFINITE), WAIT_OBJECT_0);
	CloseHandle(thread);
	ck_assert_uint_eq(fake.count[FAKE_RECV], 1);
	fake.cancel_status = fake.close_status = 0;
	fake.trace[0] = '\0';
}

/* Which finishes the calls of a socket on whatever has its number by then. */
START_TEST(under_wine_sockets_of_several_threads_close_behind_their_packets)
{
	start_elsewhere();
	pro_handler_close(&probe.handler);
	turn();
	if (os_is_emulated()) {
		/* Again, since a cancel that comes while bytes are moved is none. */
		ck_assert_int_eq(pro_proactor_handle_events(proactor, 1000), 0);
		ck_assert_int_eq(strncmp(fake.trace, "cancel cancel ", 14), 0);
		ck_assert_ptr_null(strstr(fake.trace, "closesocket"));
	} else {
		ck_assert_str_eq(fake.trace, "cancel closesocket ");
	}
	ck_assert(!probe.is_closed);
	fake.trace[0] = '\0';
	fake_finish(fake_last(FAKE_RECV, 0), FAKE_STATUS_CANCELLED, 0);
	turns(2);
	ck_assert_int_eq(probe.error[PRO_OP_READ_STREAM], PRO_ECANCELED);
	ck_assert(probe.is_closed);
	if (os_is_emulated())
		ck_assert_ptr_nonnull(strstr(fake.trace, "closesocket"));
	/* It is known no more: nothing is asked for again. */
	fake.trace[0] = '\0';
	turns(2);
	ck_assert_str_eq(fake.trace, "");
}
END_TEST

START_TEST(under_wine_a_cancel_that_found_nothing_is_asked_again)
{
	start_elsewhere();
	fake.cancel_misses = 3;
	ck_assert_int_eq(pro_operation_cancel(&probe.reader.operation), 0);
	turn();
	ck_assert_str_eq(fake.trace,
			os_is_emulated() ? "cancel-one cancel-one cancel-one cancel-one " : "cancel-one ");
	fake_finish(fake_last(FAKE_RECV, 0), FAKE_STATUS_CANCELLED, 0);
	turns(2);
	ck_assert_int_eq(probe.error[PRO_OP_READ_STREAM], PRO_ECANCELED);
}
END_TEST

/* ---- streams ---- */

START_TEST(nothing_received_is_the_end)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	start(&probe, PRO_OP_READ_STREAM);
	fake_finish(fake_last(FAKE_RECV, 0), 0, 0);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_READ_STREAM], PRO_EOF);
}
END_TEST

START_TEST(borrowed_read_holds_no_buffer_until_bytes_are_there)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	ck_assert_int_eq(pro_asynch_read_stream_read(&probe.reader, NULL, 0), 0);
	turn();
	ck_assert_uint_eq(fake_last(FAKE_RECV, 0)->asked, 0);
	fake_finish(fake_last(FAKE_RECV, 0), 0, 0);
	turn();
	/* Nothing received is not the end here. */
	ck_assert_uint_eq(probe.count[PRO_OP_READ_STREAM], 0);
	ck_assert_uint_gt(fake_last(FAKE_RECV, 0)->asked, 0);
	fake_finish(fake_last(FAKE_RECV, 0), 0, 9);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_READ_STREAM], 0);
	ck_assert_uint_eq(pro_message_block_length(probe.lent), 9);
	pro_message_block_release(probe.lent);
}
END_TEST

START_TEST(calls_that_succeed_at_once_do_not_keep_others_waiting)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	probe.keeps_reading = true;
	for (unsigned i = 0; i < 200; i++)
		fake_answer(FAKE_RECV, 0, 1);
	start(&probe, PRO_OP_READ_STREAM);
	turn();
	/* A few rounds of callbacks, then the port is asked for the others' packets. */
	ck_assert_uint_lt(probe.count[PRO_OP_READ_STREAM], 20);
	probe.keeps_reading = false;
	turns(3);
}
END_TEST

START_TEST(long_writes_go_out_in_steps)
{
	static char bytes[3 << 20];

	probe_open(&probe, fake_open(FAKE_TCP, 0));
	pro_message_block_init_filled(&probe.out, bytes, sizeof(bytes));
	start(&probe, PRO_OP_WRITE_STREAM);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(fake_last(FAKE_SEND, 0)->asked, 1u << 20);
		fake_finish(fake_last(FAKE_SEND, 0), 0, 1u << 20);
		turn();
	}
	ck_assert_uint_eq(fake.count[FAKE_SEND], 3);
	ck_assert_uint_eq(probe.transferred[PRO_OP_WRITE_STREAM], sizeof(bytes));
}
END_TEST

/* ---- consoles ---- */

START_TEST(console_is_read_as_utf_8_and_not_ended_by_ctrl_c)
{
	fake.typed[0] = L"";
	fake.typed[1] = L"\x00E4\xD83D\xDE00\r\n";
	probe_open(&probe, fake_open(FAKE_CONSOLE, 0));
	start(&probe, PRO_OP_READ_STREAM);
	while (probe.count[PRO_OP_READ_STREAM] == 0)
		ck_assert_int_ge(pro_proactor_handle_events(proactor, 1000), 0);
	ck_assert_int_eq(probe.error[PRO_OP_READ_STREAM], 0);
	ck_assert_uint_eq(probe.transferred[PRO_OP_READ_STREAM], 8);
	ck_assert_mem_eq(probe.bytes, "\xC3\xA4\xF0\x9F\x98\x80\r\n", 8);
	start(&probe, PRO_OP_READ_STREAM);
	while (probe.count[PRO_OP_READ_STREAM] == 1)
		ck_assert_int_ge(pro_proactor_handle_events(proactor, 1000), 0);
	ck_assert_int_eq(probe.error[PRO_OP_READ_STREAM], PRO_EOF);
}
END_TEST

START_TEST(console_is_written_as_utf_8)
{
	static struct pro_message_block rest;

	probe_open(&probe, fake_open(FAKE_CONSOLE, 0));
	/* A character in two blocks, which go out as one. */
	pro_message_block_init_filled(&probe.out, "a\xF0\x9F\x98", 4);
	pro_message_block_init_filled(&rest, "\x80z", 2);
	probe.out.cont = &rest;
	ck_assert_int_eq(pro_asynch_write_stream_writev(&probe.writer, &probe.out), 0);
	while (probe.count[PRO_OP_WRITE_STREAM] == 0)
		ck_assert_int_ge(pro_proactor_handle_events(proactor, 1000), 0);
	ck_assert_int_eq(probe.error[PRO_OP_WRITE_STREAM], 0);
	ck_assert_uint_eq(probe.transferred[PRO_OP_WRITE_STREAM], 6);
	ck_assert_uint_eq(fake.shown_count, 4);
	ck_assert_mem_eq(fake.shown, L"a\xD83D\xDE00z", 4 * sizeof(WCHAR));
	/* Half a character alone is shown as what it is. */
	pro_message_block_init_filled(&probe.out, "b\xE2\x82", 3);
	start(&probe, PRO_OP_WRITE_STREAM);
	while (probe.count[PRO_OP_WRITE_STREAM] == 1)
		ck_assert_int_ge(pro_proactor_handle_events(proactor, 1000), 0);
	ck_assert_uint_eq(probe.transferred[PRO_OP_WRITE_STREAM], 3);
	ck_assert_uint_eq(fake.shown[4], 'b');
	ck_assert_uint_eq(fake.shown[5], 0xFFFD);
}
END_TEST

/* ---- accepting and connecting ---- */

START_TEST(listener_survives_whatever_connections_do)
{
	static const DWORD at_once[] = {WSAECONNRESET, WSAECONNABORTED, ERROR_NETNAME_DELETED};
	static const DWORD by_packet[] = {FAKE_STATUS_CONNECTION_RESET, FAKE_STATUS_NETNAME_DELETED,
			FAKE_STATUS_CONNECTION_ABORTED, FAKE_STATUS_LOCAL_DISCONNECT};
	SOCKET used[16];
	unsigned count = 0;

	probe_open(&probe, fake_open(FAKE_TCP, 0));
	for (unsigned i = 0; i < COUNT(at_once); i++)
		fake_answer(FAKE_ACCEPT, at_once[i], 0);
	start(&probe, PRO_OP_ACCEPT);
	ck_assert_uint_eq(fake.count[FAKE_ACCEPT], COUNT(at_once) + 1);
	for (unsigned i = 0; i < COUNT(by_packet); i++) {
		fake_finish(fake_last(FAKE_ACCEPT, 0), by_packet[i], 0);
		turn();
		ck_assert_uint_eq(probe.count[PRO_OP_ACCEPT], 0);
	}
	/* A connection that dies before it is taken over is as good as none. */
	fake.update_error = WSAENOTCONN;
	fake_finish(fake_last(FAKE_ACCEPT, 0), 0, 0);
	turn();
	ck_assert_uint_eq(probe.count[PRO_OP_ACCEPT], 0);
	fake_finish(fake_last(FAKE_ACCEPT, 0), 0, 0);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_ACCEPT], 0);
	ck_assert_uint_eq(probe.remote_port, 1001);
	/* Each try had a socket of its own, never used again, and all but the last are closed. */
	for (unsigned i = 0; i < fake.record_count; i++) {
		if (fake.records[i].call != FAKE_ACCEPT)
			continue;
		for (unsigned j = 0; j < count; j++)
			ck_assert_uint_ne(used[j], fake.records[i].socket);
		used[count++] = fake.records[i].socket;
	}
	ck_assert_uint_eq(count, 9);
	for (unsigned j = 0; j + 1 < count; j++)
		ck_assert_ptr_null(fake_find((HANDLE)used[j]));
	ck_assert_int_eq(probe.made, (pro_handle)used[count - 1]);
	pro_proactor_close_handle(proactor, probe.made);
}
END_TEST

START_TEST(listener_that_fails_for_ever_does_not_spin)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	for (unsigned i = 0; i < 200; i++)
		fake_answer(FAKE_ACCEPT, WSAECONNRESET, 0);
	start(&probe, PRO_OP_ACCEPT);
	turn();
	ck_assert_uint_lt(fake.count[FAKE_ACCEPT], 50);
	ck_assert_int_eq(probe.error[PRO_OP_ACCEPT], PRO_ECONNRESET);
}
END_TEST

START_TEST(want_of_sockets_is_told)
{
	static const struct {
		DWORD os_error;
		int error;
	} wants[] = {{WSAEMFILE, PRO_EMFILE}, {WSAENOBUFS, PRO_ENOBUFS},
			{ERROR_NO_SYSTEM_RESOURCES, PRO_ENOBUFS}};

	probe_open(&probe, fake_open(FAKE_TCP, 0));
	for (unsigned i = 0; i < COUNT(wants); i++) {
		fake.socket_error = wants[i].os_error;
		start(&probe, PRO_OP_ACCEPT);
		turn();
		ck_assert_uint_eq(probe.count[PRO_OP_ACCEPT], i + 1);
		ck_assert_int_eq(probe.error[PRO_OP_ACCEPT], wants[i].error);
		fake.socket_error = wants[i].os_error;
		start(&probe, PRO_OP_CONNECT);
		turn();
		ck_assert_uint_eq(probe.count[PRO_OP_CONNECT], i + 1);
		ck_assert_int_eq(probe.error[PRO_OP_CONNECT], wants[i].error);
	}
	start(&probe, PRO_OP_ACCEPT);
	fake_finish(fake_last(FAKE_ACCEPT, 0), 0, 0);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_ACCEPT], 0);
	pro_proactor_close_handle(proactor, probe.made);
}
END_TEST

/* The fake refuses with 10057 what a socket without its context is asked for. */
START_TEST(accepted_and_connected_sockets_know_that_they_are)
{
	static struct probe client;

	probe_open(&probe, fake_open(FAKE_TCP, 0));
	start(&probe, PRO_OP_ACCEPT);
	fake_finish(fake_last(FAKE_ACCEPT, 0), 0, 0);
	turn();
	probe_open(&client, (HANDLE)probe.made);
	start(&client, PRO_OP_WRITE_STREAM);
	fake_finish(fake_last(FAKE_SEND, 0), 0, 10);
	turn();
	ck_assert_int_eq(client.error[PRO_OP_WRITE_STREAM], 0);
	pro_handler_close(&client.handler);
	turns(2);

	fake.trace[0] = '\0';
	start(&probe, PRO_OP_CONNECT);
	fake_finish(fake_last(FAKE_CONNECT, 0), 0, 0);
	turn();
	ck_assert_str_eq(fake.trace, "bind connect update ");
	probe_open(&client, (HANDLE)probe.made);
	start(&client, PRO_OP_WRITE_STREAM);
	fake_finish(fake_last(FAKE_SEND, 0), 0, 10);
	turn();
	ck_assert_int_eq(client.error[PRO_OP_WRITE_STREAM], 0);
}
END_TEST

START_TEST(connect_that_fails_closes_its_socket)
{
	HANDLE socket;

	probe_open(&probe, fake_open(FAKE_TCP, 0));
	start(&probe, PRO_OP_CONNECT);
	socket = fake_last(FAKE_CONNECT, 0)->handle;
	fake_finish(fake_last(FAKE_CONNECT, 0), 0xC0000236, 0); /* refused */
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_CONNECT], PRO_ECONNREFUSED);
	ck_assert_int_eq(probe.made, PRO_INVALID_HANDLE);
	ck_assert_ptr_null(fake_find(socket));

	/* So does one that is cancelled, and one that never learns of its success. */
	start(&probe, PRO_OP_CONNECT);
	socket = fake_last(FAKE_CONNECT, 0)->handle;
	ck_assert_int_eq(pro_operation_cancel(&probe.connect.operation), 0);
	turns(2);
	ck_assert_int_eq(probe.error[PRO_OP_CONNECT], PRO_ECANCELED);
	ck_assert_ptr_null(fake_find(socket));
	fake.update_error = WSAENOTCONN;
	start(&probe, PRO_OP_CONNECT);
	fake_finish(fake_last(FAKE_CONNECT, 0), 0, 0);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_CONNECT], PRO_ENOTCONN);
	ck_assert_int_eq(probe.made, PRO_INVALID_HANDLE);
}
END_TEST

START_TEST(connect_from_a_taken_address_is_told)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	fake.trace[0] = '\0';
	fake.bind_error = WSAEADDRINUSE;
	start(&probe, PRO_OP_CONNECT);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_CONNECT], PRO_EADDRINUSE);
	ck_assert_str_eq(fake.trace, "bind closesocket ");
	ck_assert_uint_eq(fake.count[FAKE_CONNECT], 0);
}
END_TEST

static void connect_to(const char *text)
{
	struct pro_addr addr;

	ck_assert_int_eq(pro_addr_parse(&addr, text), 0);
	fake.trace[0] = '\0';
	ck_assert_int_eq(pro_asynch_connect_connect(&probe.connect, &addr, NULL), 0);
	turn();
}

START_TEST(path_of_an_accepted_socket_ends_where_it_ends)
{
	struct pro_addr wanted;

	ck_assert_int_eq(pro_addr_parse(&wanted, "unix:/x"), 0);
	fake.is_local = true;
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	start(&probe, PRO_OP_ACCEPT);
	fake_finish(fake_last(FAKE_ACCEPT, 0), 0, 0);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_ACCEPT], 0);
	ck_assert(pro_addr_equal(&probe.remote, &wanted));
	ck_assert_uint_eq(probe.remote.length, wanted.length);
	pro_proactor_close_handle(proactor, probe.made);
}
END_TEST

/* Where it is no destination. */
START_TEST(wildcard_leads_to_the_loopback)
{
	struct pro_addr addr;

	probe_open(&probe, fake_open(FAKE_UDP, 0));
	connect_to("0.0.0.0:9");
	ck_assert_mem_eq(fake_destination(4), "\x7F\0\0\1", 4);
	fake_finish(fake_last(FAKE_CONNECT, 0), FAKE_STATUS_CANCELLED, 0);
	turn();
	connect_to("[::]:9");
	ck_assert_mem_eq(fake_destination(8), "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	fake_finish(fake_last(FAKE_CONNECT, 0), FAKE_STATUS_CANCELLED, 0);
	turn();
	connect_to("9.8.7.6:9");
	ck_assert_mem_eq(fake_destination(4), "\x9\x8\x7\x6", 4);
	ck_assert_int_eq(pro_addr_parse(&addr, "0.0.0.0:9"), 0);
	ck_assert_int_eq(pro_asynch_write_dgram_send(&probe.dgram_writer, &probe.out, &addr), 0);
	turn();
	ck_assert_mem_eq(fake_destination(4), "\x7F\0\0\1", 4);
}
END_TEST

/* The system by itself would try for two seconds. */
START_TEST(loopback_refuses_at_once)
{
	static const struct {
		DWORD build;
		const char *addr;
		const char *trace;
	} cases[] = {{16299, "127.9.9.9:9", "refuse-at-once bind connect "},
			{16299, "[::1]:9", "refuse-at-once bind connect "},
			{16299, "9.8.7.6:9", "bind connect "}, {16299, "[1::1]:9", "bind connect "},
			/* An older one would take it for something else. */
			{14393, "127.0.0.1:9", "bind connect "}};

	for (unsigned i = 0; i < COUNT(cases); i++) {
		tear_down();
		fake_install();
		fake.build = cases[i].build;
		create(1);
		probe_open(&probe, fake_open(FAKE_TCP, 0));
		connect_to(cases[i].addr);
		ck_assert_str_eq(fake.trace, cases[i].trace);
	}
}
END_TEST

START_TEST(mapped_addresses_are_reached)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	connect_to("[::ffff:9.8.7.6]:9");
	ck_assert_str_eq(fake.trace, "dual-stack bind connect ");
}
END_TEST

/* ---- pipes ---- */

static HANDLE listen_on_pipe(void)
{
	struct pro_addr addr;
	pro_handle handle;

	ck_assert_int_eq(pro_addr_parse(&addr, "unix:\\\\.\\pipe\\fake"), 0);
	ck_assert_int_eq(pro_socket_listen(proactor, &addr, 0, &handle), 0);
	return (HANDLE)handle;
}

START_TEST(name_of_a_pipe_has_one_listener)
{
	struct pro_addr addr;
	pro_handle handle = PRO_INVALID_HANDLE;

	fake.trace[0] = '\0';
	probe_open(&probe, listen_on_pipe());
	ck_assert(fake.pipe_mode & FILE_FLAG_FIRST_PIPE_INSTANCE);
	/* It keeps the name, and takes no client. */
	ck_assert_str_eq(fake.trace, "CloseHandle disconnect ");
	ck_assert_int_eq(pro_addr_parse(&addr, "unix:\\\\.\\pipe\\fake"), 0);
	fake.pipe_error = ERROR_ACCESS_DENIED;
	ck_assert_int_eq(pro_socket_listen(proactor, &addr, 0, &handle), PRO_EADDRINUSE);
	ck_assert_int_eq(handle, PRO_INVALID_HANDLE);
	/* A client that is quicker than the listener is sent away. */
	pro_handler_close(&probe.handler);
	turns(2);
	fake.trace[0] = '\0';
	fake.open_error = ERROR_PIPE_BUSY;
	probe_open(&probe, listen_on_pipe());
	ck_assert_str_eq(fake.trace, "disconnect ");
	start(&probe, PRO_OP_ACCEPT);
	ck_assert(!(fake.pipe_mode & FILE_FLAG_FIRST_PIPE_INSTANCE));
}
END_TEST

START_TEST(client_of_a_pipe_comes_by_packet_or_at_once)
{
	HANDLE instance;

	probe_open(&probe, listen_on_pipe());
	start(&probe, PRO_OP_ACCEPT);
	ck_assert_uint_eq(probe.count[PRO_OP_ACCEPT], 0);
	instance = fake_last(FAKE_CONNECT_PIPE, 0)->handle;
	ck_assert_ptr_ne(instance, (HANDLE)pro_handler_handle(&probe.handler));
	fake_finish(fake_last(FAKE_CONNECT_PIPE, 0), 0, 0);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_ACCEPT], 0);
	ck_assert_int_eq(probe.made, (pro_handle)instance);
	ck_assert_int_eq(pro_proactor_close_handle(proactor, probe.made), 0);

	/* It came before the call: that fails, there is no packet, and all is well. */
	fake_answer(FAKE_CONNECT_PIPE, ERROR_PIPE_CONNECTED, 0);
	start(&probe, PRO_OP_ACCEPT);
	turn();
	ck_assert_uint_eq(probe.count[PRO_OP_ACCEPT], 2);
	ck_assert_int_eq(probe.error[PRO_OP_ACCEPT], 0);
	ck_assert_uint_eq(fake.packet_count, 0);
	ck_assert_int_eq(pro_proactor_close_handle(proactor, probe.made), 0);
}
END_TEST

START_TEST(client_of_a_pipe_may_come_and_go)
{
	HANDLE first, second;

	probe_open(&probe, listen_on_pipe());
	fake_answer(FAKE_CONNECT_PIPE, ERROR_NO_DATA, 0);
	start(&probe, PRO_OP_ACCEPT);
	ck_assert_uint_eq(fake.count[FAKE_CONNECT_PIPE], 2);
	first = fake_last(FAKE_CONNECT_PIPE, 1)->handle;
	second = fake_last(FAKE_CONNECT_PIPE, 0)->handle;
	ck_assert_ptr_ne(first, second);
	ck_assert_ptr_null(fake_find(first));
	fake_finish(fake_last(FAKE_CONNECT_PIPE, 0), FAKE_STATUS_PIPE_CLOSING, 0);
	turn();
	ck_assert_ptr_null(fake_find(second));
	ck_assert_uint_eq(probe.count[PRO_OP_ACCEPT], 0);
	fake_finish(fake_last(FAKE_CONNECT_PIPE, 0), 0, 0);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_ACCEPT], 0);
	ck_assert_int_eq(pro_proactor_close_handle(proactor, probe.made), 0);
	/* But not for ever. */
	for (unsigned i = 0; i < 200; i++)
		fake_answer(FAKE_CONNECT_PIPE, ERROR_NO_DATA, 0);
	start(&probe, PRO_OP_ACCEPT);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_ACCEPT], PRO_EPIPE);
	ck_assert_uint_lt(fake.count[FAKE_CONNECT_PIPE], 50);
}
END_TEST

START_TEST(pipe_that_fails_is_told_and_closed)
{
	probe_open(&probe, listen_on_pipe());
	fake.pipe_error = ERROR_NO_SYSTEM_RESOURCES;
	start(&probe, PRO_OP_ACCEPT);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_ACCEPT], PRO_ENOBUFS);
	fake_answer(FAKE_CONNECT_PIPE, ERROR_NO_SYSTEM_RESOURCES, 0);
	start(&probe, PRO_OP_ACCEPT);
	turn();
	ck_assert_uint_eq(probe.count[PRO_OP_ACCEPT], 2);
	ck_assert_int_eq(probe.error[PRO_OP_ACCEPT], PRO_ENOBUFS);
	ck_assert_ptr_null(fake_find(fake_last(FAKE_CONNECT_PIPE, 0)->handle));
	fake.associate_error = ERROR_NO_SYSTEM_RESOURCES;
	start(&probe, PRO_OP_ACCEPT);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_ACCEPT], PRO_ENOBUFS);
	/* The listener and nothing else. */
	for (unsigned i = 0; i < fake.handle_count; i++)
		ck_assert(!fake.handles[i].is_open || fake.handles[i].kind != FAKE_PIPE ||
				  fake.handles[i].value == (HANDLE)pro_handler_handle(&probe.handler));
}
END_TEST

START_TEST(close_cancels_what_waits_for_clients_of_a_pipe)
{
	HANDLE instance;

	probe_open(&probe, listen_on_pipe());
	start(&probe, PRO_OP_ACCEPT);
	instance = fake_last(FAKE_CONNECT_PIPE, 0)->handle;
	pro_handler_close(&probe.handler);
	turns(3);
	ck_assert(probe.is_closed);
	ck_assert_int_eq(probe.error[PRO_OP_ACCEPT], PRO_ECANCELED);
	ck_assert_ptr_null(fake_find(instance));
}
END_TEST

START_TEST(connect_to_a_pipe_ends_at_once)
{
	struct pro_addr addr;

	probe_open(&probe, fake_open(FAKE_TCP, 0));
	ck_assert_int_eq(pro_addr_parse(&addr, "unix:\\\\.\\pipe\\fake"), 0);
	ck_assert_int_eq(pro_asynch_connect_connect(&probe.connect, &addr, NULL), 0);
	turns(2);
	ck_assert_int_eq(probe.error[PRO_OP_CONNECT], 0);
	ck_assert_int_eq(pro_proactor_close_handle(proactor, probe.made), 0);
	fake.open_error = ERROR_FILE_NOT_FOUND;
	ck_assert_int_eq(pro_asynch_connect_connect(&probe.connect, &addr, NULL), 0);
	turns(2);
	ck_assert_int_eq(probe.error[PRO_OP_CONNECT], PRO_ENOENT);
	ck_assert_int_eq(probe.made, PRO_INVALID_HANDLE);
}
END_TEST

/* Who writes nothing to a pipe completes a read with nothing. */
START_TEST(nothing_written_to_a_pipe_is_no_end)
{
	probe_open(&probe, fake_open(FAKE_PIPE, 0));
	start(&probe, PRO_OP_READ_STREAM);
	fake_finish(fake_last(FAKE_READ_FILE, 0), 0, 0);
	turn();
	ck_assert_uint_eq(probe.count[PRO_OP_READ_STREAM], 0);
	fake_finish(fake_last(FAKE_READ_FILE, 0), 0, 4);
	turn();
	ck_assert_uint_eq(probe.transferred[PRO_OP_READ_STREAM], 4);
	/* So it does with one that borrows. */
	ck_assert_int_eq(pro_asynch_read_stream_read(&probe.reader, NULL, 0), 0);
	turn();
	for (unsigned i = 0; i < 2; i++) {
		fake_finish(fake_last(FAKE_READ_FILE, 0), 0, 0);
		turn();
	}
	ck_assert_uint_eq(probe.count[PRO_OP_READ_STREAM], 1);
	ck_assert_uint_eq(fake_last(FAKE_READ_FILE, 0)->asked, 0);
	fake_finish(fake_last(FAKE_READ_FILE, 0), FAKE_STATUS_PIPE_BROKEN, 0);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_READ_STREAM], PRO_EOF);
}
END_TEST

/* ---- datagrams ---- */

START_TEST(unreachable_ports_do_not_end_a_receive)
{
	probe_open(&probe, fake_open(FAKE_UDP, 0));
	fake_answer(FAKE_RECV_FROM, WSAECONNRESET, 0);
	start(&probe, PRO_OP_READ_DGRAM);
	ck_assert_uint_eq(fake.count[FAKE_RECV_FROM], 2);
	fake_finish(fake_last(FAKE_RECV_FROM, 0), FAKE_STATUS_PORT_UNREACHABLE, 0);
	turn();
	fake_finish(fake_last(FAKE_RECV_FROM, 0), FAKE_STATUS_CONNECTION_RESET, 0);
	turn();
	ck_assert_uint_eq(probe.count[PRO_OP_READ_DGRAM], 0);
	fake_finish(fake_last(FAKE_RECV_FROM, 0), 0, 12);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_READ_DGRAM], 0);
	ck_assert_uint_eq(probe.transferred[PRO_OP_READ_DGRAM], 12);
	ck_assert_uint_eq(probe.remote_port, 7);
	ck_assert_ptr_nonnull(strstr(fake.trace, "connreset-off"));
}
END_TEST

START_TEST(unreachable_ports_for_ever_do_not_spin)
{
	probe_open(&probe, fake_open(FAKE_UDP, 0));
	for (unsigned i = 0; i < 250; i++)
		fake_answer(FAKE_RECV_FROM, WSAECONNRESET, 0);
	start(&probe, PRO_OP_READ_DGRAM);
	turn();
	ck_assert_uint_lt(fake.count[FAKE_RECV_FROM], 200);
	ck_assert_int_eq(probe.error[PRO_OP_READ_DGRAM], PRO_ECONNRESET);
}
END_TEST

/* The call fails, and its packet comes all the same. */
START_TEST(datagram_that_is_too_long_completes_once)
{
	probe_open(&probe, fake_open(FAKE_UDP, 0));
	fake_answer_warning(FAKE_RECV_FROM, WSAEMSGSIZE, FAKE_STATUS_BUFFER_OVERFLOW, 64);
	start(&probe, PRO_OP_READ_DGRAM);
	turns(2);
	ck_assert_uint_eq(probe.count[PRO_OP_READ_DGRAM], 1);
	ck_assert_int_eq(probe.error[PRO_OP_READ_DGRAM], PRO_EMSGSIZE);
	ck_assert_uint_eq(probe.transferred[PRO_OP_READ_DGRAM], 64);
	/* Sending one fails without. */
	fake_answer(FAKE_SEND_TO, WSAEMSGSIZE, 0);
	start(&probe, PRO_OP_WRITE_DGRAM);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_WRITE_DGRAM], PRO_EMSGSIZE);
}
END_TEST

START_TEST(empty_datagram_is_no_end)
{
	probe_open(&probe, fake_open(FAKE_UDP, 0));
	start(&probe, PRO_OP_READ_DGRAM);
	fake_finish(fake_last(FAKE_RECV_FROM, 0), 0, 0);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_READ_DGRAM], 0);
}
END_TEST

/* ---- files ---- */

START_TEST(file_offsets_have_64_bits)
{
	probe_open(&probe, fake_open(FAKE_FILE, 0));
	start(&probe, PRO_OP_READ_FILE);
	ck_assert_uint_eq(fake_last(FAKE_READ_FILE, 0)->offset, 5 * GIB);
	start(&probe, PRO_OP_WRITE_FILE);
	ck_assert_uint_eq(fake_last(FAKE_WRITE_FILE, 0)->offset, 5 * GIB);
	/* A short write goes on where it ended. */
	fake_finish(fake_last(FAKE_WRITE_FILE, 0), 0, 4);
	turn();
	ck_assert_uint_eq(fake_last(FAKE_WRITE_FILE, 0)->offset, 5 * GIB + 4);
	ck_assert_uint_eq(fake_last(FAKE_WRITE_FILE, 0)->asked, 6);
}
END_TEST

START_TEST(end_of_a_file_comes_at_once_or_by_packet)
{
	probe_open(&probe, fake_open(FAKE_FILE, 0));
	fake_answer(FAKE_READ_FILE, ERROR_HANDLE_EOF, 0);
	start(&probe, PRO_OP_READ_FILE);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_READ_FILE], PRO_EOF);
	start(&probe, PRO_OP_READ_FILE);
	fake_finish(fake_last(FAKE_READ_FILE, 0), FAKE_STATUS_END_OF_FILE, 0);
	turn();
	ck_assert_uint_eq(probe.count[PRO_OP_READ_FILE], 2);
	ck_assert_int_eq(probe.error[PRO_OP_READ_FILE], PRO_EOF);
}
END_TEST

/* ---- transmit ---- */

static char header_bytes[100];
static char trailer_bytes[50];

static void transmit(uint64_t offset, uint64_t bytes, bool has_ends)
{
	static struct pro_message_block header, trailer;

	pro_message_block_init_filled(&header, header_bytes, sizeof(header_bytes));
	pro_message_block_init_filled(&trailer, trailer_bytes, sizeof(trailer_bytes));
	ck_assert_int_eq(pro_asynch_transmit_file_transmit_file(&probe.sender,
							 (pro_handle)fake_open(FAKE_FILE, 0), offset, bytes,
							 has_ends ? &header : NULL, has_ends ? &trailer : NULL),
			0);
	turn();
}

/* The fake refuses more than 2^31-2 bytes in a call, and none. */
START_TEST(transmit_goes_in_chunks_that_are_allowed)
{
	const uint64_t bytes = 5 * GIB + 1;
	uint64_t sent = 0;
	unsigned calls = 0;

	probe_open(&probe, fake_open(FAKE_TCP, 0));
	fake.file_size = 7 * GIB;
	transmit(GIB, bytes, true);
	while (probe.count[PRO_OP_TRANSMIT_FILE] == 0) {
		struct fake_record *record = fake_last(FAKE_TRANSMIT, 0);

		ck_assert_uint_lt(++calls, 2000);
		ck_assert_uint_eq(record->offset, GIB + sent);
		ck_assert_uint_eq(record->head, calls == 1 ? sizeof(header_bytes) : 0);
		sent += record->asked;
		ck_assert_uint_eq(record->tail, sent == bytes ? sizeof(trailer_bytes) : 0);
		fake_finish(record, 0, record->head + record->asked + record->tail);
		turn();
	}
	ck_assert_uint_eq(sent, bytes);
	ck_assert_int_eq(probe.error[PRO_OP_TRANSMIT_FILE], 0);
	ck_assert_uint_eq(probe.transferred[PRO_OP_TRANSMIT_FILE],
			bytes + sizeof(header_bytes) + sizeof(trailer_bytes));
}
END_TEST

START_TEST(transmit_without_a_file_asks_for_no_whole_file)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	transmit(0, 0, true);
	ck_assert_uint_eq(fake.count[FAKE_TRANSMIT], 0);
	ck_assert_uint_eq(fake_last(FAKE_SEND, 0)->asked, 150);
	/* Not all of it at once. */
	fake_finish(fake_last(FAKE_SEND, 0), 0, 120);
	turn();
	ck_assert_uint_eq(fake_last(FAKE_SEND, 0)->asked, 30);
	fake_finish(fake_last(FAKE_SEND, 0), 0, 30);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_TRANSMIT_FILE], 0);
	ck_assert_uint_eq(probe.transferred[PRO_OP_TRANSMIT_FILE], 150);
}
END_TEST

START_TEST(transmit_of_a_file_that_shrank_is_an_error)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	fake.file_size = 60;
	transmit(0, 100, true);
	/* What is there goes out, but nothing that belongs behind the rest. */
	ck_assert_uint_eq(fake_last(FAKE_TRANSMIT, 0)->asked, 60);
	ck_assert_uint_eq(fake_last(FAKE_TRANSMIT, 0)->tail, 0);
	fake_finish(fake_last(FAKE_TRANSMIT, 0), 0, 160);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_TRANSMIT_FILE], PRO_ETRUNCATED);
	ck_assert_uint_eq(probe.transferred[PRO_OP_TRANSMIT_FILE], 160);
}
END_TEST

START_TEST(transmit_of_a_file_that_shrinks_meanwhile_is_an_error)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	fake.file_size = 1000;
	transmit(0, 1000, false);
	fake_finish(fake_last(FAKE_TRANSMIT, 0), 0, 400);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_TRANSMIT_FILE], PRO_ETRUNCATED);
	ck_assert_uint_eq(probe.transferred[PRO_OP_TRANSMIT_FILE], 400);
}
END_TEST

START_TEST(transmit_of_a_file_without_a_size_is_an_error)
{
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	fake.size_error = ERROR_INVALID_FUNCTION;
	transmit(0, 100, true);
	turn();
	ck_assert_int_eq(probe.error[PRO_OP_TRANSMIT_FILE], PRO_ENOTSUP);
	ck_assert_uint_eq(fake.count[FAKE_TRANSMIT], 0);
}
END_TEST

START_TEST(transmit_stops_when_its_file_is_closed)
{
	HANDLE file;

	probe_open(&probe, fake_open(FAKE_TCP, 0));
	fake.file_size = GIB;
	transmit(0, GIB, false);
	file = fake_last(FAKE_TRANSMIT, 0)->file;
	ck_assert_int_eq(pro_proactor_close_handle(proactor, (pro_handle)file), 0);
	turn();
	/* The value may be another file's by now. */
	fake_open(FAKE_FILE, (uintptr_t)file);
	fake_finish(fake_last(FAKE_TRANSMIT, 0), 0, fake_last(FAKE_TRANSMIT, 0)->asked);
	turns(2);
	ck_assert_uint_eq(fake.count[FAKE_TRANSMIT], 1);
	ck_assert_int_eq(probe.error[PRO_OP_TRANSMIT_FILE], PRO_EBADF);
}
END_TEST

/* ---- time ---- */

START_TEST(short_waits_use_the_fine_timer)
{
	tear_down();
	fake_install();
	fake.has_fine_timer = true;
	create(1);
	probe_open(&probe, fake_open(FAKE_TCP, 0));
	ck_assert_int_eq(pro_asynch_timer_schedule(&probe.timer, 60000), 0);
	ck_assert_int_eq(pro_proactor_handle_events(proactor, 20), 0);
	ck_assert_uint_gt(fake.fine_timers, 0);
	/* Should no packet come, the wait ends nevertheless. */
	ck_assert_uint_le(fake.last_timeout_ms, 20);
	/* Its packet ends a wait, and means nothing else. */
	fake_expire();
	turn();
	ck_assert_int_eq(pro_proactor_handle_events(proactor, 1), 0);
	/* One that is under way can not be taken back, and so not be sent for again. */
	fake.take_back_status = 0x103; /* pending */
	ck_assert_int_eq(pro_proactor_handle_events(proactor, 1), 0);
	ck_assert_uint_eq(fake.take_back_status, 0);
	fake.fine_timers = 0;
	fake.take_back_status = FAKE_STATUS_CANCELLED; /* it has come */
	ck_assert_int_eq(pro_proactor_handle_events(proactor, 1), 0);
	ck_assert_uint_gt(fake.fine_timers, 0);
	/* A long wait ends early instead, and the rest of it is a short one. */
	ck_assert_int_eq(pro_operation_cancel(&probe.timer.operation), 0);
	ck_assert_int_eq(pro_proactor_handle_events(proactor, 10), 1);
	ck_assert_int_eq(pro_asynch_timer_schedule(&probe.timer, 60000), 0);
	fake.last_timeout_ms = 0;
	ck_assert_int_eq(pro_proactor_run_event_loop_for(proactor, 0), 0);
}
END_TEST

START_TEST(waits_without_a_fine_timer_are_never_early)
{
	uint64_t start_ns = pro_proactor_now_ns(proactor);

	probe_open(&probe, fake_open(FAKE_TCP, 0));
	ck_assert_int_eq(pro_asynch_timer_schedule(&probe.timer, 5), 0);
	ck_assert_int_eq(pro_proactor_handle_events(proactor, 2000), 1);
	ck_assert_uint_ge(pro_proactor_now_ns(proactor) - start_ns, 5000000);
	ck_assert_uint_eq(fake.fine_timers, 0);
}
END_TEST

/* Waits do not count it, so the clock must not either. */
START_TEST(time_stands_still_while_the_system_sleeps)
{
	fake.awake_ns = 1234500;
	ck_assert_uint_eq(pro_proactor_now_ns(proactor), 1234500);
	fake.awake_ns = 0;
}
END_TEST

/* ---- the acceptor, above all this ---- */

static struct pro_service_handler *no_handler(struct pro_asynch_acceptor *acceptor)
{
	(void)acceptor;
	return NULL;
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {.make_handler = no_handler};

START_TEST(acceptor_without_sockets_tries_again)
{
	static struct pro_asynch_acceptor acceptor;
	struct pro_addr addr;
	unsigned before;

	ck_assert_int_eq(pro_addr_parse(&addr, "127.0.0.1:0"), 0);
	/* The listener itself is the system's. */
	fake_uninstall();
	ck_assert_int_eq(pro_asynch_acceptor_open(&acceptor, &acceptor_vtbl, proactor, &addr), 0);
	fake_open(FAKE_TCP, (uintptr_t)pro_handler_handle(&acceptor.handler));
	fake.socket_error = WSAEMFILE;
	turn();
	before = fake.count[FAKE_ACCEPT];
	while (fake.count[FAKE_ACCEPT] == before)
		ck_assert_int_ge(pro_proactor_handle_events(proactor, 1000), 0);
	pro_asynch_acceptor_close(&acceptor);
	turns(3);
}
END_TEST

static void add_case(Suite *suite, const char *name, const TTest *const *tests, size_t count)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
}

#define ADD_CASE(suite, name, tests) add_case(suite, name, tests, COUNT(tests))

static Suite *make_suite(void)
{
	const TTest *const port_tests[] = {concurrency_is_passed_on, port_that_can_not_be_made_is_told,
			handle_that_can_not_be_associated_is_told, layered_sockets_skip_no_packets,
			port_is_closed_behind_its_handles, thread_that_leaves_the_loop_counts_no_more,
			thread_that_blocks_counts_no_more, key_is_a_whole_pointer, handle_is_associated_once,
			packets_may_come_in_any_order, closed_port_and_time_outs_bring_nothing,
			wake_is_one_packet_and_survives_a_full_system, short_waits_use_the_fine_timer,
			waits_without_a_fine_timer_are_never_early, time_stands_still_while_the_system_sleeps};
	const TTest *const close_tests[] = {close_cancels_then_closes_then_waits_for_all_packets,
			old_packets_do_not_reach_a_new_handle_of_the_same_value,
			operation_opened_on_a_closed_handle_is_refused,
			value_closed_behind_our_back_is_found_out, cancel_that_lost_keeps_the_bytes,
			what_was_closed_is_called_no_more,
			under_wine_sockets_of_several_threads_close_behind_their_packets,
			under_wine_a_cancel_that_found_nothing_is_asked_again};
	const TTest *const stream_tests[] = {nothing_received_is_the_end,
			borrowed_read_holds_no_buffer_until_bytes_are_there,
			calls_that_succeed_at_once_do_not_keep_others_waiting, long_writes_go_out_in_steps};
	const TTest *const console_tests[] = {
			console_is_read_as_utf_8_and_not_ended_by_ctrl_c, console_is_written_as_utf_8};
	const TTest *const connection_tests[] = {listener_survives_whatever_connections_do,
			listener_that_fails_for_ever_does_not_spin, want_of_sockets_is_told,
			accepted_and_connected_sockets_know_that_they_are, connect_that_fails_closes_its_socket,
			connect_from_a_taken_address_is_told, path_of_an_accepted_socket_ends_where_it_ends,
			wildcard_leads_to_the_loopback, loopback_refuses_at_once, mapped_addresses_are_reached,
			acceptor_without_sockets_tries_again};
	const TTest *const pipe_tests[] = {name_of_a_pipe_has_one_listener,
			client_of_a_pipe_comes_by_packet_or_at_once, client_of_a_pipe_may_come_and_go,
			pipe_that_fails_is_told_and_closed, close_cancels_what_waits_for_clients_of_a_pipe,
			connect_to_a_pipe_ends_at_once, nothing_written_to_a_pipe_is_no_end};
	const TTest *const dgram_tests[] = {unreachable_ports_do_not_end_a_receive,
			unreachable_ports_for_ever_do_not_spin, datagram_that_is_too_long_completes_once,
			empty_datagram_is_no_end};
	const TTest *const file_tests[] = {file_offsets_have_64_bits,
			end_of_a_file_comes_at_once_or_by_packet, transmit_goes_in_chunks_that_are_allowed,
			transmit_without_a_file_asks_for_no_whole_file,
			transmit_of_a_file_that_shrank_is_an_error,
			transmit_of_a_file_that_shrinks_meanwhile_is_an_error,
			transmit_of_a_file_without_a_size_is_an_error, transmit_stops_when_its_file_is_closed};
	const TTest *const start_tests[] = {pending_calls_complete_with_their_packet,
			success_at_once_completes_once, success_at_once_with_a_packet_completes_once,
			failure_at_once_completes_once_without_a_packet, packet_with_an_error_is_a_failure,
			overlapped_is_clean_for_each_flight};
	const TTest *const end_tests[] = {
			close_is_a_cancel_whatever_the_system_calls_it, the_same_without_a_close_is_no_cancel};
	Suite *suite = suite_create("iocp");
	TCase *starts_case = tcase_create("starts");
	TCase *ends_case = tcase_create("ends");

	ADD_CASE(suite, "port", port_tests);
	ADD_CASE(suite, "close", close_tests);
	ADD_CASE(suite, "stream", stream_tests);
	ADD_CASE(suite, "console", console_tests);
	ADD_CASE(suite, "connection", connection_tests);
	ADD_CASE(suite, "pipe", pipe_tests);
	ADD_CASE(suite, "dgram", dgram_tests);
	ADD_CASE(suite, "file", file_tests);
	tcase_add_checked_fixture(starts_case, set_up, tear_down);
	for (size_t i = 0; i < COUNT(start_tests); i++)
		tcase_add_loop_test(starts_case, start_tests[i], 0, (int)COUNT(starts));
	suite_add_tcase(suite, starts_case);
	tcase_add_checked_fixture(ends_case, set_up, tear_down);
	for (size_t i = 0; i < COUNT(end_tests); i++)
		tcase_add_loop_test(ends_case, end_tests[i], 0, (int)COUNT(ends_of_close));
	suite_add_tcase(suite, ends_case);
	return suite;
}

int main(void)
{
	return suite_run(make_suite());
}
