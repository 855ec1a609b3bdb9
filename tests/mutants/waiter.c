/* A handler that mostly waits for what never comes: a datagram, a connection, the end of a long
 * time. Only cancels, deadlines and closes end that. In between it writes and reads a file, sends
 * datagrams to its like, connects and looks up names. */
#include "laws.h"

#include <proactor/asynch_accept.h>
#include <proactor/asynch_connect.h>
#include <proactor/asynch_read_dgram.h>
#include <proactor/asynch_read_file.h>
#include <proactor/asynch_resolve.h>
#include <proactor/asynch_timer.h>
#include <proactor/asynch_write_dgram.h>
#include <proactor/asynch_write_file.h>
#include <proactor/file.h>
#include <proactor/socket.h>

#include <stdio.h>
#include <string.h>

#define DGRAM_PORT      4000u
#define LISTEN_PORT     5000u
#define DGRAM_BYTES     64u
#define FILE_BYTES      1024u
#define PIECE_BYTES     256u
#define LONG_MS         INT64_C(86400000)
#define GENERATIONS     3u
#define MISCHIEF_ONE_IN 40u

struct waiter {
	struct actor actor;
	struct pro_handler handler;
	struct machine *machine;

	struct pro_asynch_read_dgram receiver;
	struct track receiving;
	struct pro_message_block in;
	unsigned char in_bytes[DGRAM_BYTES];
	struct pro_asynch_write_dgram sender;
	struct track sending;
	struct pro_message_block out;
	unsigned char out_bytes[DGRAM_BYTES];

	pro_handle listener;
	struct pro_asynch_accept accept;
	struct track accepting;
	struct pro_asynch_connect connect;
	struct track connecting;
	struct pro_asynch_resolve resolver;
	struct track resolving;
	struct pro_asynch_timer timer;
	struct track timing;

	pro_handle file;
	struct pro_asynch_read_file reader;
	struct track reading;
	struct pro_asynch_write_file writer;
	struct track writing;
	struct pro_message_block pieces[2][2]; /* of the reader and of the writer */
	unsigned char piece_bytes[2][2][PIECE_BYTES];
	uint64_t reading_at;
	uint64_t writing_at;
	unsigned writing_count;
	unsigned char model[FILE_BYTES]; /* what is in the file, where it is known */
	bool is_known[FILE_BYTES];
};

static struct waiter *waiter_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct waiter, handler);
}

static void waiter_fail(const struct waiter *waiter, const char *what)
{
	pro_sim_fail(
			waiter->actor.laws->sim, "waiter of machine %u: %s", waiter->machine->number, what);
}

static bool waiter_is_over(const struct waiter *waiter)
{
	return actor_is_closing(&waiter->actor) || waiter->actor.laws->is_over;
}

static int64_t some_timeout(struct laws *laws)
{
	return laws_chance(laws, 2) ? (int64_t)laws_choose(laws, 3000) : PRO_NO_TIMEOUT;
}

static struct pro_addr addr_of(unsigned machine, unsigned port)
{
	struct pro_addr addr;
	char text[32];

	snprintf(text, sizeof(text), "10.0.0.%u:%u", machine + 1, port);
	pro_addr_parse(&addr, text);
	return addr;
}

/* ---- datagrams ---- */

static void waiter_receive(struct waiter *waiter)
{
	if (waiter->receiving.in_flight)
		return;
	track_set_timeout(&waiter->receiving, some_timeout(waiter->actor.laws));
	pro_message_block_init(&waiter->in, waiter->in_bytes, sizeof(waiter->in_bytes));
	track_started(&waiter->receiving,
			CALL(&waiter->actor, pro_asynch_read_dgram_recv(&waiter->receiver, &waiter->in)));
}

/* Its first byte is its length, the rest counts on from that. */
static void waiter_send(struct waiter *waiter)
{
	const unsigned length = 1 + laws_choose(waiter->actor.laws, DGRAM_BYTES);
	struct pro_addr addr =
			addr_of(laws_choose(waiter->actor.laws, session_of(&waiter->actor)->machines_count),
					DGRAM_PORT);

	if (waiter->sending.in_flight)
		return;
	for (unsigned i = 0; i < length; i++)
		waiter->out_bytes[i] = (unsigned char)(length + i);
	pro_message_block_init_filled(&waiter->out, waiter->out_bytes, length);
	track_started(&waiter->sending,
			CALL(&waiter->actor,
					pro_asynch_write_dgram_send(&waiter->sender, &waiter->out, &addr)));
}

