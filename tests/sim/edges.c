/* The edges of a simulated world: what is rare, or a mistake of whoever drives it. */
#include "../support/os.h"
#include "probe.h"

#include <stdio.h>
#include <string.h>

#define ALWAYS 1000000u /* in a million */

/* ---- running ---- */

static void step_inside(struct probe *probe)
{
	ck_assert_int_eq(pro_sim_step(probe->sim), PRO_EBUSY);
	ck_assert_int_eq(pro_sim_run_until(probe->sim, NULL, NULL, 1), PRO_EBUSY);
	ck_assert_int_eq(pro_sim_end(probe->sim), PRO_EBUSY);
	probe->pending--;
}

START_TEST(callbacks_can_not_let_the_world_go_on)
{
	struct pro_sim *sim = calm_world();
	struct probe probe;

	probe_init(&probe, sim, world_proactor(sim, "one"));
	probe.on_time = step_inside;
	ck_assert_int_eq(pro_asynch_timer_schedule(&probe.timer, 1), 0);
	probe.pending = 2;
	probe_wait(&probe);
	probe_close(&probe);
	world_end(sim);
}
END_TEST

static void fail_in_callback(struct probe *probe)
{
	pro_sim_fail(probe->sim, "a check of the test");
}

START_TEST(loop_that_is_run_ends_after_a_failure)
{
	struct pro_sim *sim = calm_world();
	struct probe probe;

	probe_init(&probe, sim, world_proactor(sim, "one"));
	probe.on_time = fail_in_callback;
	ck_assert_int_eq(pro_asynch_timer_schedule(&probe.timer, 1), 0);
	probe.pending = 1;
	ck_assert_int_eq(pro_proactor_run_event_loop(probe.proactor), 0);
	ck_assert_int_eq(pro_sim_step(sim), PRO_ECANCELED);
	ck_assert_int_eq(pro_sim_run_until(sim, NULL, NULL, 1), PRO_ECANCELED);
	world_end_failed(sim, "a check of the test");
}
END_TEST

START_TEST(loop_that_was_ended_stands_still)
{
	struct pro_sim *sim = calm_world();
	struct probe probe;

	probe_init(&probe, sim, world_proactor(sim, "one"));
	ck_assert_int_eq(pro_asynch_timer_schedule(&probe.timer, 1), 0);
	probe.pending = 1;
	pro_proactor_end_event_loop(probe.proactor);
	ck_assert_int_eq(pro_sim_run_until(sim, NULL, NULL, 100), 0);
	ck_assert_uint_eq(probe.pending, 1);
	pro_proactor_reset_event_loop(probe.proactor);
	while (probe.pending > 0)
		ck_assert_int_ge(pro_proactor_handle_events(probe.proactor, 10), 0);
	world_end(sim);
}
END_TEST

static bool never(void *context)
{
	(void)context;
	return false;
}

START_TEST(clock_may_come_to_its_end)
{
	struct pro_sim *sim = calm_world();
	struct pro_proactor *proactor = world_proactor(sim, "late");
	const int64_t most_ms = (int64_t)((UINT64_MAX - 1 - pro_sim_now_ns(sim)) / 1000000);

	ck_assert_int_eq(pro_sim_run_until(sim, never, NULL, most_ms), PRO_ETIMEDOUT);
	ck_assert_uint_gt(pro_sim_now_ns(sim), UINT64_MAX - 1000000);
	/* A limit beyond the end is none. */
	ck_assert_int_eq(pro_sim_run_until(sim, never, NULL, 10), PRO_ETIMEDOUT);
	ck_assert_int_eq(pro_proactor_handle_events(proactor, 0), 0);
	ck_assert_int_eq(pro_proactor_run_event_loop_for(proactor, 10), 0);
	world_end_failed(sim, "the loop of late waits, and nothing can happen any more");
}
END_TEST

