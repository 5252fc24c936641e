/* What SQLite tells of a table in the text of its CREATE statement alone. For the schema's own files. */
#ifndef FORMATS_SCHEMA_TEXT_H
#define FORMATS_SCHEMA_TEXT_H

#include "common/buf.h"
#include "formats/database/sql_text.h"

/* Appends what the definition of a column says beyond type, NOT NULL, DEFAULT and keys: " GENERATED AS (…)",
 * " COLLATE NOCASE", " ON CONFLICT IGNORE". */
void schema_text_column(struct sql_text create, const char *column, struct buf *out);

/* Gives each fact of a table that is no column's: "check (…)"; "definition …" of a constraint that is not
 * held at once, or not by an error; "options WITHOUT ROWID". */
typedef void schema_text_fact(const char *fact, void *arg);
void schema_text_table(struct sql_text create, schema_text_fact *give, void *arg);

#endif
