/* Debug mode tells of each misuse it promises to find, and of nothing else; dumps list what is in
 * flight. On the port of PROACTOR_PORT, which may be "sim" here. */
#include <check.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <proactor/asynch_read_dgram.h>
#include <proactor/asynch_read_file.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_timer.h>
#include <proactor/asynch_transmit_file.h>
#include <proactor/asynch_write_dgram.h>
#include <proactor/asynch_write_file.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/file.h>
#include <proactor/sim.h>
#include <proactor/socket.h>

#include "support/os.h"
#include "support/suite.h"

#define LINES_MAX  32
#define LINE_BYTES 512
#define LIMIT_MS   15000

struct user {
	struct pro_handler handler; /* first */
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_transmit_file sender;
	struct pro_asynch_timer timer;
	struct pro_asynch_read_file file_reader;
	struct pro_asynch_write_file file_writer;
	struct pro_asynch_read_dgram dgram_reader;
	struct pro_asynch_write_dgram dgram_writer;
	unsigned callbacks;
	int error;
	bool is_closed;
};

static struct pro_sim *sim;
static struct pro_proactor *proactor;
static struct user users[2];
static unsigned char bytes[256];
static struct pro_message_block block;

/* What the log hook was told, and the dump. */
static char lines[LINES_MAX][LINE_BYTES];
static enum pro_log_level levels[LINES_MAX];
static unsigned lines_count;
static unsigned dumps_ended;

/* What the log hook gives back, so that a misuse ends with its report. */
static void *restored;
static char restored_bytes[sizeof(struct user)];
static size_t restored_length;

static void keep_line(enum pro_log_level level, const char *text)
{
	if (lines_count == LINES_MAX)
		return;
	levels[lines_count] = level;
	snprintf(lines[lines_count++], LINE_BYTES, "%s", text);
}

static void log_hook(void *context, enum pro_log_level level, const char *text)
{
	(void)context;
	keep_line(level, text);
	if (restored)
		memcpy(restored, restored_bytes, restored_length);
	restored = NULL;
}

static void restore_at_report(void *memory, size_t length)
{
	restored = memory;
	restored_length = length;
	memcpy(restored_bytes, memory, length);
}

static void dump_hook(void *context, const char *line)
{
	ck_assert_ptr_eq(context, &lines);
	if (line)
		keep_line(PRO_LOG_INFO, line);
	else
		dumps_ended++;
}

/* A line with all of the words. */
static bool was_told(const char *first, const char *second)
{
	for (unsigned i = 0; i < lines_count; i++) {
		if (strstr(lines[i], first) && strstr(lines[i], second))
			return true;
	}
	return false;
}

static void assert_told(const char *first, const char *second)
{
	ck_assert_msg(was_told(first, second),
			"no line with \"%s\" and \"%s\"; %u lines, the first: %s", first, second, lines_count,
			lines[0]);
}

/* ---- users ---- */

static void (*on_time_out)(void);
static bool with_log = true;

static struct user *user_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct user, handler);
}

static void user_called(struct pro_handler *handler, int error)
{
	struct user *user = user_from_handler(handler);

	user->callbacks++;
	user->error = error;
}

static void user_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	user_called(handler, result->error);
	/* Allowed here. */
	pro_operation_set_act(result->operation, handler);
}

static void user_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	user_called(handler, result->error);
}

static void user_handle_transmit_file(
		struct pro_handler *handler, const struct pro_asynch_transmit_file_result *result)
{
	user_called(handler, result->error);
}

static void user_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	user_called(handler, result->error);
	if (on_time_out)
		on_time_out();
}

static void user_handle_read_file(
		struct pro_handler *handler, const struct pro_asynch_read_file_result *result)
{
	user_called(handler, result->error);
}

static void user_handle_write_file(
		struct pro_handler *handler, const struct pro_asynch_write_file_result *result)
{
	user_called(handler, result->error);
}

static void user_handle_read_dgram(
		struct pro_handler *handler, const struct pro_asynch_read_dgram_result *result)
{
	user_called(handler, result->error);
}

static void user_handle_write_dgram(
		struct pro_handler *handler, const struct pro_asynch_write_dgram_result *result)
{
	user_called(handler, result->error);
}

static void user_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	user_called(handler, 0);
	pro_message_block_release(result->block);
}

static void user_handle_close(struct pro_handler *handler)
{
	user_from_handler(handler)->is_closed = true;
}

