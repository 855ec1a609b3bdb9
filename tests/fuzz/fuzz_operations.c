/* Sequences of operations in a simulated world that the same bytes decide: whatever a program does,
 * each accepted start has one callback, and none comes after handle_close. */
#include "fuzz.h"

#include <proactor/asynch_read_file.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_timer.h>
#include <proactor/asynch_transmit_file.h>
#include <proactor/asynch_work.h>
#include <proactor/asynch_write_file.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/file.h>
#include <proactor/sim.h>
#include <proactor/socket.h>

#include <string.h>

#define USERS  2 /* the ends of one socket pair */
#define WRITES 4
#define BYTES  600

struct user {
	struct pro_handler handler; /* first */
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_read_file file_reader;
	struct pro_asynch_write_file file_writer;
	struct pro_asynch_transmit_file sender;
	struct pro_asynch_timer timer;
	struct pro_asynch_work work;
	struct pro_message_block in;
	struct pro_message_block out[WRITES];
	struct pro_message_block file_in;
	struct pro_message_block file_out;
	struct pro_message_block post;
	unsigned char bytes[BYTES];
	unsigned char file_bytes[BYTES];
	bool is_out[WRITES]; /* in the writer's queue */
	bool is_posted;
	bool is_timer_running; /* until its final callback */
	bool is_closed;
	unsigned started;
	unsigned completed;
};

static struct user users[USERS];
static pro_handle file;
static struct input *choices; /* what callbacks do next */

static struct user *user_from_handler(struct pro_handler *handler)
{
	struct user *user = pro_container_of(handler, struct user, handler);

	CHECK(!user->is_closed);
	return user;
}

static void act(struct user *user);

/* A callback now and then does something itself. */
static void user_called(struct user *user)
{
	user->completed++;
	CHECK(user->completed <= user->started);
	if (input_byte(choices) % 3 == 0)
		act(user);
}

static void user_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct user *user = user_from_handler(handler);

	if (result->block != &user->in)
		pro_message_block_release(result->block);
	user_called(user);
}

static void user_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct user *user = user_from_handler(handler);
	size_t index = (size_t)(result->block - user->out);

	CHECK(index < WRITES && user->is_out[index]);
	CHECK(result->error ? result->bytes_transferred <= result->bytes_requested
						: result->bytes_transferred == result->bytes_requested);
	user->is_out[index] = false;
	user_called(user);
}

static void user_handle_read_file(
		struct pro_handler *handler, const struct pro_asynch_read_file_result *result)
{
	CHECK(result->bytes_transferred <= result->bytes_requested);
	user_called(user_from_handler(handler));
}

static void user_handle_write_file(
		struct pro_handler *handler, const struct pro_asynch_write_file_result *result)
{
	CHECK(result->bytes_transferred <= result->bytes_requested);
	user_called(user_from_handler(handler));
}

static void user_handle_transmit_file(
		struct pro_handler *handler, const struct pro_asynch_transmit_file_result *result)
{
	(void)result;
	user_called(user_from_handler(handler));
}

static void user_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct user *user = user_from_handler(handler);

	CHECK(user->is_timer_running);
	if (!result->is_final)
		return;
	user->is_timer_running = false;
	user_called(user);
}

static void user_handle_work(
		struct pro_handler *handler, const struct pro_asynch_work_result *result)
{
	CHECK(result->error || result->returned == 7);
	user_called(user_from_handler(handler));
}

static void user_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	struct user *user = user_from_handler(handler);

	CHECK(result->block == &user->post && user->is_posted);
	user->is_posted = false;
	user_called(user);
}

static void user_handle_close(struct pro_handler *handler)
{
	struct user *user = user_from_handler(handler);

	user->is_closed = true;
	CHECK(user->completed == user->started);
}

static const struct pro_handler_vtbl user_vtbl = {
		.handle_read_stream = user_handle_read_stream,
		.handle_write_stream = user_handle_write_stream,
		.handle_read_file = user_handle_read_file,
		.handle_write_file = user_handle_write_file,
		.handle_transmit_file = user_handle_transmit_file,
		.handle_time_out = user_handle_time_out,
		.handle_work = user_handle_work,
		.handle_post = user_handle_post,
		.handle_close = user_handle_close,
};

