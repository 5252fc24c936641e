#!/usr/bin/env bats
# PostgreSQL, where another role may create objects with the names of PostgreSQL's own (CVE-2018-1058): no program and no
# command runs any of them.

load helpers

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
    ml-schema current "$url" | grep -q .
    ml-schema history "$url" | grep -q applied
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

@test "the traps work: whoever does not mind the path falls into them" {
    trapped better
    sql "$db" "SELECT lower('x'::varchar)" >/dev/null
    assert_equal "$(sql "$db" 'SELECT is_called FROM public.evil')" t
    trapped same
    sql "$db" "SET search_path = public, pg_catalog; SELECT lower('x'::pg_catalog.text)" >/dev/null
    assert_equal "$(sql "$db" 'SELECT is_called FROM public.evil')" t
}

@test "a schema of one's own: nothing of public is run, whatever the order of the user's path" {
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

@test "schema public: PostgreSQL's own functions and operators come before others with the same arguments" {
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

@test "schema public: where another role's function would fit better, every command refuses, and names it" {
    trapped better
    before=$(pg_dump -s "$db" | grep -v restrict | sha256sum)
    for command in 'ml-schema create --release 3.17' 'ml-schema current' 'ml-schema history' 'ml-schema check' 'ml-schema upgrade --to 3.17' \
        'ml-schema upgrade --dry-run --to 3.17' 'ml-schema upgrade --recover --to 3.17' 'ml-schema migrate-to-default-workspace --yes' \
        'ml-schema migrate-to-default-workspace --dry-run' 'ml-load' 'ml-load -n' 'ml-load --wide-experiment-ids' 'ml-verify' mldb-dump; do
        # shellcheck disable=SC2086 # words
        run_split $command "$url" <a.mlr
        assert_status 2
        assert_contains "$stderr" "schema public holds function"
        assert_contains "$stderr" "of role mallory, which could run in the place of PostgreSQL's own"
        assert_contains "$stderr" "hint: drop it, and leave others no right to create there: REVOKE CREATE ON SCHEMA public FROM PUBLIC"
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

@test "a function that appears during a load: the load is not committed" {
    createdb -E UTF8 -T template0 late
    psql -qX -U postgres -d late -c 'GRANT CREATE ON SCHEMA public TO PUBLIC'
    db=late url=postgresql:///late
    begin ml-load "$url"
    head -c 5000 a.mlr >&9
    PGDATABASE=late wait_for any_session "state = 'idle in transaction'"
    wait_for waits_for_more $pid
    psql -qX -U mallory -d late -c 'CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql AS $$ SELECT $1 $$'
    tail -c +5001 a.mlr >&9
    finish
    assert_status 2
    assert_contains "$stderr" "schema public holds function public.lower(character varying) of role mallory"
    assert_equal "$(sql late "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")" 0
}

@test "the script of ml-schema sql works in the first schema of the path alone" {
    for kind in same better; do
        trapped $kind
        sql "$db" 'CREATE SCHEMA mine'
        sql "$db" "ALTER DATABASE $db SET search_path = mine, public, pg_catalog"
        ml-schema sql -q --dialect postgresql --to 3.17.2 | psql -qX -v ON_ERROR_STOP=1 -d "$db"
        ml-schema check --release 3.17.2 "$url"
        assert_not_run
    done
}
