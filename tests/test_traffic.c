/* ACE's echo scenarios at load, with every byte checked both ways: clients by a connector, a server
 * by an acceptor, on one thread, on several that share a proactor, on a group. */
#include <check.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <proactor/asynch_acceptor.h>
#include <proactor/asynch_connector.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/socket.h>

#include "support/crew.h"
#include "support/os.h"
#include "support/pattern.h"
#include "support/suite.h"
#include "support/world.h"

#define PIECES_MAX 6

/* What a run is. */
struct plan {
	const char *any;      /* where the server listens */
	unsigned backlog;     /* of connections that it has not accepted; 0: the system's most */
	unsigned threads;     /* of the server's proactor */
	unsigned concurrency; /* of it */
	unsigned members;     /* of a group that takes the connections; 0: none */
	bool is_apart;        /* the clients have a proactor and as many threads of their own */
	unsigned senders;
	unsigned requests; /* of each sender */
	unsigned request_bytes;
	unsigned depth;      /* requests that a sender is ahead of their echoes, at most */
	unsigned read_bytes; /* that the server reads at a time */
	unsigned ahead;      /* such reads that it is ahead of its writes, at most */
	unsigned pieces;     /* of a vector that the server reads into; the senders gather three */
};

static struct plan plan;
static struct pro_proactor *server_proactor;
static struct pro_proactor *client_proactor;
static struct pro_proactor_group *group;
static struct pro_asynch_acceptor acceptor;
static struct pro_asynch_connector connector;
static atomic_uint connects; /* that were validated */
static atomic_uint sessions_up;
static atomic_uint sessions_down;
static atomic_uint loops_ended;
static sem_t done;

static void session_is_up(void)
{
	atomic_fetch_add(&sessions_up, 1);
}

/* The last of both sides. */
static void session_is_down(void)
{
	if (atomic_fetch_add(&sessions_down, 1) + 1 == 2 * plan.senders)
		sem_post(&done);
}

/* ---- the receiver, which echoes ---- */

struct chain {
	struct pro_message_block pieces[PIECES_MAX];
	unsigned char *bytes;
};

struct receiver {
	struct pro_service_handler service; /* first */
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	uint64_t received;
	unsigned reads;
	unsigned writes; /* that are through */
	unsigned seed;
	bool has_ended;
	struct chain *chains;
	unsigned char *bytes;
};

static struct receiver *receiver_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct receiver, service.handler);
}

/* Both ends of a connection know the port of the client. */
static unsigned seed_of(const struct pro_addr *client)
{
	return pro_addr_port(client);
}

static void receiver_read(struct receiver *receiver)
{
	struct chain *chain = &receiver->chains[receiver->reads % plan.ahead];
	unsigned share = plan.read_bytes / plan.pieces;

	if (receiver->reads - receiver->writes == plan.ahead)
		return;
	for (unsigned i = 0; i < plan.pieces; i++) {
		unsigned begin = i * share;
		unsigned end = i + 1 < plan.pieces ? begin + share : plan.read_bytes;

		pro_message_block_init(&chain->pieces[i], chain->bytes + begin, end - begin);
		if (i > 0)
			chain->pieces[i - 1].cont = &chain->pieces[i];
	}
	ASSERT_OK(pro_asynch_read_stream_readv(&receiver->reader, &chain->pieces[0], 0));
}

/* Closes when nothing is outstanding. */
static void receiver_end_if_drained(struct receiver *receiver)
{
	if (receiver->has_ended && receiver->reads == receiver->writes)
		pro_handler_close(&receiver->service.handler);
}

static void receiver_handle_read(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct receiver *receiver = receiver_from_handler(handler);
	struct chain *chain = &receiver->chains[receiver->reads % plan.ahead];

	if (result->error) {
		ASSERT_ERROR(result->error, PRO_EOF);
		receiver->has_ended = true;
		receiver_end_if_drained(receiver);
		return;
	}
	for (unsigned i = 0; i < plan.pieces; i++) {
		size_t length = pro_message_block_length(&chain->pieces[i]);

		pattern_check(pro_message_block_rd_ptr(&chain->pieces[i]), length, receiver->received,
				receiver->seed);
		receiver->received += length;
	}
	receiver->reads++;
	ASSERT_OK(pro_asynch_write_stream_writev(&receiver->writer, &chain->pieces[0]));
	receiver_read(receiver);
}

