#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/record/rows.h"
#include "formats/load/internal.h"

const struct ref_desc store_refs[REF_COUNT] = {
    [REF_EXPERIMENT] = {"experiment", "experiments", {"experiment_id"}},
    [REF_RUN] = {"run", "runs", {"run_uuid"}},
    [REF_TRACE] = {"trace", "trace_info", {"request_id"}},
    [REF_MODEL] = {"logged model", "logged_models", {"model_id"}},
    [REF_REGISTERED] = {"registered model", "registered_models", {"name", "workspace"}},
    [REF_VERSION] = {"model version", "model_versions", {"name", "version", "workspace"}},
    [REF_DATASET] = {"dataset", "datasets", {"experiment_id", "name", "digest"}},
    [REF_INPUT] = {"input", "inputs", {"input_uuid"}},
};

int store_table_find(const struct store_table *t, const char *column)
{
    for (int i = 0; i < t->n_columns; i++)
        if (strcmp(t->columns[i].name, column) == 0)
            return i;
    return -1;
}

/* ---- making the plans */

struct store_table *store_table_named(struct store *s, const char *name)
{
    for (int i = 0; i < s->n_tables; i++)
        if (strcmp(s->tables[i].name, name) == 0)
            return &s->tables[i];
    struct store_table *t = &s->tables[s->n_tables++];
    t->name = name;
    return t;
}

/* A default as declared ('0', 0, 'default', false, 'default'::character varying) as a value of the column. */
static struct value parse_default(struct store *s, const char *text, bool is_text)
{
    if (!text)
        return value_null();
    size_t len = strlen(text);
    if (*text == '\'') {
        const char *end = strchr(++text, '\'');
        len = end ? (size_t)(end - text) : len - 1;
    }
    int64_t i;
    if (is_text)
        return value_strn(arena_strndup(&s->names, text, len), len);
    if (value_parse_int(text, len, &i))
        return value_int(i);
    return strcmp(text, "false") == 0 ? value_bool(false) : value_null();
}

/* Queries of columns that a row may leave to the database. */
static const struct look_up {
    const char *table, *column, *query, *condition;
} look_ups[] = {
    {"logged_model_metrics", "dataset_uuid",
     "SELECT d.dataset_uuid FROM datasets d WHERE d.experiment_id = {experiment_id} AND d.name = "
     "{dataset_name} AND "
     "d.digest = {dataset_digest}",
     "dataset_name IS NOT NULL"},
    {"assessments", "experiment_id",
     "SELECT t.experiment_id FROM trace_info t WHERE t.request_id = {trace_id}", "1 = 1"},
    {"assessments", "trace_timestamp_ms",
     "SELECT t.timestamp_ms FROM trace_info t WHERE t.request_id = {trace_id}", "1 = 1"},
};

/* JSON is text too. */
static enum store_type type_of(enum dialect dialect, const char *declared)
{
    static const struct {
        const char *begin;
        enum store_type type;
    } types[] = {
        {"INTEGER", STORE_INT32}, {"BIGINT", STORE_INT64}, {"FLOAT", STORE_FLOAT},
        {"DOUBLE", STORE_FLOAT},  {"REAL", STORE_FLOAT},   {"BOOLEAN", STORE_BOOL},
        {"BLOB", STORE_BYTES},    {"BYTEA", STORE_BYTES},  {"DATE", STORE_DATE},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strncmp(declared, types[i].begin, strlen(types[i].begin)) == 0)
            return types[i].type == STORE_INT32 && dialect == DIALECT_SQLITE ? STORE_INT64 : types[i].type;
    return STORE_TEXT;
}