static void user_init(struct user *user, struct pro_proactor *proactor, pro_handle handle)
{
	struct pro_handler *handler = &user->handler;

	memset(user, 0, sizeof(*user));
	CHECK(pro_handler_init(handler, &user_vtbl, proactor) == 0);
	pro_handler_set_handle(handler, handle);
	CHECK(!pro_asynch_read_stream_open(&user->reader, handler, PRO_INVALID_HANDLE, NULL));
	CHECK(!pro_asynch_write_stream_open(&user->writer, handler, PRO_INVALID_HANDLE, NULL));
	CHECK(!pro_asynch_read_file_open(&user->file_reader, handler, file, NULL));
	CHECK(!pro_asynch_write_file_open(&user->file_writer, handler, file, NULL));
	CHECK(!pro_asynch_transmit_file_open(&user->sender, handler, PRO_INVALID_HANDLE, NULL));
	CHECK(!pro_asynch_timer_open(&user->timer, handler, NULL));
	CHECK(!pro_asynch_work_open(&user->work, handler, NULL));
}

static int seven(void *argument)
{
	(void)argument;
	return 7;
}

/* ---- what a program may do ---- */

static void count_start(struct user *user, int error)
{
	if (!error)
		user->started++;
}

static void act_read(struct user *user)
{
	size_t bytes = input_below(choices, BYTES);

	if (pro_operation_in_flight(&user->reader.operation)) {
		CHECK(pro_asynch_read_stream_read(&user->reader, &user->in, 0) != 0);
		return;
	}
	pro_message_block_init(&user->in, user->bytes, BYTES);
	if (bytes % 3 == 0)
		count_start(user, pro_asynch_read_stream_read(&user->reader, NULL, bytes));
	else if (bytes % 3 == 1)
		count_start(user, pro_asynch_read_stream_read(&user->reader, &user->in, bytes));
	else
		count_start(user, pro_asynch_read_stream_read_exactly(&user->reader, &user->in, bytes));
}

static void act_write(struct user *user)
{
	static const unsigned char bytes[BYTES];
	size_t index = input_below(choices, WRITES);
	int error;

	if (user->is_out[index])
		return;
	pro_message_block_init_filled(&user->out[index], bytes, input_below(choices, BYTES));
	error = pro_asynch_write_stream_write(&user->writer, &user->out[index]);
	user->is_out[index] = !error;
	count_start(user, error);
}

static void act_on_file(struct user *user)
{
	uint64_t offset = input_below(choices, 2000);

	if (offset % 2 == 0 && !pro_operation_in_flight(&user->file_reader.operation)) {
		pro_message_block_init(&user->file_in, user->file_bytes, BYTES);
		count_start(user, pro_asynch_read_file_read(&user->file_reader, &user->file_in, 0, offset));
	} else if (offset % 2 && !pro_operation_in_flight(&user->file_writer.operation)) {
		pro_message_block_init_filled(&user->file_out, "written to a file", 17);
		count_start(user, pro_asynch_write_file_write(&user->file_writer, &user->file_out, offset));
	}
}

static void act_transmit(struct user *user)
{
	if (!pro_operation_in_flight(&user->sender.operation))
		count_start(user, pro_asynch_transmit_file_transmit_file(&user->sender, file,
								  input_below(choices, 700), PRO_TRANSMIT_ALL, NULL, NULL));
}

static void act_timer(struct user *user)
{
	int64_t delay_ms = input_below(choices, 5000);
	int error;

	if (delay_ms % 2)
		error = pro_asynch_timer_schedule(&user->timer, delay_ms);
	else
		error = pro_asynch_timer_schedule_repeating(&user->timer, delay_ms, 1 + delay_ms);
	CHECK(!error || error == PRO_ECLOSED || user->is_timer_running);
	user->is_timer_running = user->is_timer_running || !error;
	count_start(user, error);
}

static void act_post(struct user *user)
{
	int error;

	if (user->is_posted)
		return;
	pro_message_block_init(&user->post, NULL, 0);
	error = pro_handler_post(&user->handler, &user->post, NULL);
	user->is_posted = !error;
	count_start(user, error);
}

