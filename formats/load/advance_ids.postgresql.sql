-- Advances the sequences of tables past the values in their columns. The setting mlruns_tools.tables is an array of the
-- tables: SELECT set_config('mlruns_tools.tables', '{runs,tags}', true). Returns nothing.
--
-- A sequence cannot be set to 0: with only experiment 0 it stays at its start. setval is not rolled back, RESTART is,
-- but requires the owner.
DO $$
DECLARE
    c record;
    highest bigint;
BEGIN
    FOR c IN
        SELECT a.attrelid::regclass AS t, a.attname AS a,
            pg_get_serial_sequence(a.attrelid::regclass::text, a.attname) AS s
        FROM pg_attribute a
        WHERE a.attnum > 0 AND NOT a.attisdropped
            AND a.attrelid = ANY (current_setting('mlruns_tools.tables', true)::regclass[])
    LOOP
        CONTINUE WHEN c.s IS NULL;
        EXECUTE format('SELECT max(%I) FROM %s', c.a, c.t) INTO highest;
        CONTINUE WHEN highest IS NULL OR highest <= 0;
        IF highest < (SELECT seqmax FROM pg_sequence WHERE seqrelid = c.s::regclass)
            AND pg_has_role((SELECT relowner FROM pg_class WHERE oid = c.s::regclass), 'USAGE') THEN
            EXECUTE format('ALTER SEQUENCE %s RESTART WITH %s', c.s, highest + 1);
        ELSE
            PERFORM setval(c.s, highest);
        END IF;
    END LOOP;
END
$$;
