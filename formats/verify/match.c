/* Pairs the records of both sides and reports missing, extra and different ones. */
#include <math.h>

#include "formats/stream/json.h"
#include "formats/verify/internal.h"

int verify_compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* -- results */

static void emit(struct verify *v, enum verify_verdict verdict, const struct record *r,
                 const struct verify_diff *diffs, int n)
{
    struct verify_failure f = {.verdict = verdict, .record = r, .diffs = diffs, .n_diffs = n};
    buf_reset(&v->name);
    verify_describe(v, r, &v->name);
    f.name = buf_str(&v->name);
    f.n_row = r->kind->kind == KIND_row ? row_decode(v->failure_decoder, r, &f.row, NULL) : 0;
    v->result->kind[r->kind->kind].total++;
    v->result->failures++;
    v->options.failure(&f, v->options.arg);
}

static void pass(struct verify *v, const struct record *r)
{
    v->result->kind[r->kind->kind].total++;
    v->result->kind[r->kind->kind].passed++;
}

/* MLflow's server adds experiment 0 to a database that lacks it; without runs it contains no user data. */
static bool is_untouched_default(struct verify *v, const struct record *r)
{
    int64_t runs;
    return r->kind->kind == KIND_experiment && value_eqs(&r->v[F_experiment_experiment_id], "0") &&
           value_eqs(&r->v[F_experiment_name], "Default") &&
           value_eqs(&r->v[F_experiment_lifecycle_stage], "active") &&
           db_query_int(v->db, "SELECT count(*) FROM runs WHERE experiment_id = 0", &runs, NULL) && runs == 0;
}

static const char default_description[] = "Default workspace for legacy resources";

/* The row that MLflow's migration inserts into every database, or one with only a name, which just records
 * that something is in that workspace. */
static bool is_plain_workspace(struct verify *v, const struct record *r)
{
    const struct row_entry *entries;
    if (r->kind->kind != KIND_row || !value_eqs(&r->v[F_row_table], "workspaces"))
        return false;
    int n = row_decode(v->failure_decoder, r, &entries, NULL);
    const struct row_entry *name = n < 0 ? NULL : row_entry_find(entries, n, "name", 4);
    const struct row_entry *description = n < 0 ? NULL : row_entry_find(entries, n, "description", 11);
    return name && name->v.type == VALUE_STR && /* not a BLOB */
           (n == 1 || (n == 2 && value_eqs(&name->v, "default") && description &&
                       value_eqs(&description->v, default_description)));
}

bool verify_default_workspace(struct verify *v, struct err *e)
{
    int64_t n;
    if (!rows_has_table(v->rows))
        return true;
    if (!db_query_int(v->db, "SELECT count(*) FROM workspaces WHERE name = 'default'", &n, e))
        return false;
    if (n > 0)
        return true;
    struct row_entry entries[] = {
        {.column = "name", .column_len = 4, .v = value_str("default")},
        {.column = "description", .column_len = 11, .v = value_str(default_description)}};
    struct buf values = {0};
    struct record r;
    record_init(&r, KIND_row);
    row_encode(entries, 2, &values);
    r.v[F_row_table] = value_str("workspaces");
    r.v[F_row_values] = (struct value){.type = VALUE_MAP, .len = (uint32_t)values.len, .s = values.data};
    verify_missing(v, &r);
    buf_free(&values);
    return true;
}

void verify_passed(struct verify *v, const struct record *r)
{
    pass(v, r);
}

void verify_missing(struct verify *v, const struct record *r)
{
    if (v->options.subset && subset_waits(v->options.subset, r)) {
        v->result->waiting++;
        return;
    }
    emit(v, VERIFY_MISSING, r, NULL, 0);
}

static bool is_row_of(const struct record *r, const char *table)
{
    return r->kind->kind == KIND_row && value_eqs(&r->v[F_row_table], table);
}

void verify_extra(struct verify *v, const struct record *r)
{
    if (v->options.subset)
        v->result->besides++;
    else if (is_untouched_default(v, r))
        v->result->default_experiment = true;
    else if (v->without_spans && (r->kind->kind == KIND_span || is_row_of(r, "span_metrics")))
        v->result->spans_besides += r->kind->kind == KIND_span;
    else if (verify_is_location_of_spans(v, r))
        v->result->spans_located++;
    else if (!is_plain_workspace(v, r))
        emit(v, VERIFY_EXTRA, r, NULL, 0);
}

