/* A program that crashes must fail its test: Wine's debugger would let some of them end well. */
#include <stdio.h>
#include <windows.h>

#define EXIT_CRASHED 139

static LONG WINAPI crash(EXCEPTION_POINTERS *exception)
{
	fprintf(stderr, "exception %08lx at %p\n",
			(unsigned long)exception->ExceptionRecord->ExceptionCode,
			exception->ExceptionRecord->ExceptionAddress);
	fflush(stderr);
	TerminateProcess(GetCurrentProcess(), EXIT_CRASHED);
	return EXCEPTION_CONTINUE_SEARCH;
}

static void __attribute__((constructor)) mind_crashes(void)
{
	SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
	SetUnhandledExceptionFilter(crash);
	/* Whatever was printed before a crash or a time-out is to be seen. */
	setvbuf(stdout, NULL, _IONBF, 0);
	setvbuf(stderr, NULL, _IONBF, 0);
}
