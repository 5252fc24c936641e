/* References between records: which field identifies an entity that others refer to, and which fields must
 * refer to an existing one. All of it follows from the flags in entities.def. */
#ifndef FORMATS_REFS_H
#define FORMATS_REFS_H

#include "formats/record/idmap.h"
#include "formats/record/record.h"

/* EXP, RUN, TRACE, MODEL, REG: the flags of references. */
#define REF_FLAGS (FIELD_EXP | FIELD_RUN | FIELD_TRACE | FIELD_MODEL | FIELD_REG)

/* The field that identifies records of this kind to others (run_id of a run); -1: nothing refers to them. */
int ref_own_field(const struct kind_desc *kind);
/* Whether the field must refer to an entity in the stream: the owner of a child, and required fields outside
 * the identity (a run's experiment). Other references may dangle (a version's run, on another server). */
bool ref_is_hard(const struct kind_desc *kind, int field);
/* The identity that field f of r refers to; of registered models including the workspace. The value must not
 * be null. */
struct id_key ref_key(const struct record *r, int f);
/* The same for a single value; not for FIELD_REG. */
struct id_key ref_key_of(unsigned flag, const struct value *v);
/* The model version that r is or belongs to: its name, version and workspace. Returns the field that holds
 * the version; -1 if there is none. */
int ref_version(const struct record *r, struct value parts[3]);
/* Whether r is a model version with the id of a logged model that its source, models:/ID, does not say: a file store keeps the id,
 * and no release of MLflow has a column for it. */
bool ref_has_no_column(const struct record *r);
/* "experiment", "run", "trace", "logged model", "registered model". */
const char *ref_word(unsigned flags);

/* Checks a complete stream: every hard reference resolves to a record of it, in any order, and no entity is
 * duplicate (experiments may be in several segments: they are in every shard). Keeps ids, not records. */
struct ref_check;
struct ref_check *ref_check_new(struct spill *spill); /* for the ids; it must live as long as the check */
void ref_check_segment(struct ref_check *c);          /* a segment begins */
/* One of the segments is a delta: what its records refer to may be where it goes to, and is not looked for.
 */
void ref_check_delta(struct ref_check *c);
bool ref_check_has_delta(const struct ref_check *c);
void ref_check_add(struct ref_check *c, const struct record *r);
/* Calls report for each problem, with the arguments of err_print; returns their number. When the spill has
 * failed (spill_check) that is of no use, and no more is reported. */
uint64_t ref_check_end(struct ref_check *c, void (*report)(const char *where, const char *what));
uint64_t ref_check_entities(const struct ref_check *c); /* experiments, runs, traces and models seen */
void ref_check_free(struct ref_check *c);

/* The value in which a prompt lists its experiments, as ",1,2,"; NULL if r is not such a tag
 * (mlflow/prompt/constants.py). */
struct value *ref_experiment_list(struct record *r);
/* Appends that list to out with each id replaced by what map() appends; if map() returns false the id is
 * kept. */
void ref_map_list(const struct value *list, bool (*map)(void *arg, const struct value *id, struct buf *out),
                  void *arg, struct buf *out);

#endif