START_TEST(worlds_need_sense)
{
	struct pro_proactor_options proactor_options;
	struct pro_sim_options options;
	struct pro_proactor *proactor;
	struct pro_sim *sim;
	char text[8] = "text";

	pro_sim_options_init(&options);
	options.latency_us[0] = options.latency_us[1] + 1;
	ck_assert_int_eq(pro_sim_create(&sim, &options), PRO_EINVAL);
	ck_assert_ptr_null(sim);
	ck_assert_int_eq(pro_sim_create(&sim, NULL), 0);
	ck_assert_uint_eq(pro_sim_parameter(sim), 1);
	ck_assert_int_eq(pro_sim_proactor_create(NULL, "one", NULL, &proactor), PRO_EINVAL);
	ck_assert_int_eq(pro_sim_proactor_create(sim, "one", NULL, NULL), PRO_EINVAL);
	pro_proactor_options_init(&proactor_options);
	proactor_options.sim = sim;
	proactor_options.concurrency = 2;
	ck_assert_int_eq(pro_proactor_create(&proactor, &proactor_options, NULL, 0), PRO_ENOTSUP);
	ck_assert_str_eq(pro_sim_events(sim, text, 0), "text");
	ck_assert_str_eq(pro_sim_events(sim, text, sizeof(text)), "");
	pro_sim_destroy(sim);
}
END_TEST

/* ---- choices ---- */

START_TEST(choices_have_bounds)
{
	static unsigned char bytes[PRO_SIM_FAULTS + 8];
	struct pro_sim_options options;
	struct pro_sim *sim;
	uint64_t faults;

	pro_sim_options_init(&options);
	options.faults = 0;
	ck_assert_int_eq(pro_sim_create(&sim, &options), 0);
	pro_sim_set_rate(sim, PRO_SIM_FAULTS, 5);
	ck_assert_uint_eq(pro_sim_rate(sim, PRO_SIM_FAULTS), 0);
	pro_sim_set_rate(sim, PRO_SIM_CLOG, UINT32_MAX);
	ck_assert_uint_eq(pro_sim_rate(sim, PRO_SIM_CLOG), ALWAYS);
	ck_assert_int_eq(pro_sim_faults_parse("one", &faults), PRO_EINVAL);
	ck_assert_int_eq(pro_sim_faults_parse("four", &faults), PRO_EINVAL);
	ck_assert_int_eq(pro_sim_faults_parse(NULL, &faults), PRO_EINVAL);
	ck_assert_int_eq(pro_sim_faults_parse("all", NULL), PRO_EINVAL);
	pro_sim_destroy(sim);
	/* Of a fuzzer's bytes each fault takes one, and a choice as many as it needs. */
	for (unsigned i = 0; i < 8; i++)
		bytes[PRO_SIM_FAULTS + i] = (unsigned char)(i + 1);
	options.choices = bytes;
	options.choices_size = sizeof(bytes);
	ck_assert_int_eq(pro_sim_create(&sim, &options), 0);
	ck_assert_uint_eq(pro_sim_choose(sim, UINT64_MAX), UINT64_C(0x0102030405060708));
	pro_sim_destroy(sim);
}
END_TEST

/* ---- memory ---- */

START_TEST(allocator_keeps_what_was_freed_for_a_while)
{
	struct pro_sim *sim = calm_world();
	const struct pro_allocator *allocator = pro_sim_allocator(sim);
	unsigned char *bytes = allocator->reallocate(allocator->context, NULL, 8);

	ck_assert_int_eq(bytes[7], 0xA7);
	bytes[0] = 1;
	bytes[7] = 2;
	bytes = allocator->reallocate(allocator->context, bytes, 16);
	ck_assert_int_eq(bytes[0], 1);
	ck_assert_int_eq(bytes[7], 2);
	ck_assert_int_eq(bytes[8], 0xA7);
	bytes = allocator->reallocate(allocator->context, bytes, 1);
	ck_assert_int_eq(bytes[0], 1);
	ck_assert_ptr_null(allocator->allocate(allocator->context, SIZE_MAX));
	ck_assert_ptr_null(allocator->reallocate(allocator->context, bytes, SIZE_MAX));
	if (!os_is_sanitized())
		ck_assert_ptr_null(allocator->allocate(allocator->context, SIZE_MAX / 4));
	ck_assert_int_eq(bytes[0], 1);
	allocator->deallocate(allocator->context, bytes);
	/* More than is kept. */
	for (unsigned i = 0; i < 5; i++)
		allocator->deallocate(
				allocator->context, allocator->allocate(allocator->context, 3u << 20));
	world_end(sim);
}
END_TEST

START_TEST(memory_of_others_is_not_freed)
{
	struct pro_sim *sim = calm_world();
	const struct pro_allocator *allocator = pro_sim_allocator(sim);
	unsigned char *bytes = allocator->allocate(allocator->context, 400);

	memset(bytes, 0, 400);
	allocator->deallocate(allocator->context, bytes + 200);
	ck_assert_str_eq(pro_sim_failure(sim), "memory is freed that was not allocated");
	allocator->deallocate(allocator->context, bytes);
	pro_sim_destroy(sim);
}
END_TEST

