/* The file server: sends files to clients of two protocols on one port. See --help. */
#include <proactor/error.h>

#include "../common/sample.h"
#include "session.h"

/* After Ctrl-C, answers that are under way get so long. */
#define DRAIN_MS 5000

static struct pro_service_handler *acceptor_make_handler(struct pro_asynch_acceptor *acceptor)
{
	struct file_service *server = pro_container_of(acceptor, struct file_service, acceptor);
	struct session *session = NULL;

	if (server->session_count < server->sessions_max)
		session = session_create(server);
	if (!session) {
		sample_log("connection refused: %u sessions", server->session_count);
		return NULL;
	}
	return &session->service;
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {
		.make_handler = acceptor_make_handler,
};

/* Stops listening and lets answers finish: for DRAIN_MS, or until the next Ctrl-C. What is left
 * then is closed with the proactor. */
static int drain(struct file_service *server)
{
	struct session *next;

	server->is_draining = true;
	pro_asynch_acceptor_close(&server->acceptor);
	for (struct session *session = server->sessions; session; session = next) {
		next = session->next;
		session_drain(session);
	}
	if (server->session_count == 0)
		return 0;
	sample_log("stopping: %u sessions to finish", server->session_count);
	pro_proactor_reset_event_loop(server->proactor);
	return pro_proactor_run_event_loop_for(server->proactor, DRAIN_MS);
}

static int serve(struct file_service *server, const struct pro_addr *address)
{
	int error =
			pro_asynch_acceptor_open(&server->acceptor, &acceptor_vtbl, server->proactor, address);

	if (error)
		return error;
	if (!sample_print_listening(pro_asynch_acceptor_addr(&server->acceptor)))
		return PRO_EIO;
	error = pro_proactor_run_event_loop(server->proactor);
	return error ? error : drain(server);
}

/* Opens what the service stands on, serves, and closes it again. */
static int run(struct file_service *server, const char *listen, const char *root)
{
	struct pro_addr address;

	if (!sample_resolve(&address, listen))
		return SAMPLE_FAILED;
	server->proactor = sample_proactor_create(NULL, true);
	if (!server->proactor)
		return SAMPLE_FAILED;
	int error = pro_file_root_open(server->proactor, root, &server->root);
	if (error) {
		sample_log("%s: %s", root, pro_error_text(error));
	} else {
		error = serve(server, &address);
		if (error)
			sample_log("%s: %s", listen, pro_error_text(error));
	}
	pro_file_root_close(server->root);
	int status = sample_proactor_destroy(server->proactor);
	return error ? SAMPLE_FAILED : status;
}

int main(int argc, char **argv)
{
	static struct file_service server = {
			.request_timeout_s = 10,
			.stall_timeout_s = 60,
			.sessions_max = 4096,
	};
	const char *listen = "127.0.0.1:8182";
	const char *root = ".";
	const struct sample_option options[] = {
			{"--listen", .value = "HOST:PORT", .text = &listen,
					.help = "default 127.0.0.1:8182; port 0 picks one"},
			{"--root", .value = "DIR", .text = &root,
					.help = "what is served; default the current directory"},
			{"--request-timeout", .value = "SECONDS", .number = &server.request_timeout_s,
					.number_min = 1, .number_max = 86400,
					.help = "for a whole request to arrive; default 10"},
			{"--stall-timeout", .value = "SECONDS", .number = &server.stall_timeout_s,
					.number_min = 1, .number_max = 86400,
					.help = "for a client that takes nothing; default 60"},
			{"--max-connections", .value = "N", .number = &server.sessions_max, .number_min = 1,
					.number_max = 1000000, .help = "more are closed at once; default 4096"},
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
	};
	int status = sample_parse(&usage, argc, argv);

	return status >= 0 ? status : run(&server, listen, root);
}
