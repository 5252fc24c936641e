/* Finds what would stop an upgrade in the middle; on SQLite by a rehearsal on an empty copy of the
 * structure. */
#include <stdlib.h>
#include <string.h>

#include "formats/schema/internal.h"
#include "formats/schema/model.h"
#include "formats/schema/shape.h"

/* -- SQLite: a rehearsal on an empty copy */

/* Indexes, views and triggers that cannot be created in the copy (they may use functions of another program)
 * are left to the upgrade itself, and so are virtual tables, whose modules may be missing; *whole is false if
 * another table cannot be created. */
static bool copy_structure(struct db *db, struct db *copy, bool *whole, struct err *e)
{
    struct db_stmt *s =
        db_prepare(db,
                   "SELECT name, sql || ';', type = 'table' AND rootpage > 0 FROM sqlite_schema\n"
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
        /* A virtual table creates its shadow tables itself, so their own statements fail. */
        bool there = db_exec(copy, text, NULL) || !table.i;
        ok = there || db_table_exists(copy, made, &there, e);
        *whole = *whole && there;
        free(text);
        free(made);
    }
    db_finalize(s);
    return ok && row == 0;
}

static bool stamp_copy(struct db *copy, int rev, struct err *e)
{
    if (rev == 0)
        return true;
    struct buf sql = {0};
    schema_stamp_sql(0, rev, &sql);
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

/* Reports views that cannot be read in the copy. Those that are broken in the database, too, only affect
 * SQLite's RENAME COLUMN and DROP COLUMN, so they count only if something has failed. */
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
    if (!whole && why.class == ERR_INTERRUPTED)
        ok = err_copy(e, &why);
    else if (!whole) {
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

bool schema_obstacles(struct db *db, int from, int to, schema_report *report, void *arg, int *found,
                      struct err *e)
{
    *found = 0;
    if (from == SCHEMA_EMPTY)
        return true;
    return (db_dialect(db) == DIALECT_SQLITE ? rehearse : schema_obstacles_postgres)(db, from, to, report,
                                                                                     arg, found, e);
}
