/* Statements 33, 34 and 36, and what 30 and 35 say of any system: one table of errors, misuse that
 * is refused, proactors side by side, reports and counts. */
#include "conformance.h"

#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <proactor/asynch_acceptor.h>
#include <proactor/asynch_connector.h>

#include "../support/crew.h"
#include "../support/echo.h"
#include "../support/os.h"
#include "../support/recorder.h"

/* ---- 33 ---- */

void scenario_every_error_has_one_number_name_and_text(struct world *world)
{
	static const int errors[] = {
#define ERROR_NUMBER(name, number, text) number,
			PRO_ERROR_LIST(ERROR_NUMBER)
#undef ERROR_NUMBER
	};
	static const char *const names[] = {
#define ERROR_NAME(name, number, text) "PRO_" #name,
			PRO_ERROR_LIST(ERROR_NAME)
#undef ERROR_NAME
	};
	unsigned count = sizeof(errors) / sizeof(errors[0]);

	for (unsigned i = 0; i < count; i++) {
		ck_assert_int_lt(errors[i], 0);
		ck_assert_str_eq(pro_error_name(errors[i]), names[i]);
		ck_assert_uint_gt(strlen(pro_error_text(errors[i])), 0);
		for (unsigned j = 0; j < i; j++) {
			ck_assert_int_ne(errors[i], errors[j]);
			ck_assert_str_ne(pro_error_text(errors[i]), pro_error_text(errors[j]));
		}
		world_note(world, "%d %s", errors[i], names[i]);
	}
	ck_assert_str_eq(pro_error_name(0), "PRO_OK");
	ck_assert_str_eq(pro_error_name(-98), "PRO_?");
	ck_assert_str_eq(pro_error_name(1), "PRO_?");
	ck_assert_str_eq(pro_error_name(INT32_MIN), "PRO_?");
}

/* ---- 34 ---- */

static void refuse_options(
		struct world *world, int expected, void (*change)(struct pro_proactor_options *options))
{
	struct pro_proactor_options options = world->options;
	struct pro_proactor *proactor = (struct pro_proactor *)world;
	char why[128] = "";

	change(&options);
	ASSERT_ERROR(pro_proactor_create(&proactor, &options, why, sizeof(why)), expected);
	ck_assert_ptr_null(proactor);
	ck_assert_uint_gt(strlen(why), 0);
}

static void set_no_size(struct pro_proactor_options *options)
{
	options->size = 0;
}

static void set_odd_entries(struct pro_proactor_options *options)
{
	options->entries = 100;
}

static void set_many_entries(struct pro_proactor_options *options)
{
	options->entries = 65536;
}

static void set_odd_blocks(struct pro_proactor_options *options)
{
	options->lent_blocks = 3;
}

static void set_unknown_port(struct pro_proactor_options *options)
{
	options->port = "nonsense";
}

static struct pro_allocator half_an_allocator;

static void set_half_an_allocator(struct pro_proactor_options *options)
{
	half_an_allocator = *options->allocator;
	half_an_allocator.reallocate = NULL;
	options->allocator = &half_an_allocator;
}

void scenario_impossible_options_are_refused_with_a_reason(struct world *world)
{
	ASSERT_ERROR(pro_proactor_create(NULL, &world->options, NULL, 0), PRO_EINVAL);
	refuse_options(world, PRO_EINVAL, set_no_size);
	refuse_options(world, PRO_EINVAL, set_odd_entries);
	refuse_options(world, PRO_EINVAL, set_many_entries);
	refuse_options(world, PRO_EINVAL, set_odd_blocks);
	refuse_options(world, PRO_EINVAL, set_half_an_allocator);
	if (!world_is_simulated())
		refuse_options(world, PRO_ENOTSUP, set_unknown_port);
}

static void do_nothing(struct pro_handler *handler)
{
	(void)handler;
}

