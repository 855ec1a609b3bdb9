/* The chat server: rooms and names over lines of text; see chat.h for the protocol. */
#include "../common/sample.h"
#include "chat.h"

static struct chat *chat_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct chat, handler);
}

static struct chat *chat_from_acceptor(struct pro_asynch_acceptor *acceptor)
{
	return pro_container_of(acceptor, struct chat, acceptor);
}

/* ---- connections ---- */

/* How many sessions come from the host of `remote`; all clients of a UNIX-domain socket are from
 * this host, and not counted. */
static unsigned chat_count_host(const struct chat *chat, const struct pro_addr *remote)
{
	unsigned count = 0;

	if (pro_addr_family(remote) == PRO_FAMILY_UNIX)
		return 0;
	for (const struct session *session = chat->sessions; session; session = session->next)
		count += pro_addr_same_host(&session->service.remote, remote);
	return count;
}

static int chat_validate_connection(struct pro_asynch_acceptor *acceptor,
		const struct pro_addr *local, const struct pro_addr *remote)
{
	struct chat *chat = chat_from_acceptor(acceptor);
	char from[PRO_ADDR_TEXT_MAX];
	const char *why;

	(void)local;
	if (chat->is_stopping)
		why = "stopping";
	else if (chat->session_count >= chat->sessions_max)
		why = "too many connections";
	else if (chat_count_host(chat, remote) >= chat->sessions_per_address_max)
		why = "too many connections from one address";
	else
		return 0;
	sample_log("refused %s: %s", pro_addr_format(remote, from, sizeof(from)), why);
	return -1;
}

static struct pro_service_handler *chat_make_handler(struct pro_asynch_acceptor *acceptor)
{
	return session_create(chat_from_acceptor(acceptor));
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {
		.make_handler = chat_make_handler,
		.validate_connection = chat_validate_connection,
};

/* ---- stopping ---- */

/* Tells everyone that the server stops, and leaves them once they have that line. */
static void chat_handle_wakeup(struct pro_handler *handler)
{
	struct chat *chat = chat_from_handler(handler);
	struct pro_message_block *line = line_create("* server is shutting down");

	chat->is_stopping = true;
	pro_asynch_acceptor_close(&chat->acceptor);
	for (struct session *session = chat->sessions; session; session = session->next) {
		if (line)
			session_send(session, pro_message_block_duplicate(line));
		session_end(session);
	}
	pro_message_block_release(line);
	chat_settle(chat);
	if (chat->session_count == 0 || pro_asynch_timer_schedule(&chat->timer, STOPPING_MS))
		pro_proactor_end_event_loop(chat->proactor);
}

static void chat_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	if (!result->error)
		pro_proactor_end_event_loop(chat_from_handler(handler)->proactor);
}

/* The chat is main's; there is nothing to free. */
static void chat_handle_close(struct pro_handler *handler)
{
	(void)handler;
}

static const struct pro_handler_vtbl chat_vtbl = {
		.handle_wakeup = chat_handle_wakeup,
		.handle_time_out = chat_handle_time_out,
		.handle_close = chat_handle_close,
};

/* ---- main ---- */

static int chat_open(struct chat *chat, const struct pro_addr *addr)
{
	int error = pro_handler_init(&chat->handler, &chat_vtbl, chat->proactor);

	if (!error)
		error = pro_asynch_timer_open(&chat->timer, &chat->handler, NULL);
	if (!error)
		error = pro_asynch_acceptor_open(&chat->acceptor, &acceptor_vtbl, chat->proactor, addr);
	chat->names.seed = pro_proactor_random(chat->proactor);
	chat->room_names.seed = pro_proactor_random(chat->proactor);
	return error;
}

/* Serves until Ctrl-C, then lets the last lines go out; a second Ctrl-C ends that too. */
static int chat_run(struct chat *chat)
{
	int error = pro_proactor_run_event_loop(chat->proactor);

	if (error)
		return error;
	sample_log("stopping, %u connected", chat->session_count);
	pro_proactor_reset_event_loop(chat->proactor);
	error = pro_handler_wakeup(&chat->handler);
	if (error)
		return error;
	return pro_proactor_run_event_loop(chat->proactor);
}

int main(int argc, char **argv)
{
	static struct chat chat = {.sessions_max = 4096, .sessions_per_address_max = 1024};
	const char *listen = "127.0.0.1:5000";
	const struct sample_option options[] = {
			{.name = "--listen",
					.value = "HOST:PORT",
					.help = "where to listen, or unix:PATH; port 0 picks one (127.0.0.1:5000)",
					.text = &listen},
			{.name = "--max-connections",
					.value = "N",
					.help = "clients at once; further ones are closed (4096)",
					.number = &chat.sessions_max,
					.number_min = 1,
					.number_max = 1000000},
			{.name = "--max-per-address",
					.value = "N",
					.help = "clients at once from one address (1024)",
					.number = &chat.sessions_per_address_max,
					.number_min = 1,
					.number_max = 1000000},
	};
	const struct sample_usage usage = {
			.program = "chat_server",
			.summary = "Serves chat rooms over lines of UTF-8 text; talk to it with chat_client or "
					   "netcat\n"
					   "and send /help. A line has at most 4096 bytes; whoever lets more than 256 "
					   "KiB pile\n"
					   "up unread is dropped. Ctrl-C or SIGTERM tells everyone and stops it.\n"
					   "Exit status: 0 after that, 1 after a failure, 2 after a mistake in the "
					   "command line.\n",
			.options = options,
			.option_count = sizeof(options) / sizeof(options[0]),
	};
	struct pro_addr addr;

	int status = sample_parse(&usage, argc, argv);
	if (status >= 0)
		return status;
	if (!sample_resolve(&addr, listen))
		return SAMPLE_FAILED;
	chat.proactor = sample_proactor_create(NULL, true);
	if (!chat.proactor)
		return SAMPLE_FAILED;
	status = SAMPLE_FAILED;
	int error = chat_open(&chat, &addr);
	if (!error && sample_print_listening(pro_asynch_acceptor_addr(&chat.acceptor))) {
		error = chat_run(&chat);
		status = error ? SAMPLE_FAILED : SAMPLE_OK;
	}
	if (error)
		sample_log("failed: %s", pro_error_text(error));
	chat.is_stopping = true;
	if (sample_proactor_destroy(chat.proactor) != SAMPLE_OK)
		status = SAMPLE_FAILED;
	return status;
}
