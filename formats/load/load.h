/* Loads records into a database: each becomes a row as described in entities.def, rows are sorted by table
 * and primary key (common/sort.h), and each table is filled in the order of its key. So duplicates are
 * adjacent, index entries are appended, and memory is bounded at any size.
 *
 * Nothing is written before load_write(), which the caller calls after the stream's last valid trailer,
 * inside a transaction (or on a temporary file); except metric points if the caller has them streamed. */
#ifndef FORMATS_LOAD_H
#define FORMATS_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/database/db.h"
#include "formats/record/record.h"
#include "formats/stream/wire.h"

enum {
    LOAD_MEMORY = 12 << 20,    /* bytes of rows before a temporary file is used */
    LOAD_CACHE_KIB = 12 << 10, /* SQLite's page cache while writing rows and creating indexes, in KiB */
    LOAD_MAX_MESSAGES = 20,    /* problems printed one by one */
    LOAD_MAX_ROOTS = 16
};

struct load_options {
    bool drop_unsupported;  /* drop and count what the target cannot hold */
    bool spans_in_database; /* tag traces whose spans MLflow would read back unchanged from the database */
    const char *tmpdir;     /* for the temporary file; must live as long as the load */
    bool any_ids;           /* experiments will get new ids in the target: the stream's need not fit */
};

/* Results of a load: numbers of values or records. */
struct load_report {
    uint64_t rows[KIND_COUNT];      /* distinct entities */
    uint64_t collapsed[KIND_COUNT]; /* points equal to others in all columns of the key */
    uint64_t dropped[KIND_COUNT];   /* records dropped on request */
    uint64_t dropped_values[KIND_COUNT][RECORD_MAX_FIELDS]; /* values dropped on request */
    uint64_t problems;
    uint64_t not_repeated;      /* problems covered by the message of an earlier one */
    uint64_t skipped;           /* entities omitted by the stream's producer */
    uint64_t cut_names;         /* truncated trace names */
    uint64_t cut_sessions;      /* truncated session ids */
    uint64_t cut_models[2];     /* truncated model names and providers of spans */
    uint64_t converted_metrics; /* rows of metrics tables moved to a column of a span or trace */
    uint64_t spans_left;        /* of a file store, for a release whose database has no table for them */
    uint64_t traces_located, traces_not_located; /* with spans, by spans_in_database */
    /* rows added for spans and traces that the stream does not have */
    uint64_t span_costs, token_counts, prompt_links;
    uint64_t converted_issues;     /* issues that got the additions of MLflow 3.18 */
    uint64_t unfinished_jobs;      /* jobs that a server would run */
    uint64_t other_counts;         /* of these, token counts that differ from the trace's metadata */
    uint64_t usage_losses;         /* token usages and costs that the columns cannot hold in full */
    uint64_t version_models;       /* model_ids of model versions, for which there is no column */
    uint64_t model_nans;           /* NaN metrics of logged models, stored as 0.0 */
    uint64_t deleted_experiments;  /* of a file store, with files in its .trash */
    uint64_t undated_deleted_runs; /* deleted runs without a time of deletion */
    uint64_t workspaces;           /* other than the default one */
    uint64_t added_workspaces;     /* of these, without a row in the stream */
    int n_roots;
    /* Where artifacts and spans are, derived from the locations of experiments. roots[LOAD_MAX_ROOTS] counts
     * everything else, and has no uri. */
    struct load_root {
        char uri[512];      /* without a trailing `/` */
        bool from_database; /* if local, it is on the machine of the source's server */
        uint64_t locations; /* artifact locations there */
        uint64_t spans;     /* traces whose spans are files there */
        uint64_t archived;  /* traces whose archived spans are there */
    } roots[LOAD_MAX_ROOTS + 1];
};

struct load;

/* Reads the tables of db, a database of revision `rev`. db is not kept. NULL with e filled if a table or
 * column of the revision is missing. */
struct load *load_new(struct db *db, int rev, const struct load_options *options, struct err *e);
/* Streams the rows of the table of metric points, by far the most, to the database as they come, if the
 * dialect can do that (PostgreSQL) and the table's key has all its columns, so that duplicates are equal.
 * Call it in a transaction of db that has created all tables and lasts until load_write(). It saves sorting,
 * a temporary file, and time after the stream's end. */
bool load_begin_streamed(struct load *s, struct db *db, struct err *e);
/* Begins a segment of the stream. */
void load_segment(struct load *s, const struct wire_header *header);
/* Takes a record. What the target cannot hold is a problem: it is counted, and the first LOAD_MAX_MESSAGES
 * are printed. False with e filled only for errors that end the load. */
bool load_add(struct load *s, const struct record *r, struct err *e);
/* Call it after the last record: false with e filled if there were problems. */
bool load_check(struct load *s, struct err *e);
/* Writes all rows into db, which has the revision and tables given to load_new() and is empty. Secondary
 * indexes are recreated after the rows from their definitions. Conflicting records, violated constraints and
 * dangling references are problems as above; then it returns false, and the caller rolls back. Runs in the
 * caller's transaction. */
bool load_write(struct load *s, struct db *db, struct err *e);
/* Advances PostgreSQL's sequence of experiment ids past the stored ones. Call it last before the commit, as a
 * rollback may not undo it. */
bool load_advance_ids(const struct load *s, struct db *db, struct err *e);
const struct load_report *load_report(const struct load *s);
/* Bytes written to the temporary file. */
uint64_t load_spilled(const struct load *s);
void load_free(struct load *s); /* NULL is fine */

/* -- loading into other targets than an empty database */

struct load_sink;
/* Like load_write(), without what is only for a new database: rows go to the sink (formats/load/sink.h),
 * which also looks up references. The caller handles the row of the default workspace and missing rows of
 * workspaces, and keeps ownership of the sink. */
bool load_write_to(struct load *s, struct load_sink *sink, struct err *e);
/* The tables whose rows the sink gets (formats/load/tables.h). */
const struct load_tables *load_tables(const struct load *s);

#endif
