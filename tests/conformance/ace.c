/* Scenarios that ACE's own tests and examples run, in their shortest form. */
#include "conformance.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../support/echo.h"
#include "../support/os.h"
#include "../support/pattern.h"
#include "../support/recorder.h"

/* ---- echo at load: half duplex is the echo client's way; here full duplex ---- */

#define REQUEST_BYTES 157
#define REQUESTS      50
#define SESSION_BYTES (REQUEST_BYTES * REQUESTS)
#define SESSIONS      10
#define PIECES        6

struct session {
	struct recorder *recorder;
	uint64_t received;
	unsigned number;
	bool is_over;
	struct pro_message_block out[REQUESTS][3];
	unsigned char out_bytes[SESSION_BYTES];
	struct pro_message_block in[PIECES];
	unsigned char in_bytes[PIECES][200];
};

static void session_read(struct session *session)
{
	for (unsigned i = 0; i < PIECES; i++) {
		pro_message_block_init(&session->in[i], session->in_bytes[i], 200);
		if (i > 0)
			session->in[i - 1].cont = &session->in[i];
	}
	ASSERT_OK(STARTED(session->recorder, READ_STREAM,
			pro_asynch_read_stream_readv(&session->recorder->reader, &session->in[0], 0)));
}

/* Every request goes out as three pieces, all at once. */
static void session_write(struct session *session)
{
	pattern_fill(session->out_bytes, SESSION_BYTES, 0, session->number);
	for (unsigned i = 0; i < REQUESTS; i++) {
		unsigned char *request = session->out_bytes + (size_t)i * REQUEST_BYTES;
		struct pro_message_block *pieces = session->out[i];

		pro_message_block_init_filled(&pieces[0], request, 50);
		pro_message_block_init_filled(&pieces[1], request + 50, 7);
		pro_message_block_init_filled(&pieces[2], request + 57, REQUEST_BYTES - 57);
		pieces[0].cont = &pieces[1];
		pieces[1].cont = &pieces[2];
		ASSERT_OK(STARTED(session->recorder, WRITE_STREAM,
				pro_asynch_write_stream_writev(&session->recorder->writer, &pieces[0])));
	}
	ASSERT_OK(pro_asynch_write_stream_shutdown(&session->recorder->writer));
}

static void session_receive(struct session *session, const struct event *event)
{
	size_t left = event->bytes;

	if (event->error == PRO_EOF) {
		session->is_over = true;
		return;
	}
	ASSERT_OK(event->error);
	for (unsigned i = 0; left > 0; i++) {
		size_t part = pro_message_block_length(&session->in[i]);

		pattern_check(session->in_bytes[i], part, session->received, session->number);
		session->received += part;
		left -= part;
	}
	session_read(session);
}

static void session_on_event(struct recorder *recorder, const struct event *event)
{
	struct session *session = recorder->context;

	if (event->kind == EVENT_CONNECT) {
		ASSERT_OK(event->error);
		recorder_own_stream(recorder, recorder_take_handle(recorder));
		session_read(session);
		session_write(session);
	} else if (event->kind == EVENT_READ_STREAM && event->error != PRO_ECANCELED) {
		session_receive(session, event);
	}
}

static void full_duplex_echo(struct world *world, const char *any)
{
	struct session *sessions = calloc(SESSIONS, sizeof(*sessions));
	struct echo_server server;

	world->is_traced = false;
	world_open(world);
	ASSERT_OK(echo_server_open(&server, world->proactor, any));
	for (unsigned i = 0; i < SESSIONS; i++) {
		struct session *session = &sessions[i];

		session->recorder = recorder_create(world, "session");
		session->recorder->context = session;
		session->recorder->on_event = session_on_event;
		session->number = i;
		recorder_open_free(session->recorder);
		ASSERT_OK(STARTED(session->recorder, CONNECT,
				pro_asynch_connect_connect(&session->recorder->connect,
						pro_asynch_acceptor_addr(&server.acceptor), NULL)));
	}
	for (unsigned i = 0; i < SESSIONS; i++)
		RUN_UNTIL(world, sessions[i].is_over);
	for (unsigned i = 0; i < SESSIONS; i++) {
		ck_assert_uint_eq(sessions[i].received, SESSION_BYTES);
		ck_assert_uint_eq(sessions[i].recorder->errors[EVENT_WRITE_STREAM], 0);
	}
	ck_assert_uint_eq(server.opened, SESSIONS);
	world_close_recorders(world);
	echo_server_close(world, &server);
	ck_assert_uint_eq(server.closed, SESSIONS);
	free(sessions);
}

