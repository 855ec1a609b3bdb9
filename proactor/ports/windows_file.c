/* Files and roots of Windows.
 *
 * A root is its folder's path as the system itself spells it. Names below it are checked as text
 * first; then each part is looked at, since it may be a link; then what was opened is asked for its
 * own name, which must be the one that was meant: so neither a link that was put there meanwhile
 * nor the short alias of another file (LONGNA~1.TXT) gets through. */
#include "windows_error.h"
#include "windows_world.h"

#include <stdlib.h>
#include <string.h>

#define PATH_UNITS 32768
/* Of the drive in a path of the system's: \\?\C: */
#define DRIVE_UNITS 6

struct root {
	size_t length;
	WCHAR path[]; /* \\?\C:\folder, without a backslash at the end */
};

/* ---- opening ---- */

struct open_how {
	DWORD access;
	DWORD disposition;
	DWORD flags;
	bool truncates;
};

static int open_how(unsigned flags, struct open_how *how)
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
	how->access = (reads ? GENERIC_READ : 0) | (writes ? GENERIC_WRITE : 0);
	how->disposition = flags & PRO_FILE_EXCLUSIVE ? CREATE_NEW
					   : flags & PRO_FILE_CREATE  ? OPEN_ALWAYS
												  : OPEN_EXISTING;
	/* Folders open only with the backup flag; what they are is looked at afterwards. */
	how->flags = FILE_FLAG_OVERLAPPED | FILE_FLAG_BACKUP_SEMANTICS |
				 (flags & PRO_FILE_DIRECT ? FILE_FLAG_NO_BUFFERING : 0);
	/* After the checks, not by the opening itself. */
	how->truncates = flags & PRO_FILE_TRUNCATE;
	return 0;
}

/* As elsewhere, a file that is open may be renamed and deleted. */
static HANDLE open_path(const WCHAR *path, const struct open_how *how)
{
	return CreateFileW(path, how->access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
			NULL, how->disposition, how->flags, NULL);
}

static int last_error(void)
{
	return pro__error_from_os((int)GetLastError());
}

static int truncate_file(HANDLE file)
{
	FILE_END_OF_FILE_INFO end = {.EndOfFile = {.QuadPart = 0}};

	return SetFileInformationByHandle(file, FileEndOfFileInfo, &end, sizeof(end)) ? 0
																				  : last_error();
}

static WCHAR *allocate_path(void)
{
	return malloc(PATH_UNITS * sizeof(WCHAR));
}

int pro__windows_file_open(
		struct pro_port *port, const char *path, unsigned flags, pro_handle *handle)
{
	WCHAR *wide;
	struct open_how how;
	HANDLE file;
	int error = open_how(flags, &how);

	(void)port;
	if (error)
		return error;
	wide = allocate_path();
	if (!wide)
		return PRO_ENOMEM;
	error = pro__windows_widen(path, wide, PATH_UNITS);
	if (!error) {
		file = open_path(wide, &how);
		error = file == INVALID_HANDLE_VALUE ? last_error() : 0;
	}
	if (!error && how.truncates) {
		error = truncate_file(file);
		if (error)
			CloseHandle(file);
	}
	free(wide);
	if (!error)
		*handle = (pro_handle)file;
	return error;
}

/* ---- status ---- */

