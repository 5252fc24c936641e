/* Reads the tables that limits are judged by. */
#include "formats/schema/limits_tables.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/schema/schema.h"
#include "migrations/migrations.h"

/* The CHECKs of MLflow's tables; the codes of a logged model's status (mlflow.entities.LoggedModelStatus);
 * and words unknown to releases before a revision although they have the column: before 3.11 a single issue
 * makes reading its whole trace fail. */
static const struct word_list word_lists[] = {
    {KIND_run,
     F_run_status,
     true,
     {{"RUNNING", 0}, {"SCHEDULED", 0}, {"FINISHED", 0}, {"FAILED", 0}, {"KILLED", REV_KILLED_RUNS}},
     "must be one of RUNNING, SCHEDULED, FINISHED, FAILED, KILLED"},
    {KIND_run,
     F_run_source_type,
     true,
     {{"NOTEBOOK", 0}, {"JOB", 0}, {"LOCAL", 0}, {"UNKNOWN", 0}, {"PROJECT", 0}},
     "must be one of NOTEBOOK, JOB, LOCAL, UNKNOWN, PROJECT"},
    {KIND_run, F_run_lifecycle_stage, true, {{"active", 0}, {"deleted", 0}}, "must be active or deleted"},
    {KIND_experiment,
     F_experiment_lifecycle_stage,
     true,
     {{"active", 0}, {"deleted", 0}},
     "must be active or deleted"},
    {KIND_logged_model,
     F_logged_model_lifecycle_stage,
     true,
     {{"active", 0}, {"deleted", 0}},
     "must be active or deleted"},
    {KIND_logged_model,
     F_logged_model_status,
     true,
     {{"UNSPECIFIED", 0}, {"PENDING", 0}, {"READY", 0}, {"FAILED", 0}},
     "must be one of UNSPECIFIED, PENDING, READY, FAILED"},
    {KIND_assessment, F_assessment_assessment_type, false, {{"issue", REV_ISSUES}}, NULL},
};

enum column_type limits_column_type(enum dialect dialect, const char *declared)
{
    static const struct {
        const char *begin;
        enum column_type type;
    } types[] = {
        {"INTEGER", COLUMN_INT32}, {"BIGINT", COLUMN_INT64}, {"FLOAT", COLUMN_FLOAT},
        {"DOUBLE", COLUMN_FLOAT},  {"REAL", COLUMN_FLOAT},   {"BOOLEAN", COLUMN_BOOL},
        {"BLOB", COLUMN_BYTES},    {"BYTEA", COLUMN_BYTES},  {"DATE", COLUMN_DATE},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++)
        if (strncmp(declared, types[i].begin, strlen(types[i].begin)) == 0)
            return types[i].type == COLUMN_INT32 && dialect == DIALECT_SQLITE ? COLUMN_INT64 : types[i].type;
    return COLUMN_TEXT;
}

struct limits *limits_new(enum dialect dialect, int rev, bool wide)
{
    struct limits *l = xcalloc(1, sizeof *l);
    l->dialect = dialect;
    l->rev = rev;
    l->wide = wide;
    l->row_tables = xcalloc((size_t)row_tables_count, sizeof(struct limits_table *));
    return l;
}

void limits_free(struct limits *l)
{
    if (!l)
        return;
    for (int t = 0; t < l->n_tables; t++) {
        for (int i = 0; i < l->tables[t].n; i++)
            free(l->tables[t].columns[i].name);
        free(l->tables[t].columns);
    }
    free(l->row_tables);
    pyjson_free(&l->json);
    span_content_free(&l->span);
    free(l);
}

static struct limits_column make_column(const struct limits *l, const struct db_column_info *info)
{
    struct limits_column c = {.name = xstrdup(info->name),
                              .name_len = strlen(info->name),
                              .type = limits_column_type(l->dialect, info->type),
                              .not_null = info->not_null,
                              .has_default = info->dflt != NULL,
                              .in_key = info->key > 0,
                              .generated = info->generated};
    if (l->dialect == DIALECT_POSTGRESQL) {
        c.max_length = info->length;
        c.is_json = strncmp(info->type, "JSON", 4) == 0;
    }
    if (l->wide && c.type == COLUMN_INT32 && strcmp(info->name, "experiment_id") == 0)
        c.type = COLUMN_INT64;
    return c;
}

