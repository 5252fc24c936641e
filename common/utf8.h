/* UTF-8 text. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the well-formed UTF-8 sequence at the beginning of text, len > 0; 0 if there is none. */
size_t utf8_sequence(const char *text, size_t len);
/* Whether s is well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF). */
bool utf8_valid(const char *s, size_t len);
/* Number of code points of well-formed UTF-8. */
size_t utf8_length(const char *s, size_t len);
/* Length in bytes of the first n code points. */
size_t utf8_prefix(const char *s, size_t len, size_t n);

/* Number of columns that well-formed UTF-8 takes on a terminal: two for a wide character, none for a combining
 * one. */
int utf8_columns(const char *s);

#endif
