/* The database that a stream is loaded into: found and checked, then built under a temporary name (a new
 * SQLite file) or filled in one transaction (an empty database), so that it is loaded completely or
 * unchanged. Functions that can fail return false or NULL with e filled. Call them in the order in which they
 * are declared. */
#ifndef LOAD_TARGET_H
#define LOAD_TARGET_H

#include <stdbool.h>

#include "common/buf.h"
#include "formats/database/db.h"
#include "formats/load/load.h"

struct load_target_options {
    /* "X.Y[.Z]", the release of the schema; NULL: the existing schema, else schema_default_release() */
    const char *release;
    const char *tmpdir; /* of temporary files; NULL: that of the target */
    bool dry_run;       /* do not change the target */
    bool wide_ids;      /* PostgreSQL: widen columns of experiment ids to 64 bits */
    bool beside;        /* the target need not be empty: rows are added to those in it (formats/sync/) */
};

struct load_target;

/* Parses the URL and finds the file. Sets SQLITE_TMPDIR, which SQLite reads when it opens its first database:
 * call it before opening any. o's texts must live as long as the target. */
struct load_target *load_target_new(const char *url, const struct load_target_options *o, struct err *e);
const struct db_url *load_target_url(const struct load_target *t);
/* Opens an existing database, which must be empty, and chooses the schema: that of the requested release,
 * else the existing one, else the default one, in which case `why` says which and why. */
bool load_target_look(struct load_target *t, struct buf *why, struct err *e);
/* The chosen revision (schema_revisions[]). */
int load_target_rev(const struct load_target *t);
/* The directory of temporary files; valid as long as t. */
const char *load_target_tmpdir(const struct load_target *t);
/* Creates the temporary file if one is to be built; with `beside`, if another program is creating the
 * database, waits for that and uses it. From now on signals cancel a running statement. */
bool load_target_begin(struct load_target *t, struct err *e);
/* For a target with `beside`: creates the tables if there are none, and returns the connection, which t owns,
 * outside a transaction; an existing -wal is left alone until something is written. In a dry run a temporary
 * file replaces a database without tables. Used instead of the next two functions. */
struct db *load_target_open_beside(struct load_target *t, struct err *e);
/* Returns the load for the records: load_free() it. In an empty PostgreSQL database the tables are created
 * now, and metric points are streamed into them. */
struct load *load_target_store(struct load_target *t, const struct load_options *options, struct err *e);
/* After the stream's end: writes the rows and commits, unless it is a dry run. An existing database is first
 * locked and checked again. */
bool load_target_write(struct load_target *t, struct load *s, struct err *e);
/* Closes the database and renames a temporary file to its name. */
bool load_target_publish(struct load_target *t, struct err *e);
/* The URL by which MLflow opens the database, independent of the current directory if possible; malloc'ed. */
char *load_target_uri(const struct load_target *t);
/* Frees it at any stage: rolls back what was not committed, removes an unpublished file. */
void load_target_free(struct load_target *t);

#endif