void scenario_s1_echo_at_load_in_full_duplex(struct world *world)
{
	full_duplex_echo(world, ANY_INET);
}

void scenario_s2_the_same_over_ipv6(struct world *world)
{
	full_duplex_echo(world, ANY_INET6);
}

/* ---- S3: timers ---- */

#define UNIT_MS 15

static void note_timer(struct recorder *recorder, const struct event *event)
{
	if (event->kind == EVENT_TIME_OUT && event->error == 0)
		world_note(recorder->world, "%s %u", recorder->name, (unsigned)(uintptr_t)event->act);
}

void scenario_s3_timers_of_four_handlers_and_of_one_come_in_order(struct world *world)
{
	static const int64_t units[] = {7, 1, 5, 3};
	struct pro_asynch_timer timers[4];
	struct recorder *owner, *handlers[4];

	world_open(world);
	owner = recorder_create(world, "one");
	owner->on_event = note_timer;
	for (unsigned i = 0; i < 4; i++) {
		handlers[i] = recorder_create(world, "each");
		handlers[i]->on_event = note_timer;
		recorder_open_free(handlers[i]);
		pro_operation_set_act(&handlers[i]->timer.operation, (const void *)(uintptr_t)units[i]);
		ASSERT_OK(recorder_timer(handlers[i], units[i] * UNIT_MS));
	}
	for (unsigned i = 0; i < 4; i++)
		RUN_UNTIL(world, handlers[i]->count[EVENT_TIME_OUT] == 1);
	for (unsigned i = 0; i < 4; i++) {
		ASSERT_OK(pro_asynch_timer_open(&timers[i], recorder_handler(owner), NULL));
		pro_operation_set_act(&timers[i].operation, (const void *)(uintptr_t)units[i]);
		ASSERT_OK(STARTED(
				owner, TIME_OUT, pro_asynch_timer_schedule(&timers[i], units[i] * UNIT_MS)));
	}
	RUN_UNTIL(world, owner->count[EVENT_TIME_OUT] == 4);
}

void scenario_s3_odd_timers_are_cancelled_and_the_rest_fire(struct world *world)
{
	enum { COUNT = 20 };
	struct pro_asynch_timer timers[COUNT];
	struct recorder *owner;

	world_open(world);
	owner = recorder_create(world, "owner");
	owner->on_event = note_timer;
	for (unsigned i = 0; i < COUNT; i++) {
		ASSERT_OK(pro_asynch_timer_open(&timers[i], recorder_handler(owner), NULL));
		pro_operation_set_act(&timers[i].operation, (const void *)(uintptr_t)i);
		ASSERT_OK(STARTED(
				owner, TIME_OUT, pro_asynch_timer_schedule(&timers[i], 100 + 3 * (int64_t)i)));
	}
	for (unsigned i = 1; i < COUNT; i += 2)
		ASSERT_OK(recorder_cancel(&timers[i].operation));
	RUN_UNTIL(world, owner->count[EVENT_TIME_OUT] == COUNT);
	ck_assert_uint_eq(owner->cancels[EVENT_TIME_OUT], COUNT / 2);
}

