/* The dates of HTTP: "Sun, 06 Nov 1994 08:49:37 GMT". */
#ifndef FILE_SERVICE_HTTP_DATE_H
#define FILE_SERVICE_HTTP_DATE_H

#include <stddef.h>
#include <stdint.h>

/* No date, or one that is not understood. */
#define HTTP_NO_DATE INT64_MIN

/* The text of a date, with its NUL. */
#define HTTP_DATE_SIZE 30

/* Prints `seconds` since 1970-01-01 UTC; what lies outside the years 1970 to 9999 becomes the
 * nearer end. Returns `text`. */
const char *http_date_format(int64_t seconds, char text[HTTP_DATE_SIZE]);

/* Reads that form and the two older ones, which RFC 9110 still asks for: "Sunday, 06-Nov-94
 * 08:49:37 GMT" and "Sun Nov  6 08:49:37 1994". */
int64_t http_date_parse(const char *bytes, size_t length);

#endif
