#!/usr/bin/env bats
# ml-verify: the report, what it calls equal, what it refuses. Every column of every kind: tests/mlflow/test_verify_table.py.

load helpers

# Each test gets a copy of one small tree's stream and database: a.mlr, a.db
setup_file() {
    cd "$BATS_FILE_TMPDIR" || return 1
    mlruns-dump -q "$ROOT/tests/data/mlruns" >a.mlr
    ml-load -q --release 3.17.2 sqlite:///a.db <a.mlr
}

setup() {
    work
    cp "$BATS_FILE_TMPDIR"/a.mlr "$BATS_FILE_TMPDIR"/a.db .
}

edit() { # SQL
    sqlite3 a.db "$1"
}

verify() { # OPTION...
    run_split ml-verify -q "$@" sqlite:///a.db <a.mlr
}

# failures NAME: the lines below `FAILED: NAME`
failures() {
    echo "$output" | awk -v RS= -v name="FAILED: $1" '{ n = split($0, l, "\n"); if (l[1] == name) for (i = 2; i <= n; i++) print l[i] }'
}

# A stream from JSON Lines: stream FILE <<EOF, without header and trailer.
stream() { # [SOURCE [SHARD SHARDS]]
    source=${1:-$(printf %032d 0)} shard=${2:-0} shards=${3:-1}
    {
        printf '{"kind":"header","format":1,"minor":0,"producer":"test","source":"%s","shard":%s,"shards":%s}\n' "$source" "$shard" "$shards"
        cat
        echo '{"kind":"trailer","counts":{},"skipped":0,"checksum":"0000000000000000"}'
    } | ml-transform --from-json --reseal
}

# An empty database with one experiment and one run, and the records of these: points are added by the test.
one_run() {
    rm -f a.db
    ml-schema create -q --release 3.17.2 sqlite:///a.db
    edit "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'e', 'active');
          INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage) VALUES ('r', 1, 'active')"
    cat >records <<EOT
{"kind":"experiment","experiment_id":"1","name":"e","lifecycle_stage":"active"}
{"kind":"run","run_id":"r","experiment_id":"1","lifecycle_stage":"active"}
EOT
}

point() { # VALUE [STEP]
    printf '{"kind":"metric","run_id":"r","key":"k","step":%s,"timestamp":7,"value":%s}\n' "${2:-0}" "$1" >>records
}

row() { # VALUE IS_NAN [STEP]
    edit "INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan) VALUES ('r', 'k', $1, 7, ${3:-0}, $2)"
}

verify_records() { # OPTION...
    stream <records >a.mlr
    verify "$@"
}

@test "a database that equals its source is a success in the report" {
    verify
    assert_status 0
    assert_equal "$(echo "$output" | sed -n 1,4p)" "$(printf 'Migration Verification Report\n=============================\n\nExperiments: ')$(echo "$output" | sed -n 4p | sed 's/^Experiments: //')"
    assert_equal "$(echo "$output" | tail -2)" "$(printf '\nStatus: SUCCESS')"
    assert_equal "$(echo "$output" | sed '1,3d;/^$/,$d' | grep -cvE '^[A-Z][A-Za-z ]*: ([1-9][0-9]*)/\1 passed$' || true)" 0
    assert_equal "$(echo "$output" | grep -oE '^[A-Z][A-Za-z ]*: ' | sed -n 1,11p | tr -d '\n')" \
        "Experiments: Runs: Metrics: Params: Tags: Traces: Assessments: Logged Models: Registered Models: Model Versions: Prompts: "
    assert_equal "$stderr" ""
}

@test "different fields, missing entities and extra ones are reported" {
    run_id=$(edit "SELECT run_uuid FROM runs WHERE end_time IS NOT NULL LIMIT 1")
    end_time=$(edit "SELECT end_time FROM runs WHERE run_uuid = '$run_id'")
    edit "UPDATE runs SET end_time = NULL WHERE run_uuid = '$run_id';
          DELETE FROM params WHERE rowid = 1;
          INSERT INTO tags (run_uuid, key, value) VALUES ('$run_id', 'added', 'x')"
    verify
    assert_status 1
    assert_equal "$(failures "Run $run_id")" "  - Field 'end_time': source=$end_time, target=None"
    assert_equal "$(failures "Tag 'added' in run $run_id")" "  - not in source"
    assert_contains "$output" "  - missing in target"
    assert_equal "$(echo "$output" | tail -1)" "Status: FAILED"
    assert_equal "$(echo "$output" | grep -c ^FAILED:)" 3
    runs=$(edit "SELECT count(*) FROM runs")
    assert_contains "$output" "Runs: $((runs - 1))/$runs passed"
}

