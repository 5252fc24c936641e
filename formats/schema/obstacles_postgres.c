/* What would stop an upgrade on PostgreSQL, whose tables cannot be copied for a rehearsal: the catalog is
 * asked for what is in the way of what the revisions' texts make, change and need. */
#include <stdlib.h>
#include <string.h>

#include "formats/schema/internal.h"
#include "formats/schema/needs.h"

/* ---- the lists that the queries share */

/* Names are looked up in the current schema alone: further ones of the search path may hold MLflow's tables
 * too. */
static const char relations[] =
    "here AS (SELECT * FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace),\n"
    "tabs AS (SELECT *, relname::text AS tab FROM here WHERE relkind IN ('r', 'p')),\n"
    /* A table, its partitions and the tables that inherit from it: they change with it. */
    "family (tab, oid, head) AS (\n"
    "    SELECT tab, oid, true FROM tabs\n"
    "    UNION SELECT tab, inhrelid, false FROM family JOIN pg_inherits ON inhparent = family.oid)\n";

/* Columns that change their type or go, and keys and unique indexes that go. A column that a child has
 * declared itself stays there. */
static const char losses[] =
    ", columns AS (\n"
    "    SELECT a.attrelid, a.attnum, a.attname, c.how, c.n\n"
    "    FROM changed c JOIN family f ON f.tab = c.tab\n"
    "    JOIN pg_attribute a ON a.attrelid = f.oid AND a.attname = c.col AND NOT a.attisdropped\n"
    "    WHERE c.how = 'changes'\n"
    "        OR c.how = 'drops' AND (f.head OR a.attinhcount = 1 AND NOT a.attislocal)),\n"
    "lost AS (\n"
    "    SELECT c.oid AS con, c.conindid AS ind, c.conrelid AS tab, c.conname AS name, g.n\n"
    "    FROM gone g JOIN tabs t ON t.tab = g.tab\n"
    "    JOIN pg_constraint c ON c.conrelid = t.oid AND c.conname = g.name AND c.contype IN ('p', 'u')\n"
    "    UNION ALL\n"
    "    SELECT NULL, i.indexrelid, i.indrelid, x.relname, g.n\n"
    "    FROM gone g JOIN here x ON x.relname = g.name JOIN pg_index i ON i.indexrelid = x.oid\n"
    "    WHERE g.tab IS NULL\n"
    "    UNION ALL\n"
    "    SELECT c.oid, i.indexrelid, i.indrelid, x.relname, k.n\n"
    "    FROM replaced k JOIN tabs t ON t.tab = k.tab JOIN pg_index i ON i.indrelid = t.oid\n"
    "    JOIN pg_class x ON x.oid = i.indexrelid\n"
    "    LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u')\n"
    "    WHERE CASE WHEN k.col IS NULL THEN i.indisprimary\n"
    "        ELSE i.indisunique AND i.indnatts = 1 AND i.indpred IS NULL AND i.indkey[0] =\n"
    "            (SELECT attnum FROM pg_attribute WHERE attrelid = t.oid AND attname = k.col) END),\n"
    "lost_too (oid) AS (\n"
    "    SELECT c.oid FROM pg_constraint c\n"
    "    JOIN tabs a ON a.oid = c.conrelid JOIN tabs b ON b.oid = c.confrelid\n"
    "    WHERE c.contype = 'f' AND (a.tab, b.tab) IN (('model_versions', 'registered_models'),\n"
    "        ('registered_model_tags', 'registered_models'),\n"
    "        ('registered_model_aliases', 'registered_models'), ('model_version_tags', 'model_versions')))\n";

/* What depends on them. PostgreSQL makes indexes, constraints and statistics on a column anew when its type
 * changes, and drops them without a word with the column. */
