#!/usr/bin/env bats
# ml-load: what it loads, what it refuses, and that a target it refuses is as it was.

load helpers

setup() {
    work
    copy_tree
    mlruns-dump -q mlruns >a.mlr
    mkdir db
}

# edit FILTER: a.mlr, changed by jq, to standard output. Lines are kept where the filter does not drop them.
edit() {
    ml-transform --json <a.mlr | jq -c "$1" | ml-transform --from-json --reseal
}

# A fingerprint of all that lies in ./db: names, kinds, bytes.
fingerprint() {
    (cd db && find . | sort | while read -r f; do
        printf '%s %s ' "$f" "$(stat -c '%F %s' "$f")"
        if [ -f "$f" ]; then sha256sum <"$f"; else echo; fi
    done)
}

# refused MESSAGE COMMAND...: it exits with 2, says MESSAGE, and leaves ./db as it was.
refused() {
    before=$(fingerprint)
    message=$1
    shift
    run_split "$@"
    assert_status 2
    assert_contains "$stderr" "$message"
    assert_equal "$output" ""
    assert_equal "$(fingerprint)" "$before"
}

count() { # DATABASE TABLE [WHERE]
    sqlite3 "$1" "SELECT count(*) FROM $2 ${3+WHERE $3}"
}

@test "a new database has all records and the requested schema, and nothing is left next to it" {
    run_split ml-load --release 3.17.2 sqlite:///db/x.db <a.mlr
    assert_status 0
    assert_equal "$output" ""
    assert_equal "$(ls -A db)" "x.db"
    assert_equal "$(sqlite3 db/x.db 'SELECT version_num FROM alembic_version')" dc11669786a5
    assert_equal "$(sqlite3 db/x.db 'PRAGMA integrity_check')" ok
    assert_equal "$(sqlite3 db/x.db 'PRAGMA foreign_key_check')" ""
    for kind in experiment:Experiments:experiments run:Runs:runs param:Params:params; do
        IFS=: read -r name plural table <<<"$kind"
        wanted=$(ml-transform --json <a.mlr | jq -r "select(.kind == \"trailer\").counts.$name")
        assert_contains "$stderr" "  $plural: $wanted"
        assert_equal "$(count db/x.db "$table")" "$wanted"
    done
    mlruns-dump -q mlruns | ml-verify -q sqlite:///db/x.db
}

@test "the schema is that of ml-schema create, including indexes" {
    for release in 2.22.5 3.2.0 3.17.2; do
        ml-load -q --drop-unsupported --release $release "sqlite:///db/$release.db" <a.mlr || [ $? -eq 1 ]
        ml-schema create -q --release $release "sqlite:///empty-$release.db"
        for f in "db/$release.db" "empty-$release.db"; do
            sqlite3 "$f" 'SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2' >"$f.schema"
        done
        cmp "db/$release.db.schema" "empty-$release.db.schema"
        assert_equal "$(sqlite3 "db/$release.db" 'PRAGMA integrity_check')" ok
    done
}

@test "the report says what the user must know" {
    mkdir -p tree/.trash
    mlruns-dump -q mlruns >/dev/null
    sed -i "s,artifact_location: .*,artifact_location: file://$PWD/mlruns/0," mlruns/0/meta.yaml
    mlruns-dump -q mlruns >b.mlr
    run_split ml-load --release 3.17 sqlite:///db/x.db <b.mlr
    assert_status 0
    assert_contains "$stderr" "keep file://$PWD/mlruns/: it has 1 artifact location"
    assert_contains "$stderr" "hint: to move them: cp -a $PWD/mlruns/. /NEW, and load again through ml-transform --rewrite-uri 'file://$PWD/mlruns=file:///NEW'"
    assert_contains "$stderr" "schema dc11669786a5: only MLflow 3.17.0 to 3.17.2 can open this database"
    assert_contains "$stderr" "export MLFLOW_TRACKING_URI=sqlite:///$PWD/db/x.db"
    run_split ml-load -q --release 3.17 sqlite:///db/y.db <b.mlr
    assert_equal "$stderr" ""
}

