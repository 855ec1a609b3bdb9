/* Statements 22 and 25: listeners that never go deaf, and peers that are all served. */
#include "conformance.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <proactor/asynch_connector.h>

#include "../support/echo.h"
#include "../support/os.h"
#include "../support/pattern.h"
#include "../support/recorder.h"

#define RECOVERY_PROMISE_MS 1000
#define TRIES_A_SECOND      100
#define PEERS_KEPT          12

static void echo_once(struct world *world, const struct pro_addr *addr)
{
	struct echo_client client;

	echo_client_init(&client, world, "client", 5000, 1000);
	echo_client_connect(&client, addr);
	RUN_UNTIL(world, client.is_done);
	recorder_close(client.recorder);
	RUN_UNTIL(world, client.recorder->is_closed);
}

void scenario_acceptor_serves_many_connections(struct world *world)
{
	const unsigned clients_count = world_is_small() ? 10 : 50;
	const unsigned bytes = world_is_small() ? 100 : 5000;
	struct echo_client *clients = calloc(clients_count, sizeof(*clients));
	struct echo_server server;

	world->is_traced = false;
	world_open(world);
	ASSERT_OK(echo_server_open(&server, world->proactor, ANY_INET));
	ck_assert_uint_ne(pro_addr_port(pro_asynch_acceptor_addr(&server.acceptor)), 0);
	for (unsigned i = 0; i < clients_count; i++) {
		echo_client_init(&clients[i], world, "client", bytes, 1 + 61 * (size_t)i);
		echo_client_connect(&clients[i], pro_asynch_acceptor_addr(&server.acceptor));
	}
	for (unsigned i = 0; i < clients_count; i++)
		RUN_UNTIL(world, clients[i].is_done);
	ck_assert_uint_eq(server.opened, clients_count);
	ck_assert_uint_eq(server.validated, clients_count);
	world_close_recorders(world);
	echo_server_close(world, &server);
	free(clients);
}

/* Refused by validate_connection, then by make_handler: the peer sees an end, the next is served.
 */
void scenario_refused_connections_do_not_deafen_the_listener(struct world *world)
{
	struct echo_server server;

	world->is_traced = false;
	world_open(world);
	ASSERT_OK(echo_server_open(&server, world->proactor, ANY_INET));
	for (unsigned i = 0; i < 40; i++) {
		struct recorder *client = recorder_create(world, "client");
		struct pro_message_block in;
		char bytes[8];

		server.verdict = i % 2 ? -1 : 0;
		server.refuses = i % 2 == 0;
		recorder_open_free(client);
		ASSERT_OK(STARTED(client, CONNECT,
				pro_asynch_connect_connect(
						&client->connect, pro_asynch_acceptor_addr(&server.acceptor), NULL)));
		RUN_UNTIL(world, client->count[EVENT_CONNECT]);
		ASSERT_OK(client->last[EVENT_CONNECT].error);
		recorder_own_stream(client, recorder_take_handle(client));
		pro_message_block_init(&in, bytes, sizeof(bytes));
		ASSERT_OK(recorder_read(client, &in, 0));
		RUN_UNTIL(world, client->count[EVENT_READ_STREAM]);
		ck_assert_int_lt(client->last[EVENT_READ_STREAM].error, 0);
	}
	ck_assert_uint_eq(server.opened, 0);
	server.verdict = 0;
	server.refuses = false;
	echo_once(world, pro_asynch_acceptor_addr(&server.acceptor));
	world_close_recorders(world);
	echo_server_close(world, &server);
}

/* Connections that are reset while they stand in the queue. */
void scenario_connections_that_die_in_the_queue_do_not_deafen_the_listener(struct world *world)
{
	struct echo_server server;

	world_open(world);
	ASSERT_OK(echo_server_open(&server, world->proactor, ANY_INET));
	world_run_ready(world);
	for (unsigned i = 0; i < 200; i++) {
		os_close_with_reset(os_connect(pro_asynch_acceptor_addr(&server.acceptor)));
		if (i % 3 == 0)
			world_run_ready(world);
	}
	echo_once(world, pro_asynch_acceptor_addr(&server.acceptor));
	RUN_UNTIL(world, server.opened == server.closed);
	world_close_recorders(world);
	echo_server_close(world, &server);
}

