/* Child processes in which seeds are run, so that a crash or a hang is a failure like any other. */
#include "sim.h"

#if defined(_WIN32)

struct sim_shared *pro__sim_shared_create(void)
{
	return pro__sim_allocate(sizeof(struct sim_shared));
}

void pro__sim_shared_destroy(struct sim_shared *shared)
{
	pro__sim_free(shared);
}

bool pro__sim_child_run(void (*run)(void *context), void *context, char *why, size_t why_size)
{
	(void)why;
	(void)why_size;
	run(context);
	return true;
}

void pro__sim_child_limit(unsigned seconds)
{
	(void)seconds;
}

bool pro__sim_has_leak(void)
{
	return false;
}

#else

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct sim_shared *pro__sim_shared_create(void)
{
	void *memory = mmap(NULL, sizeof(struct sim_shared), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void pro__sim_shared_destroy(struct sim_shared *shared)
{
	if (shared)
		munmap(shared, sizeof(*shared));
}

static bool tell_end(int status, char *why, size_t why_size)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(why, why_size, "it hangs");
	else if (WIFSIGNALED(status))
		snprintf(why, why_size, "it crashes: signal %d", WTERMSIG(status));
	else
		snprintf(why, why_size, "it exits with status %d", WEXITSTATUS(status));
	return false;
}

bool pro__sim_child_run(void (*run)(void *context), void *context, char *why, size_t why_size)
{
	pid_t child = fork();
	int status;

	if (child < 0) {
		snprintf(why, why_size, "there is no child process: errno %d", errno);
		return false;
	}
	if (child == 0) {
		run(context);
		_exit(0);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR) {
			snprintf(why, why_size, "its child process is lost: errno %d", errno);
			return false;
		}
	return tell_end(status, why, why_size);
}

void pro__sim_child_limit(unsigned seconds)
{
	alarm(seconds);
}

/* Of the sanitizer, if there is one. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

bool pro__sim_has_leak(void)
{
	return __lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check() != 0;
}

#endif
