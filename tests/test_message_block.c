/* Message blocks: positions, sharing, chains, and who frees what. */
#include <proactor/error.h>
#include <proactor/message_block.h>

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "../asynch/asynch_private.h"
#include "support/allocator.h"
#include "support/os.h"
#include "support/suite.h"

static struct test_allocator memory;

static void set_up(void)
{
	test_allocator_init(&memory);
}

/* Nothing was leaked. */
static void tear_down(void)
{
	ck_assert_int_eq(memory.live, 0);
}

static struct pro_message_block *created(size_t size)
{
	struct pro_message_block *block = pro_message_block_create(&memory.allocator, size);

	ck_assert_ptr_nonnull(block);
	return block;
}

static void assert_positions(const struct pro_message_block *block, size_t rd, size_t wr)
{
	ck_assert_uint_eq(block->rd, rd);
	ck_assert_uint_eq(block->wr, wr);
	ck_assert_uint_eq(pro_message_block_length(block), wr - rd);
	ck_assert_uint_eq(pro_message_block_space(block), block->size - wr);
	ck_assert_ptr_eq(pro_message_block_rd_ptr(block), block->base + rd);
	ck_assert_ptr_eq(pro_message_block_wr_ptr(block), block->base + wr);
}

/* ---- bytes of the caller ---- */

START_TEST(a_block_on_the_callers_bytes_is_empty)
{
	unsigned char bytes[8];
	struct pro_message_block block;

	memset(&block, 0xff, sizeof(block));
	pro_message_block_init(&block, bytes, sizeof(bytes));
	ck_assert_ptr_eq(block.base, bytes);
	ck_assert_ptr_null(block.cont);
	assert_positions(&block, 0, 0);
	ck_assert_uint_eq(pro_message_block_reference_count(&block), 1);
	pro_message_block_release(&block);
	pro_message_block_release(&block);
}
END_TEST

START_TEST(a_filled_block_has_no_space)
{
	static const char text[] = "constant";
	struct pro_message_block block;

	pro_message_block_init_filled(&block, text, strlen(text));
	assert_positions(&block, 0, strlen(text));
	ck_assert_int_eq(pro_message_block_copy(&block, "x", 1), PRO_EFULL);
	ck_assert_int_eq(pro_message_block_crunch(&block), 0);
	pro_message_block_release(&block);
}
END_TEST

START_TEST(a_duplicate_of_the_callers_bytes_shares_them)
{
	unsigned char bytes[8];
	struct pro_message_block block;
	struct pro_message_block *duplicate;

	pro_message_block_init(&block, bytes, sizeof(bytes));
	ck_assert_int_eq(pro_message_block_copy(&block, "abcd", 4), 0);
	block.rd = 1;
	duplicate = pro_message_block_duplicate(&block);
	ck_assert_ptr_nonnull(duplicate);
	ck_assert_ptr_eq(duplicate->base, bytes);
	assert_positions(duplicate, 1, 4);
	pro_message_block_release(&block);
	ck_assert_mem_eq(pro_message_block_rd_ptr(duplicate), "bcd", 3);
	pro_message_block_release(duplicate);
}
END_TEST

START_TEST(the_callers_block_releases_its_chain)
{
	unsigned char bytes[8];
	struct pro_message_block block;

	pro_message_block_init(&block, bytes, sizeof(bytes));
	block.cont = created(1);
	block.cont->cont = created(1);
	pro_message_block_release(&block);
	ck_assert_ptr_null(block.cont);
	ck_assert_int_eq(memory.live, 0);
}
END_TEST

/* ---- bytes of their own ---- */

START_TEST(a_created_block_is_one_allocation)
{
	for (size_t size = 0; size < 100; size++) {
		uint64_t calls = memory.calls;
		struct pro_message_block *block = created(size);

		ck_assert_uint_eq(memory.calls, calls + 1);
		ck_assert_uint_eq(block->size, size);
		ck_assert_uint_eq((uintptr_t)block->base % _Alignof(max_align_t), 0);
		assert_positions(block, 0, 0);
		memset(block->base, 0xa5, size);
		pro_message_block_release(block);
		ck_assert_int_eq(memory.live, 0);
	}
}
END_TEST

