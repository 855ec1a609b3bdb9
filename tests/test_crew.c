/* Several threads run one loop: how many are in callbacks, which order they keep, who is woken.
 * What becomes of those that block: test_crew_blocking.c; how it ends: test_crew_ends.c. */
#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <proactor/asynch_timer.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/socket.h>

#include "support/crew.h"
#include "support/loops.h"
#include "support/os.h"
#include "support/suite.h"
#include "support/world.h"

#define THREADS 8

/* ---- how many are in callbacks ---- */

struct spinner {
	struct pro_handler handler; /* first */
	atomic_bool is_inside;
};

static struct spinner spinners[32];
static atomic_uint inside;
static atomic_uint inside_most;
static atomic_uint spins;
static unsigned spins_wanted;

static void raise_to(atomic_uint *most, unsigned value)
{
	unsigned old = atomic_load(most);

	while (old < value && !atomic_compare_exchange_weak(most, &old, value))
		;
}

static void spinner_handle_wakeup(struct pro_handler *handler)
{
	struct spinner *spinner = pro_container_of(handler, struct spinner, handler);

	ck_assert(!atomic_exchange(&spinner->is_inside, true));
	raise_to(&inside_most, atomic_fetch_add(&inside, 1) + 1);
	os_yield();
	atomic_fetch_sub(&inside, 1);
	atomic_store(&spinner->is_inside, false);
	if (atomic_fetch_add(&spins, 1) + 1 == spins_wanted)
		sem_post(&done);
	else
		pro_handler_wakeup(handler);
}

static const struct pro_handler_vtbl spinner_vtbl = {
		.handle_wakeup = spinner_handle_wakeup,
		.handle_close = handle_close_nothing,
};

START_TEST(concurrency_is_never_exceeded)
{
	const unsigned concurrency = 1u << _i;

	spins_wanted = world_number(20000, 500000);
	open_crew(concurrency, THREADS);
	for (unsigned i = 0; i < 32; i++) {
		ASSERT_OK(pro_handler_init(&spinners[i].handler, &spinner_vtbl, proactor));
		ASSERT_OK(pro_handler_wakeup(&spinners[i].handler));
	}
	await_done();
	close_crew();
	ck_assert_uint_ge(inside_most, 1);
	ck_assert_uint_le(inside_most, concurrency);
	printf("concurrency %u: %u at once\n", concurrency, inside_most);
}
END_TEST

/* ---- order ---- */

#define POSTERS   4
#define RECEIVERS 3

struct receiver {
	struct pro_handler handler; /* first */
	atomic_bool is_inside;
	unsigned next[POSTERS];
};

struct posting {
	struct pro_message_block block; /* first */
	unsigned poster;
	unsigned number;
};

static struct receiver receivers[RECEIVERS];
static struct posting *postings;
static unsigned posts_each;
static atomic_uint posts_received;

static void receiver_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	struct receiver *receiver = pro_container_of(handler, struct receiver, handler);
	const struct posting *posting = result->act;

	ck_assert(!atomic_exchange(&receiver->is_inside, true));
	ASSERT_OK(result->error);
	ck_assert_uint_eq(receiver->next[posting->poster], posting->number);
	receiver->next[posting->poster] = posting->number + 1;
	atomic_store(&receiver->is_inside, false);
	if (atomic_fetch_add(&posts_received, 1) + 1 == posts_each * POSTERS)
		sem_post(&done);
}

static const struct pro_handler_vtbl receiver_vtbl = {
		.handle_post = receiver_handle_post,
		.handle_close = handle_close_nothing,
};

static void post_many(void *context, unsigned poster)
{
	(void)context;
	for (unsigned i = 0; i < posts_each; i++) {
		struct posting *posting = &postings[poster * posts_each + i];

		posting->poster = poster;
		posting->number = i / RECEIVERS;
		pro_message_block_init(&posting->block, NULL, 0);
		ASSERT_OK(pro_handler_post(&receivers[i % RECEIVERS].handler, &posting->block, posting));
	}
}

