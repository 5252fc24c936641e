/* Counts the locations of artifacts and spans for the report. */
#ifndef FORMATS_LOAD_PLACES_H
#define FORMATS_LOAD_PLACES_H

#include <stdbool.h>

#include "formats/load/load.h"

struct load_places;

/* Counts in the report, which must live as long as the result. */
struct load_places *load_places_new(struct load_report *report);
void load_places_free(struct load_places *p); /* NULL is fine */
/* Begins a segment; from_database: its producer read a database. */
void load_places_segment(struct load_places *p, bool from_database);
/* Counts the locations in a record. */
void load_note_place(struct load_places *p, const struct record *r);
/* Counts those of the last trace: all its tags have come. */
void load_end_trace_place(struct load_places *p);
/* The spans of the trace that came last are read from the database. */
void load_place_spans(struct load_places *p);
/* Whether it is a path or a file: URI, on any machine. */
bool load_place_is_local(const struct value *v);

#endif
