/* Rows of tables and columns that are not known. */
#include "formats/database/others.h"

#include <stdlib.h>
#include <string.h>

bool others_add(struct others *o, struct db *db, const char *table, const char *columns, struct err *e)
{
    struct db_columns all;
    const struct db_column_info *of_key[DB_MAX_KEY];
    struct buf key = {0};
    if (!db_table_columns(db, table, &all, e))
        return false;
    int n = db_columns_key(&all, of_key);
    for (int i = 0; i < n && i < DB_MAX_KEY; i++)
        buf_addf(&key, "%s%s", key.len ? "," : "", of_key[i]->name);
    db_columns_free(&all);
    o->items = xrealloc(o->items, (o->n + 1) * sizeof *o->items);
    o->items[o->n++] =
        (struct other_table){xstrdup(table), columns ? xstrdup(columns) : NULL, xstrdup(buf_str(&key))};
    buf_free(&key);
    return true;
}

void others_free(struct others *o)
{
    for (size_t i = 0; i < o->n; i++) {
        free(o->items[i].name);
        free(o->items[i].columns);
        free(o->items[i].key);
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
    struct row_table table = {.name = t->name, .key = t->key, .parent = "", .link = ""};
    struct buf where = {0}, only = {0};
    struct record r;
    if (t->columns) {
        buf_addf(&only, "%s,%s", t->key, t->columns);
        const char *p = t->columns;
        for (size_t len; (len = row_next_column(&p)) > 0; p += len)
            buf_addf(&where, "%sx.\"%.*s\" IS NOT NULL", where.len ? " OR " : "", (int)len, p);
    }
    struct rows_cursor *c = rows_open_other(db, &table, t->columns ? buf_str(&only) : NULL,
                                            where.len ? buf_str(&where) : NULL, e);
    int more = c ? 1 : -1;
    while (more > 0 && (more = rows_next(c, &r, e)) > 0)
        more = take(&r, arg, e) ? 1 : -1;
    rows_close(c);
    buf_free(&where);
    buf_free(&only);
    return more == 0;
}

bool others_read(const struct others *o, struct db *db, others_take *take, void *arg, struct err *e)
{
    for (size_t i = 0; i < o->n; i++)
        if (!read_table(&o->items[i], db, take, arg, e))
            return false;
    return true;
}