static const char dependents[] =
    ", hindered AS (\n"
    "    SELECT d.classid, d.objid, d.objsubid, c.how, c.n,\n"
    "        format('column %I of table %s', c.attname, c.attrelid::regclass) AS place\n"
    "    FROM columns c JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.attrelid\n"
    "        AND d.refobjsubid = c.attnum\n"
    "    LEFT JOIN pg_attrdef own ON d.classid = 'pg_attrdef'::regclass AND own.oid = d.objid\n"
    "        AND own.adrelid = c.attrelid AND own.adnum = c.attnum\n"
    "    WHERE own.oid IS NULL AND CASE c.how WHEN 'drops' THEN d.deptype <> 'i'\n"
    "        ELSE d.classid IN ('pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass,\n"
    "                'pg_proc'::regclass, 'pg_publication_rel'::regclass, 'pg_attrdef'::regclass)\n"
    "            OR d.classid = 'pg_class'::regclass AND d.objsubid > 0 END\n"
    "    UNION ALL\n"
    "    SELECT d.classid, d.objid, d.objsubid, 'replaces', l.n,\n"
    "        format('%s %I of table %s', CASE WHEN l.con IS NULL THEN 'index' ELSE 'key' END, l.name,\n"
    "            l.tab::regclass)\n"
    "    FROM lost l JOIN pg_depend d ON d.refclassid = 'pg_constraint'::regclass AND d.refobjid = l.con\n"
    "        OR d.refclassid = 'pg_class'::regclass AND d.refobjid = l.ind AND d.refobjsubid = 0\n"
    "    WHERE d.deptype = 'n' AND NOT (d.classid = 'pg_constraint'::regclass AND d.objid IN\n"
    "        (SELECT oid FROM lost_too UNION ALL SELECT oid FROM pg_constraint WHERE conparentid <> 0)))\n";

/* ---- the queries: what is in the way; a word that leads to the revision, the revision, and what that does
 */

static const char names_query[] =
    "SELECT format('%s %I is not MLflow''s',\n"
    "    CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view'\n"
    "        WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index'\n"
    "        WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type'\n"
    "        ELSE 'relation' END, r.relname),\n"
    "    'and', min(m.n), 'makes one of that name'\n"
    "FROM made m JOIN here r ON r.relname = m.name\n"
    "LEFT JOIN pg_index i ON i.indexrelid = r.oid LEFT JOIN tabs t ON t.oid = i.indrelid\n"
    "WHERE NOT EXISTS (SELECT 1 FROM known WHERE known.name = m.name)\n"
    /* A table that may be there already has its keys. */
    "    AND NOT (m.may_be_there AND (r.relkind IN ('r', 'p') OR t.tab IS NOT DISTINCT FROM m.tab))\n"
    "GROUP BY r.relkind, r.relname\n"
    "UNION ALL\n" /* Every table has a type of its name; types of arrays make room. */
    "SELECT format('%s %I is not MLflow''s',\n"
    "    CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, t.typname),\n"
    "    'and', min(m.n), 'makes one of that name'\n"
    "FROM made m JOIN pg_type t ON t.typname = m.name\n"
    "WHERE m.tab = m.name AND t.typnamespace = quote_ident(current_schema())::regnamespace\n"
    "    AND t.typrelid = 0 AND t.typisdefined\n"
    "    AND NOT EXISTS (SELECT 1 FROM pg_type e WHERE e.typarray = t.oid)\n"
    "    AND NOT (m.may_be_there AND EXISTS (SELECT 1 FROM tabs WHERE tabs.tab = m.name))\n"
    "GROUP BY t.typtype, t.typname\n"
    "UNION ALL\n" /* One that can be replaced is. */
    "SELECT format('%s %s is not MLflow''s', CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,\n"
    "        p.oid::regprocedure), 'and', min(f.n), 'makes one of that name'\n"
    "FROM functions f JOIN pg_proc p ON p.proname = f.name\n"
    "WHERE p.pronamespace = quote_ident(current_schema())::regnamespace AND p.pronargs = 0\n"
    "    AND (p.prokind <> 'f' OR p.prorettype <> 'trigger'::regtype\n"
    "        OR NOT pg_has_role(p.proowner, 'USAGE'))\n"
    "GROUP BY p.prokind, p.oid\n"
    "UNION ALL\n" /* Of a key that has an index the index is found. */
    "SELECT format('constraint %I of table %I is not MLflow''s', c.conname, k.tab), 'and', min(k.n),\n"
    "    'makes one of that name'\n"
    "FROM keys k JOIN tabs t ON t.tab = k.tab JOIN pg_constraint c ON c.conrelid = t.oid\n"
    "    AND c.conname = k.name\n"
    "WHERE NOT k.of_new_table AND NOT (k.has_index AND c.contype IN ('p', 'u', 'x'))\n"
    "    AND NOT EXISTS (SELECT 1 FROM known_keys o WHERE o.tab = k.tab AND o.name = k.name)\n"
    "GROUP BY c.conname, k.tab\n"
    "UNION ALL\n"
    /* A column that is as MLflow makes it may be there where a revision says so, and in a child; but
     * is_numeric_value, which MLflow's own command makes without NOT NULL. */
    "SELECT format('column %I of table %s is not MLflow''s', a.attname, a.attrelid::regclass), 'and',\n"
    "    min(d.n), 'adds one of that name'\n"
    "FROM added d JOIN family f ON f.tab = d.tab\n"
    "JOIN pg_attribute a ON a.attrelid = f.oid AND a.attname = d.col AND NOT a.attisdropped\n"
    "WHERE f.head AND NOT d.may_be_there\n"
    "    OR replace(replace(upper(format_type(a.atttypid, a.atttypmod)), 'CHARACTER VARYING', 'VARCHAR'),\n"
    "        'DOUBLE PRECISION', 'FLOAT') <> d.type\n"
    "    OR f.head AND (a.attnotnull OR a.atthasdef) AND d.col <> 'is_numeric_value'\n"
    "GROUP BY a.attname, a.attrelid\n";

