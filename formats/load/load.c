#include "formats/load/load.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/io.h"
#include "formats/schema/schema.h"
#include "formats/load/internal.h"

const struct store_report *store_report(const struct store *s)
{
    return &s->report;
}

uint64_t store_spilled(const struct store *s)
{
    return sorter_spilled(s->sorter);
}

/* ---- problems */

bool store_problem(struct store *s, const struct err *e)
{
    if (++s->report.problems <= STORE_MAX_MESSAGES)
        err_report(e);
    return false;
}

const char *store_describe(struct store *s, const struct record *r)
{
    buf_reset(&s->text);
    record_describe(r, &s->text);
    return buf_str(&s->text);
}

/* ---- what the target cannot hold */

/* What follows from a value that the target cannot hold. */
enum verdict { KEEP, LEAVE_VALUE, LEAVE_RECORD, REFUSE };

/* They cannot be left out by themselves. */
bool store_is_parent(enum kind k)
{
    switch (k) {
    case KIND_experiment:
    case KIND_run:
    case KIND_trace:
    case KIND_logged_model:
    case KIND_registered_model:
    case KIND_prompt:
    case KIND_model_version:
    case KIND_dataset:
    case KIND_input:
        return true;
    default:
        return false;
    }
}

/* A value that cannot be stored: told, or left out on request, by itself where the row makes sense without
 * it. what is printed after the record and the field. */
static enum verdict unsupported(struct store *s, const struct record *r, int field, const char *what,
                                const char *hint)
{
    const struct kind_desc *k = r->kind;
    bool needed = k->fields[field].flags & (FIELD_K | FIELD_R);
    bool child = k->owner[0] && !store_is_parent(k->kind);
    if (s->drop_unsupported && !needed && !child)
        return LEAVE_VALUE;
    if (s->drop_unsupported && !store_is_parent(k->kind))
        return LEAVE_RECORD;
    struct err e;
    err_set(&e, store_describe(s, r), "%s: %s", k->fields[field].name, what);
    if (s->drop_unsupported)
        err_hint(&e, "other records belong to it, so it cannot be left out: change it in the source");
    else if (hint)
        err_hint(&e, "%s", hint);
    store_problem(s, &e);
    return REFUSE;
}

static const char drop_hint[] = "--drop-unsupported leaves such values out, counts them and says so";

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
static enum verdict no_column(struct store *s, const struct record *r, int field)
{
    const struct kind_desc *k = r->kind;
    if (s->drop_unsupported) {
        s->report.dropped_values[k->kind][field]++;
        return KEEP;
    }
    if (s->told[k->kind] & 1u << field) {
        s->report.problems++;
        return REFUSE;
    }
    s->told[k->kind] |= 1u << field;
    struct err e;
    struct buf release = {0};
    first_release(k->fields[field].since, &release);
    err_set(&e, store_describe(s, r),
            "%s has no column in this schema; the first release with it is %s (not repeated for other %s)",
            k->fields[field].name, buf_str(&release), k->plural);
    err_hint(&e, "%s; or --release names a newer one", drop_hint);
    buf_free(&release);
    store_problem(s, &e);
    return REFUSE;
}

/* A record of a kind that the revision has no table for. */
static void no_table(struct store *s, const struct record *r)
{
    enum kind k = r->kind->kind;
    if (k == KIND_latest_metric) /* derived: MLflow of that release computes it when it reads */
        return;
    if (s->drop_unsupported) {
        s->report.dropped[k]++;
        return;
    }
    if (s->told[k] & 1u << 31) {
        s->report.problems++;
        return;
    }
    s->told[k] |= 1u << 31;
    struct err e;
    struct buf release = {0};
    first_release(s->plans[k].first_order, &release);
    err_set(&e, store_describe(s, r),
            "this schema has no table for %s; the first release with it is %s (not repeated for others)",
            r->kind->plural, buf_str(&release));
    err_hint(&e, "%s; or --release names a newer one", drop_hint);
    buf_free(&release);
    store_problem(s, &e);
}

/* ---- from a record to a row */

