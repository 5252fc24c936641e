-- Missing objects of MLflow that an upgrade requires.
--   the obstacle, a connecting word, the revision's rev, what the revision does; the second and last may be NULL
--
-- :'needs' is JSON: the requirements of an upgrade's revisions, by list (needs.h); {} for none.
WITH RECURSIVE
made AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'made')
    AS x (name text, tab text, may_be_there boolean, n int)),
added AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'added')
    AS x (tab text, col text, type text, may_be_there boolean, has_default boolean, n int)),
changed AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'changed') AS x (tab text, col text, how text, n int)),
gone AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'gone') AS x (tab text, name text, n int)),
used AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'used') AS x (tab text, by text, how text, n int)),
written AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'written') AS x (tab text, how text, n int)),
here AS (SELECT * FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace),
tabs AS (SELECT *, relname::text AS tab FROM here WHERE relkind IN ('r', 'p'))
SELECT format('table %I is missing', u.tab), 'and', min(u.n), 'needs it'
FROM (SELECT tab, n FROM used UNION ALL SELECT tab, n FROM written) AS u
WHERE u.tab IS NOT NULL AND NOT EXISTS (SELECT 1 FROM tabs WHERE tabs.tab = u.tab)
    AND NOT EXISTS (SELECT 1 FROM made WHERE made.name = u.tab)
GROUP BY u.tab
UNION ALL
SELECT format('column %I of table %I is missing', c.col, c.tab), 'and', min(c.n), min(c.how) || ' it'
FROM changed c JOIN tabs t ON t.tab = c.tab
WHERE NOT EXISTS
        (SELECT 1 FROM pg_attribute WHERE attrelid = t.oid AND attname = c.col AND NOT attisdropped)
    AND NOT EXISTS (SELECT 1 FROM added WHERE added.tab = c.tab AND added.col = c.col)
GROUP BY c.col, c.tab
UNION ALL
SELECT format('constraint %I of table %I is missing', g.name, g.tab), 'and', min(g.n), 'replaces it'
FROM gone g JOIN tabs t ON t.tab = g.tab
WHERE NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = t.oid AND conname = g.name)
GROUP BY g.name, g.tab
UNION ALL
SELECT format('index %I is missing', g.name), 'and', min(g.n), 'replaces it'
FROM gone g
WHERE g.tab IS NULL AND g.name IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM here WHERE relname = g.name AND relkind IN ('i', 'I'))
    AND NOT EXISTS (SELECT 1 FROM made WHERE made.name = g.name AND made.n < g.n)
GROUP BY g.name;