static const char dependents_query[] =
    "SELECT format('%s depends on %s', CASE\n"
    "        WHEN w.rulename = '_RETURN' THEN\n"
    "            CASE v.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || v.oid::regclass\n"
    "        WHEN g.attname IS NOT NULL THEN\n"
    "            format('generated column %I of table %s', g.attname, g.attrelid::regclass)\n"
    "        WHEN c.oid IS NOT NULL THEN format('%s %I of table %s',\n"
    "            CASE c.contype WHEN 'f' THEN 'foreign key' ELSE 'constraint' END,\n"
    "            c.conname, c.conrelid::regclass)\n"
    "        ELSE pg_describe_object(h.classid, h.objid, h.objsubid) END, h.place),\n"
    "    'which', min(h.n), h.how\n"
    "FROM hindered h\n"
    "LEFT JOIN pg_rewrite w ON h.classid = 'pg_rewrite'::regclass AND w.oid = h.objid\n"
    "LEFT JOIN pg_class v ON v.oid = w.ev_class\n"
    "LEFT JOIN pg_attrdef d ON h.classid = 'pg_attrdef'::regclass AND d.oid = h.objid\n"
    "LEFT JOIN pg_attribute g ON g.attrelid = d.adrelid AND g.attnum = d.adnum\n"
    "    OR h.classid = 'pg_class'::regclass AND h.objsubid > 0 AND g.attrelid = h.objid\n"
    "        AND g.attnum = h.objsubid\n"
    "LEFT JOIN pg_constraint c ON h.classid = 'pg_constraint'::regclass AND c.oid = h.objid\n"
    "GROUP BY 1, h.how\n";

/* A table whose rows are looked at or made anew may not be the type of a column elsewhere, be that in an
 * array, a domain, a composite type, or the row of a view. */
