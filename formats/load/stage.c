/* Rows into the sorter: by table and primary key; before them names, after them references. */
#include <math.h>

#include "formats/load/internal.h"

bool load_stage_name(struct load *s, const struct record *r, struct err *e)
{
    struct value ws = record_workspace(r);
    buf_reset(&s->key);
    buf_addc(&s->key, SORT_NAMES);
    load_put_key(&s->key, &ws);
    load_put_key(&s->key, &r->v[F_experiment_name]);
    const struct value *id = &r->v[F_experiment_experiment_id];
    return sorter_add(s->sorter, s->key.data, s->key.len, id->s, id->len, e);
}

static void begin_data(struct load *s, enum kind kind, unsigned flags)
{
    struct row_head h = {(uint8_t)flags, (uint8_t)kind, s->n_segments};
    buf_reset(&s->data);
    buf_add(&s->data, &h, sizeof h);
}

static bool add_staged(struct load *s, struct err *e)
{
    return sorter_add(s->sorter, s->key.data, s->key.len, s->data.data, s->data.len, e);
}

/* The row's entry for the sorter: its key in s->key, what else it holds in s->data. */
static bool stage_row(struct load *s, enum kind kind, const struct load_table *t, const struct value *row,
                      unsigned flags, struct err *e)
{
    buf_reset(&s->key);
    buf_addc(&s->key, (char)(SORT_TABLES + (t - s->tables)));
    for (int i = 0; i < t->n_key; i++) {
        const struct value *v = &row[t->key[i]];
        if (v->type == VALUE_FLOAT && v->f == 0 && signbit(v->f))
            flags |= ROW_NEGATIVE_ZERO;
        load_put_key(&s->key, v);
    }
    begin_data(s, kind, flags);
    for (int i = 0; i < t->n_columns; i++)
        if (!t->columns[i].in_key)
            load_put_value(&s->data, &row[i]);
    return add_staged(s, e);
}

bool load_stage_row(struct load *s, enum kind kind, struct load_table *t, const struct value *row,
                    struct err *e)
{
    t->filled = true;
    if (t->streamed) {
        s->report.rows[kind]++;
        return s->report.problems || s->sink->ops->put_streamed(s->sink, row, e);
    }
    return stage_row(s, kind, t, row, 0, e);
}

bool load_stage_converted(struct load *s, struct load_table *t, const struct value *row, struct err *e)
{
    t->filled = true;
    return stage_row(s, KIND_row, t, row, ROW_CONVERTED, e);
}

bool load_stage_metric(struct load *s, const struct load_table *t, const struct value *key, int n, int column,
                       const struct value *v, struct err *e)
{
    buf_reset(&s->key);
    buf_addc(&s->key, (char)(SORT_TABLES + (t - s->tables)));
    for (int i = 0; i < n; i++)
        load_put_key(&s->key, &key[i]);
    begin_data(s, KIND_row, ROW_PATCH | ROW_METRIC);
    buf_addc(&s->data, 1);
    buf_addc(&s->data, (char)column);
    load_put_value(&s->data, v);
    return add_staged(s, e);
}

bool load_stage_patch(struct load *s, const struct record *r, const struct load_promoted *what, struct err *e)
{
    const struct load_plan *p = &s->plans[KIND_trace];
    enum verdict v = load_judge(s, r, F_trace_tag_value);
    if (v != KEEP) {
        s->report.dropped[r->kind->kind] += v == LEAVE_RECORD;
        return true;
    }
    s->report.cut_names += what->cut_name;
    s->report.cut_sessions += what->cut_session;
    s->report.usage_losses += what->loss;
    buf_reset(&s->key);
    buf_addc(&s->key, (char)(SORT_TABLES + (p->table - s->tables)));
    load_put_key(&s->key, &r->v[0]);
    begin_data(s, r->kind->kind, ROW_PATCH);
    buf_addc(&s->data, (char)what->n);
    for (int i = 0; i < what->n; i++) {
        buf_addc(&s->data, (char)load_table_find(p->table, what->items[i].column));
        load_put_value(&s->data, &what->items[i].value);
    }
    return add_staged(s, e);
}