@test "deleted experiments, and deleted runs without a time of deletion, are reported" {
    edit 'if .kind == "experiment" then .lifecycle_stage = if .experiment_id == "0" then "deleted" else "active" end
        elif .kind == "run" then .lifecycle_stage = "deleted" | .deleted_time = null else . end' >b.mlr
    run_split ml-load sqlite:///db/x.db <b.mlr
    assert_status 0
    assert_contains "$stderr" "1 deleted experiment has its files in the source's .trash"
    assert_contains "$stderr" "$(count db/x.db runs) deleted runs have no time of deletion"
}

@test "without a URL the environment decides, then mlflow.db, and the choice is printed" {
    run_split ml-load <a.mlr
    assert_status 0
    assert_contains "$stderr" "no URL given: sqlite:///mlflow.db"
    [ -f mlflow.db ]
    MLFLOW_BACKEND_STORE_URI=sqlite:///db/env.db run_split ml-load <a.mlr
    assert_status 0
    [ -f db/env.db ]
}

@test "an existing empty database keeps its schema, and MLflow's own Default experiment is replaced" {
    ml-schema create -q --release 3.16 sqlite:///db/x.db
    sqlite3 db/x.db "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time)
        VALUES (0, 'Default', './elsewhere', 'active', 1)"
    run_split ml-load sqlite:///db/x.db <a.mlr
    assert_status 0
    assert_contains "$stderr" "schema b7e2c1a4d9f3: only MLflow 3.16.0"
    assert_equal "$(ls -A db)" "x.db"
    assert_equal "$(count db/x.db experiments "artifact_location = './elsewhere'")" 0
    assert_equal "$(sqlite3 db/x.db 'PRAGMA integrity_check')" ok
    mlruns-dump -q mlruns | ml-verify -q sqlite:///db/x.db
}

@test "an empty file is an empty database" {
    : >db/x.db
    ml-load -q --release 3.17.2 sqlite:///db/x.db <a.mlr
    mlruns-dump -q mlruns | ml-verify -q sqlite:///db/x.db
}

@test "a symbolic link to a file that does not exist yet is followed" {
    mkdir real
    ln -s ../real/x.db db/link.db
    ml-load -q sqlite:///db/link.db <a.mlr
    [ -L db/link.db ]
    [ -f real/x.db ]
    assert_equal "$(ls -A real)" x.db
}

@test "two loads of one stream give the same bytes" {
    ml-load -q --release 3.17.2 sqlite:///db/x.db <a.mlr
    ml-load -q --release 3.17.2 sqlite:///db/y.db <a.mlr
    cmp db/x.db db/y.db
}

@test "--dry-run counts, checks, and writes nothing" {
    run_split ml-load --dry-run sqlite:///db/x.db <a.mlr
    assert_status 0
    assert_contains "$stderr" "dry run: nothing was written"
    refute_contains "$stderr" MLFLOW_TRACKING_URI
    assert_equal "$(ls -A db)" ""
    ml-schema create -q sqlite:///db/x.db
    before=$(fingerprint)
    ml-load -q --dry-run sqlite:///db/x.db <a.mlr
    assert_equal "$(fingerprint)" "$before"
    edit 'if .kind == "metric" then .run_id = "nobody" else . end' >bad.mlr
    refused "it belongs to the run nobody, which is not in the stream" ml-load --dry-run sqlite:///db/x.db <bad.mlr
}

@test "a database that has content is refused" {
    for insert in "experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'mine', 'active')" \
        "experiments (experiment_id, name, lifecycle_stage) VALUES (0, 'Default', 'deleted')" \
        "experiment_tags (key, value, experiment_id) VALUES ('k', 'v', 0)" \
        "registered_models (name) VALUES ('m')" \
        "workspaces (name) VALUES ('team')" \
        "webhooks (webhook_id, name, url, status, secret, creation_timestamp, last_updated_timestamp) VALUES ('1', 'n', 'u', 'ACTIVE', '', 1, 1)"; do
        rm -f db/x.db
        ml-schema create -q --release 3.17.2 sqlite:///db/x.db
        sqlite3 db/x.db "INSERT INTO $insert"
        refused "the database is not empty: its table ${insert%% *} has rows" ml-load sqlite:///db/x.db <a.mlr
    done
}

@test "a second load into the same database is refused" {
    ml-load -q sqlite:///db/x.db <a.mlr
    refused "the database is not empty" ml-load sqlite:///db/x.db <a.mlr
}

