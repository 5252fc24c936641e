/* What a dialect does for a sync. Nothing outside of the dialects' own files assumes which there are. */
#ifndef FORMATS_SYNC_DIALECT_H
#define FORMATS_SYNC_DIALECT_H

#include "formats/database/db.h"
#include "formats/load/sink.h"

struct sync;
struct sync_table;

struct sync_dialect {
    const char *stage;          /* what comes before the names of temporary tables: "pg_temp." */
    const char *create[2];      /* what comes before and after the name of one in CREATE … AS SELECT */
    const char *distinct;       /* the comparison that takes NULLs as values: "IS DISTINCT FROM" */
    const char *insert_missing; /* what ends an INSERT … SELECT that leaves out rows whose keys are there */
    const char *index[2];       /* what comes before the name and before the table in CREATE INDEX */
    const char
        *derived_dataset; /* 32 hex digits made of the staged dataset's (s) experiment_id, name and digest */
    /* Ends an INSERT … SELECT into latest_metrics so that the greater of two rows stays. */
    void (*add_put_greater)(const struct sync_table *t, struct buf *out);
    const char *day; /* the day, in UTC and as a DATE column has it, of s.ms */
    bool slices;     /* statements take a range of staged rows, so that each is short */
    bool new_ids;    /* every new experiment gets an id of the target's, however the source numbered it */

    /* Before the rows are staged: a transaction and its locks, or a place for temporary tables. */
    bool (*begin)(struct sync *x, struct err *e);
    /* Puts all rows of t, which has the stage's columns, into a table of the stage. */
    enum sink_answer (*fill)(struct sync *x, const char *into, const struct load_table *t,
                             struct load_row_source *from, struct err *e);
    void (*filled)(struct sync *x); /* lets go of what fill() keeps; may be called twice */
    /* All rows are staged: statistics; the point to which a retry of the whole returns. */
    bool (*staged)(struct sync *x, struct err *e);
    bool (*restart)(struct sync *x, struct err *e);
    /* The next id for a new experiment. dry: it will not be used. */
    bool (*next_experiment)(struct sync *x, bool dry, int64_t *id, struct err *e);
    /* Writes what differs, and commits; *again: the target has changed so that the comparison must be made
     * again. */
    bool (*write)(struct sync *x, bool *again, struct err *e);
    /* Nothing is to be written. */
    bool (*end)(struct sync *x, struct err *e);
    /* Compares two columns of a declared type as `distinct` does: how each is to be written ("CAST(%s AS
     * jsonb)"); NULL: as it is. */
    const char *(*comparable)(const char *declared);
};

extern const struct sync_dialect sync_postgres;
extern const struct sync_dialect sync_sqlite;

#endif
