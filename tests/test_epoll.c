/* What only the epoll port has: queues of flights on a descriptor, work on threads, numbers that
 * were closed unseen. The contract itself is shown by the conformance tests. */
#include "../proactor/ports/epoll.h"
#include "../proactor/worker_pool.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/crew.h"
#include "support/os.h"
#include "support/pattern.h"
#include "support/recorder.h"
#include "support/suite.h"

static struct world world;

static void do_nothing(void *context, unsigned number)
{
	(void)context;
	(void)number;
}

static void set_up(void)
{
	struct crew crew;

	/* The thread sanitizer starts a thread of its own with a process's first one. */
	crew_start(&crew, 1, do_nothing, NULL);
	crew_join(&crew);
	world_init(&world, "epoll");
	world.options.port = "epoll";
	world.options.worker_threads = 1;
}

static void tear_down(void)
{
	world_fini(&world);
}

/* ---- a worker thread that is held until it is let go ---- */

struct gate {
	struct pro_work work;
	void (*then)(struct pro_work *work);
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool is_reached;
	bool is_open;
	bool is_left;
};

static struct gate gate;

static void gate_init(void)
{
	gate = (struct gate){.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
}

static void gate_run(struct pro_work *work)
{
	void (*then)(struct pro_work *) = work == &gate.work ? NULL : gate.then;

	pthread_mutex_lock(&gate.mutex);
	gate.is_reached = true;
	pthread_cond_broadcast(&gate.changed);
	while (!gate.is_open)
		pthread_cond_wait(&gate.changed, &gate.mutex);
	gate.is_left = true;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.mutex);
	if (then)
		then(work);
}

static void gate_await_reached(void)
{
	pthread_mutex_lock(&gate.mutex);
	while (!gate.is_reached)
		pthread_cond_wait(&gate.changed, &gate.mutex);
	pthread_mutex_unlock(&gate.mutex);
}

/* From now on the only worker is busy. */
static void gate_shut(void)
{
	gate_init();
	gate.work.run = gate_run;
	ASSERT_OK(pro__worker_pool_submit(pro__worker_pool(world.proactor), &gate.work));
	gate_await_reached();
}

static void gate_let_go(void)
{
	pthread_mutex_lock(&gate.mutex);
	gate.is_open = true;
	pthread_cond_broadcast(&gate.changed);
	while (!gate.is_left)
		pthread_cond_wait(&gate.changed, &gate.mutex);
	pthread_mutex_unlock(&gate.mutex);
}

/* Takes the operation from the busy worker's queue and has the worker begin with it, but stop at
 * the gate on its way. */
static void gate_hold(struct pro_operation *operation)
{
	struct pro_worker_pool *pool = pro__worker_pool(world.proactor);
	struct epoll_flight *flight = epoll_flight_of(operation);

	ck_assert(flight->is_working);
	ck_assert(pro__worker_pool_take_back(pool, &flight->work));
	gate_let_go();
	gate_init();
	gate.then = flight->work.run;
	flight->work.run = gate_run;
	ASSERT_OK(pro__worker_pool_submit(pool, &flight->work));
	gate_await_reached();
}

/* ---- files on workers ---- */

#define WRITES 4

static struct pro_asynch_write_file writes[WRITES];
static struct pro_message_block write_blocks[WRITES];

/* A recorder that owns a file, with writes in flight on it that no worker has begun. */
static struct recorder *start_writes(pro_handle *file)
{
	struct recorder *recorder = recorder_create(&world, "writer");

	*file = world_file(&world, "file", PRO_FILE_WRITE | PRO_FILE_CREATE);
	pro_handler_set_handle(recorder_handler(recorder), *file);
	gate_shut();
	for (unsigned i = 0; i < WRITES; i++) {
		pro_message_block_init_filled(&write_blocks[i], "abcd", 4);
		ASSERT_OK(pro_asynch_write_file_open(&writes[i], recorder_handler(recorder), *file, NULL));
		ASSERT_OK(STARTED(recorder, WRITE_FILE,
				pro_asynch_write_file_write(&writes[i], &write_blocks[i], 4 * i)));
	}
	world_run_ready(&world);
	ck_assert_uint_eq(recorder->count[EVENT_WRITE_FILE], 0);
	return recorder;
}

START_TEST(a_write_that_no_worker_has_begun_is_cancelled_at_once)
{
	pro_handle file;

	world_open(&world);
	struct recorder *recorder = start_writes(&file);
	ASSERT_OK(recorder_cancel(&writes[1].operation));
	world_run_ready(&world);
	ck_assert_uint_eq(recorder->cancels[EVENT_WRITE_FILE], 1);
	gate_let_go();
	RUN_UNTIL(&world, recorder->count[EVENT_WRITE_FILE] == WRITES);
	ck_assert_uint_eq(recorder->errors[EVENT_WRITE_FILE], 1);
}
END_TEST

