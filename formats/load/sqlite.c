/* Rows into SQLite: one INSERT ... SELECT per table from a virtual table that gives them, so that SQLite's
 * cursors stay where the next row goes; secondary indexes are made after the rows. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/load/internal.h"

struct index {
    char *name, *sql;
};

struct sqlite_sink {
    struct load_sink base;
    const struct load_table *tables;
    int n_tables;
    struct load_row_source *from; /* of the table that is being filled */
    const struct value *row;      /* NULL at its end */
    struct err *error;            /* why `from` failed */
    bool failed;
    struct index *indexes;
    int n_indexes;
};

static struct sqlite_sink *sink_of(struct load_sink *k)
{
    return (struct sqlite_sink *)k;
}

static bool find_indexes(struct sqlite_sink *k, const char *table, struct err *e)
{
    struct db_stmt *q =
        db_prepare(k->base.db,
                   "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND "
                   "sql IS NOT NULL ORDER BY rootpage",
                   e);
    if (!q)
        return false;
    struct value name = value_str(table);
    db_bind(q, 1, &name);
    int row;
    while ((row = db_step(q, e)) == 1) {
        struct value index, sql;
        db_column(q, 0, &index);
        db_column(q, 1, &sql);
        k->indexes = xrealloc(k->indexes, (size_t)(k->n_indexes + 1) * sizeof *k->indexes);
        k->indexes[k->n_indexes++] = (struct index){xstrndup(index.s, index.len), xstrndup(sql.s, sql.len)};
    }
    db_finalize(q);
    return row == 0;
}

/* ---- the virtual table load_rows(c0, c1, ...) */

struct rows_table {
    sqlite3_vtab base;
    struct sqlite_sink *sink;
};

static int rows_connect(sqlite3 *db, void *sink, int argc, const char *const *argv, sqlite3_vtab **out,
                        char **message)
{
    struct buf sql = {0};
    (void)argc;
    (void)argv;
    (void)message;
    buf_adds(&sql, "CREATE TABLE x(");
    for (int i = 0; i < LOAD_MAX_COLUMNS; i++)
        buf_addf(&sql, "%sc%d", i ? ", " : "", i);
    buf_addc(&sql, ')');
    int code = sqlite3_declare_vtab(db, buf_str(&sql));
    buf_free(&sql);
    if (code != SQLITE_OK)
        return code;
    struct rows_table *t = xcalloc(1, sizeof *t);
    t->sink = sink;
    *out = &t->base;
    return SQLITE_OK;
}

static int rows_disconnect(sqlite3_vtab *t)
{
    free(t);
    return SQLITE_OK;
}

static int rows_best_index(sqlite3_vtab *t, sqlite3_index_info *info)
{
    (void)t;
    info->estimatedCost = 1e9;
    return SQLITE_OK;
}

static int rows_open(sqlite3_vtab *t, sqlite3_vtab_cursor **cursor)
{
    (void)t;
    *cursor = xcalloc(1, sizeof **cursor);
    return SQLITE_OK;
}

static int rows_close(sqlite3_vtab_cursor *cursor)
{
    free(cursor);
    return SQLITE_OK;
}

static struct sqlite_sink *sink_of_cursor(sqlite3_vtab_cursor *cursor)
{
    return ((struct rows_table *)(void *)cursor->pVtab)->sink;
}

static int rows_next(sqlite3_vtab_cursor *cursor)
{
    struct sqlite_sink *k = sink_of_cursor(cursor);
    int got = k->from->next(k->from, &k->row, k->error);
    if (got != 1)
        k->row = NULL;
    k->failed = got < 0;
    return k->failed ? SQLITE_ERROR : SQLITE_OK;
}

static int rows_filter(sqlite3_vtab_cursor *cursor, int index, const char *name, int argc,
                       sqlite3_value **argv)
{
    (void)index;
    (void)name;
    (void)argc;
    (void)argv;
    return rows_next(cursor);
}

static int rows_eof(sqlite3_vtab_cursor *cursor)
{
    return sink_of_cursor(cursor)->row == NULL;
}

static int rows_column(sqlite3_vtab_cursor *cursor, sqlite3_context *to, int i)
{
    const struct value *v = &sink_of_cursor(cursor)->row[i];
    switch (v->type) {
    case VALUE_NULL:
        sqlite3_result_null(to);
        break;
    case VALUE_INT:
        sqlite3_result_int64(to, v->i);
        break;
    case VALUE_BOOL:
        sqlite3_result_int(to, v->b);
        break;
    case VALUE_FLOAT:
        sqlite3_result_double(to, v->f);
        break;
    case VALUE_STR:
        sqlite3_result_text64(to, v->s, v->len, SQLITE_STATIC, SQLITE_UTF8);
        break;
    case VALUE_BIN:
    case VALUE_MAP:
    case VALUE_ALIEN:
        sqlite3_result_blob64(to, v->s, v->len, SQLITE_STATIC);
        break;
    }
    return SQLITE_OK;
}

static int rows_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *id)
{
    (void)cursor;
    *id = 0;
    return SQLITE_OK;
}

static const sqlite3_module rows_module = {
    .xConnect = rows_connect,
    .xBestIndex = rows_best_index,
    .xDisconnect = rows_disconnect,
    .xOpen = rows_open,
    .xClose = rows_close,
    .xFilter = rows_filter,
    .xNext = rows_next,
    .xEof = rows_eof,
    .xColumn = rows_column,
    .xRowid = rows_rowid,
};

