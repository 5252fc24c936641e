/* New ids and names: experiments get small numbers, experiments and registered models get other names,
 * everywhere where they are referred to. */
#ifndef FORMATS_RENUMBER_H
#define FORMATS_RENUMBER_H

#include "common/arena.h"
#include "common/spill.h"
#include "formats/record/record.h"

struct renumber;
/* Experiments get the numbers from start on, in the order in which they come. Experiment 0 stays 0. */
struct renumber *renumber_new(int64_t start,
                              struct spill *spill); /* for the ids; it must live as long as x */
/* Takes the ids of a map that renumber_save has written; further ones get numbers behind it. */
bool renumber_load(struct renumber *x, const char *path, struct err *e);
/* Changes every field of r that names an experiment, and the tag in which a prompt lists experiments.
 * Experiments come before what refers to them; false with e filled for one that did not. New text lives in a.
 */
bool renumber_record(struct renumber *x, struct record *r, struct arena *a, struct err *e);
/* Writes the map: old id, new id, name, separated by tabs, a line for each experiment. Blanks, tabs and what
 * else would break a line are \xNN in names. */
bool renumber_save(struct renumber *x, const char *path, struct err *e);
uint64_t renumber_count(const struct renumber *x); /* ids that changed */
void renumber_free(struct renumber *x);

struct rename;
struct rename *rename_new(void);
/* "ID|NAME=NEW" of an experiment, "OLD=NEW" of a registered model or prompt; the first `=` counts. */
bool rename_add_experiment(struct rename *x, const char *rule, struct err *e);
bool rename_add_model(struct rename *x, const char *rule, struct err *e);
/* New text lives in a, or as long as x. */
void rename_record(struct rename *x, struct record *r, struct arena *a);
/* Warns of rules that changed nothing; returns their number. */
uint64_t rename_report(const struct rename *x);
void rename_free(struct rename *x);

#endif
