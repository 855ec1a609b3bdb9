/* The example of docs/simulation.md once more, with the bytes of a fuzzer in the place of the seed:
 * libFuzzer, or whoever calls LLVMFuzzerTestOneInput. */
#define main example_main
#include "example.c"
#undef main

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

static struct pro_sim *world;

static bool world_is_done(void *context)
{
	return is_done(world, context);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size)
{
	struct pro_sim_options options;
	void *session;

	pro_sim_options_init(&options);
	options.choices = bytes;
	options.choices_size = size;
	options.parameter = 2;
	pro_sim_faults_parse("short-read,short-write,small-buffers,delay", &options.faults);
	if (pro_sim_create(&world, &options))
		return 0;
	if (set_up(world, &session) == 0 &&
			pro_sim_run_until(world, world_is_done, session, 300000) == PRO_ETIMEDOUT)
		pro_sim_fail(world, "it is not done after 5 minutes");
	pro_sim_end(world);
	tear_down(world, session);
	if (pro_sim_failure(world)) {
		fprintf(stderr, "%s\n", pro_sim_failure(world));
		abort();
	}
	pro_sim_destroy(world);
	return 0;
}
