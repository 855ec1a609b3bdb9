/* The world of one test: a proactor whose memory is counted, its recorders, and a ledger. */
#include "world.h"

#include <check.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <proactor/file.h>
#include <proactor/socket.h>

#include "os.h"
#include "recorder.h"

/* Small runs do one of so many. */
#define SMALL           50
#define SIM_HANDLES_MAX 8192
#define SIM_DISK_BYTES  (UINT64_C(1) << 40)

static _Thread_local unsigned loop_depth;

/* What world_set_hurry said, and when it was seen to be so. */
static struct {
	uint64_t limit_ms;
	bool (*is_on)(void); /* NULL: nobody will ever be */
	uint64_t since_ms;   /* 0: nobody is */
} hurry;

const char *event_kind_text(enum event_kind kind)
{
	static const char *const texts[EVENT_KINDS] = {
#define EVENT_TEXT(name, text) text,
			EVENT_LIST(EVENT_TEXT)
#undef EVENT_TEXT
	};

	return texts[kind];
}

void world_enter_loop(void)
{
	loop_depth++;
}

void world_leave_loop(void)
{
	loop_depth--;
}

bool world_is_in_loop(void)
{
	return loop_depth > 0;
}

static bool is_asked_for(const char *variable)
{
	const char *text = getenv(variable);

	return text && !strcmp(text, "1");
}

bool world_is_long(void)
{
	return is_asked_for("PROACTOR_TEST_LONG");
}

bool world_is_small(void)
{
	return is_asked_for("PROACTOR_TEST_SMALL");
}

bool world_has_small_files(void)
{
	return world_is_small() || is_asked_for("PROACTOR_TEST_SMALL_FILES");
}

unsigned world_number(unsigned usual, unsigned in_long_runs)
{
	if (world_is_small())
		return (usual + SMALL - 1) / SMALL;
	if (world_is_long())
		return in_long_runs;
	return os_is_emulated() ? (usual + 4) / 5 : usual;
}

bool world_is_shared(void)
{
	return is_asked_for("PROACTOR_TEST_SHARED");
}

void world_set_hurry(uint64_t limit_ms, bool (*is_on)(void))
{
	hurry.limit_ms = limit_ms;
	hurry.is_on = is_on;
}

static bool world_is_in_hurry(void)
{
	if (!hurry.is_on || !hurry.is_on())
		hurry.since_ms = 0;
	else if (hurry.since_ms == 0)
		hurry.since_ms = os_now_ms();
	return hurry.since_ms > 0;
}

uint64_t world_limit_ms(uint64_t limit_ms)
{
	const char *most = getenv("PROACTOR_TEST_LIMIT_MS");
	const uint64_t most_ms = most ? strtoull(most, NULL, 10) : UINT64_MAX;

	if (os_is_emulated())
		limit_ms *= 10;
	else if (os_is_sanitized())
		limit_ms *= 3;
	if (limit_ms > most_ms)
		limit_ms = most_ms;
	return world_is_in_hurry() && limit_ms > hurry.limit_ms ? hurry.limit_ms : limit_ms;
}

uint64_t world_limit_end(uint64_t limit_ms)
{
	return os_now_ms() + world_limit_ms(limit_ms);
}

static void world_log(void *context, enum pro_log_level level, const char *text)
{
	(void)context;
	if (level <= PRO_LOG_WARNING && getenv("PROACTOR_TEST_LOG"))
		fprintf(stderr, "log: %s\n", text);
}

bool world_is_simulated(void)
{
	const char *port = getenv("PROACTOR_PORT");

	return port && !strcmp(port, "sim");
}

/* What must never happen, whatever a test does on purpose. */
struct pro_sim *world_make_sim(void)
{
	const char *seed = getenv("PROACTOR_TEST_SEED");
	struct pro_sim_options options;
	struct pro_sim *sim;

	pro_sim_options_init(&options);
	options.seed = seed ? strtoull(seed, NULL, 10) : 1;
	options.faults = 0;
	options.checks = PRO_SIM_BIT(PRO_SIM_CHECK_SEND_BUFFER) |
					 PRO_SIM_BIT(PRO_SIM_CHECK_READ_BUFFER) | PRO_SIM_BIT(PRO_SIM_CHECK_MEMORY);
	options.steps_max = UINT64_MAX;
	options.handles_max = SIM_HANDLES_MAX;
	options.disk_bytes = SIM_DISK_BYTES;
	return pro_sim_create(&sim, &options) ? NULL : sim;
}

void world_init(struct world *world, const char *name)
{
	memset(world, 0, sizeof(*world));
	world->name = name;
	world->is_traced = true;
	test_allocator_init(&world->memory);
	pro_proactor_options_init(&world->options);
	world->options.allocator = &world->memory.allocator;
	world->options.log = world_log;
	world->options.is_shared = world_is_shared();
	if (world_is_simulated()) {
		world->sim = world_make_sim();
		ck_assert_ptr_nonnull(world->sim);
		world->options.sim = world->sim;
	}
	os_settle_threads();
	world->descriptors = os_descriptor_count();
	world->threads = os_thread_count();
	world->dispositions = os_signal_dispositions();
}