/* The second expiry takes so long that a third is due, then cancels by handler and closes. */
static void cancel_late(struct recorder *recorder, const struct event *event)
{
	uint64_t end_ms;

	if (event->kind != EVENT_TIME_OUT || event->error || recorder->count[EVENT_TIME_OUT] < 2)
		return;
	end_ms = pro_proactor_now_ms(recorder->world->proactor) + 2 * UNIT_MS;
	while (pro_proactor_now_ms(recorder->world->proactor) < end_ms)
		os_yield();
	ck_assert_int_eq(pro_asynch_timer_cancel_all(recorder_handler(recorder)), 1);
	recorder_close(recorder);
}

void scenario_s3_repeating_timer_cancelled_late_expires_twice(struct world *world)
{
	struct recorder *owner;

	world_open(world);
	owner = recorder_create(world, "owner");
	owner->on_event = cancel_late;
	recorder_open_free(owner);
	ASSERT_OK(STARTED(
			owner, TIME_OUT, pro_asynch_timer_schedule_repeating(&owner->timer, UNIT_MS, UNIT_MS)));
	RUN_UNTIL(world, owner->is_closed);
	ck_assert_uint_eq(owner->count[EVENT_TIME_OUT], 3);
	ck_assert_uint_eq(owner->cancels[EVENT_TIME_OUT], 1);
}

/* ---- S4: a file as a pipe ---- */

#define FRAME  16
#define FRAMES 16
/* So often in a row the end is read again at once; then when something happens to the file. */
#define ENDS_MAX 4

struct file_pipe {
	struct pro_message_block out, in;
	unsigned char frame[FRAME], bytes[64];
	uint64_t written, read;
	unsigned ends;
};

static void file_pipe_read(struct recorder *recorder, struct file_pipe *pipe)
{
	pro_message_block_init(&pipe->in, pipe->bytes, sizeof(pipe->bytes));
	ASSERT_OK(STARTED(recorder, READ_FILE,
			pro_asynch_read_file_read(&recorder->file_reader, &pipe->in, 0, pipe->read)));
}

static void file_pipe_read_on(struct recorder *recorder, struct file_pipe *pipe)
{
	const bool is_resting = pipe->ends == ENDS_MAX;

	pipe->ends = 0;
	if (is_resting)
		file_pipe_read(recorder, pipe);
}

static void file_pipe_on_event(struct recorder *recorder, const struct event *event)
{
	struct file_pipe *pipe = recorder->context;

	if (event->kind == EVENT_TIME_OUT && event->error == 0) {
		pattern_fill(pipe->frame, FRAME, pipe->written, 1);
		pro_message_block_init_filled(&pipe->out, pipe->frame, FRAME);
		ASSERT_OK(STARTED(recorder, WRITE_FILE,
				pro_asynch_write_file_write(&recorder->file_writer, &pipe->out, pipe->written)));
		file_pipe_read_on(recorder, pipe);
	} else if (event->kind == EVENT_WRITE_FILE) {
		ASSERT_OK(event->error);
		pipe->written += FRAME;
		if (pipe->written < FRAME * FRAMES)
			ASSERT_OK(recorder_timer(recorder, 2));
		file_pipe_read_on(recorder, pipe);
	} else if (event->kind == EVENT_READ_FILE) {
		if (event->error)
			ASSERT_ERROR(event->error, PRO_EOF);
		pipe->ends = event->error ? pipe->ends + 1 : 0;
		pattern_check(pipe->bytes, event->bytes, pipe->read, 1);
		pipe->read += event->bytes;
		if (pipe->read < FRAME * FRAMES && pipe->ends < ENDS_MAX)
			file_pipe_read(recorder, pipe);
	}
}

