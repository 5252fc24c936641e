/* Reads the DDL of migrations/ as a PostgreSQL server does, into facts. */
#include "formats/schema/model_postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/database/sql_text.h"

typedef struct sql_text text;
typedef struct sql_piece piece;

/* What blocks of PL/pgSQL and queries do to the structure, by revision: in the DDL that is read here, with
 * the names that the server has given. */
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

enum item_kind { ITEM_COLUMN, ITEM_KEY, ITEM_INDEX, ITEM_TRIGGER };

struct item {
    enum item_kind kind;
    char *table, *name;
    char *text; /* of a column its type, of all others the fact */
    char *rest; /* of a column: " DEFAULT …", " GENERATED …"; else NULL */
    bool not_null;
};

struct model {
    struct item *items;
    size_t n;
    bool wide;
    int rev;        /* whose text is read */
    char *function; /* the body of the last trigger function */
    struct err *e;
};

/* ---- items */

static void free_item(struct item *i)
{
    free(i->table);
    free(i->name);
    free(i->text);
    free(i->rest);
}

static struct item *add_item(struct model *m, enum item_kind kind, const char *table, const char *name,
                             const char *what)
{
    /* The room doubles; n alone tells how much there is. */
    if ((m->n & (m->n - 1)) == 0)
        m->items = xrealloc(m->items, (m->n ? 2 * m->n : 1) * sizeof *m->items);
    struct item *i = &m->items[m->n++];
    *i = (struct item){.kind = kind, .table = xstrdup(table), .name = xstrdup(name), .text = xstrdup(what)};
    return i;
}

static void remove_item(struct model *m, struct item *i)
{
    free_item(i);
    m->n--;
    memmove(i, i + 1, (m->n - (size_t)(i - m->items)) * sizeof *i);
}

/* table NULL: of any. */
static struct item *find_item(struct model *m, enum item_kind kind, const char *table, const char *name)
{
    for (size_t i = 0; i < m->n; i++) {
        struct item *item = &m->items[i];
        if (item->kind == kind && (!table || strcmp(item->table, table) == 0) &&
            strcmp(item->name, name) == 0)
            return item;
    }
    return NULL;
}

static bool has_table(const struct model *m, const char *table)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->items[i].table, table) == 0)
            return true;
    return false;
}

/* Whether a key or an index is over the column. */
static bool mentions(const struct item *i, const char *column)
{
    text inside, after, one;
    if (i->kind == ITEM_COLUMN || i->kind == ITEM_TRIGGER ||
        !sql_brackets(sql_text(DIALECT_POSTGRESQL, i->text), &inside, &after))
        return false;
    while (sql_item(&inside, &one))
        if (sql_is(sql_piece(&one), column))
            return true;
    return false;
}

/* ---- reading */

static bool unreadable(struct model *m, const char *at)
{
    return err_set(m->e, "migrations", "revision %s: the model of PostgreSQL cannot read: %.60s",
                   schema_revisions[m->rev].revision, at);
}

/* The next brackets, in normal form and with them; false when there are none. */
static bool take_brackets(text *t, struct buf *out)
{
    text rest = *t;
    piece p = sql_piece(&rest);
    if (p.kind != SQL_GROUP)
        return false;
    *t = rest;
    sql_normal(p.text, out);
    return true;
}

/* ---- columns */

static const struct {
    const char *declared, *type;
} types[] = {
    {"VARCHAR", "character varying"}, {"BIGINT", "bigint"},  {"INTEGER", "integer"}, {"TEXT", "text"},
    {"BOOLEAN", "boolean"},           {"JSON", "json"},      {"BYTEA", "bytea"},     {"DATE", "date"},
    {"FLOAT", "double precision"},    {"SERIAL", "integer"},
};

