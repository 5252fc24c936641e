#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "formats/schema/internal.h"
#include "formats/schema/user_objects.h"

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

void schema_rebuilt_tables(int rev, struct buf *out)
{
    const char *text = schema_revisions[rev].sqlite;
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

static bool check_columns(struct db *db, int rev, const char *table, struct err *e)
{
    struct db_columns columns;
    if (!db_table_columns(db, table, &columns, e))
        return false;
    char *copied = copied_columns(schema_revisions[rev].sqlite, table);
    bool ok = true;
    for (int i = 0; ok && i < columns.n; i++)
        if (!has_word(copied, columns.items[i].name)) {
            ok = err_set(e, table, "revision %s rebuilds this table, and column %s is not MLflow's",
                         schema_revisions[rev].revision, columns.items[i].name);
            err_hint(e, "keep its values elsewhere and drop the column, or add it again afterwards");
        }
    free(copied);
    db_columns_free(&columns);
    return ok;
}

/* Goes to the next index or trigger that a text creates: the length of its name at *name, 0 when there is
 * none. *text moves behind it. */
static size_t next_created(const char **text, const char **name)
{
    for (const char *line = *text; *line; line += *line == '\n') {
        const char *at = line;
        line += strcspn(line, "\n");
        if (strncmp(at, "CREATE ", 7) != 0)
            continue;
        at += strncmp(at + 7, "UNIQUE ", 7) == 0 ? 14 : 7;
        size_t kind = strncmp(at, "INDEX ", 6) == 0 ? 6 : strncmp(at, "TRIGGER ", 8) == 0 ? 8 : 0;
        *name = at + kind;
        *text = line;
        if (kind > 0)
            return strcspn(*name, " \n");
    }
    return 0;
}

/* True when a revision before that one makes an index or a trigger of that name: then the rebuild makes it
 * anew, or leaves it out. */
static bool is_mlflows(const char *name, int rev)
{
    for (int i = 0; i < rev; i++) {
        const char *text = schema_revisions[i].sqlite, *made;
        size_t n;
        while ((n = next_created(&text, &made)) > 0)
            if (strlen(name) == n && strncasecmp(name, made, n) == 0)
                return true;
    }
    return false;
}

static bool save_table(struct db *db, int rev, const char *table, struct schema_extras *x, struct err *e)
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
        if (is_mlflows(extra->name, rev)) {
            x->n--;
            free(extra->name);
            free(extra->sql);
        }
    }
    db_finalize(s);
    return row == 0;
}

bool schema_extras_save(struct db *db, int rev, struct schema_extras *x, struct err *e)
{
    *x = (struct schema_extras){0};
    if (db_dialect(db) != DIALECT_SQLITE)
        return true;
    const char *text = schema_revisions[rev].sqlite;
    char *table;
    bool ok = true;
    while (ok && (table = next_rebuilt(&text))) {
        ok = check_columns(db, rev, table, e) && save_table(db, rev, table, x, e);
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

/* ---- for a script, which has no way to keep anything */

static void columns_query(int rev, const char *table, struct buf *query)
{
    char *copied = copied_columns(schema_revisions[rev].sqlite, table);
    buf_addf(query, "SELECT count(*) FROM pragma_table_xinfo('%s') WHERE hidden <> 1 AND name NOT IN (",
             table);
    for (const char *at = copied; *at; at += strspn(at, ", \n")) {
        size_t n = strcspn(at, ", \n");
        buf_addf(query, "%s'%.*s'", at == copied ? "" : ", ", (int)n, at);
        at += n;
    }
    buf_addc(query, ')');
    free(copied);
}

static void extras_query(int rev, const char *table, struct buf *query)
{
    buf_addf(query,
             "SELECT count(*) FROM sqlite_schema WHERE tbl_name = '%s' AND type IN ('index', 'trigger') "
             "AND sql IS NOT NULL AND lower(name) NOT IN (''",
             table);
    char *on = xasprintf(" ON %s (", table);
    for (int i = 0; i < rev; i++) {
        const char *text = schema_revisions[i].sqlite, *name;
        size_t n;
        while ((n = next_created(&text, &name)) > 0) {
            bool trigger = name[n] == '\n'; /* its table stands elsewhere */
            if (trigger || strncmp(name + n, on, strlen(on)) == 0)
                buf_addf(query, ", '%.*s'", (int)n, name);
        }
    }
    buf_addc(query, ')');
    free(on);
}

void schema_extras_each(int rev, void (*fn)(const char *query, const char *words, void *arg), void *arg)
{
    const char *text = schema_revisions[rev].sqlite;
    char *table;
    while ((table = next_rebuilt(&text))) {
        struct buf columns = {0}, extras = {0};
        char *of_column = xasprintf("table %s has a column that is not MLflow's", table);
        char *of_extra = xasprintf("table %s has an index or trigger that is not MLflow's", table);
        columns_query(rev, table, &columns);
        extras_query(rev, table, &extras);
        fn(buf_str(&columns), of_column, arg);
        fn(buf_str(&extras), of_extra, arg);
        buf_free(&columns);
        buf_free(&extras);
        free(of_column);
        free(of_extra);
        free(table);
    }
}