/* ---- streams ---- */

/* Nobody knows its number yet but by a guess. What was started so ends with the connect. */
START_TEST(socket_that_connects_is_not_connected)
{
	struct pro_sim *sim = calm_world();
	struct pro_addr addr = world_addr("10.0.0.1:80");
	struct pro_proactor *proactor;
	struct pro_message_block block;
	struct pro_addr found;
	struct probe client;
	struct probe thief;
	char bytes[4] = "";

	world_proactor(sim, "server");
	proactor = world_proactor(sim, "client");
	pro_sim_set_latency(sim, 1000000, 1000000);
	probe_init(&client, sim, proactor);
	probe_init(&thief, sim, proactor);
	ck_assert_int_eq(pro_asynch_connect_connect(&client.connect, &addr, NULL), 0);
	client.pending = 1;
	while (pro_sim_handles(sim, proactor) == 0)
		ck_assert_int_eq(pro_sim_step(sim), 1);
	ck_assert_int_eq(pro_asynch_read_stream_open(&thief.reader, &thief.handler, 100, NULL), 0);
	ck_assert_int_eq(pro_asynch_write_stream_open(&thief.writer, &thief.handler, 100, NULL), 0);
	ck_assert_int_eq(probe_read(&thief, bytes, sizeof(bytes)), PRO_ENOTCONN);
	ck_assert_int_eq(pro_socket_remote_addr(proactor, 100, &found), PRO_ENOTCONN);
	ck_assert_int_eq(pro_socket_shutdown_write(proactor, 100), PRO_ENOTCONN);
	ck_assert_int_eq(pro_socket_set_option(proactor, 100, PRO_SOCKET_SEND_BUFFER, 10), 0);
	ck_assert_uint_eq(client.pending, 1);
	pro_message_block_init_filled(&block, bytes, sizeof(bytes));
	ck_assert_int_eq(pro_asynch_transmit_file_open(&thief.sender, &thief.handler, 100, NULL), 0);
	for (unsigned i = 0; i < 8; i++) {
		ck_assert_int_eq(pro_asynch_transmit_file_transmit_file(
								 &thief.sender, PRO_INVALID_HANDLE, 0, 0, &block, NULL),
				0);
		thief.pending = 1;
		pro_sim_run_until(sim, NULL, NULL, 1);
		ck_assert_int_eq(pro_operation_cancel(&thief.sender.operation), 0);
		probe_wait(&thief);
		ck_assert_int_eq(thief.error, PRO_ECANCELED);
	}
	probe_start_write(&thief, &block);
	pro_sim_run_until(sim, NULL, NULL, 1);
	ck_assert_uint_eq(thief.pending, 1);
	pro_sim_run_until(sim, NULL, NULL, 5000);
	ck_assert_uint_eq(client.pending, 0);
	ck_assert_int_eq(client.error, PRO_ECONNREFUSED);
	pro_handler_close(&thief.handler);
	pro_handler_close(&client.handler);
	world_end_failed(sim, "client: a write_stream was started on handle 100, closed at step");
}
END_TEST

/* The window closes between the moment when a write could be done and that when it is. */
START_TEST(write_waits_again_when_the_window_shrinks)
{
	struct pro_message_block block;
	struct pair pair;
	char bytes[16];
	char text[8192];

	pair_open(&pair);
	ck_assert_int_eq(probe_write(&pair.client, "0123456789", 10), 0);
	pro_sim_run_until(pair.sim, NULL, NULL, 10);
	pro_sim_set_rate(pair.sim, PRO_SIM_DELAY, ALWAYS);
	pro_message_block_init_filled(&block, "next", 4);
	probe_start_write(&pair.client, &block);
	while (!strstr(pro_sim_events(pair.sim, text, sizeof(text)), "fault delay"))
		ck_assert_int_eq(pro_sim_step(pair.sim), 1);
	pro_sim_set_rate(pair.sim, PRO_SIM_DELAY, 0);
	ck_assert_int_eq(pro_socket_set_option(
							 pair.client.proactor, pair.client.handle, PRO_SOCKET_SEND_BUFFER, 2),
			0);
	ck_assert_int_eq(
			pro_socket_set_option(pair.server.proactor, pro_handler_handle(&pair.server.handler),
					PRO_SOCKET_RECEIVE_BUFFER, 2),
			0);
	pro_sim_run_until(pair.sim, NULL, NULL, 5000);
	ck_assert_uint_eq(pair.client.pending, 1);
	ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), 0);
	ck_assert_uint_eq(pair.server.bytes, 10);
	probe_wait(&pair.client);
	ck_assert_int_eq(pair.client.error, 0);
	ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), 0);
	ck_assert_mem_eq(bytes, "next", 4);
	pair_close(&pair);
}
END_TEST