static void act_on_operation(struct user *user)
{
	struct pro_operation *operations[] = {&user->reader.operation, &user->writer.operation,
			&user->file_reader.operation, &user->file_writer.operation, &user->sender.operation,
			&user->timer.operation, &user->work.operation};
	struct pro_operation *operation =
			operations[input_below(choices, sizeof(operations) / sizeof(operations[0]))];
	/* What is queued behind a flight that is over is there too. */
	bool was_in_flight = pro_operation_in_flight(operation) ||
						 (operation == &user->writer.operation &&
								 pro_asynch_write_stream_queued(&user->writer) > 0);
	int64_t timeout_ms;

	switch (input_byte(choices) % 4) {
	case 0:
	case 1:
		CHECK(pro_operation_cancel(operation) == PRO_ENOTFOUND || was_in_flight);
		break;
	case 2:
		timeout_ms = input_below(choices, 100);
		CHECK(pro_operation_set_timeout(operation, timeout_ms) == 0);
		break;
	default:
		timeout_ms = input_below(choices, 100);
		CHECK(pro_operation_set_stall_timeout(operation, timeout_ms) == 0);
		break;
	}
}

static void act_rarely(struct user *user)
{
	switch (input_byte(choices) % 8) {
	case 0:
		pro_handler_close(&user->handler);
		break;
	case 1:
		pro_asynch_write_stream_shutdown(&user->writer);
		break;
	case 2:
		pro_proactor_shutdown(pro_handler_proactor(&user->handler));
		break;
	case 3:
		pro_asynch_timer_cancel_all(&user->handler);
		break;
	default:
		pro_asynch_write_stream_set_limit(&user->writer, input_below(choices, 2000));
		break;
	}
}

static void act(struct user *user)
{
	if (user->is_closed)
		return;
	switch (input_byte(choices) % 10) {
	case 0:
	case 1:
		act_read(user);
		break;
	case 2:
	case 3:
		act_write(user);
		break;
	case 4:
		act_on_file(user);
		break;
	case 5:
		act_transmit(user);
		break;
	case 6:
		act_timer(user);
		break;
	case 7:
		act_on_operation(user);
		break;
	case 8:
		if (input_byte(choices) % 2)
			act_post(user);
		else if (!pro_operation_in_flight(&user->work.operation))
			count_start(user, pro_asynch_work_run(&user->work, seven, NULL));
		break;
	default:
		act_rarely(user);
		break;
	}
}

/* ---- a run ---- */

static struct pro_sim *open_world(const uint8_t *data, size_t size, struct pro_proactor **proactor)
{
	struct pro_sim_options options;
	pro_handle handles[2];
	struct pro_sim *sim;

	pro_sim_options_init(&options);
	options.choices = data;
	options.choices_size = size;
	options.buffer_bytes = 1000;
	CHECK(pro_sim_create(&sim, &options) == 0);
	CHECK(pro_sim_proactor_create(sim, "one", NULL, proactor) == 0);
	CHECK(pro_sim_file_write(sim, "/file", 0, "what a file has", 15) == 0);
	/* Faults are for the program; at the set-up it is tried until it works. */
	while (pro_file_open(*proactor, "/file", PRO_FILE_READ | PRO_FILE_WRITE, &file))
		;
	while (pro_socket_pair(*proactor, handles))
		;
	for (unsigned i = 0; i < USERS; i++)
		user_init(&users[i], *proactor, handles[i]);
	return sim;
}

static void end_world(struct pro_sim *sim, struct pro_proactor *proactor)
{
	pro_sim_stop_faults(sim);
	for (unsigned i = 0; i < USERS; i++)
		pro_handler_close(&users[i].handler);
	pro_proactor_close_handle(proactor, file);
	if (pro_sim_end(sim))
		fprintf(stderr, "%s\n", pro_sim_failure(sim));
	CHECK(!pro_sim_failure(sim));
	pro_sim_destroy(sim);
	for (unsigned i = 0; i < USERS; i++)
		CHECK(users[i].is_closed && users[i].completed == users[i].started);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The world's bytes, then the program's. */
	size_t share = size / 2;
	struct input input = {data + share, size - share};
	struct pro_proactor *proactor;
	struct pro_sim *sim = open_world(data, share, &proactor);

	choices = &input;
	for (unsigned steps = 0; input.size > 0 && steps < 2000; steps++) {
		if (input_byte(&input) % 2)
			act(&users[input_byte(&input) % USERS]);
		else if (pro_sim_step(sim) < 0)
			break;
	}
	end_world(sim, proactor);
	return 0;
}
