/* Statements 31 and 32: failing allocations, none in the steady state, queues with limits. */
#include "conformance.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../support/echo.h"
#include "../support/os.h"
#include "../support/pattern.h"
#include "../support/recorder.h"

/* ---- 31 ---- */

/* Does a bit of everything and takes errors as they come; what was started must still end. */
static void try_everything(struct world *world, const struct pro_addr *addr)
{
	struct recorder *client = recorder_create(world, "client");
	struct pro_message_block out, in, posted;
	pro_handle file;
	char bytes[16];

	recorder_open_free(client);
	pro_message_block_init_filled(&posted, "post", 4);
	ASSERT_OK(recorder_timer(client, 0));
	ASSERT_OK(recorder_post(client, &posted, NULL));
	ASSERT_OK(STARTED(client, CONNECT, pro_asynch_connect_connect(&client->connect, addr, NULL)));
	ASSERT_OK(
			STARTED(client, RESOLVE, pro_asynch_resolve_resolve(&client->resolver, "127.0.0.1:1")));
	RUN_UNTIL(world, client->count[EVENT_CONNECT] && client->count[EVENT_TIME_OUT] &&
							 client->count[EVENT_RESOLVE] && client->count[EVENT_POST]);
	if (client->last[EVENT_RESOLVE].error)
		ASSERT_ERROR(client->last[EVENT_RESOLVE].error, PRO_ENOMEM);
	if (client->last[EVENT_CONNECT].error) {
		ASSERT_ERROR(client->last[EVENT_CONNECT].error, PRO_ENOMEM);
	} else {
		recorder_own_stream(client, recorder_take_handle(client));
		pro_message_block_init_filled(&out, "hello", 5);
		pro_message_block_init(&in, bytes, sizeof(bytes));
		ASSERT_OK(recorder_write(client, &out));
		ASSERT_OK(STARTED(
				client, READ_STREAM, pro_asynch_read_stream_read_exactly(&client->reader, &in, 5)));
		RUN_UNTIL(world, client->count[EVENT_READ_STREAM] && client->count[EVENT_WRITE_STREAM]);
	}
	if (pro_file_open(world->proactor, world_path(world, "file"),
				PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE, &file) == 0) {
		pro_message_block_init_filled(&out, "hello", 5);
		recorder_open_file(client, file);
		ASSERT_OK(STARTED(
				client, WRITE_FILE, pro_asynch_write_file_write(&client->file_writer, &out, 0)));
		RUN_UNTIL(world, client->count[EVENT_WRITE_FILE]);
		if (client->last[EVENT_WRITE_FILE].error)
			ASSERT_ERROR(client->last[EVENT_WRITE_FILE].error, PRO_ENOMEM);
		ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
	}
	recorder_close(client);
	RUN_UNTIL(world, client->is_closed);
}

/* Runs with the k-th allocation failing; returns whether there was one. */
static bool run_with_failure(uint64_t k)
{
	struct echo_server server;
	struct echo_client client;
	struct world world;
	bool has_failed;
	int error;

	world_init(&world, "inner");
	world.is_traced = false;
	world.options.lent_blocks = 8;
	world.memory.fail_call = k;
	error = pro_proactor_create(&world.proactor, &world.options, NULL, 0);
	if (error) {
		ASSERT_ERROR(error, PRO_ENOMEM);
		ck_assert_ptr_null(world.proactor);
		world_fini(&world);
		return true;
	}
	error = echo_server_open(&server, world.proactor, ANY_INET);
	if (error) {
		ASSERT_ERROR(error, PRO_ENOMEM);
		ASSERT_OK(echo_server_open(&server, world.proactor, ANY_INET));
	}
	server.borrows = true;
	try_everything(&world, pro_asynch_acceptor_addr(&server.acceptor));
	has_failed = world.memory.failures > 0;
	world.memory.fail_call = 0;

	echo_client_init(&client, &world, "client", 3000, 1000);
	echo_client_connect(&client, pro_asynch_acceptor_addr(&server.acceptor));
	RUN_UNTIL(&world, client.is_done);
	echo_server_close(&world, &server);
	world_fini(&world);
	return has_failed;
}

void scenario_any_failing_allocation_is_a_clean_error(struct world *world)
{
	uint64_t k = 1;

	while (run_with_failure(k))
		k++;
	world->is_traced = false;
	ck_assert_uint_gt(k, 1);
	ck_assert_uint_lt(k, 1000);
}

/* From the 100th round trip on no allocation more, with blocks of the handler's and with borrowed
 * ones; and one for each new connection. */
