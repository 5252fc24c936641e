#!/usr/bin/env bats
# Syncs into a PostgreSQL server as servers are: roles with limits, a busy autovacuum, a pooler, edits on both sides, and many
# jobs at once.

load helpers
load sync_helpers

setup() {
    work
    ln -s "$BATS_FILE_TMPDIR"/s.* .
    n=0
    use_server base
    edit '(select(.kind == "tag") | .value) |= . + "!"' >tags.mlr # a change of every tag
}

teardown() {
    [ -z "${pooler-}" ] || kill "$pooler"
    [ -z "${PUBLIC_WORK-}" ] || leave_public_work
}

# use_server base|empty: a database of the test's own, for all programs of PostgreSQL.
use_server() {
    use postgresql "$1"
    export PGDATABASE=$database
}

superuser() { # DATABASE COMMAND...
    local database=$1 arguments=() command
    shift
    for command in "$@"; do arguments+=(-c "$command"); done
    psql -qAtX -v ON_ERROR_STOP=1 -U postgres -d "$database" "${arguments[@]}"
}

assert_synced() { # STREAM
    run_split ml-verify -q --subset "$url" <"$1"
    assert_status 0
}

# locked COMMAND...: runs it while another session holds the lock by which syncs queue, until it has waited for half a second.
locked() {
    rm -f hold
    mkfifo hold
    psql -qX -U postgres <hold >/dev/null &
    local holder=$!
    exec 8>hold
    echo "BEGIN; SELECT pg_advisory_xact_lock(7306086912013);" >&8
    wait_for lock_is_held
    "$@" <&0 8>&- >out 2>err & # its input is not /dev/null
    local pid=$!
    wait_for ended_or $pid any_session "wait_event = 'advisory' AND clock_timestamp() - state_change > '500 ms'"
    exec 8>&-
    wait $holder
    status=0
    wait $pid || status=$?
    stderr=$(cat err)
}

lock_is_held() {
    [ "$(sql "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")" -gt 0 ]
}

@test "a sync waits for others as long as it takes, whatever timeouts and isolation the role has" {
    for setting in statement_timeout=100 lock_timeout=100 idle_in_transaction_session_timeout=100 idle_session_timeout=100 \
        default_transaction_isolation=serializable 'default_transaction_isolation="repeatable read"' jit_above_cost=0; do
        sql "ALTER ROLE mlflow IN DATABASE $PGDATABASE SET $setting"
        echo "with $setting" >&2
        locked ml-load -q --sync "$url" <tags.mlr
        assert_status 0
        assert_synced tags.mlr
        sql "ALTER ROLE mlflow IN DATABASE $PGDATABASE RESET ALL; UPDATE tags SET value = left(value, -1) WHERE value LIKE '%!'"
    done
}

@test "syncs work with autovacuum off and as busy as possible" {
    for settings in "autovacuum = off" "autovacuum_naptime = 1; ALTER SYSTEM SET autovacuum_vacuum_threshold = 0; ALTER SYSTEM SET autovacuum_vacuum_scale_factor = 0;
        ALTER SYSTEM SET autovacuum_analyze_threshold = 0; ALTER SYSTEM SET autovacuum_analyze_scale_factor = 0"; do
        IFS=';' read -r -d '' -a commands <<<"ALTER SYSTEM SET $settings" || true
        superuser postgres "${commands[@]}" 'SELECT pg_reload_conf()' >out
        ml-load -q --sync "$url" <tags.mlr
        assert_synced tags.mlr
        sql "UPDATE tags SET value = left(value, -1) WHERE value LIKE '%!'"
        ml-load -q --sync "$url" <s.mlr
        assert_synced s.mlr
        superuser postgres 'ALTER SYSTEM RESET ALL' 'SELECT pg_reload_conf()' >out
    done
}

