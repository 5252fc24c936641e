/* Where the artifacts and spans are that records name, counted for the report. */
#ifndef FORMATS_LOAD_PLACES_H
#define FORMATS_LOAD_PLACES_H

#include <stdbool.h>

#include "formats/load/load.h"

struct load_places;

/* Counts into the report, which must live as long as it. */
struct load_places *load_places_new(struct load_report *report);
void load_places_free(struct load_places *p); /* NULL is fine */
/* A segment begins; from_database: its producer has read a database. */
void load_places_segment(struct load_places *p, bool from_database);
/* Counts the places that a record names. */
void load_note_place(struct load_places *p, const struct record *r);
/* Counts those of the trace that came last: its tags are all there. */
void load_end_trace_place(struct load_places *p);
/* A path or a file: URI, on whichever machine. */
bool load_place_is_local(const struct value *v);

#endif
