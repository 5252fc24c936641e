/* All queries in .sql files, listed for tests. formats/embed.sh embeds them into the library; each room
 * declares its own in its own header.
 *
 * psql or the sqlite3 shell can run each file as it is. Its comment describes its columns and parameters:
 * psql variables such as :'table' (psql -v table=runs), or SQLite's such as :table. db_prepare numbers them
 * in order of first appearance. */
#ifndef FORMATS_SQL_FILES_H
#define FORMATS_SQL_FILES_H

#include <stddef.h>

struct sql_file {
    const char *path, *text;
};
extern const struct sql_file sql_files[]; /* ends with a NULL path */

#endif
