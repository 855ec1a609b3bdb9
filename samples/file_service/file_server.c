/* The file server: sends files to clients of two protocols on one port. See --help. */
#include "session.h"

static struct file_service *service_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct file_service, handler);
}

static struct pro_service_handler *acceptor_make_handler(struct pro_asynch_acceptor *acceptor)
{
	struct file_service *server = pro_container_of(acceptor, struct file_service, acceptor);
	struct session *session = session_create(server, pro_asynch_acceptor_proactor(acceptor));

	return session ? &session->service : NULL;
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {
		.make_handler = acceptor_make_handler,
};

static void service_end_if_drained(struct file_service *server)
{
	if (atomic_load(&server->is_draining) && server->session_count == 0)
		pro_proactor_end_event_loop(server->loops.proactor);
}

/* A session begins or ends. */
static void service_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	session_told(result);
	service_end_if_drained(service_from_handler(handler));
}

/* Stops listening and lets answers finish. */
static void service_handle_wakeup(struct pro_handler *handler)
{
	struct file_service *server = service_from_handler(handler);

	atomic_store(&server->is_draining, true);
	pro_asynch_acceptor_close(&server->acceptor);
	if (server->session_count > 0)
		sample_log("stopping: %u sessions to finish", server->session_count);
	for (struct session *session = server->sessions; session; session = session->next)
		pro_handler_wakeup(&session->service.handler);
	service_end_if_drained(server);
}

/* The service is main's; there is nothing to free. */
static void service_handle_close(struct pro_handler *handler)
{
	(void)handler;
}

static const struct pro_handler_vtbl service_vtbl = {
		.handle_post = service_handle_post,
		.handle_wakeup = service_handle_wakeup,
		.handle_close = service_handle_close,
};

static int service_open(struct file_service *server, const struct pro_addr *address)
{
	int error = pro_handler_init(&server->handler, &service_vtbl, server->loops.proactor);

	return error ? error
				 : sample_loops_accept(&server->loops, &server->acceptor, &acceptor_vtbl, address);
}

/* Serves until Ctrl-C, then drains: for the stop timeout, or until the next Ctrl-C. What is left
 * then is closed with the proactor. */
static int service_run(struct file_service *server)
{
	int error = sample_loops_run(&server->loops, PRO_NO_TIMEOUT);

	if (error)
		return error;
	pro_proactor_reset_event_loop(server->loops.proactor);
	error = pro_handler_wakeup(&server->handler);
	return error ? error : sample_loops_run(&server->loops, (int64_t)server->stop_timeout_s * 1000);
}

/* False after a failure, which has been logged. */
static bool service_serve(struct file_service *server, const char *root, const char *listen,
		const struct pro_addr *addr)
{
	return sample_succeeded(
				   root, pro_file_root_open(server->loops.proactor, root, &server->root)) &&
		   sample_succeeded(listen, service_open(server, addr)) &&
		   sample_print_listening(pro_asynch_acceptor_addr(&server->acceptor)) &&
		   sample_succeeded("serving", service_run(server));
}

static int service_close(struct file_service *server)
{
	/* No session is left that could open a file. */
	pro_proactor_group_stop(server->loops.group);
	pro_file_root_close(server->root);
	int status = sample_loops_close(&server->loops);
	/* Whose end the service was not told any more. */
	while (status == SAMPLE_OK && server->sessions)
		session_forget(server->sessions);
	return status;
}

int main(int argc, char **argv)
{
	static struct file_service server = {
			.request_timeout_s = 10,
			.stall_timeout_s = 60,
			.stop_timeout_s = 5,
			.limits = SAMPLE_LIMITS,
	};
	const char *listen = "127.0.0.1:8182";
	const char *root = ".";
	const struct sample_option options[] = {
			{"--listen", .value = "HOST:PORT", .text = &listen,
					.help = "default 127.0.0.1:8182; port 0 picks one; or unix:PATH"},
			{"--root", .value = "DIR", .text = &root,
					.help = "what is served; default the current directory"},
			{"--request-timeout", .value = "SECONDS", .number = &server.request_timeout_s,
					.number_min = 1, .number_max = 86400,
					.help = "for a whole request to arrive; default 10"},
			{"--stall-timeout", .value = "SECONDS", .number = &server.stall_timeout_s,
					.number_min = 1, .number_max = 86400,
					.help = "for a client that takes next to nothing; default 60"},
			{"--stop-timeout", .value = "SECONDS", .number = &server.stop_timeout_s,
					.number_min = 0, .number_max = 86400,
					.help = "for answers under way at Ctrl-C; default 5"},
			sample_connections_option(&server.limits),
			sample_per_address_option(&server.limits),
			sample_threads_option(&server.loops),
			sample_concurrency_option(&server.loops),
			sample_group_option(&server.loops),
	};
	const struct sample_usage usage = {
			.program = "file_server",
			.summary =
					"Sends the files below a directory, until Ctrl-C. On one port it understands\n"
					"HTTP/1.1 (GET and HEAD), and lines with a name, each answered with the bytes\n"
					"of the file:\n"
					"  curl -O http://127.0.0.1:8182/README.md\n"
					"  printf 'README.md\\n' | nc -N 127.0.0.1 8182\n",
			.options = options,
			.option_count = sizeof(options) / sizeof(options[0]),
			.loops = &server.loops,
	};
	struct pro_addr addr;
	int status = sample_parse(&usage, argc, argv);

	if (status >= 0)
		return status;
	if (!sample_resolve(&addr, listen) || !sample_loops_open(&server.loops, true))
		return SAMPLE_FAILED;
	bool is_served = service_serve(&server, root, listen, &addr);
	status = service_close(&server);
	return is_served ? status : SAMPLE_FAILED;
}
