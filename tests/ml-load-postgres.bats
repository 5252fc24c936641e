#!/usr/bin/env bats
# ml-load into PostgreSQL.

load helpers
strict_pipes

setup_file() {
    start_postgres
}

teardown_file() {
    stop_postgres
}

setup() {
    work
    copy_tree
    mlruns-dump -q mlruns >wide.mlr
    ml-transform --json <wide.mlr | jq -c 'if .experiment_id then .experiment_id |= .[0:3] else . end' |
        ml-transform --from-json --reseal >a.mlr
    PGDATABASE=t$BATS_TEST_NUMBER
    export PGDATABASE
    createdb -E UTF8 -T template0 "$PGDATABASE"
    url=postgresql:///$PGDATABASE
}

edit() {
    ml-transform --json <a.mlr | jq -c "$1" | ml-transform --from-json --reseal
}

sql() {
    psql -qAtX -v ON_ERROR_STOP=1 -c "$1"
}

# All that the database holds, in an order of its own.
everything() {
    pg_dump --inserts | grep -v restrict | sha256sum
}

refused() { # MESSAGE COMMAND...
    before=$(everything)
    message=$1
    shift
    run_split "$@"
    assert_status 2
    assert_contains "$stderr" "$message"
    assert_equal "$output" ""
    assert_equal "$(everything)" "$before"
}

@test "an empty database gets the schema and all records" {
    run_split ml-load --release 3.17.2 "$url" <a.mlr
    assert_status 0
    assert_equal "$output" ""
    ml-verify -q "$url" <a.mlr
    assert_equal "$(sql 'SELECT version_num FROM alembic_version')" dc11669786a5
    run_split ml-schema check "$url"
    assert_status 0
}

@test "a standard file that is closed does not become the server's connection" {
    refused "standard input: cannot read: closed" sh -c "ml-load $url <&-"
    ml-load -v --release 3.17.2 "$url" <a.mlr 2>&-
    ml-verify -v "$url" <a.mlr >verified 2>&-
    mldb-dump -v "$url" 2>&- | ml-verify -q "$url"
    before=$(everything)
    for command in "ml-verify $url <&-" "mldb-dump $url >&-" "ml-verify $url <a.mlr >&-" "ml-schema current $url >&-"; do
        for others in "" "2>&-" "<&- >&- 2>&-"; do
            run_split sh -c "$command $others"
            assert_status 2 || { echo "$command $others" >&2; return 1; }
            [ -n "$others" ] || assert_contains "$stderr" ": closed, or not open for"
        done
    done
    assert_equal "$(everything)" "$before"
}

@test "a workspace that is only named by its contents gets a row" {
    edit 'if .kind == "experiment" then .workspace = "team" else . end' >b.mlr
    ml-load -q --release 3.17.2 "$url" <b.mlr
    assert_equal "$(sql 'SELECT name FROM workspaces ORDER BY 1' | xargs)" "default team"
    ml-verify -q "$url" <b.mlr
}

@test "an existing schema is the same after a load, with statistics" {
    ml-schema create -q --release 3.17.2 "$url"
    sql "INSERT INTO experiments (experiment_id, name, lifecycle_stage, artifact_location) VALUES (0, 'Default', 'active', './x')"
    sql 'CREATE TABLE mine (id integer PRIMARY KEY, run varchar(32) REFERENCES runs (run_uuid)); CREATE INDEX my_index ON runs (user_id)'
    pg_dump -s | grep -v restrict >before.sql
    ml-load -q "$url" <a.mlr
    pg_dump -s | grep -v restrict >after.sql
    cmp before.sql after.sql
    ml-verify -q "$url" <a.mlr
    assert_equal "$(sql "SELECT count(*) FROM experiments WHERE artifact_location = './x'")" 0
    assert_equal "$(sql "SELECT reltuples FROM pg_class WHERE relname = 'runs'")" "$(sql 'SELECT count(*) FROM runs')"
}

# Gives the schema all that pg_dump writes. Roles and tablespaces are the server's: NAME is for both.
decorate() { # NAME
    ml-schema create -q --release 3.17.2 "$url"
    sql "INSERT INTO experiments (experiment_id, name, lifecycle_stage, artifact_location) VALUES (0, 'Default', 'active', './x')"
    psql -qX -U postgres -v name="$1" -f "$ROOT/tests/decorated_schema.sql"
}

