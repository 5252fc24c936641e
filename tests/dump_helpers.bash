# What the .bats files on mlruns-dump share, after `load helpers`: the names in the small tree of tests/data, and what runs and
# judges a dump.
# shellcheck disable=SC2034 # used by the tests

EXP=537708342419121040
OLD=870002130377617530
DEEP=1b720d04f3e24f11bc736169024f6d03
SHALLOW=2e0c8ec1303343bbb3b00caf2717ea34
TRACE=tr-553edf1d059cd12a1a886a3a57d1cda1

json() { # FILE: the records as JSON lines
    ml-transform -q --json <"$1"
}

# dump ARGUMENT...: the stream in ./out, messages in $stderr
dump() {
    status=0
    ${AS-} mlruns-dump -q "$@" >out 2>err || status=$?
    stderr=$(cat err)
    output=$(head -c 200 out | tr -d '\0')
}

# written_while_waiting FROM TO ARGUMENT...: a dump as by `dump`, that finds TO empty and waits; then it gets its content.
written_while_waiting() {
    local from=$1 to=$2
    shift 2
    stopping sleeps 1 mlruns-dump -q "$@" >out 2>err &
    pid=$!
    wait_for ended_or $pid stopped $pid
    cp "$from" "$to"
    kill -CONT $pid
    ended
}

# Number of records of a kind in ./out that a jq filter takes.
count() { # KIND [FILTER]
    json out | jq -c "select(.kind == \"$1\") | select(${2:-true})" | wc -l
}

source_id() {
    json out | jq -r 'select(.kind == "header") | .source'
}

# has_trailer: ./out is a whole stream
has_trailer() {
    json out >/dev/null 2>&1
}

# Of a damaged tree: a plain dump names PATH and REASON, exits with 2 and leaves a stream that is cut; --check says the same and
# exits with 1; --skip-malformed exits with 1, and what it writes is whole and has a record for what was left out.
assert_malformed() { # PATH REASON
    dump mlruns
    assert_status 2
    assert_contains "$stderr" "mlruns/$1: "
    assert_contains "$stderr" "$2"
    assert_contains "$stderr" "hint: "
    if has_trailer; then
        echo "the stream has a trailer" >&2
        return 1
    fi
    dump --check mlruns
    assert_status 1
    assert_contains "$stderr" "mlruns/$1: "
    assert_contains "$stderr" "$2"
    [ ! -s out ]
    dump --skip-malformed mlruns
    assert_status 1
    assert_contains "$stderr" "mlruns/$1: warning: left out: "
    has_trailer
    [ "$(json out | jq -r 'select(.kind == "skipped") | .path' | grep -cxF "$1")" -ge 1 ]
    ml-load -q "sqlite:///left-$RANDOM$RANDOM.db" <out
}
