/* What the samples ask of the system itself: one file per system. */
#ifndef SAMPLE_SYSTEM_H
#define SAMPLE_SYSTEM_H

#include <stdbool.h>

/* Standard streams are there, and carry bytes as they are. */
bool sample_system_start(void);

/* Calls `stop` when the user or the system wants the program to end, and `dump` when the user wants
 * to know what it is doing (SIGUSR1, or Ctrl-Break on Windows): in a signal handler, or on a thread
 * of the system. NULL for both: none is called any more, and none is under way. */
void sample_system_mind_signals(void (*stop)(void), void (*dump)(void));

/* A thread that runs `run(argument)`; NULL when there is none to be had. */
struct sample_thread;
struct sample_thread *sample_system_start_thread(void (*run)(void *argument), void *argument);
/* Waits for its end and frees it. */
void sample_system_join_thread(struct sample_thread *thread);

#endif
