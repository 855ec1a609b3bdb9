/* What is Windows' own, on the system itself: named pipes as streams, listeners that nobody else
 * can take over. */
#include <winsock2.h>

#include <windows.h>

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "support/echo.h"
#include "support/os.h"
#include "support/pattern.h"
#include "support/recorder.h"
#include "support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ACCEPTS      8

static struct world world;
static char pipe_text[64];

static void set_up(void)
{
	static unsigned number;

	snprintf(pipe_text, sizeof(pipe_text), "unix:\\\\.\\pipe\\proactor-test-%lu-%u",
			(unsigned long)GetCurrentProcessId(), number++);
	world_init(&world, "windows_world");
	world.is_traced = false;
	world_open(&world);
}

static void tear_down(void)
{
	world_fini(&world);
}

/* ---- names of pipes ---- */

START_TEST(names_of_pipes_are_addresses)
{
	static const char *const no_pipes[] = {"unix:\\\\.\\pipe\\", "unix:\\\\.\\pipe", "unix:\\x",
			"unix:\\\\host\\pipe\\x", "unix:\\\\?\\pipe\\x", "unix:C:x"};
	static const char *const paths[] = {"unix:C:/x", "unix:z:\\x"};
	struct pro_addr addr = world_addr(pipe_text);
	struct pro_addr again;
	char text[PRO_ADDR_TEXT_MAX];

	ck_assert_int_eq(pro_addr_family(&addr), PRO_FAMILY_UNIX);
	ck_assert_str_eq(pro_addr_format(&addr, text, sizeof(text)), pipe_text);
	again = world_addr(text);
	ck_assert(pro_addr_equal(&addr, &again));
	for (size_t i = 0; i < COUNT(no_pipes); i++)
		ASSERT_ERROR(pro_addr_parse(&addr, no_pipes[i]), PRO_EINVAL);
	for (size_t i = 0; i < COUNT(paths); i++) {
		addr = world_addr(paths[i]);
		ck_assert_int_eq(pro_addr_family(&addr), PRO_FAMILY_UNIX);
		ck_assert_str_eq(pro_addr_format(&addr, text, sizeof(text)), paths[i]);
	}
}
END_TEST

/* That a second one is refused is played in test_iocp.c: Wine lets it be. */
START_TEST(name_of_a_pipe_is_free_after_its_listener)
{
	struct recorder *listener = recorder_create(&world, "listener");
	struct pro_addr addr = recorder_listen(listener, pipe_text);
	struct pro_addr wanted = world_addr(pipe_text);
	pro_handle handle;

	ck_assert(pro_addr_equal(&addr, &wanted));
	recorder_close(listener);
	RUN_UNTIL(&world, listener->is_closed);
	ASSERT_OK(pro_socket_listen(world.proactor, &addr, 0, &handle));
	ASSERT_OK(pro_proactor_close_handle(world.proactor, handle));
}
END_TEST

START_TEST(pipe_that_nobody_listens_on_is_not_there)
{
	struct recorder *client = recorder_create(&world, "client");
	struct pro_addr addr = world_addr(pipe_text);

	recorder_open_free(client);
	ASSERT_OK(STARTED(client, CONNECT, pro_asynch_connect_connect(&client->connect, &addr, NULL)));
	RUN_UNTIL(&world, client->count[EVENT_CONNECT] == 1);
	ASSERT_ERROR(client->last[EVENT_CONNECT].error, PRO_ENOENT);
}
END_TEST

/* ---- accepting and connecting ---- */

static struct recorder *start_connect(const struct pro_addr *addr, int64_t timeout_ms)
{
	struct recorder *client = recorder_create(&world, "client");

	recorder_open_free(client);
	if (timeout_ms)
		ASSERT_OK(pro_operation_set_timeout(&client->connect.operation, timeout_ms));
	ASSERT_OK(STARTED(client, CONNECT, pro_asynch_connect_connect(&client->connect, addr, NULL)));
	return client;
}

