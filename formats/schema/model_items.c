/* Items of the PostgreSQL model, and their conversion to facts. */
#include "formats/schema/model_items.h"

#include <stdlib.h>
#include <string.h>

static void free_item(struct schema_item *i)
{
    free(i->table);
    free(i->name);
    free(i->text);
    free(i->rest);
}

struct schema_item *schema_model_add(struct schema_model *m, enum schema_item_kind kind, const char *table,
                                     const char *name, const char *what)
{
    /* The capacity doubles and follows from n. */
    if ((m->n & (m->n - 1)) == 0)
        m->items = xrealloc(m->items, (m->n ? 2 * m->n : 1) * sizeof *m->items);
    struct schema_item *i = &m->items[m->n++];
    *i = (struct schema_item){
        .kind = kind, .table = xstrdup(table), .name = xstrdup(name), .text = xstrdup(what)};
    return i;
}

void schema_model_remove(struct schema_model *m, struct schema_item *i)
{
    free_item(i);
    m->n--;
    memmove(i, i + 1, (m->n - (size_t)(i - m->items)) * sizeof *i);
}

/* table NULL: any table. */
struct schema_item *schema_model_find(struct schema_model *m, enum schema_item_kind kind, const char *table,
                                      const char *name)
{
    for (size_t i = 0; i < m->n; i++) {
        struct schema_item *item = &m->items[i];
        if (item->kind == kind && (!table || strcmp(item->table, table) == 0) &&
            strcmp(item->name, name) == 0)
            return item;
    }
    return NULL;
}

bool schema_model_has_table(const struct schema_model *m, const char *table)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->items[i].table, table) == 0)
            return true;
    return false;
}

/* Whether a key or index includes the column. */
bool schema_model_mentions(const struct schema_item *i, const char *column)
{
    struct sql_text inside, after, one;
    if (i->kind == ITEM_COLUMN || i->kind == ITEM_TRIGGER ||
        !sql_brackets(sql_text(DIALECT_POSTGRESQL, i->text), &inside, &after))
        return false;
    while (sql_item(&inside, &one))
        if (sql_is(sql_piece(&one), column))
            return true;
    return false;
}

/* -- parsing */

bool schema_model_unreadable(struct schema_model *m, const char *at)
{
    return err_set(m->e, "migrations", "revision %s: the model of PostgreSQL cannot read: %.60s",
                   schema_revisions[m->rev].revision, at);
}

/* Reads the next parenthesized text, in normal form and with its parentheses; false if there is none. */
bool schema_model_take_brackets(struct sql_text *t, struct buf *out)
{
    struct sql_text rest = *t;
    struct sql_piece p = sql_piece(&rest);
    if (p.kind != SQL_GROUP)
        return false;
    *t = rest;
    sql_normal(p.text, out);
    return true;
}

void schema_model_give(const struct schema_model *m, struct schema_shape *out)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct schema_item *item = &m->items[i];
        struct buf fact = {0};
        if (item->kind == ITEM_COLUMN)
            buf_addf(&fact, "column %s %s%s%s", item->name, item->text, item->not_null ? " NOT NULL" : "",
                     item->rest);
        else
            buf_adds(&fact, item->text);
        schema_shape_add(out, item->table, strlen(item->table), buf_str(&fact), fact.len);
        buf_free(&fact);
    }
    schema_shape_sort(out);
}

void schema_model_free(struct schema_model *m)
{
    for (size_t i = 0; i < m->n; i++)
        free_item(&m->items[i]);
    free(m->items);
    free(m->function);
}
