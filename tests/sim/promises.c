/* What the world does to buffers, when faults end, how a run is seen again, what is found over
 * time. */
#include "probe.h"

#include <stdio.h>
#include <string.h>

#define ALWAYS 1000000u /* in a million */

/* ---- buffers ---- */

static bool is_one_byte(const unsigned char *bytes, size_t length)
{
	return memcmp(bytes, bytes + 1, length - 1) == 0;
}

/* Nobody can take old bytes for those that were read, and none come before the callback. */
START_TEST(buffer_of_a_read_holds_a_pattern_until_it_completes)
{
	unsigned char bytes[16] = "old bytes";
	struct pro_message_block block;
	struct pair pair;

	pair_open(&pair);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	probe_start_read(&pair.server, &block);
	pro_sim_run_until(pair.sim, NULL, NULL, 10);
	ck_assert(is_one_byte(bytes, sizeof(bytes)));
	ck_assert_int_eq(probe_write(&pair.client, "hello", 5), 0);
	while (pair.server.pending > 0) {
		ck_assert(is_one_byte(bytes, sizeof(bytes)));
		ck_assert_int_eq(pro_sim_step(pair.sim), 1);
	}
	ck_assert_mem_eq(bytes, "hello", 5);
	pair_close(&pair);
}
END_TEST

START_TEST(buffer_of_a_read_that_is_written_to_is_found)
{
	unsigned char bytes[16];
	struct pro_message_block block;
	struct pair pair;

	pair_open(&pair);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	probe_start_read(&pair.server, &block);
	pro_sim_run_until(pair.sim, NULL, NULL, 10);
	bytes[9] = 'x';
	ck_assert_int_eq(probe_write(&pair.client, "hello", 5), 0);
	world_end_failed(pair.sim, "the buffer of a read_stream on handle");
}
END_TEST

START_TEST(bytes_of_a_write_that_change_are_found)
{
	static unsigned char bytes[200000];
	struct pro_message_block block;
	struct pair pair;

	pair_open(&pair);
	pro_message_block_init_filled(&block, bytes, sizeof(bytes));
	probe_start_write(&pair.client, &block);
	pro_sim_run_until(pair.sim, NULL, NULL, 10);
	ck_assert_uint_eq(pair.client.pending, 1);
	bytes[sizeof(bytes) - 1] = 'x';
	world_end_failed(pair.sim, "the bytes of a write_stream on handle");
}
END_TEST

/* A port that copied at the start would hide that mistake: here the change is what arrives. */
START_TEST(bytes_are_copied_when_they_go_out)
{
	static unsigned char sent[4000];
	static unsigned char received[4000];
	struct pro_sim_options options;
	struct pro_message_block block;
	struct pair pair;
	size_t total = 0;

	pro_sim_options_init(&options);
	options.faults = 0;
	options.checks = PRO_SIM_ALL & ~PRO_SIM_BIT(PRO_SIM_CHECK_SEND_BUFFER) &
					 ~PRO_SIM_BIT(PRO_SIM_CHECK_MISUSE);
	options.buffer_bytes = 1000;
	ck_assert_int_eq(pro_sim_create(&pair.sim, &options), 0);
	probe_init(&pair.server, pair.sim, world_proactor(pair.sim, "server"));
	probe_init(&pair.client, pair.sim, world_proactor(pair.sim, "client"));
	probe_join(&pair.client, &pair.server);
	pro_message_block_init_filled(&block, sent, sizeof(sent));
	probe_start_write(&pair.client, &block);
	pro_sim_run_until(pair.sim, NULL, NULL, 10);
	sent[sizeof(sent) - 1] = 'x';
	for (; total < sizeof(sent); total += pair.server.bytes)
		ck_assert_int_eq(probe_read(&pair.server, received, sizeof(received)), 0);
	ck_assert_int_eq(received[pair.server.bytes - 1], 'x');
	probe_wait(&pair.client);
	pair_close(&pair);
}
END_TEST

/* ---- faults ---- */

