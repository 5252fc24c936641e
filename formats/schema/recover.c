/* Undoes an incomplete upgrade by MLflow. */
#include <stdlib.h>
#include <string.h>

#include "formats/database/sql_text.h"
#include "formats/schema/internal.h"
#include "formats/schema/model.h"
#include "formats/schema/queries.h"
#include "formats/schema/shape.h"

/* When MLflow's own upgrade of a SQLite database fails or is killed, what it has done of a revision is
 * committed without the stamp, and every later attempt fails on it. There can be empty copies of tables
 * (`_alembic_tmp_X`), new tables, columns and indexes of the next revision, and dropped ones of this
 * revision, all of it from before the first row was changed. So such a wreck is recognized by comparison with
 * both revisions, and undoing what belongs to the next one loses nothing. */

static const char tmp_prefix[] = "_alembic_tmp_";

struct wreck {
    struct db *db;
    struct db *model; /* at the database's own revision */
    struct schema_shape real, own, next;
    bool repair;
    schema_report *report;
    void *arg;
    int found;
    struct err *e;
};

/* Reports what was found and, if requested, runs the statement that undoes it. */
static bool take_back(struct wreck *w, const char *sql, const char *fmt, ...) PRINTF_LIKE(3, 4);

static bool take_back(struct wreck *w, const char *sql, const char *fmt, ...)
{
    struct buf line = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vaddf(&line, fmt, ap);
    va_end(ap);
    w->report(buf_str(&line), w->arg);
    buf_free(&line);
    w->found++;
    return !w->repair || db_exec(w->db, sql, w->e);
}

static bool count_rows(struct wreck *w, const char *table, int64_t *rows)
{
    char *sql = xasprintf("SELECT count(*) FROM \"%s\"", table);
    bool ok = db_query_int(w->db, sql, rows, w->e);
    free(sql);
    return ok;
}

/* Drops an incomplete copy of a table, which is useless as the table itself exists. */
static bool drop_copy(struct wreck *w, const char *copy)
{
    const char *table = copy + strlen(tmp_prefix);
    int64_t copied, rows;
    bool there;
    if (!db_table_exists(w->db, table, &there, w->e) || !count_rows(w, copy, &copied))
        return false;
    if (there && !count_rows(w, table, &rows))
        return false;
    if (!there || copied > rows) {
        err_set(w->e, copy, "this copy of %s has rows that %s does not have", table, table);
        return err_hint(w->e, "compare them by hand, or restore a backup");
    }
    char *sql = xasprintf("DROP TABLE \"%s\"", copy);
    bool ok = take_back(w, sql, "table %s: an unfinished copy of %s", copy, table);
    free(sql);
    return ok;
}

static bool is_copy(const char *table)
{
    return strncmp(table, tmp_prefix, strlen(tmp_prefix)) == 0;
}

/* Calls fn for each table of the real shape once. */
static bool each_table(struct wreck *w, bool (*fn)(struct wreck *, const char *))
{
    const char *last = "";
    for (int i = 0; i < w->real.n; i++) {
        const char *table = w->real.facts[i].table;
        if (strcmp(table, last) != 0 && !fn(w, table))
            return false;
        last = table;
    }
    return true;
}

static bool drop_if_copy(struct wreck *w, const char *table)
{
    return !is_copy(table) || drop_copy(w, table);
}

/* Whether `b` has every column that the table has in `a`, with the same definition. */
static bool has_columns(const struct schema_shape *a, const struct schema_shape *b, const char *table)
{
    for (int i = 0; i < a->n; i++) {
        const struct schema_fact *f = &a->facts[i];
        if (strcmp(f->table, table) == 0 && schema_fact_is(f, "column") &&
            !schema_shape_find(b, table, f->text))
            return false;
    }
    return true;
}

/* Counts rows that the next revision does not insert itself. */
static bool count_own_rows(struct wreck *w, const char *table, int64_t *rows)
{
    *rows = 0;
    if (strcmp(table, "latest_metrics") == 0 || strcmp(table, "issue_categories") == 0)
        return true;
    if (strcmp(table, "workspaces") == 0)
        return db_query_int(w->db, "SELECT count(*) FROM workspaces WHERE name <> 'default'", rows, w->e);
    return count_rows(w, table, rows);
}

