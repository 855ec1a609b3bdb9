/* The session of the checker: a server, guests that connect to it, and on every machine a handler
 * that waits for what never comes. All they do is chosen by the seed and checked. */
#ifndef TESTS_MUTANTS_LAWS_H
#define TESTS_MUTANTS_LAWS_H

#include <proactor/asynch_acceptor.h>
#include <proactor/asynch_connector.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/sim.h>

#include "actor.h"

/* The bytes that go over the wire are a table, read from another place for each direction of each
 * connection; a file holds it twice, so that any part of it is one range. */
#define TABLE_BYTES 4096u
#define TABLE_PATH  "table"

#define MACHINES_MAX 6u

struct guest;

/* One direction of a connection. */
struct direction {
	uint64_t offered;  /* bytes that were given to the library */
	uint64_t sent;     /* that went out, as it says */
	uint64_t received; /* by the other side */
	bool is_shut;      /* after the last byte */
	bool has_failed;
	bool is_closed; /* its sender was closed */
};

struct connection {
	struct connection *next;
	struct pro_addr client; /* its address */
	unsigned number;
	bool has_side[2];
	struct direction directions[2]; /* of what the client sends, of what the server sends */
};

/* A machine. */
struct machine {
	struct laws_session *session;
	struct pro_proactor *proactor;
	pro_handle table; /* PRO_INVALID_HANDLE when it could not be opened */
	unsigned number;
	unsigned waiters; /* made so far */
};

struct laws_session {
	struct laws laws; /* first */
	struct machine machines[MACHINES_MAX];
	unsigned machines_count;
	struct pro_asynch_acceptor acceptor; /* of machine 0 */
	bool is_acceptor_open;
	bool has_resets; /* the world breaks connections */
	bool is_closing;
	struct connection *connections;
	unsigned connections_count;
	struct guest *guests;
	unsigned guests_done;
	unsigned server_ends;
	unsigned char table[2 * TABLE_BYTES];
};

static inline struct laws_session *session_of(struct actor *actor)
{
	return pro_container_of(actor->laws, struct laws_session, laws);
}

/* Where the bytes of a direction stand that begin at `offset`; up to TABLE_BYTES of them. */
const unsigned char *direction_bytes(const struct laws_session *session,
		const struct connection *connection, unsigned side, uint64_t offset);

/* Zeroed memory that the world looks after. */
void *laws_allocate(struct laws *laws, size_t size);
void laws_free(struct laws *laws, void *memory);

/* ---- one side of a connection (end.c) ---- */

/* `guest` is NULL on the server's side. NULL without memory. */
struct pro_service_handler *end_create(struct machine *machine, struct guest *guest);
/* The connection of a guest is over; `is_whole` when all bytes of both sides came. */
void guest_lost(struct guest *guest, bool is_whole);
/* Whether the guest wants connections that end by mischief as well. */
bool guest_is_wild(const struct guest *guest);

/* ---- waiting (waiter.c) ---- */

int waiter_start(struct machine *machine);

/* ---- the session (laws.c) ---- */

void laws_test_init(struct pro_sim_test *test);

/* ---- the session about what comes late (late.c) ---- */

void late_test_init(struct pro_sim_test *test);

/* ---- the session about what hardly moves (stalls.c) ---- */

void stalls_test_init(struct pro_sim_test *test);

/* ---- the session about connections that come and go (doors.c) ---- */

void doors_test_init(struct pro_sim_test *test);

#endif
