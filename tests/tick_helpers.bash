# Ticks of a source (mlruns-dump and mldb-dump with --since), after `load helpers`. A tick's clock is set (later.c), so that what
# was written a moment ago has settled or not. `build_later` goes into setup_file, `no_ticks` into setup.

build_later() {
    "${CC:-cc}" -shared -fPIC -O1 -o "$BATS_FILE_TMPDIR/later.so" "$ROOT/tests/later.c" -ldl
}

no_ticks() {
    DELTAS=
    N=0
    LATER=600
}

# at SECONDS COMMAND...: runs it so much later
at() {
    local seconds=$1
    shift
    env LD_PRELOAD="$BATS_FILE_TMPDIR/later.so" ASAN_OPTIONS=verify_asan_link_order=0 LATER="$seconds" "$@"
}

# tick_of COMMAND...: a tick of a dump, some minutes after the last one: its stream is ./tick.mlr, messages are in $stderr; its
# state becomes the state.
tick_of() {
    status=0
    LATER=$((LATER + 300))
    at $LATER "$@" >tick.mlr 2>err || status=$?
    stderr=$(cat err)
    [ $status -eq 2 ] || promote
}

promote() {
    mv state.new state
    N=$((N + 1))
    cp tick.mlr tick-$N.mlr
    DELTAS="$DELTAS tick-$N.mlr"
}

# What the last tick has sent: "kind key mark" or the like, by a jq program.
sent() { # PROGRAM
    ml-transform -q --json <tick.mlr | jq -r "select(.kind != \"header\" and .kind != \"trailer\") | $1" | sort | xargs -d '\n'
}

kinds_sent() {
    sent '.kind + (if .partial then ":" + .partial else "" end)'
}

# The ticks so far make what a full dump, ./full.mlr, gives.
assert_ticks_make_full() {
    python3 "$ROOT/tests/apply_deltas.py" $DELTAS >made
    python3 "$ROOT/tests/apply_deltas.py" full.mlr >wanted
    cmp made wanted || { diff made wanted >&2; false; }
}