START_TEST(end_that_is_read_for_ever_is_found)
{
	struct pair pair;
	char bytes[4];

	pair_open(&pair);
	ck_assert_int_eq(pro_socket_shutdown_write(pair.client.proactor, pair.client.handle), 0);
	for (unsigned i = 0; i < 255; i++)
		ck_assert_int_eq(probe_read(&pair.server, bytes, sizeof(bytes)), PRO_EOF);
	ck_assert_ptr_null(pro_sim_failure(pair.sim));
	ck_assert_int_eq(pro_asynch_read_stream_read(&pair.server.reader, NULL, 0), 0);
	pair.server.pending = 1;
	pro_sim_run_until(pair.sim, NULL, NULL, 10);
	ck_assert_str_eq(
			pro_sim_failure(pair.sim), "server reads the end of handle 102 for the 256th time");
	pro_sim_destroy(pair.sim);
}
END_TEST

/* It belongs to the proactor that used it last. */
START_TEST(socket_goes_over_to_another_proactor)
{
	struct pro_sim *sim = calm_world();
	struct pro_proactor *makers = world_proactor(sim, "maker");
	struct pro_proactor *others = world_proactor(sim, "other");
	pro_handle handles[2];
	struct probe maker;
	struct probe other;
	char bytes[4];

	ck_assert_int_eq(pro_socket_pair(makers, handles), 0);
	probe_init(&maker, sim, makers);
	probe_init(&other, sim, others);
	probe_own(&maker, handles[0]);
	probe_own(&other, handles[1]);
	ck_assert_uint_eq(pro_sim_handles(sim, makers), 2);
	ck_assert_int_eq(probe_write(&other, "1234", 4), 0);
	ck_assert_int_eq(probe_read(&maker, bytes, sizeof(bytes)), 0);
	ck_assert_uint_eq(pro_sim_handles(sim, makers), 1);
	ck_assert_uint_eq(pro_sim_handles(sim, others), 1);
	probe_close(&maker);
	ck_assert_int_eq(probe_read(&other, bytes, sizeof(bytes)), PRO_EOF);
	probe_close(&other);
	world_end(sim);
}
END_TEST

/* Whichever way a cancel goes: with no block left to lend, a read that waits for one ends, and
 * nothing is lost. */
START_TEST(read_that_waits_for_a_block_is_cancelled)
{
	struct pro_sim *sim = calm_world();
	struct pro_proactor_options options;
	struct pro_proactor *proactor;
	struct pro_message_block *lent;
	struct probe giver;
	struct probe taker;
	pro_handle handles[2];

	pro_proactor_options_init(&options);
	options.lent_blocks = 1;
	ck_assert_int_eq(pro_sim_proactor_create(sim, "one block", &options, &proactor), 0);
	ck_assert_int_eq(pro_socket_pair(proactor, handles), 0);
	probe_init(&giver, sim, proactor);
	probe_init(&taker, sim, proactor);
	probe_own(&giver, handles[0]);
	probe_own(&taker, handles[1]);
	ck_assert_int_eq(probe_write(&giver, "1", 1), 0);
	probe_start_read(&taker, NULL);
	probe_wait(&taker);
	lent = taker.block;
	ck_assert_ptr_nonnull(lent);
	ck_assert_int_eq(probe_write(&giver, "2", 1), 0);
	for (unsigned i = 0; i < 16; i++) {
		probe_start_read(&taker, NULL);
		pro_sim_run_until(sim, NULL, NULL, 10);
		ck_assert_uint_eq(taker.pending, 1);
		ck_assert_int_eq(pro_operation_cancel(&taker.reader.operation), 0);
		probe_wait(&taker);
		ck_assert_int_eq(taker.error, PRO_ECANCELED);
	}
	pro_message_block_release(lent);
	probe_start_read(&taker, NULL);
	probe_wait(&taker);
	ck_assert_int_eq(taker.error, 0);
	ck_assert_uint_eq(taker.bytes, 1);
	pro_message_block_release(taker.block);
	probe_close(&giver);
	probe_close(&taker);
	world_end(sim);
}
END_TEST

