/* Several threads run one loop: starts, cancels, posts and closes from all threads at once, with an
 * exact ledger. */
#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <proactor/asynch_timer.h>
#include <proactor/socket.h>

#include "support/crew.h"
#include "support/loops.h"
#include "support/os.h"
#include "support/suite.h"
#include "support/world.h"

#define THREADS 8

#define NODES     16
#define OUTSIDERS 4

struct node {
	struct pro_service_handler service; /* first */
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_timer timer;
	struct pro_message_block read_block;
	unsigned char bytes[16];
	atomic_bool is_inside;
	bool is_closed;
};

/* Lives for one flight, which its close ends or which ends before. */
struct mayfly {
	struct pro_handler handler; /* first */
	struct pro_asynch_timer timer;
};

static struct node nodes[NODES];
static atomic_ulong started;
static atomic_ulong completed;
static atomic_ulong flies;
static unsigned long stress_wanted;

static void note_start(int error)
{
	if (!error)
		atomic_fetch_add(&started, 1);
}

static void note_completion(void)
{
	if (atomic_fetch_add(&completed, 1) + 1 == stress_wanted)
		sem_post(&done);
}

static void mayfly_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	(void)result;
	note_completion();
	pro_handler_close(handler);
}

static void mayfly_handle_close(struct pro_handler *handler)
{
	atomic_fetch_sub(&flies, 1);
	free(pro_container_of(handler, struct mayfly, handler));
}

static const struct pro_handler_vtbl mayfly_vtbl = {
		.handle_time_out = mayfly_handle_time_out,
		.handle_close = mayfly_handle_close,
};

static void start_mayfly(void)
{
	struct mayfly *mayfly = malloc(sizeof(*mayfly));
	int error;

	ck_assert_ptr_nonnull(mayfly);
	ASSERT_OK(pro_handler_init(&mayfly->handler, &mayfly_vtbl, proactor));
	ASSERT_OK(pro_asynch_timer_open(&mayfly->timer, &mayfly->handler, NULL));
	/* Counted first: it may be over before this returns. */
	atomic_fetch_add(&flies, 1);
	atomic_fetch_add(&started, 1);
	error = pro_asynch_timer_schedule(&mayfly->timer, (int64_t)(atomic_load(&started) % 3));
	if (error) {
		atomic_fetch_sub(&flies, 1);
		atomic_fetch_sub(&started, 1);
		free(mayfly);
	}
}

static struct node *node_enter(struct pro_handler *handler)
{
	struct node *node = pro_container_of(handler, struct node, service.handler);

	ck_assert(!atomic_exchange(&node->is_inside, true));
	ck_assert(!node->is_closed);
	return node;
}

static void node_leave(struct node *node)
{
	atomic_store(&node->is_inside, false);
}

static void node_read(struct node *node)
{
	pro_message_block_init(&node->read_block, node->bytes, sizeof(node->bytes));
	note_start(pro_asynch_read_stream_read(&node->reader, &node->read_block, 0));
}

static void node_handle_read(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct node *node = node_enter(handler);

	note_completion();
	if (!result->error || result->error == PRO_ECANCELED)
		node_read(node);
	node_leave(node);
}

static void node_handle_write(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct node *node = node_enter(handler);

	note_completion();
	pro_message_block_release(result->block);
	node_leave(node);
}

static void node_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	struct node *node = node_enter(handler);
	struct pro_message_block *block = result->block;
	int error;

	note_completion();
	block->rd = 0;
	block->wr = 8;
	error = result->error ? result->error : pro_asynch_write_stream_write(&node->writer, block);
	note_start(error);
	if (error)
		pro_message_block_release(block);
	node_leave(node);
}

static void node_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct node *node = node_enter(handler);

	(void)result;
	note_completion();
	/* It may be in flight, and other threads lead. */
	ASSERT_OK(pro_operation_set_stall_timeout(&node->reader.operation, 600000));
	start_mayfly();
	node_leave(node);
}

