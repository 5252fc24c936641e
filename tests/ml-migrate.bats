#!/usr/bin/env bats
# ml-migrate: the pipeline in one command, and that it fails when any of its programs does.

load helpers

setup() {
    work
    copy_tree
}

# A directory with the real programs but one, which is a script that reads what it is given and exits with STATUS.
with_failing() { # PROGRAM STATUS [COMMAND]
    rm -rf bin
    mkdir bin
    for p in ml-migrate mlruns-dump ml-load ml-verify; do ln -s "$BUILD/bin/$p" bin/; done
    rm "bin/$1"
    printf '#!/bin/sh\n%s\nexit %s\n' "${3-cat >/dev/null}" "$2" >"bin/$1"
    chmod +x "bin/$1"
    cp --remove-destination "$BUILD/bin/ml-migrate" bin/
}

@test "it migrates, verifies, and ends with the export, which also works in another directory" {
    run_split ml-migrate --source ./mlruns --target sqlite:///mlflow.db --verify
    assert_status 0
    assert_contains "$output" "Status: SUCCESS"
    assert_equal "$(echo "$output" | tail -1)" "export MLFLOW_TRACKING_URI=sqlite:///$PWD/mlflow.db"
    mlruns-dump -q mlruns | ml-verify -q sqlite:///mlflow.db
    [ "$(ls -A | grep -c mlflow.db)" -eq 1 ]
    mkdir other
    cd other
    eval "$(echo "$output" | tail -1)"
    mlruns-dump -q ../mlruns | ml-verify -q "$MLFLOW_TRACKING_URI"
}

@test "without options ./mlruns goes into ./mlflow.db, and only the export to standard output" {
    run_split ml-migrate
    assert_status 0
    assert_equal "$output" "export MLFLOW_TRACKING_URI=sqlite:///$PWD/mlflow.db"
}

@test "names with blanks and quotes work" {
    mkdir "it's a dir"
    mv mlruns "it's a dir/"
    run_split ml-migrate --source "it's a dir/mlruns" --target="sqlite:///it's a dir/x.db"
    assert_status 0
    [ -f "it's a dir/x.db" ]
    eval "$(echo "$output" | tail -1)"
    mlruns-dump -q "it's a dir/mlruns" | ml-verify -q "$MLFLOW_TRACKING_URI"
}

@test "the export is the URL that every MLflow reads alike; where there is none, a note says so" {
    run_split ml-migrate --target 'sqlite:///a%20b#&=;@:.db?timeout=30' --verify
    assert_status 0
    [ -s 'a b#&=;@:.db' ]
    assert_equal "$(echo "$output" | tail -1)" "export MLFLOW_TRACKING_URI='sqlite:///$PWD/a b#&=;@:.db?timeout=30'"
    assert_contains "$stderr" "this is the file $PWD/a b#&=;@:.db; MLflow with SQLAlchemy before 2.1 reads it as a%20b#&=;@:.db"
    run_split ml-migrate --target "sqlite:///$PWD/c%3Fd.db"
    assert_status 0
    [ -s 'c?d.db' ]
    assert_equal "$output" "export MLFLOW_TRACKING_URI='sqlite:///$PWD/c%3Fd.db'"
    assert_contains "$stderr" "no URL refers to this file in every MLflow"
}

@test "an export that cannot be written is an error before the load and a warning after it" {
    for command in 'ml-migrate -q --target sqlite:///x.db' 'mlruns-dump -q mlruns | ml-load -q --export sqlite:///x.db'; do
        run_split sh -c "$command >/dev/full"
        assert_status 0
        assert_contains "$stderr" "standard output: warning: "
        assert_contains "$stderr" "the database is complete"
        mlruns-dump -q mlruns | ml-verify -q sqlite:///x.db
        rm x.db
        run_split sh -c "$command >&-"
        assert_status 2
        assert_contains "$stderr" "standard output: "
        [ ! -e x.db ]
    done
}