START_TEST(posts_keep_the_order_of_each_poster_and_do_not_overlap)
{
	struct crew posters;

	posts_each = world_number(25000, 250000);
	postings = calloc((size_t)posts_each * POSTERS, sizeof(*postings));
	ck_assert_ptr_nonnull(postings);
	open_crew(4, THREADS);
	for (unsigned i = 0; i < RECEIVERS; i++)
		ASSERT_OK(pro_handler_init(&receivers[i].handler, &receiver_vtbl, proactor));
	crew_start(&posters, POSTERS, post_many, NULL);
	crew_join(&posters);
	await_done();
	close_crew();
	free(postings);
}
END_TEST

/* ---- what a dump may look at ---- */

static struct pro_message_block told_posts[3];
static unsigned told_count;
static sem_t dump_ended;
static char dump_of_handler[256];

static void keep_handler_line(void *context, const char *line)
{
	(void)context;
	if (!line)
		sem_post(&dump_ended);
	else if (strncmp(line, "handler ", strlen("handler ")) == 0)
		snprintf(dump_of_handler, sizeof(dump_of_handler), "%s", line);
}

static void teller_handle_wakeup(struct pro_handler *handler)
{
	for (unsigned i = 0; i < 3; i++)
		ASSERT_OK(pro_handler_post(handler, &told_posts[i], NULL));
}

/* With the first, all have been handed to this thread; another one dumps meanwhile. */
static void teller_handle_post(struct pro_handler *handler, const struct pro_post_result *result)
{
	(void)handler;
	(void)result;
	if (told_count++ > 0)
		return;
	ASSERT_OK(pro_proactor_dump(proactor, keep_handler_line, NULL));
	wait_for(&dump_ended);
	sem_post(&done);
}

static const struct pro_handler_vtbl teller_vtbl = {
		.handle_wakeup = teller_handle_wakeup,
		.handle_post = teller_handle_post,
		.handle_close = handle_close_nothing,
};

START_TEST(a_dump_leaves_alone_what_a_callback_was_given)
{
	struct pro_handler teller;

	ck_assert_int_eq(sem_init(&dump_ended, 0, 0), 0);
	open_crew(2, 3);
	for (unsigned i = 0; i < 3; i++)
		pro_message_block_init(&told_posts[i], NULL, 0);
	ASSERT_OK(pro_handler_init(&teller, &teller_vtbl, proactor));
	ASSERT_OK(pro_handler_wakeup(&teller));
	await_done();
	close_crew();
	ck_assert_msg(strstr(dump_of_handler, " 0 posts"), "%s", dump_of_handler);
	ck_assert_uint_eq(told_count, 3);
}
END_TEST

/* ---- handlers that let their callbacks overlap ---- */

struct overlapping {
	struct pro_handler handler; /* first */
	struct pro_asynch_timer timers[2];
};

static atomic_uint came;
static sem_t both_came;

static void overlapping_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	(void)handler;
	ASSERT_OK(result->error);
	if (atomic_fetch_add(&came, 1) == 0)
		wait_for(&both_came);
	else
		sem_post(&both_came);
	sem_post(&done);
}

static const struct pro_handler_vtbl overlapping_vtbl = {
		.handle_time_out = overlapping_handle_time_out,
		.handle_close = handle_close_nothing,
};

/* The first callback waits for the second, so it takes two threads at once, though both timers are
 * due together and one thread may have taken both. */
START_TEST(callbacks_of_a_concurrent_handler_overlap)
{
	static struct overlapping overlapping;

	sem_init(&both_came, 0, 0);
	open_crew(2, 3);
	ASSERT_OK(pro_handler_init(&overlapping.handler, &overlapping_vtbl, proactor));
	pro_handler_set_concurrent(&overlapping.handler);
	for (unsigned i = 0; i < 2; i++) {
		ASSERT_OK(pro_asynch_timer_open(&overlapping.timers[i], &overlapping.handler, NULL));
		ASSERT_OK(pro_asynch_timer_schedule(&overlapping.timers[i], 0));
	}
	await_done();
	await_done();
	close_crew();
}
END_TEST