static void waiter_settle(struct waiter *waiter);

static void waiter_handle_read_dgram(
		struct pro_handler *handler, const struct pro_asynch_read_dgram_result *result)
{
	struct waiter *waiter = waiter_from_handler(handler);
	const size_t length = pro_message_block_length(&waiter->in);

	actor_enter(&waiter->actor);
	track_ended(&waiter->receiving, result->error);
	if (result->block != &waiter->in || length != result->bytes_transferred)
		waiter_fail(waiter, "a datagram with another count than its block");
	if (result->error == 0 && pro_addr_port(result->remote) != DGRAM_PORT)
		waiter_fail(waiter, "a datagram from a stranger");
	for (size_t i = 0; result->error == 0 && i < length; i++)
		if (waiter->in_bytes[i] != (unsigned char)(length + i))
			waiter_fail(waiter, "a datagram came changed");
	waiter_settle(waiter);
	actor_leave(&waiter->actor);
}

static void waiter_handle_write_dgram(
		struct pro_handler *handler, const struct pro_asynch_write_dgram_result *result)
{
	struct waiter *waiter = waiter_from_handler(handler);

	actor_enter(&waiter->actor);
	track_ended(&waiter->sending, result->error);
	if (result->block != &waiter->out || result->bytes_requested != waiter->out.wr ||
			(result->error == 0 && result->bytes_transferred != waiter->out.wr))
		waiter_fail(waiter, "a datagram went out with a wrong count");
	waiter_settle(waiter);
	actor_leave(&waiter->actor);
}

/* ---- connections that nobody wants ---- */

static void waiter_accept(struct waiter *waiter)
{
	if (waiter->accepting.in_flight)
		return;
	track_set_timeout(&waiter->accepting, some_timeout(waiter->actor.laws));
	track_started(
			&waiter->accepting, CALL(&waiter->actor, pro_asynch_accept_accept(&waiter->accept)));
}

static void waiter_take(
		struct waiter *waiter, struct track *track, int error, pro_handle handle, bool *has_handle)
{
	track_ended(track, error);
	*has_handle = handle != PRO_INVALID_HANDLE;
	if (*has_handle != (error == 0))
		waiter_fail(waiter, "a socket with an error, or none without");
}

static void waiter_handle_accept(
		struct pro_handler *handler, const struct pro_asynch_accept_result *result)
{
	struct waiter *waiter = waiter_from_handler(handler);
	bool has_handle;

	actor_enter(&waiter->actor);
	waiter_take(waiter, &waiter->accepting, result->error, result->accepted, &has_handle);
	if (has_handle && pro_addr_port(result->local) != LISTEN_PORT)
		waiter_fail(waiter, "a connection with another address");
	if (has_handle)
		pro_proactor_close_handle(waiter->machine->proactor, result->accepted);
	waiter_settle(waiter);
	actor_leave(&waiter->actor);
}

static void waiter_connect(struct waiter *waiter)
{
	struct laws *laws = waiter->actor.laws;
	/* One in four is a machine that is not there. */
	const struct pro_addr addr = addr_of(
			laws_chance(laws, 4) ? 250
								 : laws_choose(laws, session_of(&waiter->actor)->machines_count),
			LISTEN_PORT);

	if (waiter->connecting.in_flight)
		return;
	pro_operation_set_timeout(&waiter->connect.operation, some_timeout(laws));
	track_started(&waiter->connecting,
			CALL(&waiter->actor, pro_asynch_connect_connect(&waiter->connect, &addr, NULL)));
}

static void waiter_handle_connect(
		struct pro_handler *handler, const struct pro_asynch_connect_result *result)
{
	struct waiter *waiter = waiter_from_handler(handler);
	bool has_handle;

	actor_enter(&waiter->actor);
	waiter_take(waiter, &waiter->connecting, result->error, result->connected, &has_handle);
	if (has_handle)
		pro_proactor_close_handle(waiter->machine->proactor, result->connected);
	waiter_settle(waiter);
	actor_leave(&waiter->actor);
}

static void waiter_resolve(struct waiter *waiter)
{
	const bool is_known = laws_chance(waiter->actor.laws, 2);

	if (!waiter->resolving.in_flight)
		track_started(&waiter->resolving,
				CALL(&waiter->actor,
						pro_asynch_resolve_resolve(&waiter->resolver,
								is_known ? "server.example:7007" : "nobody.example:1")));
}

static void waiter_handle_resolve(
		struct pro_handler *handler, const struct pro_asynch_resolve_result *result)
{
	struct waiter *waiter = waiter_from_handler(handler);

