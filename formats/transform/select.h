/* Selects a self-contained part of a stream: no child without its parent, and with a kept run its inputs, the
 * models that it created or used, and their versions. */
#ifndef FORMATS_SELECT_H
#define FORMATS_SELECT_H

#include "common/spill.h"
#include "formats/record/record.h"

struct select;
struct select *select_new(struct spill *spill); /* for the ids; it must live as long as the selection */

/* The criteria; of one function any may match (of tags all must), of different functions all must. false with
 * e filled for invalid ones. */
bool select_experiment(struct select *x, const char *id_or_name, struct err *e);
bool select_run(struct select *x, const char *run_id, struct err *e);
bool select_status(struct select *x, const char *status, struct err *e);
bool select_lifecycle(struct select *x, const char *stage, struct err *e);  /* active or deleted */
bool select_tag(struct select *x, const char *key_is_value, struct err *e); /* for runs and traces */
/* The start for runs and traces, since <= start < until: 2024-06-01, 2024-06-01T12:30:00 (UTC), or ms since
   1970.
 */
bool select_since(struct select *x, const char *time, struct err *e);
bool select_until(struct select *x, const char *time, struct err *e);
bool select_kind(struct select *x, const char *kind, struct err *e);         /* and its parents */
bool select_exclude_kind(struct select *x, const char *kind, struct err *e); /* and its children */

/* The option that cannot select from a delta, because what it looks at may not be in it, or may have been
 * otherwise when the rest was sent; NULL: there is none. */
const char *select_refuses_delta(const struct select *x);
/* A segment is a delta. */
void select_delta(struct select *x);
/* Whether what is kept of the registry depends on the runs that are kept. */
bool select_needs_runs(const struct select *x);
/* How many passes of the whole stream select_collect needs before select_keeps can be called: 0 if only kinds
 * are selected. */
int select_passes(const struct select *x);
void select_collect(struct select *x, int pass, const struct record *r);
/* 1: it is kept; 0: it is not; -1: a row whose values can't be read, e filled. */
int select_keeps(struct select *x, const struct record *r, struct err *e);
/* Warns about selected experiments and runs that are not in the stream; returns their number. */
uint64_t select_report(const struct select *x);
void select_free(struct select *x);

#endif
