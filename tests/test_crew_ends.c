/* Several threads run one loop: what outlives a thread, and what ends with the proactor. */
#include <check.h>
#include <stdatomic.h>

#include <proactor/socket.h>

#include "support/crew.h"
#include "support/loops.h"
#include "support/os.h"
#include "support/suite.h"
#include "support/world.h"

static void run_one_turn(void *context, unsigned number)
{
	(void)number;
	ck_assert_int_ge(pro_proactor_handle_events(context, 100), 0);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_ge(pro_proactor_handle_events(context, 0), 0);
}

static void reader_handle_read(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	(void)handler;
	ASSERT_OK(result->error);
	sem_post(&done);
}

static const struct pro_service_handler_vtbl reader_vtbl = {
		.handler.handle_read_stream = reader_handle_read,
		.handler.handle_write_stream = side_handle_write,
		.handler.handle_close = handle_close_nothing,
		.open = side_open,
};

START_TEST(what_a_thread_started_outlives_it)
{
	struct crew first;
	pro_handle handles[8][2];

	sem_init(&done, 0, 0);
	proactor = create_shared(2);
	for (unsigned i = 0; i < 8; i++) {
		ASSERT_OK(pro_socket_pair(proactor, handles[i]));
		ASSERT_OK(pro_service_handler_init(&sides[i].service, &reader_vtbl, proactor));
		pro_service_handler_open(&sides[i].service, handles[i][0], NULL, NULL);
	}
	crew_start(&first, 1, run_one_turn, proactor);
	crew_join(&first);
	crew_start(&loops, 2, run_loop, proactor);
	for (unsigned i = 0; i < 8; i++)
		os_send((int)handles[i][1], "x", 1);
	for (unsigned i = 0; i < 8; i++)
		await_done();
	for (unsigned i = 0; i < 8; i++)
		pro_proactor_close_handle(proactor, handles[i][1]);
	close_crew();
}
END_TEST

static struct pro_handler flooded;
static struct crew flooders;
static atomic_uint flood_posted;
static atomic_uint flood_received;

static void flood(void *context, unsigned number)
{
	(void)context;
	(void)number;
	for (;;) {
		struct pro_message_block *block = pro_message_block_create(NULL, 8);
		int error;

		ck_assert_ptr_nonnull(block);
		error = pro_handler_post(&flooded, block, NULL);
		if (error) {
			ASSERT_ERROR(error, PRO_ECLOSED);
			pro_message_block_release(block);
			return;
		}
		if (atomic_fetch_add(&flood_posted, 1) == 5000)
			sem_post(&done);
		while (atomic_load(&flood_posted) - atomic_load(&flood_received) > 10000)
			os_yield();
	}
}

static void flooded_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	(void)handler;
	pro_message_block_release(result->block);
	atomic_fetch_add(&flood_received, 1);
}

/* Who posts must be gone before the proactor is: here is the place to see to it. */
static void flooded_handle_close(struct pro_handler *handler)
{
	(void)handler;
	crew_join(&flooders);
}

static const struct pro_handler_vtbl flooded_vtbl = {
		.handle_post = flooded_handle_post,
		.handle_close = flooded_handle_close,
};

START_TEST(destroy_while_others_post)
{
	open_crew(2, 3);
	ASSERT_OK(pro_handler_init(&flooded, &flooded_vtbl, proactor));
	crew_start(&flooders, 4, flood, NULL);
	await_done();
	pro_proactor_end_event_loop(proactor);
	crew_join(&loops);
	ASSERT_OK(pro_proactor_destroy(proactor));
	ck_assert_uint_eq(flood_posted, flood_received);
}
END_TEST

START_TEST(destroy_is_refused_while_the_loop_runs)
{
	open_crew(2, 2);
	await_asleep();
	ASSERT_ERROR(pro_proactor_destroy(proactor), PRO_EBUSY);
	close_crew();
}
END_TEST

int main(void)
{
	const unsigned seconds_max = world_is_long() ? 600 : 60;
	Suite *suite = suite_create("crew_ends");

	suite_add_case(suite, "thread_ends", what_a_thread_started_outlives_it, 0, seconds_max);
	suite_add_case(suite, "destroy_while_others_post", destroy_while_others_post, 0, seconds_max);
	suite_add_case(
			suite, "destroy_in_the_loop", destroy_is_refused_while_the_loop_runs, 0, seconds_max);
	return suite_run(suite);
}