static void echo_by_raw_peer(struct world *world, int peer)
{
	char bytes[8];

	os_send(peer, "kept", 4);
	RUN_UNTIL(world, os_wait_readable(peer, 0));
	ck_assert_uint_eq(os_receive(peer, bytes, 4, 5000), 4);
	ck_assert_mem_eq(bytes, "kept", 4);
}

/* No descriptor is left: few tries, little CPU, existing peers served, the connections kept. */
void scenario_acceptor_out_of_descriptors_recovers(struct world *world)
{
	struct echo_server server;
	struct pro_proactor_statistics before, after;
	uint64_t start_ms, cpu_us, waited_ms = 500;
	unsigned opened;
	int peers[PEERS_KEPT];

	world_open(world);
	ASSERT_OK(echo_server_open(&server, world->proactor, ANY_INET));
	peers[0] = os_connect(pro_asynch_acceptor_addr(&server.acceptor));
	echo_by_raw_peer(world, peers[0]);

	/* Accepts that were posted before may have taken the old limit along: more peers than those. */
	for (unsigned i = 1; i < PEERS_KEPT; i++)
		peers[i] = os_make_peer(pro_asynch_acceptor_addr(&server.acceptor));
	os_limit_descriptors(0);
	for (unsigned i = 1; i < PEERS_KEPT; i++)
		os_connect_peer(peers[i], pro_asynch_acceptor_addr(&server.acceptor));
	echo_by_raw_peer(world, peers[0]);
	opened = server.opened;
	ck_assert_uint_lt(opened, PEERS_KEPT);
	before = world_statistics(world);
	cpu_us = os_process_cpu_us();
	world_run_for(world, waited_ms);
	cpu_us = os_process_cpu_us() - cpu_us;
	after = world_statistics(world);
	echo_by_raw_peer(world, peers[0]);
	ck_assert_uint_eq(server.opened, opened);
	ck_assert_msg(after.batches - before.batches <= TRIES_A_SECOND * waited_ms / 1000,
			"%llu turns of the loop in %llu ms",
			(unsigned long long)(after.batches - before.batches), (unsigned long long)waited_ms);
	ck_assert_uint_lt(cpu_us, waited_ms * 1000 / 10);

	os_unlimit_descriptors();
	start_ms = os_now_ms();
	RUN_UNTIL(world, server.opened == PEERS_KEPT);
	ck_assert_uint_lt(os_now_ms() - start_ms, RECOVERY_PROMISE_MS);
	for (unsigned i = 0; i < PEERS_KEPT; i++) {
		echo_by_raw_peer(world, peers[i]);
		os_close(peers[i]);
	}
	RUN_UNTIL(world, server.closed == server.opened);
	echo_server_close(world, &server);
}

struct seldom {
	struct pro_asynch_acceptor acceptor; /* first */
	unsigned tries;
	unsigned made;
	bool is_closed;
};

static struct seldom *seldom_from_acceptor(struct pro_asynch_acceptor *acceptor)
{
	return pro_container_of(acceptor, struct seldom, acceptor);
}

static struct pro_service_handler *seldom_make_handler(struct pro_asynch_acceptor *acceptor)
{
	seldom_from_acceptor(acceptor)->made++;
	return NULL;
}

static bool seldom_should_reissue(struct pro_asynch_acceptor *acceptor)
{
	seldom_from_acceptor(acceptor)->tries++;
	return true;
}

static void seldom_handle_close(struct pro_asynch_acceptor *acceptor)
{
	seldom_from_acceptor(acceptor)->is_closed = true;
}

static const struct pro_asynch_acceptor_vtbl seldom_vtbl = {
		.make_handler = seldom_make_handler,
		.should_reissue_accept = seldom_should_reissue,
		.handle_close = seldom_handle_close,
};

