#!/usr/bin/env bats
# ml-migrate: the pipeline in one command, and that it fails when any of its programs does.

load helpers

setup() {
    work
    copy_tree
}

# A folder with the real programs but one, which is a script that reads what it is given and exits with STATUS.
with_failing() { # PROGRAM STATUS [COMMAND]
    rm -rf bin
    mkdir bin
    for p in ml-migrate mlruns-dump ml-load ml-verify; do ln -s "$BUILD/bin/$p" bin/; done
    rm "bin/$1"
    printf '#!/bin/sh\n%s\nexit %s\n' "${3-cat >/dev/null}" "$2" >"bin/$1"
    chmod +x "bin/$1"
    cp --remove-destination "$BUILD/bin/ml-migrate" bin/
}

@test "it migrates, verifies, and ends with the export, which is true in another folder too" {
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

@test "without options: ./mlruns into ./mlflow.db; the export is all that goes to standard output" {
    run_split ml-migrate
    assert_status 0
    assert_equal "$output" "export MLFLOW_TRACKING_URI=sqlite:///$PWD/mlflow.db"
}

@test "names with blanks and quotes" {
    mkdir "it's a dir"
    mv mlruns "it's a dir/"
    run_split ml-migrate --source "it's a dir/mlruns" --target="sqlite:///it's a dir/x.db"
    assert_status 0
    [ -f "it's a dir/x.db" ]
    eval "$(echo "$output" | tail -1)"
    mlruns-dump -q "it's a dir/mlruns" | ml-verify -q "$MLFLOW_TRACKING_URI"
}

@test "the export is the URL that every MLflow reads alike; where none is, that is told" {
    run_split ml-migrate --target 'sqlite:///a%20b#&=;@:.db?timeout=30' --verify
    assert_status 0
    [ -s 'a b#&=;@:.db' ]
    assert_equal "$(echo "$output" | tail -1)" "export MLFLOW_TRACKING_URI='sqlite:///$PWD/a b#&=;@:.db?timeout=30'"
    assert_contains "$stderr" "this is the file $PWD/a b#&=;@:.db; MLflow with SQLAlchemy before 2.1 takes it for a%20b#&=;@:.db"
    run_split ml-migrate --target "sqlite:///$PWD/c%3Fd.db"
    assert_status 0
    [ -s 'c?d.db' ]
    assert_equal "$output" "export MLFLOW_TRACKING_URI='sqlite:///$PWD/c%3Fd.db'"
    assert_contains "$stderr" "no URL means this file to every MLflow"
}

@test "an export that cannot be written: an error before the load, a warning after it" {
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
    { while [ ! -e x.db ]; do sleep 0.05; done; } <out &
    # The database is published while the reader is still there or not: either way it is complete.
    run_split sh -c "$1 >out"
    wait $!
    rm out
}

@test "whoever reads standard output or error may go away: the database is complete, and exit 0" {
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

@test "options reach the programs" {
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

@test "--skip-malformed and --drop-unsupported: done, with exit 1" {
    printf 'not a metric\n' >"$(find mlruns -path '*/metrics/*' -type f | head -1)"
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

@test "the programs beside it are taken, then those on PATH" {
    mkdir alone
    cp "$BUILD/bin/ml-migrate" alone/
    run_split alone/ml-migrate
    assert_status 0
    rm mlflow.db
    mkdir tools
    for t in sh dirname sed cat; do ln -s "$(command -v $t)" tools/; done
    run_split env PATH="$PWD/tools" alone/ml-migrate
    assert_status 2
    assert_contains "$stderr" "mlruns-dump is neither beside this program nor on PATH"
}

@test "wrong usage" {
    for arguments in --nonsense "--source" "x" "--source=a y"; do
        run_split ml-migrate $arguments
        assert_status 2
        assert_contains "$stderr" "usage: ml-migrate"
    done
}

@test "no temporary file is left, and no bash is needed" {
    if command -v dash >/dev/null; then dash "$BUILD/bin/ml-migrate" -q >/dev/null; else ml-migrate -q >/dev/null; fi
    assert_equal "$(ls -A | sort | tr '\n' ' ')" "mlflow.db mlruns "
}

@test "an interrupted migration leaves nothing" {
    python3 "$ROOT/tests/mlflow/make_tree.py" --output big --runs 300 --points 300000 >/dev/null
    run_split timeout --preserve-status -s INT 0.4 ml-migrate --source big
    assert_status 130
    [ ! -e mlflow.db ]
    for _ in $(seq 50); do # its programs end by themselves
        [ -e .mlflow.db.ml-load ] || break
        sleep 0.1
    done
    [ ! -e .mlflow.db.ml-load ]
}