/* 32 hex digits in the shape of a UUID (version 8: made by a rule of one's own) that tell the values apart.
 */
static struct value derived_uuid(struct store *s, const char *what, const struct value *v, int n)
{
    static const char hex[] = "0123456789abcdef";
    struct buf *b = &s->data;
    buf_reset(b);
    buf_adds(b, what);
    for (int i = 0; i < n; i++)
        row_put_key(b, &v[i]);
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(b->data, b->len));
    hash.digest[6] = (hash.digest[6] & 0x0f) | 0x80;
    hash.digest[8] = (hash.digest[8] & 0x3f) | 0x80;
    char *text = arena_alloc(&s->scratch, 32);
    for (int i = 0; i < 16; i++) {
        text[2 * i] = hex[hash.digest[i] >> 4];
        text[2 * i + 1] = hex[hash.digest[i] & 15];
    }
    return value_strn(text, 32);
}

bool store_decimal_id(const struct value *v, int64_t *id)
{
    return v->type == VALUE_STR && value_parse_int(v->s, v->len, id) && *id >= 0 && v->s[0] != '+' &&
           v->s[0] != '-' && (v->len == 1 || v->s[0] != '0');
}

static enum verdict convert_id(struct store *s, const struct record *r, int field,
                               const struct store_column *c, struct value *out)
{
    int64_t id;
    if (store_decimal_id(&r->v[field], &id)) {
        *out = value_int(id);
        if (c->type != STORE_INT32 || id <= INT32_MAX || s->fatal)
            return KEEP;
        s->fatal = true;
        err_set(&s->fatal_error, store_describe(s, r),
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
    err_set(&e, store_describe(s, r), "%s: '%s' is no number as a database has it",
            r->kind->fields[field].name, buf_str(&shown));
    err_hint(&e, "ml-transform --renumber-experiments gives experiments new ids");
    buf_free(&shown);
    store_problem(s, &e);
    return REFUSE;
}

static double finite_value(double f)
{
    return isinf(f) ? (f > 0 ? DBL_MAX : -DBL_MAX) : f;
}

static enum verdict convert_status(struct store *s, const struct record *r, int field, struct value *out)
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
    err_set(&e, store_describe(s, r), "%s: '%s' is none of UNSPECIFIED, PENDING, READY, FAILED",
            r->kind->fields[field].name, buf_str(&shown));
    buf_free(&shown);
    store_problem(s, &e);
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
    {KIND_run, F_run_status, "KILLED", 8},
    {KIND_assessment, F_assessment_assessment_type, "issue", 51},
};

/* The order of the first revision that knows the word; 0: it is known where the column is. */
static int word_since(enum kind kind, int field, const struct value *v)
{
    for (size_t i = 0; i < sizeof late_words / sizeof late_words[0]; i++)
        if (late_words[i].kind == kind && late_words[i].field == field && value_eqs(v, late_words[i].word))
            return late_words[i].since;
    return 0;
}

static enum verdict late_word(struct store *s, const struct record *r, int field, int since)
{
    struct buf what = {0};
    buf_addf(&what, "'%.*s' is not known there; the first release that knows it is ", (int)r->v[field].len,
             r->v[field].s);
    first_release(since, &what);
    enum verdict v = unsupported(s, r, field, buf_str(&what), drop_hint);
    buf_free(&what);
    return v;
}

static enum verdict convert_text(struct store *s, const struct record *r, int field,
                                 const struct store_column *c, struct value *out)
{
    const struct value *v = &r->v[field];
    char what[200];
    *out = *v;
    int since = word_since(r->kind->kind, field, v);
    if (since > s->order)
        return late_word(s, r, field, since);
    if (v->type == VALUE_BIN)
        return unsupported(s, r, field,
                           "the text is not UTF-8, and MLflow could not read it back from a database",
                           drop_hint);
    if (s->dialect == DIALECT_POSTGRESQL && memchr(v->s, 0, v->len))
        return unsupported(s, r, field, "the text holds a NUL character, which PostgreSQL cannot store",
                           drop_hint);
    if (c->max_length && v->len > c->max_length && utf8_length(v->s, v->len) > (size_t)c->max_length) {
        snprintf(what, sizeof what, "%zu characters are more than the %lld of the column %s",
                 utf8_length(v->s, v->len), (long long)c->max_length, c->name);
        return unsupported(s, r, field, what, drop_hint);
    }
    return KEEP;
}

static enum verdict convert_metric(struct store *s, const struct record *r, int field, const struct plan *p,
                                   struct value *row)
{
    double f = r->v[field].f;
    bool nan = isnan(f);
    if (p->is_nan < 0 && nan)
        return unsupported(
            s, r, field, "a NaN cannot be stored in this schema; the first release that can is MLflow 1.1.0",
            drop_hint);
    row[p->column[field]] = value_float(nan ? 0.0 : finite_value(f));
    if (p->is_nan >= 0)
        row[p->is_nan] = value_bool(nan);
    return KEEP;
}

/* One field into its column. */
static enum verdict convert_field(struct store *s, const struct record *r, int field, const struct plan *p,
                                  struct value *row)
{
    const struct field_desc *f = &r->kind->fields[field];
    const struct value *v = &r->v[field];
    int column = p->column[field];
    if (column == NO_COLUMN)
        return v->type == VALUE_BIN ? unsupported(s, r, field, "the text is not UTF-8", drop_hint) : KEEP;
    if (column == MISSING_COLUMN)
        return value_is_null(v) || is_default(r, field) ? KEEP : no_column(s, r, field);
    const struct store_column *c = &p->table->columns[column];
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
        if (c->type == STORE_INT32 && v->type == VALUE_INT && (v->i > INT32_MAX || v->i < INT32_MIN))
            return unsupported(s, r, field, "the number does not fit the column's 32 bits", drop_hint);
        *out = *v;
        return KEEP;
    }
}