START_TEST(a_close_takes_back_what_no_worker_has_begun)
{
	pro_handle file;

	world_open(&world);
	struct recorder *recorder = start_writes(&file);
	recorder_close(recorder);
	RUN_UNTIL(&world, recorder->is_closed);
	ck_assert_uint_eq(recorder->cancels[EVENT_WRITE_FILE], WRITES);
	ck_assert_int_eq(fcntl((int)file, F_GETFD), -1);
	gate_let_go();
}
END_TEST

START_TEST(a_closed_handle_cancels_the_writes_of_its_users)
{
	pro_handle file;

	world_open(&world);
	struct recorder *recorder = start_writes(&file);
	pro_handler_set_handle(recorder_handler(recorder), PRO_INVALID_HANDLE);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
	RUN_UNTIL(&world, recorder->count[EVENT_WRITE_FILE] == WRITES);
	ck_assert_uint_eq(recorder->cancels[EVENT_WRITE_FILE], WRITES);
	ASSERT_OK(STARTED(
			recorder, WRITE_FILE, pro_asynch_write_file_write(&writes[0], &write_blocks[0], 0)));
	RUN_UNTIL(&world, recorder->count[EVENT_WRITE_FILE] == WRITES + 1);
	ASSERT_ERROR(recorder->last[EVENT_WRITE_FILE].error, PRO_EBADF);
	gate_let_go();
}
END_TEST

/* The same with one write, which the worker is at. */
static struct recorder *start_held_write(pro_handle *file)
{
	struct recorder *recorder = start_writes(file);

	for (unsigned i = 1; i < WRITES; i++)
		ASSERT_OK(recorder_cancel(&writes[i].operation));
	world_run_ready(&world);
	ck_assert_uint_eq(recorder->cancels[EVENT_WRITE_FILE], WRITES - 1);
	gate_hold(&writes[0].operation);
	return recorder;
}

START_TEST(a_write_that_a_worker_is_at_ends_by_itself)
{
	pro_handle file;

	world_open(&world);
	struct recorder *recorder = start_held_write(&file);
	ASSERT_OK(recorder_cancel(&writes[0].operation));
	world_run_ready(&world);
	ck_assert_uint_eq(recorder->count[EVENT_WRITE_FILE], WRITES - 1);
	gate_let_go();
	RUN_UNTIL(&world, recorder->count[EVENT_WRITE_FILE] == WRITES);
	ASSERT_OK(recorder->last[EVENT_WRITE_FILE].error);
	ck_assert_uint_eq(recorder->last[EVENT_WRITE_FILE].bytes, 4);
}
END_TEST

START_TEST(a_handle_is_closed_after_the_worker_is_through_with_it)
{
	pro_handle file;

	world_open(&world);
	struct recorder *recorder = start_held_write(&file);
	recorder_close(recorder);
	world_run_ready(&world);
	ck_assert(!recorder->is_closed);
	ck_assert_int_ne(fcntl((int)file, F_GETFD), -1);
	gate_let_go();
	RUN_UNTIL(&world, recorder->is_closed);
	ck_assert_uint_eq(recorder->count[EVENT_WRITE_FILE], WRITES);
	ck_assert_int_eq(fcntl((int)file, F_GETFD), -1);
}
END_TEST

START_TEST(starts_on_a_handle_that_waits_for_its_close_are_refused)
{
	pro_handle file;

	world_open(&world);
	struct recorder *recorder = start_held_write(&file);
	struct recorder *late = recorder_create(&world, "late");
	pro_handler_set_handle(recorder_handler(recorder), PRO_INVALID_HANDLE);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
	recorder_open_file(late, file);
	ASSERT_OK(STARTED(late, WRITE_FILE,
			pro_asynch_write_file_write(&late->file_writer, &write_blocks[1], 0)));
	RUN_UNTIL(&world, late->count[EVENT_WRITE_FILE] == 1);
	ASSERT_ERROR(late->last[EVENT_WRITE_FILE].error, PRO_EBADF);
	gate_let_go();
	RUN_UNTIL(&world, recorder->count[EVENT_WRITE_FILE] == WRITES);
	world_run_ready(&world);
	ck_assert_int_eq(fcntl((int)file, F_GETFD), -1);
}
END_TEST