void scenario_many_accepts_out_of_descriptors_try_as_seldom_as_one(struct world *world)
{
	enum { PEERS = 2 * PRO_ACCEPTS_MAX };
	struct pro_asynch_acceptor_options options;
	struct seldom seldom = {.tries = 0};
	struct pro_addr any = world_addr(ANY_INET);
	const struct pro_addr *addr = pro_asynch_acceptor_addr(&seldom.acceptor);
	unsigned made;
	int peers[PEERS];

	world->is_traced = false;
	world_open(world);
	pro_asynch_acceptor_options_init(&options);
	options.initial_accepts = PRO_ACCEPTS_MAX;
	ASSERT_OK(pro_asynch_acceptor_open_with(
			&seldom.acceptor, &seldom_vtbl, world->proactor, &any, &options));
	world_run_ready(world);
	for (unsigned i = 0; i < PEERS; i++)
		peers[i] = os_make_peer(addr);
	os_limit_descriptors(0);
	for (unsigned i = 0; i < PEERS; i++)
		os_connect_peer(peers[i], addr);
	/* Those posted before may have taken the old limit along. */
	world_run_for(world, 200);
	made = seldom.made;
	world_run_for(world, 800);
	ck_assert_uint_eq(seldom.made, made);
	ck_assert_uint_le(seldom.tries, TRIES_A_SECOND);
	os_unlimit_descriptors();
	RUN_UNTIL(world, seldom.made == PEERS);
	for (unsigned i = 0; i < PEERS; i++)
		os_close(peers[i]);
	pro_asynch_acceptor_close(&seldom.acceptor);
	RUN_UNTIL(world, seldom.is_closed);
}

/* The plain accept reports the error once and leaves the connection in the queue. */
void scenario_accept_out_of_descriptors_is_an_error_and_keeps_the_connection(struct world *world)
{
	struct recorder *listener;
	struct pro_addr addr;
	int peer;

	world_open(world);
	listener = recorder_create(world, "listener");
	addr = recorder_listen(listener, ANY_INET);
	world_run_ready(world);
	peer = os_make_peer(&addr);
	os_limit_descriptors(0);
	os_connect_peer(peer, &addr);
	ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&listener->accept)));
	RUN_UNTIL(world, listener->count[EVENT_ACCEPT] == 1);
	ASSERT_ERROR(listener->last[EVENT_ACCEPT].error, PRO_EMFILE);
	os_unlimit_descriptors();
	ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&listener->accept)));
	RUN_UNTIL(world, listener->count[EVENT_ACCEPT] == 2);
	ASSERT_OK(listener->last[EVENT_ACCEPT].error);
	os_close(peer);
}

void scenario_connect_out_of_descriptors_is_an_error(struct world *world)
{
	struct recorder *client;
	struct pro_addr addr = world_addr("127.0.0.1:1");

	world_open(world);
	client = recorder_create(world, "client");
	recorder_open_free(client);
	world_run_ready(world);
	os_limit_descriptors(0);
	ASSERT_OK(STARTED(client, CONNECT, pro_asynch_connect_connect(&client->connect, &addr, NULL)));
	RUN_UNTIL(world, client->count[EVENT_CONNECT]);
	os_unlimit_descriptors();
	ASSERT_ERROR(client->last[EVENT_CONNECT].error, PRO_EMFILE);
}

static void two_accepts_in_order(struct world *world, const char *any)
{
	struct recorder *listener, *client;
	struct pro_addr addr, from;
	struct pro_addr bound = world_addr(any);

	world_open(world);
	listener = recorder_create(world, "listener");
	client = recorder_create(world, "client");
	addr = recorder_listen(listener, any);
	recorder_open_free(client);
	ASSERT_OK(STARTED(listener, ACCEPT, pro_asynch_accept_accept(&listener->accept)));
	ASSERT_OK(
			STARTED(client, CONNECT, pro_asynch_connect_connect(&client->connect, &addr, &bound)));
	RUN_UNTIL(world, client->count[EVENT_CONNECT] && listener->count[EVENT_ACCEPT]);
	ASSERT_OK(client->last[EVENT_CONNECT].error);
	ASSERT_OK(listener->last[EVENT_ACCEPT].error);
	ASSERT_OK(pro_socket_local_addr(world->proactor, client->last[EVENT_CONNECT].handle, &from));
	ck_assert(pro_addr_equal(&listener->accept.remote, &from));
	ck_assert(pro_addr_equal(&listener->accept.local, &addr));
	ASSERT_OK(pro_socket_remote_addr(world->proactor, client->last[EVENT_CONNECT].handle, &from));
	ck_assert(pro_addr_equal(&from, &addr));
}

