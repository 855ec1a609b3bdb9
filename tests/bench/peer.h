/* What the hand-written servers share: where connections come from. One thread accepts its own; for
 * several the main thread accepts and deals them out in turn, so that each has as many as any
 * other, and sleeps while they are served. */
#ifndef PROACTOR_TESTS_BENCH_PEER_H
#define PROACTOR_TESTS_BENCH_PEER_H

/* Prints "listening on 127.0.0.1:PORT" and runs serve(arrivals) until the process is killed, on as
 * many threads as argv[1] says, 1 by default. When `arrivals` is readable there is a connection. */
int peer_main(int argc, char **argv, void (*serve)(int arrivals));

/* The descriptor of that connection, non-blocking and without delay; -1 when it has gone. */
int peer_take(int arrivals);

/* Tells what failed and ends the process. */
_Noreturn void peer_die(const char *what);

#endif
