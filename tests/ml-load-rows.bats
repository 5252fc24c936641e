#!/usr/bin/env bats
# ml-load: the rows of tables that a file store does not have, from database to database.

load helpers

setup() {
    work
    copy_tree
    mlruns-dump -q mlruns | ml-transform --json |
        jq -c 'if .experiment_id then .experiment_id |= .[0:3] else . end' |
        ml-transform --from-json --reseal | ml-load -q --release 3.17.2 sqlite:///a.db
    assert_equal "$(python3 "$ROOT/tests/fill_tables.py" a.db)" ""
    mldb-dump -q --with-secrets sqlite:///a.db >a.mlr
}

lines() {
    ml-transform --json | grep -v '^{"kind":"\(header\|trailer\)"' | sort
}

edit() {
    ml-transform --json <a.mlr | jq -c "$1" | ml-transform --from-json --reseal
}

# The content of all tables, in an order of its own.
content() {
    for t in $(sqlite3 "$1" "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"); do
        echo "$t"
        sqlite3 -quote "$1" "SELECT * FROM $t" | sort
    done
}

@test "from one SQLite database to another: every table" {
    run_split ml-load --release 3.17.2 sqlite:///b.db <a.mlr
    assert_status 0
    assert_contains "$stderr" "Other Rows: $(ml-transform --json <a.mlr | grep -c '^{"kind":"row"')"
    ml-verify -q sqlite:///b.db <a.mlr
    content a.db >a.txt
    content b.db >b.txt
    diff a.txt b.txt
    [ "$(sqlite3 b.db 'PRAGMA foreign_key_check' | wc -l)" -eq 0 ]
    assert_equal "$(sqlite3 b.db 'SELECT count(*) FROM workspaces')" 3
}

@test "SQLite to PostgreSQL to SQLite: the same content, and ids go on" {
    start=$(sh "$ROOT/tests/postgres.sh" start)
    eval "$start"
    export PGHOST PGPORT PGUSER PGPASSWORD
    status=0
    (
        set -e
        createdb -E UTF8 -T template0 t
        ml-load -q --release 3.17.2 postgresql:///t <a.mlr
        ml-verify -q postgresql:///t <a.mlr
        mldb-dump -q --with-secrets postgresql:///t >p.mlr
        highest=$(psql -qAtX -c 'SELECT max(id) FROM sql_trace_metric_daily_rollups' t)
        next=$(psql -qAtX -c "SELECT nextval(pg_get_serial_sequence('sql_trace_metric_daily_rollups', 'id'))" t)
        assert_equal "${next:-1}" $((${highest:-0} + 1))
    ) || status=$?
    sh "$ROOT/tests/postgres.sh" stop "$PGDIR"
    assert_equal "$status" 0
    diff <(lines <a.mlr) <(lines <p.mlr)
    ml-load -q --release 3.17.2 sqlite:///c.db <p.mlr
    content a.db >a.txt
    content c.db >c.txt
    diff a.txt c.txt
}

@test "a table or a column that the target does not have is named; or left out" {
    run_split ml-load --release 3.16 sqlite:///b.db <a.mlr
    assert_status 2
    [ ! -e b.db ]
    run_split ml-load --release 3.2 --drop-unsupported sqlite:///b.db <a.mlr
    assert_status 1
    assert_contains "$stderr" "left out on request"
    assert_contains "$stderr" "Other Rows"
    assert_equal "$(sqlite3 b.db 'PRAGMA integrity_check')" ok
    edit 'if .kind == "row" and .table == "webhooks" then .values.colour = "red" else . end' >b.mlr
    run_split ml-load --release 3.17.2 sqlite:///d.db <b.mlr
    assert_status 2
    assert_contains "$stderr" "colour: the target's table has no such column"
}

