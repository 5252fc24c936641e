/* Builds queries from entities.def and the catalog. */
#include "formats/database/fetch_cursor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/record/merge_rules.h"

struct table {
    const char *name;
    struct db_columns columns; /* n == 0: there is no such table */
};

struct fetch {
    struct db *db;
    struct table tables[KIND_COUNT];
    int n_tables;
    bool prepopulated; /* columns of revision 75868b020152 exist already; their sources are authoritative */
    const struct table *of[KIND_COUNT];
    int order[KIND_COUNT][RECORD_MAX_FIELDS];
    int n_order[KIND_COUNT], n_identity[KIND_COUNT];
};

/* -- kinds in SQL. The kind's own table has the alias x. */

/* Further tables that hold fields of a kind. A row without a match there is not a record of the kind, but one
 * of kind row (rows.h). */
static const struct {
    enum kind kind;
    const char *sql;
} joins[] = {
    {KIND_input, " JOIN datasets d ON d.dataset_uuid = x.source_id"},
    {KIND_input_tag, " JOIN inputs i ON i.input_uuid = x.input_uuid AND i.source_type = 'DATASET'"
                     " AND i.destination_type = 'RUN' JOIN datasets d ON d.dataset_uuid = i.source_id"},
};

/* Fields that have no column in the kind's own table. */
static const struct {
    enum kind kind;
    int field;
    const char *sql;
} joined[] = {
    {KIND_input, F_input_experiment_id, "d.experiment_id"},
    {KIND_input, F_input_dataset_name, "d.name"},
    {KIND_input, F_input_dataset_digest, "d.digest"},
    {KIND_input_tag, F_input_tag_run_id, "i.destination_id"},
    {KIND_input_tag, F_input_tag_experiment_id, "d.experiment_id"},
    {KIND_input_tag, F_input_tag_dataset_name, "d.name"},
    {KIND_input_tag, F_input_tag_dataset_digest, "d.digest"},
};

/* Columns that MLflow derives from others. sql: the expected value, NULL if it takes code to compute. A model
 * metric's dataset is looked up as MLflow would do it: MLflow itself leaves the column null. */
static const struct {
    enum kind kind;
    const char *column;
    const char *sql;
} derived[] = {
    {KIND_assessment, "experiment_id",
     "(SELECT t.experiment_id FROM trace_info t WHERE t.request_id = x.trace_id)"},
    {KIND_assessment, "trace_timestamp_ms",
     "(SELECT t.timestamp_ms FROM trace_info t WHERE t.request_id = x.trace_id)"},
    {KIND_assessment, "aggregate_value", NULL},
    {KIND_assessment, "is_numeric_value", NULL},
    {KIND_logged_model_metric, "dataset_uuid",
     "(SELECT min(d.dataset_uuid) FROM datasets d WHERE d.experiment_id = x.experiment_id AND d.name = "
     "x.dataset_name"
     " AND d.digest = x.dataset_digest)"},
};

static const struct promoted_value promoted_values[] = {
    {KIND_trace_tag, "mlflow.traceName", {"trace_name"}, false, NULL},
    {KIND_trace_request_metadata, "mlflow.trace.session", {"session_id"}, false, NULL},
    {KIND_trace_request_metadata,
     "mlflow.trace.tokenUsage",
     {"input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens",
      "cache_creation_input_tokens", "cache_creation_input_tokens_above_1hr"},
     true,
     "BIGINT"},
    {KIND_trace_request_metadata,
     "mlflow.trace.cost",
     {"input_cost", "output_cost", "total_cost"},
     true,
     "DOUBLE PRECISION"},
};
enum { N_PROMOTED = ARRAY_LENGTH(promoted_values) };

/* -- the catalog */

static const struct table *find_table(const struct fetch *f, const char *name)
{
    for (int i = 0; i < f->n_tables; i++)
        if (strcmp(f->tables[i].name, name) == 0)
            return &f->tables[i];
    return NULL;
}