/* 100 ns since 1601 to seconds since 1970. */
static int64_t seconds_of(FILETIME time)
{
	int64_t ticks = (int64_t)((uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime);

	return ticks / 10000000 - INT64_C(11644473600);
}

static enum pro_file_type type_of_attributes(DWORD attributes)
{
	if (attributes & FILE_ATTRIBUTE_REPARSE_POINT)
		return PRO_FILE_OTHER;
	return attributes & FILE_ATTRIBUTE_DIRECTORY ? PRO_FILE_DIRECTORY : PRO_FILE_REGULAR;
}

/* Some file systems count their files in 128 bits, of which the older call tells 64. */
static void identify(
		HANDLE file, const BY_HANDLE_FILE_INFORMATION *found, struct pro_file_status *status)
{
	uint64_t number[2];
	FILE_ID_INFO id;

	if (GetFileInformationByHandleEx(file, FileIdInfo, &id, sizeof(id))) {
		memcpy(number, &id.FileId, sizeof(number));
		status->identity[0] = id.VolumeSerialNumber ^ number[1];
		status->identity[1] = number[0];
		return;
	}
	status->identity[0] = found->dwVolumeSerialNumber;
	status->identity[1] = (uint64_t)found->nFileIndexHigh << 32 | found->nFileIndexLow;
}

static int status_of(HANDLE file, struct pro_file_status *status)
{
	BY_HANDLE_FILE_INFORMATION found;

	memset(status, 0, sizeof(*status));
	status->type = PRO_FILE_OTHER;
	if (GetFileType(file) != FILE_TYPE_DISK)
		return GetLastError() == NO_ERROR ? 0 : last_error();
	if (!GetFileInformationByHandle(file, &found))
		return last_error();
	status->type = type_of_attributes(found.dwFileAttributes);
	status->size = (uint64_t)found.nFileSizeHigh << 32 | found.nFileSizeLow;
	status->modified_s = seconds_of(found.ftLastWriteTime);
	identify(file, &found, status);
	return 0;
}

int pro__windows_file_status(
		struct pro_port *port, pro_handle handle, struct pro_file_status *status)
{
	(void)port;
	return status_of((HANDLE)handle, status);
}

/* ---- roots ---- */

static HANDLE open_folder(const WCHAR *path)
{
	return CreateFileW(path, FILE_READ_ATTRIBUTES,
			FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
			FILE_FLAG_BACKUP_SEMANTICS, NULL);
}

static int make_root(HANDLE folder, WCHAR *path, struct root **result)
{
	struct pro_file_status status;
	struct root *root;
	int error = status_of(folder, &status);

	if (error)
		return error;
	if (status.type != PRO_FILE_DIRECTORY)
		return PRO_ENOTDIR;
	DWORD length = GetFinalPathNameByHandleW(folder, path, PATH_UNITS, 0);
	if (length == 0 || length >= PATH_UNITS)
		return length ? PRO_ENAMETOOLONG : last_error();
	while (length > 0 && path[length - 1] == L'\\')
		length--;
	root = malloc(sizeof(*root) + (length + 1) * sizeof(WCHAR));
	if (!root)
		return PRO_ENOMEM;
	root->length = length;
	memcpy(root->path, path, length * sizeof(WCHAR));
	root->path[length] = 0;
	*result = root;
	return 0;
}

int pro__windows_root_open(struct pro_port *port, const char *path, void **result)
{
	WCHAR *wide = allocate_path();
	struct root *root = NULL;
	HANDLE folder;
	int error;

	(void)port;
	if (!wide)
		return PRO_ENOMEM;
	error = pro__windows_widen(path, wide, PATH_UNITS);
	if (!error) {
		folder = open_folder(wide);
		error = folder == INVALID_HANDLE_VALUE ? last_error() : 0;
	}
	if (!error) {
		error = make_root(folder, wide, &root);
		CloseHandle(folder);
	}
	free(wide);
	*result = root;
	return error;
}

void pro__windows_root_close(struct pro_port *port, void *root)
{
	(void)port;
	free(root);
}

/* ---- names below a root ---- */

/* Where a name leads: the root's path, a backslash and the name. */
struct place {
	const struct root *root;
	bool is_directory; /* the name asks for one */
	bool has_tilde;    /* may be a short alias */
	size_t length;
	WCHAR path[PATH_UNITS];
	WCHAR found[PATH_UNITS]; /* what the system calls it */
};

/* Looks at each folder on the way: a link among them leads who knows where. */
static int check_parts(struct place *place)
{
	WCHAR *part = place->path + place->root->length;
	DWORD attributes;

	while ((part = wcschr(part + 1, L'\\'))) {
		*part = 0;
		attributes = GetFileAttributesW(place->path);
		*part = L'\\';
		if (attributes == INVALID_FILE_ATTRIBUTES)
			return last_error();
		if (attributes & FILE_ATTRIBUTE_REPARSE_POINT)
			return PRO_EESCAPE;
		if (!(attributes & FILE_ATTRIBUTE_DIRECTORY))
			return PRO_ENOTDIR;
	}
	return 0;
}

/* The caller frees *place. */
static int find_place(const struct root *root, const char *name, struct place **result)
{
	char plain[PRO__WINDOWS_NAME_MAX];
	bool is_directory;
	struct place *place;
	int error = pro__windows_name_check(name, plain, &is_directory);

	*result = NULL;
	if (error)
		return error;
	place = malloc(sizeof(*place));
	if (!place)
		return PRO_ENOMEM;
	place->root = root;
	place->is_directory = is_directory;
	place->has_tilde = strchr(plain, '~');
	memcpy(place->path, root->path, root->length * sizeof(WCHAR));
	place->length = root->length;
	place->path[place->length++] = L'\\';
	error = pro__windows_widen(plain, place->path + place->length, PATH_UNITS - place->length);
	/* Without a name it is the root, with the backslash that a drive needs. */
	place->length += wcslen(place->path + place->length);
	if (!error)
		error = check_parts(place);
	if (error)
		free(place);
	else
		*result = place;
	return error;
}

/* The path by which the system knows a file, without its end in 0; 0 after a failure. */
static DWORD final_path(struct place *place, HANDLE file)
{
	FILE_NAME_INFO *name = (FILE_NAME_INFO *)(void *)place->found;
	DWORD length = GetFinalPathNameByHandleW(file, place->found, PATH_UNITS, 0);

	if (length > 0 || GetLastError() != ERROR_MORE_DATA)
		return length;
	/* Wine knows no longer paths than MAX_PATH here, but gives the part behind the drive. */
	if (wcslen(place->root->path) < DRIVE_UNITS ||
			!GetFileInformationByHandleEx(
					file, FileNameInfo, name, (PATH_UNITS - DRIVE_UNITS) * sizeof(WCHAR)))
		return 0;
	length = name->FileNameLength / sizeof(WCHAR);
	memmove(place->found + DRIVE_UNITS, name->FileName, length * sizeof(WCHAR));
	memcpy(place->found, place->root->path, DRIVE_UNITS * sizeof(WCHAR));
	return DRIVE_UNITS + length;
}

/* Whether what was opened is what was meant. */
static int check_found(struct place *place, HANDLE file)
{
	DWORD length = final_path(place, file);
	size_t wanted = place->length;

	if (length == 0 || length >= PATH_UNITS)
		return length ? PRO_ENAMETOOLONG : last_error();
	while (wanted > 0 && place->path[wanted - 1] == L'\\')
		wanted--;
	while (length > 0 && place->found[length - 1] == L'\\')
		length--;
	if (CompareStringOrdinal(place->found, (int)length, place->path, (int)wanted, TRUE) ==
			CSTR_EQUAL)
		return 0;
	return place->has_tilde ? PRO_ENAME : PRO_EESCAPE;
}

static int check_type(const struct place *place, enum pro_file_type type)
{
	switch (type) {
	case PRO_FILE_REGULAR:
		return place->is_directory ? PRO_ENOTDIR : 0;
	case PRO_FILE_DIRECTORY:
		return PRO_EISDIR;
	case PRO_FILE_OTHER:
		break;
	}
	return PRO_EACCES;
}

/* What the system says of a name that is not to be opened so. */
static int error_of_open(const struct place *place)
{
	DWORD os_error = GetLastError();
	DWORD attributes;

	if (os_error == ERROR_ACCESS_DENIED) {
		attributes = GetFileAttributesW(place->path);
		if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY))
			return PRO_EISDIR;
	}
	/* Sockets of the host under Wine, devices. */
	return os_error == ERROR_NO_SUCH_DEVICE ? PRO_EACCES : pro__error_from_os((int)os_error);
}

