/* An assertion for what runs a million times: those of Check write to a file each time they hold.
 */
#ifndef TESTS_SUPPORT_QUICK_ASSERT_H
#define TESTS_SUPPORT_QUICK_ASSERT_H

#include <check.h>

#define ASSERT_QUICK(condition, ...)                                                               \
	do {                                                                                           \
		if (!(condition))                                                                          \
			ck_abort_msg(__VA_ARGS__);                                                             \
	} while (0)

#endif
