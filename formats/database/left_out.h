/* Entities that a dump leaves out because they are malformed, and with each of them all that belongs to it: what
 * reads the stream has no place for a tag without its run. */
#ifndef FORMATS_LEFT_OUT_H
#define FORMATS_LEFT_OUT_H

#include "formats/record/record.h"

struct left_out;
/* tmpdir: for the ids that do not fit into memory; it must live as long. Never NULL. */
struct left_out *left_out_new(const char *tmpdir);
void left_out_free(struct left_out *l); /* NULL is fine */
/* False with e filled if ids were lost, as by a full disk (common/spill.h). */
bool left_out_check(const struct left_out *l, struct err *e);
/* r is left out, which perhaps others belong to. Its values may be against their types. */
void left_out_add(struct left_out *l, const struct record *r);
/* Whether the record, whose values are sound, or the row belongs to what was left out. Parents are asked for and
 * added before what belongs to them. */
bool left_out_has(struct left_out *l, const struct record *r);
bool left_out_has_row(struct left_out *l, struct record *r); /* leaves r as it is */

#endif
