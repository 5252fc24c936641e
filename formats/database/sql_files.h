/* The queries that lie in .sql files of the rooms: all of them, for tests. formats/embed.sh builds them into
 * the library; each room declares its own in a header of its own.
 *
 * A file can be run by psql or the sqlite3 shell as it stands. Its comment says what its columns are, and its
 * parameters, if it has any: psql's variables, as :'table' (psql -v table=runs), or SQLite's, as :table.
 * db_prepare numbers them in the order in which they first appear. */
#ifndef FORMATS_SQL_FILES_H
#define FORMATS_SQL_FILES_H

#include <stddef.h>

struct sql_file {
    const char *path, *text;
};
extern const struct sql_file sql_files[]; /* ends with a NULL path */

#endif