START_TEST(connect_waits_for_an_accept)
{
	struct recorder *listener = recorder_create(&world, "listener");
	struct pro_addr addr = recorder_listen(listener, pipe_text);
	struct recorder *late = start_connect(&addr, 20);
	struct recorder *cancelled = start_connect(&addr, 0);
	struct recorder *patient;

	world_run_ready(&world);
	ASSERT_OK(recorder_cancel(&cancelled->connect.operation));
	RUN_UNTIL(&world, cancelled->count[EVENT_CONNECT] && late->count[EVENT_CONNECT]);
	ASSERT_ERROR(cancelled->last[EVENT_CONNECT].error, PRO_ECANCELED);
	ASSERT_ERROR(late->last[EVENT_CONNECT].error, PRO_ETIMEDOUT);
	patient = start_connect(&addr, 0);
	world_run_ready(&world);
	ck_assert_uint_eq(patient->count[EVENT_CONNECT], 0);
	ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&listener->accept)));
	RUN_UNTIL(&world, patient->count[EVENT_CONNECT] && listener->count[EVENT_ACCEPT]);
	ASSERT_OK(patient->last[EVENT_CONNECT].error);
	ASSERT_OK(listener->last[EVENT_ACCEPT].error);
}
END_TEST

START_TEST(close_cancels_all_accepts_of_a_pipe)
{
	struct recorder *listener = recorder_create(&world, "listener");
	struct pro_asynch_accept accepts[ACCEPTS];

	recorder_listen(listener, pipe_text);
	for (unsigned i = 0; i < ACCEPTS; i++) {
		ASSERT_OK(pro_asynch_accept_open(
				&accepts[i], recorder_handler(listener), PRO_INVALID_HANDLE, NULL));
		ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&accepts[i])));
	}
	world_run_ready(&world);
	ASSERT_OK(recorder_cancel(&accepts[3].operation));
	RUN_UNTIL(&world, listener->count[EVENT_ACCEPT] == 1);
	recorder_close(listener);
	RUN_UNTIL(&world, listener->is_closed);
	ck_assert_uint_eq(listener->cancels[EVENT_ACCEPT], ACCEPTS);
}
END_TEST

/* ---- streams ---- */

#define BYTES 300000

static void write_pattern(struct recorder *writer, struct pro_message_block *block, unsigned seed)
{
	unsigned char *bytes = pro_message_block_wr_ptr(block);

	pattern_fill(bytes, BYTES, 0, seed);
	block->wr += BYTES;
	ASSERT_OK(recorder_write(writer, block));
}

START_TEST(pipes_flow_both_ways)
{
	static unsigned char in_bytes[2][BYTES];
	struct recorder *ends[2];
	struct pro_message_block in[2];
	struct pro_message_block *out[2];

	for (unsigned i = 0; i < 2; i++)
		ends[i] = recorder_create(&world, i ? "right" : "left");
	recorder_tcp_pair(ends[0], ends[1], pipe_text);
	for (unsigned i = 0; i < 2; i++) {
		out[i] = pro_message_block_create(NULL, BYTES);
		write_pattern(ends[i], out[i], i);
		pro_message_block_init(&in[i], in_bytes[i], BYTES);
		ASSERT_OK(STARTED(ends[i], READ_STREAM,
				pro_asynch_read_stream_read_exactly(&ends[i]->reader, &in[i], BYTES)));
	}
	RUN_UNTIL(&world, ends[0]->count[EVENT_READ_STREAM] && ends[1]->count[EVENT_READ_STREAM] &&
							  ends[0]->count[EVENT_WRITE_STREAM] &&
							  ends[1]->count[EVENT_WRITE_STREAM]);
	for (unsigned i = 0; i < 2; i++) {
		ASSERT_OK(ends[i]->last[EVENT_READ_STREAM].error);
		pattern_check(in_bytes[i], BYTES, 0, 1 - i);
		pro_message_block_release(out[i]);
	}
}
END_TEST

