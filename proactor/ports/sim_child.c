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

enum sim_child_end pro__sim_child_run(
		void (*run)(void *context), void *context, char *why, size_t why_size)
{
	(void)why;
	(void)why_size;
	run(context);
	return SIM_CHILD_RETURNED;
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
#include <sys/resource.h>
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
	munmap(shared, sizeof(*shared));
}

static enum sim_child_end tell_end(int status, char *why, size_t why_size)
{
	if (WIFEXITED(status)) {
		if (WEXITSTATUS(status) == 0)
			return SIM_CHILD_RETURNED;
		snprintf(why, why_size, "it exits with status %d", WEXITSTATUS(status));
		return SIM_CHILD_CRASHED;
	}
	if (WTERMSIG(status) == SIGXCPU) {
		snprintf(why, why_size, "it hangs");
		return SIM_CHILD_HUNG;
	}
	snprintf(why, why_size, "it crashes: signal %d", WTERMSIG(status));
	return SIM_CHILD_CRASHED;
}

enum sim_child_end pro__sim_child_run(
		void (*run)(void *context), void *context, char *why, size_t why_size)
{
	pid_t child = fork();
	int status;

	if (child < 0) {
		snprintf(why, why_size, "there is no child process: errno %d", errno);
		return SIM_CHILD_CRASHED;
	}
	if (child == 0) {
		run(context);
		_exit(0);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR) {
			snprintf(why, why_size, "its child process is lost: errno %d", errno);
			return SIM_CHILD_CRASHED;
		}
	return tell_end(status, why, why_size);
}

/* Processor time, so that a busy machine makes no difference, and no signal handler either. */
void pro__sim_child_limit(unsigned seconds)
{
	struct rusage usage = {0};
	struct rlimit limit = {.rlim_max = RLIM_INFINITY};

	/* Neither can fail. */
	getrusage(RUSAGE_SELF, &usage);
	getrlimit(RLIMIT_CPU, &limit);
	limit.rlim_cur = (rlim_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + seconds + 1;
	setrlimit(RLIMIT_CPU, &limit);
}

/* Of the sanitizer, if there is one. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

bool pro__sim_has_leak(void)
{
	return __lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check() != 0;
}

#endif
