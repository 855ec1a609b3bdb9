/* The session: machines, connections, the table, and the end of it all. */
#include "laws.h"

#include <proactor/file.h>
#include <proactor/socket.h>

#include <stdio.h>
#include <string.h>

#define GUESTS      3u
#define WHOLE       2u /* connections of each guest that end well */
#define ATTEMPTS    5u /* that may end by mischief */
#define PAUSE_MS    100u
#define FIRST_PORT  20000u
#define HANDLES_MAX 12u /* of the server: more connections than fit come at times */

/* A client: connects again until enough of its connections ended well. */
struct guest {
	struct pro_handler handler; /* lives as long as its proactor */
	struct laws_session *session;
	struct machine *machine;
	struct pro_asynch_connector connector;
	struct pro_asynch_timer timer;
	unsigned connects;
	unsigned attempts;
	unsigned whole;
	bool is_done;
};

void *laws_allocate(struct laws *laws, size_t size)
{
	const struct pro_allocator *allocator = pro_sim_allocator(laws->sim);
	void *memory = allocator->allocate(allocator->context, size);

	return memory ? memset(memory, 0, size) : NULL;
}

void laws_free(struct laws *laws, void *memory)
{
	const struct pro_allocator *allocator = pro_sim_allocator(laws->sim);

	allocator->deallocate(allocator->context, memory);
}

const unsigned char *direction_bytes(const struct laws_session *session,
		const struct connection *connection, unsigned side, uint64_t offset)
{
	return session->table +
		   (offset + connection->number * 613 + (uint64_t)side * 1777) % TABLE_BYTES;
}

/* ---- guests ---- */

bool guest_is_wild(const struct guest *guest)
{
	return guest->attempts < ATTEMPTS && !guest->session->laws.is_calm;
}

static void guest_connect_later(struct guest *guest)
{
	if (!guest->is_done && !guest->session->laws.is_over)
		pro_asynch_timer_schedule(
				&guest->timer, (int64_t)laws_choose(&guest->session->laws, PAUSE_MS));
}

void guest_lost(struct guest *guest, bool is_whole)
{
	if (is_whole && ++guest->whole == WHOLE) {
		guest->is_done = true;
		guest->session->guests_done++;
	}
	guest_connect_later(guest);
}

static struct guest *guest_from_connector(struct pro_asynch_connector *connector)
{
	return pro_container_of(connector, struct guest, connector);
}

static int guest_validate_connection(
		struct pro_asynch_connector *connector, int error, const struct pro_addr *remote)
{
	(void)remote;
	if (error)
		guest_connect_later(guest_from_connector(connector));
	return 0;
}

static struct pro_service_handler *guest_make_handler(struct pro_asynch_connector *connector)
{
	struct guest *guest = guest_from_connector(connector);

	guest->attempts++;
	return end_create(guest->machine, guest);
}

static const struct pro_asynch_connector_vtbl connector_vtbl = {
		.make_handler = guest_make_handler,
		.validate_connection = guest_validate_connection,
};

/* From a port of its own each time, by which both sides are told to belong together. */
static int guest_connect(struct guest *guest)
{
	struct pro_addr local;
	struct pro_addr server;
	char text[32];

	snprintf(text, sizeof(text), "10.0.0.%u:%u", guest->machine->number + 1,
			FIRST_PORT + guest->connects++);
	pro_addr_parse(&local, text);
	pro_addr_parse(&server, "10.0.0.1:7007");
	return pro_asynch_connector_connect(&guest->connector, &server, &local);
}

static void guest_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct guest *guest = pro_container_of(handler, struct guest, handler);

	if (!result->error && guest_connect(guest))
		guest_connect_later(guest);
}

static void guest_handle_close(struct pro_handler *handler)
{
	(void)handler;
}

static const struct pro_handler_vtbl guest_vtbl = {
		.handle_time_out = guest_handle_time_out,
		.handle_close = guest_handle_close,
};

static int guest_start(struct guest *guest, struct laws_session *session, struct machine *machine)
{
	int error = pro_handler_init(&guest->handler, &guest_vtbl, machine->proactor);

	guest->session = session;
	guest->machine = machine;
	if (!error)
		error = pro_asynch_timer_open(&guest->timer, &guest->handler, NULL);
	if (!error)
		error = pro_asynch_connector_open(&guest->connector, &connector_vtbl, machine->proactor);
	if (!error)
		error = pro_asynch_connector_set_timeout(&guest->connector, 5000);
	if (!error)
		guest_connect_later(guest);
	return error;
}

