#!/usr/bin/env bats
# mlruns-tools: one command in front of all programs.

load helpers

setup() {
    work
    copy_tree
    find mlruns -exec touch -d '1 hour ago' {} + # a sync leaves params of a moment ago for the next tick
}

# Whether all programs are one executable, as in packages.
is_one_executable() {
    [ "$(readlink -f "$BUILD/bin/ml-load")" = "$(readlink -f "$BUILD/bin/ml-verify")" ]
}

# A directory on PATH with a man that prints what it is given.
fake_man() {
    mkdir fake
    printf '#!/bin/sh\nprintf "%%s\\n" "$@"\n' >fake/man
    chmod +x fake/man
    PATH=$PWD/fake:$PATH
}

@test "each command is the program, with its arguments and exit status" {
    run_split mlruns-tools migrate mlruns sqlite:///mlflow.db --verify
    assert_status 0
    assert_contains "$output" "export MLFLOW_TRACKING_URI=sqlite:///$PWD/mlflow.db"
    mlruns-tools dump -q mlruns >dump.mlr
    mlruns-dump -q mlruns | cmp - dump.mlr
    mlruns-tools transform --json <dump.mlr | jq -r .kind | grep -x run >/dev/null
    mlruns-tools load -q sqlite:///second.db <dump.mlr
    mlruns-tools verify -q sqlite:///second.db <dump.mlr
    mlruns-tools dbdump -q sqlite:///second.db | mlruns-tools verify -q sqlite:///mlflow.db
    mlruns-tools schema check sqlite:///second.db
    mlruns-tools sync --source mlruns --target sqlite:///synced.db --state state
    sqlite3 second.db "DELETE FROM params"
    run_split mlruns-tools verify -q sqlite:///second.db <dump.mlr
    assert_status 1
}

@test "a command may also be named by its program, and has the program's usage" {
    while read -r command program; do
        assert_equal "$(mlruns-tools "$command" --help)" "$("$program" --help)"
        assert_equal "$(mlruns-tools "$program" --version)" "$("$program" --version)"
    done <<'END'
migrate ml-migrate
sync ml-sync
dump mlruns-dump
dbdump mldb-dump
transform ml-transform
load ml-load
verify ml-verify
schema ml-schema
END
    for p in $(ls "$BUILD/bin" | grep -v '^linked-'); do
        [ "$p" = mlruns-tools ] || assert_contains "$(mlruns-tools --help)" " $p "
    done
}

@test "--version names the libraries and what they lack" {
    run_split mlruns-tools --version
    assert_status 0
    for library in SQLite libpq msgpack-c libyaml jansson xxHash zstd; do
        [[ $output =~ $library\ [0-9]+\.[0-9]+ ]]
    done
    assert_contains "$output" "not built in: "
}

@test "no command, an unknown one or extra operands are wrong usage" {
    for arguments in "" "no-such-command" "--no-such-option" "help ml-load more"; do
        run_split mlruns-tools $arguments
        assert_status 2
        assert_contains "$stderr" "usage: mlruns-tools COMMAND"
    done
    run_split mlruns-tools no-such-command
    assert_contains "$stderr" "unknown command 'no-such-command'"
}

@test "help shows the page of this version, in the tree and where it is installed" {
    fake_man
    install -D "$(readlink -f "$BUILD/bin/mlruns-tools")" at/bin/mlruns-tools
    [ -x at/bin/mlruns-tools ]
    install -D -m 644 "$ROOT/man/ml-migrate.1" at/share/man/man1/ml-migrate.1
    install -D -m 644 "$ROOT/man/ml-record.5" at/share/man/man5/ml-record.5
    install -D -m 644 "$ROOT/man/mlruns-tools.1" at/share/man/man1/mlruns-tools.1
    assert_equal "$(at/bin/mlruns-tools help migrate)" "$PWD/at/bin/../share/man/man1/ml-migrate.1"
    assert_equal "$(at/bin/mlruns-tools help ml-migrate)" "$PWD/at/bin/../share/man/man1/ml-migrate.1"
    assert_equal "$(at/bin/mlruns-tools help ml-record)" "$PWD/at/bin/../share/man/man5/ml-record.5"
    assert_equal "$(at/bin/mlruns-tools help)" "$PWD/at/bin/../share/man/man1/mlruns-tools.1"
    # What is not beside it man has to find.
    assert_equal "$(at/bin/mlruns-tools help load)" "ml-load"
    mkdir -p tree/build/bin
    cp at/bin/mlruns-tools tree/build/bin/
    cp -r "$ROOT/man" tree/
    assert_equal "$(tree/build/bin/mlruns-tools help schema)" "$PWD/tree/build/bin/../../man/ml-schema.1"
}

@test "help without man shows the program's help text, or a message" {
    run_split env PATH=/nowhere "$BUILD/bin/mlruns-tools" help load
    assert_status 0
    assert_equal "$output" "$(ml-load --help)"
    assert_contains "$stderr" "man is not installed"
    run_split env PATH=/nowhere "$BUILD/bin/mlruns-tools" help no-such-page
    assert_status 2
    assert_contains "$stderr" "no page 'no-such-page'"
}

@test "migrate and sync need neither sh nor PATH" {
    run_split env -i PATH=/nowhere "$BUILD/bin/mlruns-tools" migrate mlruns sqlite:///mlflow.db --verify
    assert_status 0
    run_split env -i PATH=/nowhere "$BUILD/bin/mlruns-tools" sync --source mlruns --target sqlite:///t.db --state state --verify
    assert_status 0
    mlruns-dump -q mlruns | ml-verify -q sqlite:///t.db
}

@test "the single executable works without the other names" {
    is_one_executable || skip "the programs are several executables"
    mkdir alone
    cp "$(readlink -f "$BUILD/bin/mlruns-tools")" alone/mlruns-tools
    run_split env -i PATH=/nowhere alone/mlruns-tools migrate mlruns sqlite:///mlflow.db --verify
    assert_status 0
    run_split env -i PATH=/nowhere alone/mlruns-tools sync --source mlruns --target sqlite:///t.db --state state --rewrite-uri /x=/y
    assert_status 0
    # As ml-migrate it takes what lies beside it, as any ml-migrate does; as mlruns-tools it is the suite.
    ln -s mlruns-tools alone/ml-migrate
    printf '#!/bin/sh\necho "not this one" >&2\nexit 2\n' >alone/ml-load
    chmod +x alone/ml-load
    run_split alone/ml-migrate mlruns sqlite:///second.db
    assert_status 2
    assert_contains "$stderr" "not this one"
    run_split alone/mlruns-tools migrate mlruns sqlite:///second.db
    assert_status 0
}