/* Drops a table of the next revision. One that only has the same name is the user's; obstacles to an upgrade
 * are reported elsewhere. */
static bool drop_if_next(struct wreck *w, const char *table)
{
    int64_t rows;
    if (is_copy(table) || schema_shape_has_table(&w->own, table) ||
        !schema_shape_has_table(&w->next, table) || !has_columns(&w->real, &w->next, table) ||
        !has_columns(&w->next, &w->real, table))
        return true;
    if (!count_own_rows(w, table, &rows))
        return false;
    if (rows > 0) {
        err_set(w->e, table, "the table belongs to the next revision, and has rows");
        return err_hint(w->e, "it was not left by MLflow's upgrade; rename it or move its rows away");
    }
    char *sql = xasprintf("DROP TABLE \"%s\"", table);
    bool ok = take_back(w, sql, "table %s: of the next revision", table);
    free(sql);
    return ok;
}

/* Drops indexes of the next revision, and recreates those of this one that the next drops. */
static bool restore_indexes(struct wreck *w)
{
    bool ok = true;
    for (int i = 0; ok && i < w->real.n; i++) {
        const struct schema_fact *f = &w->real.facts[i];
        if (!schema_fact_is(f, "index") || !schema_shape_has_table(&w->own, f->table) ||
            schema_shape_find(&w->own, f->table, f->text) || !schema_shape_find(&w->next, f->table, f->text))
            continue;
        char *name = schema_fact_name(f);
        char *sql = xasprintf("DROP INDEX \"%s\"", name);
        ok = take_back(w, sql, "index %s: of the next revision", name);
        free(sql);
        free(name);
    }
    for (int i = 0; ok && i < w->own.n; i++) {
        const struct schema_fact *f = &w->own.facts[i];
        if (!schema_fact_is(f, "index") || schema_shape_find(&w->real, f->table, f->text) ||
            schema_shape_find(&w->next, f->table, f->text))
            continue;
        char *name = schema_fact_name(f), *sql;
        char *query = xasprintf("SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = '%s'", name);
        ok = db_query_text(w->model, query, &sql, w->e) &&
             take_back(w, sql, "index %s: dropped too early", name);
        free(sql);
        free(query);
        free(name);
    }
    return ok;
}

/* Drops a column of the next revision that has only its default in it. */
static bool drop_column(struct wreck *w, const char *table, const char *column)
{
    struct db_columns columns;
    if (!db_table_columns(w->db, table, &columns, w->e))
        return false;
    const struct db_column_info *c = db_columns_find(&columns, column);
    char *query = xasprintf("SELECT count(*) FROM \"%s\" WHERE \"%s\" IS NOT %s", table, column,
                            c && c->dflt ? c->dflt : "NULL");
    char *sql = xasprintf("ALTER TABLE \"%s\" DROP COLUMN \"%s\"", table, column);
    int64_t rows;
    bool ok = db_query_int(w->db, query, &rows, w->e);
    if (ok && rows > 0) {
        ok = err_set(w->e, table, "column %s belongs to the next revision, and has values", column);
        err_hint(w->e, "it was not left by MLflow's upgrade; rename it");
    } else if (ok)
        ok = take_back(w, sql, "table %s: column %s: of the next revision", table, column);
    free(query);
    free(sql);
    db_columns_free(&columns);
    return ok;
}

static bool drop_columns(struct wreck *w)
{
    bool ok = true;
    for (int i = 0; ok && i < w->real.n; i++) {
        const struct schema_fact *f = &w->real.facts[i];
        if (!schema_fact_is(f, "column") || !schema_shape_has_table(&w->own, f->table))
            continue;
        char *name = schema_fact_name(f);
        if (!schema_shape_column(&w->own, f->table, name) && schema_shape_column(&w->next, f->table, name))
            ok = drop_column(w, f->table, name);
        free(name);
    }
    return ok;
}

/* The one revision that MLflow itself can begin early (`mlflow db prepopulate-trace-analytics`): its columns
 * may exist. */
static bool may_have_next_columns(int rev)
{
    return rev + 1 == REV_TRACE_ANALYTICS;
}

