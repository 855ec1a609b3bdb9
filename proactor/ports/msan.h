/* Private: tells MemorySanitizer what a system call wrote that it does not know. Nothing elsewhere.
 */
#ifndef PROACTOR_PORTS_MSAN_H
#define PROACTOR_PORTS_MSAN_H

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define PRO__KERNEL_WROTE(bytes, size) __msan_unpoison(bytes, size)
#endif
#endif
#ifndef PRO__KERNEL_WROTE
#define PRO__KERNEL_WROTE(bytes, size) ((void)0)
#endif

#endif
