#!/usr/bin/env bats
# PostgreSQL, where another role may create objects with the names of PostgreSQL's own (CVE-2018-1058): no program and no
# command runs any of them.

load helpers
strict_pipes

setup_file() {
    start_postgres
    psql -qX -U postgres -d mlflow -c 'CREATE ROLE mallory LOGIN'
    for kind in same better; do
        createdb -E UTF8 -T template0 $kind
        psql -qX -U postgres -d $kind -c 'GRANT CREATE ON SCHEMA public TO PUBLIC'
        psql -qX -U mallory -d $kind -v kind=$kind -f "$ROOT/tests/evil_schema.sql"
    done
}

teardown_file() {
    stop_postgres
}

setup() {
    work
    copy_tree
    mlruns-dump -q mlruns | ml-transform --json | jq -c 'if .experiment_id then .experiment_id |= .[0:3] else . end' |
        ml-transform --from-json --reseal >a.mlr
}

sql() { # DATABASE SQL
    psql -qAtX -v ON_ERROR_STOP=1 -d "$1" -c "$2"
}

# trapped KIND: a new database, $db and $url, with the objects of evil_schema.sql in public.
trapped() {
    db=t${BATS_TEST_NUMBER}_$((n++))
    createdb -T "$1" "$db"
    psql -qX -U postgres -d "$db" -c 'GRANT CREATE ON SCHEMA public TO PUBLIC'
    url=postgresql:///$db
}

assert_not_run() {
    assert_equal "$(sql "$db" 'SELECT is_called FROM public.evil')" f
}

# everything: each program and command that connects, against $url, which is empty.
everything() {
    ml-schema create -q --release 2.22.5 "$url"
    ml-schema current "$url" | grep . >/dev/null
    ml-schema history "$url" | grep applied >/dev/null
    ml-schema check "$url" >/dev/null || [ $? -eq 1 ]
    ml-schema upgrade -q --dry-run --to 3.17.2 "$url" >/dev/null
    ml-schema upgrade -q --recover --to 3.17.2 "$url"
    ml-schema check --release 3.17.2 "$url"
    ml-load -q -n "$url" <a.mlr
    ml-load -q "$url" <a.mlr
    ml-verify -q "$url" <a.mlr
    mldb-dump -q "$url" | cmp - <(mldb-dump -q "$url")
    sql "$db" "SET search_path = $1; SET standard_conforming_strings = on; INSERT INTO workspaces (name) VALUES ('team'); UPDATE experiments SET workspace = 'team' WHERE name <> 'Default'" ||
        true
    ml-schema migrate-to-default-workspace -q --dry-run "$url" >/dev/null
    ml-schema migrate-to-default-workspace -q --yes "$url" >/dev/null
}

@test "the traps work: whoever ignores the search path falls into them" {
    trapped better
    sql "$db" "SELECT lower('x'::varchar)" >/dev/null
    assert_equal "$(sql "$db" 'SELECT is_called FROM public.evil')" t
    trapped same
    sql "$db" "SET search_path = public, pg_catalog; SELECT lower('x'::pg_catalog.text)" >/dev/null
    assert_equal "$(sql "$db" 'SELECT is_called FROM public.evil')" t
}

@test "in a schema of its own nothing of public is run, whatever the order of the user's search path" {
    for path in 'mine, public' 'mine, public, pg_catalog' '"My ""own"" schéma", public, pg_catalog'; do
        for kind in same better; do
            trapped $kind
            sql "$db" "CREATE SCHEMA ${path%%, public*}"
            sql "$db" "ALTER DATABASE $db SET search_path = $path"
            everything "${path%%, public*}, pg_catalog"
            assert_not_run
            assert_equal "$(sql "$db" "SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 50 FROM pg_catalog.pg_tables WHERE schemaname OPERATOR(pg_catalog.<>) 'public' AND schemaname OPERATOR(pg_catalog.!~) '^(pg_|information)'")" t
        done
    done
}