static bool has_column(const struct table *t, const char *name)
{
    return t && db_columns_find(&t->columns, name);
}

bool fetch_has_column(const struct fetch *f, const char *table, const char *column)
{
    return has_column(find_table(f, table), column);
}

bool fetch_has_kind(const struct fetch *f, enum kind kind)
{
    return f->of[kind] && f->of[kind]->columns.n > 0;
}

bool fetch_has_field(const struct fetch *f, enum kind kind, int field)
{
    const char *column = kinds[kind].fields[field].column;
    if (kind == KIND_span && f->prepopulated && field > F_span_dimension_attributes)
        return false;
    return *column == '\0' || has_column(f->of[kind], column);
}

static int field_of_column(const struct kind_desc *k, const char *column)
{
    for (int i = 0; i < k->n_fields; i++)
        if (strcmp(k->fields[i].column, column) == 0)
            return i;
    return -1;
}

static bool is_const(const struct kind_desc *k, const char *column)
{
    for (int i = 0; i < k->n_consts; i++)
        if (strcmp(k->consts[i].column, column) == 0)
            return true;
    return false;
}

static int count_keys(const struct kind_desc *k)
{
    int n = 0;
    for (int i = 0; i < k->n_fields; i++)
        n += (k->fields[i].flags & FIELD_K) != 0;
    return n;
}

/* Orders the kind's key fields as in its table's primary key. Returns their number, 0 if the primary key has
 * other columns. */
static int order_of_primary_key(const struct kind_desc *k, const struct table *t, int *order)
{
    const struct db_column_info *key[DB_MAX_KEY];
    int n = 0, n_key = db_columns_key(&t->columns, key);
    bool usable = n_key <= DB_MAX_KEY;
    for (int i = 0; usable && i < n_key; i++) {
        int field = field_of_column(k, key[i]->name);
        if (is_const(k, key[i]->name) || strcmp(key[i]->name, "is_nan") == 0)
            continue;
        usable = field >= 0 && (k->fields[field].flags & FIELD_K);
        if (usable)
            order[n++] = field;
    }
    /* A metric's value must be last, as is_nan follows it. */
    for (int i = 0; i + 1 < n; i++)
        usable = usable && k->fields[order[i]].codec != CODEC_METRIC;
    return usable && n == count_keys(k) ? n : 0;
}

/* Fields in which points of one identity may differ, and which are therefore sorted by. */
static bool distinguishes_points(const struct kind_desc *k, int field)
{
    return k->kind == KIND_logged_model_metric &&
           (field == F_logged_model_metric_value || field == F_logged_model_metric_dataset_name ||
            field == F_logged_model_metric_dataset_digest);
}

static void find_order(struct fetch *f, enum kind kind)
{
    const struct kind_desc *k = &kinds[kind];
    int *order = f->order[kind],
        n = fetch_has_kind(f, kind) ? order_of_primary_key(k, f->of[kind], order) : 0;
    for (int i = 0; n < count_keys(k) && i < k->n_fields; i++)
        if (k->fields[i].flags & FIELD_K)
            order[n++] = i;
    f->n_identity[kind] = n - (n && k->fields[order[n - 1]].codec == CODEC_METRIC);
    for (int i = 0; i < k->n_fields; i++)
        if (distinguishes_points(k, i))
            order[n++] = i;
    f->n_order[kind] = n;
}

