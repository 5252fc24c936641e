/* Shared by dump.c, which reads and sorts, and dump_write.c, which writes. */
#ifndef FORMATS_DBDUMP_STAGE_H
#define FORMATS_DBDUMP_STAGE_H

#include "common/buf.h"
#include "common/sort.h"
#include "formats/database/dump.h"
#include "formats/database/fetch.h"
#include "formats/database/left_out.h"

/* Computes the latest metrics of a database older than the table latest_metrics: points come sorted, the
 * latest of each key last. */
struct latest {
    struct wire_decoder *decoder; /* NULL: the database has them */
    bool have;
    struct record best;     /* a metric */
    struct buf run_id, key; /* its texts */
};

/* The parts of the stream, in order. */
enum phase {
    PHASE_EXPERIMENTS,
    PHASE_RUNS,
    PHASE_TRACES,
    PHASE_MODELS,
    PHASE_REGISTRY,
    PHASE_ROWS,
    PHASE_SKIPPED
};

struct dbdump {
    struct db *db;
    const struct dbdump_options *o;
    struct dbdump_result *result;
    struct fetch *fetch;
    struct sorter *stage;
    struct left_out *left_out;
    struct buf key, data;
    struct buf scope; /* SELECT of the selected experiments' ids; empty: all */
    uint64_t id[2];   /* hash of the contents, independent of their order */
    struct latest latest;
};

#endif