START_TEST(short_transfers_are_no_handlers_business)
{
	static unsigned char sent[5000];
	static unsigned char received[5000];
	struct pair pair;
	pro_handle file;

	pair_open(&pair);
	pro_sim_set_rate(pair.sim, PRO_SIM_SHORT_WRITE, ALWAYS);
	pro_sim_set_rate(pair.sim, PRO_SIM_FILE_SHORT, ALWAYS);
	ck_assert_int_eq(probe_write(&pair.client, sent, sizeof(sent)), 0);
	ck_assert_uint_eq(pair.client.bytes, sizeof(sent));
	ck_assert_int_eq(pro_file_open(pair.client.proactor, "/f",
							 PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE, &file),
			0);
	ck_assert_int_eq(
			pro_asynch_write_file_open(&pair.client.file_writer, &pair.client.handler, file, NULL),
			0);
	ck_assert_int_eq(
			pro_asynch_read_file_open(&pair.client.file_reader, &pair.client.handler, file, NULL),
			0);
	memset(sent, 'f', sizeof(sent));
	ck_assert_int_eq(probe_write_file(&pair.client, sent, sizeof(sent), 0), 0);
	ck_assert_uint_eq(pair.client.bytes, sizeof(sent));
	ck_assert_int_eq(probe_read_file(&pair.client, received, sizeof(received), 0), 0);
	ck_assert_uint_eq(pair.client.bytes, sizeof(sent));
	ck_assert_mem_eq(sent, received, sizeof(sent));
	pro_proactor_close_handle(pair.client.proactor, file);
	pair_close(&pair);
}
END_TEST

START_TEST(faults_have_an_end)
{
	struct pair pair;
	char bytes[8];

	pair_open(&pair);
	for (unsigned i = 0; i < PRO_SIM_FAULTS; i++)
		pro_sim_set_rate(pair.sim, (enum pro_sim_fault)i, ALWAYS);
	pro_sim_partition(pair.sim, pair.client.proactor, pair.server.proactor, -1);
	pro_sim_stop_faults(pair.sim);
	for (unsigned i = 0; i < PRO_SIM_FAULTS; i++)
		ck_assert_uint_eq(pro_sim_rate(pair.sim, (enum pro_sim_fault)i), 0);
	ck_assert_int_eq(probe_write(&pair.client, "hello", 5), 0);
	ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), 0);
	ck_assert_uint_eq(pair.server.bytes, 5);
	pair_close(&pair);
}
END_TEST

START_TEST(all_connections_of_a_proactor_can_be_reset)
{
	struct pair pair;
	char bytes[8];

	pair_open(&pair);
	ck_assert_uint_eq(pro_sim_reset_connections(pair.sim, pair.server.proactor), 1);
	pro_sim_run_until(pair.sim, NULL, NULL, 10);
	ck_assert_int_eq(probe_read(&pair.client, bytes, sizeof(bytes)), PRO_ECONNRESET);
	ck_assert_uint_eq(pro_sim_reset_connections(pair.sim, pair.server.proactor), 0);
	pair_close(&pair);
}
END_TEST

/* ---- datagrams ---- */

/* How many of ten arrive with that fault. */
static unsigned count_datagrams(enum pro_sim_fault fault)
{
	struct pro_sim *sim = calm_world();
	struct pro_addr address = world_addr("10.0.0.1:53");
	struct pro_message_block block;
	struct probe server;
	struct probe client;
	unsigned count = 0;
	pro_handle handle;
	char bytes[8];

	probe_init(&server, sim, world_proactor(sim, "server"));
	probe_init(&client, sim, world_proactor(sim, "client"));
	ck_assert_int_eq(pro_socket_dgram(server.proactor, PRO_FAMILY_INET, &address, &handle), 0);
	probe_own(&server, handle);
	ck_assert_int_eq(pro_socket_dgram(client.proactor, PRO_FAMILY_INET, NULL, &handle), 0);
	probe_own(&client, handle);
	pro_sim_set_rate(sim, fault, ALWAYS);
	for (unsigned i = 0; i < 10; i++) {
		pro_message_block_init_filled(&block, "datagram", 8);
		ck_assert_int_eq(pro_asynch_write_dgram_send(&client.dgram_writer, &block, &address), 0);
		client.pending = 1;
		probe_wait(&client);
	}
	pro_operation_set_timeout(&server.dgram_reader.operation, 5000);
	for (server.error = 0; server.error == 0; count += server.error == 0) {
		pro_message_block_init(&block, bytes, sizeof(bytes));
		ck_assert_int_eq(pro_asynch_read_dgram_recv(&server.dgram_reader, &block), 0);
		server.pending = 1;
		probe_wait(&server);
	}
	ck_assert_int_eq(server.error, PRO_ETIMEDOUT);
	probe_close(&server);
	probe_close(&client);
	world_end(sim);
	return count;
}

