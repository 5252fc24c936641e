/* A record's fields into the columns of a row; what the target cannot hold is a problem, or left out on
 * request. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "formats/schema/limits.h"
#include "formats/load/internal.h"

/* The id that is more than PostgreSQL holds: all others will be, too. */
static enum verdict wide_id(struct load *s, const struct record *r, const char *what)
{
    if (s->fatal)
        return REFUSE;
    s->fatal = true;
    err_set(&s->fatal_error, load_describe(s, r), "%s", what);
    err_hint(&s->fatal_error,
             "give experiments small ids on the way (mlruns-dump … | ml-transform --renumber-experiments | "
             "ml-load …), or widen the columns with --wide-experiment-ids, after which only ml-schema can "
             "upgrade the database");
    return REFUSE;
}

static enum verdict unsupported(struct load *s, const struct record *r, const struct misfit *m,
                                const char *what)
{
    const struct kind_desc *k = r->kind;
    bool child = k->owner[0] && !kind_has_trait(k->kind, TRAIT_PARENT);
    if (m->kind == MISFIT_WIDE_ID)
        return wide_id(s, r, what);
    if (s->drop_unsupported && !m->needed && !child)
        return LEAVE_VALUE;
    if (s->drop_unsupported && !kind_has_trait(k->kind, TRAIT_PARENT))
        return LEAVE_RECORD;
    struct err e;
    err_set(&e, load_describe(s, r), "%s", what);
    if (m->kind == MISFIT_ID)
        err_hint(&e, "ml-transform --renumber-experiments gives experiments new ids");
    else if (s->drop_unsupported)
        err_hint(&e, "other records belong to it, so it cannot be left out: change it in the source");
    else
        err_hint(&e, "%s", load_drop_hint);
    load_problem(s, &e);
    return REFUSE;
}

/* A value whose column the revision does not have. */
static enum verdict no_column(struct load *s, const struct record *r, int field, const char *what)
{
    const struct kind_desc *k = r->kind;
    if (s->drop_unsupported) {
        s->report.dropped_values[k->kind][field]++;
        return KEEP;
    }
    if (s->told[k->kind] & 1u << field) {
        load_problem_again(s);
        return REFUSE;
    }
    s->told[k->kind] |= 1u << field;
    struct err e;
    err_set(&e, load_describe(s, r), "%s (not repeated for other %s)", what, k->plural);
    err_hint(&e, "%s; or --release names a newer one", load_drop_hint);
    load_problem(s, &e);
    return REFUSE;
}

/* Reports a value that does not fit, or leaves it out on request, by itself where the record makes sense
 * without it. */
static enum verdict misfit(struct load *s, const struct record *r, int field, const struct misfit *m)
{
    struct buf what = {0};
    limits_describe(m, r->kind->fields[field].name, &r->v[field], &what);
    enum verdict v = m->kind == MISFIT_NO_COLUMN ? no_column(s, r, field, buf_str(&what))
                                                 : unsupported(s, r, m, buf_str(&what));
    buf_free(&what);
    return v;
}

enum verdict load_judge(struct load *s, const struct record *r, int field)
{
    struct misfit m;
    return limits_field(s->limits, r, field, &m) ? KEEP : misfit(s, r, field, &m);
}

void load_no_table(struct load *s, const struct record *r)
{
    enum kind k = r->kind->kind;
    if (k == KIND_latest_metric) /* derived: MLflow of that release computes it when it reads */
        return;
    if (s->drop_unsupported) {
        s->report.dropped[k]++;
        return;
    }
    if (s->told[k] & 1u << 31) {
        load_problem_again(s);
        return;
    }
    s->told[k] |= 1u << 31;
    struct err e;
    struct buf release = {0};
    limits_add_release(limits_kind_since(r->kind), &release);
    err_set(&e, load_describe(s, r),
            "this schema has no table for %s; the first release with it is %s (not repeated for others)",
            r->kind->plural, buf_str(&release));
    err_hint(&e, "%s; or --release names a newer one", load_drop_hint);
    buf_free(&release);
    load_problem(s, &e);
}

/* ---- from a record to a row */

static double finite_value(double f)
{
    return isinf(f) ? (f > 0 ? DBL_MAX : -DBL_MAX) : f;
}

/* A logged model's status as its column has it. */
static struct value status_code(const struct value *word)
{
    static const char *const words[] = {"UNSPECIFIED", "PENDING", "READY", "FAILED"};
    int code = 0;
    while (code < 3 && !value_eqs(word, words[code]))
        code++;
    return value_int(code);
}

/* One field, whose value fits, into its column. */
static void convert_field(struct load *s, const struct record *r, int field, const struct load_plan *p,
                          struct value *row)
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
        s->report.model_nans += isnan(v->f);
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

enum verdict load_convert(struct load *s, const struct record *r, const struct load_plan *p,
                          struct value *row)
{
    const struct kind_desc *k = r->kind;
    enum verdict worst = KEEP;
    for (int i = 0; i < p->table->n_columns; i++)
        row[i] = p->table->columns[i].not_null ? p->table->columns[i].dflt : value_null();
    for (int i = 0; i < k->n_consts; i++)
        row[p->consts[i]] = value_str(k->consts[i].text);
    for (int i = 0; i < k->n_fields; i++) {
        enum verdict v = load_judge(s, r, i);
        if (v == KEEP)
            convert_field(s, r, i, p, row);
        else if (v == LEAVE_VALUE)
            s->report.dropped_values[k->kind][i]++;
        else if (v > worst)
            worst = v;
    }
    if (worst == LEAVE_RECORD)
        s->report.dropped[k->kind]++;
    if (worst == KEEP)
        load_derive(s, r, p, row);
    return worst;
}