START_TEST(a_block_without_an_allocator_comes_from_malloc)
{
	struct pro_message_block *block = pro_message_block_create(NULL, 10);
	struct pro_message_block *duplicate;

	ck_assert_ptr_nonnull(block);
	duplicate = pro_message_block_duplicate(block);
	ck_assert_ptr_nonnull(duplicate);
	pro_message_block_release(block);
	pro_message_block_release(duplicate);
	ck_assert_uint_eq(memory.calls, 0);
}
END_TEST

START_TEST(sizes_and_allocators_that_cannot_be_are_refused)
{
	struct pro_allocator incomplete = memory.allocator;

	ck_assert_ptr_null(pro_message_block_create(&memory.allocator, SIZE_MAX));
	ck_assert_ptr_null(pro_message_block_create(&memory.allocator, SIZE_MAX / 2 + 1));
	ck_assert_uint_eq(memory.calls, 0);
	incomplete.allocate = NULL;
	ck_assert_ptr_null(pro_message_block_create(&incomplete, 1));
	incomplete = memory.allocator;
	incomplete.deallocate = NULL;
	ck_assert_ptr_null(pro_message_block_create(&incomplete, 1));
}
END_TEST

START_TEST(no_memory_is_no_block)
{
	struct pro_message_block *block = created(4);

	memory.fails_always = true;
	ck_assert_ptr_null(pro_message_block_create(&memory.allocator, 4));
	ck_assert_ptr_null(pro_message_block_duplicate(block));
	ck_assert_uint_eq(pro_message_block_reference_count(block), 1);
	pro_message_block_release(block);
}
END_TEST

START_TEST(nothing_is_released_and_duplicated)
{
	pro_message_block_release(NULL);
	ck_assert_ptr_null(pro_message_block_duplicate(NULL));
	ck_assert_uint_eq(pro_message_block_total_length(NULL), 0);
}
END_TEST