structure() {
    pg_dump -s | grep -v restrict
    sql "SELECT 'not valid', indexrelid::regclass FROM pg_index WHERE NOT indisvalid"
    sql "SELECT conname, tgenabled FROM pg_trigger t JOIN pg_constraint c ON c.oid = tgconstraint WHERE tgenabled <> 'O' ORDER BY 1"
}

@test "pg_dump writes the same of an existing schema before and after a load" {
    decorate all_kept
    structure >before.sql
    for what in 'CLUSTER ON run_pk' 'REPLICA IDENTITY USING INDEX experiments_replica' 'SET STATISTICS 321' 'DEPENDS ON EXTENSION' \
        'fillfactor=.70' 'default_tablespace = all_kept' 'NOT VALID' 'INITIALLY DEFERRED' 'NULLS NOT DISTINCT' 'COMMENT ON CONSTRAINT metric_pk'; do
        grep -q "$what" before.sql
    done
    run_split ml-load "$url" <a.mlr
    assert_status 0
    [[ $stderr != *"takes longer"* ]]
    structure >after.sql
    diff before.sql after.sql
    ml-verify -q --data-only "$url" <a.mlr >verified
}

@test "what cannot be dropped and recreated stays while the tables are filled, and is named" {
    decorate in_place
    as_superuser() { echo "$1" | psql -qAtX -v ON_ERROR_STOP=1 -U postgres; }
    # WHY, what brings it about, and what takes it back
    while IFS='|' read -r why begin end; do
        as_superuser "$begin"
        structure >before.sql
        run_split ml-load "$url" <a.mlr
        assert_status 0
        assert_contains "$stderr" "$why: indexes are kept while the tables are filled, which takes longer"
        structure >after.sql
        diff before.sql after.sql
        ml-verify -q --data-only "$url" <a.mlr >verified
        as_superuser "$end"
        as_superuser "SELECT format('TRUNCATE %s', string_agg(oid::regclass::text, ', ')) FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname NOT IN ('alembic_version', 'workspaces') \\gexec"
    done <<'END'
triggers of constraint metrics_run_uuid_fkey are disabled|ALTER TABLE metrics DISABLE TRIGGER ALL|ALTER TABLE metrics ENABLE TRIGGER ALL
index runs_reversed is not valid|UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'runs_reversed'::regclass|REINDEX INDEX runs_reversed
this role has no CREATE privilege on tablespace in_place|REVOKE CREATE ON TABLESPACE in_place FROM mlflow|GRANT CREATE ON TABLESPACE in_place TO mlflow
this role has no REFERENCES privilege on table runs|REVOKE REFERENCES ON runs FROM mlflow|GRANT REFERENCES ON runs TO mlflow
this role has no TRUNCATE privilege on table params|REVOKE TRUNCATE ON params FROM mlflow|GRANT TRUNCATE ON params TO mlflow
table "My notes" belongs to another role|ALTER TABLE "My notes" OWNER TO postgres; GRANT SELECT ON "My notes" TO mlflow|ALTER TABLE "My notes" OWNER TO mlflow
this role has no CREATE privilege on schema public|REVOKE CREATE ON SCHEMA public FROM mlflow; ALTER SCHEMA public OWNER TO postgres; GRANT USAGE ON SCHEMA public TO mlflow|GRANT CREATE ON SCHEMA public TO mlflow
END
}

@test "MLflow's next ids follow those that were loaded" {
    ml-load -q "$url" <a.mlr
    highest=$(sql 'SELECT max(experiment_id) FROM experiments')
    assert_equal "$(sql "SELECT nextval('experiments_experiment_id_seq')")" $((highest + 1))
}

@test "with experiment 0 alone the first new one is 1" {
    mkdir one
    cp -r mlruns/0 one/
    mlruns-dump -q one | ml-load -q "$url"
    assert_equal "$(sql "SELECT nextval('experiments_experiment_id_seq')")" 1
}

