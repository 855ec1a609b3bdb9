/* A handler that does one thing after the other: each call starts an operation and lets the world
 * go on until its callback. */
#ifndef TESTS_SIM_PROBE_H
#define TESTS_SIM_PROBE_H

#include "sim_tests.h"

#include <proactor/asynch_accept.h>
#include <proactor/asynch_connect.h>
#include <proactor/asynch_read_dgram.h>
#include <proactor/asynch_read_file.h>
#include <proactor/asynch_resolve.h>
#include <proactor/asynch_transmit_file.h>
#include <proactor/asynch_write_dgram.h>
#include <proactor/asynch_write_file.h>
#include <proactor/file.h>

struct probe {
	struct pro_handler handler;
	struct pro_sim *sim;
	struct pro_proactor *proactor;
	unsigned pending;
	bool is_closed;
	void (*on_time)(struct probe *probe); /* a test's part of handle_time_out; may be NULL */

	/* The latest callback. */
	int error;
	size_t bytes;
	uint64_t bytes_sent;
	pro_handle handle; /* accepted or connected */
	struct pro_addr remote;
	unsigned found;
	struct pro_message_block *block;

	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_read_file file_reader;
	struct pro_asynch_write_file file_writer;
	struct pro_asynch_read_dgram dgram_reader;
	struct pro_asynch_write_dgram dgram_writer;
	struct pro_asynch_accept accept;
	struct pro_asynch_connect connect;
	struct pro_asynch_transmit_file sender;
	struct pro_asynch_resolve resolver;
	struct pro_asynch_timer timer;
};

/* A world without faults, and with the default options otherwise. */
struct pro_sim *calm_world(void);
/* Ends the world and asserts that no failure was found; or that one was whose text has `text`. */
void world_end(struct pro_sim *sim);
void world_end_failed(struct pro_sim *sim, const char *text);
struct pro_proactor *world_proactor(struct pro_sim *sim, const char *name);
struct pro_addr world_addr(const char *text);

void probe_init(struct probe *probe, struct pro_sim *sim, struct pro_proactor *proactor);
/* Gives it a socket to own. */
void probe_own(struct probe *probe, pro_handle handle);
/* Two probes on two proactors, connected through a listener of the second, which is closed again.
 */
void probe_join(struct probe *client, struct probe *server);
/* Lets the world go on until nothing is pending; asserts that this happens. */
void probe_wait(struct probe *probe);
void probe_close(struct probe *probe);

/* Each returns the error of its callback. */
int probe_read(struct probe *probe, void *bytes, size_t size);
int probe_write(struct probe *probe, const void *bytes, size_t length);
int probe_accept(struct probe *probe);
int probe_connect(struct probe *probe, const char *text);
int probe_resolve(struct probe *probe, const char *text);
int probe_read_file(struct probe *probe, void *bytes, size_t size, uint64_t offset);
int probe_write_file(struct probe *probe, const void *bytes, size_t length, uint64_t offset);
int probe_sleep(struct probe *probe, int64_t ms);
/* Starts only. */
void probe_start_read(struct probe *probe, struct pro_message_block *block);
void probe_start_write(struct probe *probe, struct pro_message_block *block);

/* ---- two of them, connected, in a calm world ---- */

struct pair {
	struct pro_sim *sim;
	struct probe client;
	struct probe server;
};

void pair_open(struct pair *pair);
void pair_close(struct pair *pair);

#endif