static bool read_catalog(struct fetch *f, struct err *e)
{
    for (int i = 0; i < KIND_COUNT; i++) {
        if (!kind_is_entity(&kinds[i]))
            continue;
        if (!find_table(f, kinds[i].table)) {
            struct table *t = &f->tables[f->n_tables++];
            t->name = kinds[i].table;
            if (!db_table_columns(f->db, t->name, &t->columns, e))
                return false;
        }
        f->of[i] = find_table(f, kinds[i].table);
    }
    /* `mlflow db prepopulate-trace-analytics` adds the columns before the upgrade, which fills them again; only the upgrade
     * drops dimension_attributes, so the column distinguishes the two states. */
    f->prepopulated = has_column(f->of[KIND_span], "dimension_attributes");
    if (fetch_has_kind(f, KIND_experiment) && fetch_has_kind(f, KIND_run) && fetch_has_kind(f, KIND_metric))
        return true;
    err_set(e, db_display(f->db), "there are no MLflow tables in this database");
    return err_hint(e, "is it the URL that MLflow is started with (--backend-store-uri)?");
}

struct fetch *fetch_new(struct db *db, struct err *e)
{
    struct fetch *f = xcalloc(1, sizeof *f);
    f->db = db;
    if (!read_catalog(f, e)) {
        fetch_free(f);
        return NULL;
    }
    for (int i = 0; i < KIND_COUNT; i++)
        find_order(f, (enum kind)i);
    return f;
}

void fetch_free(struct fetch *f)
{
    if (!f)
        return;
    for (int i = 0; i < f->n_tables; i++)
        db_columns_free(&f->tables[i].columns);
    free(f);
}

int fetch_order(const struct fetch *f, enum kind kind, int *fields, int *identity)
{
    memcpy(fields, f->order[kind], sizeof f->order[kind]);
    *identity = f->n_identity[kind];
    return f->n_order[kind];
}

/* -- cursors */

struct query {
    struct buf sql;
    int columns; /* of the result so far */
};

static int add_column(struct query *q, const char *sql)
{
    buf_addf(&q->sql, "%s%s", q->columns ? ", " : "SELECT ", sql);
    return q->columns++;
}

/* SQL expression of a field's value; quoted is a buffer for it. NULL: the database does not have the
 * field. */
static const char *field_sql(const struct fetch *f, const struct kind_desc *k, int field, struct buf *quoted)
{
    for (size_t i = 0; i < ARRAY_LENGTH(joined); i++)
        if (joined[i].kind == k->kind && joined[i].field == field)
            return joined[i].sql;
    const char *column = k->fields[field].column;
    if (!fetch_has_field(f, k->kind, field) || !*column)
        return NULL;
    buf_reset(quoted);
    buf_addf(quoted, "x.\"%s\"", column);
    return buf_str(quoted);
}

static bool has_columns_of(const struct fetch *f, const struct promoted_value *p)
{
    const struct table *t = find_table(f, "trace_info");
    if (f->prepopulated)
        return false;
    for (int i = 0; p->columns[i]; i++)
        if (!has_column(t, p->columns[i]))
            return false;
    return true;
}

const struct promoted_value *fetch_next_promoted(const struct fetch *f, enum kind kind,
                                                 const struct promoted_value *p)
{
    for (p = p ? p + 1 : promoted_values; p < promoted_values + N_PROMOTED; p++)
        if (p->kind == kind && has_columns_of(f, p))
            return p;
    return NULL;
}

bool fetch_promotes(const struct fetch *f, const char *key)
{
    for (int i = 0; i < N_PROMOTED; i++)
        if (strcmp(promoted_values[i].key, key) == 0)
            return has_columns_of(f, &promoted_values[i]);
    return false;
}

/* Appends the parts of the kind's promoted objects for one arm of the union: columns in the arm of `mine`,
 * nulls in the others; in the first arm (mine NULL) typed nulls named p0, p1 … */
static void add_parts_of_arm(struct buf *sql, const struct fetch *f, enum kind kind,
                             const struct promoted_value *mine)
{
    const struct promoted_value *p = NULL;
    int part = 0;
    while ((p = fetch_next_promoted(f, kind, p))) {
        for (int i = 0; p->object && p->columns[i]; i++) {
            if (mine)
                buf_addf(sql, ", %s", p == mine ? p->columns[i] : "NULL");
            else
                buf_addf(sql, ", CAST(NULL AS %s) AS p%d", p->part_type, part++);
        }
    }
}

