#!/usr/bin/env bats
# Signals, and readers that go, wherever a program waits: the library returns, and the program ends with 130 or 128 + signal
# and one line that says so; when nobody reads its output any more it ends by SIGPIPE, without a word.

load helpers

# More than a pipe holds: who has written all but the end of it knows that the reader has begun.
setup_file() {
    cd "$BATS_FILE_TMPDIR" || return 1
    {
        printf '{"kind":"header","format":1,"minor":0,"producer":"t","source":"%032d","shard":0,"shards":1}\n' 0
        echo '{"kind":"experiment","experiment_id":"1","name":"e","lifecycle_stage":"active"}'
        echo '{"kind":"run","run_id":"r","experiment_id":"1","status":"FINISHED","start_time":1,"lifecycle_stage":"active"}'
        seq 20000 | sed 's/.*/{"kind":"tag","run_id":"r","key":"key &","value":"a value that takes some room"}/'
    } | ml-transform --from-json --reseal >long.mlr
    ml-load -q --release 3.17 sqlite:///long.db <long.mlr
    head -c 600000 long.mlr >cut.mlr
}

setup() {
    work
    ln -s "$BATS_FILE_TMPDIR"/* .
    mkdir db
    server=
}

teardown() {
    kill $server 2>/dev/null || true
}

# ends SIGNAL STATUS WORDS: what runs as $pid ends so, however often it is signalled. Once may be too early: before it waits.
ends() {
    for ((i = 0; i < 600; i++)); do
        kill -"$1" "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null || true
    status=0
    wait "$pid" || status=$?
    stderr=$(cat err)
    assert_status "$2"
    assert_equal "$(tail -n 1 err)" "${command%% *}: $3"
    assert_equal "$(grep -c "$3" err)" 1
}

# each COMMAND: ended by SIGINT and by SIGTERM. It may read or write ./gate, whose other end is descriptor 9; `begun` returns
# when the signal may be sent.
each() {
    command=$1
    for how in INT:130:interrupted 'TERM:143:terminated by a signal'; do
        IFS=: read -r signal code words <<<"$how"
        rm -f gate
        mkfifo gate
        exec 9<>gate
        sh -c "exec env --default-signal=INT $command" 2>err 3>&- 9>&- &
        pid=$!
        begun
        ends "$signal" "$code" "$words"
        exec 9>&-
    done
}

@test "a signal ends a program that waits for its input" {
    begun() { cat cut.mlr >&9; }
    each 'ml-transform -q <gate >/dev/null'
    each 'ml-transform -q --json <gate >/dev/null'
    each 'ml-transform -q --merge --tmpdir db <gate >/dev/null'
    each 'ml-load -q sqlite:///db/x.db <gate'
    each 'ml-verify -q sqlite:///long.db <gate'
    assert_equal "$(ls -A db)" ""
}

@test "a signal ends a program whose output nobody reads" {
    begun() { head -c 1 <&9 >first; }
    each 'mldb-dump -q sqlite:///long.db >gate'
    each 'ml-transform -q <long.mlr >gate'
    each 'ml-transform -q --json <long.mlr >gate'
}

@test "a signal ends a program that waits for a reconnect or an answer" {
    begun() { until grep -q 'again in 1.5 s' err; do sleep 0.05; done; }
    each "ml-schema current 'postgresql:///x?host=/nowhere'"
    python3 -c '
import socket, sys, time
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
kept = []
while True:
    kept.append(s.accept())
    print(flush=True)' >answers 3>&- &
    server=$!
    until [ -s answers ]; do sleep 0.05; done
    n=1
    begun() {
        n=$((n + 1))
        until [ "$(wc -l <answers)" -ge $n ]; do sleep 0.05; done
    }
    each "mldb-dump postgresql://u@127.0.0.1:$(head -n 1 answers)/x >/dev/null"
    kill $server
}

@test "a reader that goes away ends the writer by SIGPIPE, silently" {
    for command in 'mldb-dump sqlite:///long.db' 'ml-transform' 'ml-transform --json' 'ml-transform --merge'; do
        run_split bash -c "$command <long.mlr | head -c 1 >/dev/null; exit \${PIPESTATUS[0]}"
        assert_status 141
        assert_equal "$stderr" ""
    done
}
