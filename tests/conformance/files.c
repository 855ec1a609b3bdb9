/* Statement 26: files at 64-bit offsets, their ends, full disks. */
#include "conformance.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/os.h"
#include "../support/pattern.h"
#include "../support/recorder.h"

#define READ_WRITE_CREATE (PRO_FILE_READ | PRO_FILE_WRITE | PRO_FILE_CREATE)
#define GIB               (UINT64_C(1) << 30)

static void write_at(struct recorder *files, const void *bytes, size_t length, uint64_t offset)
{
	unsigned before = files->count[EVENT_WRITE_FILE];
	struct pro_message_block block;

	pro_message_block_init_filled(&block, bytes, length);
	ASSERT_OK(STARTED(
			files, WRITE_FILE, pro_asynch_write_file_write(&files->file_writer, &block, offset)));
	RUN_UNTIL(files->world, files->count[EVENT_WRITE_FILE] == before + 1);
	ck_assert_uint_eq(files->last[EVENT_WRITE_FILE].offset, offset);
	ck_assert_uint_eq(files->last[EVENT_WRITE_FILE].bytes_requested, length);
	ck_assert_uint_eq(block.rd, files->last[EVENT_WRITE_FILE].bytes);
}

static void read_at(struct recorder *files, void *bytes, size_t length, uint64_t offset)
{
	unsigned before = files->count[EVENT_READ_FILE];
	struct pro_message_block block;

	pro_message_block_init(&block, bytes, length);
	ASSERT_OK(STARTED(
			files, READ_FILE, pro_asynch_read_file_read(&files->file_reader, &block, 0, offset)));
	RUN_UNTIL(files->world, files->count[EVENT_READ_FILE] == before + 1);
	ck_assert_uint_eq(files->last[EVENT_READ_FILE].offset, offset);
	ck_assert_uint_eq(block.wr, files->last[EVENT_READ_FILE].bytes);
}

void scenario_files_reach_beyond_4_gib(struct world *world)
{
	static const uint64_t offsets[] = {0, 4095, 2 * GIB - 5, 4 * GIB - 5, 4 * GIB, 64 * GIB + 3};
	unsigned count = sizeof(offsets) / sizeof(offsets[0]);
	struct pro_file_status status;
	struct recorder *files;
	pro_handle file;
	char bytes[11];

	world_open(world);
	files = recorder_create(world, "files");
	file = world_file(world, "file", READ_WRITE_CREATE);
	recorder_open_file(files, file);
	for (unsigned i = 0; i < count; i++) {
		pattern_fill(bytes, sizeof(bytes), 0, i);
		write_at(files, bytes, sizeof(bytes), offsets[i]);
		ASSERT_OK(files->last[EVENT_WRITE_FILE].error);
	}
	for (unsigned i = count; i-- > 0;) {
		read_at(files, bytes, sizeof(bytes), offsets[i]);
		ASSERT_OK(files->last[EVENT_READ_FILE].error);
		if (i != 3) /* the next one overwrote its end */
			pattern_check(bytes, sizeof(bytes), 0, i);
	}
	ASSERT_OK(pro_file_status(world->proactor, file, &status));
	ck_assert_uint_eq(status.size, offsets[count - 1] + sizeof(bytes));
	ck_assert_int_eq(status.type, PRO_FILE_REGULAR);
	read_at(files, bytes, sizeof(bytes), 8 * GIB);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		ck_assert_int_eq(bytes[i], 0);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
}

