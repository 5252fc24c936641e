/* Foreign keys, keys and indexes of PostgreSQL's tables, dropped and made again from the catalog. */
#include "formats/load/postgres_structure.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

/* ---- what the catalog says; {tables} is the list of tables */

/* What the owner of a table may not do, or what would be lost if it were done: indexes of partitioned tables
 * hang together with those of others; TRUNCATE makes an index valid; a foreign key whose triggers a superuser
 * has disabled would come back with enabled ones. */
static const char obstacle_query[] =
    "WITH tables AS (\n"
    "    SELECT oid::regclass AS name, * FROM pg_class WHERE oid IN ({tables})\n"
    "), foreign_keys AS (\n"
    "    SELECT * FROM pg_constraint\n"
    "    WHERE contype = 'f' AND (conrelid IN ({tables}) OR confrelid IN ({tables}))\n"
    "), altered AS (\n"
    "    SELECT oid FROM tables UNION SELECT conrelid FROM foreign_keys\n"
    ")\n"
    "SELECT format('table %s belongs to another role', oid::regclass)\n"
    "FROM pg_class JOIN altered USING (oid) WHERE NOT pg_has_role(relowner, 'USAGE')\n"
    "UNION ALL\n"
    "SELECT format('table %s is partitioned', name) FROM tables WHERE relkind = 'p' OR relispartition\n"
    "UNION ALL\n"
    "SELECT format('this role has no TRUNCATE privilege on table %s', name)\n"
    "FROM tables WHERE NOT has_table_privilege(oid, 'TRUNCATE')\n"
    "UNION ALL\n"
    "SELECT format('this role has no REFERENCES privilege on table %s', r.t::regclass)\n"
    "FROM foreign_keys, unnest(ARRAY[conrelid, confrelid]) AS r(t)\n"
    "WHERE NOT has_table_privilege(r.t, 'REFERENCES')\n"
    "UNION ALL\n"
    "SELECT format('this role has no CREATE privilege on schema %s', relnamespace::regnamespace)\n"
    "FROM tables WHERE NOT has_schema_privilege(relnamespace, 'CREATE')\n"
    "UNION ALL\n"
    "SELECT format('this role has no CREATE privilege on tablespace %I', s.spcname)\n"
    "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_tablespace s ON s.oid = "
    "c.reltablespace\n"
    "WHERE i.indrelid IN ({tables}) AND NOT has_tablespace_privilege(s.oid, 'CREATE')\n"
    "UNION ALL\n"
    "SELECT format('index %s is not valid', indexrelid::regclass)\n"
    "FROM pg_index WHERE indrelid IN ({tables}) AND NOT indisvalid\n"
    "UNION ALL\n"
    "SELECT format('triggers of constraint %I are disabled', k.conname)\n"
    "FROM pg_constraint k JOIN pg_trigger g ON g.tgconstraint = k.oid\n"
    "WHERE g.tgisinternal AND g.tgenabled <> 'O' AND (k.oid IN (SELECT oid FROM foreign_keys)\n"
    "    OR k.conrelid IN (SELECT oid FROM tables) AND k.contype IN ('p', 'u'))\n"
    "LIMIT 1";

/* Constraints that stay, and put off their triggers. */
static const char deferred_query[] =
    "SELECT 'SET CONSTRAINTS ' || string_agg(format('%s.%I', connamespace::regnamespace, conname), ', ')\n"
    "    || ' DEFERRED'\n"
    "FROM pg_constraint WHERE conrelid IN ({tables}) AND contype IN ('t', 'x') AND condeferred";

/* Those of a partition are made with those of the partitioned table. */
static const char foreign_keys_query[] =
    "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),\n"
    "    concat_ws(E';\\n',\n"
    "        format('ALTER TABLE %s ADD CONSTRAINT %I %s',\n"
    "            conrelid::regclass, conname, pg_get_constraintdef(oid)),\n"
    "        format('COMMENT ON CONSTRAINT %I ON %s IS ', conname, conrelid::regclass)\n"
    "            || quote_literal(obj_description(oid, 'pg_constraint')))\n"
    "FROM pg_constraint\n"
    "WHERE contype = 'f' AND conparentid = 0 AND (conrelid IN ({tables}) OR confrelid IN ({tables}))\n"
    "ORDER BY oid";