void scenario_missing_slots_are_refused_when_operations_are_opened(struct world *world)
{
	static const struct pro_handler_vtbl nothing, only_close = {.handle_close = do_nothing};
	struct pro_message_block block;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_read_file file_reader;
	struct pro_asynch_write_file file_writer;
	struct pro_asynch_read_dgram dgram_reader;
	struct pro_asynch_write_dgram dgram_writer;
	struct pro_asynch_accept accept;
	struct pro_asynch_connect connect;
	struct pro_asynch_transmit_file sender;
	struct pro_asynch_resolve resolver;
	struct pro_asynch_timer timer;
	struct pro_asynch_work work;
	struct pro_handler handler;
	pro_handle handles[2];

	world_open(world);
	ASSERT_ERROR(pro_handler_init(&handler, &nothing, world->proactor), PRO_EINVAL);
	ASSERT_ERROR(pro_handler_init(&handler, NULL, world->proactor), PRO_EINVAL);
	ASSERT_ERROR(pro_handler_init(&handler, &only_close, NULL), PRO_EINVAL);
	ASSERT_OK(pro_handler_init(&handler, &only_close, world->proactor));
	ASSERT_OK(pro_socket_pair(world->proactor, handles));
	ASSERT_ERROR(pro_asynch_read_stream_open(&reader, &handler, handles[0], NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_asynch_write_stream_open(&writer, &handler, handles[0], NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_asynch_read_file_open(&file_reader, &handler, handles[0], NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_asynch_write_file_open(&file_writer, &handler, handles[0], NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_asynch_read_dgram_open(&dgram_reader, &handler, handles[0], NULL), PRO_EINVAL);
	ASSERT_ERROR(
			pro_asynch_write_dgram_open(&dgram_writer, &handler, handles[0], NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_asynch_accept_open(&accept, &handler, handles[0], NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_asynch_connect_open(&connect, &handler, NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_asynch_transmit_file_open(&sender, &handler, handles[0], NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_asynch_resolve_open(&resolver, &handler, NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_asynch_timer_open(&timer, &handler, NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_asynch_work_open(&work, &handler, NULL), PRO_EINVAL);
	pro_message_block_init_filled(&block, "x", 1);
	ASSERT_ERROR(pro_handler_post(&handler, &block, NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_handler_wakeup(&handler), PRO_EINVAL);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, handles[0]));
	ASSERT_OK(pro_proactor_close_handle(world->proactor, handles[1]));
	world_run_ready(world);
}

void scenario_null_and_empty_arguments_are_refused(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block empty, full;
	struct pro_addr nowhere = {.length = 0};
	struct pro_addr addr;
	pro_handle handle;
	char bytes[4];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	recorder_open_free(left);
	pro_message_block_init(&empty, bytes, sizeof(bytes));
	pro_message_block_init_filled(&full, bytes, sizeof(bytes));
	ASSERT_ERROR(pro_operation_cancel(NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_operation_set_timeout(NULL, 1), PRO_EINVAL);
	ASSERT_ERROR(pro_asynch_read_stream_open(&left->reader, NULL, 1, NULL), PRO_EINVAL);
	ASSERT_ERROR(
			STARTED(left, READ_STREAM, pro_asynch_read_stream_read_exactly(&left->reader, NULL, 1)),
			PRO_EINVAL);
	ASSERT_ERROR(STARTED(left, READ_STREAM,
						 pro_asynch_read_stream_read_exactly(&left->reader, &empty, 5)),
			PRO_EINVAL);
	ASSERT_ERROR(STARTED(left, READ_STREAM,
						 pro_asynch_read_stream_read_exactly(&left->reader, &empty, 0)),
			PRO_EINVAL);
	ASSERT_ERROR(recorder_read(left, &full, 0), PRO_EINVAL);
	ASSERT_ERROR(STARTED(left, READ_STREAM, pro_asynch_read_stream_readv(&left->reader, NULL, 0)),
			PRO_EINVAL);
	ASSERT_ERROR(recorder_write(left, NULL), PRO_EINVAL);
	ASSERT_ERROR(recorder_write(left, &empty), PRO_EINVAL);
	ASSERT_ERROR(STARTED(left, CONNECT, pro_asynch_connect_connect(&left->connect, &nowhere, NULL)),
			PRO_EINVAL);
	ASSERT_ERROR(STARTED(left, CONNECT, pro_asynch_connect_connect(&left->connect, NULL, NULL)),
			PRO_EINVAL);
	ASSERT_ERROR(STARTED(left, RESOLVE, pro_asynch_resolve_resolve(&left->resolver, "no port")),
			PRO_EINVAL);
	ASSERT_ERROR(
			STARTED(left, RESOLVE, pro_asynch_resolve_resolve(&left->resolver, NULL)), PRO_EINVAL);
	ASSERT_ERROR(recorder_post(left, NULL, NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_proactor_close_handle(world->proactor, PRO_INVALID_HANDLE), PRO_EINVAL);
	ASSERT_ERROR(pro_proactor_handle_events(NULL, 0), PRO_EINVAL);
	ASSERT_ERROR(pro_proactor_run_event_loop(NULL), PRO_EINVAL);
	ASSERT_ERROR(pro_proactor_handle_events(world->proactor, -2), PRO_EINVAL);
	ASSERT_ERROR(pro_socket_listen(world->proactor, &nowhere, 0, &handle), PRO_EINVAL);
	ASSERT_ERROR(pro_addr_parse(&addr, ""), PRO_EINVAL);
	pro_message_block_release(NULL);
	ck_assert_uint_eq(recorder_callbacks(left), 0);
}

/* Objects that were never opened are refused, not followed. */
void scenario_operations_that_were_not_opened_are_refused(struct world *world)
{
	struct recorder *unopened;
	struct pro_message_block block;
	struct pro_addr addr = world_addr("127.0.0.1:1");
	char bytes[4];

	world_open(world);
	unopened = recorder_create(world, "unopened");
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_ERROR(recorder_read(unopened, &block, 0), PRO_EINVAL);
	ASSERT_ERROR(recorder_timer(unopened, 1), PRO_EINVAL);
	ASSERT_ERROR(
			STARTED(unopened, ACCEPT, pro_asynch_accept_accept(&unopened->accept)), PRO_EINVAL);
	ASSERT_ERROR(
			STARTED(unopened, CONNECT, pro_asynch_connect_connect(&unopened->connect, &addr, NULL)),
			PRO_EINVAL);
	ASSERT_ERROR(STARTED(unopened, READ_FILE,
						 pro_asynch_read_file_read(&unopened->file_reader, &block, 0, 0)),
			PRO_EINVAL);
	ASSERT_ERROR(STARTED(unopened, READ_DGRAM,
						 pro_asynch_read_dgram_recv(&unopened->dgram_reader, &block)),
			PRO_EINVAL);
	block.wr = 4;
	ASSERT_ERROR(recorder_write(unopened, &block), PRO_EINVAL);
	ASSERT_ERROR(STARTED(unopened, WRITE_FILE,
						 pro_asynch_write_file_write(&unopened->file_writer, &block, 0)),
			PRO_EINVAL);
	ASSERT_ERROR(STARTED(unopened, WRITE_DGRAM,
						 pro_asynch_write_dgram_send(&unopened->dgram_writer, &block, &addr)),
			PRO_EINVAL);
	ASSERT_ERROR(STARTED(unopened, TRANSMIT_FILE,
						 pro_asynch_transmit_file_transmit_file(
								 &unopened->sender, PRO_INVALID_HANDLE, 0, 0, NULL, NULL)),
			PRO_EINVAL);
	ASSERT_ERROR(STARTED(unopened, RESOLVE,
						 pro_asynch_resolve_resolve(&unopened->resolver, "127.0.0.1:1")),
			PRO_EINVAL);
}

void scenario_stale_handles_are_errors_not_somebody_elses(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block in, out;
	pro_handle handles[2];
	char bytes[4];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	ASSERT_OK(pro_socket_pair(world->proactor, handles));
	ASSERT_OK(pro_asynch_read_stream_open(&left->reader, recorder_handler(left), handles[0], NULL));
	ASSERT_OK(
			pro_asynch_write_stream_open(&left->writer, recorder_handler(left), handles[0], NULL));
	recorder_own_stream(right, handles[1]);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(left, &in, 0));
	world_run_ready(world);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, handles[0]));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == 1);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_ECANCELED);
	world_run_ready(world);
	ASSERT_OK(recorder_read(left, &in, 0));
	pro_message_block_init_filled(&out, "x", 1);
	ASSERT_OK(recorder_write(left, &out));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == 2 && left->count[EVENT_WRITE_STREAM]);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_EBADF);
	ASSERT_ERROR(left->last[EVENT_WRITE_STREAM].error, PRO_EBADF);
	ASSERT_OK(recorder_read(right, &in, 0));
	RUN_UNTIL(world, right->count[EVENT_READ_STREAM]);
	ASSERT_ERROR(right->last[EVENT_READ_STREAM].error, PRO_EOF);
}

/* A handle is wider than a descriptor: what is beyond must not be cut to one that is somebody's. */
void scenario_handles_beyond_descriptors_are_nobodys(struct world *world)
{
	const pro_handle beyond = (pro_handle)(UINT64_C(1) << 32);
	struct pro_file_status status;
	struct recorder *left, *right;
	struct pro_message_block in, out;
	struct pro_addr addr;
	pro_handle handle;
	char bytes[4];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	handle = beyond + pro_handler_handle(recorder_handler(left));
	ASSERT_ERROR(pro_socket_local_addr(world->proactor, handle, &addr), PRO_EBADF);
	ASSERT_ERROR(pro_socket_remote_addr(world->proactor, handle, &addr), PRO_EBADF);
	ASSERT_ERROR(pro_socket_set_option(world->proactor, handle, PRO_SOCKET_SEND_BUFFER, 4096),
			PRO_EBADF);
	ASSERT_ERROR(pro_socket_shutdown_write(world->proactor, handle), PRO_EBADF);
	ASSERT_ERROR(pro_file_status(world->proactor, handle, &status), PRO_EBADF);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, handle));
	world_run_ready(world);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	pro_message_block_init_filled(&out, "x", 1);
	ASSERT_OK(recorder_read(right, &in, 0));
	ASSERT_OK(recorder_write(left, &out));
	RUN_UNTIL(world, right->count[EVENT_READ_STREAM] && left->count[EVENT_WRITE_STREAM]);
	ASSERT_OK(right->last[EVENT_READ_STREAM].error);
	ASSERT_OK(left->last[EVENT_WRITE_STREAM].error);
}

/* The number is taken again by a new socket: operations that were opened on the old one must not
 * touch it. */
void scenario_stale_operations_do_not_reach_a_reused_number(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block in, out;
	pro_handle handles[2];
	char bytes[4];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	ASSERT_OK(pro_socket_pair(world->proactor, handles));
	ASSERT_OK(pro_asynch_read_stream_open(&left->reader, recorder_handler(left), handles[0], NULL));
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(left, &in, 0));
	world_run_ready(world);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, handles[0]));
	ASSERT_OK(pro_proactor_close_handle(world->proactor, handles[1]));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == 1);
	world_run_ready(world);

	ASSERT_OK(pro_socket_pair(world->proactor, handles));
	recorder_own_stream(right, handles[1]);
	pro_message_block_init_filled(&out, "new", 3);
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(world, right->count[EVENT_WRITE_STREAM]);
	ASSERT_OK(recorder_read(left, &in, 0));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM] == 2);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_EBADF);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, handles[0]));
}