/* ---- columns that are more than one field */

static void set_column(const struct plan *p, const char *column, struct value *row, struct value v)
{
    int i = store_table_find(p->table, column);
    if (i >= 0)
        row[i] = v;
}

/* The uuid of a dataset that has none: of its experiment, name and digest. */
static struct value dataset_uuid(struct store *s, const struct value *experiment, const struct value *name,
                                 const struct value *digest)
{
    struct value v[] = {*experiment, *name, *digest};
    return derived_uuid(s, "dataset", v, 3);
}

static struct value input_uuid(struct store *s, const struct record *r)
{
    struct value v[RECORD_MAX_FIELDS];
    int n = 0;
    /* The key of an input_tag begins with that of its input. */
    for (int i = 0; i < r->kind->n_fields; i++)
        if ((r->kind->fields[i].flags & FIELD_K) && strcmp(r->kind->fields[i].name, "key") != 0)
            v[n++] = r->v[i];
    return derived_uuid(s, r->kind->kind == KIND_input_tag ? "input" : r->kind->name, v, n);
}

/* The words of MLflow's V2 and V3 traces for a state that nobody set: its readers take only those of their
 * own time. */
static struct value trace_state(const struct store *s, const struct value *state)
{
    enum { V3_ORDER = 32 };
    static const char v2[] = "TRACE_STATUS_UNSPECIFIED", v3[] = "STATE_UNSPECIFIED";
    if (value_eqs(state, v2) || value_eqs(state, v3))
        return value_str(s->order >= V3_ORDER ? v3 : v2);
    return *state;
}

static void derive_assessment(struct store *s, const struct record *r, const struct plan *p,
                              struct value *row)
{
    if (s->order < STORE_ANALYTICS_ORDER)
        return;
    struct value aggregate;
    bool is_numeric;
    assessment_aggregate(&s->json, &r->v[F_assessment_value], &aggregate, &is_numeric);
    set_column(p, "aggregate_value", row, aggregate);
    set_column(p, "is_numeric_value", row, value_bool(is_numeric));
    struct buf *current = &s->current[REF_TRACE];
    buf_reset(&s->key);
    row_put_key(&s->key, &r->v[F_assessment_trace_id]);
    if (current->len == s->key.len && memcmp(current->data, s->key.data, s->key.len) == 0) {
        set_column(p, "experiment_id", row, value_int(s->trace_experiment));
        set_column(p, "trace_timestamp_ms", row, value_int(s->trace_time));
    }
}

