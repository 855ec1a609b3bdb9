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

TCase *sessions_tcase(void)
{
	TCase *tcase = tcase_create("sessions");

	tcase_set_timeout(tcase, is_long() ? 1200 : 300);
	tcase_add_loop_test(tcase, session_holds_over_many_seeds, 0, SESSIONS);
	return tcase;
}
