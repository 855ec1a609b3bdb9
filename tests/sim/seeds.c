/* A range of seeds of one session, for a run of very many in several processes: seeds.py. */
#include "sim_tests.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int run_seeds(void (*init)(struct pro_sim_test *test), const char *first, const char *count)
{
	static struct pro_sim_verdict verdict;
	struct pro_sim_test test;
	int error;

	init(&test);
	test.first_seed = strtoull(first, NULL, 10);
	test.seeds = strtoull(count, NULL, 10);
	error = pro_sim_test(&test, &verdict);
	if (error)
		printf("%s\n%s", pro_error_name(error), verdict.text);
	printf("%" PRIu64 " seeds, %" PRIu64 " completions, hash %016" PRIx64 "\n", verdict.seeds,
			verdict.completions, verdict.hash);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