/* The contents of a missing table or column of this revision are lost, and no upgrade can continue from
 * there. Keys and constraints may differ, as those of old releases do. */
static bool check_result(struct wreck *w)
{
    struct schema_shape now;
    if (!schema_shape_read(w->db, &now, w->e))
        return false;
    bool ok = true;
    for (int i = 0; ok && i < w->own.n; i++) {
        const struct schema_fact *f = &w->own.facts[i];
        if (!schema_fact_is(f, "column"))
            continue;
        char *name = schema_fact_name(f);
        if (!schema_shape_has_table(&now, f->table))
            ok = err_set(w->e, f->table,
                         "the table is missing, which is not the result of an upgrade by MLflow");
        else if (!schema_shape_column(&now, f->table, name))
            ok = err_set(w->e, f->table,
                         "column %s is missing, which is not the result of an upgrade by MLflow", name);
        free(name);
    }
    if (!ok)
        err_hint(w->e,
                 "ml-schema check lists all differences; restore a backup, or repair the database by hand");
    schema_shape_free(&now);
    return ok;
}

static bool repair(struct wreck *w, int rev)
{
    bool ok = each_table(w, drop_if_copy) && each_table(w, drop_if_next) && restore_indexes(w) &&
              (may_have_next_columns(rev) || drop_columns(w));
    return ok && (!w->repair || !w->found || check_result(w));
}

/* Without a stamp it is a wreck only if MLflow's first revision was interrupted: most similar to revision 1
 * (or 2, which has the same columns), and step not in the key yet. Else the stamp was lost. */
static bool may_be_wreck(struct db *db, int rev, bool *may, struct err *e)
{
    int nearest = rev;
    int64_t keyed;
    *may = rev >= 0 && rev < schema_head;
    if (!*may || rev > 0)
        return true;
    if (!db_query_int(db, "SELECT count(*) FROM pragma_table_info('metrics') WHERE name = 'step' AND pk > 0",
                      &keyed, e) ||
        !schema_nearest(db, &nearest, e))
        return false;
    *may = nearest <= 2 && !keyed;
    return true;
}

/* PostgreSQL: drops the check of statuses without KILLED that MLflow 1.5.0 left in addition to the new one,
 * and that no revision of MLflow drops from 1.23 on. It rejects every KILLED run, but no upgrade. */
static bool drop_old_statuses(struct wreck *w, int rev)
{
    char *name = NULL;
    bool ok = true;
    if (!w->repair || rev < REV_KILLED_RUNS)
        return true;
    while (ok && (ok = db_query_text(w->db, schema_old_statuses_postgresql, &name, w->e)) && name) {
        struct buf sql = {0};
        buf_adds(&sql, "ALTER TABLE runs DROP CONSTRAINT ");
        sql_add_quoted(&sql, '"', name);
        ok = take_back(w, buf_str(&sql), "table runs: check %s: statuses without KILLED, of MLflow 1.5.0",
                       name);
        buf_free(&sql);
        free(name);
        name = NULL;
    }
    return ok;
}

bool schema_recover(struct db *db, bool really, schema_report *report, void *arg, int *found, struct err *e)
{
    struct wreck w = {.db = db, .repair = really, .report = report, .arg = arg, .e = e};
    int rev;
    bool may;
    *found = 0;
    if (!schema_stamped_rev(db, &rev, e))
        return false;
    if (db_dialect(db) == DIALECT_POSTGRESQL) {
        bool dropped = drop_old_statuses(&w, rev);
        *found = w.found;
        return dropped;
    }
    if (!may_be_wreck(db, rev, &may, e))
        return false;
    if (!may)
        return true;
    bool ok = schema_shape_read(db, &w.real, e) && (w.model = schema_model(rev, e)) != NULL &&
              schema_shape_read(w.model, &w.own, e) && schema_shape_expected(db, rev + 1, &w.next, e) &&
              (!really || db_begin_write(db, e)) && repair(&w, rev) && (!really || db_commit(db, e));
    if (!ok && really)
        db_rollback(db);
    db_close(w.model);
    schema_shape_free(&w.real);
    schema_shape_free(&w.own);
    schema_shape_free(&w.next);
    *found = w.found;
    return ok;
}