@test "--json prints an object for each failure up to --max-failures, then the summary" {
    edit "UPDATE runs SET status = 'KILLED'"
    verify --json
    assert_status 1
    runs=$(edit "SELECT count(*) FROM runs")
    changed=$(echo "$output" | jq -s '[.[] | select(.failure == "different" and .kind == "run" and .fields[0].field == "status" and .fields[0].target == "KILLED")] | length')
    [ "$changed" -ge 1 ]
    assert_equal "$(echo "$output" | tail -1 | jq -c '[.status, .failures, .kinds.run.total]')" "[\"FAILED\",$changed,$runs]"
    verify --max-failures 1
    assert_status 1
    assert_equal "$(echo "$output" | grep -c ^FAILED:)" 1
    assert_contains "$output" "$((changed - 1)) more failures are not shown"
    verify --max-failures 0
    assert_status 1
    assert_contains "$output" "Status: FAILED"
}

@test "metric values may differ by a relative 1e-9, and with --exact by no bit" {
    one_run
    point 0.05
    row 0.05000000001 0
    verify_records
    assert_status 0
    verify_records --exact
    assert_status 1
    assert_equal "$(failures "Metric 'k' in run r")" "  - Field 'value': source=0.05, target=0.05000000001"
    edit "UPDATE metrics SET value = 0.050000001"
    verify_records
    assert_status 1
    assert_equal "$(failures "Metric 'k' in run r")" "  - Field 'value': source=0.05, target=0.050000001"
}

@test "points of one step and time are paired by value, including NaN and infinities" {
    one_run
    for v in 3 '{"$float":"nan"}' 1 '{"$float":"inf"}' 2 '{"$float":"-inf"}' 0.0; do point "$v"; done
    row 1 0; row 2 0; row 3 0; row 0 1; row 0 0; row 1.7976931348623157e308 0; row -1.7976931348623157e308 0
    verify_records
    assert_status 0
    assert_contains "$output" "Metrics: 7/7 passed"
    edit "UPDATE metrics SET value = 2.5 WHERE value = 2; DELETE FROM metrics WHERE is_nan = 1"
    verify_records
    assert_status 1
    assert_contains "$output" "Metrics: 5/7 passed"
    assert_contains "$(failures "Metric 'k' in run r")" "source=2.0, target=2.5"
    assert_contains "$(failures "Metric 'k' in run r")" "missing in target: step=0, timestamp=7, value=nan"
}

@test "duplicates in the source count as one point, and are reported" {
    one_run
    for v in 1 1 0.0 '{"$float":"-0.0"}' '{"$float":"nan"}' '{"$float":"nan"}' '{"$float":"inf"}' 1.7976931348623157e308; do point "$v"; done
    row 1 0; row 0 0; row 0 1; row 1.7976931348623157e308 0
    stream <records >a.mlr
    run_split ml-verify sqlite:///a.db <a.mlr
    assert_status 0
    assert_contains "$output" "Metrics: 4/4 passed"
    assert_contains "$stderr" "4 points of the stream are exact duplicates"
}

@test "hundreds of points of one step and time are all compared" {
    one_run
    for i in $(seq 300); do point "$i"; done
    edit "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
          INSERT INTO metrics SELECT 'k', i, 7, 'r', 0, 0 FROM n"
    verify_records
    assert_status 0
    assert_contains "$output" "Metrics: 300/300 passed"
    edit "UPDATE metrics SET value = -value"
    verify_records
    assert_status 1
    assert_contains "$output" "Metrics: 0/"
}

@test "a truncated or damaged stream is never a success" {
    size=$(stat -c %s a.mlr)
    for at in 0 1 100 $((size / 2)) $((size - 1)); do
        head -c "$at" a.mlr >cut.mlr
        run_split ml-verify -q sqlite:///a.db <cut.mlr
        assert_status 2
        assert_equal "$output" ""
    done
    printf '\377' | dd of=a.mlr bs=1 seek=$((size / 2)) conv=notrunc status=none
    verify
    assert_status 2
    assert_equal "$output" ""
}

@test "shards in any order are the whole, and a missing or duplicate one is named" {
    for i in 0 1 2; do mlruns-dump -q --shard $i/3 "$ROOT/tests/data/mlruns" >$i.mlr; done
    run_split sh -c 'cat 2.mlr 0.mlr 1.mlr | ml-verify -q sqlite:///a.db'
    assert_status 0
    assert_contains "$output" "Status: SUCCESS"
    run_split sh -c 'cat 2.mlr 0.mlr | ml-verify -q sqlite:///a.db'
    assert_status 2
    assert_contains "$stderr" "shard"
    run_split sh -c 'cat 2.mlr 0.mlr 1.mlr 0.mlr | ml-verify -q sqlite:///a.db'
    assert_status 2
    assert_contains "$stderr" "shard"
}

