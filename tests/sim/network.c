/* The network of a simulated world. */
#include "probe.h"

#include <stdio.h>
#include <string.h>

START_TEST(bytes_arrive_after_a_latency)
{
	struct pair pair;
	char bytes[16] = "";
	uint64_t begin_ns;

	pair_open(&pair);
	pro_sim_set_latency(pair.sim, 5000, 5000);
	begin_ns = pro_sim_now_ns(pair.sim);
	ck_assert_int_eq(probe_write(&pair.client, "hello", 5), 0);
	ck_assert_uint_lt(pro_sim_now_ns(pair.sim) - begin_ns, 5000000);
	ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), 0);
	ck_assert_uint_ge(pro_sim_now_ns(pair.sim) - begin_ns, 5000000);
	ck_assert_uint_eq(pair.server.bytes, 5);
	ck_assert_mem_eq(bytes, "hello", 5);
	pair_close(&pair);
}
END_TEST

START_TEST(write_waits_for_the_window)
{
	static unsigned char sent[4000];
	static unsigned char received[4000];
	struct pro_message_block block;
	struct pair pair;
	size_t total = 0;

	pair_open(&pair);
	pro_socket_set_option(pair.client.proactor, pair.client.handle, PRO_SOCKET_SEND_BUFFER, 600);
	pro_socket_set_option(pair.server.proactor, pro_handler_handle(&pair.server.handler),
			PRO_SOCKET_RECEIVE_BUFFER, 400);
	pro_message_block_init_filled(&block, sent, sizeof(sent));
	probe_start_write(&pair.client, &block);
	ck_assert_int_eq(pro_sim_run_until(pair.sim, NULL, NULL, 1000), 0);
	ck_assert_uint_eq(pair.client.pending, 1);
	ck_assert_uint_eq(pro_asynch_write_stream_queued(&pair.client.writer), 3000);
	while (total < sizeof(sent)) {
		ck_assert_int_eq(probe_read(&pair.server, received, sizeof(received)), 0);
		ck_assert_uint_le(pair.server.bytes, 1000);
		total += pair.server.bytes;
	}
	probe_wait(&pair.client);
	ck_assert_int_eq(pair.client.error, 0);
	pair_close(&pair);
}
END_TEST

START_TEST(half_close_is_an_end_that_can_be_read_again)
{
	struct pair pair;
	char bytes[16];

	pair_open(&pair);
	ck_assert_int_eq(pro_asynch_write_stream_shutdown(&pair.client.writer), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), PRO_EOF);
	ck_assert_int_eq(probe_write(&pair.server, "still", 5), 0);
	ck_assert_int_eq(probe_read(&pair.client, bytes, sizeof(bytes)), 0);
	ck_assert_uint_eq(pair.client.bytes, 5);
	pair_close(&pair);
}
END_TEST

START_TEST(reset_is_told_once_and_then_is_the_end)
{
	struct pair pair;
	char bytes[16];

	pair_open(&pair);
	ck_assert_int_eq(pro_sim_reset_handle(pair.sim, pair.client.handle), 0);
	pro_sim_run_until(pair.sim, NULL, NULL, 10);
	ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), PRO_ECONNRESET);
	ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), PRO_EOF);
	ck_assert_int_eq(probe_write(&pair.server, "x", 1), PRO_EPIPE);
	ck_assert_int_eq(probe_write(&pair.client, "x", 1), PRO_ECONNRESET);
	ck_assert_int_eq(pro_sim_reset_handle(pair.sim, 99), PRO_EBADF);
	pair_close(&pair);
}
END_TEST

START_TEST(close_with_bytes_unread_resets)
{
	struct pair pair;
	char bytes[16];

	pair_open(&pair);
	ck_assert_int_eq(probe_write(&pair.client, "unread", 6), 0);
	pro_sim_run_until(pair.sim, NULL, NULL, 100);
	probe_close(&pair.server);
	ck_assert_int_eq(probe_read(&pair.client, bytes, sizeof(bytes)), PRO_ECONNRESET);
	probe_close(&pair.client);
	world_end(pair.sim);
}
END_TEST