void scenario_end_of_a_file_is_the_same_everywhere(struct world *world)
{
	struct recorder *files;
	pro_handle file;
	char bytes[64];

	world_open(world);
	files = recorder_create(world, "files");
	file = world_file(world, "file", READ_WRITE_CREATE);
	recorder_open_file(files, file);
	read_at(files, bytes, sizeof(bytes), 0);
	ASSERT_ERROR(files->last[EVENT_READ_FILE].error, PRO_EOF);
	write_at(files, "0123456789", 10, 0);
	read_at(files, bytes, sizeof(bytes), 0);
	ASSERT_OK(files->last[EVENT_READ_FILE].error);
	ck_assert_uint_eq(files->last[EVENT_READ_FILE].bytes, 10);
	ck_assert_uint_eq(files->last[EVENT_READ_FILE].bytes_requested, sizeof(bytes));
	read_at(files, bytes, sizeof(bytes), 7);
	ASSERT_OK(files->last[EVENT_READ_FILE].error);
	ck_assert_mem_eq(bytes, "789", 3);
	ck_assert_uint_eq(files->last[EVENT_READ_FILE].bytes, 3);
	for (unsigned i = 0; i < 3; i++) {
		read_at(files, bytes, sizeof(bytes), 10 + i * GIB);
		ASSERT_ERROR(files->last[EVENT_READ_FILE].error, PRO_EOF);
		ck_assert_uint_eq(files->last[EVENT_READ_FILE].bytes, 0);
	}
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
}

/* Several readers and writers of one file at once, in chains. */
void scenario_vectored_file_transfers_and_many_at_once(struct world *world)
{
	enum { COUNT = 16, PIECE = 1000, PIECES = 4, PART = PIECE * PIECES };
	static unsigned char bytes[COUNT][PIECES][PIECE], back[COUNT][PIECES][PIECE];
	static struct pro_asynch_write_file writers[COUNT];
	static struct pro_asynch_read_file readers[COUNT];
	static struct pro_message_block out[COUNT][PIECES], in[COUNT][PIECES];
	struct recorder *files;
	pro_handle file;

	world_open(world);
	files = recorder_create(world, "files");
	file = world_file(world, "file", READ_WRITE_CREATE);
	for (unsigned i = 0; i < COUNT; i++) {
		uint64_t offset = (uint64_t)i * PART;

		pattern_fill(bytes[i], PART, offset, 1);
		for (unsigned piece = 0; piece < PIECES; piece++) {
			pro_message_block_init_filled(&out[i][piece], bytes[i][piece], PIECE);
			pro_message_block_init(&in[i][piece], back[i][piece], PIECE);
			if (piece > 0) {
				out[i][piece - 1].cont = &out[i][piece];
				in[i][piece - 1].cont = &in[i][piece];
			}
		}
		ASSERT_OK(pro_asynch_write_file_open(&writers[i], recorder_handler(files), file, NULL));
		ASSERT_OK(STARTED(
				files, WRITE_FILE, pro_asynch_write_file_writev(&writers[i], &out[i][0], offset)));
	}
	RUN_UNTIL(world, files->count[EVENT_WRITE_FILE] == COUNT);
	ck_assert_uint_eq(files->errors[EVENT_WRITE_FILE], 0);
	ck_assert_uint_eq(files->bytes[EVENT_WRITE_FILE], COUNT * PART);
	for (unsigned i = 0; i < COUNT; i++) {
		ASSERT_OK(pro_asynch_read_file_open(&readers[i], recorder_handler(files), file, NULL));
		ASSERT_OK(STARTED(files, READ_FILE,
				pro_asynch_read_file_readv(&readers[i], &in[i][0], 0, (uint64_t)i * PART)));
	}
	RUN_UNTIL(world, files->count[EVENT_READ_FILE] == COUNT);
	ck_assert_uint_eq(files->errors[EVENT_READ_FILE], 0);
	for (unsigned i = 0; i < COUNT; i++)
		pattern_check(back[i], PART, (uint64_t)i * PART, 1);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
}

void scenario_write_beyond_the_limit_of_file_sizes_is_an_error_with_its_count(struct world *world)
{
	static unsigned char bytes[10000];
	struct recorder *files;
	pro_handle file;

	world_open(world);
	files = recorder_create(world, "files");
	file = world_file(world, "file", READ_WRITE_CREATE);
	recorder_open_file(files, file);
	os_limit_file_size(6000);
	write_at(files, bytes, sizeof(bytes), 0);
	os_limit_file_size(UINT64_MAX);
	ASSERT_ERROR(files->last[EVENT_WRITE_FILE].error, PRO_EFBIG);
	ck_assert_uint_eq(files->last[EVENT_WRITE_FILE].bytes, 6000);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
}

