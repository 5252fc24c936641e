/* Reads rows of tables without a kind as records of kind row (formats/record/rows.h). */
#ifndef FORMATS_ROW_CURSOR_H
#define FORMATS_ROW_CURSOR_H

#include "formats/database/db.h"
#include "formats/record/rows.h"

enum rows_flag { ROWS_ORDERED = 1 << 0, ROWS_WITH_SECRETS = 1 << 1 };

struct rows_cursor;
/* Opens a cursor on all rows of a table; none if the database does not have it. where: a condition on the
 * table, alias x, or NULL. Without ROWS_WITH_SECRETS secrets are null. Call it within db_begin_read. NULL
 * with e filled. */
struct rows_cursor *rows_open(struct db *db, const struct row_table *t, unsigned flags, const char *where,
                              struct err *e);
/* Opens a cursor on an unknown table, or on rows of a known table, of a table of kinds those that belong to
 * one, in which an unknown column is not null. Values are returned unchanged, whatever the column's type. t
 * must live as long as the cursor. */
struct other_table;
struct rows_cursor *rows_open_other(struct db *db, const struct other_table *t, struct err *e);
/* 1: out is the next record, which lives until the next call; 0: no more; -1: error. */
int rows_next(struct rows_cursor *c, struct record *out, struct err *e);
/* The current row's entries, nulls left out. */
const struct row_entry *rows_entries(const struct rows_cursor *c, int *n);
/* The column of the current row that has a value of the wrong type (SQLite permits it); NULL: none. Such a
 * value is ALIEN if its bytes could be mistaken for a valid value. */
const char *rows_misfit(const struct rows_cursor *c);
/* Whether the table has the column, and declares it as JSON. */
bool rows_is_json(const struct rows_cursor *c, const char *column, size_t len);
bool rows_has_table(const struct rows_cursor *c);
uint64_t rows_secrets(const struct rows_cursor *c); /* number of values omitted so far */
void rows_close(struct rows_cursor *c);             /* NULL is fine */

#endif
