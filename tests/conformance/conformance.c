/* Runs the table of scenarios on the port that PROACTOR_PORT names.
 *
 *   conformance               all of them
 *   conformance NAME…         those
 *   conformance --list        their names
 *   conformance --table       which scenario shows which statement, as docs/contract.md has it
 *   conformance --check FILE  whether FILE contains that table
 *
 * PROACTOR_TEST_TRACE=FILE appends the normalised traces to FILE; PROACTOR_TEST_LONG=1 runs the
 * heavy numbers. */
#include "conformance.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/os.h"
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

	if ((scenario->needs & NEEDS_ROOT) && !os_is_root()) {
		printf("%s: left out, needs root\n", scenario->name);
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

static const char *open_text(unsigned statement)
{
	switch (statement) {
#define OPEN_TEXT(number, text)                                                                    \
	case number:                                                                                   \
		return text;
		OPEN_LIST(OPEN_TEXT)
#undef OPEN_TEXT
	}
	return NULL;
}

static void table_add_row(struct trace *table, unsigned statement)
{
	unsigned count = 0;

	trace_printf(table, "| %u | %s |", statement, statement_text(statement));
	for (int i = 0; i < SCENARIOS_COUNT; i++)
		if (scenarios[i].statement == statement)
			trace_printf(table, "%s `%s`%s", count++ ? "," : "", scenarios[i].name,
					scenarios[i].needs ? " (Linux)" : "");
	if (count == 0)
		trace_printf(table, " none");
	trace_printf(table, " | %s |\n", open_text(statement) ? open_text(statement) : "");
}

/* The statements in order, then the scenarios taken from ACE's own tests. */
static struct trace make_table(void)
{
	struct trace table = {.text = NULL};

	trace_printf(&table, "| | statement | scenarios | not shown, and why |\n"
						 "| --- | --- | --- | --- |\n");
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
	struct pro_proactor *proactor;
	char why[256];
	int error = pro_proactor_create(&proactor, NULL, why, sizeof(why));

	if (error) {
		fprintf(stderr, "no proactor: %s: %s\n", pro_error_name(error), why);
		return error;
	}
	pro_proactor_report(proactor, &report);
	printf("conformance on the port %s: %s\n", report.port, report.reason);
	fflush(stdout);
	return pro_proactor_destroy(proactor);
}

int main(int argc, char **argv)
{
	static struct trace table; /* kept until the end */
	SRunner *runner;
	int failures;

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
	runner = srunner_create(make_suite(argc, argv));
	srunner_run_all(runner, CK_ENV);
	failures = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