void scenario_s4_a_file_is_read_while_it_grows(struct world *world)
{
	struct file_pipe pipe = {.written = 0};
	struct recorder *recorder;
	pro_handle file;

	world->is_traced = false;
	world_open(world);
	recorder = recorder_create(world, "pipe");
	recorder->context = &pipe;
	recorder->on_event = file_pipe_on_event;
	file = world_file(world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	recorder_open_file(recorder, file);
	recorder_open_free(recorder);
	file_pipe_read(recorder, &pipe);
	ASSERT_OK(recorder_timer(recorder, 2));
	RUN_UNTIL(world, pipe.read == FRAME * FRAMES && pipe.written == FRAME * FRAMES);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
}

/* ---- S5: a file in pages over two connections and together again ---- */

#define PAGE  4096
#define PAGES 64

struct pages {
	unsigned char content[PAGES][PAGE];
	unsigned char back[PAGES][PAGE];
	struct pro_message_block read[PAGES], written[PAGES], merged[PAGES];
	struct recorder *file, *senders[2], *receivers[2];
	unsigned pages_sent, pages_received[2];
};

static void pages_on_read(struct recorder *recorder, const struct event *event)
{
	struct pages *pages = recorder->context;

	if (event->kind != EVENT_READ_FILE)
		return;
	ASSERT_OK(event->error);
	ck_assert_uint_eq(event->bytes, PAGE * PAGES / 8);
	for (unsigned i = 0; i < PAGES / 8; i++) {
		struct pro_message_block *page = &pages->read[pages->pages_sent];

		page->cont = NULL;
		ASSERT_OK(STARTED(pages->senders[pages->pages_sent % 2], WRITE_STREAM,
				pro_asynch_write_stream_writev(
						&pages->senders[pages->pages_sent % 2]->writer, page)));
		pages->pages_sent++;
	}
}

static void pages_on_receive(struct recorder *recorder, const struct event *event)
{
	struct pages *pages = recorder->context;
	unsigned side = (unsigned)recorder->number;
	unsigned page;

	if (event->kind != EVENT_READ_STREAM || event->error == PRO_ECANCELED)
		return;
	if (event->bytes > 0) {
		ASSERT_OK(event->error);
		pages->pages_received[side]++;
	}
	page = 2 * pages->pages_received[side] + side;
	if (page >= PAGES)
		return;
	pro_message_block_init(&pages->merged[page], pages->back[page], PAGE);
	ASSERT_OK(STARTED(recorder, READ_STREAM,
			pro_asynch_read_stream_read_exactly(&recorder->reader, &pages->merged[page], PAGE)));
}

void scenario_s5_a_file_scattered_over_two_connections_is_gathered_again(struct world *world)
{
	struct pages *pages = calloc(1, sizeof(*pages));
	unsigned char *all = &pages->content[0][0];
	struct pro_message_block whole;
	unsigned char *original = malloc(sizeof(pages->content));
	pro_handle file;

	world->is_traced = false;
	world_open(world);
	pattern_fill(original, sizeof(pages->content), 0, 1);
	pages->file = recorder_create(world, "file");
	file = world_file(world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	recorder_open_file(pages->file, file);
	pro_message_block_init_filled(&whole, original, sizeof(pages->content));
	ASSERT_OK(STARTED(pages->file, WRITE_FILE,
			pro_asynch_write_file_write(&pages->file->file_writer, &whole, 0)));
	RUN_UNTIL(world, pages->file->count[EVENT_WRITE_FILE]);
	for (unsigned side = 0; side < 2; side++) {
		struct event begin = {.kind = EVENT_READ_STREAM};

		pages->senders[side] = recorder_create(world, "sender");
		pages->receivers[side] = recorder_create(world, "receiver");
		recorder_tcp_pair(pages->senders[side], pages->receivers[side], ANY_INET);
		pages->receivers[side]->context = pages;
		pages->receivers[side]->number = side;
		pages->receivers[side]->on_event = pages_on_receive;
		pages_on_receive(pages->receivers[side], &begin);
	}
	pages->file->context = pages;
	pages->file->on_event = pages_on_read;
	for (unsigned part = 0; part < 8; part++) {
		unsigned first = part * PAGES / 8;

		for (unsigned i = first; i < first + PAGES / 8; i++) {
			pro_message_block_init(&pages->read[i], all + (size_t)i * PAGE, PAGE);
			if (i > first)
				pages->read[i - 1].cont = &pages->read[i];
		}
		ASSERT_OK(STARTED(pages->file, READ_FILE,
				pro_asynch_read_file_readv(&pages->file->file_reader, &pages->read[first], 0,
						(uint64_t)first * PAGE)));
		RUN_UNTIL(world, pages->file->count[EVENT_READ_FILE] == part + 1);
	}
	RUN_UNTIL(world, pages->pages_received[0] + pages->pages_received[1] == PAGES);
	ck_assert_mem_eq(pages->back, original, sizeof(pages->back));
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
	world_close_recorders(world);
	free(original);
	free(pages);
}

/* ---- S6: sessions over UDP ---- */

#define UDP_SESSIONS 10
#define UDP_ROUNDS   world_number(50, 50)

struct udp_end {
	struct recorder *recorder;
	unsigned rounds;
	bool is_server;
	struct pro_message_block in, out;
	unsigned char bytes[256];
};

static void udp_receive(struct udp_end *end)
{
	pro_message_block_init(&end->in, end->bytes, sizeof(end->bytes));
	ASSERT_OK(STARTED(end->recorder, READ_DGRAM,
			pro_asynch_read_dgram_recv(&end->recorder->dgram_reader, &end->in)));
}

static void udp_send(struct udp_end *end, size_t length, const struct pro_addr *remote)
{
	pro_message_block_init_filled(&end->out, end->bytes, length);
	ASSERT_OK(STARTED(end->recorder, WRITE_DGRAM,
			pro_asynch_write_dgram_send(&end->recorder->dgram_writer, &end->out, remote)));
}

/* Whoever received answers the sender, and receives again when that went out. */
static void udp_on_event(struct recorder *recorder, const struct event *event)
{
	struct udp_end *end = recorder->context;

	if (event->error == PRO_ECANCELED)
		return;
	ASSERT_OK(event->error);
	if (event->kind == EVENT_READ_DGRAM) {
		end->rounds++;
		ck_assert_uint_eq(event->bytes, end->rounds == 1 ? 12 : REQUEST_BYTES);
		if (!end->is_server && end->rounds == UDP_ROUNDS + 1)
			return;
		udp_send(end, end->is_server && end->rounds == 1 ? 12 : REQUEST_BYTES, event->remote);
	} else if (event->kind == EVENT_WRITE_DGRAM) {
		udp_receive(end);
	}
}

void scenario_s6_udp_sessions(struct world *world)
{
	struct udp_end *ends = calloc(2 * UDP_SESSIONS, sizeof(*ends));
	struct pro_addr addrs[2 * UDP_SESSIONS];

	world->is_traced = false;
	world_open(world);
	for (unsigned i = 0; i < 2 * UDP_SESSIONS; i++) {
		ends[i].recorder = recorder_create(world, "end");
		ends[i].recorder->context = &ends[i];
		ends[i].recorder->on_event = udp_on_event;
		ends[i].is_server = i < UDP_SESSIONS;
		addrs[i] = recorder_own_dgram(ends[i].recorder, ANY_INET);
	}
	for (unsigned i = 0; i < UDP_SESSIONS; i++) {
		udp_receive(&ends[i]);
		udp_send(&ends[UDP_SESSIONS + i], 12, &addrs[i]);
	}
	for (unsigned i = 0; i < UDP_SESSIONS; i++) {
		RUN_UNTIL(world, ends[UDP_SESSIONS + i].rounds == UDP_ROUNDS + 1);
		ck_assert_uint_eq(ends[i].rounds, UDP_ROUNDS + 1);
	}
	world_close_recorders(world);
	free(ends);
}

/* ---- S10, S11, S14, S15 ---- */

void scenario_s10_connects_from_a_busy_address_fail_and_leak_nothing(struct world *world)
{
	enum { COUNT = 32 };
	struct recorder *listener, *busy, *clients[COUNT];
	struct pro_addr addr, local;

	world->is_traced = false;
	world_open(world);
	listener = recorder_create(world, "listener");
	busy = recorder_create(world, "busy");
	addr = recorder_listen(listener, ANY_INET);
	local = recorder_listen(busy, ANY_INET);
	ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&listener->accept)));
	world_enter_loop();
	ck_assert_int_eq(pro_proactor_handle_events(world->proactor, 0), 0);
	world_leave_loop();
	for (unsigned i = 0; i < COUNT; i++) {
		clients[i] = recorder_create(world, "client");
		recorder_open_free(clients[i]);
		ASSERT_OK(STARTED(clients[i], CONNECT,
				pro_asynch_connect_connect(&clients[i]->connect, &addr, &local)));
	}
	for (unsigned i = 0; i < COUNT; i++) {
		RUN_UNTIL(world, clients[i]->count[EVENT_CONNECT]);
		if (clients[i]->last[EVENT_CONNECT].error != PRO_EADDRNOTAVAIL)
			ASSERT_ERROR(clients[i]->last[EVENT_CONNECT].error, PRO_EADDRINUSE);
	}
	ASSERT_OK(recorder_cancel(&listener->accept.operation));
	RUN_UNTIL(world, listener->count[EVENT_ACCEPT]);
	ASSERT_ERROR(listener->last[EVENT_ACCEPT].error, PRO_ECANCELED);
}