static int add_column(struct store *s, struct store_table *t, const struct db_column_info *info,
                      const char *name)
{
    int i = store_table_find(t, name);
    if (i >= 0)
        return i;
    struct store_column *c = &t->columns[i = t->n_columns++];
    c->name = arena_strndup(&s->names, name, strlen(name));
    c->type = type_of(s->dialect, info->type);
    c->max_length = s->dialect == DIALECT_POSTGRESQL ? info->length : 0;
    c->not_null = info->not_null;
    c->dflt = parse_default(s, info->dflt, c->type == STORE_TEXT);
    for (size_t k = 0; k < sizeof look_ups / sizeof *look_ups; k++)
        if (strcmp(look_ups[k].table, t->name) == 0 && strcmp(look_ups[k].column, name) == 0)
            c->look_up = look_ups[k].query, c->look_up_if = look_ups[k].condition;
    return i;
}

void store_plan_columns(struct store *s, struct store_table *t, const struct db_columns *have)
{
    for (int i = 0; i < have->n; i++)
        if (!have->items[i].generated && t->n_columns < STORE_MAX_COLUMNS)
            add_column(s, t, &have->items[i], have->items[i].name);
}

/* Adds a column that the revision has. */
static int plan_column(struct store *s, struct store_table *t, const struct db_columns *have,
                       const char *name, struct err *e)
{
    const struct db_column_info *info = db_columns_find(have, name);
    if (info)
        return add_column(s, t, info, name);
    err_set(e, t->name, "the table has no column %s, which its revision has", name);
    err_hint(e, "the database was changed by hand or left half-way by a failed upgrade; `ml-schema check` "
                "tells more");
    return MISSING_COLUMN;
}

static int plan_field(struct store *s, struct store_table *t, const struct db_columns *have,
                      const struct field_desc *f, struct err *e)
{
    if (!f->column[0])
        return NO_COLUMN;
    if (s->order < f->since || (f->until && s->order >= f->until))
        return MISSING_COLUMN;
    e->what[0] = '\0';
    return plan_column(s, t, have, f->column, e);
}

/* The columns that hold what the store derives. */
static bool plan_extras(struct store *s, enum kind kind, struct store_table *t, const struct db_columns *have,
                        struct err *e)
{
    static const char *const assessment_columns[] = {"experiment_id", "trace_timestamp_ms", "aggregate_value",
                                                     "is_numeric_value", NULL};
    if (s->order < STORE_ANALYTICS_ORDER)
        return true;
    const char *const *c = kind == KIND_trace        ? trace_columns
                           : kind == KIND_assessment ? assessment_columns
                                                     : NULL;
    for (; c && *c; c++)
        if (plan_column(s, t, have, *c, e) < 0)
            return false;
    return true;
}

/* A kind can be held once its table is there and the tables of all that it must refer to. */
static int first_order_of(const struct kind_desc *k)
{
    static const struct {
        unsigned flag;
        enum kind kind;
    } parents[] = {
        {FIELD_TRACE, KIND_trace}, {FIELD_MODEL, KIND_logged_model}, {FIELD_REG, KIND_registered_model}};
    int order = k->since;
    for (int i = 0; i < k->n_fields; i++)
        for (size_t p = 0; p < sizeof parents / sizeof *parents; p++)
            if ((k->fields[i].flags & parents[p].flag) && (k->fields[i].flags & FIELD_R) &&
                kinds[parents[p].kind].since > order)
                order = kinds[parents[p].kind].since;
    return order;
}

static bool plan_kind(struct store *s, struct db *db, const struct kind_desc *k, struct err *e)
{
    struct plan *p = &s->plans[k->kind];
    p->first_order = first_order_of(k);
    p->is_nan = NO_COLUMN;
    if (s->order < p->first_order)
        return true;
    struct db_columns have;
    if (!db_table_columns(db, k->table, &have, e))
        return false;
    struct store_table *t = p->table = store_table_named(s, k->table);
    t->of_kind = true;
    bool ok = have.n > 0 || err_set(e, k->table, "there is no such table, which the revision has");
    for (int i = 0; ok && i < k->n_fields; i++) {
        e->what[0] = '\0';
        p->column[i] = plan_field(s, t, &have, &k->fields[i], e);
        ok = !e->what[0];
        if (ok && k->fields[i].codec == CODEC_METRIC && db_columns_find(&have, "is_nan"))
            p->is_nan = plan_column(s, t, &have, "is_nan", e);
    }
    for (int i = 0; ok && i < k->n_consts; i++)
        ok = (p->consts[i] = plan_column(s, t, &have, k->consts[i].column, e)) >= 0;
    ok = ok && plan_extras(s, k->kind, t, &have, e);
    db_columns_free(&have);
    return ok;
}

