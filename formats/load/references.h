/* References between records: noted as records come, checked when all rows are written. */
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

/* The arguments must live as long as the result. */
struct load_references *load_references_new(const struct load_tables *tables, struct load_problems *problems,
                                            struct load_stage *stage);
void load_references_free(struct load_references *refs); /* NULL is fine */
/* Begins a segment, without any parent so far. */
void load_references_segment(struct load_references *refs);
/* Notes every reference of a record that must not dangle. row is unused for kinds that nothing refers to. */
bool load_note_refs(struct load_references *refs, const struct record *r, const struct load_plan *p,
                    const struct value *row, struct err *e);
/* Notes that r refers to the row identified by the n values, unless that is the last parent. */
bool load_refer(struct load_references *refs, const struct record *r, enum load_ref ref,
                const struct value *v, int n, struct err *e);
/* Whether the row identified by the n values is the last parent. */
bool load_refs_current(struct load_references *refs, enum load_ref ref, const struct value *v, int n);
/* After the rows: checks a reference from the stage. A dangling one is a problem. */
bool load_follow_ref(struct load_references *refs, struct load_sink *sink, const struct sort_entry *x,
                     struct err *e);

#endif
