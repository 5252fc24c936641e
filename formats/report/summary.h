/* Summarises a stream: a table by kind and one by experiment. Keeps experiments, and ids of runs and traces;
 * no records. */
#ifndef FORMATS_SUMMARY_H
#define FORMATS_SUMMARY_H

#include <stdio.h>

#include "common/spill.h"
#include "formats/record/record.h"

struct summary;
struct summary *summary_new(struct spill *spill); /* for the experiments; it must live as long as s */
/* bytes: the size of the record in the stream. */
void summary_add(struct summary *s, const struct record *r, size_t bytes);
/* Writes both tables as text. Times are UTC. False with e filled when the spill has failed; how writing went
 * the caller asks out. */
bool summary_print(const struct summary *s, FILE *out, struct err *e);
/* To be called before the first record: counts by the hour in which they began the runs that summary_journal() needs. */
void summary_count_hours(struct summary *s);
/* Adds runs by the hour, and the experiments with the most runs, SUMMARY_EXPERIMENTS at most, to the journal
 * (report.h). False with e filled when the spill has failed. */
enum { SUMMARY_EXPERIMENTS = 200 };
bool summary_journal(struct summary *s, struct err *e);
void summary_free(struct summary *s);

#endif