START_TEST(write_to_a_closed_peer_is_answered_by_a_reset)
{
	struct pair pair;
	char bytes[16];

	pair_open(&pair);
	probe_close(&pair.server);
	ck_assert_int_eq(probe_read(&pair.client, bytes, sizeof(bytes)), PRO_EOF);
	ck_assert_int_eq(probe_write(&pair.client, "x", 1), 0);
	pro_sim_run_until(pair.sim, NULL, NULL, 100);
	ck_assert_int_eq(probe_write(&pair.client, "x", 1), PRO_ECONNRESET);
	ck_assert_int_eq(probe_write(&pair.client, "x", 1), PRO_EPIPE);
	probe_close(&pair.client);
	world_end(pair.sim);
}
END_TEST

START_TEST(partition_holds_bytes_until_it_heals)
{
	struct pair pair;
	char bytes[16];
	uint64_t begin_ns;

	pair_open(&pair);
	begin_ns = pro_sim_now_ns(pair.sim);
	pro_sim_partition(pair.sim, pair.client.proactor, pair.server.proactor, 7000);
	ck_assert_int_eq(probe_write(&pair.client, "late", 4), 0);
	ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), 0);
	ck_assert_uint_ge(pro_sim_now_ns(pair.sim) - begin_ns, UINT64_C(7000000000));
	pro_sim_partition(pair.sim, pair.client.proactor, pair.server.proactor, -1);
	ck_assert_int_eq(probe_write(&pair.client, "later", 5), 0);
	pro_operation_set_timeout(&pair.server.reader.operation, 60000);
	ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), PRO_ETIMEDOUT);
	pro_sim_heal(pair.sim, pair.client.proactor, pair.server.proactor);
	ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), 0);
	ck_assert_uint_eq(pair.server.bytes, 5);
	pair_close(&pair);
}
END_TEST

START_TEST(clog_stops_one_direction)
{
	struct pair pair;
	char bytes[16];

	pair_open(&pair);
	pro_sim_clog(pair.sim, pair.client.proactor, pair.server.proactor, -1);
	ck_assert_int_eq(probe_write(&pair.client, "stuck", 5), 0);
	ck_assert_int_eq(probe_write(&pair.server, "free", 4), 0);
	ck_assert_int_eq(probe_read(&pair.client, bytes, sizeof(bytes)), 0);
	pro_operation_set_timeout(&pair.server.reader.operation, 10000);
	ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), PRO_ETIMEDOUT);
	pro_sim_stop_faults(pair.sim);
	ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), 0);
	pair_close(&pair);
}
END_TEST

START_TEST(connects_fail_as_they_do_elsewhere)
{
	struct pro_sim *sim = calm_world();
	struct pro_addr addr = world_addr("10.0.0.2:80");
	struct pro_proactor *server;
	struct probe probe;
	pro_handle listener;

	probe_init(&probe, sim, world_proactor(sim, "client"));
	ck_assert_int_eq(probe_connect(&probe, "10.0.0.2:80"), PRO_ECONNREFUSED);
	ck_assert_int_eq(probe.handle, PRO_INVALID_HANDLE);
	server = world_proactor(sim, "server");
	ck_assert_int_eq(pro_socket_listen(server, &addr, 1, &listener), 0);
	ck_assert_int_eq(pro_socket_listen(server, &addr, 1, &listener), PRO_EADDRINUSE);
	pro_sim_partition(sim, server, probe.proactor, -1);
	ck_assert_int_eq(probe_connect(&probe, "10.0.0.2:80"), PRO_ETIMEDOUT);
	pro_sim_heal(sim, server, probe.proactor);
	pro_sim_set_handles_max(sim, probe.proactor, 0);
	ck_assert_int_eq(probe_connect(&probe, "10.0.0.2:80"), PRO_EMFILE);
	ck_assert_uint_eq(pro_sim_handles(sim, probe.proactor), 0);
	probe_close(&probe);
	world_end_failed(sim, "was not closed");
}
END_TEST

