#!/usr/bin/env bats
# What the documents say is true: examples run, SYNOPSIS and --help agree, every option is in the man page.

load helpers
strict_pipes

setup() {
    work
}

teardown() {
    [ -z "${PGDIR-}" ] || [ ! -d "$PGDIR" ] || sh "$ROOT/tests/postgres.sh" stop "$PGDIR"
}

programs() {
    ls "$BUILD/bin" | grep -v '^linked-'
}

# The text of a man page, without bold and underlines.
page() {
    MANWIDTH=500 nroff -man -rLL=500n -Tutf8 "$ROOT/man/$1" 2>/dev/null | sed 's/\x1b\[[0-9;]*m//g; s/.\x08//g'
}

squeeze() {
    tr -s ' \n' ' ' | sed 's/[‐−]/-/g; s/^ //; s/ $//'
}

@test "every program has a man page, and its SYNOPSIS is what --help says" {
    failed=0
    for p in $(programs); do
        [ -f "$ROOT/man/$p.1" ] || { echo "no man page for $p" >&2; failed=1; continue; }
        synopsis=$(page "$p.1" | sed -n '/^SYNOPSIS/,/^[A-Z]/p' | sed '1d;$d' | squeeze)
        usage=$("$p" --help | sed -n '1,/^$/p' | sed 's/^usage: //' | squeeze)
        if [ "$synopsis" != "$usage" ]; then
            printf '%s:\n  man:    %s\n  --help: %s\n' "$p" "$synopsis" "$usage" >&2
            failed=1
        fi
    done
    [ $failed -eq 0 ]
}

@test "every option of --help is in the man page" {
    failed=0
    for p in $(programs); do
        text=$(page "$p.1" | sed 's/[‐−]/-/g')
        for option in $("$p" --help | grep -o '^ *\(-[a-zA-Z], \)\{0,1\}--[a-z-]*' | grep -o -- '--[a-z-]*'); do
            case $text in *"$option"*) ;; *) echo "$p: $option is not in its man page" >&2; failed=1 ;; esac
        done
    done
    [ $failed -eq 0 ]
}

@test "--version says which program of which version it is; an unknown option exits with 2" {
    for p in $(programs); do
        [[ $("$p" --version) == "$p (mlruns-tools) "[0-9]* ]]
        run_split "$p" --no-such-option
        assert_status 2
        assert_contains "$stderr" "no-such-option"
    done
}

@test "the man pages are well-formed" {
    for m in "$ROOT"/man/*.[157]; do
        warnings=$(groff -man -Tutf8 -ww -rLL=100n "$m" 2>&1 >/dev/null)
        assert_equal "$warnings" ""
    done
}

@test "mlruns-messages(7) has every message with a hint, and every class of failure" {
    run_split python3 "$ROOT/tests/messages_page.py" "$ROOT"
    assert_contains "$output" " messages, 10 classes"
    assert_status 0
}

@test "the pipelines of the README run" {
    copy_tree
    eval "$(sh "$ROOT/tests/postgres.sh" start)"
    export PGPASSWORD
    createdb -h "$PGHOST" -p "$PGPORT" -U "$PGUSER" copy
    # The server of the examples is the tests' own.
    sed -n '/^```sh$/,/^```$/p' "$ROOT/README.md" | grep -v '^```' | sed "s|@db/|@127.0.0.1:$PGPORT/|" >examples.sh
    [ "$(grep -c mlruns-dump examples.sh)" -ge 6 ]
    bash -o pipefail -e examples.sh >out 2>err || { cat err >&2; false; }
    assert_contains "$(cat out)" "Status: SUCCESS"
    mlruns-dump -q mlruns | ml-transform -q --renumber-experiments >small-ids.mlr
    ml-verify -q "postgresql://mlflow@127.0.0.1:$PGPORT/copy" <small-ids.mlr
    ml-verify -q sqlite:///back.db <small-ids.mlr
    for db in mlflow from-archive by-experiment from-shards; do
        mlruns-dump -q mlruns | ml-verify -q "sqlite:///$db.db"
    done
}

@test "the examples of mlruns-tools(7) run" {
    copy_tree
    sed -n '/^\.SH EXAMPLES/,/^\.SH SEE/p' "$ROOT/man/mlruns-tools.7" | sed -n '/^\.nf/,/^\.fi/p' |
        sed '/^\./d; s/\\-/-/g; s/\\e/\\/g' >examples.all
    # Each loads into mlflow.db, so each has a directory of its own.
    csplit -s -z -f ex- examples.all '/^zstdcat/+1' '/^cat exp/+1'
    i=0
    for part in ex-*; do
        i=$((i + 1))
        mkdir "$i" && cp -r mlruns "$i/" && (cd "$i" && bash -o pipefail -e "../$part" >out 2>err) || { cat "$i/err" >&2; false; }
        mlruns-dump -q mlruns | ml-verify -q "sqlite:///$i/mlflow.db" >/dev/null
    done
    assert_equal "$i" 3
}
