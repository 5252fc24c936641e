/* The units of a state beside those of the walk, both in one order: which unit of the one is which of the
 * other, and what has become of those of the state that the walk does not find. */
#ifndef FORMATS_FILESTORE_TICK_PLAN_H
#define FORMATS_FILESTORE_TICK_PLAN_H

#include "formats/filestore/tick.h"

struct tick_plan;
struct tick_plan *tick_plan_new(const struct mlruns *m, const struct mlruns_tick *tick);
/* The next unit of the walk: fills its known_from and what follows. Units of the state before it are copied
 * where they could not be looked for, else they are gone; both is noted in w's output, which is handed over
 * where it is full. */
void tick_plan_meet(struct tick_plan *p, struct unit *unit, struct walker *w);
/* The walk is at its end. false with e filled: the state could not be read, and what was found is wrong. */
bool tick_plan_end(struct tick_plan *p, struct walker *w, struct err *e);
void tick_plan_free(struct tick_plan *p); /* NULL is fine */

/* Notes which experiments the state knows. false with e filled. */
bool tick_find_known(const struct mlruns *m, const struct state *state, struct err *e);
/* Of an experiment that was moved between two listings, drops the place where it no longer is. */
void tick_drop_moved(struct mlruns *m);

#endif
