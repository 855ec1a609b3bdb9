/* A session about what comes late: messages written behind a cancel, the end of a stream behind its
 * last message, a handle that comes while its handler closes. One machine, both ends of a pair. */
#include "laws.h"

#include <proactor/asynch_timer.h>
#include <proactor/socket.h>

#include <stdlib.h>
#include <string.h>

#define ROUNDS      12u
#define PARTS       3u
#define PART_BYTES  40u
#define BYTES_TOTAL (ROUNDS * PARTS * PART_BYTES)

struct late {
	struct pro_sim *sim;
	struct pro_handler talker; /* owns one end, and at its end a handle that comes late */
	struct pro_handler listener;
	struct pro_asynch_write_stream writer;
	struct pro_asynch_timer timer;
	struct pro_asynch_timer long_timer;
	struct pro_asynch_read_stream reader;
	struct pro_message_block parts[PARTS];
	size_t lengths[PARTS];
	bool was_cancelled[PARTS]; /* after it was written */
	unsigned ended;
	unsigned rounds;
	bool is_cut;
	bool is_last_try; /* behind that */
	bool is_shut;
	unsigned closed;
	struct pro_message_block in;
	unsigned char in_bytes[PART_BYTES];
	unsigned char out_bytes[BYTES_TOTAL]; /* a part of which any message is */
	size_t expected;
	unsigned char sent[BYTES_TOTAL];
	size_t received;
	unsigned char got[BYTES_TOTAL];
};

static struct late *late_from_talker(struct pro_handler *handler)
{
	return pro_container_of(handler, struct late, talker);
}

static struct late *late_from_listener(struct pro_handler *handler)
{
	return pro_container_of(handler, struct late, listener);
}

static void late_write(struct late *late)
{
	const bool is_last = ++late->rounds == ROUNDS;

	late->ended = 0;
	for (unsigned i = 0; i < PARTS; i++) {
		const size_t from = (size_t)pro_sim_choose(late->sim, BYTES_TOTAL - PART_BYTES);

		late->was_cancelled[i] = false;
		/* In the last round nothing is cancelled: its end comes behind it. */
		if (i > 0 && !is_last && pro_sim_choose(late->sim, 2) == 0) {
			for (unsigned j = 0; j < i; j++)
				late->was_cancelled[j] = true;
			pro_operation_cancel(&late->writer.operation);
		}
		late->lengths[i] = 1 + (size_t)pro_sim_choose(late->sim, PART_BYTES);
		pro_message_block_init_filled(&late->parts[i], late->out_bytes + from, late->lengths[i]);
		if (pro_asynch_write_stream_write(&late->writer, &late->parts[i]))
			pro_sim_fail(late->sim, "a message is refused");
	}
	if (!is_last)
		return;
	late->is_shut = true;
	pro_asynch_write_stream_shutdown(&late->writer);
}

/* Whatever followed would be read as the rest of what was cut. */
static void late_try_behind_a_cut(struct late *late)
{
	late->is_last_try = true;
	late->ended = PARTS - 1;
	pro_message_block_init_filled(&late->parts[PARTS - 1], late->out_bytes, 1);
	if (pro_asynch_write_stream_write(&late->writer, &late->parts[PARTS - 1]))
		pro_sim_fail(late->sim, "a message is refused");
}

static void talker_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	struct late *late = late_from_talker(handler);
	const unsigned i = late->ended++;

	if (late->is_last_try && !pro_handler_is_closing(handler) &&
			(result->error != PRO_EPIPE || result->bytes_transferred > 0))
		pro_sim_fail(
				late->sim, "a message behind one that was cut: %s", pro_error_name(result->error));
	if (i >= PARTS || result->block != &late->parts[i]) {
		pro_sim_fail(late->sim, "a message completed out of order");
		return;
	}
	if (pro_handler_is_closing(handler))
		return;
	if (result->error && !late->was_cancelled[i] && !late->is_cut)
		pro_sim_fail(late->sim, "a message written behind a cancel fails: %s",
				pro_error_name(result->error));
	if (result->error && result->bytes_transferred > 0)
		late->is_cut = true;
	memcpy(late->sent + late->expected,
			pro_message_block_rd_ptr(result->block) - result->bytes_transferred,
			result->bytes_transferred);
	late->expected += result->bytes_transferred;
	if (late->ended < PARTS)
		return;
	if (late->is_cut && !late->is_last_try)
		late_try_behind_a_cut(late);
	else if (late->is_cut || late->is_shut)
		pro_handler_close(handler);
	else
		pro_asynch_timer_schedule(&late->timer, (int64_t)pro_sim_choose(late->sim, 20));
}

