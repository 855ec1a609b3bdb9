/* What a test does to a simulated world, and what the world says to things done wrong. */
#include "../support/allocator.h"
#include "probe.h"

#include <stdio.h>
#include <string.h>

#define ALWAYS 1000000u /* in a million */

/* ---- the network ---- */

START_TEST(only_live_connections_are_reset)
{
	struct pair pair;
	pro_handle unjoined;
	struct pro_addr any = world_addr("10.0.0.1:0");
	char bytes[4];

	pair_open(&pair);
	ck_assert_int_eq(pro_sim_reset_handle(pair.sim, 99), PRO_EBADF);
	ck_assert_int_eq(pro_sim_reset_handle(pair.sim, 5000), PRO_EBADF);
	ck_assert_int_eq(pro_socket_listen(pair.server.proactor, &any, 0, &unjoined), 0);
	ck_assert_int_eq(pro_sim_reset_handle(pair.sim, unjoined), PRO_ENOTCONN);
	ck_assert_int_eq(pro_proactor_close_handle(pair.server.proactor, unjoined), 0);
	/* The other end stays: this one is closed and is no connection of its proactor any more. */
	probe_close(&pair.client);
	ck_assert_uint_eq(pro_sim_reset_connections(pair.sim, pair.client.proactor), 0);
	ck_assert_uint_eq(pro_sim_reset_connections(pair.sim, pair.server.proactor), 1);
	ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), PRO_ECONNRESET);
	probe_close(&pair.server);
	world_end(pair.sim);
}
END_TEST

START_TEST(connect_under_way_is_no_connection_yet)
{
	struct pro_sim *sim = calm_world();
	struct pro_addr addr = world_addr("10.0.0.1:80");
	struct pro_proactor *server = world_proactor(sim, "server");
	struct probe client;

	probe_init(&client, sim, world_proactor(sim, "client"));
	ck_assert_int_eq(pro_asynch_connect_connect(&client.connect, &addr, NULL), 0);
	client.pending = 1;
	while (pro_sim_handles(sim, client.proactor) == 0)
		ck_assert_int_eq(pro_sim_step(sim), 1);
	ck_assert_uint_eq(pro_sim_reset_connections(sim, client.proactor), 0);
	/* The first number of the world. */
	ck_assert_int_eq(pro_sim_reset_handle(sim, 100), PRO_ENOTCONN);
	probe_wait(&client);
	ck_assert_int_eq(client.error, PRO_ECONNREFUSED);
	ck_assert_uint_eq(pro_sim_handles(sim, server), 0);
	probe_close(&client);
	world_end(sim);
}
END_TEST

START_TEST(capacity_holds_for_connections_made_later)
{
	static unsigned char bytes[1000];
	struct pro_message_block block;
	struct pair pair;

	pair.sim = calm_world();
	pro_sim_set_buffer_bytes(pair.sim, 100);
	probe_init(&pair.server, pair.sim, world_proactor(pair.sim, "server"));
	probe_init(&pair.client, pair.sim, world_proactor(pair.sim, "client"));
	probe_join(&pair.client, &pair.server);
	pro_sim_set_buffer_bytes(pair.sim, 0);
	pro_message_block_init_filled(&block, bytes, sizeof(bytes));
	probe_start_write(&pair.client, &block);
	ck_assert_int_eq(pro_sim_run_until(pair.sim, NULL, NULL, 1000), 0);
	ck_assert_uint_eq(pro_asynch_write_stream_queued(&pair.client.writer), 900);
	pair_close(&pair);
	/* Two bytes are the least: one on each side. */
	pair.sim = calm_world();
	pro_sim_set_buffer_bytes(pair.sim, 0);
	probe_init(&pair.server, pair.sim, world_proactor(pair.sim, "server"));
	probe_init(&pair.client, pair.sim, world_proactor(pair.sim, "client"));
	probe_join(&pair.client, &pair.server);
	pro_message_block_init_filled(&block, bytes, sizeof(bytes));
	probe_start_write(&pair.client, &block);
	ck_assert_int_eq(pro_sim_run_until(pair.sim, NULL, NULL, 1000), 0);
	ck_assert_uint_eq(pro_asynch_write_stream_queued(&pair.client.writer), 998);
	pair_close(&pair);
}
END_TEST