# A pgbouncer of the test's own: $pooler, $pooled. Each of its two sessions serves one transaction, then the next client.
# Its socket is in $PUBLIC_WORK, for it refuses to be root; a port would be one that another program may take first.
start_pooler() {
    public_work
    mkdir -m 777 socket
    printf '"mlflow" "%s"\n' "$PGPASSWORD" >users
    cat >ini <<END
[databases]
$PGDATABASE = host=$PGHOST port=$PGPORT user=mlflow password=$PGPASSWORD
[pgbouncer]
listen_port = 6432
unix_socket_dir = $PWD/socket
auth_type = trust
auth_file = $PWD/users
pool_mode = transaction
default_pool_size = 2
min_pool_size = 2
END
    PATH=$PATH:/usr/sbin $AS pgbouncer ini >"$WORK/pool.log" 2>&1 3>&- &
    pooler=$!
    pooled="postgresql://mlflow@/$PGDATABASE?host=$PWD/socket&port=6432"
    wait_for ended_or $pooler psql -qAtX -c 'SELECT 1' "$pooled"
    cd "$WORK"
}

# What sessions of the pool say that a program of ours may have set.
pool_settings() {
    for _ in 1 2 3 4; do
        psql -qAtX -c "SELECT name, setting FROM pg_settings WHERE name IN ('search_path', 'statement_timeout', 'lock_timeout',
            'default_transaction_read_only', 'row_security', 'jit', 'bytea_output') UNION ALL SELECT name, statement FROM pg_prepared_statements ORDER BY 1" "$pooled"
    done | sort -u
}

@test "nothing of a sync stays in sessions of a transaction pooler" {
    start_pooler
    before=$(pool_settings)
    assert_contains "$before" "default_transaction_read_only|off"
    locked ml-load -q --sync "$pooled" <tags.mlr
    assert_status 0
    assert_synced tags.mlr
    ml-verify -q --subset "$pooled" <tags.mlr >out
    mldb-dump -q "$pooled" >dump.mlr
    ml-verify -q "$url" <dump.mlr >out
    ml-load -q --sync "$pooled" <tags.mlr
    assert_equal "$(pool_settings)" "$before"
    sql "UPDATE tags SET value = 'mine' WHERE key = 'mlflow.source.name'"
    psql -qAtX -c "CREATE TABLE written (a int); DROP TABLE written" "$pooled"
}

@test "an archived span's empty content does not overwrite a full one, and an archived one stays as it is" {
    sql "DELETE FROM spans"
    span() { # CONTENT
        printf '{"kind":"row","table":"spans","values":{"trace_id":"%s","experiment_id":{"$int":"%s"},"span_id":"s","name":"n","type":"LLM","status":"OK","start_time_unix_nano":1,"end_time_unix_nano":2,"content":"%s"}}\n' \
            $TRACE 537708342419121040 "$1"
    }
    with() { # CONTENT
        { head -n -1 s.json; span "$1"; } | ml-transform --from-json --reseal
    }
    for case in 'x|x' '|x' 'y|x'; do
        with "${case%|*}" >span.mlr
        run_split ml-load -q --sync --on-conflict skip "$url" <span.mlr
        [ $status -lt 2 ] || { echo "$stderr" >&2; false; }
        assert_equal "$(sql "SELECT content FROM spans WHERE span_id = 's'")" "${case#*|}"
    done
    sql "UPDATE spans SET content = ''"
    with x >span.mlr
    ml-load -q --sync "$url" <span.mlr
    assert_equal "$(sql "SELECT content FROM spans WHERE span_id = 's'")" ""
    assert_synced span.mlr
}

@test "a tag edited on both sides takes the source's value if that changed since the base, else the server's stays" {
    cp -r "$ROOT/tests/data/mlruns" mlruns
    find mlruns -exec touch -d '1 hour ago' {} +
    run=$(find mlruns -type d -name $RUN)
    use_server empty
    sync() { run_split ml-sync --source mlruns --target "$url" --state states "$@"; }
    value() { sql "SELECT value FROM tags WHERE run_uuid = '$RUN' AND key = '$1'"; }
    echo -n old >"$run/tags/a"
    echo -n old >"$run/tags/b"
    sync
    assert_status 0
    sql "UPDATE tags SET value = 'server' WHERE run_uuid = '$RUN' AND key IN ('a', 'b')"
    echo -n source >"$run/tags/a"
    sync
    assert_status 0
    assert_equal "$(value a) $(value b)" "source server"
    sync
    assert_equal "$(value a) $(value b)" "source server"
    rm -r states # and a lost state asserts everything, which is told
    sync
    assert_status 0
    assert_equal "$(value a) $(value b)" "source old"
    assert_contains "$stderr" "'server' becomes 'old'"
}
