/* The simulated port: its world, sessions over many seeds, and mistakes that it finds. */
#include "sim_tests.h"

#include <stdlib.h>

int main(void)
{
	Suite *suite = suite_create("sim");
	SRunner *runner;
	int failures;

	suite_add_tcase(suite, world_tcase());
	suite_add_tcase(suite, network_tcase());
	suite_add_tcase(suite, files_tcase());
	suite_add_tcase(suite, sessions_tcase());
	suite_add_tcase(suite, bugs_tcase());
	suite_add_tcase(suite, speed_tcase());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failures = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
