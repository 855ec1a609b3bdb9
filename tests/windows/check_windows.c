/* What Check lacks where it can not fork. A program that crashes must fail its test: Wine's
 * debugger would let some of them end well. And a line written to a file for every assertion that
 * holds, which Check does to tell where a child process died, would be most of what tests do. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#define EXIT_CRASHED 139

static DWORD main_thread;

static LONG WINAPI crash(EXCEPTION_POINTERS *exception)
{
	fprintf(stderr, "exception %08lx at %p\n",
			(unsigned long)exception->ExceptionRecord->ExceptionCode,
			exception->ExceptionRecord->ExceptionAddress);
	fflush(stderr);
	TerminateProcess(GetCurrentProcess(), EXIT_CRASHED);
	return EXCEPTION_CONTINUE_SEARCH;
}

/* Instead of Check's own _mark_point. */
void __wrap__mark_point(const char *file, int line);

void __wrap__mark_point(const char *file, int line)
{
	(void)file;
	(void)line;
}

/* Instead of Check's own, which would jump from whatever thread to where the main thread is. */
void __wrap__ck_assert_failed(
		const char *file, int line, const char *expression, const char *format, ...);
void __real__ck_assert_failed(
		const char *file, int line, const char *expression, const char *format, ...);

void __wrap__ck_assert_failed(
		const char *file, int line, const char *expression, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format ? format : "", arguments);
	va_end(arguments);
	if (GetCurrentThreadId() != main_thread) {
		fprintf(stderr, "%s:%d:F: on a thread of its own: %s %s\n", file, line, expression, text);
		TerminateProcess(GetCurrentProcess(), EXIT_FAILURE);
	}
	__real__ck_assert_failed(file, line, expression, format ? "%s" : NULL, text);
}

static void __attribute__((constructor)) mind_crashes(void)
{
	main_thread = GetCurrentThreadId();
	SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
	SetUnhandledExceptionFilter(crash);
	/* Whatever was printed before a crash or a time-out is to be seen. */
	setvbuf(stdout, NULL, _IONBF, 0);
	setvbuf(stderr, NULL, _IONBF, 0);
}