@test "an entity that is twice in the stream is named" {
    one_run
    tail -1 records >>records
    verify_records
    assert_status 2
    assert_contains "$stderr" "Run r: duplicate in the stream, in one segment"
    one_run
    { stream <records; stream "$(printf %032d 1)" <records; } >a.mlr
    verify
    assert_status 2
    assert_contains "$stderr" "Experiment 1: duplicate in the stream, from two sources"
    one_run
    stream "$(printf %032d 1)" 0 2 <records >a.mlr
    sed -i '1s/"e"/"other"/;2d' records
    stream "$(printf %032d 1)" 1 2 <records >>a.mlr
    verify
    assert_status 2
    assert_contains "$stderr" "two shards, with differences"
}

@test "an empty Default experiment added by a server is only a note" {
    one_run
    edit "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (0, 'Default', 'active')"
    stream <records >a.mlr
    run_split ml-verify sqlite:///a.db <a.mlr
    assert_status 0
    assert_contains "$stderr" "Default"
    edit "INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage) VALUES ('s', 0, 'active')"
    verify
    assert_status 1
    assert_equal "$(failures "Experiment 0")" "  - not in source"
}

@test "what the producer left out is reported" {
    one_run
    echo '{"kind":"skipped","path":"0/abc/meta.yaml","reason":"empty"}' >>records
    stream <records >a.mlr
    run_split ml-verify sqlite:///a.db <a.mlr
    assert_status 0
    assert_contains "$stderr" "1 entities were left out by its producer"
    run_split ml-verify -v sqlite:///a.db <a.mlr
    assert_contains "$stderr" "0/abc/meta.yaml"
}

@test "a schema without a column fails, but one without latest metrics does not" {
    mlruns-dump -q "$ROOT/tests/data/mlruns" | ml-load -q --release 1.0 --drop-unsupported sqlite:///old.db || [ $? -eq 1 ]
    run_split ml-verify -q sqlite:///old.db <a.mlr
    assert_status 1
    assert_contains "$output" "Field 'creation_time': source="
    refute_contains "$output" "Latest Metrics"
    assert_contains "$output" "Traces: 0/"
}

@test "a database that is not MLflow's and input that is not a stream are refused" {
    sqlite3 other.db 'CREATE TABLE t (a)'
    run_split ml-verify -q sqlite:///other.db <a.mlr
    assert_status 2
    assert_contains "$stderr" "no MLflow tables"
    run_split ml-verify -q sqlite:///absent.db <a.mlr
    assert_status 2
    [ ! -e absent.db ]
    echo junk >junk.db
    run_split ml-verify -q sqlite:///junk.db <a.mlr
    assert_status 2
    run_split ml-verify -q sqlite:///a.db <junk.db
    assert_status 2
    run_split ml-verify -q sqlite:///a.db sqlite:///b.db <a.mlr
    assert_status 2
    run_split ml-verify -q mysql://a/b <a.mlr
    assert_status 2
}

@test "neither the database nor its directory is changed" {
    cp a.db before.db
    ls -A >before
    verify
    assert_status 0
    cmp a.db before.db
    sqlite3 a.db 'PRAGMA journal_mode = WAL' >before.mode
    cp a.db before.db
    verify
    assert_status 0
    mldb-dump -q sqlite:///a.db >/dev/null
    cmp a.db before.db
    rm before.mode
    ls -A >after
    sed -i '/^after$/d' after
    assert_equal "$(grep -v '^\.std' after)" "$(grep -v '^\.std' before)"
}

@test "memory stays bounded for a stream in hostile order, which is staged on disk" {
    one_run
    { cat records; awk 'BEGIN { for (i = 400000; i > 0; i--) printf "{\"kind\":\"metric\",\"run_id\":\"r\",\"key\":\"k%d\",\"step\":%d,\"timestamp\":7,\"value\":%d.5}\n", i % 7, i * 7919 % 400009, i }'; } | stream >a.mlr
    edit "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000)
          INSERT INTO metrics SELECT 'k' || (i % 7), i + 0.5, 7, 'r', i * 7919 % 400009, 0 FROM n"
    /usr/bin/time -f %M -o memory ml-verify -q sqlite:///a.db <a.mlr >report
    assert_contains "$(cat report)" "Metrics: 400000/400000 passed"
    [ "$(tail -1 memory)" -lt 65536 ] || [ -n "${SANITIZE-}" ]
}

@test "SQLite's temporary files are where the others are: next to the database, or in --tmpdir" {
    mkdir tmp
    edit "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
          INSERT INTO trace_tags (request_id, key, value) SELECT (SELECT min(request_id) FROM trace_info), 'k' || i, 'a value of some length' FROM n"
    export TMPDIR=$PWD/tmp SQLITE_TMPDIR=$PWD/tmp
    assert_equal "$(files_in tmp mldb-dump -q sqlite:///a.db)" no
    mldb-dump -q sqlite:///a.db >b.mlr
    assert_equal "$(files_in tmp ml-verify -q sqlite:///a.db <b.mlr)" no
    unset TMPDIR SQLITE_TMPDIR
    assert_equal "$(files_in tmp ml-verify -q --tmpdir tmp sqlite:///a.db <b.mlr)" yes
}
