-- For psql, as a superuser, with MLflow's tables in schema public: schema evil with functions of role mallory, each of which
-- counts its calls in the sequence evil.calls, which no ROLLBACK takes back.
\set ON_ERROR_STOP on
\set QUIET on
CREATE SCHEMA evil AUTHORIZATION mallory;
GRANT ALL ON SCHEMA evil TO PUBLIC;
GRANT TRIGGER ON ALL TABLES IN SCHEMA public TO mallory;
GRANT SELECT, REFERENCES ON ALL TABLES IN SCHEMA public TO mallory;
SET ROLE mallory;
CREATE SEQUENCE evil.calls;
GRANT ALL ON SEQUENCE evil.calls TO PUBLIC;
CREATE FUNCTION evil.row() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.calls'); RETURN NEW; END $$;
CREATE FUNCTION evil.statement() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.calls'); RETURN NULL; END $$;
CREATE FUNCTION evil.text() RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.calls'); RETURN 'x'; END $$;
-- said to have no effects, so that generated columns and indexes take them
CREATE FUNCTION evil.same(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.calls'); RETURN $1; END $$;
CREATE FUNCTION evil.good(text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.calls'); RETURN true; END $$;
CREATE FUNCTION evil.equal(text, text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_catalog.nextval('evil.calls'); RETURN true; END $$;
CREATE OPERATOR evil.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.equal);
CREATE DOMAIN evil.name AS text CHECK (evil.good(VALUE));
CREATE TABLE evil.audit (run_uuid text);
GRANT ALL ON evil.audit TO PUBLIC;
CREATE TRIGGER watch BEFORE INSERT ON evil.audit FOR EACH ROW EXECUTE FUNCTION evil.row();