void scenario_handles_of_the_wrong_kind_are_errors(struct world *world)
{
	struct recorder *files, *left, *right;
	struct pro_message_block in, out;
	pro_handle file;
	char bytes[8];

	world_open(world);
	files = recorder_create(world, "files");
	file = world_file(world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	ASSERT_OK(pro_asynch_accept_open(&files->accept, recorder_handler(files), file, NULL));
	ASSERT_OK(STARTED(files, ACCEPT, pro_asynch_accept_accept(&files->accept)));
	RUN_UNTIL(world, files->count[EVENT_ACCEPT]);
	ASSERT_ERROR(files->last[EVENT_ACCEPT].error, PRO_ENOTSOCK);
	ASSERT_OK(pro_asynch_transmit_file_open(&files->sender, recorder_handler(files), file, NULL));
	ASSERT_OK(STARTED(files, TRANSMIT_FILE,
			pro_asynch_transmit_file_transmit_file(&files->sender, file, 0, 0, NULL, NULL)));
	RUN_UNTIL(world, files->count[EVENT_TRANSMIT_FILE]);
	ASSERT_ERROR(files->last[EVENT_TRANSMIT_FILE].error, PRO_ENOTSOCK);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));

	/* A stream has no offsets, and what it has stays there. */
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	recorder_open_file(left, pro_handler_handle(recorder_handler(left)));
	pro_message_block_init_filled(&out, "bytes", 5);
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(world, right->count[EVENT_WRITE_STREAM]);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(STARTED(left, READ_FILE, pro_asynch_read_file_read(&left->file_reader, &in, 0, 0)));
	RUN_UNTIL(world, left->count[EVENT_READ_FILE]);
	ASSERT_ERROR(left->last[EVENT_READ_FILE].error, PRO_ESPIPE);
	pro_message_block_init_filled(&out, "bytes", 5);
	ASSERT_OK(STARTED(left, WRITE_FILE, pro_asynch_write_file_write(&left->file_writer, &out, 0)));
	RUN_UNTIL(world, left->count[EVENT_WRITE_FILE]);
	ASSERT_ERROR(left->last[EVENT_WRITE_FILE].error, PRO_ESPIPE);
	ASSERT_OK(
			STARTED(left, READ_STREAM, pro_asynch_read_stream_read_exactly(&left->reader, &in, 5)));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM]);
	ASSERT_OK(left->last[EVENT_READ_STREAM].error);
	ck_assert_mem_eq(bytes, "bytes", 5);
}

