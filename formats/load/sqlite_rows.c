/* Inserts rows into a SQLite table by one INSERT ... SELECT from a virtual table, so that SQLite's cursors
 * stay at the insert position. */
#include "formats/load/sqlite_rows.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct load_sqlite_rows {
    struct db *db;
    struct load_row_source *from; /* of the table being filled */
    const struct value *row;      /* NULL at its end */
    struct err *error;            /* why `from` failed */
    bool failed;
};

/* -- the virtual table load_rows(c0, c1, ...) */

struct rows_table {
    sqlite3_vtab base;
    struct load_sqlite_rows *rows;
};

static int rows_connect(sqlite3 *db, void *rows, int argc, const char *const *argv, sqlite3_vtab **out,
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
    t->rows = rows;
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

static struct load_sqlite_rows *rows_of(sqlite3_vtab_cursor *cursor)
{
    return ((struct rows_table *)(void *)cursor->pVtab)->rows;
}

static int rows_next(sqlite3_vtab_cursor *cursor)
{
    struct load_sqlite_rows *k = rows_of(cursor);
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
    return rows_of(cursor)->row == NULL;
}

static int rows_column(sqlite3_vtab_cursor *cursor, sqlite3_context *to, int i)
{
    const struct value *v = &rows_of(cursor)->row[i];
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

/* -- filling a table */

struct load_sqlite_rows *load_sqlite_rows_new(struct db *db, struct err *e)
{
    struct load_sqlite_rows *k = xcalloc(1, sizeof *k);
    k->db = db;
    if (sqlite3_create_module(db_native(db), "load_rows", &rows_module, k) == SQLITE_OK)
        return k;
    err_set(e, db_display(db), "%s", sqlite3_errmsg(db_native(db)));
    free(k);
    return NULL;
}

void load_sqlite_rows_free(struct load_sqlite_rows *k)
{
    if (k)
        sqlite3_create_module(db_native(k->db), "load_rows", NULL, NULL);
    free(k);
}

/* Adds the query with {column} replaced by the column of load_rows. */
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

/* OR FAIL: stops at the first row that violates a constraint, without a statement journal to undo earlier
 * rows, as the caller rolls back everything. */
static void make_insert(const char *into, const struct load_table *t, bool look_up, struct buf *sql)
{
    buf_addf(sql, "INSERT OR FAIL INTO %s (", into);
    for (int i = 0; i < t->n_columns; i++)
        buf_addf(sql, "%s%s", i ? ", " : "", t->columns[i].name);
    buf_adds(sql, ") SELECT ");
    for (int i = 0; i < t->n_columns; i++) {
        const char *query = look_up ? t->columns[i].look_up : NULL;
        buf_addf(sql, "%s%sr.c%d", i ? ", " : "", query ? "coalesce(" : "", i);
        if (query) {
            buf_adds(sql, ", (");
            add_look_up(sql, t, query);
            buf_adds(sql, "))");
        }
    }
    buf_adds(sql, " FROM load_rows AS r");
}

enum sink_answer load_sqlite_rows_insert(struct load_sqlite_rows *k, const char *into,
                                         const struct load_table *t, bool look_up,
                                         struct load_row_source *from, struct err *e)
{
    struct buf sql = {0};
    struct err why;
    k->from = from;
    k->error = e;
    k->failed = false;
    make_insert(into, t, look_up, &sql);
    bool ok = db_exec(k->db, buf_str(&sql), &why);
    buf_free(&sql);
    if (ok)
        return SINK_STORED;
    if (!k->failed)
        *e = why;
    return !k->failed && why.class == ERR_CONSTRAINT ? SINK_REFUSED : SINK_FAILED;
}
