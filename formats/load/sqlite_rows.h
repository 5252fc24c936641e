/* Inserts rows into a SQLite table, for sinks. */
#ifndef FORMATS_LOAD_SQLITE_ROWS_H
#define FORMATS_LOAD_SQLITE_ROWS_H

#include "formats/load/sink.h"

struct load_sqlite_rows;

/* Creates the only one for a database at a time. db must live as long as the result. NULL with e filled. */
struct load_sqlite_rows *load_sqlite_rows_new(struct db *db, struct err *e);
void load_sqlite_rows_free(struct load_sqlite_rows *k); /* NULL is fine */
/* Inserts all rows of t into a table with t's columns, named `into` in SQL; with look_up, NULLs in columns
 * with a look-up query are replaced by its result. After a row that violates a constraint (SINK_REFUSED)
 * earlier ones are in the table: the caller rolls back. */
enum sink_answer load_sqlite_rows_insert(struct load_sqlite_rows *k, const char *into,
                                         const struct load_table *t, bool look_up,
                                         struct load_row_source *from, struct err *e);

#endif
