/* Converts a record's fields to the columns of a row; what the target cannot hold is a problem, or dropped on
 * request. */
#include "formats/load/conversion.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* What to do with a value or its record. */
enum verdict { KEEP, LEAVE_VALUE, LEAVE_RECORD, REFUSE };

/* An id too large for PostgreSQL is reported once, as most others will be, too. */
static enum verdict wide_id(struct load_conversion *c, const struct record *r, const char *what)
{
    if (c->problems->fatal)
        return REFUSE;
    c->problems->fatal = true;
    err_set(&c->problems->fatal_error, load_describe(c->problems, r), "%s", what);
    err_hint(
        &c->problems->fatal_error,
        "give experiments small ids (mlruns-dump … | ml-transform --renumber-experiments | ml-load …), or "
        "widen the columns with --wide-experiment-ids, after which only ml-schema can upgrade the database");
    return REFUSE;
}

static enum verdict unsupported(struct load_conversion *c, const struct record *r, const struct misfit *m,
                                const char *what)
{
    const struct kind_desc *k = r->kind;
    bool child = k->owner[0] && !kind_has_trait(k->kind, TRAIT_PARENT) && k->kind != KIND_span;
    if (m->kind == MISFIT_WIDE_ID)
        return wide_id(c, r, what);
    if (c->problems->drop_unsupported && !m->needed && !child)
        return LEAVE_VALUE;
    if (c->problems->drop_unsupported && !kind_has_trait(k->kind, TRAIT_PARENT))
        return LEAVE_RECORD;
    struct err e;
    err_set(&e, load_describe(c->problems, r), "%s", what);
    if (m->kind == MISFIT_ID)
        err_hint(&e, "ml-transform --renumber-experiments gives experiments new ids");
    else if (c->problems->drop_unsupported)
        err_hint(&e, "other records belong to it, so it cannot be dropped: change it in the source");
    else
        err_hint(&e, "%s", load_drop_hint);
    load_problem(c->problems, &e);
    return REFUSE;
}

/* Handles a value whose column the revision does not have. */
static enum verdict no_column(struct load_conversion *c, const struct record *r, int field, const char *what)
{
    const struct kind_desc *k = r->kind;
    if (c->problems->drop_unsupported) {
        c->problems->report.dropped_values[k->kind][field]++;
        return KEEP;
    }
    if (c->reported[k->kind] & 1u << field) {
        load_problem_again(c->problems);
        return REFUSE;
    }
    c->reported[k->kind] |= 1u << field;
    struct err e;
    err_set(&e, load_describe(c->problems, r), "%s (not repeated for other %s)", what, k->plural);
    err_hint(&e, "%s; or name a newer one with --release", load_drop_hint);
    load_problem(c->problems, &e);
    return REFUSE;
}

static enum verdict misfit(struct load_conversion *c, const struct record *r, int field,
                           const struct misfit *m)
{
    struct buf what = {0};
    limits_describe(m, r->kind->fields[field].name, &r->v[field], &what);
    enum verdict v = m->kind == MISFIT_NO_COLUMN ? no_column(c, r, field, buf_str(&what))
                                                 : unsupported(c, r, m, buf_str(&what));
    buf_free(&what);
    return v;
}

/* Checks a field. One that the target cannot hold is reported or, on request, dropped, alone if the row is
 * useful without it. */
static enum verdict judge(struct load_conversion *c, const struct record *r, int field)
{
    struct misfit m;
    return limits_field(c->tables->limits, r, field, &m) ? KEEP : misfit(c, r, field, &m);
}

void load_no_table(struct load_conversion *c, const struct record *r)
{
    enum kind k = r->kind->kind;
    if (k == KIND_latest_metric) /* derived: MLflow of that release computes it when reading */
        return;
    if (k == KIND_span &&
        c->from_file_store) { /* they stay where they are, and MLflow of that release reads them there */
        c->problems->report.spans_left++;
        return;
    }
    if (c->problems->drop_unsupported) {
        c->problems->report.dropped[k]++;
        return;
    }
    if (c->reported[k] & 1u << 31) {
        load_problem_again(c->problems);
        return;
    }
    c->reported[k] |= 1u << 31;
    struct err e;
    struct buf release = {0};
    limits_add_release(limits_kind_since(r->kind), &release);
    err_set(&e, load_describe(c->problems, r),
            "this schema has no table for %s; the first release with it is %s (not repeated for others)",
            r->kind->plural, buf_str(&release));
    err_hint(&e, "%s; or name a newer one with --release", load_drop_hint);
    buf_free(&release);
    load_problem(c->problems, &e);
}

/* -- from a record to a row */

static double finite_value(double f)
{
    return isinf(f) ? (f > 0 ? DBL_MAX : -DBL_MAX) : f;
}

