/* Rows into a table of SQLite, for sinks. */
#ifndef FORMATS_LOAD_SQLITE_ROWS_H
#define FORMATS_LOAD_SQLITE_ROWS_H

#include "formats/load/sink.h"

struct load_sqlite_rows;

/* One for a database at a time. db must live as long as it. NULL with e filled. */
struct load_sqlite_rows *load_sqlite_rows_new(struct db *db, struct err *e);
void load_sqlite_rows_free(struct load_sqlite_rows *k); /* NULL is fine */
/* Inserts all rows of t into a table with t's columns, `into` as SQL names it; with look_up, columns for
 * which there is a query get what it finds where a row has none. After a row that breaks a rule
 * (SINK_REFUSED) those before it are there: the caller rolls back. */
enum sink_answer load_sqlite_rows_insert(struct load_sqlite_rows *k, const char *into,
                                         const struct load_table *t, bool look_up,
                                         struct load_row_source *from, struct err *e);

#endif
