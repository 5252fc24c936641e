/* Passwords in URLs and connection strings, to be masked in messages. */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

/* Finds the next password in a text at or after `from`: the part between `:` and `@` before the host of a URL
 * (scheme://user:HERE@host), or the value of a secret libpq parameter (?password=HERE, password = 'HERE').
 * Returns false if there is none. Allocates nothing. */
bool secret_find(const char *text, size_t from, size_t *start, size_t *len);
/* Returns, malloc'ed, a text that is or contains one URL or connection string, well-formed or not, with ***
 * for everything that may be a password: rather too much than too little. The masked strings are appended to
 * hidden (NULL: not wanted), each followed by a NUL, both verbatim and with escapes decoded. */
char *secret_mask(const char *text, struct buf *hidden);
/* Returns, malloc'ed, a message about that text that may quote parts of it: each quoted part of a hidden
 * string, and each whole hidden string of 4 bytes or more, becomes ***. */
char *secret_mask_quoted(const char *message, const struct buf *hidden);

#endif
