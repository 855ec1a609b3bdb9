/* Groups: connections are spread evenly, each handler stays on its proactor and thread, a stop
 * drains all. */
#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <proactor/asynch_acceptor.h>
#include <proactor/asynch_connect.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/proactor_group.h>

#include "support/os.h"
#include "support/suite.h"
#include "support/world.h"

#define MEMBERS 3

struct connection {
	struct pro_service_handler service; /* first */
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_message_block block;
	unsigned char bytes[64];
	long thread;
};

static struct pro_proactor_group *group;
static struct pro_asynch_acceptor acceptor;
static atomic_uint opened[MEMBERS];
static atomic_uint closed;
static atomic_bool acceptor_is_closed;
static atomic_long threads[MEMBERS];

static struct connection *connection_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct connection, service.handler);
}

static unsigned member_of(const struct pro_proactor *proactor)
{
	for (unsigned i = 0; i < MEMBERS; i++)
		if (pro_proactor_group_proactor(group, i) == proactor)
			return i;
	ck_abort_msg("not of the group");
	return 0;
}

static void connection_check_thread(struct connection *connection)
{
	if (connection->thread != 0) /* 0: it was not opened */
		ck_assert_int_eq(os_thread_id(), connection->thread);
}

static void connection_read(struct connection *connection)
{
	pro_message_block_init(&connection->block, connection->bytes, sizeof(connection->bytes));
	if (pro_asynch_read_stream_read(&connection->reader, &connection->block, 0))
		pro_handler_close(&connection->service.handler);
}

static void connection_handle_read(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct connection *connection = connection_from_handler(handler);

	connection_check_thread(connection);
	if (result->error || pro_asynch_write_stream_write(&connection->writer, result->block))
		pro_handler_close(handler);
}

static void connection_handle_write(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	connection_check_thread(connection_from_handler(handler));
	if (result->error)
		pro_handler_close(handler);
	else
		connection_read(connection_from_handler(handler));
}

static void connection_handle_close(struct pro_handler *handler)
{
	connection_check_thread(connection_from_handler(handler));
	free(connection_from_handler(handler));
	atomic_fetch_add(&closed, 1);
}

static void connection_open(struct pro_service_handler *service)
{
	struct connection *connection = connection_from_handler(&service->handler);
	struct pro_handler *handler = &service->handler;
	unsigned member = member_of(pro_handler_proactor(handler));
	long none = 0;

	connection->thread = os_thread_id();
	if (!atomic_compare_exchange_strong(&threads[member], &none, connection->thread))
		ck_assert_int_eq(none, connection->thread);
	atomic_fetch_add(&opened[member], 1);
	/* During a shutdown the handle is gone already. */
	if (pro_asynch_read_stream_open(&connection->reader, handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_write_stream_open(&connection->writer, handler, PRO_INVALID_HANDLE, NULL))
		pro_handler_close(handler);
	else
		connection_read(connection);
}

static const struct pro_service_handler_vtbl connection_vtbl = {
		.handler.handle_read_stream = connection_handle_read,
		.handler.handle_write_stream = connection_handle_write,
		.handler.handle_close = connection_handle_close,
		.open = connection_open,
};

/* Handlers are made for the acceptor's proactor, whichever the connection goes to. */
static bool is_mistaken;

static struct pro_service_handler *make_handler(struct pro_asynch_acceptor *self)
{
	struct connection *connection = malloc(sizeof(*connection));

	ck_assert_ptr_nonnull(connection);
	connection->thread = 0;
	ASSERT_OK(pro_service_handler_init(&connection->service, &connection_vtbl,
			is_mistaken ? pro_handler_proactor(&self->handler)
						: pro_asynch_acceptor_proactor(self)));
	return &connection->service;
}

static void acceptor_handle_close(struct pro_asynch_acceptor *self)
{
	(void)self;
	atomic_store(&acceptor_is_closed, true);
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {
		.make_handler = make_handler,
		.handle_close = acceptor_handle_close,
};

static void open_group_at(const char *text, bool pins)
{
	struct pro_proactor_group_options options;
	struct pro_asynch_acceptor_options acceptor_options;
	struct pro_addr addr = world_addr(text);
	char why[256] = "";

	memset(opened, 0, sizeof(opened));
	memset(threads, 0, sizeof(threads));
	closed = 0;
	acceptor_is_closed = false;
	pro_proactor_group_options_init(&options);
	options.count = MEMBERS;
	options.pins = pins;
	ck_assert_msg(pro_proactor_group_create(&group, &options, why, sizeof(why)) == 0, "%s", why);
	pro_asynch_acceptor_options_init(&acceptor_options);
	acceptor_options.group = group;
	ASSERT_OK(pro_asynch_acceptor_open_with(&acceptor, &acceptor_vtbl,
			pro_proactor_group_proactor(group, 0), &addr, &acceptor_options));
	ASSERT_OK(pro_proactor_group_start(group));
}

static void open_group(bool pins)
{
	open_group_at(ANY_INET, pins);
}

static unsigned opened_in_all(void)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < MEMBERS; i++)
		sum += atomic_load(&opened[i]);
	return sum;
}

