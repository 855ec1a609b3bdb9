/* Files and roots of a Linux port. A root is its descriptor, so it needs no memory. */
#include "linux_file.h"
#include "linux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Directory entries are read to their end; this bounds a directory that grows while it is read. */
#define LIST_ENTRIES_MAX 10000000u

static void *root_of_fd(int fd)
{
	return (void *)((intptr_t)fd + 1); /* descriptor 0 must not be a NULL root */
}

static int fd_of_root(void *root)
{
	return (int)((intptr_t)root - 1);
}

static int open_flags(unsigned flags, int *system_flags)
{
	const unsigned known = PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE | PRO_FILE_EXCLUSIVE |
						   PRO_FILE_TRUNCATE | PRO_FILE_DIRECT;
	bool reads = flags & PRO_FILE_READ;
	bool writes = flags & PRO_FILE_WRITE;

	if ((flags & ~known) || (!reads && !writes))
		return PRO_EINVAL;
	if (!writes && (flags & (PRO_FILE_CREATE | PRO_FILE_TRUNCATE)))
		return PRO_EINVAL;
	if ((flags & PRO_FILE_EXCLUSIVE) && !(flags & PRO_FILE_CREATE))
		return PRO_EINVAL;
	/* O_NONBLOCK: opening a FIFO must not wait for its other end. */
	int result = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	result |= reads && writes ? O_RDWR : writes ? O_WRONLY : O_RDONLY;
	result |= flags & PRO_FILE_CREATE ? O_CREAT : 0;
	result |= flags & PRO_FILE_EXCLUSIVE ? O_EXCL : 0;
	result |= flags & PRO_FILE_TRUNCATE ? O_TRUNC : 0;
	result |= flags & PRO_FILE_DIRECT ? O_DIRECT : 0;
	*system_flags = result;
	return 0;
}

static enum pro_file_type type_of_mode(mode_t mode)
{
	if (S_ISREG(mode))
		return PRO_FILE_REGULAR;
	return S_ISDIR(mode) ? PRO_FILE_DIRECTORY : PRO_FILE_OTHER;
}

static int status_of_fd(int fd, struct pro_file_status *status)
{
	struct stat found;

	if (fstat(fd, &found) < 0)
		return pro__error_from_os(errno);
	*status = (struct pro_file_status){
			.type = type_of_mode(found.st_mode),
			.size = (uint64_t)found.st_size,
			.modified_s = (int64_t)found.st_mtime,
			.identity = {(uint64_t)found.st_dev, (uint64_t)found.st_ino},
	};
	return 0;
}

int pro__linux_file_open(
		struct pro_port *port, const char *path, unsigned flags, pro_handle *handle)
{
	int system_flags;

	(void)port;
	*handle = PRO_INVALID_HANDLE;
	int error = open_flags(flags, &system_flags);
	if (error)
		return error;
	int fd = open(path, system_flags, 0666);
	if (fd < 0)
		return pro__error_from_os(errno);
	*handle = fd;
	return 0;
}

int pro__linux_file_status(struct pro_port *port, pro_handle handle, struct pro_file_status *status)
{
	(void)port;
	return status_of_fd(pro__fd_of(handle), status);
}

int pro__linux_root_open(struct pro_port *port, const char *path, void **root)
{
	(void)port;
	*root = NULL;
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return pro__error_from_os(errno);
	*root = root_of_fd(fd);
	return 0;
}

void pro__linux_root_close(struct pro_port *port, void *root)
{
	(void)port;
	if (root)
		close(fd_of_root(root));
}

static int refuse_type(enum pro_file_type type)
{
	switch (type) {
	case PRO_FILE_REGULAR:
		return 0;
	case PRO_FILE_DIRECTORY:
		return PRO_EISDIR;
	case PRO_FILE_OTHER:
		break;
	}
	return PRO_EACCES;
}

/* Refuses what is no regular file before it is opened: an opening lets the writer of a FIFO go on,
 * whose bytes would be lost, and some devices act on it. */
static int refuse_unopened(int root_fd, const char *name)
{
	struct pro_file_status found = {.type = PRO_FILE_OTHER};
	int fd = pro__open_beneath(root_fd, name, O_PATH, 0);

	if (fd < 0)
		return fd;
	int error = status_of_fd(fd, &found);
	close(fd);
	return error ? error : refuse_type(found.type);
}

int pro__linux_root_open_file(struct pro_port *port, void *root, const char *name, unsigned flags,
		pro_handle *handle, struct pro_file_status *status)
{
	struct pro_file_status found;
	int system_flags;

	(void)port;
	*handle = PRO_INVALID_HANDLE;
	if (!*name)
		name = ".";
	int error = open_flags(flags, &system_flags);
	if (!error && !(flags & PRO_FILE_EXCLUSIVE))
		error = refuse_unopened(fd_of_root(root), name);
	if (error && !(error == PRO_ENOENT && (flags & PRO_FILE_CREATE)))
		return error;
	/* Something else may have taken the name meanwhile, so its type is looked at once more. */
	int fd = pro__open_beneath(fd_of_root(root), name, system_flags, 0666);
	if (fd < 0)
		return fd;
	error = status_of_fd(fd, &found);
	if (!error)
		error = refuse_type(found.type);
	if (error) {
		close(fd);
		return error;
	}
	if (status)
		*status = found;
	*handle = fd;
	return 0;
}

int pro__linux_root_status(
		struct pro_port *port, void *root, const char *name, struct pro_file_status *status)
{
	(void)port;
	int fd = pro__open_beneath(fd_of_root(root), *name ? name : ".", O_PATH, 0);
	if (fd < 0)
		return fd;
	int error = status_of_fd(fd, status);
	close(fd);
	return error;
}

static enum pro_file_type type_of_entry(int directory_fd, const struct dirent *found)
{
	struct stat status;

	switch (found->d_type) {
	case DT_REG:
		return PRO_FILE_REGULAR;
	case DT_DIR:
		return PRO_FILE_DIRECTORY;
	case DT_UNKNOWN:
		if (fstatat(directory_fd, found->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			return PRO_FILE_OTHER; /* Not covered: it was removed this very moment. */
		return type_of_mode(status.st_mode);
	}
	return PRO_FILE_OTHER;
}

static bool is_dot_or_dot_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static int list_entries(DIR *directory,
		int (*entry)(void *context, const char *entry_name, enum pro_file_type type), void *context)
{
	for (unsigned i = 0; i < LIST_ENTRIES_MAX; i++) {
		errno = 0;
		const struct dirent *found = readdir(directory);
		if (!found)
			return errno ? pro__error_from_os(errno) : 0;
		if (is_dot_or_dot_dot(found->d_name))
			continue;
		int result = entry(context, found->d_name, type_of_entry(dirfd(directory), found));
		if (result)
			return result;
	}
	return PRO_EFULL; /* Not covered: a directory of ten million entries. */
}

int pro__linux_root_list(struct pro_port *port, void *root, const char *name,
		int (*entry)(void *context, const char *entry_name, enum pro_file_type type), void *context)
{
	(void)port;
	int fd = pro__open_beneath(fd_of_root(root), *name ? name : ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	DIR *directory = fdopendir(fd);
	if (!directory) {
		int error = pro__error_from_os(errno);
		close(fd);
		return error;
	}
	int result = list_entries(directory, entry, context);
	closedir(directory);
	return result;
}
