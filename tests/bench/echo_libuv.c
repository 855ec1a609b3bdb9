/* The same echo server on libuv, as its guide does it: a buffer per connection, uv_write with a
 * request per write (kept in the connection, since one write is under way at a time). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <uv.h>

struct connection {
	uv_tcp_t tcp;
	uv_write_t write;
	uv_buf_t out;
	char bytes[16384];
};

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void drop(struct connection *connection)
{
	if (!uv_is_closing((uv_handle_t *)&connection->tcp))
		uv_close((uv_handle_t *)&connection->tcp, on_closed);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	struct connection *connection = handle->data;

	(void)suggested;
	*buffer = uv_buf_init(connection->bytes, sizeof(connection->bytes));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer);

static void on_written(uv_write_t *request, int status)
{
	struct connection *connection = request->data;

	if (status < 0 || uv_read_start((uv_stream_t *)&connection->tcp, on_alloc, on_read))
		drop(connection);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
	struct connection *connection = stream->data;

	if (got == 0)
		return;
	if (got < 0) {
		drop(connection);
		return;
	}
	/* The buffer is busy until the write is through. */
	uv_read_stop(stream);
	connection->out = uv_buf_init(buffer->base, (unsigned)got);
	connection->write.data = connection;
	if (uv_write(&connection->write, stream, &connection->out, 1, on_written))
		drop(connection);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct connection *connection;

	if (status < 0 || !(connection = calloc(1, sizeof(*connection))))
		return;
	uv_tcp_init(listener->loop, &connection->tcp);
	connection->tcp.data = connection;
	if (uv_accept(listener, (uv_stream_t *)&connection->tcp)) {
		drop(connection);
		return;
	}
	uv_tcp_nodelay(&connection->tcp, 1);
	if (uv_read_start((uv_stream_t *)&connection->tcp, on_alloc, on_read))
		drop(connection);
}

int main(void)
{
	struct sockaddr_in address;
	struct sockaddr_storage bound;
	struct rlimit limit;
	uv_loop_t *loop = uv_default_loop();
	uv_tcp_t listener;
	int length = sizeof(bound);

	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	uv_tcp_init(loop, &listener);
	uv_ip4_addr("127.0.0.1", 0, &address);
	if (uv_tcp_bind(&listener, (struct sockaddr *)&address, 0) ||
			uv_listen((uv_stream_t *)&listener, 4096, on_connection) ||
			uv_tcp_getsockname(&listener, (struct sockaddr *)&bound, &length))
		return 1;
	printf("listening on 127.0.0.1:%u\n", ntohs(((struct sockaddr_in *)&bound)->sin_port));
	fflush(stdout);
	return uv_run(loop, UV_RUN_DEFAULT);
}