static const char *const key_queries[] = {
    [DIALECT_SQLITE] = "SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk",
    [DIALECT_POSTGRESQL] = "SELECT a.attname::text FROM pg_index i CROSS JOIN LATERAL "
                           "unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place) "
                           "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum "
                           "WHERE i.indrelid = to_regclass(?1) AND i.indisprimary ORDER BY k.place",
};

static bool plan_key(struct store *s, struct db *db, struct store_table *t, struct err *e)
{
    struct db_stmt *q = db_prepare(db, key_queries[s->dialect], e);
    if (!q)
        return false;
    struct value name = value_str(t->name);
    db_bind(q, 1, &name);
    int row;
    bool ok = true;
    while (ok && (row = db_step(q, e)) == 1) {
        struct value v;
        char column[64];
        db_column(q, 0, &v);
        snprintf(column, sizeof column, "%.*s", (int)v.len, v.s);
        int i = store_table_find(t, column);
        ok = i >= 0 && t->n_key < STORE_MAX_KEY;
        if (ok) {
            t->columns[i].in_key = true;
            t->key[t->n_key++] = i;
        } else {
            err_set(e, t->name, "its primary key holds the column %s, which is none of MLflow's", column);
        }
    }
    db_finalize(q);
    if (ok && row == 0 && t->n_key == 0)
        ok = err_set(e, t->name, "the table has no primary key");
    return ok && row == 0;
}

struct store *store_new(struct db *db, int order, const struct store_options *options, struct err *e)
{
    struct store *s = xcalloc(1, sizeof *s);
    s->dialect = db_dialect(db);
    s->order = order;
    s->drop_unsupported = options->drop_unsupported;
    s->sorter = sorter_new(options->tmpdir, STORE_MEMORY);
    bool ok = true;
    for (int k = 0; ok && k < KIND_COUNT; k++)
        if (kind_is_entity(&kinds[k]))
            ok = plan_kind(s, db, &kinds[k], e);
    ok = ok && store_plan_others(s, db, e);
    for (int i = 0; ok && i < s->n_tables; i++)
        ok = plan_key(s, db, &s->tables[i], e);
    if (ok)
        return s;
    store_free(s);
    return NULL;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    sorter_free(s->sorter);
    if (s->sink)
        s->sink->ops->free(s->sink);
    arena_free(&s->scratch);
    pyjson_free(&s->json);
    buf_free(&s->key);
    buf_free(&s->data);
    buf_free(&s->text);
    for (int i = 0; i < REF_COUNT; i++) {
        buf_free(&s->current[i]);
        buf_free(&s->noted[i]);
    }
    arena_free(&s->names);
    row_decoder_free(s->row_decoder);
    free(s->row_tables);
    free(s->sources);
    free(s);
}

void store_segment(struct store *s, const struct wire_header *header)
{
    if ((s->n_segments & (s->n_segments - 1)) == 0) /* room doubles at each power of two */
        s->sources =
            xrealloc(s->sources, (s->n_segments ? (size_t)s->n_segments * 2 : 1) * sizeof *s->sources);
    snprintf(s->sources[s->n_segments++], sizeof *s->sources, "%s", header->source);
    s->from_file_store = strncmp(header->producer, "mlruns-dump", 11) == 0;
    for (int i = 0; i < REF_COUNT; i++)
        buf_reset(&s->current[i]);
}