START_TEST(latency_is_in_order)
{
	struct pair pair;
	uint64_t begin_ns;
	char bytes[4];

	pair_open(&pair);
	pro_sim_set_latency(pair.sim, 3000, 1000);
	begin_ns = pro_sim_now_ns(pair.sim);
	ck_assert_int_eq(probe_write(&pair.client, "x", 1), 0);
	ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), 0);
	ck_assert_uint_ge(pro_sim_now_ns(pair.sim) - begin_ns, 3000000);
	ck_assert_uint_le(pro_sim_now_ns(pair.sim) - begin_ns, 3500000);
	pair_close(&pair);
}
END_TEST

/* ---- listeners and what reaches them ---- */

static struct probe *listen_at(struct pro_sim *sim, struct pro_proactor *proactor, const char *text)
{
	static struct probe probes[8];
	static unsigned next;
	struct probe *probe = &probes[next++ % 8];
	struct pro_addr addr = world_addr(text);
	pro_handle handle;

	ck_assert_int_eq(pro_socket_listen(proactor, &addr, 0, &handle), 0);
	probe_init(probe, sim, proactor);
	probe_own(probe, handle);
	return probe;
}

static int listen_error(struct pro_proactor *proactor, const char *text)
{
	struct pro_addr addr = world_addr(text);
	pro_handle handle;
	int error = pro_socket_listen(proactor, &addr, 0, &handle);

	if (error)
		ck_assert_int_eq(handle, PRO_INVALID_HANDLE);
	else
		pro_proactor_close_handle(proactor, handle);
	return error;
}

START_TEST(wildcards_and_addresses_share_a_port_as_elsewhere)
{
	struct pro_sim *sim = calm_world();
	struct pro_proactor *server = world_proactor(sim, "server");
	struct probe *one = listen_at(sim, server, "10.0.0.1:80");
	struct probe *any = listen_at(sim, server, "0.0.0.0:81");
	struct probe *any6 = listen_at(sim, server, "[::]:82");
	struct probe *path = listen_at(sim, server, "unix:/run/80");

	ck_assert_int_eq(listen_error(server, "0.0.0.0:80"), PRO_EADDRINUSE);
	ck_assert_int_eq(listen_error(server, "[::]:80"), PRO_EADDRINUSE);
	ck_assert_int_eq(listen_error(server, "10.0.0.2:80"), 0);
	ck_assert_int_eq(listen_error(server, "10.0.0.1:81"), PRO_EADDRINUSE);
	ck_assert_int_eq(listen_error(server, "[fd00::1]:81"), 0);
	ck_assert_int_eq(listen_error(server, "10.0.0.1:82"), PRO_EADDRINUSE);
	ck_assert_int_eq(listen_error(server, "unix:/run/80"), PRO_EADDRINUSE);
	ck_assert_int_eq(listen_error(server, "unix:/run/81"), 0);
	pro_sim_set_handles_max(sim, server, 4);
	ck_assert_int_eq(listen_error(server, "10.0.0.1:90"), PRO_EMFILE);
	probe_close(one);
	probe_close(any);
	probe_close(any6);
	probe_close(path);
	world_end(sim);
}
END_TEST

START_TEST(connects_reach_what_listens_for_their_address)
{
	struct pro_sim *sim = calm_world();
	struct pro_proactor *server = world_proactor(sim, "server");
	struct probe *any = listen_at(sim, server, "0.0.0.0:81");
	struct probe *any6 = listen_at(sim, server, "[::]:82");
	char text[PRO_ADDR_TEXT_MAX];
	struct probe client;

	probe_init(&client, sim, world_proactor(sim, "client"));
	ck_assert_int_eq(probe_connect(&client, "[::1]:81"), PRO_ECONNREFUSED);
	ck_assert_int_eq(probe_connect(&client, "127.0.0.1:81"), 0);
	ck_assert_int_eq(pro_proactor_close_handle(client.proactor, client.handle), 0);
	ck_assert_int_eq(probe_accept(any), 0);
	ck_assert_str_eq(pro_addr_format(&any->remote, text, sizeof(text)), "127.0.0.1:49153");
	ck_assert_int_eq(pro_proactor_close_handle(server, any->handle), 0);
	ck_assert_int_eq(probe_connect(&client, "[::1]:82"), 0);
	ck_assert_int_eq(pro_proactor_close_handle(client.proactor, client.handle), 0);
	ck_assert_int_eq(probe_accept(any6), 0);
	ck_assert_str_eq(pro_addr_format(&any6->remote, text, sizeof(text)), "[::1]:49154");
	ck_assert_int_eq(pro_proactor_close_handle(server, any6->handle), 0);
	probe_close(&client);
	probe_close(any);
	probe_close(any6);
	world_end(sim);
}
END_TEST

