/* Builds the schema of a revision as a database in memory. */
#ifndef FORMATS_SCHEMA_MODEL_H
#define FORMATS_SCHEMA_MODEL_H

#include "formats/schema/schema.h"

/* Creates an empty SQLite database in memory, or one with the schema of a revision; db_close() it. NULL with
 * e filled. */
struct db *schema_memory(struct err *e);
struct db *schema_model(int rev, struct err *e);
/* The tables of MLflow's schema of a revision, the same in each dialect, terminated by NULL; each name and
 * the list are malloc'ed. NULL with e filled. */
char **schema_tables(int rev, struct err *e);

#endif
