/* Counts and reports spans that were not read. */
#ifndef TOOLS_MLRUNS_DUMP_SPANS_H
#define TOOLS_MLRUNS_DUMP_SPANS_H

#include "formats/filestore/store.h"

struct span_counts {
    uint64_t n[MLRUNS_SPANS_COUNT];
};

/* Counts spans of a trace that were not read, and with -v says why. path is relative to the store. */
void spans_add(struct span_counts *c, const char *store, enum mlruns_spans what, const char *path,
               const char *reason);
/* Prints the counts. */
void spans_print(const struct span_counts *c, const char *store);

#endif
