/* Reads properties of a table that SQLite shows only in its CREATE statement. Private to formats/schema/. */
#ifndef FORMATS_SCHEMA_TEXT_H
#define FORMATS_SCHEMA_TEXT_H

#include "common/buf.h"
#include "formats/database/sql_text.h"

/* Appends properties of a column other than type, NOT NULL, DEFAULT and keys: " GENERATED AS (…)", " COLLATE
 * NOCASE", " ON CONFLICT IGNORE". */
void schema_text_column(struct sql_text create, const char *column, struct buf *out);

/* Called with each fact of a table that does not concern a column: "check (…)"; "definition …" of a deferred
 * constraint or one with ON CONFLICT; "options WITHOUT ROWID". */
typedef void schema_text_fact(const char *fact, void *arg);
void schema_text_table(struct sql_text create, schema_text_fact *give, void *arg);

#endif
