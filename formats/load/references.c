/* What records refer to: put down while they come, followed when all rows are written. */
#include <string.h>

#include "formats/record/references.h"
#include "formats/load/internal.h"

const struct load_ref_desc load_refs[REF_COUNT] = {
    [REF_EXPERIMENT] = {"experiment", "experiments", {"experiment_id"}},
    [REF_RUN] = {"run", "runs", {"run_uuid"}},
    [REF_TRACE] = {"trace", "trace_info", {"request_id"}},
    [REF_MODEL] = {"logged model", "logged_models", {"model_id"}},
    [REF_REGISTERED] = {"registered model", "registered_models", {"name", "workspace"}},
    [REF_VERSION] = {"model version", "model_versions", {"name", "version", "workspace"}},
    [REF_DATASET] = {"dataset", "datasets", {"experiment_id", "name", "digest"}},
    [REF_INPUT] = {"input", "inputs", {"input_uuid"}},
};

/* The key of a row that others refer to, by the columns of load_refs[], in s->key. */
static void put_ref_key(struct load *s, const struct value *v, int n)
{
    buf_reset(&s->key);
    for (int i = 0; i < n; i++)
        load_put_key(&s->key, &v[i]);
}

static bool same_bytes(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static void copy_bytes(struct buf *to, const struct buf *from)
{
    buf_reset(to);
    buf_add(to, from->data, from->len);
}

/* Puts down for a check, unless it is the parent that came last, that r refers to the row named by v. */
bool load_refer(struct load *s, const struct record *r, enum load_ref ref, const struct value *v, int n,
                struct err *e)
{
    put_ref_key(s, v, n);
    if (same_bytes(&s->key, &s->current[ref]) || same_bytes(&s->key, &s->noted[ref]))
        return true;
    copy_bytes(&s->noted[ref], &s->key);
    struct buf full = {0};
    buf_addc(&full, (char)(SORT_REFS + ref));
    buf_add(&full, s->key.data, s->key.len);
    load_describe(s, r);
    bool ok = sorter_add(s->sorter, full.data, full.len, buf_str(&s->text), s->text.len, e);
    buf_free(&full);
    return ok;
}

/* The columns of load_refs[] for a record that has fields `name`, perhaps `version`, and `workspace`. */
static int registry_key(const struct load *s, const struct record *r, bool version, struct value *v)
{
    int n = 0;
    v[n++] = r->v[0];
    if (version)
        v[n++] = r->v[1];
    if (s->rev >= REV_WORKSPACES)
        v[n++] = record_workspace(r);
    return n;
}

/* The parent that a record is; -1 when it is none. */
static int parent_key(const struct load *s, const struct record *r, const struct load_plan *p,
                      const struct value *row, struct value *v, int *n)
{
    *n = 1;
    switch (r->kind->kind) {
    case KIND_experiment:
        v[0] = row[p->column[F_experiment_experiment_id]];
        return REF_EXPERIMENT;
    case KIND_run:
        v[0] = r->v[F_run_run_id];
        return REF_RUN;
    case KIND_trace:
        v[0] = r->v[F_trace_trace_id];
        return REF_TRACE;
    case KIND_logged_model:
        v[0] = r->v[F_logged_model_model_id];
        return REF_MODEL;
    case KIND_registered_model:
    case KIND_prompt:
        *n = registry_key(s, r, false, v);
        return REF_REGISTERED;
    case KIND_model_version:
        *n = registry_key(s, r, true, v);
        return REF_VERSION;
    case KIND_dataset:
        v[0] = row[p->column[F_dataset_experiment_id]];
        v[1] = r->v[F_dataset_name];
        v[2] = r->v[F_dataset_digest];
        *n = 3;
        return REF_DATASET;
    case KIND_input:
        v[0] = row[p->column[F_input_input_id]];
        return REF_INPUT;
    default:
        return -1;
    }
}

/* What a field refers to; -1: nothing. */
static int field_ref(unsigned flags)
{
    return flags & FIELD_EXP     ? REF_EXPERIMENT
           : flags & FIELD_RUN   ? REF_RUN
           : flags & FIELD_TRACE ? REF_TRACE
           : flags & FIELD_MODEL ? REF_MODEL
           : flags & FIELD_REG   ? REF_REGISTERED
                                 : -1;
}

/* Notes every reference that must lead somewhere. (What others name, e.g. the run of a model version or the
 * model that a run logged, may have been deleted for good since.) */
bool load_note_refs(struct load *s, const struct record *r, const struct load_plan *p,
                    const struct value *row, struct err *e)
{
    const struct kind_desc *k = r->kind;
    struct value v[REF_MAX_COLUMNS];
    int n, self = parent_key(s, r, p, row, v, &n);
    if (self >= 0) {
        put_ref_key(s, v, n);
        copy_bytes(&s->current[self], &s->key);
    }
    for (int i = 0; i < k->n_fields; i++) {
        unsigned flags = k->fields[i].flags;
        int ref = field_ref(flags);
        if (ref < 0 || ref == self || !ref_is_hard(k, i))
            continue;
        int64_t id;
        v[0] = ref == REF_EXPERIMENT && value_decimal_id(&r->v[i], &id) ? value_int(id) : r->v[i];
        n = ref == REF_REGISTERED ? registry_key(s, r, false, v) : 1;
        if (!load_refer(s, r, (enum load_ref)ref, v, n, e))
            return false;
    }
    if (k->kind == KIND_model_version_tag) {
        n = registry_key(s, r, true, v);
        return load_refer(s, r, REF_VERSION, v, n, e);
    }
    if (k->kind == KIND_input) {
        int64_t id = 0;
        value_decimal_id(&r->v[F_input_experiment_id], &id);
        struct value dataset[] = {value_int(id), r->v[F_input_dataset_name], r->v[F_input_dataset_digest]};
        return load_refer(s, r, REF_DATASET, dataset, 3, e);
    }
    if (k->kind == KIND_input_tag)
        return load_refer(s, r, REF_INPUT, &row[p->column[F_input_tag_input_id]], 1, e);
    return true;
}
