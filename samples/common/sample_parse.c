/* The command line of the sample programs. */
#include "sample.h"

#include <stdio.h>
#include <string.h>

static void print_help(const struct sample_usage *usage)
{
	printf("usage: %s%s%s [OPTION VALUE]...\n%s\n", usage->program, usage->operand ? " " : "",
			usage->operand ? usage->operand_name : "", usage->summary);
	for (size_t i = 0; i < usage->option_count; i++) {
		const struct sample_option *option = &usage->options[i];
		int width = printf("  %s %s", option->name, option->value ? option->value : "");
		printf("%*s%s\n", width < 26 ? 26 - width : 1, "", option->help);
	}
	printf("  --help                  this text\n\nPROACTOR_PORT=epoll or io_uring in the "
		   "environment "
		   "forces that completion port.\n");
}

static int mistake(const struct sample_usage *usage, const char *what, const char *argument)
{
	char quoted[128];

	sample_log("%s %s; see %s --help", what,
			sample_quote(argument, strlen(argument), quoted, sizeof(quoted)), usage->program);
	return SAMPLE_USAGE;
}

/* A decimal number of at most nine digits within the option's bounds. */
static bool parse_number(const struct sample_option *option, const char *text)
{
	size_t length = strlen(text);
	unsigned number = 0;

	if (length == 0 || length > 9 || strspn(text, "0123456789") != length)
		return false;
	for (; *text; text++)
		number = number * 10 + (unsigned)(*text - '0');
	if (number < option->number_min || number > option->number_max)
		return false;
	*option->number = number;
	return true;
}

/* The option that `argument` names; its `=VALUE` in *value, NULL when there is none. */
static const struct sample_option *find_option(
		const struct sample_usage *usage, const char *argument, const char **value)
{
	size_t length = strcspn(argument, "=");

	*value = argument[length] == '=' ? argument + length + 1 : NULL;
	for (size_t i = 0; i < usage->option_count; i++) {
		const char *name = usage->options[i].name;
		if (strlen(name) == length && memcmp(name, argument, length) == 0)
			return &usage->options[i];
	}
	return NULL;
}

static int parse_loops(const struct sample_usage *usage)
{
	const char *fault = usage->loops ? sample_loops_fault(usage->loops) : NULL;

	if (!fault)
		return -1;
	sample_log("%s; see %s --help", fault, usage->program);
	return SAMPLE_USAGE;
}

int sample_parse(const struct sample_usage *usage, int argc, char **argv)
{
	bool has_operand = false;

	sample_set_program(usage->program);
	for (int i = 1; i < argc; i++) {
		const struct sample_option *option;
		const char *value;

		if (strcmp(argv[i], "--help") == 0) {
			print_help(usage);
			return fflush(stdout) || ferror(stdout) ? SAMPLE_FAILED : SAMPLE_OK;
		}
		if (argv[i][0] != '-') {
			if (!usage->operand || has_operand)
				return mistake(usage, "too many arguments:", argv[i]);
			*usage->operand = argv[i];
			has_operand = true;
			continue;
		}
		option = find_option(usage, argv[i], &value);
		if (!option)
			return mistake(usage, "unknown option", argv[i]);
		if (option->flag) {
			if (value)
				return mistake(usage, "no value belongs to", argv[i]);
			*option->flag = true;
			continue;
		}
		if (!value && ++i == argc)
			return mistake(usage, "a value is missing after", argv[i - 1]);
		if (!value)
			value = argv[i];
		if (option->text)
			*option->text = value;
		else if (!parse_number(option, value))
			return mistake(usage, option->name, value);
	}
	if (usage->operand && !has_operand)
		return mistake(usage, "missing argument:", usage->operand_name);
	return parse_loops(usage);
}