const struct limits_column *limits_find_column(const struct limits_table *t, const char *name, size_t len)
{
    for (int i = 0; i < t->n; i++)
        if (t->columns[i].name_len == len && memcmp(t->columns[i].name, name, len) == 0)
            return &t->columns[i];
    return NULL;
}

static const struct word_list *find_words(enum kind kind, int field)
{
    for (size_t i = 0; i < ARRAY_LENGTH(word_lists); i++)
        if (word_lists[i].kind == kind && word_lists[i].field == field)
            return &word_lists[i];
    return NULL;
}

/* Ids of datasets and inputs, which a file store does not have: loading generates them if they are null. */
static bool is_derived(const struct field_desc *f)
{
    return strcmp(f->name, "dataset_id") == 0 || strcmp(f->name, "input_id") == 0;
}

static void plan_field(struct limits *l, const struct kind_desc *k, int field, const struct limits_table *t)
{
    const struct field_desc *f = &k->fields[field];
    struct field_limits *x = &l->kinds[k->kind].fields[field];
    x->needed = f->flags & (FIELD_K | FIELD_R);
    x->words = find_words(k->kind, field);
    if (!f->column[0]) {
        x->place = PLACE_NONE;
        return;
    }
    x->column = l->rev < f->since || (f->until && l->rev >= f->until)
                    ? NULL
                    : limits_find_column(t, f->column, strlen(f->column));
    x->place = x->column ? PLACE_COLUMN : PLACE_MISSING;
    if (!x->column)
        return;
    bool no_null = x->column->not_null && !x->column->has_default;
    x->needed |= no_null;
    x->required = no_null && !is_derived(f);
}

void limits_add_table(struct limits *l, const char *name, const struct db_columns *columns)
{
    for (int i = 0; i < l->n_tables; i++)
        if (strcmp(l->tables[i].name, name) == 0)
            return;
    if (columns->n == 0)
        return;
    struct limits_table *t = &l->tables[l->n_tables++];
    *t = (struct limits_table){.name = name, .columns = xcalloc((size_t)columns->n, sizeof *t->columns)};
    for (; t->n < columns->n; t->n++)
        t->columns[t->n] = make_column(l, &columns->items[t->n]);
    for (int k = 0; k < KIND_COUNT; k++) {
        if (!kind_is_entity(&kinds[k]) || strcmp(kinds[k].table, name) != 0)
            continue;
        l->kinds[k].has_is_nan = limits_find_column(t, "is_nan", 6) != NULL;
        for (int f = 0; f < kinds[k].n_fields; f++)
            plan_field(l, &kinds[k], f, t);
    }
    const struct row_table *rows = row_table_by_name(name, strlen(name));
    if (rows)
        l->row_tables[rows - row_tables] = t;
}

static bool read_table(struct limits *l, struct db *db, const char *name, struct err *e)
{
    struct db_columns columns;
    if (!db_table_columns(db, name, &columns, e))
        return false;
    limits_add_table(l, name, &columns);
    db_columns_free(&columns);
    return true;
}

bool limits_read(struct limits *l, struct db *db, struct err *e)
{
    for (int k = 0; k < KIND_COUNT; k++)
        if (kind_is_entity(&kinds[k]) && !read_table(l, db, kinds[k].table, e))
            return false;
    for (int i = 0; i < row_tables_count; i++)
        if (!read_table(l, db, row_tables[i].name, e))
            return false;
    return true;
}

int limits_kind_since(const struct kind_desc *k)
{
    static const struct {
        unsigned flag;
        enum kind kind;
    } parents[] = {
        {FIELD_TRACE, KIND_trace}, {FIELD_MODEL, KIND_logged_model}, {FIELD_REG, KIND_registered_model}};
    int since = k->since;
    for (int i = 0; i < k->n_fields; i++)
        for (size_t p = 0; p < ARRAY_LENGTH(parents); p++)
            if ((k->fields[i].flags & parents[p].flag) && (k->fields[i].flags & FIELD_R) &&
                kinds[parents[p].kind].since > since)
                since = kinds[parents[p].kind].since;
    return since;
}

bool limits_has_kind(const struct limits *l, enum kind kind)
{
    return l->rev >= limits_kind_since(&kinds[kind]);
}

bool limits_has_row_table(const struct limits *l, const struct row_table *t)
{
    return t && l->row_tables[t - row_tables];
}
