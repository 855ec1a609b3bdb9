/* A session about connections that come and go: an acceptor that is closed, and opened again, while
 * they come; a connector that is cancelled, timed out and at last closed while it tries. Nothing
 * goes wrong by chance. */
#include "laws.h"

#include <proactor/asynch_timer.h>
#include <proactor/socket.h>

#include <stdlib.h>
#include <string.h>

#define ATTEMPTS   16u
#define OPENINGS   6u
#define PAUSE_MS   3u
#define TIMEOUT_MS 3000
#define SLACK_MS   20
#define LOCAL_PORT 9000u

struct doors {
	struct pro_sim *sim;
	struct pro_proactor *server;
	struct pro_proactor *client;
	struct pro_proactor *wall; /* nothing comes from there */
	pro_handle walls[2];
	struct pro_asynch_acceptor acceptor;
	bool is_open;
	bool is_closing; /* its close was asked for */
	unsigned openings;

	struct pro_asynch_connector connector;
	struct pro_handler caller;
	struct pro_asynch_timer pause;
	unsigned attempts;
	bool is_trying;
	bool is_cancelled;
	bool is_good; /* some address of it is the server's, which is open */
	bool has_local;
	uint64_t began_ns;
	uint64_t cancelled_ns;
	int64_t timeout_ms;
	bool is_connector_closing;
	bool is_connector_closed;
	unsigned links;
};

/* One side of a connection. It ends when the other does, or soon. */
struct link {
	struct pro_service_handler service;
	struct doors *doors;
	struct pro_asynch_timer timer;
	bool is_client;
};

/* ---- connections ---- */

static struct link *link_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct link, service.handler);
}

static void link_open(struct pro_service_handler *service)
{
	struct link *link = link_from_handler(&service->handler);
	struct doors *doors = link->doors;

	if (link->is_client && (pro_addr_port(&service->local) == LOCAL_PORT) != doors->has_local)
		pro_sim_fail(doors->sim, "a connection from another address");
	if (pro_asynch_timer_open(&link->timer, &service->handler, NULL) ||
			pro_asynch_timer_schedule(&link->timer, (int64_t)pro_sim_choose(doors->sim, PAUSE_MS)))
		pro_sim_fail(doors->sim, "a connection is opened that should not be");
}

static void link_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	(void)result;
	pro_handler_close(handler);
}

static void link_handle_close(struct pro_handler *handler)
{
	struct link *link = link_from_handler(handler);

	link->doors->links--;
	free(link);
}

static const struct pro_service_handler_vtbl link_vtbl = {
		.handler.handle_time_out = link_handle_time_out,
		.handler.handle_close = link_handle_close,
		.open = link_open,
};

/* One in six is not wanted. */
static struct pro_service_handler *link_create(
		struct doors *doors, struct pro_proactor *proactor, bool is_client)
{
	struct link *link = pro_sim_choose(doors->sim, 6) > 0 ? calloc(1, sizeof(*link)) : NULL;

	if (!link)
		return NULL;
	link->doors = doors;
	link->is_client = is_client;
	pro_service_handler_init(&link->service, &link_vtbl, proactor);
	doors->links++;
	return &link->service;
}

/* ---- the acceptor ---- */

static struct doors *doors_from_acceptor(struct pro_asynch_acceptor *acceptor)
{
	return pro_container_of(acceptor, struct doors, acceptor);
}

static void doors_close(struct doors *doors)
{
	doors->is_good = false;
	doors->is_closing = true;
	pro_asynch_acceptor_close(&doors->acceptor);
}

static struct pro_service_handler *acceptor_make_handler(struct pro_asynch_acceptor *acceptor)
{
	struct doors *doors = doors_from_acceptor(acceptor);

	if (doors->is_closing || !doors->is_open)
		pro_sim_fail(doors->sim, "a handler is made for an acceptor that closes");
	if (pro_sim_choose(doors->sim, 8) == 0)
		doors_close(doors);
	return link_create(doors, doors->server, false);
}

static int acceptor_validate_connection(struct pro_asynch_acceptor *acceptor,
		const struct pro_addr *local, const struct pro_addr *remote)
{
	struct doors *doors = doors_from_acceptor(acceptor);

	(void)local;
	(void)remote;
	if (doors->is_closing)
		pro_sim_fail(doors->sim, "an acceptor that closes is asked about a connection");
	return pro_sim_choose(doors->sim, 6) == 0;
}

