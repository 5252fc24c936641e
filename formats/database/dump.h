/* A whole database as a record stream, in the stream's order whatever order its rows lie in: all rows are
 * read within one snapshot, staged sorted (common/sort.h) and written. */
#ifndef FORMATS_DBDUMP_H
#define FORMATS_DBDUMP_H

#include "formats/database/db.h"
#include "formats/database/others.h"
#include "formats/record/record.h"
#include "formats/stream/wire.h"

struct dbdump_options {
    const char *const *experiments; /* ids; none: all */
    size_t n_experiments;
    const char *const *workspaces; /* names; none: all */
    size_t n_workspaces;
    bool registry;     /* the model registry too, when experiments are named */
    bool with_secrets; /* what is secret leaves the database */
    const char *tmpdir;
    /* A record that MLflow's own rules do not allow (SQLite does not enforce types): name and reason. */
    void (*problem)(const struct record *r, const char *name, const char *reason, void *arg);
    void *arg;
    const struct others *others; /* read too, for a revision that is not known; or NULL */
    bool skip_malformed;         /* such records become `skipped` ones */
    struct dbtick *tick;         /* of a sync: see tick.h; or NULL */
};

struct dbdump_result {
    struct wire_counts counts;
    uint64_t problems;
    uint64_t secrets;    /* values and rows that were left out */
    struct buf foreign;  /* tables that are not MLflow's, split by ", " */
    struct buf unscoped; /* tables of which no row belongs to what was selected, split by ", " */
};

struct dbdump;
/* Reads all; nothing is written yet. NULL with e filled. db must live as long as the call, out as long as the
 * result. */
struct dbdump *dbdump_read(struct db *db, const struct dbdump_options *o, struct dbdump_result *out,
                           struct err *e);
/* The header of what was read, to which a tick adds its state. */
void dbdump_header(const struct dbdump *d, struct wire_header *h);
/* Writes header and records, of a tick that is not the first those that changed (dbtick_settle comes before);
 * the trailer is the caller's. */
bool dbdump_write(struct dbdump *d, const struct wire_header *h, struct wire_writer *w, struct err *e);
void dbdump_free(struct dbdump *d); /* NULL is fine */
void dbdump_result_free(struct dbdump_result *r);

#endif