/* The type that comes next: its base name and all of it ("character varying", "character varying(32)"). */
static const char *take_type(struct model *m, text *t, const char *column, struct buf *whole)
{
    text begin = *t;
    piece p = sql_piece(t);
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
        if (!sql_is(p, types[i].declared))
            continue;
        const char *type = types[i].type;
        if (m->wide && strcmp(column, "experiment_id") == 0 && strcmp(type, "integer") == 0)
            type = "bigint";
        buf_adds(whole, type);
        take_brackets(t, whole);
        return type;
    }
    unreadable(m, begin.at);
    return NULL;
}

/* " DEFAULT …" as the server writes it: a text with the type that it is a value of. */
static void add_default(text *t, const char *type, struct buf *out)
{
    piece p = sql_piece(t);
    buf_addf(out, " DEFAULT %.*s", (int)(p.text.end - p.text.at), p.text.at);
    if (p.kind == SQL_STRING)
        buf_addf(out, "::%s", type);
}

/* An expression with spaces between its pieces. */
static void add_generated(text expression, struct buf *out)
{
    const char *before = " GENERATED (";
    piece p;
    while ((p = sql_piece(&expression)).kind != SQL_NOTHING) {
        buf_addf(out, "%s%.*s", before, (int)(p.text.end - p.text.at), p.text.at);
        before = " ";
    }
    buf_addc(out, ')');
}

/* What follows the type. */
static bool read_clauses(struct model *m, text *t, const char *type, struct item *column, struct buf *rest)
{
    text inside, begin = *t;
    while (!sql_at_end(*t)) {
        if (sql_take(t, "NOT NULL"))
            column->not_null = true;
        else if (sql_take(t, "DEFAULT"))
            add_default(t, type, rest);
        else if (sql_take(t, "GENERATED BY DEFAULT AS IDENTITY"))
            buf_adds(rest, " GENERATED BY DEFAULT AS IDENTITY");
        else if (sql_take(t, "GENERATED ALWAYS AS") && sql_brackets(*t, &inside, t) && sql_take(t, "STORED"))
            add_generated(inside, rest);
        else
            return unreadable(m, begin.at);
    }
    return true;
}

static bool read_column(struct model *m, const char *table, text t)
{
    struct buf type = {0}, rest = {0};
    text begin = t;
    char *name = sql_take_name(&t);
    text ahead = t;
    bool serial = name && sql_take(&ahead, "SERIAL");
    const char *base = name ? take_type(m, &t, name, &type) : NULL;
    bool ok = base != NULL || (!name && unreadable(m, begin.at));
    if (ok) {
        struct item *column = add_item(m, ITEM_COLUMN, table, name, buf_str(&type));
        if (serial)
            buf_addf(&rest, " DEFAULT nextval('%s_%s_seq'::regclass)", table, name);
        ok = read_clauses(m, &t, base, column, &rest);
        column->not_null |= serial;
        column->rest = xstrdup(buf_str(&rest));
    }
    free(name);
    buf_free(&type);
    buf_free(&rest);
    return ok;
}

/* ---- constraints */

/* The name that the server gives: TABLE_COLUMNS_SUFFIX. */
static char *automatic_name(const char *table, const char *columns, const char *suffix)
{
    struct buf b = {0};
    buf_adds(&b, table);
    text t, after, one;
    sql_brackets(sql_text(DIALECT_POSTGRESQL, columns), &t, &after);
    while (sql_item(&t, &one))
        buf_addf(&b, "_%.*s", (int)(one.end - one.at), one.at);
    buf_addf(&b, "_%s", suffix);
    return b.data;
}

/* COLUMN IN ('a', 'b') as the server writes it. */
static bool read_check(struct model *m, text t, struct buf *columns, struct buf *fact)
{
    text begin = t, inside;
    text after;
    char *name = sql_take_name(&t);
    bool ok = name && sql_take(&t, "IN") && sql_brackets(t, &inside, &after);
    if (ok) {
        buf_addf(columns, "(%s)", name);
        buf_addf(fact, "check ((%s = ANY (ARRAY[", name);
        sql_normal(inside, fact);
        buf_adds(fact, "])))");
    }
    free(name);
    return ok || unreadable(m, begin.at);
}

