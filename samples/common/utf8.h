/* Characters from outside: strict UTF-8, and what is not to be shown. */
#ifndef SAMPLE_UTF8_H
#define SAMPLE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes the first character into *code. Returns its 1 to 4 bytes; 0 when they are no UTF-8: cut,
 * overlong, a surrogate or beyond U+10FFFF. `length` is at least 1. */
size_t utf8_decode(const unsigned char *bytes, size_t length, uint32_t *code);

/* Whether a character can change what a terminal shows of others: C0 and C1 controls (tab and
 * escape too), DEL, the separators of lines and paragraphs, and those that turn the writing
 * direction. */
bool utf8_is_control(uint32_t code);

#endif
