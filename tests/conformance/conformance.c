/* Runs the table of scenarios on the port that PROACTOR_PORT names.
 *
 *   conformance               all of them
 *   conformance NAME…         those
 *   conformance --list        their names
 *   conformance --table       which scenario shows which statement, as docs/contract.md has it
 *   conformance --check FILE  whether FILE contains that table, with each statement shown on each
 *                             port or a reason why not
 *
 * PROACTOR_TEST_TRACE=FILE appends the normalised traces to FILE; PROACTOR_TEST_LONG=1 runs the
 * heavy numbers. */
#include "conformance.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/os.h"
#include "../support/suite.h"
#include "../support/trace.h"

#define STATEMENTS         36
#define SCENARIO_TIMEOUT_S 120
#define LONG_TIMEOUT_S     1200

static const struct scenario scenarios[] = {
#define SCENARIO_ENTRY(statement, name, needs) {#name, statement, needs, scenario_##name},
		SCENARIO_LIST(SCENARIO_ENTRY)
#undef SCENARIO_ENTRY
};

#define SCENARIOS_COUNT ((int)(sizeof(scenarios) / sizeof(scenarios[0])))

START_TEST(run_scenario)
{
	const struct scenario *scenario = &scenarios[_i];
	struct world world;

	if (world_is_simulated() ? scenario->needs & (NEEDS_SYSTEM | NEEDS_THREADS)
							 : (scenario->needs & NEEDS_ROOT) && !os_is_root()) {
		world_leave_out(scenario->name);
		return;
	}
	world_init(&world, scenario->name);
	if (scenario->needs & NEEDS_SYSTEM)
		world.is_traced = false;
	scenario->run(&world);
	world_fini(&world);
}
END_TEST

static const char *statement_text(unsigned statement)
{
	switch (statement) {
#define STATEMENT_TEXT(number, text)                                                               \
	case number:                                                                                   \
		return text;
		STATEMENT_LIST(STATEMENT_TEXT)
#undef STATEMENT_TEXT
	}
	return "";
}

/* ---- the table ---- */

enum port { PORT_IO_URING, PORT_EPOLL, PORT_IOCP, PORT_SIM, PORTS };

static const char *const port_names[PORTS] = {"io_uring", "epoll", "iocp", "sim"};

static bool runs_on(const struct scenario *scenario, enum port port)
{
	switch (port) {
	case PORT_IOCP:
		return !(scenario->needs & NOT_ON_WINDOWS);
	case PORT_SIM:
		return !(scenario->needs & (NEEDS_SYSTEM | NEEDS_THREADS));
	case PORT_IO_URING:
	case PORT_EPOLL:
	case PORTS:
		break;
	}
	return true;
}

/* What the name of a scenario is marked with: why it is left out somewhere. */
static const char *needs_text(unsigned needs)
{
	if (needs & NOT_ON_WINDOWS)
		return needs & NEEDS_SYSTEM ? " (Linux)" : " (not Windows)";
	if (needs & NEEDS_SYSTEM)
		return " (system)";
	return needs & NEEDS_THREADS ? " (threads)" : "";
}

static const char *open_text(unsigned statement, enum port port)
{
	static const struct {
		unsigned statement;
		const char *port;
		const char *why;
	} entries[] = {
#define OPEN_ENTRY(number, port, why) {number, port, why},
			OPEN_LIST(OPEN_ENTRY)
#undef OPEN_ENTRY
	};

	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		if (entries[i].statement == statement &&
				(!strcmp(entries[i].port, "all") || !strcmp(entries[i].port, port_names[port])))
			return entries[i].why;
	return NULL;
}

static unsigned count_scenarios(unsigned statement, enum port port)
{
	unsigned count = 0;

	for (int i = 0; i < SCENARIOS_COUNT; i++)
		count += scenarios[i].statement == statement && runs_on(&scenarios[i], port);
	return count;
}

