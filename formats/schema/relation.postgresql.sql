-- The type of the relation with a given name in the current schema. :'name' is the name.
--   'view', 'materialized view', 'foreign table', 'sequence', 'type' or 'relation'; no row if there is none
SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
    WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'type' ELSE 'relation' END
FROM pg_class
WHERE relname = :'name' AND relnamespace = quote_ident(current_schema())::regnamespace;
