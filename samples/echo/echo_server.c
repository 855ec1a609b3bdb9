/* The echo server: sends back what it gets. One allocation per connection, none per operation. */
#include <proactor/asynch_acceptor.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_write_stream.h>

#include <stdlib.h>

#include "../common/sample.h"

struct echo {
	struct pro_service_handler service; /* owns the socket */
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_message_block block;
	unsigned char bytes[16384];
};

static struct echo *echo_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct echo, service.handler);
}

static void echo_read(struct echo *echo)
{
	pro_message_block_reset(&echo->block);
	if (pro_asynch_read_stream_read(&echo->reader, &echo->block, 0) < 0)
		pro_handler_close(&echo->service.handler);
}

static void echo_open(struct pro_service_handler *service)
{
	struct echo *echo = echo_from_handler(&service->handler);

	if (pro_asynch_read_stream_open(&echo->reader, &service->handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_write_stream_open(
					&echo->writer, &service->handler, PRO_INVALID_HANDLE, NULL)) {
		pro_handler_close(&service->handler);
		return;
	}
	pro_message_block_init(&echo->block, echo->bytes, sizeof(echo->bytes));
	echo_read(echo);
}

static void echo_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct echo *echo = echo_from_handler(handler);

	if (result->error || pro_asynch_write_stream_write(&echo->writer, result->block) < 0)
		pro_handler_close(handler);
}

static void echo_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	if (result->error)
		pro_handler_close(handler);
	else
		echo_read(echo_from_handler(handler));
}

static void echo_handle_close(struct pro_handler *handler)
{
	free(echo_from_handler(handler));
}

static const struct pro_service_handler_vtbl echo_vtbl = {
		.handler.handle_read_stream = echo_handle_read_stream,
		.handler.handle_write_stream = echo_handle_write_stream,
		.handler.handle_close = echo_handle_close,
		.open = echo_open,
};

static struct pro_service_handler *acceptor_make_handler(struct pro_asynch_acceptor *acceptor)
{
	struct pro_proactor *proactor = pro_asynch_acceptor_proactor(acceptor);
	struct echo *echo = malloc(sizeof(*echo));

	if (!echo || pro_service_handler_init(&echo->service, &echo_vtbl, proactor)) {
		free(echo);
		return NULL;
	}
	return &echo->service;
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {
		.make_handler = acceptor_make_handler,
};

/* False after a failure, which has been logged. */
static bool serve(struct sample_loops *loops, const char *listen, const struct pro_addr *addr)
{
	static struct pro_asynch_acceptor acceptor; /* the loop's until the proactor is destroyed */

	return sample_succeeded(listen, sample_loops_accept(loops, &acceptor, &acceptor_vtbl, addr)) &&
		   sample_print_listening(pro_asynch_acceptor_addr(&acceptor)) &&
		   sample_succeeded("serving", sample_loops_run(loops, PRO_NO_TIMEOUT));
}

int main(int argc, char **argv)
{
	struct sample_loops loops = {0};
	const char *listen = "127.0.0.1:7007";
	const struct sample_option options[] = {
			{"--listen", .value = "HOST:PORT", .text = &listen,
					.help = "default 127.0.0.1:7007; port 0 picks one; or unix:PATH"},
			sample_threads_option(&loops),
			sample_concurrency_option(&loops),
			sample_group_option(&loops),
	};
	const struct sample_usage usage = {
			.program = "echo_server",
			.summary = "Sends back to each client what it gets, until Ctrl-C.\n",
			.options = options,
			.option_count = sizeof(options) / sizeof(options[0]),
			.loops = &loops,
	};
	struct pro_addr addr;
	int status = sample_parse(&usage, argc, argv);

	if (status >= 0)
		return status;
	if (!sample_resolve(&addr, listen) || !sample_loops_open(&loops, true))
		return SAMPLE_FAILED;
	bool is_served = serve(&loops, listen, &addr);
	status = sample_loops_close(&loops);
	return is_served ? status : SAMPLE_FAILED;
}