/* TABLE (COLUMNS) [ON UPDATE …] [ON DELETE …] */
static bool read_references(struct model *m, text *t, struct buf *fact)
{
    static const char *const actions[] = {"ON UPDATE CASCADE", "ON DELETE CASCADE", "ON DELETE SET NULL"};
    text begin = *t;
    char *target = sql_take(t, "REFERENCES") ? sql_take_name(t) : NULL;
    if (target)
        buf_addf(fact, " REFERENCES %s", target);
    bool ok = target && take_brackets(t, fact);
    free(target);
    for (size_t i = 0; ok && i < ARRAY_LENGTH(actions); i++)
        if (sql_take(t, actions[i]))
            buf_addf(fact, " %s", actions[i]);
    return ok || unreadable(m, begin.at);
}

static void set_not_null(struct model *m, const char *table, const char *columns)
{
    text t, after, one;
    sql_brackets(sql_text(DIALECT_POSTGRESQL, columns), &t, &after);
    while (sql_item(&t, &one)) {
        char *name = sql_copy(one);
        struct item *column = find_item(m, ITEM_COLUMN, table, name);
        if (column)
            column->not_null = true;
        free(name);
    }
}

/* A unique key over the columns of the primary key is no second one. */
static bool is_primary_key(const struct model *m, const char *table, const char *columns)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->items[i].kind == ITEM_KEY && strcmp(m->items[i].table, table) == 0 &&
            strncmp(m->items[i].text, "primary key ", 12) == 0 && strcmp(m->items[i].text + 12, columns) == 0)
            return true;
    return false;
}

/* A constraint after its name, if it has one. Fills columns with those that it is over, and suffix. */
static bool read_definition(struct model *m, text *t, struct buf *columns, struct buf *fact,
                            const char **suffix)
{
    text begin = *t, inside;
    if (sql_take(t, "PRIMARY KEY") && take_brackets(t, columns)) {
        *suffix = "pkey";
        buf_addf(fact, "primary key %s", buf_str(columns));
    } else if (sql_take(t, "UNIQUE") && take_brackets(t, columns)) {
        *suffix = "key";
        buf_addf(fact, "unique %s", buf_str(columns));
    } else if (sql_take(t, "FOREIGN KEY") && take_brackets(t, columns)) {
        *suffix = "fkey";
        buf_addf(fact, "foreign key %s", buf_str(columns));
        return read_references(m, t, fact);
    } else if (sql_take(t, "CHECK") && sql_brackets(*t, &inside, t)) {
        *suffix = "check";
        return read_check(m, inside, columns, fact);
    } else
        return unreadable(m, begin.at);
    return true;
}

static bool read_constraint(struct model *m, const char *table, text t)
{
    struct buf columns = {0}, fact = {0};
    const char *suffix = "";
    char *name = sql_take(&t, "CONSTRAINT") ? sql_take_name(&t) : NULL;
    bool ok = read_definition(m, &t, &columns, &fact, &suffix);
    if (ok && !(strcmp(suffix, "key") == 0 && is_primary_key(m, table, buf_str(&columns)))) {
        if (!name)
            name = automatic_name(table, buf_str(&columns), suffix);
        add_item(m, ITEM_KEY, table, name, buf_str(&fact));
        if (strcmp(suffix, "pkey") == 0)
            set_not_null(m, table, buf_str(&columns));
    }
    free(name);
    buf_free(&columns);
    buf_free(&fact);
    return ok;
}

static bool is_constraint(text t)
{
    return sql_take(&t, "CONSTRAINT") || sql_take(&t, "PRIMARY KEY") || sql_take(&t, "UNIQUE") ||
           sql_take(&t, "FOREIGN KEY") || sql_take(&t, "CHECK");
}

/* ---- statements */

static bool read_ddl(struct model *m, const char *ddl);

/* What a block or a query does: see above. */
static bool read_hidden(struct model *m, text t)
{
    for (size_t i = 0; i < ARRAY_LENGTH(hidden); i++)
        if (hidden[i].rev == m->rev)
            return read_ddl(m, hidden[i].ddl);
    return unreadable(m, t.at);
}