static void acceptor_handle_close(struct pro_asynch_acceptor *acceptor)
{
	struct doors *doors = doors_from_acceptor(acceptor);

	if (!doors->is_closing)
		pro_sim_fail(doors->sim, "the acceptor closes, and nobody asked");
	doors->is_open = false;
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {
		.make_handler = acceptor_make_handler,
		.validate_connection = acceptor_validate_connection,
		.handle_close = acceptor_handle_close,
};

static int doors_open(struct doors *doors)
{
	struct pro_addr addr;

	doors->openings++;
	doors->is_open = true;
	doors->is_closing = false;
	pro_addr_parse(&addr, "10.0.0.1:7007");
	return pro_asynch_acceptor_open(&doors->acceptor, &acceptor_vtbl, doors->server, &addr);
}

/* ---- the connector ---- */

static struct doors *doors_from_connector(struct pro_asynch_connector *connector)
{
	return pro_container_of(connector, struct doors, connector);
}

static void doors_pause(struct doors *doors)
{
	pro_asynch_timer_schedule(&doors->pause, (int64_t)pro_sim_choose(doors->sim, PAUSE_MS));
}

static int connector_validate_connection(
		struct pro_asynch_connector *connector, int error, const struct pro_addr *remote)
{
	struct doors *doors = doors_from_connector(connector);
	const uint64_t elapsed_ms = (pro_sim_now_ns(doors->sim) - doors->began_ns) / 1000000;

	(void)remote;
	if (!doors->is_trying)
		pro_sim_fail(doors->sim, "an end of a connect that nobody began");
	doors->is_trying = false;
	if (error == PRO_ECANCELED && !doors->is_cancelled && !doors->is_connector_closing)
		pro_sim_fail(doors->sim, "a connect is cancelled, and nobody asked");
	if (error && doors->is_good && !doors->is_closing && !doors->is_cancelled &&
			!doors->is_connector_closing && doors->timeout_ms < 0)
		pro_sim_fail(
				doors->sim, "an address that is there is not tried: %s", pro_error_name(error));
	if (doors->timeout_ms >= 0 && elapsed_ms > (uint64_t)doors->timeout_ms + SLACK_MS)
		pro_sim_fail(doors->sim, "a connect takes %u ms longer than it may",
				(unsigned)(elapsed_ms - (uint64_t)doors->timeout_ms));
	if (doors->is_cancelled &&
			pro_sim_now_ns(doors->sim) > doors->cancelled_ns + SLACK_MS * UINT64_C(1000000))
		pro_sim_fail(doors->sim, "a cancel does not end the tries");
	if (error)
		doors_pause(doors);
	if (!error && pro_sim_choose(doors->sim, 4) == 0) {
		doors_pause(doors);
		return 1;
	}
	return 0;
}

static struct pro_service_handler *connector_make_handler(struct pro_asynch_connector *connector)
{
	struct doors *doors = doors_from_connector(connector);

	if (doors->is_connector_closing)
		pro_sim_fail(doors->sim, "a handler is made for a connector that closes");
	doors_pause(doors);
	return link_create(doors, doors->client, true);
}

static void connector_handle_close(struct pro_asynch_connector *connector)
{
	struct doors *doors = doors_from_connector(connector);

	if (doors->is_trying)
		pro_sim_fail(doors->sim, "the connector closes before its connect has ended");
	doors->is_connector_closed = true;
}

static const struct pro_asynch_connector_vtbl connector_vtbl = {
		.make_handler = connector_make_handler,
		.validate_connection = connector_validate_connection,
		.handle_close = connector_handle_close,
};

/* To the server, to what is not there, or to what does not answer. */
static void doors_try(struct doors *doors)
{
	static const char *const targets[] = {"10.0.0.1:7007", "10.0.0.200:7007", "good.example:7007",
			"late.example:7007", "wall.example:7007"};
	const unsigned way = (unsigned)pro_sim_choose(doors->sim, 6);
	struct pro_addr remote;
	struct pro_addr local;
	int error;

	doors->attempts++;
	doors->is_cancelled = false;
	doors->began_ns = pro_sim_now_ns(doors->sim);
	doors->is_good = (way == 0 || way == 2 || way == 3) && doors->is_open && !doors->is_closing;
	/* What does not answer takes minutes. */
	doors->timeout_ms =
			doors->is_good && pro_sim_choose(doors->sim, 3) > 0 ? PRO_NO_TIMEOUT : TIMEOUT_MS;
	pro_asynch_connector_set_timeout(&doors->connector, doors->timeout_ms);
	doors->has_local = way == 5;
	if (way < 5) {
		error = pro_asynch_connector_connect_to(&doors->connector, targets[way]);
	} else {
		pro_addr_parse(&remote, targets[0]);
		pro_addr_parse(&local, "10.0.0.2:9000");
		error = pro_asynch_connector_connect(&doors->connector, &remote, &local);
	}
	doors->is_trying = error == 0;
	if (error)
		pro_sim_fail(doors->sim, "a connect is refused: %s", pro_error_name(error));
}

static void caller_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct doors *doors = pro_container_of(handler, struct doors, caller);

	if (result->error || doors->is_connector_closing)
		return;
	if (doors->attempts < ATTEMPTS) {
		doors_try(doors);
		return;
	}
	doors->is_connector_closing = true;
	pro_asynch_connector_close(&doors->connector);
}

