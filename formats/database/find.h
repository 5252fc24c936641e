/* Sources of tracking data in a directory tree: file stores, and SQLite files with MLflow's tables. */
#ifndef FORMATS_DATABASE_FIND_H
#define FORMATS_DATABASE_FIND_H

#include <stdbool.h>

#include "common/err.h"

/* Called for each source, sorted by path (bytes): with a directory's path, or if is_database with the URL of
 * a SQLite file. The string is valid during the call. */
typedef void find_source_fn(void *arg, const char *location, bool is_database);
/* Called for each unreadable directory or file. */
typedef void find_problem_fn(void *arg, const char *path, const char *reason);

/* Searches dir recursively. Links to directories are followed only if they lead to a store; .git is skipped;
 * inside a store only a directory named mlruns is searched. A store with two paths is reported once. Only
 * files named *.db, *.db3, *.sqlite and *.sqlite3 are examined for SQLite. tmpdir: the directory for temporary
 * files that the names of a large directory need; NULL: $TMPDIR or /var/tmp. false with e filled: dir itself
 * cannot be read. */
bool find_sources(const char *dir, const char *tmpdir, find_source_fn *found, find_problem_fn *problem,
                  void *arg, struct err *e);

/* The URL by which the programs of this suite open a SQLite file, percent-encoded where necessary;
 * malloc'ed. */
char *find_sqlite_url(const char *path);

#endif
