/* The structure of a PostgreSQL database of a revision, derived only from the texts in migrations/. No server
 * is queried and nothing is created, so read-only roles and hot standbys work. (Creating the schema and
 * rolling back would need CREATE and a writable server; a model in SQLite would lose what the dialects differ
 * in: types, defaults, merged keys, covering and partial indexes.) The texts use a small subset of SQL;
 * anything else is an error, never ignored. tests/unit/schema/model_postgres_test.c compares the model of
 * every revision with what a server makes of the same texts. */
#ifndef FORMATS_SCHEMA_MODEL_POSTGRES_H
#define FORMATS_SCHEMA_MODEL_POSTGRES_H

#include "formats/schema/shape.h"

/* The facts of a database of that revision, in the words of schema_shape_read. wide: with 64-bit columns of
 * experiment ids. Free with schema_shape_free; false with e filled if a text of migrations/ cannot be
 * parsed. */
bool schema_model_postgres(int rev, bool wide, struct schema_shape *out, struct err *e);

#endif