START_TEST(accept_knows_addresses_and_keeps_what_it_can_not_take)
{
	struct pro_sim *sim = calm_world();
	struct pro_proactor *server = world_proactor(sim, "server");
	struct pro_addr any = world_addr("[::]:0");
	struct pro_addr local;
	char text[PRO_ADDR_TEXT_MAX];
	struct probe listener;
	struct probe client;
	pro_handle handle;

	ck_assert_int_eq(pro_socket_listen(server, &any, 0, &handle), 0);
	probe_init(&listener, sim, server);
	probe_own(&listener, handle);
	ck_assert_int_eq(pro_socket_local_addr(server, handle, &local), 0);
	ck_assert_uint_ne(pro_addr_port(&local), 0);
	probe_init(&client, sim, world_proactor(sim, "client"));
	snprintf(text, sizeof(text), "10.0.0.1:%u", pro_addr_port(&local));
	ck_assert_int_eq(probe_connect(&client, text), 0);
	pro_sim_set_handles_max(sim, server, 1);
	ck_assert_int_eq(probe_accept(&listener), PRO_EMFILE);
	pro_sim_set_handles_max(sim, server, 2);
	ck_assert_int_eq(probe_accept(&listener), 0);
	ck_assert_str_eq(pro_addr_format(&listener.remote, text, sizeof(text)), "10.0.0.2:49153");
	ck_assert_int_eq(pro_proactor_close_handle(server, listener.handle), 0);
	ck_assert_int_eq(pro_proactor_close_handle(client.proactor, client.handle), 0);
	probe_close(&listener);
	probe_close(&client);
	world_end(sim);
}
END_TEST

START_TEST(number_of_a_closed_handle_is_the_next_one)
{
	struct pro_sim *sim = calm_world();
	struct pro_proactor *proactor = world_proactor(sim, "one");
	struct probe probe;
	pro_handle first[2];
	pro_handle second[2];
	char bytes[4];

	ck_assert_int_eq(pro_socket_pair(proactor, first), 0);
	probe_init(&probe, sim, proactor);
	ck_assert_int_eq(pro_asynch_read_stream_open(&probe.reader, &probe.handler, first[1], NULL), 0);
	pro_operation_set_timeout(&probe.reader.operation, 10);
	ck_assert_int_eq(probe_read(&probe, bytes, sizeof(bytes)), PRO_ETIMEDOUT);
	ck_assert_int_eq(pro_proactor_close_handle(proactor, first[0]), 0);
	ck_assert_int_eq(pro_proactor_close_handle(proactor, first[1]), 0);
	pro_sim_run_until(sim, NULL, NULL, 10);
	ck_assert_int_eq(pro_socket_pair(proactor, second), 0);
	ck_assert_int_eq(second[0], first[1]);
	/* The old operation does not reach the new socket, and is a mistake. */
	ck_assert_int_eq(pro_asynch_read_stream_read(&probe.reader, NULL, 0), 0);
	probe.pending = 1;
	pro_sim_run_until(sim, NULL, NULL, 10);
	ck_assert_ptr_nonnull(pro_sim_failure(sim));
	ck_assert_int_eq(pro_proactor_close_handle(proactor, second[0]), 0);
	ck_assert_int_eq(pro_proactor_close_handle(proactor, second[1]), 0);
	world_end_failed(sim, "a read_stream was started on handle 101, closed at step");
}
END_TEST

/* The read can be done, and is not yet. */
static void read_and_cancel(struct probe *probe)
{
	static struct pro_message_block block;
	static char bytes[8];

	pro_message_block_init(&block, bytes, sizeof(bytes));
	probe_start_read(probe, &block);
	pro_operation_cancel(&probe->reader.operation);
}