/* A logged model's status as the code in its column. */
static struct value status_code(const struct value *word)
{
    static const char *const words[] = {"UNSPECIFIED", "PENDING", "READY", "FAILED"};
    int code = 0;
    while (code < 3 && !value_eqs(word, words[code]))
        code++;
    return value_int(code);
}

/* Converts a field, whose value fits, to its column. */
static void convert_field(struct load_conversion *c, const struct record *r, int field,
                          const struct load_plan *p, struct value *row)
{
    const struct value *v = &r->v[field];
    int column = p->column[field];
    if (column < 0 || value_is_null(v))
        return;
    struct value *out = &row[column];
    int64_t id;
    switch (r->kind->fields[field].codec) {
    case CODEC_ID:
        if (value_decimal_id(v, &id))
            *out = value_int(id);
        return;
    case CODEC_METRIC:
        *out = value_float(isnan(v->f) ? 0.0 : finite_value(v->f));
        if (p->is_nan >= 0)
            row[p->is_nan] = value_bool(isnan(v->f));
        return;
    case CODEC_MODEL_METRIC:
        c->problems->report.model_nans += isnan(v->f);
        *out = value_float(isnan(v->f) ? 0.0 : finite_value(v->f));
        return;
    case CODEC_MODEL_STATUS:
        *out = status_code(v);
        return;
    default:
        *out = *v;
        return;
    }
}

/* Fills the row. KEEP if it is to be stored. */
static enum verdict fill_row(struct load_conversion *c, const struct record *r, const struct load_plan *p,
                             struct value *row)
{
    const struct kind_desc *k = r->kind;
    struct load_report *report = &c->problems->report;
    enum verdict worst = KEEP;
    load_table_defaults(p->table, row);
    for (int i = 0; i < k->n_consts; i++)
        row[p->consts[i]] = value_str(k->consts[i].text);
    for (int i = 0; i < k->n_fields; i++) {
        enum verdict v = judge(c, r, i);
        if (v == KEEP)
            convert_field(c, r, i, p, row);
        else if (v == LEAVE_VALUE)
            report->dropped_values[k->kind][i]++;
        else if (v > worst)
            worst = v;
    }
    if (worst == LEAVE_RECORD)
        report->dropped[k->kind]++;
    if (worst == KEEP)
        load_derive(c, r, p, row);
    return worst;
}

/* Stages a trace's tag or metadata that fills columns of the trace's row. */
static bool stage_promoted(struct load_conversion *c, const struct record *r,
                           const struct load_promoted *what, struct err *e)
{
    struct load_report *report = &c->problems->report;
    const struct load_table *t = c->tables->plans[KIND_trace].table;
    struct load_patch patch = {.table = t, .key = &r->v[0], .n_key = 1, .kind = r->kind->kind, .n = what->n};
    enum verdict v = judge(c, r, F_trace_tag_value);
    if (v != KEEP) {
        report->dropped[r->kind->kind] += v == LEAVE_RECORD;
        return true;
    }
    report->cut_names += what->cut_name;
    report->cut_sessions += what->cut_session;
    report->usage_losses += what->loss;
    for (int i = 0; i < what->n; i++) {
        patch.items[i].column = load_table_find(t, what->items[i].column);
        patch.items[i].value = what->items[i].value;
    }
    return load_stage_patch(c->stage, &patch, e);
}

bool load_convert_record(struct load_conversion *c, const struct record *r, struct err *e)
{
    const struct load_plan *p = &c->tables->plans[r->kind->kind];
    struct value row[LOAD_MAX_COLUMNS];
    struct load_promoted promoted;
    arena_reset(&c->scratch);
    if (!load_note_spans(c, r, e))
        return false;
    if (c->tables->rev >= REV_TRACE_ANALYTICS &&
        (r->kind->kind == KIND_trace_tag || r->kind->kind == KIND_trace_request_metadata) &&
        load_promote(&c->json, r, &promoted))
        return load_note_refs(c->references, r, p, NULL, e) && stage_promoted(c, r, &promoted, e);
    if (!load_note_gateway(c, r, e))
        return false;
    enum verdict verdict = fill_row(c, r, p, row);
    if (c->problems->fatal) {
        *e = c->problems->fatal_error;
        return false;
    }
    if (verdict != KEEP)
        return true;
    if (!load_note_refs(c->references, r, p, row, e))
        return false;
    if (r->kind->kind == KIND_experiment && !load_stage_name(c->stage, r, e))
        return false;
    return load_stage_row(c->stage, r->kind->kind, record_part(r), p->table, row, e) &&
           load_stage_beside(c, r, e);
}

void load_conversion_free(struct load_conversion *c)
{
    arena_free(&c->scratch);
    pyjson_free(&c->json);
    buf_free(&c->text);
    buf_free(&c->gateway);
    buf_free(&c->last_trace.id);
    span_content_free(&c->span);
}
