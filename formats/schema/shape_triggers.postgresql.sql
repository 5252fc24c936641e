-- The triggers and rules of all tables of the current schema, as the beginnings of facts.
--   table, "trigger NAME " or "rule NAME ", the rest: "disabled", or its definition (a trigger's with the text of its
--   function)
WITH t AS (
    SELECT oid, relname::text AS name FROM pg_class
    WHERE relkind IN ('r', 'p') AND relnamespace = quote_ident(current_schema())::regnamespace)
SELECT t.name, 'trigger ' || g.tgname || ' ',
    CASE WHEN g.tgenabled IN ('D', 'R') THEN 'disabled'
        ELSE pg_get_triggerdef(g.oid, true) || ' ' || f.prosrc END
FROM pg_trigger g
JOIN t ON t.oid = g.tgrelid
JOIN pg_proc f ON f.oid = g.tgfoid
WHERE NOT g.tgisinternal
UNION ALL
SELECT t.name, 'rule ' || w.rulename || ' ',
    CASE WHEN w.ev_enabled IN ('D', 'R') THEN 'disabled' ELSE pg_get_ruledef(w.oid, true) END
FROM pg_rewrite w
JOIN t ON t.oid = w.ev_class;
