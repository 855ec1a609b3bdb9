/* Signals, descriptors and threads of POSIX systems. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sample_system.h"

/* What a signal calls. When they are taken back only the main thread is left to run its handler:
 * those of the library block all signals. */
static void (*volatile stop_program)(void);
static void (*volatile dump_program)(void);

/* A program may be started with stdin, stdout or stderr closed: the next descriptor would then be
 * taken for it, and a peer might read the log. */
bool sample_system_start(void)
{
	int descriptor;

	do {
		descriptor = open("/dev/null", O_RDWR);
	} while (descriptor >= 0 && descriptor <= STDERR_FILENO);
	return descriptor >= 0 && close(descriptor) == 0;
}

static void handle_signal(int signal_number)
{
	void (*call)(void) = signal_number == SIGUSR1 ? dump_program : stop_program;

	if (call)
		call();
}

void sample_system_mind_signals(void (*stop)(void), void (*dump)(void))
{
	struct sigaction old_action;
	struct sigaction action;

	stop_program = stop;
	dump_program = dump;
	if (!stop)
		return;
	memset(&action, 0, sizeof(action));
	sigemptyset(&action.sa_mask);
	action.sa_handler = handle_signal;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* The terminal was closed; nohup wants that ignored. */
	sigaction(SIGHUP, NULL, &old_action);
	if (old_action.sa_handler != SIG_IGN)
		sigaction(SIGHUP, &action, NULL);
	/* A dump changes nothing: what is being written to stdout or stderr goes on behind it. */
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

struct sample_thread {
	pthread_t thread;
	void (*run)(void *argument);
	void *argument;
};

static void *thread_main(void *context)
{
	const struct sample_thread *thread = context;

	thread->run(thread->argument);
	return NULL;
}

struct sample_thread *sample_system_start_thread(void (*run)(void *argument), void *argument)
{
	struct sample_thread *thread = malloc(sizeof(*thread));

	if (!thread)
		return NULL;
	thread->run = run;
	thread->argument = argument;
	if (pthread_create(&thread->thread, NULL, thread_main, thread) == 0)
		return thread;
	free(thread);
	return NULL;
}

void sample_system_join_thread(struct sample_thread *thread)
{
	pthread_join(thread->thread, NULL);
	free(thread);
}
