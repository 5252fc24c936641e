/* Rows of a table that holds no kind of its own -> records of kind row (formats/record/rows.h). */
#ifndef FORMATS_ROW_CURSOR_H
#define FORMATS_ROW_CURSOR_H

#include "formats/database/db.h"
#include "formats/record/rows.h"

enum rows_flag { ROWS_ORDERED = 1 << 0, ROWS_WITH_SECRETS = 1 << 1 };

struct rows_cursor;
/* All rows of a table, none when the database does not have it. where: a condition on the table, alias x, or
 * NULL. Without ROWS_WITH_SECRETS what is secret is null. Call it within db_begin_read. NULL with e filled.
 */
struct rows_cursor *rows_open(struct db *db, const struct row_table *t, unsigned flags, const char *where,
                              struct err *e);
/* Rows of a table that is not known; of one that is those in which a column besides is not null. Values are
 * as they are, against whatever type. t lives as long as the cursor. */
struct other_table;
struct rows_cursor *rows_open_other(struct db *db, const struct other_table *t, struct err *e);
/* 1: out is the next record, which lives until the next call; 0: no more; -1: error. */
int rows_next(struct rows_cursor *c, struct record *out, struct err *e);
/* The current row's entries, nulls left out. */
const struct row_entry *rows_entries(const struct rows_cursor *c, int *n);
/* The column of the current row that holds a value against its type, which SQLite lets it; NULL: none does.
 * Such a value is ALIEN where its bytes would pass for what belongs there. */
const char *rows_misfit(const struct rows_cursor *c);
/* True when the table has the column, and when that is declared as JSON. */
bool rows_has_column(const struct rows_cursor *c, const char *column, size_t len);
bool rows_is_json(const struct rows_cursor *c, const char *column, size_t len);
bool rows_has_table(const struct rows_cursor *c);
uint64_t rows_secrets(const struct rows_cursor *c); /* values that were left out so far */
void rows_close(struct rows_cursor *c);             /* NULL is fine */

#endif
