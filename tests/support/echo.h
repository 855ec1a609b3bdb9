/* An echo server on the acceptor, one allocation per connection, and a client that checks what
 * comes back. */
#ifndef TESTS_SUPPORT_ECHO_H
#define TESTS_SUPPORT_ECHO_H

#include <proactor/asynch_acceptor.h>

#include "recorder.h"

struct echo_server {
	struct pro_asynch_acceptor acceptor; /* first */
	bool borrows;                        /* read without a block */
	bool refuses;                        /* make_handler returns NULL */
	int verdict;                         /* of validate_connection */
	PRO_ATOMIC(unsigned) opened;
	PRO_ATOMIC(unsigned) closed;
	PRO_ATOMIC(unsigned) validated;
	bool is_closed;
};

/* Listens on `text`; 0 or the error of the acceptor. */
int echo_server_open(struct echo_server *server, struct pro_proactor *proactor, const char *text);
void echo_server_close(struct world *world, struct echo_server *server);

/* A recorder that sends `bytes_total` pattern bytes, `bytes_once` at a time (half duplex), and
 * checks their echo; its end is sent when all came back. */
struct echo_client {
	struct recorder *recorder;
	uint64_t bytes_total;
	size_t bytes_once;
	uint64_t sent;
	uint64_t received;
	unsigned seed;
	bool is_done; /* all came back, and then the server's end */
	uint64_t batch_sent;
	/* Most turns of the loop between a send and its whole echo, but the first, which waits for the
	 * accept. */
	uint64_t batches_max;
	struct pro_message_block read_block;
	struct pro_message_block write_block;
	unsigned char read_bytes[4096];
	unsigned char write_bytes[4096];
};

void echo_client_init(struct echo_client *client, struct world *world, const char *name,
		uint64_t bytes_total, size_t bytes_once);
/* Connects and begins. */
void echo_client_connect(struct echo_client *client, const struct pro_addr *addr);
/* Begins on a connected socket. */
void echo_client_begin(struct echo_client *client, pro_handle handle);

#endif
