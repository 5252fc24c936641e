/* Parses the DDL of migrations/ into facts, as a PostgreSQL server would. */
#include "formats/schema/model_postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/schema/model_items.h"

typedef struct sql_text text;
typedef struct sql_piece piece;

/* The effect of PL/pgSQL blocks and queries on the structure, by revision, as DDL with the names that the
 * server generated. */
static const struct {
    int rev;
    const char *ddl;
} hidden[] = {
    {REV_USER_TAGS, ""}, /* widens a column, where a user's name is too long, that a later revision widens */
    {REV_LATEST_METRICS,
     "CREATE TABLE latest_metrics (key VARCHAR(250), value FLOAT, timestamp BIGINT, step BIGINT,"
     " is_nan BOOLEAN, run_uuid VARCHAR(32));"},
    {REV_DATASET_CASCADE, "ALTER TABLE datasets DROP CONSTRAINT datasets_experiment_id_fkey;"},
    {REV_WORKSPACES, "ALTER TABLE model_versions DROP CONSTRAINT model_versions_name_fkey;"
                     "ALTER TABLE registered_model_tags DROP CONSTRAINT registered_model_tags_name_fkey;"
                     "ALTER TABLE registered_model_aliases DROP CONSTRAINT registered_model_alias_name_fkey;"
                     "ALTER TABLE model_version_tags DROP CONSTRAINT model_version_tags_name_version_fkey;"
                     "ALTER TABLE registered_models DROP CONSTRAINT registered_model_pk;"
                     "ALTER TABLE model_versions DROP CONSTRAINT model_version_pk;"
                     "ALTER TABLE registered_model_tags DROP CONSTRAINT registered_model_tag_pk;"
                     "ALTER TABLE model_version_tags DROP CONSTRAINT model_version_tag_pk;"
                     "ALTER TABLE registered_model_aliases DROP CONSTRAINT registered_model_alias_pk;"
                     "ALTER TABLE experiments DROP CONSTRAINT experiments_name_key;"
                     "DROP INDEX unique_secret_name; DROP INDEX unique_endpoint_name;"
                     "DROP INDEX unique_model_definition_name;"},
};

/* -- statements */

static bool read_ddl(struct schema_model *m, const char *ddl);

/* Applies the effect of a block or query: see above. */
static bool read_hidden(struct schema_model *m, text t)
{
    for (size_t i = 0; i < ARRAY_LENGTH(hidden); i++)
        if (hidden[i].rev == m->rev)
            return read_ddl(m, hidden[i].ddl);
    return schema_model_unreadable(m, t.at);
}

static bool create_table(struct schema_model *m, text t)
{
    text inside, after, one, begin = t;
    bool may_exist = sql_take(&t, "IF NOT EXISTS");
    char *table = sql_take_name(&t);
    bool ok = true;
    if (table && sql_take(&t, "AS"))
        ok = read_hidden(m, begin);
    else if (!table || !sql_brackets(t, &inside, &after))
        ok = schema_model_unreadable(m, begin.at);
    else if (!may_exist || !schema_model_has_table(m, table))
        while (ok && sql_item(&inside, &one))
            ok = schema_model_is_constraint(one) ? schema_model_read_constraint(m, table, one)
                                                 : schema_model_read_column(m, table, one);
    free(table);
    return ok;
}

/* NAME ON TABLE (COLUMNS) [INCLUDE (COLUMNS)] [WHERE (…)] */
static bool create_index(struct schema_model *m, text t, bool unique)
{
    text begin = t;
    struct buf fact = {0};
    char *name = sql_take_name(&t), *table = sql_take(&t, "ON") ? sql_take_name(&t) : NULL;
    bool ok = name && table;
    if (ok) {
        buf_addf(&fact, "index %s%s on btree ", name, unique ? " unique" : "");
        ok = schema_model_take_brackets(&t, &fact);
    }
    if (ok && sql_take(&t, "INCLUDE")) {
        buf_adds(&fact, " INCLUDE ");
        ok = schema_model_take_brackets(&t, &fact);
    }
    if (ok && sql_take(&t, "WHERE")) {
        buf_adds(&fact, " WHERE ");
        ok = schema_model_take_brackets(&t, &fact);
    }
    ok = ok && sql_at_end(t);
    if (ok)
        schema_model_add(m, ITEM_INDEX, table, name, buf_str(&fact));
    free(name);
    free(table);
    buf_free(&fact);
    return ok || schema_model_unreadable(m, begin.at);
}

