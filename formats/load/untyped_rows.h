/* Loads records of kind row into tables of the same name. */
#ifndef FORMATS_LOAD_UNTYPED_ROWS_H
#define FORMATS_LOAD_UNTYPED_ROWS_H

#include <stdbool.h>

#include "formats/load/conversion.h"

struct load_untyped;

/* tmpdir is for the temporary file. The arguments must live as long as the result. */
struct load_untyped *load_untyped_new(struct load_conversion *conversion, const char *tmpdir);
void load_untyped_free(struct load_untyped *u); /* NULL is fine */
/* Takes a record of kind row. */
bool load_add_untyped(struct load_untyped *u, const struct record *r, struct err *e);
/* Before writing into an empty database, which has the default workspace: if the stream has workspaces,
 * removes that row, and adds it to the stream's if they lack it. */
bool load_replace_workspaces(struct load_untyped *u, struct db *db, struct err *e);
/* After the last row: adds rows for workspaces that are used in the tables without having one, and counts
 * them. */
bool load_add_workspaces(const struct load_tables *tables, struct load_report *report, struct db *db,
                         struct err *e);

#endif
