/* Writes rows into PostgreSQL. As the tables' owner: drops keys, indexes and foreign keys, truncates the
 * tables, fills them by COPY with FREEZE, and recreates everything from the catalog's definitions; else by
 * plain COPY, parents first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/load/copy.h"
#include "formats/load/load.h"
#include "formats/load/postgres_structure.h"

/* A .sql file of this room (formats/database/sql_files.h). */
extern const char load_advance_ids_postgresql[];

struct postgres_sink {
    struct load_sink base;
    struct load_copy *copy;
    bool owner;
    const struct load_table *streamed; /* NULL: none */
    int streamed_keys;                 /* the first keys in structure.keys are those of the streamed table */
    struct buf list;                   /* of the tables, as an array: {a,b} */
    struct load_structure structure;   /* what was dropped */
};

static struct postgres_sink *sink_of(struct load_sink *k)
{
    return (struct postgres_sink *)k;
}

/* Whether this role can drop and recreate the structure of the tables in the list. */
static bool find_owner(struct postgres_sink *k, char **why, struct err *e)
{
    bool ok = load_structure_obstacle(k->base.db, buf_str(&k->list), why, e);
    k->owner = ok && !*why;
    return ok;
}

/* Prepares the tables of the list for COPY with FREEZE, which requires that this transaction has created or
 * truncated them. What is dropped is recorded to be recreated. */
static bool strip_tables(struct postgres_sink *k, const char *truncate, struct err *e)
{
    return load_structure_drop(k->base.db, buf_str(&k->list), &k->structure, e) &&
           db_exec(k->base.db, truncate, e);
}

/* Appends a command for all filled tables except one (or NULL). */
static void add_names(const struct postgres_sink *k, const char *command, const struct load_table *but,
                      struct buf *out)
{
    const char *before = command;
    for (int i = 0; i < k->base.tables->n; i++)
        if (k->base.tables->items[i].filled && &k->base.tables->items[i] != but) {
            buf_addf(out, "%s%s", before, k->base.tables->items[i].name);
            before = ", ";
        }
}

/* Lists all filled tables except one (or NULL). */
static void list_tables(const struct load_tables *tables, const struct load_table *but, struct buf *list)
{
    buf_reset(list);
    for (int i = 0; i < tables->n; i++)
        if (tables->items[i].filled && &tables->items[i] != but)
            buf_addf(list, "%c%s", list->len ? ',' : '{', tables->items[i].name);
    if (list->len)
        buf_addc(list, '}');
}

static bool postgres_begin(struct load_sink *base, struct err *e)
{
    struct postgres_sink *k = sink_of(base);
    struct buf truncate = {0};
    list_tables(k->base.tables, k->streamed, &k->list);
    add_names(k, "TRUNCATE ", k->streamed, &truncate);
    char *why = NULL;
    bool ok = !k->list.len || find_owner(k, &why, e);
    if (ok && k->list.len && k->owner)
        ok = strip_tables(k, buf_str(&truncate), e);
    else if (ok && k->list.len)
        err_note("%s: indexes are kept while the tables are filled, which takes longer", why);
    free(why);
    buf_free(&truncate);
    return ok;
}

static enum sink_answer postgres_fill(struct load_sink *base, const struct load_table *t,
                                      struct load_row_source *from, struct err *e)
{
    struct postgres_sink *k = sink_of(base);
    return load_copy_table(k->copy, t->name, t, k->owner, from, e) ? SINK_STORED : SINK_FAILED;
}

/* -- the streamed table */

static bool postgres_begin_streamed(struct load_sink *base, struct load_table *t, struct err *e)
{
    struct postgres_sink *k = sink_of(base);
    buf_addf(&k->list, "{%s}", t->name);
    char *why = NULL;
    bool ok = find_owner(k, &why, e);
    free(why);
    if (!ok || !k->owner)
        return ok;
    char *truncate = xasprintf("TRUNCATE %s", t->name);
    ok = strip_tables(k, truncate, e) && load_copy_begin(k->copy, t->name, t, k->owner, e);
    free(truncate);
    t->streamed = ok;
    k->streamed = t;
    k->streamed_keys = k->structure.keys.n;
    return ok;
}

static bool postgres_put_streamed(struct load_sink *base, const struct value *row, struct err *e)
{
    struct postgres_sink *k = sink_of(base);
    return load_copy_row(k->copy, row, e);
}

static bool postgres_end_streamed(struct load_sink *base, struct err *e)
{
    struct postgres_sink *k = sink_of(base);
    return load_copy_end(k->copy, e);
}

/* Deletes duplicate rows (-0.0 and 0.0 are equal, as in the key). A publication of all tables rejects DELETE
 * without a replica identity, usually the key, so whole rows become that. */
static bool collapse(struct postgres_sink *k, uint64_t *collapsed, struct err *e)
{
    struct buf sql = {0};
    const struct load_table *t = k->streamed;
    uint64_t before = db_rows_written(k->base.db);
    buf_addf(&sql,
             "ALTER TABLE %s REPLICA IDENTITY FULL;\n"
             "DELETE FROM %s WHERE ctid IN (SELECT ctid FROM (SELECT ctid, row_number() OVER (PARTITION BY ",
             t->name, t->name);
    for (int i = 0; i < t->n_columns; i++)
        buf_addf(&sql, "%s%s", i ? ", " : "", t->columns[i].name);
    buf_addf(&sql,
             " ORDER BY ctid) AS n FROM %s) AS x WHERE n > 1);\n"
             "ALTER TABLE %s REPLICA IDENTITY DEFAULT",
             t->name, t->name);
    bool ok = db_exec(k->base.db, buf_str(&sql), e);
    *collapsed += db_rows_written(k->base.db) - before;
    buf_free(&sql);
    return ok;
}

