/* System calls of the library that fail; and the descriptors that it makes. */
#ifndef TESTS_TORTURE_CALLS_H
#define TESTS_TORTURE_CALLS_H

#include "inject.h"

extern const struct kind kind_calls;

/* For the calls themselves: which of the errors the next one fails with; 0: it works. It goes by
 * the number of the call, so that other numbers meet the others. */
int calls_next_error(const int *errors, size_t count);
#define NEXT_ERROR(...)                                                                            \
	calls_next_error((const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))
/* Among the errors: none, but only one byte is moved. */
#define SHORT (-1)

/* The library has made the descriptor. */
void calls_take(pro_handle handle);
/* The library hands the descriptor over: it is somebody else's to close. */
void calls_give(pro_handle handle);
/* How many it made and has neither closed nor handed over. Files do not count. */
unsigned calls_descriptors(void);

#endif