#define STRESS 100000

struct stress {
	struct pro_asynch_timer timers[1024];
	unsigned scheduled;
	unsigned free[1024];
	unsigned free_count;
};

/* Each expiry schedules two more at 0, while there are timers to be had. */
static void stress_on_event(struct recorder *recorder, const struct event *event)
{
	struct stress *stress = recorder->context;
	unsigned number = (unsigned)(uintptr_t)event->act;

	if (event->kind != EVENT_TIME_OUT || event->error)
		return;
	stress->free[stress->free_count++] = number;
	for (unsigned i = 0; i < 2 && stress->free_count > 0 && stress->scheduled < STRESS; i++) {
		unsigned next = stress->free[--stress->free_count];

		ASSERT_OK(STARTED(recorder, TIME_OUT, pro_asynch_timer_schedule(&stress->timers[next], 0)));
		stress->scheduled++;
	}
}

void scenario_s11_timers_that_schedule_two_more_each(struct world *world)
{
	struct stress *stress = calloc(1, sizeof(*stress));
	struct recorder *owner;

	world->is_traced = false;
	world_open(world);
	owner = recorder_create(world, "owner");
	owner->context = stress;
	owner->on_event = stress_on_event;
	for (unsigned i = 0; i < 1024; i++) {
		ASSERT_OK(pro_asynch_timer_open(&stress->timers[i], recorder_handler(owner), NULL));
		pro_operation_set_act(&stress->timers[i].operation, (const void *)(uintptr_t)i);
		stress->free[stress->free_count++] = 1023 - i;
	}
	stress->free_count--;
	stress->scheduled = 1;
	ASSERT_OK(STARTED(owner, TIME_OUT, pro_asynch_timer_schedule(&stress->timers[0], 0)));
	RUN_UNTIL(world, owner->count[EVENT_TIME_OUT] == STRESS);
	recorder_close(owner);
	RUN_UNTIL(world, owner->is_closed);
	free(stress);
}

