#!/usr/bin/env bats
# ml-schema on PostgreSQL, without MLflow: what it judges and mends there, and with how few rights.

load helpers

setup_file() {
    start_postgres
}

teardown_file() {
    stop_postgres
}

setup() {
    work
    PGDATABASE=t$BATS_TEST_NUMBER
    export PGDATABASE
    createdb "$PGDATABASE"
    url=postgresql:///$PGDATABASE
}

edit() {
    psql -qAtX -v ON_ERROR_STOP=1 -c "$1"
}

# check_says RELEASE [LINE…]: these lines alone, and status 1; none: status 0
check_says() {
    release=$1
    shift
    run_split ml-schema check --release "$release" "$url"
    assert_status $(($# > 0))
    [ $# -eq 0 ] || assert_equal "$output" "$(printf '%s\n' "$@")"
}

@test "check only needs the privileges to connect and to read alembic_version, and creates nothing" {
    ml-schema create -q --release 3.17 "$url"
    psql -qX -U postgres -c "CREATE ROLE reader$BATS_TEST_NUMBER LOGIN" -c "GRANT SELECT ON alembic_version TO reader$BATS_TEST_NUMBER" \
        -c "REVOKE ALL ON DATABASE $PGDATABASE FROM PUBLIC" -c "GRANT CONNECT ON DATABASE $PGDATABASE TO reader$BATS_TEST_NUMBER" \
        -c "ALTER ROLE reader$BATS_TEST_NUMBER SET default_transaction_read_only = on"
    PGUSER=reader$BATS_TEST_NUMBER check_says 3.17
    edit "DROP TABLE spans CASCADE; ALTER TABLE runs DROP COLUMN deleted_time"
    PGUSER=reader$BATS_TEST_NUMBER check_says 3.17 "table runs: missing: column deleted_time bigint" \
        "table span_metrics: missing: foreign key (trace_id, span_id) REFERENCES spans(trace_id, span_id) ON DELETE CASCADE" \
        "table spans is missing"
}

@test "check judges a hot standby" {
    ml-schema create -q --release 3.17 "$url"
    edit "DROP INDEX index_tags_run_uuid"
    standby=$(sh "$ROOT/tests/postgres.sh" standby "$PGDIR")
    eval "$standby"
    export PGHOST=$STANDBY_HOST PGPORT=$STANDBY_PORT
    in_recovery=$(edit "SELECT pg_is_in_recovery()")
    run_split ml-schema check --release 3.17 "$url"
    sh "$ROOT/tests/postgres.sh" stop "$STANDBY_DIR"
    assert_equal "$in_recovery" t
    assert_status 1
    assert_equal "$output" "table tags: missing: index index_tags_run_uuid on btree (run_uuid)"
}

@test "a missing index that another one makes redundant is tolerated, and reported" {
    ml-schema create -q --release 3.17 "$url"
    edit "DROP INDEX index_metrics_run_uuid"
    run_split ml-schema check --release 3.17 "$url"
    assert_status 0
    assert_contains "$output" "table metrics: tolerated: missing: index index_metrics_run_uuid on btree (run_uuid)"
}

@test "tables of another program with MLflow's names are not MLflow's: the columns decide" {
    edit "CREATE TABLE runs (id int PRIMARY KEY, state text)"
    assert_equal "$(ml-schema current "$url")" empty
}

@test "upgrade --recover drops the list of statuses without KILLED that old releases left, and nothing else" {
    for release in 3.17 2.22; do
        dropdb "$PGDATABASE"
        createdb "$PGDATABASE"
        ml-schema create -q --release $release "$url"
        pg_dump -s "$PGDATABASE" | grep -v '^.\(un\)\?restrict' >before
        edit "ALTER TABLE runs ADD CONSTRAINT status CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING'))"
        edit "INSERT INTO experiments (name) VALUES ('e')"
        run_split edit "INSERT INTO runs (run_uuid, experiment_id, status) VALUES ('r', 1, 'KILLED')"
        [ "$status" -ne 0 ]
        ml-schema upgrade -q --to $release "$url" # without --recover nothing is touched, and no upgrade stopped
        check_says $release "table runs: not MLflow's: check ((status = ANY (ARRAY['SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING'])))"
        run_split ml-schema upgrade --recover --to $release "$url"
        assert_status 0
        assert_contains "$stderr" "incomplete: table runs: check status: statuses without KILLED, of MLflow 1.5.0"
        check_says $release
        pg_dump -s "$PGDATABASE" | grep -v '^.\(un\)\?restrict' | diff - before
        edit "INSERT INTO runs (run_uuid, experiment_id, status) VALUES ('r', 1, 'KILLED')"
    done
}
