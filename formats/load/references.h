/* What records refer to: noted while they come, followed when all rows are written. */
#ifndef FORMATS_LOAD_REFERENCES_H
#define FORMATS_LOAD_REFERENCES_H

#include <stdbool.h>

#include "common/err.h"
#include "formats/load/tables.h"

struct load_problems;
struct load_sink;
struct load_stage;
struct sort_entry;

struct load_references;

/* All that is given must live as long as it. */
struct load_references *load_references_new(const struct load_tables *tables, struct load_problems *problems,
                                            struct load_stage *stage);
void load_references_free(struct load_references *refs); /* NULL is fine */
/* A segment begins: no parent has come in it. */
void load_references_segment(struct load_references *refs);
/* Notes every reference of a record that must lead somewhere. row is not used for kinds that nobody refers
 * to. */
bool load_note_refs(struct load_references *refs, const struct record *r, const struct load_plan *p,
                    const struct value *row, struct err *e);
/* Notes, unless it is the parent that came last, that r refers to the row named by the n values. */
bool load_refer(struct load_references *refs, const struct record *r, enum load_ref ref,
                const struct value *v, int n, struct err *e);
/* True when the row named by the n values is that of the parent that came last. */
bool load_refs_current(struct load_references *refs, enum load_ref ref, const struct value *v, int n);
/* After the rows: follows a reference that the stage gives back. One that leads nowhere is a problem. */
bool load_follow_ref(struct load_references *refs, struct load_sink *sink, const struct sort_entry *x,
                     struct err *e);

#endif
