-- Functions of other roles that writing to tables of a schema would call: by a trigger, rule, default, generated
-- column, constraint, index or column type; also on partitions and children of a table, and on tables named in its
-- rules. Other roles are those that neither own the table, nor are superusers, nor have the current one as a member.
-- :'schema' is the schema's name, :'tables' an array of names: '{runs,metrics}'.
--   the calling object, its table, the function, its role, the table's role, a statement that removes the call
--
-- Parts of a table lead by pg_depend to the functions that they call; a type does not lead to the constraints of a
-- domain this way. Policies are not included: to a session that they would apply to they are an error (row_security =
-- off).
WITH RECURSIVE trusted AS (SELECT oid FROM pg_roles WHERE rolsuper OR pg_has_role(oid, 'MEMBER')),
written (root, oid) AS (
    SELECT c.oid, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :'schema' AND c.relname = ANY (:'tables'::text[]) AND c.relkind IN ('r', 'p')
    UNION
    SELECT w.root, x.oid FROM written w, LATERAL (
        SELECT inhrelid FROM pg_inherits WHERE inhparent = w.oid
        UNION ALL
        SELECT d.refobjid FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass
            AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
        WHERE r.ev_class = w.oid AND r.ev_enabled <> 'D') x (oid)),
part (root, at, name, remedy, classid, objid) AS (
    SELECT w.root, w.oid, format('trigger %I', t.tgname), 'DROP TRIGGER %s ON %s',
        'pg_trigger'::regclass::oid, t.oid
    FROM written w JOIN pg_trigger t ON t.tgrelid = w.oid
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
    UNION ALL
    SELECT w.root, w.oid, format('rule %I', r.rulename), 'DROP RULE %s ON %s', 'pg_rewrite'::regclass, r.oid
    FROM written w JOIN pg_rewrite r ON r.ev_class = w.oid AND r.ev_enabled <> 'D'
    UNION ALL
    SELECT w.root, w.oid, format('column %I', a.attname), CASE a.attgenerated
        WHEN '' THEN 'ALTER TABLE %2$s ALTER %1$s DROP DEFAULT'
        ELSE 'ALTER TABLE %2$s DROP %1$s' END, 'pg_attrdef'::regclass, d.oid
    FROM written w JOIN pg_attrdef d ON d.adrelid = w.oid
    JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum = d.adnum
    UNION ALL
    SELECT w.root, w.oid, format('column %I', a.attname), 'ALTER TABLE %2$s ALTER %1$s TYPE …',
        'pg_type'::regclass, a.atttypid
    FROM written w JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT w.root, w.oid, format('constraint %I', c.conname), 'ALTER TABLE %2$s DROP CONSTRAINT %1$s',
        'pg_constraint'::regclass, c.oid
    FROM written w JOIN pg_constraint c ON c.conrelid = w.oid AND c.contype IN ('c', 'x')
    UNION ALL
    SELECT w.root, w.oid, format('index %I', r.relname), format('DROP INDEX %s', r.oid::regclass),
        'pg_class'::regclass, r.oid
    FROM written w JOIN pg_index i ON i.indrelid = w.oid JOIN pg_class r ON r.oid = i.indexrelid),
used (root, at, name, remedy, classid, objid) AS (
    SELECT * FROM part
    UNION
    SELECT u.root, u.at, u.name, u.remedy, x.classid, x.objid FROM used u, LATERAL (
        SELECT d.refclassid, d.refobjid FROM pg_depend d
        WHERE d.classid = u.classid AND d.objid = u.objid AND (d.refclassid IN
            ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass, 'pg_cast'::regclass)
            OR u.classid = 'pg_type'::regclass AND d.refclassid = 'pg_class'::regclass)
        UNION ALL
        SELECT 'pg_constraint'::regclass, c.oid FROM pg_constraint c
        WHERE u.classid = 'pg_type'::regclass AND c.contypid = u.objid) x (classid, objid))
SELECT u.name, u.at::regclass, p.oid::regprocedure, p.proowner::regrole, r.relowner::regrole,
    format(u.remedy, regexp_replace(u.name, '^[a-z]+ ', ''), u.at::regclass)
FROM used u JOIN pg_proc p ON u.classid = 'pg_proc'::regclass AND p.oid = u.objid
JOIN pg_class r ON r.oid = u.root
WHERE p.proowner <> r.relowner AND p.proowner NOT IN (SELECT oid FROM trusted)
GROUP BY 1, 2, 3, 4, 5, 6, u.at, p.oid ORDER BY u.at, 1, 3;
