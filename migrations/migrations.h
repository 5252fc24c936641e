/* What migrations/embed.sh makes of this folder: the revisions of MLflow's schema, its releases, and what of
 * a revision is written in C, beside its SQL. */
#ifndef MIGRATIONS_H
#define MIGRATIONS_H

#include <stdbool.h>

#include "formats/database/db.h"

struct schema_revision {
    int order;
    const char *revision; /* as alembic_version has it; "base" for 0 */
    const char *title;
    const char *sqlite; /* the statements that lead here from the revision before */
    const char *postgresql;
};
extern const struct schema_revision schema_revisions[]; /* schema_head + 1 of them, by order */
extern const int schema_head;

struct schema_release {
    const char *release;  /* "3.17.2" */
    const char *revision; /* the revision of its databases, the only one that it opens */
    int order;
    bool installable; /* pip can install it with all that it depends on */
};
extern const struct schema_release schema_releases[]; /* by version */
extern const int schema_releases_count;

/* What the SQL of a revision cannot do. `-- call: NAME` in it runs migration_NAME, which the revision's C
 * file defines. */
struct migration_hook {
    bool (*run)(struct db *db, struct err *e);
    const char *rows; /* a query that counts the rows that it converts; NULL: it converts none */
};
struct migration_call {
    const char *name;
    const struct migration_hook *hook;
};
extern const struct migration_call migration_calls[]; /* ends with a NULL name */

#endif
