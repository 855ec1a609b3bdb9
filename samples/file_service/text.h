/* Bytes of a protocol, compared and read without the locale. */
#ifndef FILE_SERVICE_TEXT_H
#define FILE_SERVICE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the bytes are `word`, letters in either case. */
bool text_equal(const char *bytes, size_t length, const char *word);

/* Whether every byte may stand in a token of HTTP (a method, the name of a field), and there is at
 * least one. */
bool text_is_token(const char *bytes, size_t length);

/* Reads decimal digits, nothing else, into `*number`. False when there are none, anything else is
 * among them, or the number is above INT64_MAX. */
bool text_number(const char *bytes, size_t length, uint64_t *number);

/* Drops spaces and tabs at both ends. */
void text_trim(const char **bytes, size_t *length);

/* Takes the next element off a list separated by `separator`, trimmed; false at the end. Elements
 * may be empty. */
bool text_next(
		const char **list, size_t *list_length, char separator, const char **item, size_t *length);

#endif
