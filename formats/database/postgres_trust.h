/* What other roles have put where the programs work in PostgreSQL, and what would run with the rights of
 * whoever runs the programs. For postgres.c. */
#ifndef FORMATS_DATABASE_POSTGRES_TRUST_H
#define FORMATS_DATABASE_POSTGRES_TRUST_H

#include "formats/database/db.h"

/* Both ask the catalog, and want nothing but pg_catalog in search_path. Trusted are superusers, and the roles
 * that the session's own belongs to. False with e filled, too, where the catalog cannot be read. */

/* False where a function or operator of a role that is not trusted lies in the schema under the name of one
 * of PostgreSQL's and with other arguments: it could be chosen where ours are meant. */
bool postgres_check_schema(struct db *db, const char *schema, struct err *e);

/* False where writing rows into MLflow's tables in the schema would call a function of a role that neither is
 * trusted nor owns the table: by a trigger, a rule, a default, a generated column, a constraint, an index or
 * a column's type, also on a partition, and on a table that a rule writes to. */
bool postgres_check_code(struct db *db, const char *schema, struct err *e);

#endif
