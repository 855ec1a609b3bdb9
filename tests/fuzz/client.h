/* A simulated world with a service and a client of it, which sends the fuzzer's bytes. */
#ifndef TESTS_FUZZ_CLIENT_H
#define TESTS_FUZZ_CLIENT_H

#include <proactor/asynch_connector.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/service_handler.h>
#include <proactor/sim.h>

#include "fuzz.h"

#define CLIENT_TARGET "10.0.0.1:5000"
#define CLIENT_LIMIT  600000 /* virtual ms in which every session is over */

struct client {
	struct pro_service_handler service;
	struct pro_asynch_connector connector;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_message_block in;
	struct pro_message_block out;
	struct input input;
	unsigned char in_bytes[4096];
	unsigned char out_bytes[256];
	size_t piece;
	uint64_t received;
	bool is_closed;
};

/* A world without faults whose first proactor is the service's. Its log is silent. */
struct pro_sim *client_world(struct pro_proactor **service);

/* Connects, sends the input in pieces of at most `piece` bytes, ends its stream, and reads until
 * the service closes. */
void client_start(struct client *client, struct pro_sim *sim, struct input input, size_t piece);

/* Lets the world go on until the client is closed, which must happen. */
void client_finish(struct client *client, struct pro_sim *sim);

/* Ends the world, in which nothing may have gone wrong. */
void client_end_world(struct pro_sim *sim);

#endif