@test "a row whose parent is missing, a row without what it must have, a row that is there twice" {
    edit 'select(.kind != "row" or .table != "webhooks")' >b.mlr
    run_split ml-load --release 3.17.2 sqlite:///b.db <b.mlr
    assert_status 2
    assert_contains "$stderr" "webhook_events: some of its rows belong to rows of webhooks that are not in the stream"
    edit 'if .kind == "row" and .table == "webhooks" then del(.values.url) else . end' >b.mlr
    run_split ml-load --release 3.17.2 sqlite:///b.db <b.mlr
    assert_status 2
    assert_contains "$stderr" "it has no value for the column url"
    edit 'if .kind == "row" and .table == "webhooks" then ., . else . end' >b.mlr
    run_split ml-load --release 3.17.2 sqlite:///b.db <b.mlr
    assert_status 2
    assert_contains "$stderr" "it is there twice"
    [ ! -e b.db ]
}

@test "a workspace that only its contents name gets a row" {
    edit 'select(.kind != "row")' | ml-transform --json |
        jq -c 'if .kind == "experiment" then .workspace = "team-a" elif .kind | test("registered_model|model_version|prompt") then .workspace = "team-b" else . end' |
        ml-transform --from-json --reseal >b.mlr
    run_split ml-load --release 3.17.2 sqlite:///b.db <b.mlr
    assert_status 0
    assert_contains "$stderr" "2 workspaces of which the stream has no row"
    assert_contains "$stderr" "--enable-workspaces only"
    assert_equal "$(sqlite3 b.db 'SELECT name FROM workspaces ORDER BY 1' | xargs)" "default team-a team-b"
    ml-verify -q sqlite:///b.db <b.mlr
    run_split ml-load --release 3.2 sqlite:///c.db <b.mlr
    assert_status 2
    [ ! -e c.db ]
}

@test "a value that is not of its column's type is refused by name; numbers that say the same are taken" {
    while IFS='|' read -r change name; do
        edit "$change" >bad.mlr
        run_split sh -c 'ml-load -q --release 3.17.2 sqlite:///b.db <bad.mlr'
        assert_status 2
        assert_contains "$stderr" "$name"
        [ ! -e b.db ]
    done <<'EOT'
if .table == "scorers" then .values.scorer_name = 5 else . end|scorer_name: it is no text
if .table == "evaluation_dataset_tags" then .values.value = {"$float": "0.5"} else . end|value: it is no text
if .table == "evaluation_dataset_tags" then .values.value = true else . end|value: it is no text
if .table == "jobs" then .values.progress = 5 else . end|progress: it is no text
if .table == "sql_trace_rollup_rebuild_queue" then .values.rollup_day = 5 else . end|rollup_day: it is no text
if .table == "scorer_versions" then .values.scorer_version = "1" else . end|scorer_version: it is no integer
if .table == "scorer_versions" then .values.scorer_version = {"$float": "1.5"} else . end|scorer_version: it is no integer
if .table == "online_scoring_configs" then .values.sample_rate = "1" else . end|sample_rate: it is no number
if .table == "endpoints" then .values.usage_tracking = 2 else . end|usage_tracking: it is no truth value
if .table == "secrets" then .values.encrypted_value = 2 else . end|encrypted_value: it is no bytes
EOT
    # a hand-made record of a table that its server fills
    edit 'if .kind == "header" then ., {kind: "row", table: "workspaces", values: {name: 5}} else . end' >bad.mlr
    run_split sh -c 'ml-load -q --release 3.17.2 sqlite:///b.db <bad.mlr'
    assert_status 2
    assert_contains "$stderr" "name: it is no text"
    edit 'if .table == "endpoints" then .values.usage_tracking = 1 else . end
        | if .table == "online_scoring_configs" then .values.sample_rate = 1 else . end' >good.mlr
    ml-load -q --release 3.17.2 sqlite:///b.db <good.mlr
    run_split ml-verify -q sqlite:///b.db <good.mlr
    assert_status 0
}

@test "the default workspace stays when others come" {
    edit 'select(.kind != "row" or .table == "workspaces")' >b.mlr
    ml-load -q --release 3.17.2 sqlite:///b.db <b.mlr
    assert_equal "$(sqlite3 b.db "SELECT count(*) FROM workspaces WHERE name = 'default'")" 1
}
