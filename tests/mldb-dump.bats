#!/usr/bin/env bats
# mldb-dump: databases as streams, and back.

load helpers

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

dump() { # OPTION...
    run_split sh -c 'mldb-dump "$@" sqlite:///a.db >out.mlr' sh "$@"
}

records() { # JQ-FILTER
    ml-transform --json <out.mlr | jq -c "$1"
}

verify() { # DATABASE
    run_split sh -c "ml-verify -q sqlite:///$1 <out.mlr"
}

# A row in every table that is no kind's.
fill_other_tables() {
    python3 "$ROOT/tests/fill_tables.py" a.db
}

@test "a loaded database gives back the stream's content, which loads into the same bytes" {
    dump -q
    assert_status 0
    assert_equal "$stderr" ""
    verify a.db
    assert_status 0
    ml-load -q --release 3.17.2 sqlite:///b.db <out.mlr
    sqlite3 a.db .dump | sort >a.sql
    sqlite3 b.db .dump | sort >b.sql
    cmp a.sql b.sql
    mldb-dump -q sqlite:///b.db | cmp - out.mlr
    run_split ml-verify -q sqlite:///b.db <a.mlr
    assert_status 0
}

@test "every record of the file store is dumped, with the database's ids" {
    dump -q
    ml-transform --json <a.mlr | jq -c 'select(.kind == "trailer").counts' | jq -S . >wanted
    records 'select(.kind == "trailer").counts' | jq -S . >got
    # exact duplicates of points are one in a database
    jq 'del(.metric)' wanted >w
    jq 'del(.metric)' got | cmp - w
    [ -z "$(records 'select(.kind == "dataset" and (.dataset_id | not))')" ]
    [ -z "$(records 'select(.kind == "input" and (.input_id | not))')" ]
}

@test "rows of every other table are carried and verified, column by column" {
    fill_other_tables
    dump -q --with-secrets
    assert_status 0
    assert_equal "$stderr" ""
    tables=$(edit "SELECT count(*) FROM sqlite_schema WHERE type = 'table'")
    assert_equal "$(records 'select(.kind == "row").table' | sort -u | wc -l)" "$((tables - 25))"
    [ -z "$(records 'select(.kind == "span").duration_ns | values')" ]
    assert_equal "$(records 'select(.table == "secrets").values.encrypted_value' | sed -n 1p)" '{"$bytes":"AP8w"}'
    assert_equal "$(records 'select(.table == "evaluation_dataset_records").values.outputs' | sed -n 1p)" '"5"'
    verify a.db
    assert_status 0
    assert_contains "$output" "Other Rows: "
    edit "UPDATE spans SET name = 'other' WHERE span_id = 'text 0 ü'; DELETE FROM scorers WHERE scorer_id = 'text 1 ü';
          INSERT INTO webhook_events VALUES ('text 0 ü', 'added', 'x'); UPDATE secrets SET masked_value = 'y' WHERE kek_version = 7"
    verify a.db
    assert_status 1
    assert_contains "$output" "FAILED: Span 'text 0 ü' in trace tr-"
    assert_contains "$output" "  - Field 'name': source=text 0 ü, target=other"
    assert_contains "$output" "$(printf "FAILED: Row scorers (scorer_id=text 1 ü)\n  - missing in target")"
    assert_contains "$output" "$(printf "FAILED: Row webhook_events (webhook_id=text 0 ü, entity=added, action=x)\n  - not in source")"
    assert_contains "$output" "  - Field 'masked_value': source=***, target=***"
    run_split sh -c 'ml-verify -q --json sqlite:///a.db <out.mlr'
    assert_equal "$(echo "$output" | jq -c 'select(.failure == "missing").key')" '{"table":"scorers","scorer_id":"text 1 ü"}'
}

@test "a database with rows in every table is loaded into another" {
    fill_other_tables
    dump -q --with-secrets
    ml-load -q --release 3.17.2 sqlite:///b.db <out.mlr
    sqlite3 a.db .dump | sort >a.sql
    sqlite3 b.db .dump | sort >b.sql
    cmp a.sql b.sql
}