/* 2 and 3 units for 13 units: at 2, 4, … 12 and at 3, 6, 9, 12. */
void scenario_s15_two_intervals_side_by_side(struct world *world)
{
	struct recorder *two, *three;
	uint64_t start_ms;

	world->is_traced = false;
	world_open(world);
	two = recorder_create(world, "two");
	three = recorder_create(world, "three");
	recorder_open_free(two);
	recorder_open_free(three);
	start_ms = pro_proactor_now_ms(world->proactor);
	ASSERT_OK(STARTED(two, TIME_OUT,
			pro_asynch_timer_schedule_repeating(&two->timer, 2 * UNIT_MS, 2 * UNIT_MS)));
	ASSERT_OK(STARTED(three, TIME_OUT,
			pro_asynch_timer_schedule_repeating(&three->timer, 3 * UNIT_MS, 3 * UNIT_MS)));
	RUN_UNTIL(world, two->count[EVENT_TIME_OUT] >= 6 && three->count[EVENT_TIME_OUT] >= 4);
	ck_assert_uint_ge(pro_proactor_now_ms(world->proactor) - start_ms, 12 * UNIT_MS);
	ck_assert_uint_le(two->count[EVENT_TIME_OUT], 8);
	ck_assert_uint_le(three->count[EVENT_TIME_OUT], 6);
}