static const char row_types[] =
    ", rewritten AS (\n"
    "    SELECT tab, n FROM changed WHERE how = 'changes' UNION\n"
    "    SELECT d.tab, d.n FROM added d WHERE d.has_default AND NOT (d.may_be_there AND EXISTS\n"
    "        (SELECT 1 FROM tabs t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = d.col\n"
    "            WHERE t.tab = d.tab AND NOT a.attisdropped))),\n"
    "types (tab, n, oid) AS (\n"
    "    SELECT r.tab, r.n, c.reltype FROM rewritten r JOIN family f ON f.tab = r.tab\n"
    "        JOIN pg_class c ON c.oid = f.oid\n"
    "    UNION\n"
    "    SELECT t.tab, t.n, CASE d.classid WHEN 'pg_type'::regclass THEN d.objid ELSE c.reltype END\n"
    "    FROM types t JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = t.oid\n"
    "    LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid\n"
    "    WHERE d.classid = 'pg_type'::regclass OR d.objsubid > 0 AND c.relkind IN ('c', 'v', 'f'))\n";

static const char row_types_query[] =
    "SELECT format('column %I of table %s has rows of table %I in it', a.attname, c.oid::regclass, t.tab),\n"
    "    'which', min(t.n), 'changes'\n"
    "FROM types t JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = t.oid\n"
    "    AND d.classid = 'pg_class'::regclass AND d.objsubid > 0\n"
    "JOIN pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'p', 'm')\n"
    "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid\n"
    "GROUP BY a.attname, c.oid, t.tab\n";

/* What a table is part of. */
static const char parents_query[] =
    "SELECT format('column %I of table %s is inherited', a.attname, a.attrelid::regclass), 'and',\n"
    "    min(c.n), c.how || ' it'\n"
    "FROM changed c JOIN family f ON f.tab = c.tab\n"
    "JOIN pg_attribute a ON a.attrelid = f.oid AND a.attname = c.col AND NOT a.attisdropped\n"
    "WHERE a.attinhcount > (SELECT count(*) FROM pg_inherits i JOIN family p ON p.oid = i.inhparent\n"
    "        WHERE i.inhrelid = f.oid AND p.tab = f.tab) AND (f.head OR c.how <> 'drops')\n"
    "GROUP BY a.attname, a.attrelid, c.how\n"
    "UNION ALL\n"
    "SELECT format('column %I of table %I is part of its partition key', a.attname, c.tab), 'and',\n"
    "    min(c.n), c.how || ' it'\n"
    "FROM changed c JOIN tabs t ON t.tab = c.tab\n"
    "JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = c.col\n"
    "JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.objsubid = a.attnum\n"
    "    AND d.refclassid = d.classid AND d.refobjid = t.oid AND d.refobjsubid = 0 AND d.deptype = 'i'\n"
    "WHERE c.how <> 'renames'\n"
    "GROUP BY a.attname, c.tab, c.how\n"
    "UNION ALL\n"
    "SELECT format('table %I is %s', t.tab,\n"
    "        CASE WHEN t.relispartition THEN 'a partition' ELSE 'of a type' END),\n"
    "    'and', min(c.n), 'changes its columns'\n"
    "FROM (SELECT tab, n FROM added UNION ALL SELECT tab, n FROM changed) AS c JOIN tabs t ON t.tab = c.tab\n"
    "WHERE t.relispartition OR t.reloftype <> 0\n"
    "GROUP BY t.tab, t.relispartition\n";

