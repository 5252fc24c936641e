/* Shared by the files of formats/schema/. */
#ifndef FORMATS_SCHEMA_INTERNAL_H
#define FORMATS_SCHEMA_INTERNAL_H

#include "formats/schema/schema.h"

/* A part of a revision's text: SQL, or a directive for what SQL cannot express (run.c). */
enum schema_part_kind {
    SCHEMA_PART_SQL,
    SCHEMA_PART_CALL,   /* -- call: NAME            runs migration_NAME, defined in the revision's C file */
    SCHEMA_PART_UNLESS, /* -- unless: TABLE.COLUMN  skips the next line if that column exists */
};
struct schema_part {
    enum schema_part_kind kind;
    const char *at; /* the SQL, or the directive's name */
    size_t len;
};
/* Reads the next part; false at the end. *text moves past it. */
bool schema_next_part(const char **text, struct schema_part *part);
/* The C function of a CALL; NULL if there is none. */
const struct migration_hook *schema_find_hook(const struct schema_part *part);

/* The revision in alembic_version, regardless of the tables: 0 without a stamp, SCHEMA_EMPTY without
 * tables. */
bool schema_stamped_rev(struct db *db, int *rev, struct err *e);

/* Appends the statements that stamp a database with revision `to`, without a final `;`. */
void schema_stamp_sql(int from, int to, struct buf *sql);

/* schema_obstacles for a PostgreSQL database that is not empty. */
bool schema_obstacles_postgres(struct db *db, int from, int to, schema_report *report, void *arg, int *found,
                               struct err *e);

/* The revision whose tables and columns are most similar to the database's (stamp.c). */
bool schema_nearest(struct db *db, int *rev, struct err *e);

#endif
