/* Drops and recreates foreign keys, keys and indexes of PostgreSQL tables from the catalog. */
#include "formats/load/postgres_structure.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

/* The .sql files of this room (formats/database/sql_files.h). */
extern const char load_obstacle_postgresql[], load_deferred_postgresql[], load_foreign_keys_postgresql[],
    load_indexes_postgresql[];

/* Prepares a query about tables. */
static struct db_stmt *ask(struct db *db, const char *query, const char *tables, struct err *e)
{
    struct db_stmt *q = db_prepare(db, query, e);
    struct value v = value_str(tables);
    if (q)
        db_bind(q, 1, &v);
    return q;
}

/* Runs a query for one text, malloc'ed; NULL if there is none. */
static bool query_text(struct db *db, const char *query, const char *tables, char **out, struct err *e)
{
    struct db_stmt *q = ask(db, query, tables, e);
    struct value v = value_null();
    int row = q ? db_step(q, e) : -1;
    if (row == 1)
        db_column(q, 0, &v);
    *out = value_is_text(&v) ? xstrndup(v.s, v.len) : NULL;
    db_finalize(q);
    return row >= 0;
}

bool load_structure_obstacle(struct db *db, const char *tables, char **why, struct err *e)
{
    return query_text(db, load_obstacle_postgresql, tables, why, e);
}

/* Runs a query that returns the statements to drop and to recreate something. keys: its second parameter, if
 * it has one. */
static bool read_definitions(struct db *db, const char *query, const char *tables, bool keys,
                             struct load_definitions *out, struct err *e)
{
    struct db_stmt *q = ask(db, query, tables, e);
    struct value v = value_bool(keys);
    if (!q)
        return false;
    db_bind(q, 2, &v);
    int row;
    while ((row = db_step(q, e)) == 1) {
        struct value drop, make;
        db_column(q, 0, &drop);
        db_column(q, 1, &make);
        out->items = xrealloc(out->items, (size_t)(out->n + 1) * sizeof *out->items);
        out->items[out->n++] =
            (struct load_definition){xstrndup(drop.s, drop.len), xstrndup(make.s, make.len)};
    }
    db_finalize(q);
    return row == 0;
}

/* A table with pending deferred triggers cannot be altered. The first statement runs them and makes all
 * constraints immediate, including those created later. */
static bool run_deferred(struct db *db, const char *tables, struct err *e)
{
    char *deferred = NULL;
    bool ok = db_exec(db, "SET CONSTRAINTS ALL IMMEDIATE", e) &&
              query_text(db, load_deferred_postgresql, tables, &deferred, e) &&
              (!deferred || db_exec(db, deferred, e));
    free(deferred);
    return ok;
}

/* Drops definitions from..n - 1. */
static bool drop(struct db *db, const struct load_definitions *d, int from, struct err *e)
{
    for (int i = from; i < d->n; i++)
        if (!db_exec(db, d->items[i].drop, e))
            return err_hint(e, "an object of your own depends on it (perhaps a view): drop that first and "
                               "recreate it after the load");
    return true;
}

bool load_structure_drop(struct db *db, const char *tables, struct load_structure *s, struct err *e)
{
    int foreign_keys = s->foreign_keys.n, keys = s->keys.n, indexes = s->indexes.n;
    return run_deferred(db, tables, e) &&
           read_definitions(db, load_foreign_keys_postgresql, tables, false, &s->foreign_keys, e) &&
           read_definitions(db, load_indexes_postgresql, tables, true, &s->keys, e) &&
           read_definitions(db, load_indexes_postgresql, tables, false, &s->indexes, e) &&
           drop(db, &s->foreign_keys, foreign_keys, e) && drop(db, &s->keys, keys, e) &&
           drop(db, &s->indexes, indexes, e);
}

bool load_structure_make(struct db *db, const struct load_definitions *d, int from, struct err *e)
{
    bool ok = true;
    for (int i = from; ok && i < d->n; i++)
        ok = err_interrupted() ? err_set_interrupted(e) : db_exec(db, d->items[i].make, e);
    return ok;
}

static void free_definitions(struct load_definitions *d)
{
    for (int i = 0; i < d->n; i++) {
        free(d->items[i].drop);
        free(d->items[i].make);
    }
    free(d->items);
}

void load_structure_free(struct load_structure *s)
{
    free_definitions(&s->foreign_keys);
    free_definitions(&s->keys);
    free_definitions(&s->indexes);
}