/* What was MLflow's and is needed. */
static const char missing_query[] =
    "SELECT format('table %I is missing', u.tab), 'and', min(u.n), 'needs it'\n"
    "FROM (SELECT tab, n FROM used UNION ALL SELECT tab, n FROM written) AS u\n"
    "WHERE u.tab IS NOT NULL AND NOT EXISTS (SELECT 1 FROM tabs WHERE tabs.tab = u.tab)\n"
    "    AND NOT EXISTS (SELECT 1 FROM made WHERE made.name = u.tab)\n"
    "GROUP BY u.tab\n"
    "UNION ALL\n"
    "SELECT format('column %I of table %I is missing', c.col, c.tab), 'and', min(c.n), min(c.how) || ' it'\n"
    "FROM changed c JOIN tabs t ON t.tab = c.tab\n"
    "WHERE NOT EXISTS\n"
    "        (SELECT 1 FROM pg_attribute WHERE attrelid = t.oid AND attname = c.col AND NOT attisdropped)\n"
    "    AND NOT EXISTS (SELECT 1 FROM added WHERE added.tab = c.tab AND added.col = c.col)\n"
    "GROUP BY c.col, c.tab\n"
    "UNION ALL\n"
    "SELECT format('constraint %I of table %I is missing', g.name, g.tab), 'and', min(g.n), 'replaces it'\n"
    "FROM gone g JOIN tabs t ON t.tab = g.tab\n"
    "WHERE NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = t.oid AND conname = g.name)\n"
    "GROUP BY g.name, g.tab\n"
    "UNION ALL\n"
    "SELECT format('index %I is missing', g.name), 'and', min(g.n), 'replaces it'\n"
    "FROM gone g\n"
    "WHERE g.tab IS NULL AND g.name IS NOT NULL\n"
    "    AND NOT EXISTS (SELECT 1 FROM here WHERE relname = g.name AND relkind IN ('i', 'I'))\n"
    "    AND NOT EXISTS (SELECT 1 FROM made WHERE made.name = g.name AND made.n < g.n)\n"
    "GROUP BY g.name\n";

static const char rights_query[] =
    "SELECT format('table %s belongs to role %I, which alone may change it: upgrade as that role',\n"
    "    r.oid::regclass, pg_get_userbyid(r.relowner)), NULL, 0, NULL\n"
    "FROM pg_class r WHERE NOT pg_has_role(r.relowner, 'USAGE') AND r.oid IN (\n"
    "    SELECT f.oid FROM used u JOIN family f ON f.tab = u.tab AND f.head WHERE u.how = 'OWN'\n"
    "    UNION SELECT f.oid FROM added d JOIN family f ON f.tab = d.tab\n"
    "    UNION SELECT f.oid FROM changed c JOIN family f ON f.tab = c.tab)\n"
    "UNION ALL\n"
    "SELECT format('role %I has no right to refer to table %I', current_user, u.tab), 'and', min(u.n),\n"
    "    'makes a key that does'\n"
    "FROM used u JOIN tabs t ON t.tab = u.tab\n"
    "WHERE u.how = 'REFERENCES' AND NOT has_table_privilege(t.oid, 'REFERENCES')\n"
    "GROUP BY u.tab\n"
    "UNION ALL\n"
    "SELECT format('table %I is unlogged', u.tab), 'and', min(u.n), 'makes a logged one that refers to it'\n"
    "FROM used u JOIN tabs t ON t.tab = u.tab\n"
    "WHERE u.how = 'REFERENCES' AND t.relpersistence = 'u'\n"
    "    AND NOT EXISTS (SELECT 1 FROM tabs WHERE tabs.tab = u.by AND tabs.relpersistence = 'u')\n"
    "GROUP BY u.tab\n"
    "UNION ALL\n"
    "SELECT format('role %I may not create tables in schema %I', current_user, current_schema()),\n"
    "    NULL, 0, NULL\n"
    "WHERE EXISTS (SELECT 1 FROM made WHERE name IS NOT NULL)\n"
    "    AND NOT has_schema_privilege(current_schema(), 'CREATE')\n"
    "UNION ALL\n"
    "SELECT format('role %I may not use the language plpgsql', current_user), 'and', min(n),\n"
    "    'is written in it'\n"
    "FROM plpgsql WHERE NOT EXISTS (SELECT 1 FROM pg_language\n"
    "    WHERE lanname = 'plpgsql' AND has_language_privilege(oid, 'USAGE'))\n"
    "HAVING count(n) > 0\n";

/* Statements that are only planned: the server then says whether the role may write there, and whether a
 * table that is published can be. */