struct writing {
	struct pro_handler handler; /* first */
	struct pro_asynch_write_stream writer;
};

static void writing_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	(void)handler;
	ASSERT_OK(result->error);
	sem_post(&done);
}

static const struct pro_handler_vtbl writing_vtbl = {
		.handle_write_stream = writing_handle_write_stream,
		.handle_close = handle_close_nothing,
};

/* Callbacks of a stream of messages: one after the other here, too. */
START_TEST(a_concurrent_handler_writes)
{
	static struct writing writings[2];
	struct pro_message_block blocks[2];
	pro_handle pair[2];

	open_crew(2, 3);
	ASSERT_OK(pro_socket_pair(proactor, pair));
	for (unsigned i = 0; i < 2; i++) {
		struct pro_handler *handler = &writings[i].handler;

		ASSERT_OK(pro_handler_init(handler, &writing_vtbl, proactor));
		pro_handler_set_concurrent(handler);
		pro_handler_set_handle(handler, pair[i]);
		ASSERT_OK(pro_asynch_write_stream_open(
				&writings[i].writer, handler, PRO_INVALID_HANDLE, NULL));
	}
	for (unsigned i = 0; i < 2; i++) {
		pro_message_block_init_filled(&blocks[i], "x", 1);
		ASSERT_OK(pro_asynch_write_stream_write(&writings[i].writer, &blocks[i]));
		await_done();
	}
	close_crew();
}
END_TEST

#define LONG_BYTES (1u << 20)

static unsigned char received_bytes[1 + LONG_BYTES];
static struct pro_message_block short_block, long_block;
static struct pro_handler fence;
static sem_t fence_reached;
static atomic_bool is_reporting;
static unsigned reported;
static int reader_fd;

static void fence_handle_wakeup(struct pro_handler *handler)
{
	(void)handler;
	sem_post(&fence_reached);
}

static const struct pro_handler_vtbl fence_vtbl = {
		.handle_wakeup = fence_handle_wakeup,
		.handle_close = handle_close_nothing,
};

/* Long enough for another thread to call what it may call. */
static void let_others_run(void)
{
	for (unsigned i = 0; i < 3; i++) {
		ASSERT_OK(pro_handler_wakeup(&fence));
		wait_for(&fence_reached);
	}
}

/* While the first message is reported the second one goes out, and another thread learns of it. */
static void ordered_handle_write_stream(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	(void)handler;
	ck_assert(!atomic_exchange(&is_reporting, true));
	ASSERT_OK(result->error);
	ck_assert_ptr_eq(result->block, reported == 0 ? &short_block : &long_block);
	if (reported++ == 0) {
		ck_assert_uint_eq(os_receive(reader_fd, received_bytes, sizeof(received_bytes), 30000),
				sizeof(received_bytes));
		let_others_run();
	}
	atomic_store(&is_reporting, false);
	sem_post(&done);
}

static const struct pro_handler_vtbl ordered_vtbl = {
		.handle_write_stream = ordered_handle_write_stream,
		.handle_close = handle_close_nothing,
};