/* NAME() RETURNS trigger AS $$ BODY $$ LANGUAGE plpgsql */
static bool create_function(struct schema_model *m, text t)
{
    text begin = t;
    piece p;
    while ((p = sql_piece(&t)).kind != SQL_NOTHING && p.kind != SQL_STRING)
        ;
    if (p.kind == SQL_NOTHING)
        return schema_model_unreadable(m, begin.at);
    free(m->function);
    m->function = sql_copy(p.inside);
    return true;
}

/* statement: the full text, which the server stores. */
static bool create_trigger(struct schema_model *m, text t, text statement)
{
    text begin = t;
    struct buf fact = {0};
    char *name = sql_take_name(&t), *table = NULL;
    piece p;
    while (!table && (p = sql_piece(&t)).kind != SQL_NOTHING)
        table = sql_is(p, "ON") ? sql_take_name(&t) : NULL;
    bool ok = name && table && m->function;
    if (ok) {
        buf_addf(&fact, "trigger %s ", name);
        sql_normal(statement, &fact);
        buf_addc(&fact, ' ');
        sql_normal(sql_text(DIALECT_POSTGRESQL, m->function), &fact);
        schema_model_add(m, ITEM_TRIGGER, table, name, buf_str(&fact));
    }
    free(name);
    free(table);
    buf_free(&fact);
    return ok || schema_model_unreadable(m, begin.at);
}

static bool drop_item(struct schema_model *m, enum schema_item_kind kind, const char *table, text t)
{
    text begin = t;
    bool may_be_gone = sql_take(&t, "IF EXISTS");
    char *name = sql_take_name(&t);
    struct schema_item *item = name ? schema_model_find(m, kind, table, name) : NULL;
    if (item)
        schema_model_remove(m, item);
    free(name);
    return item || may_be_gone || schema_model_unreadable(m, begin.at);
}

/* Dropping a column drops the keys and indexes that include it. */
static bool drop_column(struct schema_model *m, const char *table, text t)
{
    text ahead = t;
    char *name = sql_take_name(&ahead);
    for (size_t i = m->n; name && i-- > 0;)
        if (strcmp(m->items[i].table, table) == 0 && schema_model_mentions(&m->items[i], name))
            schema_model_remove(m, &m->items[i]);
    free(name);
    return drop_item(m, ITEM_COLUMN, table, t);
}

/* NAME TYPE … | SET NOT NULL | DROP NOT NULL */
static bool alter_column(struct schema_model *m, const char *table, text t)
{
    text begin = t;
    char *name = sql_take_name(&t);
    struct schema_item *column = name ? schema_model_find(m, ITEM_COLUMN, table, name) : NULL;
    struct buf type = {0};
    bool ok = column != NULL;
    if (ok && sql_take(&t, "TYPE")) {
        ok = schema_model_take_type(m, &t, name, &type) != NULL;
        free(column->text);
        column->text = xstrdup(buf_str(&type));
    } else if (ok && sql_take(&t, "SET NOT NULL"))
        column->not_null = true;
    else if (ok && sql_take(&t, "DROP NOT NULL"))
        column->not_null = false;
    else
        ok = schema_model_unreadable(m, begin.at);
    free(name);
    buf_free(&type);
    return ok;
}

