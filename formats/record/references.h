/* References between records: which record makes an entity that others name, and which fields must name one
 * that is there. All of it follows from the flags in entities.def. */
#ifndef FORMATS_REFS_H
#define FORMATS_REFS_H

#include "formats/record/idmap.h"
#include "formats/record/record.h"

/* EXP, RUN, TRACE, MODEL, REG: the flags that refer. */
#define REF_FLAGS (FIELD_EXP | FIELD_RUN | FIELD_TRACE | FIELD_MODEL | FIELD_REG)

/* The field by which records of this kind are themselves what others refer to (run_id of a run); -1: nobody
 * refers to them. */
int ref_own_field(const struct kind_desc *kind);
/* True for fields that must name an entity of the stream: the owner of a child, and what is required without
 * being part of the identity (a run's experiment). Others are hints that may name what is gone (a version's
 * run, in another server). */
bool ref_is_hard(const struct kind_desc *kind, int field);
/* What field f of r names, as an identity; registered models with their workspace. The value must not be
 * null. */
struct id_key ref_key(const struct record *r, int f);
/* The same of a value alone; not for FIELD_REG. */
struct id_key ref_key_of(unsigned flag, const struct value *v);
/* The model version that r is or belongs to: its name, version and workspace. Returns the field that holds
 * the version; -1 when r has to do with none. */
int ref_version(const struct record *r, struct value parts[3]);
/* "experiment", "run", "trace", "logged model", "registered model". */
const char *ref_word(unsigned flags);

/* Checks a whole stream: every hard reference is met by some record of it, in whatever order, and no entity
 * is given twice (experiments may be in several segments: they are in every shard). Keeps ids, not records.
 */
struct ref_check;
struct ref_check *ref_check_new(struct spill *spill); /* for the ids; it must live as long as the check */
void ref_check_segment(struct ref_check *c);          /* a segment begins */
/* One of the segments is a delta: what its records refer to may be where it goes to, and is not looked for.
 */
void ref_check_delta(struct ref_check *c);
bool ref_check_has_delta(const struct ref_check *c);
void ref_check_add(struct ref_check *c, const struct record *r);
/* Calls report for each problem, as err_print wants it; returns how many there are. */
uint64_t ref_check_end(struct ref_check *c, void (*report)(const char *where, const char *what));
uint64_t ref_check_entities(const struct ref_check *c); /* experiments, runs, traces and models seen */
void ref_check_free(struct ref_check *c);

/* The value in which a prompt lists the experiments that it belongs to, as ",1,2,"; NULL when r is no such
 * tag (mlflow/prompt/constants.py). */
struct value *ref_experiment_list(struct record *r);
/* Appends that list to out with each id as `map` appends it; an id that map knows nothing of (false) stays.
 */
void ref_map_list(const struct value *list, bool (*map)(void *arg, const struct value *id, struct buf *out),
                  void *arg, struct buf *out);

#endif
