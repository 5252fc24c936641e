/* Moves staged rows into a sink: compares names, writes rows, checks references. */
#include <stdio.h>
#include <string.h>

#include "common/progress.h"
#include "formats/load/internal.h"
#include "formats/load/merge.h"
#include "formats/load/row_bytes.h"

struct writer {
    struct load *s;
    struct load_sink *sink;
    struct load_merge *merge;
    bool rows_ended;
    uint64_t row_problems;    /* those reported before references were checked */
    struct buf name, name_id; /* the last experiment name and its experiment */
    bool hinted_at_names;
    struct arena scratch;
    bool has_line; /* of progress: none of the caller's is running, to which rows are added */
};

static bool fill_table(struct writer *w, const struct load_table *t, struct err *e)
{
    struct load_row_source *rows = load_merge_table(w->merge, t);
    const struct value *row;
    int got;
    switch (w->sink->ops->fill(w->sink, t, rows, e)) {
    case SINK_STORED:
        return true;
    case SINK_REFUSED:
        snprintf(e->where, sizeof e->where, "%s", load_merge_describe(w->merge));
        load_problem(&w->s->problems, e);
        while ((got = rows->next(rows, &row, e)) == 1)
            continue;
        return got == 0;
    case SINK_FAILED:
        break;
    }
    return false;
}

/* -- names of experiments */

static void take_name(struct writer *w, const struct sort_entry *x)
{
    bool same_name = w->name.len == x->key_len && memcmp(w->name.data, x->key, x->key_len) == 0;
    bool same_id = w->name_id.len == x->data_len && memcmp(w->name_id.data, x->data, x->data_len) == 0;
    if (same_name && same_id)
        return;
    if (same_name) {
        struct err e;
        char where[64];
        struct value ws, name;
        struct buf shown = {0};
        size_t at = 1 + load_get_key(x->key + 1, x->key_len - 1, &ws, &w->scratch);
        load_get_key(x->key + at, x->key_len - at, &name, &w->scratch);
        value_describe(&name, &shown);
        snprintf(where, sizeof where, "Experiment %.*s", (int)x->data_len, x->data);
        err_set(&e, where, "duplicate name '%s', also of experiment %s", buf_str(&shown),
                buf_str(&w->name_id));
        if (!w->hinted_at_names)
            err_hint(&e, "ml-transform --merge --on-conflict rename, before ml-load, renames all but one of "
                         "each name, deleted experiments first");
        w->hinted_at_names = true;
        buf_free(&shown);
        load_problem(&w->s->problems, &e);
        return;
    }
    buf_reset(&w->name);
    buf_add(&w->name, x->key, x->key_len);
    buf_reset(&w->name_id);
    buf_add(&w->name_id, x->data, x->data_len);
}

/* -- the whole load */

static bool end_rows(struct writer *w, struct err *e)
{
    struct load_report *report = &w->s->problems.report;
    if (w->rows_ended)
        return true;
    w->rows_ended = true;
    if (w->has_line)
        progress_end();
    w->row_problems = report->problems;
    uint64_t collapsed = 0;
    bool ok = w->row_problems || w->sink->ops->end(w->sink, &collapsed, e);
    report->rows[KIND_metric] -= collapsed;
    report->collapsed[KIND_metric] += collapsed;
    return ok;
}

/* Processes entries after the rows. */
static bool take_last(struct writer *w, const struct sort_entry *x, struct err *e)
{
    return (unsigned char)*x->key == SORT_GATEWAY ? load_take_gateway(&w->s->conversion, w->sink, x, e)
                                                  : load_follow_ref(w->s->references, w->sink, x, e);
}

static bool take_all(struct writer *w, struct err *e)
{
    struct load_stage *stage = w->s->stage;
    const struct sort_entry *x;
    bool ok = load_stage_fetch(stage, e);
    while (ok && (x = load_stage_entry(stage))) {
        const struct load_table *t = load_stage_table(stage);
        if (t) {
            ok = fill_table(w, t, e);
            continue;
        }
        if (!load_stage_data(stage, x->data_len, e))
            return false;
        if ((unsigned char)*x->key < SORT_TABLES)
            take_name(w, x);
        else /* after problems, rows may be missing because of them */
            ok = end_rows(w, e) && (w->row_problems || take_last(w, x, e));
        ok = ok && load_stage_fetch(stage, e);
    }
    return ok && end_rows(w, e);
}

bool load_write_to(struct load *s, struct load_sink *sink, struct err *e)
{
    struct writer w = {.s = s,
                       .sink = sink,
                       .merge = load_merge_new(&s->tables, &s->problems, s->stage),
                       .has_line = !progress_is_running()};
    uint64_t streamed = s->problems.report.rows[KIND_metric]; /* before the others */
    if (w.has_line)
        progress_start("loading", "rows", streamed + load_stage_rows(s->stage));
    else
        progress_set_total(load_stage_rows(s->stage));
    progress_add(streamed);
    bool ok = load_stage_finish(s->stage, e) && sink->ops->begin(sink, e) && take_all(&w, e);
    if (w.has_line)
        progress_end();
    ok = ok && load_check(s, e) && sink->ops->finish(sink, e);
    load_merge_free(w.merge);
    buf_free(&w.name);
    buf_free(&w.name_id);
    arena_free(&w.scratch);
    return ok;
}

static struct load_sink *new_sink(const struct load *s, struct db *db)
{
    return s->tables.dialect == DIALECT_SQLITE ? load_sqlite_sink(db, &s->tables)
                                               : load_postgres_sink(db, &s->tables);
}

bool load_begin_streamed(struct load *s, struct db *db, struct err *e)
{
    struct load_table *t = s->tables.plans[KIND_metric].table;
    if (!t || t->n_key < t->n_columns)
        return true;
    s->sink = new_sink(s, db);
    bool ok = !s->sink->ops->begin_streamed || s->sink->ops->begin_streamed(s->sink, t, e);
    if (ok && t->streamed) {
        load_stage_stream_to(s->stage, s->sink);
        return true;
    }
    s->sink->ops->free(s->sink);
    s->sink = NULL;
    return ok;
}

/* Ends the rows of the streamed table. */
static bool end_streamed(struct load *s, struct err *e)
{
    return !s->sink || !s->tables.plans[KIND_metric].table->streamed ||
           s->sink->ops->end_streamed(s->sink, e);
}

bool load_write(struct load *s, struct db *db, struct err *e)
{
    bool ok = end_streamed(s, e);
    if (!s->sink)
        s->sink = new_sink(s, db);
    ok = ok && load_replace_workspaces(s->untyped, db, e) && load_write_to(s, s->sink, e) &&
         load_add_workspaces(&s->tables, &s->problems.report, db, e);
    s->sink->ops->free(s->sink);
    s->sink = NULL;
    return ok;
}
