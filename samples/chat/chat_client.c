/* The chat client: lines of stdin to a chat server, its lines to stdout.
 *
 * In a terminal one types; in a pipe `printf 'hi\n' | chat_client HOST:PORT` says its lines, sends
 * the end, and prints until the server ends too. Bytes that could harm a terminal are printed as
 * \xNN. What stdin gives goes to the socket in the blocks that the proactor lent for reading it:
 * nothing is copied. Writing to stdout waits when stdout does; a client for one may. */
#include <stdio.h>
#include <string.h>

#include <proactor/asynch_connector.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_write_stream.h>

#include "../common/sample.h"
#include "text.h"

#define CONNECT_TIMEOUT_MS 10000
#define STDIN_HANDLE       ((pro_handle)0)

/* Bytes of stdin that wait for the server before stdin is read again. */
#define AHEAD_BYTES (64 * 1024)

/* Longer lines are printed in pieces. */
#define PRINT_BYTES (16 * 1024)

/* All of it is main's, so no handle_close frees anything. */
struct client {
	struct pro_proactor *proactor;
	const char *remote;
	const char *nick;
	struct pro_asynch_connector connector;
	struct pro_service_handler service;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_handler input; /* reads stdin, which it does not own */
	struct pro_asynch_read_stream input_reader;
	bool is_connecting;
	bool has_ended_input;
	bool has_heard;      /* a byte of the server's */
	bool has_failed;     /* a write did */
	bool has_lost_input; /* stdin could not be read to its end */
	bool has_finished;
	unsigned char last_byte;
	int status; /* to exit with */
	struct pro_message_block heard;
	unsigned char heard_bytes[PRINT_BYTES];
};

static struct client *client_from_connector(struct pro_asynch_connector *connector)
{
	return pro_container_of(connector, struct client, connector);
}

static struct client *client_from_service(struct pro_handler *handler)
{
	return pro_container_of(handler, struct client, service.handler);
}

static struct client *client_from_input(struct pro_handler *handler)
{
	return pro_container_of(handler, struct client, input);
}

/* Only what comes first counts: the other stream may end, or fail, behind it. */
static void client_finish(struct client *client, int status)
{
	if (client->has_finished)
		return;
	client->has_finished = true;
	client->status = status;
	pro_proactor_end_event_loop(client->proactor);
}

/* Ends the program because `what` failed, unless it did not. */
static void client_require(struct client *client, const char *what, int error)
{
	if (!error || client->has_finished)
		return;
	sample_log("%s: %s", what, pro_error_text(error));
	client_finish(client, SAMPLE_FAILED);
}

/* ---- stdin to the server ---- */

static void client_read_input(struct client *client)
{
	client_require(client, "stdin", pro_asynch_read_stream_read(&client->input_reader, NULL, 0));
}

/* Takes the block. */
static void client_send(struct client *client, struct pro_message_block *block)
{
	int error = block ? pro_asynch_write_stream_write(&client->writer, block) : PRO_ENOMEM;

	if (error)
		pro_message_block_release(block);
	client_require(client, "sending", error);
}

static void client_send_text(struct client *client, const char *format, const char *text)
{
	size_t size = strlen(format) + strlen(text);
	struct pro_message_block *block = pro_message_block_create(NULL, size);

	if (block)
		pro_message_block_printf(block, format, text);
	client_send(client, block);
}

/* A last line without a newline gets one, then the server gets the end. */
static void client_end_input(struct client *client)
{
	client->has_ended_input = true;
	if (client->has_failed)
		return;
	if (client->last_byte != '\n')
		client_send_text(client, "%s", "\n");
	client_require(client, "sending", pro_asynch_write_stream_shutdown(&client->writer));
}

static void input_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct client *client = client_from_input(handler);

	if (result->error == PRO_ECANCELED)
		return;
	if (result->error) {
		client->has_lost_input = result->error != PRO_EOF;
		if (client->has_lost_input)
			sample_log("stdin: %s", pro_error_text(result->error));
		client_end_input(client);
		return;
	}
	client->last_byte = pro_message_block_wr_ptr(result->block)[-1];
	if (client->has_failed) {
		pro_message_block_release(result->block);
		return;
	}
	client_send(client, result->block);
	if (pro_asynch_write_stream_queued(&client->writer) <= AHEAD_BYTES)
		client_read_input(client);
}

/* After a failure stdin is left alone; what the server still has to say is read to its end. */
static void client_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct client *client = client_from_service(handler);

	pro_message_block_release(result->block);
	if (result->error)
		client->has_failed = true;
	else if (!client->has_ended_input &&
			 !pro_operation_in_flight(&client->input_reader.operation) &&
			 pro_asynch_write_stream_queued(&client->writer) <= AHEAD_BYTES)
		client_read_input(client);
}

/* ---- the server to stdout ---- */

/* Prints the whole lines that have arrived; all that has, when no more would fit or `is_end`. False
 * when stdout can not be written. */
static bool client_print(struct client *client, bool is_end)
{
	struct pro_message_block *heard = &client->heard;
	unsigned char *line = pro_message_block_rd_ptr(heard);
	unsigned char *newline;

	while ((newline = memchr(line, '\n', pro_message_block_length(heard)))) {
		text_print(stdout, line, (size_t)(newline - line));
		putchar('\n');
		heard->rd += (size_t)(newline - line) + 1;
		line = newline + 1;
	}
	pro_message_block_crunch(heard); /* nobody shares the bytes: it can not fail */
	if (pro_message_block_space(heard) == 0 || (is_end && pro_message_block_length(heard) > 0)) {
		text_print(stdout, heard->base, heard->wr);
		if (is_end)
			putchar('\n');
		pro_message_block_reset(heard);
	}
	if (fflush(stdout) == 0 && !ferror(stdout))
		return true;
	if (!client->has_finished)
		sample_log("stdout can not be written");
	client_finish(client, SAMPLE_FAILED);
	return false;
}

