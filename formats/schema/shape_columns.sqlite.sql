-- The columns of all tables, as the beginnings of facts.
--   table, "column NAME TYPE [NOT NULL] [DEFAULT x]", the text of the CREATE statement with the rest, the column's name
SELECT m.name, 'column ' || c.name || ' ' || upper(c.type) || iif(c."notnull", ' NOT NULL', '')
    || coalesce(' DEFAULT ' || trim(c.dflt_value, ''''), ''), m.sql, c.name
FROM sqlite_schema m, pragma_table_xinfo(m.name) c
WHERE m.type = 'table' AND m.rootpage > 0;