/* ---- datagrams ---- */

struct dgrams {
	struct pro_sim *sim;
	struct probe server;
	struct probe client;
};

static void dgrams_open(struct dgrams *dgrams, const char *server, const char *client)
{
	struct pro_addr addr = world_addr(server);
	struct pro_addr from;
	pro_handle handle;

	dgrams->sim = calm_world();
	probe_init(&dgrams->server, dgrams->sim, world_proactor(dgrams->sim, "server"));
	probe_init(&dgrams->client, dgrams->sim, world_proactor(dgrams->sim, "client"));
	ck_assert_int_eq(
			pro_socket_dgram(dgrams->server.proactor, pro_addr_family(&addr), &addr, &handle), 0);
	probe_own(&dgrams->server, handle);
	if (client)
		from = world_addr(client);
	ck_assert_int_eq(pro_socket_dgram(dgrams->client.proactor, pro_addr_family(&addr),
							 client ? &from : NULL, &handle),
			0);
	probe_own(&dgrams->client, handle);
	pro_operation_set_timeout(&dgrams->server.dgram_reader.operation, 1000);
}

static void dgrams_close(struct dgrams *dgrams)
{
	probe_close(&dgrams->server);
	probe_close(&dgrams->client);
	world_end(dgrams->sim);
}

static int dgrams_send(struct dgrams *dgrams, const char *to, const void *bytes, size_t length)
{
	struct pro_addr addr = world_addr(to);
	struct pro_message_block block;
	int error;

	pro_message_block_init_filled(&block, bytes, length);
	error = pro_asynch_write_dgram_send(&dgrams->client.dgram_writer, &block, &addr);
	if (error)
		return error;
	dgrams->client.pending = 1;
	probe_wait(&dgrams->client);
	return dgrams->client.error;
}

static int dgrams_receive(struct dgrams *dgrams)
{
	static unsigned char bytes[70000];
	struct pro_message_block block;

	pro_message_block_init(&block, bytes, sizeof(bytes));
	ck_assert_int_eq(pro_asynch_read_dgram_recv(&dgrams->server.dgram_reader, &block), 0);
	dgrams->server.pending = 1;
	probe_wait(&dgrams->server);
	return dgrams->server.error;
}

START_TEST(datagrams_are_lost_where_nothing_passes)
{
	static unsigned char bytes[60000];
	struct dgrams dgrams;

	dgrams_open(&dgrams, "0.0.0.0:53", NULL);
	pro_sim_partition(dgrams.sim, dgrams.server.proactor, dgrams.client.proactor, 100);
	ck_assert_int_eq(dgrams_send(&dgrams, "10.0.0.1:53", "lost", 4), 0);
	ck_assert_int_eq(dgrams_receive(&dgrams), PRO_ETIMEDOUT);
	ck_assert_int_eq(dgrams_send(&dgrams, "10.0.0.1:54", "nobody", 6), 0);
	ck_assert_int_eq(dgrams_receive(&dgrams), PRO_ETIMEDOUT);
	/* What a socket holds has a bound. */
	for (unsigned i = 0; i < 6; i++)
		ck_assert_int_eq(dgrams_send(&dgrams, "10.0.0.1:53", bytes, sizeof(bytes)), 0);
	pro_sim_run_until(dgrams.sim, NULL, NULL, 10);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(dgrams_receive(&dgrams), 0);
		ck_assert_uint_eq(dgrams.server.bytes, sizeof(bytes));
	}
	ck_assert_int_eq(dgrams_receive(&dgrams), PRO_ETIMEDOUT);
	dgrams_close(&dgrams);
}
END_TEST

START_TEST(datagrams_outlive_their_sender)
{
	struct dgrams dgrams;

	dgrams_open(&dgrams, "[::]:53", NULL);
	pro_sim_set_latency(dgrams.sim, 5000, 5000);
	ck_assert_int_eq(dgrams_send(&dgrams, "[fd00::1]:53", "last", 4), 0);
	probe_close(&dgrams.client);
	ck_assert_int_eq(pro_proactor_destroy(dgrams.client.proactor), 0);
	ck_assert_int_eq(dgrams_receive(&dgrams), 0);
	ck_assert_uint_eq(dgrams.server.bytes, 4);
	probe_close(&dgrams.server);
	world_end(dgrams.sim);
}
END_TEST

