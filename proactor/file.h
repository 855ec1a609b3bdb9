/* Files as the port opens them, below a root that names can not leave. These calls do not go
 * through the loop: they may wait for the disk for the time of a directory look-up. ACE:
 * ACE_FILE_Connector. */
#ifndef PROACTOR_FILE_H
#define PROACTOR_FILE_H

#include <proactor/base.h>

PRO_BEGIN_DECLS

struct pro_proactor;
struct pro_file_root;

enum pro_file_flag {
	PRO_FILE_READ = 1,
	PRO_FILE_WRITE = 2,
	PRO_FILE_CREATE = 4,    /* if it does not exist */
	PRO_FILE_EXCLUSIVE = 8, /* with CREATE: PRO_EEXIST if it does */
	PRO_FILE_TRUNCATE = 16,
	PRO_FILE_DIRECT = 32 /* past the page cache; PRO_EINVAL where the file system can not */
};

enum pro_file_type { PRO_FILE_REGULAR, PRO_FILE_DIRECTORY, PRO_FILE_OTHER };

struct pro_file_status {
	enum pro_file_type type;
	uint64_t size;        /* bytes */
	int64_t modified_s;   /* seconds since 1970-01-01 UTC */
	uint64_t identity[2]; /* equal for the same file only */
};

/* Opens the file `path` of the system, anywhere, whatever it is. For paths that the program's owner
 * chose. `flags` are of enum pro_file_flag, READ or WRITE among them; CREATE and TRUNCATE need
 * WRITE. On Linux what it creates has the mode 0666 but for the umask. The caller closes it with
 * pro_proactor_close_handle. PRO_EINVAL for flags that do not go together, PRO_ENOENT, PRO_EACCES,
 * PRO_EEXIST, PRO_EISDIR, PRO_EMFILE and other errors of the system. [any thread] open, CreateFile.
 * Since 0.1. */
PRO_API int pro_file_open(
		struct pro_proactor *proactor, const char *path, unsigned flags, pro_handle *handle);

/* Opens the directory `path` as a root in `*root`; the caller closes it, before the proactor is
 * destroyed. PRO_ENOTDIR, PRO_ENOENT, PRO_EACCES, PRO_EMFILE, PRO_ENOMEM. [any thread] Since 0.1.
 */
PRO_API int pro_file_root_open(
		struct pro_proactor *proactor, const char *path, struct pro_file_root **root);
/* Accepts NULL. [any thread], when nobody uses the root any more. Since 0.1. */
PRO_API void pro_file_root_close(struct pro_file_root *root);

/* Opens the regular file `name` (UTF-8, `/` between parts, relative) below `root` in `*handle` and
 * tells its status (`status` may be NULL). It opens regular files only, follows no symbolic link,
 * and looks before it opens: the writer of a FIFO notices nothing. PRO_EESCAPE for absolute names,
 * `..` that leads out and links, PRO_ENAME for names that are traps on the system (Windows: CON,
 * `a:b`, trailing dots and spaces, backslashes, …), PRO_EISDIR, PRO_EACCES for devices and FIFOs,
 * PRO_ENOENT, PRO_ENOTDIR, PRO_ENAMETOOLONG, and as pro_file_open. [any thread] Since 0.1. */
PRO_API int pro_file_root_open_file(struct pro_file_root *root, const char *name, unsigned flags,
		pro_handle *handle, struct pro_file_status *status);

/* Status of `name` below `root` ("" or "." is the root itself). PRO_ENOENT, PRO_ENOTDIR, and
 * PRO_EESCAPE, PRO_ENAME, PRO_ENAMETOOLONG as above. [any thread] Since 0.1. */
PRO_API int pro_file_root_status(
		struct pro_file_root *root, const char *name, struct pro_file_status *status);

/* Calls `entry` for each name in the directory `name` below `root`, but `.` and `..`, in no order,
 * until it returns non-zero; returns that, 0 or an error: PRO_ENOENT, PRO_ENOTDIR, PRO_EACCES,
 * PRO_EFULL above ten million names, and the refusals above. `entry_name` is the system's bytes and
 * not to be trusted. [any thread] Since 0.1. */
PRO_API int pro_file_root_list(struct pro_file_root *root, const char *name,
		int (*entry)(void *context, const char *entry_name, enum pro_file_type type),
		void *context);

/* Status of an open file. PRO_EINVAL, PRO_EBADF. [any thread] fstat, GetFileInformationByHandle.
 * Since 0.1. */
PRO_API int pro_file_status(
		struct pro_proactor *proactor, pro_handle handle, struct pro_file_status *status);

PRO_END_DECLS

#endif