static bool create_table(struct model *m, text t)
{
    text inside, after, one, begin = t;
    bool may_exist = sql_take(&t, "IF NOT EXISTS");
    char *table = sql_take_name(&t);
    bool ok = true;
    if (table && sql_take(&t, "AS"))
        ok = read_hidden(m, begin);
    else if (!table || !sql_brackets(t, &inside, &after))
        ok = unreadable(m, begin.at);
    else if (!may_exist || !has_table(m, table))
        while (ok && sql_item(&inside, &one))
            ok = is_constraint(one) ? read_constraint(m, table, one) : read_column(m, table, one);
    free(table);
    return ok;
}

/* NAME ON TABLE (COLUMNS) [INCLUDE (COLUMNS)] [WHERE (…)] */
static bool create_index(struct model *m, text t, bool unique)
{
    text begin = t;
    struct buf fact = {0};
    char *name = sql_take_name(&t), *table = sql_take(&t, "ON") ? sql_take_name(&t) : NULL;
    bool ok = name && table;
    if (ok) {
        buf_addf(&fact, "index %s%s on btree ", name, unique ? " unique" : "");
        ok = take_brackets(&t, &fact);
    }
    if (ok && sql_take(&t, "INCLUDE")) {
        buf_adds(&fact, " INCLUDE ");
        ok = take_brackets(&t, &fact);
    }
    if (ok && sql_take(&t, "WHERE")) {
        buf_adds(&fact, " WHERE ");
        ok = take_brackets(&t, &fact);
    }
    ok = ok && sql_at_end(t);
    if (ok)
        add_item(m, ITEM_INDEX, table, name, buf_str(&fact));
    free(name);
    free(table);
    buf_free(&fact);
    return ok || unreadable(m, begin.at);
}

/* NAME() RETURNS trigger AS $$ BODY $$ LANGUAGE plpgsql */
static bool create_function(struct model *m, text t)
{
    text begin = t;
    piece p;
    while ((p = sql_piece(&t)).kind != SQL_NOTHING && p.kind != SQL_STRING)
        ;
    if (p.kind == SQL_NOTHING)
        return unreadable(m, begin.at);
    free(m->function);
    m->function = sql_copy(p.inside);
    return true;
}

/* statement: all of it, which the server keeps. */
static bool create_trigger(struct model *m, text t, text statement)
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
        add_item(m, ITEM_TRIGGER, table, name, buf_str(&fact));
    }
    free(name);
    free(table);
    buf_free(&fact);
    return ok || unreadable(m, begin.at);
}

static bool drop_item(struct model *m, enum item_kind kind, const char *table, text t)
{
    text begin = t;
    bool may_be_gone = sql_take(&t, "IF EXISTS");
    char *name = sql_take_name(&t);
    struct item *item = name ? find_item(m, kind, table, name) : NULL;
    if (item)
        remove_item(m, item);
    free(name);
    return item || may_be_gone || unreadable(m, begin.at);
}

/* A column takes the keys and indexes with it that are over it. */
static bool drop_column(struct model *m, const char *table, text t)
{
    text ahead = t;
    char *name = sql_take_name(&ahead);
    for (size_t i = m->n; name && i-- > 0;)
        if (strcmp(m->items[i].table, table) == 0 && mentions(&m->items[i], name))
            remove_item(m, &m->items[i]);
    free(name);
    return drop_item(m, ITEM_COLUMN, table, t);
}

/* NAME TYPE … | SET NOT NULL | DROP NOT NULL */
static bool alter_column(struct model *m, const char *table, text t)
{
    text begin = t;
    char *name = sql_take_name(&t);
    struct item *column = name ? find_item(m, ITEM_COLUMN, table, name) : NULL;
    struct buf type = {0};
    bool ok = column != NULL;
    if (ok && sql_take(&t, "TYPE")) {
        ok = take_type(m, &t, name, &type) != NULL;
        free(column->text);
        column->text = xstrdup(buf_str(&type));
    } else if (ok && sql_take(&t, "SET NOT NULL"))
        column->not_null = true;
    else if (ok && sql_take(&t, "DROP NOT NULL"))
        column->not_null = false;
    else
        ok = unreadable(m, begin.at);
    free(name);
    buf_free(&type);
    return ok;
}

