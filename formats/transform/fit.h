/* What a database of some release and dialect cannot hold, found before anything is loaded: what ml-load
 * would refuse of values, records and rows, judged by the same rules (formats/schema/limits.h). */
#ifndef FORMATS_FIT_H
#define FORMATS_FIT_H

#include "common/arena.h"
#include "formats/database/db.h"
#include "formats/record/record.h"
#include "formats/schema/schema.h"

struct fit_options {
    enum dialect dialect;
    const struct schema_release *release;
    bool truncate; /* texts that are too long are cut, unless they identify or refer to something */
    bool wide_ids; /* PostgreSQL: the columns of experiments' ids have 64 bits */
};

struct fit;
/* NULL with e filled. */
struct fit *fit_new(const struct fit_options *o, struct err *e);
/* Looks at a record; cuts what may be cut (new text lives in a). What does not fit is printed, the first of
 * each field and some more, and counted. False with e filled when a row cannot be read. */
bool fit_record(struct fit *x, struct record *r, struct arena *a, struct err *e);
/* After the last record: prints and counts what only all of them show. */
void fit_end(struct fit *x);
/* Values and records that do not fit, so far. */
uint64_t fit_problems(const struct fit *x);
/* Prints how much of what did not fit, and what was cut. */
void fit_report(const struct fit *x);
void fit_free(struct fit *x);

#endif