/* ---- S17: copy a file ---- */

struct copy {
	struct pro_message_block block;
	unsigned char bytes[8192];
	uint64_t offset;
	bool is_over;
};

static void copy_read(struct recorder *recorder, struct copy *copy)
{
	pro_message_block_init(&copy->block, copy->bytes, sizeof(copy->bytes));
	ASSERT_OK(STARTED(recorder, READ_FILE,
			pro_asynch_read_file_read(&recorder->file_reader, &copy->block, 0, copy->offset)));
}

static void copy_on_event(struct recorder *recorder, const struct event *event)
{
	struct copy *copy = recorder->context;

	if (event->error == PRO_EOF) {
		copy->is_over = true;
		return;
	}
	ASSERT_OK(event->error);
	if (event->kind == EVENT_READ_FILE) {
		ASSERT_OK(STARTED(recorder, WRITE_FILE,
				pro_asynch_write_file_write(&recorder->file_writer, event->block, copy->offset)));
	} else if (event->kind == EVENT_WRITE_FILE) {
		copy->offset += event->bytes;
		copy_read(recorder, copy);
	}
}

void scenario_s17_copy_a_file(struct world *world)
{
	enum { BYTES = 300007 };
	struct copy copy = {.offset = 0};
	unsigned char *bytes = malloc(BYTES), *back = malloc(BYTES + 1);
	struct pro_message_block whole;
	struct recorder *recorder;
	pro_handle source, target;

	world_open(world);
	recorder = recorder_create(world, "copier");
	source = world_file(world, "source", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	target = world_file(world, "target", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	recorder_open_file(recorder, source);
	pattern_fill(bytes, BYTES, 0, 1);
	pro_message_block_init_filled(&whole, bytes, BYTES);
	ASSERT_OK(STARTED(
			recorder, WRITE_FILE, pro_asynch_write_file_write(&recorder->file_writer, &whole, 0)));
	RUN_UNTIL(world, recorder->count[EVENT_WRITE_FILE]);
	ASSERT_OK(pro_asynch_write_file_open(
			&recorder->file_writer, recorder_handler(recorder), target, NULL));
	recorder->context = &copy;
	recorder->on_event = copy_on_event;
	copy_read(recorder, &copy);
	RUN_UNTIL(world, copy.is_over);
	recorder->on_event = NULL;
	ASSERT_OK(pro_asynch_read_file_open(
			&recorder->file_reader, recorder_handler(recorder), target, NULL));
	pro_message_block_init(&whole, back, BYTES + 1);
	ASSERT_OK(STARTED(
			recorder, READ_FILE, pro_asynch_read_file_read(&recorder->file_reader, &whole, 0, 0)));
	RUN_UNTIL(world, whole.wr > 0 && !pro_operation_in_flight(&recorder->file_reader.operation));
	ck_assert_uint_eq(recorder->last[EVENT_READ_FILE].bytes, BYTES);
	ck_assert_mem_eq(bytes, back, BYTES);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, source));
	ASSERT_OK(pro_proactor_close_handle(world->proactor, target));
	free(bytes);
	free(back);
}

