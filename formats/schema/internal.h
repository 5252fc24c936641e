/* What the files of formats/schema/ share. */
#ifndef FORMATS_SCHEMA_INTERNAL_H
#define FORMATS_SCHEMA_INTERNAL_H

#include "formats/schema/schema.h"

/* The C of a revision that its SQL calls by that name (run.c); NULL when there is none. */
const struct migration_hook *schema_find_hook(const char *name, size_t len);

/* The revision that alembic_version says, whatever the tables are: 0 without a stamp, SCHEMA_EMPTY without
 * tables. */
bool schema_stamped_rev(struct db *db, int *rev, struct err *e);

/* Appends the statements that stamp a database with revision `to`; no `;` at the end. */
void schema_stamp_sql(int from, int to, struct buf *sql);

/* schema_obstacles for a PostgreSQL database that is not empty. */
bool schema_obstacles_postgres(struct db *db, int from, int to, schema_report *report, void *arg, int *found,
                               struct err *e);

/* The revision whose tables and columns are nearest to the database's own (stamp.c). */
bool schema_nearest(struct db *db, int *rev, struct err *e);

#endif