/* Cancel and close race with a worker at its start, its middle and its end. */
START_TEST(closing_races_with_a_worker)
{
	static char big[256 * 1024];

	world.options.worker_threads = 4;
	world_open(&world);
	for (unsigned i = 0; i < world_number(200, 5000); i++) {
		struct recorder *recorder = recorder_create(&world, "writer");
		pro_handle file = world_file(&world, "file", PRO_FILE_WRITE | PRO_FILE_CREATE);
		struct pro_message_block block;
		pro_handler_set_handle(recorder_handler(recorder), file);
		recorder_open_file(recorder, file);
		pro_message_block_init_filled(&block, big, 1 + i * 977 % sizeof(big));
		ASSERT_OK(STARTED(recorder, WRITE_FILE,
				pro_asynch_write_file_write(&recorder->file_writer, &block, 0)));
		world_run_ready(&world);
		for (unsigned spin = 0; spin < i % 32; spin++)
			os_yield();
		if (i % 3 == 0)
			recorder_cancel(&recorder->file_writer.operation);
		recorder_close(recorder);
		RUN_UNTIL(&world, recorder->is_closed);
		ck_assert_uint_eq(recorder->count[EVENT_WRITE_FILE], 1);
		ck_assert_int_eq(fcntl((int)file, F_GETFD), -1);
	}
}
END_TEST

/* ---- cold files ---- */

#define COLD_BYTES (1024 * 1024)

/* Whether the first page of the file is in memory, found out without bringing it there. */
static bool is_resident(pro_handle file)
{
	unsigned char state[COLD_BYTES / 4096];
	void *map = mmap(NULL, COLD_BYTES, PROT_READ, MAP_SHARED, (int)file, 0);

	ck_assert_ptr_ne(map, MAP_FAILED);
	ck_assert_int_eq(mincore(map, COLD_BYTES, state), 0);
	munmap(map, COLD_BYTES);
	return state[0] & 1;
}

static bool evict(pro_handle file)
{
	for (unsigned tries = 0; tries < 100; tries++) {
		posix_fadvise((int)file, 0, 0, POSIX_FADV_DONTNEED);
		if (!is_resident(file))
			return true;
		os_yield();
	}
	return false;
}