static int open_at(struct place *place, const struct open_how *how, HANDLE *result,
		struct pro_file_status *status)
{
	DWORD attributes = GetFileAttributesW(place->path);
	struct open_how own_how = *how;
	HANDLE file;
	int error;

	if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_REPARSE_POINT))
		return PRO_EESCAPE;
	/* Should a link come in between, the link itself is opened and found out. */
	own_how.flags |= FILE_FLAG_OPEN_REPARSE_POINT;
	file = open_path(place->path, &own_how);
	if (file == INVALID_HANDLE_VALUE)
		return error_of_open(place);
	error = check_found(place, file);
	if (!error)
		error = status_of(file, status);
	if (!error && how->access != FILE_READ_ATTRIBUTES)
		error = check_type(place, status->type);
	if (!error && how->truncates) {
		error = truncate_file(file);
		status->size = 0;
	}
	if (error)
		CloseHandle(file);
	else
		*result = file;
	return error;
}

int pro__windows_root_open_file(struct pro_port *port, void *root, const char *name, unsigned flags,
		pro_handle *handle, struct pro_file_status *status)
{
	struct pro_file_status ignored;
	struct open_how how;
	struct place *place;
	HANDLE file;
	int error = open_how(flags, &how);

	(void)port;
	if (!error)
		error = find_place(root, name, &place);
	if (error)
		return error;
	error = open_at(place, &how, &file, status ? status : &ignored);
	free(place);
	if (!error)
		*handle = (pro_handle)file;
	return error;
}

