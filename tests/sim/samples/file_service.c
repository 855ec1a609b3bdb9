/* The file server and its clients of both protocols: every download is the file or an error, never
 * a part of it or anything else; and it stops in order. */
#define main file_server_main
#include "../../../samples/file_service/file_server.c"
#undef main

#include "service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVER       "10.0.0.1:8182"
#define CLIENTS_MAX  8u
#define TASKS        4u
#define FILE_MAX     70000u
#define ANSWER_BYTES (FILE_MAX + 2048)
#define SLOW_READ_MS 40
#define READ_MS      100000 /* longer than the server waits for anything */
#define OVER_MS      6000   /* less than a server that does not stop waits for a request */
#define REQUEST_MS   10000
#define DRIP_MS      3000
#define DRIPS_MAX    17u /* that is longer than the time of a request, whatever goes wrong */

/* Of the last but one, the begin is left after a while; the last is not there. */
static const size_t file_sizes[] = {0, 1, 5000, FILE_MAX, 30000, 0};

#define FILES     6u
#define CUT_FILE  4u
#define CUT_BYTES 9000u
#define NO_FILE   5u

enum kind { ASK_LINE, ASK_GET, ASK_PART, ASK_HEAD, ASK_LIST, ASK_TAG, KINDS };

/* What a connection is for: most ask, some never do, some never come to the end of it. */
enum mood { MOOD_ASKING, MOOD_SILENT, MOOD_DRIPPING, MOODS };

struct file_client {
	struct peer peer; /* first */
	struct service *service;
	unsigned tasks_done;

	/* The present task, tried until it is answered. */
	enum kind kind;
	unsigned file;
	size_t from; /* of a part: the bytes from .. to, the last one included */
	size_t to;
	bool is_suffix; /* that part is asked for by its length */
};

struct service {
	struct pro_sim *sim;
	struct file_service server;
	struct file_client clients[CLIENTS_MAX];
	unsigned clients_count;
	unsigned done;
	unsigned links;
	uint64_t cut_ms; /* when the file is cut */
	bool is_cut;
	bool is_stopping;
};

struct file_link {
	struct pro_service_handler service;
	struct file_client *client;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_timer timer;
	struct pro_message_block in;
	struct pro_message_block out;
	bool is_slow;
	bool is_line; /* this connection speaks the protocol of lines */
	bool is_sending;
	bool has_asked;
	bool is_last; /* the answer, and the end comes behind it */
	bool is_answered;
	bool is_kept; /* the answer before this one said so */
	enum mood mood;
	unsigned drips;
	uint64_t asked_ns;
	uint64_t before_ns; /* when the request before that was sent */
	char request[300];
	char answer[ANSWER_BYTES];
};

static struct file_link *link_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct file_link, service.handler);
}

static void link_close(struct file_link *link)
{
	pro_handler_close(&link->service.handler);
}

static char file_byte(unsigned file, size_t offset)
{
	return (char)(offset * 31 + offset / 251 + file * 7);
}

static bool is_part_of_file(unsigned file, size_t from, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i] != file_byte(file, from + i))
			return false;
	return true;
}

/* Whether the file may have that size: that of the one that is cut changes. */
static bool is_size_of_file(const struct file_link *link, size_t size)
{
	if (link->client->file == NO_FILE)
		return false;
	if (link->client->file == CUT_FILE && link->client->service->is_cut && size == CUT_BYTES)
		return true;
	return size == file_sizes[link->client->file];
}

static void link_fail(const struct file_link *link, const char *what)
{
	pro_sim_fail(link->client->service->sim, "client %u, file %u: %s", link->client->peer.number,
			link->client->file, what);
}

/* ---- asking ---- */

static bool asks_head(const struct file_client *client)
{
	return client->kind == ASK_HEAD || (client->kind == ASK_LIST && client->file % 2 == 0);
}

