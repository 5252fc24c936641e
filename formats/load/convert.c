/* A record's fields into the columns of a row; what the target cannot hold is a problem, or left out on
 * request. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/utf8.h"
#include "formats/schema/schema.h"
#include "formats/load/internal.h"

enum verdict load_unsupported(struct load *s, const struct record *r, int field, const char *what,
                              const char *hint)
{
    const struct kind_desc *k = r->kind;
    bool needed = k->fields[field].flags & (FIELD_K | FIELD_R);
    bool child = k->owner[0] && !kind_has_trait(k->kind, TRAIT_PARENT);
    if (s->drop_unsupported && !needed && !child)
        return LEAVE_VALUE;
    if (s->drop_unsupported && !kind_has_trait(k->kind, TRAIT_PARENT))
        return LEAVE_RECORD;
    struct err e;
    err_set(&e, load_describe(s, r), "%s: %s", k->fields[field].name, what);
    if (s->drop_unsupported)
        err_hint(&e, "other records belong to it, so it cannot be left out: change it in the source");
    else if (hint)
        err_hint(&e, "%s", hint);
    load_problem(s, &e);
    return REFUSE;
}

/* True for what a column that is not there would hold anyway. */
static bool is_default(const struct record *r, int field)
{
    const struct field_desc *f = &r->kind->fields[field];
    const struct value *v = &r->v[field];
    if (f->flags & FIELD_WS)
        return value_eqs(v, "default");
    return v->type == VALUE_INT && v->i == 0 &&
           (strcmp(f->name, "step") == 0 || strcmp(f->name, "db_payload_generation") == 0);
}

static void first_release(int order, struct buf *out)
{
    const struct schema_release *first = schema_first_release_with(order);
    buf_addf(out, "MLflow %s", first ? first->release : "newer than all that are known here");
}

/* A value whose column the revision does not have. */
static enum verdict no_column(struct load *s, const struct record *r, int field)
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
    struct buf release = {0};
    first_release(k->fields[field].since, &release);
    err_set(&e, load_describe(s, r),
            "%s has no column in this schema; the first release with it is %s (not repeated for other %s)",
            k->fields[field].name, buf_str(&release), k->plural);
    err_hint(&e, "%s; or --release names a newer one", load_drop_hint);
    buf_free(&release);
    load_problem(s, &e);
    return REFUSE;
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
    first_release(s->plans[k].first_order, &release);
    err_set(&e, load_describe(s, r),
            "this schema has no table for %s; the first release with it is %s (not repeated for others)",
            r->kind->plural, buf_str(&release));
    err_hint(&e, "%s; or --release names a newer one", load_drop_hint);
    buf_free(&release);
    load_problem(s, &e);
}

/* ---- from a record to a row */

bool load_decimal_id(const struct value *v, int64_t *id)
{
    return v->type == VALUE_STR && value_parse_int(v->s, v->len, id) && *id >= 0 && v->s[0] != '+' &&
           v->s[0] != '-' && (v->len == 1 || v->s[0] != '0');
}

static enum verdict convert_id(struct load *s, const struct record *r, int field, const struct load_column *c,
                               struct value *out)
{
    int64_t id;
    if (load_decimal_id(&r->v[field], &id)) {
        *out = value_int(id);
        if (c->type != LOAD_INT32 || id <= INT32_MAX || s->fatal)
            return KEEP;
        s->fatal = true;
        err_set(&s->fatal_error, load_describe(s, r),
                "the id does not fit the 32-bit columns of MLflow's tables in PostgreSQL");
        err_hint(
            &s->fatal_error,
            "give experiments small ids on the way (mlruns-dump … | ml-transform --renumber-experiments | "
            "ml-load …), or widen the columns with --wide-experiment-ids, after which only ml-schema can "
            "upgrade the database");
        return REFUSE;
    }
    struct err e;
    struct buf shown = {0};
    value_describe(&r->v[field], &shown);
    err_set(&e, load_describe(s, r), "%s: '%s' is no number as a database has it",
            r->kind->fields[field].name, buf_str(&shown));
    err_hint(&e, "ml-transform --renumber-experiments gives experiments new ids");
    buf_free(&shown);
    load_problem(s, &e);
    return REFUSE;
}

static double finite_value(double f)
{
    return isinf(f) ? (f > 0 ? DBL_MAX : -DBL_MAX) : f;
}

static enum verdict convert_status(struct load *s, const struct record *r, int field, struct value *out)
{
    static const char *const words[] = {"UNSPECIFIED", "PENDING", "READY", "FAILED"};
    for (int i = 0; i < 4; i++)
        if (value_eqs(&r->v[field], words[i])) {
            *out = value_int(i);
            return KEEP;
        }
    struct err e;
    struct buf shown = {0};
    value_describe(&r->v[field], &shown);
    err_set(&e, load_describe(s, r), "%s: '%s' is none of UNSPECIFIED, PENDING, READY, FAILED",
            r->kind->fields[field].name, buf_str(&shown));
    buf_free(&shown);
    load_problem(s, &e);
    return REFUSE;
}

/* Words that MLflow's releases before a revision do not know, though they have the column: 1.4's CHECK has no
 * KILLED, and before 3.11 one issue makes reading its whole trace fail. */
static const struct {
    enum kind kind;
    int field;
    const char *word;
    int since;
} late_words[] = {
    {KIND_run, F_run_status, "KILLED", REV_KILLED_RUNS},
    {KIND_assessment, F_assessment_assessment_type, "issue", REV_ISSUES},
};

