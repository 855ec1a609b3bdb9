/* Arguments that no call can do anything with are refused by the call, on every port alike; and the
 * parts of acceptors and connectors that no service of ours needs. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <proactor/asynch_acceptor.h>
#include <proactor/asynch_connector.h>
#include <proactor/proactor_group.h>

#include "support/os.h"
#include "support/recorder.h"
#include "support/suite.h"

static struct world world;
static struct recorder *user;
static struct pro_addr any;

static void set_up(void)
{
	world_init(&world, "arguments");
	world.is_traced = false;
	world_open(&world);
	user = recorder_create(&world, "user");
	any = world_addr(ANY_INET);
}

static void tear_down(void)
{
	world_fini(&world);
}

#define REFUSED(call) ASSERT_ERROR(call, PRO_EINVAL)

START_TEST(sockets_need_all_they_ask_for)
{
	struct pro_proactor *proactor = world.proactor;
	pro_handle handles[2];
	struct pro_addr addr;

	REFUSED(pro_socket_listen(NULL, &any, 0, handles));
	REFUSED(pro_socket_listen(proactor, NULL, 0, handles));
	REFUSED(pro_socket_listen(proactor, &any, 0, NULL));
	REFUSED(pro_socket_dgram(NULL, PRO_FAMILY_INET, NULL, handles));
	REFUSED(pro_socket_dgram(proactor, PRO_FAMILY_INET, NULL, NULL));
	REFUSED(pro_socket_dgram(proactor, PRO_FAMILY_NONE, NULL, handles));
	REFUSED(pro_socket_pair(NULL, handles));
	REFUSED(pro_socket_pair(proactor, NULL));
	REFUSED(pro_socket_local_addr(NULL, 0, &addr));
	REFUSED(pro_socket_local_addr(proactor, 0, NULL));
	REFUSED(pro_socket_remote_addr(NULL, 0, &addr));
	REFUSED(pro_socket_remote_addr(proactor, 0, NULL));
	REFUSED(pro_socket_set_option(NULL, 0, PRO_SOCKET_NODELAY, 1));
	REFUSED(pro_socket_shutdown_write(NULL, 0));
	REFUSED(pro_proactor_close_handle(NULL, 0));
	REFUSED(pro_proactor_close_handle(proactor, PRO_INVALID_HANDLE));
}
END_TEST

/* A number that no test gets. */
#define NEVER_OPEN 900000

