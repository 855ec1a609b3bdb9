/* Datagrams: boundaries, addresses, scatter and gather. */
#include "conformance.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "../support/os.h"
#include "../support/pattern.h"
#include "../support/recorder.h"

static const char act[] = "act";
static const char key[] = "key";

static void send_to(
		struct recorder *sender, const void *bytes, size_t length, const struct pro_addr *remote)
{
	unsigned before = sender->count[EVENT_WRITE_DGRAM];
	struct pro_message_block block;

	pro_message_block_init_filled(&block, bytes, length);
	ASSERT_OK(STARTED(sender, WRITE_DGRAM,
			pro_asynch_write_dgram_send(&sender->dgram_writer, &block, remote)));
	RUN_UNTIL(sender->world, sender->count[EVENT_WRITE_DGRAM] == before + 1);
}

static void scatter_and_gather(struct world *world, const char *any)
{
	struct recorder *left, *right;
	struct pro_addr left_addr, right_addr;
	struct pro_message_block out[2], in[2];
	char head[20], body[100], in_head[20], in_body[200];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	left_addr = recorder_own_dgram(left, any);
	right_addr = recorder_own_dgram(right, any);
	pattern_fill(head, sizeof(head), 0, 1);
	pattern_fill(body, sizeof(body), 0, 2);
	pro_message_block_init_filled(&out[0], head, sizeof(head));
	pro_message_block_init_filled(&out[1], body, sizeof(body));
	out[0].cont = &out[1];
	pro_message_block_init(&in[0], in_head, sizeof(in_head));
	pro_message_block_init(&in[1], in_body, sizeof(in_body));
	in[0].cont = &in[1];
	pro_operation_set_act(&right->dgram_reader.operation, act);
	pro_operation_set_completion_key(&right->dgram_reader.operation, key);
	ASSERT_OK(STARTED(right, READ_DGRAM, pro_asynch_read_dgram_recv(&right->dgram_reader, &in[0])));
	ASSERT_OK(STARTED(left, WRITE_DGRAM,
			pro_asynch_write_dgram_send(&left->dgram_writer, &out[0], &right_addr)));
	RUN_UNTIL(world, right->count[EVENT_READ_DGRAM] && left->count[EVENT_WRITE_DGRAM]);
	ASSERT_OK(right->last[EVENT_READ_DGRAM].error);
	ck_assert_uint_eq(right->last[EVENT_READ_DGRAM].bytes, 120);
	ck_assert_ptr_eq(right->last[EVENT_READ_DGRAM].act, act);
	ck_assert_ptr_eq(right->last[EVENT_READ_DGRAM].completion_key, key);
	ck_assert(pro_addr_equal(&right->dgram_reader.remote, &left_addr));
	ck_assert_uint_eq(left->last[EVENT_WRITE_DGRAM].bytes, 120);
	pattern_check(in_head, sizeof(in_head), 0, 1);
	pattern_check(in_body, sizeof(body), 0, 2);
	ck_assert_uint_eq(in[0].wr, 20);
	ck_assert_uint_eq(in[1].wr, 100);
	out[0].cont = NULL;
	in[0].cont = NULL;
}

void scenario_datagrams_are_gathered_and_scattered(struct world *world)
{
	scatter_and_gather(world, ANY_INET);
}

void scenario_datagrams_of_ipv6_are_gathered_and_scattered(struct world *world)
{
	scatter_and_gather(world, ANY_INET6);
}

void scenario_datagrams_keep_their_boundaries(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block in;
	struct pro_addr addr;
	char bytes[8];

	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	recorder_own_dgram(left, ANY_INET);
	addr = recorder_own_dgram(right, ANY_INET);
	for (unsigned i = 1; i <= 4; i++) {
		static const char *const sent[] = {"first", "", "longer than the buffer", "last"};

		send_to(left, sent[i - 1], strlen(sent[i - 1]), &addr);
		pro_message_block_init(&in, bytes, sizeof(bytes));
		ASSERT_OK(
				STARTED(right, READ_DGRAM, pro_asynch_read_dgram_recv(&right->dgram_reader, &in)));
		RUN_UNTIL(world, right->count[EVENT_READ_DGRAM] == i);
		if (i == 3) {
			ASSERT_ERROR(right->last[EVENT_READ_DGRAM].error, PRO_EMSGSIZE);
			ck_assert_uint_eq(in.wr, sizeof(bytes));
			ck_assert_mem_eq(bytes, "longer t", 8);
		} else {
			ASSERT_OK(right->last[EVENT_READ_DGRAM].error);
			ck_assert_uint_eq(in.wr, strlen(sent[i - 1]));
			ck_assert_mem_eq(bytes, sent[i - 1], in.wr);
		}
	}
}

