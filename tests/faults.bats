#!/usr/bin/env bats
# Faults of the file system, of pipes and of memory: what cannot be done is said and leaves the target as it was; once a
# database has its name nothing is an error any more.

load helpers
strict_pipes

setup_file() {
    cc -shared -fPIC -O1 -o "$BATS_FILE_TMPDIR/faults.so" "$ROOT/tests/faults.c"
}

setup() {
    work
    copy_tree
    mlruns-dump -q mlruns >a.mlr
    mkdir db
    # Reports of leaks and preloading need one another's place: a sanitized program lets the shim come first.
    export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0"
}

# faulty CALLS COMMAND...: run_split with these calls failing where ./db is concerned.
faulty() {
    calls=$1
    shift
    run_split timeout 300 env FAULT_CALLS="$calls" FAULT_PATH=/db LD_PRELOAD="$BATS_FILE_TMPDIR/faults.so" "$@"
}

# Each way of making a SQLite file that is not there yet.
makers() {
    echo 'ml-load -q --release 3.17 sqlite:///db/x.db'
    echo 'ml-schema create -q --release 3.17 sqlite:///db/x.db'
    echo 'ml-schema upgrade -q --to 3.17 --backup db/x.db sqlite:///old.db'
}

@test "a file that cannot be created, written or renamed leaves nothing, whichever call fails" {
    ml-schema create -q --release 3.2 sqlite:///old.db
    before=$(sha256sum <old.db)
    for calls in fstat lstat fstat_inode fsync rename; do
        while read -r command; do
            # shellcheck disable=SC2086 # words
            faulty $calls $command <a.mlr
            assert_status 2
            assert_contains "$stderr" db/
            assert_equal "$(ls -A db)" ""
            assert_equal "$(sha256sum <old.db)" "$before"
        done < <(makers)
    done
}