/* Whether a derived column has the expected value; fills expected if it takes code to compute. */
static bool derived_same(struct verify *v, const struct record *target, const struct fetch_derived *d,
                         struct value *expected)
{
    struct value actual = d->actual, aggregate, numeric;
    *expected = d->expected;
    if (target->kind->kind == KIND_logged_model_metric) /* MLflow itself leaves the dataset's id null */
        return value_is_null(&actual) || value_same(&actual, expected);
    if (strcmp(d->column, "aggregate_value") == 0 || strcmp(d->column, "is_numeric_value") == 0) {
        equality_aggregate(&v->derived_form, &target->v[F_assessment_value], &aggregate, &numeric);
        bool is_number = d->column[0] == 'a';
        *expected = is_number ? aggregate : numeric;
        if (actual.type == VALUE_INT)
            actual = is_number ? value_float((double)actual.i) : value_bool(actual.i != 0);
        if (actual.type == VALUE_FLOAT && expected->type == VALUE_FLOAT)
            return actual.f == expected->f;
    }
    return value_same(&actual, expected);
}

/* Compares two records of one identity; returns how many fields differ, and stores them in diffs, which has
 * room for MAX_DIFFS. */
static int compare(struct verify *v, const struct record *source, const struct record *target,
                   const struct fetch_derived *derived, int n_derived, struct verify_diff *diffs)
{
    const struct kind_desc *k = source->kind;
    int n = 0;
    if (record_part(source) == PART_UNCHANGED) /* of a delta: only the parent of others */
        return 0;
    for (int i = 0; i < k->n_fields; i++) {
        bool identifies = (k->fields[i].flags & FIELD_K) && k->fields[i].codec != CODEC_METRIC;
        if (identifies || (k->fields[i].flags & FIELD_PART) ||
            equality_same(&v->source_form, source, target, i))
            continue;
        if (v->gathered.summed && k->kind == KIND_trace_request_metadata &&
            equality_costs_near(&v->source_form, &source->v[i], &target->v[i]))
            continue;
        if (v->options.subset && subset_allows(v->options.subset, source, target, i))
            continue;
        diffs[n++] = (struct verify_diff){k->fields[i].name, source->v[i], target->v[i]};
    }
    for (int i = 0; i < n_derived; i++) {
        struct value expected;
        if (!derived_same(v, target, &derived[i], &expected))
            diffs[n++] = (struct verify_diff){derived[i].column, expected, derived[i].actual};
    }
    return n;
}

/* Compares as numbers if the source has another numeric type than the target's column, which ml-load
 * accepts. */
static bool number_same(const struct value *a, const struct value *b)
{
    if (b->type == VALUE_FLOAT)
        return (a->type == VALUE_FLOAT && a->f == b->f) || (a->type == VALUE_INT && (double)a->i == b->f);
    return (b->type == VALUE_BOOL && a->type == VALUE_INT && a->i == b->b) ||
           (b->type == VALUE_INT && a->type == VALUE_BOOL && a->b == b->i);
}

static bool row_value_same(struct verify *v, const struct row_entry *source, const struct row_entry *target)
{
    const struct value *a = &source->v, *b = &target->v;
    if (value_same(a, b) || number_same(a, b))
        return true;
    return value_is_text(a) && value_is_text(b) &&
           rows_is_json(v->rows, target->column, target->column_len) &&
           json_text_equal(a->s, a->len, b->s, b->len);
}

static struct verify_diff row_diff(struct verify *v, const struct row_table *t,
                                   const struct row_entry *source, const struct row_entry *target)
{
    const struct row_entry *named = source ? source : target;
    struct verify_diff d = {.field = arena_strndup(&v->kept_arena, named->column, named->column_len)};
    bool secret = t && row_is_secret(t, named->column, named->column_len);
    d.source = !source ? value_null() : secret ? value_str("***") : source->v;
    d.target = !target ? value_null() : secret ? value_str("***") : target->v;
    return d;
}