@test "18-digit ids are refused at the first record with both remedies, unless the columns are wide" {
    refused "does not fit the 32-bit columns" ml-load "$url" <wide.mlr
    assert_contains "$stderr" "ml-transform --renumber-experiments"
    assert_contains "$stderr" "--wide-experiment-ids"
    assert_equal "$(echo "$stderr" | grep -c 'does not fit')" 1
    run_split ml-load --wide-experiment-ids "$url" <wide.mlr
    assert_status 0
    assert_contains "$stderr" "upgrade this database with ml-schema only"
    ml-verify -q "$url" <wide.mlr
    assert_equal "$(sql "SELECT count(*) FROM information_schema.columns WHERE column_name = 'experiment_id' AND data_type = 'integer' AND table_schema = 'public'")" 0
    run_split ml-load --wide-experiment-ids sqlite:///x.db <wide.mlr
    assert_status 2
}

@test "--wide-experiment-ids widens the columns of an existing schema" {
    ml-schema create -q --release 3.2 "$url"
    ml-load -q --wide-experiment-ids "$url" <wide.mlr
    ml-verify -q "$url" <wide.mlr
}

@test "a schema whose name needs quotes is created, filled, widened and read" {
    sql 'CREATE SCHEMA "My Sch"; CREATE SCHEMA "MLflow"'
    sql "ALTER DATABASE $PGDATABASE SET search_path = \"My Sch\""
    ml-load -q "$url" <a.mlr
    ml-verify -q "$url" <a.mlr
    mldb-dump -q "$url" >b.mlr
    ml-load -q sqlite:///b.db <b.mlr
    ml-verify -q sqlite:///b.db <a.mlr
    # beside one of the same tables that is further down the path
    sql "ALTER DATABASE $PGDATABASE SET search_path = \"MLflow\", \"My Sch\""
    ml-schema create -q --release 3.2 "$url"
    ml-load -q --wide-experiment-ids "$url" <wide.mlr
    ml-verify -q "$url" <wide.mlr
    ml-schema upgrade -q --to 3.17 "$url"
    ml-transform -q --exclude-kind span <wide.mlr | ml-verify -q "$url" # 3.2 had no table for spans
    assert_equal "$(sql "SELECT table_schema, data_type FROM information_schema.columns WHERE column_name = 'experiment_id' GROUP BY 1, 2 ORDER BY 1")" \
        "$(printf 'MLflow|bigint\nMy Sch|integer')"
}

@test "a database with content is refused" {
    ml-schema create -q --release 3.17.2 "$url"
    sql "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'mine', 'active')"
    refused "the database is not empty: its table experiments has rows" ml-load "$url" <a.mlr
}

@test "values that PostgreSQL cannot hold are refused by name, or left out" {
    edit 'if .kind == "run" then .artifact_uri = ("x" * 201) elif .kind == "param" then .value = "a\u0000b" else . end' >b.mlr
    refused "artifact_uri: 201 characters exceed the 200 of column artifact_uri" ml-load "$url" <b.mlr
    assert_contains "$stderr" "a NUL character"
    run_split ml-load --drop-unsupported "$url" <b.mlr
    assert_status 1
    assert_contains "$stderr" "dropped on request: the artifact_uri of"
    assert_equal "$(sql 'SELECT count(*) FROM params')" 0
    assert_equal "$(sql 'SELECT count(*) FROM runs WHERE artifact_uri IS NOT NULL')" 0
}

@test "characters are counted, not bytes" {
    edit 'if .kind == "run" then .artifact_uri = ("\u00e9" * 200) else . end' >b.mlr
    ml-load -q "$url" <b.mlr
    ml-verify -q "$url" <b.mlr
}

@test "a row that violates a constraint, a dangling reference and a duplicate name are refused" {
    ml-schema create -q --release 3.17.2 "$url"
    sql "ALTER TABLE runs ADD CONSTRAINT awake CHECK (status <> 'FAILED')"
    edit 'if .kind == "run" then .status = "FAILED" else . end' >b.mlr
    refused 'violates check constraint "awake"' ml-load "$url" <b.mlr
    sql "ALTER TABLE runs DROP CONSTRAINT awake"
    edit 'if .kind == "run" then .status = "DREAMING" else . end' >b.mlr
    refused "status: 'DREAMING' must be one of RUNNING" ml-load "$url" <b.mlr
    edit 'if .kind == "metric" then .run_id = "nobody" else . end' >b.mlr
    refused "it belongs to the run nobody, which is not in the stream" ml-load "$url" <b.mlr
    edit 'if .kind == "experiment" then .name = "same" else . end' >b.mlr
    refused "duplicate name 'same', also of experiment" ml-load "$url" <b.mlr
}