void scenario_accept_and_connect_know_their_addresses(struct world *world)
{
	two_accepts_in_order(world, ANY_INET);
}

void scenario_accept_and_connect_know_their_ipv6_addresses(struct world *world)
{
	two_accepts_in_order(world, ANY_INET6);
}

void scenario_unix_sockets_are_streams_too(struct world *world)
{
	struct echo_server server;
	char text[256];

	world->is_traced = false;
	world_open(world);
	snprintf(text, sizeof(text), "unix:%s", world_path(world, "socket"));
	ASSERT_OK(echo_server_open(&server, world->proactor, text));
	echo_once(world, pro_asynch_acceptor_addr(&server.acceptor));
	world_close_recorders(world);
	echo_server_close(world, &server);
	/* A file that nobody listens on any more is replaced. */
	ASSERT_OK(echo_server_open(&server, world->proactor, text));
	echo_server_close(world, &server);
}

/* A UNIX-domain listener refuses whom its queue does not hold, and says EAGAIN. */
void scenario_connects_to_a_full_listener_wait_for_room(struct world *world)
{
	enum { COUNT = 6 };
	struct pro_asynch_connect connects[COUNT];
	struct recorder *server, *client;
	struct pro_addr addr;
	pro_handle listener;
	char text[256];

	world->is_traced = false;
	world_open(world);
	server = recorder_create(world, "server");
	client = recorder_create(world, "client");
	snprintf(text, sizeof(text), "unix:%s", world_path(world, "socket"));
	addr = world_addr(text);
	ASSERT_OK(pro_socket_listen(world->proactor, &addr, 1, &listener));
	pro_handler_set_handle(recorder_handler(server), listener);
	ASSERT_OK(pro_asynch_accept_open(
			&server->accept, recorder_handler(server), PRO_INVALID_HANDLE, NULL));
	for (unsigned i = 0; i < COUNT; i++) {
		ASSERT_OK(pro_asynch_connect_open(&connects[i], recorder_handler(client), NULL));
		ASSERT_OK(STARTED(client, CONNECT, pro_asynch_connect_connect(&connects[i], &addr, NULL)));
	}
	world_run_for(world, 30);
	ck_assert_uint_lt(client->count[EVENT_CONNECT], COUNT);
	/* One of those that wait may be cancelled. */
	ASSERT_OK(recorder_cancel(&connects[COUNT - 1].operation));
	RUN_UNTIL(world, client->errors[EVENT_CONNECT]);
	ASSERT_ERROR(client->last[EVENT_CONNECT].error, PRO_ECANCELED);
	for (unsigned i = 1; i < COUNT; i++) {
		ASSERT_OK(STARTED(server, ACCEPT, pro_asynch_accept_accept(&server->accept)));
		RUN_UNTIL(world, server->count[EVENT_ACCEPT] == i);
		ASSERT_OK(server->last[EVENT_ACCEPT].error);
	}
	RUN_UNTIL(world, client->count[EVENT_CONNECT] == COUNT);
	ck_assert_uint_eq(client->errors[EVENT_CONNECT], 1);
	world_close_recorders(world);
}

void scenario_acceptor_on_a_taken_address_fails_and_leaks_nothing(struct world *world)
{
	struct echo_server server, second;
	char text[PRO_ADDR_TEXT_MAX];

	world_open(world);
	ASSERT_OK(echo_server_open(&server, world->proactor, ANY_INET));
	pro_addr_format(pro_asynch_acceptor_addr(&server.acceptor), text, sizeof(text));
	ASSERT_ERROR(echo_server_open(&second, world->proactor, text), PRO_EADDRINUSE);
	ASSERT_ERROR(pro_asynch_acceptor_open(&second.acceptor, NULL, world->proactor,
						 pro_asynch_acceptor_addr(&server.acceptor)),
			PRO_EINVAL);
	echo_server_close(world, &server);
}

