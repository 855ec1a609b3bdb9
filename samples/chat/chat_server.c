/* The chat server: rooms and names over lines of text; see chat.h for the protocol. */
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

static struct pro_service_handler *chat_make_handler(struct pro_asynch_acceptor *acceptor)
{
	return session_create(chat_from_acceptor(acceptor), pro_asynch_acceptor_proactor(acceptor));
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {
		.make_handler = chat_make_handler,
};

/* ---- the handler ---- */

static void chat_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	struct chat *chat = chat_from_handler(handler);

	session_take_news(pro_container_of(result->block, struct session, news_block));
	if (chat->is_stopping && chat->session_count == 0)
		pro_proactor_end_event_loop(chat->loops.proactor);
}

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
		pro_proactor_end_event_loop(chat->loops.proactor);
}

static void chat_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	if (!result->error)
		pro_proactor_end_event_loop(chat_from_handler(handler)->loops.proactor);
}

/* The chat is main's; there is nothing to free. */
static void chat_handle_close(struct pro_handler *handler)
{
	(void)handler;
}

static const struct pro_handler_vtbl chat_vtbl = {
		.handle_post = chat_handle_post,
		.handle_wakeup = chat_handle_wakeup,
		.handle_time_out = chat_handle_time_out,
		.handle_close = chat_handle_close,
};

/* ---- main ---- */

static int chat_open(struct chat *chat, const struct pro_addr *addr)
{
	struct pro_proactor *proactor = chat->loops.proactor;
	int error = pro_handler_init(&chat->handler, &chat_vtbl, proactor);

	chat->names.seed = pro_proactor_random(proactor);
	chat->room_names.seed = pro_proactor_random(proactor);
	if (!error)
		error = pro_asynch_timer_open(&chat->timer, &chat->handler, NULL);
	if (!error)
		error = sample_loops_accept(&chat->loops, &chat->acceptor, &acceptor_vtbl, addr);
	return error;
}

/* Serves until Ctrl-C, then lets the last lines go out; a second Ctrl-C ends that too. */
static int chat_run(struct chat *chat)
{
	int error = sample_loops_run(&chat->loops, PRO_NO_TIMEOUT);

	if (error)
		return error;
	sample_log("stopping, %u connected", chat->session_count);
	pro_proactor_reset_event_loop(chat->loops.proactor);
	error = pro_handler_wakeup(&chat->handler);
	return error ? error : sample_loops_run(&chat->loops, PRO_NO_TIMEOUT);
}

/* False after a failure, which has been logged. */
static bool chat_serve(struct chat *chat, const char *listen, const struct pro_addr *addr)
{
	return sample_succeeded(listen, chat_open(chat, addr)) &&
		   sample_print_listening(pro_asynch_acceptor_addr(&chat->acceptor)) &&
		   sample_succeeded("serving", chat_run(chat));
}

/* Whose close the chat was not told any more is freed here, when nothing runs. */
static int chat_close(struct chat *chat)
{
	chat->is_stopping = true;
	int status = sample_loops_close(&chat->loops);
	while (status == SAMPLE_OK && chat->sessions)
		session_forget(chat->sessions);
	return status;
}

int main(int argc, char **argv)
{
	static struct chat chat = {.limits = SAMPLE_LIMITS};
	const char *listen = "127.0.0.1:5000";
	const struct sample_option options[] = {
			{"--listen", .value = "HOST:PORT", .text = &listen,
					.help = "default 127.0.0.1:5000; port 0 picks one; or unix:PATH"},
			sample_connections_option(&chat.limits),
			sample_per_address_option(&chat.limits),
			sample_threads_option(&chat.loops),
			sample_concurrency_option(&chat.loops),
			sample_group_option(&chat.loops),
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
			.loops = &chat.loops,
	};
	struct pro_addr addr;
	int status = sample_parse(&usage, argc, argv);

	if (status >= 0)
		return status;
	if (!sample_resolve(&addr, listen) || !sample_loops_open(&chat.loops, true))
		return SAMPLE_FAILED;
	bool is_served = chat_serve(&chat, listen, &addr);
	status = chat_close(&chat);
	return is_served ? status : SAMPLE_FAILED;
}