static int connect_from(struct probe *client, const char *local, struct pro_addr *actual)
{
	struct pro_addr remote = world_addr("10.0.0.1:80");
	struct pro_addr from = {.length = 0};

	if (*local)
		from = world_addr(local);
	ck_assert_int_eq(pro_asynch_connect_connect(&client->connect, &remote, &from), 0);
	client->pending = 1;
	probe_wait(client);
	if (!client->error) {
		ck_assert_int_eq(pro_socket_local_addr(client->proactor, client->handle, actual), 0);
		ck_assert_int_eq(pro_proactor_close_handle(client->proactor, client->handle), 0);
	}
	return client->error;
}

START_TEST(connects_come_from_the_address_they_name)
{
	struct pro_sim *sim = calm_world();
	struct probe *listener = listen_at(sim, world_proactor(sim, "server"), "10.0.0.1:80");
	/* Numbers that are taken are left out. */
	struct probe *taken = listen_at(sim, listener->proactor, "10.0.0.1:49152");
	char text[PRO_ADDR_TEXT_MAX];
	struct pro_addr local;
	struct probe *own;
	struct probe client;

	probe_init(&client, sim, world_proactor(sim, "client"));
	own = listen_at(sim, client.proactor, "10.0.0.2:7000");
	ck_assert_int_eq(connect_from(&client, "", &local), 0);
	ck_assert_str_eq(pro_addr_format(&local, text, sizeof(text)), "10.0.0.2:49153");
	ck_assert_int_eq(connect_from(&client, "10.0.0.2:0", &local), 0);
	ck_assert_str_eq(pro_addr_format(&local, text, sizeof(text)), "10.0.0.2:49154");
	ck_assert_int_eq(connect_from(&client, "10.0.0.2:6000", &local), 0);
	ck_assert_str_eq(pro_addr_format(&local, text, sizeof(text)), "10.0.0.2:6000");
	ck_assert_int_eq(connect_from(&client, "10.0.0.2:7000", &local), PRO_EADDRINUSE);
	/* That of another machine is none of this one's business. */
	ck_assert_int_eq(connect_from(&client, "10.0.0.1:49152", &local), 0);
	probe_close(&client);
	probe_close(own);
	probe_close(taken);
	probe_close(listener);
	world_end(sim);
}
END_TEST

START_TEST(connects_wait_for_the_way_back_and_for_the_queue)
{
	struct pro_sim *sim = calm_world();
	struct pro_addr addr = world_addr("10.0.0.1:80");
	struct pro_proactor *server = world_proactor(sim, "server");
	struct probe listener;
	struct probe clients[2];
	pro_handle handle;

	ck_assert_int_eq(pro_socket_listen(server, &addr, 1, &handle), 0);
	probe_init(&listener, sim, server);
	probe_own(&listener, handle);
	for (unsigned i = 0; i < 2; i++)
		probe_init(&clients[i], sim, world_proactor(sim, "client"));
	pro_sim_clog(sim, server, clients[0].proactor, -1);
	ck_assert_int_eq(probe_connect(&clients[0], "10.0.0.1:80"), PRO_ETIMEDOUT);
	pro_sim_heal(sim, server, clients[0].proactor);
	ck_assert_int_eq(probe_connect(&clients[0], "10.0.0.1:80"), 0);
	/* One waits in the queue: the next tries again until there is room. */
	ck_assert_int_eq(pro_asynch_connect_connect(&clients[1].connect, &addr, NULL), 0);
	clients[1].pending = 1;
	pro_sim_run_until(sim, NULL, NULL, 500);
	ck_assert_uint_eq(clients[1].pending, 1);
	ck_assert_int_eq(probe_accept(&listener), 0);
	ck_assert_int_eq(pro_proactor_close_handle(server, listener.handle), 0);
	probe_wait(&clients[1]);
	ck_assert_int_eq(clients[1].error, 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(pro_proactor_close_handle(clients[i].proactor, clients[i].handle), 0);
		probe_close(&clients[i]);
	}
	probe_close(&listener);
	world_end(sim);
}
END_TEST

/* ---- handles that are not what an operation is for ---- */

enum { STREAM, LISTENER, DGRAM, FILE_, KINDS };

