/* Names of files below a root on Windows: what is a trap is refused, as text or when it is open. */
#include "../proactor/ports/windows_world.h"

#include <proactor/file.h>
#include <proactor/proactor.h>

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "support/os.h"
#include "support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct pro_proactor *proactor;
static struct pro_file_root *root;
static char directory[MAX_PATH];

static void write_file(const char *name, const char *text)
{
	char path[2 * MAX_PATH];
	FILE *file;

	snprintf(path, sizeof(path), "%s\\%s", directory, name);
	file = fopen(path, "wb");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

static void set_up(void)
{
	char path[2 * MAX_PATH];

	os_make_directory(directory, sizeof(directory));
	snprintf(path, sizeof(path), "%s\\sub", directory);
	ck_assert(CreateDirectoryA(path, NULL));
	write_file("plain.txt", "plain");
	write_file("a rather long name.text", "long");
	write_file("sub\\inner~1.txt", "inner");
	ck_assert_int_eq(pro_proactor_create(&proactor, NULL, NULL, 0), 0);
	ck_assert_int_eq(pro_file_root_open(proactor, directory, &root), 0);
}

static void tear_down(void)
{
	pro_file_root_close(root);
	ck_assert_int_eq(pro_proactor_destroy(proactor), 0);
	os_remove_directory(directory);
}

static int open_name(const char *name, unsigned flags)
{
	struct pro_file_status status;
	pro_handle handle;
	int error = pro_file_root_open_file(root, name, flags, &handle, &status);

	if (!error)
		CloseHandle((HANDLE)handle);
	else
		ck_assert_int_eq(handle, PRO_INVALID_HANDLE);
	return error;
}

struct named {
	const char *name;
	int error;
};

static const struct named names[] = {
		{"plain.txt", 0},
		{"PLAIN.TXT", 0},
		{"./plain.txt", 0},
		{"sub//inner~1.txt", 0},
		{"sub/../plain.txt", 0},
		/* Devices, with and without an extension, a path, a case, spaces. */
		{"CON", PRO_ENAME},
		{"con", PRO_ENAME},
		{"PRN", PRO_ENAME},
		{"AUX", PRO_ENAME},
		{"NUL", PRO_ENAME},
		{"nul.txt", PRO_ENAME},
		{"NUL .txt", PRO_ENAME},
		{"nul.tar.gz", PRO_ENAME},
		{"sub/NUL", PRO_ENAME},
		{"NUL/plain.txt", PRO_ENAME},
		{"COM1", PRO_ENAME},
		{"com9.log", PRO_ENAME},
		{"COM0", PRO_ENAME},
		{"LPT1", PRO_ENAME},
		{"lpt3.prn", PRO_ENAME},
		{"COM\xC2\xB9", PRO_ENAME},
		{"LPT\xC2\xB3.x", PRO_ENAME},
		{"CONIN$", PRO_ENAME},
		{"conout$", PRO_ENAME},
		{"CLOCK$", PRO_ENAME},
		/* What only begins like one. */
		{"CONSOLE", PRO_ENOENT},
		{"COM10", PRO_ENOENT},
		{"NULL", PRO_ENOENT},
		{"xNUL", PRO_ENOENT},
		/* Streams and drives. */
		{"plain.txt:stream", PRO_ENAME},
		{"plain.txt::$DATA", PRO_ENAME},
		{"C:", PRO_ENAME},
		{"C:plain.txt", PRO_ENAME},
		{"c:/windows/win.ini", PRO_ENAME},
		/* Trailing dots and spaces, which the system drops. */
		{"plain.txt.", PRO_ENAME},
		{"plain.txt ", PRO_ENAME},
		{"plain.txt. .", PRO_ENAME},
		{"sub./inner~1.txt", PRO_ENAME},
		{"...", PRO_ENAME},
		{".. /x", PRO_ENAME},
		/* Backslashes, shares, the long form. */
		{"sub\\inner~1.txt", PRO_ENAME},
		{"..\\x", PRO_ENAME},
		{"\\windows", PRO_ENAME},
		{"\\\\host\\share\\x", PRO_ENAME},
		{"\\\\?\\C:\\windows\\win.ini", PRO_ENAME},
		{"\\\\.\\pipe\\x", PRO_ENAME},
		{"\\??\\C:\\x", PRO_ENAME},
		{"//host/share/x", PRO_EESCAPE},
		{"//?/C:/windows/win.ini", PRO_EESCAPE},
		/* Out of the root. */
		{"/plain.txt", PRO_EESCAPE},
		{"..", PRO_EESCAPE},
		{"../x", PRO_EESCAPE},
		{"sub/../../x", PRO_EESCAPE},
		/* What is in no name. */
		{"plain*.txt", PRO_ENAME},
		{"plain?txt", PRO_ENAME},
		{"a<b", PRO_ENAME},
		{"a>b", PRO_ENAME},
		{"a|b", PRO_ENAME},
		{"a\"b", PRO_ENAME},
		{"a\tb", PRO_ENAME},
		{"\xFF\xFE", PRO_ENAME},
		{"\xED\xA0\x80", PRO_ENAME},
		/* The rest. */
		{"missing", PRO_ENOENT},
		{"missing/x", PRO_ENOENT},
		{"plain.txt/x", PRO_ENOTDIR},
		{"plain.txt/", PRO_ENOTDIR},
		{"sub", PRO_EISDIR},
		{"", PRO_EISDIR},
		{".", PRO_EISDIR},
};

/* _i: which name */
START_TEST(names_are_refused_that_are_traps)
{
	int error = open_name(names[_i].name, PRO_FILE_READ);

	ck_assert_msg(error == names[_i].error, "%s: %s, not %s", names[_i].name, pro_error_name(error),
			pro_error_name(names[_i].error));
	/* And none of them makes anything. */
	if (names[_i].error == PRO_ENAME || names[_i].error == PRO_EESCAPE)
		ck_assert_int_eq(open_name(names[_i].name, PRO_FILE_WRITE | PRO_FILE_CREATE), error);
}
END_TEST

/* The file is there and may be read, but not under its alias. */
START_TEST(short_aliases_are_refused)
{
	char path[MAX_PATH];
	char alias[MAX_PATH];

	snprintf(path, sizeof(path), "%s\\a rather long name.text", directory);
	ck_assert_int_eq(open_name("a rather long name.text", PRO_FILE_READ), 0);
	ck_assert_uint_gt(GetShortPathNameA(path, alias, sizeof(alias)), 0);
	ck_assert_ptr_nonnull(strchr(strrchr(alias, '\\'), '~'));
	ck_assert_int_eq(open_name(strrchr(alias, '\\') + 1, PRO_FILE_READ), PRO_ENAME);
}
END_TEST

START_TEST(long_names_are_names)
{
	char part[300];
	char name[1200];

	memset(part, 'p', sizeof(part));
	part[256] = '\0';
	ck_assert_int_eq(open_name(part, PRO_FILE_READ), PRO_ENAMETOOLONG);
	part[255] = '\0';
	ck_assert_int_eq(open_name(part, PRO_FILE_READ), PRO_ENOENT);
	/* Longer than MAX_PATH, each part of it short. */
	part[200] = '\0';
	snprintf(name, sizeof(name), "%s/%s/%s/%s/%s/x", part, part, part, part, part);
	ck_assert_int_eq(open_name(name, PRO_FILE_READ), PRO_ENOENT);
}
END_TEST

struct listing {
	char text[256];
};

static int list_entry(void *context, const char *entry_name, enum pro_file_type type)
{
	struct listing *listing = context;
	size_t used = strlen(listing->text);

	snprintf(listing->text + used, sizeof(listing->text) - used, "%s%s ", entry_name,
			type == PRO_FILE_DIRECTORY ? "/" : "");
	return 0;
}

START_TEST(folders_are_listed)
{
	struct listing listing = {""};

	ck_assert_int_eq(pro_file_root_list(root, "sub", list_entry, &listing), 0);
	ck_assert_str_eq(listing.text, "inner~1.txt ");
	ck_assert_int_eq(pro_file_root_list(root, "", list_entry, &listing), 0);
	ck_assert_ptr_nonnull(strstr(listing.text, "sub/ "));
	ck_assert_int_eq(pro_file_root_list(root, "plain.txt", list_entry, &listing), PRO_ENOTDIR);
	ck_assert_int_eq(pro_file_root_list(root, "NUL", list_entry, &listing), PRO_ENAME);
}
END_TEST

START_TEST(status_tells_size_and_type)
{
	struct pro_file_status status;
	struct pro_file_status other;

	ck_assert_int_eq(pro_file_root_status(root, "plain.txt", &status), 0);
	ck_assert_int_eq(status.type, PRO_FILE_REGULAR);
	ck_assert_uint_eq(status.size, 5);
	ck_assert_int_gt(status.modified_s, 1600000000);
	ck_assert_int_eq(pro_file_root_status(root, "PLAIN.txt", &other), 0);
	ck_assert_mem_eq(status.identity, other.identity, sizeof(status.identity));
	ck_assert_int_eq(pro_file_root_status(root, "sub", &status), 0);
	ck_assert_int_eq(status.type, PRO_FILE_DIRECTORY);
}
END_TEST

/* Every number in the table is known, and 0 is success. */
START_TEST(errors_of_the_system_are_known)
{
	static const struct {
		int os_error;
		int error;
	} errors[] = {{0, 0}, {ERROR_FILE_NOT_FOUND, PRO_ENOENT}, {WSAECONNRESET, PRO_ECONNRESET},
			{ERROR_NETNAME_DELETED, PRO_ECONNRESET}, {WSAEMFILE, PRO_EMFILE},
			{ERROR_HANDLE_EOF, PRO_EOF}, {ERROR_DISK_FULL, PRO_ENOSPC},
			{ERROR_CONNECTION_REFUSED, PRO_ECONNREFUSED}, {WSAETIMEDOUT, PRO_ETIMEDOUT},
			{ERROR_SEM_TIMEOUT, PRO_ETIMEDOUT}, {WSAENOTCONN, PRO_ENOTCONN},
			{ERROR_OPERATION_ABORTED, PRO_ECONNABORTED}, {225, PRO_EACCES},
			{ERROR_NO_UNICODE_TRANSLATION, PRO_ENAME}, {WSATYPE_NOT_FOUND, PRO_ERESOLVE},
			{999999, PRO_EUNKNOWN}};

	for (size_t i = 0; i < COUNT(errors); i++)
		ck_assert_int_eq(pro__error_from_os(errors[i].os_error), errors[i].error);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("windows_file");
	TCase *tcase = tcase_create("windows_file");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_loop_test(tcase, names_are_refused_that_are_traps, 0, (int)COUNT(names));
	tcase_add_test(tcase, short_aliases_are_refused);
	tcase_add_test(tcase, long_names_are_names);
	tcase_add_test(tcase, folders_are_listed);
	tcase_add_test(tcase, status_tells_size_and_type);
	tcase_add_test(tcase, errors_of_the_system_are_known);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