/* The order of the first revision that knows the word; 0: it is known where the column is. */
static int word_since(enum kind kind, int field, const struct value *v)
{
    for (size_t i = 0; i < sizeof late_words / sizeof late_words[0]; i++)
        if (late_words[i].kind == kind && late_words[i].field == field && value_eqs(v, late_words[i].word))
            return late_words[i].since;
    return 0;
}

static enum verdict late_word(struct load *s, const struct record *r, int field, int since)
{
    struct buf what = {0};
    buf_addf(&what, "'%.*s' is not known there; the first release that knows it is ", (int)r->v[field].len,
             r->v[field].s);
    first_release(since, &what);
    enum verdict v = load_unsupported(s, r, field, buf_str(&what), load_drop_hint);
    buf_free(&what);
    return v;
}

static enum verdict convert_text(struct load *s, const struct record *r, int field,
                                 const struct load_column *c, struct value *out)
{
    const struct value *v = &r->v[field];
    char what[200];
    *out = *v;
    int since = word_since(r->kind->kind, field, v);
    if (since > s->order)
        return late_word(s, r, field, since);
    if (v->type == VALUE_BIN)
        return load_unsupported(s, r, field,
                                "the text is not UTF-8, and MLflow could not read it back from a database",
                                load_drop_hint);
    if (s->dialect == DIALECT_POSTGRESQL && memchr(v->s, 0, v->len))
        return load_unsupported(s, r, field, "the text holds a NUL character, which PostgreSQL cannot store",
                                load_drop_hint);
    if (c->max_length && v->len > c->max_length && utf8_length(v->s, v->len) > (size_t)c->max_length) {
        snprintf(what, sizeof what, "%zu characters are more than the %lld of the column %s",
                 utf8_length(v->s, v->len), (long long)c->max_length, c->name);
        return load_unsupported(s, r, field, what, load_drop_hint);
    }
    return KEEP;
}

static enum verdict convert_metric(struct load *s, const struct record *r, int field, const struct plan *p,
                                   struct value *row)
{
    double f = r->v[field].f;
    bool nan = isnan(f);
    if (p->is_nan < 0 && nan)
        return load_unsupported(
            s, r, field, "a NaN cannot be stored in this schema; the first release that can is MLflow 1.1.0",
            load_drop_hint);
    row[p->column[field]] = value_float(nan ? 0.0 : finite_value(f));
    if (p->is_nan >= 0)
        row[p->is_nan] = value_bool(nan);
    return KEEP;
}

/* One field into its column. */
static enum verdict convert_field(struct load *s, const struct record *r, int field, const struct plan *p,
                                  struct value *row)
{
    const struct field_desc *f = &r->kind->fields[field];
    const struct value *v = &r->v[field];
    int column = p->column[field];
    if (column == NO_COLUMN)
        return v->type == VALUE_BIN ? load_unsupported(s, r, field, "the text is not UTF-8", load_drop_hint)
                                    : KEEP;
    if (column == MISSING_COLUMN)
        return value_is_null(v) || is_default(r, field) ? KEEP : no_column(s, r, field);
    const struct load_column *c = &p->table->columns[column];
    struct value *out = &row[column];
    if (value_is_null(v)) {
        *out = c->not_null ? c->dflt : *v;
        return KEEP;
    }
    switch (f->codec) {
    case CODEC_ID:
        return convert_id(s, r, field, c, out);
    case CODEC_METRIC:
        return convert_metric(s, r, field, p, row);
    case CODEC_MODEL_METRIC:
        s->report.model_nans += isnan(v->f);
        *out = value_float(isnan(v->f) ? 0.0 : finite_value(v->f));
        return KEEP;
    case CODEC_MODEL_STATUS:
        return convert_status(s, r, field, out);
    default:
        if (value_is_text(v))
            return convert_text(s, r, field, c, out);
        if (c->type == LOAD_INT32 && v->type == VALUE_INT && (v->i > INT32_MAX || v->i < INT32_MIN))
            return load_unsupported(s, r, field, "the number does not fit the column's 32 bits",
                                    load_drop_hint);
        *out = *v;
        return KEEP;
    }
}

enum verdict load_convert(struct load *s, const struct record *r, const struct plan *p, struct value *row)
{
    const struct kind_desc *k = r->kind;
    enum verdict worst = KEEP;
    for (int i = 0; i < p->table->n_columns; i++)
        row[i] = p->table->columns[i].not_null ? p->table->columns[i].dflt : value_null();
    for (int i = 0; i < k->n_consts; i++)
        row[p->consts[i]] = value_str(k->consts[i].text);
    for (int i = 0; i < k->n_fields; i++) {
        enum verdict v = convert_field(s, r, i, p, row);
        if (v == LEAVE_VALUE) {
            s->report.dropped_values[k->kind][i]++;
            row[p->column[i]] = value_null();
        } else if (v > worst) {
            worst = v;
        }
    }
    if (worst == LEAVE_RECORD)
        s->report.dropped[k->kind]++;
    if (worst == KEEP)
        load_derive(s, r, p, row);
    return worst;
}

bool load_check_nulls(struct load *s, const struct record *r, const struct plan *p, const struct value *row)
{
    for (int i = 0; i < p->table->n_columns; i++) {
        const struct load_column *c = &p->table->columns[i];
        if (!value_is_null(&row[i]) || !c->not_null || c->look_up)
            continue;
        struct err e;
        err_set(&e, load_describe(s, r), "it has no value for the column %s, which must have one", c->name);
        return load_problem(s, &e);
    }
    return true;
}
