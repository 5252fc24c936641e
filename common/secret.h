/* Passwords in URLs and connection strings, which no message may show. */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

/* Finds the next password of a text at or after `from`: what stands between `:` and `@` before the host of a
 * URL (scheme://user:HERE@host), and the value of a parameter of libpq's that holds a secret (?password=HERE,
 * password = 'HERE'). False: there is none. Needs no memory. */
bool secret_find(const char *text, size_t from, size_t *start, size_t *len);
/* A text that is, or holds, one URL or connection string of whatever form, well-formed or not, with *** for
 * all that may be a password: rather too much than too little. malloc'ed. What was hidden is appended to
 * hidden (NULL: not asked for), each followed by a NUL, as it stands and with its escapes decoded. */
char *secret_mask(const char *text, struct buf *hidden);
/* A message about that text, which may quote parts of it: each quoted part that is part of what was hidden,
 * and each part of 4 bytes or more that is all of it, becomes ***. malloc'ed. */
char *secret_mask_quoted(const char *message, const struct buf *hidden);

#endif
