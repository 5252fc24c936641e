/* Compares a stream with a database: the stream is sorted by kind and identity (common/sort.h), then merged
 * with the database's rows in the same order (fetch.h); pairs are compared field by field (equality.h).
 * Memory is bounded whatever the size and order of the stream. */
#ifndef FORMATS_VERIFY_H
#define FORMATS_VERIFY_H

#include "formats/database/db.h"
#include "formats/database/others.h"
#include "formats/record/record.h"
#include "formats/database/row_cursor.h"
#include "formats/stream/wire.h"
#include "formats/verify/subset.h"

enum verify_verdict { VERIFY_DIFFERENT, VERIFY_MISSING, VERIFY_EXTRA };

struct verify_diff {
    const char *field; /* or the derived column */
    struct value source, target;
};

struct verify_failure {
    enum verify_verdict verdict;
    const struct record *record; /* the source's, or the target's for VERIFY_EXTRA */
    const char *name;            /* its name in reports: "Run abc" */
    const struct row_entry *row; /* of kind row: its values, else NULL */
    int n_row;
    const struct verify_diff *diffs;
    int n_diffs; /* of VERIFY_DIFFERENT */
};

struct verify_options {
    /* unknown tables of the target, compared with the source's rows of such; or NULL */
    const struct others *others;
    /* the target may contain more, and differ where merge rules allow; NULL: all must be equal */
    struct subset *subset;
    bool exact;         /* compare floats bit by bit instead of within a relative 1e-9 */
    const char *tmpdir; /* where the stream is sorted if it does not fit into memory */
    void (*failure)(const struct verify_failure *f,
                    void *arg); /* called for each failure, in the order of the report */
    void *arg;
};

struct verify_result {
    struct {
        uint64_t total;  /* number of distinct entities of source and target */
        uint64_t passed; /* equal in both */
    } kind[KIND_COUNT];
    uint64_t failures;
    uint64_t duplicates; /* points of the source that equal another one in any database */
    uint64_t unplaced;   /* trace metadata that the schema cannot store */
    /* tables of the target with rows of MLflow's own or secrets that the source does not have */
    uint64_t server_tables;
    uint64_t underived;      /* latest metrics not compared because the database is too old */
    uint64_t besides;        /* with a subset: records only in the target */
    uint64_t version_models; /* model_ids of model versions, for which no schema has a column */
    uint64_t spans_left;     /* spans of a file store that the schema has no table for */
    uint64_t spans_besides;  /* spans of the target, if the stream's producer omitted spans on request */
    uint64_t
        spans_located; /* traces for which only the target says that their spans are in it, and they are */
    uint64_t waiting;  /* with a subset: aliases whose version is missing */
    bool default_experiment; /* the target has an unused Default experiment that the source does not have */
};

struct verify;
/* db must live as long as the result. NULL with e filled if it is not an MLflow database. */
struct verify *verify_new(struct db *db, const struct verify_options *o, struct err *e);
/* Begins a segment with this header. */
void verify_segment(struct verify *v, const struct wire_header *h);
/* Adds a record; those without a table (skipped) are ignored. */
bool verify_add(struct verify *v, const struct record *r, struct err *e);
/* After the last record: compares within one read snapshot. A duplicate entity in the stream is an error that
 * names it. false with e filled. */
bool verify_compare(struct verify *v, struct verify_result *out, struct err *e);
void verify_free(struct verify *v); /* NULL is fine */

#endif