# after_load COMMAND: runs it with a pipe for standard output that has a reader until the database is there.
after_load() {
    mkfifo out
    wait_for test -e x.db <out &
    # The database is published while the reader is still there or not: either way it is complete.
    run_split sh -c "$1 >out"
    wait $!
    rm out
}

@test "if the reader of standard output or error goes away, the database is complete and the status 0" {
    for command in 'ml-migrate -q --target sqlite:///x.db' 'mlruns-dump -q mlruns | ml-load -q --export sqlite:///x.db'; do
        after_load "$command"
        assert_status 0
        mlruns-dump -q mlruns | ml-verify -q sqlite:///x.db
        rm x.db
    done
    # A pipe that nobody reads any more.
    for command in 'ml-migrate -v --target sqlite:///x.db' 'mlruns-dump mlruns | ml-load -v sqlite:///x.db' \
        'ml-schema create -v --release 3.17 sqlite:///x.db'; do
        mkfifo err
        exec 8<>err 9>err 8<&-
        rm err
        run_split sh -c "$command 2>&9"
        exec 9>&-
        assert_status 0
        assert_equal "$(sqlite3 x.db 'PRAGMA integrity_check')" ok
        rm x.db
    done
}

@test "options are passed to the programs" {
    run_split ml-migrate --release 3.2.0 --jobs 2 --tmpdir . -v --target sqlite:///x.db
    assert_status 0
    assert_equal "$(sqlite3 x.db 'SELECT version_num FROM alembic_version')" 770bee3ae1dd
    run_split ml-migrate --jobs none --target sqlite:///y.db
    assert_status 2
    assert_contains "$stderr" "jobs"
    run_split ml-migrate -q --release 3.17 --target sqlite:///z.db
    assert_status 0
    assert_equal "$stderr" ""
}

@test "--dry-run writes nothing and exports nothing" {
    run_split ml-migrate --dry-run --target sqlite:///x.db
    assert_status 0
    assert_equal "$output" ""
    [ ! -e x.db ]
    assert_equal "$(ls -A | grep -c x.db)" 0
}

@test "--skip-malformed and --drop-unsupported complete with status 1" {
    printf 'not a metric\n' >"$(find mlruns -path '*/metrics/*' -type f | sed -n 1p)"
    run_split ml-migrate --target sqlite:///x.db
    assert_status 2
    [ ! -e x.db ]
    assert_equal "$output" ""
    run_split ml-migrate --target sqlite:///x.db --skip-malformed --verify
    assert_status 1
    [ -e x.db ]
    assert_contains "$output" "Status: SUCCESS"
    assert_contains "$output" "export MLFLOW_TRACKING_URI="
}

@test "a second migration into the same database is refused" {
    ml-migrate -q >/dev/null
    before=$(sha256sum <mlflow.db)
    run_split ml-migrate
    assert_status 2
    assert_contains "$stderr" "not empty"
    assert_equal "$output" ""
    assert_equal "$(sha256sum <mlflow.db)" "$before"
}

@test "it fails when any stage fails" {
    for program in mlruns-dump ml-load; do
        for code in 2 3 137 255; do
            with_failing "$program" "$code"
            [ "$program" = ml-load ] || with_failing "$program" "$code" "$BUILD/bin/mlruns-dump -q mlruns | head -c 100"
            run_split bin/ml-migrate --target sqlite:///x.db
            assert_status 2
            assert_equal "$output" ""
            [ ! -e x.db ]
        done
    done
    with_failing mlruns-dump 2 "$BUILD/bin/mlruns-dump -q mlruns" # a whole stream, but it failed
    run_split bin/ml-migrate --target sqlite:///x.db
    assert_status 2
    assert_equal "$output" ""
    rm -f x.db
    for code in 1 2; do
        with_failing ml-verify $code
        run_split bin/ml-migrate --target sqlite:///x.db --verify
        assert_status $code
        refute_contains "$output" export
        rm -f x.db
    done
    with_failing ml-load 130
    run_split bin/ml-migrate
    assert_status 130
}

