/* A client of a simulated service. */
#include "client.h"

#include <stdarg.h>
#include <string.h>

#include "../../samples/common/sample.h"

/* Instead of that of the samples (see CMakeLists.txt): formats, so that what is logged is read, and
 * prints nothing. */
void __wrap_sample_log(const char *format, ...);

void __wrap_sample_log(const char *format, ...)
{
	char line[SAMPLE_LOG_BYTES];
	va_list arguments;

	va_start(arguments, format);
	CHECK(vsnprintf(line, sizeof(line), format, arguments) >= 0);
	va_end(arguments);
}

static struct client *client_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct client, service.handler);
}

static void client_send(struct client *client)
{
	size_t bytes = client->input.size < client->piece ? client->input.size : client->piece;

	if (bytes == 0) {
		pro_asynch_write_stream_shutdown(&client->writer);
		return;
	}
	memcpy(client->out_bytes, client->input.data, bytes);
	client->input.data += bytes;
	client->input.size -= bytes;
	pro_message_block_init_filled(&client->out, client->out_bytes, bytes);
	if (pro_asynch_write_stream_write(&client->writer, &client->out))
		pro_handler_close(&client->service.handler);
}

static void client_read(struct client *client)
{
	pro_message_block_reset(&client->in);
	if (pro_asynch_read_stream_read(&client->reader, &client->in, 0))
		pro_handler_close(&client->service.handler);
}

static void client_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct client *client = client_from_handler(handler);

	client->received += result->bytes_transferred;
	if (result->error)
		pro_handler_close(handler);
	else
		client_read(client);
}

static void client_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	if (!result->error)
		client_send(client_from_handler(handler));
}

static void client_handle_close(struct pro_handler *handler)
{
	client_from_handler(handler)->is_closed = true;
}

static void client_open(struct pro_service_handler *service)
{
	struct client *client = client_from_handler(&service->handler);
	struct pro_handler *handler = &service->handler;

	CHECK(pro_asynch_read_stream_open(&client->reader, handler, PRO_INVALID_HANDLE, NULL) == 0);
	CHECK(pro_asynch_write_stream_open(&client->writer, handler, PRO_INVALID_HANDLE, NULL) == 0);
	client_read(client);
	client_send(client);
}

static const struct pro_service_handler_vtbl client_vtbl = {
		.handler.handle_read_stream = client_handle_read_stream,
		.handler.handle_write_stream = client_handle_write_stream,
		.handler.handle_close = client_handle_close,
		.open = client_open,
};

static struct pro_service_handler *client_make_handler(struct pro_asynch_connector *connector)
{
	struct client *client = pro_container_of(connector, struct client, connector);

	CHECK(pro_service_handler_init(
				  &client->service, &client_vtbl, pro_handler_proactor(&connector->handler)) == 0);
	return &client->service;
}

static const struct pro_asynch_connector_vtbl connector_vtbl = {
		.make_handler = client_make_handler,
};

struct pro_sim *client_world(struct pro_proactor **service)
{
	struct pro_sim_options options;
	struct pro_sim *sim;

	pro_sim_options_init(&options);
	options.faults = 0;
	CHECK(pro_sim_create(&sim, &options) == 0);
	CHECK(pro_sim_proactor_create(sim, "service", NULL, service) == 0);
	return sim;
}

void client_start(struct client *client, struct pro_sim *sim, struct input input, size_t piece)
{
	struct pro_proactor *proactor;

	memset(client, 0, sizeof(*client));
	client->input = input;
	client->piece = piece < sizeof(client->out_bytes) ? piece : sizeof(client->out_bytes);
	pro_message_block_init(&client->in, client->in_bytes, sizeof(client->in_bytes));
	CHECK(pro_sim_proactor_create(sim, "client", NULL, &proactor) == 0);
	CHECK(pro_asynch_connector_open(&client->connector, &connector_vtbl, proactor) == 0);
	CHECK(pro_asynch_connector_connect_to(&client->connector, CLIENT_TARGET) == 0);
}

static bool client_is_closed(void *context)
{
	return ((const struct client *)context)->is_closed;
}

void client_finish(struct client *client, struct pro_sim *sim)
{
	int error = pro_sim_run_until(sim, client_is_closed, client, CLIENT_LIMIT);

	if (error && pro_sim_failure(sim))
		fprintf(stderr, "%s\n", pro_sim_failure(sim));
	CHECK(error == 0);
}

void client_end_world(struct pro_sim *sim)
{
	if (pro_sim_end(sim))
		fprintf(stderr, "%s\n", pro_sim_failure(sim));
	CHECK(!pro_sim_failure(sim));
	pro_sim_destroy(sim);
}