static void table_add_row(struct trace *table, unsigned statement)
{
	const char *why = NULL;
	unsigned count = 0;

	trace_printf(table, "| %u | %s |", statement, statement_text(statement));
	for (int i = 0; i < SCENARIOS_COUNT; i++)
		if (scenarios[i].statement == statement)
			trace_printf(table, "%s `%s`%s", count++ ? "," : "", scenarios[i].name,
					needs_text(scenarios[i].needs));
	trace_printf(table, "%s |", count ? "" : " none");
	for (enum port port = PORT_IO_URING; port < PORTS; port++)
		trace_printf(table, " %u |", count_scenarios(statement, port));
	for (enum port port = PORT_IO_URING; port < PORTS; port++) {
		const char *text = open_text(statement, port);

		if (!text || text == why)
			continue;
		trace_printf(table, "%s %s%s%s", why ? ";" : "", count ? port_names[port] : "",
				count ? ": " : "", text);
		why = text;
	}
	trace_printf(table, " |\n");
}

/* Whether each statement has a scenario or a reason on each port, and never both. */
static bool check_statements(void)
{
	bool is_right = true;

	for (unsigned statement = 1; statement <= STATEMENTS; statement++)
		for (enum port port = PORT_IO_URING; port < PORTS; port++)
			if ((count_scenarios(statement, port) > 0) == (open_text(statement, port) != NULL)) {
				fprintf(stderr,
						"statement %u on %s needs a scenario, or a reason why it has none\n",
						statement, port_names[port]);
				is_right = false;
			}
	return is_right;
}

/* The statements in order, then the scenarios taken from ACE's own tests. */
static struct trace make_table(void)
{
	struct trace table = {.text = NULL};

	trace_printf(&table,
			"| | statement | scenarios | io_uring | epoll | iocp | sim | not shown, and why |\n"
			"| --- | --- | --- | --- | --- | --- | --- | --- |\n");
	for (unsigned statement = 1; statement <= STATEMENTS; statement++)
		table_add_row(&table, statement);
	table_add_row(&table, 0);
	return table;
}

static int check_table(const char *path, const char *table)
{
	static char text[1 << 20];
	FILE *file = fopen(path, "r");
	size_t length;

	if (!file) {
		perror(path);
		return EXIT_FAILURE;
	}
	length = fread(text, 1, sizeof(text) - 1, file);
	text[length] = '\0';
	fclose(file);
	if (!check_statements())
		return EXIT_FAILURE;
	if (strstr(text, table))
		return EXIT_SUCCESS;
	fprintf(stderr, "%s is out of date: put in what conformance --table prints\n", path);
	return EXIT_FAILURE;
}

static bool is_wanted(const struct scenario *scenario, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], scenario->name))
			return true;
	return argc < 2;
}

static Suite *make_suite(int argc, char **argv)
{
	Suite *suite = suite_create("conformance");

	for (int i = 0; i < SCENARIOS_COUNT; i++) {
		TCase *tcase;

		if (!is_wanted(&scenarios[i], argc, argv))
			continue;
		tcase = tcase_create(scenarios[i].name);
		tcase_set_timeout(tcase, world_is_long() ? LONG_TIMEOUT_S : SCENARIO_TIMEOUT_S);
		tcase_add_loop_test(tcase, run_scenario, i, i + 1);
		suite_add_tcase(suite, tcase);
	}
	return suite;
}

static int print_port(void)
{
	struct pro_proactor_report report = {.size = sizeof(report)};
	struct pro_proactor_options options;
	struct pro_proactor *proactor;
	char why[256];
	int error;

	pro_proactor_options_init(&options);
	options.sim = world_is_simulated() ? world_make_sim() : NULL;
	error = pro_proactor_create(&proactor, &options, why, sizeof(why));
	if (error) {
		fprintf(stderr, "no proactor: %s: %s\n", pro_error_name(error), why);
		return error;
	}
	pro_proactor_report(proactor, &report);
	printf("conformance on the port %s: %s\n", report.port, report.reason);
	fflush(stdout);
	error = pro_proactor_destroy(proactor);
	pro_sim_destroy(options.sim);
	return error;
}

int main(int argc, char **argv)
{
	static struct trace table; /* kept until the end */

	table = make_table();
	if (argc == 2 && !strcmp(argv[1], "--table"))
		return fputs(table.text, stdout) < 0;
	if (argc == 3 && !strcmp(argv[1], "--check"))
		return check_table(argv[2], table.text);
	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (int i = 0; i < SCENARIOS_COUNT; i++)
			puts(scenarios[i].name);
		return 0;
	}
	trace_fini(&table);
	if (print_port())
		return EXIT_FAILURE;
	return suite_run(make_suite(argc, argv));
}