static void caller_handle_close(struct pro_handler *handler)
{
	(void)handler;
}

static const struct pro_handler_vtbl caller_vtbl = {
		.handle_time_out = caller_handle_time_out,
		.handle_close = caller_handle_close,
};

/* ---- the session ---- */

static void add_host(struct doors *doors, const char *name, const char *address)
{
	struct pro_addr addr;

	pro_addr_parse(&addr, address);
	pro_sim_add_host(doors->sim, name, &addr);
}

/* One more address that does not answer. */
static int doors_build_wall(struct doors *doors, const char *address, pro_handle *wall)
{
	struct pro_addr addr;

	pro_addr_parse(&addr, address);
	pro_sim_add_host(doors->sim, "wall.example", &addr);
	pro_sim_partition(doors->sim, doors->client, doors->wall, -1);
	return pro_socket_listen(doors->wall, &addr, 0, wall);
}

static int doors_set_up(struct pro_sim *sim, void **context)
{
	struct doors *doors = calloc(1, sizeof(*doors));
	int error;

	if (!doors)
		return PRO_ENOMEM;
	*context = doors;
	doors->sim = sim;
	add_host(doors, "good.example", "10.0.0.1:0");
	add_host(doors, "late.example", "10.0.0.200:0");
	add_host(doors, "late.example", "10.0.0.1:0");
	error = pro_sim_proactor_create(sim, "server", NULL, &doors->server);
	if (!error)
		error = pro_sim_proactor_create(sim, "client", NULL, &doors->client);
	if (!error)
		error = pro_sim_proactor_create(sim, "wall", NULL, &doors->wall);
	if (!error)
		error = doors_build_wall(doors, "10.0.0.3:7007", &doors->walls[0]);
	if (!error)
		error = doors_build_wall(doors, "[fd00::3]:7007", &doors->walls[1]);
	if (!error)
		error = doors_open(doors);
	if (!error)
		error = pro_asynch_connector_open(&doors->connector, &connector_vtbl, doors->client);
	if (!error)
		error = pro_handler_init(&doors->caller, &caller_vtbl, doors->client);
	if (!error)
		error = pro_asynch_timer_open(&doors->pause, &doors->caller, NULL);
	if (!error)
		doors_pause(doors);
	return error;
}

static void doors_cancelled(struct doors *doors)
{
	doors->is_cancelled = true;
	doors->cancelled_ns = pro_sim_now_ns(doors->sim);
}

/* Between the steps of the world, as another thread would. */
static void doors_check(struct pro_sim *sim, void *context)
{
	struct doors *doors = context;

	if (doors->is_connector_closed)
		return;
	if (!doors->is_open && doors->openings < OPENINGS && doors_open(doors))
		pro_sim_fail(sim, "the acceptor can not be opened again");
	if (doors->is_open && !doors->is_closing && pro_sim_choose(sim, 60) == 0)
		doors_close(doors);
	if (doors->is_connector_closing || !doors->is_trying)
		return;
	if (!doors->is_cancelled && pro_sim_choose(sim, 20) == 0 &&
			!pro_asynch_connector_cancel(&doors->connector))
		doors_cancelled(doors);
	else if (pro_sim_choose(sim, 200) == 0) {
		doors->is_connector_closing = true;
		pro_asynch_connector_close(&doors->connector);
	}
}

static bool doors_is_done(struct pro_sim *sim, void *context)
{
	struct doors *doors = context;

	(void)sim;
	if (!doors->is_connector_closed)
		return false;
	if (doors->is_open && !doors->is_closing)
		doors_close(doors);
	return !doors->is_open && doors->links == 0;
}

static void doors_stop(struct pro_sim *sim, void *context)
{
	struct doors *doors = context;

	(void)sim;
	for (unsigned i = 0; i < 2; i++)
		pro_proactor_close_handle(doors->wall, doors->walls[i]);
}

static void doors_tear_down(struct pro_sim *sim, void *context)
{
	(void)sim;
	free(context);
}

void doors_test_init(struct pro_sim_test *test)
{
	pro_sim_test_init(test);
	test->options.faults = 0;
	test->set_up = doors_set_up;
	test->is_done = doors_is_done;
	test->check = doors_check;
	test->stop = doors_stop;
	test->tear_down = doors_tear_down;
}