static const char writes_query[] =
    "SELECT CASE w.how WHEN 'INSERT' THEN format('EXPLAIN INSERT INTO %s DEFAULT VALUES', t.oid::regclass)\n"
    "        WHEN 'DELETE' THEN format('EXPLAIN DELETE FROM %s', t.oid::regclass)\n"
    "        ELSE format('EXPLAIN UPDATE %s SET %I = %2$I', t.oid::regclass,\n"
    "            (SELECT attname FROM pg_attribute WHERE attrelid = t.oid AND attnum > 0\n"
    "                AND NOT attisdropped AND attgenerated = '' AND attidentity <> 'a'\n"
    "                ORDER BY attnum LIMIT 1)) END,\n"
    "    NULL, min(w.n), NULL\n"
    "FROM written w JOIN tabs t ON t.tab = w.tab\n"
    "GROUP BY w.how, t.oid\n";

/* ---- asking */

struct search {
    struct db *db;
    struct buf lists; /* WITH …: what all queries begin with */
    schema_report *report;
    void *arg;
    int *found;
};

struct finding {
    char *thing, *leads, *does; /* the last two may be NULL */
    int rev;
};

typedef bool take_finding(struct search *s, const struct finding *f, struct err *e);

static void report_line(struct search *s, char *line)
{
    s->report(line, s->arg);
    free(line);
    ++*s->found;
}

static bool take_thing(struct search *s, const struct finding *f, struct err *e)
{
    (void)e;
    report_line(s, f->does ? xasprintf("%s, %s revision %s %s", f->thing, f->leads,
                                       schema_revisions[f->rev].revision, f->does)
                           : xstrdup(f->thing));
    return true;
}

static bool take_write(struct search *s, const struct finding *f, struct err *e)
{
    struct err why;
    if (db_exec(s->db, f->thing, &why))
        return true;
    if (why.class == ERR_INTERRUPTED || why.class == ERR_CONNECTION)
        return err_copy(e, &why);
    report_line(s, xasprintf("revision %s: %s", schema_revisions[f->rev].revision, why.what));
    return true;
}

static char *text_of(struct db_stmt *stmt, int column)
{
    struct value v;
    db_column(stmt, column, &v);
    return value_is_null(&v) ? NULL : xstrndup(v.s, v.len);
}

static const struct query {
    const char *lists[2]; /* of its own */
    const char *text;
    take_finding *take;
} queries[] = {
    {{"", ""}, names_query, take_thing},
    {{losses, dependents}, dependents_query, take_thing},
    {{row_types, ""}, row_types_query, take_thing},
    {{"", ""}, parents_query, take_thing},
    {{"", ""}, missing_query, take_thing},
    {{"", ""}, rights_query, take_thing},
    {{"", ""}, writes_query, take_write},
};

static bool ask(struct search *s, const struct query *q, struct err *e)
{
    char *sql = xasprintf("%s%s%s%s", buf_str(&s->lists), q->lists[0], q->lists[1], q->text);
    struct db_stmt *stmt = db_prepare(s->db, sql, e);
    int row = -1;
    bool ok = true;
    while (ok && stmt && (row = db_step(stmt, e)) == 1) {
        struct value rev;
        db_column(stmt, 2, &rev);
        struct finding f = {text_of(stmt, 0), text_of(stmt, 1), text_of(stmt, 3), (int)rev.i};
        ok = q->take(s, &f, e);
        free(f.thing);
        free(f.leads);
        free(f.does);
    }
    db_finalize(stmt);
    free(sql);
    return ok && row == 0;
}

/* ---- the lists of an upgrade */

/* A list with a first row of NULLs, which give it its types and match nothing. */
static void add_list(struct buf *sql, const char *head, const char *nulls, const struct buf *rows)
{
    buf_addf(sql, "%s AS (VALUES (%s)%s),\n", head, nulls, buf_str(rows));
}

