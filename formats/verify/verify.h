/* A stream's records held against a database: the stream is staged sorted by kind and identity
 * (common/sort.h), then merged with the database's rows in the same order (fetch.h); what pairs is compared
 * field by field (equality.h). Memory is bounded whatever the size and order of the stream. */
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
    const char *field; /* or the column that MLflow derives */
    struct value source, target;
};

struct verify_failure {
    enum verify_verdict verdict;
    const struct record *record; /* the source's, or the target's for VERIFY_EXTRA */
    const char *name;            /* "Run abc": what reports call it */
    const struct row_entry *row; /* of kind row: its values, else NULL */
    int n_row;
    const struct verify_diff *diffs;
    int n_diffs; /* of VERIFY_DIFFERENT */
};

struct verify_options {
    const struct others
        *others; /* of the target: compared with the source's rows of tables that are not known; or NULL */
    struct subset
        *subset; /* the target may hold more, and what the rules of merging leave to it; NULL: all is equal */
    bool exact;  /* floats bit for bit, instead of within a relative 1e-9 */
    const char *tmpdir; /* where the stream is staged when it does not fit into memory */
    void (*failure)(const struct verify_failure *f,
                    void *arg); /* called for each, in the order of the report */
    void *arg;
};

struct verify_result {
    struct {
        uint64_t total;  /* distinct entities of source and target together */
        uint64_t passed; /* equal in both */
    } kind[KIND_COUNT];
    uint64_t failures;
    uint64_t duplicates;     /* points of the source that are one with another in any database */
    uint64_t unplaced;       /* trace metadata of which the schema keeps nothing */
    uint64_t server_tables;  /* tables with rows in the target that are MLflow's own, or secret, and not the
                                source's */
    uint64_t underived;      /* latest metrics, where the database is too old to have them */
    uint64_t besides;        /* records that the target has besides, of a subset */
    uint64_t waiting;        /* aliases whose version is not there, of a subset */
    bool default_experiment; /* the target has an untouched Default experiment that the source has not */
};

struct verify;
/* db must live as long. NULL with e filled when it is no MLflow database. */
struct verify *verify_new(struct db *db, const struct verify_options *o, struct err *e);
/* The records that follow are of the segment with this header. */
void verify_segment(struct verify *v, const struct wire_header *h);
/* Stages a record; those of no table (skipped) are ignored. */
bool verify_add(struct verify *v, const struct record *r, struct err *e);
/* After the last record: compares within one read snapshot. An entity given twice in the stream is an error
 * that names it. false with e filled. */
bool verify_compare(struct verify *v, struct verify_result *out, struct err *e);
void verify_free(struct verify *v); /* NULL is fine */

#endif