@test "tables of another role are loaded, too" {
    ml-schema create -q --release 3.17.2 "$url"
    psql -qX -U postgres -c "ALTER TABLE runs OWNER TO postgres; GRANT ALL ON runs TO mlflow"
    run_split ml-load "$url" <a.mlr
    assert_status 0
    assert_contains "$stderr" "table runs belongs to another role"
    ml-verify -q "$url" <a.mlr
}

@test "--dry-run changes nothing" {
    ml-schema create -q --release 3.17.2 "$url"
    before=$(everything)
    run_split ml-load --dry-run "$url" <a.mlr
    assert_status 0
    assert_contains "$stderr" "dry run"
    assert_equal "$(everything)" "$before"
}

@test "a cut stream leaves nothing" {
    size=$(stat -c %s a.mlr)
    for at in 0 1 $((size / 2)) $((size - 1)); do
        head -c $at a.mlr >cut.mlr
        refused "" ml-load "$url" <cut.mlr
    done
}

@test "a row that is inserted while ml-load reads is neither lost nor mixed in" {
    ml-schema create -q --release 3.17.2 "$url"
    begin ml-load "$url"
    head -c 3000 a.mlr >&9
    wait_for any_session # it has looked at the database when it wants more
    wait_for waits_for_more $pid
    sql "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'mine', 'active')"
    tail -c +3001 a.mlr >&9
    finish
    assert_status 2
    assert_contains "$stderr" "not empty"
    assert_equal "$(sql 'SELECT name FROM experiments')" mine
    assert_equal "$(sql 'SELECT count(*) FROM runs')" 0
}

@test "ml-load waits for an open transaction that has written, and then refuses the database" {
    ml-schema create -q --release 3.17.2 "$url"
    coproc psql -qAtX
    echo "BEGIN; INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'mine', 'active'); SELECT 'in';" >&"${COPROC[1]}"
    read -r _ <&"${COPROC[0]}"
    begin ml-load "$url"
    cat a.mlr >&9
    exec 9>&-
    wait_for any_session "wait_event_type = 'Lock'"
    echo 'COMMIT;' >&"${COPROC[1]}"
    finish
    assert_status 2
    assert_contains "$stderr" "not empty"
    assert_equal "$(sql 'SELECT name FROM experiments')" mine
    kill "$COPROC_PID" || true
}

# Deals ml-load a blow while it copies points; what it leaves is not there.
strike() { # strike BLOW
    stopping copies $((copies / 2)) env --default-signal=INT ml-load -q --wide-experiment-ids "$url" <big.mlr 2>err &
    pid=$!
    wait_for stopped $pid
    any_session "query LIKE 'COPY metrics%' AND state = 'active'"
    eval "$1" >/dev/null
    kill -CONT $pid
    ended
    [ $status -ne 0 ]
    [[ $1 != *INT* ]] || assert_equal $status 130
    [[ $1 != *terminate* ]] || assert_contains "$stderr" "terminating connection"
    wait_for no_session # the server has noticed
}

