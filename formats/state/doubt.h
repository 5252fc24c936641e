/* What the target has is in doubt where a tick was not promoted: it may have been committed, as a whole or in
 * part, and a value that the source has changed back since is then another one there than the state says. */
#ifndef FORMATS_STATE_DOUBT_H
#define FORMATS_STATE_DOUBT_H

#include "formats/state/state.h"

/* Whether the tick that wrote `next` began with s and was not promoted. */
bool state_is_unpromoted(const struct state *s, const struct state *next);
/* Whether the state knows of the unpromoted tick, so that what is sent from it replaces what that has brought. */
bool state_doubts(const struct state *s, const char *tick);
/* Writes s to its path again, with what `next` has otherwise marked so that it is read and sent again whatever it
 * is. Points are only added to a target, and stay as they are. tmpdir: for what does not fit into memory. */
bool state_doubt(const struct state *s, const struct state *next, const char *tmpdir, struct err *e);

#endif
