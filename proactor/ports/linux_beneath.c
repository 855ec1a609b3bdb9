/* Names that can not leave their root: openat2 where it is, else a walk of O_NOFOLLOW. */
#include "linux_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* openat2 gives EAGAIN when a rename anywhere in the system may have interfered with a `..`. */
#define RACE_RETRIES_MAX 64

/* The walk so far: the directory it stands in, and its name without `.` and `..`. */
struct walk {
	int root_fd;
	int directory_fd; /* root_fd itself while the path is empty */
	size_t length;
	char path[PATH_MAX];
};

static int error_of_open(int os_error)
{
	switch (os_error) {
	case ELOOP: /* a symbolic link */
	case EXDEV: /* leads out */
		return PRO_EESCAPE;
	case ENXIO: /* a FIFO without a reader, a socket, a device without a driver */
	case ENODEV:
		return PRO_EACCES;
	}
	return pro__error_from_os(os_error);
}

static void walk_leave(struct walk *walk)
{
	if (walk->directory_fd != walk->root_fd)
		close(walk->directory_fd);
	walk->directory_fd = walk->root_fd;
}

/* O_NOFOLLOW with O_DIRECTORY says ENOTDIR of a link too; a look tells which it was. */
static int error_of_part(int directory_fd, const char *part, int os_error)
{
	char target[1];

	if (os_error == ENOTDIR && readlinkat(directory_fd, part, target, sizeof(target)) >= 0)
		return PRO_EESCAPE;
	return error_of_open(os_error);
}

static int walk_enter(struct walk *walk, const char *part)
{
	int fd = openat(walk->directory_fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return error_of_part(walk->directory_fd, part, errno);
	walk_leave(walk);
	walk->directory_fd = fd;
	return 0;
}

static int walk_down(struct walk *walk, const char *part)
{
	size_t length = strlen(part);

	/* It is no longer than the name: a part that is entered has a slash behind it. */
	assert(walk->length + length + 2 <= sizeof(walk->path));
	int error = walk_enter(walk, part);
	if (error)
		return error;
	walk->path[walk->length] = '/';
	memcpy(walk->path + walk->length + 1, part, length + 1);
	walk->length += length + 1;
	return 0;
}

/* `..`: the parent is found by walking anew from the root, since the directory itself may have been
 * moved out of the root in the meantime. */
static int walk_up(struct walk *walk)
{
	char part[NAME_MAX + 1];

	if (walk->length == 0)
		return PRO_EESCAPE;
	while (walk->path[--walk->length] != '/')
		;
	walk->path[walk->length] = '\0';
	walk_leave(walk);
	for (const char *rest = walk->path; *rest == '/';) {
		size_t length = strcspn(++rest, "/");
		memcpy(part, rest, length);
		part[length] = '\0';
		int error = walk_enter(walk, part);
		if (error)
			return error;
		rest += length;
	}
	return 0;
}

static int walk_step(struct walk *walk, const char *part)
{
	if (strcmp(part, ".") == 0)
		return 0;
	return strcmp(part, "..") == 0 ? walk_up(walk) : walk_down(walk, part);
}

static int walk_open_last(struct walk *walk, const char *part, int flags, mode_t mode)
{
	int fd = openat(walk->directory_fd, part, flags | O_NOFOLLOW | O_CLOEXEC, mode);

	if (fd < 0)
		return error_of_part(walk->directory_fd, part, errno);
	/* With O_PATH the link itself would be opened. */
	char target[1];
	if ((flags & O_PATH) && readlinkat(fd, "", target, sizeof(target)) >= 0) {
		close(fd);
		return PRO_EESCAPE;
	}
	return fd;
}

/* Whether `part` can be opened by itself; `.` and `..` are walked to first. */
static bool is_plain(const char *part)
{
	return strcmp(part, ".") != 0 && strcmp(part, "..") != 0;
}

static int walk_all(struct walk *walk, const char *name, int flags, mode_t mode)
{
	char part[NAME_MAX + 1];

	for (const char *rest = name; *rest;) {
		size_t length = strcspn(rest, "/");
		if (length > NAME_MAX)
			return PRO_ENAMETOOLONG;
		memcpy(part, rest, length);
		part[length] = '\0';
		rest += length;
		bool is_last = *rest == '\0';
		rest += strspn(rest, "/");
		if (is_last && is_plain(part))
			return walk_open_last(walk, part, flags, mode);
		int error = walk_step(walk, part);
		if (error)
			return error;
	}
	if (flags & O_CREAT)
		return PRO_EISDIR;
	return walk_open_last(walk, ".", flags, mode);
}

static int check_name(const char *name)
{
	if (!*name)
		return PRO_ENOENT;
	if (*name == '/')
		return PRO_EESCAPE;
	return strnlen(name, PATH_MAX) == PATH_MAX ? PRO_ENAMETOOLONG : 0;
}

int pro__open_beneath_by_parts(int root_fd, const char *name, int flags, mode_t mode)
{
	struct walk walk = {.root_fd = root_fd, .directory_fd = root_fd};
	int error = check_name(name);

	if (error)
		return error;
	int result = walk_all(&walk, name, flags, mode);
	walk_leave(&walk);
	return result;
}

int pro__open_beneath(int root_fd, const char *name, int flags, mode_t mode)
{
	struct open_how how = {
			.flags = (unsigned)(flags | O_CLOEXEC),
			.mode = flags & O_CREAT ? mode : 0,
			.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int error = check_name(name);

	if (error)
		return error;
	for (unsigned retries = 0;; retries++) {
		long fd = syscall(SYS_openat2, root_fd, name, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		/* EPERM may also be the file's own (an immutable one), which the walk will find too. */
		if (errno == ENOSYS || errno == EPERM)
			return pro__open_beneath_by_parts(root_fd, name, flags, mode);
		if ((errno != EAGAIN && errno != EINTR) || retries >= RACE_RETRIES_MAX)
			return error_of_open(errno);
	}
}