/* ---- S18, S19, S23 ---- */

static void close_after_read(struct recorder *recorder, const struct event *event)
{
	if (event->kind == EVENT_READ_STREAM)
		recorder_close(recorder);
}

void scenario_s18_read_and_cancel_at_once_then_close(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block in;
	char bytes[2];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	left->on_event = close_after_read;
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(
			STARTED(left, READ_STREAM, pro_asynch_read_stream_read_exactly(&left->reader, &in, 2)));
	ASSERT_OK(recorder_cancel(&left->reader.operation));
	RUN_UNTIL(world, left->is_closed);
	ck_assert_uint_eq(left->cancels[EVENT_READ_STREAM], 1);
}

/* One socket carries a transmit_file whose header and trailer are the same block, then the file
 * again by reads and writes. */
void scenario_s19_transmit_file_and_writes_share_a_socket_in_turn(struct world *world)
{
	enum { FILE_BYTES = 100000, MARK = 44, TOTAL = 2 * FILE_BYTES + 2 * MARK };
	unsigned char *content = malloc(FILE_BYTES), *back = malloc(TOTAL);
	struct recorder *left, *right;
	struct pro_message_block mark, whole, in;
	unsigned char mark_bytes[MARK];
	pro_handle file;

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	file = world_file(world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	recorder_open_file(left, file);
	pattern_fill(content, FILE_BYTES, 0, 1);
	pattern_fill(mark_bytes, MARK, 0, 2);
	pro_message_block_init_filled(&whole, content, FILE_BYTES);
	ASSERT_OK(
			STARTED(left, WRITE_FILE, pro_asynch_write_file_write(&left->file_writer, &whole, 0)));
	RUN_UNTIL(world, left->count[EVENT_WRITE_FILE]);
	pro_message_block_init(&in, back, TOTAL);
	ASSERT_OK(STARTED(
			right, READ_STREAM, pro_asynch_read_stream_read_exactly(&right->reader, &in, TOTAL)));
	pro_message_block_init_filled(&mark, mark_bytes, MARK);
	ASSERT_OK(STARTED(left, TRANSMIT_FILE,
			pro_asynch_transmit_file_transmit_file(
					&left->sender, file, 0, FILE_BYTES, &mark, &mark)));
	RUN_UNTIL(world, left->count[EVENT_TRANSMIT_FILE]);
	memset(content, 0, FILE_BYTES);
	pro_message_block_init(&whole, content, FILE_BYTES);
	ASSERT_OK(
			STARTED(left, READ_FILE, pro_asynch_read_file_read(&left->file_reader, &whole, 0, 0)));
	RUN_UNTIL(world, left->count[EVENT_READ_FILE]);
	ASSERT_OK(recorder_write(left, &whole));
	RUN_UNTIL(world, right->count[EVENT_READ_STREAM] && left->count[EVENT_WRITE_STREAM]);
	ASSERT_OK(right->last[EVENT_READ_STREAM].error);
	pattern_check(back, MARK, 0, 2);
	pattern_check(back + MARK, FILE_BYTES, 0, 1);
	pattern_check(back + MARK + FILE_BYTES, MARK, 0, 2);
	pattern_check(back + 2 * MARK + FILE_BYTES, FILE_BYTES, 0, 1);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
	free(content);
	free(back);
}

void scenario_s23_a_read_and_a_write_of_one_socket_both_complete(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block in, out, peer_out;
	char bytes[8];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	pro_message_block_init_filled(&out, "there", 5);
	pro_message_block_init_filled(&peer_out, "back", 4);
	ASSERT_OK(recorder_read(left, &in, 0));
	world_run_ready(world);
	ASSERT_OK(recorder_write(left, &out));
	RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM]);
	ck_assert_uint_eq(left->count[EVENT_READ_STREAM], 0);
	ASSERT_OK(recorder_write(right, &peer_out));
	RUN_UNTIL(world, left->count[EVENT_READ_STREAM]);
}
