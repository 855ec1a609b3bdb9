/* Allocation for LD_PRELOAD that fails when a test wants it to: the functions of the system, behind
 * a count of their calls. The test sees and sets the numbers in a file, which FAILING_MALLOC names;
 * what libc allocates before it is there never fails. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The order is that of test_memory.py. */
struct numbers {
	atomic_uint_least64_t calls;  /* that could fail */
	atomic_uint_least64_t first;  /* the number of the first that fails; 0: none */
	atomic_uint_least64_t count;  /* how many fail, from that one on */
	atomic_uint_least64_t failed; /* did */
	atomic_uint_least64_t live;   /* pieces of memory */
};

/* The functions of the system by their own names. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

static struct numbers before;
static struct numbers *_Atomic numbers = &before;

__attribute__((constructor)) static void share_numbers(void)
{
	const char *name = getenv("FAILING_MALLOC");
	const int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;

	if (file < 0)
		return;
	struct numbers *shared =
			mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (shared != MAP_FAILED)
		atomic_store(&numbers, shared);
	close(file);
}

static bool call_fails(void)
{
	struct numbers *known = atomic_load(&numbers);
	const uint64_t number = atomic_fetch_add(&known->calls, 1) + 1;
	const uint64_t first = atomic_load(&known->first);

	if (first == 0 || number < first || number - first >= atomic_load(&known->count))
		return false;
	atomic_fetch_add(&known->failed, 1);
	errno = ENOMEM;
	return true;
}

static void *count_live(void *memory)
{
	if (memory)
		atomic_fetch_add(&atomic_load(&numbers)->live, 1);
	return memory;
}

void *malloc(size_t size)
{
	return call_fails() ? NULL : count_live(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
	return call_fails() ? NULL : count_live(__libc_calloc(count, size));
}

void *realloc(void *memory, size_t size)
{
	if (call_fails())
		return NULL;
	if (!memory)
		return count_live(__libc_realloc(NULL, size));
	void *moved = __libc_realloc(memory, size);
	if (!moved && size == 0)
		atomic_fetch_sub(&atomic_load(&numbers)->live, 1);
	return moved;
}

void *reallocarray(void *memory, size_t count, size_t size)
{
	if (size > 0 && count > SIZE_MAX / size) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(memory, count * size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return call_fails() ? NULL : count_live(__libc_memalign(alignment, size));
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
	const int saved = errno;
	void *found = aligned_alloc(alignment, size);

	errno = saved;
	if (!found)
		return ENOMEM;
	*memory = found;
	return 0;
}

void free(void *memory)
{
	if (!memory)
		return;
	atomic_fetch_sub(&atomic_load(&numbers)->live, 1);
	__libc_free(memory);
}
