-- A table's columns, in order. :table is its name.
--   name, declared type, whether it is NOT NULL (0, 1), its default as an expression or NULL, whether it is generated
--   (0, 1), its position in the primary key from 1 or 0
SELECT name, type, "notnull", dflt_value, hidden IN (2, 3), pk
FROM pragma_table_xinfo(:table)
WHERE hidden <> 1
ORDER BY cid;