START_TEST(messages_of_a_concurrent_handler_are_reported_in_order)
{
	static struct writing writing;
	static unsigned char sent_bytes[LONG_BYTES];
	pro_handle pair[2];

	ck_assert_int_eq(sem_init(&fence_reached, 0, 0), 0);
	open_crew(3, 4);
	ASSERT_OK(pro_handler_init(&fence, &fence_vtbl, proactor));
	ASSERT_OK(pro_socket_pair(proactor, pair));
	reader_fd = (int)pair[1];
	ASSERT_OK(pro_handler_init(&writing.handler, &ordered_vtbl, proactor));
	pro_handler_set_concurrent(&writing.handler);
	pro_handler_set_handle(&writing.handler, pair[0]);
	ASSERT_OK(pro_asynch_write_stream_open(
			&writing.writer, &writing.handler, PRO_INVALID_HANDLE, NULL));
	pro_message_block_init_filled(&short_block, "x", 1);
	pro_message_block_init_filled(&long_block, sent_bytes, LONG_BYTES);
	ASSERT_OK(pro_asynch_write_stream_write(&writing.writer, &short_block));
	ASSERT_OK(pro_asynch_write_stream_write(&writing.writer, &long_block));
	await_done();
	await_done();
	pro_proactor_close_handle(proactor, pair[1]);
	close_crew();
}
END_TEST

/* ---- their ends ---- */

static struct pro_handler phoenix;
static atomic_uint phoenix_closes;
static struct pro_handler witness;
static sem_t witness_came;

static void witness_handle_wakeup(struct pro_handler *handler)
{
	(void)handler;
	sem_post(&witness_came);
}

static const struct pro_handler_vtbl witness_vtbl = {
		.handle_wakeup = witness_handle_wakeup,
		.handle_close = handle_close_nothing,
};

static void open_witness(void)
{
	sem_init(&witness_came, 0, 0);
	open_crew(2, 3);
	ASSERT_OK(pro_handler_init(&witness, &witness_vtbl, proactor));
}

/* In a callback: until another thread has been through what was asked for before. */
static void await_witness(void)
{
	ASSERT_OK(pro_handler_wakeup(&witness));
	pro_proactor_begin_blocking(proactor);
	wait_for(&witness_came);
	pro_proactor_end_blocking(proactor);
}

static void close_phoenix(void);

static void phoenix_handle_close(struct pro_handler *handler)
{
	(void)handler;
	if (atomic_fetch_add(&phoenix_closes, 1) == 0) {
		close_phoenix();
		await_witness();
	}
	sem_post(&done);
}

static const struct pro_handler_vtbl phoenix_vtbl = {.handle_close = phoenix_handle_close};

static void close_phoenix(void)
{
	ASSERT_OK(pro_handler_init(&phoenix, &phoenix_vtbl, proactor));
	pro_handler_set_concurrent(&phoenix);
	pro_handler_close(&phoenix);
}

/* The memory of a handler is another's in its handle_close already. */
START_TEST(a_handler_made_anew_while_it_closes_is_closed_too)
{
	open_witness();
	close_phoenix();
	/* The first is over when the witness came, which a shutdown would silence. */
	await_done();
	await_done();
	close_crew();
	ck_assert_uint_eq(phoenix_closes, 2);
}
END_TEST

static struct pro_service_handler hasty;
static atomic_bool hasty_is_open;

static void hasty_open(struct pro_service_handler *service)
{
	pro_handler_close(&service->handler);
	await_witness();
	atomic_store(&hasty_is_open, true);
}

static void hasty_handle_close(struct pro_handler *handler)
{
	(void)handler;
	ck_assert(atomic_load(&hasty_is_open));
	sem_post(&done);
}

static const struct pro_service_handler_vtbl hasty_vtbl = {
		.handler.handle_close = hasty_handle_close,
		.open = hasty_open,
};

static void opener_handle_wakeup(struct pro_handler *handler)
{
	(void)handler;
	ASSERT_OK(pro_service_handler_init(&hasty, &hasty_vtbl, proactor));
	pro_handler_set_concurrent(&hasty.handler);
	pro_service_handler_open(&hasty, PRO_INVALID_HANDLE, NULL, NULL);
}

static const struct pro_handler_vtbl opener_vtbl = {
		.handle_wakeup = opener_handle_wakeup,
		.handle_close = handle_close_nothing,
};