/* A file that is not in memory; false where the file system keeps it there. */
static bool make_cold_file(pro_handle *file)
{
	static unsigned char bytes[COLD_BYTES];

	pattern_fill(bytes, sizeof(bytes), 0, 1);
	*file = world_file(&world, "cold", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	ck_assert_int_eq(pwrite((int)*file, bytes, sizeof(bytes), 0), sizeof(bytes));
	fsync((int)*file);
	if (evict(*file))
		return true;
	printf("the file system keeps files in memory: not shown\n");
	ASSERT_OK(pro_proactor_close_handle(world.proactor, *file));
	return false;
}

static struct recorder *start_transmission(pro_handle file, int *peer)
{
	struct recorder *recorder = recorder_create(&world, "sender");
	pro_handle pair[2];

	ASSERT_OK(pro_socket_pair(world.proactor, pair));
	*peer = (int)pair[1];
	recorder_own_stream(recorder, pair[0]);
	ASSERT_OK(STARTED(recorder, TRANSMIT_FILE,
			pro_asynch_transmit_file_transmit_file(
					&recorder->sender, file, 0, COLD_BYTES, NULL, NULL)));
	world_run_ready(&world);
	ck_assert_uint_eq(recorder->count[EVENT_TRANSMIT_FILE], 0);
	return recorder;
}

/* A transmission that waits for the busy worker, and the end of the stream it goes to. To ask the
 * system for the bytes without waiting has it fetch them, and a quick disk on a busy machine has
 * them there before the question is answered: then the file is made cold once more. */
static struct recorder *start_cold(pro_handle file, int *peer)
{
	gate_shut();
	for (unsigned tries = 0; tries < 100; tries++) {
		struct recorder *recorder = start_transmission(file, peer);

		if (epoll_flight_of(&recorder->sender.operation)->is_working)
			return recorder;
		recorder_close(recorder);
		RUN_UNTIL(&world, recorder->is_closed);
		close(*peer);
		ck_assert(evict(file));
	}
	ck_abort_msg("the disk is always quicker");
	return NULL;
}

START_TEST(a_transmission_that_waits_for_the_disk_is_cancelled_at_once)
{
	pro_handle file;
	int peer;

	world_open(&world);
	if (!make_cold_file(&file))
		return;
	struct recorder *recorder = start_cold(file, &peer);
	ASSERT_OK(recorder_cancel(&recorder->sender.operation));
	world_run_ready(&world);
	ck_assert_uint_eq(recorder->cancels[EVENT_TRANSMIT_FILE], 1);
	/* The socket is as good as new. */
	struct pro_message_block block;
	pro_message_block_init_filled(&block, "x", 1);
	ASSERT_OK(recorder_write(recorder, &block));
	RUN_UNTIL(&world, recorder->count[EVENT_WRITE_STREAM] == 1);
	ASSERT_OK(recorder->last[EVENT_WRITE_STREAM].error);
	gate_let_go();
	close(peer);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
}
END_TEST

START_TEST(a_close_ends_a_transmission_that_waits_for_the_disk)
{
	pro_handle file;
	int peer;
	char byte;

	world_open(&world);
	if (!make_cold_file(&file))
		return;
	struct recorder *recorder = start_cold(file, &peer);
	recorder_close(recorder);
	RUN_UNTIL(&world, recorder->is_closed);
	ck_assert_uint_eq(recorder->cancels[EVENT_TRANSMIT_FILE], 1);
	ck_assert_int_eq(read(peer, &byte, 1), 0);
	gate_let_go();
	close(peer);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
}
END_TEST

START_TEST(a_cold_file_goes_out_whole)
{
	static unsigned char received[COLD_BYTES];
	pro_handle file;
	int peer;
	size_t have = 0;

	world_open(&world);
	if (!make_cold_file(&file))
		return;
	struct recorder *recorder = start_cold(file, &peer);
	gate_let_go();
	while (recorder->count[EVENT_TRANSMIT_FILE] == 0) {
		ssize_t got = recv(peer, received + have, COLD_BYTES - have, MSG_DONTWAIT);
		have += got > 0 ? (size_t)got : 0;
		world_run_for(&world, 1);
	}
	have += os_receive(peer, received + have, COLD_BYTES - have, 10000);
	ASSERT_OK(recorder->last[EVENT_TRANSMIT_FILE].error);
	ck_assert_uint_eq(have, COLD_BYTES);
	pattern_check(received, have, 0, 1);
	close(peer);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
}
END_TEST

START_TEST(a_transmission_is_cancelled_while_a_worker_reads_for_it)
{
	pro_handle file;
	int peer;

	world_open(&world);
	if (!make_cold_file(&file))
		return;
	struct recorder *recorder = start_cold(file, &peer);
	gate_hold(&recorder->sender.operation);
	ASSERT_OK(recorder_cancel(&recorder->sender.operation));
	recorder_close(recorder);
	world_run_ready(&world);
	ck_assert_uint_eq(recorder->count[EVENT_TRANSMIT_FILE], 0);
	/* The peer need not wait for the disk. */
	ck_assert(os_wait_readable(peer, 0));
	gate_let_go();
	RUN_UNTIL(&world, recorder->is_closed);
	ck_assert_uint_eq(recorder->cancels[EVENT_TRANSMIT_FILE], 1);
	close(peer);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
}
END_TEST

START_TEST(a_transmission_to_a_closed_handle_is_cancelled_once)
{
	pro_handle file, handle;
	int peer;

	world_open(&world);
	if (!make_cold_file(&file))
		return;
	struct recorder *recorder = start_cold(file, &peer);
	gate_hold(&recorder->sender.operation);
	handle = pro_handler_handle(recorder_handler(recorder));
	pro_handler_set_handle(recorder_handler(recorder), PRO_INVALID_HANDLE);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, handle));
	world_run_ready(&world);
	ASSERT_OK(recorder_cancel(&recorder->sender.operation));
	world_run_ready(&world);
	ck_assert_uint_eq(recorder->count[EVENT_TRANSMIT_FILE], 0);
	gate_let_go();
	RUN_UNTIL(&world, recorder->cancels[EVENT_TRANSMIT_FILE] == 1);
	close(peer);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
}
END_TEST

/* Cancel and close race with the worker that reads the first byte. */
START_TEST(closing_races_with_a_cold_transmission)
{
	pro_handle file;

	world.options.worker_threads = 4;
	world_open(&world);
	if (!make_cold_file(&file))
		return;
	for (unsigned i = 0; i < world_number(100, 2000); i++) {
		struct recorder *recorder = recorder_create(&world, "sender");
		pro_handle pair[2];
		ASSERT_OK(pro_socket_pair(world.proactor, pair));
		recorder_own_stream(recorder, pair[0]);
		evict(file);
		ASSERT_OK(STARTED(recorder, TRANSMIT_FILE,
				pro_asynch_transmit_file_transmit_file(
						&recorder->sender, file, 0, COLD_BYTES, NULL, NULL)));
		world_run_ready(&world);
		for (unsigned spin = 0; spin < i % 16; spin++)
			os_yield();
		if (i % 2)
			recorder_cancel(&recorder->sender.operation);
		if (i % 3)
			world_run_ready(&world);
		recorder_close(recorder);
		RUN_UNTIL(&world, recorder->is_closed);
		ck_assert_uint_eq(recorder->count[EVENT_TRANSMIT_FILE], 1);
		close((int)pair[1]);
	}
	ASSERT_OK(pro_proactor_close_handle(world.proactor, file));
}
END_TEST

/* ---- queues on one descriptor ---- */

#define READERS 3

