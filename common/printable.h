/* Untrusted text for a terminal or a log: names of files, values, messages of a server. Printable UTF-8 is
 * kept; each byte of anything else becomes \xNN: control characters (C0, DEL and C1: escape sequences,
 * newlines that would forge a message), bytes that are not UTF-8, line separators, and characters that
 * reorder a line (bidirectional marks, embeddings, overrides and isolates). */
#ifndef COMMON_PRINTABLE_H
#define COMMON_PRINTABLE_H

#include <stddef.h>

#include "common/buf.h"

/* Writes the printable form of text into out, of size bytes (at least 1), NUL included; truncates it at a
 * character boundary. Returns the number of bytes of text that were used. Allocates nothing. */
size_t printable_into(char *out, size_t size, const char *text, size_t len);
/* Appends the printable form of text. */
void printable_add(struct buf *out, const char *text, size_t len);

#endif
