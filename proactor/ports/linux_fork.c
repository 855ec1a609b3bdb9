/* The mark by which a process knows that it is the one that made a port: a page that the kernel
 * gives zeroed to a forked child. Unlike getpid it costs one load. */
#include "linux.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

uint32_t *pro__fork_mark_create(void)
{
	uint32_t *mark =
			mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mark == MAP_FAILED)
		return NULL;
	if (madvise(mark, page_size(), MADV_WIPEONFORK) < 0) {
		munmap(mark, page_size());
		return NULL;
	}
	*mark = 1;
	return mark;
}

void pro__fork_mark_destroy(uint32_t *mark)
{
	if (mark)
		munmap(mark, page_size());
}
