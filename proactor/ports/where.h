/* Private: from where a public function was called, for the reports of debug mode. */
#ifndef PROACTOR_PORTS_WHERE_H
#define PROACTOR_PORTS_WHERE_H

#include <stddef.h>

/* Where the function that says this returns to. */
#if defined(_MSC_VER)
#include <intrin.h>
#define PRO__CALLER() ((const void *)_ReturnAddress())
#else
#define PRO__CALLER() ((const void *)__builtin_return_address(0))
#endif

/* Writes the module, the offset of that call in it (what addr2line and debuggers take), and the
 * function where the system knows it: "echo_server+0x12f3 (main)". Accepts NULL. [any thread] */
void pro__where_text(const void *caller, char *text, size_t size);

#endif
