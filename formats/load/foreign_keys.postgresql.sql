-- The foreign keys from and to tables. Those of a partition are created with those of the partitioned table. :'tables'
-- is an array of the tables, as '{runs,tags}'.
--   the statement that drops it, the statements that recreate it
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
    concat_ws(E';\n',
        format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)),
        format('COMMENT ON CONSTRAINT %I ON %s IS ', conname, conrelid::regclass)
            || quote_literal(obj_description(oid, 'pg_constraint')))
FROM pg_constraint
WHERE contype = 'f' AND conparentid = 0
    AND (conrelid = ANY (:'tables'::regclass[]) OR confrelid = ANY (:'tables'::regclass[]))
ORDER BY oid;
