#include <stdlib.h>
#include <string.h>

#include "schema_data.h"
#include "schema_shape.h"

/* ---- SQLite: a rehearsal on an empty copy */

/* An index, view or trigger that cannot be made there (it wants a function that only its own program has) is
 * left to the upgrade itself; *whole is false when a table cannot. */
static bool copy_structure(struct db *db, struct db *copy, bool *whole, struct err *e)
{
    struct db_stmt *s = db_prepare(db,
                                   "SELECT name, sql || ';', type = 'table' FROM sqlite_schema\n"
                                   "WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'\n"
                                   "ORDER BY type <> 'table', rowid",
                                   e);
    bool ok = s != NULL;
    int row = 0;
    *whole = true;
    while (ok && (row = db_step(s, e)) == 1) {
        struct value name, sql, table;
        db_column(s, 0, &name);
        db_column(s, 1, &sql);
        db_column(s, 2, &table);
        char *text = xstrndup(sql.s, sql.len), *made = xstrndup(name.s, name.len);
        /* A virtual table makes its tables by itself, so that their own statements fail. */
        bool there = db_exec(copy, text, NULL) || !table.i;
        ok = there || db_table_exists(copy, made, &there, e);
        *whole = *whole && there;
        free(text);
        free(made);
    }
    db_finalize(s);
    return ok && row == 0;
}

static bool stamp_copy(struct db *copy, int order, struct err *e)
{
    if (order == 0)
        return true;
    struct buf sql = {0};
    schema_stamp_sql(0, order, &sql);
    bool ok = db_exec(copy, buf_str(&sql), e);
    buf_free(&sql);
    return ok;
}

static bool is_statement(struct db *db, const char *sql, struct err *why)
{
    struct db_stmt *s = db_prepare(db, sql, why);
    db_finalize(s);
    return s != NULL;
}

/* Views that cannot be read in the copy; those that cannot in the database either hinder only SQLite's
 * RENAME COLUMN and DROP COLUMN, so that they count when something has failed. */
static bool check_views(struct db *db, struct db *copy, bool failed, schema_report *report, void *arg,
                        int *found, struct err *e)
{
    struct db_stmt *s = db_prepare(
        db, "SELECT name, printf('SELECT * FROM \"%w\"', name) FROM sqlite_schema WHERE type = 'view'", e);
    if (!s)
        return false;
    int row;
    while ((row = db_step(s, e)) == 1) {
        struct value name, sql;
        struct err why;
        db_column(s, 0, &name);
        db_column(s, 1, &sql);
        char *select = xstrndup(sql.s, sql.len);
        bool works = is_statement(db, select, NULL);
        if ((works || failed) && !is_statement(copy, select, &why)) {
            char *line = xasprintf("view %.*s cannot be read%s: %s", (int)name.len, name.s,
                                   works ? " any more" : "", why.what);
            report(line, arg);
            free(line);
            ++*found;
        }
        free(select);
    }
    db_finalize(s);
    return row == 0;
}

static bool rehearse(struct db *db, int from, int to, schema_report *report, void *arg, int *found,
                     struct err *e)
{
    struct db *copy = schema_memory(e);
    struct err why;
    bool faithful = false, whole = true;
    bool ok = copy && copy_structure(db, copy, &faithful, e) && stamp_copy(copy, from, e);
    for (int i = from + 1; ok && faithful && whole && i <= to; i++)
        whole = schema_step(copy, i, NULL, &why);
    if (!whole) {
        bool itself = strcmp(why.where, db_display(copy)) == 0;
        char *line = xasprintf("%s%s%s", itself ? "" : why.where, itself ? "" : ": ", why.what);
        report(line, arg);
        free(line);
        *found = 1;
    }
    ok = ok && (!faithful || check_views(db, copy, !whole, report, arg, found, e));
    db_close(copy);
    return ok;
}

/* ---- PostgreSQL, whose tables cannot be copied so: what the revisions' texts make, change and need */

struct needs {          /* rows of SQL's VALUES, each with the revision at its end */
    struct buf made;    /* relation: tables, indexes, those of keys */
    struct buf added;   /* table, column */
    struct buf changed; /* table, column, whether it goes: what depends on it hinders */
    struct buf altered; /* table: only its owner may */
};

struct word {
    const char *at;
    size_t len;
};