static void check_errors(struct probe *probe, const int expected[8])
{
	struct pro_addr addr = world_addr("10.0.0.1:9");
	struct pro_message_block block;
	char bytes[4] = "abc";

	pro_operation_set_timeout(&probe->reader.operation, 10);
	ck_assert_int_eq(probe_read(probe, bytes, sizeof(bytes)), expected[0]);
	ck_assert_int_eq(probe_write(probe, "x", 1), expected[1]);
	ck_assert_int_eq(probe_read_file(probe, bytes, sizeof(bytes), 0), expected[2]);
	ck_assert_int_eq(probe_write_file(probe, "x", 1, 0), expected[3]);
	pro_operation_set_timeout(&probe->dgram_reader.operation, 10);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ck_assert_int_eq(pro_asynch_read_dgram_recv(&probe->dgram_reader, &block), 0);
	probe->pending = 1;
	probe_wait(probe);
	ck_assert_int_eq(probe->error, expected[4]);
	pro_message_block_init_filled(&block, "x", 1);
	ck_assert_int_eq(pro_asynch_write_dgram_send(&probe->dgram_writer, &block, &addr), 0);
	probe->pending = 1;
	probe_wait(probe);
	ck_assert_int_eq(probe->error, expected[5]);
	pro_operation_set_timeout(&probe->accept.operation, 10);
	ck_assert_int_eq(probe_accept(probe), expected[6]);
	ck_assert_int_eq(pro_socket_set_option(probe->proactor, pro_handler_handle(&probe->handler),
							 PRO_SOCKET_KEEPALIVE, 1),
			expected[7]);
}

START_TEST(operations_fail_on_handles_of_other_kinds)
{
	static const int expected[KINDS][8] = {
			[STREAM] = {PRO_ETIMEDOUT, 0, PRO_ESPIPE, PRO_ESPIPE, PRO_ENOTSUP, PRO_ENOTSUP,
					PRO_EINVAL, 0},
			[LISTENER] = {PRO_ENOTCONN, PRO_ENOTCONN, PRO_ESPIPE, PRO_ESPIPE, PRO_ENOTSUP,
					PRO_ENOTSUP, PRO_ETIMEDOUT, 0},
			[DGRAM] = {PRO_ENOTCONN, PRO_ENOTCONN, PRO_ESPIPE, PRO_ESPIPE, PRO_ETIMEDOUT, 0,
					PRO_EINVAL, 0},
			[FILE_] = {PRO_ENOTSOCK, PRO_ENOTSOCK, PRO_EOF, 0, PRO_ENOTSOCK, PRO_ENOTSOCK,
					PRO_ENOTSOCK, PRO_ENOTSOCK},
	};
	struct pro_sim *sim = calm_world();
	struct pro_proactor *proactor = world_proactor(sim, "one");
	struct pro_addr any = world_addr("10.0.0.1:0");
	struct pro_addr addr;
	struct probe probes[KINDS];
	pro_handle handles[KINDS];
	pro_handle pair[2];

	ck_assert_int_eq(pro_socket_pair(proactor, pair), 0);
	handles[STREAM] = pair[0];
	ck_assert_int_eq(pro_socket_listen(proactor, &any, 0, &handles[LISTENER]), 0);
	ck_assert_int_eq(pro_socket_dgram(proactor, PRO_FAMILY_INET, NULL, &handles[DGRAM]), 0);
	ck_assert_int_eq(pro_file_open(proactor, "/f", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE,
							 &handles[FILE_]),
			0);
	for (unsigned i = 0; i < KINDS; i++) {
		const int is_file = i == FILE_ ? PRO_ENOTSOCK : 0;

		probe_init(&probes[i], sim, proactor);
		probe_own(&probes[i], handles[i]);
		check_errors(&probes[i], expected[i]);
		ck_assert_int_eq(pro_socket_local_addr(proactor, handles[i], &addr), is_file);
		ck_assert_int_eq(
				pro_socket_remote_addr(proactor, handles[i], &addr), i == STREAM ? 0
																	 : is_file   ? is_file
																				 : PRO_ENOTCONN);
		ck_assert_int_eq(pro_socket_shutdown_write(proactor, handles[i]), i == STREAM ? 0
																		  : is_file   ? is_file
																					: PRO_ENOTCONN);
		probe_close(&probes[i]);
		ck_assert_int_eq(pro_socket_local_addr(proactor, handles[i], &addr), PRO_EBADF);
		ck_assert_int_eq(pro_socket_remote_addr(proactor, handles[i], &addr), PRO_EBADF);
		ck_assert_int_eq(pro_socket_shutdown_write(proactor, handles[i]), PRO_EBADF);
		ck_assert_int_eq(
				pro_socket_set_option(proactor, handles[i], PRO_SOCKET_KEEPALIVE, 1), PRO_EBADF);
	}
	ck_assert_int_eq(pro_proactor_close_handle(proactor, pair[1]), 0);
	world_end(sim);
}
END_TEST

