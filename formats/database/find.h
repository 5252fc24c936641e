/* Sources of tracking data in a directory tree: file stores, and SQLite files with MLflow's tables. */
#ifndef FORMATS_DATABASE_FIND_H
#define FORMATS_DATABASE_FIND_H

#include <stdbool.h>

#include "common/err.h"

/* Called for each source in the order of their paths (bytes): a directory's path, or with is_database the URL
 * of a SQLite file. The string lives as long as the call. */
typedef void find_source_fn(void *arg, const char *location, bool is_database);
/* Called for each directory or file that cannot be looked into. */
typedef void find_problem_fn(void *arg, const char *path, const char *reason);

/* Looks through dir and all that lies below it. Links to directories are followed where they lead to a store
 * and nowhere else; .git is passed over; inside a store only a directory named mlruns is looked at. A store
 * that two paths lead to is found once. SQLite files are looked for among those named *.db, *.db3, *.sqlite
 * and *.sqlite3. tmpdir: the directory for the temporary files that the names of a large directory need;
 * NULL: $TMPDIR or /var/tmp. false with e filled: dir itself cannot be read. */
bool find_sources(const char *dir, const char *tmpdir, find_source_fn *found, find_problem_fn *problem,
                  void *arg, struct err *e);

/* The URL by which the programs of this suite open a SQLite file, with escapes where its path needs some;
 * malloc'ed. */
char *find_sqlite_url(const char *path);

#endif
