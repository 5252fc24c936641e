/* The pipeline of ml-transform: reads a stream, in as many passes as the steps need, changes it record by
 * record, and writes it. */
#ifndef TRANSFORM_PIPELINE_H
#define TRANSFORM_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"
#include "formats/record/references.h"
#include "formats/transform/fit.h"
#include "formats/transform/merge.h"
#include "formats/transform/renumber.h"
#include "formats/transform/rewrite_uri.h"
#include "formats/transform/select.h"
#include "formats/report/summary.h"
#include "formats/transform/workspace.h"

struct wire_writer;
struct jsonl_writer;

enum pipeline_output { PIPELINE_STREAM, PIPELINE_JSON, PIPELINE_NOTHING };

struct pipeline {
    bool from_json, reseal; /* standard input is JSON Lines; reseal: as for jsonl_reader_new() */
    enum pipeline_output output;
    const char *tmpdir;  /* for a copy of the input if it must be read more than once and is not a file */
    struct spill *spill; /* of all that follows; pipeline_free() frees it, too */
    uint64_t head;       /* number of records still to be written */
    /* The steps; NULL: none. pipeline_free() frees them. */
    struct select *select;
    struct merge *merge;
    struct renumber *renumber;
    bool mapped; /* renumber has the ids of a map */
    struct rename *rename;
    struct uri_rewriter *rewriter;
    struct workspace *workspace;
    struct fit *fit;
    struct ref_check *refs;
    struct summary *summary;
    uint64_t records, segments; /* written */
    bool delta;                 /* one of the segments is a delta */
    /* private */
    struct wire_writer *stream;
    struct jsonl_writer *lines; /* at most one is not NULL */
    struct arena made;          /* text of the current record */
    struct buf encoded;
    bool trailer_due; /* a segment has ended, and its trailer is not yet written */
};

/* Reads standard input and writes to standard output. false with e filled, after writing the valid records
 * without a trailer. A stream that does not fit (fit_problems()) gets no trailer either. */
bool pipeline_run(struct pipeline *p, struct err *e);
/* Afterwards, one of them: the output is whole (false with e filled: it cannot be written); it is not, and
 * ends without a trailer. */
bool pipeline_close(struct pipeline *p, struct err *e);
void pipeline_give_up(struct pipeline *p);
void pipeline_free(struct pipeline *p);

#endif
