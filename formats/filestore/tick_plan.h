/* Merges the units of a state with those of the walk, both in the same order: finds each unit's state, and
 * handles units of the state that the walk does not find. */
#ifndef FORMATS_FILESTORE_TICK_PLAN_H
#define FORMATS_FILESTORE_TICK_PLAN_H

#include "formats/filestore/tick.h"

struct tick_plan;
struct tick_plan *tick_plan_new(const struct mlruns *m, const struct mlruns_tick *tick);
/* Takes the next unit of the walk, and fills its known_from and the members after it. Units of the state
 * before it are copied if they could not be read, else reported as gone; either in w's output, which is
 * passed on when it is full. */
void tick_plan_meet(struct tick_plan *p, struct unit *unit, struct walker *w);
/* Ends the walk. false with e filled: the state was unreadable, and the results are wrong. */
bool tick_plan_end(struct tick_plan *p, struct walker *w, struct err *e);
void tick_plan_free(struct tick_plan *p); /* NULL is fine */

/* Notes which experiments the state has. false with e filled. */
bool tick_find_known(const struct mlruns *m, const struct state *state, struct err *e);
/* If an experiment was moved between two listings, drops its old place. */
void tick_drop_moved(struct mlruns *m);

#endif