void scenario_full_disk_is_an_error_with_its_count(struct world *world)
{
	static unsigned char bytes[1 << 20];
	struct recorder *files;
	pro_handle file;

	world->is_traced = false;
	world_open(world);
	if (!world_limit_disk(world, 65536)) {
		printf("%s: left out, may not mount\n", world->name);
		return;
	}
	files = recorder_create(world, "files");
	file = world_file(world, "file", READ_WRITE_CREATE);
	recorder_open_file(files, file);
	write_at(files, bytes, sizeof(bytes), 0);
	ASSERT_ERROR(files->last[EVENT_WRITE_FILE].error, PRO_ENOSPC);
	ck_assert_uint_gt(files->last[EVENT_WRITE_FILE].bytes, 0);
	ck_assert_uint_le(files->last[EVENT_WRITE_FILE].bytes, 65536);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
	world_run_ready(world);
	world_free_disk(world);
}

void scenario_files_open_as_their_flags_say(struct world *world)
{
	static const unsigned char byte[1] = {'x'};
	struct pro_file_status status;
	struct recorder *files;
	pro_handle file, other;
	char bytes[4];

	world_open(world);
	files = recorder_create(world, "files");
	ASSERT_ERROR(pro_file_open(world->proactor, world_path(world, "none"), PRO_FILE_READ, &file),
			PRO_ENOENT);
	ck_assert_int_eq(file, PRO_INVALID_HANDLE);
	file = world_file(world, "file", READ_WRITE_CREATE | PRO_FILE_EXCLUSIVE);
	ASSERT_ERROR(pro_file_open(world->proactor, world_path(world, "file"),
						 READ_WRITE_CREATE | PRO_FILE_EXCLUSIVE, &other),
			PRO_EEXIST);
	recorder_open_file(files, file);
	write_at(files, byte, 1, 9);
	ASSERT_OK(pro_file_status(world->proactor, file, &status));
	ck_assert_uint_eq(status.size, 10);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
	world_run_ready(world);

	file = world_file(world, "file", PRO_FILE_READ);
	recorder_open_file(files, file);
	write_at(files, byte, 1, 0);
	ASSERT_ERROR(files->last[EVENT_WRITE_FILE].error, PRO_EBADF);
	read_at(files, bytes, 4, 8);
	ck_assert_uint_eq(files->last[EVENT_READ_FILE].bytes, 2);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
	world_run_ready(world);

	file = world_file(world, "file", PRO_FILE_WRITE | PRO_FILE_TRUNCATE);
	ASSERT_OK(pro_file_status(world->proactor, file, &status));
	ck_assert_uint_eq(status.size, 0);
	recorder_open_file(files, file);
	read_at(files, bytes, 4, 0);
	ASSERT_ERROR(files->last[EVENT_READ_FILE].error, PRO_EBADF);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
}

/* Close while transfers are under way: each ends, with success or cancelled, and the file only
 * then.
 */
void scenario_file_transfers_end_before_the_close(struct world *world)
{
	enum { COUNT = 64, PART = 65536 };
	static unsigned char bytes[PART];
	struct pro_asynch_write_file *writers = calloc(COUNT, sizeof(*writers));
	struct pro_message_block *blocks = calloc(COUNT, sizeof(*blocks));
	struct recorder *files;

	world->is_traced = false;
	world_open(world);
	files = recorder_create(world, "files");
	pro_handler_set_handle(recorder_handler(files), world_file(world, "file", READ_WRITE_CREATE));
	for (unsigned i = 0; i < COUNT; i++) {
		pro_message_block_init_filled(&blocks[i], bytes, PART);
		ASSERT_OK(pro_asynch_write_file_open(&writers[i], recorder_handler(files),
				pro_handler_handle(recorder_handler(files)), NULL));
		ASSERT_OK(STARTED(files, WRITE_FILE,
				pro_asynch_write_file_write(&writers[i], &blocks[i], (uint64_t)i * PART)));
		if (i == COUNT / 2)
			world_run_ready(world);
	}
	recorder_close(files);
	RUN_UNTIL(world, files->is_closed);
	ck_assert_uint_eq(files->count[EVENT_WRITE_FILE], COUNT);
	ck_assert_uint_eq(files->errors[EVENT_WRITE_FILE], files->cancels[EVENT_WRITE_FILE]);
	free(writers);
	free(blocks);
}
