/* Finds, without loading, what a database of some release and dialect cannot hold: the values, records and
 * rows that ml-load would refuse, by the same rules (formats/schema/limits.h). */
#ifndef FORMATS_FIT_H
#define FORMATS_FIT_H

#include "common/arena.h"
#include "formats/database/db.h"
#include "formats/record/record.h"
#include "formats/schema/schema.h"
#include "formats/stream/wire.h"

struct fit_options {
    enum dialect dialect;
    const struct schema_release *release;
    bool truncate; /* truncate texts that are too long, except identifiers and references */
    bool wide_ids; /* PostgreSQL: the columns of experiment ids have 64 bits */
};

struct fit;
/* NULL with e filled. */
struct fit *fit_new(const struct fit_options *o, struct err *e);
/* To be called at the beginning of each segment. */
void fit_segment(struct fit *x, const struct wire_header *h);
/* Checks a record; truncates texts if permitted (new text lives in a). Misfits are counted, and the first
 * ones of each field printed. False with e filled if a row cannot be read. */
bool fit_record(struct fit *x, struct record *r, struct arena *a, struct err *e);
/* To be called after the last record: prints and counts what depends on all of them. */
void fit_end(struct fit *x);
/* The number of values and records so far that do not fit. */
uint64_t fit_problems(const struct fit *x);
/* Prints the numbers of misfits and truncated texts. */
void fit_report(const struct fit *x);
void fit_free(struct fit *x);

#endif