START_TEST(a_concurrent_handler_is_closed_behind_its_open)
{
	static struct pro_handler opener;

	open_witness();
	ASSERT_OK(pro_handler_init(&opener, &opener_vtbl, proactor));
	ASSERT_OK(pro_handler_wakeup(&opener));
	await_done();
	close_crew();
}
END_TEST

/* ---- open among other callbacks ---- */

struct opened {
	struct pro_service_handler service; /* first */
	struct pro_asynch_timer timer;
	atomic_bool is_inside;
	bool opens_itself;
	atomic_uint opens, time_outs;
	sem_t is_called, goes_on;
	pro_handle handle;
};

static struct opened the_opened;

static struct opened *opened_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct opened, service.handler);
}

static void opened_open(struct pro_service_handler *service)
{
	struct opened *opened = opened_from_handler(&service->handler);
	bool was_inside = atomic_exchange(&opened->is_inside, true);

	ck_assert(was_inside == opened->opens_itself);
	ck_assert(pro_service_handler_handle(service) == opened->handle);
	ASSERT_OK(pro_asynch_timer_open(&opened->timer, &service->handler, NULL));
	ASSERT_OK(pro_asynch_timer_schedule(&opened->timer, 0));
	let_others_run();
	atomic_fetch_add(&opened->opens, 1);
	atomic_store(&opened->is_inside, was_inside);
}

static void opened_handle_wakeup(struct pro_handler *handler)
{
	struct opened *opened = opened_from_handler(handler);

	ck_assert(!atomic_exchange(&opened->is_inside, true));
	if (opened->opens_itself) {
		pro_service_handler_open(&opened->service, opened->handle, NULL, NULL);
		ck_assert_uint_eq(opened->opens, 1);
	} else {
		sem_post(&opened->is_called);
		wait_for(&opened->goes_on);
	}
	let_others_run();
	ck_assert_uint_eq(opened->time_outs, 0);
	atomic_store(&opened->is_inside, false);
}

static void opened_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	struct opened *opened = opened_from_handler(handler);

	ASSERT_OK(result->error);
	ck_assert(!atomic_exchange(&opened->is_inside, true));
	ck_assert_uint_eq(opened->opens, 1);
	atomic_fetch_add(&opened->time_outs, 1);
	atomic_store(&opened->is_inside, false);
	sem_post(&done);
}

static const struct pro_service_handler_vtbl opened_vtbl = {
		.handler.handle_wakeup = opened_handle_wakeup,
		.handler.handle_time_out = opened_handle_time_out,
		.handler.handle_close = handle_close_nothing,
		.open = opened_open,
};

static void meanwhile_handle_wakeup(struct pro_handler *handler)
{
	struct opened *opened = &the_opened;

	(void)handler;
	/* Another thread is in its callback, and goes on when this has returned. */
	ASSERT_OK(pro_handler_wakeup(&opened->service.handler));
	wait_for(&opened->is_called);
	pro_service_handler_open(&opened->service, opened->handle, NULL, NULL);
	ck_assert_uint_eq(opened->opens, 0);
	sem_post(&opened->goes_on);
}

static const struct pro_handler_vtbl meanwhile_vtbl = {
		.handle_wakeup = meanwhile_handle_wakeup,
		.handle_close = handle_close_nothing,
};

/* In a callback of its own (0), and while another thread is in one (1). */
START_TEST(open_does_not_overlap_other_callbacks)
{
	struct pro_handler meanwhile;
	pro_handle pair[2];

	ck_assert_int_eq(sem_init(&fence_reached, 0, 0), 0);
	ck_assert_int_eq(sem_init(&the_opened.is_called, 0, 0), 0);
	ck_assert_int_eq(sem_init(&the_opened.goes_on, 0, 0), 0);
	open_crew(3, 4);
	ASSERT_OK(pro_handler_init(&fence, &fence_vtbl, proactor));
	ASSERT_OK(pro_handler_init(&meanwhile, &meanwhile_vtbl, proactor));
	ASSERT_OK(pro_service_handler_init(&the_opened.service, &opened_vtbl, proactor));
	ASSERT_OK(pro_socket_pair(proactor, pair));
	the_opened.handle = pair[0];
	the_opened.opens_itself = _i == 0;
	ASSERT_OK(pro_handler_wakeup(_i == 0 ? &the_opened.service.handler : &meanwhile));
	await_done();
	pro_proactor_close_handle(proactor, pair[1]);
	close_crew();
}
END_TEST

