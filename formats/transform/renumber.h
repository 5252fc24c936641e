/* Changes ids and names: experiments get small ids, experiments and registered models new names, including
 * all references. */
#ifndef FORMATS_RENUMBER_H
#define FORMATS_RENUMBER_H

#include "common/arena.h"
#include "common/spill.h"
#include "formats/record/record.h"

struct renumber;
/* Experiments get the ids from start on, in stream order. Experiment 0 keeps its id. */
struct renumber *renumber_new(int64_t start,
                              struct spill *spill); /* for the ids; it must live as long as x */
/* Takes the ids of a map written by renumber_save; other experiments get ids after those. */
bool renumber_load(struct renumber *x, const char *path, struct err *e);
/* Changes every experiment id in r, including the tag in which a prompt lists experiments. Experiments must
 * precede their references, else false with e filled. New text lives in a. */
bool renumber_record(struct renumber *x, struct record *r, struct arena *a, struct err *e);
/* Writes the map: a line for each experiment with old id, new id, name, separated by tabs. In names,
 * unprintable characters are \xNN. */
bool renumber_save(struct renumber *x, const char *path, struct err *e);
uint64_t renumber_count(const struct renumber *x); /* number of changed ids */
void renumber_free(struct renumber *x);

struct rename;
struct rename *rename_new(void);
/* "ID|NAME=NEW" for an experiment, "OLD=NEW" for a registered model or prompt, split at the first `=`. */
bool rename_add_experiment(struct rename *x, const char *rule, struct err *e);
bool rename_add_model(struct rename *x, const char *rule, struct err *e);
/* New text lives in a, or as long as x. */
void rename_record(struct rename *x, struct record *r, struct arena *a);
/* Warns about rules that changed nothing; returns their number. */
uint64_t rename_report(const struct rename *x);
void rename_free(struct rename *x);

#endif