static void client_choose_task(struct file_client *client)
{
	struct pro_sim *sim = client->service->sim;

	client->file = (unsigned)pro_sim_choose(sim, FILES);
	client->kind = (enum kind)pro_sim_choose(sim, KINDS);
	client->from = (size_t)pro_sim_choose(sim, file_sizes[client->file] + 100);
	client->to = client->from + (size_t)pro_sim_choose(sim, 20000);
	client->is_suffix = client->kind == ASK_PART && client->file != NO_FILE &&
						client->file != CUT_FILE && file_sizes[client->file] > 0 &&
						pro_sim_choose(sim, 3) == 0;
	if (client->is_suffix) {
		client->from %= file_sizes[client->file];
		client->to = file_sizes[client->file] - 1;
	}
}

/* A body that nobody asked for, and that looks like a request, has to be passed over; what comes
 * behind the last request is not answered. */
static const char *choose_body(struct file_link *link)
{
	switch (pro_sim_choose(link->client->service->sim, 5)) {
	case 0:
		return "Content-Length: 23\r\n\r\nHEAD /file HTTP/1.1\r\n\r\n";
	case 1:
		link->is_last = true;
		return "Connection: close\r\n\r\nHEAD /file1 HTTP/1.1\r\nHost: x\r\n\r\n";
	}
	return "\r\n";
}

static const char *choose_conditions(const struct file_client *client, char *text, size_t size)
{
	text[0] = '\0';
	if (client->kind == ASK_PART && client->is_suffix)
		snprintf(text, size, "Range: bytes=-%zu\r\n", client->to + 1 - client->from);
	else if (client->kind == ASK_PART)
		snprintf(text, size, "Range: bytes=%zu-%zu\r\n", client->from, client->to);
	else if (client->kind == ASK_TAG)
		snprintf(text, size, "If-None-Match: *\r\n");
	return text;
}

static void link_ask(struct file_link *link)
{
	const struct file_client *client = link->client;
	char conditions[80];
	char target[16] = "";
	int length;

	link->has_asked = true;
	link->is_sending = true;
	link->is_last = link->is_answered = false;
	link->before_ns = link->asked_ns;
	link->asked_ns = pro_sim_now_ns(client->service->sim);
	if (client->kind != ASK_LIST)
		snprintf(target, sizeof(target), "file%u", client->file);
	if (client->kind == ASK_LINE)
		length = snprintf(link->request, sizeof(link->request), "%s\n", target);
	else
		length = snprintf(link->request, sizeof(link->request),
				"%s /%s HTTP/1.1\r\nHost: x\r\n%s%s", asks_head(client) ? "HEAD" : "GET", target,
				choose_conditions(client, conditions, sizeof(conditions)), choose_body(link));
	pro_message_block_init_filled(&link->out, link->request, (size_t)length);
	pro_message_block_init(&link->in, link->answer, sizeof(link->answer));
	if (pro_asynch_write_stream_write(&link->writer, &link->out) ||
			(link->is_line && pro_asynch_write_stream_shutdown(&link->writer)))
		link_close(link);
}

/* One more byte of a request that has no end. */
static void link_drip(struct file_link *link)
{
	static const char endless[] = "GET /file1 HTTP/1.1\r\nX: ";
	const bool is_first = link->drips++ == 0;

	if (link->drips > DRIPS_MAX)
		link_fail(link, "a request that does not end is waited for");
	if (!link->is_sending && link->mood == MOOD_DRIPPING) {
		link->is_sending = true;
		pro_message_block_init_filled(
				&link->out, is_first ? endless : "x", is_first ? sizeof(endless) - 1 : 1);
		if (pro_asynch_write_stream_write(&link->writer, &link->out))
			link_close(link);
	}
	pro_asynch_timer_schedule(&link->timer, DRIP_MS);
}

/* The answer is there: the next task, by a new connection now and then. */
static void link_has_answer(struct file_link *link)
{
	struct file_client *client = link->client;
	struct service *service = client->service;

	link->has_asked = false;
	if (++client->tasks_done == TASKS) {
		client->peer.is_done = true;
		service->done++;
	}
	client_choose_task(client);
	/* Who is done may wait for the server's end. */
	if (client->peer.is_done && !link->is_line && !link->is_sending && !link->is_last &&
			pro_sim_choose(service->sim, 2) == 0)
		return;
	link->is_kept = true;
	/* A body that is passed over may be on its way still: its bytes are the request's. */
	if (client->peer.is_done || link->is_line || client->kind == ASK_LINE || link->is_sending ||
			link->is_last || pro_sim_choose(service->sim, 3) == 0)
		link_close(link);
	else
		link_ask(link);
}

