/* The files of a simulated world. */
#include "probe.h"

#include <string.h>

struct disk {
	struct pro_sim *sim;
	struct pro_proactor *proactor;
	struct probe probe;
};

static void disk_open(struct disk *disk)
{
	disk->sim = calm_world();
	disk->proactor = world_proactor(disk->sim, "one");
	probe_init(&disk->probe, disk->sim, disk->proactor);
}

static void disk_open_file(struct disk *disk, const char *path, unsigned flags)
{
	pro_handle handle;

	ck_assert_int_eq(pro_file_open(disk->proactor, path, flags, &handle), 0);
	probe_own(&disk->probe, handle);
}

static void disk_close(struct disk *disk)
{
	probe_close(&disk->probe);
	world_end(disk->sim);
}

static const struct {
	const char *name;
	int error;
} names[] = {
		{"file", 0},
		{"./file", 0},
		{"dir/../file", 0},
		{"dir//inner", 0},
		{"dir/./inner", 0},
		{"", PRO_EISDIR},
		{".", PRO_EISDIR},
		{"dir", PRO_EISDIR},
		{"dir/", PRO_EISDIR},
		{"/srv/file", PRO_EESCAPE},
		{"/", PRO_EESCAPE},
		{"..", PRO_EESCAPE},
		{"../srv/file", PRO_EESCAPE},
		{"dir/../../srv/file", PRO_EESCAPE},
		{"link", PRO_EESCAPE},
		{"link/file", PRO_EESCAPE},
		{"device", PRO_EACCES},
		{"missing", PRO_ENOENT},
		{"missing/file", PRO_ENOENT},
		{"missing/../file", PRO_ENOENT},
		{"file/", PRO_ENOTDIR},
		{"file/inner", PRO_ENOTDIR},
		{"file/..", PRO_ENOTDIR},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaaaaaaaaaaaaa",
				PRO_ENAMETOOLONG},
};

START_TEST(names_do_not_leave_their_root)
{
	struct pro_file_root *root;
	struct disk disk;

	disk_open(&disk);
	pro_sim_file_write(disk.sim, "/srv/file", 0, "1", 1);
	pro_sim_file_write(disk.sim, "/srv/dir/inner", 0, "2", 1);
	pro_sim_make_link(disk.sim, "/srv/link");
	pro_sim_make_device(disk.sim, "/srv/device");
	ck_assert_int_eq(pro_file_root_open(disk.proactor, "/none", &root), PRO_ENOENT);
	ck_assert_int_eq(pro_file_root_open(disk.proactor, "/srv/file", &root), PRO_ENOTDIR);
	ck_assert_int_eq(pro_file_root_open(disk.proactor, "/srv", &root), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		pro_handle handle;
		int error = pro_file_root_open_file(root, names[i].name, PRO_FILE_READ, &handle, NULL);

		ck_assert_msg(error == names[i].error, "\"%s\" is %s, not %s", names[i].name,
				pro_error_name(error), pro_error_name(names[i].error));
		if (!error)
			pro_proactor_close_handle(disk.proactor, handle);
	}
	pro_file_root_close(root);
	disk_close(&disk);
}
END_TEST

START_TEST(names_have_an_end)
{
	static char long_name[5000];
	struct pro_file_root *root;
	struct disk disk;
	pro_handle handle;

	for (size_t i = 0; i < sizeof(long_name) - 1; i++)
		long_name[i] = i % 2 ? '/' : '.';
	disk_open(&disk);
	pro_sim_make_directory(disk.sim, "/srv");
	ck_assert_int_eq(pro_file_root_open(disk.proactor, "/srv", &root), 0);
	ck_assert_int_eq(pro_file_root_open_file(root, long_name, PRO_FILE_READ, &handle, NULL),
			PRO_ENAMETOOLONG);
	pro_file_root_close(root);
	disk_close(&disk);
}
END_TEST

static int count_others(void *context, const char *name, enum pro_file_type type)
{
	unsigned *count = context;

	ck_assert(!strcmp(name, "link") || !strcmp(name, "device"));
	ck_assert_int_eq(type, PRO_FILE_OTHER);
	++*count;
	return 0;
}

