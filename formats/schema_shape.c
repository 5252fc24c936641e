#include "schema_shape.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema_data.h"

/* ---- facts */

static void add_fact(struct schema_shape *s, const char *table, size_t table_len, const char *text,
                     size_t len)
{
    /* The room doubles; n alone tells how much there is. */
    if ((s->n & (s->n - 1)) == 0)
        s->facts = xrealloc(s->facts, (s->n ? 2 * (size_t)s->n : 1) * sizeof *s->facts);
    s->facts[s->n++] = (struct schema_fact){xstrndup(table, table_len), xstrndup(text, len)};
}

static int compare_facts(const void *a, const void *b)
{
    const struct schema_fact *x = a, *y = b;
    int c = strcmp(x->table, y->table);
    return c ? c : strcmp(x->text, y->text);
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

const struct schema_fact *schema_shape_find(const struct schema_shape *s, const char *table, const char *text)
{
    struct schema_fact key = {(char *)(uintptr_t)table, (char *)(uintptr_t)text};
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

/* ---- reading them */

/* Each gives rows of a table and a fact. A virtual table, which only a program that has its module can look
 * into, has no page of its own. */
static const char sqlite_facts[] =
    "SELECT m.name, 'column ' || c.name || ' ' || upper(c.type) || iif(c.\"notnull\", ' NOT NULL', '')\n"
    "    || coalesce(' DEFAULT ' || trim(c.dflt_value, ''''), '') || iif(c.hidden IN (2, 3), ' GENERATED', "
    "'')\n"
    "FROM sqlite_schema m, pragma_table_xinfo(m.name) c WHERE m.type = 'table' AND m.rootpage > 0\n"
    "UNION ALL SELECT t, 'primary key (' || group_concat(name, ', ') || ')' FROM (\n"
    "    SELECT m.name AS t, c.name AS name FROM sqlite_schema m, pragma_table_info(m.name) c\n"
    "    WHERE m.type = 'table' AND m.rootpage > 0 AND c.pk > 0 ORDER BY m.name, c.pk) GROUP BY t\n"
    "UNION ALL SELECT t, iif(origin = 'u', 'unique', 'index ' || i || iif(u, ' unique', '') || ' on')\n"
    "    || ' (' || group_concat(name || iif(descending, ' DESC', ''), ', ') || ')' || iif(partial, ' "
    "partial', '') FROM (\n"
    "    SELECT m.name AS t, l.name AS i, l.origin AS origin, l.\"unique\" AS u, l.partial AS partial,\n"
    "        coalesce(x.name, 'expression') AS name, x.\"desc\" AS descending\n"
    "    FROM sqlite_schema m, pragma_index_list(m.name) l, pragma_index_xinfo(l.name) x\n"
    "    WHERE m.type = 'table' AND m.rootpage > 0 AND l.origin <> 'pk' AND x.key ORDER BY m.name, l.name, "
    "x.seqno) GROUP BY t, "
    "i\n"
    "UNION ALL SELECT t, 'foreign key (' || group_concat(f, ', ') || ') references ' || target || ' ('\n"
    "    || group_concat(c, ', ') || ') on update ' || u || ' on delete ' || d FROM (\n"
    "    SELECT m.name AS t, k.id AS id, k.\"from\" AS f, k.\"table\" AS target, k.\"to\" AS c, k.on_update "
    "AS u,\n"
    "        k.on_delete AS d\n"
    "    FROM sqlite_schema m, pragma_foreign_key_list(m.name) k WHERE m.type = 'table' AND m.rootpage > 0\n"
    "    ORDER BY m.name, k.id, k.seq) GROUP BY t, id\n"
    "UNION ALL SELECT tbl_name, 'trigger ' || name FROM sqlite_schema WHERE type = 'trigger'";

static const char postgres_facts[] =
    "SELECT c.relname::text, 'column ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)\n"
    "    || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END\n"
    "    || coalesce(CASE WHEN a.attgenerated = '' THEN ' DEFAULT ' ELSE ' GENERATED ' END\n"
    "                || pg_get_expr(d.adbin, d.adrelid), '')\n"
    "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped\n"
    "LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum\n"
    "WHERE c.relkind IN ('r', 'p') AND c.relnamespace = quote_ident(current_schema())::regnamespace\n"
    "UNION ALL SELECT c.relname::text, CASE k.contype WHEN 'p' THEN 'primary key ' WHEN 'u' THEN 'unique '\n"
    "    WHEN 'f' THEN 'foreign key ' ELSE 'check ' END\n"
    "    || regexp_replace(pg_get_constraintdef(k.oid), '^(PRIMARY KEY|UNIQUE|FOREIGN KEY|CHECK) ', '')\n"
    "FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid\n"
    "WHERE k.contype IN ('p', 'u', 'f', 'c') AND c.relnamespace = "
    "quote_ident(current_schema())::regnamespace\n"
    "UNION ALL SELECT c.relname::text, 'index ' || i.relname || CASE WHEN x.indisunique THEN ' unique' ELSE "
    "'' END || ' on '\n"
    "    || regexp_replace(pg_get_indexdef(i.oid), '^.* USING ', '')\n"
    "FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid\n"
    "WHERE c.relnamespace = quote_ident(current_schema())::regnamespace\n"
    "    AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN "
    "('p', 'u'))\n"
    "UNION ALL SELECT c.relname::text, 'trigger ' || t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = "
    "t.tgrelid\n"
    "WHERE NOT t.tgisinternal AND c.relnamespace = quote_ident(current_schema())::regnamespace";

static bool is_foreign(const struct value *table)
{
    return value_eqs(table, "alembic_version") || (table->len > 7 && memcmp(table->s, "sqlite_", 7) == 0);
}

static bool read_facts(struct db *db, const char *query, struct schema_shape *out, struct err *e)
{
    struct db_stmt *s = db_prepare(db, query, e);
    if (!s)
        return false;
    int row;
    while ((row = db_step(s, e)) == 1) {
        struct value table, text;
        db_column(s, 0, &table);
        db_column(s, 1, &text);
        if (value_is_text(&text) && !is_foreign(&table))
            add_fact(out, table.s, table.len, text.s, text.len);
    }
    db_finalize(s);
    return row == 0;
}

/* The end of what begins at s: a quoted text, or brackets with all that is in them; else the next character.
 */
static const char *skip_piece(const char *s, const char *end)
{
    if (*s == '\'' || *s == '"' || *s == '`') {
        const char *close = memchr(s + 1, *s, (size_t)(end - s - 1));
        return close ? close + 1 : end;
    }
    if (*s != '(')
        return s + 1;
    for (s++; s < end && *s != ')';)
        s = skip_piece(s, end);
    return s < end ? s + 1 : end;
}

/* Adds the expression without spaces and quoted names' quotes, outside of texts. */
static void add_expression(struct buf *b, const char *s, const char *end)
{
    while (s < end) {
        if (*s == '\'') {
            const char *after = skip_piece(s, end);
            buf_add(b, s, (size_t)(after - s));
            s = after;
            continue;
        }
        if (!isspace((unsigned char)*s) && *s != '"')
            buf_addc(b, *s);
        s++;
    }
}

/* CHECKs, which SQLite keeps in the text of CREATE TABLE alone. */
static void add_checks(struct schema_shape *out, const struct value *table, const struct value *sql)
{
    const char *end = sql->s + sql->len;
    const char *s = memchr(sql->s, '(', sql->len);
    for (s = s ? s + 1 : end; s < end;) {
        bool word =
            end - s > 5 && strncasecmp(s, "CHECK", 5) == 0 && !isalnum((unsigned char)s[-1]) && s[-1] != '_';
        const char *open = word ? s + 5 + strspn(s + 5, " \t\r\n") : end;
        if (open >= end || *open != '(') {
            s = skip_piece(s, end);
            continue;
        }
        s = skip_piece(open, end);
        struct buf text = {0};
        buf_adds(&text, "check ");
        add_expression(&text, open, s);
        add_fact(out, table->s, table->len, text.data, text.len);
        buf_free(&text);
    }
}

static bool read_checks(struct db *db, struct schema_shape *out, struct err *e)
{
    struct db_stmt *s =
        db_prepare(db, "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL", e);
    if (!s)
        return false;
    int row;
    while ((row = db_step(s, e)) == 1) {
        struct value table, sql;
        db_column(s, 0, &table);
        db_column(s, 1, &sql);
        if (!is_foreign(&table))
            add_checks(out, &table, &sql);
    }
    db_finalize(s);
    return row == 0;
}

bool schema_shape_read(struct db *db, struct schema_shape *out, struct err *e)
{
    *out = (struct schema_shape){0};
    bool sqlite = db_dialect(db) == DIALECT_SQLITE;
    bool ok = read_facts(db, sqlite ? sqlite_facts : postgres_facts, out, e) &&
              (!sqlite || read_checks(db, out, e));
    if (out->n)
        qsort(out->facts, (size_t)out->n, sizeof *out->facts, compare_facts);
    if (!ok)
        schema_shape_free(out);
    return ok;
}

/* ---- what they should be */

struct db *schema_memory(struct err *e)
{
    struct db_url memory = {
        .dialect = DIALECT_SQLITE, .path = (char[]){":memory:"}, .display = (char[]){"memory"}};
    return db_open(&memory, DB_CREATE, e);
}

struct db *schema_model(int order, struct err *e)
{
    struct db *db = schema_memory(e);
    if (db && !schema_create(db, order, e)) {
        db_close(db);
        return NULL;
    }
    return db;
}

/* A schema of its own in the database, gone again with the transaction. */
static bool expected_postgres(struct db *db, int order, struct schema_shape *out, struct err *e)
{
    char *begin = xasprintf(
        "BEGIN READ WRITE; CREATE SCHEMA ml_schema_model_%ld; SET LOCAL search_path = ml_schema_model_%ld",
        (long)getpid(), (long)getpid());
    bool wide = false;
    bool ok = schema_is_wide(db, &wide, e), made = ok && db_exec(db, begin, e);
    if (ok && !made)
        err_hint(e, "to compare, a schema is made in the database and rolled back: the role needs CREATE on "
                    "the database");
    ok = made && (wide ? schema_create_wide : schema_create)(db, order, e) && schema_shape_read(db, out, e);
    db_rollback(db);
    free(begin);
    return ok;
}

bool schema_shape_expected(struct db *db, int order, struct schema_shape *out, struct err *e)
{
    *out = (struct schema_shape){0};
    if (db_dialect(db) == DIALECT_POSTGRESQL)
        return expected_postgres(db, order, out, e);
    struct db *model = schema_model(order, e);
    bool ok = model && schema_shape_read(model, out, e);
    db_close(model);
    return ok;
}

/* ---- checking */

struct checker {
    schema_report *report;
    void *arg;
    int findings;
};

static void find(struct checker *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void find(struct checker *c, const char *fmt, ...)
{
    struct buf line = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vaddf(&line, fmt, ap);
    va_end(ap);
    c->report(buf_str(&line), c->arg);
    c->findings++;
    buf_free(&line);
}

static void check_missing(struct checker *c, const struct schema_shape *expected,
                          const struct schema_shape *real)
{
    const char *missing = "";
    for (int i = 0; i < expected->n; i++) {
        const struct schema_fact *f = &expected->facts[i];
        if (strcmp(f->table, missing) == 0 || schema_shape_find(real, f->table, f->text))
            continue;
        if (!schema_shape_has_table(real, f->table)) {
            missing = f->table;
            find(c, "table %s is missing", f->table);
            continue;
        }
        char *name = schema_fact_name(f);
        const struct schema_fact *other =
            schema_fact_is(f, "column") ? schema_shape_column(real, f->table, name) : NULL;
        if (other)
            find(c, "table %s: %s, should be: %s", f->table, other->text, f->text);
        else
            find(c, "table %s: missing: %s", f->table, f->text);
        free(name);
    }
}

/* Of what is there beside MLflow's own only what can refuse MLflow's rows is drift. */
static bool may_refuse_rows(const struct schema_fact *f)
{
    return schema_fact_is(f, "check") || schema_fact_is(f, "unique") || schema_fact_is(f, "foreign key") ||
           (schema_fact_is(f, "column") && strstr(f->text, " NOT NULL") && !strstr(f->text, " DEFAULT "));
}

static void check_extra(struct checker *c, const struct schema_shape *expected,
                        const struct schema_shape *real)
{
    for (int i = 0; i < real->n; i++) {
        const struct schema_fact *f = &real->facts[i];
        char *name = schema_fact_name(f);
        bool known = schema_shape_find(expected, f->table, f->text) ||
                     (schema_fact_is(f, "column") && schema_shape_column(expected, f->table, name));
        if (!known && schema_shape_has_table(expected, f->table) && may_refuse_rows(f))
            find(c, "table %s: not MLflow's: %s", f->table, f->text);
        free(name);
    }
}

bool schema_check(struct db *db, int order, schema_report *report, void *arg, int *findings, struct err *e)
{
    struct schema_shape expected, real;
    if (!schema_shape_read(db, &real, e))
        return false;
    bool ok = schema_shape_expected(db, order, &expected, e);
    if (ok) {
        struct checker c = {report, arg, 0};
        check_missing(&c, &expected, &real);
        check_extra(&c, &expected, &real);
        *findings = c.findings;
        schema_shape_free(&expected);
    }
    schema_shape_free(&real);
    return ok;
}

/* ---- the revision that a structure belongs to */

/* How many tables and columns one has and the other has not; types and all else left aside, since dialects
 * differ in them. */
static int columns_apart(const struct schema_shape *a, const struct schema_shape *b)
{
    int apart = 0;
    for (int i = 0; i < a->n; i++) {
        if (!schema_fact_is(&a->facts[i], "column"))
            continue;
        char *name = schema_fact_name(&a->facts[i]);
        apart += !schema_shape_column(b, a->facts[i].table, name);
        free(name);
    }
    return apart;
}

bool schema_nearest(struct db *db, int *order, struct err *e)
{
    struct schema_shape real;
    if (!schema_shape_read(db, &real, e))
        return false;
    struct db *model = schema_model(0, e);
    bool ok = model != NULL;
    int best = -1;
    for (int i = 0; ok && i <= schema_head; i++) {
        struct schema_shape expected;
        ok = (i == 0 || schema_step(model, i, NULL, e)) && schema_shape_read(model, &expected, e);
        if (!ok)
            break;
        int apart = columns_apart(&real, &expected) + columns_apart(&expected, &real);
        if (best < 0 || apart <= best) {
            best = apart;
            *order = i;
        }
        schema_shape_free(&expected);
    }
    db_close(model);
    schema_shape_free(&real);
    return ok;
}
