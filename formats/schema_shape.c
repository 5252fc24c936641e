#include <stdlib.h>
#include <string.h>

#include "schema_data.h"

/* A set of names, sorted: `table` and `table.column`. */
struct names {
    char **items;
    int n;
};

static void names_free(struct names *s)
{
    for (int i = 0; i < s->n; i++)
        free(s->items[i]);
    free(s->items);
    *s = (struct names){0};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All tables and columns of a database, alembic's and SQLite's own tables apart. */
static bool names_read(struct db *db, struct names *out, struct err *e)
{
    const char *query =
        db_dialect(db) == DIALECT_SQLITE
            ? "SELECT m.name || '.' || c.name FROM sqlite_schema m, pragma_table_xinfo(m.name) c "
              "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND m.name <> "
              "'alembic_version'"
            : "SELECT table_name || '.' || column_name FROM information_schema.columns "
              "WHERE table_schema = current_schema() AND table_name <> 'alembic_version'";
    *out = (struct names){0};
    struct db_stmt *s = db_prepare(db, query, e);
    if (!s)
        return false;
    int row;
    while ((row = db_step(s, e)) == 1) {
        struct value v;
        db_column(s, 0, &v);
        out->items = xrealloc(out->items, (size_t)(out->n + 1) * sizeof *out->items);
        out->items[out->n++] = xstrndup(v.s, v.len);
    }
    db_finalize(s);
    if (row < 0) {
        names_free(out);
        return false;
    }
    qsort(out->items, (size_t)out->n, sizeof *out->items, by_name);
    return true;
}

/* How many names are in one set and not in the other. */
static int distance(const struct names *a, const struct names *b)
{
    int i = 0, j = 0, apart = 0;
    while (i < a->n || j < b->n) {
        int c = i == a->n ? 1 : j == b->n ? -1 : strcmp(a->items[i], b->items[j]);
        apart += c != 0;
        i += c <= 0;
        j += c >= 0;
    }
    return apart;
}

bool schema_nearest(struct db *db, int *order, struct err *e)
{
    const struct db_url memory = {
        .dialect = DIALECT_SQLITE, .path = (char[]){":memory:"}, .display = (char[]){"memory"}};
    struct names real;
    if (!names_read(db, &real, e))
        return false;
    struct db *model = db_open(&memory, DB_CREATE, e);
    bool ok = model && schema_create(model, 0, e);
    int best = -1;
    for (int i = 0; ok && i <= schema_head; i++) {
        struct names expected;
        ok = (i == 0 || schema_step(model, i, e)) && names_read(model, &expected, e);
        if (!ok)
            break;
        int apart = distance(&real, &expected);
        if (best < 0 || apart <= best) {
            best = apart;
            *order = i;
        }
        names_free(&expected);
    }
    db_close(model);
    names_free(&real);
    return ok;
}
