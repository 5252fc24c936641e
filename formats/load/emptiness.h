/* What a database must not hold before it is loaded into. */
#ifndef FORMATS_LOAD_EMPTINESS_H
#define FORMATS_LOAD_EMPTINESS_H

#include "formats/database/db.h"

/* False, with e filled, when one of the tables holds what MLflow itself does not put into a fresh database:
 * its untouched Default experiment, the default workspace, leases and locks of its scheduler are no content.
 */
bool load_check_empty(struct db *db, char *const *tables, struct err *e);
/* False when a SQLite database without MLflow's tables has any other table: it is probably somebody else's.
 */
bool load_check_unused(struct db *db, struct err *e);

#endif
