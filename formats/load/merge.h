/* The stage's rows, made whole: all that the stream says of one key meets here. */
#ifndef FORMATS_LOAD_MERGE_H
#define FORMATS_LOAD_MERGE_H

#include "formats/load/problems.h"
#include "formats/load/sink.h"
#include "formats/load/stage.h"

struct load_merge;

/* All that is given must live as long as it. */
struct load_merge *load_merge_new(const struct load_tables *tables, struct load_problems *problems,
                                  struct load_stage *stage);
void load_merge_free(struct load_merge *m); /* NULL is fine */
/* Gives the rows of the table whose entry the stage has fetched: one of each key, and none once there were
 * problems. What clashes is reported. At the end the stage has fetched what follows the table. */
struct load_row_source *load_merge_table(struct load_merge *m, const struct load_table *t);
/* The name, for messages, of the row that was given last; lives until the next message. */
const char *load_merge_describe(struct load_merge *m);

#endif
