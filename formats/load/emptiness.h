/* What a database must not contain before loading into it. */
#ifndef FORMATS_LOAD_EMPTINESS_H
#define FORMATS_LOAD_EMPTINESS_H

#include "formats/database/db.h"

/* False with e filled if one of the tables has rows other than those that MLflow itself creates in a new
 * database: an unused Default experiment, the default workspace, leases and locks of its scheduler. */
bool load_check_empty(struct db *db, char *const *tables, struct err *e);
/* False with e filled if a SQLite database without MLflow's tables has any other table: it probably belongs
 * to another program. */
bool load_check_unused(struct db *db, struct err *e);

#endif