static struct pro_asynch_read_stream readers[READERS];
static struct pro_message_block reader_blocks[READERS];
static char reader_bytes[READERS][8];

static void start_reader(struct recorder *recorder, unsigned i)
{
	pro_message_block_init(&reader_blocks[i], reader_bytes[i], 1);
	ASSERT_OK(pro_asynch_read_stream_open(
			&readers[i], recorder_handler(recorder), PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(STARTED(
			recorder, READ_STREAM, pro_asynch_read_stream_read(&readers[i], &reader_blocks[i], 0)));
}

START_TEST(readers_of_one_socket_are_served_in_order)
{
	pro_handle pair[2];

	world_open(&world);
	ASSERT_OK(pro_socket_pair(world.proactor, pair));
	struct recorder *recorder = recorder_create(&world, "reader");
	recorder_own_stream(recorder, pair[0]);
	for (unsigned i = 0; i < READERS; i++)
		start_reader(recorder, i);
	world_run_ready(&world);
	ASSERT_OK(recorder_cancel(&readers[0].operation));
	os_send((int)pair[1], "12", 2);
	RUN_UNTIL(&world, recorder->count[EVENT_READ_STREAM] == READERS);
	ck_assert_uint_eq(recorder->cancels[EVENT_READ_STREAM], 1);
	ck_assert_int_eq(reader_bytes[1][0], '1');
	ck_assert_int_eq(reader_bytes[2][0], '2');
	os_close((int)pair[1]);
}
END_TEST

START_TEST(a_number_closed_unseen_fails_those_who_waited_on_it)
{
	struct pro_message_block block;
	char bytes[4];
	pro_handle old_pair[2];
	pro_handle new_pair[2];

	world_open(&world);
	ASSERT_OK(pro_socket_pair(world.proactor, old_pair));
	ASSERT_OK(pro_socket_pair(world.proactor, new_pair));
	struct recorder *old = recorder_create(&world, "old");
	struct recorder *new = recorder_create(&world, "new");
	recorder_own_stream(old, old_pair[0]);
	start_reader(old, 0);
	world_run_ready(&world);
	/* What no program should do. */
	ck_assert_int_ge(dup2((int)new_pair[0], (int)old_pair[0]), 0);
	os_close((int)new_pair[0]);
	pro_handler_set_handle(recorder_handler(old), PRO_INVALID_HANDLE);
	recorder_own_stream(new, old_pair[0]);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(new, &block, 0));
	RUN_UNTIL(&world, old->count[EVENT_READ_STREAM] == 1);
	ASSERT_ERROR(old->last[EVENT_READ_STREAM].error, PRO_EBADF);
	ck_assert_uint_eq(new->count[EVENT_READ_STREAM], 0);
	os_send((int)new_pair[1], "new", 3);
	RUN_UNTIL(&world, new->count[EVENT_READ_STREAM] == 1);
	ASSERT_OK(new->last[EVENT_READ_STREAM].error);
	ck_assert_mem_eq(bytes, "new", 3);
	os_close((int)old_pair[1]);
	os_close((int)new_pair[1]);
}
END_TEST

START_TEST(a_connect_that_gets_a_number_closed_unseen_fails_those_who_waited_on_it)
{
	struct pro_addr addr = world_addr(ANY_INET);
	pro_handle pair[2];

	world_open(&world);
	struct recorder *listener = recorder_create(&world, "listener");
	struct recorder *reader = recorder_create(&world, "reader");
	struct recorder *client = recorder_create(&world, "client");
	addr = recorder_listen(listener, ANY_INET);
	recorder_open_free(client);
	ASSERT_OK(pro_socket_pair(world.proactor, pair));
	int low = (int)(pair[0] < pair[1] ? pair[0] : pair[1]);
	int high = (int)(pair[0] < pair[1] ? pair[1] : pair[0]);
	ASSERT_OK(pro_asynch_read_stream_open(&reader->reader, recorder_handler(reader), low, NULL));
	pro_message_block_init(&reader_blocks[0], reader_bytes[0], 1);
	ASSERT_OK(recorder_read(reader, &reader_blocks[0], 0));
	world_run_ready(&world);
	/* The lowest free number is given away first. */
	close(low);
	ASSERT_OK(STARTED(client, CONNECT, pro_asynch_connect_connect(&client->connect, &addr, NULL)));
	RUN_UNTIL(&world, client->count[EVENT_CONNECT] == 1 && reader->count[EVENT_READ_STREAM] == 1);
	ASSERT_OK(client->last[EVENT_CONNECT].error);
	ck_assert_int_eq(client->last[EVENT_CONNECT].handle, low);
	ASSERT_ERROR(reader->last[EVENT_READ_STREAM].error, PRO_EBADF);
	close(high);
}
END_TEST

/* A connection may be used on another proactor, which closes it unseen. */
START_TEST(a_connection_that_was_given_away_leaves_nothing)
{
	struct pro_addr addr = world_addr(ANY_INET);
	struct pro_message_block block;
	char bytes[4];
	pro_handle listener;
	int pipes[2];

	world_open(&world);
	ASSERT_OK(pro_socket_listen(world.proactor, &addr, 0, &listener));
	ASSERT_OK(pro_socket_local_addr(world.proactor, listener, &addr));
	struct recorder *client = recorder_create(&world, "client");
	recorder_open_free(client);
	ASSERT_OK(STARTED(client, CONNECT, pro_asynch_connect_connect(&client->connect, &addr, NULL)));
	RUN_UNTIL(&world, client->count[EVENT_CONNECT] == 1);
	pro_handle given = recorder_take_handle(client);
	os_close((int)given);
	os_pipe(pipes);
	ck_assert_int_eq(pipes[0], given);
	recorder_own_stream(client, pipes[0]);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(client, &block, 0));
	ck_assert_int_eq(write(pipes[1], "pipe", 4), 4);
	RUN_UNTIL(&world, client->count[EVENT_READ_STREAM] == 1);
	ASSERT_OK(client->last[EVENT_READ_STREAM].error);
	os_close(pipes[1]);
	os_close((int)listener);
}
END_TEST

