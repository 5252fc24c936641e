/* What a database of some release and dialect cannot hold, found before anything is loaded. The widths are
 * those of MLflow's schema at the release's revision; they are the same in both dialects, but only PostgreSQL
 * enforces them. */
#ifndef FORMATS_FIT_H
#define FORMATS_FIT_H

#include "common/arena.h"
#include "formats/database/db.h"
#include "formats/record/record.h"
#include "formats/schema/schema.h"

struct fit;
/* truncate: texts that are too long are cut, unless they identify or refer to something. NULL with e filled.
 */
struct fit *fit_new(enum dialect dialect, const struct schema_release *release, bool truncate, struct err *e);
/* Looks at a record; cuts what may be cut (new text lives in a). What does not fit is printed, the first of
 * each field and some more, and counted. */
void fit_record(struct fit *x, struct record *r, struct arena *a);
/* Values and records that do not fit, so far. */
uint64_t fit_problems(const struct fit *x);
/* Tells how much of what did not fit, and what was cut. */
void fit_report(const struct fit *x);
void fit_free(struct fit *x);

#endif