/* ---- the sink */

static bool sqlite_begin(struct load_sink *base, struct err *e)
{
    struct sqlite_sink *k = sink_of(base);
    struct buf sql = {0};
    bool ok = true;
    for (int i = 0; ok && i < k->n_tables; i++)
        ok = !k->tables[i].filled || find_indexes(k, k->tables[i].name, e);
    buf_addf(&sql, "PRAGMA cache_size = -%d;", LOAD_CACHE_KIB);
    for (int i = 0; i < k->n_indexes; i++)
        buf_addf(&sql, "DROP INDEX \"%s\";", k->indexes[i].name);
    ok = ok && db_exec(base->db, buf_str(&sql), e);
    buf_free(&sql);
    if (ok && sqlite3_create_module(db_native(base->db), "load_rows", &rows_module, k) != SQLITE_OK)
        ok = err_set(e, db_display(base->db), "%s", sqlite3_errmsg(db_native(base->db)));
    return ok;
}

/* The query with the columns of load_rows in the place of {column}. */
static void add_look_up(struct buf *sql, const struct load_table *t, const char *query)
{
    const char *open;
    while ((open = strchr(query, '{'))) {
        const char *close = strchr(open, '}');
        char *name = xstrndup(open + 1, (size_t)(close - open) - 1);
        buf_add(sql, query, (size_t)(open - query));
        buf_addf(sql, "r.c%d", load_table_find(t, name));
        free(name);
        query = close + 1;
    }
    buf_adds(sql, query);
}

/* OR FAIL: the first row that breaks a rule ends it; what was inserted before needs no journal of its own to
 * be undone, since the caller undoes everything. */
static void make_insert(const struct load_table *t, struct buf *sql)
{
    buf_addf(sql, "INSERT OR FAIL INTO %s (", t->name);
    for (int i = 0; i < t->n_columns; i++)
        buf_addf(sql, "%s%s", i ? ", " : "", t->columns[i].name);
    buf_adds(sql, ") SELECT ");
    for (int i = 0; i < t->n_columns; i++) {
        const char *query = t->columns[i].look_up;
        buf_addf(sql, "%s%sr.c%d", i ? ", " : "", query ? "coalesce(" : "", i);
        if (query) {
            buf_adds(sql, ", (");
            add_look_up(sql, t, query);
            buf_adds(sql, "))");
        }
    }
    buf_adds(sql, " FROM load_rows AS r");
}

static enum sink_answer sqlite_fill(struct load_sink *base, const struct load_table *t,
                                    struct load_row_source *from, struct err *e)
{
    struct sqlite_sink *k = sink_of(base);
    struct buf sql = {0};
    struct err why;
    k->from = from;
    k->error = e;
    k->failed = false;
    make_insert(t, &sql);
    bool ok = db_exec(base->db, buf_str(&sql), &why);
    buf_free(&sql);
    if (ok)
        return SINK_STORED;
    if (!k->failed)
        *e = why;
    return !k->failed && strstr(why.what, "constraint failed") ? SINK_REFUSED : SINK_FAILED;
}

static bool sqlite_end(struct load_sink *base, uint64_t *collapsed, struct err *e)
{
    (void)collapsed; /* no table is streamed */
    struct sqlite_sink *k = sink_of(base);
    bool ok = true;
    for (int i = 0; ok && i < k->n_indexes; i++)
        ok = !err_interrupted() && db_exec(base->db, k->indexes[i].sql, e);
    return ok;
}

/* SQLite does not enforce foreign keys. Those between kinds have been followed already; this finds the
 * others. */
static bool check_foreign_keys(struct sqlite_sink *k, const struct load_table *t, struct err *e)
{
    char *parent = NULL;
    char *sql = xasprintf("SELECT parent FROM pragma_foreign_key_check('%s') LIMIT 1", t->name);
    bool ok = db_query_text(k->base.db, sql, &parent, e);
    free(sql);
    if (ok && parent)
        ok = err_set(e, t->name, "some of its rows belong to rows of %s that are not in the stream", parent);
    free(parent);
    return ok;
}

static bool sqlite_finish(struct load_sink *base, struct err *e)
{
    struct sqlite_sink *k = sink_of(base);
    bool ok = true;
    for (int i = 0; ok && i < k->n_tables; i++)
        ok = !k->tables[i].filled || k->tables[i].of_kind || check_foreign_keys(k, &k->tables[i], e);
    return ok;
}

static void sqlite_free(struct load_sink *base)
{
    struct sqlite_sink *k = sink_of(base);
    sqlite3_create_module(db_native(base->db), "load_rows", NULL, NULL);
    for (int i = 0; i < k->n_indexes; i++) {
        free(k->indexes[i].name);
        free(k->indexes[i].sql);
    }
    free(k->indexes);
    free(k);
}

static const struct load_sink_ops sqlite_ops = {
    .begin = sqlite_begin,
    .fill = sqlite_fill,
    .end = sqlite_end,
    .finish = sqlite_finish,
    .free = sqlite_free,
};

struct load_sink *load_sqlite_sink(struct db *db, const struct load_table *tables, int n_tables)
{
    struct sqlite_sink *k = xcalloc(1, sizeof *k);
    k->base.ops = &sqlite_ops;
    k->base.db = db;
    k->tables = tables;
    k->n_tables = n_tables;
    return &k->base;
}
