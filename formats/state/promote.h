/* Turns state.new into STATE, which the loader does after the target has committed. See state.h. */
#ifndef FORMATS_STATE_PROMOTE_H
#define FORMATS_STATE_PROMOTE_H

#include "formats/state/state.h"

struct state_promotion;
/* s: the state.new of the tick. tmpdir: for what does not fit into memory. Both must live as long as the
 * result. Never NULL. */
struct state_promotion *state_promotion_new(const struct state *s, const char *tmpdir);
/* Adds an entry to the map or replaces its value. Entries may come in any order; the last one of a key
 * wins. */
bool state_promotion_map(struct state_promotion *p, const struct state_map_entry *m, struct err *e);
/* Marks the unit of this kind and id as unsent, so that the next tick sends it in full: for records that a
 * conflict or a malformed value kept out of the target, but not for those purged there. Pass the unit that a
 * record belongs to: a tag's run, a version's registered model (kind registered_model for prompts, too). */
void state_promotion_unsent(struct state_promotion *p, enum kind kind, const char *id, size_t len);
/* Writes the state with the generation to `path`, and removes the state.new. Also useful if nothing has
 * changed: fingerprints that were checked again become trusted. */
bool state_promotion_commit(struct state_promotion *p, uint64_t generation, const char *path, struct err *e);
void state_promotion_free(struct state_promotion *p); /* NULL is fine */

#endif
