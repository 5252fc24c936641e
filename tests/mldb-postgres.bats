#!/usr/bin/env bats
# ml-verify and mldb-dump on PostgreSQL: what they say there is what they say on SQLite.

load helpers

setup_file() {
    start_postgres
    cd "$BATS_FILE_TMPDIR" || return 1
    # ids that fit the columns
    mlruns-dump -q "$ROOT/tests/data/mlruns" | ml-transform --json |
        jq -c 'if .experiment_id then .experiment_id |= .[0:3] else . end' | ml-transform --from-json --reseal >a.mlr
    ml-load -q --release 3.17.2 sqlite:///a.db <a.mlr
}

teardown_file() {
    stop_postgres
}

setup() {
    work
    cp "$BATS_FILE_TMPDIR"/a.mlr "$BATS_FILE_TMPDIR"/a.db .
    PGDATABASE=t$BATS_TEST_NUMBER
    export PGDATABASE
    # an order of text that is not that of the bytes
    createdb -E UTF8 -T template0 --locale-provider=icu --icu-locale=en --locale=C.UTF-8 "$PGDATABASE"
    url=postgresql:///$PGDATABASE
    ml-load -q --release 3.17.2 "$url" <a.mlr
}

# The same change of both databases.
edit() {
    psql -qAtX -v ON_ERROR_STOP=1 -c "$1"
    sqlite3 a.db "$1"
}

same_report() { # OPTION...
    status_sqlite=0 status_postgres=0
    ml-verify -q "$@" sqlite:///a.db <a.mlr >sqlite.report || status_sqlite=$?
    ml-verify -q "$@" "$url" <a.mlr >postgres.report || status_postgres=$?
    diff sqlite.report postgres.report >&2
    [ "$status_sqlite" = "$status_postgres" ]
    status=$status_postgres
    output=$(cat postgres.report)
}

@test "a loaded database verifies, and its dump is that of SQLite, byte for byte" {
    same_report
    assert_status 0
    assert_contains "$output" "Status: SUCCESS"
    same_report --exact --json
    assert_status 0
    mldb-dump -q "$url" >postgres.mlr
    mldb-dump -q sqlite:///a.db | cmp - postgres.mlr
    ml-verify -q sqlite:///a.db <postgres.mlr >report
    ml-load -q --release 3.17.2 sqlite:///b.db <postgres.mlr
    sqlite3 a.db .dump | sort >a.sql
    sqlite3 b.db .dump | sort >b.sql
    cmp a.sql b.sql
}

@test "keys that collations sort differently are compared: case, punctuation, other scripts" {
    run_id=$(sqlite3 a.db "SELECT run_uuid FROM runs LIMIT 1")
    {
        printf '{"kind":"header","format":1,"minor":0,"producer":"t","source":"%032d","shard":0,"shards":1}\n' 0
        ml-transform --json <a.mlr | grep -v '^{"kind":"\(header\|trailer\)"'
        for key in a A b B _a -a a-b ab 'a b' ä z é 精度 0 10 9; do
            printf '{"kind":"tag","run_id":"%s","key":"%s","value":"v"}\n' "$run_id" "$key"
            edit "INSERT INTO tags (run_uuid, key, value) VALUES ('$run_id', '$key', 'v')"
        done
        echo '{"kind":"trailer","counts":{},"skipped":0,"checksum":"0000000000000000"}'
    } | ml-transform --from-json --reseal >more.mlr
    mv more.mlr a.mlr
    same_report
    assert_status 0
}

@test "differences of every kind are reported as on SQLite" {
    edit "UPDATE runs SET end_time = NULL, name = 'x'; DELETE FROM params; UPDATE assessments SET valid = NOT valid, aggregate_value = 77;
          UPDATE metrics SET value = value * 2 + 1 WHERE abs(value) < 1e300; UPDATE trace_info SET trace_name = NULL, total_tokens = 99;
          DELETE FROM registered_model_tags; UPDATE inputs SET step = 5; UPDATE model_versions SET workspace = 'w' WHERE 1 = 0;
          INSERT INTO logged_model_params SELECT model_id, experiment_id, 'added', '' FROM logged_models"
    same_report
    assert_status 1
    same_report --json
    assert_status 1
    [ "$(echo "$output" | wc -l)" -gt 20 ]
}