static void count_allocations(struct world *world, bool borrows)
{
	enum { WARM = 2 };
	const unsigned clients_count = world_is_small() ? 4 : 10;
	struct echo_client *clients = calloc(clients_count, sizeof(*clients));
	const unsigned rounds = world_number(2000, 2000);
	const uint64_t warm = 64 * (uint64_t)rounds / 20;
	struct echo_server server;
	uint64_t calls;

	world->is_traced = false;
	world_open(world);
	ASSERT_OK(echo_server_open(&server, world->proactor, ANY_INET));
	server.borrows = borrows;
	for (unsigned i = 0; i < clients_count; i++)
		echo_client_init(&clients[i], world, "client", 64 * rounds, 64);
	for (unsigned i = 0; i < WARM; i++)
		echo_client_connect(&clients[i], pro_asynch_acceptor_addr(&server.acceptor));
	RUN_UNTIL(world, clients[0].received > warm && clients[1].received > warm);
	calls = world->memory.calls;
	RUN_UNTIL(world, clients[0].received > 32 * rounds && clients[1].received > 32 * rounds);
	ck_assert_uint_eq(world->memory.calls, calls);
	for (unsigned i = WARM; i < clients_count; i++)
		echo_client_connect(&clients[i], pro_asynch_acceptor_addr(&server.acceptor));
	for (unsigned i = 0; i < clients_count; i++)
		RUN_UNTIL(world, clients[i].is_done);
	ck_assert_uint_eq(server.opened, clients_count);
	ck_assert_uint_eq(world->memory.calls, calls + clients_count - WARM);
	world_close_recorders(world);
	echo_server_close(world, &server);
	free(clients);
}

void scenario_echo_allocates_once_per_connection_and_never_per_message(struct world *world)
{
	count_allocations(world, false);
}

void scenario_echo_with_borrowed_blocks_allocates_once_per_connection(struct world *world)
{
	count_allocations(world, true);
}

/* ---- 32 ---- */

#define LIMIT 10000

void scenario_write_queue_refuses_above_its_limit(struct world *world)
{
	static unsigned char bytes[1 << 20], taken[1 << 20];
	struct recorder *left, *right;
	struct pro_message_block first, second, third, in;
	size_t queued;

	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_tcp_pair(left, right, ANY_INET);
	recorder_send_little(left);
	pro_asynch_write_stream_set_limit(&left->writer, LIMIT);
	pro_message_block_init_filled(&first, bytes, sizeof(bytes));
	pro_message_block_init_filled(&second, bytes, 1);
	pro_message_block_init_filled(&third, bytes, LIMIT);
	/* The queue is empty: one message may be longer than the limit. */
	ASSERT_OK(recorder_write(left, &first));
	ASSERT_ERROR(recorder_write(left, &second), PRO_EFULL);
	world_run_for(world, 20);
	queued = pro_asynch_write_stream_queued(&left->writer);
	ck_assert_uint_gt(queued, LIMIT);
	/* Some systems count nothing as gone before all that one call sends is. */
	ck_assert_uint_le(queued, sizeof(bytes));
	ASSERT_ERROR(recorder_write(left, &second), PRO_EFULL);
	ck_assert_uint_eq(world_statistics(world).queued_bytes_peak, sizeof(bytes));
	ck_assert_uint_ge(world_statistics(world).refused, 2);
	while (left->count[EVENT_WRITE_STREAM] == 0) {
		unsigned before = right->count[EVENT_READ_STREAM];

		pro_message_block_init(&in, taken, sizeof(taken));
		ASSERT_OK(recorder_read(right, &in, 0));
		RUN_UNTIL(
				world, right->count[EVENT_READ_STREAM] > before || left->count[EVENT_WRITE_STREAM]);
		if (pro_operation_in_flight(&right->reader.operation)) {
			recorder_cancel(&right->reader.operation);
			RUN_UNTIL(world, !pro_operation_in_flight(&right->reader.operation));
		}
	}
	/* There is room again. */
	ASSERT_OK(recorder_write(left, &third));
	RUN_UNTIL(world, left->count[EVENT_WRITE_STREAM] == 2);
	ASSERT_OK(left->last[EVENT_WRITE_STREAM].error);
}

/* The default bounds of a write stream. */
void scenario_write_queue_is_bounded_by_default(struct world *world)
{
	enum { BLOCKS = 64, BLOCK_BYTES = 1 << 20 };
	static struct pro_message_block blocks[BLOCKS];
	static unsigned char bytes[BLOCK_BYTES];
	struct recorder *left, *right;
	unsigned accepted = 0;

	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_pair(left, right);
	for (unsigned i = 0; i < BLOCKS; i++) {
		int error;

		pro_message_block_init_filled(&blocks[i], bytes, BLOCK_BYTES);
		error = recorder_write(left, &blocks[i]);
		if (error)
			ASSERT_ERROR(error, PRO_EFULL);
		else
			accepted++;
		world_run_ready(world);
	}
	ck_assert_uint_ge(accepted, PRO_WRITE_QUEUE_BYTES / BLOCK_BYTES);
	ck_assert_uint_lt(accepted, BLOCKS);
	ck_assert_uint_le(
			world_statistics(world).queued_bytes_peak, PRO_WRITE_QUEUE_BYTES + BLOCK_BYTES);
}
