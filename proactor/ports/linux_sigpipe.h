/* Private: SIGPIPE kept away from a system call that has no flag for it (sendfile, writev on a
 * pipe), without touching the disposition. A SIGPIPE that was pending before stays pending. */
#ifndef PROACTOR_PORTS_LINUX_SIGPIPE_H
#define PROACTOR_PORTS_LINUX_SIGPIPE_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

struct pro__sigpipe_guard {
	sigset_t old_mask;
	bool was_pending;
};

static inline void pro__sigpipe_block(struct pro__sigpipe_guard *guard)
{
	sigset_t only_pipe;
	sigset_t pending;

	sigemptyset(&only_pipe);
	sigaddset(&only_pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &only_pipe, &guard->old_mask);
	/* What was not blocked can not have been pending. */
	guard->was_pending = sigismember(&guard->old_mask, SIGPIPE) == 1 && sigpending(&pending) == 0 &&
						 sigismember(&pending, SIGPIPE) == 1;
}

/* `is_short`: the call moved fewer bytes than it was asked to. A stream that breaks half-way gives
 * the signal and a count, not EPIPE. Keeps errno. */
static inline void pro__sigpipe_restore(const struct pro__sigpipe_guard *guard, bool is_short)
{
	int saved_errno = errno;

	if (is_short && !guard->was_pending) {
		const struct timespec at_once = {0, 0};
		sigset_t only_pipe;

		sigemptyset(&only_pipe);
		sigaddset(&only_pipe, SIGPIPE);
		while (sigtimedwait(&only_pipe, NULL, &at_once) < 0 && errno == EINTR)
			;
	}
	pthread_sigmask(SIG_SETMASK, &guard->old_mask, NULL);
	errno = saved_errno;
}

#endif
