# What the .bats files share. `load helpers` first, then in setup(): `work`, which makes a folder of the test's own.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$ROOT/build}
PATH=$BUILD/bin:$PATH
export ROOT BUILD PATH LC_ALL=C.UTF-8 MLFLOW_ALLOW_FILE_STORE=true
unset MLFLOW_TRACKING_URI MLFLOW_BACKEND_STORE_URI

# A new folder, removed by bats with the test: $WORK; the test stands in it.
work() {
    WORK=$BATS_TEST_TMPDIR
    cd "$WORK" || return 1
}

# The small tree of tests/data, copied so that a test may damage it: ./mlruns
copy_tree() {
    cp -r "$ROOT/tests/data/mlruns" mlruns
}

# For what root may do all the same: a folder of the test's own that other users reach too, to stand in, and $AS, which goes
# before a command that must not run as root. leave_public_work removes the folder.
public_work() {
    PUBLIC_WORK=$(mktemp -d /tmp/mlruns-tools-test.XXXXXX)
    chmod 755 "$PUBLIC_WORK"
    AS=
    [ "$(id -u)" -ne 0 ] || AS='setpriv --reuid=65534 --regid=65534 --clear-groups'
    cd "$PUBLIC_WORK" || return 1
}

leave_public_work() {
    cd "$WORK" || return 1
    rm -r "$PUBLIC_WORK"
}

# run_split COMMAND...: like bats' run, with $output (stdout) and $stderr apart, and $status.
run_split() {
    status=0
    "$@" >"$BATS_TEST_TMPDIR/.stdout" 2>"$BATS_TEST_TMPDIR/.stderr" || status=$?
    output=$(cat "$BATS_TEST_TMPDIR/.stdout")
    stderr=$(cat "$BATS_TEST_TMPDIR/.stderr")
}

# files_in FOLDER COMMAND...: runs it and tells whether it has made a file in the folder, removed again or not: yes or no.
files_in() {
    folder=$1
    shift
    touch -d @0 "$folder"
    "$@" >/dev/null
    [ "$(stat -c %Y "$folder")" -eq 0 ] && echo no || echo yes
}

# Assertions that say what they saw.
assert_status() {
    [ "$status" -eq "$1" ] && return
    printf 'exit %s, not %s\nstdout: %s\nstderr: %s\n' "$status" "$1" "${output-}" "${stderr-}" >&2
    return 1
}

assert_contains() { # TEXT PART
    case $1 in
    *"$2"*) ;;
    *)
        printf 'no <%s> in:\n%s\n' "$2" "$1" >&2
        return 1
        ;;
    esac
}

refute_contains() { # TEXT PART
    case $1 in
    *"$2"*)
        printf '<%s> in:\n%s\n' "$2" "$1" >&2
        return 1
        ;;
    esac
}

assert_equal() { # GOT WANTED
    [ "$1" = "$2" ] && return
    printf 'got:    %s\nwanted: %s\n' "$1" "$2" >&2
    return 1
}