/* ---- answers ---- */

/* By lines: all up to the end. An end without a byte may be that of a server that was busy. */
static void link_take_end(struct file_link *link)
{
	static const char refusal[] = "File transmit error!\r\n";
	size_t length = pro_message_block_length(&link->in);

	if (length == sizeof(refusal) - 1 && !memcmp(link->answer, refusal, length)) {
		if (link->client->file == NO_FILE)
			link_has_answer(link);
		else
			link_close(link);
		return;
	}
	if (is_size_of_file(link, length) &&
			is_part_of_file(link->client->file, 0, link->answer, length)) {
		link_has_answer(link);
		return;
	}
	if (length > 0)
		link_fail(link, "what came by lines is no file and no refusal");
	link_close(link);
}

/* The value of a head's field; false when it is not there. */
static bool find_number(const char *head, const char *field, size_t *number)
{
	const char *at = strstr(head, field);

	if (at)
		*number = (size_t)strtoull(at + strlen(field), NULL, 10);
	return at != NULL;
}

/* Whether the body is what the status says; of a HEAD there is none. */
static bool is_right_body(struct file_link *link, unsigned status, const char *body, size_t length)
{
	static const char page_begin[] = "<!DOCTYPE html>";
	static const char page_end[] = "</body></html>\n";
	size_t there = asks_head(link->client) ? 0 : length;

	if (link->client->kind == ASK_LIST)
		return status >= 500 || status == 408 || (status == 200 && there == 0) ||
			   (status == 200 && length > sizeof(page_begin) + sizeof(page_end) &&
					   !memcmp(body, page_begin, sizeof(page_begin) - 1) &&
					   !memcmp(body + length - sizeof(page_end) + 1, page_end,
							   sizeof(page_end) - 1));
	switch (status) {
	case 304:
		return link->client->kind == ASK_TAG && link->client->file != NO_FILE;
	case 200:
		return link->client->kind != ASK_PART && link->client->kind != ASK_TAG &&
			   is_size_of_file(link, length) && is_part_of_file(link->client->file, 0, body, there);
	case 206:
		return link->client->kind == ASK_PART && link->client->file != NO_FILE && length > 0 &&
			   length <= link->client->to - link->client->from + 1 &&
			   (link->client->from + length == link->client->to + 1 ||
					   is_size_of_file(link, link->client->from + length)) &&
			   is_part_of_file(link->client->file, link->client->from, body, length);
	case 416:
		return link->client->kind == ASK_PART &&
			   (link->client->from >= file_sizes[link->client->file] ||
					   link->client->file == CUT_FILE || link->client->file == NO_FILE);
	case 404:
		return link->client->file == NO_FILE;
	}
	/* Out of descriptors, the disk, the time: not now. */
	return status >= 500 || status == 408;
}

/* By HTTP: a head, and the body it announces. */
static void link_take_http(struct file_link *link)
{
	const char *bytes = (const char *)pro_message_block_rd_ptr(&link->in);
	size_t length = pro_message_block_length(&link->in);
	char head[1024] = "";
	size_t head_length;
	size_t body_length;
	unsigned status;
	const char *end;

	memcpy(head, bytes, length < sizeof(head) - 1 ? length : sizeof(head) - 1);
	end = strstr(head, "\r\n\r\n");
	if (!end) {
		if (length >= sizeof(head))
			link_fail(link, "a head without an end");
		return;
	}
	head_length = (size_t)(end + 4 - head);
	head[head_length] = '\0';
	status = strncmp(head, "HTTP/1.1 ", 9) ? 0 : (unsigned)strtoul(head + 9, NULL, 10);
	body_length = 0;
	if (status != 304 && !find_number(head, "\r\nContent-Length: ", &body_length)) {
		link_fail(link, "a head without a length");
		link_close(link);
		return;
	}
	if (!asks_head(link->client) && length - head_length < body_length)
		return;
	if (!is_right_body(link, status, bytes + head_length, body_length)) {
		link_fail(link, "the answer is wrong");
		link_close(link);
	} else if (length != head_length + (asks_head(link->client) ? 0 : body_length)) {
		link_fail(link, "there is more than the answer");
		link_close(link);
	} else if (status >= 500 || status == 408) {
		link_close(link);
	} else if (strstr(head, "\r\nConnection: close\r\n")) {
		/* The end comes. */
		link->is_last = link->is_answered = true;
	} else if (link->is_last) {
		link_fail(link, "the last answer says that others may follow");
		link_close(link);
	} else {
		link_has_answer(link);
	}
}