static int count_entry(void *context, const char *name, enum pro_file_type type)
{
	unsigned *count = context;

	ck_assert_int_eq(type, strcmp(name, "dir") == 0 ? PRO_FILE_DIRECTORY : PRO_FILE_REGULAR);
	return ++*count == 3 ? 77 : 0;
}

START_TEST(directory_is_listed)
{
	struct pro_file_status status;
	struct pro_file_root *root;
	struct disk disk;
	unsigned count = 0;

	disk_open(&disk);
	pro_sim_file_write(disk.sim, "/srv/a", 0, "1", 1);
	pro_sim_file_write(disk.sim, "/srv/dir/b", 0, "22", 2);
	ck_assert_int_eq(pro_file_root_open(disk.proactor, "srv", &root), 0);
	ck_assert_int_eq(pro_file_root_list(root, "", count_entry, &count), 0);
	ck_assert_uint_eq(count, 2);
	ck_assert_int_eq(pro_file_root_list(root, "dir", count_entry, &count), 77);
	ck_assert_int_eq(pro_file_root_list(root, "a", count_entry, &count), PRO_ENOTDIR);
	ck_assert_int_eq(pro_file_root_list(root, "c", count_entry, &count), PRO_ENOENT);
	pro_sim_make_link(disk.sim, "/srv/others/link");
	pro_sim_make_device(disk.sim, "/srv/others/device");
	count = 0;
	ck_assert_int_eq(pro_file_root_list(root, "others", count_others, &count), 0);
	ck_assert_uint_eq(count, 2);
	ck_assert_int_eq(pro_file_root_status(root, "dir/b", &status), 0);
	ck_assert_uint_eq(status.size, 2);
	ck_assert_int_eq(status.type, PRO_FILE_REGULAR);
	pro_file_root_close(root);
	disk_close(&disk);
}
END_TEST

START_TEST(flags_mean_what_they_say)
{
	struct disk disk;
	pro_handle handle;
	uint64_t size;

	disk_open(&disk);
	ck_assert_int_eq(pro_file_open(disk.proactor, "/f", PRO_FILE_READ, &handle), PRO_ENOENT);
	ck_assert_int_eq(pro_file_open(disk.proactor, "/f", 0, &handle), PRO_EINVAL);
	ck_assert_int_eq(pro_file_open(disk.proactor, "/f", PRO_FILE_READ | PRO_FILE_CREATE, &handle),
			PRO_EINVAL);
	pro_sim_file_write(disk.sim, "/f", 0, "12345", 5);
	ck_assert_int_eq(pro_file_open(disk.proactor, "/f",
							 PRO_FILE_WRITE | PRO_FILE_CREATE | PRO_FILE_EXCLUSIVE, &handle),
			PRO_EEXIST);
	disk_open_file(&disk, "/f", PRO_FILE_WRITE | PRO_FILE_TRUNCATE);
	ck_assert_int_eq(pro_sim_file_size(disk.sim, "/f", &size), 0);
	ck_assert_uint_eq(size, 0);
	ck_assert_int_eq(probe_read_file(&disk.probe, &size, 1, 0), PRO_EBADF);
	disk_close(&disk);
}
END_TEST

START_TEST(sparse_file_reaches_beyond_4_gib)
{
	const uint64_t far = UINT64_C(5) << 30;
	struct disk disk;
	char bytes[8] = "";
	uint64_t size;

	disk_open(&disk);
	disk_open_file(&disk, "/big", PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE);
	ck_assert_int_eq(probe_write_file(&disk.probe, "end", 3, far), 0);
	ck_assert_int_eq(pro_sim_file_size(disk.sim, "/big", &size), 0);
	ck_assert_uint_eq(size, far + 3);
	ck_assert_int_eq(probe_read_file(&disk.probe, bytes, sizeof(bytes), far - 2), 0);
	ck_assert_uint_eq(disk.probe.bytes, 5);
	ck_assert_mem_eq(bytes, "\0\0end", 5);
	ck_assert_int_eq(probe_read_file(&disk.probe, bytes, sizeof(bytes), far + 3), PRO_EOF);
	ck_assert_int_eq(pro_sim_file_resize(disk.sim, "/big", 10), 0);
	ck_assert_int_eq(probe_read_file(&disk.probe, bytes, sizeof(bytes), far), PRO_EOF);
	disk_close(&disk);
}
END_TEST