START_TEST(datagrams_are_lost_and_doubled)
{
	ck_assert_uint_eq(count_datagrams(PRO_SIM_DGRAM_LOSS), 0);
	ck_assert_uint_eq(count_datagrams(PRO_SIM_DGRAM_TWICE), 20);
	ck_assert_uint_eq(count_datagrams(PRO_SIM_DGRAM_ORDER), 10);
}
END_TEST

/* ---- seeing a run again ---- */

#define STOP_STEP 40u

struct echo_world {
	struct pro_sim_test test;
	struct pro_sim *sim;
	void *context;
};

static void echo_world_open(struct echo_world *world, uint64_t stop_step)
{
	struct pro_sim_options options;

	echo_test_init(&world->test);
	options = world->test.options;
	options.seed = 3;
	options.stop_step = stop_step;
	ck_assert_int_eq(pro_sim_create(&world->sim, &options), 0);
	ck_assert_int_eq(world->test.set_up(world->sim, &world->context), 0);
}

static void echo_world_close(struct echo_world *world)
{
	pro_sim_end(world->sim);
	world->test.tear_down(world->sim, world->context);
	pro_sim_destroy(world->sim);
}

/* The same as when the steps were made one by one, and nothing goes on by itself. */
START_TEST(run_stops_at_its_step)
{
	struct echo_world stopped;
	struct echo_world stepped;
	char text[4096];

	echo_world_open(&stopped, STOP_STEP);
	echo_world_open(&stepped, 0);
	ck_assert_int_eq(pro_sim_run_until(stopped.sim, NULL, NULL, 60000), PRO_ECANCELED);
	ck_assert_uint_eq(pro_sim_steps(stopped.sim), STOP_STEP);
	ck_assert_ptr_null(pro_sim_failure(stopped.sim));
	while (pro_sim_steps(stepped.sim) < STOP_STEP)
		ck_assert_int_eq(pro_sim_step(stepped.sim), 1);
	ck_assert_uint_eq(pro_sim_hash(stopped.sim), pro_sim_hash(stepped.sim));
	ck_assert_uint_eq(pro_sim_now_ns(stopped.sim), pro_sim_now_ns(stepped.sim));
	ck_assert_ptr_nonnull(strstr(pro_sim_events(stepped.sim, text, sizeof(text)), "server"));
	echo_world_close(&stopped);
	echo_world_close(&stepped);
}
END_TEST

START_TEST(step_says_when_nothing_can_happen)
{
	struct pro_sim *sim = calm_world();
	struct probe probe;

	probe_init(&probe, sim, world_proactor(sim, "sleeper"));
	ck_assert_int_eq(pro_asynch_timer_schedule(&probe.timer, 1000), 0);
	probe.pending = 1;
	while (probe.pending > 0)
		ck_assert_int_eq(pro_sim_step(sim), 1);
	ck_assert_uint_ge(pro_sim_now_ns(sim), UINT64_C(1000000000));
	while (pro_sim_step(sim) == 1)
		ck_assert_uint_lt(pro_sim_steps(sim), 100);
	ck_assert_int_eq(pro_sim_step(sim), 0);
	probe_close(&probe);
	world_end(sim);
}
END_TEST

/* ---- what shows over time ---- */

