/* Chat: a room in which every line goes to every member, by shared blocks. */
#include "peer.h"

#include "../../proactor/list.h"

#include <stdlib.h>
#include <string.h>

#define LINES        12u
#define QUEUE_BYTES  160u
#define PEERS_MAX    16u
#define LINKS_MAX    256u /* connections of one client that are told apart */
#define SLOW_READ_MS 40u

/* What goes over the wire: fixed, so that every split of it is as good as any other. */
struct line {
	uint32_t client;
	uint32_t link; /* number of the client's connection */
	uint32_t number;
	uint32_t check;
};

struct chat_session {
	struct pro_sim *sim;
	struct pro_proactor *proactor;
	struct pro_asynch_acceptor acceptor;
	struct pro_list_node members;
	struct chat_client *clients;
	unsigned clients_count;
	unsigned done;
	unsigned connections;
};

/* ---- the server ---- */

struct member {
	struct pro_service_handler service;
	struct chat_session *session;
	struct pro_list_node link;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_message_block block;
	unsigned char bytes[sizeof(struct line)];
};

static struct member *member_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct member, service.handler);
}

static struct member *member_from_link(struct pro_list_node *node)
{
	return pro_container_of(node, struct member, link);
}

/* It stays in the list until its last callback, and is passed over until then. */
static void member_drop(struct member *member)
{
	pro_handler_close(&member->service.handler);
	if (is_planted(BUG_CLOSE_IN_BROADCAST) && pro__list_contains(&member->link)) {
		pro__list_remove(&member->link);
		memset(&member->link, 0, sizeof(member->link));
	}
}

static void member_read(struct member *member)
{
	pro_message_block_init(&member->block, member->bytes, sizeof(member->bytes));
	if (pro_asynch_read_stream_read_exactly(&member->reader, &member->block, sizeof(member->bytes)))
		member_drop(member);
}

static void member_send(struct member *member, const struct pro_message_block *line)
{
	struct pro_message_block *copy;

	if (pro_handler_is_closing(&member->service.handler))
		return;
	if (pro_asynch_write_stream_queued(&member->writer) >= QUEUE_BYTES &&
			!is_planted(BUG_UNBOUNDED_QUEUE)) {
		member_drop(member);
		return;
	}
	copy = pro_message_block_duplicate(line);
	if (!copy || pro_asynch_write_stream_write(&member->writer, copy)) {
		pro_message_block_release(copy);
		member_drop(member);
	}
}

static void chat_broadcast(struct chat_session *session, const struct member *sender)
{
	struct pro_message_block *line = pro_message_block_create(NULL, sizeof(sender->bytes));
	struct pro_list_node *node;
	struct pro_list_node *next;

	pro_message_block_copy(line, sender->bytes, sizeof(sender->bytes));
	for (node = session->members.next; node != &session->members; node = next) {
		next = node->next;
		member_send(member_from_link(node), line);
		if (is_planted(BUG_CLOSE_IN_BROADCAST))
			next = node->next;
	}
	pro_message_block_release(line);
}

static void member_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct member *member = member_from_handler(handler);

	if (result->error) {
		member_drop(member);
		return;
	}
	chat_broadcast(member->session, member);
	if (!pro_handler_is_closing(handler))
		member_read(member);
}

static void member_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct member *member = member_from_handler(handler);

	if (result->error && is_planted(BUG_SECOND_COPY) && result->bytes_transferred == 0) {
		struct pro_message_block *copy = pro_message_block_duplicate(result->block);

		if (copy && pro_asynch_write_stream_write(&member->writer, copy))
			pro_message_block_release(copy);
		if (pro_asynch_write_stream_write(&member->writer, result->block) == 0)
			return;
	}
	pro_message_block_release(result->block);
	if (result->error)
		member_drop(member);
}