static bool word_is(struct word w, const char *text)
{
    return w.len == strlen(text) && memcmp(w.at, text, w.len) == 0;
}

/* The next word, or `;`; comments are none. *text moves behind it. */
static struct word next_word(const char **text)
{
    static const char between[] = " \n(),";
    const char *p = *text + strspn(*text, between);
    while (strncmp(p, "--", 2) == 0) {
        p += strcspn(p, "\n");
        p += strspn(p, between);
    }
    size_t n = *p == ';' ? 1 : strcspn(p, " \n(),;");
    *text = p + n;
    return (struct word){p, n};
}

static bool is_name(struct word w)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
    return w.len > 0 && w.len < 64 && strspn(w.at, letters) >= w.len;
}

static void add_need(struct buf *rows, struct word table, struct word column, const char *more, int order)
{
    if (!is_name(table) || (column.at && !is_name(column)))
        return;
    buf_addf(rows, ",\n('%.*s'", (int)table.len, table.at);
    if (column.at)
        buf_addf(rows, ", '%.*s'", (int)column.len, column.at);
    buf_addf(rows, "%s, '%s')", more, schema_revisions[order].revision);
}

/* Reads the text of a revision. The words it looks for are those that migrations/ uses. */
static void find_needs(int order, struct needs *needs)
{
    static const struct word none = {NULL, 0};
    const char *text = schema_revisions[order].postgresql;
    struct word table = none, before = none, last = none, w;
    bool index = false;
    while ((w = next_word(&text)).len > 0) {
        if (word_is(last, "TABLE") && word_is(before, "CREATE") && !word_is(w, "IF"))
            add_need(&needs->made, w, none, "", order);
        else if (word_is(last, "INDEX") && !word_is(before, "DROP")) {
            add_need(&needs->made, w, none, "", order);
            index = true;
        } else if (word_is(before, "CONSTRAINT") && (word_is(w, "PRIMARY") || word_is(w, "UNIQUE")))
            add_need(&needs->made, last, none, "", order);
        else if (word_is(last, "TABLE") && word_is(before, "ALTER")) {
            table = w;
            add_need(&needs->altered, w, none, "", order);
        } else if (word_is(last, "ON") && index)
            add_need(&needs->altered, w, none, "", order);
        else if (word_is(last, "COLUMN") && word_is(before, "ADD") && !word_is(w, "IF"))
            add_need(&needs->added, table, w, "", order);
        else if (word_is(last, "COLUMN") && word_is(before, "DROP"))
            add_need(&needs->changed, table, w, ", true", order);
        else if (word_is(w, "TYPE") && word_is(before, "COLUMN"))
            add_need(&needs->changed, table, last, ", false", order);
        else if (word_is(w, ";"))
            index = false;
        before = last;
        last = w;
    }
}