/* Compares two rows of one key, column by column; secrets only if the source has them. A missing workspace is
 * the default one. */
static int compare_rows(struct verify *v, const struct record *source, struct verify_diff *diffs,
                        struct err *e)
{
    const struct row_table *t = row_table_of(source);
    struct row_entry expected[ROW_MAX_COLUMNS + 1];
    const struct row_entry *a, *b;
    int n_a = row_decode(v->row_decoder, source, &a, e), n_b, n = 0;
    if (n_a < 0)
        return -1;
    if (v->converts_issues && strcmp(t->name, "issues") == 0) {
        memcpy(expected, a, (size_t)n_a * sizeof *expected);
        verify_expect_issue(source, expected, &n_a);
        a = expected;
    }
    b = rows_entries(v->rows, &n_b);
    for (int i = 0; i < n_a; i++) {
        const struct row_entry *other = row_entry_find(b, n_b, a[i].column, a[i].column_len);
        if (!value_is_null(&a[i].v) && (!other || !row_value_same(v, &a[i], other)))
            diffs[n++] = row_diff(v, t, &a[i], other);
    }
    if (verify_is_expected(&v->source)) /* which has only the columns that follow from the stream */
        return n;
    for (int i = 0; i < n_b; i++) {
        const struct row_entry *other = row_entry_find(a, n_a, b[i].column, b[i].column_len);
        bool workspace =
            b[i].column_len == 9 && memcmp(b[i].column, "workspace", 9) == 0 && value_eqs(&b[i].v, "default");
        if ((!other || value_is_null(&other->v)) && !workspace &&
            !row_is_secret(t, b[i].column, b[i].column_len))
            diffs[n++] = row_diff(v, t, NULL, &b[i]);
    }
    return n;
}

/* -- pairing. Each side has one record of an identity, except for points: those that are equal are paired,
 * both sides being sorted by value; the rest is kept until the end of the identity and then paired in order,
 * as different. */

static void keep_value(struct verify *v, struct value *value)
{
    if (value_has_bytes(value))
        value->s = arena_strndup(&v->kept_arena, value->s, value->len);
}

enum { SOURCE, TARGET };

static void keep(struct verify *v, int which)
{
    const struct side *s = which == SOURCE ? &v->source : &v->target;
    if (v->n_kept[which] == MAX_KEPT) {
        if (which == SOURCE)
            verify_missing(v, &s->record);
        else
            verify_extra(v, &s->record);
        return;
    }
    struct kept *kept = &v->kept[which][v->n_kept[which]++];
    kept->record = s->record;
    kept->paired = false;
    kept->n_derived = 0;
    for (int i = 0; i < s->record.kind->n_fields; i++)
        keep_value(v, &kept->record.v[i]);
    if (which == SOURCE)
        return;
    const struct fetch_derived *derived = fetch_derived(v->cursor, &kept->n_derived);
    for (int i = 0; i < kept->n_derived; i++) {
        kept->derived[i] = derived[i];
        keep_value(v, &kept->derived[i].actual);
        keep_value(v, &kept->derived[i].expected);
    }
}

static int compare_kept(struct verify *v, const struct kept *source, const struct kept *target,
                        struct verify_diff *diffs)
{
    return compare(v, &source->record, &target->record, target->derived, target->n_derived, diffs);
}

static bool is_nan(const struct record *r)
{
    const struct value *v =
        &r->v[r->kind->kind == KIND_metric ? (int)F_metric_value : (int)F_logged_model_metric_value];
    return v->type == VALUE_FLOAT && isnan(v->f);
}

enum pairing { EQUAL, ALIKE, ANY }; /* equal in all fields; both NaN or neither; by identity only */

static bool may_pair(struct verify *v, enum pairing how, const struct kept *a, const struct kept *b)
{
    struct verify_diff diffs[MAX_DIFFS];
    if (a->paired || b->paired)
        return false;
    if (how == EQUAL)
        return compare_kept(v, a, b, diffs) == 0;
    return how == ANY || is_nan(&a->record) == is_nan(&b->record);
}

