# Syncs into databases of both dialects, after `load helpers`: $url is one that a test has to itself, ./s.mlr and ./s.json are
# the stream of tests/data, which the database "base" has.

setup_file() {
    start_postgres
    cd "$BATS_FILE_TMPDIR" || return 1
    mlruns-dump -q "$ROOT/tests/data/mlruns" >s.mlr
    ml-transform --json <s.mlr >s.json
    ml-load -q --sync sqlite:///base.db <s.mlr
    createdb -E UTF8 -T template0 base
    ml-load -q --sync postgresql:///base <s.mlr
}

teardown_file() {
    stop_postgres
}

setup() {
    work
    ln -s "$BATS_FILE_TMPDIR/s.mlr" "$BATS_FILE_TMPDIR/s.json" .
    n=0
}

# Ids of the tree of tests/data.
RUN=1b720d04f3e24f11bc736169024f6d03
DELETED=0afa01e81e1f48eba173795853fe1b21
RUNNING=ef2736fc369a4f8b8892c7af4baac1fb
TRACE=tr-553edf1d059cd12a1a886a3a57d1cda1
MODEL=m-0066609c996345978e8acb3897f80ab5
EXP=537708342419121040

# use DIALECT [base|empty]: a database of the test's own, in $url; sql COMMAND asks it.
use() {
    dialect=$1
    n=$((n + 1))
    if [ "$dialect" = sqlite ]; then
        url=sqlite:///$WORK/$n.db
        [ "${2-base}" = empty ] || cp "$BATS_FILE_TMPDIR/base.db" "$n.db"
    else
        database=t${BATS_SUITE_TEST_NUMBER}_$n
        url=postgresql:///$database
        if [ "${2-base}" = empty ]; then
            createdb -E UTF8 -T template0 "$database"
        else
            createdb -T base "$database"
        fi
    fi
}

sql() {
    if [ "$dialect" = sqlite ]; then
        sqlite3 -bail "$WORK/$n.db" "$1"
    else
        psql -qAtX -v ON_ERROR_STOP=1 "$database" -c "$1"
    fi
}

# The stream with each record through a jq filter.
edit() {
    jq -c "$1" s.json | ml-transform --from-json --reseal
}

# Of every table's rows, where they lie and who has touched them; SQLite: the file's bytes and times.
state() {
    if [ "$dialect" = sqlite ]; then
        stat -c '%y %i %s' "$n.db"
        sha256sum <"$n.db"
    else
        psql -qAtX -v ON_ERROR_STOP=1 "$database" <<'END' | sha256sum
SELECT format('SELECT %L, ctid, xmin, xmax FROM %I', tablename, tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1 \gexec
SELECT sequencename, last_value FROM pg_sequences ORDER BY 1;
END
    fi
}

sync() {
    run_split ml-load --sync "$@" "$url"
}

# both FUNCTION [base|empty]: in both dialects. (No condition around the call: within one a failing line ends nothing.)
both() {
    for d in sqlite postgresql; do
        use "$d" "${2-base}"
        echo "in $d" >&2
        "$1"
    done
}

# rule STREAM_EDIT SQL QUERY WANTED [OPTION...]: after the target was changed by SQL, the edited stream leaves this; a second
# time it writes nothing.
rule() {
    change=$1 before=$2 query=$3 wanted=$4
    shift 4
    edit "$change" >e.mlr
    for d in sqlite postgresql; do
        use "$d"
        [ -z "$before" ] || sql "$before"
        sync "$@" <e.mlr
        assert_status 0
        assert_equal "$dialect: $(sql "$query")" "$dialect: $wanted" || { echo "$stderr" >&2; return 1; }
        state >s1
        sync "$@" <e.mlr
        assert_status 0
        state >s2
        cmp s1 s2
        assert_contains "$stderr" "nothing to write"
    done
}

# ---- ticks

# tick [OPTION...]: what has changed in ./tree since the last one; a first one sends everything. Statuses: of the dump in $dumped.
tick() {
    since=
    [ ! -f st ] || since='--since st'
    # shellcheck disable=SC2086
    mlruns-dump -q $since --next-state st.new tree >tick.mlr && dumped=0 || dumped=$?
    run_split ml-load --sync --promote st.new=st "$@" "$url" <tick.mlr
}

# What was written long enough ago to be sent.
settled() {
    find tree -newer "$WORK/mark" -type f -exec touch -d '-10 seconds' {} +
    touch -d '-11 seconds' "$WORK/mark"
}

# ./tree, written an hour ago, of which there was no tick yet.
old_tree() {
    rm -rf tree st st.new
    cp -r "$ROOT/tests/data/mlruns" tree
    find tree -type f -exec touch -d '-1 hour' {} +
    touch -d '-30 minutes' mark
}

begin_ticks() {
    old_tree
    tick
    assert_status 0
    [ -f st ]
    [ ! -f st.new ]
}

run_dir=tree/$EXP/$RUN