/* True for text that names a place on this disk: a path or a file: URI. */
static bool is_local(const struct value *v)
{
    return value_is_text(v) && v->len > 0 &&
           (v->s[0] == '/' || (v->len >= 5 && strncmp(v->s, "file:", 5) == 0));
}

/* The file store that a location lies in, of those known so far; NULL when it is in none. */
static struct store_root *root_of(struct store *s, const struct value *v)
{
    for (int i = 0; value_is_text(v) && i < s->report.n_roots; i++) {
        struct store_root *root = &s->report.roots[i];
        size_t len = strlen(root->uri);
        if (v->len >= len && memcmp(v->s, root->uri, len) == 0)
            return root;
    }
    return NULL;
}

/* A file store gives its experiments the location ROOT/ID. */
static void note_root(struct store *s, const struct value *location, const struct value *id)
{
    size_t n = location->len - id->len;
    if (!is_local(location) || location->len <= id->len || n >= sizeof s->report.roots->uri ||
        location->s[n - 1] != '/' || memcmp(location->s + n, id->s, id->len) != 0 || root_of(s, location) ||
        s->report.n_roots == STORE_MAX_ROOTS)
        return;
    struct store_root *root = &s->report.roots[s->report.n_roots++];
    memcpy(root->uri, location->s, n);
}

static void note_location(struct store *s, const struct value *v)
{
    struct store_root *root = root_of(s, v);
    if (root)
        root->locations++;
}

static void note_spans(struct store *s, const struct value *v)
{
    struct store_root *root = root_of(s, v);
    if (root)
        root->spans++;
}

static void note_experiment(struct store *s, const struct record *r)
{
    const struct value *id = &r->v[F_experiment_experiment_id], *ws = &r->v[F_experiment_workspace];
    bool deleted = value_eqs(&r->v[F_experiment_lifecycle_stage], "deleted");
    if (value_eqs(id, "0"))
        s->has_default = true;
    else if (value_eqs(&r->v[F_experiment_name], "Default") &&
             (value_is_null(ws) || value_eqs(ws, "default")))
        snprintf(s->default_elsewhere, sizeof s->default_elsewhere, "%.*s", (int)id->len, id->s);
    const struct value *location = &r->v[F_experiment_artifact_location];
    if (s->from_file_store && value_is_text(location))
        note_root(s, location, id);
    note_location(s, location);
    s->report.deleted_experiments += deleted && root_of(s, location);
}

/* Finishes a row with what depends on more than one field, and keeps what the report tells. */
static void derive(struct store *s, const struct record *r, const struct plan *p, struct value *row)
{
    const struct value *v = r->v;
    switch (r->kind->kind) {
    case KIND_experiment:
        note_experiment(s, r);
        break;
    case KIND_dataset:
        if (value_is_null(&v[F_dataset_dataset_id]))
            set_column(
                p, "dataset_uuid", row,
                dataset_uuid(s, &v[F_dataset_experiment_id], &v[F_dataset_name], &v[F_dataset_digest]));
        break;
    case KIND_run:
        s->report.undated_deleted_runs +=
            value_eqs(&v[F_run_lifecycle_stage], "deleted") && value_is_null(&v[F_run_deleted_time]);
        note_location(s, &v[F_run_artifact_uri]);
        break;
    case KIND_input:
        if (value_is_null(&v[F_input_dataset_id]))
            set_column(p, "source_id", row,
                       dataset_uuid(s, &v[F_input_experiment_id], &v[F_input_dataset_name],
                                    &v[F_input_dataset_digest]));
        if (value_is_null(&v[F_input_input_id]))
            set_column(p, "input_uuid", row, input_uuid(s, r));
        break;
    case KIND_input_tag:
        if (value_is_null(&v[F_input_tag_input_id]))
            set_column(p, "input_uuid", row, input_uuid(s, r));
        break;
    case KIND_model_input:
        if (value_is_null(&v[F_model_input_input_id]))
            set_column(p, "input_uuid", row, input_uuid(s, r));
        break;
    case KIND_model_output:
        if (value_is_null(&v[F_model_output_input_id]))
            set_column(p, "input_uuid", row, input_uuid(s, r));
        break;
    case KIND_trace:
        set_column(p, "status", row, trace_state(s, &v[F_trace_state]));
        s->trace_experiment = row[p->column[F_trace_experiment_id]].i;
        s->trace_time = v[F_trace_request_time].i;
        break;
    case KIND_trace_tag:
        if (value_eqs(&v[F_trace_tag_key], "mlflow.artifactLocation"))
            note_spans(s, &v[F_trace_tag_value]);
        break;
    case KIND_assessment:
        derive_assessment(s, r, p, row);
        break;
    case KIND_logged_model:
        note_location(s, &v[F_logged_model_artifact_location]);
        break;
    case KIND_model_version:
        note_location(s, &v[F_model_version_source]);
        break;
    default:
        break;
    }
}