void scenario_only_connected_streams_end_their_sending(struct world *world)
{
	struct pro_addr any;
	pro_handle listener, dgram, file;
	pro_handle pair[2];

	world_open(world);
	ASSERT_OK(pro_addr_parse(&any, "127.0.0.1:0"));
	ASSERT_OK(pro_socket_listen(world->proactor, &any, 0, &listener));
	ASSERT_OK(pro_socket_dgram(world->proactor, PRO_FAMILY_INET, &any, &dgram));
	ASSERT_OK(pro_socket_pair(world->proactor, pair));
	file = world_file(world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	ASSERT_ERROR(pro_socket_shutdown_write(world->proactor, listener), PRO_ENOTCONN);
	ASSERT_ERROR(pro_socket_shutdown_write(world->proactor, dgram), PRO_ENOTCONN);
	ASSERT_ERROR(pro_socket_shutdown_write(world->proactor, file), PRO_ENOTSOCK);
	ASSERT_OK(pro_socket_shutdown_write(world->proactor, pair[0]));
	ASSERT_OK(pro_socket_shutdown_write(world->proactor, pair[0]));
	ASSERT_OK(pro_proactor_close_handle(world->proactor, listener));
	ASSERT_OK(pro_proactor_close_handle(world->proactor, dgram));
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
	ASSERT_OK(pro_proactor_close_handle(world->proactor, pair[0]));
	ASSERT_OK(pro_proactor_close_handle(world->proactor, pair[1]));
	world_run_ready(world);
}

void scenario_handles_may_be_closed_twice(struct world *world)
{
	struct recorder *peer;
	struct pro_message_block in;
	pro_handle handles[2];
	char byte;
	int result;

	world_open(world);
	peer = recorder_create(world, "peer");
	ASSERT_OK(pro_socket_pair(world->proactor, handles));
	recorder_own_stream(peer, handles[1]);
	pro_message_block_init(&in, &byte, 1);
	ASSERT_OK(recorder_read(peer, &in, 0));
	ASSERT_OK(pro_proactor_close_handle(world->proactor, handles[0]));
	RUN_UNTIL(world, peer->count[EVENT_READ_STREAM]);
	ASSERT_ERROR(peer->last[EVENT_READ_STREAM].error, PRO_EOF);
	result = pro_proactor_close_handle(world->proactor, handles[0]);
	ck_assert(result == 0 || result == PRO_EBADF);
	world_run_ready(world);
}

#define HUGE_BYTES (UINT64_C(5) << 30)

void scenario_lengths_beyond_4_gib_are_taken_as_they_are(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block huge, small, out;
	pro_handle file;
	void *memory;
	char bytes[64];

	world->is_traced = false;
	world_open(world);
	memory = os_map(HUGE_BYTES);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	file = world_file(world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	recorder_open_file(left, file);

	/* A read with more space than 32 bits can tell. */
	pro_message_block_init(&huge, memory, HUGE_BYTES);
	ASSERT_OK(recorder_read(left, &huge, 0));
	pro_message_block_init_filled(&out, "few bytes", 9);
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM]);
	ASSERT_OK(left->last[EVENT_READ_STREAM].error);
	ck_assert_uint_eq(left->last[EVENT_READ_STREAM].bytes, 9);

	/* A file that is shorter. */
	pro_message_block_init_filled(&out, "few bytes", 9);
	ASSERT_OK(STARTED(left, WRITE_FILE, pro_asynch_write_file_write(&left->file_writer, &out, 0)));
	RUN_UNTIL(world, left->count[EVENT_WRITE_FILE]);
	pro_message_block_reset(&huge);
	ASSERT_OK(STARTED(left, READ_FILE, pro_asynch_read_file_read(&left->file_reader, &huge, 0, 0)));
	RUN_UNTIL(world, left->count[EVENT_READ_FILE]);
	ASSERT_OK(left->last[EVENT_READ_FILE].error);
	ck_assert_uint_eq(left->last[EVENT_READ_FILE].bytes, 9);

	/* A write that is cancelled after a while. */
	pro_message_block_init_filled(&huge, memory, HUGE_BYTES);
	ASSERT_OK(recorder_write(left, &huge));
	pro_message_block_init(&small, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(right, &small, 0));
	RUN_UNTIL(world, right->count[EVENT_READ_STREAM]);
	world_run_for(world, 20);
	ck_assert_uint_gt(pro_asynch_write_stream_queued(&left->writer), HUGE_BYTES / 2);
	ASSERT_OK(recorder_cancel(&left->writer.operation));
	RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM]);
	ASSERT_ERROR(left->last[EVENT_WRITE_STREAM].error, PRO_ECANCELED);
	ck_assert_uint_gt(left->last[EVENT_WRITE_STREAM].bytes, 0);
	ck_assert_uint_eq(left->last[EVENT_WRITE_STREAM].bytes_requested, HUGE_BYTES);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
	world_close_recorders(world);
	os_unmap(memory, HUGE_BYTES);
}