	actor_enter(&waiter->actor);
	track_ended(&waiter->resolving, result->error);
	if ((result->error == 0) != (result->count > 0))
		waiter_fail(waiter, "a name without addresses");
	waiter_settle(waiter);
	actor_leave(&waiter->actor);
}

/* ---- a file ---- */

static struct pro_message_block *make_pieces(
		struct waiter *waiter, unsigned which, unsigned first, unsigned second)
{
	struct pro_message_block *pieces = waiter->pieces[which];

	pro_message_block_init(&pieces[0], waiter->piece_bytes[which][0], first);
	pro_message_block_init(&pieces[1], waiter->piece_bytes[which][1], second);
	pieces[0].cont = second > 0 ? &pieces[1] : NULL;
	return pieces;
}

static void waiter_write(struct waiter *waiter)
{
	struct laws *laws = waiter->actor.laws;
	const unsigned first = 1 + laws_choose(laws, PIECE_BYTES);
	const unsigned second = laws_chance(laws, 2) ? 1 + laws_choose(laws, PIECE_BYTES) : 0;
	struct pro_message_block *pieces;
	int error;

	if (waiter->writing.in_flight || waiter->reading.in_flight ||
			waiter->file == PRO_INVALID_HANDLE)
		return;
	waiter->writing_at = laws_choose(laws, FILE_BYTES - first - second);
	waiter->writing_count = first + second;
	pieces = make_pieces(waiter, 1, first, second);
	for (unsigned i = 0; i < first + second; i++) {
		struct pro_message_block *piece = i < first ? &pieces[0] : &pieces[1];

		piece->base[piece->wr++] = (unsigned char)laws_choose(laws, 256);
	}
	error = second > 0 ? CALL(&waiter->actor, pro_asynch_write_file_writev(
													  &waiter->writer, pieces, waiter->writing_at))
					   : CALL(&waiter->actor, pro_asynch_write_file_write(
													  &waiter->writer, pieces, waiter->writing_at));
	if (track_started(&waiter->writing, error))
		memset(waiter->is_known + waiter->writing_at, 0, first + second);
}

static void waiter_handle_write_file(
		struct pro_handler *handler, const struct pro_asynch_write_file_result *result)
{
	struct waiter *waiter = waiter_from_handler(handler);
	const struct pro_message_block *pieces = waiter->pieces[1];

	actor_enter(&waiter->actor);
	track_ended(&waiter->writing, result->error);
	if (result->offset != waiter->writing_at || result->block != pieces ||
			result->bytes_transferred > waiter->writing_count ||
			(result->error == 0 && result->bytes_transferred != waiter->writing_count) ||
			pro_message_block_total_length(pieces) + result->bytes_transferred !=
					waiter->writing_count)
		waiter_fail(waiter, "a file write with a wrong count");
	for (size_t i = 0; i < result->bytes_transferred; i++) {
		const size_t first = pieces[0].wr;

		waiter->model[waiter->writing_at + i] =
				i < first ? pieces[0].base[i] : pieces[1].base[i - first];
		waiter->is_known[waiter->writing_at + i] = true;
	}
	waiter_settle(waiter);
	actor_leave(&waiter->actor);
}

static void waiter_read(struct waiter *waiter)
{
	struct laws *laws = waiter->actor.laws;
	const unsigned first = 1 + laws_choose(laws, PIECE_BYTES);
	const unsigned second = laws_chance(laws, 2) ? 1 + laws_choose(laws, PIECE_BYTES) : 0;
	struct pro_message_block *pieces;
	int error;

	if (waiter->writing.in_flight || waiter->reading.in_flight ||
			waiter->file == PRO_INVALID_HANDLE)
		return;
	waiter->reading_at = laws_choose(laws, FILE_BYTES - first - second);
	pieces = make_pieces(waiter, 0, first, second);
	error = second > 0 ? CALL(&waiter->actor, pro_asynch_read_file_readv(&waiter->reader, pieces, 0,
													  waiter->reading_at))
					   : CALL(&waiter->actor, pro_asynch_read_file_read(&waiter->reader, pieces, 0,
													  waiter->reading_at));
	track_started(&waiter->reading, error);
}

static void waiter_check_piece(
		struct waiter *waiter, const struct pro_message_block *piece, uint64_t at)
{
	for (size_t i = 0; i < piece->wr; i++)
		if (waiter->is_known[at + i] && piece->base[i] != waiter->model[at + i])
			waiter_fail(waiter, "a file was read that nobody wrote");
}