static void close_group(void)
{
	ASSERT_OK(pro_proactor_group_destroy(group));
	ck_assert(acceptor_is_closed);
	ck_assert_uint_eq(opened_in_all(), closed);
}

/* A peer that has got its byte back. */
static int converse(void)
{
	char byte = 'a';
	int peer = os_connect(pro_asynch_acceptor_addr(&acceptor));

	os_send(peer, "x", 1);
	ck_assert_uint_eq(os_receive(peer, &byte, 1, 10000), 1);
	ck_assert_int_eq(byte, 'x');
	return peer;
}

static void assert_spread_evenly(unsigned count)
{
	for (unsigned i = 0; i < MEMBERS; i++) {
		ck_assert_uint_ge(opened[i], count / MEMBERS * 9 / 10);
		ck_assert_uint_le(opened[i], count / MEMBERS * 11 / 10 + 1);
	}
}

/* _i: pinned */
START_TEST(connections_are_spread_evenly_and_stay)
{
	const unsigned count = world_number(900, 10000);

	open_group(_i);
	for (unsigned i = 0; i < count; i++)
		os_close(converse());
	close_group();
	assert_spread_evenly(count);
	for (unsigned i = 0; i < MEMBERS; i++)
		for (unsigned j = 0; j < i; j++)
			ck_assert_int_ne(threads[i], threads[j]);
}
END_TEST

/* Both ends of each connection are this process's. */
START_TEST(thousands_at_once_are_spread_evenly_and_drained)
{
	unsigned count = world_number(900, 10000);
	unsigned fitting = (os_raise_descriptor_limit() - 100) / 2;
	int *peers;

	if (count > fitting)
		count = fitting;
	peers = malloc(count * sizeof(*peers));
	ck_assert_ptr_nonnull(peers);
	open_group(false);
	for (unsigned i = 0; i < count; i++)
		peers[i] = converse();
	assert_spread_evenly(count);
	ck_assert_uint_eq(closed, 0);
	pro_proactor_group_stop(group);
	for (unsigned i = 0; i < count; i++) {
		char byte;

		ck_assert_uint_eq(os_receive(peers[i], &byte, 1, 10000), 0);
		os_close(peers[i]);
	}
	close_group();
	ck_assert_uint_eq(closed, count);
	printf("%u connections at once\n", count);
	free(peers);
}
END_TEST

/* The peers come and stay while the group stops. */
START_TEST(a_stop_drains_all)
{
	int peers[60];

	open_group(false);
	for (unsigned i = 0; i < 60; i++)
		peers[i] = os_connect(pro_asynch_acceptor_addr(&acceptor));
	while (opened_in_all() < 20)
		os_yield();
	pro_proactor_group_stop(group);
	pro_proactor_group_stop(group);
	close_group();
	for (unsigned i = 0; i < 60; i++) {
		char byte;

		ck_assert_uint_eq(os_receive(peers[i], &byte, 1, 10000), 0);
		os_close(peers[i]);
	}
}
END_TEST

/* A client on a proactor of its own: says a word and waits for it to come back. */
struct caller {
	struct pro_handler handler; /* first */
	struct pro_asynch_connect connector;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_message_block word;
	struct pro_message_block block;
	unsigned char bytes[8];
	bool is_closed;
};

static struct caller *caller_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct caller, handler);
}

static void caller_handle_connect(
		struct pro_handler *handler, const struct pro_asynch_connect_result *result)
{
	static unsigned char word[] = "hello";
	struct caller *caller = caller_from_handler(handler);