@test "it runs the programs next to it, or those on PATH" {
    mkdir alone
    cp "$BUILD/bin/ml-migrate" alone/
    run_split alone/ml-migrate
    assert_status 0
    rm mlflow.db
    mkdir tools
    run_split env PATH="$PWD/tools" alone/ml-migrate
    if [ -L "$BUILD/bin/ml-migrate" ]; then # of a package: all programs in one executable
        assert_status 0
        rm mlflow.db
    else
        assert_status 2
        assert_contains "$stderr" "mlruns-dump is neither in the directory of this program nor on PATH"
    fi
    run_split env PATH="$PWD/tools" "$BUILD/bin/ml-migrate" # and no sh is needed
    assert_status 0
    rm mlflow.db
    ln -s "$BUILD/bin/ml-migrate" tools/
    run_split env PATH="$PWD/tools" ml-migrate # called by a link elsewhere
    assert_status 0
}

@test "wrong usage is refused" {
    for arguments in --nonsense "--source" "a b c" "--target sqlite:///a a sqlite:///b"; do
        run_split ml-migrate $arguments
        assert_status 2
        assert_contains "$stderr" "usage: ml-migrate"
    done
}

@test "no temporary file is left" {
    ml-migrate -q --verify >/dev/null
    assert_equal "$(ls -A | sort | tr '\n' ' ')" "mlflow.db mlruns "
}

@test "an interrupted migration leaves nothing" {
    python3 "$ROOT/tests/mlflow/make_tree.py" --output big --runs 300 --points 300000 >/dev/null
    setsid env --default-signal=INT ml-migrate --source big >out 2>err &
    pid=$!
    wait_for ended_or $pid test -e .mlflow.db.ml-load
    kill -INT -- -$pid # as a terminal does
    ended
    assert_status 130
    [ ! -e mlflow.db ]
    wait_for test ! -e .mlflow.db.ml-load # its programs end by themselves
}

# A directory with the real programs but mlruns-dump, a script that counts its runs in ./runs and then is the real one.
with_counting() {
    with_failing mlruns-dump 0
    printf '#!/bin/sh\necho run >>"%s/runs"\nexec "%s/bin/mlruns-dump" "$@"\n' "$PWD" "$BUILD" >bin/mlruns-dump
}

# A store of one experiment and one run: DIR EXPERIMENT NAME RUN
make_store() {
    mkdir -p "$1/.trash" "$1/$2/$4"/{metrics,params,tags,artifacts}
    cat >"$1/$2/meta.yaml" <<EOF
artifact_location: file://$PWD/$1/$2
experiment_id: '$2'
lifecycle_stage: active
name: $3
EOF
    cat >"$1/$2/$4/meta.yaml" <<EOF
artifact_uri: file://$PWD/$1/$2/$4/artifacts
end_time: 2
experiment_id: '$2'
lifecycle_stage: active
run_id: $4
run_name: run
start_time: 1
status: 3
user_id: u
EOF
    printf '1 0.5 0\n' >"$1/$2/$4/metrics/loss"
}

@test "source and target may be operands: a directory, a SQLite file or the URL of a database" {
    run_split ml-migrate mlruns sqlite:///a.db --verify
    assert_status 0
    assert_contains "$output" "Status: SUCCESS"
    run_split ml-migrate a.db sqlite:///b.db --verify
    assert_status 0
    assert_contains "$output" "Status: SUCCESS"
    assert_equal "$(echo "$output" | tail -1)" "export MLFLOW_TRACKING_URI=sqlite:///$PWD/b.db"
    run_split ml-migrate sqlite:///b.db --target sqlite:///c.db --verify
    assert_status 0
    mlruns-dump -q mlruns | ml-verify -q sqlite:///c.db
    mv a.db 'a % ?#.db'
    run_split ml-migrate 'a % ?#.db' sqlite:///d.db
    assert_status 0
    mlruns-dump -q mlruns | ml-verify -q sqlite:///d.db
}

