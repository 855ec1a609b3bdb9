/* The error table: every code has its number, name and text, and no two share one. */
#include <proactor/error.h>

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "support/suite.h"

struct row {
	int code;
	int number;
	const char *name;
	const char *text;
};

static const struct row rows[] = {
#define ROW(name, number, text) {PRO_##name, number, "PRO_" #name, text},
		PRO_ERROR_LIST(ROW)
#undef ROW
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

START_TEST(each_code_has_its_number_name_and_text)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		ck_assert_int_eq(rows[i].code, rows[i].number);
		ck_assert_int_lt(rows[i].code, 0);
		ck_assert_str_eq(pro_error_name(rows[i].code), rows[i].name);
		ck_assert_str_eq(pro_error_text(rows[i].code), rows[i].text);
		ck_assert_uint_gt(strlen(rows[i].text), 0);
	}
}
END_TEST

START_TEST(no_two_codes_share_a_number_or_a_text)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		for (size_t j = i + 1; j < ROW_COUNT; j++) {
			ck_assert_int_ne(rows[i].code, rows[j].code);
			ck_assert_str_ne(rows[i].text, rows[j].text);
		}
	}
}
END_TEST

START_TEST(released_numbers_stay)
{
	ck_assert_int_eq(PRO_EINVAL, -1);
	ck_assert_int_eq(PRO_ECANCELED, -9);
	ck_assert_int_eq(PRO_EOF, -11);
	ck_assert_int_eq(PRO_ENOTSUP, -15);
	ck_assert_int_eq(PRO_ECONNRESET, -20);
	ck_assert_int_eq(PRO_ENOTSOCK, -35);
	ck_assert_int_eq(PRO_EMFILE, -40);
	ck_assert_int_eq(PRO_ENAME, -62);
	ck_assert_int_eq(PRO_EUNKNOWN, -99);
}
END_TEST

START_TEST(success_is_no_error)
{
	ck_assert_int_eq(PRO_OK, 0);
	ck_assert_str_eq(pro_error_name(0), "PRO_OK");
	ck_assert_str_eq(pro_error_text(0), "success");
}
END_TEST

START_TEST(numbers_outside_the_table_are_unknown)
{
	static const int numbers[] = {1, 11, 104, -16, -63, -98, -100, INT32_MIN, INT32_MAX};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		ck_assert_str_eq(pro_error_name(numbers[i]), "PRO_?");
		ck_assert_str_eq(pro_error_text(numbers[i]), "unknown error");
	}
}
END_TEST

START_TEST(version_is_that_of_the_headers)
{
	char text[32];

	ck_assert_str_eq(pro_version(), PRO_VERSION_STRING);
	snprintf(text, sizeof(text), "%d.%d.%d", PRO_VERSION_MAJOR, PRO_VERSION_MINOR,
			PRO_VERSION_PATCH);
	ck_assert_str_eq(pro_version(), text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("error");
	TCase *tcase = tcase_create("table");

	tcase_add_test(tcase, each_code_has_its_number_name_and_text);
	tcase_add_test(tcase, no_two_codes_share_a_number_or_a_text);
	tcase_add_test(tcase, released_numbers_stay);
	tcase_add_test(tcase, success_is_no_error);
	tcase_add_test(tcase, numbers_outside_the_table_are_unknown);
	tcase_add_test(tcase, version_is_that_of_the_headers);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
