/* A file in memory that is read in pieces, as spans_io.read. */
#ifndef TESTS_UNIT_FILESTORE_PIECES_H
#define TESTS_UNIT_FILESTORE_PIECES_H

#include <stddef.h>
#include <string.h>

struct pieces {
    const char *text;
    size_t len, at, piece; /* bytes; piece: bytes of one read */
};

static inline ptrdiff_t pieces_read(struct pieces *p, char *to, size_t room)
{
    size_t n = p->len - p->at < p->piece ? p->len - p->at : p->piece;
    n = n < room ? n : room;
    memcpy(to, p->text + p->at, n);
    p->at += n;
    return (ptrdiff_t)n;
}

#endif
