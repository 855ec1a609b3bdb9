#include "http_date.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SECONDS_PER_DAY  86400
#define SECONDS_MAX      INT64_C(253402300799) /* 9999-12-31 23:59:59 */
#define DAYS_PER_4_YEARS 1461

static const char day_names[7][4] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
static const char month_names[12][4] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const int month_days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_of_month(int year, int month)
{
	return month_days[month] + (month == 1 && is_leap(year));
}

/* Days from 1970-01-01 to the first day of `year`. */
static int64_t days_before_year(int year)
{
	int64_t past = year - 1;

	return past * 365 + past / 4 - past / 100 + past / 400 - 719162;
}

const char *http_date_format(int64_t seconds, char text[HTTP_DATE_SIZE])
{
	if (seconds < 0)
		seconds = 0;
	if (seconds > SECONDS_MAX)
		seconds = SECONDS_MAX;
	int64_t days = seconds / SECONDS_PER_DAY;
	int second = (int)(seconds % SECONDS_PER_DAY);
	/* A guess that is never too late and a few years early at most. */
	int year = 1970 + (int)(days * 4 / (DAYS_PER_4_YEARS + 1));
	while (days_before_year(year + 1) <= days)
		year++;
	int day = (int)(days - days_before_year(year));
	int month = 0;
	while (day >= days_of_month(year, month))
		day -= days_of_month(year, month++);
	snprintf(text, HTTP_DATE_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT", day_names[days % 7],
			(unsigned)(day + 1) % 100, month_names[month], (unsigned)year % 10000,
			(unsigned)second / 3600 % 100, (unsigned)second / 60 % 60, (unsigned)second % 60);
	return text;
}

struct fields {
	int year;
	int month; /* from 0 */
	int day;
	int hour;
	int minute;
	int second;
};

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool is_letter(char byte)
{
	return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

static int month_of(const char *bytes)
{
	for (int month = 0; month < 12; month++) {
		if (!memcmp(bytes, month_names[month], 3))
			return month;
	}
	return -1;
}

/* Whose digits a mark in a shape stands for; NULL: it stands for something else. */
static int *number_of(struct fields *fields, char mark)
{
	switch (mark) {
	case 'y':
		return &fields->year;
	case 'd':
		return &fields->day;
	case 'h':
		return &fields->hour;
	case 'n':
		return &fields->minute;
	case 's':
		return &fields->second;
	default:
		return NULL;
	}
}

/* Reads bytes that look like `shape`: numbers; `w`, a letter; `_`, a digit of the day or a space;
 * `mmm`, a month; and what stands for itself. */
static bool read_shape(struct fields *fields, const char *shape, const char *bytes, size_t length)
{
	memset(fields, 0, sizeof(*fields));
	if (length != strlen(shape))
		return false;
	for (size_t i = 0; i < length; i++) {
		const char mark = shape[i] == '_' && bytes[i] != ' ' ? 'd' : shape[i];
		int *number = number_of(fields, mark);

		if (number) {
			if (!is_digit(bytes[i]))
				return false;
			*number = *number * 10 + (bytes[i] - '0');
		} else if (mark == 'm') {
			fields->month = month_of(bytes + i);
			if (fields->month < 0)
				return false;
			i += 2;
		} else if (mark != '_' && (mark == 'w' ? !is_letter(bytes[i]) : bytes[i] != mark)) {
			return false;
		}
	}
	return true;
}

/* Reads "Sunday, 06-Nov-94 08:49:37 GMT". No file that is dated like this is from 2070. */
static bool read_short_year(struct fields *fields, const char *bytes, size_t length)
{
	while (length > 0 && is_letter(*bytes)) {
		bytes++;
		length--;
	}
	if (!read_shape(fields, ", dd-mmm-yy hh:nn:ss GMT", bytes, length))
		return false;
	fields->year += fields->year < 70 ? 2000 : 1900;
	return true;
}

static bool is_date(const struct fields *fields)
{
	return fields->year >= 1970 && fields->day >= 1 &&
		   fields->day <= days_of_month(fields->year, fields->month) && fields->hour <= 23 &&
		   fields->minute <= 59 && fields->second <= 60;
}

int64_t http_date_parse(const char *bytes, size_t length)
{
	struct fields fields;

	if (!read_shape(&fields, "www, dd mmm yyyy hh:nn:ss GMT", bytes, length) &&
			!read_shape(&fields, "www mmm _d hh:nn:ss yyyy", bytes, length) &&
			!read_short_year(&fields, bytes, length))
		return HTTP_NO_DATE;
	if (!is_date(&fields))
		return HTTP_NO_DATE;
	int64_t days = days_before_year(fields.year) + fields.day - 1;
	for (int before = 0; before < fields.month; before++)
		days += days_of_month(fields.year, before);
	return days * SECONDS_PER_DAY + fields.hour * 3600 + fields.minute * 60 + fields.second;
}
