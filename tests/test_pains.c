/* What hurts with ACE's Proactor on Linux, each as a test of ours, on the port that PROACTOR_PORT
 * names. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "support/crew.h"
#include "support/echo.h"
#include "support/os.h"
#include "support/pattern.h"
#include "support/recorder.h"
#include "support/suite.h"

static struct world world;

static void setup(void)
{
	world_init(&world, "pains");
	world.is_traced = false;
	world_open(&world);
}

static void teardown(void)
{
	world_fini(&world);
}

/* Pain 1: with a read under way, the write on the same socket never ran. */
START_TEST(full_duplex_does_not_deadlock)
{
	struct recorder *left = recorder_create(&world, "left");
	struct recorder *right = recorder_create(&world, "right");
	struct pro_message_block in[2], out[2];
	char bytes[2][8];

	recorder_tcp_pair(left, right, ANY_INET);
	for (unsigned i = 0; i < 2; i++) {
		pro_message_block_init(&in[i], bytes[i], sizeof(bytes[i]));
		pro_message_block_init_filled(&out[i], "both", 4);
	}
	ASSERT_OK(recorder_read(left, &in[0], 0));
	ASSERT_OK(recorder_read(right, &in[1], 0));
	world_run_ready(&world);
	ASSERT_OK(recorder_write(left, &out[0]));
	ASSERT_OK(recorder_write(right, &out[1]));
	RUN_UNTIL(&world, left->count[EVENT_READ_STREAM] && right->count[EVENT_READ_STREAM] &&
							  left->count[EVENT_WRITE_STREAM] && right->count[EVENT_WRITE_STREAM]);
}
END_TEST

/* Pain 2: twenty idle reads stopped everything; an echo server stalled at 32 connections. */
START_TEST(idle_reads_stop_nothing)
{
	enum { IDLE = 200, CLIENTS = 64 };
	struct echo_client *clients = calloc(CLIENTS, sizeof(*clients));
	struct pro_message_block *blocks = calloc(IDLE, sizeof(*blocks));
	struct echo_server server;
	char bytes[8];

	ASSERT_OK(echo_server_open(&server, world.proactor, ANY_INET));
	for (unsigned i = 0; i < IDLE; i += 2) {
		struct recorder *left = recorder_create(&world, "left");
		struct recorder *right = recorder_create(&world, "right");

		recorder_pair(left, right);
		pro_message_block_init(&blocks[i], bytes, sizeof(bytes));
		pro_message_block_init(&blocks[i + 1], bytes, sizeof(bytes));
		ASSERT_OK(recorder_read(left, &blocks[i], 0));
		ASSERT_OK(recorder_read(right, &blocks[i + 1], 0));
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		echo_client_init(&clients[i], &world, "client", 6400, 64);
		echo_client_connect(&clients[i], pro_asynch_acceptor_addr(&server.acceptor));
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		RUN_UNTIL(&world, clients[i].is_done);
	world_close_recorders(&world);
	echo_server_close(&world, &server);
	free(clients);
	free(blocks);
}
END_TEST

/* Pain 3: several threads that run one loop aborted the program. */
struct runners {
	struct pro_proactor *proactor;
	int results[3];
};

static void run_too(void *context, unsigned number)
{
	struct runners *runners = context;

	runners->results[number] = pro_proactor_run_event_loop(runners->proactor);
}

static void run_from_threads(struct recorder *recorder, const struct event *event)
{
	struct crew crew;

	if (event->kind != EVENT_WAKEUP)
		return;
	pro_proactor_end_event_loop(world.proactor);
	crew_start(&crew, 3, run_too, recorder->context);
	crew_join(&crew);
	pro_proactor_reset_event_loop(world.proactor);
}

START_TEST(several_threads_on_one_loop_abort_nothing)
{
	struct recorder *recorder = recorder_create(&world, "recorder");
	struct runners runners = {.proactor = world.proactor};

	recorder->context = &runners;
	recorder->on_event = run_from_threads;
	recorder_open_free(recorder);
	for (unsigned i = 1; i <= 5; i++) {
		ASSERT_OK(pro_handler_wakeup(recorder_handler(recorder)));
		ASSERT_OK(recorder_timer(recorder, 1));
		RUN_UNTIL(
				&world, recorder->count[EVENT_WAKEUP] == i && recorder->count[EVENT_TIME_OUT] == i);
		for (unsigned thread = 0; thread < 3; thread++)
			ck_assert(runners.results[thread] == 0 || runners.results[thread] == PRO_EBUSY);
	}
}
END_TEST

/* Pain 4: a cancel did nothing to a pending read, and no callback came. */
START_TEST(cancel_ends_a_pending_read)
{
	struct recorder *left = recorder_create(&world, "left");
	struct recorder *right = recorder_create(&world, "right");
	struct pro_message_block in;
	char bytes[8];

	recorder_tcp_pair(left, right, ANY_INET);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(left, &in, 0));
	world_run_ready(&world);
	ASSERT_OK(recorder_cancel(&left->reader.operation));
	RUN_UNTIL(&world, left->count[EVENT_READ_STREAM]);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_ECANCELED);
}
END_TEST

