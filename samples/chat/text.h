/* Text of the chat protocol: strict UTF-8 without control characters, and names. */
#ifndef CHAT_TEXT_H
#define CHAT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum text_verdict { TEXT_GOOD, TEXT_NOT_UTF8, TEXT_HAS_CONTROL };

/* Looks at all characters of a line, which ends before its \n. */
enum text_verdict text_check(const unsigned char *bytes, size_t length);

/* Prints a line from a peer: good characters as they are, the bytes of all others as \xNN. False
 * when `file` can not be written. */
bool text_print(FILE *file, const unsigned char *bytes, size_t length);

/* The longest prefix of good text that has at most `length_max` bytes and cuts no character. */
size_t text_prefix(const char *text, size_t length_max);

#define NAME_BYTES 32

/* 1 to NAME_BYTES letters, digits, `_` and `-` of ASCII: no two names look the same. */
bool text_is_name(const char *text);

/* A letter of ASCII in lower case; the locale has no say. */
char text_lower(char letter);

#endif
