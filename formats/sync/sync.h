/* Syncs records into a database that others keep writing to: new records are added, changes in the source are
 * applied by the merge rules of entities.def, and everything else in the database is kept. Nothing is
 * deleted, and if nothing has changed, nothing is written.
 *
 * The stream's rows, converted as by ml-load, go into temporary tables (stage.c); ids are mapped to the
 * target's (identity.c); SELECTs find the differences (differences.c) before the target is touched; then new
 * and changed rows are written (apply.c), in one transaction or in slices, depending on the dialect
 * (dialect.h). */
#ifndef FORMATS_SYNC_H
#define FORMATS_SYNC_H

#include "common/buf.h"
#include "formats/load/load.h"

enum sync_on_conflict {
    SYNC_FAIL,     /* the target is not changed */
    SYNC_RENAME,   /* an experiment whose name is taken is renamed; other conflicts fail */
    SYNC_RENUMBER, /* a model version whose number is taken gets the next free one; other conflicts fail */
    SYNC_SKIP,     /* records in conflict are left out, with everything that belongs to them */
};

struct sync_options {
    bool prefer_target; /* where a stream without a base and the target differ, keep the target's value */
    enum sync_on_conflict on_conflict;
    bool
        spans_in_database; /* as in load_options; only traces that the stream has whole, and that say nothing of it in the target */
    bool acting;  /* include rows of tables that trigger actions (webhooks, jobs …) */
    bool dry_run; /* write nothing, not even to be rolled back */
    bool json;    /* keep what the JSON report lists */
    const char *tmpdir;
    /* state.new of the stream, and its name after the commit; NULL: none, or not promoted. */
    const char *promote_new, *promote_to;
};

struct sync_counts {
    uint64_t added, changed, equal;
    uint64_t kept;      /* the rules keep the target's value */
    uint64_t held_back; /* until the next tick */
    uint64_t purged;    /* purged in the target, and not restored by a delta */
    uint64_t conflicts; /* the record or its parent is in conflict */
};

struct sync;
/* Begins a sync into a database of revision rev with MLflow's tables. Nothing else may use db meanwhile. NULL
 * with e filled. o's texts must live as long as the sync. */
struct sync *sync_new(struct db *db, int rev, const struct sync_options *o, struct err *e);
/* Begin a segment; take a record. Like load_segment() and load_add(). */
bool sync_segment(struct sync *x, const struct wire_header *h, struct err *e);
bool sync_add(struct sync *x, const struct record *r, struct err *e);
/* After the stream's last valid trailer: compares, writes and commits. False with e filled: nothing was
 * written, except complete slices of a SQLite database. */
bool sync_run(struct sync *x, struct err *e);
/* After sync_run(): promotes the tick's state to the base of the next one. */
bool sync_promote(struct sync *x, struct err *e);
/* Whether something was written, or would be in a dry run. */
bool sync_changed(const struct sync *x);
const struct sync_counts *sync_counts(const struct sync *x, enum kind k);
/* Whether conflicts were skipped, or the stream's producer left out entities: exit code 1. */
bool sync_left_out(const struct sync *x);
/* Whether sync_run() has failed because the target is not at the stream's base: a full stream is needed. */
bool sync_refused_base(const struct sync *x);
/* Prints the report. */
void sync_report(const struct sync *x);
/* Appends the report as a line of JSON (ml-load(1)). */
void sync_report_json(const struct sync *x, struct buf *out);
void sync_free(struct sync *x); /* NULL is fine; what was not committed is rolled back */

#endif