/* A key is made of its index, since pg_get_constraintdef() leaves out storage parameters. pg_get_indexdef()
 * leaves out the tablespace; '' is that of the database. concat_ws() skips a statement with a NULL in it.
 * Constraints that exclude what overlaps stay, as there is no other way to make them than by
 * pg_get_constraintdef(). */
#define INDEX_DEFINITIONS                                                                                    \
    "SELECT CASE WHEN k.oid IS NULL THEN format('DROP INDEX %s', x.name)\n"                                  \
    "        ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', x.on_table, k.conname) END,\n"                 \
    "    concat_ws(E';\\n',\n"                                                                               \
    "        format('SET LOCAL default_tablespace = %L', coalesce(s.spcname, '')),\n"                        \
    "        pg_get_indexdef(c.oid),\n"                                                                      \
    "        'ALTER TABLE ' || x.on_table || ' ADD CONSTRAINT ' || x.key || x.key_type\n"                    \
    "            || ' USING INDEX ' || x.short_name || x.key_timing,\n"                                      \
    "        'COMMENT ON CONSTRAINT ' || x.key || ' ON ' || x.on_table || ' IS ' || x.key_comment,\n"        \
    "        'COMMENT ON INDEX ' || x.name || ' IS ' || x.comment,\n"                                        \
    "        CASE WHEN i.indisclustered THEN\n"                                                              \
    "            format('ALTER TABLE %s CLUSTER ON %s', x.on_table, x.short_name) END,\n"                    \
    "        CASE WHEN i.indisreplident THEN\n"                                                              \
    "            format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %s', x.on_table, x.short_name) END,\n"  \
    "        (SELECT string_agg(format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s',\n"                \
    "                x.name, attnum, attstattarget), E';\\n')\n"                                             \
    "            FROM pg_attribute WHERE attrelid = c.oid AND attstattarget >= 0),\n"                        \
    "        (SELECT string_agg(format('ALTER INDEX %s DEPENDS ON EXTENSION %I',\n"                          \
    "                x.name, e.extname), E';\\n')\n"                                                         \
    "            FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid\n"                               \
    "            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'x'\n"           \
    "                AND d.refclassid = 'pg_extension'::regclass))\n"                                        \
    "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid\n"                                              \
    "    LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace\n"                                             \
    "    LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.contype IN ('p', 'u')\n"                      \
    "    CROSS JOIN LATERAL (SELECT i.indrelid::regclass::text AS on_table,\n"                               \
    "        i.indexrelid::regclass::text AS name, quote_ident(c.relname) AS short_name,\n"                  \
    "        quote_literal(obj_description(c.oid, 'pg_class')) AS comment,\n"                                \
    "        quote_ident(k.conname) AS key,\n"                                                               \
    "        CASE k.contype WHEN 'p' THEN ' PRIMARY KEY' ELSE ' UNIQUE' END AS key_type,\n"                  \
    "        CASE WHEN k.condeferred THEN ' DEFERRABLE INITIALLY DEFERRED'\n"                                \
    "            WHEN k.condeferrable THEN ' DEFERRABLE' ELSE '' END AS key_timing,\n"                       \
    "        quote_literal(obj_description(k.oid, 'pg_constraint')) AS key_comment) x\n"                     \
    "WHERE i.indrelid IN ({tables}) AND NOT i.indisexclusion\n"

/* A publication refuses UPDATE and DELETE where there is no replica identity: it comes with the keys. */
static const char keys_query[] =
    INDEX_DEFINITIONS "    AND (k.oid IS NOT NULL OR i.indisreplident) ORDER BY k.contype, i.indexrelid";

