-- Objects that are not MLflow's and have the name of something that an upgrade creates.
--   the obstacle, a connecting word, the revision's rev, what the revision does; the second and last may be NULL
--
-- :'needs' is JSON: the requirements of an upgrade's revisions, by list (needs.h); {} for none.
WITH RECURSIVE
made AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'made')
    AS x (name text, tab text, may_be_there boolean, n int)),
known AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'known_made')
    AS x (name text, tab text, may_be_there boolean, n int)),
functions AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'functions') AS x (name text, n int)),
keys AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'keys')
    AS x (tab text, name text, has_index boolean, of_new_table boolean, n int)),
known_keys AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'known_keys')
    AS x (tab text, name text, has_index boolean, of_new_table boolean, n int)),
added AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'added')
    AS x (tab text, col text, type text, may_be_there boolean, has_default boolean, n int)),
here AS (SELECT * FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace),
tabs AS (SELECT *, relname::text AS tab FROM here WHERE relkind IN ('r', 'p')),
-- a table, its partitions and the tables that inherit from it: they change with it
family (tab, oid, head) AS (
    SELECT tab, oid, true FROM tabs
    UNION SELECT tab, inhrelid, false FROM family JOIN pg_inherits ON inhparent = family.oid)
SELECT format('%s %I is not MLflow''s',
    CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view'
        WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index'
        WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type'
        ELSE 'relation' END, r.relname),
    'and', min(m.n), 'creates one of that name'
FROM made m JOIN here r ON r.relname = m.name
LEFT JOIN pg_index i ON i.indexrelid = r.oid LEFT JOIN tabs t ON t.oid = i.indrelid
WHERE NOT EXISTS (SELECT 1 FROM known WHERE known.name = m.name)
-- A table that may exist already has its keys.
    AND NOT (m.may_be_there AND (r.relkind IN ('r', 'p') OR t.tab IS NOT DISTINCT FROM m.tab))
GROUP BY r.relkind, r.relname
UNION ALL
-- Every table has a type of its name; array types are renamed automatically.
SELECT format('%s %I is not MLflow''s',
    CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, t.typname),
    'and', min(m.n), 'creates one of that name'
FROM made m JOIN pg_type t ON t.typname = m.name
WHERE m.tab = m.name AND t.typnamespace = quote_ident(current_schema())::regnamespace
    AND t.typrelid = 0 AND t.typisdefined
    AND NOT EXISTS (SELECT 1 FROM pg_type e WHERE e.typarray = t.oid)
    AND NOT (m.may_be_there AND EXISTS (SELECT 1 FROM tabs WHERE tabs.tab = m.name))
GROUP BY t.typtype, t.typname
UNION ALL
-- Functions that can be replaced are.
SELECT format('%s %s is not MLflow''s', CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,
        p.oid::regprocedure), 'and', min(f.n), 'creates one of that name'
FROM functions f JOIN pg_proc p ON p.proname = f.name
WHERE p.pronamespace = quote_ident(current_schema())::regnamespace AND p.pronargs = 0
    AND (p.prokind <> 'f' OR p.prorettype <> 'trigger'::regtype
        OR NOT pg_has_role(p.proowner, 'USAGE'))
GROUP BY p.prokind, p.oid
UNION ALL
-- A key with an index is found by its index.
SELECT format('constraint %I of table %I is not MLflow''s', c.conname, k.tab), 'and', min(k.n),
    'creates one of that name'
FROM keys k JOIN tabs t ON t.tab = k.tab JOIN pg_constraint c ON c.conrelid = t.oid
    AND c.conname = k.name
WHERE NOT k.of_new_table AND NOT (k.has_index AND c.contype IN ('p', 'u', 'x'))
    AND NOT EXISTS (SELECT 1 FROM known_keys o WHERE o.tab = k.tab AND o.name = k.name)
GROUP BY c.conname, k.tab
UNION ALL
-- A column with MLflow's definition may exist if a revision allows it, and in a child; is_numeric_value may lack NOT
-- NULL, as MLflow's own command creates it so.
SELECT format('column %I of table %s is not MLflow''s', a.attname, a.attrelid::regclass), 'and',
    min(d.n), 'adds one of that name'
FROM added d JOIN family f ON f.tab = d.tab
JOIN pg_attribute a ON a.attrelid = f.oid AND a.attname = d.col AND NOT a.attisdropped
WHERE f.head AND NOT d.may_be_there
    OR replace(replace(upper(format_type(a.atttypid, a.atttypmod)), 'CHARACTER VARYING', 'VARCHAR'),
        'DOUBLE PRECISION', 'FLOAT') <> d.type
    OR f.head AND (a.attnotnull OR a.atthasdef) AND d.col <> 'is_numeric_value'
GROUP BY a.attname, a.attrelid;