/* Fills the row. KEEP when it is to be stored. */
static enum verdict convert(struct store *s, const struct record *r, const struct plan *p, struct value *row)
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
        derive(s, r, p, row);
    return worst;
}

/* A row must have what its columns demand. */
static bool check_nulls(struct store *s, const struct record *r, const struct plan *p,
                        const struct value *row)
{
    for (int i = 0; i < p->table->n_columns; i++) {
        const struct store_column *c = &p->table->columns[i];
        if (!value_is_null(&row[i]) || !c->not_null || c->look_up)
            continue;
        struct err e;
        err_set(&e, store_describe(s, r), "it has no value for the column %s, which must have one", c->name);
        return store_problem(s, &e);
    }
    return true;
}

/* ---- into the sorter */

/* Names are unique within a workspace, in both dialects; told here so that both experiments can be named. */
static bool stage_name(struct store *s, const struct record *r, struct err *e)
{
    struct value ws = store_workspace_of(r);
    buf_reset(&s->key);
    buf_addc(&s->key, SORT_NAMES);
    row_put_key(&s->key, &ws);
    row_put_key(&s->key, &r->v[F_experiment_name]);
    const struct value *id = &r->v[F_experiment_experiment_id];
    return sorter_add(s->sorter, s->key.data, s->key.len, id->s, id->len, e);
}

static void begin_data(struct store *s, enum kind kind, unsigned flags)
{
    struct row_head h = {(uint8_t)flags, (uint8_t)kind, s->n_segments};
    buf_reset(&s->data);
    buf_add(&s->data, &h, sizeof h);
}

static bool add_staged(struct store *s, struct err *e)
{
    return sorter_add(s->sorter, s->key.data, s->key.len, s->data.data, s->data.len, e);
}

bool store_stage_row(struct store *s, enum kind kind, struct store_table *t, const struct value *row,
                     struct err *e)
{
    bool negative_zero = false;
    t->filled = true;
    if (t->at_once) {
        s->report.rows[kind]++;
        return s->report.problems || s->sink->ops->put_at_once(s->sink, row, e);
    }
    buf_reset(&s->key);
    buf_addc(&s->key, (char)(SORT_TABLES + (t - s->tables)));
    for (int i = 0; i < t->n_key; i++) {
        const struct value *v = &row[t->key[i]];
        negative_zero |= v->type == VALUE_FLOAT && v->f == 0 && signbit(v->f);
        row_put_key(&s->key, v);
    }
    begin_data(s, kind, negative_zero ? ROW_NEGATIVE_ZERO : 0);
    for (int i = 0; i < t->n_columns; i++)
        if (!t->columns[i].in_key)
            row_put(&s->data, &row[i]);
    return add_staged(s, e);
}

/* A trace's tag or metadata that fills columns of the trace's row: follows that row in the sorter and is laid
 * over it. */
