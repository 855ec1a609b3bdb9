/* System calls of the library that fail; and the descriptors that it makes. */
#ifndef TESTS_TORTURE_CALLS_H
#define TESTS_TORTURE_CALLS_H

#include "inject.h"

extern const struct kind kind_calls;

/* For the calls themselves: which of the errors the next one fails with; 0: it works. It goes by
 * the number of the call, so that other numbers meet the others. */
int calls_next_error(const char *name, const int *errors, size_t count);
#define NEXT_ERROR_OF(name, ...)                                                                   \
	calls_next_error(                                                                              \
			name, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))
#define NEXT_ERROR(...) NEXT_ERROR_OF(__func__ + sizeof("calls_") - 1, __VA_ARGS__)
/* Among the errors: none, but only one byte is moved. */
#define SHORT (-1000)

/* For tests, of one thread: after the next `skip` calls of that name so many fail with `error`, or
 * do what the call says of SHORT. The call of syscall has the name of what is called; entries of a
 * ring have those of their opcodes, without IORING_OP_. */
void calls_fail(const char *name, unsigned skip, unsigned times, int error);
/* Runs something before the next call of that name, which then works. */
void calls_run_before(const char *name, void (*run)(void *context), void *context);
/* Takes back all that was asked for; returns how many failures of that had not come yet. */
unsigned calls_forget(void);

/* The library has made the descriptor. */
void calls_take(pro_handle handle);
/* The library hands the descriptor over: it is somebody else's to close. */
void calls_give(pro_handle handle);
/* How many it made and has neither closed nor handed over. Files do not count. */
unsigned calls_descriptors(void);

#endif
