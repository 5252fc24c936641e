-- For psql, as a role that may create in schema public, and nothing else: objects there with the names of PostgreSQL's own.
-- Each call counts in the sequence public.evil, which no ROLLBACK takes back.
--
--   -v kind=same    functions and operators with the arguments of PostgreSQL's own
--   -v kind=better  with arguments that fit MLflow's columns better: varchar for text, integer for bigint
\set ON_ERROR_STOP on
\set QUIET on
SET search_path = pg_catalog;
CREATE SEQUENCE public.evil;
GRANT ALL ON SEQUENCE public.evil TO PUBLIC;
SELECT (:'kind' = 'better')::text AS better \gset
SELECT set_config('evil.better', :'better', false) \g /dev/null

CREATE FUNCTION pg_temp.argument(t oid) RETURNS text LANGUAGE sql AS
    $$ SELECT CASE WHEN current_setting('evil.better')::bool THEN CASE t WHEN 25 THEN 'character varying' WHEN 20 THEN 'integer' ELSE t::regtype::text END ELSE t::regtype::text END $$;

-- Functions whose types are all types of values.
SELECT format('CREATE FUNCTION public.%I(%s) RETURNS %s%s LANGUAGE plpgsql AS '
    '$f$ BEGIN PERFORM pg_catalog.nextval(''public.evil''::pg_catalog.regclass); RETURN%s; END $f$',
    p.proname, a.list, CASE WHEN p.proretset THEN 'SETOF ' END, p.prorettype::regtype, CASE WHEN NOT p.proretset THEN ' NULL' END)
FROM (SELECT DISTINCT ON (proname, args) * FROM (SELECT *, (SELECT string_agg(pg_temp.argument(t), ', ' ORDER BY n)
        FROM unnest(proargtypes) WITH ORDINALITY x(t, n)) AS args FROM pg_proc) q ORDER BY proname, args) p,
    LATERAL (SELECT coalesce(p.args, '') AS list) a
WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.proargmodes IS NULL AND p.provariadic = 0
    AND NOT EXISTS (SELECT FROM pg_type WHERE typtype = 'p' AND (oid = p.prorettype OR oid = ANY (p.proargtypes)))
    AND (NOT :better OR EXISTS (SELECT FROM unnest(p.proargtypes) t WHERE t IN (20, 25)))
    AND NOT (:better AND EXISTS (SELECT FROM pg_proc o WHERE o.pronamespace = p.pronamespace AND o.proname = p.proname
        AND p.args = (SELECT string_agg(t::regtype::text, ', ' ORDER BY n) FROM unnest(o.proargtypes) WITH ORDINALITY x(t, n))))
\gexec

-- Aggregates.
SELECT format('CREATE FUNCTION public.evil_state(%s, %s) RETURNS %1$s LANGUAGE plpgsql AS '
    '$f$ BEGIN PERFORM pg_catalog.nextval(''public.evil''::pg_catalog.regclass); RETURN $1; END $f$', state, arg)
FROM (VALUES ('int8', 'int8'), ('int8', 'int4'), ('int8', 'varchar'), ('int8', 'text'), ('text', 'text'), ('varchar', 'varchar')) v(state, arg)
\gexec
SELECT format('CREATE AGGREGATE public.%I(%s) (SFUNC = public.evil_state, STYPE = %s)', name, CASE WHEN :better THEN fit ELSE arg END,
    CASE WHEN name IN ('count', 'sum') OR arg = 'int8' THEN 'int8' WHEN :better THEN 'varchar' ELSE 'text' END)
FROM (VALUES ('count', 'int8', 'int4'), ('count', 'text', 'varchar'), ('max', 'int8', 'int8'), ('max', 'text', 'varchar'), ('min', 'text', 'varchar'))
    v(name, arg, fit)
WHERE NOT (:better AND name = 'max' AND arg = 'int8') AND (:better OR name <> 'count')
\gexec
CREATE FUNCTION public.evil_state(int8) RETURNS int8 LANGUAGE plpgsql AS
    $f$ BEGIN PERFORM pg_catalog.nextval('public.evil'::pg_catalog.regclass); RETURN $1; END $f$;
CREATE AGGREGATE public.count(*) (SFUNC = public.evil_state, STYPE = int8);

-- Operators.
SELECT DISTINCT format('CREATE FUNCTION public.evil_operator(%s, %s) RETURNS %s LANGUAGE plpgsql AS '
    '$f$ BEGIN PERFORM pg_catalog.nextval(''public.evil''::pg_catalog.regclass); RETURN NULL; END $f$', l, r, result)
FROM (SELECT DISTINCT ON (l, r) pg_temp.argument(oprleft) AS l, pg_temp.argument(oprright) AS r, CASE oprresult WHEN 16 THEN 'bool' ELSE 'text' END AS result
    FROM pg_operator WHERE oprleft IN (16, 19, 20, 23, 25, 26) AND oprright IN (16, 19, 20, 23, 25, 26) AND oprresult = 16 ORDER BY 1, 2) o
\gexec
SELECT DISTINCT format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.evil_operator)', oprname, l, r)
FROM (SELECT oprname, oprleft, oprright, pg_temp.argument(oprleft) AS l, pg_temp.argument(oprright) AS r
    FROM pg_operator WHERE oprleft IN (16, 19, 20, 23, 25, 26) AND oprright IN (16, 19, 20, 23, 25, 26) AND oprresult = 16) o
WHERE NOT (:better AND EXISTS (SELECT FROM pg_operator c WHERE c.oprname = o.oprname AND c.oprleft::regtype::text = l AND c.oprright::regtype::text = r)
    AND (l, r) NOT IN (('character varying', 'character varying')))
\gexec

-- Types, a table and a view.
CREATE TYPE public.text AS (a int4);
CREATE TYPE public.varchar AS (a int4);
CREATE TABLE public.pg_class (LIKE pg_catalog.pg_class);
CREATE TABLE public.pg_attribute (attrelid oid, attname name);
CREATE VIEW public.pg_namespace AS SELECT 1::oid AS oid, 'x'::name AS nspname, nextval('public.evil') AS n;
GRANT SELECT ON public.pg_class, public.pg_attribute, public.pg_namespace TO PUBLIC;