START_TEST(options_of_streams_are_those_of_sockets)
{
	struct pair pair;
	struct pro_addr addr;
	struct probe *client = &pair.client;
	char bytes[4];

	pair_open(&pair);
	ck_assert_int_eq(
			pro_socket_set_option(client->proactor, client->handle, PRO_SOCKET_NODELAY, 1), 0);
	ck_assert_int_eq(
			pro_socket_set_option(client->proactor, client->handle, PRO_SOCKET_BROADCAST, 1), 0);
	ck_assert_int_eq(
			pro_socket_set_option(client->proactor, client->handle, PRO_SOCKET_SEND_BUFFER, 0), 0);
	ck_assert_int_eq(
			pro_socket_set_option(client->proactor, client->handle, (enum pro_socket_option)99, 1),
			PRO_EINVAL);
	ck_assert_int_eq(
			pro_socket_set_option(client->proactor, client->handle, PRO_SOCKET_LINGER_RESET, 1), 0);
	ck_assert_int_eq(pro_sim_reset_handle(pair.sim, client->handle), 0);
	pro_sim_run_until(pair.sim, NULL, NULL, 10);
	ck_assert_int_eq(pro_socket_remote_addr(client->proactor, client->handle, &addr), PRO_ENOTCONN);
	ck_assert_int_eq(pro_socket_shutdown_write(client->proactor, client->handle), PRO_ENOTCONN);
	ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), PRO_ECONNRESET);
	pair_close(&pair);
}
END_TEST

START_TEST(pair_needs_two_numbers)
{
	struct pro_sim *sim = calm_world();
	struct pro_proactor *proactor = world_proactor(sim, "one");
	pro_handle handles[2];

	for (unsigned most = 0; most < 2; most++) {
		pro_sim_set_handles_max(sim, proactor, most);
		ck_assert_int_eq(pro_socket_pair(proactor, handles), PRO_EMFILE);
		ck_assert_int_eq(handles[0], PRO_INVALID_HANDLE);
		ck_assert_int_eq(handles[1], PRO_INVALID_HANDLE);
		ck_assert_uint_eq(pro_sim_handles(sim, proactor), 0);
	}
	world_end(sim);
}
END_TEST

/* Without memory a handle is closed at once: what that finds. */
START_TEST(handles_are_closed_without_memory_too)
{
	struct pro_sim *sim = calm_world();
	struct pro_proactor_options options;
	struct pro_proactor *proactor;
	struct test_allocator memory;
	struct pro_message_block block;
	struct probe probe;
	pro_handle handles[2];
	unsigned closed_twice = 0;
	char bytes[4];

	test_allocator_init(&memory);
	pro_proactor_options_init(&options);
	options.allocator = &memory.allocator;
	ck_assert_int_eq(pro_sim_proactor_create(sim, "poor", &options, &proactor), 0);
	ck_assert_int_eq(pro_socket_pair(proactor, handles), 0);
	probe_init(&probe, sim, proactor);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	for (unsigned i = 0; i < 16; i++) {
		if (i > 0)
			ck_assert_int_eq(pro_socket_pair(proactor, handles), 0);
		ck_assert_int_eq(
				pro_asynch_read_stream_open(&probe.reader, &probe.handler, handles[0], NULL), 0);
		probe_start_read(&probe, &block);
		pro_sim_run_until(sim, NULL, NULL, 1);
		memory.fails_always = true;
		ck_assert_int_eq(pro_proactor_close_handle(proactor, handles[1]), 0);
		ck_assert_int_eq(pro_proactor_close_handle(proactor, handles[0]), 0);
		/* Twice, while what was in flight may still end: that is one close. */
		if (pro_sim_handles(sim, proactor) > 0) {
			ck_assert_int_eq(pro_proactor_close_handle(proactor, handles[0]), 0);
			closed_twice++;
		}
		probe_wait(&probe);
		memory.fails_always = false;
		ck_assert(probe.error == PRO_ECANCELED || probe.error == PRO_EOF);
		ck_assert_uint_eq(pro_sim_handles(sim, proactor), 0);
	}
	ck_assert_uint_gt(closed_twice, 0);
	memory.fails_always = true;
	ck_assert_ptr_null(pro_sim_failure(sim));
	ck_assert_int_eq(pro_proactor_close_handle(proactor, handles[0]), 0);
	memory.fails_always = false;
	ck_assert_str_eq(pro_sim_failure(sim), "poor closes handle 100, which is not open");
	pro_handler_close(&probe.handler);
	pro_sim_destroy(sim);
}
END_TEST