@test "secrets leave the database only on request" {
    fill_other_tables
    run_split sh -c 'mldb-dump sqlite:///a.db >out.mlr'
    assert_status 0
    assert_contains "$stderr" "6 secrets were left out"
    [ -z "$(records 'select(.table == "secrets")')" ]
    [ -z "$(records 'select(.table == "webhooks" and .values.secret) , select(.values.secret_id?)')" ]
    verify a.db
    assert_status 0
}

@test "rows of inputs that belong to no kind are carried as rows" {
    edit "INSERT INTO inputs VALUES ('i', 'OTHER', 'a', 'THING', 'b', 0);
          INSERT INTO inputs VALUES ('j', 'DATASET', 'gone', 'RUN', 'b', 0); INSERT INTO input_tags VALUES ('j', 'k', 'v')"
    dump -q
    assert_status 0
    assert_equal "$(records 'select(.kind == "row") | [.table, .values.input_uuid]' | tr -d '\n')" '["inputs","j"]["inputs","i"]["input_tags","j"]'
    verify a.db
    assert_status 0
    run_split ml-verify -q sqlite:///a.db <a.mlr
    assert_status 1
    assert_contains "$output" "FAILED: Row inputs (source_type=DATASET, source_id=gone, destination_type=RUN, destination_id=b)"
}

@test "--experiment and --workspace dump one, with what is in it" {
    fill_other_tables
    id=$(edit "SELECT experiment_id FROM runs LIMIT 1")
    run_split sh -c "mldb-dump --experiment $id sqlite:///a.db >out.mlr"
    assert_status 0
    assert_equal "$(records 'select(.kind == "experiment").experiment_id')" "\"$id\""
    assert_equal "$(records 'select(.kind == "run")' | wc -l)" "$(edit "SELECT count(*) FROM runs WHERE experiment_id = $id")"
    assert_equal "$(records 'select(.kind == "metric")' | wc -l)" "$(edit "SELECT count(*) FROM metrics JOIN runs USING (run_uuid) WHERE experiment_id = $id")"
    assert_equal "$(records 'select(.kind == "input_tag")' | wc -l)" "$(edit "SELECT count(*) FROM input_tags t JOIN inputs i USING (input_uuid) JOIN runs r ON r.run_uuid = i.destination_id WHERE experiment_id = $id")"
    [ -z "$(records 'select(.kind == "registered_model" or .kind == "model_version")')" ]
    assert_equal "$(records 'select(.table == "scorer_versions")' | wc -l)" 2
    [ -z "$(records 'select(.table == "webhooks")')" ]
    assert_contains "$stderr" "webhooks"
    run_split sh -c "mldb-dump -q --experiment $id --registry sqlite:///a.db >out.mlr"
    assert_equal "$(records 'select(.kind == "model_version")' | wc -l)" "$(edit 'SELECT count(*) FROM model_versions')"
    edit "UPDATE experiments SET workspace = 'it''s' WHERE experiment_id = $id;
          INSERT INTO registered_models (name, workspace) VALUES ('m', 'it''s')"
    run_split sh -c "mldb-dump -q --workspace \"it's\" sqlite:///a.db >out.mlr"
    assert_status 0
    assert_equal "$(records 'select(.kind == "experiment") | [.experiment_id, .workspace]')" "[\"$id\",\"it's\"]"
    assert_equal "$(records 'select(.kind == "registered_model").name')" '"m"'
    run_split sh -c 'mldb-dump --experiment 987 sqlite:///a.db >out.mlr'
    assert_status 2
    assert_contains "$stderr" "no experiment 987"
    run_split sh -c "mldb-dump --experiment '1) OR (1=1' sqlite:///a.db >out.mlr"
    assert_status 2
}

@test "tables that are not MLflow's are named and left out" {
    edit "CREATE TABLE users (id INTEGER, password_hash TEXT); INSERT INTO users VALUES (1, 'hash')"
    dump
    assert_status 0
    assert_contains "$stderr" "users"
    absent hash out.mlr
}

