#!/usr/bin/env bats
# ml-sync: ticks of growing sources into one database, and what becomes of them when something goes wrong.

load helpers
load tick_helpers

setup_file() {
    build_later
}

setup() {
    work
    copy_tree
    find mlruns -exec touch -d '1 hour ago' {} + # params of a moment ago are held back for the next tick
    export XDG_STATE_HOME=$WORK/state
    metric=$(find mlruns -path '*/metrics/*' -type f ! -path '*/.trash/*' | sort | sed -n 1p)
    run=$(dirname "$metric" | sed 's,/metrics.*,,')
}

teardown() {
    [ -z "${service-}" ] || kill -KILL "$service" 2>/dev/null || true
}

sync_tree() { run_split ml-sync --source mlruns --target sqlite:///t.db "$@"; }

# with_stopping_loader exec|"": ./bin has ml-sync and its programs, of which ml-load, in the place of a shell or below one,
# writes its pid to ./loader and stops where STOP_IN and STOP_AT say (stopping.c).
with_stopping_loader() {
    build_stopping
    mkdir bin
    for p in mlruns-dump ml-verify ml-transform; do ln -s "$BUILD/bin/$p" bin/; done
    cp "$BUILD/bin/ml-sync" bin/
    cat >bin/ml-load <<END
#!/bin/sh
export ASAN_OPTIONS="\${ASAN_OPTIONS:+\$ASAN_OPTIONS:}verify_asan_link_order=0"
$1 sh -c 'echo \$\$ >loader; LD_PRELOAD="$BATS_FILE_TMPDIR/stopping.so" exec "$BUILD/bin/ml-load" "\$@"' sh "\$@"
END
    chmod +x bin/ml-load
}

# The target has all that the tree has, and nothing else.
assert_same() { mlruns-dump -q mlruns | ml-verify -q "sqlite:///${1:-t.db}"; }

points() { sqlite3 t.db 'SELECT count(*) FROM metrics'; }

@test "the first tick brings everything, an idle one writes nothing, the next only what has changed" {
    sync_tree
    assert_status 0
    assert_contains "$output" "$PWD/mlruns -> $PWD/t.db: "
    assert_contains "$output" " added"
    assert_same
    touch -d @1000000000 t.db
    before=$(sha256sum t.db)
    sync_tree
    assert_status 0
    assert_equal "$output" "$PWD/mlruns -> $PWD/t.db: nothing changed"
    assert_equal "$(sha256sum t.db)" "$before"
    assert_equal "$(stat -c %Y t.db)" 1000000000
    sync_tree --quiet
    assert_status 0
    assert_equal "$output$stderr" ""
    echo "1999999999999 0.5 4711" >>"$metric"
    n=$(points)
    sync_tree --quiet --verify
    assert_status 0
    assert_contains "$output" "added"
    assert_equal "$stderr" ""
    assert_equal "$(points)" $((n + 1))
    assert_same
}

@test "--json prints an object for each source and tick, with ml-load's report" {
    sync_tree --json
    assert_status 0
    assert_equal "$(echo "$output" | jq -r '.source, .target, .status, .full, .changed')" "$PWD/mlruns
$PWD/t.db
0
true
true"
    assert_equal "$(echo "$output" | jq .result.kinds.run.added)" "$(sqlite3 t.db 'SELECT count(*) FROM runs')"
    sync_tree --json --verify
    assert_equal "$(echo "$output" | jq -c '[.full, .changed, .verified, .summary]')" '[false,false,true,"nothing changed"]'
}

@test "inputs wait for a dataset that is created while the store is read, in the first tick and in later ones" {
    dataset=$(echo "$PWD"/mlruns/*/datasets/*)
    inputs=$(dirname "$(dirname "$(grep -rl "source_type: DATASET" mlruns | head -1)")")
    mv "$dataset" aside
    for ticks in 1 2; do
        if [ $ticks -eq 2 ]; then
            mv "$dataset" aside
            mv "$inputs" inputs
            run_split ml-sync --source mlruns --target sqlite:///2.db # leaves out another run's input, which is tried again
            mv inputs "$inputs"
        fi
        MOVE_AT=inputs MOVE_FROM=$PWD/aside MOVE_TO=$dataset LD_PRELOAD=$BATS_FILE_TMPDIR/later.so \
            ASAN_OPTIONS=verify_asan_link_order=0 run_split ml-sync --jobs 1 --source mlruns --target sqlite:///$ticks.db
        assert_status 0
        assert_contains "$output" "held back"
        assert_equal "$(sqlite3 $ticks.db "SELECT count(*) FROM inputs WHERE source_type = 'DATASET'")" 0
        run_split ml-sync --source mlruns --target sqlite:///$ticks.db
        assert_status 0
        assert_same $ticks.db
        run_split ml-sync --source mlruns --target sqlite:///$ticks.db
        assert_contains "$output" "nothing changed"
    done
}

@test "each of several sources has a state of its own, and all have one target" {
    mkdir -p jobs/1 jobs/2
    sed -i "s/^experiment_id: .*/&/" mlruns/*/meta.yaml
    mlruns-dump -q mlruns | ml-load -q "sqlite:///jobs/1/mlflow.db"
    mlruns-dump -q mlruns | ml-load -q "sqlite:///jobs/2/mlflow.db"
    sqlite3 jobs/2/mlflow.db "UPDATE experiments SET name = name || ' of two';
        UPDATE metrics SET run_uuid = 'f' || substr(run_uuid, 2); UPDATE latest_metrics SET run_uuid = 'f' || substr(run_uuid, 2);
        UPDATE params SET run_uuid = 'f' || substr(run_uuid, 2); UPDATE tags SET run_uuid = 'f' || substr(run_uuid, 2);
        DELETE FROM model_versions; DELETE FROM registered_models; DELETE FROM registered_model_tags;
        DELETE FROM model_version_tags; DELETE FROM registered_model_aliases; DELETE FROM inputs; DELETE FROM input_tags;
        DELETE FROM spans; DELETE FROM trace_info; DELETE FROM trace_tags; DELETE FROM trace_request_metadata; DELETE FROM assessments;
        DELETE FROM logged_models; DELETE FROM logged_model_tags; DELETE FROM logged_model_params;
        DELETE FROM logged_model_metrics; DELETE FROM entity_associations;
        UPDATE runs SET run_uuid = 'f' || substr(run_uuid, 2)"
    run_split ml-sync --source mlruns --find jobs --target sqlite:///t.db
    assert_status 0
    assert_equal "$(echo "$output" | wc -l)" 3
    assert_equal "$(ls state/mlruns-tools/*.state | wc -l)" 3
    assert_equal "$(sqlite3 t.db 'SELECT count(*) FROM runs')" $((2 * $(sqlite3 jobs/1/mlflow.db 'SELECT count(*) FROM runs')))
    run_split ml-sync --quiet --source mlruns --find jobs --target sqlite:///t.db
    assert_status 0
    assert_equal "$output$stderr" ""
}

@test "two ticks of one state never overlap: the second says so, silently with --quiet" {
    command -v flock
    sync_tree
    flock state/mlruns-tools/*.lock sh -c 'ml-sync --source mlruns --target sqlite:///t.db; echo $?;
        ml-sync --quiet --source mlruns --target sqlite:///t.db; echo $?' >out 2>err
    assert_equal "$(cat out)" "2
2"
    assert_contains "$(cat err)" "another tick of this sync is running"
    assert_equal "$(wc -l <err)" 1
    sync_tree
    assert_status 0
}

@test "a target that was restored, emptied or replaced gets everything again, and a note says so" {
    sync_tree
    cp t.db backup.db
    echo "1999999999999 0.5 4711" >>"$metric"
    sync_tree
    cp backup.db t.db
    echo "1999999999999 0.5 4712" >>"$metric"
    sync_tree
    assert_status 0
    assert_contains "$stderr" "everything is sent again"
    assert_same
    rm t.db
    sync_tree --quiet
    assert_status 0
    assert_contains "$stderr" "everything is sent again"
    assert_contains "$output" "added"
    assert_same
    sync_tree
    assert_contains "$output" "nothing changed"
}

@test "a lost or damaged state costs a full stream, and is named" {
    sync_tree
    printf 'x' | dd of="$(ls state/mlruns-tools/*.state)" bs=1 seek=100 conv=notrunc status=none
    sync_tree --quiet
    assert_status 0
    assert_contains "$stderr" "everything is sent again"
    assert_same
    rm state/mlruns-tools/*.state
    sync_tree --json
    assert_status 0
    assert_equal "$(echo "$output" | jq -c '[.full, .changed]')" '[true,false]'
}

@test "--status shows the last tick, and --forget makes the next one a first" {
    run_split ml-sync --status
    assert_status 1
    sync_tree
    run_split ml-sync --status
    assert_status 0
    assert_contains "$output" "$PWD/mlruns -> $PWD/t.db"
    assert_contains "$output" "generation 1; nothing held back"
    run_split ml-sync --status --json --source ./mlruns/
    assert_status 0
    assert_equal "$(echo "$output" | jq -c '[.status, .generation, .unsent, .held_files]')" '[0,1,0,0]'
    run_split ml-sync --status --source /nowhere
    assert_status 1
    run_split ml-sync --forget --source mlruns --target sqlite:///t.db
    assert_status 0
    sync_tree --json
    assert_equal "$(echo "$output" | jq .full)" true
}

@test "options that change what is written have a state of their own" {
    sync_tree
    run_split ml-sync --source mlruns --target sqlite:///u.db --rewrite-uri file:///home/ada=s3://lab
    assert_status 0
    assert_equal "$(ls state/mlruns-tools/*.state | wc -l)" 2
    assert_equal "$(sqlite3 u.db "SELECT count(*) FROM runs WHERE artifact_uri NOT LIKE 's3://lab/%'")" 0
    run_split ml-sync --source mlruns --target sqlite:///u.db --rewrite-uri file:///home/ada=s3://lab
    assert_contains "$output" "nothing changed"
    run_split ml-sync --quiet --source mlruns --target sqlite:///u.db --rewrite-uri file:///home/ada=s3://lab
    assert_status 0
    assert_equal "$output$stderr" ""
}

@test "--dry-run reports what would change, and writes neither target nor state" {
    sync_tree
    cp -r state before
    sum=$(sha256sum t.db)
    echo "1999999999999 0.5 4711" >>"$metric"
    sync_tree --dry-run
    assert_status 0
    assert_contains "$output" "added"
    assert_contains "$output" "(dry run)"
    assert_equal "$(sha256sum t.db)" "$sum"
    cmp before/mlruns-tools/*.state state/mlruns-tools/*.state
    sync_tree
    assert_contains "$output" "added"
    assert_same
}

@test "a failing tick is reported with status 2, and the next one brings everything" {
    sync_tree
    echo "1999999999999 0.5 4711" >>"$metric"
    mv mlruns away
    sync_tree
    assert_status 2
    assert_contains "$output" "failed"
    assert_contains "$stderr" "mlruns"
    mv away mlruns
    sync_tree
    assert_status 0
    assert_same
}

@test "a tick that is killed with all its programs is made up for by the next one" {
    with_stopping_loader exec
    sync_tree
    # from the first write to a target that is there to those of the state
    for at in 1 2 5 9 14 20; do
        for signal in KILL TERM; do
            echo "1999999999999 0.5 $((at * 100 + ${#signal}))$RANDOM" >>"$metric"
            rm -f loader
            STOP_IN=writes STOP_AT=$at setsid bin/ml-sync --source mlruns --target sqlite:///t.db >out 2>err &
            tick=$!
            wait_for [ -s loader ]
            loader=$(cat loader)
            wait_for ended_or "$loader" stopped "$loader"
            kill -$signal -$tick 2>/dev/null || true
            kill -CONT "$loader" 2>/dev/null || true
            wait $tick || true
            sync_tree
            assert_status 0
            assert_same
        done
    done
}

@test "if only ml-sync is killed, its programs hold the lock until they end, so that no two ticks share a state" {
    # a stopped program dies with its parent (stopping.c): the shell stands between
    with_stopping_loader ""
    sync_tree
    echo "1999999999999 0.5 4711" >>"$metric"
    STOP_IN=writes STOP_AT=3 bin/ml-sync --source mlruns --target sqlite:///t.db >out 2>err &
    tick=$!
    wait_for [ -s loader ]
    loader=$(cat loader)
    wait_for stopped "$loader"
    kill -KILL $tick
    wait $tick || true
    echo "1999999999999 0.5 4712" >>"$metric"
    sync_tree
    assert_status 2
    assert_contains "$stderr" "another tick of this sync is running"
    kill -CONT "$loader"
    wait_for has_ended "$loader"
    sync_tree
    assert_status 0
    assert_same
}

@test "--interval runs tick after tick, even after failed ones, until SIGTERM, which waits for the end of a tick" {
    ml-sync --source mlruns --target sqlite:///t.db --interval 1 >out 2>err &
    service=$!
    wait_for grep -q 'nothing changed' out
    mv mlruns away
    wait_for grep -q failed out
    mv away mlruns
    echo "1999999999999 0.5 4711" >>"$metric"
    wait_for sh -c '[ "$(grep -c added out)" -ge 2 ]'
    kill -TERM $service
    wait $service
    unset service
    assert_same
}

@test "it works without a shell" {
    mkdir bin
    for p in ml-sync mlruns-dump ml-load ml-verify ml-transform; do cp "$BUILD/bin/$p" bin/; done
    run_split env -i PATH=/nowhere HOME="$PWD" bin/ml-sync --source mlruns --target sqlite:///t.db --verify --rewrite-uri /x=/y
    assert_status 0
    [ -n "$(ls .local/state/mlruns-tools/*.state)" ]
}

@test "wrong usage is refused" {
    run_split ml-sync
    assert_status 2
    assert_contains "$stderr" "--target is required"
    run_split ml-sync --target sqlite:///t.db mlruns
    assert_status 2
    run_split ml-sync --target ./t.db
    assert_status 2
    run_split ml-sync --status --forget --target sqlite:///t.db
    assert_status 2
    run_split env -i PATH="$PATH" ml-sync --source mlruns --target sqlite:///t.db
    assert_status 2
    assert_contains "$stderr" "--state DIR"
    run_split ml-sync --source mlruns --target sqlite:///t.db --state /proc/nowhere
    assert_status 2
    [ ! -e t.db ]
}

@test "names that are not text are shown with escapes, synced and found again" {
    name=$'m\e[31m\nlruns\xff'
    mv mlruns "$name"
    run_split ml-sync --source "$name" --target sqlite:///t.db
    assert_status 0
    assert_contains "$output" 'm\x1b[31m\x0alruns\xff'
    run_split ml-sync --source "$name" --target sqlite:///t.db --json
    assert_equal "$(echo "$output" | jq -c .changed)" false
    run_split ml-sync --status --source "$name"
    assert_status 0
}

@test "--verify finds what the target lacks of a tick and of a whole source" {
    sync_tree
    echo "1999999999999 0.5 4711" >>"$metric"
    cp state/mlruns-tools/*.state before
    mlruns-dump -q --since before --next-state after mlruns >tick.mlr
    run_split ml-verify --subset --use-state before sqlite:///t.db <tick.mlr
    assert_status 1
    assert_contains "$output" "missing in target"
    sync_tree --verify
    assert_status 0
    run_split ml-verify --subset --use-state before sqlite:///t.db <tick.mlr
    assert_status 0
    printf '#!/bin/sh\ncat >/dev/null\necho "{\\"changed\\":true,\\"kinds\\":{}}"\n' >ml-load
    chmod +x ml-load
    mkdir bin
    for p in mlruns-dump ml-verify; do ln -s "$BUILD/bin/$p" bin/; done
    cp "$BUILD/bin/ml-sync" bin/
    mv ml-load bin/
    echo "1999999999999 0.5 4712" >>"$metric"
    run_split bin/ml-sync --source mlruns --target sqlite:///t.db --verify
    assert_status 2
    assert_contains "$output" "verification failed"
    assert_contains "$stderr" "missing in target"
}