START_TEST(short_write_before_a_full_disk_is_counted)
{
	static const unsigned char bytes[10000];
	struct disk disk;

	disk_open(&disk);
	pro_sim_set_disk_bytes(disk.sim, 2 * 4096);
	disk_open_file(&disk, "/full", PRO_FILE_WRITE | PRO_FILE_CREATE);
	ck_assert_int_eq(probe_write_file(&disk.probe, bytes, sizeof(bytes), 0), PRO_ENOSPC);
	ck_assert_uint_eq(disk.probe.bytes, 2 * 4096);
	pro_sim_set_disk_bytes(disk.sim, 1 << 20);
	ck_assert_int_eq(probe_write_file(&disk.probe, bytes, sizeof(bytes), 0), 0);
	pro_sim_set_rate(disk.sim, PRO_SIM_FILE_ERROR, 1000000);
	ck_assert_int_eq(probe_write_file(&disk.probe, bytes, sizeof(bytes), 0), PRO_EIO);
	disk_close(&disk);
}
END_TEST

START_TEST(open_fails_without_descriptors)
{
	struct disk disk;
	pro_handle handle;

	disk_open(&disk);
	pro_sim_file_write(disk.sim, "/f", 0, "1", 1);
	pro_sim_set_handles_max(disk.sim, disk.proactor, 0);
	ck_assert_int_eq(pro_file_open(disk.proactor, "/f", PRO_FILE_READ, &handle), PRO_EMFILE);
	ck_assert_int_eq(handle, PRO_INVALID_HANDLE);
	disk_close(&disk);
}
END_TEST

static bool changes_at_sectors_only(const unsigned char *bytes, size_t length)
{
	for (size_t i = 1; i < length; i++)
		if (bytes[i] != bytes[i - 1] && i % 512 != 0)
			return false;
	return true;
}

/* What a crash leaves of a page is its old or its new bytes, sector by sector. */
START_TEST(crash_tears_what_was_not_synced)
{
	unsigned old_bytes = 0;
	unsigned new_bytes = 0;
	unsigned torn = 0;

	for (uint64_t seed = 0; seed < 100; seed++) {
		static unsigned char bytes[4096];
		struct pro_sim_options options;
		struct pro_sim *sim;
		struct probe probe;
		pro_handle handle;
		size_t length = sizeof(bytes);

		pro_sim_options_init(&options);
		options.seed = seed;
		options.faults = 0;
		ck_assert_int_eq(pro_sim_create(&sim, &options), 0);
		memset(bytes, 'o', sizeof(bytes));
		pro_sim_file_write(sim, "/f", 0, bytes, sizeof(bytes));
		probe_init(&probe, sim, world_proactor(sim, "writer"));
		ck_assert_int_eq(pro_file_open(probe.proactor, "/f", PRO_FILE_WRITE, &handle), 0);
		probe_own(&probe, handle);
		memset(bytes, 'n', sizeof(bytes));
		ck_assert_int_eq(probe_write_file(&probe, bytes, sizeof(bytes), 0), 0);
		pro_sim_crash(sim, probe.proactor);
		ck_assert_int_eq(probe_write_file(&probe, bytes, sizeof(bytes), 0), PRO_ECANCELED);
		ck_assert_int_eq(pro_proactor_destroy(probe.proactor), 0);
		ck_assert_int_eq(pro_sim_file_read(sim, "/f", 0, bytes, &length), 0);
		ck_assert(changes_at_sectors_only(bytes, sizeof(bytes)));
		old_bytes += bytes[4095] == 'o' && bytes[0] == 'o';
		new_bytes += bytes[4095] == 'n';
		torn += bytes[4095] == 'o' && bytes[0] == 'n';
		world_end(sim);
	}
	ck_assert_uint_gt(old_bytes, 10);
	ck_assert_uint_gt(new_bytes, 10);
	ck_assert_uint_gt(torn, 10);
}
END_TEST

