/* References between records: noted as records come, checked when all rows are written. */
#include "formats/load/references.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/load/problems.h"
#include "formats/load/row_bytes.h"
#include "formats/load/sink.h"
#include "formats/load/stage.h"
#include "formats/record/references.h"

struct load_references {
    const struct load_tables *tables;
    struct load_problems *problems;
    struct load_stage *stage;
    struct buf key;
    struct buf current[REF_COUNT]; /* keys of the last parents, */
    struct buf noted[REF_COUNT];   /* and of those last noted */
    struct buf found;              /* the reference last found, if any */
    struct arena scratch;
};

struct load_references *load_references_new(const struct load_tables *tables, struct load_problems *problems,
                                            struct load_stage *stage)
{
    struct load_references *refs = xcalloc(1, sizeof *refs);
    refs->tables = tables;
    refs->problems = problems;
    refs->stage = stage;
    return refs;
}

void load_references_free(struct load_references *refs)
{
    if (!refs)
        return;
    for (int i = 0; i < REF_COUNT; i++) {
        buf_free(&refs->current[i]);
        buf_free(&refs->noted[i]);
    }
    buf_free(&refs->key);
    buf_free(&refs->found);
    arena_free(&refs->scratch);
    free(refs);
}

void load_references_segment(struct load_references *refs)
{
    for (int i = 0; i < REF_COUNT; i++)
        buf_reset(&refs->current[i]);
}

/* -- while records come */

/* Sets refs->key to the key of a row that others refer to, by the columns of load_refs[]. */
static void put_ref_key(struct load_references *refs, const struct value *v, int n)
{
    buf_reset(&refs->key);
    for (int i = 0; i < n; i++)
        load_put_key(&refs->key, &v[i]);
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

bool load_refer(struct load_references *refs, const struct record *r, enum load_ref ref,
                const struct value *v, int n, struct err *e)
{
    put_ref_key(refs, v, n);
    if (same_bytes(&refs->key, &refs->current[ref]) || same_bytes(&refs->key, &refs->noted[ref]))
        return true;
    copy_bytes(&refs->noted[ref], &refs->key);
    load_describe(refs->problems, r);
    return load_stage_ref(refs->stage, ref, &refs->key, &refs->problems->text, e);
}

bool load_refs_current(struct load_references *refs, enum load_ref ref, const struct value *v, int n)
{
    put_ref_key(refs, v, n);
    return same_bytes(&refs->key, &refs->current[ref]);
}

/* The columns of load_refs[] for a record with the fields `name`, optionally `version`, and `workspace`. */
static int registry_key(const struct load_references *refs, const struct record *r, bool version,
                        struct value *v)
{
    int n = 0;
    v[n++] = r->v[0];
    if (version)
        v[n++] = r->v[1];
    if (refs->tables->rev >= REV_WORKSPACES)
        v[n++] = record_workspace(r);
    return n;
}

/* Which kind of parent a record is; -1 if it is none. */
static int parent_key(const struct load_references *refs, const struct record *r, const struct load_plan *p,
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
        *n = registry_key(refs, r, false, v);
        return REF_REGISTERED;
    case KIND_model_version:
        *n = registry_key(refs, r, true, v);
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

/* Notes every reference that must not dangle. (Others, such as the run of a model version or the model that a
 * run logged, may have been deleted permanently.) */
bool load_note_refs(struct load_references *refs, const struct record *r, const struct load_plan *p,
                    const struct value *row, struct err *e)
{
    const struct kind_desc *k = r->kind;
    struct value v[REF_MAX_COLUMNS];
    int n, self = parent_key(refs, r, p, row, v, &n);
    if (self >= 0) {
        put_ref_key(refs, v, n);
        copy_bytes(&refs->current[self], &refs->key);
    }
    for (int i = 0; i < k->n_fields; i++) {
        unsigned flags = k->fields[i].flags;
        int ref = field_ref(flags);
        if (ref < 0 || ref == self || !ref_is_hard(k, i))
            continue;
        int64_t id;
        v[0] = ref == REF_EXPERIMENT && value_decimal_id(&r->v[i], &id) ? value_int(id) : r->v[i];
        n = ref == REF_REGISTERED ? registry_key(refs, r, false, v) : 1;
        if (!load_refer(refs, r, (enum load_ref)ref, v, n, e))
            return false;
    }
    if (k->kind == KIND_model_version_tag) {
        n = registry_key(refs, r, true, v);
        return load_refer(refs, r, REF_VERSION, v, n, e);
    }
    if (k->kind == KIND_input) {
        int64_t id = 0;
        value_decimal_id(&r->v[F_input_experiment_id], &id);
        struct value dataset[] = {value_int(id), r->v[F_input_dataset_name], r->v[F_input_dataset_digest]};
        return load_refer(refs, r, REF_DATASET, dataset, 3, e);
    }
    if (k->kind == KIND_input_tag)
        return load_refer(refs, r, REF_INPUT, &row[p->column[F_input_tag_input_id]], 1, e);
    return true;
}

/* -- after the rows */

static void report_missing(struct load_references *refs, enum load_ref ref, const struct value *v, int n,
                           const struct sort_entry *x)
{
    struct err e;
    struct buf shown = {0};
    char where[sizeof e.where];
    for (int i = 0; i < n; i++) {
        if (i && strcmp(load_refs[ref].columns[i], "workspace") == 0 && value_eqs(&v[i], "default"))
            continue;
        buf_adds(&shown, i ? ", " : " ");
        value_describe(&v[i], &shown);
    }
    snprintf(where, sizeof where, "%.*s", (int)x->data_len, x->data);
    err_set(&e, where, "it belongs to the %s%s, which is not in the stream", load_refs[ref].what,
            ref == REF_INPUT ? "" : buf_str(&shown));
    buf_free(&shown);
    load_problem(refs->problems, &e);
}

bool load_follow_ref(struct load_references *refs, struct load_sink *sink, const struct sort_entry *x,
                     struct err *e)
{
    enum load_ref ref = (enum load_ref)((unsigned char)*x->key - SORT_REFS);
    struct value v[REF_MAX_COLUMNS];
    int n = 0;
    if (refs->found.len == x->key_len && memcmp(refs->found.data, x->key, x->key_len) == 0)
        return true;
    arena_reset(&refs->scratch);
    for (size_t at = 1; at < x->key_len && n < REF_MAX_COLUMNS;)
        at += load_get_key(x->key + at, x->key_len - at, &v[n++], &refs->scratch);
    int there = sink->ops->find(sink, ref, v, n, e);
    if (there == 1) {
        buf_reset(&refs->found);
        buf_add(&refs->found, x->key, x->key_len);
    } else if (there == 0) {
        report_missing(refs, ref, v, n, x);
    }
    return there >= 0;
}