static void member_handle_close(struct pro_handler *handler)
{
	struct member *member = member_from_handler(handler);

	if (pro__list_contains(&member->link))
		pro__list_remove(&member->link);
	member->session->connections--;
	object_free(pro_handler_proactor(handler), member);
}

static void member_open(struct pro_service_handler *service)
{
	struct member *member = member_from_handler(&service->handler);

	if (pro_asynch_read_stream_open(&member->reader, &service->handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_write_stream_open(
					&member->writer, &service->handler, PRO_INVALID_HANDLE, NULL)) {
		member_drop(member);
		return;
	}
	if (is_planted(BUG_SECOND_COPY))
		pro_operation_set_timeout(&member->writer.operation, 20);
	pro__list_append(&member->session->members, &member->link);
	member_read(member);
}

static const struct pro_service_handler_vtbl member_vtbl = {
		.handler.handle_read_stream = member_handle_read_stream,
		.handler.handle_write_stream = member_handle_write_stream,
		.handler.handle_close = member_handle_close,
		.open = member_open,
};

static struct pro_service_handler *chat_make_member(struct pro_asynch_acceptor *acceptor)
{
	struct chat_session *session = pro_container_of(acceptor, struct chat_session, acceptor);
	struct member *member = object_create(session->proactor, sizeof(*member));

	if (!member || pro_service_handler_init(&member->service, &member_vtbl, session->proactor)) {
		object_free(session->proactor, member);
		return NULL;
	}
	member->session = session;
	session->connections++;
	return &member->service;
}

static const struct pro_asynch_acceptor_vtbl acceptor_vtbl = {
		.make_handler = chat_make_member,
};

/* ---- a client ---- */

struct chat_client {
	struct peer peer; /* first */
	struct chat_session *session;
	uint32_t links;
};

struct chat_link {
	struct pro_service_handler service;
	struct chat_client *client;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_timer timer;
	struct pro_message_block read_block;
	struct pro_message_block write_block;
	struct line received;
	struct line sent;
	uint32_t number;    /* of this connection */
	uint32_t lines;     /* that were sent */
	uint32_t own_lines; /* that came back */
	bool is_slow;
	/* The next line of each connection of each client; 0: none has come yet. */
	uint32_t next[PEERS_MAX][LINKS_MAX];
};

static struct chat_link *link_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct chat_link, service.handler);
}

static void link_close(struct chat_link *link)
{
	pro_handler_close(&link->service.handler);
}

static void link_send(struct chat_link *link)
{
	const struct chat_client *client = link->client;

	link->sent.client = client->peer.number;
	link->sent.link = link->number;
	link->sent.number = ++link->lines;
	link->sent.check = link->sent.client * 31 + link->sent.link * 17 + link->sent.number;
	pro_message_block_init_filled(&link->write_block, &link->sent, sizeof(link->sent));
	if (pro_asynch_write_stream_write(&link->writer, &link->write_block))
		link_close(link);
}

static void link_read(struct chat_link *link)
{
	pro_message_block_init(&link->read_block, &link->received, sizeof(link->received));
	if (pro_asynch_read_stream_read_exactly(
				&link->reader, &link->read_block, sizeof(link->received)))
		link_close(link);
}

/* Each line of a sender's connection comes once and behind the one before. */
static void link_check(struct chat_link *link)
{
	const struct line *line = &link->received;
	struct pro_sim *sim = link->client->session->sim;
	uint32_t *next;

	if (line->client >= PEERS_MAX || line->link >= LINKS_MAX ||
			line->check != line->client * 31 + line->link * 17 + line->number) {
		pro_sim_fail(sim, "client %u got a line that nobody sent", link->client->peer.number);
		return;
	}
	next = &link->next[line->client][line->link];
	if (*next != 0 && *next != line->number)
		pro_sim_fail(sim, "client %u got line %u of client %u, not line %u",
				link->client->peer.number, line->number, line->client, *next);
	*next = line->number + 1;
	if (line->client == link->client->peer.number && line->link == link->number)
		link->own_lines++;
}