/* The keys that 1b5f0d9ad7c1 finds by what they are: primary ones (NULL), and unique ones of one column. */
static void add_replaced(int from, int to, struct buf *rows)
{
    static const struct {
        const char *table, *column;
    } replaced[] = {
        {"registered_models", NULL},     {"model_versions", NULL},           {"model_version_tags", NULL},
        {"registered_model_tags", NULL}, {"registered_model_aliases", NULL}, {"experiments", "name"},
        {"registered_models", "name"},   {"secrets", "secret_name"},         {"endpoints", "name"},
        {"model_definitions", "name"},
    };
    for (size_t i = 0;
         from < REV_WORKSPACES && REV_WORKSPACES <= to && i < sizeof replaced / sizeof *replaced; i++) {
        const char *column = replaced[i].column, *quote = column ? "'" : "";
        buf_addf(rows, ",\n('%s', %s%s%s, %d)", replaced[i].table, quote, column ? column : "NULL", quote,
                 REV_WORKSPACES);
    }
}

/* What no text says: the stamp, and the rows that the functions of revision 66 write. */
static void add_other_writes(int from, int to, struct buf *rows)
{
    static const char *const tables[] = {"trace_info", "spans", "assessments"};
    if (from > 0 && from < to) /* the first stamp makes its table */
        buf_addf(rows, ",\n('alembic_version', NULL, 'UPDATE', %d)", from + 1);
    for (int i = 0; from < REV_TRACE_ANALYTICS && REV_TRACE_ANALYTICS <= to && i < 3; i++)
        buf_addf(rows, ",\n('%s', NULL, 'UPDATE', %d)", tables[i], REV_TRACE_ANALYTICS);
}

static void write_lists(int from, int to, struct buf *sql)
{
    struct schema_needs known = {0}, needs = {0};
    struct buf replaced = {0};
    for (int i = 0; i <= from; i++)
        schema_needs_add(&known, i);
    for (int i = from + 1; i <= to; i++)
        schema_needs_add(&needs, i);
    add_replaced(from, to, &replaced);
    add_other_writes(from, to, &needs.written);
    buf_adds(sql, "WITH RECURSIVE ");
    add_list(sql, "made (name, tab, may_be_there, n)", "NULL, NULL, false, NULL::int", &needs.made);
    add_list(sql, "known (name, tab, may_be_there, n)", "NULL, NULL, false, NULL::int", &known.made);
    add_list(sql, "functions (name, nothing, n)", "NULL, NULL, NULL::int", &needs.functions);
    add_list(sql, "keys (tab, name, has_index, of_new_table, n)", "NULL, NULL, false, false, NULL::int",
             &needs.keys);
    add_list(sql, "known_keys (tab, name, has_index, of_new_table, n)", "NULL, NULL, false, false, NULL::int",
             &known.keys);
    add_list(sql, "added (tab, col, type, may_be_there, has_default, n)",
             "NULL, NULL, NULL, false, false, NULL::int", &needs.added);
    add_list(sql, "changed (tab, col, how, n)", "NULL, NULL, NULL, NULL::int", &needs.changed);
    add_list(sql, "gone (tab, name, n)", "NULL, NULL, NULL::int", &needs.gone);
    add_list(sql, "used (tab, by, how, n)", "NULL, NULL, NULL, NULL::int", &needs.used);
    add_list(sql, "written (tab, nothing, how, n)", "NULL, NULL, NULL, NULL::int", &needs.written);
    add_list(sql, "plpgsql (nothing, no_more, n)", "NULL, NULL, NULL::int", &needs.plpgsql);
    add_list(sql, "replaced (tab, col, n)", "NULL, NULL, NULL::int", &replaced);
    buf_adds(sql, relations);
    schema_needs_free(&known);
    schema_needs_free(&needs);
    buf_free(&replaced);
}

bool schema_obstacles_postgres(struct db *db, int from, int to, schema_report *report, void *arg, int *found,
                               struct err *e)
{
    struct search s = {.db = db, .report = report, .arg = arg, .found = found};
    bool ok = true;
    write_lists(from, to, &s.lists);
    for (size_t i = 0; ok && i < sizeof queries / sizeof *queries; i++)
        ok = ask(&s, &queries[i], e);
    buf_free(&s.lists);
    return ok;
}
