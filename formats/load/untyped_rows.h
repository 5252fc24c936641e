/* Row records: rows of tables that hold no kind of their own, into the table of the same name. */
#ifndef FORMATS_LOAD_UNTYPED_ROWS_H
#define FORMATS_LOAD_UNTYPED_ROWS_H

#include <stdbool.h>

#include "formats/load/conversion.h"

struct load_untyped;

/* The conversion and tmpdir, where a temporary file is made if one is needed, must live as long as it. */
struct load_untyped *load_untyped_new(struct load_conversion *conversion, const char *tmpdir);
void load_untyped_free(struct load_untyped *u); /* NULL is fine */
/* Takes a record of kind row. */
bool load_add_untyped(struct load_untyped *u, const struct record *r, struct err *e);
/* Before the rows go into an empty database, which has the default workspace: where the stream has
 * workspaces, they are all there will be, but that one stays. */
bool load_replace_workspaces(struct load_untyped *u, struct db *db, struct err *e);
/* After the last row: gives each workspace that rows of the tables are in a row of its own, and counts them.
 */
bool load_add_workspaces(const struct load_tables *tables, struct load_report *report, struct db *db,
                         struct err *e);

#endif