static void link_read(struct file_link *link)
{
	if (pro_asynch_read_stream_read(&link->reader, &link->in, 0))
		link_close(link);
}

static void link_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct file_link *link = link_from_handler(handler);

	if (result->error == PRO_EOF && link->is_line && link->has_asked) {
		link_take_end(link);
		return;
	}
	if (result->error == PRO_EOF && link->is_answered) {
		link_has_answer(link);
		return;
	}
	if (result->error == PRO_EOF && link->has_asked && link->is_kept && !link->is_sending &&
			!service_is_hit && !pro_handler_is_closing(handler) &&
			!link->client->service->is_stopping && pro_message_block_length(&link->in) == 0 &&
			pro_sim_now_ns(link->client->service->sim) <
					link->before_ns + REQUEST_MS * UINT64_C(1000000))
		link_fail(link, "a connection that was kept ends");
	if (result->error) {
		link_close(link);
		return;
	}
	if (!link->has_asked)
		link_fail(link, "an answer that nobody asked for");
	if (!link->is_line)
		link_take_http(link);
	if (pro_handler_is_closing(handler))
		return;
	if (link->is_slow)
		pro_asynch_timer_schedule(&link->timer, SLOW_READ_MS);
	else
		link_read(link);
}

static void link_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct file_link *link = link_from_handler(handler);

	if (result->error)
		return;
	if (link->mood == MOOD_ASKING)
		link_read(link);
	else
		link_drip(link);
}

static void link_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	link_from_handler(handler)->is_sending = false;
	if (result->error)
		pro_handler_close(handler);
}

static void link_handle_close(struct pro_handler *handler)
{
	struct file_link *link = link_from_handler(handler);

	link->client->service->links--;
	peer_lost(&link->client->peer);
	object_free(pro_handler_proactor(handler), link);
}