int pro__windows_root_status(
		struct pro_port *port, void *root, const char *name, struct pro_file_status *status)
{
	const struct open_how how = {.access = FILE_READ_ATTRIBUTES,
			.disposition = OPEN_EXISTING,
			.flags = FILE_FLAG_BACKUP_SEMANTICS};
	struct place *place;
	HANDLE file;
	int error = find_place(root, name, &place);

	(void)port;
	if (error)
		return error;
	error = open_at(place, &how, &file, status);
	if (!error) {
		CloseHandle(file);
		if (place->is_directory && status->type == PRO_FILE_REGULAR)
			error = PRO_ENOTDIR;
	}
	free(place);
	return error;
}

/* ---- lists ---- */

static bool is_dot_or_dot_dot(const WCHAR *name)
{
	return name[0] == L'.' && (!name[1] || (name[1] == L'.' && !name[2]));
}

static int list_found(HANDLE search, WIN32_FIND_DATAW *found,
		int (*entry)(void *context, const char *entry_name, enum pro_file_type type), void *context)
{
	char name[3 * MAX_PATH + 1];
	int result;

	do {
		if (is_dot_or_dot_dot(found->cFileName))
			continue;
		/* Half a surrogate pair, which a name may have here, comes out as a question mark. */
		if (!WideCharToMultiByte(CP_UTF8, 0, found->cFileName, -1, name, sizeof(name), NULL, NULL))
			return last_error();
		result = entry(context, name, type_of_attributes(found->dwFileAttributes));
		if (result)
			return result;
	} while (FindNextFileW(search, found));
	return GetLastError() == ERROR_NO_MORE_FILES ? 0 : last_error();
}

/* While the folder is held open nobody can put a link in its place. */
static int list_place(struct place *place, const WCHAR *folder,
		int (*entry)(void *context, const char *entry_name, enum pro_file_type type), void *context)
{
	WIN32_FIND_DATAW found;
	HANDLE search;
	int result;

	if (place->length + 3 > PATH_UNITS)
		return PRO_ENAMETOOLONG;
	memcpy(place->path + place->length, folder, 3 * sizeof(WCHAR));
	search = FindFirstFileExW(place->path, FindExInfoBasic, &found, FindExSearchNameMatch, NULL, 0);
	if (search == INVALID_HANDLE_VALUE)
		return last_error();
	result = list_found(search, &found, entry, context);
	FindClose(search);
	return result;
}

int pro__windows_root_list(struct pro_port *port, void *root, const char *name,
		int (*entry)(void *context, const char *entry_name, enum pro_file_type type), void *context)
{
	const struct open_how how = {.access = FILE_READ_ATTRIBUTES,
			.disposition = OPEN_EXISTING,
			.flags = FILE_FLAG_BACKUP_SEMANTICS};
	struct pro_file_status status;
	struct place *place;
	HANDLE folder;
	int result = find_place(root, name, &place);

	(void)port;
	if (result)
		return result;
	result = open_at(place, &how, &folder, &status);
	if (!result) {
		bool ends_with_backslash = place->path[place->length - 1] == L'\\';

		if (status.type == PRO_FILE_DIRECTORY)
			result = list_place(place, ends_with_backslash ? L"*" : L"\\*", entry, context);
		else
			result = PRO_ENOTDIR;
		CloseHandle(folder);
	}
	free(place);
	return result;
}