/* _i: who closes */
START_TEST(end_of_a_pipe_is_an_end)
{
	struct recorder *ends[2];
	struct recorder *left;
	struct recorder *right;
	struct pro_message_block in;
	struct pro_message_block out;
	char bytes[16];

	for (unsigned i = 0; i < 2; i++)
		ends[i] = recorder_create(&world, "end");
	recorder_tcp_pair(ends[0], ends[1], pipe_text);
	left = ends[_i];
	right = ends[1 - _i];
	pro_message_block_init_filled(&out, "last words", 10);
	ASSERT_OK(recorder_write(left, &out));
	RUN_UNTIL(&world, left->count[EVENT_WRITE_STREAM] == 1);
	recorder_close(left);
	RUN_UNTIL(&world, left->is_closed);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(right, &in, 0));
	RUN_UNTIL(&world, right->count[EVENT_READ_STREAM] == 1);
	ASSERT_OK(right->last[EVENT_READ_STREAM].error);
	ck_assert_uint_eq(right->last[EVENT_READ_STREAM].bytes, 10);
	for (unsigned i = 2; i <= 3; i++) {
		pro_message_block_init(&in, bytes, sizeof(bytes));
		ASSERT_OK(recorder_read(right, &in, 0));
		RUN_UNTIL(&world, right->count[EVENT_READ_STREAM] == i);
		ASSERT_ERROR(right->last[EVENT_READ_STREAM].error, PRO_EOF);
	}
	pro_message_block_init_filled(&out, "too late", 8);
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(&world, right->count[EVENT_WRITE_STREAM] == 1);
	ASSERT_ERROR(right->last[EVENT_WRITE_STREAM].error, PRO_EPIPE);
}
END_TEST

START_TEST(reads_of_a_pipe_borrow_and_are_cancelled)
{
	struct recorder *left = recorder_create(&world, "left");
	struct recorder *right = recorder_create(&world, "right");
	struct pro_message_block out;

	recorder_tcp_pair(left, right, pipe_text);
	ASSERT_OK(recorder_read(left, NULL, 0));
	world_run_ready(&world);
	ck_assert_uint_eq(left->count[EVENT_READ_STREAM], 0);
	pro_message_block_init_filled(&out, "borrowed", 8);
	ASSERT_OK(recorder_write(right, &out));
	RUN_UNTIL(&world, left->count[EVENT_READ_STREAM] == 1);
	ASSERT_OK(left->last[EVENT_READ_STREAM].error);
	ck_assert_uint_eq(left->last[EVENT_READ_STREAM].bytes, 8);
	ASSERT_OK(recorder_read(left, NULL, 0));
	world_run_ready(&world);
	ASSERT_OK(recorder_cancel(&left->reader.operation));
	RUN_UNTIL(&world, left->count[EVENT_READ_STREAM] == 2);
	ASSERT_ERROR(left->last[EVENT_READ_STREAM].error, PRO_ECANCELED);
	/* One more is in flight when it is closed. */
	ASSERT_OK(recorder_read(left, NULL, 0));
	world_run_ready(&world);
	recorder_close(left);
	RUN_UNTIL(&world, left->is_closed);
	ck_assert_uint_eq(left->cancels[EVENT_READ_STREAM], 2);
}
END_TEST

#define CLIENTS 20