static const struct pro_handler_vtbl user_vtbl = {
		.handle_read_stream = user_handle_read_stream,
		.handle_write_stream = user_handle_write_stream,
		.handle_transmit_file = user_handle_transmit_file,
		.handle_time_out = user_handle_time_out,
		.handle_read_file = user_handle_read_file,
		.handle_write_file = user_handle_write_file,
		.handle_read_dgram = user_handle_read_dgram,
		.handle_write_dgram = user_handle_write_dgram,
		.handle_post = user_handle_post,
		.handle_close = user_handle_close,
};

static void user_init(struct user *user, pro_handle handle)
{
	memset(user, 0, sizeof(*user));
	ck_assert_int_eq(pro_handler_init(&user->handler, &user_vtbl, proactor), 0);
	pro_handler_set_handle(&user->handler, handle);
	ck_assert_int_eq(
			pro_asynch_read_stream_open(&user->reader, &user->handler, PRO_INVALID_HANDLE, NULL),
			0);
	ck_assert_int_eq(
			pro_asynch_write_stream_open(&user->writer, &user->handler, PRO_INVALID_HANDLE, NULL),
			0);
	ck_assert_int_eq(
			pro_asynch_transmit_file_open(&user->sender, &user->handler, PRO_INVALID_HANDLE, NULL),
			0);
	ck_assert_int_eq(pro_asynch_timer_open(&user->timer, &user->handler, NULL), 0);
}

/* ---- a world ---- */

static void open_proactor_with(enum pro_debug debug, const struct pro_allocator *allocator)
{
	const char *port = getenv("PROACTOR_PORT");
	struct pro_proactor_options options;
	struct pro_sim_options sim_options;
	pro_handle handles[2];

	/* Where there is no fork, an earlier test has left something. */
	lines_count = dumps_ended = 0;
	on_time_out = NULL;
	pro_proactor_options_init(&options);
	options.debug = debug;
	options.log = with_log ? log_hook : NULL;
	options.allocator = allocator;
	if (port && !strcmp(port, "sim")) {
		/* Its own checks would come first. */
		pro_sim_options_init(&sim_options);
		sim_options.checks = 0;
		sim_options.faults = 0;
		ck_assert_int_eq(pro_sim_create(&sim, &sim_options), 0);
		options.sim = sim;
	}
	ck_assert_int_eq(pro_proactor_create(&proactor, &options, NULL, 0), 0);
	ck_assert_int_eq(pro_socket_pair(proactor, handles), 0);
	user_init(&users[0], handles[0]);
	user_init(&users[1], handles[1]);
	pro_message_block_init(&block, bytes, sizeof(bytes));
}

static void open_proactor(enum pro_debug debug)
{
	open_proactor_with(debug, NULL);
}

static void close_proactor(void)
{
	for (unsigned i = 0; i < 2; i++)
		pro_handler_close(&users[i].handler);
	ck_assert_int_eq(pro_proactor_destroy(proactor), 0);
	ck_assert(users[0].is_closed && users[1].is_closed);
	pro_sim_destroy(sim);
	sim = NULL;
}

static void run_until_callbacks(const struct user *user, unsigned callbacks)
{
	uint64_t end_ms = os_now_ms() + LIMIT_MS;

	while (user->callbacks < callbacks) {
		ck_assert_int_ge(pro_proactor_handle_events(proactor, 100), 0);
		ck_assert_msg(os_now_ms() < end_ms, "the callback did not come");
	}
}

static void turn(void)
{
	ck_assert_int_ge(pro_proactor_handle_events(proactor, 0), 0);
}

/* ---- what is found ---- */

