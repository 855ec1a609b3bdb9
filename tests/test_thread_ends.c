/* What threads do to a proactor from outside its loop: forks, changes of the user, threads that can
 * not be had, posts that race a destroy. Linux alone. */
#include <check.h>
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <proactor/asynch_connect.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_timer.h>
#include <proactor/asynch_work.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/proactor_group.h>
#include <proactor/service_handler.h>
#include <proactor/socket.h>

#include "support/crew.h"
#include "support/os.h"
#include "support/suite.h"
#include "support/world.h"

static struct pro_proactor *proactor;
static struct crew loops;
static sem_t done;

static void await_done(void)
{
	while (sem_wait(&done) != 0)
		ck_assert_int_eq(errno, EINTR);
}

static void run_loop(void *context, unsigned number)
{
	(void)number;
	ASSERT_OK(pro_proactor_run_event_loop(context));
}

static void open_crew(unsigned concurrency, unsigned threads)
{
	struct pro_proactor_options options;
	char why[256] = "";

	ck_assert_int_eq(sem_init(&done, 0, 0), 0);
	pro_proactor_options_init(&options);
	options.concurrency = concurrency;
	options.is_shared = true;
	ck_assert_msg(pro_proactor_create(&proactor, &options, why, sizeof(why)) == 0, "%s", why);
	crew_start(&loops, threads, run_loop, proactor);
}

static void close_crew(void)
{
	pro_proactor_shutdown(proactor);
	crew_join(&loops);
	ASSERT_OK(pro_proactor_destroy(proactor));
}

static struct pro_proactor_group *create_group(unsigned count)
{
	struct pro_proactor_group_options options;
	struct pro_proactor_group *group;
	char why[256] = "";

	pro_proactor_group_options_init(&options);
	options.count = count;
	ck_assert_msg(pro_proactor_group_create(&group, &options, why, sizeof(why)) == 0, "%s", why);
	return group;
}

static void handle_close_nothing(struct pro_handler *handler)
{
	(void)handler;
}

/* ---- forks ---- */

/* A ball that two sides throw. */
struct side {
	struct pro_service_handler service; /* first */
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_timer timer;
	struct pro_message_block in;
	struct pro_message_block out;
	unsigned char byte;
};

#define SIDES 8

static struct side sides[SIDES];
static atomic_uint throws;
static atomic_uint throws_wanted;

static struct side *side_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct side, service.handler);
}

static void side_throw(struct side *side)
{
	static unsigned char ball[1];
	int error;

	pro_message_block_init_filled(&side->out, ball, sizeof(ball));
	error = pro_asynch_write_stream_write(&side->writer, &side->out);
	ck_assert(!error || error == PRO_ECLOSED);
}

static void side_handle_read(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct side *side = side_from_handler(handler);

	if (result->error)
		return;
	if (atomic_fetch_add(&throws, 1) + 1 == atomic_load(&throws_wanted))
		sem_post(&done);
	side_throw(side);
}

static void side_handle_write(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct side *side = side_from_handler(handler);

	if (result->error)
		return;
	pro_message_block_init(&side->in, &side->byte, 1);
	pro_asynch_read_stream_read(&side->reader, &side->in, 0);
}

static void side_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	(void)handler;
	(void)result;
}

static void side_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	(void)handler;
	(void)result;
}

static void side_handle_wakeup(struct pro_handler *handler)
{
	(void)handler;
}