/* ---- the connector ---- */

struct connecting {
	struct pro_asynch_connector connector; /* first */
	struct recorder *recorder;
	unsigned verdicts;
	int error;
	bool is_closed;
};

static struct connecting *connecting_from_connector(struct pro_asynch_connector *connector)
{
	return pro_container_of(connector, struct connecting, connector);
}

static struct pro_service_handler *connecting_make_handler(struct pro_asynch_connector *connector)
{
	struct recorder *recorder = connecting_from_connector(connector)->recorder;

	return recorder->is_closed ? NULL : &recorder->service;
}

static int connecting_validate(
		struct pro_asynch_connector *connector, int error, const struct pro_addr *remote)
{
	struct connecting *connecting = connecting_from_connector(connector);

	(void)remote;
	connecting->verdicts++;
	connecting->error = error;
	return error;
}

static void connecting_handle_close(struct pro_asynch_connector *connector)
{
	connecting_from_connector(connector)->is_closed = true;
}

static const struct pro_asynch_connector_vtbl connecting_vtbl = {
		.make_handler = connecting_make_handler,
		.validate_connection = connecting_validate,
		.handle_close = connecting_handle_close,
};

static void connecting_init(struct connecting *connecting, struct world *world)
{
	memset(connecting, 0, sizeof(*connecting));
	connecting->recorder = recorder_create(world, "connected");
	ASSERT_OK(pro_asynch_connector_open(&connecting->connector, &connecting_vtbl, world->proactor));
}

static void connecting_fini(struct connecting *connecting, struct world *world)
{
	pro_asynch_connector_close(&connecting->connector);
	RUN_UNTIL(world, connecting->is_closed);
}

void scenario_connector_opens_a_handler_for_its_connection(struct world *world)
{
	struct connecting connecting;
	struct echo_server server;
	char text[PRO_ADDR_TEXT_MAX];

	world_open(world);
	ASSERT_OK(echo_server_open(&server, world->proactor, ANY_INET));
	connecting_init(&connecting, world);
	pro_addr_format(pro_asynch_acceptor_addr(&server.acceptor), text, sizeof(text));
	ASSERT_OK(pro_asynch_connector_connect_to(&connecting.connector, text));
	ASSERT_ERROR(pro_asynch_connector_connect_to(&connecting.connector, text), PRO_EBUSY);
	RUN_UNTIL(world, connecting.recorder->count[EVENT_OPEN] == 1);
	ck_assert_uint_eq(connecting.verdicts, 1);
	ASSERT_OK(connecting.error);
	ck_assert(pro_addr_equal(
			&connecting.recorder->service.remote, pro_asynch_acceptor_addr(&server.acceptor)));
	recorder_close(connecting.recorder);
	connecting_fini(&connecting, world);
	echo_server_close(world, &server);
}

void scenario_connector_resolves_names_without_blocking(struct world *world)
{
	struct connecting connecting;
	struct echo_server server;
	char text[64];

	world_open(world);
	ASSERT_OK(echo_server_open(&server, world->proactor, ANY_INET));
	connecting_init(&connecting, world);
	snprintf(text, sizeof(text), "localhost:%u",
			pro_addr_port(pro_asynch_acceptor_addr(&server.acceptor)));
	ASSERT_OK(pro_asynch_connector_connect_to(&connecting.connector, text));
	RUN_UNTIL(world, connecting.verdicts);
	ASSERT_OK(connecting.error);
	RUN_UNTIL(world, connecting.recorder->count[EVENT_OPEN]);
	recorder_close(connecting.recorder);
	connecting_fini(&connecting, world);
	echo_server_close(world, &server);
}