/* Pain 5: a handler that went with accepts pending leaked a descriptor for each, and late data was
 * written into its memory. world_fini counts the descriptors. */
START_TEST(handler_closed_with_accepts_pending_leaks_nothing)
{
	enum { ACCEPTS = 20 };
	struct pro_asynch_accept *accepts = calloc(ACCEPTS, sizeof(*accepts));
	struct recorder *listener = recorder_create(&world, "listener");
	struct pro_addr addr = recorder_listen(listener, ANY_INET);
	int peers[ACCEPTS / 2];

	for (unsigned i = 0; i < ACCEPTS; i++) {
		ASSERT_OK(pro_asynch_accept_open(
				&accepts[i], recorder_handler(listener), PRO_INVALID_HANDLE, NULL));
		ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&accepts[i])));
	}
	world_run_ready(&world);
	for (unsigned i = 0; i < ACCEPTS / 2; i++)
		peers[i] = os_connect(&addr);
	recorder_close(listener);
	RUN_UNTIL(&world, listener->is_closed);
	ck_assert_uint_eq(listener->count[EVENT_ACCEPT], ACCEPTS);
	for (unsigned i = 0; i < ACCEPTS / 2; i++)
		os_close(peers[i]);
	free(accepts);
}
END_TEST

START_TEST(late_data_is_not_written_into_a_closed_handler)
{
	struct recorder *left = recorder_create(&world, "left");
	struct recorder *right = recorder_create(&world, "right");
	struct pro_message_block in, out;
	char bytes[8] = "0123456";

	recorder_tcp_pair(left, right, ANY_INET);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	pro_message_block_init_filled(&out, "late", 4);
	ASSERT_OK(recorder_read(left, &in, 0));
	world_run_ready(&world);
	recorder_close(left);
	RUN_UNTIL(&world, left->is_closed);
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(&world, right->count[EVENT_WRITE_STREAM]);
	world_run_ready(&world);
	ck_assert_str_eq(bytes, "0123456");
}
END_TEST

/* Pain 6: the acceptor closed its descriptor twice, hitting whoever had the number then. */
START_TEST(acceptor_closes_its_handle_once)
{
	for (unsigned i = 0; i < 50; i++) {
		struct recorder *left = recorder_create(&world, "left");
		struct recorder *right = recorder_create(&world, "right");
		struct pro_message_block in, out;
		struct echo_server server;
		char bytes[8];

		ASSERT_OK(echo_server_open(&server, world.proactor, ANY_INET));
		world_run_ready(&world);
		pro_asynch_acceptor_close(&server.acceptor);
		RUN_UNTIL(&world, server.is_closed);
		recorder_pair(left, right);
		world_run_ready(&world);
		pro_message_block_init(&in, bytes, sizeof(bytes));
		pro_message_block_init_filled(&out, "mine", 4);
		ASSERT_OK(recorder_read(left, &in, 0));
		ASSERT_OK(recorder_write(right, &out));
		RUN_UNTIL(&world, left->count[EVENT_READ_STREAM] && right->count[EVENT_WRITE_STREAM]);
		ASSERT_OK(left->last[EVENT_READ_STREAM].error);
		recorder_close(left);
		recorder_close(right);
	}
}
END_TEST

START_TEST(timers_do_not_outlive_their_handler)
{
	struct recorder *owner = recorder_create(&world, "owner");

	recorder_open_free(owner);
	ASSERT_OK(recorder_timer(owner, 5));
	recorder_close(owner);
	RUN_UNTIL(&world, owner->is_closed);
	world_run_for(&world, 20);
	ck_assert_uint_eq(owner->count[EVENT_TIME_OUT], 1);
	ASSERT_ERROR(owner->last[EVENT_TIME_OUT].error, PRO_ECANCELED);
}
END_TEST

/* Pain 7: transmit_file crashed without a header, never ended with an empty one, and sent the whole
 * file whatever was asked. */
