/* Signals and descriptors of POSIX systems. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "sample_system.h"

static void (*stop_program)(void);

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
	(void)signal_number;
	stop_program();
}

void sample_system_mind_signals(void (*stop)(void))
{
	struct sigaction action;

	stop_program = stop;
	memset(&action, 0, sizeof(action));
	sigemptyset(&action.sa_mask);
	action.sa_handler = handle_signal;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}
