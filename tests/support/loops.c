#include "loops.h"

#include <check.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include <proactor/socket.h>

#include "os.h"
#include "world.h"

/* ---- a proactor and the threads that run it ---- */

struct pro_proactor *proactor;
struct crew loops;
atomic_long loop_threads[CREW_MAX];
sem_t done;
sem_t side_closed;

struct pro_proactor *create_shared(unsigned concurrency)
{
	struct pro_proactor_options options;
	struct pro_proactor *created;
	char why[256] = "";

	pro_proactor_options_init(&options);
	options.concurrency = concurrency;
	options.is_shared = true;
	ck_assert_msg(pro_proactor_create(&created, &options, why, sizeof(why)) == 0, "%s", why);
	return created;
}

void run_loop(void *context, unsigned number)
{
	loop_threads[number] = os_thread_id();
	ASSERT_OK(pro_proactor_run_event_loop(context));
}

void open_crew(unsigned concurrency, unsigned threads)
{
	ck_assert_int_eq(sem_init(&done, 0, 0), 0);
	ck_assert_int_eq(sem_init(&side_closed, 0, 0), 0);
	proactor = create_shared(concurrency);
	crew_start(&loops, threads, run_loop, proactor);
}

/* Everything is closed; the loops return because of that. */
void close_crew(void)
{
	struct pro_proactor_statistics statistics = {.size = sizeof(statistics)};

	pro_proactor_shutdown(proactor);
	crew_join(&loops);
	ASSERT_OK(pro_proactor_statistics(proactor, &statistics));
	ck_assert_uint_eq(statistics.in_flight, 0);
	ck_assert_uint_eq(statistics.handlers, 0);
	ASSERT_OK(pro_proactor_destroy(proactor));
}

static bool wait_done(uint64_t limit_ms)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += (time_t)(limit_ms / 1000);
	end.tv_nsec += (long)(limit_ms % 1000) * 1000000;
	if (end.tv_nsec >= 1000000000) {
		end.tv_sec++;
		end.tv_nsec -= 1000000000;
	}
	while (sem_timedwait(&done, &end) != 0)
		if (errno != EINTR)
			return false;
	return true;
}

void wait_for(sem_t *semaphore)
{
	while (sem_wait(semaphore) != 0)
		ck_assert_int_eq(errno, EINTR);
}

void await_done(void)
{
	ck_assert(wait_done(world_limit_ms(60000)));
}

void await_asleep(void)
{
	for (unsigned i = 0; i < loops.count; i++) {
		while (loop_threads[i] == 0)
			os_yield();
		os_wait_until_asleep(loop_threads[i]);
	}
}

void handle_close_nothing(struct pro_handler *handler)
{
	(void)handler;
}

/* ---- echoes on a pair ---- */

struct side sides[SIDES];
static atomic_uint echoes;
static unsigned echoes_wanted;

struct side *side_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct side, service.handler);
}

/* The test may be over meanwhile. */
static void assert_started(int error)
{
	if (error != PRO_ECLOSED)
		ASSERT_OK(error);
}

void side_read(struct side *side)
{
	pro_message_block_init(&side->read_block, side->bytes, sizeof(side->bytes));
	assert_started(pro_asynch_read_stream_read(&side->reader, &side->read_block, 0));
}

static void side_write(struct side *side)
{
	static unsigned char word[] = "to and fro";

	pro_message_block_init_filled(&side->write_block, word, sizeof(word));
	assert_started(pro_asynch_write_stream_write(&side->writer, &side->write_block));
}

void side_handle_read(
		struct pro_handler *handler, const struct pro_asynch_read_stream_result *result)
{
	if (result->error == PRO_ECANCELED || result->error == PRO_EOF)
		return;
	ASSERT_OK(result->error);
	if (atomic_fetch_add(&echoes, 1) + 1 == echoes_wanted)
		sem_post(&done);
	if (atomic_load(&echoes) >= echoes_wanted)
		return;
	side_write(side_from_handler(handler));
}

void side_handle_write(
		struct pro_handler *handler, const struct pro_asynch_write_stream_result *result)
{
	if (result->error || pro_handler_is_closing(handler))
		return;
	side_read(side_from_handler(handler));
}

static void side_handle_close(struct pro_handler *handler)
{
	(void)handler;
	sem_post(&side_closed);
}

void side_open(struct pro_service_handler *service)
{
	struct side *side = side_from_handler(&service->handler);
	struct pro_handler *handler = &service->handler;

	ASSERT_OK(pro_asynch_read_stream_open(&side->reader, handler, PRO_INVALID_HANDLE, NULL));
	ASSERT_OK(pro_asynch_write_stream_open(&side->writer, handler, PRO_INVALID_HANDLE, NULL));
	if (side->starts)
		side_write(side);
	else
		side_read(side);
}

static const struct pro_service_handler_vtbl side_vtbl = {
		.handler.handle_read_stream = side_handle_read,
		.handler.handle_write_stream = side_handle_write,
		.handler.handle_close = side_handle_close,
		.open = side_open,
};

void start_echoes(unsigned pairs, unsigned wanted)
{
	atomic_store(&echoes, 0);
	echoes_wanted = wanted;
	for (unsigned i = 0; i < pairs; i++) {
		pro_handle handles[2];

		ASSERT_OK(pro_socket_pair(proactor, handles));
		for (unsigned j = 0; j < 2; j++) {
			struct side *side = &sides[2 * i + j];

			side->starts = j == 1;
			ASSERT_OK(pro_service_handler_init(&side->service, &side_vtbl, proactor));
			pro_service_handler_open(&side->service, handles[j], NULL, NULL);
		}
	}
}
