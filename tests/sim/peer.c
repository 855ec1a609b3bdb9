/* A client that connects again and again until it is done. */
#include "peer.h"

#include <string.h>

#define PAUSE_MS 200u

void *object_create(struct pro_proactor *proactor, size_t size)
{
	const struct pro_allocator *allocator = pro_proactor_allocator(proactor);
	void *object = allocator->allocate(allocator->context, size);

	return object ? memset(object, 0, size) : NULL;
}

void object_free(struct pro_proactor *proactor, void *object)
{
	const struct pro_allocator *allocator = pro_proactor_allocator(proactor);

	allocator->deallocate(allocator->context, object);
}

static struct peer *peer_from_connector(struct pro_asynch_connector *connector)
{
	return pro_container_of(connector, struct peer, connector);
}

void peer_lost(struct peer *peer)
{
	if (!peer->is_done)
		pro_asynch_timer_schedule(
				&peer->timer, (int64_t)(1 + pro_proactor_random(peer->proactor) % PAUSE_MS));
}

static int peer_validate_connection(
		struct pro_asynch_connector *connector, int error, const struct pro_addr *remote)
{
	(void)remote;
	if (error && !is_planted(BUG_LOST_RETRY))
		peer_lost(peer_from_connector(connector));
	return 0;
}

static struct pro_service_handler *peer_make_handler(struct pro_asynch_connector *connector)
{
	struct peer *peer = peer_from_connector(connector);

	return peer->make_link(peer);
}

static const struct pro_asynch_connector_vtbl connector_vtbl = {
		.make_handler = peer_make_handler,
		.validate_connection = peer_validate_connection,
};

static void peer_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct peer *peer = pro_container_of(handler, struct peer, handler);

	if (!result->error && pro_asynch_connector_connect_to(&peer->connector, peer->target))
		peer_lost(peer);
}

/* A broken stream of the handler in the test that keeps a handle too long. */
static void peer_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	(void)handler;
	(void)result;
}

static void peer_handle_close(struct pro_handler *handler)
{
	(void)handler;
}

static const struct pro_handler_vtbl peer_vtbl = {
		.handle_time_out = peer_handle_time_out,
		.handle_write_stream = peer_handle_write_stream,
		.handle_close = peer_handle_close,
};

int peer_start(struct peer *peer, struct pro_sim *sim, unsigned number, const char *target)
{
	int error = pro_sim_proactor_create(sim, "client", NULL, &peer->proactor);

	peer->sim = sim;
	peer->number = number;
	peer->target = target;
	if (!error)
		error = pro_handler_init(&peer->handler, &peer_vtbl, peer->proactor);
	if (!error)
		error = pro_asynch_timer_open(&peer->timer, &peer->handler, NULL);
	if (!error)
		error = pro_asynch_connector_open(&peer->connector, &connector_vtbl, peer->proactor);
	if (!error)
		error = pro_asynch_connector_set_timeout(&peer->connector, 5000);
	if (!error)
		peer_lost(peer);
	return error;
}
