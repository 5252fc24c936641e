/* Checks for objects of other roles in PostgreSQL that would run with the rights of whoever runs the
 * programs. For postgres.c. */
#ifndef FORMATS_DATABASE_POSTGRES_TRUST_H
#define FORMATS_DATABASE_POSTGRES_TRUST_H

#include "formats/database/db.h"

/* Both query the catalog and require that search_path is pg_catalog only. Trusted are superusers and the
 * roles that the session's role is a member of. If the catalog cannot be read, false with e filled. */

/* False if the schema contains a function or operator of an untrusted role with the name of a built-in one
 * and other argument types: it could be chosen instead of the built-in one. */
bool postgres_check_schema(struct db *db, const char *schema, struct err *e);

/* False if writing to MLflow's tables in the schema would call a function of a role that is neither trusted
 * nor the table's owner: by a trigger, rule, default, generated column, constraint, index or column type,
 * including those of partitions and of tables that a rule writes to. */
bool postgres_check_code(struct db *db, const char *schema, struct err *e);

#endif