/* ---- files ---- */

START_TEST(names_of_files_are_checked)
{
	static char long_name[400];
	struct pro_sim *sim = calm_world();
	size_t length = 4;
	uint64_t size = 1;
	char bytes[4];

	memset(long_name, 'n', sizeof(long_name) - 1);
	ck_assert_int_eq(pro_sim_file_write(sim, "/a/file", 0, "1234", 4), 0);
	ck_assert_int_eq(pro_sim_file_write(sim, "", 0, "1", 1), PRO_EINVAL);
	ck_assert_int_eq(pro_sim_file_write(sim, "/a/", 0, "1", 1), PRO_EINVAL);
	ck_assert_int_eq(pro_sim_file_write(sim, long_name, 0, "1", 1), PRO_EINVAL);
	ck_assert_int_eq(pro_sim_file_write(sim, "/a", 0, "1", 1), PRO_EISDIR);
	ck_assert_int_eq(pro_sim_file_write(sim, "/a/file/b", 0, "1", 1), PRO_ENOTDIR);
	ck_assert_int_eq(pro_sim_make_directory(sim, "/a"), 0);
	ck_assert_int_eq(pro_sim_make_directory(sim, "/a/file"), PRO_EEXIST);
	ck_assert_int_eq(pro_sim_make_link(sim, "/a/file"), PRO_EEXIST);
	ck_assert_int_eq(pro_sim_make_device(sim, "/a"), PRO_EISDIR);
	ck_assert_int_eq(pro_sim_file_read(sim, "/b", 0, bytes, &length), PRO_ENOENT);
	ck_assert_int_eq(pro_sim_file_read(sim, "/a", 0, bytes, &length), PRO_EISDIR);
	ck_assert_int_eq(pro_sim_file_read(sim, "/a/file/x", 0, bytes, &length), PRO_ENOTDIR);
	ck_assert_int_eq(pro_sim_file_size(sim, "/b", &size), PRO_ENOENT);
	ck_assert_uint_eq(size, 1);
	ck_assert_int_eq(pro_sim_file_resize(sim, "/b", 1), PRO_ENOENT);
	ck_assert_int_eq(pro_sim_file_resize(sim, "/a", 1), PRO_EISDIR);
	length = 4;
	ck_assert_int_eq(pro_sim_file_read(sim, "/a/file", 3, bytes, &length), 0);
	ck_assert_uint_eq(length, 1);
	ck_assert_int_eq(bytes[0], '4');
	ck_assert_int_eq(pro_sim_file_read(sim, "/a/file", 9, bytes, &length), 0);
	ck_assert_uint_eq(length, 0);
	pro_sim_destroy(sim);
}
END_TEST

START_TEST(removed_file_lives_as_long_as_its_handle)
{
	struct pro_sim *sim = calm_world();
	struct pro_file_status status;
	uint64_t size;
	pro_handle handle;
	struct probe probe;
	char bytes[8];

	ck_assert_int_eq(pro_sim_file_write(sim, "/a/one", 0, "one", 3), 0);
	ck_assert_int_eq(pro_sim_file_write(sim, "/a/two", 0, "two", 3), 0);
	probe_init(&probe, sim, world_proactor(sim, "reader"));
	ck_assert_int_eq(pro_file_open(probe.proactor, "/a/one", PRO_FILE_READ, &handle), 0);
	probe_own(&probe, handle);
	/* The older and the younger of two. */
	ck_assert_int_eq(pro_sim_file_remove(sim, "/a/one"), 0);
	ck_assert_int_eq(pro_sim_file_remove(sim, "/a/two"), 0);
	ck_assert_int_eq(pro_sim_file_remove(sim, "/a/two"), PRO_ENOENT);
	ck_assert_int_eq(pro_sim_file_remove(sim, "/"), PRO_EISDIR);
	ck_assert_int_eq(pro_sim_file_size(sim, "/a/one", &size), PRO_ENOENT);
	ck_assert_int_eq(probe_read_file(&probe, bytes, sizeof(bytes), 0), 0);
	ck_assert_mem_eq(bytes, "one", 3);
	ck_assert_int_eq(pro_file_status(probe.proactor, handle, &status), 0);
	ck_assert_uint_eq(status.size, 3);
	probe_close(&probe);
	ck_assert_int_eq(pro_file_status(probe.proactor, handle, &status), PRO_EBADF);
	world_end(sim);
}
END_TEST