@test "if a directory cannot be synced, the database is complete, the status 0, and a warning says what is uncertain" {
    while read -r command; do
        rm -f db/* old.db
        ml-schema create -q --release 3.2 sqlite:///old.db
        # shellcheck disable=SC2086
        faulty fsync_dir $command <a.mlr
        assert_status 0
        assert_equal "$stderr" ""
        rm db/* old.db
        ml-schema create -q --release 3.2 sqlite:///old.db
        # shellcheck disable=SC2086
        faulty fsync_dir,syncfs $command <a.mlr
        assert_status 0
        assert_contains "$stderr" "db/x.db: warning: the file is complete, but its directory cannot be synced"
        assert_equal "$(ls -A db)" x.db
        assert_equal "$(sqlite3 db/x.db 'PRAGMA integrity_check')" ok
    done < <(makers)
}

@test "a directory that is writable but not readable is enough" {
    public_work
    mkdir db
    cp "$WORK/a.mlr" .
    chmod 644 a.mlr
    [ -z "$AS" ] || chown 65534:65534 db .
    $AS env PATH="$PATH" ml-schema create -q --release 3.2 sqlite:///old.db
    while read -r command; do
        chmod 333 db
        # shellcheck disable=SC2086
        run_split $AS $command <a.mlr
        chmod 755 db
        assert_status 0
        assert_equal "$stderr" ""
        assert_equal "$(ls -A db)" x.db
        rm db/x.db
    done < <(makers)
    leave_public_work
}

@test "ml-transform --id-map replaces an existing map only by a complete one, and writes to a pipe" {
    printf '537708342419121040\t7\tx\n' >map.tsv
    before=$(cat map.tsv)
    run_split env FAULT_CALLS=fsync FAULT_PATH=map LD_PRELOAD="$BATS_FILE_TMPDIR/faults.so" \
        ml-transform --renumber-experiments --id-map map.tsv <a.mlr
    assert_status 2
    assert_contains "$stderr" "map.tsv: cannot write: Input/output error"
    assert_equal "$(cat map.tsv)" "$before"
    assert_equal "$(echo map*)" map.tsv
    run_split sh -c 'ml-load -q sqlite:///db/x.db <"$BATS_TEST_TMPDIR/.stdout"'
    assert_status 2 # the stream has no trailer
    ln -s map.tsv link.tsv
    ml-transform -q --renumber-experiments --id-map link.tsv <a.mlr >out.mlr
    [ -L link.tsv ]
    ml-transform -q --renumber-experiments --id-map /dev/stderr <a.mlr 2>&1 >out.mlr | cmp - map.tsv
}

@test "a file that reaches its size limit is an error that names it, and leaves nothing" {
    ml-schema create -q --release 3.2 sqlite:///old.db
    while read -r command; do
        run_split bash -c "ulimit -f 64; $command" <a.mlr
        assert_status 2
        assert_contains "$stderr" "db/"
        assert_equal "$(ls -A db)" ""
    done < <(makers)
    run_split bash -o pipefail -c '(ulimit -f 0; exec mlruns-dump -q mlruns 2>&1 >cut) | cat >&2'
    assert_status 2
    assert_contains "$stderr" "standard output: cannot write: File too large"
}

# many_experiments N: ./many.mlr, and ./many.db, which holds it.
many_experiments() {
    {
        printf '{"kind":"header","format":1,"minor":0,"producer":"test","source":"%032d","shard":0,"shards":1}\n' 1
        awk 'BEGIN { for (i = 1; i <= '"$1"'; i++) printf "{\"kind\":\"experiment\",\"experiment_id\":\"7%08d\",\"name\":\"experiment %d\",\"lifecycle_stage\":\"active\",\"artifact_location\":\"/x/%0300d\"}\n", i, i, i }'
    } | ml-transform --from-json --reseal >many.mlr
    ml-load -q --release 3.17 sqlite:///many.db <many.mlr
}

@test "a temporary file that cannot be created, written or read is an error that names its directory and --tmpdir; nothing is changed" {
    [ -z "${SANITIZE-}" ] || skip "it takes long"
    local commands="many.mlr ml-transform --merge --tmpdir full
many.mlr ml-transform --summary --tmpdir full
many.mlr ml-transform --renumber-experiments --id-map map.tsv --tmpdir full
many.mlr ml-load -q --release 3.17 --tmpdir full sqlite:///new.db
many.mlr ml-verify -q --tmpdir full sqlite:///many.db
/dev/null mldb-dump -q --tmpdir full sqlite:///many.db"
    many_experiments "$([ -n "${DEEP-}" ] && echo 400000 || echo 120000)"
    [ -z "${DEEP-}" ] || commands="$commands
many.mlr ml-transform --validate --tmpdir full
many.mlr ml-transform --lifecycle active --tmpdir full"
    mkdir full
    echo before >map.tsv
    before=$(sha256sum many.db map.tsv)
    while IFS='|' read -r dir calls after what; do
        while read -r input command; do
            # shellcheck disable=SC2086 # words
            run_split env FAULT_CALLS=$calls FAULT_AFTER=$after FAULT_PATH=/full LD_PRELOAD="$BATS_FILE_TMPDIR/faults.so" \
                ${command/--tmpdir full/--tmpdir $dir} <$input
            assert_equal "$command: $status" "$command: 2"
            assert_equal "$command: $(echo "$stderr" | grep -v 'hint: --tmpdir names another directory')" "$command: ${command%% *}: $dir: cannot $what"
            [ "$calls" = pread ] || assert_contains "$stderr" "hint: --tmpdir names another directory"
            run_split sh -c 'ml-transform --validate <"$BATS_TEST_TMPDIR/.stdout"'
            assert_status 2 # no whole stream
            assert_equal "$(ls -A full)" ""
            [ ! -e new.db ]
        done <<<"$commands"
    done <<'END'
full|write|0|write a temporary file here: No space left on device
full|write|20|write a temporary file here: No space left on device
full|pread|20|read a temporary file here: Input/output error
/proc|-|0|create a temporary file here: No such file or directory
END
    assert_equal "$(sha256sum many.db map.tsv)" "$before"
    run_split sh -c "FAULT_CALLS=write FAULT_PATH=/full LD_PRELOAD='$BATS_FILE_TMPDIR/faults.so' ml-transform --merge --tmpdir full <many.mlr |
        ml-load -q sqlite:///new.db"
    assert_status 2
    [ ! -e new.db ]
}

@test "SIGPIPE from elsewhere does not end a load" {
    begin ml-load -q sqlite:///db/x.db
    head -c 5000 a.mlr >&9
    wait_for waits_for_more $pid
    kill -PIPE $pid
    tail -c +5001 a.mlr >&9
    finish
    assert_status 0
    ml-verify -q sqlite:///db/x.db <a.mlr
}