static void waiter_handle_read_file(
		struct pro_handler *handler, const struct pro_asynch_read_file_result *result)
{
	struct waiter *waiter = waiter_from_handler(handler);
	const struct pro_message_block *pieces = waiter->pieces[0];

	actor_enter(&waiter->actor);
	track_ended(&waiter->reading, result->error);
	if (result->offset != waiter->reading_at || result->block != pieces ||
			pro_message_block_total_length(pieces) != result->bytes_transferred)
		waiter_fail(waiter, "a file read with a wrong count");
	if (result->error == 0 && result->bytes_transferred < result->bytes_requested &&
			waiter->reading_at + result->bytes_transferred < FILE_BYTES &&
			waiter->is_known[waiter->reading_at + result->bytes_transferred])
		waiter_fail(waiter, "a file read that is short before the end");
	if (result->error == PRO_EOF && waiter->is_known[waiter->reading_at])
		waiter_fail(waiter, "a file ends before its end");
	waiter_check_piece(waiter, &pieces[0], waiter->reading_at);
	waiter_check_piece(waiter, &pieces[1], waiter->reading_at + pieces[0].wr);
	waiter_settle(waiter);
	actor_leave(&waiter->actor);
}

/* ---- the rest ---- */

static void waiter_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct waiter *waiter = waiter_from_handler(handler);

	actor_enter(&waiter->actor);
	track_ended(&waiter->timing, result->error);
	if (result->error == 0 && track_elapsed_ns(&waiter->timing) < (uint64_t)LONG_MS * 1000000)
		waiter_fail(waiter, "a timer is early by hours");
	waiter_settle(waiter);
	actor_leave(&waiter->actor);
}

static void waiter_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	struct waiter *waiter = waiter_from_handler(handler);

	actor_enter(&waiter->actor);
	actor_handle_post(&waiter->actor, result);
	waiter_settle(waiter);
	actor_leave(&waiter->actor);
}

static void waiter_handle_wakeup(struct pro_handler *handler)
{
	struct waiter *waiter = waiter_from_handler(handler);

	actor_enter(&waiter->actor);
	actor_handle_wakeup(&waiter->actor);
	waiter_settle(waiter);
	actor_leave(&waiter->actor);
}

static void waiter_act(struct actor *actor, bool on_loop)
{
	struct waiter *waiter = pro_container_of(actor, struct waiter, actor);
	struct track *const tracks[] = {&waiter->receiving, &waiter->accepting, &waiter->timing,
			&waiter->connecting, &waiter->resolving, &waiter->reading, &waiter->writing,
			&waiter->sending};
	struct laws *laws = actor->laws;

	if (waiter_is_over(waiter))
		return;
	switch (laws_choose(laws, 10)) {
	case 0:
	case 1:
	case 2:
		track_cancel(tracks[laws_choose(laws, sizeof(tracks) / sizeof(tracks[0]))], on_loop);
		break;
	case 3:
		actor_post(actor, laws_chance(laws, 8) ? POSTS : 1);
		actor_wakeup(actor);
		break;
	case 4:
		waiter_send(waiter);
		break;
	case 5:
		waiter_connect(waiter);
		break;
	case 6:
		waiter_resolve(waiter);
		break;
	case 7:
		waiter_write(waiter);
		break;
	case 8:
		waiter_read(waiter);
		break;
	default:
		if (laws_chance(laws, MISCHIEF_ONE_IN))
			actor_close(actor);
	}
}

static void waiter_settle(struct waiter *waiter)
{
	if (waiter_is_over(waiter))
		return;
	waiter_receive(waiter);
	waiter_accept(waiter);
	if (!waiter->timing.in_flight)
		track_started(&waiter->timing,
				CALL(&waiter->actor, pro_asynch_timer_schedule(&waiter->timer, LONG_MS)));
	if (laws_chance(waiter->actor.laws, 2) && !waiter->actor.laws->is_calm)
		waiter_act(&waiter->actor, true);
}

static void waiter_handle_close(struct pro_handler *handler)
{
	struct waiter *waiter = waiter_from_handler(handler);
	struct laws *laws = waiter->actor.laws;
	struct machine *machine = waiter->machine;

	actor_enter(&waiter->actor);
	actor_closed(&waiter->actor);
	if (waiter->listener != PRO_INVALID_HANDLE)
		pro_proactor_close_handle(machine->proactor, waiter->listener);
	if (waiter->file != PRO_INVALID_HANDLE)
		pro_proactor_close_handle(machine->proactor, waiter->file);
	laws_free(laws, waiter);
	laws->is_in_callback = false;
	if (!laws->is_over && !laws->is_calm && !machine->session->is_closing &&
			machine->waiters < GENERATIONS)
		waiter_start(machine);
}

