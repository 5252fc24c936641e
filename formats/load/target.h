/* The database that a stream is loaded into: found and looked at, then built aside (a SQLite file that does
 * not exist) or filled in one transaction (an empty database), so that it is loaded as a whole or stays as it
 * was. Functions that can fail return false or NULL with e filled. The steps come in the order in which they
 * stand here. */
#ifndef LOAD_TARGET_H
#define LOAD_TARGET_H

#include <stdbool.h>

#include "common/buf.h"
#include "formats/database/db.h"
#include "formats/load/load.h"

struct load_target_options {
    const char
        *release; /* "X.Y[.Z]", whose schema is made, or must be there; NULL: schema_default_release() */
    const char *tmpdir; /* of temporary files; NULL: that of the target */
    bool dry_run;       /* nothing of the target changes */
    bool wide_ids;      /* PostgreSQL: columns of experiment ids are made 64 bits wide */
    bool beside;        /* the target need not be empty: rows go beside those that it has (formats/sync/) */
};

struct load_target;

/* Parses the URL and finds the file. Sets SQLITE_TMPDIR, which SQLite reads when it opens its first database:
 * call it before any other. o's texts must live as long as the target. */
struct load_target *load_target_new(const char *url, const struct load_target_options *o, struct err *e);
const struct db_url *load_target_url(const struct load_target *t);
/* Opens a database that exists, which must be empty, and chooses the schema: that of the release asked for,
 * or, where none is asked for and there is no schema yet, that of which `why` then says which and why. */
bool load_target_look(struct load_target *t, struct buf *why, struct err *e);
/* The revision that was chosen (schema_revisions[]). */
int load_target_rev(const struct load_target *t);
/* The directory of temporary files; lives as long as t. */
const char *load_target_tmpdir(const struct load_target *t);
/* Makes the file aside where one is to be built; where rows go beside others and another program makes it, waits
 * and takes what that has made. From now on a signal stops a running statement. */
bool load_target_begin(struct load_target *t, struct err *e);
/* Of a target that rows go into beside what it has: makes the tables where there are none, and gives the
 * connection, which stays t's, outside of a transaction and, until something is written, leaves a -wal as it is. In a dry run a database without tables is stood for
 * by a file aside. Instead of the next two. */
struct db *load_target_open_beside(struct load_target *t, struct err *e);
/* What the records go to: load_free() it. An empty PostgreSQL database gets its tables now, and metric
 * points go into them as they come. */
struct load *load_target_store(struct load_target *t, bool drop_unsupported, struct err *e);
/* After the stream's end: writes the rows and commits, unless it is a dry run. A database that was there is
 * locked first, and looked at again. */
bool load_target_write(struct load_target *t, struct load *s, struct err *e);
/* Closes the database and gives a file that was built aside its name. */
bool load_target_publish(struct load_target *t, struct err *e);
/* The URL by which MLflow opens the database, from any directory where that can be said; malloc'ed. */
char *load_target_uri(const struct load_target *t);
/* Frees it at any time: rolls back what was not committed, removes a file that was not published. */
void load_target_free(struct load_target *t);

#endif