void scenario_connector_reports_refusals_and_cancels(struct world *world)
{
	struct connecting connecting;
	struct pro_addr nobody = world_addr("127.0.0.1:1");
	struct recorder *listener;
	struct pro_addr addr;

	world_open(world);
	listener = recorder_create(world, "listener");
	addr = recorder_listen(listener, ANY_INET);
	connecting_init(&connecting, world);
	connecting.recorder->is_traced = false; /* the cancel may lose */
	ASSERT_ERROR(pro_asynch_connector_cancel(&connecting.connector), PRO_ENOTFOUND);
	ASSERT_ERROR(pro_asynch_connector_connect_to(&connecting.connector, "nonsense"), PRO_EINVAL);
	ASSERT_OK(pro_asynch_connector_connect(&connecting.connector, &nobody, NULL));
	RUN_UNTIL(world, connecting.verdicts == 1);
	ASSERT_ERROR(connecting.error, PRO_ECONNREFUSED);
	ASSERT_OK(pro_asynch_connector_connect(&connecting.connector, &addr, NULL));
	ASSERT_OK(pro_asynch_connector_cancel(&connecting.connector));
	RUN_UNTIL(world, connecting.verdicts == 2);
	ck_assert(connecting.error == PRO_ECANCELED || connecting.error == 0);
	RUN_UNTIL(world, connecting.error || connecting.recorder->count[EVENT_OPEN]);
	recorder_close(connecting.recorder);
	connecting_fini(&connecting, world);
	ck_assert_uint_eq(connecting.verdicts, 2);
}

/* ---- 25 ---- */

#define PEERS       world_number(100, 100)
#define BATCHES_MAX 4

struct firehose {
	struct pro_message_block in, out;
	unsigned char bytes[65536];
	unsigned char in_bytes[65536];
	bool is_over;
};

static void firehose_on_event(struct recorder *recorder, const struct event *event)
{
	struct firehose *hose = recorder->context;

	if (event->error || hose->is_over)
		return;
	if (event->kind == EVENT_READ_STREAM) {
		pro_message_block_reset(&hose->in);
		ASSERT_OK(recorder_read(recorder, &hose->in, 0));
	} else if (event->kind == EVENT_WRITE_STREAM) {
		pro_message_block_init_filled(&hose->out, hose->bytes, sizeof(hose->bytes));
		ASSERT_OK(recorder_write(recorder, &hose->out));
	}
}

/* 100 peers play ping-pong beside a stream that is always ready in both directions. */
void scenario_firehose_does_not_starve_100_peers(struct world *world)
{
	const unsigned rounds = world_number(100, 100);
	struct echo_client *clients = calloc(PEERS, sizeof(*clients));
	struct firehose *hose = calloc(1, sizeof(*hose));
	struct recorder *sides[2];
	struct echo_server server;
	uint64_t slowest = 0;

	world->is_traced = false;
	world_open(world);
	ASSERT_OK(echo_server_open(&server, world->proactor, ANY_INET));
	sides[0] = recorder_create(world, "hose left");
	sides[1] = recorder_create(world, "hose right");
	recorder_tcp_pair(sides[0], sides[1], ANY_INET);
	sides[0]->context = hose;
	sides[1]->context = hose;
	sides[0]->on_event = firehose_on_event;
	sides[1]->on_event = firehose_on_event;
	pro_message_block_init(&hose->in, hose->in_bytes, sizeof(hose->in_bytes));
	pro_message_block_init_filled(&hose->out, hose->bytes, sizeof(hose->bytes));
	ASSERT_OK(recorder_read(sides[0], &hose->in, 0));
	ASSERT_OK(recorder_write(sides[1], &hose->out));
	for (unsigned i = 0; i < PEERS; i++) {
		echo_client_init(&clients[i], world, "client", 64 * rounds, 64);
		echo_client_connect(&clients[i], pro_asynch_acceptor_addr(&server.acceptor));
	}
	for (unsigned i = 0; i < PEERS; i++)
		RUN_UNTIL(world, clients[i].is_done);
	for (unsigned i = 0; i < PEERS; i++)
		slowest = clients[i].batches_max > slowest ? clients[i].batches_max : slowest;
	hose->is_over = true;
	ck_assert_uint_gt(sides[0]->bytes[EVENT_READ_STREAM], sizeof(hose->bytes));
	world_close_recorders(world);
	echo_server_close(world, &server);
	/* An echo is two waits for bytes, that of the server and that of the client. A simulated
	 * network has latency; a turn of a shared loop is short, since others may go on. */
	ck_assert_msg(world_is_simulated() || world_is_shared() || slowest <= 2 * BATCHES_MAX,
			"a peer waited %llu turns of the loop for its echo", (unsigned long long)slowest);
	free(hose);
	free(clients);
}

