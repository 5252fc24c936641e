/* Comparison with a database that may contain more than the stream: mapping of ids, and merge rules. */
#ifndef FORMATS_VERIFY_SUBSET_H
#define FORMATS_VERIFY_SUBSET_H

#include "formats/database/db.h"
#include "formats/record/merge_rules.h"
#include "formats/record/rows.h"

struct subset;
/* edited: fields of rule SRC may have been edited in the target, as between ticks. db and tmpdir must live as
 * long as the result. Never NULL. */
struct subset *subset_new(struct db *db, bool edited, const char *tmpdir);
void subset_free(struct subset *s); /* NULL is fine */
/* Adds an entry of a state's map for an experiment or model version. */
void subset_know(struct subset *s, enum kind kind, const struct value *key, const struct value *value);
/* Replaces the ids in r by the target's; new text lives until the next call. 1: compare it; 0: a sync does
 * not load it; -1: error. */
int subset_map(struct subset *s, struct record *r, struct err *e);
/* Whether the rules allow the difference in a field. */
bool subset_allows(struct subset *s, const struct record *source, const struct record *target, int field);
/* The same for a row; the times are NULL if it has none. */
bool subset_allows_row(struct subset *s, const struct row_table *t, const struct value *source_time,
                       const struct value *target_time);
/* Whether a record missing from the target is waiting for another one. */
bool subset_waits(struct subset *s, const struct record *r);
/* Number of differences that the rules allowed. */
uint64_t subset_kept(const struct subset *s);

#endif