	ASSERT_OK(result->error);
	pro_handler_set_handle(handler, result->connected);
	ASSERT_OK(pro_asynch_read_stream_open(&caller->reader, handler, PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(pro_asynch_write_stream_open(&caller->writer, handler, PRO_INVALID_HANDLE, NULL));
	pro_message_block_init_filled(&caller->word, word, sizeof(word));
	pro_message_block_init(&caller->block, caller->bytes, sizeof(caller->bytes));
	ASSERT_OK(pro_asynch_write_stream_write(&caller->writer, &caller->word));
	ASSERT_OK(pro_asynch_read_stream_read_exactly(&caller->reader, &caller->block, sizeof(word)));
}

static void caller_handle_read(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	ASSERT_OK(result->error);
	ck_assert_str_eq((const char *)caller_from_handler(handler)->bytes, "hello");
	pro_handler_close(handler);
}

static void caller_handle_write(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	(void)handler;
	ASSERT_OK(result->error);
}

static void caller_handle_close(struct pro_handler *handler)
{
	caller_from_handler(handler)->is_closed = true;
}

static const struct pro_handler_vtbl caller_vtbl = {
		.handle_connect = caller_handle_connect,
		.handle_read_stream = caller_handle_read,
		.handle_write_stream = caller_handle_write,
		.handle_close = caller_handle_close,
};

#define CALLERS (4 * MEMBERS)

/* Connections that can not be spread stay with the acceptor. */
START_TEST(connections_of_this_machine_work_too)
{
	static struct caller callers[CALLERS];
	struct pro_proactor *own;
	char text[128];
	bool stays;

	os_make_local_address(text, sizeof(text));
	open_group_at(text, false);
	ASSERT_OK(pro_proactor_create(&own, NULL, NULL, 0));
	for (unsigned i = 0; i < CALLERS; i++) {
		struct caller *caller = &callers[i];

		ASSERT_OK(pro_handler_init(&caller->handler, &caller_vtbl, own));
		ASSERT_OK(pro_asynch_connect_open(&caller->connector, &caller->handler, NULL));
		ASSERT_OK(pro_asynch_connect_connect(
				&caller->connector, pro_asynch_acceptor_addr(&acceptor), NULL));
		while (!caller->is_closed)
			ck_assert_int_ge(pro_proactor_handle_events(own, 1000), 0);
	}
	ASSERT_OK(pro_proactor_destroy(own));
	close_group();
	stays = opened[0] == CALLERS;
	for (unsigned i = 0; i < MEMBERS; i++)
		ck_assert_uint_eq(opened[i], !stays ? CALLERS / MEMBERS : i == 0 ? CALLERS : 0);
}
END_TEST

/* ---- posts from member to member ---- */

struct speaker {
	struct pro_handler handler; /* first */
	unsigned heard[MEMBERS];    /* of each other */
	long thread;
};

struct word {
	struct pro_message_block block; /* first */
	unsigned from;
	unsigned number;
};

static struct speaker speakers[MEMBERS];
static struct word *words; /* by speaker, listener and number */
static unsigned words_each;
static atomic_uint words_left;
static sem_t all_heard;

/* Says everything to everyone, from its own loop. */
static void speaker_handle_wakeup(struct pro_handler *handler)
{
	struct speaker *speaker = pro_container_of(handler, struct speaker, handler);
	unsigned from = (unsigned)(speaker - speakers);

	speaker->thread = os_thread_id();
	for (unsigned number = 0; number < words_each; number++)
		for (unsigned to = 0; to < MEMBERS; to++) {
			struct word *word = &words[(from * MEMBERS + to) * words_each + number];

			word->from = from;
			word->number = number;
			pro_message_block_init(&word->block, NULL, 0);
			ASSERT_OK(pro_handler_post(&speakers[to].handler, &word->block, NULL));
		}
}

static void speaker_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	struct speaker *speaker = pro_container_of(handler, struct speaker, handler);
	const struct word *word = pro_container_of(result->block, struct word, block);

	ASSERT_OK(result->error);
	ck_assert(speaker->thread == 0 || speaker->thread == os_thread_id());
	ck_assert_uint_eq(speaker->heard[word->from], word->number);
	speaker->heard[word->from]++;
	if (atomic_fetch_sub(&words_left, 1) == 1)
		sem_post(&all_heard);
}

static void speaker_handle_close(struct pro_handler *handler)
{
	(void)handler;
}

static const struct pro_handler_vtbl speaker_vtbl = {
		.handle_wakeup = speaker_handle_wakeup,
		.handle_post = speaker_handle_post,
		.handle_close = speaker_handle_close,
};

START_TEST(posts_cross_proactors_in_order)
{
	words_each = world_number(5000, 120000);
	words = calloc((size_t)MEMBERS * MEMBERS * words_each, sizeof(*words));
	ck_assert_ptr_nonnull(words);
	memset(speakers, 0, sizeof(speakers));
	ck_assert_int_eq(sem_init(&all_heard, 0, 0), 0);
	atomic_store(&words_left, MEMBERS * MEMBERS * words_each);
	open_group(false);
	for (unsigned i = 0; i < MEMBERS; i++)
		ASSERT_OK(pro_handler_init(
				&speakers[i].handler, &speaker_vtbl, pro_proactor_group_proactor(group, i)));
	for (unsigned i = 0; i < MEMBERS; i++)
		ASSERT_OK(pro_handler_wakeup(&speakers[i].handler));
	while (sem_wait(&all_heard) != 0)
		;
	close_group();
	free(words);
}
END_TEST

/* ---- the rest ---- */

static int count_member(void *context, struct pro_proactor *proactor)
{
	unsigned *count = context;

	ck_assert_uint_eq(member_of(proactor), *count);
	return ++*count == 2 ? 5 : 0;
}

static int visit_nothing(void *context, struct pro_proactor *proactor)
{
	(void)context;
	(void)proactor;
	return 0;
}

START_TEST(handlers_of_another_member_are_closed_with_their_connection)
{
	int peers[2 * MEMBERS];
	char byte;

	is_mistaken = true;
	open_group(false);
	for (unsigned i = 0; i < 2 * MEMBERS; i++)
		peers[i] = os_connect(pro_asynch_acceptor_addr(&acceptor));
	for (unsigned i = 0; i < 2 * MEMBERS; i++) {
		os_shutdown_write(peers[i]);
		ck_assert_uint_eq(os_receive(peers[i], &byte, 1, 10000), 0);
		os_close(peers[i]);
	}
	ASSERT_OK(pro_proactor_group_destroy(group));
	is_mistaken = false;
	ck_assert_uint_eq(opened_in_all(), 2);
	ck_assert_uint_eq(closed, 2 * MEMBERS);
}
END_TEST

START_TEST(members_are_found)
{
	unsigned count = 0;

	open_group(false);
	ck_assert_uint_eq(pro_proactor_group_count(group), MEMBERS);
	ck_assert_ptr_null(pro_proactor_group_proactor(group, MEMBERS));
	for (unsigned i = 0; i < 2 * MEMBERS; i++)
		ck_assert_uint_eq(member_of(pro_proactor_group_next(group)), i % MEMBERS);
	ck_assert_int_eq(pro_proactor_group_for_each(group, count_member, &count), 5);
	ck_assert_uint_eq(count, 2);
	ASSERT_OK(pro_proactor_group_for_each(group, visit_nothing, NULL));
	ASSERT_ERROR(pro_proactor_group_start(group), PRO_EBUSY);
	close_group();
}
END_TEST

START_TEST(options_are_checked)
{
	struct pro_proactor_group_options options;
	char why[256] = "";

	pro_proactor_group_options_init(&options);
	options.proactor.concurrency = 2;
	ASSERT_ERROR(pro_proactor_group_create(&group, &options, why, sizeof(why)), PRO_EINVAL);
	ck_assert_str_eq(why, "each proactor of a group has one thread");
	ck_assert_ptr_null(group);
	ASSERT_OK(pro_proactor_group_create(&group, NULL, NULL, 0));
	ck_assert_uint_ge(pro_proactor_group_count(group), 1);
	ASSERT_OK(pro_proactor_group_destroy(group));
	ASSERT_OK(pro_proactor_group_destroy(NULL));
}
END_TEST

START_TEST(a_group_needs_memory)
{
	struct pro_proactor_group_options options;
	struct test_allocator memory;
	char why[256] = "";

	test_allocator_init(&memory);
	pro_proactor_group_options_init(&options);
	options.proactor.allocator = &memory.allocator;
	options.count = 2;
	memory.fails_always = true;
	ASSERT_ERROR(pro_proactor_group_create(&group, &options, why, sizeof(why)), PRO_ENOMEM);
	ck_assert_str_eq(why, "out of memory");
	ASSERT_ERROR(pro_proactor_group_create(&group, &options, NULL, 0), PRO_ENOMEM);
	memory.fails_always = false;
	ASSERT_OK(pro_proactor_group_create(&group, &options, NULL, 0));
	ASSERT_OK(pro_proactor_group_destroy(group));
	ck_assert_int_eq(memory.live, 0);
}
END_TEST

static struct test_allocator poor;

static int lose_memory(
		struct pro_asynch_acceptor *of, const struct pro_addr *local, const struct pro_addr *remote)
{
	(void)of;
	(void)local;
	(void)remote;
	poor.fails_always = true;
	return 0;
}

static struct pro_service_handler *make_nothing(struct pro_asynch_acceptor *of)
{
	(void)of;
	return NULL;
}

/* Whether they were for the acceptor's own proactor or for the other. */
START_TEST(connections_without_memory_are_closed)
{
	static const struct pro_asynch_acceptor_vtbl vtbl = {
			.make_handler = make_nothing, .validate_connection = lose_memory};
	struct pro_asynch_acceptor_options acceptor_options;
	struct pro_proactor_group_options options;
	struct pro_addr any = world_addr(ANY_INET);
	struct pro_proactor *proactor;

	test_allocator_init(&poor);
	pro_proactor_group_options_init(&options);
	options.proactor.allocator = &poor.allocator;
	options.count = 2;
	ASSERT_OK(pro_proactor_group_create(&group, &options, NULL, 0));
	proactor = pro_proactor_group_proactor(group, 0);
	pro_asynch_acceptor_options_init(&acceptor_options);
	acceptor_options.group = group;
	ASSERT_OK(pro_asynch_acceptor_open_with(&acceptor, &vtbl, proactor, &any, &acceptor_options));
	for (unsigned i = 0; i < 4; i++) {
		uint64_t end_ms = world_limit_end(RUN_LIMIT_MS);
		int peer = os_connect(pro_asynch_acceptor_addr(&acceptor));
		char byte;

		while (!os_wait_readable(peer, 0)) {
			ck_assert_int_ge(pro_proactor_handle_events(proactor, 10), 0);
			ck_assert(os_now_ms() < end_ms);
		}
		poor.fails_always = false;
		ck_assert_uint_eq(os_receive(peer, &byte, 1, RUN_LIMIT_MS), 0);
		os_close(peer);
	}
	pro_asynch_acceptor_close(&acceptor);
	ASSERT_OK(pro_proactor_group_destroy(group));
	ck_assert_int_eq(poor.live, 0);
}
END_TEST

static void destroy_group_inside(struct pro_handler *handler)
{
	ASSERT_ERROR(pro_proactor_group_destroy(group), PRO_EBUSY);
	pro_handler_close(handler);
}

static void close_nothing(struct pro_handler *handler)
{
	(void)handler;
}

/* Its threads were never started: somebody runs the loop of a member by hand. */
START_TEST(a_group_whose_loop_runs_is_not_destroyed)
{
	static const struct pro_handler_vtbl vtbl = {
			.handle_wakeup = destroy_group_inside,
			.handle_close = close_nothing,
	};
	static struct pro_handler handler;
	struct pro_proactor *first;

	ASSERT_OK(pro_proactor_group_create(&group, NULL, NULL, 0));
	first = pro_proactor_group_proactor(group, 0);
	ASSERT_OK(pro_handler_init(&handler, &vtbl, first));
	ASSERT_OK(pro_handler_wakeup(&handler));
	ck_assert_int_ge(pro_proactor_handle_events(first, PRO_NO_TIMEOUT), 1);
	ASSERT_OK(pro_proactor_group_destroy(group));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proactor_group");
	TCase *tcase = tcase_create("proactor_group");

	tcase_set_timeout(tcase, world_is_long() ? 600 : 60);
	tcase_add_loop_test(tcase, connections_are_spread_evenly_and_stay, 0, 2);
	tcase_add_test(tcase, thousands_at_once_are_spread_evenly_and_drained);
	tcase_add_loop_test(tcase, a_stop_drains_all, 0, 5);
	tcase_add_test(tcase, connections_of_this_machine_work_too);
	tcase_add_test(tcase, posts_cross_proactors_in_order);
	tcase_add_test(tcase, handlers_of_another_member_are_closed_with_their_connection);
	tcase_add_test(tcase, members_are_found);
	tcase_add_test(tcase, options_are_checked);
	tcase_add_test(tcase, a_group_needs_memory);
	tcase_add_test(tcase, connections_without_memory_are_closed);
	tcase_add_test(tcase, a_group_whose_loop_runs_is_not_destroyed);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
