/* What the SQL of a revision cannot do; for the runner alone. */
#ifndef FORMATS_SCHEMA_DATA_H
#define FORMATS_SCHEMA_DATA_H

#include "formats/schema/schema.h"

struct schema_hook {
    const char *name; /* as `-- call: NAME` has it in migrations/ */
    bool (*run)(struct db *db, struct err *e);
    const char *rows; /* a query that counts the rows that it converts; NULL: it converts none */
};
extern const struct schema_hook schema_hooks[]; /* ends with a NULL name */
/* NULL when there is none of that name. */
const struct schema_hook *schema_find_hook(const char *name, size_t len);

/* The order that alembic_version says, whatever the tables are: 0 without a stamp, SCHEMA_EMPTY without
 * tables. */
bool schema_stamped_order(struct db *db, int *order, struct err *e);

/* Appends the statements that stamp a database with revision `to`; no `;` at the end. */
void schema_stamp_sql(int from, int to, struct buf *sql);

/* What users have made on tables that a revision rebuilds (on SQLite): kept while it runs. */
struct schema_extras {
    struct schema_extra {
        char *name;
        char *sql;
    } * items;
    int n;
};
/* Zero-initialises x; false when a user's column would be lost. Free it in either case. */
bool schema_extras_save(struct db *db, int order, struct schema_extras *x, struct err *e);
bool schema_extras_restore(struct db *db, const struct schema_extras *x, struct err *e);
void schema_extras_free(struct schema_extras *x);
/* Calls fn with queries that count what schema_extras_save would keep or refuse for that order, each with
 * words for what it counts; none when the revision rebuilds no table. */
void schema_extras_each(int order, void (*fn)(const char *query, const char *words, void *arg), void *arg);

/* schema_obstacles for a PostgreSQL database that is not empty. */
bool schema_obstacles_postgres(struct db *db, int from, int to, schema_report *report, void *arg, int *found,
                               struct err *e);

/* The revision whose tables and columns are nearest to the database's own. */
bool schema_nearest(struct db *db, int *order, struct err *e);

#endif