@test "a database that is not MLflow's is refused" {
    echo 'no database, but long enough to look at' >db/x.db
    refused "file is not a database" ml-load sqlite:///db/x.db <a.mlr
    rm db/x.db
    sqlite3 db/x.db 'CREATE TABLE mine (a)'
    refused "not an MLflow database: it has a table mine" ml-load sqlite:///db/x.db <a.mlr
    rm db/x.db
    mkdir db/x.db
    refused "not a regular file" ml-load sqlite:///db/x.db <a.mlr
    refused "a database in memory" ml-load sqlite:///:memory: <a.mlr
    refused "" ml-load nonsense://x <a.mlr
    refused "" ml-load sqlite:///db/no/such/dir/x.db <a.mlr
    refused "the directory does not exist" ml-load --tmpdir db/none sqlite:///db/y.db <a.mlr
}

@test "an unknown or a different revision is refused" {
    ml-schema create -q --release 3.2 sqlite:///db/x.db
    refused "the database is not of MLflow 3.17.2: its schema is 770bee3ae1dd" ml-load --release 3.17 sqlite:///db/x.db <a.mlr
    refused "" ml-load --release 9.9 sqlite:///db/y.db <a.mlr
    sqlite3 db/x.db "UPDATE alembic_version SET version_num = 'ffffffffffff'"
    refused "ffffffffffff" ml-load sqlite:///db/x.db <a.mlr
}

@test "a damaged schema is refused" {
    ml-schema create -q --release 3.17.2 sqlite:///db/x.db
    sqlite3 db/x.db 'ALTER TABLE runs DROP COLUMN deleted_time'
    refused "runs: column deleted_time is missing" ml-load sqlite:///db/x.db <a.mlr
}

@test "a journal without its database is refused" {
    for suffix in -journal -wal -shm; do
        echo left >"db/x.db$suffix"
        refused "db/x.db$suffix: left over from a database" ml-load sqlite:///db/x.db <a.mlr
        rm "db/x.db$suffix"
    done
}

@test "a place that cannot be written is refused" {
    public_work
    cp "$WORK/a.mlr" .
    mkdir db
    chmod 755 db
    [ -n "$AS" ] || chmod 555 db
    refused "cannot create: Permission denied" $AS "$(command -v ml-load)" sqlite:///db/x.db <a.mlr
    chmod 755 db
    ml-schema create -q sqlite:///db/x.db
    chmod 444 db/x.db
    refused "cannot be written" $AS "$(command -v ml-load)" sqlite:///db/x.db <a.mlr
    leave_public_work
}

@test "a file that appears during the load is left as it is" {
    run_split ml-load sqlite:///db/x.db < <(
        head -c 3000 a.mlr
        wait_for test -e db/.x.db.ml-load
        echo mine >db/x.db
        tail -c +3001 a.mlr
    )
    assert_status 2
    assert_contains "$stderr" "a file of this name was created meanwhile"
    assert_equal "$(cat db/x.db)" mine
    assert_equal "$(ls -A db)" "x.db"
}

@test "rows that appear during the load are left as they are" {
    ml-schema create -q --release 3.17.2 sqlite:///db/x.db
    begin ml-load sqlite:///db/x.db
    head -c 3000 a.mlr >&9
    wait_for waits_for_more $pid # it has looked at the database
    sqlite3 db/x.db "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'mine', 'active')"
    tail -c +3001 a.mlr >&9
    finish
    assert_status 2
    assert_contains "$stderr" "not empty"
    assert_equal "$(sqlite3 db/x.db 'SELECT name FROM experiments')" mine
    assert_equal "$(count db/x.db runs)" 0
    assert_equal "$(ls -A db)" "x.db"
}

@test "a locked database is refused" {
    ml-schema create -q sqlite:///db/x.db
    coproc sqlite3 db/x.db
    printf 'BEGIN EXCLUSIVE;\nSELECT 1;\n' >&"${COPROC[1]}"
    read -r _ <&"${COPROC[0]}"
    refused "locked" ml-load 'sqlite:///db/x.db?timeout=0.1' <a.mlr
    kill "$COPROC_PID"
}

