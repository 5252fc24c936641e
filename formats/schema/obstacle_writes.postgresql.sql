-- Statements to be planned only: the server then checks whether the role may write there, and whether a published table
-- can be written.
--   the statement, NULL, the rev of the revision that writes there, NULL
--
-- :'needs' is JSON: the requirements of an upgrade's revisions, by list (needs.h); {} for none.
WITH RECURSIVE
written AS (SELECT * FROM json_to_recordset(:'needs'::json -> 'written') AS x (tab text, how text, n int)),
here AS (SELECT * FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace),
tabs AS (SELECT *, relname::text AS tab FROM here WHERE relkind IN ('r', 'p'))
SELECT CASE w.how WHEN 'INSERT' THEN format('EXPLAIN INSERT INTO %s DEFAULT VALUES', t.oid::regclass)
        WHEN 'DELETE' THEN format('EXPLAIN DELETE FROM %s', t.oid::regclass)
        ELSE format('EXPLAIN UPDATE %s SET %I = %2$I', t.oid::regclass,
            (SELECT attname FROM pg_attribute WHERE attrelid = t.oid AND attnum > 0
                AND NOT attisdropped AND attgenerated = '' AND attidentity <> 'a'
                ORDER BY attnum LIMIT 1)) END,
    NULL, min(w.n), NULL
FROM written w JOIN tabs t ON t.tab = w.tab
GROUP BY w.how, t.oid;