/* Creates its keys. Duplicates are rare, and are only looked for if that fails. */
static bool make_streamed_keys(struct postgres_sink *k, uint64_t *collapsed, struct err *e)
{
    for (int i = 0; i < k->streamed_keys; i++) {
        if (err_interrupted())
            return err_set_interrupted(e);
        if (!db_exec(k->base.db, "SAVEPOINT streamed", e))
            return false;
        bool ok = db_exec(k->base.db, k->structure.keys.items[i].make, e);
        if (!ok && strcmp(e->sqlstate, SQLSTATE_UNIQUE_VIOLATION) == 0)
            ok = db_exec(k->base.db, "ROLLBACK TO SAVEPOINT streamed", e) && collapse(k, collapsed, e) &&
                 db_exec(k->base.db, k->structure.keys.items[i].make, e);
        if (!ok || !db_exec(k->base.db, "RELEASE SAVEPOINT streamed", e))
            return false;
    }
    return true;
}

/* -- after the rows */

/* Runs a look-up in which {column} is a column of the updated table. */
static bool look_up(struct postgres_sink *k, const struct load_table *t, const struct load_column *c,
                    struct err *e)
{
    struct buf sql = {0};
    const char *query = c->look_up, *open;
    buf_addf(&sql, "UPDATE %s SET %s = (", t->name, c->name);
    while ((open = strchr(query, '{'))) {
        const char *close = strchr(open, '}');
        buf_add(&sql, query, (size_t)(open - query));
        buf_addf(&sql, "%s.%.*s", t->name, (int)(close - open) - 1, open + 1);
        query = close + 1;
    }
    buf_addf(&sql, "%s) WHERE %s IS NULL AND %s", query, c->name, c->look_up_if);
    bool ok = db_exec(k->base.db, buf_str(&sql), e);
    buf_free(&sql);
    return ok;
}

static bool postgres_end(struct load_sink *base, uint64_t *collapsed, struct err *e)
{
    struct postgres_sink *k = sink_of(base);
    struct load_structure *made = &k->structure;
    /* An index cannot be created on a table with pending deferred triggers. */
    bool ok = (!k->owner || db_exec(base->db, "SET CONSTRAINTS ALL IMMEDIATE", e)) &&
              make_streamed_keys(k, collapsed, e) &&
              load_structure_make(base->db, &made->keys, k->streamed_keys, e);
    for (int t = 0; ok && t < k->base.tables->n; t++)
        for (int i = 0; ok && i < k->base.tables->items[t].n_columns; i++)
            if (k->base.tables->items[t].filled && k->base.tables->items[t].columns[i].look_up)
                ok = look_up(k, &k->base.tables->items[t], &k->base.tables->items[t].columns[i], e);
    return ok && load_structure_make(base->db, &made->indexes, 0, e);
}

static bool postgres_finish(struct load_sink *base, struct err *e)
{
    struct postgres_sink *k = sink_of(base);
    struct buf sql = {0};
    add_names(k, "ANALYZE ", NULL, &sql);
    bool ok = load_structure_make(base->db, &k->structure.foreign_keys, 0, e) &&
              (!k->owner || db_exec(base->db, buf_str(&sql), e));
    buf_free(&sql);
    return ok;
}

static void postgres_free(struct load_sink *base)
{
    struct postgres_sink *k = sink_of(base);
    load_structure_free(&k->structure);
    buf_free(&k->list);
    load_copy_free(k->copy);
    load_sink_finalize(base);
    free(k);
}

bool load_advance_ids(const struct load *s, struct db *db, struct err *e)
{
    const struct load_tables *tables = load_tables(s);
    struct buf list = {0};
    if (tables->dialect == DIALECT_SQLITE)
        return true;
    list_tables(tables, NULL, &list);
    char *set =
        xasprintf("SELECT set_config('mlruns_tools.tables', '%s', true)", list.len ? buf_str(&list) : "{}");
    bool ok = db_exec(db, set, e) && db_exec(db, load_advance_ids_postgresql, e);
    free(set);
    buf_free(&list);
    return ok;
}

static const struct load_sink_ops postgres_ops = {
    .begin_streamed = postgres_begin_streamed,
    .put_streamed = postgres_put_streamed,
    .end_streamed = postgres_end_streamed,
    .begin = postgres_begin,
    .fill = postgres_fill,
    .end = postgres_end,
    .find = load_sink_find,
    .sum_cost = load_sink_sum_cost,
    .finish = postgres_finish,
    .free = postgres_free,
};

struct load_sink *load_postgres_sink(struct db *db, const struct load_tables *tables)
{
    struct postgres_sink *k = load_sink_new(sizeof *k, &postgres_ops, db, tables);
    k->copy = load_copy_new(db);
    return &k->base;
}