@test "a second ml-load for the same new database is refused" {
    begin ml-load -q sqlite:///db/x.db
    head -c 3000 a.mlr >&9
    wait_for waits_for_more $pid
    run_split ml-load sqlite:///db/x.db <a.mlr
    assert_status 2
    assert_contains "$stderr" "another ml-load is creating this database"
    tail -c +3001 a.mlr >&9
    finish
    assert_status 0
    mlruns-dump -q mlruns | ml-verify -q sqlite:///db/x.db
}

@test "a stream that is truncated anywhere leaves nothing" {
    ml-schema create -q sqlite:///db/x.db
    size=$(stat -c %s a.mlr)
    for at in 0 1 $(seq 1000 1000 "$size") $((size - 1)); do
        head -c "$at" a.mlr >cut.mlr
        refused "" ml-load sqlite:///db/x.db <cut.mlr
        refused "" ml-load sqlite:///db/new.db <cut.mlr
    done
}

@test "a stream with a flipped byte leaves nothing" {
    size=$(stat -c %s a.mlr)
    for at in $(seq 20 701 "$size"); do
        perl -e 'local $/; $_ = <STDIN>; substr($_, $ARGV[0], 1) ^= "\x01"; print' "$at" <a.mlr >flipped.mlr
        refused "" ml-load sqlite:///db/new.db <flipped.mlr
    done
}

@test "a stream of a newer format is refused" {
    perl -pe 's/\xa6format\x01/\xa6format\x02/' <a.mlr >newer.mlr
    refused "format" ml-load sqlite:///db/x.db <newer.mlr
    echo 'hello, world' >text.mlr
    refused "" ml-load sqlite:///db/x.db <text.mlr
}

@test "if the load is killed, the target is as it was, and the same command works" {
    begin ml-load -q sqlite:///db/x.db
    head -c 5000 a.mlr >&9
    wait_for waits_for_more $pid
    [ -e db/.x.db.ml-load ]
    kill -9 $pid
    finish
    assert_status 137
    [ ! -e db/x.db ]
    ml-load -q sqlite:///db/x.db <a.mlr
    assert_equal "$(ls -A db)" "x.db"
    mlruns-dump -q mlruns | ml-verify -q sqlite:///db/x.db
}

