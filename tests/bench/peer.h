/* What the hand-written servers share: the main thread accepts and deals the connections out in
 * turn, so that each thread has as many as any other; it sleeps while they are served. */
#ifndef PROACTOR_TESTS_BENCH_PEER_H
#define PROACTOR_TESTS_BENCH_PEER_H

/* Prints "listening on 127.0.0.1:PORT" and serves until the process is killed. Runs
 * serve(descriptor) on as many threads as argv[1] says, 1 by default; each reads the int of every
 * connection that is its own, non-blocking and without delay, from that descriptor, a pipe. */
int peer_main(int argc, char **argv, void (*serve)(int arrivals));

/* Tells what failed and ends the process. */
_Noreturn void peer_die(const char *what);

#endif