/* ---- connects that hang ---- */

#define FILLERS 8

/* A listener whose queue is full: who connects to it waits. */
static struct pro_addr make_a_full_listener(struct world *world, struct recorder **hanging)
{
	struct recorder *listener = recorder_create(world, "listener");
	struct pro_addr addr = world_addr(ANY_INET);
	pro_handle handle;

	listener->is_traced = false;
	ASSERT_OK(pro_socket_listen(world->proactor, &addr, 1, &handle));
	pro_handler_set_handle(recorder_handler(listener), handle);
	ASSERT_OK(pro_socket_local_addr(world->proactor, handle, &addr));
	for (unsigned i = 0; i < FILLERS; i++) {
		hanging[i] = recorder_create(world, "connecting");
		hanging[i]->is_traced = false;
		recorder_open_free(hanging[i]);
		ASSERT_OK(STARTED(hanging[i], CONNECT,
				pro_asynch_connect_connect(&hanging[i]->connect, &addr, NULL)));
	}
	world_run_for(world, 30);
	ck_assert(pro_operation_in_flight(&hanging[FILLERS - 1]->connect.operation));
	return addr;
}

void scenario_hanging_connects_are_cancelled_and_closed(struct world *world)
{
	struct recorder *hanging[FILLERS];

	world_open(world);
	make_a_full_listener(world, hanging);
	ASSERT_OK(recorder_cancel(&hanging[FILLERS - 1]->connect.operation));
	RUN_UNTIL(world, hanging[FILLERS - 1]->count[EVENT_CONNECT]);
	ASSERT_ERROR(hanging[FILLERS - 1]->last[EVENT_CONNECT].error, PRO_ECANCELED);
	ck_assert(pro_operation_in_flight(&hanging[FILLERS - 2]->connect.operation));
	recorder_close(hanging[FILLERS - 2]);
	RUN_UNTIL(world, hanging[FILLERS - 2]->is_closed);
	ASSERT_ERROR(hanging[FILLERS - 2]->last[EVENT_CONNECT].error, PRO_ECANCELED);
}

void scenario_hanging_connect_times_out(struct world *world)
{
	struct recorder *hanging[FILLERS], *late;
	struct pro_addr addr;
	uint64_t start_ms;

	world_open(world);
	addr = make_a_full_listener(world, hanging);
	late = recorder_create(world, "late");
	recorder_open_free(late);
	ASSERT_OK(pro_operation_set_timeout(&late->connect.operation, 40));
	start_ms = pro_proactor_now_ms(world->proactor);
	ASSERT_OK(STARTED(late, CONNECT, pro_asynch_connect_connect(&late->connect, &addr, NULL)));
	RUN_UNTIL(world, late->count[EVENT_CONNECT]);
	ASSERT_ERROR(late->last[EVENT_CONNECT].error, PRO_ETIMEDOUT);
	ck_assert_uint_ge(pro_proactor_now_ms(world->proactor) - start_ms, 40);
}

void scenario_connector_times_out(struct world *world)
{
	struct recorder *hanging[FILLERS];
	struct connecting connecting;
	struct pro_addr addr;

	world_open(world);
	addr = make_a_full_listener(world, hanging);
	connecting_init(&connecting, world);
	ASSERT_OK(pro_asynch_connector_set_timeout(&connecting.connector, 40));
	ASSERT_OK(pro_asynch_connector_connect(&connecting.connector, &addr, NULL));
	RUN_UNTIL(world, connecting.verdicts == 1);
	ASSERT_ERROR(connecting.error, PRO_ETIMEDOUT);
	ASSERT_OK(pro_asynch_connector_set_timeout(&connecting.connector, PRO_NO_TIMEOUT));
	ASSERT_OK(pro_asynch_connector_connect(&connecting.connector, &addr, NULL));
	pro_asynch_connector_close(&connecting.connector);
	RUN_UNTIL(world, connecting.is_closed);
	ck_assert_uint_eq(connecting.verdicts, 2);
	ASSERT_ERROR(connecting.error, PRO_ECANCELED);
}