@test "--verify reads the source once, --reread twice; warnings come once" {
    with_counting
    mkdir elsewhere
    params=$(find mlruns -path '*/params' -type d | sed -n 1p)
    ln -s "$PWD/elsewhere" "$params/linked" # a link to a directory, which MLflow does not follow: a warning
    run_split bin/ml-migrate mlruns sqlite:///a.db --verify
    assert_status 0
    assert_equal "$(wc -l <runs)" 1
    assert_equal "$(grep -c 'linked: warning' <<<"$stderr")" 1
    rm runs
    run_split bin/ml-migrate mlruns sqlite:///b.db --verify --reread
    assert_status 0
    assert_equal "$(wc -l <runs)" 2
    assert_equal "$(grep -c 'linked: warning' <<<"$stderr")" 1
    assert_contains "$output" "Status: SUCCESS"
    rm -r bin runs elsewhere
    assert_equal "$(find . -maxdepth 1 -type f -not -name '.std*' | sort | tr '\n' ' ')" "./a.db ./b.db "
}

@test "a verification that differs recommends nothing, read once or twice" {
    with_failing ml-load 0 "\"$BUILD/bin/ml-load\" \"\$@\"; sqlite3 x.db 'UPDATE params SET value = value || 1'"
    for reread in '' --reread; do
        rm -f x.db
        run_split bin/ml-migrate mlruns --target sqlite:///x.db --verify $reread
        assert_status 1
        assert_contains "$output" "Status: FAILED"
        refute_contains "$output" export
    done
}

@test "only the program that found a problem reports it" {
    printf 'not a metric\n' >"$(find mlruns -path '*/metrics/*' -type f | sed -n 1p)"
    for options in '' --verify '--verify --reread' --on-conflict=rename '--verify --renumber-experiments'; do
        run_split ml-migrate -q mlruns sqlite:///x.db $options
        assert_status 2
        refute_contains "$stderr" "ml-load: "
        refute_contains "$stderr" "ml-verify: "
        refute_contains "$stderr" "ml-transform: "
        assert_contains "$stderr" "mlruns-dump: "
        [ ! -e x.db ]
        [ ! -e .x.db.ml-load ]
    done
}

@test "a failing transform or load is named once, and nothing is left" {
    for options in '' --verify; do
        run_split ml-migrate mlruns sqlite:///x.db $options --rewrite-uri nonsense
        assert_status 2
        assert_contains "$stderr" "ml-transform: "
        refute_contains "$stderr" truncated
        refute_contains "$stderr" signal
        run_split ml-migrate mlruns sqlite:///nowhere/x.db $options
        assert_status 2
        assert_contains "$stderr" "nowhere"
        [ ! -e x.db ]
        [ ! -e .x.db.ml-load ]
    done
}

@test "several sources are merged; each is named" {
    make_store a/mlruns 111111111111111111 first 0123456789abcdef0123456789abcdef
    make_store b/mlruns 222222222222222222 second 1123456789abcdef0123456789abcdef
    ml-migrate -q b/mlruns sqlite:///b.db >/dev/null
    run_split ml-migrate --source a --source b.db --source mlruns --target sqlite:///all.db --verify
    assert_status 0
    assert_contains "$output" "Status: SUCCESS"
    assert_contains "$stderr" "source 1 of 3: a"
    assert_contains "$stderr" "source 2 of 3: sqlite:///b.db"
    assert_contains "$stderr" "source 3 of 3: mlruns"
    for source in a b mlruns; do
        assert_equal "$(mlruns-dump -q $source | ml-transform -q --json | jq -r 'select(.kind == "run").run_id' |
            while read -r id; do sqlite3 all.db "SELECT 1 FROM runs WHERE run_uuid = '$id'"; done | wc -l)" \
            "$(mlruns-dump -q $source | ml-transform -q --json | jq -r 'select(.kind == "run").run_id' | wc -l)"
    done
    make_store c/mlruns 333333333333333333 second 2123456789abcdef0123456789abcdef
    run_split ml-migrate --source b --source c --target sqlite:///two.db
    assert_status 2
    assert_contains "$stderr" "333333333333333333"
    assert_contains "$stderr" "--on-conflict"
    [ ! -e two.db ]
    run_split ml-migrate --source b --source c --target sqlite:///two.db --on-conflict rename --verify
    assert_status 0
    assert_equal "$(sqlite3 two.db 'SELECT name FROM experiments ORDER BY name')" "$(printf 'second\nsecond (2)')"
}

