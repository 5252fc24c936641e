-- What prevents a table from being changed: columns elsewhere that contain its rows (in an array, a domain, a composite
-- type or the row of a view) and could not be converted; and what it is part of.
--   the obstacle, a connecting word, the revision's rev, what the revision does; the second and last may be NULL
--
-- :'needs' is JSON: the requirements of an upgrade's revisions, by list (needs.h); {} for none.
WITH RECURSIVE
changed AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'changed') AS x (tab text, col text, how text, n int)),
added AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'added')
    AS x (tab text, col text, type text, may_be_there boolean, has_default boolean, n int)),
here AS (SELECT * FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace),
tabs AS (SELECT *, relname::text AS tab FROM here WHERE relkind IN ('r', 'p')),
-- a table, its partitions and the tables that inherit from it: they change with it
family (tab, oid, head) AS (
    SELECT tab, oid, true FROM tabs
    UNION SELECT tab, inhrelid, false FROM family JOIN pg_inherits ON inhparent = family.oid),
rewritten AS (
    SELECT tab, n FROM changed WHERE how = 'changes' UNION
    SELECT d.tab, d.n FROM added d WHERE d.has_default AND NOT (d.may_be_there AND EXISTS
        (SELECT 1 FROM tabs t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = d.col
            WHERE t.tab = d.tab AND NOT a.attisdropped))),
types (tab, n, oid) AS (
    SELECT r.tab, r.n, c.reltype FROM rewritten r JOIN family f ON f.tab = r.tab
        JOIN pg_class c ON c.oid = f.oid
    UNION
    SELECT t.tab, t.n, CASE d.classid WHEN 'pg_type'::regclass THEN d.objid ELSE c.reltype END
    FROM types t JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = t.oid
    LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
    WHERE d.classid = 'pg_type'::regclass OR d.objsubid > 0 AND c.relkind IN ('c', 'v', 'f'))
SELECT format('column %I of table %s contains rows of table %I', a.attname, c.oid::regclass, t.tab),
    'which', min(t.n), 'changes'
FROM types t JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = t.oid
    AND d.classid = 'pg_class'::regclass AND d.objsubid > 0
JOIN pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'p', 'm')
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid
GROUP BY a.attname, c.oid, t.tab
UNION ALL
-- what the table is part of
SELECT format('column %I of table %s is inherited', a.attname, a.attrelid::regclass), 'and',
    min(c.n), c.how || ' it'
FROM changed c JOIN family f ON f.tab = c.tab
JOIN pg_attribute a ON a.attrelid = f.oid AND a.attname = c.col AND NOT a.attisdropped
WHERE a.attinhcount > (SELECT count(*) FROM pg_inherits i JOIN family p ON p.oid = i.inhparent
        WHERE i.inhrelid = f.oid AND p.tab = f.tab) AND (f.head OR c.how <> 'drops')
GROUP BY a.attname, a.attrelid, c.how
UNION ALL
SELECT format('column %I of table %I is part of its partition key', a.attname, c.tab), 'and',
    min(c.n), c.how || ' it'
FROM changed c JOIN tabs t ON t.tab = c.tab
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = c.col
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.objsubid = a.attnum
    AND d.refclassid = d.classid AND d.refobjid = t.oid AND d.refobjsubid = 0 AND d.deptype = 'i'
WHERE c.how <> 'renames'
GROUP BY a.attname, c.tab, c.how
UNION ALL
SELECT format('table %I is %s', t.tab,
        CASE WHEN t.relispartition THEN 'a partition' ELSE 'of a type' END),
    'and', min(c.n), 'changes its columns'
FROM (SELECT tab, n FROM added UNION ALL SELECT tab, n FROM changed) AS c JOIN tabs t ON t.tab = c.tab
WHERE t.relispartition OR t.reloftype <> 0
GROUP BY t.tab, t.relispartition;