@test "SIGINT and SIGTERM leave nothing, with status 130 and 143" {
    ml-schema create -q sqlite:///db/old.db
    before=$(fingerprint)
    for target in new old; do
        for signal in INT:130 TERM:143; do
            begin ml-load "sqlite:///db/$target.db"
            head -c 5000 a.mlr >&9
            wait_for waits_for_more $pid
            kill -${signal%:*} $pid
            ended # though its input has not
            exec 9>&-
            assert_status ${signal#*:}
            assert_equal "$(fingerprint)" "$before"
        done
    done
}

@test "what an old schema cannot hold is named; --drop-unsupported leaves it out and exits with 1" {
    edit 'if .kind == "run" then .deleted_time = 1700000000000 else . end' >b.mlr
    refused "deleted_time has no column in this schema; the first release with it is MLflow 1.28.0" \
        ml-load --release 1.27 sqlite:///db/x.db <b.mlr
    run_split ml-load --release 1.27 --drop-unsupported sqlite:///db/x.db <b.mlr
    assert_status 1
    assert_contains "$stderr" "dropped on request: the deleted_time of"
    assert_equal "$(sqlite3 db/x.db 'PRAGMA integrity_check')" ok
}

@test "all clashes between records are named" {
    edit 'if .kind == "experiment" then .name = "same" else . end' >b.mlr
    refused "duplicate name 'same', also of experiment" ml-load sqlite:///db/x.db <b.mlr
    edit 'if .kind == "run" then .experiment_id = "12345" else . end' >b.mlr
    refused "it belongs to the experiment 12345, which is not in the stream" ml-load sqlite:///db/x.db <b.mlr
    edit 'if .kind == "run" then .status = "DREAMING" else . end' >b.mlr
    refused "status: 'DREAMING' must be one of RUNNING, SCHEDULED, FINISHED, FAILED, KILLED" ml-load sqlite:///db/x.db <b.mlr
    edit 'if .kind == "run" then ., . else . end' >b.mlr
    refused "duplicate record" ml-load sqlite:///db/x.db <b.mlr
    refused "" ml-load sqlite:///db/x.db < <(cat a.mlr a.mlr)
}

@test "a duplicate record of any kind is named by its identity" {
    mlruns-dump -q mlruns | ml-load -q --release 3.17.2 sqlite:///a.db
    python3 "$ROOT/tests/fill_tables.py" a.db
    mldb-dump -q --with-secrets sqlite:///a.db | ml-transform --json >whole.json
    n=0
    for kind in $(jq -r .kind whole.json | sort -u | grep -v 'header\|trailer\|metric$'); do
        jq -c --arg kind "$kind" 'if .kind == $kind then ., . else . end' whole.json | ml-transform --from-json --reseal >twice.mlr
        run_split sh -c 'ml-load -q --release 3.17.2 sqlite:///b.db <twice.mlr'
        assert_status 2
        assert_contains "$stderr" ": duplicate record"
        refute_contains "$stderr" None
        [ ! -e b.db ]
        n=$((n + 1))
    done
    [ "$n" -gt 20 ]
    input=$(jq -r 'select(.kind == "input") | "Input (run_id \(.run_id), dataset_id \(.dataset_id), input_id \(.input_id))"' whole.json | sed -n 1p)
    tag=$(jq -r 'select(.kind == "input_tag") | "Input tag (input_id \(.input_id), key \(.key))"' whole.json | sed -n 1p)
    jq -c 'if .kind == "input" or .kind == "input_tag" then ., . else . end' whole.json | ml-transform --from-json --reseal >twice.mlr
    run_split sh -c 'ml-load -q --release 3.17.2 sqlite:///b.db <twice.mlr'
    assert_contains "$stderr" "$input: duplicate record"
    assert_contains "$stderr" "$tag: duplicate record"
}

@test "many problems are counted, not all printed" {
    edit 'if .kind == "param" or .kind == "metric" then .key = {"$bytes": "/w=="} else . end' >b.mlr
    run_split ml-load sqlite:///db/x.db <b.mlr
    assert_status 2
    assert_contains "$stderr" "is not UTF-8"
    [ "$(echo "$stderr" | wc -l)" -lt 60 ]
}

@test "an experiment named Default without experiment 0 is refused for releases that would not start" {
    edit 'select(.experiment_id != "0" or .kind == "header" or .kind == "trailer")
        | if .kind == "experiment" and .name == "churn prediction" then .name = "Default" else . end' >b.mlr
    refused "=NEW" ml-load --release 3.17.2 sqlite:///db/x.db <b.mlr
    ml-load -q --release 3.2 sqlite:///db/x.db <b.mlr
}

@test "an empty tree becomes a database with a schema and nothing else" {
    mkdir -p empty/.trash
    mlruns-dump -q empty | ml-load -q sqlite:///db/x.db
    assert_equal "$(count db/x.db experiments)" 0
}

@test "memory is bounded in a large load, and nothing is left if it is killed while it writes" {
    python3 "$ROOT/tests/mlflow/make_tree.py" --output big --runs 200 --points 200000 >/dev/null
    mlruns-dump -q big >big.mlr
    /usr/bin/time -f '%M' -o memory ml-load -q sqlite:///db/x.db <big.mlr
    [ -n "${SANITIZE-}" ] || [ "$(cat memory)" -lt 65536 ]
    assert_equal "$(count db/x.db metrics)" 200000
    (STOP_COUNT=writes stopping writes 0 ml-load -q sqlite:///db/y.db <big.mlr)
    cmp db/x.db db/y.db
    rm db/y.db
    writes=$(cat writes)
    [ "$writes" -gt 100 ]
    for at in 1 $((writes / 4)) $((writes / 2)) $((writes * 3 / 4)) $((writes - 1)) "$writes"; do
        stopping writes $at ml-load -q sqlite:///db/y.db <big.mlr &
        pid=$!
        wait_for stopped $pid
        kill -9 $pid
        status=0
        wait $pid || status=$?
        assert_status 137
        if [ -e db/y.db ]; then # the last calls: it has its name
            [ $at -ge $((writes - 1)) ]
            assert_equal "$(count db/y.db metrics)" 200000
            rm db/y.db
        fi
    done
    ml-load -q sqlite:///db/y.db <big.mlr
    assert_equal "$(ls -A db)" "$(printf 'x.db\ny.db')"
    cmp db/x.db db/y.db
}
