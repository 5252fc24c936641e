/* What the SQL of a revision cannot do; for the runner alone. */
#ifndef FORMATS_SCHEMA_DATA_H
#define FORMATS_SCHEMA_DATA_H

#include "schema.h"

struct schema_hook {
    const char *name; /* as `-- call: NAME` has it in migrations/ */
    bool (*run)(struct db *db, struct err *e);
};
extern const struct schema_hook schema_hooks[]; /* ends with a NULL name */

/* The revision whose tables and columns are nearest to the database's own. */
bool schema_nearest(struct db *db, int *order, struct err *e);

#endif