static void talker_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct late *late = late_from_talker(handler);
	pro_handle handles[2];

	if (!result->error) {
		late_write(late);
	} else if (result->operation == &late->long_timer.operation &&
			   pro_socket_pair(pro_handler_proactor(handler), handles) == 0) {
		/* It is closing. Whoever forgets the handle leaks it, which the world tells. */
		pro_handler_set_handle(handler, handles[0]);
		pro_proactor_close_handle(pro_handler_proactor(handler), handles[1]);
	}
}

static void talker_handle_close(struct pro_handler *handler)
{
	late_from_talker(handler)->closed++;
}

static const struct pro_handler_vtbl talker_vtbl = {
		.handle_write_stream = talker_handle_write_stream,
		.handle_time_out = talker_handle_time_out,
		.handle_close = talker_handle_close,
};

static void late_read(struct late *late)
{
	pro_message_block_init(&late->in, late->in_bytes, sizeof(late->in_bytes));
	pro_asynch_read_stream_read(&late->reader, &late->in, 0);
}

static void listener_handle_read_stream(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	struct late *late = late_from_listener(handler);

	/* What the talker does not know yet is compared when it does. */
	if (late->received + result->bytes_transferred > BYTES_TOTAL) {
		pro_sim_fail(late->sim, "more bytes came than were sent");
		return;
	}
	memcpy(late->got + late->received, late->in_bytes, result->bytes_transferred);
	late->received += result->bytes_transferred;
	if (!result->error)
		late_read(late);
	else
		pro_handler_close(handler);
}

static void listener_handle_close(struct pro_handler *handler)
{
	late_from_listener(handler)->closed++;
}

static const struct pro_handler_vtbl listener_vtbl = {
		.handle_read_stream = listener_handle_read_stream,
		.handle_close = listener_handle_close,
};

/* ---- the session ---- */

static int late_open(struct late *late, struct pro_proactor *proactor)
{
	pro_handle handles[2];
	int error = pro_socket_pair(proactor, handles);

	if (error)
		return error;
	pro_handler_init(&late->talker, &talker_vtbl, proactor);
	pro_handler_init(&late->listener, &listener_vtbl, proactor);
	pro_handler_set_handle(&late->talker, handles[0]);
	pro_handler_set_handle(&late->listener, handles[1]);
	pro_asynch_write_stream_open(&late->writer, &late->talker, PRO_INVALID_HANDLE, NULL);
	pro_asynch_read_stream_open(&late->reader, &late->listener, PRO_INVALID_HANDLE, NULL);
	pro_asynch_timer_open(&late->timer, &late->talker, NULL);
	pro_asynch_timer_open(&late->long_timer, &late->talker, NULL);
	pro_asynch_timer_schedule(&late->long_timer, INT64_C(86400000));
	late_read(late);
	return pro_asynch_timer_schedule(&late->timer, 1);
}

static int late_set_up(struct pro_sim *sim, void **context)
{
	struct late *late = calloc(1, sizeof(*late));
	struct pro_proactor *proactor;
	uint32_t state = 1;
	int error;

	if (!late)
		return PRO_ENOMEM;
	*context = late;
	late->sim = sim;
	for (unsigned i = 0; i < BYTES_TOTAL; i++) {
		state = state * UINT32_C(1664525) + UINT32_C(1013904223);
		late->out_bytes[i] = (unsigned char)(state >> 24);
	}
	error = pro_sim_proactor_create(sim, "late", NULL, &proactor);
	return error ? error : late_open(late, proactor);
}

static bool late_is_done(struct pro_sim *sim, void *context)
{
	const struct late *late = context;

	if (late->closed < 2)
		return false;
	if (late->received != late->expected || memcmp(late->got, late->sent, late->received) != 0)
		pro_sim_fail(sim, "%u bytes came of %u that were told as sent, or others",
				(unsigned)late->received, (unsigned)late->expected);
	return true;
}

static void late_tear_down(struct pro_sim *sim, void *context)
{
	(void)sim;
	free(context);
}

void late_test_init(struct pro_sim_test *test)
{
	pro_sim_test_init(test);
	/* Nothing that breaks the pair. */
	pro_sim_faults_parse("short-read,short-write,small-buffers,delay,pause", &test->options.faults);
	test->set_up = late_set_up;
	test->is_done = late_is_done;
	test->tear_down = late_tear_down;
}
