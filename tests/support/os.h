/* What tests need from the system itself: one file per system, os_linux.c here. */
#ifndef TESTS_SUPPORT_OS_H
#define TESTS_SUPPORT_OS_H

#include <proactor/addr.h>
#include <proactor/base.h>

/* Open descriptors and threads of this process. */
unsigned os_descriptor_count(void);
unsigned os_thread_count(void);

/* Prints what each open descriptor is, one a line, for a failed comparison. */
void os_print_descriptors(void);

/* A sum over all signal dispositions: equal when none has changed. */
uint64_t os_signal_dispositions(void);
/* Sets what a signal does; returns what it did before. */
void (*os_signal_set(int number, void (*handler)(int)))(int);

/* Sets a variable of the environment, or takes it out (NULL), for the library too. */
void os_set_environment(const char *name, const char *value);

/* CPU time of this process and of this thread, microseconds; and a monotonic clock, milliseconds.
 */
uint64_t os_process_cpu_us(void);
uint64_t os_thread_cpu_us(void);
uint64_t os_now_ms(void);

/* Gives the processor away once. */
void os_yield(void);
/* Gives it away for about a millisecond, in a loop that waits for what nobody tells. */
void os_pause(void);
/* This thread; and a wait until that thread waits in the kernel: false after some 100 ms. */
long os_thread_id(void);
bool os_wait_until_asleep(long thread_id);
/* How often that thread gave its processor away because it had to wait. */
uint64_t os_thread_switches(long thread_id);

/* Lets a sanitizer start the threads that it needs itself, so that they are counted from the
 * beginning. */
void os_settle_threads(void);

/* Whether a sanitizer slows this program down, or something like one; and whether that is Wine,
 * under which each system call is slow. */
bool os_is_sanitized(void);
bool os_is_emulated(void);

/* A new empty directory, of at least `size` 64 bytes; and its removal with all in it. */
void os_make_directory(char *path, size_t size);
void os_remove_directory(const char *path);

/* Makes the file `path` with a size and nothing in it; later changes of the size; its size now. */
void os_make_sparse_file(const char *path, uint64_t size);
void os_resize_file(const char *path, uint64_t size);
uint64_t os_file_size(const char *path);

/* Lets this process open no more than `free` descriptors beyond those it has; and the old limit
 * back. */
void os_limit_descriptors(unsigned free);
void os_unlimit_descriptors(void);
/* An address, for pro_addr_parse, that only programs of this machine reach, and no other test uses.
 */
void os_make_local_address(char *text, size_t size);

/* Raises the limit of descriptors as far as the system allows; returns it. */
unsigned os_raise_descriptor_limit(void);

/* Whether every descriptor but 0, 1, 2 and those of `known` (a sorted snapshot) closes on exec. */
#define OS_DESCRIPTORS_MAX 4096
unsigned os_descriptors(int *descriptors, unsigned max);
bool os_is_close_on_exec(int descriptor);

/* A raw blocking peer: connects to `addr`; never fails a test silently: -1 is an assertion. */
int os_connect(const struct pro_addr *addr);
/* The same in two steps. */
int os_make_peer(const struct pro_addr *addr);
void os_connect_peer(int descriptor, const struct pro_addr *addr);
/* The same before the handshake has ended: returns at once. */
int os_connect_nonblocking(const struct pro_addr *addr);
/* Sends all bytes; reads up to `length` bytes or the end (whatever comes first), at most limit_ms.
 */
void os_send(int descriptor, const void *bytes, size_t length);
size_t os_receive(int descriptor, void *bytes, size_t length, uint64_t limit_ms);
/* Whether something (bytes, an end, an error) can be read within limit_ms. */
bool os_wait_readable(intptr_t descriptor, int64_t limit_ms);
void os_shutdown_write(int descriptor);
void os_close(int descriptor);
void os_close_with_reset(int descriptor);
/* A pipe: [0] is read from, [1] written to. Close-on-exec, blocking. */
void os_pipe(int descriptors[2]);

/* Runs `child` in a forked process; returns its result, which must fit 0 to 99; 100 + signal when a
 * signal ended it. */
int os_run_forked(int (*child)(void *context), void *context);

/* Forbids the io_uring system calls to this thread and its children: they fail with `error`. False
 * where filters are not to be had. */
bool os_forbid_io_uring(int error);

/* Limits the size of files that this process writes, as a full disk would; UINT64_MAX: no limit. */
void os_limit_file_size(uint64_t bytes);
/* Mounts a file system of `bytes` at `path` (false where that is not allowed); and unmounts it. */
bool os_mount_small(const char *path, uint64_t bytes);
void os_unmount(const char *path);
bool os_is_root(void);
/* Becomes the user nobody for good. */
void os_become_nobody(void);

/* Memory of `bytes` that costs nothing until it is touched. */
void *os_map(uint64_t bytes);
void os_unmap(void *memory, uint64_t bytes);

/* Sends this thread's process SIGALRM every `interval_us` to a handler that does nothing, calls
 * interrupted; 0 ends it and restores the disposition. */
void os_signal_storm(unsigned interval_us);
unsigned os_signal_storm_count(void);

#endif