START_TEST(transmit_file_needs_no_header_and_sends_what_was_asked)
{
	struct recorder *left = recorder_create(&world, "left");
	struct recorder *right = recorder_create(&world, "right");
	struct pro_message_block out, in, empty, *headers[] = {NULL, &empty};
	char content[100], bytes[100];
	pro_handle file;

	recorder_tcp_pair(left, right, ANY_INET);
	file = world_file(&world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	recorder_open_file(left, file);
	pattern_fill(content, sizeof(content), 0, 1);
	pro_message_block_init_filled(&out, content, sizeof(content));
	ASSERT_OK(STARTED(left, WRITE_FILE, pro_asynch_write_file_write(&left->file_writer, &out, 0)));
	RUN_UNTIL(&world, left->count[EVENT_WRITE_FILE]);
	pro_message_block_init_filled(&empty, content, 0);
	for (unsigned i = 0; i < 2; i++) {
		ASSERT_OK(STARTED(left, TRANSMIT_FILE,
				pro_asynch_transmit_file_transmit_file(
						&left->sender, file, 10 + i, 1, headers[i], NULL)));
		RUN_UNTIL(&world, left->count[EVENT_TRANSMIT_FILE] == i + 1);
		ASSERT_OK(left->last[EVENT_TRANSMIT_FILE].error);
		ck_assert_uint_eq(left->last[EVENT_TRANSMIT_FILE].bytes_sent, 1);
	}
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(STARTED(
			right, READ_STREAM, pro_asynch_read_stream_read_exactly(&right->reader, &in, 2)));
	RUN_UNTIL(&world, right->count[EVENT_READ_STREAM]);
	pattern_check(bytes, 2, 10, 1);
	pro_message_block_reset(&in);
	ASSERT_OK(recorder_read(right, &in, 0));
	world_run_for(&world, 10);
	ck_assert_uint_eq(right->count[EVENT_READ_STREAM], 1);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
}
END_TEST

/* Pain 8: the address of a datagram was ignored, and that of its sender empty. */
START_TEST(datagrams_go_where_they_should_and_tell_from_where)
{
	struct recorder *sender = recorder_create(&world, "sender");
	struct recorder *receivers[3];
	struct pro_addr from = recorder_own_dgram(sender, ANY_INET);
	struct pro_message_block in[3], out;
	char bytes[3][8];

	for (unsigned i = 0; i < 3; i++) {
		struct pro_addr addr;

		receivers[i] = recorder_create(&world, "receiver");
		addr = recorder_own_dgram(receivers[i], ANY_INET);
		pro_message_block_init(&in[i], bytes[i], sizeof(bytes[i]));
		ASSERT_OK(STARTED(receivers[i], READ_DGRAM,
				pro_asynch_read_dgram_recv(&receivers[i]->dgram_reader, &in[i])));
		pro_message_block_init_filled(&out, &"abc"[i], 1);
		ASSERT_OK(STARTED(sender, WRITE_DGRAM,
				pro_asynch_write_dgram_send(&sender->dgram_writer, &out, &addr)));
		RUN_UNTIL(&world, sender->count[EVENT_WRITE_DGRAM] == i + 1 &&
								  receivers[i]->count[EVENT_READ_DGRAM] == 1);
		ASSERT_OK(receivers[i]->last[EVENT_READ_DGRAM].error);
		ck_assert_int_eq(bytes[i][0], 'a' + (int)i);
		ck_assert(pro_addr_equal(&receivers[i]->dgram_reader.remote, &from));
	}
}
END_TEST

/* Pain 9: without a descriptor to be had, 70,000 accepts a second failed. */
START_TEST(acceptor_without_descriptors_backs_off)
{
	enum { PEERS = 10 };
	struct echo_server server;
	struct pro_proactor_statistics before, after;
	int peers[PEERS];

	ASSERT_OK(echo_server_open(&server, world.proactor, ANY_INET));
	world_run_ready(&world);
	for (unsigned i = 0; i < PEERS; i++)
		peers[i] = os_make_peer(pro_asynch_acceptor_addr(&server.acceptor));
	os_limit_descriptors(0);
	for (unsigned i = 0; i < PEERS; i++)
		os_connect_peer(peers[i], pro_asynch_acceptor_addr(&server.acceptor));
	world_run_ready(&world);
	before = world_statistics(&world);
	world_run_for(&world, 300);
	after = world_statistics(&world);
	ck_assert_uint_lt(server.opened, PEERS);
	ck_assert_uint_le(after.completed - before.completed, 30);
	os_unlimit_descriptors();
	RUN_UNTIL(&world, server.opened == PEERS);
	for (unsigned i = 0; i < PEERS; i++)
		os_close(peers[i]);
	RUN_UNTIL(&world, server.closed == PEERS);
	echo_server_close(&world, &server);
}
END_TEST

/* Pain 10: three timers at once ended a run of a second at once. */
START_TEST(run_with_a_limit_lasts_its_time)
{
	struct recorder *timers[3];
	uint64_t start_ms;

	for (unsigned i = 0; i < 3; i++) {
		timers[i] = recorder_create(&world, "timer");
		recorder_open_free(timers[i]);
		ASSERT_OK(recorder_timer(timers[i], 0));
	}
	start_ms = pro_proactor_now_ms(world.proactor);
	world_run_for(&world, 200);
	ck_assert_uint_ge(pro_proactor_now_ms(world.proactor) - start_ms, 200);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(timers[i]->count[EVENT_TIME_OUT], 1);
}
END_TEST

/* Pain 11: a hidden thread, for which the program waited for ever. */
START_TEST(sockets_and_timers_need_no_hidden_thread)
{
	struct recorder *left = recorder_create(&world, "left");
	struct recorder *right = recorder_create(&world, "right");
	struct pro_message_block in, out;
	char bytes[8];

	recorder_tcp_pair(left, right, ANY_INET);
	recorder_open_free(left);
	for (unsigned i = 1; i <= 50; i++) {
		pro_message_block_init(&in, bytes, sizeof(bytes));
		pro_message_block_init_filled(&out, "x", 1);
		ASSERT_OK(recorder_read(left, &in, 0));
		ASSERT_OK(recorder_write(right, &out));
		ASSERT_OK(recorder_timer(left, 1));
		RUN_UNTIL(&world, left->count[EVENT_READ_STREAM] == i && left->count[EVENT_TIME_OUT] == i &&
								  right->count[EVENT_WRITE_STREAM] == i);
	}
	ck_assert_uint_eq(os_thread_count(), world.threads);
	ck_assert_uint_eq(world_statistics(&world).worker_threads, 0);
}
END_TEST

/* Pain 12: a connect on a descriptor above 1024 failed and called back as well. */
START_TEST(descriptors_above_1024_connect)
{
	enum { PIPES = 600 };
	struct recorder *left = recorder_create(&world, "left");
	struct recorder *right = recorder_create(&world, "right");
	struct pro_message_block in, out;
	int(*pipes)[2] = calloc(PIPES, sizeof(*pipes));
	char bytes[8];

	if (os_raise_descriptor_limit() < 2 * PIPES + 100) {
		free(pipes);
		return;
	}
	for (unsigned i = 0; i < PIPES; i++)
		os_pipe(pipes[i]);
	recorder_tcp_pair(left, right, ANY_INET);
	ck_assert_int_gt(pro_handler_handle(recorder_handler(left)), 1024);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	pro_message_block_init_filled(&out, "x", 1);
	ASSERT_OK(recorder_read(left, &in, 0));
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(&world, left->count[EVENT_READ_STREAM]);
	for (unsigned i = 0; i < PIPES; i++) {
		os_close(pipes[i][0]);
		os_close(pipes[i][1]);
	}
	free(pipes);
}
END_TEST

/* Pain 13: a close with a read pending: no callback, nothing waited for. */
START_TEST(close_with_a_read_pending_calls_back_and_then_closes)
{
	struct recorder *left = recorder_create(&world, "left");
	struct recorder *right = recorder_create(&world, "right");
	struct pro_message_block in, peer_in;
	char bytes[8], peer_bytes[8];

	recorder_tcp_pair(left, right, ANY_INET);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	pro_message_block_init(&peer_in, peer_bytes, sizeof(peer_bytes));
	ASSERT_OK(recorder_read(left, &in, 0));
	ASSERT_OK(recorder_read(right, &peer_in, 0));
	world_run_ready(&world);
	recorder_close(left);
	RUN_UNTIL(&world, left->is_closed && right->count[EVENT_READ_STREAM]);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_ECANCELED);
	ck_assert_uint_eq(left->count[EVENT_READ_STREAM], 1);
	ASSERT_ERROR(right->last[EVENT_READ_STREAM].error, PRO_EOF);
}
END_TEST