static void receiver_handle_write(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct receiver *receiver = receiver_from_handler(handler);
	bool was_full = receiver->reads - receiver->writes == plan.ahead;

	ASSERT_OK(result->error);
	receiver->writes++;
	if (receiver->has_ended)
		receiver_end_if_drained(receiver);
	else if (was_full)
		receiver_read(receiver);
}

static void receiver_handle_close(struct pro_handler *handler)
{
	struct receiver *receiver = receiver_from_handler(handler);

	ck_assert_uint_eq(receiver->received, (uint64_t)plan.requests * plan.request_bytes);
	free(receiver->bytes);
	free(receiver->chains);
	free(receiver);
	session_is_down();
}

static void receiver_open(struct pro_service_handler *service)
{
	struct receiver *receiver = receiver_from_handler(&service->handler);
	struct pro_handler *handler = &service->handler;

	session_is_up();
	receiver->seed = seed_of(&service->remote);
	ASSERT_OK(pro_asynch_read_stream_open(&receiver->reader, handler, PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(pro_asynch_write_stream_open(&receiver->writer, handler, PRO_INVALID_HANDLE, NULL));
	receiver_read(receiver);
}

static const struct pro_service_handler_vtbl receiver_vtbl = {
		.handler.handle_read_stream = receiver_handle_read,
		.handler.handle_write_stream = receiver_handle_write,
		.handler.handle_close = receiver_handle_close,
		.open = receiver_open,
};

static struct pro_service_handler *make_receiver(struct pro_asynch_acceptor *self)
{
	struct receiver *receiver = calloc(1, sizeof(*receiver));

	ck_assert_ptr_nonnull(receiver);
	receiver->chains = calloc(plan.ahead, sizeof(*receiver->chains));
	receiver->bytes = malloc((size_t)plan.ahead * plan.read_bytes);
	ck_assert(receiver->chains && receiver->bytes);
	for (unsigned i = 0; i < plan.ahead; i++)
		receiver->chains[i].bytes = receiver->bytes + (size_t)i * plan.read_bytes;
	ASSERT_OK(pro_service_handler_init(
			&receiver->service, &receiver_vtbl, pro_asynch_acceptor_proactor(self)));
	return &receiver->service;
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {.make_handler = make_receiver};

/* ---- the sender ---- */

struct sender {
	struct pro_service_handler service; /* first */
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	unsigned sent;    /* requests */
	unsigned written; /* of them */
	uint64_t received;
	unsigned seed;
	struct pro_message_block block;
	unsigned char bytes[4096];
	struct pro_message_block (*gather)[3];
	unsigned char *requests;
};

static struct sender *sender_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct sender, service.handler);
}

static void sender_read(struct sender *sender)
{
	pro_message_block_init(&sender->block, sender->bytes, sizeof(sender->bytes));
	ASSERT_OK(pro_asynch_read_stream_read(&sender->reader, &sender->block, 0));
}

static void sender_write(struct sender *sender)
{
	struct pro_message_block *gather = sender->gather[sender->sent % plan.depth];
	unsigned char *bytes = sender->requests + sender->sent % plan.depth * plan.request_bytes;
	unsigned parts[4] = {0, plan.request_bytes / 3, plan.request_bytes / 2, plan.request_bytes};

	pattern_fill(
			bytes, plan.request_bytes, (uint64_t)sender->sent * plan.request_bytes, sender->seed);
	for (unsigned i = 0; i < 3; i++) {
		pro_message_block_init_filled(&gather[i], bytes + parts[i], parts[i + 1] - parts[i]);
		if (i > 0)
			gather[i - 1].cont = &gather[i];
	}
	sender->sent++;
	ASSERT_OK(pro_asynch_write_stream_writev(&sender->writer, &gather[0]));
}

/* Sends what may be sent now: a request whose place is free, its forerunner echoed. After the last
 * one the stream is half closed. */
static void sender_go_on(struct sender *sender)
{
	unsigned echoed = (unsigned)(sender->received / plan.request_bytes);
	unsigned free_until = (echoed < sender->written ? echoed : sender->written) + plan.depth;

	if (sender->sent == plan.requests)
		return;
	while (sender->sent < plan.requests && sender->sent < free_until)
		sender_write(sender);
	if (sender->sent == plan.requests)
		ASSERT_OK(pro_asynch_write_stream_shutdown(&sender->writer));
}

static void sender_handle_read(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct sender *sender = sender_from_handler(handler);

	if (result->error) {
		ASSERT_ERROR(result->error, PRO_EOF);
		ck_assert_uint_eq(sender->received, (uint64_t)plan.requests * plan.request_bytes);
		pro_handler_close(handler);
		return;
	}
	pattern_check(sender->bytes, result->bytes_transferred, sender->received, sender->seed);
	sender->received += result->bytes_transferred;
	sender_go_on(sender);
	sender_read(sender);
}

static void sender_handle_write(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct sender *sender = sender_from_handler(handler);

	ASSERT_OK(result->error);
	sender->written++;
	sender_go_on(sender);
}

static void sender_handle_close(struct pro_handler *handler)
{
	struct sender *sender = sender_from_handler(handler);

	ck_assert_uint_eq(sender->written, plan.requests);
	free(sender->requests);
	free(sender->gather);
	free(sender);
	session_is_down();
}

static void connect_next(void)
{
	ASSERT_OK(pro_asynch_connector_connect(&connector, pro_asynch_acceptor_addr(&acceptor), NULL));
}

static void sender_open(struct pro_service_handler *service)
{
	struct sender *sender = sender_from_handler(&service->handler);
	struct pro_handler *handler = &service->handler;

	session_is_up();
	sender->seed = seed_of(&service->local);
	ASSERT_OK(pro_asynch_read_stream_open(&sender->reader, handler, PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(pro_asynch_write_stream_open(&sender->writer, handler, PRO_INVALID_HANDLE, NULL));
	sender_read(sender);
	sender_go_on(sender);
	/* The connector's callback runs this: here the next connect may begin. */
	if (atomic_load(&connects) < plan.senders)
		connect_next();
}

static const struct pro_service_handler_vtbl sender_vtbl = {
		.handler.handle_read_stream = sender_handle_read,
		.handler.handle_write_stream = sender_handle_write,
		.handler.handle_close = sender_handle_close,
		.open = sender_open,
};

static struct pro_service_handler *make_sender(struct pro_asynch_connector *self)
{
	struct sender *sender = calloc(1, sizeof(*sender));

	ck_assert_ptr_nonnull(sender);
	sender->gather = calloc(plan.depth, sizeof(*sender->gather));
	sender->requests = malloc((size_t)plan.depth * plan.request_bytes);
	ck_assert(sender->gather && sender->requests);
	ASSERT_OK(pro_service_handler_init(
			&sender->service, &sender_vtbl, pro_handler_proactor(&self->handler)));
	return &sender->service;
}

static int validate_remote(
		struct pro_asynch_connector *self, int error, const struct pro_addr *remote)
{
	(void)self;
	ASSERT_OK(error);
	ck_assert(pro_addr_equal(remote, pro_asynch_acceptor_addr(&acceptor)));
	atomic_fetch_add(&connects, 1);
	return 0;
}

static const struct pro_asynch_connector_vtbl connector_vtbl = {
		.make_handler = make_sender,
		.validate_connection = validate_remote,
};

/* ---- a run ---- */

static void run_loop(void *context, unsigned number)
{
	(void)number;
	ASSERT_OK(pro_proactor_run_event_loop(context));
	atomic_fetch_add(&loops_ended, 1);
}

static struct pro_proactor *create(unsigned threads, unsigned concurrency)
{
	struct pro_proactor_options options;
	struct pro_proactor *proactor;
	char why[256] = "";

	pro_proactor_options_init(&options);
	options.entries = 512;
	options.is_shared = threads > 1;
	options.concurrency = concurrency;
	ck_assert_msg(pro_proactor_create(&proactor, &options, why, sizeof(why)) == 0, "%s", why);
	return proactor;
}

static void create_group(void)
{
	struct pro_proactor_group_options options;
	char why[256] = "";

	group = NULL;
	if (plan.members == 0)
		return;
	pro_proactor_group_options_init(&options);
	options.count = plan.members;
	ck_assert_msg(pro_proactor_group_create(&group, &options, why, sizeof(why)) == 0, "%s", why);
	ASSERT_OK(pro_proactor_group_start(group));
}

static void open_traffic(void)
{
	struct pro_asynch_acceptor_options options;
	struct pro_addr addr = world_addr(plan.any);

	ck_assert_int_eq(sem_init(&done, 0, 0), 0);
	connects = sessions_up = sessions_down = loops_ended = 0;
	create_group();
	server_proactor = create(plan.threads, plan.concurrency);
	client_proactor = plan.is_apart ? create(plan.threads, plan.concurrency) : server_proactor;
	pro_asynch_acceptor_options_init(&options);
	options.backlog = plan.backlog;
	options.group = group;
	ASSERT_OK(pro_asynch_acceptor_open_with(
			&acceptor, &acceptor_vtbl, server_proactor, &addr, &options));
	ASSERT_OK(pro_asynch_connector_open(&connector, &connector_vtbl, client_proactor));
	connect_next();
}

static void assert_nothing_left(struct pro_proactor *proactor)
{
	struct pro_proactor_statistics statistics = {.size = sizeof(statistics)};

	ASSERT_OK(pro_proactor_statistics(proactor, &statistics));
	ck_assert_uint_eq(statistics.in_flight, 0);
	ck_assert_uint_eq(statistics.handlers, 0);
}

/* The acceptor goes with accepts pending; the loops return because nothing is left. */
static void close_traffic(struct crew *crews, unsigned crew_count)
{
	pro_asynch_acceptor_close(&acceptor);
	pro_asynch_connector_close(&connector);
	pro_proactor_group_stop(group);
	pro_proactor_shutdown(server_proactor);
	pro_proactor_shutdown(client_proactor);
	for (unsigned i = 0; i < crew_count; i++)
		crew_join(&crews[i]);
	ck_assert_uint_eq(loops_ended, crew_count * plan.threads);
	assert_nothing_left(server_proactor);
	assert_nothing_left(client_proactor);
	ASSERT_OK(pro_proactor_destroy(server_proactor));
	if (plan.is_apart)
		ASSERT_OK(pro_proactor_destroy(client_proactor));
	ASSERT_OK(pro_proactor_group_destroy(group));
}

static void run_traffic(void)
{
	struct crew crews[2];
	unsigned descriptors = os_descriptor_count();
	uint64_t began_ms = os_now_ms();

	open_traffic();
	crew_start(&crews[0], plan.threads, run_loop, server_proactor);
	if (plan.is_apart)
		crew_start(&crews[1], plan.threads, run_loop, client_proactor);
	while (sem_wait(&done) != 0)
		;
	close_traffic(crews, plan.is_apart ? 2 : 1);
	ck_assert_uint_eq(connects, plan.senders);
	ck_assert_uint_eq(sessions_up, 2 * plan.senders);
	ck_assert_uint_eq(sessions_down, 2 * plan.senders);
	ck_assert_uint_eq(os_descriptor_count(), descriptors);
	printf("%u threads, %u x %u x %u bytes, depth %u: %llu ms\n", plan.threads, plan.senders,
			plan.requests, plan.request_bytes, plan.depth,
			(unsigned long long)(os_now_ms() - began_ms));
}

/* ---- S1: a proactor test at load ---- */

static const struct plan s1_plan = {
		.any = ANY_INET,
		.backlog = 5,
		.threads = 3,
		.concurrency = 3,
		.senders = 10,
		.requests = 50,
		.request_bytes = 157,
		.depth = 1,
		.read_bytes = 1023,
		.ahead = 1,
		.pieces = 1,
};

/* 32 KiB ahead. */
static void plan_full_duplex(void)
{
	plan.depth = 32 * 1024 / plan.request_bytes;
	plan.ahead = 32;
}

START_TEST(s1_half_duplex_on_three_threads)
{
	plan = s1_plan;
	run_traffic();
}
END_TEST

START_TEST(s1_full_duplex_on_three_threads)
{
	plan = s1_plan;
	plan_full_duplex();
	run_traffic();
}
END_TEST

/* The senders gather three blocks in every test. */
START_TEST(s1_vectors_of_three_and_six_blocks)
{
	plan = s1_plan;
	plan_full_duplex();
	plan.pieces = 6;
	run_traffic();
}
END_TEST

/* _i: full duplex */
START_TEST(s1_on_one_thread)
{
	plan = s1_plan;
	plan.threads = 1;
	plan.concurrency = 1;
	if (_i)
		plan_full_duplex();
	run_traffic();
}
END_TEST

START_TEST(s1_on_a_group)
{
	plan = s1_plan;
	plan.threads = 1;
	plan.concurrency = 1;
	plan.members = 3;
	plan_full_duplex();
	run_traffic();
}
END_TEST

/* _i: a group. A short backlog would make connects wait for seconds, as TCP retries. */
START_TEST(s1_with_a_thousand_clients)
{
	unsigned allowed = os_raise_descriptor_limit();

	plan = s1_plan;
	plan.backlog = 0;
	plan_full_duplex();
	plan.senders = allowed < 3000 ? allowed / 3 : 1000;
	if (_i) {
		plan.threads = 1;
		plan.concurrency = 1;
		plan.members = 3;
	}
	run_traffic();
}
END_TEST

/* ---- S12: the network matrix; datagrams are in test_traffic_dgram.c ---- */

struct matrix {
	unsigned threads;
	unsigned senders;
	unsigned requests;
	unsigned request_bytes;
	unsigned depth;
};

static const struct matrix matrices[] = {
		{1, 1, 50000, 64, 1},
		{1, 16, 4096, 512, 4},
		{4, 16, 4096, 512, 4},
		{8, 16, 2048, 8192, 16},
};

#define MATRICES (sizeof(matrices) / sizeof(matrices[0]))

/* _i: which, and beyond them over IPv6 */
START_TEST(s12_streams)
{
	const struct matrix *matrix = &matrices[(size_t)_i % MATRICES];

	plan = (struct plan){
			.any = (size_t)_i < MATRICES ? ANY_INET : ANY_INET6,
			.threads = matrix->threads,
			.concurrency = matrix->threads,
			.senders = matrix->senders,
			.requests = world_number(matrix->requests / 16, matrix->requests),
			.request_bytes = matrix->request_bytes,
			.depth = matrix->depth,
			.read_bytes = 8192,
			.ahead = matrix->depth,
			.pieces = 1,
	};
	run_traffic();
}
END_TEST

/* ---- S20, S21: one receiver, many senders, each with threads of its own ---- */

/* _i: how many threads */
START_TEST(s20_s21_a_receiver_echoes_to_a_hundred_senders)
{
	static const unsigned threads[] = {1, 4};

	plan = (struct plan){
			.any = ANY_INET,
			.threads = threads[_i],
			.concurrency = threads[_i],
			.is_apart = true,
			.senders = 100,
			.requests = world_number(50, 500),
			.request_bytes = 1000,
			.depth = 8,
			.read_bytes = 4096,
			.ahead = 4,
			.pieces = 1,
	};
	run_traffic();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("traffic");
	TCase *tcase = tcase_create("traffic");

	tcase_set_timeout(tcase, world_is_long() ? 600 : 120);
	tcase_add_test(tcase, s1_half_duplex_on_three_threads);
	tcase_add_test(tcase, s1_full_duplex_on_three_threads);
	tcase_add_test(tcase, s1_vectors_of_three_and_six_blocks);
	tcase_add_loop_test(tcase, s1_on_one_thread, 0, 2);
	tcase_add_test(tcase, s1_on_a_group);
	tcase_add_loop_test(tcase, s1_with_a_thousand_clients, 0, 2);
	tcase_add_loop_test(tcase, s12_streams, 0, 2 * MATRICES);
	tcase_add_loop_test(tcase, s20_s21_a_receiver_echoes_to_a_hundred_senders, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
