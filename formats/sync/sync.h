/* Records into a database that others go on writing to: what is new is added, what the source has changed is
 * brought over by the merge rules of entities.def, what only the database knows stays. Nothing is deleted,
 * and where nothing has changed nothing is written.
 *
 * The stream's rows, converted as ml-load converts them, go into temporary tables (stage.c); ids become the
 * target's (identity.c); SELECTs tell what differs (differences.c) before the first row of the target is
 * touched; then what is new and what changes goes over (apply.c), in one transaction or in slices, as the
 * dialect says (dialect.h). */
#ifndef FORMATS_SYNC_H
#define FORMATS_SYNC_H

#include "common/buf.h"
#include "formats/load/load.h"

enum sync_on_conflict {
    SYNC_FAIL,     /* the target stays as it was */
    SYNC_RENAME,   /* an experiment whose name is taken gets another one; other conflicts fail */
    SYNC_RENUMBER, /* a model version whose number is taken gets the next free one; other conflicts fail */
    SYNC_SKIP,     /* what is in conflict is left out, with all that belongs to it */
};

struct sync_options {
    bool prefer_target; /* of what a stream without a base asserts, where both sides differ: the target's
                           stays */
    enum sync_on_conflict on_conflict;
    bool acting;  /* rows of tables that act by themselves (webhooks, jobs …) come, too */
    bool dry_run; /* nothing is written, not even to be rolled back */
    bool json;    /* what the report as JSON tells is kept */
    const char *tmpdir;
    /* state.new of the stream, and what it becomes after the commit; NULL: there is none, or it stays. */
    const char *promote_new, *promote_to;
};

struct sync_counts {
    uint64_t added, changed, equal;
    uint64_t kept;      /* the target's value stays, by the rules */
    uint64_t held_back; /* until the next tick */
    uint64_t purged;    /* in the target, so that a delta does not bring it back */
    uint64_t conflicts; /* itself, or what it belongs to */
};

struct sync;
/* For a database of revision rev with MLflow's tables; db is not kept open for others: nothing else may use
 * it. NULL with e filled. o's texts live as long as the sync. */
struct sync *sync_new(struct db *db, int rev, const struct sync_options *o, struct err *e);
/* A segment begins; a record of it. As load_segment() and load_add(). */
bool sync_segment(struct sync *x, const struct wire_header *h, struct err *e);
bool sync_add(struct sync *x, const struct record *r, struct err *e);
/* After the stream's last good trailer: compares and writes, and commits. False with e filled: nothing was
 * written, but for whole slices of a SQLite database. */
bool sync_run(struct sync *x, struct err *e);
/* After it: the state of the tick becomes that of the next one's base. */
bool sync_promote(struct sync *x, struct err *e);
/* True when something was, or in a dry run would be, written. */
bool sync_changed(const struct sync *x);
const struct sync_counts *sync_counts(const struct sync *x, enum kind k);
/* Conflicts were skipped, or the stream's writer left entities out: exit code 1. */
bool sync_left_out(const struct sync *x);
/* sync_run() has failed because the stream's base is not the target's: a full stream is needed. */
bool sync_refused_base(const struct sync *x);
/* Prints the report. */
void sync_report(const struct sync *x);
/* Appends it as a line of JSON (ml-load(1)). */
void sync_report_json(const struct sync *x, struct buf *out);
void sync_free(struct sync *x); /* NULL is fine; what was not committed is rolled back */

#endif