/* ---- the server ---- */

static struct pro_service_handler *acceptor_make_handler(struct pro_asynch_acceptor *acceptor)
{
	struct laws_session *session = pro_container_of(acceptor, struct laws_session, acceptor);

	/* One in eight is not wanted. */
	if (!session->laws.is_calm && laws_chance(&session->laws, 8))
		return NULL;
	return end_create(&session->machines[0], NULL);
}

static void acceptor_handle_close(struct pro_asynch_acceptor *acceptor)
{
	pro_container_of(acceptor, struct laws_session, acceptor)->is_acceptor_open = false;
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {
		.make_handler = acceptor_make_handler,
		.handle_close = acceptor_handle_close,
};

static int server_open(struct laws_session *session)
{
	struct pro_asynch_acceptor_options options;
	struct pro_addr addr;
	int error;

	pro_asynch_acceptor_options_init(&options);
	options.initial_accepts = 1 + laws_choose(&session->laws, 4);
	pro_addr_parse(&addr, "10.0.0.1:7007");
	pro_sim_add_host(session->laws.sim, "server.example", &addr);
	error = pro_asynch_acceptor_open_with(
			&session->acceptor, &acceptor_vtbl, session->machines[0].proactor, &addr, &options);
	session->is_acceptor_open = !error;
	return error;
}

/* ---- the session ---- */

static int machine_start(struct laws_session *session, unsigned number)
{
	struct machine *machine = &session->machines[number];
	struct pro_proactor_options options;
	int error;

	pro_proactor_options_init(&options);
	/* So few that readers wait for them. */
	options.lent_blocks = 1u << laws_choose(&session->laws, 3);
	error = pro_sim_proactor_create(
			session->laws.sim, number ? "client" : "server", &options, &machine->proactor);
	if (error)
		return error;
	session->machines_count++;
	machine->session = session;
	machine->number = number;
	machine->table = PRO_INVALID_HANDLE;
	/* A table that can not be opened is done without. */
	pro_file_open(machine->proactor, TABLE_PATH, PRO_FILE_READ, &machine->table);
	return 0;
}

static void make_table(struct laws_session *session)
{
	uint32_t state = 1;

	for (unsigned i = 0; i < 2 * TABLE_BYTES; i++) {
		state = state * UINT32_C(1664525) + UINT32_C(1013904223);
		session->table[i] =
				i < TABLE_BYTES ? (unsigned char)(state >> 24) : session->table[i - TABLE_BYTES];
	}
}

static int laws_set_up(struct pro_sim *sim, void **context)
{
	const struct pro_allocator *allocator = pro_sim_allocator(sim);
	struct laws_session *session = allocator->allocate(allocator->context, sizeof(*session));
	unsigned guests = pro_sim_parameter(sim);
	int error = 0;

	if (!session)
		return PRO_ENOMEM;
	memset(session, 0, sizeof(*session));
	*context = session;
	session->laws.sim = sim;
	session->has_resets =
			pro_sim_rate(sim, PRO_SIM_RESET) > 0 || pro_sim_rate(sim, PRO_SIM_ABORT) > 0;
	if (guests > MACHINES_MAX - 1)
		guests = MACHINES_MAX - 1;
	make_table(session);
	pro_sim_file_write(sim, TABLE_PATH, 0, session->table, sizeof(session->table));
	for (unsigned i = 0; !error && i <= guests; i++)
		error = machine_start(session, i);
	session->guests = laws_allocate(&session->laws, (guests + 1) * sizeof(*session->guests));
	if (!error)
		error = server_open(session);
	for (unsigned i = 0; !error && i <= guests; i++)
		error = waiter_start(&session->machines[i]);
	pro_sim_set_handles_max(sim, session->machines[0].proactor, HANDLES_MAX);
	for (unsigned i = 0; !error && i < guests; i++)
		error = guest_start(&session->guests[i], session, &session->machines[1 + i]);
	return error;
}

/* Everything at rest: nothing is in flight, as the library counts it too. */
static void check_rest(struct laws_session *session)
{
	for (unsigned i = 0; i < session->machines_count; i++) {
		struct pro_proactor_statistics statistics = {.size = sizeof(statistics)};

		pro_proactor_statistics(session->machines[i].proactor, &statistics);
		if (statistics.in_flight != 0 || statistics.started != statistics.completed)
			pro_sim_fail(session->laws.sim, "machine %u: %llu started, %llu completed at rest", i,
					(unsigned long long)statistics.started,
					(unsigned long long)statistics.completed);
		if (statistics.lent_blocks_used > 0)
			pro_sim_fail(session->laws.sim, "machine %u: lent blocks at rest", i);
		/* Those of the guest and its connector. */
		if (statistics.handlers > (i > 0 ? 2 : 0))
			pro_sim_fail(session->laws.sim, "machine %u: %llu handlers at rest", i,
					(unsigned long long)statistics.handlers);
	}
}

/* Half of the runs are closed in order; the others are shut down in their middle. */
static bool laws_is_done(struct pro_sim *sim, void *context)
{
	struct laws_session *session = context;

	if (session->guests_done < session->machines_count - 1)
		return false;
	session->laws.is_calm = true;
	if (!session->is_closing && !laws_owe_nothing(&session->laws))
		return false;
	if (pro_sim_parameter(sim) > 0 && session->connections_count % 2 == 0)
		return true;
	if (!session->is_closing) {
		session->is_closing = true;
		for (struct actor *actor = session->laws.actors; actor; actor = actor->next)
			actor_close(actor);
		pro_asynch_acceptor_close(&session->acceptor);
	}
	if (session->laws.actors_count > 0 || session->is_acceptor_open)
		return false;
	check_rest(session);
	return true;
}

/* Each accept is in flight, or rests for a while. */
static void check_acceptor(const struct laws_session *session)
{
	const struct pro_asynch_acceptor *acceptor = &session->acceptor;

	for (unsigned i = 0; !session->is_closing && i < acceptor->accepts_count; i++)
		if (!(acceptor->resting & (1u << i)) &&
				!pro_operation_in_flight(&acceptor->accepts[i].operation))
			pro_sim_fail(session->laws.sim, "accept %u of %u is not in flight", i,
					acceptor->accepts_count);
		else if ((acceptor->resting & (1u << i)) &&
				 pro_operation_in_flight(&acceptor->accepts[i].operation))
			pro_sim_fail(session->laws.sim, "accept %u of %u rests in flight", i,
					acceptor->accepts_count);
}

/* Between the steps of the world, as another thread would, some actor does something. */
static void laws_between(struct pro_sim *sim, void *context)
{
	struct laws_session *session = context;
	struct laws *laws = &session->laws;
	struct actor *actor = laws->actors;
	unsigned index;

	if (pro_sim_steps(sim) % 64 == 0) {
		laws_check(laws);
		check_acceptor(session);
	}
	if (pro_sim_now_ns(sim) > UINT64_C(1000000000000) + UINT64_C(60000000000))
		laws->is_calm = true;
	if (laws->is_calm || laws->actors_count == 0 || !laws_chance(laws, 6))
		return;
	for (index = laws_choose(laws, laws->actors_count); index > 0; index--)
		actor = actor->next;
	actor->act(actor, false);
}

static void laws_stop(struct pro_sim *sim, void *context)
{
	struct laws_session *session = context;

	(void)sim;
	if (!session)
		return;
	session->laws.is_over = true;
	for (unsigned i = 0; i < session->machines_count; i++)
		if (session->machines[i].table != PRO_INVALID_HANDLE)
			pro_proactor_close_handle(session->machines[i].proactor, session->machines[i].table);
}

static void laws_tear_down(struct pro_sim *sim, void *context)
{
	struct laws_session *session = context;
	struct laws laws = {.sim = sim};

	if (!session)
		return;
	if (session->laws.actors_count > 0 || session->is_acceptor_open)
		pro_sim_fail(sim, "%u handlers outlive their proactors", session->laws.actors_count);
	while (session->connections) {
		struct connection *connection = session->connections;

		session->connections = connection->next;
		laws_free(&laws, connection);
	}
	laws_free(&laws, session->guests);
	laws_free(&laws, session);
}

void laws_test_init(struct pro_sim_test *test)
{
	pro_sim_test_init(test);
	test->options.parameter = GUESTS;
	/* Silences come one after the other. */
	test->limit_ms = 2000000;
	test->options.queued_bytes_max = 600;
	test->set_up = laws_set_up;
	test->is_done = laws_is_done;
	test->check = laws_between;
	test->stop = laws_stop;
	test->tear_down = laws_tear_down;
}