static const char indexes_query[] =
    INDEX_DEFINITIONS "    AND k.oid IS NULL AND NOT i.indisreplident ORDER BY i.indexrelid";

/* ---- */

/* The query with the list in it, malloc'ed. */
static char *of_tables(const char *query, const char *tables)
{
    static const char name[] = "{tables}";
    struct buf sql = {0};
    for (const char *at; (at = strstr(query, name)); query = at + sizeof name - 1) {
        buf_add(&sql, query, (size_t)(at - query));
        buf_adds(&sql, tables);
    }
    buf_adds(&sql, query);
    return sql.data;
}

static bool query_text(struct db *db, const char *query, const char *tables, char **out, struct err *e)
{
    char *sql = of_tables(query, tables);
    bool ok = db_query_text(db, sql, out, e);
    free(sql);
    return ok;
}

bool load_structure_obstacle(struct db *db, const char *tables, char **why, struct err *e)
{
    return query_text(db, obstacle_query, tables, why, e);
}

/* Runs a query whose two columns are the statements that drop and make something. */
static bool read_definitions(struct db *db, const char *query, const char *tables,
                             struct load_definitions *out, struct err *e)
{
    char *sql = of_tables(query, tables);
    struct db_stmt *q = db_prepare(db, sql, e);
    free(sql);
    if (!q)
        return false;
    int row;
    while ((row = db_step(q, e)) == 1) {
        struct value drop, make;
        db_column(q, 0, &drop);
        db_column(q, 1, &make);
        out->items = xrealloc(out->items, (size_t)(out->n + 1) * sizeof *out->items);
        out->items[out->n++] =
            (struct load_definition){xstrndup(drop.s, drop.len), xstrndup(make.s, make.len)};
    }
    db_finalize(q);
    return row == 0;
}

/* A table whose triggers wait for the end of the transaction cannot be altered. The first statement runs
 * them, and makes all constraints immediate, those that are made later among them. */
static bool run_deferred(struct db *db, const char *tables, struct err *e)
{
    char *deferred = NULL;
    bool ok = db_exec(db, "SET CONSTRAINTS ALL IMMEDIATE", e) &&
              query_text(db, deferred_query, tables, &deferred, e) && (!deferred || db_exec(db, deferred, e));
    free(deferred);
    return ok;
}

/* Drops definitions from..n - 1. */
static bool drop(struct db *db, const struct load_definitions *d, int from, struct err *e)
{
    for (int i = from; i < d->n; i++)
        if (!db_exec(db, d->items[i].drop, e))
            return err_hint(
                e, "something of your own depends on it (a view perhaps): drop that first, and make it again "
                   "after the load");
    return true;
}

bool load_structure_drop(struct db *db, const char *tables, struct load_structure *s, struct err *e)
{
    int foreign_keys = s->foreign_keys.n, keys = s->keys.n, indexes = s->indexes.n;
    return run_deferred(db, tables, e) &&
           read_definitions(db, foreign_keys_query, tables, &s->foreign_keys, e) &&
           read_definitions(db, keys_query, tables, &s->keys, e) &&
           read_definitions(db, indexes_query, tables, &s->indexes, e) &&
           drop(db, &s->foreign_keys, foreign_keys, e) && drop(db, &s->keys, keys, e) &&
           drop(db, &s->indexes, indexes, e);
}

bool load_structure_make(struct db *db, const struct load_definitions *d, int from, struct err *e)
{
    bool ok = true;
    for (int i = from; ok && i < d->n; i++)
        ok = err_interrupted() ? err_set_interrupted(e) : db_exec(db, d->items[i].make, e);
    return ok;
}

static void free_definitions(struct load_definitions *d)
{
    for (int i = 0; i < d->n; i++) {
        free(d->items[i].drop);
        free(d->items[i].make);
    }
    free(d->items);
}

void load_structure_free(struct load_structure *s)
{
    free_definitions(&s->foreign_keys);
    free_definitions(&s->keys);
    free_definitions(&s->indexes);
}