START_TEST(a_duplicate_that_lives_on_troubles_nobody)
{
	pro_handle pair[2];
	pro_handle next[2];

	world_open(&world);
	ASSERT_OK(pro_socket_pair(world.proactor, pair));
	int duplicate = fcntl((int)pair[0], F_DUPFD_CLOEXEC, 100);
	struct recorder *recorder = recorder_create(&world, "closed");
	recorder_own_stream(recorder, pair[0]);
	start_reader(recorder, 0);
	world_run_ready(&world);
	recorder_close(recorder);
	RUN_UNTIL(&world, recorder->is_closed);
	struct recorder *heir = recorder_create(&world, "heir");
	ASSERT_OK(pro_socket_pair(world.proactor, next));
	ck_assert_int_eq(next[0], pair[0]);
	recorder_own_stream(heir, next[0]);
	start_reader(heir, 1);
	os_send((int)pair[1], "old", 3);
	world_run_ready(&world);
	ck_assert_uint_eq(heir->count[EVENT_READ_STREAM], 0);
	os_close(duplicate);
	os_close((int)pair[1]);
	os_close((int)next[1]);
	RUN_UNTIL(&world, heir->count[EVENT_READ_STREAM] == 1);
}
END_TEST

START_TEST(memory_that_runs_out_is_told_in_the_callback)
{
	struct pro_message_block block;
	char bytes[4];
	pro_handle pair[2];

	world_open(&world);
	ASSERT_OK(pro_socket_pair(world.proactor, pair));
	struct recorder *recorder = recorder_create(&world, "reader");
	/* A number that no entry exists for yet. */
	int high = fcntl((int)pair[0], F_DUPFD_CLOEXEC, 600);
	recorder_own_stream(recorder, high);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	world.memory.fails_always = true;
	ASSERT_OK(recorder_read(recorder, &block, 0));
	RUN_UNTIL(&world, recorder->count[EVENT_READ_STREAM] == 1);
	world.memory.fails_always = false;
	ASSERT_ERROR(recorder->last[EVENT_READ_STREAM].error, PRO_ENOMEM);
	ASSERT_OK(recorder_read(recorder, &block, 0));
	os_send((int)pair[1], "ok", 2);
	RUN_UNTIL(&world, recorder->count[EVENT_READ_STREAM] == 2);
	ASSERT_OK(recorder->last[EVENT_READ_STREAM].error);
	os_close((int)pair[0]);
	os_close((int)pair[1]);
}
END_TEST

/* ---- streams that are no sockets ---- */

