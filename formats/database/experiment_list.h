/* The experiments of a database as lines: for scripts that dump one after the other, and for shell completion. */
#ifndef DATABASE_EXPERIMENT_LIST_H
#define DATABASE_EXPERIMENT_LIST_H

#include <stdbool.h>
#include <stdio.h>

#include "formats/database/db.h"

/* Writes the id of each experiment, deleted ones too, in the order of the ids, one a line; with `names` also a
 * tab and the name, printable (common/printable.h). Holds one row. false with e filled. */
bool experiment_list_write(struct db *db, bool names, FILE *out, struct err *e);

#endif
