-- A table's columns, in order. :'table' is its name, in the current schema.
--   name, declared type, whether it is NOT NULL, its default as an expression or NULL, whether it is generated, its
--   position in the primary key from 1 or NULL
SELECT a.attname, replace(upper(format_type(a.atttypid, a.atttypmod)), 'CHARACTER VARYING', 'VARCHAR'),
    a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attgenerated <> '',
    array_position(i.indkey::int2[], a.attnum) + 1
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
    AND c.relnamespace = quote_ident(current_schema())::regnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE c.relname = :'table' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;
