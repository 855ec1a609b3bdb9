/* ACE's network test with datagrams: sessions that echo at load on several threads, every byte
 * checked both ways. The loopback loses nothing that the receivers' buffers can hold. */
#include <check.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <proactor/asynch_read_dgram.h>
#include <proactor/asynch_write_dgram.h>
#include <proactor/socket.h>

#include "support/crew.h"
#include "support/os.h"
#include "support/pattern.h"
#include "support/suite.h"
#include "support/world.h"

#define BYTES_MAX      8192
#define DEPTH_MAX      16
#define SESSIONS_MAX   16
#define RECEIVE_BUFFER 212992

struct plan {
	unsigned threads;
	unsigned sessions;
	unsigned messages; /* of each */
	unsigned bytes;    /* of each message */
	unsigned depth;    /* messages on their way, at most */
};

/* A place for a datagram that is received or sent. */
struct slot {
	struct pro_asynch_write_dgram writer;
	struct pro_message_block block;
	unsigned char bytes[BYTES_MAX];
	struct slot *next; /* free */
};

/* One side of a session. */
struct end {
	struct pro_handler handler; /* first */
	struct pro_asynch_read_dgram reader;
	struct slot slots[DEPTH_MAX + 1];
	struct slot *free;
	struct slot *reading; /* NULL: no receive in flight */
	unsigned seed;

	/* The client's. */
	struct pro_addr server;
	unsigned sent;
	unsigned echoed;
	bool *was_echoed;
};

static struct plan plan;
static struct pro_proactor *proactor;
static atomic_uint clients_left;
static sem_t done;

static struct end *end_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct end, handler);
}

static struct slot *end_take_slot(struct end *end)
{
	struct slot *slot = end->free;

	if (slot)
		end->free = slot->next;
	return slot;
}

static void end_free_slot(struct end *end, struct slot *slot)
{
	slot->next = end->free;
	end->free = slot;
}

/* When there is a place for what comes. */
static void end_receive(struct end *end)
{
	if (end->reading)
		return;
	end->reading = end_take_slot(end);
	if (!end->reading)
		return;
	pro_message_block_init(&end->reading->block, end->reading->bytes, BYTES_MAX);
	ASSERT_OK(pro_asynch_read_dgram_recv(&end->reader, &end->reading->block));
}

/* The number of a message stands at its begin. */
static unsigned check_message(const struct end *end, const struct slot *slot)
{
	unsigned number;

	ck_assert_uint_eq(pro_message_block_length(&slot->block), plan.bytes);
	memcpy(&number, slot->bytes, sizeof(number));
	ck_assert_uint_lt(number, plan.messages);
	pattern_check(slot->bytes + sizeof(number), plan.bytes - sizeof(number), number, end->seed);
	return number;
}

static void handle_close_nothing(struct pro_handler *handler)
{
	(void)handler;
}

/* ---- the server's side ---- */

static void server_handle_read(
		struct pro_handler *handler, const struct pro_asynch_read_dgram_result *result)
{
	struct end *end = end_from_handler(handler);
	struct slot *slot = end->reading;

	end->reading = NULL;
	if (result->error == PRO_ECANCELED)
		return;
	ASSERT_OK(result->error);
	check_message(end, slot);
	ASSERT_OK(pro_asynch_write_dgram_send(&slot->writer, &slot->block, result->remote));
	end_receive(end);
}

static void server_handle_write(
		struct pro_handler *handler, const struct pro_asynch_write_dgram_result *result)
{
	struct end *end = end_from_handler(handler);

	ASSERT_OK(result->error);
	end_free_slot(end, pro_container_of(result->block, struct slot, block));
	if (!pro_handler_is_closing(handler))
		end_receive(end);
}

static const struct pro_handler_vtbl server_vtbl = {
		.handle_read_dgram = server_handle_read,
		.handle_write_dgram = server_handle_write,
		.handle_close = handle_close_nothing,
};

/* ---- the client's side ---- */

/* One slot is the receive's. */
static void client_go_on(struct end *end)
{
	while (end->sent < plan.messages && end->sent - end->echoed < plan.depth) {
		struct slot *slot = end_take_slot(end);

		if (!slot)
			return;
		memcpy(slot->bytes, &end->sent, sizeof(end->sent));
		pattern_fill(slot->bytes + sizeof(end->sent), plan.bytes - sizeof(end->sent), end->sent,
				end->seed);
		pro_message_block_init_filled(&slot->block, slot->bytes, plan.bytes);
		end->sent++;
		ASSERT_OK(pro_asynch_write_dgram_send(&slot->writer, &slot->block, &end->server));
	}
}

static void client_handle_read(
		struct pro_handler *handler, const struct pro_asynch_read_dgram_result *result)
{
	struct end *end = end_from_handler(handler);
	struct slot *slot = end->reading;
	unsigned number;

	end->reading = NULL;
	if (result->error == PRO_ECANCELED)
		return;
	ASSERT_OK(result->error);
	ck_assert(pro_addr_equal(result->remote, &end->server));
	number = check_message(end, slot);
	ck_assert(!end->was_echoed[number]);
	end->was_echoed[number] = true;
	end->echoed++;
	end_free_slot(end, slot);
	end_receive(end);
	client_go_on(end);
	if (end->echoed == plan.messages && atomic_fetch_sub(&clients_left, 1) == 1)
		sem_post(&done);
}

