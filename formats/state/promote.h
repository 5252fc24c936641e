/* state.new becomes STATE: what the loader does with the state of a tick once the target has committed. See
 * state.h. */
#ifndef FORMATS_STATE_PROMOTE_H
#define FORMATS_STATE_PROMOTE_H

#include "formats/state/state.h"

struct state_promotion;
/* s: the state.new of the tick, which must live as long. tmpdir: for what does not fit into memory; it must
 * live as long, too. Never NULL. */
struct state_promotion *state_promotion_new(const struct state *s, const char *tmpdir);
/* Adds an entry to the map, or gives one that is there another value. Entries may come in any order; of one
 * key's the last counts. */
bool state_promotion_map(struct state_promotion *p, const struct state_map_entry *m, struct err *e);
/* Marks the unit of this kind and id as not sent, so that the next tick sends it whole: what a conflict or a
 * malformed value kept out of the target. Not what was purged there. Whose record it was, its unit is named:
 * a tag's run, a version's registered model (kind registered_model for prompts, too). */
void state_promotion_unsent(struct state_promotion *p, enum kind kind, const char *id, size_t len);
/* Writes the state with the generation to `path`, and removes the state.new. May be called when nothing has
 * changed, too: fingerprints that were looked at again are trusted then. */
bool state_promotion_commit(struct state_promotion *p, uint64_t generation, const char *path, struct err *e);
void state_promotion_free(struct state_promotion *p); /* NULL is fine */

#endif