/* ---- 36 ---- */

struct side {
	struct pro_proactor *proactor;
	struct recorder *recorder;
	struct side *other;
	unsigned bounces;
	int result;
};

#define BOUNCES 20000

static void bounce(struct recorder *recorder, const struct event *event)
{
	struct side *side = recorder->context;

	if (event->kind != EVENT_POST || event->error)
		return;
	if (side->bounces++ < world_number(BOUNCES, BOUNCES)) {
		ASSERT_OK(recorder_post(side->other->recorder, event->block, NULL));
		return;
	}
	pro_proactor_shutdown(side->other->proactor);
	pro_proactor_shutdown(side->proactor);
}

static void run_side(void *context, unsigned number)
{
	struct side *side = (struct side *)context + number;

	world_enter_loop();
	side->result = pro_proactor_run_event_loop(side->proactor);
	world_leave_loop();
}

/* Each on a thread of its own; a block goes to and fro between them. */
void scenario_two_proactors_are_independent(struct world *world)
{
	struct pro_message_block ball;
	struct side sides[2] = {{.other = &sides[1]}, {.other = &sides[0]}};
	struct crew crew;

	world->is_traced = false;
	for (unsigned i = 0; i < 2; i++) {
		world->proactor = NULL;
		world_open(world);
		sides[i].proactor = world->proactor;
		sides[i].recorder = recorder_create_on(world, sides[i].proactor, "side");
		sides[i].recorder->context = &sides[i];
		sides[i].recorder->on_event = bounce;
		sides[i].recorder->keeps_blocks = true;
		recorder_open_free(sides[i].recorder);
		ASSERT_OK(recorder_timer(sides[i].recorder, 60000));
	}
	world->proactor = NULL;
	pro_message_block_init_filled(&ball, "ball", 4);
	crew_start(&crew, 2, run_side, sides);
	ASSERT_OK(recorder_post(sides[0].recorder, &ball, NULL));
	crew_join(&crew);
	for (unsigned i = 0; i < 2; i++) {
		ASSERT_OK(sides[i].result);
		ck_assert(sides[i].recorder->is_closed);
		ASSERT_OK(pro_proactor_destroy(sides[i].proactor));
	}
}