static void link_open(struct pro_service_handler *service)
{
	struct file_link *link = link_from_handler(&service->handler);

	if (pro_asynch_read_stream_open(&link->reader, &service->handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_write_stream_open(
					&link->writer, &service->handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_timer_open(&link->timer, &service->handler, NULL)) {
		link_close(link);
		return;
	}
	pro_operation_set_timeout(&link->reader.operation, READ_MS);
	pro_message_block_init(&link->in, link->answer, sizeof(link->answer));
	if (link->mood == MOOD_ASKING)
		link_ask(link);
	else
		link_drip(link);
	link_read(link);
}

static const struct pro_service_handler_vtbl link_vtbl = {
		.handler.handle_read_stream = link_handle_read_stream,
		.handler.handle_write_stream = link_handle_write_stream,
		.handler.handle_time_out = link_handle_time_out,
		.handler.handle_close = link_handle_close,
		.open = link_open,
};

static struct pro_service_handler *client_make_link(struct peer *peer)
{
	struct file_client *client = pro_container_of(peer, struct file_client, peer);
	struct file_link *link = object_create(peer->proactor, sizeof(*link));

	if (!link || pro_service_handler_init(&link->service, &link_vtbl, peer->proactor)) {
		object_free(peer->proactor, link);
		return NULL;
	}
	link->client = client;
	link->is_line = client->kind == ASK_LINE;
	link->is_slow = pro_sim_choose(client->service->sim, 6) == 0;
	if (pro_sim_choose(client->service->sim, 20) == 0)
		link->mood = (enum mood)pro_sim_choose(client->service->sim, MOODS);
	client->service->links++;
	return &link->service;
}

/* ---- the session ---- */

static void make_files(struct pro_sim *sim)
{
	static char bytes[FILE_MAX];
	char path[32];

	pro_sim_make_directory(sim, "/srv");
	for (unsigned file = 0; file < NO_FILE; file++) {
		for (size_t i = 0; i < file_sizes[file]; i++)
			bytes[i] = file_byte(file, i);
		snprintf(path, sizeof(path), "/srv/file%u", file);
		pro_sim_file_write(sim, path, 0, bytes, file_sizes[file]);
	}
}

static int set_up(struct pro_sim *sim, void **context)
{
	struct service *service = calloc(1, sizeof(*service));
	struct file_service *server;
	struct pro_addr addr;
	unsigned count = pro_sim_parameter(sim);
	int error;

	if (!service)
		return PRO_ENOMEM;
	*context = service;
	service->sim = sim;
	service->cut_ms = pro_sim_choose(sim, 2000);
	make_files(sim);
	server = &service->server;
	server->request_timeout_s = REQUEST_MS / 1000;
	server->stall_timeout_s = 60;
	server->limits.connections_max = 4096;
	server->limits.per_address_max = 4096;
	pro_addr_parse(&addr, SERVER);
	error = pro_sim_proactor_create(sim, "files", NULL, &server->loops.proactor);
	if (!error)
		error = pro_file_root_open(server->loops.proactor, "/srv", &server->root);
	if (!error)
		error = service_open(server, &addr);
	for (; !error && service->clients_count < count && service->clients_count < CLIENTS_MAX;
			service->clients_count++) {
		struct file_client *client = &service->clients[service->clients_count];

		client->service = service;
		client->peer.make_link = client_make_link;
		client_choose_task(client);
		error = peer_start(&client->peer, sim, service->clients_count, SERVER);
	}
	return error;
}

/* Cuts the file when its time has come, in whatever transmission it is. */
static void service_check(struct pro_sim *sim, void *context)
{
	struct service *service = context;
	char path[32];

	if (service->is_cut || pro_sim_now_ns(sim) / 1000000 < service->cut_ms)
		return;
	service->is_cut = true;
	snprintf(path, sizeof(path), "/srv/file%u", CUT_FILE);
	pro_sim_file_resize(sim, path, CUT_BYTES);
}

static bool service_is_done(struct pro_sim *sim, void *context)
{
	const struct service *service = context;

	(void)sim;
	return service->done == service->clients_count;
}

static bool service_is_over(void *context)
{
	const struct service *service = context;

	return service->server.session_count == 0 && service->links == 0;
}

/* The server stops as at a Ctrl-C, and has nothing left when its time is over. */
static void service_stop(struct pro_sim *sim, void *context)
{
	struct service *service = context;

	service->is_stopping = true;
	if (service->clients_count > 0 && service_is_done(sim, service) && !pro_sim_failure(sim)) {
		pro_sim_stop_faults(sim);
		if (pro_handler_wakeup(&service->server.handler))
			pro_sim_fail(sim, "the server can not be told to stop");
		if (pro_sim_run_until(sim, service_is_over, service, OVER_MS) == PRO_ETIMEDOUT)
			pro_sim_fail(sim, "%u sessions and %u connections do not end",
					service->server.session_count, service->links);
	}
	pro_file_root_close(service->server.root);
}

static void service_tear_down(struct pro_sim *sim, void *context)
{
	struct service *service = context;

	while (service->server.sessions)
		session_forget(service->server.sessions);
	if (service->server.limits.connections > 0 && !pro_sim_failure(sim))
		pro_sim_fail(sim, "%u places are left", (unsigned)service->server.limits.connections);
	free(service);
}

const char *const service_name = "file_server";

void service_test_init(struct pro_sim_test *test)
{
	pro_sim_test_init(test);
	test->options.parameter = 4;
	test->set_up = set_up;
	test->is_done = service_is_done;
	test->check = service_check;
	test->stop = service_stop;
	test->tear_down = service_tear_down;
}