/* OLD TO NEW, of a column that is in no key or index. */
static bool rename_column(struct model *m, const char *table, text t)
{
    text begin = t;
    char *name = sql_take_name(&t), *new_name = sql_take(&t, "TO") ? sql_take_name(&t) : NULL;
    struct item *column = name ? find_item(m, ITEM_COLUMN, table, name) : NULL;
    bool ok = column && new_name;
    for (size_t i = 0; ok && i < m->n; i++)
        ok = strcmp(m->items[i].table, table) != 0 || !mentions(&m->items[i], name);
    if (ok) {
        free(column->name);
        column->name = xstrdup(new_name);
    }
    free(name);
    free(new_name);
    return ok || unreadable(m, begin.at);
}

static bool add_column(struct model *m, const char *table, text t)
{
    bool may_exist = sql_take(&t, "IF NOT EXISTS");
    text ahead = t;
    char *name = sql_take_name(&ahead);
    bool there = may_exist && name && find_item(m, ITEM_COLUMN, table, name);
    free(name);
    return there || read_column(m, table, t);
}

static bool alter_table(struct model *m, text t)
{
    text one, begin = t;
    char *table = sql_take_name(&t);
    bool ok = table != NULL;
    while (ok && sql_item(&t, &one)) {
        if (sql_take(&one, "ADD COLUMN"))
            ok = add_column(m, table, one);
        else if (sql_take(&one, "ADD"))
            ok = read_constraint(m, table, one);
        else if (sql_take(&one, "DROP CONSTRAINT"))
            ok = drop_item(m, ITEM_KEY, table, one);
        else if (sql_take(&one, "DROP COLUMN"))
            ok = drop_column(m, table, one);
        else if (sql_take(&one, "ALTER COLUMN"))
            ok = alter_column(m, table, one);
        else if (sql_take(&one, "RENAME COLUMN"))
            ok = rename_column(m, table, one);
        else
            ok = sql_take(&one, "REPLICA IDENTITY") || unreadable(m, begin.at);
    }
    free(table);
    return ok;
}

static bool read_statement(struct model *m, text statement)
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
    return sql_take(&t, "INSERT") || sql_take(&t, "UPDATE") || sql_take(&t, "DELETE") || unreadable(m, t.at);
}

static bool read_ddl(struct model *m, const char *ddl)
{
    text t = sql_text(DIALECT_POSTGRESQL, ddl), statement;
    bool ok = true;
    while (ok && sql_statement(&t, &statement))
        ok = read_statement(m, statement);
    return ok;
}

/* ---- facts */

static void give(const struct model *m, struct schema_shape *out)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct item *item = &m->items[i];
        struct buf fact = {0};
        if (item->kind == ITEM_COLUMN)
            buf_addf(&fact, "column %s %s%s%s", item->name, item->text, item->not_null ? " NOT NULL" : "",
                     item->rest);
        else
            buf_adds(&fact, item->text);
        schema_shape_add(out, item->table, strlen(item->table), buf_str(&fact), fact.len);
        buf_free(&fact);
    }
    schema_shape_sort(out);
}

bool schema_model_postgres(int rev, bool wide, struct schema_shape *out, struct err *e)
{
    struct model m = {.wide = wide, .e = e};
    bool ok = true;
    *out = (struct schema_shape){.dialect = DIALECT_POSTGRESQL};
    for (int i = 0; ok && i <= rev; i++) {
        m.rev = i;
        ok = read_ddl(&m, schema_revisions[i].postgresql);
    }
    if (ok)
        give(&m, out);
    for (size_t i = 0; i < m.n; i++)
        free_item(&m.items[i]);
    free(m.items);
    free(m.function);
    return ok;
}
