/* Finds and reads tables and columns unknown to this project. */
#include "formats/database/others.h"

#include <stdlib.h>
#include <string.h>

static void add_column(struct other_table *t, const char *name)
{
    t->columns = xrealloc(t->columns, (t->n_columns + 1) * sizeof *t->columns);
    t->columns[t->n_columns++] = xstrdup(name);
}

bool others_add(struct others *o, struct db *db, const char *table, const char *const *columns, size_t n,
                struct err *e)
{
    struct db_columns all;
    const struct db_column_info *of_key[DB_MAX_KEY];
    if (!db_table_columns(db, table, &all, e))
        return false;
    int n_key = db_columns_key(&all, of_key);
    struct other_table t = {.name = xstrdup(table)};
    for (int i = 0; columns && i < n_key && i < DB_MAX_KEY; i++)
        add_column(&t, of_key[i]->name);
    t.n_key = t.n_columns;
    for (size_t i = 0; columns && i < n; i++)
        add_column(&t, columns[i]);
    db_columns_free(&all);
    o->items = xrealloc(o->items, (o->n + 1) * sizeof *o->items);
    o->items[o->n++] = t;
    return true;
}

void others_free(struct others *o)
{
    for (size_t i = 0; i < o->n; i++) {
        free(o->items[i].name);
        for (size_t c = 0; c < o->items[i].n_columns; c++)
            free(o->items[i].columns[c]);
        free(o->items[i].columns);
    }
    free(o->items);
    *o = (struct others){0};
}

bool others_has_table(const struct others *o, const char *table)
{
    for (size_t i = 0; i < o->n; i++)
        if (!o->items[i].columns && strcmp(o->items[i].name, table) == 0)
            return true;
    return false;
}

static bool read_table(const struct other_table *t, struct db *db, others_take *take, void *arg,
                       struct err *e)
{
    struct record r;
    struct rows_cursor *c = rows_open_other(db, t, e);
    int more = c ? 1 : -1;
    while (more > 0 && (more = rows_next(c, &r, e)) > 0)
        more = take(&r, arg, e) ? 1 : -1;
    rows_close(c);
    return more == 0;
}

bool others_read(const struct others *o, struct db *db, others_take *take, void *arg, struct err *e)
{
    for (size_t i = 0; i < o->n; i++)
        if (!read_table(&o->items[i], db, take, arg, e))
            return false;
    return true;
}