/* Sends to nobody answer with an ICMP error, which must not end up in a receive. */
void scenario_errors_of_earlier_sends_do_not_end_a_receive(struct world *world)
{
	struct recorder *left, *right, *gone;
	struct pro_message_block in;
	struct pro_addr addr, nobody;
	char bytes[8];

	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	gone = recorder_create(world, "gone");
	addr = recorder_own_dgram(left, ANY_INET);
	recorder_own_dgram(right, ANY_INET);
	nobody = recorder_own_dgram(gone, ANY_INET);
	recorder_close(gone);
	RUN_UNTIL(world, gone->is_closed);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(STARTED(left, READ_DGRAM, pro_asynch_read_dgram_recv(&left->dgram_reader, &in)));
	for (unsigned i = 0; i < 3; i++)
		send_to(left, "x", 1, &nobody);
	world_run_for(world, 10);
	ck_assert_uint_eq(left->count[EVENT_READ_DGRAM], 0);
	send_to(right, "yes", 3, &addr);
	RUN_UNTIL(world, left->count[EVENT_READ_DGRAM]);
	ASSERT_OK(left->last[EVENT_READ_DGRAM].error);
	ck_assert_mem_eq(bytes, "yes", 3);
}

static void send_again(struct recorder *recorder, const struct event *event)
{
	if (event->kind == EVENT_WRITE_DGRAM && event->error == 0 && recorder->context)
		ASSERT_OK(STARTED(recorder, WRITE_DGRAM,
				pro_asynch_write_dgram_send(
						&recorder->dgram_writer, event->block, recorder->context)));
}

/* An unconnected UNIX-domain socket is writable though the receiver is full. */
void scenario_datagrams_to_a_full_receiver_wait_for_room(struct world *world)
{
	struct recorder *left, *right;
	struct pro_message_block in, out;
	struct pro_addr addr;
	uint64_t calls;
	unsigned sent;
	char text[256], bytes[8];

	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	right = recorder_create(world, "right");
	snprintf(text, sizeof(text), "unix:%s", world_path(world, "left"));
	recorder_own_dgram(left, text);
	snprintf(text, sizeof(text), "unix:%s", world_path(world, "right"));
	addr = recorder_own_dgram(right, text);
	left->context = &addr;
	left->on_event = send_again;
	pro_message_block_init_filled(&out, "x", 1);
	ASSERT_OK(STARTED(
			left, WRITE_DGRAM, pro_asynch_write_dgram_send(&left->dgram_writer, &out, &addr)));
	do {
		sent = left->count[EVENT_WRITE_DGRAM];
		world_run_for(world, 30);
	} while (left->count[EVENT_WRITE_DGRAM] > sent);

	calls = world_statistics(world).system_calls;
	world_run_for(world, 100);
	ck_assert_uint_eq(left->count[EVENT_WRITE_DGRAM], sent);
	/* At most three each millisecond. */
	ck_assert_uint_lt(world_statistics(world).system_calls - calls, 400);
	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(STARTED(right, READ_DGRAM, pro_asynch_read_dgram_recv(&right->dgram_reader, &in)));
	RUN_UNTIL(world, left->count[EVENT_WRITE_DGRAM] > sent);
	left->context = NULL;
	recorder_close(left);
	RUN_UNTIL(world, left->is_closed);
	ASSERT_ERROR(left->last[EVENT_WRITE_DGRAM].error, PRO_ECANCELED);
}

/* A connected socket has one peer: what that answered is the next operation's business. */
void scenario_errors_of_a_connected_peer_are_reported(struct world *world)
{
	struct recorder *left, *gone;
	struct pro_message_block in;
	struct pro_addr nobody;
	char bytes[8];

	world->is_traced = false;
	world_open(world);
	left = recorder_create(world, "left");
	gone = recorder_create(world, "gone");
	recorder_own_dgram(left, ANY_INET);
	nobody = recorder_own_dgram(gone, ANY_INET);
	recorder_close(gone);
	RUN_UNTIL(world, gone->is_closed);
	os_connect_peer((int)pro_handler_handle(recorder_handler(left)), &nobody);

	pro_message_block_init(&in, bytes, sizeof(bytes));
	ASSERT_OK(STARTED(left, READ_DGRAM, pro_asynch_read_dgram_recv(&left->dgram_reader, &in)));
	send_to(left, "x", 1, NULL);
	RUN_UNTIL(world, left->count[EVENT_READ_DGRAM]);
	ASSERT_ERROR(left->last[EVENT_READ_DGRAM].error, PRO_ECONNREFUSED);
	send_to(left, "x", 1, NULL);
	ASSERT_OK(left->last[EVENT_WRITE_DGRAM].error);
	ck_assert(os_wait_readable(pro_handler_handle(recorder_handler(left)), 10000));
	send_to(left, "x", 1, NULL);
	ASSERT_ERROR(left->last[EVENT_WRITE_DGRAM].error, PRO_ECONNREFUSED);
}

void scenario_datagrams_that_cannot_be_sent_are_errors(struct world *world)
{
	static char huge[70000];
	struct recorder *left;
	struct pro_addr addr;

	world_open(world);
	left = recorder_create(world, "left");
	addr = recorder_own_dgram(left, ANY_INET);
	send_to(left, huge, sizeof(huge), &addr);
	ASSERT_ERROR(left->last[EVENT_WRITE_DGRAM].error, PRO_EMSGSIZE);
	send_to(left, "x", 1, NULL);
	ck_assert(left->last[EVENT_WRITE_DGRAM].error == PRO_EDESTADDRREQ ||
			  left->last[EVENT_WRITE_DGRAM].error == PRO_ENOTCONN);
}
