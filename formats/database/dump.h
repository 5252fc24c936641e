/* Dumps a database as a record stream: all rows are read in one snapshot, sorted into the stream's order
 * (common/sort.h) and written. */
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
    bool registry;     /* include the model registry although experiments are selected */
    bool with_secrets; /* include secrets */
    const char *tmpdir;
    /* Called for each record that violates MLflow's rules (SQLite does not enforce types). */
    void (*problem)(const struct record *r, const char *name, const char *reason, void *arg);
    void *arg;
    const struct others *others; /* unknown tables and columns to dump as well; or NULL */
    bool skip_malformed;         /* replace such records by `skipped` ones */
    struct dbtick *tick;         /* of a sync: see tick.h; or NULL */
};

struct dbdump_result {
    struct wire_counts counts;
    uint64_t problems;
    uint64_t secrets;    /* number of values and rows omitted */
    struct buf foreign;  /* tables that are not MLflow's, separated by ", " */
    struct buf unscoped; /* tables omitted because their rows belong to no experiment, separated by ", " */
};

struct dbdump;
/* Reads everything; nothing is written yet. NULL with e filled. db must live as long as the call, out as long
 * as the result. */
struct dbdump *dbdump_read(struct db *db, const struct dbdump_options *o, struct dbdump_result *out,
                           struct err *e);
/* Fills the stream's header, to which a tick adds its state. */
void dbdump_header(const struct dbdump *d, struct wire_header *h);
/* Writes the header and the records; in a tick after the first only changed ones (after dbtick_settle). The
 * caller writes the trailer. */
bool dbdump_write(struct dbdump *d, const struct wire_header *h, struct wire_writer *w, struct err *e);
void dbdump_free(struct dbdump *d); /* NULL is fine */
void dbdump_result_free(struct dbdump_result *r);

#endif