@test "a file store and its backups are merged without any option, what they share once" {
    cp -r mlruns copy
    make_store copy 444444444444444444 later 4123456789abcdef0123456789abcdef
    cp -r copy copy.2
    make_store a/mlruns 111111111111111111 first 0123456789abcdef0123456789abcdef
    runs=$(mlruns-dump -q mlruns | ml-transform -q --json | tail -1 | jq .counts.run)
    run_split ml-migrate --source mlruns --source copy --source copy.2 --source a --target sqlite:///all.db --verify
    assert_status 0
    assert_contains "$output" "Status: SUCCESS"
    assert_equal "$(sqlite3 all.db 'SELECT count(*) FROM runs')" $((runs + 2))
}

@test "--find reads every file store and SQLite file of MLflow below a directory" {
    for i in 1 2 3; do
        make_store "out/2024-01-0$i/10-00-0$i/mlruns" "$i" "job $i" "${i}123456789abcdef0123456789abcdef"
    done
    make_store out/db/mlruns 4 "job 4" 4123456789abcdef0123456789abcdef
    (cd out/db && ml-migrate -q >/dev/null && rm -r mlruns && mv mlflow.db 'my tracking.sqlite')
    sqlite3 out/other.db 'CREATE TABLE t (a)'
    echo text >out/not.db
    mkdir out/empty out/.git
    ln -s ../2024-01-01/10-00-01/mlruns out/empty/mlruns # the same store again
    ln -s .. out/empty/up
    run_split ml-migrate --find out --target sqlite:///all.db --verify
    assert_status 0
    assert_equal "$(grep -c 'source . of 4: ' <<<"$stderr")" 4
    assert_contains "$stderr" "source 4 of 4: sqlite:///out/db/my tracking.sqlite"
    assert_contains "$output" "Status: SUCCESS"
    assert_equal "$(sqlite3 all.db 'SELECT name FROM experiments ORDER BY name')" "$(printf 'job %s\n' 1 2 3 4)"
    run_split ml-migrate --find out/.git --target sqlite:///none.db
    assert_status 2
    assert_contains "$stderr" "no file store and no MLflow SQLite file found below it"
}

@test "--find names what it cannot read, and stops" {
    public_work
    make_store jobs/a/mlruns 1 one 0123456789abcdef0123456789abcdef
    mkdir jobs/closed
    [ -z "$AS" ] || chown -R 65534 .
    chmod 0 jobs/closed
    run_split $AS "$BUILD/bin/ml-migrate" --find jobs --target sqlite:///x.db
    assert_status 2
    assert_contains "$stderr" "jobs/closed: Permission denied"
    [ ! -e x.db ]
    run_split $AS "$BUILD/bin/ml-migrate" --find jobs --target sqlite:///x.db --skip-malformed
    assert_status 1
    assert_contains "$output" "export "
    chmod 700 jobs/closed
    leave_public_work
}

@test "passwords of sources are not shown" {
    run_split ml-migrate --source postgresql://u:sesame@127.0.0.1:1/x --source mlruns --target sqlite:///x.db
    assert_status 2
    refute_contains "$stderr" sesame
    run_split ml-migrate postgresql://u:sesame@127.0.0.1:1/x sqlite:///x.db sqlite:///y.db
    assert_status 2
    refute_contains "$stderr" sesame
}

@test "a signal to ml-migrate alone ends all of its programs, and leaves nothing" {
    mkfifo gate
    with_failing mlruns-dump 0 "\"$BUILD/bin/mlruns-dump\" -q mlruns | head -c 200; echo \$\$ >gate; exec sleep infinity"
    bin/ml-migrate --target sqlite:///x.db --verify 2>err &
    pid=$!
    read -r dump <gate
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    assert_status 143
    [ ! -e "/proc/$dump" ]
    [ ! -e x.db ]
    [ ! -e .x.db.ml-load ]
}