/* ---- echoes ---- */

START_TEST(echoes_go_on_at_any_number_of_threads)
{
	static const unsigned threads[] = {1, 2, 8};

	open_crew(1u << _i, threads[_i]);
	start_echoes(10, world_number(10000, 200000));
	await_done();
	close_crew();
}
END_TEST

/* ---- what a write stream holds, seen from outside ---- */

#define HELD_BLOCKS 20000
#define HELD_BYTES  ((size_t)1024 * 1024)

static struct pro_message_block held_blocks[HELD_BLOCKS];
static unsigned char held_bytes[HELD_BYTES];
static atomic_size_t held_asked;
static atomic_size_t held_accepted;

static void hold_many(void *context, unsigned number)
{
	(void)context;
	(void)number;
	for (unsigned i = 0; i < HELD_BLOCKS; i++) {
		pro_message_block_init_filled(&held_blocks[i], held_bytes, HELD_BYTES);
		atomic_fetch_add(&held_asked, HELD_BYTES);
		ASSERT_OK(pro_asynch_write_stream_write(&sides[0].writer, &held_blocks[i]));
		atomic_fetch_add(&held_accepted, HELD_BYTES);
	}
}

static void held_handle_write(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	(void)handler;
	ASSERT_ERROR(result->error, PRO_ECANCELED);
}

static const struct pro_service_handler_vtbl held_vtbl = {
		.handler.handle_read_stream = side_handle_read,
		.handler.handle_write_stream = held_handle_write,
		.handler.handle_close = handle_close_nothing,
		.open = side_open,
};

/* The peer reads nothing, so what was accepted stays but for what the system buffers, less than
 * half a block; a block that is between the threads must not be missing from the sum. */
START_TEST(queued_bytes_are_never_missing_between_threads)
{
	struct crew writers;
	pro_handle handles[2];

	open_crew(2, 2);
	ASSERT_OK(pro_socket_pair(proactor, handles));
	ASSERT_OK(pro_socket_set_option(proactor, handles[0], PRO_SOCKET_SEND_BUFFER, HELD_BYTES / 8));
	ASSERT_OK(pro_service_handler_init(&sides[0].service, &held_vtbl, proactor));
	pro_service_handler_open(&sides[0].service, handles[0], NULL, NULL);
	pro_asynch_write_stream_set_limit(&sides[0].writer, HELD_BLOCKS * HELD_BYTES);
	crew_start(&writers, 1, hold_many, NULL);
	while (atomic_load(&writers.finished) == 0) {
		size_t accepted = atomic_load(&held_accepted);
		size_t queued = pro_asynch_write_stream_queued(&sides[0].writer);

		ck_assert_uint_ge(queued + HELD_BYTES / 2, accepted);
		ck_assert_uint_le(queued, atomic_load(&held_asked));
	}
	crew_join(&writers);
	close_crew();
	os_close((int)handles[1]);
}
END_TEST

/* ---- wakes ---- */

static uint64_t switches_of_all(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < loops.count; i++)
		sum += os_thread_switches(loop_threads[i]);
	return sum;
}

#define WAKE_ROUNDS 41

static int compare(const void *left, const void *right)
{
	const uint64_t *a = left;
	const uint64_t *b = right;

	return (*a > *b) - (*a < *b);
}

static struct side wakened;