/* The acceptor knows nothing of pipes. */
START_TEST(services_listen_on_pipes)
{
	struct recorder *clients[CLIENTS];
	struct pro_message_block in[CLIENTS];
	struct pro_message_block out[CLIENTS];
	struct echo_server server;
	char bytes[CLIENTS][8];

	ASSERT_OK(echo_server_open(&server, world.proactor, pipe_text));
	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i] = start_connect(pro_asynch_acceptor_addr(&server.acceptor), 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		RUN_UNTIL(&world, clients[i]->count[EVENT_CONNECT]);
		ASSERT_OK(clients[i]->last[EVENT_CONNECT].error);
		recorder_own_stream(clients[i], recorder_take_handle(clients[i]));
		pro_message_block_init(&in[i], bytes[i], sizeof(bytes[i]));
		pro_message_block_init_filled(&out[i], "abcdefgh" + i % 4, 4);
		ASSERT_OK(recorder_read(clients[i], &in[i], 0));
		ASSERT_OK(recorder_write(clients[i], &out[i]));
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		RUN_UNTIL(&world, clients[i]->count[EVENT_READ_STREAM]);
		ck_assert_uint_eq(clients[i]->last[EVENT_READ_STREAM].bytes, 4);
		ck_assert_mem_eq(bytes[i], "abcdefgh" + i % 4, 4);
		recorder_close(clients[i]);
	}
	RUN_UNTIL(&world, server.closed == CLIENTS);
	echo_server_close(&world, &server);
}
END_TEST

/* ---- pipes that can only be waited for ---- */

static void make_pipe(HANDLE *reader, HANDLE *writer)
{
	ck_assert(CreatePipe(reader, writer, NULL, 0));
}

/* Another thread waits in the write, or is about to, or the write is queued: _i plays how long. */
START_TEST(write_that_nobody_reads_is_cancelled)
{
	static char bytes[1 << 20];
	struct recorder *writer = recorder_create(&world, "writer");
	struct pro_message_block block;
	HANDLE pipe;
	HANDLE end;

	make_pipe(&pipe, &end);
	recorder_own_stream(writer, (pro_handle)end);
	pro_message_block_init_filled(&block, bytes, sizeof(bytes));
	ASSERT_OK(recorder_write(writer, &block));
	for (int i = 0; i < _i; i++)
		ASSERT_OK(pro_proactor_handle_events(world.proactor, 10) < 0);
	if (_i % 2)
		ASSERT_OK(recorder_cancel(&writer->writer.operation));
	else
		recorder_close(writer);
	RUN_UNTIL(&world, writer->count[EVENT_WRITE_STREAM] == 1);
	ASSERT_ERROR(writer->last[EVENT_WRITE_STREAM].error, PRO_ECANCELED);
	ck_assert_uint_lt(writer->last[EVENT_WRITE_STREAM].bytes, sizeof(bytes));
	recorder_close(writer);
	RUN_UNTIL(&world, writer->is_closed);
	CloseHandle(pipe);
}
END_TEST

START_TEST(nothing_written_to_a_pipe_is_no_end)
{
	struct recorder *reader = recorder_create(&world, "reader");
	struct pro_message_block block;
	char bytes[8];
	HANDLE pipe;
	HANDLE end;
	DWORD done;

	make_pipe(&pipe, &end);
	recorder_own_stream(reader, (pro_handle)pipe);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(reader, &block, 0));
	world_run_ready(&world);
	ck_assert(WriteFile(end, "", 0, &done, NULL));
	ck_assert(WriteFile(end, "x", 1, &done, NULL));
	RUN_UNTIL(&world, reader->count[EVENT_READ_STREAM] == 1);
	ASSERT_OK(reader->last[EVENT_READ_STREAM].error);
	ck_assert_uint_eq(reader->last[EVENT_READ_STREAM].bytes, 1);
	CloseHandle(end);
	recorder_close(reader);
	RUN_UNTIL(&world, reader->is_closed);
}
END_TEST

/* ---- listeners ---- */