@test "values that do not fit their columns' types are named" {
    run_id=$(edit "SELECT run_uuid FROM runs LIMIT 1")
    edit "UPDATE runs SET end_time = 'soon' WHERE run_uuid = '$run_id'"
    dump
    assert_status 2
    [ ! -s out.mlr ]
    assert_contains "$stderr" "Run $run_id: field 'end_time' must be an integer, not text"
    dump --skip-malformed
    assert_status 1
    assert_equal "$(records 'select(.kind == "skipped").path')" "\"Run $run_id\""
    [ -z "$(records "select(.kind == \"run\" and .run_id == \"$run_id\")")" ]
}

@test "a BLOB in a column of another type is named, and not read as text" {
    fill_other_tables
    dump -q --with-secrets
    assert_status 0
    # What MLflow derives is no record's; SQLite itself keeps BLOBs out of some columns.
    columns="SELECT m.name || ' ' || p.name FROM sqlite_schema m, pragma_table_info(m.name) p
        WHERE m.type = 'table' AND p.type <> 'BLOB' AND m.name NOT IN ('alembic_version', 'sqlite_sequence', 'workspaces')
            AND m.name || '.' || p.name NOT IN ('assessments.experiment_id', 'assessments.trace_timestamp_ms',
                'assessments.aggregate_value', 'assessments.is_numeric_value')"
    mv a.db whole.db
    n=0
    while read -r table column; do
        cp whole.db a.db
        changed=$(edit "PRAGMA ignore_check_constraints = 1; UPDATE $table SET \"$column\" = CAST(\"$column\" AS BLOB)
            WHERE rowid = (SELECT rowid FROM $table WHERE \"$column\" IS NOT NULL LIMIT 1); SELECT changes()" 2>/dev/null) || continue
        [ "$changed" = 1 ] || continue
        n=$((n + 1))
        run_split sh -c 'mldb-dump -q --with-secrets sqlite:///a.db >unused.mlr'
        [ "$status" -eq 2 ] || { echo "$table.$column is not named" >&2; return 1; }
        assert_contains "$stderr" "of the wrong type"
        verify a.db
        [ "$status" -eq 1 ] || { echo "$table.$column is taken for text" >&2; return 1; }
    done <<<"$(sqlite3 whole.db "$columns")"
    [ "$n" -gt 300 ]
    cp whole.db a.db
    edit "UPDATE params SET value = CAST(value AS BLOB) WHERE key = 'max_depth'"
    dump
    assert_contains "$stderr" "Param 'max_depth' in run $(edit "SELECT min(run_uuid) FROM params WHERE key = 'max_depth'"): field 'value' has a value of the wrong type"
    run_split ml-verify -q sqlite:///a.db <a.mlr
    assert_status 1
    assert_contains "$output" "(not of its column's type)"
}

@test "text in number columns, numbers that are not booleans, and bytes and text in each other's place are handled" {
    fill_other_tables
    edit "UPDATE trace_info SET input_tokens = 1, total_cost = 1"
    dump -q --with-secrets
    assert_status 0
    cp a.db whole.db
    while IFS='|' read -r change name; do
        cp whole.db a.db
        edit "PRAGMA ignore_check_constraints = 1; UPDATE $change"
        run_split sh -c 'mldb-dump -q --with-secrets sqlite:///a.db >unused.mlr'
        assert_status 2
        assert_contains "$stderr" "$name"
        verify a.db
        assert_status 1
    done <<'EOT'
runs SET experiment_id = 'abc'|field 'experiment_id' has a value of the wrong type
logged_models SET status = 'READY'|field 'status' has a value of the wrong type
metrics SET is_nan = 'yes'|field 'value' has a value of the wrong type
metrics SET is_nan = 2|field 'value' has a value of the wrong type
metrics SET value = 'much'|field 'value' must be a float, not text
metrics SET step = 1.5|field 'step' must be an integer, not a float
trace_info SET input_tokens = 'some'|field 'value' has a value of the wrong type
trace_info SET input_tokens = 1.5|field 'value' has a value of the wrong type
trace_info SET total_cost = x'31'|field 'value' has a value of the wrong type
assessments SET valid = 2|field 'valid' must be a boolean, not an integer
scorer_versions SET scorer_version = 'first'|column 'scorer_version' has a value of the wrong type
jobs SET progress = x'7b7d'|column 'progress' has a value of the wrong type
label_schemas SET is_default = 7|column 'is_default' has a value of the wrong type
secrets SET encrypted_value = 'plain'|column 'encrypted_value' has a value of the wrong type
EOT
    cp whole.db a.db
    edit "UPDATE jobs SET job_name = CAST(job_name AS BLOB)"
    dump --skip-malformed
    assert_status 1
    assert_equal "$(records 'select(.kind == "skipped").reason' | sort -u)" "\"column 'job_name' has a value of the wrong type\""
}

@test "databases of old releases are dumped" {
    for release in 1.0 1.20 2.22 3.4; do
        ml-schema create -q --release $release sqlite:///old.db
        sqlite3 old.db "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'e', 'active');
            INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage, status) VALUES ('r', 1, 'active', 'FINISHED');
            INSERT INTO metrics (run_uuid, key, value, timestamp, step) VALUES ('r', 'k', 0.5, 7, 3)"
        mldb-dump -q sqlite:///old.db >out.mlr
        assert_equal "$(records 'select(.kind == "metric") | [.key, .step, .value]')" '["k",3,0.5]'
        ml-load -q --release 3.17.2 sqlite:///new.db <out.mlr
        verify new.db
        assert_status 0
        rm old.db new.db
    done
}

@test "latest metrics are computed for databases from before MLflow stored them" {
    ml-schema create -q --release 1.2 sqlite:///old.db
    sqlite3 old.db "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'e', 'active');
        INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage) VALUES ('r', 1, 'active'), ('s', 1, 'active');
        INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan) VALUES ('r', 'a', 9, 9, 1, 0), ('r', 'a', 1, 7, 3, 0),
            ('r', 'a', 2, 7, 3, 0), ('r', 'b', -1, 7, 3, 0), ('r', 'b', 0, 7, 3, 1), ('r', 'c', 0, 7, 3, 1), ('r', 'c', 0, 7, 3, 0),
            ('s', 'c', 5, 7, 3, 0)"
    mldb-dump -q sqlite:///old.db >out.mlr
    assert_equal "$(records 'select(.kind == "latest_metric") | [.run_id, .key, .step, .timestamp, .value]' | tr -d '\n')" \
        '["r","a",3,7,2]["r","b",3,7,{"$float":"nan"}]["r","c",3,7,0]["s","c",3,7,5]'
}