/* Three sharers of the same bytes, released in each order: the bytes live until the last. */
START_TEST(the_last_sharer_frees_the_bytes)
{
	static const unsigned orders[6][3] = {
			{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	struct pro_message_block *blocks[3];
	uint64_t calls;

	blocks[0] = created(4);
	ck_assert_int_eq(pro_message_block_copy(blocks[0], "abcd", 4), 0);
	calls = memory.calls;
	blocks[1] = pro_message_block_duplicate(blocks[0]);
	blocks[2] = pro_message_block_duplicate(blocks[1]);
	ck_assert_uint_eq(memory.calls, calls + 2);
	for (unsigned i = 0; i < 3; i++) {
		struct pro_message_block *block = blocks[orders[_i][i]];

		ck_assert_uint_eq(pro_message_block_reference_count(block), 3 - i);
		ck_assert_mem_eq(pro_message_block_rd_ptr(block), "abcd", 4);
		pro_message_block_release(block);
	}
	ck_assert_int_eq(memory.live, 0);
}
END_TEST

START_TEST(sharers_have_their_own_positions)
{
	struct pro_message_block *block = created(8);
	struct pro_message_block *duplicate;

	ck_assert_int_eq(pro_message_block_copy(block, "abcdef", 6), 0);
	duplicate = pro_message_block_duplicate(block);
	duplicate->rd = 3;
	assert_positions(block, 0, 6);
	pro_message_block_reset(block);
	assert_positions(duplicate, 3, 6);
	pro_message_block_release(block);
	ck_assert_mem_eq(pro_message_block_rd_ptr(duplicate), "def", 3);
	pro_message_block_release(duplicate);
}
END_TEST

START_TEST(a_thousand_sharers_are_counted)
{
	struct pro_message_block *block = created(1);
	struct pro_message_block *duplicates[1000];

	for (unsigned i = 0; i < 1000; i++) {
		duplicates[i] = pro_message_block_duplicate(block);
		ck_assert_ptr_nonnull(duplicates[i]);
	}
	ck_assert_uint_eq(pro_message_block_reference_count(block), 1001);
	pro_message_block_release(block);
	for (unsigned i = 0; i < 1000; i++)
		pro_message_block_release(duplicates[i]);
	ck_assert_int_eq(memory.live, 0);
}
END_TEST

/* ---- chains ---- */

static struct pro_message_block *created_chain(unsigned count)
{
	struct pro_message_block *chain = NULL;

	for (unsigned i = 0; i < count; i++) {
		struct pro_message_block *block = created(4);

		ck_assert_int_eq(pro_message_block_copy(block, "abc", 3), 0);
		block->cont = chain;
		chain = block;
	}
	return chain;
}

START_TEST(a_chain_is_duplicated_whole)
{
	struct pro_message_block *chain = created_chain(3);
	struct pro_message_block *duplicate = pro_message_block_duplicate(chain);
	const struct pro_message_block *share = duplicate;

	ck_assert_uint_eq(pro_message_block_total_length(chain), 9);
	chain->cont->rd = 2;
	ck_assert_uint_eq(pro_message_block_total_length(chain), 7);
	ck_assert_uint_eq(pro_message_block_total_length(duplicate), 9);
	for (const struct pro_message_block *block = chain; block; block = block->cont) {
		ck_assert_ptr_ne(share, block);
		ck_assert_ptr_eq(share->base, block->base);
		ck_assert_uint_eq(pro_message_block_reference_count(block), 2);
		share = share->cont;
	}
	ck_assert_ptr_null(share);
	pro_message_block_release(chain);
	ck_assert_uint_eq(pro_message_block_total_length(duplicate), 9);
	pro_message_block_release(duplicate);
}
END_TEST

START_TEST(half_a_duplicate_is_undone)
{
	struct pro_message_block *chain = created_chain(3);

	for (unsigned k = 1; k <= 3; k++) {
		memory.fail_call = memory.calls + k;
		ck_assert_ptr_null(pro_message_block_duplicate(chain));
		ck_assert_int_eq(memory.live, 3);
		for (const struct pro_message_block *block = chain; block; block = block->cont)
			ck_assert_uint_eq(pro_message_block_reference_count(block), 1);
	}
	pro_message_block_release(chain);
}
END_TEST

START_TEST(a_long_chain_is_released_without_recursion)
{
	struct pro_message_block *chain = NULL;

	for (unsigned i = 0; i < 300000; i++) {
		struct pro_message_block *block = pro_message_block_create(&memory.allocator, 0);

		if (!block)
			ck_abort_msg("no memory");
		block->cont = chain;
		chain = block;
	}
	pro_message_block_release(chain);
}
END_TEST

START_TEST(one_block_may_stand_in_a_chain_twice_by_its_bytes)
{
	struct pro_message_block *block = created(4);

	ck_assert_int_eq(pro_message_block_copy(block, "abcd", 4), 0);
	block->cont = pro_message_block_duplicate(block);
	ck_assert_uint_eq(pro_message_block_total_length(block), 8);
	pro_message_block_release(block);
	ck_assert_int_eq(memory.live, 0);
}
END_TEST

/* ---- positions ---- */

START_TEST(copy_fits_or_changes_nothing)
{
	struct pro_message_block *block = created(4);

	ck_assert_int_eq(pro_message_block_copy(block, NULL, 0), 0);
	ck_assert_int_eq(pro_message_block_copy(block, "abcde", 5), PRO_EFULL);
	assert_positions(block, 0, 0);
	ck_assert_int_eq(pro_message_block_copy(block, "abc", 3), 0);
	ck_assert_int_eq(pro_message_block_copy(block, "de", 2), PRO_EFULL);
	ck_assert_int_eq(pro_message_block_copy(block, "d", SIZE_MAX), PRO_EFULL);
	ck_assert_int_eq(pro_message_block_copy(block, "d", 1), 0);
	assert_positions(block, 0, 4);
	ck_assert_mem_eq(block->base, "abcd", 4);
	pro_message_block_release(block);
}
END_TEST

START_TEST(crunch_moves_the_unread_bytes_to_the_front)
{
	struct pro_message_block *block = created(8);

	ck_assert_int_eq(pro_message_block_crunch(block), 0);
	ck_assert_int_eq(pro_message_block_copy(block, "abcdefgh", 8), 0);
	ck_assert_int_eq(pro_message_block_crunch(block), 0);
	assert_positions(block, 0, 8);
	block->rd = 3;
	ck_assert_int_eq(pro_message_block_crunch(block), 0);
	assert_positions(block, 0, 5);
	ck_assert_mem_eq(block->base, "defgh", 5);
	block->rd = 5;
	ck_assert_int_eq(pro_message_block_crunch(block), 0);
	assert_positions(block, 0, 0);
	pro_message_block_release(block);
}
END_TEST

START_TEST(shared_bytes_are_not_moved)
{
	struct pro_message_block *block = created(4);
	struct pro_message_block *duplicate = pro_message_block_duplicate(block);

	block->wr = 4;
	block->rd = 2;
	ck_assert_int_eq(pro_message_block_crunch(block), PRO_EBUSY);
	assert_positions(block, 2, 4);
	pro_message_block_release(duplicate);
	ck_assert_int_eq(pro_message_block_crunch(block), 0);
	assert_positions(block, 0, 2);
	pro_message_block_release(block);
}
END_TEST

START_TEST(printf_fits_or_adds_nothing)
{
	struct pro_message_block *block = created(8);
	int error;

	ck_assert_int_eq(pro_message_block_printf(block, "%s", "123456789"), PRO_EFULL);
	assert_positions(block, 0, 0);
	ck_assert_int_eq(pro_message_block_printf(block, "%d-%s", 12, "ab"), 0);
	assert_positions(block, 0, 5);
	ck_assert_int_eq(pro_message_block_printf(block, "%s", "wxyz"), PRO_EFULL);
	assert_positions(block, 0, 5);
	/* To the last byte: the NUL is not part of the text. */
	ck_assert_int_eq(pro_message_block_printf(block, "%c%c%c", 'x', 'y', 'z'), 0);
	assert_positions(block, 0, 8);
	ck_assert_mem_eq(block->base, "12-abxyz", 8);
	ck_assert_int_eq(pro_message_block_printf(block, "%s", ""), 0);
	/* No character at all; Windows' library leaves it out. */
	error = pro_message_block_printf(block, "%lc", (wint_t)0x20ac);
	ck_assert(error == PRO_EINVAL || (os_is_emulated() && error == 0));
	ck_assert_int_eq(pro_message_block_printf(block, "%s", "!"), PRO_EFULL);
	assert_positions(block, 0, 8);
	pro_message_block_release(block);
}
END_TEST

START_TEST(printf_writes_nothing_behind_the_bytes)
{
	unsigned char bytes[8];
	struct pro_message_block block;

	memset(bytes, 0xa5, sizeof(bytes));
	pro_message_block_init(&block, bytes, 4);
	ck_assert_int_eq(pro_message_block_printf(&block, "%s", "12345678"), PRO_EFULL);
	ck_assert_int_eq(pro_message_block_printf(&block, "%s", "1234"), 0);
	ck_assert_mem_eq(bytes, "1234\xa5\xa5\xa5\xa5", 8);
}
END_TEST

/* ---- threads ---- */

#define SHARING_THREADS 4
#define SHARING_ROUNDS  20000

/* Takes a share of its own and gives it up, over and over, and at last the one it was given. */
static void *share_and_release(void *argument)
{
	struct pro_message_block *block = argument;

	for (unsigned i = 0; i < SHARING_ROUNDS; i++) {
		struct pro_message_block *duplicate = pro_message_block_duplicate(block);

		if (!duplicate || memcmp(duplicate->base, "shared", 6) != 0)
			abort();
		pro_message_block_release(duplicate);
	}
	pro_message_block_release(block);
	return NULL;
}

START_TEST(threads_share_and_release)
{
	struct pro_message_block *block = created(6);
	pthread_t threads[SHARING_THREADS];

	ck_assert_int_eq(pro_message_block_copy(block, "shared", 6), 0);
	for (unsigned i = 0; i < SHARING_THREADS; i++) {
		struct pro_message_block *duplicate = pro_message_block_duplicate(block);

		ck_assert_ptr_nonnull(duplicate);
		ck_assert_int_eq(pthread_create(&threads[i], NULL, share_and_release, duplicate), 0);
	}
	pro_message_block_release(block);
	for (unsigned i = 0; i < SHARING_THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_int_eq(memory.live, 0);
}
END_TEST

/* ---- rounds ---- */

#define ROUND_MAX ((size_t)1 << 30)

/* A chain of two on memory that nobody touches; the first is longer than a round. */
static void make_long(struct pro_message_block *first, struct pro_message_block *second, bool fills)
{
	static unsigned char bytes[1];

	pro_message_block_init(first, bytes, ROUND_MAX + 100);
	pro_message_block_init(second, bytes, 10);
	first->cont = second;
	first->wr = fills ? first->size : 0;
	second->wr = fills ? second->size : 0;
}

START_TEST(what_a_round_cuts_comes_before_what_is_behind_it)
{
	struct pro_message_block first, second;
	struct pro_buffer buffers[4];
	size_t total;

	make_long(&first, &second, true);
	ck_assert_uint_eq(pro__asynch_gather_data(&first, true, buffers, 4, &total), 1);
	ck_assert_uint_eq(total, ROUND_MAX);
	pro__asynch_advance_rd(&first, total);
	ck_assert_uint_eq(pro__asynch_gather_data(&first, true, buffers, 4, &total), 2);
	ck_assert_uint_eq(total, 110);
	make_long(&first, &second, false);
	ck_assert_uint_eq(pro__asynch_gather_space(&first, true, SIZE_MAX, buffers, 4, &total), 1);
	ck_assert_uint_eq(total, ROUND_MAX);
	pro__asynch_advance_wr(&first, total);
	ck_assert_uint_eq(pro__asynch_gather_space(&first, true, SIZE_MAX, buffers, 4, &total), 2);
	ck_assert_uint_eq(total, 110);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("message_block");
	TCase *tcase = tcase_create("message_block");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_block_on_the_callers_bytes_is_empty);
	tcase_add_test(tcase, a_filled_block_has_no_space);
	tcase_add_test(tcase, a_duplicate_of_the_callers_bytes_shares_them);
	tcase_add_test(tcase, the_callers_block_releases_its_chain);
	tcase_add_test(tcase, a_created_block_is_one_allocation);
	tcase_add_test(tcase, a_block_without_an_allocator_comes_from_malloc);
	tcase_add_test(tcase, sizes_and_allocators_that_cannot_be_are_refused);
	tcase_add_test(tcase, no_memory_is_no_block);
	tcase_add_test(tcase, nothing_is_released_and_duplicated);
	tcase_add_loop_test(tcase, the_last_sharer_frees_the_bytes, 0, 6);
	tcase_add_test(tcase, sharers_have_their_own_positions);
	tcase_add_test(tcase, a_thousand_sharers_are_counted);
	tcase_add_test(tcase, a_chain_is_duplicated_whole);
	tcase_add_test(tcase, half_a_duplicate_is_undone);
	tcase_add_test(tcase, a_long_chain_is_released_without_recursion);
	tcase_add_test(tcase, one_block_may_stand_in_a_chain_twice_by_its_bytes);
	tcase_add_test(tcase, copy_fits_or_changes_nothing);
	tcase_add_test(tcase, crunch_moves_the_unread_bytes_to_the_front);
	tcase_add_test(tcase, shared_bytes_are_not_moved);
	tcase_add_test(tcase, printf_fits_or_adds_nothing);
	tcase_add_test(tcase, printf_writes_nothing_behind_the_bytes);
	tcase_add_test(tcase, threads_share_and_release);
	tcase_add_test(tcase, what_a_round_cuts_comes_before_what_is_behind_it);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