START_TEST(cancels_lose_half_of_their_races)
{
	unsigned lost = 0;

	for (uint64_t seed = 0; seed < 200; seed++) {
		struct pro_sim_options options;
		struct pro_sim *sim;
		struct probe probe;
		pro_handle handles[2];

		pro_sim_options_init(&options);
		options.seed = seed;
		options.faults = 0;
		ck_assert_int_eq(pro_sim_create(&sim, &options), 0);
		probe_init(&probe, sim, world_proactor(sim, "one"));
		ck_assert_int_eq(pro_socket_pair(probe.proactor, handles), 0);
		probe_own(&probe, handles[0]);
		ck_assert_int_eq(pro_proactor_close_handle(probe.proactor, handles[1]), 0);
		probe.on_time = read_and_cancel;
		probe_sleep(&probe, 100);
		ck_assert(probe.error == PRO_EOF || probe.error == PRO_ECANCELED);
		lost += probe.error == PRO_EOF;
		probe_close(&probe);
		world_end(sim);
	}
	ck_assert_uint_gt(lost, 70);
	ck_assert_uint_lt(lost, 150);
}
END_TEST

START_TEST(datagrams_keep_their_bounds)
{
	struct pro_sim *sim = calm_world();
	struct pro_addr address = world_addr("10.0.0.1:53");
	struct pro_message_block block;
	struct probe server;
	struct probe client;
	pro_handle handle;
	char bytes[8];

	probe_init(&server, sim, world_proactor(sim, "server"));
	probe_init(&client, sim, world_proactor(sim, "client"));
	ck_assert_int_eq(pro_socket_dgram(server.proactor, PRO_FAMILY_INET, &address, &handle), 0);
	probe_own(&server, handle);
	ck_assert_int_eq(
			pro_socket_dgram(server.proactor, PRO_FAMILY_INET, &address, &handle), PRO_EADDRINUSE);
	ck_assert_int_eq(pro_socket_dgram(client.proactor, PRO_FAMILY_INET, NULL, &handle), 0);
	probe_own(&client, handle);
	for (unsigned length = 0; length <= 12; length += 6) {
		pro_message_block_init_filled(&block, "datagram one", length);
		ck_assert_int_eq(pro_asynch_write_dgram_send(&client.dgram_writer, &block, &address), 0);
		client.pending = 1;
		probe_wait(&client);
		ck_assert_int_eq(client.error, 0);
		pro_message_block_init(&block, bytes, sizeof(bytes));
		ck_assert_int_eq(pro_asynch_read_dgram_recv(&server.dgram_reader, &block), 0);
		server.pending = 1;
		probe_wait(&server);
		ck_assert_int_eq(server.error, length > sizeof(bytes) ? PRO_EMSGSIZE : 0);
		ck_assert_uint_eq(server.bytes, length > sizeof(bytes) ? sizeof(bytes) : length);
	}
	probe_close(&server);
	probe_close(&client);
	world_end(sim);
}
END_TEST

START_TEST(names_come_from_the_table)
{
	struct pro_sim *sim = calm_world();
	struct pro_addr first = world_addr("10.0.0.9:0");
	struct pro_addr second = world_addr("[fd00::9]:0");
	char text[PRO_ADDR_TEXT_MAX];
	struct probe probe;

	ck_assert_int_eq(pro_sim_add_host(sim, "host.example", &first), 0);
	ck_assert_int_eq(pro_sim_add_host(sim, "host.example", &second), 0);
	ck_assert_int_eq(pro_sim_add_host(sim, "", &first), PRO_EINVAL);
	probe_init(&probe, sim, world_proactor(sim, "one"));
	ck_assert_int_eq(probe_resolve(&probe, "host.example:80"), 0);
	ck_assert_uint_eq(probe.found, 2);
	ck_assert_str_eq(pro_addr_format(&probe.remote, text, sizeof(text)), "10.0.0.9:80");
	ck_assert_int_eq(probe_resolve(&probe, "127.0.0.1:80"), 0);
	ck_assert_int_eq(probe_resolve(&probe, "nowhere.example:80"), PRO_EHOSTNOTFOUND);
	pro_sim_set_rate(sim, PRO_SIM_RESOLVE, 1000000);
	ck_assert_int_eq(probe_resolve(&probe, "host.example:80"), PRO_ERESOLVE);
	probe_close(&probe);
	world_end(sim);
}
END_TEST

