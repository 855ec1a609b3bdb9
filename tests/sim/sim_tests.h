/* What the tests of the simulated port share: sessions of a server and clients, with a mistake
 * planted in them on demand. */
#ifndef TESTS_SIM_SIM_TESTS_H
#define TESTS_SIM_SIM_TESTS_H

#include <check.h>

#include <proactor/asynch_acceptor.h>
#include <proactor/asynch_connector.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_timer.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/sim.h>
#include <proactor/socket.h>

/* X(name, session, what is wrong) */
#define BUG_LIST(X)                                                                                \
	X(NONE, echo, "nothing")                                                                       \
	X(USE_AFTER_CLOSE, echo, "a handler frees itself when it asks for its close")                  \
	X(REUSE_IN_FLIGHT, echo, "a block is read into while it is being written")                     \
	X(TOUCH_IN_FLIGHT, echo, "a block is written to while it is being read into")                  \
	X(DROPPED_ON_CANCEL, echo, "what a read got before its deadline is thrown away")               \
	X(END_LOOP, echo, "the end of a stream is read again and again")                               \
	X(DOUBLE_CLOSE, echo, "a socket is closed that its handler closes too")                        \
	X(STALE_HANDLE, echo, "a handle is written to after its close")                                \
	X(LEAKED_BLOCK, echo, "a borrowed block is forgotten after a failed write")                    \
	X(LEAKED_MEMORY, echo, "a handler forgets to free itself")                                     \
	X(LOST_RETRY, echo, "nobody tries again after a failed connect")                               \
	X(DEAF_LISTENER, echo, "nobody accepts any more after a failed accept")                        \
	X(ACCEPT_SPIN, echo, "a failed accept is tried again at once")                                 \
	X(LEAKED_HANDLE, echo, "a connection that is refused is not closed")                           \
	X(UNBOUNDED_QUEUE, chat, "a member who does not read is never dropped")                        \
	X(SECOND_COPY, chat, "a line goes twice to a member when a write fails")                       \
	X(CLOSE_IN_BROADCAST, chat, "a member is unlinked when its close is asked for")                \
	X(LOST_SHORT_WRITE, transfer, "a part that was written to a file is taken for the whole")      \
	X(END_IS_SUCCESS, transfer, "a connection that ends early is taken for the end of the file")   \
	X(LEAKED_FILE, transfer, "a file is not closed when the peer dies")                            \
	X(LOST_DATAGRAM, dgram, "a datagram is not sent again")                                        \
	X(OLD_ANSWER, dgram, "an answer is taken for that to the latest question")

enum bug {
#define BUG_ENUM(name, session, text) BUG_##name,
	BUG_LIST(BUG_ENUM)
#undef BUG_ENUM
			BUGS
};

/* The mistake that the sessions make. */
extern enum bug planted_bug;

static inline bool is_planted(enum bug bug)
{
	return planted_bug == bug;
}

/* Zeroed memory by the allocator of the proactor, which in a simulated world finds what is done to
 * it after its end. */
void *object_create(struct pro_proactor *proactor, size_t size);
void object_free(struct pro_proactor *proactor, void *object);

/* ---- the sessions; options.parameter is the number of clients ---- */

/* Clients that send lines and check what comes back. */
void echo_test_init(struct pro_sim_test *test);
/* Members of a room, each of which sends numbered lines to all: every line reaches every member
 * once and in the order of its sender, or the member was dropped. */
void chat_test_init(struct pro_sim_test *test);
/* Clients that fetch files and write what they get into files of their own. */
void transfer_test_init(struct pro_sim_test *test);
/* Questions that are sent again until they are answered. */
void dgram_test_init(struct pro_sim_test *test);

/* Runs `count` seeds of a session from `first` on and prints how many operations completed. The
 * exit status. */
int run_seeds(void (*init)(struct pro_sim_test *test), const char *first, const char *count);

/* ---- the test cases ---- */

TCase *world_tcase(void);
/* Those need a process for each seed. */
TCase *crashes_tcase(void);
TCase *promises_tcase(void);
TCase *network_tcase(void);
TCase *files_tcase(void);
TCase *control_tcase(void);
TCase *edges_tcase(void);
TCase *sessions_tcase(void);
TCase *bugs_tcase(void);
TCase *speed_tcase(void);

#endif