@test "the database is not changed, and nothing is left next to it" {
    cp a.db before.db
    dump -q
    cmp a.db before.db
    [ ! -e a.db-journal ]
    [ ! -e a.db-wal ]
    [ ! -e a.db-shm ]
    run_split sh -c 'mldb-dump sqlite:///absent.db >out.mlr'
    assert_status 2
    [ ! -e absent.db ]
    sqlite3 other.db 'CREATE TABLE t (a)'
    run_split sh -c 'mldb-dump sqlite:///other.db >out.mlr'
    assert_status 2
    run_split sh -c 'mldb-dump sqlite:///a.db >/dev/full'
    assert_status 2
}

@test "--list prints the ids of all experiments, including deleted ones, and with --verbose their names" {
    edit "UPDATE experiments SET lifecycle_stage = 'deleted', name = 'a' || char(10, 9) || 'b' WHERE experiment_id = (SELECT max(experiment_id) FROM experiments)"
    run_split mldb-dump --list sqlite:///a.db
    assert_status 0
    assert_equal "$output" "$(sqlite3 a.db 'SELECT experiment_id FROM experiments ORDER BY 1')"
    [ "$(wc -l <<<"$output")" -ge 3 ]
    last=$(tail -n 1 <<<"$output")
    run_split mldb-dump --list -v sqlite:///a.db
    assert_equal "$(head -n 1 <<<"$output")" $'0\tDefault'
    assert_equal "$(tail -n 1 <<<"$output")" "$last"$'\ta\\x0a\\x09b'
    run_split mldb-dump --list --workspace default sqlite:///a.db
    assert_status 2
    assert_contains "$stderr" "--list"
}
