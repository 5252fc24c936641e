/* Merges the staged entries of each key into rows. */
#ifndef FORMATS_LOAD_MERGE_H
#define FORMATS_LOAD_MERGE_H

#include "formats/load/problems.h"
#include "formats/load/sink.h"
#include "formats/load/stage.h"

struct load_merge;

/* The arguments must live as long as the result. */
struct load_merge *load_merge_new(const struct load_tables *tables, struct load_problems *problems,
                                  struct load_stage *stage);
void load_merge_free(struct load_merge *m); /* NULL is fine */
/* Returns a source of the rows of the table whose entry the stage has fetched: one for each key, and none
 * after problems. Conflicts are reported. At the end the stage has fetched the entry after the table. */
struct load_row_source *load_merge_table(struct load_merge *m, const struct load_table *t);
/* The name of the last returned row for messages; valid until the next message. */
const char *load_merge_describe(struct load_merge *m);

#endif
