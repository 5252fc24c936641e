-- Defers the triggers of constraints that are kept. :'tables' is an array of the tables, as '{runs,tags}'.
--   a statement; NULL if there are no such constraints
SELECT 'SET CONSTRAINTS ' || string_agg(format('%s.%I', connamespace::regnamespace, conname), ', ') || ' DEFERRED'
FROM pg_constraint
WHERE conrelid = ANY (:'tables'::regclass[]) AND contype IN ('t', 'x') AND condeferred;