/* Adds the kind's table, or its union with columns of trace_info that hold the same data. */
static void add_source(struct query *q, const struct fetch *f, const struct kind_desc *k, unsigned flags)
{
    const struct promoted_value *p = fetch_next_promoted(f, k->kind, NULL);
    if (!p) {
        buf_addf(&q->sql, " FROM %s x", k->table);
        return;
    }
    struct buf keys = {0}, arms = {0};
    for (; p; p = fetch_next_promoted(f, k->kind, p)) {
        buf_addf(&keys, "%s'%s'", keys.len ? ", " : "", p->key);
        buf_addf(&arms, " UNION ALL SELECT request_id, '%s', %s", p->key, p->object ? "NULL" : p->columns[0]);
        add_parts_of_arm(&arms, f, k->kind, p);
        buf_adds(&arms, " FROM trace_info WHERE ");
        for (int i = 0; p->columns[i]; i++)
            buf_addf(&arms, "%s%s IS NOT NULL", i ? " OR " : "", p->columns[i]);
    }
    buf_adds(&q->sql, " FROM (SELECT request_id, \"key\", \"value\"");
    add_parts_of_arm(&q->sql, f, k->kind, NULL);
    buf_addf(&q->sql, " FROM %s", k->table);
    if (flags & FETCH_NO_SHADOWED)
        buf_addf(&q->sql, " WHERE \"key\" NOT IN (%s)", buf_str(&keys));
    buf_addf(&q->sql, "%s) x", buf_str(&arms));
    buf_free(&keys);
    buf_free(&arms);
}

/* Adds `WHERE` or `AND`. */
static void add_condition(struct query *q, bool *begun)
{
    buf_adds(&q->sql, *begun ? " AND " : " WHERE ");
    *begun = true;
}

/* A prompt is a registered model with a certain tag (RegisteredModel._is_prompt). */
static void add_prompt_condition(struct query *q, const struct fetch *f, bool prompt)
{
    if (!fetch_has_kind(f, KIND_registered_model_tag)) {
        buf_adds(&q->sql, prompt ? "1 = 0" : "1 = 1");
        return;
    }
    buf_addf(&q->sql, "%sEXISTS (SELECT 1 FROM registered_model_tags t WHERE t.name = x.name%s",
             prompt ? "" : "NOT ",
             fetch_has_column(f, "registered_model_tags", "workspace") ? " AND t.workspace = x.workspace"
                                                                       : "");
    buf_adds(&q->sql, " AND t.\"key\" = 'mlflow.prompt.is_prompt' AND lower(t.\"value\") = 'true')");
}

static void add_where(struct query *q, const struct fetch *f, const struct kind_desc *k, const char *where)
{
    bool begun = false;
    for (int i = 0; i < k->n_consts; i++) {
        add_condition(q, &begun);
        buf_addf(&q->sql, "x.\"%s\" = '%s'", k->consts[i].column, k->consts[i].text);
    }
    if (k->kind == KIND_prompt || k->kind == KIND_registered_model) {
        add_condition(q, &begun);
        add_prompt_condition(q, f, k->kind == KIND_prompt);
    }
    if (k->kind == KIND_experiment_tag) {
        add_condition(q, &begun);
        buf_adds(&q->sql, "x.\"key\" NOT LIKE '" MERGE_WATERMARK "%'");
    }
    if (where) {
        add_condition(q, &begun);
        buf_addf(&q->sql, "(%s)", where);
    }
}

/* Makes PostgreSQL sort a field as value_compare does; SQLite does so by default. */
static const char *postgres_order(const struct field_desc *d)
{
    bool text = d->type == FIELD_STR && !(d->flags & FIELD_EXP); /* experiments' ids are numbers */
    return text ? " COLLATE \"C\" NULLS FIRST" : " NULLS FIRST";
}

