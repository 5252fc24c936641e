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

/* ---- facts */

void schema_shape_add(struct schema_shape *s, const char *table, size_t table_len, const char *text,
                      size_t len)
{
    /* The room doubles; n alone tells how much there is. */
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

/* ---- reading them */

/* Each query gives rows of a table and a fact. A virtual table, which only a program that has its module can
 * look into, has no page of its own. */
#define SQLITE_TABLE     "m.type = 'table' AND m.rootpage > 0"
#define SQLITE_COLLATION "iif(upper(x.coll) = 'BINARY', '', ' COLLATE ' || upper(x.coll))"

static const char sqlite_keys[] =
    "SELECT t, 'primary key (' || group_concat(name || collation, ', ') || ')' FROM (\n"
    "    SELECT m.name AS t, c.name AS name, coalesce((SELECT " SQLITE_COLLATION "\n"
    "        FROM pragma_index_list(m.name) l, pragma_index_xinfo(l.name) x\n"
    "        WHERE l.origin = 'pk' AND x.key AND x.cid = c.cid), '') AS collation\n"
    "    FROM sqlite_schema m, pragma_table_info(m.name) c\n"
    "    WHERE " SQLITE_TABLE " AND c.pk > 0 ORDER BY m.name, c.pk) GROUP BY t\n"
    "UNION ALL SELECT t, iif(origin = 'u', 'unique', 'index ' || i || iif(u, ' unique', '') || ' on')\n"
    "    || ' (' || group_concat(name, ', ') || ')' || iif(partial, ' partial', '') FROM (\n"
    "    SELECT m.name AS t, l.name AS i, l.origin AS origin, l.\"unique\" AS u, l.partial AS partial,\n"
    "        coalesce(x.name, 'expression') || " SQLITE_COLLATION " || iif(x.\"desc\", ' DESC', '') AS name\n"
    "    FROM sqlite_schema m, pragma_index_list(m.name) l, pragma_index_xinfo(l.name) x\n"
    "    WHERE " SQLITE_TABLE " AND l.origin <> 'pk' AND x.key ORDER BY m.name, l.name, x.seqno)\n"
    "GROUP BY t, i\n"
    "UNION ALL SELECT t, 'foreign key (' || group_concat(f, ', ') || ') references ' || target || ' ('\n"
    "    || group_concat(c, ', ') || ') on update ' || u || ' on delete ' || d FROM (\n"
    "    SELECT m.name AS t, k.id AS id, k.\"from\" AS f, k.\"table\" AS target, coalesce(k.\"to\", '') AS "
    "c,\n"
    "        k.on_update AS u, k.on_delete AS d\n"
    "    FROM sqlite_schema m, pragma_foreign_key_list(m.name) k WHERE " SQLITE_TABLE "\n"
    "    ORDER BY m.name, k.id, k.seq) GROUP BY t, id";

/* These give the beginning of a fact, the text of the CREATE statement that has the rest, and a column. */
static const char sqlite_columns[] =
    "SELECT m.name, 'column ' || c.name || ' ' || upper(c.type) || iif(c.\"notnull\", ' NOT NULL', '')\n"
    "    || coalesce(' DEFAULT ' || trim(c.dflt_value, ''''), ''), m.sql, c.name\n"
    "FROM sqlite_schema m, pragma_table_xinfo(m.name) c WHERE " SQLITE_TABLE;
static const char sqlite_tables[] = "SELECT m.name, '', m.sql, '' FROM sqlite_schema m WHERE " SQLITE_TABLE;
static const char sqlite_triggers[] =
    "SELECT tbl_name, 'trigger ' || name || ' ', sql, '' FROM sqlite_schema WHERE type = 'trigger'";

/* The server writes a list of texts in two ways, and makes the second of the first when it reads it anew (in
 * a dump, or for a column that gets another type): a cast of the whole, or of each text. */
#define POSTGRES_CHECK                                                                                       \
    "regexp_replace(regexp_replace(regexp_replace(substr(pg_get_constraintdef(k.oid), 7),\n"                 \
    "    '::(character varying|text)(\\[\\])?', '', 'g'),\n"                                                 \
    "    '(^|[^[:alnum:]_])\\(([[:alnum:]_]+|''[^'']*'')\\)', '\\1\\2', 'g'),\n"                             \
    "    '\\(\\((ARRAY\\[[^]]*\\])\\)\\)', '(\\1)', 'g')"

/* A definition without the quotes that only some names need, as SQLite's facts have them. */
#define WITHOUT_QUOTES(definition) "regexp_replace(" definition ", '\"([a-z_][a-z0-9_]*)\"', '\\1', 'g')"
#define CONSTRAINT_FROM(n)         WITHOUT_QUOTES("substr(pg_get_constraintdef(k.oid), " #n ")")

#define POSTGRES_TABLES                                                                                      \
    "WITH t AS (SELECT oid, relname::text AS name FROM pg_class WHERE relkind IN ('r', 'p')\n"               \
    "    AND relnamespace = quote_ident(current_schema())::regnamespace)\n"

static const char postgres_facts[] = POSTGRES_TABLES
    "SELECT t.name, 'column ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)\n"
    "    || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END\n"
    "    || coalesce(CASE WHEN a.attgenerated = '' THEN ' DEFAULT ' ELSE ' GENERATED ' END\n"
    "                || pg_get_expr(d.adbin, d.adrelid), '')\n"
    "    || CASE a.attidentity WHEN 'd' THEN ' GENERATED BY DEFAULT AS IDENTITY'\n"
    "                          WHEN 'a' THEN ' GENERATED ALWAYS AS IDENTITY' ELSE '' END\n"
    "    || CASE WHEN a.attcollation = y.typcollation THEN '' ELSE ' COLLATE ' || l.collname END\n"
    "FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped\n"
    "JOIN pg_type y ON y.oid = a.atttypid LEFT JOIN pg_collation l ON l.oid = a.attcollation\n"
    "LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum\n"
    "UNION ALL SELECT t.name, CASE k.contype WHEN 'c' THEN 'check ' || " POSTGRES_CHECK "\n"
    "    WHEN 'p' THEN 'primary key ' || " CONSTRAINT_FROM(
        13) "\n"
            "    WHEN 'u' THEN 'unique ' || " CONSTRAINT_FROM(
                8) "\n"
                   "    WHEN 'f' THEN 'foreign key ' || " CONSTRAINT_FROM(
                       13) "\n"
                           "    ELSE 'exclude ' || " CONSTRAINT_FROM(
                               9) " END\n"
                                  "FROM pg_constraint k JOIN t ON t.oid = k.conrelid WHERE k.contype IN "
                                  "('c', 'p', 'u', 'f', 'x')\n"
                                  "UNION ALL SELECT t.name, 'index ' || i.relname || CASE WHEN x.indisunique "
                                  "THEN ' unique' ELSE '' END\n"
                                  "    || ' on ' || " WITHOUT_QUOTES(
                                      "regexp_replace(regexp_replace(pg_get_indexdef(i.oid), '^.* USING ', "
                                      "''),"
                                      " ' WITH \\([^)]*\\)', '')") "\n"
                                                                   "    || CASE WHEN x.indisvalid THEN '' "
                                                                   "ELSE ' INVALID' END\n"
                                                                   "FROM pg_index x JOIN t ON t.oid = "
                                                                   "x.indrelid JOIN pg_class i ON i.oid = "
                                                                   "x.indexrelid\n"
                                                                   "WHERE NOT EXISTS (SELECT 1 FROM "
                                                                   "pg_constraint k WHERE k.conindid = "
                                                                   "x.indexrelid\n"
                                                                   "    AND k.contype IN ('p', 'u', 'x'))\n"
                                                                   "UNION ALL SELECT t.name, 'row security' "
                                                                   "FROM t WHERE row_security_active(t.oid)\n"
                                                                   /* whose rows are gone after a crash */
                                                                   "UNION ALL SELECT t.name, 'options "
                                                                   "UNLOGGED' FROM t JOIN pg_class c ON "
                                                                   "c.oid = t.oid WHERE c.relpersistence = "
                                                                   "'u'";

/* As for SQLite's: the beginning of a fact, and the text that has the rest. */
static const char postgres_triggers[] = POSTGRES_TABLES
    "SELECT t.name, 'trigger ' || g.tgname || ' ', CASE WHEN g.tgenabled IN ('D', 'R') THEN 'disabled'\n"
    "    ELSE pg_get_triggerdef(g.oid, true) || ' ' || f.prosrc END\n"
    "FROM pg_trigger g JOIN t ON t.oid = g.tgrelid JOIN pg_proc f ON f.oid = g.tgfoid\n"
    "WHERE NOT g.tgisinternal\n"
    "UNION ALL SELECT t.name, 'rule ' || w.rulename || ' ', CASE WHEN w.ev_enabled IN ('D', 'R') THEN "
    "'disabled'\n"
    "    ELSE pg_get_ruledef(w.oid, true) END\n"
    "FROM pg_rewrite w JOIN t ON t.oid = w.ev_class";

static bool is_foreign(const struct value *table)
{
    return value_eqs(table, "alembic_version") || (table->len > 7 && memcmp(table->s, "sqlite_", 7) == 0);
}

/* A row that a query gives: a table, a text, and what more there is of it. */
struct found {
    struct schema_shape *out;
    struct value table, text;
    struct db_stmt *row;
};
/* Makes facts of it. */
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
        ok = read_facts(db, sqlite_keys, add_text, out, e) &&
             read_facts(db, sqlite_columns, add_column, out, e) &&
             read_facts(db, sqlite_tables, add_table, out, e) &&
             read_facts(db, sqlite_triggers, add_trigger, out, e);
    else
        ok = read_facts(db, postgres_facts, add_text, out, e) &&
             read_facts(db, postgres_triggers, add_trigger, out, e);
    schema_shape_sort(out);
    if (!ok)
        schema_shape_free(out);
    return ok;
}

/* ---- what they should be */

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