static void pair_kept(struct verify *v, enum pairing how)
{
    struct verify_diff diffs[MAX_DIFFS];
    for (int i = 0; i < v->n_kept[SOURCE]; i++) {
        for (int j = 0; j < v->n_kept[TARGET]; j++) {
            struct kept *a = &v->kept[SOURCE][i], *b = &v->kept[TARGET][j];
            if (!may_pair(v, how, a, b))
                continue;
            a->paired = b->paired = true;
            if (how == EQUAL)
                pass(v, &a->record);
            else
                emit(v, VERIFY_DIFFERENT, &a->record, diffs, compare_kept(v, a, b, diffs));
        }
    }
}

static void settle_kept(struct verify *v)
{
    pair_kept(v, EQUAL);
    pair_kept(v, ALIKE);
    pair_kept(v, ANY);
    for (int i = 0; i < v->n_kept[SOURCE]; i++)
        if (!v->kept[SOURCE][i].paired)
            verify_missing(v, &v->kept[SOURCE][i].record);
    for (int i = 0; i < v->n_kept[TARGET]; i++)
        if (!v->kept[TARGET][i].paired)
            verify_extra(v, &v->kept[TARGET][i].record);
    v->n_kept[SOURCE] = v->n_kept[TARGET] = 0;
    arena_reset(&v->kept_arena);
}

static bool in_group(const struct verify *v, const struct side *s)
{
    return s->have && verify_compare_bytes(s->key, s->identity_len, v->group.data, v->group.len) == 0;
}

/* For a subset: a row whose differences the merge rules allow counts as equal. */
static int compare_row_sides(struct verify *v, struct verify_diff *diffs, struct err *e)
{
    int n = compare_rows(v, &v->source.record, diffs, e), n_a, n_b;
    if (n <= 0 || !v->options.subset)
        return n;
    const struct row_table *t = row_table_of(&v->source.record);
    const char *time = t ? merge_updated(t->name) : NULL;
    const struct row_entry *a, *b = rows_entries(v->rows, &n_b);
    n_a = row_decode(v->row_decoder, &v->source.record, &a, e);
    if (!t || n_a < 0)
        return t ? -1 : n;
    const struct row_entry *x = time ? row_entry_find(a, n_a, time, strlen(time)) : NULL,
                           *y = time ? row_entry_find(b, n_b, time, strlen(time)) : NULL;
    return subset_allows_row(v->options.subset, t, x ? &x->v : NULL, y ? &y->v : NULL) ? 0 : n;
}

static int compare_sides(struct verify *v, struct verify_diff *diffs, struct err *e)
{
    int n_derived;
    if (v->rows)
        return compare_row_sides(v, diffs, e);
    const struct fetch_derived *derived = fetch_derived(v->cursor, &n_derived);
    return compare(v, &v->source.record, &v->target.record, derived, n_derived, diffs);
}

/* Pairs all records of the identity that both sides have reached. */
bool verify_match_group(struct verify *v, const struct section *section, struct err *e)
{
    struct side *a = &v->source, *b = &v->target;
    struct verify_diff diffs[MAX_DIFFS];
    buf_reset(&v->group);
    buf_add(&v->group, a->key, a->identity_len);
    while (in_group(v, a) && in_group(v, b)) {
        int order = 0, n = compare_sides(v, diffs, e);
        if (n < 0)
            return false;
        if (n == 0) {
            pass(v, &a->record);
        } else if (!kind_has_trait(section->kind->kind, TRAIT_POINT)) {
            emit(v, VERIFY_DIFFERENT, &a->record, diffs, n);
        } else {
            order = verify_compare_bytes(a->key, a->key_len, b->key, b->key_len);
            if (order <= 0)
                keep(v, SOURCE);
            if (order >= 0)
                keep(v, TARGET);
        }
        if ((order <= 0 && !verify_source_next(v, section, e)) || (order >= 0 && !verify_target_next(v, e)))
            return false;
    }
    while (in_group(v, a)) {
        keep(v, SOURCE);
        if (!verify_source_next(v, section, e))
            return false;
    }
    while (in_group(v, b)) {
        keep(v, TARGET);
        if (!verify_target_next(v, e))
            return false;
    }
    settle_kept(v);
    return true;
}