START_TEST(sockets_are_told_from_files_and_from_nothing)
{
	struct pro_proactor *proactor = world.proactor;
	pro_handle file = world_file(&world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	struct pro_file_status status;
	struct pro_addr addr;
	pro_handle listener;

	ASSERT_OK(pro_socket_listen(proactor, &any, 0, &listener));
	ASSERT_ERROR(pro_socket_local_addr(proactor, file, &addr), PRO_ENOTSOCK);
	ASSERT_ERROR(pro_socket_remote_addr(proactor, file, &addr), PRO_ENOTSOCK);
	ASSERT_ERROR(pro_socket_set_option(proactor, file, PRO_SOCKET_NODELAY, 1), PRO_ENOTSOCK);
	ASSERT_ERROR(pro_socket_shutdown_write(proactor, file), PRO_ENOTSOCK);
	ASSERT_ERROR(pro_socket_local_addr(proactor, NEVER_OPEN, &addr), PRO_EBADF);
	ASSERT_ERROR(pro_socket_remote_addr(proactor, NEVER_OPEN, &addr), PRO_EBADF);
	ASSERT_ERROR(pro_socket_set_option(proactor, NEVER_OPEN, PRO_SOCKET_NODELAY, 1), PRO_EBADF);
	ASSERT_ERROR(pro_socket_shutdown_write(proactor, NEVER_OPEN), PRO_EBADF);
	ASSERT_ERROR(pro_file_status(proactor, NEVER_OPEN, &status), PRO_EBADF);
	ASSERT_ERROR(pro_socket_remote_addr(proactor, listener, &addr), PRO_ENOTCONN);
	ASSERT_OK(pro_socket_set_option(proactor, listener, PRO_SOCKET_NODELAY, 1));
	REFUSED(pro_socket_set_option(
			proactor, listener, (enum pro_socket_option)(PRO_SOCKET_BROADCAST + 1), 1));
	ASSERT_OK(pro_proactor_close_handle(proactor, listener));
	ASSERT_OK(pro_proactor_close_handle(proactor, file));
}
END_TEST

START_TEST(unbound_datagram_sockets_are_of_their_family)
{
	static const enum pro_family families[] = {PRO_FAMILY_INET, PRO_FAMILY_INET6};

	for (size_t i = 0; i < 2; i++) {
		pro_handle handle;

		ASSERT_OK(pro_socket_dgram(world.proactor, families[i], NULL, &handle));
		ASSERT_OK(pro_proactor_close_handle(world.proactor, handle));
	}
}
END_TEST

static int no_entry(void *context, const char *name, enum pro_file_type type)
{
	(void)context;
	(void)name;
	(void)type;
	return 0;
}

START_TEST(files_need_all_they_ask_for)
{
	struct pro_proactor *proactor = world.proactor;
	struct pro_file_status status;
	struct pro_file_root *root;
	pro_handle handle;

	REFUSED(pro_file_open(NULL, "a", PRO_FILE_READ, &handle));
	REFUSED(pro_file_open(proactor, NULL, PRO_FILE_READ, &handle));
	REFUSED(pro_file_open(proactor, "a", PRO_FILE_READ, NULL));
	REFUSED(pro_file_status(NULL, 0, &status));
	REFUSED(pro_file_status(proactor, 0, NULL));
	REFUSED(pro_file_root_open(NULL, "/", &root));
	REFUSED(pro_file_root_open(proactor, NULL, &root));
	REFUSED(pro_file_root_open(proactor, "/", NULL));
	ASSERT_OK(pro_file_root_open(proactor, "/", &root));
	REFUSED(pro_file_root_open_file(NULL, "a", PRO_FILE_READ, &handle, NULL));
	REFUSED(pro_file_root_open_file(root, NULL, PRO_FILE_READ, &handle, NULL));
	REFUSED(pro_file_root_open_file(root, "a", PRO_FILE_READ, NULL, NULL));
	REFUSED(pro_file_root_status(NULL, "a", &status));
	REFUSED(pro_file_root_status(root, NULL, &status));
	REFUSED(pro_file_root_status(root, "a", NULL));
	REFUSED(pro_file_root_list(NULL, "", no_entry, NULL));
	REFUSED(pro_file_root_list(root, NULL, no_entry, NULL));
	REFUSED(pro_file_root_list(root, "", NULL, NULL));
	pro_file_root_close(root);
	pro_file_root_close(NULL);
}
END_TEST

START_TEST(options_out_of_range_are_named)
{
	static const struct pro_allocator nothing;
	char why[160];

#define OPTION(change, word)                                                                       \
	do {                                                                                           \
		struct pro_proactor_options options;                                                       \
		struct pro_proactor *proactor = world.proactor;                                            \
		pro_proactor_options_init(&options);                                                       \
		options.change;                                                                            \
		REFUSED(pro_proactor_create(&proactor, &options, why, sizeof(why)));                       \
		ck_assert_ptr_null(proactor);                                                              \
		ck_assert_msg(strstr(why, word) != NULL, "%s", why);                                       \
		REFUSED(pro_proactor_create(&proactor, &options, NULL, 0));                                \
	} while (0)
	OPTION(size = 1, "size");
	OPTION(concurrency = 1025, "concurrency");
	OPTION(entries = 0, "entries");
	OPTION(entries = 3, "entries");
	OPTION(entries = 65536, "entries");
	OPTION(lent_blocks = 5, "lent_blocks");
	OPTION(lent_block_size = 0, "lent_block_size");
	OPTION(lent_block_size = (size_t)1 << 30, "lent_block_size");
	OPTION(worker_threads = 0, "worker_threads");
	OPTION(worker_threads = 1025, "worker_threads");
	OPTION(works_max = 0, "works_max");
	OPTION(allocator = &nothing, "allocator");
#undef OPTION
	REFUSED(pro_proactor_create(NULL, NULL, why, sizeof(why)));
}
END_TEST

START_TEST(port_that_is_not_there_is_named)
{
	struct pro_proactor_options options;
	struct pro_proactor *proactor;
	char why[160];

	pro_proactor_options_init(&options);
	options.port = "none";
	ASSERT_ERROR(pro_proactor_create(&proactor, &options, why, sizeof(why)), PRO_ENOTSUP);
	ck_assert_ptr_nonnull(strstr(why, "no port of this name"));
	ASSERT_ERROR(pro_proactor_create(&proactor, &options, NULL, 0), PRO_ENOTSUP);
}
END_TEST

/* Allocates so often, and never again. */
static unsigned allocations_left;

static void *allocate_some(void *context, size_t size)
{
	(void)context;
	return allocations_left > 0 && allocations_left-- ? malloc(size) : NULL;
}

static void *reallocate_some(void *context, void *memory, size_t size)
{
	(void)context;
	return allocations_left > 0 && allocations_left-- ? realloc(memory, size) : NULL;
}

static void deallocate_any(void *context, void *memory)
{
	(void)context;
	free(memory);
}

static char port_before[32];

static void set_port(const char *port)
{
	const char *now = getenv("PROACTOR_PORT");

	snprintf(port_before, sizeof(port_before), "%s", now ? now : "");
	os_set_environment("PROACTOR_PORT", port);
}

static void reset_port(void)
{
	os_set_environment("PROACTOR_PORT", port_before[0] ? port_before : NULL);
}

/* Whichever port it is. */
START_TEST(memory_that_is_short_is_told)
{
	static const struct pro_allocator allocator = {
			.allocate = allocate_some, .reallocate = reallocate_some, .deallocate = deallocate_any};
	struct pro_proactor_options options;
	struct pro_proactor *proactor = NULL;
	struct pro_file_root *root;
	unsigned most;

	set_port(NULL);
	pro_proactor_options_init(&options);
	options.allocator = &allocator;
	options.debug = PRO_DEBUG_REPORT;
	for (most = 0; !proactor; most++) {
		char why[160] = "";

		allocations_left = most;
		if (pro_proactor_create(&proactor, &options, why, sizeof(why))) {
			ck_assert(most > 0 || !strcmp(why, "out of memory"));
			allocations_left = most;
			ck_assert_int_lt(pro_proactor_create(&proactor, &options, NULL, 0), 0);
		}
	}
	ck_assert_uint_gt(most, 2);
	allocations_left = 0;
	ASSERT_ERROR(pro_file_root_open(proactor, ".", &root), PRO_ENOMEM);
	ASSERT_OK(pro_proactor_destroy(proactor));
	reset_port();
}
END_TEST

START_TEST(instance_is_none_where_there_is_no_port)
{
	set_port("none");
	ck_assert_ptr_null(pro_proactor_instance());
	reset_port();
}
END_TEST

START_TEST(concurrency_may_be_that_of_the_machine)
{
	struct pro_proactor_options options;
	struct pro_proactor *proactor;

	pro_proactor_options_init(&options);
	options.concurrency = 0;
	set_port(NULL);
	ASSERT_OK(pro_proactor_create(&proactor, &options, NULL, 0));
	ASSERT_OK(pro_proactor_destroy(proactor));
	reset_port();
}
END_TEST

START_TEST(proactors_need_all_they_ask_for)
{
	struct pro_proactor_report report = {.size = 1};
	struct pro_proactor_statistics statistics = {.size = 1};

	REFUSED(pro_proactor_report(NULL, &report));
	REFUSED(pro_proactor_report(world.proactor, NULL));
	REFUSED(pro_proactor_report(world.proactor, &report));
	REFUSED(pro_proactor_statistics(NULL, &statistics));
	REFUSED(pro_proactor_statistics(world.proactor, NULL));
	REFUSED(pro_proactor_statistics(world.proactor, &statistics));
	REFUSED(pro_proactor_handle_events(NULL, 0));
	REFUSED(pro_proactor_handle_events(world.proactor, -2));
	REFUSED(pro_proactor_run_event_loop(NULL));
	REFUSED(pro_proactor_run_event_loop_for(world.proactor, -2));
	ASSERT_OK(pro_proactor_destroy(NULL));
}
END_TEST

START_TEST(groups_need_all_they_ask_for)
{
	struct pro_proactor_group_options options;
	struct pro_proactor_group *group;
	char why[160];

	pro_proactor_group_options_init(&options);
	REFUSED(pro_proactor_group_create(NULL, &options, why, sizeof(why)));
	options.size = 1;
	REFUSED(pro_proactor_group_create(&group, &options, why, sizeof(why)));
	ck_assert_ptr_nonnull(strstr(why, "size"));
	pro_proactor_group_options_init(&options);
	options.count = 1025;
	REFUSED(pro_proactor_group_create(&group, &options, NULL, 0));
	pro_proactor_group_options_init(&options);
	options.proactor.is_shared = true;
	REFUSED(pro_proactor_group_create(&group, &options, why, sizeof(why)));
	pro_proactor_group_options_init(&options);
	options.count = 2;
	options.proactor.works_max = 0;
	REFUSED(pro_proactor_group_create(&group, &options, why, sizeof(why)));
	REFUSED(pro_proactor_group_start(NULL));
	ASSERT_OK(pro_proactor_group_destroy(NULL));
}
END_TEST

START_TEST(handlers_need_all_they_ask_for)
{
	static const struct pro_handler_vtbl nothing;
	static const struct pro_service_handler_vtbl no_open;
	struct pro_service_handler service;
	struct pro_message_block block;
	struct pro_handler handler;

	pro_message_block_init(&block, NULL, 0);
	REFUSED(pro_handler_init(NULL, &nothing, world.proactor));
	REFUSED(pro_handler_init(&handler, NULL, world.proactor));
	REFUSED(pro_handler_init(&handler, &nothing, world.proactor));
	REFUSED(pro_handler_init(&handler, &recorder_vtbl.handler, NULL));
	REFUSED(pro_service_handler_init(NULL, &recorder_vtbl, world.proactor));
	REFUSED(pro_service_handler_init(&service, NULL, world.proactor));
	REFUSED(pro_service_handler_init(&service, &no_open, world.proactor));
	REFUSED(pro_handler_post(NULL, &block, NULL));
	REFUSED(pro_handler_post(recorder_handler(user), NULL, NULL));
	REFUSED(pro_handler_wakeup(NULL));
}
END_TEST

START_TEST(operations_need_a_handler_with_their_slot)
{
	static const struct pro_handler_vtbl nothing = {.handle_close = NULL};
	struct pro_handler without = {.vtbl = &nothing, .owner.proactor = world.proactor};
	struct pro_handler *handlers[] = {NULL, &without};

	for (size_t i = 0; i < 2; i++) {
		REFUSED(pro_asynch_read_stream_open(&user->reader, handlers[i], 0, NULL));
		REFUSED(pro_asynch_write_stream_open(&user->writer, handlers[i], 0, NULL));
		REFUSED(pro_asynch_read_file_open(&user->file_reader, handlers[i], 0, NULL));
		REFUSED(pro_asynch_write_file_open(&user->file_writer, handlers[i], 0, NULL));
		REFUSED(pro_asynch_read_dgram_open(&user->dgram_reader, handlers[i], 0, NULL));
		REFUSED(pro_asynch_write_dgram_open(&user->dgram_writer, handlers[i], 0, NULL));
		REFUSED(pro_asynch_transmit_file_open(&user->sender, handlers[i], 0, NULL));
		REFUSED(pro_asynch_accept_open(&user->accept, handlers[i], 0, NULL));
		REFUSED(pro_asynch_connect_open(&user->connect, handlers[i], NULL));
		REFUSED(pro_asynch_resolve_open(&user->resolver, handlers[i], NULL));
		REFUSED(pro_asynch_timer_open(&user->timer, handlers[i], NULL));
		REFUSED(pro_asynch_work_open(&user->work, handlers[i], NULL));
	}
	REFUSED(pro_asynch_write_stream_open(NULL, recorder_handler(user), 0, NULL));
	REFUSED(pro_asynch_timer_cancel_all(NULL));
	REFUSED(pro_operation_cancel(NULL));
	REFUSED(pro_operation_set_timeout(NULL, 1));
	REFUSED(pro_operation_set_stall_timeout(NULL, 1));
}
END_TEST

START_TEST(starts_need_all_they_ask_for)
{
	struct pro_message_block empty, huge, more[PRO_WRITE_BUFFERS + 1];
	pro_handle file = world_file(&world, "file", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	char byte = 0;

	pro_message_block_init(&empty, NULL, 0);
	recorder_open_free(user);
	recorder_open_file(user, file);
	recorder_own_dgram(user, ANY_INET);
	ASSERT_OK(pro_asynch_transmit_file_open(
			&user->sender, recorder_handler(user), PRO_INVALID_HANDLE, NULL));
	REFUSED(pro_asynch_read_file_read(&user->file_reader, NULL, 0, 0));
	REFUSED(pro_asynch_write_file_write(&user->file_writer, NULL, 0));
	REFUSED(pro_asynch_write_file_writev(&user->file_writer, NULL, 0));
	REFUSED(pro_asynch_read_dgram_recv(&user->dgram_reader, &empty));
	REFUSED(pro_asynch_write_dgram_send(&user->dgram_writer, NULL, NULL));
	for (unsigned i = 0; i <= PRO_WRITE_BUFFERS; i++) {
		pro_message_block_init_filled(&more[i], &byte, 1);
		more[i].cont = i < PRO_WRITE_BUFFERS ? &more[i + 1] : NULL;
	}
	REFUSED(pro_asynch_write_dgram_send(&user->dgram_writer, &more[0], NULL));
	REFUSED(pro_asynch_transmit_file_transmit_file(
			&user->sender, file, (uint64_t)INT64_MAX + 1, 1, NULL, NULL));
	REFUSED(pro_asynch_transmit_file_transmit_file(&user->sender, file, 2, INT64_MAX, NULL, NULL));
	pro_message_block_init_filled(&huge, &byte, ((size_t)1 << 30) + 1);
	REFUSED(pro_asynch_transmit_file_transmit_file(&user->sender, file, 0, 0, &huge, NULL));
	REFUSED(pro_asynch_transmit_file_transmit_file(&user->sender, file, 0, 0, NULL, &huge));
	REFUSED(pro_asynch_connect_connect(&user->connect, NULL, NULL));
	REFUSED(pro_asynch_resolve_resolve(&user->resolver, NULL));
	REFUSED(pro_asynch_work_run(&user->work, NULL, NULL));
	REFUSED(pro_asynch_write_stream_shutdown(NULL));
	REFUSED(pro_asynch_write_stream_shutdown(&user->writer));
	REFUSED(pro_asynch_timer_schedule(&user->timer, -1));
	REFUSED(pro_asynch_timer_schedule_repeating(&user->timer, 0, 0));
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
}
END_TEST

/* ---- acceptors and connectors ---- */

static unsigned connections_refused;
static unsigned connects_ended;
static int connect_error;

static bool keep_resting(struct pro_asynch_acceptor *acceptor)
{
	(void)acceptor;
	return false;
}

static struct pro_service_handler *make_nothing(struct pro_asynch_acceptor *acceptor)
{
	(void)acceptor;
	connections_refused++;
	return NULL;
}

static struct pro_service_handler *make_no_link(struct pro_asynch_connector *connector)
{
	(void)connector;
	return NULL;
}

static int note_end(
		struct pro_asynch_connector *connector, int error, const struct pro_addr *remote)
{
	(void)connector;
	(void)remote;
	connect_error = error;
	connects_ended++;
	return 0;
}

static const struct pro_asynch_acceptor_vtbl resting_acceptor_vtbl = {
		.make_handler = make_nothing,
		.should_reissue_accept = keep_resting,
};

static const struct pro_asynch_connector_vtbl connector_vtbl = {
		.make_handler = make_no_link,
		.validate_connection = note_end,
};

START_TEST(acceptors_need_all_they_ask_for)
{
	static const struct pro_asynch_acceptor_vtbl nothing = {.make_handler = NULL};
	struct pro_asynch_acceptor acceptor;
	struct pro_asynch_acceptor_options options;

	pro_asynch_acceptor_options_init(&options);
	REFUSED(pro_asynch_acceptor_open(NULL, &resting_acceptor_vtbl, world.proactor, &any));
	REFUSED(pro_asynch_acceptor_open(&acceptor, NULL, world.proactor, &any));
	REFUSED(pro_asynch_acceptor_open(&acceptor, &nothing, world.proactor, &any));
	REFUSED(pro_asynch_acceptor_open(&acceptor, &resting_acceptor_vtbl, world.proactor, NULL));
	REFUSED(pro_asynch_acceptor_open(&acceptor, &resting_acceptor_vtbl, NULL, &any));
	options.size = 1;
	REFUSED(pro_asynch_acceptor_open_with(
			&acceptor, &resting_acceptor_vtbl, world.proactor, &any, &options));
	pro_asynch_acceptor_options_init(&options);
	options.initial_accepts = 0;
	REFUSED(pro_asynch_acceptor_open_with(
			&acceptor, &resting_acceptor_vtbl, world.proactor, &any, &options));
	options.initial_accepts = PRO_ACCEPTS_MAX + 1;
	REFUSED(pro_asynch_acceptor_open_with(
			&acceptor, &resting_acceptor_vtbl, world.proactor, &any, &options));
	REFUSED(pro_asynch_acceptor_accept(NULL));
}
END_TEST

START_TEST(connectors_need_all_they_ask_for)
{
	static const struct pro_asynch_connector_vtbl nothing = {.make_handler = NULL};
	struct pro_asynch_connector connector;

	REFUSED(pro_asynch_connector_open(NULL, &connector_vtbl, world.proactor));
	REFUSED(pro_asynch_connector_open(&connector, NULL, world.proactor));
	REFUSED(pro_asynch_connector_open(&connector, &nothing, world.proactor));
	REFUSED(pro_asynch_connector_set_timeout(NULL, 1));
	REFUSED(pro_asynch_connector_cancel(NULL));
	REFUSED(pro_asynch_connector_connect_to(NULL, "a:1"));
	ASSERT_OK(pro_asynch_connector_open(&connector, &connector_vtbl, world.proactor));
	REFUSED(pro_asynch_connector_set_timeout(&connector, -2));
	REFUSED(pro_asynch_connector_connect_to(&connector, NULL));
	REFUSED(pro_asynch_connector_connect_to(&connector, "no address"));
	REFUSED(pro_asynch_connector_connect(&connector, NULL, NULL));
	pro_asynch_connector_close(&connector);
	world_run_ready(&world);
	ck_assert_uint_eq(connects_ended, 0);
}
END_TEST

/* An acceptor that rests after each connection takes the next when it is told to; a connector binds
 * to the address that it is given. */
START_TEST(acceptor_rests_until_it_is_told)
{
	struct pro_asynch_acceptor_options options;
	struct pro_asynch_acceptor acceptor;
	struct pro_asynch_connector connector;
	struct pro_addr server;

	pro_asynch_acceptor_options_init(&options);
	options.initial_accepts = 1;
	ASSERT_OK(pro_asynch_acceptor_open_with(
			&acceptor, &resting_acceptor_vtbl, world.proactor, &any, &options));
	server = *pro_asynch_acceptor_addr(&acceptor);
	ASSERT_OK(pro_asynch_connector_open(&connector, &connector_vtbl, world.proactor));
	for (unsigned i = 1; i <= 3; i++) {
		ASSERT_OK(pro_asynch_connector_connect(&connector, &server, i == 2 ? &any : NULL));
		ASSERT_ERROR(pro_asynch_connector_connect(&connector, &server, NULL), PRO_EBUSY);
		ASSERT_ERROR(pro_asynch_connector_connect_to(&connector, "localhost:1"), PRO_EBUSY);
		RUN_UNTIL(&world, connections_refused == i && connects_ended == i);
		ASSERT_OK(connect_error);
		ASSERT_OK(pro_asynch_acceptor_accept(&acceptor));
	}
	pro_asynch_acceptor_close(&acceptor);
	ASSERT_ERROR(pro_asynch_acceptor_accept(&acceptor), PRO_ECLOSED);
	pro_asynch_connector_close(&connector);
	ASSERT_ERROR(pro_asynch_connector_connect(&connector, &server, NULL), PRO_ECLOSED);
	ASSERT_ERROR(pro_asynch_connector_connect_to(&connector, "127.0.0.1:1"), PRO_ECLOSED);
	ASSERT_ERROR(pro_asynch_connector_connect_to(&connector, "localhost:1"), PRO_ECLOSED);
	world_run_ready(&world);
}
END_TEST

START_TEST(nothing_is_opened_on_a_proactor_that_shuts_down)
{
	struct pro_asynch_acceptor acceptor;

	pro_proactor_shutdown(world.proactor);
	ASSERT_ERROR(pro_asynch_acceptor_open(&acceptor, &resting_acceptor_vtbl, world.proactor, &any),
			PRO_ECLOSED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("arguments");
	TCase *tests = tcase_create("refused");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, sockets_need_all_they_ask_for);
	tcase_add_test(tests, sockets_are_told_from_files_and_from_nothing);
	tcase_add_test(tests, unbound_datagram_sockets_are_of_their_family);
	tcase_add_test(tests, files_need_all_they_ask_for);
	tcase_add_test(tests, options_out_of_range_are_named);
	tcase_add_test(tests, port_that_is_not_there_is_named);
	tcase_add_test(tests, memory_that_is_short_is_told);
	tcase_add_test(tests, instance_is_none_where_there_is_no_port);
	tcase_add_test(tests, concurrency_may_be_that_of_the_machine);
	tcase_add_test(tests, proactors_need_all_they_ask_for);
	tcase_add_test(tests, groups_need_all_they_ask_for);
	tcase_add_test(tests, handlers_need_all_they_ask_for);
	tcase_add_test(tests, operations_need_a_handler_with_their_slot);
	tcase_add_test(tests, starts_need_all_they_ask_for);
	tcase_add_test(tests, acceptors_need_all_they_ask_for);
	tcase_add_test(tests, connectors_need_all_they_ask_for);
	tcase_add_test(tests, acceptor_rests_until_it_is_told);
	tcase_add_test(tests, nothing_is_opened_on_a_proactor_that_shuts_down);
	tcase_set_timeout(tests, 300);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
