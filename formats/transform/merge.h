/* Several sources become one: the same experiment once, the same run once, registered models of one name
 * joined. Keeps ids and hashes, not records: the stream is shown to it three times. */
#ifndef FORMATS_MERGE_H
#define FORMATS_MERGE_H

#include "common/arena.h"
#include "common/spill.h"
#include "formats/record/record.h"
#include "formats/stream/wire.h"

enum merge_policy {
    MERGE_FAIL, /* a clash is an error that names it */
    /* Of experiments of one name all but the first active one get another name, of experiments of one id all
     * but the first another id; of other things the first wins. */
    MERGE_RENAME,
    /* An experiment whose name is taken becomes part of that one; of other things the first wins. */
    MERGE_JOIN,
};

struct merge;
/* renumber_versions: a version of a registered model whose number is taken gets the next free one. The ids
 * lie in the spill, which must live as long as the merge. */
struct merge *merge_new(enum merge_policy policy, bool renumber_versions, struct spill *spill);
/* A segment begins, in each pass. */
void merge_segment(struct merge *m, const struct wire_header *h);

/* First pass: every record. Clashes are printed. false with e filled only where there is no sense in going
 * on. */
bool merge_collect(struct merge *m, const struct record *r, struct err *e);
/* After it: false with e filled when something clashed. h gets the header of the one segment. */
bool merge_settle(struct merge *m, struct wire_header *h, struct err *e);

enum merge_part { MERGE_EXPERIMENTS, MERGE_OTHERS };
/* Second and third pass: every record, first those of experiments are taken, then the others. True when r is
 * to be written; its ids are changed, new text lives in m. */
bool merge_take(struct merge *m, enum merge_part part, struct record *r);
/* Tells on stderr what was changed or found equal. */
void merge_report(const struct merge *m);
void merge_free(struct merge *m);

#endif