/* What is left of two files after a crash, of which one was synced before. */
struct left {
	unsigned synced_is_whole;
	unsigned new_is_gone;
	unsigned new_is_short;
	unsigned new_is_whole;
};

static void crash_world(uint64_t seed, struct left *left)
{
	static unsigned char bytes[10000];
	struct pro_sim_options options;
	struct pro_sim *sim;
	struct probe probe;
	struct pro_message_block block;
	pro_handle handle;
	uint64_t size;

	pro_sim_options_init(&options);
	options.seed = seed;
	options.faults = 0;
	ck_assert_int_eq(pro_sim_create(&sim, &options), 0);
	probe_init(&probe, sim, world_proactor(sim, "writer"));
	ck_assert_int_eq(pro_sim_make_directory(sim, "/d"), 0);
	ck_assert_int_eq(pro_sim_file_write(sim, "/d/synced", 0, "s", 1), 0);
	ck_assert_int_eq(pro_file_open(probe.proactor, "/d/synced", PRO_FILE_WRITE, &handle), 0);
	probe_own(&probe, handle);
	ck_assert_int_eq(probe_write_file(&probe, bytes, sizeof(bytes), 0), 0);
	pro_sim_sync(sim);
	ck_assert_int_eq(
			pro_file_open(probe.proactor, "/d/new", PRO_FILE_WRITE | PRO_FILE_CREATE, &handle), 0);
	ck_assert_int_eq(
			pro_asynch_write_file_open(&probe.file_writer, &probe.handler, handle, NULL), 0);
	ck_assert_int_eq(probe_write_file(&probe, bytes, sizeof(bytes), 0), 0);
	/* What is in flight is lost with the machine. */
	pro_message_block_init_filled(&block, bytes, 1);
	ck_assert_int_eq(pro_asynch_write_file_write(&probe.file_writer, &block, 20000), 0);
	probe.pending = 1;
	pro_sim_step(sim);
	pro_sim_crash(sim, probe.proactor);
	ck_assert_int_eq(pro_file_open(probe.proactor, "/d/new", PRO_FILE_WRITE, &handle), PRO_EIO);
	ck_assert_int_eq(pro_proactor_destroy(probe.proactor), 0);
	ck_assert_int_eq(probe.error, PRO_ECANCELED);
	ck_assert_int_eq(pro_sim_file_size(sim, "/d/synced", &size), 0);
	left->synced_is_whole += size == sizeof(bytes);
	if (pro_sim_file_size(sim, "/d/new", &size))
		left->new_is_gone++;
	else if (size == 0)
		left->new_is_short++;
	else
		left->new_is_whole += size == sizeof(bytes);
	world_end(sim);
}

START_TEST(crash_leaves_what_was_synced)
{
	struct left left = {0};

	for (uint64_t seed = 0; seed < 100; seed++)
		crash_world(seed, &left);
	ck_assert_uint_eq(left.synced_is_whole, 100);
	ck_assert_uint_gt(left.new_is_gone, 20);
	ck_assert_uint_gt(left.new_is_short, 10);
	ck_assert_uint_gt(left.new_is_whole, 10);
	ck_assert_uint_eq(left.new_is_gone + left.new_is_short + left.new_is_whole, 100);
}
END_TEST