START_TEST(unix_sockets_are_streams_too)
{
	struct pro_sim *sim = calm_world();
	struct pro_addr address = world_addr("unix:/run/service");
	struct probe listener;
	struct probe client;
	pro_handle handle;

	probe_init(&listener, sim, world_proactor(sim, "server"));
	ck_assert_int_eq(pro_socket_listen(listener.proactor, &address, 0, &handle), 0);
	probe_own(&listener, handle);
	probe_init(&client, sim, world_proactor(sim, "client"));
	ck_assert_int_eq(probe_connect(&client, "unix:/run/service"), 0);
	ck_assert_int_eq(probe_accept(&listener), 0);
	ck_assert_int_eq(pro_addr_family(&listener.remote), PRO_FAMILY_UNIX);
	ck_assert_int_eq(pro_socket_set_option(client.proactor, client.handle, PRO_SOCKET_NODELAY, 1),
			PRO_ENOTSUP);
	ck_assert_uint_eq(pro_sim_reset_connections(sim, client.proactor), 1);
	ck_assert_int_eq(pro_proactor_close_handle(client.proactor, client.handle), 0);
	ck_assert_int_eq(pro_proactor_close_handle(listener.proactor, listener.handle), 0);
	probe_close(&listener);
	probe_close(&client);
	world_end(sim);
}
END_TEST

START_TEST(reads_wait_for_a_block_to_be_lent)
{
	struct pro_proactor_options options;
	struct pro_sim *sim = calm_world();
	struct pro_proactor *proactor;
	struct pro_message_block *first;
	struct probe probes[2];
	pro_handle handles[2];

	pro_proactor_options_init(&options);
	options.lent_blocks = 1;
	ck_assert_int_eq(pro_sim_proactor_create(sim, "one", &options, &proactor), 0);
	ck_assert_int_eq(pro_socket_pair(proactor, handles), 0);
	for (unsigned i = 0; i < 2; i++) {
		probe_init(&probes[i], sim, proactor);
		probe_own(&probes[i], handles[i]);
		ck_assert_int_eq(probe_write(&probes[i], "abc", 3), 0);
	}
	probe_start_read(&probes[0], NULL);
	probe_wait(&probes[0]);
	first = probes[0].block;
	ck_assert_mem_eq(pro_message_block_rd_ptr(first), "abc", 3);
	probe_start_read(&probes[1], NULL);
	pro_sim_run_until(sim, NULL, NULL, 1000);
	ck_assert_uint_eq(probes[1].pending, 1);
	pro_message_block_release(first);
	probe_wait(&probes[1]);
	ck_assert_int_eq(probes[1].error, 0);
	pro_message_block_release(probes[1].block);
	probe_close(&probes[0]);
	probe_close(&probes[1]);
	world_end(sim);
}
END_TEST

TCase *network_tcase(void)
{
	TCase *tcase = tcase_create("network");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, bytes_arrive_after_a_latency);
	tcase_add_test(tcase, write_waits_for_the_window);
	tcase_add_test(tcase, half_close_is_an_end_that_can_be_read_again);
	tcase_add_test(tcase, reset_is_told_once_and_then_is_the_end);
	tcase_add_test(tcase, close_with_bytes_unread_resets);
	tcase_add_test(tcase, write_to_a_closed_peer_is_answered_by_a_reset);
	tcase_add_test(tcase, partition_holds_bytes_until_it_heals);
	tcase_add_test(tcase, clog_stops_one_direction);
	tcase_add_test(tcase, connects_fail_as_they_do_elsewhere);
	tcase_add_test(tcase, accept_knows_addresses_and_keeps_what_it_can_not_take);
	tcase_add_test(tcase, number_of_a_closed_handle_is_the_next_one);
	tcase_add_test(tcase, cancels_lose_half_of_their_races);
	tcase_add_test(tcase, datagrams_keep_their_bounds);
	tcase_add_test(tcase, names_come_from_the_table);
	tcase_add_test(tcase, unix_sockets_are_streams_too);
	tcase_add_test(tcase, reads_wait_for_a_block_to_be_lent);
	return tcase;
}