static void side_open(struct pro_service_handler *service)
{
	struct side *side = side_from_handler(&service->handler);
	struct pro_handler *handler = &service->handler;

	ASSERT_OK(pro_asynch_read_stream_open(&side->reader, handler, PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(pro_asynch_write_stream_open(&side->writer, handler, PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(pro_asynch_timer_open(&side->timer, handler, NULL));
	pro_message_block_init(&side->in, &side->byte, 1);
	if ((side - sides) % 2)
		side_throw(side);
	else
		ASSERT_OK(pro_asynch_read_stream_read(&side->reader, &side->in, 0));
}

static const struct pro_service_handler_vtbl side_vtbl = {
		.handler.handle_read_stream = side_handle_read,
		.handler.handle_write_stream = side_handle_write,
		.handler.handle_post = side_handle_post,
		.handler.handle_time_out = side_handle_time_out,
		.handler.handle_wakeup = side_handle_wakeup,
		.handler.handle_close = handle_close_nothing,
		.open = side_open,
};

/* Pairs of sides, all on the proactor that `on` tells for each. */
static void open_sides(struct pro_proactor *const *on, unsigned on_count)
{
	for (unsigned i = 0; i < SIDES; i += 2) {
		pro_handle handles[2];

		ASSERT_OK(pro_socket_pair(on[i / 2 % on_count], handles));
		for (unsigned j = 0; j < 2; j++)
			ASSERT_OK(pro_service_handler_init(
					&sides[i + j].service, &side_vtbl, on[i / 2 % on_count]));
		for (unsigned j = 0; j < 2; j++)
			pro_service_handler_open(&sides[i + j].service, handles[j], NULL, NULL);
	}
}

/* 0, or the number of the call that did not say PRO_EFORKED. */
static int call_in_child(struct pro_proactor *owner, struct side *side)
{
	struct pro_handler *handler = &side->service.handler;
	struct pro_message_block block;
	unsigned char bytes[4] = {0};

	pro_message_block_init_filled(&block, bytes, sizeof(bytes));
	if (pro_proactor_run_event_loop_for(owner, 10) != PRO_EFORKED)
		return 1;
	if (pro_proactor_handle_events(owner, 0) != PRO_EFORKED)
		return 2;
	if (pro_asynch_write_stream_write(&side->writer, &block) != PRO_EFORKED)
		return 3;
	if (pro_asynch_timer_schedule(&side->timer, 1) != PRO_EFORKED)
		return 4;
	if (pro_handler_post(handler, &block, NULL) != PRO_EFORKED)
		return 5;
	if (pro_handler_wakeup(handler) != PRO_EFORKED)
		return 6;
	pro_proactor_begin_blocking(owner);
	pro_proactor_end_blocking(owner);
	return 0;
}

static int use_crew_in_child(void *context)
{
	int result = call_in_child(proactor, &sides[0]);

	(void)context;
	return !result && pro_proactor_destroy(proactor) != 0 ? 50 : result;
}

#define FORKS 20

static void fork_often(int (*child)(void *context), void *context)
{
	for (unsigned i = 0; i < FORKS; i++) {
		atomic_store(&throws, 0);
		atomic_store(&throws_wanted, 500);
		ck_assert_int_eq(os_run_forked(child, context), 0);
		await_done();
	}
}

/* Whatever a thread of the loop holds at the time. */
START_TEST(a_fork_beside_a_crew_fails_in_the_child_alone)
{
	open_crew(2, 4);
	atomic_store(&throws_wanted, 100);
	open_sides(&proactor, 1);
	await_done();
	fork_often(use_crew_in_child, NULL);
	close_crew();
}
END_TEST

static int use_group_in_child(void *context)
{
	struct pro_proactor_group *group = context;
	int result = call_in_child(pro_proactor_group_proactor(group, 1), &sides[2]);

	return !result && pro_proactor_group_destroy(group) != 0 ? 50 : result;
}

START_TEST(a_fork_beside_a_group_fails_in_the_child_alone)
{
	struct pro_proactor_group *group = create_group(2);
	struct pro_proactor *const members[] = {
			pro_proactor_group_proactor(group, 0), pro_proactor_group_proactor(group, 1)};

	ck_assert_int_eq(sem_init(&done, 0, 0), 0);
	atomic_store(&throws_wanted, 100);
	ASSERT_OK(pro_proactor_group_start(group));
	open_sides(members, 2);
	await_done();
	fork_often(use_group_in_child, group);
	ASSERT_OK(pro_proactor_group_destroy(group));
}
END_TEST

static void forker_handle_wakeup(struct pro_handler *handler)
{
	(void)handler;
	ck_assert_int_eq(os_run_forked(use_crew_in_child, NULL), 0);
	sem_post(&done);
}

static const struct pro_handler_vtbl forker_vtbl = {
		.handle_wakeup = forker_handle_wakeup,
		.handle_close = handle_close_nothing,
};

START_TEST(a_callback_of_a_crew_may_fork)
{
	static struct pro_handler forker;

	open_crew(2, 4);
	open_sides(&proactor, 1);
	ASSERT_OK(pro_handler_init(&forker, &forker_vtbl, proactor));
	for (unsigned i = 0; i < FORKS; i++) {
		ASSERT_OK(pro_handler_wakeup(&forker));
		await_done();
	}
	close_crew();
}
END_TEST

/* ---- credentials ---- */

struct client {
	struct pro_handler handler; /* first */
	struct pro_asynch_connect connect;
	struct pro_asynch_timer timer;
	int error;
};

static void client_handle_connect(
		struct pro_handler *handler, const struct pro_asynch_connect_result *result)
{
	struct client *client = pro_container_of(handler, struct client, handler);

	client->error = result->error;
	if (!result->error)
		pro_proactor_close_handle(proactor, result->connected);
	sem_post(&done);
}

static const struct pro_handler_vtbl client_vtbl = {
		.handle_connect = client_handle_connect,
		.handle_close = handle_close_nothing,
};

static int connect_error(struct client *client, const struct pro_addr *addr)
{
	ASSERT_OK(pro_asynch_connect_connect(&client->connect, addr, NULL));
	await_done();
	return client->error;
}

/* Whichever thread of the loop does the connect. */
static int connect_as_nobody(void *context)
{
	static struct client client;
	char directory[128];
	char text[160];
	struct pro_addr addr;
	pro_handle listener;

	(void)context;
	os_make_directory(directory, sizeof(directory));
	snprintf(text, sizeof(text), "unix:%s/socket", directory);
	addr = world_addr(text);
	open_crew(2, 3);
	ASSERT_OK(pro_socket_listen(proactor, &addr, 0, &listener));
	ASSERT_OK(pro_handler_init(&client.handler, &client_vtbl, proactor));
	ASSERT_OK(pro_asynch_connect_open(&client.connect, &client.handler, NULL));
	ASSERT_OK(connect_error(&client, &addr));
	os_become_nobody();
	for (unsigned i = 0; i < 20; i++)
		ASSERT_ERROR(connect_error(&client, &addr), PRO_EACCES);
	ASSERT_OK(pro_proactor_close_handle(proactor, listener));
	close_crew();
	return 0;
}

START_TEST(no_thread_of_a_crew_keeps_the_old_user)
{
	if (!os_is_root()) {
		printf("skip: only root can become another user\n");
		return;
	}
	ck_assert_int_eq(os_run_forked(connect_as_nobody, NULL), 0);
}
END_TEST

/* ---- threads that can not be had ---- */

static void limit_threads(unsigned threads)
{
	const struct rlimit limit = {.rlim_cur = threads, .rlim_max = threads};

	ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &limit), 0);
}

/* Some of the threads, or none; then those are stopped again and nothing is left. */
static int start_without_threads(void *context)
{
	unsigned descriptors = os_descriptor_count();
	unsigned refused = 0;

	(void)context;
	if (os_is_root())
		os_become_nobody();
	for (unsigned most = 5; most-- > 0;) {
		struct pro_proactor_group *group = create_group(8);
		int error;

		limit_threads(most);
		error = pro_proactor_group_start(group);
		if (error) {
			ASSERT_ERROR(error, PRO_ENOMEM);
			refused++;
			/* One that was joined may still be on its way out of the kernel. */
			while (os_thread_count() != 1)
				os_yield();
			ASSERT_ERROR(pro_proactor_group_start(group), PRO_EBUSY);
		}
		ASSERT_OK(pro_proactor_group_destroy(group));
		ck_assert_uint_eq(os_descriptor_count(), descriptors);
	}
	return refused > 0 ? 0 : 1;
}

START_TEST(a_group_that_gets_no_threads_is_stopped_again)
{
	if (os_is_sanitized()) {
		printf("skip: a sanitizer needs threads of its own\n");
		return;
	}
	ck_assert_int_eq(os_run_forked(start_without_threads, NULL), 0);
}
END_TEST

static int work_nothing(void *argument)
{
	(void)argument;
	return 0;
}

static int work_error;

static void boss_handle_work(
		struct pro_handler *handler, const struct pro_asynch_work_result *result)
{
	(void)handler;
	work_error = result->error;
	sem_post(&done);
}

static const struct pro_handler_vtbl boss_vtbl = {
		.handle_work = boss_handle_work,
		.handle_close = handle_close_nothing,
};

/* The first worker can not be had. */
static int work_without_threads(void *context)
{
	static struct pro_handler boss;
	static struct pro_asynch_work work;

	(void)context;
	ck_assert_int_eq(sem_init(&done, 0, 0), 0);
	ASSERT_OK(pro_proactor_create(&proactor, NULL, NULL, 0));
	ASSERT_OK(pro_handler_init(&boss, &boss_vtbl, proactor));
	ASSERT_OK(pro_asynch_work_open(&work, &boss, NULL));
	if (os_is_root())
		os_become_nobody();
	limit_threads(0);
	ASSERT_OK(pro_asynch_work_run(&work, work_nothing, NULL));
	while (sem_trywait(&done) != 0)
		ck_assert_int_ge(pro_proactor_handle_events(proactor, 1000), 0);
	ASSERT_ERROR(work_error, PRO_ENOMEM);
	ASSERT_OK(pro_proactor_destroy(proactor));
	return 0;
}

START_TEST(work_that_gets_no_thread_completes_with_an_error)
{
	if (os_is_sanitized()) {
		printf("skip: a sanitizer needs threads of its own\n");
		return;
	}
	ck_assert_int_eq(os_run_forked(work_without_threads, NULL), 0);
}
END_TEST

/* ---- posts that race the end ---- */

#define MEMBERS 3

struct target {
	struct pro_handler handler; /* first */
	struct crew poster;
	atomic_uint posted;
	atomic_uint received;
};

static struct target targets[MEMBERS];

static void post_until_closed(void *context, unsigned number)
{
	struct target *target = context;

	(void)number;
	for (;;) {
		struct pro_message_block *block = pro_message_block_create(NULL, 8);
		int error;

		ck_assert_ptr_nonnull(block);
		error = pro_handler_post(&target->handler, block, NULL);
		if (error) {
			ASSERT_ERROR(error, PRO_ECLOSED);
			pro_message_block_release(block);
			return;
		}
		if (atomic_fetch_add(&target->posted, 1) == 2000)
			sem_post(&done);
		while (atomic_load(&target->posted) - atomic_load(&target->received) > 10000)
			os_yield();
	}
}

static void target_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	pro_message_block_release(result->block);
	atomic_fetch_add(&pro_container_of(handler, struct target, handler)->received, 1);
}

/* Who posts must be gone before the proactor is. */
static void target_handle_close(struct pro_handler *handler)
{
	crew_join(&pro_container_of(handler, struct target, handler)->poster);
}

static const struct pro_handler_vtbl target_vtbl = {
		.handle_post = target_handle_post,
		.handle_close = target_handle_close,
};

static void open_target(struct target *target, struct pro_proactor *on)
{
	target->posted = target->received = 0;
	ASSERT_OK(pro_handler_init(&target->handler, &target_vtbl, on));
	crew_start(&target->poster, 1, post_until_closed, target);
}

START_TEST(a_group_is_destroyed_while_others_post)
{
	struct pro_proactor_group *group = create_group(MEMBERS);

	ck_assert_int_eq(sem_init(&done, 0, 0), 0);
	ASSERT_OK(pro_proactor_group_start(group));
	for (unsigned i = 0; i < MEMBERS; i++)
		open_target(&targets[i], pro_proactor_group_proactor(group, i));
	for (unsigned i = 0; i < MEMBERS; i++)
		await_done();
	ASSERT_OK(pro_proactor_group_destroy(group));
	for (unsigned i = 0; i < MEMBERS; i++)
		ck_assert_uint_eq(targets[i].posted, targets[i].received);
}
END_TEST

START_TEST(a_proactor_is_destroyed_while_another_thread_posts)
{
	ck_assert_int_eq(sem_init(&done, 0, 0), 0);
	ASSERT_OK(pro_proactor_create(&proactor, NULL, NULL, 0));
	open_target(&targets[0], proactor);
	await_done();
	ASSERT_OK(pro_proactor_destroy(proactor));
	ck_assert_uint_eq(targets[0].posted, targets[0].received);
}
END_TEST

/* ---- a close that meets a callback ---- */

struct closing {
	struct pro_service_handler service; /* first */
	struct pro_asynch_read_stream reader;
	pro_handle handle;
	atomic_bool is_inside;
};

static void closing_handle_read(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	(void)handler;
	(void)result;
}

/* Again and again until the close has been seen. */
static void closing_handle_wakeup(struct pro_handler *handler)
{
	struct closing *closing = pro_container_of(handler, struct closing, service.handler);

	atomic_store(&closing->is_inside, true);
	for (;;) {
		pro_handle handle = pro_handler_handle(handler);
		int error =
				pro_asynch_read_stream_open(&closing->reader, handler, PRO_INVALID_HANDLE, NULL);

		ck_assert(handle == closing->handle || handle == PRO_INVALID_HANDLE);
		if (error) {
			ASSERT_ERROR(error, PRO_ECLOSED);
			return;
		}
		os_yield();
	}
}

static void closing_handle_close(struct pro_handler *handler)
{
	(void)handler;
	sem_post(&done);
}

static void closing_open(struct pro_service_handler *service)
{
	(void)service;
}

static const struct pro_service_handler_vtbl closing_vtbl = {
		.handler.handle_read_stream = closing_handle_read,
		.handler.handle_wakeup = closing_handle_wakeup,
		.handler.handle_close = closing_handle_close,
		.open = closing_open,
};

START_TEST(a_callback_sees_the_close_of_another_thread)
{
	static struct closing closing;

	open_crew(2, 3);
	for (unsigned i = 0; i < 50; i++) {
		pro_handle handles[2];

		ASSERT_OK(pro_socket_pair(proactor, handles));
		closing.handle = handles[0];
		atomic_store(&closing.is_inside, false);
		ASSERT_OK(pro_service_handler_init(&closing.service, &closing_vtbl, proactor));
		pro_service_handler_open(&closing.service, handles[0], NULL, NULL);
		ASSERT_OK(pro_handler_wakeup(&closing.service.handler));
		while (!atomic_load(&closing.is_inside))
			os_yield();
		pro_handler_close(&closing.service.handler);
		await_done();
		os_close((int)handles[1]);
	}
	close_crew();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("thread_ends");
	TCase *tcase = tcase_create("thread_ends");

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, a_fork_beside_a_crew_fails_in_the_child_alone);
	tcase_add_test(tcase, a_fork_beside_a_group_fails_in_the_child_alone);
	tcase_add_test(tcase, a_callback_of_a_crew_may_fork);
	tcase_add_test(tcase, no_thread_of_a_crew_keeps_the_old_user);
	tcase_add_test(tcase, a_group_that_gets_no_threads_is_stopped_again);
	tcase_add_test(tcase, work_that_gets_no_thread_completes_with_an_error);
	tcase_add_test(tcase, a_callback_sees_the_close_of_another_thread);
	tcase_add_loop_test(tcase, a_group_is_destroyed_while_others_post, 0, 5);
	tcase_add_loop_test(tcase, a_proactor_is_destroyed_while_another_thread_posts, 0, 5);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
