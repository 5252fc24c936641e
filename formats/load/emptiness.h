/* What a database must not hold before it is loaded into. */
#ifndef FORMATS_CONTENT_H
#define FORMATS_CONTENT_H

#include "formats/database/db.h"

/* A SQLite database in memory with the schema of a revision; its transaction is open. db_close() it. NULL
 * with e filled. */
struct db *content_pattern(int order, struct err *e);
/* The tables of MLflow's schema of a revision, ended by NULL; NULL with e filled on failure. Kept until the
 * program ends. */
char **content_tables(int order, struct err *e);
/* False, with e filled, when one of the tables holds what MLflow itself does not put into a fresh database:
 * its untouched Default experiment, the default workspace, leases and locks of its scheduler are no content.
 */
bool content_check_empty(struct db *db, char *const *tables, struct err *e);
/* False when a SQLite database without MLflow's tables has any other table: it is probably somebody else's.
 */
bool content_check_unused(struct db *db, struct err *e);

#endif