START_TEST(crash_is_a_reset_to_the_peers)
{
	struct pro_sim *sim = calm_world();
	struct probe client;
	struct probe server;
	char bytes[8];

	probe_init(&server, sim, world_proactor(sim, "server"));
	probe_init(&client, sim, world_proactor(sim, "client"));
	probe_join(&client, &server);
	pro_sim_crash(sim, server.proactor);
	pro_operation_set_timeout(&client.reader.operation, 1000);
	ck_assert_int_eq(probe_read(&client, bytes, sizeof(bytes)), PRO_ETIMEDOUT);
	ck_assert_int_eq(pro_proactor_destroy(server.proactor), 0);
	ck_assert_int_eq(probe_read(&client, bytes, sizeof(bytes)), PRO_ECONNRESET);
	probe_close(&client);
	world_end(sim);
}
END_TEST

START_TEST(file_that_shrinks_is_truncated_to_its_receiver)
{
	static unsigned char bytes[200000];
	struct pro_sim *sim = calm_world();
	struct probe client;
	struct probe server;
	pro_handle file;

	pro_sim_file_write(sim, "/f", 0, bytes, sizeof(bytes));
	probe_init(&server, sim, world_proactor(sim, "server"));
	probe_init(&client, sim, world_proactor(sim, "client"));
	probe_join(&client, &server);
	ck_assert_int_eq(pro_file_open(server.proactor, "/f", PRO_FILE_READ, &file), 0);
	ck_assert_int_eq(pro_asynch_transmit_file_transmit_file(
							 &server.sender, file, 0, PRO_TRANSMIT_ALL, NULL, NULL),
			0);
	server.pending = 1;
	pro_sim_run_until(sim, NULL, NULL, 1000);
	ck_assert_uint_eq(server.pending, 1);
	ck_assert_int_eq(pro_sim_file_resize(sim, "/f", 70000), 0);
	for (size_t got = 0; got < 70000; got += client.bytes)
		ck_assert_int_eq(probe_read(&client, bytes, sizeof(bytes)), 0);
	probe_wait(&server);
	ck_assert_int_eq(server.error, PRO_ETRUNCATED);
	ck_assert_uint_eq(server.bytes_sent, 70000);
	ck_assert_int_eq(pro_proactor_close_handle(server.proactor, file), 0);
	probe_close(&client);
	probe_close(&server);
	world_end(sim);
}
END_TEST

START_TEST(only_open_files_are_transmitted)
{
	struct pair pair;
	pro_handle file;

	pair_open(&pair);
	ck_assert_int_eq(
			pro_file_open(pair.server.proactor, "/f", PRO_FILE_WRITE | PRO_FILE_CREATE, &file), 0);
	for (unsigned i = 0; i < 3; i++) {
		const pro_handle handles[] = {file, pair.client.handle, 12345};

		ck_assert_int_eq(pro_asynch_transmit_file_transmit_file(
								 &pair.server.sender, handles[i], 0, 10, NULL, NULL),
				0);
		pair.server.pending = 1;
		probe_wait(&pair.server);
		ck_assert_int_eq(pair.server.error, PRO_EBADF);
	}
	ck_assert_int_eq(pro_proactor_close_handle(pair.server.proactor, file), 0);
	pair_close(&pair);
}
END_TEST

TCase *files_tcase(void)
{
	TCase *tcase = tcase_create("files");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, names_do_not_leave_their_root);
	tcase_add_test(tcase, names_have_an_end);
	tcase_add_test(tcase, directory_is_listed);
	tcase_add_test(tcase, flags_mean_what_they_say);
	tcase_add_test(tcase, sparse_file_reaches_beyond_4_gib);
	tcase_add_test(tcase, short_write_before_a_full_disk_is_counted);
	tcase_add_test(tcase, open_fails_without_descriptors);
	tcase_add_test(tcase, crash_tears_what_was_not_synced);
	tcase_add_test(tcase, crash_is_a_reset_to_the_peers);
	tcase_add_test(tcase, file_that_shrinks_is_truncated_to_its_receiver);
	tcase_add_test(tcase, only_open_files_are_transmitted);
	return tcase;
}
