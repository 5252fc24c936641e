/* Records into a database: each becomes a row by its kind's line in entities.def, the rows of all kinds are
 * sorted by table and primary key (common/sort.h), and each table is filled in the order of its key. So
 * duplicates meet, keys are appended instead of searched for, and memory stays the same at any size.
 *
 * Nothing is written before load_write(), which the caller calls after the stream's last good trailer,
 * inside a transaction (or on a file that is not yet anybody's); unless the caller lets metric points go to
 * the database as they come. */
#ifndef FORMATS_LOAD_H
#define FORMATS_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/database/db.h"
#include "formats/record/record.h"
#include "formats/stream/wire.h"

enum {
    LOAD_MEMORY = 12 << 20,    /* bytes for rows before they go to a temporary file */
    LOAD_CACHE_KIB = 12 << 10, /* SQLite's page cache while rows are written and indexes made, in KiB */
    LOAD_MAX_MESSAGES = 20,    /* problems that are told one by one */
    LOAD_MAX_ROOTS = 16
};

struct load_options {
    bool drop_unsupported; /* what the target cannot hold is left out and counted */
    const char *tmpdir;    /* for the temporary file; lives as long as the store */
    bool any_ids;          /* experiments get ids of the target's afterwards: theirs need not fit */
};

/* What became of the records. Counts of values or records. */
struct load_report {
    uint64_t rows[KIND_COUNT];      /* distinct entities */
    uint64_t collapsed[KIND_COUNT]; /* points that were there already, to the last bit that a key holds */
    uint64_t dropped[KIND_COUNT];   /* records left out on request */
    uint64_t dropped_values[KIND_COUNT][RECORD_MAX_FIELDS]; /* values left out on request */
    uint64_t problems;
    uint64_t not_repeated;        /* problems that the message of one before them speaks of, too */
    uint64_t skipped;             /* entities that the stream's writer left out */
    uint64_t cut_names;           /* trace names longer than their column */
    uint64_t cut_sessions;        /* session ids longer than their column */
    uint64_t cut_models[2];       /* model names and providers of spans longer than their columns */
    uint64_t converted_metrics;   /* rows of metrics tables whose value lies in a column of a span or trace */
    uint64_t converted_issues;    /* issues that got what MLflow 3.18 keeps of them besides */
    uint64_t unfinished_jobs;     /* jobs that a server would run */
    uint64_t other_counts;        /* of these, token counts that differ from what the trace's metadata say */
    uint64_t usage_losses;        /* token usages and costs of which the columns hold a part only */
    uint64_t model_nans;          /* NaN metrics of logged models, stored as 0.0 */
    uint64_t deleted_experiments; /* of a file store, with their files in its .trash */
    uint64_t undated_deleted_runs; /* deleted runs without a time of deletion */
    uint64_t workspaces;           /* besides the default one */
    uint64_t added_workspaces;     /* of these, without a row in the stream */
    int n_roots;
    /* Where artifacts and spans are, known from the locations of experiments. roots[LOAD_MAX_ROOTS] counts
     * what is in none of the others, and has no uri. */
    struct load_root {
        char uri[512];      /* without a `/` at its end */
        bool from_database; /* a local one is on the machine of the database's server */
        uint64_t locations; /* artifact locations there */
        uint64_t spans;     /* traces whose spans are files there */
        uint64_t archived;  /* traces whose archived spans are there */
    } roots[LOAD_MAX_ROOTS + 1];
};

struct load;

/* Reads the tables of db, a database of revision `rev`. db is not kept. NULL with e filled when a table or
 * column that the revision has is not there. */
struct load *load_new(struct db *db, int rev, const struct load_options *options, struct err *e);
/* In a transaction of db's that has made all its tables and lasts until load_write(): rows of the table of
 * metric points, by far the most, go into it as they come, where the dialect can take that (PostgreSQL) and
 * the table's key is all of its columns, so that rows can only be equal. They need no sorting then, no
 * temporary file, and no time after the stream's end. */
bool load_begin_streamed(struct load *s, struct db *db, struct err *e);
/* A segment of the stream begins. */
void load_segment(struct load *s, const struct wire_header *header);
/* Takes a record. What the target cannot hold is printed and counted as a problem (the first
 * LOAD_MAX_MESSAGES of them); false, with e filled, only when there is no sense in going on. */
bool load_add(struct load *s, const struct record *r, struct err *e);
/* To be asked after the last record: false with e filled when there were problems. */
bool load_check(struct load *s, struct err *e);
/* Writes all rows into db, of the revision and the tables given to load_new(), which are empty. Secondary
 * indexes are made after the rows, by the definitions that they had. Clashes between records, constraints and
 * references to what is not there are problems as above; then it is false, and the caller rolls back. The
 * caller's transaction. */
bool load_write(struct load *s, struct db *db, struct err *e);
/* Makes the ids that MLflow gives go on after those that were stored: PostgreSQL's sequence, which no
 * rollback takes back, so that it comes last before the commit. */
bool load_advance_ids(const struct load *s, struct db *db, struct err *e);
const struct load_report *load_report(const struct load *s);
/* Bytes that went to the temporary file. */
uint64_t load_spilled(const struct load *s);
void load_free(struct load *s); /* NULL is fine */

/* ---- into something else than an empty database */

struct load_sink;
/* All that load_write() does but what is for a new database alone: rows go to the sink (formats/load/sink.h),
 * which answers whether what they refer to is there. The rows of the default workspace and of workspaces
 * without one are the caller's. The sink stays the caller's, too. */
bool load_write_to(struct load *s, struct load_sink *sink, struct err *e);
/* The tables that the sink gets rows of (formats/load/tables.h). */
const struct load_tables *load_tables(const struct load *s);

#endif