static void client_read(struct client *client)
{
	client_require(
			client, "reading", pro_asynch_read_stream_read(&client->reader, &client->heard, 0));
}

/* The server's end is a good one when it said something before: a server that is full does not. */
static void client_handle_end(struct client *client, int error)
{
	if (!client_print(client, true))
		return;
	if (error == PRO_EOF && client->has_heard && !client->has_failed) {
		if (!client->has_ended_input)
			sample_log("the server ended the connection");
		client_finish(client, client->has_lost_input ? SAMPLE_FAILED : SAMPLE_OK);
		return;
	}
	sample_log("connection lost: %s",
			error == PRO_EOF ? "the server ended it" : pro_error_text(error));
	client_finish(client, SAMPLE_FAILED);
}

static void client_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct client *client = client_from_service(handler);

	if (result->error == PRO_ECANCELED)
		return;
	if (result->error) {
		client_handle_end(client, result->error);
		return;
	}
	client->has_heard = true;
	if (client_print(client, false))
		client_read(client);
}

/* ---- connecting ---- */

static int client_validate_connection(
		struct pro_asynch_connector *connector, int error, const struct pro_addr *remote)
{
	struct client *client = client_from_connector(connector);

	(void)remote;
	client->is_connecting = false;
	if (error && error != PRO_ECANCELED)
		client_require(client, client->remote, error);
	return error;
}

static struct pro_service_handler *client_make_handler(struct pro_asynch_connector *connector)
{
	return &client_from_connector(connector)->service;
}

static void client_open(struct pro_service_handler *service)
{
	struct client *client = client_from_service(&service->handler);
	int error = pro_asynch_read_stream_open(
			&client->reader, &service->handler, PRO_INVALID_HANDLE, NULL);

	if (!error)
		error = pro_asynch_write_stream_open(
				&client->writer, &service->handler, PRO_INVALID_HANDLE, NULL);
	if (!error)
		error = pro_asynch_read_stream_open(
				&client->input_reader, &client->input, STDIN_HANDLE, NULL);
	client_require(client, "starting", error);
	if (error)
		return;
	client_read(client);
	if (client->nick)
		client_send_text(client, "/nick %s\n", client->nick);
	client_read_input(client);
}

static void client_handle_close(struct pro_handler *handler)
{
	(void)handler;
}

static const struct pro_asynch_connector_vtbl connector_vtbl = {
		.make_handler = client_make_handler,
		.validate_connection = client_validate_connection,
};

static const struct pro_service_handler_vtbl service_vtbl = {
		.handler.handle_read_stream = client_handle_read_stream,
		.handler.handle_write_stream = client_handle_write_stream,
		.handler.handle_close = client_handle_close,
		.open = client_open,
};

static const struct pro_handler_vtbl input_vtbl = {
		.handle_read_stream = input_handle_read_stream,
		.handle_close = client_handle_close,
};

/* ---- main ---- */

static int client_connect(struct client *client)
{
	int error = pro_service_handler_init(&client->service, &service_vtbl, client->proactor);

	if (!error)
		error = pro_handler_init(&client->input, &input_vtbl, client->proactor);
	if (!error)
		error = pro_asynch_connector_open(&client->connector, &connector_vtbl, client->proactor);
	if (!error)
		error = pro_asynch_connector_set_timeout(&client->connector, CONNECT_TIMEOUT_MS);
	if (!error)
		error = pro_asynch_connector_connect_to(&client->connector, client->remote);
	client->is_connecting = !error;
	return error;
}

int main(int argc, char **argv)
{
	static struct client client = {.last_byte = '\n'};
	const struct sample_option options[] = {
			{.name = "--nick",
					.value = "NAME",
					.help = "take this name at once",
					.text = &client.nick},
	};
	const struct sample_usage usage = {
			.program = "chat_client",
			.operand_name = "HOST:PORT",
			.operand = &client.remote,
			.summary = "Talks to a chat server: lines of stdin to it, its lines to stdout; /help "
					   "lists the\n"
					   "commands. At the end of stdin it prints until the server ends. Ctrl-C "
					   "leaves.\n"
					   "Exit status: 0 after an orderly end, 1 when there is no connection or it "
					   "was lost,\n"
					   "or stdin can not be read, 2 after a mistake in the command line.\n",
			.options = options,
			.option_count = sizeof(options) / sizeof(options[0]),
	};

	int status = sample_parse(&usage, argc, argv);
	if (status >= 0)
		return status;
	if (client.nick && !text_is_name(client.nick)) {
		sample_log("--nick: a name is 1-32 letters, digits, _ or -");
		return SAMPLE_USAGE;
	}
	pro_message_block_init(&client.heard, client.heard_bytes, sizeof(client.heard_bytes));
	client.proactor = sample_proactor_create(NULL, false);
	if (!client.proactor)
		return SAMPLE_FAILED;
	int error = client_connect(&client);
	if (!error)
		error = pro_proactor_run_event_loop(client.proactor);
	client_require(&client, client.remote, error);

	/* A look-up of a name that the resolver is still at would hold the proactor up; the end of the
	 * program does not wait for it. */
	if (client.is_connecting)
		return client.status;
	if (sample_proactor_destroy(client.proactor) != SAMPLE_OK)
		client.status = SAMPLE_FAILED;
	return client.status;
}
