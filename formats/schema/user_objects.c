/* Saves and restores user-defined objects on tables that a revision rebuilds on SQLite, or reports that it
 * cannot. */
#include <stdlib.h>
#include <string.h>

#include "formats/database/sql_text.h"
#include "formats/schema/internal.h"
#include "formats/schema/user_objects.h"

static struct sql_text text_of(int rev)
{
    return sql_text(DIALECT_SQLITE, schema_revisions[rev].sqlite);
}

/* -- rebuilt tables
 *
 * The migrations rebuild a table X by CREATE TABLE _ml_new_X, INSERT INTO _ml_new_X … SELECT … FROM X, DROP
 * TABLE X and ALTER TABLE _ml_new_X RENAME. */

static const char new_prefix[] = "_ml_new_";

/* The name of the next table that a text rebuilds, malloc'ed; NULL if there is none. *text moves past it. */
static char *next_rebuilt(struct sql_text *text)
{
    struct sql_text statement;
    while (sql_statement(text, &statement)) {
        char *name = sql_take(&statement, "ALTER TABLE") ? sql_take_name(&statement) : NULL;
        char *table = name && strncmp(name, new_prefix, strlen(new_prefix)) == 0
                          ? xstrdup(name + strlen(new_prefix))
                          : NULL;
        free(name);
        if (table)
            return table;
    }
    return NULL;
}

void schema_rebuilt_tables(int rev, struct buf *out)
{
    struct sql_text text = text_of(rev);
    char *table;
    bool first = true;
    while ((table = next_rebuilt(&text))) {
        buf_addf(out, "%s%s", first ? "" : ", ", table);
        first = false;
        free(table);
    }
}

/* The list of a table's columns that a revision copies, between SELECT and FROM; empty if it copies none. */
static struct sql_text copied_columns(int rev, const char *table)
{
    struct sql_text text = text_of(rev), list;
    char *insert = xasprintf("INSERT INTO %s%s", new_prefix, table);
    while (sql_statement(&text, &list)) {
        if (!sql_take(&list, insert) || sql_piece(&list).kind != SQL_GROUP || !sql_take(&list, "SELECT"))
            continue;
        struct sql_piece p;
        struct sql_text rest = list;
        while ((p = sql_piece(&rest)).kind != SQL_NOTHING && !sql_is(p, "FROM"))
            ;
        list.end = p.text.at;
        free(insert);
        return list;
    }
    free(insert);
    return (struct sql_text){text.end, text.end, DIALECT_SQLITE};
}

static bool has_name(struct sql_text t, const char *name)
{
    struct sql_piece p;
    size_t n = strlen(name);
    while ((p = sql_token(&t)).kind != SQL_NOTHING)
        if (sql_is_name(p) && (size_t)(p.inside.end - p.inside.at) == n && memcmp(p.inside.at, name, n) == 0)
            return true;
    return false;
}

static bool check_columns(struct db *db, int rev, const char *table, struct err *e)
{
    struct db_columns columns;
    if (!db_table_columns(db, table, &columns, e))
        return false;
    struct sql_text copied = copied_columns(rev, table);
    bool ok = true;
    for (int i = 0; ok && i < columns.n; i++)
        if (!has_name(copied, columns.items[i].name)) {
            ok = err_set(e, table, "revision %s rebuilds this table, and column %s is not MLflow's",
                         schema_revisions[rev].revision, columns.items[i].name);
            err_hint(e, "save its values elsewhere and drop the column; you can add it again afterwards");
        }
    db_columns_free(&columns);
    return ok;
}

/* An index or a trigger that a text creates. */
struct created {
    char *name, *table;
    bool trigger;
};

static void free_created(struct created *c)
{
    free(c->name);
    free(c->table);
}

/* Finds the next one; false if there is none. *text moves past it. */
static bool next_created(struct sql_text *text, struct created *c)
{
    struct sql_text statement;
    while (sql_statement(text, &statement)) {
        if (!sql_take(&statement, "CREATE"))
            continue;
        c->trigger = sql_take(&statement, "TRIGGER");
        if (!c->trigger && !sql_take(&statement, "UNIQUE INDEX") && !sql_take(&statement, "INDEX"))
            continue;
        c->name = sql_take_name(&statement);
        struct sql_piece p;
        while ((p = sql_piece(&statement)).kind != SQL_NOTHING && !sql_is(p, "ON"))
            ;
        c->table = sql_take_name(&statement);
        return true;
    }
    return false;
}

/* Whether an earlier revision creates an index or trigger of that name: then the rebuild either recreates or
 * drops it on purpose. */
