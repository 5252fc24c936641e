/* SQLite's sink: drops secondary indexes and recreates them after the rows. */
#include <stdio.h>
#include <stdlib.h>

#include "formats/load/load.h"
#include "formats/load/sqlite_rows.h"

struct index {
    char *name, *sql;
};

struct sqlite_sink {
    struct load_sink base;
    struct load_sqlite_rows *rows;
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

static bool sqlite_begin(struct load_sink *base, struct err *e)
{
    struct sqlite_sink *k = sink_of(base);
    struct buf sql = {0};
    bool ok = true;
    for (int i = 0; ok && i < base->tables->n; i++)
        ok = !base->tables->items[i].filled || find_indexes(k, base->tables->items[i].name, e);
    buf_addf(&sql, "PRAGMA cache_size = -%d;", LOAD_CACHE_KIB);
    for (int i = 0; i < k->n_indexes; i++)
        buf_addf(&sql, "DROP INDEX \"%s\";", k->indexes[i].name);
    ok = ok && db_exec(base->db, buf_str(&sql), e);
    buf_free(&sql);
    return ok && (k->rows = load_sqlite_rows_new(base->db, e)) != NULL;
}

static enum sink_answer sqlite_fill(struct load_sink *base, const struct load_table *t,
                                    struct load_row_source *from, struct err *e)
{
    return load_sqlite_rows_insert(sink_of(base)->rows, t->name, t, true, from, e);
}

static bool sqlite_end(struct load_sink *base, uint64_t *collapsed, struct err *e)
{
    (void)collapsed; /* no table is streamed */
    struct sqlite_sink *k = sink_of(base);
    bool ok = true;
    for (int i = 0; ok && i < k->n_indexes; i++)
        ok = err_interrupted() ? err_set_interrupted(e) : db_exec(base->db, k->indexes[i].sql, e);
    return ok;
}

/* SQLite does not enforce foreign keys. References between kinds have been checked already; this checks the
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
    for (int i = 0; ok && i < base->tables->n; i++)
        ok = !base->tables->items[i].filled || base->tables->items[i].of_kind ||
             check_foreign_keys(k, &base->tables->items[i], e);
    return ok;
}

static void sqlite_free(struct load_sink *base)
{
    struct sqlite_sink *k = sink_of(base);
    load_sqlite_rows_free(k->rows);
    for (int i = 0; i < k->n_indexes; i++) {
        free(k->indexes[i].name);
        free(k->indexes[i].sql);
    }
    free(k->indexes);
    load_sink_finalize(base);
    free(k);
}

static const struct load_sink_ops sqlite_ops = {
    .begin = sqlite_begin,
    .fill = sqlite_fill,
    .end = sqlite_end,
    .find = load_sink_find,
    .sum_cost = load_sink_sum_cost,
    .finish = sqlite_finish,
    .free = sqlite_free,
};

struct load_sink *load_sqlite_sink(struct db *db, const struct load_tables *tables)
{
    return load_sink_new(sizeof(struct sqlite_sink), &sqlite_ops, db, tables);
}
