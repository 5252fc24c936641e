-- The checks of run statuses without KILLED that MLflow 1.5.0 left in addition to the new one.
--   the constraint's name
SELECT k.conname
FROM pg_constraint k
JOIN pg_class t ON t.oid = k.conrelid
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = 'status' AND k.conkey = ARRAY[a.attnum]
WHERE k.contype = 'c' AND t.relname = 'runs' AND t.relnamespace = quote_ident(current_schema())::regnamespace
    AND pg_get_constraintdef(k.oid) LIKE '%SCHEDULED%' AND pg_get_constraintdef(k.oid) NOT LIKE '%KILLED%'
ORDER BY 1;