START_TEST(files_and_devices_can_be_streams)
{
	struct pro_message_block block;
	char bytes[4];
	const int expected[] = {PRO_EOF, 0, PRO_EOF};
	pro_handle handles[3];

	world_open(&world);
	handles[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	handles[1] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	handles[2] = world_file(&world, "empty", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	for (unsigned i = 0; i < 3; i++) {
		struct recorder *recorder = recorder_create(&world, "stream");
		recorder_own_stream(recorder, handles[i]);
		pro_message_block_init(&block, bytes, sizeof(bytes));
		ASSERT_OK(recorder_read(recorder, &block, 0));
		RUN_UNTIL(&world, recorder->count[EVENT_READ_STREAM] == 1);
		ASSERT_ERROR(recorder->last[EVENT_READ_STREAM].error, expected[i]);
		struct pro_message_block out;
		pro_message_block_init_filled(&out, "out", 3);
		ASSERT_OK(recorder_write(recorder, &out));
		RUN_UNTIL(&world, recorder->count[EVENT_WRITE_STREAM] == 1);
		ASSERT_OK(recorder->last[EVENT_WRITE_STREAM].error);
		recorder_close(recorder);
		RUN_UNTIL(&world, recorder->is_closed);
	}
}
END_TEST

START_TEST(bytes_flow_through_blocking_pipes)
{
	static char bytes[300000];
	static char received[300000];
	struct pro_message_block in;
	struct pro_message_block out;
	int ends[2];

	world_open(&world);
	os_pipe(ends);
	struct recorder *reader = recorder_create(&world, "reader");
	struct recorder *writer = recorder_create(&world, "writer");
	recorder_own_stream(reader, ends[0]);
	recorder_own_stream(writer, ends[1]);
	pattern_fill(bytes, sizeof(bytes), 0, 1);
	pro_message_block_init(&in, received, sizeof(received));
	pro_message_block_init_filled(&out, bytes, sizeof(bytes));
	ASSERT_OK(recorder_write(writer, &out));
	ASSERT_OK(STARTED(reader, READ_STREAM,
			pro_asynch_read_stream_read_exactly(&reader->reader, &in, sizeof(received))));
	RUN_UNTIL(&world, reader->count[EVENT_READ_STREAM] == 1);
	ASSERT_OK(reader->last[EVENT_READ_STREAM].error);
	pattern_check(received, sizeof(received), 0, 1);
	RUN_UNTIL(&world, writer->count[EVENT_WRITE_STREAM] == 1);
	pro_message_block_reset(&in);
	ASSERT_OK(recorder_read(reader, &in, 0));
	recorder_close(writer);
	RUN_UNTIL(&world, reader->count[EVENT_READ_STREAM] == 2);
	ASSERT_ERROR(reader->last[EVENT_READ_STREAM].error, PRO_EOF);
}
END_TEST

/* ---- connects to a full listener ---- */

#define FILLERS_MAX 64

/* A UNIX-domain listener whose queue is full. */
static int fill_listener(struct pro_addr *addr, int *fillers, unsigned *count)
{
	char text[256];
	pro_handle listener;

	snprintf(text, sizeof(text), "unix:%s", world_path(&world, "socket"));
	*addr = world_addr(text);
	ASSERT_OK(pro_socket_listen(world.proactor, addr, 1, &listener));
	for (*count = 0; *count < FILLERS_MAX; ++*count) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(fd, (struct sockaddr *)(void *)addr->storage.bytes, addr->length) < 0) {
			ck_assert_int_eq(errno, EAGAIN);
			close(fd);
			return (int)listener;
		}
		fillers[*count] = fd;
	}
	ck_abort_msg("the queue is never full");
	return -1;
}

START_TEST(a_connect_waits_for_a_full_listener)
{
	struct pro_addr addr;
	int fillers[FILLERS_MAX];
	unsigned count;

	world_open(&world);
	int listener = fill_listener(&addr, fillers, &count);
	struct recorder *recorder = recorder_create(&world, "client");
	struct recorder *canceled = recorder_create(&world, "canceled");
	struct recorder *closed = recorder_create(&world, "closed");
	struct recorder *const all[] = {recorder, canceled, closed};
	for (unsigned i = 0; i < 3; i++) {
		recorder_open_free(all[i]);
		ASSERT_OK(STARTED(
				all[i], CONNECT, pro_asynch_connect_connect(&all[i]->connect, &addr, NULL)));
	}
	world_run_for(&world, 20);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(all[i]->count[EVENT_CONNECT], 0);
	ASSERT_OK(recorder_cancel(&canceled->connect.operation));
	recorder_close(closed);
	RUN_UNTIL(&world, closed->is_closed && canceled->count[EVENT_CONNECT] == 1);
	ASSERT_ERROR(canceled->last[EVENT_CONNECT].error, PRO_ECANCELED);
	ASSERT_ERROR(closed->last[EVENT_CONNECT].error, PRO_ECANCELED);
	int accepted = accept(listener, NULL, NULL);
	ck_assert_int_ge(accepted, 0);
	RUN_UNTIL(&world, recorder->count[EVENT_CONNECT] == 1);
	ASSERT_OK(recorder->last[EVENT_CONNECT].error);
	close(accepted);
	while (count > 0)
		close(fillers[--count]);
	ASSERT_OK(pro_proactor_close_handle(world.proactor, listener));
}
END_TEST

/* ---- waiting ---- */

