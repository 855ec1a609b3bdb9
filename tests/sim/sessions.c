/* Sessions over many seeds with faults; their determinism. */
#include "sim_tests.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum bug planted_bug = BUG_NONE;

#define SEEDS      1000u
#define SEEDS_LONG 20000u

static void (*const sessions[])(struct pro_sim_test *test) = {
		echo_test_init, chat_test_init, transfer_test_init, dgram_test_init};
static const char *const session_names[] = {"echo", "chat", "transfer", "dgram"};

#define SESSIONS ((int)(sizeof(sessions) / sizeof(sessions[0])))

static bool is_long(void)
{
	const char *text = getenv("PROACTOR_TEST_LONG");

	return text && text[0] == '1';
}

START_TEST(session_holds_over_many_seeds)
{
	static struct pro_sim_verdict verdict;
	struct pro_sim_test test;
	int error;

	sessions[_i](&test);
	test.seeds = is_long() ? SEEDS_LONG : SEEDS;
	error = pro_sim_test(&test, &verdict);
	ck_assert_msg(error == 0, "%s: %s\n%s", session_names[_i], pro_error_name(error), verdict.text);
	printf("%s: %" PRIu64 " seeds, %" PRIu64 " steps, %" PRIu64 " completions, hash %016" PRIx64
		   "\n",
			session_names[_i], verdict.seeds, verdict.steps, verdict.completions, verdict.hash);
}
END_TEST

/* ---- equal runs ---- */

static uint64_t hash_of(int session, uint64_t first_seed, uint64_t seeds,
		const unsigned char *choices, size_t choices_size)
{
	static struct pro_sim_verdict verdict;
	struct pro_sim_test test;
	int error;

	sessions[session](&test);
	test.first_seed = first_seed;
	test.seeds = seeds;
	test.options.choices = choices;
	test.options.choices_size = choices_size;
	error = pro_sim_test(&test, &verdict);
	ck_assert_msg(error == 0, "%s: %s", session_names[session], verdict.text);
	return verdict.hash;
}

START_TEST(same_seed_is_the_same_run)
{
	const uint64_t hash = hash_of(_i, 1, 20, NULL, 0);

	ck_assert_uint_eq(hash_of(_i, 1, 20, NULL, 0), hash);
	ck_assert_uint_ne(hash_of(_i, 2, 20, NULL, 0), hash);
}
END_TEST

/* Of the seeds 1 to 20, with every compiler, every option of it and every sanitizer. Whatever
 * changes the order in which operations are started, in the library or in the session, changes
 * them: then put in what the test says. */
static const uint64_t expected_hashes[SESSIONS] = {
		UINT64_C(0x4b00219ef6526edf),
		UINT64_C(0x2848fc743fcd6fcf),
		UINT64_C(0x60d38f48d969cfa4),
		UINT64_C(0x9010ff804cbff6e6),
};

START_TEST(run_is_the_same_with_every_compiler)
{
	const uint64_t hash = hash_of(_i, 1, 20, NULL, 0);

	ck_assert_msg(hash == expected_hashes[_i],
			"%s: the hash is UINT64_C(0x%016" PRIx64 "), not 0x%016" PRIx64, session_names[_i],
			hash, expected_hashes[_i]);
}
END_TEST

/* ---- the bytes of a fuzzer ---- */

START_TEST(bytes_decide_instead_of_the_seed)
{
	unsigned char bytes[600] = {0};
	const uint64_t calm = hash_of(0, 1, 1, bytes, sizeof(bytes));
	unsigned different = 0;

	ck_assert_uint_eq(hash_of(0, 1, 1, bytes, sizeof(bytes)), calm);
	for (unsigned i = 0; i < 100; i++) {
		bytes[i] = 255;
		different += hash_of(0, 1, 1, bytes, sizeof(bytes)) != calm;
		bytes[i] = 0;
	}
	ck_assert_uint_gt(different, 50);
}
END_TEST

START_TEST(session_holds_over_any_bytes)
{
	uint64_t state = 1;

	for (unsigned run = 0; run < 50; run++) {
		unsigned char bytes[2000];

		for (size_t i = 0; i < sizeof(bytes); i++) {
			state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			bytes[i] = (unsigned char)(state >> 56);
		}
		hash_of(_i, 1, 1, bytes, sizeof(bytes));
	}
}
END_TEST

TCase *sessions_tcase(void)
{
	TCase *tcase = tcase_create("sessions");

	tcase_set_timeout(tcase, is_long() ? 1200 : 300);
	tcase_add_loop_test(tcase, same_seed_is_the_same_run, 0, SESSIONS);
	tcase_add_loop_test(tcase, run_is_the_same_with_every_compiler, 0, SESSIONS);
	tcase_add_test(tcase, bytes_decide_instead_of_the_seed);
	tcase_add_loop_test(tcase, session_holds_over_any_bytes, 0, SESSIONS);
	tcase_add_loop_test(tcase, session_holds_over_many_seeds, 0, SESSIONS);
	return tcase;
}