@test "in schema public PostgreSQL's own functions and operators win over others with the same arguments" {
    for path in public 'public, pg_catalog'; do
        trapped same
        sql "$db" "ALTER DATABASE $db SET search_path = $path"
        everything pg_catalog,public
        assert_not_run
    done
    trapped same
    ml-load -q --release 3.17.2 --wide-experiment-ids "$url" <a.mlr
    ml-verify -q "$url" <a.mlr
    assert_not_run
}

@test "in schema public every command refuses if another role's function would fit better, and names it" {
    trapped better
    before=$(pg_dump -s "$db" | grep -v restrict | sha256sum)
    for command in 'ml-schema create --release 3.17' 'ml-schema current' 'ml-schema history' 'ml-schema check' 'ml-schema upgrade --to 3.17' \
        'ml-schema upgrade --dry-run --to 3.17' 'ml-schema upgrade --recover --to 3.17' 'ml-schema migrate-to-default-workspace --yes' \
        'ml-schema migrate-to-default-workspace --dry-run' 'ml-load' 'ml-load -n' 'ml-load --wide-experiment-ids' 'ml-verify' mldb-dump; do
        # shellcheck disable=SC2086 # words
        run_split $command "$url" <a.mlr
        assert_status 2
        assert_contains "$stderr" "schema public contains function"
        assert_contains "$stderr" "of role mallory, which could be called instead of PostgreSQL's own"
        assert_contains "$stderr" "hint: drop it and revoke the right to create objects there: REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    done
    assert_not_run
    assert_equal "$(pg_dump -s "$db" | grep -v restrict | sha256sum)" "$before"
    # what the role itself, a role that it belongs to, or a superuser has made there is trusted
    trapped same
    sql "$db" 'CREATE FUNCTION public.lower(pg_catalog.varchar) RETURNS pg_catalog.text LANGUAGE sql AS $$ SELECT $1 $$'
    psql -qX -U postgres -d "$db" -c 'CREATE EXTENSION citext SCHEMA public' || true
    run_split ml-load "$url" <a.mlr
    assert_status 0
}

@test "a load is not committed if a function appears during it" {
    createdb -E UTF8 -T template0 late
    psql -qX -U postgres -d late -c 'GRANT CREATE ON SCHEMA public TO PUBLIC'
    db=late url=postgresql:///late
    begin ml-load "$url"
    head -c 5000 a.mlr >&9
    PGDATABASE=late wait_for any_session "query LIKE 'COPY %'" # its transaction has begun
    wait_for waits_for_more $pid
    psql -qX -U mallory -d late -c 'CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql AS $$ SELECT $1 $$'
    tail -c +5001 a.mlr >&9
    finish
    assert_status 2
    assert_contains "$stderr" "schema public contains function public.lower(character varying) of role mallory"
    assert_equal "$(sql late "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")" 0
}

# filled: a new database, $db and $url, with MLflow's tables of 3.2, empty, and the functions of evil_parts.sql.
filled() {
    db=t${BATS_TEST_NUMBER}_$((n++)) PGDATABASE=$db
    export PGDATABASE
    createdb -E UTF8 -T template0 "$db"
    url=postgresql:///$db
    ml-schema create -q --release 3.2 "$url"
    as postgres "$(cat "$ROOT/tests/evil_parts.sql")"
}

as() { # ROLE SQL
    echo "$2" | psql -qAtX -v ON_ERROR_STOP=1 -U "$1"
}

# refused_code PART FUNCTION COMMAND...: each command names both and changes nothing; no function is called.
refused_code() {
    local part=$1 function=$2 command
    shift 2
    before=$(pg_dump "$db" | grep -v restrict | sha256sum)
    for command; do
        # shellcheck disable=SC2086 # words
        run_split $command "$url" <a.mlr
        assert_status 2
        assert_contains "$stderr" ": $part calls function $function of role mallory, which would run with your rights"
        assert_contains "$stderr" "hint: inspect it with \\sf $function in psql; then give it to the table's owner: ALTER FUNCTION $function OWNER TO mlflow; or remove it: "
    done
    assert_equal "$(pg_dump "$db" | grep -v restrict | sha256sum)" "$before"
    assert_equal "$(sql "$db" 'SELECT is_called FROM evil.calls')" f
}