/* _i: to the wildcard of IPv4, of IPv6, to an address of IPv4 by IPv6 */
START_TEST(connects_lead_where_they_do_elsewhere)
{
	static const char *const texts[] = {"0.0.0.0:1", "[::]:1", "[::ffff:127.0.0.1]:1"};
	struct recorder *listener = recorder_create(&world, "listener");
	struct pro_addr addr = recorder_listen(listener, _i == 0 ? "0.0.0.0:0" : "[::]:0");
	struct pro_addr to = world_addr(texts[_i]);
	struct recorder *client;

	pro_addr_set_port(&to, pro_addr_port(&addr));
	ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&listener->accept)));
	client = start_connect(&to, 0);
	RUN_UNTIL(&world, client->count[EVENT_CONNECT] && listener->count[EVENT_ACCEPT]);
	ASSERT_OK(client->last[EVENT_CONNECT].error);
	ASSERT_OK(listener->last[EVENT_ACCEPT].error);
}
END_TEST

/* With SO_REUSEADDR, which takes ports over here. */
static DWORD steal(const struct pro_addr *addr)
{
	const struct sockaddr *name = (const struct sockaddr *)(const void *)addr->storage.bytes;
	SOCKET thief = socket(name->sa_family, SOCK_STREAM, IPPROTO_TCP);
	BOOL yes = TRUE;
	DWORD error = 0;

	ck_assert(thief != INVALID_SOCKET);
	ck_assert_int_eq(
			setsockopt(thief, SOL_SOCKET, SO_REUSEADDR, (const char *)&yes, sizeof(yes)), 0);
	if (bind(thief, name, (int)addr->length) == SOCKET_ERROR)
		error = (DWORD)WSAGetLastError();
	closesocket(thief);
	return error;
}

/* _i: the family */
START_TEST(listeners_are_nobody_elses)
{
	struct recorder *listener = recorder_create(&world, "listener");
	struct pro_addr addr = recorder_listen(listener, _i ? ANY_INET6 : ANY_INET);
	SOCKET socket = (SOCKET)pro_handler_handle(recorder_handler(listener));
	BOOL is_exclusive = FALSE;
	int length = sizeof(is_exclusive);
	pro_handle handle;
	DWORD error;

	ck_assert_int_eq(
			getsockopt(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (char *)&is_exclusive, &length), 0);
	ck_assert(is_exclusive);
	ASSERT_ERROR(pro_socket_listen(world.proactor, &addr, 0, &handle), PRO_EADDRINUSE);
	error = steal(&addr);
	ck_assert_msg(error == WSAEADDRINUSE || error == WSAEACCES, "error %lu", error);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *suite = suite_create("windows_world");
	TCase *pipes = tcase_create("pipes");
	TCase *listeners = tcase_create("listeners");

	tcase_add_checked_fixture(pipes, set_up, tear_down);
	tcase_add_test(pipes, names_of_pipes_are_addresses);
	tcase_add_test(pipes, name_of_a_pipe_is_free_after_its_listener);
	tcase_add_test(pipes, pipe_that_nobody_listens_on_is_not_there);
	tcase_add_test(pipes, connect_waits_for_an_accept);
	tcase_add_test(pipes, close_cancels_all_accepts_of_a_pipe);
	tcase_add_test(pipes, pipes_flow_both_ways);
	tcase_add_loop_test(pipes, end_of_a_pipe_is_an_end, 0, 2);
	tcase_add_test(pipes, reads_of_a_pipe_borrow_and_are_cancelled);
	tcase_add_test(pipes, services_listen_on_pipes);
	tcase_add_loop_test(pipes, write_that_nobody_reads_is_cancelled, 0, 4);
	tcase_add_test(pipes, nothing_written_to_a_pipe_is_no_end);
	suite_add_tcase(suite, pipes);
	tcase_add_checked_fixture(listeners, set_up, tear_down);
	tcase_add_loop_test(listeners, listeners_are_nobody_elses, 0, 2);
	tcase_add_loop_test(listeners, connects_lead_where_they_do_elsewhere, 0, 3);
	suite_add_tcase(suite, listeners);
	return suite;
}

int main(void)
{
	return suite_run(make_suite());
}
