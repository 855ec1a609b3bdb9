/* Descriptor numbers and what they mean now. The kernel gives a closed number to the next file, so
 * an operation that was meant for the old one is told apart by the epoch of the entry. */
#include "linux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Entries of one chunk. Chunks are never moved, so pointers to entries stay good. */
#define CHUNK_ENTRIES 256u

void pro__fd_table_init(
		struct pro__fd_table *table, struct pro_proactor *proactor, size_t entry_size)
{
	table->proactor = proactor;
	table->entry_size = (entry_size + 7u) & ~(size_t)7u;
	table->chunks = NULL;
	table->chunk_count = 0;
}

void pro__fd_table_fini(struct pro__fd_table *table)
{
	for (size_t i = 0; i < table->chunk_count; i++)
		pro__deallocate(table->proactor, table->chunks[i]);
	pro__deallocate(table->proactor, table->chunks);
	table->chunks = NULL;
	table->chunk_count = 0;
}

struct pro__fd *pro__fd_table_find(const struct pro__fd_table *table, pro_handle handle)
{
	if (handle < 0)
		return NULL;
	size_t number = (size_t)handle;
	size_t chunk = number / CHUNK_ENTRIES;

	if (chunk >= table->chunk_count || !table->chunks[chunk])
		return NULL;
	return (struct pro__fd *)(void *)(table->chunks[chunk] +
									  number % CHUNK_ENTRIES * table->entry_size);
}

static int table_grow(struct pro__fd_table *table, size_t chunk_count)
{
	if (chunk_count <= table->chunk_count)
		return 0;
	if (chunk_count < table->chunk_count * 2)
		chunk_count = table->chunk_count * 2;
	unsigned char **chunks =
			pro__reallocate(table->proactor, table->chunks, chunk_count * sizeof(*chunks));
	if (!chunks)
		return ENOMEM;
	memset(chunks + table->chunk_count, 0, (chunk_count - table->chunk_count) * sizeof(*chunks));
	table->chunks = chunks;
	table->chunk_count = chunk_count;
	return 0;
}

static int table_add_chunk(struct pro__fd_table *table, size_t chunk)
{
	if (table_grow(table, chunk + 1))
		return ENOMEM;
	unsigned char *bytes = pro__allocate(table->proactor, CHUNK_ENTRIES * table->entry_size);
	if (!bytes)
		return ENOMEM;
	memset(bytes, 0, CHUNK_ENTRIES * table->entry_size);
	for (size_t i = 0; i < CHUNK_ENTRIES; i++)
		((struct pro__fd *)(void *)(bytes + i * table->entry_size))->epoch = 1;
	table->chunks[chunk] = bytes;
	return 0;
}

struct pro__fd *pro__fd_table_get(struct pro__fd_table *table, pro_handle handle)
{
	struct pro__fd *entry = pro__fd_table_find(table, handle);

	if (entry)
		return entry;
	/* A made-up number must not cost memory in proportion to its size. */
	if (handle < 0 || handle > INT_MAX || fcntl((int)handle, F_GETFD) < 0) {
		errno = EBADF;
		return NULL;
	}
	if (table_add_chunk(table, (size_t)handle / CHUNK_ENTRIES)) {
		errno = ENOMEM;
		return NULL;
	}
	return pro__fd_table_find(table, handle);
}

void pro__fd_next_epoch(struct pro__fd *entry)
{
	entry->epoch++;
	if (!entry->epoch)
		entry->epoch = 1;
}

static uint8_t kind_of_file(mode_t mode)
{
	if (S_ISREG(mode) || S_ISBLK(mode) || S_ISDIR(mode))
		return PRO__FD_FILE;
	return PRO__FD_PIPE;
}

static int make_non_blocking(int fd)
{
	int is_non_blocking = 1;

	return ioctl(fd, FIONBIO, &is_non_blocking) < 0 ? errno : 0;
}

static int kind_of_socket(int fd, int type, uint8_t *kind)
{
	int is_listening = 0;
	socklen_t length = sizeof(is_listening);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &length) < 0)
		is_listening = 0;
	if (is_listening)
		*kind = PRO__FD_LISTENER;
	else if (type == SOCK_STREAM || type == SOCK_SEQPACKET)
		*kind = PRO__FD_STREAM;
	else
		*kind = PRO__FD_DGRAM;
	return make_non_blocking(fd);
}

int pro__fd_kind_of(int fd, uint8_t *kind)
{
	struct stat status;
	int type = 0;
	socklen_t length = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0)
		return kind_of_socket(fd, type, kind);
	if (errno != ENOTSOCK)
		return errno;
	if (fstat(fd, &status) < 0)
		return errno;
	*kind = kind_of_file(status.st_mode);
	return 0;
}
