/* Console events and standard streams of Windows. */
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <windows.h>

#include "sample_system.h"

/* Ends wait for the main thread at most so long; the system ends the program soon after anyway. */
#define CLOSE_WAIT_MS 5000

static void (*stop_program)(void);

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
	stop_program();
	/* After Ctrl-C the program goes on and ends itself; the window's closing ends it as soon as
	 * this returns. */
	if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT)
		Sleep(CLOSE_WAIT_MS);
	return TRUE;
}

void sample_system_mind_signals(void (*stop)(void))
{
	stop_program = stop;
	SetConsoleCtrlHandler(handle_event, TRUE);
}