/* OLD TO NEW, of a column that is in no key or index. */
static bool rename_column(struct schema_model *m, const char *table, text t)
{
    text begin = t;
    char *name = sql_take_name(&t), *new_name = sql_take(&t, "TO") ? sql_take_name(&t) : NULL;
    struct schema_item *column = name ? schema_model_find(m, ITEM_COLUMN, table, name) : NULL;
    bool ok = column && new_name;
    for (size_t i = 0; ok && i < m->n; i++)
        ok = strcmp(m->items[i].table, table) != 0 || !schema_model_mentions(&m->items[i], name);
    if (ok) {
        free(column->name);
        column->name = xstrdup(new_name);
    }
    free(name);
    free(new_name);
    return ok || schema_model_unreadable(m, begin.at);
}

static bool add_column(struct schema_model *m, const char *table, text t)
{
    bool may_exist = sql_take(&t, "IF NOT EXISTS");
    text ahead = t;
    char *name = sql_take_name(&ahead);
    bool there = may_exist && name && schema_model_find(m, ITEM_COLUMN, table, name);
    free(name);
    return there || schema_model_read_column(m, table, t);
}

static bool alter_table(struct schema_model *m, text t)
{
    text one, begin = t;
    char *table = sql_take_name(&t);
    bool ok = table != NULL;
    while (ok && sql_item(&t, &one)) {
        if (sql_take(&one, "ADD COLUMN"))
            ok = add_column(m, table, one);
        else if (sql_take(&one, "ADD"))
            ok = schema_model_read_constraint(m, table, one);
        else if (sql_take(&one, "DROP CONSTRAINT"))
            ok = drop_item(m, ITEM_KEY, table, one);
        else if (sql_take(&one, "DROP COLUMN"))
            ok = drop_column(m, table, one);
        else if (sql_take(&one, "ALTER COLUMN"))
            ok = alter_column(m, table, one);
        else if (sql_take(&one, "RENAME COLUMN"))
            ok = rename_column(m, table, one);
        else
            ok = sql_take(&one, "REPLICA IDENTITY") || schema_model_unreadable(m, begin.at);
    }
    free(table);
    return ok;
}

static bool read_statement(struct schema_model *m, text statement)
{
    text t = statement;
    if (sql_take(&t, "CREATE TABLE"))
        return create_table(m, t);
    if (sql_take(&t, "CREATE UNIQUE INDEX"))
        return create_index(m, t, true);
    if (sql_take(&t, "CREATE INDEX"))
        return create_index(m, t, false);
    if (sql_take(&t, "CREATE OR REPLACE FUNCTION"))
        return create_function(m, t);
    if (sql_take(&t, "CREATE TRIGGER"))
        return create_trigger(m, t, statement);
    if (sql_take(&t, "ALTER TABLE"))
        return alter_table(m, t);
    if (sql_take(&t, "DROP INDEX"))
        return drop_item(m, ITEM_INDEX, NULL, t);
    if (sql_take(&t, "DO"))
        return read_hidden(m, t);
    return sql_take(&t, "INSERT") || sql_take(&t, "UPDATE") || sql_take(&t, "DELETE") ||
           schema_model_unreadable(m, t.at);
}

static bool read_ddl(struct schema_model *m, const char *ddl)
{
    text t = sql_text(DIALECT_POSTGRESQL, ddl), statement;
    bool ok = true;
    while (ok && sql_statement(&t, &statement))
        ok = read_statement(m, statement);
    return ok;
}

bool schema_model_postgres(int rev, bool wide, struct schema_shape *out, struct err *e)
{
    struct schema_model m = {.wide = wide, .e = e};
    bool ok = true;
    *out = (struct schema_shape){.dialect = DIALECT_POSTGRESQL};
    for (int i = 0; ok && i <= rev; i++) {
        m.rev = i;
        ok = read_ddl(&m, schema_revisions[i].postgresql);
    }
    if (ok)
        schema_model_give(&m, out);
    schema_model_free(&m);
    return ok;
}
