/* A database's structure as facts: lists of them, reading facts, and those expected at a revision. */
#include "formats/schema/shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "formats/schema/internal.h"
#include "formats/schema/model.h"
#include "formats/schema/create_text.h"
#include "formats/schema/model_postgres.h"
#include "formats/schema/queries.h"

/* -- facts */

void schema_shape_add(struct schema_shape *s, const char *table, size_t table_len, const char *text,
                      size_t len)
{
    /* The capacity doubles and follows from n. */
    if ((s->n & (s->n - 1)) == 0)
        s->facts = xrealloc(s->facts, (s->n ? 2 * (size_t)s->n : 1) * sizeof *s->facts);
    s->facts[s->n++] = (struct schema_fact){
        .table = xstrndup(table, table_len), .dialect = s->dialect, .text = xstrndup(text, len)};
}

static int compare_facts(const void *a, const void *b)
{
    const struct schema_fact *x = a, *y = b;
    int c = strcmp(x->table, y->table);
    return c ? c : strcmp(x->text, y->text);
}

void schema_shape_sort(struct schema_shape *s)
{
    if (s->n)
        qsort(s->facts, (size_t)s->n, sizeof *s->facts, compare_facts);
}

void schema_shape_free(struct schema_shape *s)
{
    for (int i = 0; i < s->n; i++) {
        free(s->facts[i].table);
        free(s->facts[i].text);
    }
    free(s->facts);
    *s = (struct schema_shape){0};
}

void schema_shape_digest(const struct schema_shape *s, char out[SCHEMA_DIGEST])
{
    struct buf text = {0};
    for (int i = 0; i < s->n; i++) {
        buf_add(&text, s->facts[i].table, strlen(s->facts[i].table) + 1);
        buf_add(&text, s->facts[i].text, strlen(s->facts[i].text) + 1);
    }
    XXH128_hash_t h = XXH3_128bits(buf_str(&text), text.len);
    snprintf(out, SCHEMA_DIGEST, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64, (uint64_t)h.low64);
    buf_free(&text);
}

const struct schema_fact *schema_shape_find(const struct schema_shape *s, const char *table, const char *text)
{
    struct schema_fact key = {.table = (char *)(uintptr_t)table, .text = (char *)(uintptr_t)text};
    return s->n ? bsearch(&key, s->facts, (size_t)s->n, sizeof key, compare_facts) : NULL;
}

bool schema_shape_has_table(const struct schema_shape *s, const char *table)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->facts[i].table, table) == 0)
            return true;
    return false;
}

bool schema_fact_is(const struct schema_fact *f, const char *kind)
{
    size_t n = strlen(kind);
    return strncmp(f->text, kind, n) == 0 && f->text[n] == ' ';
}

char *schema_fact_name(const struct schema_fact *f)
{
    const char *name = f->text + strcspn(f->text, " ");
    name += *name == ' ';
    return xstrndup(name, strcspn(name, " "));
}

const struct schema_fact *schema_shape_column(const struct schema_shape *s, const char *table,
                                              const char *column)
{
    size_t n = strlen(column);
    for (int i = 0; i < s->n; i++) {
        const struct schema_fact *f = &s->facts[i];
        if (strcmp(f->table, table) == 0 && schema_fact_is(f, "column") &&
            strncmp(f->text + 7, column, n) == 0 && f->text[7 + n] == ' ')
            return f;
    }
    return NULL;
}

/* -- reading facts */

/* Each query returns rows of a table and a fact, or of a table, the beginning of a fact, the CREATE statement
 * with the rest, and a column. */
static const char sqlite_tables[] =
    "SELECT m.name, '', m.sql, '' FROM sqlite_schema m WHERE m.type = 'table' AND m.rootpage > 0";
static const char sqlite_triggers[] =
    "SELECT tbl_name, 'trigger ' || name || ' ', sql, '' FROM sqlite_schema WHERE type = 'trigger'";

static bool is_foreign(const struct value *table)
{
    return value_eqs(table, "alembic_version") || (table->len > 7 && memcmp(table->s, "sqlite_", 7) == 0);
}

/* A row of such a query. */
struct found {
    struct schema_shape *out;
    struct value table, text;
    struct db_stmt *row;
};
/* Converts a row to facts. */
typedef void add_row(const struct found *f);

static void add_fact(const struct found *f, const struct buf *fact)
{
    schema_shape_add(f->out, f->table.s, f->table.len, buf_str(fact), fact->len);
}

static void add_text(const struct found *f)
{
    schema_shape_add(f->out, f->table.s, f->table.len, f->text.s, f->text.len);
}

static struct sql_text create_statement(const struct found *f)
{
    struct value sql;
    db_column(f->row, 2, &sql);
    return (struct sql_text){sql.s, sql.s + sql.len, f->out->dialect};
}

static void add_column(const struct found *f)
{
    struct value column;
    struct buf fact = {0};
    db_column(f->row, 3, &column);
    char *name = xstrndup(column.s, column.len);
    buf_add(&fact, f->text.s, f->text.len);
    schema_text_column(create_statement(f), name, &fact);
    add_fact(f, &fact);
    buf_free(&fact);
    free(name);
}

static void add_trigger(const struct found *f)
{
    struct buf fact = {0};
    buf_add(&fact, f->text.s, f->text.len);
    sql_normal(create_statement(f), &fact);
    add_fact(f, &fact);
    buf_free(&fact);
}

static void add_table_fact(const char *fact, void *arg)
{
    const struct found *f = arg;
    schema_shape_add(f->out, f->table.s, f->table.len, fact, strlen(fact));
}

static void add_table(const struct found *f)
{
    struct found copy = *f;
    schema_text_table(create_statement(f), add_table_fact, &copy);
}

static bool read_facts(struct db *db, const char *query, add_row *add, struct schema_shape *out,
                       struct err *e)
{
    struct found f = {.out = out, .row = db_prepare(db, query, e)};
    if (!f.row)
        return false;
    int row;
    while ((row = db_step(f.row, e)) == 1) {
        db_column(f.row, 0, &f.table);
        db_column(f.row, 1, &f.text);
        if (value_is_text(&f.text) && !is_foreign(&f.table))
            add(&f);
    }
    db_finalize(f.row);
    return row == 0;
}

bool schema_shape_read(struct db *db, struct schema_shape *out, struct err *e)
{
    *out = (struct schema_shape){.dialect = db_dialect(db)};
    bool ok;
    if (db_dialect(db) == DIALECT_SQLITE)
        ok = read_facts(db, schema_shape_keys_sqlite, add_text, out, e) &&
             read_facts(db, schema_shape_columns_sqlite, add_column, out, e) &&
             read_facts(db, sqlite_tables, add_table, out, e) &&
             read_facts(db, sqlite_triggers, add_trigger, out, e);
    else
        ok = read_facts(db, schema_shape_postgresql, add_text, out, e) &&
             read_facts(db, schema_shape_triggers_postgresql, add_trigger, out, e);
    schema_shape_sort(out);
    if (!ok)
        schema_shape_free(out);
    return ok;
}

/* -- expected facts */

bool schema_shape_expected(struct db *db, int rev, struct schema_shape *out, struct err *e)
{
    *out = (struct schema_shape){0};
    bool wide = false;
    if (db_dialect(db) == DIALECT_POSTGRESQL)
        return schema_is_wide(db, &wide, e) && schema_model_postgres(rev, wide, out, e);
    struct db *model = schema_model(rev, e);
    bool ok = model && schema_shape_read(model, out, e);
    db_close(model);
    return ok;
}
