/* Console events, standard streams and threads of Windows. */
#include <fcntl.h>
#include <io.h>
#include <process.h>
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#include "sample_system.h"

/* Ends wait for the main thread at most so long; the system ends the program soon after anyway. */
#define CLOSE_WAIT_MS 5000

/* What the system's thread calls, which holds the lock meanwhile. */
static SRWLOCK lock = SRWLOCK_INIT;
static void (*stop_program)(void);
static void (*dump_program)(void);

/* Without this every line feed would become two bytes, which no peer and no pipe wants, and the log
 * would be kept back when it goes to a file. */
bool sample_system_start(void)
{
	setvbuf(stderr, NULL, _IONBF, 0);
	_setmode(_fileno(stdin), _O_BINARY);
	_setmode(_fileno(stdout), _O_BINARY);
	_setmode(_fileno(stderr), _O_BINARY);
	SetConsoleOutputCP(CP_UTF8);
	return true;
}

static BOOL WINAPI handle_event(DWORD event)
{
	AcquireSRWLockShared(&lock);
	void (*call)(void) = event == CTRL_BREAK_EVENT ? dump_program : stop_program;
	if (call)
		call();
	ReleaseSRWLockShared(&lock);
	/* After Ctrl-C the program goes on and ends itself; the window's closing ends it as soon as
	 * this returns. */
	if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT)
		Sleep(CLOSE_WAIT_MS);
	return TRUE;
}

void sample_system_mind_signals(void (*stop)(void), void (*dump)(void))
{
	AcquireSRWLockExclusive(&lock);
	stop_program = stop;
	dump_program = dump;
	ReleaseSRWLockExclusive(&lock);
	if (stop)
		SetConsoleCtrlHandler(handle_event, TRUE);
}

struct sample_thread {
	HANDLE handle;
	void (*run)(void *argument);
	void *argument;
};

static unsigned __stdcall thread_main(void *context)
{
	const struct sample_thread *thread = context;

	thread->run(thread->argument);
	return 0;
}

struct sample_thread *sample_system_start_thread(void (*run)(void *argument), void *argument)
{
	struct sample_thread *thread = malloc(sizeof(*thread));

	if (!thread)
		return NULL;
	thread->run = run;
	thread->argument = argument;
	thread->handle = (HANDLE)_beginthreadex(NULL, 0, thread_main, thread, 0, NULL);
	if (thread->handle)
		return thread;
	free(thread);
	return NULL;
}

void sample_system_join_thread(struct sample_thread *thread)
{
	WaitForSingleObject(thread->handle, INFINITE);
	CloseHandle(thread->handle);
	free(thread);
}