START_TEST(operation_restarted_in_flight_is_told)
{
	open_proactor(PRO_DEBUG_REPORT);
	ck_assert_int_eq(pro_asynch_timer_schedule(&users[0].timer, 100000), 0);
	turn();
	ck_assert_int_eq(pro_asynch_timer_schedule(&users[0].timer, 100000), PRO_EBUSY);
	assert_told("debug: operation was started while in flight", "timer");
	assert_told("by test_debug", "started by test_debug");
	assert_told("+0x", "timer");
	close_proactor();
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

START_TEST(block_written_while_it_is_queued_is_told)
{
	open_proactor(PRO_DEBUG_REPORT);
	block.wr = 100;
	ck_assert_int_eq(pro_asynch_write_stream_write(&users[0].writer, &block), 0);
	ck_assert_int_eq(pro_asynch_write_stream_write(&users[1].writer, &block), PRO_EBUSY);
	assert_told("debug: block", "was written while it was queued, by test_debug");
	assert_told("queued by test_debug", "write_stream");
	run_until_callbacks(&users[0], 1);
	close_proactor();
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

static void ignore_close(struct pro_handler *handler)
{
	(void)handler;
}

START_TEST(callback_that_is_missing_is_told)
{
	static const struct pro_handler_vtbl bare_vtbl = {.handle_close = ignore_close};
	struct pro_asynch_timer timer;
	struct pro_handler bare;

	open_proactor(PRO_DEBUG_REPORT);
	ck_assert_int_eq(pro_handler_init(&bare, &bare_vtbl, proactor), 0);
	ck_assert_int_eq(pro_asynch_timer_open(&timer, &bare, NULL), PRO_EINVAL);
	assert_told("debug: timer: ", "no callback for it");
	close_proactor();
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

START_TEST(operation_opened_again_in_flight_is_told)
{
	struct pro_asynch_timer saved;

	open_proactor(PRO_DEBUG_REPORT);
	ck_assert_int_eq(pro_asynch_timer_schedule(&users[0].timer, 100000), 0);
	turn();
	memcpy(&saved, &users[0].timer, sizeof(saved));
	ck_assert_int_eq(pro_asynch_timer_open(&users[0].timer, &users[0].handler, NULL), 0);
	memcpy(&users[0].timer, &saved, sizeof(saved));
	assert_told("debug: operation was opened again while in flight", "timer");
	close_proactor();
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

/* On the loop, where it goes to the port at once. */
static void write_and_change(void)
{
	ck_assert_int_eq(pro_asynch_write_stream_write(&users[0].writer, &block), 0);
	bytes[99] ^= 1;
}

START_TEST(bytes_changed_while_written_are_told)
{
	open_proactor(PRO_DEBUG_REPORT);
	memset(bytes, 'a', sizeof(bytes));
	block.wr = 100;
	ck_assert_int_eq(pro_asynch_write_stream_write(&users[0].writer, &block), 0);
	run_until_callbacks(&users[0], 1);
	ck_assert_uint_eq(lines_count, 0);
	block.rd = 0;
	on_time_out = write_and_change;
	ck_assert_int_eq(pro_asynch_timer_schedule(&users[0].timer, 0), 0);
	run_until_callbacks(&users[0], 3);
	assert_told("debug: bytes changed while they were written out", "write_stream");
	close_proactor();
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

/* The second message waits behind one that fills the socket: it is not the port's yet, but no more
 * the caller's. */
START_TEST(queued_bytes_changed_are_told)
{
	const size_t size = 4 << 20;
	struct pro_message_block *big = pro_message_block_create(NULL, size);
	struct pro_message_block *sink = pro_message_block_create(NULL, 1 << 16);

	open_proactor(PRO_DEBUG_REPORT);
	ck_assert(big && sink);
	memset(big->base, 0, size);
	big->wr = size;
	block.wr = 100;
	pro_asynch_write_stream_set_limit(&users[0].writer, 2 * size);
	pro_proactor_handle_events(proactor, 0);
	ck_assert_int_eq(pro_asynch_write_stream_write(&users[0].writer, big), 0);
	ck_assert_int_eq(pro_asynch_write_stream_write(&users[0].writer, &block), 0);
	turn();
	bytes[7] ^= 1;
	while (users[0].callbacks < 2) {
		unsigned callbacks = users[1].callbacks;

		sink->wr = 0;
		ck_assert_int_eq(pro_asynch_read_stream_read(&users[1].reader, sink, 0), 0);
		run_until_callbacks(&users[1], callbacks + 1);
		turn();
	}
	assert_told("debug: bytes changed while they were written out", "write_stream");
	close_proactor();
	pro_message_block_release(big);
	pro_message_block_release(sink);
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

/* Reading into it stays in flight as long as the test wants. */
static void start_reading(void)
{
	memset(bytes, 'x', sizeof(bytes));
	ck_assert_int_eq(pro_asynch_read_stream_read(&users[0].reader, &block, 0), 0);
	turn();
	ck_assert_uint_eq(lines_count, 0);
}

static void end_reading(void)
{
	static const char text[] = "ten bytes!";
	struct pro_message_block message;

	pro_message_block_init_filled(&message, text, 10);
	ck_assert_int_eq(pro_asynch_write_stream_write(&users[1].writer, &message), 0);
	run_until_callbacks(&users[0], 1);
	run_until_callbacks(&users[1], 1);
	ck_assert_int_eq(users[0].error, 0);
	ck_assert_int_eq(memcmp(bytes, text, 10), 0);
}

START_TEST(space_that_is_read_into_holds_a_pattern)
{
	open_proactor(PRO_DEBUG_REPORT);
	start_reading();
	ck_assert_uint_ne(bytes[0], 'x');
	end_reading();
	ck_assert_uint_ne(bytes[10], 'x');
	close_proactor();
	ck_assert_uint_eq(lines_count, 0);
}
END_TEST

START_TEST(space_written_to_while_read_into_is_told)
{
	open_proactor(PRO_DEBUG_REPORT);
	start_reading();
	bytes[200] = 'y';
	end_reading();
	assert_told("debug: space was written to while it was read into", "read_stream");
	close_proactor();
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

START_TEST(block_moved_in_flight_is_told)
{
	open_proactor(PRO_DEBUG_REPORT);
	start_reading();
	restore_at_report(&block, sizeof(block));
	block.rd = block.wr = 1;
	turn();
	assert_told("got another rd while in flight", "read_stream");
	end_reading();
	close_proactor();
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

static void move_and_cancel(void)
{
	restore_at_report(&block, sizeof(block));
	block.rd = block.wr = 1;
	ck_assert_int_eq(pro_operation_cancel(&users[0].reader.operation), 0);
}

/* Too late for whoever looks at all flights from time to time. */
START_TEST(block_moved_at_the_end_of_its_flight_is_told)
{
	open_proactor(PRO_DEBUG_REPORT);
	start_reading();
	on_time_out = move_and_cancel;
	ck_assert_int_eq(pro_asynch_timer_schedule(&users[1].timer, 0), 0);
	run_until_callbacks(&users[0], 1);
	assert_told("got another rd while in flight", "read_stream");
	close_proactor();
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

START_TEST(block_made_anew_in_flight_is_told)
{
	open_proactor(PRO_DEBUG_REPORT);
	start_reading();
	restore_at_report(&block, sizeof(block));
	pro_message_block_init(&block, bytes, sizeof(bytes));
	turn();
	assert_told("was freed or made anew while in flight", "read_stream");
	end_reading();
	close_proactor();
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

START_TEST(block_released_in_flight_is_told_and_kept)
{
	struct pro_message_block *created;

	open_proactor(PRO_DEBUG_REPORT);
	created = pro_message_block_create(pro_proactor_allocator(proactor), 64);
	ck_assert_int_eq(pro_asynch_read_stream_read(&users[0].reader, created, 0), 0);
	turn();
	pro_message_block_release(created);
	turn();
	assert_told("was released while in flight", "read_stream");
	pro_operation_cancel(&users[0].reader.operation);
	run_until_callbacks(&users[0], 1);
	pro_message_block_release(created);
	close_proactor();
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

START_TEST(chain_changed_in_flight_is_told)
{
	struct pro_message_block rest;

	open_proactor(PRO_DEBUG_REPORT);
	pro_message_block_init(&rest, bytes + 128, 128);
	block.size = 128;
	block.cont = &rest;
	ck_assert_int_eq(pro_asynch_read_stream_readv(&users[0].reader, &block, 0), 0);
	turn();
	restore_at_report(&block, sizeof(block));
	block.cont = NULL;
	turn();
	assert_told("got another cont while in flight", "read_stream");
	end_reading();
	close_proactor();
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

START_TEST(handler_freed_in_flight_is_told)
{
	open_proactor(PRO_DEBUG_REPORT);
	start_reading();
	/* What free of a C library does first. */
	restore_at_report(&users[0], sizeof(users[0]));
	memset(&users[0], 0xEE, 2 * sizeof(void *));
	turn();
	assert_told("handler or operation was freed or overwritten while in flight", "read_stream");
	end_reading();
	close_proactor();
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

START_TEST(operation_overwritten_in_flight_is_told)
{
	open_proactor(PRO_DEBUG_REPORT);
	start_reading();
	restore_at_report(&users[0], sizeof(users[0]));
	memset(&users[0].reader, 0xEE, sizeof(users[0].reader));
	turn();
	assert_told("handler or operation was freed or overwritten while in flight", "read_stream");
	end_reading();
	close_proactor();
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

START_TEST(handler_made_anew_in_flight_is_told)
{
	struct user saved;

	open_proactor(PRO_DEBUG_REPORT);
	/* Other handlers may have something in flight. */
	ck_assert_int_eq(pro_asynch_read_stream_read(&users[1].reader, NULL, 0), 0);
	start_reading();
	memcpy(&saved, &users[0], sizeof(saved));
	ck_assert_int_eq(pro_handler_init(&users[0].handler, &user_vtbl, proactor), 0);
	memcpy(&users[0], &saved, sizeof(saved));
	assert_told("debug: handler was made anew, or freed, while in flight", "read_stream");
	end_reading();
	close_proactor();
	ck_assert_uint_eq(lines_count, 1);
}
END_TEST

static void *call_from_elsewhere(void *argument)
{
	struct pro_operation *operation = argument;

	pro_operation_set_timeout(operation, PRO_NO_TIMEOUT);
	pro_operation_set_stall_timeout(operation, PRO_NO_TIMEOUT);
	pro_operation_set_act(operation, NULL);
	pro_operation_set_completion_key(operation, NULL);
	return NULL;
}

START_TEST(calls_from_the_wrong_thread_are_told)
{
	pthread_t thread;

	open_proactor(PRO_DEBUG_REPORT);
	/* Nothing is in flight: the set-up may be anywhere. */
	ck_assert_int_eq(
			pthread_create(&thread, NULL, call_from_elsewhere, &users[0].reader.operation), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	start_reading();
	ck_assert_int_eq(
			pthread_create(&thread, NULL, call_from_elsewhere, &users[0].reader.operation), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	assert_told("debug: wrong thread: pro_operation_set_timeout(", "called by test_debug");
	assert_told("debug: wrong thread: pro_operation_set_stall_timeout(", "");
	assert_told("debug: wrong thread: pro_operation_set_act(", "");
	assert_told("debug: wrong thread: pro_operation_set_completion_key(", "");
	end_reading();
	close_proactor();
	ck_assert_uint_eq(lines_count, 4);
}
END_TEST

/* A new file of the world, which may be a simulated one, in `directory`. */
static pro_handle make_file(const char *directory)
{
	char path[128];
	pro_handle file;

	snprintf(path, sizeof(path), "%s/file", sim ? "" : directory);
	ck_assert_int_eq(
			pro_file_open(proactor, path, PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE, &file),
			0);
	return file;
}

START_TEST(files_are_watched_too)
{
	struct pro_message_block header, trailer;
	struct user *user = &users[0];
	char directory[64];
	pro_handle file;

	open_proactor(PRO_DEBUG_REPORT);
	os_make_directory(directory, sizeof(directory));
	file = make_file(directory);
	ck_assert_int_eq(pro_asynch_read_file_open(&user->file_reader, &user->handler, file, NULL), 0);
	ck_assert_int_eq(pro_asynch_write_file_open(&user->file_writer, &user->handler, file, NULL), 0);
	block.wr = 100;
	ck_assert_int_eq(pro_asynch_write_file_write(&user->file_writer, &block, 0), 0);
	run_until_callbacks(user, 1);
	pro_message_block_reset(&block);
	ck_assert_int_eq(pro_asynch_read_file_read(&user->file_reader, &block, 0, 0), 0);
	run_until_callbacks(user, 2);
	ck_assert_uint_eq(block.wr, 100);
	pro_message_block_init_filled(&header, "header", 6);
	pro_message_block_init_filled(&trailer, "trailer", 7);
	ck_assert_int_eq(
			pro_asynch_transmit_file_transmit_file(&user->sender, file, 0, 100, &header, &trailer),
			0);
	run_until_callbacks(user, 3);
	ck_assert_int_eq(user->error, 0);
	ck_assert_int_eq(pro_proactor_close_handle(proactor, file), 0);
	close_proactor();
	os_remove_directory(directory);
	ck_assert_uint_eq(lines_count, 0);
}
END_TEST

START_TEST(datagrams_are_watched_too)
{
	struct user *user = &users[0];
	struct pro_message_block in;
	struct pro_addr addr;
	pro_handle socket;
	char in_bytes[64];

	open_proactor(PRO_DEBUG_REPORT);
	ck_assert_int_eq(pro_addr_parse(&addr, "127.0.0.1:0"), 0);
	ck_assert_int_eq(pro_socket_dgram(proactor, PRO_FAMILY_INET, &addr, &socket), 0);
	ck_assert_int_eq(pro_socket_local_addr(proactor, socket, &addr), 0);
	ck_assert_int_eq(
			pro_asynch_read_dgram_open(&user->dgram_reader, &user->handler, socket, NULL), 0);
	ck_assert_int_eq(
			pro_asynch_write_dgram_open(&user->dgram_writer, &user->handler, socket, NULL), 0);
	pro_message_block_init(&in, in_bytes, sizeof(in_bytes));
	ck_assert_int_eq(pro_asynch_read_dgram_recv(&user->dgram_reader, &in), 0);
	block.wr = 10;
	ck_assert_int_eq(pro_asynch_write_dgram_send(&user->dgram_writer, &block, &addr), 0);
	run_until_callbacks(user, 2);
	ck_assert_uint_eq(in.wr, 10);
	ck_assert_int_eq(pro_proactor_close_handle(proactor, socket), 0);
	close_proactor();
	ck_assert_uint_eq(lines_count, 0);
}
END_TEST

static bool is_denying;

static void *deny_some(void *context, size_t size)
{
	(void)context;
	return is_denying ? NULL : malloc(size);
}

static void *deny_some_again(void *context, void *memory, size_t size)
{
	(void)context;
	return is_denying ? NULL : realloc(memory, size);
}

static void give_back(void *context, void *memory)
{
	(void)context;
	free(memory);
}

START_TEST(flight_without_a_record_is_counted)
{
	static const struct pro_allocator allocator = {
			.allocate = deny_some, .reallocate = deny_some_again, .deallocate = give_back};

	open_proactor_with(PRO_DEBUG_REPORT, &allocator);
	is_denying = true;
	ck_assert_int_eq(pro_asynch_timer_schedule(&users[0].timer, 0), 0);
	turn();
	is_denying = false;
	run_until_callbacks(&users[0], 1);
	ck_assert_int_eq(pro_proactor_dump(proactor, NULL, NULL), 0);
	turn();
	assert_told("1 flights were not watched", "");
	close_proactor();
}
END_TEST

static jmp_buf abort_point;

static void leave_abort(int number)
{
	(void)number;
	longjmp(abort_point, 1);
}

START_TEST(catch_ends_the_program_when_asked)
{
	void (*before)(int) = os_signal_set(SIGABRT, leave_abort);

	open_proactor(PRO_DEBUG_ABORT);
	pro_asynch_timer_schedule(&users[0].timer, 100000);
	turn();
	if (setjmp(abort_point) == 0) {
		pro_asynch_timer_schedule(&users[0].timer, 100000);
		ck_abort_msg("the program goes on");
	}
	os_signal_set(SIGABRT, before);
	assert_told("debug: operation was started while in flight", "timer");
	/* The library was left in its middle: there is nothing to close. */
}
END_TEST

/* ---- whether it looks ---- */

static bool looks_for_misuse(enum pro_debug debug, const char *environment)
{
	bool looks;

	os_set_environment("PROACTOR_DEBUG", environment);
	open_proactor(debug);
	pro_asynch_timer_schedule(&users[0].timer, 100000);
	turn();
	ck_assert_int_eq(pro_asynch_timer_schedule(&users[0].timer, 100000), PRO_EBUSY);
	looks = was_told("debug: ", "");
	close_proactor();
	return looks;
}

START_TEST(option_then_environment_then_build_decide)
{
	ck_assert(looks_for_misuse(PRO_DEBUG_REPORT, "0"));
	ck_assert(!looks_for_misuse(PRO_DEBUG_OFF, "1"));
	ck_assert(looks_for_misuse(PRO_DEBUG_DEFAULT, "1"));
	ck_assert(!looks_for_misuse(PRO_DEBUG_DEFAULT, "0"));
	/* Tests are built without. */
	ck_assert(!looks_for_misuse(PRO_DEBUG_DEFAULT, NULL));
	ck_assert(!looks_for_misuse(PRO_DEBUG_DEFAULT, ""));
}
END_TEST

START_TEST(environment_may_ask_for_the_end_of_the_program)
{
	void (*before)(int) = os_signal_set(SIGABRT, leave_abort);

	os_set_environment("PROACTOR_DEBUG", "abort");
	open_proactor(PRO_DEBUG_DEFAULT);
	pro_asynch_timer_schedule(&users[0].timer, 100000);
	turn();
	if (setjmp(abort_point) == 0) {
		pro_asynch_timer_schedule(&users[0].timer, 100000);
		ck_abort_msg("the program goes on");
	}
	os_signal_set(SIGABRT, before);
	os_set_environment("PROACTOR_DEBUG", NULL);
}
END_TEST

/* Then they go where nobody can miss them. */
START_TEST(catches_need_no_log)
{
	char path[64];
	char line[LINE_BYTES] = "";
	FILE *file;

	os_make_directory(path, sizeof(path) - 8);
	with_log = false;
	open_proactor(PRO_DEBUG_REPORT);
	with_log = true;
	ck_assert_int_eq(pro_asynch_timer_schedule(&users[0].timer, 100000), 0);
	turn();
	snprintf(line, sizeof(line), "%s/err", path);
	fflush(stderr);
	file = freopen(line, "w+", stderr);
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(pro_asynch_timer_schedule(&users[0].timer, 100000), PRO_EBUSY);
	rewind(file);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
	ck_assert_ptr_nonnull(strstr(line, "debug: operation was started while in flight"));
	ck_assert_ptr_nonnull(strchr(line, '\n'));
	close_proactor();
	os_remove_directory(path);
}
END_TEST

START_TEST(option_that_is_none_is_refused)
{
	struct pro_proactor_options options;
	char why[160];

	pro_proactor_options_init(&options);
	options.debug = (enum pro_debug)(PRO_DEBUG_ABORT + 1);
	ck_assert_int_eq(pro_proactor_create(&proactor, &options, why, sizeof(why)), PRO_EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "options.debug"));
}
END_TEST

/* ---- dumps ---- */

static void start_one_of_each(void)
{
	ck_assert_int_eq(pro_asynch_timer_schedule(&users[0].timer, 100000), 0);
	ck_assert_int_eq(pro_asynch_read_stream_read(&users[0].reader, &block, 0), 0);
	turn();
}

START_TEST(dump_lists_what_is_in_flight)
{
	open_proactor((enum pro_debug)_i);
	start_one_of_each();
	ck_assert_int_eq(pro_proactor_dump(proactor, dump_hook, &lines), 0);
	ck_assert_int_eq(pro_proactor_dump(proactor, dump_hook, &lines), PRO_EBUSY);
	ck_assert_uint_eq(lines_count, 0);
	turn();
	ck_assert_uint_eq(dumps_ended, 1);
	assert_told("2 handlers, 2 operations in flight, 1 timers", "0 requests in the inbox");
	assert_told("handler ", "open, 2 callbacks to come");
	assert_told("  timer ", "started by test_debug");
	assert_told("  read_stream ", "with the port");
	ck_assert(was_told("  timer ", "ms old") == (_i == PRO_DEBUG_REPORT));
	ck_assert_uint_eq(lines_count, 5);
	close_proactor();
}
END_TEST

START_TEST(dump_lists_queued_messages_in_debug_mode)
{
	const size_t size = 4 << 20;
	struct pro_message_block *big = pro_message_block_create(NULL, size);

	open_proactor(PRO_DEBUG_REPORT);
	ck_assert_ptr_nonnull(big);
	memset(big->base, 0, size);
	big->wr = size;
	block.wr = 100;
	pro_asynch_write_stream_set_limit(&users[0].writer, 2 * size);
	ck_assert_int_eq(pro_asynch_write_stream_write(&users[0].writer, big), 0);
	ck_assert_int_eq(pro_asynch_write_stream_write(&users[0].writer, &block), 0);
	turn();
	ck_assert_int_eq(pro_proactor_dump(proactor, dump_hook, &lines), 0);
	turn();
	assert_told("  write_stream ", "with the port");
	assert_told("    message ", ": 4194304 bytes, ");
	assert_told("    message ", ": 100 bytes, ");
	close_proactor();
	pro_message_block_release(big);
}
END_TEST

START_TEST(dump_goes_to_the_log_by_default)
{
	open_proactor(PRO_DEBUG_OFF);
	start_one_of_each();
	ck_assert_int_eq(pro_proactor_dump(proactor, NULL, NULL), 0);
	turn();
	assert_told("  read_stream ", "");
	ck_assert_uint_eq(levels[0], PRO_LOG_INFO);
	close_proactor();
}
END_TEST

START_TEST(dump_shows_what_waits)
{
	open_proactor(PRO_DEBUG_OFF);
	ck_assert_int_eq(pro_asynch_timer_schedule(&users[0].timer, 0), 0);
	pro_handler_close(&users[1].handler);
	ck_assert_int_eq(pro_proactor_dump(proactor, dump_hook, &lines), 0);
	turn();
	assert_told("handler ", "closing");
	close_proactor();
}
END_TEST

START_TEST(dump_counts_posts_and_tells_of_cancels)
{
	struct pro_message_block post;

	pro_message_block_init_filled(&post, "post", 4);
	open_proactor(PRO_DEBUG_OFF);
	start_one_of_each();
	ck_assert_int_eq(pro_handler_post(&users[1].handler, &post, NULL), 0);
	ck_assert_int_eq(pro_operation_cancel(&users[0].reader.operation), 0);
	ck_assert_int_eq(pro_proactor_dump(proactor, dump_hook, &lines), 0);
	turn();
	ck_assert_uint_eq(dumps_ended, 1);
	assert_told("handler ", "1 posts");
	/* There a cancel takes its time. */
	if (getenv("PROACTOR_PORT") && !strcmp(getenv("PROACTOR_PORT"), "io_uring"))
		assert_told("read_stream", "being cancelled");
	run_until_callbacks(&users[0], 1);
	close_proactor();
}
END_TEST

static void *dump_from_elsewhere(void *argument)
{
	ck_assert_int_eq(pro_proactor_dump(argument, dump_hook, &lines), 0);
	return NULL;
}

START_TEST(dump_from_another_thread_wakes_the_loop)
{
	uint64_t end_ms = os_now_ms() + LIMIT_MS;
	pthread_t thread;

	/* A simulated world belongs to one thread. */
	if (getenv("PROACTOR_PORT") && !strcmp(getenv("PROACTOR_PORT"), "sim"))
		return;
	open_proactor(PRO_DEBUG_OFF);
	ck_assert_int_eq(pthread_create(&thread, NULL, dump_from_elsewhere, proactor), 0);
	while (dumps_ended == 0) {
		ck_assert_int_ge(pro_proactor_handle_events(proactor, 1000), 0);
		ck_assert(os_now_ms() < end_ms);
	}
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	assert_told("2 handlers", "");
	close_proactor();
}
END_TEST

static void dump_at_signal(int number)
{
	(void)number;
	pro_proactor_dump(proactor, dump_hook, &lines);
}

START_TEST(dump_may_be_asked_for_by_a_signal_handler)
{
	void (*before)(int) = os_signal_set(SIGTERM, dump_at_signal);

	open_proactor(PRO_DEBUG_OFF);
	ck_assert_int_eq(raise(SIGTERM), 0);
	os_signal_set(SIGTERM, before);
	turn();
	ck_assert_uint_eq(dumps_ended, 1);
	close_proactor();
}
END_TEST

START_TEST(dump_that_was_asked_for_comes_at_the_end)
{
	open_proactor(PRO_DEBUG_OFF);
	ck_assert_int_eq(pro_proactor_dump(NULL, dump_hook, &lines), PRO_EINVAL);
	ck_assert_int_eq(pro_proactor_dump(proactor, dump_hook, &lines), 0);
	close_proactor();
	ck_assert_uint_eq(dumps_ended, 1);
}
END_TEST

static TCase *catches(void)
{
	TCase *tests = tcase_create("catches");

	tcase_add_test(tests, operation_restarted_in_flight_is_told);
	tcase_add_test(tests, block_written_while_it_is_queued_is_told);
	tcase_add_test(tests, callback_that_is_missing_is_told);
	tcase_add_test(tests, operation_opened_again_in_flight_is_told);
	tcase_add_test(tests, bytes_changed_while_written_are_told);
	tcase_add_test(tests, queued_bytes_changed_are_told);
	tcase_add_test(tests, space_that_is_read_into_holds_a_pattern);
	tcase_add_test(tests, space_written_to_while_read_into_is_told);
	tcase_add_test(tests, block_moved_in_flight_is_told);
	tcase_add_test(tests, block_moved_at_the_end_of_its_flight_is_told);
	tcase_add_test(tests, block_made_anew_in_flight_is_told);
	tcase_add_test(tests, block_released_in_flight_is_told_and_kept);
	tcase_add_test(tests, chain_changed_in_flight_is_told);
	tcase_add_test(tests, handler_freed_in_flight_is_told);
	tcase_add_test(tests, operation_overwritten_in_flight_is_told);
	tcase_add_test(tests, handler_made_anew_in_flight_is_told);
	tcase_add_test(tests, calls_from_the_wrong_thread_are_told);
	tcase_add_test(tests, files_are_watched_too);
	tcase_add_test(tests, datagrams_are_watched_too);
	tcase_add_test(tests, flight_without_a_record_is_counted);
	tcase_add_test(tests, catch_ends_the_program_when_asked);
	tcase_add_test(tests, option_then_environment_then_build_decide);
	tcase_add_test(tests, environment_may_ask_for_the_end_of_the_program);
	tcase_add_test(tests, catches_need_no_log);
	tcase_add_test(tests, option_that_is_none_is_refused);
	tcase_set_timeout(tests, 300);
	return tests;
}

static TCase *dumps(void)
{
	TCase *tests = tcase_create("dumps");

	tcase_add_loop_test(tests, dump_lists_what_is_in_flight, PRO_DEBUG_OFF, PRO_DEBUG_ABORT);
	tcase_add_test(tests, dump_lists_queued_messages_in_debug_mode);
	tcase_add_test(tests, dump_goes_to_the_log_by_default);
	tcase_add_test(tests, dump_shows_what_waits);
	tcase_add_test(tests, dump_counts_posts_and_tells_of_cancels);
	tcase_add_test(tests, dump_from_another_thread_wakes_the_loop);
	tcase_add_test(tests, dump_may_be_asked_for_by_a_signal_handler);
	tcase_add_test(tests, dump_that_was_asked_for_comes_at_the_end);
	tcase_set_timeout(tests, 300);
	return tests;
}

int main(void)
{
	Suite *suite = suite_create("debug");

	suite_add_tcase(suite, catches());
	suite_add_tcase(suite, dumps());
	return suite_run(suite);
}
