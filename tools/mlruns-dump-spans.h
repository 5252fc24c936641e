/* What mlruns-dump tells of the spans of traces that it did not read. */
#ifndef TOOLS_MLRUNS_DUMP_SPANS_H
#define TOOLS_MLRUNS_DUMP_SPANS_H

#include "formats/filestore/store.h"

struct spans_told {
    uint64_t n[MLRUNS_SPANS_COUNT];
};

/* Counts what has become of the spans of a trace; names it where that is asked for (-v). path is below that of the store. */
void spans_add(struct spans_told *t, const char *store, enum mlruns_spans what, const char *path,
               const char *reason);
/* Prints the counts. */
void spans_print(const struct spans_told *t, const char *store);

#endif