START_TEST(files_end_at_the_last_offset)
{
	struct pro_sim *sim = calm_world();
	struct pro_file_status status;
	struct probe probe;
	pro_handle handle;
	pro_handle pair[2];

	probe_init(&probe, sim, world_proactor(sim, "one"));
	ck_assert_int_eq(pro_file_open(probe.proactor, "/f",
							 PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE, &handle),
			0);
	probe_own(&probe, handle);
	ck_assert_int_eq(pro_socket_pair(probe.proactor, pair), 0);
	ck_assert_int_eq(pro_file_status(probe.proactor, pair[0], &status), 0);
	ck_assert_int_eq(status.type, PRO_FILE_OTHER);
	ck_assert_int_eq(probe_write_file(&probe, "12", 2, INT64_MAX - 2), 0);
	ck_assert_int_eq(pro_file_status(probe.proactor, handle, &status), 0);
	ck_assert_uint_eq(status.size, INT64_MAX);
	ck_assert_int_eq(status.type, PRO_FILE_REGULAR);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pro_proactor_close_handle(probe.proactor, pair[i]), 0);
	probe_close(&probe);
	world_end(sim);
}
END_TEST

START_TEST(directories_are_not_made_by_opening)
{
	static char deep[5000];
	struct pro_sim *sim = calm_world();
	struct pro_proactor *proactor = world_proactor(sim, "one");
	const unsigned make = PRO_FILE_WRITE | PRO_FILE_CREATE;
	pro_handle handle;

	memset(deep, '/', sizeof(deep) - 1);
	deep[sizeof(deep) - 2] = 'f';
	ck_assert_int_eq(pro_file_open(proactor, "/new/", make, &handle), PRO_EISDIR);
	ck_assert_int_eq(pro_file_open(proactor, "/..", make, &handle), PRO_ENOENT);
	ck_assert_int_eq(pro_file_open(proactor, "/f", PRO_FILE_WRITE | PRO_FILE_EXCLUSIVE, &handle),
			PRO_EINVAL);
	ck_assert_int_eq(pro_file_open(proactor, "/f", 0x8000 | PRO_FILE_READ, &handle), PRO_EINVAL);
	ck_assert_int_eq(pro_file_open(proactor, "f", make, &handle), 0);
	ck_assert_int_eq(pro_proactor_close_handle(proactor, handle), 0);
	world_end(sim);
}
END_TEST

/* ---- what is left is named ---- */

START_TEST(handles_that_are_left_are_named_by_kind)
{
	static const char *const texts[] = {"a stream of step", "a listener of step",
			"a datagram socket of step", "a file of step"};
	struct pro_addr any = world_addr("10.0.0.1:0");

	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct pro_sim *sim = calm_world();
		struct pro_proactor *proactor = world_proactor(sim, "leaky");
		pro_handle handles[2] = {PRO_INVALID_HANDLE, PRO_INVALID_HANDLE};

		if (kind == STREAM)
			ck_assert_int_eq(pro_socket_pair(proactor, handles), 0);
		if (kind == LISTENER)
			ck_assert_int_eq(pro_socket_listen(proactor, &any, 0, handles), 0);
		if (kind == DGRAM)
			ck_assert_int_eq(pro_socket_dgram(proactor, PRO_FAMILY_INET6, NULL, handles), 0);
		if (kind == FILE_)
			ck_assert_int_eq(
					pro_file_open(proactor, "/f", PRO_FILE_WRITE | PRO_FILE_CREATE, handles), 0);
		world_end_failed(sim, texts[kind]);
	}
}
END_TEST

TCase *control_tcase(void)
{
	TCase *tcase = tcase_create("control");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, only_live_connections_are_reset);
	tcase_add_test(tcase, connect_under_way_is_no_connection_yet);
	tcase_add_test(tcase, capacity_holds_for_connections_made_later);
	tcase_add_test(tcase, latency_is_in_order);
	tcase_add_test(tcase, wildcards_and_addresses_share_a_port_as_elsewhere);
	tcase_add_test(tcase, connects_reach_what_listens_for_their_address);
	tcase_add_test(tcase, connects_come_from_the_address_they_name);
	tcase_add_test(tcase, connects_wait_for_the_way_back_and_for_the_queue);
	tcase_add_test(tcase, operations_fail_on_handles_of_other_kinds);
	tcase_add_test(tcase, options_of_streams_are_those_of_sockets);
	tcase_add_test(tcase, pair_needs_two_numbers);
	tcase_add_test(tcase, handles_are_closed_without_memory_too);
	tcase_add_test(tcase, names_of_files_are_checked);
	tcase_add_test(tcase, removed_file_lives_as_long_as_its_handle);
	tcase_add_test(tcase, crash_leaves_what_was_synced);
	tcase_add_test(tcase, files_end_at_the_last_offset);
	tcase_add_test(tcase, directories_are_not_made_by_opening);
	tcase_add_test(tcase, handles_that_are_left_are_named_by_kind);
	return tcase;
}
