/* Names below a root: whatever a name says, nothing outside is ever opened. Each name is tried by
 * openat2 and by the walk that stands in for it, and both must agree. */
#include "../proactor/ports/linux.h"
#include "../proactor/ports/linux_file.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/os.h"
#include "support/suite.h"

#define RACE_OPENS      20000
#define RACE_OPENS_LONG 1000000

typedef int open_beneath(int root_fd, const char *name, int flags, mode_t mode);

static open_beneath *const both_ways[] = {pro__open_beneath, pro__open_beneath_by_parts};

/* TOP/outside, TOP/secret, TOP/root/… */
static char top[64];
static void *root;
static int root_fd;
static unsigned descriptors_before;

static const struct pro_port_world *const world = &pro__linux_world;

static const char *path_of(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	return path;
}

static void make_file(const char *name, const char *text)
{
	FILE *file = fopen(path_of(name), "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

static void make_directory(const char *name)
{
	ck_assert_int_eq(mkdir(path_of(name), 0777), 0);
}

static void make_link(const char *target, const char *name)
{
	ck_assert_int_eq(symlink(target, path_of(name)), 0);
}

static void make_socket(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path_of(name));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

static void set_up(void)
{
	descriptors_before = os_descriptor_count();
	os_make_directory(top, sizeof(top));
	make_file("secret", "outside");
	make_directory("outside");
	make_file("outside/f", "outside");
	make_directory("root");
	make_file("root/f", "inside");
	make_file("root/secret", "inside");
	make_directory("root/a");
	make_directory("root/a/b");
	make_file("root/a/b/g", "inside");
	make_link("../secret", "root/link_out");
	make_link("f", "root/link_in");
	make_link("a", "root/link_directory");
	make_link("../outside", "root/link_out_directory");
	make_link("loop", "root/loop");
	make_link("/proc/self/root/etc/passwd", "root/link_magic");
	ck_assert_int_eq(mkfifo(path_of("root/fifo"), 0666), 0);
	make_socket("root/socket");
	ck_assert_int_eq(world->root_open(NULL, path_of("root"), &root), 0);
	root_fd = open(path_of("root"), O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void tear_down(void)
{
	close(root_fd);
	world->root_close(NULL, root);
	os_remove_directory(top);
	ck_assert_uint_eq(os_descriptor_count(), descriptors_before);
}

/* What the file begins with. */
static char first_byte(int fd)
{
	char byte = 0;

	ck_assert_int_eq(pread(fd, &byte, 1, 0), 1);
	return byte;
}

static int open_file(const char *name)
{
	struct pro_file_status status;
	pro_handle handle;
	int error = world->root_open_file(NULL, root, name, PRO_FILE_READ, &handle, &status);

	if (error) {
		ck_assert_int_eq(handle, PRO_INVALID_HANDLE);
		return error;
	}
	ck_assert_int_eq(status.type, PRO_FILE_REGULAR);
	ck_assert_int_eq(first_byte((int)handle), 'i');
	ck_assert(fcntl((int)handle, F_GETFD) & FD_CLOEXEC);
	close((int)handle);
	return 0;
}

struct expectation {
	const char *name;
	int error; /* of opening it as a file */
};

static const struct expectation expectations[] = {
		{"f", 0},
		{"./f", 0},
		{"././/f", 0},
		{"a/b/g", 0},
		{"a//b/./g", 0},
		{"a/../f", 0},
		{"a/b/../../f", 0},
		{"a/b/.././b/g", 0},
		{"", PRO_EISDIR},
		{".", PRO_EISDIR},
		{"a", PRO_EISDIR},
		{"a/", PRO_EISDIR},
		{"a/..", PRO_EISDIR},
		{"a/b/../..", PRO_EISDIR},
		{"..", PRO_EESCAPE},
		{"../", PRO_EESCAPE},
		{"../root/f", PRO_EESCAPE},
		{"../secret", PRO_EESCAPE},
		{"./../secret", PRO_EESCAPE},
		{"a/../../secret", PRO_EESCAPE},
		{"a/b/../../..", PRO_EESCAPE},
		{"a/b/../../../root/f", PRO_EESCAPE},
		{"/", PRO_EESCAPE},
		{"//", PRO_EESCAPE},
		{"/etc/passwd", PRO_EESCAPE},
		{"//etc/passwd", PRO_EESCAPE},
		{"link_out", PRO_EESCAPE},
		{"link_in", PRO_EESCAPE},
		{"link_in/", PRO_EESCAPE},
		{"link_directory", PRO_EESCAPE},
		{"link_directory/b/g", PRO_EESCAPE},
		{"link_directory/../f", PRO_EESCAPE},
		{"link_out_directory/f", PRO_EESCAPE},
		{"link_out_directory/../secret", PRO_EESCAPE},
		{"link_magic", PRO_EESCAPE},
		{"loop", PRO_EESCAPE},
		{"loop/f", PRO_EESCAPE},
		{"fifo", PRO_EACCES},
		{"socket", PRO_EACCES},
		{"f/", PRO_ENOTDIR},
		{"f/.", PRO_ENOTDIR},
		{"f/..", PRO_ENOTDIR},
		{"f/x", PRO_ENOTDIR},
		{"none", PRO_ENOENT},
		{"none/f", PRO_ENOENT},
		{"none/../f", PRO_ENOENT},
		{"F", PRO_ENOENT},
		{"%2e%2e/secret", PRO_ENOENT},
		{"..%2fsecret", PRO_ENOENT},
		{"..\\secret", PRO_ENOENT},
		{"...", PRO_ENOENT},
		{".. /secret", PRO_ENOENT},
		{"a/.. ", PRO_ENOENT},
		{"\xc0\xae\xc0\xae/secret", PRO_ENOENT},
		{"\xff\xfe", PRO_ENOENT},
		{"f\n", PRO_ENOENT},
		{"f ", PRO_ENOENT},
		{" f", PRO_ENOENT},
		{"~", PRO_ENOENT},
		{"$HOME", PRO_ENOENT},
};
#define EXPECTATION_COUNT (int)(sizeof(expectations) / sizeof(expectations[0]))

START_TEST(a_name_is_opened_or_refused)
{
	const struct expectation *expected = &expectations[_i];

	ck_assert_msg(open_file(expected->name) == expected->error, "\"%s\": %s, not %s",
			expected->name, pro_error_name(open_file(expected->name)),
			pro_error_name(expected->error));
}
END_TEST

START_TEST(the_walk_agrees_with_openat2)
{
	const char *name = expectations[_i].name;
	const int flags[] = {
			O_RDONLY | O_NONBLOCK, O_PATH, O_RDONLY | O_DIRECTORY, O_WRONLY | O_NONBLOCK};

	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct stat status[2] = {0};
		int result[2];
		for (unsigned way = 0; way < 2; way++) {
			result[way] = both_ways[way](root_fd, name, flags[i], 0);
			if (result[way] < 0)
				continue;
			ck_assert(fcntl(result[way], F_GETFD) & FD_CLOEXEC);
			ck_assert_int_eq(fstat(result[way], &status[way]), 0);
			close(result[way]);
			result[way] = 0;
		}
		ck_assert_msg(result[0] == result[1], "\"%s\" flags %#x: %s, %s", name, (unsigned)flags[i],
				pro_error_name(result[0]), pro_error_name(result[1]));
		ck_assert_uint_eq(status[0].st_ino, status[1].st_ino);
	}
}
END_TEST

START_TEST(bytes_that_look_like_an_escape_may_be_a_name)
{
	make_directory("root/%2e%2e");
	make_file("root/%2e%2e/f", "inside");
	make_file("root/..\\secret", "inside");
	make_file("root/\xff\xfe\n", "inside");
	make_file("root/...", "inside");
	ck_assert_int_eq(open_file("%2e%2e/f"), 0);
	ck_assert_int_eq(open_file("..\\secret"), 0);
	ck_assert_int_eq(open_file("\xff\xfe\n"), 0);
	ck_assert_int_eq(open_file("..."), 0);
}
END_TEST

/* "./" or "a" as often as it takes, and then `last`. */
static void fill_name(char *name, size_t length, const char *unit, const char *last)
{
	size_t end = length - strlen(last);
	size_t unit_length = strlen(unit);

	for (size_t i = 0; i < end; i++)
		name[i] = unit[i % unit_length];
	memcpy(name + end, last, strlen(last) + 1);
}

START_TEST(the_longest_names_work_and_longer_ones_are_refused)
{
	char name[PATH_MAX + 2];

	fill_name(name, NAME_MAX, "n", "");
	int fd = openat(root_fd, name, O_WRONLY | O_CREAT, 0666);
	ck_assert_int_eq(write(fd, "inside", 6), 6);
	close(fd);
	ck_assert_int_eq(open_file(name), 0);
	fill_name(name, NAME_MAX + 1, "n", "");
	ck_assert_int_eq(open_file(name), PRO_ENAMETOOLONG);
	for (unsigned way = 0; way < 2; way++) {
		fill_name(name, PATH_MAX - 2, "./", "f");
		ck_assert_int_eq(both_ways[way](root_fd, name, O_PATH, 0) < 0, true);
		fill_name(name, PATH_MAX - 1, "./", "f");
		fd = both_ways[way](root_fd, name, O_RDONLY, 0);
		ck_assert_int_ge(fd, 0);
		close(fd);
		fill_name(name, PATH_MAX, "./", "/f");
		ck_assert_int_eq(both_ways[way](root_fd, name, O_RDONLY, 0), PRO_ENAMETOOLONG);
		fill_name(name, NAME_MAX + 1, "n", "");
		ck_assert_int_eq(both_ways[way](root_fd, name, O_RDONLY, 0), PRO_ENAMETOOLONG);
	}
}
END_TEST

START_TEST(many_steps_up_and_down_are_followed)
{
	char name[PATH_MAX];

	fill_name(name, 5 * 800 + 1, "a/../", "f");
	for (unsigned way = 0; way < 2; way++) {
		int fd = both_ways[way](root_fd, name, O_RDONLY, 0);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(first_byte(fd), 'i');
		close(fd);
	}
}
END_TEST

START_TEST(devices_are_refused)
{
	void *devices;
	pro_handle handle;

	ck_assert_int_eq(world->root_open(NULL, "/dev", &devices), 0);
	ck_assert_int_eq(
			world->root_open_file(NULL, devices, "null", PRO_FILE_READ, &handle, NULL), PRO_EACCES);
	ck_assert_int_eq(world->root_open_file(
							 NULL, devices, "zero", PRO_FILE_READ | PRO_FILE_WRITE, &handle, NULL),
			PRO_EACCES);
	world->root_close(NULL, devices);
}
END_TEST

START_TEST(a_fifo_is_refused_for_writing_too)
{
	pro_handle handle;

	ck_assert_int_eq(
			world->root_open_file(NULL, root, "fifo", PRO_FILE_WRITE, &handle, NULL), PRO_EACCES);
	ck_assert_int_eq(world->root_open_file(
							 NULL, root, "fifo", PRO_FILE_READ | PRO_FILE_WRITE, &handle, NULL),
			PRO_EACCES);
}
END_TEST

/* Else a writer that waits for a reader would go on and lose what it writes. */
START_TEST(a_fifo_is_refused_without_being_opened)
{
	const unsigned all_flags[] = {PRO_FILE_READ, PRO_FILE_WRITE,
			PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE,
			PRO_FILE_WRITE | PRO_FILE_CREATE | PRO_FILE_TRUNCATE};
	struct inotify_event event;
	pro_handle handle;
	int watcher = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	ck_assert_int_ge(inotify_add_watch(watcher, path_of("root/fifo"), IN_OPEN), 0);
	for (size_t i = 0; i < sizeof(all_flags) / sizeof(all_flags[0]); i++)
		ck_assert_int_eq(
				world->root_open_file(NULL, root, "fifo", all_flags[i], &handle, NULL), PRO_EACCES);
	ck_assert(read(watcher, &event, sizeof(event)) < 0 && errno == EAGAIN);
	int fd = open(path_of("root/fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_eq(read(watcher, &event, sizeof(event)), sizeof(event));
	close(fd);
	close(watcher);
}
END_TEST

START_TEST(files_are_created_below_the_root_only)
{
	const unsigned creates = PRO_FILE_WRITE | PRO_FILE_CREATE;
	struct pro_file_status status;
	pro_handle handle;

	ck_assert_int_eq(
			world->root_open_file(NULL, root, "a/new", creates | PRO_FILE_EXCLUSIVE, &handle, NULL),
			0);
	ck_assert_int_eq(write((int)handle, "inside", 6), 6);
	world->close_now(NULL, handle);
	ck_assert_int_eq(
			world->root_open_file(NULL, root, "a/new", creates | PRO_FILE_EXCLUSIVE, &handle, NULL),
			PRO_EEXIST);
	ck_assert_int_eq(world->root_open_file(
							 NULL, root, "a/new", creates | PRO_FILE_TRUNCATE, &handle, &status),
			0);
	ck_assert_uint_eq(status.size, 0);
	world->close_now(NULL, handle);
	ck_assert_int_eq(
			world->root_open_file(NULL, root, "../new", creates, &handle, NULL), PRO_EESCAPE);
	ck_assert_int_eq(
			world->root_open_file(NULL, root, "link_out", creates, &handle, NULL), PRO_EESCAPE);
	ck_assert_int_eq(access(path_of("new"), F_OK), -1);
}
END_TEST

START_TEST(creating_through_a_dangling_link_makes_nothing)
{
	make_link("../made", "root/dangling");
	for (unsigned way = 0; way < 2; way++) {
		ck_assert_int_eq(
				both_ways[way](root_fd, "dangling", O_WRONLY | O_CREAT, 0666), PRO_EESCAPE);
		ck_assert_int_lt(both_ways[way](root_fd, "none/..", O_WRONLY | O_CREAT, 0666), 0);
		ck_assert_int_lt(both_ways[way](root_fd, ".", O_WRONLY | O_CREAT, 0666), 0);
	}
	ck_assert_int_eq(access(path_of("made"), F_OK), -1);
}
END_TEST

START_TEST(senseless_flags_are_refused)
{
	const unsigned senseless[] = {0, PRO_FILE_CREATE, PRO_FILE_READ | PRO_FILE_CREATE,
			PRO_FILE_READ | PRO_FILE_TRUNCATE, PRO_FILE_WRITE | PRO_FILE_EXCLUSIVE,
			PRO_FILE_READ | 1024};
	pro_handle handle;

	for (unsigned i = 0; i < sizeof(senseless) / sizeof(senseless[0]); i++) {
		ck_assert_int_eq(
				world->root_open_file(NULL, root, "f", senseless[i], &handle, NULL), PRO_EINVAL);
		ck_assert_int_eq(
				world->file_open(NULL, path_of("secret"), senseless[i], &handle), PRO_EINVAL);
	}
}
END_TEST

START_TEST(the_status_of_a_name_says_what_it_is)
{
	struct pro_file_status status;
	struct pro_file_status same;

	ck_assert_int_eq(world->root_status(NULL, root, "f", &status), 0);
	ck_assert_int_eq(status.type, PRO_FILE_REGULAR);
	ck_assert_uint_eq(status.size, 6);
	ck_assert_int_gt(status.modified_s, 1000000000);
	ck_assert_int_eq(world->root_status(NULL, root, "a/../f", &same), 0);
	ck_assert_mem_eq(status.identity, same.identity, sizeof(same.identity));
	ck_assert_int_eq(world->root_status(NULL, root, "", &status), 0);
	ck_assert_int_eq(status.type, PRO_FILE_DIRECTORY);
	ck_assert_int_eq(world->root_status(NULL, root, "fifo", &status), 0);
	ck_assert_int_eq(status.type, PRO_FILE_OTHER);
	ck_assert_int_eq(world->root_status(NULL, root, "link_in", &status), PRO_EESCAPE);
	ck_assert_int_eq(world->root_status(NULL, root, "../secret", &status), PRO_EESCAPE);
	ck_assert_int_eq(world->root_status(NULL, root, "none", &status), PRO_ENOENT);
}
END_TEST

static int count_entry(void *context, const char *name, enum pro_file_type type)
{
	unsigned *counts = context;

	ck_assert_str_ne(name, ".");
	ck_assert_str_ne(name, "..");
	counts[type]++;
	return 0;
}

static int stop_at_once(void *context, const char *name, enum pro_file_type type)
{
	unsigned *calls = context;

	(void)name;
	(void)type;
	++*calls;
	return 42;
}

START_TEST(a_directory_is_listed_below_the_root_only)
{
	unsigned counts[3] = {0};
	unsigned calls = 0;

	ck_assert_int_eq(world->root_list(NULL, root, "", count_entry, counts), 0);
	ck_assert_uint_eq(counts[PRO_FILE_REGULAR], 2);
	ck_assert_uint_eq(counts[PRO_FILE_DIRECTORY], 1);
	ck_assert_uint_eq(counts[PRO_FILE_OTHER], 8);
	ck_assert_int_eq(world->root_list(NULL, root, "a/", stop_at_once, &calls), 42);
	ck_assert_uint_eq(calls, 1);
	ck_assert_int_eq(world->root_list(NULL, root, "..", count_entry, counts), PRO_EESCAPE);
	ck_assert_int_eq(
			world->root_list(NULL, root, "link_out_directory", count_entry, counts), PRO_EESCAPE);
	ck_assert_int_eq(world->root_list(NULL, root, "f", count_entry, counts), PRO_ENOTDIR);
	ck_assert_int_eq(world->root_list(NULL, root, "none", count_entry, counts), PRO_ENOENT);
}
END_TEST

START_TEST(a_root_must_be_a_directory)
{
	void *other;

	ck_assert_int_eq(world->root_open(NULL, path_of("root/f"), &other), PRO_ENOTDIR);
	ck_assert_ptr_null(other);
	ck_assert_int_eq(world->root_open(NULL, path_of("none"), &other), PRO_ENOENT);
	world->root_close(NULL, other);
}
END_TEST

START_TEST(a_root_survives_its_renaming)
{
	char from[PATH_MAX];

	snprintf(from, sizeof(from), "%s", path_of("root"));
	ck_assert_int_eq(rename(from, path_of("renamed")), 0);
	ck_assert_int_eq(open_file("a/b/g"), 0);
}
END_TEST

/* ---- races ---- */

struct racer {
	pthread_t thread;
	_Atomic(bool) is_over;
	_Atomic(unsigned) swaps;
	const char *left;
	const char *right;
};

static void *racer_run(void *context)
{
	struct racer *racer = context;
	char left[PATH_MAX];
	char right[PATH_MAX];

	snprintf(left, sizeof(left), "%s", path_of(racer->left));
	snprintf(right, sizeof(right), "%s", path_of(racer->right));
	while (!atomic_load(&racer->is_over)) {
		syscall(SYS_renameat2, AT_FDCWD, left, AT_FDCWD, right, 2 /* RENAME_EXCHANGE */);
		atomic_fetch_add(&racer->swaps, 1);
	}
	return NULL;
}

/* Opens `name` both ways while the racer exchanges two names; counts what was opened. */
static void race(struct racer *racer, const char *name)
{
	const char *is_long = getenv("PROACTOR_TEST_LONG");
	unsigned opens = is_long && *is_long == '1' ? RACE_OPENS_LONG : RACE_OPENS;
	unsigned opened = 0;
	unsigned refused = 0;

	ck_assert_int_eq(pthread_create(&racer->thread, NULL, racer_run, racer), 0);
	while (atomic_load(&racer->swaps) == 0)
		os_yield();
	for (unsigned i = 0; i < opens; i++) {
		int fd = both_ways[i % 2](root_fd, name, O_RDONLY | O_NONBLOCK, 0);
		if (fd < 0) {
			refused++;
			continue;
		}
		if (first_byte(fd) != 'i')
			ck_abort_msg("escaped at open %u", i);
		opened++;
		close(fd);
	}
	atomic_store(&racer->is_over, true);
	pthread_join(racer->thread, NULL);
	printf("%s: %u opened, %u refused, %u swaps, 0 escapes\n", name, opened, refused,
			atomic_load(&racer->swaps));
	ck_assert_uint_gt(opened, 0);
	ck_assert_uint_gt(refused, 0);
}

START_TEST(a_directory_swapped_with_a_link_never_lets_out)
{
	struct racer racer = {.left = "root/swapped", .right = "root/link_out_directory"};

	make_directory("root/swapped");
	make_file("root/swapped/f", "inside");
	race(&racer, "swapped/f");
}
END_TEST

START_TEST(a_file_swapped_with_a_link_never_lets_out)
{
	struct racer racer = {.left = "root/secret", .right = "root/link_out"};

	race(&racer, "secret");
}
END_TEST

/* The directory d/e is exchanged with outside/file; from there `..` twice is TOP, where a secret
 * lies. */
START_TEST(a_directory_moved_out_never_lets_out)
{
	struct racer racer = {.left = "root/d/e", .right = "outside/file"};

	make_directory("root/d");
	make_directory("root/d/e");
	make_file("outside/file", "outside");
	race(&racer, "d/e/../../secret");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("linux_file");
	TCase *tcase = tcase_create("linux_file");

	tcase_set_timeout(tcase, 300);
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_loop_test(tcase, a_name_is_opened_or_refused, 0, EXPECTATION_COUNT);
	tcase_add_loop_test(tcase, the_walk_agrees_with_openat2, 0, EXPECTATION_COUNT);
	tcase_add_test(tcase, bytes_that_look_like_an_escape_may_be_a_name);
	tcase_add_test(tcase, the_longest_names_work_and_longer_ones_are_refused);
	tcase_add_test(tcase, many_steps_up_and_down_are_followed);
	tcase_add_test(tcase, devices_are_refused);
	tcase_add_test(tcase, a_fifo_is_refused_for_writing_too);
	tcase_add_test(tcase, a_fifo_is_refused_without_being_opened);
	tcase_add_test(tcase, files_are_created_below_the_root_only);
	tcase_add_test(tcase, creating_through_a_dangling_link_makes_nothing);
	tcase_add_test(tcase, senseless_flags_are_refused);
	tcase_add_test(tcase, the_status_of_a_name_says_what_it_is);
	tcase_add_test(tcase, a_directory_is_listed_below_the_root_only);
	tcase_add_test(tcase, a_root_must_be_a_directory);
	tcase_add_test(tcase, a_root_survives_its_renaming);
	tcase_add_test(tcase, a_directory_swapped_with_a_link_never_lets_out);
	tcase_add_test(tcase, a_file_swapped_with_a_link_never_lets_out);
	tcase_add_test(tcase, a_directory_moved_out_never_lets_out);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
