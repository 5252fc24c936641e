/* Ids of entities that are left out, and what refers to them. */
#include "formats/database/left_out.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/spill.h"
#include "formats/record/idmap.h"
#include "formats/record/references.h"

enum { DATASETS = 1 << 20 }; /* a space of keys beside those of ref_key() */

struct left_out {
    struct spill *spill;
    struct idmap *ids;
};

struct left_out *left_out_new(const char *tmpdir)
{
    struct left_out *l = xcalloc(1, sizeof *l);
    l->spill = spill_new(tmpdir);
    l->ids = idmap_new(l->spill);
    return l;
}

void left_out_free(struct left_out *l)
{
    if (!l)
        return;
    idmap_free(l->ids);
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

bool left_out_has_row(struct left_out *l, const struct row_table *t, const struct row_entry *entries, int n)
{
    static const unsigned flags[] = {FIELD_EXP, FIELD_RUN, FIELD_TRACE, FIELD_MODEL};
    for (int i = 0; idmap_len(l->ids) > 0 && i < row_refs_count; i++) {
        const struct row_ref *ref = &row_refs[i];
        if (strcmp(ref->table, t->name) != 0)
            continue;
        const struct row_entry *by = *ref->by ? row_entry_find(entries, n, ref->by, strlen(ref->by)) : NULL;
        const struct row_entry *id = row_entry_find(entries, n, ref->column, strlen(ref->column));
        if (!id || value_is_null(&id->v) || (*ref->by && !(by && value_eqs(&by->v, ref->text))))
            continue;
        char digits[24];
        struct value v = id->v;
        if (v.type == VALUE_INT) /* experiments' ids are texts in records */
            v = value_strn(digits, (size_t)snprintf(digits, sizeof digits, "%" PRId64, v.i));
        for (size_t f = 0; f < ARRAY_LENGTH(flags); f++)
            if ((ref->flags & flags[f]) && value_is_text(&v) &&
                idmap_get(l->ids, ref_key_of(flags[f], &v), NULL))
                return true;
    }
    return false;
}
