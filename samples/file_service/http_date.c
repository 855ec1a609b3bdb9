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

/* `count` digits at `bytes`; -1 when one is none. */
static int digits(const char *bytes, int count)
{
	int value = 0;

	for (int i = 0; i < count; i++) {
		if (bytes[i] < '0' || bytes[i] > '9')
			return -1;
		value = value * 10 + (bytes[i] - '0');
	}
	return value;
}

static int month_of(const char *bytes)
{
	for (int month = 0; month < 12; month++) {
		if (!memcmp(bytes, month_names[month], 3))
			return month;
	}
	return -1;
}

int64_t http_date_parse(const char *bytes, size_t length)
{
	static const char shape[] = "ddd, nn mmm nnnn nn:nn:nn GMT";

	if (length != sizeof(shape) - 1)
		return HTTP_NO_DATE;
	for (size_t i = 0; i < length; i++) {
		if (!strchr("dnm", shape[i]) && bytes[i] != shape[i])
			return HTTP_NO_DATE;
	}
	int day = digits(bytes + 5, 2);
	int month = month_of(bytes + 8);
	int year = digits(bytes + 12, 4);
	int hour = digits(bytes + 17, 2);
	int minute = digits(bytes + 20, 2);
	int second = digits(bytes + 23, 2);
	if (month < 0 || year < 1970 || day < 1 || day > days_of_month(year, month) || hour < 0 ||
			hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
		return HTTP_NO_DATE;
	int64_t days = days_before_year(year) + day - 1;
	for (int before = 0; before < month; before++)
		days += days_of_month(year, before);
	return days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
}