@test "after a killed, interrupted or disconnected load the database is empty as before, and the same command works" {
    [[ $(readelf --dyn-syms -W "$(readlink -f "$(command -v ml-load)")") == *PQputCopyData* ]] || skip "libpq is linked in, and is not stopped from outside"
    python3 "$ROOT/tests/mlflow/make_tree.py" --output big --runs 100 --points 300000 >/dev/null
    mlruns-dump -q big >big.mlr
    createdb -E UTF8 -T template0 whole
    (STOP_COUNT=copies stopping copies 0 ml-load -q --wide-experiment-ids postgresql:///whole <big.mlr)
    copies=$(cat copies)
    [ "$copies" -gt 10 ]
    blows=('kill -9 $pid' 'kill -INT $pid' 'sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = \$\$mlruns-tools\$\$"')
    for blow in "${blows[@]}"; do # without a schema points are copied while the stream is read
        strike "$blow"
        assert_equal "$(sql "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")" 0
    done
    ml-schema create -q --release 3.17.2 "$url"
    for blow in "${blows[@]}"; do
        strike "$blow"
        assert_equal "$(sql 'SELECT count(*) FROM metrics')" 0
        assert_equal "$(sql 'SELECT count(*) FROM runs')" 0
    done
    /usr/bin/time -f '%M' -o memory ml-load -q --wide-experiment-ids "$url" <big.mlr
    assert_equal "$(sql 'SELECT count(*) FROM metrics')" 300000
    [ -n "${SANITIZE-}" ] || [ "$(cat memory)" -lt 65536 ]
}

@test "timeouts of the role or the database do not end a load whose stream takes longer" {
    for limit in statement_timeout idle_in_transaction_session_timeout idle_session_timeout transaction_timeout; do
        sql "ALTER ROLE mlflow IN DATABASE $PGDATABASE SET $limit = 1000" 2>err || grep 'unrecognized configuration' err # an older server
    done
    # an empty database, which gets its tables before the stream ends, then one that has them
    for _ in 1 2; do
        for command in 'ml-load --release 3.17.2' 'ml-verify -q'; do
            # shellcheck disable=SC2086 # words
            begin $command "$url"
            head -c 3000 a.mlr >&9
            wait_for ended_or $pid any_session "clock_timestamp() - state_change > '2 s' AND wait_event = 'ClientRead'"
            tail -c +3001 a.mlr >&9 || true
            finish
            assert_status 0
        done
        dropdb --force "$PGDATABASE"
        createdb -E UTF8 -T template0 "$PGDATABASE"
        for limit in idle_in_transaction_session_timeout idle_session_timeout; do
            sql "ALTER ROLE mlflow IN DATABASE $PGDATABASE SET $limit = 1000"
        done
        ml-schema create -q --release 3.17.2 "$url"
    done
}

@test "of two concurrent loads into an empty database one succeeds and the other is refused" {
    for i in 1 2; do
        { ml-load -q "$url" <a.mlr 2>log$i && echo done || echo "exit $?"; } >status$i &
    done
    wait
    assert_equal "$(sort status1 status2 | xargs)" "done exit 2"
    assert_contains "$(cat log1 log2)" "another program changed the schema"
    ml-verify -q "$url" <a.mlr
}

@test "an unreachable server and a wrong password are named, without the password" {
    run_split ml-load "postgresql://mlflow:sesame@127.0.0.1:$PGPORT/$PGDATABASE" <a.mlr
    assert_status 2
    assert_contains "$stderr" "password authentication failed"
    refute_contains "$stderr" sesame
}

@test "duplicates are counted, and special values are stored as MLflow stores them, even if all tables are published" {
    psql -qX -U postgres -c 'SET client_min_messages = error' -c 'CREATE PUBLICATION everything FOR ALL TABLES'
    edit 'if .kind == "metric" then ., . else . end' >b.mlr
    run_split ml-load "$url" <b.mlr
    assert_status 0
    points=$(sql "SELECT count(*) FROM metrics")
    twice=$(($(ml-transform --json <b.mlr | grep -c '"kind":"metric"') - points))
    [ "$twice" -ge "$points" ]
    assert_contains "$stderr" "  Metrics: $points (and $twice exact duplicates"
    ml-verify -q "$url" <a.mlr
    assert_equal "$(sql "SELECT count(*) FROM metrics WHERE value = 'NaN' OR value = 'Infinity'")" 0
}

@test "ml-migrate shows no password, wherever the URL contains it" {
    mkdir bin
    for p in ml-load ml-verify; do ln -s "$BUILD/bin/$p" bin/; done
    cp "$BUILD/bin/ml-migrate" bin/
    printf '#!/bin/sh\ncat a.mlr\n' >bin/mlruns-dump
    chmod +x bin/mlruns-dump
    password=$PGPASSWORD user=$PGUSER
    unset PGPASSWORD
    for url in "postgresql://$user@127.0.0.1:$PGPORT/$PGDATABASE?password=$password" \
        "postgresql://$user@127.0.0.1:$PGPORT/$PGDATABASE?p%61ssword=$password&sslmode=prefer" \
        "postgresql://$user:$password@127.0.0.1:$PGPORT/$PGDATABASE"; do
        run_split bin/ml-migrate --verify --target "$url"
        assert_status 0
        assert_contains "$(echo "$output" | tail -1)" "export MLFLOW_TRACKING_URI='postgresql://$user"
        assert_contains "$(echo "$output" | tail -1)" '***'
        refute_contains "$output$stderr" "$password"
        PGPASSWORD=$password psql -qAtX -c 'DROP SCHEMA public CASCADE; CREATE SCHEMA public' 2>/dev/null
    done
}