static void add_pain(Suite *suite, const char *name, const TTest *test)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test);
	suite_add_tcase(suite, tcase);
}

int main(void)
{
	Suite *suite = suite_create("pains");

	add_pain(suite, "1", full_duplex_does_not_deadlock);
	add_pain(suite, "2", idle_reads_stop_nothing);
	add_pain(suite, "3", several_threads_on_one_loop_abort_nothing);
	add_pain(suite, "4", cancel_ends_a_pending_read);
	add_pain(suite, "5", handler_closed_with_accepts_pending_leaks_nothing);
	add_pain(suite, "5 late", late_data_is_not_written_into_a_closed_handler);
	add_pain(suite, "6", acceptor_closes_its_handle_once);
	add_pain(suite, "6 timers", timers_do_not_outlive_their_handler);
	add_pain(suite, "7", transmit_file_needs_no_header_and_sends_what_was_asked);
	add_pain(suite, "8", datagrams_go_where_they_should_and_tell_from_where);
	add_pain(suite, "9", acceptor_without_descriptors_backs_off);
	add_pain(suite, "10", run_with_a_limit_lasts_its_time);
	add_pain(suite, "11", sockets_and_timers_need_no_hidden_thread);
	add_pain(suite, "12", descriptors_above_1024_connect);
	add_pain(suite, "13", close_with_a_read_pending_calls_back_and_then_closes);
	return suite_run(suite);
}