static bool stage_patch(struct store *s, const struct record *r, const struct promoted *what, struct err *e)
{
    const struct plan *p = &s->plans[KIND_trace];
    for (int i = 0; i < what->n; i++)
        if (what->items[i].value.type == VALUE_BIN) {
            enum verdict v = unsupported(
                s, r, F_trace_tag_value,
                "the text is not UTF-8, and MLflow could not read it back from a database", drop_hint);
            s->report.dropped[r->kind->kind] += v == LEAVE_RECORD;
            return true;
        }
    s->report.cut_names += what->cut_name;
    s->report.cut_sessions += what->cut_session;
    s->report.usage_losses += what->loss;
    buf_reset(&s->key);
    buf_addc(&s->key, (char)(SORT_TABLES + (p->table - s->tables)));
    row_put_key(&s->key, &r->v[0]);
    begin_data(s, r->kind->kind, ROW_PATCH);
    buf_addc(&s->data, (char)what->n);
    for (int i = 0; i < what->n; i++) {
        buf_addc(&s->data, (char)store_table_find(p->table, what->items[i].column));
        row_put(&s->data, &what->items[i].value);
    }
    return add_staged(s, e);
}

bool store_add(struct store *s, const struct record *r, struct err *e)
{
    const struct plan *p = &s->plans[r->kind->kind];
    struct value row[STORE_MAX_COLUMNS];
    struct promoted promoted;
    if (r->kind->kind == KIND_skipped) {
        s->report.skipped++;
        return true;
    }
    if (r->kind->kind == KIND_row)
        return store_add_other(s, r, e);
    if (!kind_is_entity(r->kind))
        return true;
    if (!p->table) {
        no_table(s, r);
        return true;
    }
    arena_reset(&s->scratch);
    if (s->order >= STORE_ANALYTICS_ORDER &&
        (r->kind->kind == KIND_trace_tag || r->kind->kind == KIND_trace_request_metadata) &&
        promote(&s->json, r, &promoted))
        return store_note_refs(s, r, p, NULL, e) && stage_patch(s, r, &promoted, e);
    enum verdict verdict = convert(s, r, p, row);
    if (s->fatal) {
        *e = s->fatal_error;
        return false;
    }
    if (verdict != KEEP || !check_nulls(s, r, p, row))
        return true;
    if (!store_note_refs(s, r, p, row, e))
        return false;
    if (r->kind->kind == KIND_experiment && !stage_name(s, r, e))
        return false;
    return store_stage_row(s, r->kind->kind, p->table, row, e);
}

bool store_begin_at_once(struct store *s, struct db *db, struct err *e)
{
    struct store_table *t = s->plans[KIND_metric].table;
    e->what[0] = '\0';
    if (!t || t->n_key < t->n_columns)
        return true;
    s->sink = store_new_sink(s, db);
    t->at_once = s->sink->ops->begin_at_once && s->sink->ops->begin_at_once(s->sink, t, e);
    if (t->at_once)
        return true;
    s->sink->ops->free(s->sink);
    s->sink = NULL;
    return e->what[0] == '\0';
}

/* From 3.4 on MLflow makes an experiment 0 named Default whenever there is none; before, only in an empty
 * database. */
static void check_default(struct store *s)
{
    enum { ORDER_OF_3_4 = 38 };
    if (s->order < ORDER_OF_3_4 || !s->default_elsewhere[0] || s->has_default)
        return;
    struct err e;
    char where[64];
    snprintf(where, sizeof where, "Experiment %s", s->default_elsewhere);
    err_set(&e, where,
            "it is named Default and there is no experiment 0: MLflow makes one of that name when it starts, "
            "fails, and "
            "does not start");
    err_hint(&e, "rename it, in the source or on the way: ml-transform --rename-experiment %s=NEW",
             s->default_elsewhere);
    store_problem(s, &e);
}

bool store_check(struct store *s, struct err *e)
{
    if (!s->checked)
        check_default(s);
    s->checked = true;
    uint64_t n = s->report.problems;
    if (n > STORE_MAX_MESSAGES)
        err_print(NULL, "... and %llu more problems", (unsigned long long)(n - STORE_MAX_MESSAGES));
    return n == 0 ||
           err_set(e, "", "%llu problem%s: nothing was loaded", (unsigned long long)n, n == 1 ? "" : "s");
}
