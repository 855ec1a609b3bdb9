/* What every header of proactor stands on: version, export marks, handles, buffers, allocator and
 * log hooks.
 *
 * Thread-use tags in these headers: [any thread] may be called at any time from anywhere;
 * [callback] is called by the library on a thread that runs the loop; [set-up] before the object is
 * shared or after it is quiet.
 *
 * A pointer may be NULL where its comment says so. Elsewhere functions that return an error refuse
 * NULL with PRO_EINVAL as far as they look at it; an object that they are called on must be there.
 * What a comment calls an error of the system is any other number of <proactor/error.h>. */
#ifndef PROACTOR_BASE_H
#define PROACTOR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRO_VERSION_MAJOR  0
#define PRO_VERSION_MINOR  1
#define PRO_VERSION_PATCH  0
#define PRO_VERSION_STRING "0.1.0"

#if defined(__cplusplus)
#if defined(__GNUC__) && !defined(__clang__)
/* In C a function and a structure may share a name; in C++ too, but g++ warns of it. */
#define PRO_BEGIN_DECLS                                                                            \
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wshadow\"") extern "C"       \
	{
#define PRO_END_DECLS                                                                              \
	}                                                                                              \
	_Pragma("GCC diagnostic pop")
#else
#define PRO_BEGIN_DECLS extern "C" {
#define PRO_END_DECLS   }
#endif
#else
#define PRO_BEGIN_DECLS
#define PRO_END_DECLS
#endif

/* C++ has no _Atomic, and some compilers of C want to be asked for it; the types used with it have
 * the same size and alignment without it. */
#if defined(__cplusplus) || defined(__STDC_NO_ATOMICS__)
#define PRO_ATOMIC(type) type
#else
#define PRO_ATOMIC(type) _Atomic(type)
#endif

#if defined(_WIN32)
#if defined(PRO_BUILD_SHARED)
#define PRO_API __declspec(dllexport)
#elif defined(PRO_USE_SHARED)
#define PRO_API __declspec(dllimport)
#else
#define PRO_API
#endif
#elif defined(__GNUC__)
#define PRO_API __attribute__((visibility("default")))
#else
#define PRO_API
#endif

#if defined(__MINGW32__) && !defined(__clang__)
#define PRO_PRINTF(text, first) __attribute__((format(gnu_printf, text, first)))
#elif defined(__GNUC__)
#define PRO_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define PRO_PRINTF(text, first)
#endif

/* The structure of `type` whose `member` is at `pointer`: the one downcast of a handler, an
 * operation or a link. */
#define pro_container_of(pointer, type, member)                                                    \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

PRO_BEGIN_DECLS

/* A socket, pipe or file: a descriptor on Linux, a SOCKET or HANDLE on Windows, a made-up number in
 * the simulated port. */
typedef intptr_t pro_handle;
#define PRO_INVALID_HANDLE ((pro_handle)-1)

/* One piece of a gathered or scattered transfer, laid out as the system's own (struct iovec,
 * WSABUF). */
#if defined(_WIN32)
typedef uint32_t pro_buffer_length;
struct pro_buffer {
	pro_buffer_length length;
	void *base;
};
#else
typedef size_t pro_buffer_length;
struct pro_buffer {
	void *base;
	pro_buffer_length length;
};
#endif

/* Where the library gets its memory. All three are called from any thread; NULL members are
 * refused. ACE: ACE_Allocator. Since 0.1. */
struct pro_allocator {
	void *(*allocate)(void *context, size_t size);                 /* NULL when there is none */
	void *(*reallocate)(void *context, void *memory, size_t size); /* as realloc */
	void (*deallocate)(void *context, void *memory);               /* accepts NULL */
	void *context;
};

enum pro_log_level { PRO_LOG_ERROR, PRO_LOG_WARNING, PRO_LOG_INFO, PRO_LOG_DEBUG };

/* Receives one line without a newline, from any thread; `text` is valid during the call. Since 0.1.
 */
typedef void (*pro_log_function)(void *context, enum pro_log_level level, const char *text);

/* The version of the library that runs, "MAJOR.MINOR.PATCH". [any thread] Since 0.1. */
PRO_API const char *pro_version(void);

PRO_END_DECLS

#endif