void world_open(struct world *world)
{
	const char *wanted = getenv("PROACTOR_PORT");
	char why[256] = "";
	int error = pro_proactor_create(&world->proactor, &world->options, why, sizeof(why));

	ck_assert_msg(error == 0, "no proactor: %s: %s", pro_error_name(error), why);
	if (wanted && *wanted && !world->options.port)
		ck_assert_str_eq(world_port(world), wanted);
}

const char *world_port(const struct world *world)
{
	static struct pro_proactor_report report;

	report.size = sizeof(report);
	ASSERT_OK(pro_proactor_report(world->proactor, &report));
	return report.port;
}

void world_note(struct world *world, const char *format, ...)
{
	char line[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	trace_printf(&world->notes, "  %s\n", line);
}

const char *world_path(struct world *world, const char *name)
{
	static char paths[2][256];
	static unsigned turn;

	if (!world->directory[0] && !world->sim)
		os_make_directory(world->directory, sizeof(world->directory));
	turn ^= 1;
	snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", world->directory, name);
	return paths[turn];
}

pro_handle world_file(struct world *world, const char *name, unsigned flags)
{
	pro_handle handle;

	ASSERT_OK(pro_file_open(world->proactor, world_path(world, name), flags, &handle));
	return handle;
}

void world_make_sparse_file(struct world *world, const char *name, uint64_t size)
{
	pro_handle file = world_file(world, name, PRO_FILE_WRITE | PRO_FILE_CREATE);
	struct recorder *maker = recorder_create(world, "maker");
	struct pro_message_block last;

	maker->is_traced = false;
	ASSERT_OK(pro_asynch_write_file_open(&maker->file_writer, recorder_handler(maker), file, NULL));
	pro_message_block_init_filled(&last, "", 1);
	ASSERT_OK(STARTED(
			maker, WRITE_FILE, pro_asynch_write_file_write(&maker->file_writer, &last, size - 1)));
	RUN_UNTIL(world, maker->count[EVENT_WRITE_FILE]);
	ASSERT_OK(maker->last[EVENT_WRITE_FILE].error);
	ASSERT_OK(pro_proactor_close_handle(world->proactor, file));
}

void world_resize_file(struct world *world, const char *name, uint64_t size)
{
	const char *path = world_path(world, name);

	if (world->sim)
		ASSERT_OK(pro_sim_file_resize(world->sim, path, size));
	else
		os_resize_file(path, size);
}

bool world_limit_disk(struct world *world, uint64_t bytes)
{
	if (!world->sim)
		return os_mount_small(world_path(world, "."), bytes);
	pro_sim_set_disk_bytes(world->sim, bytes);
	return true;
}

void world_free_disk(struct world *world)
{
	if (world->sim)
		pro_sim_set_disk_bytes(world->sim, SIM_DISK_BYTES);
	else
		os_unmount(world_path(world, "."));
}

unsigned world_handle_count(const struct world *world)
{
	return world->sim ? pro_sim_handles(world->sim, world->proactor) : os_descriptor_count();
}

struct pro_addr world_addr(const char *text)
{
	struct pro_addr addr;

	ASSERT_OK(pro_addr_parse(&addr, text));
	return addr;
}

void world_assert_error(int actual, int expected, const char *text, const char *file, int line)
{
	if (actual != expected)
		ck_abort_msg("%s:%d: %s is %d %s, not %s", file, line, text, actual, pro_error_name(actual),
				pro_error_name(expected));
}

void world_step(
		struct world *world, uint64_t end_ms, const char *condition, const char *file, int line)
{
	uint64_t now_ms = os_now_ms();
	uint64_t timeout_ms;
	int callbacks;

	/* What ends later was begun before. */
	if (world_is_in_hurry() && end_ms > now_ms + hurry.limit_ms)
		end_ms = hurry.since_ms + hurry.limit_ms;
	if (now_ms >= end_ms)
		ck_abort_msg("%s:%d: never came true: %s", file, line, condition);
	timeout_ms = end_ms - now_ms;
	/* The hurry may begin where it wakes nobody; not where no other thread is. */
	if (hurry.is_on && !world->sim && timeout_ms > hurry.limit_ms)
		timeout_ms = hurry.limit_ms;
	world_enter_loop();
	callbacks = pro_proactor_handle_events(world->proactor, (int64_t)timeout_ms);
	world_leave_loop();
	if (callbacks < 0)
		ck_abort_msg("%s:%d: handle_events: %s", file, line, pro_error_name(callbacks));
	/* There the whole time is over at once. */
	if (callbacks == 0 && world->sim && !pro_proactor_event_loop_done(world->proactor))
		ck_abort_msg("%s:%d: never came true: %s", file, line, condition);
}

void world_run_ready(struct world *world)
{
	int callbacks;

	world_enter_loop();
	do
		callbacks = pro_proactor_handle_events(world->proactor, 0);
	while (callbacks > 0);
	world_leave_loop();
	ASSERT_OK(callbacks);
}

void world_run_for(struct world *world, uint64_t ms)
{
	world_enter_loop();
	ASSERT_OK(pro_proactor_run_event_loop_for(world->proactor, (int64_t)ms));
	world_leave_loop();
}

struct pro_proactor_statistics world_statistics(const struct world *world)
{
	struct pro_proactor_statistics statistics = {.size = sizeof(statistics)};

	ASSERT_OK(pro_proactor_statistics(world->proactor, &statistics));
	return statistics;
}

static bool world_is_quiet(const struct world *world)
{
	for (const struct recorder *recorder = world->recorders; recorder; recorder = recorder->next)
		if (!recorder->is_closed)
			return false;
	return true;
}

/* Accepted and connected sockets that the test did not take. */
static void world_close_handles(struct world *world)
{
	for (struct recorder *recorder = world->recorders; recorder; recorder = recorder->next)
		while (recorder->handles_count > 0)
			pro_proactor_close_handle(pro_handler_proactor(&recorder->service.handler),
					recorder_take_handle(recorder));
}

void world_close_recorders(struct world *world)
{
	world_close_handles(world);
	for (struct recorder *recorder = world->recorders; recorder; recorder = recorder->next)
		if (!recorder->is_closed)
			recorder_close(recorder);
	pro_proactor_reset_event_loop(world->proactor);
	RUN_UNTIL(world, world_is_quiet(world));
	world_run_ready(world);
}

static void world_check_ledger(const struct world *world)
{
	for (int kind = 0; kind < EVENT_OPEN; kind++) {
		if (kind == EVENT_WAKEUP)
			continue; /* several may be one */
		ck_assert_msg(world->started[kind] == world->completed[kind],
				"%s: %llu started, %llu completed", event_kind_text((enum event_kind)kind),
				(unsigned long long)world->started[kind],
				(unsigned long long)world->completed[kind]);
	}
}

/* Threads that were joined may stand in /proc a moment longer. */
static void world_check_system(const struct world *world)
{
	uint64_t end_ms = world_limit_end(10000);

	while (os_thread_count() > world->threads && os_now_ms() < end_ms)
		os_pause();
	ck_assert_uint_le(os_thread_count(), world->threads);
	if (os_descriptor_count() != world->descriptors)
		os_print_descriptors();
	ck_assert_uint_eq(os_descriptor_count(), world->descriptors);
	ck_assert_msg(os_signal_dispositions() == world->dispositions,
			"the disposition of a signal was changed");
}

void world_leave_out(const char *name)
{
	const char *path = getenv("PROACTOR_TEST_TRACE");
	FILE *file = path ? fopen(path, "a") : NULL;

	if (!file)
		return;
	fprintf(file, "%s\n  left out\n", name);
	fclose(file);
}

/* One section per test; in it the lines of each recorder and kind, which are in order. */
static void world_print_trace(struct world *world)
{
	const char *path = getenv("PROACTOR_TEST_TRACE");
	FILE *file = path && world->is_traced ? fopen(path, "a") : NULL;

	if (!file)
		return;
	fprintf(file, "%s\n%s", world->name, world->notes.text ? world->notes.text : "");
	for (struct recorder *recorder = world->recorders; recorder; recorder = recorder->next)
		for (int kind = 0; kind < EVENT_KINDS; kind++)
			if (recorder->is_traced && recorder->traces[kind].text)
				fprintf(file, "%s", recorder->traces[kind].text);
	fclose(file);
}

static void world_free_recorders(struct world *world)
{
	while (world->recorders) {
		struct recorder *recorder = world->recorders;

		world->recorders = recorder->next;
		for (int kind = 0; kind < EVENT_KINDS; kind++)
			trace_fini(&recorder->traces[kind]);
		free(recorder);
	}
}

static void world_fini_sim(struct world *world)
{
	const char *failure;

	if (!world->sim)
		return;
	failure = pro_sim_failure(world->sim);
	if (failure)
		ck_abort_msg("the simulated world: %s", failure);
	pro_sim_destroy(world->sim);
}

void world_fini(struct world *world)
{
	if (world->proactor) {
		struct pro_proactor_statistics statistics;

		/* The test's part may be over, and its context gone. */
		for (struct recorder *recorder = world->recorders; recorder; recorder = recorder->next)
			recorder->on_event = NULL;
		if (!world_is_quiet(world))
			world_close_recorders(world);
		world_close_handles(world);
		statistics = world_statistics(world);
		ck_assert_uint_eq(statistics.in_flight, 0);
		ck_assert_uint_eq(statistics.started, statistics.completed);
		ck_assert_uint_eq(statistics.lent_blocks_used, 0);
		ASSERT_OK(pro_proactor_destroy(world->proactor));
	}
	world_fini_sim(world);
	world_check_ledger(world);
	ck_assert_int_eq(world->memory.live, 0);
	ck_assert_int_eq(world->memory.live_bytes, 0);
	world_check_system(world);
	world_print_trace(world);
	world_free_recorders(world);
	trace_fini(&world->notes);
	if (world->directory[0])
		os_remove_directory(world->directory);
}
