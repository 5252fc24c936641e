/* Merges several sources into one: equal experiments and runs are kept once, registered models of one name
 * are joined. Keeps ids and hashes, not records: the stream is read three times. */
#ifndef FORMATS_MERGE_H
#define FORMATS_MERGE_H

#include "common/arena.h"
#include "common/spill.h"
#include "formats/record/record.h"
#include "formats/stream/wire.h"

enum merge_policy {
    MERGE_FAIL, /* a clash is an error */
    /* Of experiments with one name all but the first active one are renamed, of experiments with one id all
     * but the first get a new id; otherwise the first record wins. */
    MERGE_RENAME,
    /* An experiment whose name is taken is joined with that one; otherwise the first record wins. */
    MERGE_JOIN,
};

struct merge;
/* renumber_versions: a version of a registered model whose number is taken gets the next free one. The ids
 * lie in the spill, which must live as long as the merge. */
struct merge *merge_new(enum merge_policy policy, bool renumber_versions, struct spill *spill);
/* To be called at the beginning of each segment, in each pass. */
void merge_segment(struct merge *m, const struct wire_header *h);

/* First pass, for every record. Clashes are printed. false with e filled only if there is no point in
 * continuing. */
bool merge_collect(struct merge *m, const struct record *r, struct err *e);
/* After the first pass: fills h, the header of the merged segment; false with e filled if there were
 * clashes. */
bool merge_settle(struct merge *m, struct wire_header *h, struct err *e);

enum merge_part { MERGE_EXPERIMENTS, MERGE_OTHERS };
/* Second and third pass, for every record: the first takes records of experiments, the other the rest.
 * Returns whether r is to be written; its ids are updated, new text lives in m. */
bool merge_take(struct merge *m, enum merge_part part, struct record *r);
/* Reports on stderr what was changed or found equal. */
void merge_report(const struct merge *m);
void merge_free(struct merge *m);

#endif