@test "with a trigger that calls another role's function, commands that write or plan to refuse, and those that read go on" {
    filled
    as mallory 'CREATE TRIGGER audit BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION evil.row()'
    refused_code "trigger audit of table public.runs" 'evil."row"()' ml-load 'ml-load -n' 'ml-load --wide-experiment-ids' 'ml-load --sync' 'ml-load --sync -n' \
        'ml-schema upgrade -q --to head' 'ml-schema upgrade -q --recover --to head' 'ml-schema upgrade -q --dry-run --to head' \
        'ml-schema migrate-to-default-workspace --yes' 'ml-schema migrate-to-default-workspace --dry-run'
    mldb-dump -q "$url" >empty.mlr
    ml-verify -q --data-only "$url" <empty.mlr >report
    ml-schema check --release 3.2 "$url" >report || [ $? -eq 1 ]
    for command in current history; do ml-schema $command "$url" >report; done
    assert_equal "$(sql "$db" 'SELECT is_called FROM evil.calls')" f
}

@test "whatever calls another role's function when rows are written is refused and named, until it is dropped or changes its owner" {
    filled
    while IFS='|' read -r role sql part function undo; do
        as "$role" "$sql"
        refused_code "$part" "$function" ml-load 'ml-schema upgrade -q --to head'
        hint=${stderr##*or remove it: }
        if [ "$undo" = hint ]; then # what the hint says
            as mlflow "$hint"
        else
            as postgres "$undo"
        fi
        run_split ml-load -n "$url" <a.mlr
        assert_status 0
    done <<'END'
mallory|CREATE TRIGGER "An audit" BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION evil.row()|trigger "An audit" of table public.runs|evil."row"()|hint
mallory|CREATE TRIGGER emptied AFTER TRUNCATE ON metrics EXECUTE FUNCTION evil.statement()|trigger emptied of table public.metrics|evil.statement()|hint
mallory|CREATE CONSTRAINT TRIGGER late AFTER INSERT ON alembic_version DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION evil.row()|trigger late of table public.alembic_version|evil."row"()|hint
mallory|CREATE TRIGGER cond BEFORE UPDATE ON runs FOR EACH ROW WHEN (evil.good(NEW.run_uuid)) EXECUTE FUNCTION suppress_redundant_updates_trigger()|trigger cond of table public.runs|evil.good(text)|hint
mlflow|CREATE RULE note AS ON INSERT TO runs DO ALSO SELECT evil.text()|rule note of table public.runs|evil.text()|hint
mlflow|CREATE RULE note AS ON INSERT TO runs DO ALSO INSERT INTO evil.audit VALUES (NEW.run_uuid)|trigger watch of table evil.audit|evil."row"()|DROP RULE note ON runs
mlflow|ALTER TABLE tags ALTER value SET DEFAULT evil.text()|column value of table public.tags|evil.text()|hint
mlflow|CREATE FUNCTION mine() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT evil.text(); END; ALTER TABLE tags ALTER value SET DEFAULT mine()|column value of table public.tags|evil.text()|hint
mlflow|ALTER TABLE params ADD shown text GENERATED ALWAYS AS (evil.same(value)) STORED|column shown of table public.params|evil.same(text)|hint
mlflow|ALTER TABLE experiments ADD CONSTRAINT fine CHECK (evil.good(name)) NOT VALID|constraint fine of table public.experiments|evil.good(text)|hint
mlflow|ALTER TABLE experiments ADD CONSTRAINT fine CHECK (name OPERATOR(evil.===) 'x')|constraint fine of table public.experiments|evil.equal(text,text)|hint
mlflow|CREATE INDEX "By name" ON experiments (evil.same(name))|index "By name" of table public.experiments|evil.same(text)|hint
mlflow|CREATE INDEX noted ON tags (key) WHERE evil.good(value)|index noted of table public.tags|evil.good(text)|hint
mlflow|ALTER TABLE tags ADD more evil.name[]|column more of table public.tags|evil.good(text)|ALTER TABLE tags DROP more
mlflow|CREATE TABLE old_runs () INHERITS (runs); GRANT ALL ON SCHEMA evil TO mlflow; CREATE TRIGGER a BEFORE UPDATE ON old_runs FOR EACH ROW EXECUTE FUNCTION evil.row()|trigger a of table public.old_runs|evil."row"()|DROP TABLE old_runs
mallory|CREATE TRIGGER audit BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION evil.row()|trigger audit of table public.runs|evil."row"()|ALTER FUNCTION evil.row() OWNER TO mlflow
END
    run_split ml-load "$url" <a.mlr
    assert_status 0
    assert_equal "$(sql "$db" 'SELECT is_called FROM evil.calls')" t
}

@test "functions of the owner, a superuser and PostgreSQL are called; objects that are not MLflow's, or disabled, do not matter" {
    filled
    as mallory 'CREATE TRIGGER off BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION evil.row()'
    as mlflow 'ALTER TABLE runs DISABLE TRIGGER off;
        CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
        CREATE TRIGGER own BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION own();
        CREATE TRIGGER same BEFORE UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
        CREATE INDEX lowered ON experiments (lower(name))'
    as postgres 'CREATE FUNCTION boss() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
        CREATE TRIGGER boss BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION boss();
        CREATE ROLE bob; CREATE TABLE bobs (a int); ALTER TABLE bobs OWNER TO bob;
        CREATE TRIGGER a BEFORE INSERT ON bobs FOR EACH ROW EXECUTE FUNCTION evil.row()'
    # a role that this one belongs to
    as postgres 'CREATE ROLE staff; GRANT staff TO mlflow; ALTER FUNCTION evil.statement() OWNER TO staff;
        GRANT USAGE ON SCHEMA evil TO staff; CREATE TRIGGER staff BEFORE INSERT ON runs EXECUTE FUNCTION evil.statement()'
    ml-schema upgrade -q --to 3.17.2 "$url"
    ml-load -q "$url" <a.mlr
    ml-verify -q --data-only "$url" <a.mlr >report
}

@test "a trigger that appears during a load is not run" {
    filled
    begin ml-load "$url"
    head -c 5000 a.mlr >&9
    wait_for any_session
    wait_for waits_for_more $pid
    as mallory 'CREATE TRIGGER audit BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION evil.row()'
    tail -c +5001 a.mlr >&9
    finish
    assert_status 2
    assert_contains "$stderr" "trigger audit of table public.runs calls function evil.\"row\"() of role mallory"
    assert_equal "$(sql "$db" 'SELECT is_called FROM evil.calls')" f
    assert_equal "$(sql "$db" 'SELECT count(*) FROM experiments')" 0
}

@test "a policy that would silently hide rows is an error" {
    filled
    as postgres 'DROP SCHEMA evil CASCADE; CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader'
    ml-load -q "$url" <a.mlr
    mldb-dump -q "$url" >all.mlr
    PGUSER=reader mldb-dump -q "$url" | cmp - all.mlr
    as mlflow "ALTER TABLE runs ENABLE ROW LEVEL SECURITY; CREATE POLICY failed ON runs USING (status = 'FAILED')"
    for command in mldb-dump 'ml-verify --data-only' ml-verify; do
        # shellcheck disable=SC2086 # words
        PGUSER=reader run_split $command "$url" <all.mlr
        assert_status 2
        assert_contains "$stderr" 'query would be affected by row-level security policy for table "runs"'
        assert_contains "$stderr" "hint: use the tables' owner or a role with BYPASSRLS, which see all rows"
    done
    mldb-dump -q "$url" | cmp - all.mlr # as the owner
}

@test "the script of ml-schema sql works only in the first schema of the search path" {
    for kind in same better; do
        trapped $kind
        sql "$db" 'CREATE SCHEMA mine'
        sql "$db" "ALTER DATABASE $db SET search_path = mine, public, pg_catalog"
        ml-schema sql -q --dialect postgresql --to 3.17.2 | psql -qX -v ON_ERROR_STOP=1 -d "$db"
        ml-schema check --release 3.17.2 "$url"
        assert_not_run
    done
}
