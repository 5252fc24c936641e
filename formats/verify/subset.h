/* What a stream has is in a database that holds more: the part of a comparison that knows ids and rules of
 * merging. */
#ifndef FORMATS_VERIFY_SUBSET_H
#define FORMATS_VERIFY_SUBSET_H

#include "formats/database/db.h"
#include "formats/record/merge_rules.h"
#include "formats/record/rows.h"

struct subset;
/* edited: values that only a stream's assertion would set (rule SRC) may be the target's own, as after ticks.
 * db and tmpdir must live as long. Never NULL. */
struct subset *subset_new(struct db *db, bool edited, const char *tmpdir);
void subset_free(struct subset *s); /* NULL is fine */
/* What a state's map says of an experiment or model version. */
void subset_know(struct subset *s, enum kind kind, const struct value *key, const struct value *value);
/* Gives r the target's ids; its new text lives until the next call. 1: it is to be compared; 0: a sync does
 * not bring it; -1: error. */
int subset_map(struct subset *s, struct record *r, struct err *e);
/* True when a field that differs is as the rules leave it. */
bool subset_allows(struct subset *s, const struct record *source, const struct record *target, int field);
/* The same of a row that differs; the times are NULL where it has none. */
bool subset_allows_row(struct subset *s, const struct row_table *t, const struct value *source_time,
                       const struct value *target_time);
/* True when a record that the target lacks waits there for something. */
bool subset_waits(struct subset *s, const struct record *r);
/* Differences that the rules allow. */
uint64_t subset_kept(const struct subset *s);

#endif
