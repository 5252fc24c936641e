# What the .bats files share. `load helpers` first, then in setup(): `work`, which makes a directory of the test's own.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$ROOT/build}
PATH=$BUILD/bin:$PATH
export ROOT BUILD PATH LC_ALL=C.UTF-8 MLFLOW_ALLOW_FILE_STORE=true
unset MLFLOW_TRACKING_URI MLFLOW_BACKEND_STORE_URI

# After `load helpers`: from here on a line fails when any program of its pipeline does, and a $(…) when a line in it does.
# What bash lets pass all the same, `! command` and `[ … ] && [ … ]`, `make lint` refuses.
strict_pipes() {
    set -o pipefail
    shopt -s inherit_errexit
}

# A new directory, removed by bats with the test: $WORK; the test stands in it.
work() {
    WORK=$BATS_TEST_TMPDIR
    cd "$WORK" || return 1
}

# The directory of `tests/setup.sh packaging`, if it has been made.
packaging_tools() {
    local hash tools
    hash=$(sha256sum <"$ROOT/tests/packages-requirements.txt" | cut -c1-12)
    tools=${MLRUNS_TOOLS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mlruns-tools}/packaging-$hash
    [ ! -e "$tools/.ready" ] || echo "$tools"
}

# The small tree of tests/data, copied so that a test may damage it: ./mlruns
copy_tree() {
    cp -r "$ROOT/tests/data/mlruns" mlruns
}

# For what root may do all the same: a directory of the test's own that other users reach too, to stand in, and $AS, which goes
# before a command that must not run as root. leave_public_work removes the directory.
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

# files_in DIR COMMAND...: runs it and prints whether it has created a file in the directory, removed again or not: yes or no.
files_in() {
    directory=$1
    shift
    touch -d @0 "$directory"
    "$@" >/dev/null
    [ "$(stat -c %Y "$directory")" -eq 0 ] && echo no || echo yes
}

# wait_for COMMAND...: until it succeeds. The limit ends a hang and nothing else.
wait_for() {
    local limit=$((SECONDS + 300))
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $limit ]; then
            echo "never: $*" >&2
            return 1
        fi
        sleep 0.02
    done
}

# The letter of a process's state as ps shows it (R, S, T, Z …); nothing when it has ended.
state_of() { # PID
    sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null
}

has_ended() { # PID
    case $(state_of "$1") in '' | Z | X) ;; *) return 1 ;; esac
}

# What to wait for with a program that may end instead: ended_or PID COMMAND...
ended_or() {
    local pid=$1
    shift
    "$@" || has_ended "$pid"
}

# begin COMMAND...: starts a program, $pid, that reads what is written to descriptor 9; what it says goes to ./out and ./err.
# It is interrupted by SIGINT, which the background otherwise ignores. `finish` ends its input and waits: $status, $stderr.
begin() {
    rm -f gate
    mkfifo gate
    env --default-signal=INT "$@" <gate >out 2>err &
    pid=$!
    exec 9>gate
}

finish() {
    exec 9>&-
    ended
}

# ended: waits for $pid; $status, $stderr. For a program that a signal ends it goes before `exec 9>&-`.
ended() {
    status=0
    wait "$pid" || status=$?
    stderr=$(cat err)
}

# waits_for_more PID: it has taken all that its standard input, a pipe, held, and sleeps.
waits_for_more() {
    [ "$(state_of "$1")" = S ] && python3 -c '
import fcntl, os, sys, termios
pipe = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
sys.exit(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)) != bytes(4))' "/proc/$1/fd/0" && [ "$(state_of "$1")" = S ]
}

build_stopping() {
    [ -e "$BATS_FILE_TMPDIR/stopping.so" ] || cc -shared -fPIC -O1 -o "$BATS_FILE_TMPDIR/stopping.so" "$ROOT/tests/stopping.c"
}

# stopping IN AT COMMAND...: runs it, so that it stops before a call (stopping.c); `stopped PID` is true then.
stopping() {
    local in=$1 at=$2
    shift 2
    build_stopping
    ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0" STOP_IN=$in STOP_AT=$at \
        LD_PRELOAD="$BATS_FILE_TMPDIR/stopping.so" exec "$@"
}

stopped() {
    [ "$(state_of "$1")" = T ]
}

# A PostgreSQL server for the tests of a file, in setup_file; `stop_postgres` goes into teardown_file. (Or for one test.)
start_postgres() {
    local settings
    settings=$(sh "$ROOT/tests/postgres.sh" start) || return 1
    eval "$settings"
    export PGDIR PGHOST PGPORT PGUSER PGPASSWORD
}

stop_postgres() {
    [ -z "${PGDIR-}" ] || sh "$ROOT/tests/postgres.sh" stop "$PGDIR"
}

# The programs' sessions in $PGDATABASE of which an SQL condition on pg_stat_activity is true: their number, and whether
# there is one, or none.
sessions() { # [CONDITION]
    psql -qAtX -d postgres -c "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'mlruns-tools' AND datname = '$PGDATABASE' AND (${1-true})"
}

any_session() {
    [ "$(sessions "$@")" -gt 0 ]
}

no_session() {
    [ "$(sessions "$@")" -eq 0 ]
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

# No line of FILE matches PATTERN.
absent() { # PATTERN FILE
    [ -e "$2" ]
    if grep -a -- "$1" "$2" >&2; then return 1; fi
}

assert_equal() { # GOT WANTED
    [ "$1" = "$2" ] && return
    printf 'got:    %s\nwanted: %s\n' "$1" "$2" >&2
    return 1
}
