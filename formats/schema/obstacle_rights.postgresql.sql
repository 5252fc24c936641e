-- Privileges that the current role lacks.
--   the obstacle, a connecting word, the revision's rev, what the revision does; the second and last may be NULL
--
-- :'needs' is JSON: the requirements of an upgrade's revisions, by list (needs.h); {} for none.
WITH RECURSIVE
made AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'made')
    AS x (name text, tab text, may_be_there boolean, n int)),
added AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'added')
    AS x (tab text, col text, type text, may_be_there boolean, has_default boolean, n int)),
changed AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'changed') AS x (tab text, col text, how text, n int)),
used AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'used') AS x (tab text, by text, how text, n int)),
plpgsql AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'plpgsql') AS x (n int)),
here AS (SELECT * FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace),
tabs AS (SELECT *, relname::text AS tab FROM here WHERE relkind IN ('r', 'p')),
-- a table, its partitions and the tables that inherit from it: they change with it
family (tab, oid, head) AS (
    SELECT tab, oid, true FROM tabs
    UNION SELECT tab, inhrelid, false FROM family JOIN pg_inherits ON inhparent = family.oid)
SELECT format('table %s belongs to role %I, and only its owner may change it: upgrade as that role',
    r.oid::regclass, pg_get_userbyid(r.relowner)), NULL, 0, NULL
FROM pg_class r WHERE NOT pg_has_role(r.relowner, 'USAGE') AND r.oid IN (
    SELECT f.oid FROM used u JOIN family f ON f.tab = u.tab AND f.head WHERE u.how = 'OWN'
    UNION SELECT f.oid FROM added d JOIN family f ON f.tab = d.tab
    UNION SELECT f.oid FROM changed c JOIN family f ON f.tab = c.tab)
UNION ALL
SELECT format('role %I has no REFERENCES privilege on table %I', current_user, u.tab), 'and', min(u.n),
    'creates a foreign key to it'
FROM used u JOIN tabs t ON t.tab = u.tab
WHERE u.how = 'REFERENCES' AND NOT has_table_privilege(t.oid, 'REFERENCES')
GROUP BY u.tab
UNION ALL
SELECT format('table %I is unlogged', u.tab), 'and', min(u.n), 'creates a logged one that refers to it'
FROM used u JOIN tabs t ON t.tab = u.tab
WHERE u.how = 'REFERENCES' AND t.relpersistence = 'u'
    AND NOT EXISTS (SELECT 1 FROM tabs WHERE tabs.tab = u.by AND tabs.relpersistence = 'u')
GROUP BY u.tab
UNION ALL
SELECT format('role %I may not create tables in schema %I', current_user, current_schema()),
    NULL, 0, NULL
WHERE EXISTS (SELECT 1 FROM made WHERE name IS NOT NULL)
    AND NOT has_schema_privilege(current_schema(), 'CREATE')
UNION ALL
SELECT format('role %I may not use the language plpgsql', current_user), 'and', min(n),
    'is written in it'
FROM plpgsql WHERE NOT EXISTS (SELECT 1 FROM pg_language
    WHERE lanname = 'plpgsql' AND has_language_privilege(oid, 'USAGE'))
HAVING count(n) > 0;