static void link_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct chat_link *link = link_from_handler(handler);

	if (result->error) {
		link_close(link);
		return;
	}
	link_check(link);
	if (link->own_lines == LINES && !link->client->peer.is_done) {
		link->client->peer.is_done = true;
		link->client->session->done++;
	}
	if (link->is_slow)
		pro_asynch_timer_schedule(&link->timer, SLOW_READ_MS);
	else
		link_read(link);
}

static void link_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	if (!result->error)
		link_read(link_from_handler(handler));
}

static void link_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct chat_link *link = link_from_handler(handler);

	if (result->error)
		link_close(link);
	else if (link->lines < LINES)
		link_send(link);
}

static void link_handle_close(struct pro_handler *handler)
{
	struct chat_link *link = link_from_handler(handler);

	peer_lost(&link->client->peer);
	object_free(pro_handler_proactor(handler), link);
}

static void link_open(struct pro_service_handler *service)
{
	struct chat_link *link = link_from_handler(&service->handler);

	if (pro_asynch_read_stream_open(&link->reader, &service->handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_write_stream_open(
					&link->writer, &service->handler, PRO_INVALID_HANDLE, NULL) ||
			pro_asynch_timer_open(&link->timer, &service->handler, NULL)) {
		link_close(link);
		return;
	}
	pro_operation_set_timeout(&link->reader.operation, 20000);
	link_read(link);
	link_send(link);
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
	struct chat_link *link = object_create(peer->proactor, sizeof(*link));

	if (!link || pro_service_handler_init(&link->service, &link_vtbl, peer->proactor)) {
		object_free(peer->proactor, link);
		return NULL;
	}
	link->client = pro_container_of(peer, struct chat_client, peer);
	link->number = link->client->links++;
	/* One in four reads slowly at its first try. */
	link->is_slow = link->number == 0 && pro_proactor_random(peer->proactor) % 4 == 0;
	return &link->service;
}

/* ---- the session ---- */

static int chat_set_up(struct pro_sim *sim, void **context)
{
	struct chat_session *session = calloc(1, sizeof(*session));
	const unsigned count = pro_sim_parameter(sim) < PEERS_MAX ? pro_sim_parameter(sim) : PEERS_MAX;
	struct pro_addr addr;
	int error;

	if (!session)
		return PRO_ENOMEM;
	*context = session;
	session->sim = sim;
	pro__list_init(&session->members);
	pro_addr_parse(&addr, "10.0.0.1:5000");
	error = pro_sim_proactor_create(sim, "chat", NULL, &session->proactor);
	if (!error)
		error = pro_asynch_acceptor_open(
				&session->acceptor, &acceptor_vtbl, session->proactor, &addr);
	session->clients = calloc(count, sizeof(*session->clients));
	for (; !error && session->clients_count < count; session->clients_count++) {
		struct chat_client *client = &session->clients[session->clients_count];

		client->session = session;
		client->peer.make_link = client_make_link;
		error = peer_start(&client->peer, sim, session->clients_count, "10.0.0.1:5000");
	}
	return error;
}

static bool chat_is_done(struct pro_sim *sim, void *context)
{
	const struct chat_session *session = context;

	(void)sim;
	return session->done == session->clients_count;
}

static void chat_tear_down(struct pro_sim *sim, void *context)
{
	struct chat_session *session = context;

	if (session->connections > 0)
		pro_sim_fail(sim, "%u members are left", session->connections);
	free(session->clients);
	free(session);
}

void chat_test_init(struct pro_sim_test *test)
{
	pro_sim_test_init(test);
	test->options.parameter = 5;
	test->options.queued_bytes_max = QUEUE_BYTES + sizeof(struct line);
	/* What a member does not read must not vanish in the network. */
	test->options.buffer_bytes = 128;
	test->set_up = chat_set_up;
	test->is_done = chat_is_done;
	test->tear_down = chat_tear_down;
}