static void node_handle_wakeup(struct pro_handler *handler)
{
	struct node *node = node_enter(handler);

	note_start(pro_asynch_timer_schedule(&node->timer, 1));
	node_leave(node);
}

static void node_handle_close(struct pro_handler *handler)
{
	node_enter(handler)->is_closed = true;
}

static void node_open(struct pro_service_handler *service)
{
	struct node *node = node_enter(&service->handler);
	struct pro_handler *handler = &service->handler;

	ASSERT_OK(pro_asynch_read_stream_open(&node->reader, handler, PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(pro_asynch_write_stream_open(&node->writer, handler, PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(pro_asynch_timer_open(&node->timer, handler, NULL));
	node_read(node);
	node_leave(node);
}

static const struct pro_service_handler_vtbl node_vtbl = {
		.handler.handle_read_stream = node_handle_read,
		.handler.handle_write_stream = node_handle_write,
		.handler.handle_post = node_handle_post,
		.handler.handle_time_out = node_handle_time_out,
		.handler.handle_wakeup = node_handle_wakeup,
		.handler.handle_close = node_handle_close,
		.open = node_open,
};

static void outsider_post(struct node *node)
{
	struct pro_message_block *block = pro_message_block_create(NULL, 8);
	int error;

	ck_assert_ptr_nonnull(block);
	memset(block->base, 'p', block->size);
	error = pro_handler_post(&node->service.handler, block, NULL);
	note_start(error);
	if (error)
		pro_message_block_release(block);
}

static void outsider(void *context, unsigned number)
{
	uint32_t random = 2463534242u + number;

	(void)context;
	while (atomic_load(&completed) < stress_wanted) {
		struct node *node;

		random ^= random << 13;
		random ^= random >> 17;
		random ^= random << 5;
		node = &nodes[random / 8 % NODES];
		switch (random % 8) {
		case 0:
			pro_operation_cancel(&node->timer.operation);
			break;
		case 1:
			pro_operation_cancel(&node->reader.operation);
			break;
		case 2:
			pro_handler_wakeup(&node->service.handler);
			break;
		case 3:
			note_start(pro_asynch_timer_schedule(&node->timer, random % 3));
			break;
		case 4:
			if (atomic_load(&flies) < 1000)
				start_mayfly();
			break;
		default:
			outsider_post(node);
		}
		/* Bounded: nobody is helped by a longer queue. */
		while (atomic_load(&started) - atomic_load(&completed) > 2000 &&
				atomic_load(&completed) < stress_wanted)
			os_yield();
	}
}

/* _i: more threads than slots, or one slot. */
START_TEST(everything_from_all_threads_keeps_the_ledger)
{
	struct crew outsiders;

	stress_wanted = world_number(os_is_sanitized() ? 20000 : 50000, 1000000);
	open_crew(_i ? 1 : 4, THREADS);
	for (unsigned i = 0; i < NODES; i += 2) {
		pro_handle handles[2];

		ASSERT_OK(pro_socket_pair(proactor, handles));
		for (unsigned j = 0; j < 2; j++) {
			struct pro_service_handler *service = &nodes[i + j].service;

			ASSERT_OK(pro_service_handler_init(service, &node_vtbl, proactor));
			pro_service_handler_open(service, handles[j], NULL, NULL);
		}
	}
	crew_start(&outsiders, OUTSIDERS, outsider, NULL);
	crew_join(&outsiders);
	await_done();
	close_crew();
	ck_assert_uint_eq(started, completed);
	ck_assert_uint_eq(flies, 0);
	for (unsigned i = 0; i < NODES; i++)
		ck_assert(nodes[i].is_closed);
	printf("%lu operations\n", (unsigned long)completed);
}
END_TEST

int main(void)
{
	const unsigned seconds_max = world_is_long() ? 600 : 60;
	Suite *suite = suite_create("crew_everything");

	suite_add_case(
			suite, "on_4_slots", everything_from_all_threads_keeps_the_ledger, 0, seconds_max);
	suite_add_case(
			suite, "on_1_slot", everything_from_all_threads_keeps_the_ledger, 1, seconds_max);
	return suite_run(suite);
}
