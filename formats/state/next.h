/* Writes the state for the next tick in a producer, partly copied from the previous one. */
#ifndef FORMATS_STATE_NEXT_H
#define FORMATS_STATE_NEXT_H

#include "formats/state/state.h"

struct state_next;
/* path: of the state.new, which is removed if it exists. old: the previous state, or NULL. head: of the new
 * state. path, old and the texts of head must live as long as the result. NULL with e filled. */
struct state_next *state_next_new(const char *path, const struct state *old, const struct state_head *head,
                                  struct err *e);
/* Appends new items, or items of the old state. */
bool state_next_add(struct state_next *n, const char *items, size_t len, struct err *e);
bool state_next_copy(struct state_next *n, uint64_t from, uint64_t to, struct err *e);
/* Syncs the file and gives it its name. */
bool state_next_commit(struct state_next *n, struct err *e);
void state_next_free(struct state_next *n); /* NULL is fine */

#endif