@test "rows of other tables keep their types: JSON, dates, bytes, booleans, 64-bit integers" {
    trace=$(sqlite3 a.db "SELECT request_id FROM trace_info LIMIT 1")
    id=$(sqlite3 a.db "SELECT experiment_id FROM trace_info LIMIT 1")
    edit "INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, end_time_unix_nano, content, input_cost)
              VALUES ('$trace', $id, 's', 'OK', 9007199254740993, 9007199254740995, '{}', 1);
          INSERT INTO jobs (id, creation_time, job_name, params, timeout, status, retry_count, last_update_time, status_details)
              VALUES ('j', 1, 'n', '{}', 2, 1, 0, 2, '{\"b\": 1, \"a\": [1.50]}');
          INSERT INTO label_schemas (schema_id, experiment_id, name, type, enable_comment, input_type, input_config, created_time, last_update_time, is_default)
              VALUES ('l', $id, 'n', 't', TRUE, 'i', '{}', 1, 2, FALSE);
          INSERT INTO sql_assessment_daily_rollups (id, experiment_id, rollup_day, metric_name, grouping_set, sample_count)
              VALUES (1, $id, '2024-02-29', 'm', 'g', 1);
          INSERT INTO workspaces (name) VALUES ('team')"
    psql -qX -c "INSERT INTO secrets (secret_id, secret_name, encrypted_value, wrapped_dek, kek_version, masked_value, created_at, last_updated_at)
              VALUES ('s', 'n', '\\x00ff', '\\x', 1, 'm', 1, 2)"
    sqlite3 a.db "INSERT INTO secrets (secret_id, secret_name, encrypted_value, wrapped_dek, kek_version, masked_value, created_at, last_updated_at)
              VALUES ('s', 'n', x'00ff', x'', 1, 'm', 1, 2)"
    mldb-dump -q --with-secrets "$url" >postgres.mlr
    mldb-dump -q --with-secrets sqlite:///a.db >sqlite.mlr
    cmp sqlite.mlr postgres.mlr
    ml-verify -q "$url" <sqlite.mlr >report
    ml-verify -q sqlite:///a.db <postgres.mlr >report
    assert_equal "$(ml-transform --json <postgres.mlr | jq -c 'select(.kind == "span" and .input_cost) | [.start_time_unix_nano, .input_cost, .duration_ns]')" \
        '[{"$int":"9007199254740993"},1,null]'
    run_split sh -c "mldb-dump -q --experiment $id $url >one.mlr"
    assert_status 0
    assert_equal "$(ml-transform --json <one.mlr | jq -c 'select(.kind == "row").table' | sort | tr -d '\n')" '"label_schemas""sql_assessment_daily_rollups"'
}

@test "a database with rows in every table goes from SQLite to PostgreSQL and back" {
    python3 "$ROOT/tests/fill_tables.py" a.db
    createdb -E UTF8 -T template0 other
    mldb-dump -q --with-secrets sqlite:///a.db >sqlite.mlr
    ml-load -q --release 3.17.2 postgresql:///other <sqlite.mlr
    mldb-dump -q --with-secrets postgresql:///other >postgres.mlr
    cmp sqlite.mlr postgres.mlr
    ml-verify -q postgresql:///other <sqlite.mlr >report
    assert_contains "$(cat report)" "Status: SUCCESS"
    assert_contains "$(cat report)" "Other Rows: "
    ml-load -q --release 3.17.2 sqlite:///b.db <postgres.mlr
    sqlite3 a.db .dump | sort >a.sql
    sqlite3 b.db .dump | sort >b.sql
    cmp a.sql b.sql
    psql -qX -d other -c "UPDATE mcp_servers SET icons = '{}'; DELETE FROM span_metrics; UPDATE jobs SET timeout = 9"
    run_split sh -c 'ml-verify -q postgresql:///other <sqlite.mlr'
    assert_status 1
    for table in mcp_servers span_metrics jobs; do assert_equal "$(echo "$output" | grep -c "^FAILED: Row $table (")" 2; done
}

@test "a dump is one snapshot: later writes are not seen" {
    before=$(mldb-dump -q "$url" | md5sum)
    run_id=$(sqlite3 a.db "SELECT run_uuid FROM runs LIMIT 1")
    (for i in $(seq 200); do echo "INSERT INTO tags (run_uuid, key, value) VALUES ('$run_id', 'new$i', 'v'); DELETE FROM tags WHERE key = 'new$i';"; done) |
        psql -qX >/dev/null &
    for _ in 1 2 3 4 5; do mldb-dump -q "$url" | ml-transform --validate -q; done
    wait
    assert_equal "$(mldb-dump -q "$url" | md5sum)" "$before"
}

@test "a signal also stops the server's statement" {
    psql -qX -c "INSERT INTO metrics SELECT 'k' || i % 1000, i, i, (SELECT run_uuid FROM runs LIMIT 1), i, FALSE FROM generate_series(1, 1000000) i"
    for command in 'mldb-dump -q "$1" >out' 'ml-verify -q "$1" <a.mlr >out'; do
        sh -c "exec $command" sh "$url" &
        pid=$!
        wait_for ended_or $pid any_session "state = 'active' AND query NOT LIKE '%pg_%'" # rows, not catalogs
        kill -TERM $pid # SIGINT is ignored by what a script runs in the background
        status=0
        wait $pid || status=$?
        assert_status 143
        [ ! -s out ]
        wait_for no_session
    done
}

@test "an unreachable server and a wrong database end with status 2, without the password" {
    run_split sh -c "ml-verify 'postgresql://u:hunter2@127.0.0.1:1/x' <a.mlr"
    assert_status 2
    refute_contains "$stderr" hunter2
    run_split sh -c "mldb-dump 'postgresql:///absent' >out"
    assert_status 2
    [ ! -s out ]
    createdb empty
    run_split sh -c "ml-verify -q 'postgresql:///empty' <a.mlr"
    assert_status 2
    assert_contains "$stderr" "no MLflow tables"
}

@test "each failure has its class and SQLSTATE" {
    run "$BUILD/unit/database/errors_test" "$url"
    echo "$output"
    assert_status 0
    assert_contains "$output" "a connection that is lost at COMMIT"
}