/* The client's connection waits at the server. */
static void open_without_accepting(struct pro_sim *sim, struct probe *server, struct probe *client)
{
	struct pro_addr address = world_addr("10.0.0.1:80");
	pro_handle handle;

	probe_init(server, sim, world_proactor(sim, "server"));
	probe_init(client, sim, world_proactor(sim, "client"));
	ck_assert_int_eq(pro_socket_listen(server->proactor, &address, 8, &handle), 0);
	ck_assert_int_eq(probe_connect(client, "10.0.0.1:80"), 0);
}

START_TEST(listener_that_nobody_accepts_from_is_found)
{
	struct pro_sim *sim = calm_world();
	struct probe server;
	struct probe client;

	open_without_accepting(sim, &server, &client);
	ck_assert_int_eq(pro_sim_check(sim), 0);
	ck_assert_int_eq(pro_sim_run_until(sim, NULL, NULL, 20000), PRO_ECANCELED);
	ck_assert_ptr_nonnull(strstr(pro_sim_failure(sim), "nobody accepts"));
	ck_assert_int_eq(pro_sim_check(sim), PRO_ECANCELED);
	pro_sim_destroy(sim);
}
END_TEST

START_TEST(process_that_stands_still_is_not_deaf)
{
	struct pro_sim *sim = calm_world();
	struct probe server;
	struct probe client;

	open_without_accepting(sim, &server, &client);
	ck_assert_int_eq(pro_asynch_timer_schedule(&server.timer, 100), 0);
	server.pending = 1;
	pro_sim_set_rate(sim, PRO_SIM_PAUSE, ALWAYS);
	ck_assert_int_eq(pro_sim_run_until(sim, NULL, NULL, 20000), 0);
	pro_sim_set_rate(sim, PRO_SIM_PAUSE, 0);
	ck_assert_int_eq(pro_sim_run_until(sim, NULL, NULL, 20000), PRO_ECANCELED);
	world_end_failed(sim, "nobody accepts");
}
END_TEST

START_TEST(queue_above_its_bound_is_found)
{
	static unsigned char bytes[100000];
	struct pro_sim_options options;
	struct pro_message_block block;
	struct pair pair;

	pro_sim_options_init(&options);
	options.faults = 0;
	options.queued_bytes_max = sizeof(bytes) - 1;
	ck_assert_int_eq(pro_sim_create(&pair.sim, &options), 0);
	probe_init(&pair.server, pair.sim, world_proactor(pair.sim, "server"));
	probe_init(&pair.client, pair.sim, world_proactor(pair.sim, "client"));
	probe_join(&pair.client, &pair.server);
	pro_message_block_init_filled(&block, bytes, sizeof(bytes));
	probe_start_write(&pair.client, &block);
	pro_sim_run_until(pair.sim, NULL, NULL, 10);
	ck_assert_int_eq(pro_sim_check(pair.sim), PRO_ECANCELED);
	world_end_failed(pair.sim, "a write stream queued 100000 bytes, more than 99999");
}
END_TEST

TCase *promises_tcase(void)
{
	TCase *tcase = tcase_create("promises");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, buffer_of_a_read_holds_a_pattern_until_it_completes);
	tcase_add_test(tcase, buffer_of_a_read_that_is_written_to_is_found);
	tcase_add_test(tcase, bytes_of_a_write_that_change_are_found);
	tcase_add_test(tcase, bytes_are_copied_when_they_go_out);
	tcase_add_test(tcase, short_transfers_are_no_handlers_business);
	tcase_add_test(tcase, faults_have_an_end);
	tcase_add_test(tcase, all_connections_of_a_proactor_can_be_reset);
	tcase_add_test(tcase, datagrams_are_lost_and_doubled);
	tcase_add_test(tcase, run_stops_at_its_step);
	tcase_add_test(tcase, step_says_when_nothing_can_happen);
	tcase_add_test(tcase, listener_that_nobody_accepts_from_is_found);
	tcase_add_test(tcase, process_that_stands_still_is_not_deaf);
	tcase_add_test(tcase, queue_above_its_bound_is_found);
	return tcase;
}