static void add_order(struct query *q, const struct fetch *f, const struct kind_desc *k)
{
    struct buf quoted = {0};
    const char *word = " ORDER BY ";
    for (int i = 0; i < f->n_order[k->kind]; i++) {
        const struct field_desc *d = &k->fields[f->order[k->kind][i]];
        const char *sql = field_sql(f, k, f->order[k->kind][i], &quoted);
        if (!sql)
            continue;
        buf_addf(&q->sql, "%s%s%s", word, sql,
                 db_dialect(f->db) == DIALECT_POSTGRESQL ? postgres_order(d) : "");
        if (d->codec == CODEC_METRIC && has_column(f->of[k->kind], "is_nan"))
            buf_adds(&q->sql, ", x.is_nan");
        word = ", ";
    }
    buf_free(&quoted);
}

static void add_derived(struct query *q, struct fetch_cursor *c)
{
    struct buf quoted = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(derived); i++) {
        if (derived[i].kind != c->kind->kind || !has_column(c->f->of[c->kind->kind], derived[i].column))
            continue;
        int n = c->n_derived++;
        buf_reset(&quoted);
        buf_addf(&quoted, "x.\"%s\"", derived[i].column);
        c->derived_column[n] = add_column(q, buf_str(&quoted));
        c->looked_up[n] = derived[i].sql != NULL;
        if (derived[i].sql)
            add_column(q, derived[i].sql);
        c->derived[n] = (struct fetch_derived){.column = derived[i].column};
    }
    buf_free(&quoted);
}

static void add_fields(struct query *q, struct fetch_cursor *c)
{
    struct buf quoted = {0};
    const struct kind_desc *k = c->kind;
    c->is_nan = c->object = -1;
    for (int i = 0; i < k->n_fields; i++) {
        const char *sql = field_sql(c->f, k, i, &quoted);
        c->column[i] = sql ? add_column(q, sql) : -1;
        if (k->fields[i].codec == CODEC_METRIC && has_column(c->f->of[k->kind], "is_nan"))
            c->is_nan = add_column(q, "x.is_nan");
    }
    buf_free(&quoted);
}

/* Adds the parts of promoted objects if the kind has any in this database. */
static void add_parts(struct query *q, struct fetch_cursor *c)
{
    const struct promoted_value *p = NULL;
    int part = 0;
    while ((p = fetch_next_promoted(c->f, c->kind->kind, p))) {
        for (int i = 0; p->object && p->columns[i]; i++) {
            char name[16];
            snprintf(name, sizeof name, "x.p%d", part++);
            int column = add_column(q, name);
            c->object = c->object < 0 ? column : c->object;
        }
    }
}

struct fetch_cursor *fetch_open(const struct fetch *f, enum kind kind, unsigned flags, const char *where,
                                struct err *e)
{
    struct fetch_cursor *c = xcalloc(1, sizeof *c);
    struct query q = {0};
    c->f = f;
    c->kind = &kinds[kind];
    if (!fetch_has_kind(f, kind))
        return c;
    add_fields(&q, c);
    add_parts(&q, c);
    if (flags & FETCH_DERIVED)
        add_derived(&q, c);
    add_source(&q, f, c->kind, flags);
    for (size_t i = 0; i < ARRAY_LENGTH(joins); i++)
        if (joins[i].kind == kind)
            buf_adds(&q.sql, joins[i].sql);
    add_where(&q, f, c->kind, where);
    if (flags & FETCH_ORDERED)
        add_order(&q, f, c->kind);
    c->stmt = db_prepare(f->db, buf_str(&q.sql), e);
    buf_free(&q.sql);
    if (c->stmt)
        return c;
    fetch_close(c);
    return NULL;
}

void fetch_close(struct fetch_cursor *c)
{
    if (!c)
        return;
    db_finalize(c->stmt);
    buf_free(&c->json);
    free(c);
}
