-- Why indexes and keys of tables cannot be dropped and recreated, or what would be lost: indexes of partitioned tables
-- are attached to others; TRUNCATE makes an index valid; a foreign key whose triggers a superuser has disabled would be
-- recreated with enabled ones. :'tables' is an array of the tables, as '{runs,tags}'.
--   the reason; no row if there is none
WITH tables AS (
    SELECT oid::regclass AS name, * FROM pg_class WHERE oid = ANY (:'tables'::regclass[])
), foreign_keys AS (
    SELECT * FROM pg_constraint
    WHERE contype = 'f' AND (conrelid = ANY (:'tables'::regclass[]) OR confrelid = ANY (:'tables'::regclass[]))
), altered AS (
    SELECT oid FROM tables UNION SELECT conrelid FROM foreign_keys
)
SELECT format('table %s belongs to another role', oid::regclass)
FROM pg_class JOIN altered USING (oid) WHERE NOT pg_has_role(relowner, 'USAGE')
UNION ALL
SELECT format('table %s is partitioned', name) FROM tables WHERE relkind = 'p' OR relispartition
UNION ALL
SELECT format('this role has no TRUNCATE privilege on table %s', name)
FROM tables WHERE NOT has_table_privilege(oid, 'TRUNCATE')
UNION ALL
SELECT format('this role has no REFERENCES privilege on table %s', r.t::regclass)
FROM foreign_keys, unnest(ARRAY[conrelid, confrelid]) AS r(t)
WHERE NOT has_table_privilege(r.t, 'REFERENCES')
UNION ALL
SELECT format('this role has no CREATE privilege on schema %s', relnamespace::regnamespace)
FROM tables WHERE NOT has_schema_privilege(relnamespace, 'CREATE')
UNION ALL
SELECT format('this role has no CREATE privilege on tablespace %I', s.spcname)
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_tablespace s ON s.oid = c.reltablespace
WHERE i.indrelid = ANY (:'tables'::regclass[]) AND NOT has_tablespace_privilege(s.oid, 'CREATE')
UNION ALL
SELECT format('index %s is not valid', indexrelid::regclass)
FROM pg_index WHERE indrelid = ANY (:'tables'::regclass[]) AND NOT indisvalid
UNION ALL
SELECT format('triggers of constraint %I are disabled', k.conname)
FROM pg_constraint k JOIN pg_trigger g ON g.tgconstraint = k.oid
WHERE g.tgisinternal AND g.tgenabled <> 'O' AND (k.oid IN (SELECT oid FROM foreign_keys)
    OR k.conrelid IN (SELECT oid FROM tables) AND k.contype IN ('p', 'u'))
LIMIT 1;