/* One is destroyed in the middle of the work of the other. */
void scenario_destroying_one_proactor_leaves_the_other_alone(struct world *world)
{
	struct pro_proactor *first;
	struct recorder *left, *right, *doomed;
	struct pro_message_block in, out;
	char bytes[4];

	world->is_traced = false;
	world_open(world);
	first = world->proactor;
	doomed = recorder_create(world, "doomed");
	recorder_open_free(doomed);
	ASSERT_OK(recorder_timer(doomed, 60000));
	world_run_ready(world);
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	pro_message_block_init_filled(&out, "x", 1);
	ASSERT_OK(recorder_read(left, &in, 0));
	world_run_ready(world);
	world_enter_loop();
	ASSERT_OK(pro_proactor_destroy(first));
	world_leave_loop();
	ck_assert_uint_eq(doomed->cancels[EVENT_TIME_OUT], 1);
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM]);
	ASSERT_OK(left->last[EVENT_READ_STREAM].error);
}

/* ---- 30 and 35 ---- */

void scenario_report_names_the_port_and_its_limits(struct world *world)
{
	struct pro_proactor_report report = {.size = sizeof(report)};

	world->options.entries = 64;
	world->options.lent_blocks = 16;
	world->options.lent_block_size = 4096;
	world_open(world);
	ASSERT_OK(pro_proactor_report(world->proactor, &report));
	ck_assert_str_eq(report.port, world_port(world));
	ck_assert_uint_gt(strlen(report.reason), 0);
	ck_assert_uint_ge(report.buffers_max, 8);
	ck_assert_uint_eq(report.lent_blocks, 16);
	ck_assert_uint_eq(report.lent_block_size, 4096);
	report.size = 0;
	ASSERT_ERROR(pro_proactor_report(world->proactor, &report), PRO_EINVAL);
}