START_TEST(timers_are_not_early_without_epoll_pwait2)
{
	world_open(&world);
	epoll_from_port(pro__port(world.proactor))->has_pwait2 = false;
	struct recorder *recorder = recorder_create(&world, "timer");
	recorder_open_free(recorder);
	for (unsigned i = 1; i <= 10; i++) {
		uint64_t before_ns = pro_proactor_now_ns(world.proactor);
		uint64_t batches = world_statistics(&world).batches;
		ASSERT_OK(recorder_timer(recorder, 3));
		RUN_UNTIL(&world, recorder->count[EVENT_TIME_OUT] == i);
		ck_assert_uint_ge(pro_proactor_now_ns(world.proactor) - before_ns, 3000000);
		/* Nor does it spin through the last millisecond. */
		ck_assert_uint_le(world_statistics(&world).batches - batches, 8);
	}
}
END_TEST

static bool is_readable(pro_handle handle, int limit_ms)
{
	struct pollfd polled = {.fd = (int)handle, .events = POLLIN};

	return poll(&polled, 1, limit_ms) == 1;
}

START_TEST(a_foreign_loop_sees_all_that_happens)
{
	struct pro_message_block block;
	char bytes[4];
	pro_handle pair[2];

	world_open(&world);
	pro_handle handle = pro_proactor_get_handle(world.proactor);
	struct recorder *recorder = recorder_create(&world, "recorder");
	ASSERT_OK(pro_socket_pair(world.proactor, pair));
	recorder_own_stream(recorder, pair[0]);
	recorder_open_free(recorder);
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ASSERT_OK(recorder_read(recorder, &block, 0));
	world_run_ready(&world);
	ck_assert(!is_readable(handle, 0));
	os_send((int)pair[1], "x", 1);
	ck_assert(is_readable(handle, 10000));
	world_run_ready(&world);
	ck_assert_uint_eq(recorder->count[EVENT_READ_STREAM], 1);
	ck_assert(!is_readable(handle, 0));
	ASSERT_OK(recorder_timer(recorder, 20));
	ck_assert(is_readable(handle, 10000));
	RUN_UNTIL(&world, recorder->count[EVENT_TIME_OUT] == 1);
	world_run_ready(&world);
	ck_assert(!is_readable(handle, 0));
	ASSERT_OK(pro_handler_wakeup(recorder_handler(recorder)));
	ck_assert(is_readable(handle, 10000));
	world_run_ready(&world);
	ck_assert_uint_eq(recorder->count[EVENT_WAKEUP], 1);
	os_close((int)pair[1]);
}
END_TEST

static TCase *work_tests(void)
{
	TCase *tcase = tcase_create("work");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, a_write_that_no_worker_has_begun_is_cancelled_at_once);
	tcase_add_test(tcase, a_close_takes_back_what_no_worker_has_begun);
	tcase_add_test(tcase, a_closed_handle_cancels_the_writes_of_its_users);
	tcase_add_test(tcase, a_write_that_a_worker_is_at_ends_by_itself);
	tcase_add_test(tcase, a_handle_is_closed_after_the_worker_is_through_with_it);
	tcase_add_test(tcase, starts_on_a_handle_that_waits_for_its_close_are_refused);
	tcase_add_test(tcase, closing_races_with_a_worker);
	tcase_add_test(tcase, a_transmission_that_waits_for_the_disk_is_cancelled_at_once);
	tcase_add_test(tcase, a_close_ends_a_transmission_that_waits_for_the_disk);
	tcase_add_test(tcase, a_transmission_is_cancelled_while_a_worker_reads_for_it);
	tcase_add_test(tcase, a_transmission_to_a_closed_handle_is_cancelled_once);
	tcase_add_test(tcase, a_cold_file_goes_out_whole);
	tcase_add_test(tcase, closing_races_with_a_cold_transmission);
	return tcase;
}

static TCase *queue_tests(void)
{
	TCase *tcase = tcase_create("queues");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, readers_of_one_socket_are_served_in_order);
	tcase_add_test(tcase, a_number_closed_unseen_fails_those_who_waited_on_it);
	tcase_add_test(tcase, a_connect_that_gets_a_number_closed_unseen_fails_those_who_waited_on_it);
	tcase_add_test(tcase, a_connection_that_was_given_away_leaves_nothing);
	tcase_add_test(tcase, a_duplicate_that_lives_on_troubles_nobody);
	tcase_add_test(tcase, memory_that_runs_out_is_told_in_the_callback);
	tcase_add_test(tcase, files_and_devices_can_be_streams);
	tcase_add_test(tcase, bytes_flow_through_blocking_pipes);
	tcase_add_test(tcase, a_connect_waits_for_a_full_listener);
	tcase_add_test(tcase, timers_are_not_early_without_epoll_pwait2);
	tcase_add_test(tcase, a_foreign_loop_sees_all_that_happens);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("epoll");

	suite_add_tcase(suite, work_tests());
	suite_add_tcase(suite, queue_tests());
	return suite_run(suite);
}
