/* What the files of formats/schema/ share. */
#ifndef FORMATS_SCHEMA_INTERNAL_H
#define FORMATS_SCHEMA_INTERNAL_H

#include "formats/schema/schema.h"

/* A line of a revision's text: SQL, or what SQL has no words for (run.c). */
enum schema_part_kind {
    SCHEMA_PART_SQL,
    SCHEMA_PART_CALL, /* -- call: NAME            runs migration_NAME, which the revision's C file defines */
    SCHEMA_PART_UNLESS, /* -- unless: TABLE.COLUMN  leaves the next line out when that column is there */
};
struct schema_part {
    enum schema_part_kind kind;
    const char *at; /* the line; of the others the name */
    size_t len;
};
/* Goes to the next line; false at the end. *text moves past it. */
bool schema_next_part(const char **text, struct schema_part *part);
/* The C that a CALL means; NULL when there is none. */
const struct migration_hook *schema_find_hook(const struct schema_part *part);

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
