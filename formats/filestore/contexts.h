/* In a tick, records of experiments that have not changed themselves: each goes before the first changed unit in it, once.
 * Shared by all threads. */
#ifndef FORMATS_FILESTORE_CONTEXTS_H
#define FORMATS_FILESTORE_CONTEXTS_H

#include "formats/filestore/internal.h"

struct contexts;
struct context; /* one such record */

/* n: how many units can be read and not yet handed over. */
struct contexts *contexts_new(const struct mlruns *m, size_t n);
void contexts_free(struct contexts *all); /* NULL is fine */

/* Makes the record of the experiment of a unit that w is reading, if it may have to go before the unit; *out is it, for
 * contexts_leave(), and unchanged if none is wanted. false: the experiment cannot be read now. */
bool contexts_make(struct contexts *all, struct walker *w, const struct unit *unit, struct context **out);
/* Passes the record to sink->records unless the experiment has been sent. */
void contexts_hand_over(struct contexts *all, struct context *c, const struct mlruns_sink *sink);
/* The unit has been handed over. */
void contexts_leave(struct contexts *all, struct context *c);

#endif