static void client_handle_write(
		struct pro_handler *handler, const struct pro_asynch_write_dgram_result *result)
{
	struct end *end = end_from_handler(handler);

	ASSERT_OK(result->error);
	end_free_slot(end, pro_container_of(result->block, struct slot, block));
	client_go_on(end);
}

static void client_handle_wakeup(struct pro_handler *handler)
{
	client_go_on(end_from_handler(handler));
}

static const struct pro_handler_vtbl client_vtbl = {
		.handle_read_dgram = client_handle_read,
		.handle_write_dgram = client_handle_write,
		.handle_wakeup = client_handle_wakeup,
		.handle_close = handle_close_nothing,
};

/* ---- a run ---- */

static struct end *end_open(const struct pro_handler_vtbl *vtbl, const char *any, unsigned seed)
{
	struct end *end = calloc(1, sizeof(*end));
	struct pro_addr addr = world_addr(any);
	pro_handle handle;

	ck_assert_ptr_nonnull(end);
	ASSERT_OK(pro_socket_dgram(proactor, pro_addr_family(&addr), &addr, &handle));
	pro_socket_set_option(proactor, handle, PRO_SOCKET_RECEIVE_BUFFER, RECEIVE_BUFFER);
	ASSERT_OK(pro_handler_init(&end->handler, vtbl, proactor));
	pro_handler_set_handle(&end->handler, handle);
	ASSERT_OK(pro_asynch_read_dgram_open(&end->reader, &end->handler, PRO_INVALID_HANDLE, NULL));
	for (unsigned i = 0; i <= plan.depth; i++) {
		ASSERT_OK(pro_asynch_write_dgram_open(
				&end->slots[i].writer, &end->handler, PRO_INVALID_HANDLE, NULL));
		end_free_slot(end, &end->slots[i]);
	}
	end->seed = seed;
	end_receive(end);
	return end;
}

static void run_loop(void *context, unsigned number)
{
	(void)context;
	(void)number;
	ASSERT_OK(pro_proactor_run_event_loop(proactor));
}

static void create(void)
{
	struct pro_proactor_options options;
	char why[256] = "";

	pro_proactor_options_init(&options);
	options.is_shared = plan.threads > 1;
	options.concurrency = plan.threads;
	ck_assert_msg(pro_proactor_create(&proactor, &options, why, sizeof(why)) == 0, "%s", why);
}

static void run_traffic(const char *any)
{
	struct end *servers[SESSIONS_MAX];
	struct end *clients[SESSIONS_MAX];
	struct crew crew;
	uint64_t began_ms = os_now_ms();

	ck_assert_int_eq(sem_init(&done, 0, 0), 0);
	atomic_store(&clients_left, plan.sessions);
	create();
	for (unsigned i = 0; i < plan.sessions; i++) {
		servers[i] = end_open(&server_vtbl, any, i);
		clients[i] = end_open(&client_vtbl, any, i);
		clients[i]->was_echoed = calloc(plan.messages, sizeof(bool));
		ck_assert_ptr_nonnull(clients[i]->was_echoed);
		ASSERT_OK(pro_socket_local_addr(
				proactor, pro_handler_handle(&servers[i]->handler), &clients[i]->server));
		ASSERT_OK(pro_handler_wakeup(&clients[i]->handler));
	}
	crew_start(&crew, plan.threads, run_loop, NULL);
	while (sem_wait(&done) != 0)
		;
	pro_proactor_shutdown(proactor);
	crew_join(&crew);
	ASSERT_OK(pro_proactor_destroy(proactor));
	for (unsigned i = 0; i < plan.sessions; i++) {
		ck_assert_uint_eq(clients[i]->echoed, plan.messages);
		free(clients[i]->was_echoed);
		free(clients[i]);
		free(servers[i]);
	}
	printf("%u threads, %u x %u x %u bytes, depth %u: %llu ms\n", plan.threads, plan.sessions,
			plan.messages, plan.bytes, plan.depth, (unsigned long long)(os_now_ms() - began_ms));
}

/* S12: what is there, and the number of messages that a usual run sends. */
static const struct plan plans[] = {
		{.threads = 1, .sessions = 1, .messages = 50000, .bytes = 64, .depth = 1},
		{.threads = 1, .sessions = 16, .messages = 4096, .bytes = 512, .depth = 4},
		{.threads = 4, .sessions = 16, .messages = 4096, .bytes = 512, .depth = 4},
		{.threads = 8, .sessions = 16, .messages = 2048, .bytes = 8192, .depth = 16},
};

#define PLANS (sizeof(plans) / sizeof(plans[0]))

/* _i: which, and beyond them over IPv6 */
START_TEST(s12_datagrams)
{
	plan = plans[(size_t)_i % PLANS];
	plan.messages = world_number(plan.messages / 16, plan.messages);
	run_traffic((size_t)_i < PLANS ? ANY_INET : ANY_INET6);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("traffic_dgram");
	TCase *tcase = tcase_create("traffic_dgram");

	tcase_set_timeout(tcase, world_is_long() ? 600 : 120);
	tcase_add_loop_test(tcase, s12_datagrams, 0, 2 * PLANS);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
