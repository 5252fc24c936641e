/* What the schema of a revision is, as databases in memory. */
#ifndef FORMATS_SCHEMA_MODEL_H
#define FORMATS_SCHEMA_MODEL_H

#include "formats/schema/schema.h"

/* An empty SQLite database in memory, and one with the schema of a revision; db_close() it. NULL with e
 * filled. */
struct db *schema_memory(struct err *e);
struct db *schema_model(int rev, struct err *e);
/* The tables of MLflow's schema of a revision, the same in each dialect, ended by NULL; each name and the
 * list are malloc'ed. NULL with e filled. */
char **schema_tables(int rev, struct err *e);

#endif
