/* How many completions a second of real time the world makes: printed, not judged, since it says as
 * much of the machine. */
#include "sim_tests.h"

#include <proactor/service_handler.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PAIRS         50u
#define MESSAGE_BYTES 64u
#define COMPLETIONS   UINT64_C(1000000)

/* One end of a pair: it sends back what it gets. */
struct end {
	struct pro_service_handler service;
	struct pro_asynch_read_stream reader;
	struct pro_asynch_write_stream writer;
	struct pro_message_block block;
	unsigned char bytes[MESSAGE_BYTES];
	bool begins;
};

static struct end *end_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct end, service.handler);
}

static void end_read(struct end *end)
{
	pro_message_block_init(&end->block, end->bytes, sizeof(end->bytes));
	if (pro_asynch_read_stream_read(&end->reader, &end->block, 0))
		pro_handler_close(&end->service.handler);
}

static void end_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct end *end = end_from_handler(handler);

	if (result->error || pro_asynch_write_stream_write(&end->writer, result->block))
		pro_handler_close(handler);
}

static void end_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	if (result->error)
		pro_handler_close(handler);
	else
		end_read(end_from_handler(handler));
}

static void end_handle_close(struct pro_handler *handler)
{
	(void)handler;
}

static void end_open(struct pro_service_handler *service)
{
	struct end *end = end_from_handler(&service->handler);

	ck_assert(!pro_asynch_read_stream_open(
			&end->reader, &service->handler, PRO_INVALID_HANDLE, NULL));
	ck_assert(!pro_asynch_write_stream_open(
			&end->writer, &service->handler, PRO_INVALID_HANDLE, NULL));
	if (!end->begins) {
		end_read(end);
		return;
	}
	memset(end->bytes, 'x', sizeof(end->bytes));
	pro_message_block_init_filled(&end->block, end->bytes, sizeof(end->bytes));
	ck_assert(!pro_asynch_write_stream_write(&end->writer, &end->block));
}

static const struct pro_service_handler_vtbl end_vtbl = {
		.handler.handle_read_stream = end_handle_read_stream,
		.handler.handle_write_stream = end_handle_write_stream,
		.handler.handle_close = end_handle_close,
		.open = end_open,
};

static struct end ends[PAIRS][2];

static void open_pairs(struct pro_proactor *proactor)
{
	for (unsigned i = 0; i < PAIRS; i++) {
		pro_handle handles[2];

		ck_assert(!pro_socket_pair(proactor, handles));
		for (unsigned side = 0; side < 2; side++) {
			struct end *end = &ends[i][side];

			end->begins = side == 0;
			ck_assert(!pro_service_handler_init(&end->service, &end_vtbl, proactor));
			pro_service_handler_open(&end->service, handles[side], NULL, NULL);
		}
	}
}

START_TEST(completions_a_second_are_printed)
{
	struct pro_sim_options options;
	struct pro_proactor *proactor;
	struct pro_sim *sim;
	clock_t begin;
	double seconds;

	pro_sim_options_init(&options);
	options.faults = 0;
	options.steps_max = UINT64_MAX;
	ck_assert(!pro_sim_create(&sim, &options));
	ck_assert(!pro_sim_proactor_create(sim, "echo", NULL, &proactor));
	open_pairs(proactor);
	begin = clock();
	/* An assertion of Check costs as much as a completion. */
	while (pro_sim_completions(sim) < COMPLETIONS && pro_sim_step(sim) == 1)
		continue;
	seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
	printf("speed: %.2f million completions and %.2f million steps a second of processor time\n",
			(double)pro_sim_completions(sim) / seconds / 1e6,
			(double)pro_sim_steps(sim) / seconds / 1e6);
	ck_assert_uint_ge(pro_sim_completions(sim), COMPLETIONS);
	ck_assert(!pro_sim_end(sim));
	pro_sim_destroy(sim);
}
END_TEST

TCase *speed_tcase(void)
{
	TCase *tcase = tcase_create("speed");

	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, completions_a_second_are_printed);
	return tcase;
}
