-- Keys or other indexes of tables. :'tables' is an array of the tables, as '{runs,tags}'; :'keys' is true for keys and
-- for indexes that are a replica identity, without which a publication rejects UPDATE and DELETE.
--   the statement that drops it, the statements that recreate it
--
-- A key is recreated from its index, as pg_get_constraintdef() omits storage parameters. pg_get_indexdef() omits the
-- tablespace; '' is that of the database. concat_ws() skips a statement that is NULL. Exclusion constraints are kept,
-- as they could only be recreated with pg_get_constraintdef().
SELECT CASE WHEN k.oid IS NULL THEN format('DROP INDEX %s', x.name)
        ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', x.on_table, k.conname) END,
    concat_ws(E';\n',
        format('SET LOCAL default_tablespace = %L', coalesce(s.spcname, '')),
        pg_get_indexdef(c.oid),
        'ALTER TABLE ' || x.on_table || ' ADD CONSTRAINT ' || x.key || x.key_type
            || ' USING INDEX ' || x.short_name || x.key_timing,
        'COMMENT ON CONSTRAINT ' || x.key || ' ON ' || x.on_table || ' IS ' || x.key_comment,
        'COMMENT ON INDEX ' || x.name || ' IS ' || x.comment,
        CASE WHEN i.indisclustered THEN
            format('ALTER TABLE %s CLUSTER ON %s', x.on_table, x.short_name) END,
        CASE WHEN i.indisreplident THEN
            format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %s', x.on_table, x.short_name) END,
        (SELECT string_agg(format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s',
                x.name, attnum, attstattarget), E';\n')
            FROM pg_attribute WHERE attrelid = c.oid AND attstattarget >= 0),
        (SELECT string_agg(format('ALTER INDEX %s DEPENDS ON EXTENSION %I',
                x.name, e.extname), E';\n')
            FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'x'
                AND d.refclassid = 'pg_extension'::regclass))
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.contype IN ('p', 'u')
CROSS JOIN LATERAL (SELECT i.indrelid::regclass::text AS on_table,
    i.indexrelid::regclass::text AS name, quote_ident(c.relname) AS short_name,
    quote_literal(obj_description(c.oid, 'pg_class')) AS comment,
    quote_ident(k.conname) AS key,
    CASE k.contype WHEN 'p' THEN ' PRIMARY KEY' ELSE ' UNIQUE' END AS key_type,
    CASE WHEN k.condeferred THEN ' DEFERRABLE INITIALLY DEFERRED'
        WHEN k.condeferrable THEN ' DEFERRABLE' ELSE '' END AS key_timing,
    quote_literal(obj_description(k.oid, 'pg_constraint')) AS key_comment) x
WHERE i.indrelid = ANY (:'tables'::regclass[]) AND NOT i.indisexclusion
    AND (k.oid IS NOT NULL OR i.indisreplident) = :'keys'::boolean
ORDER BY k.contype, i.indexrelid;