static bool is_known(const int *known, unsigned count, int descriptor)
{
	for (unsigned i = 0; i < count; i++)
		if (known[i] == descriptor)
			return true;
	return false;
}

void scenario_every_descriptor_closes_on_exec(struct world *world)
{
	static int known[OS_DESCRIPTORS_MAX], now[OS_DESCRIPTORS_MAX];
	unsigned known_count = os_descriptors(known, OS_DESCRIPTORS_MAX);
	struct recorder *left, *right, *listener, *dgram, *client, *server;
	struct pro_file_root *root;
	struct pro_message_block out;
	unsigned count, checked = 0;
	pro_handle file, other;

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	listener = recorder_create(world, "listener");
	dgram = recorder_create(world, "dgram");
	client = recorder_create(world, "client");
	server = recorder_create(world, "server");
	recorder_pair(left, right);
	recorder_listen(listener, ANY_INET);
	recorder_own_dgram(dgram, ANY_INET);
	recorder_tcp_pair(client, server, ANY_INET);
	file = world_file(world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	recorder_open_file(left, file);
	pro_message_block_init_filled(&out, "x", 1);
	ASSERT_OK(STARTED(left, WRITE_FILE, pro_asynch_write_file_write(&left->file_writer, &out, 0)));
	RUN_UNTIL(world, left->count[EVENT_WRITE_FILE]);
	ASSERT_OK(pro_file_root_open(world->proactor, world_path(world, "."), &root));
	ASSERT_OK(pro_file_root_open_file(root, "file", PRO_FILE_READ, &other, NULL));
	pro_proactor_get_handle(world->proactor);

	count = os_descriptors(now, OS_DESCRIPTORS_MAX);
	for (unsigned i = 0; i < count; i++) {
		if (is_known(known, known_count, now[i]))
			continue;
		if (!os_is_close_on_exec(now[i]))
			os_print_descriptors();
		ck_assert_msg(os_is_close_on_exec(now[i]), "descriptor %d", now[i]);
		checked++;
	}
	ck_assert_uint_ge(checked, 9);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
	ASSERT_OK(pro_proactor_close_handle(world->proactor, other));
	pro_file_root_close(root);
}

/* Hundreds of connections come and go; what is left is what was there. world_fini counts again. */
void scenario_counts_return_to_where_they_were(struct world *world)
{
	const unsigned rounds = world_number(100, 100);
	struct echo_server server;
	unsigned handles;
	uint64_t handlers;

	world->is_traced = false;
	world_open(world);
	ASSERT_OK(echo_server_open(&server, world->proactor, ANY_INET));
	world_run_ready(world);
	handles = world_handle_count(world);
	handlers = world_statistics(world).handlers;
	for (unsigned i = 0; i < rounds; i++) {
		struct echo_client clients[3];

		for (unsigned j = 0; j < 3; j++) {
			echo_client_init(&clients[j], world, "client", 500, 100);
			echo_client_connect(&clients[j], pro_asynch_acceptor_addr(&server.acceptor));
		}
		for (unsigned j = 0; j < 3; j++)
			RUN_UNTIL(world, clients[j].is_done);
		for (unsigned j = 0; j < 3; j++)
			recorder_close(clients[j].recorder);
		for (unsigned j = 0; j < 3; j++)
			RUN_UNTIL(world, clients[j].recorder->is_closed);
	}
	RUN_UNTIL(world, server.closed == 3 * rounds);
	world_run_ready(world);
	ck_assert_uint_eq(world_handle_count(world), handles);
	ck_assert_uint_eq(world_statistics(world).handlers, handlers);
	echo_server_close(world, &server);
}
