-- Changes all columns of experiment ids in the current schema, and the sequence of ids, to 64 bits. Returns nothing.
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN
        SELECT a.attrelid::regclass AS t, a.attname
        FROM pg_attribute a
        JOIN pg_class r ON r.oid = a.attrelid
        WHERE a.attname = 'experiment_id' AND a.atttypid = 'integer'::regtype AND r.relkind = 'r'
            AND r.relnamespace = quote_ident(current_schema())::regnamespace AND NOT a.attisdropped
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I TYPE bigint', c.t, c.attname);
    END LOOP;
    EXECUTE format('ALTER SEQUENCE %s AS bigint', pg_get_serial_sequence('experiments', 'experiment_id'));
END
$$;