static const struct pro_handler_vtbl waiter_vtbl = {
		.handle_read_dgram = waiter_handle_read_dgram,
		.handle_write_dgram = waiter_handle_write_dgram,
		.handle_accept = waiter_handle_accept,
		.handle_connect = waiter_handle_connect,
		.handle_resolve = waiter_handle_resolve,
		.handle_read_file = waiter_handle_read_file,
		.handle_write_file = waiter_handle_write_file,
		.handle_time_out = waiter_handle_time_out,
		.handle_post = waiter_handle_post,
		.handle_wakeup = waiter_handle_wakeup,
		.handle_close = waiter_handle_close,
};

static int waiter_open_operations(struct waiter *waiter)
{
	struct pro_handler *handler = &waiter->handler;
	struct actor *actor = &waiter->actor;
	int error = pro_asynch_read_dgram_open(&waiter->receiver, handler, PRO_INVALID_HANDLE, NULL);

	if (!error)
		error = pro_asynch_write_dgram_open(&waiter->sender, handler, PRO_INVALID_HANDLE, NULL);
	if (!error)
		error = pro_asynch_accept_open(&waiter->accept, handler, waiter->listener, NULL);
	if (!error)
		error = pro_asynch_connect_open(&waiter->connect, handler, NULL);
	if (!error)
		error = pro_asynch_resolve_open(&waiter->resolver, handler, NULL);
	if (!error)
		error = pro_asynch_timer_open(&waiter->timer, handler, NULL);
	if (!error && waiter->file != PRO_INVALID_HANDLE)
		error = pro_asynch_read_file_open(&waiter->reader, handler, waiter->file, NULL);
	if (!error && waiter->file != PRO_INVALID_HANDLE)
		error = pro_asynch_write_file_open(&waiter->writer, handler, waiter->file, NULL);
	track_init(&waiter->receiving, actor, &waiter->receiver.operation, "receive");
	track_init(&waiter->sending, actor, &waiter->sender.operation, "send");
	track_init(&waiter->accepting, actor, &waiter->accept.operation, "accept");
	track_init(&waiter->connecting, actor, &waiter->connect.operation, "connect");
	track_init(&waiter->resolving, actor, &waiter->resolver.operation, "resolve");
	track_init(&waiter->timing, actor, &waiter->timer.operation, "long timer");
	track_init(&waiter->reading, actor, &waiter->reader.operation, "read file");
	track_init(&waiter->writing, actor, &waiter->writer.operation, "write file");
	waiter->connecting.may_time_out = true;
	return error;
}

int waiter_start(struct machine *machine)
{
	struct laws *laws = &machine->session->laws;
	struct waiter *waiter = laws_allocate(laws, sizeof(*waiter));
	const struct pro_addr dgram = addr_of(machine->number, DGRAM_PORT);
	const struct pro_addr listen = addr_of(machine->number, LISTEN_PORT);
	pro_handle socket;
	char name[16];
	int error;

	if (!waiter)
		return PRO_ENOMEM;
	machine->waiters++;
	waiter->machine = machine;
	waiter->file = PRO_INVALID_HANDLE;
	waiter->listener = PRO_INVALID_HANDLE;
	pro_handler_init(&waiter->handler, &waiter_vtbl, machine->proactor);
	error = pro_socket_dgram(machine->proactor, PRO_FAMILY_INET, &dgram, &socket);
	if (error) {
		laws_free(laws, waiter);
		/* Its machine may have no handle left. */
		return error == PRO_EMFILE ? 0 : error;
	}
	pro_handler_set_handle(&waiter->handler, socket);
	actor_init(&waiter->actor, laws, &waiter->handler, "waiter", waiter_act);
	snprintf(name, sizeof(name), "file%u", machine->number);
	/* A file that can not be opened is done without. */
	pro_file_open(machine->proactor, name,
			PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE | PRO_FILE_TRUNCATE, &waiter->file);
	error = pro_socket_listen(machine->proactor, &listen, 0, &waiter->listener);
	if (!error)
		error = waiter_open_operations(waiter);
	if (error && error != PRO_EMFILE)
		pro_sim_fail(laws->sim, "a waiter can not be opened: %s", pro_error_name(error));
	if (error)
		actor_close(&waiter->actor);
	else
		waiter_settle(waiter);
	return 0;
}