static bool is_mlflows(const char *name, int rev)
{
    for (int i = 0; i < rev; i++) {
        struct sql_text text = text_of(i);
        struct created c;
        bool is = false;
        while (!is && next_created(&text, &c)) {
            is = strcasecmp(name, c.name) == 0;
            free_created(&c);
        }
        if (is)
            return true;
    }
    return false;
}

/* -- saving and restoring */

static bool save_table(struct db *db, int rev, const char *table, struct schema_user_objects *x,
                       struct err *e)
{
    struct db_stmt *s = db_prepare(db,
                                   "SELECT name, sql FROM sqlite_schema\n"
                                   "WHERE tbl_name = ?1 AND type IN ('index', 'trigger') AND sql IS NOT NULL",
                                   e);
    if (!s)
        return false;
    struct value v = value_str(table);
    db_bind(s, 1, &v);
    int row;
    while ((row = db_step(s, e)) == 1) {
        struct value name, sql;
        db_column(s, 0, &name);
        db_column(s, 1, &sql);
        x->items = xrealloc(x->items, (size_t)(x->n + 1) * sizeof *x->items);
        struct schema_user_object *object = &x->items[x->n++];
        object->name = xstrndup(name.s, name.len);
        object->sql = xstrndup(sql.s, sql.len);
        if (is_mlflows(object->name, rev)) {
            x->n--;
            free(object->name);
            free(object->sql);
        }
    }
    db_finalize(s);
    return row == 0;
}

bool schema_user_objects_save(struct db *db, int rev, struct schema_user_objects *x, struct err *e)
{
    *x = (struct schema_user_objects){0};
    if (db_dialect(db) != DIALECT_SQLITE)
        return true;
    struct sql_text text = text_of(rev);
    char *table;
    bool ok = true;
    while (ok && (table = next_rebuilt(&text))) {
        ok = check_columns(db, rev, table, e) && save_table(db, rev, table, x, e);
        free(table);
    }
    return ok;
}

bool schema_user_objects_restore(struct db *db, const struct schema_user_objects *x, struct err *e)
{
    for (int i = 0; i < x->n; i++) {
        struct err why;
        if (db_exec(db, x->items[i].sql, &why))
            continue;
        if (why.class == ERR_INTERRUPTED)
            return err_copy(e, &why);
        err_set(e, x->items[i].name,
                "this index or trigger is not MLflow's and does not fit the new table: %.1000s", why.what);
        return err_hint(e, "drop it before the upgrade");
    }
    return true;
}

void schema_user_objects_free(struct schema_user_objects *x)
{
    for (int i = 0; i < x->n; i++) {
        free(x->items[i].name);
        free(x->items[i].sql);
    }
    free(x->items);
    *x = (struct schema_user_objects){0};
}

/* -- for scripts, which cannot save and restore */

static void columns_query(int rev, const char *table, struct buf *query)
{
    struct sql_text copied = copied_columns(rev, table), column;
    const char *before = "";
    buf_addf(query, "SELECT count(*) FROM pragma_table_xinfo('%s') WHERE hidden <> 1 AND name NOT IN (",
             table);
    for (; sql_item(&copied, &column); before = ", ")
        buf_addf(query, "%s'%.*s'", before, (int)(column.end - column.at), column.at);
    buf_addc(query, ')');
}

static void objects_query(int rev, const char *table, struct buf *query)
{
    buf_addf(query,
             "SELECT count(*) FROM sqlite_schema WHERE tbl_name = '%s' AND type IN ('index', 'trigger') "
             "AND sql IS NOT NULL AND lower(name) NOT IN (''",
             table);
    for (int i = 0; i < rev; i++) {
        struct sql_text text = text_of(i);
        struct created c;
        while (next_created(&text, &c)) {
            if (c.trigger || strcmp(c.table, table) == 0)
                buf_addf(query, ", '%s'", c.name);
            free_created(&c);
        }
    }
    buf_addc(query, ')');
}

void schema_user_objects_each(int rev, void (*fn)(const char *query, const char *words, void *arg), void *arg)
{
    struct sql_text text = text_of(rev);
    char *table;
    while ((table = next_rebuilt(&text))) {
        struct buf columns = {0}, objects = {0};
        char *of_column = xasprintf("table %s has a column that is not MLflow's", table);
        char *of_object = xasprintf("table %s has an index or trigger that is not MLflow's", table);
        columns_query(rev, table, &columns);
        objects_query(rev, table, &objects);
        fn(buf_str(&columns), of_column, arg);
        fn(buf_str(&objects), of_object, arg);
        buf_free(&columns);
        buf_free(&objects);
        free(of_column);
        free(of_object);
        free(table);
    }
}
