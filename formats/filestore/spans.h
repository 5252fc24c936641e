/* Reads traces.json, the file in a trace's artifact directory that holds its spans: a JSON object with a member `spans`, an array.
 * The file is never in memory as a whole: a span at a time is. */
#ifndef FORMATS_FILESTORE_SPANS_H
#define FORMATS_FILESTORE_SPANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct spans_reader;
struct spans_reader *spans_reader_new(void);
void spans_reader_free(struct spans_reader *r); /* NULL is fine */

/* What reads the file, and what takes the spans. */
struct spans_io {
    /* Reads at most room bytes from where the last call ended; returns their number, 0 at the end, -1 for an error, of which the
     * caller knows more. */
    ptrdiff_t (*read)(void *arg, char *to, size_t room);
    /* Takes the text of a span, as it stands in the file from { to }; it lives until the function returns. False: no more. NULL:
     * the file is checked only. */
    bool (*span)(void *arg, const char *text, size_t len);
    void *arg;
};

enum spans_result {
    SPANS_READ,    /* all of it */
    SPANS_STOPPED, /* by span() */
    SPANS_DAMAGED, /* what says why: "not JSON (byte 17)" */
    SPANS_FAILED,  /* read() has failed */
};

/* Reads a file from its beginning. As Python's json.load would, it refuses what is not one JSON document in UTF-8; besides, what
 * has no array of objects as `spans`. *n: spans; *hash: of all bytes, never 0. Both of a file that is READ. */
enum spans_result spans_read(struct spans_reader *r, const struct spans_io *io, uint64_t *n, uint64_t *hash,
                             char what[80]);

#endif
