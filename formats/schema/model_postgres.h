/* The structure that PostgreSQL gives a database of a revision, derived from the texts in migrations/ alone:
 * no server is asked and nothing is made, so that a role that may only read and a hot standby are judged too.
 * (A schema made and rolled back needs CREATE and a server that writes; a model in SQLite would lose what the
 * dialects differ in: types, defaults, merged keys, covering and partial indexes.) The texts use a small part
 * of SQL; what is not known here is an error, never left out. tests/unit/model_postgres_test.c holds the
 * model of every revision against what a server makes of the same texts. */
#ifndef FORMATS_SCHEMA_MODEL_POSTGRES_H
#define FORMATS_SCHEMA_MODEL_POSTGRES_H

#include "formats/schema/shape.h"

/* The facts of a database of that revision, in the words of schema_shape_read. wide: with 64-bit columns of
 * experiment ids. Free with schema_shape_free; false with e filled when a text of migrations/ cannot be read.
 */
bool schema_model_postgres(int rev, bool wide, struct schema_shape *out, struct err *e);

#endif
