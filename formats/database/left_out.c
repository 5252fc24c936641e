/* Ids of entities that are left out, and what refers to them. */
#include "formats/database/left_out.h"

#include <stdlib.h>

#include "common/array.h"
#include "common/spill.h"
#include "formats/record/idmap.h"
#include "formats/record/references.h"
#include "formats/record/row_references.h"

enum { DATASETS = 1 << 20 }; /* a space of keys beside those of ref_key() */

/* References of rows that are looked up. */
static const unsigned row_flags[] = {FIELD_EXP, FIELD_RUN, FIELD_TRACE, FIELD_MODEL};

struct left_out {
    struct spill *spill;
    struct idmap *ids;
    struct row_editor *rows;
};

struct left_out *left_out_new(const char *tmpdir)
{
    struct left_out *l = xcalloc(1, sizeof *l);
    l->spill = spill_new(tmpdir);
    l->ids = idmap_new(l->spill);
    l->rows = row_editor_new();
    return l;
}

void left_out_free(struct left_out *l)
{
    if (!l)
        return;
    idmap_free(l->ids);
    row_editor_free(l->rows);
    spill_free(l->spill);
    free(l);
}

bool left_out_check(const struct left_out *l, struct err *e)
{
    return spill_check(l->spill, e);
}

/* A dataset goes by these. */
static struct id_key dataset_key(const struct value *experiment, const struct value *name,
                                 const struct value *digest)
{
    struct value parts[3] = {*experiment, *name, *digest};
    return id_key(DATASETS, parts, 3);
}

void left_out_add(struct left_out *l, const struct record *r)
{
    int own = ref_own_field(r->kind);
    if (own >= 0 && value_is_text(&r->v[own]))
        idmap_set(l->ids, ref_key(r, own), 1);
    const struct value *experiment = &r->v[F_dataset_experiment_id], *name = &r->v[F_dataset_name],
                       *digest = &r->v[F_dataset_digest];
    if (r->kind->kind == KIND_dataset && value_is_text(experiment) && value_is_text(name) &&
        value_is_text(digest))
        idmap_set(l->ids, dataset_key(experiment, name, digest), 1);
}

static bool is_of_dataset(struct left_out *l, const struct record *r)
{
    const struct value *v = r->v;
    struct id_key key =
        r->kind->kind == KIND_input
            ? dataset_key(&v[F_input_experiment_id], &v[F_input_dataset_name], &v[F_input_dataset_digest])
            : dataset_key(&v[F_input_tag_experiment_id], &v[F_input_tag_dataset_name],
                          &v[F_input_tag_dataset_digest]);
    return idmap_get(l->ids, key, NULL);
}

bool left_out_has(struct left_out *l, const struct record *r)
{
    if (idmap_len(l->ids) == 0)
        return false;
    for (int f = 0; f < r->kind->n_fields; f++)
        if (ref_is_hard(r->kind, f) && !value_is_null(&r->v[f]) && idmap_get(l->ids, ref_key(r, f), NULL))
            return true;
    return (r->kind->kind == KIND_input || r->kind->kind == KIND_input_tag) && is_of_dataset(l, r);
}

struct row_search {
    struct left_out *left_out;
    bool found;
};

static bool look_up(void *arg, unsigned flags, struct value *v, struct err *e)
{
    struct row_search *s = arg;
    (void)e;
    for (size_t f = 0; f < ARRAY_LENGTH(row_flags); f++)
        s->found |= (flags & row_flags[f]) && idmap_get(s->left_out->ids, ref_key_of(row_flags[f], v), NULL);
    return true;
}

bool left_out_has_row(struct left_out *l, struct record *r)
{
    struct row_search s = {l, false};
    struct err e; /* of values that cannot be read: they refer to nothing */
    if (idmap_len(l->ids) > 0)
        row_edit(l->rows, r, FIELD_EXP | FIELD_RUN | FIELD_TRACE | FIELD_MODEL, look_up, &s, &e);
    return s.found;
}