/* Names that an older revision has made are MLflow's, though they may be made anew. */
static const char obstacles_query[] =
    "WITH made (name, revision) AS (VALUES (NULL, NULL)%s),\n"
    "known (name, revision) AS (VALUES (NULL, NULL)%s),\n"
    "added (tab, col, revision) AS (VALUES (NULL, NULL, NULL)%s),\n"
    "changed (tab, col, gone, revision) AS (VALUES (NULL, NULL, false, NULL)%s),\n"
    "altered (tab, revision) AS (VALUES (NULL, NULL)%s),\n"
    "keyed (tab, whole) AS (VALUES ('registered_models', true), ('model_versions', true), "
    "('model_version_tags', true),\n"
    "    ('registered_model_tags', true), ('registered_model_aliases', true), ('experiments', false),\n"
    "    ('secrets', false), ('endpoints', false), ('model_definitions', false))\n"
    "SELECT format('%%s %%I is not MLflow''s, and revision %%s makes one of that name',\n"
    "    CASE r.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN "
    "'i' THEN 'index'\n"
    "    WHEN 'S' THEN 'sequence' ELSE 'relation' END, r.relname, min(made.revision))\n"
    "FROM made JOIN pg_class r ON r.relname = made.name AND r.relnamespace = current_schema()::regnamespace\n"
    "WHERE made.name NOT IN (SELECT name FROM known WHERE name IS NOT NULL)\n"
    "GROUP BY r.relkind, r.relname\n"
    "UNION ALL\n"
    "SELECT format('column %%I of table %%I is not MLflow''s, and revision %%s adds one of that name', col, "
    "tab, revision)\n"
    "FROM added JOIN pg_attribute a ON a.attrelid = to_regclass(tab) AND a.attname = col AND NOT "
    "a.attisdropped\n"
    "UNION ALL\n"
    "SELECT format('%%s depends on column %%I of table %%I, which revision %%s %%s',\n"
    "    coalesce('view ' || rule.ev_class::regclass, pg_describe_object(d.classid, d.objid, 0)), col, tab, "
    "min(revision),\n"
    "    CASE WHEN gone THEN 'drops' ELSE 'changes' END)\n"
    "FROM changed JOIN pg_attribute a ON a.attrelid = to_regclass(tab) AND a.attname = col AND NOT "
    "a.attisdropped\n"
    "JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = "
    "a.attnum\n"
    "LEFT JOIN pg_rewrite rule ON d.classid = 'pg_rewrite'::regclass AND rule.oid = d.objid\n"
    "WHERE d.classid IN ('pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass)\n"
    "    OR gone AND d.classid = 'pg_class'::regclass AND d.deptype = 'a'\n"
    "GROUP BY rule.ev_class, d.classid, d.objid, col, tab, gone\n"
    "UNION ALL\n"
    "SELECT format('foreign key %%I of table %%s depends on a key of table %%s, which revision 1b5f0d9ad7c1 "
    "replaces',\n"
    "    c.conname, c.conrelid::regclass, c.confrelid::regclass)\n"
    "FROM pg_constraint c JOIN keyed ON c.confrelid = to_regclass(tab) JOIN pg_index i ON i.indexrelid = "
    "c.conindid\n"
    "WHERE %s AND c.contype = 'f' AND (whole OR NOT i.indisprimary)\n"
    "    AND NOT EXISTS (SELECT 1 FROM keyed AS own WHERE c.conrelid = to_regclass(own.tab))\n"
    "UNION ALL\n"
    "SELECT format('table %%I belongs to role %%I, which alone may change it: upgrade as that role', tab, "
    "pg_get_userbyid(r.relowner))\n"
    "FROM (SELECT DISTINCT tab FROM altered) AS altered JOIN pg_class r ON r.oid = to_regclass(tab)\n"
    "WHERE NOT pg_has_role(r.relowner, 'USAGE')\n"
    "UNION ALL\n"
    "SELECT format('role %%I may not create tables in schema %%I', current_user, current_schema())\n"
    "WHERE NOT has_schema_privilege(current_schema(), 'CREATE')\n"
    "ORDER BY 1";

static bool ask(struct db *db, const char *sql, schema_report *report, void *arg, int *found, struct err *e)
{
    struct db_stmt *s = db_prepare(db, sql, e);
    if (!s)
        return false;
    int row;
    while ((row = db_step(s, e)) == 1) {
        struct value v;
        db_column(s, 0, &v);
        char *line = xstrndup(v.s, v.len);
        report(line, arg);
        free(line);
        ++*found;
    }
    db_finalize(s);
    return row == 0;
}

static bool look_up(struct db *db, int from, int to, schema_report *report, void *arg, int *found,
                    struct err *e)
{
    struct needs known = {0}, needs = {0};
    int keys = schema_find_revision("1b5f0d9ad7c1");
    for (int i = 0; i <= from; i++)
        find_needs(i, &known);
    for (int i = from + 1; i <= to; i++)
        find_needs(i, &needs);
    char *sql = xasprintf(obstacles_query, buf_str(&needs.made), buf_str(&known.made), buf_str(&needs.added),
                          buf_str(&needs.changed), buf_str(&needs.altered),
                          from < keys && keys <= to ? "true" : "false");
    bool ok = ask(db, sql, report, arg, found, e);
    free(sql);
    struct needs *both[] = {&known, &needs};
    for (int i = 0; i < 2; i++) {
        buf_free(&both[i]->made);
        buf_free(&both[i]->added);
        buf_free(&both[i]->changed);
        buf_free(&both[i]->altered);
    }
    return ok;
}

bool schema_obstacles(struct db *db, int from, int to, schema_report *report, void *arg, int *found,
                      struct err *e)
{
    *found = 0;
    if (from == SCHEMA_EMPTY)
        return true;
    return (db_dialect(db) == DIALECT_SQLITE ? rehearse : look_up)(db, from, to, report, arg, found, e);
}
