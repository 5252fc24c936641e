/* The target's tables and columns, as the database describes them. */
#include <stdio.h>
#include <string.h>

#include "formats/load/internal.h"

int load_table_find(const struct load_table *t, const char *column)
{
    for (int i = 0; i < t->n_columns; i++)
        if (strcmp(t->columns[i].name, column) == 0)
            return i;
    return -1;
}

struct load_table *load_table_named(struct load *s, const char *name)
{
    for (int i = 0; i < s->n_tables; i++)
        if (strcmp(s->tables[i].name, name) == 0)
            return &s->tables[i];
    struct load_table *t = &s->tables[s->n_tables++];
    t->name = name;
    return t;
}

/* A default as declared ('0', 0, 'default', false, 'default'::character varying) as a value of the column. */
static struct value parse_default(struct load *s, const char *text, bool is_text)
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

static int add_column(struct load *s, struct load_table *t, const struct db_column_info *info,
                      const char *name)
{
    int i = load_table_find(t, name);
    if (i >= 0)
        return i;
    struct load_column *c = &t->columns[i = t->n_columns++];
    c->name = arena_strndup(&s->names, name, strlen(name));
    c->type = limits_column_type(s->dialect, info->type);
    c->not_null = info->not_null;
    c->dflt = parse_default(s, info->dflt, c->type == COLUMN_TEXT);
    for (size_t k = 0; k < sizeof look_ups / sizeof *look_ups; k++)
        if (strcmp(look_ups[k].table, t->name) == 0 && strcmp(look_ups[k].column, name) == 0)
            c->look_up = look_ups[k].query, c->look_up_if = look_ups[k].condition;
    return i;
}

void load_plan_columns(struct load *s, struct load_table *t, const struct db_columns *have)
{
    for (int i = 0; i < have->n; i++)
        if (!have->items[i].generated && t->n_columns < LOAD_MAX_COLUMNS)
            add_column(s, t, &have->items[i], have->items[i].name);
}

int load_plan_column(struct load *s, struct load_table *t, const struct db_columns *have, const char *name,
                     struct err *e)
{
    const struct db_column_info *info = db_columns_find(have, name);
    if (info)
        return add_column(s, t, info, name);
    err_set(e, t->name, "the table has no column %s, which its revision has", name);
    err_hint(e, "the database was changed by hand or left half-way by a failed upgrade; `ml-schema check` "
                "tells more");
    return MISSING_COLUMN;
}

bool load_plan_key(struct db *db, struct load_table *t, struct err *e)
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
            ok = err_set(e, t->name, "its primary key holds the column %s, which is none of MLflow's",
                         key[k < DB_MAX_KEY ? k : DB_MAX_KEY - 1]->name);
        }
    }
    db_columns_free(&have);
    return ok;
}
