/* Rows into SQLite: one prepared INSERT per table, its secondary indexes made after the rows. */
#include <stdlib.h>
#include <string.h>

#include "store_impl.h"

struct index {
    char *name, *sql;
};

struct sqlite_sink {
    struct store_sink base;
    const struct store_table *tables;
    int n_tables;
    struct db_stmt *inserts[STORE_MAX_TABLES];
    struct index *indexes;
    int n_indexes;
};

static struct sqlite_sink *sink_of(struct store_sink *k)
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

static bool sqlite_begin(struct store_sink *base, struct err *e)
{
    struct sqlite_sink *k = sink_of(base);
    struct buf sql = {0};
    bool ok = true;
    for (int i = 0; ok && i < k->n_tables; i++)
        ok = find_indexes(k, k->tables[i].name, e);
    buf_addf(&sql, "PRAGMA cache_size = -%d;", STORE_CACHE_KIB);
    for (int i = 0; i < k->n_indexes; i++)
        buf_addf(&sql, "DROP INDEX \"%s\";", k->indexes[i].name);
    ok = ok && db_exec(base->db, buf_str(&sql), e);
    buf_free(&sql);
    return ok;
}

/* The query with ?N in the place of {column}. */
static void add_look_up(struct buf *sql, const struct store_table *t, const char *query)
{
    const char *open;
    while ((open = strchr(query, '{'))) {
        const char *close = strchr(open, '}');
        char *name = xstrndup(open + 1, (size_t)(close - open) - 1);
        buf_add(sql, query, (size_t)(open - query));
        buf_addf(sql, "?%d", store_table_find(t, name) + 1);
        free(name);
        query = close + 1;
    }
    buf_adds(sql, query);
}

static struct db_stmt *prepare_insert(struct db *db, const struct store_table *t, struct err *e)
{
    struct buf sql = {0};
    buf_addf(&sql, "INSERT INTO %s (", t->name);
    for (int i = 0; i < t->n_columns; i++)
        buf_addf(&sql, "%s%s", i ? ", " : "", t->columns[i].name);
    buf_adds(&sql, ") VALUES (");
    for (int i = 0; i < t->n_columns; i++) {
        const char *query = t->columns[i].look_up;
        buf_addf(&sql, "%s%s?%d", i ? ", " : "", query ? "coalesce(" : "", i + 1);
        if (query) {
            buf_adds(&sql, ", (");
            add_look_up(&sql, t, query);
            buf_adds(&sql, "))");
        }
    }
    buf_addc(&sql, ')');
    struct db_stmt *s = db_prepare(db, buf_str(&sql), e);
    buf_free(&sql);
    return s;
}

static enum sink_answer sqlite_row(struct store_sink *base, const struct store_table *t,
                                   const struct value *row, struct err *e)
{
    struct sqlite_sink *k = sink_of(base);
    struct db_stmt **s = &k->inserts[t - k->tables];
    if (!*s && !(*s = prepare_insert(base->db, t, e)))
        return SINK_FAILED;
    for (int i = 0; i < t->n_columns; i++)
        db_bind(*s, i + 1, &row[i]);
    if (db_step(*s, e) == 0)
        return SINK_STORED;
    return strstr(e->what, "constraint failed") ? SINK_REFUSED : SINK_FAILED;
}

static bool sqlite_end(struct store_sink *base, struct err *e)
{
    struct sqlite_sink *k = sink_of(base);
    bool ok = true;
    for (int i = 0; ok && i < k->n_indexes; i++)
        ok = !err_interrupted() && db_exec(base->db, k->indexes[i].sql, e);
    return ok;
}

static void sqlite_free(struct store_sink *base)
{
    struct sqlite_sink *k = sink_of(base);
    for (int i = 0; i < k->n_tables; i++)
        db_finalize(k->inserts[i]);
    for (int i = 0; i < k->n_indexes; i++) {
        free(k->indexes[i].name);
        free(k->indexes[i].sql);
    }
    free(k->indexes);
    free(k);
}

static const struct store_sink_ops sqlite_ops = {sqlite_begin, sqlite_row, sqlite_end, sqlite_free};

struct store_sink *store_sqlite_sink(struct db *db, const struct store_table *tables, int n_tables)
{
    struct sqlite_sink *k = xcalloc(1, sizeof *k);
    k->base.ops = &sqlite_ops;
    k->base.db = db;
    k->tables = tables;
    k->n_tables = n_tables;
    return &k->base;
}