static void wakened_handle_read(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	if (result->error)
		return;
	side_read(side_from_handler(handler));
	sem_post(&done);
}

static const struct pro_service_handler_vtbl wakened_vtbl = {
		.handler.handle_read_stream = wakened_handle_read,
		.handler.handle_write_stream = side_handle_write,
		.handler.handle_close = handle_close_nothing,
		.open = side_open,
};

/* A thread that is woken and finds nothing to do goes to sleep again, which counts. The median,
 * since a busy machine makes an alarm of a late callback. */
START_TEST(one_completion_wakes_one_thread)
{
	uint64_t counts[WAKE_ROUNDS];
	pro_handle handles[2];

	open_crew(2, THREADS);
	ASSERT_OK(pro_socket_pair(proactor, handles));
	ASSERT_OK(pro_service_handler_init(&wakened.service, &wakened_vtbl, proactor));
	pro_service_handler_open(&wakened.service, handles[0], NULL, NULL);
	for (unsigned i = 0; i < WAKE_ROUNDS; i++) {
		uint64_t before;

		await_asleep();
		before = switches_of_all();
		os_send((int)handles[1], "x", 1);
		await_done();
		await_asleep();
		counts[i] = switches_of_all() - before;
	}
	qsort(counts, WAKE_ROUNDS, sizeof(counts[0]), compare);
	printf("switches for a completion: median %llu, most %llu\n",
			(unsigned long long)counts[WAKE_ROUNDS / 2],
			(unsigned long long)counts[WAKE_ROUNDS - 1]);
	pro_proactor_close_handle(proactor, handles[1]);
	close_crew();
	ck_assert_uint_eq(counts[WAKE_ROUNDS / 2], 1);
}
END_TEST

int main(void)
{
	const unsigned seconds_max = world_is_long() ? 600 : 60;
	Suite *suite = suite_create("crew");

	suite_add_case(suite, "concurrency_1", concurrency_is_never_exceeded, 0, seconds_max);
	suite_add_case(suite, "concurrency_2", concurrency_is_never_exceeded, 1, seconds_max);
	suite_add_case(suite, "concurrency_4", concurrency_is_never_exceeded, 2, seconds_max);
	suite_add_case(
			suite, "order", posts_keep_the_order_of_each_poster_and_do_not_overlap, 0, seconds_max);
	suite_add_case(suite, "dump", a_dump_leaves_alone_what_a_callback_was_given, 0, seconds_max);
	suite_add_case(suite, "overlap", callbacks_of_a_concurrent_handler_overlap, 0, seconds_max);
	suite_add_case(suite, "writes", a_concurrent_handler_writes, 0, seconds_max);
	suite_add_case(suite, "reports", messages_of_a_concurrent_handler_are_reported_in_order, 0,
			seconds_max);
	suite_add_case(
			suite, "made_anew", a_handler_made_anew_while_it_closes_is_closed_too, 0, seconds_max);
	suite_add_case(suite, "closed_behind_open", a_concurrent_handler_is_closed_behind_its_open, 0,
			seconds_max);
	suite_add_case(suite, "opens_itself", open_does_not_overlap_other_callbacks, 0, seconds_max);
	suite_add_case(
			suite, "opened_meanwhile", open_does_not_overlap_other_callbacks, 1, seconds_max);
	suite_add_case(
			suite, "echoes_on_1_thread", echoes_go_on_at_any_number_of_threads, 0, seconds_max);
	suite_add_case(
			suite, "echoes_on_2_threads", echoes_go_on_at_any_number_of_threads, 1, seconds_max);
	suite_add_case(
			suite, "echoes_on_8_threads", echoes_go_on_at_any_number_of_threads, 2, seconds_max);
	suite_add_case(
			suite, "queued_bytes", queued_bytes_are_never_missing_between_threads, 0, seconds_max);
	suite_add_case(suite, "wakes", one_completion_wakes_one_thread, 0, seconds_max);
	return suite_run(suite);
}
