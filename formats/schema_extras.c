#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "schema_data.h"

/* The migrations rebuild a table X by CREATE TABLE _ml_new_X, INSERT … SELECT, DROP TABLE X and this
 * statement. */
static const char rename_new[] = "ALTER TABLE _ml_new_";

/* Goes to the next table that a text rebuilds: its name, NULL when there is none. *text moves behind it. */
static char *next_rebuilt(const char **text)
{
    const char *at = strstr(*text, rename_new);
    if (!at)
        return NULL;
    at += strlen(rename_new);
    size_t n = strcspn(at, " ");
    *text = at + n;
    return xstrndup(at, n);
}

void schema_rebuilt_tables(int order, struct buf *out)
{
    const char *text = schema_revisions[order].sqlite;
    char *table;
    bool first = true;
    while ((table = next_rebuilt(&text))) {
        buf_addf(out, "%s%s", first ? "" : ", ", table);
        first = false;
        free(table);
    }
}

/* The list of columns that a revision copies: `INSERT INTO _ml_new_X (…)\nSELECT …\nFROM X;`, from SELECT on.
 */
static char *copied_columns(const char *sql, const char *table)
{
    char *insert = xasprintf("INSERT INTO _ml_new_%s (", table);
    const char *at = strstr(sql, insert);
    free(insert);
    const char *list = at ? strstr(at, "\nSELECT ") : NULL;
    const char *end = list ? strstr(list, "\nFROM ") : NULL;
    return end ? xstrndup(list + 8, (size_t)(end - list - 8)) : xstrdup("");
}

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* True when name stands in text as a word. */
static bool has_word(const char *text, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = text; (p = strstr(p, name)); p += n)
        if ((p == text || !is_name_char(p[-1])) && !is_name_char(p[n]))
            return true;
    return false;
}

static bool check_columns(struct db *db, int order, const char *table, struct err *e)
{
    struct db_columns columns;
    if (!db_table_columns(db, table, &columns, e))
        return false;
    char *copied = copied_columns(schema_revisions[order].sqlite, table);
    bool ok = true;
    for (int i = 0; ok && i < columns.n; i++)
        if (!columns.items[i].generated && !has_word(copied, columns.items[i].name)) {
            ok = err_set(e, table, "revision %s rebuilds this table, and column %s is not MLflow's",
                         schema_revisions[order].revision, columns.items[i].name);
            err_hint(e, "keep its values elsewhere and drop the column, or add it again afterwards");
        }
    free(copied);
    db_columns_free(&columns);
    return ok;
}

/* True when some revision makes an object of that name: then MLflow decides whether it is there. */
static bool is_mlflows(const char *name)
{
    for (int i = 0; i <= schema_head; i++)
        if (has_word(schema_revisions[i].sqlite, name))
            return true;
    return false;
}

static bool save_table(struct db *db, const char *table, struct schema_extras *x, struct err *e)
{
    struct db_stmt *s = db_prepare(db,
                                   "SELECT name, sql FROM sqlite_schema\n"
                                   "WHERE tbl_name = ?1 AND type IN ('index', 'trigger') AND sql IS NOT NULL",
                                   e);
    if (!s)
        return false;
    struct value v = value_str(table);
    db_bind(s, 1, &v);
    int row;
    while ((row = db_step(s, e)) == 1) {
        struct value name, sql;
        db_column(s, 0, &name);
        db_column(s, 1, &sql);
        x->items = xrealloc(x->items, (size_t)(x->n + 1) * sizeof *x->items);
        struct schema_extra *extra = &x->items[x->n++];
        extra->name = xstrndup(name.s, name.len);
        extra->sql = xstrndup(sql.s, sql.len);
        if (is_mlflows(extra->name)) {
            x->n--;
            free(extra->name);
            free(extra->sql);
        }
    }
    db_finalize(s);
    return row == 0;
}

bool schema_extras_save(struct db *db, int order, struct schema_extras *x, struct err *e)
{
    *x = (struct schema_extras){0};
    if (db_dialect(db) != DIALECT_SQLITE)
        return true;
    const char *text = schema_revisions[order].sqlite;
    char *table;
    bool ok = true;
    while (ok && (table = next_rebuilt(&text))) {
        ok = check_columns(db, order, table, e) && save_table(db, table, x, e);
        free(table);
    }
    return ok;
}

bool schema_extras_restore(struct db *db, const struct schema_extras *x, struct err *e)
{
    for (int i = 0; i < x->n; i++) {
        struct err why;
        if (db_exec(db, x->items[i].sql, &why))
            continue;
        err_set(e, x->items[i].name,
                "this index or trigger is not MLflow's and does not fit the new table: %.1000s", why.what);
        return err_hint(e, "drop it before the upgrade");
    }
    return true;
}

void schema_extras_free(struct schema_extras *x)
{
    for (int i = 0; i < x->n; i++) {
        free(x->items[i].name);
        free(x->items[i].sql);
    }
    free(x->items);
    *x = (struct schema_extras){0};
}
