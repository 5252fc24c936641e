/* Reads the target's tables and columns from the database. */
#include "formats/load/tables.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/database/sql_text.h"

const struct load_ref_desc load_refs[REF_COUNT] = {
    [REF_EXPERIMENT] = {"experiment", "experiments", {"experiment_id"}},
    [REF_RUN] = {"run", "runs", {"run_uuid"}},
    [REF_TRACE] = {"trace", "trace_info", {"request_id"}},
    [REF_MODEL] = {"logged model", "logged_models", {"model_id"}},
    [REF_REGISTERED] = {"registered model", "registered_models", {"name", "workspace"}},
    [REF_VERSION] = {"model version", "model_versions", {"name", "version", "workspace"}},
    [REF_DATASET] = {"dataset", "datasets", {"experiment_id", "name", "digest"}},
    [REF_INPUT] = {"input", "inputs", {"input_uuid"}},
};

int load_table_find(const struct load_table *t, const char *column)
{
    for (int i = 0; i < t->n_columns; i++)
        if (strcmp(t->columns[i].name, column) == 0)
            return i;
    return -1;
}

void load_table_defaults(const struct load_table *t, struct value *row)
{
    for (int i = 0; i < t->n_columns; i++)
        row[i] = t->columns[i].not_null ? t->columns[i].dflt : value_null();
}

struct load_table *load_table_of_rows(const struct load_tables *all, const char *name)
{
    const struct row_table *known = row_table_by_name(name, strlen(name));
    return known ? all->of_rows[known - row_tables] : NULL;
}

struct load_table *load_table_named(struct load_tables *all, const char *name)
{
    for (int i = 0; i < all->n; i++)
        if (strcmp(all->items[i].name, name) == 0)
            return &all->items[i];
    struct load_table *t = &all->items[all->n++];
    t->name = name;
    return t;
}

/* Parses a declared default ('0', 0, 'default', false, 'default'::character varying) as a value of the
 * column. */
static struct value parse_default(struct load_tables *all, const char *text, bool is_text)
{
    if (!text)
        return value_null();
    struct sql_text sql = sql_text(all->dialect, text);
    struct sql_piece first = sql_token(&sql);
    char *literal = first.kind == SQL_STRING ? sql_unquoted(first) : xstrdup(text);
    size_t len = strlen(literal);
    struct value v = value_null();
    int64_t i;
    if (is_text)
        v = value_strn(arena_strndup(&all->names, literal, len), len);
    else if (value_parse_int(literal, len, &i))
        v = value_int(i);
    else if (strcmp(literal, "false") == 0)
        v = value_bool(false);
    free(literal);
    return v;
}

/* Queries that compute columns missing from a row. */
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

static int add_column(struct load_tables *all, struct load_table *t, const struct db_column_info *info,
                      const char *name)
{
    int i = load_table_find(t, name);
    if (i >= 0)
        return i;
    struct load_column *c = &t->columns[i = t->n_columns++];
    c->name = arena_strndup(&all->names, name, strlen(name));
    c->type = limits_column_type(all->dialect, info->type);
    c->not_null = info->not_null;
    c->dflt = parse_default(all, info->dflt, c->type == COLUMN_TEXT);
    for (size_t k = 0; k < ARRAY_LENGTH(look_ups); k++)
        if (strcmp(look_ups[k].table, t->name) == 0 && strcmp(look_ups[k].column, name) == 0)
            c->look_up = look_ups[k].query, c->look_up_if = look_ups[k].condition;
    return i;
}

/* Adds all columns that can be filled. */
static void add_columns(struct load_tables *all, struct load_table *t, const struct db_columns *have)
{
    for (int i = 0; i < have->n; i++)
        if (!have->items[i].generated && t->n_columns < LOAD_MAX_COLUMNS)
            add_column(all, t, &have->items[i], have->items[i].name);
}

int load_plan_column(struct load_tables *all, struct load_table *t, const struct db_columns *have,
                     const char *name, struct err *e)
{
    const struct db_column_info *info = db_columns_find(have, name);
    if (info)
        return add_column(all, t, info, name);
    err_set(e, t->name, "column %s is missing, but the table's revision has it", name);
    err_hint(
        e, "the database was changed by hand or a failed upgrade left it incomplete; see `ml-schema check`");
    return MISSING_COLUMN;
}

static bool read_key(struct db *db, struct load_table *t, struct err *e)
{
    struct db_columns have;
    const struct db_column_info *key[DB_MAX_KEY];
    if (!db_table_columns(db, t->name, &have, e))
        return false;
    int n = db_columns_key(&have, key);
    bool ok = n > 0 || err_set(e, t->name, "the table has no primary key");
    for (int k = 0; ok && k < n; k++) {
        int i = k < LOAD_MAX_KEY ? load_table_find(t, key[k]->name) : -1;
        if (i >= 0) {
            t->columns[i].in_key = true;
            t->key[t->n_key++] = i;
        } else {
            ok = err_set(e, t->name, "its primary key has the column %s, which is not MLflow's",
                         key[k < DB_MAX_KEY ? k : DB_MAX_KEY - 1]->name);
        }
    }
    db_columns_free(&have);
    return ok;
}

/* -- all tables */

static bool plan_rows(struct load_tables *all, struct db *db, struct err *e)
{
    all->of_rows = xcalloc((size_t)row_tables_count, sizeof *all->of_rows);
    for (int i = 0; i < row_tables_count; i++) {
        struct db_columns have;
        if (!db_table_columns(db, row_tables[i].name, &have, e))
            return false;
        if (have.n > 0) {
            limits_add_table(all->limits, row_tables[i].name, &have);
            all->of_rows[i] = load_table_named(all, row_tables[i].name);
            add_columns(all, all->of_rows[i], &have);
        }
        db_columns_free(&have);
    }
    return true;
}

bool load_tables_read(struct load_tables *all, struct db *db, int rev, bool any_ids, struct err *e)
{
    all->dialect = db_dialect(db);
    all->rev = rev;
    all->limits = limits_new(all->dialect, rev, any_ids);
    bool ok = true;
    for (int k = 0; ok && k < KIND_COUNT; k++)
        if (kind_is_entity(&kinds[k]))
            ok = load_plan_kind(all, db, &kinds[k], e);
    ok = ok && plan_rows(all, db, e);
    for (int i = 0; ok && i < all->n; i++)
        ok = read_key(db, &all->items[i], e);
    return ok;
}

void load_tables_free(struct load_tables *all)
{
    limits_free(all->limits);
    free(all->of_rows);
    arena_free(&all->names);
}