START_TEST(datagrams_go_by_paths_too)
{
	struct pro_addr addr = world_addr("unix:/run/log");
	struct dgrams dgrams;
	pro_handle handle;

	dgrams_open(&dgrams, "unix:/run/log", NULL);
	ck_assert_int_eq(pro_socket_dgram(dgrams.server.proactor, PRO_FAMILY_UNIX, &addr, &handle),
			PRO_EADDRINUSE);
	ck_assert_int_eq(dgrams_send(&dgrams, "unix:/run/log", "line", 4), 0);
	ck_assert_int_eq(dgrams_receive(&dgrams), 0);
	ck_assert_int_eq(pro_addr_family(&dgrams.server.remote), PRO_FAMILY_UNIX);
	pro_sim_set_handles_max(dgrams.sim, dgrams.client.proactor, 1);
	ck_assert_int_eq(
			pro_socket_dgram(dgrams.client.proactor, PRO_FAMILY_INET, NULL, &handle), PRO_EMFILE);
	ck_assert_int_eq(handle, PRO_INVALID_HANDLE);
	dgrams_close(&dgrams);
}
END_TEST

/* ---- names ---- */

START_TEST(table_of_hosts_has_a_bound)
{
	static char long_name[PRO_HOST_MAX + 1];
	struct pro_addr nowhere = {.length = 0};
	struct pro_addr addr = world_addr("10.0.0.9:0");
	struct pro_sim *sim = calm_world();
	struct probe probe;
	char name[32];

	memset(long_name, 'h', PRO_HOST_MAX);
	ck_assert_int_eq(pro_sim_add_host(sim, NULL, &addr), PRO_EINVAL);
	ck_assert_int_eq(pro_sim_add_host(sim, long_name, &addr), PRO_EINVAL);
	ck_assert_int_eq(pro_sim_add_host(sim, "host", NULL), PRO_EINVAL);
	ck_assert_int_eq(pro_sim_add_host(sim, "host", &nowhere), PRO_EINVAL);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(pro_sim_add_host(sim, "host", &addr), 0);
	ck_assert_int_eq(pro_sim_add_host(sim, "host", &addr), PRO_EFULL);
	for (unsigned i = 1; i < 32; i++) {
		snprintf(name, sizeof(name), "host%u", i);
		ck_assert_int_eq(pro_sim_add_host(sim, name, &addr), 0);
	}
	ck_assert_int_eq(pro_sim_add_host(sim, "one.more", &addr), PRO_EFULL);
	probe_init(&probe, sim, world_proactor(sim, "one"));
	ck_assert_int_eq(probe_resolve(&probe, "host:1"), 0);
	ck_assert_uint_eq(probe.found, 8);
	ck_assert_int_eq(probe_resolve(&probe, "[::1]:1"), 0);
	ck_assert_int_eq(pro_addr_family(&probe.remote), PRO_FAMILY_INET6);
	ck_assert_int_eq(probe_resolve(&probe, "localhost:1"), 0);
	probe_close(&probe);
	world_end(sim);
}
END_TEST

TCase *edges_tcase(void)
{
	TCase *tcase = tcase_create("edges");

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, callbacks_can_not_let_the_world_go_on);
	tcase_add_test(tcase, loop_that_is_run_ends_after_a_failure);
	tcase_add_test(tcase, loop_that_was_ended_stands_still);
	tcase_add_test(tcase, clock_may_come_to_its_end);
	tcase_add_test(tcase, worlds_need_sense);
	tcase_add_test(tcase, choices_have_bounds);
	tcase_add_test(tcase, allocator_keeps_what_was_freed_for_a_while);
	tcase_add_test(tcase, memory_of_others_is_not_freed);
	tcase_add_test(tcase, socket_that_connects_is_not_connected);
	tcase_add_test(tcase, write_waits_again_when_the_window_shrinks);
	tcase_add_test(tcase, end_that_is_read_for_ever_is_found);
	tcase_add_test(tcase, socket_goes_over_to_another_proactor);
	tcase_add_test(tcase, read_that_waits_for_a_block_is_cancelled);
	tcase_add_test(tcase, datagrams_are_lost_where_nothing_passes);
	tcase_add_test(tcase, datagrams_outlive_their_sender);
	tcase_add_test(tcase, datagrams_go_by_paths_too);
	tcase_add_test(tcase, table_of_hosts_has_a_bound);
	return tcase;
}
