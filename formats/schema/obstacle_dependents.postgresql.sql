-- Objects that depend on what an upgrade changes, drops or replaces. PostgreSQL rebuilds indexes, constraints and
-- statistics on a column when its type changes, and silently drops them with the column.
--   the obstacle, a connecting word, the revision's rev, what the revision does; the second and last may be NULL
--
-- :'needs' is JSON: the requirements of an upgrade's revisions, by list (needs.h); {} for none.
WITH RECURSIVE
changed AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'changed') AS x (tab text, col text, how text, n int)),
gone AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'gone') AS x (tab text, name text, n int)),
replaced AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'replaced') AS x (tab text, col text, n int)),
here AS (SELECT * FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace),
tabs AS (SELECT *, relname::text AS tab FROM here WHERE relkind IN ('r', 'p')),
-- a table, its partitions and the tables that inherit from it: they change with it
family (tab, oid, head) AS (
    SELECT tab, oid, true FROM tabs
    UNION SELECT tab, inhrelid, false FROM family JOIN pg_inherits ON inhparent = family.oid),
-- columns whose type changes or that are dropped; one declared by a child itself is kept there
columns AS (
    SELECT a.attrelid, a.attnum, a.attname, c.how, c.n
    FROM changed c JOIN family f ON f.tab = c.tab
    JOIN pg_attribute a ON a.attrelid = f.oid AND a.attname = c.col AND NOT a.attisdropped
    WHERE c.how = 'changes'
        OR c.how = 'drops' AND (f.head OR a.attinhcount = 1 AND NOT a.attislocal)),
lost AS (
    SELECT c.oid AS con, c.conindid AS ind, c.conrelid AS tab, c.conname AS name, g.n
    FROM gone g JOIN tabs t ON t.tab = g.tab
    JOIN pg_constraint c ON c.conrelid = t.oid AND c.conname = g.name AND c.contype IN ('p', 'u')
    UNION ALL
    SELECT NULL, i.indexrelid, i.indrelid, x.relname, g.n
    FROM gone g JOIN here x ON x.relname = g.name JOIN pg_index i ON i.indexrelid = x.oid
    WHERE g.tab IS NULL
    UNION ALL
    SELECT c.oid, i.indexrelid, i.indrelid, x.relname, k.n
    FROM replaced k JOIN tabs t ON t.tab = k.tab JOIN pg_index i ON i.indrelid = t.oid
    JOIN pg_class x ON x.oid = i.indexrelid
    LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u')
    WHERE CASE WHEN k.col IS NULL THEN i.indisprimary
        ELSE i.indisunique AND i.indnatts = 1 AND i.indpred IS NULL AND i.indkey[0] =
            (SELECT attnum FROM pg_attribute WHERE attrelid = t.oid AND attname = k.col) END),
lost_too (oid) AS (
    SELECT c.oid FROM pg_constraint c
    JOIN tabs a ON a.oid = c.conrelid JOIN tabs b ON b.oid = c.confrelid
    WHERE c.contype = 'f' AND (a.tab, b.tab) IN (('model_versions', 'registered_models'),
        ('registered_model_tags', 'registered_models'),
        ('registered_model_aliases', 'registered_models'), ('model_version_tags', 'model_versions'))),
hindered AS (
    SELECT d.classid, d.objid, d.objsubid, c.how, c.n,
        format('column %I of table %s', c.attname, c.attrelid::regclass) AS place
    FROM columns c JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.attrelid
        AND d.refobjsubid = c.attnum
    LEFT JOIN pg_attrdef own ON d.classid = 'pg_attrdef'::regclass AND own.oid = d.objid
        AND own.adrelid = c.attrelid AND own.adnum = c.attnum
    WHERE own.oid IS NULL AND CASE c.how WHEN 'drops' THEN d.deptype <> 'i'
        ELSE d.classid IN ('pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass,
                'pg_proc'::regclass, 'pg_publication_rel'::regclass, 'pg_attrdef'::regclass)
            OR d.classid = 'pg_class'::regclass AND d.objsubid > 0 END
    UNION ALL
    SELECT d.classid, d.objid, d.objsubid, 'replaces', l.n,
        format('%s %I of table %s', CASE WHEN l.con IS NULL THEN 'index' ELSE 'key' END, l.name,
            l.tab::regclass)
    FROM lost l JOIN pg_depend d ON d.refclassid = 'pg_constraint'::regclass AND d.refobjid = l.con
        OR d.refclassid = 'pg_class'::regclass AND d.refobjid = l.ind AND d.refobjsubid = 0
    WHERE d.deptype = 'n' AND NOT (d.classid = 'pg_constraint'::regclass AND d.objid IN
        (SELECT oid FROM lost_too UNION ALL SELECT oid FROM pg_constraint WHERE conparentid <> 0)))
SELECT format('%s depends on %s', CASE
        WHEN w.rulename = '_RETURN' THEN
            CASE v.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || v.oid::regclass
        WHEN g.attname IS NOT NULL THEN
            format('generated column %I of table %s', g.attname, g.attrelid::regclass)
        WHEN c.oid IS NOT NULL THEN format('%s %I of table %s',
            CASE c.contype WHEN 'f' THEN 'foreign key' ELSE 'constraint' END,
            c.conname, c.conrelid::regclass)
        ELSE pg_describe_object(h.classid, h.objid, h.objsubid) END, h.place),
    'which', min(h.n), h.how
FROM hindered h
LEFT JOIN pg_rewrite w ON h.classid = 'pg_rewrite'::regclass AND w.oid = h.objid
LEFT JOIN pg_class v ON v.oid = w.ev_class
LEFT JOIN pg_attrdef d ON h.classid = 'pg_attrdef'::regclass AND d.oid = h.objid
LEFT JOIN pg_attribute g ON g.attrelid = d.adrelid AND g.attnum = d.adnum
    OR h.classid = 'pg_class'::regclass AND h.objsubid > 0 AND g.attrelid = h.objid
        AND g.attnum = h.objsubid
LEFT JOIN pg_constraint c ON h.classid = 'pg_constraint'::regclass AND c.oid = h.objid
GROUP BY 1, h.how;
