/* COPY into PostgreSQL, for sinks. */
#ifndef FORMATS_LOAD_COPY_H
#define FORMATS_LOAD_COPY_H

#include "formats/load/sink.h"

struct load_copy;

/* db is a PostgreSQL database and must live as long as the result. */
struct load_copy *load_copy_new(struct db *db);
void load_copy_free(struct load_copy *k); /* NULL is fine */
/* Copies all rows of t into a table with t's columns, named `into` in SQL. freeze: this transaction has
 * created or truncated it. */
bool load_copy_table(struct load_copy *k, const char *into, const struct load_table *t, bool freeze,
                     struct load_row_source *from, struct err *e);
/* The same in steps: nothing else may use the connection between begin and end. */
bool load_copy_begin(struct load_copy *k, const char *into, const struct load_table *t, bool freeze,
                     struct err *e);
bool load_copy_row(struct load_copy *k, const struct value *row, struct err *e);
bool load_copy_end(struct load_copy *k, struct err *e);

#endif
