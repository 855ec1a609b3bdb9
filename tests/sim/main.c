/* The simulated port: its world, sessions over many seeds, and mistakes that it finds.
 *
 *   sim                            all of it
 *   sim seeds SESSION FIRST COUNT  only so many seeds of echo, chat, transfer or dgram */
#include "sim_tests.h"

#include <stdlib.h>
#include <string.h>

#include "../support/suite.h"

static const struct {
	const char *name;
	void (*init)(struct pro_sim_test *test);
} sessions[] = {
		{"echo", echo_test_init},
		{"chat", chat_test_init},
		{"transfer", transfer_test_init},
		{"dgram", dgram_test_init},
};

int main(int argc, char **argv)
{
	Suite *suite;

	if (argc == 5 && !strcmp(argv[1], "seeds"))
		for (size_t i = 0; i < sizeof(sessions) / sizeof(sessions[0]); i++)
			if (!strcmp(argv[2], sessions[i].name))
				return run_seeds(sessions[i].init, argv[3], argv[4]);
	if (argc > 1)
		return EXIT_FAILURE;
	suite = suite_create("sim");
	suite_add_tcase(suite, world_tcase());
	suite_add_tcase(suite, crashes_tcase());
	suite_add_tcase(suite, promises_tcase());
	suite_add_tcase(suite, network_tcase());
	suite_add_tcase(suite, files_tcase());
	suite_add_tcase(suite, control_tcase());
	suite_add_tcase(suite, edges_tcase());
	suite_add_tcase(suite, sessions_tcase());
	suite_add_tcase(suite, bugs_tcase());
	suite_add_tcase(suite, speed_tcase());
	return suite_run(suite);
}
